"""The quick way to what limits let pass says what the slow one says, whatever is held and works."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskbot.core import headroom
from riskbot.core.exposure import ScopeBook
from riskbot.core.headroom import Bound, Case
from riskbot.core.limits._base import Along, Limit, Reading
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.group_exposure import GroupExposure
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.open_positions import OpenPositions
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.model import PositionKey, PositionSide, Response, Side
from riskbot.core.outlooks import Outlook
from riskbot.core.settings import AccountSettings, StrategySettings
from riskbot.core.workload import Order, Working
from tests import builders
from tests.core.market import FREE, Market, market
from tests.core.world import world

BASES = ("BTC", "ETH", "SOL", "DOGE")
PRICES = {"BTC": 50_000.0, "ETH": 2_000.0, "SOL": 100.0, "DOGE": 0.1}
EQUITY = 100_000.0
QUICK = (
    GrossExposure(max=1.0),
    Leverage(max=1.1),
    NetExposure(max=0.6),
    NetDelta(max=40_000),
    NetDelta(max=0.3, of_equity=True),
    AssetExposure(max=0.5),
    AssetExposure(max=0.4, netted=True),
    SectorExposure(max=0.7),
    GroupExposure(max=0.6),
    PositionSize(max=0.45),
    OpenPositions(max=2),
    StopRisk(max=0.08),
)
SLOW = (UnderlyingConcentration(max=0.5), DailyLoss(max=0.1), ValueAtRisk(max=0.1))

SHARES = st.sampled_from([-0.9, -0.4, -0.1, 0.0, 0.05, 0.3, 0.8])
WORKS = st.sampled_from([0.0, 0.02, 0.2, 0.7])


def key_of(base: str, account: str = "main") -> PositionKey:
    return PositionKey(account, f"{base}/USDT:USDT", PositionSide.NET)


def made_of(held: dict[str, float], elsewhere: dict[str, float]) -> Market:
    """Return a market where these shares of its equity are held on two accounts."""
    accounts = {n: AccountSettings(exchange=n, orders=FREE) for n in ("main", "other")}
    made = world(
        held={b: (share * EQUITY / PRICES[b], PRICES[b]) for b, share in held.items() if share},
        elsewhere={
            "other": {
                b: (share * EQUITY / PRICES[b], PRICES[b])
                for b, share in elsewhere.items()
                if share
            }
        },
        kind=Market,
        usdt=EQUITY / 2,
        accounts=accounts,
        strategies={"grid": StrategySettings(accounts=("main",), capital_usd=9_000, orders=FREE)},
        sectors={"BTC": "layer1", "ETH": "layer1", "SOL": "layer1"},
        groups={"majors": ("BTC", "ETH"), "all": BASES},
    )
    assert isinstance(made, Market)
    return made


@given(
    held=st.fixed_dictionaries(dict.fromkeys(BASES, SHARES)),
    elsewhere=st.fixed_dictionaries(dict.fromkeys(BASES[:2], SHARES)),
    work=st.fixed_dictionaries(dict.fromkeys(BASES, st.tuples(WORKS, WORKS))),
    base=st.sampled_from(BASES),
    side=st.sampled_from(Side),
    scope=st.sampled_from(["portfolio", "account:main", "strategy:grid"]),
    cap=st.sampled_from([0.001, 0.3, 1.0, 30.0]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_both_ways_find_the_same_bounds(
    held: dict[str, float],
    elsewhere: dict[str, float],
    work: dict[str, tuple[float, float]],
    base: str,
    side: Side,
    scope: str,
    cap: float,
) -> None:
    made = made_of(held, elsewhere)
    state = made.engine.state
    made.give(builders.loaded(*(f"{b}/USDT:USDT" for b in BASES)))
    entries = {
        key_of(b): Working(buys * EQUITY, sells * EQUITY, (buys + sells) * EQUITY * 0.03)
        for b, (buys, sells) in work.items()
        if buys or sells
    }
    instrument = state.instrument("main", f"{base}/USDT:USDT")
    assert instrument is not None
    order = Order(instrument, key_of(base), side, PRICES[base], PRICES[base] * 0.1)
    quantity = cap * EQUITY / PRICES[base]
    case = Case(state, state.scopes(made.now_ms)[scope], entries, order, quantity)
    for limit in QUICK:
        assert limit.along(case.outlook) is not None, limit.name
        quick, slow = headroom.bounds_of(case, limit), headroom.slow_bounds(case, limit)
        assert rounded(quick, quantity) == rounded(slow, quantity), (limit.name, quick, slow)
        for bound, other in zip(in_order(quick), in_order(slow), strict=True):
            assert bound.measured == pytest.approx(other.measured, abs=1e-9)


def in_order(bounds: list[Bound]) -> list[Bound]:
    return sorted(bounds, key=lambda bound: bound.message)


def rounded(bounds: list[Bound], cap: float) -> list[tuple[str, float]]:
    return [(b.message, pytest.approx(b.quantity, abs=1e-6 * cap)) for b in in_order(bounds)]


def test_limits_that_know_no_quick_way_go_the_slow_one() -> None:
    made = market(*(limit.model_copy(update={"on_breach": Response.DENY}) for limit in SLOW[:2]))
    for limit in SLOW:
        assert limit.along(case_of(made).outlook) is None
    assert made.decide("BTC", "buy", "0.1")["decision"] == "approve"
    assert made.decide("BTC", "buy", "1.5")["decision"] == "deny"


def case_of(made: Market) -> Case:
    state = made.engine.state
    instrument = state.instrument("main", "BTC/USDT:USDT")
    assert instrument is not None
    order = Order(instrument, key_of("BTC"), Side.BUY, 50_000.0, 5_000.0)
    return Case(state, state.scopes(made.now_ms)["portfolio"], {}, order, 10.0)


class Broken(GrossExposure):
    """A limit whose quick way is broken."""

    def along(self, outlook: Outlook) -> Along | None:
        raise ZeroDivisionError


def test_broken_quick_way_leaves_the_slow_one() -> None:
    made = market(held={"BTC": (1, 50_000)})
    (bound,) = headroom.bounds_of(case_of(made), Broken(max=1.0))
    assert bound.quantity == pytest.approx(1.0)


class Nothing(Limit):
    """A limit that reads nothing."""

    name = "nothing"

    def read(self, book: ScopeBook) -> list[Reading]:
        del book
        return []


def test_limit_that_reads_nothing_bounds_nothing() -> None:
    assert headroom.bounds_of(case_of(market()), Nothing(max=1.0)) == []


def test_quick_way_needs_a_capital_and_prices() -> None:
    made = market(GrossExposure(max=1.0, on_breach=Response.DENY), usdt=-10)
    case = case_of(made)
    assert case.along(GrossExposure(max=1.0)) is None
    assert Leverage(max=1.0).along(case.outlook) is None
    assert made.decide("BTC", "buy", "0.1")["decision"] == "deny"


def test_book_is_measured_anew_when_anything_was_told() -> None:
    made = market(GrossExposure(max=1.0, on_breach=Response.DENY), held={"BTC": (1, 50_000)})
    state = made.engine.state
    first = state.scopes(made.now_ms)
    made.decide("ETH", "buy", "1")
    assert state.scopes(made.now_ms) is first
    made.price(ETH=2_001)
    assert state.scopes(made.now_ms) is not first
    again = state.scopes(made.now_ms)
    assert state.scopes(made.now_ms + 1_000) is not again


def test_slow_way_is_exact_beside_more_keys_than_it_shows() -> None:
    made = market(held={f"C{n}": (10, 100) for n in range(40)})
    state = made.engine.state
    instrument = state.instrument("main", "BTC/USDT:USDT")
    assert instrument is not None
    order = Order(instrument, key_of("BTC"), Side.BUY, 50_000.0, 5_000.0)
    entries = {key_of("BTC"): Working(buys=20_000.0)}
    case = Case(state, state.scopes(made.now_ms)["portfolio"], entries, order, 200.0)
    limit = AssetExposure(max=0.5)
    for found in (headroom.bounds_of(case, limit), headroom.slow_bounds(case, limit)):
        assert [bound.quantity for bound in found] == [pytest.approx(0.6, abs=1e-9)]
