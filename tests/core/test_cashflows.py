"""Cash flows: what is PnL, what is a flow, and NAV per unit through both."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core import actions, events
from riskbot.core.model import account_scope
from tests import builders
from tests.builders import (
    ACCOUNT,
    BTC_INVERSE,
    BTC_SPOT,
    T0,
    balance,
    fill,
    loaded,
    position,
    prices,
)
from tests.core.rig import Rig, positions, rig, sources, started, wallet

MAIN = account_scope(ACCOUNT)


# ---------------------------------------------------------------- beginning


def test_first_read_of_an_account_is_a_flow_at_nav_one() -> None:
    made = rig(position(), usdt=100_000)
    (flow,) = made.flows()
    assert (flow.source, flow.amount_usd, flow.flow_id) == ("account_added", 100_000, "F1")
    assert made.nav() == made.nav(MAIN) == 1.0
    assert made.portfolio.losses.drawdown == 0


def test_account_that_comes_later_leaves_nav_where_it_was() -> None:
    made = rig(position(), settings=builders.settings(ACCOUNT, "late"), usdt=100_000)
    made.mark(BTC=40_000.0)
    assert made.nav() == pytest.approx(0.9)
    made.give(builders.snapshot(account="late", usdt=50_000))
    assert made.nav() == pytest.approx(0.9)
    assert made.nav(account_scope("late")) == 1.0
    made.mark(BTC=45_000.0)
    assert made.nav() == pytest.approx(0.9 * (145_000 / 140_000))


def test_account_that_leaves_the_configuration_is_a_flow_out() -> None:
    made = rig(settings=builders.settings(ACCOUNT, "gone"))
    for account in (ACCOUNT, "gone"):
        made.give(builders.snapshot(account=account, usdt=50_000))
    made.wait(1)
    after = Rig(builders.settings())
    after.accounts.by_name.update(made.accounts.by_name)
    after.meter.load(made.meter.dump())
    after.book_due()
    assert sources(after) == [("account_removed", -50_000)]
    assert after.meter.cashflows.history("portfolio").units == pytest.approx(50_000)
    assert after.nav() == pytest.approx(1.0)


def test_account_that_was_never_counted_leaves_without_a_flow() -> None:
    made = Rig()
    made.meter.cashflows.get("stranger")
    made.book_due()
    assert made.booked == []


def test_losses_are_unknown_before_anything_was_read() -> None:
    losses = Rig().portfolio.losses
    assert (losses.nav, losses.drawdown) == (None, None)


def test_losses_are_unknown_while_equity_is() -> None:
    made = rig(position())
    made.give(positions(position("SOL/USDT:USDT", 1, 20)))
    assert made.portfolio.losses.drawdown is None
    assert made.scopes()[MAIN].losses.drawdown is None


# ---------------------------------------------------------------- trades


def trade_frames(
    trade_id: str,
    quantity: float,
    price: float,
    fee: float,
    held: float,
    entry: float,
    cash: float,
) -> tuple[list[events.Event], float, float, float]:
    """One trade of BTC as its frames, and position, entry and wallet after it."""
    closing = held * quantity < 0
    realized = 0.0
    after = held + quantity
    if closing and abs(quantity) <= abs(held):
        realized = -quantity * (price - entry)
    elif closing:
        realized = held * (price - entry)
        entry = price
    else:
        entry = (held * entry + quantity * price) / after
    cash += realized - fee
    frames: list[events.Event] = [
        fill(
            quantity=abs(quantity),
            side="buy" if quantity > 0 else "sell",
            price=price,
            fee=fee,
            fee_asset="USDT",
            trade_id=trade_id,
        ),
        positions(position(quantity=after, entry=entry)),
        wallet(cash),
    ]
    return frames, after, entry, cash


@settings(max_examples=120, deadline=None)
@given(
    trades=st.lists(
        st.tuples(
            st.integers(-8, 8).filter(bool), st.integers(30_000, 70_000), st.integers(0, 300)
        ),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 10_000),
)
def test_nav_does_not_depend_on_the_order_of_messages(
    trades: list[tuple[int, int, int]], seed: int
) -> None:
    """Fill, position and wallet frames of a trade come in any order, prices move in between."""
    chance = random.Random(seed)
    made = started()
    held, entry, cash, mark = 0.0, 0.0, 100_000.0, 50_000.0
    filled: list[tuple[float, int, int]] = []
    for quarters, price, fee in trades:
        quantity = quarters / 4
        trade_id = f"t{len(filled)}"
        frames, held, entry, cash = trade_frames(trade_id, quantity, price, fee, held, entry, cash)
        chance.shuffle(frames)
        for frame in frames:
            made.now_ms += 10
            made.give(frame)
            if isinstance(frame, events.OrderFilled):
                filled.append((quantity, price, fee))
            mark = float(chance.randint(30_000, 70_000))
            made.mark(BTC=mark)
            profit = sum(q * (mark - p) - f for q, p, f in filled)
            assert made.nav() == pytest.approx(1 + profit / 100_000, abs=1e-9)
    assert made.meter.cashflows.get(ACCOUNT).residual == {}
    assert made.flows() == []
    assert made.portfolio.equity_usd == pytest.approx(cash + held * (mark - entry))


def test_inverse_trade_reconciles_in_coin() -> None:
    made = started(balances=(balance("BTC", 1),), usdt=None)
    made.give(
        fill(BTC_INVERSE, "sell", 50_000, 50_000, fee="0.001", fee_asset="BTC"),
        positions(position(BTC_INVERSE, -50_000)),
        wallet(0.999, "BTC"),
    )
    assert made.meter.cashflows.get(ACCOUNT).residual == {}
    made.give(prices(BTC_INVERSE, 40_000.0), prices(BTC_SPOT, bid=39_999.99, ask=40_000.01))
    assert made.nav() == pytest.approx((50_000 - 40) / 50_000)


def test_spot_trade_between_fill_and_balances_moves_nav_by_its_fee_alone() -> None:
    made = started(usdt=100_000)
    made.give(fill(BTC_SPOT, "buy", 1, 50_000, fee="0.001", fee_asset="BTC"))
    assert made.nav() == pytest.approx(1 - 50 / 100_000)
    made.give(prices(BTC_SPOT, bid=50_999.99, ask=51_000.01))
    assert made.nav() == pytest.approx(1 + (1_000 - 51) / 100_000)
    made.give(wallet(50_000), wallet(0.999, "BTC"))
    assert made.nav() == pytest.approx(1 + (1_000 - 51) / 100_000)
    assert made.meter.cashflows.get(ACCOUNT).residual == {}


def test_option_trade_moves_nav_by_its_mark() -> None:
    option = "BTC/USDT:USDT-261225-60000-C"
    made = started(usdt=100_000)
    made.give(loaded(option), prices(option, 2_000.0, delta=0.5))
    made.give(
        fill(option, "buy", 1, 1_900),
        positions(position(option, 1, 1_900, delta=0.5)),
        wallet(98_100),
    )
    assert made.nav() == pytest.approx(1 + 100 / 100_000)
    assert made.meter.cashflows.get(ACCOUNT).residual == {}


def test_fill_told_twice_counts_once() -> None:
    made = started(usdt=100_000)
    made.give(fill(fee=100, fee_asset="USDT"), fill(fee=100, fee_asset="USDT"))
    assert made.nav() == pytest.approx(1 - 100 / 100_000)


def test_fills_from_before_the_first_read_are_part_of_it() -> None:
    made = started(position())
    made.give(fill(price=40_000, venue_ms=T0 - 5))
    assert made.nav() == 1.0


def test_position_without_entry_takes_it_from_the_stated_pnl() -> None:
    made = started(usdt=100_000)
    held = position(quantity=1, entry=None, unrealized_pnl=1_000, venue_mark=50_000)
    made.give(fill(price=49_000), positions(held))
    assert made.meter.cashflows.get(ACCOUNT).residual == {}
    assert made.nav() == pytest.approx(1.01)


# ---------------------------------------------------------------- fills that never came


def test_position_that_shrank_without_fills_is_a_loss_at_the_next_read() -> None:
    """A liquidation: position gone, margin gone, no fill told."""
    made = started(position(quantity=2), usdt=100_000)
    made.mark(BTC=45_000.0)
    assert made.nav() == pytest.approx(0.9)
    made.give(positions(position(quantity=0)), wallet(70_000))
    assert made.nav() == pytest.approx(0.9)
    assert not made.meter.booking.has_pending_flow(ACCOUNT)
    made.now_ms += 1_000
    made.read(usdt=70_000)
    assert made.flows(actions.BookResidual) == []
    made.now_ms += 1_500
    made.read(usdt=70_000)
    (booked,) = made.flows(actions.BookResidual)
    assert booked.amount_usd == pytest.approx(-20_000)
    assert made.nav() == pytest.approx(0.7)


def test_fill_that_comes_after_its_position_was_booked_is_settled_again() -> None:
    made = started(usdt=100_000)
    made.give(positions(position(entry=49_000)))
    made.now_ms += 3_000
    made.read(position(entry=49_000))
    assert made.nav() == pytest.approx(1.01)
    made.give(fill(price=49_000))
    made.now_ms += 3_000
    made.read(position(entry=49_000))
    assert made.nav() == pytest.approx(1.01)
    assert made.flows() == []


def test_fees_nobody_told_are_pnl_at_the_next_read() -> None:
    made = started(usdt=100_000)
    made.give(wallet(99_950))
    assert made.nav() == 1.0
    made.read(usdt=99_950)
    assert [b.reason for b in made.flows(actions.BookResidual)] == ["fees and rounding"]
    assert made.nav() == pytest.approx(0.9995)


def test_noise_below_a_cent_is_left_alone() -> None:
    made = started(usdt=100_000)
    made.give(wallet(99_999.995))
    made.read(usdt=99_999.995)
    assert made.booked == []


def test_residual_without_a_price_waits() -> None:
    made = started(usdt=100_000)
    made.give(loaded("XYZ/USDT"))
    made.give(wallet(5, "XYZ"))
    made.wait(100)
    assert made.flows() == []
    assert made.meter.booking.nav("portfolio") is None


def test_component_that_left_without_a_price_keeps_nav_unknown() -> None:
    made = started(usdt=100_000)
    made.give(loaded("XYZ/USDT"))
    made.give(fill("XYZ/USDT", "buy", 1, 10))
    made.wait(100)
    assert made.meter.booking.nav("portfolio") is None
    assert made.portfolio.losses.drawdown is None
