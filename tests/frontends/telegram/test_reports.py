"""Reports on a phone, from the documents the core really gives."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from riskbot.core import events
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import Response, Role
from riskbot.frontends.telegram import figures, helps
from riskbot.frontends.telegram.inquiries import INQUIRIES, UsageError
from tests.core.world import World, world
from tests.frontends.telegram.scene import ADMIN, OPERATOR, VIEWER, Scene

GROSS = GrossExposure(max=2.0, on_breach=Response.DENY)


def busy(*, halts: bool = True) -> World:
    """Return a world in which much has happened."""
    made = world(GROSS, held={"BTC": (1, 50_000), "ETH": (-5, 2_000)}, usdt=80_000)
    made.give(events.AlertDelivered(alert_id="A1", channel="log", revision=1))
    made.give(events.AlertDeliveryFailed(alert_id="A1", channel="mail", revision=1, error="<no>"))
    made.price(BTC=49_000)
    made.wait(5)
    made.somebody_trades("BTC", "4")
    made.wait(5)
    made.command("ack", id="all")
    made.rest("BTC", "sell", "0.1", price=90_000)
    if halts:
        made.command("halt", reason="<b>lunch</b>")
    made.wait(70)
    return made


def asked(made: World, name: str, words: str = "") -> str:
    inquiry = INQUIRIES[name]
    reply = made.command(name, **inquiry.read(words.split()))
    assert reply.ok, reply.message
    return inquiry.render(reply.document, made.now_ms)


@pytest.mark.parametrize(
    ("name", "words", "parts"),
    [
        ("orders", "", ["Working orders (1)", "sell", "90000"]),
        ("pnl", "week", ["PnL", "Total", "Fees", "Funding"]),
        ("feeds", "", ["Feeds", "main"]),
        ("health", "", ["Version", "Journal", "channel mail", "in sight"]),
        ("deadman", "", ["main off", "NOT ARMED"]),
        ("size", "BTC 45000", ["BUY", "SELL", "stop 45000"]),
        ("audit", "5", ["tester", "halt"]),
        ("digest", "", ["Digest", "Equity", "Orders, cancels"]),
        ("alerts", "", ["RED", "gross_exposure"]),
        ("users", "", ["Who may command"]),
    ],
)
def test_report_shows_what_it_is_for_in_34_columns_without_markup_of_others(
    name: str, words: str, parts: list[str]
) -> None:
    text = asked(busy(halts=name != "orders"), name, words)
    for part in parts:
        assert part in text, text
    assert "<b>lunch" not in text
    assert not re.search(r"\bNone\b|\bnan\b", text)
    for block in re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL):
        lines = html.unescape(block).splitlines()
        assert all(figures.width(line) <= 34 for line in lines), block


def test_story_of_an_alert_says_each_step() -> None:
    made = busy()
    row = next(r for r in made.command("alerts").document if r["limit"] == "gross_exposure")
    text = asked(made, "alerts", f"#{row['id']}")
    for part in ("RED", "ACK TESTER", "taken by tester", "Limit"):
        assert part in text, text


def test_alerts_that_are_over_are_listed_with_how_long_they_stood() -> None:
    made = world(Drawdown(max=0.2), held={"BTC": (1, 50_000)})
    made.give(events.FeedLost(account="main", feed="account", reason="gone"))
    made.wait(31)
    made.give(events.FeedAlive(account="main", feed="account"))
    made.price()
    made.wait(3)
    text = asked(made, "alerts", "24h")
    assert "feed_account" in text
    assert "ORANGE" in text


@pytest.mark.parametrize(
    ("name", "words"), [("size", ""), ("size", "BTC -5"), ("audit", "many"), ("audit", "1000")]
)
def test_words_that_make_no_sense_say_how_they_would(name: str, words: str) -> None:
    with pytest.raises(UsageError):
        INQUIRIES[name].read(words.split())


@pytest.mark.parametrize(
    ("name", "words", "args"),
    [
        ("size", "ETH main 1900", {"instrument": "ETH", "account": "main", "stop": 1900.0}),
        ("pnl", "month sub", {"period": "month", "account": "sub"}),
        ("audit", "people 7", {"people": True, "n": 7}),
        ("orders", "main", {"account": "main"}),
        ("alerts", "#A17", {"which": "A17"}),
    ],
)
def test_words_become_arguments(name: str, words: str, args: dict[str, Any]) -> None:
    assert INQUIRIES[name].read(words.split()) == args


def test_help_names_every_command_of_the_role_and_danger_comes_last() -> None:
    admin, viewer = helps.names(Role.ADMIN), helps.names(Role.VIEWER)
    assert {"orders", "pnl", "size", "digest", "health", "setlimit", "silence"} <= set(admin)
    assert admin[0] == "status"
    assert admin[-1] == "flatten"
    assert not {"halt", "audit", "users"} & set(viewer)
    for name in admin:
        assert helps.help_command(name)
    text = helps.help_page(Role.ADMIN, "top")
    for block in re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL):
        assert all(figures.width(line) <= 34 for line in block.splitlines()), block


async def test_report_over_telegram_is_refreshed_in_place(scene: Scene) -> None:
    made = busy(halts=False)
    scene.desk.documents["orders"] = made.command("orders").document
    scene.desk.documents["audit"] = []
    async with scene.process():
        page = await scene.answer(VIEWER, "/orders")
        assert "Working orders (1)" in page["text"]
        scene.desk.documents["orders"] = []
        await scene.press(VIEWER, page, "Refresh")
        await scene.becomes(page, lambda text: "Working orders (0)" in text)
        assert "not for a viewer" in (await scene.answer(VIEWER, "/audit"))["text"]
        assert "Usage" in (await scene.answer(ADMIN, "/audit lots"))["text"]
        assert "test done" in (await scene.answer(OPERATOR, "/test red"))["text"]
        assert "not for a viewer" in (await scene.answer(VIEWER, "/test"))["text"]
