"""What each person sets for themselves: zone, language, quiet hours, theme of charts."""

from __future__ import annotations

import asyncio
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import matplotlib.image
import pytest

from riskbot.core.duty import Alert
from riskbot.core.model import Level
from riskbot.errors import ChannelError
from riskbot.frontends.telegram.figures import clock, day
from riskbot.frontends.telegram.memory import Memory, Person
from riskbot.frontends.telegram.people import People
from riskbot.frontends.telegram.preferences import hours_of, zone_of
from riskbot.frontends.telegram.reader import Reader, reading
from riskbot.frontends.telegram.settings import Settings
from tests.alerts import alert, resolved
from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, GROUP, OPERATOR, USERS, VIEWER, Scene, buttons
from tests.frontends.telegram.test_photos import photo, picture, remember
from tests.servers.telegram_api import Fault


def hours_from_now(begin: int, end: int) -> str:
    """Return quiet hours in UTC."""
    now = datetime.now(UTC)
    return "-".join(f"{now + timedelta(hours=hours):%H:%M}" for hours in (begin, end))


ASLEEP, AWAKE = hours_from_now(-3, 3), hours_from_now(6, 9)


async def tell(scene: Scene, told: Alert, *, is_loud: bool = True) -> bool:
    """Tell an alert; return whether it is held for the morning."""
    async with asyncio.timeout(30):
        return await scene.door.send(told, is_loud=is_loud)


# ---------------------------------------------------------------- the page


async def test_page_says_what_is_set_and_buttons_change_it_in_place(scene: Scene) -> None:
    async with scene.process():
        message = await scene.answer(VIEWER, "/settings")
        for part in ("Settings", "UTC", "English", "off", "dark"):
            assert part in message["text"]
        assert "• UTC" in [b["text"] for b in buttons(message)]
        assert all(len(b["callback_data"].encode()) <= 64 for b in buttons(message))
        await scene.press(VIEWER, message, "Berlin")
        now = await scene.becomes(message, lambda text: text.count("Europe/Berlin") == 2)
        assert re.search(r"\d\d:\d\d:\d\d CES?T", now["text"])
        await scene.press(VIEWER, message, "Quiet on")
        await scene.becomes(message, lambda text: text.count("22:00-07:00") == 2)
        await scene.press(VIEWER, message, "Light charts")
        await scene.becomes(message, lambda text: "light" in text)
        await scene.press(VIEWER, message, "Deutsch")
        now = await scene.becomes(message, lambda text: "Einstellungen" in text)
        assert "• Deutsch" in [b["text"] for b in buttons(now)]
        await scene.press(VIEWER, message, "Ruhezeit aus")
        await scene.becomes(message, lambda text: "22:00-07:00" not in text.split("Worten")[0])
    assert len(scene.chat(VIEWER).sent) == 1
    assert scene.desk.commands == []


async def test_settings_are_ones_own_and_survive_a_restart(scene: Scene) -> None:
    async with scene.process():
        for wish in ("zone Asia/Tokyo", "language Deutsch", "theme light", "quiet 1:30 - 6"):
            text = (await scene.answer(ADMIN, f"/settings {wish}"))["text"]
        for part in ("Asia/Tokyo", "Deutsch", "hell", "01:30-06:00"):
            assert part in text
    async with scene.process(timezone="America/New_York"):
        mine = (await scene.answer(ADMIN, "/status"))["text"]
        theirs = (await scene.answer(OPERATOR, "/status"))["text"]
        assert "JST" in mine
        assert "Kapital" in mine
        assert re.search(r"E[SD]T", theirs)
        assert "Equity" in theirs
        who = (await scene.answer(ADMIN, "/whoami"))["text"]
        assert all(part in who for part in (str(ADMIN), "admin", "Asia/Tokyo", "Deutsch"))
        who = (await scene.answer(OPERATOR, "/whoami"))["text"]
        assert all(part in who for part in ("operator", "America/New_York", "English"))
        text = (await scene.answer(ADMIN, "/settings default"))["text"]
        assert "America/New_York" in text
        assert "Settings" in text


async def test_whoami_opens_the_page(scene: Scene) -> None:
    async with scene.process():
        message = await scene.answer(VIEWER, "/whoami")
        await scene.press(VIEWER, message, "Settings")
        await until(lambda: len(scene.chat(VIEWER).sent) == 2)
    assert "Quiet hours" in scene.chat(VIEWER).texts[-1]


@pytest.mark.parametrize(
    ("wish", "words", "example"),
    [
        ("zone Mars/Phobos", "no time zone Mars/Phobos", "zone Europe/Berlin"),
        ("zone ../../etc/passwd", "no time zone", "zone Europe/Berlin"),
        ("zone", "missing", "zone Europe/Berlin"),
        ("zone <b>&", "no time zone <b>&", "zone Europe/Berlin"),
        ("language xx", "no language xx", "language de"),
        ("quiet 25:00-07:00", "two times", "quiet 22:00-07:00"),
        ("quiet 22:00-22:00", "two times", "quiet 22:00-07:00"),
        ("quiet late", "two times", "quiet 22:00-07:00"),
        ("theme pink", "dark or light", "theme light"),
        ("volume 11", "no setting volume", "zone Europe/Berlin"),
    ],
)
async def test_wrong_words_change_nothing_and_get_one_example(
    scene: Scene, wish: str, words: str, example: str
) -> None:
    async with scene.process():
        text = (await scene.answer(VIEWER, f"/settings {wish}"))["text"]
        assert words in text
        assert text.count("/settings") == 1
        assert text.endswith(f"/settings {example}")
        page = (await scene.answer(VIEWER, "/settings"))["text"]
    assert all(part in page for part in ("UTC", "English", "off", "dark"))


async def test_forged_button_sets_nothing(scene: Scene) -> None:
    async with scene.process():
        message = await scene.answer(VIEWER, "/settings")
        await scene.press_data(VIEWER, message, "v1:set:zone Mars/Phobos:")
        await scene.becomes(message, lambda text: "no time zone" in text)
        assert "UTC" in (await scene.answer(VIEWER, "/whoami"))["text"]


async def test_language_is_telegrams_until_one_is_chosen(scene: Scene) -> None:
    scene.server.languages[ADMIN] = "es"
    async with scene.process():
        assert "Ajustes" in (await scene.answer(ADMIN, "/settings"))["text"]
        assert "Einstellungen" in (await scene.answer(ADMIN, "/settings language de"))["text"]
        assert "🟢 OK · kein Alarm" in (await scene.answer(ADMIN, "/status"))["text"]
        assert "Ajustes" in (await scene.answer(ADMIN, "/settings default"))["text"]
    async with scene.process():
        await tell(scene, alert("A1"))
    assert scene.chat(ADMIN).texts[-1].startswith("🔴 ROJO")


@pytest.mark.parametrize(
    ("word", "zone"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("utc", "UTC"),
        ("GMT+1", None),
        ("/etc/passwd", None),
        ("", None),
    ],
)
def test_zone_is_an_iana_name_or_its_city(word: str, zone: str | None) -> None:
    assert zone_of(word) == zone


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("22:00-07:00", "22:00-07:00"),
        ("22-7", "22:00-07:00"),
        ("0:15 – 6:45", "00:15-06:45"),
        ("24:00-07:00", None),
        ("22:60-07:00", None),
        ("22:00", None),
        ("7-7", None),
    ],
)
def test_quiet_hours_are_two_times_of_day(text: str, hours: str | None) -> None:
    assert hours_of(text) == hours


# ---------------------------------------------------------------- who reads what


async def test_one_alert_is_told_to_each_in_their_own_zone_and_language(scene: Scene) -> None:
    async with scene.process(timezone="America/New_York"):
        await scene.answer(ADMIN, "/settings zone Asia/Tokyo")
        await scene.answer(ADMIN, "/settings language de")
        await scene.answer(OPERATOR, "/settings language es")
        red = alert("A1")
        await tell(scene, red)
        chats = (ADMIN, OPERATOR, VIEWER, GROUP)
        mine, bobs, carols, groups = (scene.server.api.chats[c].sent[-1]["text"] for c in chats)
        labels = [b["text"] for b in buttons(scene.chat(ADMIN).sent[-1])]
        await tell(scene, resolved(red))
    assert mine.startswith("🔴 ROT · drawdown 5.20% > 5.00%")
    assert "riskbot hat getan: HALTED" in mine
    assert "JST" in mine
    assert "wiederholt bis quittiert" in mine
    assert labels[:3] == ["✅ Quittieren", "🔕 1 h stumm", "📋 Status"]
    assert bobs.startswith("🔴 ROJO")
    assert re.search("E[SD]T", bobs)
    assert carols.startswith("🔴 RED")
    assert groups == carols
    assert scene.chat(ADMIN).texts[-1].startswith("✅ VORBEI · war ROT 60 s")
    assert scene.chat(VIEWER).texts[-1].startswith("✅ RESOLVED · was RED 60 s")


async def test_panels_of_two_chats_are_each_in_their_own_words(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(OPERATOR, "/settings language es")
        await scene.answer(OPERATOR, "/settings zone Asia/Tokyo")
        panel = await scene.answer(OPERATOR, "/panel")
        await scene.answer(OPERATOR, f"/panel {GROUP}")
        group = scene.server.api.chats[GROUP].sent[-1]
        assert "Capital" in panel["text"]
        assert "JST" in panel["text"]
        assert "Equity" in group["text"]
        assert "UTC" in group["text"]
    assert "riskbot parado" in scene.now(panel)["text"]
    assert "riskbot stopped" in scene.now(group)["text"]


async def test_prompt_is_asked_and_told_to_others_in_their_languages(scene: Scene) -> None:
    async with scene.process():
        await scene.answer(ADMIN, "/settings language de")
        prompt = await scene.answer(ADMIN, "/flatten")
        assert "🧯 Glattstellen?" in prompt["text"]
        assert "Von @alice · gilt noch" in prompt["text"]
        assert [b["text"] for b in buttons(prompt)] == ["🧯 Ja, glattstellen", "✖ Abbrechen"]
        await scene.press(ADMIN, prompt, "Abbrechen")
        await scene.becomes(prompt, lambda text: "Abgebrochen, nichts wurde getan" in text)
        answer = await scene.press_data(ADMIN, prompt, buttons(prompt)[0]["callback_data"])
        assert "abgebrochen. Sende /flatten noch einmal" in answer["text"]
    assert scene.desk.done == []


async def test_menus_speak_the_language_of_telegram_or_the_one_chosen(scene: Scene) -> None:
    menus = scene.server.api.menus
    async with scene.process():
        await until(lambda: f"chat:{VIEWER}/es" in menus and f"chat:{ADMIN}/de" in menus)
        german = {c["command"]: c["description"] for c in menus[f"chat:{ADMIN}/de"]}
        english = {c["command"]: c["description"] for c in menus[f"chat:{ADMIN}"]}
        assert list(german) == list(english)
        assert german["halt"].startswith("kein neues Risiko")
        assert menus["default/es"][1]["description"] == "qué puedes hacer"
        await scene.answer(ADMIN, "/settings language es")
        await until(lambda: not {f"chat:{ADMIN}/de", f"chat:{ADMIN}/es"} & set(menus))
        spanish = {c["command"]: c["description"] for c in menus[f"chat:{ADMIN}"]}
        assert spanish["halt"].startswith("parar riesgo nuevo")
        assert f"chat:{OPERATOR}/de" in menus


async def test_chart_is_drawn_in_the_theme_of_who_looks(scene: Scene) -> None:
    remember(scene)
    async with scene.process():
        dark = await photo(scene, ADMIN, "/trend")
        await scene.answer(ADMIN, "/settings theme light")
        await scene.answer(ADMIN, "/settings language de")
        light = await photo(scene, ADMIN, "/trend")
    grounds = [
        matplotlib.image.imread(io.BytesIO(picture(scene, message)), format="png")[2, 2, :3].mean()
        for message in (dark, light)
    ]
    assert grounds[0] < 0.2
    assert grounds[1] > 0.95
    assert "Seit Beginn" in light["caption"]


# ---------------------------------------------------------------- nights


async def test_one_who_sleeps_is_told_in_the_morning_and_the_others_at_once(scene: Scene) -> None:
    async with scene.process(groups=()):
        await scene.answer(ADMIN, f"/settings quiet {ASLEEP}")
        await scene.answer(OPERATOR, f"/settings quiet {AWAKE}")
        count = len(scene.chat(ADMIN).sent)
        assert not await tell(scene, alert("A1", Level.ORANGE))
        assert len(scene.chat(ADMIN).sent) == count
        assert "ORANGE" in scene.chat(OPERATOR).texts[-1]
        assert not scene.chat(OPERATOR).sent[-1]["is_silent"]
        await tell(scene, alert("A2", Level.RED))
        assert "#A2" in scene.chat(ADMIN).texts[-1]
        assert not scene.chat(ADMIN).sent[-1]["is_silent"]
        await scene.answer(ADMIN, "/settings quiet off")
    async with scene.process(groups=()):
        await until(lambda: "held in the quiet hours" in scene.chat(ADMIN).texts[-1])
    assert "ORANGE · drawdown #A1" in scene.chat(ADMIN).texts[-1]


async def test_where_everyone_sleeps_the_guard_is_told_that_nobody_was_woken(scene: Scene) -> None:
    async with scene.process(quiet_hours=ASLEEP):
        assert await tell(scene, alert("A1", Level.ORANGE))
        assert not await tell(scene, alert("A2", Level.RED))
        scene.chat(OPERATOR).is_blocked = True
        assert await tell(scene, alert("A3", Level.ORANGE))
        await scene.answer(VIEWER, "/settings quiet off")
        assert not await tell(scene, alert("A4", Level.ORANGE))
    assert [m["text"].splitlines()[0][-3:] for m in scene.chat(ADMIN).sent] == ["#A2"]


async def test_who_sleeps_confirms_nothing_for_who_is_awake(scene: Scene) -> None:
    users = {user: USERS[user] for user in (ADMIN, OPERATOR)}
    async with scene.process(groups=(), users=users):
        await scene.answer(ADMIN, f"/settings quiet {ASLEEP}")
        scene.server.fail("sendMessage", Fault("refuse", None, 502, "Bad Gateway"))
        with pytest.raises(ChannelError):
            await tell(scene, alert("A1", Level.ORANGE))


async def test_what_rings_at_night_is_not_told_again_in_the_morning(scene: Scene) -> None:
    orange = alert("A1", Level.ORANGE)
    async with scene.process(groups=(), users={ADMIN: USERS[ADMIN]}):
        await tell(scene, orange)
        await scene.answer(ADMIN, f"/settings quiet {ASLEEP}")
        count = len(scene.chat(ADMIN).sent)
        again = Alert(**{**_fields(orange), "revision": 2, "repeats": 1})
        assert await tell(scene, again)
        assert len(scene.chat(ADMIN).sent) == count
        red = Alert(**{**_fields(again), "revision": 3, "level": Level.RED})
        await tell(scene, red)
        assert len(scene.chat(ADMIN).sent) == count + 1
        held = Memory(Path(scene.settings().memory), scene.server.token.partition(":")[0]).held()
        assert held == {}


def _fields(told: Alert) -> dict[str, object]:
    return {name: getattr(told, name) for name in told.__dataclass_fields__}


# ---------------------------------------------------------------- days that are longer or shorter


def ms(text: str) -> int:
    """Return UTC ms of a UTC time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-03-29T00:59:59", "01:59:59 CET"),
        ("2026-03-29T01:00:00", "03:00:00 CEST"),
        ("2026-10-25T00:59:59", "02:59:59 CEST"),
        ("2026-10-25T01:00:00", "02:00:00 CET"),
    ],
)
def test_times_are_right_on_the_days_of_change(moment: str, said: str) -> None:
    with reading(Reader(ZoneInfo("Europe/Berlin"))):
        assert clock(ms(moment)) == said
        assert day(ms(moment)).startswith("Sun 2")
    with reading(Reader(ZoneInfo("Europe/Berlin"), "de")):
        assert day(ms(moment)).startswith("So 2")


def test_zone_without_letters_is_named_by_its_distance() -> None:
    with reading(Reader(ZoneInfo("America/Sao_Paulo"))):
        assert clock(ms("2026-01-01T12:00:00")) == "09:00:00 UTC-03"


@pytest.mark.parametrize(
    ("moment", "is_night"),
    [
        ("2026-03-28T20:59:00", False),  # 21:59 CET
        ("2026-03-28T21:00:00", True),  # 22:00 CET
        ("2026-03-29T00:59:00", True),  # 01:59 CET, and a minute later 03:00 CEST
        ("2026-03-29T04:59:00", True),  # 06:59 CEST: the night has nine hours
        ("2026-03-29T05:00:00", False),  # 07:00 CEST
        ("2026-10-24T19:59:00", False),  # 21:59 CEST
        ("2026-10-24T20:00:00", True),  # 22:00 CEST
        ("2026-10-25T05:59:00", True),  # 06:59 CET: the night has eleven
        ("2026-10-25T06:00:00", False),  # 07:00 CET
    ],
)
def test_quiet_hours_follow_the_clock_on_the_wall(
    tmp_path: Path, moment: str, is_night: bool
) -> None:
    memory = Memory(tmp_path / "memory.json", "1")
    memory.note_person(ADMIN, Person(zone="Europe/Berlin", quiet_hours="22:00-07:00"))
    people = People(settings(tmp_path), memory)
    assert people.is_night(ADMIN, ms(moment)) is is_night
    assert not people.is_night(OPERATOR, ms(moment))


def test_a_zone_that_is_gone_is_the_configured_one(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory.json", "1")
    memory.note_person(ADMIN, Person(zone="Europe/Atlantis", language="xx"))
    people = People(settings(tmp_path), memory)
    assert people.reader(ADMIN) == Reader(ZoneInfo("Asia/Tokyo"))


def test_what_people_have_set_outlives_a_change_of_the_bot(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    Memory(path, "1").note_person(ADMIN, Person(zone="Asia/Tokyo"))
    assert Memory(path, "2").person(ADMIN) == Person(zone="Asia/Tokyo")


def settings(directory: Path) -> Settings:
    """Return settings of a process that nobody runs."""
    return Settings(
        token="1:x",
        api_base_url="http://127.0.0.1:9",
        users=USERS,
        groups=(GROUP,),
        socket=str(directory / "socket"),
        memory=str(directory / "memory.json"),
        instance="vps-1",
        timezone="Asia/Tokyo",
    )
