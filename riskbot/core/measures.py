"""Full evaluation: the Book's running sums and lines turned into what limits and people read.

O(positions), once per evaluation; per tick only `book` runs. Losses come from `cashflows`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from riskbot.core.assets import STABLECOINS
from riskbot.core.book import Book
from riskbot.core.exposure import Aggregate, Leg, Losses, ScopeBook
from riskbot.core.margins import margins
from riskbot.core.model import (
    PORTFOLIO,
    account_scope,
    strategy_scope,
)
from riskbot.core.pairs import find_pairs
from riskbot.core.sheets import AccountSheet, Sheet, Sums, sums_of
from riskbot.core.showing import shown_legs

EXTERNAL = "external"
"""The part of the book that no approved order explains."""

LossOf = Callable[[str, float | None], Losses]
"""Losses of a scope at an equity in USD."""


def evaluate(book: Book, now_ms: int, loss_of: LossOf | None = None) -> dict[str, ScopeBook]:
    """Return every scope: the portfolio, each configured account, each strategy.

    Legs and sums are the Book's own, shared by the scopes and moved by later ticks: copy what is
    kept.
    """
    scopes: dict[str, ScopeBook] = {}
    legs: list[Leg] = []
    for name in book.settings.accounts:
        sheet = book.sheet(name)
        mine = shown_legs(book, sheet, now_ms) if name not in book.without else []
        legs.extend(mine)
        scope = scopes[account_scope(name)] = ScopeBook(account_scope(name), now_ms)
        _fill(scope, _keyed_sheet(book, sheet, mine), mine, book)
        scope.equity_usd = scope.capital_usd = scope.aum_usd = book.equity(name)
        _fill_account(scope, sheet, book)
    whole = ScopeBook(PORTFOLIO, now_ms)
    only = next(iter(scopes.values())) if len(scopes) == 1 else None
    _fill(whole, book.portfolio, legs, book, same_as=only)
    _fill_portfolio(whole, scopes.values(), book)
    scopes = {PORTFOLIO: whole, **scopes}
    for name in book.settings.strategies:
        scopes[strategy_scope(name)] = _strategy(name, legs, book, now_ms)
    if loss_of is not None:
        for name, scope in scopes.items():
            scope.losses = loss_of(name, scope.equity_usd)
    return scopes


# ---------------------------------------------------------------- scopes


def _fill(
    scope: ScopeBook,
    sheet: Sheet,
    legs: list[Leg],
    book: Book,
    *,
    same_as: ScopeBook | None = None,
) -> None:
    """Fill what every scope has: sums, legs, stops, pairs. One account is the whole portfolio."""
    total = sheet.total
    scope.gross_usd, scope.net_usd, scope.delta_usd = total.gross, total.net, total.net
    scope.legs = legs
    scope.underlyings = _aggregates(sheet.underlyings)
    scope.sectors = _aggregates(sheet.sectors)
    scope.groups = _aggregates(sheet.groups)
    if same_as is not None:
        scope.unpriced, scope.unprotected = same_as.unpriced, same_as.unprotected
        scope.unlisted = same_as.unlisted
        scope.stop_risk_usd, scope.pairs = same_as.stop_risk_usd, same_as.pairs
        return
    scope.unlisted = [leg.key.symbol for leg in legs if leg.is_unlisted]
    scope.unpriced = [
        leg.key.symbol for leg in legs if leg.notional_usd is None and not leg.is_unlisted
    ]
    scope.stop_risk_usd = math.fsum(leg.risk_usd or 0.0 for leg in legs)
    scope.unprotected = [leg.key.symbol for leg in legs if leg.stop is None and not leg.is_dust]
    scope.pairs = find_pairs(legs, book.settings.pairs)


def _keyed_sheet(book: Book, account: AccountSheet, legs: list[Leg]) -> Sheet:
    """Return an account's sums by key: kept by tick where a limit reads them, else added up."""
    if book.is_keyed(account.name):
        return account.sheet
    if len(book.settings.accounts) == 1:
        return book.portfolio
    sheet = keyed_sums(legs)
    for line in account.holdings.values():
        sector = book.settings.sectors.get(line.asset)
        if line.leg is None and sector is not None:
            sums = sums_of(sheet.sectors, sector)
            sums.gross += abs(line.x)
            sums.net += line.x
    sheet.total = account.sheet.total
    return sheet


def keyed_sums(legs: Iterable[Leg]) -> Sheet:
    """Add legs up by underlying, sector and group, exactly."""
    sheet = Sheet()
    for leg in legs:
        if leg.notional_usd is None:
            continue
        for keyed, key in (
            (sheet.underlyings, leg.underlying),
            (sheet.sectors, leg.sector),
            *((sheet.groups, group) for group in leg.groups),
        ):
            sums = sums_of(keyed, key)
            sums.gross += abs(leg.notional_usd)
            sums.net += leg.notional_usd
    return sheet


def _aggregates(keyed: Mapping[str, Sums]) -> dict[str, Aggregate]:
    for sums in keyed.values():
        sums.delta = sums.net
    return {**keyed}


def _fill_account(scope: ScopeBook, sheet: AccountSheet, book: Book) -> None:
    equity = scope.equity_usd
    if equity is not None:
        scope.venue_equity = {book.settings.accounts[sheet.name].exchange: equity}
    for margin in margins(sheet):
        scope.maintenance_margin.append((margin.subject, margin.ratio))
        scope.margin_equity[margin.subject] = margin.equity_usd or 0.0
    for line in sheet.holdings.values():
        if line.asset in STABLECOINS and line.mark is not None:
            paid = math.fsum(
                position.value
                for position in sheet.positions.values()
                if position.leg is not None
                and position.leg.instrument.settle == line.asset
                and position.mark is not None
            )
            price = book.view.cash(sheet.name, line.asset)
            scope.stablecoins[line.asset] = (line.value + paid, price.value, price.is_assumed)


def _fill_portfolio(whole: ScopeBook, accounts: Iterable[ScopeBook], book: Book) -> None:
    settings = book.settings
    whole.equity_usd = book.portfolio_equity()
    off = off_exchange_usd(book)
    if whole.equity_usd is not None and off is not None:
        whole.aum_usd = whole.equity_usd + off
    whole.capital_usd = {
        "equity": whole.equity_usd,
        "aum": whole.aum_usd,
        "fixed": settings.capital_usd,
    }[settings.capital]
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
    whole.strategies = _aggregates(book.strategies)
    claimed = math.fsum(sums.gross for sums in whole.strategies.values())
    if whole.strategies:
        net = math.fsum(sums.net for sums in whole.strategies.values())
        rest = Aggregate(
            max(whole.gross_usd - claimed, 0.0), whole.net_usd - net, whole.net_usd - net
        )
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


def _strategy(name: str, legs: Iterable[Leg], book: Book, now_ms: int) -> ScopeBook:
    scope = ScopeBook(strategy_scope(name), now_ms)
    parts: list[Leg] = []
    for leg in legs:
        line = book.line(leg.key) if leg.key in book.owners else None
        share = (
            next((s for sums, s in line.shares if sums is book.strategies.get(name)), 0.0)
            if line is not None
            else 0.0
        )
        if share:
            parts.append(_part(leg, share, name))
    sheet = keyed_sums(parts)
    sheet.total.gross = math.fsum(abs(leg.notional_usd or 0.0) for leg in parts)
    sheet.total.net = math.fsum(leg.notional_usd or 0.0 for leg in parts)
    _fill(scope, sheet, parts, book)
    scope.capital_usd = scope.equity_usd = book.settings.strategies[name].capital_usd
    return scope


def _part(leg: Leg, share: float, strategy: str) -> Leg:
    def of(amount: float | None) -> float | None:
        return None if amount is None else amount * share

    return Leg(
        key=leg.key,
        instrument=leg.instrument,
        venue=leg.venue,
        underlying=leg.underlying,
        sector=leg.sector,
        groups=leg.groups,
        quantity=leg.quantity * share,
        mark_usd=leg.mark_usd,
        notional_usd=of(leg.notional_usd),
        delta_usd=of(leg.delta_usd),
        entry=leg.entry,
        unrealized_pnl_usd=of(leg.unrealized_pnl_usd),
        leverage=leg.leverage,
        stop=leg.stop,
        risk_usd=of(leg.risk_usd),
        liquidation_price=leg.liquidation_price,
        liquidation_distance=leg.liquidation_distance,
        is_closable=leg.is_closable,
        kept_reason=leg.kept_reason,
        is_estimated=leg.is_estimated,
        is_spot=leg.is_spot,
        is_dust=leg.is_dust,
        gamma=of(leg.gamma),
        vega=of(leg.vega),
        strategy=strategy,
        closable_quantity=leg.closable_quantity * share,
    )
