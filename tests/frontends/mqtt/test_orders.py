"""Strategies that ask over MQTT: the same answers as over HTTP, and nothing said elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.frontends._gateway import models
from riskbot.frontends._gateway.signatures import Signed, canonical
from riskbot.frontends._gateway.tokens import FAILURES_MAX
from riskbot.frontends.mqtt.orders import LIVES_MAX, OWN_UNDER_WAY_MAX, STRANGERS_MOST, OrderDoor
from tests.fakes import until
from tests.frontends.fuzz import WHOLE, mutated
from tests.frontends.http.stage import ORDER, token
from tests.frontends.http.test_refusals import MALFORMED
from tests.frontends.mqtt.conftest import MakeBroker
from tests.frontends.mqtt.counter import REPLIES, Counter, counter
from tests.frontends.mqtt.desk import BASE, Desk
from tests.servers.mosquitto import Mosquitto, listening

ROOT = Path(__file__).parents[3]
LIFE = f"{BASE}/strategies/grid/orders"
PROOF = {"strategy": "grid", "token": token("grid")}


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[Counter]:
    async with counter(tmp_path) as made:
        yield made


# ---------------------------------------------------------------- what is asked


async def test_strategy_is_approved_denied_resized_placed_and_told(grid: Counter) -> None:
    first = await grid.ask("check", quantity="1.5")
    assert (first["http_status"], first["decision"]) == (200, "approve")
    models.Answer.model_validate(first)
    assert set(first) == {*models.Answer.model_fields, "http_status"}
    denied = await grid.ask("check", "trend", quantity="0.6")
    assert (denied["decision"], denied["max_quantity"]) == ("deny", "0.5")
    assert [reason["code"] for reason in denied["reasons"]] == ["LIMIT_EXCEEDED"]
    resized = await grid.ask("check", "trend", quantity="0.6", allow_resize=True)
    assert resized["decision"] == "resize"
    given_back = await grid.ask("cancel", client_order_id=first["client_order_id"])
    assert (given_back["http_status"], given_back["status"]) == (200, "canceled")
    placed = await grid.ask("submit", type="limit", price="40000", client_order_id="mine")
    assert placed["decision"] == "approve"
    await until(lambda: [o["status"] for o in grid.post.on(LIFE)][-1:] == ["open"])
    amended = await grid.ask("amend", client_order_id="mine", price="40001")
    assert amended["decision"] == "approve"
    await until(lambda: [o["price"] for o in grid.post.on(LIFE)][-1:] == ["40001"])
    await until(lambda: grid.post.on(LIFE)[-1]["status"] == "open")
    assert (await grid.ask("cancel", client_order_id="mine"))["http_status"] == 200
    await until(lambda: grid.post.on(LIFE)[-1]["status"] == "canceled")
    told = grid.post.on(LIFE)[-1]
    assert set(told) == {*models.Order.model_fields, "ts_ms"}
    assert {p.topic for p in grid.post.published} == {
        REPLIES,
        LIFE,
        f"{BASE}/replies/trend",
        f"{BASE}/strategies/trend/orders",
    }
    assert {o["strategy"] for o in grid.post.on(LIFE)} == {"grid"}


async def test_what_is_refused_over_http_is_refused_alike(grid: Counter) -> None:
    door, orders = grid.stage, [{"client_order_id": "x", **ORDER}, {**ORDER, "quantity": "0"}]
    cases: list[tuple[str, str, str, Any, str]] = [
        ("submit", "POST", "/v1/orders", orders[0], ""),
        ("submit", "POST", "/v1/orders", {**orders[0], "quantity": "0.06"}, ""),
        ("check", "POST", "/v1/orders/check", orders[0], ""),
        ("check", "POST", "/v1/orders/check", orders[1], ""),
        ("amend", "PATCH", "/v1/orders/x", {}, "x"),
        ("amend", "PATCH", "/v1/orders/x", {"price": "1", "side": "buy"}, "x"),
        ("amend", "PATCH", "/v1/orders/nothing", {"price": "1"}, "nothing"),
        ("amend", "PATCH", "/v1/orders/a%20b", {"price": "1"}, "a b"),
        ("cancel", "DELETE", "/v1/orders/nothing", None, "nothing"),
    ]
    for kind, method, path, body, name in cases:
        said = {**PROOF, **(body or {}), **({"client_order_id": name} if name else {})}
        over_mqtt = await grid.answer(grid.say(kind, said))
        over_http = await door.ask(method, path, body)
        assert over_mqtt.pop("http_status") == over_http.status, (kind, body)
        for answer in (over_mqtt, over_http.document):
            answer.pop("order", None)
        assert over_mqtt == over_http.document, (kind, body)
    for kind, said, field in [
        ("amend", {"price": "1"}, "client_order_id"),
        ("cancel", {}, "client_order_id"),
        ("cancel", {"client_order_id": 7}, "client_order_id"),
        ("cancel", {"client_order_id": "x", "quantity": "1"}, "quantity"),
    ]:
        answer = await grid.answer(grid.say(kind, {**PROOF, **said}))
        assert (answer["http_status"], answer["field"]) == (400, field)


async def test_bodies_that_are_no_orders_name_their_field_and_reach_nobody(grid: Counter) -> None:
    seen = grid.stage.runner.engine.state.reservations
    proof = json.dumps(PROOF)[1:-1].encode()
    for number, (text, field) in enumerate(MALFORMED):
        at = text.find(b"{") + 1 if text.startswith(b"{") else 0
        said = text[:at] + proof + b"," + text[at:] if at else text
        answer = await grid.answer(grid.say("submit", said, correlation=f"m{number}".encode()))
        assert (answer["http_status"], answer.get("field")) == (400, field), text[:80]
        assert set(answer) <= {"http_status", "error", "field"}
    assert not seen.live
    assert not seen.answers


async def test_requests_beyond_the_rate_are_told_when_to_ask_again(tmp_path: Path) -> None:
    strategies = {"grid": {"token": token("grid"), "accounts": ["main"], "request_rate": 5}}
    async with counter(tmp_path, gateway={"strategies": strategies}) as grid:
        answers = [await grid.ask("check", quantity="0.001") for _ in range(7)]
        assert [a["http_status"] for a in answers] == [200] * 5 + [429] * 2
        assert 1 <= answers[-1]["retry_after_s"] <= 12


# ---------------------------------------------------------------- who may ask


async def test_wrong_tokens_are_counted_told_a_while_and_then_not_even_answered(
    grid: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [
        grid.say("check", {**ORDER, "strategy": "grid", "token": token(f"wrong{n}")})
        for n in range(STRANGERS_MOST + 10)
    ]
    await grid.settle()
    await until(lambda: len(grid.post.published) == STRANGERS_MOST)
    told = [grid.answers(correlation)[0]["http_status"] for correlation in asked[:STRANGERS_MOST]]
    assert told == [401] * FAILURES_MAX + [429] * (STRANGERS_MOST - FAILURES_MAX)
    assert grid.door.ignored["nobody who is known"] == 10
    # Whoever has a token is served all the same.
    assert (await grid.ask("check"))["decision"] == "approve"
    await grid.stage.journal.flush()
    rows = str(await grid.stage.journal.decisions())
    assert "unknown token" in rows
    # And no token is written down or said anywhere.
    kept = b"".join(p.read_bytes() for p in grid.stage.config.state_dir.iterdir() if p.is_file())
    for secret in (token("grid"), token("wrong0")):
        assert secret.encode() not in kept
        assert secret not in caplog.text
        assert not any(secret in str(p) for p in grid.post.published)


async def test_nobody_asks_in_anothers_name_or_has_another_answered(grid: Counter) -> None:
    cases: list[tuple[dict[str, Any], int, str | None]] = [
        ({"strategy": "trend", "token": token("grid")}, 401, None),
        ({"strategy": "grid", "token": token("admin")}, 403, None),
        ({"token": token("grid")}, 400, "strategy"),
        ({"strategy": "grid"}, 400, "token"),
        ({"strategy": 7, "token": token("grid")}, 400, "strategy"),
        ({"strategy": "grid", "token": [token("grid")]}, 400, "token"),
    ]
    for said, status, field in cases:
        answer = await grid.answer(grid.say("check", {**ORDER, **said}))
        assert (answer["http_status"], answer.get("field")) == (status, field), said
        assert "decision" not in answer
    before = len(grid.post.published)
    said = {**ORDER, "strategy": "trend", "token": token("trend")}
    grid.say("check", said, answer_to=REPLIES)
    await grid.settle()
    assert len(grid.post.published) == before
    assert not grid.stage.runner.engine.state.reservations.live


NOWHERE = [
    "",
    REPLIES[: -len("/grid")],
    f"{BASE}/replies/nobody",
    f"{BASE}/replies/grid/+",
    f"{BASE}/replies/grid/#",
    f"{BASE}/replies/grid/\0",
    f"{BASE}/replies/gridx",
    f"{BASE}/replies/" + "grid/" * 100,
    f"{BASE}/state",
    f"{BASE}/online",
    f"{BASE}/orders/submit",
    f"{BASE}/commands/desk",
    LIFE,
    "riskbot/vps-2/replies/grid",
    "home/lights",
    "$SYS/broker",
]


async def test_answer_goes_nowhere_but_below_the_strategys_own_replies(grid: Counter) -> None:
    for topic in NOWHERE:
        grid.say("submit", {**PROOF, **ORDER}, answer_to=topic)
    grid.say("submit", {**PROOF, **ORDER}, retain=True)
    grid.say("submit", {**PROOF, **ORDER}, correlation=b"x" * 2_000)
    for _ in range(30):
        grid.say("submit", {**PROOF, **ORDER}, retain=True)
    await grid.settle()
    assert grid.post.published == []
    assert not grid.stage.market.sent
    assert sum(grid.door.ignored.values()) == len(NOWHERE) + 32
    told = [e for e in grid.stage.submitted if isinstance(e, events.CommandRefused)]
    assert len(told) == 20
    assert {e.actor.name for e in told} == {"mqtt:orders"}
    deeper = f"{REPLIES}/process-7"
    correlation = grid.say("check", {**PROOF, **ORDER}, answer_to=deeper)
    assert (await grid.answer(correlation))["decision"] == "approve"
    assert grid.post.published[-1].topic == deeper


def signature(payload: bytes, ts_ms: int, nonce: str, kind: str = "check") -> list[tuple[str, str]]:
    told = Signed("PUBLISH", f"{BASE}/orders/{kind}", payload, str(ts_ms), nonce, "")
    digest = hmac.new(b"s" * 32, canonical(told), hashlib.sha256).hexdigest()
    return [("timestamp", str(ts_ms)), ("nonce", nonce), ("signature", digest)]


async def test_strategy_that_signs_signs_here_too(tmp_path: Path) -> None:
    strategies = {
        "grid": {"token": token("grid"), "accounts": ["main"], "hmac_secret": "s" * 32},
    }
    async with counter(tmp_path, gateway={"strategies": strategies}) as grid:
        kept = grid.stage.gateway.logins._signatures  # noqa: SLF001 - the wait after a start
        kept._started_ms -= 60_000  # noqa: SLF001 - the same
        payload, now_ms = json.dumps({**PROOF, **ORDER}).encode(), grid.stage.clock.now_ms()
        good = signature(payload, now_ms, "n" * 16)
        for user in ([], good[:2], signature(payload, now_ms - 40_000, "o" * 16)):
            answer = await grid.answer(grid.say("check", payload, user=user))
            assert answer["http_status"] == 401
        answer = await grid.answer(grid.say("submit", payload, user=good))
        assert answer["http_status"] == 401
        correlation = grid.say("check", payload, user=good)
        assert (await grid.answer(correlation))["decision"] == "approve"
        # Twice by the broker: the same answer. By somebody else: none.
        grid.say("check", payload, user=good, correlation=correlation)
        await until(lambda: len(grid.answers(correlation)) == 2)
        assert (await grid.answer(grid.say("check", payload, user=good)))["http_status"] == 401


# ---------------------------------------------------------------- twice, and many


async def test_message_that_comes_twice_is_one_order_and_the_same_answer(grid: Counter) -> None:
    body = {**PROOF, **ORDER}
    for _ in range(20):
        grid.say("submit", body, correlation=b"one")
    await grid.settle()
    await until(lambda: len(grid.answers(b"one")) >= 1)
    grid.say("submit", body, correlation=b"one")
    await until(lambda: len(grid.answers(b"one")) >= 2)
    assert len({json.dumps(a, sort_keys=True) for a in grid.answers(b"one")}) == 1
    await until(lambda: len(grid.stage.market.sent) == 1)
    # Another door, as after a restart: it is known by what it says.
    grid.door = OrderDoor(BASE, grid.stage.gateway, grid.stage.clock)
    running = asyncio.create_task(grid.door.run(grid.post))
    before = len(grid.answers(b"one"))
    grid.say("submit", body, correlation=b"one")
    await until(lambda: len(grid.answers(b"one")) > before)
    again = grid.answers(b"one")[-1]
    assert again["reservation_id"] == grid.answers(b"one")[0]["reservation_id"]
    # With other data it is another order.
    assert (await grid.answer(grid.say("submit", body, correlation=b"two")))["decision"]
    await until(lambda: len(grid.stage.market.sent) == 2)
    running.cancel()


async def test_order_that_could_not_be_told_from_its_copy_is_refused(grid: Counter) -> None:
    grid.say("submit", {**PROOF, **ORDER}, correlation=b"")
    await until(lambda: grid.post.on(REPLIES))
    answer = grid.post.on(REPLIES)[0]
    assert (answer["http_status"], answer["field"]) == (400, "client_order_id")
    grid.say("submit", {**PROOF, **ORDER, "client_order_id": "a"}, correlation=b"")
    await until(lambda: len(grid.post.on(REPLIES)) >= 2)
    assert grid.post.on(REPLIES)[1]["decision"] == "approve"


async def test_two_hundred_messages_at_one_limit_get_forty_approvals(grid: Counter) -> None:
    names = [("grid", "trend")[n % 2] for n in range(200)]
    answers = await asyncio.gather(*(grid.ask("check", who) for who in names))
    approved = [a for a in answers if a["decision"] == "approve"]
    assert len(approved) == 40
    assert {a["http_status"] for a in answers} == {200}


async def test_one_strategys_flood_is_bounded_and_others_and_cancels_pass(grid: Counter) -> None:
    mine = await grid.ask("check", quantity="0.01")
    grid.stage.gate.clear()
    asked = [grid.say("check", {**PROOF, **ORDER}) for _ in range(OWN_UNDER_WAY_MAX + 20)]
    await until(lambda: sum(bool(grid.answers(each)) for each in asked) == 20)
    refused = [grid.answers(each)[0] for each in asked if grid.answers(each)]
    assert {(a["http_status"], a["retry_after_s"]) for a in refused} == {(503, 1)}
    given_back = await grid.ask("cancel", client_order_id=mine["client_order_id"])
    assert given_back["status"] == "canceled"
    grid.stage.gate.set()
    assert (await grid.ask("check", "trend", quantity="0.01"))["decision"] == "approve"
    await grid.settle()


async def test_news_wait_for_the_broker_the_newest_of_each_order_and_bounded(
    grid: Counter,
) -> None:
    grid.post.connected.clear()
    placed = await grid.stage.place(type="limit", price="40000", client_order_id="a")
    await until(lambda: grid.stage.runner.latest_view().order("grid", "a")["status"] == "open")
    await grid.stage.ask("DELETE", "/v1/orders/a")
    await until(lambda: grid.stage.runner.latest_view().order("grid", "a")["status"] == "canceled")
    await grid.stage.place(quantity="0.01", client_order_id="b")
    await until(lambda: grid.stage.runner.latest_view().order("grid", "b")["status"] == "filled")
    assert placed.status == 200
    assert grid.post.published == []
    grid.post.connected.set()
    await until(lambda: grid.post.on(LIFE)[-1:] and grid.post.on(LIFE)[-1]["status"] == "filled")
    told = [(o["client_order_id"], o["status"]) for o in grid.post.on(LIFE)]
    assert [each for each in told if each[0] == "a"] == [("a", "canceled")]
    # A topic that the broker refuses for good holds nothing else up.
    grid.post.refused.add(LIFE)
    await grid.stage.place(quantity="0.01", client_order_id="c")
    await grid.stage.place("trend", quantity="0.01", client_order_id="d")
    await until(lambda: grid.post.on(f"{BASE}/strategies/trend/orders"))
    grid.post.connected.clear()
    await asyncio.sleep(0.05)
    order = (await grid.stage.ask("GET", "/v1/orders/a")).document
    for number in range(2 * LIVES_MAX):
        grid.stage.http.notify(_news(order, f"n{number}"))
    assert len(grid.door._lives["grid"]) == LIVES_MAX  # noqa: SLF001 - what waits


def _news(order: dict[str, Any], name: str) -> Any:
    document = {**order, "client_order_id": name}
    return actions.NotifyOrder(reservation_id=name, strategy="grid", document=document)


async def test_answer_that_cannot_be_brought_is_dropped_and_asked_again_is_the_same(
    grid: Counter,
) -> None:
    grid.post.connected.clear()
    body = {**PROOF, **ORDER}
    grid.say("submit", body, correlation=b"lost")
    await until(lambda: grid.door.ignored["an answer was not delivered"] == 1)
    assert (await grid.stage.check("trend", quantity="0.01")).status == 200
    grid.post.connected.set()
    grid.say("submit", body, correlation=b"lost")
    assert (await grid.answer(b"lost"))["decision"] == "approve"
    await until(lambda: len(grid.stage.market.sent) == 1)


# ---------------------------------------------------------------- with a broker


async def test_strategy_asks_through_a_broker_with_the_rights_that_riskbot_ships(
    brokers: MakeBroker, tmp_path: Path
) -> None:
    users = {name: f"password-of-{name}" for name in ("riskbot", "grid", "desk", "dashboard")}
    acl = (ROOT / "config" / "mosquitto.acl").read_text().splitlines()
    broker: Mosquitto = await brokers(users=users, acl=acl)
    desk = Desk(broker, password=lambda: users["riskbot"])
    async with (
        AsyncExitStack() as stack,
        counter(tmp_path, desk.link) as grid,
        listening(broker, "grid") as mine,
        listening(broker, "dashboard") as other,
        listening(broker, "desk") as sender,
    ):
        desk.link.listen(grid.door.topics, grid.door.take)
        await stack.enter_async_context(desk.running())
        await desk.connected()
        body = json.dumps({**PROOF, **ORDER, "client_order_id": "mine"})
        asked = f"{BASE}/orders/submit"
        # Whoever has no right to ask is not even heard.
        await sender.say(asked, body, answer_to=REPLIES, correlation=b"0")
        await mine.say(asked, body, answer_to=REPLIES, correlation=b"1")
        await mine.until(lambda: mine.on(REPLIES), "answered")
        assert mine.on(REPLIES)[0].document["decision"] == "approve"
        assert mine.on(REPLIES)[0].correlation == b"1"
        await mine.until(
            lambda: [o for o in mine.on(LIFE) if o.document["status"] == "filled"], "told"
        )
        await mine.say(asked, "{", answer_to=REPLIES, correlation=b"2")
        await mine.until(lambda: mine.on(REPLIES)[-1].correlation == b"2", "refused")
        assert mine.on(REPLIES)[-1].document["http_status"] == 400
        # The broker goes, and nothing of HTTP suffers; it comes back, and what is asked is done.
        await broker.kill()
        await until(lambda: not desk.link.connected.is_set(), 20)
        assert (await grid.stage.check(quantity="0.01")).document["decision"] == "approve"
        assert len(grid.stage.market.sent) == 1
        seen = {message.topic for message in (*other.heard, *sender.heard)}
        assert not any("replies" in topic or "strategies" in topic for topic in seen)
    assert not any(token("grid").encode() in message.payload for message in mine.heard)


async def test_mutated_messages_over_a_broker_leave_the_connection_as_it_was(
    brokers: MakeBroker, tmp_path: Path
) -> None:
    rng, broker = random.Random(7), await brokers()
    desk = Desk(broker)
    async with counter(tmp_path, desk.link) as grid, listening(broker) as mine:
        desk.link.listen(grid.door.topics, grid.door.take)
        async with desk.running():
            await desk.connected()
            for number in range(300):
                whole = {"strategy": "grid", "token": token("grid"), **WHOLE[number % len(WHOLE)]}
                text = mutated(rng, whole)
                await mine.say(
                    f"{BASE}/orders/check", text, answer_to=REPLIES, correlation=b"%d" % number
                )
            last = {"strategy": "grid", "token": token("grid"), **WHOLE[0], "client_order_id": "z"}
            await mine.say(
                f"{BASE}/orders/check", json.dumps(last), answer_to=REPLIES, correlation=b"last"
            )
            await mine.until(
                lambda: [m for m in mine.on(REPLIES) if m.correlation == b"last"], "answered"
            )
            assert desk.link.sessions == 1
            statuses = {m.document["http_status"] for m in mine.on(REPLIES)}
            assert {200, 400} <= statuses <= {200, 400, 401, 409, 429}
