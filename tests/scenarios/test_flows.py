"""Money that comes and goes, and strategies that do not stop, on a paper account."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.model import LedgerKind, Level, Response, TradingState
from tests.scenarios.stage import Stage, stage

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)


def guarded(**ccxt: object) -> Stage:
    return stage(DRAWDOWN, accounts={"main": {"positions": {BTC: 3}, **ccxt}})


def move_money(made: Stage, usdt: int, **fields: object) -> None:
    kind = LedgerKind.DEPOSIT if usdt > 0 else LedgerKind.WITHDRAWAL
    made.exchanges["main"].venue.transfer("USDT", Decimal(usdt), made.clock.ms, kind=kind, **fields)
    made.beat()


@pytest.mark.parametrize("usdt", [-40_000, 40_000])
@pytest.mark.parametrize(
    "fields", [{}, {"ledger_after_ms": 20_000}, {"is_told": False}], ids=["plain", "late", "mute"]
)
def test_flow_is_neither_loss_nor_gain(usdt: int, fields: dict[str, object]) -> None:
    made = guarded()
    move_money(made, usdt, **fields)
    made.wait(90)
    assert not made.sent
    assert made.measure("drawdown") == pytest.approx(0, abs=1e-4)
    assert made.state() is TradingState.ACTIVE
    made.glide(BTC=37_000)
    lost = 9_000 / (100_000 + usdt)
    assert made.measure("drawdown") == pytest.approx(lost, rel=0.01)


def test_deposit_in_the_middle_of_a_fall_hides_no_drawdown() -> None:
    made = guarded()
    made.glide(BTC=36_000)
    move_money(made, 100_000)
    made.wait(90)
    assert made.measure("drawdown") == pytest.approx(0.12, abs=0.002)
    made.glide(BTC=34_500)
    made.wait(5)
    assert made.measure("drawdown") == pytest.approx(0.141, abs=0.002)
    made.glide(BTC=31_000)
    made.wait(5)
    assert made.is_flat()


def test_withdrawal_in_the_middle_of_a_fall_is_no_drawdown() -> None:
    made = guarded()
    made.glide(BTC=37_000)
    before = made.measure("drawdown")
    move_money(made, -30_000)
    made.wait(90)
    assert made.measure("drawdown") == pytest.approx(before, abs=0.002)
    assert not made.sent


def test_funding_is_a_loss_and_no_flow() -> None:
    made = guarded()
    venue = made.exchanges["main"].venue
    every_ms = venue.rules.funding_every_ms
    made.clock.ms = (made.clock.ms // every_ms + 1) * every_ms
    made.beat()
    made.read()
    made.wait(90)
    paid = 3 * 40_000 * 0.0001
    assert made.equity() == pytest.approx(100_000 - paid)
    assert made.measure("drawdown") == pytest.approx(paid / 100_000, rel=0.05)
    assert not made.alerts("flow_unexplained")


def test_flow_during_the_close_does_not_stop_it() -> None:
    made = guarded()
    made.move(BTC=34_000)
    move_money(made, -10_000)
    made.wait(90)
    assert made.is_flat()
    assert not made.doubles()


def test_strategy_that_opens_again_during_the_halt_is_closed_back_three_times_then_named() -> None:
    made = guarded()
    made.move(BTC=34_000)
    made.wait(5)
    assert made.is_flat()
    flattened = len(made.sent)
    for _ in range(5):
        made.trade(BTC, "0.5")
        made.wait(4)
    again = made.sent[flattened:]
    assert len(again) == 3
    assert all(o.reduce_only and o.quantity == Decimal("0.5") for o in again)
    assert made.alerts("strategy_fighting")[0].alert.level is Level.RED


def test_entries_that_appear_during_the_halt_are_cancelled() -> None:
    made = guarded()
    made.move(BTC=34_000)
    made.wait(5)
    made.trade(BTC, 1, price=33_000)
    made.trade(ETH, 5, stop_price=2_700)
    made.wait(4)
    assert not made.resting()


def test_halt_by_the_operator_keeps_positions_and_exits() -> None:
    made = guarded()
    exit_order = made.trade(BTC, -3, price=45_000, reduce_only=True)
    made.trade(BTC, 1, price=35_000)
    made.command("halt")
    made.wait(3)
    assert made.resting() == {exit_order.order_id}
    assert made.quantity(BTC) == 3
    made.confirm("resume")
    made.trade(BTC, 1)
    made.wait(5)
    assert made.quantity(BTC) == 4


def test_resume_after_the_latch_starts_a_new_peak() -> None:
    made = guarded()
    made.move(BTC=34_000)
    made.wait(5)
    made.confirm("resume")
    made.wait(2)
    assert made.state() is TradingState.ACTIVE
    assert made.measure("drawdown") == pytest.approx(0, abs=1e-3)
