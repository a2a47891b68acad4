"""What strategies are told, and what people hear of telling them."""

from __future__ import annotations

from typing import Any

from riskbot.core import events, tellings
from riskbot.core.duty import AlertStatus
from riskbot.core.model import Level, TradingState
from tests.core.test_telling import quiet


def told(**fields: Any) -> events.StrategyTold:
    found = {"name": "freqtrade", "via": "freqtrade", "scope": "portfolio", **fields}
    return events.StrategyTold(**{"wanted": TradingState.HALTED, **found})


def test_standing_has_every_scope_with_its_state_and_why() -> None:
    made = quiet()
    made.command("halt", reason="lunch")
    found = tellings.standing(made.engine.state, made.now_ms)
    assert found["may_start"]
    assert {row["trading_state"] for row in found["scopes"].values()} == {"HALTED"}
    assert found["scopes"]["portfolio"]["reason"].endswith("lunch")
    assert "account:main" in found["scopes"]


def test_nobody_is_started_while_the_journal_takes_no_writes() -> None:
    made = quiet()
    made.give(events.StorageFailed(error="disk full"))
    assert not tellings.standing(made.engine.state, made.now_ms)["may_start"]


def test_strategy_that_cannot_be_told_is_told_of_until_it_is() -> None:
    made = quiet()
    made.give(told(error="away"))
    assert made.told("strategy_untold") == []
    made.give(told(error="away", is_lost=True))
    made.give(told(confirmed=TradingState.HALTED, detail="paused"))
    first, last = made.told("strategy_untold")
    assert (first.alert.level, first.alert.text) == (Level.ORANGE, "away")
    assert "HALTED" in first.alert.title
    assert last.alert.status is AlertStatus.RESOLVED


def test_what_is_to_be_told_no_more_alarms_nobody_any_more() -> None:
    made = quiet()
    made.give(told(error="away", is_lost=True))
    made.give(told(error="away", wanted=TradingState.ACTIVE))
    assert made.told("strategy_untold")[-1].alert.status is AlertStatus.RESOLVED


def test_status_shows_since_when_it_stands_so() -> None:
    made = quiet()
    began_ms = made.now_ms
    made.give(told(error="away"))
    made.now_ms += 5_000
    made.give(told(error="away", is_lost=True))
    (row,) = made.command("status").document["told"]
    assert (row["since_ms"], row["confirmed"], row["error"]) == (began_ms, None, "away")
    made.give(told(confirmed=TradingState.HALTED, detail="paused"))
    (row,) = made.command("status").document["told"]
    assert row == {
        "name": "freqtrade",
        "kind": "freqtrade",
        "scope": "portfolio",
        "wanted": "HALTED",
        "confirmed": "HALTED",
        "detail": "paused",
        "error": "",
        "since_ms": made.now_ms,
    }


def test_after_a_start_only_who_is_told_again_is_shown() -> None:
    made = quiet()
    made.give(told(confirmed=TradingState.HALTED))
    made.give(events.Started(version="test", config_hash="x", halt_file=False))
    assert made.command("status").document["told"] == []
