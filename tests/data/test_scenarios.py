"""The scenarios that ship: published figures as they stand, measured ones as the data says."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest

from riskbot.config.scenarios import shipped_scenarios
from riskbot.core.scenarios import Scenario
from riskbot.data import scenarios_from_data
from riskbot.data.scenarios_from_data import measure

SCENARIOS = {scenario.name: scenario for scenario in shipped_scenarios()}
MEASURED = [scenario for scenario in SCENARIOS.values() if scenario.kind == "data"]

PUBLISHED = {
    # What the data does not hold, and its measured scenario takes from the published one.
    "terra_luna_data": ("terra_luna", {"LUNA", "LUNC"}),
    "ftx_data": ("ftx", {"FTT"}),
}


def test_published_figures_are_fixed() -> None:
    assert SCENARIOS["march_2020"].shocks["BTC"] == -0.60
    assert SCENARIOS["may_2021"].shocks["BTC"] == -0.50
    assert SCENARIOS["terra_luna"].shocks["LUNA"] < -0.99
    assert SCENARIOS["ftx"].shocks["DEFAULT"] == -0.25
    for name in ("march_2020", "may_2021", "terra_luna", "ftx"):
        assert (SCENARIOS[name].kind, SCENARIOS[name].basis) == ("historical", "published")


def test_every_published_scenario_has_a_measured_one_beside_it() -> None:
    historical = {s.name for s in SCENARIOS.values() if s.kind == "historical"}
    assert {s.name.removesuffix("_data") for s in MEASURED} == historical | {"october_2025"}


@pytest.mark.parametrize("scenario", MEASURED, ids=lambda s: s.name)
def test_measured_scenario_equals_the_data(scenario: Scenario) -> None:
    window = scenario.window
    assert window is not None
    assert scenario.basis == "close"
    found = measure(window.begins, window.ends, window.through)
    published, names = PUBLISHED.get(scenario.name, ("", set()))
    fixed = {name: SCENARIOS[published].shocks[name] for name in names}
    assert not set(fixed) & set(found.shocks)
    assert scenario.shocks == pytest.approx({**fixed, **found.shocks}, abs=1e-6)
    assert scenario.extremes == pytest.approx({**fixed, **found.extremes}, abs=1e-6)


def test_measured_shocks_by_hand() -> None:
    # Closes 121,603.0 and 112,732.5, low 101,045.9 (10 October 2025).
    october = SCENARIOS["october_2025"]
    assert october.shocks["BTC"] == pytest.approx(112_732.5 / 121_603.0 - 1, abs=1e-6)
    assert october.extremes["BTC"] == pytest.approx(101_045.9 / 121_603.0 - 1, abs=1e-6)
    assert october.extremes["ATOM"] == pytest.approx(1.438 / 4.054 - 1, abs=1e-6)
    # Close 9,158.51 on 6 March 2020, 4,857.1 on the 12th, low 3,858 on the 13th.
    march = SCENARIOS["march_2020_data"]
    assert march.shocks["BTC"] == pytest.approx(4_857.1 / 9_158.51 - 1, abs=1e-6)
    assert march.extremes["BTC"] == pytest.approx(3_858 / 9_158.51 - 1, abs=1e-6)
    assert march.shocks["DEFAULT"] == march.shocks["BTC"]


def test_extremes_are_never_milder_than_closes() -> None:
    for scenario in MEASURED:
        assert set(scenario.extremes) == set(scenario.shocks)
        assert all(scenario.extremes[name] <= shock for name, shock in scenario.shocks.items())


def test_coins_quoted_per_thousand_are_named_as_coins() -> None:
    october = SCENARIOS["october_2025"].shocks
    assert {"PEPE", "SHIB"} < set(october)
    assert not [name for name in october if "1000" in name]


def test_ladder_goes_down_rung_by_rung() -> None:
    rungs = [SCENARIOS[f"down_{n}"].shocks for n in (10, 20, 30, 50)]
    assert [set(rung) for rung in rungs] == [{"DEFAULT"}] * 4
    assert [rung["DEFAULT"] for rung in rungs] == [-0.1, -0.2, -0.3, -0.5]
    assert all(a["DEFAULT"] > b["DEFAULT"] for a, b in pairwise(rungs))


def test_what_else_may_happen_ships() -> None:
    move = SCENARIOS["correlations_09"].joint_move
    assert move is not None
    assert move.correlation == 0.9
    assert SCENARIOS["spread_x10"].spread_multiple == 10
    assert SCENARIOS["funding_x10"].funding_multiple == 10
    assert SCENARIOS["all_stops"].stops is not None
    assert SCENARIOS["depeg_usdt"].depeg == {"USDT": -0.1}
    assert SCENARIOS["venue_lost"].venue_lost == "largest"
    shown = [s.name for s in SCENARIOS.values() if not s.is_counted]
    assert sorted(shown) == ["funding_x10", "spread_x10", "venue_lost"]


@pytest.mark.parametrize(
    ("days", "why"),
    [
        ((date(2022, 5, 2), date(2022, 5, 2), None), "in order"),
        ((date(2022, 5, 2), date(2022, 5, 9), date(2022, 5, 8)), "in order"),
        ((date(2017, 5, 2), date(2017, 5, 9), None), "no asset has prices"),
    ],
)
def test_window_that_cannot_be_measured_is_refused(
    days: tuple[date, date, date | None], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        measure(*days)


def test_tool_prints_what_a_file_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert scenarios_from_data.main(["2020-03-06", "2020-03-12", "2020-03-13"]) == 0
    assert "shocks:\n  BTC: -0.469663\n" in capsys.readouterr().out
    assert scenarios_from_data.main(["2020-03-06", "2020-03-01"]) == 2
    assert "in order" in capsys.readouterr().err
