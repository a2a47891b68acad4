"""Sub-state of the feeds: what each last said, and whether it is believed to live."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import PORTFOLIO, account_scope, scope_account
from riskbot.core.plain import from_plain, to_plain

PRICES = "prices"
ACCOUNT = "account"
MINUTE_MS = 60_000
MEMORY = 1_000
"""Errors and orders remembered for the rates, oldest forgotten first."""


@dataclass(slots=True)
class Feed:
    """One feed of one account.

    Attributes:
        seen_ms: last frame or sign of life over the stream, 0 = never.
        lost_ms: since when it is lost, None = it lives.
    """

    seen_ms: int = 0
    lost_ms: int | None = None
    reason: str = ""


@dataclass(slots=True)
class Depth:
    """What rests in one order book, unit of `Position.quantity`.

    Attributes:
        seen_ms: when it was read, 0 = never; asked_ms: when that was last asked for.
    """

    bid: Decimal = Decimal(0)
    ask: Decimal = Decimal(0)
    seen_ms: int = 0
    asked_ms: int = 0


@dataclass(slots=True)
class Feeds:
    """All feeds by (account, feed); clocks, key rights, switches and request limits by account.

    Attributes:
        told: strategies that are told, by name, as people see them.
        errors_ms, orders_ms: of all accounts, the newest; errors_on_ms, orders_on: whose they are.
        depths: by (account, symbol).
        switched: instruments a dead-man's switch was last armed for.
    """

    feeds: dict[tuple[str, str], Feed] = field(default_factory=dict)
    clocks: dict[str, int] = field(default_factory=dict)
    rights: dict[str, dict[str, Any]] = field(default_factory=dict)
    dead_men: dict[str, dict[str, Any]] = field(default_factory=dict)
    switched: dict[str, list[str]] = field(default_factory=dict)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    frontends: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors_ms: list[int] = field(default_factory=list)
    orders_ms: dict[str, int] = field(default_factory=dict)
    errors_on_ms: dict[str, list[int]] = field(default_factory=dict)
    orders_on: dict[str, str] = field(default_factory=dict)
    depths: dict[tuple[str, str], Depth] = field(default_factory=dict)
    started_ms: int = 0
    version: str = ""

    def get(self, account: str, feed: str) -> Feed:
        """Return a feed, a new one when nothing is known of it."""
        key = (account, feed)
        known = self.feeds.get(key)
        if known is None:
            known = self.feeds[key] = Feed()
        return known

    def apply(self, record: events.Event | actions.Action, now_ms: int) -> None:
        """Fold one record."""
        match record:
            case events.PricesUpdated():
                if not record.is_rest:
                    self._alive(record.account, PRICES, now_ms)
            case (
                events.PositionsUpdated()
                | events.BalancesUpdated()
                | events.OrderUpdated()
                | events.OrderFilled()
            ):
                self._alive(record.account, ACCOUNT, now_ms)
                if isinstance(record, events.OrderUpdated):
                    self._order(record.account, record.order.order_id, now_ms)
            case events.FeedAlive():
                self._alive(record.account, record.feed, now_ms)
            case events.OrderRejected() | events.OrderOutcomeUnknown() | events.RefreshFailed():
                self.errors_ms = [*self.errors_ms[-(MEMORY - 1) :], now_ms]
                mine = self.errors_on_ms.get(record.account, [])
                self.errors_on_ms[record.account] = [*mine[-(MEMORY - 1) :], now_ms]
            case events.FeedLost():
                feed = self.get(record.account, record.feed)
                feed.lost_ms = feed.lost_ms if feed.lost_ms is not None else now_ms
                feed.reason = record.reason
            case _:
                self._apply_rare(record, now_ms)

    def _apply_rare(self, record: events.Event | actions.Action, now_ms: int) -> None:
        match record:
            case events.ClockMeasured():
                self.clocks[record.account] = _certain(record.offset_ms, record.round_trip_ms)
            case events.KeyRightsChecked():
                self.rights[record.account] = {
                    "can_trade": record.can_trade,
                    "can_withdraw": record.can_withdraw,
                    "can_transfer": record.can_transfer,
                    "has_ip_list": record.has_ip_list,
                    "expires_ms": record.expires_ms,
                }
            case events.RequestsLimited():
                self.requests[record.account] = {
                    "used_ratio": record.used_ratio,
                    "until_ms": record.until_ms,
                    "detail": record.detail,
                }
            case events.FrontendChanged():
                self.frontends[record.name] = {"is_up": record.is_up, "detail": record.detail}
            case events.StrategyTold():
                before = self.told.get(record.name)
                self.told[record.name] = _told(record, before, now_ms)
            case events.Started():
                self.started_ms = now_ms
                self.version = record.version
                self.feeds.clear()
                self.frontends.clear()
                self.told.clear()
                self.dead_men.clear()
                self.depths.clear()
                self.requests.clear()
            case _:
                self._apply_switch(record, now_ms)

    def _apply_switch(self, record: events.Event | actions.Action, now_ms: int) -> None:
        match record:
            case events.DeadManChanged():
                self.dead_men[record.account] = {
                    "is_armed": record.is_armed,
                    "detail": record.detail,
                    "until_ms": record.until_ms,
                    "at_ms": now_ms,
                }
            case actions.ReadDepth():
                for symbol in record.symbols:
                    self._depth(record.account, symbol).asked_ms = now_ms
            case events.DepthRead():
                depth = self._depth(record.account, record.symbol)
                depth.bid, depth.ask = record.bid_quantity, record.ask_quantity
                depth.seen_ms = now_ms
            case actions.SetDeadMan():
                if record.timeout_ms:
                    self.switched[record.account] = list(record.symbols)
            case _:
                pass

    def _depth(self, account: str, symbol: str) -> Depth:
        return self.depths.setdefault((account, symbol), Depth())

    def _order(self, account: str, order_id: str, now_ms: int) -> None:
        if order_id in self.orders_ms:
            return
        self.orders_ms[order_id] = now_ms
        self.orders_on[order_id] = account
        if len(self.orders_ms) > MEMORY:
            oldest = next(iter(self.orders_ms))
            del self.orders_ms[oldest]
            self.orders_on.pop(oldest, None)

    def rates(self, now_ms: int, account: str | None = None) -> dict[str, float]:
        """Return `error_rate` and `order_rate`: how many in the last minute, None = of all."""
        since = now_ms - MINUTE_MS
        errors = self.errors_ms if account is None else self.errors_on_ms.get(account, [])
        orders = [
            ms
            for order_id, ms in self.orders_ms.items()
            if account is None or self.orders_on.get(order_id) == account
        ]
        return {
            "error_rate": float(sum(ms > since for ms in errors)),
            "order_rate": float(sum(ms > since for ms in orders)),
        }

    def operational(self, scope: str, now_ms: int) -> dict[str, float | None]:
        """Return `feed_age` (s), `clock_offset` (ms) and the rates of a scope."""
        found: dict[str, float | None] = {}
        ages = [
            (now_ms - feed.seen_ms) / 1000
            for (account, _), feed in self.feeds.items()
            if feed.seen_ms and scope in {PORTFOLIO, account_scope(account)}
        ]
        found["feed_age"] = max(ages, default=0.0)
        offsets = [
            abs(offset)
            for account, offset in self.clocks.items()
            if scope in {PORTFOLIO, account_scope(account)}
        ]
        if offsets:
            found["clock_offset"] = float(max(offsets))
        account = scope_account(scope)
        if scope == PORTFOLIO or account is not None:
            found.update(self.rates(now_ms, account))
        return found

    def _alive(self, account: str, feed: str, now_ms: int) -> None:
        known = self.get(account, feed)
        known.seen_ms = now_ms
        known.lost_ms = None

    def dump(self) -> dict[str, Any]:
        """Return JSON values for a checkpoint."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def load(cls, data: dict[str, Any]) -> Feeds:
        """Return what `dump` wrote."""
        state: Feeds = from_plain(cls, data)
        return state


def _certain(offset_ms: int, round_trip_ms: int) -> int:
    # The venue looked at its clock somewhere on the way: half of the way is in doubt.
    sure = max(0, abs(offset_ms) - round_trip_ms // 2)
    return sure if offset_ms > 0 else -sure


def _told(event: events.StrategyTold, before: dict[str, Any] | None, now_ms: int) -> dict[str, Any]:
    # `since_ms` moves when what stands changes, not with each error on the way.
    found = {
        "kind": event.via,
        "scope": event.scope,
        "wanted": event.wanted.value,
        "confirmed": event.confirmed.value if event.confirmed is not None else None,
        "detail": event.detail,
        "error": event.error,
    }
    stands = ("wanted", "confirmed")
    is_same = before is not None and all(before[key] == found[key] for key in stands)
    return {**found, "since_ms": before["since_ms"] if before and is_same else now_ms}
