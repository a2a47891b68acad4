"""The engine as a whole: a breach becomes holds, orders and words, once."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest

from riskbot.core import actions, events
from riskbot.core.duty import OPERATOR, EpisodeStage
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.model import (
    PORTFOLIO,
    Actor,
    LedgerKind,
    Level,
    Mode,
    RejectReason,
    Response,
    Role,
    TradingState,
    WorkingOrder,
)
from riskbot.core.settings import AccountSettings, HedgeSettings
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)
BOOK = {"BTC": (2.0, 50_000.0), "ETH": (-10.0, 2_000.0)}


def crash_through(made: World) -> None:
    """Let the market fall through the drawdown limit."""
    made.price(BTC=42_000)
    made.wait(5)


def state(made: World) -> TradingState:
    return made.engine.state.enforcement.state_of(PORTFOLIO)


def told(made: World, name: str) -> list[actions.SendAlert]:
    return [a for a in made.of(actions.SendAlert) if a.alert.name == name]


# ---------------------------------------------------------------- flatten


def test_flatten_when_drawdown_breaks_closes_all_once_and_stays_halted() -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.price(BTC=46_000)
    made.wait(2)
    assert not made.sent
    crash_through(made)
    assert [(o.symbol, o.side, o.quantity, o.reduce_only) for o in made.sent] == [
        ("BTC/USDT:USDT", "sell", Decimal(2), True),
        ("ETH/USDT:USDT", "buy", Decimal(10), True),
    ]
    assert state(made) is TradingState.HALTED
    assert not made.engine.state.enforcement.intents
    made.price(BTC=52_000)
    made.wait(400)
    assert len(made.sent) == 2
    assert state(made) is TradingState.HALTED


def cancel_of(made: World, order: WorkingOrder) -> actions.CancelOrder:
    (found,) = [a for a in made.of(actions.CancelOrder) if a.order_id == order.order_id]
    return found  # type: ignore[no-any-return]


def test_flatten_when_entries_rest_cancels_them_first_and_verifies() -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.rest("BTC", "buy", "1", price=40_000)
    stop = made.rest("BTC", "sell", "2", stop_price=39_000, reduce_only=True)
    made.read()
    crash_through(made)
    work = [a for a in made.actions if isinstance(a, actions.CancelOrder | actions.PlaceOrder)]
    assert isinstance(work[0], actions.CancelOrder)
    assert all(o.reduce_only for o in made.sent)
    closed, canceled = made.actions.index(made.sent[0]), made.actions.index(cancel_of(made, stop))
    assert closed < canceled
    reads = [a for a in made.of(actions.RefreshAccount) if a.reason == "flatten"]
    assert len(reads) >= 3
    assert made.quantity("BTC") == made.quantity("ETH") == 0


@pytest.mark.parametrize("fields", [{"stop_price": 60_000}, {}], ids=["trigger", "no trigger"])
def test_flatten_when_stops_rest_among_plain_orders_cancels_the_entries(
    fields: dict[str, int],
) -> None:
    made = world(DRAWDOWN, held=BOOK)
    entry = made.rest("BTC", "buy", "1", type="market", created_ms=made.now_ms, **fields)
    made.wait(15)
    crash_through(made)
    assert [a.order_id for a in made.of(actions.CancelOrder)] == [entry.order_id]
    assert entry.order_id not in made.orders["main"]
    assert made.quantity("BTC") == made.quantity("ETH") == 0


def test_flatten_when_somebodys_market_order_is_about_to_fill_does_not_wait_for_it() -> None:
    made = world(DRAWDOWN, held=BOOK)
    young = builders.order("BTC/USDT:USDT", "buy", 1, type="market", created_ms=made.now_ms)
    made.give(events.OrderUpdated(account="main", order=young))
    made.price(BTC=42_000)
    assert not made.of(actions.CancelOrder)
    assert made.sent


def test_flatten_when_replies_are_lost_looks_up_and_never_sends_twice() -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.lose = 2
    crash_through(made)
    made.wait(15)
    assert len(made.sent) == 2
    assert made.of(actions.QueryOrder)
    assert not made.engine.state.enforcement.pending
    assert not made.engine.state.enforcement.intents


def test_flatten_when_fills_are_partial_goes_on_until_flat() -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.fill_share = Decimal("0.4")
    crash_through(made)
    made.wait(20)
    made.fill_share = Decimal(1)
    made.wait(20)
    assert made.quantity("BTC") == made.quantity("ETH") == 0
    assert len({o.client_order_id for o in made.sent}) == len(made.sent)


@pytest.mark.parametrize(
    "reason",
    [r for r in RejectReason if r not in {RejectReason.MIN_NOTIONAL, RejectReason.DUPLICATE_ID}],
)
def test_flatten_when_orders_are_refused_takes_the_next_step_until_flat(
    reason: RejectReason,
) -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.refuse.extend([reason] * 3)
    crash_through(made)
    made.wait(30)
    assert made.quantity("BTC") == made.quantity("ETH") == 0
    assert not made.engine.state.enforcement.intents


def test_flatten_when_too_small_names_the_dust_and_ends() -> None:
    made = world(DRAWDOWN, held={"BTC": (0.002, 50_000)}, usdt=100)
    made.refuse.append(RejectReason.MIN_NOTIONAL)
    crash_through(made)
    made.wait(5)
    assert len(made.sent) == 1
    assert not made.engine.state.enforcement.intents
    assert made.quantity("BTC") == Decimal("0.002")


def test_flatten_when_the_venue_calls_much_too_small_goes_on_with_another_order() -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.refuse.append(RejectReason.MIN_NOTIONAL)
    crash_through(made)
    made.wait(5)
    assert made.quantity("BTC") == made.quantity("ETH") == 0
    assert made.sent[0].symbol == "BTC/USDT:USDT"
    assert [o.type for o in made.sent if o.symbol == "BTC/USDT:USDT"] == ["market", "limit"]


def test_flatten_when_the_venue_never_lets_go_pages_and_keeps_trying() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.refuse.extend([RejectReason.OTHER] * 100)
    crash_through(made)
    made.wait(20)
    paged = told(made, "cannot_flatten")
    assert paged
    assert paged[0].alert.level is Level.RED
    made.refuse.clear()
    made.wait(10)
    assert made.quantity("BTC") == 0
    assert told(made, "cannot_flatten")[-1].alert.resolved_ms is not None


# ---------------------------------------------------------------- confirmation


def test_breach_when_one_source_alone_shows_it_denies_asks_and_closes_nothing() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.give(builders.prices("BTC/USDT:USDT", 42_000, venue_ms=made.now_ms))
    assert not made.sent
    assert state(made) is TradingState.REDUCING
    episode = made.engine.state.enforcement.episodes[PORTFOLIO, "drawdown"]
    assert episode.stage is EpisodeStage.DISAGREEING
    made.price(BTC=50_000)
    made.wait(2)
    assert not made.sent
    assert state(made) is TradingState.ACTIVE


def test_breach_when_only_one_source_exists_acts_after_a_read_shows_it_too() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.now_ms += 10_000
    made.read()
    made.marks["BTC/USDT:USDT"] = 42_000
    made.give(builders.prices("BTC/USDT:USDT", 42_000, venue_ms=made.now_ms))
    asked = [a for a in made.of(actions.RefreshAccount) if a.reason == "confirm"]
    assert asked
    assert asked[0].symbols == ("BTC/USDT:USDT",)
    assert made.quantity("BTC") == 0


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_price_when_insane_changes_nothing(bad: float) -> None:
    made = world(DRAWDOWN, GROSS, held={"BTC": (2, 50_000)})
    made.give(builders.prices("BTC/USDT:USDT", bad, index=bad, bid=bad, ask=bad))
    made.wait(2)
    assert not made.sent
    assert state(made) is TradingState.ACTIVE


# ---------------------------------------------------------------- reduce, deny, hedge


def test_reduce_when_gross_breaks_goes_to_its_target_and_clears_after_five_minutes() -> None:
    made = world(GROSS, held={"BTC": (3.0, 50_000)}, usdt=80_000)
    made.price(BTC=43_000)
    made.wait(2)
    gross = abs(float(made.quantity("BTC"))) * 43_000 / made.equity()
    assert 1.7 < gross <= 1.8
    assert len(made.sent) == 1
    assert made.sent[0].reduce_only
    assert state(made) is TradingState.REDUCING
    made.wait(295)
    assert state(made) is TradingState.REDUCING
    made.wait(15)
    assert state(made) is TradingState.ACTIVE


def test_deny_when_one_asset_breaks_holds_that_asset_only() -> None:
    limit = AssetExposure(max=0.5, on_breach=Response.DENY)
    made = world(limit, held={"BTC": (1, 40_000), "ETH": (1, 2_000)})
    made.price(BTC=110_000, ETH=2_000)
    made.wait(1)
    (hold,) = made.engine.state.enforcement.holds.values()
    assert hold.state is TradingState.ACTIVE
    assert hold.keys == ("BTC",)
    assert not made.sent


def test_hedge_when_net_breaks_offsets_it_and_unwinds_when_the_exposure_is_gone() -> None:
    net = NetExposure(max=0.5, on_breach=Response.HEDGE)
    accounts = {
        "main": AccountSettings(exchange="binanceusdm"),
        "spot": AccountSettings(exchange="bybit"),
    }
    made = world(
        net,
        held={"ETH": (10, 2_000)},
        accounts=accounts,
        hedges={"ETH": HedgeSettings("spot", "ETH/USDT:USDT", 500_000)},
        usdt=20_000,
    )
    made.price(ETH=2_600)
    made.wait(3)
    assert made.quantity("ETH") == 10
    hedge = made.quantity("ETH", "spot")
    assert hedge < 0
    assert not any(o.reduce_only for o in made.sent)
    net_share = float(10 + hedge) * 2_600 / (made.equity() + made.equity("spot"))
    assert abs(net_share) <= 0.5
    made.somebody_trades("ETH", "-10")
    made.wait(5)
    assert made.quantity("ETH", "spot") == 0


def test_hedge_when_its_sources_differ_a_little_is_unwound_to_nothing() -> None:
    net = NetExposure(max=0.5, on_breach=Response.HEDGE)
    hedges = {"ETH": HedgeSettings("main", "ETH/USDT:USDT-270326", 500_000)}
    made = world(net, held={"ETH": (10, 2_000)}, hedges=hedges, usdt=40_000)
    quarterly = "ETH/USDT:USDT-270326"
    made.marks[quarterly] = 2_000
    made.give(builders.loaded(quarterly))
    made.price()
    made.price(ETH=2_600)
    made.wait(3)
    assert made.held["main"][quarterly][0] < 0
    made.marks[quarterly] = 2_600.3
    made.price()
    made.give(builders.prices(quarterly, 2_600.3, index=2_601, bid=2_600.2, ask=2_600.4))
    made.somebody_trades("ETH", "-10")
    made.wait(5)
    assert made.held["main"][quarterly][0] == 0


def test_net_when_no_hedge_is_configured_reduces_instead() -> None:
    made = world(
        NetExposure(max=0.5, on_breach=Response.HEDGE), held={"ETH": (10, 2_000)}, usdt=50_000
    )
    made.price(ETH=3_500)
    made.wait(3)
    assert made.quantity("ETH") < 10
    assert all(o.reduce_only for o in made.sent)


# ---------------------------------------------------------------- first contact, shadow


def test_first_contact_when_a_breach_stands_reports_and_waits() -> None:
    made = world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000)
    made.wait(5)
    assert not made.sent
    assert state(made) is TradingState.REDUCING
    assert told(made, "gross_exposure")[0].alert.level is Level.RED
    made.somebody_trades("BTC", "-3")
    made.wait(2)
    made.somebody_trades("BTC", "3")
    made.wait(5)
    assert made.sent


def test_first_contact_when_the_operator_reduces_executes_the_plan() -> None:
    made = world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000)
    made.confirm("reduce")
    made.wait(5)
    assert float(made.quantity("BTC")) * 50_000 <= 1.8 * 80_000
    assert made.replies()[-1].is_final
    assert made.replies()[-1].ok


def test_first_contact_when_startup_breach_is_act_does_it() -> None:
    made = world(GROSS, held={"BTC": (4, 50_000)}, usdt=80_000, startup_breach="act")
    made.wait(5)
    assert made.sent


def test_shadow_when_a_limit_breaks_says_what_it_would_and_sends_nothing() -> None:
    made = world(DRAWDOWN, GROSS, held=BOOK, mode=Mode.SHADOW)
    crash_through(made)
    assert not made.sent
    assert state(made) is TradingState.ACTIVE
    said = [d.decision for d in made.of(actions.RecordDecision)]
    assert "would_flatten" in said
    assert said.count("would_flatten") == 1
    enforcement = made.engine.state.enforcement
    assert enforcement.state_of(PORTFOLIO, enforced_only=False) is TradingState.HALTED


def test_shadow_when_the_operator_flattens_does_it() -> None:
    made = world(DRAWDOWN, held=BOOK, mode=Mode.SHADOW)
    made.confirm("flatten")
    made.wait(5)
    assert made.quantity("BTC") == made.quantity("ETH") == 0
    assert state(made) is TradingState.HALTED
    final = made.replies()[-1]
    assert (final.ok, final.is_final) == (True, True)


# ---------------------------------------------------------------- halts


@dataclass
class BeforeMidnight(World):
    """It begins 500 s before midnight, UTC."""

    now_ms: int = 1_700_006_400_000 - 500_000


def test_daily_loss_when_broken_halts_until_the_next_day() -> None:
    limit = DailyLoss(max=0.03, on_breach=Response.HALT)
    made = world(limit, held={"BTC": (1, 50_000)}, kind=BeforeMidnight)
    made.price(BTC=46_000)
    made.wait(2)
    assert state(made) is TradingState.HALTED
    assert not made.sent
    made.price(BTC=50_000)
    made.wait(400)
    assert state(made) is TradingState.HALTED
    made.wait(700)
    assert state(made) is TradingState.ACTIVE


def test_halt_when_a_strategy_opens_again_closes_it_three_times_then_calls() -> None:
    made = world(DRAWDOWN, held={"BTC": (1, 50_000)})
    made.command("halt", reason="lunch")
    for _ in range(5):
        made.somebody_trades("BTC", "0.5")
        made.wait(3)
    assert len(made.sent) == 3
    assert all(o.quantity == Decimal("0.5") for o in made.sent)
    assert told(made, "strategy_fighting")
    made.confirm("resume")
    made.somebody_trades("BTC", "0.5")
    made.wait(3)
    assert len(made.sent) == 3


def test_halt_when_entries_appear_cancels_them_and_keeps_exits() -> None:
    made = world(DRAWDOWN, held={"BTC": (1, 50_000)})
    made.command("halt")
    entry = made.rest("BTC", "buy", "1", price=40_000)
    leave = made.rest("BTC", "sell", "1", price=60_000, reduce_only=True)
    made.wait(3)
    assert entry.order_id not in made.orders["main"]
    assert leave.order_id in made.orders["main"]


def test_resume_when_drawdown_is_still_in_breach_rebases_it() -> None:
    made = world(DRAWDOWN, held=BOOK)
    crash_through(made)
    operator = Actor("op", Role.OPERATOR, "test")
    assert "admin" in made.command("resume", operator).message
    made.confirm("resume")
    made.wait(5)
    assert state(made) is TradingState.ACTIVE
    losses = made.engine.state.scopes(made.now_ms)[PORTFOLIO].losses
    assert losses.drawdown == pytest.approx(0, abs=1e-6)
    assert losses.true_drawdown == pytest.approx(0.16, abs=0.01)


def test_resume_when_flattening_is_refused() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.refuse.extend([RejectReason.OTHER] * 100)
    crash_through(made)
    assert "flattening" in made.command("resume").message


def test_halt_when_given_twice_is_no_toggle() -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.command("halt")
    again = made.command("halt")
    assert again.ok
    assert "already" in again.message
    assert state(made) is TradingState.HALTED
    assert (PORTFOLIO, OPERATOR) in made.engine.state.enforcement.holds


def test_confirm_when_used_twice_by_another_or_late_is_refused() -> None:
    made = world(DRAWDOWN, held=BOOK)
    offer = made.command("flatten")
    stranger = Actor("other", Role.ADMIN, "test")
    assert "only tester" in made.command("flatten", stranger, plan_id=offer.plan_id).message
    made.now_ms += 61_000
    assert "expired" in made.command("flatten", plan_id=offer.plan_id).message
    offer = made.command("flatten")
    made.command("flatten", plan_id=offer.plan_id)
    assert not made.command("flatten", plan_id=offer.plan_id).ok


# ---------------------------------------------------------------- cash flows


def test_withdrawal_when_half_is_taken_is_no_drawdown() -> None:
    made = world(DRAWDOWN, held={"BTC": (0.5, 50_000)})
    made.wallet["main"] -= 50_000
    made.wait(70)
    assert not made.sent
    assert state(made) is TradingState.ACTIVE
    assert told(made, "flow_unexplained")
    made.price(BTC=34_000)
    made.wait(5)
    assert made.quantity("BTC") == 0


def test_deposit_when_in_a_loss_does_not_hide_it() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.price(BTC=43_000)
    made.wait(2)
    made.wallet["main"] += 50_000
    made.wait(70)
    losses = made.engine.state.scopes(made.now_ms)[PORTFOLIO].losses
    assert losses.drawdown == pytest.approx(0.14, abs=0.002)


def test_residual_when_pending_holds_the_close_until_it_is_explained() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    made.wallet["main"] -= 20_000
    made.wait(2)
    made.price(BTC=42_000)
    made.wait(2)
    assert not made.sent
    made.give(
        events.LedgerEntryBooked(
            account="main",
            entry_id="1",
            entry_kind=LedgerKind.WITHDRAWAL,
            asset="USDT",
            amount=Decimal(-20_000),
            venue_ms=made.now_ms,
        )
    )
    made.wait(3)
    assert made.quantity("BTC") == 0


# ---------------------------------------------------------------- crash and recovery


def outcome(made: World) -> tuple[object, ...]:
    return (made.quantity("BTC"), made.quantity("ETH"), state(made))


@pytest.mark.parametrize("dies", range(14))
def test_crash_when_the_process_dies_at_any_effect_ends_flat_once(dies: int) -> None:
    made = world(DRAWDOWN, held=BOOK)
    made.rest("BTC", "buy", "1", price=40_000)
    made.read()
    made.die_after = dies
    made.price(BTC=42_000)
    made.wait(1)
    made.die_after = -1
    made.restart()
    made.price()
    made.read()
    made.wait(30)
    assert outcome(made) == (0, 0, TradingState.HALTED)
    filled = [o.client_order_id for o in made.sent]
    assert len(filled) == len(set(filled)) == 2
    assert not made.engine.state.enforcement.intents


def test_restart_when_halted_stays_halted_and_says_nothing_twice() -> None:
    made = world(DRAWDOWN, held=BOOK)
    crash_through(made)
    alerts = len(told(made, "drawdown"))
    made.restart()
    made.wait(20)
    assert state(made) is TradingState.HALTED
    assert len(told(made, "drawdown")) == alerts
    assert len(made.sent) == 2


def test_fold_when_the_journal_is_read_back_gives_the_same_state() -> None:
    made = world(DRAWDOWN, GROSS, held=BOOK)
    crash_through(made)
    made.confirm("resume")
    before = made.engine.state.enforcement.dump()
    alerts = made.engine.state.alerts.dump()
    made.engine = type(made.engine)(made.engine.settings, "rbtest")
    for ts_ms, record in made.journal:
        made.engine.fold(record, ts_ms)
    assert made.engine.state.enforcement.dump() == before
    assert made.engine.state.alerts.dump() == alerts


def test_checkpoint_when_loaded_gives_the_same_state() -> None:
    made = world(DRAWDOWN, GROSS, held=BOOK)
    crash_through(made)
    dumped = made.engine.dump()
    other = type(made.engine)(made.engine.settings, "rbtest")
    other.load(dumped)
    assert other.dump() == dumped
    one = other.state.scopes(made.now_ms)[PORTFOLIO]
    two = made.engine.state.scopes(made.now_ms)[PORTFOLIO]
    assert one.losses == two.losses
    assert one.equity_usd == two.equity_usd
