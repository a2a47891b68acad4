"""Every way to tell people in trouble, while the daemon guards over real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.scenarios.daemon import DRAWDOWN, Daemon, alert_of, guarded
from tests.scenarios.seats import BINANCE, BTC, ETH, SOL, Seat, glide
from tests.servers import mosquitto
from tests.servers.mosquitto import Mosquitto
from tests.servers.telegram_api import Fault, TelegramServer
from tests.servers.telegram_chats import Chat

ADMIN = 1001
POSITIONS = {BTC: "2", ETH: "-10", SOL: "150"}
CRASH = {"BTC": 32_000, "SOL": 80}


class Hook:
    """The receiver of a webhook: it keeps the alerts, and answers while it is `open`."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.answered = 0
        self.open = asyncio.Event()
        self.open.set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        document = await request.json()
        if document["type"] != "alert":
            return web.Response()
        self.told.append(document)
        await self.open.wait()
        self.answered += 1
        return web.Response()

    def on(self, name: str) -> list[str]:
        """Return the levels told under a name, `resolved` at the end."""
        return [d["level"] for d in self.told if d["limit"] == name]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    app = web.Application()
    app.router.add_post("/", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield made
    made.open.set()
    await runner.cleanup()


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    made = TelegramServer()
    made.person(ADMIN, "Alice", "alice")
    await made.start()
    yield made
    await made.stop()


@asynccontextmanager
async def cockpit(
    folder: Path, server: TelegramServer, hook: Hook, *seats: Seat, **more: Any
) -> AsyncIterator[Daemon]:
    """Guard the seats with Telegram and a webhook beside it."""
    section = {"token": server.token, "api_base_url": server.url, "users": {ADMIN: "admin"}}
    sections = {"telegram": section, "webhooks": [{"url": hook.url}], "limits": DRAWDOWN, **more}
    async with guarded(folder, *seats, **sections) as daemon:
        yield daemon


def chat(server: TelegramServer) -> Chat:
    return server.api.chats[ADMIN]


def about(server: TelegramServer, words: str) -> list[dict[str, Any]]:
    """Return the messages that the chat was sent with these words in them."""
    return [m for m in chat(server).sent if words in m["text"]]


def children(daemon: Daemon) -> list[int]:
    """Return the processes that the daemon has started for Telegram."""
    assert daemon.process is not None
    pid = daemon.process.pid
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(n) for n in started if b"telegram" in Path(f"/proc/{n}/cmdline").read_bytes()]


def closed(seat: Seat) -> list[str]:
    """Return what riskbot sent orders for, in the order of the ids: as it was decided."""
    found = sorted(seat.sent(), key=lambda r: seat.server.describe(r)["client_id"])
    return [str(r.params["symbol"]) for r in found]


# ---------------------------------------------------------------- an action waits for nobody


@pytest.mark.skipif(bool(mosquitto.MISSING), reason=mosquitto.MISSING)
@pytest.mark.parametrize(
    "trouble",
    ["hang", *(pytest.param(other, marks=pytest.mark.nightly) for other in ("none", "gone"))],
)
async def test_flatten_is_the_same_whatever_becomes_of_the_channels(
    telegram: TelegramServer, hook: Hook, tmp_path: Path, trouble: str
) -> None:
    broker = Mosquitto(tmp_path / "broker", {"riskbot": "pass-of-a-test"})
    await broker.start()
    login = {"port": broker.port, "username": "riskbot", "password": "pass-of-a-test"}
    seat = Seat(BINANCE)
    for symbol, quantity in POSITIONS.items():
        seat.hold(symbol, quantity)
    try:
        async with cockpit(tmp_path, telegram, hook, seat, mqtt=login) as daemon:
            await daemon.until(lambda: telegram.called("getUpdates"), "the bot")
            await daemon.until(lambda: about(telegram, "started"), "the first message")
            # Given channels that take everything and answer nothing, or are not there at all.
            if trouble == "hang":
                telegram.fail("*", Fault("hang", None))
                broker.pause()
                hook.open.clear()
            elif trouble == "gone":
                await telegram.stop()
                await broker.kill()
            calls, answered = len(telegram.calls), hook.answered
            # When the market falls, then the account is flat by the same orders.
            await glide(seat, **CRASH)
            await daemon.until(daemon.is_flat, "flat")
            if trouble == "hang":
                assert [c.status for c in telegram.calls[calls:] if c.status is not None] == []
                assert hook.answered == answered
            assert closed(seat) == [seat.id_of(symbol) for symbol in POSITIONS]
            status = await daemon.halted()
            assert [hold["limit"] for hold in status["holds"]] == ["drawdown"]
            # And it was told, or is being told, everywhere.
            await daemon.until(lambda: hook.on("drawdown"), "the webhook has it")
            if trouble == "hang":
                await daemon.until(
                    lambda: [c for c in telegram.calls[calls:] if c.method == "sendmessage"],
                    "Telegram has it before it",
                )
                assert [c.status for c in telegram.calls[calls:] if c.status is not None] == []
                assert hook.answered == answered
    finally:
        await broker.kill()


# ---------------------------------------------------------------- a restart amid an episode

HALT = {"drawdown": {"max": 0.15, "on_breach": "halt", "latch": True}}


async def test_kill_amid_an_episode_repeats_nothing_and_forgets_nothing(
    telegram: TelegramServer, hook: Hook, tmp_path: Path
) -> None:
    seat = Seat(BINANCE)
    seat.hold(BTC, "3")
    async with cockpit(tmp_path, telegram, hook, seat, limits=HALT) as daemon:
        # Given a breach that was told, that somebody took, and keeps silent.
        await daemon.until(lambda: about(telegram, "started"), "the bot")
        await glide(seat, BTC=34_000)
        await daemon.until(lambda: about(telegram, "RED"), "told")
        told = [m["message_id"] for m in about(telegram, "drawdown")]
        before = alert_of(await daemon.status(), "drawdown")
        assert before is not None
        assert (await daemon.ask("ack", id=before["id"]))["ok"]
        assert (await daemon.ask("silence", limit="drawdown", duration_s=3_600))["ok"]
        shown = chat(telegram).messages
        await daemon.until(lambda: "ack by" in shown[told[0]]["text"], "taken")
        edits = len(chat(telegram).edits)
        # When the process is killed and starts again, then all of it is still so,
        await daemon.restart()
        await daemon.until(lambda: len(about(telegram, "started")) == 2, "up again")
        status = await daemon.status()
        again = alert_of(status, "drawdown")
        assert again is not None
        assert again["id"] == before["id"]
        assert again["acked_by"]
        assert again["silenced_by"]
        assert [hold["limit"] for hold in status["holds"]] == ["drawdown"]
        # nothing was said twice, and what comes next is said by the message that stands.
        assert [m["message_id"] for m in about(telegram, "drawdown")] == told
        revisions = [d["revision"] for d in hook.told if d["limit"] == "drawdown"]
        assert sorted(set(revisions)) == revisions
        await glide(seat, BTC=29_000)
        await daemon.until(lambda: chat(telegram).edits[edits:], "edited")
        assert {m["message_id"] for m in chat(telegram).edits[edits:]} <= set(told)


# ---------------------------------------------------------------- the second process in trouble


async def test_telegram_process_in_trouble_is_one_alert_elsewhere_and_nothing_else(
    telegram: TelegramServer, hook: Hook, tmp_path: Path
) -> None:
    seat = Seat(BINANCE)
    seat.hold(BTC, "3")
    async with cockpit(tmp_path, telegram, hook, seat) as daemon:
        await daemon.until(lambda: about(telegram, "started"), "the bot")
        before = await daemon.status()
        # When it is killed, then another takes its place, one alert says so, and that is all.
        (process,) = children(daemon)
        os.kill(process, signal.SIGKILL)
        await daemon.until(lambda: "resolved" in hook.on("frontend_down"), "back")
        (fresh,) = children(daemon)
        assert fresh != process
        told = [d for d in hook.told if d["limit"] != "started"]
        assert {d["limit"] for d in told} == {"frontend_down"}
        assert len({d["thread"] for d in told}) == 1, "one alert"
        assert [d["is_loud"] for d in told].count(True) == 1, "called out once"
        after = await daemon.status()
        for name in ("trading_state", "holds", "blind", "intents", "alerts", "gross_exposure"):
            assert after[name] == before[name]
        assert len(about(telegram, "started")) == 1
        # When it hangs, then nothing waits for it.
        await daemon.until(lambda: len(telegram.called("getUpdates")) > 1, "at work")
        os.kill(fresh, signal.SIGSTOP)
        try:
            await daemon.calm(1)  # what it had sent before has arrived
            calls = len(telegram.called("sendMessage"))
            await glide(seat, BTC=34_000)
            await daemon.until(daemon.is_flat, "flat")
            await daemon.halted()
            await daemon.until(lambda: "red" in hook.on("drawdown"), "told elsewhere")
            assert len(telegram.called("sendMessage")) == calls
        finally:
            os.kill(fresh, signal.SIGCONT)
        # When it goes on, then what it was handed is told, once.
        await daemon.until(lambda: about(telegram, "RED"), "told")
        await daemon.calm(1)
        (red,) = about(telegram, "RED")
        assert "drawdown" in red["text"]


# ---------------------------------------------------------------- Telegram away


async def test_red_while_telegram_is_away_is_elsewhere_and_summed_up_on_return(
    telegram: TelegramServer, hook: Hook, tmp_path: Path
) -> None:
    await telegram.stop()
    seat = Seat(BINANCE)
    seat.hold(BTC, "3")
    async with cockpit(tmp_path, telegram, hook, seat) as daemon:
        # Given a daemon that has never reached Telegram: it guards all the same.
        await daemon.until(lambda: "orange" in hook.on("frontend_down"), "away")
        await glide(seat, BTC=34_000)
        await daemon.until(daemon.is_flat, "flat")
        await daemon.until(lambda: "red" in hook.on("drawdown"), "told elsewhere")
        assert telegram.calls == []
        # When Telegram listens again before it takes messages, then one says what came late.
        telegram.fail("sendMessage", Fault("refuse", None, 502, "Bad Gateway"))
        await telegram.start()
        await daemon.until_status(lambda s: not alert_of(s, "frontend_down"), "over")
        telegram.lift()
        await daemon.until(lambda: about(telegram, "Telegram was away"), "the summary")
        await daemon.until(lambda: about(telegram, "RED"), "the red one")
        (summary,) = about(telegram, "Telegram was away")
        assert "drawdown" in summary["text"]
        # Nothing is told twice.
        heads = [text.partition("\n")[0] for text in chat(telegram).texts]
        assert len(set(heads)) == len(heads)
