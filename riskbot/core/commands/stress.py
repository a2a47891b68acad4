"""`stress`: what scenarios would do to what is held, and what could be done about one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from riskbot.core import stressviews
from riskbot.core.commands._base import Command, Reply, scope_named
from riskbot.core.scenarios import parse_shocks

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.scenarios import Scenario
    from riskbot.core.turn import Turn


SUGGESTED_MAX = 250
"""With more positions a suggestion would hold the guard up."""


class Stress(Command):
    """Show every scenario; of one that is named, every position; or the trades that would help.

    Attributes:
        scenario: one of those that ship or one's own.
        simulate: shocks typed by hand, as in `BTC -10%, ETH -15%`, instead of a scenario.
        suggest: show the smallest trades that bring the loss inside the limit. Advice only.
        max: the loss that is allowed, as a share of E; without it `stress_loss` of the scope.
    """

    name: ClassVar[str] = "stress"
    help: ClassVar[str] = "what scenarios would cost, and what would help"
    reads_only: ClassVar[bool] = True

    scenario: str | None = None
    simulate: str | None = Field(default=None, max_length=1_000)
    suggest: bool = False
    max: float | None = Field(default=None, gt=0, le=1)
    account: str | None = None

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with an overview, one scenario whole, or a suggestion."""
        del actor, request_id
        scope, fault = scope_named(turn, self.account)
        if fault:
            return Reply(ok=False, message=fault)
        if self.scenario is None and self.simulate is None:
            if self.suggest:
                return Reply(ok=False, message="suggest needs a scenario, or simulate")
            document = stressviews.overview(turn.state, turn.now_ms, scope)
            return Reply(ok=True, message="", document=document)
        wanted = self._wanted(turn)
        if isinstance(wanted, str):
            return Reply(ok=False, message=wanted)
        if not self.suggest:
            document = stressviews.detail(turn.state, wanted, turn.now_ms, scope)
            return Reply(ok=True, message="", document=document)
        book = turn.state.scopes(turn.now_ms)[scope]
        if len(book.legs) > SUGGESTED_MAX:
            words = f"{len(book.legs)} positions are too many while guarding: `riskbot stress` can"
            return Reply(ok=False, message=words)
        allowed = self.max
        if allowed is None:
            limit = turn.state.limit(scope, "stress_loss")
            if limit is None:
                return Reply(ok=False, message=f"{scope} has no stress_loss limit: give max")
            allowed = limit.allowed
        document = stressviews.suggestion(turn.state, wanted, allowed, turn.now_ms, scope)
        return Reply(ok=True, message="", document=document)

    def _wanted(self, turn: Turn) -> Scenario | str:
        """Return the scenario that is asked about, or why there is none."""
        if self.scenario is not None and self.simulate is not None:
            return "scenario and simulate: give one of them"
        if self.simulate is not None:
            faults: list[str] = []
            typed = parse_shocks(self.simulate, faults)
            return "; ".join(faults) if typed is None else typed
        known = {each.name: each for each in turn.settings.scenarios}
        found = known.get(str(self.scenario))
        return found or f"no scenario {self.scenario!r}; there are: {', '.join(known)}"
