"""What an account's `ccxt:` mapping may say when its exchange is `paper`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from riskbot.core.model import InstrumentKind, OrderType, PositionSide, Side
from riskbot.errors import ConfigError
from riskbot.exchanges.paper.order import Request
from riskbot.exchanges.paper.terms import Depth, Listing, default_listing, parse_symbol


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) else value


def _as_ms(value: object) -> object:
    """Take `2022-01-20 15:00` (UTC) as YAML reads it: text, date or datetime."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        at = value if value.tzinfo else value.replace(tzinfo=UTC)
        return int(at.timestamp() * 1000)
    return value


Number = Annotated[Decimal, BeforeValidator(_as_text), Field(allow_inf_nan=False)]
Moment = Annotated[int, BeforeValidator(_as_ms)]
DEMO = "demo"
MARKETS = ("spot", "linear", "inverse")


class RestingOrder(BaseModel):
    """An order that rests at the venue from the start, as somebody else's would."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    side: Literal["buy", "sell"]
    quantity: Number = Decimal(0)
    price: Number | None = None
    stop_price: Number | None = None
    reduce_only: bool = False
    close_position: bool = False
    position_side: Literal["net", "long", "short"] = "net"

    def request(self) -> Request:
        """Return it as the venue takes it."""
        return Request(
            symbol=self.symbol,
            side=Side(self.side),
            quantity=self.quantity,
            type=OrderType.MARKET if self.price is None else OrderType.LIMIT,
            price=self.price,
            stop_price=self.stop_price,
            reduce_only=self.reduce_only,
            close_position=self.close_position,
            position_side=PositionSide(self.position_side),
        )


class PaperSettings(BaseModel):
    """Settings of one paper account.

    Attributes:
        balance: asset units at the start.
        prices: `demo` = the real January of 2022, a price file, or fixed prices by symbol.
        start: where in the path it starts, UTC; None = at its beginning.
        speed: minutes of the path that pass in one minute of riskbot's clock.
        follow_clock: the path's own timestamps are riskbot's time; `speed` and `start` are idle.
        symbols: what is listed; empty = all the path has prices of.
        positions: signed quantity held at the start, by symbol (hedge mode: the sign says which
            leg).
        latency_ms: until a request is answered.
        heartbeat_ms: a feed without news repeats itself this often.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    balance: dict[str, Number] = Field(default_factory=lambda: {"USDT": Decimal(100_000)})
    prices: str | dict[str, Number] = DEMO
    start: Moment | None = None
    speed: float = Field(1.0, gt=0)
    follow_clock: bool = False
    symbols: list[str] = Field(default_factory=list)
    positions: dict[str, Number] = Field(default_factory=dict)
    orders: list[RestingOrder] = Field(default_factory=list)
    hedge_mode: bool = False
    leverage: int = Field(10, ge=1, le=100)
    latency_ms: int = Field(5, ge=0)
    heartbeat_ms: int = Field(1_000, ge=10)
    spread_bps: Number = Decimal(1)
    depth_usd: Number = Decimal(200_000)
    taker_fee: Number | None = None
    maker_fee: Number | None = None


def read_settings(account: str, mapping: Mapping[str, Any]) -> PaperSettings:
    """Check an account's mapping.

    Raises:
        ConfigError: every fault, with its key.
    """
    try:
        found = PaperSettings.model_validate(dict(mapping))
    except ValidationError as error:
        faults = [
            f"accounts.{account}.ccxt.{'.'.join(str(part) for part in fault['loc'])}: "
            f"{fault['msg']} (exchange: paper)"
            for fault in error.errors()
        ]
        raise ConfigError(faults) from error
    source = found.prices
    if isinstance(source, str) and source != DEMO and not Path(source).is_file():
        raise ConfigError([f"accounts.{account}.ccxt.prices: no such file: {source}"])
    return found


def wanted_kinds(markets: Iterable[str]) -> frozenset[InstrumentKind]:
    """Return the kinds an account's `markets` name; all the venue has without any named."""
    named = [name for name in markets if name in MARKETS] or list(MARKETS)
    return frozenset(InstrumentKind(name) for name in named)


def symbols_of(base: str) -> dict[InstrumentKind, str]:
    """Return the instruments the venue lists of one base asset."""
    return {
        InstrumentKind.SPOT: f"{base}/USDT",
        InstrumentKind.LINEAR: f"{base}/USDT:USDT",
        InstrumentKind.INVERSE: f"{base}/USD:{base}",
    }


def listing(settings: PaperSettings, symbol: str, price: float) -> Listing:
    """Return the terms of an instrument under these settings."""
    row = default_listing(symbol, Decimal(repr(price)))
    depth = Depth(half_spread_bps=settings.spread_bps / 2, level_usd=settings.depth_usd)
    row = replace(row, depth=depth, leverage=settings.leverage)
    if settings.taker_fee is not None:
        row = replace(row, taker_fee=settings.taker_fee)
    if settings.maker_fee is not None:
        row = replace(row, maker_fee=settings.maker_fee)
    return row


def base_of(symbol: str) -> str:
    """Return the base asset of a symbol."""
    return parse_symbol(symbol)[1]
