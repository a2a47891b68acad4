"""A strategy that knows the HTTP contract alone: asked, placed, denied, stopped, closed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.errors import StorageError
from riskbot.frontends._gateway import models
from riskbot.frontends._gateway.asking import AT_ONCE
from riskbot.journal import Journal
from riskbot.runner import Inbox
from tests.fakes import until
from tests.frontends.http.conftest import GROSS
from tests.frontends.http.stage import ORDER, Stage, stage, token

BTC = "BTC/USDT:USDT"


def codes(document: dict[str, Any]) -> set[str]:
    return {reason["code"] for reason in document["reasons"]}


async def test_check_that_passes_reserves_and_one_too_many_is_denied_with_what_would_pass(
    door: Stage,
) -> None:
    first = await door.check(quantity="1.5")
    assert first.status == 200
    assert first.document["decision"] == "approve"
    assert first.document["order"]["status"] == "reserved"
    assert not door.market.sent
    second = await door.check("trend", quantity="0.6")
    assert (second.status, second.document["decision"]) == (200, "deny")
    assert codes(second.document) == {"LIMIT_EXCEEDED"}
    assert Decimal(second.document["max_quantity"]) == Decimal("0.5")
    assert second.document["order"] is None
    third = await door.check("trend", quantity="0.6", allow_resize=True)
    assert third.document["decision"] == "resize"
    assert Decimal(third.document["order"]["quantity"]) == Decimal("0.5")
    for answer in (first, second, third):
        models.Answer.model_validate(answer.document)
        assert set(answer.document) == set(models.Answer.model_fields)


async def test_submitted_order_is_placed_once_however_often_it_is_asked(door: Stage) -> None:
    answers = await asyncio.gather(*(door.place(client_order_id="one") for _ in range(20)))
    assert {a.document["reservation_id"] for a in answers} == {
        answers[0].document["reservation_id"]
    }
    await until(lambda: door.market.quantity("BTC"))
    assert len(door.market.sent) == 1
    other = await door.place(client_order_id="one", quantity="0.06")
    assert (other.status, "another body" in other.document["error"]) == (409, True)
    as_check = await door.check(client_order_id="one")
    assert as_check.status == 409
    # The same meaning is the same body, however it is written.
    same = await door.ask(
        "POST",
        "/v1/orders",
        b'{"client_order_id": "one", "type": "market", "quantity": 5e-2, "side": "buy",'
        b' "instrument": "BTC/USDT:USDT", "account": "main", "reduce_only": false}',
    )
    assert same.status == 200
    assert len(door.market.sent) == 1


async def test_order_is_shown_amended_and_cancelled_by_its_own_strategy_alone(door: Stage) -> None:
    placed = await door.place(type="limit", price="40000", client_order_id="rest")
    assert placed.document["decision"] == "approve"
    path = "/v1/orders/rest"

    async def shown(who: str = "grid") -> Any:
        return (await door.ask("GET", path, who=who)).document

    async def until_status(status: str) -> None:
        async with asyncio.timeout(10):
            while (await shown())["status"] != status:
                await asyncio.sleep(0.01)

    await until_status("open")
    assert set(await shown()) == set(models.Order.model_fields)
    for who, status in (("trend", 404), ("viewer", 403), ("operator", 403), ("admin", 200)):
        assert (await door.ask("GET", path, who=who)).status == status, who
    assert (await door.ask("DELETE", path, who="trend")).status == 404
    assert (await door.ask("DELETE", path, who="admin")).status == 403
    amended = await door.ask("PATCH", path, {"quantity": "0.04", "price": 41000})
    assert amended.document["decision"] == "approve"
    await until(lambda: len(door.market.sent) == 2)
    await until_status("open")
    assert (await shown())["quantity"] == "0.04"
    gone = await door.ask("DELETE", path)
    assert gone.status == 200
    await until_status("canceled")
    again = await door.ask("DELETE", path)
    assert (again.status, again.document["order"]["status"]) == (409, "canceled")
    assert (await door.ask("DELETE", "/v1/orders/nothing")).status == 404


async def test_two_strategies_may_use_one_id_and_an_admin_names_whose(door: Stage) -> None:
    for who in ("grid", "trend"):
        assert (await door.place(who, client_order_id="x1")).document["decision"] == "approve"
    assert (await door.ask("GET", "/v1/orders/x1", who="admin")).document["field"] == "strategy"
    named = await door.ask("GET", "/v1/orders/x1?strategy=trend", who="admin")
    assert named.document["strategy"] == "trend"
    assert (await door.ask("GET", "/v1/orders/x1?strategy=trend", who="grid")).status == 403


async def test_two_hundred_clients_on_one_limit_get_forty_approvals_and_no_contract_more(
    door: Stage,
) -> None:
    rng = random.Random(7)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def client(number: int) -> Any:
            await asyncio.sleep(rng.random() / 10)
            who = "grid" if number % 2 else "trend"
            route = "/v1/orders" if number % 3 else "/v1/orders/check"
            name = {} if number % 3 else {"client_order_id": f"c{number}"}
            body = {**ORDER, **name}
            return (await door.ask("POST", route, body, who, session=session)).document

        answers = await asyncio.gather(*(client(n) for n in range(200)))
    approved = [a for a in answers if a["decision"] == "approve"]
    # 2 BTC is the limit; each asks for 0.05.
    assert sum(Decimal(a["order"]["quantity"]) for a in approved) == 2
    assert all(codes(a) == {"LIMIT_EXCEEDED"} for a in answers if a["decision"] == "deny")
    assert len({a["client_order_id"] for a in approved}) == len(approved) == 40
    submitted = [a for a in approved if a["order"]["submitted"]]
    await until(lambda: len(door.market.sent) == len(submitted))
    assert door.market.quantity("BTC") == len(submitted) * Decimal("0.05")


async def test_strategy_has_few_questions_in_the_core_at_once_and_exits_wait_for_none(
    door: Stage,
) -> None:
    await door.place(quantity="0.5")
    await until(lambda: door.market.quantity("BTC"))
    door.read()
    door.gate.clear()
    waiting = [asyncio.create_task(door.check(quantity="0.01")) for _ in range(40)]
    await until(lambda: door.in_core == AT_ONCE)
    # The others stand at the door, and pass nobody who closes or cancels.
    closing = await door.place(side="sell", quantity="0.5", reduce_only=True)
    assert closing.document["decision"] == "approve"
    assert (await door.ask("DELETE", "/v1/orders/nothing")).status == 404
    assert not any(task.done() for task in waiting)
    door.gate.set()
    answers = await asyncio.gather(*waiting)
    assert {a.document["decision"] for a in answers} == {"approve"}
    assert door.most_in_core == AT_ONCE


async def test_after_a_halt_is_acknowledged_no_entry_passes_and_exits_do(door: Stage) -> None:
    assert (await door.place(quantity="0.5")).document["decision"] == "approve"
    await until(lambda: door.market.quantity("BTC"))
    door.read()
    acknowledged = asyncio.Event()
    late: list[Any] = []

    async def hammer(number: int) -> None:
        while True:
            is_late = acknowledged.is_set()
            answer = await door.check("trend", quantity="0.001", client_order_id=None)
            if is_late:
                late.append(answer.document["decision"])
                if len(late) > 40:
                    return

    hammers = [asyncio.create_task(hammer(n)) for n in range(8)]
    await asyncio.sleep(0.1)
    assert (await door.command("halt", reason="lunch")).document["ok"]
    acknowledged.set()
    await asyncio.gather(*hammers)
    assert set(late) == {"deny"}
    closing = await door.place(side="sell", quantity="0.5", reduce_only=True)
    assert closing.document["decision"] == "approve"
    await until(lambda: door.market.quantity("BTC") == 0)


async def test_client_that_hangs_up_leaves_nothing_behind_and_its_order_stands(
    door: Stage,
) -> None:
    body = b'{"account":"main","instrument":"BTC/USDT:USDT","side":"buy","quantity":"0.05"'
    body += b',"type":"market","client_order_id":"gone"}'
    before = len(asyncio.all_tasks())
    for _ in range(20):
        reader, writer = await asyncio.open_connection(*door.url.removeprefix("http://").split(":"))
        head = f"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: Bearer {token('grid')}\r\nContent-Type: application/json\r\n\r\n"
        writer.write(head.encode() + body)
        writer.transport.abort()
        del reader
    answer = await door.place(client_order_id="gone")
    assert answer.document["decision"] == "approve"
    await door.session.close()
    await until(lambda: len(asyncio.all_tasks()) <= before)
    await until(lambda: door.market.quantity("BTC"))
    assert len(door.market.sent) == 1


async def test_instrument_that_nobody_holds_is_watched_and_waited_for(door: Stage) -> None:
    door.wishes.priced = {"SOL/USDT:USDT": 100.0}
    answers = await asyncio.gather(
        *(door.check(instrument="SOL/USDT:USDT", quantity="1") for _ in range(5))
    )
    assert {a.document["decision"] for a in answers} == {"approve"}
    unknown = await door.check(instrument="NOPE/USDT:USDT")
    assert codes(unknown.document) == {"INSTRUMENT_UNKNOWN"}
    # What is watched and priced is not asked for again; a stranger's account not at all.
    before = list(door.wishes.asked)
    await door.check()
    other = await door.check(account="elsewhere")
    assert codes(other.document) == {"ACCOUNT_NOT_ALLOWED"}
    assert door.wishes.asked == before


async def test_account_with_a_list_of_instruments_has_nothing_else_watched(tmp_path: Path) -> None:
    accounts = {"main": {"exchange": "paper", "instruments": [BTC]}}
    async with stage(tmp_path, accounts=accounts) as door:
        door.wishes.priced = {"SOL/USDT:USDT": 100.0}
        assert (await door.check(instrument="SOL/USDT:USDT")).document["decision"] == "deny"
        assert door.wishes.asked == []
        assert (await door.check()).document["decision"] == "approve"


async def test_overload_is_said_to_be_one_and_nothing_is_approved(tmp_path: Path) -> None:
    async with stage(tmp_path, limits=GROSS, inbox=Inbox(urgent_max=20)) as door:
        # Full before the loop gets to look: outcomes are always taken, questions are not.
        for _ in range(40):
            door.submit(events.StorageRestored())
        answers = []
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            feeding = asyncio.create_task(_keep_full(door))
            answers = await asyncio.gather(
                *(
                    door.ask("POST", "/v1/orders/check", {**ORDER}, session=session)
                    for _ in range(50)
                )
            )
            feeding.cancel()
        assert {a.status for a in answers} <= {200, 503}
        refused = [a for a in answers if a.status == 503]
        assert refused
        assert "overloaded" in refused[0].document["error"]


async def _keep_full(door: Stage) -> None:
    while True:
        for _ in range(40):
            door.runner.submit(events.StorageRestored())
        await asyncio.sleep(0)


class Buggy(Engine):
    """Breaks on one order."""

    def handle(
        self, event: events.Event, now_ms: int, received_ns: int = 0
    ) -> list[actions.Action]:
        if isinstance(event, events.OrderRequested) and event.order.client_order_id == "bug":
            message = "planted"
            raise ValueError(message)
        return super().handle(event, now_ms, received_ns)


async def test_bug_in_the_core_is_a_denial_and_the_guard_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path, limits=GROSS, engine=Buggy) as door:
        answer = await door.check(client_order_id="bug")
        assert (answer.status, "bug" in answer.document["error"]) == (500, True)
        assert (await door.check(client_order_id="well")).status == 200
        assert (await door.check(client_order_id="bug")).status == 500
        # One more would end the process: this strategy is asked for nothing more, others are.
        for name in ("bug", "well", "other"):
            refused = await door.check(client_order_id=name)
            assert (refused.status, "broke riskbot" in refused.document["error"]) == (503, True)
        assert (await door.check("trend")).document["decision"] == "approve"


def _is_full(event: events.OrderRequested) -> bool:
    return (event.order.client_order_id or "").startswith("full")


class Full(Journal):
    """Takes no order."""

    def enqueue(
        self, event: events.Event, decided: Sequence[actions.Action], ts_ms: int
    ) -> asyncio.Future[int]:
        if not isinstance(event, events.OrderRequested) or not _is_full(event):
            return super().enqueue(event, decided, ts_ms)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_exception(StorageError("disk full"))
        return future


async def test_approval_that_could_not_be_recorded_is_none(tmp_path: Path) -> None:
    async with stage(tmp_path, limits=GROSS, journal=Full) as door:
        assert (await door.place(quantity="0.5")).document["decision"] == "approve"
        await until(lambda: door.market.quantity("BTC"))
        entry = await door.check(quantity="0.1", client_order_id="full1")
        assert (entry.status, "not recorded" in entry.document["error"]) == (503, True)
        exit_ = await door.place(
            side="sell", quantity="0.5", reduce_only=True, client_order_id="full2"
        )
        assert (exit_.status, exit_.document["decision"]) == (200, "approve")
        await until(lambda: door.market.quantity("BTC") == 0)
