"""What people and machines get wrong: a clear sentence, the right exit code, nothing lost."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.config import JOURNAL_NAME
from tests.scenarios.daemon import DRAWDOWN, Daemon, alert_of, guarded
from tests.scenarios.seats import BINANCE_FIRST, BTC, BYBIT_FIRST, ETH, Seat, Venue, glide, nightly

Config = dict[str, Any]
MISSING = "NOPE/USDT:USDT"


def account(**changes: Any) -> Callable[[Config], None]:
    """Return a change of the account's section."""

    def change(config: Config) -> None:
        config["accounts"]["main"].update(changes)

    return change


def portfolio(**changes: Any) -> Callable[[Config], None]:
    """Return a change of the portfolio's section."""

    def change(config: Config) -> None:
        config["portfolio"].update(changes)

    return change


def no_secret_file(config: Config) -> None:
    section = config["accounts"]["main"]
    del section["api_key"]
    section["api_key_file"] = "missing.key"


def limit(name: str, **fields: Any) -> Callable[[Config], None]:
    """Return a change of one limit."""

    def change(config: Config) -> None:
        config["portfolio"]["limits"][name] = fields

    return change


OFFLINE: dict[str, tuple[Callable[[Config], None], str]] = {
    "exchange": (account(exchange="bynance"), "accounts.main.exchange"),
    "secret file": (no_secret_file, "accounts.main.api_key_file"),
    "unknown key": (account(leverge=3), "accounts.main.leverge"),
    "percent": (limit("drawdown", max=15), "portfolio.limits.drawdown.max"),
    "sign": (limit("weekly_loss", max=-0.15), "portfolio.limits.weekly_loss.max"),
    "type": (limit("gross_exposure", max="much"), "portfolio.limits.gross_exposure.max"),
    "no limit": (limit("drowdown", max=0.15), "portfolio.limits.drowdown"),
    "hedge account": (
        portfolio(hedges={"BTC": {"account": "nobody", "instrument": BTC, "max_usd": 1000}}),
        "portfolio.hedges.BTC.account",
    ),
}


async def test_faults_of_the_file_are_named_all_at_once_and_end_with_78(tmp_path: Path) -> None:
    # Given a configuration with one fault of each kind.
    seat = Seat()
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        for change, _ in OFFLINE.values():
            change(daemon.config)
        daemon.write()
        # Then `check` and `run` end with 78 and a sentence for each, which begins with the key.
        for command in ("check", "run"):
            answer = await daemon.run(command)
            assert answer.code == 78
            missing = [key for _, key in OFFLINE.values() if f"  {key}: " not in answer.err]
            assert not missing, answer.err
        # And nobody was asked anything, and nothing written.
        assert seat.server.requests == []
        assert not (daemon.state_dir / JOURNAL_NAME).exists()


CONNECTED: dict[str, tuple[Callable[[Config], None], str]] = {
    "allow-list": (account(instruments=[BTC, MISSING]), "accounts.main.instruments"),
    "hedge": (
        portfolio(hedges={"BTC": {"account": "main", "instrument": MISSING, "max_usd": 1000}}),
        "portfolio.hedges.BTC.instrument",
    ),
    "pair": (
        portfolio(
            pairs=[
                {
                    "name": "carry",
                    "legs": [
                        {"account": "main", "instrument": BTC},
                        {"account": "main", "instrument": MISSING},
                    ],
                }
            ]
        ),
        "portfolio.pairs.0.legs",
    ),
}


@pytest.mark.parametrize("name", ["allow-list", nightly("hedge"), nightly("pair")])
@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_symbol_that_does_not_exist_is_named_by_check_and_stops_run(
    venue: Venue, name: str, tmp_path: Path
) -> None:
    # Given a configuration that names an instrument the venue does not list.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    change, key = CONNECTED[name]
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        change(daemon.config)
        daemon.write()
        # Then both say so, and end with 78.
        for words in (("check", "--connect"), ("run",)):
            answer = await daemon.run(*words)
            assert answer.code == 78, answer.err
            assert f"{key}: {MISSING}" in answer.err
        assert seat.sent() == []


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
@pytest.mark.parametrize("field", ["api_key", nightly("api_secret")])
async def test_bad_key_is_named_by_check_and_leaves_run_blind_until_it_is_mended(
    venue: Venue, field: str, tmp_path: Path
) -> None:
    # Given a key that the venue does not know, or a secret that does not fit.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        right = daemon.config["accounts"]["main"][field]
        daemon.config["accounts"]["main"][field] = "x" * len(right)
        daemon.write()
        answer = await daemon.run("check", "--connect")
        assert answer.code == 78
        assert "accounts.main.api_key" in answer.err
        # Then the daemon lives, denies everything, and says why.
        await daemon.start()
        status = await daemon.until_status(
            lambda s: s["accounts"]["main"].get("error"), "the reason"
        )
        assert status["trading_state"] == "HALTED"
        assert status["accounts"]["main"]["blind"]
        assert right not in daemon.said(100_000)
        # And with the right one it guards.
        assert await daemon.stop() == 0
        daemon.config["accounts"]["main"][field] = right
        daemon.write()
        await daemon.start()
        await daemon.ready()


async def test_venue_that_is_away_is_not_a_fault_of_the_configuration(tmp_path: Path) -> None:
    # Given a venue that does not answer.
    seat = Seat()
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        await seat.close()
        answer = await daemon.run("check", "--connect")
        # Then `check` ends with 1, and the daemon waits for it.
        assert answer.code == 1
        assert "accounts.main" in answer.err
        await daemon.start()
        await daemon.until_status(lambda s: s["accounts"]["main"]["blind"], "blind")
        await seat.open()
        await daemon.ready()


@pytest.mark.parametrize("right", ["enableWithdrawals", nightly("enableInternalTransfer")])
async def test_key_that_may_withdraw_is_refused(right: str, tmp_path: Path) -> None:
    # Given a key with a right that a guard does not need.
    seat = Seat()
    seat.server.accounts[seat.key].rights[right] = True
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        # Then neither `check` nor `run` accepts it,
        for words in (("check", "--connect"), ("run",)):
            answer = await daemon.run(*words)
            assert answer.code == 78, answer.err
            assert "accounts.main.api_key" in answer.err
        # unless the user says so.
        daemon.config["accounts"]["main"]["allow_withdraw_keys"] = True
        daemon.write()
        assert (await daemon.run("check", "--connect")).code == 0


# ---------------------------------------------------------------- storage


async def halted_daemon(daemon: Daemon, seat: Seat) -> None:
    """Bring it to a latched halt and stop it."""
    await glide(seat, steps=3, BTC=34_000)
    await daemon.halted()
    assert await daemon.stop() == 0


async def test_corrupt_database_is_named_left_alone_and_good_again_once_restored(
    tmp_path: Path,
) -> None:
    # Given a halted account, and a journal whose pages were overwritten.
    seat = Seat()
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        await halted_daemon(daemon, seat)
        journal = daemon.state_dir / JOURNAL_NAME
        backup = tmp_path / "copy"
        shutil.copy(journal, backup)
        spoiled = bytearray(journal.read_bytes())
        spoiled[: len(spoiled) // 2] = b"\xa5" * (len(spoiled) // 2)
        journal.write_bytes(spoiled)
        # When riskbot starts, it ends with 78 and names the file, which stays as it is.
        answer = await daemon.run("run")
        assert answer.code == 78, answer.err
        assert str(journal) in answer.err
        assert journal.read_bytes() == bytes(spoiled)
        # And with the copy put back the latch is there.
        shutil.copy(backup, journal)
        await daemon.start()
        await daemon.ready()
        assert (await daemon.status())["trading_state"] == "HALTED"
        assert len(seat.sent()) == 1


async def test_locked_database_is_named(tmp_path: Path) -> None:
    # Given a journal that another program holds.
    seat = Seat()
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        assert await daemon.stop() == 0
        journal = daemon.state_dir / JOURNAL_NAME
        with closing(sqlite3.connect(journal, isolation_level=None)) as holder:
            holder.execute("PRAGMA locking_mode=EXCLUSIVE")
            holder.execute("BEGIN EXCLUSIVE")
            # When riskbot starts, it says so.
            answer = await daemon.run("run")
            assert answer.code == 78, answer.err
            assert str(journal) in answer.err
            assert "locked" in answer.err
            holder.execute("ROLLBACK")
        # And once it is free, all is well.
        await daemon.start()
        await daemon.ready()


async def test_disk_that_is_full_at_the_start_is_named(tmp_path: Path) -> None:
    # Given a disk without room for a journal.
    seat = Seat()
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        # When riskbot starts, it says so, and is fine once there is room.
        answer = await daemon.run("run", through=("prlimit", "--fsize=2048"))
        assert answer.code == 78, answer.err
        assert str(daemon.state_dir / JOURNAL_NAME) in answer.err
        await daemon.start()
        await daemon.ready()


def set_largest_file(daemon: Daemon, size: int) -> None:
    """Limit how large a file the daemon may write, as a full disk would."""
    assert daemon.process is not None
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_full_disk_denies_entries_and_still_flattens(venue: Venue, tmp_path: Path) -> None:
    # Given a disk that takes no more while riskbot runs.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    seat.hold(ETH, "-4")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        set_largest_file(daemon, 0)
        seat.trade(BTC, "0.01")
        status = await daemon.until_status(
            lambda s: any(row["what"].startswith("storage") for row in s["blind"]), "BLIND(storage)"
        )
        # Then it is told in red,
        alert = alert_of(status, "storage")
        assert alert is not None
        assert alert["level"] == "red"
        # the account is closed all the same when the market falls,
        await glide(seat, BTC=34_000)
        await daemon.until(seat.is_flat, "flat")
        await daemon.halted()
        # and once there is room again, what was decided is kept.
        set_largest_file(daemon, resource.RLIM_INFINITY)
        await daemon.until_status(lambda s: not s["blind"], "storage back")
        await daemon.restart()
        assert (await daemon.status())["trading_state"] == "HALTED"
        # Of what a stranger opened it may have been told after its first order.
        sent = {symbol: Decimal(0) for symbol in (BTC, ETH)}
        for symbol in sent:
            for request in seat.sent(symbol):
                sent[symbol] += Decimal(request.params.get("quantity") or request.params["qty"])
        assert sent == {BTC: Decimal("3.01"), ETH: Decimal(4)}
