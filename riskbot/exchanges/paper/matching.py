"""How orders of the paper venue fill: against the book, when touched, when triggered; and fees.

What happened is put on `outbox` as the events a venue's streams would tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from riskbot.core import events
from riskbot.core.model import OrderStatus, OrderType, Position, PositionSide, Side, TimeInForce
from riskbot.exchanges.paper.book import Match, SyntheticBook
from riskbot.exchanges.paper.holding import Holding
from riskbot.exchanges.paper.order import Order
from riskbot.exchanges.paper.pool import Pool
from riskbot.exchanges.paper.rules import VenueRules
from riskbot.exchanges.paper.terms import Listing, on_step

HISTORY_MAX = 10_000
_ZERO = Decimal(0)


class Matching:
    """State of the venue for one account, and the execution of its orders.

    Attributes:
        outbox: events not yet taken, oldest first.
        orders: working orders by id; `history`: all orders by id, the oldest forgotten.
        trades: fills, oldest first; `ledger`: (visible from, row).
    """

    def __init__(
        self,
        account: str,
        listings: Iterable[Listing],
        *,
        rules: VenueRules | None = None,
        is_hedge_mode: bool = False,
        balances: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.account = account
        self.rules = rules or VenueRules()
        self.is_hedge_mode = is_hedge_mode
        self.listings = {listing.symbol: listing for listing in listings}
        self.books = {symbol: SyntheticBook(row) for symbol, row in self.listings.items()}
        self.pool = Pool(self.listings, self.mark, dict(balances or {}))
        self.outbox: list[events.Event] = []
        self.orders: dict[str, Order] = {}
        self.history: dict[str, Order] = {}
        self.client_ids: set[str] = set()
        self.trades: list[events.OrderFilled] = []
        self.ledger: list[tuple[int, events.LedgerEntryBooked]] = []
        self.last: dict[str, Decimal] = {}
        self._counter = 0

    def mark(self, symbol: str) -> Decimal | None:
        """Return an instrument's mark, None = never priced."""
        book = self.books.get(symbol)
        return book.mark if book is not None else None

    def working(self) -> list[Order]:
        """Return the working orders, oldest first."""
        return list(self.orders.values())

    def _next_id(self, prefix: str) -> str:
        self._counter += 1
        return f"{prefix}{self._counter}"

    # ------------------------------------------------------------ execution

    def _start(self, order: Order, now_ms: int) -> None:
        """Let an order meet the book: market and IOC end at once, the rest of a limit rests."""
        request = order.request
        limit = request.price if request.type is OrderType.LIMIT else None
        quantity = self._closable_part(order)
        matches = self.books[request.symbol].sweep(request.side, quantity, limit, now_ms)
        fee = self.listings[request.symbol].taker_fee
        for match in matches:
            self._fill(order, match, fee, now_ms)
        ends = request.type is OrderType.MARKET or request.time_in_force is TimeInForce.IOC
        if order.status is OrderStatus.OPEN and ends:
            self._end(order, OrderStatus.EXPIRED, now_ms)
        elif order.status is OrderStatus.OPEN:
            self._tell_order(order, now_ms)
        if matches:
            self._tell_account((request.symbol,), now_ms)

    def _closable_part(self, order: Order) -> Decimal:
        """Return what may be filled of an order: of an exit never more than is held."""
        request = order.request
        if not order.is_exit:
            return order.remaining
        holding = self.pool.holdings.get((request.symbol, request.position_side))
        if holding is None or holding.quantity * request.side.sign >= 0:
            return _ZERO
        return min(order.remaining, abs(holding.quantity))

    def _touch(self, order: Order, now_ms: int) -> bool:
        """Fill a resting limit the market has come to, at its own price."""
        request = order.request
        book = self.books[request.symbol]
        best = book.touch(request.side.opposite)
        if best is None or request.price is None or (best - request.price) * request.side.sign > 0:
            return False
        quantity = self._closable_part(order)
        share = self.rules.fill_share
        if share < 1:
            step = self.listings[request.symbol].step
            quantity = min(quantity, max(on_step(order.quantity * share, step), step))
        if quantity <= 0:
            return False
        fee = self.listings[request.symbol].maker_fee
        self._fill(order, Match(request.price, quantity), fee, now_ms)
        if order.status is OrderStatus.OPEN:
            self._tell_order(order, now_ms)
        return True

    def _fill(self, order: Order, match: Match, fee_rate: Decimal, now_ms: int) -> None:
        request = order.request
        listing = self.listings[request.symbol]
        order.filled += match.quantity
        order.value += match.quantity * match.price
        self.last[request.symbol] = match.price
        fee = self.trade(listing, request.side, request.position_side, match, fee_rate)
        self._tell_fill(order, match, fee, now_ms)
        if order.remaining <= 0:
            self._end(order, OrderStatus.FILLED, now_ms)

    def trade(
        self,
        listing: Listing,
        side: Side,
        position_side: PositionSide,
        match: Match,
        fee_rate: Decimal,
    ) -> Decimal:
        """Move position and wallets by one trade and return the fee paid, settle units."""
        wallets = self.pool.wallets
        value = listing.notional(match.quantity, match.price)
        fee = listing.settled(value, match.price) * fee_rate
        if not listing.is_derivative:
            change = match.quantity * side.sign
            wallets[listing.base] = wallets.get(listing.base, _ZERO) + change
            wallets[listing.quote] = wallets.get(listing.quote, _ZERO) - value * side.sign - fee
            return fee
        holding = self.pool.holding(listing, position_side)
        before = holding.quantity
        realized = holding.fill(match.quantity * side.sign, match.price)
        self._move_isolated(holding, before, match.price)
        wallets[listing.settle] = wallets.get(listing.settle, _ZERO) + realized - fee
        return fee

    def _move_isolated(self, holding: Holding, before: Decimal, price: Decimal) -> None:
        """Give an isolated position margin as it grows, and release it as it shrinks."""
        if not holding.is_isolated:
            return
        after = holding.quantity
        grown = abs(after) - abs(before) if after * before >= 0 else abs(after)
        if grown > 0:
            value = holding.listing.notional(grown, price)
            kept = holding.isolated_margin if after * before > 0 else _ZERO
            holding.isolated_margin = kept + (
                holding.listing.settled(value, price) / holding.leverage
            )
        elif before:
            holding.isolated_margin *= abs(after) / abs(before)

    def _end(self, order: Order, status: OrderStatus, now_ms: int) -> None:
        order.status = status
        self.orders.pop(order.order_id, None)
        self._tell_order(order, now_ms)

    def _drop_idle_exits(self, symbol: str, now_ms: int) -> None:
        """Expire exits whose position is gone, as venues do."""
        for order in self.working():
            request = order.request
            if request.symbol != symbol or not (request.reduce_only or request.close_position):
                continue
            holding = self.pool.holdings.get((symbol, request.position_side))
            if holding is None or not holding.quantity:
                self._end(order, OrderStatus.EXPIRED, now_ms)

    def _trigger(self, symbol: str, mark: Decimal, now_ms: int) -> None:
        """Start conditional orders the mark has reached."""
        for order in self.working():
            request = order.request
            stop = request.stop_price
            if request.symbol != symbol or not order.is_waiting or stop is None:
                continue
            if (mark < stop) if order.triggers_up else (mark > stop):
                continue
            order.is_waiting = False
            if request.close_position:
                holding = self.pool.holdings.get((symbol, request.position_side))
                order.quantity = abs(holding.quantity) if holding is not None else _ZERO
            if order.quantity <= 0 or (order.is_exit and self._closable_part(order) <= 0):
                self._end(order, OrderStatus.EXPIRED, now_ms)
            else:
                self._start(order, now_ms)

    # ------------------------------------------------------------ telling

    def _tell_order(self, order: Order, now_ms: int) -> None:
        self.outbox.append(
            events.OrderUpdated(
                account=self.account, order=order.report(self.account), venue_ms=now_ms
            )
        )

    def _tell_fill(self, order: Order, match: Match, fee: Decimal, now_ms: int) -> None:
        listing = self.listings[order.request.symbol]
        fill = events.OrderFilled(
            account=self.account,
            symbol=listing.symbol,
            trade_id=self._next_id("t"),
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            side=order.request.side,
            quantity=match.quantity,
            price=match.price,
            position_side=order.request.position_side,
            fee=fee,
            fee_asset=listing.settle,
            venue_ms=now_ms,
        )
        self.trades.append(fill)
        self.outbox.append(fill)

    def _tell_account(self, symbols: Iterable[str], now_ms: int) -> None:
        """Tell balances and positions that trading in these instruments has moved."""
        listings = [self.listings[symbol] for symbol in symbols]
        assets: dict[str, None] = {}
        for listing in listings:
            assets[listing.settle] = None
            if not listing.is_derivative:
                assets[listing.base] = None
        self.tell_balances(assets, now_ms)
        rows = [
            self._position_row(holding)
            for (symbol, _), holding in self.pool.holdings.items()
            if any(listing.symbol == symbol for listing in listings)
        ]
        if rows:
            self.outbox.append(
                events.PositionsUpdated(
                    account=self.account, positions=tuple(rows), venue_ms=now_ms
                )
            )
        for listing in listings:
            if listing.is_derivative:
                self._drop_idle_exits(listing.symbol, now_ms)

    def _position_row(self, holding: Holding) -> Position:
        """Return a position as streams tell it: without what only a REST read states."""
        mark = self.mark(holding.listing.symbol)
        is_open = bool(holding.quantity)
        return Position(
            account=self.account,
            symbol=holding.listing.symbol,
            side=holding.side,
            quantity=holding.quantity,
            entry_price=holding.entry if is_open else None,
            unrealized_pnl=holding.unrealized(mark) if mark is not None and is_open else None,
            is_isolated=holding.is_isolated,
        )

    def tell_balances(self, assets: Iterable[str], now_ms: int) -> None:
        """Tell these balances over the stream."""
        working = self.working()
        rows = tuple(self.pool.balance(asset, working) for asset in assets)
        self.outbox.append(
            events.BalancesUpdated(account=self.account, balances=rows, venue_ms=now_ms)
        )
