"""The Book's engine: sums of exposure and equity kept by deltas, price tick by price tick.

A tick costs O(sums of the lines it moves), at any number of positions. `resync` recomputes every
sum exactly (fsum) and says how far the running ones had drifted. What limits read is built from
this by `measures`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from riskbot.core import placing, refreshing, sheets
from riskbot.core.accounts import Accounts, Change
from riskbot.core.exposure import Leg
from riskbot.core.guards import Guard, fence
from riskbot.core.limits._base import Limit
from riskbot.core.lines import Line, unit_price
from riskbot.core.model import (
    PositionKey,
    account_scope,
    scope_account,
)
from riskbot.core.prices import View
from riskbot.core.settings import CoreSettings
from riskbot.core.sheets import AccountSheet, Sheet, Sums
from riskbot.core.tally import Tally

DRIFT_ALARM = 1e-9
"""Relative drift of the running sums beyond which something is wrong (performance.md)."""

_KEYED = frozenset({"asset_exposure", "sector_exposure", "group_exposure"})


class Book:
    """Exposure and equity of all accounts, incrementally.

    Args:
        settings: what exists and how it is grouped.
        accounts: the state that is measured; read on `on_account`, never written.
        view: prices; replaced by every `refresh`.
        quantities: signed quantities that stand in for the real ones, for what-if.
        without: accounts whose exposure does not count; their equity does.

    Attributes:
        moved: lines to be shown anew, `showing` takes them; shown: those it did since the guards
            were set.
        quantities: see above; lines: by what prices them; cash: price in USD of each (account,
            asset) that lines are quoted in, as last taken.
        tally: of all legs as shown last; parts: of each strategy's part of them.
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
        self.quantities = quantities or {}
        self.without = without
        self.moved: list[Line] = []
        self.shown: list[tuple[Line, Leg]] = []
        self.tally = Tally(settings.pairs)
        self.parts = {name: Tally(settings.pairs) for name in settings.strategies}
        self.lines: dict[tuple[str, str], tuple[Line, ...]] = {}
        self.cash: dict[tuple[str, str], float] = {}
        self._cursor = 0
        self._is_tripped = True
        self._keyed = {scope for scope, limit in settings.limits if limit.name in _KEYED}
        for name in settings.accounts:
            self.on_account(name)

    # ------------------------------------------------------------ prices

    def on_price(self, account: str, symbol: str, price: float, until_ms: int = 0) -> None:
        """Take an instrument's new best price.

        Args:
            account: whose instrument.
            symbol: of it.
            price: quote units per base unit, finite and > 0.
            until_ms: see `Price`.
        """
        for line in self.lines.get((account, symbol), ()):
            if line.mark is None or not line.factor:
                self.rebuild(line)
                continue
            # What was estimated is looked at once more: is it still?
            line.until_ms = 0 if line.is_estimated or line.cash is None else until_ms
            if line.face:
                self.move_inverse(line, price)
            self.move(line, price * line.factor)

    def flag(self, account: str, symbol: str) -> None:
        """Note that a frame of an instrument came, for the next `refresh`."""
        for line in self.lines.get((account, symbol), ()):
            line.until_ms = 0

    def move(self, line: Line, mark: float) -> None:
        """Carry a line to another mark, USD per unit."""
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
        value = line.c * mark + line.d
        gain = value - line.value
        line.value = value
        line.mark = mark
        paid = line.paid
        if paid is not None:
            paid.gross += growth
            paid.value += gain
        if not line.is_moved:
            line.is_moved = True
            self.moved.append(line)
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
            or not line.low <= mark <= line.high
        ):
            self._is_tripped = True

    def touch(self, line: Line) -> None:
        """Note that something about a line changed, for the next time it is shown."""
        line.is_changed = True
        if not line.is_moved:
            line.is_moved = True
            self.moved.append(line)

    def move_inverse(self, line: Line, price: float) -> None:
        """Carry an inverse position's PnL, paid in coin, into the coin's holding."""
        pnl = line.face * (1 / line.entry - 1 / price) if line.entry else 0.0
        coin = line.coin
        if coin is not None and pnl != line.pnl_coin:
            self.pay(coin, pnl - line.pnl_coin)
            line.pnl_coin = pnl

    def pay(self, coin: Line, amount: float) -> None:
        """Add PnL in coin units, signed, to a holding."""
        coin.a += amount
        coin.c += amount
        if coin.mark is not None:
            self.move(coin, coin.mark)
        else:
            self.touch(coin)

    def refresh(self, view: View, most: int | None = None) -> None:
        """Take prices anew: what became stale, what a stablecoin's move changes.

        Args:
            view: prices from now on.
            most: lines looked at, the others in their turn; None = all that need it.
        """
        self.view = view
        refreshing.refresh(self, self._due(most))

    def _due(self, most: int | None) -> list[Line]:
        """Return the lines whose price no frame has confirmed till now."""
        now_ms = self.view.now_ms
        due = [
            line
            for sheet in self.by_account.values()
            for lines in (sheet.positions, sheet.holdings)
            for line in lines.values()
            if line.until_ms < now_ms
        ]
        if most is None or len(due) <= most:
            return due
        start = self._cursor % len(due)
        self._cursor = start + most
        return (due + due)[start : start + most]

    # ------------------------------------------------------------ accounts

    def on_change(self, change: Change) -> None:
        """Take what a record changed of an account; one that is not configured is no part."""
        if change.account not in self.settings.accounts:
            return
        sheet = self.sheet(change.account)
        sheet.is_moved = True
        if change.instruments:
            self.on_account(change.account)
            self._ask_all()
            return
        for asset in {b.asset: None for pair in change.balances for b in pair if b is not None}:
            placing.set_holding(self, sheet, asset)
        for key in {p.key: None for pair in change.positions for p in pair if p is not None}:
            placing.set_position(self, sheet, key)
        if change.margin:
            sheet.take_margin(self.accounts.get(sheet.name).margin)
        self._is_tripped = True

    def _ask_all(self) -> None:
        # Another account's instrument may now be what prices a line.
        for sheet in self.by_account.values():
            for line in sheet.lines():
                line.until_ms = 0

    def on_account(self, account: str) -> None:
        """Build an account's lines anew."""
        sheet, state = self.sheet(account), self.accounts.get(account)
        held = [key for key in self.quantities if key.account == account and ":" in key.symbol]
        # In the order they became known, not in that of a set: what is read first is named first.
        for asset in dict.fromkeys((*sheet.holdings, *state.balances)):
            placing.set_holding(self, sheet, asset)
        for key in dict.fromkeys((*sheet.positions, *state.positions, *held)):
            placing.set_position(self, sheet, key)
        sheet.take_margin(state.margin)
        self._is_tripped = True

    def sheet(self, account: str) -> AccountSheet:
        """Return an account's lines and sums, empty ones if nothing is known of it."""
        sheet = self.by_account.get(account)
        if sheet is None:
            # The tally of the only account is that of the portfolio.
            is_only = len(self.settings.accounts) == 1
            tally = self.tally if is_only else Tally(self.settings.pairs)
            sheet = self.by_account[account] = AccountSheet(account, tally=tally)
        return sheet

    def rebuild(self, line: Line) -> None:
        """Make a line anew."""
        sheet = self.sheet(line.account)
        if line.position is not None:
            placing.set_position(self, sheet, line.key, is_anew=True)
        else:
            placing.set_holding(self, sheet, line.asset)
        self._is_tripped = True

    # ------------------------------------------------------------ strategies

    def attribute(self, key: PositionKey, quantities: Mapping[str, float]) -> None:
        """Say how much of a position belongs to which strategy, signed, its own units."""
        self.owners[key] = dict(quantities)
        line = self.line(key)
        if line is not None:
            self.rebuild(line)

    def is_keyed(self, account: str) -> bool:
        """Whether an account's sums by key are its own: the only account's are the portfolio's."""
        return len(self.settings.accounts) > 1 or account_scope(account) in self._keyed

    def is_priced_by(self, account: str, symbol: str) -> bool:
        """Whether anything held is priced by an instrument."""
        return (account, symbol) in self.lines

    def pricers(self) -> set[tuple[str, str]]:
        """Return (account, symbol) of every instrument whose price what counts rests on."""
        lines = self.lines.items()
        return {key for key, on in lines if {line.account for line in on} - self.without}

    def line(self, key: PositionKey) -> Line | None:
        """Return the line of a position or of the coin shown under that key."""
        sheet = self.sheet(key.account)
        found = sheet.positions.get(key)
        if found is not None:
            return found
        return next((h for h in sheet.holdings.values() if h.key == key), None)

    def resync(self) -> float:
        """Recompute every running sum exactly and return the worst relative drift found."""
        drift = sheets.resync(self.portfolio, self.by_account.values())
        return max(drift, *(tally.resync() for tally in (self.tally, *self.parts.values())))

    # ------------------------------------------------------------ reading

    def equity(self, account: str) -> float | None:
        """Return an account's real equity in USD, None = unknown or never read."""
        sheet = self.by_account.get(account)
        if sheet is None or sheet.sheet.unvalued or not self.accounts.get(account).was_read:
            return None
        return sheet.sheet.equity

    def portfolio_equity(self) -> float | None:
        """Return the real equity of the accounts that were ever read, None while one is unknown.

        An account that has never answered is no reason to stop guarding the others: it is BLIND,
        and comes in as a cash flow with its first read.
        """
        read = [name for name in self.settings.accounts if self.accounts.get(name).was_read]
        if not read:
            return None
        total = 0.0
        for name in read:
            equity = self.equity(name)
            if equity is None:
                return None
            total += equity
        return total

    def price_of(self, account: str, component: str) -> float | None:
        """Return what a unit of a component is worth in USD, None = unknown.

        Args:
            account: whose.
            component: an asset (`USDT`), or a symbol: a unit of its quantity without the cash
                that paid for it (`cashflows` reconciles in these).
        """
        return unit_price(self.view, account, component)

    # ------------------------------------------------------------ guards

    def tripped(self) -> bool:
        """Whether some limit may have reached another level since `set_guards`; O(1)."""
        return self._is_tripped

    def set_fences(self, limits: Iterable[tuple[str, Limit]]) -> None:
        """Watch each position that was shown anew for its own limits' next levels.

        Args:
            limits: (scope, limit) of those that are measured by position.
        """
        watched = [*limits]
        for line, leg in self.shown:
            line.low, line.high = 0.0, math.inf
            distance = leg.liquidation_distance
            if distance is None or line.mark is None:
                continue
            for scope, limit in watched:
                if scope_account(scope) in {None, line.account}:
                    low, high = fence(limit, distance, line.mark)
                    line.low, line.high = max(line.low, low), min(line.high, high)
        self.shown.clear()

    def set_guards(self, found: Iterable[Guard]) -> None:
        """Take the rooms a full evaluation left, and start watching anew."""
        self._is_tripped = False
        for sheet in (self.portfolio, *(account.sheet for account in self.by_account.values())):
            sheet.rearm()
        for guard in found:
            account = scope_account(guard.scope)
            sheet = self.sheet(account).sheet if account is not None else self.portfolio
            sheet.watch(guard)
