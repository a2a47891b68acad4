from __future__ import annotations

from typing import Any

import pytest

from riskbot.console.lines import Lines
from riskbot.console.narrator import Narrator, percent

NOW = 1_642_690_800_000


def limit(name: str = "net_exposure", level: str = "ok", **fields: Any) -> dict[str, Any]:
    values = {
        "name": name,
        "scope": "portfolio",
        "level": level,
        "measured": 0.65,
        "limit": 0.8,
        "utilization": 0.81,
        "on_breach": "reduce",
        "stage": None,
    }
    return values | fields


def hold(name: str = "daily_loss", **fields: Any) -> dict[str, Any]:
    values = {"limit": name, "scope": "portfolio", "state": "HALTED", "latched": False}
    return values | fields


def intent(kind: str = "reduce", instrument: str = "BTC/USDT:USDT") -> dict[str, Any]:
    return {
        "id": 1,
        "kind": kind,
        "causes": [["portfolio", "reduce:net_exposure"]],
        "targets": [{"instrument": instrument}],
    }


def position(instrument: str = "BTC/USDT:USDT", quantity: float = 2.0) -> dict[str, Any]:
    return {
        "instrument": instrument,
        "quantity": quantity,
        "side": "long",
        "notional_usd": 80_000.0,
        "unrealized_pnl_usd": -100.0,
    }


def status(**fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "starting": False,
        "as_of_ms": NOW,
        "equity_usd": 100_000.0,
        "gross_exposure": 1.2,
        "net_exposure": 0.6,
        "drawdown": 0.0,
        "trading_state": "ACTIVE",
        "limits": [],
        "holds": [],
        "intents": [],
        "alerts": [],
    }
    return values | fields


def begun(**fields: Any) -> Narrator:
    made = Narrator()
    made.see(status(**fields), [position()])
    return made


def texts(made: Narrator, positions: list[dict[str, Any]] | None = None, **fields: Any) -> str:
    rows = [position()] if positions is None else positions
    return "\n".join(note.text for note in made.see(status(**fields), rows))


@pytest.mark.parametrize("fields", [{"starting": True}, {"equity_usd": None}])
def test_nothing_is_told_before_the_account_is_read(fields: dict[str, Any]) -> None:
    made = Narrator()
    assert not texts(made, **fields)
    assert "riskbot guards 100,000 USD in 1 positions" in texts(made)


def test_same_documents_tell_nothing_new() -> None:
    made = begun()
    assert not texts(made)


def test_level_when_it_rises_is_told_with_why() -> None:
    made = begun()
    (note,) = made.see(status(limits=[limit(level="yellow")]), [position()])
    assert note.text == "YELLOW: net exposure 65.0% of 80.0%"
    assert "bot" in note.why
    assert not texts(made, limits=[limit(level="ok")])


def test_level_when_red_shows_the_worst_and_then_the_way_back() -> None:
    made = begun()
    alert = {"scope": "portfolio", "limit": "net_exposure", "worst": 0.85}
    told = texts(made, limits=[limit(level="red", measured=0.79)], alerts=[alert])
    assert told == "RED: net exposure 85.0% of 80.0%"
    assert "back inside" in texts(made, limits=[limit(level="orange", measured=0.72)])


def test_limit_that_only_denies_is_told_when_it_breaks() -> None:
    made = begun()
    quiet = limit("asset_exposure", "orange", on_breach="deny")
    assert not texts(made, limits=[quiet])
    assert "RED: largest coin" in texts(made, limits=[quiet | {"level": "red"}])


@pytest.mark.parametrize(("latched", "words"), [(True, "until a person resumes"), (False, "")])
def test_hold_is_told_when_it_comes_and_goes(latched: bool, words: str) -> None:
    made = begun()
    told = texts(made, holds=[hold(latched=latched)], trading_state="HALTED")
    assert f"HALTED by the loss of the day{', ' * bool(words)}{words}" in told.split("\n")
    assert "trading state: HALTED" in told
    gone = texts(made)
    assert "the hold of the loss of the day ended" in gone
    assert "trading state: ACTIVE" in gone


def test_measure_hold_is_not_told_as_a_halt() -> None:
    made = begun()
    assert not texts(made, holds=[hold("asset_exposure", state="ACTIVE")])
    assert not texts(made)


def test_trade_is_riskbots_where_it_works_and_the_bots_elsewhere() -> None:
    made = begun()
    rows = [position(quantity=1.5), position("ETH/USDT:USDT", 3.0)]
    told = texts(made, rows, intents=[intent()])
    assert "riskbot sells 0.5 BTC" in told
    assert "the bot buys 3 ETH" in told


def test_work_is_told_from_its_begin_to_its_end() -> None:
    made = begun()
    assert "riskbot acts: flatten (net_exposure)" in texts(made, intents=[intent("flatten")])
    told = texts(made, [])
    assert "riskbot sells 2 BTC" in told
    assert "verified flat" in told


@pytest.mark.parametrize(
    ("value", "text"), [(None, "unknown"), (-0.0, "0.0%"), (-1e-9, "0.0%"), (0.1234, "12.3%")]
)
def test_share_is_written_as_people_read_it(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_lines_say_each_caption_once() -> None:
    said: list[str] = []
    with Lines(said.append) as lines:
        for level in ("yellow", "ok", "yellow"):
            lines.show(status(limits=[limit(level=level)]), [position()])
        lines.end(["the end"])
    captions = [line for line in said if "leans further" in line]
    assert len(captions) == 1
    assert len([line for line in said if "YELLOW" in line]) == 2
    assert said[-1] == "the end"
