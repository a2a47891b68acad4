"""What every picture has in common: size, colors, words and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from riskbot.frontends.telegram.reader import DARK, LIGHT, reader

WIDTH_PX, HEIGHT_PX, DPI = 1280, 800, 100
TEXT_PX = 23
"""A photo is shown at a third of its width on a phone: smaller is not readable there."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colors of a picture.

    Attributes:
        ground, panel: behind everything, and behind the lines.
        ink, dim: of words that matter, and of the others.
        grid: of lines that only guide.
        palette: of slices; the last one is the rest's.
        lines: of lines: none that a level has.
        levels: by level.
    """

    ground: str
    panel: str
    ink: str
    dim: str
    grid: str
    palette: tuple[str, ...]
    lines: tuple[str, str]
    levels: Mapping[str, str]


# Okabe and Ito's colors, which people with any color vision tell apart; darker on white, where
# yellow and sky blue are hardly seen.
THEMES: Mapping[str, Theme] = {
    DARK: Theme(
        ground="#11161d",
        panel="#171e27",
        ink="#e8edf2",
        dim="#9fb0c0",
        grid="#2b3642",
        palette=(
            "#56b4e9",
            "#e69f00",
            "#009e73",
            "#f0e442",
            "#cc79a7",
            "#d55e00",
            "#0072b2",
            "#8a939c",
        ),
        lines=("#56b4e9", "#cc79a7"),
        levels={"yellow": "#f0e442", "orange": "#e69f00", "red": "#ff5a36", "ok": "#8fd3a8"},
    ),
    LIGHT: Theme(
        ground="#ffffff",
        panel="#f6f8fa",
        ink="#16202a",
        dim="#52606d",
        grid="#d5dce3",
        palette=(
            "#3d9bd6",
            "#e69f00",
            "#009e73",
            "#d9c928",
            "#cc79a7",
            "#d55e00",
            "#0072b2",
            "#8a939c",
        ),
        lines=("#0a6cad", "#a8427f"),
        levels={"yellow": "#8a7a00", "orange": "#b86e00", "red": "#c62f12", "ok": "#1f7a45"},
    ),
}


def theme() -> Theme:
    """Return the colors of the reader's pictures."""
    return THEMES[reader().theme]


def points_of(pixels: float) -> float:
    """Return a font size in points."""
    return pixels * 72 / DPI


def text(on: Any, x: float, y: float, words: str, *, size: float = TEXT_PX, **how: Any) -> Any:
    """Write words on a figure or on axes."""
    # Names come from people: a dollar sign in one is no formula.
    how = {"color": theme().ink, **how}
    return on.text(x, y, words, fontsize=points_of(size), parse_math=False, **how)


def figure_of(value: float, unit: str) -> str:
    """Return a value as a chart says it: `1.93x`, `-3.6 %`, `48.2k`."""
    if unit == "times":
        return f"{value:.2f}x"
    if unit == "percent":
        return f"{value * 100:.1f} %".replace("-0.0 %", "0.0 %")
    size = abs(value)
    for least, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= least:
            return f"{value / (1e3 if letter == 'k' else least):,.2f}{letter}"
    return f"{value:,.0f}"


def place(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Return axes at a place in pixels, from the top left of a picture."""
    wide, high = figure.get_size_inches() * DPI
    return figure.add_axes(
        (left / wide, 1 - (top + height) / high, width / wide, height / high),
        facecolor=theme().panel,
    )


def write(figure: Any, x: float, y: float, words: str, **how: Any) -> Any:
    """Write words at a place in pixels, from the top left of a picture."""
    wide, high = figure.get_size_inches() * DPI
    return text(figure, x / wide, 1 - y / high, words, **{"va": "center", **how})


def shortened(label: str, columns: int) -> str:
    """Return a name in so many characters at most."""
    return label if len(label) <= columns else label[: columns - 1] + "…"
