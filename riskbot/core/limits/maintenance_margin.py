"""How near an account is to liquidation, by margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from riskbot.core.limits._base import Limit, Reading, keyed_readings

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook
    from riskbot.core.limits._base import Along
    from riskbot.core.outlooks import Outlook

MarginAction = Literal["reduce", "add_margin"]
"""How a margin ratio may be brought down."""


def _reduce_only() -> list[MarginAction]:
    return ["reduce"]


class MaintenanceMargin(Limit):
    """Largest maintenance margin over equity (MM): 1 is liquidation.

    Every cross pool and every isolated position is a reading of its own; never summed.

    At the gateway what an order adds is estimated: it asks per USD what its position asks now, one
    that is not there what the pool asks, 5 % at least.

    Attributes:
        margin_actions: what `reduce` may do, in this order: `reduce` closes; `add_margin` moves
            margin from the cross pool to isolated positions, at once if it comes first, else when
            the window (`within_s`) was missed. Where it cannot, positions are closed, if named.
        add_margin_max_usd: USD that may be moved so in a day, on each account; never so much that
            the cross pool comes above its orange.
    """

    name: ClassVar[str] = "maintenance_margin"
    family: ClassVar[str] = "margin"
    highest: ClassVar[float] = 1.0
    default_levels: ClassVar[tuple[float, float]] = (0.5, 0.75)
    is_over_equity: ClassVar[bool] = True
    is_per_account: ClassVar[bool] = True
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account"})

    margin_actions: list[MarginAction] = Field(default_factory=_reduce_only)
    add_margin_max_usd: float | None = Field(default=None, gt=0)

    def own_faults(self) -> list[str]:
        if not self.margin_actions:
            return ["margin_actions: is empty"]
        if "add_margin" in self.margin_actions and self.add_margin_max_usd is None:
            return ["add_margin_max_usd: is missing, `add_margin` needs it"]
        return []

    def read(self, book: ScopeBook) -> list[Reading]:
        return keyed_readings(dict(book.maintenance_margin), "maintenance margin is not known")

    def along(self, outlook: Outlook) -> Along | None:
        pool = outlook.pool
        return {} if pool is None else {pool.subject: lambda x: outlook.margin(pool, x)}
