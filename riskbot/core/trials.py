"""Test alerts: one through every channel, and which of them took it.

A test alert is nobody's condition: it changes no level, and is over after a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from riskbot.core import actions, events
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import PORTFOLIO, Level

if TYPE_CHECKING:
    from riskbot.core.turn import Turn

NAME = "test"
WAIT_MS = 10_000
"""So long every channel has to take a test alert."""


@dataclass(slots=True)
class Trial:
    """One test under way.

    Attributes:
        alert: as told; request_id: of who waits for the outcome.
        took: ms each channel needed; held: the same, where everyone has quiet hours.
        failed: what the others said.
    """

    alert: Alert
    request_id: str
    took: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Trials:
    """Tests under way, by alert id."""

    open: dict[str, Trial] = field(default_factory=dict)
    counter: int = 0

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        match record:
            case actions.StartTest():
                self.counter += 1
                self.open[record.alert.alert_id] = Trial(record.alert, record.request_id)
            case actions.EndTest():
                self.open.pop(record.alert_id, None)
            case events.AlertDelivered():
                trial = self.open.get(record.alert_id)
                if trial is not None and record.channel not in trial.took:
                    found = trial.held if record.is_held else trial.took
                    found[record.channel] = now_ms - trial.alert.since_ms
                    trial.failed.pop(record.channel, None)
            case events.AlertDeliveryFailed() if record.alert_id in self.open:
                self.open[record.alert_id].failed[record.channel] = record.error
            case _:
                pass


def start(turn: Turn, level: Level, actor: str, request_id: str) -> str:
    """Send a test alert; return its id."""
    alert = Alert(
        alert_id=f"T{turn.state.past.trials.counter + 1}",
        revision=1,
        level=level,
        status=AlertStatus.FIRING,
        name=NAME,
        scope=PORTFOLIO,
        title=f"TEST, asked for by {actor}",
        text="nothing has happened: this is how an alert of this level arrives",
        since_ms=turn.now_ms,
        updated_ms=turn.now_ms,
        worst_level=level,
        did="nothing",
        todo="nothing",
        level_ms=turn.now_ms,
    )
    turn.emit(actions.StartTest(alert=alert, request_id=request_id))
    turn.emit(actions.SendAlert(alert=alert, is_loud=level.rank >= Level.ORANGE.rank))
    return alert.alert_id


def finish(turn: Turn) -> None:
    """Answer the tests whose time is up, and take their alerts back."""
    for trial in list(turn.state.past.trials.open.values()):
        if turn.now_ms - trial.alert.since_ms < WAIT_MS:
            continue
        found = outcome(turn, trial)
        turn.emit(actions.EndTest(alert_id=trial.alert.alert_id))
        over = replace(
            trial.alert,
            revision=2,
            status=AlertStatus.RESOLVED,
            resolved_ms=turn.now_ms,
            updated_ms=turn.now_ms,
        )
        turn.emit(actions.SendAlert(alert=over, is_loud=False))
        turn.emit(
            actions.SendReply(
                request_id=trial.request_id,
                ok=not found["failed"],
                message=_words(found),
                document=found,
            )
        )


def outcome(turn: Turn, trial: Trial) -> dict[str, Any]:
    """Return which channels took a test alert, which refused it, and which said nothing."""
    known = dict.fromkeys((*turn.settings.channels, *turn.state.alerts.deliveries))
    return {
        "id": trial.alert.alert_id,
        "level": trial.alert.level.value,
        "took": [{"channel": name, "after_ms": ms} for name, ms in trial.took.items()],
        "failed": [{"channel": name, "error": error} for name, error in trial.failed.items()],
        "held": list(trial.held),
        "silent": [n for n in known if n not in trial.took | trial.failed | trial.held],
    }


def _words(found: dict[str, Any]) -> str:
    took = ", ".join(f"{row['channel']} {row['after_ms'] / 1000:.1f} s" for row in found["took"])
    parts = [f"taken by {took}" if took else "no channel took it"]
    parts += [f"{row['channel']} failed: {row['error']}" for row in found["failed"]]
    if found["held"]:
        parts.append(f"held by {', '.join(found['held'])}: everyone there has quiet hours")
    if found["silent"]:
        silent = ", ".join(found["silent"])
        parts.append(f"no word of {silent} (still trying, or its level is below what it takes)")
    return f"test {found['id']}: " + "; ".join(parts)
