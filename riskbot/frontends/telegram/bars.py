"""Draws rows of bars: a name, a bar from zero, and its figures; unknown ones have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from riskbot.frontends.telegram.ink import (
    HEIGHT_PX,
    TEXT_PX,
    WIDTH_PX,
    place,
    shortened,
    theme,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN, LEFT, RIGHT = 32, 384, 880
"""Pixels: of the picture's edge, and where bars begin and end."""

FIRST_COLUMN = 1_040
"""Pixels: right end of the first figure; the second one's is the edge."""

TOP, PITCH, PITCH_MAX, FOOT = 160, 44, 64, 56
LABEL_COLUMNS = 24
FAR = 4.0
"""A limit so many times the longest bar would flatten all: it is named, not drawn."""


def height(wanted: dict[str, Any]) -> int:
    """Return the pixels a picture of bars is high."""
    return max(HEIGHT_PX, TOP + PITCH * len(wanted["rows"]) + FOOT)


def draw(figure: Figure, wanted: dict[str, Any]) -> None:
    """Draw a picture of bars.

    Args:
        figure: empty but for its ground.
        wanted: `above`, `heads`, `rows` (see `rows_of`), `more`, and perhaps `line`, `is_signed`.

    Raises:
        ValueError: there is no row.
    """
    rows = wanted["rows"]
    if not rows:
        message = "nothing to draw"
        raise ValueError(message)
    write(figure, MARGIN, 94, wanted["above"], color=theme().dim)
    room = height(wanted) - TOP - FOOT
    pitch = min(PITCH_MAX, room / len(rows))
    heads_of(figure, TOP - 20, wanted["heads"])
    rows_of(figure, TOP, pitch, rows, wanted.get("line"), is_signed=wanted.get("is_signed", False))
    if wanted.get("more"):
        write(figure, MARGIN, TOP + pitch * len(rows) + 26, wanted["more"], color=theme().dim)


def heads_of(figure: Figure, y: float, heads: Sequence[str]) -> None:
    """Write what the two columns of figures are, so many pixels from the top."""
    for x, words in zip((FIRST_COLUMN, WIDTH_PX - MARGIN), heads, strict=True):
        write(figure, x, y, words, color=theme().dim, ha="right")


def rows_of(
    figure: Figure,
    top: float,
    pitch: float,
    rows: Sequence[dict[str, Any]],
    line: dict[str, Any] | None = None,
    *,
    is_signed: bool = False,
) -> None:
    """Draw rows of bars.

    Args:
        figure: gets them.
        top: pixels from the top of the picture.
        pitch: pixels of a row.
        rows: `label`, `value` (None = unknown), two `words`, `level`, `is_dim`.
        line: `value` and `label` of a limit.
        is_signed: values are PnL: below zero in the color of losses.
    """
    known = [row["value"] for row in rows if row["value"] is not None and not row.get("is_dim")]
    # What only stands beside the others does not flatten them: its bar runs out of the picture.
    known = known or [row["value"] for row in rows if row["value"] is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    is_near = line is not None and line["value"] <= FAR * (high or line["value"])
    if line is not None and is_near:
        high = max(high, line["value"] * 1.02)
    if low == high:
        high = 1.0
    axes = place(figure, LEFT, top, RIGHT - LEFT, pitch * len(rows))
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows), 0)
    axes.set_axis_off()
    for number, row in enumerate(rows):
        _row(figure, axes, top + pitch * (number + 0.5), number, row, is_signed=is_signed)
    axes.axvline(0, color=theme().dim, lw=1.6)
    if line is not None:
        _limit(figure, axes, top, line, (low, high), is_near=is_near)


def _row(
    figure: Figure, axes: Axes, y: float, number: int, row: dict[str, Any], *, is_signed: bool
) -> None:
    value, is_dim = row["value"], bool(row.get("is_dim"))
    low, high = axes.get_xlim()
    ink = theme().dim if is_dim or value is None else theme().ink
    write(figure, MARGIN, y, shortened(row["label"], LABEL_COLUMNS), color=ink)
    for x, words in zip((FIRST_COLUMN, WIDTH_PX - MARGIN), row["words"], strict=True):
        write(figure, x, y, words, color=ink, ha="right", weight="normal" if is_dim else "bold")
    if value is None:
        # Hatched over the whole width: it could be anything.
        how: dict[str, Any] = {
            "color": "none",
            "edgecolor": theme().dim,
            "hatch": "///",
            "alpha": 0.5,
            "lw": 0,
        }
        axes.barh(number + 0.5, high - low, 0.5, left=low, **how)
        return
    end = min(max(value, low), high)
    color = _color(row, is_signed=is_signed)
    axes.barh(number + 0.5, end, 0.62, color=color, alpha=0.4 if is_dim else 1.0)
    if end != value:
        write(
            figure, RIGHT + 14 if value > 0 else LEFT - 14, y, "›" if value > 0 else "‹", color=ink
        )


def _color(row: dict[str, Any], *, is_signed: bool) -> str:
    if is_signed:
        return theme().levels["red" if row["value"] < 0 else "ok"]
    if row["value"] < 0:
        return theme().levels["ok"]
    return theme().levels.get(row.get("level", ""), theme().lines[0])


def _limit(
    figure: Figure,
    axes: Axes,
    top: float,
    line: dict[str, Any],
    ends: tuple[float, float],
    *,
    is_near: bool,
) -> None:
    color, (low, high) = theme().levels["red"], ends
    if not is_near:
        words = f"{line['label']} →"
        write(figure, RIGHT, top - 20, words, color=color, ha="right", size=TEXT_PX)
        return
    axes.axvline(line["value"], color=color, lw=2.4, ls="--", zorder=4)
    x = LEFT + (RIGHT - LEFT) * (line["value"] - low) / (high - low)
    write(figure, x, top - 20, line["label"], color=color, ha="center", weight="bold")
