"""The demo where there is no terminal: one line per event."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from riskbot.console.narrator import Document, Narrator, clock_text


class Lines:
    """One line per event.

    Args:
        write: takes a line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._narrator = Narrator()
        self._said: set[str] = set()

    def show(self, status: Document, positions: list[Document]) -> None:
        """Print what is new."""
        for note in self._narrator.see(status, positions):
            self._write(f"{clock_text(note.at_ms)}  {note.text}")
            if note.why and note.why not in self._said:
                self._said.add(note.why)
                self._write(f"              {note.why}")

    def end(self, lines: Iterable[str]) -> None:
        """Print the summary."""
        for line in lines:
            self._write(line)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return
