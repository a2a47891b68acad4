"""Scenarios over a live book, as people read them, and the commands that ask for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from riskbot.config.scenarios import shipped_scenarios
from riskbot.core import actions, riskviews, stressviews
from riskbot.core.commands.stress import SUGGESTED_MAX
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.stress_loss import StressLoss
from riskbot.core.model import PORTFOLIO
from tests import builders
from tests.core.market import Market, market
from tests.core.past import noise, read
from tests.core.test_shocking import CRASH, JOINT, PEG


def held(**fields: Any) -> Market:
    limits = fields.pop("limits", (StressLoss(max=0.05), GrossExposure(max=0.5)))
    made = market(
        *limits,
        held={"BTC": (0.4, 50_000), "ETH": (-2, 2_000)},
        scenarios=(CRASH, JOINT, PEG),
        **fields,
    )
    made.give(read(noise("BTC", 1), noise("ETH", 2)))
    return made


def ask(made: Market, name: str, **args: Any) -> actions.SendReply:
    return made.command(name, **args)


def test_overview_has_every_scenario_the_worst_first_and_the_limit() -> None:
    made = held()
    found = json.loads(json.dumps(ask(made, "stress").document, allow_nan=False))
    assert found["limit"] == 0.05
    rows = found["scenarios"]
    assert {row["name"] for row in rows} == {"crash", "joint", "peg"}
    losses = [row["loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    crash = next(row for row in rows if row["name"] == "crash")
    equity = found["equity_usd"]
    assert crash["pnl_usd"] == pytest.approx(-10_000 + 800)
    assert crash["loss"] == pytest.approx(9_200 / equity)
    assert crash["equity_after_usd"] == pytest.approx(equity - 9_200)


def test_live_reading_of_the_limit_is_what_the_scenario_says_position_by_position() -> None:
    made = held()
    state = made.engine.state
    stats = state.scopes(made.now_ms)[PORTFOLIO].stats
    for scenario in (CRASH, JOINT):
        result = stressviews.result_of(state, scenario, PORTFOLIO, made.now_ms)
        assert stats[f"stress_loss:{scenario.name}"] == pytest.approx(result.loss_share)


def test_shipped_scenarios_are_all_answered_by_a_live_book() -> None:
    made = market(held={"BTC": (0.4, 50_000)}, scenarios=shipped_scenarios())
    made.give(read(noise("BTC", 1)))
    made.give(builders.prices("BTC/USDT:USDT", 50_000, funding_rate=0.0001, funding_interval_h=8.0))
    rows = {row["name"]: row for row in ask(made, "stress").document["scenarios"]}
    assert len(rows) >= 18
    assert rows["march_2020"]["pnl_usd"] == pytest.approx(-12_000)
    assert [row["unknown"] for row in rows.values() if row["loss"] is None] == []
    assert rows["funding_x10"]["pnl_usd"] == pytest.approx(-20_000 * 0.0001 * 3 * 10)


def large() -> Market:
    held = {f"C{n}": (1.0, 100.0) for n in range(stressviews.LEGS_AT_ONCE + 1)}
    made = market(StressLoss(max=0.5), held=held, scenarios=(CRASH, PEG))
    made.give(builders.loaded(*made.held["main"]))
    made.read()
    return made


def test_large_book_is_worked_out_in_turns_and_each_row_says_when() -> None:
    made = large()
    state = made.engine.state
    found = ask(made, "stress").document["scenarios"]
    assert [row["unknown"][0][:18] for row in found] == ["not worked out yet"] * 2
    made.wait(1)
    rows = {row["name"]: row for row in ask(made, "stress").document["scenarios"]}
    assert (rows["crash"]["loss"] is None) != (rows["peg"]["loss"] is None)
    made.wait(2)
    rows = {row["name"]: row for row in ask(made, "stress").document["scenarios"]}
    assert rows["crash"]["as_of_ms"] != rows["peg"]["as_of_ms"]
    at_once = stressviews.overview(state, made.now_ms, is_guarding=False)["scenarios"]
    assert {row["loss"] for row in at_once} == {row["loss"] for row in rows.values()}
    by_account = ask(made, "stress", account="main").document["scenarios"]
    assert {row["loss"] for row in by_account} == {None}


def test_suggestion_for_very_many_positions_is_made_offline() -> None:
    made = large()
    held = {
        f"C{n}/USDT:USDT": (builders.dec(1), builders.dec(100)) for n in range(SUGGESTED_MAX + 1)
    }
    made.held["main"] = held
    made.give(builders.loaded(*held))
    made.read()
    reply = ask(made, "stress", scenario="crash", suggest=True)
    assert not reply.ok
    assert "too many" in reply.message


def test_one_scenario_names_the_inputs_of_each_number() -> None:
    found = ask(held(), "stress", scenario="crash").document
    first, second = found["positions"]
    assert (first["underlying"], first["shock"], first["shock_from"]) == ("BTC", -0.5, "BTC")
    assert first["quantity"] * first["mark_usd"] * first["shock"] == pytest.approx(first["pnl_usd"])
    assert second["shock_from"] == "DEFAULT"
    assert [part["cause"] for part in first["parts"]] == ["price"]
    assert found["margin"][0]["subject"]
    assert {row["limit"] for row in found["unjudged"]} == {"stress_loss"}
    json.dumps(found, allow_nan=False)


def test_liquidations_broken_limits_and_cash_are_listed() -> None:
    made = held(limits=(GrossExposure(max=0.5),))
    lost = ask(made, "stress", scenario="peg").document
    assert lost["cash"][0]["asset"] == "USDT"
    deep = ask(made, "stress", simulate="BTC -99%").document
    assert deep["name"] == "simulated"
    assert all(row.keys() >= {"limit", "after", "allowed"} for row in deep["limits"])


def test_what_is_liquidated_is_named() -> None:
    made = market(held={"BTC": (0.4, 50_000)}, scenarios=(CRASH,))
    made.deaf.add("main")
    made.give(
        builders.snapshot(
            builders.position("BTC/USDT:USDT", 0.4, 50_000, liquidation_price=30_000),
            as_of_ms=made.now_ms + 1,
        )
    )
    found = ask(made, "stress", scenario="crash").document
    assert found["liquidated"] == ["main|BTC/USDT:USDT"]
    assert found["liquidations"][0]["reason"].startswith("price")


def test_distance_to_liquidation_is_told_in_days_of_volatility() -> None:
    made = market(held={"BTC": (0.4, 50_000)})
    made.deaf.add("main")
    near = builders.position("BTC/USDT:USDT", 0.4, 50_000, liquidation_price=40_000)
    made.give(builders.snapshot(near, as_of_ms=made.now_ms + 1))
    assert ask(made, "positions").document[0]["liquidation_sigmas"] is None
    made.give(read(noise("BTC", 1)))
    panel = made.engine.state.analysis.panel
    assert panel is not None
    (row,) = ask(made, "positions").document
    assert row["liquidation_sigmas"] == pytest.approx(0.2 / panel.volatility[0])


def test_suggestion_is_the_least_that_comes_inside_the_limit() -> None:
    made = held(limits=(StressLoss(max=0.05),))
    found = ask(made, "stress", scenario="crash", suggest=True).document
    assert found["is_enough"]
    assert found["after"] == pytest.approx(0.05, rel=1e-3)
    (trade,) = found["trades"]
    assert (trade["instrument"], trade["side"]) == ("BTC/USDT:USDT", "sell")
    wider = ask(made, "stress", scenario="crash", suggest=True, max=0.5).document
    assert wider["trades"] == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"scenario": "atlantis"}, "no scenario 'atlantis'; there are: crash"),
        ({"simulate": "BTC down"}, "BTC down"),
        ({"scenario": "crash", "simulate": "BTC -1%"}, "one of them"),
        ({"suggest": True}, "needs a scenario"),
        ({"account": "nobody"}, "no account 'nobody'"),
    ],
)
def test_what_cannot_be_asked_is_said(args: dict[str, Any], words: str) -> None:
    reply = ask(held(), "stress", **args)
    assert not reply.ok
    assert words in reply.message


def test_suggestion_without_a_limit_needs_one() -> None:
    reply = ask(held(limits=()), "stress", scenario="crash", suggest=True)
    assert (reply.ok, reply.message) == (False, "portfolio has no stress_loss limit: give max")


@pytest.mark.parametrize("name", ["var", "correlation"])
def test_tail_and_correlation_are_asked_for_by_account(name: str) -> None:
    made = held()
    assert ask(made, name).document["scope"] == PORTFOLIO
    assert ask(made, name, account="main").document["scope"] == "account:main"
    assert not ask(made, name, account="nobody").ok


def test_var_holds_its_inputs_and_the_whole_document_everything() -> None:
    made = held()
    document = ask(made, "var").document
    assert document.keys() >= {"components", "liquidity", "history", "worst_days"}
    whole = riskviews.risk(made.engine.state, made.now_ms)
    assert whole["stress"]["scenarios"]
    json.dumps(whole, allow_nan=False)


def test_spread_that_nobody_shows_now_is_unknown() -> None:
    made = held()
    assert stressviews.inputs_of(made.engine.state, PORTFOLIO, made.now_ms).spreads
    made.muted.add("main")
    made.wait(30)
    assert not stressviews.inputs_of(made.engine.state, PORTFOLIO, made.now_ms).spreads


def test_book_of_no_equity_has_no_loss_as_a_share() -> None:
    made = market(held={"BTC": (0.4, 50_000)}, scenarios=(CRASH,))
    made.wallet["main"] = builders.dec(0)
    made.read()
    (row,) = ask(made, "stress").document["scenarios"]
    assert row["loss"] is None
    json.dumps(row, allow_nan=False)
