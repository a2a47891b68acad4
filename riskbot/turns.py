"""How soon this process gets its turn on a machine whose processors are wanted by others too.

A guard sleeps until something happens: a frame, a question, the disk's answer. Where a processor is
free it then runs at once. Where none is, Linux 6.6 and later let whoever runs go on to the next
tick (4 ms), for each of these wake-ups. A process that asks for short slices is let in at once
(Linux 6.12): its share stays what it was, it takes it in smaller pieces. It needs no right.
"""

from __future__ import annotations

import os
import platform

SLICE_NS = 100_000
"""The least the kernel gives."""

_CALLS = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""Number of `sched_setattr`, which the C library does not have everywhere."""


def soon() -> bool:
    """Ask for short slices, for this thread and all that it starts; False = not to be had."""
    return _ask(SLICE_NS)


def ordinary() -> bool:
    """Ask for what others have: in a process that computes beside the guard."""
    return _ask(0)


def _ask(slice_ns: int) -> bool:
    number = _CALLS.get(platform.machine())
    # Somebody else's choice of a policy stays.
    if number is None or os.uname().sysname != "Linux" or os.sched_getscheduler(0):
        return False
    import ctypes

    class Attributes(ctypes.Structure):
        _fields_ = (
            ("size", ctypes.c_uint32),
            ("policy", ctypes.c_uint32),
            ("flags", ctypes.c_uint64),
            ("nice", ctypes.c_int32),
            ("priority", ctypes.c_uint32),
            ("runtime", ctypes.c_uint64),
            ("deadline", ctypes.c_uint64),
            ("period", ctypes.c_uint64),
        )

    wanted = Attributes(
        size=ctypes.sizeof(Attributes),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        runtime=slice_ns,
    )
    return bool(ctypes.CDLL(None).syscall(number, 0, ctypes.byref(wanted), 0) == 0)
