"""What `kill` cancels and closes on one account, worked out from one complete read.

Deliberately plain: it shares only nouns and the rule of what an exit is with the daemon, so that
a mistake in enforcement is not repeated here. Sending is the business of `killing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from riskbot.clock import Clock
from riskbot.core import events, exits
from riskbot.core.accounts import AccountState
from riskbot.core.assets import is_cash
from riskbot.core.model import (
    Instrument,
    InstrumentKind,
    PositionKey,
    PositionSide,
    WorkingOrder,
)

Kept = dict[PositionKey, tuple[Decimal, str]]
"""What stays of a thing: signed quantity and why."""

DUST, STATED_SLACK = Decimal(100), Decimal(2)
"""Quote units, and times a stated minimum: what is worth more is not too small to trade."""

_GLANCE_S = 0.1
_SPOT_QUOTES = ("USDT", "USDC", "FDUSD", "USD", "EUR")


@dataclass(frozen=True, slots=True)
class Read:
    """One complete read of an account with the instruments it names.

    Attributes:
        sells_coins: `spot: trade`.
    """

    account: str
    snapshot: events.AccountSnapshotReceived
    instruments: Mapping[str, Instrument]
    sells_coins: bool

    def state(self) -> AccountState:
        """Return it as the core sees an account."""
        return AccountState(
            name=self.account,
            instruments=dict(self.instruments),
            balances={b.asset: b for b in self.snapshot.balances},
            positions={p.key: p for p in self.snapshot.positions},
            orders={o.order_id: o for o in self.snapshot.orders or ()},
        )

    def orders(self, *, with_exits: bool) -> list[WorkingOrder]:
        """Return the working orders to cancel: entries, or all of them."""
        state = self.state()
        return list(state.orders.values()) if with_exits else exits.entries(state)


@dataclass(frozen=True, slots=True)
class Holding:
    """Something held that a flatten looks at.

    Attributes:
        quantity: signed, unit of `Position.quantity`; for a coin all of it.
        closable: of abs(quantity), how much can be sold now.
        base_quantity: signed, in units of the underlying.
        value: >= 0, to close the largest first; in quote units.
        kept: why not all of it is closed, empty = it is.
    """

    key: PositionKey
    instrument: Instrument | None
    underlying: str
    quantity: Decimal
    closable: Decimal
    base_quantity: Decimal
    value: Decimal = Decimal(0)
    kept: str = ""

    @property
    def is_coin(self) -> bool:
        """Whether it is a spot balance."""
        return self.instrument is None or self.instrument.kind is InstrumentKind.SPOT

    @property
    def may_be_dust(self) -> bool:
        """Whether a venue that calls it too small to trade can be believed."""
        stated = self.instrument.min_notional if self.instrument is not None else Decimal(0)
        return not self.value or self.value <= max(stated * STATED_SLACK, DUST)


def holdings(read: Read) -> list[Holding]:
    """Return positions and coins of an account, zero ones left out."""
    return [*_positions(read), *_coins(read)]


def _positions(read: Read) -> Iterable[Holding]:
    for position in read.snapshot.positions:
        if not position.quantity:
            continue
        instrument = read.instruments.get(position.symbol)
        base, mark = position.quantity, position.venue_mark or position.entry_price
        value = abs(position.quantity * (mark or 0))
        if instrument is not None and instrument.kind is InstrumentKind.INVERSE:
            base, value = (base / mark if mark else Decimal(0)), abs(position.quantity)
        if instrument is not None:
            base *= instrument.underlying_per_base
        yield Holding(
            key=position.key,
            instrument=instrument,
            underlying=instrument.underlying if instrument else exits.base_of(position.symbol),
            quantity=position.quantity,
            closable=abs(position.quantity),
            base_quantity=base,
            value=value,
        )


def _coins(read: Read) -> Iterable[Holding]:
    for balance in read.snapshot.balances:
        if is_cash(balance.asset) or balance.total <= 0:
            continue
        instrument = _market_of(balance.asset, read.instruments)
        free = balance.free if balance.free is not None else balance.total
        kept = ""
        if not read.sells_coins:
            kept = "spot: hold, riskbot never sells it"
        elif instrument is None:
            kept = "no spot market to sell it at"
        elif free < balance.total:
            kept = f"{balance.total - free} of it is locked"
        yield Holding(
            key=PositionKey(
                read.account, instrument.symbol if instrument else balance.asset, PositionSide.NET
            ),
            instrument=instrument,
            underlying=balance.asset,
            quantity=balance.total,
            closable=min(free, balance.total) if read.sells_coins and instrument else Decimal(0),
            base_quantity=balance.total,
            kept=kept,
        )


def _market_of(asset: str, instruments: Mapping[str, Instrument]) -> Instrument | None:
    for quote in _SPOT_QUOTES:
        found = instruments.get(f"{asset}/{quote}")
        if found is not None and found.is_active:
            return found
    return None


def targets(reads: Iterable[Read]) -> Kept:
    """Return what stays of each thing that is not closed whole: signed quantity and why.

    Shorts that hedge coins riskbot never sells stay with them: closing one leg of a pair alone
    would open the risk that the pair had closed.
    """
    kept: Kept = {}
    every = [h for read in reads for h in holdings(read)]
    unsold: dict[str, Decimal] = {}
    for held in every:
        if held.is_coin and held.kept:
            stays = held.quantity - held.closable
            kept[held.key] = (stays, held.kept)
            unsold[held.underlying] = unsold.get(held.underlying, Decimal(0)) + stays
    for held in every:
        matched = min(unsold.get(held.underlying, Decimal(0)), -held.base_quantity)
        if held.is_coin or matched <= 0:
            continue
        unsold[held.underlying] -= matched
        why = f"hedges {matched.normalize():f} {held.underlying} that is not sold"
        kept[held.key] = (held.quantity * matched / -held.base_quantity, why)
    return kept


def left_to_close(read: Read, kept: Kept) -> list[tuple[Holding, Decimal]]:
    """Return what must still be closed, largest first, with the quantity (> 0), rounded down."""
    found = []
    for held in holdings(read):
        stays = abs(kept.get(held.key, (Decimal(0), ""))[0])
        amount = min(held.closable, abs(held.quantity) - stays)
        step = held.instrument.step if held.instrument else Decimal(0)
        if step > 0:
            amount = amount // step * step
        if amount > 0:
            found.append((held, amount))
    return sorted(found, key=lambda item: -item[0].value)


class Meeting:
    """Where accounts lay their first reads side by side, so that pairs are seen across venues."""

    def __init__(self, accounts: int) -> None:
        self.reads: dict[str, Read] = {}
        self._missing = accounts

    def bring(self, read: Read) -> None:
        """Add an account's read; the first one counts towards completeness."""
        if read.account not in self.reads:
            self._missing -= 1
        self.reads[read.account] = read

    async def wait(self, clock: Clock, seconds: float) -> bool:
        """Return whether every account brought its read in time."""
        deadline_ms = clock.now_ms() + round(seconds * 1000)
        while self._missing > 0 and clock.now_ms() < deadline_ms:
            await clock.sleep(_GLANCE_S)
        return self._missing <= 0
