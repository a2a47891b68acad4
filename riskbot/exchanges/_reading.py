"""What an account's venue says over REST: markets, snapshots, prices, ledger, clock.

The generic way through ccxt's unified methods; venue files replace the underscored reads by the
venue's own endpoints. Orders are sent in `unified`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from riskbot.core import events
from riskbot.core.model import (
    InstrumentKind,
    LedgerKind,
    Position,
    RejectReason,
    WorkingOrder,
)
from riskbot.errors import VenueError
from riskbot.exchanges import _generic
from riskbot.exchanges import _normalize as normal
from riskbot.exchanges._base import Capabilities
from riskbot.exchanges._client import is_absent, together
from riskbot.exchanges._listing import Listing
from riskbot.exchanges._wallet import PositionsMissingError, Wallet

RELOAD_MARKETS_MS = 60_000
DOUBTED_LIST_MS = 5_000
FRESH_LIST_MS = 3_600_000


class Reading(Listing):
    """REST reads of one account through ccxt.

    Attributes:
        book_levels: asked for per side of an order book; None = what the venue gives by itself.
        book_cost: weight of that question.
    """

    book_levels: ClassVar[int | None] = None
    book_cost: ClassVar[float] = 5

    @property
    def capabilities(self) -> Capabilities:
        """What the venue can do, shown by `check`."""
        has = self.client.api.has
        watched = ("watchOrders", "watchMyTrades", "watchPositions", "watchBalance",
                   "watchMarkPrices", "watchBidsAsks", "watchTickers")  # fmt: skip
        return Capabilities(
            streams=tuple(name for name in watched if has.get(name)),
            dead_man="none",
            client_id_charset="[a-z0-9]{1,32}",
            has_conditional_pass=False,
            notes=("unverified venue: generic ccxt.pro adapter", *self._notes),
        )

    async def open(self, symbols: tuple[str, ...]) -> events.InstrumentsLoaded:
        """Load markets and clock offset, and name what is held, ordered or asked for."""
        age_ms = self._time.now_ms() - self._reloaded_ms
        await self._load_markets(reload=bool(self.client.api.markets) and age_ms > FRESH_LIST_MS)
        try:
            await self.clock()
        except VenueError as error:
            # Without a clock to ask, requests are signed with our own time.
            if not is_absent(error):
                raise
        snapshot = await self.snapshot(is_urgent=True)
        return self.instruments((*symbols, *self.symbols_of(snapshot)))

    def _defaults(self) -> Mapping[str, Any]:
        # ccxt reads one wallet and its orders: the configured kinds say which, unless the options
        # under `ccxt` do.
        if self._is_default:
            return self.ccxt_defaults
        if set(self.markets) == {"spot"}:
            return {"options": {"defaultType": "spot"}}
        if "spot" in self.markets:
            self._notes.append("markets: the wallet of contracts is read, that of spot is not")
        if set(self.markets) == {"option"}:
            return {"options": {"defaultType": "option"}}
        kind = "linear" if "linear" in self.markets else "inverse"
        return {"options": {"defaultType": "swap", "defaultSubType": kind}}

    # ------------------------------------------------------------ snapshot

    async def snapshot(
        self, request_id: int | None = None, *, is_urgent: bool = False
    ) -> events.AccountSnapshotReceived:
        """Read everything; nothing partial is returned."""
        began_ms = self._time.now_ms()
        try:
            parts = await self._read_parts(is_urgent=is_urgent)
        except VenueError as error:
            if not self._may_be_our_list(error, began_ms):
                raise
            await self._load_markets(reload=True)
            parts = await self._read_parts(is_urgent=is_urgent)
        wallet, positions, orders, is_hedge_mode = parts
        self.is_hedge_mode, self._is_list_proven = is_hedge_mode, True
        return events.AccountSnapshotReceived(
            account=self.account,
            as_of_ms=began_ms,
            balances=wallet.balances,
            positions=positions,
            orders=orders,
            margin=wallet.margin,
            is_hedge_mode=is_hedge_mode,
            request_id=request_id,
            venue_ms=wallet.venue_ms,
            duration_ms=self._time.now_ms() - began_ms,
        )

    def _may_be_our_list(self, error: VenueError, now_ms: int) -> bool:
        """Whether to look if the venue lists more than when markets were loaded.

        Loaded in the midst of trouble, our list may lack what the positions are in.
        """
        is_missing = isinstance(error, PositionsMissingError)
        is_doubted = is_missing or not self._is_list_proven
        after_ms = DOUBTED_LIST_MS if is_doubted else RELOAD_MARKETS_MS
        is_unknown = error.reason is RejectReason.UNKNOWN_INSTRUMENT
        return (is_missing or is_unknown) and now_ms - self._reloaded_ms >= after_ms

    async def _read_parts(
        self, *, is_urgent: bool
    ) -> tuple[Wallet, tuple[Position, ...], tuple[WorkingOrder, ...] | None, bool | None]:
        wallet, positions, orders, is_hedge_mode = await together(
            self._read_wallet(is_urgent=is_urgent),
            self._read_positions(is_urgent=is_urgent),
            self._known_orders(is_urgent=is_urgent),
            self._read_hedge_mode(is_urgent=is_urgent),
        )
        if wallet.misses(positions, self._settle_of):
            # The reads ran side by side: a position opened in between looks like a cut-off list.
            wallet, positions = await together(
                self._read_wallet(is_urgent=is_urgent), self._read_positions(is_urgent=is_urgent)
            )
            if wallet.misses(positions, self._settle_of):
                raise PositionsMissingError(self.account)
        return wallet, tuple(positions), orders, is_hedge_mode

    def _settle_of(self, symbol: str) -> str:
        return self.instrument(symbol).settle

    async def _known_orders(self, *, is_urgent: bool) -> tuple[WorkingOrder, ...] | None:
        # Orders that could not be read keep what was known of them; positions still count.
        try:
            plain, conditional = await together(
                self._read_orders(is_urgent=is_urgent), self._conditional(is_urgent=is_urgent)
            )
        except VenueError as error:
            if error.reason in {RejectReason.AUTHENTICATION, RejectReason.UNKNOWN_INSTRUMENT}:
                raise
            return None
        joined = {(o.is_conditional, o.order_id): o for o in (*plain, *conditional)}
        return tuple(joined.values())

    async def _conditional(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        try:
            return await self._read_conditional(is_urgent=is_urgent)
        except VenueError as error:
            if not is_absent(error):
                raise
            return ()

    async def _read_wallet(self, *, is_urgent: bool) -> Wallet:
        reply = await self.client.call("fetch_balance", cost=5, is_urgent=is_urgent)
        found = normal.generic_balances(normal.table(reply, f"{self.account}: balance"))
        return Wallet(found, venue_ms=normal.stamp(reply.get("timestamp")))

    async def _read_positions(self, *, is_urgent: bool) -> Sequence[Position]:
        if not self.client.api.has.get("fetchPositions"):
            return ()
        reply = await self.client.call("fetch_positions", cost=5, is_urgent=is_urgent)
        found = [
            _generic.position(self.account, row, self.instrument)
            for row in normal.rows(reply, f"{self.account}: positions")
        ]
        held = [position for position in found if position is not None]
        self._doubt_wallet(held)
        return held

    def _doubt_wallet(self, held: Sequence[Position]) -> None:
        # Money of another wallet than the one behind the positions would be no equity at all.
        api = self.client.api
        kind = api.options.get("defaultType") or "spot"
        if self._is_wallet_named or kind != "spot" or not api.has.get("spot"):
            return
        if any(self.instrument(p.symbol).kind is not InstrumentKind.SPOT for p in held):
            raise normal.unusable(
                self.account,
                "there are positions in contracts, but ccxt reads the spot wallet here: say in "
                "`markets` what this account holds, as in [linear]",
            )

    async def _read_orders(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        reply = await self.client.call("fetch_open_orders", cost=5, is_urgent=is_urgent)
        return [
            _generic.order(self.account, row, self.instrument)
            for row in normal.rows(reply, f"{self.account}: orders")
        ]

    async def _read_conditional(self, *, is_urgent: bool) -> Sequence[WorkingOrder]:
        # Where ccxt lists them apart; where it does not, plain orders come again: without trigger.
        method, params = "fetch_open_orders", {"trigger": True}
        try:
            reply = await self.client.call(method, params=params, cost=5, is_urgent=is_urgent)
        except VenueError:
            if self._has_conditional_list:
                raise
            return ()
        self._has_conditional_list = True
        read = [
            _generic.order(self.account, row, self.instrument, is_conditional=True)
            for row in normal.rows(reply, f"{self.account}: conditional orders")
        ]
        return [found for found in read if found.stop_price is not None]

    async def _read_hedge_mode(self, *, is_urgent: bool) -> bool | None:
        if not self.client.api.has.get("fetchPositionMode"):
            return None
        reply = await self.client.optional("fetch_position_mode", is_urgent=is_urgent)
        hedged = reply.get("hedged") if isinstance(reply, dict) else None
        return hedged if isinstance(hedged, bool) else None

    # ------------------------------------------------------------ prices, ledger, clock

    async def prices(self, symbols: tuple[str, ...]) -> list[events.PricesUpdated]:
        """Read prices of these symbols; each source that answers gives its own event."""
        has = self.client.api.has
        methods = [
            method
            for name, method in (("fetchMarkPrices", "fetch_mark_prices"),
                                 ("fetchTickers", "fetch_tickers"))
            if has.get(name)
        ]  # fmt: skip
        found: list[events.PricesUpdated] = []
        failure: VenueError | None = None
        for method in methods:
            try:
                reply = await self.client.call(method, list(symbols), cost=2, is_urgent=True)
            except VenueError as error:
                failure = error
                continue
            rows = reply.values() if isinstance(reply, dict) else ()
            read = (_generic.prices(self.account, row, is_rest=True) for row in rows)
            found.extend(price for price in read if price is not None)
        if not found and failure is not None:
            raise failure
        return found

    async def depth(self, symbols: tuple[str, ...]) -> list[events.DepthRead]:
        """Read order books one after the other; one that does not come is left out."""
        found = []
        for symbol in symbols:
            reply = await self.client.optional(
                "fetch_order_book", symbol, self.book_levels, cost=self.book_cost
            )
            read = _generic.depth(self.account, symbol, reply, self.instrument)
            if read is not None:
                found.append(read)
        return found

    async def ledger(
        self, since_ms: int, *, is_urgent: bool = False
    ) -> list[events.LedgerEntryBooked]:
        """Read deposits and withdrawals; generic venues state no more."""
        booked = []
        for method, kind, sign in (
            ("fetch_deposits", LedgerKind.DEPOSIT, 1),
            ("fetch_withdrawals", LedgerKind.WITHDRAWAL, -1),
        ):
            reply = await self.client.optional(method, None, since_ms, cost=5, is_urgent=is_urgent)
            for row in reply if isinstance(reply, list) else ():
                amount = normal.number(row.get("amount"))
                if amount is None or row.get("status") != "ok":
                    continue
                booked.append(
                    events.LedgerEntryBooked(
                        account=self.account,
                        entry_id=f"{kind.value}:{row.get('id')}",
                        entry_kind=kind,
                        asset=str(row.get("currency")),
                        amount=amount * sign,
                        venue_ms=normal.stamp(row.get("timestamp")) or since_ms,
                    )
                )
        return booked

    async def clock(self) -> events.ClockMeasured:
        """Measure the offset at half the round trip, and sign requests with it from now on."""
        offset_ms = round_trip_ms = 0
        if self.client.api.has.get("fetchTime"):
            began_ms = self._time.now_ms()
            venue_ms = normal.stamp(await self.client.call("fetch_time", is_urgent=True))
            ended_ms = self._time.now_ms()
            if venue_ms is None:
                raise normal.unusable(self.account, "the venue states no time")
            round_trip_ms = ended_ms - began_ms
            offset_ms = began_ms + round_trip_ms // 2 - venue_ms
            self._apply_offset(offset_ms)
        return events.ClockMeasured(
            account=self.account, offset_ms=offset_ms, round_trip_ms=round_trip_ms
        )

    def _apply_offset(self, offset_ms: int) -> None:
        self.client.api.options["timeDifference"] = offset_ms

    async def key_rights(self) -> events.KeyRightsChecked:
        """Say that the venue's answer is not known; venue files know better."""
        return events.KeyRightsChecked(
            account=self.account,
            can_trade=None,
            can_withdraw=None,
            can_transfer=None,
            has_ip_list=None,
        )
