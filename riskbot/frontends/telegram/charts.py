"""What a chart shows and what its caption says: /exposure, /sectors, /trend, /drawdown.

From the guard's documents to the JSON that `chart` draws, and to the same figures as text: captions
are found by search, and are all that a watch shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from riskbot.frontends.telegram import pages
from riskbot.frontends.telegram.figures import (
    UNKNOWN,
    bar,
    clock,
    day,
    duration,
    left,
    local_time,
    measure,
    money,
    percent,
    right,
    short_clock,
    spread,
    wrap,
    zone_name,
)
from riskbot.frontends.telegram.pages import Document, escape, table
from riskbot.frontends.telegram.reader import phrase, reader, say

HISTORY: Mapping[str, tuple[str, ...]] = {
    "exposure": ("gross_exposure", "net_exposure"),
    "sectors": (),
    "trend": ("equity_usd",),
    "drawdown": ("drawdown",),
}
"""Measures through time that a chart needs."""

HOUR_S, HOUR_MS = 3_600, 3_600_000
SLICES_MAX = 7
SLICE_MIN = 0.03
ASSETS_MAX = 6
HEDGES_MAX = 3

Series = list[list[float | None]]

# Where warnings begin when the guard does not say: shares of the limit.
_BOOK, _LOSS = (0.8, 0.9), (0.5, 0.75)
_LOSSES = (
    ("drawdown", phrase("Drawdown")),
    ("max_drawdown", phrase("All-time")),
    ("daily_loss", phrase("Daily")),
    ("weekly_loss", phrase("Weekly")),
    ("weekly_drawdown", phrase("Week DD")),
    ("rolling_loss", phrase("Rolling")),
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the guard said.

    Attributes:
        status, exposure: documents of these names.
        alerts: rows of alerts that ended lately.
        series: [[UTC ms, value or None]] by measure, oldest first; absent = no history.
    """

    status: Document
    exposure: Document
    alerts: Sequence[Document]
    series: Mapping[str, Series]


class Link(NamedTuple):
    """A button that opens another chart: what it says, and the command with its argument."""

    label: str
    kind: str
    argument: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture to be, and what it says.

    Attributes:
        caption: HTML, its first line the level.
        wanted: what `chart` draws, None = there is nothing to draw it from.
        is_text: the caption is all there is to it, so that no picture is missed.
        links: buttons under it, besides those of its kind.
    """

    caption: str
    wanted: Document | None
    is_text: bool = False
    links: Sequence[Link] = ()


def make(kind: str, known: Known, hours: float) -> Chart:
    """Return the chart of a kind."""
    makers: dict[str, Callable[[Known, float], Chart]] = {
        "exposure": _exposure,
        "sectors": _sectors,
        "trend": _trend,
        "drawdown": _drawdown,
    }
    return makers[kind](known, hours)


def kind_of(limit: str) -> str:
    """Return the kind of chart that shows a limit best."""
    if limit.endswith("drawdown"):
        return "drawdown"
    if "loss" in limit:
        return "trend"
    return "sectors" if limit.startswith(("sector", "group")) else "exposure"


def span(hours: float) -> str:
    """Return `24 h` or `7 d`."""
    return duration(hours * HOUR_S)


# ---------------------------------------------------------------- the four


def _exposure(known: Known, hours: float) -> Chart:
    now, limits = fresh(known.status, known.exposure), known.status.get("limits") or []
    gross, net = known.series.get("gross_exposure"), known.series.get("net_exposure")
    rows = [
        spread(say("Equity"), f"{money(now.get('equity_usd'))} USD"),
        _row(say("Gross"), now.get("gross_usd"), now.get("gross_exposure")),
        *_extent(gross, hours),
        *_allowed(limits, "gross_exposure"),
        _row(say("Net"), now.get("net_usd"), now.get("net_exposure")),
        *_extent(net, hours),
        *_allowed(limits, "net_exposure"),
    ]
    assets = list(((now.get("breakdown") or {}).get("assets") or {}).items())
    if assets:
        rows += ["", left(say("Assets"), 14) + right("USD", 11) + right(say("of E"), 9)]
        rows += [_row(n, a.get("net_usd"), a.get("gross_exposure")) for n, a in assets[:ASSETS_MAX]]
    if len(assets) > ASSETS_MAX:
        rows.append(pages.more(len(assets) - ASSETS_MAX))
    rows += _hedges(now.get("hedges") or [])
    if now.get("unpriced"):
        rows += wrap(say("no price: {names}", names=", ".join(map(str, now["unpriced"]))))[:3]
    lines: list[dict[str, Any]] = [
        {"label": say("gross"), "points": gross or []},
        {"label": say("net"), "points": net or [], "dashed": True},
    ]
    bands = {"label": say("gross"), "edges": _edges(limits, "gross_exposure", _BOOK)}
    title = f"{say('Exposure')} · {span(hours)}"
    wanted = _lines(known, hours, say("Exposure / equity"), "times", lines)
    if wanted is not None:
        wanted |= {"bands": bands, "from_zero": True}
    return Chart(caption(known.status, title, rows), wanted)


def _hedges(pairs: Sequence[Document]) -> list[str]:
    """Return the basis of the pairs furthest from balance, and what a day of funding brings."""
    if not pairs:
        return []
    rows = ["", left(say("Hedges"), 14) + right(say("basis"), 9) + right(say("USD in 24h"), 11)]
    for pair in pairs[:HEDGES_MAX]:
        name = str(pair.get("name") or pair.get("underlying") or "")
        basis = right(percent(pair.get("basis"), sign=True), 9)
        rows.append(
            left(name, 14) + basis + right(money(pair.get("funding_24h_usd"), 0, sign=True), 11)
        )
    return rows


def _drawdown(known: Known, hours: float) -> Chart:
    now, limits = fresh(known.status, known.status), known.status.get("limits") or []
    points = known.series.get("drawdown") or []
    rows = [spread(say("Drawdown now"), percent(now.get("drawdown")))]
    worst = max(_values(points), default=None)
    if worst is not None:
        rows.append(spread(say("worst in {span}", span=span(hours)), percent(worst[0])))
        rows.append(spread(say("  at"), _moment(worst[1], hours)))
    rows.append(spread(say("Daily loss"), percent(now.get("daily_loss"))))
    for name, label in _LOSSES:
        row = pages.worst(limits, name)
        if row is not None:
            unit = str(row.get("unit") or "ratio")
            is_stale = not now
            measured = UNKNOWN if is_stale else measure(row.get("measured"), unit)
            shown = f"{measured}/{measure(row.get('limit'), unit)}"
            used = None if is_stale else row.get("utilization")
            rows.append(left(say(label), 9) + bar(used) + " " + right(shown, 14))
    under = [[at, None if value is None else -value] for at, value in points]
    lines = [{"label": say("now"), "points": under, "filled": True}]
    bands = {"label": say("limit"), "below": True, "edges": _edges(limits, "drawdown", _LOSS)}
    wanted = _lines(known, hours, say("Drawdown"), "percent", lines)
    if wanted is not None:
        wanted |= {"bands": bands, "from_zero": True}
    return Chart(caption(known.status, f"{say('Drawdown')} · {span(hours)}", rows), wanted)


def _trend(known: Known, hours: float) -> Chart:
    now = fresh(known.status, known.status)
    points = known.series.get("equity_usd") or []
    values = _values(points)
    equity = now.get("equity_usd")
    rows = [spread(say("Equity"), f"{money(equity)} USD")]
    if values:
        first, peak, low = values[0][0], max(values), min(values)
        change = None if equity is None else equity - first
        share = change / first if change is not None and first > 0 else None
        rows += [
            spread(say("Since start"), f"{money(change, sign=True)}"),
            spread("", percent(share, sign=True)),
            spread(say("Peak"), money(peak[0])),
            spread(say("  at"), _moment(peak[1], hours)),
            spread(say("Low"), money(low[0])),
            spread(say("  at"), _moment(low[1], hours)),
            say("deposits and withdrawals included"),
        ]
    rows.append(spread(say("Drawdown"), percent(now.get("drawdown"))))
    wanted = _lines(
        known, hours, say("Equity, USD"), "usd", [{"label": say("now"), "points": points}]
    )
    if wanted is not None:
        wanted["peak"] = True
    return Chart(caption(known.status, f"{say('Equity')} · {span(hours)}", rows), wanted)


def _sectors(known: Known, hours: float) -> Chart:
    del hours  # of this moment
    now = fresh(known.status, known.exposure)
    slices = slices_of((now.get("breakdown") or {}).get("sectors") or {})
    total = sum(part["usd"] for part in slices)
    rows = [
        left(part["label"], 17)
        + right(f"{part['usd'] / total:.0%}", 5)
        # Sums of what is known are no whole: one without a price is named below.
        + right(money(part["usd"], 0), 12)
        for part in slices
    ]
    rows.append(_row(say("Gross"), now.get("gross_usd"), now.get("gross_exposure")))
    unpriced = now.get("unpriced") or []
    if unpriced:
        rows.append(say("without a price: {count}", count=len(unpriced)))
    shown_at = short_clock(known.exposure.get("as_of_ms") or 0)
    wanted = None
    if slices:
        wanted = {
            "kind": "donut",
            "title": say("Sectors"),
            "note": f"{say('gross exposure')} · {shown_at}",
            "center": [measure(now.get("gross_exposure"), "ratio"), f"{money(total, 0)} USD"],
            "slices": slices,
            "reader": looker(),
        }
    return Chart(caption(known.status, say("Sectors by gross exposure"), rows), wanted)


def slices_of(sums: Mapping[str, Document]) -> list[dict[str, Any]]:
    """Return the slices of a donut, largest first; what is small or one too many is `Other`.

    Args:
        sums: `gross_usd` by name.
    """
    sized = {name: float(part.get("gross_usd") or 0.0) for name, part in sums.items()}
    total = sum(sized.values())
    if not total > 0 or not math.isfinite(total):
        return []
    ordered = sorted(sized.items(), key=lambda item: (-item[1], item[0]))
    shown = [(n, usd) for n, usd in ordered[:SLICES_MAX] if usd / total >= SLICE_MIN]
    rest = total - sum(usd for _, usd in shown)
    slices: list[dict[str, Any]] = [
        {"label": name or say("none"), "usd": usd} for name, usd in shown
    ]
    if len(shown) < len([usd for usd in sized.values() if usd > 0]):
        slices.append({"label": say("Other"), "usd": rest, "is_rest": True})
    return slices


# ---------------------------------------------------------------- parts


def fresh(status: Document, document: Document) -> Document:
    """Return a document of this moment, empty when its figures are too old to be shown as now."""
    age_s = pages.data_age_s(status)
    return {} if age_s is None or age_s > pages.STALE_S else document


def caption(status: Document, title: str, rows: Sequence[str]) -> str:
    """Return the text under a picture: level, holds, that the data is old, title, table."""
    head = f"{pages.level_line(status)} · {pages.mode(status)}"
    lines = [escape(head), *(escape(h) for h in pages.halts(status)[:2])]
    age_s = pages.data_age_s(status)
    if age_s is None or age_s > pages.STALE_S:
        seen = pages.stale_words(age_s)
        lines.append(escape(say("⚫ {seen}: figures of now are left out", seen=seen)))
    moment = clock(status.get("as_of_ms") or 0)
    return "\n".join([*lines, escape(f"{title} · {moment}"), table(rows)])


def _lines(
    known: Known,
    hours: float,
    title: str,
    unit: str,
    lines: list[dict[str, Any]],
) -> Document | None:
    """Return what to draw, None when the first line has fewer than two values."""
    values = _values(lines[0]["points"])
    until_ms = float(known.status.get("as_of_ms") or 0)
    if len(values) < 2 or until_ms <= values[0][1]:
        return None
    since_ms = until_ms - hours * HOUR_MS
    # Half a picture of nothing says less than the other half alone.
    if values[0][1] > (since_ms + until_ms) / 2:
        since_ms = values[0][1]
    last = say("last {span}", span=span((until_ms - since_ms) / HOUR_MS))
    return {
        "kind": "lines",
        "title": title,
        "note": f"{last} · {zone_name(local_time(until_ms))}",
        "unit": unit,
        "reader": looker(),
        "since_ms": since_ms,
        "until_ms": until_ms,
        "series": lines,
        "events": _events(known),
    }


def _events(known: Known) -> list[dict[str, Any]]:
    """Return what happened: orange and red alerts by their ids, and what holds trading."""
    marks = []
    for row in [*(known.status.get("alerts") or []), *known.alerts]:
        level = str(row.get("worst_level") or row.get("level"))
        if level in {"orange", "red"} and row.get("since_ms"):
            marks.append({"ms": row["since_ms"], "label": str(row.get("id")), "level": level})
    for hold in known.status.get("holds") or []:
        if hold.get("since_ms") and hold.get("enforced", True):
            word = say("halt") if hold.get("state") == "HALTED" else say("hold")
            marks.append({"ms": hold["since_ms"], "label": word, "level": "red"})
    return marks


def _edges(limits: Sequence[Document], name: str, usual: tuple[float, float]) -> dict[str, float]:
    """Return where yellow, orange and red of a limit begin, in its own unit."""
    row = pages.worst(limits, name)
    if row is None or not row.get("limit"):
        return {}
    limit = float(row["limit"])
    yellow, orange = row.get("yellow") or usual[0], row.get("orange") or usual[1]
    return {"yellow": yellow * limit, "orange": orange * limit, "red": limit}


def _allowed(limits: Sequence[Document], name: str) -> list[str]:
    row = pages.worst(limits, name)
    if row is None:
        return []
    word = pages.level_word(row.get("level"))
    return [spread(say("  limit"), f"{measure(row.get('limit'), 'ratio')} {word}")]


def _extent(points: Series | None, hours: float) -> list[str]:
    values = [value for value, _ in _values(points or [])]
    if not values:
        return []
    low, high = (measure(v, "ratio") for v in (min(values), max(values)))
    extent = say("{low} to {high}", low=low, high=high)
    return [spread(say("  in {span}", span=span(hours)), extent)]


def _values(points: Series) -> list[tuple[float, float]]:
    """Return (value, UTC ms) of the points that have one."""
    return [(value, at) for at, value in points if value is not None and at is not None]


def _row(label: str, usd: float | None, share: float | None) -> str:
    return left(label, 14) + right(money(usd, 0), 11) + right(measure(share, "ratio"), 9)


def _moment(ms: float, hours: float) -> str:
    at = short_clock(ms)
    return at if hours <= 24 else f"{day(ms)} {at}"


def looker() -> Document:
    """Return what the drawing process must know of who looks at it."""
    who = reader()
    return {"zone": str(who.zone), "language": who.language, "theme": who.theme}
