"""First contact of a limit with an account: what stood then is reported, and waits for a person.

A limit meets its whole scope when it is new or tightened, and an account when that is first read
beside others that it knows. Which stage a breach is in is `ladder`.
"""

from __future__ import annotations

from dataclasses import replace

from riskbot.core import actions, reach
from riskbot.core.duty import Contact
from riskbot.core.limits._base import Limit, Verdict
from riskbot.core.model import Level
from riskbot.core.turn import Turn


def meet(turn: Turn, scope: str, limit: Limit, worst: Verdict) -> None:
    """Record first contacts in enforce, and arm what has cleared since."""
    if not turn.is_enforcing or not turn.state.is_settled(scope, turn.now_ms):
        # What was seen before a restart is no evaluation: it neither meets nor arms.
        return
    known = turn.state.enforcement.contacts.get((scope, limit.name))
    stands = _stands(limit, worst)
    waits = stands and turn.settings.startup_breach != "act"
    sighted = [a for a in reach.accounts_of(turn, scope) if turn.state.is_synced(a)]
    if known is None or (stands and _is_tightened(known, limit)):
        contact = Contact(
            scope, limit.name, limit.allowed, is_armed=not waits, accounts=tuple(sighted)
        )
        if waits:
            _audit(turn, limit, worst, "it stood at first contact")
    else:
        contact, new = _met(turn, known, sighted, waits=waits)
        if contact.is_armed and known.is_armed:
            contact = replace(contact, allowed=limit.allowed)
        if waits and new:
            _audit(turn, limit, worst, f"it stood at first contact with {', '.join(new)}")
    if contact != known:
        turn.emit(actions.SetContact(contact=contact))


def _met(
    turn: Turn, known: Contact, sighted: list[str], *, waits: bool
) -> tuple[Contact, list[str]]:
    """Return a contact with the accounts that are there now, and which of them are new."""
    configured = turn.settings.accounts
    # A contact that was recorded before accounts were told apart has met them all.
    met = [a for a in known.accounts or tuple(configured) if a in configured]
    new = [account for account in sighted if account not in met]
    waiting = [a for a in (*known.waiting, *new) if a in configured] if waits else []
    contact = replace(
        known,
        is_armed=known.is_armed or not waits,
        accounts=tuple(sorted({*met, *new})),
        waiting=tuple(sorted(set(waiting))),
    )
    return contact, new


def _stands(limit: Limit, worst: Verdict) -> bool:
    """Whether what is measured would close something: a breach, or orange where that reduces."""
    return worst.level is Level.RED or (
        "reduce" in limit.on_approach and worst.level is Level.ORANGE
    )


def _is_tightened(known: Contact, limit: Limit) -> bool:
    if limit.is_min:
        return limit.allowed > known.allowed
    return limit.allowed < known.allowed


def _audit(turn: Turn, limit: Limit, worst: Verdict, why: str) -> None:
    turn.audit(
        "first_contact",
        limit.name,
        worst.scope,
        f"{why}: reported, its closing response waits",
        measured=worst.measured,
        allowed=limit.allowed,
    )


# ---------------------------------------------------------------- reading


def is_armed(turn: Turn, scope: str, name: str) -> bool:
    """Whether a limit's closing response may act in a scope at all."""
    contact = turn.state.enforcement.contacts.get((scope, name))
    return contact.is_armed if contact is not None else not turn.is_enforcing


def shows_without(turn: Turn, scope: str, limit: Limit, names: frozenset[str]) -> bool:
    """Whether a breach stands, too, without what these accounts hold."""
    book = turn.second(names).scopes.get(scope)
    verdicts = turn.state.check(limit, book) if book is not None else []
    return any(verdict.level is Level.RED for verdict in verdicts)
