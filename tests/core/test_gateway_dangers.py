"""Ways to be allowed too much, or to be kept from closing: each was open once."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.model import Mode, OrderStatus, Response, Side
from riskbot.core.settings import AccountSettings, OrderRules, StrategySettings
from tests import builders
from tests.core.market import FREE, codes, market

DENY = Response.DENY
GROSS = GrossExposure(max=1.0, on_breach=DENY)
BTC = "BTC/USDT:USDT"


def test_stop_that_rests_lets_no_exit_pass_twice() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.rest("BTC", "sell", "1", stop_price="40000", reduce_only=True, is_conditional=True)
    made.read()
    made.command("halt")
    assert made.decide("BTC", "sell", "1")["decision"] == "approve"
    assert made.decide("BTC", "sell", "1")["decision"] == "deny"


def test_approved_exit_stays_one_when_the_position_shrinks() -> None:
    made = market(GROSS, held={"BTC": (2, 50_000)})
    exit_ = made.decide("BTC", "sell", "1.2", price="51000")
    order = made.rest("BTC", "sell", "1.2", price="51000", client_order_id=exit_["client_order_id"])
    made.give(events.OrderUpdated(account="main", order=order))
    made.somebody_trades("BTC", "-1")
    made.wait(2)
    made.command("halt")
    assert made.decide("BTC", "sell", "1")["decision"] == "deny"


def test_exit_that_a_strategy_sends_itself_counts_as_an_entry_once_its_position_turned() -> None:
    made = market(GrossExposure(max=1.0, on_breach=DENY), held={"ETH": (20, 2_000)})
    made.decide("ETH", "sell", "10")
    turned = made.decide("ETH", "sell", "35", strategy="trend", is_submit=True)
    assert turned["decision"] == "approve"
    assert made.quantity("ETH") == -15
    # 15 short, and the approval for 10 more may still be sent: 50,000 of 100,000.
    assert float(made.decide("BTC", "buy", "5")["max_quantity"]) == pytest.approx(1.0)


def test_riskbots_own_order_on_its_way_counts() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.vanish = 1
    made.confirm("flatten")
    assert made.sent
    assert "NOTHING_TO_CLOSE" in codes(made.decide("BTC", "sell", "1", reduce_only=True))


def test_somebody_elses_order_takes_no_approval() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "1", price="49000")
    other = made.rest("BTC", "buy", "1", price="49000", client_order_id="web1")
    made.give(events.OrderUpdated(account="main", order=other))
    assert made.decide("BTC", "buy", "0.1")["decision"] == "deny"


def test_unnamed_order_that_riskbot_may_have_sent_takes_no_approval() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "0.5", price="49000")["client_order_id"]
    made.vanish = 1
    made.decide("BTC", "buy", "0.5", price="49000", strategy="trend", is_submit=True)
    order = made.rest("BTC", "buy", "0.5", price="49000")
    made.give(events.OrderUpdated(account="main", order=order))
    assert made.order(name)["status"] == "reserved"


def test_stops_of_what_works_count_as_risk() -> None:
    made = market(StopRisk(max=0.02, on_breach=DENY))
    assert made.decide("BTC", "buy", "0.2", stop_loss="45000")["decision"] == "approve"
    assert (
        made.decide("BTC", "buy", "0.2", price="49000", stop_loss="44500")["decision"] == "approve"
    )
    assert codes(made.decide("BTC", "buy", "0.2", stop_loss="45000")) == {"LIMIT_EXCEEDED"}


def test_approval_of_an_account_that_cannot_be_seen_lasts() -> None:
    accounts = {n: AccountSettings(exchange=n, orders=FREE) for n in ("main", "other")}
    made = market(
        GROSS,
        accounts=accounts,
        strategies={"grid": StrategySettings(accounts=("main", "other"), orders=FREE)},
    )
    made.give(builders.loaded(BTC, account="other"))
    made.decide("BTC", "buy", "3")
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(40)
    denied = made.decide("BTC", "buy", "3", account="other")
    assert "LIMIT_EXCEEDED" in codes(denied)


def test_shadow_keeps_reduce_only_whatever_it_would_decide() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)}, mode=Mode.SHADOW)
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(70)
    made.decide("BTC", "sell", "1", reduce_only=True, is_submit=True)
    assert (made.sent[-1].reduce_only, made.sent[-1].is_protective) == (True, True)


@pytest.mark.parametrize("is_submit", [False, True])
def test_shadow_says_how_much_smaller_it_would_make_an_order_and_makes_it_no_smaller(
    *, is_submit: bool
) -> None:
    made = market(GROSS, mode=Mode.SHADOW)
    found = made.decide("BTC", "buy", "3.0004", allow_resize=True, is_submit=is_submit)
    assert (found["decision"], found["enforced"], found["max_quantity"]) == ("resize", False, "2")
    # The venue takes no smaller step: that much is no decision of riskbot's.
    assert found["order"]["quantity"] == "3"
    assert [order.quantity for order in made.sent] == [Decimal(3)] * is_submit


def test_parent_is_not_exceeded_when_its_fills_are_told_late() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    first = made.sent[0].client_order_id
    made.keep = 9
    made.amend(name, price="48500")
    made.fill(first, "0.5")
    known = made.known[first]
    made.known[first] = replace(known, status=OrderStatus.CANCELED)
    made.orders["main"].clear()
    stale = replace(known, filled=Decimal(0), status=OrderStatus.CANCELED)
    made.give(events.OrderUpdated(account="main", order=stale))
    made.wait(2)
    assert [order.quantity for order in made.sent] == [Decimal(1), Decimal("0.5")]


def test_position_that_is_told_before_its_fill_lets_the_rest_be_closed() -> None:
    made = market(GROSS, held={"BTC": (2, 50_000)})
    made.read()
    made.command("halt")
    made.now_ms += 1
    made.give(
        events.PositionsUpdated(account="main", positions=(builders.position(BTC, 1, 50_000),))
    )
    made.give(builders.fill(BTC, Side.SELL, 1, 50_000, order_id="o1"))
    assert made.decide("BTC", "sell", "1")["decision"] == "approve"


def test_exit_beside_an_entry_is_not_barred_by_what_cannot_be_judged() -> None:
    made = market(ValueAtRisk(max=0.1, on_breach=DENY), held={"BTC": (-1, 50_000)})
    made.rest("BTC", "buy", "3", price="49000")
    made.read()
    assert made.decide("BTC", "buy", "1", reduce_only=True)["decision"] == "approve"


def test_id_whose_answer_is_forgotten_sends_nothing_more() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "0.5", price="49000", client_order_id="a1", is_submit=True)
    made.engine.state.reservations.answers.clear()
    again = made.ask("BTC", "buy", "0.5", price="49000", client_order_id="a1", is_submit=True)
    assert (again.ok, again.document["status"]) == (False, 409)
    assert len(made.sent) == 1


def test_approval_that_was_given_back_is_none() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "2", client_order_id="a1")
    made.pull("a1")
    assert codes(made.decide("BTC", "buy", "2", client_order_id="a1")) == {"RESERVATION_EXPIRED"}
    made.decide("BTC", "buy", "2", client_order_id="a2")


def test_approved_name_explains_no_more_than_was_approved() -> None:
    made = market(GROSS, account={"exclusive": True, "cancel_rogue": True})
    name = made.decide("BTC", "buy", "0.1", price="49000")["client_order_id"]
    order = made.rest("BTC", "buy", "1", price="49000", client_order_id=name)
    made.give(events.OrderUpdated(account="main", order=order))
    made.wait(8)
    assert made.told("rogue_order")
    posing = made.rest("BTC", "buy", "0.1", price="48000", client_order_id="rbtest99")
    made.wait(8)
    assert posing.order_id not in made.orders["main"]


def test_rogue_stop_that_protects_is_never_canceled() -> None:
    made = market(
        GROSS, held={"BTC": (1, 50_000)}, account={"exclusive": True, "cancel_rogue": True}
    )
    made.decide("BTC", "sell", "1", price="52000", is_submit=True)
    stop = made.rest("BTC", "sell", "1", stop_price="45000", is_conditional=True)
    made.wait(8)
    assert stop.order_id in made.orders["main"]


def test_checkpoint_keeps_fills_that_the_position_does_not_show() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "1.9", price="49000", is_submit=True)
    made.hold_back = True
    made.fill(made.sent[0].client_order_id, "1.9")
    fresh = Engine(made.engine.settings, "rbtest")
    fresh.load(json.loads(json.dumps(made.engine.dump())))
    made.engine = fresh
    assert made.decide("BTC", "buy", "1.9")["decision"] == "deny"


def test_amended_orders_leave_no_names_behind() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    for number in range(10):
        made.amend(name, price=str(48_900 - number))
        made.wait(2)
    assert len(made.sent) == 11
    assert len(made.engine.state.reservations.names) <= 4


def test_amendments_count_for_the_order_rate_once() -> None:
    rules = OrderRules(max_trade=None, max_trade_risk=None, order_rate=2)
    made = market(GROSS, rules=rules)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    assert made.amend(name, price="48900").document["decision"] == "approve"
    made.wait(2)
    assert len(made.sent) == 2
    assert codes(made.amend(name, price="48800").document) == {"ORDER_RATE"}


def test_value_of_an_order_is_what_it_can_cost() -> None:
    rules = OrderRules(
        max_trade=None, max_trade_risk=None, price_collar=None, max_order_value=1_000
    )
    made = market(rules=rules)
    assert "MAX_ORDER_VALUE" in codes(made.decide("BTC", "sell", "1", price="50"))
    inverse = builders.instrument("BTC/USD:BTC")
    made.marks["BTC/USD:BTC"] = 50_000.0
    made.give(builders.loaded(inverse))
    made.price()
    found = made.decide("BTC", "buy", "50000", price="500", symbol="BTC/USD:BTC")
    assert "MAX_ORDER_VALUE" in codes(found)


def test_what_is_there_may_be_closed_where_it_may_not_be_traded() -> None:
    made = market(held={"BTC": (1, 50_000)}, account={"instruments": ("ETH/USDT:USDT",)})
    assert made.decide("BTC", "sell", "1")["decision"] == "approve"
    assert codes(made.decide("BTC", "buy", "1")) == {"INSTRUMENT_NOT_ALLOWED"}


def test_late_fill_of_a_checked_order_is_no_stranger() -> None:
    made = market(GROSS, account={"exclusive": True})
    name = made.decide("BTC", "buy", "0.1", price="49000")["client_order_id"]
    order = builders.order(BTC, "buy", "0.1", order_id="v1", client_order_id=name, price="49000")
    made.give(events.OrderUpdated(account="main", order=order))
    done = replace(order, filled=Decimal("0.1"), status=OrderStatus.FILLED)
    made.give(events.OrderUpdated(account="main", order=done))
    made.give(builders.fill(BTC, Side.BUY, "0.1", 49_000, order_id="v1"))
    made.wait(8)
    assert not made.told("rogue_order")
    assert not [d for d in made.of(actions.RecordDecision) if d.decision == "rogue"]


def test_every_reason_is_listed_also_where_the_state_alone_would_deny() -> None:
    made = market(GROSS, rules=replace(FREE, price_collar=0.03))
    made.command("halt")
    found = made.decide("BTC", "buy", "2.0004", price="60000", allow_resize=True)
    assert [reason["code"] for reason in found["reasons"]] == [
        "QUANTITY_STEP",
        "TRADING_STATE",
        "PRICE_COLLAR",
        "LIMIT_EXCEEDED",
    ]
    assert (found["decision"], found["max_quantity"]) == ("deny", "0")
