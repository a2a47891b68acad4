"""What a risk manager hands out: VaR by position, correlation, liquidity, each with its inputs.

Copies for people and doors; figures are those of `appraisal` and `stats`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from riskbot.core import appraisal, stressviews
from riskbot.core.appraisal import CONFIDENCES, Days, Shares, WayOut
from riskbot.core.model import PORTFOLIO
from riskbot.core.stats import correlation, liquidity, var, volatility

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.panel import Panel
    from riskbot.core.state import State

CORRELATION_DAYS = 90
"""Correlations are read from so many days."""

CORRELATED_MAX = 40
"""More than so many make no picture, and hold the guard up."""

WORST_DAYS = 5


def risk(state: State, now_ms: int) -> dict[str, Any]:
    """Return the document of `/v1/risk`: every scope, and what they have in common."""
    scopes = state.scopes(now_ms)
    return {
        "as_of_ms": now_ms,
        "history": history(state),
        "scopes": {scope: tail(state, scope, now_ms) for scope in scopes},
        "correlation": correlations(state, now_ms),
        "liquidity": exits(state, now_ms),
        "stress": stressviews.overview(state, now_ms),
    }


def history(state: State) -> dict[str, Any]:
    """Return what the figures rest on: which days, and what is short, stale or missing."""
    known = state.analysis.panel
    rows = {
        each.underlying: {
            "source": each.source,
            "days": len(each.closes),
            "gaps": sum(close is None for close in each.closes),
            "last_day": day_of(each.last_day) if each.last_day is not None else None,
            "own_days": _own_days(known, each.underlying),
            "note": each.note,
        }
        for each in sorted(state.analysis.series.values(), key=lambda s: s.underlying)
    }
    return {
        "days": known.days if known is not None else 0,
        "first_day": day_of(int(known.row_days[0])) if known is not None else None,
        "last_day": day_of(known.last_day) if known is not None else None,
        "underlyings": rows,
    }


def _own_days(known: Panel | None, underlying: str) -> int | None:
    place = known.columns.get(underlying) if known is not None else None
    return None if known is None or place is None else int(known.own_days[place])


def day_of(number: int) -> str:
    """Return a day as people write it, from days since 1970-01-01."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).date().isoformat()


# ---------------------------------------------------------------- value at risk


def tail(state: State, scope: str, now_ms: int) -> dict[str, Any]:
    """Return VaR and expected shortfall of one scope, by underlying, with the days behind them."""
    book = state.scopes(now_ms)[scope]
    days = appraisal.days_of(book, state.analysis.panel)
    found: dict[str, Any] = {
        "scope": scope,
        "as_of_ms": now_ms,
        "equity_usd": book.equity_usd,
        "gross_usd": book.gross_usd,
        "net_usd": book.net_usd,
    }
    study = state.analysis.study(scope, now_ms)
    slow = dict(study.figures) if study is not None else {}
    if isinstance(days, str):
        return found | {"unknown": days, "value_at_risk_usd": None, "slow": slow}
    return found | _figures(book, days) | {"unknown": None, "slow": slow}


def _figures(book: ScopeBook, days: Days) -> dict[str, Any]:
    panel = days.panel
    (first, shares), *others = [days.attribute(confidence) for confidence in CONFIDENCES]
    tails = [first, *(found for found, _ in others)]
    names = [f"{confidence * 100:.0f}" for confidence in CONFIDENCES]
    daily_usd = volatility.ewma_volatility(days.pnl_usd)
    return {
        "value_at_risk_usd": {n: t.tail.var_usd for n, t in zip(names, tails, strict=True)},
        "value_at_risk": {
            n: book.equity_share(t.tail.var_usd) for n, t in zip(names, tails, strict=True)
        },
        "expected_shortfall_usd": {n: t.tail.es_usd for n, t in zip(names, tails, strict=True)},
        "expected_shortfall": {
            n: book.equity_share(t.tail.es_usd) for n, t in zip(names, tails, strict=True)
        },
        "volatility": book.equity_share(volatility.annualized(daily_usd)),
        "days": panel.days,
        "days_pnl_usd": days.pnl_usd.tolist(),
        "lost": list(days.lost),
        "components": _components(book, days, first, shares),
        "worst_days": _worst(days),
    }


def _components(
    book: ScopeBook, days: Days, found: var.Attribution, shares: Mapping[str, Shares]
) -> list[dict[str, Any]]:
    """Return a row per underlying, the largest part of the VaR first."""
    panel = days.panel
    rows: list[dict[str, Any]] = []
    for name, share in shares.items():
        place = panel.columns[name] if panel.has(name) else None
        rows.append(
            {
                "underlying": name,
                "exposure_usd": book.underlyings[name].net,
                "volatility": None if place is None else panel.yearly_volatility(name),
                "own_days": 0 if place is None else int(panel.own_days[place]),
                "var_usd": share.var_usd,
                "var_share": share.var_usd / found.tail.var_usd if found.tail.var_usd else None,
                "es_usd": share.es_usd,
                "marginal_var": None if place is None else float(found.marginal_var[place]),
                "beyond_delta": name in days.beside and place is not None,
            }
        )
    rows.sort(key=lambda row: -row["var_usd"])
    return rows


def _worst(days: Days) -> list[dict[str, Any]]:
    """Return the days on which the book of today would have lost most, and through what."""
    rows: list[dict[str, Any]] = []
    for row in np.argsort(days.pnl_usd, kind="stable")[:WORST_DAYS].tolist():
        parts = days.made(row)
        worst = sorted(parts, key=lambda name: parts[name])[:3]
        rows.append(
            {
                "day": day_of(int(days.panel.row_days[row])),
                "pnl_usd": float(days.pnl_usd[row]),
                "by_underlying_usd": {name: parts[name] for name in worst},
            }
        )
    return rows


# ---------------------------------------------------------------- correlation


def correlations(
    state: State, now_ms: int, scope: str = PORTFOLIO, most: int = CORRELATED_MAX
) -> dict[str, Any]:
    """Return how what is held moved together lately, and the groups found.

    Args:
        state: the state.
        now_ms: UTC ms.
        scope: whose book.
        most: underlyings at most, the largest.
    """
    book, known = state.scopes(now_ms)[scope], state.analysis.panel
    sums = {name: each.gross for name, each in book.underlyings.items() if each.gross}
    largest = sorted(sums, key=lambda name: -sums[name])
    held = sorted(largest[:most])
    names = [name for name in held if known is not None and name in known.columns]
    found: dict[str, Any] = {
        "scope": scope,
        "as_of_ms": now_ms,
        "days": CORRELATION_DAYS,
        "underlyings": names,
        "gross_usd": [sums[name] for name in names],
        "unknown": [name for name in held if name not in names],
        "left_out": len(largest) - len(held),
        "matrix": [],
        "average": None,
        "grouped_from": correlation.GROUPED_FROM,
        "groups": [],
    }
    if known is None:
        return found
    places = [known.columns[name] for name in names]
    logs = known.log_returns[-CORRELATION_DAYS:, places]
    pairs = correlation.correlations(logs)
    found["matrix"] = [[_number(value) for value in row] for row in pairs.matrix.tolist()]
    found["average"] = _number(pairs.average)
    found["shrunk"] = pairs.intensity
    found["unknown"] += [names[place] for place in pairs.unknown]
    grouped = correlation.groups(pairs.sample, names)
    found["groups"] = [_group(book, members) for members in grouped]
    return found


def _group(book: ScopeBook, members: tuple[str, ...]) -> dict[str, Any]:
    gross = sum(book.underlyings[name].gross for name in members)
    net = sum(book.underlyings[name].net for name in members)
    return {
        "underlyings": list(members),
        "gross_usd": gross,
        "net_usd": net,
        "gross_exposure": book.share(gross),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


# ---------------------------------------------------------------- liquidity


def exits(state: State, now_ms: int, scope: str = PORTFOLIO) -> list[dict[str, Any]]:
    """Return how long, and how dear, the way out of each underlying is, the longest first."""
    book, known = state.scopes(now_ms)[scope], state.analysis.panel
    held = {name: sums.gross for name, sums in book.underlyings.items() if sums.gross}
    rows: list[dict[str, Any]] = []
    for name, gross in held.items():
        way = WayOut(None, None, None)
        if known is not None:
            way = appraisal.exit_of(known, name, gross)
        rows.append(
            {
                "underlying": name,
                "gross_usd": gross,
                "turnover_usd": way.turnover_usd,
                "participation": liquidity.PARTICIPATION,
                "time_to_exit_s": way.seconds,
                "exit_cost_usd": way.cost_usd,
            }
        )
    rows.sort(key=lambda row: -(math.inf if (s := row["time_to_exit_s"]) is None else s))
    return rows
