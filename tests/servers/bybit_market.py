"""What Bybit lists: instruments by category, their rules and risk limits, and number formats.

Contracts and spot pairs share names at the venue (BTCUSDT is both), so the ledger knows a spot
pair as `BTCUSDT@spot`; `name_of` and `key_of` translate.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any, Final

from tests.servers.bybit_errors import ApiError
from tests.servers.ledger_market import Market
from tests.servers.ledger_types import ONE, ZERO, Instrument, Kind

Row = dict[str, Any]

SPOT_MARK: Final = "@spot"
CATEGORIES: Final[tuple[Kind, ...]] = ("linear", "inverse", "spot")
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
EXPIRY_MS: Final = 1_830_240_000_000  # 2027-12-31 08:00 UTC
LAUNCHED_MS: Final = 1_585_526_400_000
MARKET_SHARE: Final = Decimal("0.5")  # of the largest limit order that a market order may have
# Highest bid and lowest ask of limit orders around mark: priceLimitRatioX, priceLimitRatioY.
LIMIT_RATIOS: Final[dict[Kind, tuple[Decimal, Decimal]]] = {
    "linear": (Decimal("0.01"), Decimal("0.02")),
    "inverse": (Decimal("0.01"), Decimal("0.02")),
    "spot": (Decimal("0.005"), Decimal("0.01")),
}


def name_of(key: str) -> str:
    """Return the venue's symbol of a ledger key."""
    return key.removesuffix(SPOT_MARK)


def key_of(category: str, symbol: str) -> str:
    """Return the ledger key of a venue symbol in a category."""
    return symbol + SPOT_MARK if category == "spot" else symbol


def text(value: Decimal | int | None, empty: str = "") -> str:
    """Return a number as the venue's plain decimal string, or `empty` for None."""
    if value is None:
        return empty
    number = Decimal(value)
    if number == number.to_integral_value():
        return str(number.quantize(ONE)) if abs(number) < Decimal("1e20") else str(int(number))
    return format(number.normalize(), "f")


def short(value: Decimal, places: int = 8) -> str:
    """Return a computed amount with the venue's eight decimals at most."""
    return text(round(value, places) + ZERO)


def priced(value: Decimal, instrument: Instrument) -> str:
    """Return a price with the decimals of the instrument's tick."""
    exponent = instrument.tick.normalize().as_tuple().exponent
    places = max(0, -int(exponent))
    return format(round(value, places), f".{places}f")


# ---- what is listed -----------------------------------------------------------------------------


def _linear(base: str, quote: str, tick: str, step: str, leverage: int = 100) -> Instrument:
    name = f"{base}PERP" if quote == "USDC" else f"{base}{quote}"
    lot = Decimal(step)
    return Instrument(
        name, base, quote, quote, "linear", Decimal(tick), lot, lot, Decimal(5),
        mmr=Decimal("0.005"), max_leverage=leverage,
    )  # fmt: skip


def _inverse(base: str, tick: str) -> Instrument:
    return Instrument(
        f"{base}USD", base, "USD", base, "inverse", Decimal(tick), ONE, ONE,
        mmr=Decimal("0.005"), max_leverage=100,
    )  # fmt: skip


def _future(template: Instrument, name: str) -> Instrument:
    return dataclasses.replace(template, id=name, expiry_ms=EXPIRY_MS)


def _spot(base: str, quote: str, tick: str, step: str, least: str) -> Instrument:
    return Instrument(
        f"{base}{quote}{SPOT_MARK}", base, quote, quote, "spot", Decimal(tick), Decimal(step),
        Decimal(least), Decimal(5), mmr=ZERO, max_leverage=1,
    )  # fmt: skip


def catalog() -> list[tuple[Instrument, Decimal]]:
    """Return the instruments a new server lists, each with its first price in quote per base."""
    return [
        (_linear("BTC", "USDT", "0.1", "0.001"), Decimal(40000)),
        (_linear("ETH", "USDT", "0.01", "0.01"), Decimal(2500)),
        (_linear("SOL", "USDT", "0.01", "0.1"), Decimal(100)),
        (_linear("XRP", "USDT", "0.0001", "0.1", 75), Decimal("0.6")),
        (_linear("DOGE", "USDT", "0.00001", "1", 75), Decimal("0.08")),
        (_linear("BTC", "USDC", "0.1", "0.001"), Decimal(40000)),
        (_inverse("BTC", "0.5"), Decimal(40000)),
        (_inverse("ETH", "0.05"), Decimal(2500)),
        (_future(_linear("BTC", "USDT", "0.1", "0.001"), "BTCUSDT-31DEC27"), Decimal(40500)),
        (_future(_inverse("BTC", "0.5"), "BTCUSDZ27"), Decimal(40500)),
        (_spot("BTC", "USDT", "0.01", "0.000001", "0.000048"), Decimal(40000)),
        (_spot("ETH", "USDT", "0.01", "0.00001", "0.00062"), Decimal(2500)),
        (_spot("SOL", "USDT", "0.01", "0.001", "0.008"), Decimal(100)),
        (_spot("USDC", "USDT", "0.0001", "0.01", "1"), ONE),
    ]


def list_all(market: Market) -> Market:
    """List the catalog in a market; coin prices in USD come from its indexes afterwards."""
    for instrument, price in catalog():
        market.add(instrument, price)
    return market


def of_category(market: Market, category: str) -> list[Instrument]:
    """Return the instruments of a category; raises ApiError 10001 for an unknown one."""
    if category == "option":
        return []
    if category not in CATEGORIES:
        raise ApiError(10001, "Illegal category")
    return [item for item in market.instruments.values() if item.kind == category]


def wanted(market: Market, params: dict[str, str]) -> list[Instrument]:
    """Return the instruments a public request asks for by category, symbol and baseCoin."""
    category = params.get("category", "")
    found = of_category(market, category)
    symbol, base = params.get("symbol"), params.get("baseCoin")
    if symbol is not None:
        found = [item for item in found if name_of(item.id) == symbol]
        if not found and category != "option":
            raise ApiError(10001, "Not supported symbols")
    elif base is not None:
        found = [item for item in found if item.base == base]
    return found


def instrument_row(instrument: Instrument, *, index: int) -> Row:
    """Return one entry of GET /v5/market/instruments-info."""
    if instrument.kind == "spot":
        return _spot_row(instrument, index)
    kind = "Linear" if instrument.kind == "linear" else "Inverse"
    low, high = LIMIT_RATIOS[instrument.kind]
    shape = "Futures" if instrument.expiry_ms else "Perpetual"
    lots: Row = {
        "maxOrderQty": text(instrument.max_quantity),
        "minOrderQty": text(instrument.min_quantity),
        "qtyStep": text(instrument.step),
        "postOnlyMaxOrderQty": text(instrument.max_quantity),
        "maxMktOrderQty": text(instrument.max_quantity * MARKET_SHARE),
        "minNotionalValue": text(instrument.min_notional) if instrument.min_notional else "",
    }
    return {
        "symbol": instrument.id,
        "symbolId": index,
        "contractType": f"{kind}{shape}",
        "status": "Trading",
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "launchTime": str(LAUNCHED_MS),
        "deliveryTime": str(instrument.expiry_ms or 0),
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": f"{instrument.max_leverage}.00",
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": text(instrument.tick),
            "maxPrice": "1999999.80",
            "tickSize": text(instrument.tick),
        },
        "lotSizeFilter": lots,
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": instrument.settle,
        "copyTrading": "both",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": text(low), "priceLimitRatioY": text(high)},
        "symbolType": "",
        "displayName": "",
    }


def _spot_row(instrument: Instrument, index: int) -> Row:
    low, high = LIMIT_RATIOS["spot"]
    return {
        "symbolId": index,
        "symbol": name_of(instrument.id),
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": text(instrument.step),
            "quotePrecision": "0.0000001",
            "minOrderQty": text(instrument.min_quantity),
            "maxOrderQty": text(instrument.max_quantity),
            "minOrderAmt": text(instrument.min_notional),
            "maxOrderAmt": "8000000",
            "maxLimitOrderQty": text(instrument.max_quantity),
            "maxMarketOrderQty": text(instrument.max_quantity * MARKET_SHARE),
            "postOnlyMaxLimitOrderSize": text(instrument.max_quantity),
        },
        "priceFilter": {"tickSize": text(instrument.tick)},
        "riskParameters": {"priceLimitRatioX": text(low), "priceLimitRatioY": text(high)},
        "symbolType": "",
    }


def risk_row(instrument: Instrument, index: int) -> Row:
    """Return one entry of GET /v5/market/risk-limit; each instrument has a single tier."""
    return {
        "id": index,
        "symbol": instrument.id,
        "riskLimitValue": "2000000" if instrument.kind == "linear" else "150",
        "maintenanceMargin": text(instrument.mmr),
        "initialMargin": text(ONE / instrument.max_leverage),
        "isLowestRisk": 1,
        "maxLeverage": f"{instrument.max_leverage}.00",
        "mmDeduction": "",
    }
