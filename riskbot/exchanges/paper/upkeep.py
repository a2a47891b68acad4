"""What the paper venue does by itself: funding, liquidation, deleveraging, transfers, ledger."""

from __future__ import annotations

from decimal import Decimal

from riskbot.core import events
from riskbot.core.model import LedgerKind, OrderStatus, OrderType, PositionSide, Side
from riskbot.exchanges.paper.book import Match
from riskbot.exchanges.paper.holding import Holding
from riskbot.exchanges.paper.matching import Matching
from riskbot.exchanges.paper.order import Order, Request

_ZERO = Decimal(0)


class Upkeep(Matching):
    """The venue's own acts on the account."""

    funded_ms: int | None = None

    # ------------------------------------------------------------ ledger

    def book(
        self,
        kind: LedgerKind,
        asset: str,
        amount: Decimal,
        now_ms: int,
        visible_ms: int = 0,
        symbol: str | None = None,
    ) -> None:
        """Write a row of the ledger; it can be read from `visible_ms` on."""
        row = events.LedgerEntryBooked(
            account=self.account,
            entry_id=self._next_id("l"),
            entry_kind=kind,
            asset=asset,
            amount=amount,
            venue_ms=now_ms,
            symbol=symbol,
        )
        self.ledger.append((max(visible_ms, now_ms), row))

    def transfer(
        self,
        asset: str,
        amount: Decimal,
        now_ms: int,
        *,
        kind: LedgerKind = LedgerKind.DEPOSIT,
        ledger_after_ms: int = 0,
        is_told: bool = True,
    ) -> None:
        """Credit (> 0) or debit the account.

        Args:
            asset: what is moved.
            amount: asset units.
            now_ms: UTC ms.
            kind: deposit, withdrawal or transfer.
            ledger_after_ms: how long the ledger lags behind the balance.
            is_told: the stream tells the new balance; False = only a read shows it.
        """
        self.pool.wallets[asset] = self.pool.wallets.get(asset, _ZERO) + amount
        self.book(kind, asset, amount, now_ms, now_ms + ledger_after_ms)
        if is_told:
            self.tell_balances((asset,), now_ms)

    # ------------------------------------------------------------ funding

    def fund(self, now_ms: int) -> None:
        """Settle funding for each interval boundary passed since the last call."""
        every = self.rules.funding_every_ms
        if self.funded_ms is None:
            self.funded_ms = now_ms // every * every
            return
        while self.funded_ms + every <= now_ms:
            self.funded_ms += every
            self._fund_once(self.funded_ms, now_ms)

    def _fund_once(self, at_ms: int, now_ms: int) -> None:
        paid: dict[str, None] = {}
        for holding in self.pool.holdings.values():
            listing = holding.listing
            mark = self.mark(listing.symbol)
            if not holding.quantity or mark is None or not listing.funding_rate:
                continue
            value = listing.settled(holding.notional(mark), mark)
            amount = -value * listing.funding_rate
            wallets = self.pool.wallets
            wallets[listing.settle] = wallets.get(listing.settle, _ZERO) + amount
            self.book(LedgerKind.FUNDING, listing.settle, amount, at_ms, now_ms, listing.symbol)
            paid[listing.settle] = None
        if paid:
            self.tell_balances(paid, now_ms)

    # ------------------------------------------------------------ liquidation

    def liquidate(self, now_ms: int) -> None:
        """Take over every position whose margin is gone."""
        for holding in list(self.pool.holdings.values()):
            if holding.is_isolated and self._is_isolated_gone(holding):
                self._take_over(holding, now_ms)
        if not self.pool.is_liquidated():
            return
        for order in self.working():
            if not order.is_exit:
                self._end(order, OrderStatus.CANCELED, now_ms)
        if not self.pool.is_liquidated():
            return
        for holding in list(self.pool.holdings.values()):
            if not holding.is_isolated:
                self._take_over(holding, now_ms)
        self._insure(now_ms)

    def _is_isolated_gone(self, holding: Holding) -> bool:
        listing = holding.listing
        mark = self.mark(listing.symbol)
        if mark is None or not holding.quantity:
            return False
        own = holding.isolated_margin + holding.unrealized(mark)
        return own <= listing.settled(holding.maintenance(mark), mark)

    def _take_over(self, holding: Holding, now_ms: int) -> None:
        """Close a position at the mark, with the liquidation fee (isolated: within its margin)."""
        listing = holding.listing
        mark = self.mark(listing.symbol)
        if mark is None or not holding.quantity:
            return
        size = abs(holding.quantity)
        side = Side.SELL if holding.quantity > 0 else Side.BUY
        left = holding.isolated_margin + holding.unrealized(mark)
        fee = listing.settled(abs(holding.notional(mark)), mark) * listing.liquidation_fee
        if holding.is_isolated:
            # No more than its own margin is lost: what a gap cost beyond it, the fund pays.
            fee = min(fee, left)
        match = Match(mark, size)
        self.trade(listing, side, holding.side, match, _ZERO)
        self.pool.wallets[listing.settle] -= fee
        self.book(LedgerKind.LIQUIDATION, listing.settle, -fee, now_ms)
        if self.rules.liquidation_tells_fills:
            order = self._venue_order(listing.symbol, side, holding.side, match, now_ms)
            self._tell_fill(order, match, _ZERO, now_ms)
            self._tell_order(order, now_ms)
        self._tell_account((listing.symbol,), now_ms)

    def _venue_order(
        self,
        symbol: str,
        side: Side,
        position_side: PositionSide,
        match: Match,
        now_ms: int,
    ) -> Order:
        name = self._next_id("autoclose-")
        order = Order(
            order_id=self._next_id("o"),
            request=Request(
                symbol, side, match.quantity, OrderType.MARKET, position_side=position_side
            ),
            client_order_id=name,
            created_ms=now_ms,
            quantity=match.quantity,
            filled=match.quantity,
            value=match.quantity * match.price,
            status=OrderStatus.FILLED,
        )
        self.history[order.order_id] = order
        return order

    def _insure(self, now_ms: int) -> None:
        """Let the insurance fund pay what a liquidation left below zero."""
        for asset, balance in self.pool.wallets.items():
            if balance < 0:
                self.book(LedgerKind.LIQUIDATION, asset, -balance, now_ms)
                self.pool.wallets[asset] = _ZERO
                self.tell_balances((asset,), now_ms)

    def deleverage(
        self, symbol: str, position_side: PositionSide, quantity: Decimal, now_ms: int
    ) -> Decimal:
        """Close part of a position against the holder's will (ADL); streams tell no fill.

        Returns:
            What was closed, >= 0.
        """
        holding = self.pool.holdings.get((symbol, position_side))
        mark = self.mark(symbol)
        if holding is None or mark is None:
            return _ZERO
        closed = min(quantity, abs(holding.quantity))
        if closed:
            side = Side.SELL if holding.quantity > 0 else Side.BUY
            self.trade(holding.listing, side, position_side, Match(mark, closed), _ZERO)
            self._tell_account((symbol,), now_ms)
        return closed
