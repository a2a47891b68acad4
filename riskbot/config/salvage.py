"""The part of a faulty file that can still be checked, so that all faults are told in one go.

The result only serves to find more faults: it never configures anything.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from riskbot.config.models import Root

_ROUNDS = 8

# Stand-ins of required keys, chosen so that they lead to no fault of their own.
_STAND_INS: dict[tuple[str, ...], Any] = {
    ("portfolio",): {"preset": "holder"},
    ("portfolio", "preset"): "holder",
    ("accounts",): {"main": {"exchange": "paper"}},
    ("accounts", "*"): {"exchange": "paper"},
    ("accounts", "*", "exchange"): "paper",
}


def whole_part(data: dict[Any, Any], error: ValidationError) -> Root | None:
    """Return the file without what pydantic refused, None when nothing whole is left.

    Args:
        data: the top mapping; it is changed.
        error: what was refused.
    """
    for _ in range(_ROUNDS):
        # Backwards, so that positions in a list stay right while items go.
        for fault in reversed(error.errors(include_url=False, include_input=False)):
            _remove(data, fault["loc"])
        try:
            return Root.model_validate(data)
        except ValidationError as again:
            error = again
    return None


def _remove(data: Any, location: tuple[str | int, ...]) -> None:
    path = location[:-1] if location and location[-1] == "[key]" else location
    parent = data
    for step in path[:-1]:
        parent = _below(parent, step)
    if not path or parent is None:
        return
    last = path[-1]
    stand_in = _STAND_INS.get(_general(path))
    if stand_in is not None and isinstance(parent, dict):
        parent[last] = stand_in
    elif _below(parent, last) is not None or (isinstance(parent, dict) and last in parent):
        parent.pop(last)
    elif len(path) > 1:
        _remove(data, path[:-1])


def _below(parent: Any, step: str | int) -> Any:
    if isinstance(parent, dict):
        return parent.get(step)
    if isinstance(parent, list) and isinstance(step, int) and step < len(parent):
        return parent[step]
    return None


def _general(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Replace the account's name, so that the table needs no names."""
    words = [str(step) for step in path]
    if len(words) > 1 and words[0] == "accounts":
        words[1] = "*"
    return tuple(words)
