"""The read model of profit and loss: one row a day, as flows-free USD and as a share of NAV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from riskbot.core.model import PORTFOLIO, scope_account
from riskbot.core.navs import Day

if TYPE_CHECKING:
    from riskbot.core.state import State

Period = Literal["day", "week", "month"]

DAYS: Mapping[str, int] = {"day": 1, "week": 7, "month": 30}
"""Rows of a period, today's among them."""


def pnl(state: State, now_ms: int, period: str = "week", scope: str = PORTFOLIO) -> dict[str, Any]:
    """Return the document of `pnl`: rows oldest first, totals, the best and the worst day.

    Today is counted up to this moment. Fees and funding are kept in units and valued at present
    prices; None = one of their assets has none.
    """
    history = state.meter.cashflows.histories.get(scope)
    rows: list[dict[str, Any]] = []
    if history is not None and history.recorded_ms:
        today = history.today(now_ms)
        nav, equity = state.meter.booking.nav(scope), state.meter.booking.nav_equity(scope)
        if nav is not None and equity is not None:
            today.closed_nav, today.closed_usd = nav, equity
        days = [*history.days, today]
        rows = [_row(state, scope, day) for day in days[-DAYS[period] :]]
        rows[-1]["is_today"] = True
    ranked = sorted(rows, key=lambda row: float(row["pnl_usd"]))
    return {
        "period": period,
        "scope": scope,
        "rows": rows,
        "totals": _totals(rows),
        "best": ranked[-1]["date"] if ranked else None,
        "worst": ranked[0]["date"] if ranked else None,
        "as_of_ms": now_ms,
    }


def _row(state: State, scope: str, day: Day) -> dict[str, Any]:
    return {
        "date": state.meter.booking.periods.iso_date(day.day_ms),
        "day_ms": day.day_ms,
        "until_ms": day.until_ms,
        "is_today": False,
        "pnl_usd": day.pnl_usd,
        "share": day.closed_nav / day.opened_nav - 1 if day.opened_nav > 0 else None,
        "fees_usd": _value(state, scope, day.fees),
        "funding_usd": _value(state, scope, day.funding),
        "flows_usd": day.flows_usd,
        "equity_usd": day.closed_usd,
        "drawdown": day.drawdown,
    }


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("pnl_usd", "fees_usd", "funding_usd", "flows_usd"):
        values = [row[name] for row in rows]
        found[name] = None if None in values else math.fsum(values)
    shares = [row["share"] for row in rows]
    found["share"] = None if None in shares else math.prod(1 + share for share in shares) - 1
    return found


def _value(state: State, scope: str, units: dict[str, float]) -> float | None:
    """Return what units of assets are worth now, None = one of them has no price."""
    account = scope_account(scope)
    names = [account] if account is not None else list(state.settings.accounts)
    total = 0.0
    for asset, amount in units.items():
        prices = (state.meter.book.price_of(name, asset) for name in names)
        price = next((found for found in prices if found is not None), None)
        if price is None:
            return None
        total += amount * price
    return total
