"""`ctl` against a door in another thread: exit codes, confirmation, output."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from riskbot.__main__ import main
from riskbot.cli import ctl, tables
from riskbot.core import actions, events
from riskbot.errors import UsageError
from riskbot.frontends.local import LocalDoor
from tests.config_files import with_, write

Answer = Callable[[events.CommandReceived], list[actions.SendReply]]


@contextmanager
def daemon(directory: Path, answer: Answer) -> Iterator[list[events.CommandReceived]]:
    """Run a door in a thread of its own, as another process would."""
    asked: list[events.CommandReceived] = []
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    def submit(command: events.CommandReceived) -> None:
        asked.append(command)
        for reply in answer(command):
            door.deliver(reply)

    door = LocalDoor(directory / "state" / "riskbot.sock", submit, lambda _: None)

    async def serve() -> None:
        task = asyncio.create_task(door.run())
        await door.is_listening.wait()
        ready.set()
        await stop.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def work() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(20)
    try:
        yield asked
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def reply(command: events.CommandReceived, **fields: Any) -> actions.SendReply:
    return actions.SendReply(
        **{"request_id": command.request_id, "ok": True, "message": "done", **fields}
    )


def plan_first(command: events.CommandReceived) -> list[actions.SendReply]:
    """Offer a plan, then do it."""
    if "plan_id" not in command.args:
        plan = {"close": [{"instrument": "BTC/USDT:USDT", "quantity": "1"}]}
        return [reply(command, message="Flatten all?", plan_id="p1", plan=plan, expires_at_ms=9)]
    return [
        reply(command, message="flattening", is_final=False),
        reply(command, message="flat, verified"),
    ]


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(write(tmp_path, with_(state_dir="state")))


STATUS = {
    "instance": "vps-1",
    "mode": "enforce",
    "trading_state": "HALTED",
    "would_be_state": "HALTED",
    "equity_usd": 1234.5,
    "gross_exposure": None,
    "holds": [
        {
            "limit": "drawdown",
            "scope": "portfolio",
            "since_ms": 0,
            "latched": True,
            "enforced": True,
            "reason": "15.2 %",
        }
    ],
    "blind": [{"what": "price:BTC", "since_ms": 0}],
    "accounts": {
        "main": {
            "exchange": "paper",
            "trading_state": "HALTED",
            "equity_usd": 1.0,
            "held_by": "gateway",
            "blind": True,
        }
    },
    "alerts": [],
    "limits": [],
}


def test_ctl_when_read_as_json_prints_the_document_alone(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(tmp_path, lambda c: [reply(c, message="", document=STATUS)]):
        assert main(["ctl", "status", "--json", "--config", config]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_ctl_when_read_by_people_shows_what_matters(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(tmp_path, lambda c: [reply(c, message="", document=STATUS)]):
        assert main(["ctl", "--config", config, "status"]) == 0
    shown = capsys.readouterr().out
    for part in ("vps-1", "HALTED", "1,234.50", "drawdown", "latched", "15.2 %", "BLIND price:BTC"):
        assert part in shown
    assert "gross ?" in shown


def test_ctl_stress_passes_on_what_is_assumed_and_wanted(tmp_path: Path, config: str) -> None:
    with daemon(tmp_path, lambda c: [reply(c)]) as asked:
        for argv in (
            ["ftx", "--suggest", "--max", "0.2", "--account", "main"],
            ["--simulate", "BTC -10%, ETH -15%"],
            [],
        ):
            assert main(["ctl", "stress", *argv, "--config", config]) == 0
    assert [command.args for command in asked] == [
        {"scenario": "ftx", "suggest": True, "account": "main", "max": 0.2},
        {"simulate": "BTC -10%, ETH -15%"},
        {},
    ]


def test_ctl_when_every_limit_is_inside_says_so(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = {**STATUS, "limits": DOCUMENTS["limits"]}
    with daemon(tmp_path, lambda c: [reply(c, message="", document=calm)]):
        assert main(["ctl", "--config", config, "status"]) == 0
    assert "limits: all 1 inside" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("measured", "level", "shown"),
    [(None, "unknown", "?"), (None, "ok", "-"), (float("inf"), "ok", "-")],
)
def test_limits_when_there_is_nothing_to_measure_differ_from_unknown(
    measured: float | None, level: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {**DOCUMENTS["limits"][0], "measured": measured, "level": level}
    tables.show("limits", [row])
    line = next(line for line in capsys.readouterr().out.splitlines() if "clock_offset" in line)
    assert line.split()[2] == shown


def test_ctl_when_command_is_refused_exits_with_1(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(tmp_path, lambda c: [reply(c, ok=False, message="nothing is halted")]):
        assert main(["ctl", "resume", "--config", config]) == 1
        assert main(["ctl", "resume", "--config", config, "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "nothing is halted\n"
    assert json.loads(captured.out) == {"ok": False, "message": "nothing is halted"}


def test_ctl_when_command_is_risky_wants_a_yes(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(tmp_path, plan_first) as asked:
        assert main(["ctl", "flatten", "--config", config]) == 1
        assert [c.args for c in asked] == [{}]
    captured = capsys.readouterr()
    assert "not done: confirm with --yes" in captured.err
    assert "BTC/USDT:USDT" in captured.err, "people see the plan even where nobody can answer"


def test_ctl_when_something_is_done_says_it_once(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = {"ok": True, "left": []}
    with daemon(tmp_path, lambda c: [reply(c, message="verified flat", document=ended)]):
        assert main(["ctl", "halt", "--config", config]) == 0
        assert capsys.readouterr().out == "verified flat\n"
        assert main(["ctl", "halt", "--json", "--config", config]) == 0
    assert json.loads(capsys.readouterr().out)["document"] == ended


def test_ctl_when_confirmed_sends_the_plan_and_waits_for_the_end(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ctl", "flatten", "--yes", "--account", "main", "--reason", "x", "--config", config]
    with daemon(tmp_path, plan_first) as asked:
        assert main([*words, "--json"]) == 0
    assert [c.args for c in asked] == [
        {"account": "main", "reason": "x"},
        {"account": "main", "reason": "x", "plan_id": "p1"},
    ]
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"ok": True, "message": "flat, verified"}
    assert captured.err == "flattening\n"


def test_ctl_when_plans_never_end_gives_up(tmp_path: Path, config: str) -> None:
    def always(command: events.CommandReceived) -> list[actions.SendReply]:
        return [reply(command, plan_id="p", plan={})]

    with daemon(tmp_path, always) as asked:
        assert main(["ctl", "flatten", "--yes", "--config", config]) == 1
        assert len(asked) <= 5


def test_ctl_when_daemon_takes_too_long_says_that_it_goes_on(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(tmp_path, lambda _: []):
        assert main(["ctl", "halt", "--wait", "0.1", "--config", config]) == 1
    assert "it goes on" in capsys.readouterr().err


def test_ctl_when_no_daemon_runs_exits_with_1_and_says_where(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ctl", "status", "--config", config]) == 1
    assert f"no daemon listens at {tmp_path}/state/riskbot.sock" in capsys.readouterr().err
    assert main(["ctl", "status", "--json", "--config", config]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_ctl_when_configuration_has_other_faults_still_finds_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(write(tmp_path, "state_dir: state\nnonsense: 1\n"))
    with daemon(tmp_path, lambda c: [reply(c)]):
        assert main(["ctl", "halt", "--config", config]) == 0
    assert capsys.readouterr().out == "done\n"


def test_ctl_when_there_is_no_configuration_exits_with_78(tmp_path: Path) -> None:
    assert main(["ctl", "status", "--config", str(tmp_path / "none.yaml")]) == 78


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["reduce"], {}),
        (["reduce", "gross_exposure"], {"limit": "gross_exposure"}),
        (
            ["reduce", "--account", "main", "net_exposure"],
            {"account": "main", "limit": "net_exposure"},
        ),
        (["ack", "A17"], {"id": "A17"}),
        (["silence", "daily_loss", "30m"], {"limit": "daily_loss", "duration_s": 1800}),
        (["setlimit", "gross_exposure", "1.5"], {"limit": "gross_exposure", "value": "1.5"}),
        (
            ["reclassify", "F1", "loss", "--totp", "123456"],
            {"id": "F1", "value": "loss", "totp": "123456"},
        ),
        (["cancel", "--instrument", "BTC/USDT:USDT"], {"instrument": "BTC/USDT:USDT"}),
    ],
)
def test_ctl_when_given_arguments_names_them(
    tmp_path: Path, config: str, words: list[str], args: dict[str, Any]
) -> None:
    with daemon(tmp_path, lambda c: [reply(c)]) as asked:
        assert main(["ctl", *words, "--config", config]) == 0
    assert [(c.name, c.args) for c in asked] == [(words[0], args)]


@pytest.mark.parametrize(
    "words",
    [
        ["ack"],
        ["halt", "now"],
        ["silence", "daily_loss"],
        ["silence", "daily_loss", "soon"],
        ["status", "--wait", "-1"],
        ["status", "--nonsense"],
        [],
    ],
)
def test_ctl_when_called_wrongly_exits_with_2(config: str, words: list[str]) -> None:
    assert main(["ctl", *words, "--config", config]) == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400)]
)
def test_duration_when_it_has_a_unit_is_seconds(text: str, seconds: int) -> None:
    assert ctl.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1w", "1.5h"])
def test_duration_when_it_has_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ctl.duration_s(text)


DOCUMENTS: dict[str, Any] = {
    "positions": [
        {
            "account": "main",
            "instrument": "BTC/USDT:USDT",
            "side": "long",
            "quantity": 0.5,
            "entry": 40_000.0,
            "mark": None,
            "notional_usd": None,
            "closable": False,
            "kept_reason": "locked",
            "estimated": True,
        }
    ],
    "exposure": {
        "equity_usd": 1.0,
        "gross_usd": 2.0,
        "net_usd": 0.0,
        "gross_exposure": 2.0,
        "net_exposure": 0.0,
        "assets": {"BTC": 2.0},
        "breakdown": {
            "assets": {
                "BTC": {
                    "gross_usd": 2.0,
                    "net_usd": 0.0,
                    "gross_exposure": 2.0,
                    "net_exposure": 0.0,
                }
            }
        },
        "hedges": [{"underlying": "BTC", "drift": 0.01}],
    },
    "limits": [
        {
            "name": "clock_offset",
            "scope": "account:main",
            "measured": 250.0,
            "limit": 500.0,
            "unit": "ms",
            "utilization": 0.5,
            "level": "ok",
            "on_breach": "alert",
        }
    ],
    "alerts": [
        {
            "id": "A1",
            "level": "red",
            "limit": "drawdown",
            "scope": "portfolio",
            "since_ms": 0,
            "title": "drawdown 16 %",
        }
    ],
}


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("positions", ["BTC/USDT:USDT", "40,000", "?", "estimated, locked"]),
        ("exposure", ["equity 1.00", "BTC", "2.000", "sectors: none", "0.01"]),
        ("limits", ["clock_offset", "250 ms", "500 ms", "50 %"]),
        ("alerts", ["A1", "red", "drawdown 16 %", "1970-01-01"]),
    ],
)
def test_ctl_when_people_read_shows_tables(
    tmp_path: Path,
    config: str,
    capsys: pytest.CaptureFixture[str],
    command: str,
    parts: list[str],
) -> None:
    with daemon(tmp_path, lambda c: [reply(c, message="", document=DOCUMENTS[command])]):
        assert main(["ctl", command, "--config", config]) == 0
    shown = capsys.readouterr().out
    assert [part for part in parts if part not in shown] == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def typing(text: str) -> Iterator[None]:
    """Sit at a terminal and type."""
    before, sys.stdin = sys.stdin, Terminal(text)
    try:
        yield
    finally:
        sys.stdin = before


def wants_code(command: events.CommandReceived) -> list[actions.SendReply]:
    """Take the code 123456, ask for it otherwise."""
    if command.args.get("totp") != "123456":
        return [reply(command, ok=False, message="needs the 6-digit code", needs_factor=True)]
    return [reply(command)]


def test_ctl_when_a_code_is_wanted_asks_for_it_on_a_terminal(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(tmp_path, wants_code) as asked, typing("123456\n"):
        assert main(["ctl", "silence", "drawdown", "1h", "--config", config]) == 0
    assert [command.args.get("totp") for command in asked] == [None, "123456"]
    assert "needs the 6-digit code" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["", "\n"])
def test_ctl_when_nobody_types_a_code_is_refused(tmp_path: Path, config: str, typed: str) -> None:
    with daemon(tmp_path, wants_code) as asked, typing(typed):
        assert main(["ctl", "silence", "drawdown", "1h", "--config", config]) == 1
    assert len(asked) == 1


def test_ctl_when_a_code_is_wanted_and_nobody_sits_there_says_so(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with daemon(tmp_path, wants_code) as asked:
        assert main(["ctl", "silence", "drawdown", "1h", "--json", "--config", config]) == 1
    assert len(asked) == 1
    assert json.loads(capsys.readouterr().out)["needs_factor"] is True


@pytest.mark.parametrize(
    ("words", "args"),
    [
        (["size", "BTC", "61000"], {"instrument": "BTC", "stop": "61000"}),
        (["alerts", "A17"], {"which": "A17"}),
        (["pnl", "month"], {"period": "month"}),
        (["history", "drawdown", "48"], {"measure": "drawdown", "hours": "48"}),
        (["test", "red"], {"level": "red"}),
        (["setlimit", "drawdown"], {"limit": "drawdown"}),
        (["unsilence"], {}),
        (["audit", "5"], {"n": "5"}),
    ],
)
def test_ctl_passes_what_stands_behind_a_command(
    tmp_path: Path, config: str, words: list[str], args: dict[str, str]
) -> None:
    with daemon(tmp_path, lambda c: [reply(c)]) as asked:
        assert main(["ctl", *words, "--config", config]) == 0
    assert [command.args for command in asked] == [args]
