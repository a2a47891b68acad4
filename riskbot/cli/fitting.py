"""Which preset a book fits: the strictest one none of whose limits it breaks now."""

from __future__ import annotations

from riskbot.core.exposure import ScopeBook
from riskbot.core.limits import account_limits, parse_limits
from riskbot.core.limits._base import Limit
from riskbot.core.limits.presets import PresetName
from riskbot.core.model import PORTFOLIO, Level

# Strictest first; market_neutral before leveraged, since a book that is neutral should stay so.
_ORDER: tuple[PresetName, ...] = ("cautious", "market_neutral", "leveraged", "directional")

# A book that does nothing yet fits every preset; this one suits whoever trades futures.
_WHEN_EMPTY: PresetName = "cautious"

_NEUTRAL_GROSS = 0.1


def propose(scopes: dict[str, ScopeBook], account: str) -> tuple[PresetName, list[str]]:
    """Return the preset that fits, and the limits it would break all the same.

    Args:
        scopes: the Book per scope.
        account: the one that was read.
    """
    book = scopes.get(PORTFOLIO)
    if book is None or not book.legs:
        return _WHEN_EMPTY, []
    if all(leg.is_spot for leg in book.legs):
        return "holder", _broken("holder", scopes, account)
    for preset in _ORDER:
        if preset == "market_neutral" and not _is_neutral(book):
            continue
        if not _broken(preset, scopes, account):
            return preset, []
    return "directional", _broken("directional", scopes, account)


def _is_neutral(book: ScopeBook) -> bool:
    gross = book.ratio(book.gross_usd)
    return gross is not None and gross > _NEUTRAL_GROSS and bool(book.pairs)


def _broken(preset: PresetName, scopes: dict[str, ScopeBook], account: str) -> list[str]:
    faults: list[str] = []
    limits: list[tuple[str, Limit]] = [
        (PORTFOLIO, limit)
        for limit in parse_limits({}, PORTFOLIO, preset, path="preset", faults=faults)
    ]
    scope = f"account:{account}"
    limits += [
        (scope, limit)
        for limit in account_limits({}, {}, scope, preset, path="preset", faults=faults)
    ]
    broken = []
    for where, limit in limits:
        verdicts = limit.check(scopes[where]) if where in scopes else []
        broken += [
            f"{limit.name} {verdict.measured:.3g} (limit {verdict.allowed:g})"
            for verdict in verdicts
            if verdict.level is Level.RED and verdict.measured is not None
        ]
    return broken
