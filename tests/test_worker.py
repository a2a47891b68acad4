"""Slow statistics in their own process: real processes, that die, hang and talk nonsense."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from riskbot import processes, worker
from riskbot.core import actions, events
from riskbot.core.histories import BookSketch
from riskbot.errors import CodecError
from riskbot.worker import Worker, wire
from tests.core.past import noise, read
from tests.fakes import FakeClock

BOOK = BookSketch("portfolio", 1_000.0, {"BTC": 500.0})


def question(number: int) -> actions.AnalyzeRisk:
    return actions.AnalyzeRisk(request_id=number, as_of_ms=number, books=(BOOK,))


class Asker:
    """A worker, and what it answered."""

    def __init__(self, **pace: Any) -> None:
        self.answers: asyncio.Queue[events.Event] = asyncio.Queue()
        self.clock = FakeClock()
        self.worker = Worker(self.answers.put_nowait, self.clock, random.Random(1), **pace)

    async def answer(self, number: int) -> events.RiskAnalyzed:
        self.worker.do(question(number))
        await self.until(lambda: not self.answers.empty())
        found = self.answers.get_nowait()
        assert isinstance(found, events.RiskAnalyzed)
        return found

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Let time pass, on both clocks, until something is so."""
        async with asyncio.timeout(60):
            while not is_so():
                await asyncio.sleep(0.02)
                await self.clock.advance(200)


@asynccontextmanager
async def asking(**pace: Any) -> AsyncIterator[Asker]:
    asker = Asker(**pace)
    task = asyncio.create_task(asker.worker.run())
    try:
        yield asker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_question_is_answered_by_another_process_with_the_history_it_was_told() -> None:
    async with asking() as asker:
        assert asker.worker.pid is None
        first = await asker.answer(1)
        assert first.studies[0].note == "no price history is known yet"
        asker.worker.take(read(noise("BTC", 1)))
        second = await asker.answer(2)
        assert second.request_id == 2
        assert second.studies[0].figures["normal_value_at_risk_95_usd"] > 0  # type: ignore[operator]
        assert asker.worker.pid not in {None, os.getpid()}


async def test_killed_process_is_started_again_and_told_everything_anew() -> None:
    async with asking() as asker:
        asker.worker.take(read(noise("BTC", 1)))
        await asker.answer(1)
        first = asker.worker.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        answer = await asker.answer(2)
        assert answer.studies[0].note == ""
        assert asker.worker.pid != first


async def test_process_that_hangs_is_ended_and_the_question_asked_again() -> None:
    async with asking(answer_s=5.0) as asker:
        await asker.answer(1)
        first = asker.worker.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        asker.worker.do(question(2))
        await asker.until(lambda: asker.worker.pid != first)
        await asker.until(lambda: not asker.answers.empty())
        found = asker.answers.get_nowait()
        assert isinstance(found, events.RiskAnalyzed)
        assert found.request_id == 2


async def test_newer_question_takes_the_place_of_one_that_waits() -> None:
    asker = Asker()
    asker.worker.do(question(1))
    asker.worker.do(question(2))
    task = asyncio.create_task(asker.worker.run())
    async with asyncio.timeout(30):
        found = await asker.answers.get()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert isinstance(found, events.RiskAnalyzed)
    assert (found.request_id, asker.answers.empty()) == (2, True)


async def test_process_that_cannot_run_is_tried_less_and_less_often() -> None:
    async with asking(module="riskbot.no_such_module") as asker:
        asker.worker.do(question(1))
        pids: set[int] = set()

        def has_tried_thrice() -> bool:
            pids.update({asker.worker.pid} - {None})  # type: ignore[arg-type]
            return len(pids) >= 3

        await asker.until(has_tried_thrice)
        assert asker.clock.now_ms() - FakeClock().now_ms() >= 1_500
        assert asker.answers.empty()


async def test_process_ends_with_its_input() -> None:
    process = await asyncio.create_subprocess_exec(
        *processes.command(worker.MODULE),
        stdin=asyncio.subprocess.PIPE,
        env=processes.environment(),
    )
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(30):
        assert await process.wait() == 0


def test_record_survives_the_wire_and_nonsense_is_refused() -> None:
    assert wire.record(wire.line(question(3))) == question(3)
    with pytest.raises(CodecError):
        wire.record(b'["Nonsense", 1, "{}"]\n')
    with pytest.raises(ValueError, match="unpack"):
        wire.record(b"[]\n")
