"""Draws the days of a year as a histogram with lines at what was lost, and bars beneath it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from riskbot.frontends.telegram import bars
from riskbot.frontends.telegram.ink import (
    HEIGHT_PX,
    TEXT_PX,
    WIDTH_PX,
    figure_of,
    place,
    points_of,
    text,
    theme,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 40
TOP, TALL = 124, 430
BARS_TOP = TOP + TALL + 160
HEADROOM = 1.5
"""Height of the axes over the longest column: above all columns there are words."""


def height(wanted: dict[str, Any]) -> int:
    """Return the pixels the picture is high."""
    return max(HEIGHT_PX, BARS_TOP + bars.PITCH * len(wanted["rows"]) + 28)


def draw(figure: Figure, wanted: dict[str, Any]) -> None:
    """Draw a histogram and the bars beneath it.

    Args:
        figure: empty but for its ground.
        wanted: `days_usd`, `marks` (label, usd, level), `above`, `below`, `heads` and `rows` of
            bars.

    Raises:
        ValueError: all days are alike.
    """
    days, marks = wanted["days_usd"], wanted["marks"]
    low, high = min(days), max(days)
    if not low < high:
        message = "nothing to draw"
        raise ValueError(message)
    write(figure, bars.MARGIN, 94, wanted["above"], color=theme().dim)
    axes = place(figure, 96, TOP, WIDTH_PX - 96 - bars.MARGIN, TALL)
    worst = min(mark["usd"] for mark in marks) if marks else 0.0
    counts, edges, columns = axes.hist(days, BINS, color=theme().lines[0])
    for edge, column in zip(edges, columns, strict=False):
        # What lies beyond the nearest line is the tail.
        if marks and edge < max(mark["usd"] for mark in marks):
            column.set_facecolor(theme().lines[1])
    room = 0.04 * (high - low)
    axes.set_xlim(min(low, worst) - room, high + room)
    axes.set_ylim(0, max(counts) * HEADROOM)
    _axis(axes)
    _lines(axes, marks)
    write(figure, bars.MARGIN, BARS_TOP - 44, wanted["below"], color=theme().dim)
    bars.heads_of(figure, BARS_TOP - 44, wanted["heads"])
    if wanted["rows"]:
        bars.rows_of(figure, BARS_TOP - 14, bars.PITCH, wanted["rows"])


def _axis(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=theme().dim, labelsize=points_of(TEXT_PX), length=0, pad=8)
    axes.grid(axis="y", color=theme().grid, lw=1.2)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figure_of(value, "usd")))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.axvline(0, color=theme().dim, lw=1.4, zorder=1)


def _lines(axes: Axes, marks: list[dict[str, Any]]) -> None:
    """Draw a line for each mark, its words to the right, the worst one's lowest."""
    for number, mark in enumerate(sorted(marks, key=lambda m: -float(m["usd"]))):
        color = theme().levels[mark["level"]]
        axes.axvline(mark["usd"], color=color, lw=2.6, ls="--", zorder=4)
        words = f" {mark['label']}  {figure_of(mark['usd'], 'usd')}"
        at = text(
            axes, mark["usd"], 0.97 - 0.1 * number, words, color=color, weight="bold", va="top"
        )
        at.set_transform(axes.get_xaxis_transform())
        at.set_zorder(6)
        at.set_bbox({"facecolor": theme().panel, "alpha": 0.75, "lw": 0, "pad": 2})
