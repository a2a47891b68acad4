"""`riskbot WORDS` as processes of their own that skip what every start does alike: the imports.

`python -m tests.scenarios.warm FD` imports riskbot once, waits on the socket FD, and forks for
each request. The fork takes on the words, files, directory and environment, runs what `python -m
riskbot` runs, and ends as that does; signals, exit codes and files are its own. Stories start
hundreds of processes, and two thirds of what they compute would be imports. What is about the start
itself uses `asyncio.create_subprocess_exec` (`Daemon.is_warm`).
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import gc
import importlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from typing import IO

MODULES = ("riskbot.__main__", "riskbot.app", "riskbot.cli.run", "riskbot.cli.ctl")
VENUES = ("binanceusdm", "binance", "bybit", "okx")
"""Imported before the first fork."""

_REQUEST_BYTES = 2**18
_FILES = 4


class Process:
    """A process that was forked for us, as far as stories use `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._ending = asyncio.create_task(self._end(reader))

    async def wait(self) -> int:
        """Wait for the end; return the exit code, -N after signal N."""
        return await asyncio.shield(self._ending)

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing where it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def _end(self, reader: asyncio.StreamReader) -> int:
        self.returncode = int(await reader.readline())
        self._writer.close()
        return self.returncode


async def start(words: list[str], out: IO[bytes], err: IO[bytes], cwd: os.PathLike[str]) -> Process:
    """Start `riskbot WORDS` in this environment, with nothing on its standard input."""
    ours, theirs = socket.socketpair()
    request = {"words": words, "cwd": os.fspath(cwd), "environment": dict(os.environ)}
    with open(os.devnull, "rb") as nothing, theirs:
        files = [theirs.fileno(), nothing.fileno(), out.fileno(), err.fileno()]
        socket.send_fds(_server(), [json.dumps(request).encode()], files)
    reader, writer = await asyncio.open_connection(sock=ours)
    return Process(int(await reader.readline()), reader, writer)


@functools.cache
def _server() -> socket.socket:
    """Start the process that forks, once; it ends with ours."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


# ---------------------------------------------------------------- in the process that forks


def _serve(control: socket.socket) -> list[str] | None:
    """Fork for every request; return its words in the fork, None once nobody asks any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    while True:
        data, files, _, _ = socket.recv_fds(control, _REQUEST_BYTES, _FILES)
        if not data:
            return None
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            return _watched(json.loads(data), files)
        for number in files:
            os.close(number)


def _watched(request: dict[str, object], files: list[int]) -> list[str] | None:
    """Fork once more, and tell of its end; return the words in that fork."""
    caller, *standard = files
    pid = os.fork()
    if pid:
        os.write(caller, b"%d\n" % pid)
        for number in standard:
            os.close(number)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(caller, b"%d\n" % code)
        os._exit(0)
    os.close(caller)
    for number, standing in enumerate(standard):
        os.dup2(standing, number)
        os.close(standing)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    random.seed()
    return list(request["words"])  # type: ignore[call-overload]


def _main() -> int:
    modules = [importlib.import_module(name) for name in MODULES]
    from riskbot.exchanges._lazy import load_class

    for venue in VENUES:
        load_class(venue)
    gc.collect()
    gc.freeze()  # else the first collection of a fork copies what it shares
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    if words is None:
        return 0
    sys.argv = [str(modules[0].__file__), *words]
    code: int = modules[0].main()
    return code


if __name__ == "__main__":
    raise SystemExit(_main())
