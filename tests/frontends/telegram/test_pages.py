"""What people read: every page, on a phone."""

from __future__ import annotations

import html
import re

import pytest

from riskbot.frontends.telegram.figures import WIDTH, width
from riskbot.frontends.telegram.languages import catalogues
from tests.fakes import until
from tests.frontends.telegram.scene import ADMIN, VIEWER, Scene, buttons


def lines_of(message: dict[str, object]) -> list[str]:
    return str(message["text"]).splitlines()


@pytest.mark.parametrize("command", ["/status", "/positions", "/limits", "/exposure", "/help"])
async def test_table_fits_a_phone(scene: Scene, command: str) -> None:
    async with scene.process():
        await scene.answer(ADMIN, command)
    call = scene.server.called("sendMessage")[-1]
    tables = re.findall(r"<pre>(.*?)</pre>", call.params["text"], re.DOTALL)
    assert tables
    for line in html.unescape("\n".join(tables)).splitlines():
        assert width(line) <= WIDTH, line


async def test_status_says_level_figures_age_and_zone(scene: Scene) -> None:
    async with scene.process(timezone="Europe/Berlin"):
        text = (await scene.answer(ADMIN, "/status"))["text"]
    first = text.splitlines()[0]
    assert "OK" in first
    assert "🟢" in first
    assert "live" in first
    for part in ("48 212.40", "-1 105.20", "3.60%/5.00%", "▓▓▓▓▓▓▓░░░", "long 1 / short 1"):
        assert part in text
    assert re.search(r"data 2 s old · \d\d:\d\d:\d\d CES?T", text)
    assert "ACTIVE" in text
    assert len(text) <= 900


async def test_status_never_shows_stale_figures_as_fresh(scene: Scene) -> None:
    scene.desk.documents["status"]["feeds"][0]["age_s"] = 45.0
    async with scene.process():
        text = (await scene.answer(ADMIN, "/status"))["text"]
    assert "NO DATA" in text.splitlines()[0]
    assert "45 s old" in text
    assert "-1 105.20" not in text


async def test_status_says_who_halted_when_and_why(scene: Scene) -> None:
    hold = {
        "limit": "operator",
        "scope": "portfolio",
        "state": "HALTED",
        "since_ms": scene.desk.documents["status"]["as_of_ms"],
        "reason": "by telegram:1002: <b>news</b> & fear",
        "enforced": True,
    }
    scene.desk.documents["status"]["holds"] = [hold]
    scene.desk.documents["status"]["trading_state"] = "HALTED"
    async with scene.process():
        text = (await scene.answer(ADMIN, "/status"))["text"]
    assert "⛔ HALTED since" in text
    assert "telegram:1002: <b>news</b> & fear" in text


async def test_unknown_figures_are_a_dash(scene: Scene) -> None:
    status = scene.desk.documents["status"]
    for name in ("equity_usd", "daily_pnl_usd", "drawdown"):
        status[name] = None
    status["limits"] = [{**status["limits"][0], "measured": None, "utilization": None}]
    scene.desk.documents["positions"][0]["notional_usd"] = None
    async with scene.process():
        shown = (await scene.answer(ADMIN, "/status"))["text"]
        shown += (await scene.answer(ADMIN, "/positions"))["text"]
    for word in ("None", "nan", "e-05", "inf"):
        assert word not in shown


async def test_hostile_names_break_nothing(scene: Scene) -> None:
    scene.desk.documents["positions"][0]["underlying"] = "<b>A&B"
    scene.desk.documents["alerts"] = [
        {"id": "A1", "level": "red", "title": "</pre><a href='x'>&lt;", "scope": "<i>", "did": "&"}
    ]
    async with scene.process():
        assert "<b>A&B" in (await scene.answer(ADMIN, "/positions"))["text"]
        assert "</pre><a href='x'>&lt;" in (await scene.answer(ADMIN, "/alerts"))["text"]
    assert all(call.status == 200 for call in scene.server.called("sendMessage"))


async def test_many_positions_stay_one_message(scene: Scene) -> None:
    row = scene.desk.documents["positions"][0]
    scene.desk.documents["positions"] = [
        {**row, "underlying": f"COIN{n}", "instrument": f"COIN{n}/USDT:USDT"} for n in range(200)
    ]
    async with scene.process():
        text = (await scene.answer(ADMIN, "/positions"))["text"]
    assert "and 140 more" in text
    assert "COIN0" in text


async def test_one_position_has_its_own_page(scene: Scene) -> None:
    async with scene.process():
        text = (await scene.answer(ADMIN, "/positions btc"))["text"]
        assert "No position in DOGE" in (await scene.answer(ADMIN, "/p DOGE"))["text"]
    for part in ("BTC/USDT:USDT", "63 926.0", "34.90%", "-612.40"):
        assert part in text


async def test_help_lists_what_the_role_may_do(scene: Scene) -> None:
    async with scene.process():
        admin = (await scene.answer(ADMIN, "/help"))["text"]
        viewer = (await scene.answer(VIEWER, "/help"))["text"]
        assert "asks once" in (await scene.answer(ADMIN, "/help flatten"))["text"]
        assert "No such command" in (await scene.answer(VIEWER, "/help flatten"))["text"]
    assert "/flatten" in admin
    assert "/flatten" not in viewer
    assert "/status" in viewer
    assert "halt" not in viewer


async def test_no_text_holds_a_danger_that_a_tap_would_send(scene: Scene) -> None:
    async with scene.process():
        for command in ("/start", "/help", "/help flatten", "/status", "/flaten", "/stop"):
            message = await scene.answer(ADMIN, command)
            taps = [
                message["text"][e["offset"] : e["offset"] + e["length"]]
                for e in message["entities"]
                if e["type"] == "bot_command"
            ]
            assert not {"/halt", "/flatten", "/resume", "/reduce"} & set(taps), command


async def test_start_greets_and_starts_nothing(scene: Scene) -> None:
    async with scene.process():
        message = await scene.answer(ADMIN, "/start")
    assert "admin" in message["text"]
    assert "🟢 OK" in message["text"]
    assert len(buttons(message)) == 4
    assert {c.name for c in scene.desk.commands} == {"status"}


@pytest.mark.parametrize("word", ["/stop", "/pause", "/panic", "/close"])
async def test_words_of_other_bots_only_hint(scene: Scene, word: str) -> None:
    async with scene.process():
        message = await scene.answer(ADMIN, word)
    assert "Did you mean" in message["text"]
    assert buttons(message)
    assert scene.desk.commands == []


async def test_unknown_command_names_the_nearest(scene: Scene) -> None:
    async with scene.process():
        assert "/status" in (await scene.answer(ADMIN, "/sttaus"))["text"]
        assert "do not know" in (await scene.answer(ADMIN, "/" + "x" * 300))["text"]
        assert "/help" in (await scene.answer(ADMIN, "hello مرحبا"))["text"]
    assert scene.desk.commands == []


async def test_command_for_another_bot_is_none(scene: Scene) -> None:
    async with scene.process():
        scene.server.say(ADMIN, "/status@other_bot")
        text = (await scene.answer(ADMIN, "/whoami@Risk_Test_Bot"))["text"]
    assert str(ADMIN) in text
    assert scene.desk.commands == []


async def test_refresh_edits_in_place(scene: Scene) -> None:
    async with scene.process():
        message = await scene.answer(ADMIN, "/status")
        scene.desk.documents["status"]["equity_usd"] = 50_000.0
        await scene.press(ADMIN, message, "Refresh")
        await scene.becomes(message, lambda text: "50 000.00" in text)
        await scene.press(ADMIN, message, "Refresh")
    assert len(scene.chat(ADMIN).sent) == 1


async def test_menus_follow_the_role(scene: Scene) -> None:
    async with scene.process():
        await until(lambda: len(scene.server.api.menus) == 5 * len(catalogues()))
    menus = scene.server.api.menus
    assert [c["command"] for c in menus["default"]] == ["start", "help"]
    admin = [c["command"] for c in menus[f"chat:{ADMIN}"]]
    assert admin[-1] == "flatten"
    assert admin[0] == "status"
    assert "halt" not in [c["command"] for c in menus[f"chat:{VIEWER}"]]


async def test_menus_are_set_only_when_changed(scene: Scene) -> None:
    async with scene.process():
        await until(lambda: len(scene.server.api.menus) == 5 * len(catalogues()))
    count = len(scene.server.called("setMyCommands"))
    async with scene.process():
        await scene.answer(ADMIN, "/status")
    assert len(scene.server.called("setMyCommands")) == count
