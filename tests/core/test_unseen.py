"""Losses while an account is out of sight: the worst case warns and denies, the kind one closes."""

from __future__ import annotations

from riskbot.core import actions, events
from riskbot.core.duty import EpisodeStage
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.model import PORTFOLIO, LedgerKind, Response, TradingState
from riskbot.core.settings import AccountSettings
from tests import builders
from tests.core.world import World, world

BOTH = {name: AccountSettings(exchange=name) for name in ("main", "other")}
DRAWDOWN = Drawdown(max=0.10, on_breach=Response.FLATTEN, latch=True)


def apart(
    main: dict[str, tuple[float, float]], other: dict[str, tuple[float, float]], *limits: object
) -> World:
    """Two accounts of 100,000 each; `other` has just gone out of sight."""
    made = world(
        *(limits or (DRAWDOWN,)),  # type: ignore[arg-type]
        held=main,
        elsewhere={"other": other},
        accounts=BOTH,
    )
    made.wait(2)
    made.deaf.add("other")
    made.muted.add("other")
    made.wait(20)
    assert made.engine.state.is_account_blind("other")
    return made


def drawdown(made: World) -> float:
    found = made.engine.state.scopes(made.now_ms)[PORTFOLIO].losses.drawdown
    assert found is not None
    return found


def test_gain_of_what_is_out_of_sight_makes_no_loss_smaller() -> None:
    # The short elsewhere would earn what the long here loses.
    made = apart({"BTC": (3, 50_000)}, {"BTC": (-3, 50_000)})
    made.price(BTC=42_000)
    made.wait(3)
    assert 0.119 < drawdown(made) < 0.121
    episode = made.engine.state.enforcement.episodes[PORTFOLIO, "drawdown"]
    # It may have earned it: entries are denied, and nothing is closed.
    assert episode.stage is EpisodeStage.UNCONFIRMED
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.REDUCING
    assert made.sent == []


def test_loss_of_what_is_out_of_sight_counts_and_closes_nothing_elsewhere() -> None:
    made = apart({"ETH": (5, 2_000), "BTC": (0.1, 50_000)}, {"BTC": (3, 50_000)})
    made.price(BTC=42_000)
    made.wait(3)
    assert 0.12 < drawdown(made) < 0.125
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.REDUCING
    assert made.sent == []


def test_loss_of_what_is_in_sight_is_acted_on_there_alone() -> None:
    made = apart({"BTC": (3, 50_000)}, {"ETH": (10, 2_000)})
    made.price(BTC=42_000)
    made.wait(5)
    assert {order.account for order in made.sent} == {"main"}
    assert made.quantity("BTC") == 0
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED


def test_gain_is_counted_again_once_it_is_seen_and_raises_no_peak_before() -> None:
    made = apart({"ETH": (5, 2_000), "BTC": (0.1, 50_000)}, {"BTC": (3, 50_000)})
    made.price(BTC=60_000)
    made.wait(120)
    # It was closed there while nobody saw it: no peak was ever reached, so nothing fell from one.
    made.held["other"].clear()
    made.deaf.clear()
    made.muted.clear()
    made.wait(10)
    assert not made.engine.state.is_account_blind("other")
    assert drawdown(made) < 0.01


def test_day_goes_on_by_what_was_last_seen() -> None:
    limit = DailyLoss(max=0.05, on_breach=Response.HALT)
    made = apart({"BTC": (2, 50_000)}, {"BTC": (-2, 50_000)}, limit)
    made.price(BTC=44_000)
    made.wait(3)
    episode = made.engine.state.enforcement.episodes[PORTFOLIO, "daily_loss"]
    assert episode.stage is EpisodeStage.UNCONFIRMED


def test_deposit_meanwhile_moves_units_by_what_is_likely() -> None:
    made = apart({"BTC": (1, 50_000)}, {"BTC": (3, 50_000)})
    made.price(BTC=52_000)
    made.wait(2)
    made.wallet["main"] += 100_000
    made.give(deposit(made))
    made.read("main")
    made.wait(3)
    (flow,) = [f for f in made.of(actions.BookFlow) if f.source == "ledger"]
    assert flow.navs[PORTFOLIO] > 1.03
    made.deaf.clear()
    made.muted.clear()
    made.wait(10)
    history = made.engine.state.meter.cashflows.histories["account:other"]
    assert history.sighted_usd is None
    assert drawdown(made) < 0.001


def deposit(made: World) -> events.LedgerEntryBooked:
    return events.LedgerEntryBooked(
        account="main",
        entry_id="d1",
        entry_kind=LedgerKind.DEPOSIT,
        asset="USDT",
        amount=builders.Decimal(100_000),
        venue_ms=made.now_ms,
    )


def test_equity_of_the_last_sight_outlives_a_restart() -> None:
    made = apart({"BTC": (3, 50_000)}, {"BTC": (-3, 50_000)})
    made.price(BTC=42_000)
    made.restart()
    made.give(builders.loaded("BTC/USDT:USDT", account="main"))
    made.price()
    made.read("main")
    made.wait(3)
    assert 0.119 < drawdown(made) < 0.121
    assert made.sent == []


def test_loss_of_the_time_the_guard_was_down_is_acted_on_with_the_first_read() -> None:
    made = world(DRAWDOWN, held={"BTC": (3, 50_000)})
    made.wait(2)
    made.marks["BTC/USDT:USDT"] = 44_000.0
    made.now_ms += 60_000
    made.restart()
    made.price()
    made.read()
    made.wait(1)
    assert made.quantity("BTC") == 0
    assert made.sent
