"""A paper venue with round figures, for its tests."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from riskbot.core import events
from riskbot.core.model import OrderType, PositionSide, Side, WorkingOrder
from riskbot.exchanges.paper.engine import PaperVenue
from riskbot.exchanges.paper.order import Refusal, Request
from riskbot.exchanges.paper.rules import VenueRules
from riskbot.exchanges.paper.terms import Depth, Listing, Tier, default_listing

BTC = "BTC/USDT:USDT"
ETH = "ETH/USDT:USDT"
BTC_SPOT = "BTC/USDT"
BTC_INVERSE = "BTC/USD:BTC"
NOW = 1_643_000_000_000
TIERS = (
    Tier(Decimal(100_000), Decimal("0.01"), 50),
    Tier(Decimal("Infinity"), Decimal("0.02"), 20),
)


def listing(symbol: str, price: int, **fields: Any) -> Listing:
    """Terms without fees, with steps of 0.001, ticks of 0.1 and a thick book."""
    row = default_listing(symbol, Decimal(price))
    values: dict[str, Any] = {
        "tick": Decimal("0.1"),
        "step": Decimal("0.001"),
        "min_quantity": Decimal("0.001"),
        "maker_fee": Decimal(0),
        "taker_fee": Decimal(0),
        "tiers": TIERS,
        "depth": Depth(half_spread_bps=Decimal(1), level_usd=Decimal(10_000_000)),
        **fields,
    }
    if symbol == BTC_INVERSE:
        values |= {"step": Decimal(1), "min_quantity": Decimal(1)}
    return replace(row, **values)


def venue(
    *,
    usdt: int = 100_000,
    coins: int = 0,
    hedge: bool = False,
    rules: VenueRules | None = None,
    **fields: Any,
) -> PaperVenue:
    """BTC as a linear, inverse and spot instrument at 40,000 and ETH at 2,500."""
    made = PaperVenue(
        "main",
        [
            listing(BTC, 40_000, **fields),
            listing(ETH, 2_500, **fields),
            listing(BTC_SPOT, 40_000, **fields),
            listing(BTC_INVERSE, 40_000, **fields),
        ],
        rules=rules,
        is_hedge_mode=hedge,
        balances={"USDT": Decimal(usdt), "BTC": Decimal(coins)},
    )
    made.set_prices(
        {
            BTC: Decimal(40_000),
            BTC_SPOT: Decimal(40_000),
            BTC_INVERSE: Decimal(40_000),
            ETH: Decimal(2_500),
        },
        NOW,
    )
    made.drain()
    return made


def request(
    symbol: str = BTC, side: str = "buy", quantity: str | int = 1, **fields: Any
) -> Request:
    for name in ("price", "stop_price"):
        if name in fields:
            fields[name] = Decimal(str(fields[name]))
    kind = OrderType.LIMIT if "price" in fields else OrderType.MARKET
    leg = PositionSide(fields.pop("leg", "net"))
    return Request(symbol, Side(side), Decimal(str(quantity)), kind, position_side=leg, **fields)


def place(made: PaperVenue, *args: Any, at_ms: int = NOW, **fields: Any) -> WorkingOrder:
    """Place an order that must be taken."""
    answer = made.submit(request(*args, **fields), at_ms)
    assert isinstance(answer, WorkingOrder), answer
    return answer


def refused(made: PaperVenue, *args: Any, **fields: Any) -> str:
    """Place an order that must be refused; return the reason's name."""
    answer = made.submit(request(*args, **fields), NOW)
    assert isinstance(answer, Refusal), answer
    return answer.reason.name


def held(made: PaperVenue, symbol: str = BTC, leg: str = "net") -> Decimal:
    holding = made.pool.holdings.get((symbol, PositionSide(leg)))
    return holding.quantity if holding is not None else Decimal(0)


def fills(made: PaperVenue) -> list[events.OrderFilled]:
    return [e for e in made.drain() if isinstance(e, events.OrderFilled)]
