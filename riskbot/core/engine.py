"""The engine: one event in, actions out; time is an argument.

Folds the event, measures, checks every limit, and lets the rooms of the core decide in one fixed
order. Nothing here waits, reads a clock or touches the world.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from riskbot.core import (
    actions,
    analyzing,
    baseline,
    blind,
    campaign,
    cash,
    deadman,
    depths,
    desk,
    digest,
    disabling,
    events,
    gateway,
    hedging,
    history,
    holds,
    ladder,
    notices,
    opening,
    outcomes,
    reach,
    responses,
    rogue,
    tellings,
    threads,
    topping,
    trials,
    wording,
    working,
)
from riskbot.core.duty import IntentKind
from riskbot.core.model import Level, account_scope
from riskbot.core.settings import CoreSettings
from riskbot.core.state import State
from riskbot.core.turn import Turn

TICK_MS = 1_000

_QUIET = (
    events.PricesUpdated,
    events.DepthRead,
    events.PriceHistoryRead,
    events.RiskAnalyzed,
    events.FeedAlive,
)
"""Decided on when a level may have been crossed, else with the second's timer."""

BOOKINGS_MAX = 4
"""Rounds of booking in one turn: flows first, what follows from them after."""


class Engine:
    """Everything riskbot knows and decides.

    Args:
        settings: what the operator configured.
        order_prefix: `rb` + base36 of the journal's birth; with a counter it makes client ids.
    """

    def __init__(self, settings: CoreSettings, order_prefix: str = "rb0") -> None:
        self.settings = settings
        self.state = State(settings, order_prefix)
        self._next_tick_ms = 0

    # ------------------------------------------------------------ live

    def handle(
        self, event: events.Event, now_ms: int, received_ns: int = 0
    ) -> list[actions.Action]:
        """Take one event and return what is to be done, already folded.

        Args:
            event: what happened.
            now_ms: UTC ms; never less than in the call before.
            received_ns: monotonic stamp of the frame behind it, 0 = none.
        """
        self.state.apply(event, now_ms)
        may_wait = self._may_wait(event, now_ms)
        if may_wait and not self.state.reservations.changed:
            return []
        turn = Turn(self.state, self.settings, now_ms)
        turn.received_ns = received_ns
        if isinstance(event, gateway.Request):
            # Every level that was crossed is decided on already: an order waits for no more.
            gateway.receive(turn, event)
        elif may_wait:
            working.follow(turn)
        else:
            self._decide(turn, event)
        return turn.out

    def _may_wait(self, event: events.Event, now_ms: int) -> bool:
        """Whether the second's timer is soon enough to decide on what an event changed."""
        if isinstance(event, events.OrderUpdated):
            # Somebody's orders come and go, while nothing is forbidden and no work is under way.
            duty = self.state.enforcement
            return not (duty.holds or duty.intents or duty.pending or duty.cancels)
        return isinstance(event, _QUIET) and not self.state.needs_decision(now_ms)

    def _decide(self, turn: Turn, event: events.Event) -> None:
        states = self._states()
        if isinstance(event, events.TimerFired):
            self._next_tick_ms = turn.now_ms + TICK_MS
            self.state.on_timer(turn.now_ms)
        self._book(turn, event)
        cash.ask(turn)
        notices.on_event(turn, event)
        blind.on_event(turn, event)
        blind.decide(turn)
        outcomes.on_outcome(turn, event)
        self._check(turn)
        if isinstance(event, events.CommandReceived):
            desk.receive(turn, event)
        self._enforce(turn)
        rogue.watch(turn, event)
        disabling.watch(turn)
        working.follow(turn)
        depths.ask(turn)
        analyzing.ask(turn, event)
        wording.speak(turn)
        threads.dispatch(turn, event)
        desk.finish(turn, turn.ended)
        desk.expire(turn)
        trials.finish(turn)
        digest.decide(turn)
        deadman.decide(turn)
        history.record(turn, event)
        self._announce(turn, states)
        self.state.set_guards(turn)

    def _book(self, turn: Turn, event: events.Event) -> None:
        """Book flows and residuals, then the NAV samples that rest on them."""
        any(not self._book_once(turn, event) for _ in range(BOOKINGS_MAX))

    def _book_once(self, turn: Turn, event: events.Event) -> bool:
        due = self.state.decide_cashflows(event, turn.now_ms)
        for action in due:
            turn.emit(action)
            cash.tell(turn, action)
        booked = (actions.BookFlow, actions.BookResidual)
        return any(isinstance(action, booked) for action in due)

    def _check(self, turn: Turn) -> None:
        holds.drop_calendar_holds(turn)
        for scope, limit in self.state.limits:
            book = turn.book(scope)
            if book is not None:
                verdicts = self.state.check(limit, book)
                turn.checked.append((limit, verdicts, book))
                ladder.judge(turn, scope, limit, verdicts)
        self._drop_removed(turn)

    def _drop_removed(self, turn: Turn) -> None:
        """End the episodes of limits that are configured no more; their holds stay visible.

        Their contacts disarm: a limit that is added again meets its scope anew.
        """
        for scope, name in list(self.state.enforcement.episodes):
            if self.state.limit(scope, name) is None:
                turn.emit(actions.EndEpisode(scope=scope, limit=name))
        for contact in list(self.state.enforcement.contacts.values()):
            if contact.is_armed and self.state.limit(contact.scope, contact.limit) is None:
                turn.emit(actions.SetContact(contact=replace(contact, is_armed=False)))

    def _enforce(self, turn: Turn) -> None:
        topping.settle(turn)
        responses.respond(turn)
        if turn.is_enforcing:
            for account, targets in hedging.unwinds(turn).items():
                free = account not in self.state.enforcement.intents
                if free and reach.can_close(turn, account):
                    opening.open_intent(
                        turn,
                        account,
                        IntentKind.HEDGE,
                        ((account_scope(account), "unwind"),),
                        tuple(targets),
                        cancel_keys=("unwind",),
                    )
        baseline.keep(turn)
        campaign.advance(turn)

    def _states(self) -> dict[str, str]:
        scopes = tellings.scopes(self.state)
        return {scope: self.state.enforcement.state_of(scope).value for scope in scopes}

    def _announce(self, turn: Turn, before: dict[str, str]) -> None:
        for scope in self._states():
            now = self.state.enforcement.state_of(scope)
            if now.value == before[scope]:
                continue
            reason = tellings.reason(self.state, scope)
            turn.emit(actions.NotifyStrategies(scope=scope, trading_state=now, reason=reason))

    def next_deadline_ms(self, now_ms: int) -> int:
        """Return when `TimerFired` is due next, UTC ms, always later than now."""
        due = [max(self._next_tick_ms, now_ms + 1), now_ms + TICK_MS]
        due += campaign.deadlines(self.state, now_ms)
        return max(min(due), now_ms + 1)

    # ------------------------------------------------------------ recovery

    def fold(self, record: events.Event | actions.Action, ts_ms: int) -> None:
        """Take one record of the journal: what was decided is not decided again."""
        self.state.apply(record, ts_ms)

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        return self.state.dump()

    def load(self, data: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""
        self.state.load(data)

    # ------------------------------------------------------------ reading

    def is_orange_or_worse(self) -> bool:
        """Whether any limit is near enough to its breach that reads should come faster."""
        return any(
            e.level.rank >= Level.ORANGE.rank for e in self.state.enforcement.episodes.values()
        )
