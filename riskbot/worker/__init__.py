"""Slow statistics beside the guard: a question goes out, its answer comes back as an event.

The loop is never held: another process computes (`process`), and may die, hang or be killed. What
it computes is `core.studies`; how old an answer may be is the core's business.
"""

from __future__ import annotations

import asyncio
import random
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import structlog

from riskbot import processes
from riskbot.clock import Clock
from riskbot.codec import Record
from riskbot.core import actions, events
from riskbot.core.histories import DailySeries
from riskbot.errors import RiskbotError
from riskbot.worker import wire

MODULE = "riskbot.worker.process"

ANSWER_S = 60.0
"""A process that takes longer hangs, and is ended."""

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0

PIECE = 20
"""Histories that are told in one piece."""

LINE_MAX = 16 * 1024 * 1024
"""Longest answer that is read."""

_FAILURES = (OSError, ValueError, EOFError, asyncio.LimitOverrunError, RiskbotError)
"""What a process may do that dies, hangs, or writes what it should not."""

_log = structlog.get_logger("worker")


class Worker:
    """Answers `AnalyzeRisk`, one question at a time; a newer one takes the place of one that waits.

    Args:
        emit: takes `RiskAnalyzed`.
        clock: for waits.
        rng: for jitter.
        module: that answers.
        answer_s: see above.

    Attributes:
        pid: of the process, None = none runs.
    """

    def __init__(
        self,
        emit: Callable[[events.Event], None],
        clock: Clock,
        rng: random.Random,
        *,
        module: str = MODULE,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._module = module
        self._answer_s = answer_s
        self._emit = emit
        self._clock = clock
        self._rng = rng
        self._series: dict[str, DailySeries] = {}
        self._untold: set[str] = set()
        self._question: actions.AnalyzeRisk | None = None
        self._asked = asyncio.Event()
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None = none runs."""
        return self._process.pid if self._process is not None else None

    def take(self, history: events.PriceHistoryRead) -> None:
        """Take price history: whatever is asked later is answered with it."""
        self._series.update({each.underlying: each for each in history.series})
        self._untold |= {each.underlying for each in history.series}

    def pass_on(self, event: events.Event) -> None:
        """Hand an event on to the runner, price history to the process as well."""
        if isinstance(event, events.PriceHistoryRead):
            self.take(event)
        self._emit(event)

    def do(self, action: actions.AnalyzeRisk) -> None:
        """Take a question; never waits."""
        self._question = action
        self._asked.set()

    async def run(self) -> None:
        """Answer until cancelled. The process is started with the first question."""
        failures = 0
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                question = self._question
                if question is None:
                    continue
                try:
                    async with asyncio.timeout(self._answer_s):
                        answer = await self._ask(question)
                except _FAILURES as error:
                    failures += 1
                    await self._end()
                    wait_s = min(FIRST_WAIT_S * 2 ** min(failures - 1, 10), LONGEST_WAIT_S)
                    wait_s *= self._rng.uniform(0.75, 1.25)
                    _log.warning("statistics_failed", error=_named(error), again_s=round(wait_s))
                    await self._clock.sleep(wait_s)
                    self._asked.set()
                else:
                    failures = 0
                    self._emit(answer)
        finally:
            await self._end()

    async def _ask(self, question: actions.AnalyzeRisk) -> events.RiskAnalyzed:
        process = await self._running()
        assert process.stdin is not None  # noqa: S101 - it was started with pipes
        assert process.stdout is not None  # noqa: S101 - likewise
        news = [self._series[name] for name in sorted(self._untold)]
        self._untold.clear()
        told: list[Record] = [
            events.PriceHistoryRead(series=tuple(news[first : first + PIECE]))
            for first in range(0, len(news), PIECE)
        ]
        for record in [*told, question]:
            # Years of everything take a while to write down, and each piece holds the loop up.
            process.stdin.write(await asyncio.to_thread(wire.line, record))
            await process.stdin.drain()
        answer = wire.record(await process.stdout.readuntil(b"\n"))
        if not isinstance(answer, events.RiskAnalyzed) or answer.request_id != question.request_id:
            message = f"answered {type(answer).__name__}"
            raise ValueError(message)
        return answer

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._untold = set(self._series)
            self._process = await asyncio.create_subprocess_exec(
                *processes.command(self._module),
                stdin=PIPE,
                stdout=PIPE,
                env=processes.environment(),
                start_new_session=True,
                limit=LINE_MAX,
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await processes.stop(process)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
