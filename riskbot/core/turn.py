"""One turn of the engine: the actions it has decided so far, and what deciding needs.

Every action is folded the moment it is decided, so later decisions of the turn see it; that is
also what makes the live state equal to the fold of the journal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from riskbot.core import actions
from riskbot.core.model import PORTFOLIO, Mode

if TYPE_CHECKING:
    from riskbot.core.duty import Intent
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.meter import Checked, SecondMeasure
    from riskbot.core.settings import CoreSettings
    from riskbot.core.state import State

RISKBOT = "riskbot"
"""The actor of riskbot's own decisions."""


class Turn:
    """What one call of `Engine.handle` hands from decision to decision.

    Attributes:
        now_ms: UTC ms, the only time there is.
        out: actions decided so far, in order.
        received_ns: monotonic stamp of the frame that is handled, 0 = none.
        checked: what each limit said of its Book in this turn.
        ended: intents that came to their end in this turn.
        scopes: the Book by scope, measured once per turn; None = not measured in this turn.
        confirmed: (scope, limit) whose breach two sources showed in this turn.
    """

    def __init__(self, state: State, settings: CoreSettings, now_ms: int) -> None:
        self.state = state
        self.settings = settings
        self.now_ms = now_ms
        self.out: list[actions.Action] = []
        self.scopes: dict[str, ScopeBook] | None = None
        self.received_ns = 0
        self.ended: list[Intent] = []
        self.checked: list[Checked] = []
        self.confirmed: set[tuple[str, str]] = set()
        self._second: dict[frozenset[str], SecondMeasure] = {}

    @property
    def is_enforcing(self) -> bool:
        """Whether riskbot's own decisions bind."""
        return self.settings.mode is Mode.ENFORCE

    @property
    def has_orders(self) -> bool:
        """Whether orders or cancels were decided in this turn."""
        return any(isinstance(a, actions.PlaceOrder | actions.CancelOrder) for a in self.out)

    def emit(self, action: actions.Action) -> None:
        """Decide an action: fold it and hand it to the runner."""
        self.state.apply(action, self.now_ms)
        self.out.append(action)

    def book(self, scope: str) -> ScopeBook | None:
        """Return the Book of a scope, measuring it if this turn has not yet."""
        if self.scopes is None:
            self.scopes = self.state.measure(self.now_ms)
        return self.scopes.get(scope)

    def tradable_symbols(self, account: str) -> set[str]:
        """Return the symbols of what an account holds above dust and may close."""
        book = self.book(PORTFOLIO)
        return {
            leg.key.symbol
            for leg in (book.legs if book is not None else ())
            if leg.key.account == account and leg.is_closable and not leg.is_dust
        }

    def second(self, without: frozenset[str] = frozenset()) -> SecondMeasure:
        """Return the Book under the second source of every price: the kind case.

        Args:
            without: accounts whose exposure is left out beside those that are BLIND.
        """
        found = self._second.get(without)
        if found is None:
            found = self._second[without] = self.state.measure_second(self.now_ms, without)
        return found

    def remeasure(self) -> None:
        """Forget the measured Book: a decision of this turn changed what it rests on."""
        self.scopes = None
        self._second.clear()

    def audit(
        self,
        decision: str,
        limit: str,
        scope: str,
        reason: str,
        actor: str = RISKBOT,
        **inputs: Any,
    ) -> None:
        """Write one row of the audit."""
        self.emit(
            actions.RecordDecision(
                decision=decision,
                limit=limit,
                scope=scope,
                reason=reason,
                actor=actor,
                inputs=inputs,
            )
        )
