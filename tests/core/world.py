"""A small deterministic venue around an engine: what it decides happens, time moves by hand.

Linear instruments, one-way, USDT; fills at the mark. For tests of the core's decisions; the paper
venue and the protocol servers test the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits._base import Limit
from riskbot.core.model import (
    Actor,
    MarginReport,
    Mode,
    OrderStatus,
    RejectReason,
    Role,
    WorkingOrder,
)
from riskbot.core.settings import CoreSettings
from tests import builders

WORK = (actions.PlaceOrder, actions.CancelOrder, actions.QueryOrder, actions.RefreshAccount)
ADMIN = Actor("tester", Role.ADMIN, "test")


@dataclass
class World:
    """One engine and the accounts it guards.

    Attributes:
        marks: price by symbol.
        held: (quantity, entry) by account and symbol.
        wallet: USDT by account.
        orders: working orders by account.
        sent: PlaceOrder actions in order.
        refuse: reasons the venue gives for the next orders.
        lose: how many of the next replies are lost after the order was carried out.
        fill_share: part of an order that fills before it is cancelled.
        deaf: accounts that answer no read; muted: accounts whose streams say nothing.
        keep: how many of the next cancels the venue does not confirm.
        airdrops: coins of every account that nobody lists.
        die_after: so many effects more are carried out, then the process is gone; -1 = never.
    """

    engine: Engine
    now_ms: int = builders.T0
    marks: dict[str, float] = field(default_factory=dict)
    held: dict[str, dict[str, tuple[Decimal, Decimal]]] = field(default_factory=dict)
    wallet: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, dict[str, WorkingOrder]] = field(default_factory=dict)
    known: dict[str, WorkingOrder] = field(default_factory=dict)
    actions: list[actions.Action] = field(default_factory=list)
    sent: list[actions.PlaceOrder] = field(default_factory=list)
    refuse: deque[RejectReason] = field(default_factory=deque)
    lose: int = 0
    fill_share: Decimal = Decimal(1)
    deaf: set[str] = field(default_factory=set)
    muted: set[str] = field(default_factory=set)
    keep: int = 0
    die_after: int = -1
    margin: MarginReport = field(default_factory=MarginReport)
    airdrops: tuple[builders.Balance, ...] = ()
    journal: list[tuple[int, Any]] = field(default_factory=list)
    _trade: int = 0
    _fed_ms: int = 0

    # ------------------------------------------------------------ driving

    def give(self, event: events.Event) -> None:
        """Hand an event to the engine, carry out what it decides, and so on until quiet."""
        queue = deque([event])
        while queue:
            now = queue.popleft()
            decided = self.engine.handle(now, self.now_ms)
            self.journal.append((self.now_ms, now))
            self.journal.extend((self.now_ms, action) for action in decided)
            self.actions.extend(decided)
            for action in decided:
                if self._dies(action):
                    return
                queue.extend(self._carry_out(action))

    def _dies(self, action: actions.Action) -> bool:
        """Count down the effects; the process ends before the one that is not carried out."""
        if self.die_after < 0 or not isinstance(action, WORK):
            return False
        self.die_after -= 1
        return self.die_after < 0

    def start(self) -> None:
        """Start the daemon and let it read its accounts."""
        self.give(events.Started(version="test", config_hash="x"))
        for account in self.engine.settings.accounts:
            symbols = sorted({*self.marks, *self.held.get(account, {})})
            self.give(builders.loaded(*symbols, account=account))
        self.price()
        self.read()

    def read(self, *accounts: str) -> None:
        """Let routine reads come in."""
        for account in accounts or tuple(self.engine.settings.accounts):
            if account not in self.deaf:
                self.give(self._snapshot(account, None))

    def price(self, **marks: float) -> None:
        """Move marks (`BTC=40_000`), told by two sources on every account."""
        self.marks |= {f"{base}/USDT:USDT": mark for base, mark in marks.items()}
        for account in (a for a in self.engine.settings.accounts if a not in self.muted):
            for symbol, mark in self.marks.items():
                self.give(
                    builders.prices(
                        symbol,
                        mark,
                        account=account,
                        index=mark,
                        bid=round(mark - 0.01, 2),
                        ask=round(mark + 0.01, 2),
                        venue_ms=self.now_ms,
                    )
                )

    def wait(self, seconds: float) -> None:
        """Let time pass: timers fire when due, prices and reads keep coming."""
        end = self.now_ms + int(seconds * 1000)
        while self.now_ms < end:
            self.now_ms = min(self.engine.next_deadline_ms(self.now_ms), end)
            self.give(events.TimerFired())
            if self.now_ms - self._fed_ms >= 1_000:
                self._fed_ms = self.now_ms
                self.price()
                self.read()

    def command(self, name: str, actor: Actor = ADMIN, **args: Any) -> actions.SendReply:
        """Give a command and return its first answer."""
        request_id = f"r{len(self.journal)}"
        self.give(events.CommandReceived(request_id=request_id, name=name, args=args, actor=actor))
        return next(r for r in self.replies() if r.request_id == request_id)

    def confirm(self, name: str, actor: Actor = ADMIN, **args: Any) -> actions.SendReply:
        """Give a riskier command and confirm its plan."""
        offer = self.command(name, actor, **args)
        assert offer.plan_id is not None, offer.message
        return self.command(name, actor, plan_id=offer.plan_id, **args)

    # ------------------------------------------------------------ reading

    def replies(self) -> list[actions.SendReply]:
        return [a for a in self.actions if isinstance(a, actions.SendReply)]

    def told(self, name: str) -> list[actions.SendAlert]:
        """Return what people were told under a name."""
        return [a for a in self.actions if isinstance(a, actions.SendAlert) if a.alert.name == name]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the actions of one kind so far."""
        return [a for a in self.actions if isinstance(a, kind)]

    def quantity(self, base: str, account: str = builders.ACCOUNT) -> Decimal:
        held = self.held.get(account, {}).get(f"{base}/USDT:USDT")
        return held[0] if held else Decimal(0)

    def equity(self, account: str = builders.ACCOUNT) -> float:
        total = float(self.wallet.get(account, 0))
        for symbol, (quantity, entry) in self.held.get(account, {}).items():
            total += float(quantity) * (self.marks[symbol] - float(entry))
        return total

    # ------------------------------------------------------------ the venue

    def _carry_out(self, action: actions.Action) -> Iterable[events.Event]:
        if isinstance(action, actions.PlaceOrder):
            yield from self._place(action)
        elif isinstance(action, actions.CancelOrder):
            yield self._cancel(action)
        elif isinstance(action, actions.RefreshAccount):
            yield from self._refresh(action)
        elif isinstance(action, actions.QueryOrder):
            order = self.known.get(action.client_order_id)
            yield events.OrderQueried(
                account=action.account,
                symbol=action.symbol,
                client_order_id=action.client_order_id,
                found=order is not None,
                order=order,
            )

    def _cancel(self, action: actions.CancelOrder) -> events.CancelFinished:
        done = not self.keep
        if done:
            self.orders.get(action.account, {}).pop(action.order_id, None)
        else:
            self.keep -= 1
        return events.CancelFinished(
            account=action.account, symbol=action.symbol, order_id=action.order_id, done=done
        )

    def _refresh(self, action: actions.RefreshAccount) -> Iterable[events.Event]:
        if action.account in self.deaf:
            yield events.RefreshFailed(
                account=action.account,
                reason=RejectReason.UNREACHABLE,
                message="deaf",
                request_id=action.request_id,
            )
            return
        for symbol in action.symbols:
            yield builders.prices(symbol, self.marks[symbol], account=action.account, is_rest=True)
        yield self._snapshot(action.account, action.request_id)

    def _snapshot(self, account: str, request_id: int | None) -> events.AccountSnapshotReceived:
        rows = [
            builders.position(s, q, e, account=account)
            for s, (q, e) in self.held.get(account, {}).items()
            if q
        ]
        return builders.snapshot(
            *rows,
            account=account,
            usdt=self.wallet.get(account, Decimal(0)),
            balances=self.airdrops,
            margin=self.margin,
            orders=tuple(self.orders.get(account, {}).values()),
            as_of_ms=self.now_ms,
            request_id=request_id,
        )

    def _place(self, order: actions.PlaceOrder) -> Iterable[events.Event]:
        self.sent.append(order)
        if self.refuse:
            yield events.OrderRejected(
                account=order.account,
                symbol=order.symbol,
                client_order_id=order.client_order_id,
                reason=self.refuse.popleft(),
                message="refused",
            )
            return
        fills = list(self.trade(order.account, order, order.quantity * self.fill_share))
        if self.lose:
            self.lose -= 1
            yield events.OrderOutcomeUnknown(
                account=order.account, symbol=order.symbol, client_order_id=order.client_order_id
            )
            return
        done = self.known[order.client_order_id]
        yield events.OrderAccepted(
            account=order.account,
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            order_id=done.order_id,
            status=done.status,
            filled=done.filled,
        )
        if order.account not in self.muted:
            yield from fills

    def trade(
        self, account: str, order: actions.PlaceOrder, quantity: Decimal
    ) -> Iterable[events.Event]:
        """Fill a quantity at the mark and return the frames a venue would push."""
        self._trade += 1
        price = Decimal(str(self.marks[order.symbol]))
        book = self.held.setdefault(account, {})
        before, entry = book.get(order.symbol, (Decimal(0), Decimal(0)))
        quantity = quantity.quantize(Decimal("0.001"))
        if order.reduce_only:
            quantity = min(quantity, abs(before))
        change = quantity * order.side.sign
        after = before + change
        if before * change < 0:
            closed = min(abs(before), abs(change))
            direction = 1 if before > 0 else -1
            self.wallet[account] += closed * (price - entry) * direction
            entry = price if after * before < 0 else entry
        else:
            entry = (entry * abs(before) + price * quantity) / abs(after) if after else price
        book[order.symbol] = (after, entry)
        status = OrderStatus.FILLED if quantity == order.quantity else OrderStatus.CANCELED
        order_id = f"v{self._trade}"
        self.known[order.client_order_id] = builders.order(
            order.symbol,
            order.side,
            order.quantity,
            account=account,
            order_id=order_id,
            client_order_id=order.client_order_id,
            filled=quantity,
            status=status,
        )
        if not quantity:
            return []
        return [
            builders.fill(
                order.symbol,
                order.side,
                quantity,
                price,
                account=account,
                trade_id=f"t{self._trade}",
                order_id=order_id,
            ),
            events.PositionsUpdated(
                account=account,
                positions=(builders.position(order.symbol, after, entry, account=account),),
            ),
            events.BalancesUpdated(
                account=account, balances=(builders.balance("USDT", self.wallet[account]),)
            ),
        ]

    def rest(self, base: str, side: str, quantity: str, **fields: Any) -> WorkingOrder:
        """Put somebody's order into the book of an account; the engine learns by the next read."""
        account = fields.pop("account", builders.ACCOUNT)
        order_id = f"o{len(self.orders.get(account, {})) + 1}-{self.now_ms}"
        order = builders.order(
            f"{base}/USDT:USDT", side, quantity, account=account, order_id=order_id, **fields
        )
        self.orders.setdefault(account, {})[order_id] = order
        return order

    def somebody_trades(self, base: str, quantity: str, account: str = builders.ACCOUNT) -> None:
        """Let somebody else trade at the mark; frames are pushed."""
        # A frame of the very moment a read began would be taken as part of that read.
        self.now_ms += 1
        size = Decimal(quantity)
        side = "buy" if size > 0 else "sell"
        order = actions.PlaceOrder(
            account=account,
            symbol=f"{base}/USDT:USDT",
            client_order_id=f"x{self._trade}",
            side=builders.Side(side),
            quantity=abs(size),
            reduce_only=False,
        )
        for event in self.trade(account, order, abs(size)):
            if account not in self.muted:
                self.give(event)

    # ------------------------------------------------------------ a restart

    def restart(self, settings: CoreSettings | None = None, back_ms: int = 0) -> None:
        """Kill the engine and recover another from the journal, on a clock set back perhaps."""
        engine = Engine(settings or self.engine.settings, self.engine.state.order_prefix)
        for ts_ms, record in self.journal:
            engine.fold(record, ts_ms)
        self.engine = engine
        self.now_ms += 2_000 - back_ms
        self._fed_ms = min(self._fed_ms, self.now_ms)
        self.give(events.Started(version="test", config_hash="x"))


def world(
    *limits: Limit,
    held: dict[str, tuple[float, float]] | None = None,
    usdt: float = 100_000,
    mode: Mode = Mode.ENFORCE,
    scope: str = "portfolio",
    kind: type[World] = World,
    elsewhere: dict[str, dict[str, tuple[float, float]]] | None = None,
    **settings: Any,
) -> World:
    """Build a started world of one account, or of those that `accounts` names.

    Args:
        limits: of `scope`.
        held: (quantity, entry price) by base asset; the entry is the first mark too.
        usdt: wallet balance.
        mode: of the daemon.
        scope: of the limits.
        kind: of world.
        elsewhere: held on other accounts than `main`.
        settings: further fields of CoreSettings.
    """
    engine = Engine(
        builders.settings(mode=mode, limits=tuple((scope, limit) for limit in limits), **settings),
        "rbtest",
    )
    made = kind(engine)
    for account in engine.settings.accounts:
        made.wallet[account] = Decimal(str(usdt))
        made.held[account] = {}
        made.orders[account] = {}
    for account, positions in {builders.ACCOUNT: held or {}, **(elsewhere or {})}.items():
        for base, (quantity, price) in positions.items():
            symbol = f"{base}/USDT:USDT"
            made.marks[symbol] = price
            made.held[account][symbol] = (Decimal(str(quantity)), Decimal(str(price)))
    made.start()
    return made
