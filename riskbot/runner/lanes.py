"""Two bounded lanes before the engine, and what happens at the bound.

Urgent: outcomes, commands, account events, in order. Routine: prices and signs of life; when full,
the newest of each instrument is kept and the ones between are given up.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import NamedTuple

from riskbot.core import events
from riskbot.runner.contract import Asked

URGENT_MAX = 10_000
ROUTINE_MAX = 4_000
_URGENT_RUN = 32

_ROUTINE = frozenset(
    {
        events.PricesUpdated,
        events.DepthRead,
        events.AssetPriced,
        events.FeedAlive,
        events.ClockMeasured,
    }
)
_ACCOUNT_STREAM = frozenset(
    {
        events.PositionsUpdated,
        events.BalancesUpdated,
        events.OrderUpdated,
        events.OrderFilled,
    }
)
_PRICE_FIELDS = (
    "mark",
    "index",
    "bid",
    "ask",
    "last",
    "bid_quantity",
    "ask_quantity",
    "venue_ms",
    "delta",
    "gamma",
    "vega",
    "funding_rate",
    "funding_interval_h",
    "next_funding_ms",
)


class Taken(NamedTuple):
    """An event with the monotonic stamp of its arrival."""

    event: events.Event
    received_ns: int


class Inbox:
    """Events that wait for the engine.

    Attributes:
        conflated: routine events that were merged into a newer one.
        dropped: account events that were given up, each announced as a gap of its account.
    """

    def __init__(self, urgent_max: int = URGENT_MAX, routine_max: int = ROUTINE_MAX) -> None:
        self.conflated = 0
        self.dropped = 0
        self._urgent_max, self._routine_max = urgent_max, routine_max
        self._urgent: deque[Taken] = deque()
        self._routine: deque[Taken] = deque()
        self._newest: dict[tuple[object, ...], Taken] = {}
        self._gapped: set[str] = set()
        self._run = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._routine) + len(self._newest)

    def put(self, event: events.Event, received_ns: int) -> bool:
        """Queue an event.

        Outcomes are always taken: there are no more of them than riskbot asked for. Account
        events beyond the bound become one FeedLost for their account: a gap is honest, and is
        closed by a read.

        Returns:
            False for a command or an order that finds no room: whoever asked must be told.
        """
        if type(event) in _ROUTINE:
            self._put_routine(event, received_ns)
            return True
        if len(self._urgent) < self._urgent_max:
            self._urgent.append(Taken(event, received_ns))
            return True
        if isinstance(event, Asked):
            return False
        if type(event) in _ACCOUNT_STREAM:
            self._drop(str(getattr(event, "account", "")), received_ns)
        else:
            self._urgent.append(Taken(event, received_ns))
        return True

    def _drop(self, account: str, received_ns: int) -> None:
        self.dropped += 1
        if account in self._gapped:
            return
        self._gapped.add(account)
        lost = events.FeedLost(
            account=account, feed="account", reason="more frames than can be handled: some dropped"
        )
        self._urgent.append(Taken(lost, received_ns))

    def _put_routine(self, event: events.Event, received_ns: int) -> None:
        if not self._newest and len(self._routine) < self._routine_max:
            self._routine.append(Taken(event, received_ns))
            return
        key = _routine_key(event)
        if (older := self._newest.pop(key, None)) is not None:
            self.conflated += 1
            event = _merge(older.event, event)
        self._newest[key] = Taken(event, received_ns)

    def take(self) -> Taken | None:
        """Return the next event, None when there is none: urgent first, routine never starved."""
        if self._urgent and (self._run < _URGENT_RUN or not (self._routine or self._newest)):
            self._run += 1
            if self._gapped and len(self._urgent) < self._urgent_max // 2:
                self._gapped.clear()
            return self._urgent.popleft()
        self._run = 0
        if not self._routine and self._newest:
            self._routine.extend(self._newest.values())
            self._newest.clear()
        return self._routine.popleft() if self._routine else None

    def put_first(self, event: events.Event, received_ns: int) -> None:
        """Queue an event before all others."""
        self._urgent.appendleft(Taken(event, received_ns))


def _routine_key(event: events.Event) -> tuple[object, ...]:
    names = ("account", "symbol", "asset", "feed", "source", "is_rest")
    return (type(event), *(getattr(event, name, None) for name in names))


def _merge(older: events.Event, newer: events.Event) -> events.Event:
    """Let a newer frame inherit what it does not speak of."""
    if not isinstance(newer, events.PricesUpdated) or not isinstance(older, events.PricesUpdated):
        return newer
    missing = {
        name: value
        for name in _PRICE_FIELDS
        if getattr(newer, name, None) is None and (value := getattr(older, name, None)) is not None
    }
    return dataclasses.replace(newer, **missing) if missing else newer
