"""What a strategy that has lost its mind may cost: little, and nobody else anything."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from riskbot.core import events
from riskbot.frontends._gateway import pace
from riskbot.frontends._gateway.asking import Asking
from riskbot.frontends._gateway.pace import READ_WAIT_MS, READS_MOST, Pace
from riskbot.frontends._gateway.refusal import RefusalError
from riskbot.frontends._gateway.tokens import Caller
from riskbot.frontends.http.places import STRATEGIES_MAX, STRATEGY_MAX
from tests.fakes import FakeClock, until
from tests.frontends.http.conftest import GROSS
from tests.frontends.http.stage import Answer, Stage, stage, token

EXIT = {"side": "sell", "reduce_only": True}


def strategies(**fields: Any) -> dict[str, Any]:
    names = ("grid", "trend")
    return {"strategies": {n: {"token": token(n), "accounts": ["main"], **fields} for n in names}}


async def asked_of_the_journal(door: Stage) -> int:
    await door.journal.flush()
    return int(door.journal.last_seq)


async def test_requests_beyond_the_rate_are_429_and_never_reach_the_journal(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, limits=GROSS, gateway=strategies(request_rate=20)) as door:
        await door.place(quantity="0.5", client_order_id="rest", type="limit", price="40000")
        await door.place(quantity="0.4")
        await until(lambda: door.market.quantity("BTC"))
        door.read()
        answers = [await door.check(quantity="0.001") for _ in range(18)]
        assert {a.status for a in answers} == {200}
        before = await asked_of_the_journal(door)
        # All at once: who is refused waits before it hears so.
        refused = await asyncio.gather(
            *(door.check(quantity="0.001") for _ in range(50)),
            door.ask("PATCH", "/v1/orders/rest", {"price": "40001"}),
            door.ask("GET", "/v1/size?instrument=BTC"),
        )
        assert {a.status for a in refused} == {429}
        assert 1 <= int(refused[0].headers["Retry-After"]) <= 3
        # Only the news of it is written down, once.
        told = [e for e in door.submitted if isinstance(e, events.CommandRefused)]
        assert [(e.actor.name, "20 requests" in e.reason) for e in told] == [
            ("strategy:grid", True)
        ]
        assert await asked_of_the_journal(door) - before < 20
        # Others are served, and whoever closes or cancels is.
        assert (await door.check("trend", quantity="0.001")).status == 200
        closing = await door.place(quantity="0.1", **EXIT)
        unmarked = await door.place(quantity="0.1", side="sell")
        assert {closing.document["decision"], unmarked.document["decision"]} == {"approve"}
        assert (await door.ask("DELETE", "/v1/orders/rest")).status == 200
        assert (await door.ask("GET", "/v1/orders/rest")).status == 200
        # What cannot be an order costs nothing.
        assert (await door.check(quantity="NaN")).status == 400


async def test_flood_of_cancels_that_change_nothing_is_answered_and_not_written_down(
    door: Stage,
) -> None:
    await door.place(client_order_id="a")
    await until(lambda: door.market.quantity("BTC"))
    await door.place(client_order_id="b", type="limit", price="40000")
    await door.check(client_order_id="checked", quantity="0.01")
    door.venue_answers = False
    path = "/v1/orders/"
    assert (await door.ask("DELETE", f"{path}b")).status == 200
    await until(lambda: door.runner.latest_view().is_cancelling("grid", "b"))
    before = await asked_of_the_journal(door)
    told: dict[str, set[int]] = {}
    for name in ("a", "b", "nothing"):
        told[name] = {(await door.ask("DELETE", f"{path}{name}")).status for _ in range(100)}
    assert told == {"a": {409}, "b": {200}, "nothing": {404}}
    assert await asked_of_the_journal(door) - before < 30
    assert (await door.ask("DELETE", f"{path}checked")).document["status"] == "canceled"
    assert (await door.ask("DELETE", f"{path}checked")).status == 409


def admitted(paced: Pace, now_ms: int, place: pace.Place | None = None) -> bool:
    try:
        if place is None:
            paced.admit(now_ms)
        else:
            paced.admit_exit(place, now_ms)
    except RefusalError as refusal:
        return not (refusal.status is HTTPStatus.TOO_MANY_REQUESTS and refusal.retry_after_s)
    return True


def test_denied_entries_have_a_day_that_fits_on_a_disk() -> None:
    told: list[events.Event] = []
    paced, denied = Pace("grid", 60_000, told.append, 0), 0
    for now_ms in range(0, 3_600_000, 100):
        if admitted(paced, now_ms):
            denied += 1
            paced.denied()
    assert denied <= pace.DENIALS_MOST + 60 * pace.DENIALS_A_MINUTE + 1
    assert denied >= pace.DENIALS_MOST + 59 * pace.DENIALS_A_MINUTE
    assert 55 <= len(told) <= 60
    assert "denied too often" in str(told[0])


def test_exit_is_held_back_only_by_its_own_denials_and_tried_each_second() -> None:
    paced = Pace("grid", 1, lambda event: None, 0)
    place, other = ("main", "BTC/USDT:USDT", "sell"), ("main", "ETH/USDT:USDT", "sell")
    for _ in range(1_000):
        assert admitted(paced, 0, place)
        paced.exit_answered(place, is_denied=False)
    for _ in range(pace.EXIT_DENIALS_MAX):
        assert admitted(paced, 1, place)
        paced.exit_answered(place, is_denied=True)
    tried = [now_ms for now_ms in range(2, 3_002, 10) if admitted(paced, now_ms, place)]
    assert tried == [2, 1_002, 2_002]
    assert admitted(paced, 3_002, other)
    paced.exit_answered(place, is_denied=False)
    assert all(admitted(paced, 3_003, place) for _ in range(100))


def test_flood_of_exits_waits_its_turn_and_is_not_refused_before_that() -> None:
    paced = Pace("grid", 1, lambda event: None, 0)
    place = ("main", "BTC/USDT:USDT", "sell")
    waits = [paced.admit_exit(place, 0) for _ in range(pace.EXITS_A_MINUTE + 100)]
    assert waits[: pace.EXITS_A_MINUTE] == [0] * pace.EXITS_A_MINUTE
    assert waits[pace.EXITS_A_MINUTE :] == sorted(waits[pace.EXITS_A_MINUTE :])
    assert 4_900 <= waits[-1] <= 5_100
    while admitted(paced, 0, place):
        pass
    # A minute later it is as it was.
    assert paced.admit_exit(place, 70_000) == 0


def test_who_reads_without_end_waits_its_turn_and_is_refused_only_far_beyond_it() -> None:
    told: list[events.Event] = []
    pace = Pace("grid", 600, told.append, 0)
    assert {pace.admit_read(0) for _ in range(READS_MOST)} == {0}
    waits = [pace.admit_read(0) for _ in range(50)]
    assert waits == sorted(waits)
    assert 0 < waits[0] < waits[-1] <= READ_WAIT_MS
    with pytest.raises(RefusalError, match="reads a minute"):
        pace.admit_read(0)
    assert len(told) == 1
    # What it may ask for is not touched by what it reads.
    pace.admit(0)
    assert pace.admit_read(10_000) == 0


async def test_who_is_refused_again_and_again_waits_longer_before_it_hears_so() -> None:
    waited: list[float] = []
    turns = asyncio.Event()

    class Waiting(FakeClock):
        async def sleep(self, seconds: float) -> None:
            waited.append(seconds)
            await turns.wait()

    guard: Any = SimpleNamespace(clock=Waiting(), emit=lambda event: None)
    asking, grid = Asking(guard, {"grid": 1}), Caller("strategy:grid", strategy="grid")
    await asking.admit(grid)
    asked = [asyncio.create_task(asking.admit(grid)) for _ in range(12)]
    await until(lambda: len(waited) == 12)
    assert waited == pytest.approx([min(0.1 * n, 1.0) for n in range(1, 13)])
    turns.set()
    refused = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in refused} == {RefusalError}
    # Once nobody waits it begins anew.
    with pytest.raises(RefusalError):
        await asking.admit(grid)
    assert waited[-1] == pytest.approx(0.1)


async def test_documents_of_a_strategy_are_paced_and_those_of_people_are_not(door: Stage) -> None:
    paths = ["/v1/status", "/v1/orders/none"] * READS_MOST + ["/v1/openapi.json"]
    answers = await asyncio.gather(*(door.ask("GET", path) for path in paths))
    assert 429 in {answer.status for answer in answers}
    assert (await door.check()).status == 200
    people = await asyncio.gather(
        *(door.ask("GET", "/v1/status", who="viewer") for _ in range(READS_MOST + 50))
    )
    assert {answer.status for answer in people} == {200}


def test_denied_exits_are_remembered_of_so_many_places_alone() -> None:
    paced = Pace("grid", 1, lambda event: None, 0)
    for number in range(2 * pace.PLACES_MAX):
        for _ in range(pace.EXIT_DENIALS_MAX):
            paced.exit_answered(("main", f"C{number}", "sell"), is_denied=True)
    assert admitted(paced, 0, ("main", "C0", "sell"))
    assert admitted(paced, 0, ("main", "C0", "sell"))
    last = ("main", f"C{2 * pace.PLACES_MAX - 1}", "sell")
    assert [admitted(paced, 0, last), admitted(paced, 0, last)] == [True, False]


@pytest.mark.parametrize("clock_ms", [0, -5_000])
def test_clock_that_stands_or_goes_back_gives_nothing_away(clock_ms: int) -> None:
    paced = Pace("grid", 10, lambda event: None, 0)
    assert sum(admitted(paced, clock_ms) for _ in range(100)) == 10


async def test_one_strategy_leaves_connections_to_others_and_each_address_has_its_own(
    door: Stage,
) -> None:
    path = str(door.config.gateway_path)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as tcp,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path, limit=0)) as unix,
    ):
        # Given a strategy that holds open all it may: over either address.
        held = await holding(door, tcp, "grid", STRATEGY_MAX + 10)
        assert sum(a.status == 200 for a in held) == STRATEGY_MAX
        assert sum(a.status == 429 for a in held) == 10
        assert (await door.ask("GET", "/v1/status", session=unix)).status == 429
        # And another that takes what strategies have together.
        held = await holding(door, unix, "trend", STRATEGIES_MAX - STRATEGY_MAX + 5)
        assert sum(a.status == 200 for a in held) == STRATEGIES_MAX - STRATEGY_MAX
        # Then people are let in, at either.
        for session in (door.session, unix):
            answer = await door.ask("GET", "/v1/status", who="operator", session=session)
            assert answer.status == 200
    # When it lets go, there is room again.
    await asyncio.sleep(0.1)
    assert (await door.check()).status == 200


async def holding(
    door: Stage, session: aiohttp.ClientSession, who: str, count: int
) -> list[Answer]:
    """Open so many connections at once: none is free for another while all are asking."""
    opened = [
        session.get(
            f"{door.url}/v1/status",
            headers={"Authorization": f"Bearer {token(who)}"},
        )
        for _ in range(count)
    ]
    answers = await asyncio.gather(*opened)
    found = [Answer(each.status, dict(each.headers), None) for each in answers]
    for each in answers:
        await each.read()
        each.release()
    return found
