"""Episodes that act to intents: one plan per account, the strongest response wins.

Flatten absorbs reduce and hedge; reduce targets are met jointly. Nothing is opened on an account
riskbot does not see, nor because of a cash flow it cannot explain yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from riskbot.core import actions, hedging, plan
from riskbot.core.duty import (
    Episode,
    EpisodeStage,
    Intent,
    IntentKind,
    IntentPhase,
    Target,
    cause,
    cause_limit,
)
from riskbot.core.limits._base import Limit
from riskbot.core.model import PORTFOLIO, BlindKind, Level, Response, scope_account
from riskbot.core.turn import RISKBOT, Turn

AGAIN_MS = 1_000
"""A reduce or hedge that left the measure outside is planned anew after this long."""

_STRENGTH = {
    IntentKind.CANCEL: 0,
    IntentKind.BASELINE: 1,
    IntentKind.HEDGE: 2,
    IntentKind.REDUCE: 3,
    IntentKind.FLATTEN: 4,
}

_CANCELS = frozenset({Response.CANCEL, Response.HALT, Response.REDUCE, Response.HEDGE})


@dataclass(slots=True)
class _Work:
    """What is wanted on one account in this turn."""

    flatten: list[Episode] = field(default_factory=list)
    reduce: list[Episode] = field(default_factory=list)
    cancel: list[Episode] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    hedges: list[Target] = field(default_factory=list)
    hedge_causes: list[Episode] = field(default_factory=list)


def accounts_of(turn: Turn, scope: str) -> list[str]:
    """Return the accounts a response in this scope may touch.

    A strategy's reach is its accounts that no other strategy shares and nobody else trades.
    """
    if scope == PORTFOLIO:
        return sorted(turn.settings.accounts)
    account = scope_account(scope)
    if account is not None:
        return [account] if account in turn.settings.accounts else []
    name = scope.partition(":")[2]
    mine = turn.settings.strategies.get(name)
    others = {a for n, s in turn.settings.strategies.items() if n != name for a in s.accounts}
    return [
        a
        for a in (mine.accounts if mine else ())
        if a not in others and turn.settings.accounts[a].exclusive
    ]


def can_close(turn: Turn, account: str) -> bool:
    """Whether closing work may be opened on an account: sighted, no unexplained flow."""
    blind = turn.state.enforcement.is_blind(BlindKind.ACCOUNT, account)
    return not blind and not turn.state.has_pending_flow(account)


def respond(turn: Turn) -> None:
    """Open what the acting episodes call for; in shadow, say what would be opened."""
    work: dict[str, _Work] = {}
    for (scope, name), episode in list(turn.state.enforcement.episodes.items()):
        limit = turn.state.limit(scope, name)
        if limit is None or episode.breach_since_ms is None:
            continue
        if episode.stage is EpisodeStage.ACTING:
            _collect(turn, work, episode, limit)
        elif episode.stage in {
            EpisodeStage.ASKING,
            EpisodeStage.UNCONFIRMED,
            EpisodeStage.DISAGREEING,
        }:
            _collect_cancels(turn, work, episode)
    for account in sorted(work):
        _open_work(turn, account, work[account])


def _collect(turn: Turn, work: dict[str, _Work], episode: Episode, limit: Limit) -> None:
    response = episode.response
    if response is Response.FLATTEN:
        for account in _due(turn, episode, IntentKind.FLATTEN):
            work.setdefault(account, _Work()).flatten.append(episode)
        return
    _collect_cancels(turn, work, episode)
    if response is Response.HEDGE and _hedge(turn, work, episode, limit):
        return
    if response in {Response.REDUCE, Response.HEDGE} and episode.level is Level.RED:
        _reduce(turn, work, episode, limit)


def _collect_cancels(turn: Turn, work: dict[str, _Work], episode: Episode) -> None:
    if episode.response in _CANCELS or episode.response is Response.FLATTEN:
        for account in _due(turn, episode, IntentKind.CANCEL):
            work.setdefault(account, _Work()).cancel.append(episode)


_ONCE = frozenset({IntentKind.FLATTEN, IntentKind.CANCEL})
"""Done once for each breach; reduce and hedge are planned again while the measure stays out."""


def _due(turn: Turn, episode: Episode, kind: IntentKind) -> Iterable[str]:
    """Yield the accounts on which this breach has not been answered by this kind (recently)."""
    for account in accounts_of(turn, episode.scope):
        if kind is not IntentKind.CANCEL and not can_close(turn, account):
            continue
        label = cause(kind, episode.limit)
        known = turn.state.enforcement.answered.get((episode.scope, label, account))
        if known is not None:
            since, at_ms = known
            if kind in _ONCE and since == episode.breach_since_ms:
                continue
            if kind not in _ONCE and turn.now_ms - at_ms < AGAIN_MS:
                continue
        yield account


def _breaches(episode: Episode, limit: Limit) -> list[plan.Breach]:
    keys = episode.keys or ("",)
    measured = episode.measured or 0.0
    return [plan.Breach(episode.scope, limit, key, measured) for key in keys]


def _reduce(turn: Turn, work: dict[str, _Work], episode: Episode, limit: Limit) -> None:
    """Plan the closes of one reduce on the accounts that are free to work."""
    _give_up_hedges(turn, episode)
    book = turn.book(episode.scope)
    free = [
        a
        for a in _due(turn, episode, IntentKind.REDUCE)
        if turn.state.enforcement.intents.get(a) is None
        or turn.state.enforcement.intents[a].kind is IntentKind.CANCEL
    ]
    busy = {
        a
        for a in accounts_of(turn, episode.scope)
        if (i := turn.state.enforcement.intents.get(a)) and i.kind is not IntentKind.CANCEL
    }
    if book is None or not free or busy:
        # While work is under way on any of them its result is not known: plan when it is.
        return
    for account in free:
        entry = work.setdefault(account, _Work())
        entry.reduce.append(episode)


def _give_up_hedges(turn: Turn, episode: Episode) -> None:
    """End hedges that did not come about: the stronger response has taken over from them."""
    label = (episode.scope, cause(IntentKind.HEDGE, episode.limit))
    for account, intent in list(turn.state.enforcement.intents.items()):
        in_flight = turn.state.enforcement.pending_of(account)
        if intent.kind is IntentKind.HEDGE and label in intent.causes and not in_flight:
            turn.emit(
                actions.EndIntent(
                    account=account, intent_id=intent.intent_id, outcome="reduced instead"
                )
            )


def _hedge(turn: Turn, work: dict[str, _Work], episode: Episode, limit: Limit) -> bool:
    """Plan hedges; False when there is none to be had (then reduce)."""
    targets = hedging.offsets(turn, episode, limit)
    if not targets:
        return bool(hedging.is_under_way(turn, episode))
    due = set(_due(turn, episode, IntentKind.HEDGE))
    for target in targets:
        account = target.key.account
        if account in due and turn.state.enforcement.intents.get(account) is None:
            entry = work.setdefault(account, _Work())
            entry.hedges.append(target)
            entry.hedge_causes.append(episode)
    return True


# ---------------------------------------------------------------- opening


def _open_work(turn: Turn, account: str, work: _Work) -> None:
    if work.flatten:
        targets = turn.state.flatten_targets(turn.now_ms, (account,))
        _open(turn, account, IntentKind.FLATTEN, work.flatten, targets)
        return
    if work.reduce:
        targets = _reduce_targets(turn, account, work.reduce)
        if targets:
            causes = work.reduce + work.cancel
            _open(turn, account, IntentKind.REDUCE, causes, targets, _cancel_keys(causes))
            return
    if work.hedges:
        _open(turn, account, IntentKind.HEDGE, work.hedge_causes, tuple(work.hedges))
        return
    if work.cancel:
        _open(turn, account, IntentKind.CANCEL, work.cancel, (), _cancel_keys(work.cancel))


def _reduce_targets(turn: Turn, account: str, episodes: list[Episode]) -> tuple[Target, ...]:
    """Return this account's part of the joint plan of all reduces that are due."""
    wanted: dict[str, list[plan.Breach]] = {}
    for episode in episodes:
        limit = turn.state.limit(episode.scope, episode.limit)
        if limit is not None:
            wanted.setdefault(episode.scope, []).extend(_breaches(episode, limit))
    holdings = turn.state.holdings()
    merged: dict[object, Target] = {}
    for scope, breaches in wanted.items():
        book = turn.book(scope)
        if book is None:
            continue
        for target in plan.reduce_targets(book, holdings, breaches):
            known = merged.get(target.key)
            if known is None or abs(target.quantity) < abs(known.quantity):
                merged[target.key] = target
    return tuple(t for t in merged.values() if t.key.account == account)


def _cancel_keys(episodes: list[Episode]) -> tuple[str, ...]:
    """Return the keys whose entries are cancelled; empty (= all) when any cause has none."""
    if any(not episode.keys for episode in episodes):
        return ()
    return tuple(sorted({key for episode in episodes for key in episode.keys}))


def _open(
    turn: Turn,
    account: str,
    kind: IntentKind,
    episodes: list[Episode],
    targets: tuple[Target, ...],
    cancel_keys: tuple[str, ...] = (),
) -> None:
    labels = [(e.scope, cause(kind, e.limit)) for e in episodes]
    # Whatever closes cancels first: that answers the breach's cancel as well.
    labels += [(e.scope, cause(IntentKind.CANCEL, e.limit)) for e in episodes]
    causes = tuple(dict.fromkeys(labels))
    open_intent(turn, account, kind, causes, targets, cancel_keys=cancel_keys)


def open_intent(
    turn: Turn,
    account: str,
    kind: IntentKind,
    causes: tuple[tuple[str, str], ...],
    targets: tuple[Target, ...],
    *,
    actor: str = RISKBOT,
    cancel_keys: tuple[str, ...] = (),
    cancel_symbols: tuple[str, ...] | None = None,
    reply_to: str | None = None,
    by_operator: bool = False,
    cancels_all_orders: bool = False,
) -> Intent | None:
    """Open an intent on an account, absorbing a weaker one; None when nothing is opened.

    In shadow riskbot's own intents are only said (`would_...`); an operator's are carried out.
    """
    scope, limit = causes[0] if causes else (PORTFOLIO, "")
    enforced = by_operator or turn.is_enforcing
    said = kind.value if enforced else f"would_{kind.value}"
    present = turn.state.enforcement.intents.get(account)
    if enforced and present is not None and _STRENGTH[present.kind] > _STRENGTH[kind]:
        return None
    if not enforced and _was_said(turn, account, causes):
        return None
    turn.audit(
        said,
        cause_limit(limit),
        scope,
        "; ".join(f"{s} {n}" for s, n in causes),
        actor,
        account=account,
        targets={f"{t.key.symbol}|{t.key.side.value}": str(t.quantity) for t in targets},
    )
    if not enforced:
        turn.emit(actions.MarkAnswered(account=account, causes=causes))
        return None
    if present is not None:
        turn.emit(
            actions.EndIntent(account=account, intent_id=present.intent_id, outcome="absorbed")
        )
    intent = Intent(
        intent_id=turn.state.enforcement.intent_counter + 1,
        kind=kind,
        account=account,
        causes=causes,
        actor=actor,
        phase=IntentPhase.CANCEL,
        started_ms=turn.now_ms,
        targets=targets,
        cancel_keys=cancel_keys,
        cancel_symbols=cancel_symbols,
        cancels_all_orders=cancels_all_orders,
        reply_to=reply_to or (present.reply_to if present is not None else None),
    )
    if present is not None and present.kind is kind:
        intent = replace(intent, has_canceled=present.has_canceled)
    turn.emit(actions.SetIntent(intent=intent))
    return intent


def _was_said(turn: Turn, account: str, causes: tuple[tuple[str, str], ...]) -> bool:
    """Whether shadow has said this for the same breach already."""
    enforcement = turn.state.enforcement
    return all(
        (known := enforcement.answered.get((scope, limit, account))) is not None
        and known[0] == enforcement.breach_since(scope, limit)
        for scope, limit in causes
    )
