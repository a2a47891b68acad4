"""The contract of a limit: its configuration, what it reads off the Book, its verdicts.

Each limit is one file that subclasses `Limit`; which exist is the tuple in `__init__`. Formulas
live in `exposure`; a limit only picks a figure and compares it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from riskbot.core.model import Level, PositionKey, PositionSide, Response

if TYPE_CHECKING:
    from riskbot.core.exposure import ScopeBook, Totals
    from riskbot.core.outlooks import Outlook

NO_PRICE = "something held has no usable price"
NO_NAV = "NAV is not known yet"
NO_EQUITY = "equity of an account is not known"
"""Why a reading is unknown, as people read it."""

FEW = 32
"""Up to so many keys, each has its reading; beyond it those near a level, and the worst below."""

Along = dict[str, Callable[[float], float]]
"""Figures by key, as functions of a quantity >= 0."""

Approach = Literal["scale", "throttle", "reduce"]
"""What a limit may do from orange on, before it breaks."""

_ResponseField = Annotated[
    Response, BeforeValidator(lambda v: Response(v) if v in tuple(Response) else v)
]


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
        on_approach: from orange on, `scale` and `throttle` shrink new risk at the gateway;
            `reduce` closes to where orange clears, at most once a minute, and denies nothing.
        target: where `reduce` stops, as a share of the limit.
        clear_at: a level clears at utilization <= level * clear_at.
        severity: `red` lets an alert-only limit go red.
        when_unknown: what the gateway does with new risk while the measure is UNKNOWN: `deny`, or
            `pass`, as presets do for statistics of a venue that may have no price history.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]
    unit: ClassVar[str] = "ratio"
    family: ClassVar[str] = "exposure"
    """Cause its alerts are told under, with others of the same scope; losses are one family."""
    is_min: ClassVar[bool] = False
    is_loss: ClassVar[bool] = False
    """Loss limits: bottom-up NAV, re-based by resume, alerts raise with no hold."""
    is_keyed: ClassVar[bool] = False
    """Keyed or signed: its deny is a measure hold on the keys in breach only."""
    is_over_equity: ClassVar[bool] = False
    """Measured over E: `reduce` is allowed."""
    is_hedgeable: ClassVar[bool] = False
    """A hedge order lowers it: `hedge` is allowed."""
    is_per_account: ClassVar[bool] = False
    """Given for the portfolio it means each account; presets do the same."""
    needs_statistics: ClassVar[bool] = False
    """Its figures come from analytics; UNKNOWN while nothing sends them."""
    is_calendar: ClassVar[bool] = False
    """Its hold drops at the day's start."""
    is_moved_by_orders: ClassVar[bool] = True
    """An order that fills moves its figures; else they only have to be known."""
    reads_totals: ClassVar[bool] = False
    """`read` needs no more than `Totals`, and is declared so: a tick of a price costs it little."""
    default_levels: ClassVar[tuple[float, float]] = (0.8, 0.9)
    highest: ClassVar[float] = 100.0
    """Largest sensible value: above it a percent was probably given as a whole number."""
    is_share: ClassVar[bool] = True
    """Written as a share (0.03 is 3 %), so a value too large was probably meant in percent."""
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
    when_unknown: Literal["deny", "pass"] = "deny"

    @model_validator(mode="after")
    def _check_fields(self) -> Limit:
        faults = [*self._value_faults(), *self._response_faults(), *self.own_faults()]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def own_faults(self) -> list[str]:
        """Return what is wrong with fields only this limit has, as `field: sentence`."""
        return []

    def _value_faults(self) -> list[str]:
        wanted, other = ("min", "max") if self.is_min else ("max", "min")
        value = getattr(self, wanted)
        faults = []
        if getattr(self, other) is not None:
            faults.append(f"{other}: {self.name} takes `{wanted}`, not `{other}`")
        if value is None:
            faults.append(f"{wanted}: is missing, {self.name} needs it")
        elif value <= 0:
            faults.append(f"{wanted}: must be above 0, is {value:g}")
        elif value > self.highest:
            hint = f" (a share is written {value / 100:g}, not {value:g})" if self.is_share else ""
            faults.append(f"{wanted}: must be at most {self.highest:g}, is {value:g}{hint}")
        yellow, orange = self.levels
        if yellow >= orange:
            field = "yellow" if self.yellow is not None else "orange"
            faults.append(f"{field}: yellow ({yellow:g}) must be below orange ({orange:g})")
        return faults

    def _response_faults(self) -> list[str]:
        faults = []
        for field, response in (("on_breach", self.on_breach), ("then", self.then)):
            if response is Response.REDUCE and not self.is_over_equity:
                faults.append(
                    f"{field}: {self.name} is not measured over equity, so it cannot `reduce`"
                )
            if response is Response.HEDGE and not self.is_hedgeable:
                faults.append(f"{field}: a hedge does not lower {self.name}")
        if "reduce" in self.on_approach and not self.is_over_equity:
            faults.append(
                f"on_approach: {self.name} is not measured over equity, so it cannot `reduce`"
            )
        if self.then is not None:
            ladder = list(Response)
            if ladder.index(self.then) <= ladder.index(self.on_breach):
                faults.append(f"then: `{self.then}` is not stronger than `{self.on_breach}`")
            if self.within_s is None:
                faults.append("then: needs `within_s`, the time after which it begins")
        return faults

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

    @property
    def approach_target(self) -> float:
        """Where a reduce on approach stops, as a share of the limit: where orange clears."""
        return min(self.target, self.levels[1] * self.clear_at)

    def read(self, book: ScopeBook) -> list[Reading]:
        """Pick this limit's figures off the Book; several for a keyed measure."""
        raise NotImplementedError

    def along(self, outlook: Outlook) -> Along | None:
        """Return what each figure that an order moves becomes, by its quantity.

        A quick way to the same figures as `read` of a Book in which the order has filled. A key
        that only what works beside the order moves may be left out. None = there is no such way.

        Args:
            outlook: of a scope whose capital and prices are known, and whose capital is above 0.

        Returns:
            Functions of a quantity, by key: each convex, and straight but where a position, the
            net of its underlying or of the whole changes its sign.
        """
        del outlook
        return None

    def ranked(
        self,
        book: ScopeBook,
        keys: Sequence[Any],
        amounts_usd: Sequence[float],
        unpriced: Iterable[str] = (),
        name_of: Callable[[Any], str] = str,
    ) -> list[Reading]:
        """Return the readings of amounts over capital that matter, worst first.

        Args:
            book: whose capital they are over.
            keys: what the amounts are of.
            amounts_usd: one per key, >= 0.
            unpriced: names whose amount is unknown; they come first.
            name_of: how a key is named.
        """
        capital = book.capital_usd
        picked: Sequence[int] = range(len(keys))
        if capital is None:
            picked = picked[:FEW]
        elif capital > 0:
            picked = near(self, amounts_usd, self.allowed * capital)
        shares = {name_of(keys[n]): book.share(amounts_usd[n]) for n in picked}
        return keyed_readings(shares | dict.fromkeys(unpriced), why_unknown(book))

    def utilization(self, measured: float) -> float:
        """Return measured/max, or min/measured for a `min` limit; inf where that divides by 0."""
        if self.is_min:
            return self.allowed / measured if measured > 0 else float("inf")
        return measured / (self.max or self.allowed)

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

    def unknown(self, scope: str, key: str, reason: str) -> Verdict:
        """Return the verdict on a figure that is not known."""
        return Verdict(self.name, scope, key, None, self.allowed, None, Level.UNKNOWN, reason)

    def _judge(self, scope: str, reading: Reading) -> Verdict:
        if reading.value is None:
            return self.unknown(scope, reading.key, reading.reason)
        used = self.utilization(reading.value)
        return Verdict(
            self.name, scope, reading.key, reading.value, self.allowed, used, self.level(used)
        )


def both_ways(net: Callable[[float], float], scale: float = 1.0) -> Along:
    """Return the figures of a signed measure, whose key is its direction."""
    return {
        "+": lambda x: max(net(x), 0.0) / scale,
        "-": lambda x: max(-net(x), 0.0) / scale,
    }


def why_unknown(book: Totals) -> str:
    """Return why a ratio of this book is unknown, as people read it."""
    return NO_PRICE if book.unpriced else NO_EQUITY


def near(limit: Limit, figures: Sequence[float], full: float = 1.0) -> Sequence[int]:
    """Return the places of the figures that a verdict is worth: all of few, else the near ones.

    Near is what stands above where the lowest level clears, and the largest below that: the rest
    can neither be in a level, nor be kept in one, nor be the next to enter one.

    Args:
        limit: whose levels.
        figures: what utilization is proportional to, >= 0.
        full: the figure at which utilization is 1, > 0.
    """
    if len(figures) <= FEW:
        return range(len(figures))
    floor = limit.levels[0] * limit.clear_at * full
    worst = max(figures)
    if worst <= floor:
        return [figures.index(worst)]
    found = [n for n, figure in enumerate(figures) if figure > floor]
    below = max((figure for figure in figures if figure <= floor), default=None)
    return found if below is None else [*found, figures.index(below)]


def keyed_readings(values: Mapping[str, float | None], reason: str = "") -> list[Reading]:
    """Turn a figure per key into readings, worst first, unknown ones before all.

    Args:
        values: by key, in the measure's unit, >= 0; None = unknown.
        reason: why the unknown ones are.

    Returns:
        One reading per key; a single 0 where there is no key, so that the limit stays in view.
    """
    if not values:
        return [Reading(0.0)]
    ranked = sorted(values.items(), key=lambda item: (item[1] is not None, -(item[1] or 0.0)))
    return [Reading(value, key, reason if value is None else "") for key, value in ranked]


def reported_readings(
    name: str, figures: Mapping[str, float | None], reasons: Mapping[str, str] | None = None
) -> list[Reading]:
    """Pick a figure that something else reports: `name` alone, and `name:<key>` for each key.

    Args:
        name: of the figure.
        figures: what is reported, None = not known.
        reasons: why a figure is not known, by its name.

    Returns:
        UNKNOWN where nobody reports it.
    """
    found = {
        key.removeprefix(name).removeprefix(":"): value
        for key, value in figures.items()
        if key == name or key.startswith(f"{name}:")
    }
    if not found:
        return [Reading(None, reason=f"nothing reports {name}")]
    return keyed_readings(found, (reasons or {}).get(name, f"{name} is not known"))


def position_subject(key: PositionKey) -> str:
    """Return how a position is named: `account|symbol`, with `|long` or `|short` in hedge mode."""
    side = "" if key.side is PositionSide.NET else f"|{key.side.value}"
    return f"{key.account}|{key.symbol}{side}"
