"""Draws a matrix of correlations as a heat map, with the groups that were found outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from riskbot.frontends.telegram.ink import TEXT_PX, place, shortened, text, theme, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

LEFT, TOP, SIDE = 216, 128, 920
LETTER = 15
"""Pixels of a letter, at most: names stand upright below."""

SCALE_LEFT, SCALE_WIDTH = 1_166, 34
LABEL_COLUMNS = 12
FIGURES_UP_TO = 13
"""More cells than this are too small for their figures."""


def height(wanted: dict[str, Any]) -> int:
    """Return the pixels the picture is high."""
    longest = max((len(name) for name in wanted["names"]), default=0)
    return TOP + SIDE + 40 + LETTER * min(longest, LABEL_COLUMNS)


def draw(figure: Figure, wanted: dict[str, Any]) -> None:
    """Draw a heat map.

    Args:
        figure: empty but for its ground.
        wanted: `names`, `matrix` (in [-1, 1], None = unknown), `groups` (rows), `above`.

    Raises:
        ValueError: there are fewer than two names.
    """
    names, matrix = wanted["names"], wanted["matrix"]
    count = len(names)
    if count < 2:
        message = "nothing to draw"
        raise ValueError(message)
    write(figure, 32, 94, wanted["above"], color=theme().dim)
    axes = place(figure, LEFT, TOP, SIDE, SIDE)
    _cells(axes, matrix, count)
    for group in wanted["groups"]:
        _outline(axes, min(group), len(group))
    cell = SIDE / count
    for number, name in enumerate(names):
        middle = (number + 0.5) * cell
        label = shortened(name, LABEL_COLUMNS)
        write(figure, LEFT - 14, TOP + middle, label, ha="right")
        write(figure, LEFT + middle, TOP + SIDE + 14, label, va="top", ha="center", rotation=90)
    _scale(figure)


def _colors() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    # Blue to red through the ground: told apart by any color vision, and by how far they stand out.
    ends = theme().lines[0], theme().panel, theme().levels["red"]
    return LinearSegmentedColormap.from_list("alike", ends)


def _cells(axes: Axes, matrix: list[list[float | None]], count: int) -> None:
    from matplotlib.patches import Rectangle

    colors = _colors()
    axes.set_xlim(0, count)
    axes.set_ylim(count, 0)
    axes.set_axis_off()
    for row, line in enumerate(matrix):
        for column, value in enumerate(line):
            face = theme().ground if value is None else colors((value + 1) / 2)
            axes.add_patch(
                Rectangle((column, row), 1, 1, facecolor=face, edgecolor=theme().ground, lw=1.5)
            )
            if value is None:
                _write(axes, column, row, "?", theme().dim)
            elif count <= FIGURES_UP_TO:
                words = f"{value:.2f}".replace("0.", ".").replace("-.00", ".00")
                _write(axes, column, row, words, _readable(face))


def _write(axes: Axes, column: int, row: int, words: str, color: str) -> None:
    text(axes, column + 0.5, row + 0.5, words, color=color, ha="center", va="center")


def _readable(face: Any) -> str:
    """Return black or white, whichever stands out more (luminance after ITU-R BT.709)."""
    red, green, blue = face[:3]
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else "#ffffff"


def _outline(axes: Axes, first: int, count: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (first, first), count, count, fill=False, edgecolor=theme().ink, lw=3.5, clip_on=False
        )
    )


def _scale(figure: Figure) -> None:
    axes = place(figure, SCALE_LEFT, TOP, SCALE_WIDTH, SIDE)
    axes.imshow(
        [[step / 50 - 1] for step in range(101)],
        cmap=_colors(),
        aspect="auto",
        origin="lower",
        extent=(0, 1, -1, 1),
    )
    axes.set_axis_off()
    for value, words in ((1, "+1"), (0.5, "+.5"), (0, "0"), (-0.5, "-.5"), (-1, "-1")):
        y = TOP + SIDE * (1 - value) / 2
        write(figure, SCALE_LEFT + SCALE_WIDTH + 10, y, words, color=theme().dim, size=TEXT_PX)
