"""Money of one paper account: wallets, positions, the cross pool's margin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from riskbot.core.model import (
    Balance,
    InstrumentKind,
    MarginReport,
    Position,
    PositionSide,
)
from riskbot.exchanges.paper.holding import Holding
from riskbot.exchanges.paper.order import Order
from riskbot.exchanges.paper.terms import Listing

STABLE = frozenset({"USD", "USDT", "USDC", "FDUSD", "DAI"})
HoldingKey = tuple[str, PositionSide]
_ZERO = Decimal(0)


@dataclass(slots=True)
class Pool:
    """Wallets and positions of one account.

    Attributes:
        wallets: total balance per asset, isolated margins included, unrealized PnL not.
        asset_usd: USD per unit where the venue states another price than 1 or the market's.
    """

    listings: Mapping[str, Listing]
    mark_of: Callable[[str], Decimal | None]
    wallets: dict[str, Decimal] = field(default_factory=dict)
    holdings: dict[HoldingKey, Holding] = field(default_factory=dict)
    asset_usd: dict[str, Decimal] = field(default_factory=dict)

    # ------------------------------------------------------------ values

    def usd(self, asset: str) -> Decimal | None:
        """Return USD per unit of an asset, None = nothing listed prices it."""
        if asset in self.asset_usd:
            return self.asset_usd[asset]
        if asset in STABLE:
            return Decimal(1)
        for listing in self.listings.values():
            if listing.base == asset and listing.quote in STABLE:
                mark = self.mark_of(listing.symbol)
                quote = self.asset_usd.get(listing.quote, Decimal(1))
                if mark is not None:
                    return mark * quote
        return None

    def _settle_usd(self, holding: Holding) -> Decimal:
        return self.usd(holding.listing.settle) or _ZERO

    def _quote_usd(self, listing: Listing) -> Decimal:
        return self.asset_usd.get(listing.quote, Decimal(1))

    def _marked(self) -> list[tuple[Holding, Decimal]]:
        pairs = ((h, self.mark_of(h.listing.symbol)) for h in self.holdings.values() if h.quantity)
        return [(holding, mark) for holding, mark in pairs if mark is not None]

    def _cross(self) -> list[tuple[Holding, Decimal]]:
        return [(holding, mark) for holding, mark in self._marked() if not holding.is_isolated]

    # ------------------------------------------------------------ margin

    def equity_usd(self) -> Decimal:
        """Return wallets and unrealized PnL of everything, USD."""
        total = sum((w * (self.usd(a) or _ZERO) for a, w in self.wallets.items()), _ZERO)
        for holding, mark in self._marked():
            total += holding.unrealized(mark) * self._settle_usd(holding)
        return total

    def cross_equity_usd(self) -> Decimal:
        """Return what stands behind the cross positions, USD."""
        total = self.equity_usd()
        for holding, mark in self._marked():
            if holding.is_isolated:
                own = holding.isolated_margin + holding.unrealized(mark)
                total -= own * self._settle_usd(holding)
        return total

    def maintenance_usd(self) -> Decimal:
        """Return the maintenance margin of the cross positions, USD."""
        return sum(
            (h.maintenance(mark) * self._quote_usd(h.listing) for h, mark in self._cross()), _ZERO
        )

    def initial_usd(self, orders: list[Order]) -> Decimal:
        """Return initial margin of cross positions and of working entries, USD."""
        total = sum(
            (h.initial(mark) * self._quote_usd(h.listing) for h, mark in self._cross()), _ZERO
        )
        for order in orders:
            listing = self.listings[order.request.symbol]
            if order.is_exit or order.is_waiting or not listing.is_derivative:
                continue
            price = order.request.price or self.mark_of(listing.symbol) or _ZERO
            value = abs(listing.notional(order.remaining, price)) * self._quote_usd(listing)
            total += value / self.leverage(listing, order.request.position_side)
        return total

    def available_usd(self, orders: list[Order]) -> Decimal:
        """Return what new cross positions may still be opened with, USD, >= 0."""
        return max(self.cross_equity_usd() - self.initial_usd(orders), _ZERO)

    def leverage(self, listing: Listing, side: PositionSide) -> int:
        """Return the leverage set for an instrument."""
        holding = self.holdings.get((listing.symbol, side))
        return holding.leverage if holding is not None else listing.leverage

    def report(self, orders: list[Order]) -> MarginReport:
        """Return the cross pool as the venue tells it; nothing where there is no margin."""
        if not any(listing.is_derivative for listing in self.listings.values()):
            return MarginReport()
        return MarginReport(
            equity_usd=float(self.cross_equity_usd()),
            maintenance_usd=float(self.maintenance_usd()),
            initial_usd=float(self.initial_usd(orders)),
            available_usd=float(self.available_usd(orders)),
        )

    def is_liquidated(self) -> bool:
        """Whether the cross positions have no margin left."""
        maintenance = self.maintenance_usd()
        return maintenance > 0 and self.cross_equity_usd() <= maintenance

    # ------------------------------------------------------------ rows

    def holding(self, listing: Listing, side: PositionSide) -> Holding:
        """Return a position, an empty one where there is none."""
        key = (listing.symbol, side)
        found = self.holdings.get(key)
        if found is None:
            found = self.holdings[key] = Holding(listing, side, listing.leverage)
        return found

    def positions(self, account: str) -> tuple[Position, ...]:
        """Return every open position as the venue tells it."""
        rows = []
        for holding, mark in self._marked():
            liquidation = self._liquidation_price(holding, mark)
            rows.append(holding.report(account, mark, liquidation))
        return tuple(rows)

    def _liquidation_price(self, holding: Holding, mark: Decimal) -> Decimal | None:
        listing = holding.listing
        quote_usd = self._quote_usd(listing)
        coins = _ZERO
        if holding.is_isolated:
            own = holding.isolated_margin + holding.unrealized(mark)
            surplus = own * self._settle_usd(holding) / quote_usd - holding.maintenance(mark)
            if listing.kind is InstrumentKind.INVERSE:
                coins = holding.isolated_margin
        else:
            surplus = (self.cross_equity_usd() - self.maintenance_usd()) / quote_usd
            if listing.kind is InstrumentKind.INVERSE:
                coins = self.wallets.get(listing.base, _ZERO)
        price = holding.liquidation_price(mark, surplus, coins)
        return None if price is None else price.quantize(listing.tick)

    def balance(self, asset: str, orders: list[Order]) -> Balance:
        """Return one balance as the venue tells it."""
        total = self.wallets.get(asset, _ZERO)
        price = self.usd(asset)
        return Balance(
            asset=asset,
            total=total,
            free=max(total - self._held(asset, orders), _ZERO),
            price_usd=None if price is None else float(price),
        )

    def balances(self, orders: list[Order]) -> tuple[Balance, ...]:
        """Return every balance that is not zero."""
        return tuple(self.balance(asset, orders) for asset, w in self.wallets.items() if w)

    def _held(self, asset: str, orders: list[Order]) -> Decimal:
        """Return what of an asset spot orders and margins keep from being used, asset units."""
        held = self.spot_locked(asset, orders)
        for holding, mark in self._marked():
            if holding.listing.settle == asset:
                held += holding.listing.settled(holding.initial(mark), mark)
        return held

    def spot_locked(self, asset: str, orders: list[Order]) -> Decimal:
        """Return what working spot orders hold of an asset, asset units."""
        held = _ZERO
        for order in orders:
            listing = self.listings[order.request.symbol]
            if listing.is_derivative or order.is_waiting:
                continue
            if order.request.side.sign < 0 and listing.base == asset:
                held += order.remaining
            elif order.request.side.sign > 0 and listing.quote == asset:
                held += order.remaining * (order.request.price or _ZERO)
        return held
