"""Which strategies riskbot stopped, over restarts: what a person stopped, riskbot never starts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from enum import StrEnum
from pathlib import Path

_log = logging.getLogger(__name__)


class Mark(StrEnum):
    """How far riskbot went with a strategy.

    Attributes:
        ASKED: it was asked to stop, and no answer is known.
        STOPPED: it was seen stopped after it was asked.
        RELOADING: it was asked to read its configuration again, which starts it.
    """

    ASKED = "asked"
    STOPPED = "stopped"
    RELOADING = "reloading"


class Memory:
    """A small file, written before a strategy is asked and forgotten when it is back.

    A file that cannot be read remembers nothing: then nobody is started. One that cannot be
    written keeps nobody from being stopped.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[str, Mark] | None = None
        self._turn = asyncio.Lock()

    async def get(self, url: str) -> Mark | None:
        """Return the mark of a strategy, None = riskbot did not stop it."""
        async with self._turn:
            return (await self._read()).get(url)

    async def set(self, url: str, mark: Mark | None) -> None:
        """Note a mark, None = forget; durable on return, as far as the disk allows."""
        async with self._turn:
            marks = await self._read()
            if marks.get(url) == mark:
                return
            if mark is None:
                marks.pop(url, None)
            else:
                marks[url] = mark
            try:
                # Not in the loop: a disk may take its time, and the guard must not.
                await asyncio.to_thread(self._write, json.dumps(marks))
            except OSError as error:
                _log.error("cannot write %s: %s", self._path.name, error.strerror)

    async def _read(self) -> dict[str, Mark]:
        if self._marks is None:
            self._marks = await asyncio.to_thread(self._load)
        return self._marks

    def _load(self) -> dict[str, Mark]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(url): Mark(mark) for url, mark in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            _log.error("cannot read %s, nobody is started: %r", self._path.name, error)
            return {}

    def _write(self, text: str) -> None:
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
