"""How long something took, less the time in which a busy machine let the processes wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def starved_s(pid: int) -> float:
    """Return how long a process was ready to run and had no core, 0 where nothing tells."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Watch:
    """A stop watch that stands still while this process, or the one it watches, has no core.

    What is asserted of a duration is meant of a machine that is free to run riskbot; tests run
    side by side. On an idle one it is the time of the wall.

    Args:
        pid: of the watched process at this moment, None = there is none.
    """

    def __init__(self, pid: Callable[[], int | None] = lambda: None) -> None:
        self._pid = pid
        self._start = time.monotonic()
        self._before = {each: starved_s(each) for each in self._pids()}
        self._lost: dict[int, float] = {}

    def _pids(self) -> list[int]:
        watched = self._pid()
        return [os.getpid(), *([watched] if watched is not None else [])]

    def seconds(self) -> float:
        """Return the seconds since the start."""
        for pid in self._pids():
            lost = starved_s(pid) - self._before.get(pid, 0.0)
            self._lost[pid] = max(lost, self._lost.get(pid, 0.0))
        return time.monotonic() - self._start - sum(self._lost.values())
