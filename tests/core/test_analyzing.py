"""What history and statistics the engine asks for, and when what it got is too old."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import ValidationError

from riskbot.core import actions, events
from riskbot.core.analysis import RETRY_MS, STUDY_BUDGET_MS
from riskbot.core.analyzing import WANTED_MAX
from riskbot.core.engine import Engine
from riskbot.core.histories import DAY_MS, HistoryWanted, Study
from riskbot.core.limits import LIMITS
from riskbot.core.limits._base import NO_PRICE, Verdict
from riskbot.core.limits.found_group_exposure import FoundGroupExposure
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.model import PORTFOLIO, Level, Response, Side
from riskbot.core.settings import AccountSettings
from tests import builders
from tests.core.market import Market, market
from tests.core.past import noise, path, read


def wanted(made: Market) -> list[HistoryWanted]:
    return [w for a in made.actions if isinstance(a, actions.ReadHistory) for w in a.wanted]


def asked(made: Market) -> list[actions.AnalyzeRisk]:
    return [a for a in made.actions if isinstance(a, actions.AnalyzeRisk)]


def test_history_of_what_is_held_allowed_and_of_the_benchmark_is_asked_for_once() -> None:
    made = market(
        held={"ETH": (10, 2_000)}, account={"instruments": ("BTC/USDT:USDT", "GONE/USDT:USDT")}
    )
    made.wait(5)
    assert wanted(made) == [
        HistoryWanted("ETH", "main", "ETH/USDT:USDT"),
        HistoryWanted("BTC", "main"),
    ]


def test_history_of_what_an_order_would_open_is_asked_for_before_it_fills() -> None:
    made = market()
    made.orders["main"] = {"1": builders.order("ETH/USDT:USDT", Side.BUY, 1, order_id="1", price=1)}
    made.read()
    made.wait(2)
    assert HistoryWanted("ETH", "main", "ETH/USDT:USDT") in wanted(made)


def test_nothing_is_asked_before_an_account_was_read() -> None:
    engine = Engine(builders.settings())
    found = engine.handle(events.TimerFired(), builders.T0)
    assert not any(isinstance(a, actions.ReadHistory) for a in found)


def test_what_could_not_be_had_is_asked_for_again_later_and_after_a_restart() -> None:
    made = market()
    made.wait(2)
    assert len(wanted(made)) == 1
    made.now_ms += RETRY_MS
    made.wait(2)
    assert len(wanted(made)) == 2
    made.start()
    made.wait(2)
    assert len(wanted(made)) == 3


def test_history_that_reaches_yesterday_is_not_asked_for_until_the_day_ends() -> None:
    made = market()
    made.give(read(noise("BTC", 1)))
    made.wait(2)
    assert wanted(made) == []
    made.now_ms += DAY_MS
    made.wait(2)
    assert [w.underlying for w in wanted(made)] == ["BTC"]


def test_no_more_than_so_many_are_asked_for_at_once() -> None:
    symbols = tuple(f"C{n}/USDT:USDT" for n in range(WANTED_MAX + 5))
    made = market(held={"ETH": (10, 2_000)}, account={"instruments": symbols})
    made.give(builders.loaded(*symbols, "ETH/USDT:USDT"))
    made.actions.clear()
    made.wait(2)
    first, second = (a for a in made.actions if isinstance(a, actions.ReadHistory))
    assert (len(first.wanted), first.wanted[0].underlying) == (WANTED_MAX, "ETH")
    assert len(second.wanted) == 7


def test_order_in_something_unknown_has_its_history_asked_for() -> None:
    made = market()
    made.give(read(noise("BTC", 1)))
    made.ask("ETH", "buy", "0.1")
    assert wanted(made) == [HistoryWanted("ETH", "main", "ETH/USDT:USDT")]
    made.ask("ETH", "buy", "0.1")
    made.ask("XRP", "buy", "1", symbol="XRP/USDT:USDT")
    assert len(wanted(made)) == 1


# ---------------------------------------------------------------- slow statistics


def test_statistics_are_asked_for_each_minute_and_soon_after_a_material_change() -> None:
    made = market(held={"ETH": (10, 2_000)})
    made.wait(2)
    assert asked(made) == []
    made.give(read(noise("BTC", 1), noise("ETH", 2)))
    made.wait(2)
    (first,) = asked(made)
    assert first.request_id == 1
    by_scope = {book.scope: book for book in first.books}
    assert by_scope[PORTFOLIO].exposures == {"ETH": pytest.approx(20_000)}
    assert by_scope[PORTFOLIO].equity_usd is not None
    made.wait(30)
    assert len(asked(made)) == 1
    made.price(ETH=2_150.0)
    made.wait(6)
    assert [each.request_id for each in asked(made)] == [1, 2]
    made.wait(61)
    assert len(asked(made)) == 3


@pytest.mark.parametrize(("quantity", "questions"), [(-9.99, 1), (-8.0, 3)])
def test_book_that_is_hedged_elsewhere_is_judged_by_its_gross(
    quantity: float, questions: int
) -> None:
    made = market(
        held={"ETH": (10, 2_000)},
        elsewhere={"two": {"ETH": (-10, 2_000)}},
        accounts={name: AccountSettings(exchange="x") for name in ("main", "two")},
    )
    made.give(read(noise("BTC", 1), noise("ETH", 2)))
    made.wait(2)
    assert {book.scope: book.gross_usd for book in asked(made)[0].books}[PORTFOLIO] == 40_000
    made.held["two"]["ETH/USDT:USDT"] = (Decimal(str(quantity)), Decimal(2_000))
    made.read()
    made.wait(6)
    made.held["two"]["ETH/USDT:USDT"] = (Decimal(-10), Decimal(2_000))
    made.read()
    made.wait(6)
    assert len(asked(made)) == questions


def test_answer_is_kept_until_it_is_too_old_and_another_questions_answer_is_none() -> None:
    made = market(held={"ETH": (10, 2_000)})
    made.give(read(noise("BTC", 1), noise("ETH", 2)))
    made.wait(2)
    (question,) = asked(made)
    answer = events.RiskAnalyzed(
        request_id=question.request_id,
        as_of_ms=question.as_of_ms,
        studies=(Study(PORTFOLIO, {"x_usd": 1.0}),),
        groups=(("BTC", "ETH"),),
    )
    made.give(replace(answer, request_id=99))
    analysis = made.engine.state.analysis
    assert analysis.study(PORTFOLIO, made.now_ms) is None
    made.give(answer)
    found = analysis.study(PORTFOLIO, made.now_ms)
    assert found is not None
    assert found.figures == {"x_usd": 1.0}
    assert analysis.groups == (("BTC", "ETH"),)
    assert analysis.study(PORTFOLIO, answer.as_of_ms + STUDY_BUDGET_MS + 1) is None


def test_book_without_a_price_is_not_studied() -> None:
    made = market(held={"ETH": (10, 2_000)})
    made.give(read(noise("BTC", 1)))
    made.give(builders.loaded("XRP/USDT:USDT"))
    made.deaf.add("main")
    unpriced = builders.position("XRP/USDT:USDT", 10, None)
    made.give(builders.snapshot(unpriced, as_of_ms=made.now_ms + 1))
    made.wait(2)
    assert asked(made)
    assert all(book.scope != PORTFOLIO for question in asked(made) for book in question.books)


# ---------------------------------------------------------------- limits


def test_var_limit_of_a_scope_is_judged_on_its_own_book() -> None:
    accounts = {name: AccountSettings(exchange="x") for name in ("main", "other")}
    made = market(
        ValueAtRisk(max=0.02),
        held={"ETH": (10, 2_000)},
        accounts=accounts,
    )
    made.give(read(noise("BTC", 1), noise("ETH", 2, sigma=0.2)))
    made.wait(2)
    rows = [v for limit, found, _ in _checked(made) for v in found if limit.name == "value_at_risk"]
    assert {row.level for row in rows} <= {Level.RED, Level.ORANGE, Level.YELLOW, Level.OK}
    assert all(row.measured is not None for row in rows)


def _checked(made: Market) -> list[tuple[ValueAtRisk, list[object], object]]:
    state = made.engine.state
    books = state.scopes(made.now_ms)
    return [(limit, state.check(limit, books[scope]), None) for scope, limit in state.limits]  # type: ignore[misc]


def test_breach_of_var_has_a_reason_and_unknown_says_why() -> None:
    made = market(ValueAtRisk(max=0.0001), held={"ETH": (10, 2_000)})
    made.wait(2)
    state = made.engine.state
    (limit,) = [limit for _, limit in state.limits]
    (row,) = state.check(limit, state.scopes(made.now_ms)[PORTFOLIO])
    assert (row.level, row.reason) == (Level.UNKNOWN, "no price history is known yet")
    made.give(read(noise("BTC", 1), noise("ETH", 2)))
    made.wait(2)
    assert (PORTFOLIO, "value_at_risk") in state.enforcement.episodes


def test_groups_that_were_found_are_added_up_and_only_alert() -> None:
    made = market(FoundGroupExposure(max=0.2), held={"ETH": (10, 2_000), "BTC": (0.2, 50_000)})
    state = made.engine.state
    ((_, limit),) = state.limits

    def rows() -> dict[str, Verdict]:
        return {v.key: v for v in state.check(limit, state.scopes(made.now_ms)[PORTFOLIO])}

    assert rows()[""].reason == "no slow statistics lately"
    made.give(read(noise("BTC", 1), noise("ETH", 2)))
    made.wait(2)
    (question,) = asked(made)
    answer = events.RiskAnalyzed(
        request_id=question.request_id,
        as_of_ms=question.as_of_ms,
        groups=(("BTC", "ETH"), ("DOGE", "SHIB")),
    )
    made.give(answer)
    equity = state.scopes(made.now_ms)[PORTFOLIO].equity_usd
    assert equity is not None
    assert rows()["BTC+1"].measured == pytest.approx(30_000 / equity)
    assert rows().keys() == {"", "BTC+1"}
    made.wait(1)
    assert (PORTFOLIO, "found_group_exposure") in state.enforcement.episodes
    assert made.ask("ETH", "buy", "0.1").document["decision"] == "approve"
    made.give(builders.loaded("XRP/USDT:USDT"))
    made.deaf.add("main")
    unpriced = builders.position("XRP/USDT:USDT", 10, None)
    made.give(builders.snapshot(unpriced, as_of_ms=made.now_ms + 1))
    assert rows()[""].reason == NO_PRICE
    with pytest.raises(ValidationError, match="only alert"):
        FoundGroupExposure(max=0.2, on_breach=Response.DENY)


def test_every_limit_that_needs_statistics_reads_them() -> None:
    names = {limit.name for limit in LIMITS if limit.needs_statistics}
    assert {"value_at_risk", "expected_shortfall", "stress_loss", "volatility"} <= names


def test_coin_that_nobody_lists_is_not_asked_for() -> None:
    made = market()
    made.airdrops = (builders.balance("SCAM", 1_000),)
    made.read()
    made.wait(2)
    assert [each.underlying for each in wanted(made)] == ["BTC"]


def test_short_history_alone_gives_no_panel() -> None:
    made = market(held={"ETH": (10, 2_000)})
    made.give(read(path([0.1] * 3, "ETH")))
    made.wait(2)
    assert made.engine.state.analysis.panel is None
    assert asked(made) == []
