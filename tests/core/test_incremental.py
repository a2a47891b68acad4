"""An evaluation that looks at what changed finds what one from scratch finds, after any history."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskbot.core import events
from riskbot.core.book import Book
from riskbot.core.exposure import Leg, Pair, ScopeBook
from riskbot.core.limits._base import FEW, Limit, position_subject
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.measures import evaluate
from riskbot.core.meter import REFRESHED_MAX
from riskbot.core.model import Level, PositionKey, PositionSide
from riskbot.core.prices import SecondView, View
from riskbot.core.settings import PairLeg, PairSettings, StrategySettings
from tests import builders
from tests.builders import (
    BTC_INVERSE,
    BTC_PERP,
    BTC_SPOT,
    ETH_PERP,
    balance,
    loaded,
    order,
    position,
    prices,
)
from tests.core.limits.books import book, leg
from tests.core.rig import Rig

OPTION = "BTC/USDT:USDT-261225-60000-C"
CROSS = "ETH/BTC:BTC"
SYMBOLS = (BTC_PERP, ETH_PERP, BTC_INVERSE, BTC_SPOT, OPTION, CROSS)
DERIVATIVES = tuple(symbol for symbol in SYMBOLS if ":" in symbol)
ACCOUNTS = ("a", "b")

account_of = st.sampled_from(ACCOUNTS)
steps = st.one_of(
    st.tuples(st.just("price"), account_of, st.sampled_from(SYMBOLS), st.floats(50, 60_000)),
    st.tuples(st.just("index"), account_of, st.sampled_from(SYMBOLS), st.floats(50, 60_000)),
    st.tuples(st.just("alive"), account_of, st.sampled_from(SYMBOLS), st.just(0)),
    st.tuples(st.just("position"), account_of, st.sampled_from(DERIVATIVES), st.integers(-20, 20)),
    st.tuples(st.just("hedged"), account_of, st.just(ETH_PERP), st.integers(-9, 9)),
    st.tuples(st.just("restated"), account_of, st.sampled_from(DERIVATIVES), st.integers(40, 90)),
    st.tuples(
        st.just("balance"),
        account_of,
        st.sampled_from(("USDT", "BTC", "USDC", "DOGE", "SOL")),
        st.integers(-5, 1_000),
    ),
    st.tuples(
        st.just("stated"),
        account_of,
        st.sampled_from(("USDT", "SOL", "USDC")),
        st.floats(0.9, 1.1),
    ),
    st.tuples(st.just("order"), account_of, st.sampled_from(SYMBOLS), st.integers(40, 60_000)),
    st.tuples(
        st.just("fill"), account_of, st.sampled_from((BTC_PERP, ETH_PERP)), st.integers(1, 5)
    ),
    st.tuples(st.just("read"), account_of, st.just(""), st.integers(-3, 3)),
    st.tuples(st.just("lost"), account_of, st.just(""), st.just(0)),
    st.tuples(st.just("listed"), account_of, st.sampled_from(SYMBOLS), st.just(0)),
    st.tuples(st.just("wait"), st.just(""), st.just(""), st.sampled_from((1, 3, 6, 20, 70))),
)

Step = tuple[str, str, str, Any]


def made_rig() -> Rig:
    made = Rig(
        builders.settings(
            *ACCOUNTS,
            groups={"majors": ("BTC", "ETH")},
            sectors={"USDT": "stable", "BTC": "layer1"},
            strategies={"grid": StrategySettings(capital_usd=20_000.0)},
            pairs=(PairSettings("carry", (PairLeg("a", BTC_SPOT), PairLeg("b", BTC_INVERSE))),),
        )
    )
    for account in ACCOUNTS:
        made.give(loaded(*SYMBOLS, account=account))
    # The other one is added by a read of the history, or stays unread.
    made.give(builders.snapshot(account="a", usdt=1_000))
    return made


def take(made: Rig, step: Step, number: int) -> None:
    kind, account, name, value = step
    if kind == "wait":
        made.now_ms += value * 1_000
        made.meter.on_timer(made.now_ms)
    else:
        for event in records(made, kind, account, name, value, number):
            made.give(event)


def records(
    made: Rig, kind: str, account: str, name: str, value: Any, number: int
) -> Iterator[events.Event]:
    if kind in {"price", "index"}:
        # A price in BTC is worth no more than one in USDT: sums stay of one size.
        price = value / 60_000 if name == CROSS else round(value, 2)
        field = {"mark" if kind == "price" else "index": price}
        yield prices(name, account=account, delta=0.3 if name == OPTION else None, **field)
    elif kind == "alive":
        yield events.FeedAlive(account=account, feed="prices", symbol=name)
    elif kind == "balance":
        yield events.BalancesUpdated(account=account, balances=(balance(name, value),))
    elif kind == "stated":
        yield events.AssetPriced(account=account, asset=name, price_usd=value, source="venue")
    elif kind == "lost":
        yield events.FeedLost(account=account, feed="account", reason="test")
    elif kind == "listed":
        yield loaded(name, account=account)
    elif kind in {"order", "fill"}:
        yield trade(made, kind, account, name, value, number)
    else:
        yield from positions(made, kind, account, name, value)


def trade(
    made: Rig, kind: str, account: str, name: str, value: int, number: int
) -> events.OrderUpdated | events.OrderFilled:
    if kind == "order":
        stop = order(
            name,
            "sell" if value % 2 else "buy",
            value % 7 + 1,
            account=account,
            order_id=f"o{value % 5}",
            stop_price=value,
            reduce_only=":" in name,
        )
        return events.OrderUpdated(account=account, order=stop)
    made.meter.cashflows.own(f"g{number}", "grid")
    return builders.fill(
        name,
        "buy",
        value,
        1_000,
        account=account,
        trade_id=f"t{number}",
        client_order_id=f"g{number}",
    )


def positions(
    made: Rig, kind: str, account: str, name: str, value: int
) -> Iterator[events.PositionsUpdated | events.AccountSnapshotReceived]:
    if kind == "read":
        made.now_ms += 1
        read = position(BTC_PERP, value, 900, account=account)
        yield builders.snapshot(
            *((read,) if value else ()),
            account=account,
            usdt=1_000,
            balances=(balance("BTC", 1),),
            as_of_ms=made.now_ms + 1,
        )
        return
    side = NET
    if kind == "hedged":
        side = PositionSide.LONG if value > 0 else PositionSide.SHORT
    held = position(
        name, value, 1_000, account=account, side=side, delta=0.4, liquidation_price=500
    )
    if kind == "restated":
        known = made.accounts.get(account).positions.get(PositionKey(account, name, NET))
        said = {"venue_mark": builders.dec(value), "is_isolated": bool(value % 2)}
        held = dataclasses.replace(known if known is not None else held, **said)
    yield events.PositionsUpdated(account=account, positions=(held,))


NET = PositionSide.NET


def from_scratch(made: Rig, view: View, without: frozenset[str]) -> dict[str, ScopeBook]:
    anew = Book(made.settings, made.accounts, view, without=without)
    for key in made.meter.cashflows.attributed():
        anew.attribute(key, made.meter.cashflows.owned(key))
    return evaluate(anew, made.now_ms)


def seen(scope: ScopeBook) -> dict[str, Any]:
    """Everything that is read off a scope, by name; losses are not of the Book."""
    found: dict[str, Any] = {
        field.name: getattr(scope, field.name)
        for field in dataclasses.fields(scope)
        if field.name not in {"losses", "legs", "pairs", "underlyings", "sectors", "groups"}
    }
    for name in ("unpriced", "unlisted", "unprotected"):
        found[name] = sorted(found[name])
    for name in ("underlyings", "sectors", "groups"):
        found[name] = {k: (s.gross, s.net) for k, s in getattr(scope, name).items()}
    # What a strategy does not hold any more stands there with nothing.
    found["strategies"] = {k: s.gross for k, s in scope.strategies.items() if s.gross > 1e-6}
    found["strategies"].pop("external", None)
    found["legs"] = {one.key: dataclasses.asdict(one) for one in scope.legs}
    found["pairs"] = {pair.name: paired(pair) for pair in scope.pairs}
    found["maintenance_margin"] = dict(scope.maintenance_margin)
    return found


def paired(pair: Pair) -> tuple[Any, ...]:
    return (frozenset(pair.keys), pair.hedged_delta_usd, pair.hedge_delta_usd, pair.drift)


def assert_same(found: Any, wanted: Any, scale: float, where: str) -> None:
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for key, value in wanted.items():
            assert_same(found[key], value, scale, f"{where} {key}")
    elif isinstance(wanted, tuple) and not isinstance(wanted, PositionKey):
        assert len(found) == len(wanted), where
        for n, value in enumerate(wanted):
            assert_same(found[n], value, scale, f"{where} {n}")
    elif isinstance(wanted, Leg) and isinstance(found, Leg):
        # Floats make up last digits, in a leg as in a sum.
        for part in dataclasses.fields(wanted):
            one, other = getattr(found, part.name), getattr(wanted, part.name)
            assert_same(one, other, scale, f"{where} {part.name}")
    elif isinstance(wanted, float) and found is not None and math.isfinite(wanted):
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9 * scale + 1e-7), where
    else:
        assert found == wanted, where


def compare(found: dict[str, ScopeBook], wanted: dict[str, ScopeBook]) -> None:
    assert found.keys() == wanted.keys()
    for name, scope in wanted.items():
        scale = max(scope.gross_usd, abs(scope.equity_usd or 0.0), 1.0)
        assert_same(seen(found[name]), seen(scope), scale, name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(st.lists(steps, min_size=1, max_size=8), max_size=6))
def test_evaluation_after_any_history_equals_one_from_scratch(history: list[list[Step]]) -> None:
    made = made_rig()
    number = 0
    for part in history:
        for step in part:
            number += 1
            take(made, step, number)
        made.now_ms += 1_000
        made.meter.on_timer(made.now_ms)
        compare(made.scopes(), from_scratch(made, View(made.meter.marks, made.now_ms), frozenset()))
        unseen = frozenset(
            name
            for name in ACCOUNTS
            if made.accounts.get(name).blind_reason(made.now_ms, 15_000) is not None
        )
        second = SecondView(made.meter.marks, made.now_ms, read_since_ms=made.now_ms)
        compare(
            made.meter.second(made.now_ms, made.now_ms).scopes, from_scratch(made, second, unseen)
        )
    assert made.meter.book.resync() < 1e-7


# ---------------------------------------------------------------- only what matters is judged

EQUITY = 100_000.0
KEYED: tuple[Limit, ...] = (
    AssetExposure(max=0.1, yellow=0.5, orange=0.7),
    AssetExposure(max=0.1, netted=True),
    PositionSize(max=0.1),
    UnderlyingConcentration(max=0.1, gross_floor=0.0),
    UnderlyingConcentration(max=0.05, by="instrument"),
    NetDelta(max=9_000.0),
    NetDelta(max=0.1, of_equity=True),
    LiquidationDistance(min=0.2),
)


@settings(max_examples=60, deadline=None)
@given(
    notionals=st.lists(st.floats(-20_000, 20_000), min_size=FEW + 1, max_size=3 * FEW),
    distances=st.lists(st.floats(0.0, 3.0), min_size=3 * FEW, max_size=3 * FEW),
    limit=st.sampled_from(KEYED),
)
def test_verdicts_of_many_keys_are_the_near_ones_and_the_worst_of_the_others(
    notionals: list[float], distances: list[float], limit: Limit
) -> None:
    legs = [many(n, notional, distances[n]) for n, notional in enumerate(notionals)]
    whole = book(*legs, equity_usd=EQUITY)
    found = {verdict.key: verdict for verdict in limit.check(whole)}
    every = {key: limit.utilization(value) for key, value in figures(limit, whole).items()}
    floor = limit.levels[0] * limit.clear_at
    for key, used in every.items():
        if used > floor * (1 + 1e-9):
            assert found[key].utilization == pytest.approx(used)
            assert found[key].level is limit.level(found[key].utilization or 0.0)
    below = [used for used in every.values() if used < floor * (1 - 1e-9)]
    if below:
        shown = [verdict.utilization for verdict in found.values()]
        assert any(used == pytest.approx(max(below)) for used in shown)
    assert len(found) <= sum(used >= floor * (1 - 1e-9) for used in every.values()) + 1


def many(number: int, notional: float, distance: float) -> Leg:
    return leg(
        f"C{number}/USDT:USDT",
        notional_usd=notional,
        liquidation_price=1.0,
        liquidation_distance=distance,
    )


def figures(limit: Limit, whole: ScopeBook) -> dict[str, float]:
    """What each key measures, by the words of the limit; each leg is an underlying of its own."""
    amounts = {one.underlying: abs(one.notional_usd or 0.0) for one in whole.legs}
    if isinstance(limit, LiquidationDistance):
        return {position_subject(one.key): one.liquidation_distance or 0.0 for one in whole.legs}
    if isinstance(limit, PositionSize):
        return {position_subject(n.key): abs(n.notional_usd or 0.0) / EQUITY for n in whole.legs}
    if isinstance(limit, UnderlyingConcentration):
        base = max(whole.gross_usd, limit.gross_floor * EQUITY)
        names = [
            one.key.symbol if limit.by == "instrument" else one.underlying for one in whole.legs
        ]
        return {n: a / base for n, a in zip(names, amounts.values(), strict=True)} if base else {}
    if isinstance(limit, NetDelta):
        amounts["+" if whole.delta_usd >= 0 else "-"] = abs(whole.delta_usd)
        return {k: a / EQUITY for k, a in amounts.items()} if limit.of_equity else amounts
    return {key: amount / EQUITY for key, amount in amounts.items()}


def test_verdicts_of_many_keys_on_no_equity_are_infinite_and_on_unknown_one_are_few() -> None:
    legs = [many(number, 100.0, 0.5) for number in range(2 * FEW)]
    limit = AssetExposure(max=0.1)
    assert {v.measured for v in limit.check(book(*legs, equity_usd=0.0))} == {math.inf}
    unknown = limit.check(book(*legs, equity_usd=None))
    assert [v.level for v in unknown] == [Level.UNKNOWN] * FEW


# ---------------------------------------------------------------- what time alone changes


def test_prices_that_rest_on_other_accounts_take_turns_where_there_are_many() -> None:
    symbols = [f"C{number}/USDT:USDT" for number in range(REFRESHED_MAX + 100)]
    made = Rig(builders.settings(*ACCOUNTS))
    for account in ACCOUNTS:
        made.give(loaded(*symbols, account=account))
    for symbol in symbols:
        made.give(prices(symbol, 100.0, account="a"))
    held = [position(symbol, 1, 100, account="a") for symbol in symbols]
    made.give(builders.snapshot(*held, account="a"))
    made.now_ms += 10_000
    for symbol in symbols:
        made.give(prices(symbol, 110.0, account="b"))
    whole = 110.0 * len(symbols)
    made.wait(1)
    assert 100.0 * len(symbols) < made.portfolio.gross_usd < whole
    made.wait(1)
    assert made.portfolio.gross_usd == pytest.approx(whole)


def test_only_source_that_a_crossed_book_takes_away_is_gone_within_a_second() -> None:
    made = Rig()
    made.give(loaded(BTC_PERP), prices(BTC_PERP, bid=99.99, ask=100.01))
    made.read(position(BTC_PERP, 1, 100))
    assert made.portfolio.unpriced == []
    made.give(prices(BTC_PERP, bid=100.01, ask=99.99))
    made.wait(1)
    assert made.portfolio.unpriced == [BTC_PERP]


def test_position_read_again_as_it_was_keeps_its_line_and_shows_what_is_new() -> None:
    made = Rig()
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 100.0))
    made.read(position(BTC_PERP, 1, 100))
    (line,) = made.meter.book.sheet(builders.ACCOUNT).positions.values()
    made.read(position(BTC_PERP, 1, 100, liquidation_price=50, is_isolated=True))
    assert [*made.meter.book.sheet(builders.ACCOUNT).positions.values()] == [line]
    (shown,) = made.portfolio.legs
    assert shown.liquidation_distance == pytest.approx(0.5)
    made.read(position(BTC_PERP, 2, 100))
    assert made.portfolio.gross_usd == 200
    made.read(position(BTC_PERP, 2, 90))
    assert made.portfolio.legs[0].unrealized_pnl_usd == pytest.approx(20)


def test_coin_that_two_positions_are_paid_in_stays_until_the_last_one_ends() -> None:
    made = Rig()
    dated = "BTC/USD:BTC-261225"
    made.give(loaded(BTC_INVERSE, dated, BTC_SPOT), prices(BTC_SPOT, last=100.0))
    for symbol in (BTC_INVERSE, dated):
        made.give(prices(symbol, 100.0))
    both = [position(symbol, 1_000, 80) for symbol in (BTC_INVERSE, dated)]
    made.read(*both)
    pnl_usd = 1_000 * (1 / 80 - 1 / 100) * 100
    assert made.portfolio.equity_usd == pytest.approx(100_000 + 2 * pnl_usd)
    made.read(both[0])
    assert made.portfolio.equity_usd == pytest.approx(100_000 + pnl_usd)
    made.read()
    assert made.portfolio.equity_usd == 100_000
    assert made.meter.book.sheet(builders.ACCOUNT).payers == {}


def test_lines_made_at_another_price_of_their_cash_come_back_with_it() -> None:
    made = Rig()
    made.give(loaded(BTC_PERP))
    made.read(position(BTC_PERP, 1, 100))
    for stated, price in ((0.9, 100.0), (1.0, None)):
        made.give(
            events.AssetPriced(
                account=builders.ACCOUNT, asset="USDT", price_usd=stated, source="venue"
            )
        )
        if price is not None:
            made.give(prices(BTC_PERP, price))
    made.wait(1)
    assert made.portfolio.gross_usd == 100
