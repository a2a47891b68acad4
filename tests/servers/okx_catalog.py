"""What OKX lists: instruments as the venue documents them, and the unit of their quantities.

The ledger counts linear instruments in base units, OKX in contracts; the two meet only here.
No account and no order lives here.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any, Final

from tests.servers.ledger_types import ZERO, Instrument

D = Decimal

LISTED_MS: Final = "1573557408000"


def num(value: Decimal) -> str:
    """Return a number as the venue writes it: plain digits, no exponent, no trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def next_quarter_ms(now_ms: int) -> int:
    """Return 08:00 UTC of the last Friday of the first quarter end at least 30 days away."""
    today = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
    year, month = today.year, 3
    while True:
        following = datetime.datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=datetime.UTC)
        last = following - datetime.timedelta(days=1)
        friday = last - datetime.timedelta(days=(last.weekday() - 4) % 7)
        if friday - today > datetime.timedelta(days=30):
            return int(friday.timestamp() * 1000)
        year, month = (year, month + 3) if month < 12 else (year + 1, 3)


def _swap(family: str, contract: str, lot: str, tick: str, mmr: str = "0.004") -> Instrument:
    base, quote = family.split("-")
    inverse = quote == "USD"
    size = D(contract)
    step = D(lot) if inverse else D(lot) * size
    return Instrument(
        id=f"{family}-SWAP",
        base=base,
        quote=quote,
        settle=base if inverse else quote,
        kind="inverse" if inverse else "linear",
        tick=D(tick),
        step=step,
        min_quantity=step,
        contract_size=size,
        mmr=D(mmr),
        max_leverage=100,
        max_quantity=D(30000) if inverse else D(12000) * size,
    )


def _future(family: str, contract: str, lot: str, tick: str, expiry_ms: int) -> Instrument:
    instrument = _swap(family, contract, lot, tick)
    day = datetime.datetime.fromtimestamp(expiry_ms / 1000, datetime.UTC)
    instrument.id = f"{family}-{day:%y%m%d}"
    instrument.expiry_ms = expiry_ms
    return instrument


def _spot(family: str, lot: str, minimum: str, tick: str) -> Instrument:
    base, quote = family.split("-")
    return Instrument(
        id=family,
        base=base,
        quote=quote,
        settle=quote,
        kind="spot",
        tick=D(tick),
        step=D(lot),
        min_quantity=D(minimum),
        mmr=ZERO,
        max_leverage=10,
        max_quantity=D(9999999999),
    )


def standard_listing(now_ms: int) -> list[tuple[Instrument, Decimal]]:
    """Return the instruments a server lists by default, each with a first mark price."""
    quarter = next_quarter_ms(now_ms)
    return [
        (_swap("BTC-USDT", "0.01", "0.01", "0.1"), D(40000)),
        (_swap("ETH-USDT", "0.1", "0.01", "0.01"), D(2500)),
        (_swap("SOL-USDT", "1", "0.01", "0.01", "0.01"), D(100)),
        (_swap("DOGE-USDT", "1000", "0.01", "0.00001", "0.02"), D("0.1")),
        (_swap("BTC-USD", "100", "1", "0.1"), D(40000)),
        (_swap("ETH-USD", "10", "1", "0.01"), D(2500)),
        (_future("BTC-USDT", "0.01", "0.01", "0.1", quarter), D(40200)),
        (_future("BTC-USD", "100", "1", "0.1", quarter), D(40200)),
        (_spot("BTC-USDT", "0.00000001", "0.00001", "0.1"), D(40000)),
        (_spot("ETH-USDT", "0.000001", "0.0001", "0.01"), D(2500)),
        (_spot("SOL-USDT", "0.000001", "0.01", "0.01"), D(100)),
        (_spot("DOGE-USDT", "0.000001", "10", "0.00001"), D("0.1")),
        (_spot("USDC-USDT", "0.000001", "1", "0.0001"), D(1)),
    ]


def kind_of(instrument: Instrument) -> str:
    """Return the venue's instType: SPOT, SWAP or FUTURES."""
    if instrument.kind == "spot":
        return "SPOT"
    return "SWAP" if instrument.expiry_ms is None else "FUTURES"


def family_of(instrument: Instrument) -> str:
    """Return the underlying, such as BTC-USDT; also the id of the index."""
    return f"{instrument.base}-{instrument.quote}"


def to_contracts(instrument: Instrument, quantity: Decimal) -> Decimal:
    """Turn a ledger quantity into the venue's unit: contracts, or base currency for spot."""
    return quantity / instrument.contract_size if instrument.kind == "linear" else quantity


def to_quantity(instrument: Instrument, size: Decimal) -> Decimal:
    """Turn the venue's size into a ledger quantity."""
    return size * instrument.contract_size if instrument.kind == "linear" else size


def size_text(instrument: Instrument, quantity: Decimal) -> str:
    """Return a ledger quantity as the venue writes it."""
    return num(to_contracts(instrument, quantity))


def instrument_row(instrument: Instrument, code: int) -> dict[str, Any]:
    """Return one row of GET public/instruments; `code` becomes instIdCode."""
    spot = instrument.kind == "spot"
    family = "" if spot else family_of(instrument)
    contract = num(instrument.contract_size)
    largest = size_text(instrument, instrument.max_quantity)
    return {
        "alias": "" if instrument.expiry_ms is None else "quarter",
        "auctionEndTime": "",
        "baseCcy": instrument.base if spot else "",
        "category": "1",
        "contTdSwTime": LISTED_MS,
        "ctMult": "" if spot else "1",
        "ctType": "" if spot else instrument.kind,
        "ctVal": "" if spot else contract,
        "ctValCcy": "" if spot else _value_currency(instrument),
        "expTime": "" if instrument.expiry_ms is None else str(instrument.expiry_ms),
        "futureSettlement": False,
        "instFamily": family,
        "instId": instrument.id,
        "instIdCode": code,
        "instType": kind_of(instrument),
        "lever": str(instrument.max_leverage),
        "listTime": LISTED_MS,
        "lotSz": size_text(instrument, instrument.step),
        "maxIcebergSz": "100000000",
        "maxLmtAmt": "20000000",
        "maxLmtSz": "100000000" if not spot else "9999999999",
        "maxMktAmt": "1000000" if spot else "",
        "maxMktSz": "1000000" if spot else largest,
        "maxStopSz": "1000000" if spot else largest,
        "maxTriggerSz": "100000000",
        "maxTwapSz": "100000000",
        "minSz": size_text(instrument, instrument.min_quantity),
        "openType": "",
        "optType": "",
        "quoteCcy": instrument.quote if spot else "",
        "ruleType": "normal",
        "settleCcy": "" if spot else instrument.settle,
        "state": "live",
        "stk": "",
        "tickSz": num(instrument.tick),
        "tradeQuoteCcyList": [instrument.quote] if spot else [],
        "uly": family,
    }


def _value_currency(instrument: Instrument) -> str:
    return instrument.quote if instrument.kind == "inverse" else instrument.base
