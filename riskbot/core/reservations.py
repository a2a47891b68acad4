"""Sub-state of the gateway: approvals and their orders, answers by client id, strays.

What is approved is decided in `pretrade`, what follows from it in `gateway`; here it is kept.
Everything is bounded: what is over is remembered for a while, so that the same question gets the
same answer and a late order is still known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.accounts import AccountState
from riskbot.core.arrivals import Arrivals
from riskbot.core.model import OrderStatus, RejectReason, WorkingOrder
from riskbot.core.ordering import Answer, Reservation, Stage, Stray
from riskbot.core.plain import VOLATILE, from_plain, to_plain

DONE_MAX = 5_000
ANSWERS_MAX = 20_000
STRAYS_MAX = 1_000
OWN_MAX = 5_000
SOON_MS = 250
MINUTE_MS = 60_000
SEEN_AFTER_MS = 2_000
"""An order is in a read that began this long after it was sent; else it is over, or was never."""

TELLING = (events.OrderUpdated, events.OrderFilled, events.OrderAccepted, events.OrderQueried)
"""What tells of an order's fills."""

_STAGES = {
    OrderStatus.FILLED: Stage.FILLED,
    OrderStatus.CANCELED: Stage.CANCELED,
    OrderStatus.REJECTED: Stage.REJECTED,
    OrderStatus.EXPIRED: Stage.EXPIRED,
}


def _names(reservation: Reservation) -> tuple[str, ...]:
    """Return the keys it is found by: its strategy's names of it, and the venue's."""
    mine = (reservation.client_order_id, reservation.venue_id, reservation.reservation_id)
    named = tuple(f"{reservation.strategy}|{name}" for name in mine if name)
    return (*named, f"|{reservation.venue_id}") if reservation.venue_id else named


@dataclass(slots=True)
class Reservations:
    """What the gateway has approved.

    Attributes:
        live: by reservation id.
        done: the same of what is over, oldest forgotten first.
        answers: by `strategy|client id`, for repeated questions; oldest forgotten first.
        approved_ms: when orders of a scope were approved, the last minute's.
        strays: by `account|order id`, on accounts that are exclusive.
        changed: ids whose state was not told yet.
        names: reservation id by `strategy|name`, and by `|client id` of the order at the venue.
        own: venue ids of the orders that riskbot has placed, oldest forgotten first.
        phantoms: what lives as working orders, made once for each change.
    """

    live: dict[str, Reservation] = field(default_factory=dict)
    done: dict[str, Reservation] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    approved_ms: dict[str, list[int]] = field(default_factory=dict)
    strays: dict[str, Stray] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    own: dict[str, None] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals, metadata={VOLATILE: True})
    phantoms: dict[str, tuple[Reservation, WorkingOrder]] = field(
        default_factory=dict, metadata={VOLATILE: True}, compare=False
    )

    # ------------------------------------------------------------ reading

    def find(self, strategy: str, name: str) -> Reservation | None:
        """Return a strategy's order by any id it gave or was given, live or over."""
        found = self.names.get(f"{strategy}|{name}", "")
        return self.live.get(found) or self.done.get(found)

    def answer(self, strategy: str, client_order_id: str) -> Answer | None:
        """Return what was answered to a client id before."""
        return self.answers.get(f"{strategy}|{client_order_id}")

    def on(self, account: str) -> Iterator[Reservation]:
        """Yield what lives on an account."""
        return (r for r in self.live.values() if r.account == account)

    def approved(self, scope: str, now_ms: int) -> int:
        """Return how many orders of a scope were approved within the last minute."""
        return sum(now_ms - ms < MINUTE_MS for ms in self.approved_ms.get(scope, ()))

    def outstanding(
        self, account: AccountState, without: str = "", strategy: str | None = None
    ) -> list[WorkingOrder]:
        """Return what was approved or has filled and the account does not show yet, as orders.

        Args:
            account: as it is known.
            without: id of a reservation that is left out.
            strategy: only what is this one's; None = everybody's, with what has just filled.
        """
        found = []
        for reservation in self.on(account.name):
            mine = strategy in {None, reservation.strategy}
            if reservation.reservation_id == without or not mine:
                continue
            order = account.orders.get(reservation.order_id or "")
            if order is None:
                found.append(self._phantom(reservation))
            elif (more := reservation.remaining - order.remaining) > 0:
                found.append(replace(self._phantom(reservation), quantity=more))
        return found if strategy is not None else found + self.arrivals.unseen(account)

    def _phantom(self, reservation: Reservation) -> WorkingOrder:
        made = self.phantoms.get(reservation.reservation_id)
        if made is None or made[0] is not reservation:
            made = self.phantoms[reservation.reservation_id] = (reservation, reservation.phantom())
        return made[1]

    def owner(self, account: str, order: WorkingOrder) -> str | None:
        """Return whose a working order is, None = nobody's who asked."""
        known = self._of(account, order.order_id, order.client_order_id)
        return known.strategy if known is not None else None

    def is_known(self, account: str, order_id: str, client_order_id: str | None) -> bool:
        """Whether an order is one that was approved, live or over, or riskbot's own."""
        if f"{account}|{order_id}" in self.own:
            return True
        if self._of(account, order_id, client_order_id) is not None:
            return True
        over = self.done.get(self.names.get(f"|{client_order_id}", ""))
        return over is not None and over.account == account

    def is_taken(self, venue_id: str) -> bool:
        """Whether a client id names an order at a venue already."""
        return f"|{venue_id}" in self.names

    # ------------------------------------------------------------ folding

    def before(
        self, record: events.Event | actions.Action, account: AccountState, now_ms: int
    ) -> None:
        """Take what is told of an order's fills against what was known before it."""
        match record:
            case events.OrderUpdated():
                self.arrivals.before(record.order, account, now_ms)
            case events.OrderFilled():
                self.arrivals.before_fill(record, account, now_ms)
            case events.OrderQueried(order=WorkingOrder() as order) if record.found:
                if self._by_venue_id(record.client_order_id) is not None:
                    self.arrivals.before(order, account, now_ms)
            case events.OrderAccepted():
                if (known := self._by_venue_id(record.client_order_id)) is not None:
                    order = replace(known.phantom(), order_id=record.order_id, filled=record.filled)
                    self.arrivals.before(order, account, now_ms)
            case _:
                pass

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        match record:
            case actions.SetReservation():
                self._set(record.reservation, now_ms, is_new=record.is_new)
            case actions.EndReservation():
                self._end(record.reservation_id, record.stage, record.note)
            case actions.KeepAnswer():
                self._keep(record, now_ms)
            case actions.NotifyOrder():
                self.changed.pop(record.reservation_id, None)
            case actions.SetStray():
                self._stray(record)
            case events.Started():
                self._started(now_ms)
            case events.OrderUpdated():
                self._see(record.order, now_ms)
            case events.AccountSnapshotReceived():
                self._read(record, now_ms)
            case events.OrderFilled():
                self._fill(record, now_ms)
            case _:
                self._outcome(record, now_ms)

    def _started(self, now_ms: int) -> None:
        """Look up whatever was on the wire when the process ended."""
        for name, known in self.live.items():
            if known.stage is Stage.SENT:
                self.live[name] = replace(known, stage=Stage.UNKNOWN, next_query_ms=now_ms)

    def _set(self, reservation: Reservation, now_ms: int, *, is_new: bool) -> None:
        self.live[reservation.reservation_id] = reservation
        self.changed[reservation.reservation_id] = None
        self._name(reservation)
        if not is_new:
            return
        for scope in (f"strategy:{reservation.strategy}", f"account:{reservation.account}"):
            stamps = self.approved_ms.setdefault(scope, [])
            stamps[:] = [ms for ms in stamps if now_ms - ms < MINUTE_MS]
            stamps.append(now_ms)

    def _end(self, name: str, stage: Stage, note: str = "") -> None:
        known = self.live.pop(name)
        self.phantoms.pop(name, None)
        self.changed[name] = None
        self.done[name] = replace(known, stage=stage, note=note or known.note)
        if len(self.done) > DONE_MAX:
            oldest = self.done.pop(next(iter(self.done)))
            self.changed.pop(oldest.reservation_id, None)
            for key in _names(oldest):
                self.names.pop(key, None)

    def _keep(self, record: actions.KeepAnswer, now_ms: int) -> None:
        name = f"{record.strategy}|{record.client_order_id}"
        self.answers[name] = Answer(record.fingerprint, record.document, now_ms, record.reservation)
        if len(self.answers) > ANSWERS_MAX:
            del self.answers[next(iter(self.answers))]

    # ------------------------------------------------------------ what the venue says

    def _outcome(self, record: events.Event | actions.Action, now_ms: int) -> None:
        match record:
            case events.OrderAccepted():
                self._accepted(record, now_ms)
            case events.OrderRejected():
                self._rejected(record, now_ms)
            case events.OrderOutcomeUnknown():
                self._unknown(record.client_order_id, now_ms)
            case actions.QueryOrder():
                self._query(record, now_ms)
            case events.OrderQueried():
                self._queried(record, now_ms)
            case events.CancelFinished(done=True):
                self._pulled(record, now_ms)
            case _:
                pass

    def _accepted(self, record: events.OrderAccepted, now_ms: int) -> None:
        self._own(f"{record.account}|{record.order_id}")
        if (known := self._by_venue_id(record.client_order_id)) is not None:
            self._take(known, record.order_id, record.filled, record.status, now_ms)

    def _rejected(self, record: events.OrderRejected, now_ms: int) -> None:
        known = self._by_venue_id(record.client_order_id)
        if known is None:
            return
        if record.reason is RejectReason.DUPLICATE_ID:
            # The venue has an order under this id: ours, whose answer was lost.
            self._unknown(record.client_order_id, now_ms)
            return
        stage = Stage.CANCELED if known.filled else Stage.REJECTED
        self._end(known.reservation_id, stage, f"{record.reason.value}: {record.message}")

    def _query(self, record: actions.QueryOrder, now_ms: int) -> None:
        if (known := self._by_venue_id(record.client_order_id)) is not None:
            wait_ms = min(500 * 2 ** min(known.queries, 3), 4_000)
            self._change(known, next_query_ms=now_ms + wait_ms)

    def _pulled(self, record: events.CancelFinished, now_ms: int) -> None:
        """How much of it had filled is told by its last frame; else it is asked for."""
        for known in list(self.on(record.account)):
            if known.order_id == record.order_id:
                self._change(known, stage=Stage.UNKNOWN, next_query_ms=now_ms + SOON_MS)

    def _own(self, name: str) -> None:
        self.own[name] = None
        if len(self.own) > OWN_MAX:
            del self.own[next(iter(self.own))]

    def _unknown(self, venue_id: str, now_ms: int) -> None:
        known = self._by_venue_id(venue_id)
        if known is not None and known.order_id is None:
            self._change(known, stage=Stage.UNKNOWN, next_query_ms=now_ms)
            self.changed[known.reservation_id] = None

    def _queried(self, record: events.OrderQueried, now_ms: int) -> None:
        known = self._by_venue_id(record.client_order_id)
        if known is None:
            return
        if record.found and record.order is not None:
            order = record.order
            self._take(known, order.order_id, order.filled, order.status, now_ms)
        elif record.found is False:
            self._change(known, queries=known.queries + 1)

    def _see(self, order: WorkingOrder, now_ms: int) -> None:
        known = self._of(order.account, order.order_id, order.client_order_id)
        known = known or self._unnamed(order)
        if known is not None:
            self._take(known, order.order_id, order.filled, order.status, now_ms)

    def _fill(self, fill: events.OrderFilled, now_ms: int) -> None:
        known = self._of(fill.account, fill.order_id, fill.client_order_id)
        if known is not None and known.order_id is None:
            # What is known of an order by its fills alone: its frames tell how much.
            self._take(known, fill.order_id, Decimal(0), OrderStatus.OPEN, now_ms)

    def _read(self, snapshot: events.AccountSnapshotReceived, now_ms: int) -> None:
        """Compare with the working orders of a complete read."""
        for order in snapshot.orders or ():
            self._see(order, now_ms)
        shown = {order.order_id for order in snapshot.orders or ()}
        for known in list(self.on(snapshot.account)) if snapshot.orders is not None else ():
            since_ms = max(known.sent_ms, known.created_ms)
            is_late = snapshot.as_of_ms - since_ms >= SEEN_AFTER_MS
            if known.stage is Stage.OPEN and is_late and known.order_id not in shown:
                # Over, and nobody said how.
                self._change(known, stage=Stage.UNKNOWN, next_query_ms=now_ms)
        self.arrivals.read(snapshot)

    def _take(
        self,
        known: Reservation,
        order_id: str,
        filled: Decimal,
        status: OrderStatus,
        now_ms: int,
    ) -> None:
        """Take what the venue says of the order that stands for a reservation now."""
        total = max(known.filled, known.sent_filled + filled)
        is_amending = known.amend_quantity is not None and not known.wants_cancel
        if not status.is_final:
            stage = Stage.REPLACING if is_amending else Stage.OPEN
            if (stage, total, order_id) != (known.stage, known.filled, known.order_id):
                self.changed[known.reservation_id] = None
            self._change(known, stage=stage, filled=total, order_id=order_id, queries=0)
            return
        if is_amending and status is OrderStatus.CANCELED:
            # The order is gone; what replaces it is decided next.
            self._change(known, stage=Stage.REPLACING, filled=total, order_id=None, venue_id="")
            self.changed[known.reservation_id] = None
            return
        self._change(known, filled=total, order_id=order_id, next_query_ms=now_ms)
        self._end(known.reservation_id, _STAGES[status])

    def _change(self, known: Reservation, **changes: Any) -> None:
        self.live[known.reservation_id] = replace(known, **changes)

    def _by_venue_id(self, venue_id: str) -> Reservation | None:
        found = self.live.get(self.names.get(f"|{venue_id}", ""))
        # What is told late of an order that was replaced speaks of the old one.
        return found if found is not None and found.venue_id == venue_id else None

    def _name(self, reservation: Reservation) -> None:
        for key in _names(reservation):
            self.names[key] = reservation.reservation_id

    def _of(self, account: str, order_id: str, client_order_id: str | None) -> Reservation | None:
        named = self._by_venue_id(client_order_id or "")
        if named is not None:
            return named if named.account == account else None
        return next((r for r in self.on(account) if r.order_id == order_id), None)

    def _unnamed(self, order: WorkingOrder) -> Reservation | None:
        """Return the one approval that an order without its id can be, None = none, or several."""
        if self.is_known(order.account, order.order_id, order.client_order_id):
            return None
        found = [
            r
            for r in self.on(order.account)
            if r.stage is Stage.RESERVED
            and (r.symbol, r.side) == (order.symbol, order.side)
            and order.quantity <= r.quantity
        ]
        return found[0] if len(found) == 1 and not order.is_conditional else None

    # ------------------------------------------------------------ strays

    def _stray(self, record: actions.SetStray) -> None:
        name = f"{record.account}|{record.order_id}"
        if record.is_over:
            self.strays.pop(name, None)
            return
        self.strays[name] = Stray(
            record.account,
            record.symbol,
            record.order_id,
            record.client_order_id,
            record.seen_ms,
            record.is_fill,
            record.is_told,
        )
        if len(self.strays) > STRAYS_MAX:
            del self.strays[next(iter(self.strays))]

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Reservations:
        """Return what `dump` wrote."""
        state: Reservations = from_plain(cls, data)
        return state
