"""Sub-state of what holding has brought so far: since when things are held, and funding booked.

Rows come from the venues' ledgers and count only where they name their instrument. What is to
come is in `funding`; losses count every row, named or not, in `cashflows`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events
from riskbot.core.accounts import Accounts, AccountState
from riskbot.core.model import LedgerKind, PositionKey, PositionSide
from riskbot.core.plain import from_plain, to_plain

ROWS_MAX = 48
"""Rows kept one by one of each instrument; older ones are kept as their sum."""


@dataclass(slots=True)
class Payment:
    """Funding as it was booked.

    Attributes:
        at_ms: the venue's time of it, UTC ms.
        amount: asset units, > 0 = received.
    """

    at_ms: int
    asset: str
    amount: float


@dataclass(slots=True)
class Held:
    """One instrument, or coin, that an account holds.

    Attributes:
        since_ms: by side, when riskbot first saw it held since it was last flat.
        payments: of it, by the venue's id of the row.
        earlier: what rows before those came to, by asset, > 0 = received.
        earlier_ms: when the first and the last of them were booked.
    """

    since_ms: dict[str, int] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    earlier: dict[str, float] = field(default_factory=dict)
    earlier_ms: tuple[int, int] = (0, 0)

    @property
    def began_ms(self) -> int:
        """When the first of its sides was first seen."""
        return min(self.since_ms.values())

    def take(self, row: events.LedgerEntryBooked) -> None:
        """Keep a row of this holding once; one older than what was summed up is counted there."""
        at_ms = row.venue_ms
        if at_ms < self.began_ms or at_ms <= self.earlier_ms[1] or row.entry_id in self.payments:
            return
        self.payments[row.entry_id] = Payment(at_ms, row.asset, float(row.amount))
        if len(self.payments) > ROWS_MAX:
            oldest = min(self.payments, key=lambda entry_id: self.payments[entry_id].at_ms)
            summed = self.payments.pop(oldest)
            self.earlier[summed.asset] = self.earlier.get(summed.asset, 0.0) + summed.amount
            self.earlier_ms = (self.earlier_ms[0] or summed.at_ms, summed.at_ms)

    def booked(self, since_ms: int) -> tuple[dict[str, float], int]:
        """Return what was booked since then by asset, and from when on that is whole."""
        first_ms, last_ms = self.earlier_ms
        is_whole = since_ms <= first_ms
        sums = dict(self.earlier) if is_whole else {}
        since_ms = since_ms if is_whole else max(since_ms, last_ms + 1)
        for payment in self.payments.values():
            if payment.at_ms >= since_ms:
                sums[payment.asset] = sums.get(payment.asset, 0.0) + payment.amount
        return sums, since_ms


@dataclass(slots=True)
class Carry:
    """What is held since when, and the funding booked on it.

    Attributes:
        held: by account, then by symbol; coins by their name.
        telling: accounts whose ledger ever named the instrument of a funding row.
    """

    held: dict[str, dict[str, Held]] = field(default_factory=dict)
    telling: dict[str, int] = field(default_factory=dict)

    # ------------------------------------------------------------ folding

    def apply(self, record: events.Event | actions.Action, accounts: Accounts, now_ms: int) -> None:
        """Fold one record that the accounts have folded already."""
        match record:
            case events.AccountSnapshotReceived(account=account):
                state = accounts.get(account)
                known = self.held.setdefault(account, {})
                self._follow(state, state.positions, now_ms)
                coins = [name for name in known if "/" not in name]
                for asset in dict.fromkeys((*state.balances, *coins)):
                    self._follow_coin(state, asset, now_ms)
                self._forget(state)
            case events.PositionsUpdated(account=account):
                keys = [position.key for position in record.positions]
                self._follow(accounts.get(account), keys, now_ms)
            case events.BalancesUpdated(account=account):
                for balance in record.balances:
                    self._follow_coin(accounts.get(account), balance.asset, now_ms)
            case events.LedgerEntryBooked(entry_kind=LedgerKind.FUNDING, symbol=str() as symbol):
                self.telling.setdefault(record.account, now_ms)
                held = self.held.get(record.account, {}).get(symbol)
                if held is not None:
                    held.take(record)
            case _:
                pass

    def _follow(self, state: AccountState, keys: Iterable[PositionKey], now_ms: int) -> None:
        known = self.held.setdefault(state.name, {})
        for key in keys:
            position = state.positions.get(key)
            is_held = position is not None and bool(position.quantity)
            _note(known, key.symbol, key.side.value, now_ms, is_held=is_held)

    def _follow_coin(self, state: AccountState, asset: str, now_ms: int) -> None:
        balance = state.balances.get(asset)
        is_held = balance is not None and bool(balance.total)
        side = PositionSide.NET.value
        _note(self.held.setdefault(state.name, {}), asset, side, now_ms, is_held=is_held)

    def _forget(self, state: AccountState) -> None:
        """Drop what a complete read does not show any more."""
        known = self.held[state.name]
        shown = {(key.symbol, key.side.value) for key in state.positions}
        told = [(name, side) for name, held in known.items() for side in held.since_ms]
        for symbol, side in told:
            if "/" in symbol and (symbol, side) not in shown:
                _note(known, symbol, side, 0, is_held=False)

    # ------------------------------------------------------------ reading

    def of(self, key: PositionKey, *, is_coin: bool = False) -> Held | None:
        """Return what is known of a holding; a coin's market stands for the coin."""
        symbol = key.symbol.partition("/")[0] if is_coin else key.symbol
        return self.held.get(key.account, {}).get(symbol)

    # ------------------------------------------------------------ checkpoints

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Carry:
        """Return what `dump` wrote."""
        state: Carry = from_plain(cls, data)
        return state


def _note(known: dict[str, Held], symbol: str, side: str, now_ms: int, *, is_held: bool) -> None:
    held = known.get(symbol)
    if is_held:
        if held is None:
            held = known[symbol] = Held()
        held.since_ms.setdefault(side, now_ms)
    elif held is not None:
        held.since_ms.pop(side, None)
        if not held.since_ms:
            # What it brought went with it: the next holding begins anew.
            del known[symbol]
