"""First contact by account: what a new account brings waits for it, what stood before does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from riskbot.core import actions
from riskbot.core.duty import Contact, EpisodeStage
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.model import PORTFOLIO, Response
from riskbot.core.settings import AccountSettings, HedgeSettings
from tests import builders
from tests.core.world import World, world

GROSS = GrossExposure(max=2.0, on_breach=Response.REDUCE)
BOTH = {name: AccountSettings(exchange=name) for name in ("main", "late")}
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def grown(made: World, held: dict[str, tuple[float, float]], usdt: float = 100) -> None:
    """Restart with an account more, which holds something."""
    made.wallet["late"] = builders.Decimal(str(usdt))
    made.orders["late"] = {}
    made.held["late"] = {}
    for base, (quantity, price) in held.items():
        symbol = f"{base}/USDT:USDT"
        made.marks[symbol] = price
        made.held["late"][symbol] = (builders.Decimal(str(quantity)), builders.Decimal(str(price)))
    made.restart(replace(made.engine.settings, accounts=BOTH))
    for account in BOTH:
        made.give(builders.loaded(*made.marks, account=account))
    made.price()
    made.read()


def alone(*limits: Any, btc: float = 3, **fields: Any) -> World:
    made = world(*(limits or (GROSS,)), held={"BTC": (btc, 50_000)}, **fields)
    made.wait(2)
    return made


def contact(made: World, name: str = "gross_exposure") -> Contact:
    return made.engine.state.enforcement.contacts[PORTFOLIO, name]


def test_breach_that_a_new_account_brings_is_reported_and_waits() -> None:
    made = alone()
    assert contact(made).accounts == ("main",)
    grown(made, {"ETH": (50, 2_000)})
    made.wait(10)
    assert made.sent == []
    assert (contact(made).is_armed, contact(made).waiting) == (True, ("late",))
    episode = made.engine.state.enforcement.episodes[PORTFOLIO, "gross_exposure"]
    assert episode.stage is EpisodeStage.ASKING
    assert "came with late" in episode.note
    assert made.engine.state.enforcement.holds[PORTFOLIO, "gross_exposure"].is_enforced
    (row,) = [r for r in made.of(actions.RecordDecision) if r.decision == "first_contact"]
    assert "with late" in row.reason
    # The operator's reduce carries out the plan, on that account, too.
    made.confirm("reduce")
    made.wait(5)
    assert {o.account for o in made.sent} == {"main"}


def test_breach_of_those_that_were_there_is_answered_by_them_alone() -> None:
    made = alone()
    grown(made, {"ETH": (50, 2_000)})
    made.wait(2)
    made.price(BTC=32_000)
    made.wait(10)
    assert made.sent
    assert {o.account for o in made.sent} == {"main"}
    assert made.quantity("ETH", "late") == 50
    # Down to the target of what they hold themselves, no further for what the new one brought.
    mine = float(made.quantity("BTC")) * 32_000
    assert 1.7 < mine / (made.equity() + made.equity("late")) <= 1.8
    words = [a.alert.did for a in made.of(actions.SetAlert) if a.alert.name == "gross_exposure"]
    assert any("nothing is closed on late" in did for did in words)


def test_account_arms_once_the_measure_has_cleared() -> None:
    made = alone()
    grown(made, {"ETH": (50, 2_000)})
    made.wait(2)
    made.somebody_trades("BTC", "-2")
    made.wait(2)
    assert contact(made).waiting == ()
    made.somebody_trades("ETH", "80", account="late")
    made.wait(5)
    assert {o.account for o in made.sent} == {"late"}


def test_account_that_brings_no_breach_is_met_and_armed() -> None:
    made = alone()
    grown(made, {"ETH": (5, 2_000)})
    assert (contact(made).accounts, contact(made).waiting) == (("late", "main"), ())
    made.somebody_trades("ETH", "60", account="late")
    made.wait(5)
    assert made.sent


def test_account_is_met_when_it_is_first_read_not_before() -> None:
    made = alone()
    made.deaf.add("late")
    made.muted.add("late")
    grown(made, {"ETH": (50, 2_000)})
    made.wait(20)
    assert contact(made).accounts == ("main",)
    made.deaf.clear()
    made.muted.clear()
    made.wait(5)
    assert contact(made).waiting == ("late",)
    assert made.sent == []


def test_startup_breach_act_waits_for_nobody() -> None:
    made = alone(startup_breach="act")
    grown(made, {"ETH": (50, 2_000)})
    made.wait(5)
    assert contact(made).waiting == ()
    assert made.sent


def test_plain_restart_changes_nothing() -> None:
    made = alone()
    grown(made, {"ETH": (50, 2_000)})
    made.wait(2)
    before = contact(made)
    made.restart()
    made.price()
    made.read()
    made.wait(5)
    assert contact(made) == before
    assert made.sent == []


def test_account_that_left_is_met_anew_when_it_comes_back() -> None:
    made = alone()
    grown(made, {"ETH": (5, 2_000)})
    only = {"main": BOTH["main"]}
    made.restart(replace(made.engine.settings, accounts=only))
    made.price()
    made.read()
    made.wait(2)
    assert contact(made).accounts == ("main",)
    grown(made, {"ETH": (50, 2_000)})
    assert contact(made).waiting == ("late",)


def test_contact_of_before_accounts_were_told_apart_has_met_them_all() -> None:
    made = alone()
    made.journal.append(
        (made.now_ms, actions.SetContact(contact=replace(contact(made), accounts=())))
    )
    grown(made, {"ETH": (50, 2_000)})
    assert (contact(made).accounts, contact(made).waiting) == (("late", "main"), ())
    made.wait(5)
    assert made.sent


def test_flatten_keeps_what_hedges_a_position_of_an_account_that_waits() -> None:
    limit = Drawdown(max=0.10, on_breach=Response.FLATTEN, latch=True)
    made = alone(limit, btc=2)
    made.deaf.add("main")
    made.muted.add("main")
    made.held["main"][ETH] = (builders.Decimal(10), builders.Decimal(2_000))
    made.marks[ETH] = 2_000
    made.deaf.clear()
    made.muted.clear()
    made.give(builders.loaded(ETH))
    made.read()
    made.price(BTC=44_000)
    made.wait(5)
    assert made.quantity("BTC") == made.quantity("ETH") == 0
    grown(made, {"ETH": (-10, 2_000)})
    made.wait(2)
    assert contact(made, "drawdown").waiting == ("late",)
    made.somebody_trades("ETH", "10")
    made.wait(10)
    assert made.quantity("ETH", "late") == -10


def test_hedge_is_not_placed_on_an_account_that_waits() -> None:
    limit = NetExposure(max=2.0, on_breach=Response.HEDGE)
    hedges = {"BTC": HedgeSettings("late", BTC, 500_000)}
    made = alone(limit, hedges=hedges)
    grown(made, {"ETH": (50, 2_000)})
    made.wait(2)
    assert contact(made, "net_exposure").waiting == ("late",)
    made.price(BTC=32_000)
    made.wait(10)
    assert {o.account for o in made.sent} == {"main"}
