"""Documents, commands with plan and confirmation, the stream, and the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from riskbot.core import actions, events
from riskbot.core.commands import BY_NAME
from riskbot.core.model import RejectReason
from riskbot.core.ordering import Code
from riskbot.frontends._gateway import models
from riskbot.frontends.http import stream
from riskbot.frontends.http.replay import KEPT_MAX
from tests.fakes import until
from tests.frontends.http.conftest import GROSS
from tests.frontends.http.stage import ORDER, Stage, stage, token


async def read(door: Stage, path: str, who: str = "viewer") -> Any:
    answer = await door.ask("GET", path, who=who)
    assert answer.status == 200, answer.document
    return answer.document


async def test_documents_are_those_of_every_other_door(door: Stage) -> None:
    await door.place(quantity="0.5", client_order_id="a")
    await until(lambda: door.market.quantity("BTC"))
    door.read()
    await until(lambda: door.runner.latest_view().get("positions"))
    for name in ("positions", "exposure", "limits", "alerts"):
        view = door.runner.latest_view().get(name)
        assert await read(door, f"/v1/{name}") == json.loads(json.dumps(view, default=str))
    assert (await read(door, "/v1/positions"))[0]["quantity"] == 0.5
    rows = await read(door, "/v1/decisions?limit=2")
    assert rows == json.loads(json.dumps((await door.journal.decisions(limit=2)), default=str))
    older = await read(door, f"/v1/decisions?before={rows[0]['seq']}")
    assert [row["seq"] for row in older] == sorted((row["seq"] for row in older), reverse=True)
    assert all(row["seq"] < rows[0]["seq"] for row in older)
    size = await read(door, "/v1/size?instrument=BTC&stop=45000", "grid")
    assert size["buy"]["quantity"].startswith("1.5")
    assert isinstance(await read(door, "/v1/history?measure=gross_exposure&since=0"), list)


async def test_ready_says_what_is_not_and_health_only_that_it_lives(door: Stage) -> None:
    assert (await door.ask("GET", "/readyz", who=None)).status == 200
    for _ in range(3):
        door.submit(events.FeedLost(account="main", feed="account", reason="gone", symbol=None))
        door.submit(
            events.RefreshFailed(
                account="main", reason=RejectReason.UNREACHABLE, message="no answer"
            )
        )
    door.submit(events.StorageFailed(error="full"))
    await until(lambda: door.runner.latest_view().get("status")["blind"])
    blind = await door.ask("GET", "/readyz", who=None)
    assert (blind.status, blind.document["ready"]) == (503, False)
    assert any("storage" in reason for reason in blind.document["reasons"])
    assert (await door.ask("GET", "/healthz", who=None)).status == 200
    denied = await door.check()
    assert (denied.status, denied.document["decision"]) == (200, "deny")


async def test_riskier_command_is_planned_then_confirmed_by_the_same_token(door: Stage) -> None:
    await door.place(quantity="0.5")
    await until(lambda: door.market.quantity("BTC"))
    door.read()
    plan = await door.command("flatten", "admin")
    assert plan.status == 200
    assert plan.document["plan_id"]
    assert plan.document["plan"]
    assert set(plan.document) <= set(models.Done.model_fields)
    other = await door.command("flatten", "operator", plan_id=plan.document["plan_id"])
    assert other.status == 403
    assert door.market.quantity("BTC")
    done = await door.command("flatten", "admin", plan_id=plan.document["plan_id"])
    assert done.document["ok"]
    await until(lambda: door.market.quantity("BTC") == 0)
    assert [c.name for c in door.commands] == ["flatten"] * 3
    used = await door.command("flatten", "admin", plan_id=plan.document["plan_id"])
    assert not used.document["ok"]
    # Without a body, too.
    answer = await door.ask("POST", "/v1/commands/status", who="viewer")
    assert answer.document["document"]["trading_state"]


async def test_figure_of_a_command_may_be_tiny_and_none_may_be_endless(door: Stage) -> None:
    for literal, status in (("1e-200", 200), ("1e400", 400), ("NaN", 400), ("9" * 80, 400)):
        body = f'{{"limit": "drawdown", "duration_s": {literal}}}'.encode()
        answer = await door.ask("POST", "/v1/commands/silence", body, "admin")
        assert answer.status == status, answer
        assert status == 200 or answer.document["field"] == "duration_s"


# ---------------------------------------------------------------- the stream


@asynccontextmanager
async def listening(
    door: Stage, who: str, last_id: str = "", ids: list[str] | None = None
) -> AsyncIterator[list[tuple[str, Any]]]:
    """Listen as a client does; what was heard, and the ids, grow while the block runs."""
    heard: list[tuple[str, Any]] = []

    async def listen(response: aiohttp.ClientResponse) -> None:
        name = ""
        async for line in response.content:
            word, _, rest = line.decode().rstrip("\n").partition(": ")
            if word == "event":
                name = rest
            elif word == "id" and ids is not None:
                ids.append(rest)
            elif word == "data":
                heard.append((name, json.loads(rest)))

    headers = {"Authorization": f"Bearer {token(who)}"}
    headers |= {"Last-Event-ID": last_id} if last_id else {}
    async with (
        aiohttp.ClientSession(read_bufsize=2**22) as session,
        session.get(f"{door.url}/v1/stream", headers=headers) as response,
    ):
        assert response.content_type == "text/event-stream"
        task = asyncio.create_task(listen(response))
        try:
            yield heard
        finally:
            task.cancel()


def of(heard: list[tuple[str, Any]], name: str) -> list[Any]:
    return [document for event, document in heard if event == name]


async def test_stream_tells_an_orders_life_to_its_strategy_and_everything_to_people(
    door: Stage,
) -> None:
    async with (
        listening(door, "grid") as grid,
        listening(door, "trend") as trend,
        listening(door, "viewer") as viewer,
    ):
        await until(lambda: of(grid, "status") and of(trend, "status") and of(viewer, "status"))
        await door.place(client_order_id="mine")
        await until(lambda: [o["status"] for o in of(grid, "order")][-1:] == ["filled"])
        assert set(of(grid, "order")[0]) == set(models.Order.model_fields)
        await until(lambda: of(viewer, "order")[-1:] == of(grid, "order")[-1:])
        await until(lambda: [d for d in of(viewer, "decision") if "mine" in str(d)])
        await door.command("halt", reason="lunch")
        await until(lambda: of(grid, "status")[-1]["trading_state"] == "HALTED")
        await until(lambda: [a for a in of(viewer, "alert") if a["limit"] == "halt"])
        await until(lambda: [d for d in of(viewer, "decision") if d["kind"] == "command"])
        seqs = [d["seq"] for d in of(viewer, "decision")]
        assert seqs == sorted(set(seqs))
        assert {name for name, _ in trend} == {"status"}
        assert {name for name, _ in grid} == {"status", "order"}


async def test_listener_that_does_not_read_is_let_go_and_the_others_miss_nothing(
    door: Stage,
) -> None:
    reader, writer = await asyncio.open_connection(*door.url.removeprefix("http://").split(":"))
    head = f"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token('grid')}"
    writer.write(head.encode() + b"\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with listening(door, "grid") as heard:
        await until(lambda: len(door.http.stream.listeners) == 2)
        note = "x" * 20_000
        order = (await door.check(client_order_id="a")).document["order"]
        sent = 0
        while len(door.http.stream.listeners) == 2 and sent < 5_000:
            sent += 1
            document = {**order, "note": note, "created_ms": sent}
            door.http.notify(
                actions.NotifyOrder(reservation_id="r", strategy="grid", document=document)
            )
            await asyncio.sleep(0.001)
            slow = [each for each in door.http.stream.listeners if each.is_behind]
            if slow:
                break
        assert slow

        def told() -> list[int]:
            return [o["created_ms"] for o in of(heard, "order") if o["note"] == note]

        await until(lambda: len(told()) == sent)
        assert told() == list(range(1, sent + 1))
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    rest = b""
    async with asyncio.timeout(20):
        while b"too slow" not in rest:
            rest = rest[-50:] + await reader.read(2**20)
    writer.close()
    await until(lambda: not door.http.stream.listeners)


async def test_listener_that_takes_nothing_at_all_loses_its_place(door: Stage) -> None:
    door.http.stream.patience_s = 0.5
    _, writer = await asyncio.open_connection(*door.url.removeprefix("http://").split(":"))
    head = f"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token('grid')}"
    writer.write(head.encode() + b"\r\n\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await until(lambda: len(door.http.stream.listeners) == 1)
    order = (await door.check(client_order_id="a")).document["order"]
    large = {**order, "note": "x" * 200_000}
    for _ in range(100):
        door.http.notify(actions.NotifyOrder(reservation_id="r", strategy="grid", document=large))
        await asyncio.sleep(0.001)
    await until(lambda: not door.http.stream.listeners)
    writer.close()


async def test_listeners_of_a_token_are_bounded_others_have_room_and_all_hear_the_end(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, limits=GROSS) as door, AsyncExitStack() as stack:
        for _ in range(stream.TOKEN_MAX):
            heard = await stack.enter_async_context(listening(door, "grid"))
        refused = await door.ask("GET", "/v1/stream", who="grid")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
        for who in ("trend", "viewer", "operator", "admin"):
            await stack.enter_async_context(listening(door, who))
        for task in door.tasks[1:]:
            task.cancel()
        await until(lambda: of(heard, "end"))
        assert "stopping" in of(heard, "end")[0]["reason"]


def lives(heard: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(o["client_order_id"], o["status"]) for o in of(heard, "order")]


async def test_listener_that_comes_back_is_told_each_event_of_its_orders_once(door: Stage) -> None:
    ids: list[str] = []
    people: list[str] = []
    async with listening(door, "grid", ids=ids) as grid, listening(door, "viewer", "", people):
        await door.place(client_order_id="a", type="limit", price="40000")
        await until(lambda: lives(grid)[-1:] == [("a", "open")])
    first = lives(grid)
    # What happens while nobody listens, or another strategy, is told to whom it belongs.
    await door.ask("DELETE", "/v1/orders/a")
    await door.place("trend", client_order_id="b")
    await until(lambda: (door.runner.latest_view().order("trend", "b") or {})["status"] == "filled")
    async with (
        listening(door, "grid", ids[-1], ids) as again,
        listening(door, "viewer", people[-1]) as viewer,
    ):
        await until(lambda: ("a", "canceled") in lives(again))
        await until(lambda: ("b", "filled") in lives(viewer))
        await until(lambda: [d for d in of(viewer, "decision") if "cancel" in str(d)])
        await door.place(client_order_id="c")
        await until(lambda: ("c", "filled") in lives(again))
        numbers = [int(each.split("-")[1]) for each in ids]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 1 + len(first) + len(lives(again))
        assert {name for name, _ in lives(again)} == {"a", "c"}
        assert not of(again, "reset")
        seqs = [d["seq"] for d in of(viewer, "decision")]
        assert seqs == sorted(set(seqs))
    async with listening(door, "grid", ids[-1]) as heard:
        await until(lambda: of(heard, "status"))
        assert not lives(heard)


async def test_listener_that_missed_too_much_is_told_how_its_orders_stand(door: Stage) -> None:
    ids: list[str] = []
    async with listening(door, "grid", ids=ids) as heard:
        await until(lambda: of(heard, "status"))
    order = (await door.place(client_order_id="a")).document["order"]
    await until(lambda: door.market.quantity("BTC"))
    for _ in range(KEPT_MAX):
        door.http.notify(actions.NotifyOrder(reservation_id="r", strategy="grid", document=order))
    await door.place("trend", client_order_id="b")
    for last_id in (ids[0], "00000000-1-1", "nonsense"):
        async with listening(door, "grid", last_id) as heard:
            await until(lambda heard=heard: of(heard, "order"))
            assert [name for name, _ in heard[:2]] == ["status", "reset"]
            assert lives(heard) == [("a", "filled")]


# ---------------------------------------------------------------- the contract


async def test_openapi_names_every_route_code_and_command_and_resolves(door: Stage) -> None:
    contract = await read(door, "/v1/openapi.json", "grid")
    assert contract["openapi"].startswith("3.1")
    assert contract["info"]["version"] == "1.2.3"
    served = {
        (method.lower(), re.sub(r":[^}]*}", "}", path))
        for method, path, _ in door.http.door.routes
        if not path.startswith("/v1/commands/")
    } | {("post", f"/v1/commands/{name}") for name in BY_NAME}
    written = {
        (method, path)
        for path, item in contract["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert written == served
    schemas = contract["components"]["schemas"]
    assert set(schemas["Code"]["enum"]) == {code.value for code in Code}
    assert set(schemas["OrderBody"]["properties"]) == set(models.OrderBody.model_fields)
    assert set(schemas["OrderBody"]["required"]) == set(ORDER)
    assert schemas["OrderBody"]["additionalProperties"] is False
    for name, kind in BY_NAME.items():
        body = contract["paths"][f"/v1/commands/{name}"]["post"]["requestBody"]
        taken = body["content"]["application/json"]["schema"]["properties"]
        assert set(taken) <= {*kind.model_fields, "plan_id", "totp"}, name
    text = json.dumps(contract)
    refs = {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert refs <= set(schemas)
    for status in ("200", "400", "401", "403", "409", "413", "415", "429", "503"):
        assert status in contract["paths"]["/v1/orders"]["post"]["responses"]
