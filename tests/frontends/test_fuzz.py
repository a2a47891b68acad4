"""A hundred thousand requests that are not quite ones: no crash, nothing illegal, a field each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from decimal import Decimal
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

from riskbot.core import actions, events
from riskbot.core.model import Side
from riskbot.core.ordering import OrderRequest
from riskbot.frontends._gateway import body
from riskbot.frontends._gateway.refusal import RefusalError
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends.mqtt.orders import OrderDoor
from tests.core.market import market
from tests.frontends.fuzz import WHOLE, Guarded, mutated
from tests.frontends.http.stage import Stage, stage, token
from tests.frontends.mqtt.counter import REPLIES, Post, Sent
from tests.frontends.mqtt.desk import BASE

BODIES, MESSAGES = 60_000, 40_000
A_DENIAL_MS = 2_000
"""The time passes that a denial needs."""


def said_in(text: bytes) -> dict[str, Any] | None:
    """Return the object a text holds as another reader has it, None = none."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(text.decode(), parse_float=str)
        if isinstance(found, dict):
            return found
    return None


def is_readable(text: bytes) -> bool:
    """Whether it is an object, and not nested too deep: then a fault is one of a field."""
    return said_in(text) is not None and text.count(b"[") + text.count(b"{") <= body.DEPTH_MAX


async def test_mutated_bodies_are_decided_or_refused_with_their_field() -> None:
    rng, guarded = random.Random(4), Guarded()
    grid = guarded.gateway.logins.find(token("grid"), "here", "test")
    for number in range(BODIES):
        text = mutated(rng, WHOLE[number % len(WHOLE)])
        await guarded.clock.advance(A_DENIAL_MS)
        found = await _asked(guarded, grid, text, is_submit=number % 4 == 0)
        if isinstance(found, RefusalError):
            guarded.met[found.status] += 1
            assert found.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT}, text
            assert found.field or found.status == HTTPStatus.CONFLICT or not is_readable(text), text
            assert len(str(found)) < 2_000
        else:
            said = said_in(text)
            assert said is not None, text
            guarded.look_at(found, said)
    # Each way out was taken, many times.
    ways = ("approve", "deny", "resize", HTTPStatus.BAD_REQUEST)
    assert all(guarded.met[way] > BODIES // 500 for way in ways), guarded.met


async def _asked(
    guarded: Guarded, caller: Caller, text: bytes, *, is_submit: bool
) -> dict[str, Any] | RefusalError:
    try:
        raw = body.read(text)
        return await guarded.gateway.asking.order(caller, raw, is_submit=is_submit)
    except RefusalError as refusal:
        return refusal


async def test_mutated_messages_are_answered_where_they_may_be_and_nowhere_else() -> None:
    rng, guarded, post = random.Random(5), Guarded(), Post()
    door = OrderDoor(BASE, guarded.gateway, guarded.clock)
    running = asyncio.create_task(door.run(post))
    for number in range(MESSAGES):
        whole = {"strategy": "grid", "token": token("grid"), **WHOLE[number % len(WHOLE)]}
        text, more = mutated(rng, whole), SimpleNamespace()
        for name, value in (
            ("ResponseTopic", _place(rng)),
            ("CorrelationData", rng.choice([b"%d" % number] * 9 + [b"", b"x" * 2_000])),
            ("UserProperty", rng.choice([[], [("nonce", "x")], [("", "")]])),
        ):
            if rng.random() < 0.98:
                setattr(more, name, value)
        kind = rng.choice(["check"] * 3 + ["submit", "amend", "cancel"])
        payload: Any = text if rng.random() < 0.99 else rng.choice([None, "text", b""])
        await guarded.clock.advance(A_DENIAL_MS)
        await door._serve(Sent(f"{BASE}/orders/{kind}", payload, rng.random() < 0.02, more))  # noqa: SLF001 - take() in this task
        for _ in range(4):
            await asyncio.sleep(0)
        sent = payload if isinstance(payload, bytes) else b""
        for answer in post.published:
            # Who has proven nothing may be told that, where it says it listens; no more.
            is_nobody = answer.document["http_status"] in {400, 401, 403, 413, 429}
            places = (REPLIES, f"{BASE}/replies/trend") if is_nobody else (REPLIES,)
            assert answer.topic.startswith(places), answer
            _look_at(guarded, answer.document, sent)
        post.published.clear()
        guarded.told.clear()
    running.cancel()
    ways = ("approve", "deny", 400, 401)
    assert all(guarded.met[way] > MESSAGES // 1_000 for way in ways), guarded.met
    assert sum(door.ignored.values()) > MESSAGES // 100
    assert guarded.met[500] == 0


def _place(rng: random.Random) -> str:
    if rng.random() < 0.9:
        return REPLIES
    wild = [f"{BASE}/state", f"{BASE}/replies/trend", "x", "", "#", f"{REPLIES}/+", f"{REPLIES}/a"]
    return rng.choice(wild)


def _look_at(guarded: Guarded, document: dict[str, Any], text: bytes) -> None:
    status = document.pop("http_status")
    if status == HTTPStatus.OK:
        said = said_in(text)
        assert said is not None, text
        guarded.look_at(document, said)
        return
    guarded.met[status] += 1
    assert status in {400, 401, 403, 404, 409, 429}, (document, text)
    if status == HTTPStatus.BAD_REQUEST:
        assert document.get("field") or not is_readable(text), (document, text)


# ---------------------------------------------------------------- the same, a sample, over sockets


async def test_mutated_bodies_over_a_socket_leave_the_door_as_it_was(tmp_path: Any) -> None:
    rng = random.Random(6)
    strategies = {"grid": {"token": token("grid"), "accounts": ["main"], "request_rate": 10**6}}
    async with stage(tmp_path, gateway={"strategies": strategies}) as door:
        asked = asyncio.Semaphore(8)
        met = await asyncio.gather(*(_over_http(door, rng, asked) for _ in range(1_500)))
        assert {200, 400} <= set(met) <= {200, 400, 409, 429}
        assert (await door.ask("GET", "/v1/status")).status == 200


async def _over_http(door: Stage, rng: random.Random, asked: asyncio.Semaphore) -> int:
    async with asked:
        text = mutated(rng, rng.choice(WHOLE))
        answer = await door.ask("POST", "/v1/orders/check", text)
        assert answer.status != 400 or answer.document.get("field") or not is_readable(text), text
        return answer.status


# ---------------------------------------------------------------- an id, again and again


def test_one_id_a_hundred_thousand_times_is_one_order_and_one_answer() -> None:
    made = market(held={"BTC": (0.5, 50_000.0)}, usdt=100_000)
    order = OrderRequest(
        strategy="grid",
        account="main",
        symbol="BTC/USDT:USDT",
        side=Side.BUY,
        quantity=Decimal("0.1"),
        client_order_id="one",
        is_submit=True,
    )
    answers, placed = set(), 0
    for number in range(100_000):
        event = events.OrderRequested(request_id=str(number), order=order, fingerprint="f")
        decided = made.engine.handle(event, made.now_ms)
        placed += sum(isinstance(a, actions.PlaceOrder) for a in decided)
        reply = next(a for a in decided if isinstance(a, actions.SendReply))
        assert reply.ok
        if number % 1_000 == 0:
            answers.add(json.dumps(reply.document, sort_keys=True))
    assert (placed, len(answers)) == (1, 1)
    other = events.OrderRequested(request_id="x", order=order, fingerprint="another")
    decided = made.engine.handle(other, made.now_ms)
    reply = next(a for a in decided if isinstance(a, actions.SendReply))
    assert (reply.ok, reply.document["status"]) == (False, 409)
