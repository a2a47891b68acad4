"""What the kept piles say of what works, held against the telling order by order."""

from __future__ import annotations

from itertools import product

import pytest

from riskbot.core import workload
from riskbot.core.exits import holding
from riskbot.core.model import OrderType, PositionKey, PositionSide, Side, WorkingOrder
from riskbot.core.state import State
from riskbot.core.workload import Order, Working


def assert_alike(state: State) -> int:
    """Hold both tellings of every account against each other; return how much was there."""
    seen = 0
    for account, known in state.accounts.by_name.items():
        if not state.standing.is_all(account):
            continue
        for symbol, position_side, side in product(known.instruments, PositionSide, Side):
            stub = WorkingOrder(
                account,
                symbol,
                "",
                None,
                side,
                OrderType.MARKET,
                known.quantity(PositionKey(account, symbol, position_side)),
                position_side=position_side,
            )
            _room_and_edge(state, stub)
            seen += _works(state, stub)
    return seen


def _room_and_edge(state: State, stub: WorkingOrder) -> None:
    slow = workload.room(state, stub, frozenset())
    held = holding(state.accounts.get(stub.account), stub.symbol, stub.position_side)
    assert state.standing.room(stub) == slow, (stub, held)
    prices = [
        order.price
        for order in workload.counted(state, stub.account)
        if (order.symbol, order.side) == (stub.symbol, stub.side.opposite)
        and order.price is not None
        and order.stop_price is None
    ]
    best = (max if stub.side is Side.SELL else min)(prices, default=None)
    assert workload.edge(state, stub, frozenset()) == best


def _works(state: State, stub: WorkingOrder) -> int:
    instrument = state.instrument(stub.account, stub.symbol)
    assert instrument is not None
    key = PositionKey(stub.account, stub.symbol, stub.position_side)
    order = Order(instrument, key, stub.side, 1.0, 0.1)
    seen = 0
    for strategy in (None, *state.settings.strategies):
        quick: dict[PositionKey, Working] = {}
        slow: dict[PositionKey, Working] = {}
        known = state.standing.add_working(quick, stub.account, order, strategy)
        assert known == workload.add_one_by_one(state, slow, stub.account, order, strategy=strategy)
        if known:
            # Exits that take nothing of an empty position leave an empty row behind.
            assert quick.keys() == slow.keys(), (strategy, stub)
            for name, working in slow.items():
                _alike(quick[name], working)
            seen += len(slow)
    return seen


def _alike(quick: Working, slow: Working) -> None:
    for name in ("buys", "sells", "risk"):
        assert getattr(quick, name) == pytest.approx(getattr(slow, name), rel=1e-9, abs=1e-9)
