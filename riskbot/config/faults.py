"""Faults as sentences: the key, what is wrong, the value, the line. Never a secret's value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from riskbot.config.document import Document
from riskbot.config.shape import names, section_at

_SHOWN_MAX = 60

_TYPES = {
    "string_type": "must be text (in quotes if it looks like a number)",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "is_instance_of": "must be text",
    "finite_number": "must be a finite number",
}

# A value of these types may stand where a secret was meant to; its type is said instead.
_UNQUOTED = {"dict_type", "model_type", "model_attributes_type", "list_type", "is_instance_of"}


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` for the nearest known name, or nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def dotted(location: Iterable[str | int]) -> str:
    """Return a location as people write it: `accounts.main.spot`."""
    return ".".join(str(part) for part in location)


def with_lines(faults: Iterable[str], document: Document) -> list[str]:
    """Append the line to every fault that begins with a key that stands in the file."""
    told = []
    for fault in faults:
        path, separator, _ = fault.partition(": ")
        line = document.line_of(path) if separator and " " not in path else None
        told.append(f"{fault} (line {line})" if line else fault)
    return list(dict.fromkeys(told))


def sentences(model: type[BaseModel], error: ValidationError) -> list[str]:
    """Return one sentence per fault pydantic found, each beginning with the key."""
    return [_sentence(model, fault) for fault in error.errors(include_url=False)]


def _sentence(model: type[BaseModel], fault: Any) -> str:
    location: tuple[str | int, ...] = fault["loc"]
    if location and location[-1] == "[key]":
        location = location[:-1]
        rule = _TYPES.get(fault["type"]) or _rule(fault).lstrip(", ")
        return f"{dotted(location)}: cannot be a name here, {rule}"
    path, kind = dotted(location), fault["type"]
    if kind == "extra_forbidden":
        section = section_at(model, location[:-1])
        return f"{path}: no such key{nearest(location[-1], names(section) if section else [])}"
    if kind == "missing":
        return f"{path}: is missing"
    if kind in _UNQUOTED:
        return f"{path}: {_TYPES[kind]}, is {_kind_of(fault['input'])}"
    return f"{path}: {_TYPES.get(kind) or _rule(fault).lstrip(', ')}, is {_shown(fault['input'])}"


def _rule(fault: Any) -> str:
    """Say in words what the model asks of a value."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        return f", must be one of {context['expected'].replace(' or ', ', ')}"
    if kind == "string_pattern_mismatch":
        return f", must look like {_PATTERNS.get(context['pattern'], context['pattern'])}"
    if kind in {"greater_than", "greater_than_equal"}:
        words = "above" if kind == "greater_than" else "at least"
        return f", must be {words} {context.get('gt', context.get('ge')):g}"
    if kind in {"less_than", "less_than_equal"}:
        words = "below" if kind == "less_than" else "at most"
        limit = context.get("lt", context.get("le"))
        return f", must be {words} {limit:g}{_percent_hint(fault['input'], limit)}"
    if kind == "too_short":
        return f", needs at least {context['min_length']}"
    return ", " + str(fault["msg"]).replace("Input should be", "must be")


_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$": "a name: letters, digits, _ . -, at most 32",
    r"^[^/\s|]+/[^/\s|]+$": "an instrument as ccxt writes it: BTC/USDT:USDT",
    r"^https?://\S+$": "http:// or https://",
    r"^\S+:\d{1,5}$": "host:port",
    r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$": "HH:MM-HH:MM, in quotes",
    r"^[^#+\s$/]+(/[^#+\s/]+)*$": "an MQTT topic: no wildcards, no empty level, no $ in front",
    r"^[^\s/]+$": "a host name or an address",
}


def _percent_hint(value: object, limit: float) -> str:
    if limit == 1 and isinstance(value, int | float) and 1 < value <= 100:
        return f" (a share is written {value / 100:g}, not {value:g})"
    return ""


def _kind_of(value: object) -> str:
    words = {str: "text", bool: "true or false", int: "a number", float: "a number"}
    words |= {list: "a list", dict: "a mapping", type(None): "empty"}
    return words.get(type(value), "something else")


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return _kind_of(value)
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."
