"""`on_approach: reduce`: closed to below orange before the limit breaks, and nothing forbidden."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.duty import IntentPhase
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.model import PORTFOLIO, Mode, Response, TradingState
from tests import builders
from tests.core.world import World, world

BTC = "BTC/USDT:USDT"
GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE, on_approach=["reduce"])


def calm(*limits: Any, **fields: Any) -> World:
    """BTC worth 1.67 times equity: orange of 2.0 begins at 1.8."""
    made = world(*(limits or (GROSS,)), held={"BTC": (3, 50_000)}, usdt=90_000, **fields)
    made.wait(2)
    return made


def gross(made: World) -> float:
    return abs(float(made.quantity("BTC"))) * made.marks[BTC] / made.equity()


def intents(made: World) -> list[tuple[tuple[str, str], ...]]:
    return list(dict.fromkeys(a.intent.causes for a in made.of(actions.SetIntent)))


def test_reduce_in_orange_closes_to_where_orange_clears_and_forbids_nothing() -> None:
    made = calm()
    entry = made.rest("BTC", "buy", "0.1", price=30_000)
    made.read()
    made.price(BTC=46_000)
    assert made.sent == []
    made.price(BTC=43_500)
    made.wait(5)
    (order,) = made.sent
    assert (order.side.value, order.reduce_only) == ("sell", True)
    assert 1.60 < gross(made) <= 1.62
    assert intents(made) == [((PORTFOLIO, "reduce:approach:gross_exposure"),)]
    # Nothing is held against anybody, and what works goes on.
    assert made.engine.state.enforcement.holds == {}
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.ACTIVE
    assert list(made.orders["main"]) == [entry.order_id]
    assert not made.engine.state.enforcement.intents
    assert "reduced main, verified" in {a.alert.did for a in made.told("gross_exposure")}


def test_orange_without_it_closes_nothing() -> None:
    made = calm(GrossExposure(max=2.0, on_breach=Response.REDUCE, on_approach=["scale"]))
    made.price(BTC=43_500)
    made.wait(5)
    assert made.sent == []


def test_one_source_in_orange_closes_nothing() -> None:
    made = calm()
    for _ in range(5):
        made.now_ms += 1_000
        made.read()
        others = {"index": 45_000, "bid": 44_999, "ask": 45_001}
        made.give(builders.prices(BTC, 43_500, venue_ms=made.now_ms, **others))
    assert made.sent == []


def test_strategy_that_opens_against_it_is_closed_once_a_minute() -> None:
    made = calm()
    made.price(BTC=43_500)
    made.wait(5)
    assert len(made.sent) == 1
    made.somebody_trades("BTC", "0.35")
    made.wait(40)
    assert len(made.sent) == 1
    made.wait(25)
    assert len(made.sent) == 2
    # What it pushes over the limit is not waited for.
    made.somebody_trades("BTC", "0.8")
    made.wait(5)
    assert len(made.sent) == 3
    assert made.engine.state.enforcement.holds[PORTFOLIO, "gross_exposure"]


def test_keyed_limit_reduces_what_is_near_and_leaves_the_rest() -> None:
    limit = AssetExposure(max=0.5, on_breach=Response.DENY, on_approach=["reduce"])
    made = world(limit, held={"BTC": (0.8, 50_000), "ETH": (10, 2_000)})
    made.wait(2)
    made.price(BTC=62_000)
    made.wait(5)
    assert {o.symbol for o in made.sent} == {BTC}
    assert 0.39 < float(made.quantity("BTC")) * 62_000 / made.equity() <= 0.405


def test_net_is_reduced_on_its_own_side() -> None:
    limit = NetExposure(max=0.5, on_breach=Response.REDUCE, on_approach=["reduce"])
    made = world(limit, held={"BTC": (1.4, 50_000), "ETH": (-15, 2_000)})
    made.wait(2)
    made.price(BTC=57_000)
    made.wait(5)
    assert {o.symbol for o in made.sent} == {BTC}
    net = float(made.quantity("BTC")) * 57_000 - 30_000
    assert net / made.equity() == pytest.approx(0.405, abs=0.005)


def test_orange_that_stands_at_first_contact_waits_until_it_has_cleared() -> None:
    made = world(GROSS, held={"BTC": (3.7, 50_000)})
    made.wait(70)
    assert made.sent == []
    contact = made.engine.state.enforcement.contacts[PORTFOLIO, "gross_exposure"]
    assert not contact.is_armed
    made.price(BTC=60_000)
    assert made.engine.state.enforcement.contacts[PORTFOLIO, "gross_exposure"].is_armed
    made.price(BTC=50_000)
    made.wait(3)
    assert len(made.sent) == 1


def test_shadow_says_once_what_it_would_have_closed() -> None:
    made = calm(mode=Mode.SHADOW)
    made.price(BTC=43_500)
    made.wait(130)
    rows = [r for r in made.of(actions.RecordDecision) if r.decision == "would_reduce"]
    assert [row.limit for row in rows] == ["gross_exposure"]
    assert made.sent == []
    assert any("reduce to below orange" in a.alert.did for a in made.told("gross_exposure"))


def test_back_below_orange_before_a_send_drops_it() -> None:
    made = calm()
    made.deaf.add("main")
    made.give(events.FeedLost(account="main", feed="account", reason="closed"))
    made.now_ms += 2_000
    made.price(BTC=43_500)
    assert made.engine.state.enforcement.intents["main"].phase is IntentPhase.READ
    made.price(BTC=53_000)
    made.deaf.clear()
    made.wait(3)
    assert made.sent == []
    assert not made.engine.state.enforcement.intents


def test_halt_during_it_cancels_entries_without_waiting_for_its_end() -> None:
    made = calm(GROSS, DailyLoss(max=0.30, on_breach=Response.HALT))
    entry = made.rest("BTC", "buy", "0.1", price=30_000)
    made.read()
    made.fill_share = Decimal("0.1")
    made.deaf.add("main")
    made.price(BTC=43_500)
    assert made.engine.state.enforcement.intents["main"].cancel_symbols == ()
    assert entry.order_id in made.orders["main"]
    made.price(BTC=40_000)
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED
    assert entry.order_id not in made.orders["main"]
    causes = {label for i in made.of(actions.SetIntent) for _, label in i.intent.causes}
    assert {"reduce:approach:gross_exposure", "cancel:daily_loss"} <= causes


def test_target_is_never_above_the_limits_own() -> None:
    assert GROSS.approach_target == pytest.approx(0.81)
    assert GrossExposure(max=2, target=0.5).approach_target == 0.5
