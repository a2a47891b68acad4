"""Charts: a photo with the same figures as its caption, or the figures alone."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from riskbot.frontends.telegram.photos import Drawer, hours_of
from tests.fakes import until
from tests.frontends.telegram.desk import NOW_MS
from tests.frontends.telegram.scene import ADMIN, VIEWER, Scene, button, buttons
from tests.servers.telegram_api import Call, Fault

SLOW_S = 180.0
"""Drawing takes its time on a busy machine."""


def remember(scene: Scene) -> None:
    times = [NOW_MS - 60_000 * n for n in range(1_440, -1, -1)]
    waves = [math.sin(n / 90) for n in range(len(times))]
    scene.desk.history = {
        "gross_exposure": [(t, 1.7 + 0.25 * w) for t, w in zip(times, waves, strict=True)],
        "net_exposure": [(t, -0.4 + 0.3 * w) for t, w in zip(times, waves, strict=True)],
        "equity_usd": [(t, 48_000 + 500 * w) for t, w in zip(times, waves, strict=True)],
        "drawdown": [(t, 0.03 + 0.01 * w) for t, w in zip(times, waves, strict=True)],
    }


async def photo(scene: Scene, user: int, text: str) -> dict[str, Any]:
    count = len(scene.chat(user).sent)
    scene.server.say(user, text)
    await until(lambda: len(scene.chat(user).sent) > count, SLOW_S)
    return scene.chat(user).sent[-1]


def picture(scene: Scene, message: dict[str, Any]) -> bytes:
    return scene.server.api.files[message["photo"][-1]["file_id"]]


def refused(scene: Scene) -> list[Call]:
    return [call for call in scene.server.calls if call.status == 400]


@pytest.mark.parametrize(
    ("command", "figures"),
    [
        ("/exposure", ("93 000", "1.93x", "1.45x to 1.95x", "2.00x", "BTC")),
        ("/sectors", ("layer-1", "66%", "61 000", "Other", "1%", "93 000")),
        ("/trend", ("48 212.40", "48 500.00", "47 500.00", "+212.40")),
        ("/drawdown", ("3.60%", "4.00%", "3.60%/5.00%")),
    ],
)
async def test_chart_is_a_photo_whose_caption_says_the_figures(
    scene: Scene, command: str, figures: tuple[str, ...]
) -> None:
    remember(scene)
    async with scene.process():
        sent = await photo(scene, VIEWER, command)
    size = sent["photo"][-1]
    assert (size["width"], size["height"]) == (1280, 800)
    data = picture(scene, sent)
    assert len(data) < 300_000
    pixels = matplotlib.image.imread(io.BytesIO(data), format="png")
    assert len({tuple(pixel) for pixel in pixels[::4, ::4].reshape(-1, pixels.shape[2])}) > 20
    caption = sent["caption"]
    assert caption.splitlines()[0].startswith("🟢 OK · no alert")
    for figure in figures:
        assert figure in caption
    assert len(caption) <= 1024
    assert [a["action"] for a in scene.server.api.actions][:1] == ["upload_photo"]
    assert refused(scene) == []


async def test_chart_when_asked_again_soon_is_not_uploaded_again(scene: Scene) -> None:
    remember(scene)
    async with scene.process():
        first = await photo(scene, VIEWER, "/trend")
        asked = len(scene.desk.asked("history"))
        second = await photo(scene, ADMIN, "/trend")
    assert second["photo"] == first["photo"]
    assert len(scene.server.api.files) == 1
    assert len(scene.desk.asked("history")) == asked
    assert second["caption"] == first["caption"]


async def test_refresh_changes_the_message_and_never_asks_for_nothing(scene: Scene) -> None:
    remember(scene)
    async with scene.process():
        sent = await photo(scene, VIEWER, "/exposure")
        await scene.press(VIEWER, sent, "Refresh")  # nothing has changed yet
        await scene.press(VIEWER, sent, "7 d")
        await until(lambda: "7 d" in scene.now(sent)["caption"], SLOW_S)
        await scene.press(VIEWER, sent, "24 h")
        await until(lambda: "24 h" in scene.now(sent)["caption"], SLOW_S)
    assert len(scene.chat(VIEWER).sent) == 1
    assert len(scene.chat(VIEWER).edits) == 2
    assert len(scene.server.api.files) == 2, "the first chart has an id already"
    assert scene.now(sent)["photo"] == sent["photo"]
    assert refused(scene) == []


async def test_refresh_when_the_message_is_gone_sends_another(scene: Scene) -> None:
    remember(scene)
    async with scene.process():
        sent = await photo(scene, VIEWER, "/drawdown")
        data = button(sent, "7 d")
        del scene.chat(VIEWER).messages[sent["message_id"]]
        scene.server.press(VIEWER, sent, data)
        await until(lambda: len(scene.chat(VIEWER).sent) == 2, SLOW_S)
    assert "7 d" in scene.chat(VIEWER).sent[1]["caption"]


@pytest.mark.parametrize("command", ["/exposure", "/trend 7d", "/drawdown"])
async def test_figures_go_out_as_text_when_there_is_no_history(scene: Scene, command: str) -> None:
    async with scene.process():
        sent = await scene.answer(VIEWER, command)
    assert "chart not available" in sent["text"]
    assert sent["text"].startswith("🟢 OK")
    assert "3.60%" in sent["text"] or "1.93x" in sent["text"]


async def test_figures_without_a_chart_are_brought_up_to_date_in_place(scene: Scene) -> None:
    async with scene.process():
        sent = await scene.answer(VIEWER, "/exposure")
        await scene.press(VIEWER, sent, "Refresh")  # the same for half a minute
        await scene.press(VIEWER, sent, "7 d")
        await scene.becomes(sent, lambda text: "7 d" in text)
    assert len(scene.chat(VIEWER).sent) == 1
    assert refused(scene) == []


async def test_unknown_history_is_a_gap_and_no_zero(scene: Scene) -> None:
    remember(scene)
    points = scene.desk.history["equity_usd"]
    scene.desk.history["equity_usd"] = [
        (t, None if 400 < n < 900 else v) for n, (t, v) in enumerate(points)
    ]
    async with scene.process():
        sent = await photo(scene, VIEWER, "/trend")
    assert "47 5" in sent["caption"]
    assert "Low" in sent["caption"]
    assert " 0.00" not in sent["caption"]


async def test_old_figures_are_left_out_of_a_caption(scene: Scene) -> None:
    remember(scene)
    scene.desk.documents["status"]["feeds"][0]["age_s"] = 45.0
    async with scene.process():
        sent = await photo(scene, VIEWER, "/exposure")
    assert "NO DATA" in sent["caption"].splitlines()[0]
    assert "45 s old" in sent["caption"]
    assert "93 000" not in sent["caption"]


async def test_names_of_people_are_no_markup(scene: Scene) -> None:
    remember(scene)
    sectors = {"<b>$x^2$ & co</b>": {"gross_usd": 5.0}, "b": {"gross_usd": 4.0}}
    scene.desk.documents["exposure"]["breakdown"]["sectors"] = sectors
    async with scene.process():
        sent = await photo(scene, VIEWER, "/sectors")
    assert "<b>$x^2$ & co</b>" in sent["caption"]
    assert refused(scene) == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("refuse", status=429, description="Too Many Requests", parameters={"retry_after": 1}),
        Fault("refuse", status=502, description="Bad Gateway"),
        Fault("drop"),
    ],
)
async def test_photo_comes_whole_when_telegram_stumbles(scene: Scene, fault: Fault) -> None:
    remember(scene)
    scene.server.fail("sendPhoto", fault)
    async with scene.process():
        sent = await photo(scene, VIEWER, "/trend")
    assert sent["photo"][-1]["width"] == 1280
    assert len(scene.server.called("sendPhoto")) == 2


async def test_photo_is_uploaded_again_when_telegram_has_forgotten_it(scene: Scene) -> None:
    remember(scene)
    async with scene.process():
        await photo(scene, VIEWER, "/trend")
        scene.server.api.files.clear()
        sent = await photo(scene, ADMIN, "/trend")
    assert picture(scene, sent)


async def test_exposure_button_under_status_opens_a_photo(scene: Scene) -> None:
    remember(scene)
    async with scene.process():
        status = await scene.answer(ADMIN, "/status")
        await scene.press(ADMIN, status, "Exposure")
        await until(lambda: len(scene.chat(ADMIN).sent) == 2, SLOW_S)
    assert scene.now(status)["text"] == status["text"]
    assert "Exposure · 24 h" in scene.chat(ADMIN).sent[1]["caption"]
    labels = [b["text"] for b in buttons(scene.chat(ADMIN).sent[1])]
    assert labels == ["🔄 Refresh", "24 h", "7 d"]


async def test_chart_of_what_is_no_time_says_the_usage(scene: Scene) -> None:
    async with scene.process():
        sent = await scene.answer(VIEWER, "/trend soon")
    assert "[24h|7d]" in sent["text"]
    assert scene.desk.asked("history") == []


async def test_commands_are_answered_while_a_chart_is_drawn(scene: Scene) -> None:
    remember(scene)
    async with scene.process():
        scene.server.say(VIEWER, "/trend")
        await until(lambda: scene.desk.asked("history"))
        await scene.answer(ADMIN, "/status")
        await until(lambda: scene.chat(VIEWER).sent, SLOW_S)
    assert "photo" in scene.chat(VIEWER).sent[0]


@pytest.mark.parametrize("wanted", [{}, {"kind": "donut", "slices": []}, {"kind": "lines"}])
async def test_drawer_has_no_picture_of_nonsense(tmp_path: Path, wanted: dict[str, Any]) -> None:
    assert await Drawer(tmp_path).draw(wanted) is None


async def test_drawer_gives_up_in_time(tmp_path: Path) -> None:
    assert await Drawer(tmp_path, limit_s=0.01).draw({"kind": "lines"}) is None


def test_hours_of_an_argument() -> None:
    assert hours_of("") == 24
    assert hours_of("7d") == 168
    assert hours_of("1s") == 1
    assert hours_of("9999d") == 720
