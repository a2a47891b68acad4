"""The Book under the second source is kept at hand; it must be the one that would be built anew."""

from __future__ import annotations

import random

import pytest

from riskbot.core import events
from riskbot.core.book import Book
from riskbot.core.exposure import ScopeBook
from riskbot.core.measures import evaluate
from riskbot.core.prices import SecondView
from riskbot.core.settings import AccountSettings, StrategySettings
from tests import builders
from tests.builders import BTC_INVERSE, BTC_PERP, ETH_PERP, balance, loaded, position, prices
from tests.core.rig import Rig

SPOT = "SOL/USDT"


def figures(scope: ScopeBook) -> dict[str, object]:
    return {
        "gross": scope.gross_usd,
        "net": scope.net_usd,
        "equity": scope.equity_usd,
        "margins": scope.margin_equity,
        "underlyings": {name: (s.gross, s.net) for name, s in scope.underlyings.items()},
        "sectors": {name: (s.gross, s.net) for name, s in scope.sectors.items()},
        "legs": {leg.key: (leg.quantity, leg.mark_usd) for leg in scope.legs},
    }


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    """Compare nested figures to rounding; an empty book keeps 1e-9 USD of it."""
    for name, value in one.items():
        if isinstance(value, dict):
            wanted = other[name]
            assert isinstance(wanted, dict)
            assert value.keys() == wanted.keys(), name
            for key, part in value.items():
                assert part == pytest.approx(wanted[key], abs=1e-6), (name, key)
        else:
            assert value == pytest.approx(other[name], abs=1e-6), name


def anew(made: Rig) -> dict[str, ScopeBook]:
    view = SecondView(made.meter.marks, made.now_ms, read_since_ms=made.now_ms)
    account = made.accounts.get(builders.ACCOUNT)
    is_blind = account.blind_reason(made.now_ms, 15_000) is not None
    unseen = frozenset({builders.ACCOUNT}) if is_blind else frozenset()
    return evaluate(Book(made.settings, made.accounts, view, without=unseen), made.now_ms)


def step(made: Rig, rng: random.Random) -> None:
    """Let something happen: a price of some source, a frame, a read, a second."""
    symbol = rng.choice([BTC_PERP, ETH_PERP, BTC_INVERSE, SPOT])
    price = 100.0 * (1 + rng.random() / 100)
    quantity = rng.choice([-2, -1, 0, 1, 3])
    held = [position(s, q, 100) for s, q in ((BTC_PERP, 2), (ETH_PERP, -1)) if rng.random() < 0.7]
    coins = (balance("SOL", rng.randint(0, 3)), balance("BTC", 1))
    choice = rng.randrange(6)
    if choice == 0:
        made.give(prices(symbol, price, index=price * 1.001))
    elif choice == 1:
        made.give(prices(symbol, bid=99.99, ask=100.01))
    elif choice == 2 and symbol != SPOT:
        changed = position(symbol, quantity, 100)
        made.give(events.PositionsUpdated(account=builders.ACCOUNT, positions=(changed,)))
    elif choice == 3:
        made.give(events.BalancesUpdated(account=builders.ACCOUNT, balances=coins))
    elif choice == 4:
        made.read(*held, balances=coins)
    else:
        made.wait(rng.choice([0.5, 1, 3, 20]))


@pytest.mark.parametrize("seed", range(20))
def test_second_book_that_was_kept_equals_one_built_anew(seed: int) -> None:
    rng = random.Random(seed)
    made = Rig()
    made.give(loaded(BTC_PERP, ETH_PERP, BTC_INVERSE, SPOT))
    for _ in range(60):
        step(made, rng)
        if rng.random() < 0.3:
            kept = made.meter.second(made.now_ms, made.now_ms).scopes
            for name, scope in anew(made).items():
                assert_same(figures(kept[name]), figures(scope))


def test_second_book_is_brought_up_to_date_by_the_timer() -> None:
    made = Rig()
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 100.0, index=100.0))
    made.read()
    made.wait(1)
    for number in range(150):
        changed = position(BTC_PERP, number + 1, 100)
        made.give(events.PositionsUpdated(account=builders.ACCOUNT, positions=(changed,)))
    made.wait(1)
    second = made.meter.second(made.now_ms, made.now_ms)
    assert second.scopes["portfolio"].gross_usd == pytest.approx(15_000)


def test_second_source_shows_a_strategys_part() -> None:
    strategies = {"grid": StrategySettings(capital_usd=20_000.0)}
    made = Rig(builders.settings(strategies=strategies))
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 100.0, index=101.0))
    made.read()
    made.meter.cashflows.own("g1", "grid")
    changed = position(BTC_PERP, 10, 100)
    made.give(events.PositionsUpdated(account=builders.ACCOUNT, positions=(changed,)))
    made.give(builders.fill(BTC_PERP, "buy", 10, 100, client_order_id="g1"))
    assert made.scopes()["strategy:grid"].gross_usd == pytest.approx(1_000)
    second = made.meter.second(made.now_ms, made.now_ms)
    assert second.scopes["strategy:grid"].gross_usd == pytest.approx(1_010)


def test_second_source_may_be_another_venue() -> None:
    accounts = {name: AccountSettings(exchange=name) for name in ("bybit", "okx")}
    made = Rig(builders.settings(accounts=accounts))
    for account, price in (("bybit", 100.0), ("okx", 100.5)):
        made.give(loaded(BTC_PERP, account=account), prices(BTC_PERP, price, account=account))
    made.read(position(BTC_PERP, 1, 100, account="bybit"), account="bybit")
    second = made.meter.second(made.now_ms, made.now_ms)
    assert second.single == []
    assert second.scopes["account:bybit"].gross_usd == pytest.approx(100.5)


def test_strategys_part_is_known_again_after_a_checkpoint() -> None:
    strategies = {"grid": StrategySettings(capital_usd=20_000.0)}
    made = Rig(builders.settings(strategies=strategies))
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 100.0, index=101.0))
    made.read(position(BTC_PERP, 10, 100))
    made.meter.cashflows.own("g1", "grid")
    made.give(builders.fill(BTC_PERP, "buy", 4, 100, client_order_id="g1"))
    made.meter.load(made.meter.dump())
    made.give(prices(BTC_PERP, 100.0, index=101.0))
    assert made.scopes()["strategy:grid"].gross_usd == pytest.approx(400)
