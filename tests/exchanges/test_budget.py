"""The request budget: routine reads leave room, protective requests never wait."""

from __future__ import annotations

import pytest

from riskbot.core.model import RejectReason
from riskbot.errors import VenueError
from riskbot.exchanges._budget import Budget, Lane, shared_budget
from riskbot.exchanges._endpoints import USUAL, Endpoints, lane_of


def test_routine_stops_at_sixty_reads_at_seventy_and_orders_go_on() -> None:
    budget = Budget(1000, 60_000)
    budget.spend(600, 0, Lane.ROUTINE)
    for lane, left in ((Lane.ROUTINE, 0), (Lane.READ, 100)):
        if left:
            budget.spend(left, 0, lane)
        with pytest.raises(VenueError) as caught:
            budget.spend(1, 1, lane)
        assert caught.value.reason is RejectReason.RATE_LIMITED
        assert not caught.value.is_ambiguous
    for _ in range(300):
        budget.spend(1, 2, Lane.ORDER)


def test_reads_that_serve_a_close_have_their_tenth_whoever_uses_up_the_rest() -> None:
    budget = Budget(1000, 60_000)
    budget.observe_used(990, 0)
    for _ in range(10):
        budget.spend(10, 0, Lane.READ)
    with pytest.raises(VenueError) as caught:
        budget.spend(10, 1_000, Lane.READ)
    assert caught.value.retry_after_ms == 59_000
    budget.spend(1, 1_000, Lane.ORDER)


def test_only_orders_spend_and_old_ones_are_forgotten() -> None:
    budget = Budget(100, 1_000)
    for ms in range(50_000):
        budget.spend(1, ms, Lane.ORDER)
    assert budget.used(50_000) == pytest.approx(999, abs=1)
    assert budget.used(60_000) == 0


def test_load_says_how_much_is_used_and_what_the_venue_asked_for() -> None:
    budget = Budget(100, 60_000)
    budget.spend(25, 0, Lane.ORDER)
    assert (budget.load(0).used_ratio, budget.load(0).until_ms) == (0.25, None)
    budget.ban(5_000, 1_000, "429 -1003")
    assert (budget.load(2_000).until_ms, budget.load(2_000).detail) == (6_000, "429 -1003")
    assert budget.load(6_000).until_ms is None


def test_refused_routine_is_told_when_there_is_room_again() -> None:
    budget = Budget(100, 60_000)
    budget.spend(40, 0, Lane.ROUTINE)
    budget.spend(20, 10_000, Lane.ROUTINE)
    with pytest.raises(VenueError) as caught:
        budget.spend(20, 20_000, Lane.ROUTINE)
    assert caught.value.retry_after_ms == 40_000
    budget.spend(20, 60_000, Lane.ROUTINE)


def test_ban_stops_everything_until_it_ends() -> None:
    budget = Budget(100, 60_000)
    budget.ban(5_000, 1_000)
    with pytest.raises(VenueError) as caught:
        budget.spend(1, 2_000, Lane.ORDER)
    assert caught.value.retry_after_ms == 4_000
    budget.spend(1, 6_000, Lane.ORDER)


def test_shorter_ban_does_not_end_a_longer_one() -> None:
    budget = Budget(100, 60_000)
    budget.ban(5_000, 0)
    budget.ban(100, 0)
    with pytest.raises(VenueError):
        budget.spend(1, 4_000, Lane.ORDER)


def test_weight_of_others_behind_the_same_address_counts() -> None:
    budget = Budget(100, 60_000)
    budget.spend(10, 0, Lane.ROUTINE)
    budget.observe_used(65, 100)
    assert budget.used(100) == 65
    with pytest.raises(VenueError):
        budget.spend(10, 200, Lane.ROUTINE)
    assert budget.used(60_200) == 0


def test_same_key_is_the_same_budget() -> None:
    assert shared_budget("a-test", 5, 1) is shared_budget("a-test", 5, 1)
    assert shared_budget("a-test", 5, 1) is not shared_budget("another", 5, 1)


# ---------------------------------------------------------------- endpoints


@pytest.mark.parametrize(
    ("method", "lane"),
    [
        ("create_order", Lane.ORDER),
        ("cancel_order", Lane.ORDER),
        ("fapiPrivatePostOrder", Lane.ORDER),
        ("privateDeleteOrder", Lane.ORDER),
        ("fapiPrivateDeleteAlgoOrder", Lane.ORDER),
        ("privatePostV5OrderCancel", Lane.ORDER),
        ("privatePostTradeOrder", Lane.ORDER),
        ("fapiPrivateV3GetAccount", Lane.READ),
        ("privateGetV5OrderRealtime", Lane.READ),
        ("fetch_open_orders", Lane.READ),
        ("load_markets", Lane.READ),
    ],
)
def test_what_changes_something_is_an_order_and_the_rest_a_read(method: str, lane: Lane) -> None:
    assert lane_of(method, is_urgent=True) is lane
    assert lane_of(method, is_urgent=False) is Lane.ROUTINE


def test_endpoint_has_its_documented_limit_or_the_usual_one_or_none() -> None:
    endpoints = Endpoints({USUAL: (50, 1_000), "v5/order/create": (10, 1_000)})
    assert endpoints.of("privatePostV5OrderCreate").capacity == 10
    assert endpoints.of("privateGetV5PositionList").capacity == 50
    assert endpoints.of("publicGetV5MarketTickers").capacity == float("inf")
    assert endpoints.of("fetch_balance").capacity == float("inf")
    assert endpoints.at("/v5/order/create") == [endpoints.of("privatePostV5OrderCreate")]
    assert endpoints.at("/v5/order") == []


def test_endpoint_paces_routine_at_sixty_percent_and_all_at_its_limit() -> None:
    budget = Endpoints({"v5/order/create": (10, 1_000)}).of("privatePostV5OrderCreate")
    for ms in range(6):
        assert budget.pace_ms(ms, Lane.ROUTINE) == 0
        budget.spend(1, ms, Lane.ORDER)
    assert budget.pace_ms(6, Lane.ROUTINE) == 1_194
    for ms in range(6, 10):
        assert budget.pace_ms(ms, Lane.ORDER) == 0
        budget.spend(1, ms, Lane.ORDER)
    assert budget.pace_ms(10, Lane.ORDER) == 1_190
    assert budget.pace_ms(1_200, Lane.ORDER) == 0


def test_wait_of_one_endpoint_is_of_that_alone() -> None:
    endpoints = Endpoints({})
    endpoints.of("a").ban(5_000, 0, "a: 429")
    endpoints.of("b").ban(9_000, 0, "b: 429")
    endpoints.of("c").check_ban(0)
    with pytest.raises(VenueError):
        endpoints.of("a").check_ban(4_999)
    waiting = endpoints.banned(1_000)
    assert waiting
    assert waiting.load(1_000).detail == "b: 429"
    assert endpoints.banned(9_000) is None
