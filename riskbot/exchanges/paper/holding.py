"""Positions of the paper venue: how fills change them, what they earn, when they are liquidated."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from riskbot.core.model import InstrumentKind, Position, PositionSide
from riskbot.exchanges.paper.terms import Listing, maintenance_rate, maintenance_usd


@dataclass(slots=True)
class Holding:
    """One position.

    Attributes:
        quantity: signed, unit of `Position.quantity`.
        entry: average, quote units.
        leverage: for initial margin.
        isolated_margin: wallet of an isolated position in settle units, PnL left out.
    """

    listing: Listing
    side: PositionSide
    leverage: int
    quantity: Decimal = Decimal(0)
    entry: Decimal = Decimal(0)
    is_isolated: bool = False
    isolated_margin: Decimal = Decimal(0)

    def fill(self, change: Decimal, price: Decimal) -> Decimal:
        """Apply a signed fill and return the realized PnL in settle units."""
        closes = self.quantity * change < 0
        closed = min(abs(change), abs(self.quantity)) if closes else Decimal(0)
        realized = Decimal(0)
        if closed:
            part = closed if self.quantity > 0 else -closed
            realized = self.listing.pnl(part, self.entry, price)
        after = self.quantity + change
        if not closes:
            self.entry = self._average(change, price)
        elif after * self.quantity < 0:
            self.entry = price
        self.quantity = after
        if not after:
            self.entry = Decimal(0)
        return realized

    def _average(self, change: Decimal, price: Decimal) -> Decimal:
        total = abs(self.quantity) + abs(change)
        if not self.quantity:
            return price
        if self.listing.kind is InstrumentKind.INVERSE:
            coins = abs(self.quantity) / self.entry + abs(change) / price
            return total / coins
        return (abs(self.quantity) * self.entry + abs(change) * price) / total

    def unrealized(self, mark: Decimal) -> Decimal:
        """Return the PnL at the mark, settle units."""
        return self.listing.pnl(self.quantity, self.entry, mark) if self.quantity else Decimal(0)

    def notional(self, mark: Decimal) -> Decimal:
        """Return the signed value in quote units."""
        return self.listing.notional(self.quantity, mark)

    def maintenance(self, mark: Decimal) -> Decimal:
        """Return the maintenance margin in quote units."""
        return maintenance_usd(self.listing.tiers, abs(self.notional(mark)))

    def initial(self, mark: Decimal) -> Decimal:
        """Return the initial margin in quote units."""
        return abs(self.notional(mark)) / self.leverage

    def equity_slope(self, coin_wallet: Decimal) -> Decimal:
        """Return the change of equity less maintenance per unit of price, quote units.

        Args:
            coin_wallet: coins of the base asset in the same pool (collateral of an inverse).
        """
        if self.listing.kind is InstrumentKind.INVERSE:
            return (self.quantity / self.entry if self.entry else Decimal(0)) + coin_wallet
        return self.quantity

    def liquidation_price(
        self, mark: Decimal, surplus: Decimal, coin_wallet: Decimal
    ) -> Decimal | None:
        """Return where the pool would be liquidated by this instrument alone, None = nowhere.

        Args:
            mark: present, quote units.
            surplus: equity less maintenance of its pool now, quote units.
            coin_wallet: see `equity_slope`.
        """
        if not self.quantity:
            return None
        slope = self.equity_slope(coin_wallet)
        if self.listing.kind is not InstrumentKind.INVERSE:
            slope -= maintenance_rate(self.listing.tiers, abs(self.notional(mark))) * abs(
                self.quantity
            )
        if not slope:
            return None
        price = mark - surplus / slope
        is_losing_side = (price < mark) == (slope > 0)
        return price if price > 0 and (is_losing_side or surplus <= 0) else None

    def report(self, account: str, mark: Decimal, liquidation: Decimal | None) -> Position:
        """Return it as the venue tells it."""
        unrealized = self.unrealized(mark)
        return Position(
            account=account,
            symbol=self.listing.symbol,
            side=self.side,
            quantity=self.quantity,
            entry_price=self.entry if self.quantity else None,
            venue_mark=mark,
            unrealized_pnl=unrealized,
            liquidation_price=liquidation,
            leverage=float(self.leverage),
            is_isolated=self.is_isolated,
            maintenance_margin=self.listing.settled(self.maintenance(mark), mark),
            initial_margin=self.listing.settled(self.initial(mark), mark),
            isolated_margin=self.isolated_margin + unrealized if self.is_isolated else None,
        )
