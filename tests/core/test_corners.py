"""Corners of the deciding half: what happens seldom, and must still be right."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest

from riskbot.core import actions, events, hedging
from riskbot.core.commands.status import Status
from riskbot.core.duty import EpisodeStage, IntentKind
from riskbot.core.exposure import ScopeBook
from riskbot.core.feeds import MEMORY, Feeds
from riskbot.core.history import History
from riskbot.core.limits._base import Limit, Reading
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.hedge_drift import HedgeDrift
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.trades_per_day import TradesPerDay
from riskbot.core.model import (
    PORTFOLIO,
    Level,
    MarginReport,
    Mode,
    OrderStatus,
    PositionKey,
    PositionSide,
    RejectReason,
    Response,
    Side,
    TradingState,
)
from riskbot.core.rounding import ceil_to_step, floor_to_step
from riskbot.core.settings import AccountSettings, HedgeSettings
from riskbot.core.sizing import on_tick
from riskbot.core.trades import MEMORY as TRADES
from riskbot.core.trades import Trades
from riskbot.core.turn import Turn
from tests import builders
from tests.core.test_outcomes import Silent, settled
from tests.core.world import ADMIN, World, world

BTC = "BTC/USDT:USDT"
GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
TWO = {
    "main": AccountSettings(exchange="binanceusdm"),
    "other": AccountSettings(exchange="bybit"),
}


def key(symbol: str = BTC) -> PositionKey:
    return PositionKey("main", symbol, PositionSide.NET)


# ---------------------------------------------------------------- small things


def test_rounding_without_a_step_keeps_the_quantity() -> None:
    odd = Decimal("1.2345")
    assert floor_to_step(odd, Decimal(0)) == ceil_to_step(odd, Decimal(0)) == odd
    assert on_tick(1.2345, Side.BUY, Decimal(0)) == odd
    assert Side.SELL.opposite is Side.BUY


def test_command_that_needs_no_plan_says_so() -> None:
    made = world(GROSS)
    turn = Turn(made.engine.state, made.engine.settings, made.now_ms)
    assert Status().plan(turn, ADMIN).refusal


def test_history_notes_a_price_that_moved_far_once() -> None:
    history = History()
    assert not history.has_moved("main", BTC, 100.0, 0.02)
    for price in (110.0, 111.0):
        assert history.has_moved("main", BTC, price, 0.02)
        history.note("main", BTC)
    assert history.moved == [("main", BTC)]


def test_history_measures_a_price_against_what_it_was_at_the_last_row() -> None:
    history = History()
    for price in (100.0, 101.0):
        assert not history.has_moved("main", BTC, price, 0.02)
    history.apply(actions.RecordExposure(cause="fill", row={}), 1)
    assert not history.has_moved("main", BTC, 103.0, 0.02)
    assert history.has_moved("main", BTC, 103.1, 0.02)
    history.apply(actions.RecordExposure(cause="timer", row={}), 2)
    assert history.has_moved("main", BTC, 103.1, 0.02)


def test_history_in_another_currency_moves_with_the_price_not_with_the_rate() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.give(events.AssetPriced(account="main", asset="USDT", price_usd=0.9, source="x"))
    made.wait(2)
    rows = len(made.of(actions.RecordExposure))
    made.price(BTC=50_100)
    made.price(BTC=50_050)
    assert len(made.of(actions.RecordExposure)) == rows


def test_order_ids_of_a_minute_are_bounded() -> None:
    feeds = Feeds()
    for number in range(MEMORY + 5):
        order = builders.order(order_id=str(number))
        feeds.apply(events.OrderUpdated(account="main", order=order), number)
    assert len(feeds.orders_ms) == MEMORY


def test_trades_count_once_are_bounded_and_forget_days_gone() -> None:
    trades = Trades()
    first = builders.fill(trade_id="0", order_id="0", fee="5", fee_asset="USDT")
    trades.apply(first, 1)
    trades.apply(first, 2)
    lot = trades.lots[key()]
    assert (lot.quantity, lot.pnl) == (1, -5)
    for number in range(1, TRADES + 5):
        fill = builders.fill(trade_id=str(number), order_id=str(number))
        trades.apply(fill, number)
    assert len(trades.seen) == TRADES
    trades.apply(builders.fill(trade_id="late", order_id="late"), 30 * 3_600_000)
    assert list(trades.orders["main"]) == ["late"]


def test_trades_per_day_when_restarted_are_still_counted() -> None:
    made = world(TradesPerDay(max=1, on_breach=Response.DENY), held={"BTC": (1, 50_000)})
    made.wait(1)
    for number in range(3):
        made.now_ms += 1
        made.give(builders.fill(trade_id=f"n{number}", order_id=f"n{number}"))
    made.wait(1)
    made.restart()
    made.wait(2)
    (row,) = made.command("limits").document
    assert row["measured"] == 3
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.REDUCING


def test_price_that_is_insane_from_the_start_is_no_price() -> None:
    made = world(GROSS)
    made.give(builders.prices("NEW/USDT:USDT", float("nan")))
    assert made.engine.state.price("main", "NEW/USDT:USDT") is None


def test_checkpoint_when_loaded_knows_what_is_held() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    other = type(made.engine)(made.engine.settings, "rbtest")
    other.load(made.engine.dump())
    assert other.state.holdings().quantity == {key(): Decimal(1)}


# ---------------------------------------------------------------- limits that break


class Broken(Limit):
    """A limit with a bug."""

    name = "gross_exposure"

    def read(self, book: ScopeBook) -> list[Reading]:
        raise ZeroDivisionError(book.scope)


class Mute(Limit):
    """A limit that reads nothing."""

    name = "gross_exposure"

    def read(self, book: ScopeBook) -> list[Reading]:
        return []


def test_limit_that_breaks_is_unknown_and_stops_no_other() -> None:
    made = world(Broken(max=1), DRAWDOWN, held={"BTC": (2, 50_000)})
    made.price(BTC=42_000)
    made.wait(3)
    assert made.quantity("BTC") == 0
    row = made.command("limits").document[0]
    assert (row["level"], row["reason"]) == ("unknown", "ZeroDivisionError: portfolio")


def test_limit_that_reads_nothing_is_in_no_breach() -> None:
    made = world(Mute(max=1), held={"BTC": (2, 50_000)})
    (row,) = made.command("limits").document
    assert (row["level"], row["measured"]) == ("ok", 0.0)


def test_limit_of_a_scope_that_is_gone_is_left_out() -> None:
    made = world(GROSS, held={"BTC": (2, 50_000)}, scope="account:gone")
    made.wait(1)
    assert not made.engine.state.enforcement.episodes
    assert "nothing" in made.command("reduce").message


def test_episode_whose_figure_was_no_number_is_written_anew() -> None:
    made = world(GROSS, held={"BTC": (-3.6, 50_000)})
    before = made.engine.state.enforcement.episodes[PORTFOLIO, "gross_exposure"]
    made.engine.fold(actions.SetEpisode(episode=replace(before, utilization=None)), made.now_ms)
    made.wait(1)
    after = made.engine.state.enforcement.episodes[PORTFOLIO, "gross_exposure"]
    assert after.utilization == pytest.approx(0.9, abs=0.01)


def test_level_when_red_stays_until_the_clearing_share() -> None:
    made = world(GrossExposure(max=2.0, on_breach=Response.DENY), held={"BTC": (-3.6, 50_000)})
    made.price(BTC=53_000)
    made.price(BTC=51_000)
    made.wait(1)
    found = made.engine.state.enforcement.episodes[PORTFOLIO, "gross_exposure"]
    assert (found.level, found.stage) == (Level.RED, EpisodeStage.CLEARING)
    assert made.engine.is_orange_or_worse()


def test_hold_of_a_limit_that_was_away_stays_until_it_has_been_clear() -> None:
    made = world(GROSS, held={"BTC": (-3.6, 50_000)})
    made.price(BTC=53_000)
    made.wait(3)
    made.restart(builders.settings(mode=Mode.ENFORCE))
    made.restart(builders.settings(mode=Mode.ENFORCE, limits=((PORTFOLIO, GROSS),)))
    made.somebody_trades("BTC", "2")
    made.wait(5)
    assert (PORTFOLIO, "gross_exposure") in made.engine.state.enforcement.holds
    made.wait(320)
    assert (PORTFOLIO, "gross_exposure") not in made.engine.state.enforcement.holds


def test_calendar_hold_when_midnight_passes_out_of_sight_waits_for_the_new_day() -> None:
    made = world(DailyLoss(max=0.03, on_breach=Response.HALT), held={"BTC": (1, 50_000)})
    made.price(BTC=46_000)
    made.wait(2)
    made.deaf.add("main")
    made.muted.add("main")
    made.now_ms += 2 * 3_600_000
    made.wait(3)
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED
    made.deaf.clear()
    made.muted.clear()
    made.wait(3)
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.ACTIVE


# ---------------------------------------------------------------- confirmation


def margin_world() -> World:
    limit = MaintenanceMargin(max=0.3, on_breach=Response.REDUCE)
    made = world(limit, held={"BTC": (-2, 50_000)}, scope="account:main")
    made.margin = MarginReport(equity_usd=100_000, maintenance_usd=27_000)
    made.now_ms += 1_000
    made.read()
    return made


def test_margin_when_sources_disagree_follows_the_mark_after_three_seconds() -> None:
    made = margin_world()
    sent = []
    for _ in range(5):
        made.now_ms += 1_000
        others = {"index": 50_000, "bid": 49_999, "ask": 50_001}
        made.give(builders.prices(BTC, 58_000, venue_ms=made.now_ms, **others))
        made.give(events.TimerFired())
        sent.append(len(made.sent))
    assert sent[:3] == [0, 0, 0]
    assert sent[-1] > 0


def test_single_source_is_asked_for_once_a_second() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.deaf.add("main")
    made.now_ms += 10_000
    for step in range(4):
        made.now_ms += 100
        made.give(builders.prices(BTC, 42_000 - step, venue_ms=made.now_ms))
    assert len([a for a in made.of(actions.RefreshAccount) if a.reason == "confirm"]) == 1


# ---------------------------------------------------------------- work


def test_close_when_reads_fail_although_the_stream_lives_goes_without_one() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.rest("BTC", "buy", "1", price=30_000)
    made.read()
    made.deaf.add("main")
    made.price(BTC=42_000)
    for _ in range(20):
        made.now_ms += 1_000
        made.give(events.FeedAlive(account="main", feed="account"))
        made.price()
        made.give(events.TimerFired())
    assert made.quantity("BTC") == 0
    assert len(made.sent) == 1


def test_close_when_nothing_was_read_since_the_start_waits() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.deaf.add("main")
    made.restart()
    made.confirm("flatten")
    for _ in range(20):
        made.now_ms += 1_000
        made.give(events.TimerFired())
    assert not made.sent


def test_lost_order_asks_for_the_read_that_settles_it() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)}, kind=Silent)
    made.hides = True  # type: ignore[attr-defined]
    made.price(BTC=42_000)
    made.deaf.add("main")
    for _ in range(50):
        made.now_ms += 300
        made.give(events.TimerFired())
    asked = [ts for ts, r in made.journal if getattr(r, "reason", "") == "lost order"]
    assert min(b - a for a, b in itertools.pairwise(asked)) >= 1_000
    made.deaf.clear()
    made.now_ms += 1_000
    made.give(events.TimerFired())
    assert settled(made) == ["seen in the position"]


def test_order_of_an_absorbed_intent_settles_by_itself() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)}, kind=Silent)
    made.rests = True  # type: ignore[attr-defined]
    made.price(BTC=42_000)
    (order,) = made.sent
    made.confirm("flatten")
    done = builders.order(
        order.symbol,
        order.side,
        order.quantity,
        order_id="r1",
        client_order_id=order.client_order_id,
        status=OrderStatus.CANCELED,
    )
    made.give(events.OrderUpdated(account="main", order=done))
    assert settled(made) == ["done"]


def test_reprice_touches_its_own_order_alone() -> None:
    held = {"BTC": (2, 50_000), "ETH": (10, 2_000)}
    made = world(DRAWDOWN, held=held, kind=Silent)
    made.rests = True  # type: ignore[attr-defined]
    made.price(BTC=40_000)
    first, second = made.sent
    made.give(events.CancelFinished(account="main", symbol=first.symbol, order_id="r1", done=True))
    made.engine.fold(
        actions.CancelOrder(account="main", symbol=first.symbol, order_id="r1"), made.now_ms
    )
    made.engine.fold(
        events.CancelFinished(account="main", symbol=first.symbol, order_id="r1", done=True),
        made.now_ms,
    )
    pending = made.engine.state.enforcement.pending
    assert pending[first.client_order_id].is_unknown
    assert not pending[second.client_order_id].is_unknown


def test_cancel_in_flight_outlives_the_intent_that_sent_it() -> None:
    made = world(DRAWDOWN, held={"BTC": (1, 50_000)})
    state = made.engine.state.enforcement
    made.engine.fold(actions.CancelOrder(account="main", symbol=BTC, order_id="a"), made.now_ms)
    made.engine.fold(actions.CancelOrder(account="main", symbol=BTC, order_id="b"), made.now_ms)
    made.engine.fold(
        events.CancelFinished(account="main", symbol=BTC, order_id="b", done=False), made.now_ms
    )
    made.engine.fold(actions.EndIntent(account="main", intent_id=1, outcome="x"), made.now_ms)
    assert list(state.cancels) == [("main", "a")]


def test_reduce_of_an_operator_joins_the_one_under_way() -> None:
    made = world(GROSS, held={"BTC": (-3.6, 50_000)})
    made.refuse.extend([RejectReason.RATE_LIMITED] * 2)
    made.price(BTC=53_000)
    made.confirm("reduce")
    (intent,) = made.engine.state.enforcement.intents.values()
    assert (intent.kind, len(intent.targets)) == (IntentKind.REDUCE, 1)
    made.wait(10)
    assert made.replies()[-1].is_final
    assert abs(made.quantity("BTC")) < Decimal("3.6")


def test_hedge_that_does_not_come_about_gives_way_to_then() -> None:
    limit = NetExposure(max=0.5, on_breach=Response.HEDGE, within_s=3, then=Response.REDUCE)
    made = world(
        limit,
        held={"ETH": (10, 2_000)},
        accounts=TWO,
        hedges={"ETH": HedgeSettings("other", "ETH/USDT:USDT", 500_000)},
        usdt=20_000,
    )
    made.wait(1)
    made.refuse.extend([RejectReason.OTHER] * 4)
    made.somebody_trades("ETH", "8")
    made.wait(15)
    assert "reduced instead" in [a.outcome for a in made.of(actions.EndIntent)]
    assert made.quantity("ETH") < 18


def test_hedge_of_a_figure_in_usd_stops_at_its_target() -> None:
    made = world(
        NetDelta(max=25_000, on_breach=Response.HEDGE),
        held={"ETH": (10, 2_000)},
        accounts=TWO,
        hedges={"ETH": HedgeSettings("other", "ETH/USDT:USDT", 500_000)},
    )
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH", "other") == Decimal("-6.75")


def test_hedge_when_nothing_is_left_offsets_all() -> None:
    made = world(
        NetExposure(max=0.5, on_breach=Response.HEDGE),
        held={"ETH": (-10, 2_000)},
        accounts=TWO,
        hedges={"ETH": HedgeSettings("other", "ETH/USDT:USDT", 500_000)},
        usdt=20_000,
    )
    made.wait(1)
    made.price(ETH=8_000)
    made.wait(5)
    assert made.quantity("ETH", "other") == 10
    episode = made.engine.state.enforcement.episodes.get((PORTFOLIO, "net_exposure"))
    turn = Turn(made.engine.state, made.engine.settings, made.now_ms)
    limit = made.engine.state.limit(PORTFOLIO, "net_exposure")
    assert limit is not None
    assert episode is not None
    assert hedging.offsets(turn, episode, limit, None) == []


def test_hedge_within_the_other_limits_is_opened_and_stays_while_a_price_is_missing() -> None:
    made = world(
        NetExposure(max=0.5, on_breach=Response.HEDGE),
        GrossExposure(max=5),
        held={"ETH": (10, 2_000)},
        accounts=TWO,
        hedges={"ETH": HedgeSettings("other", "ETH/USDT:USDT", 500_000)},
        usdt=20_000,
    )
    made.somebody_trades("ETH", "8")
    made.wait(5)
    hedge = made.quantity("ETH", "other")
    assert hedge < 0
    row = builders.position("XYZ/USDT:USDT", 1, 10)
    made.deaf.add("main")
    made.now_ms += 1
    made.give(events.PositionsUpdated(account="main", positions=(row,)))
    made.somebody_trades("ETH", "-18")
    made.wait(5)
    assert made.quantity("ETH", "other") == hedge


def test_hedge_drift_of_one_pair_leaves_the_others_alone() -> None:
    made = world(
        HedgeDrift(max=0.05, on_breach=Response.HEDGE),
        held={"ETH": (10, 2_000), "BTC": (1, 50_000)},
        elsewhere={"other": {"ETH": (-10, 2_000), "BTC": (-1, 50_000)}},
        accounts=TWO,
        hedges={
            "ETH": HedgeSettings("other", "ETH/USDT:USDT", 500_000),
            "BTC": HedgeSettings("other", "BTC/USDT:USDT", 500_000),
        },
    )
    made.somebody_trades("ETH", "5")
    made.wait(5)
    assert (made.quantity("ETH", "other"), made.quantity("BTC", "other")) == (-15, -1)


def test_reduce_when_its_limit_is_gone_is_given_up() -> None:
    made = world(GROSS, held={"BTC": (-3.6, 50_000)})
    made.rest("BTC", "sell", "1", price=60_000)
    made.read()
    made.keep = 100
    made.price(BTC=53_000)
    made.restart(builders.settings(mode=Mode.ENFORCE))
    made.wait(2)
    assert not made.engine.state.enforcement.intents
    assert not made.sent


# ---------------------------------------------------------------- spot


def spot_world() -> World:
    accounts = {"main": AccountSettings(exchange="binance", spot="trade")}
    made = world(DRAWDOWN, accounts=accounts, usdt=10_000)
    made.marks["BTC/USDT"] = 50_000
    made.airdrops = (builders.balance("BTC", 2, free=1),)
    made.give(builders.loaded("BTC/USDT"))
    made.price()
    made.rest("BTC", "sell", "1", price=60_000)
    order = builders.order("BTC/USDT", "sell", 1, order_id="tp", price=60_000)
    made.orders["main"] = {"tp": order}
    made.now_ms += 1_000
    made.price()
    made.read()
    return made


def test_flatten_of_coins_cancels_the_sells_that_lock_them() -> None:
    made = spot_world()
    made.wait(70)
    targets = made.engine.state.flatten_targets(made.now_ms, ("main",))
    assert [t.quantity for t in targets] == [0]
    assert made.engine.state.is_locked(targets[0])
    made.refuse.extend([RejectReason.RATE_LIMITED] * 9)
    made.confirm("flatten")
    assert [c.order_id for c in made.of(actions.CancelOrder)] == ["tp"]


def test_coins_that_are_not_held_any_more_cannot_be_closed() -> None:
    made = spot_world()
    coin = PositionKey("main", "BTC/USDT", PositionSide.NET)
    made.airdrops = ()
    made.now_ms += 1_000
    made.read()
    assert made.engine.state.closable(coin) == 0
    assert not made.engine.state.is_fresh("gone", made.now_ms)


def test_coins_need_a_read_before_a_close_however_alive_the_stream_is() -> None:
    made = spot_world()
    made.now_ms += 2_000
    made.give(events.FeedAlive(account="main", feed="account"))
    assert not made.engine.state.is_fresh("main", made.now_ms)
    made.read()
    assert made.engine.state.is_fresh("main", made.now_ms)
