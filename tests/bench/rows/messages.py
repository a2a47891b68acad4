"""How many messages a week of ordinary trading makes, and which: through the core, time flying."""

from __future__ import annotations

from collections import Counter

from riskbot.core.model import Level
from tests.bench import week
from tests.bench.table import Row, bounded, figure

FIRST_DAY = 8
"""Of January 2022: the market neither calm nor in a rush, days of 2 to 6 % from low to high."""

LOUD_GOAL, ALL_GOAL = 5.0, 10.0
"""A day, outside of red episodes (telegram.md section 7; the second is the bound)."""

KINDS_SHOWN = 6


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    days = 1 if is_quick else 7
    tally = week.play(FIRST_DAY, days).tally
    last = FIRST_DAY + days - 1
    what = f"{FIRST_DAY} to {last} January 2022, `leveraged`, a bot that trades"
    red = sum(n for (_, _, level), n in tally.fresh.items() if level is Level.RED)
    return [
        _row(f"{what}: loud messages a day outside red", tally.loud, days, LOUD_GOAL),
        _row(f"{what}: messages a day outside red", tally.fresh, days, ALL_GOAL),
        Row(f"{what}: of red episodes, edits", f"{red} messages, {tally.edits} edits in all"),
        *_kinds(tally.fresh, tally.loud),
    ]


def _row(what: str, counts: Counter[tuple[int, str, Level]], days: int, goal: float) -> Row:
    by_day = [0] * days
    for (day, _, level), count in counts.items():
        by_day[day] += count * (level is not Level.RED)
    worst = f"the busiest day {max(by_day)}, the calmest {min(by_day)}"
    return bounded(what, sum(by_day) / days, goal, "a day", worst)


def _kinds(
    fresh: Counter[tuple[int, str, Level]], loud: Counter[tuple[int, str, Level]]
) -> list[Row]:
    """Return the kinds that make most messages, all else in one line."""
    every: Counter[tuple[str, Level]] = Counter()
    aloud: Counter[tuple[str, Level]] = Counter()
    for counts, found in ((fresh, every), (loud, aloud)):
        for (_, name, level), count in counts.items():
            found[name, level] += count
    rows = [
        Row(
            f"of them {name}, {level.value}",
            f"{figure(count)} messages",
            f"loud: {figure(aloud[name, level])}",
        )
        for (name, level), count in every.most_common(KINDS_SHOWN)
    ]
    rest = sum(count for _, count in every.most_common()[KINDS_SHOWN:])
    return [*rows, Row("of them all others", f"{figure(rest)} messages")]
