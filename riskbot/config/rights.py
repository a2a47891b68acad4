"""What a venue says first of an account, judged against what the configuration says of it.

What its key may do, and whether the instruments that are named exist.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.events import InstrumentsLoaded, KeyRightsChecked

_DAY_MS = 86_400_000
_EXPIRY_WARNED_DAYS = 14


def judge_rights(
    rights: KeyRightsChecked, *, allow_withdraw_keys: bool, now_ms: int
) -> tuple[list[str], list[str]]:
    """Return (faults, warnings) of a key's rights; faults stop the start.

    Args:
        rights: as the venue says them; None = it does not say.
        allow_withdraw_keys: `accounts.*.allow_withdraw_keys`.
        now_ms: for the key's expiry.
    """
    path = f"accounts.{rights.account}"
    faults, warnings = [], []
    for word, may in (("withdraw", rights.can_withdraw), ("transfer", rights.can_transfer)):
        if may and not allow_withdraw_keys:
            faults.append(
                f"{path}.api_key: the key may {word}: make one that may not, or set "
                "allow_withdraw_keys: true"
            )
        elif may:
            warnings.append(f"{path}.api_key: the key may {word} (allow_withdraw_keys: true)")
        elif may is None:
            warnings.append(f"{path}.api_key: the venue does not say whether the key may {word}")
    if rights.can_trade is False:
        warnings.append(f"{path}.api_key: the key may not trade: riskbot can watch, not act")
    if rights.can_trade is None:
        warnings.append(f"{path}.api_key: the venue does not say whether the key may trade")
    if rights.has_ip_list is False:
        warnings.append(f"{path}.api_key: the key has no IP list: bind it to this machine's IP")
    if rights.expires_ms is not None:
        days = (rights.expires_ms - now_ms) // _DAY_MS
        if days < _EXPIRY_WARNED_DAYS:
            warnings.append(f"{path}.api_key: the key expires in {max(days, 0)} days")
    return faults, warnings


def judge_listing(
    account: str, named: Iterable[tuple[str, str]], listed: Collection[str]
) -> list[str]:
    """Return a fault for every instrument that the venue does not list.

    Args:
        account: by name.
        named: (key, instrument) of the configuration.
        listed: those of them that exist.
    """
    missing = [(key, symbol) for key, symbol in named if symbol not in listed]
    return [f"{key}: {symbol} is not listed at {account}" for key, symbol in missing]


class _Account(Protocol):
    @property
    def allow_withdraw_keys(self) -> bool: ...


class RightsGate:
    """Passes events on; a first word that contradicts the configuration stops the start.

    A key that may do too much, or an instrument that does not exist. Later words do not: a guard
    at work is not taken away, its alert tells of the key.

    Args:
        accounts: by name.
        named: (key, instrument) of the configuration, by account.
        submit: takes every event.
        stop: stops the daemon.
        clock: for the key's expiry.

    Attributes:
        faults: why it was stopped, empty = it was not.
    """

    def __init__(
        self,
        accounts: Mapping[str, _Account],
        named: Callable[[str], list[tuple[str, str]]],
        submit: Callable[[events.Event], None],
        stop: Callable[[], None],
        clock: Clock,
    ) -> None:
        self.faults: list[str] = []
        self._accounts, self._named, self._clock = accounts, named, clock
        self._submit, self._stop = submit, stop
        self._known: set[str] = set()

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        self._submit(event)
        if isinstance(event, KeyRightsChecked) and event.account not in self._known:
            self._known.add(event.account)
            allows = self._accounts[event.account].allow_withdraw_keys
            faults, _ = judge_rights(event, allow_withdraw_keys=allows, now_ms=self._clock.now_ms())
            self._refuse(faults)

    def opened(self, loaded: InstrumentsLoaded) -> None:
        """Take what an account was opened with: what is held there, and what of `named` exists."""
        listed = {instrument.symbol for instrument in loaded.instruments}
        self._refuse(judge_listing(loaded.account, self._named(loaded.account), listed))

    def _refuse(self, faults: list[str]) -> None:
        self.faults += faults
        if faults:
            self._stop()
