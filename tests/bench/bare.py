"""The bare ccxt.pro script that riskbot's reaction is compared with, as a process of its own.

`python -m tests.bench.bare '{"exchange": ..., "ccxt": {...}, "symbol": ..., ...}'`: one order for
each fill, or for each price below the last trigger, sent the plain way and nothing else done.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def main(options: dict[str, Any]) -> None:
    """Watch until ended."""
    import ccxt.pro  # type: ignore[import-untyped]

    exchange = getattr(ccxt.pro, options["exchange"])(
        {
            "apiKey": options["api_key"],
            "secret": options["api_secret"],
            "enableRateLimit": options["throttle"],
            **options["ccxt"],
        }
    )
    try:
        await exchange.load_markets()
        tasks = [asyncio.create_task(_prices(exchange, options))]
        if options["on"] == "fill":
            tasks.append(asyncio.create_task(_fills(exchange, options["symbol"])))
        else:
            # The private socket is there too, as in any script that trades.
            tasks.append(asyncio.create_task(_fills(exchange, "")))
        await asyncio.gather(*tasks)
    finally:
        await exchange.close()


async def _fills(exchange: Any, symbol: str) -> None:
    while True:
        for order in await exchange.watch_orders():
            if order["symbol"] != symbol or order["status"] != "closed" or order["reduceOnly"]:
                continue
            await _close(exchange, symbol, order["side"], order["filled"])


async def _prices(exchange: Any, options: dict[str, Any]) -> None:
    watch = exchange.watch_bids_asks if options["book"] else exchange.watch_tickers
    is_armed = True
    while True:
        seen = await watch(options["symbols"])
        for symbol, ticker in seen.items():
            if options["on"] != "price" or symbol != options["symbol"] or ticker["ask"] is None:
                continue
            is_high = ticker["ask"] > options["trigger"]
            if is_high and is_armed:
                await _close(exchange, symbol, "sell", options["quantity"])
            is_armed = not is_high


async def _close(exchange: Any, symbol: str, side: str, quantity: float) -> None:
    other = "sell" if side == "buy" else "buy"
    await exchange.create_order(symbol, "market", other, quantity, None, {"reduceOnly": True})


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
