"""The limits there are, and how a mapping from YAML becomes them.

A new limit is its file, its line in `LIMITS` and its test.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from riskbot.core.limits._base import Limit
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.clock_offset import ClockOffset
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.error_rate import ErrorRate
from riskbot.core.limits.exit_cost import ExitCost
from riskbot.core.limits.expected_shortfall import ExpectedShortfall
from riskbot.core.limits.feed_age import FeedAge
from riskbot.core.limits.found_group_exposure import FoundGroupExposure
from riskbot.core.limits.funding_cost import FundingCost
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.group_exposure import GroupExposure
from riskbot.core.limits.hedge_drift import HedgeDrift
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.loss_streak import LossStreak
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.max_drawdown import MaxDrawdown
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.on_exchange_share import OnExchangeShare
from riskbot.core.limits.open_positions import OpenPositions
from riskbot.core.limits.order_rate import OrderRate
from riskbot.core.limits.peg_deviation import PegDeviation
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.presets import Fields, PresetName, preset_limits
from riskbot.core.limits.rolling_loss import RollingLoss
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.limits.slippage import Slippage
from riskbot.core.limits.stable_share import StableShare
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.strategy_share import StrategyShare
from riskbot.core.limits.stress_loss import StressLoss
from riskbot.core.limits.time_to_exit import TimeToExit
from riskbot.core.limits.trades_per_day import TradesPerDay
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.limits.venue_share import VenueShare
from riskbot.core.limits.volatility import Volatility
from riskbot.core.limits.weekly_drawdown import WeeklyDrawdown
from riskbot.core.limits.weekly_loss import WeeklyLoss
from riskbot.core.model import PORTFOLIO, Response

LIMITS: tuple[type[Limit], ...] = (
    GrossExposure,
    NetExposure,
    NetDelta,
    AssetExposure,
    SectorExposure,
    GroupExposure,
    FoundGroupExposure,
    UnderlyingConcentration,
    StrategyShare,
    Leverage,
    MaintenanceMargin,
    LiquidationDistance,
    HedgeDrift,
    PositionSize,
    OpenPositions,
    StopRisk,
    Drawdown,
    MaxDrawdown,
    WeeklyDrawdown,
    DailyLoss,
    WeeklyLoss,
    RollingLoss,
    TradesPerDay,
    LossStreak,
    VenueShare,
    OnExchangeShare,
    StableShare,
    PegDeviation,
    ValueAtRisk,
    ExpectedShortfall,
    StressLoss,
    Volatility,
    TimeToExit,
    ExitCost,
    FundingCost,
    Slippage,
    FeedAge,
    ClockOffset,
    ErrorRate,
    OrderRate,
)
"""Every limit, in the order people see them."""

LIMITS_BY_NAME: dict[str, type[Limit]] = {limit.name: limit for limit in LIMITS}

Raw = Mapping[str, Any]
"""What the YAML says below `limits:`: a mapping of fields, or `off` (which YAML reads as False)."""


def is_off(value: object) -> bool:
    """Tell whether a YAML value means `off`."""
    return value is False or value == "off"


def parse_limits(
    raw: Raw,
    scope: str,
    preset: PresetName | None = None,
    *,
    path: str,
    faults: list[str],
    has_hedges: bool = False,
    venues: int = 1,
) -> list[Limit]:
    """Build the limits of one scope from what the YAML gives over what the preset sets.

    Fields the YAML leaves out come from the preset. For an account, `raw` and the preset count
    for limits that are per account only through `account_limits`.

    Args:
        raw: by limit name.
        scope: `portfolio`, `account:<name>` or `strategy:<name>`.
        preset: for the portfolio; None = none.
        path: where `raw` stands, for faults: `portfolio.limits`.
        faults: every fault is appended: a sentence that begins with field and names the value.
        has_hedges: a hedge is configured.
        venues: number of different exchanges.

    Returns:
        The limits that are on, in the order of `LIMITS`; what is faulty is left out.
    """
    base = preset_limits(preset, has_hedges=has_hedges, venues=venues) if preset else {}
    if scope == PORTFOLIO:
        base = {k: v for k, v in base.items() if not LIMITS_BY_NAME[k].is_per_account}
        raw = {k: v for k, v in raw.items() if not _is_per_account(k)}
    return _build(_merge(raw, base, path, faults), scope, path, faults)


def account_limits(
    raw: Raw,
    portfolio_raw: Raw,
    scope: str,
    preset: PresetName | None,
    *,
    path: str,
    faults: list[str],
) -> list[Limit]:
    """Build the limits of one account.

    Limits that are per account come from the preset, from `portfolio.limits` over it, and from
    the account's own over both; all others from the account's own alone. Arguments and result as
    for `parse_limits`.
    """
    base = preset_limits(preset, has_hedges=False, venues=1) if preset else {}
    base = {k: v for k, v in base.items() if LIMITS_BY_NAME[k].is_per_account}
    shared = {k: v for k, v in portfolio_raw.items() if _is_per_account(k)}
    # Faults in `portfolio.limits` are told once, with their own path.
    base = _merge(shared, base, "portfolio.limits", [])
    return _build(_merge(raw, base, path, faults), scope, path, faults)


def check_shared(portfolio_raw: Raw, preset: PresetName | None, faults: list[str]) -> None:
    """Append the faults of limits given below `portfolio.limits` that are per account."""
    raw = {k: v for k, v in portfolio_raw.items() if _is_per_account(k)}
    account_limits(raw, {}, "account:any", preset, path="portfolio.limits", faults=faults)


def _is_per_account(name: str) -> bool:
    return name in LIMITS_BY_NAME and LIMITS_BY_NAME[name].is_per_account


def _merge(raw: Raw, base: Mapping[str, Fields], path: str, faults: list[str]) -> dict[str, Fields]:
    merged: dict[str, Fields] = {name: dict(fields) for name, fields in base.items()}
    for name, value in raw.items():
        if name not in LIMITS_BY_NAME:
            faults.append(f"{path}.{name}: no such limit{_nearest(name, LIMITS_BY_NAME)}")
        elif is_off(value):
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = {**merged.get(name, {}), **value}
        else:
            faults.append(
                f"{path}.{name}: must be a mapping such as {{max: 0.1}}, or `off`, is {value!r}"
            )
    return merged


def _build(fields: Mapping[str, Fields], scope: str, path: str, faults: list[str]) -> list[Limit]:
    limits = []
    kind = scope.partition(":")[0]
    for cls in LIMITS:
        if cls.name not in fields:
            continue
        if kind not in cls.scopes:
            scopes = " or ".join(sorted(cls.scopes))
            faults.append(f"{path}.{cls.name}: is no limit of a {kind}, only of {scopes}")
            continue
        try:
            limits.append(cls.model_validate(fields[cls.name]))
        except ValidationError as error:
            faults.extend(_sentences(cls, error, f"{path}.{cls.name}"))
    return limits


def _sentences(cls: type[Limit], error: ValidationError, path: str) -> list[str]:
    sentences = []
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"])
        if not field:
            text = fault["msg"].removeprefix("Value error, ")
            sentences += [f"{path}.{line}" for line in text.splitlines()]
        elif fault["type"] == "extra_forbidden":
            known = set(cls.model_fields)
            sentences.append(f"{path}.{field}: no such field{_nearest(field, known)}")
        elif field in {"on_breach", "then"}:
            names = ", ".join(Response)
            sentences.append(f"{path}.{field}: must be one of {names}, is {fault['input']!r}")
        else:
            text = fault["msg"].replace("Input should be", "must be")
            sentences.append(f"{path}.{field}: {text}, is {fault['input']!r}")
    return sentences


def _nearest(name: str, known: Mapping[str, object] | set[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"; did you mean `{close[0]}`?" if close else ""
