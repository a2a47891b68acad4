"""/var, /stress and /correlation: pictures and texts, from the documents the core really gives."""

from __future__ import annotations

import copy
import html
import io
import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import matplotlib.image
import pytest

from riskbot.core.model import Role
from riskbot.frontends.telegram import charts, helps, risks
from riskbot.frontends.telegram.chart import render
from riskbot.frontends.telegram.figures import WIDTH, width
from riskbot.frontends.telegram.keyboards import DATA_MAX, linked_keyboard
from riskbot.frontends.telegram.kinships import ordered
from riskbot.frontends.telegram.languages import catalogues
from riskbot.frontends.telegram.letters import CAPTION_MAX, TEXT_MAX, length
from riskbot.frontends.telegram.prompts import Button
from riskbot.frontends.telegram.reader import DARK, LIGHT, Reader, reading
from riskbot.frontends.telegram.risks import Question
from tests.fakes import until
from tests.frontends.telegram.desk import STATUS
from tests.frontends.telegram.portfolio import document
from tests.frontends.telegram.scene import ADMIN, GROUP, STRANGER, VIEWER, Scene, button, buttons
from tests.servers.telegram_api import Call

SLOW_S = 180.0
ASKED = (
    ("var", ""),
    ("stress", ""),
    ("stress", "march_2020"),
    ("stress", "BTC -10%, ETH -15%"),
    ("stress", "suggest down_50"),
    ("correlation", ""),
)


def asked(kind: str, words: str = "") -> Question:
    return Question(kind, risks.said(words), ("main",))


def answer(kind: str, words: str = "", changed: Any = None, status: Any = None) -> charts.Chart:
    question = asked(kind, words)
    found = document(kind, **question.args) if changed is None else changed
    return risks.answer(question, status or STATUS, found)


def rows(text: str) -> list[str]:
    blocks = re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)
    return [line for block in blocks for line in html.unescape(block).splitlines()]


def drawn(chart: charts.Chart) -> tuple[int, int]:
    """Draw a chart, and return the size of a picture that is not blank."""
    assert chart.wanted is not None
    pixels = matplotlib.image.imread(io.BytesIO(render(chart.wanted)), format="png")
    assert len({tuple(p) for p in pixels[::4, ::4].reshape(-1, pixels.shape[2])}) > 20
    return pixels.shape[1], pixels.shape[0]


@pytest.fixture(params=list(catalogues()))
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    with reading(Reader(ZoneInfo("Europe/Berlin"), request.param)):
        yield request.param


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(("kind", "words"), ASKED)
def test_text_fits_a_phone_and_telegram_in_every_language(
    language: str, kind: str, words: str
) -> None:
    chart = answer(kind, words)
    assert rows(chart.caption)
    for line in rows(chart.caption):
        assert width(line) <= WIDTH, line
        assert "…" not in line or line.startswith("… "), line
    assert length(chart.caption) <= CAPTION_MAX
    assert not re.search(r"\bNone\b|\bnan\b|\be[-+]\d", chart.caption)
    assert not re.search(r"/(halt|flatten|resume|reduce)", chart.caption)


def test_var_says_its_figures_parts_short_histories_and_whether_it_held() -> None:
    found = document("var")
    text = answer("var").caption
    assert text.splitlines()[0] == "🟢 OK · no alert · live"
    for name in ("value_at_risk_usd", "expected_shortfall_usd"):
        for confidence in ("95", "99"):
            assert f"{found[name][confidence]:,.0f}".replace(",", " ") in text
    assert f"{found['value_at_risk']['95']:.2%}" in text
    first = found["components"][0]
    assert f"{first['var_share']:.0%}" in text
    assert "short, own days: LINK 120" in text
    assert "252 days to " in text
    joined = " ".join(rows(text))
    assert "exceeded on 27 of 507 days, expected 25.4" in joined
    unknown = {**found, "slow": {}}
    assert "backtest: not known yet" in answer("var", changed=unknown).caption
    short = {**found, "slow": {"backtest_days": None}}
    assert "backtest: not enough days" in answer("var", changed=short).caption


def test_stress_says_the_worst_what_it_leaves_what_it_breaks_and_what_is_unknown() -> None:
    found = document("stress")
    worst = next(r for r in found["scenarios"] if r["loss"] is not None and r["counted"])
    worst |= {"liquidated": ["main|BTC"], "broken": ["drawdown", "drawdown"], "margin_after": 0.61}
    text = answer("stress", changed=found).caption
    assert re.search(rf"Worst +{worst['name']}\n", text)
    assert f"{-worst['loss']:.2%}" in text
    assert f"{worst['equity_after_usd']:,.0f}".replace(",", " ") in text
    assert "61.0%" in text
    assert "liquidated: main|BTC" in text
    assert "breaks: drawdown\n" in text
    assert re.search(r"Limit +20\.00%", text)
    assert "unknown: funding_x10" in text
    assert "funding is not known" in " ".join(rows(text))
    assert re.search(r"venue_lost \* +-100\.00%", text)
    assert "* not counted by the limit" in text


def test_large_book_says_how_old_its_scenarios_are() -> None:
    found = document("stress")
    assert "in turn" not in answer("stress").caption
    found["scenarios"][3]["as_of_ms"] = found["as_of_ms"] - 90_000
    found["scenarios"][4]["as_of_ms"] = None
    joined = " ".join(rows(answer("stress", changed=found).caption))
    assert "worked out in turn, up to 90 s ago" in joined


def test_one_scenario_goes_position_by_position_and_names_other_kinds() -> None:
    found = document("stress", scenario="march_2020")
    found["positions"][0] |= {"instrument": "BTC/USDT:USDT-241227", "account": "other"}
    found["positions"][1] |= {"instrument": "SOL/USDT", "pnl_usd": None, "shock": None}
    found["cash"] = [
        {"account": "main", "asset": "USDT", "shock": -0.03, "pnl_usd": -300.0},
        {"account": "main", "asset": "USDC", "shock": 0.0, "pnl_usd": 0.0},
    ]
    text = answer("stress", "march_2020", found).caption
    assert "March 2020, published" in text
    assert re.search(r"BTC 241227 L o\S* +-60\.0% +-27 000", text)
    assert re.search(r"SOL spot L main +- +-\n", text)
    assert re.search(r"USDT main +-3\.0% +-300", text)
    assert "USDC" not in text
    labels = [link.label for link in answer("stress", "march_2020", found).links]
    assert labels == ["💡 Suggest", "🌪 All scenarios"]
    gain = {**found, "loss": -0.1}
    assert len(answer("stress", "march_2020", gain).links) == 1


def test_suggestion_is_advice_and_says_when_it_is_not_enough() -> None:
    chart = answer("stress", "suggest down_50")
    assert chart.is_text
    assert chart.wanted is None
    assert chart.caption.startswith("<b>Advice only: nothing is sent.</b>")
    assert re.search(r"SELL \S+ AVAX/USDT:USDT", chart.caption)
    assert re.search(r"Allowed +20\.00%", chart.caption)
    found = document("stress", suggest=True, scenario="down_50")
    poor = {**found, "is_enough": False, "note": "<nothing> helps", "trades": []}
    assert "not enough: &lt;nothing&gt; helps" in answer("stress", "suggest x", poor).caption
    fine = {**found, "is_enough": True, "trades": []}
    joined = " ".join(rows(answer("stress", "suggest x", fine).caption))
    assert "within what is allowed: no trade is needed" in joined
    many = {**found, "trades": found["trades"] * 500}
    text = answer("stress", "suggest x", many).caption
    assert length(text) <= TEXT_MAX
    assert "more" in text


def test_correlation_says_average_and_groups_with_their_weight() -> None:
    found = document("correlation")
    text = answer("correlation").caption
    assert f"{found['average']:+.2f}" in text
    assert "Groups of +0.80 and more" in text
    (group,) = found["groups"]
    assert ", ".join(group["underlyings"]) in text
    assert f"{group['gross_exposure']:.2f}x" in text
    none = {**found, "groups": [], "left_out": 1_960, "unknown": ["NEW"]}
    joined = " ".join(rows(answer("correlation", changed=none).caption))
    assert "no group of +0.80 and more" in joined
    assert "the largest; 1960 smaller ones left out" in joined
    assert "unknown: NEW" in joined


# ---------------------------------------------------------------- what is unknown


def figures(text: str) -> list[str]:
    """Return what stands for money and shares in a text: no dates, names or hours."""
    return [w for line in rows(text) for w in line.split() if re.fullmatch(r"[-+]?0(\.0+)?%?", w)]


def test_unknown_var_says_why_and_shows_no_zero() -> None:
    unknown = {
        "scope": "portfolio",
        "as_of_ms": STATUS["as_of_ms"],
        "equity_usd": None,
        "unknown": "no price history of <BTC>",
        "value_at_risk_usd": None,
        "slow": {},
        "history": {"days": 0, "last_day": None, "underlyings": {}},
    }
    chart = answer("var", changed=unknown)
    assert "unknown: no price history of &lt;BTC&gt;" in " ".join(chart.caption.split())
    assert chart.wanted is None
    assert figures(chart.caption) == []


def test_unknown_scenarios_and_correlations_show_no_zero() -> None:
    found = document("stress")
    blank = dict.fromkeys(("loss", "pnl_usd", "equity_after_usd", "margin_after"))
    found["scenarios"] = [
        row | blank | {"unknown": ["no price"], "liquidated": [], "broken": []}
        for row in found["scenarios"]
    ]
    chart = answer("stress", changed=found)
    assert figures(chart.caption) == []
    assert "unknown: no price" in chart.caption
    assert chart.wanted is not None
    assert {row["value"] for row in chart.wanted["rows"]} == {None}
    assert drawn(chart)[0] == 1280
    empty = answer("correlation", changed={"days": 90, "unknown": ["BTC"], "underlyings": []})
    assert empty.wanted is None
    assert re.search(r"Average +-\n", empty.caption)
    none = answer("stress", changed={**found, "scenarios": []})
    assert "no scenario is on" in none.caption
    assert none.wanted is None


@pytest.mark.parametrize(("kind", "words"), ASKED)
def test_old_figures_are_left_out(kind: str, words: str) -> None:
    status = copy.deepcopy(STATUS)
    status["feeds"][0]["age_s"] = 45.0
    chart = answer(kind, words, status=status)
    assert "45 s old: figures of now are left out" in chart.caption
    assert chart.wanted is None
    assert figures(chart.caption) == []
    assert not re.search(r"\d[ \d]{3}\d", "".join(rows(chart.caption)))


# ---------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("theme", [DARK, LIGHT])
@pytest.mark.parametrize(("kind", "words"), [a for a in ASKED if "-" not in a[1]])
def test_picture_is_drawn_in_both_themes(kind: str, words: str, theme: str) -> None:
    with reading(Reader(ZoneInfo("UTC"), "de", theme)):
        chart = answer(kind, words)
    if not chart.is_text:
        wide, high = drawn(chart)
        assert wide == 1280
        assert 800 <= high <= 1280


def test_book_of_two_thousand_fits_picture_text_and_a_line_each() -> None:
    names = [f"A-VERY-LONG-NAME-{n}" for n in range(2_000)]
    tail = document("var")
    one = tail["components"][0]
    tail["components"] = [{**one, "underlying": n, "own_days": 9, "var_usd": 1e9} for n in names]
    tail["lost"] = names
    found = document("stress", scenario="march_2020")
    position = found["positions"][0]
    found["positions"] = [{**position, "underlying": n, "instrument": f"{n}/X:X"} for n in names]
    found |= {"liquidated": names, "broken": names, "unknown": names}
    many = document("stress")
    many["scenarios"] = [{**many["scenarios"][-1], "name": n} for n in names]
    pairs = document("correlation")
    pairs["unknown"] = names
    pairs["groups"] = [{**pairs["groups"][0], "underlyings": names}] * 50
    for kind, words, changed in (
        ("var", "", tail),
        ("stress", "march_2020", found),
        ("stress", "", many),
        ("correlation", "", pairs),
    ):
        chart = answer(kind, words, changed)
        assert length(chart.caption) <= CAPTION_MAX, kind
        assert "more" in chart.caption
        for line in rows(chart.caption):
            assert width(line) <= WIDTH, line
        assert drawn(chart)[1] <= 1280


def test_var_of_a_book_that_never_moves_has_no_histogram() -> None:
    still = {**document("var"), "days_pnl_usd": [0.0] * 252, "components": []}
    assert answer("var", changed=still).wanted is None


def test_bars_are_colored_by_the_limit_and_unknown_ones_stand_first() -> None:
    wanted = answer("stress").wanted
    assert wanted is not None
    assert wanted["rows"][0]["words"] == ["unknown", ""]
    levels = {row["label"]: row["level"] for row in wanted["rows"]}
    assert levels["march_2020"] == "red"
    assert levels["venue_lost"] == ""
    assert levels["down_10"] == ""
    assert wanted["line"] == {"value": 0.2, "label": "limit 20%"}
    far = document("stress")
    far |= {"limit": 0.9, "scenarios": [r for r in far["scenarios"] if r["name"] == "down_10"]}
    assert drawn(answer("stress", changed=far)) == (1280, 800)
    free = {**far, "limit": None}
    wanted = answer("stress", changed=free).wanted
    assert wanted is not None
    assert "line" not in wanted


def test_heat_map_puts_together_what_moves_together() -> None:
    wanted = answer("correlation").wanted
    assert wanted is not None
    (group,) = wanted["groups"]
    assert sorted(group) == list(range(min(group), min(group) + len(group)))
    assert {wanted["names"][row] for row in group} == {"BTC", "DOGE", "ETH", "SOL", "XRP"}
    found = document("correlation")
    size = len(found["underlyings"])
    for row in range(size):
        found["matrix"][0][row] = found["matrix"][row][0] = None
    wanted = answer("correlation", changed=found).wanted
    assert wanted is not None
    assert found["underlyings"][0] not in wanted["names"]


def test_order_of_what_is_alike() -> None:
    near, far = 0.9, 0.1
    matrix = [
        [1.0, far, near, far],
        [far, 1.0, far, near],
        [near, far, 1.0, 0.5],
        [far, near, 0.5, 1.0],
    ]
    assert ordered(matrix, []) in ([0, 2, 3, 1], [1, 3, 2, 0])
    grouped = ordered(matrix, [[0, 3]])
    assert abs(grouped.index(0) - grouped.index(3)) == 1, "a group stays together"
    unknown: list[list[float | None]] = [[1.0, None, near], [None, 1.0, None], [near, None, 1.0]]
    assert ordered(unknown, [])[1] != 1
    assert ordered([], []) == []


# ---------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("kind", "words", "args"),
    [
        ("var", "", {}),
        ("var", "all", {}),
        ("correlation", "main", {"account": "main"}),
        ("stress", "", {}),
        ("stress", "all main", {"account": "main"}),
        ("stress", "main", {"account": "main"}),
        ("stress", "March_2020", {"scenario": "march_2020"}),
        ("stress", "march_2020 main", {"scenario": "march_2020", "account": "main"}),
        ("stress", "BTC -10%, ETH -15%", {"simulate": "BTC -10%, ETH -15%"}),
        ("stress", "BTC -10% main", {"simulate": "BTC -10%", "account": "main"}),
        ("stress", "BTC=-10%", {"simulate": "BTC=-10%"}),
        ("stress", "Suggest", {"suggest": True}),
        ("stress", "suggest ftx", {"suggest": True, "scenario": "ftx"}),
        ("stress", "suggest BTC -10%", {"suggest": True, "simulate": "BTC -10%"}),
    ],
)
def test_words_become_arguments(kind: str, words: str, args: dict[str, Any]) -> None:
    assert asked(kind, words).args == args


def test_no_button_carries_more_than_telegram_takes() -> None:
    long = "BTC -10%, ETH -15%, SOL -20%, XRP -30%, DOGE -40%, AVAX -50%"
    for words in (long, "sector:defi -30%", "march_2020"):
        links = [("All", "stress", "all"), ("Suggest", "stress", f"suggest {words}")]
        made = linked_keyboard("stress", words, links).inline_keyboard
        data = [b.callback_data or "" for row in made for b in row]
        assert all(len(d.encode()) <= DATA_MAX and Button.read(d) for d in data)
        assert len(data) == (3 if words == "march_2020" else 1)


def test_everybody_who_is_listed_may_look() -> None:
    assert {"var", "stress", "correlation"} <= set(helps.names(Role.VIEWER))


# ---------------------------------------------------------------- in the chat


def play(scene: Scene) -> None:
    """Let the desk answer as the guard does."""
    names = ("var", "correlation")
    scene.desk.documents |= {name: document(name) for name in names}

    def stress(command: Any) -> list[Any]:
        if command.args.get("scenario") == "nonsense":
            return [scene.desk.reply(command, ok=False, message="no scenario <nonsense>")]
        return [scene.desk.reply(command, document=document("stress", **command.args))]

    scene.desk.on["stress"] = stress


def refused(scene: Scene) -> list[Call]:
    return [call for call in scene.server.calls if call.status == 400]


async def test_stress_is_a_photo_whose_buttons_lead_on(scene: Scene) -> None:
    play(scene)
    async with scene.process():
        count = len(scene.chat(VIEWER).sent)
        scene.server.say(VIEWER, "/stress")
        await until(lambda: len(scene.chat(VIEWER).sent) > count, SLOW_S)
        sent = scene.chat(VIEWER).sent[-1]
        assert sent["photo"][-1]["width"] == 1280
        assert [b["text"] for b in buttons(sent)] == [
            "🔄 Refresh",
            "march_2020",
            "may_2021_data_extremes",
            "📉 VaR",
        ]
        await scene.press(VIEWER, sent, "march_2020")
        await until(lambda: "March 2020" in scene.now(sent)["caption"], SLOW_S)
        await scene.press(VIEWER, scene.now(sent), "Suggest")
        await until(lambda: "text" in scene.chat(VIEWER).sent[-1])
        advice = scene.chat(VIEWER).sent[-1]
        assert advice["text"].startswith("Advice only: nothing is sent.")
        assert "chart not available" not in advice["text"]
    assert scene.desk.done == []
    assert refused(scene) == []


async def test_what_cannot_be_answered_says_so_and_strangers_and_groups_learn_nothing(
    scene: Scene,
) -> None:
    play(scene)
    async with scene.process():
        sent = await scene.answer(ADMIN, "/stress nonsense")
        assert sent["text"] == "✖ no scenario <nonsense>"
        scene.server.say(STRANGER, "/var")
        await until(lambda: scene.chat(STRANGER).sent)
        assert scene.chat(STRANGER).sent[-1]["text"] == "Private bot."
    assert scene.server.api.chats[GROUP].sent == []
    assert scene.desk.asked("var") == []


async def test_panel_opens_the_pictures_as_new_messages(scene: Scene) -> None:
    play(scene)
    async with scene.process():
        panel = await scene.answer(ADMIN, "/panel")
        await scene.press_data(ADMIN, panel, button(panel, "VaR"))
        await until(lambda: "photo" in scene.chat(ADMIN).sent[-1], SLOW_S)
    assert "VaR of a day · all accounts" in scene.chat(ADMIN).sent[-1]["caption"]
