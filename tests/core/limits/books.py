"""Books to judge limits on: every field defaulted, keyword overrides."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from riskbot.core.exposure import Aggregate, Leg, Pair, ScopeBook
from riskbot.core.model import Instrument, InstrumentKind, PositionKey, PositionSide


def leg(
    symbol: str = "BTC/USDT:USDT",
    notional_usd: float | None = 10_000.0,
    *,
    account: str = "main",
    side: PositionSide = PositionSide.NET,
    sector: str = "layer1",
    groups: tuple[str, ...] = (),
    **fields: Any,
) -> Leg:
    base = symbol.partition("/")[0]
    return Leg(
        key=PositionKey(account, symbol, side),
        instrument=Instrument(
            account=account,
            symbol=symbol,
            underlying=base,
            quote="USDT",
            settle="USDT",
            kind=InstrumentKind.LINEAR,
            contract_value=Decimal(1),
            tick=Decimal("0.1"),
            step=Decimal("0.001"),
        ),
        venue="paper",
        underlying=base,
        sector=sector,
        groups=groups,
        quantity=fields.pop("quantity", 1.0),
        mark_usd=None if notional_usd is None else 10_000.0,
        notional_usd=notional_usd,
        delta_usd=notional_usd,
        **fields,
    )


def book(*legs: Leg, equity_usd: float | None = 100_000.0, **fields: Any) -> ScopeBook:
    """Sum the legs up plainly; unpriced ones only go on the list."""
    made = ScopeBook(
        scope=fields.pop("scope", "portfolio"),
        equity_usd=equity_usd,
        capital_usd=fields.pop("capital_usd", equity_usd),
        aum_usd=fields.pop("aum_usd", equity_usd),
        legs=list(legs),
    )
    for one in legs:
        if one.notional_usd is None:
            made.unpriced.append(one.key.symbol)
            continue
        made.gross_usd += abs(one.notional_usd)
        made.net_usd += one.notional_usd
        made.delta_usd += one.notional_usd
        places = [(made.underlyings, one.underlying), (made.sectors, one.sector)]
        places += [(made.groups, group) for group in one.groups]
        if one.strategy is not None:
            places.append((made.strategies, one.strategy))
        for sums, key in places:
            total = sums.setdefault(key, Aggregate())
            total.gross += abs(one.notional_usd)
            total.net += one.notional_usd
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def pair(*legs: Leg, drift: float | None = 0.0) -> Pair:
    """Pair up two legs of one underlying."""
    hedged, hedge = legs
    return Pair(
        name=f"{hedged.underlying} pair",
        underlying=hedged.underlying,
        keys=(hedged.key, hedge.key),
        quantity=1.0,
        hedged_delta_usd=hedged.notional_usd or 0.0,
        hedge_delta_usd=hedge.notional_usd or 0.0,
        drift=drift,
    )
