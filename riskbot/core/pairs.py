"""Hedged pairs: opposite positions of one underlying, across all accounts.

The configuration may name pairs itself; everything else pairs up by underlying. What happens to a
pair when it is closed lives in `plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from riskbot.core.exposure import Leg, Pair
from riskbot.core.model import InstrumentKind, PositionKey
from riskbot.core.settings import PairSettings


class Pairing:
    """The legs that may hedge each other, and the pairs they make, kept leg by leg.

    Dust and legs without a price hedge nothing. A configured pair takes its instruments out of
    automatic pairing, held or not.

    Args:
        configured: pairs that are named.
    """

    def __init__(self, configured: Sequence[PairSettings] = ()) -> None:
        self._configured = configured
        self._named = {(p.account, p.instrument) for pair in configured for p in pair.legs}
        self._legs_named: dict[PositionKey, Leg] = {}
        self._members: dict[str, dict[PositionKey, Leg]] = {}
        self._stale: dict[str, None] = {}
        self._found: dict[str, Pair] = {}

    def put(self, leg: Leg) -> None:
        """Take a leg's present figures."""
        if leg.delta_usd is None or not leg.quantity or leg.is_dust:
            self.drop(leg)
            return
        if self._named and _names(leg) & self._named:
            self._legs_named[leg.key] = leg
            return
        members = self._members.get(leg.underlying)
        if members is None:
            members = self._members[leg.underlying] = {}
        members[leg.key] = leg
        if len(members) > 1:
            self._stale[leg.underlying] = None

    def carry(self, leg: Leg) -> None:
        """Take a leg of which nothing but its price moved: what it may hedge is as before."""
        if len(self._members.get(leg.underlying, ())) > 1:
            self._stale[leg.underlying] = None

    def drop(self, leg: Leg) -> None:
        """Forget a leg that is held no more, or hedges nothing."""
        self._legs_named.pop(leg.key, None)
        members = self._members.get(leg.underlying)
        if members is not None and members.pop(leg.key, None) is not None:
            self._stale[leg.underlying] = None
            if not members:
                del self._members[leg.underlying]

    def pairs(self) -> list[Pair]:
        """Return the configured pairs that are held, then those found by underlying.

        Returns:
            Pairs with both sides, configured ones with at least one.
        """
        for underlying in self._stale:
            pair = _by_underlying(underlying, self._members.get(underlying, {}).values())
            if pair is None:
                self._found.pop(underlying, None)
            else:
                self._found[underlying] = pair
        self._stale.clear()
        named = [*self._legs_named.values()]
        held = (_configured(pair, named) for pair in self._configured)
        return [*(pair for pair in held if pair is not None), *self._found.values()]


def _by_underlying(underlying: str, members: Iterable[Leg]) -> Pair | None:
    longs = [leg for leg in members if (leg.delta_usd or 0.0) > 0]
    shorts = [leg for leg in members if (leg.delta_usd or 0.0) < 0]
    if not longs or not shorts:
        return None
    # Coins are what is hedged; between derivatives the long side is.
    is_coin_short = any(leg.is_spot for leg in shorts) and not any(leg.is_spot for leg in longs)
    hedged, hedge = (shorts, longs) if is_coin_short else (longs, shorts)
    return _pair(underlying, underlying, hedged, hedge)


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
    keys = [tuple(leg.key for leg in side) for side in (hedged, hedge)]
    pair = Pair(
        name=name,
        underlying=underlying,
        keys=(*keys[0], *keys[1]),
        quantity=0.0,
        hedged_delta_usd=hedged_delta,
        hedge_delta_usd=hedge_delta,
        # One leg gone while the other stands is the worst drift there is.
        drift=abs(1 + hedge_delta / hedged_delta) if hedged_delta else 1.0,
        hedged=keys[0],
        hedge=keys[1],
    )
    # What an option costs is no price of its underlying.
    priced = (leg.mark_usd for leg in (*hedged, *hedge) if not is_option(leg))
    price = next(priced, None)
    pair.quantity = pair.matched_usd / price if price else 0.0
    return pair


def is_option(leg: Leg) -> bool:
    """Whether a leg counts by its delta rather than by its quantity."""
    return leg.instrument.kind is InstrumentKind.OPTION


def sides(pair: Pair, legs: Mapping[PositionKey, Leg]) -> tuple[list[Leg], list[Leg]]:
    """Return the legs of a pair that gain when the underlying rises, and those that lose."""
    found = [legs[key] for key in pair.keys if key in legs]
    longs = [leg for leg in found if _direction(leg) > 0]
    return longs, [leg for leg in found if _direction(leg) < 0]


def _direction(leg: Leg) -> float:
    return (leg.delta_usd or 0.0) if is_option(leg) else leg.quantity
