"""No secret leaves riskbot by any way but the request it is for.

Every secret of the configuration is a canary. The real process is driven through its errors, with
venues that say everything they know back; then all that it wrote, printed, sent or shows is
searched for the canaries and the forms in which they travel.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
import random
import subprocess
import sys
import urllib.parse
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web

from riskbot import redaction
from riskbot.config import load, load_accounts
from riskbot.core import actions, events
from riskbot.core.settings import MonitorSettings
from riskbot.executor import Executor
from riskbot.feed import Feed
from riskbot.journal import Journal
from riskbot.runner import Runner
from riskbot.runner.words import TEXTS
from tests.exchanges.venues import order
from tests.fakes import START_MS, FakeClock, FakeExchange, until
from tests.scenarios.daemon import Answer, Daemon, configuration
from tests.scenarios.seats import BINANCE, BTC, BYBIT, OKX, Seat, Venue, nightly
from tests.test_runner import ScriptedEngine

# Forms that change on the way: what a URL, JSON or base64 makes of them is not what was configured.
KEY = f"kEyCanary9f{os.getpid()}"
SECRET = "s3cretCanary/4+c=zz&1"
PASSPHRASE = "passCanary%7 phrase!"
TOKEN = "987654321:AAHcanary-token-of-nobody_0123456789ab"
WEBHOOK = "webhookCanary+secret/55"
NOTIFY_PASSWORD = "notifyCanary77"
HEARTBEAT = "heartCanary-uuid-8812"
MQTT = "mqttCanary:secret/66"
WRONG_SECRET = "wrongCanary/5+d=yy"
UNKNOWN_KEY = f"uNknownCanary7{os.getpid()}"

CANARIES = (
    *(KEY, SECRET, PASSPHRASE, TOKEN, WEBHOOK, NOTIFY_PASSWORD, HEARTBEAT, MQTT),
    *(WRONG_SECRET, UNKNOWN_KEY),
)


def forms(secret: str) -> set[bytes]:
    """Return a secret as it may turn up: plain, in a URL, in base64 at any offset, in hex."""
    data = secret.encode()
    found = {data, urllib.parse.quote(secret, safe="").encode(), data.hex().encode()}
    found |= {urllib.parse.quote(secret).encode(), urllib.parse.quote_plus(secret).encode()}
    for offset in range(3):
        whole = base64.b64encode(b"\0" * offset + data)[4 if offset else 0 :]
        core = whole[: len(data) // 3 * 4 - 4]
        found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def hits(text: bytes, canaries: Iterable[str] = CANARIES) -> list[str]:
    """Return the canaries that a text holds, in any form."""
    return [c for c in canaries if any(form in text for form in forms(c))]


def echo(passphrase: str = "") -> str:
    """Return what a talkative venue says: the request, its headers, and the keys in it."""
    coded = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    return (
        f"denied {SECRET} {urllib.parse.quote(SECRET, safe='')} {passphrase} {coded} of {KEY}: "
        f"GET https://venue.test/x?apiKey={KEY}&signature=00ff"
    )


def test_the_search_finds_every_form() -> None:
    for canary in CANARIES:
        told = [canary, urllib.parse.quote(canary, safe=""), canary.encode().hex()]
        told += [base64.b64encode(b"x" * n + canary.encode()).decode() for n in range(4)]
        assert all(hits(f"before {text} after".encode(), [canary]) for text in told)
    assert not hits(b"nothing of that kind")


# -------------------------------------------------------------------- the whole daemon


class Sink:
    """Takes what is posted to it; `status` is its answer."""

    def __init__(self) -> None:
        self.posts: list[bytes] = []
        self.status = 200
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        self.posts.append(await request.read())
        return web.Response(status=self.status)


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
    await runner.cleanup()


class Canary(Seat):
    """An account whose keys are canaries, and three more that cannot be logged in to."""

    def __init__(self, venue: Venue) -> None:
        super().__init__(venue)
        self.key, self.secret = KEY, SECRET
        more = {"passphrase": PASSPHRASE} if venue is OKX else {}
        self.ledger = self.server.add_account(
            KEY, SECRET, balance={"USDT": Decimal(100_000)}, **more
        )

    def accounts(self, folder: Path, *, by_file: bool) -> dict[str, Any]:
        """Return the section: one that works, a wrong signature, an unknown key, a lost host."""
        ccxt = self.server.ccxt_config()
        lost = _at_no_host(ccxt, f"127.0.0.1:{self.server.port}")
        keys = {
            "main": (KEY, SECRET, ccxt),
            "unknown": (UNKNOWN_KEY, SECRET, ccxt),
            "lost": (KEY, SECRET, lost),
        }
        if self.venue is not OKX:
            # A wrong secret under a right key: the venue checks the signature.
            keys["unsigned"] = (KEY, WRONG_SECRET, ccxt)
        return {name: self._account(folder, name, by_file, *k) for name, k in keys.items()}

    def _account(
        self, folder: Path, name: str, by_file: bool, key: str, secret: str, ccxt: Any
    ) -> dict[str, Any]:
        fields = {"api_key": key, "api_secret": secret}
        if self.venue is OKX:
            fields["api_password"] = PASSPHRASE
        if by_file:
            for field, value in list(fields.items()):
                file = folder / "keys" / f"{name}.{field}"
                _private(file, fields.pop(field))
                fields[f"{field}_file"] = f"keys/{file.name}"
                assert value
        return {"exchange": self.venue.exchange_id, **fields, "ccxt": ccxt}

    def talk_back(self) -> None:
        """Have the venue refuse everything for a while, telling all it knows."""
        words = echo(PASSPHRASE if self.venue is OKX else "")
        for path in (self.venue.positions_path, self.venue.order_path):
            self.strike("error", None, path=path, message=words)


def _private(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)


def _at_no_host(urls: Any, host: str) -> Any:
    if isinstance(urls, dict):
        return {name: _at_no_host(part, host) for name, part in urls.items()}
    return urls.replace(host, "venue.invalid") if isinstance(urls, str) else urls


def sections(folder: Path, sink: Sink, *, by_file: bool) -> dict[str, Any]:
    """Return every other section that holds a secret; what they name refuses or does not exist."""
    closed, base = "127.0.0.1:9", f"127.0.0.1:{sink.port}"
    secrets = {
        "token": TOKEN,
        "password": MQTT,
        "secret": WEBHOOK,
    }

    def secret(name: str) -> dict[str, str]:
        if not by_file:
            return {name: secrets[name]}
        _private(folder / "keys" / name, secrets[name])
        return {f"{name}_file": f"keys/{name}"}

    return {
        "telegram": {
            **secret("token"),
            "api_base_url": f"http://{closed}",
            "users": {1: "admin"},
        },
        "notify": [
            {"url": f"json://user:{NOTIFY_PASSWORD}@{base}/{NOTIFY_PASSWORD}"},
            {"url": f"json://user:{NOTIFY_PASSWORD}@{closed}/{NOTIFY_PASSWORD}"},
        ],
        "webhooks": [
            {"url": f"http://{base}/hook", **secret("secret")},
            {"url": f"http://{closed}/hook", "secret": WEBHOOK},
        ],
        "mqtt": {"host": "127.0.0.1", "port": 9, "username": "u", **secret("password")},
        "heartbeat_url": f"http://{closed}/ping/{HEARTBEAT}",
    }


def written(folder: Path) -> dict[str, bytes]:
    """Return all that riskbot wrote, by name; the user's own files apart."""
    own = {folder / "riskbot.yaml"}
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file not in own and file.parent.name != "keys"
    }


def processes(daemon: Daemon) -> dict[str, bytes]:
    """Return command line and environment of the daemon and of what it started."""
    assert daemon.process is not None
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            parent = int(stat.rpartition(")")[2].split()[1])
            if daemon.process.pid in {int(folder.name), parent}:
                for name in ("cmdline", "environ"):
                    found[f"{folder}/{name}"] = (folder / name).read_bytes()
        except OSError:
            continue
    return found


def told(answers: dict[str, Answer]) -> dict[str, bytes]:
    """Return what subcommands printed."""
    return {name: f"{a.out}\n{a.err}".encode() for name, a in answers.items()}


async def through_trouble(daemon: Daemon, seat: Canary) -> None:
    """Let the daemon meet each error of the wire."""
    seen = {"main"}

    def met(status: dict[str, Any]) -> bool:
        blind = {entry["what"].rpartition(":")[2] for entry in status["blind"]}
        return blind >= set(daemon.config["accounts"]) - seen and bool(status["alerts"])

    await daemon.until_status(met, "all but one account blind")
    seat.talk_back()
    seat.strike("frame_undecodable", 2)
    seat.strike("sockets_refused", 3)
    await seat.server.stop()
    await seat.server.start()
    words = ("flatten", "--account", "main", "--yes", "--wait", "3")
    flattening = asyncio.create_task(daemon.ctl(*words))
    seen.clear()
    await daemon.until_status(met, "no account in sight")
    await flattening
    for kind, params in (
        ("reply_html", {}),
        ("reply_null", {}),
        ("reply_truncated", {}),
        ("rate_limited", {"retry_after": 0}),
    ):
        seat.heal()
        seat.strike(kind, None, path=seat.venue.positions_path, **params)
        await asyncio.sleep(1.5)
    seat.heal()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("venue", "by_file"), [nightly(BINANCE, False), (BYBIT, True), nightly(OKX, False)], ids=str
)
async def test_no_error_path_of_the_daemon_shows_a_secret(
    venue: Venue, by_file: bool, tmp_path: Path, sink: Sink
) -> None:
    seat = Canary(venue)
    await seat.open()
    seat.hold(BTC, 1)
    seats: dict[str, Seat] = {"main": seat}
    config = configuration(seats, {}, {}, **sections(tmp_path, sink, by_file=by_file))
    config["accounts"] = seat.accounts(tmp_path, by_file=by_file)
    daemon = Daemon(tmp_path, seats, config)
    daemon.is_warm = False  # a fork's command line and environment are not its own in /proc
    daemon.write()
    answers = {"check": await daemon.run("check")}
    # The same key stands in several accounts: it is locked once.
    await daemon.start(PYTHONFAULTHANDLER="1")
    try:
        await through_trouble(daemon, seat)
        for words in ("status", "alerts", "decisions", "positions", "limits"):
            answers[words] = await daemon.ctl(words)
        shown = processes(daemon)
        seat.talk_back()
        answers["connect"] = await daemon.run("check", "--connect")
        answers["kill"] = await daemon.run("kill", "--flatten", "--timeout", "4")
        wal = written(tmp_path)
        assert await daemon.stop() == 0
    finally:
        await daemon.kill()
        await seat.close()
    shown |= told(answers) | {f"live {k}": v for k, v in wal.items()} | written(tmp_path)
    shown |= {f"post {n}": post for n, post in enumerate(sink.posts)}
    canaries = [*CANARIES, *listen_keys(seat), *signatures(seat)]
    assert {name: found for name, text in shown.items() if (found := hits(text, canaries))} == {}
    # The search was worth it: the paths were taken, and their words are there.
    assert sink.posts
    assert any(name.endswith("/environ") for name in shown)
    assert b"denied ***" in shown["log"] + shown["kill"]
    assert b"denied ***" in b"".join(v for k, v in shown.items() if "journal" in k)


def listen_keys(seat: Canary) -> list[str]:
    """Return the listen keys the venue gave out."""
    given = [getattr(a, "listen_key", "") for a in getattr(seat.server, "accounts", {}).values()]
    return [key for key in given if key]


def signatures(seat: Canary) -> list[str]:
    """Return the signatures that stood in URLs."""
    found = {str(r.params["signature"]) for r in seat.server.requests if "signature" in r.params}
    return sorted(found)[:50]


# -------------------------------------------------------------------- inside the process


@pytest.fixture
def known() -> Iterable[None]:
    """Let the process know the canaries, as reading the configuration does."""
    redaction.learn(CANARIES)
    yield
    redaction.learn(())


@pytest.mark.usefixtures("known")
async def test_adapter_that_breaks_with_a_secret_in_its_words_leaves_none_in_the_journal(
    tmp_path: Path,
) -> None:
    clock, path = FakeClock(), tmp_path / "journal.db"
    journal = await Journal.open(path, START_MS)
    script: dict[type, Any] = {}
    spoken: list[str] = []
    runner: Runner[ScriptedEngine, Any] = Runner(
        journal, lambda: ScriptedEngine(script), clock, lambda *_: None, tell=spoken.append
    )
    await runner.recover()
    task = asyncio.create_task(runner.run())
    venue = FakeExchange(clock=clock)
    words = f"GET /x?key={KEY} {echo()}"
    venue.will("place", RuntimeError(words))
    venue.will("cancel", RuntimeError(words))
    venue.will("find", RuntimeError(words))
    venue.will("open", RuntimeError(words))
    executor = Executor(venue, runner.submit, clock)
    feed = Feed(venue, runner.submit, clock, random.Random(1), MonitorSettings())
    kinds = {"OrderOutcomeUnknown", "CancelFinished", "OrderQueried", "RefreshFailed", "FeedLost"}

    def broken(event: events.Event) -> list[actions.Action]:
        raise ValueError(words)

    async with asyncio.timeout(30):
        seeing = asyncio.create_task(feed.run())
        try:
            executor.do(order())
            executor.do(actions.CancelOrder(account="main", symbol=BTC, order_id="1"))
            executor.do(actions.QueryOrder(account="main", symbol=BTC, client_order_id="rb1"))
            seen: list[events.Event] = []
            while not kinds <= {type(event).__name__ for event in seen}:
                await clock.advance(500)
                venue.break_stream(RuntimeError(words))
                seen = list(runner.engine.handled)
            script[events.Stopping] = broken
            runner.submit(events.Stopping())
            await until(lambda: spoken)
        finally:
            seeing.cancel()
            runner.stop()
            await asyncio.gather(task, seeing, return_exceptions=True)
            live = {f.name: hits(f.read_bytes()) for f in tmp_path.iterdir()}
            await journal.close()
    assert [e for e in seen if hits(repr(e).encode())] == []
    assert hits("".join(spoken).encode()) == []
    assert "denied ***" in spoken[0]
    assert {name: found for name, found in live.items() if found} == {}
    assert b"denied ***" in path.read_bytes()


def test_every_text_of_the_world_in_an_event_is_on_the_list() -> None:
    written_by_others = {"message", "reason", "error", "detail"}
    found = {
        (kind, field.name)
        for kind in get_args(events.Event)
        for field in dataclasses.fields(kind)
        if field.name in written_by_others and str(field.type) == "str"
    }
    assert found == {(kind, name) for kind, names in TEXTS.items() for name in names}


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("canary", CANARIES, ids=range(len(CANARIES)))
def test_secret_cut_in_the_middle_goes_too(canary: str) -> None:
    for length in range(len(canary) - 1, 6, -1):
        for end in ("", "…"):
            shown = redaction.redact(f"refused {canary[:length]}{end}")
            assert shown.startswith("refused ***")
            assert canary[:7] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "503, message='Invalid response status', url='wss://fstream.venue.test/ws/{0}'",
        "wss://fstream.venue.test/private/ws?listenKey={0}&events=ORDER_TRADE_UPDATE",
        'PUT /fapi/v1/listenKey {{"listenKey":"{0}"}}',
        "This listenKey {0} does not exist",
    ],
)
def test_listen_key_is_hidden_wherever_it_stands(text: str) -> None:
    listen_key = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65A1"
    assert listen_key not in redaction.redact(text.format(listen_key))


def test_reading_a_configuration_makes_its_secrets_known(tmp_path: Path) -> None:
    file = tmp_path / "riskbot.yaml"
    lines = (
        "accounts:\n"
        f"  main: {{exchange: bybit, api_key: {KEY}, api_secret: '{SECRET}'}}\n"
        f"  other: {{exchange: bybit, ccxt: {{apiKey: k{KEY}, secret: '{WRONG_SECRET}'}}}}\n"
        "portfolio: {preset: leveraged}\n"
    )
    _private(file, lines)
    for read in (load, load_accounts):
        redaction.learn(())
        read(file)
        shown = redaction.redact(f"{KEY} {SECRET} {WRONG_SECRET}")
        redaction.learn(())
        assert shown == "*** *** ***"


CRASH = """
import sys, types
from riskbot import __main__, cli
from riskbot.config import load

def main(name, argv):
    config = load(argv[0])
    secret = config.accounts["main"].api_secret.get_secret_value()
    raise {error}(f"cannot sign with {{secret}} as told")

sys.modules["crash"] = types.SimpleNamespace(main=main)
cli.COMMANDS = (("crash", "crash", ""),)
sys.exit(__main__.main(["crash", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("error", "code"), [("RuntimeError", 70), ("__import__('riskbot.errors').errors.UsageError", 2)]
)
def test_traceback_of_a_crash_holds_no_secret(tmp_path: Path, error: str, code: int) -> None:
    file = tmp_path / "riskbot.yaml"
    account = f"{{exchange: bybit, api_key: {KEY}, api_secret: '{SECRET}'}}"
    _private(file, f"accounts: {{main: {account}}}\nportfolio: {{preset: leveraged}}\n")
    done = subprocess.run(
        [sys.executable, "-c", CRASH.format(error=error), str(file)],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == code, done.stderr
    assert b"cannot sign with *** as told" in done.stderr
    assert hits(done.stdout + done.stderr) == []
