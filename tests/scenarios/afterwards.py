"""What must be true of a guard's journal once its daemon has ended, whatever happened before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from riskbot.config import load
from riskbot.core import actions
from riskbot.core.engine import Engine
from riskbot.core.model import Level
from riskbot.journal.reader import Reader, Row
from tests.scenarios.daemon import Daemon

KEPT = ("enforcement", "alerts", "trades")
"""Parts of the state that are folded from what the journal keeps whole; prices are conflated."""


class Afterwards:
    """The journal of a daemon that was stopped, read offline.

    Attributes:
        rows: every record, oldest first.
    """

    def __init__(self, rows: Sequence[Row], live: dict[str, Any], folded: Engine) -> None:
        self.rows, self.live, self.folded = rows, live, folded

    def told(self, name: str, level: Level) -> bool:
        """Whether people were told of something at a level."""
        return any(
            (row.record.alert.name, row.record.alert.level) == (name, level)
            for row in self.rows
            if isinstance(row.record, actions.SendAlert)
        )

    def sent_ids(self) -> set[str]:
        """Return the ids of the orders that were decided."""
        placed = (row.record for row in self.rows if isinstance(row.record, actions.PlaceOrder))
        return {order.client_order_id for order in placed}


async def afterwards(daemon: Daemon) -> Afterwards:
    """Stop the daemon, read its journal, and check what holds of every journal.

    Raises:
        AssertionError: an event broke the engine, the audit's chain is broken, or folding the
            records from the first comes to another state than the one that was live.
    """
    assert await daemon.stop() == 0, daemon.said()
    reader = await Reader.open_reader(daemon.state_dir / "journal.sqlite")
    try:
        assert await reader.quarantined() == []
        assert (await reader.verify()).broken_seq is None
        rows = [row async for row in reader.read()]
        checkpoint = await reader.load_checkpoint()
    finally:
        await reader.close()
    assert checkpoint is not None
    folded = Engine(load(daemon.path).core())
    for row in rows:
        folded.fold(row.record, row.ts_ms)
    again = folded.dump()
    for part in KEPT:
        assert again[part] == checkpoint.state[part], f"{part}: the fold is not what was live"
    return Afterwards(rows, checkpoint.state, folded)
