"""The Book's engine: sums of exposure and equity kept by deltas, price tick by price tick.

A tick costs O(sums of the lines it moves), at any number of positions. `resync` recomputes every
sum exactly (fsum) and says how far the running ones had drifted. What limits read is built from
this by `measures`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from riskbot.core.accounts import Accounts, AccountState, Change
from riskbot.core.assets import is_cash
from riskbot.core.guards import Guard
from riskbot.core.lines import Line, Sums, holding_line, position_line
from riskbot.core.model import InstrumentKind, MarginReport, Position, PositionKey, account_scope
from riskbot.core.prices import View
from riskbot.core.settings import CoreSettings

DRIFT_ALARM = 1e-9
"""Relative drift of the running sums beyond which something is wrong (performance.md)."""

_CASH_MOVE = 1e-3
"""A move of a stablecoin's price by this share is worth a full evaluation at once."""

_KEYED = frozenset({"asset_exposure", "sector_exposure", "group_exposure"})


@dataclass(slots=True)
class Sheet:
    """Running sums of one scope, USD.

    Attributes:
        equity: of the lines whose value is known.
        unknown: lines without a price or without a value.
        variation: sum of abs changes of exposure since the last full evaluation.
        max_variation, min_equity: bounds beyond which a level may have been crossed.
    """

    total: Sums = field(default_factory=Sums)
    underlyings: dict[str, Sums] = field(default_factory=dict)
    sectors: dict[str, Sums] = field(default_factory=dict)
    groups: dict[str, Sums] = field(default_factory=dict)
    equity: float = 0.0
    unknown: int = 0
    variation: float = 0.0
    max_variation: float = 0.0
    min_equity: float = math.inf


@dataclass(slots=True)
class AccountSheet:
    """One account's lines and sums.

    Attributes:
        sheet: its sums; keyed ones only where one of its limits reads them.
        positions, holdings: lines by key and by asset.
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

    def lines(self) -> Iterable[Line]:
        """Yield all lines, positions first."""
        yield from self.positions.values()
        yield from self.holdings.values()

    def gross(self) -> float:
        """Return the gross of the derivatives, USD."""
        return math.fsum(abs(line.x) for line in self.positions.values())


class Book:
    """Exposure and equity of all accounts, incrementally.

    Args:
        settings: what exists and how it is grouped.
        accounts: the state that is measured; read on `on_account`, never written.
        view: prices; replaced by every `refresh`.
        quantities: signed quantities that stand in for the real ones, for what-if.
        without: accounts whose exposure does not count; their equity does.
    """

    def __init__(
        self,
        settings: CoreSettings,
        accounts: Accounts,
        view: View,
        *,
        quantities: Mapping[PositionKey, float] | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = settings
        self.accounts = accounts
        self.view = view
        self.portfolio = Sheet()
        self.by_account: dict[str, AccountSheet] = {}
        self.owners: dict[PositionKey, dict[str, float]] = {}
        self.strategies: dict[str, Sums] = {}
        self._quantities = quantities or {}
        self._without = without
        self._lines: dict[tuple[str, str], tuple[Line, ...]] = {}
        self._is_tripped = True
        self._keyed = {
            scope for scope, limit in settings.limits if limit.name in _KEYED
        }
        for name in accounts.by_name:
            self.on_account(name)

    # ------------------------------------------------------------ deltas

    def on_price(self, account: str, symbol: str, price: float) -> None:
        """Take an instrument's new best price, in quote units per base unit, finite and > 0."""
        for line in self._lines.get((account, symbol), ()):
            mark = price * line.factor
            if line.mark is None or line.value is None:
                self._reprice(line)
                continue
            if line.face:
                self._move_inverse(line, price)
            self._move(line, mark)

    def _move(self, line: Line, mark: float) -> None:
        old = line.x
        line.x = new = line.a * mark + line.b
        change = new - old
        growth = abs(new) - abs(old)
        for sums in line.sums:
            sums.gross += growth
            sums.net += change
        for sums, share in line.shares:
            sums.gross += growth * abs(share)
            sums.net += change * share
        gain = line.c * mark + line.d - line.value  # type: ignore[operator]
        line.value += gain  # type: ignore[operator]
        line.mark = mark
        moved = abs(change)
        sheet = line.sheet
        sheet.equity += gain
        sheet.variation += moved
        total = self.portfolio
        total.equity += gain
        total.variation += moved
        if (
            total.variation > total.max_variation
            or total.equity < total.min_equity
            or sheet.variation > sheet.max_variation
            or sheet.equity < sheet.min_equity
        ):
            self._is_tripped = True

    def _move_inverse(self, line: Line, price: float) -> None:
        """Carry an inverse position's PnL, paid in coin, into the coin's holding."""
        pnl = line.face * (1 / line.entry - 1 / price)
        coin = line.coin
        if coin is not None and coin.mark is not None:
            coin.a += pnl - line.pnl_coin
            coin.c = coin.a
            line.pnl_coin = pnl
            self._move(coin, coin.mark)
