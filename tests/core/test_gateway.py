"""The gateway as a strategy meets it: asked, answered, reserved, placed, followed to the end."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from riskbot.core import actions, events
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.trades_per_day import TradesPerDay
from riskbot.core.model import Mode, PositionKey, PositionSide, RejectReason, Response
from riskbot.core.settings import OrderRules, StrategySettings
from tests.core.market import FREE, Market, codes, market

DENY = Response.DENY
GROSS = GrossExposure(max=1.0, on_breach=DENY)


# ---------------------------------------------------------------- a check


def test_order_within_every_limit_is_approved_and_reserved() -> None:
    made = market(GROSS)
    answer = made.decide("BTC", "buy", "1")
    json.dumps(answer)
    assert (answer["decision"], answer["enforced"], answer["reasons"]) == ("approve", True, [])
    assert answer["max_quantity"] == "2"
    assert answer["expires_at_ms"] == made.now_ms + 30_000
    assert answer["client_order_id"] == answer["reservation_id"]
    assert not made.sent


def test_reservation_counts_until_it_expires() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "1.5")
    denied = made.decide("BTC", "buy", "1", strategy="trend")
    assert (denied["decision"], denied["max_quantity"]) == ("deny", "0.5")
    assert codes(denied) == {"LIMIT_EXCEEDED"}
    assert denied["reasons"][0]["limit"] == "gross_exposure"
    made.wait(31)
    assert made.decide("BTC", "buy", "1")["decision"] == "approve"


def test_smaller_quantity_is_offered_only_where_it_is_wanted() -> None:
    made = market(GROSS)
    assert made.decide("BTC", "buy", "3")["decision"] == "deny"
    resized = made.decide("BTC", "buy", "3", allow_resize=True)
    assert (resized["decision"], resized["order"]["quantity"]) == ("resize", "2")
    assert codes(resized) == {"LIMIT_EXCEEDED"}


def test_every_reason_is_listed_at_once() -> None:
    rules = OrderRules(
        max_trade=0.1,
        max_trade_risk=0.01,
        price_collar=0.03,
        max_order_value=1_000,
        max_order_quantity={"BTC/USDT:USDT": 0.5},
        require_stop=True,
    )
    made = market(GROSS, rules=rules)
    found = made.decide("BTC", "buy", "3.0001", price="60000", stop_loss="70000")
    assert {"QUANTITY_STEP", "PRICE_COLLAR", "STOP_WRONG_SIDE"} <= codes(found)
    bounded = made.decide("BTC", "buy", "3", stop_loss="40000")
    assert codes(bounded) == {
        "MAX_TRADE",
        "MAX_TRADE_RISK",
        "MAX_ORDER_VALUE",
        "MAX_ORDER_QUANTITY",
        "LIMIT_EXCEEDED",
    }
    assert "STOP_REQUIRED" in codes(made.decide("BTC", "buy", "0.01"))


@pytest.mark.parametrize(
    ("price", "passes"),
    [("51500", True), ("51500.1", False), ("48000", True), ("51499.9", True)],
)
def test_collar_holds_to_the_tick_on_the_worse_side_alone(price: str, passes: bool) -> None:
    made = market(rules=OrderRules(max_trade=None, max_trade_risk=None, price_collar=0.03))
    found = made.decide("BTC", "buy", "0.01", price=price)
    assert (found["decision"] == "approve") is passes, found
    assert passes or codes(found) == {"PRICE_COLLAR"}


def test_nothing_passes_without_a_fresh_price() -> None:
    made = market(GROSS)
    made.muted.add("main")
    made.now_ms += 8_000
    made.read()
    found = made.decide("BTC", "buy", "0.01", price="50000")
    assert found["decision"] == "deny"
    assert "BLIND_PRICE" in codes(found)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"account": "other"}, "ACCOUNT_NOT_ALLOWED"),
        ({"strategy": "stranger"}, "ACCOUNT_NOT_ALLOWED"),
        ({"symbol": "XYZ/USDT:USDT"}, "INSTRUMENT_UNKNOWN"),
        ({"symbol": "ETH/USDT:USDT"}, "INSTRUMENT_NOT_ALLOWED"),
        ({"position_side": "long"}, "POSITION_SIDE"),
        ({"price": "50000.001"}, "PRICE_TICK"),
        ({"reduce_only": True}, "NOTHING_TO_CLOSE"),
    ],
)
def test_what_is_not_permitted_is_denied_in_every_mode(
    fields: dict[str, object], code: str
) -> None:
    made = market(mode=Mode.SHADOW, account={"instruments": ("BTC/USDT:USDT",)})
    found = made.decide("BTC", "buy", "1", **fields)
    assert (found["decision"], found["enforced"]) == ("deny", True)
    assert code in codes(found)
    assert not made.engine.state.reservations.live


def test_shadow_says_what_it_would_do_and_lets_submit_pass() -> None:
    made = market(GROSS, mode=Mode.SHADOW)
    checked = made.decide("BTC", "buy", "3")
    assert (checked["decision"], checked["enforced"]) == ("deny", False)
    submitted = made.decide("BTC", "buy", "3", is_submit=True)
    assert (submitted["decision"], submitted["enforced"]) == ("deny", False)
    assert made.quantity("BTC") == 3
    assert [d.decision for d in made.of(actions.RecordDecision) if d.actor == "strategy:grid"] == [
        "would_deny",
        "would_deny",
    ]


def test_operators_halt_binds_in_shadow_too() -> None:
    made = market(GROSS, mode=Mode.SHADOW)
    made.command("halt", reason="lunch")
    found = made.decide("BTC", "buy", "0.1", is_submit=True)
    assert (found["decision"], found["enforced"]) == ("deny", True)
    assert codes(found) == {"TRADING_STATE"}
    assert not made.sent


# ---------------------------------------------------------------- states and exits


def test_halted_lets_exits_pass_and_nothing_else() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.command("halt")
    assert codes(made.decide("BTC", "buy", "0.1")) == {"TRADING_STATE"}
    assert made.decide("BTC", "sell", "0.6")["decision"] == "approve"
    beyond = made.decide("BTC", "sell", "0.6")
    assert (beyond["decision"], beyond["max_quantity"]) == ("deny", "0.4")
    rest = made.decide("BTC", "sell", "0.6", allow_resize=True)
    assert (rest["decision"], rest["order"]["quantity"]) == ("resize", "0.4")
    assert made.decide("BTC", "sell", "0.1")["max_quantity"] == "0"


def test_exit_passes_while_the_account_is_blind_for_a_minute() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(30)
    assert "BLIND_ACCOUNT" in codes(made.decide("BTC", "buy", "0.1"))
    assert made.decide("BTC", "sell", "0.5")["decision"] == "approve"
    made.wait(40)
    assert codes(made.decide("BTC", "sell", "0.5")) == {"BLIND_ACCOUNT"}


def test_reduce_only_never_goes_beyond_what_is_there() -> None:
    made = market(GROSS, held={"BTC": (1, 50_000)})
    assert codes(made.decide("BTC", "sell", "1.5", reduce_only=True)) == {"EXCEEDS_POSITION"}
    assert codes(made.decide("BTC", "buy", "0.5", reduce_only=True)) == {"NOTHING_TO_CLOSE"}
    cut = made.decide("BTC", "sell", "1.5", reduce_only=True, allow_resize=True)
    assert (cut["decision"], cut["order"]["quantity"], cut["order"]["is_exit"]) == (
        "resize",
        "1",
        True,
    )


def test_measure_hold_denies_its_own_key_alone() -> None:
    limit = AssetExposure(max=0.5, on_breach=DENY)
    made = market(limit, held={"BTC": (0.9, 50_000)})
    made.price(BTC=62_000)
    made.wait(1)
    found = made.decide("BTC", "buy", "0.01")
    assert "MEASURE_HOLD" in codes(found)
    assert made.decide("ETH", "buy", "1")["decision"] == "approve"
    assert made.decide("BTC", "sell", "0.1")["decision"] == "approve"


def test_breach_denies_the_order_that_comes_a_millisecond_later() -> None:
    made = market(
        Leverage(max=1.0, on_breach=Response.HALT),
        scope="account:main",
        held={"BTC": (-1.5, 50_000)},
    )
    made.price(BTC=65_000)
    made.now_ms += 1
    found = made.decide("ETH", "buy", "0.1")
    assert "TRADING_STATE" in codes(found)


def test_day_that_is_used_up_bars_entries() -> None:
    made = market(TradesPerDay(max=1, on_breach=DENY))
    made.somebody_trades("ETH", "1")
    made.somebody_trades("ETH", "1")
    made.wait(1)
    assert "TRADING_STATE" in codes(made.decide("BTC", "buy", "0.1"))


# ---------------------------------------------------------------- pace, likeness, crossing


def test_rate_counts_what_was_approved_within_a_minute() -> None:
    rules = OrderRules(max_trade=None, max_trade_risk=None, order_rate=2)
    made = market(rules=rules)
    assert made.decide("BTC", "buy", "0.01")["decision"] == "approve"
    assert made.decide("BTC", "buy", "0.01")["decision"] == "approve"
    assert codes(made.decide("BTC", "buy", "0.01")) == {"ORDER_RATE"}
    assert "ORDER_RATE" in codes(made.decide("BTC", "buy", "0.01", strategy="trend"))
    made.wait(61)
    assert made.decide("BTC", "buy", "0.01")["decision"] == "approve"


def test_same_order_again_within_the_window_is_a_duplicate() -> None:
    rules = OrderRules(max_trade=None, max_trade_risk=None, duplicate_window_s=10)
    made = market(rules=rules)
    made.decide("BTC", "buy", "0.01", price="49000")
    assert codes(made.decide("BTC", "buy", "0.01", price="49000")) == {"DUPLICATE"}
    assert made.decide("BTC", "buy", "0.01", price="49001")["decision"] == "approve"
    assert (
        made.decide("BTC", "buy", "0.01", price="49000", strategy="trend")["decision"] == "approve"
    )
    made.wait(11)
    assert made.decide("BTC", "buy", "0.01", price="49000")["decision"] == "approve"


def test_entry_that_would_trade_with_an_own_order_is_denied() -> None:
    made = market()
    made.decide("BTC", "sell", "0.1", price="50100", is_submit=True)
    assert codes(made.decide("BTC", "buy", "0.1", price="50100", strategy="trend")) == {
        "OWN_ORDER_CROSSING"
    }
    assert made.decide("BTC", "buy", "0.1", price="50099")["decision"] == "approve"


# ---------------------------------------------------------------- client ids


def test_same_id_gets_the_same_answer_and_one_order() -> None:
    made = market(GROSS)
    first = made.decide("BTC", "buy", "0.5", client_order_id="a1", is_submit=True)
    for _ in range(50):
        again = made.decide("BTC", "buy", "0.5", client_order_id="a1", is_submit=True)
        assert again["reservation_id"] == first["reservation_id"]
    assert len(made.sent) == 1
    clash = made.ask("BTC", "buy", "0.6", client_order_id="a1", is_submit=True)
    assert (clash.ok, clash.document["status"]) == (False, 409)
    assert (
        made.decide("BTC", "buy", "0.5", client_order_id="a1", is_submit=True)["order"]["status"]
        == "filled"
    )


def test_denial_is_remembered_by_its_id_too() -> None:
    made = market(GROSS)
    assert made.decide("BTC", "buy", "3", client_order_id="a1")["decision"] == "deny"
    made.somebody_trades("ETH", "-1")
    assert made.decide("BTC", "buy", "3", client_order_id="a1")["decision"] == "deny"


def test_approval_that_has_expired_is_none_any_more() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "1", client_order_id="a1")
    made.wait(31)
    assert codes(made.decide("BTC", "buy", "1", client_order_id="a1")) == {"RESERVATION_EXPIRED"}


def test_ids_that_clash_or_pose_as_riskbots_are_refused() -> None:
    made = market(GROSS)
    assert made.decide("BTC", "buy", "0.1", client_order_id="a1")["client_order_id"] == "a1"
    clash = made.ask("BTC", "buy", "0.1", client_order_id="a1", strategy="trend")
    assert clash.document["status"] == 409
    assert made.ask("BTC", "buy", "0.1", client_order_id="rb1").document["status"] == 409


def test_id_that_no_venue_takes_is_answered_with_one_that_does() -> None:
    made = market(GROSS)
    found = made.decide("BTC", "buy", "0.1", client_order_id="grid-7 long/θ")
    assert found["client_order_id"].isalnum()
    assert made.order("grid-7 long/θ")["status"] == "reserved"
    assert made.order(found["client_order_id"])["status"] == "reserved"


# ---------------------------------------------------------------- checked orders at the venue


def approved_at_venue(made: Market, quantity: str = "1", **order: object) -> str:
    answer = made.decide("BTC", "buy", quantity, price="49000")
    name = str(answer["client_order_id"])
    made.give(
        events.OrderUpdated(
            account="main",
            order=made.rest("BTC", "buy", quantity, price="49000", client_order_id=name, **order),
        )
    )
    return name


def test_checked_order_is_counted_once_when_it_shows_up() -> None:
    made = market(GROSS)
    name = approved_at_venue(made)
    assert made.order(name)["status"] == "open"
    made.wait(40)
    assert made.order(name)["status"] == "open"
    assert made.decide("ETH", "buy", "100")["max_quantity"] == "25"


def test_order_without_its_id_matches_the_one_approval_it_can_be() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000")["client_order_id"]
    order = made.rest("BTC", "buy", "1", price="49000")
    made.give(events.OrderUpdated(account="main", order=order))
    assert made.order(name)["order_id"] == order.order_id


def test_checked_order_that_is_over_lets_go_and_is_looked_up_when_nobody_says_how() -> None:
    made = market(GROSS)
    name = approved_at_venue(made)
    made.orders["main"].clear()
    made.wait(20)
    assert made.order(name)["status"] == "canceled"
    assert any(q.client_order_id == name for q in made.of(actions.QueryOrder))
    assert made.decide("BTC", "buy", "2")["decision"] == "approve"


def test_approval_is_given_back() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "2")["client_order_id"]
    assert made.pull(name).document["status"] == "canceled"
    assert made.decide("BTC", "buy", "2")["decision"] == "approve"


# ---------------------------------------------------------------- submitted orders


def test_submitted_order_is_placed_once_and_followed_to_its_end() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    (sent,) = made.sent
    assert (sent.quantity, sent.price, sent.reduce_only, sent.strategy) == (
        Decimal(1),
        Decimal(49_000),
        False,
        "grid",
    )
    assert made.order(name)["status"] == "open"
    made.fill(sent.client_order_id, "0.4")
    made.fill(sent.client_order_id, "0.6")
    assert (made.order(name)["status"], made.order(name)["filled"]) == ("filled", "1")
    told = [n.document["status"] for n in made.of(actions.NotifyOrder)]
    assert (told[0], told[-1]) == ("sent", "filled")
    assert not made.engine.state.reservations.live


def test_market_entry_ends_at_its_collar_and_exit_is_plain() -> None:
    rules = OrderRules(max_trade=None, max_trade_risk=None, price_collar=0.01)
    made = market(rules=rules)
    made.decide("BTC", "buy", "1", is_submit=True)
    assert (made.sent[0].price, made.sent[0].time_in_force.value) == (Decimal("50500.0"), "ioc")
    made.decide("BTC", "sell", "1", is_submit=True)
    assert (made.sent[1].price, made.sent[1].reduce_only) == (None, True)
    assert made.quantity("BTC") == 0


def test_refused_order_lets_go_of_its_exposure() -> None:
    made = market(GROSS)
    made.refuse.append(RejectReason.INSUFFICIENT_MARGIN)
    name = made.decide("BTC", "buy", "2", is_submit=True)["client_order_id"]
    assert made.order(name)["status"] == "rejected"
    assert "INSUFFICIENT_MARGIN" in made.order(name)["note"]
    assert made.decide("BTC", "buy", "2")["decision"] == "approve"


def test_lost_reply_is_looked_up_and_nothing_is_sent_twice() -> None:
    made = market(GROSS)
    made.lose = 1
    name = made.decide("BTC", "buy", "2", price="49000", is_submit=True)["client_order_id"]
    made.wait(1)
    assert made.order(name)["status"] == "open"
    assert len(made.sent) == 1
    assert made.decide("BTC", "buy", "0.1")["decision"] == "deny"


def test_order_that_never_arrived_is_absent_after_ten_seconds() -> None:
    made = market(GROSS)
    made.vanish = 1
    name = made.decide("BTC", "buy", "2", price="49000", is_submit=True)["client_order_id"]
    made.wait(9)
    assert made.order(name)["status"] == "unknown"
    made.wait(8)
    assert made.order(name)["status"] == "absent"


def test_cancel_is_done_at_the_venue_and_told() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "2", price="49000", is_submit=True)["client_order_id"]
    assert made.pull(name).ok
    made.wait(2)
    assert made.order(name)["status"] == "canceled"
    assert not made.orders["main"]
    again = made.pull(name)
    assert (again.ok, again.document["status"]) == (False, 409)
    assert made.pull("nothing").document["status"] == 404
    assert made.pull(name, strategy="trend").document["status"] == 404


def test_amended_order_is_checked_and_never_exceeds_its_parent() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    made.fill(made.sent[0].client_order_id, "0.4")
    assert made.amend(name, quantity="3").document["decision"] == "deny"
    assert made.amend(name, quantity="1.5", price="48000").document["decision"] == "approve"
    made.wait(2)
    assert [o.quantity for o in made.sent] == [Decimal(1), Decimal("1.1")]
    order = made.order(name)
    assert (order["quantity"], order["price"], order["filled"]) == ("1.5", "48000", "0.4")
    made.fill(made.sent[1].client_order_id, "1.1")
    assert (made.order(name)["status"], made.order(name)["filled"]) == ("filled", "1.5")
    assert made.quantity("BTC") == Decimal("1.5")


def test_amendment_is_dropped_when_trading_was_halted_meanwhile() -> None:
    made = market(GROSS)
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    made.keep = 1
    made.amend(name, price="48000")
    made.command("halt")
    made.wait(8)
    assert made.order(name)["status"] == "canceled"
    assert len(made.sent) == 1


def test_what_cannot_be_amended_says_why() -> None:
    made = market(GROSS)
    checked = made.decide("BTC", "buy", "0.1")["client_order_id"]
    assert made.amend(checked, quantity="0.2").document["status"] == 409
    name = made.decide("BTC", "buy", "1", price="49000", is_submit=True)["client_order_id"]
    made.fill(made.sent[0].client_order_id, "0.4")
    assert "filled already" in made.amend(name, quantity="0.3").message


# ---------------------------------------------------------------- fills the position does not show


def test_fill_counts_although_its_position_comes_later() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "2", price="49000", is_submit=True)
    made.hold_back = True
    made.fill(made.sent[0].client_order_id, "2")
    assert made.engine.state.quantity(PositionKey("main", "BTC/USDT:USDT", PositionSide.NET)) == 0
    assert made.decide("BTC", "buy", "0.1")["decision"] == "deny"
    made.release()
    assert made.decide("BTC", "buy", "0.1")["decision"] == "deny"
    made.wait(3)
    made.decide("BTC", "sell", "2", is_submit=True)
    made.wait(3)
    assert made.decide("BTC", "buy", "1.9")["decision"] == "approve"


# ---------------------------------------------------------------- restart


def test_restart_keeps_reservations_answers_and_orders() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "1", client_order_id="a1")
    made.lose = 1
    made.decide("BTC", "buy", "0.5", price="49000", client_order_id="a2", is_submit=True)
    before = made.engine.state.reservations.dump()
    made.restart()
    made.read()
    assert made.order("a1")["status"] == "reserved"
    made.wait(2)
    assert made.order("a2")["status"] == "open"
    assert len(made.sent) == 1
    again = made.decide("BTC", "buy", "1", client_order_id="a1")
    assert again["decision"] == "approve"
    assert before["answers"].keys() == {"grid|a1", "grid|a2"}
    assert made.decide("BTC", "buy", "0.6")["decision"] == "deny"


def test_checkpoint_holds_everything_the_gateway_knows() -> None:
    made = market(GROSS)
    made.decide("BTC", "buy", "1", client_order_id="a1")
    dumped = json.loads(json.dumps(made.engine.dump()))
    made.engine.load(dumped)
    assert made.order("a1")["status"] == "reserved"


# ---------------------------------------------------------------- strategies


def test_strategys_own_limit_counts_its_own_orders_alone() -> None:
    strategies = {
        "grid": StrategySettings(accounts=("main",), capital_usd=10_000, orders=FREE),
        "trend": StrategySettings(accounts=("main",), capital_usd=10_000, orders=FREE),
    }
    made = market(
        GrossExposure(max=0.5, on_breach=DENY), scope="strategy:grid", strategies=strategies
    )
    assert made.decide("BTC", "buy", "1", strategy="trend")["decision"] == "approve"
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"
    assert codes(made.decide("BTC", "buy", "0.001")) == {"LIMIT_EXCEEDED"}


def test_fills_of_approved_orders_belong_to_their_strategy() -> None:
    strategies = {"grid": StrategySettings(accounts=("main",), capital_usd=10_000, orders=FREE)}
    made = market(strategies=strategies)
    made.decide("BTC", "buy", "0.1", price="49000", is_submit=True)
    made.fill(made.sent[0].client_order_id, "0.1")
    book = made.engine.state.measure(made.now_ms)["strategy:grid"]
    assert book.gross_usd == pytest.approx(5_000)


# ---------------------------------------------------------------- past the gateway


def test_order_that_bypasses_an_exclusive_account_is_told_and_canceled() -> None:
    made = market(GROSS, account={"exclusive": True, "cancel_rogue": True})
    order = made.rest("BTC", "buy", "0.1", price="49000", client_order_id="mine")
    made.give(events.OrderUpdated(account="main", order=order))
    made.wait(3)
    assert not made.told("rogue_order")
    made.wait(4)
    assert made.told("rogue_order")
    assert order.order_id not in made.orders["main"]


def test_rogue_exit_is_told_and_stays() -> None:
    made = market(
        GROSS, held={"BTC": (1, 50_000)}, account={"exclusive": True, "cancel_rogue": True}
    )
    order = made.rest("BTC", "sell", "0.1", price="51000", reduce_only=True)
    made.wait(8)
    assert made.told("rogue_order")
    assert order.order_id in made.orders["main"]


def test_fill_that_nobody_approved_is_found_out() -> None:
    made = market(GROSS, account={"exclusive": True})
    made.somebody_trades("BTC", "0.1")
    made.wait(7)
    assert made.told("rogue_order")
    # It stands for a while: nobody sees what rings for a second.
    made.wait(60)
    assert made.engine.state.reservations.strays
    made.wait(240)
    assert not made.engine.state.reservations.strays


def test_approved_and_own_orders_are_no_rogues() -> None:
    made = market(GROSS, account={"exclusive": True, "cancel_rogue": True})
    name = approved_at_venue(made, "0.1")
    made.decide("BTC", "buy", "0.1", price="48000", is_submit=True)
    made.fill(made.sent[0].client_order_id, "0.1")
    made.wait(8)
    assert not made.told("rogue_order")
    assert made.order(name)["status"] == "open"
