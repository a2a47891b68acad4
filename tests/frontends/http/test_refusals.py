"""What is refused, and how: the field is named, nothing breaks, strangers stay outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from riskbot.config.secret import Secret
from riskbot.core import events
from riskbot.core.model import Role
from riskbot.frontends._gateway import body, models
from riskbot.frontends._gateway.refusal import RefusalError
from riskbot.frontends._gateway.tokens import FAILURES_MAX, Caller, Failures, Tokens
from riskbot.frontends.http.places import CONNECTIONS_MAX, FIRST_S
from tests.fakes import until
from tests.frontends.http.conftest import GROSS
from tests.frontends.http.stage import ORDER, Stage, free_port, stage, token
from tests.frontends.http.test_reads import listening, of

TEXT = json.dumps(ORDER)


def with_(**fields: Any) -> bytes:
    return json.dumps({**ORDER, **fields}).encode()


def raw(name: str, literal: str) -> bytes:
    """Return an order with a field as it is written."""
    rest = {key: value for key, value in ORDER.items() if key != name}
    return f'{{"{name}": {literal}, {json.dumps(rest)[1:]}'.encode()


MALFORMED: list[tuple[bytes, str | None]] = [
    (b"", None),
    (b"\xff\xfe", None),
    (b"nonsense", None),
    (b"[]", None),
    (b"null", None),
    (TEXT.encode() + b"x", None),
    (b"\xef\xbb\xbf" + TEXT.encode(), None),
    (b'{"a":' * 9 + b"1" + b"}" * 9, None),
    (b"[" * 20_000, None),
    (b'{"account": "' + b"[" * 50_000 + b'"}', "account"),
    (raw("quantity", "NaN"), "quantity"),
    (raw("quantity", "Infinity"), "quantity"),
    (raw("quantity", "-Infinity"), "quantity"),
    (raw("quantity", "1e400"), "quantity"),
    (raw("quantity", "1e-400"), "quantity"),
    (raw("quantity", "1e999999999999999999999"), "quantity"),
    (raw("quantity", "9" * 5_000), "quantity"),
    (raw("quantity", "0." + "1" * 40), "quantity"),
    (raw("quantity", '"1e30"'), "quantity"),
    (raw("quantity", '"1e999999"'), "quantity"),
    (raw("quantity", '"NaN"'), "quantity"),
    (raw("quantity", '"Infinity"'), "quantity"),
    (raw("quantity", '"1_000"'), "quantity"),
    (raw("quantity", '" 1"'), "quantity"),
    (raw("quantity", '"١"'), "quantity"),
    (raw("quantity", '""'), "quantity"),
    (raw("quantity", "0"), "quantity"),
    (raw("quantity", "-1"), "quantity"),
    (raw("quantity", "true"), "quantity"),
    (raw("quantity", "null"), "quantity"),
    (raw("quantity", "[1]"), "quantity"),
    (raw("account", "1e400"), "account"),
    (raw("account", "7"), "account"),
    (raw("account", '""'), "account"),
    (raw("account", '"\\ud800"'), "account"),
    (raw("instrument", '"BTC\\u0000"'), "instrument"),
    (raw("instrument", '"BTC USDT"'), "instrument"),
    (raw("instrument", '"' + "A" * 81 + '"'), "instrument"),
    (raw("side", '"Buy"'), "side"),
    (raw("type", '"stop"'), "type"),
    (raw("type", '"limit"'), "price"),
    (with_(price="1"), "price"),
    (with_(type="limit", price="0"), "price"),
    (with_(stop_loss="x"), "stop_loss"),
    (with_(reduce_only="true"), "reduce_only"),
    (with_(reduce_only=1), "reduce_only"),
    (with_(position_side="both"), "position_side"),
    (with_(client_order_id="a b"), "client_order_id"),
    (with_(client_order_id="../x"), "client_order_id"),
    (with_(client_order_id="x" * 65), "client_order_id"),
    (with_(leverage=5), "leverage"),
    (with_(strategy="trend"), "strategy"),
    (TEXT.replace('"account"', '"side": "sell", "account"').encode(), "side"),
    (b'{"account": "main"}', "instrument"),
]


@pytest.mark.parametrize(("text", "field"), MALFORMED, ids=range(len(MALFORMED)))
def test_body_that_is_no_order_is_refused_with_its_field(text: bytes, field: str | None) -> None:
    with pytest.raises(RefusalError) as caught:
        models.whole(models.taken(models.OrderBody, body.read(text)))
    assert caught.value.status == 400
    assert caught.value.field == field
    assert len(str(caught.value)) < 1_000


async def test_refusals_arrive_as_they_are_and_the_core_hears_of_none(door: Stage) -> None:
    seen = door.runner.engine.state.reservations
    for text, field in MALFORMED:
        answer = await door.ask("POST", "/v1/orders", text)
        assert (answer.status, answer.document.get("field")) == (400, field), text[:80]
        assert set(answer.document) <= {"error", "field"}
    assert not seen.live
    assert not seen.answers


def test_numbers_are_taken_exactly_as_they_are_written() -> None:
    for literal in ("0.1", "0.05", "1e-05", '"0.1"', "3", "12345678901234.123456789"):
        found = models.taken(models.OrderBody, body.read(raw("quantity", literal)))
        assert str(found.quantity) in {literal.strip('"'), "0.00001", "1E-5"}


def _order_of(text: bytes) -> models.OrderBody | None:
    with contextlib.suppress(RefusalError):
        found = models.taken(models.OrderBody, body.read(text))
        models.whole(found)
        return found
    return None


def test_mutated_bodies_are_orders_or_refused_and_nothing_else() -> None:
    rng = random.Random(20261128)
    pieces = [b"{", b"}", b"[", b'"', b",", b":", b"1e400", b"NaN", b"null", b"\\u0000", b"-", b"0"]
    whole = json.dumps({**ORDER, "type": "limit", "price": "50000.5", "client_order_id": "a"})
    taken = 0
    for _ in range(20_000):
        text = bytearray(whole.encode())
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(text))
            if rng.random() < 0.5:
                text[at : at + rng.randrange(3)] = rng.choice(pieces)
            else:
                text[at] = rng.randrange(256)
        if (found := _order_of(bytes(text))) is not None:
            taken += 1
            assert 0 < found.quantity < 10**16
            assert len(found.fingerprint(is_submit=True)) == 64
    assert taken  # some letters may change and it is an order still


def test_fingerprint_is_of_the_meaning() -> None:
    def of(**fields: Any) -> str:
        order = models.taken(models.OrderBody, body.read(with_(**fields)))
        return order.fingerprint(is_submit=True)

    assert of() == of(quantity=0.05) == of(quantity="0.0500") == of(reduce_only=False)
    others = {of(quantity="0.06"), of(side="sell"), of(reduce_only=True), of(client_order_id="a")}
    assert len(others | {of()}) == 5


# ---------------------------------------------------------------- status codes


async def test_every_other_refusal_is_json_with_its_own_status(door: Stage) -> None:
    long = b'{"account": "' + b"a" * 70_000 + b'"}'
    cases: list[tuple[int, str, str, dict[str, Any]]] = [
        (404, "GET", "/", {}),
        (404, "GET", "/v1/investor", {}),
        (404, "POST", "/v1/commands/fly", {"body": {}, "who": "admin"}),
        (405, "PUT", "/v1/orders", {"body": ORDER}),
        (405, "POST", "/v1/status", {"body": {}}),
        (413, "POST", "/v1/orders", {"body": long}),
        (415, "POST", "/v1/orders", {"body": ORDER, "headers": {"Content-Type": "text/plain"}}),
        (415, "POST", "/v1/orders", {"body": ORDER, "headers": {"Content-Encoding": "gzip"}}),
        (400, "GET", "/v1/orders/a%20b", {}),
        (400, "PATCH", "/v1/orders/a", {"body": {}}),
        (400, "PATCH", "/v1/orders/a", {"body": {"side": "buy"}}),
        (404, "PATCH", "/v1/orders/a", {"body": {"quantity": 1}}),
        (400, "GET", "/v1/size", {}),
        (400, "GET", "/v1/size?instrument=BTC&stop=nan", {}),
        (400, "GET", "/v1/size?instrument=BTC&instrument=ETH", {}),
        (403, "GET", "/v1/size?instrument=BTC&account=other", {}),
        (400, "GET", "/v1/history?measure=luck", {"who": "viewer"}),
        (400, "GET", "/v1/history?since=-1", {"who": "viewer"}),
        (400, "GET", "/v1/decisions?limit=1001", {"who": "viewer"}),
        (400, "GET", "/v1/decisions?page=1", {"who": "viewer"}),
        (400, "POST", "/v1/commands/halt", {"body": {"force": 1}, "who": "admin"}),
        (400, "POST", "/v1/commands/halt", {"body": {"limit": "drawdown"}, "who": "admin"}),
        (400, "POST", "/v1/commands/silence", {"body": b'{"duration_s": 1e400}', "who": "admin"}),
    ]
    for status, method, path, options in cases:
        answer = await door.ask(method, path, options.pop("body", None), **options)
        assert answer.status == status, (method, path, answer.document)
        assert answer.document["error"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert (await door.ask("PUT", "/v1/orders", ORDER)).headers["Allow"] == "POST"


STRATEGY = {"/v1/status": 200, "/v1/size?instrument=BTC": 200, "/v1/openapi.json": 200}
READS = [
    *STRATEGY,
    "/v1/positions",
    "/v1/exposure",
    "/v1/limits",
    "/v1/alerts",
    "/v1/decisions",
    "/v1/history",
]


async def test_each_token_opens_its_own_routes_and_no_others(door: Stage) -> None:
    for path in READS:
        for who in ("viewer", "operator", "admin"):
            assert (await door.ask("GET", path, who=who)).status == 200, (path, who)
        assert (await door.ask("GET", path, who="grid")).status == STRATEGY.get(path, 403), path
        assert (await door.ask("GET", path, who="investor")).status in {200, 403}
        assert (await door.ask("GET", path, who=None)).status == 401
    assert (await door.ask("GET", "/v1/positions", who="investor")).status == 403
    assert (await door.ask("GET", "/v1/status", who="investor")).status == 403
    assert (await door.ask("GET", "/v1/stream", who="investor")).status == 403
    for who in ("viewer", "operator", "admin", "investor"):
        assert (await door.check(who)).status == 403
        assert (await door.place(who)).status == 403
    assert (await door.command("halt", "grid")).status == 403
    refused = await door.command("halt", "viewer")
    assert (refused.status, "needs the role operator" in refused.document["error"]) == (403, True)
    assert not door.runner.latest_view().get("status")["holds"]


async def test_wrong_tokens_are_counted_and_right_ones_pass_all_the_same(door: Stage) -> None:
    statuses = [(await door.ask("GET", "/v1/status", who="x")).status for _ in range(12)]
    assert statuses == [401] * FAILURES_MAX + [429] * 2
    assert (await door.check()).status == 200
    # Without a token nobody tried one.
    answer = await door.ask("GET", "/v1/status", who=None)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    basic = {"Authorization": f"Basic {token('grid')}"}
    assert (await door.ask("GET", "/v1/status", who=None, headers=basic)).status == 401
    rows = await door.journal.decisions()
    told = [row for row in rows if "unknown token" in str(row)]
    assert 0 < len(told) <= FAILURES_MAX
    assert token("x") not in str(rows)


def test_failures_are_forgotten_after_a_minute_and_peers_beyond_a_thousand() -> None:
    failures = Failures()
    assert [failures.note("a", n) for n in range(12)][-1] == 11
    assert failures.note("a", 60_012) == 1
    for number in range(2_000):
        failures.note(f"p{number}", 60_013)
    assert failures.note("a", 60_014) == 1


def test_tokens_are_kept_as_digests_alone() -> None:
    tokens = Tokens([(token("a"), Caller("http:viewer", Role.VIEWER))])
    found = tokens.find(token("a"))
    assert found is not None
    assert found.name == "http:viewer"
    for wrong in ("", token("b"), token("a")[:-1], token("a") + "x", "\udc80", "a" * 100_000):
        assert tokens.find(wrong) is None
    assert token("a") not in repr(vars(tokens))


async def test_token_that_was_taken_back_stops_at_once_also_where_it_listens(
    door: Stage,
) -> None:
    root = door.config.root
    strategies = {
        "grid": root.gateway.strategies["grid"].model_copy(update={"token": Secret(token("new"))}),
        "more": root.gateway.strategies["trend"].model_copy(update={"token": Secret(token("x"))}),
    }
    assert root.http is not None
    after = root.model_copy(
        update={
            "gateway": root.gateway.model_copy(update={"strategies": strategies}),
            "http": root.http.model_copy(update={"operator_token": None}),
        }
    )
    async with (
        listening(door, "grid") as grid,
        listening(door, "operator") as operator,
        listening(door, "viewer") as viewer,
    ):
        await until(lambda: of(grid, "status") and of(operator, "status") and of(viewer, "status"))
        # When the file is read again, and one token is another, others are none, one is new.
        door.reload(after)
        await until(lambda: of(grid, "end") and of(operator, "end"))
        assert "token" in of(grid, "end")[0]["reason"]
        for who, status in (("grid", 401), ("trend", 401), ("operator", 401), ("x", 401)):
            assert (await door.ask("GET", "/v1/status", who=who)).status == status, who
        for who in ("new", "viewer", "admin"):
            assert (await door.ask("GET", "/v1/status", who=who)).status == 200, who
        assert (await door.check("new")).document["order"]["strategy"] == "grid"
        assert not of(viewer, "end")


async def test_host_that_is_not_ours_is_refused(door: Stage) -> None:
    port = door.url.rpartition(":")[2]
    for host in ("localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", "[::1]:80"):
        assert (await door.check()).status == 200
        headers = {"Host": host}
        assert (await door.ask("GET", "/healthz", who=None, headers=headers)).status == 200, host
    for host in ("evil.example", f"127.0.0.1.evil.example:{port}", "10.0.0.1", ""):
        headers = {"Host": host}
        for path in ("/healthz", "/v1/status", "/v1/orders/x"):
            assert (await door.ask("GET", path, headers=headers)).status == 421, host


async def test_page_of_another_site_may_not_ask_and_who_follows_a_link_may(door: Stage) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    asked = await door.ask("POST", "/v1/orders/check", ORDER, headers=headers)
    assert asked.status == 403
    for path in ("/metrics", "/healthz", "/v1/status"):
        assert (await door.ask("GET", path, headers=headers)).status == 403, path
    visit = headers | {"Sec-Fetch-Mode": "navigate"}
    assert (await door.ask("GET", "/healthz", who=None, headers=visit)).status == 200
    own = headers | {"Sec-Fetch-Site": "same-origin"}
    assert (await door.ask("GET", "/healthz", who=None, headers=own)).status == 200


async def test_unix_socket_is_private_and_speaks_the_same(door: Stage) -> None:
    path = door.config.gateway_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
        assert (await door.check()).status == 200
        url = "http://riskbot/v1/orders/check"
        headers = {"Authorization": f"Bearer {token('grid')}"}
        async with session.post(url, json=ORDER, headers=headers) as response:
            assert (await response.json())["decision"] == "approve"
        async with session.post(url, json=ORDER) as response:
            assert response.status == 401
        async with session.get(
            "http://riskbot/v1/status", headers={"Authorization": "Bearer no"}
        ) as response:
            assert response.status == 401


async def test_connections_beyond_the_bound_make_room_and_silent_ones_too(door: Stage) -> None:
    await door.session.close()
    place = door.url.removeprefix("http://").split(":")
    opened = [await asyncio.open_connection(*place) for _ in range(CONNECTIONS_MAX + 5)]
    await until(lambda: sum(reader.at_eof() for reader, _ in opened) == 5)
    # The oldest went: nobody who holds connections without a token keeps others out.
    assert all(reader.at_eof() for reader, _ in opened[:5])
    door.session = aiohttp.ClientSession()
    assert (await door.check()).status == 200
    # Nobody says anything: after a while they are hung up on.
    async with asyncio.timeout(FIRST_S + 20):
        await asyncio.gather(*(_rest(reader) for reader, _ in opened))
    assert (await door.check()).status == 200
    for _, writer in opened:
        writer.close()


async def test_who_has_shown_a_token_is_not_hung_up_on_for_who_has_not(door: Stage) -> None:
    place = door.url.removeprefix("http://").split(":")
    head = f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token('grid')}"
    known = await asyncio.open_connection(*place)
    known[1].write(head.encode() + b"\r\n\r\n")
    await known[0].readuntil(b"\r\n\r\n")
    opened = [await asyncio.open_connection(*place) for _ in range(CONNECTIONS_MAX + 5)]
    # One more than those without a token, for the one with it stays.
    await until(lambda: sum(reader.at_eof() for reader, _ in opened) >= 6)
    known[1].write(head.encode() + b"\r\n\r\n")
    assert b"200 OK" in await known[0].readuntil(b"200 OK")
    for _, writer in (known, *opened):
        writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


async def test_without_an_http_section_there_is_the_unix_socket_alone(tmp_path: Path) -> None:
    async with stage(tmp_path, http=None) as door:
        connector = aiohttp.UnixConnector(str(door.config.gateway_path))
        async with aiohttp.ClientSession(connector=connector) as session:
            assert (
                await door.ask("POST", "/v1/orders/check", ORDER, session=session)
            ).status == 200
    assert not door.config.gateway_path.exists()


async def test_taken_address_is_told_and_tried_again_while_the_guard_goes_on(
    tmp_path: Path,
) -> None:
    async def nothing(reader: Any, writer: Any) -> None:
        del reader
        writer.close()

    port = free_port()
    http = {"listen": f"127.0.0.1:{port}", "viewer_token": token("viewer")}
    server = await asyncio.start_server(nothing, "127.0.0.1", port)
    opening = asyncio.create_task(_open(tmp_path, http))
    await asyncio.sleep(1)
    assert not opening.done()
    server.close()
    await server.wait_closed()
    statuses, events_ = await opening
    assert statuses == 200
    assert [(e.name, e.is_up) for e in events_] == [("http", False), ("http", True)]
    assert "cannot listen" in events_[0].detail


async def _open(folder: Path, http: dict[str, Any]) -> tuple[int, list[events.FrontendChanged]]:
    async with stage(folder, limits=GROSS, http=http) as door:
        answer = await door.ask("GET", "/v1/status", who="viewer")
        await until(lambda: len(_changes(door)) == 2)
        return answer.status, _changes(door)


def _changes(door: Stage) -> list[events.FrontendChanged]:
    return [e for e in door.submitted if isinstance(e, events.FrontendChanged)]
