"""What happens at any venue on any day is not told aloud: whoever is woken in vain stops looking.

The week that `make bench messages` plays is the long form of this.
"""

from __future__ import annotations

import pytest

from riskbot.core.model import Level
from tests.bench.week import DAY_MS, Tally, play

HOUR = 3_600_000 / DAY_MS
CALM_DAY = 16


def loud(tally: Tally) -> set[tuple[str, Level]]:
    return {(name, level) for (_, name, level), count in tally.loud.items() if count}


def test_sockets_that_are_cut_and_built_anew_wake_nobody() -> None:
    cuts = [(60.0 * minute, "break_stream") for minute in range(3, 55, 4)]
    silences = [(60.0 * minute, what) for minute, what in ((9.5, "silence"), (9.7, "sound"))]
    found = play(CALM_DAY, HOUR, [*cuts, *silences, (1_500.0, "refuse_read")])
    assert found.held()
    assert loud(found.tally) == set()
    assert not found.engine.state.alerts.firing


@pytest.mark.parametrize(
    ("begin", "end", "name"),
    [("silence", "sound", "blind_price"), ("down", "up", "blind_account")],
)
def test_sight_that_stays_lost_is_told_once_and_its_end_silently(
    begin: str, end: str, name: str
) -> None:
    found = play(CALM_DAY, HOUR / 3, [(900.0, begin), (950.0, end)])
    assert loud(found.tally) == {(name, Level.ORANGE)}
    assert sum(found.tally.loud.values()) == 1
    assert not found.engine.state.alerts.firing
