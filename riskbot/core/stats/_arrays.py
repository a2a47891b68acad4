"""What every file of this room asks of an array before it computes; no statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_NAMED_MAX = 5


def matrix(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return a matrix of shape (t, n), NaN allowed.

    Raises:
        ValueError: another shape, or an infinite number.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2:
        message = f"{name}: shape {found.shape}, not (days, columns)"
        raise ValueError(message)
    if np.isinf(found).any():
        message = f"{name}: infinite in {columns(np.isinf(found).any(axis=0))}"
        raise ValueError(message)
    return found


def vector(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return a vector of shape (t,), all finite.

    Raises:
        ValueError: another shape, a NaN or an infinite number.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        message = f"{name}: shape {found.shape}, not (length,)"
        raise ValueError(message)
    # One pass where all is well: a NaN or an infinity anywhere shows in the sum of squares.
    if not math.isfinite(found.dot(found)) and not np.isfinite(found).all():
        message = f"{name}: not finite at {places(~np.isfinite(found))}"
        raise ValueError(message)
    return found


def share(value: float, name: str) -> float:
    """Return a number strictly between 0 and 1.

    Raises:
        ValueError: it is not.
    """
    if not 0 < value < 1:
        message = f"{name}: {value}, not between 0 and 1"
        raise ValueError(message)
    return value


def columns(is_bad: npt.ArrayLike) -> str:
    """Name the columns at fault, by their place, for an error."""
    return f"column {places(is_bad)}"


def places(is_bad: npt.ArrayLike) -> str:
    """Name the places at fault, the first few of them."""
    found: list[int] = np.flatnonzero(is_bad).tolist()
    more = f" and {len(found) - _NAMED_MAX} more" if len(found) > _NAMED_MAX else ""
    return ", ".join(map(str, found[:_NAMED_MAX])) + more


def indexes(is_true: Iterable[bool]) -> tuple[int, ...]:
    """Return the places at which something holds."""
    return tuple(np.flatnonzero(np.asarray(is_true)).tolist())
