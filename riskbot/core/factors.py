"""Sub-state of second factors: codes that were used, wrong ones, and who is locked out.

Reading a code is not here: the core is told its time step, or that it was wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, alerts, events
from riskbot.core.model import PORTFOLIO, Level
from riskbot.core.plain import from_plain, to_plain
from riskbot.core.turn import Turn

WRONG_MAX = 5
WRONG_MS = 600_000
LOCKED_MS = 900_000
"""Five wrong codes in ten minutes lock a person's danger commands for a quarter of an hour."""

ASK = "needs the 6-digit code of your authenticator"


@dataclass(slots=True)
class Factors:
    """What is known of codes.

    Attributes:
        used: the last time step of which a code was taken: each code counts once, older ones not.
        wrong: when somebody's codes were wrong lately, UTC ms, by actor.
        locked: until when somebody is locked out, UTC ms, by actor.
    """

    used: int = 0
    wrong: dict[str, tuple[int, ...]] = field(default_factory=dict)
    locked: dict[str, int] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Factors:
        """Return what `dump` wrote."""
        state: Factors = from_plain(cls, data)
        return state

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        match record:
            case events.CommandReceived() if record.is_factor_wrong:
                self._wrong(record.actor.name, now_ms)
            case actions.UseFactor():
                self.used = max(self.used, record.step)
                self.wrong.pop(record.actor, None)
            case _:
                pass

    def _wrong(self, actor: str, now_ms: int) -> None:
        if self.is_locked(actor, now_ms):
            return
        times = [ms for ms in self.wrong.get(actor, ()) if now_ms - ms < WRONG_MS]
        self.wrong[actor] = (*times, now_ms)
        if len(self.wrong[actor]) >= WRONG_MAX:
            self.locked[actor] = now_ms + LOCKED_MS
            del self.wrong[actor]

    def is_locked(self, actor: str, now_ms: int) -> bool:
        """Whether somebody gave too many wrong codes."""
        return now_ms < self.locked.get(actor, 0)


def tell(turn: Turn, event: events.CommandReceived) -> None:
    """Tell everybody when this command's wrong code has locked its actor out."""
    actor = event.actor.name
    if event.is_factor_wrong and turn.state.factors.locked.get(actor) == turn.now_ms + LOCKED_MS:
        turn.audit("factor_locked", "", PORTFOLIO, f"{WRONG_MAX} wrong codes", actor)
        alerts.once(
            turn,
            "factor_locked",
            PORTFOLIO,
            Level.RED,
            f"{WRONG_MAX} wrong codes from {actor}",
            did=f"its danger commands are locked for {LOCKED_MS // 60_000} min",
            todo="if it is not you or yours, take the role away and change the secret",
        )


def fault(turn: Turn, event: events.CommandReceived, *, is_needed: bool) -> str:
    """Return why a command's second factor does not do, empty = it does, or none is needed."""
    factors, actor = turn.state.factors, event.actor.name
    if factors.is_locked(actor, turn.now_ms):
        left_s = (factors.locked[actor] - turn.now_ms) // 1_000
        return f"locked for {left_s} s more after {WRONG_MAX} wrong codes"
    if not is_needed:
        return ""
    if event.is_factor_wrong:
        left = WRONG_MAX - len(factors.wrong.get(actor, ()))
        return f"the code is wrong; {left} tries left"
    if event.factor_step is None:
        return f"{event.name} {ASK}"
    if event.factor_step <= factors.used:
        return "the code was used already: wait for the next one"
    turn.emit(actions.UseFactor(actor=actor, step=event.factor_step))
    return ""
