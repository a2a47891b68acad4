"""Sub-state of cash flows: what moved equity, PnL or flow; unitised NAV per scope.

Equity is kept as components: units of assets, and units of positions without the cash that paid
for them. What frames change of the components, less what fills and ledger rows explain of it, is
the residual: zero in every component once all messages came, in whatever order and at whatever
prices. NAV counts equity without the residual's value. History and losses live in `navs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from riskbot.core import actions, events
from riskbot.core.accounts import Change, remember
from riskbot.core.exits import base_of
from riskbot.core.lines import unlisted
from riskbot.core.model import (
    PORTFOLIO,
    Instrument,
    InstrumentKind,
    LedgerKind,
    Position,
    PositionKey,
    PositionSide,
    account_scope,
    strategy_scope,
)
from riskbot.core.navs import NavHistory, sight
from riskbot.core.plain import from_plain, to_plain
from riskbot.core.residuals import AccountFlows, Components, Flow, PriceOf, Row, add

FLOWS_KEPT = 1_000
"""Booked flows kept for `reclassify`, oldest forgotten first."""

_PNL_ROWS = frozenset({LedgerKind.FUNDING, LedgerKind.OTHER})
"""Rows that explain PnL; fees and realized PnL of trades are explained by the fills."""


@dataclass(slots=True)
class StrategyFlows:
    """What fills of one strategy moved, by account; and signed quantities by position."""

    components: dict[str, Components] = field(default_factory=dict)
    quantities: dict[tuple[str, str, PositionSide], float] = field(default_factory=dict)


@dataclass(slots=True)
class Cashflows:
    """Cash flows and NAV of all scopes.

    Attributes:
        seed_usd: highest capital before installation, 0 = none.
        instruments: by account and symbol: how a quantity turns into components.
        counter: of booked flows.
        owners: strategy by client order id, for attributed fills.
    """

    seed_usd: float = 0.0
    accounts: dict[str, AccountFlows] = field(default_factory=dict)
    histories: dict[str, NavHistory] = field(default_factory=dict)
    strategies: dict[str, StrategyFlows] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    instruments: dict[str, dict[str, Instrument]] = field(default_factory=dict)
    counter: int = 0

    def get(self, account: str) -> AccountFlows:
        """Return an account's reconciliation, a new one if nothing is known."""
        return self.accounts.setdefault(account, AccountFlows())

    def history(self, scope: str) -> NavHistory:
        """Return a scope's history, an empty one if nothing is known."""
        return self.histories.setdefault(scope, NavHistory())

    # ------------------------------------------------------------ folding

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold a record; what frames changed comes through `take` beside it."""
        match record:
            case events.OrderFilled():
                self._take_fill(record, now_ms)
            case events.LedgerEntryBooked():
                self._take_row(record, now_ms)
            case events.InstrumentsLoaded(account=account, instruments=instruments):
                self.instruments.setdefault(account, {}).update({i.symbol: i for i in instruments})
            case actions.SetReservation(reservation=approved) if approved.venue_id:
                self.own(approved.venue_id, approved.strategy)
            case actions.BookFlow():
                self._book_flow(record, now_ms)
            case actions.BookResidual():
                self._book_residual(record, now_ms)
            case actions.ReclassifyFlow():
                self._reclassify(record)
            case actions.RecordNav():
                history = self.history(record.scope)
                is_seeded = record.scope == PORTFOLIO and record.units > 0
                history.record(record, now_ms, self.seed_usd / record.units if is_seeded else 0.0)
            case actions.RebaseLoss():
                self.history(record.scope).rebase(record.limit, record.nav, now_ms)
            case _:
                sight(self.histories, record, now_ms)

    def take(self, change: Change, now_ms: int) -> None:
        """Take what a frame or a read changed of an account's positions and balances."""
        flows = self.get(change.account)
        if not flows.is_added:
            return
        for before, after in change.positions:
            flows.move(self._components(after), 1.0, now_ms)
            flows.move(self._components(before), -1.0, now_ms)
        for old, new in change.balances:
            if new is not None:
                flows.move({new.asset: float(new.total)}, 1.0, now_ms)
            if old is not None:
                flows.move({old.asset: float(old.total)}, -1.0, now_ms)
        flows.explain(now_ms)

    def _instrument(self, account: str, symbol: str) -> Instrument:
        return self.instruments.get(account, {}).get(symbol) or unlisted(account, symbol)

    def _components(self, position: Position | None) -> Components:
        if position is None:
            return {}
        instrument = self._instrument(position.account, position.symbol)
        quantity = float(position.quantity)
        entry = float(position.entry_price or 0)
        if not entry and position.unrealized_pnl is not None and position.venue_mark is not None:
            entry = float(position.venue_mark) - float(position.unrealized_pnl) / quantity
        if instrument.kind is InstrumentKind.OPTION or not entry:
            return {position.symbol: quantity}
        return _paid(instrument, quantity, entry)

    def _take_fill(self, fill: events.OrderFilled, now_ms: int) -> None:
        flows = self.get(fill.account)
        if not remember(flows.trades, fill.trade_id):
            return
        if not flows.is_added or (fill.venue_ms is not None and fill.venue_ms < flows.since_ms):
            return
        instrument = self._instrument(fill.account, fill.symbol)
        signed = float(fill.quantity) * fill.side.sign
        moved = _paid(instrument, signed, float(fill.price))
        if fill.fee_asset is not None and fill.fee:
            moved[fill.fee_asset] = moved.get(fill.fee_asset, 0.0) - float(fill.fee)
            for scope in (PORTFOLIO, account_scope(fill.account)):
                add(self.history(scope).fees, {fill.fee_asset: float(fill.fee)})
        flows.move(moved, -1.0, now_ms)
        strategy = self.owners.get(fill.client_order_id or "")
        if strategy is not None:
            self._attribute(strategy, fill, signed, moved)

    def _attribute(
        self, strategy: str, fill: events.OrderFilled, signed: float, moved: Components
    ) -> None:
        flows = self.strategies.setdefault(strategy, StrategyFlows())
        held = flows.components.setdefault(fill.account, {})
        for component, units in moved.items():
            held[component] = held.get(component, 0.0) + units
        key = (fill.account, fill.symbol, fill.position_side)
        flows.quantities[key] = flows.quantities.get(key, 0.0) + signed

    def owned(self, key: PositionKey) -> dict[str, float]:
        """Return the signed quantity of a position by the strategy whose fills made it."""
        return {
            name: flows.quantities[key]
            for name, flows in self.strategies.items()
            if key in flows.quantities
        }

    def attributed(self) -> list[PositionKey]:
        """Return the positions that fills of strategies made."""
        keys = {key: None for flows in self.strategies.values() for key in flows.quantities}
        return [PositionKey(*key) for key in keys]

    def own(self, client_order_id: str, strategy: str) -> None:
        """Attribute the fills of a client order id to a strategy."""
        self.owners[client_order_id] = strategy
        if len(self.owners) > 10 * FLOWS_KEPT:
            del self.owners[next(iter(self.owners))]

    def _take_row(self, row: events.LedgerEntryBooked, now_ms: int) -> None:
        flows = self.get(row.account)
        if not flows.is_added or row.venue_ms < flows.since_ms:
            return
        # A venue books funding by the hour: those must not push a deposit out of memory.
        if not remember(flows.seen if row.entry_kind.is_flow else flows.pnl_seen, row.entry_id):
            return
        amount = float(row.amount)
        if row.entry_kind.is_flow:
            if not flows.use_up_timed_out(row.asset, amount):
                flows.rows.append(Row(row.asset, amount))
            return
        if row.entry_kind is LedgerKind.FUNDING:
            for scope in (PORTFOLIO, account_scope(row.account)):
                add(self.history(scope).funding, {row.asset: amount})
        if row.entry_kind in _PNL_ROWS:
            flows.take_pnl(row.asset, amount, now_ms)

    # ------------------------------------------------------------ booking

    def _book_flow(self, booked: actions.BookFlow, now_ms: int) -> None:
        flows = self.get(booked.account)
        self._count(booked.flow_id)
        if booked.source == "account_added":
            flows.is_added = True
            flows.since_ms = now_ms
            flows.clear()
        elif booked.source == "account_removed":
            del self.accounts[booked.account]
        elif booked.source == "timeout":
            flows.time_out()
        elif booked.source == "settled" and flows.rows:
            del flows.rows[0]
            flows.settled_usd -= booked.amount_usd
        elif booked.source == "ledger" and flows.rows:
            row = flows.rows.pop(0)
            flows.move({row.asset: row.amount}, -1.0, now_ms)
        flow = Flow(booked.account, booked.amount_usd, dict(booked.navs), is_flow=True)
        self._keep(booked.flow_id, flow)
        self._move_units(flow, 1.0)

    def _book_residual(self, booked: actions.BookResidual, now_ms: int) -> None:
        flows = self.get(booked.account)
        self._count(booked.flow_id)
        flows.settle(booked.amount_usd, booked.navs, now_ms)
        if booked.flow_id:
            flow = Flow(booked.account, booked.amount_usd, dict(booked.navs), is_flow=False)
            self._keep(booked.flow_id, flow)

    def _reclassify(self, wish: actions.ReclassifyFlow) -> None:
        flow = self.flows.get(wish.flow_id)
        if flow is None or flow.is_flow is not wish.as_loss:
            return
        flow.is_flow = not wish.as_loss
        self._move_units(flow, 1.0 if flow.is_flow else -1.0)

    def _move_units(self, flow: Flow, sign: float) -> None:
        for scope in (PORTFOLIO, account_scope(flow.account)):
            history = self.history(scope)
            nav = flow.navs.get(scope, history.nav)
            # A scope that lost everything keeps its NAV: what comes in does not undo the loss.
            units = history.units + sign * flow.amount_usd / max(nav, 1e-6)
            history.units = units if units > 1e-9 * abs(flow.amount_usd) else 0.0
            history.day_flows_usd += sign * flow.amount_usd

    def _keep(self, flow_id: str, flow: Flow) -> None:
        self.flows[flow_id] = flow
        if len(self.flows) > FLOWS_KEPT:
            del self.flows[next(iter(self.flows))]

    def _count(self, flow_id: str) -> None:
        if flow_id[1:].isdigit():
            self.counter = max(self.counter, int(flow_id[1:]))

    # ------------------------------------------------------------ reading

    def strategy_equity(self, strategy: str, capital_usd: float, price_of: PriceOf) -> float | None:
        """Return a strategy's equity: its capital plus the PnL of its fills, None = unknown."""
        total = capital_usd
        flows = self.strategies.get(strategy)
        for account, held in flows.components.items() if flows is not None else ():
            for component, units in held.items():
                price = price_of(account, component)
                if price is None:
                    return None
                total += units * price
        return total

    def scopes(self) -> list[str]:
        """Return the scopes that have a NAV."""
        added = [account_scope(name) for name, flows in self.accounts.items() if flows.is_added]
        return [PORTFOLIO, *added, *(strategy_scope(name) for name in self.strategies)]

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Cashflows:
        """Return what `dump` wrote."""
        state: Cashflows = from_plain(cls, data)
        return state


def _paid(instrument: Instrument, quantity: float, price: float) -> Components:
    """Return what a trade of a signed quantity at a price moves, fees aside."""
    if instrument.kind is InstrumentKind.SPOT:
        return {base_of(instrument.symbol): quantity, instrument.quote: -quantity * price}
    if instrument.kind is InstrumentKind.INVERSE:
        return {instrument.symbol: quantity, instrument.settle: quantity / price}
    return {instrument.symbol: quantity, instrument.settle: -quantity * price}
