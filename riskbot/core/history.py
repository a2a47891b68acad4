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
from riskbot.core.plain import from_plain, to_plain
from riskbot.core.turn import Turn

TIMER_MS = 60_000

_CAUSES: dict[type[Any], str] = {
    events.OrderFilled: "fill",
    events.PositionsUpdated: "position",
    events.BalancesUpdated: "balance",
}


@dataclass(slots=True)
class History:
    """What the next row is measured against.

    Attributes:
        references: price at the last recorded row, by account and symbol.
        moved: (account, symbol) whose price moved past `price_move` since.
        timer_ms: when the timer last recorded a row.
        held: (quantity signature) at the last row, to tell a position change in a read.
    """

    references: dict[str, dict[str, float]] = field(default_factory=dict)
    moved: list[tuple[str, str]] = field(default_factory=list)
    timer_ms: int = 0
    held: str = ""

    def has_moved(self, account: str, symbol: str, price: float, price_move: float) -> bool:
        """Note a price; True when it is further than `price_move` from its reference."""
        mine = self.references.get(account)
        reference = mine.get(symbol) if mine is not None else None
        if reference is None or abs(price / reference - 1) <= price_move:
            return False
        if (account, symbol) not in self.moved:
            self.moved.append((account, symbol))
        return True

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record: a recorded row is the new reference."""
        if not isinstance(record, actions.RecordExposure):
            return
        if record.cause == "timer":
            self.timer_ms = now_ms
            return
        self.moved.clear()
        self.held = record.held
        for name, price in record.prices.items():
            account, _, symbol = name.partition("|")
            self.references.setdefault(account, {})[symbol] = price

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
    if isinstance(event, events.AccountSnapshotReceived) and _signature(book) != history.held:
        cause = "position"
    if not cause and history.moved:
        cause = "price"
    if not cause and turn.now_ms - history.timer_ms >= TIMER_MS:
        cause = "timer"
    if not cause:
        return
    prices = {}
    if cause != "timer":
        prices = {
            f"{leg.key.account}|{leg.key.symbol}": price
            for leg in book.legs
            if (price := turn.state.price(leg.key.account, leg.key.symbol)) is not None
        }
    turn.emit(
        actions.RecordExposure(
            cause=cause,
            row=row(book),
            symbols=tuple(sorted({symbol for _, symbol in history.moved})),
            prices=prices,
            held=_signature(book),
        )
    )


def _signature(book: ScopeBook) -> str:
    return ";".join(sorted("|".join(leg.key) for leg in book.legs))


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
