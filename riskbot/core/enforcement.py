"""Sub-state of enforcement: holds, episodes, contacts, intents, orders in flight, baselines.

Plain data and how records change it. What to do about it is decided in `ladder` (limits to
holds and intents) and `campaign` (intents to orders).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.duty import (
    Contact,
    Episode,
    Hold,
    Intent,
    IntentKind,
    PendingOrder,
    PendingPlan,
    cause_limit,
    is_approach,
)
from riskbot.core.model import PORTFOLIO, BlindKind, PositionKey, TradingState, account_scope
from riskbot.core.ongoing import Baseline, CancelTry, Hedge, Settled
from riskbot.core.plain import from_plain, to_plain

HEDGE_SEEN_MS = 60_000
"""A hedge that was filled must show in reads by then, else somebody closed it."""

QUERY_AFTER_MS = 2_000
"""An accepted order that says nothing more is looked up after this long."""


@dataclass(slots=True)
class Enforcement:
    """Everything riskbot has undertaken and not finished, and what it forbids.

    Attributes:
        holds, episodes, contacts: by (scope, limit).
        intents: by account; one at a time.
        pending: orders in flight by client id.
        cancels: by (account, order id).
        hedges: what riskbot opened as a hedge.
        answered: (breach since, when) by (scope, cause, account): what an intent was opened for.
        settled: when the last order on a key settled.
        blinds: (reason, since) by (what, subject).
        failed_reads: request id of the last read that failed, by account.
        asked_ms: when a read was last asked for, by account.
    """

    holds: dict[tuple[str, str], Hold] = field(default_factory=dict)
    episodes: dict[tuple[str, str], Episode] = field(default_factory=dict)
    contacts: dict[tuple[str, str], Contact] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    pending: dict[str, PendingOrder] = field(default_factory=dict)
    cancels: dict[tuple[str, str], CancelTry] = field(default_factory=dict)
    baselines: dict[str, Baseline] = field(default_factory=dict)
    hedges: dict[PositionKey, Hedge] = field(default_factory=dict)
    answered: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    settled: dict[PositionKey, Settled] = field(default_factory=dict)
    blinds: dict[tuple[BlindKind, str], tuple[str, int]] = field(default_factory=dict)
    answered_reads: dict[str, int] = field(default_factory=dict)
    failed_reads: dict[str, int] = field(default_factory=dict)
    asked_ms: dict[str, int] = field(default_factory=dict)
    dead_man_ms: dict[str, int] = field(default_factory=dict)
    plans: dict[str, PendingPlan] = field(default_factory=dict)
    order_counter: int = 0
    intent_counter: int = 0
    request_counter: int = 0
    plan_counter: int = 0
    finished: dict[tuple[str, str], str] = field(default_factory=dict)
    is_stopping: bool = False
    halt_file: bool = False

    # ------------------------------------------------------------ reading

    def holds_of(self, scope: str) -> list[Hold]:
        """Return the holds that bind a scope: its own and the portfolio's."""
        return [h for h in self.holds.values() if h.scope in {scope, PORTFOLIO}]

    def state_of(self, scope: str, *, enforced_only: bool = True) -> TradingState:
        """Return the trading state of a scope, the strictest of its holds.

        `enforced_only=False` answers what would be if shadow's holds bound.
        """
        states = [h.state for h in self.holds_of(scope) if h.is_enforced or not enforced_only]
        return max(states, key=lambda s: s.rank, default=TradingState.ACTIVE)

    def account_state(self, account: str) -> TradingState:
        """Return the enforced trading state of an account."""
        return self.state_of(account_scope(account))

    def pending_on(self, key: PositionKey) -> PendingOrder | None:
        """Return the order in flight on a position key; there is never more than one."""
        return next((p for p in self.pending.values() if p.key == key), None)

    def pending_of(self, account: str) -> list[PendingOrder]:
        """Return the orders in flight on an account."""
        return [p for p in self.pending.values() if p.account == account]

    def is_blind(self, what: BlindKind, subject: str = "") -> bool:
        """Whether a BLIND flag is up."""
        return (what, subject) in self.blinds

    def breach_since(self, scope: str, cause: str) -> int:
        """Return since when the breach (or approach) behind a cause stands, 0 = none."""
        episode = self.episodes.get((scope, cause_limit(cause)))
        if episode is None:
            return 0
        return episode.since_ms if is_approach(cause) else episode.breach_since_ms or 0

    def waiting(self, scope: str, limit: str) -> frozenset[str]:
        """Return the accounts that a limit's closing response leaves alone: first contact."""
        known = self.contacts.get((scope, limit))
        return frozenset(known.waiting if known else ())

    @property
    def is_flattening(self) -> bool:
        """Whether a flatten is under way on any account."""
        return any(i.kind is IntentKind.FLATTEN for i in self.intents.values())

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Enforcement:
        """Return what `dump` wrote."""
        state: Enforcement = from_plain(cls, data)
        return state

    # ------------------------------------------------------------ folding

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record. Never raises on what the codec accepts."""
        match record:
            case actions.SetReservation():
                self.order_counter += record.takes_id
            case actions.PlaceHold():
                self.holds[record.hold.scope, record.hold.limit] = record.hold
            case actions.DropHold():
                self.holds.pop((record.scope, record.limit), None)
            case actions.SetEpisode():
                self.episodes[record.episode.scope, record.episode.limit] = record.episode
            case actions.EndEpisode():
                self.episodes.pop((record.scope, record.limit), None)
                self.finished.pop((record.scope, record.limit), None)
            case actions.SetContact():
                self.contacts[record.contact.scope, record.contact.limit] = record.contact
            case actions.SetBlind():
                self._apply_blind(record, now_ms)
            case actions.SetPlan():
                self.plans[record.plan.plan_id] = record.plan
                self.plan_counter += 1
            case actions.DropPlan():
                self.plans.pop(record.plan_id, None)
            case _:
                self._apply_process(record, now_ms)

    def _apply_process(self, record: events.Event | actions.Action, now_ms: int) -> None:
        match record:
            case events.Started():
                self._apply_started(record)
            case events.Stopping():
                self.is_stopping = True
            case events.HaltFileSeen():
                self.halt_file = True
            case actions.RemoveHaltFile():
                self.halt_file = False
            case actions.SetDeadMan():
                self.dead_man_ms[record.account] = now_ms
            case _:
                self._apply_work(record, now_ms)

    def _apply_work(self, record: events.Event | actions.Action, now_ms: int) -> None:
        match record:
            case actions.SetIntent():
                self._apply_intent(record.intent, now_ms)
            case actions.MarkAnswered():
                self._mark(record.account, record.causes, now_ms)
            case actions.EndIntent():
                self._apply_end(record)
            case actions.PlaceOrder():
                self._apply_place(record, now_ms)
            case actions.CancelOrder():
                self._apply_cancel(record, now_ms)
            case actions.RefreshAccount():
                self.request_counter = max(self.request_counter, record.request_id)
                self.asked_ms[record.account] = now_ms
            case actions.SetBaseline():
                self._apply_baseline(record)
            case _:
                self._apply_outcome(record, now_ms)

    def _apply_outcome(self, record: events.Event | actions.Action, now_ms: int) -> None:
        match record:
            case actions.QueryOrder():
                self._apply_query(record, now_ms)
            case actions.SettleOrder():
                self._apply_settle(record, now_ms)
            case events.OrderAccepted():
                self._update(
                    record.client_order_id,
                    order_id=record.order_id,
                    filled=record.filled,
                    is_unknown=False,
                    is_resting=not record.status.is_final,
                    next_query_ms=now_ms + QUERY_AFTER_MS,
                )
            case events.OrderOutcomeUnknown():
                self._update(record.client_order_id, is_unknown=True, next_query_ms=now_ms)
            case events.OrderQueried():
                self._apply_queried(record, now_ms)
            case events.OrderUpdated() if record.order.client_order_id in self.pending:
                self._update(
                    record.order.client_order_id or "",
                    order_id=record.order.order_id,
                    filled=record.order.filled,
                    is_unknown=False,
                    is_resting=not record.order.status.is_final,
                )
            case events.CancelFinished():
                self._apply_canceled(record, now_ms)
            case _:
                self._apply_read(record)

    def _apply_read(self, record: events.Event | actions.Action) -> None:
        match record:
            case events.AccountSnapshotReceived(request_id=int() as request_id):
                known = self.answered_reads.get(record.account, 0)
                self.answered_reads[record.account] = max(known, request_id)
                self._clamp_hedges(record)
            case events.AccountSnapshotReceived():
                self._clamp_hedges(record)
            case events.RefreshFailed(request_id=int() as request_id):
                known = self.failed_reads.get(record.account, 0)
                self.failed_reads[record.account] = max(known, request_id)
            case _:
                pass

    def _clamp_hedges(self, read: events.AccountSnapshotReceived) -> None:
        """Forget of hedges what is not there any more: what is opened later is somebody else's."""
        held = {position.key: position.quantity for position in read.positions}
        for key, hedge in list(self.hedges.items()):
            settled = self.settled.get(key)
            is_late = settled is not None and read.as_of_ms <= settled.at_ms + HEDGE_SEEN_MS
            if key.account != read.account or is_late or self.pending_on(key) is not None:
                continue
            quantity = held.get(key, Decimal(0))
            if quantity * hedge.quantity <= 0:
                del self.hedges[key]
            elif abs(quantity) < abs(hedge.quantity):
                hedge.quantity = quantity

    def _apply_intent(self, intent: Intent, now_ms: int) -> None:
        if intent.intent_id > self.intent_counter:
            self.intent_counter = intent.intent_id
            self._mark(intent.account, intent.causes, now_ms)
        self.intents[intent.account] = intent

    def _mark(self, account: str, causes: tuple[tuple[str, str], ...], now_ms: int) -> None:
        for scope, limit in causes:
            since = self.breach_since(scope, limit)
            self.answered[scope, limit, account] = (since, now_ms)

    def _update(self, client_order_id: str, **changes: object) -> None:
        pending = self.pending.get(client_order_id)
        if pending is None:
            return
        if isinstance(filled := changes.get("filled"), Decimal):
            # Frames overtake each other: what was once filled stays filled.
            changes["filled"] = max(filled, pending.filled)
        self.pending[client_order_id] = replace(pending, **changes)  # type: ignore[arg-type]

    def _apply_started(self, record: events.Started) -> None:
        self.is_stopping = False
        self.halt_file = self.halt_file or record.halt_file
        # Whatever was on the wire when the process ended has no outcome yet: ask.
        for order_id, pending in self.pending.items():
            self.pending[order_id] = replace(pending, is_unknown=True, next_query_ms=0)
        self.cancels.clear()
        # A prompt from before a restart is dead: what it showed may not hold any more.
        self.plans.clear()
        for account, intent in self.intents.items():
            self.intents[account] = replace(intent, request_id=None, flat_reads=0)

    def _apply_blind(self, record: actions.SetBlind, now_ms: int) -> None:
        if record.is_blind:
            self.blinds[record.what, record.subject] = (record.reason, now_ms)
        else:
            self.blinds.pop((record.what, record.subject), None)

    def _apply_place(self, record: actions.PlaceOrder, now_ms: int) -> None:
        self.order_counter += 1
        if record.strategy:
            # A strategy's order is the gateway's matter: no close waits for it.
            return
        intent = self.intents.get(record.account)
        self.pending[record.client_order_id] = PendingOrder(
            account=record.account,
            symbol=record.symbol,
            client_order_id=record.client_order_id,
            key=PositionKey(record.account, record.symbol, record.position_side),
            sign=record.side.sign,
            quantity=record.quantity,
            sent_ms=now_ms,
            intent_id=record.intent_id,
            position_before=record.position_before,
            next_query_ms=now_ms + QUERY_AFTER_MS,
            is_hedge=intent is not None and intent.kind is IntentKind.HEDGE,
            is_market=record.price is None,
        )

    def _apply_query(self, record: actions.QueryOrder, now_ms: int) -> None:
        pending = self.pending.get(record.client_order_id)
        if pending is not None:
            wait_ms = min(500 * 2 ** min(pending.queries, 3), 4_000)
            self._update(record.client_order_id, next_query_ms=now_ms + wait_ms)

    def _apply_queried(self, record: events.OrderQueried, now_ms: int) -> None:
        if record.found and record.order is not None:
            self._update(
                record.client_order_id,
                order_id=record.order.order_id,
                filled=record.order.filled,
                is_unknown=False,
                is_resting=not record.order.status.is_final,
                next_query_ms=now_ms + QUERY_AFTER_MS,
                mute=0,
            )
        elif (known := self.pending.get(record.client_order_id)) is not None:
            if record.found is False:
                self._update(known.client_order_id, is_unknown=True, queries=known.queries + 1)
            else:
                self._update(known.client_order_id, mute=known.mute + 1)

    def _apply_settle(self, record: actions.SettleOrder, now_ms: int) -> None:
        pending = self.pending.pop(record.client_order_id, None)
        if pending is None:
            return
        self.settled[pending.key] = Settled(now_ms, self.request_counter)
        filled = max(pending.filled, record.filled)
        hedge = self.hedges.get(pending.key, Hedge(pending.key, Decimal(0)))
        if not pending.is_hedge or not filled:
            return
        hedge.quantity += pending.sign * filled
        if hedge.quantity:
            self.hedges[pending.key] = hedge
        else:
            self.hedges.pop(pending.key, None)

    def _apply_cancel(self, record: actions.CancelOrder, now_ms: int) -> None:
        known = self.cancels.get((record.account, record.order_id))
        tries = known.tries + 1 if known else 1
        self.cancels[record.account, record.order_id] = CancelTry(
            record.account, record.symbol, now_ms, tries
        )

    def _apply_canceled(self, record: events.CancelFinished, now_ms: int) -> None:
        known = self.cancels.get((record.account, record.order_id))
        if known is None:
            return
        if record.done:
            del self.cancels[record.account, record.order_id]
            self._apply_repriced(record.account, record.order_id, now_ms)
            return
        known.in_flight = False
        known.retry_ms = now_ms + min(250 * 2 ** min(known.tries, 8), 30_000)

    def _apply_repriced(self, account: str, order_id: str, now_ms: int) -> None:
        """Ask what an order of riskbot's had filled when it was cancelled."""
        for pending in self.pending_of(account):
            if pending.order_id == order_id:
                self._update(
                    pending.client_order_id,
                    is_unknown=True,
                    is_resting=False,
                    next_query_ms=now_ms,
                )

    def _apply_baseline(self, record: actions.SetBaseline) -> None:
        if record.quantities is None:
            self.baselines.pop(record.account, None)
            return
        self.baselines[record.account] = Baseline(
            dict(record.quantities), record.excess_closed_ms, record.is_fighting
        )

    def _apply_end(self, record: actions.EndIntent) -> None:
        intent = self.intents.get(record.account)
        if intent is not None and intent.intent_id == record.intent_id:
            del self.intents[record.account]
            for scope, label in intent.causes if record.summary else ():
                self.finished[scope, cause_limit(label)] = record.summary
        for key in [k for k, c in self.cancels.items() if c.account == record.account]:
            if not self.cancels[key].in_flight:
                del self.cancels[key]
