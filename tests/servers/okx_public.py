"""Public REST endpoints of OKX: time, instruments, prices, books.

Each handler takes the venue and the request's parameters and returns the rows of `data`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from tests.servers.days import DAY_MS, Day, days_of
from tests.servers.ledger_types import Instrument
from tests.servers.okx_catalog import family_of, kind_of, num, to_contracts
from tests.servers.okx_errors import OkxError
from tests.servers.okx_rows import Row
from tests.servers.okx_venue import OkxVenue

Handler = Callable[[OkxVenue, Row], list[Row]]

TYPES: Final = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"})
DEPTH: Final = Decimal(1000)


def chosen(venue: OkxVenue, params: Row, *, needs_type: bool) -> list[Instrument]:
    """Return the instruments a request selects by instType, instFamily, uly and instId."""
    kind = str(params.get("instType") or "")
    if needs_type and kind not in TYPES:
        raise OkxError("51000" if kind else "50014", "instType")
    family = params.get("instFamily") or params.get("uly")
    name = params.get("instId")
    if name and name not in venue.market.instruments:
        raise OkxError("51001")
    return [
        instrument
        for instrument in venue.market.instruments.values()
        if kind in {"", "ANY", kind_of(instrument)}
        and family in {None, "", family_of(instrument)}
        and name in {None, "", instrument.id}
    ]


def time_(venue: OkxVenue, params: Row) -> list[Row]:
    """GET public/time."""
    return [{"ts": str(venue.now_ms())}]


def status(venue: OkxVenue, params: Row) -> list[Row]:
    """GET system/status: one ongoing event while the venue is in maintenance, else nothing."""
    if venue.market.phase != "maintenance":
        return []
    now = venue.now_ms()
    return [
        {
            "begin": str(now - 60_000),
            "end": str(now + 600_000),
            "env": "1",
            "href": "",
            "maintType": "1",
            "preOpenBegin": "",
            "scheDesc": "",
            "serviceType": "5",
            "state": "ongoing",
            "system": "unified",
            "title": "Trading system upgrade",
        }
    ]


def instruments(venue: OkxVenue, params: Row) -> list[Row]:
    """GET public/instruments and account/instruments."""
    wanted = {instrument.id for instrument in chosen(venue, params, needs_type=True)}
    return [row for instrument, row in venue.listing() if instrument.id in wanted]


def mark_prices(venue: OkxVenue, params: Row) -> list[Row]:
    """GET public/mark-price; a named instrument needs no type."""
    is_named = bool(params.get("instId"))
    kind = "SPOT" if params.get("instType") == "MARGIN" else params.get("instType")
    wanted = chosen(venue, params | {"instType": kind}, needs_type=not is_named)
    return [mark_row(venue, i) for i in wanted]


def mark_row(venue: OkxVenue, instrument: Instrument) -> Row:
    """Return one row of public/mark-price and of the mark-price channel."""
    return {
        "instId": instrument.id,
        # Spot pairs have a mark price as margin instruments.
        "instType": "MARGIN" if instrument.kind == "spot" else kind_of(instrument),
        "markPx": num(venue.market.marks[instrument.id]),
        "ts": str(venue.now_ms()),
    }


def ticker(venue: OkxVenue, params: Row) -> list[Row]:
    """GET market/ticker."""
    if not params.get("instId"):
        raise OkxError("50014", "instId")
    return [ticker_row(venue, i) for i in chosen(venue, params, needs_type=False)]


def tickers(venue: OkxVenue, params: Row) -> list[Row]:
    """GET market/tickers."""
    return [ticker_row(venue, i) for i in chosen(venue, params, needs_type=True)]


def touch_size(venue: OkxVenue, instrument: Instrument) -> str:
    """Return the size standing at the best price, in contracts."""
    left = venue.market.touch_quantity.get(instrument.id)
    return num(to_contracts(instrument, left) if left is not None else DEPTH)


def ticker_row(venue: OkxVenue, instrument: Instrument) -> Row:
    """Return one row of market/ticker and of the tickers channel."""
    market = venue.market
    last = num(market.lasts[instrument.id])
    size = touch_size(venue, instrument)
    return {
        "askPx": num(market.asks[instrument.id]),
        "askSz": size,
        "bidPx": num(market.bids[instrument.id]),
        "bidSz": size,
        "high24h": last,
        "instId": instrument.id,
        "instType": kind_of(instrument),
        "last": last,
        "lastSz": "1",
        "low24h": last,
        "open24h": last,
        "sodUtc0": last,
        "sodUtc8": last,
        "ts": str(venue.now_ms()),
        "vol24h": "100000",
        "volCcy24h": "1000",
    }


def index_tickers(venue: OkxVenue, params: Row) -> list[Row]:
    """GET market/index-tickers, by quoteCcy or instId of the index."""
    name, quote = params.get("instId"), params.get("quoteCcy")
    if not name and not quote:
        raise OkxError("50015", "quoteCcy, instId")
    rows = {
        family_of(i): index_row(venue, i)
        for i in venue.market.instruments.values()
        if name in {None, "", family_of(i)} and quote in {None, "", i.quote}
    }
    if name and not rows:
        raise OkxError("51001")
    return list(rows.values())


def index_row(venue: OkxVenue, instrument: Instrument) -> Row:
    """Return one row of market/index-tickers and of the index-tickers channel."""
    price = num(venue.market.indexes[instrument.id])
    names = ("high24h", "idxPx", "low24h", "open24h", "sodUtc0", "sodUtc8")
    return dict.fromkeys(names, price) | {
        "instId": family_of(instrument),
        "ts": str(venue.now_ms()),
    }


def levels(venue: OkxVenue, instrument: Instrument, depth: int) -> tuple[list[Row], list[Row]]:
    """Return asks and bids, best first: `[price, size, "0", orders]` one tick apart."""
    market = venue.market
    size = touch_size(venue, instrument)

    def rows(best: Decimal, step: Decimal) -> list[Row]:
        prices = [best + step * n for n in range(depth) if best + step * n > 0]
        return [[num(price), size, "0", "1"] for price in prices]  # type: ignore[misc]

    asks = rows(market.asks[instrument.id], instrument.tick)
    return asks, rows(market.bids[instrument.id], -instrument.tick)


def books(venue: OkxVenue, params: Row) -> list[Row]:
    """GET market/books."""
    if not params.get("instId"):
        raise OkxError("50014", "instId")
    instrument = chosen(venue, {"instId": params["instId"]}, needs_type=False)[0]
    depth = min(int(params.get("sz") or 1), 400)
    asks, bids = levels(venue, instrument, min(depth, 50))
    return [{"asks": asks, "bids": bids, "ts": str(venue.now_ms())}]


def trades(venue: OkxVenue, params: Row) -> list[Row]:
    """GET market/trades: the last price as one trade."""
    instrument = chosen(venue, {"instId": params.get("instId")}, needs_type=False)[0]
    return [
        {
            "instId": instrument.id,
            "px": num(venue.market.lasts[instrument.id]),
            "side": "buy",
            "source": "0",
            "sz": "1",
            "tradeId": "1",
            "ts": str(venue.now_ms()),
        }
    ]


def funding_rate(venue: OkxVenue, params: Row) -> list[Row]:
    """GET public/funding-rate; instId ANY returns all swaps."""
    if not params.get("instId"):
        raise OkxError("50014", "instId")
    name = {} if params["instId"] == "ANY" else {"instId": params["instId"]}
    period = 8 * 3600 * 1000
    start = venue.now_ms() // period * period + period
    return [
        {
            "formulaType": "noRate",
            "fundingRate": num(venue.market.funding_rates.get(i.id, Decimal("0.0001"))),
            "fundingTime": str(start),
            "impactValue": "",
            "instId": i.id,
            "instType": "SWAP",
            "interestRate": "",
            "maxFundingRate": "0.00375",
            "method": "current_period",
            "minFundingRate": "-0.00375",
            "nextFundingRate": "",
            "nextFundingTime": str(start + period),
            "premium": "0",
            "settFundingRate": "0.0001",
            "settState": "settled",
            "ts": str(venue.now_ms()),
        }
        for i in chosen(venue, {"instType": "SWAP"} | name, needs_type=False)
    ]


def position_tiers(venue: OkxVenue, params: Row) -> list[Row]:
    """GET public/position-tiers: a single tier, with the ledger's maintenance rate."""
    if params.get("tdMode") not in {"cross", "isolated"}:
        raise OkxError("51000", "tdMode")
    family = params.get("instFamily") or params.get("uly")
    rows: dict[str, Row] = {}
    for instrument in chosen(venue, params | {"instId": None}, needs_type=True):
        rows[family_of(instrument)] = {
            "baseMaxLoan": "",
            "imr": num(Decimal(1) / instrument.max_leverage),
            "instFamily": family or family_of(instrument),
            "instId": params.get("instId") or "",
            "maxLever": str(instrument.max_leverage),
            "maxSz": num(to_contracts(instrument, instrument.max_quantity)),
            "minSz": "0",
            "mmr": num(instrument.mmr),
            "optMgnFactor": "0",
            "quoteMaxLoan": "",
            "tier": "1",
            "uly": family_of(instrument),
        }
    return list(rows.values())


def _candles(venue: OkxVenue, params: Row, most: int) -> list[Row]:
    """Return daily candles newest first, between `before` and `after`, both excluded."""
    if not params.get("instId"):
        raise OkxError("50014", "instId")
    instrument = chosen(venue, {"instId": params["instId"]}, needs_type=False)[0]
    if params.get("bar") != "1Dutc":
        # Others are not needed; a day of the venue's own begins at 16:00 UTC.
        raise OkxError("51000", "bar")
    today = venue.now_ms() // DAY_MS
    after = int(params.get("after") or venue.now_ms() + 1)
    before = int(params.get("before") or -1)
    found = days_of(venue.market, instrument.id)
    wanted = [d for d in sorted(found, reverse=True) if before < d * DAY_MS < after]
    limit = min(int(params.get("limit") or 100), 300)
    return [
        candle_row(instrument, day, found[day], is_over=day < today)
        for day in [day for day in wanted if day > today - most][:limit]
    ]


def candle_row(instrument: Instrument, day: int, row: Day, *, is_over: bool) -> Row:
    """Return one daily candle: time, four prices, volume in contracts, in coins, in quote, state.

    For spot the second volume is in quote units.
    """
    prices = [num(price) for price in (row.open, row.high, row.low, row.close)]
    is_spot = instrument.kind == "spot"
    traded = row.turnover if instrument.kind == "inverse" else row.volume
    volumes = [
        num(row.volume if is_spot else traded / instrument.contract_size),
        num(row.turnover if is_spot else row.volume),
        num(row.turnover),
    ]
    return [str(day * DAY_MS), *prices, *volumes, "1" if is_over else "0"]  # type: ignore[return-value]


def candles(venue: OkxVenue, params: Row) -> list[Row]:
    """GET market/candles: the newest 1,440."""
    return _candles(venue, params, 1_440)


def history_candles(venue: OkxVenue, params: Row) -> list[Row]:
    """GET market/history-candles: all there are."""
    return _candles(venue, params, 100_000)


HANDLERS: Final[dict[str, tuple[Handler, int, float]]] = {
    # path: handler, calls, seconds (the documented limit per IP)
    "public/time": (time_, 10, 2),
    "public/instruments": (instruments, 20, 2),
    "public/mark-price": (mark_prices, 10, 2),
    "public/funding-rate": (funding_rate, 10, 2),
    "public/position-tiers": (position_tiers, 10, 2),
    "market/ticker": (ticker, 20, 2),
    "market/tickers": (tickers, 20, 2),
    "market/books": (books, 40, 2),
    "market/trades": (trades, 100, 2),
    "market/candles": (candles, 40, 2),
    "market/history-candles": (history_candles, 20, 2),
    "market/index-tickers": (index_tickers, 20, 2),
    "system/status": (status, 1, 5),
}
