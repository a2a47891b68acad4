"""The venue behind the OKX server: market, accounts by key, faults, documented rate limits.

No HTTP and no websocket here; `okx_public.py` and `okx_private.py` answer requests from it.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tests.servers.faults import Fault, Faults
from tests.servers.ledger_market import Market, wall_clock_ms
from tests.servers.ledger_types import Instrument
from tests.servers.okx_account import OkxAccount
from tests.servers.okx_algo import attach_protection
from tests.servers.okx_catalog import instrument_row, standard_listing
from tests.servers.okx_money import position_row
from tests.servers.okx_rows import Row


class OkxVenue:
    """Everything the requests of one server act on.

    Attributes:
        market: instruments and prices, shared by all accounts.
        accounts: API key -> account.
        faults: what a test has planted.
        enforce_rate_limits: whether the documented limits per endpoint answer 50011.
        skew_ms: how far the venue's clock is ahead of true time.
    """

    def __init__(self, *, enforce_rate_limits: bool = True) -> None:
        self.skew_ms = 0
        self.market = Market(self.now_ms, first_id=1_000_000)
        ids = itertools.count(680800019749904384, 4096)
        self.market.make_order_id = lambda: str(next(ids))
        self.accounts: dict[str, OkxAccount] = {}
        self.faults = _OkxFaults(self)
        self.enforce_rate_limits = enforce_rate_limits
        self._calls: dict[tuple[str, ...], deque[float]] = {}
        for instrument, mark in standard_listing(wall_clock_ms()):
            self.market.add(instrument, mark)

    def now_ms(self) -> int:
        """Return the venue's clock; `clock_skew` faults and skew_ms move it."""
        fault = self.faults.peek("clock_skew") if hasattr(self, "faults") else None
        planted = int(fault.params.get("ms", 0)) if fault is not None else 0
        return wall_clock_ms() + self.skew_ms + planted

    def add_account(
        self,
        *,
        key: str,
        secret: str,
        passphrase: str,
        balance: Mapping[str, Decimal],
        **settings: Any,
    ) -> OkxAccount:
        """Open an account behind a new key; settings as `OkxAccount` takes them."""
        account = OkxAccount(
            self.market,
            key=key,
            secret=secret,
            passphrase=passphrase,
            balance=balance,
            **settings,
        )
        account.subscribe(lambda event: attach_protection(account, event))
        self.accounts[key] = account
        return account

    def listing(self) -> list[tuple[Instrument, Row]]:
        """Return instruments with their documented rows, in the order of listing."""
        return [
            (instrument, instrument_row(instrument, 10000 + n))
            for n, instrument in enumerate(self.market.instruments.values())
        ]

    def exceeds_limit(self, who: tuple[str, ...], calls: int, seconds: float) -> bool:
        """Count a call and return whether it is one too many within the window."""
        if not self.enforce_rate_limits:
            return False
        now = time.monotonic()
        recent = self._calls.setdefault(who, deque())
        while recent and recent[0] <= now - seconds:
            recent.popleft()
        if len(recent) >= calls:
            return True
        recent.append(now)
        return False


class _OkxFaults(Faults):
    # Some faults freeze what is true when they are planted: it is kept in their params.

    def __init__(self, venue: OkxVenue) -> None:
        super().__init__()
        self._venue = venue

    def add(
        self,
        kind: str,
        times: int | None = 1,
        match: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Fault:
        """Plant a fault and return it."""
        if kind == "positions_stale":
            params["rows"] = {
                account.key: open_positions(account) for account in self._venue.accounts.values()
            }
        if kind == "timestamps_frozen":
            params["ms"] = self._venue.now_ms()
        return super().add(kind, times, match, **params)


def open_positions(account: OkxAccount) -> list[Row]:
    """Return the rows of all positions that are not flat, newest first."""
    rows = [position_row(account, position) for position in account.ledger.open_positions()]
    return sorted(rows, key=lambda row: int(row["cTime"]), reverse=True)
