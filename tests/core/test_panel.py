"""The panel: histories side by side, holes filled by the benchmark, and said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from riskbot.core import panel
from riskbot.core.histories import DailySeries
from riskbot.core.stats.var import DAYS
from tests.core.past import YESTERDAY, noise, path, real


def by_name(*series: DailySeries) -> dict[str, DailySeries]:
    return {each.underlying: each for each in series}


def test_nothing_known_or_nothing_long_enough_is_no_panel() -> None:
    assert panel.build({}) is None
    assert panel.build(by_name(DailySeries("BTC", note="none"))) is None
    assert panel.build(by_name(path([0.01] * 5))) is None


def test_newest_year_is_kept_and_dated() -> None:
    found = panel.build(by_name(noise("BTC", 1, 400), noise("ETH", 2, 400)))
    assert found is not None
    assert (found.days, found.last_day) == (DAYS, YESTERDAY)
    assert found.row_days.tolist() == list(range(YESTERDAY - DAYS + 1, YESTERDAY + 1))
    assert found.own_days.tolist() == [DAYS, DAYS]
    assert found.column("BTC")[-1] == pytest.approx(
        noise("BTC", 1, 400).closes[-1] / noise("BTC", 1, 400).closes[-2] - 1
    )  # type: ignore[operator]


def test_late_listing_moves_with_the_benchmark_before_it_and_says_how_little_is_its_own() -> None:
    btc = noise("BTC", 1)
    late = noise("NEW", 2, 40)
    found = panel.build(by_name(btc, late))
    assert found is not None
    assert found.own_days[found.columns["NEW"]] == 40
    ratio = found.column("NEW")[:100] / found.column("BTC")[:100]
    assert ratio == pytest.approx(np.full(100, ratio[0]))
    assert ratio[0] >= 1
    assert np.isnan(found.log_returns[0, found.columns["NEW"]])


def test_without_the_benchmark_the_mean_of_all_stands_in() -> None:
    found = panel.build(by_name(noise("ETH", 1), noise("NEW", 2, 40)))
    assert found is not None
    assert found.has("NEW")
    assert found.days == DAYS


def test_listed_yesterday_is_unknown_and_named() -> None:
    found = panel.build(by_name(noise("BTC", 1), path([0.5], "NEW"), DailySeries("NONE")))
    assert found is not None
    assert not found.has("NEW")
    assert not found.has("NONE")
    exposures, missing = found.vector({"BTC": 10.0, "NEW": 5.0, "NONE": -1.0, "GONE": 0.0})
    assert exposures[found.columns["BTC"]] == 10.0
    assert missing == ["NEW", "NONE"]


def test_delisted_long_ago_is_judged_by_its_beta_since() -> None:
    gone = path(
        np.random.default_rng(3).normal(0, 0.05, 200).tolist(), "OLD", last_day=YESTERDAY - 60
    )
    found = panel.build(by_name(noise("BTC", 1), gone))
    assert found is not None
    own = int(found.own_days[found.columns["OLD"]])
    assert 0 < own <= DAYS - 60


def test_turnover_nobody_states_is_no_number() -> None:
    found = panel.build(
        by_name(noise("BTC", 1), path([0.01, -0.01] * 130, "ETH", turnover_usd=None))
    )
    assert found is not None
    assert found.turnover_usd[found.columns["BTC"]] == 1e9
    assert np.isnan(found.turnover_usd[found.columns["ETH"]])


def test_real_history_has_a_year_and_its_volatility() -> None:
    found = panel.build(by_name(*real("BTC", "ETH", "DOGE")))
    assert found is not None
    assert 0.2 < found.yearly_volatility("BTC") < found.yearly_volatility("DOGE") < 3


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_close_that_is_no_price_is_a_day_without_one_and_stops_nothing(bad: float) -> None:
    closes = list(noise("X", 3).closes)
    closes[100] = bad
    known = panel.build({"BTC": noise("BTC", 1), "X": replace(noise("X", 3), closes=tuple(closes))})
    assert known is not None
    assert known.has("X")
    assert known.own_days[known.columns["X"]] == known.days - 2
    nothing = replace(noise("X", 3), closes=(bad,) * 260)
    assert panel.build({"X": nothing}) is None
    beside = panel.build({"BTC": noise("BTC", 1), "X": nothing})
    assert beside is not None
    assert not beside.has("X")


def test_price_that_never_moved_is_no_price_history() -> None:
    known = panel.build({"BTC": noise("BTC", 1), "X": path([0.0] * 260, "X")})
    assert known is not None
    assert (known.known, known.still) == ({"BTC"}, {"X"})
