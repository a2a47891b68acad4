"""What a halt keeps: entries that appear are cancelled, positions opened past it are closed back.

The baseline of a position key is its smallest abs(quantity) since the halt. An excess is closed
at most three times in ten minutes; after that people are told, and riskbot stops churning.
"""

from __future__ import annotations

from decimal import Decimal

from riskbot.core import actions
from riskbot.core.duty import IntentKind, Target
from riskbot.core.model import (
    InstrumentKind,
    PositionKey,
    TradingState,
    account_scope,
)
from riskbot.core.ongoing import Baseline, baseline_key
from riskbot.core.opening import open_intent
from riskbot.core.reach import can_close
from riskbot.core.turn import Turn

MAX_CLOSES = 3
WINDOW_MS = 600_000
READ_AGAIN_MS = 1_000


def keep(turn: Turn) -> None:
    """Start, follow and end the baselines; cancel entries that a state forbids."""
    for account in sorted(turn.settings.accounts):
        if not turn.state.is_synced(account):
            continue
        state = turn.state.enforcement.account_state(account)
        _follow(turn, account, is_halted=state is TradingState.HALTED)
        _cancel_forbidden(turn, account, state)


def _follow(turn: Turn, account: str, *, is_halted: bool) -> None:
    known = turn.state.enforcement.baselines.get(account)
    if not is_halted:
        if known is not None:
            turn.emit(actions.SetBaseline(account=account, quantities=None))
        return
    if turn.state.is_unmatched(account):
        # A list cut short looks like positions that were closed, and then like others opened. Fills
        # explain what is true; else the read that is asked for here shows it once more.
        _read_again(turn, account)
        return
    positions = {
        key: quantity
        for key, quantity in turn.state.holdings().quantity.items()
        if key.account == account and not _is_spot(turn, key)
    }
    if known is None:
        start = {baseline_key(key): quantity for key, quantity in positions.items()}
        turn.emit(actions.SetBaseline(account=account, quantities=start))
        return
    lowered = _lowered(known, positions)
    if lowered != known.quantities:
        turn.emit(
            actions.SetBaseline(
                account=account,
                quantities=lowered,
                excess_closed_ms=known.excess_closed_ms,
                is_fighting=known.is_fighting,
            )
        )
    _close_excess(turn, account, positions)


def _read_again(turn: Turn, account: str) -> None:
    if turn.now_ms - turn.state.last_request_ms(account) < READ_AGAIN_MS:
        return
    turn.emit(
        actions.RefreshAccount(
            account=account,
            request_id=turn.state.next_request_id(),
            reason="positions without fills",
            is_urgent=True,
        )
    )


def _is_spot(turn: Turn, key: PositionKey) -> bool:
    instrument = turn.state.instrument(key.account, key.symbol)
    return instrument is not None and instrument.kind is InstrumentKind.SPOT


def _lowered(known: Baseline, positions: dict[PositionKey, Decimal]) -> dict[str, Decimal]:
    """Return the baseline with each quantity as near to zero as it has been since the halt."""
    now = {baseline_key(key): quantity for key, quantity in positions.items()}
    lowered = {}
    for name, before in known.quantities.items():
        quantity = now.get(name, Decimal(0))
        if quantity * before < 0:
            quantity = Decimal(0)
        lowered[name] = quantity if abs(quantity) < abs(before) else before
    return lowered


def _close_excess(turn: Turn, account: str, positions: dict[PositionKey, Decimal]) -> None:
    known = turn.state.enforcement.baselines[account]
    busy = account in turn.state.enforcement.intents
    if busy or known.is_fighting or not turn.is_enforcing or not can_close(turn, account):
        return
    targets = []
    for key, quantity in positions.items():
        base = known.quantities.get(baseline_key(key), Decimal(0))
        instrument = turn.state.instrument(account, key.symbol)
        step = instrument.step if instrument else Decimal(0)
        if abs(quantity) > abs(base) and abs(quantity - base) >= max(step, Decimal("1e-12")):
            targets.append(Target(key, base if base * quantity > 0 else Decimal(0)))
    if not targets:
        return
    recent = tuple(t for t in known.excess_closed_ms if turn.now_ms - t < WINDOW_MS)
    is_fighting = len(recent) >= MAX_CLOSES
    if not is_fighting:
        scope = account_scope(account)
        cause = ((scope, "halt_baseline"),)
        open_intent(turn, account, IntentKind.BASELINE, cause, tuple(targets))
        recent += (turn.now_ms,)
    turn.emit(
        actions.SetBaseline(
            account=account,
            quantities=known.quantities,
            excess_closed_ms=recent,
            is_fighting=is_fighting,
        )
    )


def _cancel_forbidden(turn: Turn, account: str, state: TradingState) -> None:
    """Cancel entries that stand although the state forbids them.

    In shadow only an operator's halt forbids anything.
    """
    if account in turn.state.enforcement.intents:
        return
    by_cancel = turn.settings.accounts[account].deny_by_cancel
    keys: tuple[str, ...] = ()
    if state is TradingState.ACTIVE:
        holds = turn.state.enforcement.holds_of(account_scope(account))
        keys = tuple(sorted({k for h in holds if h.is_enforced for k in h.keys}))
        if not keys:
            return
    if state is not TradingState.HALTED and not by_cancel:
        return
    entries = turn.state.entries(account)
    if keys:
        entries = [o for o in entries if turn.state.raises_keys(o, keys)]
    if entries:
        cause = ((account_scope(account), state.value.lower()),)
        by_operator = state is TradingState.HALTED
        open_intent(
            turn,
            account,
            IntentKind.CANCEL,
            cause,
            (),
            cancel_keys=keys,
            by_operator=by_operator or turn.is_enforcing,
        )
