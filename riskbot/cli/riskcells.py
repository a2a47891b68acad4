"""Cells that the pages of risk share: whole dollars, shares, names, whose book it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from riskbot.cli import cells

Document = Mapping[str, Any]

MOST, FEW = 6, 2
"""Names on a line and in a cell; the rest is counted."""

_HALF_USD = 0.5


def head(out: Console, document: Document) -> None:
    """Print whose book it is, and how large."""
    gross, net = document["gross_usd"], document["net_usd"]
    out.print(
        f"{document['scope']}  equity {cells.usd(document['equity_usd'])}  gross "
        f"{cells.usd(gross)}  net {cells.usd(net)} USD  at {cells.moment(document['as_of_ms'])}",
        markup=False,
    )


def percent(value: Any) -> str:
    """Write a share as percent, one decimal."""
    return "?" if value is None else f"{value * 100:.1f} %".replace("-0.0 %", "0.0 %")


def signed(value: Any) -> str:
    """Write USD without cents."""
    if value is None:
        return "?"
    # What rounds to nothing has no sign.
    return f"{value:,.0f}" if abs(value) > _HALF_USD else "0"


def lost(pnl_usd: Any) -> Any:
    """Return a PnL as a loss."""
    return None if pnl_usd is None else -pnl_usd


def listed(names: list[str], most: int = MOST) -> str:
    """Write names, the first of many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def parts_of(parts: Document) -> str:
    """Write PnL by underlying."""
    return "  ".join(f"{name} {signed(usd)}" for name, usd in parts.items())


def lasting(seconds: Any) -> str:
    """Write a duration: `42 s`, `15.9 min`, `3.2 h`, `4.1 days`."""
    if seconds is None:
        return "?"
    for least, unit, name in ((86_400, 86_400, "days"), (3_600, 3_600, "h"), (60, 60, "min")):
        if seconds >= least:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.0f} s"
