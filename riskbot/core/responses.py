"""Episodes that act to intents: one plan per account, the strongest response wins.

Flatten absorbs reduce and hedge; reduce targets are met jointly. Nothing is opened on an account
riskbot does not see, nor because of a cash flow it cannot explain yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from riskbot.core import approach, confirmation, hedging, needless, opening, plan, topping
from riskbot.core.confirmation import Confirmation
from riskbot.core.duty import (
    Episode,
    EpisodeStage,
    IntentKind,
    Target,
    approach_cause,
    cause,
)
from riskbot.core.exposure import ScopeBook
from riskbot.core.holds import IMPLY_DENY
from riskbot.core.limits._base import Limit, Verdict
from riskbot.core.model import PORTFOLIO, BlindKind, Level, Response, TradingState
from riskbot.core.reach import accounts_of, can_close, is_shaken_by_flow, sighted
from riskbot.core.turn import RISKBOT, Turn

AGAIN_MS = 1_000
"""A reduce or hedge that left the measure outside is planned anew after this long."""

_CANCELS = frozenset({Response.CANCEL, Response.HALT, Response.REDUCE, Response.HEDGE})


@dataclass(slots=True)
class _Work:
    """What is wanted on one account in this turn."""

    flatten: list[Episode] = field(default_factory=list)
    reduce: list[tuple[Episode, Limit]] = field(default_factory=list)
    free: set[str] = field(default_factory=set)
    cancel: list[Episode] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    hedges: list[Target] = field(default_factory=list)
    hedge_causes: list[Episode] = field(default_factory=list)


def respond(turn: Turn) -> None:
    """Open what the acting episodes call for; in shadow, say what would be opened."""
    needless.drop(turn)
    work: dict[str, _Work] = {}
    rows = [(e, turn.state.limit(*key)) for key, e in turn.state.enforcement.episodes.items()]
    for episode, limit in ((e, limit) for e, limit in rows if limit is not None):
        if episode.breach_since_ms is None:
            near = approach.due(turn, episode, limit)
            for account in near:
                entry = work.setdefault(account, _Work())
                entry.reduce.append((episode, limit))
                entry.free.update(near)
        elif episode.stage is EpisodeStage.ACTING:
            _collect(turn, work, episode, limit)
        elif episode.stage in {
            EpisodeStage.ASKING,
            EpisodeStage.UNCONFIRMED,
            EpisodeStage.DISAGREEING,
        } or (episode.stage is EpisodeStage.WAITING and episode.response in IMPLY_DENY):
            _collect_cancels(turn, work, episode)
    for account in sorted(work):
        _open_work(turn, account, work[account])
    _rejoin_pairs(turn)


def _rejoin_pairs(turn: Turn) -> None:
    """Flatten the other legs, too, where a leg that kept a pair standing can be closed after all.

    An account that comes back in sight closes its leg: what it hedged elsewhere must go with it.
    """
    enforcement = turn.state.enforcement
    for intent in list(enforcement.intents.values()):
        if intent.kind is not IntentKind.FLATTEN or intent.cancel_symbols is not None:
            continue
        book, reach = turn.book(PORTFOLIO), sighted(turn, intent.causes)
        if book is None or intent.account not in reach:
            continue
        closing = {t.key for t in intent.targets if not t.kept}
        legs = {leg.key for leg in book.legs if leg.is_closable and leg.key.account in reach}
        for pair in book.pairs:
            for key in set(pair.keys) & legs if closing & set(pair.keys) else ():
                present = enforcement.intents.get(key.account)
                if present is None or present.kind is not IntentKind.FLATTEN:
                    _flatten(turn, key.account, intent.causes, intent.actor)


def _flatten(
    turn: Turn, account: str, causes: tuple[tuple[str, str], ...], actor: str = RISKBOT
) -> None:
    reach = sighted(turn, causes)
    targets = turn.state.flatten_targets(turn.now_ms, (*reach, account))
    mine = tuple(t for t in targets if t.key.account == account)
    by_operator = actor != RISKBOT
    kind = IntentKind.FLATTEN
    opening.open_intent(turn, account, kind, causes, mine, actor=actor, by_operator=by_operator)


def _collect(turn: Turn, work: dict[str, _Work], episode: Episode, limit: Limit) -> None:
    response = episode.response
    if response is Response.FLATTEN:
        due = list(_due(turn, episode, IntentKind.FLATTEN))
        for account in due if due and _is_confirmed(turn, episode, limit) else ():
            work.setdefault(account, _Work()).flatten.append(episode)
        return
    _collect_cancels(turn, work, episode)
    if response not in IMPLY_DENY or not _is_confirmed(turn, episode, limit):
        return
    if response is Response.HEDGE and _hedge(turn, work, episode, limit):
        return
    if topping.takes_over(turn, episode, limit):
        return
    _reduce(turn, work, episode, limit)


def _is_confirmed(turn: Turn, episode: Episode, limit: Limit) -> bool:
    """Whether two sources show the breach at the moment work is opened for it.

    The episode was confirmed when it began to act; what is opened later, or again, needs its own
    proof.
    """
    if (episode.scope, limit.name) in turn.confirmed:
        return True
    book = turn.book(episode.scope)
    verdicts = turn.state.check(limit, book) if book is not None else []
    known = {v.key for v in verdicts if v.level is Level.RED}
    # While the measure is unknown the episode stands as it was, and nothing is done for it.
    red = frozenset(known & set(episode.keys or ("",)))
    since = episode.breach_since_ms
    proof, _ = confirmation.confirm(turn, episode.scope, limit, red, since)
    return proof is Confirmation.CONFIRMED


def _collect_cancels(turn: Turn, work: dict[str, _Work], episode: Episode) -> None:
    if episode.response in _CANCELS or episode.response is Response.FLATTEN:
        for account in _due(turn, episode, IntentKind.CANCEL):
            work.setdefault(account, _Work()).cancel.append(episode)


_ONCE = frozenset({IntentKind.FLATTEN, IntentKind.CANCEL})
"""Done once for each breach; reduce and hedge are planned again while the measure stays out."""


def _due(turn: Turn, episode: Episode, kind: IntentKind) -> Iterable[str]:
    """Yield the accounts on which this breach has not been answered by this kind (recently)."""
    closes = kind is not IntentKind.CANCEL
    if closes and is_shaken_by_flow(turn, episode.scope, episode.limit):
        return
    waiting = turn.state.enforcement.waiting(episode.scope, episode.limit)
    for account in accounts_of(turn, episode.scope):
        if closes and (account in waiting or not can_close(turn, account)):
            continue
        label = cause(kind, episode.limit)
        known = turn.state.enforcement.answered.get((episode.scope, label, account))
        if known is not None:
            since, at_ms = known
            joined = kind is IntentKind.CANCEL and episode.keys_ms > at_ms
            if kind in _ONCE and since == episode.breach_since_ms and not joined:
                continue
            if kind not in _ONCE and turn.now_ms - at_ms < AGAIN_MS:
                continue
        yield account


def _kind_book(turn: Turn, scope: str, limit: Limit) -> tuple[ScopeBook | None, list[Verdict]]:
    """Return the Book and the verdicts under which the breach is the smaller one.

    A price that one source alone states must not make a close larger than the others ask for.
    Margin is left to the mark: it is what liquidates.
    """
    found = []
    books = [turn.book(scope)]
    waiting = turn.state.enforcement.waiting(scope, limit.name)
    if waiting or limit.name not in confirmation.MARGIN_LIMITS:
        books.append(turn.second(waiting).scopes.get(scope))
    for book in books:
        verdicts = turn.state.check(limit, book) if book is not None else []
        used = max((v.utilization or 0.0 for v in verdicts), default=0.0)
        found.append((used, book, verdicts))
    _, book, verdicts = min(found, key=lambda row: row[0])
    return book, verdicts


def _breaches(episode: Episode, limit: Limit, verdicts: list[Verdict]) -> list[plan.Breach]:
    if episode.breach_since_ms is None:
        return [
            plan.Breach(episode.scope, limit, v.key, v.measured, limit.approach_target)
            for v in verdicts
            if v.level in {Level.ORANGE, Level.RED} and v.measured is not None
        ]
    return [
        plan.Breach(episode.scope, limit, v.key, v.measured)
        for v in verdicts
        if v.level is Level.RED and v.measured is not None and v.key in (episode.keys or ("",))
    ]


def _reduce(turn: Turn, work: dict[str, _Work], episode: Episode, limit: Limit) -> None:
    """Plan the closes of one reduce on the accounts that are free to work."""
    _give_up_hedges(turn, episode)
    intents = turn.state.enforcement.intents
    working = {
        a: i
        for a in accounts_of(turn, episode.scope)
        if (i := intents.get(a)) and i.kind is not IntentKind.CANCEL
    }
    if any(not i.is_paged for i in working.values()):
        # While work is under way on any of them its result is not known: plan when it is. Work
        # that is stuck is not waited for.
        return
    free = [a for a in _due(turn, episode, IntentKind.REDUCE) if a not in working]
    for account in free:
        entry = work.setdefault(account, _Work())
        entry.reduce.append((episode, limit))
        entry.free.update(free)


def _give_up_hedges(turn: Turn, episode: Episode) -> None:
    """End hedges that did not come about: the stronger response has taken over from them."""
    label = (episode.scope, cause(IntentKind.HEDGE, episode.limit))
    for account, intent in list(turn.state.enforcement.intents.items()):
        in_flight = turn.state.enforcement.pending_of(account)
        if intent.kind is IntentKind.HEDGE and label in intent.causes and not in_flight:
            needless.end(turn, intent, "reduced instead")


def _hedge(turn: Turn, work: dict[str, _Work], episode: Episode, limit: Limit) -> bool:
    """Plan hedges; False when there is none to be had (then reduce)."""
    waiting = turn.state.enforcement.waiting(episode.scope, limit.name)
    reach = [
        a for a in accounts_of(turn, episode.scope) if _may_hedge(turn, a) and a not in waiting
    ]
    book, _ = _kind_book(turn, episode.scope, limit)
    found = hedging.offsets(turn, episode, limit, book)
    targets = [t for t in found if t.key.account in reach]
    if not targets:
        return bool(hedging.is_under_way(turn, episode))
    due = set(_due(turn, episode, IntentKind.HEDGE))
    for target in targets:
        account = target.key.account
        present = turn.state.enforcement.intents.get(account)
        if account in due and (present is None or present.kind is IntentKind.CANCEL):
            entry = work.setdefault(account, _Work())
            entry.hedges.append(target)
            entry.hedge_causes.append(episode)
    return True


def _may_hedge(turn: Turn, account: str) -> bool:
    enforcement = turn.state.enforcement
    if enforcement.is_blind(BlindKind.STORAGE) or not can_close(turn, account):
        return False
    return enforcement.account_state(account) is not TradingState.HALTED


# ---------------------------------------------------------------- opening


def _open_work(turn: Turn, account: str, work: _Work) -> None:
    if work.flatten:
        _flatten(turn, account, _causes(IntentKind.FLATTEN, work.flatten))
        return
    if work.reduce:
        targets = _reduce_targets(turn, account, work)
        if targets:
            causes = [episode for episode, _ in work.reduce] + work.cancel
            _open(turn, account, IntentKind.REDUCE, causes, targets)
            return
    if work.hedges:
        causes = work.hedge_causes + work.cancel
        _open(turn, account, IntentKind.HEDGE, causes, tuple(work.hedges))
        return
    if work.cancel:
        _open(turn, account, IntentKind.CANCEL, work.cancel, ())


def _reduce_targets(turn: Turn, account: str, work: _Work) -> tuple[Target, ...]:
    """Return this account's part of the joint plan of all reduces that are due.

    Only accounts that are free to work are planned with: what cannot be closed now does not
    stand in for what can.
    """
    holdings = turn.state.holdings()
    found: tuple[Target, ...] = ()
    for episode, limit in work.reduce:
        whole = turn.book(episode.scope) or ScopeBook(episode.scope)
        book, verdicts = _kind_book(turn, episode.scope, limit)
        breaches = _breaches(episode, limit, verdicts)
        targets = plan.reduce_targets(book or whole, holdings, breaches, whole.pairs, work.free)
        found = opening.merged_targets(IntentKind.REDUCE, found, targets)
    return tuple(t for t in found if t.key.account == account)


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
) -> None:
    broken = [episode for episode in episodes if episode.breach_since_ms is not None]
    opening.open_intent(
        turn,
        account,
        kind,
        _causes(kind, episodes),
        targets,
        cancel_keys=_cancel_keys(broken),
        # An approach forbids nothing: what works goes on.
        cancel_symbols=None if broken else (),
    )


def _causes(kind: IntentKind, episodes: list[Episode]) -> tuple[tuple[str, str], ...]:
    broken = [e for e in episodes if e.breach_since_ms is not None]
    near = [e for e in episodes if e.breach_since_ms is None]
    labels = [(e.scope, cause(kind, e.limit)) for e in broken]
    labels += [(e.scope, approach_cause(e.limit)) for e in near]
    # Whatever closes cancels first: that answers the breach's cancel as well.
    labels += [(e.scope, cause(IntentKind.CANCEL, e.limit)) for e in broken]
    return tuple(dict.fromkeys(labels))
