"""Binance USD-M account endpoints: balances, positions, income, own trades.

Each handler takes a `Call` and returns the JSON document, or raises ApiError or VenueError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.servers import binance_rows as rows
from tests.servers.binance_errors import ApiError, missing
from tests.servers.binance_market import MARGIN_ASSETS, MarketData, needed_symbol
from tests.servers.binance_rows import Row, fix
from tests.servers.faults import Faults
from tests.servers.ledger import Ledger, Market, Position
from tests.servers.ledger_types import ZERO

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS


def default_rights() -> Row:
    """Return the rights of a trading key with an IP list, as apiRestrictions words them."""
    return {
        "ipRestrict": True,
        "createTime": 1698645219000,
        "enableReading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": True,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": False,
    }


@dataclass(slots=True)
class Account:
    """What a key has besides its ledger.

    Attributes:
        rights: the apiRestrictions document; enableFutures and enableReading are enforced.
        listen_key: the live listen key, empty when there is none.
        countdowns: symbol -> server time at which its orders are cancelled.
        locked: apiTradingStatus indicators, symbol -> list of rows.
    """

    key: str
    ledger: Ledger
    rights: Row = field(default_factory=default_rights)
    listen_key: str = ""
    listen_key_expires_ms: int = 0
    countdowns: dict[str, int] = field(default_factory=dict)
    margin_types: dict[str, str] = field(default_factory=dict)
    locked: dict[str, list[Row]] = field(default_factory=dict)
    margin_called: bool = False


@dataclass(slots=True)
class Call:
    """One authenticated request, ready for its handler."""

    account: Account
    data: MarketData
    faults: Faults
    params: dict[str, Any]

    @property
    def ledger(self) -> Ledger:
        """The account's ledger."""
        return self.account.ledger

    @property
    def market(self) -> Market:
        """The venue's market."""
        return self.data.market

    def number(self, name: str) -> Decimal | None:
        """Return a decimal parameter, None when absent; ApiError -1102 when malformed."""
        text = self.params.get(name)
        if text in (None, ""):
            return None
        try:
            value = Decimal(str(text))
        except InvalidOperation:
            raise missing(name) from None
        if not value.is_finite():
            raise missing(name)
        return value

    def integer(self, name: str, default: int | None = None) -> int | None:
        """Return an integer parameter."""
        value = self.number(name)
        return default if value is None else int(value)

    def flag(self, name: str) -> bool:
        """Return a true/false parameter, False when absent."""
        return str(self.params.get(name, "false")).lower() == "true"

    def symbol(self) -> str:
        """Return the mandatory symbol; ApiError when absent or unknown."""
        return needed_symbol(self.market, self.params)

    def within(self, times: Sequence[tuple[int, Any]], limit: int, span_ms: int) -> list[Any]:
        """Return rows of (time, row) inside startTime and endTime, at most limit.

        With startTime the oldest ones come, without the newest; both in order of time.
        """
        start, end = self.integer("startTime"), self.integer("endTime")
        if start is not None and end is not None and end - start > span_ms:
            raise ApiError(-4165, "Invalid time interval.")
        if start is not None and end is None:
            end = start + span_ms
        low = start if start is not None else (end or self.market.now_ms()) - span_ms
        high = end if end is not None else 2**62
        found = [row for time, row in times if low <= time <= high]
        return found[:limit] if start is not None else found[-limit:]


def positions(call: Call, version: int, *, every: bool) -> list[Position]:
    """Return positions in the order the venue lists them, wrong ones where a fault says so."""
    ledger = call.ledger
    sides = ("long", "short") if ledger.hedge_mode else ("both",)
    wanted = call.params.get("symbol")
    if wanted and wanted not in call.market.instruments:
        raise ApiError(-1121)
    busy = {order.instrument for order in ledger.open_orders()}
    found: list[Position] = []
    for name in call.market.instruments:
        if wanted not in (None, "", name):
            continue
        held = [ledger.positions.get((name, side)) for side in sides]
        live = any(p is not None and p.quantity for p in held)
        for side, position in zip(sides, held, strict=True):
            shown = ledger.hedge_mode or (position is not None and position.quantity)
            if every or (live and shown) or name in busy:
                found.append(position or Position(name, side))  # type: ignore[arg-type]
    return _spoil_positions(call, found, version)


def _spoil_positions(call: Call, found: list[Position], version: int) -> list[Position]:
    context = {"api_key": call.account.key, "version": version}
    cut = call.faults.take("positions_cut", **context)
    if cut is not None:
        return found[: int(cut.params.get("keep", 1))]
    stale = call.faults.take("positions_stale", **context)
    if stale is not None:
        kept: list[Position] = stale.params.setdefault(
            "snapshot", [dataclasses.replace(position) for position in found]
        )
        return kept
    return found


def position_risk(version: int) -> Callable[[Call], list[Row]]:
    """Return the handler of /fapi/v2 or /fapi/v3 positionRisk."""

    def handler(call: Call) -> list[Row]:
        listed = positions(call, version, every=version == 2)
        return [rows.position_risk(call.ledger, position, version) for position in listed]

    return handler


def assets_of(ledger: Ledger) -> list[str]:
    """Return the assets the account endpoints list."""
    return list(dict.fromkeys([*MARGIN_ASSETS, *ledger.assets()]))


def _asset_updated_ms(ledger: Ledger, asset: str) -> int:
    # Zero says that the account never had the asset.
    for row in reversed(ledger.transfers):
        if row.asset == asset:
            return row.time_ms
    return 1_700_000_000_000 if asset in ledger.assets() else 0


def balance(version: int) -> Callable[[Call], list[Row]]:
    """Return the handler of /fapi/v2 or /fapi/v3 balance; both have the same fields."""
    del version

    def row(ledger: Ledger, asset: str) -> Row:
        wallet = ledger.balances.get(asset, ZERO)
        available = ledger.available(asset)
        return {
            "accountAlias": "SgsR",
            "asset": asset,
            "balance": fix(wallet),
            "crossWalletBalance": fix(wallet),
            "crossUnPnl": fix(ledger.unrealized(asset)),
            "availableBalance": fix(available),
            "maxWithdrawAmount": fix(max(ZERO, min(wallet, available))),
            "marginAvailable": True,
            "updateTime": _asset_updated_ms(ledger, asset),
        }

    return lambda call: [row(call.ledger, asset) for asset in assets_of(call.ledger)]


def _asset_row(ledger: Ledger, asset: str, version: int) -> Row:
    wallet = ledger.balances.get(asset, ZERO)
    unrealized = ledger.unrealized(asset)
    held, ordered = ledger.positions_margin(asset), ledger.orders_margin(asset)
    available = ledger.available(asset)
    row: Row = {
        "asset": asset,
        "walletBalance": fix(wallet),
        "unrealizedProfit": fix(unrealized),
        "marginBalance": fix(wallet + unrealized),
        "maintMargin": fix(ledger.maintenance(asset)),
        "initialMargin": fix(held + ordered),
        "positionInitialMargin": fix(held),
        "openOrderInitialMargin": fix(ordered),
        "crossWalletBalance": fix(wallet),
        "crossUnPnl": fix(unrealized),
        "availableBalance": fix(available),
        "maxWithdrawAmount": fix(max(ZERO, min(wallet, available))),
        "updateTime": _asset_updated_ms(ledger, asset),
    }
    return row if version == 3 else row | {"marginAvailable": True}


def _totals(ledger: Ledger) -> Row:
    # Single-asset mode counts USDT only; multi-assets mode everything in USD.
    counted = assets_of(ledger) if ledger.multi_asset else ["USDT"]

    def total(measure: Callable[[str], Decimal]) -> Decimal:
        rate = ledger.market.asset_price if ledger.multi_asset else (lambda _: Decimal(1))
        return sum((measure(asset) * rate(asset) for asset in counted), ZERO)

    wallet = total(lambda asset: ledger.balances.get(asset, ZERO))
    unrealized = total(ledger.unrealized)
    held, ordered = total(ledger.positions_margin), total(ledger.orders_margin)
    if ledger.multi_asset:
        available = max(ZERO, ledger.collateral_usd() - ledger.initial_usd())
    else:
        available = ledger.available("USDT")
    return {
        "totalInitialMargin": fix(held + ordered),
        "totalMaintMargin": fix(total(ledger.maintenance)),
        "totalWalletBalance": fix(wallet),
        "totalUnrealizedProfit": fix(unrealized),
        "totalMarginBalance": fix(wallet + unrealized),
        "totalPositionInitialMargin": fix(held),
        "totalOpenOrderInitialMargin": fix(ordered),
        "totalCrossWalletBalance": fix(wallet),
        "totalCrossUnPnl": fix(unrealized),
        "availableBalance": fix(available),
        "maxWithdrawAmount": fix(max(ZERO, min(wallet, available))),
    }


def account(version: int) -> Callable[[Call], Row]:
    """Return the handler of /fapi/v2 or /fapi/v3 account."""

    def handler(call: Call) -> Row:
        ledger = call.ledger
        listed = positions(call, version, every=version == 2)
        document = _totals(ledger) | {
            "assets": [_asset_row(ledger, asset, version) for asset in assets_of(ledger)],
            "positions": [rows.account_position(ledger, p, version) for p in listed],
        }
        return document if version == 3 else config_of(call) | document

    return handler


def config_of(call: Call) -> Row:
    """Return the account's flags, as account v2 and accountConfig give them."""
    return {
        "feeTier": 0,
        "feeBurn": True,
        "canTrade": not call.ledger.is_read_only,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": call.ledger.multi_asset,
        "tradeGroupId": -1,
    }


def income(call: Call) -> list[Row]:
    """Return /fapi/v1/income, oldest first."""
    wanted, symbol = call.params.get("incomeType"), call.params.get("symbol")
    found = []
    for transfer in call.ledger.transfers:
        row = rows.income_row(transfer)
        if wanted in (None, "", row["incomeType"]) and symbol in (None, "", row["symbol"]):
            found.append((transfer.time_ms, row))
    limit = min(call.integer("limit", 100) or 100, 1000)
    page = call.integer("page", 1) or 1
    if page == 1:
        return call.within(found, limit, 90 * DAY_MS)
    return call.within(found, limit * page, 90 * DAY_MS)[limit * (page - 1) :]


def user_trades(call: Call) -> list[Row]:
    """Return /fapi/v1/userTrades of one symbol, oldest first."""
    name, first = call.symbol(), call.integer("fromId")
    order_id = call.integer("orderId")
    limit = min(call.integer("limit", 500) or 500, 1000)
    fills = [f for f in call.ledger.fills if f.instrument == name]
    if order_id is not None:
        fills = [f for f in fills if int(f.order_id) == order_id]
    if first is not None:
        fills = [f for f in fills if int(f.id) >= first]
        return [rows.trade_row(call.ledger, f) for f in fills[:limit]]
    timed = [(f.time_ms, rows.trade_row(call.ledger, f)) for f in fills]
    return call.within(timed, limit, WEEK_MS)
