"""`riskbot run` as a process of its own, on accounts at protocol servers: the stage of stories.

A story plants, moves and breaks things at the venue and reads what happened in the venue's ledger
and in riskbot's own documents, as an operator's script would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from riskbot.frontends._socket import short_path
from tests.scenarios import warm
from tests.scenarios.patience import Watch
from tests.scenarios.seats import Seat

ROOT = Path(__file__).parents[2]
PATIENCE_S = 45.0
"""How long anything may take before a story fails."""

# What `directional` switches on; a story names the limits that it is about.
PRESET_LIMITS = (
    "gross_exposure net_exposure asset_exposure sector_exposure group_exposure position_size "
    "open_positions drawdown daily_loss weekly_drawdown rolling_loss trades_per_day "
    "maintenance_margin liquidation_distance hedge_drift value_at_risk peg_deviation"
).split()

DRAWDOWN = {"drawdown": {"max": 0.15, "on_breach": "flatten", "latch": True}}


@dataclass(frozen=True)
class Answer:
    """What a command printed. `document` is its standard output as JSON, if it is."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the one JSON document on standard output."""
        return json.loads(self.out)


class Daemon:
    """A configuration in a directory, the accounts it names, and the process that guards them.

    Attributes:
        folder: has the configuration, the state directory and the log.
        seats: accounts by name.
        config: as written; `write` writes it anew.
        process: the daemon, None before the first start.
        is_warm: processes start with the imports done (tests/scenarios/warm.py).
    """

    is_warm = True

    def __init__(self, folder: Path, seats: dict[str, Seat], config: dict[str, Any]) -> None:
        self.folder, self.seats, self.config = folder, seats, config
        self.path = folder / "riskbot.yaml"
        self.state_dir = folder / "state"
        self.process: asyncio.subprocess.Process | warm.Process | None = None
        self.log = folder / "log"

    @property
    def seat(self) -> Seat:
        """The first account."""
        return next(iter(self.seats.values()))

    # ------------------------------------------------------------ the process

    def write(self) -> None:
        """Write the configuration."""
        self.path.touch(mode=0o600)
        self.path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    async def start(self, crash_at: str = "", **env: str) -> None:
        """Start the daemon; `crash_at` is where it kills itself (riskbot/crashpoint.py)."""
        more = {"RISKBOT_CRASH_AT": crash_at} if crash_at else {}
        with self.log.open("ab") as log:
            log.write(f"--- started{' to die at ' if crash_at else ''}{crash_at}\n".encode())
            log.flush()
            if self.is_warm and not more | env:
                words = ["run", "--config", str(self.path)]
                self.process = await warm.start(words, log, log, ROOT)
                return
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "riskbot", "run", "--config", str(self.path)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **more, **env},
            )

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.returncode is None

    def signal(self, number: int) -> None:
        """Send the daemon a signal."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def ended(self, seconds: float = PATIENCE_S) -> int:
        """Wait for the daemon to end and return its exit code (-9 after SIGKILL)."""
        assert self.process is not None
        try:
            return await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            raise AssertionError(f"the daemon has not ended; it said: {self.said()}") from None

    async def kill(self) -> None:
        """Kill it as a power cut would."""
        if self.is_running:
            self.signal(signal.SIGKILL)
            await self.ended()

    async def stop(self) -> int:
        """Ask it to end (SIGTERM) and return the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def restart(self, crash_at: str = "") -> None:
        """Kill it, start another on the same state, and wait until that one sees."""
        await self.kill()
        await self.start(crash_at)
        if not crash_at:
            await self.ready()

    def watch(self) -> Watch:
        """Return a stop watch that leaves out what a busy machine does not give the daemon."""
        return Watch(lambda: self.process.pid if self.process and self.is_running else None)

    def said(self, size: int = 3_000) -> str:
        """Return the end of what it wrote."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    # ------------------------------------------------------------ asking

    async def ask(self, name: str, wait_s: float = 30.0, **args: Any) -> dict[str, Any]:
        """Return the last answer of the local door.

        Raises:
            OSError: nobody listens, or it went away.
        """
        with short_path(self.state_dir / "riskbot.sock") as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=2**24)
        try:
            request = {"name": name, "args": args, "wait_s": wait_s}
            writer.write(json.dumps(request).encode() + b"\n")
            while line := await reader.readline():
                answer: dict[str, Any] = json.loads(line)
                if answer.get("final"):
                    return answer
        finally:
            writer.close()
        raise ConnectionResetError(name)

    async def status(self) -> dict[str, Any]:
        """Return the document of `ctl status`, empty while nobody answers."""
        try:
            return (await self.ask("status")).get("document") or {}
        except OSError:
            return {}

    async def run(
        self, *words: str, seconds: float = 90.0, through: tuple[str, ...] = ()
    ) -> Answer:
        """Run `riskbot WORDS`, the configuration added, and return what it printed.

        `through` is a command that runs it under other conditions.
        """
        if self.is_warm and not through:
            return await self._run_warm([*words, "--config", str(self.path)], seconds)
        process = await asyncio.create_subprocess_exec(
            *(*through, sys.executable, "-m", "riskbot", *words, "--config", str(self.path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise
        assert process.returncode is not None
        return Answer(process.returncode, out.decode(), err.decode())

    async def _run_warm(self, words: list[str], seconds: float) -> Answer:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = await warm.start(words, out, err, ROOT)
            try:
                code = await asyncio.wait_for(process.wait(), seconds)
            except TimeoutError:
                process.kill()
                await process.wait()
                raise
            out.seek(0)
            err.seek(0)
            return Answer(code, out.read().decode(), err.read().decode())

    async def ctl(self, *words: str) -> Answer:
        """Run `riskbot ctl WORDS --json`."""
        return await self.run("ctl", *words, "--json")

    async def decisions(self) -> list[str]:
        """Return the kinds of decisions in the audit, oldest first."""
        rows = (await self.ctl("decisions")).document
        return [row["kind"] for row in sorted(rows, key=lambda row: row["seq"])]

    # ------------------------------------------------------------ waiting

    async def until(
        self, condition: Callable[[], Any], what: str = "", seconds: float = PATIENCE_S
    ) -> None:
        """Wait until something holds at the venue.

        Raises:
            AssertionError: it does not, or the daemon died of itself.
        """
        watch = self.watch()
        while not condition():
            if not self.is_running:
                raise AssertionError(f"the daemon ended while waiting ({what}): {self.said()}")
            if watch.seconds() > seconds:
                status = await self.status()
                shown = {k: status.get(k) for k in ("trading_state", "holds", "blind", "intents")}
                raise AssertionError(f"not in time: {what}\n{shown}\n{self.said()}")
            await asyncio.sleep(0.02)

    async def until_status(
        self,
        condition: Callable[[dict[str, Any]], Any],
        what: str = "",
        seconds: float = PATIENCE_S,
    ) -> dict[str, Any]:
        """Wait until the status says so; return it.

        Raises:
            AssertionError: it does not, or the daemon died of itself.
        """
        watch = self.watch()
        while True:
            status = await self.status()
            if status and condition(status):
                return status
            if not self.is_running:
                raise AssertionError(f"the daemon ended while waiting ({what}): {self.said()}")
            if watch.seconds() > seconds:
                shown = json.dumps(status, indent=1)[:6_000]
                raise AssertionError(f"not in time: {what}\n{shown}\n{self.said()}")
            await asyncio.sleep(0.05)

    async def ready(self) -> dict[str, Any]:
        """Wait until every account is in sight with prices."""
        # One that starts for the fifth time within a minute waits for the venue's next.
        return await self.until_status(
            lambda s: not s["blind"] and not s["starting"] and s["equity_usd"] is not None,
            "every account in sight",
            2 * PATIENCE_S,
        )

    async def halted(self) -> dict[str, Any]:
        """Wait until it is halted with nothing left to do."""
        return await self.until_status(
            lambda s: s["trading_state"] == "HALTED" and not s["intents"], "halted, work ended"
        )

    def is_flat(self) -> bool:
        """Whether the venues themselves say that nothing is held."""
        return all(seat.is_flat() for seat in self.seats.values())

    async def calm(self, seconds: float) -> None:
        """Let time pass in which something must not happen."""
        await asyncio.sleep(seconds)
        assert self.is_running, self.said()


def alert_of(status: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the firing alert of a name."""
    return next((a for a in status["alerts"] if a["limit"] == name), None)


def limit_of(status: dict[str, Any], name: str, scope: str = "portfolio") -> dict[str, Any]:
    """Return the row of one limit."""
    rows = (r for r in status["limits"] if (r["name"], r["scope"]) == (name, scope))
    return next(rows)


def configuration(
    seats: dict[str, Seat], limits: dict[str, Any], portfolio: dict[str, Any], **sections: Any
) -> dict[str, Any]:
    """Return a configuration in which only the limits of the story are on."""
    on = dict.fromkeys(PRESET_LIMITS, "off") | limits
    return {
        "instance": "test",
        "mode": "enforce",
        "state_dir": "state",
        "accounts": {name: seat.section() for name, seat in seats.items()},
        "portfolio": {"preset": "directional", "limits": on, **portfolio},
        **sections,
    }


@asynccontextmanager
async def guarded(
    folder: Path,
    *seats: Seat,
    limits: dict[str, Any] | None = None,
    portfolio: dict[str, Any] | None = None,
    starts: bool = True,
    **sections: Any,
) -> AsyncIterator[Daemon]:
    """Start the venues and a daemon that guards the seats; check the nevers at the end.

    Args:
        folder: of the test alone.
        seats: accounts, positions in place.
        limits: of the portfolio; all others are off.
        portfolio: further keys of that section.
        starts: whether the daemon is started and waited for.
        sections: further sections of the configuration, such as `mode`.
    """
    by_name = {seat.name: seat for seat in seats}
    for seat in seats:
        await seat.open()
    config = configuration(by_name, limits or {}, portfolio or {}, **sections)
    daemon = Daemon(folder, by_name, config)
    daemon.write()
    try:
        if starts:
            await daemon.start()
            await daemon.ready()
        yield daemon
        assert [fault for seat in seats for fault in seat.verdict()] == []
    finally:
        if daemon.is_running:
            daemon.signal(signal.SIGCONT)
            await daemon.kill()
        for seat in seats:
            await seat.close()
