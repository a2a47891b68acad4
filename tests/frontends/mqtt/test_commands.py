"""Commands over MQTT: who is heard, what is refused, what is answered, what is written down."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies

from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.errors import ChannelError
from riskbot.frontends.mqtt import commands
from riskbot.frontends.mqtt.commands import CommandDoor, Sender, canonical, sign
from tests.fakes import FakeClock, settle, until
from tests.frontends.mqtt.desk import BASE, Desk
from tests.servers.mosquitto import Mosquitto, listening

SECRET = "a-secret-of-thirty-two-characters"
TOPIC = f"{BASE}/commands/desk"
REPLIES = f"{BASE}/replies/desk"
NONCE = "0123456789abcdef"


def signed(
    now_ms: int,
    command: str = "halt",
    args: dict[str, Any] | None = None,
    *,
    nonce: str = NONCE,
    topic: str = TOPIC,
    secret: str = SECRET,
) -> dict[str, Any]:
    args = args or {}
    text = canonical(topic, command, args, now_ms, nonce)
    return {
        "command": command,
        "args": args,
        "ts_ms": now_ms,
        "nonce": nonce,
        "signature": sign(secret, text),
    }


class Scene:
    """A door with a clock, what it submitted, refused and answered."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.submitted: list[events.CommandReceived] = []
        self.refused: list[events.CommandRefused] = []
        self.base = BASE
        self.sent: list[tuple[str, dict[str, Any], bytes | None]] = []
        self.error: ChannelError | None = None
        senders = {
            "desk": Sender(lambda: SECRET, frozenset({"halt", "cancel", "ack"})),
            "nurse": Sender(lambda: SECRET[::-1], frozenset({"ack"})),
        }
        self.door = CommandDoor(
            BASE,
            senders,
            self.submitted.append,
            self.refused.append,
            self.clock,  # type: ignore[arg-type]
        )
        self.clock.jump(1_000)

    async def publish(self, topic: str, payload: bytes, *, correlation: bytes | None) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((topic, json.loads(payload), correlation))

    def give(
        self,
        body: Any,
        topic: str = TOPIC,
        *,
        retain: bool = False,
        answer_to: str = REPLIES,
        correlation: bytes | None = b"\x07",
    ) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        properties = SimpleNamespace(ResponseTopic=answer_to)
        if correlation is not None:
            properties.CorrelationData = correlation
        self.door.take(
            SimpleNamespace(topic=topic, payload=payload, retain=retain, properties=properties)
        )

    def now(self, **fields: Any) -> dict[str, Any]:
        return signed(self.clock.now_ms(), **fields)

    async def answers(self) -> list[dict[str, Any]]:
        task = asyncio.create_task(self.door.run(self))
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [document for _, document, _ in self.sent]

    def reply(self, number: int = -1, **fields: Any) -> bool:
        request_id = self.submitted[number].request_id
        fields = {"ok": True, "message": "portfolio HALTED", **fields}
        return self.door.deliver(actions.SendReply(request_id=request_id, **fields))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ---------------------------------------------------------------- what is heard


async def test_signed_command_is_submitted_and_answered(scene: Scene) -> None:
    scene.give(scene.now(args={"account": "main", "reason": "lunch"}))
    (command,) = scene.submitted
    assert (command.name, command.args) == ("halt", {"account": "main", "reason": "lunch"})
    assert (command.actor.name, command.actor.role) == ("mqtt:desk", Role.OPERATOR)
    assert command.asked_ms == scene.clock.now_ms()
    assert scene.reply()
    answers = await scene.answers()
    topic, answer, correlation = scene.sent[0]
    assert (topic, correlation) == (REPLIES, b"\x07")
    assert answer == {
        "final": True,
        "command": "halt",
        "nonce": NONCE,
        "ts_ms": scene.clock.now_ms(),
        "ok": True,
        "message": "portfolio HALTED",
        "document": None,
    }
    assert len(answers) == 1
    assert not scene.refused


def changed(**fields: Any) -> Any:
    return lambda body: {**body, **fields}


def without(key: str) -> Any:
    return lambda body: {name: value for name, value in body.items() if name != key}


BROKEN: list[tuple[str, Any, str]] = [
    ("args_changed", changed(args={"account": "other"}), "signature does not match"),
    ("command_changed", changed(command="cancel"), "signature does not match"),
    ("time_changed", lambda b: {**b, "ts_ms": b["ts_ms"] + 1}, "signature does not match"),
    ("nonce_changed", changed(nonce="f" * 16), "signature does not match"),
    ("other_secret", lambda b: signed(b["ts_ms"], secret=SECRET[::-1]), "does not match"),
    (
        "other_instance",
        lambda b: signed(b["ts_ms"], topic="riskbot/vps-2/commands/desk"),
        "does not match",
    ),
    (
        "other_sender",
        lambda b: signed(b["ts_ms"], topic=f"{BASE}/commands/nurse"),
        "does not match",
    ),
    ("unsigned", without("signature"), "exactly the keys"),
    ("no_nonce", without("nonce"), "exactly the keys"),
    ("more", changed(plan_id="p1"), "exactly the keys"),
    ("short_nonce", changed(nonce="abc"), "nonce: must look like"),
    ("upper_case_signature", changed(signature="A" * 64), "signature: must look like"),
    ("no_time", changed(ts_ms="now"), "ts_ms: must be"),
    ("true_time", changed(ts_ms=True), "ts_ms: must be"),
    ("command_is_a_list", changed(command=["halt"]), "command: must be a name"),
    ("args_is_a_list", changed(args=[]), "args: must be"),
    ("float", changed(args={"value": 1.5}), "args: must be"),
    ("nested", changed(args={"value": {"a": 1}}), "args: must be"),
    ("bool", changed(args={"value": True}), "args: must be"),
    ("no_json", lambda _: b"\xff\xfe", "one JSON object"),
    ("list", lambda _: [], "exactly the keys"),
    ("deep", lambda _: b"[" * 4_000, "one JSON object"),
    ("nan", lambda _: b'{"command": NaN}', "one JSON object"),
    ("too_long", changed(args={"reason": "x" * 5_000}), "at most 4096 bytes"),
    (
        "key_twice",
        lambda b: json.dumps(b).replace('"args": {}', '"args": {}, "args": {}').encode(),
        "each key once",
    ),
]


@pytest.mark.parametrize(("change", "why"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN])
async def test_message_that_is_not_proven_is_audited_and_not_answered(
    scene: Scene, change: Any, why: str
) -> None:
    scene.give(change(scene.now()))
    assert scene.submitted == []
    (refusal,) = scene.refused
    assert why in refusal.reason
    assert refusal.actor.name == "mqtt:desk"
    assert await scene.answers() == []


async def test_retained_message_is_refused_however_well_it_is_signed(scene: Scene) -> None:
    scene.give(scene.now(), retain=True)
    assert scene.submitted == []
    assert "retained" in scene.refused[0].reason


@pytest.mark.parametrize("off_ms", [-30_001, 30_001, -3_600_000])
async def test_message_outside_the_window_is_refused(scene: Scene, off_ms: int) -> None:
    scene.clock.jump(100_000)
    scene.give(signed(scene.clock.now_ms() + off_ms))
    assert scene.submitted == []
    assert "at most 30 s" in (await scene.answers())[0]["message"]
    assert "halt" in scene.refused[0].reason


@pytest.mark.parametrize("off_ms", [-29_999, 29_999])
async def test_message_within_the_window_is_heard(scene: Scene, off_ms: int) -> None:
    scene.clock.jump(100_000)
    scene.give(signed(scene.clock.now_ms() + off_ms))
    assert len(scene.submitted) == 1
    asked_ms = scene.submitted[0].asked_ms
    assert asked_ms is not None
    assert asked_ms <= scene.clock.now_ms(), "nothing is asked in the future"


async def test_message_from_before_the_start_is_refused(scene: Scene) -> None:
    """Its nonce may have been used in the run before, whose memory is gone."""
    scene.give(signed(scene.clock.now_ms() - 1_000))
    assert scene.submitted == []
    assert "before this riskbot started" in (await scene.answers())[0]["message"]


async def test_nonce_is_used_once_as_long_as_it_is_fresh(scene: Scene) -> None:
    scene.clock.jump(60_000)
    body = signed(scene.clock.now_ms() + 29_000)
    for _ in range(4):
        scene.give(body)
        scene.clock.jump(14_000)
    assert len(scene.submitted) == 1
    scene.clock.jump(60_000)
    scene.give(body)
    assert len(scene.submitted) == 1
    assert "nonce was used" in scene.refused[0].reason


async def test_nonces_are_bounded_and_come_free_again(scene: Scene) -> None:
    for number in range(commands.NONCES_MAX + 20):
        scene.give(scene.now(nonce=f"nonce-{number:012d}"))
        if scene.submitted:
            scene.reply()
    assert len(scene.submitted) == commands.NONCES_MAX
    assert "too many" in scene.refused[0].reason
    scene.clock.jump(61_000)
    scene.give(scene.now(nonce="nonce-afterwards"))
    assert len(scene.submitted) == commands.NONCES_MAX + 1


async def test_commands_under_way_are_bounded(scene: Scene) -> None:
    for number in range(commands.WAITING_MAX + 5):
        scene.give(scene.now(nonce=f"nonce-{number:012d}"))
    assert len(scene.submitted) == commands.WAITING_MAX


@pytest.mark.parametrize(
    "command", ["resume", "flatten", "reduce", "reclassify", "setlimit", "status", "positions"]
)
async def test_nothing_else_than_what_lowers_risk_can_be_asked(scene: Scene, command: str) -> None:
    scene.give(scene.now(command=command))
    assert scene.submitted == []
    assert "not allowed over MQTT" in (await scene.answers())[0]["message"]


async def test_list_of_a_sender_that_says_more_than_is_safe_gives_no_more(scene: Scene) -> None:
    sender = Sender(lambda: SECRET, frozenset({"resume", "halt"}))
    door = CommandDoor(
        BASE,
        {"desk": sender},
        scene.submitted.append,
        scene.refused.append,
        scene.clock,  # type: ignore[arg-type]
    )
    scene.door = door
    scene.clock.jump(1_000)
    scene.give(scene.now(command="resume"))
    assert scene.submitted == []


async def test_sender_has_its_own_list(scene: Scene) -> None:
    topic = f"{BASE}/commands/nurse"
    scene.give(scene.now(topic=topic, secret=SECRET[::-1]), topic)
    assert scene.submitted == []
    ack = scene.now(
        command="ack", args={"id": "A1"}, topic=topic, secret=SECRET[::-1], nonce="n" * 16
    )
    scene.give(ack, topic)
    assert scene.submitted[0].actor.name == "mqtt:nurse"


async def test_topic_of_nobody_is_not_heard(scene: Scene) -> None:
    scene.give(scene.now(), f"{BASE}/commands/stranger")
    assert (scene.submitted, scene.refused) == ([], [])


async def test_argument_that_is_too_long_is_refused(scene: Scene) -> None:
    scene.give(scene.now(args={"reason": "x" * 501}))
    assert scene.submitted == []


async def test_flood_of_forgeries_is_written_down_in_part_and_counted(scene: Scene) -> None:
    for _ in range(1_000):
        scene.give(b"forged")
    assert len(scene.refused) == commands.REFUSALS_MAX
    scene.clock.jump(commands.REFUSALS_MS)
    scene.give(b"forged")
    assert "980 more were not written down" in scene.refused[-1].reason


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=20),
    lambda inner: (
        strategies.lists(inner, max_size=4)
        | strategies.dictionaries(strategies.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = ("command", "args", "ts_ms", "nonce", "signature")


@given(
    payload=strategies.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | strategies.fixed_dictionaries(dict.fromkeys(KEYS, JSON)).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_whatever_arrives_is_refused_and_breaks_nothing(payload: bytes) -> None:
    scene = Scene()
    scene.give(payload)
    assert scene.submitted == []
    assert len(scene.refused) == 1


@given(at=strategies.integers(0, 400), byte=strategies.integers(0, 255))
def test_signed_message_with_one_byte_changed_is_refused(at: int, byte: int) -> None:
    scene = Scene()
    whole = json.dumps(scene.now(args={"account": "main", "reason": "lunch"})).encode()
    at %= len(whole)
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    scene.give(changed)
    # White space between the parts is no part of what is signed.
    says_the_same = changed == whole or (
        b" " in (whole[at : at + 1], bytes([byte])) and _same(changed, whole)
    )
    assert bool(scene.submitted) is says_the_same


def _same(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


# ---------------------------------------------------------------- what is answered


@pytest.mark.parametrize(
    ("topic", "is_told"),
    [
        (REPLIES, True),
        ("desks/berlin/answers", True),
        (f"{BASE}/state", False),
        (f"{BASE}/online", False),
        (f"{BASE}/commands/desk", False),
        (BASE, False),
        ("riskbot/vps-2/state", False),
        ("riskbot/vps-2/replies/desk", False),
        ("$SYS/broker", False),
        ("answers/#", False),
        ("answers/+/x", False),
        ("", False),
        ("x" * 201, False),
    ],
)
async def test_answer_goes_nowhere_where_riskbot_itself_speaks(
    scene: Scene, topic: str, is_told: bool
) -> None:
    scene.give(scene.now(), answer_to=topic)
    scene.reply()
    assert bool(await scene.answers()) is is_told
    assert len(scene.submitted) == 1, "it is done all the same"


async def test_correlation_is_given_back_whole_or_there_is_no_answer(scene: Scene) -> None:
    for number, data in enumerate((b"x" * 1_024, b"x" * 1_025, None)):
        scene.give(scene.now(nonce=f"nonce-{number:012d}"), correlation=data)
        scene.reply()
    await scene.answers()
    assert [correlation for _, _, correlation in scene.sent] == [b"x" * 1_024, None]


async def test_answers_in_parts_end_with_the_final_one(scene: Scene) -> None:
    scene.give(scene.now())
    scene.reply(is_final=False, message="under way")
    scene.reply()
    assert [a["final"] for a in await scene.answers()] == [False, True]
    assert scene.reply(), "a late one is ours, and goes nowhere"
    assert len(await scene.answers()) == 2


async def test_reply_of_another_door_is_left_alone(scene: Scene) -> None:
    foreign = actions.SendReply(request_id="local-1-1", ok=True, message="")
    assert not scene.door.deliver(foreign)


async def test_answers_that_cannot_be_brought_are_dropped(scene: Scene) -> None:
    scene.give(scene.now())
    scene.reply()
    scene.error = ChannelError("gone")
    await scene.answers()
    scene.error = None
    for number in range(commands.WAITING_MAX + 20):
        scene.give(scene.now(nonce=f"nonce-{number:012d}"))
        scene.reply()
    assert len(await scene.answers()) == commands.WAITING_MAX


# ---------------------------------------------------------------- with a broker


async def test_command_through_a_broker_is_answered_and_its_copies_are_not_heard(
    broker: Mosquitto,
) -> None:
    desk, submitted = Desk(broker), []
    refused: list[Any] = []
    sender = Sender(lambda: SECRET, frozenset({"halt"}))
    door = CommandDoor(BASE, {"desk": sender}, submitted.append, refused.append, desk.clock)
    desk.link.listen(door.topics, door.take)
    async with listening(broker) as listener:
        # What was retained there before riskbot listens is a command of nobody.
        evil = signed(desk.clock.now_ms() + 20_000, nonce="retained-before-0")
        await listener.say(TOPIC, json.dumps(evil), retain=True)

        async def answer() -> None:
            await door.run(desk.link)

        async with desk.running(answer):
            await desk.connected()
            body = json.dumps(signed(desk.clock.now_ms()))
            await listener.say(TOPIC, body, answer_to=REPLIES, correlation=b"42")
            await until(lambda: submitted, 30)
            door.deliver(
                actions.SendReply(request_id=submitted[0].request_id, ok=True, message="done")
            )
            await listener.until(lambda: listener.on(REPLIES), "answer")
            assert listener.on(REPLIES)[0].correlation == b"42"
            assert listener.on(REPLIES)[0].document["message"] == "done"
            await listener.say(TOPIC, body, answer_to=REPLIES)
            await listener.say(TOPIC, json.dumps(signed(desk.clock.now_ms())), retain=True)
            await until(lambda: len(refused) == 2, 30)
            assert [("nonce" in r.reason, "retained" in r.reason) for r in refused] == [
                (True, False),
                (False, True),
            ]
            assert len(submitted) == 1


async def test_without_senders_nothing_is_subscribed(broker: Mosquitto) -> None:
    desk = Desk(broker)
    async with desk.running():
        await desk.connected()
        await asyncio.sleep(0.3)
    assert "Received SUBSCRIBE from riskbot-vps-1" not in broker.log()


def test_example_of_the_documentation_signs_as_riskbot_does(tmp_path: Path) -> None:
    """The shell lines of docs/mqtt.md make the same signature, byte for byte."""
    page = (Path(__file__).parents[3] / "docs" / "mqtt.md").read_text()
    scripts = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (script,) = (each for each in scripts if "desk.secret" in each)
    assert "mosquitto_pub" in script
    (tmp_path / "desk.secret").write_text(SECRET + "\n")
    (tmp_path / "mosquitto_pub").write_text('#!/bin/sh\nfor last; do :; done; printf %s "$last"\n')
    (tmp_path / "mosquitto_pub").chmod(0o755)
    made = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    body = json.loads(made.stdout)
    text = canonical(TOPIC, body["command"], body["args"], body["ts_ms"], body["nonce"])
    assert body["signature"] == sign(SECRET, text)
    assert body["args"], "an example without arguments would show half of it"


def test_signature_of_the_documentation_is_this_one() -> None:
    text = canonical(
        "riskbot/vps-1/commands/desk",
        "halt",
        {"reason": "Überlast", "account": "main"},
        1_700_000_000_000,
        NONCE,
    )
    assert text == (
        b"riskbot-command-1\nriskbot/vps-1/commands/desk\nhalt\n1700000000000\n"
        b"0123456789abcdef\n"
        b'{"account":"main","reason":"\\u00dcberlast"}'
    )
    page = (Path(__file__).parents[3] / "docs" / "mqtt.md").read_text()
    assert sign("a-secret-of-thirty-two-characters", text) in page
