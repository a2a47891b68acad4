"""Faults a test plants in a protocol server: what goes wrong, how often, and for which traffic.

The servers ask for a fault at the moment it would strike; nothing here does any I/O. Faults of
state (silent, skewed, refused) are planted with times=None and taken back with `remove` or `clear`.
A client on aiohttp quietly repeats a GET, PUT or DELETE once when a reused connection breaks: to
lose such a reply for good, plant it twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# kind -> what the server does. `params` in brackets, with their defaults.
KINDS: dict[str, str] = {
    # what happens to replies
    "reply_lost": "the request takes full effect, then the connection closes without a reply",
    "request_lost": "the connection closes before the request takes any effect",
    "reply_delayed": "effect at once, reply after [seconds=1]",
    "accept_delayed": "effect and reply only after [seconds=1]",
    "accept_late": "no reply (or [code], [status]) now; the effect comes after [seconds=1]",
    "no_reply": "no effect and no reply; the connection stays open",
    "reply_dripped": "effect at once, then the reply byte by byte, one each [seconds=0.1]",
    "reply_empty": "effect, then 200 with an empty body",
    "reply_null": "effect, then 200 with the JSON null",
    "reply_empty_object": "effect, then 200 with {}",
    "reply_empty_list": "effect, then the list in the reply is empty",
    "reply_truncated": "effect, then 200 with the first half of the JSON",
    "reply_nan": "effect, then numbers in the reply are NaN, null or empty ([value='NaN'])",
    "reply_html": "a proxy's HTML page instead of JSON ([status=502])",
    # refusals of any request, before an effect
    "rate_limited": "429 with Retry-After [retry_after=1] and the venue's code",
    "banned": "418 (or the venue's 403) with Retry-After [retry_after=120]",
    "server_error": "5xx ([status=503]) without effect",
    "ambiguous": "the venue's 'unknown result' reply ([code], [booked=False]: effect or none)",
    "maintenance": "the venue's maintenance reply to every request",
    "error": "the venue's own error [code], [message=''], [status=400]",
    "clock_skew": "the server's clock is [ms] ahead of true time",
    # orders
    "market_rejected": "a market order is refused as not available ([code])",
    "reduce_only_rejected": "a reduce-only order is refused with the venue's code",
    "insufficient_margin": "an order is refused for lack of margin",
    "min_notional": "an order is refused as too small",
    "partial_fill": "an order fills only by [ratio='0.5']",
    # answers that are wrong
    "positions_cut": "the position list loses all but its first [keep=1] entries",
    "positions_paged": "the position list comes in pages of [size=1], where the venue pages",
    "positions_stale": "the position list stays as it was when the fault first struck",
    "open_orders_cut": "the open order list loses all but its first [keep=0] entries",
    # websockets
    "sockets_refused": "new sockets are refused (HTTP 503)",
    "sockets_hang": "new sockets are taken and their handshake is never answered",
    "frames_dripped": "frames come byte by byte, one each [seconds=0.1], pongs behind them",
    "sockets_silent": "all sockets stay open and say nothing, not even pong",
    "market_silent": "market data sockets stay open and say nothing, not even pong",
    "user_silent": "private sockets answer pings but carry no more events",
    "frame_dropped": "a private event frame is lost",
    "frame_duplicated": "a private event frame arrives twice",
    "frame_reordered": "a private event frame arrives after the next one",
    "frame_delayed": "a private event frame arrives after [seconds=1]",
    "frame_undecodable": "a frame that is no JSON precedes the real one ([socket='any'])",
    "frame_unknown": "a frame of an event type nobody knows precedes the real one",
    "timestamps_frozen": "venue timestamps in market frames stay as they were when it first struck",
    "price_garbage": "prices in market frames are [value='0']",
}


@dataclass(slots=True)
class Fault:
    """One planted fault.

    Attributes:
        kind: a key of KINDS.
        times: how often it still strikes; None is until removed.
        match: field -> wanted value, compared with what the server says of the traffic (method,
            path, api_key, symbol, client_id, type, event, socket); a string also matches as a
            substring of path. All must match.
        params: settings of the kind.
        hits: how often it has struck.
    """

    kind: str
    times: int | None = 1
    match: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    hits: int = 0

    def matches(self, context: Mapping[str, Any]) -> bool:
        """Return whether the fault applies to traffic with these fields."""
        for name, wanted in self.match.items():
            have = context.get(name)
            if name == "path" and isinstance(have, str) and str(wanted) in have:
                continue
            if have != wanted:
                return False
        return True


class Faults:
    """The faults of one server, in the order of planting; also counts what struck."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.struck: Counter[str] = Counter()

    def add(
        self,
        kind: str,
        times: int | None = 1,
        match: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Fault:
        """Plant a fault and return it.

        Args:
            kind: a key of KINDS.
            times: strikes before it is used up; None until removed.
            match: see `Fault.match`.
            params: settings, see KINDS.

        Raises:
            ValueError: the kind does not exist.
        """
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(KINDS)}")
        fault = Fault(kind, times, dict(match or {}), params)
        self.active.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Take a fault back; one that is used up already is fine."""
        if fault in self.active:
            self.active.remove(fault)

    def clear(self, kind: str | None = None) -> None:
        """Take back all faults of a kind, or all."""
        self.active = [fault for fault in self.active if kind not in (None, fault.kind)]

    def peek(self, kind: str, **context: Any) -> Fault | None:
        """Return the fault that would strike, without using it up."""
        return next(self._matching(kind, context), None)

    def take(self, kind: str, **context: Any) -> Fault | None:
        """Return the fault that strikes now, using up one of its times, or None."""
        fault = next(self._matching(kind, context), None)
        if fault is None:
            return None
        fault.hits += 1
        self.struck[kind] += 1
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.active.remove(fault)
        return fault

    def _matching(self, kind: str, context: Mapping[str, Any]) -> Iterator[Fault]:
        return (f for f in self.active if f.kind == kind and f.matches(context))
