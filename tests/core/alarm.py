"""Alerts by hand: conditions at given levels, time moved in seconds, what is told."""

from __future__ import annotations

from dataclasses import dataclass, field

from riskbot.core import actions, alerts, events, threads
from riskbot.core.duty import Alert
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.liquidation_distance import LiquidationDistance
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.model import PORTFOLIO, Actor, Level, Role
from riskbot.core.state import State
from riskbot.core.turn import Turn
from tests import builders

LIMITS = (
    (PORTFOLIO, GrossExposure(max=2.0)),
    (PORTFOLIO, NetExposure(max=1.0)),
    (PORTFOLIO, Drawdown(max=0.15)),
    (PORTFOLIO, DailyLoss(max=0.03)),
    ("account:main", GrossExposure(max=2.0)),
    ("account:main", LiquidationDistance(min=0.1, severity="red")),
)
SHARE = {Level.YELLOW: 0.85, Level.ORANGE: 0.95, Level.RED: 1.05}


@dataclass
class Alarm:
    """A state whose alerts are driven by hand.

    Attributes:
        wanted: (level, measured) by (name, scope): what the conditions say now.
        sent: (second, action) of everything told.
    """

    state: State = field(default_factory=lambda: State(builders.settings(limits=LIMITS), "rb0"))
    start_ms: int = builders.T0
    now_ms: int = builders.T0
    wanted: dict[tuple[str, str], tuple[Level, float]] = field(default_factory=dict)
    sent: list[tuple[int, actions.SendAlert]] = field(default_factory=list)
    journal: list[actions.Action] = field(default_factory=list)
    urgent: set[tuple[str, str]] = field(default_factory=set)

    def turn(self) -> Turn:
        """Return a turn at this moment."""
        return Turn(self.state, self.state.settings, self.now_ms)

    def set(
        self, level: Level, name: str = "gross_exposure", scope: str = PORTFOLIO, used: float = 0.0
    ) -> None:
        """Let a condition stand at a level (OK ends it), and be looked at."""
        if level is Level.OK:
            self.wanted.pop((name, scope), None)
        else:
            self.wanted[name, scope] = (level, 2.0 * (used or SHARE[level]))
        self.look()

    def look(self, event: events.Event | None = None) -> None:
        """Let every condition speak, and tell what is due."""
        turn = self.turn()
        for (name, scope), (level, measured) in self.wanted.items():
            title = f"{name} {level.value}"
            urgent = (name, scope) in self.urgent
            alerts.tell(
                turn,
                name,
                scope,
                level,
                title,
                measured=measured,
                allowed=2.0,
                is_urgent=urgent,
            )
        for name, scope in self.state.alerts.known():
            if (name, scope) not in self.wanted:
                alerts.resolve(turn, name, scope)
        threads.dispatch(turn, event or events.TimerFired())
        self.keep(turn)

    def keep(self, turn: Turn) -> None:
        """Keep what a turn decided."""
        self.journal += turn.out
        second = round((self.now_ms - self.start_ms) / 1000)
        self.sent += [(second, a) for a in turn.out if isinstance(a, actions.SendAlert)]

    def wait(self, seconds: int, step: int = 1) -> None:
        """Let time pass."""
        for _ in range(0, seconds, step):
            self.now_ms += step * 1_000
            self.look()

    def ack(self, alert: Alert | None = None, actor: str = "alice") -> None:
        """Take an alert, the only one that fires by default."""
        turn = self.turn()
        if alert is None:
            (alert,) = self.state.alerts.firing.values()
        alerts.acknowledge(turn, alert, actor)
        threads.dispatch(turn, events.TimerFired())
        self.keep(turn)

    def do(self, command: object, role: Role = Role.OPERATOR) -> actions.SendReply:
        """Run a command as a person of a role; return its reply as it would be sent."""
        turn = self.turn()
        reply = command.run(turn, Actor("alice", role, "test"), "r1")  # type: ignore[attr-defined]
        threads.dispatch(turn, events.TimerFired())
        self.keep(turn)
        return actions.SendReply(request_id="r1", ok=reply.ok, message=reply.message)

    def delivered(self, channel: str, told: actions.SendAlert) -> None:
        """Let a channel confirm what it was told."""
        record = events.AlertDelivered(
            alert_id=told.alert.message, channel=channel, revision=told.alert.revision
        )
        self.state.apply(record, self.now_ms)

    # ------------------------------------------------------------ reading

    def alert(self, name: str = "gross_exposure", scope: str = PORTFOLIO) -> Alert | None:
        """Return what fires under a name."""
        return self.state.alerts.firing.get((name, scope))

    def level(self, name: str = "gross_exposure", scope: str = PORTFOLIO) -> Level:
        """Return the level of what fires under a name, OK when nothing does."""
        found = self.alert(name, scope)
        return found.level if found is not None else Level.OK

    def thread_of(self, alert: Alert) -> str:
        """Return the id of the message an alert stands in."""
        threads = self.state.alerts.threads.values()
        return next(t.thread_id for t in threads if alert.alert_id in t.members)

    def loud(self) -> list[int]:
        """Return the seconds at which something made a sound."""
        return [second for second, told in self.sent if told.is_loud]

    @property
    def last(self) -> actions.SendAlert:
        """What was told last."""
        return self.sent[-1][1]

    def again(self) -> None:
        """Let the process end and start anew: what was decided is folded."""
        fresh = State(self.state.settings, "rb0")
        fresh.alerts = type(self.state.alerts).load(self.state.alerts.dump())
        self.state = fresh
        self.look(events.Started(version="t", config_hash="x"))


def named(told: actions.SendAlert) -> str:
    """Return the name of the alert that heads a message."""
    return told.alert.name
