"""`silence`: alerts make no sound for a while; their level and their end are shown all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from riskbot.core import actions
from riskbot.core.alerts import ANY
from riskbot.core.commands._base import Command, Reply, scope_of, unknown_account
from riskbot.core.duty import Alert, Silence
from riskbot.core.model import Level, Role

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn

LONGEST_S = {Level.YELLOW: 86_400.0, Level.ORANGE: 14_400.0, Level.RED: 3_600.0}
"""For how long alerts of a level may be kept silent."""


class SilenceAlerts(Command):
    """Silence a limit's alerts (of one account, or everywhere), one alert by its id, or `all`.

    What becomes graver than it may keep silent calls out again: an operator's silence ends at
    orange, red takes an admin.
    """

    name: ClassVar[str] = "silence"
    help: ClassVar[str] = "no sound from a limit's alerts for a while"
    role: ClassVar[Role] = Role.OPERATOR

    limit: str | None = None
    id: str | None = None
    account: str | None = None
    duration_s: float = 3_600.0
    reason: str = ""

    def needs_factor(self, turn: Turn) -> bool:
        """Return whether something red would be kept silent."""
        return any(alert.level is Level.RED for alert in self._named(turn))

    def _subject(self, turn: Turn) -> tuple[str, str] | None:
        """Return the name and scope that are meant, None = no such alert."""
        word = (self.id or self.limit or "").strip()
        alert = _by_id(turn, word)
        if alert is not None:
            return (alert.name, alert.scope)
        if self.id is not None and word.lower() != "all":
            return None
        scope = scope_of(self.account) if self.account else ANY
        return (ANY if word.lower() in {"all", ANY, ""} else word, scope)

    def _named(self, turn: Turn) -> list[Alert]:
        subject = self._subject(turn)
        if subject is None:
            return []
        name, scope = subject
        return [
            alert
            for alert in turn.state.alerts.firing.values()
            if name in {ANY, alert.name} and scope in {ANY, alert.scope}
        ]

    def _fault(self, turn: Turn, actor: Actor, subject: tuple[str, str] | None) -> str:
        if fault := unknown_account(turn, self.account):
            return fault
        if subject is None:
            names = ", ".join(a.alert_id for a in turn.state.alerts.firing.values()) or "none"
            return f"no alert {self.id!r} fires; firing: {names}"
        if self.limit is None and self.id is None:
            return "name a limit, the id of an alert, or all"
        known = {name for name, _ in turn.state.alerts.firing} | {
            limit.name for _, limit in turn.state.limits
        }
        if subject[0] != ANY and subject[0] not in known:
            return f"no limit and no alert is called {subject[0]!r}"
        if not 0 < self.duration_s <= LONGEST_S[Level.YELLOW]:
            return f"duration: up to 24 h, is {self.duration_s:g} s"
        worst = max((a.level for a in self._named(turn)), key=lambda lv: lv.rank, default=Level.OK)
        longest_s = LONGEST_S.get(worst, LONGEST_S[Level.YELLOW])
        if worst is Level.RED and actor.role is not Role.ADMIN:
            return "a red alert is silenced by an admin, for an hour at most; ack it instead"
        if self.duration_s > longest_s:
            return f"duration: {worst.value} is silenced for {longest_s / 3_600:g} h at most"
        return ""

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Keep them silent; what is silenced already is silenced anew."""
        del request_id
        subject = self._subject(turn)
        if (fault := self._fault(turn, actor, subject)) or subject is None:
            return Reply(ok=False, message=fault)
        named = self._named(turn)
        is_red = any(a.level is Level.RED for a in named)
        is_long = self.duration_s > LONGEST_S[Level.ORANGE]
        level = Level.RED if is_red else Level.YELLOW if is_long else Level.ORANGE
        until_ms = turn.now_ms + int(self.duration_s * 1_000)
        silence = Silence(*subject, until_ms, actor.name, level, turn.now_ms)
        turn.emit(actions.SetSilence(silence=silence))
        what = "every alert" if subject[0] == ANY else subject[0]
        of = "" if subject[1] == ANY else f" of {subject[1]}"
        words = f"{what}{of} silenced for {self.duration_s / 60:g} min up to {level.value}"
        turn.audit("silence", subject[0], subject[1], self.reason or words, actor.name)
        return Reply(
            ok=True, message=f"{words}; levels and ends are shown, what becomes graver calls out"
        )


def _by_id(turn: Turn, word: str) -> Alert | None:
    firing = turn.state.alerts.firing.values()
    return next((alert for alert in firing if alert.alert_id == word.upper()), None)
