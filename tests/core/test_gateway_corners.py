"""The gateway where things are odd: other modes, lost frames, orders that are changed twice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.model import Mode, PositionSide, RejectReason, Response, Side
from riskbot.core.ordering import Stage
from riskbot.core.settings import AccountSettings, OrderRules, StrategySettings
from tests import builders
from tests.core.market import FREE, codes, market
from tests.core.test_gateway import GROSS, approved_at_venue

DENY = Response.DENY


def test_order_below_the_venues_minimum_is_denied_unless_it_closes() -> None:
    made = market(held={"ETH": (0.004, 2_000)})
    small = builders.instrument("ETH/USDT:USDT", min_quantity=Decimal("0.01"))
    made.give(builders.loaded(small))
    assert codes(made.decide("ETH", "buy", "0.005")) == {"QUANTITY_MINIMUM"}
    assert made.decide("ETH", "sell", "0.004")["decision"] == "approve"


def test_halt_file_bars_entries_in_every_mode() -> None:
    made = market(mode=Mode.SHADOW)
    made.give(events.HaltFileSeen(reason="kill"))
    found = made.decide("BTC", "buy", "0.1")
    assert (found["decision"], found["enforced"]) == ("deny", True)
    assert codes(found) == {"HALT_FILE", "TRADING_STATE"}


def test_new_risk_is_scaled_on_approach_to_a_limit() -> None:
    limit = GrossExposure(max=1.0, on_breach=DENY, on_approach=["scale"])
    made = market(limit, held={"BTC": (1.9, 50_000)})
    made.wait(1)
    found = made.decide("ETH", "buy", "2")
    assert (found["decision"], found["max_quantity"]) == ("deny", "1.25")
    assert codes(found) == {"SCALED"}
    assert made.decide("BTC", "sell", "0.1")["decision"] == "approve"


def test_limit_that_cannot_be_judged_denies() -> None:
    made = market(ValueAtRisk(max=0.1, on_breach=DENY))
    assert codes(made.decide("BTC", "buy", "0.1")) == {"LIMIT_UNKNOWN"}


def test_account_that_was_never_read_lets_nothing_pass() -> None:
    made = market(
        GROSS,
        elsewhere={"other": {}},
        accounts={
            "main": AccountSettings(exchange="binanceusdm", orders=FREE),
            "other": AccountSettings(exchange="okx", orders=FREE),
        },
        strategies={"grid": StrategySettings(accounts=("main", "other"), orders=FREE)},
    )
    fresh = Engine(made.engine.settings, "rbtest")
    made.engine = fresh
    made.give(events.Started(version="test", config_hash="x"))
    made.give(builders.loaded("BTC/USDT:USDT"))
    found = made.decide("BTC", "sell", "0.1")
    assert "BLIND_ACCOUNT" in codes(found)


def test_hedge_mode_knows_which_side_an_order_is_on() -> None:
    made = market(GROSS)
    made.give(
        builders.snapshot(
            builders.position("BTC/USDT:USDT", 1, 50_000, side=PositionSide.LONG),
            usdt=100_000,
            is_hedge_mode=True,
            as_of_ms=made.now_ms,
        )
    )
    opened = made.decide("BTC", "sell", "0.1")
    assert opened["order"]["position_side"] == "short"
    closed = made.decide("BTC", "sell", "0.4", position_side=PositionSide.LONG)
    assert (closed["order"]["is_exit"], closed["order"]["position_side"]) == (True, "long")
    marked = made.decide("BTC", "sell", "0.4", reduce_only=True)
    assert marked["order"]["position_side"] == "long"


def test_strategys_own_rules_are_over_its_own_capital() -> None:
    strict = OrderRules(max_trade=0.1, max_trade_risk=None, order_rate=None)
    made = market(
        strategies={
            "grid": StrategySettings(accounts=("main",), capital_usd=10_000, orders=strict),
            "trend": StrategySettings(accounts=("main",), orders=strict),
        }
    )
    assert made.decide("BTC", "buy", "1")["max_quantity"] == "0.02"
    assert made.decide("BTC", "buy", "1", strategy="trend")["max_quantity"] == "0.2"


def test_strategys_limit_does_not_count_what_rests_of_another() -> None:
    strategies = {
        name: StrategySettings(accounts=("main",), capital_usd=10_000, orders=FREE)
        for name in ("grid", "trend")
    }
    made = market(
        GrossExposure(max=0.5, on_breach=DENY), scope="strategy:grid", strategies=strategies
    )
    made.decide("BTC", "buy", "1", price="49000", strategy="trend", is_submit=True)
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"


def test_market_orders_and_what_is_on_its_way_cannot_be_amended() -> None:
    made = market(GROSS)
    made.vanish = 2
    at_market = made.decide("BTC", "buy", "0.1", is_submit=True)["client_order_id"]
    assert "market order" in made.amend(at_market, quantity="0.2").message
    lost = made.decide("BTC", "buy", "0.1", price="49000", is_submit=True)["client_order_id"]
    assert "not at the venue yet" in made.amend(lost, quantity="0.2").message
    assert made.pull(lost).ok
    name = made.decide("BTC", "buy", "0.1", price="49000", is_submit=True)["client_order_id"]
    made.keep = 5
    made.amend(name, price="48000")
    assert "being changed already" in made.amend(name, price="47000").message


def test_amendment_that_is_canceled_before_its_second_half_is_over() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "0.1", price="49000", is_submit=True)["client_order_id"]
    known = made.engine.state.reservations.live[name]
    gone = replace(
        known, stage=Stage.REPLACING, venue_id="", order_id=None, amend_quantity=Decimal("0.2")
    )
    made.engine.fold(actions.SetReservation(reservation=gone), made.now_ms)
    assert made.pull(name).document["status"] == "canceled"
    assert len(made.sent) == 1


def test_order_that_fills_while_it_is_pulled_for_less_is_not_replaced() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    made.keep = 1
    made.amend(name, quantity="0.5")
    made.fill(made.sent[0].client_order_id, "0.7")
    made.wait(8)
    assert made.order(name)["filled"] == "0.7"
    assert made.order(name)["status"] in {"filled", "canceled"}
    assert len(made.sent) == 1


def test_venue_that_knows_the_id_already_is_asked_what_became_of_it() -> None:
    made = market(GROSS)
    made.refuse.append(RejectReason.DUPLICATE_ID)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    assert made.order(name)["status"] == "unknown"
    assert any(q.client_order_id == name for q in made.of(actions.QueryOrder))


def test_fill_told_before_its_order_is_matched_by_its_client_id() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000")["client_order_id"]
    made.give(
        builders.fill("BTC/USDT:USDT", Side.BUY, 1, 49_000, order_id="v9", client_order_id=name)
    )
    assert (made.order(name)["status"], made.order(name)["order_id"]) == ("open", "v9")


def test_failed_read_of_orders_ends_nothing() -> None:
    made = market(GROSS)
    name = approved_at_venue(made)
    made.now_ms += 5_000
    made.give(replace(builders.snapshot(usdt=100_000, as_of_ms=made.now_ms), orders=None))
    assert made.order(name)["status"] == "open"


def test_outcomes_of_riskbots_own_orders_concern_no_reservation() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.refuse.append(RejectReason.INSUFFICIENT_MARGIN)
    made.confirm("flatten")
    made.wait(5)
    assert made.quantity("BTC") == 0
    assert not made.engine.state.reservations.live


def test_strays_of_an_account_that_is_exclusive_no_more_are_forgotten() -> None:
    made = market(GROSS, account={"exclusive": True})
    made.rest("BTC", "buy", "0.1", price="49000")
    made.wait(3)
    assert made.engine.state.reservations.strays
    open_house = AccountSettings(exchange="binanceusdm", orders=FREE)
    made.restart(replace(made.engine.settings, accounts={"main": open_house}))
    made.wait(2)
    assert not made.engine.state.reservations.strays


def test_rogue_order_that_stands_is_told_once() -> None:
    made = market(GROSS, account={"exclusive": True})
    made.rest("BTC", "buy", "0.1", price="49000")
    made.wait(20)
    strays = made.engine.state.reservations.strays
    assert [stray.is_told for stray in strays.values()] == [True]
    assert len([d for d in made.of(actions.RecordDecision) if d.decision == "rogue"]) == 1


def test_rogue_order_that_is_gone_before_it_is_told_is_forgotten() -> None:
    made = market(GROSS, account={"exclusive": True})
    made.rest("BTC", "buy", "0.1", price="49000")
    made.wait(3)
    made.orders["main"].clear()
    made.wait(8)
    assert not made.engine.state.reservations.strays
    assert not made.told("rogue_order")


def test_exits_count_beside_an_entry_of_their_side_up_to_what_is_there() -> None:
    made = market(GROSS, held={"ETH": (-30, 2_000)})
    assert made.decide("ETH", "buy", "15")["order"]["is_exit"]
    assert made.decide("ETH", "buy", "5")["order"]["is_exit"]
    assert not made.decide("ETH", "buy", "25", strategy="trend")["order"]["is_exit"]
    # 30 short, and 45 to buy: 15 long at worst; 50 is all that may be held.
    assert made.decide("ETH", "buy", "100")["max_quantity"] == "35"


def test_largest_quantity_is_exact_beside_many_positions() -> None:
    held = {f"C{n}": (10, 100) for n in range(40)}
    made = market(AssetExposure(max=0.5, on_breach=DENY), held=held)
    made.decide("BTC", "buy", "0.4")
    found = made.decide("BTC", "buy", "2")
    assert (found["decision"], found["max_quantity"]) == ("deny", "0.6")


def test_exit_that_makes_room_for_a_working_entry_is_held_against_the_limits() -> None:
    made = market(GROSS, held={"BTC": (-0.6, 50_000)})
    made.decide("BTC", "buy", "2.4")
    found = made.decide("BTC", "buy", "0.6", allow_resize=True)
    assert (found["decision"], codes(found)) == ("resize", {"LIMIT_EXCEEDED"})
    assert found["order"]["quantity"] == "0.2"
    made.command("halt")
    assert made.decide("BTC", "buy", "0.4")["decision"] == "approve"


def test_exit_beside_a_working_entry_passes_where_the_limits_let_it() -> None:
    made = market(GROSS, held={"BTC": (-0.6, 50_000)})
    made.decide("BTC", "buy", "1")
    assert made.decide("BTC", "buy", "0.6")["order"]["is_exit"]
    free = market(held={"BTC": (-0.6, 50_000)})
    free.decide("BTC", "buy", "1")
    assert free.decide("BTC", "buy", "0.6")["order"]["is_exit"]


def test_exit_of_another_position_takes_nothing_of_what_may_be_traded() -> None:
    made = market(GROSS, held={"ETH": (10, 2_000)})
    made.rest("ETH", "sell", "5", price="2100")
    made.read()
    assert made.decide("BTC", "buy", "2")["max_quantity"] == "1.6"
