"""The engine and real paper accounts on one moved clock: what is decided is carried out.

The skin of the paper venue is used as it is; with a clock that never waits, its requests end at
once, so a scenario needs no event loop and runs the same way every time.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits._base import Limit
from riskbot.core.model import (
    PORTFOLIO,
    Actor,
    Mode,
    OrderType,
    PositionSide,
    Role,
    Side,
    TradingState,
    WorkingOrder,
)
from riskbot.core.settings import AccountSettings, CoreSettings, MonitorSettings
from riskbot.errors import VenueError
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.paper.exchange import PaperExchange
from riskbot.exchanges.paper.faults import Faults
from riskbot.exchanges.paper.order import Request

T = TypeVar("T")
ADMIN = Actor("tester", Role.ADMIN, "test")
START_MS = 1_642_690_800_000
"""2022-01-20 15:00 UTC."""

PRICES = {
    "BTC/USDT:USDT": 40_000,
    "ETH/USDT:USDT": 2_500,
    "SOL/USDT:USDT": 100,
    "BTC/USDT": 40_000,
    "BTC/USD:BTC": 40_000,
}


class StageClock:
    """Time that is moved by hand; nobody waits."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ns(self) -> int:
        return self.ms * 1_000_000

    async def sleep_until(self, deadline_ms: int) -> None:
        del deadline_ms

    async def sleep(self, seconds: float) -> None:
        del seconds


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


@dataclass
class Stage:
    """One engine, the accounts it guards, and what it decided.

    Attributes:
        deaf: the engine hears no stream of these accounts.
        decided: (when, action), in order.
    """

    engine: Engine
    clock: StageClock
    exchanges: dict[str, PaperExchange]
    decided: list[tuple[int, actions.Action]] = field(default_factory=list)
    journal: list[tuple[int, Any]] = field(default_factory=list)
    queue: deque[events.Event] = field(default_factory=deque)
    _counter: int = 0

    # ------------------------------------------------------------ driving

    def give(self, event: events.Event) -> None:
        """Hand in an event, carry out what is decided, and so on until all is quiet."""
        self.queue.append(event)
        self._run()

    def _run(self) -> None:
        while self.queue:
            event = self.queue.popleft()
            decided = self.engine.handle(event, self.clock.ms)
            self.journal.append((self.clock.ms, event))
            for action in decided:
                self.journal.append((self.clock.ms, action))
                self.decided.append((self.clock.ms, action))
            for action in decided:
                self.queue.extend(self._carry_out(action))

    def start(self) -> None:
        """Start the daemon: open every account, read it, listen."""
        self.give(events.Started(version="test", config_hash="x"))
        for exchange in self.exchanges.values():
            self.give(at_once(exchange.open(tuple(exchange.venue.listings))))
            exchange.watch(frozenset(exchange.venue.listings))
            exchange.connect(self.queue.append)
        self.beat()
        self.read()

    def beat(self) -> None:
        """Let every venue play and tell what is due."""
        for exchange in self.exchanges.values():
            exchange.step()
        self._run()

    def read(self) -> None:
        """Let routine reads come in."""
        for name, exchange in self.exchanges.items():
            try:
                self.queue.append(at_once(exchange.snapshot()))
            except VenueError as error:
                self.queue.append(
                    events.RefreshFailed(account=name, reason=error.reason, message=str(error))
                )
        self._run()

    def wait(self, seconds: float) -> None:
        """Let time pass: timers fire when due, a beat each second, a read every ten."""
        end_ms = self.clock.ms + round(seconds * 1000)
        while self.clock.ms < end_ms:
            second = self.clock.ms // 1000
            self.clock.ms = min(self.engine.next_deadline_ms(self.clock.ms), end_ms)
            self.give(events.TimerFired())
            if self.clock.ms // 1000 != second:
                self.beat()
                if self.clock.ms // 10_000 != second // 10:
                    self.read()

    def move(self, *, on: Iterable[str] | None = None, **marks: float) -> None:
        """Move prices (`BTC=38_000`) of every instrument on that base, everywhere or on some."""
        for name, exchange in self.exchanges.items():
            if on is not None and name not in on:
                continue
            venue = exchange.venue
            found = {
                symbol: Decimal(str(marks[row.base]))
                for symbol, row in venue.listings.items()
                if row.base in marks
            }
            venue.set_prices(found, self.clock.ms)
        self.beat()

    def glide(self, steps: int = 8, **marks: float) -> None:
        """Move prices there in equal parts, a second each, as markets fall."""
        venue = next(iter(self.exchanges.values())).venue
        begin = {base: float(venue.mark(f"{base}/USDT:USDT") or 0) for base in marks}
        for step in range(1, steps + 1):
            share = step / steps
            self.move(**{b: begin[b] + (m - begin[b]) * share for b, m in marks.items()})
            self.wait(1)

    # ------------------------------------------------------------ people

    def command(self, name: str, actor: Actor = ADMIN, **args: Any) -> actions.SendReply:
        """Give a command and return its first answer."""
        self._counter += 1
        request_id = f"r{self._counter}"
        self.give(events.CommandReceived(request_id=request_id, name=name, args=args, actor=actor))
        return next(r for r in self.of(actions.SendReply) if r.request_id == request_id)

    def confirm(self, name: str, **args: Any) -> actions.SendReply:
        """Give a riskier command and confirm its plan."""
        offer = self.command(name, **args)
        assert offer.plan_id is not None, offer.message
        return self.command(name, plan_id=offer.plan_id, **args)

    def trade(
        self, symbol: str, quantity: float | str, account: str = "main", **fields: Any
    ) -> WorkingOrder:
        """Let somebody else trade or rest an order on an account; it must be taken."""
        size = Decimal(str(quantity))
        for name in ("price", "stop_price"):
            if name in fields:
                fields[name] = Decimal(str(fields[name]))
        leg = PositionSide(fields.pop("leg", "net"))
        request = Request(
            symbol,
            Side.BUY if size > 0 else Side.SELL,
            abs(size),
            OrderType.LIMIT if "price" in fields else OrderType.MARKET,
            position_side=leg,
            **fields,
        )
        answer = self.exchanges[account].venue.submit(request, self.clock.ms)
        assert isinstance(answer, WorkingOrder), answer
        self.beat()
        return answer

    # ------------------------------------------------------------ carrying out

    def _carry_out(self, action: actions.Action) -> Iterable[events.Event]:
        if isinstance(action, actions.PlaceOrder):
            yield at_once(self.exchanges[action.account].place(action))
        elif isinstance(action, actions.CancelOrder):
            yield at_once(self.exchanges[action.account].cancel(action))
        elif isinstance(action, actions.QueryOrder):
            yield at_once(self.exchanges[action.account].find(action))
        elif isinstance(action, actions.RefreshAccount):
            yield from self._refresh(action)
        elif isinstance(action, actions.AddMargin):
            yield at_once(self.exchanges[action.account].add_margin(action))
        elif isinstance(action, actions.ReadDepth):
            yield from at_once(self.exchanges[action.account].depth(action.symbols))

    def _refresh(self, action: actions.RefreshAccount) -> Iterable[events.Event]:
        exchange = self.exchanges[action.account]
        try:
            if action.symbols:
                yield from at_once(exchange.prices(action.symbols))
            if action.with_ledger:
                yield from at_once(exchange.ledger(self.clock.ms - 3_600_000))
            yield at_once(exchange.snapshot(action.request_id, is_urgent=action.is_urgent))
        except VenueError as error:
            yield events.RefreshFailed(
                account=action.account,
                reason=error.reason,
                message=str(error),
                request_id=action.request_id,
                retry_after_ms=error.retry_after_ms,
            )

    # ------------------------------------------------------------ reading

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the actions of one kind so far."""
        return [action for _, action in self.decided if isinstance(action, kind)]

    @property
    def sent(self) -> list[actions.PlaceOrder]:
        """Orders riskbot sent so far."""
        return self.of(actions.PlaceOrder)

    def faults(self, account: str = "main") -> Faults:
        """Return the faults of one account."""
        return self.exchanges[account].faults

    def quantity(self, symbol: str, account: str = "main", leg: str = "net") -> Decimal:
        """Return what the venue itself says is held."""
        venue = self.exchanges[account].venue
        row = venue.listings[symbol]
        if not row.is_derivative:
            return venue.pool.wallets.get(row.base, Decimal(0))
        holding = venue.pool.holdings.get((symbol, PositionSide(leg)))
        return holding.quantity if holding is not None else Decimal(0)

    def is_flat(self) -> bool:
        """Whether no venue holds a position."""
        pools = (exchange.venue.pool for exchange in self.exchanges.values())
        return not any(h.quantity for pool in pools for h in pool.holdings.values())

    def resting(self, account: str = "main") -> set[str]:
        """Return the ids of the orders that rest at the venue."""
        return set(self.exchanges[account].venue.orders)

    def equity(self, account: str = "main") -> float:
        """Return what the venue itself says an account is worth, USD."""
        return float(self.exchanges[account].venue.pool.equity_usd())

    def state(self, scope: str = PORTFOLIO) -> TradingState:
        """Return the enforced trading state."""
        return self.engine.state.enforcement.state_of(scope)

    def measure(self, name: str) -> float:
        """Return a ratio of the portfolio's Book: gross, net, drawdown, daily_loss."""
        book = self.engine.state.scopes(self.clock.ms)[PORTFOLIO]
        figures = {
            "gross": lambda: book.ratio(book.gross_usd),
            "net": lambda: book.ratio(book.net_usd),
            "drawdown": lambda: book.losses.drawdown,
            "daily_loss": lambda: book.losses.daily_loss,
        }
        found = figures[name]()
        assert found is not None
        return float(found)

    def decisions(self) -> list[str]:
        """Return the audit's decisions in order."""
        return [row.decision for row in self.of(actions.RecordDecision)]

    def alerts(self, name: str) -> list[actions.SendAlert]:
        """Return what people were told under a name."""
        return [a for a in self.of(actions.SendAlert) if a.alert.name == name]

    def doubles(self) -> list[str]:
        """Return client ids that were sent more than once: there must be none."""
        ids = [order.client_order_id for order in self.sent]
        return [name for name in ids if ids.count(name) > 1]

    def restart(self, settings: CoreSettings | None = None) -> None:
        """Kill the daemon and let another recover from the journal; the venues go on."""
        old = self.engine
        self.engine = Engine(settings or old.settings, old.state.order_prefix)
        for ts_ms, record in self.journal:
            self.engine.fold(record, ts_ms)
        self.clock.ms += 2_000
        self.queue.clear()
        self.give(events.Started(version="test", config_hash="x"))
        self.beat()
        self.read()


def stage(
    *limits: Limit | tuple[str, Limit],
    accounts: dict[str, dict[str, Any]] | None = None,
    account_settings: dict[str, AccountSettings] | None = None,
    mode: Mode = Mode.ENFORCE,
    **settings: Any,
) -> Stage:
    """Build a stage and start it.

    Args:
        limits: of the portfolio, or (scope, limit).
        accounts: `ccxt:` mapping by name; fixed prices, no latency and no fees unless it says so.
        account_settings: by name, a plain paper account where not given.
        mode: whether riskbot's decisions bind.
        settings: further fields of `CoreSettings`.
    """
    clock = StageClock()
    mappings = accounts or {"main": {}}
    # Venues of different names count as independent sources of prices.
    known = {
        name: (account_settings or {}).get(name, AccountSettings(exchange="paper"))
        for name in mappings
    }
    scoped = tuple(row if isinstance(row, tuple) else (PORTFOLIO, row) for row in limits)
    core = CoreSettings(
        accounts=known,
        mode=mode,
        limits=scoped,
        **{"monitor": MonitorSettings(), **settings},
    )
    exchanges = {
        name: PaperExchange(
            name,
            "paper",
            Credentials(),
            {
                "prices": PRICES,
                "latency_ms": 0,
                "taker_fee": 0,
                "maker_fee": 0,
                "depth_usd": 10_000_000,
                **mapping,
            },
            (),
            clock,
            random.Random(7),
            lambda: False,
        )
        for name, mapping in mappings.items()
    }
    made = Stage(Engine(core, "rbtest"), clock, exchanges)
    made.start()
    made.wait(2)
    return made


def thin(made: Stage, symbol: str, level_usd: int, levels: int, account: str = "main") -> None:
    """Make an instrument's book thin."""
    book = made.exchanges[account].venue.books[symbol]
    depth = replace(book.listing.depth, level_usd=Decimal(level_usd), levels=levels)
    book.listing = replace(book.listing, depth=depth)
