"""The Book's engine: sums of exposure and equity kept by deltas, price tick by price tick.

A tick costs O(sums of the lines it moves), at any number of positions. `resync` recomputes every
sum exactly (fsum) and says how far the running ones had drifted. What limits read is built from
this by `measures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from riskbot.core import sheets
from riskbot.core.accounts import Accounts, Change
from riskbot.core.guards import Guard
from riskbot.core.lines import Line, holding_line, position_line, present, unit_price
from riskbot.core.model import (
    InstrumentKind,
    Position,
    PositionKey,
    account_scope,
    scope_account,
)
from riskbot.core.prices import View
from riskbot.core.settings import CoreSettings
from riskbot.core.sheets import AccountSheet, Sheet, Sums, sums_of

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
        self.without = without
        self._lines: dict[tuple[str, str], tuple[Line, ...]] = {}
        self._is_tripped = True
        self._keyed = {scope for scope, limit in settings.limits if limit.name in _KEYED}
        for name in settings.accounts:
            self.on_account(name)

    # ------------------------------------------------------------ prices

    def on_price(self, account: str, symbol: str, price: float) -> None:
        """Take an instrument's new best price, in quote units per base unit, finite and > 0."""
        for line in self._lines.get((account, symbol), ()):
            if line.mark is None or not line.factor:
                self._rebuild(line)
                continue
            if line.face:
                self._move_inverse(line, price)
            self._move(line, price * line.factor)

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
        value = line.c * mark + line.d
        gain = value - line.value
        line.value = value
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
        pnl = line.face * (1 / line.entry - 1 / price) if line.entry else 0.0
        coin = line.coin
        if coin is not None and pnl != line.pnl_coin:
            coin.a += pnl - line.pnl_coin
            coin.c += pnl - line.pnl_coin
            line.pnl_coin = pnl
            if coin.mark is not None:
                self._move(coin, coin.mark)

    def refresh(self, view: View) -> None:
        """Take every price anew: what became stale, what a stablecoin's move changes."""
        self.view = view
        for sheet in self.by_account.values():
            for line in list(sheet.lines()):
                self._refresh(line)

    def _refresh(self, line: Line) -> None:
        factor, mark, line.is_estimated = present(self.view, line)
        is_option = line.leg is not None and line.leg.instrument.kind is InstrumentKind.OPTION
        if factor != line.factor or (mark is None) != (line.mark is None) or is_option:
            self._rebuild(line)
        elif mark is not None and mark != line.mark:
            if line.face:
                self._move_inverse(line, mark / factor)
            self._move(line, mark)

    # ------------------------------------------------------------ accounts

    def on_change(self, change: Change) -> None:
        """Take what a record changed of an account; one that is not configured is no part."""
        if change.account not in self.settings.accounts:
            return
        if change.instruments:
            self.on_account(change.account)
            return
        sheet = self.sheet(change.account)
        for asset in {b.asset: None for pair in change.balances for b in pair if b is not None}:
            self._set_holding(sheet, asset)
        for key in {p.key: None for pair in change.positions for p in pair if p is not None}:
            self._set_position(sheet, key)
        if change.margin:
            sheet.take_margin(self.accounts.get(sheet.name).margin)
        self._is_tripped = True

    def on_account(self, account: str) -> None:
        """Build an account's lines anew."""
        sheet, state = self.sheet(account), self.accounts.get(account)
        held = {key for key in self._quantities if key.account == account and ":" in key.symbol}
        for asset in {*sheet.holdings, *state.balances}:
            self._set_holding(sheet, asset)
        for key in {*sheet.positions, *state.positions, *held}:
            self._set_position(sheet, key)
        sheet.take_margin(state.margin)
        self._is_tripped = True

    def sheet(self, account: str) -> AccountSheet:
        """Return an account's lines and sums, empty ones if nothing is known of it."""
        sheet = self.by_account.get(account)
        if sheet is None:
            sheet = self.by_account[account] = AccountSheet(account)
        return sheet

    def _rebuild(self, line: Line) -> None:
        sheet = self.sheet(line.account)
        if line.position is not None:
            self._set_position(sheet, line.key)
        else:
            self._set_holding(sheet, line.asset)
        self._is_tripped = True

    def _set_position(self, sheet: AccountSheet, key: PositionKey) -> None:
        old = sheet.positions.pop(key, None)
        if old is not None:
            self._take_out(old)
            if old.coin is not None:
                # A coin that was only paid into is not held any more.
                self._set_holding(sheet, old.coin.asset)
        position = self.accounts.get(sheet.name).positions.get(key)
        quantity = self._quantities.get(key)
        if position is None and quantity:
            position = Position(sheet.name, key.symbol, key.side, Decimal(0))
        if position is None:
            return
        line = position_line(self.settings, self.view, position, quantity)
        sheet.positions[key] = line
        if line.face:
            settle = line.leg.instrument.settle if line.leg is not None else ""
            if settle not in sheet.holdings:
                self._set_holding(sheet, settle)
            line.coin = sheet.holdings[settle]
        self._take_in(sheet, line)

    def _set_holding(self, sheet: AccountSheet, asset: str) -> None:
        old = sheet.holdings.pop(asset, None)
        if old is not None:
            self._take_out(old)
        balance = self.accounts.get(sheet.name).balances.get(asset)
        payers = [p for p in sheet.positions.values() if old is not None and p.coin is old]
        if balance is None and not payers and not self._is_settle(sheet, asset):
            return
        total = float(balance.total) if balance is not None else 0.0
        line = holding_line(self.settings, self.view, sheet.name, asset, total)
        # What a position is paid in is worth something, whoever prices it.
        line.is_unlisted = line.is_unlisted and not self._is_settle(sheet, asset)
        line.a = self._quantities.get(line.key, line.a)
        for payer in payers:
            payer.coin = line
            line.a += payer.pnl_coin
            line.c += payer.pnl_coin
        sheet.holdings[asset] = line
        self._take_in(sheet, line)

    def _is_settle(self, sheet: AccountSheet, asset: str) -> bool:
        return any(
            line.face and line.leg is not None and line.leg.instrument.settle == asset
            for line in sheet.positions.values()
        )

    # ------------------------------------------------------------ sums

    def _take_in(self, sheet: AccountSheet, line: Line) -> None:
        line.sheet = sheet.sheet
        if line.pricer is not None:
            self._lines[line.pricer] = (*self._lines.get(line.pricer, ()), line)
        if not line.is_known:
            sheet.sheet.unvalued += 1
            self.portfolio.unvalued += 1
        if line.mark is None:
            return
        if line.account not in self.without:
            line.sums = self._feeds(sheet, line)
        for sums in line.sums:
            sums.count += 1
        line.shares = self._shares(line)
        if line.face:
            self._move_inverse(line, line.mark / line.factor)
        self._move(line, line.mark)

    def _take_out(self, line: Line) -> None:
        if line.pricer is not None:
            left = tuple(other for other in self._lines[line.pricer] if other is not line)
            if left:
                self._lines[line.pricer] = left
            else:
                del self._lines[line.pricer]
        if not line.is_known:
            line.sheet.unvalued -= 1
            self.portfolio.unvalued -= 1
        if line.mark is None:
            return
        if line.coin is not None:
            line.coin.a -= line.pnl_coin
            line.coin.c -= line.pnl_coin
            if line.coin.mark is not None:
                self._move(line.coin, line.coin.mark)
        line.a = line.b = line.c = line.d = 0.0
        self._move(line, line.mark)
        for sums in line.sums:
            sums.count -= 1
        self._forget_empty(line)

    def _feeds(self, sheet: AccountSheet, line: Line) -> tuple[Sums, ...]:
        whole = [self.portfolio]
        if self.is_keyed(sheet.name):
            whole.append(sheet.sheet)
        if line.leg is None:
            sector = self._sector(line)
            return tuple(sums_of(s.sectors, sector) for s in whole) if sector else ()
        feeds = [self.portfolio.total, sheet.sheet.total]
        for scope in whole:
            feeds.append(sums_of(scope.underlyings, line.leg.underlying))
            feeds.append(sums_of(scope.sectors, line.leg.sector))
            feeds.extend(sums_of(scope.groups, group) for group in line.leg.groups)
        return tuple(feeds)

    def _sector(self, line: Line) -> str:
        """Return the sector a line counts in; cash counts in none unless configured."""
        return (
            line.leg.sector if line.leg is not None else self.settings.sectors.get(line.asset, "")
        )

    def _forget_empty(self, line: Line) -> None:
        # An empty key keeps no rounding dust behind.
        for scope in (self.portfolio, line.sheet):
            for keyed, keys in (
                (scope.underlyings, (line.leg.underlying,) if line.leg is not None else ()),
                (scope.sectors, (self._sector(line),)),
                (scope.groups, line.leg.groups if line.leg is not None else ()),
            ):
                for key in keys:
                    if key in keyed and not keyed[key].count:
                        del keyed[key]

    def _shares(self, line: Line) -> tuple[tuple[Sums, float], ...]:
        owners = self.owners.get(line.key)
        held = abs(line.a or line.c or line.face)
        if not owners or not held:
            return ()
        # What fills gave to strategies is capped by what is there.
        claimed = sum(abs(quantity) for quantity in owners.values())
        scale = min(1.0, held / claimed) / held if claimed else 0.0
        return tuple(
            (sums_of(self.strategies, name), abs(quantity) * scale)
            for name, quantity in owners.items()
        )

    def attribute(self, key: PositionKey, quantities: Mapping[str, float]) -> None:
        """Say how much of a position belongs to which strategy, signed, its own units."""
        self.owners[key] = dict(quantities)
        line = self.line(key)
        if line is not None:
            self._rebuild(line)

    def is_keyed(self, account: str) -> bool:
        """Whether an account's sums by key are kept by tick: one of its limits reads them."""
        return account_scope(account) in self._keyed

    def pricers(self) -> set[tuple[str, str]]:
        """Return (account, symbol) of every instrument whose price what counts rests on."""
        lines = self._lines.items()
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
        return sheets.resync(self.portfolio, self.by_account.values())

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

    def set_guards(self, found: Iterable[Guard]) -> None:
        """Take the rooms a full evaluation left, and start watching anew."""
        self._is_tripped = False
        for sheet in (self.portfolio, *(account.sheet for account in self.by_account.values())):
            sheet.rearm()
        for guard in found:
            account = scope_account(guard.scope)
            sheet = self.sheet(account).sheet if account is not None else self.portfolio
            sheet.watch(guard)
