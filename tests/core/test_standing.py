"""Whatever orders, approvals, positions and prices come and go: the piles tell what there is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from riskbot.core import events, workload
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import OrderStatus, PositionKey, PositionSide, Response, Side, WorkingOrder
from riskbot.core.settings import StrategySettings
from riskbot.core.state import State
from tests import builders
from tests.core.market import FREE, Market, market
from tests.core.standings import assert_alike

PERP, OTHER, COIN, PAIR = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT", "SOL/USDC"
PRICES = {PERP: 50_000.0, OTHER: 2_000.0, COIN: 100.0, PAIR: 100.0}
QUANTITIES = st.sampled_from(["0.1", "0.25", "1", "3"])

ORDERS = st.builds(
    builders.order,
    st.sampled_from([PERP, PERP, OTHER, COIN, PAIR]),
    st.sampled_from(Side),
    QUANTITIES,
    order_id=st.sampled_from([f"v{n}" for n in range(6)]),
    client_order_id=st.sampled_from([None, None, "rb01", "rb02", "mine1", "mine2"]),
    price=st.sampled_from([None, 90, 49_000, 51_000]),
    stop_price=st.sampled_from([None, None, None, 48_000]),
    filled=st.sampled_from([0, 0, "0.05"]),
    reduce_only=st.sampled_from([False, False, False, True]),
    position_side=st.sampled_from([PositionSide.NET] * 3 + [PositionSide.LONG, PositionSide.SHORT]),
    status=st.sampled_from([OrderStatus.OPEN] * 3 + [OrderStatus.CANCELED]),
    created_ms=st.integers(1, 3),
)
ASKED = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from([PERP, PERP, OTHER, COIN]),
        "side": st.sampled_from(["buy", "sell"]),
        "quantity": QUANTITIES,
        "strategy": st.sampled_from(["grid", "trend"]),
        "price": st.sampled_from([None, None, 90, 49_000]),
        "stop_loss": st.sampled_from([None, 80, 45_000]),
        "client_order_id": st.sampled_from([None, "mine1", "mine2", "mine3"]),
        "reduce_only": st.sampled_from([False, False, True]),
        "is_submit": st.sampled_from([False, False, False, True]),
    }
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), ORDERS),
        st.tuples(st.just("order"), ORDERS),
        st.tuples(st.just("ask"), ASKED),
        st.tuples(st.just("ask"), ASKED),
        st.tuples(st.just("pull"), st.integers(0, 5)),
        st.tuples(st.just("fill"), ORDERS),
        st.tuples(st.just("hold"), st.tuples(st.sampled_from([PERP, OTHER]), st.integers(-2, 2))),
        st.tuples(st.just("own"), st.integers(0, 3)),
        st.tuples(st.just("price"), st.sampled_from([44_000.0, 50_000.0, 60_000.0])),
        st.tuples(st.just("read"), st.lists(ORDERS, max_size=3, unique_by=lambda o: o.order_id)),
        st.tuples(st.just("wait"), st.sampled_from([1, 33])),
        st.tuples(st.just("load"), st.none()),
    ),
    min_size=3,
    max_size=14,
)


def stage() -> Market:
    made = market(
        GrossExposure(max=50.0, on_breach=Response.DENY),
        held={"BTC": (1, 50_000)},
        strategies={
            name: StrategySettings(accounts=("main",), orders=FREE) for name in ("grid", "trend")
        },
        usdt=1e6,
    )
    made.marks |= PRICES
    made.give(builders.loaded(*PRICES))
    for symbol, price in PRICES.items():
        made.give(builders.prices(symbol, price, index=price, last=price))
    return made


def step(made: Market, kind: str, what: Any) -> None:
    """Let one thing happen."""
    made.now_ms += 1
    {
        "order": lambda: made.give(events.OrderUpdated(account="main", order=what)),
        "ask": lambda: made.ask("", **what),
        "pull": lambda: pull(made, what),
        "fill": lambda: made.give(
            builders.fill(
                what.symbol,
                what.side,
                what.quantity,
                order_id=what.order_id,
                client_order_id=what.client_order_id,
            )
        ),
        "hold": lambda: made.give(
            events.PositionsUpdated(
                account="main", positions=(builders.position(what[0], what[1], PRICES[what[0]]),)
            )
        ),
        "own": lambda: made.give(
            events.BalancesUpdated(account="main", balances=(builders.balance("SOL", what),))
        ),
        "price": lambda: made.give(builders.prices(PERP, what, index=what, last=what)),
        "read": lambda: made.give(
            builders.snapshot(builders.position(PERP, 1), orders=tuple(what), as_of_ms=made.now_ms)
        ),
        "wait": lambda: made.wait(what),
        "load": lambda: made.engine.state.load(made.engine.state.dump()),
    }[kind]()


def pull(made: Market, number: int) -> None:
    live = [*made.engine.state.reservations.live.values()]
    if live:
        known = live[number % len(live)]
        made.pull(known.client_order_id, known.strategy)


@given(steps=STEPS)
@settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_piles_tell_what_the_orders_tell(steps: list[tuple[str, Any]]) -> None:
    made = stage()
    for kind, what in steps:
        step(made, kind, what)
        assert_alike(made.engine.state)
    # Made anew from the same accounts and approvals they say the same.
    made.engine.state.load(made.engine.state.dump())
    assert_alike(made.engine.state)


def state_with(*orders: WorkingOrder) -> State:
    made = stage()
    made.now_ms += 1
    for order in orders:
        made.give(events.OrderUpdated(account="main", order=order))
    return made.engine.state


def test_many_entries_on_both_sides_are_told_without_splitting_them() -> None:
    rows = [
        builders.order(OTHER, side, 1, order_id=f"{side}{n}", price=2_000 + 10 * sign * (n + 1))
        for side, sign in ((Side.BUY, -1), (Side.SELL, 1))
        for n in range(3)
    ]
    state = state_with(*rows)
    assert assert_alike(state)
    key = PositionKey("main", OTHER, PositionSide.NET)
    assert state.standing.edge(key, Side.SELL) == Decimal(2_010)
    assert state.standing.edge(key, Side.BUY) == Decimal(1_990)
    higher = builders.order(OTHER, Side.BUY, 1, order_id="buy9", price=1_995)
    state.apply(events.OrderUpdated(account="main", order=higher), builders.T0 + 60_000)
    assert state.standing.edge(key, Side.BUY) == Decimal(1_995)
    assert state.standing.room(key, Side.BUY) == (Decimal(0), True)
    better = builders.order(OTHER, Side.SELL, 1, order_id="sell0", price=2_005)
    state.apply(events.OrderUpdated(account="main", order=better), builders.T0 + 60_000)
    assert state.standing.edge(key, Side.SELL) == Decimal(2_005)
    for name, price in (("sell2", 2_030), ("sell0", 2_005)):
        gone = builders.order(
            OTHER, Side.SELL, 1, order_id=name, price=price, status=OrderStatus.CANCELED
        )
        state.apply(events.OrderUpdated(account="main", order=gone), builders.T0 + 60_000)
    assert state.standing.edge(key, Side.SELL) == Decimal(2_020)
    assert assert_alike(state)


def test_orders_that_nobody_asks_about_are_looked_at_now_and_then() -> None:
    made = stage()
    made.now_ms += 1
    for number in range(1_100):
        row = builders.order(OTHER, order_id=f"n{number}", status=OrderStatus.CANCELED)
        made.give(
            events.OrderUpdated(account="main", order=builders.order(OTHER, order_id=f"n{number}"))
        )
        made.give(events.OrderUpdated(account="main", order=row))
    assert len(made.engine.state.accounts.get("main").touched) <= 1_001
    assert_alike(made.engine.state)


@pytest.mark.parametrize("price", [None, 49_000])
def test_risk_of_an_approval_goes_with_its_stop(price: int | None) -> None:
    made = stage()
    made.ask("", symbol=PERP, side="buy", quantity="1", stop_loss=45_000, price=price)
    assert assert_alike(made.engine.state)
    made.give(builders.prices(PERP, 48_000.0, index=48_000.0))
    assert assert_alike(made.engine.state)
    step(made, "pull", 0)
    assert assert_alike(made.engine.state) == 0


def test_exits_and_entries_together_are_told_apart_whatever_they_are_called() -> None:
    rows = [
        builders.order(OTHER, Side.SELL, 1, order_id="out", reduce_only=True),
        builders.order(OTHER, Side.BUY, 1, order_id="in1", client_order_id="twice"),
        builders.order(OTHER, Side.BUY, 2, order_id="in2", client_order_id="twice"),
    ]
    state = state_with(*rows)
    assert assert_alike(state)
    key = PositionKey("main", OTHER, PositionSide.NET)
    assert state.standing.room(key, Side.BUY) == (Decimal(0), True)
    for name in ("in1", "in2"):
        gone = builders.order(
            OTHER, order_id=name, client_order_id="twice", status=OrderStatus.CANCELED
        )
        state.apply(events.OrderUpdated(account="main", order=gone), builders.T0 + 60_000)
        assert_alike(state)
    assert state.standing.room(key, Side.BUY) == (Decimal(0), False)


def test_entry_without_a_price_is_told_as_that_either_way() -> None:
    made = stage()
    made.give(builders.loaded(*PRICES, "XRP/USDT:USDT"))
    made.now_ms += 1
    row = builders.order("XRP/USDT:USDT", order_id="x")
    made.give(events.OrderUpdated(account="main", order=row))
    assert assert_alike(made.engine.state) == 0
    answer = made.ask("", symbol=PERP, side="buy", quantity="0.1")
    assert [r["code"] for r in answer.document["reasons"]] == ["BLIND_PRICE"]
    key = PositionKey("main", PERP, PositionSide.NET)
    assert workload.room(made.engine.state, key, Side.SELL, frozenset({"none"})) == (
        Decimal(1),
        False,
    )
