"""Rates of errors and orders, of all accounts and of each."""

from __future__ import annotations

import pytest

from riskbot.core import events
from riskbot.core.feeds import MEMORY, Feeds
from riskbot.core.limits.error_rate import ErrorRate
from riskbot.core.limits.order_rate import OrderRate
from riskbot.core.model import Level, RejectReason
from tests import builders
from tests.core.world import world

NOW = 1_700_000_000_000


def failed(account: str) -> events.RefreshFailed:
    return events.RefreshFailed(account=account, reason=RejectReason.UNREACHABLE, message="down")


def placed(account: str, order_id: str) -> events.OrderUpdated:
    return events.OrderUpdated(
        account=account, order=builders.order(account=account, order_id=order_id)
    )


def test_rates_count_the_last_minute_of_all_and_of_each() -> None:
    feeds = Feeds()
    for account in ("main", "main", "other"):
        feeds.apply(failed(account), NOW)
    for account, order_id in (("main", "a"), ("main", "a"), ("other", "b"), ("other", "c")):
        feeds.apply(placed(account, order_id), NOW)
    assert feeds.rates(NOW) == {"error_rate": 3, "order_rate": 3}
    assert feeds.rates(NOW, "main") == {"error_rate": 2, "order_rate": 1}
    assert feeds.rates(NOW, "other") == {"error_rate": 1, "order_rate": 2}
    assert feeds.rates(NOW, "third") == {"error_rate": 0, "order_rate": 0}
    assert feeds.rates(NOW + 60_001) == {"error_rate": 0, "order_rate": 0}
    assert Feeds.load(feeds.dump()) == feeds


def test_memory_is_bounded_oldest_forgotten_first() -> None:
    feeds = Feeds()
    for n in range(MEMORY + 5):
        feeds.apply(failed("main"), NOW)
        feeds.apply(placed("main", f"o{n}"), NOW)
    assert feeds.rates(NOW, "main") == {"error_rate": MEMORY, "order_rate": MEMORY}
    assert len(feeds.orders_on) == MEMORY


@pytest.mark.parametrize("scope", ["portfolio", "account:main"])
def test_limits_on_rates_are_judged_in_both_scopes(scope: str) -> None:
    made = world(ErrorRate(max=2), OrderRate(max=2), scope=scope)
    made.wait(2)
    for n in range(3):
        made.give(failed("main"))
        made.give(placed("main", f"o{n}"))
    made.wait(1)
    levels = {name: e.level for (_, name), e in made.engine.state.enforcement.episodes.items()}
    assert levels == {"error_rate": Level.RED, "order_rate": Level.RED}
