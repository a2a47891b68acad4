"""Real processes against protocol servers: a venue with a position and orders, and its files."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from tests.config_files import secret, write
from tests.servers.binance_usdm import BinanceUsdmServer
from tests.servers.bybit import BybitServer
from tests.servers.ledger import Ledger, Order

KEY, SECRET = "key-of-the-test", "secret-of-the-test"
SYMBOL = "BTCUSDT"

SERVERS: dict[str, Any] = {"binanceusdm": BinanceUsdmServer, "bybit": BybitServer}


@dataclass
class Venue:
    """A server with one account: 0.5 BTC long, an entry, a stop entry and a protective stop."""

    exchange: str
    server: Any
    ledger: Ledger

    def working(self) -> list[tuple[str, bool]]:
        """(side, reduce-only) of what rests at the venue."""
        resting = [o for o in self.ledger.orders.values() if o.status in {"new", "untriggered"}]
        return sorted((o.side, o.reduce_only) for o in resting)

    def quantity(self) -> Decimal:
        """Position, signed."""
        return sum((p.quantity for p in self.ledger.positions.values()), Decimal(0))

    def account(self) -> dict[str, Any]:
        """What a user writes below `accounts.main`."""
        return {
            "exchange": self.exchange,
            "api_key_file": f"{self.exchange}.key",
            "api_secret_file": f"{self.exchange}.secret",
            "ccxt": self.server.ccxt_config(),
        }


@asynccontextmanager
async def venue(exchange: str) -> AsyncIterator[Venue]:
    """Run a server with its account."""
    server = SERVERS[exchange]()
    await server.start()
    ledger = server.add_account(KEY, SECRET, balance={"USDT": Decimal(100_000)})
    mark = ledger.marks[SYMBOL]

    def place(side: str, quantity: str, **fields: Any) -> None:
        ledger.place(
            Order(instrument=SYMBOL, side=side, quantity=Decimal(quantity), **fields)  # type: ignore[arg-type]
        )

    def near(share: str) -> Decimal:
        tick = ledger.instruments[SYMBOL].tick
        return mark * Decimal(share) // tick * tick

    place("buy", "0.5")
    place("buy", "0.1", type="limit", price=near("0.8"))
    place("buy", "0.2", stop_price=near("1.2"), trigger_direction="above", conditional=True)
    place(
        "sell",
        "0.5",
        stop_price=near("0.9"),
        trigger_direction="below",
        conditional=True,
        reduce_only=True,
    )
    try:
        yield Venue(exchange, server, ledger)
    finally:
        await server.stop()


def configuration(directory: Path, *venues: Venue, **sections: Any) -> Path:
    """Write a configuration with an account per venue, and their secrets."""
    names = ["main", *(v.exchange for v in venues[1:])]
    for one in venues:
        secret(directory, f"{one.exchange}.key", KEY)
        secret(directory, f"{one.exchange}.secret", SECRET)
    content = {
        "state_dir": "state",
        "accounts": {name: one.account() for name, one in zip(names, venues, strict=True)},
        "portfolio": {"preset": "leveraged"},
        **sections,
    }
    return write(directory, yaml.safe_dump(content), mode=0o644)


async def riskbot(*words: str | Path, stdin: str = "", seconds: float = 90) -> tuple[int, str, str]:
    """Run a subcommand in a process of its own; return exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "riskbot",
        *map(str, words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds):
        out, err = await process.communicate(stdin.encode())
    return process.returncode or 0, out.decode(), err.decode()
