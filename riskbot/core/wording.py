"""What alerts say: measured, against which limit, since when, what riskbot did, what you can do."""

from __future__ import annotations

import math

from riskbot.core import alerts, rebalancing
from riskbot.core.duty import (
    OPERATOR,
    Episode,
    EpisodeStage,
    Intent,
    IntentKind,
    Rung,
    cause_limit,
)
from riskbot.core.exposure import ScopeBook
from riskbot.core.holds import describe, figure
from riskbot.core.limits import LIMITS_BY_NAME
from riskbot.core.limits._base import Limit, position_subject
from riskbot.core.limits.hedge_drift import HedgeDrift
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.model import PORTFOLIO, Level, Response, TradingState
from riskbot.core.plan import PAIR_NOTE
from riskbot.core.turn import Turn

_WORK = {
    IntentKind.FLATTEN: "flattening",
    IntentKind.REDUCE: "reducing",
    IntentKind.HEDGE: "hedging",
    IntentKind.BASELINE: "closing what was opened past the halt",
    IntentKind.CANCEL: "cancelling working entries",
}


def speak(turn: Turn) -> None:
    """Raise, change and resolve the alerts of episodes and intents."""
    enforcement = turn.state.enforcement
    rows = [(e, turn.state.limit(*key)) for key, e in enforcement.episodes.items()]
    for episode, limit in ((e, limit) for e, limit in rows if limit is not None):
        _tell_episode(turn, episode, limit)
    for name, scope in turn.state.alerts.known():
        if name in LIMITS_BY_NAME and (scope, name) not in enforcement.episodes:
            alerts.resolve(turn, name, scope)
    _tell_intents(turn)
    _tell_kept_pairs(turn)
    _tell_fighting(turn)
    _tell_operator_halts(turn)


def _tell_operator_halts(turn: Turn) -> None:
    """Let everybody know of a halt that a person placed, and of its end."""
    holds = {h.scope: h for h in turn.state.enforcement.holds.values() if h.limit == OPERATOR}
    for scope, hold in holds.items():
        alerts.tell(
            turn,
            "halt",
            scope,
            Level.ORANGE,
            f"{scope} HALTED {hold.reason}",
            did="entries stopped and cancelled, exits allowed, positions stay",
            todo="resume ends it",
        )
    for name, scope in list(turn.state.alerts.firing):
        if name == "halt" and scope not in holds:
            alerts.resolve(turn, name, scope, "resumed")


def _tell_episode(turn: Turn, episode: Episode, limit: Limit) -> None:
    level = shown_level(episode, limit)
    if level is Level.OK:
        alerts.resolve(turn, episode.limit, episode.scope)
        return
    used = "" if episode.utilization is None else f"{episode.utilization * 100:.0f}% of the limit"
    text = ", ".join(
        part for part in (used, f"of {key_words(episode.keys)}" * bool(episode.keys)) if part
    )
    alerts.tell(
        turn,
        episode.limit,
        episode.scope,
        level,
        _title(episode, limit, level),
        text=text if level is not Level.RED else _red_text(episode),
        did=_did(turn, episode, limit),
        todo=_advised(turn, episode, limit),
        measured=episode.measured,
        allowed=episode.allowed,
        worst=episode.worst,
        is_urgent=bool(_deeds(turn, episode)),
    )


def shown_level(episode: Episode, limit: Limit) -> Level:
    """Return the level people see: a limit that only alerts tops out at orange.

    One whose adjustment window was missed is red all the same.
    """
    only_alerts = episode.response is Response.ALERT and limit.severity != "red"
    if episode.level is Level.RED and only_alerts and not episode.is_overdue:
        return Level.ORANGE
    return episode.level


def _title(episode: Episode, limit: Limit, level: Level) -> str:
    if level is Level.RED or episode.level is Level.RED:
        return describe(limit, episode.measured)
    measured = "unknown" if episode.measured is None else figure(episode.measured, limit.unit)
    return f"{limit.name} {measured} of {figure(limit.allowed, limit.unit)}"


def _red_text(episode: Episode) -> str:
    return f"of {key_words(episode.keys)}" if episode.keys else ""


def _would_approach(limit: Limit, episode: Episode) -> bool:
    is_near = episode.level is Level.ORANGE and episode.breach_since_ms is None
    return is_near and "reduce" in limit.on_approach


def _did(turn: Turn, episode: Episode, limit: Limit) -> str:
    """Return what riskbot did, in the mode it runs in."""
    enforcement = turn.state.enforcement
    hold = enforcement.holds.get((episode.scope, episode.limit))
    parts = []
    if hold is not None:
        parts.append(_hold_words(hold.state, hold.keys, is_latched=hold.is_latched))
    parts += _work_words(turn, episode)
    waiting = enforcement.waiting(episode.scope, episode.limit)
    if waiting and episode.stage is EpisodeStage.ACTING:
        names = ", ".join(sorted(waiting))
        parts.append(f"nothing is closed on {names}: it came while this stood")
    if not turn.is_enforcing and _would_approach(limit, episode):
        parts.append("response: reduce to below orange")
    if episode.note:
        parts.append(episode.note)
    if episode.is_overdue:
        parts.append("the adjustment window was missed")
    words = "; ".join(parts) or "watching"
    return words if turn.is_enforcing else f"shadow, would have: {words}"


def _deeds(turn: Turn, episode: Episode) -> list[str]:
    """Return what was done for the episode, or is being done."""
    finished = turn.state.enforcement.finished.get((episode.scope, episode.limit))
    moved = _margin_words(turn, episode)
    if moved:
        finished = f"{moved}; {finished}" if finished else moved
    working = [
        f"{_WORK[intent.kind]} on {account}"
        for account, intent in turn.state.enforcement.intents.items()
        if any((s, cause_limit(c)) == (episode.scope, episode.limit) for s, c in intent.causes)
    ]
    return [*([finished] if finished else []), *working]


def _work_words(turn: Turn, episode: Episode) -> list[str]:
    """Return what was done for the episode, is being done, or is meant to be."""
    deeds = _deeds(turn, episode)
    is_acting = episode.stage is EpisodeStage.ACTING and episode.response is not Response.ALERT
    return deeds or ([f"response: {episode.response.value}"] if is_acting else [])


def _margin_words(turn: Turn, episode: Episode) -> str:
    """Return what was done with margin for an episode."""
    if episode.limit != MaintenanceMargin.name:
        return ""
    pending = turn.state.moves.pending.values()
    move = next((m for m in pending if m.scope == episode.scope), None)
    if move is not None:
        return f"adding {move.amount_usd:,.0f} USD of margin to {key_words((move.subject,))}"
    return turn.state.moves.words.get(episode.scope, "")


_SIGNS = {"+": "the long side", "-": "the short side"}


def key_words(keys: tuple[str, ...]) -> str:
    """Write keys for people: `the long side`, `ETH/USDT:USDT on main`."""
    named = []
    for key in keys:
        account, _, symbol = key.partition("|")
        name = symbol.replace("|", " ")
        named.append(_SIGNS.get(key) or (f"{name} on {account}" if symbol else key))
    return ", ".join(named)


def _hold_words(state: TradingState, keys: tuple[str, ...], *, is_latched: bool) -> str:
    if state is TradingState.HALTED:
        until = " until resume" if is_latched else ""
        return f"HALTED{until}: entries stopped, exits allowed"
    if state is TradingState.REDUCING:
        return "REDUCING: entries denied, exits allowed"
    return f"entries that raise {key_words(keys)} denied" if keys else "entries denied"


def _top_up(turn: Turn, episode: Episode) -> str:
    """Return what would bring a margin ratio back inside without closing."""
    book = turn.book(episode.scope)
    subject = episode.keys[0] if episode.keys else ""
    equity = book.margin_equity.get(subject) if book is not None else None
    if episode.limit != "maintenance_margin" or equity is None or episode.measured is None:
        return ""
    missing = equity * (episode.measured / episode.allowed - 1)
    if not 0 < missing < math.inf:
        return ""
    lower = _lower_leverage(book, subject, equity + missing)
    return f"a top-up of {missing:,.0f} USD on {subject}{lower} would do; "


def _lower_leverage(book: ScopeBook | None, subject: str, margin_usd: float) -> str:
    """Return the leverage of an isolated position that sets so much margin aside for it."""
    for leg in book.legs if book is not None else ():
        if position_subject(leg.key) == subject and leg.notional_usd and leg.leverage:
            wanted = math.floor(abs(leg.notional_usd) / margin_usd)
            if 1 <= wanted < leg.leverage:
                return f", or leverage {wanted} instead of {leg.leverage:g},"
    return ""


def _advised(turn: Turn, episode: Episode, limit: Limit) -> str:
    """Return what to do; of hedge drift, which orders would restore the pairs."""
    words = _todo(turn, episode, limit)
    if episode.limit != HedgeDrift.name or not episode.keys:
        return words
    known = turn.state.alerts.firing.get((episode.limit, episode.scope))
    is_same = known is not None and known.measured == episode.measured
    if known is not None and is_same and known.todo and known.todo.endswith(words):
        # As long as the figure stands, so does the advice: prices move it by cents.
        return known.todo
    advice = rebalancing.advice(turn, episode.scope, episode.keys)
    return "; ".join(part for part in (advice, words) if part)


def _todo(turn: Turn, episode: Episode, limit: Limit) -> str:
    if episode.stage is EpisodeStage.ASKING:
        return f"reduce {limit.name} or flatten executes the plan; ack only silences"
    if episode.stage is EpisodeStage.DISAGREEING:
        return "look at the venue: riskbot holds until the prices agree, or act by hand"
    if episode.level is Level.RED:
        words = "ack; resume once you have looked at it" if limit.latch else "ack, or act by hand"
        return _top_up(turn, episode) + words
    return ""


def _tell_intents(turn: Turn) -> None:
    """Page a person for work that is stuck; resolve it when it is through."""
    intents = turn.state.enforcement.intents
    for intent in intents.values():
        if intent.is_paged:
            alerts.tell(
                turn,
                f"cannot_{intent.kind.value}",
                f"account:{intent.account}",
                Level.RED,
                f"CANNOT {intent.kind.value.upper()} {intent.account} yet",
                text=stuck_text(intent),
                did=f"{_WORK[intent.kind]}, still trying",
                todo="close by hand at the venue if you can",
            )
    for name, scope in list(turn.state.alerts.firing):
        account = scope.partition(":")[2]
        if name.startswith("cannot_") and account not in intents:
            alerts.resolve(turn, name, scope, "done")


def _tell_kept_pairs(turn: Turn) -> None:
    """Tell in red of pairs that a flatten left standing because one leg cannot be closed."""
    for intent in turn.ended:
        kept = [t for t in intent.targets if t.note.startswith(PAIR_NOTE)]
        if intent.kind is IntentKind.FLATTEN and kept:
            alerts.tell(
                turn,
                "kept_pair",
                f"account:{intent.account}",
                Level.RED,
                f"flatten of {intent.account} kept what hedges something it cannot close",
                text="; ".join(f"{t.key.symbol} {t.quantity}: {t.note}" for t in kept),
                did="the matched quantity of both legs stays",
                todo="close both legs by hand, or make the other one closable and flatten again",
            )
    for name, scope in list(turn.state.alerts.firing):
        account = scope.partition(":")[2]
        book = turn.book(scope) if name == "kept_pair" else None
        whole = turn.book(PORTFOLIO)
        if book is None or whole is None:
            continue
        if not any(key.account == account for pair in whole.pairs for key in pair.keys):
            alerts.resolve(turn, name, scope, "no pair is left")


def stuck_text(intent: Intent) -> str:
    """Return what keeps an intent from its end, one part per key."""
    parts = [
        f"{t.key.symbol} {t.rung.value}: {t.note or 'not settled'}"
        for t in intent.targets
        if t.rung is not Rung.MARKET or t.note
    ]
    return "; ".join(parts[:5]) or f"in phase {intent.phase.value}"


def _tell_fighting(turn: Turn) -> None:
    for account, baseline in turn.state.enforcement.baselines.items():
        if baseline.is_fighting:
            alerts.tell(
                turn,
                "strategy_fighting",
                f"account:{account}",
                Level.RED,
                f"a strategy keeps trading on {account} during the halt",
                did="closed what it opened three times in ten minutes; stopped churning",
                todo="stop the strategy or revoke its key, then flatten",
            )
    for name, scope in list(turn.state.alerts.firing):
        known = turn.state.enforcement.baselines.get(scope.partition(":")[2])
        if name == "strategy_fighting" and (known is None or not known.is_fighting):
            alerts.resolve(turn, name, scope)
