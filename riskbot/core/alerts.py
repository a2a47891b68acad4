"""Sub-state of alerts: pending, firing, worse, acknowledged, silenced, resolved.

Edge-triggered and kept by the journal, so that a restart neither repeats nor forgets. What an
alert says about an episode is put into words in `wording`; which alerts are told together, when
and how loud is decided in `threads`; how that is delivered is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from riskbot.core import actions, events
from riskbot.core.duty import Alert, AlertStatus, AlertThread, Silence
from riskbot.core.limits import LIMITS_BY_NAME
from riskbot.core.model import Level
from riskbot.core.plain import from_plain, to_plain
from riskbot.core.receipts import with_receipt
from riskbot.core.turn import Turn

RAISE_MS = {Level.YELLOW: 30_000, Level.ORANGE: 10_000}
"""For so long a limit's condition must hold before it is an alert; red and losses: at once."""

SETTLE_MS = {
    "feed_prices": 30_000,
    "feed_account": 30_000,
    "blind_account": 10_000,
    "blind_price": 10_000,
    "unread_account": 10_000,
}
"""So long riskbot must be without sight before it tells; the flag that denies waits for nothing."""

LOWER_MS = {Level.YELLOW: 120_000, Level.ORANGE: 300_000, Level.RED: 600_000}
"""For so long a limit's condition must be below a level before its alert comes down from it."""

FLAPPING_MS = 1_800_000
"""Window in which an alert that is raised more than `FLAPPING_CYCLES` times is flapping; for so
long it then stays at its higher level."""

FLAPPING_CYCLES = 3
WORSE_BY = 0.10
"""An acknowledged alert that is worse by this share of its limit is nobody's again."""

ANY = "*"
"""In a silence: every name, every scope."""

RESOLVED_MAX = 50
TIMELINE_MAX = 20


@dataclass(slots=True)
class Alerts:
    """Every alert, by (name, scope), and the messages they are told in.

    Attributes:
        pending: conditions that have not held long enough to be told.
        resolved: the last ones that ended, oldest first.
        threads: messages by thread id; the last that are over too.
        silences: by (name, scope), either may be `*`.
        raised: when an alert was raised lately, by `name|scope`.
        deliveries: how each channel fared last: `ok` or the error, and when.
    """

    firing: dict[tuple[str, str], Alert] = field(default_factory=dict)
    resolved: list[Alert] = field(default_factory=list)
    counter: int = 0
    deliveries: dict[str, tuple[str, int]] = field(default_factory=dict)
    pending: dict[tuple[str, str], Alert] = field(default_factory=dict)
    threads: dict[str, AlertThread] = field(default_factory=dict)
    silences: dict[tuple[str, str], Silence] = field(default_factory=dict)
    raised: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Alerts:
        """Return what `dump` wrote."""
        state: Alerts = from_plain(cls, data)
        return state

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        match record:
            case actions.SetAlert():
                self._set(record.alert, now_ms)
            case actions.DropAlert():
                self.pending.pop((record.name, record.scope), None)
            case actions.SetThread():
                self.threads[record.thread.thread_id] = record.thread
            case actions.DropThread():
                self.threads.pop(record.thread_id, None)
            case actions.SetSilence():
                self.silences[record.silence.name, record.silence.scope] = record.silence
            case actions.DropSilence():
                self.silences.pop((record.name, record.scope), None)
            case events.AlertDelivered():
                self.deliveries |= {} if record.is_held else {record.channel: ("ok", now_ms)}
                self._delivered(record)
            case events.AlertDeliveryFailed():
                self.deliveries[record.channel] = (record.error, now_ms)
            case _:
                pass

    def _set(self, alert: Alert, now_ms: int) -> None:
        number = alert.alert_id[1:]
        self.counter = max(self.counter, int(number) if number.isdecimal() else 0)
        key = (alert.name, alert.scope)
        if alert.status is AlertStatus.PENDING:
            self.pending[key] = alert
            return
        self.pending.pop(key, None)
        if alert.status is AlertStatus.RESOLVED:
            self.firing.pop(key, None)
            kept = self.resolved[-RESOLVED_MAX + 1 :]
            self.resolved = [*kept, alert]
            return
        if key not in self.firing:
            name = f"{alert.name}|{alert.scope}"
            since_ms = now_ms - FLAPPING_MS
            self.raised = {n: t for n, t in self.raised.items() if t[-1] > since_ms}
            self.raised[name] = (*self.raised.get(name, ())[-FLAPPING_CYCLES:], now_ms)
        self.firing[key] = alert

    def _delivered(self, record: events.AlertDelivered) -> None:
        thread = self.threads.get(record.alert_id)
        if thread is not None and thread.delivered.get(record.channel, 0) < record.revision:
            self.threads[record.alert_id] = with_receipt(thread, record)

    def silence_of(self, alert: Alert) -> Silence | None:
        """Return the silence that covers an alert at its present level, None = none does."""
        for name in (alert.name, ANY):
            for scope in (alert.scope, ANY):
                found = self.silences.get((name, scope))
                if found is not None and alert.level.rank <= found.max_level.rank:
                    return found
        return None

    def is_flapping(self, alert: Alert, now_ms: int) -> bool:
        """Whether an alert that is raised now was raised too often lately."""
        times = self.raised.get(f"{alert.name}|{alert.scope}", ())
        return sum(ms > now_ms - FLAPPING_MS for ms in times) >= FLAPPING_CYCLES

    def known(self) -> list[tuple[str, str]]:
        """Return (name, scope) of everything that fires or may come to."""
        return [*self.firing, *self.pending]


# ---------------------------------------------------------------- conditions


def tell(
    turn: Turn,
    name: str,
    scope: str,
    level: Level,
    title: str,
    *,
    text: str = "",
    did: str = "",
    todo: str = "",
    measured: float | None = None,
    allowed: float | None = None,
    worst: float | None = None,
    is_urgent: bool = False,
) -> None:
    """Say that a condition holds, at which level and in which words.

    It becomes an alert, or changes the one that fires under this name and scope, once it has held
    for long enough; at once when it is urgent: riskbot has acted on it.
    """
    before = _known(turn, name, scope)
    after = replace(
        before or _new(turn, name, scope),
        title=title,
        text=text,
        did=did,
        todo=todo,
        measured=measured,
        allowed=allowed,
        worst=worst if worst is not None else measured,
        is_urgent=is_urgent,
    )
    _move(turn, before, _weigh(turn, after, level))


def resolve(turn: Turn, name: str, scope: str, note: str = "", *, at_once: bool = False) -> None:
    """Say that a condition has ended; nothing happens when no alert stands for it.

    Args:
        turn: where it is decided.
        name: of the alert.
        scope: of the alert.
        note: what riskbot did last, for the notice.
        at_once: a person ended it: it does not have to hold for a while.
    """
    before = _known(turn, name, scope)
    if before is None:
        return
    after = replace(before, did=note or before.did)
    if at_once:
        after = replace(after, level=Level.OK)
    _move(turn, before, _weigh(turn, after, Level.OK))


def once(turn: Turn, name: str, scope: str, level: Level, title: str, **words: str) -> str:
    """Tell of something that is over as soon as it is told; return its id."""
    alert = _new(turn, name, scope)
    alert = replace(
        alert,
        alert_id=f"A{turn.state.alerts.counter + 1}",
        status=AlertStatus.FIRING,
        level=level,
        worst_level=level,
        revision=1,
        is_notice=True,
        title=title,
        text=words.get("text", ""),
        did=words.get("did", ""),
        todo=words.get("todo", ""),
    )
    turn.emit(actions.SendAlert(alert=alert, is_loud=level.rank >= Level.ORANGE.rank))
    turn.emit(actions.SetAlert(alert=replace(alert, status=AlertStatus.RESOLVED)))
    return alert.alert_id


def _known(turn: Turn, name: str, scope: str) -> Alert | None:
    state = turn.state.alerts
    return state.firing.get((name, scope)) or state.pending.get((name, scope))


def _new(turn: Turn, name: str, scope: str) -> Alert:
    return Alert(
        alert_id="",
        revision=0,
        level=Level.OK,
        status=AlertStatus.PENDING,
        name=name,
        scope=scope,
        title="",
        text="",
        since_ms=turn.now_ms,
        updated_ms=turn.now_ms,
    )


def _is_held(turn: Turn, alert: Alert) -> bool:
    """Whether an alert waits before it rises: limits that are no losses, while nothing is done."""
    if alert.name in SETTLE_MS:
        return True
    limit = turn.state.limit(alert.scope, alert.name)
    return limit is not None and not limit.is_loss and not alert.is_urgent


def _weigh(turn: Turn, alert: Alert, wanted: Level) -> Alert:
    """Return the alert at the level it has by now, given what the condition asks for."""
    now_ms, held = turn.now_ms, _is_held(turn, alert)
    since = {
        level: (began if began is not None else now_ms) if wanted.rank >= level.rank else None
        for level, began in ((Level.YELLOW, alert.yellow_ms), (Level.ORANGE, alert.orange_ms))
    }
    reached = wanted if wanted is Level.RED or not held else Level.OK
    for level, began in since.items():
        wait_ms = SETTLE_MS.get(alert.name, RAISE_MS[level])
        if held and began is not None and now_ms - began >= wait_ms:
            reached = max(reached, level, key=lambda lv: lv.rank)
    below_ms = None
    level = alert.level
    if wanted.rank < level.rank:
        below_ms = now_ms if alert.below_ms is None else alert.below_ms
        if now_ms - below_ms >= _lower_ms(turn, alert):
            level, below_ms = wanted, None
    level = max(level, reached, key=lambda lv: lv.rank)
    return replace(
        alert,
        level=level,
        yellow_ms=since[Level.YELLOW],
        orange_ms=since[Level.ORANGE],
        below_ms=below_ms,
    )


def _lower_ms(turn: Turn, alert: Alert) -> int:
    if alert.is_flapping:
        return FLAPPING_MS
    is_limit = turn.state.limit(alert.scope, alert.name) is not None
    return LOWER_MS[alert.level] if is_limit else 0


def _move(turn: Turn, before: Alert | None, after: Alert) -> None:
    """Record what became of an alert: nothing new, pending, raised, changed, resolved."""
    if after.level is Level.OK:
        _below(turn, before, after)
        return
    raised = before is None or before.status is AlertStatus.PENDING
    told = before or after
    if raised:
        after = replace(
            after,
            alert_id=f"A{turn.state.alerts.counter + 1}",
            status=AlertStatus.FIRING,
            level_ms=turn.now_ms,
            worst_level=after.level,
            is_flapping=turn.state.alerts.is_flapping(after, turn.now_ms),
        )
    elif after.level.rank > told.level.rank:
        worst = max(told.worst_level, after.level, key=lambda lv: lv.rank)
        after = replace(_untaken(after), level_ms=turn.now_ms, worst_level=worst)
    elif _is_worse(after):
        after = _untaken(after)
    if raised or _words(after) != _words(told):
        words = "" if not raised and after.level is told.level else after.level.value
        after = _noted(replace(after, revision=after.revision + 1), turn, words)
    if before is None or _marks(after) != _marks(before):
        turn.emit(actions.SetAlert(alert=replace(after, updated_ms=turn.now_ms)))


def _below(turn: Turn, before: Alert | None, after: Alert) -> None:
    """Take what is not, or no more, an alert."""
    if before is not None and before.status is AlertStatus.FIRING:
        over = replace(
            after,
            revision=before.revision + 1,
            status=AlertStatus.RESOLVED,
            resolved_ms=turn.now_ms,
            updated_ms=turn.now_ms,
            todo="",
        )
        turn.emit(actions.SetAlert(alert=_noted(over, turn, "resolved")))
    elif after.yellow_ms is not None:
        if before is None or _times(before) != _times(after):
            turn.emit(actions.SetAlert(alert=after))
    else:
        turn.emit(actions.DropAlert(alert_id="", name=after.name, scope=after.scope))


def _words(alert: Alert) -> tuple[object, ...]:
    """Return what people see of an alert: a change of it is worth an edit."""
    return (
        alert.level,
        alert.title,
        alert.text,
        alert.did,
        alert.todo,
        alert.acked_by,
    )


def _times(alert: Alert) -> tuple[int | None, ...]:
    return (alert.yellow_ms, alert.orange_ms, alert.below_ms)


def _marks(alert: Alert) -> tuple[object, ...]:
    """Return what is recorded of an alert; a figure that moves within its words is not."""
    return (*_words(alert), *_times(alert), alert.status)


def _noted(alert: Alert, turn: Turn, words: str) -> Alert:
    if not words:
        return alert
    return replace(alert, timeline=(*alert.timeline[-TIMELINE_MAX + 1 :], (turn.now_ms, words)))


# ---------------------------------------------------------------- people


def _untaken(alert: Alert) -> Alert:
    return replace(alert, acked_by=None, acked_ms=None, acked_used=None)


def _used(alert: Alert) -> float | None:
    """Return measured over allowed, or the reverse for a `min` limit; None = no figures."""
    if alert.measured is None or not alert.allowed:
        return None
    limit = LIMITS_BY_NAME.get(alert.name)
    if limit is not None and limit.is_min:
        return alert.allowed / alert.measured if alert.measured > 0 else float("inf")
    return alert.measured / alert.allowed


def _is_worse(alert: Alert) -> bool:
    used = _used(alert)
    if alert.acked_by is None or used is None or alert.acked_used is None:
        return False
    return used >= alert.acked_used + WORSE_BY


def acknowledge(turn: Turn, alert: Alert, actor: str) -> None:
    """Take an alert: repeats and escalation stop, the level stays."""
    taken = replace(
        alert,
        revision=alert.revision + 1,
        acked_by=actor,
        acked_ms=turn.now_ms,
        acked_used=_used(alert),
        updated_ms=turn.now_ms,
    )
    turn.emit(actions.SetAlert(alert=_noted(taken, turn, f"ack {actor}")))
