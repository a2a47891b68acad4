"""How far fills land from the mark that was there when their order was decided on, by strategy.

Part of `reservations`: only there it is known which order a fill is of.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from riskbot.core import events
from riskbot.core.model import PORTFOLIO, strategy_scope
from riskbot.core.ordering import Reservation

SPAN_MS = 900_000
"""Fills are summed up by the quarter of an hour: a day starts on one in every zone."""

KEPT_MS = 26 * 3_600_000
"""Longest a day can be, and some."""


@dataclass(slots=True)
class Span:
    """Fills of one quarter of an hour, bps; what is worse than the mark is above 0.

    Attributes:
        worst: the largest of them.
        total: their sum.
    """

    start_ms: int
    worst: float
    total: float = 0.0
    count: int = 0


@dataclass(slots=True)
class Slips:
    """Slippage by strategy, oldest first."""

    spans: dict[str, list[Span]] = field(default_factory=dict)

    def take(self, order: Reservation, fill: events.OrderFilled, now_ms: int) -> None:
        """Measure a fill against the mark its order was decided at; without one there is none."""
        if not order.mark:
            return
        bps = (float(fill.price) / order.mark - 1) * fill.side.sign * 1e4
        start_ms = now_ms - now_ms % SPAN_MS
        spans = self.spans.setdefault(order.strategy, [])
        if not spans or spans[-1].start_ms != start_ms:
            spans[:] = [span for span in spans if start_ms - span.start_ms < KEPT_MS]
            spans.append(Span(start_ms, bps))
        last = spans[-1]
        last.worst = max(last.worst, bps)
        last.total += bps
        last.count += 1

    def of(self, scope: str, since_ms: int) -> dict[str, tuple[float, float]]:
        """Return (worst, mean) bps by strategy since a moment; worst >= 0.

        Args:
            scope: the portfolio shows every strategy, a strategy itself, an account none.
            since_ms: start of the day.
        """
        found = {}
        for name, spans in self.spans.items():
            if scope not in {PORTFOLIO, strategy_scope(name)}:
                continue
            today = [span for span in spans if span.start_ms >= since_ms]
            if today:
                mean = sum(s.total for s in today) / sum(s.count for s in today)
                found[name] = (max(0.0, *(span.worst for span in today)), mean)
        return found
