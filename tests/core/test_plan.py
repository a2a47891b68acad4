"""Plans: what is closed, what is kept, and that nothing ever crosses zero."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core import plan
from riskbot.core.exposure import Leg, Pair, ScopeBook
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.model import Instrument, InstrumentKind, PositionKey, PositionSide, Response
from riskbot.core.pairs import Pairing
from riskbot.core.settings import HedgeSettings
from tests import builders

STEP = Decimal("0.001")
ONE_WAY = PositionSide.NET


def instrument(symbol: str, kind: InstrumentKind = InstrumentKind.LINEAR) -> Instrument:
    return Instrument(
        account="main",
        symbol=symbol,
        underlying=symbol.partition("/")[0],
        quote="USDT",
        settle="USDT",
        kind=kind,
        contract_value=Decimal(1),
        tick=Decimal("0.1"),
        step=STEP,
        min_quantity=STEP,
        min_notional=Decimal(5),
    )


def leg(base: str, quantity: float, mark: float, **changes: object) -> Leg:
    symbol = f"{base}/USDT:USDT"
    row = Leg(
        key=PositionKey("main", symbol, PositionSide.NET),
        instrument=instrument(symbol),
        venue="venue",
        underlying=base,
        sector=base,
        groups=(),
        quantity=quantity,
        mark_usd=mark,
        notional_usd=quantity * mark,
        delta_usd=quantity * mark,
    )
    for name, value in changes.items():
        setattr(row, name, value)
    return row


def book(*legs: Leg, equity: float = 10_000.0, pairs: list[Pair] | None = None) -> ScopeBook:
    return ScopeBook(
        scope="portfolio",
        equity_usd=equity,
        capital_usd=equity,
        gross_usd=sum(abs(x.notional_usd or 0) for x in legs),
        net_usd=sum(x.notional_usd or 0 for x in legs),
        legs=list(legs),
        pairs=pairs or [],
    )


def holdings(*legs: Leg) -> plan.Holdings:
    quantity = {x.key: Decimal(repr(x.quantity)) for x in legs}
    return plan.Holdings(quantity, {k: abs(q) for k, q in quantity.items()})


def pair(one: Leg, other: Leg) -> Pair:
    matched = min(abs(one.quantity), abs(other.quantity))
    return Pair(
        name=one.underlying,
        underlying=one.underlying,
        keys=(one.key, other.key),
        quantity=matched,
        hedged_delta_usd=one.delta_usd or 0.0,
        hedge_delta_usd=other.delta_usd or 0.0,
        drift=0.0,
    )


def left(targets: tuple[plan.Target, ...], legs: tuple[Leg, ...]) -> dict[str, float]:
    after = {x.key: x.quantity * (x.mark_usd or 0.0) for x in legs}
    for target in targets:
        mark = next(x.mark_usd or 0.0 for x in legs if x.key == target.key)
        after[target.key] = float(target.quantity) * mark
    return {key.symbol: value for key, value in after.items()}


GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
NET = NetExposure(max=0.5, on_breach=Response.REDUCE)


def test_flatten_when_all_is_closable_targets_zero_largest_risk_first() -> None:
    small, large = leg("ETH", 1, 2_000), leg("BTC", -1, 40_000)
    targets = plan.flatten_targets(book(small, large), holdings(small, large), ["main"])
    assert [(t.key.symbol, t.quantity) for t in targets] == [
        ("BTC/USDT:USDT", Decimal(0)),
        ("ETH/USDT:USDT", Decimal(0)),
    ]


def test_flatten_when_one_leg_of_a_pair_is_held_keeps_the_matched_part_of_the_other() -> None:
    spot = leg("BTC", 1.0, 40_000, is_closable=False, kept_reason="spot: hold", is_spot=True)
    spot.key = PositionKey("main", "BTC/USDT", PositionSide.NET)
    perp = leg("BTC", -1.5, 40_000)
    targets = plan.flatten_targets(
        book(spot, perp, pairs=[pair(spot, perp)]), holdings(spot, perp), ["main"]
    )
    by_symbol = {t.key.symbol: t for t in targets}
    assert by_symbol["BTC/USDT"].kept
    assert by_symbol["BTC/USDT:USDT"].quantity == Decimal("-1.000")
    assert "hedges" in by_symbol["BTC/USDT:USDT"].note


def test_flatten_when_one_instrument_is_named_takes_its_pair_partner_along() -> None:
    one, other, third = leg("BTC", 1, 40_000), leg("BTC", -1, 40_000), leg("ETH", 1, 2_000)
    other.key = PositionKey("second", "BTC/USDC:USDC", PositionSide.NET)
    targets = plan.flatten_targets(
        book(one, other, third, pairs=[pair(one, other)]),
        holdings(one, other, third),
        ["main", "second"],
        "BTC/USDT:USDT",
    )
    assert {t.key.symbol for t in targets} == {"BTC/USDT:USDT", "BTC/USDC:USDC"}


def test_flatten_when_part_is_not_free_keeps_what_is_locked() -> None:
    coin = leg("BTC", 2.0, 40_000)
    held = plan.Holdings({coin.key: Decimal(2)}, {coin.key: Decimal("1.5")})
    (target,) = plan.flatten_targets(book(coin), held, ["main"])
    assert target.quantity == Decimal("0.5")


def test_reduce_when_gross_breaks_closes_the_largest_down_to_the_target() -> None:
    legs = (leg("BTC", 0.5, 40_000), leg("ETH", 3, 2_000))
    (target,) = plan.reduce_targets(
        book(*legs), holdings(*legs), [plan.Breach("portfolio", GROSS, "", 2.6)]
    )
    assert target.key.symbol == "BTC/USDT:USDT"
    after = left((target,), legs)
    gross = sum(map(abs, after.values()))
    assert 17_900 < gross <= 18_000


def test_reduce_when_legs_are_hedged_closes_the_rest_first_then_both_alike() -> None:
    spot = leg("BTC", 0.25, 40_000)
    spot.key = PositionKey("second", "BTC/USDT", PositionSide.NET)
    perp, alone = leg("BTC", -0.25, 40_000), leg("ETH", 2, 2_000)
    legs = (spot, perp, alone)
    targets = plan.reduce_targets(
        book(*legs, pairs=[pair(spot, perp)]),
        holdings(*legs),
        [plan.Breach("portfolio", GROSS, "", 2.4)],
    )
    by_symbol = {t.key.symbol: t.quantity for t in targets}
    assert by_symbol["ETH/USDT:USDT"] == 0
    assert by_symbol["BTC/USDT"] == -by_symbol["BTC/USDT:USDT"]
    assert 0 < by_symbol["BTC/USDT"] < Decimal("0.25")


def test_reduce_when_net_breaks_closes_only_its_direction() -> None:
    legs = (leg("BTC", 0.25, 40_000), leg("ETH", -1, 2_000))
    (target,) = plan.reduce_targets(
        book(*legs), holdings(*legs), [plan.Breach("portfolio", NET, "+", 0.8)]
    )
    assert target.key.symbol == "BTC/USDT:USDT"
    assert sum(left((target,), legs).values()) <= 0.45 * 10_000


def test_reduce_when_two_limits_break_meets_both_with_one_set_of_closes() -> None:
    legs = (leg("BTC", 0.25, 40_000), leg("ETH", 6, 2_000))
    asset = AssetExposure(max=0.5, on_breach=Response.REDUCE)
    breaches = [
        plan.Breach("portfolio", GROSS, "", 2.2),
        plan.Breach("portfolio", asset, "BTC", 1.0),
        plan.Breach("portfolio", asset, "ETH", 1.2),
    ]
    after = left(plan.reduce_targets(book(*legs), holdings(*legs), breaches), legs)
    assert after["BTC/USDT:USDT"] <= 4_500
    assert after["ETH/USDT:USDT"] <= 4_500


def test_reduce_when_margin_breaks_scales_that_account_only() -> None:
    mine, other = leg("BTC", 0.5, 40_000), leg("ETH", 5, 2_000)
    other.key = PositionKey("second", "ETH/USDT:USDT", PositionSide.NET)
    margin = MaintenanceMargin(max=0.3, on_breach=Response.REDUCE)
    legs = (mine, other)
    (target,) = plan.reduce_targets(
        book(*legs), holdings(*legs), [plan.Breach("portfolio", margin, "main", 0.36)]
    )
    assert target.key.account == "main"
    aimed = 15_000 * (1 - plan.COST_ALLOWANCE)
    assert left((target,), legs)["BTC/USDT:USDT"] == pytest.approx(aimed, abs=41)


@pytest.mark.parametrize("cost_bps", [0, 10, 20])
def test_reduce_when_closing_costs_something_still_ends_where_the_hold_clears(
    cost_bps: int,
) -> None:
    legs = (leg("BTC", 3, 40_000), leg("ETH", 40, 2_000))
    gross = GrossExposure(max=1.0, on_breach=Response.REDUCE)
    told = book(*legs)
    assert told.capital_usd is not None
    targets = plan.reduce_targets(told, holdings(*legs), [plan.Breach("portfolio", gross, "", 2.0)])
    after = sum(left(targets, legs).values())
    # Fees of the fill that broke it and of the close: equity is lower once all is booked.
    paid = told.capital_usd * cost_bps / 10_000
    assert after / (told.capital_usd - paid) <= gross.max * gross.target
    assert after / told.capital_usd > gross.max * gross.target * 0.99


def test_reduce_when_stop_risk_breaks_takes_the_riskiest_dollar() -> None:
    safe = leg("BTC", 0.5, 40_000, risk_usd=200.0)
    wild = leg("ETH", 5, 2_000, risk_usd=2_000.0)
    limit = StopRisk(max=0.1, on_breach=Response.REDUCE)
    (target,) = plan.reduce_targets(
        book(safe, wild), holdings(safe, wild), [plan.Breach("portfolio", limit, "", 0.22)]
    )
    assert target.key.symbol == "ETH/USDT:USDT"


def test_reduce_when_the_rest_would_be_dust_closes_it_all() -> None:
    legs = (leg("BTC", 0.1, 40_000), leg("ETH", 0.002, 2_000))
    limit = AssetExposure(max=0.0004, on_breach=Response.REDUCE)
    (target,) = plan.reduce_targets(
        book(*legs), holdings(*legs), [plan.Breach("portfolio", limit, "BTC", 0.4)]
    )
    assert target.quantity == 0


def test_reduce_when_the_rest_is_less_than_one_order_closes_it_all() -> None:
    small = replace(instrument("X/USDT:USDT"), min_quantity=Decimal(2), min_notional=Decimal(0))
    row = leg("X", 10, 1_000, instrument=small, key=PositionKey("main", "X/USDT:USDT", ONE_WAY))
    limit = GrossExposure(max=0.1, on_breach=Response.REDUCE)
    targets = plan.reduce_targets(
        book(row), holdings(row), [plan.Breach("portfolio", limit, "", 1.0)]
    )
    assert [t.quantity for t in targets] == [0]


def test_reduce_when_the_rest_of_an_inverse_is_small_counts_its_face_value() -> None:
    coin = replace(
        instrument("X/USD:X", InstrumentKind.INVERSE), min_notional=Decimal(2_000), step=Decimal(1)
    )
    key = PositionKey("main", "X/USD:X", ONE_WAY)
    row = leg("X", 0.1, 100_000, instrument=coin, key=key)
    held = plan.Holdings({key: Decimal(10_000)}, {key: Decimal(10_000)})
    limit = GrossExposure(max=0.1, on_breach=Response.REDUCE)
    (target,) = plan.reduce_targets(book(row), held, [plan.Breach("portfolio", limit, "", 1.0)])
    assert target.quantity == 0


def test_reduce_when_net_breaks_stops_at_its_target() -> None:
    rows = (leg("BTC", 1, 50_000), leg("ETH", 10, 2_000), leg("X", 10, 1_000))
    limit = NetExposure(max=0.6, on_breach=Response.REDUCE)
    targets = plan.reduce_targets(
        book(*rows, equity=100_000),
        holdings(*rows),
        [plan.Breach("portfolio", limit, "+", 0.8)],
    )
    assert [(t.key.symbol, t.quantity) for t in targets] == [("BTC/USDT:USDT", Decimal("0.48"))]


def test_reduce_when_some_legs_carry_no_risk_leaves_them() -> None:
    rows = (leg("BTC", 1, 50_000, risk_usd=0.0), leg("ETH", 10, 2_000, risk_usd=2_000.0))
    rows[1].is_closable = False
    limit = StopRisk(max=0.01, on_breach=Response.REDUCE)
    breach = plan.Breach("portfolio", limit, "", 0.2)
    assert plan.reduce_targets(book(*rows), holdings(*rows), [breach]) == ()


def test_reduce_when_one_leg_of_a_pair_is_out_of_reach_keeps_the_other() -> None:
    far = leg("BTC", -1, 10_000)
    far.key = PositionKey("other", far.key.symbol, ONE_WAY)
    near = leg("BTC", 1, 10_000)
    limit = GrossExposure(max=0.1, on_breach=Response.REDUCE)
    targets = plan.reduce_targets(
        book(near),
        holdings(near),
        [plan.Breach("portfolio", limit, "", 1.0)],
        [pair(near, far)],
        {"main"},
    )
    assert targets == ()


def test_flatten_when_a_leg_is_dust_names_it() -> None:
    row = leg("BTC", 0.0001, 10_000, is_dust=True)
    (target,) = plan.flatten_targets(book(row), holdings(row), ["main"])
    assert (target.kept, target.note) == (True, "dust, below the venue's minimum")


def test_reduce_when_nothing_is_closable_returns_nothing() -> None:
    stuck = leg("BTC", 1, 40_000, is_closable=False, kept_reason="spot: hold")
    assert (
        plan.reduce_targets(
            book(stuck), holdings(stuck), [plan.Breach("portfolio", GROSS, "", 4.0)]
        )
        == ()
    )


HEDGE = HedgeSettings(account="main", instrument="BTC/USDT:USDT", max_usd=50_000)


@pytest.mark.parametrize(
    ("present", "offset_usd", "expected"),
    [
        ("0", -10_000.0, "-0.25"),
        ("-0.25", -10_010.0, "-0.5"),
        ("0", -90_000.0, "-1.25"),
        ("-0.25", 10_000.0, "0"),
        ("0", -3.0, None),
    ],
)
def test_hedge_when_sized_by_delta_rounds_down_and_keeps_its_bound(
    present: str, offset_usd: float, expected: str | None
) -> None:
    symbol = "BTC/USDT:USDT"
    target = plan.hedge_target(
        HEDGE,
        instrument(symbol),
        40_000.0,
        Decimal(present),
        offset_usd,
        PositionKey("main", symbol, PositionSide.NET),
    )
    assert (None if target is None else target.quantity) == (
        None if expected is None else Decimal(expected)
    )


@given(
    sizes=st.lists(
        st.tuples(st.floats(-50, 50).filter(lambda q: abs(q) > 0.01), st.floats(1, 50_000)),
        min_size=1,
        max_size=8,
    ),
    limit=st.floats(0.05, 3.0),
)
def test_reduce_when_anything_breaks_never_raises_or_flips_a_position(
    sizes: list[tuple[float, float]], limit: float
) -> None:
    legs = tuple(leg(f"C{i}", round(q, 3), m) for i, (q, m) in enumerate(sizes))
    gross = GrossExposure(max=limit, on_breach=Response.REDUCE)
    measured = book(*legs).gross_usd / 10_000
    targets = plan.reduce_targets(
        book(*legs), holdings(*legs), [plan.Breach("portfolio", gross, "", measured)]
    )
    held = holdings(*legs).quantity
    for target in targets:
        before = held[target.key]
        assert abs(target.quantity) < abs(before)
        assert target.quantity * before >= 0
    if measured > limit:
        after = left(targets, legs)
        assert sum(map(abs, after.values())) <= limit * 10_000 + 1e-6


def test_flatten_keeps_of_options_what_matches_a_coin_that_stays() -> None:
    coin = leg("BTC", 1, 50_000, is_closable=False, kept_reason="spot: hold")
    put = leg("BTC", 4, 900, delta_usd=-80_000.0, notional_usd=-80_000.0)
    symbol = "BTC/USDT:USDT-261225-60000-P"
    put.instrument, put.key = builders.instrument(symbol), put.key._replace(symbol=symbol)
    (made,) = pairs_of(coin, put)
    whole = book(coin, put, pairs=[made])
    targets = plan.flatten_targets(whole, holdings(coin, put), ["main"])
    # Puts of 80,000 hedge a coin of 50,000: five eighths of them stay.
    assert {t.key.symbol: t.quantity for t in targets}[symbol] == Decimal("2.5")


def test_reduce_closes_both_sides_of_a_pair_with_options_by_what_they_move_like() -> None:
    coin = leg("BTC", 1, 50_000)
    put = leg("BTC", 4, 900, delta_usd=-50_000.0, notional_usd=-50_000.0)
    symbol = "BTC/USDT:USDT-261225-60000-P"
    put.instrument, put.key = builders.instrument(symbol), put.key._replace(symbol=symbol)
    whole = book(coin, put, equity=25_000.0, pairs=pairs_of(coin, put))
    breach = plan.Breach("portfolio", GROSS, "", 4.0)
    targets = plan.reduce_targets(whole, holdings(coin, put), [breach])
    left_now = {t.key.symbol: float(t.quantity) for t in targets}
    assert left_now["BTC/USDT:USDT"] / 1 == pytest.approx(left_now[symbol] / 4, abs=0.01)
    assert 0 < left_now[symbol] < 4


def pairs_of(*legs: Leg) -> list[Pair]:
    pairing = Pairing()
    for each in legs:
        pairing.put(each)
    return pairing.pairs()
