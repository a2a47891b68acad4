"""`kill`, `check --connect`, `init` as processes, with unmodified ccxt.pro, over real sockets."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from riskbot.cli import init
from riskbot.config import load
from tests.cli.processes import KEY, SECRET, configuration, riskbot, venue
from tests.fakes import until

VENUES = pytest.mark.parametrize("exchange", ["binanceusdm", "bybit"])


@VENUES
async def test_kill_when_daemon_is_dead_cancels_entries_and_keeps_the_stop(
    tmp_path: Path, exchange: str
) -> None:
    async with venue(exchange) as one:
        config = configuration(tmp_path, one)
        code, _, told = await riskbot("kill", "--config", config)
        assert (code, one.working(), one.quantity()) == (0, [("sell", True)], Decimal("0.5"))
    assert "HALT written to" in told
    assert stat.S_IMODE((tmp_path / "state" / "HALT").stat().st_mode) == 0o600
    assert (tmp_path / "state" / "HALT").read_text().startswith(f"kill by uid {os.getuid()} at 2")
    assert SECRET not in told


@VENUES
async def test_kill_when_flattening_everything_leaves_nothing(
    tmp_path: Path, exchange: str
) -> None:
    async with venue(exchange) as one:
        config = configuration(tmp_path, one)
        code, said, _ = await riskbot("kill", "--flatten", "--all-orders", "--config", config)
        assert (code, one.working(), one.quantity()) == (0, [], 0)
    assert "main: 3 orders cancelled, 1 closing orders; verified" in said


async def test_kill_when_daemon_is_stopped_by_a_signal_does_its_work(tmp_path: Path) -> None:
    async with venue("binanceusdm") as one:
        config = configuration(tmp_path, one)
        daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "riskbot", "run", "--config", str(config),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await until((tmp_path / "state" / "riskbot.sock").exists, seconds=60)
            daemon.send_signal(signal.SIGSTOP)
            code, _, _ = await riskbot("kill", "--flatten", "--config", config)
            assert (code, one.quantity()) == (0, 0)
            assert ("buy", False) not in one.working()
        finally:
            daemon.kill()
            await daemon.wait()


async def test_kill_when_one_venue_is_down_does_the_other_and_names_it(tmp_path: Path) -> None:
    async with venue("binanceusdm") as up, venue("bybit") as down:
        config = configuration(tmp_path, up, down)
        await down.server.stop()
        code, said, _ = await riskbot("kill", "--config", config, "--timeout", "6")
        assert (code, up.working()) == (1, [("sell", True)])
    assert "main: 2 orders cancelled; verified" in said
    assert "bybit: 0 orders cancelled; NOT DONE" in said


async def test_kill_when_keys_cannot_be_read_writes_halt_and_says_so(tmp_path: Path) -> None:
    async with venue("binanceusdm") as one:
        config = configuration(tmp_path, one)
        (tmp_path / "binanceusdm.key").unlink()
        code, _, told = await riskbot("kill", "--config", config)
        assert (code, len(one.working())) == (1, 3)
    assert (tmp_path / "state" / "HALT").exists()
    assert "accounts.main.api_key_file: cannot read" in told
    assert "nothing was cancelled" in told


async def test_kill_when_state_directory_cannot_be_written_still_cancels(tmp_path: Path) -> None:
    async with venue("binanceusdm") as one:
        (tmp_path / "file").write_text("")
        config = configuration(tmp_path, one, state_dir="file/state")
        code, _, told = await riskbot("kill", "--config", config)
        assert (code, one.working()) == (1, [("sell", True)])
    assert "no HALT file" in told


async def test_check_when_connected_shows_rights_and_positions(tmp_path: Path) -> None:
    async with venue("binanceusdm") as one:
        config = configuration(tmp_path, one)
        code, said, told = await riskbot("check", "--connect", "--config", config)
        assert len(one.working()) == 3
    assert code == 0, told
    for part in ("held by cancel only", "withdraw no", "one-way", "BTC/USDT:USDT", "position_size"):
        assert part in said


async def test_check_when_key_is_refused_exits_with_78(tmp_path: Path) -> None:
    async with venue("bybit") as one:
        config = configuration(tmp_path, one)
        (tmp_path / "bybit.secret").write_text("another")
        code, _, told = await riskbot("check", "--connect", "--config", config)
    assert code == 78
    assert "accounts.main.api_key: the venue refuses it" in told


async def test_check_when_venue_is_down_exits_with_1(tmp_path: Path) -> None:
    async with venue("binanceusdm") as one:
        config = configuration(tmp_path, one)
        await one.server.stop()
        code, _, told = await riskbot("check", "--connect", "--config", config)
    assert code == 1
    assert "accounts.main: " in told


async def test_check_when_hedge_instrument_is_not_listed_exits_with_78(tmp_path: Path) -> None:
    async with venue("binanceusdm") as one:
        hedge = {"account": "main", "instrument": "XYZ/USDT:USDT", "max_usd": 1}
        portfolio = {"preset": "leveraged", "hedges": {"XYZ": hedge}}
        config = configuration(tmp_path, one, portfolio=portfolio)
        code, _, told = await riskbot("check", "--connect", "--config", config)
    assert code == 78
    assert "XYZ/USDT:USDT is not listed at main" in told


async def test_init_when_given_flags_writes_files_for_the_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "given").write_text(KEY)
    config = tmp_path / "etc" / "riskbot.yaml"
    words = ["--exchange", "bybit", "--api-key-file", tmp_path / "given", "--api-secret-file",
             tmp_path / "given", "--telegram-user", "42", "--telegram-token-file",
             tmp_path / "given", "--preset", "holder", "--offline"]  # fmt: skip
    code, said, told = await riskbot("init", "--config", config, *words)
    assert code == 0, told
    assert f"riskbot check --connect --config {config}" in said
    made = load(config, {}, for_run=True)
    assert (made.root.mode, made.root.portfolio.preset) == ("shadow", "holder")
    assert made.root.telegram is not None
    assert made.root.telegram.users == {42: "admin"}
    assert made.state_dir == config.parent / "state"
    modes = {stat.S_IMODE(file.stat().st_mode) for file in config.parent.iterdir()}
    assert modes == {0o600}
    assert KEY not in config.read_text()
    again, _, told = await riskbot("init", "--config", config, *words)
    assert (again, "exists already" in told) == (1, True)


async def test_init_when_nothing_is_given_asks(tmp_path: Path) -> None:
    config = tmp_path / "riskbot.yaml"
    answers = f"okx\n{KEY}\n{SECRET}\npass\n"
    code, _, told = await riskbot("init", "--offline", "--config", config, stdin=answers)
    assert code == 0, told
    credentials = load(config, {}, for_run=True).accounts["main"].credentials().ccxt_config()
    assert credentials == {"apiKey": KEY, "secret": SECRET, "password": "pass"}


@pytest.mark.parametrize(
    ("words", "stdin", "part"),
    [
        ([], "", "Exchange (a ccxt.pro id, or paper): is missing"),
        (["--exchange", "bonance"], "", "no such exchange: 'bonance'; did you mean `binance`?"),
        (["--exchange", "bybit"], "key\n", "API secret: is missing"),
        (["--exchange", "bybit", "--api-key-file", "/nowhere"], "", "cannot read /nowhere"),
        (["--exchange", "bybit", "--api-key-env", "NO_SUCH"], "", "NO_SUCH: is empty"),
        (["--exchange", "paper", "--telegram-token-env", "HOME"], "", "needs --telegram-user"),
    ],
)
async def test_init_when_an_answer_is_missing_says_which(
    tmp_path: Path, words: list[str], stdin: str, part: str
) -> None:
    config = tmp_path / "riskbot.yaml"
    code, _, told = await riskbot("init", "--config", config, *words, stdin=stdin)
    assert (code, part in told, config.exists()) == (2, True, False), told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_init_when_root_writes_for_the_service_gives_it_the_files(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    init.write_secret(tmp_path / "main.key", KEY, nobody)
    state = (tmp_path / "main.key").stat()
    assert (state.st_uid, state.st_gid) == (nobody.pw_uid, nobody.pw_gid)
    assert stat.S_IMODE(state.st_mode) == 0o600
    assert init.service_user(tmp_path / "main.key") is None, "elsewhere files stay root's"


def test_init_when_somebody_mistypes_at_a_terminal_asks_again(tmp_path: Path) -> None:
    config = tmp_path / "riskbot.yaml"
    words = [sys.executable, "-m", "riskbot", "init", "--offline", "--config", str(config)]
    answers = [b"bynance", b"paper", b"me", b""]
    ours, theirs = os.openpty()
    with subprocess.Popen(
        words, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(theirs)
        os.write(ours, b"\n".join(answers) + b"\n")
        _, told = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, told
    assert "no such exchange: 'bynance'" in told
    assert "a Telegram user id is a number, not 'me'" in told
    assert yaml.safe_load(config.read_text())["accounts"] == {"main": {"exchange": "paper"}}


async def test_init_when_venue_answers_proposes_what_the_book_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with venue("bybit") as one:
        config = configuration(tmp_path, one)
        answers = init.Answers("main", "bybit", "cautious", tmp_path / "state", {})
        # 20,000 of 100,000 less the fee of opening it: a hair above 20 % in one coin.
        assert await init.look_at(config, answers) == ("directional", True)
        (tmp_path / "bybit.secret").write_text("another")
        assert await init.look_at(config, answers) == ("cautious", False)
        await one.server.stop()
        assert await init.look_at(config, answers) == ("cautious", True)
    captured = capsys.readouterr()
    assert "the present book fits preset directional" in captured.out
    assert "refuses the key" in captured.err
    assert "does not answer; the preset is a guess" in captured.err


async def test_init_when_paper_proposes_without_asking_anyone(tmp_path: Path) -> None:
    config = tmp_path / "riskbot.yaml"
    code, _, _ = await riskbot("init", "--exchange", "paper", "--config", config)
    assert code == 0
    assert yaml.safe_load(config.read_text())["portfolio"] == {"preset": "cautious"}
