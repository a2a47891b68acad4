"""The contract of the room: what a strategy must know, and the one method that tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from riskbot.core.model import PORTFOLIO, TradingState


@dataclass(frozen=True, slots=True)
class Standing:
    """The enforced trading state of every scope, strictest of its holds.

    Attributes:
        states, reasons: by scope.
        may_start: False while a return to ACTIVE cannot be recorded; then nobody is told of one.
    """

    states: Mapping[str, TradingState]
    reasons: Mapping[str, str]
    may_start: bool

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Standing:
        """Return what the core's document says."""
        rows: Mapping[str, Mapping[str, str]] = document["scopes"]
        return cls(
            {scope: TradingState(row["trading_state"]) for scope, row in rows.items()},
            {scope: row["reason"] for scope, row in rows.items()},
            document["may_start"],
        )

    def of_scope(self, scope: str) -> TradingState:
        """Return the trading state of a scope, of the portfolio when there is no such scope."""
        return self.states.get(scope, self.states[PORTFOLIO])


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of telling.

    Attributes:
        confirmed: what the strategy was seen to obey, None = it stands otherwise, of its own.
        detail: what it says of itself.
    """

    confirmed: TradingState | None
    detail: str = ""


class Told(Protocol):
    """One who is told."""

    name: str
    via: str
    scope: str

    async def tell(self, standing: Standing) -> Answer:
        """Bring it about that the strategy obeys; asked again and again, so it looks first.

        Raises:
            StrategyError: it was not told, or does not obey.
        """
        ...

    async def owes(self, standing: Standing) -> bool:
        """Return whether something must still be brought about: silence matters then."""
        ...

    def look_again_s(self, standing: Standing) -> float | None:
        """Return when to look whether it still obeys, None = only when the standing changes."""
        ...

    async def close(self) -> None:
        """Release sockets."""
        ...
