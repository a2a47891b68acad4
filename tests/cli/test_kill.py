"""`kill` against venues that obey, refuse, lose answers, or are not there."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from riskbot.cli.closing import Meeting
from riskbot.cli.kill import kill
from riskbot.cli.killing import AccountKill, Options, Result
from riskbot.config.models import AccountConfig
from riskbot.core import events
from riskbot.core.model import OrderType, PositionSide, RejectReason, Side, TimeInForce
from tests.cli.venue import HastyClock, KillVenue, refusal
from tests.fakes import never, unreachable

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
FLATTEN = Options(flatten=True)


async def run(
    *exchanges: KillVenue, options: Options = FLATTEN, seconds: float = 60.0, coins: bool = False
) -> list[Result]:
    clock = HastyClock()
    meeting = Meeting(len(exchanges))
    kills = []
    for exchange in exchanges:
        exchange.time = clock
        kills.append(
            AccountKill(
                exchange,
                sells_coins=coins,
                options=options,
                meeting=meeting,
                clock=clock,
                say=lambda _: None,
            )
        )
    deadline_ms = clock.now_ms() + round(seconds * 1000)
    return list(await asyncio.gather(*(one.run(deadline_ms) for one in kills)))


async def alone(exchange: KillVenue, **fields: Any) -> Result:
    (result,) = await run(exchange, **fields)
    return result


async def test_kill_when_entries_work_cancels_them_and_keeps_exits() -> None:
    venue = KillVenue()
    venue.hold(BTC, "1")
    entry = venue.work(BTC, side=Side.BUY, quantity="1", price=1)
    venue.work(BTC, side=Side.BUY, quantity="1", stop_price=9, is_conditional=True)
    stop = venue.work(
        BTC, side=Side.SELL, quantity="1", stop_price=1, reduce_only=True, is_conditional=True
    )
    target = venue.work(BTC, side=Side.SELL, quantity="1", price=9)
    result = await alone(venue, options=Options())
    assert result.is_done
    assert venue.orders == [stop]
    # The stop claims the whole position: an unmarked sell beside it could open a short.
    assert {c.order_id for c in venue.called("cancel")} >= {entry.order_id, target.order_id}
    assert venue.sent == []


async def test_kill_when_asked_for_all_orders_cancels_exits_too() -> None:
    venue = KillVenue()
    venue.hold(BTC, "1")
    venue.work(BTC, side=Side.SELL, quantity="1", stop_price=1, reduce_only=True)
    result = await alone(venue, options=Options(all_orders=True))
    assert result.is_done
    assert venue.orders == []


async def test_kill_when_flattening_all_cancels_stops_after_the_close() -> None:
    venue = KillVenue()
    venue.hold(BTC, "1")
    venue.work(BTC, side=Side.SELL, quantity="1", stop_price=1, reduce_only=True)
    await alone(venue, options=Options(flatten=True, all_orders=True))
    done = [name for name, _ in venue.calls if name in {"place", "cancel"}]
    assert done == ["place", "cancel"]
    assert (venue.orders, venue.positions) == ([], {})


async def test_flatten_when_a_stop_is_not_reduce_only_cancels_it_after_the_close() -> None:
    venue = KillVenue()
    venue.hold(BTC, "1")
    venue.work(BTC, side=Side.SELL, quantity="1", stop_price=1, is_conditional=True)
    kept = venue.work(ETH, side=Side.SELL, quantity="1", stop_price=1, reduce_only=True)
    result = await alone(venue)
    assert result.is_done
    done = [name for name, _ in venue.calls if name in {"place", "cancel"}]
    assert done == ["place", "cancel"]
    assert (venue.orders, venue.positions) == ([kept], {})


async def test_flatten_when_positions_are_open_closes_each_once_reduce_only() -> None:
    venue = KillVenue()
    venue.hold(BTC, "0.5", venue_mark=40_000)
    venue.hold(ETH, "-3", venue_mark=2_000)
    result = await alone(venue)
    assert result.is_done
    assert [(o.symbol, o.side, o.quantity, o.reduce_only) for o in venue.sent] == [
        (BTC, Side.SELL, Decimal("0.5"), True),
        (ETH, Side.BUY, Decimal(3), True),
    ]
    ids = [o.client_order_id for o in venue.sent]
    assert len(set(ids)) == 2
    assert all(i.startswith("rb") and i.isalnum() and len(i) <= 32 for i in ids)


async def test_flatten_when_in_hedge_mode_closes_both_sides() -> None:
    venue = KillVenue()
    venue.is_hedge_mode = True
    venue.hold(BTC, "1", side=PositionSide.LONG)
    venue.hold(BTC, "-2", side=PositionSide.SHORT)
    result = await alone(venue)
    assert result.is_done
    assert {(o.position_side, o.side, o.quantity, o.is_hedge_mode) for o in venue.sent} == {
        (PositionSide.LONG, Side.SELL, Decimal(1), True),
        (PositionSide.SHORT, Side.BUY, Decimal(2), True),
    }


async def test_flatten_when_fills_are_partial_sends_the_rest() -> None:
    venue = KillVenue()
    venue.fill_share = Decimal("0.5")
    venue.hold(BTC, "0.008")
    result = await alone(venue)
    # Half of half of ...: what is left in the end is below the step.
    assert [o.quantity for o in venue.sent] == [
        Decimal(q) for q in ("0.008", "0.004", "0.002", "0.001")
    ]
    assert result.is_done


async def test_flatten_when_market_orders_are_capped_sends_slices() -> None:
    venue = KillVenue()
    venue.hold(BTC, "2.5")
    venue.list(BTC, max_market_quantity=1)
    await alone(venue)
    assert [o.quantity for o in venue.sent] == [Decimal(1), Decimal(1), Decimal("0.5")]


async def test_flatten_when_answer_is_lost_asks_and_sends_no_second() -> None:
    venue = KillVenue()
    venue.loses_answers = 1
    venue.fill_share = Decimal("0.5")
    venue.hold(BTC, "0.002")
    result = await alone(venue)
    assert result.is_done
    assert [o.quantity for o in venue.sent] == [Decimal("0.002"), Decimal("0.001")]
    assert venue.called("find")


async def test_flatten_when_order_never_arrived_sends_again_once_that_is_proven() -> None:
    venue = KillVenue()
    venue.loses_orders = 1
    venue.hold(BTC, "1")
    result = await alone(venue)
    assert result.is_done
    assert len(venue.sent) == 1
    assert len(venue.called("find")) >= 3


async def test_flatten_when_outcome_stays_unknown_never_sends_a_second() -> None:
    venue = KillVenue()
    venue.loses_orders = 1
    venue.hold(BTC, "1")
    venue.will("find", *[lambda query: _queried(query, None)] * 200)
    result = await alone(venue, seconds=20)
    assert venue.sent == []
    assert not result.is_done
    assert result.left == ["position BTC/USDT:USDT 1"]


def _queried(query: Any, found: bool | None) -> Any:
    return events.OrderQueried(
        account=query.account,
        symbol=query.symbol,
        client_order_id=query.client_order_id,
        found=found,
    )


@pytest.mark.parametrize("reason", [RejectReason.ORDER_TYPE, RejectReason.PRICE_BAND])
async def test_flatten_when_market_orders_are_refused_uses_collared_limits(
    reason: RejectReason,
) -> None:
    venue = KillVenue()
    venue.hold(BTC, "-1")
    venue.marks[BTC] = 100.0
    venue.will("place", refusal(reason))
    result = await alone(venue)
    assert result.is_done
    (order,) = venue.sent
    assert (order.type, order.time_in_force) == (OrderType.LIMIT, TimeInForce.IOC)
    assert order.price == Decimal("101.00")


async def test_flatten_when_rest_is_below_the_minimum_names_it_as_dust() -> None:
    venue = KillVenue()
    venue.hold(BTC, "0.001")
    venue.will("place", refusal(RejectReason.MIN_NOTIONAL, "5 USDT at least"))
    result = await alone(venue)
    assert result.is_done
    assert result.kept == ["BTC/USDT:USDT: dust, BELOW_MINIMUM 5 USDT at least"]


async def test_flatten_when_much_is_called_too_small_sends_a_limit_order() -> None:
    venue = KillVenue()
    venue.hold(BTC, "1", venue_mark=40_000)
    venue.marks[BTC] = 40_000.0
    venue.will("place", refusal(RejectReason.MIN_NOTIONAL, "5 USDT at least"))
    result = await alone(venue)
    assert result.is_done
    assert (result.kept, venue.positions) == ([], {})
    (order,) = venue.sent
    assert order.type is OrderType.LIMIT


async def test_flatten_when_close_is_refused_for_good_says_what_is_left_and_why() -> None:
    venue = KillVenue()
    venue.hold(BTC, "1")
    venue.will("place", *[refusal(RejectReason.MAINTENANCE, "back soon")] * 500)
    result = await alone(venue, seconds=20)
    assert not result.is_done
    assert result.left == ["position BTC/USDT:USDT 1: VENUE_MAINTENANCE back soon"]


async def test_kill_when_orders_do_not_go_away_says_so() -> None:
    venue = KillVenue()
    venue.is_deaf = True
    venue.work(BTC, side=Side.BUY, quantity="1", price=1)
    result = await alone(venue, options=Options(), seconds=20)
    assert not result.is_done
    assert result.left == ["order buy 1 BTC/USDT:USDT (o1)"]


async def test_kill_when_one_venue_is_down_does_the_other_and_names_it() -> None:
    good, bad = KillVenue("good"), KillVenue("bad")
    good.hold(BTC, "1")
    bad.will("open", *[unreachable("connection refused")] * 2_000)
    results = {r.account: r for r in await run(good, bad, seconds=20)}
    assert results["good"].is_done
    assert good.positions == {}
    assert not results["bad"].is_done
    assert (results["bad"].error, results["bad"].left) == (
        "connection refused",
        ["nothing could be read"],
    )


async def test_kill_when_venue_comes_back_goes_on() -> None:
    venue = KillVenue()
    venue.hold(BTC, "1")
    venue.will("open", unreachable(), unreachable())
    venue.will("snapshot", unreachable())
    result = await alone(venue)
    assert result.is_done
    assert venue.positions == {}


async def test_kill_when_venue_never_answers_ends_in_time() -> None:
    venue = KillVenue()
    venue.will("open", never)
    result = await alone(venue, seconds=0.2)
    assert (result.is_done, result.error) == (False, "not verified in time")
    assert venue.calls[-1] == ("close", None)


async def test_flatten_when_coins_are_held_sells_none_and_keeps_their_hedge() -> None:
    venue = KillVenue()
    venue.own("BTC", "1")
    venue.hold(BTC, "-1.5", venue_mark=100)
    venue.hold(ETH, "2")
    result = await alone(venue)
    assert result.is_done
    assert {(o.symbol, o.quantity) for o in venue.sent} == {
        (BTC, Decimal("0.5")),
        (ETH, Decimal(2)),
    }
    assert result.kept == [
        "BTC/USDT 1: spot: hold, riskbot never sells it",
        "BTC/USDT:USDT -1: hedges 1 BTC that is not sold",
    ]


async def test_flatten_when_the_hedged_coins_are_at_another_venue_keeps_the_hedge() -> None:
    spot, perp = KillVenue("spot"), KillVenue("perp")
    spot.own("BTC", "1")
    perp.hold(BTC, "-1")
    results = {r.account: r for r in await run(spot, perp)}
    assert all(r.is_done for r in results.values())
    assert perp.sent == []
    assert results["perp"].kept == ["BTC/USDT:USDT -1: hedges 1 BTC that is not sold"]


async def test_flatten_when_coins_may_be_sold_sells_the_free_ones() -> None:
    venue = KillVenue()
    venue.own("BTC", "1", free="0.4")
    venue.own("XYZ", "5")
    del venue.listed["XYZ/USDT"]
    result = await alone(venue, coins=True)
    assert result.is_done
    (order,) = venue.sent
    assert (order.symbol, order.side, order.quantity) == ("BTC/USDT", Side.SELL, Decimal("0.4"))
    assert not order.reduce_only
    assert result.kept == [
        "BTC/USDT 0.6: 0.6 of it is locked",
        "XYZ 5: no spot market to sell it at",
    ]


async def test_kill_when_one_account_surprises_still_does_the_others() -> None:
    made: dict[str, KillVenue] = {}

    def build(name: str, account: AccountConfig, clock: HastyClock) -> KillVenue:
        del account
        made[name] = venue = KillVenue(name, clock)
        venue.hold(BTC, "1")
        if name == "odd":
            venue.will("snapshot", RuntimeError("surprise"))
        return venue

    accounts = {
        "good": AccountConfig(exchange="bybit"),
        "odd": AccountConfig(exchange="okx"),
        "sim": AccountConfig(exchange="paper"),
    }
    found = await kill(accounts, FLATTEN, 60, HastyClock(), build)  # type: ignore[arg-type]
    results = {r.account: r for r in found}
    assert results["good"].is_done
    assert made["good"].positions == {}
    assert results["odd"].error == "RuntimeError: surprise"
    assert results["sim"].kept == ["paper: lives in the daemon"]
