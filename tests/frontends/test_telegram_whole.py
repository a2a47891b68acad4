"""`riskbot run` with Telegram: the daemon, its second process, a Bot API server, a paper venue."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from tests.fakes import until
from tests.frontends.telegram.scene import button
from tests.servers.telegram_api import TelegramServer

ADMIN, OPERATOR = 1001, 1002


class Daemon:
    def __init__(self, directory: Path, server: TelegramServer) -> None:
        self.directory = directory
        self.server = server
        self.process: asyncio.subprocess.Process | None = None

    def configure(self, users: dict[int, str]) -> Path:
        token = self.directory / "bot.token"
        token.touch(mode=0o600)
        token.write_text(self.server.token)
        file = self.directory / "riskbot.yaml"
        prices = {"balance": {"USDT": 100_000}, "prices": "demo"}
        document = {
            "instance": "vps-1",
            "mode": "enforce",
            "state_dir": str(self.directory / "state"),
            "accounts": {"main": {"exchange": "paper", "markets": ["linear"], "ccxt": prices}},
            "portfolio": {"preset": "leveraged"},
            "telegram": {
                "token_file": "bot.token",
                "api_base_url": self.server.url,
                "users": users,
            },
        }
        file.write_text(yaml.safe_dump(document))
        return file

    @asynccontextmanager
    async def running(self, users: dict[int, str]) -> AsyncIterator[asyncio.subprocess.Process]:
        log = (self.directory / "log").open("ab")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "riskbot", "run", "--config", str(self.configure(users))),
            stdout=log,
            stderr=log,
        )
        log.close()
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def log(self) -> str:
        return (self.directory / "log").read_text()

    async def answer(self, user: int, text: str) -> dict[str, object]:
        chat = self.server.api.chats[user]
        count = len(chat.sent)
        self.server.say(user, text)

        def answers() -> list[dict[str, object]]:
            # Alerts, and what others did, come when they come.
            return [m for m in chat.sent[count:] if "👤" not in m["text"] and "#A" not in m["text"]]

        await until(answers, 30)
        return answers()[0]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    server = TelegramServer()
    server.person(ADMIN, "Alice", "alice")
    server.person(OPERATOR, "Bob", "bob")
    await server.start()
    yield Daemon(tmp_path, server)
    await server.stop()


async def test_daemon_is_halted_and_resumed_from_telegram(daemon: Daemon) -> None:
    server = daemon.server
    async with daemon.running({ADMIN: "admin", OPERATOR: "operator"}) as process:
        await until(lambda: server.called("getUpdates"), 60)
        await until(lambda: any("started" in t for t in server.api.chats[ADMIN].texts), 30)
        assert "100 000.00" in str((await daemon.answer(ADMIN, "/status"))["text"])
        prompt = await daemon.answer(OPERATOR, "/halt lunch")
        shown = server.api.chats[OPERATOR].messages[prompt["message_id"]]  # type: ignore[index]
        server.press(OPERATOR, shown, button(shown, "Yes"))
        number = shown["message_id"]
        await until(lambda: "HALTED" in server.api.chats[OPERATOR].messages[number]["text"], 30)
        status = str((await daemon.answer(ADMIN, "/status"))["text"])
        assert "⛔ HALTED since" in status
        assert f"telegram:{OPERATOR}: lunch" in status
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    assert any("stopping" in text for text in server.api.chats[ADMIN].texts)
    assert server.token.partition(":")[2] not in daemon.log()
    polls = len(server.called("getUpdates"))
    await asyncio.sleep(0.5)
    assert len(server.called("getUpdates")) == polls, "the second process outlived the daemon"


async def test_daemon_runs_when_nobody_may_command_the_bot(daemon: Daemon) -> None:
    async with daemon.running({}) as process:
        await until((daemon.directory / "state" / "riskbot.sock").exists, 60)
        await until(lambda: "telegram.users is empty" in daemon.log(), 30)
        assert process.returncode is None
    assert daemon.server.calls == []


async def test_daemon_runs_when_telegram_is_away(daemon: Daemon) -> None:
    await daemon.server.stop()
    async with daemon.running({ADMIN: "admin"}):
        await until((daemon.directory / "state" / "telegram.sock").exists, 60)
        await daemon.server.start()
        await until(lambda: daemon.server.called("getUpdates"), 60)
        assert "100 000.00" in str((await daemon.answer(ADMIN, "/status"))["text"])


async def ctl(daemon: Daemon, *words: str) -> str:
    """Run `riskbot ctl` as the operator does on the host; return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "riskbot", "ctl"),
        *("--config", str(daemon.directory / "riskbot.yaml"), *words),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()


async def test_webhook_of_before_the_first_start_locks_until_the_operator_says_so(
    daemon: Daemon,
) -> None:
    server = daemon.server
    server.api.webhook = "https://other.example/hook"
    async with daemon.running({ADMIN: "admin"}):
        chat = server.api.chats[ADMIN]
        await until(lambda: any("other.example" in text for text in chat.texts), 60)
        assert server.api.webhook == ""
        await until(lambda: "somebody else uses the token" in daemon.log(), 30)
        assert "is locked" in str((await daemon.answer(ADMIN, "/resume"))["text"])
        alerts = json.loads(await ctl(daemon, "alerts", "--json"))
        rows = alerts["document"] if isinstance(alerts, dict) else alerts
        (found,) = [row for row in rows if row["limit"] == "token_conflict"]
        assert found["level"] == "red"
        assert "other.example" in found["text"]
        await ctl(daemon, "ack", found["id"])
        await until(lambda: any("Acknowledged on the host" in text for text in chat.texts), 30)
        assert "is locked" not in str((await daemon.answer(ADMIN, "/resume"))["text"])
        await until(lambda: any("RESOLVED" in edit["text"] for edit in chat.edits), 30)
