"""What an account's venue lists: markets loaded once, instruments described, names translated."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import OPTION_ENDS, Instrument, InstrumentKind, RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges import _errors
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._base import Credentials, Load
from riskbot.exchanges._client import VenueClient, is_absent
from riskbot.exchanges._endpoints import Limits

_CASH_QUOTES = ("USDT", "USDC", "USD", "EUR")

_PASSING = frozenset(
    {
        RejectReason.UNREACHABLE,
        RejectReason.RATE_LIMITED,
        RejectReason.MAINTENANCE,
        RejectReason.CLOCK,
    }
)
"""Reasons that say nothing of whether a venue has what was asked for."""


class Listing:
    """One account's client and what its venue lists."""

    rules: ClassVar[_errors.ErrorRules] = _errors.ErrorRules()
    capacity: ClassVar[tuple[float, int]] = (600.0, 60_000)
    limits: ClassVar[Limits] = {}
    ccxt_defaults: ClassVar[Mapping[str, Any]] = {}
    default_markets: ClassVar[tuple[str, ...]] = ("spot", "linear", "inverse")

    def __init__(
        self,
        account: str,
        venue_id: str,
        credentials: Credentials,
        ccxt_config: Mapping[str, Any],
        markets: tuple[str, ...],
        clock: Clock,
        rng: random.Random,
        halt_check: Callable[[], bool],
    ) -> None:
        self.account = account
        self.venue_id = venue_id
        self.markets = markets or self.default_markets
        self._is_default = not markets
        options = ccxt_config.get("options")
        is_typed = isinstance(options, Mapping) and "defaultType" in options
        self._is_wallet_named = bool(markets) or is_typed
        self._has_conditional_list = False
        self._time = clock
        self._rng = rng
        self._halt_check = halt_check
        self._instruments: dict[str, Instrument] = {}
        self._symbols: dict[tuple[str, tuple[InstrumentKind, ...]], str] = {}
        self._reloaded_ms = 0
        self._is_list_proven = False
        self._notes: list[str] = []
        self.is_hedge_mode: bool | None = None
        self.client = VenueClient(
            account,
            venue_id,
            credentials,
            self._completed(ccxt_config),
            self._defaults(),
            self.rules,
            clock,
            self.capacity,
            self.limits,
        )

    def _defaults(self) -> Mapping[str, Any]:
        return self.ccxt_defaults

    def _completed(self, ccxt_config: Mapping[str, Any]) -> Mapping[str, Any]:
        # What was configured stays; a venue file may add what follows from it.
        return ccxt_config

    def load(self) -> Load | None:
        """Return how far the address's request limit is used up."""
        return self.client.load()

    def rebuild(self, reason: str) -> bool:
        """Ask from now on with a new ccxt object; the old one is closed behind its requests."""
        return self.client.rebuild(reason)

    # ------------------------------------------------------------ markets

    async def _load_markets(self, *, reload: bool) -> None:
        if self.client.api.markets and not reload:
            return
        try:
            await self.client.call("load_markets", reload, cost=5, is_urgent=True)
        except VenueError as error:
            if reload or not await self._load_some_markets():
                raise error from None
        self._reloaded_ms = self._time.now_ms()
        if not self.client.api.markets:
            raise normal.unusable(self.account, "the venue lists no instruments")
        self._instruments.clear()
        self._symbols.clear()

    async def _missing_list(self) -> str:
        """Load the list where it is not known yet; say why it cannot be, empty when it is known.

        After a restart orders are looked up before the account is opened.
        """
        try:
            if not self.client.api.markets:
                await self._load_markets(reload=False)
        except VenueError as error:
            return str(error)
        return ""

    async def _load_some_markets(self) -> bool:
        # Kinds nobody asked for by name may be missing; those that answer are enough.
        options = self.client.api.options.get("fetchMarkets")
        kinds = options.get("types") if isinstance(options, dict) else None
        if not self._is_default or not isinstance(kinds, list) or len(kinds) < 2:
            return False
        answering = []
        for kind in kinds:
            options["types"] = [kind]
            try:
                await self.client.call("load_markets", True, cost=5, is_urgent=True)  # noqa: FBT003
            except VenueError as error:
                if not _is_refusal(error):
                    # What fails today may hold positions: without it nothing is seen whole.
                    options["types"] = kinds
                    raise
                continue
            answering.append(kind)
        options["types"] = answering or kinds
        if not answering:
            return False
        self._notes.append(f"the venue lists only {', '.join(answering)}")
        await self.client.call("load_markets", True, cost=5, is_urgent=True)  # noqa: FBT003
        return True

    def symbols_of(self, snapshot: events.AccountSnapshotReceived) -> tuple[str, ...]:
        """Return the instruments a snapshot names, and those that price its coins."""
        named = {position.symbol for position in snapshot.positions}
        named.update(order.symbol for order in snapshot.orders or ())
        for balance in snapshot.balances:
            named.update(self._symbols_of_asset(balance.asset))
        for symbol in [name for name in named if name.endswith(OPTION_ENDS)]:
            # An option counts by what its underlying costs.
            named.update(self._symbols_of_asset(symbol.partition("/")[0]))
        return tuple(sorted(named))

    def _symbols_of_asset(self, asset: str) -> tuple[str, ...]:
        markets = self.client.api.markets or {}
        for quote in _CASH_QUOTES:
            for symbol in (
                f"{asset}/{quote}",
                f"{asset}/{quote}:{quote}",
                f"{asset}/{quote}:{asset}",
            ):
                if symbol in markets:
                    return (symbol,)
        return ()

    def instruments(self, symbols: Iterable[str]) -> events.InstrumentsLoaded:
        """Describe those of these symbols that the venue lists; markets must be loaded."""
        found = []
        for symbol in dict.fromkeys(symbols):
            try:
                found.append(self.instrument(symbol))
            except VenueError:
                continue
        return events.InstrumentsLoaded(account=self.account, instruments=tuple(found))

    def instrument(self, symbol: str) -> Instrument:
        """Return one instrument.

        Raises:
            VenueError: the venue does not list it, or says nothing usable of it.
        """
        known = self._instruments.get(symbol)
        if known is None:
            api = self.client.api
            market = (api.markets or {}).get(symbol)
            if market is None:
                raise VenueError(
                    RejectReason.UNKNOWN_INSTRUMENT,
                    f"{self.account}: the venue lists no instrument {symbol}",
                )
            known = normal.instrument_of(self.account, market, api.precisionMode)
            self._instruments[symbol] = known
        return known

    def symbol_of(self, market_id: Any, *kinds: InstrumentKind) -> str:
        """Return the symbol of a venue's own name, among instruments of these kinds.

        Raises:
            VenueError: the venue's list has no such name.
        """
        key = (str(market_id), kinds)
        if (known := self._symbols.get(key)) is not None:
            return known
        for market in (self.client.api.markets_by_id or {}).get(str(market_id), ()):
            if not kinds or normal.kind_of(market) in kinds:
                found = self._symbols[key] = str(market["symbol"])
                return found
        raise VenueError(
            RejectReason.UNKNOWN_INSTRUMENT, f"{self.account}: unknown instrument {market_id}"
        )

    def named(self, market_id: Any, *kinds: InstrumentKind) -> str | None:
        """Return the symbol of a venue's own name, None for none and for one it does not list."""
        if not market_id:
            return None
        try:
            return self.symbol_of(market_id, *kinds)
        except VenueError:
            return None

    def market_id(self, symbol: str) -> str:
        """Return the venue's own name of a symbol.

        Raises:
            VenueError: the venue does not list it.
        """
        self.instrument(symbol)
        return str(self.client.api.markets[symbol]["id"])


def _is_refusal(error: VenueError) -> bool:
    """Whether the venue says that it does not offer this, and not merely not now."""
    return is_absent(error) or not (error.is_ambiguous or error.reason in _PASSING)
