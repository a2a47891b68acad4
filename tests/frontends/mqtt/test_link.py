"""The connection against a real broker: birth, last will, refusals, hangs, TLS, its own pace."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from riskbot.channels.mqtt import MqttChannel
from riskbot.core import events
from riskbot.errors import ChannelError
from riskbot.frontends.mqtt import link, wire
from tests.alerts import alert
from tests.fakes import until
from tests.frontends.mqtt.conftest import MakeBroker
from tests.frontends.mqtt.desk import BASE, Desk
from tests.servers.certificates import Authority
from tests.servers.mosquitto import Mosquitto, free_port, listening, retained

ONLINE = f"{BASE}/online"


def payloads(heard: list[object]) -> list[bytes]:
    return [message.payload for message in heard]  # type: ignore[attr-defined]


# ---------------------------------------------------------------- birth and death


async def test_birth_is_retained_and_a_clean_stop_takes_it_back(broker: Mosquitto) -> None:
    desk = Desk(broker)
    async with listening(broker) as listener:
        async with desk.running():
            await listener.until(lambda: listener.on(ONLINE), "birth")
            assert await retained(broker, ONLINE) == b"1"
        await listener.until(lambda: len(listener.on(ONLINE)) == 2, "death")
        assert payloads(listener.on(ONLINE)) == [b"1", b"0"]
    assert await retained(broker, ONLINE) == b"0"
    assert "riskbot-vps-1 disconnected" in broker.log()


async def test_will_is_told_when_the_connection_is_cut(broker: Mosquitto) -> None:
    desk = Desk(broker)
    async with listening(broker) as listener, desk.running() as running:
        await desk.connected()
        client = running._client  # noqa: SLF001 - a cut cable has no public name
        assert client is not None
        client.abort()
        await listener.until(lambda: b"0" in payloads(listener.on(ONLINE)), "last will")
        await listener.until(lambda: listener.on(ONLINE)[-1].payload == b"1", "birth again")
        assert running.sessions == 2
    assert await retained(broker, ONLINE) == b"0"


async def test_new_connection_ends_the_one_before_and_stays_born(broker: Mosquitto) -> None:
    """A half-open connection of a machine that crashed must not tell its will later."""
    first, second = Desk(broker), Desk(broker)
    async with listening(broker) as listener, first.running() as older:
        await first.connected()
        client = older._client  # noqa: SLF001
        assert client is not None
        async with second.running():
            await second.connected()
            await until(lambda: not older.connected.is_set(), 30)
            await listener.until(lambda: payloads(listener.on(ONLINE))[-1] == b"1", "born")
            assert payloads(listener.on(ONLINE))[-1] == b"1"


async def test_message_is_taken_with_its_marks(broker: Mosquitto) -> None:
    desk = Desk(broker)
    async with listening(broker) as listener, desk.running() as running:
        await desk.connected()
        await running.publish(f"{BASE}/state", b"{}", retain=True)
        await running.publish("answers/here", b"yes", correlation=b"\x01\x02")
        await listener.until(lambda: listener.on("answers/here"), "both messages")
        assert listener.on("answers/here")[0].correlation == b"\x01\x02"
        assert await retained(broker, f"{BASE}/state") == b"{}"
        assert await retained(broker, "answers/here") is None


# ---------------------------------------------------------------- refusals


async def test_wrong_password_is_told_once_and_tried_slowly(broker: Mosquitto) -> None:
    desk = Desk(broker, password=lambda: "guessed")
    async with desk.running() as running:
        await until(desk.health, 30)
        await asyncio.sleep(4)
        assert not running.connected.is_set()
        told = desk.health()
        assert [(e.is_up, e.is_slow) for e in told] == [(False, False)]
        assert "Not authorized" in told[0].detail or "user name" in told[0].detail
        assert "guessed" not in told[0].detail
        attempts = broker.log().count("New connection")
        # One of the start, 0.75 to 1.25 s later, 1.5 to 2.5 s after that; none of the probe's.
        assert 2 <= attempts <= 5, attempts
        with pytest.raises(ChannelError, match="no connection"):
            await running.publish("x", b"")


RIGHTS = [
    "user riskbot",
    f"topic write {BASE}/online",
    f"topic write {BASE}/state",
    f"topic write {BASE}/selftest",
]


async def test_topic_that_is_refused_is_told_and_ends_when_it_is_allowed(
    brokers: MakeBroker,
) -> None:
    broker = await brokers(acl=RIGHTS)
    desk = Desk(broker)
    async with desk.running() as running:
        await desk.connected()
        await running.publish(f"{BASE}/state", b"1")
        for _ in range(3):
            with pytest.raises(ChannelError, match="refuses riskbot/vps-1/alerts") as refused:
                await running.publish(f"{BASE}/alerts", b"x")
            assert refused.value.is_permanent
        up, down = desk.health()
        assert (up.is_up, down.is_up) == (True, False)
        assert f"{BASE}/alerts: Not authorized" in down.detail
        rights = broker.folder / "acl"
        rights.write_text(f"user riskbot\ntopic write {BASE}/#\n")
        assert broker.process is not None
        broker.process.send_signal(1)  # mosquitto reads its rights anew
        await until(lambda: "Reloading config" in broker.log(), 30)
        await running.publish(f"{BASE}/alerts", b"x")
        assert desk.health()[2:] == [events.FrontendChanged(name="mqtt", is_up=True)]


async def test_birth_that_is_refused_is_told(brokers: MakeBroker) -> None:
    broker = await brokers(acl=["user riskbot", f"topic write {BASE}/state"])
    desk = Desk(broker)
    async with desk.running():
        await until(desk.health, 30)
        assert not desk.health()[0].is_up
        assert ONLINE in desk.health()[0].detail


# ---------------------------------------------------------------- away, hung


async def test_broker_that_is_restarted_is_waited_for_by_an_alert(broker: Mosquitto) -> None:
    desk = Desk(broker)
    channel = MqttChannel(desk.link, "vps-1")
    async with desk.running() as running:
        await desk.connected()
        await broker.kill()
        await until(lambda: not running.connected.is_set(), 30)
        sending = asyncio.create_task(channel.send(alert("A7"), is_loud=True))
        await broker.start()
        async with listening(broker) as listener:
            await listener.until(lambda: listener.on(f"{BASE}/alerts") or sending.done(), "alert")
        await sending
        # Away for a moment is not worth a word.
        assert [e.is_up for e in desk.health()] == [True]


async def test_nobody_there_is_told_after_a_while_and_when_it_is_over(
    broker: Mosquitto,
) -> None:
    desk = Desk(broker)
    async with desk.running():
        await desk.connected()
        await broker.kill()
        await until(lambda: len(desk.health()) > 1, 60)
        assert not desk.health()[1].is_up
        assert "refused" in desk.health()[1].detail
        await broker.start()
        await until(lambda: desk.health()[-1].is_up, 60)
        assert len(desk.health()) == 3


async def test_host_that_does_not_exist_is_told_and_nothing_breaks() -> None:
    class Nowhere:
        port = free_port()

    desk = Desk(Nowhere(), host="no-such-host.invalid")  # type: ignore[arg-type]
    async with desk.running():
        await until(desk.health, 60)
        assert not desk.health()[0].is_up


async def test_broker_that_hangs_is_left_and_come_back_to(broker: Mosquitto) -> None:
    desk = Desk(broker)
    async with desk.running() as running:
        await desk.connected()
        broker.pause()
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        working = asyncio.create_task(others())
        with pytest.raises(ChannelError, match="no answer"):
            await running.publish(f"{BASE}/state", b"x" * 9_000_000)
        working.cancel()
        assert turns > 50, "the loop belongs to the others meanwhile"
        assert not running.connected.is_set()
        with pytest.raises(ChannelError, match="no connection"):
            await running.publish(f"{BASE}/state", b"y")
        await asyncio.sleep(7)  # an attempt that is never answered, too
        broker.go_on()
        await desk.connected(60)
        await running.publish(f"{BASE}/state", b"z")
        assert running.sessions == 2


async def test_attempts_that_nobody_answers_leave_no_sockets_behind() -> None:
    """A port that takes connections and never says a word, as behind a broken proxy."""
    peers: list[asyncio.StreamWriter] = []
    gone = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal gone
        peers.append(writer)
        while await reader.read(1000):
            pass
        gone += 1
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)

    class Silent:
        port = server.sockets[0].getsockname()[1]

    desk = Desk(Silent())  # type: ignore[arg-type]
    async with desk.running():
        await until(lambda: gone >= 2, 60)
        assert len(peers) - gone <= 1
    await until(lambda: gone == len(peers), 30)
    server.close()
    await server.wait_closed()


async def test_stop_while_the_broker_hangs_takes_seconds(broker: Mosquitto) -> None:
    desk = Desk(broker)
    async with desk.running():
        await desk.connected()
        broker.pause()
    # `running` has waited for the end; the broker tells the will once it is back.
    broker.go_on()
    async with listening(broker) as listener:
        await listener.until(lambda: payloads(listener.on(ONLINE))[-1:] == [b"0"], "last will")


# ---------------------------------------------------------------- TLS


async def tls_broker(brokers: MakeBroker, folder: Path, **options: object) -> Mosquitto:
    authority = Authority(folder)
    return await brokers(tls=(authority.certificate, *authority.sign("broker")), **options)


def context(authority: Path, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority))
    if files is not None:
        made.load_cert_chain(*map(str, files))
    return made


async def test_tls_with_the_right_authority_works(brokers: MakeBroker, tmp_path: Path) -> None:
    broker = await tls_broker(brokers, tmp_path)
    assert broker.tls is not None
    authority = broker.tls[0]
    desk = Desk(broker, make_tls=lambda: context(authority))
    async with listening(broker) as listener, desk.running() as running:
        await desk.connected()
        await running.publish(f"{BASE}/state", b"x" * 300_000, retain=True)
        await listener.until(lambda: listener.on(f"{BASE}/state"), "over TLS")
        broker.pause()
        with pytest.raises(ChannelError, match="no answer"):
            await running.publish(f"{BASE}/state", b"y" * 9_000_000)
        broker.go_on()
        await desk.connected(60)


# The library leaves the socket of a handshake that failed to the garbage collector.
LEFT = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@LEFT
async def test_tls_with_a_foreign_authority_is_told(brokers: MakeBroker, tmp_path: Path) -> None:
    broker = await tls_broker(brokers, tmp_path)
    foreign = Authority(tmp_path, "foreign").certificate
    desk = Desk(broker, make_tls=lambda: context(foreign))
    async with desk.running() as running:
        await until(desk.health, 60)
        assert "CERTIFICATE_VERIFY_FAILED" in desk.health()[0].detail
        assert not running.connected.is_set()


@LEFT
async def test_tls_with_a_certificate_for_another_host_is_told(
    brokers: MakeBroker, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    elsewhere = authority.sign("broker", "192.0.2.1")
    broker = await brokers(tls=(authority.certificate, *elsewhere))
    desk = Desk(broker, make_tls=lambda: context(authority.certificate))
    async with desk.running():
        await until(desk.health, 60)
        assert "IP address mismatch" in desk.health()[0].detail


async def test_tls_when_the_broker_asks_for_a_certificate_shows_ours(
    brokers: MakeBroker, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    broker = await brokers(tls=(authority.certificate, *authority.sign("broker")), asks_for=True)
    ours = authority.sign("riskbot")
    desk = Desk(broker, make_tls=lambda: context(authority.certificate, ours))
    async with desk.running() as running:
        await desk.connected()
        await running.publish(f"{BASE}/state", b"x")


# ---------------------------------------------------------------- pace


async def test_broker_without_nodelay_is_found_and_told(brokers: MakeBroker) -> None:
    desk = Desk(await brokers(nodelay=False))
    async with desk.running():
        await until(lambda: desk.health() and desk.health()[-1].is_slow, 30)
        assert "set_tcp_nodelay" in desk.health()[-1].detail
        assert desk.health()[-1].is_up


async def test_our_own_socket_never_waits_to_fill_a_packet(broker: Mosquitto) -> None:
    import socket

    desk = Desk(broker)
    async with desk.running() as running:
        await desk.connected()
        client = running._client  # noqa: SLF001
        assert client is not None
        sock = client._client.socket()  # noqa: SLF001
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # type: ignore[union-attr]


def test_last_will_is_told_within_two_minutes_of_silence() -> None:
    assert wire.KEEPALIVE_S * 1.5 <= 120
    assert link.LONGEST_WAIT_S <= 60
