"""`riskbot run` with a real broker: halts and crashes told, commands, a flatten while it hangs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.config_files import secret
from tests.frontends.mqtt.conftest import MakeBroker
from tests.frontends.mqtt.test_commands import SECRET, signed
from tests.scenarios.daemon import DRAWDOWN, alert_of, guarded
from tests.scenarios.seats import BINANCE, BTC, Seat, glide
from tests.servers.mosquitto import Listener, Mosquitto, listening, retained

BASE = "riskbot/vps-1"
TOKEN = hashlib.sha256(b"grid").hexdigest()
ROOT = Path(__file__).parents[3]


def sections(broker: Mosquitto, **fields: Any) -> dict[str, Any]:
    """What a user writes."""
    login = {"username": "riskbot", "password": broker.users["riskbot"]}
    return {"instance": "vps-1", "mqtt": {"port": broker.port, **login, **fields}}


def documents(listener: Listener, topic: str = "state") -> list[dict[str, Any]]:
    return [message.document for message in listener.on(f"{BASE}/{topic}")]


def state(listener: Listener) -> str:
    told = documents(listener)
    return str(told[-1]["trading_state"]) if told else ""


def online(listener: Listener) -> bytes:
    return listener.on(f"{BASE}/online")[-1].payload


def now_ms(listener: Listener) -> int:
    """Return riskbot's own time, near enough."""
    return int(documents(listener)[-1]["ts_ms"])


async def test_strategies_learn_of_a_halt_a_crash_a_restart_and_a_stop(
    broker: Mosquitto, tmp_path: Path
) -> None:
    seat = Seat(BINANCE)
    seat.hold(BTC, "1")
    async with (
        listening(broker) as listener,
        guarded(tmp_path, seat, limits=DRAWDOWN, **sections(broker)) as daemon,
    ):
        # Given a guard at work: everybody who listens sees it, and the figures.
        await listener.until(lambda: state(listener) == "ACTIVE", "active")
        assert online(listener) == b"1"
        await listener.until(lambda: documents(listener, "exposure"), "exposure")
        await listener.until(
            lambda: documents(listener, "exposure")[-1]["gross_usd"], "a book that is priced"
        )
        assert documents(listener, "limits")[-1]["limits"][0]["name"]
        # When somebody halts, then strategies are told, and why; people are told too.
        assert (await daemon.ctl("halt", "--reason", "lunch")).code == 0
        await listener.until(lambda: state(listener) == "HALTED", "halted")
        assert documents(listener)[-1]["holds"][0]["reason"].endswith("lunch")
        await listener.until(
            lambda: [a for a in documents(listener, "alerts") if a["limit"] == "halt"], "the alert"
        )
        await listener.until(
            lambda: [d for d in documents(listener, "decisions") if d["kind"] == "command"],
            "the decision",
        )
        assert (await daemon.ctl("decisions")).document[0]["hash"] in {
            d["hash"] for d in documents(listener, "decisions")
        }
        # When the process is killed, then the broker says so.
        last = documents(listener)[-1]
        await daemon.kill()
        await listener.until(lambda: online(listener) == b"0", "last will")
        # When it comes back, it says what still holds, under higher numbers.
        await daemon.start()
        await daemon.ready()
        await listener.until(lambda: online(listener) == b"1", "born again")
        await listener.until(lambda: documents(listener)[-1]["run"] > last["run"], "new run")
        assert documents(listener)[-1]["seq"] > last["seq"]
        assert state(listener) == "HALTED"
        seqs = [
            m.document["seq"]
            for m in listener.heard
            if m.topic.rpartition("/")[2] in {"state", "limits", "exposure"}
        ]
        assert seqs == sorted(set(seqs)), "numbers grow, over the restart too"
        # When it is stopped in order, it takes its leave itself.
        assert await daemon.stop() == 0
        await listener.until(lambda: online(listener) == b"0", "leave")
        assert state(listener) == "HALTED"
    kept = await retained(broker, f"{BASE}/state")
    assert kept is not None
    assert json.loads(kept)["trading_state"] == "HALTED"
    for topic in ("alerts", "decisions"):
        assert await retained(broker, f"{BASE}/{topic}", 0.3) is None
    assert broker.users["riskbot"] not in daemon.said(10**6)


@pytest.mark.parametrize("trouble", ["hangs", pytest.param("is_gone", marks=pytest.mark.nightly)])
async def test_flatten_while_the_broker_is_in_trouble_waits_for_nothing(
    broker: Mosquitto, tmp_path: Path, trouble: str
) -> None:
    seat = Seat(BINANCE)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN, **sections(broker)) as daemon:
        async with listening(broker) as listener:
            await listener.until(lambda: state(listener) == "ACTIVE", "active")
        # Given a broker that answers nobody any more.
        if trouble == "hangs":
            broker.pause()
        else:
            await broker.kill()
        # When the market falls, then the account is flat while the broker still does not answer.
        await glide(seat, BTC=34_000)
        await daemon.until(daemon.is_flat, "flat")
        status = await daemon.halted()
        assert [hold["limit"] for hold in status["holds"]] == ["drawdown"]
        assert alert_of(status, "drawdown") is not None
        assert len(seat.sent()) == 1
        # And the doors answer, and the broker's absence is told where it can be.
        await daemon.until_status(lambda s: alert_of(s, "frontend_down"), "told")
        # When the broker is back, then strategies hear how it is now, people what happened.
        if trouble == "hangs":
            broker.go_on()
        else:
            await broker.start()
        async with listening(broker) as listener:
            await listener.until(lambda: state(listener) == "HALTED", "halted", 90)
            await listener.until(
                lambda: [a for a in documents(listener, "alerts") if a["limit"] == "drawdown"],
                "the red alert",
                90,
            )
        await daemon.until_status(lambda s: not alert_of(s, "frontend_down"), "over")


async def test_command_that_is_signed_halts_and_nothing_else_does(
    brokers: MakeBroker, tmp_path: Path
) -> None:
    # Given the rights that riskbot ships, and a sender.
    users = {name: f"password-of-{name}" for name in ("riskbot", "grid", "desk", "dashboard")}
    acl = (ROOT / "config" / "mosquitto.acl").read_text().splitlines()
    broker = await brokers(users=users, acl=acl)
    secret(tmp_path, "desk.secret", SECRET)
    seat = Seat(BINANCE)
    seat.hold(BTC, "1")
    wanted = sections(broker, commands={"desk": {"secret_file": "desk.secret"}})
    wanted["gateway"] = {"strategies": {"grid": {"token": TOKEN, "accounts": ["main"]}}}
    topic, replies = f"{BASE}/commands/desk", f"{BASE}/replies/desk"
    async with (
        listening(broker) as listener,
        listening(broker, "desk") as desk,
        listening(broker, "grid") as grid,
        guarded(tmp_path, seat, limits=DRAWDOWN, **wanted) as daemon,
    ):
        await listener.until(lambda: state(listener) == "ACTIVE", "active")
        await grid.until(lambda: grid.on(f"{BASE}/state"), "a strategy may see the state")
        # When a stranger with a login tries, and somebody who may command asks for too much.
        await grid.say(f"{BASE}/state", b'{"trading_state": "ACTIVE", "forged": true}')
        forged = signed(now_ms(listener), nonce="of-a-stranger-01")
        await grid.say(topic, json.dumps(forged))
        resume = signed(now_ms(listener), "resume", nonce="asks-for-too-much")
        await desk.say(topic, json.dumps(resume), answer_to=replies, correlation=b"1")
        await desk.until(lambda: desk.on(replies), "refused")
        assert desk.on(replies)[0].document["message"] == "not allowed over MQTT to this sender"
        # Then nothing has happened.
        assert (await daemon.status())["trading_state"] == "ACTIVE"
        assert not any("forged" in document for document in documents(listener))
        # When it asks for a halt, then it is done, told to everybody, and answered.
        body = json.dumps(signed(now_ms(listener), args={"reason": "smoke"}))
        await desk.say(topic, body, answer_to=replies, correlation=b"2")
        await listener.until(lambda: state(listener) == "HALTED", "halted")
        await desk.until(lambda: desk.on(replies)[-1].correlation == b"2", "answered")
        assert desk.on(replies)[-1].document["ok"] is True
        # When its message is played again, it is not heard.
        await desk.say(topic, body, answer_to=replies, correlation=b"3")
        await desk.until(lambda: desk.on(replies)[-1].correlation == b"3", "answered again")
        assert "nonce" in desk.on(replies)[-1].document["message"]
        # And a strategy that asks over the broker hears why not, as over HTTP.
        order = {"account": "main", "instrument": BTC, "side": "buy", "quantity": "0.01"}
        asked = json.dumps({"strategy": "grid", "token": TOKEN, "type": "market", **order})
        answers = f"{BASE}/replies/grid"
        await grid.say(f"{BASE}/orders/check", asked, answer_to=answers, correlation=b"4")
        await grid.until(lambda: grid.on(answers), "denied")
        told = grid.on(answers)[0].document
        assert (told["decision"], told["http_status"]) == ("deny", 200)
        assert "TRADING_STATE" in {reason["code"] for reason in told["reasons"]}
        assert TOKEN not in daemon.said(10**6)
        # And the audit has each of them, by name.
        rows = (await daemon.ctl("decisions")).document
        mine = [(r["kind"], r["actor"]) for r in reversed(rows) if r["actor"] == "mqtt:desk"]
        assert mine.count(("command", "mqtt:desk")) == 1
        assert mine.count(("refused", "mqtt:desk")) == 2
        seen = {message.topic for message in grid.heard}
        assert seen == {f"{BASE}/online", f"{BASE}/state", answers}
        assert not await _frontend_is_down(daemon)


async def _frontend_is_down(daemon: Any) -> bool:
    return alert_of(await daemon.status(), "frontend_down") is not None


async def test_wrong_password_leaves_the_guard_at_work_and_is_told(
    broker: Mosquitto, tmp_path: Path
) -> None:
    seat = Seat(BINANCE)
    seat.hold(BTC, "1")
    wanted = sections(broker, password="not-the-one")
    async with guarded(tmp_path, seat, limits=DRAWDOWN, **wanted) as daemon:
        status = await daemon.until_status(lambda s: alert_of(s, "frontend_down"), "told")
        told = alert_of(status, "frontend_down")
        assert told is not None
        assert "not-the-one" not in json.dumps(status)
        assert status["trading_state"] == "ACTIVE"
        await asyncio.sleep(3)
        assert broker.log().count("New connection") < 12
        assert await daemon.stop() == 0
