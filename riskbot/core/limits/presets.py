"""What each preset sets: plain tables of limit fields, as somebody would write them in YAML.

No preset is a recommendation for a book it does not fit; `init` proposes one by the present book.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

PresetName = Literal["leveraged", "cautious", "market_neutral", "directional", "holder"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)

Fields = dict[str, Any]
"""Fields of one limit."""

_WITHIN_S = 60
_MARGIN_WITHIN_S = 10


def preset_limits(name: PresetName, *, has_hedges: bool, venues: int) -> dict[str, Fields]:
    """Return the limits a preset sets, by name.

    Args:
        name: of the preset.
        has_hedges: `portfolio.hedges` names one: net exposure is hedged rather than reduced.
        venues: number of different exchanges; with two or more, `venue_share` is set where the
            preset has it.
    """
    return _TABLES[name](has_hedges, venues)


def _base(has_hedges: bool) -> dict[str, Fields]:  # noqa: FBT001 - a row of the table
    """Responses that the first three columns of the table share; `max` is added per column."""
    return {
        "gross_exposure": {
            "on_breach": "reduce",
            "within_s": _WITHIN_S,
            "on_approach": ["scale", "throttle"],
        },
        "net_exposure": {
            "on_breach": "hedge" if has_hedges else "reduce",
            "within_s": _WITHIN_S,
        },
        "asset_exposure": {"on_breach": "deny"},
        "underlying_concentration": {"on_breach": "deny"},
        "sector_exposure": {"on_breach": "deny"},
        "group_exposure": {"on_breach": "deny"},
        "position_size": {"on_breach": "deny"},
        "open_positions": {"on_breach": "deny"},
        "stop_risk": {"on_breach": "alert"},
        "drawdown": {"on_breach": "flatten", "latch": True, "on_approach": ["scale"]},
        "daily_loss": {"on_breach": "halt"},
        "weekly_drawdown": {"on_breach": "halt", "latch": True},
        "rolling_loss": {"on_breach": "alert", "window": "24h"},
        "trades_per_day": {"on_breach": "deny"},
        "maintenance_margin": {"on_breach": "reduce", "within_s": _MARGIN_WITHIN_S},
        "liquidation_distance": {"on_breach": "alert", "severity": "red"},
        "hedge_drift": {"on_breach": "alert"},
        # A venue without price history would otherwise stop all trading through the gateway.
        "value_at_risk": {"on_breach": "deny", "when_unknown": "pass"},
        "stress_loss": {"on_breach": "alert"},
        "venue_share": {"on_breach": "alert"},
        "peg_deviation": {"on_breach": "alert"},
    }


def _with_values(
    values: dict[str, float],
    has_hedges: bool,  # noqa: FBT001 - a row of the table
) -> dict[str, Fields]:
    """Put values beside their responses, in the table's order; limits without one are off."""
    return {
        name: {("min" if name == "liquidation_distance" else "max"): values[name], **fields}
        for name, fields in _base(has_hedges).items()
        if name in values
    }


def _venue_share(venues: int) -> dict[str, float]:
    return {"venue_share": min(1.0, 1.5 / venues)} if venues > 1 else {}


def _leveraged(has_hedges: bool, _venues: int) -> dict[str, Fields]:  # noqa: FBT001
    return _with_values(
        {
            "gross_exposure": 2.0,
            "net_exposure": 0.80,
            "asset_exposure": 0.20,
            "sector_exposure": 0.40,
            "group_exposure": 0.35,
            "position_size": 0.20,
            "open_positions": 20,
            "stop_risk": 0.10,
            "drawdown": 0.15,
            "daily_loss": 0.03,
            "weekly_drawdown": 0.08,
            "rolling_loss": 0.03,
            "trades_per_day": 50,
            "maintenance_margin": 0.30,
            "liquidation_distance": 0.10,
            "hedge_drift": 0.05,
            "value_at_risk": 0.10,
            "peg_deviation": 0.02,
        },
        has_hedges,
    )


def _cautious(has_hedges: bool, venues: int) -> dict[str, Fields]:  # noqa: FBT001
    return _with_values(
        {
            "gross_exposure": 0.80,
            "net_exposure": 0.50,
            "asset_exposure": 0.15,
            "sector_exposure": 0.30,
            "group_exposure": 0.30,
            "position_size": 0.10,
            "open_positions": 10,
            "stop_risk": 0.06,
            "drawdown": 0.15,
            "daily_loss": 0.03,
            "weekly_drawdown": 0.08,
            "rolling_loss": 0.03,
            "trades_per_day": 20,
            "maintenance_margin": 0.30,
            "liquidation_distance": 0.15,
            "hedge_drift": 0.05,
            "value_at_risk": 0.05,
            **_venue_share(venues),
            "peg_deviation": 0.02,
        },
        has_hedges,
    )


def _market_neutral(has_hedges: bool, venues: int) -> dict[str, Fields]:  # noqa: FBT001
    limits = _with_values(
        {
            "gross_exposure": 2.0,
            "net_exposure": 0.06,
            "underlying_concentration": 0.05,
            "open_positions": 100,
            "drawdown": 0.15,
            "daily_loss": 0.02,
            "weekly_drawdown": 0.05,
            "rolling_loss": 0.02,
            "maintenance_margin": 0.30,
            "liquidation_distance": 0.20,
            "hedge_drift": 0.05,
            "value_at_risk": 0.02,
            "stress_loss": 0.15,
            **_venue_share(venues),
            "peg_deviation": 0.02,
        },
        has_hedges,
    )
    # The legs of a pair are never filled in the same instant.
    limits["net_exposure"]["start_after_s"] = 30
    return limits


def _directional(has_hedges: bool, venues: int) -> dict[str, Fields]:  # noqa: FBT001
    limits = _leveraged(has_hedges, venues)
    limits["net_exposure"]["max"] = 2.0
    for name in ("asset_exposure", "sector_exposure", "position_size"):
        limits[name]["max"] = 1.0
    del limits["stop_risk"]
    return limits


def _holder(_has_hedges: bool, _venues: int) -> dict[str, Fields]:  # noqa: FBT001
    return {
        "gross_exposure": {"max": 1.05, "on_breach": "alert"},
        "drawdown": {"max": 0.30, "on_breach": "alert"},
        "peg_deviation": {"max": 0.02, "on_breach": "alert"},
    }


_TABLES: dict[PresetName, Callable[[bool, int], dict[str, Fields]]] = {
    "leveraged": _leveraged,
    "cautious": _cautious,
    "market_neutral": _market_neutral,
    "directional": _directional,
    "holder": _holder,
}
