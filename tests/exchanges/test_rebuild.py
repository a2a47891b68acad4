"""A ccxt object that no longer gets answers is replaced, and no order notices."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from riskbot.core import events
from riskbot.errors import VenueError
from riskbot.exchanges._retired import Retired
from riskbot.exchanges._streams import ACCOUNT, Streams, Watch
from tests.exchanges.test_streams import streaming
from tests.exchanges.venues import BTC, VENUES, Desk, Venue, open_desk, order
from tests.fakes import FakeClock, never, settle, until

QUICK = {"streaming": {"keepAlive": 300}, "timeout": 1500}


@pytest.fixture(params=VENUES, ids=str)
def venue(request: pytest.FixtureRequest) -> Venue:
    found: Venue = request.param
    return found


# ---------------------------------------------------------------- REST


async def test_order_in_flight_keeps_its_object_and_the_next_takes_the_new_one(
    venue: Venue,
) -> None:
    async with open_desk(venue) as desk:
        client = desk.exchange.client
        client.api.options["timeDifference"] = 7
        desk.strike("reply_delayed", venue.order_path, seconds=3)
        sending = asyncio.create_task(desk.exchange.place(order()))
        await until(desk.server.orders_received)
        old, asked = client.api, len(desk.server.requests)
        assert desk.exchange.rebuild("wedged")
        assert client.api is not old
        assert client.api.options["timeDifference"] == 7
        assert client.retired.count == 1
        # The new one reads with the markets it was given; the order waits on the old one.
        assert (await desk.exchange.snapshot()).balances
        assert not any("exchangeInfo" in r.path or "instruments" in r.path.lower()
                       for r in desk.server.requests[asked:])  # fmt: skip
        assert isinstance(await sending, events.OrderAccepted)
        await until(lambda: client.retired.count == 0)
        assert old.session is None
        assert len(desk.server.orders_received()) == 1


class Wedged:
    """A session that takes requests and never answers one."""

    closed = False
    headers: ClassVar[dict[str, str]] = {}

    def __getattr__(self, method: str) -> Any:
        del method
        return lambda *_, **__: self

    async def __aenter__(self) -> Any:
        return await never()

    async def __aexit__(self, *_: Any) -> None:
        pass

    async def close(self) -> None:
        await never()


async def test_wedged_session_is_left_behind(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        await desk.exchange.client.api.session.close()
        desk.exchange.client.api.session = Wedged()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await desk.exchange.snapshot()
        assert desk.exchange.rebuild("no answer")
        assert (await desk.exchange.snapshot()).balances


async def test_rebuilds_are_ever_more_rare(venue: Venue) -> None:
    async with open_desk(venue) as desk:
        clock = FakeClock()
        desk.exchange.client.clock = clock
        done = []
        for _ in range(600):
            if desk.exchange.rebuild("no answer"):
                done.append(clock.now_ms())
            clock.jump(1_000)
        gaps = [later - earlier for earlier, later in itertools.pairwise(done)]
        assert gaps == [10_000, 20_000, 40_000, 80_000, 160_000]


# ---------------------------------------------------------------- sockets


async def test_refused_twice_gets_a_new_object_and_comes_back(venue: Venue) -> None:
    async with open_desk(venue) as desk, streaming(desk):
        desk.seen.clear()
        built = desk.exchange.client.built
        desk.server.faults.add("sockets_refused", None)
        desk.server.drop_sockets()
        await until(lambda: desk.exchange.client.built > built, 20)
        assert len(desk.of(events.FeedLost)) == 2
        desk.server.faults.clear()
        await comes_back(desk)


async def test_half_open_twice_gets_a_new_object_and_comes_back(venue: Venue) -> None:
    async with open_desk(venue, ccxt_config=QUICK) as desk, streaming(desk):
        desk.seen.clear()
        built = desk.exchange.client.built
        desk.server.faults.add("sockets_silent", None)
        await until(lambda: desk.exchange.client.built > built, 20)
        desk.server.faults.clear()
        await comes_back(desk)


async def test_frames_that_drip_are_a_dead_link(venue: Venue) -> None:
    async with open_desk(venue, ccxt_config=QUICK) as desk, streaming(desk):
        desk.seen.clear()
        desk.server.faults.add("frames_dripped", None, seconds=0.05)
        name = desk.venue.ids[BTC]
        desk.server.market.set_price(name, desk.server.market.marks[name] + 1)
        await until(lambda: any(e.feed == "prices" for e in desk.of(events.FeedLost)), 20)
        desk.server.faults.clear()
        await comes_back(desk)


async def comes_back(desk: Desk) -> None:
    """Wait until both feeds live again and a price comes through."""
    await until(lambda: {e.feed for e in desk.of(events.FeedAlive)} >= {"account", "prices"}, 30)
    desk.seen.clear()
    name = desk.venue.ids[BTC]
    desk.server.market.set_price(name, desk.server.market.marks[name] + 7)
    await until(lambda: desk.of(events.PricesUpdated), 20)


async def test_reply_that_drips_is_no_answer_in_time(venue: Venue) -> None:
    async with open_desk(venue, ccxt_config=QUICK) as desk:
        desk.strike("reply_dripped", venue.balance_path, None)
        with pytest.raises(VenueError) as caught:
            await desk.exchange.snapshot()
        assert caught.value.http_status is None
        desk.server.faults.clear()
        assert (await desk.exchange.snapshot()).balances


# ---------------------------------------------------------------- links, by our own clock


class Api:
    """A ccxt object as far as the streams use one: it says what it is told to."""

    def __init__(self, clock: FakeClock, watching: Callable[[Api], Any]) -> None:
        self.clock, self.watching = clock, watching
        self.tap: Any = None
        self.clients: dict[str, Any] = {}
        self.streaming: dict[str, Any] = {}

    async def watch_orders(self, params: dict[str, Any]) -> Any:
        return await self.watching(self)


class Links:
    """Streams of one account over objects whose links do as they are told."""

    is_ready_on_connect = False

    def __init__(self, watching: Callable[[Api], Any]) -> None:
        self.clock = FakeClock()
        self.built: list[Api] = []
        self.retired: list[Api] = []
        self.seen: list[Any] = []
        self.watching = watching
        self.streams = Streams(
            "main", self, self.new_api, self.retired.append, self.clock, random.Random(7),
            (ConnectionError,),
        )  # fmt: skip

    def new_api(self, tap: Any) -> Api:
        self.built.append(Api(self.clock, self.watching))
        self.built[-1].tap = tap
        return self.built[-1]

    def account_watches(self) -> list[Watch]:
        return [Watch(ACCOUNT, "watch_orders")]

    def price_watches(self, symbols: Any) -> list[Watch]:
        del symbols
        return []

    def decode(self, message: Any, url: str) -> list[Any] | None:
        del message, url
        return None

    def translate(self, result: Any) -> list[Any] | None:
        del result
        return None

    def renew(self, api: Any, feed: str) -> None:
        del api, feed

    async def play(self, seconds: int) -> None:
        task = asyncio.create_task(self.streams.run(self.seen.append))
        await settle()
        await self.clock.advance(seconds * 1000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def dials_for_ever(api: Api) -> Any:
    api.tap.opened("wss://venue")
    return await never()


async def answers_pings(api: Api) -> Any:
    api.tap.opened("wss://venue")
    while True:
        await api.clock.sleep(5)
        api.tap.pong("wss://venue")


async def breaks_at_once(api: Api) -> Any:
    api.tap.opened("wss://venue")
    raise ConnectionError("refused")


async def breaks_after_a_word(api: Api) -> Any:
    api.tap.opened("wss://venue")
    await api.clock.sleep(1)
    api.tap.pong("wss://venue")
    raise ConnectionError("cut")


async def test_link_that_is_never_heard_of_is_given_up_by_our_own_clock() -> None:
    links = Links(dials_for_ever)
    await links.play(20)
    assert len(links.built) == 2
    assert links.retired == links.built
    (lost,) = [event for event in links.seen if event.feed == ACCOUNT]
    assert "neither frame nor pong for 15 s" in lost.reason


async def test_link_that_answers_pings_is_left_alone() -> None:
    links = Links(answers_pings)
    await links.play(600)
    assert len(links.built) == 1


async def test_link_that_breaks_at_once_gets_new_objects_ever_more_rarely() -> None:
    links = Links(breaks_at_once)
    await links.play(3_600)
    # After 10, 20, 40, 80, 160 s, and each 300 s from then on.
    assert 10 <= len(links.built) <= 18


async def test_link_that_speaks_before_it_breaks_is_no_fault_of_the_object() -> None:
    links = Links(breaks_after_a_word)
    await links.play(120)
    assert len(links.built) == 1


async def test_channel_that_never_dials_is_no_reason_while_others_live() -> None:
    links = Links(answers_pings)

    async def refuse(api: Any) -> Any:
        del api
        raise ConnectionError("no such channel")

    own = links.account_watches
    links.account_watches = lambda: [*own(), Watch(ACCOUNT, "watch_more", call=refuse)]  # type: ignore[method-assign]
    await links.play(120)
    assert len(links.built) == 1


# ---------------------------------------------------------------- closing


class Stubborn:
    """An object that takes its time to close, or for ever."""

    def __init__(self) -> None:
        self.is_cut = self.is_closed = False
        self.gate = asyncio.Event()

    async def close(self) -> None:
        await self.gate.wait()
        self.is_closed = True

    async def close_connector(self) -> None:
        self.is_cut = True


async def test_object_in_use_is_closed_behind_its_last_request() -> None:
    clock, api = FakeClock(), Stubborn()
    api.gate.set()
    retired = Retired("main", clock, (OSError,))
    with retired.using(api):
        retired.retire(api)
        await clock.advance(20_000)
        assert not api.is_closed
    await clock.advance(1_000)
    assert api.is_closed
    assert retired.count == 0


async def test_request_that_never_ends_holds_its_object_no_longer_than_its_deadline() -> None:
    clock, api = FakeClock(), Stubborn()
    api.gate.set()
    retired = Retired("main", clock, (OSError,))
    with retired.using(api):
        retired.retire(api)
        await clock.advance(31_000)
        assert api.is_closed


async def test_object_that_does_not_close_is_cut_off() -> None:
    api = Stubborn()
    retired = Retired("main", FakeClock(), (OSError,), close_s=0.05)
    retired.retire(api)
    await retired.wait()
    assert (api.is_cut, api.is_closed) == (True, False)


async def test_stream_restart_does_not_wait_for_the_old_sockets_to_close(venue: Venue) -> None:
    async with open_desk(venue) as desk, streaming(desk):
        api, gate = desk.exchange.stream_client, asyncio.Event()
        closing = api.close

        async def slow_close() -> None:
            await gate.wait()
            await closing()

        api.close = slow_close
        desk.seen.clear()
        await desk.exchange.restart_stream("half open")
        await until(
            lambda: {e.feed for e in desk.of(events.FeedAlive)} >= {"account", "prices"}, 20
        )
        assert desk.exchange.client.retired.count == 1
        gate.set()
        await until(lambda: desk.exchange.client.retired.count == 0)
