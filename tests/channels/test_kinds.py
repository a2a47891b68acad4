"""The channels themselves, against servers on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from riskbot import channels
from riskbot.channels.apprise import AppriseChannel
from riskbot.channels.log import LogChannel
from riskbot.channels.webhook import WebhookChannel
from riskbot.config.models import NotifyConfig, WebhookConfig
from riskbot.config.secret import Secret
from riskbot.core.model import DIGEST, Level
from riskbot.errors import ChannelError
from tests.alerts import alert, resolved
from tests.fakes import FakeClock, settle

# apprise's own plug-ins use what newer Pythons advise against.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Sink:
    """An HTTP server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[bytes, dict[str, str]]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        self.posts.append((await request.read(), dict(request.headers)))
        await self.hold.wait()
        return web.Response(status=self.status, headers=self.headers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=hunter2"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    made.hold.set()
    await runner.cleanup()


async def test_webhook_posts_a_signed_document(sink: Sink) -> None:
    clock = FakeClock()
    channel = WebhookChannel("webhook", sink.url, lambda: "s3cret", "vps-1", clock)
    await channel.send(alert("A7"), is_loud=True)
    await channel.close()
    content, headers = sink.posts[0]
    assert headers["X-Riskbot-Timestamp"] == str(clock.now_ms() // 1000)
    message = headers["X-Riskbot-Timestamp"].encode() + b"." + content
    expected = hmac.new(b"s3cret", message, hashlib.sha256).hexdigest()
    assert headers["X-Riskbot-Signature"] == f"sha256={expected}"
    told = json.loads(content)
    assert (told["id"], told["level"], told["instance"]) == ("A7", "red", "vps-1")
    assert told["is_loud"] is True


async def test_webhook_without_a_secret_is_not_signed(sink: Sink) -> None:
    channel = WebhookChannel("webhook", sink.url, None, "vps-1", FakeClock())
    await channel.send(resolved(alert()), is_loud=False)
    await channel.close()
    content, headers = sink.posts[0]
    assert "X-Riskbot-Signature" not in headers
    assert json.loads(content)["level"] == "resolved"


@pytest.mark.parametrize(
    ("status", "headers", "is_permanent", "retry_after_ms"),
    [
        (400, {}, True, None),
        (302, {"Location": "http://127.0.0.1:1/"}, True, None),
        (429, {"Retry-After": "7"}, False, 7_000),
        (503, {"Retry-After": "soon"}, False, None),
        (500, {}, False, None),
    ],
)
async def test_webhook_says_whether_to_try_again(
    sink: Sink,
    status: int,
    headers: dict[str, str],
    is_permanent: bool,
    retry_after_ms: int | None,
) -> None:
    sink.status, sink.headers = status, headers
    channel = WebhookChannel("webhook", sink.url, None, "vps-1", FakeClock())
    with pytest.raises(ChannelError) as caught:
        await channel.send(alert(), is_loud=True)
    await channel.close()
    assert caught.value.is_permanent is is_permanent
    assert caught.value.retry_after_ms == retry_after_ms
    assert "hunter2" not in str(caught.value)


async def test_webhook_that_hangs_or_is_away_may_be_tried_again(sink: Sink) -> None:
    sink.hold.clear()
    hung = WebhookChannel("webhook", sink.url, None, "vps-1", FakeClock(), timeout_s=0.1)
    away = WebhookChannel("webhook", "http://127.0.0.1:9/hunter2", None, "vps-1", FakeClock())
    for channel in (hung, away):
        with pytest.raises(ChannelError) as caught:
            await channel.send(alert(), is_loud=True)
        assert not caught.value.is_permanent
        assert "hunter2" not in str(caught.value)
        await channel.close()


async def test_apprise_sends_title_body_and_kind(sink: Sink) -> None:
    url = f"json://127.0.0.1:{sink.port}/"
    channel = AppriseChannel("notify", lambda: url, Level.ORANGE)
    await channel.send(alert("A7"), is_loud=True)
    await channel.close()
    told = json.loads(sink.posts[0][0])
    assert "RED" in told["title"]
    assert "#A7" in told["title"]
    assert "HALTED" in told["message"]
    assert told["type"] == "failure"


async def test_apprise_refusal_may_be_tried_again(sink: Sink) -> None:
    sink.status = 500
    channel = AppriseChannel("notify", lambda: f"json://127.0.0.1:{sink.port}/", Level.ORANGE)
    with pytest.raises(ChannelError) as caught:
        await channel.send(alert(), is_loud=True)
    assert not caught.value.is_permanent


async def test_apprise_url_of_no_known_kind_is_refused_for_good() -> None:
    channel = AppriseChannel("notify", lambda: "nonsense://hunter2", Level.ORANGE)
    with pytest.raises(ChannelError) as caught:
        await channel.send(alert(), is_loud=True)
    assert caught.value.is_permanent
    assert "hunter2" not in str(caught.value)


async def test_apprise_that_hangs_leaves_the_loop_alone(sink: Sink) -> None:
    sink.hold.clear()
    channel = AppriseChannel("notify", lambda: f"json://127.0.0.1:{sink.port}/", Level.ORANGE)
    first = asyncio.create_task(channel.send(alert("A1"), is_loud=True))
    async with asyncio.timeout(30):
        while not sink.posts:
            await asyncio.sleep(0.01)
    # The next one takes its turn, and is told when the one before was given up and still hangs.
    second = asyncio.create_task(channel.send(alert("A2"), is_loud=True))
    await settle()
    assert not second.done()
    first.cancel()
    with pytest.raises(ChannelError, match="not through"):
        await second
    assert any(t.daemon for t in threading.enumerate() if t.name == "apprise-notify")
    sink.hold.set()


@pytest.mark.parametrize(
    ("told", "is_loud", "wanted"),
    [
        (alert(level=Level.RED), True, True),
        (alert(level=Level.YELLOW), False, False),
        (alert(level=Level.ORANGE), True, True),
        (alert(level=Level.ORANGE, revision=2), False, False),
        (resolved(alert(level=Level.RED)), False, True),
        (resolved(alert(level=Level.YELLOW)), False, False),
    ],
)
def test_apprise_hears_what_is_grave_and_new(told: object, is_loud: bool, wanted: bool) -> None:
    channel = AppriseChannel("notify", lambda: "", Level.ORANGE)
    assert channel.wants(told, is_loud=is_loud) is wanted  # type: ignore[arg-type]


async def test_log_line_says_level_what_and_what_was_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="riskbot.alerts")
    await LogChannel().send(alert("A7"), is_loud=True)
    record = caplog.records[0]
    assert record.levelno == logging.ERROR
    for part in ("RED", "#A7", "drawdown 5.20% > 5.00%", "HALTED"):
        assert part in record.getMessage()


@pytest.mark.parametrize("takes", [True, False])
def test_digest_is_for_those_that_ask_for_it(takes: bool) -> None:
    told = alert("D1", name=DIGEST, level=Level.OK)
    channel = AppriseChannel("notify", lambda: "json://a/", Level.RED, takes_digest=takes)
    assert channel.wants(told, is_loud=False) is takes
    assert LogChannel().wants(told, is_loud=False)


def test_configuration_names_the_channels() -> None:
    class Root:
        instance = "vps-1"
        notify = (NotifyConfig(url=Secret("json://a/"), min_level="red"),)
        webhooks = (
            WebhookConfig(url="http://a/", secret=Secret("s")),
            WebhookConfig(url="http://b/"),
        )

    door = LogChannel()
    door.name = "telegram"
    built = channels.build(Root(), FakeClock(), door)
    assert [c.name for c in built] == ["log", "telegram", "notify", "webhook", "webhook-2"]
