"""Sheets: the running sums of a scope, of one account, and their exact recomputation.

What feeds them lives in `book`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from riskbot.core.exposure import Aggregate
from riskbot.core.guards import Guard
from riskbot.core.model import MarginReport, PositionKey, WorkingOrder
from riskbot.core.quotes import Quote
from riskbot.core.tally import Tally

if TYPE_CHECKING:
    from riskbot.core.lines import Line


class Sums(Aggregate):
    """An aggregate that knows how many lines feed it."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0


class Paid:
    """What the derivatives paid in one asset add up to, USD.

    Attributes:
        gross: sum of abs exposure.
        value: sum of their equity.
        count: how many there are.
    """

    __slots__ = ("count", "gross", "value")

    def __init__(self) -> None:
        self.gross = self.value = 0.0
        self.count = 0


@dataclass(slots=True)
class Sheet:
    """Running sums of one scope, USD.

    Attributes:
        equity: of the lines whose value is known.
        unvalued: lines without one.
        variation: sum of abs changes of exposure since the last full evaluation.
        max_variation, min_equity: bounds beyond which a level may have been crossed.
    """

    total: Sums = field(default_factory=Sums)
    underlyings: dict[str, Sums] = field(default_factory=dict)
    sectors: dict[str, Sums] = field(default_factory=dict)
    groups: dict[str, Sums] = field(default_factory=dict)
    equity: float = 0.0
    unvalued: int = 0
    variation: float = 0.0
    max_variation: float = 0.0
    min_equity: float = math.inf

    def rearm(self) -> None:
        """Watch nothing, and count changes from here on."""
        self.variation, self.max_variation, self.min_equity = 0.0, math.inf, -math.inf

    def watch(self, guard: Guard) -> None:
        """Watch one more limit's room.

        It is split evenly between exposure's moves and equity's fall where both count.
        """
        parts = bool(guard.per_variation) + bool(guard.per_loss)
        room = guard.headroom_usd / max(parts, 1)
        if guard.per_variation:
            self.max_variation = min(self.max_variation, room / guard.per_variation)
        if guard.per_loss:
            self.min_equity = max(self.min_equity, self.equity - room / guard.per_loss)


@dataclass(slots=True)
class AccountSheet:
    """One account's lines and sums.

    Attributes:
        sheet: its sums; keyed ones only where one of its limits reads them.
        positions, holdings: lines by key and by asset.
        paid: what the derivatives paid in an asset add up to, by asset.
        payers: lines of inverse positions by the asset they are paid in.
        isolated: lines of isolated positions.
        tally: its legs as shown last; stops: what protected them then.
        watched: quotes of what was shown above dust, by key; None = of a coin without a market.
        is_moved: positions, balances or orders changed since; was_blind: how it was then.
        margin: the venue's report; margin_equity, margin_gross: our equity and the gross of its
            derivatives when it came, so that the report can be carried along with prices.
    """

    name: str
    sheet: Sheet = field(default_factory=Sheet)
    positions: dict[PositionKey, Line] = field(default_factory=dict)
    holdings: dict[str, Line] = field(default_factory=dict)
    margin: MarginReport = field(default_factory=MarginReport)
    margin_equity: float = 0.0
    margin_gross: float = 0.0
    paid: dict[str, Paid] = field(default_factory=dict)
    payers: dict[str, dict[PositionKey, Line]] = field(default_factory=dict)
    isolated: dict[PositionKey, Line] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    stops: dict[PositionKey, list[WorkingOrder]] = field(default_factory=dict)
    watched: dict[PositionKey, Quote | None] = field(default_factory=dict)
    is_moved: bool = True
    was_blind: bool = True

    def lines(self) -> Iterable[Line]:
        """Yield all lines, positions first."""
        yield from self.positions.values()
        yield from self.holdings.values()

    def take_margin(self, report: MarginReport) -> None:
        """Take the venue's margin report; it is carried along from the present prices on."""
        self.margin = report
        self.margin_equity = self.sheet.equity
        self.margin_gross = self.gross()

    def gross(self) -> float:
        """Return the gross of the derivatives, USD."""
        return math.fsum(paid.gross for paid in self.paid.values())


def sums_of(keyed: dict[str, Sums], key: str) -> Sums:
    """Return the sums of a key, new ones if nothing feeds it yet."""
    found = keyed.get(key)
    if found is None:
        found = keyed[key] = Sums()
    return found


def resync(portfolio: Sheet, accounts: Iterable[AccountSheet]) -> float:
    """Recompute every running sum exactly (fsum) and return the worst relative drift found."""
    parts: dict[int, tuple[Sums, list[float]]] = {}
    drift = 0.0
    whole: list[float] = []
    for account in accounts:
        values = [line.value for line in account.lines() if line.mark is not None]
        whole.extend(values)
        drift = max(drift, _settle(account.sheet, values))
        drift = max(drift, account.tally.resync(), _settle_paid(account))
        for line in account.lines():
            for sums, share in (*((s, 1.0) for s in line.sums), *line.shares):
                parts.setdefault(id(sums), (sums, []))[1].append(line.x * share)
    drift = max(drift, _settle(portfolio, whole))
    for sums, amounts in parts.values():
        gross, net = math.fsum(map(abs, amounts)), math.fsum(amounts)
        scale = max(gross, 1.0)
        drift = max(drift, abs(sums.gross - gross) / scale, abs(sums.net - net) / scale)
        sums.gross, sums.net = gross, net
    return drift


def _settle_paid(account: AccountSheet) -> float:
    """Add up anew what positions are paid in; a sum's own size is the scale of its drift."""
    drift = 0.0
    for paid in account.paid.values():
        lines = [line for line in account.positions.values() if line.paid is paid]
        gross = math.fsum(abs(line.x) for line in lines)
        value = math.fsum(line.value for line in lines)
        scale = max(gross, math.fsum(abs(line.value) for line in lines), 1.0)
        drift = max(drift, abs(paid.gross - gross) / scale, abs(paid.value - value) / scale)
        paid.gross, paid.value = gross, value
    return drift


def _settle(sheet: Sheet, values: list[float]) -> float:
    exact = math.fsum(values)
    drift = abs(sheet.equity - exact) / max(math.fsum(map(abs, values)), 1.0)
    sheet.equity = exact
    return drift
