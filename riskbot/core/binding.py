"""What binds an order as far as only the configuration says: found once, looked up by each order.

What the limits and rules make of an order is decided in `pretrade`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from riskbot.core import lines
from riskbot.core.exposure import Leg
from riskbot.core.limits._base import Limit
from riskbot.core.limits.strategy_share import StrategyShare
from riskbot.core.model import (
    PORTFOLIO,
    Instrument,
    PositionKey,
    Response,
    account_scope,
    strategy_scope,
)
from riskbot.core.settings import CoreSettings, OrderRules

OF_STRATEGIES = frozenset({StrategyShare.name})
"""Limits that look at what the strategy itself holds."""


@dataclass(frozen=True, slots=True)
class Denying:
    """The limits of one scope that deny what would break them.

    Attributes:
        has_statistics: one of them is read off price history.
        has_shares: one of them looks at what the strategy itself holds.
    """

    limits: tuple[Limit, ...] = ()
    has_statistics: bool = False
    has_shares: bool = False


@dataclass(frozen=True, slots=True)
class Aside:
    """What no order moves of a scope, as far as one of its limits reads it off the totals."""

    has_losses: bool = False
    has_others: bool = False


_NONE, _NOTHING_ASIDE = Denying(), Aside()


@dataclass(slots=True)
class Binding:
    """The limits and rules as an order meets them.

    Args:
        settings: what the operator configured.
        limits: those in force.

    Attributes:
        tightest: by scope, the limit that bound an order most the last time: a guess where to
            look first, which changes nothing of what is found.
    """

    settings: CoreSettings
    limits: tuple[tuple[str, Limit], ...]
    tightest: dict[str, Limit] = field(default_factory=dict)
    _denying: dict[str, Denying] = field(default_factory=dict)
    _near: dict[tuple[str, str], tuple[Limit, ...]] = field(default_factory=dict)
    _aside: dict[str, Aside] = field(default_factory=dict)
    _rules: dict[tuple[str, str], tuple[tuple[OrderRules, str], ...]] = field(default_factory=dict)
    _scopes: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _nothing: dict[PositionKey, Leg] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows: dict[str, list[Limit]] = {}
        near: dict[tuple[str, str], list[Limit]] = {}
        for scope, limit in self.limits:
            if limit.on_breach is not Response.ALERT:
                rows.setdefault(scope, []).append(limit)
            for what in limit.on_approach:
                near.setdefault((scope, what), []).append(limit)
        apart = [(s, x) for s, x in self.limits if x.reads_totals and not x.is_moved_by_orders]
        for scope in {scope: None for scope, _ in apart}:
            kinds = [limit.is_loss for at, limit in apart if at == scope]
            self._aside[scope] = Aside(has_losses=any(kinds), has_others=not all(kinds))
        self._denying = {scope: _denying(found) for scope, found in rows.items()}
        self._near = {key: tuple(found) for key, found in near.items()}

    def denying(self, scope: str) -> Denying:
        """Return the limits of a scope that deny."""
        return self._denying.get(scope, _NONE)

    def aside(self, scope: str) -> Aside:
        """Return what no order moves of a scope and its limits read."""
        return self._aside.get(scope, _NOTHING_ASIDE)

    def near(self, scope: str, what: str) -> tuple[Limit, ...]:
        """Return the limits of a scope that `scale`, or `throttle`, from orange on."""
        return self._near.get((scope, what), ())

    def scopes(self, account: str, strategy: str) -> tuple[str, ...]:
        """Return the scopes whose limits and holds an order is under."""
        found = self._scopes.get((account, strategy))
        if found is None:
            own = (strategy_scope(strategy),) if strategy else ()
            found = self._scopes[account, strategy] = (PORTFOLIO, account_scope(account), *own)
        return found

    def nothing(self, key: PositionKey, listed: Instrument | None) -> Leg:
        """Return a position that is not there, to be read only.

        Args:
            key: of it.
            listed: its instrument, None = no venue lists it.
        """
        found = self._nothing.get(key)
        if found is None or (listed is not None and found.instrument is not listed):
            instrument = listed if listed is not None else lines.unlisted(key.account, key.symbol)
            found = self._nothing[key] = lines.new_leg(self.settings, key.account, key, instrument)
            found.notional_usd = found.delta_usd = 0.0
            found.is_dust = True
        return found

    def rules(self, account: str, strategy: str) -> tuple[tuple[OrderRules, str], ...]:
        """Return the rules of a single order that count, each with the scope whose E they are over.

        Args:
            account: configured.
            strategy: empty, or not configured, = nobody's in particular.
        """
        found = self._rules.get((account, strategy))
        if found is None:
            found = self._rules[account, strategy] = tuple(self._find_rules(account, strategy))
        return found

    def _find_rules(self, account: str, strategy: str) -> Iterable[tuple[OrderRules, str]]:
        settings = self.settings
        own = settings.accounts[account].orders
        yield own, PORTFOLIO if own == settings.orders else account_scope(account)
        mine = settings.strategies.get(strategy)
        if mine is None:
            return
        base = strategy_scope(strategy) if mine.capital_usd is not None else PORTFOLIO
        if mine.orders not in (own, settings.orders):
            yield mine.orders, base
        if mine.probation is not None:
            yield mine.probation, base


def _denying(limits: list[Limit]) -> Denying:
    return Denying(
        tuple(limits),
        has_statistics=any(limit.needs_statistics for limit in limits),
        has_shares=any(limit.name in OF_STRATEGIES for limit in limits),
    )
