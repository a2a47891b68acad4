"""Full evaluation: the Book's running sums and lines turned into what limits and people read.

It costs what changed since the evaluation before, and one pass over the keys that is as quick as
copying them; per tick only `book` runs. Losses come from `cashflows`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import cast

from riskbot.core.assets import STABLECOINS
from riskbot.core.book import Book
from riskbot.core.exposure import Aggregate, Leg, Losses, ScopeBook, Totals
from riskbot.core.margins import margins
from riskbot.core.model import (
    PORTFOLIO,
    account_scope,
    scope_account,
    strategy_scope,
)
from riskbot.core.sheets import AccountSheet, Sheet, sums_of
from riskbot.core.showing import show
from riskbot.core.tally import Tally

EXTERNAL = "external"
"""The part of the book that no approved order explains."""

LossOf = Callable[[str, float | None], Losses]
"""Losses of a scope at an equity in USD."""


def evaluate(book: Book, now_ms: int, loss_of: LossOf | None = None) -> dict[str, ScopeBook]:
    """Return every scope: the portfolio, each configured account, each strategy.

    Legs and sums are the Book's own, shared by the scopes and moved by later ticks: copy what is
    kept.
    """
    show(book, now_ms)
    scopes: dict[str, ScopeBook] = {}
    for name in book.settings.accounts:
        sheet = book.sheet(name)
        scope = scopes[account_scope(name)] = ScopeBook(account_scope(name), now_ms)
        _fill(scope, sheet.sheet if book.is_keyed(name) else book.portfolio, sheet.tally)
        scope.equity_usd = scope.capital_usd = scope.aum_usd = book.equity(name)
        _fill_account(scope, sheet, book)
    whole = ScopeBook(PORTFOLIO, now_ms)
    _fill(whole, book.portfolio, book.tally)
    _fill_portfolio(whole, scopes.values(), book)
    scopes = {PORTFOLIO: whole, **scopes}
    for name in book.settings.strategies:
        scopes[strategy_scope(name)] = _strategy(name, book, now_ms)
    if loss_of is not None:
        for name, scope in scopes.items():
            scope.losses = loss_of(name, scope.equity_usd)
    return scopes


def totals(book: Book, scope: str, now_ms: int) -> Totals:
    """Return what of a scope is summed up anyway: it costs what moved since the last time.

    Args:
        book: the Book.
        scope: the portfolio, a configured account or a strategy.
        now_ms: UTC ms.
    """
    show(book, now_ms)
    account = scope_account(scope)
    if account is None and scope != PORTFOLIO:
        return _strategy(scope.partition(":")[2], book, now_ms)
    found = Totals(scope, now_ms)
    if account is None:
        sheet, tally = book.portfolio, book.tally
        found.equity_usd = book.portfolio_equity()
        found.capital_usd = _capital(book, found.equity_usd, _aum(book, found.equity_usd))
    else:
        own = book.sheet(account)
        sheet, tally = own.sheet if book.is_keyed(account) else book.portfolio, own.tally
        found.equity_usd = found.capital_usd = book.equity(account)
    _sum_up(found, sheet, tally)
    found.underlyings, found.sectors, found.groups = _keyed(sheet)
    return found


def _keyed(sheet: Sheet) -> tuple[dict[str, Aggregate], ...]:
    # The Book's own, for who only looks a key up.
    return (
        cast("dict[str, Aggregate]", sheet.underlyings),
        cast("dict[str, Aggregate]", sheet.sectors),
        cast("dict[str, Aggregate]", sheet.groups),
    )


# ---------------------------------------------------------------- scopes


def _sum_up(scope: Totals, sheet: Sheet, tally: Tally) -> None:
    """Fill what is summed up at any moment."""
    total = sheet.total
    scope.gross_usd, scope.net_usd = total.gross, total.net
    scope.by_key, scope.open_count = tally.legs, len(tally.opened)
    scope.unpriced = [*tally.unpriced.values()]
    scope.stop_risk_usd = tally.risk_usd


def _aum(book: Book, equity_usd: float | None) -> float | None:
    off = off_exchange_usd(book)
    return None if equity_usd is None or off is None else equity_usd + off


def _capital(book: Book, equity_usd: float | None, aum_usd: float | None) -> float | None:
    settings = book.settings
    return {"equity": equity_usd, "aum": aum_usd, "fixed": settings.capital_usd}[settings.capital]


def _fill(scope: ScopeBook, sheet: Sheet, tally: Tally) -> None:
    """Fill what every scope has: sums, legs, stops, pairs."""
    _sum_up(scope, sheet, tally)
    scope.delta_usd = scope.net_usd
    scope.underlyings = {**sheet.underlyings}
    scope.sectors = {**sheet.sectors}
    scope.groups = {**sheet.groups}
    scope.legs = [*tally.legs.values()]
    scope.unlisted = [*tally.unlisted.values()]
    scope.unprotected = [*tally.unprotected.values()]
    scope.pairs = tally.pairing.pairs()
    scope.signature = tally.signature


def keyed_sums(legs: Iterable[Leg]) -> Sheet:
    """Add legs up by underlying, sector and group, exactly."""
    sheet = Sheet()
    for leg in legs:
        notional = leg.notional_usd or 0.0
        for keyed, key in (
            (sheet.underlyings, leg.underlying),
            (sheet.sectors, leg.sector),
            *((sheet.groups, group) for group in leg.groups),
        ):
            sums = sums_of(keyed, key)
            sums.gross += abs(notional)
            sums.net += notional
    return sheet


def _fill_account(scope: ScopeBook, sheet: AccountSheet, book: Book) -> None:
    equity = scope.equity_usd
    if equity is not None:
        scope.venue_equity = {book.settings.accounts[sheet.name].exchange: equity}
    for margin in margins(sheet):
        scope.maintenance_margin.append((margin.subject, margin.ratio))
        scope.margin_equity[margin.subject] = margin.equity_usd or 0.0
    for line in sheet.holdings.values():
        if line.asset in STABLECOINS and line.mark is not None:
            paid = sheet.paid.get(line.asset)
            held = line.value + (paid.value if paid is not None else 0.0)
            price = book.view.cash(sheet.name, line.asset)
            scope.stablecoins[line.asset] = (held, price.value, price.is_assumed)


def _fill_portfolio(whole: ScopeBook, accounts: Iterable[ScopeBook], book: Book) -> None:
    whole.equity_usd = book.portfolio_equity()
    whole.aum_usd = _aum(book, whole.equity_usd)
    whole.capital_usd = _capital(book, whole.equity_usd, whole.aum_usd)
    for scope in accounts:
        whole.maintenance_margin += scope.maintenance_margin
        whole.margin_equity |= scope.margin_equity
        for venue, equity in scope.venue_equity.items():
            whole.venue_equity[venue] = whole.venue_equity.get(venue, 0.0) + equity
        for coin, (held, price, is_assumed) in scope.stablecoins.items():
            before = whole.stablecoins.get(coin, (0.0, price, is_assumed))
            # The price furthest from its peg is the one to watch.
            worst = max(before, (0.0, price, is_assumed), key=lambda row: abs(row[1] - 1))
            whole.stablecoins[coin] = (before[0] + held, worst[1], worst[2])
    whole.strategies = {**book.strategies}
    claimed = math.fsum(sums.gross for sums in whole.strategies.values())
    if whole.strategies:
        net = math.fsum(sums.net for sums in whole.strategies.values())
        rest = Aggregate(max(whole.gross_usd - claimed, 0.0), whole.net_usd - net)
        whole.strategies[EXTERNAL] = rest


def off_exchange_usd(book: Book) -> float | None:
    """Return AUM outside the venues, None while one of its assets has no price."""
    total = book.settings.off_exchange_usd
    for asset, amount in book.settings.off_exchange_assets.items():
        price = next(
            (
                found.value
                for name in book.settings.accounts
                if (found := book.view.asset(name, asset)) is not None
            ),
            None,
        )
        if price is None:
            return None
        total += amount * price
    return total


def _strategy(name: str, book: Book, now_ms: int) -> ScopeBook:
    scope = ScopeBook(strategy_scope(name), now_ms)
    tally = book.parts[name]
    parts = tally.legs.values()
    sheet = keyed_sums(parts)
    sheet.total.gross = math.fsum(abs(leg.notional_usd or 0.0) for leg in parts)
    sheet.total.net = math.fsum(leg.notional_usd or 0.0 for leg in parts)
    _fill(scope, sheet, tally)
    scope.capital_usd = scope.equity_usd = book.settings.strategies[name].capital_usd
    return scope
