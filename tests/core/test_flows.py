"""Deposits, withdrawals, funding, reclassified flows, strategies, checkpoints."""

from __future__ import annotations

import pytest

from riskbot.core import actions, events
from riskbot.core.cashflows import FLOWS_KEPT, Cashflows
from riskbot.core.model import LedgerKind, PositionSide, account_scope
from riskbot.core.settings import StrategySettings
from tests import builders
from tests.builders import (
    ACCOUNT,
    BTC_SPOT,
    T0,
    fill,
    loaded,
    position,
    prices,
)
from tests.core.rig import Rig, positions, rig, row, sources, started, wallet

MAIN = account_scope(ACCOUNT)


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
    made.give(loaded("XYZ/USDT"))
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


def test_rows_that_come_late_and_of_both_signs_change_nothing_any_more() -> None:
    """Longs pay and shorts receive; the ledger is read minutes after the wallet changed."""
    made = started(position(), usdt=100_000)
    made.give(wallet(99_970))
    made.read(position(), usdt=99_970)
    made.give(wallet(99_969))
    made.read(position(), usdt=99_969)
    assert made.nav() == pytest.approx(0.99969)
    made.now_ms += 120_000
    for number, amount in enumerate((80, -120, 50, -60, 20)):
        made.give(row(amount, LedgerKind.FUNDING, entry_id=f"f{number}"))
        assert made.nav() == pytest.approx(0.99969)
    made.read(position(), usdt=99_969)
    assert made.nav() == pytest.approx(0.99969)
    assert made.portfolio.losses.drawdown == pytest.approx(0.00031)


def test_row_of_funding_is_no_loss_before_the_wallet_says_so() -> None:
    made = started(position(), usdt=100_000)
    made.give(row(-5_000, LedgerKind.FUNDING))
    assert made.nav() == 1.0
    made.give(wallet(95_000))
    assert made.nav() == pytest.approx(0.95)
    assert not made.meter.booking.has_pending_flow(ACCOUNT)


def test_row_explains_its_part_of_what_moved_together_with_more() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(99_560), row(-500, LedgerKind.FUNDING))
    # 60 more than the row says is below 0.1 %: rounding, no pending flow.
    made.wait(2)
    assert not made.meter.booking.has_pending_flow(ACCOUNT)
    made.read(position(), usdt=99_560)
    assert made.nav() == pytest.approx(0.9956)


def test_row_that_fits_a_pending_change_explains_that_one_and_not_an_old_one() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(99_910))
    made.read(position(), usdt=99_910)
    made.give(wallet(99_410))
    made.give(row(-500, LedgerKind.FUNDING))
    made.wait(2)
    assert not made.meter.booking.has_pending_flow(ACCOUNT)
    made.give(row(-90, LedgerKind.FUNDING, entry_id="r2"))
    assert made.nav() == pytest.approx(0.9941)


@pytest.mark.parametrize("minutes", [14, 16])
def test_row_that_never_found_its_change_is_forgotten(minutes: int) -> None:
    made = started(position(), usdt=100_000)
    made.give(row(-5_000, LedgerKind.FUNDING))
    made.wait(minutes * 60)
    made.give(wallet(95_000))
    made.wait(2)
    assert made.meter.booking.has_pending_flow(ACCOUNT) is (minutes > 15)


def test_what_was_taken_as_pnl_long_ago_takes_no_row_any_more() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(99_950))
    made.read(position(), usdt=99_950)
    made.wait(16 * 60)
    made.give(row(-50, LedgerKind.FUNDING))
    assert made.nav() == pytest.approx(0.9995)
    made.give(wallet(99_900))
    assert made.nav() == pytest.approx(0.9990)
    made.wait(16 * 60)
    made.give(wallet(99_890))
    made.read(position(), usdt=99_890)
    flows = made.meter.cashflows.get(ACCOUNT)
    assert flows.settled == {"USDT": pytest.approx(-10)}
    made.wait(16 * 60)
    made.give(row(-7, LedgerKind.FUNDING, entry_id="r2"))
    made.wait(16 * 60)
    made.give(row(-3, LedgerKind.FUNDING, entry_id="r3"))
    assert flows.early == {"USDT": -3}


def test_rows_of_funding_do_not_push_a_deposit_out_of_memory() -> None:
    made = started(position(), usdt=100_000)
    made.give(wallet(110_000), row(10_000))
    for number in range(2_100):
        made.give(row(0.001, LedgerKind.FUNDING, entry_id=f"f{number}"))
    made.give(row(10_000))
    assert sources(made) == [("ledger", 10_000)]


def test_deposit_that_was_taken_as_pnl_before_its_row_came_is_put_right() -> None:
    """It arrived together with a position whose fills were never told."""
    made = started(usdt=100_000)
    made.give(positions(position()), wallet(120_000))
    made.now_ms += 3_000
    made.read(position(), usdt=120_000)
    assert made.nav() == pytest.approx(1.2)
    made.give(row(20_000))
    assert made.nav() == pytest.approx(1.0)
    assert made.meter.cashflows.get(ACCOUNT).residual == {}


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
    assert made.meter.cashflows.owned(position().key) == {"grid": 0.5}
    made.read(position(quantity=1))
    assert made.scopes()[scope].gross_usd == pytest.approx(20_000)
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
