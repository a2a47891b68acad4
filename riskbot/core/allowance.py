"""The read model of `size`: how much may be traded now in each direction, and what binds.

States, holds, BLIND flags and the rules of a single order are here; what the limits let pass is
`headroom`. Exits pass in every state while the position is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from riskbot.core import exits, headroom, views
from riskbot.core.headroom import Bound
from riskbot.core.model import (
    PORTFOLIO,
    BlindKind,
    Instrument,
    Mode,
    OrderType,
    PositionKey,
    PositionSide,
    Response,
    Side,
    TradingState,
    WorkingOrder,
    account_scope,
)
from riskbot.core.rounding import floor_to_step

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.settings import OrderRules
    from riskbot.core.state import State

SHOWN = 5
"""Bounds that are shown, the tightest first."""

FAR = 100.0
"""Where no rule of a single order bounds it: this many times the capital is looked at."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked about.

    Attributes:
        stop: trigger price of its stop in quote units, None = none.
        price: of the instrument now, quote units, None = unknown.
        unit_usd: USD of exposure per unit of quantity, None = unknown.
    """

    instrument: Instrument
    side: Side
    stop: float | None
    price: float | None
    unit_usd: float | None
    now_ms: int

    @property
    def account(self) -> str:
        """Where it would be traded."""
        return self.instrument.account

    def stub(self) -> WorkingOrder:
        """Return an order of no quantity, to ask what it would raise."""
        return WorkingOrder(
            self.account,
            self.instrument.symbol,
            "",
            None,
            self.side,
            OrderType.MARKET,
            Decimal(0),
        )


def size(state: State, instrument: Instrument, stop: float | None, now_ms: int) -> dict[str, Any]:
    """Return the document of `/v1/size`.

    Args:
        state: the state.
        instrument: what would be traded, and on which account.
        stop: trigger price of its stop in quote units, None = none.
        now_ms: UTC ms.
    """
    account = instrument.account
    price = state.price(account, instrument.symbol)
    unit = headroom.unit_usd(state, instrument)
    book = state.scopes(now_ms)[PORTFOLIO]
    scope = account_scope(account)
    by_people = any(h.is_latched and h.is_enforced for h in state.enforcement.holds_of(scope))
    return {
        "account": account,
        "instrument": instrument.symbol,
        "price": price,
        "unit_usd": unit,
        "stop": stop,
        "assumed_stop": state.settings.assume_stop if stop is None else None,
        "equity_usd": book.equity_usd,
        "capital_usd": book.capital_usd,
        "trading_state": views.public_state(state, scope).value,
        "enforced": state.settings.mode is Mode.ENFORCE or by_people,
        "scale": _scale(state, account, now_ms),
        "buy": _direction(state, Wish(instrument, Side.BUY, stop, price, unit, now_ms)),
        "sell": _direction(state, Wish(instrument, Side.SELL, stop, price, unit, now_ms)),
        "as_of_ms": now_ms,
    }


def _direction(state: State, wish: Wish) -> dict[str, Any]:
    closing = _closing(state, wish)
    bounds = [Bound(c, scope, 0.0, None, None, why) for c, scope, why in _bars(state, wish)]
    quantity: Decimal | None = closing
    if not bounds:
        bounds = _bounds(state, wish, float(closing))
        quantity = _largest(state, wish, closing, bounds)
    unit = wish.unit_usd
    return {
        "quantity": None if quantity is None else str(quantity),
        "notional_usd": None if quantity is None or unit is None else float(quantity) * unit,
        "closes": str(closing),
        "bound_by": _shown(bounds[0], unit) if bounds else None,
        "bounds": [_shown(bound, unit) for bound in bounds[:SHOWN]],
    }


def _largest(state: State, wish: Wish, closing: Decimal, bounds: list[Bound]) -> Decimal | None:
    """Return the largest quantity that passes, on the venue's step; None = nothing bounds it."""
    if not bounds:
        return None
    # Floats make up last digits, which must not cost a step.
    free = max(Decimal(repr(round(bounds[0].quantity, 9))) - closing, Decimal(0))
    scaled = free * Decimal(repr(_scale(state, wish.account, wish.now_ms)))
    quantity = floor_to_step(closing + scaled, wish.instrument.step)
    if quantity <= closing:
        return closing
    return quantity if quantity >= wish.instrument.min_quantity else Decimal(0)


def _shown(bound: Bound, unit_usd: float | None) -> dict[str, Any]:
    return {
        "limit": bound.limit,
        "scope": bound.scope,
        "quantity": bound.quantity,
        "notional_usd": None if unit_usd is None else bound.quantity * unit_usd,
        "measured": bound.measured,
        "allowed": bound.allowed,
        "message": bound.message,
    }


def _closing(state: State, wish: Wish) -> Decimal:
    """Return how much in this direction only closes, beside the exits that work already."""
    known = state.accounts.get(wish.account)
    if not known.is_synced or state.is_hedge_mode(wish.account):
        return Decimal(0)
    symbol = wish.instrument.symbol
    held = exits.holding(known, symbol, PositionSide.NET)
    if held * wish.side.sign >= 0:
        return Decimal(0)
    key = PositionKey(wish.account, symbol, PositionSide.NET)
    working = (o.remaining for o in state.exits_on(key) if o.stop_price is None)
    return floor_to_step(
        max(abs(held) - sum(working, Decimal(0)), Decimal(0)), wish.instrument.step
    )


# ---------------------------------------------------------------- what bars every entry


def _bars(state: State, wish: Wish) -> Iterator[tuple[str, str, str]]:
    """Yield (code, scope, sentence) of whatever keeps all entries out."""
    account, scope = wish.account, account_scope(wish.account)
    allowed = state.settings.accounts[account].instruments
    if not wish.instrument.is_active:
        yield "instrument", scope, "the venue does not trade it now"
    if allowed and wish.instrument.symbol not in allowed:
        yield "instrument", scope, f"is not among the instruments of {account}"
    yield from _blind_bars(state, wish)
    if state.has_pending_flow(account):
        yield "pending_flow", scope, "equity moved in a way that nothing explains yet"
    stub = wish.stub()
    for hold in state.enforcement.holds_of(scope):
        if hold.state is not TradingState.ACTIVE or state.raises_keys(stub, hold.keys):
            yield hold.limit, hold.scope, hold.reason
    if state.enforcement.is_stopping or state.enforcement.halt_file:
        yield "halted", PORTFOLIO, "riskbot is stopping, or the HALT file is there"
    yield from _order_bars(state, wish)


def _blind_bars(state: State, wish: Wish) -> Iterator[tuple[str, str, str]]:
    account, scope = wish.account, account_scope(wish.account)
    if not state.is_synced(account) or state.is_account_blind(account):
        yield "blind_account", scope, f"{account} is out of sight"
    fresh = state.quote(account, wish.instrument.symbol).mark
    if fresh is None or wish.price is None or not wish.unit_usd:
        yield "blind_price", scope, f"no fresh price of {wish.instrument.symbol}"
    scopes = state.scopes(wish.now_ms)
    for known in (PORTFOLIO, scope):
        if scopes[known].capital_usd is None:
            yield "blind_account", known, f"equity of {known} is not known"
    for what, subject in state.enforcement.blinds:
        if what not in {BlindKind.ACCOUNT, BlindKind.PRICE} and subject in {"", account}:
            yield f"blind_{what.value}", scope, f"BLIND({what.value})"


def _order_bars(state: State, wish: Wish) -> Iterator[tuple[str, str, str]]:
    rules, scope = _rules(state, wish.account)
    if rules.require_stop and wish.stop is None:
        yield "require_stop", scope, "an entry needs a stop"
    if wish.stop is not None and wish.price is not None:
        away = (wish.price - wish.stop) * wish.side.sign
        if away <= 0:
            yield "stop", scope, f"{wish.stop:g} is on the wrong side of {wish.price:g}"
    rate = state.feeds.rates(wish.now_ms)["order_rate"]
    if rules.order_rate is not None and rate >= rules.order_rate:
        yield "order_rate", scope, f"{rate:g} orders in the last minute"


def _rules(state: State, account: str) -> tuple[OrderRules, str]:
    """Return the rules of a single order, and the scope whose E they are over."""
    own = state.settings.accounts[account].orders
    return own, PORTFOLIO if own == state.settings.orders else account_scope(account)


# ---------------------------------------------------------------- what bounds an entry


def _bounds(state: State, wish: Wish, closing: float) -> list[Bound]:
    """Return every bound, the tightest first."""
    assert wish.price is not None  # noqa: S101 - without a price it is barred
    order = headroom.order_of(state, wish.instrument, wish.side, wish.stop, wish.price)
    scopes = state.scopes(wish.now_ms)
    rules, rules_scope = _rules(state, wish.account)
    found = list(_rule_bounds(rules, scopes[rules_scope], order, closing))
    far = FAR * abs(scopes[PORTFOLIO].capital_usd or 0.0) + scopes[PORTFOLIO].gross_usd
    cap = closing + max(far / order.unit_usd, headroom.least(order))
    cap = min((bound.quantity for bound in found), default=cap)
    entries = headroom.working(state, state.settings.accounts)
    if entries is None:
        words = "a working entry has no price"
        return [Bound("blind_price", PORTFOLIO, 0.0, None, None, words)]
    mine = {PORTFOLIO, account_scope(wish.account)}
    denying = [
        (limit, scopes[scope])
        for scope, limit in state.limits
        if scope in mine and limit.on_breach is not Response.ALERT
    ]
    if cap > 0:
        found += headroom.limit_bounds(state, denying, entries, order, cap)
    return sorted(found, key=lambda bound: bound.quantity)


def _rule_bounds(
    rules: OrderRules, book: ScopeBook, order: headroom.Order, closing: float
) -> Iterator[Bound]:
    """Yield what the rules of a single order let pass; what only closes is not their matter."""
    capital = max(book.capital_usd or 0.0, 0.0)
    shares = (
        ("max_trade", rules.max_trade, order.unit_usd, capital),
        ("max_trade_risk", rules.max_trade_risk, order.risk_usd, capital),
        ("max_order_value", rules.max_order_value, order.unit_usd, 1.0),
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


def _scale(state: State, account: str, now_ms: int) -> float:
    """Return what new risk is multiplied by on approach: 1 up to orange, 0 at the limit."""
    scopes = state.scopes(now_ms)
    factor = 1.0
    for scope, limit in state.limits:
        if scope not in {PORTFOLIO, account_scope(account)} or "scale" not in limit.on_approach:
            continue
        for verdict in state.check(limit, scopes[scope]):
            used = 1.0 if verdict.utilization is None else verdict.utilization
            orange = limit.levels[1]
            factor = min(factor, max(0.0, min(1.0, (1 - used) / (1 - orange))))
    return factor
