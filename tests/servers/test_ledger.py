"""Tests of the ledger the protocol servers stand on."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.ledger import Instrument, Ledger, Market, Order, VenueError
from tests.servers.ledger_types import AccountChanged, Event, OrderChanged, Side

BTC = "BTCUSDT"
D = Decimal


def make_ledger(*, hedge_mode: bool = False, fee: str = "0") -> Ledger:
    market = Market(now_ms=lambda: 1_700_000_000_000)
    market.add(Instrument(BTC, "BTC", "USDT", "USDT", min_notional=D(5)), D(40000))
    return Ledger(
        balance={"USDT": D(100000)},
        hedge_mode=hedge_mode,
        taker_fee=D(fee),
        maker_fee=D(fee),
        market=market,
    )


def order(side: Side, quantity: str, **more: object) -> Order:
    return Order(instrument=BTC, side=side, quantity=D(quantity), **more)  # type: ignore[arg-type]


def test_market_order_fills_at_the_touch_and_opens_a_position() -> None:
    ledger = make_ledger(fee="0.0005")
    placed = ledger.place(order("buy", "1", client_id="a"))
    assert (placed.status, placed.average) == ("filled", D("40000.1"))
    position = ledger.positions[BTC, "both"]
    assert (position.quantity, position.entry) == (D(1), D("40000.1"))
    assert ledger.balances["USDT"] == D(100000) - D("40000.1") * D("0.0005")


def test_selling_through_zero_realizes_the_long_and_opens_a_short() -> None:
    ledger = make_ledger()
    ledger.set_position(BTC, D(1), D(39000))
    ledger.place(order("sell", "3"))
    position = ledger.positions[BTC, "both"]
    assert (position.quantity, position.entry) == (D(-2), D("39999.9"))
    assert ledger.balances["USDT"] == D(100000) + D("999.9")


def test_inverse_profit_is_paid_in_base() -> None:
    market = Market()
    market.add(
        Instrument("BTCUSD", "BTC", "USD", "BTC", "inverse", step=D(1), contract_size=D(100)),
        D(50000),
    )
    ledger = Ledger(balance={"BTC": D(1)}, market=market, taker_fee=D(0))
    ledger.set_position("BTCUSD", D(100), D(40000))
    assert ledger.unrealized("BTC") == D(10000) * (1 / D(40000) - 1 / D(50000))
    assert ledger.notional_of(ledger.positions["BTCUSD", "both"]) == D("0.2")


def test_reduce_only_is_clipped_to_the_position_and_refused_when_flat() -> None:
    ledger = make_ledger()
    ledger.set_position(BTC, D("0.5"), D(40000))
    placed = ledger.place(order("sell", "2", reduce_only=True))
    assert (placed.quantity, placed.status) == (D("0.5"), "filled")
    with pytest.raises(VenueError) as caught:
        ledger.place(order("sell", "1", reduce_only=True))
    assert caught.value.code == "REDUCE_ONLY_REJECTED"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"quantity": "0.0005"}, "PRECISION"),
        ({"quantity": "0.0001", "reduce_only": True}, "PRECISION"),
        ({"price": D("1.05"), "type": "limit"}, "PRICE_PRECISION"),
        ({"price": D(10), "type": "limit", "quantity": "0.001"}, "MIN_NOTIONAL"),
        ({"quantity": "900"}, "INSUFFICIENT_MARGIN"),
        ({"position_side": "long"}, "POSITION_SIDE_MISMATCH"),
        ({"client_id": "taken"}, "DUPLICATE_CLIENT_ID"),
        (
            {"price": D(40001), "type": "limit", "time_in_force": "POST"},
            "WOULD_CROSS",
        ),
        (
            {"conditional": True, "stop_price": D(39000), "trigger_direction": "above"},
            "WOULD_TRIGGER",
        ),
    ],
)
def test_place_refuses(more: dict[str, object], code: str) -> None:
    ledger = make_ledger()
    ledger.place(order("buy", "1", type="limit", price=D(30000), client_id="taken"))
    known = dict(ledger.orders)
    with pytest.raises(VenueError) as caught:
        ledger.place(order("buy", **{"quantity": "1", **more}))  # type: ignore[arg-type]
    assert caught.value.code == code
    assert ledger.orders == known


def test_unknown_symbol_is_refused() -> None:
    with pytest.raises(VenueError, match="UNKNOWN_SYMBOL"):
        make_ledger().place(Order(instrument="NOPE", side="buy", quantity=D(1)))


def test_resting_limit_fills_at_its_price_when_the_market_crosses() -> None:
    ledger = make_ledger()
    resting = ledger.place(order("buy", "1", type="limit", price=D(39000)))
    assert resting.status == "new"
    ledger.set_price(BTC, D(38000))
    assert (resting.status, resting.average) == ("filled", D(39000))
    assert ledger.fills[-1].is_maker


@pytest.mark.parametrize("spawns", [False, True])
def test_stop_triggers_and_closes(spawns: bool) -> None:
    ledger = make_ledger()
    ledger.spawns_orders = spawns
    ledger.set_position(BTC, D(1), D(40000))
    stop = ledger.place(
        order(
            "sell",
            "0",
            close_position=True,
            conditional=True,
            stop_price=D(39000),
            trigger_direction="below",
        )
    )
    assert ledger.open_orders(conditional=True) == [stop]
    ledger.set_price(BTC, D(38900))
    assert ledger.positions[BTC, "both"].quantity == 0
    if spawns:
        assert stop.status == "triggered"
        assert ledger.orders[stop.child_id].status == "filled"
    else:
        assert stop.status == "filled"


def test_trailing_stop_follows_up_and_fires_on_the_way_down() -> None:
    ledger = make_ledger()
    ledger.set_position(BTC, D(1), D(40000))
    stop = ledger.place(
        order("sell", "1", conditional=True, callback_rate=D("0.01"), reduce_only=True)
    )
    ledger.set_price(BTC, D(42000))
    ledger.set_price(BTC, D(41700))
    assert (stop.status, stop.stop_price) == ("untriggered", D(41580))
    ledger.set_price(BTC, D(41500))
    assert stop.status == "filled"


def test_partial_fill_expires_or_rests() -> None:
    ledger = make_ledger()
    ledger.fill_ratio = D("0.4")
    assert ledger.place(order("buy", "1")).status == "expired"
    ledger.rests_remainder = True
    resting = ledger.place(order("buy", "1"))
    assert (resting.status, resting.filled) == ("partially_filled", D("0.4"))
    ledger.set_price(BTC, D(40100))
    assert resting.status == "filled"


def test_touch_quantity_limits_a_taker_until_the_next_price() -> None:
    ledger = make_ledger()
    ledger.market.touch_quantity[BTC] = D("0.3")
    first = ledger.place(order("buy", "1"))
    assert (first.status, first.filled) == ("expired", D("0.3"))
    assert ledger.place(order("buy", "1")).filled == 0
    ledger.set_price(BTC, D(40000))
    assert ledger.place(order("buy", "1")).filled == D("0.3")


def test_chunks_give_several_fills_for_one_order() -> None:
    ledger = make_ledger()
    ledger.fill_chunks = 3
    placed = ledger.place(order("buy", "1"))
    assert [f.quantity for f in ledger.fills] == [D("0.333"), D("0.333"), D("0.334")]
    assert placed.status == "filled"


def test_hedge_mode_keeps_two_sides_and_closes_only_what_is_there() -> None:
    ledger = make_ledger(hedge_mode=True)
    ledger.place(order("buy", "1", position_side="long"))
    ledger.place(order("sell", "2", position_side="short"))
    assert ledger.positions[BTC, "long"].quantity == 1
    assert ledger.positions[BTC, "short"].quantity == -2
    ledger.place(order("buy", "5", position_side="short"))
    assert ledger.positions[BTC, "short"].quantity == 0
    with pytest.raises(VenueError, match="REDUCE_ONLY_REJECTED"):
        ledger.place(order("buy", "1", position_side="short"))


def test_resting_reduce_only_orders_conflict_when_asked() -> None:
    ledger = make_ledger()
    ledger.resting_reduce_only = "limits"
    ledger.set_position(BTC, D(1), D(40000))
    ledger.place(order("sell", "1", type="limit", price=D(50000), reduce_only=True))
    with pytest.raises(VenueError, match="REDUCE_ONLY_CONFLICT"):
        ledger.place(order("sell", "1", reduce_only=True))
    ledger.cancel_all(BTC)
    assert ledger.place(order("sell", "1", reduce_only=True)).status == "filled"


def test_reducing_orders_end_with_their_position() -> None:
    ledger = make_ledger()
    ledger.set_position(BTC, D(1), D(40000))
    resting = ledger.place(order("sell", "1", type="limit", price=D(50000), reduce_only=True))
    ledger.place(order("sell", "1"))
    assert resting.status == "expired"


@pytest.mark.parametrize("phase", ["cancel_only", "maintenance"])
def test_phase_refuses_new_orders(phase: str) -> None:
    ledger = make_ledger()
    resting = ledger.place(order("buy", "1", type="limit", price=D(30000)))
    ledger.market.phase = phase  # type: ignore[assignment]
    with pytest.raises(VenueError, match=phase.upper()):
        ledger.place(order("buy", "1"))
    if phase == "cancel_only":
        assert ledger.cancel(resting.id).status == "canceled"
    else:
        with pytest.raises(VenueError, match="MAINTENANCE"):
            ledger.cancel(resting.id)


def test_amend_moves_a_resting_order_and_can_make_it_trade() -> None:
    ledger = make_ledger()
    resting = ledger.place(order("buy", "1", type="limit", price=D(30000)))
    ledger.amend(resting.id, quantity=D(2))
    assert resting.quantity == 2
    ledger.amend(resting.id, price=D(40001))
    assert resting.status == "filled"


def test_money_rows_add_up_to_the_balance() -> None:
    ledger = make_ledger(fee="0.0005")
    ledger.deposit("USDT", D(500))
    ledger.place(order("buy", "1"))
    ledger.set_price(BTC, D(41000))
    ledger.apply_funding(BTC, D("0.0001"))
    ledger.place(order("sell", "1"))
    ledger.withdraw("USDT", D(100))
    rows = sum((row.amount for row in ledger.transfers), D(0))
    assert ledger.balances["USDT"] == D(100000) + rows
    assert [row.kind for row in ledger.transfers if row.kind == "funding"] == ["funding"]
    assert next(r.amount for r in ledger.transfers if r.kind == "funding") == D("-4.1")


def test_one_cause_is_one_account_event_before_the_order_event() -> None:
    ledger = make_ledger(fee="0.0005")
    seen: list[Event] = []
    ledger.subscribe(seen.append)
    ledger.place(order("buy", "1"))
    accounts = [e for e in seen if isinstance(e, AccountChanged)]
    assert len(accounts) == 1
    assert (len(accounts[0].balances), len(accounts[0].positions)) == (1, 1)
    orders = [e.reason for e in seen if isinstance(e, OrderChanged)]
    assert orders == ["new", "fill"]
    fill_at = next(i for i, e in enumerate(seen) if isinstance(e, OrderChanged) and e.fill)
    assert seen.index(accounts[0]) < fill_at


def test_liquidation_closes_everything_and_cancels_orders() -> None:
    ledger = make_ledger()
    ledger.liquidates = True
    ledger.balances["USDT"] = D(5000)
    ledger.set_position(BTC, D(1), D(40000))
    resting = ledger.place(order("sell", "1", type="limit", price=D(50000), reduce_only=True))
    price = ledger.liquidation_price(ledger.positions[BTC, "both"])
    ledger.set_price(BTC, price + 10)
    assert ledger.positions[BTC, "both"].quantity == 1
    ledger.set_price(BTC, price - 10)
    assert ledger.positions[BTC, "both"].quantity == 0
    assert resting.status == "canceled"
    assert list(ledger.orders.values())[-1].origin == "liquidation"


def test_spot_moves_two_assets_and_refuses_what_is_not_there() -> None:
    market = Market()
    market.add(Instrument("BTCUSDT", "BTC", "USDT", "USDT", "spot"), D(40000))
    ledger = Ledger(balance={"USDT": D(50000)}, market=market, taker_fee=D("0.001"))
    ledger.place(order("buy", "1"))
    assert ledger.balances == {"USDT": D("9999.9"), "BTC": D("0.999")}
    with pytest.raises(VenueError, match="INSUFFICIENT_BALANCE"):
        ledger.place(order("sell", "1"))


def test_two_accounts_share_a_market() -> None:
    one = make_ledger()
    other = Ledger(balance={"USDT": D(1000)}, market=one.market)
    one.set_price(BTC, D(41000))
    assert other.marks[BTC] == D(41000)
    assert one.place(order("buy", "1")).id != other.place(order("buy", "0.1")).id


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["buy", "sell"]),
            st.integers(1, 500),
            st.integers(30_000, 50_000),
        ),
        max_size=30,
    ),
    st.sampled_from(["0", "0.0005"]),
)
def test_equity_is_what_the_fills_say(moves: list[tuple[Side, int, int]], fee: str) -> None:
    ledger = make_ledger(fee=fee)
    for side, thousandths, price in moves:
        ledger.set_price(BTC, D(price))
        with contextlib.suppress(VenueError):
            ledger.place(order(side, str(D(thousandths) / 1000)))
    mark = ledger.marks[BTC]
    signed = [(f.quantity if f.side == "buy" else -f.quantity, f) for f in ledger.fills]
    earned = sum((quantity * (mark - f.price) - f.fee for quantity, f in signed), D(0))
    assert ledger.equity("USDT") == pytest.approx(100_000 + earned, abs=D("1e-15"))
    held = sum((quantity for quantity, _ in signed), D(0))
    position = ledger.positions.get((BTC, "both"))
    assert held == (position.quantity if position else 0)
