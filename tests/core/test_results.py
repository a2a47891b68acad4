"""Profit and loss by day: flows left out, fees and funding beside it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from riskbot.core import events
from riskbot.core.engine import Engine
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import LedgerKind
from riskbot.core.navs import DAYS_KEPT, NavHistory
from riskbot.core.settings import AccountSettings
from tests import builders
from tests.core.test_navs import sample
from tests.core.world import World, world

DAY_MS = 86_400_000
GROSS = GrossExposure(max=5.0)


def next_day(made: World) -> None:
    """Go to just after midnight; nobody looks meanwhile."""
    made.now_ms += DAY_MS - made.now_ms % DAY_MS + 1_000
    made.price()
    made.read()
    made.wait(2)


def test_today_is_counted_up_to_now() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.price(BTC=51_000)
    found = made.command("pnl", period="day").document
    (today,) = found["rows"]
    assert today["is_today"]
    assert today["date"] == "2023-11-14"
    assert today["pnl_usd"] == pytest.approx(1_000)
    assert today["share"] == pytest.approx(0.01)
    assert found["totals"]["pnl_usd"] == pytest.approx(1_000)
    assert found["best"] == found["worst"] == "2023-11-14"


def test_days_add_up_and_the_best_and_worst_are_named() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.price(BTC=51_000)
    next_day(made)
    made.price(BTC=49_000)
    next_day(made)
    made.price(BTC=49_500)
    found = made.command("pnl", period="week").document
    assert [row["pnl_usd"] for row in found["rows"]] == pytest.approx([1_000, -2_000, 500])
    assert [row["is_today"] for row in found["rows"]] == [False, False, True]
    assert (found["best"], found["worst"]) == ("2023-11-14", "2023-11-15")
    assert found["totals"]["pnl_usd"] == pytest.approx(-500)
    assert found["totals"]["share"] == pytest.approx(-0.005)
    assert found["rows"][1]["drawdown"] == pytest.approx(2_000 / 101_000)
    short = made.command("pnl", period="day").document
    assert len(short["rows"]) == 1


def test_deposit_is_no_profit() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.now_ms += 1
    made.give(
        events.LedgerEntryBooked(
            account="main",
            entry_id="d1",
            entry_kind=LedgerKind.DEPOSIT,
            asset="USDT",
            amount=Decimal(5_000),
            venue_ms=made.now_ms,
        )
    )
    made.wallet["main"] += 5_000
    made.read()
    made.wait(2)
    (today,) = made.command("pnl", period="day").document["rows"]
    assert today["pnl_usd"] == pytest.approx(0)
    assert today["flows_usd"] == pytest.approx(5_000)


def test_fees_and_funding_stand_beside_it() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.now_ms += 1
    made.give(builders.fill(quantity=1, trade_id="f1", fee=12.5, fee_asset="USDT"))
    made.give(
        events.LedgerEntryBooked(
            account="main",
            entry_id="fu1",
            entry_kind=LedgerKind.FUNDING,
            asset="USDT",
            amount=Decimal("-3.5"),
            venue_ms=made.now_ms,
        )
    )
    (row,) = made.command("pnl", account="main", period="day").document["rows"]
    assert (row["fees_usd"], row["funding_usd"]) == (12.5, -3.5)
    totals = made.command("pnl").document["totals"]
    assert (totals["fees_usd"], totals["funding_usd"]) == (12.5, -3.5)
    next_day(made)
    rows = made.command("pnl").document["rows"]
    assert [row["fees_usd"] for row in rows] == [12.5, 0.0]


def test_fee_in_a_coin_that_nobody_prices_is_unknown_not_nothing() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    made.give(builders.loaded(builders.instrument("ZZZ/USDT")))
    made.now_ms += 1
    made.give(builders.fill(quantity=1, trade_id="f1", fee=1, fee_asset="ZZZ"))
    found = made.command("pnl").document
    assert found["rows"][0]["fees_usd"] is None
    assert found["totals"]["fees_usd"] is None


def test_before_the_first_sample_there_are_no_rows() -> None:
    engine = Engine(builders.settings())
    made = World(engine)
    found = made.command("pnl").document
    assert (found["rows"], found["best"], found["worst"]) == ([], None, None)
    assert found["totals"]["pnl_usd"] == 0


def test_while_equity_is_unknown_the_day_ends_with_its_last_sample() -> None:
    accounts = {name: AccountSettings(exchange="binanceusdm") for name in ("main", "other")}
    made = world(GROSS, held={"BTC": (1, 50_000)}, accounts=accounts)
    made.price(BTC=51_000)
    made.wait(61)
    before = made.command("pnl").document["rows"][-1]["pnl_usd"]
    again = Engine(made.engine.settings)
    again.load(json.loads(json.dumps(made.engine.dump())))
    again.state.meter.marks.quotes.clear()
    again.state.meter.on_timer(made.now_ms + 60_000)
    made.engine = again
    assert made.command("pnl").document["rows"][-1]["pnl_usd"] == pytest.approx(before)


def test_unknown_account_is_refused() -> None:
    reply = world(GROSS).command("pnl", account="nobody")
    assert not reply.ok
    assert "nobody" in reply.message


def test_days_are_bounded() -> None:
    made = NavHistory()
    for n in range(DAYS_KEPT + 20):
        made.record(sample(1.0, day_ms=1 + n * DAY_MS), 1 + n * DAY_MS)
    assert len(made.days) == DAYS_KEPT


def test_share_of_nothing_is_unknown() -> None:
    made = world(GROSS, held={"BTC": (1, 50_000)})
    history = made.engine.state.meter.cashflows.histories["portfolio"]
    history.true.day_nav = 0.0
    found = made.command("pnl", period="day").document
    assert found["rows"][0]["share"] is None
    assert found["totals"]["share"] is None
    history.true.day_nav = None
    assert history.today(made.now_ms).opened_nav == history.nav
