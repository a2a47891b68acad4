"""Time: how often something may be done again."""

from __future__ import annotations

from riskbot.clock import Pace


def taken(pace: Pace, until_ms: int, start_ms: int = 0) -> list[int]:
    """Return when it may be done, asked each second."""
    return [ms for ms in range(start_ms, until_ms, 1_000) if pace.take(ms)]


def test_pace_doubles_up_to_its_longest_while_it_is_asked_for() -> None:
    assert taken(Pace(10_000, 40_000), 200_000) == [0, 10_000, 30_000, 70_000, 110_000, 150_000,
                                                     190_000]  # fmt: skip


def test_pace_starts_anew_after_a_calm_time() -> None:
    pace = Pace(10_000, 40_000)
    taken(pace, 100_000)
    assert taken(pace, 320_000, 300_000) == [300_000, 310_000]
