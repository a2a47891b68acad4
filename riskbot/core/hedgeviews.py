"""Read model of hedged pairs: how well they hedge, what they are priced at, what they bring.

Each formula lives elsewhere: `pairs`, `basis`, `funding`, `carry`, `rebalancing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from riskbot.core import funding, rebalancing
from riskbot.core.basis import Basis, basis
from riskbot.core.exposure import Leg, Pair
from riskbot.core.model import PORTFOLIO, PositionKey
from riskbot.core.turn import Turn

if TYPE_CHECKING:
    from riskbot.core.state import State


def hedges(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return `hedges` of `/v1/exposure`, the pair furthest from balance first.

    Amounts of funding are > 0 where it was or will be received; null = unknown.
    """
    turn = Turn(state, state.settings, now_ms)
    turn.scopes = state.scopes(now_ms)
    book = turn.scopes[PORTFOLIO]
    legs = {leg.key: leg for leg in book.legs}
    pairs = sorted(book.pairs, key=lambda pair: -(pair.drift or 0.0))
    return [_row(turn, pair, legs) for pair in pairs]


def _row(turn: Turn, pair: Pair, legs: Mapping[PositionKey, Leg]) -> dict[str, Any]:
    state, now_ms = turn.state, turn.now_ms
    assert turn.scopes is not None  # noqa: S101 - the caller set them
    held = [legs[key] for key in pair.keys if key in legs]
    priced = basis(pair, legs, now_ms) or Basis(None)
    booked_usd, since_ms = booked(state, pair, legs)
    order = rebalancing.restoring(turn, pair, turn.scopes[PORTFOLIO], legs)
    return {
        "name": pair.name,
        "underlying": pair.underlying,
        "delta_usd": pair.hedged_delta_usd,
        "hedge_delta_usd": pair.hedge_delta_usd,
        "ratio": pair.ratio,
        "drift": pair.drift,
        "basis": priced.share,
        "basis_annual": priced.annual,
        "basis_days": priced.days,
        "funding_24h_usd": funding.projected_in_all_usd(state.meter.marks, held, now_ms),
        "funding_booked_usd": booked_usd,
        "booked_since_ms": since_ms,
        "legs": [*_legs(pair.hedged, legs, "hedged"), *_legs(pair.hedge, legs, "hedge")],
        "rebalance": None if order is None else _order(order),
    }


def _legs(
    keys: Iterable[PositionKey], legs: Mapping[PositionKey, Leg], role: str
) -> list[dict[str, Any]]:
    return [
        {
            "account": key.account,
            "instrument": key.symbol,
            "role": role,
            "delta_usd": legs[key].delta_usd,
            "mark": legs[key].mark_usd,
        }
        for key in keys
        if key in legs
    ]


def _order(order: rebalancing.Rebalance) -> dict[str, Any]:
    return {
        "account": order.key.account,
        "instrument": order.key.symbol,
        "position_side": order.key.side.value,
        "side": order.side.value,
        "quantity": f"{order.quantity.normalize():f}",
        "usd": order.usd,
        "reduce_only": order.is_exit,
        "text": rebalancing.words(order),
    }


def booked(
    state: State, pair: Pair, legs: Mapping[PositionKey, Leg]
) -> tuple[float | None, int | None]:
    """Return the funding booked on a pair since both its sides stood, USD, and since when.

    Valued at present prices, > 0 = received. None where a venue's ledger never said which
    instrument funding was for, or a side was not seen yet.
    """
    sides = [[_held(state, legs[key]) for key in keys if key in legs]
             for keys in (pair.hedged, pair.hedge)]  # fmt: skip
    known = [[held for held in side if held is not None] for side in sides]
    if not all(known):
        return None, None
    since_ms = max(min(held.began_ms for held in side) for side in known)
    total, whole_ms = 0.0, since_ms
    for key in pair.keys:
        leg = legs.get(key)
        if leg is None or not funding.is_perpetual(leg.instrument):
            continue
        held = _held(state, leg)
        if held is None or key.account not in state.meter.carry.telling:
            return None, since_ms
        sums, from_ms = held.booked(since_ms)
        whole_ms = max(whole_ms, from_ms)
        for asset, amount in sums.items():
            price = state.meter.book.view.asset(key.account, asset)
            if price is None:
                return None, since_ms
            total += amount * price.value
    return total, whole_ms


def _held(state: State, leg: Leg) -> Any:
    return state.meter.carry.of(leg.key, is_coin=leg.is_spot)
