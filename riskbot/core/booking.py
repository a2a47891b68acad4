"""When a flow, a residual or a NAV sample is booked: decisions of the measuring half.

What the bookings do is folded by `cashflows`; nothing here changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from riskbot.core import actions, events
from riskbot.core.accounts import AccountState
from riskbot.core.book import Book
from riskbot.core.cashflows import Cashflows
from riskbot.core.exposure import Losses
from riskbot.core.model import PORTFOLIO, account_scope, scope_account
from riskbot.core.periods import Periods
from riskbot.core.residuals import AccountFlows, covers

SMALL = 0.001
"""Share of E up to which a residual is taken as PnL (fees, rounding)."""

PENDING_MS = 60_000
"""How long a larger residual waits for the venue's ledger."""

GRACE_MS = 500
"""Frames of one trade come apart by less than this: no pending flow yet."""

MISMATCH_MS = 2_000
"""How long a position may differ from its fills before fills count as missing."""

CLOCK_LIMIT_MS = 1_000
"""Offset beyond which no day or week begins."""

_NOISE_USD = 0.01

Booked = actions.BookFlow | actions.BookResidual


class Booking:
    """Watches residuals and NAV, and says what is due.

    Args:
        cashflows: the folded state.
        book: equities and prices.
        case: which of two equities of an account out of sight counts in losses, what it was worth
            when last seen or what prices make of it since: `min` (the worst case: nothing unseen
            makes a loss smaller) or `max` (the kind case, which closing needs).
    """

    def __init__(
        self, cashflows: Cashflows, book: Book, case: Callable[[float, float], float] = min
    ) -> None:
        self.cashflows = cashflows
        self.book = book
        self._case = case
        self.periods = Periods(book.settings.timezone)
        self._pending: dict[str, int] = {}
        self._blocked: frozenset[str] = frozenset()

    # ------------------------------------------------------------ reading

    def has_pending_flow(self, account: str) -> bool:
        """Whether an unexplained change of equity bars entries and closing on an account."""
        return account in self._blocked

    def is_unexplained(self, account: str) -> bool:
        """Whether anything of an account's equity is unexplained, be it for a moment."""
        return account in self._pending

    def nav_equity(self, scope: str) -> float | None:
        """Return the equity that NAV counts in USD, None = unknown.

        Residuals are left out; of the portfolio only accounts whose first equity is booked
        count.
        """
        account = scope_account(scope)
        if account is not None:
            return self._account_equity(account)
        kind, _, name = scope.partition(":")
        if kind == "strategy":
            strategy = self.book.settings.strategies.get(name)
            if strategy is None or strategy.capital_usd is None:
                return None
            return self.cashflows.strategy_equity(name, strategy.capital_usd, self.book.price_of)
        total = 0.0
        for name in self._added():
            equity = self._account_equity(name)
            if equity is None:
                return None
            total += equity
        return total

    def _account_equity(self, account: str) -> float | None:
        equity = self.book.equity(account)
        residual = self.cashflows.get(account).value(account, self.book.price_of)
        known = equity - residual[0] if equity is not None and residual is not None else None
        history = self.cashflows.history(account_scope(account))
        seen = history.sighted_usd
        if seen is None or (history.regained_ms and self._case is not min):
            # What has been read again is no kindness any more.
            return known
        return seen if known is None else self._case(known, seen)

    def _added(self) -> list[str]:
        accounts = self.book.settings.accounts
        return [name for name in accounts if self.cashflows.get(name).is_added]

    def units(self, scope: str) -> float:
        """Return the units of a scope; a strategy's are its capital in USD."""
        kind, _, name = scope.partition(":")
        if kind == "strategy":
            strategy = self.book.settings.strategies.get(name)
            return strategy.capital_usd or 0.0 if strategy is not None else 0.0
        return self.cashflows.history(scope).units

    def nav(self, scope: str) -> float | None:
        """Return NAV per unit now, None = unknown; the last one while a scope holds no units."""
        units, equity = self.units(scope), self.nav_equity(scope)
        if equity is None:
            return None
        return equity / units if units > 0 else self.cashflows.history(scope).nav

    def losses(self, scope: str, now_ms: int) -> Losses:
        """Return the loss measures of a scope; all unknown while its NAV is."""
        nav, equity = self.nav(scope), self.nav_equity(scope)
        if nav is None or (scope == PORTFOLIO and not self._added()):
            return Losses()
        return self.cashflows.history(scope).losses(nav, equity, now_ms)

    # ------------------------------------------------------------ deciding

    def decide(self, event: events.Event, now_ms: int) -> list[actions.Action]:
        """Return the bookings that are due, in order; NAV samples wait until flows are folded."""
        found: list[Booked] = []
        for account in self.cashflows.accounts:
            if account not in self.book.settings.accounts:
                found.extend(self._removed(account))
        # NAV per unit is of the remaining accounts once the removed ones are booked out.
        for account in self.book.settings.accounts if not found else ():
            found.extend(self._due(account, event, now_ms))
        self._blocked = frozenset(
            name for name, since in self._pending.items() if now_ms - since >= GRACE_MS
        )
        first = self.cashflows.counter + 1
        numbered = [replace(booked, flow_id=f"F{n}") for n, booked in enumerate(found, first)]
        return [*numbered] if numbered else [*self._samples(now_ms)]

    def _due(self, account: str, event: events.Event, now_ms: int) -> Iterator[Booked]:
        flows, state = self.cashflows.get(account), self.book.accounts.get(account)
        equity = self.book.equity(account)
        if equity is None or not state.is_synced:
            return
        if not flows.is_added:
            yield self._flow(account, equity, "account_added")
            return
        for row in flows.rows:
            price = self.book.price_of(account, row.asset)
            if price is None:
                return
            flow = self._flow(account, row.amount * price, "ledger")
            if covers(flows.settled_usd, flow.amount_usd):
                # It was taken as PnL before its row came: only the units are owed.
                flow = replace(flow, source="settled", navs=flows.settled_navs)
            yield flow
            return
        yield from self._residual(account, flows, equity, event, now_ms)

    def _residual(
        self,
        account: str,
        flows: AccountFlows,
        equity: float,
        event: events.Event,
        now_ms: int,
    ) -> Iterator[Booked]:
        value = flows.value(account, self.book.price_of)
        if value is None:
            return
        net, gross = value
        read = event if isinstance(event, events.AccountSnapshotReceived) else None
        is_read = read is not None and read.account == account
        if flows.mismatch_ms is not None:
            self._pending.pop(account, None)
            if is_read and now_ms - flows.mismatch_ms >= MISMATCH_MS:
                yield self._as_pnl(account, net, "a position changed without fills")
        elif abs(net) <= SMALL * abs(equity):
            self._pending.pop(account, None)
            if is_read and gross >= _NOISE_USD:
                yield self._as_pnl(account, net, "fees and rounding")
        elif now_ms - self._pending.setdefault(account, now_ms) >= PENDING_MS:
            del self._pending[account]
            yield self._flow(account, net, "timeout")

    def _removed(self, account: str) -> Iterator[Booked]:
        history = self.cashflows.history(account_scope(account))
        if self.cashflows.accounts[account].is_added:
            yield actions.BookFlow(
                flow_id="",
                account=account,
                amount_usd=-history.units * history.nav,
                source="account_removed",
                navs={PORTFOLIO: self.cashflows.history(PORTFOLIO).nav},
            )

    def _flow(self, account: str, amount_usd: float, source: str) -> actions.BookFlow:
        return actions.BookFlow(
            flow_id="",
            account=account,
            amount_usd=amount_usd,
            source=source,
            navs=self._navs(account),
        )

    def _as_pnl(self, account: str, amount_usd: float, reason: str) -> actions.BookResidual:
        return actions.BookResidual(
            account=account, amount_usd=amount_usd, reason=reason, navs=self._navs(account)
        )

    def _navs(self, account: str) -> dict[str, float]:
        # Units move at what is most likely: the worst case would give or take too many for good.
        likely = Booking(self.cashflows, self.book, _estimate)
        navs = {}
        for scope in (PORTFOLIO, account_scope(account)):
            nav = likely.nav(scope)
            navs[scope] = nav if nav is not None else self.cashflows.history(scope).nav
        return navs

    def _samples(self, now_ms: int) -> Iterator[actions.Action]:
        added = self._added()
        is_whole = len(added) == len(self.book.settings.accounts)
        for scope in self.cashflows.scopes():
            history, nav = self.cashflows.history(scope), self.nav(scope)
            if nav is None or not added:
                continue
            day, week = history.day_ms, history.week_ms
            if not history.recorded_ms or self._may_begin(scope, now_ms):
                day = self.periods.day_start_ms(now_ms)
                week = self.periods.week_start_ms(now_ms)
            is_seeding = is_whole and not history.is_seeded
            if is_seeding or history.is_due(nav, now_ms, day, week):
                yield actions.RecordNav(
                    scope=scope,
                    equity_usd=self.nav_equity(scope) or 0.0,
                    nav=nav,
                    units=self.units(scope),
                    day_start_ms=day,
                    week_start_ms=week,
                    is_whole=is_whole,
                )

    def _may_begin(self, scope: str, now_ms: int) -> bool:
        """Whether a day may begin: not while an account is out of sight or a clock is off."""
        account = scope_account(scope)
        names = [account] if account is not None else self._added()
        return all(self._is_sighted(self.book.accounts.get(name), now_ms) for name in names)

    def _is_sighted(self, state: AccountState, now_ms: int) -> bool:
        stale_ms = int(self.book.settings.monitor.account_stale_s * 1000)
        offset = state.clock_offset_ms or 0
        return state.blind_reason(now_ms, stale_ms) is None and abs(offset) <= CLOCK_LIMIT_MS


def _estimate(estimated: float, seen: float) -> float:
    del seen
    return estimated
