"""The process as its service manager sees it: ready, alive, stopped in every state."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.daemon import Daemon, guarded
from tests.scenarios.seats import BINANCE, BTC, Seat

TERM_S = 45.0
"""TimeoutStopSec of the unit: by then it has ended by itself."""


class Manager:
    """The service manager's end of the notify socket."""

    def __init__(self, path: Path) -> None:
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.door.bind(str(path))
        self.door.setblocking(False)
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "4000000"}
        self.said: list[str] = []

    def heard(self, word: str) -> list[str]:
        """Return every line so far that begins with a word."""
        while True:
            try:
                self.said += self.door.recv(4096).decode().splitlines()
            except BlockingIOError:
                return [line for line in self.said if line.startswith(word)]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.door.close()


async def stopped(daemon: Daemon) -> int:
    """Send SIGTERM and return the exit code; it ends before the unit would kill it."""
    daemon.signal(signal.SIGTERM)
    return await daemon.ended(TERM_S)


async def test_venue_away_at_the_start_is_ready_blind_with_its_reason_and_stops(
    tmp_path: Path, manager: Manager
) -> None:
    seat = Seat(BINANCE)
    async with guarded(tmp_path, seat, starts=False) as daemon:
        await seat.close()
        await daemon.start(**manager.env)
        status = await daemon.until_status(
            lambda s: manager.heard("") and "exchangeInfo" in str(s["alerts"]), "told why"
        )
        assert manager.heard("READY=1")
        assert "1 blind" in manager.heard("STATUS=")[-1]
        assert status["accounts"]["main"]["blind"]
        assert status["blind"]
        # A dead venue never restarts the guard: it stays fed.
        await daemon.until(lambda: len(manager.heard("WATCHDOG=1")) >= 3, "fed")
        assert await stopped(daemon) == 0
        assert manager.heard("STOPPING=1")
        await seat.open()


async def test_process_that_stands_still_is_not_fed_and_goes_on_afterwards(
    tmp_path: Path, manager: Manager
) -> None:
    async with guarded(tmp_path, Seat(BINANCE), starts=False) as daemon:
        await daemon.start(**manager.env)
        await daemon.ready()
        await daemon.until(lambda: manager.heard("WATCHDOG=1"), "fed")
        daemon.signal(signal.SIGSTOP)
        await asyncio.sleep(0.5)
        before = len(manager.heard("WATCHDOG=1"))
        await asyncio.sleep(6)
        assert len(manager.heard("WATCHDOG=1")) == before
        daemon.signal(signal.SIGCONT)
        await daemon.until(lambda: len(manager.heard("WATCHDOG=1")) > before, "fed again")
        await daemon.ready()
        assert await stopped(daemon) == 0


@pytest.mark.nightly
async def test_stop_while_a_flatten_cannot_end_leaves_in_time_and_the_next_one_goes_on(
    tmp_path: Path,
) -> None:
    seat = Seat(BINANCE)
    async with guarded(tmp_path, seat, starts=False) as daemon:
        seat.hold(BTC, 1)
        await daemon.start()
        await daemon.ready()
        seat.strike("maintenance", None, path=seat.venue.order_path)
        asking = asyncio.create_task(daemon.ctl("flatten", "--yes", "--wait", "90"))
        await daemon.until_status(lambda s: s["trading_state"] == "HALTED", "halted")
        assert await stopped(daemon) == 0
        assert (await asking).code == 1
        seat.heal()
        await daemon.start()
        await daemon.until(daemon.is_flat, "flat")
        assert await stopped(daemon) == 0


async def test_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    async with guarded(tmp_path, Seat(BINANCE), starts=False) as daemon:
        daemon.state_dir.write_text("in the way")
        await daemon.start()
        assert await daemon.ended() == 78
        assert f"state_dir: cannot make {daemon.state_dir}: File exists" in daemon.said()
