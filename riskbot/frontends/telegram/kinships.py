"""What /correlation shows: a heat map in the order of what moves together, average and groups.

From the guard's document of `correlation` to the JSON that `chart` draws and the text beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from riskbot.frontends.telegram.charts import Chart, Link, caption, fresh, looker
from riskbot.frontends.telegram.figures import (
    UNKNOWN,
    WIDTH,
    measure,
    short_clock,
    spread,
    wrap,
)
from riskbot.frontends.telegram.pages import Document, listed, more
from riskbot.frontends.telegram.reader import say

CELLS_MAX = 20
"""Rows of a heat map that can still be read on a phone."""

GROUPS_MAX, NAMES_MAX = 3, 5
_NEVER = -2.0
"""Stands for a pair that is unknown: less alike than any known one."""

Matrix = Sequence[Sequence[float | None]]


def kinship(status: Document, document: Document, scope: str, argument: str) -> Chart:
    """Return the chart of /correlation.

    Args:
        status: the guard's.
        document: of the command.
        scope: as people call it.
        argument: what was written behind the command.
    """
    now = fresh(status, document)
    days = document.get("days")
    title = f"{say('Correlation, {days} days', days=days)} · {scope}"
    rows = [
        spread(say("Average"), _figure(now.get("average"))),
        spread(say("Of so many"), _count(now)),
        *_left_out(now),
    ]
    if now:
        rows += _groups(now)
    if now.get("unknown"):
        rows += wrap(say("unknown: {names}", names=listed(now["unknown"])))
    return Chart(
        caption(status, title, rows),
        _wanted(now, title),
        links=(
            Link(say("📉 VaR"), "var", argument),
            Link(say("🌪 Stress"), "stress", argument),
        ),
    )


def ordered(matrix: Matrix, groups: Sequence[Sequence[int]]) -> list[int]:
    """Return rows in an order in which those that move together stand together.

    Clusters grow by average linkage, each turned so that its most alike ends meet.

    Args:
        matrix: symmetric, None = unknown.
        groups: rows that stay together, no row in two.
    """
    alike = [[_NEVER if value is None else value for value in row] for row in matrix]
    grouped = [_joined([[row] for row in group], alike) for group in groups if group]
    taken = {row for group in grouped for row in group}
    return _joined([*grouped, *([row] for row in range(len(matrix)) if row not in taken)], alike)


def _joined(clusters: list[list[int]], alike: list[list[float]]) -> list[int]:
    while len(clusters) > 1:
        pairs = [(a, b) for b in range(len(clusters)) for a in range(b)]
        a, b = max(pairs, key=lambda pair: _mean(clusters[pair[0]], clusters[pair[1]], alike))
        second = clusters.pop(b)
        clusters[a] = _turned(clusters[a], second, alike)
    return clusters[0] if clusters else []


def _mean(one: Sequence[int], other: Sequence[int], alike: list[list[float]]) -> float:
    return sum(alike[a][b] for a in one for b in other) / (len(one) * len(other))


def _turned(one: list[int], other: list[int], alike: list[list[float]]) -> list[int]:
    ways = [(x, y) for x in (one, one[::-1]) for y in (other, other[::-1])]
    first, second = max(ways, key=lambda way: alike[way[0][-1]][way[1][0]])
    return [*first, *second]


# ---------------------------------------------------------------- the text


def _figure(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+.2f}"


def _count(now: Document) -> str:
    return str(len(now["underlyings"])) if now else UNKNOWN


def _left_out(now: Document) -> list[str]:
    count = now.get("left_out", 0)
    return wrap(say("the largest; {count} smaller ones left out", count=count)) if count else []


def _groups(now: Document) -> list[str]:
    groups, edge = now.get("groups") or [], now.get("grouped_from")
    if not groups:
        return wrap(say("no group of {edge} and more", edge=_figure(edge)))
    rows = ["", *wrap(say("Groups of {edge} and more", edge=_figure(edge)))]
    for group in groups[:GROUPS_MAX]:
        size = len(group["underlyings"])
        label = say("{count} together", count=size)
        rows.append(spread(label, measure(group.get("gross_exposure"), "ratio")))
        names = listed(group["underlyings"], NAMES_MAX)
        rows += [f"  {line}" for line in wrap(names, WIDTH - 2)]
    if len(groups) > GROUPS_MAX:
        rows.append(more(len(groups) - GROUPS_MAX))
    return rows


# ---------------------------------------------------------------- what is drawn


def _wanted(now: Document, title: str) -> Document | None:
    names = [str(name) for name in now.get("underlyings") or []]
    matrix, gross = now.get("matrix") or [], now.get("gross_usd") or []
    # Of what is unknown there is nothing to see: it is named in the text.
    known = [row for row in range(len(matrix)) if matrix[row][row] is not None]
    largest = sorted(known, key=lambda row: (-gross[row], names[row]))[:CELLS_MAX]
    if len(largest) < 2:
        return None
    part = [[matrix[a][b] for b in largest] for a in largest]
    shown = [names[row] for row in largest]
    groups = [list(rows) for rows in _places(now.get("groups") or [], shown)]
    order = ordered(part, groups)
    count = len(known) + now.get("left_out", 0)
    words = say("the {count} largest of {all}", count=len(largest), all=count)
    return {
        "kind": "heat",
        "title": title,
        "note": short_clock(now.get("as_of_ms") or 0),
        "reader": looker(),
        "above": words if count > len(largest) else "",
        "names": [shown[row] for row in order],
        "matrix": [[part[a][b] for b in order] for a in order],
        "groups": [[order.index(row) for row in group] for group in groups],
    }


def _places(groups: Sequence[Document], names: Sequence[str]) -> Iterator[list[int]]:
    """Yield the rows of each group of which at least two are shown."""
    for group in groups:
        members = set(group["underlyings"])
        rows = [row for row, name in enumerate(names) if name in members]
        if len(rows) > 1:
            yield rows
