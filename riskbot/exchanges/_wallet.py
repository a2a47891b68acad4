"""What a venue says of an account's money, and whether that fits a list of positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from riskbot.core.model import Balance, MarginReport, Position, PositionSide, RejectReason
from riskbot.errors import VenueError

SAME_MARGIN = Decimal("0.985")
"""Share of the stated margin that the listed positions must add up to; prices move in between."""


class PositionsMissingError(VenueError):
    """A venue lists fewer positions than it says are open: the read is not believed."""

    def __init__(self, account: str) -> None:
        super().__init__(
            RejectReason.OTHER,
            f"{account}: the list of positions is shorter than what the venue says is open; "
            "the read is not believed",
            is_ambiguous=True,
        )


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a venue says of an account's money.

    Attributes:
        balances: wallet balances without unrealized PnL.
        margin: of the cross pool.
        open_keys: positions this reply says are open, None = it does not say.
        margin_in_use: initial margin of positions in it, None = it does not say.
        maintenance, initial: margins of positions per settle asset, as far as it says.
        venue_ms: the venue's time of it.
    """

    balances: tuple[Balance, ...]
    margin: MarginReport = field(default_factory=MarginReport)
    open_keys: frozenset[tuple[str, PositionSide]] | None = None
    margin_in_use: Decimal | None = None
    maintenance: Mapping[str, Decimal] = field(default_factory=dict)
    initial: Mapping[str, Decimal] = field(default_factory=dict)
    venue_ms: int | None = None

    def misses(self, positions: Sequence[Position], settle_of: Callable[[str], str]) -> bool:
        """Whether this reply knows of positions that a list of them leaves out.

        Args:
            positions: as the other reply lists them.
            settle_of: settle asset of a symbol.
        """
        if not (self.open_keys or frozenset()) <= {(p.symbol, p.side) for p in positions}:
            return True
        if not positions and self.margin_in_use is not None and self.margin_in_use > 0:
            return True
        for asset in {*self.maintenance, *self.initial}:
            held = [p for p in positions if settle_of(p.symbol) == asset]
            compared = (
                (self.maintenance.get(asset), [p.maintenance_margin for p in held]),
                (self.initial.get(asset), [p.initial_margin for p in held]),
            )
            gaps = [_has_gap(stated, margins) for stated, margins in compared]
            # A venue may compute one of them differently; where both can be compared, both count.
            known = [gap for gap in gaps if gap is not None]
            if known and all(known):
                return True
        return False


def _has_gap(stated: Decimal | None, margins: Sequence[Decimal | None]) -> bool | None:
    # None when they cannot be compared: a row that does not state its margin says nothing.
    if not stated or stated <= 0 or not all(margins):
        return None
    return sum(filter(None, margins), Decimal(0)) < stated * SAME_MARGIN
