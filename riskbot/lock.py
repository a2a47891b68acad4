"""One riskbot per state directory, and one per API key on a host.

Both locks vanish with the process, whatever ends it. Two hosts are not told apart here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from riskbot.errors import ConfigError

LOCK_NAME = "riskbot.lock"
"""File in the state directory; it holds the owner's process id."""


def fingerprint(exchange: str, key: str) -> str:
    """Return a name for an API key that does not tell it: 24 hex digits of a SHA-256."""
    return hashlib.sha256(f"riskbot\n{exchange}\n{key}".encode()).hexdigest()[:24]


@contextlib.contextmanager
def hold_locks(state_dir: Path, accounts: Mapping[str, str]) -> Iterator[None]:
    """Hold the state directory and every account's key.

    Args:
        state_dir: must exist.
        accounts: `fingerprint` of the key by account name.

    Raises:
        ConfigError: somebody else holds one; every one that is taken is named.
    """
    with contextlib.ExitStack() as held:
        faults = _try(held, _lock_file(state_dir / LOCK_NAME), f"{state_dir}: ")
        # Two accounts may share a key on purpose (markets of one venue): it is locked once.
        for print_ in dict.fromkeys(accounts.values()):
            names = ", ".join(f"accounts.{a}" for a, p in accounts.items() if p == print_)
            faults += _try(held, _lock_key(print_), f"{names}: its key: ")
        if faults:
            raise ConfigError(faults)
        yield


class _Taken(Exception):  # noqa: N818 - an answer, not an error
    """Somebody else holds it."""


def _try(
    held: contextlib.ExitStack,
    lock: contextlib.AbstractContextManager[None],
    subject: str,
) -> list[str]:
    try:
        held.enter_context(lock)
    except _Taken as taken:
        return [f"{subject}another riskbot is running on it{taken}"]
    except OSError as error:
        return [f"{subject}cannot be locked: {error.strerror or error}"]
    return []


@contextlib.contextmanager
def _lock_file(path: Path) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            owner = os.read(handle, 32).decode(errors="replace").strip()
            raise _Taken(f" (process {owner})" if owner else "") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _lock_key(print_: str) -> Iterator[None]:
    """Lock a key host-wide.

    On Linux an abstract socket name: seen by every user and through every private /tmp, and no
    file stays behind. Elsewhere a file in the temporary directory.
    """
    if sys.platform != "linux":
        with _lock_file(Path(tempfile.gettempdir()) / f"riskbot-{print_}.lock"):
            yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
        try:
            name.bind(f"\0riskbot-{print_}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise _Taken from error
        yield
