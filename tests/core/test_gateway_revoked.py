"""Approvals whose order is not sent: taken back at a halt, kept from nobody, known when late."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import Mode, OrderStatus, Response, Side
from riskbot.core.settings import AccountSettings, OrderRules, StrategySettings
from tests import builders
from tests.core.market import FREE, Market, codes, market

DENY = Response.DENY
GROSS = GrossExposure(max=1.0, on_breach=DENY)
BTC = "BTC/USDT:USDT"
GUARDED = {"exclusive": True, "cancel_rogue": True}


def send(made: Market, name: str, quantity: str = "1", side: str = "buy") -> str:
    """Let a strategy send what was approved, and its frame come in."""
    order = made.rest("BTC", side, quantity, price="49000", client_order_id=name)
    made.give(events.OrderUpdated(account="main", order=order))
    return order.order_id


def decisions(made: Market, kind: str) -> list[actions.RecordDecision]:
    return [d for d in made.of(actions.RecordDecision) if d.decision == kind]


# ---------------------------------------------------------------- at a halt


@pytest.mark.parametrize("mode", list(Mode))
def test_halt_takes_back_what_was_approved_and_not_sent(mode: Mode) -> None:
    made = market(GROSS, held={"ETH": (10, 2_000)}, mode=mode)
    entry = made.decide("BTC", "buy", "0.5", price="49000")["client_order_id"]
    exit_ = made.decide("ETH", "sell", "4")["client_order_id"]
    made.command("halt")
    assert made.order(entry)["status"] == "revoked"
    assert made.order(exit_)["status"] == "reserved"
    told = [n.document["status"] for n in made.of(actions.NotifyOrder)]
    assert told[-1] == "revoked"


def test_approval_that_was_taken_back_is_none_when_it_is_asked_for_again() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "1", client_order_id="a1")
    made.give(events.HaltFileSeen(reason="kill"))
    assert made.order("a1")["note"].endswith("the HALT file is there")
    assert codes(made.decide("BTC", "buy", "1", client_order_id="a1")) == {"RESERVATION_EXPIRED"}


def test_order_that_is_sent_after_a_halt_is_a_stranger_with_an_owner() -> None:
    made = market(GROSS, account=GUARDED)
    name = made.decide("BTC", "buy", "1", price="49000")["client_order_id"]
    made.command("halt")
    made.wait(3)
    made.keep = 99
    send(made, name)
    made.wait(8)
    assert made.told("rogue_order")
    assert [d.inputs["is_rogue"] for d in decisions(made, "late")] == [True]
    made.keep = 0
    made.wait(40)
    assert not made.orders["main"]
    assert made.order(name)["status"] == "canceled"
    assert not made.engine.state.reservations.strays


def test_fill_of_an_order_that_was_sent_after_a_halt_is_found_out() -> None:
    made = market(GROSS, account=GUARDED)
    name = made.decide("BTC", "buy", "0.1", price="49000")["client_order_id"]
    made.command("halt")
    made.wait(3)
    made.give(builders.fill(BTC, Side.BUY, "0.1", 49_000, order_id="v1", client_order_id=name))
    made.wait(8)
    assert made.told("rogue_order")


def test_order_that_was_on_its_way_when_the_halt_came_is_none() -> None:
    made = market(GROSS, account=GUARDED)
    name = made.decide("BTC", "buy", "1", price="49000")["client_order_id"]
    made.command("halt")
    made.now_ms += 200
    send(made, name)
    made.wait(20)
    assert not made.told("rogue_order")
    assert not made.orders["main"]
    assert made.order(name)["status"] == "canceled"


def test_measure_hold_takes_back_what_raises_its_key_alone() -> None:
    made = market(AssetExposure(max=0.5, on_breach=DENY), held={"BTC": (0.9, 50_000)})
    raising = made.decide("BTC", "buy", "0.05")["client_order_id"]
    other = made.decide("ETH", "buy", "1")["client_order_id"]
    made.price(BTC=62_000)
    made.wait(1)
    assert made.order(raising)["status"] == "revoked"
    assert made.order(other)["status"] == "reserved"


def test_hold_that_shadow_would_have_set_takes_nothing_back() -> None:
    limit = AssetExposure(max=0.5, on_breach=DENY)
    made = market(limit, held={"BTC": (0.9, 50_000)}, mode=Mode.SHADOW)
    name = made.decide("BTC", "buy", "0.05")["client_order_id"]
    made.price(BTC=62_000)
    made.wait(1)
    assert made.order(name)["status"] == "reserved"


# ---------------------------------------------------------------- exits that nobody sends


def test_exit_that_nobody_sends_makes_room_for_somebody_elses() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.command("halt")
    kept = made.decide("BTC", "sell", "0.6", strategy="trend")["client_order_id"]
    also = made.decide("BTC", "sell", "0.4", strategy="trend")["client_order_id"]
    early = made.decide("BTC", "sell", "0.5")
    assert (early["decision"], early["max_quantity"]) == ("deny", "0")
    made.wait(5)
    assert made.decide("BTC", "sell", "0.5")["decision"] == "approve"
    assert made.order(kept, "trend")["status"] == "revoked"
    assert made.order(also, "trend")["status"] == "reserved"


def test_exit_makes_no_room_for_an_order_that_is_denied_all_the_same() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.command("halt")
    kept = made.decide("BTC", "sell", "1", strategy="trend")["client_order_id"]
    made.wait(6)
    assert "QUANTITY_STEP" in codes(made.decide("BTC", "sell", "0.50001"))
    assert made.decide("BTC", "buy", "0.5")["decision"] == "deny"
    assert made.decide("BTC", "sell", "0.5", strategy="trend")["decision"] == "deny"
    assert made.order(kept, "trend")["status"] == "reserved"


def test_resized_exit_gets_what_others_left_unsent() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.command("halt")
    made.decide("BTC", "sell", "0.6", strategy="trend")
    made.wait(6)
    found = made.decide("BTC", "sell", "1.5", reduce_only=True, allow_resize=True)
    assert (found["decision"], found["order"]["quantity"]) == ("resize", "1")


def test_strategy_that_lets_exits_go_unsent_keeps_nobody_waiting_again() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.command("halt")
    name = made.decide("BTC", "sell", "1", strategy="trend")["client_order_id"]
    made.pull(name, "trend")
    again = made.decide("BTC", "sell", "1", strategy="trend")["client_order_id"]
    assert made.decide("BTC", "sell", "1")["decision"] == "approve"
    assert made.order(again, "trend")["status"] == "revoked"


def test_exit_that_was_sent_makes_room_for_none() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.decide("BTC", "sell", "1", price="51000", strategy="trend", is_submit=True)
    made.wait(6)
    denied = made.decide("BTC", "sell", "1", reduce_only=True)
    assert codes(denied) == {"NOTHING_TO_CLOSE"}


def test_riskbots_own_close_waits_for_no_approval() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.decide("BTC", "sell", "1", strategy="trend")
    made.confirm("flatten")
    assert [order.quantity for order in made.sent] == [Decimal(1)]
    assert made.quantity("BTC") == 0


# ---------------------------------------------------------------- orders that come late


def two_strategies() -> dict[str, StrategySettings]:
    return {
        name: StrategySettings(accounts=("main",), capital_usd=10_000, orders=FREE)
        for name in ("grid", "trend")
    }


def test_order_that_comes_after_its_approval_has_lapsed_has_an_owner() -> None:
    made = market(GROSS, account=GUARDED, strategies=two_strategies())
    name = made.decide("BTC", "buy", "0.1", price="49000")["client_order_id"]
    made.wait(35)
    assert made.order(name)["status"] == "expired"
    order_id = send(made, name, "0.1")
    assert (made.order(name)["status"], made.order(name)["order_id"]) == ("open", order_id)
    assert len(made.told("late_order")) == 1
    done = builders.order(
        BTC,
        "buy",
        "0.1",
        order_id=order_id,
        client_order_id=name,
        price="49000",
        filled=Decimal("0.1"),
        status=OrderStatus.FILLED,
    )
    made.orders["main"].clear()
    made.give(events.OrderUpdated(account="main", order=done))
    made.give(builders.fill(BTC, Side.BUY, "0.1", 49_000, order_id=order_id, client_order_id=name))
    made.give(
        events.PositionsUpdated(account="main", positions=(builders.position(BTC, 0.1, 49_000),))
    )
    assert made.order(name)["filled"] == "0.1"
    book = made.engine.state.measure(made.now_ms)["strategy:grid"]
    assert book.gross_usd == pytest.approx(5_000)
    made.wait(8)
    assert not made.told("rogue_order")


def test_late_order_that_has_filled_when_it_is_first_seen_is_told_of_too() -> None:
    made = market(GROSS)
    names = [made.decide("BTC", "buy", "0.1")["client_order_id"] for _ in range(2)]
    made.wait(35)
    for name in names:
        done = builders.order(
            BTC,
            "buy",
            "0.1",
            order_id=f"v{name}",
            client_order_id=name,
            filled=Decimal("0.1"),
            status=OrderStatus.FILLED,
        )
        made.give(events.OrderUpdated(account="main", order=done))
    assert [made.order(name)["status"] for name in names] == ["filled", "filled"]
    assert len(decisions(made, "late")) == 2
    assert len(made.told("late_order")) == 1


def test_late_order_that_is_not_what_was_approved_has_no_owner() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "0.1", price="49000")["client_order_id"]
    made.wait(35)
    send(made, name, "1")
    send(made, name, "0.1", side="sell")
    gone = builders.order(
        BTC, "buy", "0.1", order_id="v1", client_order_id=name, status=OrderStatus.CANCELED
    )
    made.give(events.OrderUpdated(account="main", order=gone))
    assert made.order(name)["status"] == "expired"
    assert not decisions(made, "late")


# ---------------------------------------------------------------- orders without a name


def test_unnamed_order_is_the_oldest_of_the_approvals_that_are_just_like_it() -> None:
    made = market(GROSS)
    first, second, other = (
        made.decide("BTC", "buy", quantity, price="49000", strategy=strategy)["client_order_id"]
        for quantity, strategy in (("0.1", "grid"), ("0.1", "trend"), ("0.2", "grid"))
    )
    for count in (1, 2):
        order = made.rest("BTC", "buy", "0.1", price="49000")
        made.give(events.OrderUpdated(account="main", order=order))
        assert made.order(first)["status"] == "open"
        assert (made.order(second, "trend")["status"] == "open") is (count == 2)
    assert made.order(other)["status"] == "reserved"


def test_unnamed_order_that_may_be_several_approvals_is_none_of_them() -> None:
    made = market(GROSS)
    names = [
        made.decide("BTC", "buy", quantity, price="49000")["client_order_id"]
        for quantity in ("0.2", "0.3")
    ]
    order = made.rest("BTC", "buy", "0.1", price="49000")
    made.give(events.OrderUpdated(account="main", order=order))
    assert {made.order(name)["status"] for name in names} == {"reserved"}


# ---------------------------------------------------------------- shadow


def test_order_that_shadow_would_have_denied_is_known_and_holds_nothing_until_it_is_sent() -> None:
    made = market(GROSS, account={"exclusive": True}, mode=Mode.SHADOW)
    denied = made.decide("BTC", "buy", "3", price="49000", client_order_id="a1")
    assert (denied["decision"], denied["enforced"]) == ("deny", False)
    name = denied["client_order_id"]
    assert made.decide("BTC", "buy", "2")["decision"] == "approve"
    again = made.decide("BTC", "buy", "3", price="49000", client_order_id="a1")
    assert (again["decision"], codes(again)) == ("deny", {"LIMIT_EXCEEDED"})
    send(made, name, "3")
    made.wait(8)
    assert not made.told("rogue_order")
    assert made.order(name)["status"] == "open"


def test_what_shadow_lets_pass_counts_for_no_pace() -> None:
    rules = OrderRules(max_trade=None, max_trade_risk=None, order_rate=1)
    made = market(GROSS, rules=rules, mode=Mode.SHADOW)
    made.decide("BTC", "buy", "3")
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"


# ---------------------------------------------------------------- a clock that was set back


def test_approval_lapses_and_its_order_is_missed_although_the_clock_was_set_back() -> None:
    made = market(GROSS)
    unsent = made.decide("BTC", "buy", "0.5", price="49000", client_order_id="a1")
    sent = made.decide("BTC", "buy", "0.4", price="49000")["client_order_id"]
    send(made, sent, "0.4")
    made.restart(back_ms=3_600_000)
    made.price()
    made.read()
    again = made.decide("BTC", "buy", "0.5", price="49000", client_order_id="a1")
    assert again["decision"] == "approve"
    assert again["expires_at_ms"] - made.now_ms <= 30_000 < unsent["expires_at_ms"] - made.now_ms
    made.orders["main"].clear()
    made.wait(40)
    assert made.order("a1")["status"] == "expired"
    assert made.order(sent)["status"] == "canceled"
    fresh = Engine(made.engine.settings, "rbtest")
    fresh.load(json.loads(json.dumps(made.engine.dump())))
    assert fresh.state.reservations == made.engine.state.reservations


def test_accounts_settings_need_not_be_exclusive_for_late_orders_to_be_known() -> None:
    accounts = {n: AccountSettings(exchange=n, orders=FREE) for n in ("main", "other")}
    made = market(
        GROSS,
        accounts=accounts,
        strategies={"grid": StrategySettings(accounts=("main", "other"), orders=FREE)},
    )
    name = made.decide("BTC", "buy", "0.1", price="49000")["client_order_id"]
    made.wait(35)
    elsewhere = builders.order(BTC, "buy", "0.1", account="other", client_order_id=name)
    made.give(events.OrderUpdated(account="other", order=elsewhere))
    assert made.order(name)["status"] == "expired"
