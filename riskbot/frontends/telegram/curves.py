"""Draws lines through time: bands of a limit, gaps, marks of what happened, the last value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from riskbot.frontends.telegram.figures import day_of, local_time, month_of
from riskbot.frontends.telegram.ink import (
    TEXT_PX,
    figure_of,
    points_of,
    text,
    theme,
)
from riskbot.frontends.telegram.pages import level_word
from riskbot.frontends.telegram.reader import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MINUTE_MS, DAY_MIN = 60_000, 1_440
STEPS_MIN = (5, 10, 15, 30, 60, 120, 240, 360, 720, DAY_MIN)
TICKS_MAX = 7.5
GAP_STEPS = 5
"""So many steps without a value are a gap, not a line."""

EVENTS_MAX = 12


class Run(NamedTuple):
    """Values that follow each other without a gap."""

    times: list[float]
    values: list[float]


def curves(figure: Figure, wanted: dict[str, Any]) -> None:
    """Draw lines.

    Args:
        figure: empty but for its ground.
        wanted: `series` (label, points, dashed, filled), `since_ms`, `until_ms`, `unit`,
            and perhaps `bands`, `events`, `peak`, `from_zero`.

    Raises:
        ValueError: no series has a value.
    """
    since_ms, until_ms = float(wanted["since_ms"]), float(wanted["until_ms"])
    series = [(s, runs(s["points"])) for s in wanted["series"]]
    series = [(s, found) for s, found in series if found]
    if not series:
        message = "nothing to draw"
        raise ValueError(message)
    axes = figure.add_axes((0.105, 0.09, 0.765, 0.775), facecolor=theme().panel)
    low, high = _range(wanted, [v for _, found in series for run in found for v in run.values])
    axes.set_ylim(low, high)
    axes.set_xlim(since_ms, until_ms)
    _bands(axes, wanted.get("bands") or {}, low, high)
    _gaps(axes, series[0][1], since_ms, until_ms)
    ends = []
    for number, (line, found) in enumerate(series):
        color = theme().lines[number]
        _line(axes, line, found, color)
        ends.append((found[-1].values[-1], line["label"], color))
    if wanted.get("peak"):
        _peak(axes, series[0][1], wanted["unit"], high - low)
    _marks(axes, wanted.get("events") or [], since_ms, until_ms)
    _axis(axes, wanted["unit"], since_ms, until_ms)
    _ends(axes, ends, wanted["unit"], low, high)


def runs(points: Sequence[Sequence[float | None]]) -> list[Run]:
    """Return points as lines without gaps: an unknown value ends one, and so does a long silence.

    Args:
        points: (UTC ms, value or None), oldest first.
    """
    steps = sorted(
        float(after[0] or 0) - float(before[0] or 0) for before, after in itertools.pairwise(points)
    )
    longest = GAP_STEPS * steps[len(steps) // 2] if steps else math.inf
    found: list[Run] = []
    last = -math.inf
    for at, value in points:
        if at is None or value is None or not math.isfinite(value):
            last = -math.inf
            continue
        if at - last > longest:
            found.append(Run([], []))
        found[-1].times.append(at)
        found[-1].values.append(value)
        last = at
    return found


def _range(wanted: dict[str, Any], values: list[float]) -> tuple[float, float]:
    """Return the lowest and highest value of the picture."""
    low, high = min(values), max(values)
    if wanted.get("from_zero"):
        low, high = min(low, 0.0), max(high, 0.0)
    bands = (wanted.get("bands") or {}).get("edges") or {}
    sign = -1.0 if (wanted.get("bands") or {}).get("below") else 1.0
    for edge in bands.values():
        # A limit far away would flatten the line: it is shown once half the way is used.
        if abs(edge) <= 2.2 * max(abs(low), abs(high)):
            low, high = min(low, sign * edge), max(high, sign * edge)
    room = (high - low) or abs(high) * 0.02 or 1.0
    below = 0.0 if low == 0 else 0.06 * room
    above = 0.0 if high == 0 and low < 0 else 0.12 * room
    return low - below, high + above


def _bands(axes: Axes, bands: dict[str, Any], low: float, high: float) -> None:
    """Shade where yellow, orange and red begin, and name them: color alone says nothing to some."""
    edges: dict[str, float] = bands.get("edges") or {}
    sign = -1.0 if bands.get("below") else 1.0
    names = [name for name in ("yellow", "orange", "red") if name in edges]
    shown = -math.inf
    for name, following in zip(names, [*names[1:], ""][: len(names)], strict=True):
        begin = sign * edges[name]
        end = sign * edges[following] if following else (high if sign > 0 else low)
        if not low <= begin <= high:
            continue
        axes.axhspan(begin, end, color=theme().levels[name], alpha=0.13, lw=0, zorder=0.5)
        axes.axhline(
            begin, color=theme().levels[name], alpha=0.9, lw=2.2 if name == "red" else 1.4, ls="--"
        )
        if abs(begin - shown) > (high - low) * 0.045:
            words = level_word(name).lower()
            if name == "red":
                words = f"{bands['label']} {words}"
            place = "top" if sign < 0 else "bottom"
            at = text(axes, 0.012, begin, words, color=theme().levels[name], va=place, zorder=6)
            at.set_transform(axes.get_yaxis_transform())
            at.set_bbox({"facecolor": theme().panel, "alpha": 0.75, "lw": 0, "pad": 2})
            shown = begin


def _gaps(axes: Axes, found: list[Run], since_ms: float, until_ms: float) -> None:
    """Hatch where nothing is known."""
    edges = [since_ms, *(t for run in found for t in (run.times[0], run.times[-1])), until_ms]
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        share = (end - begin) / (until_ms - since_ms)
        if share < 0.012:
            continue
        axes.axvspan(
            begin, end, facecolor="none", edgecolor=theme().grid, hatch="//", lw=0, zorder=0.6
        )
        if share > 0.12:
            at = text(
                axes,
                (begin + end) / 2,
                0.5,
                say("no data"),
                color=theme().dim,
                ha="center",
                zorder=4,
            )
            at.set_transform(axes.get_xaxis_transform())


def _line(axes: Axes, line: dict[str, Any], found: list[Run], color: str) -> None:
    style = "--" if line.get("dashed") else "-"
    for run in found:
        if len(run.times) == 1:
            axes.plot(run.times, run.values, "o", color=color, ms=5, zorder=3)
            continue
        axes.plot(
            run.times, run.values, style, color=color, lw=3, solid_joinstyle="round", zorder=3
        )
        if line.get("filled"):
            axes.fill_between(run.times, run.values, 0, color=color, alpha=0.3, lw=0, zorder=2)
    axes.plot(found[-1].times[-1], found[-1].values[-1], "o", color=color, ms=9, zorder=5)


def _peak(axes: Axes, found: list[Run], unit: str, span: float) -> None:
    value, at = max((v, t) for run in found for t, v in zip(run.times, run.values, strict=True))
    left, right = axes.get_xlim()
    is_left = at - left < (right - left) / 2
    axes.plot(at, value, "^", color=theme().ink, ms=11, zorder=5)
    words = say("peak {value}", value=figure_of(value, unit))
    where, side = value + 0.03 * span, "left" if is_left else "right"
    text(axes, at, where, words, ha=side, va="bottom", zorder=6)


def _marks(axes: Axes, marks: Sequence[dict[str, Any]], since_ms: float, until_ms: float) -> None:
    """Mark what happened; of marks that would cover each other the first one is named."""
    inside = sorted((m for m in marks if since_ms <= m["ms"] <= until_ms), key=lambda m: m["ms"])
    named_ms = -math.inf
    for mark in inside[-EVENTS_MAX:]:
        color = theme().levels.get(mark.get("level", ""), theme().ink)
        axes.axvline(mark["ms"], color=color, lw=1.8, ls=":", zorder=2.5)
        axes.plot(
            mark["ms"],
            1,
            "v",
            color=color,
            ms=13,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
            zorder=6,
        )
        if mark["ms"] - named_ms > (until_ms - since_ms) * 0.085:
            at = text(axes, mark["ms"], 1.022, str(mark["label"])[:8], ha="center", va="bottom")
            at.set_transform(axes.get_xaxis_transform())
            named_ms = mark["ms"]


def _axis(axes: Axes, unit: str, since_ms: float, until_ms: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(colors=theme().dim, labelsize=points_of(TEXT_PX), length=0, pad=8)
    axes.grid(axis="y", color=theme().grid, lw=1.2)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: figure_of(value, unit)))
    axes.set_xticks(*ticks(since_ms, until_ms))
    if axes.get_ylim()[0] < 0 < axes.get_ylim()[1]:
        axes.axhline(0, color=theme().dim, lw=1.4, zorder=1)


def ticks(since_ms: float, until_ms: float) -> tuple[list[float], list[str]]:
    """Return where the time axis has words, and these: the reader's full hours, or days."""
    minutes = (until_ms - since_ms) / MINUTE_MS
    step = next((s for s in STEPS_MIN if minutes / s <= TICKS_MAX), STEPS_MIN[-1])
    days = math.ceil(minutes / DAY_MIN / TICKS_MAX)
    # Zones are off by quarters of an hour, and change by an hour in the middle of the picture.
    stride_ms = min(step, 15) * MINUTE_MS
    at = math.ceil(since_ms / stride_ms) * stride_ms
    places, words = [], []
    while at <= until_ms:
        local = local_time(at)
        if step < DAY_MIN:
            is_due, name = (local.hour * 60 + local.minute) % step == 0, f"{local:%H:%M}"
        else:
            is_due = (local.hour, local.minute) == (0, 0) and local.toordinal() % days == 0
            name = day_of(local) if days == 1 else month_of(local)
        if is_due:
            places.append(float(at))
            words.append(name)
        at += stride_ms
    return places, words


def _ends(
    axes: Axes, ends: list[tuple[float, str, str]], unit: str, low: float, high: float
) -> None:
    """Write the last value of each line at its end, apart where they would cover each other."""
    apart = (high - low) * 0.11
    ordered = sorted(ends, reverse=True)
    places: list[float] = []
    for value, _, _ in ordered:
        top = high - apart / 2
        places.append(min(value, places[-1] - apart if places else top))
    lowest = low + apart / 2
    for number in reversed(range(len(places))):
        places[number] = max(places[number], lowest + apart * (len(places) - 1 - number))
    for place, (value, label, color) in zip(places, ordered, strict=True):
        words = f"{label}\n{figure_of(value, unit)}"
        at = text(axes, 1.015, place, words, color=color, weight="bold", va="center")
        at.set_transform(axes.get_yaxis_transform())
        at.set_linespacing(1.05)
