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
from typing import Any
from zoneinfo import ZoneInfo

from riskbot.frontends.telegram.curves import curves
from riskbot.frontends.telegram.donut import donut
from riskbot.frontends.telegram.ink import DPI, HEIGHT_PX, TEXT_PX, WIDTH_PX, text, theme
from riskbot.frontends.telegram.reader import Reader, reading

NICE = 10


def render(wanted: dict[str, Any]) -> bytes:
    """Return the picture.

    Args:
        wanted: `kind` (`lines` or `donut`), `reader`, and what `charts` puts beside it.

    Raises:
        ValueError: there is nothing to draw.
    """
    who = wanted["reader"]
    with reading(Reader(ZoneInfo(who["zone"]), who["language"], who["theme"])):
        return _render(wanted)


def _render(wanted: dict[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor=theme().ground)
    if wanted["kind"] == "donut":
        donut(figure, wanted)
    else:
        curves(figure, wanted)
    text(figure, 0.025, 0.945, wanted["title"], size=TEXT_PX * 1.35, weight="bold", va="center")
    text(figure, 0.975, 0.945, wanted.get("note", ""), color=theme().dim, ha="right", va="center")
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
