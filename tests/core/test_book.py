"""The incremental Book: equal to one built from scratch; guards that miss nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskbot.core import events
from riskbot.core.book import DRIFT_ALARM
from riskbot.core.exposure import ScopeBook
from riskbot.core.guards import guards
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.peg_deviation import PegDeviation
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.strategy_share import StrategyShare
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.model import MarginReport, account_scope
from tests import builders
from tests.builders import (
    ACCOUNT,
    BTC_INVERSE,
    BTC_PERP,
    BTC_SPOT,
    ETH_PERP,
    balance,
    loaded,
    position,
    prices,
)
from tests.core.rig import Rig, rig

MAIN = account_scope(ACCOUNT)
OPTION = "BTC/USDT:USDT-261225-60000-C"


# ---------------------------------------------------------------- incremental and exact

SYMBOLS = (BTC_PERP, ETH_PERP, BTC_INVERSE, BTC_SPOT, OPTION)
PRICES = st.floats(0.5, 100_000, allow_nan=False)
ACCOUNTS = ("a", "b")

steps = st.one_of(
    st.tuples(st.just("price"), st.sampled_from(ACCOUNTS), st.sampled_from(SYMBOLS), PRICES),
    st.tuples(
        st.just("position"),
        st.sampled_from(ACCOUNTS),
        st.sampled_from((BTC_PERP, ETH_PERP, BTC_INVERSE, OPTION)),
        st.integers(-20, 20),
    ),
    st.tuples(
        st.just("balance"),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(("USDT", "BTC", "USDC")),
        st.integers(-5, 1_000),
    ),
    st.tuples(st.just("stated"), st.sampled_from(ACCOUNTS), st.just("USDT"), st.floats(0.9, 1.1)),
    st.tuples(st.just("read"), st.sampled_from(ACCOUNTS), st.just(""), st.integers(-3, 3)),
)


def take(made: Rig, step: tuple[str, str, str, Any]) -> None:
    kind, account, name, value = step
    if kind == "price":
        price = round(value, 2)
        made.give(prices(name, price, account=account, delta=0.3 if name == OPTION else None))
    elif kind == "position":
        made.give(
            events.PositionsUpdated(
                account=account,
                positions=(position(name, value, 1_000, account=account, delta=0.4),),
            )
        )
    elif kind == "balance":
        made.give(events.BalancesUpdated(account=account, balances=(balance(name, value),)))
    elif kind == "stated":
        made.give(events.AssetPriced(account=account, asset=name, price_usd=value, source="venue"))
    else:
        held = position(BTC_PERP, value, 900, account=account)
        made.now_ms += 1
        made.read(held, account=account, usdt=1_000, balances=(balance("BTC", 1),))


def figures(book: ScopeBook) -> dict[str, float | None]:
    sums = {
        f"{kind}:{key}:{what}": getattr(aggregate, what)
        for kind in ("underlyings", "sectors", "groups")
        for key, aggregate in getattr(book, kind).items()
        for what in ("gross", "net")
    }
    return {
        "is_known": book.equity_usd is not None,
        "equity": book.equity_usd or 0.0,
        "gross": book.gross_usd,
        "net": book.net_usd,
        "stop_risk": book.stop_risk_usd,
        "unpriced": len(book.unpriced),
        **sums,
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(steps, max_size=40))
def test_incremental_book_after_any_history_equals_one_built_from_scratch(
    history: list[tuple[str, str, str, Any]],
) -> None:
    made = Rig(
        builders.settings(
            *ACCOUNTS,
            groups={"majors": ("BTC", "ETH")},
            sectors={"USDT": "stable", "BTC": "layer1"},
            limits=((account_scope("a"), AssetExposure(max=1.0)),),
        )
    )
    for account in ACCOUNTS:
        made.give(loaded(*SYMBOLS, account=account))
        made.give(builders.snapshot(account=account, usdt=1_000))
    for step in history:
        take(made, step)
    made.meter.on_timer(made.now_ms)
    live, exact = made.scopes(), made.exact()
    assert live.keys() == exact.keys()
    for scope, book in live.items():
        want = figures(exact[scope])
        scale = max(abs(want["gross"] or 0.0), abs(want["equity"] or 0.0), 1.0)
        assert figures(book) == pytest.approx(want, rel=1e-9, abs=1e-9 * scale)
    assert made.meter.book.resync() < DRIFT_ALARM


def test_coin_that_an_ended_position_was_paid_in_leaves_nothing_unknown() -> None:
    made = Rig()
    made.give(loaded(BTC_INVERSE))
    made.read(position(BTC_INVERSE, 10_000), usdt=1_000)
    assert made.portfolio.equity_usd is None
    made.read(usdt=1_000)
    assert made.portfolio.equity_usd == 1_000


def test_position_paid_in_an_unpriced_coin_ends_without_a_trace() -> None:
    made = Rig()
    symbol = "LTC/USD:LTC-261225"
    made.give(loaded(symbol), prices(symbol, 100.0))
    made.read(position(symbol, 1_000, 80), usdt=1_000)
    made.read(position(symbol, 500, 80), usdt=1_000)
    assert made.portfolio.gross_usd == 500
    made.read(usdt=1_000)
    assert (made.portfolio.gross_usd, made.portfolio.equity_usd) == (0, 1_000)


def test_price_moves_every_line_it_belongs_to_until_the_line_is_gone() -> None:
    made = Rig(builders.settings(sectors={}))
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 50_000.0))
    made.read(position(), usdt=None, balances=(balance("BTC", 1),))
    made.mark(BTC=60_000.0)
    assert made.portfolio.gross_usd == 120_000
    made.read(usdt=None, balances=(balance("BTC", 1),))
    made.mark(BTC=70_000.0)
    assert made.portfolio.gross_usd == 70_000
    made.read()
    made.mark(BTC=80_000.0)
    assert made.portfolio.gross_usd == 0


def test_resync_repairs_and_reports_a_drift() -> None:
    made = rig(position())
    made.meter.book.portfolio.total.gross += 5.0
    made.meter.book.portfolio.equity += 10.0
    assert made.meter.book.resync() == pytest.approx(1e-4)
    assert made.portfolio.gross_usd == 50_000
    assert made.portfolio.equity_usd == 100_000
    assert made.meter.book.resync() == 0


# ---------------------------------------------------------------- guards

LIMITS = (
    ("portfolio", GrossExposure(max=2.0)),
    ("portfolio", NetExposure(max=0.8)),
    ("portfolio", AssetExposure(max=0.9)),
    ("portfolio", SectorExposure(max=1.2)),
    ("portfolio", PositionSize(max=0.9)),
    ("portfolio", StopRisk(max=0.2)),
    ("portfolio", UnderlyingConcentration(max=0.6)),
    ("portfolio", NetDelta(max=80_000.0)),
    ("portfolio", NetDelta(max=0.7, of_equity=True)),
    ("portfolio", StrategyShare(max=0.9)),
    ("portfolio", Drawdown(max=0.15)),
    ("portfolio", MaintenanceMargin(max=0.3)),
    ("portfolio", LiquidationDistance(min=0.1)),
    ("portfolio", PegDeviation(max=0.02)),
    (MAIN, Leverage(max=3.0)),
    (MAIN, Drawdown(max=0.10)),
)


def levels(made: Rig) -> dict[tuple[str, str, str], int]:
    scopes = made.scopes()
    return {
        (scope, f"{limit.name}{n}", verdict.key): verdict.level.rank
        for n, (scope, limit) in enumerate(LIMITS)
        for verdict in limit.check(scopes[scope])
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    btc=st.integers(-30, 30),
    eth=st.integers(-300, 300),
    moves=st.lists(st.tuples(st.sampled_from(("BTC", "ETH")), st.floats(-0.02, 0.02)), max_size=60),
)
def test_guards_never_miss_a_level_that_a_tick_reached(
    btc: int, eth: int, moves: list[tuple[str, float]]
) -> None:
    held = [
        position(quantity=Decimal(btc) / 10, liquidation_price=44_000),
        position(ETH_PERP, Decimal(eth) / 10, 2_000, maintenance_margin=5_000, venue_mark=2_000),
    ]
    margin = MarginReport(maintenance_usd=12_000)
    made = rig(*held, usdt=100_000, margin=margin)
    marks = {"BTC": 50_000.0, "ETH": 2_000.0}
    known: dict[tuple[str, str, str], int] | None = None
    for base, share in moves:
        if known is None or made.meter.tripped():
            known = levels(made)
            scopes = made.scopes()
            checked = [(lim, lim.check(scopes[scope]), scopes[scope]) for scope, lim in LIMITS]
            made.meter.set_guards(checked, is_urgent=False)
        marks[base] *= 1 + share
        made.mark(**{base: marks[base]})
        if not made.meter.tripped():
            now = levels(made)
            worse = {
                key: (known.get(key, 0), rank)
                for key, rank in now.items()
                if rank > known.get(key, 0) and key[1][:-1] not in {"peg_deviation"}
            }
            assert not worse


def test_guards_of_an_unknown_or_infinite_measure_are_none() -> None:
    made = rig(position("SOL/USDT:USDT", 1, 20))
    limit = GrossExposure(max=2.0)
    assert list(guards(limit, limit.check(made.portfolio), made.portfolio)) == []
    broke = rig(position(entry=200_000), usdt=100_000)
    assert list(guards(limit, limit.check(broke.portfolio), broke.portfolio)) == []


def test_guards_past_the_last_level_are_none() -> None:
    made = rig(position(quantity=5))
    limit = GrossExposure(max=2.0)
    assert list(guards(limit, limit.check(made.portfolio), made.portfolio)) == []


def test_guard_of_a_lost_nav_is_none() -> None:
    made = rig(position(quantity=5))
    made.mark(BTC=25_000.0)
    limit = Drawdown(max=1.0, yellow=0.98, orange=0.99)
    book = made.portfolio
    lost = replace(limit.check(book)[0], measured=1.0, utilization=0.5)
    assert list(guards(limit, [lost], book)) == []


def test_timer_takes_prices_anew_and_resyncs() -> None:
    made = rig(position())
    made.now_ms += 20_000
    made.meter.on_timer(made.now_ms)
    assert made.meter.drift < DRIFT_ALARM


def test_ticks_of_instruments_nobody_holds_change_nothing() -> None:
    made = rig(position())
    before = figures(made.portfolio)
    made.mark(ETH=3_000.0)
    assert figures(made.portfolio) == before


def test_guards_of_measures_that_no_tick_moves_are_none() -> None:
    made = rig(position())
    made.give(events.AssetPriced(account=ACCOUNT, asset="USDT", price_usd=1.0, source="venue"))
    limit = PegDeviation(max=0.02)
    verdicts = limit.check(made.portfolio)
    assert verdicts[0].measured == 0
    assert list(guards(limit, verdicts, made.portfolio)) == []


def test_stale_mark_of_an_inverse_position_gives_way_to_its_index() -> None:
    made = rig(position(BTC_INVERSE, 10_000), usdt=1_000)
    made.now_ms += 4_000
    made.give(prices(BTC_INVERSE, index=40_000.0), prices(BTC_SPOT, last=40_000.0))
    made.now_ms += 2_000
    made.meter.on_timer(made.now_ms)
    assert made.portfolio.equity_usd == pytest.approx(1_000 - 2_000)
    assert figures(made.portfolio) == pytest.approx(figures(made.exact()["portfolio"]))


def test_position_is_watched_by_the_distance_limits_of_its_own_account() -> None:
    made = Rig(builders.settings("a", "b"))
    for account in ("a", "b"):
        made.give(loaded(BTC_PERP, account=account))
        made.mark(account, BTC=50_000.0)
        held = position(quantity=1, account=account, liquidation_price=40_000)
        made.give(builders.snapshot(held, account=account))
    limit = LiquidationDistance(min=0.1)
    book = made.scopes()[account_scope("a")]
    for account, price, is_near in (("b", 45_000.0, False), ("a", 46_000.0, False)):
        made.meter.set_guards([(limit, limit.check(book), book)], is_urgent=False)
        made.mark(account, BTC=price)
        assert made.meter.tripped() is is_near
    # Yellow begins at 0.1 / 0.8 above the liquidation price.
    made.mark("a", BTC=40_000 / (1 - 0.125) - 1)
    assert made.meter.tripped()
