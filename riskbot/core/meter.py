"""The meter: prices, Book and cash flows as one thing that is fed records and read as scopes.

Only wiring lives here; each formula is in its own module.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events, measures, sizing
from riskbot.core.accounts import Accounts, Change
from riskbot.core.book import Book
from riskbot.core.booking import Booking
from riskbot.core.carry import Carry
from riskbot.core.cashflows import Cashflows
from riskbot.core.exposure import Leg, ScopeBook, Totals
from riskbot.core.guards import guards
from riskbot.core.limits._base import Limit, Verdict
from riskbot.core.margins import Margin, margin_of
from riskbot.core.marks import Marks
from riskbot.core.model import PORTFOLIO, PositionKey
from riskbot.core.prices import SecondView, View
from riskbot.core.quotes import Price
from riskbot.core.settings import CoreSettings

DISAGREEMENT = 0.01
"""Fresh independent sources this far apart disagree."""

RESYNC_MS = 10_000

REFRESHED_MAX = 1_000
"""Lines that rest on others' prices and are priced anew in one second; more take turns."""

SECOND_MAX = 250
"""Lines of the second Book carried along in one second; a breach waits for the others."""

Checked = tuple[Limit, list[Verdict], ScopeBook]
"""A limit, what it said, and of which Book."""


@dataclass(slots=True)
class SecondMeasure:
    """The Book under the second source of every price.

    Attributes:
        single: (account, symbol) that have one source only.
        held: (account, symbol) of all that it rests on.
    """

    scopes: dict[str, ScopeBook] = field(default_factory=dict)
    single: list[tuple[str, str]] = field(default_factory=list)
    held: list[tuple[str, str]] = field(default_factory=list)


class Meter:
    """Everything that turns accounts and prices into figures.

    Args:
        settings: what the operator configured.
        accounts: the accounts that are measured; their state folds elsewhere, before this.

    Attributes:
        glances: what `glance` has summed up by scope since anything was told; settled: (scope,
            limit) of those that are known to be known since then.
    """

    def __init__(self, settings: CoreSettings, accounts: Accounts) -> None:
        self.settings = settings
        self.accounts = accounts
        self.marks = Marks(
            venues={name: account.exchange for name, account in settings.accounts.items()},
            stale_ms=int(settings.monitor.price_stale_s * 1000),
        )
        self.book = Book(settings, accounts, View(self.marks, 0))
        self.cashflows = _cashflows(settings)
        self.booking = Booking(self.cashflows, self.book)
        self.carry = Carry()
        self.drift = 0.0
        self._resynced_ms = 0
        self._legs: list[Leg] | None = None
        self._checked: list[Checked] = []
        self._second: Book | None = None
        self._behind: list[Change] = []
        self._owed: list[PositionKey] = []
        # What stands alone stays so until a frame of it is looked at: kept from view to view.
        self._lone: set[tuple[str, str]] = set()
        self._best: dict[tuple[str, str], Price] = {}
        self.glances: dict[str, Totals] = {}
        self.settled: set[tuple[str, str]] = set()
        self._pools: dict[str | PositionKey, Margin] = {}

    # ------------------------------------------------------------ feeding

    def take_price(self, frame: events.PricesUpdated, now_ms: int) -> float | None:
        """Take a price frame; return the instrument's best price now, None = none usable."""
        if self._checked:
            self._settle_guards()
        self._best.pop((frame.account, frame.symbol), None)
        self._forget_glances()
        self.marks.take(frame, now_ms)
        self.book.view.now_ms = now_ms
        best = self.marks.best(frame.account, frame.symbol, now_ms)
        if self._second is not None:
            self._second.flag(frame.account, frame.symbol)
        if best is None:
            # The frame took away the only source there was.
            self.book.flag(frame.account, frame.symbol)
            return None
        self.book.on_price(frame.account, frame.symbol, best.value, best.until_ms)
        return best.value

    def apply(
        self, record: events.Event | actions.Action, change: Change | None, now_ms: int
    ) -> None:
        """Take a record that the accounts have folded already.

        Args:
            record: event or action.
            change: what it changed of an account, None = nothing.
            now_ms: UTC ms.
        """
        if self._checked:
            self._settle_guards()
        self._best.clear()
        self._forget_glances()
        self.marks.apply(record, now_ms)
        self.book.view.now_ms = now_ms
        if change is not None and change:
            self.book.on_change(change)
            if self._second is not None:
                self._behind.append(change)
            self._legs = None
            self.cashflows.take(change, now_ms)
        self.cashflows.apply(record, now_ms)
        self.carry.apply(record, self.accounts, now_ms)
        if isinstance(record, events.OrderFilled):
            key = PositionKey(record.account, record.symbol, record.position_side)
            self._attribute(self.book, key)
            if self._second is not None:
                self._owed.append(key)

    def _forget_glances(self) -> None:
        if self.glances or self._pools:
            self.glances.clear()
            self.settled.clear()
            self._pools.clear()

    def take_matter_of_order(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Take what the gateway records of an order: whose it is, and what time it is."""
        if self._checked:
            self._settle_guards()
        self.book.view.now_ms = now_ms
        if isinstance(record, actions.SetReservation):
            self.cashflows.apply(record, now_ms)

    def _attribute(self, book: Book, key: PositionKey) -> None:
        """Tell a Book which part of a position the fills of strategies made."""
        quantities = self.cashflows.owned(key)
        if quantities and book.owners.get(key) != quantities:
            book.attribute(key, quantities)

    def on_timer(self, now_ms: int) -> None:
        """Take prices anew (what became stale), and set the running sums straight."""
        self.book.refresh(View(self.marks, now_ms), REFRESHED_MAX)
        view = SecondView(self.marks, now_ms, lone=self._lone)
        self._second_book(view, self._unseen(now_ms), SECOND_MAX)
        if now_ms - self._resynced_ms >= RESYNC_MS:
            self._resynced_ms = now_ms
            self.drift = max(self.drift, self.book.resync())

    # ------------------------------------------------------------ reading

    def scopes(self, now_ms: int) -> dict[str, ScopeBook]:
        """Measure every scope."""
        self.book.view.now_ms = now_ms
        scopes = measures.evaluate(
            self.book, now_ms, lambda scope, *_: self.booking.losses(scope, now_ms)
        )
        self._legs = scopes[PORTFOLIO].legs
        return scopes

    def second(
        self, now_ms: int, read_since_ms: int, without: frozenset[str] = frozenset()
    ) -> SecondMeasure:
        """Measure every scope under the second source of each price.

        Args:
            now_ms: UTC ms.
            read_since_ms: since when a REST price counts as a second look.
            without: accounts whose exposure is left out beside those that are BLIND.
        """
        is_other = bool(without - (unseen := self._unseen(now_ms)))
        lone = set() if is_other else self._lone
        view = SecondView(self.marks, now_ms, read_since_ms=read_since_ms, lone=lone)
        if is_other:
            book = self._book_without(view, unseen | without)
        else:
            book = self._second_book(view, unseen)
        booking = Booking(self.cashflows, book, max)
        scopes = measures.evaluate(book, now_ms, lambda scope, *_: booking.losses(scope, now_ms))
        # Nor does a venue that is out of sight keep the others' breach from being confirmed.
        held = book.pricers()
        return SecondMeasure(scopes, sorted(view.lone & held), sorted(held))

    def disagreeing(self, held: Iterable[tuple[str, str]], now_ms: int) -> list[tuple[str, str]]:
        """Return the (account, symbol) among these whose sources differ by 1 % or more."""
        return [
            key for key in held if (self.marks.disagreement(*key, now_ms) or 0.0) >= DISAGREEMENT
        ]

    def _unseen(self, now_ms: int) -> frozenset[str]:
        """Return the accounts that are BLIND.

        The kind case: what they hold by now is not held against the others.
        """
        stale_ms = int(self.settings.monitor.account_stale_s * 1000)
        return frozenset(
            name
            for name in self.settings.accounts
            if self.accounts.get(name).blind_reason(now_ms, stale_ms) is not None
        )

    def _second_book(
        self, view: SecondView, without: frozenset[str], most: int | None = None
    ) -> Book:
        """Return the Book under a second view: kept at hand, since a breach waits for it."""
        book = self._second
        if book is None or book.without != without:
            self._lone.clear()
            book = self._second = self._book_without(view, without)
        else:
            book.view = view
            for change in self._behind:
                book.on_change(change)
            for key in self._owed:
                self._attribute(book, key)
            book.refresh(view, most)
            for name, sheet in book.by_account.items():
                sheet.take_margin(self.accounts.get(name).margin)
        self._behind.clear()
        self._owed.clear()
        return book

    def _book_without(self, view: SecondView, without: frozenset[str]) -> Book:
        """Return another Book, built anew, with what fills of strategies made."""
        book = Book(self.settings, self.accounts, view, without=without)
        for key in self.cashflows.attributed():
            self._attribute(book, key)
        return book

    def day_begun_ms(self, scope: str) -> int | None:
        """Return the start of the day a scope's losses count from, None = it has no NAV."""
        history = self.cashflows.histories.get(scope)
        return history.day_ms if history is not None and history.recorded_ms else None

    def legs(self) -> list[Leg]:
        """Return what is held, as measured last."""
        if self._legs is None:
            self.scopes(self.book.view.now_ms)
        return self._legs or []

    def leg_usd(self, key: PositionKey) -> float | None:
        """Return the signed notional of what is held under a key, as measured last."""
        self.legs()
        leg = self.book.tally.legs.get(key)
        return leg.notional_usd if leg is not None else None

    def tripped(self) -> bool:
        """Whether some limit may have reached another level since the last evaluation."""
        return self.book.tripped()

    def set_guards(self, checked: Iterable[Checked], *, is_urgent: bool) -> None:
        """Take the room that a full evaluation left.

        Args:
            checked: what the limits said.
            is_urgent: orders were decided: they leave first, nobody asks before the next record.
        """
        self._checked = list(checked)
        if not is_urgent:
            self._settle_guards()

    def _settle_guards(self) -> None:
        checked, self._checked = self._checked, []
        by_position = ((book.scope, limit) for limit, _, book in checked if limit.is_min)
        self.book.set_fences(by_position)
        self.book.set_guards(
            guard for limit, verdicts, book in checked for guard in guards(limit, verdicts, book)
        )

    def best(self, account: str, symbol: str) -> Price | None:
        """Return the best price of an instrument in quote units, None = never priced.

        Asked for several times of an order: the answer is kept for as long as it stands by itself.
        """
        now_ms = self.book.view.now_ms
        known = self._best.get((account, symbol))
        if known is None or known.until_ms < now_ms:
            known = self.marks.best(account, symbol, now_ms)
            if known is not None and known.until_ms >= now_ms:
                self._best[account, symbol] = known
        return known

    def pool_of(self, key: PositionKey) -> Margin:
        """Return the margin that a position draws on; kept, as `glances` are."""
        sheet = self.book.sheet(key.account)
        name = key if key in sheet.isolated else key.account
        found = self._pools.get(name)
        if found is None:
            found = self._pools[name] = margin_of(sheet, key)
        return found

    def coin_key(self, account: str, asset: str) -> PositionKey | None:
        """Return the key that a coin is shown as held under, None = it is not."""
        self.legs()
        line = self.book.sheet(account).holdings.get(asset)
        return line.key if line is not None and line.key in self.book.tally.legs else None

    def order_quote(self, account: str, symbol: str) -> sizing.Quote:
        """Return prices an order may be made from, fresh ones only."""
        now_ms = self.book.view.now_ms
        best = self.best(account, symbol)
        quote = self.marks.quote(account, symbol)
        has_book = (
            quote is not None
            and quote.book is not None
            and quote.book.is_fresh(now_ms, self.marks.stale_ms)
        )
        return sizing.Quote(
            mark=best.value if best is not None and not best.is_stale else None,
            bid=quote.bid if quote is not None and has_book else None,
            ask=quote.ask if quote is not None and has_book else None,
        )

    def mark_usd(self, account: str, symbol: str) -> float | None:
        """Return USD per base unit of an instrument, None = unknown."""
        best = self.best(account, symbol)
        listed = self.marks.instrument(account, symbol)
        if best is None or listed is None:
            return None
        return best.value * self.book.view.cash(account, listed.quote).value

    def blind_prices(self, account: str, now_ms: int) -> set[str]:
        """Return the symbols held whose price, or whose coin's, the account's own venue hides.

        As shown last; dust counts as nothing.
        """
        since_ms = now_ms - self.marks.stale_ms
        watched = self.book.sheet(account).watched.items()
        blind = set()
        for key, quote in [row for row in watched if row[1] is None or row[1].fresh_ms < since_ms]:
            # No market of the account trades a bare coin: something else prices it.
            is_coin = quote is None
            if not is_coin or self.book.view.is_coin_blind(account, key.symbol, now_ms):
                blind.add(key.symbol)
        return blind

    # ------------------------------------------------------------ checkpoints

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        return {
            "marks": self.marks.dump(),
            "cashflows": self.cashflows.dump(),
            "carry": self.carry.dump(),
        }

    def load(self, data: dict[str, Any]) -> None:
        """Take what `dump` returned."""
        venues = self.marks.venues
        self.marks = Marks.load(data["marks"])
        self.marks.venues = venues
        self.marks.stale_ms = int(self.settings.monitor.price_stale_s * 1000)
        self.book = Book(self.settings, self.accounts, View(self.marks, 0))
        self.cashflows = Cashflows.load(data["cashflows"])
        self.booking = Booking(self.cashflows, self.book)
        # A checkpoint from before this was kept: what is held counts from now on.
        self.carry = Carry.load(data["carry"]) if "carry" in data else Carry()
        for key in self.cashflows.attributed():
            self._attribute(self.book, key)
        self._legs = self._second = None
        self._best.clear()
        self._forget_glances()
        self._checked.clear()
        self._behind.clear()
        self._owed.clear()


def _cashflows(settings: CoreSettings) -> Cashflows:
    return Cashflows(seed_usd=max(settings.peak_usd or 0.0, settings.initial_capital_usd or 0.0))
