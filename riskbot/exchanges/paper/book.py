"""The synthetic order book: levels around the mark, what was taken of them, and their refilling.

It answers what an order would fill against. Orders, fees and positions live elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from riskbot.core.model import Side
from riskbot.exchanges.paper.terms import Listing, on_step, on_tick

_BPS = Decimal(10_000)


class Match(NamedTuple):
    """A part of an order that meets a level: price in quote units, quantity > 0."""

    price: Decimal
    quantity: Decimal


@dataclass(slots=True)
class SyntheticBook:
    """The book of one instrument.

    Attributes:
        mark: in quote units, None = never priced: nothing can trade.
        depth_share: scales every level; 0 = an empty book.
        spread_factor: scales the spread and the distance of levels.
        taken_usd: quote value taken per side and level since it was whole.
    """

    listing: Listing
    mark: Decimal | None = None
    depth_share: Decimal = Decimal(1)
    spread_factor: Decimal = Decimal(1)
    taken_usd: dict[tuple[Side, int], Decimal] = field(default_factory=dict)
    taken_ms: int = 0

    def set_mark(self, mark: Decimal, now_ms: int) -> None:
        """Move the book to a new mark; what was taken refills after its time."""
        self.mark = mark
        self.refill(now_ms)

    def refill(self, now_ms: int) -> None:
        """Make levels whole again once nothing took from them for `refill_ms`."""
        if self.taken_usd and now_ms - self.taken_ms >= self.listing.depth.refill_ms:
            self.taken_usd.clear()

    def _level(self, mark: Decimal, side: Side, index: int) -> Decimal:
        """Return the price of a resting level: bids for BUY, asks for SELL."""
        depth, tick = self.listing.depth, self.listing.tick
        bps = (depth.half_spread_bps + index * depth.step_bps) * self.spread_factor
        price = on_tick(mark * (1 - side.sign * bps / _BPS), side, tick)
        # A mark on the tick of a coarse instrument would put bid and ask on one price.
        return price + tick if side is Side.SELL and price == mark else price

    def touch(self, side: Side) -> Decimal | None:
        """Return the best bid (BUY) or ask (SELL), None without a mark."""
        if self.mark is None:
            return None
        return self._level(self.mark, side, 0)

    def touch_quantity(self, side: Side) -> Decimal:
        """Return what rests at the best level."""
        price = self.touch(side)
        return Decimal(0) if price is None else self._free(side, 0, price)

    def _free(self, side: Side, index: int, price: Decimal) -> Decimal:
        whole = self.listing.depth.level_usd * self.depth_share
        left = max(whole - self.taken_usd.get((side, index), Decimal(0)), Decimal(0))
        unit = self.listing.notional(Decimal(1), price)
        return on_step(left / unit, self.listing.step)

    def visible(self, side: Side, reach: Decimal) -> Decimal:
        """Return what rests on a side (BUY: bids) up to a share of the price behind its touch."""
        touch = self.touch(side)
        if self.mark is None or touch is None:
            return Decimal(0)
        levels = range(self.listing.depth.levels)
        prices = [(index, self._level(self.mark, side, index)) for index in levels]
        near = [(i, price) for i, price in prices if abs(price - touch) <= touch * reach]
        return sum((self._free(side, i, price) for i, price in near), Decimal(0))

    def sweep(
        self, side: Side, quantity: Decimal, limit: Decimal | None, now_ms: int
    ) -> list[Match]:
        """Take liquidity for an order and return what it met, best price first.

        Args:
            side: of the order; a BUY takes asks.
            quantity: > 0; what the book does not hold stays unfilled.
            limit: worst price it accepts, None = any.
            now_ms: UTC ms; levels refill from here.
        """
        mark = self.mark
        if mark is None:
            return []
        self.refill(now_ms)
        resting, matches, left = side.opposite, [], quantity
        for index in range(self.listing.depth.levels):
            price = self._level(mark, resting, index)
            if left <= 0 or (limit is not None and (price - limit) * side.sign > 0):
                break
            taken = min(left, self._free(resting, index, price))
            if taken <= 0:
                continue
            key = (resting, index)
            value = self.listing.notional(taken, price)
            self.taken_usd[key] = self.taken_usd.get(key, Decimal(0)) + value
            self.taken_ms = now_ms
            matches.append(Match(price, taken))
            left -= taken
        return matches
