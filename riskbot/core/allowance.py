"""The read model of `size`: how much may be traded now in each direction, and what binds.

The gateway's own checks are asked (`pretrade`), with a market order of nobody in particular.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from riskbot.core import views
from riskbot.core.headroom import Bound
from riskbot.core.model import PORTFOLIO, Instrument, Mode, Side, account_scope
from riskbot.core.ordering import Reason
from riskbot.core.pretrade.bounds import bounds, largest_of
from riskbot.core.pretrade.checks import bars
from riskbot.core.pretrade.trial import Trial, make_trial, market_stub, scale_factor

if TYPE_CHECKING:
    from riskbot.core.state import State

SHOWN = 5
"""Bounds that are shown, the tightest first."""


def size(
    state: State, instrument: Instrument, stop: float | None, now_ms: int, strategy: str = ""
) -> dict[str, Any]:
    """Return the document of `/v1/size`.

    Args:
        state: the state.
        instrument: what would be traded, and on which account.
        stop: trigger price of its stop in quote units, None = none.
        now_ms: UTC ms.
        strategy: who would trade it; empty = nobody in particular.
    """
    account = instrument.account
    book = state.scopes(now_ms)[PORTFOLIO]
    scope = account_scope(account)
    by_people = any(h.is_latched and h.is_enforced for h in state.enforcement.holds_of(scope))
    trials = [_trial(state, instrument, side, stop, now_ms, strategy) for side in Side]
    return {
        "account": account,
        "instrument": instrument.symbol,
        "price": trials[0].mark,
        "unit_usd": trials[0].unit_usd,
        "stop": stop,
        "assumed_stop": state.settings.assume_stop if stop is None else None,
        "equity_usd": book.equity_usd,
        "capital_usd": book.capital_usd,
        "trading_state": views.public_state(state, scope).value,
        "enforced": state.settings.mode is Mode.ENFORCE or by_people,
        "scale": scale_factor(trials[0]),
        **{trial.request.side.value: _direction(trial) for trial in trials},
        "as_of_ms": now_ms,
    }


def _trial(
    state: State,
    instrument: Instrument,
    side: Side,
    stop: float | None,
    now_ms: int,
    strategy: str,
) -> Trial:
    request = market_stub(instrument.account, instrument.symbol, side, stop, strategy)
    return make_trial(state, request, instrument, now_ms)


def _direction(trial: Trial) -> dict[str, Any]:
    quantity: Decimal | None = trial.closing
    unit = trial.unit_usd
    found = [_bar(reason) for reason in bars(trial)]
    if not found:
        found = bounds(trial, float(trial.closing))
        quantity = largest_of(trial, found, trial.closing)
    return {
        "quantity": None if quantity is None else str(quantity),
        "notional_usd": None if quantity is None or unit is None else float(quantity) * unit,
        "closes": str(trial.closing),
        "bound_by": _shown(found[0], unit) if found else None,
        "bounds": [_shown(bound, unit) for bound in found[:SHOWN]],
    }


def _bar(reason: Reason) -> Bound:
    name = reason.limit or reason.code.value.lower()
    return Bound(name, reason.scope, 0.0, None, None, reason.message)


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
