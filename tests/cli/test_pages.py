"""What `ctl` prints of every document: real ones, so that page and document cannot drift apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from riskbot.cli import ctl, pages, tables
from riskbot.core import events
from riskbot.core.commands import COMMANDS
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import Response, Role
from riskbot.core.settings import AccountSettings, DeadManSettings, User
from tests.core.world import World, world

DAY_MS = 86_400_000


def day() -> World:
    """A day with something of everything."""
    switch = DeadManSettings("all", 60.0)
    made = world(
        GrossExposure(max=2.0, on_breach=Response.DENY),
        held={"BTC": (3, 50_000)},
        accounts={"main": AccountSettings(exchange="binanceusdm", dead_man=switch)},
        users=(User("telegram", "7", Role.VIEWER),),
        channels=("log", "ntfy"),
    )
    made.price(BTC=48_000)
    made.wait(61)
    made.give(events.FrontendChanged(name="telegram", is_up=False, detail="502"))
    for _ in range(3):
        made.give(
            events.AlertDeliveryFailed(alert_id="A1", channel="ntfy", revision=1, error="401")
        )
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(30)
    made.deaf.clear()
    made.muted.clear()
    made.wait(2)
    made.command("halt", reason="news")
    until_ms = made.now_ms + 60_000
    made.give(
        events.DeadManChanged(account="main", is_armed=True, detail="60 s", until_ms=until_ms)
    )
    return made


@pytest.fixture(scope="module")
def made() -> World:
    return day()


def page(made: World, name: str, capsys: pytest.CaptureFixture[str], **args: Any) -> str:
    reply = made.command(name, **args)
    assert reply.ok, reply.message
    tables.show(name, json.loads(json.dumps(reply.document)))
    return capsys.readouterr().out


PARTS = [
    ("health", {}, ["enforce", "riskbot test", "binanceusdm", "log", "ntfy", "401", "telegram"]),
    ("feeds", {}, ["prices", "main", "ok"]),
    ("deadman", {}, ["main", "all", "ARMED", "2023-11-14"]),
    ("pnl", {}, ["2023-11-14", "-6,000.00", "in all", "best 2023-11-14"]),
    ("history", {"measure": "equity_usd"}, ["94,000", "2023-11-14 22:1"]),
    ("audit", {}, ["halt", "tester", "ok", "news"]),
    ("users", {}, ["telegram", "7", "viewer", "who may open the socket", "admin"]),
    ("whoami", {}, ["tester", "admin", "may:", "flatten"]),
    ("size", {"instrument": "BTC"}, ["HALTED", "buy", "operator", "of it 3 only closes"]),
    ("digest", {}, ["PnL -6,000.00", "gross_exposure", "account:main", "halt 1", "orange"]),
]


@pytest.mark.parametrize(("name", "args", "parts"), PARTS, ids=[row[0] for row in PARTS])
def test_page_shows_what_matters(
    made: World,
    name: str,
    args: dict[str, Any],
    parts: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = page(made, name, capsys, **args)
    assert [part for part in parts if part not in shown] == [], shown


def test_orders_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    made = world(held={"BTC": (3, 50_000)})
    made.rest("BTC", "buy", "0.25", price=41_000, created_ms=made.now_ms - 7_200_000)
    made.rest("BTC", "sell", "3", stop_price=39_000, reduce_only=True)
    made.read()
    lines = page(made, "orders", capsys).splitlines()
    (entry,) = [line for line in lines if "entry" in line]
    (stop,) = [line for line in lines if "stop" in line]
    assert [part for part in ("buy", "0.25", "41000", "2.0 h") if part not in entry] == []
    assert [part for part in ("sell", "39000", "yes") if part not in stop] == []


def test_alert_is_told_as_a_story(made: World, capsys: pytest.CaptureFixture[str]) -> None:
    row = next(r for r in made.command("alerts").document if r["limit"] == "frontend_down")
    shown = page(made, "alerts", capsys, which=row["id"])
    for part in (row["id"], "telegram is down", "todo: use riskbot ctl", "orange", "delivered"):
        assert part in shown
    made.engine.state.alerts.threads.clear()
    assert "delivered: none" in page(made, "alerts", capsys, which=row["id"])


def test_trouble_stands_at_the_head_of_health(capsys: pytest.CaptureFixture[str]) -> None:
    made = world(GrossExposure(max=2.0))
    made.give(events.StorageFailed(error="disk full"))
    shown = page(made, "health", capsys)
    assert "storage FAILS: disk full" in shown
    assert "BLIND storage" in shown
    assert "channels: none" in shown


def test_days_that_are_not_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    made = World(world().engine.__class__(world().engine.settings))
    assert "PnL, portfolio: none" in page(made, "pnl", capsys)


def test_nothing_that_bounds_a_trade_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from riskbot.core.model import Mode
    from riskbot.core.settings import OrderRules

    free = OrderRules(max_trade=None, max_trade_risk=None, order_rate=None)
    accounts = {"main": AccountSettings(exchange="x", orders=free)}
    made = world(held={"BTC": (1, 50_000)}, accounts=accounts, orders=free, mode=Mode.SHADOW)
    shown = page(made, "size", capsys, instrument="BTC")
    assert "buy   any" in shown
    assert "nothing binds" in shown
    assert "does not bind" in shown


def test_noise_and_calm_are_both_said(capsys: pytest.CaptureFixture[str]) -> None:
    calm = page(world(), "digest", capsys)
    assert "alerts: none" in calm
    document = world().command("digest").document
    noisy = [{"rule": "leverage", "raised": 14, "advice": "hysteresis?"}]
    tables.show("digest", {**document, "noisy": noisy})
    assert "leverage raised 14 times: hysteresis?" in capsys.readouterr().out


def test_long_history_is_thinned_and_keeps_the_newest(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show("history", [[n * 60_000, float(n)] for n in range(1_440)])
    shown = capsys.readouterr().out
    assert "1,439" in shown
    assert len(shown.splitlines()) < 60


@pytest.mark.parametrize(
    ("age", "words"),
    [(None, "-"), (4, "4 s"), (130, "2 min"), (12_600, "3.5 h"), (172_800, "2.0 d")],
)
def test_age_is_written_in_its_unit(age: float | None, words: str) -> None:
    assert pages.seconds(age) == words


def test_every_document_that_is_read_has_a_page() -> None:
    shown = {*tables._RENDERERS}  # noqa: SLF001 - the table of pages is what is held together here
    assert {c.name for c in COMMANDS if c.reads_only} - {"help"} <= shown
    assert set(ctl.ARGUMENTS) <= {c.name for c in COMMANDS}
