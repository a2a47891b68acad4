"""A real mosquitto on a free port, with passwords, rights and TLS, and somebody who listens."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
PASSWD = shutil.which("mosquitto_passwd")
MISSING = "" if PROGRAM and PASSWD else "mosquitto is not installed (apt install mosquitto)"

WATCHER = "watcher"
PATIENCE_S = 45.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """One broker; its port stays the same over restarts.

    Args:
        folder: for its files.
        users: password by name; `watcher` is added, who may read everything.
        acl: lines of its ACL file; none = everybody may do everything.
        nodelay: `set_tcp_nodelay`.
        tls: (certificate authority, certificate, key) of a TLS listener.
        asks_for: whether clients must show a certificate.
        more: further lines of mosquitto.conf.
    """

    def __init__(
        self,
        folder: Path,
        users: dict[str, str] | None = None,
        acl: Iterable[str] = (),
        *,
        nodelay: bool = True,
        tls: tuple[Path, Path, Path] | None = None,
        asks_for: bool = False,
        more: Iterable[str] = (),
    ) -> None:
        self.folder, self.port, self.tls = folder, free_port(), tls
        self.users = {**(users or {}), WATCHER: "sees-it-all"}
        self.process: asyncio.subprocess.Process | None = None
        folder.mkdir(exist_ok=True)
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"user {getpass.getuser()}",
            "allow_anonymous false",
            f"password_file {self._passwords()}",
            f"set_tcp_nodelay {'true' if nodelay else 'false'}",
            "log_dest file " + str(folder / "mosquitto.log"),
            "log_type all",
            *more,
        ]
        if acl:
            rights = folder / "acl"
            rights.write_text("\n".join([*acl, f"user {WATCHER}", "topic readwrite #", ""]))
            rights.chmod(0o600)
            lines.append(f"acl_file {rights}")
        if tls is not None:
            lines += [f"cafile {tls[0]}", f"certfile {tls[1]}", f"keyfile {tls[2]}"]
            lines += [f"require_certificate {'true' if asks_for else 'false'}"]
        self.conf = folder / "mosquitto.conf"
        self.conf.write_text("\n".join(lines) + "\n")

    def _passwords(self) -> Path:
        file = self.folder / "passwords"
        file.touch(mode=0o600)
        for name, password in self.users.items():
            subprocess.run([str(PASSWD), "-b", str(file), name, password], check=True)
        return file

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), "-c", str(self.conf)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                assert self.process.returncode is None, self.log()
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """Kill it as a power cut would; what it retained is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            await self.process.wait()

    def pause(self) -> None:
        """Let it hang: its sockets stay open, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End the hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Return what it wrote."""
        return (self.folder / "mosquitto.log").read_text(errors="replace")

    def client(self, user: str = WATCHER, **options: Any) -> aiomqtt.Client:
        """Return a client of a user."""
        context = None
        if self.tls is not None:
            context = ssl.create_default_context(cafile=str(self.tls[0]))
        return aiomqtt.Client(
            "127.0.0.1",
            self.port,
            username=user,
            password=self.users[user],
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=context,
            **options,
        )


@dataclass(frozen=True)
class Heard:
    """One message as a listener got it."""

    topic: str
    payload: bytes
    retain: bool
    correlation: bytes | None = None

    @property
    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.payload)


class Listener:
    """Somebody who subscribed to everything; `heard` in the order it came."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[Heard] = []

    def on(self, topic: str) -> list[Heard]:
        """Return what was published on a topic."""
        return [message for message in self.heard if message.topic == topic]

    async def until(
        self, condition: Callable[[], Any], what: str = "", seconds: float = PATIENCE_S
    ) -> None:
        """Wait until something holds of what was heard."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            last = [(m.topic, m.retain, m.payload[:80]) for m in self.heard[-20:]]
            raise AssertionError(f"not heard in time: {what}; heard {last}") from None

    async def say(
        self,
        topic: str,
        payload: bytes | str,
        *,
        retain: bool = False,
        answer_to: str = "",
        correlation: bytes = b"",
    ) -> None:
        """Publish something."""
        more = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if answer_to:
            more.ResponseTopic = answer_to
        if correlation:
            more.CorrelationData = correlation
        await self.client.publish(topic, payload, 1, retain, more)


@asynccontextmanager
async def listening(broker: Mosquitto, user: str = WATCHER) -> AsyncIterator[Listener]:
    """Subscribe to everything, what is retained included, and collect it."""
    async with broker.client(user) as client:
        listener = Listener(client)
        await client.subscribe("#", options=SubscribeOptions(qos=1))
        task = asyncio.create_task(_collect(listener))
        try:
            yield listener
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _collect(listener: Listener) -> None:
    async for message in listener.client.messages:
        listener.heard.append(
            Heard(
                str(message.topic),
                bytes(message.payload),
                bool(message.retain),
                getattr(message.properties, "CorrelationData", None),
            )
        )


async def retained(broker: Mosquitto, topic: str, seconds: float = 1.0) -> bytes | None:
    """Return what the broker keeps on a topic, None = nothing."""
    async with broker.client() as client:
        await client.subscribe(topic, 1)
        try:
            async with asyncio.timeout(seconds):
                async for message in client.messages:
                    if message.retain:
                        return bytes(message.payload)
        except TimeoutError:
            pass
    return None
