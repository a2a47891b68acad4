"""What a risk manager hands out: every number with its inputs, and sums that are the whole."""

from __future__ import annotations

import json

import pytest

from riskbot.core import actions, events, riskviews
from riskbot.core.histories import Study
from riskbot.core.model import PORTFOLIO
from tests.core.market import Market, market
from tests.core.past import noise, path, read


def priced() -> Market:
    made = market(held={"BTC": (0.4, 50_000), "ETH": (-5, 2_000)})
    made.give(read(noise("BTC", 1), noise("ETH", 2, 40), noise("SOL", 3)))
    made.wait(2)
    return made


def test_components_sum_to_the_whole_and_the_worst_days_are_named() -> None:
    made = priced()
    found = riskviews.tail(made.engine.state, PORTFOLIO, made.now_ms)
    rows = found["components"]
    assert [row["underlying"] for row in rows] == ["BTC", "ETH"]
    total = found["value_at_risk_usd"]["95"]
    assert sum(row["var_usd"] for row in rows) == pytest.approx(total, rel=1e-9)
    assert sum(row["var_share"] for row in rows) == pytest.approx(1)
    assert sum(row["es_usd"] for row in rows) == pytest.approx(
        found["expected_shortfall_usd"]["95"], rel=1e-9
    )
    assert rows[1]["own_days"] == 40
    worst = found["worst_days"]
    assert [row["pnl_usd"] for row in worst] == sorted(row["pnl_usd"] for row in worst)
    assert sum(worst[0]["by_underlying_usd"].values()) == pytest.approx(worst[0]["pnl_usd"])
    assert worst[0]["day"].startswith("20")
    assert found["value_at_risk"]["99"] >= found["value_at_risk"]["95"]
    assert len(found["days_pnl_usd"]) == found["days"]
    assert sorted(found["days_pnl_usd"])[: len(worst)] == [row["pnl_usd"] for row in worst]


def test_unknown_says_why() -> None:
    made = market(held={"BTC": (0.4, 50_000)})
    found = riskviews.tail(made.engine.state, PORTFOLIO, made.now_ms)
    assert found["value_at_risk_usd"] is None
    assert found["unknown"] == "no price history is known yet"
    whole = riskviews.risk(made.engine.state, made.now_ms)
    assert whole["history"]["days"] == 0
    assert whole["history"]["last_day"] is None
    assert whole["correlation"]["unknown"] == ["BTC"]
    assert whole["liquidity"][0]["time_to_exit_s"] is None


def test_book_without_risk_has_no_shares_of_it() -> None:
    made = market(held={})
    made.give(read(path([0.0] * 260, "BTC")))
    found = riskviews.tail(made.engine.state, PORTFOLIO, made.now_ms)
    assert found["components"] == []
    assert found["value_at_risk_usd"] == {"95": 0.0, "99": 0.0}


def test_calm_position_has_a_part_of_nothing() -> None:
    made = market(held={"BTC": (0.4, 50_000)})
    made.give(read(path([0.0] * 259 + [0.01], "BTC")))
    (row,) = riskviews.tail(made.engine.state, PORTFOLIO, made.now_ms)["components"]
    assert (row["var_usd"], row["var_share"]) == (0.0, None)


def test_correlation_of_what_is_held_with_groups_and_what_is_unknown() -> None:
    steps = noise("BTC", 1)
    made = market(held={"BTC": (0.4, 50_000), "ETH": (5, 2_000)})
    alike = path(
        [2 * (b / a - 1) for a, b in zip(steps.closes, steps.closes[1:], strict=False)],  # type: ignore[operator]
        "ETH",
    )
    made.give(read(steps, alike))
    found = riskviews.correlations(made.engine.state, made.now_ms)
    assert found["underlyings"] == ["BTC", "ETH"]
    assert found["matrix"][0][0] == pytest.approx(1)
    assert found["average"] == pytest.approx(found["matrix"][0][1])
    (group,) = found["groups"]
    assert group["underlyings"] == ["BTC", "ETH"]
    assert group["gross_usd"] == pytest.approx(30_000)
    assert found["gross_usd"] == pytest.approx([20_000, 10_000])
    assert found["grouped_from"] == 0.8
    made.give(read(path([0.0] * 260, "ETH")))
    found = riskviews.correlations(made.engine.state, made.now_ms)
    assert found["unknown"] == ["ETH"]
    assert found["average"] is None
    assert found["matrix"][0][1] is None


def test_correlation_of_very_many_is_of_the_largest() -> None:
    made = priced()
    found = riskviews.correlations(made.engine.state, made.now_ms, most=1)
    assert (found["underlyings"], found["left_out"]) == (["BTC"], 1)


def test_way_out_is_listed_the_longest_first() -> None:
    made = priced()
    rows = riskviews.exits(made.engine.state, made.now_ms)
    assert [row["underlying"] for row in rows] == ["BTC", "ETH"]
    assert rows[0]["time_to_exit_s"] == pytest.approx(
        20_000 / 1e9 * 86_400 / rows[0]["participation"]
    )
    assert rows[0]["exit_cost_usd"] > 0


def test_what_was_closed_is_on_no_list() -> None:
    made = priced()
    del made.held["main"]["ETH/USDT:USDT"]
    made.read()
    made.wait(1)
    assert [row["underlying"] for row in riskviews.exits(made.engine.state, made.now_ms)] == ["BTC"]


def test_whole_document_is_json_and_holds_the_slow_figures() -> None:
    made = priced()
    question = next(a for a in made.actions if isinstance(a, actions.AnalyzeRisk))
    made.give(
        events.RiskAnalyzed(
            request_id=question.request_id,
            as_of_ms=question.as_of_ms,
            studies=(Study(PORTFOLIO, {"beta_usd": 1.0}),),
        )
    )
    whole = json.loads(json.dumps(riskviews.risk(made.engine.state, made.now_ms), allow_nan=False))
    assert whole["scopes"][PORTFOLIO]["slow"] == {"beta_usd": 1.0}
    rows = whole["history"]["underlyings"]
    assert rows["ETH"]["own_days"] == 40
    assert rows["SOL"]["source"] == "main|SOL"
    assert whole["history"]["first_day"] < whole["history"]["last_day"]
