"""Draws one picture: JSON on standard input, PNG on standard output.

A process of its own per picture (`python -m riskbot.frontends.telegram.chart`): drawing takes long
enough to hold up an event loop, and what it loads need not stay in memory. What is drawn, and what
is said beside it, is decided in `charts`. Figures come as plain JSON, None = unknown.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from riskbot.frontends.telegram import bars, heat, histogram
from riskbot.frontends.telegram.curves import curves
from riskbot.frontends.telegram.donut import donut
from riskbot.frontends.telegram.ink import DPI, HEIGHT_PX, TEXT_PX, WIDTH_PX, theme, write
from riskbot.frontends.telegram.reader import Reader, reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NICE = 10


def _usual(wanted: dict[str, Any]) -> int:
    del wanted
    return HEIGHT_PX


KINDS: dict[str, tuple[Callable[[Figure, dict[str, Any]], None], Callable[..., int]]] = {
    "lines": (curves, _usual),
    "donut": (donut, _usual),
    "bars": (bars.draw, bars.height),
    "tail": (histogram.draw, histogram.height),
    "heat": (heat.draw, heat.height),
}
"""By kind: what draws it, and how many pixels high it is."""


def render(wanted: dict[str, Any]) -> bytes:
    """Return the picture.

    Args:
        wanted: `kind` (one of `KINDS`), `reader`, and what `charts` and its likes put beside it.

    Raises:
        ValueError: there is nothing to draw.
    """
    who = wanted["reader"]
    with reading(Reader(ZoneInfo(who["zone"]), who["language"], who["theme"])):
        return _render(wanted)


def _render(wanted: dict[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    draw, height_of = KINDS[wanted["kind"]]
    size = (WIDTH_PX / DPI, height_of(wanted) / DPI)
    figure = Figure(figsize=size, dpi=DPI, facecolor=theme().ground)
    draw(figure, wanted)
    write(figure, 32, 44, wanted["title"], size=TEXT_PX * 1.35, weight="bold")
    write(figure, WIDTH_PX - 32, 44, wanted.get("note", ""), color=theme().dim, ha="right")
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor=theme().ground)
    return out.getvalue()


def main() -> int:
    """Draw what standard input asks for."""
    # Drawing is never urgent: what guards the accounts goes first.
    os.nice(NICE)
    logging.disable(logging.WARNING)  # a missing glyph is a box, and no news
    try:
        picture = render(json.load(sys.stdin))
    except (ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"cannot draw: {type(error).__name__}\n")
        return 1
    sys.stdout.buffer.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
