"""Operators at the command line, against a daemon that guards real sockets; exit codes and JSON."""

from __future__ import annotations

import asyncio
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from tests.scenarios.daemon import DRAWDOWN, PATIENCE_S, alert_of, guarded
from tests.scenarios.seats import (
    BINANCE,
    BINANCE_FIRST,
    BTC,
    BYBIT,
    BYBIT_FIRST,
    ETH,
    OKX,
    Seat,
    Venue,
    glide,
    nightly,
)

STATUS_KEYS = set(
    "instance mode trading_state holds blind equity_usd gross_exposure net_exposure drawdown "
    "daily_loss daily_pnl_usd accounts feeds alerts limits as_of_ms".split()
)
POSITION_KEYS = set(
    "account instrument underlying side quantity entry mark notional_usd leverage delta_usd gamma "
    "vega usd_per_1pct unrealized_pnl_usd stop risk_usd liquidation_price liquidation_distance "
    "closable estimated".split()
)
LIMIT_KEYS = set("name scope subject measured limit utilization level on_breach headroom".split())
EXPOSURE_KEYS = set(
    "equity_usd gross_usd net_usd gross_exposure net_exposure assets sectors groups top "
    "hedges".split()
)


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_documents_of_the_contract(venue: Venue, tmp_path: Path) -> None:
    # Given an account with two positions.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    seat.hold(ETH, "-4")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # Then each document has the fields of the contract, and the venue's figures.
        names = ("status", "positions", "exposure", "limits", "alerts", "decisions")
        answers = await asyncio.gather(*(daemon.ctl(name) for name in names))
        assert [answer.code for answer in answers] == [0] * len(names)
        status, positions, exposure, limits, alerts, decisions = (a.document for a in answers)
        assert set(status) >= STATUS_KEYS
        assert set(status["accounts"]["main"]) >= {
            *("exchange", "trading_state", "equity_usd", "held_by", "blind")
        }
        assert all(set(row) >= {"account", "feed", "age_s", "ok"} for row in status["feeds"])
        assert status["equity_usd"] == pytest.approx(float(seat.equity()), rel=1e-4)
        assert status["gross_exposure"] == pytest.approx(0.5, rel=1e-3)
        assert status["net_exposure"] == pytest.approx(0.3, rel=1e-3)
        assert [set(row) >= POSITION_KEYS for row in positions] == [True, True]
        held = {row["instrument"]: (row["quantity"], row["side"]) for row in positions}
        assert held == {BTC: (1.0, "long"), ETH: (-4.0, "short")}
        assert set(exposure) >= EXPOSURE_KEYS
        assert exposure["gross_usd"] == pytest.approx(50_000, rel=1e-3)
        assert all(set(row) >= LIMIT_KEYS for row in limits)
        assert [row["name"] for row in limits] == ["drawdown"]
        assert isinstance(alerts, list)
        assert isinstance(decisions, list)


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_halt_cancels_entries_keeps_exits_and_ends_with_resume(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a position, an exit, a stop and three kinds of entries.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    profit = seat.trade(BTC, "-1", price=45_000, reduce_only=True)
    stop = seat.trade(BTC, "-1", stop_price=35_000, reduce_only=True)
    entries = [
        seat.trade(BTC, "1", price=39_000),
        seat.trade(ETH, "-2", price=2_600),
        seat.trade(ETH, "2", stop_price=2_700),
    ]
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When the operator halts, twice.
        answer = await daemon.ctl("halt", "--reason", "looking at it")
        assert (answer.code, answer.document["ok"]) == (0, True)
        assert (await daemon.ctl("halt")).code == 0
        # Then entries are gone, exits stand, the position stays.
        await daemon.until(lambda: not any(o.is_open for o in entries), "entries cancelled")
        await daemon.calm(1)
        assert profit.is_open
        assert stop.is_open
        assert seat.held(BTC) == 1
        status = await daemon.status()
        assert status["trading_state"] == "HALTED"
        assert [h["limit"] for h in status["holds"]] == ["operator"]
        assert "looking at it" in status["holds"][0]["reason"]
        # And it keeps over a restart,
        await daemon.restart()
        assert (await daemon.status())["trading_state"] == "HALTED"
        # an exit fills undisturbed,
        await glide(seat, BTC=45_100)
        assert seat.held(BTC) == 0
        # and resume ends it: a plan first, then the yes.
        plan = await daemon.ctl("resume")
        assert (plan.code, plan.document["ok"]) == (1, False)
        assert (await daemon.status())["trading_state"] == "HALTED"
        assert (await daemon.ctl("resume", "--yes")).code == 0
        assert (await daemon.status())["trading_state"] == "ACTIVE"
        again = await daemon.ctl("resume", "--yes")
        assert (again.code, again.document["ok"]) == (1, False)


async def test_halt_of_one_account_leaves_the_other(tmp_path: Path) -> None:
    # Given two accounts at two venues, each with a working entry.
    one, two = Seat(BINANCE, "one"), Seat(BYBIT, "two")
    one.hold(BTC, "1")
    two.hold(BTC, "-1")
    gone, kept = one.trade(BTC, "1", price=39_000), two.trade(BTC, "1", price=39_000)
    async with guarded(tmp_path, one, two, limits=DRAWDOWN) as daemon:
        # (Both are one portfolio, in which long and short offset each other.)
        status = await daemon.status()
        assert status["net_exposure"] == pytest.approx(0, abs=1e-4)
        assert status["gross_exposure"] == pytest.approx(0.4, rel=1e-3)
        # When one is halted.
        assert (await daemon.ctl("halt", "--account", "one")).code == 0
        await daemon.until(lambda: not gone.is_open, "cancelled")
        # Then the other trades on.
        status = await daemon.status()
        states = {name: row["trading_state"] for name, row in status["accounts"].items()}
        assert states == {"one": "HALTED", "two": "ACTIVE"}
        assert kept.is_open
        refused = await daemon.ctl("halt", "--account", "three")
        assert (refused.code, refused.document["ok"]) == (1, False)
        assert "three" in refused.document["message"]


@pytest.mark.parametrize("venue", [*BINANCE_FIRST, nightly(OKX)], ids=str)
async def test_flatten_waits_for_verified_flat(venue: Venue, tmp_path: Path) -> None:
    # Given a calm account with positions and an entry.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    seat.hold(ETH, "-4")
    entry = seat.trade(BTC, "0.1", price=39_000)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When it is flattened without a yes, nothing happens;
        plan = await daemon.ctl("flatten")
        assert plan.code == 1
        assert seat.sent() == []
        # with it, the command ends when two reads have shown flat.
        done = await daemon.ctl("flatten", "--yes", "--reason", "over")
        assert (done.code, done.document["ok"]) == (0, True), done.err
        assert seat.is_flat()
        assert not entry.is_open
        assert len(seat.sent()) == 2
        assert (await daemon.status())["trading_state"] == "HALTED"
        # And a flat account is flat: again is no fault, and sends nothing.
        assert (await daemon.ctl("flatten", "--yes")).code == 0
        assert len(seat.sent()) == 2


async def test_flatten_that_cannot_be_done_says_what_is_left(tmp_path: Path) -> None:
    # Given a venue that takes no orders now.
    seat = Seat()
    seat.hold(BTC, "1")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.server.market.phase = "cancel_only"
        # When it is flattened within five seconds.
        answer = await daemon.ctl("flatten", "--yes", "--wait", "5")
        # Then it is not done, says so, and goes on.
        assert (answer.code, answer.document["ok"]) == (1, False)
        refused = await daemon.ctl("resume", "--yes")
        assert (refused.code, refused.document["ok"]) == (1, False)
        assert "flattening" in refused.document["message"]
        seat.server.market.phase = "trading"
        await daemon.until(seat.is_flat, "flat after all")


async def test_flatten_of_one_instrument_leaves_the_rest(tmp_path: Path) -> None:
    # Given two positions.
    seat = Seat()
    seat.hold(BTC, "1")
    seat.hold(ETH, "-4")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When one instrument is flattened.
        answer = await daemon.ctl("flatten", "--instrument", ETH, "--yes")
        # Then it alone is closed and trading goes on.
        assert answer.code == 0, answer.err
        assert seat.held(ETH) == 0
        assert seat.held(BTC) == 1
        assert (await daemon.status())["trading_state"] == "ACTIVE"


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_cancel_takes_entries_of_one_instrument(venue: Venue, tmp_path: Path) -> None:
    # Given entries in two instruments, plain and conditional.
    seat = Seat(venue)
    gone = [seat.trade(BTC, "1", price=39_000), seat.trade(BTC, "1", stop_price=44_000)]
    kept = seat.trade(ETH, "1", price=2_400)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When one's are cancelled.
        answer = await daemon.ctl("cancel", "--instrument", BTC)
        assert (answer.code, answer.document["ok"]) == (0, True)
        # Then they go, the other stays, and the state is ACTIVE.
        await daemon.until(lambda: not any(o.is_open for o in gone), "cancelled")
        await daemon.calm(0.5)
        assert kept.is_open
        assert (await daemon.status())["trading_state"] == "ACTIVE"


async def test_resume_after_a_latch_starts_a_new_peak_for_enforcement(tmp_path: Path) -> None:
    # Given a drawdown that was flattened.
    seat = Seat()
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        await glide(seat, BTC=34_000)
        status = await daemon.halted()
        alert = alert_of(status, "drawdown")
        assert alert is not None
        acked = await daemon.ctl("ack", alert["id"])
        assert acked.code == 0
        # When an admin resumes.
        answer = await daemon.ctl("resume", "--yes", "--reason", "seen")
        assert answer.code == 0, answer.err
        # Then trading goes on from here, and the next 15 % count from here.
        await daemon.until_status(lambda s: s["trading_state"] == "ACTIVE", "active")
        seat.trade(BTC, "2")
        await glide(seat, BTC=30_000)
        await daemon.calm(1)
        assert seat.held(BTC) == 2
        await glide(seat, BTC=26_500)
        await daemon.until(seat.is_flat, "flat again")
        decisions = await daemon.decisions()
        assert decisions.count("rebase") == 1


async def test_commands_that_are_refused_say_why(tmp_path: Path) -> None:
    seat = Seat()
    seat.hold(BTC, "1")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        cases: dict[tuple[str, ...], tuple[int, str]] = {
            ("reduce", "--yes"): (1, "nothing to reduce"),
            ("resume", "--yes"): (1, "nothing is halted"),
            ("ack", "A999"): (1, "A999"),
            ("dance",): (1, "dance"),
        }
        for words, (code, part) in cases.items():
            answer = await daemon.ctl(*words)
            assert (answer.code, answer.document["ok"]) == (code, False), words
            assert part in answer.document["message"]
        assert (await daemon.run("ctl", "ack")).code == 2
        assert (await daemon.run("ctl", "status", "--wait", "soon")).code == 2
        assert seat.sent() == []
        # And without a daemon there is nobody to ask.
        assert await daemon.stop() == 0
        answer = await daemon.ctl("status")
        assert (answer.code, answer.document["ok"]) == (1, False)


# ---------------------------------------------------------------- the end of the process


async def test_sigterm_ends_a_flatten_first(tmp_path: Path) -> None:
    # Given a flatten that takes a while.
    seat = Seat()
    seat.hold(BTC, "3")
    name = seat.id_of(BTC)
    seat.server.market.touch_quantity[name] = Decimal(1)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        await glide(seat, steps=2, BTC=34_000)
        await daemon.until(lambda: seat.held(BTC) < 3, "a part closed")
        # When it is told to stop.
        daemon.signal(signal.SIGTERM)
        await asyncio.sleep(1)
        seat.server.market.touch_quantity.clear()
        seat.move(BTC=34_000)
        # Then it ends what it began, and goes with zero.
        assert await daemon.ended() == 0
        assert seat.is_flat()
        # And what follows is halted.
        await daemon.start()
        await daemon.ready()
        assert (await daemon.status())["trading_state"] == "HALTED"


async def test_second_daemon_on_the_same_state_or_key_is_refused(tmp_path: Path) -> None:
    seat = Seat()
    seat.hold(BTC, "1")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # Given a daemon that runs, a second one ends with 78 and names what is taken,
        same = await daemon.run("run")
        assert same.code == 78
        assert "another riskbot" in same.err
        # also from another directory with the same key.
        daemon.config["state_dir"] = "elsewhere"
        daemon.write()
        other = await daemon.run("run")
        assert other.code == 78
        assert "accounts.main" in other.err
        assert daemon.is_running


# ---------------------------------------------------------------- kill


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_kill_beside_a_daemon_that_hangs_cancels_closes_and_leaves_it_halted(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a daemon that hangs, a position, a stop and an entry.
    seat = Seat(venue)
    seat.hold(BTC, "1")
    entry = seat.trade(BTC, "0.5", price=39_000)
    stop = seat.trade(BTC, "-1", stop_price=35_000, reduce_only=True)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        daemon.signal(signal.SIGSTOP)
        # When the operator kills: entries go, exits and the position stay.
        answer = await daemon.run("kill")
        assert answer.code == 0, answer.err
        assert (daemon.state_dir / "HALT").exists()
        assert not entry.is_open
        assert stop.is_open
        assert seat.held(BTC) == 1
        # When flattening is asked for too: it is closed by the time the command ends.
        answer = await daemon.run("kill", "--flatten")
        assert answer.code == 0, answer.err
        assert seat.is_flat()
        assert len(seat.sent()) == 1
        # Then the daemon, once it goes on, is halted by the file, and sends nothing itself.
        daemon.signal(signal.SIGCONT)
        await daemon.until_status(lambda s: s["trading_state"] == "HALTED", "halted")
        late = seat.trade(ETH, "1", price=2_400)
        await daemon.until(lambda: not late.is_open, "entry during the halt cancelled")
        assert len(seat.sent()) == 1
        # And over a restart, until somebody resumes.
        await daemon.restart()
        assert (await daemon.status())["trading_state"] == "HALTED"
        assert (await daemon.ctl("resume", "--yes")).code == 0
        await daemon.until_status(lambda s: s["trading_state"] == "ACTIVE", "active", PATIENCE_S)
        assert not (daemon.state_dir / "HALT").exists()


async def test_kill_of_two_venues_one_of_them_down_does_what_it_can(tmp_path: Path) -> None:
    # Given no daemon, and one of two venues away.
    here, there = Seat(BINANCE, "here"), Seat(BYBIT, "there")
    here.hold(BTC, "1")
    async with guarded(tmp_path, here, there, limits=DRAWDOWN, starts=False) as daemon:
        await there.close()
        # When everything is to be closed.
        answer = await daemon.run("kill", "--flatten", "--timeout", "15")
        # Then the one is flat, the other is named, and the exit code says "not done".
        assert answer.code == 1
        assert here.is_flat()
        assert "there" in answer.out + answer.err
        await there.open()
