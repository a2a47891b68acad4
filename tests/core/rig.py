"""The measuring half alone: accounts and meter, fed records by hand."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.accounts import Accounts
from riskbot.core.book import Book
from riskbot.core.exposure import ScopeBook
from riskbot.core.measures import evaluate
from riskbot.core.meter import Meter
from riskbot.core.model import PORTFOLIO, LedgerKind
from riskbot.core.prices import View
from riskbot.core.settings import AccountSettings, CoreSettings
from tests import builders
from tests.builders import T0


class Rig:
    """Folds what it is given, books what is due, and tells what is measured."""

    def __init__(self, settings: CoreSettings | None = None) -> None:
        self.settings = settings if settings is not None else builders.settings()
        self.accounts = Accounts()
        self.meter = Meter(self.settings, self.accounts)
        self.now_ms = T0
        self.booked: list[actions.Action] = []

    def give(self, *records: events.Event | actions.Action) -> None:
        for record in records:
            if not isinstance(record, events.PricesUpdated):
                # A frame of the very moment a read began would be part of that read.
                self.now_ms += 1
            self.fold(record)
            if not isinstance(record, events.PricesUpdated):
                self.book_due(record)

    def fold(self, record: events.Event | actions.Action) -> None:
        if isinstance(record, events.PricesUpdated):
            self.meter.take_price(record, self.now_ms)
            return
        change = self.accounts.fold(record, self.now_ms)
        self.meter.apply(record, change, self.now_ms)

    def book_due(self, event: Any = None) -> None:
        event = event if event is not None else events.TimerFired()
        for _ in range(5):
            due = self.meter.booking.decide(event, self.now_ms)
            self.booked.extend(due)
            for action in due:
                self.fold(action)
            if not due:
                return

    def mark(self, account: str = builders.ACCOUNT, **marks: float) -> None:
        """Move the marks of USDT perpetuals (`BTC=51_000.0`)."""
        for base, mark in marks.items():
            self.give(builders.prices(f"{base}/USDT:USDT", mark, account=account))

    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        self.meter.on_timer(self.now_ms)
        self.give(events.TimerFired())

    def read(self, *positions: Any, **fields: Any) -> None:
        """A complete REST read that begins and ends now."""
        self.give(builders.snapshot(*positions, as_of_ms=self.now_ms, **fields))

    def scopes(self) -> dict[str, ScopeBook]:
        return self.meter.scopes(self.now_ms)

    @property
    def portfolio(self) -> ScopeBook:
        return self.scopes()[PORTFOLIO]

    def exact(self) -> dict[str, ScopeBook]:
        """The same state measured from scratch."""
        return evaluate(
            Book(self.settings, self.accounts, View(self.meter.marks, self.now_ms)), self.now_ms
        )

    def flows(self, kind: type = actions.BookFlow) -> list[Any]:
        return [action for action in self.booked if isinstance(action, kind)]

    def nav(self, scope: str = PORTFOLIO) -> float:
        nav = self.meter.booking.nav(scope)
        assert nav is not None
        return nav


def rig(*positions: Any, settings: CoreSettings | None = None, **fields: Any) -> Rig:
    """A rig with BTC and ETH perpetuals at 50,000 and 2,000, read once."""
    made = Rig(settings)
    for account in made.settings.accounts:
        made.give(
            builders.loaded(
                builders.BTC_PERP,
                builders.ETH_PERP,
                builders.BTC_INVERSE,
                builders.BTC_SPOT,
                account=account,
            )
        )
        made.mark(account, BTC=50_000.0, ETH=2_000.0)
        made.give(
            builders.prices(builders.BTC_INVERSE, 50_000.0, account=account),
            builders.prices(builders.BTC_SPOT, bid=49_999.99, ask=50_000.01, account=account),
        )
    if positions or fields:
        made.read(*positions, **fields)
    return made


def spot_settings(spot: str = "trade", **fields: Any) -> CoreSettings:
    """Settings of one spot account."""
    account = AccountSettings(exchange="binance", spot=spot)  # type: ignore[arg-type]
    return builders.settings(**{"accounts": {builders.ACCOUNT: account}, **fields})


def wallet(
    total: float, asset: str = "USDT", account: str = builders.ACCOUNT
) -> events.BalancesUpdated:
    return events.BalancesUpdated(account=account, balances=(builders.balance(asset, total),))


def positions(*held: Any, account: str = builders.ACCOUNT) -> events.PositionsUpdated:
    return events.PositionsUpdated(account=account, positions=held)


def row(
    amount: float,
    kind: LedgerKind = LedgerKind.DEPOSIT,
    *,
    asset: str = "USDT",
    entry_id: str = "r1",
    account: str = builders.ACCOUNT,
    venue_ms: int = T0 + 1_000,
) -> events.LedgerEntryBooked:
    return events.LedgerEntryBooked(
        account=account,
        entry_id=entry_id,
        entry_kind=kind,
        asset=asset,
        amount=builders.dec(amount),
        venue_ms=venue_ms,
    )


def started(*held: Any, **fields: Any) -> Rig:
    made = rig(*held, **fields) if held or fields else rig(usdt=100_000)
    made.booked.clear()
    return made


def sources(made: Rig) -> list[tuple[str, float]]:
    """Booked flows as (source, USD)."""
    return [(flow.source, pytest.approx(flow.amount_usd)) for flow in made.flows()]
