"""Stress scenarios as data: what is assumed to happen, all at once, to prices, costs and venues.

What a scenario does to a book is computed in `stressing`; files are read by the configuration.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from riskbot.core.assets import STABLECOINS

DEFAULT = "DEFAULT"
"""Key of the shock of whatever has none of its own, nor its sector."""

SECTOR = "sector:"
"""What a key that names a sector begins with."""

LARGEST = "largest"
"""Names the venue that holds most of the equity."""

EXTREMES = "_extremes"
"""End of the name of a scenario's second set of shocks."""

SIMULATED = "simulated"
"""Name of a scenario that was typed rather than read."""

MAX_RISE = 10.0
"""Largest shock that is believed: eleven times the price."""

MAX_PERCENT = 100.0
"""Up to it, a shock out of range was probably meant in percent."""

Kind = Literal["historical", "data", "hypothetical", "custom"]
Basis = Literal["published", "close", "extreme", "assumed"]


def _shock(value: float) -> float:
    if not -1 <= value <= MAX_RISE:
        percent = f" (a share is written {value / 100:g})" if abs(value) <= MAX_PERCENT else ""
        message = f"must be between -1 (all is lost) and {MAX_RISE:g}{percent}"
        raise ValueError(message)
    return value


_KEY = re.compile(r"(sector:)?[^\s:/|]+")


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        message = "must be a coin as in BTC, a sector as in sector:defi, or DEFAULT"
        raise ValueError(message)
    return value


def _stablecoin(value: str) -> str:
    if value not in STABLECOINS:
        message = "must be a stablecoin as in USDT: what a coin does stands under shocks"
        raise ValueError(message)
    return value


Shock = Annotated[float, AfterValidator(_shock)]
Shocks = dict[Annotated[str, AfterValidator(_key)], Shock]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class JointMove(_Model):
    """All returns correlated alike: the likeliest joint move in which the book loses `sigmas`.

    Attributes:
        correlation: of every pair of underlyings, in (0, 1].
        sigmas: the book's loss in its own standard deviations under that correlation.
        days: of daily volatility, scaled by the square root of time.
    """

    correlation: float = Field(gt=0, le=1)
    sigmas: float = Field(default=3.0, gt=0, le=20)
    days: float = Field(default=1.0, gt=0, le=365)


class StopsHit(_Model):
    """Every position that has a stop is closed at it, at once.

    Attributes:
        slippage: share of the stop's price that the close is worse by, >= 0.
    """

    slippage: float = Field(default=0.01, ge=0, lt=1)


class Window(_Model):
    """Days (UTC) that data was taken from.

    Attributes:
        begins: day whose close the shocks start from.
        ends: day whose close they end at.
        through: last day whose extremes count, None = `ends`.
    """

    begins: date
    ends: date
    through: date | None = None


class Scenario(_Model):
    """One scenario. Shocks are shares of the price: -0.6 is a fall by 60 %.

    Attributes:
        name: how it is asked for, lower case.
        title: one line for people.
        kind: `historical` (published figures), `data` (measured), `hypothetical`, `custom`.
        description: what is assumed, and why.
        source: where the figures are from.
        basis: which price: `published`, `close`, `extreme` (lowest low of each), `assumed`.
        window: days the data was taken from.
        is_counted: a reading of the limit `stress_loss`, unless a venue is lost; shown either way.
        shocks: by underlying, `sector:NAME` or DEFAULT. One that is missing is 0.
        extremes: a second set, of intraday extremes: see `variants`.
        joint_move: shocks that follow from volatilities and one correlation instead.
        stops: all stops are hit.
        depeg: change of the USD price of a stablecoin.
        venue_lost: exchange id of a venue that is gone, or `largest`.
        spread_multiple: everything is closed at half of today's spread times this.
        funding_multiple: a day of today's funding times this is paid and received.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")
    title: str = Field(min_length=1)
    kind: Kind = "custom"
    description: str = Field(min_length=1)
    source: str = Field(min_length=1)
    basis: Basis = "assumed"
    window: Window | None = None
    is_counted: bool = True
    shocks: Shocks = Field(default_factory=dict)
    extremes: Shocks = Field(default_factory=dict)
    joint_move: JointMove | None = None
    stops: StopsHit | None = None
    depeg: dict[Annotated[str, AfterValidator(_stablecoin)], Shock] = Field(default_factory=dict)
    venue_lost: str | None = Field(default=None, min_length=1)
    spread_multiple: float | None = Field(default=None, gt=0, le=1000)
    funding_multiple: float | None = Field(default=None, ge=-1000, le=1000)

    @model_validator(mode="after")
    def _check_together(self) -> Scenario:
        moves = {
            "shocks": bool(self.shocks),
            "joint_move": self.joint_move is not None,
            "stops": self.stops is not None,
        }
        moving = [name for name, is_given in moves.items() if is_given]
        others = (self.depeg, self.venue_lost, self.spread_multiple, self.funding_multiple)
        faults = []
        if len(moving) > 1:
            faults.append(
                f"{moving[1]}: cannot stand beside `{moving[0]}`, both say what prices do"
            )
        if not moving and not any(others):
            faults.append("shocks: is missing, and nothing else happens in this scenario")
        if self.extremes and not self.shocks:
            faults.append("extremes: are a second set of shocks, but `shocks` is missing")
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def is_read(self) -> bool:
        """Whether `stress_loss` reads it; what goes with a venue is seen position by position."""
        return self.is_counted and self.venue_lost is None

    def variants(self) -> tuple[Scenario, ...]:
        """Return the scenario, and beside it the one of its extremes where it has them."""
        plain = self.model_copy(update={"extremes": {}})
        if not self.extremes:
            return (plain,)
        update = {
            "name": self.name + EXTREMES,
            "title": f"{self.title}, at its intraday extremes",
            "basis": "extreme",
            "shocks": self.extremes,
        }
        return (plain, plain.model_copy(update=update))

    def shock_of(self, underlying: str, sector: str) -> Origin:
        """Return an underlying's shock: its own, else its sector's, else DEFAULT's, else 0."""
        for key in (underlying, SECTOR + sector, DEFAULT):
            if key in self.shocks:
                return Origin(self.shocks[key], key)
        return Origin(0.0, "")


class Origin(NamedTuple):
    """A shock, and the key of the scenario it comes from; empty = none names it."""

    shock: float
    key: str


def expanded(scenarios: Iterable[Scenario]) -> tuple[Scenario, ...]:
    """Return every scenario, each followed by the one of its extremes where it has them."""
    return tuple(one for scenario in scenarios for one in scenario.variants())


def parse_scenario(raw: Mapping[str, Any], faults: list[str]) -> Scenario | None:
    """Build a scenario from what a YAML file says.

    Args:
        raw: by field.
        faults: every fault is appended: a sentence that begins with the field and names the value.

    Returns:
        None when there is a fault.
    """
    try:
        return Scenario.model_validate(raw)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            faults += _sentences(fault)
        return None


_TYPES = {
    "string_type": "must be text (in quotes if it looks like a number)",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping, as in {BTC: -0.6}",
    "model_type": "must be a mapping of fields",
    "date_type": "must be a day as in 2022-05-12",
    "is_instance_of": "must be a day as in 2022-05-12",
    "finite_number": "must be a finite number",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "must be lower case letters, digits, _ and -, at most 48",
}

_FIELDS: dict[str, type[BaseModel]] = {
    "joint_move": JointMove,
    "stops": StopsHit,
    "window": Window,
}


def _sentences(fault: Any) -> list[str]:
    location: tuple[str | int, ...] = fault["loc"]
    text = str(fault["msg"]).removeprefix("Value error, ")
    if not location:
        return text.splitlines()
    if location[-1] == "[key]":
        path = ".".join(str(part) for part in location[:-1])
        return [f"{path}: {_TYPES.get(fault['type'], text)}"]
    path, kind = ".".join(str(part) for part in location), fault["type"]
    if kind == "missing":
        return [f"{path}: is missing"]
    if kind == "extra_forbidden":
        model = _FIELDS.get(str(location[0]), Scenario) if len(location) > 1 else Scenario
        close = difflib.get_close_matches(str(location[-1]), list(model.model_fields), n=1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        return [f"{path}: no such field{hint}"]
    if kind == "literal_error":
        text = f"must be one of {fault['ctx']['expected'].replace(' or ', ', ')}"
    text = _TYPES.get(kind, text).replace("Input should be", "must be")
    return [f"{path}: {text}, is {fault['input']!r}"]


# ---------------------------------------------------------------- typed by hand

_TYPED = re.compile(
    r"(?P<key>\S+?)\s*[\s=]\s*(?P<sign>[+-]?)\s*(?P<number>\d+(\.\d+)?)\s*(?P<unit>%?)"
)


def parse_shocks(text: str, faults: list[str]) -> Scenario | None:
    """Build a scenario from shocks typed by hand: `BTC -10%, ETH -15%, sector:defi -30%`.

    Args:
        text: pairs of a coin, a sector or DEFAULT and a percentage, separated by commas.
        faults: every fault is appended, a sentence that quotes what it is about.

    Returns:
        None when there is a fault.
    """
    shocks: dict[str, float] = {}
    found: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if part:
            _take_typed(part, shocks, found)
    if not shocks and not found:
        found.append("no shock is given: write `BTC -10%, ETH -15%`")
    faults += found
    if found:
        return None
    told = ", ".join(f"{key} {shock * 100:+.10g} %" for key, shock in shocks.items())
    return Scenario(
        name=SIMULATED,
        title=told,
        description="Shocks as they were typed; whatever is not named stays where it is.",
        source="typed by hand",
        is_counted=False,
        shocks=shocks,
    )


def _take_typed(part: str, shocks: dict[str, float], faults: list[str]) -> None:
    match = _TYPED.fullmatch(part)
    if match is None:
        faults.append(f"`{part}`: must be a coin and a percentage, as in `BTC -10%`")
        return
    if not match["unit"]:
        faults.append(f"`{part}`: write a percentage, as in `{match['key']} -10%`")
        return
    key = match["key"] if ":" in match["key"] else match["key"].upper()
    shock = float(match["sign"] + match["number"]) / 100
    if not _KEY.fullmatch(key):
        faults.append(f"`{part}`: {key} is no coin as in BTC, sector as in sector:defi, or DEFAULT")
    elif not -1 <= shock <= MAX_RISE:
        faults.append(f"`{part}`: must be between -100% and +{MAX_RISE * 100:g}%")
    elif key in shocks:
        faults.append(f"`{part}`: {key} is given twice")
    elif key in STABLECOINS:
        faults.append(f"`{part}`: {key} is a stablecoin: a scenario with `depeg` moves its peg")
    shocks[key] = shock
