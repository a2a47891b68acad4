"""Draws shares of a whole: a ring, and its legend in the same order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from riskbot.frontends.telegram.ink import TEXT_PX, shortened, text, theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def donut(figure: Figure, wanted: dict[str, Any]) -> None:
    """Draw a ring.

    Args:
        figure: empty but for its ground.
        wanted: `slices` (label, usd, is_rest; at most eight), `center`: two lines.

    Raises:
        ValueError: the slices come to nothing.
    """
    slices = wanted["slices"]
    total = sum(s["usd"] for s in slices)
    if not total > 0:
        message = "nothing to draw"
        raise ValueError(message)
    axes = figure.add_axes((0.01, 0.0, 0.52, 0.89))
    colors = [*theme().palette[: len(slices)]]
    if slices[-1].get("is_rest"):
        colors[-1] = theme().palette[-1]
    axes.pie(
        [s["usd"] for s in slices],
        radius=1.0,
        startangle=90,
        counterclock=False,
        colors=colors,
        wedgeprops={
            "width": 0.36,
            "edgecolor": theme().ground,
            "linewidth": 4 if len(slices) > 1 else 0,
        },
    )
    axes.set_xlim(-1.32, 1.32)
    axes.set_ylim(-1.32, 1.32)
    _shares(axes, slices, total)
    text(
        axes,
        0,
        0.11,
        wanted["center"][0],
        ha="center",
        va="center",
        size=TEXT_PX * 1.5,
        weight="bold",
    )
    text(axes, 0, -0.14, wanted["center"][1], ha="center", va="center", color=theme().dim)
    _legend(figure, slices, colors, total)


def _shares(axes: Axes, slices: Sequence[dict[str, Any]], total: float) -> None:
    turned = 0.0
    for part in slices:
        share = part["usd"] / total
        middle = math.radians(90 - 360 * (turned + share / 2))
        words = f"{share:.0%}".replace("%", " %")
        text(
            axes,
            1.19 * math.cos(middle),
            1.12 * math.sin(middle),
            words,
            ha="center",
            va="center",
            weight="bold",
        )
        turned += share


def _legend(
    figure: Figure, slices: Sequence[dict[str, Any]], colors: Sequence[str], total: float
) -> None:
    from matplotlib.patches import Rectangle

    step = min(0.09, 0.78 / len(slices))
    top = 0.455 + step * (len(slices) - 1) / 2
    for number, (part, color) in enumerate(zip(slices, colors, strict=True)):
        y = top - number * step
        figure.add_artist(
            Rectangle((0.535, y - 0.019), 0.024, 0.038, color=color, transform=figure.transFigure)
        )
        text(figure, 0.575, y, shortened(part["label"], 13), va="center")
        share = f"{part['usd'] / total:.0%}".replace("%", " %")
        text(figure, 0.815, y, share, ha="right", va="center", weight="bold")
        text(
            figure,
            0.975,
            y,
            f"{part['usd']:,.0f}".replace(",", " "),
            ha="right",
            va="center",
            color=theme().dim,
        )
