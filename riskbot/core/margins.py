"""Maintenance margin of cross pools and isolated positions, carried along with prices.

The venue states it at each REST read; between reads margin moves with gross and the pool's equity
with ours. What is shown and limited is in `measures`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from riskbot.core.lines import Line
from riskbot.core.model import PositionKey
from riskbot.core.sheets import AccountSheet


class Margin(NamedTuple):
    """Maintenance margin over equity of one pool.

    Attributes:
        subject: the account for its cross pool, `account|symbol` for an isolated position.
        ratio: 1 = liquidation; None = unknown; inf = no equity left under positions.
        equity_usd: what it is over.
    """

    subject: str
    ratio: float | None
    equity_usd: float | None


def margins(sheet: AccountSheet) -> list[Margin]:
    """Return the cross pool of an account first, then its isolated positions."""
    isolated = sheet.isolated.values()
    return [_cross(sheet), *(_isolated(sheet.name, line) for line in isolated)]


def margin_of(sheet: AccountSheet, key: PositionKey) -> Margin:
    """Return the pool that a position draws on: its own where it is isolated, else the cross."""
    line = sheet.isolated.get(key)
    return _cross(sheet) if line is None else _isolated(sheet.name, line)


def _cross(sheet: AccountSheet) -> Margin:
    if len(sheet.positions) == len(sheet.isolated):
        return Margin(sheet.name, 0.0, sheet.sheet.equity)
    equity = _cross_equity(sheet)
    maintenance = _cross_maintenance(sheet)
    if maintenance is None or equity is None:
        return Margin(sheet.name, None, equity)
    return Margin(sheet.name, maintenance / equity if equity > 0 else math.inf, equity)


def _cross_equity(sheet: AccountSheet) -> float | None:
    if sheet.margin.equity_usd is not None:
        # The venue's own figure knows haircuts and what is no collateral.
        return sheet.margin.equity_usd + sheet.sheet.equity - sheet.margin_equity
    if sheet.sheet.unvalued:
        return None
    apart = (_isolated_equity(line) for line in sheet.isolated.values())
    return sheet.sheet.equity - math.fsum(equity or 0.0 for equity in apart)


def _cross_maintenance(sheet: AccountSheet) -> float | None:
    stated = sheet.margin.maintenance_usd
    if stated is not None and sheet.margin_gross > 0:
        return stated * sheet.gross() / sheet.margin_gross
    if stated is not None:
        # Opened since the read: what the venue said last stands until it says more.
        return stated
    isolated = sheet.isolated
    parts = [_maintenance(line) for key, line in sheet.positions.items() if key not in isolated]
    known = [part for part in parts if part is not None]
    return math.fsum(known) if len(known) == len(parts) else None


def _maintenance(line: Line) -> float | None:
    """Return a position's maintenance margin in USD at its present mark."""
    position = line.position
    if position is None or position.maintenance_margin is None or line.mark is None:
        return None
    unit = _settle_usd(line)
    if unit is None:
        return None
    stated = float(position.maintenance_margin) * unit
    if position.venue_mark and not line.face:
        return stated * line.mark / (float(position.venue_mark) * line.factor)
    return stated


def _isolated(account: str, line: Line) -> Margin:
    side = "" if line.key.side.value == "net" else f"|{line.key.side.value}"
    subject = f"{account}|{line.key.symbol}{side}"
    maintenance, equity = _maintenance(line), _isolated_equity(line)
    if maintenance is None or equity is None:
        return Margin(subject, None, equity)
    return Margin(subject, maintenance / equity if equity > 0 else math.inf, equity)


def _isolated_equity(line: Line) -> float | None:
    position, unit = line.position, _settle_usd(line)
    if position is None or position.isolated_margin is None or unit is None or line.mark is None:
        return None
    stated = float(position.isolated_margin) * unit
    if not position.venue_mark:
        return stated
    then = float(position.venue_mark)
    if line.face:
        now = line.mark / line.factor
        return stated + line.face * (1 / then - 1 / now) * unit
    return stated + line.c * (line.mark - then * line.factor)


def _settle_usd(line: Line) -> float | None:
    """Return USD per unit of what the position's margin is stated in."""
    if line.face:
        return line.coin.mark if line.coin is not None else None
    return line.factor
