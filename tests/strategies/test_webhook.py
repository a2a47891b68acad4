"""Strategies behind a URL hear of each change, signed, the strictest first, until they took it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from riskbot.channels.log import LogChannel
from riskbot.channels.webhook import WebhookChannel
from riskbot.core.model import TradingState
from riskbot.strategies.webhook import Webhook
from tests.fakes import FakeClock
from tests.strategies.desk import Desk

SECRET = "a-secret"


class Sink:
    """A server that keeps the documents it takes; what is not signed rightly it does not."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.status = 200
        self.posts = 0
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.posts += 1
        message = request.headers["X-Riskbot-Timestamp"].encode() + b"." + body
        right = "sha256=" + hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
        if request.headers["X-Riskbot-Signature"] != right:
            return web.Response(status=403)
        if self.status == 200:
            self.documents.append(json.loads(body))
        return web.Response(status=self.status)

    def states(self) -> list[tuple[str, str]]:
        return [(d["scope"], d["trading_state"]) for d in self.documents]

    def channel(self, clock: FakeClock) -> WebhookChannel:
        url = f"http://127.0.0.1:{self.port}/hook?token=hunter2"
        return WebhookChannel("webhook", url, lambda: SECRET, "vps-1", clock)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_every_scope_is_told_at_the_start_and_then_its_changes(
    desk: Desk, sink: Sink
) -> None:
    channel = sink.channel(desk.clock)
    async with desk.telling(Webhook(channel, "vps-1", desk.clock)):
        await desk.until(lambda: len(sink.documents) == 3)
        sink.documents.clear()
        desk.move("REDUCING", "account:main", reason="gross_exposure")
        await desk.until(lambda: sink.documents)
        (told,) = sink.documents
        assert told.pop("ts_ms") <= desk.clock.now_ms()
        assert told.pop("seq") > 0
        assert told == {
            "type": "trading_state",
            "instance": "vps-1",
            "scope": "account:main",
            "trading_state": "REDUCING",
            "reason": "gross_exposure",
        }
        await desk.pass_s(120)
        assert len(sink.documents) == 1, "what was taken is not repeated"
    await channel.close()


async def test_halt_goes_before_what_eases_and_numbers_grow_over_a_restart(
    desk: Desk, sink: Sink
) -> None:
    numbers: list[int] = []
    for _ in range(2):
        channel = sink.channel(desk.clock)
        desk.move("HALTED", "strategy:grid")
        async with desk.telling(Webhook(channel, "vps-1", desk.clock)):
            await desk.until(lambda: len(sink.documents) >= 3)
            assert sink.states()[0] == ("strategy:grid", "HALTED")
        await channel.close()
        numbers += [d["seq"] for d in sink.documents]
        sink.documents.clear()
        await desk.clock.advance(1_000)
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 6


@pytest.mark.parametrize(("status", "seconds"), [(503, 40.0), (400, 1.0)])
async def test_who_does_not_take_it_is_told_of_and_tried_again(
    desk: Desk, sink: Sink, status: int, seconds: float
) -> None:
    sink.status = status
    channel = sink.channel(desk.clock)
    desk.move("HALTED")
    async with desk.telling(Webhook(channel, "vps-1", desk.clock)):
        await desk.until(lambda: desk.last.is_lost, seconds=seconds)
        assert str(status) in desk.last.error
        assert "hunter2" not in desk.last.error
        before = sink.posts
        await desk.pass_s(300)
        assert 3 <= sink.posts - before <= 12
        sink.status = 200
        await desk.until(lambda: desk.last.confirmed is TradingState.HALTED, seconds=90)
        assert not desk.last.is_lost
        assert len(sink.documents) == 3
    await channel.close()


async def test_a_change_that_was_taken_back_before_it_went_out_is_not_told(
    desk: Desk, sink: Sink
) -> None:
    channel = sink.channel(desk.clock)
    async with desk.telling(Webhook(channel, "vps-1", desk.clock)):
        await desk.until(lambda: len(sink.documents) == 3)
        sink.status = 503
        desk.move("HALTED")
        await desk.until(lambda: desk.last.error)
        desk.move("ACTIVE")
        sink.status = 200
        await desk.pass_s(60)
        assert len(sink.documents) == 3
        assert desk.last.confirmed is TradingState.ACTIVE
    await channel.close()


async def test_return_to_active_that_cannot_be_recorded_is_not_told(desk: Desk, sink: Sink) -> None:
    channel = sink.channel(desk.clock)
    desk.move("HALTED")
    async with desk.telling(Webhook(channel, "vps-1", desk.clock)):
        await desk.until(lambda: len(sink.documents) == 3)
        desk.document["may_start"] = False
        desk.move("ACTIVE")
        await desk.pass_s(60)
        assert len(sink.documents) == 3
        desk.document["may_start"] = True
        await desk.until(lambda: sink.states()[3:] == [(s, "ACTIVE") for s, _ in sink.states()[:3]])
    await channel.close()


async def test_channels_that_post_are_told_and_others_are_not(desk: Desk, sink: Sink) -> None:
    channel = sink.channel(desk.clock)
    parts = desk.parts(channels=(LogChannel(), channel))
    async with desk.running(parts):
        await desk.until(lambda: desk.events)
    await channel.close()
    assert {event.name for event in desk.events} == {"webhook"}
    assert desk.parts(channels=(LogChannel(),)).parts == ()


async def test_bug_in_telling_one_is_survived(desk: Desk, sink: Sink) -> None:
    channel = sink.channel(desk.clock)
    parts = desk.parts(channels=(channel,))
    document, desk.document = desk.document, {}
    async with desk.running(parts):
        await desk.pass_s(30)
        assert not sink.posts
        desk.document = document
        await desk.until(lambda: sink.posts == 3, seconds=90)
    await channel.close()
