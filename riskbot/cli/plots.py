"""`--plot`: the pictures of `stress`, `var` and `correlation`, as PNG for a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from riskbot.cli.arrange import clustered
from riskbot.cli.cells import moment
from riskbot.cli.explain import days_of
from riskbot.cli.riskcells import lost, percent, signed
from riskbot.errors import RiskbotError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from riskbot.cli.standing import Standing

Document = Mapping[str, Any]

DPI = 100
WIDTH_IN, LEAST_IN, ROW_IN = 12.0, 4.5, 0.3

# Okabe and Ito's colors, which people with any color vision tell apart.
LOSS, GAIN, LIMIT, SECOND, INK, DIM = (
    "#d55e00", "#009e73", "#0072b2", "#cc79a7", "#16202a", "#52606d"
)  # fmt: skip
BINS = 50

ROOM = 0.3
"""Share of the axis that is left for words beside bars."""


def draw(path: Path, name: str, document: Document, standing: Standing) -> None:
    """Write the picture of a document.

    Raises:
        RiskbotError: there is nothing to draw.
        OSError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(dpi=DPI, facecolor="white", layout="constrained")
    _DRAWN[name](figure, document, standing)
    # Whole or not at all: a report's old picture is not half overwritten.
    aside = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(aside, format="png")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _sized(figure: Figure, rows: int) -> None:
    figure.set_size_inches(WIDTH_IN, min(max(LEAST_IN, 1.6 + ROW_IN * rows), 40.0))


def _titled(axes: Axes, title: str, document: Document) -> None:
    when = f"{document['scope']}, {moment(document['as_of_ms'])} UTC"
    axes.set_title(f"{title}\n{when}", loc="left", fontsize=11, color=INK, parse_math=False)


def _bars(
    axes: Axes, names: list[str], values: list[float], words: list[str], space: float = ROOM
) -> None:
    """Draw one bar per name from the top, losses to the right."""
    places = np.arange(len(names))
    colors = [LOSS if value > 0 else GAIN for value in values]
    axes.barh(places, values, color=colors, height=0.7)
    axes.set_yticks(places, names, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.margins(y=0.01)
    low, high = min(0.0, *values), max(0.0, *values)
    room = space * ((high - low) or 1.0)
    axes.set_xlim(low - (room if low < 0 else 0.0), high + room)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: signed(value))
    for place, value, said in zip(places, values, words, strict=True):
        axes.annotate(
            said,
            (value, place),
            xytext=(4 if value >= 0 else -4, 0),
            textcoords="offset points",
            ha="left" if value >= 0 else "right",
            va="center",
            fontsize=8,
            color=DIM,
            # A line of a limit that runs behind it leaves it legible.
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axes.grid(axis="x", color="#d5dce3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


# ---------------------------------------------------------------- stress


def _stress(figure: Figure, document: Document, standing: Standing) -> None:
    del standing
    if "scenarios" in document:
        _scenarios(figure, document)
    else:
        _positions(figure, document)


def _scenarios(figure: Figure, document: Document) -> None:
    """Draw the loss of each scenario, with the limit."""
    rows = [row for row in document["scenarios"] if row["loss"] is not None]
    _need(rows, "no scenario's loss is known")
    _sized(figure, len(rows))
    axes = figure.add_subplot()
    words = []
    for row in rows:
        broken = len(row["broken"])
        said = f"{percent(row['loss'])}  {signed(-row['pnl_usd'])} USD"
        said += f"  liquidated: {len(row['liquidated'])}" if row["liquidated"] else ""
        words.append(said + (f"  limits broken: {broken}" if broken else ""))
    names = [row["name"] + ("" if row["counted"] else " *") for row in rows]
    _bars(axes, names, [row["loss"] * 100 for row in rows], words)
    if document["limit"] is not None:
        axes.axvline(document["limit"] * 100, color=LIMIT, linestyle="--", linewidth=1.5)
        axes.annotate(
            f"stress_loss {percent(document['limit'])}",
            (document["limit"] * 100, len(rows) - 0.5),
            xytext=(4, 0),
            textcoords="offset points",
            color=LIMIT,
            fontsize=9,
        )
    axes.set_xlabel("loss, % of E   (* not counted by stress_loss)")
    missing = len(document["scenarios"]) - len(rows)
    _titled(axes, "Stress: what scenarios would cost" + _unknown(missing), document)


def _unknown(count: int) -> str:
    return f"  ({count} unknown, not drawn)" if count else ""


def _positions(figure: Figure, document: Document) -> None:
    """Draw what one scenario does to each position."""
    found = [
        (f"{each['account']} {each['instrument']}", each["pnl_usd"])
        for each in document["positions"]
    ]
    found += [
        (f"{each['account']} {each['asset']}".strip(), each["pnl_usd"]) for each in document["cash"]
    ]
    rows = [(name, usd) for name, usd in found if usd is not None]
    _need(rows, "no position's loss is known")
    _sized(figure, len(rows))
    axes = figure.add_subplot()
    losses = [-usd for _, usd in rows]
    _bars(axes, [name for name, _ in rows], losses, [f"{signed(loss)} USD" for loss in losses])
    axes.set_xlabel("loss, USD")
    whole = signed(lost(document["pnl_usd"]))
    title = f"{document['title']}: {whole} USD, {percent(document['loss'])} of E"
    _titled(axes, title + _unknown(len(found) - len(rows)), document)


# ---------------------------------------------------------------- value at risk


def _var(figure: Figure, document: Document, standing: Standing) -> None:
    """Draw what each day would have made, and whose part of the VaR is how large."""
    days = days_of(standing, document["scope"])
    if isinstance(days, str):
        raise RiskbotError(_nothing(days))
    rows = document["components"]
    _sized(figure, len(rows) + 6)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    left.hist(days.pnl_usd, bins=BINS, color="#9fb0c0", edgecolor="white", linewidth=0.4)
    lines = (
        ("VaR 95 %", document["value_at_risk_usd"]["95"], LIMIT, "-"),
        ("ES 95 %", document["expected_shortfall_usd"]["95"], LIMIT, "--"),
        ("VaR 99 %", document["value_at_risk_usd"]["99"], LOSS, "-"),
        ("ES 99 %", document["expected_shortfall_usd"]["99"], LOSS, "--"),
    )
    for said, usd, color, style in lines:
        label = f"{said}  {signed(usd)}"
        left.axvline(-usd, color=color, linestyle=style, linewidth=1.4, label=label)
    left.legend(fontsize=9, loc="upper right", framealpha=1.0)
    left.xaxis.set_major_formatter(lambda value, _: signed(value))
    left.set_xlabel(f"PnL of a day, USD: the book of now on the last {days.panel.days} days")
    left.set_ylabel("days")
    left.spines[["top", "right"]].set_visible(False)
    share = percent(document["value_at_risk"]["95"])
    _titled(left, f"A bad day: VaR 95 % {share} of E", document)
    parts = [row["var_usd"] for row in rows]
    words = [f"{signed(usd)}  ({percent(row['var_share'])})" for usd, row in zip(parts, rows,
             strict=True)]  # fmt: skip
    _bars(right, [row["underlying"] for row in rows], parts, words, space=2 * ROOM)
    right.set_xlabel("part of VaR 95 %, USD; < 0 takes risk away")
    right.set_title("Where it comes from", loc="left", fontsize=11, color=INK)


# ---------------------------------------------------------------- correlation


def _correlation(figure: Figure, document: Document, standing: Standing) -> None:
    """Draw the matrix as a heat map, those that move together beside each other."""
    del standing
    matrix = document["matrix"]
    _need(matrix, "nothing that is held has a history")
    order = clustered(matrix)
    names = [document["underlyings"][place] for place in order]
    known = np.array(
        [[np.nan if matrix[a][b] is None else matrix[a][b] for b in order] for a in order]
    )
    side = min(max(5.5, 2.0 + 0.45 * len(names)), 30.0)
    figure.set_size_inches(side + 1.2, side)
    axes = figure.add_subplot(facecolor="#e8edf2")
    image = axes.imshow(known, cmap="RdBu_r", vmin=-1, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.8)
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    if len(names) <= 25:
        for row, column in np.ndindex(known.shape):
            value = known[row, column]
            said = "?" if np.isnan(value) else f"{value:.2f}"
            color = "white" if abs(value) > 0.6 else INK
            axes.text(column, row, said, ha="center", va="center", fontsize=8, color=color)
    average = document["average"]
    said = "?" if average is None else f"{average:.2f}"
    _titled(axes, f"Correlation, last {document['days']} days; average {said}", document)


def _need(rows: Any, reason: str) -> None:
    if not rows:
        raise RiskbotError(_nothing(reason))


def _nothing(reason: str) -> str:
    return f"nothing to draw: {reason}"


_DRAWN: Mapping[str, Callable[[Figure, Document, Standing], None]] = {
    "stress": _stress,
    "var": _var,
    "correlation": _correlation,
}
