"""Builders of core objects: every field defaulted, keyword overrides."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import (
    Balance,
    Instrument,
    InstrumentKind,
    OrderType,
    Position,
    PositionSide,
    Side,
    WorkingOrder,
)
from riskbot.core.settings import AccountSettings, CoreSettings

ACCOUNT = "main"
BTC_PERP = "BTC/USDT:USDT"
ETH_PERP = "ETH/USDT:USDT"
BTC_INVERSE = "BTC/USD:BTC"
BTC_SPOT = "BTC/USDT"
T0 = 1_700_000_000_000
"""A moment, UTC ms: 2023-11-14 22:13:20."""

Number = Decimal | float | int | str


def dec(value: Number) -> Decimal:
    """Write a number as a decimal the way people write it: 0.1 is 0.1."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def maybe(value: Number | None) -> Decimal | None:
    return None if value is None else dec(value)


def kind_of(symbol: str) -> InstrumentKind:
    base, _, rest = symbol.partition("/")
    settle = rest.partition(":")[2]
    if not settle:
        return InstrumentKind.SPOT
    if settle.endswith(("-C", "-P")):
        return InstrumentKind.OPTION
    return InstrumentKind.INVERSE if settle.split("-")[0] == base else InstrumentKind.LINEAR


def instrument(symbol: str = BTC_PERP, *, account: str = ACCOUNT, **fields: Any) -> Instrument:
    """Build an instrument; underlying, quote, settle and kind are read off the symbol."""
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    values: dict[str, Any] = {
        "account": account,
        "symbol": symbol,
        "underlying": base,
        "quote": quote,
        "settle": settle.split("-")[0] or quote,
        "kind": kind_of(symbol),
        "contract_value": 1,
        "tick": "0.01",
        "step": "0.001",
        "min_quantity": "0.001",
        **fields,
    }
    numbers = ("contract_value", "tick", "step", "min_quantity", "min_notional")
    numbers += ("max_market_quantity", "underlying_per_base")
    values |= {name: maybe(values[name]) for name in numbers if name in values}
    return Instrument(**values)


def position(
    symbol: str = BTC_PERP,
    quantity: Number = 1,
    entry: Number | None = 50_000,
    *,
    account: str = ACCOUNT,
    side: PositionSide = PositionSide.NET,
    **fields: Any,
) -> Position:
    """Build a position; quantity is signed, face value for an inverse instrument."""
    numbers = ("venue_mark", "unrealized_pnl", "liquidation_price", "maintenance_margin")
    numbers += ("initial_margin", "isolated_margin", "locked")
    values = {k: maybe(v) if k in numbers else v for k, v in fields.items()}
    return Position(account, symbol, side, dec(quantity), entry_price=maybe(entry), **values)


def balance(
    asset: str = "USDT",
    total: Number = 100_000,
    free: Number | None = None,
    price_usd: float | None = None,
) -> Balance:
    return Balance(asset, dec(total), maybe(free), price_usd)


def order(
    symbol: str = BTC_PERP,
    side: Side | str = Side.BUY,
    quantity: Number = 1,
    *,
    account: str = ACCOUNT,
    order_id: str = "1",
    client_order_id: str | None = None,
    type: OrderType | str = OrderType.LIMIT,
    **fields: Any,
) -> WorkingOrder:
    """Build a working order."""
    numbers = ("filled", "price", "stop_price", "average")
    values = {k: maybe(v) if k in numbers else v for k, v in fields.items()}
    return WorkingOrder(
        account,
        symbol,
        order_id,
        client_order_id,
        Side(side),
        OrderType(type),
        dec(quantity),
        **values,
    )


def snapshot(
    *positions: Position,
    account: str = ACCOUNT,
    usdt: Number | None = 100_000,
    balances: tuple[Balance, ...] = (),
    orders: tuple[WorkingOrder, ...] | None = (),
    as_of_ms: int = T0,
    **fields: Any,
) -> events.AccountSnapshotReceived:
    """Build a complete read; `usdt` is the wallet balance, None = no USDT at all."""
    cash = (balance("USDT", usdt),) if usdt is not None else ()
    return events.AccountSnapshotReceived(
        account=account,
        as_of_ms=as_of_ms,
        balances=cash + balances,
        positions=positions,
        orders=orders,
        **fields,
    )


def prices(
    symbol: str = BTC_PERP, mark: float | None = None, *, account: str = ACCOUNT, **fields: Any
) -> events.PricesUpdated:
    """Build a price frame."""
    return events.PricesUpdated(account=account, symbol=symbol, mark=mark, **fields)


def fill(
    symbol: str = BTC_PERP,
    side: Side | str = Side.BUY,
    quantity: Number = 1,
    price: Number = 50_000,
    *,
    account: str = ACCOUNT,
    trade_id: str = "t1",
    order_id: str = "1",
    **fields: Any,
) -> events.OrderFilled:
    """Build a fill."""
    values = {"client_order_id": None, **fields}
    if "fee" in values:
        values["fee"] = dec(values["fee"])
    return events.OrderFilled(
        account=account,
        symbol=symbol,
        trade_id=trade_id,
        order_id=order_id,
        side=Side(side),
        quantity=dec(quantity),
        price=dec(price),
        **values,
    )


def loaded(*symbols: str | Instrument, account: str = ACCOUNT) -> events.InstrumentsLoaded:
    """Build the list of instruments, from symbols or as they are."""
    listed = tuple(instrument(s, account=account) if isinstance(s, str) else s for s in symbols)
    return events.InstrumentsLoaded(account=account, instruments=listed)


def settings(*accounts: str, **fields: Any) -> CoreSettings:
    """Build settings; accounts by name at binanceusdm, `main` if none is named."""
    known = {name: AccountSettings(exchange="binanceusdm") for name in accounts or (ACCOUNT,)}
    return CoreSettings(**{"accounts": known, **fields})


def margin_move(**fields: Any) -> actions.AddMargin:
    """Return 12.5 USDT of margin for the isolated BTC position of `main`."""
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "symbol": BTC_PERP,
        "move_id": "m1",
        "scope": f"account:{ACCOUNT}",
        "subject": f"{ACCOUNT}|{BTC_PERP}",
        "breach_since_ms": 1,
        "asset": "USDT",
        "amount": Decimal("12.50"),
        "amount_usd": 12.5,
        "margin_before": Decimal(1),
        "pnl_before": Decimal(0),
    }
    return actions.AddMargin(**(values | fields))
