"""A URL that strategies listen at: every change of a trading state, signed as alerts are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from riskbot.clock import Clock
from riskbot.core.model import PORTFOLIO, TradingState
from riskbot.errors import ChannelError, StrategyError
from riskbot.strategies._base import Answer, Standing


@runtime_checkable
class Poster(Protocol):
    """A channel that posts documents."""

    name: str

    async def post(self, content: Mapping[str, Any]) -> None:
        """Post; ChannelError when it was not taken."""
        ...


class Webhook:
    """One URL; after a start it hears of every scope anew.

    Args:
        poster: posts and signs.
        instance: named in each document.
        clock: for stamps.
    """

    via = "webhook"
    scope = PORTFOLIO

    def __init__(self, poster: Poster, instance: str, clock: Clock) -> None:
        self.name = poster.name
        self._poster, self._instance, self._clock = poster, instance, clock
        self._told: dict[str, TradingState] = {}
        self._seq = 0

    def look_again_s(self, standing: Standing) -> None:
        """Return nothing: who took a document is not asked whether he obeys."""
        del standing

    async def owes(self, standing: Standing) -> bool:
        """Return whether there is news."""
        return bool(self._news(standing))

    async def tell(self, standing: Standing) -> Answer:
        """Post what has changed, the strictest first.

        Raises:
            StrategyError: not taken.
        """
        for scope in self._news(standing):
            state = standing.states[scope]
            # Also time, so that it grows over restarts.
            now_ms = self._clock.now_ms()
            self._seq = max(self._seq + 1, now_ms)
            try:
                await self._poster.post(
                    {
                        "type": "trading_state",
                        "instance": self._instance,
                        "scope": scope,
                        "trading_state": state.value,
                        "reason": standing.reasons[scope],
                        "ts_ms": now_ms,
                        "seq": self._seq,
                    }
                )
            except ChannelError as error:
                raise StrategyError(str(error), is_permanent=error.is_permanent) from error
            self._told[scope] = state
        return Answer(self._told.get(PORTFOLIO), "taken")

    async def close(self) -> None:
        """Leave the connection to the channel, which owns it."""

    def _news(self, standing: Standing) -> list[str]:
        changed = [s for s, state in standing.states.items() if self._told.get(s) is not state]
        if not standing.may_start:
            changed = [s for s in changed if standing.states[s] is not TradingState.ACTIVE]
        return sorted(changed, key=lambda s: -standing.states[s].rank)
