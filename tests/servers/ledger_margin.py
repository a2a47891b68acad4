"""Margin arithmetic of one account: equity, initial and maintenance margin, what is available.

No order handling lives here; `Ledger` inherits it.
"""

from __future__ import annotations

from decimal import Decimal

from tests.servers.ledger_market import Market
from tests.servers.ledger_types import ONE, ZERO, Instrument, Order, Position


class MarginBook:
    """Balances, positions and open orders of an account, and the sums over them.

    Attributes:
        balances: wallet balance per asset, without unrealized profit.
        positions: (instrument id, side) -> Position; flat ones stay, with quantity zero.
        orders: venue order id -> Order, closed ones included.
        leverage: instrument id -> leverage the account chose, 20 when absent.
        multi_asset: whether every asset is collateral at its USD price (else per settle asset).
        haircuts: asset -> fraction of its value that counts as collateral, 1 when absent.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.balances: dict[str, Decimal] = {}
        self.positions: dict[tuple[str, str], Position] = {}
        self.orders: dict[str, Order] = {}
        self.leverage: dict[str, int] = {}
        self.multi_asset = False
        self.haircuts: dict[str, Decimal] = {}

    def leverage_of(self, name: str) -> int:
        """Return the leverage chosen for an instrument."""
        return self.leverage.get(name, 20)

    def open_positions(self, settle: str | None = None) -> list[Position]:
        """Return positions that are not flat, of one settle asset or of all."""
        return [
            position
            for position in self.positions.values()
            if position.quantity
            and settle in (None, self.market.instruments[position.instrument].settle)
        ]

    def unrealized_of(self, position: Position) -> Decimal:
        """Return a position's unrealized profit at mark, in its settle asset."""
        if not position.quantity:
            return ZERO
        instrument = self.market.instruments[position.instrument]
        return instrument.pnl(
            position.quantity, position.entry, self.market.marks[position.instrument]
        )

    def notional_of(self, position: Position) -> Decimal:
        """Return a position's abs notional at mark, in its settle asset."""
        instrument = self.market.instruments[position.instrument]
        return instrument.notional(position.quantity, self.market.marks[position.instrument])

    def unrealized(self, settle: str) -> Decimal:
        """Return the unrealized profit of all positions settled in an asset."""
        return sum((self.unrealized_of(p) for p in self.open_positions(settle)), ZERO)

    def equity(self, settle: str) -> Decimal:
        """Return wallet balance plus unrealized profit of one asset, in that asset."""
        return self.balances.get(settle, ZERO) + self.unrealized(settle)

    def assets(self) -> list[str]:
        """Return every asset with a balance or an open position."""
        names = dict.fromkeys(self.balances)
        for position in self.open_positions():
            names[self.market.instruments[position.instrument].settle] = None
        return list(names)

    def equity_usd(self) -> Decimal:
        """Return the USD value of all balances and unrealized profits, without haircuts."""
        return sum((self.equity(a) * self.market.asset_price(a) for a in self.assets()), ZERO)

    def collateral_usd(self) -> Decimal:
        """Return the USD value that counts as margin, after haircuts on what is positive."""
        total = ZERO
        for asset in self.assets():
            value = self.equity(asset) * self.market.asset_price(asset)
            total += value * self.haircuts.get(asset, ONE) if value > 0 else value
        return total

    def position_margin(self, position: Position) -> Decimal:
        """Return a position's initial margin at mark, in its settle asset."""
        return self.notional_of(position) / self.leverage_of(position.instrument)

    def order_margin(self, order: Order) -> Decimal:
        """Return the initial margin a resting order ties up, in its settle asset."""
        instrument = self.market.instruments[order.instrument]
        free = order.reduce_only or order.close_position or order.conditional
        if free or instrument.kind == "spot" or not order.is_open:
            return ZERO
        price = order.price or self.market.marks[order.instrument]
        return instrument.notional(order.remaining, price) / self.leverage_of(order.instrument)

    def open_orders(
        self, instrument: str | None = None, conditional: bool | None = None
    ) -> list[Order]:
        """Return open orders, oldest first, of one instrument or all, plain or conditional."""
        return [
            order
            for order in self.orders.values()
            if order.is_open
            and instrument in (None, order.instrument)
            and conditional in (None, order.status == "untriggered")
        ]

    def orders_margin(self, settle: str) -> Decimal:
        """Return the initial margin of all resting orders settled in an asset."""
        instruments = self.market.instruments
        return sum(
            (
                self.order_margin(order)
                for order in self.open_orders()
                if instruments[order.instrument].settle == settle
            ),
            ZERO,
        )

    def positions_margin(self, settle: str) -> Decimal:
        """Return the initial margin of all positions settled in an asset."""
        return sum((self.position_margin(p) for p in self.open_positions(settle)), ZERO)

    def maintenance_of(self, position: Position) -> Decimal:
        """Return a position's maintenance margin, in its settle asset."""
        instrument = self.market.instruments[position.instrument]
        return instrument.maintenance(self.notional_of(position))

    def maintenance(self, settle: str) -> Decimal:
        """Return the maintenance margin of all positions settled in an asset."""
        return sum((self.maintenance_of(p) for p in self.open_positions(settle)), ZERO)

    def maintenance_usd(self) -> Decimal:
        """Return the maintenance margin of all positions in USD."""
        return sum((self.maintenance(a) * self.market.asset_price(a) for a in self.assets()), ZERO)

    def initial_usd(self) -> Decimal:
        """Return the initial margin of all positions and resting orders in USD."""
        total = ZERO
        for asset in self.assets():
            margin = self.positions_margin(asset) + self.orders_margin(asset)
            total += margin * self.market.asset_price(asset)
        return total

    def available(self, settle: str) -> Decimal:
        """Return the free margin in the settle asset, never below zero."""
        if self.multi_asset:
            price = self.market.asset_price(settle) or ONE
            return max(ZERO, (self.collateral_usd() - self.initial_usd()) / price)
        used = self.positions_margin(settle) + self.orders_margin(settle)
        return max(ZERO, self.equity(settle) - used)

    def locked(self, asset: str) -> Decimal:
        """Return what open spot orders hold back of an asset."""
        total = ZERO
        for order in self.open_orders(conditional=False):
            instrument = self.market.instruments[order.instrument]
            if instrument.kind != "spot":
                continue
            if order.side == "sell" and instrument.base == asset:
                total += order.remaining
            elif order.side == "buy" and instrument.quote == asset:
                total += order.remaining * (order.price or self.market.asks[order.instrument])
        return total

    def liquidation_price(self, position: Position) -> Decimal:
        """Return the cross-margin liquidation price of a linear position, zero when there is none.

        All other positions are held at their marks.
        """
        instrument = self.market.instruments[position.instrument]
        if not position.quantity or instrument.kind != "linear":
            return ZERO
        settle = instrument.settle
        others = [p for p in self.open_positions(settle) if p is not position]
        cushion = self.balances.get(settle, ZERO) + sum(
            (self.unrealized_of(p) - self.maintenance_of(p) for p in others), ZERO
        )
        quantity = position.quantity
        rate = self.maintenance_of(position) / self.notional_of(position)
        slope = quantity - abs(quantity) * rate
        price = (quantity * position.entry - cushion) / slope
        return max(ZERO, price)

    def instrument(self, name: str) -> Instrument:
        """Return an instrument by id; raises VenueError UNKNOWN_SYMBOL."""
        return self.market.instrument(name)
