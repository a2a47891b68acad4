"""Sub-states to JSON values and back, for checkpoints.

Guided by type hints, so a dataclass is written and read without code of its own. Journal records
have their own codec outside the core; nothing here knows versions.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from decimal import Decimal
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

VOLATILE = "volatile"
"""Metadata of a dataclass field that can be computed again and is left out."""


def to_plain(value: Any) -> Any:
    """Turn a value into JSON values: decimals and enums as strings, other keys as pairs."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Decimal):
        return str(value)
    if dataclasses.is_dataclass(value):
        return {
            f.name: to_plain(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not f.metadata.get(VOLATILE)
        }
    if isinstance(value, dict):
        if all(type(key) is str for key in value):
            return {key: to_plain(item) for key, item in value.items()}
        return [[to_plain(key), to_plain(item)] for key, item in value.items()]
    return [to_plain(item) for item in value]


def from_plain(cls: Any, data: Any) -> Any:
    """Read what `to_plain` wrote of a value of type `cls`.

    Raises:
        TypeError: a type hint this does not know; a mistake in a sub-state, not in the data.
    """
    if cls is Any:
        return data
    if cls is None or cls is type(None):
        return None
    origin = get_origin(cls)
    if origin in {Union, types.UnionType}:
        return None if data is None else from_plain(_some(cls), data)
    if origin is not None:
        return _container(origin, get_args(cls), data)
    return _single(cls, data)


def _some(cls: Any) -> Any:
    (inner,) = (arg for arg in get_args(cls) if arg is not type(None))
    return inner


def _container(origin: Any, args: tuple[Any, ...], data: Any) -> Any:
    if origin is dict:
        pairs = data.items() if isinstance(data, dict) else data
        return {from_plain(args[0], key): from_plain(args[1], item) for key, item in pairs}
    if origin is tuple and Ellipsis not in args:
        return tuple(from_plain(arg, item) for arg, item in zip(args, data, strict=True))
    return origin(from_plain(args[0], item) for item in data)


def _single(cls: Any, data: Any) -> Any:
    if dataclasses.is_dataclass(cls):
        # Fields that another version of a checkpoint has are dropped, missing ones defaulted.
        names = {f.name for f in dataclasses.fields(cls)} & data.keys()
        return _build(cls, {name: data[name] for name in names})
    if issubclass(cls, tuple):
        return _build(cls, dict(zip(_hints(cls), data, strict=True)))
    if issubclass(cls, Decimal | StrEnum | float | int | str):
        return cls(data)
    message = f"cannot read a {cls!r} from a checkpoint"
    raise TypeError(message)


def _build(cls: Any, data: dict[str, Any]) -> Any:
    hints = _hints(cls)
    return cls(**{name: from_plain(hints[name], item) for name, item in data.items()})


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)
