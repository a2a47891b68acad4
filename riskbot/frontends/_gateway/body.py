"""Reading a body: JSON, and nothing that two readers could read differently."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NoReturn

from riskbot.frontends._gateway.refusal import RefusalError, malformed, shown

BODY_MAX = 65_536
"""Longest body, bytes."""

DEPTH_MAX = 8
"""Deepest nesting of objects and lists."""

NUMBER_MAX = 64
"""Longest number, characters."""

_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?+|[\[{]|[\]}]', re.DOTALL)
_HUGE_EXPONENT = re.compile(r"[eE][+-]?0*[1-9]\d{2}")


class Unusable:
    """A number that is none, or has no bounds: no field takes it, so its field is named."""

    def __init__(self, text: str) -> None:
        self.text = shown(text)


def read(raw: bytes) -> dict[str, Any]:
    """Return the object a body holds; numbers with a point are exact Decimals.

    Raises:
        RefusalError: it is none.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        message = "the body is no UTF-8"
        raise malformed(message) from None
    if _depth(text) > DEPTH_MAX:
        message = f"the body is nested deeper than {DEPTH_MAX}"
        raise malformed(message)
    try:
        found = _DECODER.decode(text)
    except RefusalError:
        raise
    except (ValueError, RecursionError):
        message = "the body is no JSON"
        raise malformed(message) from None
    if not isinstance(found, dict):
        message = "the body must be a JSON object"
        raise malformed(message)
    return found


def _depth(text: str) -> int:
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return 0
    depth = deepest = 0
    for mark in _MARKS.finditer(text):
        char = mark[0][0]
        depth += (char in "[{") - (char in "]}")
        deepest = max(deepest, depth)
    return deepest


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says a key twice: two readers would read two different ones."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _refuse_twice(key)
        found[key] = value
    return found


def _refuse_twice(key: str) -> NoReturn:
    message = f"{shown(key)}: stands there twice"
    raise malformed(message, shown(key))


def _exact(text: str) -> Decimal | Unusable:
    if len(text) > NUMBER_MAX or _HUGE_EXPONENT.search(text):
        return Unusable(text)
    return Decimal(text)


def _whole(text: str) -> int | Unusable:
    return Unusable(text) if len(text) > NUMBER_MAX else int(text)


# Made once: `json.loads` would make another one for each body.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=_exact, parse_int=_whole, parse_constant=Unusable
)
