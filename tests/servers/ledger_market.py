"""The market that all accounts of one server share: instruments, prices, phase, depth, ids.

No account lives here; every `Ledger` is attached to one `Market` and is told of price changes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Literal

from tests.servers.ledger_types import ONE, ZERO, Event, Instrument, MarkChanged, Side, VenueError

if TYPE_CHECKING:
    from tests.servers.days import Day
    from tests.servers.ledger import Ledger

Phase = Literal["trading", "cancel_only", "post_only", "maintenance"]


def wall_clock_ms() -> int:
    """Return UTC milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def floor_to(value: Decimal, increment: Decimal) -> Decimal:
    """Round towards minus infinity to a multiple of increment, keeping its digits."""
    return (value / increment).to_integral_value(ROUND_FLOOR) * increment


class Market:
    """Instruments and prices of one venue; share one between the ledgers of a server.

    Attributes:
        instruments: venue-native id -> Instrument.
        marks, indexes, bids, asks, lasts: id -> price in quote per base.
        funding_rates: id -> rate of the next funding, a fraction of notional.
        asset_prices: asset -> USD per unit; a settable price even for stablecoins.
        phase: what the venue lets accounts do now; `phases` overrides it per instrument.
        days: id -> daily bars by day since 1970-01-01; `days.py` fills and reads them.
        touch_quantity: id -> quantity standing at the best bid and ask after each set_price;
            absent means without end.
        now_ms: the venue's clock, UTC milliseconds.
    """

    def __init__(self, now_ms: Callable[[], int] = wall_clock_ms, first_id: int = 1) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.marks: dict[str, Decimal] = {}
        self.indexes: dict[str, Decimal] = {}
        self.bids: dict[str, Decimal] = {}
        self.asks: dict[str, Decimal] = {}
        self.lasts: dict[str, Decimal] = {}
        self.funding_rates: dict[str, Decimal] = {}
        self.asset_prices: dict[str, Decimal] = {}
        self.phase: Phase = "trading"
        self.phases: dict[str, Phase] = {}
        self.touch_quantity: dict[str, Decimal] = {}
        self.days: dict[str, dict[int, Day]] = {}
        self.now_ms = now_ms
        self.ledgers: list[Ledger] = []
        self.make_order_id: Callable[[], str] = lambda: str(next(self._order_ids))
        self.make_fill_id: Callable[[], str] = lambda: str(next(self._fill_ids))
        self._order_ids = itertools.count(first_id)
        self._fill_ids = itertools.count(first_id)
        self._transfer_ids = itertools.count(first_id)
        self._left: dict[tuple[str, Side], Decimal] = {}
        self._subscribers: list[Callable[[Event], None]] = []

    def add(self, instrument: Instrument, mark: Decimal) -> Instrument:
        """List an instrument at a first price and return it."""
        self.instruments[instrument.id] = instrument
        self.set_price(instrument.id, mark)
        return instrument

    def instrument(self, name: str) -> Instrument:
        """Return an instrument by id.

        Raises:
            VenueError: UNKNOWN_SYMBOL.
        """
        try:
            return self.instruments[name]
        except KeyError:
            raise VenueError("UNKNOWN_SYMBOL", name) from None

    def set_price(
        self,
        name: str,
        mark: Decimal,
        *,
        bid: Decimal | None = None,
        ask: Decimal | None = None,
        index: Decimal | None = None,
        last: Decimal | None = None,
    ) -> None:
        """Move an instrument's prices, tell subscribers, then let every account's orders react.

        Without bid and ask the book stands one tick around the mark; index and last follow it.
        """
        tick = self.instrument(name).tick
        floor = floor_to(mark, tick)
        self.marks[name] = mark
        self.indexes[name] = mark if index is None else index
        self.bids[name] = (floor if floor < mark else mark - tick) if bid is None else bid
        self.asks[name] = floor + tick if ask is None else ask
        self.lasts[name] = floor if last is None else last
        for side in ("buy", "sell"):
            self._left.pop((name, side), None)
        event = MarkChanged(name, mark, self.indexes[name], self.bids[name], self.asks[name])
        for callback in list(self._subscribers):
            callback(event)
        for ledger in list(self.ledgers):
            ledger.on_price(event)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call back with each MarkChanged, once for all accounts; return the unsubscriber."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def phase_of(self, name: str) -> Phase:
        """Return what the venue lets accounts do with an instrument now."""
        return self.phases.get(name, self.phase)

    def touch(self, name: str, side: Side) -> Decimal:
        """Return the best price a taker of this side meets: the ask for a buy."""
        return self.asks[name] if side == "buy" else self.bids[name]

    def left(self, name: str, side: Side) -> Decimal:
        """Return how much a taker of this side can still take at the touch."""
        full = self.touch_quantity.get(name, Decimal("Infinity"))
        return self._left.get((name, side), full)

    def take(self, name: str, side: Side, quantity: Decimal) -> None:
        """Consume quantity at the touch; the next set_price restores it."""
        self._left[name, side] = self.left(name, side) - quantity

    def trigger_price(self, name: str, source: str) -> Decimal:
        """Return the price a trigger looks at: mark, last or index."""
        table: Mapping[str, dict[str, Decimal]] = {
            "mark": self.marks,
            "last": self.lasts,
            "index": self.indexes,
        }
        return table[source][name]

    def asset_price(self, asset: str) -> Decimal:
        """Return USD per unit of an asset: set by hand, else from an instrument's index, else 1."""
        if asset in self.asset_prices:
            return self.asset_prices[asset]
        for instrument in self.instruments.values():
            if instrument.base == asset and instrument.quote in {"USDT", "USDC", "USD"}:
                return self.indexes[instrument.id]
        if asset in {"USD", "USDT", "USDC", "FDUSD", "BUSD", "DAI", "BFUSD", "USDE"}:
            return ONE
        return ZERO

    def next_transfer_id(self) -> str:
        """Return a new id for a money row."""
        return str(next(self._transfer_ids))
