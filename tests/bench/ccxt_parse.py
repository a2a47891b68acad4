"""What ccxt's own parsing of a frame costs: the reference for work per frame. No network."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiohttp import WSMessage, WSMsgType

MARKETS = 300


def parse_costs(repeats: int, rounds: int = 500) -> dict[str, float]:
    """Return us per frame of ccxt.pro's binanceusdm, by `price` (bookTicker) and `fill`."""
    return asyncio.run(_costs(repeats, rounds))


async def _costs(repeats: int, rounds: int) -> dict[str, float]:
    import ccxt.pro  # type: ignore[import-untyped]

    exchange = ccxt.pro.binanceusdm({"apiKey": "key", "secret": "secret"})
    exchange.set_markets([_market(number) for number in range(MARKETS)])
    found = {}
    try:
        for name, frame in (("price", book_ticker), ("fill", _fill)):
            client = exchange.client(f"ws://127.0.0.1:1/{name}")
            found[name] = min(_cost(client, frame, rounds) for _ in range(repeats))
    finally:
        await exchange.close()
    return found


def _cost(client: Any, frame: Any, rounds: int) -> float:
    frames = [WSMessage(WSMsgType.TEXT, json.dumps(frame(n)), "") for n in range(rounds)]
    started = time.perf_counter()
    for message in frames:
        client.handle_message(message)
    return (time.perf_counter() - started) / rounds * 1e6


def _market(number: int) -> dict[str, Any]:
    base = f"C{number}"
    return {
        "id": f"{base}USDT",
        "symbol": f"{base}/USDT:USDT",
        "base": base,
        "quote": "USDT",
        "settle": "USDT",
        "baseId": base,
        "quoteId": "USDT",
        "settleId": "USDT",
        "type": "swap",
        "spot": False,
        "swap": True,
        "linear": True,
        "inverse": False,
        "contract": True,
        "contractSize": 1.0,
        "active": True,
        "precision": {"amount": 0.001, "price": 0.1},
        "limits": {},
        "info": {},
    }


def book_ticker(number: int) -> dict[str, Any]:
    """Return a frame of the best bid and ask."""
    return {
        "e": "bookTicker",
        "u": 400_900_217 + number,
        "s": f"C{number % MARKETS}USDT",
        "b": f"{40_000 + number / 10:.1f}",
        "B": "31.210",
        "a": f"{40_000.1 + number / 10:.1f}",
        "A": "40.660",
        "T": 1_700_000_000_000 + number,
        "E": 1_700_000_000_001 + number,
    }


def _fill(number: int) -> dict[str, Any]:
    return {
        "e": "ORDER_TRADE_UPDATE",
        "E": 1_700_000_000_000 + number,
        "T": 1_700_000_000_000 + number,
        "o": {
            "s": f"C{number % MARKETS}USDT",
            "c": f"client{number}",
            "S": "BUY",
            "o": "LIMIT",
            "f": "GTC",
            "q": "1.000",
            "p": "40000.0",
            "ap": "40000.0",
            "sp": "0",
            "x": "TRADE",
            "X": "FILLED",
            "i": 8_886_774 + number,
            "l": "1.000",
            "z": "1.000",
            "L": "40000.0",
            "n": "16.0",
            "N": "USDT",
            "T": 1_700_000_000_000 + number,
            "t": 1_000 + number,
            "b": "0",
            "a": "0",
            "m": False,
            "R": False,
            "wt": "CONTRACT_PRICE",
            "ot": "LIMIT",
            "ps": "BOTH",
            "cp": False,
            "rp": "0",
        },
    }
