"""One order before the checks, with what they need of the state."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core import glance, workload
from riskbot.core.kept import NONE
from riskbot.core.model import (
    Instrument,
    OrderType,
    PositionKey,
    PositionSide,
    Side,
    WorkingOrder,
)
from riskbot.core.ordering import OrderRequest, Reservation
from riskbot.core.rounding import floor_to_step

if TYPE_CHECKING:
    from riskbot.core.settings import OrderRules
    from riskbot.core.state import State


@dataclass(slots=True)
class Trial:
    """One order before the checks, made for each and changed by none.

    Attributes:
        price: what it would be done at, quote units: its limit price, or the mark; None = unknown.
        mark: of the instrument now, quote units, None = unknown; is_fresh: it is no old one.
        unit_usd: USD of exposure per unit of quantity at the mark, None = unknown.
        closing: how much of its direction only closes, beside all exits that work, >= 0.
        is_exit: all of it only closes.
        has_rivals: entries of its side work on its position: once an exit has closed it, they open
            the other side with more than was counted on.
        scopes: whose limits and holds it is under.
        rules: of a single order that count, each with the scope whose E they are over.
        amends: id of the reservation that it replaces, empty = none.
        without: ids of the reservations that do not count beside it.
    """

    state: State
    request: OrderRequest
    instrument: Instrument
    position_side: PositionSide
    price: float | None
    mark: float | None
    is_fresh: bool
    unit_usd: float | None
    closing: Decimal
    is_exit: bool
    has_rivals: bool
    now_ms: int
    scopes: tuple[str, ...]
    rules: tuple[tuple[OrderRules, str], ...]
    amends: str = ""
    without: frozenset[str] = NONE

    @property
    def has_price(self) -> bool:
        """Whether its worth is known; without, it is barred and nothing can be measured."""
        return self.price is not None and self.mark is not None and bool(self.unit_usd)

    def stub(self) -> WorkingOrder:
        """Return it as a working order of no quantity, to ask what it would raise."""
        request = self.request
        return WorkingOrder(
            request.account,
            request.symbol,
            "",
            None,
            request.side,
            request.type,
            Decimal(0),
            position_side=self.position_side,
        )


def make_trial(
    state: State,
    request: OrderRequest,
    instrument: Instrument,
    now_ms: int,
    amends: str = "",
    yielding: frozenset[str] = NONE,
) -> Trial:
    """Return an order with what the checks need of the state."""
    account = request.account
    best = state.meter.best(account, request.symbol)
    mark = best.value if best is not None else None
    side = _position_side(state, request, instrument)
    known = state.accounts.get(account)
    closing, has_rivals = Decimal(0), False
    without = yielding | {amends} if amends else yielding
    if known.was_read:
        key = PositionKey(account, request.symbol, side)
        closing, has_rivals = workload.room(state, key, request.side, without)
    closing = floor_to_step(closing, instrument.step) if closing else closing
    limit = float(request.price) if request.price is not None else None
    return Trial(
        state,
        request,
        instrument,
        side,
        price=limit if limit is not None else mark,
        mark=mark,
        is_fresh=best is not None and not best.is_stale,
        unit_usd=workload.unit_usd(state, instrument),
        closing=closing,
        is_exit=Decimal(0) < request.quantity <= closing,
        has_rivals=has_rivals,
        now_ms=now_ms,
        scopes=state.binding.scopes(account, request.strategy),
        rules=state.binding.rules(account, request.strategy),
        amends=amends,
        without=without,
    )


def _position_side(state: State, request: OrderRequest, instrument: Instrument) -> PositionSide:
    """Return the position an order is on; in hedge mode a side opens its own, unless it closes."""
    hedged = state.is_hedge_mode(request.account) and ":" in instrument.symbol
    if not hedged:
        return PositionSide.NET
    if request.position_side in {PositionSide.LONG, PositionSide.SHORT}:
        return request.position_side
    buys = (request.side is Side.BUY) is not request.reduce_only
    return PositionSide.LONG if buys else PositionSide.SHORT


def volatility_factor(trial: Trial) -> float:
    """Return what new risk is multiplied by to come down to the target volatility: 0 to 1.

    1 where no target is set, or nothing is known of how wild the instrument is.
    """
    targets = [rules.target_volatility for rules, _ in trial.rules if rules.target_volatility]
    if not targets:
        return 1.0
    target, panel = min(targets), trial.state.analysis.panel
    if panel is None or not panel.has(trial.instrument.underlying):
        return 1.0
    yearly = panel.yearly_volatility(trial.instrument.underlying)
    return min(1.0, target / yearly) if yearly > 0 else 1.0


def scale_factor(trial: Trial) -> float:
    """Return what new risk is multiplied by, on approach to limits and for its volatility."""
    return approach_factor(trial, "scale") * volatility_factor(trial)


def approach_factor(trial: Trial, what: str) -> float:
    """Return what new risk (`scale`) or the order rate (`throttle`) is multiplied by: 0 to 1.

    1 up to orange, 0 at the limit; the smallest over the limits that name it.
    """
    state, factor = trial.state, 1.0
    for scope in trial.scopes:
        for limit in state.binding.near(scope, what):
            orange = limit.levels[1]
            for verdict in glance.verdicts(state, scope, limit, trial.now_ms):
                used = 1.0 if verdict.utilization is None else verdict.utilization
                factor = min(factor, max(0.0, min(1.0, (1 - used) / (1 - orange))))
    return factor


def market_stub(
    account: str, symbol: str, side: Side, stop: float | None, strategy: str = ""
) -> OrderRequest:
    """Return a market order of no quantity, to ask how much may be traded."""
    return OrderRequest(
        strategy=strategy,
        account=account,
        symbol=symbol,
        side=side,
        quantity=Decimal(0),
        type=OrderType.MARKET,
        stop_loss=None if stop is None else Decimal(repr(stop)),
    )


def collar_of(state: State, approved: Reservation) -> float | None:
    """Return how far from the mark an approved order may be done, as a share; None = no collar."""
    own = state.settings.accounts[approved.account].orders.price_collar
    mine = state.settings.strategies.get(approved.strategy)
    found = [mine.orders, mine.probation] if mine is not None else []
    collars = [own, *(rules.price_collar for rules in found if rules is not None)]
    return min((collar for collar in collars if collar is not None), default=None)
