"""How much of an entry passes: rules of a single order, and every limit, over a what-if Book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core import glance, headroom, workload
from riskbot.core.headroom import Bound
from riskbot.core.model import (
    PORTFOLIO,
    InstrumentKind,
    PositionKey,
    Side,
    strategy_scope,
)
from riskbot.core.ordering import Code, Reason
from riskbot.core.pretrade.trial import Trial, scale_factor
from riskbot.core.rounding import floor_to_step

if TYPE_CHECKING:
    from riskbot.core.exposure import Totals
    from riskbot.core.settings import OrderRules

FAR = 100.0
"""Where no rule of a single order bounds it: this many times the capital is looked at."""


def bounds(trial: Trial, closing: float) -> list[Bound]:
    """Return everything that bounds an entry, the tightest first."""
    state, request = trial.state, trial.request
    assert trial.price is not None  # noqa: S101 - without a price it is barred
    assert trial.mark is not None  # noqa: S101 - likewise
    stop = float(request.stop_loss) if request.stop_loss is not None else None
    order = headroom.order_of(
        state,
        trial.instrument,
        request.side,
        stop,
        trial.price,
        trial.position_side,
        request.strategy,
    )
    whole = glance.totals(state, PORTFOLIO, trial.now_ms)
    found: list[Bound] = []
    at_price = _at_price_usd(trial, order.unit_usd)
    for rules, scope in trial.rules:
        found += _rule_bounds(
            rules, glance.totals(state, scope, trial.now_ms), order, at_price, closing
        )
    far = FAR * abs(whole.capital_usd or 0.0) + whole.gross_usd
    cap = closing + max(far / order.unit_usd, headroom.least(order))
    # Beyond what a rule lets pass only the quantity that is asked for is of interest.
    cap = max(min((bound.quantity for bound in found), default=cap), float(request.quantity))
    entries = workload.working(state, state.settings.accounts, order, trial.without)
    if entries is None:
        words = "a working entry has no price"
        return [Bound("blind_price", PORTFOLIO, 0.0, None, None, words)]
    if cap > 0:
        found += _limit_bounds(trial, entries, order, cap)
    found.sort(key=_tightness)
    return found


def _tightness(bound: Bound) -> tuple[float, str, str]:
    # Whatever is looked at first, what ends at the same quantity is told in the same order.
    return bound.quantity, bound.limit, bound.message


def _limit_bounds(
    trial: Trial,
    entries: Mapping[PositionKey, workload.Working],
    order: workload.Order,
    cap: float,
) -> Iterator[Bound]:
    """Yield what the limits let pass that deny, those of the portfolio, account and strategy."""
    state, name = trial.state, trial.request.strategy
    rows_of = state.binding.denying
    denying = [(scope, rows) for scope in trial.scopes if (rows := rows_of(scope)).limits]
    own_scope = strategy_scope(name)
    owned: Mapping[PositionKey, workload.Working] | None = None
    looks_at_it = any(scope == own_scope or rows.has_shares for scope, rows in denying)
    if looks_at_it and name in state.settings.strategies:
        accounts = state.settings.accounts
        owned = workload.working(state, accounts, order, trial.without, name)
        # Where one of its entries has no price, everybody's count for it.
        owned = entries if owned is None else owned
    asked = float(trial.request.quantity)
    for scope, rows in denying:
        totals = glance.totals(state, scope, trial.now_ms)
        mine = owned if scope == own_scope and owned is not None else entries
        case = headroom.Case(
            state, totals, mine, order, cap, owned, has_statistics=rows.has_statistics
        )
        case.tightest = state.binding.tightest.get(scope)
        yield from headroom.limit_bounds(case, rows.limits, asked)
        cap = case.cap
        if case.tightest is not None:
            state.binding.tightest[scope] = case.tightest


def _at_price_usd(trial: Trial, unit_usd: float) -> float:
    """Return what one unit is worth at the order's own price; a sell is worth the mark at least.

    The face value of an inverse contract is what it is at every price.
    """
    assert trial.price is not None  # noqa: S101 - without a price it is barred
    assert trial.mark is not None  # noqa: S101 - likewise
    if trial.instrument.kind is InstrumentKind.INVERSE:
        return unit_usd
    price = trial.price if trial.request.side is Side.BUY else max(trial.price, trial.mark)
    if trial.instrument.kind is InstrumentKind.OPTION:
        # Its premium, or what it moves like: whichever is more.
        settle = trial.state.meter.book.price_of(trial.request.account, trial.instrument.settle)
        return max(unit_usd, price * (settle or 0.0))
    return unit_usd * price / trial.mark


def _rule_bounds(
    rules: OrderRules,
    book: Totals,
    order: workload.Order,
    at_price_usd: float,
    closing: float,
) -> Iterator[Bound]:
    """Yield what the rules of a single order let pass; what only closes is not their matter."""
    capital = max(book.capital_usd or 0.0, 0.0)
    shares = (
        ("max_trade", rules.max_trade, at_price_usd, capital),
        ("max_trade_risk", rules.max_trade_risk, order.risk_usd, capital),
        ("max_order_value", rules.max_order_value, at_price_usd, 1.0),
        (
            "max_order_quantity",
            rules.max_order_quantity.get(order.instrument.symbol),
            1.0,
            1.0,
        ),
    )
    for name, allowed, unit, base in shares:
        if allowed is not None and unit > 0:
            quantity = max(allowed * base / unit, closing)
            yield Bound(name, book.scope, quantity, None, allowed, f"{name} of one order")


def largest_of(trial: Trial, found: list[Bound], passes: Decimal) -> Decimal | None:
    """Return the largest quantity that passes, on the venue's step; None = nothing bounds it.

    Args:
        trial: the order.
        found: what bounds it, the tightest first.
        passes: what of it passes as an exit.
    """
    if not found:
        return None
    # Floats make up last digits, which must not cost a step.
    free = max(_exact(found[0]) - trial.closing, Decimal(0))
    scaled = free * Decimal(repr(scale_factor(trial)))
    quantity = floor_to_step(trial.closing + scaled, trial.instrument.step)
    if quantity <= trial.closing:
        return passes
    return quantity if quantity >= trial.instrument.min_quantity else Decimal(0)


def closable_of(trial: Trial, found: list[Bound]) -> Decimal:
    """Return how much may be closed beside entries that open what an exit makes room for."""
    least = min((_exact(bound) for bound in judged(found)), default=trial.closing)
    return floor_to_step(min(least, trial.closing), trial.instrument.step)


def judged(found: list[Bound]) -> list[Bound]:
    """Return what can be judged: the rest bars new risk, never an exit."""
    return [bound for bound in found if not bound.is_unknown and bound.limit != "blind_price"]


def _exact(bound: Bound) -> Decimal:
    return Decimal(repr(round(bound.quantity, 9)))


def exceeded(trial: Trial, found: list[Bound], largest: Decimal | None) -> Iterator[Reason]:
    """Yield the bounds that an order goes beyond."""
    asked = trial.request.quantity
    if largest is None or asked <= largest:
        return
    beyond = [bound for bound in found if asked > _exact(bound)]
    for bound in beyond:
        yield Reason(
            _code_of(bound), bound.scope, bound.message, bound.limit, bound.measured, bound.allowed
        )
    if not beyond:
        factor = scale_factor(trial)
        words = f"new risk is scaled to {factor:.0%}, on approach to a limit or for its volatility"
        yield Reason(Code.SCALED, PORTFOLIO, words, "", float(asked), float(largest))


_OWN_CODES = {
    "max_trade": Code.MAX_TRADE,
    "max_trade_risk": Code.MAX_TRADE_RISK,
    "max_order_value": Code.MAX_ORDER_VALUE,
    "max_order_quantity": Code.MAX_ORDER_QUANTITY,
    "blind_price": Code.BLIND_PRICE,
}


def _code_of(bound: Bound) -> Code:
    known = _OWN_CODES.get(bound.limit)
    if known is not None:
        return known
    return Code.LIMIT_UNKNOWN if bound.is_unknown else Code.LIMIT_EXCEEDED
