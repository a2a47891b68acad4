"""The state: sub-states, the routing of records to them, and the questions the core asks them.

Live, a record is folded as it happens; on recovery the same fold rebuilds the same state. Nothing
is decided here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from riskbot.core import actions, events, exits, funding, lines, plan, rewind, sizing
from riskbot.core.accounts import Accounts
from riskbot.core.alerts import Alerts
from riskbot.core.analysis import Analysis
from riskbot.core.binding import Binding
from riskbot.core.duty import Hold, Target
from riskbot.core.enforcement import Enforcement
from riskbot.core.exposure import Leg, ScopeBook
from riskbot.core.factors import Factors
from riskbot.core.feeds import Feeds
from riskbot.core.history import History
from riskbot.core.ids import base36
from riskbot.core.limits._base import Limit, Verdict
from riskbot.core.matters import UNMEASURED
from riskbot.core.meter import Meter, SecondMeasure
from riskbot.core.model import (
    PORTFOLIO,
    BlindKind,
    Instrument,
    InstrumentKind,
    PositionKey,
    WorkingOrder,
    scope_account,
)
from riskbot.core.moves import Moves
from riskbot.core.overrides import Changing, Overrides, Scoped
from riskbot.core.past import Past
from riskbot.core.reservations import TELLING, Reservations
from riskbot.core.standing import Standing
from riskbot.core.trades import Trades

if TYPE_CHECKING:
    from riskbot.core.settings import CoreSettings
    from riskbot.core.turn import Turn

FRESH_MS = 1_000
SAME_MS = 1_000
START_MS = 15_000
"""After a start, an account that was not read by then is not waited for."""
READ_OVERDUE_MS = 5_000


_PARTS: dict[str, type[Any]] = {
    "accounts": Accounts,
    "analysis": Analysis,
    "enforcement": Enforcement,
    "alerts": Alerts,
    "feeds": Feeds,
    "moves": Moves,
    "history": History,
    "trades": Trades,
    "factors": Factors,
    "overrides": Overrides,
    "past": Past,
    "reservations": Reservations,
}


class State:
    """Everything riskbot knows.

    Args:
        settings: what the operator configured; not part of the state, and not folded.
        order_prefix: see `Engine`.
    """

    def __init__(self, settings: CoreSettings, order_prefix: str) -> None:
        self.settings = settings
        self.order_prefix = order_prefix
        self.accounts = Accounts()
        self.analysis = Analysis()
        self.enforcement = Enforcement()
        self.alerts = Alerts()
        self.feeds = Feeds()
        self.moves = Moves()
        self.history = History()
        self.trades = Trades()
        self.meter = Meter(settings, self.accounts)
        self.factors = Factors()
        self.overrides = Overrides()
        self.past = Past()
        self.reservations = Reservations()
        self.standing = Standing(self)
        self._set_limits()
        self._scopes: dict[str, ScopeBook] = {}
        self._scopes_ms = -1
        self.set_back_ms = 0

    def _set_limits(self) -> None:
        self.limits: Scoped = self.overrides.effective(self.settings.limits)
        self.binding = Binding(self.settings, self.limits)
        self._limits = {(scope, limit.name): limit for scope, limit in self.limits}
        read = [(scope, limit.name) for scope, limit in self.limits if limit.needs_statistics]
        self._figures = {scope: {name for at, name in read if at == scope} for scope, _ in read}

    # ------------------------------------------------------------ folding

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record into every sub-state that cares."""
        if (caring := UNMEASURED.get(type(record))) is not None:
            for part in caring:
                part(self).apply(record, now_ms)
            self.meter.take_matter_of_order(record, now_ms)
            return
        self._scopes_ms = -1
        if isinstance(record, events.Started):
            self.set_back_ms = rewind.rewind(self, now_ms)
        if isinstance(record, events.PricesUpdated):
            self._take_price(record, now_ms)
            return
        if isinstance(record, TELLING):
            self.reservations.before(record, self.accounts.get(record.account), now_ms)
        change = self.accounts.fold(record, now_ms)
        self.standing.take(change)
        self.analysis.apply(record, now_ms)
        self.enforcement.apply(record, now_ms)
        self.alerts.apply(record, now_ms)
        self.feeds.apply(record, now_ms)
        self.moves.apply(record, now_ms)
        self.history.apply(record, now_ms)
        self.trades.apply(record, now_ms, self.reservations.trader(record))
        self.factors.apply(record, now_ms)
        self.past.apply(record, now_ms)
        self.reservations.apply(record, now_ms)
        if isinstance(record, Changing):
            self.overrides.apply(record, now_ms)
            self._set_limits()
        self.meter.apply(record, change, now_ms)

    def _take_price(self, frame: events.PricesUpdated, now_ms: int) -> None:
        """Fold a price frame: the one record whose cost counts."""
        price = self.meter.take_price(frame, now_ms)
        self.feeds.apply(frame, now_ms)
        if price is None:
            return
        move = self.settings.monitor.price_move
        has_moved = self.history.has_moved(frame.account, frame.symbol, price, move)
        if has_moved and self.meter.book.is_priced_by(frame.account, frame.symbol):
            self.history.note(frame.account, frame.symbol)

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        parts = {name: getattr(self, name).dump() for name in _PARTS}
        return {**parts, "meter": self.meter.dump()}

    def load(self, data: dict[str, Any]) -> None:
        """Take what `dump` returned."""
        for name, part in _PARTS.items():
            # A checkpoint from before a part was there: it starts empty.
            setattr(self, name, part.load(data[name]) if name in data else part())
        self.standing = Standing(self)
        self._set_limits()
        self.meter = Meter(self.settings, self.accounts)
        self.meter.load(data["meter"])

    # ------------------------------------------------------------ measuring

    def measure(self, now_ms: int) -> dict[str, ScopeBook]:
        """Measure every scope now."""
        scopes = self.meter.scopes(now_ms)
        day_ms = self.meter.booking.periods.day_start_ms(now_ms)
        for book in scopes.values():
            book.operational |= self.feeds.operational(book.scope, now_ms)
            book.day |= self.trades.counts(book.scope)
            book.slippage_bps = self.reservations.slips.of(book.scope, day_ms)
        self._appraise(scopes)
        return scopes

    def _appraise(self, scopes: dict[str, ScopeBook]) -> None:
        for scope, book in scopes.items():
            if scope in self._figures:
                self.appraise(book)

    def appraise(self, book: ScopeBook) -> None:
        """Fill in what limits want to know of price history, scenarios and funding."""
        wanted = self._figures.get(book.scope, ())
        self.analysis.appraise(book, self.settings, wanted, self.meter.marks)
        if funding.COST in wanted:
            funding.fill(book, self.meter.marks)

    def scopes(self, now_ms: int) -> dict[str, ScopeBook]:
        """Return the Book of every scope, measured anew when anything was told since.

        What time alone changes is looked at by the second's timer.
        """
        if self._scopes_ms < 0 or not 0 <= now_ms - self._scopes_ms < SAME_MS:
            self._scopes = self.measure(now_ms)
            self._scopes_ms = now_ms
        return self._scopes

    def measure_second(self, now_ms: int, without: frozenset[str]) -> SecondMeasure:
        """Measure every scope under a second independent price source."""
        second = self.meter.second(now_ms, self._read_since_ms(), without)
        self._appraise(second.scopes)
        return second

    def _read_since_ms(self) -> int:
        """Return since when a REST price counts as a second look: the oldest open breach."""
        found = [
            e.breach_since_ms
            for e in self.enforcement.episodes.values()
            if e.breach_since_ms is not None
        ]
        return min(found, default=0)

    def needs_decision(self, now_ms: int) -> bool:
        """Whether a price frame may have crossed a level, or a breach waits for its proof."""
        return (
            self.meter.tripped()
            or bool(self.history.moved)
            or any(
                e.stage.value in {"unconfirmed", "disagreeing"}
                for e in self.enforcement.episodes.values()
            )
        )

    def set_guards(self, turn: Turn) -> None:
        """Tell the Book which levels come next, after a full evaluation."""
        self.meter.set_guards(turn.checked, is_urgent=turn.has_orders)

    def on_timer(self, now_ms: int) -> None:
        """Take prices anew and set the running sums straight."""
        self.trades.day_ms = self.meter.booking.periods.day_start_ms(now_ms)
        self.meter.on_timer(now_ms)

    def decide_cashflows(self, event: events.Event, now_ms: int) -> list[actions.Action]:
        """Return the cash flows, residuals and NAV records that are due."""
        return self.meter.booking.decide(event, now_ms)

    def check(self, limit: Limit, book: ScopeBook) -> list[Verdict]:
        """Check a limit; one that breaks is UNKNOWN with the error's text, never silent."""
        if book.equity_usd is None and not self._was_read(book.scope):
            return [limit.unknown(book.scope, "", "not read yet")]
        try:
            return limit.check(book)
        except Exception as error:  # noqa: BLE001 - a broken limit must not stop the others
            return [limit.unknown(book.scope, "", f"{type(error).__name__}: {error}")]

    def _was_read(self, scope: str) -> bool:
        """Whether anything that a scope is made of was ever read."""
        account = scope_account(scope)
        names = [account] if account is not None else list(self.settings.accounts)
        return any(self.accounts.get(name).was_read for name in names)

    def limit(self, scope: str, name: str) -> Limit | None:
        """Return a configured limit."""
        return self._limits.get((scope, name))

    # ------------------------------------------------------------ accounts

    def is_scope_blind(self, scope: str) -> bool:
        """Whether nothing of a scope is in sight."""
        account = scope_account(scope)
        names = [account] if account is not None else [*self.settings.accounts]
        return all(self.is_account_blind(name) for name in names)

    def is_settled(self, scope: str, now_ms: int) -> bool:
        """Whether all of a scope was read since the start, or had its time to be."""
        account = scope_account(scope)
        names = [account] if account is not None else [*self.settings.accounts]
        if now_ms - self.feeds.started_ms >= START_MS:
            return True
        return all(self.is_synced(name) for name in names)

    def is_synced(self, account: str) -> bool:
        """Whether a complete read came since the start."""
        return self.accounts.get(account).is_synced

    def is_account_blind(self, account: str) -> bool:
        """Whether the account is out of sight."""
        return self.enforcement.is_blind(BlindKind.ACCOUNT, account)

    def orders(self, account: str) -> list[WorkingOrder]:
        """Return all working orders, plain and conditional."""
        return list(self.accounts.get(account).orders.values())

    def entries(self, account: str) -> list[WorkingOrder]:
        """Return the working orders that may add risk."""
        return exits.entries(self.accounts.get(account))

    def exits_on(self, key: PositionKey) -> list[WorkingOrder]:
        """Return the working exits of one position."""
        return [
            order
            for order in exits.exits(self.accounts.get(key.account))
            if order.symbol == key.symbol and order.position_side is key.side
        ]

    def raises_keys(self, order: WorkingOrder, keys: tuple[str, ...]) -> bool:
        """Whether an order, filled, would raise one of these keys' measures."""
        instrument = self.instrument(order.account, order.symbol)
        base = instrument.underlying if instrument else exits.base_of(order.symbol)
        groups = lines.groups_of(self.settings, base)
        return exits.raises_keys(order, base, lines.sector_of(self.settings, base), groups, keys)

    def raises(self, order: WorkingOrder, hold: Hold, strategy: str) -> bool:
        """Whether an order, filled, would raise what a measure hold is about."""
        limit = self.limit(hold.scope, hold.limit)
        is_of_strategies = hold.limit == "strategy_share" or getattr(limit, "by", "") == "strategy"
        if is_of_strategies:
            return not hold.keys or strategy in hold.keys
        return self.raises_keys(order, hold.keys)

    def instrument(self, account: str, symbol: str) -> Instrument | None:
        """Return an instrument as its venue lists it."""
        return self.accounts.get(account).instruments.get(symbol)

    def listed(self, key: PositionKey) -> Instrument:
        """Return the instrument of a position, a stand-in for one that is not loaded."""
        known = self.instrument(key.account, key.symbol)
        return known if known is not None else lines.unlisted(key.account, key.symbol)

    def is_hedge_mode(self, account: str) -> bool:
        """Whether both sides are positions of their own there."""
        return bool(self.accounts.get(account).is_hedge_mode)

    def quantity(self, key: PositionKey) -> Decimal:
        """Return the signed quantity of a position or of a spot coin."""
        return exits.holding(self.accounts.get(key.account), key.symbol, key.side)

    def closable(self, key: PositionKey) -> Decimal:
        """Return how much of it an order may close, >= 0; of spot the free balance."""
        account = self.accounts.get(key.account)
        instrument = account.instruments.get(key.symbol)
        if instrument is not None and instrument.kind is InstrumentKind.SPOT:
            balance = account.balances.get(exits.base_of(key.symbol))
            if balance is None:
                return Decimal(0)
            free = balance.total if balance.free is None else balance.free
            return max(min(free, balance.total), Decimal(0))
        return abs(self.quantity(key))

    def is_locked(self, target: Target) -> bool:
        """Whether working sells hold coins that a close still has to sell."""
        instrument = self.instrument(target.key.account, target.key.symbol)
        if target.kept or instrument is None or instrument.kind is not InstrumentKind.SPOT:
            return False
        return self.closable(target.key) < self.quantity(target.key) - target.quantity

    def holdings(self) -> plan.Holdings:
        """Return native quantities of everything held.

        Coins that working sells lock count as closable: a close cancels those first.
        """
        legs = self.meter.legs()
        return plan.Holdings(
            quantity={leg.key: self.quantity(leg.key) for leg in legs},
            closable={leg.key: self._after_cancels(leg) for leg in legs},
        )

    def _after_cancels(self, leg: Leg) -> Decimal:
        if not leg.is_spot:
            return self.closable(leg.key)
        return max(self.closable(leg.key), Decimal(repr(leg.closable_quantity)))

    # ------------------------------------------------------------ prices

    def quote(self, account: str, symbol: str) -> sizing.Quote:
        """Return fresh prices an order may be made from."""
        return self.meter.order_quote(account, symbol)

    def price(self, account: str, symbol: str) -> float | None:
        """Return the best price of an instrument in quote units, None = never priced."""
        best = self.meter.best(account, symbol)
        return best.value if best is not None else None

    def mark_usd(self, account: str, symbol: str) -> float | None:
        """Return USD per base unit of an instrument, None = unknown."""
        return self.meter.mark_usd(account, symbol)

    def blind_prices(self, account: str, now_ms: int) -> set[str]:
        """Return the symbols held, above dust, that have no fresh price on their own venue."""
        return self.meter.blind_prices(account, now_ms)

    # ------------------------------------------------------------ cash flows

    def has_pending_flow(self, account: str) -> bool:
        """Whether an unexplained change of equity keeps riskbot from entries and closing."""
        return self.meter.booking.has_pending_flow(account)

    def is_unexplained(self, account: str) -> bool:
        """Whether equity has moved in a way that fills and rows do not explain (yet)."""
        return self.meter.booking.is_unexplained(account)

    def is_unmatched(self, account: str) -> bool:
        """Whether positions have changed in a way that fills do not explain (yet)."""
        return self.meter.cashflows.get(account).mismatch_ms is not None

    def flow_usd(self, flow_id: str) -> float | None:
        """Return the amount of a booked flow, None = no such flow."""
        flow = self.meter.cashflows.flows.get(flow_id)
        return flow.amount_usd if flow is not None else None

    def next_day_start_ms(self, now_ms: int) -> int:
        """Return when the next day starts in the configured zone."""
        return self.meter.booking.periods.next_day_start_ms(now_ms)

    # ------------------------------------------------------------ reads

    def is_fresh(self, account: str, now_ms: int) -> bool:
        """Whether an order may be sized by what is known, without a read before it.

        Within a second of a read; where everything held is a derivative (a reduce-only order
        cannot flip) also while the stream runs without a gap since the last routine read.
        """
        known = self.accounts.get(account)
        if not known.is_synced:
            return False
        if now_ms - known.read_ms <= FRESH_MS:
            return True
        has_spot = any(
            leg.is_spot and leg.is_closable and leg.key.account == account
            for leg in self.meter.legs()
        )
        if has_spot or known.gap_ms is not None:
            return False
        routine_ms = int(self.settings.monitor.reconcile_s * 1500)
        heard_ms = now_ms - known.frame_ms
        return heard_ms <= FRESH_MS or now_ms - known.read_ms <= routine_ms

    def next_request_id(self) -> int:
        """Return the id of the next read."""
        return self.enforcement.request_counter + 1

    def next_order_id(self) -> str:
        """Return the next client order id: deterministic, never used again."""
        return self.order_prefix + base36(self.enforcement.order_counter + 1)

    def last_request_ms(self, account: str) -> int:
        """Return when a read of the account was last asked for, 0 = never."""
        return self.enforcement.asked_ms.get(account, 0)

    def dead_man_sent_ms(self, account: str) -> int:
        """Return when the dead-man's switch was last told anything, 0 = never."""
        return self.enforcement.dead_man_ms.get(account, 0)

    def answered(self, account: str, request_id: int) -> bool:
        """Whether a read asked for with this id, or a later one, has come."""
        return self.enforcement.answered_reads.get(account, 0) >= request_id

    def has_failed_read(self, account: str, request_id: int) -> bool:
        """Whether the read asked for with this id failed."""
        return self.enforcement.failed_reads.get(account, 0) >= request_id

    def is_read_overdue(self, account: str, now_ms: int) -> bool:
        """Whether the last read asked for has not been answered for too long."""
        return now_ms - self.last_request_ms(account) >= READ_OVERDUE_MS

    def read_since(self, account: str, since_ms: int) -> bool:
        """Whether a complete read began at or after a moment."""
        return self.accounts.get(account).as_of_ms >= since_ms

    def is_read_after_order(self, key: PositionKey) -> bool:
        """Whether the position was read after the last order of riskbot's on it settled.

        A read counts when it was asked for after that, or began in a later millisecond.
        """
        settled = self.enforcement.settled.get(key)
        if settled is None:
            return True
        asked_later = self.enforcement.answered_reads.get(key.account, 0) > settled.request_id
        return asked_later or self.accounts.get(key.account).as_of_ms > settled.at_ms

    def flatten_targets(
        self, now_ms: int, accounts: tuple[str, ...], symbol: str | None = None
    ) -> tuple[Target, ...]:
        """Return what a flatten of these accounts closes and keeps."""
        book = self.scopes(now_ms)[PORTFOLIO]
        return plan.flatten_targets(book, self.holdings(), accounts, symbol)
