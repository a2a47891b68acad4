"""A row of the table, how figures are summed up, and how the table looks."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence

HEADINGS = ("what", "measured", "reference", "ratio", "goal", "")


class NotYetError(Exception):
    """The part of riskbot a row measures does not exist yet, or does not do it yet."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, as text where people read it.

    Attributes:
        what: what was measured.
        measured: the figure with its unit.
        reference: what it is compared with, and its figure in the same run.
        ratio: measured / reference; None = the goal is no ratio.
        goal: as performance.md states it; empty = a figure to know, without a goal.
        is_met: None = no goal, or not measured.
    """

    what: str
    measured: str
    reference: str = ""
    ratio: float | None = None
    goal: str = ""
    is_met: bool | None = None


def compared(
    what: str,
    measured: float,
    reference: float,
    name: str,
    goal: float | None = None,
    *,
    unit: str = "us",
) -> Row:
    """Build the row of a ratio that is met when it is no larger than the goal.

    Args:
        what: see `Row`.
        measured: in `unit`.
        reference: in `unit`.
        name: of the reference.
        goal: largest ratio that is good; None = a figure to know.
        unit: shown behind both.
    """
    ratio = measured / reference
    return Row(
        what,
        f"{figure(measured)} {unit}",
        f"{name}: {figure(reference)} {unit}",
        ratio,
        "" if goal is None else f"<= {goal:g}x",
        None if goal is None else ratio <= goal,
    )


def bounded(
    what: str, measured: float, goal: float, unit: str, reference: str = "", *, least: bool = False
) -> Row:
    """Build a row whose goal is a bound in the figure's own unit.

    Args:
        what: see `Row`.
        measured: in `unit`.
        goal: in `unit`.
        unit: shown behind both.
        reference: see `Row`.
        least: the goal is a lower bound.
    """
    is_met = measured >= goal if least else measured <= goal
    sign = ">=" if least else "<="
    return Row(
        what, f"{figure(measured)} {unit}", reference, None, f"{sign} {goal:g} {unit}", is_met
    )


def figure(value: float) -> str:
    """Write a number with three significant digits and no exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.4f}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the others lies, the nearest one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(work: Callable[[int], object], rounds: int, repeats: int) -> float:
    """Return us per round: the median over some repeats of `work(rounds)`."""
    import time

    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work(rounds)
        found.append((time.perf_counter() - started) / rounds * 1e6)
    return statistics.median(found)


def rendered(rows: Sequence[Row]) -> str:
    """Return the table as text."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])


def _cells(row: Row) -> tuple[str, ...]:
    ratio = f"{row.ratio:.3g}x" if row.ratio is not None else ""
    verdict = {True: "met", False: "MISSED", None: ""}[row.is_met]
    return (row.what, row.measured, row.reference, ratio, row.goal, verdict)
