"""The checks that need no figure of a limit: each yields its reasons, or nothing.

What the limits let pass is `bounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from riskbot.core import glance, workload
from riskbot.core.model import (
    PORTFOLIO,
    BlindKind,
    InstrumentKind,
    Mode,
    PositionKey,
    PositionSide,
    TradingState,
    account_scope,
)
from riskbot.core.ordering import REPEATED, Code, OrderRequest, Reason
from riskbot.core.pretrade.trial import Trial, approach_factor
from riskbot.core.rounding import floor_to_step
from riskbot.core.state import State

Check = Callable[[Trial], Iterator[Reason]]

KNOWN_MS = 60_000
"""An exit passes while its account is out of sight for so long at most."""

# ---------------------------------------------------------------- checks of every order


def permitted(state: State, request: OrderRequest) -> Iterator[Reason]:
    """Account and instrument: default is no."""
    account, scope = request.account, account_scope(request.account)
    mine = state.settings.strategies.get(request.strategy)
    if account not in state.settings.accounts or mine is None or account not in mine.accounts:
        words = f"{request.strategy} may not trade on {account}"
        yield Reason(Code.ACCOUNT_NOT_ALLOWED, scope, words, binds=True)
        return
    if state.instrument(account, request.symbol) is None:
        words = f"{account} lists no {request.symbol}"
        yield Reason(Code.INSTRUMENT_UNKNOWN, scope, words, binds=True)


def _precise(trial: Trial) -> Iterator[Reason]:
    """Quantity and price as the venue takes them."""
    request, listed, scope = trial.request, trial.instrument, trial.scopes[1]
    if floor_to_step(request.quantity, listed.step) != request.quantity:
        words = f"quantity {request.quantity} is no multiple of {listed.step}"
        figures = (float(request.quantity), float(listed.step))
        yield Reason(Code.QUANTITY_STEP, scope, words, "", *figures, binds=True)
    if request.quantity < listed.min_quantity and not trial.is_exit:
        words = f"quantity {request.quantity} is below the venue's {listed.min_quantity}"
        figures = (float(request.quantity), float(listed.min_quantity))
        yield Reason(Code.QUANTITY_MINIMUM, scope, words, "", *figures, binds=True)
    price = request.price
    if price is not None and floor_to_step(price, listed.tick) != price:
        words = f"price {price} is no multiple of {listed.tick}"
        figures = (float(price), float(listed.tick))
        yield Reason(Code.PRICE_TICK, scope, words, "", *figures, binds=True)


def _on_its_side(trial: Trial) -> Iterator[Reason]:
    """In one-way mode there is no position side; in hedge mode reduce-only is the side's matter."""
    wanted = trial.request.position_side
    if wanted in {None, PositionSide.NET} or wanted is trial.position_side:
        return
    words = f"{trial.request.account} is in one-way mode: it has no {wanted} side"
    yield Reason(Code.POSITION_SIDE, trial.scopes[1], words, binds=True)


def _closes(trial: Trial) -> Iterator[Reason]:
    """Reduce-only: something must be there, and no more than is there."""
    request = trial.request
    if not request.reduce_only or trial.is_exit:
        return
    scope, asked = trial.scopes[1], float(request.quantity)
    if trial.closing <= 0:
        words = f"nothing of {request.symbol} is there for a reduce-only {request.side.value}"
        yield Reason(Code.NOTHING_TO_CLOSE, scope, words, "", asked, 0.0, binds=True)
    else:
        words = f"only {trial.closing} of {request.symbol} can be closed beside working exits"
        figures = (asked, float(trial.closing))
        yield Reason(Code.EXCEEDS_POSITION, scope, words, "", *figures, binds=True)


def _in_sight(trial: Trial) -> Iterator[Reason]:
    """Exits pass while the position is known, at most a minute old; entries need all of it."""
    state, account = trial.state, trial.request.account
    known = state.accounts.get(account)
    age_ms = trial.now_ms - max(known.read_ms, known.told_ms)
    is_known = known.was_read and known.is_synced and age_ms <= KNOWN_MS
    if trial.is_exit and is_known:
        return
    if not state.is_synced(account) or state.is_account_blind(account) or not known.was_read:
        words = f"{account} is out of sight"
        yield Reason(Code.BLIND_ACCOUNT, trial.scopes[1], words)


EVERY: tuple[Check, ...] = (
    _precise,
    _on_its_side,
    _closes,
    _in_sight,
)
"""Checks that every order has to pass."""

RESIZABLE = frozenset(
    {
        Code.QUANTITY_STEP,
        Code.EXCEEDS_POSITION,
        Code.MAX_TRADE,
        Code.MAX_TRADE_RISK,
        Code.MAX_ORDER_VALUE,
        Code.MAX_ORDER_QUANTITY,
        Code.LIMIT_EXCEEDED,
        Code.SCALED,
    }
)
"""What a smaller quantity mends."""


# ---------------------------------------------------------------- what bars every entry


def _allowed(trial: Trial) -> Iterator[Reason]:
    """It is among what the account may trade, where that is listed; what is there may be closed."""
    request = trial.request
    allowed = trial.state.settings.accounts[request.account].instruments
    if allowed and request.symbol not in allowed:
        words = f"{request.symbol} is not among the instruments of {request.account}"
        yield Reason(Code.INSTRUMENT_NOT_ALLOWED, trial.scopes[1], words, binds=True)


def _active(trial: Trial) -> Iterator[Reason]:
    """The venue trades it."""
    if not trial.instrument.is_active:
        words = f"the venue does not trade {trial.instrument.symbol} now"
        yield Reason(Code.INSTRUMENT_INACTIVE, trial.scopes[1], words)


def _priced(trial: Trial) -> Iterator[Reason]:
    """A fresh mark, and the equity of whatever it is measured against."""
    state, request = trial.state, trial.request
    if not (trial.is_fresh and trial.unit_usd):
        is_option = trial.instrument.kind is InstrumentKind.OPTION
        words = f"no fresh price{' and delta' if is_option else ''} of {request.symbol}"
        yield Reason(Code.BLIND_PRICE, trial.scopes[1], words)
    for scope in trial.scopes[:2]:
        if glance.totals(state, scope, trial.now_ms).capital_usd is None:
            yield Reason(Code.BLIND_ACCOUNT, scope, f"equity of {scope} is not known")


def _sighted(trial: Trial) -> Iterator[Reason]:
    """No BLIND flag of the whole, or of the account."""
    account = trial.request.account
    for what, subject in trial.state.enforcement.blinds:
        if what not in {BlindKind.ACCOUNT, BlindKind.PRICE} and subject in {"", account}:
            code = Code[f"BLIND_{what.value.upper()}"]
            yield Reason(code, trial.scopes[1], f"BLIND({what.value})")


def _explained(trial: Trial) -> Iterator[Reason]:
    """Equity moved only in ways that are known."""
    if trial.state.has_pending_flow(trial.request.account):
        words = "equity moved in a way that nothing explains yet"
        yield Reason(Code.PENDING_FLOW, trial.scopes[1], words)


def _held(trial: Trial) -> Iterator[Reason]:
    """No hold of any scope that it is under."""
    seen: set[tuple[str, str]] = set()
    for scope in trial.scopes:
        for hold in trial.state.enforcement.holds_of(scope):
            is_shadows = not hold.is_enforced and trial.state.settings.mode is Mode.ENFORCE
            if (hold.scope, hold.limit) in seen or is_shadows:
                # What shadow would have held is left behind once riskbot enforces.
                continue
            seen.add((hold.scope, hold.limit))
            if hold.state is not TradingState.ACTIVE:
                words = f"{hold.state.value}: {hold.reason}"
                yield Reason(Code.TRADING_STATE, hold.scope, words, hold.limit)
            elif trial.state.raises(trial.stub(), hold, trial.request.strategy):
                yield Reason(Code.MEASURE_HOLD, hold.scope, hold.reason, hold.limit)


def _running(trial: Trial) -> Iterator[Reason]:
    """The daemon goes on, and nobody pulled the brake beside it."""
    if trial.state.enforcement.is_stopping:
        yield Reason(Code.STOPPING, PORTFOLIO, "riskbot is stopping", binds=True)
    if trial.state.enforcement.halt_file:
        yield Reason(Code.HALT_FILE, PORTFOLIO, "the HALT file is there", binds=True)


def _stopped(trial: Trial) -> Iterator[Reason]:
    """A stop where one is required, on the side where it stops a loss."""
    request = trial.request
    for rules, scope in trial.rules:
        if rules.require_stop and request.stop_loss is None:
            yield Reason(Code.STOP_REQUIRED, scope, "an entry needs a stop_loss")
            break
    if request.stop_loss is None or trial.price is None:
        return
    stop = float(request.stop_loss)
    if (trial.price - stop) * request.side.sign <= 0:
        words = f"stop_loss {stop:g} is on the wrong side of {trial.price:g}"
        yield Reason(Code.STOP_WRONG_SIDE, trial.scopes[1], words, "", stop, trial.price)


def _collared(trial: Trial) -> Iterator[Reason]:
    """A limit price no worse than the mark by more than the collar."""
    limit, mark = trial.request.price, trial.mark
    if limit is None or not mark:
        return
    away = (float(limit) / mark - 1) * trial.request.side.sign
    for rules, scope in trial.rules:
        # Floats make up last digits, which must not cost the tick on the collar itself.
        if rules.price_collar is not None and away > rules.price_collar + 1e-12:
            words = f"price {limit} is {away:.2%} worse than the mark {mark:g}"
            yield Reason(Code.PRICE_COLLAR, scope, words, "price_collar", away, rules.price_collar)


def _paced(trial: Trial) -> Iterator[Reason]:
    """Orders per minute, of the strategy and of its account; fewer on approach."""
    replaced = trial.state.reservations.live.get(trial.amends)
    if replaced is not None and not replaced.venue_id:
        # The second half of an amendment, which was counted when it was approved.
        return
    factor = approach_factor(trial, "throttle")
    counted: set[str] = set()
    for number, (rules, _) in enumerate(trial.rules):
        # A strategy's own rules count its own orders.
        for scope in trial.scopes[-1:] if number else trial.scopes[1:]:
            if rules.order_rate is None or scope in counted:
                continue
            allowed = rules.order_rate * factor
            rate = trial.state.reservations.approved(scope, trial.now_ms)
            if rate + 1 > allowed:
                counted.add(scope)
                words = f"{rate} orders in the last minute, {allowed:g} are allowed"
                yield Reason(Code.ORDER_RATE, scope, words, "order_rate", rate, allowed)


def _repeated(trial: Trial) -> Iterator[Reason]:
    """Not once more of the same: another one, and a person has to look."""
    request, kept = trial.request, trial.state.reservations
    for rules, _ in trial.rules:
        if rules.max_repeats is None or trial.amends:
            continue
        since_ms = trial.now_ms - int(rules.repeat_window_s * 1000)
        count = kept.repeats_of(request, since_ms)
        if count >= rules.max_repeats:
            words = (
                f"{count} {request.side.value}s of {request.symbol} within "
                f"{rules.repeat_window_s:g} s, {rules.max_repeats} are allowed"
            )
            figures = (float(count + 1), float(rules.max_repeats))
            yield Reason(Code.REPEATED_EXECUTION, trial.scopes[-1], words, REPEATED, *figures)
            return


def _unlike(trial: Trial) -> Iterator[Reason]:
    """Not the same order again within the window, where one is set."""
    request, kept = trial.request, trial.state.reservations
    window_s = max((rules.duplicate_window_s for rules, _ in trial.rules), default=0.0)
    if window_s <= 0:
        return
    wanted = (request.strategy, request.account, request.symbol, request.side)
    for known in (*kept.live.values(), *reversed(kept.done.values())):
        if trial.now_ms - known.created_ms >= window_s * 1000:
            continue
        alike = (known.strategy, known.account, known.symbol, known.side) == wanted
        same = (known.quantity, known.price) == (request.quantity, request.price)
        if alike and same and known.reservation_id != trial.amends:
            age_s = (trial.now_ms - known.created_ms) / 1000
            words = f"the same order as {known.client_order_id}, {age_s:.1f} s ago"
            yield Reason(Code.DUPLICATE, trial.scopes[-1], words, "", age_s, window_s)
            return


def _uncrossed(trial: Trial) -> Iterator[Reason]:
    """It does not trade against an order of the same account."""
    request = trial.request
    if trial.price is None:
        return
    key, other = (
        PositionKey(request.account, request.symbol, PositionSide.NET),
        request.side.opposite,
    )
    best = workload.edge(trial.state, key, other, trial.without)
    if best is not None and (trial.price - float(best)) * request.side.sign >= 0:
        price = float(best)
        words = f"it would trade with the account's own {other.value} at {price:g}"
        yield Reason(Code.OWN_ORDER_CROSSING, trial.scopes[1], words, "", trial.price, price)


def _correlated(trial: Trial) -> Iterator[Reason]:
    """Its returns are not too much like those of the book that it is added to.

    An empty book passes, and what is held already; what has no history is not judged.
    """
    rules = [(r.max_correlation, s) for r, s in trial.rules if r.max_correlation is not None]
    state, listed = trial.state, trial.instrument
    for allowed, scope in rules:
        found = state.analysis.correlation(
            lambda scope=scope: state.scopes(trial.now_ms)[scope],  # type: ignore[misc]
            listed,
            workload.exposed(state, listed, trial.request.side).sign,
        )
        if found is not None and found > allowed:
            words = f"its returns correlate {found:.2f} with the book's"
            yield Reason(Code.CORRELATION, scope, words, "max_correlation", found, allowed)


ENTRIES: tuple[Check, ...] = (
    _allowed,
    _active,
    _priced,
    _sighted,
    _explained,
    _held,
    _running,
    _stopped,
    _collared,
    _paced,
    _repeated,
    _unlike,
    _uncrossed,
    _correlated,
)
"""Checks of what opens or adds; how much passes is asked of `bounds` after them."""


FORBIDDING: tuple[Check, ...] = (_priced, _sighted, _held, _running)
"""Those among them that, with `_in_sight`, forbid anything new wherever it is."""

_FORBID = frozenset({_in_sight, *FORBIDDING})


def forbid_new_risk(told: Iterable[tuple[Check, Reason]]) -> bool:
    """Whether nothing new is allowed there whatever it is: then only exits are left.

    Args:
        told: what the checks say, each with the one that says it.
    """
    return any(check in _FORBID and reason.code is not Code.MEASURE_HOLD for check, reason in told)


def bars(trial: Trial) -> list[Reason]:
    """Return what keeps every entry out, whatever its quantity."""
    return [reason for check in (_in_sight, *ENTRIES) for reason in check(trial)]
