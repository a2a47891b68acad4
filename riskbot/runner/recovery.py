"""Start-up is recovery: fold the newest checkpoint and the tail; decide nothing again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

from riskbot import crashpoint
from riskbot.errors import CodecError, ConfigError, FatalError
from riskbot.runner.contract import Checkpoint, Engine, Journal, Kept, Row

_log = logging.getLogger(__name__)

E = TypeVar("E", bound=Engine)


async def recover(journal: Journal, make_engine: Callable[[], E]) -> E:
    """Build an engine and bring it to where the journal ends.

    A checkpoint that this version cannot load is passed over for the one before it, at last for
    the beginning: a longer fold comes to the same state.

    Raises:
        ConfigError: a record was written by a newer riskbot.
        FatalError: the fold broke on a record, named by its number.
        StorageError: the file cannot be read.
    """
    engine, checkpoint = await _start(journal, make_engine)
    seq = checkpoint.seq if checkpoint else 0
    with _newer_told():
        seen = None
        while seen != journal.written_seq:
            # Again, if the writer went on meanwhile: what it wrote waits no more.
            seen = journal.written_seq
            async for row in journal.read(seq):
                seq = _fold(engine, row)
        # In a rebuild, with a disk that takes nothing: what it could not take counts as well.
        for row in journal.unwritten(seq):
            _fold(engine, row)
    crashpoint.reach("recovery.folded")
    return engine


class Folded(NamedTuple, Generic[E]):
    """An engine as far as a journal goes.

    Attributes:
        seq: of the last record, 0 = there is none.
        ts_ms: when that was written, UTC ms.
    """

    engine: E
    seq: int
    ts_ms: int


async def refold(journal: Kept, make_engine: Callable[[], E]) -> Folded[E]:
    """Build an engine of what a journal holds now, while another process may write to it.

    Raises:
        ConfigError, FatalError, StorageError: as `recover`.
    """
    engine, checkpoint = await _start(journal, make_engine)
    seq, ts_ms = (checkpoint.seq, checkpoint.ts_ms) if checkpoint else (0, 0)
    with _newer_told():
        async for row in journal.read(seq):
            seq, ts_ms = _fold(engine, row), row.ts_ms
    return Folded(engine, seq, ts_ms)


@contextmanager
def _newer_told() -> Iterator[None]:
    """Say what to do about a record that this version cannot read."""
    try:
        yield
    except CodecError as error:
        raise ConfigError([f"{error}; run the riskbot that wrote it, or a newer one"]) from error


def _fold(engine: Engine, row: Row) -> int:
    try:
        engine.fold(row.record, row.ts_ms)
    except Exception as error:
        message = f"record {row.seq} ({row.record.kind}) breaks the fold: {error!r}"
        raise FatalError(message) from error
    return row.seq


async def _start(journal: Kept, make_engine: Callable[[], E]) -> tuple[E, Checkpoint | None]:
    before: int | None = None
    while (checkpoint := await journal.load_checkpoint(before)) is not None:
        engine = make_engine()
        try:
            engine.load(checkpoint.state)
            return engine, checkpoint
        except Exception as error:  # noqa: BLE001 - whatever it is, the fold is the way out
            text = "checkpoint %d cannot be loaded, folding a longer tail"
            _log.critical(text, checkpoint.seq, exc_info=error)
            before = checkpoint.seq
    return make_engine(), None
