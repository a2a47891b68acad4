"""Sub-state of the gateway: approvals and their orders, answers by client id, strays.

What is approved is decided in `pretrade`, what follows from it in `gateway`; here it is kept.
Everything is bounded: what is over is remembered for a while, so that the same question gets the
same answer and a late order is still known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, denials, events, matching, ordering
from riskbot.core.accounts import AccountState
from riskbot.core.arrivals import order_of
from riskbot.core.kept import MINUTE_MS, Kept, idle_name, names_of, repeat_name
from riskbot.core.model import OrderStatus, RejectReason, WorkingOrder
from riskbot.core.ordering import Answer, Reservation, Stage, Stray
from riskbot.core.plain import from_plain, to_plain

DONE_MAX = 5_000
ANSWERS_MAX = 20_000
STRAYS_MAX = 1_000
OWN_MAX = 5_000
TRADES_MAX = 5_000
REPEATS_MAX = 1_000
SOON_MS = 250
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


@dataclass(slots=True)
class Reservations(Kept):
    """What the gateway has approved, and how it goes on."""

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
                if self.by_venue_id(record.client_order_id) is not None:
                    self.arrivals.before(order, account, now_ms)
            case events.OrderAccepted():
                if (known := self.by_venue_id(record.client_order_id)) is not None:
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
                self._end(record.reservation_id, record.stage, now_ms, record.note)
            case actions.KeepAnswer():
                self._keep(record, now_ms)
            case actions.NotifyOrder():
                self.changed.pop(record.reservation_id, None)
                self.late.pop(record.reservation_id, None)
            case actions.RecordDecision():
                denials.note(self.denials, record, now_ms)
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
        for known in list(self.live.values()):
            if known.stage is Stage.SENT:
                self._change(known, stage=Stage.UNKNOWN, next_query_ms=now_ms)

    def _set(self, reservation: Reservation, now_ms: int, *, is_new: bool) -> None:
        self.live[reservation.reservation_id] = reservation
        self.changed[reservation.reservation_id] = self.moved[reservation.reservation_id] = None
        self._name(reservation)
        self.allowed.pop(reservation.override, None)
        if not is_new:
            return
        for scope in (f"strategy:{reservation.strategy}", f"account:{reservation.account}"):
            stamps = self.approved_ms.setdefault(scope, [])
            while stamps and now_ms - stamps[0] >= MINUTE_MS:
                del stamps[0]
            stamps.append(now_ms)
        if not reservation.is_exit and reservation.amend_quantity is None:
            stamps = self.repeats.setdefault(repeat_name(reservation), [])
            stamps.append(now_ms)
            del stamps[:-REPEATS_MAX]

    def _let_trade(self, scope: str) -> None:
        """Count anew what a strategy repeats."""
        mine = scope.partition(":")[2] + "|"
        self.repeats = {k: v for k, v in self.repeats.items() if not k.startswith(mine)}

    def _end(self, name: str, stage: Stage, now_ms: int, note: str = "") -> None:
        known = self.live.pop(name)
        self.phantoms.pop(name, None)
        self.changed[name] = self.moved[name] = None
        if known.is_unsent and known.is_exit:
            self.idle = {k: ms for k, ms in self.idle.items() if now_ms - ms < MINUTE_MS}
            self.idle[idle_name(known)] = now_ms
        self.done[name] = replace(known, stage=stage, note=note or known.note, ended_ms=now_ms)
        if len(self.done) > DONE_MAX:
            oldest = self.done.pop(next(iter(self.done)))
            self.changed.pop(oldest.reservation_id, None)
            for key in names_of(oldest):
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
            case actions.AllowOrder():
                self.allowed = {k: ms for k, ms in self.allowed.items() if ms > now_ms}
                self.allowed[record.order_hash] = record.until_ms
            case actions.SetStray():
                self._stray(record)
            case actions.DropHold(limit=ordering.REPEATED):
                self._let_trade(record.scope)
            case _:
                pass

    def _accepted(self, record: events.OrderAccepted, now_ms: int) -> None:
        self._own(f"{record.account}|{record.order_id}")
        if (known := self.by_venue_id(record.client_order_id)) is not None:
            self._take(known, record.order_id, record.filled, record.status, now_ms)

    def _rejected(self, record: events.OrderRejected, now_ms: int) -> None:
        known = self.by_venue_id(record.client_order_id)
        if known is None:
            return
        if record.reason is RejectReason.DUPLICATE_ID:
            # The venue has an order under this id: ours, whose answer was lost.
            self._unknown(record.client_order_id, now_ms)
            return
        stage = Stage.CANCELED if known.filled else Stage.REJECTED
        self._end(known.reservation_id, stage, now_ms, f"{record.reason.value}: {record.message}")

    def _query(self, record: actions.QueryOrder, now_ms: int) -> None:
        if (known := self.by_venue_id(record.client_order_id)) is not None:
            wait_ms = min(500 * 2 ** min(known.queries, 3), 4_000)
            self._change(known, next_query_ms=now_ms + wait_ms)

    def _pulled(self, record: events.CancelFinished, now_ms: int) -> None:
        """How much of it had filled is told by its last frame; else it is asked for."""
        for known in list(self.on(record.account)):
            if known.order_id == record.order_id:
                self._change(known, stage=Stage.UNKNOWN, next_query_ms=now_ms + SOON_MS)

    def _own(self, name: str, reservation_id: str = "") -> None:
        self.own[name] = reservation_id or self.own.get(name, "")
        if len(self.own) > OWN_MAX:
            del self.own[next(iter(self.own))]

    def _own_of(self, known: Reservation, order_id: str) -> None:
        if not known.is_rogue:
            self._own(f"{known.account}|{order_id}", known.reservation_id)

    def _unknown(self, venue_id: str, now_ms: int) -> None:
        known = self.by_venue_id(venue_id)
        if known is not None and known.order_id is None:
            self._change(known, stage=Stage.UNKNOWN, next_query_ms=now_ms)
            self.changed[known.reservation_id] = None

    def _queried(self, record: events.OrderQueried, now_ms: int) -> None:
        if record.order is not None:
            self._own(f"{record.account}|{record.order.order_id}")
        known = self.by_venue_id(record.client_order_id)
        if known is None:
            return
        if record.found and record.order is not None:
            order = record.order
            taken = (order.order_id, order.filled, order.status, now_ms)
            self._take(known, *taken, is_asked=True)
        elif record.found is False:
            self._change(known, queries=known.queries + 1)

    def _see(self, order: WorkingOrder, now_ms: int) -> None:
        known = self.of(order.account, order.order_id, order.client_order_id)
        known = known or self._late(order, order.filled, now_ms) or self._guess(order)
        if known is not None:
            known = self._edit(self._meant(known, order.order_id), order, now_ms)
            self._take(known, order.order_id, order.filled, order.status, now_ms)

    def _fill(self, fill: events.OrderFilled, now_ms: int) -> None:
        known = self.of(fill.account, fill.order_id, fill.client_order_id)
        known = known or self._late(order_of(fill), fill.quantity, now_ms)
        behind = known or self.behind(fill)
        trade = f"{fill.account}|{fill.symbol}|{fill.trade_id}"
        if behind is None or trade in self.trades:
            return
        self.trades[trade] = None
        if len(self.trades) > TRADES_MAX:
            del self.trades[next(iter(self.trades))]
        self.slips.take(behind, fill, now_ms)
        if known is None:
            return
        known = self._meant(known, fill.order_id)
        told = known.told + fill.quantity
        stage = Stage.OPEN if known.order_id is None else known.stage
        self._own_of(known, fill.order_id)
        self._change(
            known,
            stage=stage,
            order_id=fill.order_id,
            told=told,
            filled=max(known.filled, known.sent_filled + told),
        )
        self.changed[known.reservation_id] = None

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
        *,
        is_asked: bool = False,
    ) -> None:
        """Take what the venue says of the order that stands for a reservation now."""
        self._own_of(known, order_id)
        total = max(known.filled, known.sent_filled + max(filled, known.told))
        is_amending = known.amend_quantity is not None and not known.wants_cancel
        if not status.is_final:
            stage = Stage.REPLACING if is_amending else Stage.OPEN
            if (stage, total, order_id) != (known.stage, known.filled, known.order_id):
                self.changed[known.reservation_id] = None
            self._change(known, stage=stage, filled=total, order_id=order_id, queries=0)
            return
        if is_amending and status is OrderStatus.CANCELED and not is_asked:
            # How much of it had filled may be told later: the venue is asked before more is sent.
            self._change(
                known, stage=Stage.UNKNOWN, filled=total, order_id=order_id, next_query_ms=now_ms
            )
            return
        if is_amending and status is OrderStatus.CANCELED:
            # The order is gone; what replaces it is decided next.
            self._change(known, stage=Stage.REPLACING, filled=total, order_id=None, venue_id="")
            for key in set(names_of(known)) - set(names_of(replace(known, venue_id=""))):
                del self.names[key]
            self.changed[known.reservation_id] = None
            return
        self._change(known, filled=total, order_id=order_id, next_query_ms=now_ms)
        self._end(known.reservation_id, _STAGES[status], now_ms)

    def _change(self, known: Reservation, **changes: Any) -> Reservation:
        changed = self.live[known.reservation_id] = replace(known, **changes)
        self.moved[known.reservation_id] = None
        return changed

    def _name(self, reservation: Reservation) -> None:
        for key in names_of(reservation):
            self.names[key] = reservation.reservation_id

    def _late(self, order: WorkingOrder, filled: Decimal, now_ms: int) -> Reservation | None:
        """Take an order back whose approval was let go before it was seen, None = it is none."""
        found = matching.late(self, order, filled, now_ms)
        if found is None:
            return None
        name = found.reservation_id
        del self.done[name]
        self.live[name], self.changed[name], self.moved[name] = found, None, None
        if found.is_late:
            self.late[name] = None
        return found

    def _guess(self, order: WorkingOrder) -> Reservation | None:
        """Take an order without a name for the approval that it can be, None = it is none."""
        found = matching.unnamed(self, order)
        return None if found is None else self._change(found, is_guess=True)

    def _meant(self, known: Reservation, order_id: str) -> Reservation:
        """Return an approval without the order that was taken for its own, where that is another.

        What was taken for it is nobody's from now on.
        """
        if known.order_id in {None, order_id}:
            return known
        self.own.pop(f"{known.account}|{known.order_id}", None)
        return self._change(
            known, is_guess=False, order_id=None, filled=known.sent_filled, told=Decimal(0)
        )

    def _edit(self, known: Reservation, order: WorkingOrder, now_ms: int) -> Reservation:
        """Have an order stand for what its strategy was approved to make of it."""
        found = matching.edited(self, known, order)
        if found is None:
            return known
        self._change(found, stage=Stage.REPLACING)
        self._end(found.reservation_id, Stage.CANCELED, now_ms, f"edit of {known.client_order_id}")
        names = ("quantity", "price", "stop_loss", "is_exit", "reduce_only")
        return self._change(known, **{name: getattr(found, name) for name in names})

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
            record.stop_quantity,
            record.is_gone,
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
