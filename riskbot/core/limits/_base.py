"""The contract of a limit: its configuration, what it reads off the Book, its verdicts.

Each limit is one file that subclasses `Limit`; which exist is the tuple in `__init__`. Formulas
live in `exposure`; a limit only picks a figure and compares it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from riskbot.core.model import Level, Response

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook

Approach = Literal["scale", "throttle", "reduce"]
"""What a limit may do from orange on, before it breaks."""

_ResponseField = Annotated[Response, BeforeValidator(lambda v: Response(v) if isinstance(v, str) else v)]

KEYED_STATES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure a limit looks at.

    Attributes:
        value: in the measure's unit, None = UNKNOWN.
        key: what it is of: underlying, sector, group, strategy, instrument, venue, asset, pair;
            empty for the scope as a whole. For `net_exposure` the direction, `+` or `-`.
        reason: why it is unknown.
    """

    value: float | None
    key: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's result for one reading.

    Attributes:
        measured: None = unknown.
        allowed: the limit (`max` or `min`).
        utilization: measured/max or min/measured, >= 0; None = unknown.
    """

    limit: str
    scope: str
    key: str
    measured: float | None
    allowed: float
    utilization: float | None
    level: Level
    reason: str = ""


class Limit(BaseModel):
    """Base of every limit. A typo, a wrong sign or a percent given as 3 is refused.

    Attributes:
        max: breach above it, strictly; `min` limits breach below `min`.
        yellow, orange: shares of the limit where warnings begin.
        on_breach: response; it never does more than this names (and `then`, past the window).
        start_after_s: the breach must stand this long before the response starts.
        within_s: adjustment window: deadline to be back inside.
        then: response after a missed window.
        latch: only an operator clears it.
        on_approach: from orange on.
        target: where `reduce` stops, as a share of the limit.
        clear_at: a level clears at utilization <= level * clear_at.
        severity: `red` lets an alert-only limit go red.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str]
    unit: ClassVar[str] = "ratio"
    is_min: ClassVar[bool] = False
    is_loss: ClassVar[bool] = False
    """Loss limits: bottom-up NAV, re-based by resume, alerts raise with no hold."""
    is_keyed: ClassVar[bool] = False
    """Keyed or signed: its deny is a measure hold on the keys in breach only."""
    is_over_equity: ClassVar[bool] = False
    """Measured over E: `reduce` is allowed."""
    is_calendar: ClassVar[bool] = False
    """Its hold drops at the day's start."""
    default_levels: ClassVar[tuple[float, float]] = (0.8, 0.9)
    highest: ClassVar[float] = 100.0
    """Largest sensible value: above it a percent was probably given as a whole number."""
    scopes: ClassVar[frozenset[str]] = frozenset({"portfolio", "account", "strategy"})

    max: float | None = None
    min: float | None = None
    yellow: float | None = Field(default=None, gt=0, lt=1)
    orange: float | None = Field(default=None, gt=0, lt=1)
    on_breach: _ResponseField = Response.ALERT
    start_after_s: float = Field(default=0.0, ge=0)
    within_s: float | None = Field(default=None, gt=0)
    then: _ResponseField | None = None
    latch: bool = False
    on_approach: list[Approach] = Field(default_factory=list)
    target: float = Field(default=0.9, gt=0, le=1)
    clear_at: float = Field(default=0.9, gt=0, le=1)
    severity: Literal["red"] | None = None

    @model_validator(mode="after")
    def _check_fields(self) -> Limit:
        wanted, other = ("min", "max") if self.is_min else ("max", "min")
        value = getattr(self, wanted)
        if value is None:
            raise ValueError(f"{self.name} needs `{wanted}`")
        if getattr(self, other) is not None:
            raise ValueError(f"{self.name} takes `{wanted}`, not `{other}`")
        if value <= 0:
            raise ValueError(f"{self.name}.{wanted} must be positive, was {value:g}")
        if value > self.highest:
            raise ValueError(
                f"{self.name}.{wanted} is {value:g}, more than {self.highest:g}: "
                "a share is written 0.03, not 3"
            )
        if self.levels[0] >= self.levels[1]:
            raise ValueError(f"{self.name}: yellow must be below orange, were {self.levels}")
        if self.on_breach is Response.REDUCE and not self.is_over_equity:
            raise ValueError(f"{self.name} is not measured over equity: it cannot `reduce`")
        return self

    @property
    def allowed(self) -> float:
        """The limit's value, `max` or `min`."""
        value = self.min if self.is_min else self.max
        assert value is not None  # noqa: S101 - the validator saw to it
        return value

    @property
    def levels(self) -> tuple[float, float]:
        """Shares of the limit where yellow and orange begin."""
        yellow, orange = self.default_levels
        return (self.yellow or yellow, self.orange or orange)

    def read(self, book: ScopeBook) -> list[Reading]:
        """Pick this limit's figures off the Book; several for a keyed measure."""
        raise NotImplementedError

    def utilization(self, measured: float) -> float:
        """Return measured/max, or min/measured for a `min` limit; inf where that divides by 0."""
        if self.is_min:
            return self.allowed / measured if measured > 0 else float("inf")
        return measured / self.allowed

    def level(self, utilization: float) -> Level:
        """Return the level at a utilization, strictly above each share."""
        yellow, orange = self.levels
        if utilization > 1:
            return Level.RED
        if utilization > orange:
            return Level.ORANGE
        return Level.YELLOW if utilization > yellow else Level.OK

    def check(self, book: ScopeBook) -> list[Verdict]:
        """Judge every reading of this limit. A reading without a value is UNKNOWN."""
        return [self._judge(book.scope, reading) for reading in self.read(book)]

    def _judge(self, scope: str, reading: Reading) -> Verdict:
        if reading.value is None:
            return Verdict(
                self.name, scope, reading.key, None, self.allowed, None, Level.UNKNOWN, reading.reason
            )
        used = self.utilization(reading.value)
        return Verdict(
            self.name, scope, reading.key, reading.value, self.allowed, used, self.level(used)
        )
