"""Cash flows: what is PnL, what is a flow, and NAV per unit through both."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core import actions, events
from riskbot.core.cashflows import FLOWS_KEPT, Cashflows
from riskbot.core.model import LedgerKind, PositionSide, account_scope
from riskbot.core.settings import StrategySettings
from tests import builders
from tests.builders import (
    ACCOUNT,
    BTC_INVERSE,
    BTC_SPOT,
    T0,
    balance,
    dec,
    fill,
    loaded,
    position,
    prices,
)
from tests.core.rig import Rig, rig

MAIN = account_scope(ACCOUNT)


def wallet(total: float, asset: str = "USDT", account: str = ACCOUNT) -> events.BalancesUpdated:
    return events.BalancesUpdated(account=account, balances=(balance(asset, total),))


def positions(*held: Any, account: str = ACCOUNT) -> events.PositionsUpdated:
    return events.PositionsUpdated(account=account, positions=held)


def row(
    amount: float,
    kind: LedgerKind = LedgerKind.DEPOSIT,
    *,
    asset: str = "USDT",
    entry_id: str = "r1",
    account: str = ACCOUNT,
    venue_ms: int = T0 + 1_000,
) -> events.LedgerEntryBooked:
    return events.LedgerEntryBooked(
        account=account,
        entry_id=entry_id,
        entry_kind=kind,
        asset=asset,
        amount=dec(amount),
        venue_ms=venue_ms,
    )


def started(*held: Any, **fields: Any) -> Rig:
    made = rig(*held, **fields) if held or fields else rig(usdt=100_000)
    made.booked.clear()
    return made


def sources(made: Rig) -> list[tuple[str, float]]:
    return [(flow.source, pytest.approx(flow.amount_usd)) for flow in made.flows()]


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
    made.give(wallet(5, "XYZ"))
    made.wait(100)
    assert made.flows() == []
    assert made.meter.booking.nav("portfolio") is None


def test_component_that_left_without_a_price_keeps_nav_unknown() -> None:
    made = started(usdt=100_000)
    made.give(fill("XYZ/USDT", "buy", 1, 10))
    made.wait(100)
    assert made.meter.booking.nav("portfolio") is None
    assert made.portfolio.losses.drawdown is None


# ---------------------------------------------------------------- deposits and withdrawals


def test_deposit_told_by_the_ledger_moves_units_and_not_nav() -> None:
    made = started(position(), usdt=100_000)
    made.mark(BTC=40_000.0)
    assert made.nav() == pytest.approx(0.9)
    made.give(wallet(190_000))
    assert made.nav() == pytest.approx(0.9)
    made.wait(1)
    assert made.meter.booking.has_pending_flow(ACCOUNT)
    made.give(row(90_000))
    assert sources(made) == [("ledger", 90_000)]
    assert made.nav() == made.nav(MAIN) == pytest.approx(0.9)
    assert not made.meter.booking.has_pending_flow(ACCOUNT)
    assert made.meter.cashflows.history("portfolio").units == pytest.approx(200_000)
    assert made.portfolio.losses.daily_pnl_usd == pytest.approx(-10_000)


def test_withdrawal_whose_row_comes_first_is_no_drawdown() -> None:
    made = started(position(), usdt=100_000)
    made.give(row(-50_000, LedgerKind.WITHDRAWAL))
    assert made.nav() == pytest.approx(1.0)
    made.wait(1)
    assert made.meter.booking.has_pending_flow(ACCOUNT)
    made.give(wallet(50_000))
    made.wait(1)
    assert not made.meter.booking.has_pending_flow(ACCOUNT)
    assert made.nav() == pytest.approx(1.0)
    assert made.portfolio.losses.drawdown == pytest.approx(0)


def test_flow_that_nothing_explains_is_booked_after_a_minute() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(60_000))
    made.wait(59)
    assert made.flows() == []
    made.wait(1)
    assert sources(made) == [("timeout", -40_000)]
    assert made.nav() == pytest.approx(1.0)
    # The ledger's row for it comes late: it is the same flow, not another.
    made.give(row(-40_000, LedgerKind.WITHDRAWAL))
    assert len(made.flows()) == 1
    made.give(row(-40_000, LedgerKind.WITHDRAWAL, entry_id="r2"))
    assert len(made.flows()) == 2


def test_coin_that_came_without_a_fill_is_a_pending_flow_at_its_mark() -> None:
    made = started(usdt=100_000)
    made.give(wallet(1, "BTC"))
    made.wait(1)
    assert made.meter.booking.has_pending_flow(ACCOUNT)
    made.give(prices(BTC_SPOT, bid=59_999.99, ask=60_000.01))
    assert made.nav() == pytest.approx(1.0)
    made.give(row(1, asset="BTC"))
    assert sources(made) == [("ledger", 60_000)]
    assert made.nav() == pytest.approx(1.0)


def test_row_of_an_asset_without_a_price_waits_for_one() -> None:
    made = started(usdt=100_000)
    made.give(row(5, asset="XYZ"))
    assert made.flows() == []
    made.give(events.AssetPriced(account=ACCOUNT, asset="XYZ", price_usd=2.0, source="venue"))
    assert sources(made) == [("ledger", 10)]


def test_frames_of_one_trade_are_no_pending_flow() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(101_000))
    assert not made.meter.booking.has_pending_flow(ACCOUNT)


def test_rows_told_twice_or_from_before_the_first_read_count_once_or_never() -> None:
    made = started(usdt=100_000)
    made.give(row(1_000), row(1_000), row(5_000, entry_id="old", venue_ms=T0 - 1))
    assert sources(made) == [("ledger", 1_000)]
    assert Rig().meter.cashflows.get(ACCOUNT).rows == []


def test_row_before_the_account_was_read_is_ignored() -> None:
    made = Rig()
    made.give(row(1_000))
    assert made.meter.cashflows.get(ACCOUNT).rows == []


def test_transfer_between_own_accounts_is_no_flow_of_the_portfolio() -> None:
    made = rig(settings=builders.settings(ACCOUNT, "b"))
    for account in (ACCOUNT, "b"):
        made.give(builders.snapshot(account=account, usdt=50_000))
    made.give(wallet(30_000), row(-20_000, LedgerKind.TRANSFER))
    made.wait(5)
    assert made.nav() == pytest.approx(1.0)
    made.give(
        wallet(70_000, account="b"), row(20_000, LedgerKind.TRANSFER, account="b", entry_id="r2")
    )
    assert made.nav() == pytest.approx(1.0)
    assert made.meter.cashflows.history("portfolio").units == pytest.approx(100_000)
    assert made.meter.cashflows.history(MAIN).units == pytest.approx(30_000)


def test_funding_is_pnl_whichever_comes_first() -> None:
    for order in ((0, 1), (1, 0)):
        made = started(position(), usdt=100_000)
        told = (wallet(99_500), row(-500, LedgerKind.FUNDING))
        for at in order:
            made.give(told[at])
        made.wait(2)
        assert made.nav() == pytest.approx(0.995)
        assert made.flows() == []


def test_funding_row_that_comes_after_it_was_settled_counts_once() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(99_950))
    made.read(position(), usdt=99_950)
    assert made.nav() == pytest.approx(0.9995)
    made.give(row(-50, LedgerKind.FUNDING))
    assert made.nav() == pytest.approx(0.9995)


def test_fee_rows_of_trades_are_explained_by_the_fills() -> None:
    made = started(position(), usdt=100_000)
    made.give(row(-50, LedgerKind.FEE), row(900, LedgerKind.REALIZED, entry_id="r2"))
    assert made.nav() == 1.0


def test_everything_withdrawn_and_back_again_keeps_nav() -> None:
    made = started(position(), usdt=100_000)
    made.mark(BTC=40_000.0)
    made.give(fill(side="sell", price=40_000), positions(position(quantity=0)), wallet(90_000))
    made.give(wallet(0), row(-90_000, LedgerKind.WITHDRAWAL))
    assert made.meter.cashflows.history("portfolio").units == 0
    assert made.nav() == pytest.approx(0.9)
    made.give(wallet(45_000), row(45_000, entry_id="r2"))
    assert made.nav() == pytest.approx(0.9)
    assert made.portfolio.losses.drawdown == pytest.approx(0.1)


def test_deposit_after_everything_was_lost_does_not_undo_the_loss() -> None:
    made = started(position(quantity=2), usdt=100_000)
    made.give(positions(position(quantity=0)), wallet(0))
    made.now_ms += 3_000
    made.read(usdt=0)
    assert made.nav() == pytest.approx(0)
    made.give(wallet(50_000), row(50_000))
    assert made.portfolio.losses.drawdown == pytest.approx(1.0)


# ---------------------------------------------------------------- reclassify


def test_flow_reclassified_as_loss_and_back() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(60_000))
    made.wait(61)
    (flow,) = made.flows()
    made.give(actions.ReclassifyFlow(flow_id=flow.flow_id, as_loss=True))
    assert made.nav() == pytest.approx(0.6)
    made.give(actions.ReclassifyFlow(flow_id=flow.flow_id, as_loss=True))
    assert made.nav() == pytest.approx(0.6)
    made.give(actions.ReclassifyFlow(flow_id=flow.flow_id, as_loss=False))
    assert made.nav() == pytest.approx(1.0)
    made.give(actions.ReclassifyFlow(flow_id="F99", as_loss=False))
    assert made.nav() == pytest.approx(1.0)


def test_residual_reclassified_as_flow() -> None:
    made = started(position(quantity=2), usdt=100_000)
    made.give(positions(position(quantity=0)), wallet(70_000))
    made.now_ms += 3_000
    made.read(usdt=70_000)
    (loss,) = made.flows(actions.BookResidual)
    made.give(actions.ReclassifyFlow(flow_id=loss.flow_id, as_loss=False))
    assert made.nav() == pytest.approx(1.0)


def test_old_flows_are_forgotten_at_the_bound() -> None:
    flows = Cashflows()
    for n in range(FLOWS_KEPT + 1):
        flows.apply(
            actions.BookFlow(flow_id=f"F{n}", account=ACCOUNT, amount_usd=1.0, source="operator"),
            T0,
        )
    flows.apply(actions.BookResidual(account=ACCOUNT, amount_usd=1.0, reason="old"), T0)
    assert len(flows.flows) == FLOWS_KEPT
    assert (flows.counter, "F0" in flows.flows) == (FLOWS_KEPT, False)


# ---------------------------------------------------------------- strategies


def test_strategy_lives_on_its_own_fills() -> None:
    strategies = {"grid": StrategySettings(capital_usd=20_000.0), "idle": StrategySettings()}
    made = rig(settings=builders.settings(strategies=strategies), usdt=100_000)
    made.meter.cashflows.own("c1", "grid")
    made.give(fill(client_order_id="c1", price=49_000, quantity="0.5"))
    made.give(fill(client_order_id="c2", price=49_000, trade_id="t2"))
    scope = "strategy:grid"
    assert made.nav(scope) == pytest.approx(1 + 500 / 20_000)
    made.wait(61)
    made.mark(BTC=40_000.0)
    assert made.scopes()[scope].losses.drawdown == pytest.approx(1 - 15_500 / 20_500)
    assert made.meter.cashflows.owned() == {position().key: {"grid": 0.5}}
    assert made.meter.booking.nav("strategy:idle") is None
    assert made.meter.booking.nav("strategy:none") is None
    assert made.meter.booking.units("strategy:none") == 0


def test_strategy_nav_is_unknown_without_a_price() -> None:
    strategies = {"grid": StrategySettings(capital_usd=20_000.0)}
    made = rig(settings=builders.settings(strategies=strategies), usdt=100_000)
    made.meter.cashflows.own("c1", "grid")
    made.give(fill("SOL/USDT:USDT", client_order_id="c1", price=20))
    assert made.meter.booking.nav("strategy:grid") is None


def test_old_owners_are_forgotten_at_the_bound() -> None:
    flows = Cashflows()
    for n in range(10 * FLOWS_KEPT + 1):
        flows.own(f"c{n}", "grid")
    assert len(flows.owners) == 10 * FLOWS_KEPT


# ---------------------------------------------------------------- checkpoints


def test_cashflows_survive_a_checkpoint() -> None:
    made = started(position(side=PositionSide.LONG), usdt=100_000)
    made.meter.cashflows.own("c1", "grid")
    made.give(fill(client_order_id="c1", position_side=PositionSide.LONG))
    made.give(wallet(60_000), row(-1, LedgerKind.WITHDRAWAL))
    made.wait(61)
    flows = made.meter.cashflows
    assert Cashflows.load(flows.dump()) == flows


def test_restart_without_trades_or_flows_changes_nothing() -> None:
    made = started(position(), usdt=100_000)
    made.mark(BTC=45_000.0)
    made.wait(61)
    after = Rig(builders.settings())
    after.accounts.by_name.update(made.accounts.by_name)
    after.meter.load(made.meter.dump())
    after.now_ms = made.now_ms + 3_600_000
    after.give(events.Started(version="1", config_hash="x"))
    after.mark(BTC=44_000.0)
    after.read(position(), usdt=100_000)
    assert after.flows() == []
    assert after.nav() == pytest.approx(0.94)
    assert after.portfolio.losses.drawdown == pytest.approx(0.06)


def test_deposit_while_the_daemon_was_down_is_still_a_flow() -> None:
    made = started(position(), usdt=100_000)
    made.give(events.Started(version="1", config_hash="x"))
    made.read(position(), usdt=150_000)
    made.give(row(50_000))
    assert sources(made) == [("ledger", 50_000)]
    assert made.nav() == pytest.approx(1.0)
