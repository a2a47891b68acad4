"""Catalogues: every language says everything, in as many columns, with the same signs."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from riskbot.core.model import Role
from riskbot.frontends.telegram import charts, helps, pages, plans, reports
from riskbot.frontends.telegram.charts import Known
from riskbot.frontends.telegram.figures import WIDTH, width
from riskbot.frontends.telegram.inquiries import INQUIRIES
from riskbot.frontends.telegram.languages import ENGLISH, catalogues, nearest_language
from riskbot.frontends.telegram.menus import menu
from riskbot.frontends.telegram.pages import BADGES, level_word
from riskbot.frontends.telegram.reader import Reader, later, made, reading, say
from tests.frontends.telegram.catalogue import ROOM, all_said, placeholders, said_in
from tests.frontends.telegram.desk import PLAN, STATUS, FakeDesk
from tests.frontends.telegram.scene import ADMIN, Scene
from tests.frontends.telegram.test_reports import asked, busy

LANGUAGES = [code for code in catalogues() if code != ENGLISH]
SIGN = re.compile(r"^[^\w\s(/<{¿#…,]+")


def test_german_and_spanish_are_there() -> None:
    assert {"de", "es"} <= set(LANGUAGES)
    assert catalogues()["de"].name == "Deutsch"


@pytest.mark.parametrize("code", LANGUAGES)
def test_catalogue_has_exactly_what_the_code_says(code: str) -> None:
    texts, said = catalogues()[code].texts, all_said()
    assert sorted(said - set(texts)) == [], "said, and not translated"
    assert sorted(set(texts) - said) == [], "translated, and not said"


def test_a_text_that_no_catalogue_can_have_is_found() -> None:
    assert said_in("say(f'{x} alerts')\nlater('a' + b)\nsay('x' if y else 'z')")[1] == [1, 2, 3]
    assert said_in("say('a {b}', b=1)\nphrase('c')\nlater('d')\nsay(TITLES[x])") == (
        {"a {b}", "c", "d"},
        [],
    )


def test_every_text_is_one_that_a_catalogue_can_have() -> None:
    for path in sorted(ROOM.glob("*.py")):
        assert said_in(path.read_text(encoding="utf-8"))[1] == [], path.name


@pytest.mark.parametrize("code", LANGUAGES)
def test_translation_keeps_placeholders_signs_markup_and_what_asks(code: str) -> None:
    for text, found in catalogues()[code].texts.items():
        assert found.strip(), text
        assert placeholders(found) == placeholders(text), text
        sign = SIGN.match(text)
        assert SIGN.match(found) == sign or (sign and found.startswith(sign[0].strip())), text
        assert re.findall(r"</?\w+>", found) == re.findall(r"</?\w+>", text), text
        assert re.findall(r"/\w+", text) == re.findall(r"/\w+", found), text
        assert found.endswith("…") == text.endswith("…"), text
        assert (found[-1] == " ", found[0] == " ") == (text[-1] == " ", text[0] == " "), text


@pytest.mark.parametrize("code", LANGUAGES)
def test_words_fit_where_they_stand(code: str) -> None:
    texts = catalogues()[code].texts
    columns = {
        7: ("Total",),
        9: ("Drawdown", "Daily", "Gross", "Net", "Margin", "All-time", "Weekly", "Week DD"),
        14: ("Gross", "Net", "Assets"),
        6: ("Side", "halt", "hold"),
        17: ("Other", "none"),
    }
    for most, words in columns.items():
        for word in words:
            limit = 8 if word in {"halt", "hold"} else most
            assert width(texts[word]) <= limit, texts[word]
    assert width(texts["Symbol"]) <= 8
    assert width(texts["of E"]) <= 8
    assert width(texts["Rolling"]) <= 9
    with reading(Reader(ZoneInfo("UTC"), code)):
        for level in BADGES:
            assert width(level_word(level)) <= 9


@pytest.fixture(params=list(catalogues()))
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    with reading(Reader(ZoneInfo("Europe/Berlin"), request.param)):
        yield request.param


def tables(text: str) -> list[str]:
    blocks = re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)
    return [line for block in blocks for line in html.unescape(block).splitlines()]


def test_help_says_all_in_every_language(language: str) -> None:
    for role in Role:
        page = helps.help_page(role, "top")
        assert tables(page)
        for line in tables(page):
            assert width(line) <= WIDTH, line
            assert "…" not in line, line
        for name in helps.names(role):
            assert len(helps.help_command(name)) <= 900
        assert all(0 < len(text) <= 256 for _, text in menu(role, language))


def test_prompts_and_charts_fit_in_every_language(language: str) -> None:
    desk = FakeDesk()
    rows = desk.documents["positions"]
    lines = [
        *plans.halt_lines(STATUS, rows),
        *plans.cancel_lines(STATUS, {}),
        *plans.plan_lines(PLAN),
    ]
    points: list[list[float | None]] = [[STATUS["as_of_ms"] - n * 60_000, 0.1] for n in range(90)]
    said = Known(
        desk.documents["status"],
        desk.documents["exposure"],
        [],
        dict.fromkeys(("gross_exposure", "net_exposure", "drawdown", "equity_usd"), points[::-1]),
    )
    for kind in charts.HISTORY:
        chart = charts.make(kind, said, 24)
        assert chart.wanted is not None
        assert chart.wanted["reader"]["language"] == language
        lines += tables(chart.caption)
        assert len(re.sub(r"<[^>]+>", "", chart.caption)) <= 1024
    lines += tables(reports.health({"storage": {}, "accounts": [{"account": "main"}]}))
    lines += tables(
        reports.deadman([{"account": "main", "policy": "all", "orders": 12, "stops": 7}])
    )
    for line in lines:
        assert width(line) <= WIDTH, line
        assert "…" not in line, line


def test_unknown_language_and_a_broken_translation_say_it_in_english() -> None:
    assert nearest_language("pt-br") == ENGLISH
    assert nearest_language("de-AT") == "de"
    assert nearest_language(None) == ENGLISH
    with reading(Reader(ZoneInfo("UTC"), "xx")):
        assert say("1 alert") == "1 alert"
    with reading(Reader(ZoneInfo("UTC"), "de")):
        assert say("no such text {count}", count=3) == "no such text 3"
        assert made(later("{count} alerts", count=2)) == "2 Alarme"
    assert made(later("{count} alerts", count=2)) == "2 alerts"


def test_reports_fit_in_every_language(language: str) -> None:
    made_world = busy()
    for name in INQUIRIES:
        text = asked(made_world, name, "BTC 45000" if name == "size" else "")
        assert tables(text) or name == "alerts"
        for line in tables(text):
            assert width(line) <= WIDTH, line


def test_status_positions_limits_and_alerts_fit_in_every_language(language: str) -> None:
    desk = FakeDesk()
    status, rows = desk.documents["status"], desk.documents["positions"]
    since = {"scope": "portfolio", "since_ms": STATUS["as_of_ms"], "limit": "operator"}
    status["holds"] = [{**since, "state": "HALTED", "reason": "by telegram:1002: news " * 9}]
    status["alerts"] = [{"level": "red"}] * 12
    limits = [{**STATUS["limits"][0], "level": level} for level in BADGES]
    limits += [{**limits[0], "measured": 0.9999, "limit": 0.9999, "level": "yellow"}]
    shown = {
        "status": pages.status(status, rows),
        "positions": pages.positions(rows * 3, desk.documents["exposure"]),
        "limits": pages.limits(limits, STATUS["as_of_ms"]),
        "position": pages.position(rows[0], STATUS["as_of_ms"]),
    }
    for name, text in shown.items():
        assert len(re.sub(r"<[^>]+>", "", text)) <= 900, name
        for line in tables(text):
            assert width(line) <= WIDTH, line
            assert "…" not in line, line


@pytest.mark.parametrize("code", LANGUAGES)
async def test_whatever_is_asked_is_answered_in_the_language_and_taken_by_telegram(
    scene: Scene, code: str
) -> None:
    texts = catalogues()[code].texts
    answers = {
        "/start": "Trading {state}. /help lists what you can do.",
        "/status": "Equity",
        "/positions": "Total",
        "/limits": "Limits ({count})",
        "/alerts": "🟢 No alert fires",
        "/help": "Danger (each asks first)",
        "/help flatten": "Shows what would be closed, asks once, then halts, cancels entries and "
        "closes everything closable, verified flat.",
        "/settings": "Quiet hours",
        "/halt": "⏸ Halt trading?",
        "/cancel": "🗑 Cancel entries?",
        "/setlimit": "/setlimit drawdown 0.12 (or 12%; configured = as in the file). Nothing done.",
        "/silence": "/silence drawdown 1h [account], /silence A17 30m, /silence all 2h",
        "/flatten DOGE": "No position, no account is called {name}. Nothing was done.",
        "/stop": "{command} does nothing by itself here. Did you mean {meant}?",
        "/sttaus": "I do not know that command.",
        "/panel off": "There is no panel.",
        "hello": "I take commands: /help lists them.",
        "123456": "No code is asked for now. I have removed what you sent.",
    }
    async with scene.process():
        await scene.answer(ADMIN, f"/settings language {code}")
        for command, text in answers.items():
            words = max(re.split(r"\{\w+\}", texts[text]), key=len).strip()
            answer = await scene.answer(ADMIN, command)
            assert words in answer["text"], command
            assert len(answer["text"]) <= 900 or command == "/help"
    assert all(call.status == 200 for call in scene.server.called("sendMessage"))
