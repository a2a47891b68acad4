"""Orders from targets: never past the target, never across zero, each refusal has a next step."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core import sizing
from riskbot.core.duty import Rung, Target
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    OrderType,
    PositionKey,
    PositionSide,
    RejectReason,
    Side,
    TimeInForce,
)

KEY = PositionKey("main", "BTC/USDT:USDT", PositionSide.NET)
QUOTE = sizing.Quote(mark=40_000.0, bid=39_999.9, ask=40_000.1)


def instrument(kind: InstrumentKind = InstrumentKind.LINEAR, **changes: object) -> Instrument:
    fields: dict[str, object] = {
        "account": "main",
        "symbol": "BTC/USDT:USDT",
        "underlying": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "kind": kind,
        "contract_value": Decimal(1),
        "tick": Decimal("0.1"),
        "step": Decimal("0.001"),
        "min_quantity": Decimal("0.001"),
    }
    return Instrument(**(fields | changes))  # type: ignore[arg-type]


def shape(
    target: Target, quantity: str, closable: str | None = None, **kwargs: object
) -> sizing.OrderShape | None:
    held = Decimal(quantity)
    free = abs(held) if closable is None else Decimal(closable)
    what = kwargs.pop("instrument", None) or instrument()
    return sizing.shape_order(target, held, free, what, QUOTE, **kwargs)  # type: ignore[arg-type]


def test_shape_order_when_closing_a_long_sells_reduce_only_at_market() -> None:
    order = shape(Target(KEY, Decimal(0)), "0.5019")
    assert order == sizing.OrderShape(
        Side.SELL, Decimal("0.501"), OrderType.MARKET, None, TimeInForce.IOC, reduce_only=True
    )


def test_shape_order_when_spot_sells_no_more_than_is_free_and_is_not_reduce_only() -> None:
    order = shape(Target(KEY, Decimal(0)), "2", "0.75", instrument=instrument(InstrumentKind.SPOT))
    assert order is not None
    assert (order.quantity, order.reduce_only) == (Decimal("0.75"), False)


def test_shape_order_when_the_venue_caps_market_orders_slices() -> None:
    order = shape(
        Target(KEY, Decimal(0)), "-5", instrument=instrument(max_market_quantity=Decimal(2))
    )
    assert order is not None
    assert (order.side, order.quantity) == (Side.BUY, Decimal(2))


def test_shape_order_when_a_slice_is_capped_keeps_to_it() -> None:
    order = shape(Target(KEY, Decimal(0)), "5", share_cap=Decimal("0.3"))
    assert order is not None
    assert order.quantity == Decimal("0.3")


@pytest.mark.parametrize("quantity", ["0.0004", "0", "-0.0009"])
def test_shape_order_when_below_the_minimum_sends_nothing(quantity: str) -> None:
    assert shape(Target(KEY, Decimal(0)), quantity) is None


def test_shape_order_when_the_position_shrank_past_its_target_does_not_open_again() -> None:
    assert shape(Target(KEY, Decimal("0.5")), "0.2") is None


def test_shape_order_when_the_position_turned_over_closes_to_zero_only() -> None:
    order = shape(Target(KEY, Decimal("0.5")), "-0.3")
    assert order is not None
    assert (order.side, order.quantity, order.reduce_only) == (Side.BUY, Decimal("0.3"), True)


def test_shape_order_when_hedging_may_open_and_is_not_reduce_only() -> None:
    order = shape(Target(KEY, Decimal("-0.25")), "0", opens=True)
    assert order is not None
    assert (order.side, order.quantity, order.reduce_only) == (
        Side.SELL,
        Decimal("0.25"),
        False,
    )


@pytest.mark.parametrize(
    ("quantity", "tries", "price"),
    [("1", 0, "39600"), ("1", 2, "38000"), ("-1", 0, "40400"), ("-1", 9, "42000")],
)
def test_shape_order_when_ioc_reaches_behind_the_mark_by_its_collar(
    quantity: str, tries: int, price: str
) -> None:
    order = shape(Target(KEY, Decimal(0), rung=Rung.IOC, tries=tries), quantity)
    assert order is not None
    assert (order.type, order.time_in_force) == (OrderType.LIMIT, TimeInForce.IOC)
    assert order.price == Decimal(price)


@pytest.mark.parametrize(("quantity", "price"), [("1", "39999.9"), ("-1", "40000.1")])
def test_shape_order_when_chasing_rests_at_the_touch_that_fills(quantity: str, price: str) -> None:
    order = shape(Target(KEY, Decimal(0), rung=Rung.CHASE), quantity)
    assert order is not None
    assert (order.time_in_force, order.price) == (TimeInForce.GTC, Decimal(price))


def test_shape_order_when_no_price_is_fresh_falls_back_to_market() -> None:
    target = Target(KEY, Decimal(0), rung=Rung.IOC)
    order = sizing.shape_order(target, Decimal(1), Decimal(1), instrument(), sizing.Quote())
    assert order is not None
    assert order.type is OrderType.MARKET


@given(
    quantity=st.decimals(-10, 10, places=4),
    target=st.decimals(-10, 10, places=4),
    opens=st.booleans(),
)
def test_shape_order_when_anything_is_held_never_overshoots(
    quantity: Decimal, target: Decimal, *, opens: bool
) -> None:
    order = sizing.shape_order(
        Target(KEY, target), quantity, abs(quantity), instrument(), QUOTE, opens=opens
    )
    if order is None:
        return
    after = quantity + order.side.sign * order.quantity
    if order.reduce_only:
        assert abs(after) < abs(quantity)
        assert after * quantity >= 0
    else:
        assert opens
        assert abs(after - target) < abs(quantity - target)


@pytest.mark.parametrize(
    ("reason", "rung", "waits"),
    [
        (RejectReason.RATE_LIMITED, Rung.MARKET, True),
        (RejectReason.MAINTENANCE, Rung.MARKET, True),
        (RejectReason.UNREACHABLE, Rung.MARKET, True),
        (RejectReason.REDUCE_ONLY, Rung.MARKET, False),
        (RejectReason.POSITION_MODE, Rung.MARKET, False),
        (RejectReason.ORDER_TYPE, Rung.IOC, False),
        (RejectReason.INSUFFICIENT_MARGIN, Rung.IOC, False),
        (RejectReason.OTHER, Rung.IOC, False),
    ],
)
def test_after_refusal_when_the_venue_says_no_takes_the_step_of_that_class(
    reason: RejectReason, rung: Rung, *, waits: bool
) -> None:
    after = sizing.after_refusal(Target(KEY, Decimal(0)), reason, "no", None, now_ms=1_000)
    assert after.rung is rung
    assert (after.not_before_ms > 1_000) is waits


def test_after_refusal_when_retry_after_is_longer_waits_that_long() -> None:
    after = sizing.after_refusal(
        Target(KEY, Decimal(0)), RejectReason.RATE_LIMITED, "429", 7_000, now_ms=1_000
    )
    assert after.not_before_ms == 8_000


def test_after_refusal_when_too_small_keeps_it_as_dust() -> None:
    after = sizing.after_refusal(
        Target(KEY, Decimal(0)), RejectReason.MIN_NOTIONAL, "-4164", None, now_ms=1
    )
    assert after.kept
    assert "dust" in after.note


@pytest.mark.parametrize(
    ("value", "stated", "believed"),
    [(99, 5, True), (101, 5, False), (199, 100, True), (201, 100, False), (None, 5, True)],
)
def test_may_be_dust_when_it_is_near_a_minimum(
    value: float | None, stated: int, believed: bool
) -> None:
    assert sizing.may_be_dust(value, Decimal(stated), dust=5.0) is believed


def test_after_refusal_when_much_is_called_too_small_takes_the_next_rung() -> None:
    after = sizing.after_refusal(
        Target(KEY, Decimal(0)), RejectReason.MIN_NOTIONAL, "", None, now_ms=1, may_be_dust=False
    )
    assert (after.kept, after.rung) == (False, Rung.IOC)


def test_after_refusal_when_reduce_only_keeps_failing_steps_down_then_pages() -> None:
    target, rungs = Target(KEY, Decimal(0)), []
    for _ in range(9):
        target = sizing.after_refusal(target, RejectReason.REDUCE_ONLY, "-2022", None, now_ms=1)
        rungs.append(target.rung)
    assert rungs[:3] == [Rung.MARKET, Rung.MARKET, Rung.IOC]
    assert rungs[-1] is Rung.PAGE
    assert target.not_before_ms > 1


def test_after_round_when_orders_are_taken_but_do_not_fill_steps_down() -> None:
    target = Target(KEY, Decimal(0))
    for _ in range(sizing.MAX_TRIES):
        target = sizing.after_round(target, 1, has_filled=False)
    assert target.rung is Rung.IOC


def test_after_round_when_part_filled_stays_on_its_rung() -> None:
    target = Target(KEY, Decimal(0), tries=2)
    assert sizing.after_round(target, 1, has_filled=True).rung is Rung.MARKET


def test_is_met_when_only_less_than_a_step_is_missing_is_true() -> None:
    target = Target(KEY, Decimal(0))
    assert sizing.is_met(target, Decimal("0.0009"), instrument(), opens=False)
    assert not sizing.is_met(target, Decimal("0.001"), instrument(), opens=False)


# ---------------------------------------------------------------- slices

QUARTER = Decimal("0.25")


@pytest.mark.parametrize(
    ("amount", "visible", "changes", "mark", "cap"),
    [
        ("2", "2.4", {}, 40_000.0, "0.6"),
        # A small book: a fifth all the same.
        ("2", "0.4", {}, 40_000.0, "0.4"),
        # All of it is within the share.
        ("2", "8", {}, 40_000.0, None),
        # An empty book: a fifth.
        ("2", "0", {}, 40_000.0, "0.4"),
        # Nor a slice nor its rest may be below what the venue takes.
        ("0.010", "0.004", {}, 40_000.0, "0.002"),
        ("0.003", "0.004", {}, 40_000.0, None),
        ("0.05", "0.04", {"min_notional": Decimal(400)}, 40_000.0, "0.02"),
        ("0.03", "0.04", {"min_notional": Decimal(400)}, 40_000.0, None),
        # Without a price the minimum is not known in its units.
        ("2", "2.4", {"min_notional": Decimal(400)}, None, None),
        ("2", "2.4", {}, None, "0.6"),
    ],
)
def test_slice_is_a_share_of_the_book_within_the_venues_minima(
    amount: str, visible: str, changes: dict[str, object], mark: float | None, cap: str | None
) -> None:
    found = sizing.slice_cap(
        Decimal(amount), Decimal(visible), QUARTER, instrument(**changes), mark
    )
    assert found == (None if cap is None else Decimal(cap))


def test_slice_of_an_inverse_instrument_counts_in_its_face_value() -> None:
    listed = instrument(
        InstrumentKind.INVERSE, step=Decimal(1), min_quantity=Decimal(1), min_notional=Decimal(100)
    )
    found = sizing.slice_cap(Decimal(5_000), Decimal(400), QUARTER, listed, None)
    assert found == Decimal(1_000)
