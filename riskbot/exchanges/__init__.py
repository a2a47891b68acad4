"""Venues: which class serves which of ccxt.pro's names. Any other name gets the generic one."""

from __future__ import annotations

from collections.abc import Mapping

from riskbot.exchanges._lazy import exchange_ids
from riskbot.exchanges.binance import Binance
from riskbot.exchanges.bybit import Bybit
from riskbot.exchanges.okx import Okx
from riskbot.exchanges.unified import UnifiedExchange

CLASSES: Mapping[str, type[UnifiedExchange]] = {
    "binance": Binance,
    "binanceusdm": Binance,
    "binancecoinm": Binance,
    "bybit": Bybit,
    "okx": Okx,
}
"""Venues with differences of their own, by ccxt id. `paper` is built by `exchanges.paper`."""


def exchange_class(venue_id: str) -> type[UnifiedExchange]:
    """Return the class of a ccxt id; `is_known` tells whether ccxt has it at all."""
    return CLASSES.get(venue_id, UnifiedExchange)


def is_known(venue_id: str) -> bool:
    """Whether ccxt.pro has a venue of this id; nothing is imported for the answer."""
    return venue_id in exchange_ids()
