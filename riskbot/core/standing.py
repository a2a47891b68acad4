"""What works and what may come, kept by instrument as it comes and goes, for the gateway's checks.

`workload` tells the same from the accounts and the approvals, order by order; here the sums are
kept, so that a check costs what changed since the one before. Nothing of it is folded: it is made
anew from what is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from riskbot.core import exits, workload
from riskbot.core.accounts import Change
from riskbot.core.kept import NONE, turns
from riskbot.core.model import PositionKey, Side
from riskbot.core.ordering import Reservation
from riskbot.core.piles import Both, Item, Pile
from riskbot.core.workload import Order, Working

if TYPE_CHECKING:
    from riskbot.core.state import State

_ZERO = Decimal(0)
TOUCHED_MAX = 1_000
"""So many orders come, go or change before they are looked at whether somebody asks or not."""

_TO_COME = "~"
"""What the id of an order begins with that is not at the venue yet."""

Place = tuple[str, str]
"""Account, and the id of an order there or of what may come."""


class Standing:
    """All piles, of everybody and of each strategy.

    Args:
        state: whose accounts and approvals they are made of.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._piles: dict[tuple[str, str | None], dict[str, Pile]] = {}
        self._items: dict[Place, tuple[Item, str]] = {}
        # Of each approval as looked at last: its account, the venue's id and the client id.
        self._known: dict[str, tuple[str, str | None, str]] = {}
        self._behind: dict[Place, dict[str, None]] = {}
        self._named: dict[Place, dict[str, None]] = {}
        self._begin()

    def _begin(self) -> None:
        """Look at everything."""
        state = self._state
        for parts in (self._piles, self._items, self._known, self._behind, self._named):
            parts.clear()
        state.reservations.moved.update(dict.fromkeys(state.reservations.live))
        for account in state.accounts.by_name.values():
            account.touched.update(dict.fromkeys(account.orders))

    # ------------------------------------------------------------ following

    def take(self, change: Change | None) -> None:
        """Take what a record changed of an account: what closes depends on what is held."""
        if change is None:
            return
        if change.instruments:
            self._begin()
            return
        if len(self._state.accounts.get(change.account).touched) > TOUCHED_MAX:
            # Where nobody asks for orders, nobody would look.
            self._follow()
        claims = {p.key.symbol for pair in change.positions for p in pair if p is not None}
        assets = {b.asset for pair in change.balances for b in pair if b is not None}
        if not claims and not assets:
            return
        for (account, _), piles in self._piles.items():
            for claim, pile in piles.items() if account == change.account else ():
                if claim in claims or exits.base_of(claim) in assets:
                    pile.forget()

    def _follow(self) -> None:
        """Look at what came, went or changed since the last time."""
        state = self._state
        is_due = bool(state.reservations.moved)
        for account in state.accounts.by_name.values():
            is_due = is_due or bool(account.touched)
        if is_due:
            self._look()

    def _look(self) -> None:
        state, due = self._state, dict[Place, None]()
        for name in state.reservations.moved:
            due.update(self._due_by(name))
        state.reservations.moved.clear()
        for account in state.accounts.by_name.values():
            for order_id in account.touched:
                place = (account.name, order_id)
                due[place] = None
                due |= {(account.name, _TO_COME + n): None for n in self._behind.get(place, ())}
            account.touched.clear()
        for place in due:
            self._put(place)

    def _due_by(self, name: str) -> dict[Place, None]:
        """Note an approval as it is now; return what depends on it, as it was and as it is."""
        due: dict[Place, None] = {}
        old, known = self._known.pop(name, None), self._state.reservations.live.get(name)
        if old is not None and old[1]:
            self._behind[old[0], old[1]].pop(name, None)
        new = None if known is None else (known.account, known.order_id, known.venue_id)
        if new is not None:
            self._known[name] = new
            if new[1]:
                self._behind.setdefault((new[0], new[1]), {})[name] = None
        for account, order_id, venue_id in (row for row in (old, new) if row is not None):
            due[account, _TO_COME + name] = None
            if order_id:
                due[account, order_id] = None
            due |= {(account, each): None for each in self._named.get((account, venue_id), ())}
        return due

    def _put(self, place: Place) -> None:
        """Take an order out of its piles, and put it in as it is now."""
        known = self._items.pop(place, None)
        if known is not None:
            self._count(*known, -1)
            self._name(place, known[0], is_there=False)
        is_to_come = place[1].startswith(_TO_COME)
        item = self._to_come(place) if is_to_come else self._at_venue(place)
        if item is not None:
            account = self._state.accounts.get(place[0])
            self._items[place] = known = (item, exits.claimed(account, item.order.symbol))
            self._count(*known, 1)
            self._name(place, item, is_there=True)
        elif not is_to_come and not self._behind.get(place, True):
            del self._behind[place]

    def _name(self, place: Place, item: Item, *, is_there: bool) -> None:
        name = item.order.client_order_id
        if not name or place[1].startswith(_TO_COME):
            return
        if is_there:
            self._named.setdefault((place[0], name), {})[place[1]] = None
            return
        rest = self._named[place[0], name]
        del rest[place[1]]
        if not rest:
            del self._named[place[0], name]

    def _count(self, item: Item, claim: str, sign: int) -> None:
        for owner in {None, item.owner}:
            piles = self._piles.setdefault((item.order.account, owner), {})
            pile = piles.get(claim)
            if pile is None:
                pile = piles[claim] = Pile()
            pile.count_in(item, sign)
            if not pile.items:
                del piles[claim]

    def _to_come(self, place: Place) -> Item | None:
        """Return what an approval may still bring beside its order at the venue."""
        kept = self._state.reservations
        known = kept.live.get(place[1].removeprefix(_TO_COME))
        if known is None or known.account != place[0]:
            return None
        order = kept.to_come(known, self._state.accounts.get(place[0]))
        if order is None:
            return None
        may_turn = known.may_turn and not known.order_id
        return Item(order, known.strategy, self._stop(known), may_turn)

    @staticmethod
    def _stop(known: Reservation) -> Decimal | None:
        is_its = known.is_guess or known.order_id is None
        return known.stop_loss if known.venue_id and is_its else None

    def _at_venue(self, place: Place) -> Item | None:
        """Return an order that the venue shows."""
        kept = self._state.reservations
        order = self._state.accounts.get(place[0]).orders.get(place[1])
        if order is None:
            return None
        behind = [kept.live[name] for name in self._behind.get(place, ())]
        may_turn = any(turns(known, order) for known in behind)
        if any(known.is_exit for known in behind) and not order.reduce_only:
            # What was approved as an exit stays one, whatever the position does meanwhile.
            order = replace(order, reduce_only=True)
        named = kept.by_venue_id(order.client_order_id or "")
        if named is not None or len(behind) > 1:
            of = kept.of(place[0], place[1], order.client_order_id)
        else:
            of = behind[0] if behind else None
        owner, stop = (of.strategy, of.stop_loss) if of is not None else (None, None)
        return Item(order, owner, stop, may_turn)

    # ------------------------------------------------------------ reading

    def is_all(self, account: str, without: frozenset[str] = NONE) -> bool:
        """Whether nothing but what is kept here counts on an account, and all of it.

        Not so where an approval is to make room, where riskbot has orders of its own under way, or
        while a position does not show yet what has filled: then `workload` tells order by order.
        """
        state = self._state
        live = state.reservations.live
        if any(name in live for name in without):
            return False
        if state.enforcement.pending and state.enforcement.pending_of(account):
            return False
        arrivals = state.reservations.arrivals
        return not (arrivals.moved and arrivals.unseen(state.accounts.get(account)))

    def room(self, key: PositionKey, side: Side) -> tuple[Decimal, bool]:
        """Return how much an order would only close, and whether entries of its side are there.

        Args:
            key: the position it is on.
            side: of it.
        """
        account = self._state.accounts.get(key.account)
        held = exits.holding(account, key.symbol, key.side)
        closing = abs(held) if held * side.sign < 0 else _ZERO
        pile = self._pile(key)
        if pile is None:
            return closing, False
        told = pile.told(account)
        taken = told.taken.get((key.side, side), _ZERO)
        return max(closing - taken, _ZERO), told.is_rival(key, side)

    def edge(self, key: PositionKey, side: Side) -> Decimal | None:
        """Return the best limit price of a side on an instrument, None = there is none."""
        pile = self._pile(key)
        return pile.edge(key.symbol, side) if pile is not None else None

    def _pile(self, key: PositionKey) -> Pile | None:
        """Return what stands on an instrument or coin, None = nothing."""
        self._follow()
        piles = self._piles.get((key.account, None))
        if not piles:
            return None
        return piles.get(exits.claimed(self._state.accounts.get(key.account), key.symbol))

    def add_working(
        self,
        found: dict[PositionKey, Working],
        account: str,
        order: Order,
        strategy: str | None,
    ) -> bool:
        """Add what works on an account by position; False = one of the entries has no price.

        Args:
            found: what is added to.
            account: whose.
            order: what would be traded.
            strategy: only what is this one's; None = everybody's.
        """
        self._follow()
        state = self._state
        known, assumed = state.accounts.get(account), state.settings.assume_stop
        for pile in self._piles.get((account, strategy), {}).values():
            told = pile.told(known)
            for both in told.entries.values():
                symbol = both.key.symbol
                instrument = state.instrument(account, symbol)
                unit = workload.unit_usd(state, instrument) if instrument is not None else None
                if unit is None:
                    return False
                at = state.price(account, symbol) if both.is_moving else None
                told_usd = both.working(unit, at, assumed)
                assert instrument is not None  # noqa: S101 - without it there is no unit
                if workload.exposed(state, instrument, Side.BUY) is Side.SELL:
                    told_usd = Working(told_usd.sells, told_usd.buys, told_usd.risk)
                found[both.key] = told_usd
            if told.closing:
                sides = {(b.key, side) for b in told.entries.values() for side in _sides(b)}
                sides.add((order.key, workload.traded(state, order)))
                workload.add_closing(state, found, told.closing, sides)
        return True


def _sides(both: Both) -> Iterator[Side]:
    return (side for side in Side if both.of(side).count)
