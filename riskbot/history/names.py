"""Coins that were renamed, and codes that were used again for another coin.

Only what is certain stands here: a conversion that an issuer carried out at a fixed ratio. AGIX and
OCEAN do not: they were merged into FET, which had a price of its own before, and OCEAN left again.
LUNA is a trap: since 28 May 2022 it is a new coin, and what was LUNA before is LUNC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Renaming:
    """One coin under two codes.

    Attributes:
        old, new: codes.
        ratio: new coins per old one.
        day: from which the new code means this coin, in days since 1970-01-01.
    """

    old: str
    new: str
    ratio: float
    day: int


def _day(year: int, month: int, day: int) -> int:
    return (date(year, month, day) - _EPOCH).days


RENAMINGS: tuple[Renaming, ...] = (
    Renaming("RNDR", "RENDER", 1, _day(2024, 7, 26)),
    Renaming("MATIC", "POL", 1, _day(2024, 9, 4)),
    Renaming("MKR", "SKY", 24_000, _day(2024, 9, 18)),
    Renaming("FTM", "S", 1, _day(2024, 12, 18)),
    Renaming("EOS", "A", 1, _day(2025, 5, 14)),
)

_USED_AGAIN: dict[str, int] = {"LUNA": _day(2022, 5, 28)}
"""Codes of another coin from a day on; what was traded under them before is none of its price."""


def begun(code: str, today: int) -> int:
    """Return the first day on which a code means what it means today; 0 = it always did.

    Args:
        code: of an underlying.
        today: in days since 1970-01-01.
    """
    renamed = [each.day for each in RENAMINGS if each.new == code]
    day = max([*renamed, _USED_AGAIN.get(code, 0)])
    return day if day <= today else 0


def others(code: str, today: int) -> tuple[tuple[str, float], ...]:
    """Return the codes a coin also had or has, as (code, USD per coin here per USD there)."""
    known = [each for each in RENAMINGS if each.day <= today]
    former = [(each.old, 1 / each.ratio) for each in known if each.new == code]
    later = [(each.new, float(each.ratio)) for each in known if each.old == code]
    return tuple(former + later)
