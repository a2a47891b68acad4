"""One riskbot per state directory and per key, also against another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from riskbot.errors import ConfigError
from riskbot.lock import LOCK_NAME, fingerprint, hold_locks

HOLD = """
import sys
from pathlib import Path
from riskbot.lock import hold_locks
with hold_locks(Path(sys.argv[1]), {"main": sys.argv[2]}):
    print("held", flush=True)
    sys.stdin.read()
"""


def key(name: str) -> str:
    return fingerprint("venue", f"{name}-{os.getpid()}")


def other(state_dir: Path, print_: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state_dir), print_],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_lock_when_another_process_has_it_names_what_and_whose(tmp_path: Path) -> None:
    process = other(tmp_path, key("a"))
    try:
        with pytest.raises(ConfigError) as caught, hold_locks(tmp_path, {"bot": key("a")}):
            pass
    finally:
        end(process)
    directory, account = caught.value.faults
    assert str(tmp_path) in directory
    assert str(process.pid) in directory
    assert "accounts.bot" in account
    assert "another riskbot" in account


def test_lock_when_only_the_key_is_in_use_elsewhere_is_refused(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    process = other(there, key("b"))
    try:
        with (
            pytest.raises(ConfigError, match=r"accounts\.main"),
            hold_locks(here, {"main": key("b")}),
        ):
            pass
    finally:
        end(process)


def test_lock_after_a_kill_is_free_at_once(tmp_path: Path) -> None:
    end(other(tmp_path, key("c")))
    with hold_locks(tmp_path, {"main": key("c")}):
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_locks_of_different_directories_and_keys_go_together(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        hold_locks(tmp_path / "a", {"main": key("d")}),
        hold_locks(tmp_path / "b", {"main": key("e")}),
    ):
        pass


def test_two_accounts_may_share_a_key(tmp_path: Path) -> None:
    with hold_locks(tmp_path, {"spot": key("f"), "futures": key("f")}):
        pass


def test_lock_in_a_missing_directory_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"), hold_locks(tmp_path / "nowhere", {}):
        pass


def test_fingerprint_does_not_tell_the_key() -> None:
    assert "hunter22" not in fingerprint("venue", "hunter22")
    assert fingerprint("venue", "hunter22") != fingerprint("other", "hunter22")
