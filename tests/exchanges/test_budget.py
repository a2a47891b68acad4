"""The request budget: routine reads leave room, protective requests never wait."""

from __future__ import annotations

import pytest

from riskbot.core.model import RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._budget import Budget, shared_budget


def test_routine_stops_at_seventy_percent_and_urgent_goes_on() -> None:
    budget = Budget(100, 60_000)
    for _ in range(7):
        budget.spend(10, 0, is_urgent=False)
    with pytest.raises(VenueError) as caught:
        budget.spend(1, 1, is_urgent=False)
    assert caught.value.reason is RejectReason.RATE_LIMITED
    assert not caught.value.is_ambiguous
    for _ in range(10):
        budget.spend(10, 2, is_urgent=True)


def test_refused_routine_is_told_when_there_is_room_again() -> None:
    budget = Budget(100, 60_000)
    budget.spend(40, 0, is_urgent=False)
    budget.spend(30, 10_000, is_urgent=False)
    with pytest.raises(VenueError) as caught:
        budget.spend(20, 20_000, is_urgent=False)
    assert caught.value.retry_after_ms == 40_000
    budget.spend(20, 60_000, is_urgent=False)


def test_ban_stops_everything_until_it_ends() -> None:
    budget = Budget(100, 60_000)
    budget.ban(5_000, 1_000)
    with pytest.raises(VenueError) as caught:
        budget.spend(1, 2_000, is_urgent=True)
    assert caught.value.retry_after_ms == 4_000
    budget.spend(1, 6_000, is_urgent=True)


def test_shorter_ban_does_not_end_a_longer_one() -> None:
    budget = Budget(100, 60_000)
    budget.ban(5_000, 0)
    budget.ban(100, 0)
    with pytest.raises(VenueError):
        budget.spend(1, 4_000, is_urgent=True)


def test_weight_of_others_behind_the_same_address_counts() -> None:
    budget = Budget(100, 60_000)
    budget.spend(10, 0, is_urgent=False)
    budget.observe_used(65, 100)
    assert budget.used(100) == 65
    with pytest.raises(VenueError):
        budget.spend(10, 200, is_urgent=False)
    assert budget.used(60_200) == 0


def test_same_key_is_the_same_budget() -> None:
    assert shared_budget("a-test", 5, 1) is shared_budget("a-test", 5, 1)
    assert shared_budget("a-test", 5, 1) is not shared_budget("another", 5, 1)
