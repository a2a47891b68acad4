"""The kill switch of the crash tests: exact when asked, and nothing at all when not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from riskbot import crashpoint

PASS_ALL = """
from riskbot import crashpoint
for turn in range(3):
    for label in crashpoint.LABELS:
        print(label, turn, flush=True)
        crashpoint.reach(label)
"""


def run(setting: str | None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "RISKBOT_CRASH_AT"}
    if setting is not None:
        env["RISKBOT_CRASH_AT"] = setting
    return subprocess.run(
        [sys.executable, "-c", PASS_ALL], env=env, capture_output=True, text=True, check=False
    )


def test_without_the_variable_nothing_happens() -> None:
    done = run(None)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3 * len(crashpoint.LABELS)


@pytest.mark.parametrize(("setting", "last"), [("order.after_send", 0), ("order.after_send:3", 2)])
def test_label_kills_at_its_turn(setting: str, last: int) -> None:
    done = run(setting)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.splitlines()[-1] == f"order.after_send {last}"


def test_unknown_label_is_named() -> None:
    done = run("order.never")
    assert done.returncode == 1
    assert "no crash point is called 'order.never'" in done.stderr


def test_every_label_is_passed_by_some_part_and_every_pass_is_a_label() -> None:
    source = Path(crashpoint.__file__).parent
    text = "\n".join(path.read_text() for path in source.rglob("*.py"))
    passed = {part.split('"')[1] for part in text.split("crashpoint.reach(")[1:]}
    assert passed == set(crashpoint.LABELS)
    assert len(crashpoint.LABELS) >= 15
