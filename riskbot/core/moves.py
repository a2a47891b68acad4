"""Sub-state of margin moved to isolated positions: what is under way, what it came to, the budget.

When margin is moved, and how much, is decided in `topping`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import PositionKey, PositionSide
from riskbot.core.plain import from_plain, to_plain

DAY_MS = 86_400_000
KEPT_MS = 2 * DAY_MS


@dataclass(frozen=True, slots=True)
class Move:
    """Margin on its way to one isolated position.

    Attributes:
        subject: the position as `maintenance_margin` names it.
        breach_since_ms: the breach it answers.
        amount: > 0, settle units.
        margin_before, pnl_before: of the position when it was decided, settle units.
        sent_ms: when it was decided; answered_ms: when the venue confirmed it, 0 = it has not.
        is_unknown: the answer was lost: what the position shows decides.
        refusal: why the venue refused it, empty = it has not.
    """

    move_id: str
    scope: str
    subject: str
    breach_since_ms: int
    account: str
    symbol: str
    side: PositionSide
    amount: Decimal
    amount_usd: float
    margin_before: Decimal
    pnl_before: Decimal
    sent_ms: int
    answered_ms: int = 0
    is_unknown: bool = False
    refusal: str = ""

    @property
    def key(self) -> PositionKey:
        """The position."""
        return PositionKey(self.account, self.symbol, self.side)


@dataclass(frozen=True, slots=True)
class Spent:
    """USD that were moved on an account, or may have been."""

    move_id: str
    account: str
    at_ms: int
    usd: float


@dataclass(slots=True)
class Moves:
    """Margin that was moved, is being moved, and where it is not tried again.

    Attributes:
        pending: by account; one at a time.
        given_up_ms: since when the breach stands for which no more is tried, by (scope, subject).
        words: what was done for the standing breach of a scope, for people.
    """

    pending: dict[str, Move] = field(default_factory=dict)
    spent: list[Spent] = field(default_factory=list)
    given_up_ms: dict[tuple[str, str], int] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    counter: int = 0

    def spent_usd(self, account: str, since_ms: int) -> float:
        """Return what was moved on an account since a moment, lost answers included."""
        return sum(s.usd for s in self.spent if s.account == account and s.at_ms >= since_ms)

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        match record:
            case actions.AddMargin():
                self._begin(record, now_ms)
            case events.MarginMoved():
                self._answer(record, now_ms)
            case actions.SettleMargin():
                self._settle(record)
            case events.Started():
                # What was on the wire when the process ended has no answer any more.
                self.pending = {a: replace(m, is_unknown=True) for a, m in self.pending.items()}
            case actions.EndEpisode(limit="maintenance_margin"):
                self.words.pop(record.scope, None)
            case _:
                pass

    def _begin(self, record: actions.AddMargin, now_ms: int) -> None:
        self.counter += 1
        self.pending[record.account] = Move(
            move_id=record.move_id,
            scope=record.scope,
            subject=record.subject,
            breach_since_ms=record.breach_since_ms,
            account=record.account,
            symbol=record.symbol,
            side=record.position_side,
            amount=record.amount,
            amount_usd=record.amount_usd,
            margin_before=record.margin_before,
            pnl_before=record.pnl_before,
            sent_ms=now_ms,
        )
        self.spent = [s for s in self.spent if now_ms - s.at_ms < KEPT_MS]
        self.spent.append(Spent(record.move_id, record.account, now_ms, record.amount_usd))

    def _answer(self, record: events.MarginMoved, now_ms: int) -> None:
        move = self.pending.get(record.account)
        if move is None or move.move_id != record.move_id:
            return
        if record.done is None:
            move = replace(move, is_unknown=True)
        elif record.done:
            move = replace(move, answered_ms=now_ms)
        else:
            move = replace(move, refusal=record.message or "refused")
        self.pending[record.account] = move

    def _settle(self, record: actions.SettleMargin) -> None:
        move = self.pending.pop(record.account, None)
        if move is None:
            return
        self.words[move.scope] = record.outcome
        if not record.is_added:
            self.given_up_ms[move.scope, move.subject] = move.breach_since_ms
        if move.refusal:
            self.spent = [s for s in self.spent if s.move_id != move.move_id]

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Moves:
        """Return what `dump` wrote."""
        state: Moves = from_plain(cls, data)
        return state
