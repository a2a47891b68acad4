"""What the runner needs of the engine and of the journal; `app` hands both over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol

from riskbot.core import actions, events

Record = events.Event | actions.Action

Asked = (
    events.CommandReceived | events.OrderRequested | events.AmendRequested | events.CancelRequested
)
"""What somebody waits for an answer to: a `SendReply` with the same `request_id`."""


class Engine(Protocol):
    """Decides; pure."""

    def handle(
        self, event: events.Event, now_ms: int, received_ns: int = 0
    ) -> list[actions.Action]:
        """Fold an event and return what is to be done, already folded."""
        ...

    def next_deadline_ms(self, now_ms: int) -> int:
        """Return when `TimerFired` is due next, always later than now."""
        ...

    def fold(self, record: Record, ts_ms: int) -> None:
        """Take one record of the journal without deciding."""
        ...

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        ...

    def load(self, data: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""
        ...


class Checkpoint(Protocol):
    """State as of a sequence number."""

    @property
    def seq(self) -> int:
        """Last record it contains."""
        ...

    @property
    def ts_ms(self) -> int:
        """When it was written."""
        ...

    @property
    def state(self) -> dict[str, Any]:
        """What the engine dumped."""
        ...


class Row(Protocol):
    """One journaled record."""

    @property
    def seq(self) -> int:
        """Its place."""
        ...

    @property
    def ts_ms(self) -> int:
        """When it was handled."""
        ...

    @property
    def record(self) -> Record:
        """The record."""
        ...


class Kept(Protocol):
    """What was kept: all that a fold needs."""

    async def load_checkpoint(self, before_seq: int | None = None) -> Checkpoint | None:
        """Return the newest checkpoint, or the newest before one that cannot be used."""
        ...

    def read(self, after_seq: int = 0) -> AsyncIterator[Row]:
        """Yield the records after a number."""
        ...


class Journal(Kept, Protocol):
    """Keeps; durable before effect."""

    @property
    def last_seq(self) -> int:
        """Highest sequence number handed out."""
        ...

    @property
    def failure(self) -> str | None:
        """Why no writes are taken at present."""
        ...

    @property
    def written_seq(self) -> int:
        """Highest sequence number known to be durable."""
        ...

    @property
    def lost_rows(self) -> int:
        """How many were given up because the disk took none for too long."""
        ...

    def unwritten(self, after_seq: int) -> Iterator[Row]:
        """Yield the records after a number that wait for the disk, in order."""
        ...

    def enqueue(
        self, event: events.Event, decided: Sequence[actions.Action], ts_ms: int
    ) -> asyncio.Future[int]:
        """Hand in one transaction; the future is done once it is durable."""
        ...

    def note(self, event: events.Event, ts_ms: int) -> None:
        """Keep an event that led to nothing, without waiting."""
        ...

    def quarantine(self, event: events.Event, error: str, ts_ms: int) -> None:
        """Set an event aside."""
        ...

    async def flush(self) -> None:
        """Wait until all is durable."""
        ...

    async def probe(self) -> bool:
        """Try to write again; True = storage is back."""
        ...

    async def save_checkpoint(self, state: dict[str, Any], seq: int, ts_ms: int) -> None:
        """Keep a checkpoint."""
        ...

    async def upkeep(self, now_ms: int) -> None:
        """Drop what is past its age, copy what is kept."""
        ...
