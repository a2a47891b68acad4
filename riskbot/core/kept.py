"""What the gateway has approved, as it is read: by name, by account, as orders that may come.

How it changes is `reservations`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.accounts import AccountState
from riskbot.core.arrivals import Arrivals
from riskbot.core.limits._base import position_subject
from riskbot.core.model import PositionSide, WorkingOrder
from riskbot.core.ordering import Answer, Denial, OrderRequest, Reservation, Stage, Stray
from riskbot.core.plain import VOLATILE
from riskbot.core.slips import Slips

MINUTE_MS = 60_000
NONE: frozenset[str] = frozenset()


def names_of(reservation: Reservation) -> tuple[str, ...]:
    """Return the keys it is found by: its strategy's names of it, and the venue's."""
    mine = (reservation.client_order_id, reservation.venue_id, reservation.reservation_id)
    named = tuple(f"{reservation.strategy}|{name}" for name in mine if name)
    return (*named, f"|{reservation.venue_id}") if reservation.venue_id else named


def idle_name(reservation: Reservation) -> str:
    """Return the key of whose exit of which position it is."""
    return f"{reservation.strategy}|{position_subject(reservation.key)}"


def repeat_name(order: Reservation | OrderRequest) -> str:
    """Return the key of what it repeats: strategy, account, instrument and side."""
    return f"{order.strategy}|{order.account}|{order.symbol}|{order.side.value}"


def covers(approved: Reservation, order: WorkingOrder) -> bool:
    """Whether an order, or a fill told as one, is no more than what was approved."""
    is_same = (approved.symbol, approved.side) == (order.symbol, order.side)
    if not is_same or order.quantity > approved.quantity:
        return False
    legs = {approved.position_side, order.position_side} - {PositionSide.NET}
    if len(legs) > 1:
        return False
    if order.is_conditional or approved.price is None or order.price is None:
        return True
    return (order.price - approved.price) * order.side.sign <= 0


def turns(approved: Reservation, order: WorkingOrder | None) -> bool:
    """Whether an exit may become an entry, as nothing at the venue keeps it one.

    Also what was asked for as reduce-only, and works there as a plain order.
    """
    is_plain = order is not None and not (order.reduce_only or order.close_position)
    return approved.may_turn or (approved.is_exit and not approved.is_submit and is_plain)


@dataclass(slots=True)
class Kept:
    """What the gateway has approved.

    Attributes:
        live: by reservation id.
        done: the same of what is over, oldest forgotten first.
        answers: by `strategy|client id`, for repeated questions; oldest forgotten first.
        approved_ms: when orders of a scope were approved, the last minute's.
        strays: by `account|order id`, on accounts that are exclusive.
        changed: ids whose state was not told yet.
        names: reservation id by `strategy|name`, and by `|client id` of the order at the venue.
        own: reservation id by `account|venue id` of its order, empty = riskbot's own order; oldest
            forgotten first.
        trades: fills that were counted, oldest forgotten first.
        late: ids of orders that were seen after their approval was let go, not told of yet.
        denials: the last orders that were denied, by hash; allowed: until when one may pass.
        repeats: when entries were approved, the last of them, by strategy, instrument and side.
        idle: when a strategy last let an exit's approval go unsent, by `strategy|position`.
        phantoms: what lives as working orders, made once for each change.
        moved: ids of what came, went or changed since `standing` looked at them.
    """

    live: dict[str, Reservation] = field(default_factory=dict)
    done: dict[str, Reservation] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    approved_ms: dict[str, list[int]] = field(default_factory=dict)
    strays: dict[str, Stray] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    trades: dict[str, None] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals)
    late: dict[str, None] = field(default_factory=dict)
    denials: dict[str, Denial] = field(default_factory=dict)
    allowed: dict[str, int] = field(default_factory=dict)
    repeats: dict[str, list[int]] = field(default_factory=dict)
    idle: dict[str, int] = field(default_factory=dict)
    slips: Slips = field(default_factory=Slips)
    phantoms: dict[str, tuple[Reservation, WorkingOrder]] = field(
        default_factory=dict, metadata={VOLATILE: True}, compare=False
    )
    moved: dict[str, None] = field(default_factory=dict, metadata={VOLATILE: True}, compare=False)
    _shown: tuple[Reservation, dict[str, Any]] | None = field(
        default=None, metadata={VOLATILE: True}, compare=False
    )

    # ------------------------------------------------------------ reading

    def document(self, reservation: Reservation) -> dict[str, Any]:
        """Return a reservation as the HTTP routes show it: told of twice where it is new."""
        if self._shown is None or self._shown[0] is not reservation:
            self._shown = (reservation, reservation.document())
        return {**self._shown[1]}

    def find(self, strategy: str, name: str) -> Reservation | None:
        """Return a strategy's order by any id it gave or was given, live or over."""
        return self.get(self.names.get(f"{strategy}|{name}", ""))

    def get(self, reservation_id: str) -> Reservation | None:
        """Return a reservation, live or over."""
        return self.live.get(reservation_id) or self.done.get(reservation_id)

    def answer(self, strategy: str, client_order_id: str) -> Answer | None:
        """Return what was answered to a client id before."""
        return self.answers.get(f"{strategy}|{client_order_id}")

    def on(self, account: str) -> Iterator[Reservation]:
        """Yield what lives on an account."""
        return (r for r in self.live.values() if r.account == account)

    def approved(self, scope: str, now_ms: int) -> int:
        """Return how many orders of a scope were approved within the last minute."""
        stamps = self.approved_ms.get(scope, ())
        return len(stamps) - bisect_right(stamps, now_ms - MINUTE_MS)

    def repeats_of(self, order: OrderRequest, since_ms: int) -> int:
        """Return how many entries like an order were approved since a moment."""
        return sum(ms > since_ms for ms in self.repeats.get(repeat_name(order), ()))

    def outstanding(
        self,
        account: AccountState,
        without: frozenset[str] = NONE,
        strategy: str | None = None,
    ) -> list[WorkingOrder]:
        """Return what was approved or has filled and the account does not show yet, as orders.

        Args:
            account: as it is known.
            without: ids of reservations that are left out.
            strategy: only what is this one's; None = everybody's, with what has just filled.
        """
        found = []
        for reservation in self.on(account.name):
            mine = strategy in {None, reservation.strategy}
            order = self.to_come(reservation, account)
            if order is not None and mine and reservation.reservation_id not in without:
                found.append(order)
        return found if strategy is not None else found + self.arrivals.unseen(account)

    def to_come(self, reservation: Reservation, account: AccountState) -> WorkingOrder | None:
        """Return what an approval may still bring that the account does not show, None = nothing.

        What shadow let pass although it was denied holds nothing before its order is seen.
        """
        if reservation.is_tolerated and reservation.is_unsent:
            return None
        order = account.orders.get(reservation.order_id or "")
        if order is None:
            return self._phantom(reservation)
        more = reservation.remaining - order.remaining
        return replace(self._phantom(reservation), quantity=more) if more > 0 else None

    def _phantom(self, reservation: Reservation) -> WorkingOrder:
        made = self.phantoms.get(reservation.reservation_id)
        if made is None or made[0] is not reservation:
            made = self.phantoms[reservation.reservation_id] = (reservation, reservation.phantom())
        return made[1]

    def owner(self, account: str, order: WorkingOrder) -> str | None:
        """Return whose a working order is, None = nobody's who asked."""
        known = self.of(account, order.order_id, order.client_order_id)
        return known.strategy if known is not None else None

    def is_known(self, order: WorkingOrder) -> bool:
        """Whether an order, or a fill told as one, is what was approved, or riskbot's own.

        A name alone is not enough: a second order under it, another side, more than was approved,
        or a worse price, is something else.
        """
        name = self.names.get(f"|{order.client_order_id}", "")
        found = self.of(order.account, order.order_id, order.client_order_id)
        found = found or self.done.get(name)
        if found is not None and found.is_rogue:
            return False
        is_its = found is not None and found.account == order.account
        if found is None or not is_its or found.order_id not in {None, order.order_id}:
            return f"{order.account}|{order.order_id}" in self.own
        return covers(found, order)

    def behind(self, fill: events.OrderFilled) -> Reservation | None:
        """Return what a fill is of, live or over."""
        found = self.of(fill.account, fill.order_id, fill.client_order_id)
        if found is None:
            named = self.names.get(f"|{fill.client_order_id}", "")
            owned = self.own.get(f"{fill.account}|{fill.order_id}", "")
            found = self.done.get(named) or self.done.get(owned)
        return found if found is not None and found.account == fill.account else None

    def trader(self, record: events.Event | actions.Action) -> str:
        """Return whose order a fill is of, empty = nobody's who asked, or it is no fill."""
        behind = self.behind(record) if isinstance(record, events.OrderFilled) else None
        return behind.strategy if behind is not None else ""

    def stop_of(self, order: WorkingOrder) -> Decimal | None:
        """Return the stop an order was approved with, None = none, or it was not."""
        found = self.of(order.account, order.order_id, order.client_order_id)
        return found.stop_loss if found is not None else None

    def closing(self, account: str) -> set[str]:
        """Return the venue ids of the orders that were approved as exits."""
        return {r.order_id for r in self.on(account) if r.is_exit and r.order_id is not None}

    def turning(self, account: AccountState) -> set[str]:
        """Return the ids, at the venue or as phantoms, of exits that may become entries."""
        found = set()
        for known in self.on(account.name):
            if turns(known, account.orders.get(known.order_id or "")):
                found.add(known.order_id or known.phantom().order_id)
        return found

    def may_be(self, order: WorkingOrder) -> bool:
        """Whether an order without a name may be one that riskbot has just sent for a strategy."""
        sent = {Stage.SENT, Stage.UNKNOWN}
        return any(
            r.stage in sent and (r.symbol, r.side) == (order.symbol, order.side)
            for r in self.on(order.account)
        )

    def is_taken(self, venue_id: str) -> bool:
        """Whether a client id names an order at a venue already."""
        return f"|{venue_id}" in self.names

    # ------------------------------------------------------------ by the venue's names

    def by_venue_id(self, venue_id: str) -> Reservation | None:
        """Return what an order at the venue stands for now, by the client id it went out under."""
        found = self.live.get(self.names.get(f"|{venue_id}", ""))
        # What is told late of an order that was replaced speaks of the old one.
        return found if found is not None and found.venue_id == venue_id else None

    def of(self, account: str, order_id: str, client_order_id: str | None) -> Reservation | None:
        """Return what an order stands for, by its client id or by the venue's."""
        named = self.by_venue_id(client_order_id or "")
        if named is not None:
            # One order to a name; but a name is more than a guess.
            is_its = named.is_guess or named.order_id in {None, order_id}
            return named if is_its and named.account == account else None
        return next((r for r in self.on(account) if r.order_id == order_id), None)
