"""The stop watch of the live stories: it leaves out what a busy machine does not give."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.scenarios.patience import Watch, starved_s

BUSY = "import os; os.sched_setaffinity(0, {int(os.environ['CORE'])})\nwhile True: pass"


@contextlib.contextmanager
def crowded_core(rivals: int) -> Iterator[None]:
    """Share one core with processes that never rest."""
    before = os.sched_getaffinity(0)
    core = min(before)
    env = {**os.environ, "CORE": str(core)}
    running = [subprocess.Popen([sys.executable, "-c", BUSY], env=env) for _ in range(rivals)]
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.skipif(not starved_s(os.getpid()), reason="this system does not tell")
def test_watch_stands_still_while_others_have_the_core() -> None:
    with crowded_core(rivals=3):
        watch, started, used = Watch(), time.monotonic(), time.process_time()
        while time.process_time() - used < 0.5:
            pass
        seconds, wall = watch.seconds(), time.monotonic() - started
    assert wall > 0.9
    assert seconds < wall - 0.3


def test_watch_counts_time_in_which_nothing_is_waited_for() -> None:
    watch = Watch(os.getpid)
    time.sleep(0.3)
    assert watch.seconds() >= 0.2
