"""Sub-state of the last day, hour by hour: what the digest adds up.

Folded from records that are always kept, so that a restart loses and doubles nothing. What is
told of it, and when, is `digest`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from riskbot.core import actions, events
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import PORTFOLIO, Level

HOUR_MS = 3_600_000
WINDOW = 24
"""Whole hours that are looked back on."""

AWAY_MS = 120_000
"""Samples come each minute: after a longer pause before a start, riskbot was not there."""

BRIEF_MS = 5_000
"""What is out of sight for less is no outage: each start begins with it."""

AWAY = "riskbot"
"""The outage that is no BLIND flag: riskbot itself did not run."""


@dataclass(slots=True)
class Rule:
    """Alerts of one name.

    Attributes:
        raised: how often one began to fire; acked: how often somebody took one.
    """

    raised: int = 0
    acked: int = 0
    worst: Level = Level.OK


@dataclass(slots=True)
class Hour:
    """What happened in one hour.

    Attributes:
        levels: ms by worst level of what fired.
        outages: (how often, ms) by what was out of sight; counted when it ends.
        commands: how often each was given; refused: how many were not allowed.
        orders, cancels: what riskbot sent.
        pnl_usd: flows left out; opened_nav: NAV per unit at its first sample, 0 = none.
        drawdown: worst of its rows; used: largest utilization by `scope|limit`.
    """

    hour_ms: int
    levels: dict[str, int] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    outages: dict[str, tuple[int, int]] = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    orders: int = 0
    cancels: int = 0
    pnl_usd: float = 0.0
    opened_nav: float = 0.0
    drawdown: float = 0.0
    used: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Daybook:
    """The hours of the last day, oldest first.

    Attributes:
        began_ms: since when there is anything to tell; told_ms: when a digest went out last.
        told: digests so far.
        level: worst of what fires; level_ms: counted up to then.
        firing: level by (name, scope); taken: those that somebody has.
        blind: since when, by what.
        nav, units: of the portfolio at the last sample; seen_ms: when that was.
    """

    hours: list[Hour] = field(default_factory=list)
    began_ms: int = 0
    told_ms: int = 0
    told: int = 0
    level: Level = Level.OK
    level_ms: int = 0
    firing: dict[tuple[str, str], Level] = field(default_factory=dict)
    taken: dict[tuple[str, str], str] = field(default_factory=dict)
    blind: dict[str, int] = field(default_factory=dict)
    nav: float = 0.0
    units: float = 0.0
    seen_ms: int = 0

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:  # noqa: C901
        """Fold one record."""
        match record:
            case actions.SetAlert():
                self._alert(record.alert, now_ms)
            case actions.SetEpisode(episode=episode) if episode.utilization is not None:
                used = self._hour(now_ms).used
                name = f"{episode.scope}|{episode.limit}"
                used[name] = max(used.get(name, 0.0), episode.utilization)
            case actions.RecordExposure():
                hour = self._hour(now_ms)
                hour.drawdown = max(hour.drawdown, record.row.get("drawdown") or 0.0)
            case actions.RecordNav() if record.scope == PORTFOLIO:
                self._sample(record, now_ms)
            case actions.BookFlow():
                self._flow(record, now_ms)
            case actions.SetBlind():
                self._blind(record, now_ms)
            case actions.RecordDecision():
                self._decision(record, now_ms)
            case actions.PlaceOrder():
                self._hour(now_ms).orders += 1
            case actions.CancelOrder():
                self._hour(now_ms).cancels += 1
            case events.Started():
                self._started(now_ms)
            case actions.EndDigest():
                self.told_ms, self.told = now_ms, self.told + 1
            case _:
                pass

    def _hour(self, at_ms: int) -> Hour:
        start_ms = at_ms - at_ms % HOUR_MS
        place = len(self.hours)
        while place and self.hours[place - 1].hour_ms >= start_ms:
            place -= 1
            if self.hours[place].hour_ms == start_ms:
                return self.hours[place]
        hour = Hour(start_ms)
        self.hours.insert(place, hour)
        since_ms = self.hours[-1].hour_ms - WINDOW * HOUR_MS
        self.hours = [each for each in self.hours if each.hour_ms >= since_ms]
        return hour

    def _started(self, now_ms: int) -> None:
        if not self.began_ms:
            self.began_ms = self.level_ms = now_ms
        elif self.seen_ms and now_ms - self.seen_ms > AWAY_MS:
            self._end_outage(AWAY, now_ms - self.seen_ms, now_ms)

    # ------------------------------------------------------------ alerts

    def _alert(self, alert: Alert, now_ms: int) -> None:
        key = (alert.name, alert.scope)
        if alert.status is AlertStatus.FIRING:
            rule = self._hour(now_ms).rules.setdefault(alert.name, Rule())
            rule.raised += key not in self.firing
            rule.acked += alert.acked_by is not None and key not in self.taken
            rule.worst = max(rule.worst, alert.level, key=lambda level: level.rank)
            self.firing[key] = alert.level
        elif alert.status is AlertStatus.RESOLVED:
            self.firing.pop(key, None)
        self.taken.pop(key, None)
        if alert.status is AlertStatus.FIRING and alert.acked_by is not None:
            self.taken[key] = alert.acked_by
        worst = max(self.firing.values(), key=lambda level: level.rank, default=Level.OK)
        if worst is not self.level:
            for hour_ms, ms in self._spans(now_ms):
                hour = self._hour(hour_ms)
                hour.levels[self.level.value] = hour.levels.get(self.level.value, 0) + ms
            self.level, self.level_ms = worst, now_ms

    def _spans(self, now_ms: int) -> Iterable[tuple[int, int]]:
        """Return (hour, ms) of the time that is not counted yet, within the window."""
        at_ms = max(self.level_ms, now_ms - (WINDOW + 1) * HOUR_MS)
        while at_ms < now_ms:
            end_ms = min(at_ms - at_ms % HOUR_MS + HOUR_MS, now_ms)
            yield at_ms, end_ms - at_ms
            at_ms = end_ms

    # ------------------------------------------------------------ figures

    def _sample(self, sample: actions.RecordNav, now_ms: int) -> None:
        hour = self._hour(now_ms)
        if self.nav:
            hour.pnl_usd += sample.units * (sample.nav - self.nav)
        hour.opened_nav = hour.opened_nav or self.nav or sample.nav
        self.nav, self.units, self.seen_ms = sample.nav, sample.units, now_ms

    def _flow(self, flow: actions.BookFlow, now_ms: int) -> None:
        # What was earned up to the flow was earned by the units there were before it.
        nav = flow.navs.get(PORTFOLIO)
        if nav is not None and self.nav:
            self._hour(now_ms).pnl_usd += self.units * (nav - self.nav)
            self.nav = nav

    # ------------------------------------------------------------ outages and people

    def _blind(self, flag: actions.SetBlind, now_ms: int) -> None:
        name = f"{flag.what.value}:{flag.subject}" if flag.subject else flag.what.value
        if flag.is_blind:
            self.blind.setdefault(name, now_ms)
        elif (since_ms := self.blind.pop(name, None)) is not None:
            self._end_outage(name, now_ms - since_ms, now_ms)

    def _end_outage(self, name: str, ms: int, now_ms: int) -> None:
        if ms < BRIEF_MS:
            return
        outages = self._hour(now_ms).outages
        times, total_ms = outages.get(name, (0, 0))
        outages[name] = (times + 1, total_ms + min(ms, WINDOW * HOUR_MS))

    def _decision(self, row: actions.RecordDecision, now_ms: int) -> None:
        hour = self._hour(now_ms)
        if row.decision == "command" and not row.inputs.get("is_plan"):
            hour.commands[row.reason] = hour.commands.get(row.reason, 0) + 1
        elif row.decision == "refused":
            hour.refused += 1
