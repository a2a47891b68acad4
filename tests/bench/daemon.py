"""`riskbot run` as a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.bench.table import NotYetError

STOP_S = 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[2]

# Losses and counts of a bench are no risk: out of the way, so that only the measured limit acts.
WIDE: dict[str, Any] = {
    "net_exposure": {"max": 10.0},
    "asset_exposure": {"max": 10.0},
    "sector_exposure": {"max": 10.0},
    "group_exposure": {"max": 10.0},
    "position_size": {"max": 10.0},
    "stop_risk": {"max": 1.0},
    "drawdown": {"max": 0.9},
    "daily_loss": {"max": 0.9},
    "weekly_drawdown": {"max": 0.9},
    "rolling_loss": {"max": 0.9},
    "maintenance_margin": {"max": 0.9},
    "liquidation_distance": {"min": 0.01},
    "trades_per_day": "off",
    "open_positions": "off",
}


class Daemon:
    """A running daemon.

    Attributes:
        folder: its own directory.
        process: it.
        started: monotonic seconds at exec.
    """

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process
        self.started = time.monotonic()

    def say(self) -> str:
        """Return the end of what it wrote."""
        return (self.folder / "log").read_text(errors="replace")[-2_000:]

    def last_word(self) -> str:
        """Return the last line it wrote, shortened."""
        lines = self.say().strip().splitlines()
        return lines[-1][:120] if lines else "no word"

    async def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> None:
        """Wait until something holds.

        Raises:
            NotYetError: it does not come to hold; says what the daemon wrote last.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise NotYetError(f"riskbot run: {self.last_word()}")
            await asyncio.sleep(0.02)

    async def ask(self, name: str, **args: Any) -> dict[str, Any]:
        """Return the final reply of the local door to one command."""
        path = self.folder / "state" / "riskbot.sock"
        reader, writer = await asyncio.open_unix_connection(path, limit=2**24)
        try:
            request = {"name": name, "args": args, "wait_s": 60}
            writer.write(json.dumps(request).encode() + b"\n")
            while line := await reader.readline():
                reply: dict[str, Any] = json.loads(line)
                if reply.get("final"):
                    return reply
        finally:
            writer.close()
        raise NotYetError(f"the local door broke off at {name}")

    async def confirmed(self, name: str, **args: Any) -> dict[str, Any]:
        """Return the final reply to a command that is planned first, then confirmed."""
        reply = await self.ask(name, **args)
        while reply["ok"] and reply.get("plan_id"):
            reply = await self.ask(name, **args, plan_id=reply["plan_id"])
        return reply

    async def status(self) -> dict[str, Any]:
        """Return the status document, empty while nobody answers."""
        try:
            return (await self.ask("view", of="status")).get("document") or {}
        except (OSError, NotYetError, ValueError):
            return {}

    async def until_guarding(self, seconds: float = 30.0) -> None:
        """Wait until every account is in sight."""
        deadline = time.monotonic() + seconds
        while True:
            status = await self.status()
            if status and not status.get("blind"):
                return
            await self.until(lambda: True)
            if self.process.returncode is not None or time.monotonic() > deadline:
                why = status.get("blind") or self.last_word()
                raise NotYetError(f"riskbot run does not guard: {why}")
            await asyncio.sleep(0.05)

    def cpu_s(self) -> float:
        """Return the CPU seconds it and its children have used."""
        return sum(_cpu_s(pid) for pid in family(self.process.pid))

    def rss_mb(self) -> list[float]:
        """Return the resident MB of the guard, then of each of its children."""
        return [_rss_mb(pid) for pid in family(self.process.pid)]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


def family(pid: int) -> list[int]:
    """Return a process and those it started, itself first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for member in found:
        found += sorted(parents.get(member, []))
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _rss_mb(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def configuration(
    accounts: dict[str, Any], limits: dict[str, Any] | None = None, **sections: Any
) -> dict[str, Any]:
    """Return a configuration: enforce, the `directional` preset made wide, then `limits`."""
    return {
        "instance": "bench",
        "mode": "enforce",
        "state_dir": "state",
        "accounts": accounts,
        # Each breach begins in an ordinary state, not in the hold of the one before.
        "portfolio": {
            "preset": "directional",
            "clear_for_s": 0.0,
            "limits": WIDE | (limits or {}),
        },
        **sections,
    }


@asynccontextmanager
async def daemon(
    config: dict[str, Any], module: str = "riskbot", env: dict[str, str] | None = None
) -> AsyncIterator[Daemon]:
    """Run the daemon on a configuration in a directory of its own; SIGTERM at the end."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as name:
        folder = Path(name)
        path = folder / "riskbot.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        (folder / "state").mkdir(mode=0o700)
        with (folder / "log").open("w") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", module, "run", "--config", str(path)),
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
            )
        running = Daemon(folder, process)
        try:
            yield running
        finally:
            running.signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                running.signal(signal.SIGKILL)
                await process.wait()
