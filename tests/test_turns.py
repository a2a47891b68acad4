"""Short slices are asked of the real kernel, in a process of its own: what it says is believed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from riskbot import turns

KERNEL = Path("/proc/self/sched")
TELLS = KERNEL.exists() and "se.slice" in KERNEL.read_text()

STORY = """
import json, os, threading
from riskbot import turns

def now():
    return open("/proc/thread-self/sched").read()

nice = os.nice(3)
seen = [now()]
took = turns.soon()
seen.append(now())
thread = threading.Thread(target=lambda: seen.append(now()))
thread.start()
thread.join()
turns.ordinary()
seen.append(now())
print(json.dumps([took, os.getpriority(os.PRIO_PROCESS, 0) == nice, seen]))
"""


@pytest.mark.skipif(not TELLS, reason="the kernel does not tell slices (before Linux 6.12)")
def test_process_and_its_threads_have_short_slices_and_the_nice_value_stays() -> None:
    told = subprocess.run(
        [sys.executable, "-c", STORY], capture_output=True, text=True, check=True, timeout=30
    )
    took, is_as_nice, seen = json.loads(told.stdout)
    before, main, thread, after = (
        int(found[1]) for text in seen if (found := re.search(r"se\.slice\s*:\s*(\d+)", text))
    )
    assert took
    assert is_as_nice
    assert before == after > turns.SLICE_NS
    assert main == thread == turns.SLICE_NS
