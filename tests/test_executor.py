"""Each order sent once, each outcome back, urgent work not held up by routine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from riskbot.core import actions, events, model
from riskbot.errors import VenueError
from riskbot.exchanges._base import Exchange
from riskbot.executor import LEDGER_FIRST_MS, LEDGER_OVERLAP_MS, Deadlines, Executor
from tests import builders
from tests.fakes import START_MS, FakeClock, FakeExchange, never, settle, unreachable, until

SHORT = Deadlines(order_s=0.05, cancel_s=0.05, query_s=0.05, read_s=0.3, aside_s=0.05)


class Desk:
    """An executor before a venue that obeys, and what came back."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.exchange = FakeExchange(clock=self.clock)
        self.back: list[events.Event] = []
        self.halt_file = tmp_path / "HALT"
        self.reactions: list[float] = []
        exchange: Exchange = self.exchange
        self.executor = Executor(
            exchange,
            self.back.append,
            self.clock,
            self.halt_file.exists,
            self.reactions.append,
            SHORT,
        )

    async def do(self, *work: Any) -> list[Any]:
        """Carry out work and return what came back of it."""
        before = len(self.back)
        for action in work:
            self.executor.do(action)
        await until(lambda: not self.executor.in_flight)
        return self.back[before:]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    yield made
    await made.executor.drain(0)


def place(symbol: str = "BTC/USDT:USDT", **values: Any) -> actions.PlaceOrder:
    return actions.PlaceOrder(
        account="main",
        symbol=symbol,
        client_order_id=values.pop("client_order_id", "rb1"),
        side=model.Side.SELL,
        quantity=Decimal(1),
        **values,
    )


def cancel(order_id: str = "v1") -> actions.CancelOrder:
    return actions.CancelOrder(account="main", symbol="BTC/USDT:USDT", order_id=order_id)


def query() -> actions.QueryOrder:
    return actions.QueryOrder(account="main", symbol="BTC/USDT:USDT", client_order_id="rb1")


def refresh(request_id: int = 1, **values: Any) -> actions.RefreshAccount:
    return actions.RefreshAccount(account="main", request_id=request_id, reason="x", **values)


# ---------------------------------------------------------------- orders


async def test_order_is_sent_once_and_its_outcome_comes_back(desk: Desk) -> None:
    (outcome,) = await desk.do(place())
    assert outcome == events.OrderAccepted(
        account="main", symbol="BTC/USDT:USDT", client_order_id="rb1", order_id="v1"
    )
    assert desk.exchange.called("place") == [place()]


async def test_order_that_is_refused_comes_back_as_told(desk: Desk) -> None:
    refusal = events.OrderRejected(
        account="main",
        symbol="BTC/USDT:USDT",
        client_order_id="rb1",
        reason=model.RejectReason.REDUCE_ONLY,
    )
    desk.exchange.will("place", refusal)
    assert await desk.do(place()) == [refusal]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (never, "no answer within 0.05 s"),
        (TimeoutError(), "no answer"),
        (unreachable("connection reset"), "connection reset"),
        (KeyError("orderId"), "KeyError: 'orderId'"),
    ],
)
async def test_order_without_a_readable_answer_is_unknown_and_never_sent_again(
    desk: Desk, trouble: Any, words: str
) -> None:
    desk.exchange.will("place", trouble)
    (outcome,) = await desk.do(place())
    assert isinstance(outcome, events.OrderOutcomeUnknown)
    assert words in outcome.message
    await settle()
    assert len(desk.exchange.called("place")) == 1


async def test_orders_go_out_together(desk: Desk) -> None:
    waiting = 0
    gate = asyncio.Event()

    async def hold(order: actions.PlaceOrder) -> events.Event:
        nonlocal waiting
        waiting += 1
        if waiting == 20:
            gate.set()
        await gate.wait()
        return events.OrderOutcomeUnknown(
            account="main", symbol=order.symbol, client_order_id=order.client_order_id
        )

    desk.exchange.will("place", *[hold] * 20)
    back = await desk.do(*(place(f"S{n}/USDT:USDT", client_order_id=f"rb{n}") for n in range(20)))
    assert waiting == 20
    assert {outcome.message for outcome in back} == {""}


async def test_new_risk_is_not_sent_while_the_halt_file_is_there_but_closing_is(
    desk: Desk,
) -> None:
    desk.halt_file.touch()
    (refused,) = await desk.do(place(is_protective=False))
    assert isinstance(refused, events.OrderRejected)
    assert refused.reason is model.RejectReason.HALT_FILE
    assert desk.exchange.called("place") == []
    (closed,) = await desk.do(place(is_protective=True))
    assert isinstance(closed, events.OrderAccepted)
    desk.halt_file.unlink()
    (accepted,) = await desk.do(place(is_protective=False))
    assert isinstance(accepted, events.OrderAccepted)


async def test_reaction_is_measured_from_the_frame_to_the_send(desk: Desk) -> None:
    received_ns = desk.clock.monotonic_ns()
    desk.clock.jump(250)
    await desk.do(place(received_ns=received_ns), place(received_ns=0))
    assert desk.reactions == [0.25]


@pytest.mark.parametrize(
    ("action", "method", "field"),
    [(cancel(), "cancel", "done"), (query(), "find", "found")],
)
@pytest.mark.parametrize("trouble", [never, unreachable(), ValueError("x")])
async def test_cancel_and_query_without_an_answer_are_unknown(
    desk: Desk, action: Any, method: str, field: str, trouble: Any
) -> None:
    desk.exchange.will(method, trouble)
    (outcome,) = await desk.do(action)
    assert getattr(outcome, field) is None
    assert outcome.message


async def test_cancel_and_query_bring_the_venues_answer(desk: Desk) -> None:
    back = await desk.do(cancel(), query())
    assert [type(e) for e in back] == [events.CancelFinished, events.OrderQueried]
    assert back[0].done is True
    assert back[1].found is False


async def test_dead_man_counts_as_armed_only_when_the_venue_said_so(desk: Desk) -> None:
    arm = actions.SetDeadMan(account="main", timeout_ms=60_000)
    (armed,) = await desk.do(arm)
    assert armed.is_armed
    desk.exchange.will("set_dead_man", never, unreachable("nope"))
    silent, refused = await desk.do(arm) + await desk.do(arm)
    assert not silent.is_armed
    assert not refused.is_armed
    assert "nope" in refused.detail
    # Not said to be off is on: it may strike, and must be told again.
    desk.exchange.will("set_dead_man", never, unreachable("nope"))
    off = actions.SetDeadMan(account="main", timeout_ms=0)
    assert [event.is_armed for event in await desk.do(off) + await desk.do(off)] == [True, True]


# ---------------------------------------------------------------- reads


async def test_margin_is_asked_for_once_and_a_lost_answer_is_unknown(desk: Desk) -> None:
    move = builders.margin_move()
    (moved,) = await desk.do(move)
    assert (moved.move_id, moved.done) == ("m1", True)
    desk.exchange.will("add_margin", never)
    (lost,) = await desk.do(move)
    assert lost.done is None
    assert lost.message.startswith("no answer within")
    assert len(desk.exchange.called("add_margin")) == 2


async def test_depth_is_told_and_its_failure_is_not(desk: Desk) -> None:
    read = events.DepthRead(
        account="main", symbol="BTC/USDT:USDT", bid_quantity=Decimal(1), ask_quantity=Decimal(2)
    )
    desk.exchange.will("depth", [read], never, unreachable("nope"))
    ask = actions.ReadDepth(account="main", symbols=("BTC/USDT:USDT",))
    assert await desk.do(ask) == [read]
    assert await desk.do(ask) == []
    assert await desk.do(ask) == []


async def test_read_brings_prices_and_ledger_before_the_snapshot(desk: Desk) -> None:
    row = events.LedgerEntryBooked(
        account="main",
        entry_id="1",
        entry_kind=model.LedgerKind.DEPOSIT,
        asset="USDT",
        amount=Decimal(5),
        venue_ms=START_MS,
    )
    desk.exchange.marks["BTC/USDT:USDT"] = 40_000.0
    desk.exchange.will("ledger", [row])
    back = await desk.do(refresh(7, symbols=("BTC/USDT:USDT",), with_ledger=True, is_urgent=True))
    assert [e.kind for e in back] == [
        "PricesUpdated",
        "LedgerEntryBooked",
        "AccountSnapshotReceived",
    ]
    assert back[-1].request_id == 7
    assert desk.exchange.called("snapshot") == [(7, True)]


async def test_read_when_prices_fail_or_hang_brings_the_snapshot_all_the_same(desk: Desk) -> None:
    for trouble in (unreachable(), never, KeyError("x")):
        desk.exchange.will("prices", trouble)
        (snapshot,) = await desk.do(refresh(symbols=("BTC/USDT:USDT",)))
        assert isinstance(snapshot, events.AccountSnapshotReceived)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (never, model.RejectReason.UNREACHABLE),
        (
            VenueError(model.RejectReason.RATE_LIMITED, "slow down", retry_after_ms=9_000),
            model.RejectReason.RATE_LIMITED,
        ),
        (TypeError("null"), model.RejectReason.UNREACHABLE),
    ],
)
async def test_read_that_fails_says_so_with_its_id(
    desk: Desk, trouble: Any, reason: model.RejectReason
) -> None:
    desk.exchange.will("snapshot", trouble)
    (failed,) = await desk.do(refresh(3))
    assert isinstance(failed, events.RefreshFailed)
    assert (failed.request_id, failed.reason) == (3, reason)
    if isinstance(trouble, VenueError):
        assert failed.retry_after_ms == 9_000


async def test_reads_asked_for_while_one_runs_are_answered_by_one_read_after_it(
    desk: Desk,
) -> None:
    gate = asyncio.Event()

    async def hold(asked: tuple[int, bool]) -> events.Event:
        await gate.wait()
        return events.RefreshFailed(
            account="main",
            reason=model.RejectReason.OTHER,
            message="first",
            request_id=asked[0],
        )

    desk.exchange.will("snapshot", hold)
    desk.executor.do(refresh(1))
    await settle()
    for request_id in (2, 3, 4):
        desk.executor.do(refresh(request_id, symbols=(f"S{request_id}",)))
    desk.executor.do(refresh(5, with_ledger=True))
    await settle()
    assert [asked for asked, _ in desk.exchange.called("snapshot")] == [1]
    gate.set()
    await until(lambda: not desk.executor.in_flight)
    assert [asked for asked, _ in desk.exchange.called("snapshot")] == [1, 5]
    assert desk.exchange.called("prices") == [("S2", "S3", "S4")]
    assert len(desk.exchange.called("ledger")) == 1


async def test_urgent_read_does_not_wait_for_a_routine_one_that_hangs(desk: Desk) -> None:
    desk.exchange.will("snapshot", never)
    desk.executor.do(refresh(1))
    await settle()
    desk.executor.do(refresh(2, is_urgent=True))
    await until(lambda: desk.back)
    assert desk.back[0].request_id == 2  # type: ignore[union-attr]


async def test_ledger_reaches_back_far_at_first_then_overlaps(desk: Desk) -> None:
    desk.exchange.will("ledger", unreachable())
    for _ in range(3):
        await desk.do(refresh(with_ledger=True))
        desk.clock.jump(60_000)
    assert desk.exchange.called("ledger") == [
        START_MS - LEDGER_FIRST_MS,
        START_MS + 60_000 - LEDGER_FIRST_MS,
        START_MS + 60_000 - LEDGER_OVERLAP_MS,
    ]


async def test_drain_waits_for_what_is_in_flight_but_not_for_ever(desk: Desk) -> None:
    gate = asyncio.Event()
    desk.exchange.will("cancel", never)
    desk.executor.do(cancel())
    await desk.executor.drain(0.001)
    assert desk.executor.in_flight == 1
    gate.set()
    await desk.executor.drain(5)
    assert desk.executor.in_flight == 0
