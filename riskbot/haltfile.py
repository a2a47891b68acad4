"""The file `kill` writes: looked at before sends of new risk, noticed while the daemon runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from riskbot.clock import Clock
from riskbot.core import events

LOOK_EVERY_S = 1.0
REASON_MAX = 200


class HaltFile:
    """`<state_dir>/HALT`.

    Args:
        path: of the file.
        submit: takes `HaltFileSeen`.
        clock: for the looks.
    """

    def __init__(self, path: Path, submit: Callable[[events.Event], None], clock: Clock) -> None:
        self._path = path
        self._submit = submit
        self._clock = clock

    def exists(self) -> bool:
        """Whether the file is there."""
        return self._path.exists()

    def remove(self) -> None:
        """Remove it after `resume`."""
        with suppress(FileNotFoundError):
            self._path.unlink()

    async def run(self) -> None:
        """Notice the file when it appears.

        A look a second costs a system call; the file is written by a process that may be all
        that still works, so it asks nothing of this one.
        """
        was_there = self.exists()
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            is_there = self.exists()
            if is_there and not was_there:
                self._submit(events.HaltFileSeen(reason=self._reason()))
            was_there = is_there

    def _reason(self) -> str:
        try:
            return self._path.read_text(errors="replace")[:REASON_MAX].strip()
        except OSError:
            return "HALT file"
