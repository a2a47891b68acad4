"""Episodes to work: scope, pairs over accounts, absorbing, hedges, what ends by itself."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from riskbot.core import actions, events
from riskbot.core.duty import IntentKind
from riskbot.core.limits._base import Limit
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.hedge_drift import HedgeDrift
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.open_positions import OpenPositions
from riskbot.core.model import (
    PORTFOLIO,
    Mode,
    RejectReason,
    Response,
    TradingState,
)
from riskbot.core.reach import accounts_of
from riskbot.core.settings import AccountSettings, HedgeSettings, StrategySettings
from riskbot.core.turn import Turn
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
TWO = {
    "main": AccountSettings(exchange="binanceusdm"),
    "other": AccountSettings(exchange="bybit"),
}
ETH = "ETH/USDT:USDT"


def intents(made: World) -> list[IntentKind]:
    return [i.kind for i in made.engine.state.enforcement.intents.values()]


def silence(made: World, account: str) -> None:
    made.deaf.add(account)
    made.muted.add(account)


def heal(made: World) -> None:
    made.deaf.clear()
    made.muted.clear()


# ---------------------------------------------------------------- pairs over accounts


def pair(*limits: Limit, **fields: object) -> World:
    """Build a world with a pair over two accounts, and something that can lose."""
    return world(
        *limits,
        held={"BTC": (1, 50_000), "ETH": (20, 2_000)},
        elsewhere={"other": {"BTC": (-1, 50_000)}},
        accounts=TWO,
        usdt=50_000,
        **fields,
    )


def test_flatten_when_a_pair_spans_two_accounts_closes_both_legs() -> None:
    made = pair(DRAWDOWN)
    made.price(ETH=1_000)
    made.wait(5)
    assert made.quantity("BTC") == made.quantity("ETH") == 0
    assert made.quantity("BTC", "other") == 0


def test_flatten_when_one_leg_is_out_of_sight_keeps_both_until_it_is_back() -> None:
    made = pair(DRAWDOWN)
    made.wait(20)
    silence(made, "other")
    made.wait(20)
    made.price(ETH=1_000)
    made.wait(5)
    assert made.quantity("ETH") == 0
    assert made.quantity("BTC") == 1
    assert made.quantity("BTC", "other") == -1
    (told,) = made.told("kept_pair")
    assert "hedges BTC/USDT:USDT on other" in told.alert.text
    heal(made)
    made.wait(10)
    assert made.quantity("BTC") == made.quantity("BTC", "other") == 0
    assert made.told("kept_pair")[-1].alert.resolved_ms is not None


def test_flatten_by_an_operator_when_one_leg_is_out_of_sight_waits_for_it_too() -> None:
    made = pair(DRAWDOWN)
    made.wait(20)
    silence(made, "other")
    made.wait(20)
    made.confirm("flatten")
    made.wait(5)
    assert (made.quantity("BTC"), made.quantity("ETH")) == (1, 0)
    heal(made)
    made.wait(10)
    assert made.quantity("BTC") == made.quantity("BTC", "other") == 0


def test_reduce_when_the_largest_is_out_of_sight_closes_what_is_in_sight() -> None:
    made = world(
        GROSS,
        held={"ETH": (40, 2_000)},
        elsewhere={"other": {"BTC": (3, 50_000)}},
        accounts=TWO,
        usdt=60_000,
    )
    made.wait(20)
    silence(made, "other")
    made.wait(20)
    made.somebody_trades("ETH", "120")
    made.wait(5)
    assert made.quantity("BTC", "other") == 3
    assert Decimal(40) <= made.quantity("ETH") < 160


def test_reduce_when_it_hedges_what_is_out_of_sight_keeps_it() -> None:
    made = world(
        GROSS,
        held={"BTC": (-1, 50_000), "ETH": (40, 2_000)},
        elsewhere={"other": {"BTC": (1, 50_000)}},
        accounts=TWO,
        usdt=60_000,
    )
    made.wait(20)
    silence(made, "other")
    made.wait(20)
    made.somebody_trades("ETH", "120")
    made.wait(5)
    assert made.quantity("BTC") == -1
    assert made.quantity("ETH") < 160


# ---------------------------------------------------------------- absorbing


def test_flatten_absorbs_a_reduce_under_way_and_sends_nothing_twice() -> None:
    made = world(GROSS, DRAWDOWN, held={"BTC": (3.5, 50_000)}, usdt=90_000)
    made.refuse.extend([RejectReason.RATE_LIMITED] * 2)
    made.price(BTC=48_000)
    assert intents(made) == [IntentKind.REDUCE]
    made.price(BTC=45_000)
    made.wait(10)
    assert made.quantity("BTC") == 0
    outcomes = [a.outcome for a in made.of(actions.EndIntent)]
    assert "absorbed" in outcomes


def test_cancel_of_one_key_does_not_narrow_a_wider_one() -> None:
    halt = DailyLoss(max=0.03, on_breach=Response.HALT)
    asset = AssetExposure(max=0.6, on_breach=Response.CANCEL)
    made = world(halt, asset, held={"BTC": (-1, 50_000), "ETH": (1, 2_000)})
    made.rest("ETH", "buy", "1", price=1_000)
    made.read()
    made.keep = 3
    made.price(BTC=54_000)
    made.price(BTC=60_000)
    made.wait(20)
    assert not made.orders["main"]


def test_cancel_when_a_second_key_joins_the_breach_cancels_there_too() -> None:
    asset = AssetExposure(max=0.5, on_breach=Response.CANCEL)
    made = world(asset, held={"BTC": (-1, 40_000), "ETH": (-20, 2_000)})
    made.price(BTC=50_000)
    made.wait(5)
    made.rest("ETH", "sell", "1", price=3_000)
    made.wait(3)
    assert made.orders["main"]
    made.price(ETH=2_600)
    made.wait(3)
    assert not made.orders["main"]


def test_reduce_when_the_measure_comes_back_before_a_send_is_given_up() -> None:
    made = world(GROSS, held={"BTC": (-3.6, 50_000)})
    made.rest("BTC", "sell", "1", price=60_000)
    made.read()
    made.keep = 100
    made.price(BTC=53_000)
    assert intents(made) == [IntentKind.REDUCE]
    made.price(BTC=40_000)
    made.wait(1)
    assert not made.sent
    assert "inside again before anything was sent" in [
        a.outcome for a in made.of(actions.EndIntent)
    ]


def test_reduce_when_another_account_is_stuck_does_not_wait_for_ever() -> None:
    made = world(
        GROSS,
        held={"ETH": (40, 2_000)},
        elsewhere={"other": {"BTC": (2, 50_000)}},
        accounts=TWO,
        usdt=60_000,
    )
    made.confirm("flatten", account="other")
    made.wait(5)
    made.somebody_trades("BTC", "1", "other")
    made.refuse.extend([RejectReason.MAINTENANCE] * 40)
    made.confirm("flatten", account="other")
    made.wait(35)
    made.refuse.clear()
    made.refuse.extend([RejectReason.MAINTENANCE])
    made.somebody_trades("ETH", "100")
    made.wait(10)
    assert made.quantity("ETH") < 140


# ---------------------------------------------------------------- unexplained flows


def test_reduce_when_money_left_without_a_word_waits_for_the_ledger() -> None:
    made = world(GROSS, held={"BTC": (2, 50_000)}, accounts=TWO, usdt=60_000)
    made.wait(2)
    made.wallet["other"] -= 50_000
    made.wallet["main"] -= 30_000
    made.wait(10)
    before = len(made.sent)
    made.wait(70)
    assert (before, len(made.sent) > 0) == (0, True)


# ---------------------------------------------------------------- scope


def test_strategy_reaches_only_accounts_that_it_alone_trades() -> None:
    made = world(
        GROSS,
        accounts={
            "main": AccountSettings(exchange="binanceusdm", exclusive=True),
            "other": AccountSettings(exchange="bybit", exclusive=True),
            "third": AccountSettings(exchange="okx"),
        },
        strategies={
            "grid": StrategySettings(("main", "other", "third"), 1_000),
            "trend": StrategySettings(("other",), 1_000),
        },
    )
    turn = Turn(made.engine.state, made.engine.settings, made.now_ms)
    assert accounts_of(turn, "strategy:grid") == ["main"]
    assert accounts_of(turn, "strategy:gone") == []
    assert accounts_of(turn, "account:gone") == []


def test_limit_without_a_price_acts_without_a_second_source() -> None:
    made = world(OpenPositions(max=1, on_breach=Response.HALT), held={"BTC": (1, 50_000)})
    made.somebody_trades("BTC", "1")
    made.marks[ETH] = 2_000
    made.give(builders.loaded("BTC/USDT:USDT", ETH))
    made.give(builders.prices(ETH, 2_000))
    made.somebody_trades("ETH", "1")
    assert made.engine.state.enforcement.state_of(PORTFOLIO) is TradingState.HALTED


# ---------------------------------------------------------------- hedges


HEDGED = NetExposure(max=0.5, on_breach=Response.HEDGE)


def hedged(*more: Limit, **fields: object) -> World:
    """Build a world whose long ETH may be hedged on the other account."""
    values = {
        "held": {"ETH": (10, 2_000)},
        "accounts": TWO,
        "hedges": {"ETH": HedgeSettings("other", ETH, 500_000)},
        "usdt": 20_000,
        **fields,
    }
    return world(HEDGED, *more, **values)  # type: ignore[arg-type]


def test_hedge_when_its_account_is_out_of_sight_gives_way_to_a_reduce() -> None:
    made = hedged()
    made.wait(20)
    silence(made, "other")
    made.wait(20)
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH") < 18


def test_hedge_when_its_account_is_halted_gives_way_to_a_reduce() -> None:
    made = hedged()
    made.command("halt", account="other")
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH", "other") == 0
    assert made.quantity("ETH") < 18


def test_hedge_when_a_halt_comes_meanwhile_is_not_sent() -> None:
    made = hedged()
    made.refuse.extend([RejectReason.RATE_LIMITED] * 3)
    made.somebody_trades("ETH", "8")
    made.command("halt")
    made.wait(10)
    assert made.quantity("ETH", "other") == 0
    assert "halted: a hedge would be new risk" in [a.outcome for a in made.of(actions.EndIntent)]


def test_hedge_while_the_journal_takes_no_writes_is_a_reduce() -> None:
    # Unrecorded, the same hedge would be opened again after a restart.
    made = hedged()
    made.give(events.StorageFailed(error="disk full"))
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH", "other") == 0
    assert made.quantity("ETH") < 18
    assert all(order.is_protective for order in made.sent)


def test_hedge_when_storage_fails_meanwhile_is_given_up() -> None:
    made = hedged()
    made.refuse.extend([RejectReason.RATE_LIMITED] * 3)
    made.somebody_trades("ETH", "8")
    assert [(o.account, o.is_protective) for o in made.sent] == [("other", False)]
    made.give(events.StorageFailed(error="disk full"))
    made.wait(10)
    assert made.quantity("ETH", "other") == 0
    assert made.quantity("ETH") < 18


@pytest.mark.parametrize(
    "limit",
    [
        GrossExposure(max=0.95, on_breach=Response.ALERT),
        AssetExposure(max=0.95, on_breach=Response.ALERT),
    ],
)
def test_hedge_when_it_would_break_another_limit_is_a_reduce(limit: Limit) -> None:
    made = hedged(limit)
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH", "other") == 0
    assert made.quantity("ETH") < 18


def test_hedge_when_the_limit_is_netted_is_no_breach_of_it() -> None:
    made = hedged(AssetExposure(max=0.95, netted=True))
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH", "other") < 0


def test_hedge_when_there_is_none_for_the_underlying_is_a_reduce() -> None:
    made = hedged(hedges={"BTC": HedgeSettings("other", "BTC/USDT:USDT", 1_000)})
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH") < 18


def test_hedge_when_its_instrument_is_not_listed_is_a_reduce() -> None:
    made = hedged(hedges={"ETH": HedgeSettings("other", "ETH/USDC:USDC", 1_000)})
    made.somebody_trades("ETH", "8")
    made.wait(5)
    assert made.quantity("ETH") < 18


def test_hedge_drift_when_it_is_too_large_is_rebalanced() -> None:
    made = world(
        HedgeDrift(max=0.05, on_breach=Response.HEDGE),
        held={"ETH": (10, 2_000)},
        elsewhere={"other": {"ETH": (-10, 2_000)}},
        accounts=TWO,
        hedges={"ETH": HedgeSettings("other", ETH, 500_000)},
    )
    made.somebody_trades("ETH", "5")
    made.wait(5)
    assert made.quantity("ETH", "other") == -15


def test_hedge_when_both_sides_are_modes_of_their_own_lives_on_its_side() -> None:
    made = hedged()
    made.engine.state.accounts.get("other").is_hedge_mode = True
    made.somebody_trades("ETH", "8")
    order = next(o for o in made.sent if o.account == "other")
    assert (order.position_side.value, order.is_hedge_mode) == ("short", True)
    # This venue books it elsewhere than riskbot expects it: it is not sent again and again.
    assert len([o for o in made.sent if o.account == "other"]) == 1


def test_hedge_when_somebody_closed_it_is_forgotten() -> None:
    made = hedged()
    made.somebody_trades("ETH", "8")
    made.wait(5)
    size = made.quantity("ETH", "other")
    made.somebody_trades("ETH", str(-size / 2), "other")
    made.wait(1)
    made.wait(65)
    (left,) = made.engine.state.enforcement.hedges.values()
    assert left.quantity == made.quantity("ETH", "other")
    made.somebody_trades("ETH", "-10")
    made.wait(1)
    made.somebody_trades("ETH", str(-made.quantity("ETH", "other")), "other")
    made.wait(65)
    assert not made.engine.state.enforcement.hedges
    sent = len(made.sent)
    made.somebody_trades("ETH", "-0.2", "other")
    made.wait(5)
    assert len(made.sent) == sent


def test_hedge_when_its_price_alone_falls_is_not_trimmed() -> None:
    made = hedged()
    made.somebody_trades("ETH", "8")
    made.wait(5)
    sent = len(made.sent)
    for _ in range(3):
        made.now_ms += 1_000
        made.give(builders.prices(ETH, 900, account="main", venue_ms=made.now_ms))
        made.give(events.TimerFired())
    assert len(made.sent) == sent


# ---------------------------------------------------------------- baseline, shadow


def test_baseline_when_somebody_flips_closes_the_other_side() -> None:
    made = world(DRAWDOWN, held={"BTC": (1, 50_000)})
    made.command("halt")
    made.wait(3)
    made.somebody_trades("BTC", "-1.5")
    made.wait(5)
    assert made.quantity("BTC") == 0


def test_baseline_when_one_read_lacks_a_position_keeps_it() -> None:
    # Given a halt that keeps a position, and a venue whose list once comes without it.
    made = world(held={"BTC": (4.0, 50_000.0)})
    made.command("halt")
    made.wait(3)
    held, made.held["main"] = made.held["main"], {}
    made.read()
    made.held["main"] = held
    # When the list is whole again, that is no position opened past the halt.
    made.wait(30)
    assert (made.quantity("BTC"), made.sent) == (4, [])


def test_halt_at_the_moment_of_a_short_list_keeps_what_is_held() -> None:
    made = world(held={"BTC": (4.0, 50_000.0)})
    made.wait(3)
    held, made.held["main"] = made.held["main"], {}
    made.read()
    made.command("halt")
    made.held["main"] = held
    made.wait(30)
    assert (made.quantity("BTC"), made.sent) == (4, [])


def test_baseline_when_nobody_tells_of_fills_is_kept_by_what_reads_show() -> None:
    # Given a stream that tells nothing of a strategy that opens more past the halt.
    made = world(held={"BTC": (1.0, 50_000.0)})
    made.command("halt")
    made.wait(3)
    made.muted.add("main")
    made.somebody_trades("BTC", "0.5")
    made.muted.clear()
    made.wait(15)
    assert made.quantity("BTC") == 1


def test_baseline_when_a_position_is_lowered_follows_it_down() -> None:
    made = world(DRAWDOWN, held={"BTC": (1, 50_000)})
    made.command("halt")
    made.wait(3)
    made.somebody_trades("BTC", "-0.6")
    made.wait(3)
    made.somebody_trades("BTC", "0.5")
    made.wait(5)
    assert made.quantity("BTC") == Decimal("0.4")


def test_deny_by_cancel_cancels_entries_that_appear_under_a_measure_hold() -> None:
    accounts = {"main": AccountSettings(exchange="bybit", deny_by_cancel=True)}
    limit = AssetExposure(max=0.5, on_breach=Response.DENY)
    made = world(
        limit,
        held={"BTC": (-1, 40_000), "ETH": (1, 2_000)},
        accounts=accounts,
        startup_breach="act",
    )
    made.price(BTC=50_000)
    made.wait(2)
    more = made.rest("BTC", "sell", "1", price=60_000)
    made.now_ms += 1
    else_ = made.rest("ETH", "buy", "1", price=1_000)
    made.wait(4)
    assert more.order_id not in made.orders["main"]
    assert else_.order_id in made.orders["main"]


def test_shadow_says_a_reduce_once() -> None:
    made = world(GROSS, held={"BTC": (-3.6, 50_000)}, mode=Mode.SHADOW)
    made.price(BTC=53_000)
    made.wait(10)
    said = [d.decision for d in made.of(actions.RecordDecision)]
    assert said.count("would_reduce") == 1
    assert not made.sent


# ---------------------------------------------------------------- another configuration


def dies_flattening(**fields: object) -> World:
    """Build a world whose process ended with a flatten of both accounts under way."""
    made = world(
        DRAWDOWN,
        held={"BTC": (4.0, 50_000.0)},
        elsewhere={"other": {"ETH": (10.0, 2_000.0)}},
        accounts=TWO,
        usdt=60_000,
        **fields,  # type: ignore[arg-type]
    )
    made.wait(5)
    made.die_after = 0
    made.price(BTC=40_000)
    made.die_after = -1
    assert intents(made) == [IntentKind.FLATTEN, IntentKind.FLATTEN]
    return made


def test_flatten_begun_in_enforce_is_not_carried_on_in_shadow() -> None:
    made = dies_flattening()
    shadow = replace(made.engine.settings, mode=Mode.SHADOW)
    made.restart(shadow)
    made.wait(30)
    assert made.sent == []
    assert not made.engine.state.enforcement.intents
    # What it had decided to forbid stays forbidden until a person says otherwise.
    hold = made.engine.state.enforcement.holds[PORTFOLIO, "drawdown"]
    assert (hold.state, hold.is_latched, hold.is_enforced) == (TradingState.HALTED, True, True)


def test_flatten_of_an_operator_is_carried_on_in_shadow() -> None:
    made = world(held={"BTC": (1.0, 50_000.0)}, mode=Mode.SHADOW)
    offer = made.command("flatten")
    made.die_after = 0
    made.command("flatten", plan_id=offer.plan_id)
    made.die_after = -1
    made.restart()
    made.wait(30)
    assert made.quantity("BTC") == 0


def test_work_on_an_account_that_is_configured_no_more_ends() -> None:
    made = dies_flattening()
    only = replace(made.engine.settings, accounts={"main": TWO["main"]})
    before = len(made.actions)
    made.restart(only)
    made.wait(30)
    assert made.quantity("BTC") == 0
    assert not made.engine.state.enforcement.intents
    # Nobody is asked for what nobody can answer, and the operator can resume.
    later = [a for a in made.actions[before:] if getattr(a, "account", "") == "other"]
    assert not [a for a in later if isinstance(a, actions.Effect)]
    assert made.confirm("resume").ok
