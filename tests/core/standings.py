"""What the kept piles say of what works, held against the telling order by order."""

from __future__ import annotations

from itertools import product

import pytest

from riskbot.core import workload
from riskbot.core.model import PositionKey, PositionSide, Side
from riskbot.core.state import State
from riskbot.core.workload import Order, Working


def assert_alike(state: State) -> int:
    """Hold both tellings of every account against each other; return how much was there."""
    seen = 0
    for account, known in state.accounts.by_name.items():
        if not state.standing.is_all(account):
            continue
        for symbol, position_side, side in product(known.instruments, PositionSide, Side):
            key = PositionKey(account, symbol, position_side)
            slow = workload.room_one_by_one(state, key, side)
            assert state.standing.room(key, side) == slow, (key, side)
            best = workload.edge_one_by_one(state, key, side)
            assert state.standing.edge(key, side) == best, (key, side)
            seen += _works(state, key, side)
    return seen


def _works(state: State, key: PositionKey, side: Side) -> int:
    instrument = state.instrument(key.account, key.symbol)
    assert instrument is not None
    order = Order(instrument, key, side, 1.0, 0.1)
    seen = 0
    for strategy in (None, *state.settings.strategies):
        quick: dict[PositionKey, Working] = {}
        slow: dict[PositionKey, Working] = {}
        known = state.standing.add_working(quick, key.account, order, strategy)
        assert known == workload.add_one_by_one(state, slow, key.account, order, strategy=strategy)
        if known:
            assert quick.keys() == slow.keys(), (strategy, key)
            for name, working in slow.items():
                _alike(quick[name], working)
            seen += len(slow)
    return seen


def _alike(quick: Working, slow: Working) -> None:
    for name in ("buys", "sells", "risk"):
        assert getattr(quick, name) == pytest.approx(getattr(slow, name), rel=1e-9, abs=1e-9)
