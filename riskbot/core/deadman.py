"""The venue's dead-man's switch: armed, refreshed, let lapse, by account policy.

It cancels orders and never closes positions, protective stops included: with `entries_only` it
is armed only while no protective order is within its reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from riskbot.core import actions, exits
from riskbot.core.model import BlindKind, Mode
from riskbot.core.turn import Turn

if TYPE_CHECKING:
    from riskbot.core.state import State

BLIND_PATIENCE_MS = 60_000
DISARM_AGAIN_MS = 2_000


def decide(turn: Turn) -> None:
    """Arm, refresh or disarm where that is due; shadow touches nobody's orders."""
    if not turn.is_enforcing:
        return
    for name, settings in turn.settings.accounts.items():
        policy = settings.dead_man
        if policy.policy == "off" or not turn.state.is_synced(name):
            continue
        timeout_ms = int(policy.timeout_s * 1000)
        told_ms = turn.now_ms - turn.state.dead_man_sent_ms(name)
        protects = bool(exits.protective(turn.state.accounts.get(name)))
        known = turn.state.feeds.dead_men.get(name)
        # After a restart the venue's timer may still run from before.
        is_armed = known["is_armed"] if known is not None else told_ms < timeout_ms
        symbols = tuple(sorted({o.symbol for o in turn.state.orders(name)}))
        if policy.policy == "entries_only" and protects:
            if is_armed and told_ms >= DISARM_AGAIN_MS:
                # Where each instrument has a timer, those armed before may have no order now.
                before = turn.state.feeds.switched.get(name, ())
                symbols = tuple(sorted({*symbols, *before}))
                turn.emit(actions.SetDeadMan(account=name, timeout_ms=0, symbols=symbols))
            continue
        if told_ms < timeout_ms // 3:
            continue
        if _is_blind_for_long(turn.state, name, turn.now_ms):
            # Cancelling needs no price: what riskbot cannot see is left to lapse.
            continue
        if symbols or is_armed:
            turn.emit(actions.SetDeadMan(account=name, timeout_ms=timeout_ms, symbols=symbols))


def why_not(state: State, account: str, now_ms: int) -> str:
    """Return why the switch of an account is not armed, empty = it will be, or was just asked."""
    settings = state.settings.accounts[account].dead_man
    known = state.accounts.get(account)
    told = state.feeds.dead_men.get(account)
    reasons = (
        (settings.policy == "off", "off by configuration"),
        (state.settings.mode is not Mode.ENFORCE, "shadow touches nobody's orders"),
        (not known.is_synced, "the account is not read yet"),
        (
            settings.policy == "entries_only" and bool(exits.protective(known)),
            "would cancel stops",
        ),
        (_is_blind_for_long(state, account, now_ms), "out of sight: left to lapse"),
        (not known.orders, "no working orders"),
    )
    said = next((reason for holds, reason in reasons if holds), "")
    return said or (str(told["detail"]) if told is not None else "not confirmed by the venue yet")


def _is_blind_for_long(state: State, account: str, now_ms: int) -> bool:
    known = state.enforcement.blinds.get((BlindKind.ACCOUNT, account))
    return known is not None and now_ms - known[1] > BLIND_PATIENCE_MS
