"""What a scenario may say, and what is wrong with it, told in one go."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core.scenarios import Scenario, expanded, parse_scenario, parse_shocks

TEXT = {"name": "mine", "title": "t", "description": "d", "source": "s"}


def made(**fields: Any) -> Scenario:
    faults: list[str] = []
    scenario = parse_scenario({**TEXT, **fields}, faults)
    assert scenario is not None, faults
    return scenario


def faults_of(**fields: Any) -> list[str]:
    faults: list[str] = []
    raw = {name: value for name, value in {**TEXT, **fields}.items() if value is not None}
    assert parse_scenario(raw, faults) is None
    return faults


def test_shock_is_an_underlyings_own_then_its_sectors_then_the_default() -> None:
    scenario = made(shocks={"BTC": -0.1, "sector:defi": -0.3, "DEFAULT": -0.2})
    assert scenario.shock_of("BTC", "defi") == (-0.1, "BTC")
    assert scenario.shock_of("UNI", "defi") == (-0.3, "sector:defi")
    assert scenario.shock_of("DOGE", "memes") == (-0.2, "DEFAULT")


def test_shock_when_nothing_names_it_and_there_is_no_default_is_none() -> None:
    assert made(shocks={"BTC": -0.1}).shock_of("ETH", "layer1") == (0.0, "")


def test_extremes_are_a_scenario_of_their_own_beside_the_closes() -> None:
    scenario = made(shocks={"BTC": -0.1}, extremes={"BTC": -0.3}, basis="close")
    closes, extremes = scenario.variants()
    assert (closes.name, closes.basis, closes.shocks) == ("mine", "close", {"BTC": -0.1})
    assert (extremes.name, extremes.basis) == ("mine_extremes", "extreme")
    assert extremes.shocks == {"BTC": -0.3}
    assert not closes.extremes
    assert not extremes.extremes
    plain = made(shocks={"BTC": -0.1})
    assert expanded([plain, scenario]) == (plain, closes, extremes)


def test_every_fault_of_a_scenario_is_told_at_once_with_field_and_value() -> None:
    assert faults_of(
        name="Mine!",
        title=5,
        description=None,
        source="",
        kind="old",
        shocks={"BTC": -60, "ETH": 12.0, "UNI": 300.0, "x/y": 0.1, "SOL": "x", "ADA": float("nan")},
        depeg={"BTC": -0.1},
        joint_move={"corelation": 0.9, "sigmas": 0},
        stops=3,
        window={"begins": "yesterday", "ends": 5, "upto": 1},
        is_counted="yes",
        spread_multiple=0.0,
        funding=10,
    ) == [
        "name: must be lower case letters, digits, _ and -, at most 48, is 'Mine!'",
        "title: must be text (in quotes if it looks like a number), is 5",
        "kind: must be one of 'historical', 'data', 'hypothetical', 'custom', is 'old'",
        "description: is missing",
        "source: is empty, is ''",
        "window.begins: must be a day as in 2022-05-12, is 'yesterday'",
        "window.ends: must be a day as in 2022-05-12, is 5",
        "window.upto: no such field",
        "is_counted: must be true or false, is 'yes'",
        "shocks.BTC: must be between -1 (all is lost) and 10 (a share is written -0.6), is -60",
        "shocks.ETH: must be between -1 (all is lost) and 10 (a share is written 0.12), is 12.0",
        "shocks.UNI: must be between -1 (all is lost) and 10, is 300.0",
        "shocks.x/y: must be a coin as in BTC, a sector as in sector:defi, or DEFAULT",
        "shocks.SOL: must be a number, is 'x'",
        "shocks.ADA: must be a finite number, is nan",
        "joint_move.correlation: is missing",
        "joint_move.sigmas: must be greater than 0, is 0",
        "joint_move.corelation: no such field; did you mean `correlation`?",
        "stops: must be a mapping of fields, is 3",
        "depeg.BTC: must be a stablecoin as in USDT: what a coin does stands under shocks",
        "spread_multiple: must be greater than 0, is 0.0",
        "funding: no such field; did you mean `funding_multiple`?",
    ]


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({}, ["shocks: is missing, and nothing else happens in this scenario"]),
        (
            {"extremes": {"BTC": -0.1}},
            [
                "shocks: is missing, and nothing else happens in this scenario",
                "extremes: are a second set of shocks, but `shocks` is missing",
            ],
        ),
        (
            {"shocks": {"BTC": -0.1}, "stops": {}},
            ["stops: cannot stand beside `shocks`, both say what prices do"],
        ),
        (
            {"joint_move": {"correlation": 0.9}, "stops": {}},
            ["stops: cannot stand beside `joint_move`, both say what prices do"],
        ),
    ],
)
def test_scenario_that_says_nothing_or_too_much_is_refused(
    fields: dict[str, Any], faults: list[str]
) -> None:
    assert faults_of(**fields) == faults


def test_costs_pegs_and_venues_may_stand_beside_shocks() -> None:
    together = made(
        shocks={"DEFAULT": -0.3},
        depeg={"USDT": -0.05},
        venue_lost="largest",
        spread_multiple=5,
        funding_multiple=-10,
    )
    assert together.is_counted
    assert together.kind == "custom"


# ---------------------------------------------------------------- typed by hand


@pytest.mark.parametrize(
    ("text", "shocks"),
    [
        ("BTC -10%, ETH -15%", {"BTC": -0.10, "ETH": -0.15}),
        (
            "btc=-10%,sector:defi -30 %, default +5%,",
            {"BTC": -0.1, "sector:defi": -0.3, "DEFAULT": 0.05},
        ),
        ("BTC 2.5%", {"BTC": 0.025}),
    ],
)
def test_typed_shocks_become_a_scenario(text: str, shocks: dict[str, float]) -> None:
    faults: list[str] = []
    scenario = parse_shocks(text, faults)
    assert scenario is not None
    assert not faults
    assert scenario.shocks == pytest.approx(shocks)
    assert not scenario.is_counted


def test_typed_shocks_are_said_back_as_understood() -> None:
    scenario = parse_shocks("BTC -10%,ETH 2.5 %", [])
    assert scenario is not None
    assert scenario.title == "BTC -10 %, ETH +2.5 %"


def test_every_fault_of_typed_shocks_is_told_with_what_was_typed() -> None:
    faults: list[str] = []
    text = "BTC, ETH -10, a/b -5%, SOL -200%, ADA -1%, ADA -2%, USDT -5%"
    assert parse_shocks(text, faults) is None
    assert faults == [
        "`BTC`: must be a coin and a percentage, as in `BTC -10%`",
        "`ETH -10`: write a percentage, as in `ETH -10%`",
        "`a/b -5%`: A/B is no coin as in BTC, sector as in sector:defi, or DEFAULT",
        "`SOL -200%`: must be between -100% and +1000%",
        "`ADA -2%`: ADA is given twice",
        "`USDT -5%`: USDT is a stablecoin: a scenario with `depeg` moves its peg",
    ]


def test_nothing_typed_is_a_fault() -> None:
    faults: list[str] = []
    assert parse_shocks(" , ", faults) is None
    assert faults == ["no shock is given: write `BTC -10%, ETH -15%`"]
