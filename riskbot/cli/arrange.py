"""In which order a correlation matrix is shown: what moves together stands together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = Sequence[Sequence[float | None]]


def clustered(matrix: Matrix) -> list[int]:
    """Return the places of a matrix so that like ones are neighbors.

    Clusters are merged two by two, those first whose members are correlated most on average, and
    joined at the ends that fit best. What is unknown counts as not correlated.
    """
    count = len(matrix)
    if not count:
        return []
    known = np.array([[value or 0.0 for value in row] for row in matrix])
    between = known.copy()
    np.fill_diagonal(between, -np.inf)
    clusters: list[list[int]] = [[place] for place in range(count)]
    for _ in range(count - 1):
        first, second = sorted(int(n) for n in np.unravel_index(between.argmax(), between.shape))
        some, other = clusters[first], clusters[second]
        # Mean over all pairs: the two rows weigh by how many they stand for.
        weights = np.array([len(some), len(other)]) / (len(some) + len(other))
        merged = weights @ between[[first, second]]
        between[first], between[:, first] = merged, merged
        between[second], between[:, second] = -np.inf, -np.inf
        between[first, first] = -np.inf
        clusters[first], clusters[second] = _joined(known, some, other), []
    return clusters[0]


def _joined(known: NDArray[np.float64], some: list[int], other: list[int]) -> list[int]:
    ways = [(a, b) for a in (some, some[::-1]) for b in (other, other[::-1])]
    left, right = max(ways, key=lambda way: float(known[way[0][-1], way[1][0]]))
    return left + right
