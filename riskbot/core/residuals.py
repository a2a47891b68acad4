"""One account's reconciliation: what frames moved, what explains it, and what waits for the other.

A row of the ledger explains a change of the balance, and never is one by itself: rows come late,
early, or together with others. What is booked, and when, is decided in `booking`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Components = dict[str, float]
"""Units by component: an asset, or a symbol for a unit of its position."""

PriceOf = Callable[[str, str], float | None]
"""USD per unit of an account's component, None = unknown."""

LATE_MS = 900_000
"""How long PnL rows and changes of the balance that belong together may come apart."""

_ROUNDING = 1e-12
"""Units below this share of what passed through a component are float rounding."""


@dataclass(slots=True)
class Row:
    """A flow of the venue's ledger that is not booked yet."""

    asset: str
    amount: float


@dataclass(slots=True)
class Flow:
    """A booked flow or residual, for `reclassify`.

    Attributes:
        navs: NAV per unit by scope when it was booked.
        is_flow: it moved units; else it was taken as PnL.
    """

    account: str
    amount_usd: float
    navs: dict[str, float]
    is_flow: bool


@dataclass(slots=True)
class AccountFlows:
    """Reconciliation of one account.

    Attributes:
        is_added: its equity is part of the portfolio's NAV.
        since_ms: venue time before which ledger rows and fills are part of the first equity.
        residual: units that frames moved and nothing explains yet.
        turnover: units that passed through each component (scale of rounding).
        mismatch_ms: since when positions do not match the fills.
        settled: units taken as PnL of late: a PnL row that comes behind them explains these;
            settled_ms: when the last were, settled_usd: what those were worth, settled_navs: NAV
            per unit just before.
        early: units of PnL rows whose change of the balance was not seen yet; early_ms: of the
            last row.
        timed_out: units booked as a flow for want of a ledger row: a late row is the same flow.
        rows: flows of the ledger, not booked yet.
        seen: ids of flows of the ledger; pnl_seen: of its other rows; trades: of fills.
    """

    is_added: bool = False
    since_ms: int = 0
    residual: Components = field(default_factory=dict)
    turnover: Components = field(default_factory=dict)
    mismatch_ms: int | None = None
    settled: Components = field(default_factory=dict)
    settled_ms: int = 0
    settled_usd: float = 0.0
    settled_navs: dict[str, float] = field(default_factory=dict)
    early: Components = field(default_factory=dict)
    early_ms: int = 0
    timed_out: Components = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    seen: dict[str, None] = field(default_factory=dict)
    pnl_seen: dict[str, None] = field(default_factory=dict)
    trades: dict[str, None] = field(default_factory=dict)

    def move(self, components: Mapping[str, float], sign: float, now_ms: int) -> None:
        """Add what frames moved (+1), or take away what explains it (-1)."""
        for component, units in components.items():
            left = self.residual.get(component, 0.0) + sign * units
            scale = self.turnover.get(component, 0.0) + abs(units)
            self.turnover[component] = scale
            if abs(left) <= _ROUNDING * scale:
                self.residual.pop(component, None)
                del self.turnover[component]
            else:
                self.residual[component] = left
        if not any("/" in component for component in self.residual):
            self.mismatch_ms = None
        elif self.mismatch_ms is None:
            self.mismatch_ms = now_ms

    def clear(self) -> None:
        """Take the residual as explained."""
        self.residual.clear()
        self.turnover.clear()
        self.mismatch_ms = None

    def value(self, account: str, price_of: PriceOf) -> tuple[float, float] | None:
        """Return the residual in USD, net and gross; None while a component has no price."""
        net = gross = 0.0
        for component, units in self.residual.items():
            price = price_of(account, component)
            if price is None:
                return None
            net += units * price
            gross += abs(units * price)
        return net, gross

    # ------------------------------------------------------------ rows that tell of PnL

    def take_pnl(self, asset: str, amount: float, now_ms: int) -> None:
        """Take a row of funding, interest or the like: it explains, and moves nothing by itself."""
        if now_ms - self.early_ms > LATE_MS:
            self.early.clear()
        self.early_ms = now_ms
        self.early[asset] = self.early.get(asset, 0.0) + amount
        self.explain(now_ms)

    def explain(self, now_ms: int) -> None:
        """Let rows that came explain what frames moved, or what was taken as PnL before them.

        A row only ever makes either smaller: of both, the one that it fits better.
        """
        if now_ms - self.early_ms > LATE_MS:
            self.early.clear()
        for asset, amount in list(self.early.items()):
            moved = self.residual.get(asset, 0.0)
            settled = self.settled.get(asset, 0.0) if self._is_recent(now_ms) else 0.0
            is_settled = abs(settled - amount) < min(abs(settled), abs(moved - amount))
            if is_settled:
                self.settled[asset] = settled - amount
            elif abs(moved - amount) < abs(moved):
                self.move({asset: amount}, -1.0, now_ms)
            else:
                continue
            del self.early[asset]

    def _is_recent(self, now_ms: int) -> bool:
        return now_ms - self.settled_ms <= LATE_MS

    def settle(self, amount_usd: float, navs: Mapping[str, float], now_ms: int) -> None:
        """Take the residual as PnL, and remember it for the rows that may tell of it later."""
        if not self._is_recent(now_ms):
            self.settled.clear()
        add(self.settled, self.residual)
        self.settled_ms = now_ms
        self.settled_usd, self.settled_navs = amount_usd, dict(navs)
        self.clear()

    # ------------------------------------------------------------ rows that tell of flows

    def time_out(self) -> None:
        """Take the residual as a flow whose row did not come."""
        add(self.timed_out, self.residual)
        self.clear()

    def use_up_timed_out(self, asset: str, amount: float) -> bool:
        """Use up an amount that was booked as a flow without its row; False if it was not."""
        if not covers(self.timed_out.get(asset, 0.0), amount):
            return False
        self.timed_out[asset] -= amount
        return True


def add(total: Components, more: Mapping[str, float]) -> None:
    """Add units to a total, component by component."""
    for component, units in more.items():
        total[component] = total.get(component, 0.0) + units


def covers(booked: float, amount: float) -> bool:
    """Whether what was booked without its row holds an amount that a row now tells."""
    return booked * amount > 0 and abs(booked) >= abs(amount) * 0.995
