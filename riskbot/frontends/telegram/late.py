"""Commands of the past that are not done any more: gathered, and said once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from riskbot.frontends.telegram.figures import short_clock
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.reader import say
from riskbot.frontends.telegram.requests import Request

SUMMARY_S = 2.0
"""Commands of the past are gathered for so long, then said in one message."""


class Late:
    """What came too late, by chat.

    Args:
        tell: sends HTML to a chat.
        spawn: runs something beside.
    """

    def __init__(
        self,
        tell: Callable[[int, str], Awaitable[None]],
        spawn: Callable[[Awaitable[None]], object],
    ) -> None:
        self._tell = tell
        self._spawn = spawn
        self._gathered: dict[int, list[Request]] = {}

    def note(self, request: Request) -> None:
        """Gather what is too old to be done, and say it once."""
        if request.chat not in self._gathered:
            self._gathered[request.chat] = []
            self._spawn(self._say(request.chat))
        self._gathered[request.chat].append(request)

    async def _say(self, chat: int) -> None:
        await asyncio.sleep(SUMMARY_S)
        late = self._gathered.pop(chat)
        times = sorted(r.written_ms or 0 for r in late)
        first, last = (short_clock(ms) for ms in (times[0], times[-1]))
        counts = Counter(request.name for request in late)
        parts = [f"{name} x{count}" if count > 1 else name for name, count in counts.items()]
        when = first if first == last else say("{since} to {until}", since=first, until=last)
        words = say(
            "While I was away ({when}) I got: {list}. Not executed.",
            when=when,
            list=", ".join(parts),
        )
        await self._tell(chat, escape(words))
