"""Time: the wall clock once, then what has passed; how often something may be done again."""

from __future__ import annotations

from dataclasses import dataclass

from riskbot.clock import Pace, SystemClock

HOUR_NS = 3_600_000_000_000


@dataclass
class Machine:
    """What a machine's own clocks say."""

    wall: int = 1_700_000_000_000_000_000
    elapsed: int = 5_000_000_000

    def wall_ns(self) -> int:
        return self.wall

    def elapsed_ns(self) -> int:
        return self.elapsed


def test_stepped_wall_clock_moves_nothing() -> None:
    machine = Machine()
    clock = SystemClock(machine.wall_ns, machine.elapsed_ns)
    machine.wall -= HOUR_NS
    machine.elapsed += 250_000_000
    assert clock.now_ms() == 1_700_000_000_250


def test_time_in_suspend_has_passed() -> None:
    # Given a machine that slept for an hour: what was seen before is an hour old.
    machine = Machine()
    clock = SystemClock(machine.wall_ns, machine.elapsed_ns)
    machine.elapsed += HOUR_NS
    assert clock.now_ms() == 1_700_000_000_000 + 3_600_000


def test_clock_starts_from_the_wall_clock_and_goes_on() -> None:
    clock = SystemClock(lambda: 1_700_000_000_000_000_000)
    first, second = clock.now_ms(), clock.now_ms()
    assert 1_700_000_000_000 <= first <= second
    assert clock.monotonic_ns() <= clock.monotonic_ns()


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
