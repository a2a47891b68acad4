"""Hedged pairs: opposite positions of one underlying, across all accounts.

The configuration may name pairs itself; everything else pairs up by underlying. What happens to a
pair when it is closed lives in `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from riskbot.core.exposure import Leg, Pair
from riskbot.core.settings import PairSettings


def find_pairs(legs: Iterable[Leg], configured: Sequence[PairSettings] = ()) -> list[Pair]:
    """Return the configured pairs that are held, then those found by underlying.

    Dust and legs without a price hedge nothing. A configured pair takes its instruments out of
    automatic pairing, held or not.

    Returns:
        Pairs with both sides, configured ones with at least one.
    """
    priced = [leg for leg in legs if leg.delta_usd is not None and leg.quantity and not leg.is_dust]
    named = {(part.account, part.instrument) for pair in configured for part in pair.legs}
    pairs = [found for pair in configured if (found := _configured(pair, priced)) is not None]
    by_underlying: dict[str, list[Leg]] = {}
    for leg in priced:
        if not _names(leg) & named:
            by_underlying.setdefault(leg.underlying, []).append(leg)
    for underlying, members in by_underlying.items():
        longs = [leg for leg in members if (leg.delta_usd or 0.0) > 0]
        shorts = [leg for leg in members if (leg.delta_usd or 0.0) < 0]
        if longs and shorts:
            # Coins are what is hedged; between derivatives the long side is.
            is_coin_short = any(leg.is_spot for leg in shorts) and not any(
                leg.is_spot for leg in longs
            )
            hedged, hedge = (shorts, longs) if is_coin_short else (longs, shorts)
            pairs.append(_pair(underlying, underlying, hedged, hedge))
    return pairs


def _names(leg: Leg) -> set[tuple[str, str]]:
    # A coin may be named by its instrument or by itself.
    account, symbol = leg.key.account, leg.key.symbol
    names = {(account, symbol)}
    return names | {(account, symbol.partition("/")[0])} if leg.is_spot else names


def _configured(pair: PairSettings, legs: Sequence[Leg]) -> Pair | None:
    first, *others = [(part.account, part.instrument) for part in pair.legs]
    hedged = [leg for leg in legs if first in _names(leg)]
    hedge = [leg for leg in legs if _names(leg) & set(others)]
    held = hedged or hedge
    if not held:
        return None
    return _pair(pair.name, held[0].underlying, hedged, hedge)


def _pair(name: str, underlying: str, hedged: Sequence[Leg], hedge: Sequence[Leg]) -> Pair:
    hedged_delta = sum(leg.delta_usd or 0.0 for leg in hedged)
    hedge_delta = sum(leg.delta_usd or 0.0 for leg in hedge)
    first = (*hedged, *hedge)[0]
    is_opposite = hedged_delta * hedge_delta < 0
    matched_usd = min(abs(hedged_delta), abs(hedge_delta)) if is_opposite else 0.0
    return Pair(
        name=name,
        underlying=underlying,
        keys=tuple(leg.key for leg in (*hedged, *hedge)),
        quantity=matched_usd / first.mark_usd if first.mark_usd else 0.0,
        hedged_delta_usd=hedged_delta,
        hedge_delta_usd=hedge_delta,
        # One leg gone while the other stands is the worst drift there is.
        drift=abs(1 + hedge_delta / hedged_delta) if hedged_delta else 1.0,
    )
