from __future__ import annotations

from decimal import Decimal

import pytest

from riskbot.core import events
from riskbot.core.model import LedgerKind, PositionSide
from riskbot.exchanges.paper.rules import VenueRules
from tests.exchanges.paper.desk import (
    BTC,
    BTC_INVERSE,
    ETH,
    NOW,
    held,
    place,
    venue,
)

HOUR = 3_600_000


def test_margin_report_adds_up_by_hand() -> None:
    made = venue()
    place(made, BTC, "buy", 4)
    made.set_price(BTC, Decimal(42_000), NOW + 1)
    report = made.margin()
    notional = 4 * 42_000
    assert report.equity_usd == pytest.approx(100_000 + 4 * (42_000 - 40_004))
    assert report.maintenance_usd == pytest.approx(100_000 * 0.01 + (notional - 100_000) * 0.02)
    assert report.initial_usd == pytest.approx(notional / 10)
    assert report.available_usd == pytest.approx(report.equity_usd - report.initial_usd)


@pytest.mark.parametrize(
    ("symbol", "side", "quantity"),
    [
        (BTC, "buy", 20),
        (BTC, "sell", 20),
        (BTC_INVERSE, "buy", 400_000),
        (BTC_INVERSE, "sell", 1_500_000),
    ],
)
def test_liquidation_price_is_where_margin_runs_out(symbol: str, side: str, quantity: int) -> None:
    """The venue's own figure is checked by moving the market there."""
    made = venue(usdt=100_000 if symbol == BTC else 0, coins=0 if symbol == BTC else 5)
    place(made, symbol, side, quantity)
    (row,) = made.snapshot(NOW).positions
    assert row.liquidation_price is not None
    away = Decimal(1) if side == "buy" else Decimal(-1)
    both = {BTC: 1, BTC_INVERSE: 1, "BTC/USDT": 1}
    near = row.liquidation_price * (1 + away / 100)
    made.set_prices(dict.fromkeys(both, near), NOW + 1)
    assert held(made, symbol) != 0
    made.set_prices(dict.fromkeys(both, row.liquidation_price * (1 - away / 100)), NOW + 2)
    assert held(made, symbol) == 0


def test_cross_liquidation_cancels_entries_takes_all_and_books_its_fee() -> None:
    made = venue()
    place(made, BTC, "buy", 20)
    place(made, ETH, "sell", 10)
    place(made, BTC, "buy", 1, price=30_000)
    made.drain()
    made.set_price(BTC, Decimal(35_500), NOW + 1)
    assert held(made) == held(made, ETH) == 0
    assert not made.orders
    told = made.drain()
    fills = [e for e in told if isinstance(e, events.OrderFilled)]
    assert {f.symbol for f in fills} == {BTC, ETH}
    assert all(f.client_order_id.startswith("autoclose-") for f in fills)
    kinds = {row.entry_kind for row in made.ledger_rows(0, NOW + 1)}
    assert LedgerKind.LIQUIDATION in kinds
    assert made.pool.wallets["USDT"] >= 0


def test_liquidation_when_fills_are_not_told_changes_positions_only() -> None:
    made = venue(rules=VenueRules(liquidation_tells_fills=False))
    place(made, BTC, "buy", 20)
    made.drain()
    made.set_price(BTC, Decimal(35_500), NOW + 1)
    told = made.drain()
    assert not [e for e in told if isinstance(e, events.OrderFilled)]
    assert [e.positions[0].quantity for e in told if isinstance(e, events.PositionsUpdated)] == [0]


def test_insurance_pays_what_a_gap_leaves_below_zero() -> None:
    made = venue()
    place(made, BTC, "buy", 20)
    made.set_price(BTC, Decimal(20_000), NOW + 1)
    assert made.pool.wallets["USDT"] == 0
    assert any(row.amount > 0 for row in made.ledger_rows(0, NOW + 1))


def test_isolated_position_loses_its_own_margin_only() -> None:
    made = venue()
    made.pool.holding(made.listings[BTC], PositionSide.NET).is_isolated = True
    place(made, BTC, "buy", 5)
    place(made, ETH, "buy", 10)
    (row,) = [p for p in made.snapshot(NOW).positions if p.symbol == BTC]
    assert row.is_isolated
    assert row.isolated_margin == pytest.approx(Decimal(20_002) - 20, abs=1)
    made.set_price(BTC, Decimal(36_000), NOW + 1)
    assert held(made) == 0
    assert held(made, ETH) == 10
    lost = 100_000 - made.pool.wallets["USDT"]
    assert Decimal(20_000) <= lost <= Decimal(20_003)


def test_isolated_margin_shrinks_with_its_position() -> None:
    made = venue()
    holding = made.pool.holding(made.listings[BTC], PositionSide.NET)
    holding.is_isolated = True
    place(made, BTC, "buy", 4)
    before = holding.isolated_margin
    place(made, BTC, "sell", 1)
    assert holding.isolated_margin == before * 3 / 4
    place(made, BTC, "sell", 5)
    assert holding.isolated_margin == Decimal("39996.0") * 2 / 10


@pytest.mark.parametrize(("side", "sign"), [("buy", -1), ("sell", 1)])
def test_funding_when_the_interval_passes_is_paid_once_by_longs(side: str, sign: int) -> None:
    made = venue(funding_rate=Decimal("0.001"))
    at_ms = NOW // (8 * HOUR) * 8 * HOUR
    made.advance(at_ms + HOUR)
    place(made, BTC, side, 1)
    before = made.pool.wallets["USDT"]
    made.advance(at_ms + 7 * HOUR)
    assert made.pool.wallets["USDT"] == before
    made.advance(at_ms + 8 * HOUR)
    made.advance(at_ms + 9 * HOUR)
    assert made.pool.wallets["USDT"] - before == sign * 40
    (row,) = made.ledger_rows(0, at_ms + 9 * HOUR)
    assert (row.entry_kind, row.amount, row.venue_ms) == (
        LedgerKind.FUNDING,
        sign * 40,
        at_ms + 8 * HOUR,
    )
    assert row.symbol == BTC


def test_prices_tell_the_next_funding() -> None:
    made = venue(funding_rate=Decimal("-0.0003"))
    at_ms = NOW // (8 * HOUR) * 8 * HOUR
    told = made.price(BTC, at_ms + HOUR)
    assert (told.funding_rate, told.funding_interval_h) == (-0.0003, 8.0)
    assert told.next_funding_ms == at_ms + 8 * HOUR


def test_deleveraging_closes_without_a_fill() -> None:
    made = venue()
    place(made, BTC, "sell", 3)
    made.drain()
    assert made.deleverage(BTC, PositionSide.NET, Decimal(2), NOW) == 2
    assert held(made) == -1
    assert not [e for e in made.drain() if isinstance(e, events.OrderFilled)]


def test_transfer_moves_the_balance_and_the_ledger_follows_when_it_lags() -> None:
    made = venue()
    made.transfer("USDT", Decimal(-500), NOW, kind=LedgerKind.WITHDRAWAL, ledger_after_ms=5_000)
    assert made.pool.wallets["USDT"] == 99_500
    assert not made.ledger_rows(0, NOW + 4_999)
    assert [row.amount for row in made.ledger_rows(0, NOW + 5_000)] == [-500]
    assert [e.kind for e in made.drain()] == ["BalancesUpdated"]


def test_transfer_when_it_is_not_told_shows_in_the_next_read_only() -> None:
    made = venue()
    made.transfer("USDT", Decimal(500), NOW, is_told=False)
    assert not made.drain()
    assert made.snapshot(NOW).balances[0].total == 100_500


def test_dead_man_when_it_is_not_refreshed_cancels_everything() -> None:
    made = venue()
    place(made, BTC, "buy", 1, price=39_000)
    made.set_dead_man(10_000, NOW)
    made.set_dead_man(10_000, NOW + 5_000)
    made.advance(NOW + 14_999)
    assert made.orders
    made.advance(NOW + 15_000)
    assert not made.orders


def test_stablecoin_when_off_its_peg_moves_equity() -> None:
    made = venue()
    made.pool.asset_usd["USDT"] = Decimal("0.9")
    assert made.margin().equity_usd == pytest.approx(90_000)
    assert made.snapshot(NOW).balances[0].price_usd == 0.9
