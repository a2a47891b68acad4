"""What an order reads of a scope without measuring it is what its Book says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskbot.core import glance, headroom
from riskbot.core.exposure import Totals
from riskbot.core.limits._base import Limit
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.trades_per_day import TradesPerDay
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.model import Response
from riskbot.core.settings import AccountSettings, StrategySettings
from riskbot.core.state import State
from tests import builders
from tests.core.market import FREE, Market, market
from tests.core.world import world

DENY = Response.DENY
LIGHT: tuple[Limit, ...] = (
    GrossExposure(max=2.0, on_breach=DENY),
    NetExposure(max=2.0, on_breach=DENY),
    Leverage(max=2.0, on_breach=DENY),
    StopRisk(max=1.0, on_breach=DENY),
    DailyLoss(max=0.5, on_breach=DENY),
    TradesPerDay(max=50, on_breach=DENY),
)
SCOPES = ("portfolio", "account:main", "account:other", "strategy:grid")


def stage(**fields: Any) -> Market:
    made = world(
        *LIGHT,
        held={"BTC": (0.4, 50_000), "ETH": (-3, 2_000)},
        elsewhere={"other": {"BTC": (-0.1, 50_000)}},
        kind=Market,
        usdt=50_000,
        accounts={n: AccountSettings(exchange=n, orders=FREE) for n in ("main", "other")},
        strategies={"grid": StrategySettings(accounts=("main",), capital_usd=9_000, orders=FREE)},
        sectors={"BTC": "layer1", "ETH": "layer1"},
        groups={"majors": ("BTC", "ETH")},
        **fields,
    )
    assert isinstance(made, Market)
    made.give(builders.loaded("BTC/USDT:USDT", "ETH/USDT:USDT"))
    return made


def plain(found: Totals) -> dict[str, Any]:
    keyed = {
        name: {k: (s.gross, s.net) for k, s in getattr(found, name).items()}
        for name in ("underlyings", "sectors", "groups")
    }
    names = ("equity_usd", "capital_usd", "gross_usd", "net_usd", "stop_risk_usd", "is_holding")
    return {
        **keyed,
        **{name: getattr(found, name) for name in names},
        "unpriced": found.unpriced,
        "open_count": found.open_count,
        "legs": {k: leg.notional_usd for k, leg in found.by_key.items()},
    }


@pytest.mark.parametrize("capital", ["equity", "aum", "fixed"])
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["BTC", "ETH"]), st.sampled_from([0.9, 1.02])), max_size=4
    )
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_totals_are_those_of_the_book(capital: str, moves: list[tuple[str, float]]) -> None:
    made = stage(capital=capital, capital_usd=70_000.0, off_exchange_usd=1_000.0)
    state = made.engine.state
    for base, factor in moves:
        made.now_ms += 1
        symbol = f"{base}/USDT:USDT"
        made.marks[symbol] *= factor
        price = made.marks[symbol]
        made.give(builders.prices(symbol, price, index=price))
        found = {scope: glance.totals(state, scope, made.now_ms) for scope in SCOPES}
        told = {
            (scope, limit.name): glance.verdicts(state, scope, limit, made.now_ms)
            for scope in SCOPES[:3]
            for limit in LIGHT
        }
        books = state.measure(made.now_ms)
        for scope in SCOPES:
            assert plain(found[scope]) == plain(books[scope]), scope
            assert found[scope].ratio(1_000.0) == pytest.approx(books[scope].ratio(1_000.0))
        portfolio = found["portfolio"]
        assert portfolio.losses.daily_loss == pytest.approx(books["portfolio"].losses.daily_loss)
        assert portfolio.day == books["portfolio"].day
        for (scope, name), rows in told.items():
            limit = next(each for each in LIGHT if each.name == name)
            if scope == "portfolio" or limit.is_moved_by_orders:
                wanted = state.check(limit, books[scope])
                assert [r.key for r in rows] == [r.key for r in wanted]
                assert [r.measured for r in rows] == pytest.approx([r.measured for r in wanted])


def test_totals_are_kept_until_something_is_told() -> None:
    made = stage()
    state = made.engine.state
    found = glance.totals(state, "portfolio", made.now_ms)
    made.decide("ETH", "buy", "0.1")
    assert glance.totals(state, "portfolio", made.now_ms) is found
    made.price(BTC=50_100)
    assert glance.totals(state, "portfolio", made.now_ms) is not found


def test_what_no_order_moves_only_has_to_be_known() -> None:
    made = market(DailyLoss(max=0.1, on_breach=DENY), held={"BTC": (0.1, 50_000)})
    state: State = made.engine.state
    limit = DailyLoss(max=0.1, on_breach=DENY)
    assert glance.is_settled(state, "portfolio", limit, made.now_ms)
    assert glance.is_settled(state, "portfolio", limit, made.now_ms)
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"
    blind = TradesPerDay(max=5, on_breach=DENY)
    # Nothing is counted where no limit of the scope is configured that asks for it: not known.
    assert not glance.is_settled(state, "account:main", blind, made.now_ms)


def test_limit_that_reads_more_is_asked_over_the_whole_book_after_a_tick() -> None:
    made = market(
        UnderlyingConcentration(max=0.5, on_breach=DENY),
        GrossExposure(max=1.0, on_breach=DENY),
        MaintenanceMargin(max=0.5, on_breach=DENY),
        held={"BTC": (0.4, 50_000)},
    )
    made.price(BTC=50_500)
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"
    made.price(BTC=50_600)
    document = made.decide("BTC", "buy", "1")
    assert {r["limit"] for r in document["reasons"]} == {"underlying_concentration"}


def test_no_capital_is_an_infinite_ratio_where_something_is_held() -> None:
    made = stage()
    found = glance.totals(made.engine.state, "account:main", made.now_ms)
    found.capital_usd = found.equity_usd = 0.0
    assert found.share(0.0) == float("inf")
    assert found.equity_share(0.0) == float("inf")
    assert Totals("portfolio", capital_usd=0.0).share(0.0) == 0.0
    assert Totals("portfolio").share(1.0) is None
    assert headroom.DENYING


def test_approach_to_a_limit_of_keys_is_read_off_the_whole_book() -> None:
    limit = AssetExposure(max=0.5, on_breach=DENY, on_approach=["scale"])
    made = market(limit, held={"BTC": (0.95, 50_000)})
    made.price(BTC=50_100)
    document = made.decide("BTC", "buy", "0.04")
    assert document["decision"] == "deny"
    assert {r["code"] for r in document["reasons"]} == {"SCALED"}


def test_order_after_an_urgent_turn_sets_the_guards_first() -> None:
    limit = GrossExposure(max=1.0, on_breach=DENY)
    made = market(limit, held={"BTC": (0.4, 50_000)})
    state = made.engine.state
    book = state.scopes(made.now_ms)["portfolio"]
    state.meter.book.on_account("main")
    assert state.meter.tripped()
    state.meter.set_guards([(limit, state.check(limit, book), book)], is_urgent=True)
    assert state.meter.tripped()
    made.decide("BTC", "buy", "0.1")
    assert not state.meter.tripped()
