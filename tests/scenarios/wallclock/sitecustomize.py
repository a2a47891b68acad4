"""A machine whose clock stands elsewhere: put this directory on PYTHONPATH of a process under test.

`WALLCLOCK_AHEAD_S` says by how many seconds its wall clock is ahead; durations are as ever.
"""

import os
import time

_AHEAD_S = float(os.environ.get("WALLCLOCK_AHEAD_S", "0"))
_AHEAD_NS = int(_AHEAD_S * 1e9)
_time, _time_ns = time.time, time.time_ns


def _later() -> float:
    return _time() + _AHEAD_S


def _later_ns() -> int:
    return _time_ns() + _AHEAD_NS


time.time, time.time_ns = _later, _later_ns
