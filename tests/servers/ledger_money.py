"""The money side of one account: balances, money rows, events and their subscribers.

Orders are booked in `ledger_matching.py`; the public face of all of it is `ledger.Ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal

from tests.servers.ledger_margin import MarginBook
from tests.servers.ledger_market import Market
from tests.servers.ledger_types import (
    ZERO,
    AccountChanged,
    BalanceChanged,
    Event,
    Instrument,
    LedgerBooked,
    PositionChanged,
    Transfer,
    TransferKind,
    VenueError,
)


class MoneyBook(MarginBook):
    """Balances with their history, and the account's event stream.

    Attributes:
        transfers: every change of a balance, oldest first.
    """

    def __init__(self, market: Market, balance: Mapping[str, Decimal]) -> None:
        super().__init__(market)
        self.balances.update(balance)
        self.transfers: list[Transfer] = []
        self._subscribers: list[Callable[[Event], None]] = []
        self._cause: tuple[list[BalanceChanged], list[PositionChanged]] | None = None

    # ---- shortcuts to the shared market ---------------------------------------------------------

    @property
    def instruments(self) -> dict[str, Instrument]:
        """Instruments by venue-native id."""
        return self.market.instruments

    @property
    def marks(self) -> dict[str, Decimal]:
        """Mark prices by instrument id."""
        return self.market.marks

    @property
    def indexes(self) -> dict[str, Decimal]:
        """Index prices by instrument id."""
        return self.market.indexes

    @property
    def bids(self) -> dict[str, Decimal]:
        """Best bids by instrument id."""
        return self.market.bids

    @property
    def asks(self) -> dict[str, Decimal]:
        """Best asks by instrument id."""
        return self.market.asks

    def set_price(
        self,
        name: str,
        mark: Decimal,
        *,
        bid: Decimal | None = None,
        ask: Decimal | None = None,
        index: Decimal | None = None,
    ) -> None:
        """Move a price for every account of the market; see `Market.set_price`."""
        self.market.set_price(name, mark, bid=bid, ask=ask, index=index)

    # ---- events ---------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back with every change, in order; return the unsubscriber."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def _emit(self, event: Event) -> None:
        if self._cause is not None and isinstance(event, BalanceChanged):
            self._cause[0].append(event)
        elif self._cause is not None and isinstance(event, PositionChanged):
            self._cause[1].append(event)
        for callback in list(self._subscribers):
            callback(event)

    @contextmanager
    def _one_cause(self, reason: str) -> Iterator[None]:
        # Collects single balance and position events into one AccountChanged.
        self._cause = ([], [])
        try:
            yield
        finally:
            balances, positions = self._cause
            self._cause = None
        self._emit(AccountChanged(reason, tuple(balances), tuple(positions)))

    # ---- money ----------------------------------------------------------------------------------

    def _book(
        self, kind: TransferKind, asset: str, amount: Decimal, instrument: str = "", ref: str = ""
    ) -> None:
        if not amount:
            return
        balance = self.balances.get(asset, ZERO) + amount
        self.balances[asset] = balance
        row = Transfer(
            self.market.next_transfer_id(),
            kind,
            asset,
            amount,
            self.market.now_ms(),
            instrument,
            ref,
            balance,
        )
        self.transfers.append(row)
        self._emit(LedgerBooked(row))
        self._emit(BalanceChanged(asset, balance, amount, kind))

    def deposit(self, asset: str, amount: Decimal) -> None:
        """Add money from outside; amount > 0."""
        with self._one_cause("deposit"):
            self._book("deposit", asset, amount)

    def withdraw(self, asset: str, amount: Decimal) -> None:
        """Take money out; amount > 0.

        Raises:
            VenueError: INSUFFICIENT_BALANCE.
        """
        if amount > self.balances.get(asset, ZERO):
            raise VenueError("INSUFFICIENT_BALANCE", asset)
        with self._one_cause("withdraw"):
            self._book("withdraw", asset, -amount)

    def apply_funding(self, name: str, rate: Decimal) -> None:
        """Settle funding of an instrument: a long pays a positive rate of its notional."""
        instrument = self.instrument(name)
        with self._one_cause("funding"):
            for position in self.open_positions():
                if position.instrument == name:
                    sign = 1 if position.quantity > 0 else -1
                    amount = -sign * self.notional_of(position) * rate
                    self._book("funding", instrument.settle, amount, name)
