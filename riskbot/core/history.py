"""Sub-state of the exposure history: what was last recorded, and when the next row is due.

A row is recorded with its cause on every fill or position change, on a price that moved far, on
a balance change, and by timer; the timer does not move the price references.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events
from riskbot.core.exposure import ScopeBook
from riskbot.core.model import PORTFOLIO
from riskbot.core.plain import VOLATILE, from_plain, to_plain
from riskbot.core.turn import Turn

TIMER_MS = 60_000

_CAUSES: dict[type[Any], str] = {
    events.OrderFilled: "fill",
    events.PositionsUpdated: "position",
    events.BalancesUpdated: "balance",
}


@dataclass(slots=True)
class Moved:
    """A price since the last recorded row.

    Attributes:
        row: the row that `reference` was the price at.
        last: the newest price.
    """

    row: int
    reference: float
    last: float


@dataclass(slots=True)
class History:
    """What the next row is measured against.

    Attributes:
        prices: by account and symbol; not journaled, so after a restart a price is measured
            against the first one that comes.
        row: rows since the start; a price's reference is what it was when the last one was made.
        moved: (account, symbol) whose price moved past `price_move` since.
        timer_ms: when the timer last recorded a row.
        held: (quantity signature) at the last row, to tell a position change in a read.
    """

    prices: dict[str, dict[str, Moved]] = field(default_factory=dict, metadata={VOLATILE: True})
    row: int = field(default=0, metadata={VOLATILE: True})
    moved: list[tuple[str, str]] = field(default_factory=list)
    timer_ms: int = 0
    held: str = ""

    def has_moved(self, account: str, symbol: str, price: float, price_move: float) -> bool:
        """Take a price; True when it is further than `price_move` from its reference."""
        mine = self.prices.get(account)
        if mine is None:
            mine = self.prices[account] = {}
        known = mine.get(symbol)
        if known is None:
            mine[symbol] = Moved(self.row, price, price)
            return False
        if known.row != self.row:
            known.row, known.reference = self.row, known.last
        known.last = price
        return abs(price / known.reference - 1) > price_move

    def note(self, account: str, symbol: str) -> None:
        """Note that something held has moved far."""
        if (account, symbol) not in self.moved:
            self.moved.append((account, symbol))

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record: a recorded row is the new reference."""
        if not isinstance(record, actions.RecordExposure):
            return
        if record.cause == "timer":
            self.timer_ms = now_ms
            return
        self.moved.clear()
        self.held = record.held
        self.row += 1

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> History:
        """Return what `dump` wrote."""
        state: History = from_plain(cls, data)
        return state


def record(turn: Turn, event: events.Event) -> None:
    """Record a row when one is due."""
    book = turn.book(PORTFOLIO)
    if book is None or book.equity_usd is None:
        return
    history = turn.state.history
    cause = _CAUSES.get(type(event), "")
    if isinstance(event, events.AccountSnapshotReceived) and book.signature != history.held:
        cause = "position"
    if not cause and history.moved:
        cause = "price"
    if not cause and turn.now_ms - history.timer_ms >= TIMER_MS:
        cause = "timer"
    if not cause:
        return
    turn.emit(
        actions.RecordExposure(
            cause=cause,
            row=row(book),
            symbols=tuple(sorted({symbol for _, symbol in history.moved})),
            held=book.signature,
        )
    )


def row(book: ScopeBook) -> dict[str, float | None]:
    """Return the figures of a history row."""
    margins = [ratio for _, ratio in book.maintenance_margin if ratio is not None]
    return {
        "equity_usd": book.equity_usd,
        "gross_exposure": book.ratio(book.gross_usd),
        "net_exposure": book.ratio(book.net_usd),
        "drawdown": book.losses.drawdown,
        "daily_loss": book.losses.daily_loss,
        "maintenance_margin": max(margins) if margins else None,
        "stop_risk": book.equity_ratio(book.stop_risk_usd),
    }


def points(
    turn: Turn, measure: str, since_ms: int, until_ms: int
) -> list[tuple[int, float | None]]:
    """Return a measure of the portfolio through time, up to its present value.

    Args:
        turn: the turn.
        measure: one of `series.MEASURES`.
        since_ms: UTC ms.
        until_ms: UTC ms, no later than now.
    """
    found = turn.state.past.series.points(measure, since_ms, until_ms)
    book = turn.book(PORTFOLIO)
    if until_ms >= turn.now_ms and book is not None and book.equity_usd is not None:
        found.append((turn.now_ms, row(book)[measure]))
    return found
