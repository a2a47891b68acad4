"""Slow statistics, against the formulas they are made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from riskbot.core import actions, events
from riskbot.core.histories import BookSketch, DailySeries, Study
from riskbot.core.studies import NORMAL_95, Studies
from tests.core.past import noise, path, read, real

BOOK = BookSketch("portfolio", 100_000.0, {"BTC": 30_000.0, "ETH": -10_000.0})


def study(book: BookSketch, *series: DailySeries) -> tuple[Study, events.RiskAnalyzed]:
    studies = Studies()
    studies.take(read(*series))
    answer = studies.answer(actions.AnalyzeRisk(request_id=7, as_of_ms=5, books=(book,)))
    return answer.studies[0], answer


def test_answer_names_its_question_and_every_scope() -> None:
    found, answer = study(BOOK, noise("BTC", 1), noise("ETH", 2))
    assert (answer.request_id, answer.as_of_ms, found.scope) == (7, 5, "portfolio")


def test_nothing_known_is_said() -> None:
    found, _ = study(BOOK)
    assert (found.figures, found.note) == ({}, "no price history is known yet")
    found, answer = study(BOOK, noise("BTC", 1))
    assert (found.figures, found.note) == ({}, "no price history of ETH")
    assert answer.groups == ()


def test_normal_var_is_the_quantile_times_the_deviation() -> None:
    found, _ = study(BookSketch("portfolio", 1.0, {"BTC": 1_000.0}), noise("BTC", 1, 800))
    closes = np.array(noise("BTC", 1, 800).closes)[-253:]
    returns = np.diff(closes) / closes[:-1]
    weights = 0.94 ** np.arange(251, -1, -1.0)
    deviation = math.sqrt(float(weights @ returns**2 / weights.sum()))
    assert found.figures["normal_value_at_risk_95_usd"] == pytest.approx(
        1_000 * NORMAL_95 * deviation, rel=0.02
    )


def test_beta_is_dollars_per_dollar_of_the_benchmark() -> None:
    steps = np.random.default_rng(1).normal(0, 0.03, 260)
    double = path((2 * steps).tolist(), "ETH")
    found, answer = study(
        BookSketch("portfolio", 1.0, {"ETH": 500.0}), path(steps.tolist(), "BTC"), double
    )
    assert found.figures["beta_usd"] == pytest.approx(1_000.0)
    assert found.figures["average_correlation"] is None
    assert answer.groups == (("BTC", "ETH"),)


def test_without_the_benchmark_there_is_no_beta() -> None:
    found, _ = study(BookSketch("portfolio", 1.0, {"ETH": 500.0}), noise("ETH", 1))
    assert found.figures["beta_usd"] is None


def test_book_of_today_is_tested_on_the_year_before() -> None:
    bases = ("BTC", "ETH", "SOL", "DOGE")
    book = BookSketch("portfolio", 1.0, dict.fromkeys(bases, 1_000.0))
    found, _ = study(book, *real(*bases))
    figures = found.figures
    assert figures["backtest_days"] == 252
    assert 1 <= (figures["backtest_exceeded"] or 0) <= 30
    assert 0 <= (figures["backtest_kupiec_p"] or 0) <= 1
    assert figures["filtered_value_at_risk_99_usd"] >= figures["filtered_value_at_risk_95_usd"]  # type: ignore[operator]
    assert figures["filtered_expected_shortfall_95_usd"] >= figures["filtered_value_at_risk_95_usd"]  # type: ignore[operator]


def test_empty_book_or_a_short_past_is_not_tested() -> None:
    found, _ = study(BookSketch("portfolio", 1.0, {}), *real("BTC"))
    assert found.figures["backtest_kupiec_p"] is None
    assert found.figures["filtered_value_at_risk_95_usd"] == 0.0
    found, _ = study(BookSketch("portfolio", 1.0, {"BTC": 1.0}), noise("BTC", 1, 200))
    assert found.figures["backtest_days"] is None


def test_history_told_later_replaces_and_adds() -> None:
    studies = Studies()
    studies.take(read(noise("BTC", 1)))
    studies.take(read())
    studies.take(read(noise("ETH", 2)))
    question = actions.AnalyzeRisk(request_id=1, as_of_ms=0, books=(BOOK,))
    first = studies.answer(question)
    assert first.studies[0].note == ""
    assert studies.answer(question) == first
