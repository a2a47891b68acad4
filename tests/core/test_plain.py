"""Checkpoint values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core.model import PositionKey, PositionSide, Side
from riskbot.core.plain import VOLATILE, from_plain, to_plain

KEY = PositionKey("main", "BTC/USDT:USDT", PositionSide.NET)


@dataclass(slots=True)
class Inner:
    amount: Decimal
    side: Side | None = None


@dataclass(slots=True)
class Outer:
    name: str = ""
    share: float = 0.0
    count: int = 0
    is_on: bool = False
    inner: Inner | None = None
    by_name: dict[str, Inner] = field(default_factory=dict)
    by_key: dict[PositionKey, Inner] = field(default_factory=dict)
    by_pair: dict[tuple[str, int], float] = field(default_factory=dict)
    listed: list[Inner] = field(default_factory=list)
    many: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    free: Any = None
    computed: int = field(default=0, metadata={VOLATILE: True})


def test_values_survive_json() -> None:
    inner = Inner(Decimal("0.10"), Side.SELL)
    value = Outer(
        "x",
        1.5,
        3,
        True,
        inner,
        {"a": inner},
        {KEY: inner},
        {("a", 1): 2.0},
        [inner],
        ("p", "q"),
        frozenset({"n"}),
        {"deep": [1]},
        computed=9,
    )
    again = from_plain(Outer, json.loads(json.dumps(to_plain(value))))
    assert again.computed == 0
    again.computed = 9
    assert again == value
    assert str(again.inner.amount) == "0.10"


def test_fields_of_other_versions_are_dropped_or_defaulted() -> None:
    assert from_plain(Outer, {"name": "x", "removed": 1}) == Outer("x")


def test_unknown_type_is_a_mistake_of_the_sub_state() -> None:
    with pytest.raises(TypeError, match="cannot read"):
        from_plain(complex, "1j")
