"""Faults on demand: what a venue may do to a request, to a stream, to a price. Pure data.

The skin asks here before each answer and each frame; without a plan everything works.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from enum import StrEnum

from riskbot.core import events
from riskbot.core.model import RejectReason

ACCOUNT = "account"
PRICES = "prices"


class Mishap(StrEnum):
    """What happens to one request.

    REFUSE: refused for a reason, nothing done. LOST_BEFORE: no answer, nothing done.
    LOST_AFTER: done, the answer is lost. LATE: no answer, done after a delay.
    """

    REFUSE = "refuse"
    LOST_BEFORE = "lost_before"
    LOST_AFTER = "lost_after"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one request.

    Attributes:
        retry_after_ms: the venue's own wait, with REFUSE.
        delay_ms: until it is carried out, with LATE.
    """

    mishap: Mishap
    reason: RejectReason = RejectReason.OTHER
    message: str = "injected"
    retry_after_ms: int | None = None
    delay_ms: int = 0


class Distortion(StrEnum):
    """What is wrong with a price feed: of one instrument, until lifted."""

    STUCK = "stuck"
    ZERO = "zero"
    NAN = "nan"
    NEGATIVE = "negative"
    CROSSED = "crossed"
    OFF_TICK = "off_tick"
    MARK_ONLY = "mark_only"


@dataclass(slots=True)
class Faults:
    """Everything that may go wrong, by now.

    Attributes:
        plan: by method of `Exchange`: faults of the next calls, first come first served.
        refuse_orders: cancel-only phase: every new order is refused with MAINTENANCE.
        is_down: maintenance: every request is refused.
        silent: feeds (`account`, `prices`) that say nothing, sockets open.
        silent_symbols: instruments whose prices are not told.
        drop: kinds of events (`OrderFilled`) that streams lose.
        is_duplicating, is_reversing: each batch of account events comes twice; backwards.
        cut_positions: reads show only this many positions, None = all.
        prices: distortions by symbol.
        mark_factor: by symbol: the mark alone is off by this factor; index and book are right.
        clock_offset_ms: what `clock` reports.
    """

    plan: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    refuse_orders: bool = False
    is_down: bool = False
    silent: set[str] = field(default_factory=set)
    silent_symbols: set[str] = field(default_factory=set)
    drop: set[str] = field(default_factory=set)
    is_duplicating: bool = False
    is_reversing: bool = False
    cut_positions: int | None = None
    prices: dict[str, Distortion] = field(default_factory=dict)
    mark_factor: dict[str, float] = field(default_factory=dict)
    clock_offset_ms: int = 0
    _stuck: dict[str, events.PricesUpdated] = field(default_factory=dict)

    def will(self, method: str, *faults: Fault) -> None:
        """Plan faults of the next calls of a method."""
        self.plan[method].extend(faults)

    def refuse(
        self, method: str, reason: RejectReason, times: int = 1, retry_after_ms: int | None = None
    ) -> None:
        """Plan refusals of the next calls of a method."""
        fault = Fault(Mishap.REFUSE, reason, retry_after_ms=retry_after_ms)
        self.will(method, *[fault] * times)

    def take(self, method: str) -> Fault | None:
        """Return the fault of the call that is made now, None = it works."""
        if self.is_down:
            return Fault(Mishap.REFUSE, RejectReason.MAINTENANCE, "under maintenance")
        if self.refuse_orders and method == "place":
            return Fault(Mishap.REFUSE, RejectReason.MAINTENANCE, "cancel-only")
        planned = self.plan.get(method)
        return planned.popleft() if planned else None

    # ------------------------------------------------------------ streams

    def told(self, batch: list[events.Event]) -> list[events.Event]:
        """Return what of a batch of events the streams tell, distorted where that is planned."""
        found: list[events.Event] = []
        account: list[events.Event] = []
        for event in batch:
            if isinstance(event, events.PricesUpdated):
                found += self._price(event)
            elif ACCOUNT not in self.silent and event.kind not in self.drop:
                account.append(event)
        if self.is_duplicating:
            account = [event for event in account for _ in range(2)]
        if self.is_reversing:
            account.reverse()
        return found + account

    def _price(self, frame: events.PricesUpdated) -> list[events.Event]:
        if PRICES in self.silent or frame.symbol in self.silent_symbols:
            return []
        return [self.distorted(frame)]

    def distorted(self, frame: events.PricesUpdated) -> events.PricesUpdated:
        """Return a frame with what is planned to be wrong with it."""
        factor = self.mark_factor.get(frame.symbol)
        if factor is not None and frame.mark is not None:
            frame = replace(frame, mark=frame.mark * factor)
        distortion = self.prices.get(frame.symbol)
        if distortion is None:
            self._stuck.pop(frame.symbol, None)
            return frame
        if distortion is Distortion.STUCK:
            return self._stuck.setdefault(frame.symbol, frame)
        return _distort(frame, distortion)


def _distort(frame: events.PricesUpdated, distortion: Distortion) -> events.PricesUpdated:
    values = {Distortion.ZERO: 0.0, Distortion.NAN: math.nan, Distortion.NEGATIVE: -1.0}
    if distortion in values:
        bad = values[distortion]
        shown = None if frame.mark is None else bad
        return replace(frame, mark=shown, index=shown, bid=bad, ask=bad, last=bad)
    if distortion is Distortion.CROSSED:
        return replace(frame, bid=frame.ask, ask=frame.bid)
    if distortion is Distortion.MARK_ONLY:
        return replace(frame, index=None, bid=None, ask=None, last=None)
    return replace(frame, bid=_off(frame.bid), ask=_off(frame.ask), last=_off(frame.last))


def _off(price: float | None) -> float | None:
    # An irrational share of any tick.
    return None if price is None else price * (1 + math.pi * 1e-7)
