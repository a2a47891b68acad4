"""`docs/limits.md`, made from the models: every limit, every key, type, default, scope."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import date
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from riskbot.config.models import Root
from riskbot.config.scenarios import shipped_scenarios
from riskbot.config.secret import Secret
from riskbot.config.shape import keys
from riskbot.core.limits import LIMITS
from riskbot.core.limits._base import Limit
from riskbot.core.limits.presets import PRESETS, preset_limits
from riskbot.core.scenarios import JointMove, Scenario, StopsHit, Window

_VENUES_SHOWN = 2

_NAMED_MAX = 3
"""Shocks of so many coins are written out in a table."""

_INTRO = """\
# Limits and configuration

Made by `python -m riskbot.config --docs docs/limits.md`; a test compares it with the code, and the
reference `config/riskbot.yaml` with both. Shares are shares (0.03 is 3 %), money is USD. A breach
is measured > `max` (or < `min`), strictly. `off` takes a limit out.
"""

_FIELDS_INTRO = """\
A field that is left out comes from the preset. `reduce` is taken only by limits measured over
equity, `hedge` only where a hedge lowers the measure.
"""

_PRESETS_INTRO = """\
Values per preset (`-` = off). `venue_share` is set with two or more venues (shown for two);
`holder` only alerts.
"""


def render() -> str:
    """Return the whole page as Markdown."""
    parts = [
        _INTRO,
        "## Limits\n",
        _table(("limit", "unit", "scopes", "yellow, orange", "what"), _limit_rows()),
        "## Presets\n",
        _PRESETS_INTRO,
        _table(("limit", *PRESETS, "on breach"), _preset_rows()),
        "## Fields of every limit\n",
        _FIELDS_INTRO,
        _table(("field", "type", "default", "what"), _common_rows()),
        "## Fields of single limits\n",
        _table(("limit", "field", "type", "default", "what"), _own_rows()),
        "## Keys\n",
        "A secret takes one of three forms: `name`, `name_file`, `name_env`.\n",
        _table(("key", "type", "default", "what"), _key_rows(Root, "")),
    ]
    return "\n".join(parts)


def render_scenarios() -> str:
    """Return the tables of `docs/scenarios.md`: what ships, and the fields of a file."""
    return "\n".join(
        (
            _table(("name", "kind", "what", "BTC", "other coins", "source"), _scenario_rows()),
            "## Fields\n",
            _table(("field", "type", "default", "what"), _field_rows()),
        )
    )


def _scenario_rows() -> Iterator[tuple[str, ...]]:
    for scenario in shipped_scenarios():
        names = [scenario.name, *(one.name for one in scenario.variants()[1:])]
        for name, shocks in zip(names, (scenario.shocks, scenario.extremes), strict=False):
            others = [key for key in shocks if key not in {"BTC", "DEFAULT"}]
            falls = [_percent(shocks.get("DEFAULT"))] if shocks else []
            falls += [f"{len(others)} by name"] if len(others) > _NAMED_MAX else []
            if len(others) <= _NAMED_MAX:
                falls += [f"{key} {_percent(shocks[key])}" for key in others]
            btc = _percent(shocks.get("BTC", shocks.get("DEFAULT")))
            title = scenario.title if name == scenario.name else "the same, at intraday extremes"
            yield f"`{name}`", scenario.kind, title, btc, ", ".join(falls) or "-", scenario.source


def _percent(shock: float | None) -> str:
    return "-" if shock is None else f"{shock * 100:.1f} %"


def _field_rows() -> Iterator[tuple[str, ...]]:
    sections: dict[str, type[BaseModel]] = {
        "joint_move": JointMove,
        "stops": StopsHit,
        "window": Window,
    }
    described = _attributes(Scenario)
    for name, field in Scenario.model_fields.items():
        section = sections.get(name)
        kind = "mapping" if section else _type(field.annotation)
        yield f"`{name}`", kind, _default(field), described[name]
        if section is not None:
            inner = _attributes(section)
            for key, part in section.model_fields.items():
                yield f"`{name}.{key}`", _type(part.annotation), _default(part), inner[key]


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _limit_rows() -> Iterator[tuple[str, ...]]:
    for limit in LIMITS:
        scopes = "each account" if limit.is_per_account else ", ".join(sorted(limit.scopes))
        yellow, orange = limit.default_levels
        what = _summary(limit) + (" (see [risk.md](risk.md))" if limit.needs_statistics else "")
        yield f"`{limit.name}`", limit.unit, scopes, f"{yellow:g}, {orange:g}", what


def _preset_rows() -> Iterator[tuple[str, ...]]:
    tables = [preset_limits(p, has_hedges=False, venues=_VENUES_SHOWN) for p in PRESETS]
    for limit in LIMITS:
        cells = [_value(table.get(limit.name)) for table in tables]
        if set(cells) != {"-"}:
            yield f"`{limit.name}`", *cells, _response(limit.name)


def _value(fields: dict[str, Any] | None) -> str:
    if fields is None:
        return "-"
    value = fields.get("max", fields.get("min"))
    after = f" after {fields['start_after_s']} s" if "start_after_s" in fields else ""
    return f"{value:g}{after}"


def _response(name: str) -> str:
    fields = preset_limits("cautious", has_hedges=False, venues=_VENUES_SHOWN) | preset_limits(
        "market_neutral", has_hedges=False, venues=_VENUES_SHOWN
    )
    chosen = fields[name]
    words = [str(chosen["on_breach"])]
    if name == "net_exposure":
        words = ["hedge if configured, else reduce"]
    words += [f"within {chosen['within_s']} s"] if "within_s" in chosen else []
    words += ["latch"] if chosen.get("latch") else []
    words += [f"severity {chosen['severity']}"] if "severity" in chosen else []
    words += ["passes while unknown"] if chosen.get("when_unknown") == "pass" else []
    words += [f"on approach {', '.join(chosen['on_approach'])}"] if "on_approach" in chosen else []
    return "; ".join(words)


def _common_rows() -> Iterator[tuple[str, ...]]:
    described = _attributes(Limit)
    described["min"] = "the same for limits that breach below it."
    for name, field in Limit.model_fields.items():
        yield f"`{name}`", _type(field.annotation), _default(field), described[name]


def _own_rows() -> Iterator[tuple[str, ...]]:
    for limit in LIMITS:
        described = _attributes(limit)
        for name, field in limit.model_fields.items():
            if name not in Limit.model_fields:
                row = (f"`{name}`", _type(field.annotation), _default(field), described[name])
                yield f"`{limit.name}`", *row


def _key_rows(model: type[BaseModel], path: str) -> Iterator[tuple[str, ...]]:
    for key in keys(model):
        field, where = model.model_fields[key.name], f"{path}{key.name}"
        if key.section is None:
            yield f"`{where}`", _type(field.annotation), _default(field), field.description or ""
            continue
        inner = {"section": "", "mapping": ".NAME", "list": "[]"}[key.kind]
        what = field.description or (_summary(key.section))
        kind = "mapping" if key.kind != "list" else "list"
        yield f"`{where}`", kind, _default(field), what
        if key.section.__name__ == "OrdersConfig" and where != "portfolio.orders":
            yield f"`{where}.*`", "", "of `portfolio.orders`", "the same keys"
        else:
            yield from _key_rows(key.section, f"{where}{inner}.")


def _summary(cls: type[BaseModel]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _attributes(cls: type[BaseModel]) -> dict[str, str]:
    """Return what the docstring says of each field: `name: text` or `one, two: text`."""
    _, _, text = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for match in re.finditer(
        r"^    ([a-z_]+(?:, [a-z_]+)*): (.*(?:\n {8}.*)*)", text, re.MULTILINE
    ):
        for name in match[1].split(", "):
            found[name] = re.sub(r"\s+", " ", match[2])
    return found


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel):
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return "empty" if not value else ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


_WORDS: dict[Any, str] = {
    str: "text",
    float: "number",
    date: "day",
    int: "whole number",
    bool: "true, false",
    Secret: "secret",
    Any: "anything",
}


def _type(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " \\| ".join(f"`{choice}`" for choice in arguments).replace("\\|", "|")
    if origin in {Union, UnionType}:
        return " or ".join(_type(a) for a in arguments if a is not NoneType)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping: {_type(arguments[0])} to {_type(arguments[1])}"
    return " | ".join(f"`{member}`" for member in annotation)
