"""What the gateway keeps is bounded: the oldest is forgotten, and nothing that lives."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from riskbot.core import actions, events
from riskbot.core.accounts import AccountState
from riskbot.core.arrivals import ORDERS_MAX, Arrivals
from riskbot.core.model import OrderStatus, OrderType, PositionSide, Side
from riskbot.core.ordering import Reservation, Stage
from riskbot.core.reservations import (
    ANSWERS_MAX,
    DONE_MAX,
    OWN_MAX,
    STRAYS_MAX,
    TRADES_MAX,
    Reservations,
)
from tests import builders

BTC = "BTC/USDT:USDT"


def reservation(number: int, **fields: object) -> Reservation:
    values: dict[str, object] = {
        "reservation_id": f"rb{number}",
        "client_order_id": f"mine{number}",
        "venue_id": f"rb{number}",
        "strategy": "grid",
        "account": "main",
        "symbol": BTC,
        "side": Side.BUY,
        "position_side": PositionSide.NET,
        "quantity": Decimal(1),
        "type": OrderType.MARKET,
        **fields,
    }
    return Reservation(**values)  # type: ignore[arg-type]


def test_what_is_over_is_remembered_for_a_while_alone() -> None:
    kept = Reservations()
    for number in range(DONE_MAX + 1):
        kept.apply(actions.SetReservation(reservation=reservation(number)), number)
        kept.apply(actions.EndReservation(reservation_id=f"rb{number}", stage=Stage.FILLED), number)
    assert len(kept.done) == DONE_MAX
    assert kept.find("grid", "mine0") is None
    assert kept.find("grid", "mine1") is not None
    assert len(kept.names) == 3 * DONE_MAX
    assert len(kept.changed) == DONE_MAX


def test_answers_strays_and_own_orders_are_bounded() -> None:
    kept = Reservations()
    for number in range(ANSWERS_MAX + 1):
        kept.apply(
            actions.KeepAnswer(
                strategy="grid", client_order_id=f"a{number}", fingerprint="", document={}
            ),
            number,
        )
    for number in range(STRAYS_MAX + 1):
        kept.apply(
            actions.SetStray(
                account="main",
                symbol=BTC,
                order_id=f"o{number}",
                client_order_id=None,
                seen_ms=number,
            ),
            number,
        )
    for number in range(OWN_MAX + 1):
        kept.apply(
            events.OrderAccepted(
                account="main",
                symbol=BTC,
                client_order_id=f"x{number}",
                order_id=f"v{number}",
                status=OrderStatus.OPEN,
            ),
            number,
        )
    kept.apply(actions.SetReservation(reservation=reservation(1)), 0)
    for number in range(TRADES_MAX + 1):
        fill = builders.fill(BTC, Side.BUY, "0.0001", 50_000, trade_id=f"t{number}", order_id="o1")
        kept.apply(replace(fill, client_order_id="rb1"), number)
    sizes = (len(kept.answers), len(kept.strays), len(kept.own), len(kept.trades))
    assert sizes == (ANSWERS_MAX, STRAYS_MAX, OWN_MAX, TRADES_MAX)


def test_fills_without_end_stay_exact_and_bounded() -> None:
    seen, account = Arrivals(), AccountState("main")
    for number in range(ORDERS_MAX + 5):
        fill = builders.fill(BTC, Side.BUY, 1, 50_000, order_id=f"o{number}")
        seen.before_fill(fill, account, number)
    (missing,) = seen.unseen(account)
    assert missing.quantity == ORDERS_MAX + 5
    assert seen.unseen(AccountState("other")) == []


def test_reservation_of_another_account_is_not_meant_by_its_id() -> None:
    kept = Reservations()
    kept.apply(actions.SetReservation(reservation=reservation(1)), 0)
    order = builders.order(BTC, "buy", 1, account="other", client_order_id="rb1")
    kept.apply(events.OrderUpdated(account="other", order=order), 1)
    assert kept.live["rb1"].stage is Stage.RESERVED


def test_partly_filled_order_counts_what_is_left_of_the_parent() -> None:
    kept, account = Reservations(), AccountState("main")
    kept.apply(actions.SetReservation(reservation=reservation(1, quantity=Decimal(2))), 0)
    order = builders.order(BTC, "buy", 1, order_id="o1", client_order_id="rb1")
    kept.apply(events.OrderUpdated(account="main", order=order), 1)
    account.orders["o1"] = order
    (more,) = kept.outstanding(account)
    assert more.quantity == 1


def test_outcomes_of_unknown_ids_change_nothing() -> None:
    kept = Reservations()
    for event in (
        events.OrderOutcomeUnknown(account="main", symbol=BTC, client_order_id="x"),
        events.OrderQueried(account="main", symbol=BTC, client_order_id="x", found=False),
        actions.QueryOrder(account="main", symbol=BTC, client_order_id="x"),
        events.CancelFinished(account="main", symbol=BTC, order_id="o", done=True),
    ):
        kept.apply(event, 1)
    assert kept == Reservations()


def test_what_was_on_the_wire_when_the_process_ended_is_looked_up() -> None:
    kept = Reservations()
    kept.apply(actions.SetReservation(reservation=reservation(1, stage=Stage.SENT)), 0)
    kept.apply(actions.SetReservation(reservation=reservation(2, stage=Stage.OPEN)), 0)
    kept.apply(events.Started(version="x", config_hash="x"), 9)
    assert [r.stage for r in kept.live.values()] == [Stage.UNKNOWN, Stage.OPEN]
    assert kept.live["rb1"].next_query_ms == 9


def test_look_up_without_an_answer_says_nothing_of_an_order() -> None:
    kept = Reservations()
    kept.apply(actions.SetReservation(reservation=reservation(1, stage=Stage.UNKNOWN)), 0)
    before = kept.live["rb1"]
    kept.apply(
        events.OrderQueried(account="main", symbol=BTC, client_order_id="rb1", found=None), 1
    )
    assert kept.live["rb1"] == before


def test_late_word_of_an_order_that_is_over_opens_nothing() -> None:
    kept = Reservations()
    kept.apply(actions.SetReservation(reservation=reservation(1)), 0)
    kept.apply(actions.EndReservation(reservation_id="rb1", stage=Stage.EXPIRED), 1)
    kept.apply(actions.SetReservation(reservation=reservation(2)), 2)
    late = builders.order(BTC, "buy", 1, order_id="o1", client_order_id="rb1")
    kept.apply(events.OrderUpdated(account="main", order=late), 3)
    assert kept.live["rb2"].stage is Stage.RESERVED
    assert kept.is_known(late)
    assert not kept.is_known(replace(late, account="other", order_id="o7"))


def test_fills_count_once_each_and_tell_what_has_filled() -> None:
    kept = Reservations()
    kept.apply(actions.SetReservation(reservation=reservation(1)), 0)
    fill = builders.fill(BTC, Side.BUY, Decimal("0.1"), 50_000, order_id="o1")
    named = replace(fill, client_order_id="rb1")
    kept.apply(named, 1)
    kept.apply(named, 2)
    assert (kept.live["rb1"].stage, kept.live["rb1"].filled) == (Stage.OPEN, Decimal("0.1"))
    kept.apply(replace(named, trade_id="t2"), 3)
    assert kept.live["rb1"].filled == Decimal("0.2")


def test_orders_are_known_by_id_while_they_live_and_riskbots_own_always() -> None:
    kept = Reservations()
    kept.apply(actions.SetReservation(reservation=reservation(1)), 0)
    kept.apply(
        events.OrderAccepted(
            account="main",
            symbol=BTC,
            client_order_id="own",
            order_id="o9",
            status=OrderStatus.OPEN,
        ),
        1,
    )
    named = builders.order(BTC, "buy", 1, order_id="?", client_order_id="rb1")
    assert kept.is_known(named)
    assert not kept.is_known(replace(named, quantity=Decimal(2)))
    assert not kept.is_known(replace(named, side=Side.SELL))
    assert kept.is_known(builders.order(BTC, "sell", 5, order_id="o9"))
    assert not kept.is_known(builders.order(BTC, "sell", 5, order_id="o8"))


def test_what_is_told_of_other_orders_changes_no_reservation() -> None:
    kept, account = Reservations(), AccountState("main")
    kept.apply(actions.SetReservation(reservation=reservation(1, stage=Stage.OPEN)), 0)
    before = kept.live["rb1"]
    other = builders.order(BTC, "buy", 1, order_id="o2", client_order_id="rb9")
    asked = events.OrderQueried(
        account="main", symbol=BTC, client_order_id="rb9", found=True, order=other
    )
    kept.before(asked, account, 1)
    kept.apply(asked, 1)
    kept.apply(events.CancelFinished(account="main", symbol=BTC, order_id="o2", done=True), 2)
    assert kept.live["rb1"] == before
    assert kept.arrivals.unseen(account) == []
