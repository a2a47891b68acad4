"""Commands at the desk: roles, arguments, plans, replies; the documents they answer with."""

from __future__ import annotations

import json

import pytest

from riskbot.core import actions, events
from riskbot.core.commands import COMMANDS
from riskbot.core.duty import OPERATOR
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.leverage import Leverage
from riskbot.core.model import (
    PORTFOLIO,
    Actor,
    Mode,
    RejectReason,
    Response,
    Role,
    TradingState,
)
from riskbot.core.settings import AccountSettings, StrategySettings
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
TWO = {
    "main": AccountSettings(exchange="binanceusdm"),
    "other": AccountSettings(exchange="bybit", exclusive=True),
}
VIEWER = Actor("eve", Role.VIEWER, "test")


def two(bitcoin: float = 1) -> World:
    return world(
        GROSS,
        held={"BTC": (bitcoin, 50_000)},
        elsewhere={"other": {"ETH": (-5, 2_000)}},
        accounts=TWO,
        strategies={"grid": StrategySettings(("main",), 10_000)},
        sectors={"BTC": "layer1", "ETH": "layer1"},
        groups={"majors": ("BTC", "ETH")},
    )


# ---------------------------------------------------------------- documents


def test_status_has_the_fields_of_the_contract() -> None:
    made = two()
    made.command("halt", account="other")
    made.deaf.add("other")
    made.muted.add("other")
    made.wait(30)
    status = made.command("status").document
    assert {
        "instance",
        "mode",
        "trading_state",
        "holds",
        "blind",
        "equity_usd",
        "gross_exposure",
        "net_exposure",
        "drawdown",
        "daily_loss",
        "daily_pnl_usd",
        "accounts",
        "feeds",
        "alerts",
        "limits",
        "as_of_ms",
    } <= set(status)
    assert status["equity_usd"] == 200_000
    assert status["gross_exposure"] == pytest.approx(0.3)
    assert status["trading_state"] == "ACTIVE"
    assert status["accounts"]["other"]["trading_state"] == "HALTED"
    assert status["accounts"]["other"]["blind"]
    assert status["accounts"]["other"]["held_by"] == "gateway"
    assert status["accounts"]["main"]["held_by"] == "cancel only"
    assert {row["what"] for row in status["blind"]} == {
        "account:other",
        "price:other|ETH/USDT:USDT",
    }
    assert status["holds"][0]["limit"] == OPERATOR
    assert {f["account"] for f in status["feeds"]} == {"main", "other"}
    assert status["strategies"]["grid"]["trading_state"] == "ACTIVE"
    assert "blind_account" in {row["limit"] for row in status["alerts"]}
    json.dumps(status)


def test_status_when_nothing_was_read_shows_halted() -> None:
    made = two()
    made.restart()
    status = made.command("status").document
    assert (status["trading_state"], status["starting"]) == ("HALTED", True)
    assert status["accounts"]["main"]["trading_state"] == "HALTED"


def test_status_when_stopping_shows_halted() -> None:
    made = two()
    made.give(events.Stopping())
    assert made.command("status").document["trading_state"] == "HALTED"


def test_status_when_a_feed_is_lost_says_why_and_shows_work_under_way() -> None:
    made = two()
    made.give(events.FeedLost(account="main", feed="prices", reason="closed by peer"))
    made.deaf.add("main")
    made.confirm("flatten", account="main")
    status = made.command("status").document
    lost = next(f for f in status["feeds"] if not f["ok"])
    assert (lost["feed"], lost["reason"]) == ("prices", "closed by peer")
    (work,) = status["intents"]
    assert (work["kind"], work["account"]) == ("flatten", "main")
    assert work["targets"][0]["target"] == "0"


def test_positions_has_the_fields_of_the_contract() -> None:
    rows = two().command("positions").document
    assert [row["instrument"] for row in rows] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert {
        "account", "instrument", "underlying", "side", "quantity", "entry", "mark",
        "notional_usd", "leverage", "delta_usd", "gamma", "vega", "usd_per_1pct",
        "unrealized_pnl_usd", "stop", "risk_usd", "liquidation_price", "liquidation_distance",
        "closable", "estimated",
    } <= set(rows[0])  # fmt: skip
    assert (rows[1]["side"], rows[1]["usd_per_1pct"]) == ("short", -100)


def test_positions_when_an_account_is_named_shows_its_own() -> None:
    rows = two().command("positions", account="other").document
    assert [row["account"] for row in rows] == ["other"]


def test_exposure_has_the_fields_of_the_contract() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)}, accounts=TWO,
                 elsewhere={"other": {"BTC": (-0.5, 50_000)}},
                 groups={"majors": ("BTC",)}, sectors={"BTC": "layer1"})  # fmt: skip
    found = made.command("exposure").document
    assert found["gross_usd"] == 75_000
    assert found["assets"] == {"BTC": pytest.approx(0.375)}
    assert found["sectors"] == {"layer1": pytest.approx(0.375)}
    assert found["groups"] == {"majors": pytest.approx(0.375)}
    assert found["top"][0]["underlying"] == "BTC"
    (hedge,) = found["hedges"]
    assert (hedge["underlying"], hedge["drift"]) == ("BTC", pytest.approx(0.5))


def test_limits_has_the_fields_of_the_contract() -> None:
    made = world(GROSS, Leverage(max=3), held={"BTC": (1, 50_000)})
    gross, leverage = made.command("limits").document
    assert gross["measured"] == pytest.approx(0.5)
    assert gross["headroom"] == pytest.approx(1.5)
    assert (gross["scope"], gross["level"], gross["on_breach"]) == (PORTFOLIO, "ok", "reduce")
    assert leverage["utilization"] == pytest.approx(1 / 6)


def test_limits_when_the_measure_is_unknown_says_so() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.now_ms += 1
    row = builders.position("XYZ/USDT:USDT", 1, 10)
    made.give(events.PositionsUpdated(account="main", positions=(row,)))
    (found,) = made.command("limits").document
    assert (found["level"], found["measured"], found["headroom"]) == ("unknown", None, None)
    assert found["reason"]


def test_alerts_lists_what_fires_worst_first() -> None:
    made = world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000)
    rows = made.command("alerts").document
    assert (rows[0]["limit"], rows[0]["level"]) == ("gross_exposure", "red")
    assert {"id", "since_ms", "measured", "worst", "acked_by"} <= set(rows[0])


# ---------------------------------------------------------------- who may what


def test_help_lists_what_the_role_may() -> None:
    made = two()
    viewer = made.command("help", VIEWER).document
    assert {row["name"] for row in viewer} == {c.name for c in COMMANDS if c.role is Role.VIEWER}
    assert len(made.command("help").document) == len(COMMANDS)
    (flatten,) = made.command("help", command="flatten").document
    assert flatten["asks_first"]
    assert not made.command("help", command="dance").ok


def test_command_when_unknown_names_those_there_are() -> None:
    answer = two().command("dance")
    assert not answer.ok
    assert "halt" in answer.message


def test_command_when_arguments_are_wrong_says_which() -> None:
    answer = two().command("halt", colour="red")
    assert not answer.ok
    assert "colour" in answer.message


@pytest.mark.parametrize("name", ["halt", "cancel", "flatten", "reduce", "resume"])
def test_command_when_the_account_is_unknown_is_refused(name: str) -> None:
    answer = two().command(name, account="nobody")
    assert not answer.ok
    assert "main" in answer.message


@pytest.mark.parametrize("name", ["halt", "cancel", "flatten", "reduce", "resume"])
def test_command_when_the_role_is_too_low_is_refused_and_audited(name: str) -> None:
    made = two()
    assert not made.command(name, VIEWER).ok
    assert [d for d in made.of(actions.RecordDecision) if d.decision == "refused"]


def test_resume_when_asked_long_ago_is_not_done() -> None:
    made = two()
    made.command("halt")
    made.give(
        events.CommandReceived(
            request_id="late",
            name="resume",
            actor=Actor("op", Role.ADMIN, "test"),
            asked_ms=made.now_ms - 31_000,
        )
    )
    assert "ask again" in made.replies()[-1].message
    made.give(
        events.CommandReceived(
            request_id="soon",
            name="resume",
            actor=Actor("op", Role.ADMIN, "test"),
            asked_ms=made.now_ms - 3_000,
        )
    )
    assert made.replies()[-1].plan_id


# ---------------------------------------------------------------- plans


def test_confirm_when_it_is_for_another_command_or_other_arguments_is_refused() -> None:
    made = two()
    offer = made.command("flatten", account="main")
    assert "for flatten" in made.command("reduce", plan_id=offer.plan_id).message
    answer = made.command("flatten", plan_id=offer.plan_id, account="other")
    assert "other arguments" in answer.message
    assert made.command("flatten", plan_id=offer.plan_id).ok


def test_confirm_when_the_facts_changed_asks_again() -> None:
    made = two()
    offer = made.command("flatten")
    made.somebody_trades("BTC", "3")
    again = made.command("flatten", plan_id=offer.plan_id)
    assert "changed" in again.message
    assert again.plan_id not in {None, offer.plan_id}
    assert not made.sent


def test_confirm_when_it_cannot_be_done_any_more_says_so() -> None:
    made = two()
    made.command("halt")
    offer = made.command("resume")
    made.confirm("resume")
    answer = made.command("resume", plan_id=offer.plan_id)
    assert not answer.ok
    assert "nothing is halted" in answer.message


def test_plan_when_nobody_confirms_is_forgotten() -> None:
    made = two()
    made.command("flatten")
    made.wait(125)
    assert not made.engine.state.enforcement.plans


# ---------------------------------------------------------------- the commands


def test_cancel_cancels_entries_of_the_instrument_named_and_keeps_exits() -> None:
    made = two()
    btc = made.rest("BTC", "buy", "1", price=40_000)
    made.now_ms += 1
    eth = made.rest("ETH", "buy", "1", price=1_000)
    made.now_ms += 1
    leave = made.rest("BTC", "sell", "1", price=60_000, reduce_only=True)
    made.read()
    answer = made.command("cancel", instrument="BTC/USDT:USDT", account="main")
    made.wait(3)
    assert "1 working" in answer.message
    assert btc.order_id not in made.orders["main"]
    assert {eth.order_id, leave.order_id} <= set(made.orders["main"])
    assert made.command("cancel").ok


def test_cancel_when_stronger_work_goes_on_says_so() -> None:
    made = two()
    made.deaf.add("main")
    made.confirm("flatten", account="main")
    assert "main" in made.command("cancel").message


def test_flatten_when_the_instrument_is_unknown_is_refused() -> None:
    answer = two().command("flatten", instrument="XYZ/USDT:USDT")
    assert "no instrument" in answer.message


def test_flatten_when_one_instrument_is_named_closes_that_alone_and_halts_nothing() -> None:
    made = two()
    made.somebody_trades("ETH", "3")
    made.confirm("flatten", instrument="BTC/USDT:USDT", account="main")
    made.wait(5)
    assert (made.quantity("BTC"), made.quantity("ETH")) == (0, 3)
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.ACTIVE


def test_flatten_when_another_flatten_is_under_way_takes_it_over_whole() -> None:
    made = two()
    made.deaf.add("main")
    first = made.confirm("flatten", account="main")
    made.deaf.clear()
    made.refuse.extend([RejectReason.RATE_LIMITED] * 2)
    second = made.confirm("flatten", account="main", instrument="ETH/USDT:USDT")
    assert not first.is_final
    assert not second.is_final
    made.wait(10)
    assert made.quantity("BTC") == 0
    replaced = [r for r in made.replies() if r.request_id == first.request_id]
    assert "taken over" in replaced[-1].message
    ended = [r for r in made.replies() if r.request_id == second.request_id]
    assert ended[-1].is_final
    assert ended[-1].ok


def test_flatten_when_parts_end_apart_lists_all_that_is_kept() -> None:
    made = two(bitcoin=0.001)
    made.refuse.append(RejectReason.MIN_NOTIONAL)
    made.deaf.add("other")
    reply = made.confirm("flatten")
    made.wait(3)
    made.deaf.clear()
    made.wait(10)
    final = [r for r in made.replies() if r.request_id == reply.request_id][-1]
    assert final.is_final
    (left,) = final.document["left"]
    assert (left["account"], left["instrument"]) == ("main", "BTC/USDT:USDT")


def test_reduce_when_nothing_is_broken_is_refused() -> None:
    answer = two().command("reduce", limit="gross_exposure")
    assert "gross_exposure" in answer.message


def test_reduce_when_the_breach_has_gone_meanwhile_says_so() -> None:
    made = world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000)
    offer = made.command("reduce", account=None)
    made.somebody_trades("BTC", "-3")
    answer = made.command("reduce", plan_id=offer.plan_id)
    assert "nothing to reduce" in answer.message


def test_reduce_when_an_account_has_its_own_limit_reduces_there() -> None:
    made = world(
        GrossExposure(max=2.0), held={"BTC": (4, 50_000)}, usdt=80_000, scope="account:main"
    )
    made.confirm("reduce", account="main", limit="gross_exposure")
    made.wait(5)
    assert made.quantity("BTC") < 4
    assert made.replies()[-1].message == "reduce complete, verified: at its target"


def test_reduce_when_a_flatten_is_under_way_answers_at_once() -> None:
    made = world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000)
    made.deaf.add("main")
    offer = made.command("reduce")
    made.confirm("flatten")
    answer = made.command("reduce", plan_id=offer.plan_id)
    assert answer.is_final
    assert "flatten" in answer.message


def test_resume_when_only_the_portfolio_is_halted_says_how() -> None:
    made = two()
    assert "nothing is halted" in made.command("resume").message
    made.command("halt")
    assert "without --account" in made.command("resume", account="main").message


def test_resume_when_one_account_is_named_ends_its_halt_alone() -> None:
    made = two()
    made.command("halt", account="main")
    made.command("halt", account="other")
    made.confirm("resume", account="main")
    state = made.engine.state.enforcement
    assert state.account_state("main") is TradingState.ACTIVE
    assert state.account_state("other") is TradingState.HALTED


def test_resume_when_a_halt_file_was_there_removes_it() -> None:
    made = two()
    made.give(events.HaltFileSeen(reason="kill"))
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED
    made.confirm("resume")
    assert made.of(actions.RemoveHaltFile)
    assert made.command("status").document["trading_state"] == "ACTIVE"


def test_resume_when_a_flatten_begins_meanwhile_is_refused() -> None:
    made = two()
    made.command("halt")
    offer = made.command("resume")
    made.deaf.add("main")
    made.confirm("flatten", account="main")
    answer = made.command("resume", plan_id=offer.plan_id)
    assert "flattening" in answer.message


def test_reclassify_turns_a_flow_into_a_loss() -> None:
    made = world(DRAWDOWN, held={"BTC": (0.5, 50_000)})
    made.wallet["main"] -= 10_000
    made.wait(70)
    flow = next(f for f in made.of(actions.BookFlow) if f.source == "timeout")
    assert "no booked flow" in made.command("reclassify", id="F99", value="loss").message
    made.confirm("reclassify", id=flow.flow_id, value="loss")
    losses = made.engine.state.scopes(made.now_ms)[PORTFOLIO].losses
    assert losses.drawdown == pytest.approx(0.1, abs=0.001)


def test_halt_in_shadow_cancels_what_appears_later() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)}, mode=Mode.SHADOW)
    made.command("halt")
    entry = made.rest("BTC", "buy", "1", price=40_000)
    made.wait(4)
    assert entry.order_id not in made.orders["main"]
    assert not made.sent
