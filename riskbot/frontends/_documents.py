"""Documents that are told to whoever listens: when anew, as which bytes, and what is no change."""

from __future__ import annotations

from typing import Any

import orjson

from riskbot.core import actions

CHANGES = frozenset(
    {
        actions.PlaceHold,
        actions.DropHold,
        actions.SetEpisode,
        actions.EndEpisode,
        actions.SetIntent,
        actions.EndIntent,
        actions.SetBlind,
        actions.SetAlert,
    }
)
"""What is told at once; figures that only move wait a little."""

_VOLATILE = frozenset({"as_of_ms", "age_s"})


def dumped(document: Any) -> bytes:
    """Return a document as JSON; what it has no word for is null."""
    return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)


def steady(value: Any) -> Any:
    """Return a document without what moves with the time alone."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return value
