"""The demo as a newcomer starts it: a process without a terminal, judged by its own journal."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from riskbot import demo
from riskbot.config import load
from tests.fakes import settle

ROOT = Path(__file__).parent.parent
QUICK = ["--speed", "3"]
"""Several breaches a frame, as at higher speeds, would be answered together: another story."""


@dataclass
class Played:
    """A demo that has told its story and waits for the operator."""

    process: subprocess.Popen[str]
    config: Path
    said: list[str]

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the journal's records of one kind, in order, each with its `seq`."""
        path = self.config.parent / "state" / "journal.sqlite"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT seq, body FROM records WHERE kind = ? ORDER BY seq", (kind,))
            found = [json.loads(body) | {"seq": seq} for seq, body in rows]
        db.close()
        return found

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Ask the running daemon."""
        command = [sys.executable, "-m", "riskbot", "ctl", "--config", str(self.config)]
        return subprocess.run(
            [*command, *arguments],
            check=False,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "riskbot", "demo", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
    )


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    process = start(*QUICK)
    said: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.rstrip())
        if line.startswith("Ctrl-C"):
            break
    named = [found for line in said if (found := re.search(r"--config (\S+) status", line))]
    try:
        assert named, "\n".join(said)
        yield Played(process, Path(named[0][1]), said)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_story_goes_yellow_orange_red_reduces_flattens_and_ends_flat_and_halted(
    played: Played,
) -> None:
    # What is told waits and is told together; what there is to tell does not.
    raised = played.records("SetAlert")

    def first(name: str, level: str) -> int:
        return next(
            row["seq"]
            for row in raised
            if (row["alert"]["name"], row["alert"]["level"]) == (name, level)
        )

    intents = played.records("SetIntent")
    kinds = list(dict.fromkeys(row["intent"]["kind"] for row in intents))
    reduced = next(row["seq"] for row in intents if row["intent"]["kind"] == "reduce")
    flattened = next(row["seq"] for row in intents if row["intent"]["kind"] == "flatten")
    yellow, orange = first("net_exposure", "yellow"), first("net_exposure", "orange")
    red = first("net_exposure", "red")
    assert yellow < orange < red
    assert reduced < flattened
    assert first("drawdown", "yellow") < first("drawdown", "orange") < flattened
    assert abs(first("drawdown", "red") - flattened) < 60
    assert {"reduce", "cancel", "baseline", "flatten"} <= set(kinds)
    holds = [row["hold"] for row in played.records("PlaceHold")]
    assert any(h["limit"] == "drawdown" and h["is_latched"] for h in holds)
    assert any(h["limit"] == "daily_loss" and h["until_ms"] for h in holds)


def test_orders_were_journaled_once_each_and_only_closed(played: Played) -> None:
    orders = played.records("PlaceOrder")
    ids = [row["client_order_id"] for row in orders]
    assert len(ids) == len(set(ids))
    assert orders
    assert all(row["reduce_only"] for row in orders)
    refused = played.records("OrderRejected") + played.records("OrderOutcomeUnknown")
    assert not refused


def test_account_is_flat_by_two_reads_after_the_last_order(played: Played) -> None:
    last = played.records("PlaceOrder")[-1]["seq"]
    ended = [r["seq"] for r in played.records("EndIntent") if r["outcome"] == "done"][-1]
    reads = [r for r in played.records("AccountSnapshotReceived") if last < r["seq"] <= ended]
    assert len([r for r in reads if not r["positions"]]) >= 2


def test_newcomer_reads_what_happens_and_why(played: Played) -> None:
    text = "\n".join(played.said)
    for words in (
        "riskbot guards 100,000 USD in 9 positions",
        "YELLOW: net exposure",
        "RED: net exposure",
        "net exposure back inside",  # on a busy machine it is, before anybody sees the work begin
        "HALTED by the loss of the day",
        "riskbot acts: flatten (drawdown)",
        "verified flat",
        "without riskbot the same book would have stood at -21.1%",
    ):
        assert words in text, words
    assert "unknown" not in text
    assert "did not end" not in text


def test_operator_may_look_and_resume_and_end_it(played: Played) -> None:
    status = json.loads(played.ctl("status", "--json").stdout)
    assert status["trading_state"] == "HALTED"
    assert status["gross_exposure"] == pytest.approx(0, abs=1e-9)
    assert {hold["limit"] for hold in status["holds"]} >= {"drawdown", "weekly_drawdown"}
    resumed = played.ctl("resume", "--yes")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert json.loads(played.ctl("status", "--json").stdout)["trading_state"] == "ACTIVE"
    played.process.send_signal(signal.SIGINT)
    assert played.process.wait(timeout=30) == 0
    assert not played.config.exists()


@pytest.mark.nightly
def test_exit_ends_the_demo_by_itself() -> None:
    with start("--exit", *QUICK) as process:
        said, _ = process.communicate(timeout=110)
    assert process.returncode == 0, said
    assert "What happened" in said
    assert "Ctrl-C" not in said


@pytest.mark.parametrize("arguments", [["--speed", "0"], ["--speed", "fast"], ["--port", "0"]])
def test_arguments_when_wrong_are_a_usage_error(arguments: list[str]) -> None:
    with start(*arguments) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert arguments[0] in said


# ---------------------------------------------------------------- its parts


def test_configuration_loads_under_the_preset_and_its_own_limits(tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text(demo.configuration(tmp_path / "state", port=8700))
    file.chmod(0o600)
    config = load(file)
    assert config.root.mode == "enforce"
    assert config.root.portfolio.preset == "leveraged"
    assert config.root.portfolio.limits.keys() == demo.LIMITS.keys()
    assert sum(abs(share) for share in demo.HOLDINGS.values()) < 1.6
    assert any(share < 0 for share in demo.HOLDINGS.values())


def test_unguarded_book_loses_more_than_the_limit() -> None:
    assert -0.5 < demo.unguarded() < -0.15


def status(**fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "starting": False,
        "intents": [],
        "limits": [],
        "holds": [{"limit": "drawdown", "latched": True, "state": "HALTED"}],
        "trading_state": "HALTED",
        "equity_usd": 1.0,
    }
    return values | fields


@pytest.mark.parametrize(
    ("fields", "positions", "fault"),
    [
        ({}, [], ""),
        ({}, [{"instrument": "A", "quantity": 1e-9, "dust": True}], ""),
        ({"trading_state": "ACTIVE"}, [], "not HALTED"),
        ({"holds": []}, [], "did not latch"),
        ({}, [{"instrument": "A", "quantity": 2.0, "dust": False}], "A: 2.0 is left"),
    ],
)
def test_ending_names_what_is_not_as_it_should_be(
    fields: dict[str, Any], positions: list[dict[str, Any]], fault: str
) -> None:
    found = demo.ending(status(**fields), positions)
    assert bool(found) is bool(fault)
    assert fault in " ".join(found)


@pytest.mark.parametrize(
    ("fields", "busy"),
    [
        ({}, False),
        ({"starting": True}, True),
        ({"intents": [{}]}, True),
        ({"limits": [{"stage": "unconfirmed", "level": "red"}]}, True),
        ({"limits": [{"stage": "approaching", "level": "orange"}]}, False),
    ],
)
def test_time_leaps_only_while_riskbot_has_nothing_to_do(
    fields: dict[str, Any], busy: bool
) -> None:
    assert demo.is_busy(status(**fields)) is busy


async def test_lapse_clock_wakes_sleepers_by_running_and_by_leaps() -> None:
    clock = demo.LapseClock(1_000_000, rate=1_000.0)
    await clock.sleep(5)
    assert clock.now_ms() >= 1_005_000
    clock.set_rate(1e-6)
    before = clock.now_ms()
    sleeper = asyncio.create_task(clock.sleep_until(before + 60_000))
    await settle()
    clock.leap(30_000)
    await settle()
    assert not sleeper.done()
    clock.leap(30_000)
    await asyncio.wait_for(sleeper, 5)
    assert before + 60_000 <= clock.now_ms() < before + 61_000


async def test_lapse_clock_when_its_rate_changes_takes_sleepers_along() -> None:
    clock = demo.LapseClock(0, rate=1e-6)
    sleeper = asyncio.create_task(clock.sleep(10))
    await settle()
    clock.set_rate(10_000.0)
    await asyncio.wait_for(sleeper, 5)
    assert clock.now_ms() >= 10_000
