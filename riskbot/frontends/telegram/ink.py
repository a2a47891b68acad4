"""What every picture has in common: size, colors, words and figures."""

from __future__ import annotations

from typing import Any

WIDTH_PX, HEIGHT_PX, DPI = 1280, 800, 100
TEXT_PX = 23
"""A photo is shown at a third of its width on a phone: smaller is not readable there."""

BACKGROUND, PANEL = "#11161d", "#171e27"
INK, DIM, GRID = "#e8edf2", "#9fb0c0", "#2b3642"

# Okabe and Ito's colors, which people with any color vision tell apart.
PALETTE = (
    "#56b4e9",
    "#e69f00",
    "#009e73",
    "#f0e442",
    "#cc79a7",
    "#d55e00",
    "#0072b2",
    "#8a939c",
)
LINES = (PALETTE[0], PALETTE[4])
"""Of lines: none that a level has."""
LEVELS = {"yellow": "#f0e442", "orange": "#e69f00", "red": "#ff5a36", "ok": "#8fd3a8"}


def points_of(pixels: float) -> float:
    """Return a font size in points."""
    return pixels * 72 / DPI


def text(on: Any, x: float, y: float, words: str, *, size: float = TEXT_PX, **how: Any) -> Any:
    """Write words on a figure or on axes."""
    # Names come from people: a dollar sign in one is no formula.
    how = {"color": INK, **how}
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


def shortened(label: str, columns: int) -> str:
    """Return a name in so many characters at most."""
    return label if len(label) <= columns else label[: columns - 1] + "…"
