"""What YAML says of limits becomes limits, or one sentence per fault."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core.limits import account_limits, check_shared, parse_limits
from riskbot.core.limits.presets import PRESETS, PresetName
from riskbot.core.model import Response


def portfolio(raw: dict[str, Any], preset: PresetName | None = None, **more: Any) -> Any:
    faults: list[str] = []
    limits = parse_limits(raw, "portfolio", preset, path="portfolio.limits", faults=faults, **more)
    return {limit.name: limit for limit in limits}, faults


# the table of the specification: name -> (leveraged, cautious, market_neutral)
TABLE: dict[str, tuple[float | None, float | None, float | None]] = {
    "gross_exposure": (2.0, 0.80, 2.0),
    "net_exposure": (0.80, 0.50, 0.06),
    "asset_exposure": (0.20, 0.15, None),
    "underlying_concentration": (None, None, 0.05),
    "sector_exposure": (0.40, 0.30, None),
    "group_exposure": (0.35, 0.30, None),
    "position_size": (0.20, 0.10, None),
    "open_positions": (20, 10, 100),
    "stop_risk": (0.10, 0.06, None),
    "drawdown": (0.15, 0.15, 0.15),
    "daily_loss": (0.03, 0.03, 0.02),
    "weekly_drawdown": (0.08, 0.08, 0.05),
    "rolling_loss": (0.03, 0.03, 0.02),
    "trades_per_day": (50, 20, None),
    "maintenance_margin": (0.30, 0.30, 0.30),
    "liquidation_distance": (0.10, 0.15, 0.20),
    "hedge_drift": (0.05, 0.05, 0.05),
    "value_at_risk": (0.10, 0.05, 0.02),
    "stress_loss": (None, None, 0.15),
    "venue_share": (None, 0.5, 0.5),
    "peg_deviation": (0.02, 0.02, 0.02),
}

RESPONSES = {
    "gross_exposure": Response.REDUCE,
    "net_exposure": Response.REDUCE,
    "drawdown": Response.FLATTEN,
    "daily_loss": Response.HALT,
    "weekly_drawdown": Response.HALT,
    "maintenance_margin": Response.REDUCE,
} | dict.fromkeys(
    (
        "asset_exposure",
        "underlying_concentration",
        "sector_exposure",
        "group_exposure",
        "position_size",
        "open_positions",
        "trades_per_day",
        "value_at_risk",
    ),
    Response.DENY,
)


@pytest.mark.parametrize(
    ("column", "preset"), list(enumerate(("leveraged", "cautious", "market_neutral")))
)
def test_preset_when_three_venues_sets_the_table(column: int, preset: PresetName) -> None:
    limits, faults = portfolio({}, preset, venues=3)
    shared = account_limits({}, {}, "account:a", preset, path="accounts.a.limits", faults=faults)
    limits |= {limit.name: limit for limit in shared}
    assert faults == []
    wanted = {name: row[column] for name, row in TABLE.items() if row[column] is not None}
    assert {name: limit.allowed for name, limit in limits.items()} == wanted
    for name, limit in limits.items():
        assert limit.on_breach is RESPONSES.get(name, Response.ALERT)
        assert limit.latch == (name in {"drawdown", "weekly_drawdown"})


def test_preset_when_parts_are_windows_sets_them() -> None:
    limits, _ = portfolio({}, "market_neutral", has_hedges=True)
    assert limits["gross_exposure"].within_s == 60
    assert limits["gross_exposure"].on_approach == ["scale", "throttle"]
    assert limits["net_exposure"].start_after_s == 30
    assert limits["net_exposure"].on_breach is Response.HEDGE
    assert limits["drawdown"].on_approach == ["scale"]
    assert limits["rolling_loss"].window == "24h"
    (margin, distance) = account_limits({}, {}, "account:a", "leveraged", path="p", faults=[])
    assert (margin.within_s, getattr(margin, "margin_actions", None)) == (10, ["reduce"])
    assert distance.severity == "red"


def test_directional_when_compared_with_leveraged_differs_as_written() -> None:
    base, _ = portfolio({}, "leveraged")
    other, _ = portfolio({}, "directional")
    assert set(base) - set(other) == {"stop_risk"}
    changed = {n: x.allowed for n, x in other.items() if x.allowed != base[n].allowed}
    assert changed == {
        "net_exposure": 2.0,
        "asset_exposure": 1.0,
        "sector_exposure": 1.0,
        "position_size": 1.0,
    }


def test_holder_when_read_only_alerts() -> None:
    limits, faults = portfolio({}, "holder", venues=3)
    assert {n: x.allowed for n, x in limits.items()} == {
        "gross_exposure": 1.05,
        "drawdown": 0.30,
        "peg_deviation": 0.02,
    }
    assert {x.on_breach for x in limits.values()} == {Response.ALERT}
    assert account_limits({}, {}, "account:a", "holder", path="p", faults=faults) == []
    assert faults == []


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_when_one_venue_sets_no_venue_share(preset: PresetName) -> None:
    assert "venue_share" not in portfolio({}, preset)[0]


@pytest.mark.parametrize("word", [False, "off"])
def test_parse_when_limit_is_off_leaves_it_out(word: object) -> None:
    limits, faults = portfolio({"trades_per_day": word, "max_drawdown": word}, "leveraged")
    assert "trades_per_day" not in limits
    assert faults == []


def test_parse_when_field_is_left_out_takes_it_from_the_preset() -> None:
    limits, _ = portfolio({"drawdown": {"max": 0.10}, "gross_exposure": {"max": 1}}, "leveraged")
    assert limits["drawdown"].allowed == 0.10
    assert limits["drawdown"].on_breach is Response.FLATTEN
    assert limits["drawdown"].latch
    assert limits["gross_exposure"].within_s == 60


def test_parse_when_everything_is_wrong_names_every_field_and_value() -> None:
    _, faults = portfolio(
        {
            "gros_exposure": {"max": 1},
            "open_positions": 5,
            "gross_exposure": {"max": -1, "latchh": True},
            "net_exposure": {"max": True, "on_breach": "redoce"},
            "daily_loss": {"max": 3},
            "position_size": {"max": 0.1, "then": 7},
            "zzz": {},
        },
        "leveraged",
    )
    text = "\n".join(faults)
    for part in (
        "portfolio.limits.gros_exposure: no such limit; did you mean `gross_exposure`?",
        "portfolio.limits.zzz: no such limit",
        "portfolio.limits.open_positions: must be a mapping such as {max: 0.1}, or `off`, is 5",
        "portfolio.limits.gross_exposure.latchh: no such field; did you mean `latch`?",
        "portfolio.limits.net_exposure.max: must be a valid number, is True",
        "portfolio.limits.net_exposure.on_breach: must be one of alert, deny, cancel, halt, hedge,",
        "portfolio.limits.daily_loss.max: must be at most 1, is 3 (a share is written 0.03, not 3)",
        "portfolio.limits.position_size.then: must be one of",
    ):
        assert part in text
    assert len(faults) == 8


@pytest.mark.parametrize(
    ("name", "scope", "kind"),
    [
        ("venue_share", "account:main", "account"),
        ("maintenance_margin", "strategy:grid", "strategy"),
    ],
)
def test_parse_when_limit_does_not_fit_the_scope_says_so(name: str, scope: str, kind: str) -> None:
    faults: list[str] = []
    assert parse_limits({name: {"max": 0.5}}, scope, path="x.limits", faults=faults) == []
    (fault,) = faults
    assert fault.startswith(f"x.limits.{name}: is no limit of a {kind}")


def test_account_when_portfolio_and_account_set_it_takes_the_nearest() -> None:
    def of(raw: dict[str, Any], shared: dict[str, Any]) -> dict[str, float]:
        faults: list[str] = []
        found = account_limits(raw, shared, "account:a", "leveraged", path="p", faults=faults)
        assert faults == []
        return {limit.name: limit.allowed for limit in found}

    shared = {"maintenance_margin": {"max": 0.4}, "gross_exposure": {"max": 9}, "leverage": False}
    assert of({}, shared) == {"maintenance_margin": 0.4, "liquidation_distance": 0.10}
    assert of({"maintenance_margin": {"max": 0.2}}, shared)["maintenance_margin"] == 0.2
    assert "maintenance_margin" not in of({"maintenance_margin": False}, shared)
    assert of({"leverage": {"max": 3}}, shared)["leverage"] == 3


def test_check_shared_when_per_account_limit_is_wrong_tells_it_once() -> None:
    faults: list[str] = []
    raw = {"maintenance_margin": {"max": 30}, "gross_exposure": {"max": -1}, "x": {}}
    check_shared(raw, "leveraged", faults)
    assert [fault.partition(":")[0] for fault in faults] == [
        "portfolio.limits.maintenance_margin.max"
    ]
    limits, told = portfolio(raw, None)
    assert limits == {}
    assert [fault.partition(":")[0] for fault in told] == [
        "portfolio.limits.x",
        "portfolio.limits.gross_exposure.max",
    ]
