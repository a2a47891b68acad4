"""How any limit judges a figure, and which fields it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from riskbot.core.limits import LIMITS, LIMITS_BY_NAME, Limit
from riskbot.core.model import Level
from tests.core.limits.books import book, leg


def made(name: str, **fields: Any) -> Limit:
    cls = LIMITS_BY_NAME[name]
    return cls(**{"min" if cls.is_min else "max": min(1.0, cls.highest), **fields})


@pytest.mark.parametrize(
    ("notional", "level"),
    [
        (80_000.0, Level.OK),
        (80_000.1, Level.YELLOW),
        (90_000.0, Level.YELLOW),
        (90_000.1, Level.ORANGE),
        (100_000.0, Level.ORANGE),
        (100_000.1, Level.RED),
    ],
)
def test_check_when_at_a_level_exactly_is_still_below_it(notional: float, level: Level) -> None:
    (verdict,) = made("gross_exposure", max=1.0).check(book(leg(notional_usd=notional)))
    assert verdict.level is level
    assert verdict.utilization == pytest.approx(notional / 100_000)


@pytest.mark.parametrize(
    ("distance", "level"),
    [
        (0.125, Level.OK),
        (0.12, Level.YELLOW),
        (0.11, Level.ORANGE),
        (0.10, Level.ORANGE),
        (0.099, Level.RED),
        (0.0, Level.RED),
    ],
)
def test_check_when_limit_is_a_minimum_breaches_below_it(distance: float, level: Level) -> None:
    near = leg(liquidation_price=9_000.0, liquidation_distance=distance)
    (verdict,) = made("liquidation_distance", min=0.10).check(book(near))
    assert verdict.level is level


def test_check_when_nothing_is_near_liquidation_uses_nothing_of_the_limit() -> None:
    (verdict,) = made("liquidation_distance", min=0.10).check(book())
    assert (verdict.utilization, verdict.level) == (0.0, Level.OK)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_levels_default_to_the_kind_of_measure(limit: type[Limit]) -> None:
    is_early = limit.is_loss or limit.name == "maintenance_margin"
    assert made(limit.name).levels == ((0.5, 0.75) if is_early else (0.8, 0.9))
    assert made(limit.name, yellow=0.1, orange=0.2).levels == (0.1, 0.2)


# limit, fields, what the sentences begin with and hold
FAULTS: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("gross_exposure", {"max": None}, [("max:", "missing")]),
    ("gross_exposure", {"max": -1.0}, [("max:", "above 0, is -1")]),
    ("gross_exposure", {"max": 0.0}, [("max:", "above 0, is 0")]),
    ("daily_loss", {"max": 3.0}, [("max:", "0.03, not 3")]),
    ("leverage", {"max": 900.0}, [("max:", "at most 200, is 900")]),
    ("daily_loss", {"max": 0.03, "min": 0.01}, [("min:", "takes `max`, not `min`")]),
    ("liquidation_distance", {"max": 0.1, "min": None}, [("max:", "takes"), ("min:", "missing")]),
    ("gross_exposure", {"yellow": 0.95}, [("yellow:", "below orange (0.9)")]),
    ("gross_exposure", {"orange": 0.7}, [("orange:", "yellow (0.8) must be below")]),
    ("daily_loss", {"on_breach": "reduce"}, [("on_breach:", "not measured over equity")]),
    ("open_positions", {"on_breach": "reduce"}, [("on_breach:", "not measured over equity")]),
    ("drawdown", {"on_approach": ["reduce"]}, [("on_approach:", "not measured over equity")]),
    ("gross_exposure", {"on_breach": "hedge"}, [("on_breach:", "does not lower")]),
    ("gross_exposure", {"then": "halt"}, [("then:", "within_s")]),
    (
        "gross_exposure",
        {"on_breach": "flatten", "within_s": 5.0, "then": "reduce"},
        [("then:", "not stronger than `flatten`")],
    ),
    ("maintenance_margin", {"margin_actions": []}, [("margin_actions:", "empty")]),
    ("maintenance_margin", {"margin_actions": ["add_margin"]}, [("add_margin_max_usd:", "needs")]),
    ("value_at_risk", {"confidence": 0.9}, [("confidence:", "0.95 or 0.99, is 0.9")]),
    ("expected_shortfall", {"confidence": 0.5}, [("confidence:", "0.95 or 0.99, is 0.5")]),
    (
        "daily_loss",
        {"max": -0.1, "on_breach": "hedge", "yellow": 0.8},
        [("max:", "above 0"), ("yellow:", "below orange"), ("on_breach:", "does not lower")],
    ),
]


@pytest.mark.parametrize(("name", "fields", "expected"), FAULTS)
def test_limit_when_fields_do_not_fit_names_each(
    name: str, fields: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(ValidationError) as caught:
        made(name, **fields)
    lines = caught.value.errors()[0]["msg"].removeprefix("Value error, ").splitlines()
    assert len(lines) == len(expected)
    for line, (start, part) in zip(lines, expected, strict=True):
        assert line.startswith(start)
        assert part in line


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("gross_exposure", {"on_breach": "reduce", "within_s": 60.0, "then": "flatten"}),
        ("gross_exposure", {"on_approach": ["scale", "throttle", "reduce"]}),
        ("net_exposure", {"on_breach": "hedge"}),
        ("hedge_drift", {"on_breach": "hedge"}),
        ("maintenance_margin", {"margin_actions": ["add_margin"], "add_margin_max_usd": 10.0}),
        ("value_at_risk", {"confidence": 0.99}),
        ("drawdown", {"on_breach": "flatten", "latch": True}),
    ],
)
def test_limit_when_fields_fit_is_built(name: str, fields: dict[str, Any]) -> None:
    limit = made(name, **fields)
    assert {key: getattr(limit, key) for key in fields} == fields


@pytest.mark.parametrize("value", ["3%", True, float("nan"), float("inf"), [1]])
def test_limit_when_value_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        made("gross_exposure", max=value)


def test_base_limit_when_read_says_that_it_is_none() -> None:
    class Planted(Limit):
        name = "planted"

    with pytest.raises(NotImplementedError):
        Planted(max=1.0).check(book())


def test_names_are_unique_and_every_class_says_its_unit() -> None:
    assert len(LIMITS_BY_NAME) == len(LIMITS)
    units = {limit.unit for limit in LIMITS}
    assert units == {"ratio", "USD", "count", "s", "ms", "bps", "/min"}
    assert all(
        limit.is_share == (limit.unit == "ratio") or limit.name == "leverage" for limit in LIMITS
    )
