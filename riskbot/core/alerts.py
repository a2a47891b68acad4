"""Sub-state of alerts: firing, worse, acknowledged, repeated, escalated, resolved.

Edge-triggered and kept by the journal, so that a restart neither repeats nor forgets. What an
alert says about an episode is put into words in `wording`; how it is delivered is not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from riskbot.core import actions, events
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import Level
from riskbot.core.plain import from_plain, to_plain
from riskbot.core.turn import Turn

REPEATS_MS = (600_000, 600_000, 600_000)
"""Waits between the first repeats of an unacknowledged red; later ones come every 30 minutes."""

LATER_REPEAT_MS = 1_800_000
ESCALATIONS_MS = (300_000, 900_000)
"""A red that nobody acknowledged: second contact after 5 minutes, everybody after 15."""


@dataclass(slots=True)
class Alerts:
    """Alerts that fire, by (name, scope); the last resolved ones; how channels fared."""

    firing: dict[tuple[str, str], Alert] = field(default_factory=dict)
    resolved: list[Alert] = field(default_factory=list)
    counter: int = 0
    deliveries: dict[str, tuple[str, int]] = field(default_factory=dict)

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
                self._set(record.alert)
            case actions.SendAlert() if record.is_loud:
                key = (record.alert.name, record.alert.scope)
                if key in self.firing:
                    self.firing[key] = replace(self.firing[key], loud_at_ms=now_ms)
            case events.AlertDelivered():
                self.deliveries[record.channel] = ("ok", now_ms)
            case events.AlertDeliveryFailed():
                self.deliveries[record.channel] = (record.error, now_ms)
            case _:
                pass

    def _set(self, alert: Alert) -> None:
        number = alert.alert_id[1:]
        self.counter = max(self.counter, int(number) if number.isdecimal() else 0)
        if alert.status is AlertStatus.RESOLVED:
            self.firing.pop((alert.name, alert.scope), None)
            self.resolved = [*self.resolved[-49:], alert]
        else:
            self.firing[alert.name, alert.scope] = alert


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
    group: str = "",
) -> None:
    """Raise an alert, or change the one that fires under this name and scope.

    A rise of the level is told aloud; a fall or other words only edit what was told.
    """
    before = turn.state.alerts.firing.get((name, scope))
    if before is None:
        alert = _new(turn, name, scope, level, measured, allowed)
        alert = replace(alert, group=group or name, title=title, text=text, did=did, todo=todo)
        _send(turn, alert, is_loud=level.rank >= Level.ORANGE.rank)
        return
    told = (before.level, before.title, before.text, before.did, before.todo)
    if told == (level, title, text, did, todo):
        return
    worse = level.rank > before.level.rank
    alert = replace(
        before,
        revision=before.revision + 1,
        level=level,
        updated_ms=turn.now_ms,
        level_ms=turn.now_ms if worse else before.level_ms,
        measured=measured,
        allowed=allowed,
        worst=worst,
        worst_level=max(before.worst_level, level, key=lambda lv: lv.rank),
        acked_by=None if worse else before.acked_by,
        acked_ms=None if worse else before.acked_ms,
        repeats=0 if worse else before.repeats,
        escalation=0 if worse else before.escalation,
        title=title,
        text=text,
        did=did,
        todo=todo,
    )
    _send(turn, alert, is_loud=worse and level.rank >= Level.ORANGE.rank)


def _new(
    turn: Turn,
    name: str,
    scope: str,
    level: Level,
    measured: float | None,
    allowed: float | None,
) -> Alert:
    return Alert(
        alert_id=f"A{turn.state.alerts.counter + 1}",
        revision=1,
        level=level,
        status=AlertStatus.FIRING,
        name=name,
        scope=scope,
        title="",
        text="",
        since_ms=turn.now_ms,
        updated_ms=turn.now_ms,
        level_ms=turn.now_ms,
        measured=measured,
        allowed=allowed,
        worst=measured,
        worst_level=level,
    )


def _send(turn: Turn, alert: Alert, *, is_loud: bool) -> None:
    turn.emit(actions.SetAlert(alert=alert))
    turn.emit(actions.SendAlert(alert=alert, is_loud=is_loud))


def resolve(turn: Turn, name: str, scope: str, note: str = "") -> None:
    """End an alert and say so; nothing happens when none fires."""
    before = turn.state.alerts.firing.get((name, scope))
    if before is None:
        return
    alert = replace(
        before,
        revision=before.revision + 1,
        status=AlertStatus.RESOLVED,
        level=Level.OK,
        resolved_ms=turn.now_ms,
        updated_ms=turn.now_ms,
        did=note or before.did,
        todo="",
    )
    _send(turn, alert, is_loud=before.worst_level is Level.RED)


def once(turn: Turn, name: str, scope: str, level: Level, title: str, **words: str) -> None:
    """Tell of something that is over as soon as it is told (a restart, a booked flow)."""
    tell(turn, name, scope, level, title, **words)  # type: ignore[arg-type]
    told = turn.state.alerts.firing[name, scope]
    turn.emit(actions.SetAlert(alert=replace(told, status=AlertStatus.RESOLVED)))


def acknowledge(turn: Turn, alert: Alert, actor: str) -> None:
    """Take an alert: repeats and escalation stop, the level stays."""
    taken = replace(alert, revision=alert.revision + 1, acked_by=actor, acked_ms=turn.now_ms)
    _send(turn, taken, is_loud=False)


def repeat(turn: Turn) -> None:
    """Repeat and escalate the reds that nobody acknowledged."""
    for alert in list(turn.state.alerts.firing.values()):
        if alert.level is not Level.RED or alert.acked_by is not None:
            continue
        since_loud = turn.now_ms - alert.loud_at_ms
        waits = REPEATS_MS[alert.repeats] if alert.repeats < len(REPEATS_MS) else LATER_REPEAT_MS
        step = alert.escalation
        red_for = turn.now_ms - (alert.level_ms or alert.since_ms)
        if step < len(ESCALATIONS_MS) and red_for >= ESCALATIONS_MS[step]:
            changed = replace(alert, revision=alert.revision + 1, escalation=step + 1)
            _send(turn, changed, is_loud=True)
        elif since_loud >= waits:
            changed = replace(alert, revision=alert.revision + 1, repeats=alert.repeats + 1)
            _send(turn, changed, is_loud=True)
