"""The contract of the exchanges room: what an account's venue must be able to do.

`unified` fulfils it for any ccxt.pro venue, `paper` for the simulated one. Quantities cross this
line in the units of `Position.quantity`; contracts exist only behind it. How failures are read is
in `_errors.classify`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from riskbot.core import actions, events
from riskbot.core.model import Instrument

Emit = Callable[[events.Event], None]
"""Hands an event to the runner; synchronous, never blocks, never raises."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a venue can do for riskbot, shown by `check`."""

    streams: tuple[str, ...]
    dead_man: str
    client_id_charset: str
    has_conditional_pass: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """How far a budget is used up.

    Attributes:
        used_ratio: share of the venue's limit used in the window, by all behind this address.
        until_ms: end of a wait the venue stated, None = none.
        detail: what the venue said, or what waits.
    """

    used_ratio: float
    until_ms: int | None = None
    detail: str = ""


DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class DailyBar:
    """One instrument's UTC day that has ended.

    Attributes:
        day: in days since 1970-01-01.
        close: last price of it, quote units per base unit, > 0.
        turnover: quote units traded, >= 0; None = not known in which unit the venue counts.
    """

    day: int
    close: float
    turnover: float | None = None


@dataclass(frozen=True, slots=True)
class DailyBars:
    """Daily bars of one instrument, oldest first; a day without a trade has none.

    Attributes:
        is_bundled: they are of the data that ships with riskbot, whatever `note` says of it.
    """

    bars: tuple[DailyBar, ...]
    is_bundled: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """Keys of one account. Shown nowhere: neither text nor representation holds them.

    Attributes:
        api_key, api_secret: as the venue gave them; the secret may be a PEM key.
        password: passphrase where the venue has one.
        wallet_address, private_key: of venues without accounts.

    A field may also be an object that hides its text behind `get_secret_value()`.
    """

    api_key: Any = ""
    api_secret: Any = ""
    password: Any = None
    wallet_address: Any = None
    private_key: Any = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    def ccxt_config(self) -> dict[str, str]:
        """Return what ccxt's constructor wants; fields that are not set are left out."""
        names = {
            "apiKey": self.api_key,
            "secret": self.api_secret,
            "password": self.password,
            "walletAddress": self.wallet_address,
            "privateKey": self.private_key,
        }
        shown = {name: _reveal(value) for name, value in names.items()}
        return {name: value for name, value in shown.items() if value}


def _reveal(value: Any) -> str:
    if value is None:
        return ""
    reveal = getattr(value, "get_secret_value", None)
    return str(reveal()) if reveal is not None else str(value)


class Exchange(Protocol):
    """One account at one venue.

    No method raises what the world does, except where said: a refusal or a silence becomes the
    event it returns.
    """

    account: str

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do, shown by `check`."""
        ...

    async def open(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        """Load markets (and the clock offset); name what exists for held and configured symbols.

        Raises:
            VenueError: the venue cannot be reached or the key is refused.
        """
        ...

    async def snapshot(
        self, request_id: int | None = None, *, is_urgent: bool = False
    ) -> events.AccountSnapshotReceived:
        """Read everything, paged to the end, plain and conditional orders.

        Raises:
            VenueError: any part that must be whole failed; nothing partial is returned.
        """
        ...

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        """Read prices of these symbols over REST (`is_rest=True`).

        Raises:
            VenueError: the read failed.
        """
        ...

    async def depth(self, symbols: tuple[str, ...]) -> list[events.DepthRead]:
        """Read the order books of these symbols, as far as the venue gives them; never raises.

        It is asked from what is left of the rate budget: closes do not wait for it.
        """
        ...

    def instruments_of(self, underlying: str) -> tuple[Instrument, ...]:
        """Return all instruments of an underlying, delisted ones too.

        Raises:
            VenueError: what the venue lists is not known yet.
        """
        ...

    async def daily_bars(self, symbol: str, since_ms: int, until_ms: int) -> DailyBars:
        """Read the bars of all UTC days that begin and end between two moments.

        It is asked from what is left of the rate budget: everything else goes first.

        Raises:
            VenueError: the read failed, or (not ambiguous, OTHER) the venue has no such bars.
        """
        ...

    async def ledger(
        self, since_ms: int, *, is_urgent: bool = False
    ) -> list[events.LedgerEntryBooked]:
        """Read the venue's ledger since then; empty where the venue has none.

        Of more rows than can be read, the newest; `is_urgent` when something waits for them.

        Raises:
            VenueError: the read failed.
        """
        ...

    async def clock(self) -> events.ClockMeasured:
        """Measure the clock offset.

        Raises:
            VenueError: the read failed.
        """
        ...

    async def stream(self, emit: Emit) -> None:
        """Run the account's and the prices' websockets until cancelled; never returns by itself.

        Emits FeedLost on a break and reconnects by itself; emits FeedAlive on signs of life.
        """
        ...

    def watch(self, symbols: frozenset[str]) -> None:
        """Set which instruments' prices are streamed from now on."""
        ...

    async def restart_stream(self, reason: str) -> None:
        """Drop the sockets and build them anew (staleness found from outside)."""
        ...

    def load(self) -> Load | None:
        """Return how far the venue's request limit is used up, None where there is none."""
        ...

    def rebuild(self, reason: str) -> bool:
        """Ask from now on with a new client in place of one that may be wedged.

        What is under way keeps the old one until it is settled. False where nothing is replaced,
        or not so soon again.
        """
        ...

    async def place(
        self, order: actions.PlaceOrder
    ) -> events.OrderAccepted | events.OrderRejected | events.OrderOutcomeUnknown:
        """Send one order once. A timeout is OrderOutcomeUnknown, never a second send."""
        ...

    async def cancel(self, order: actions.CancelOrder) -> events.CancelFinished:
        """Cancel one order, plain or conditional. An order that is already gone counts as done."""
        ...

    async def find(self, query: actions.QueryOrder) -> events.OrderQueried:
        """Look an order up by client id: open, closed, then own trades."""
        ...

    async def key_rights(self) -> events.KeyRightsChecked:
        """Ask what the key may do; None for what the venue does not say."""
        ...

    async def add_margin(self, move: actions.AddMargin) -> events.MarginMoved:
        """Move margin to an isolated position, once; a lost answer is unknown."""
        ...

    async def set_dead_man(self, action: actions.SetDeadMan) -> events.DeadManChanged:
        """Arm, refresh or disarm; armed only when the venue's own answer says so."""
        ...

    async def close(self) -> None:
        """Close sockets and sessions."""
        ...
