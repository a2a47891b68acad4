"""From bars to the series that is told: gaps, misprints, ends, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from riskbot.core.histories import DAY_MS, HISTORY_DAYS
from riskbot.history import names
from riskbot.history.choice import ranked
from riskbot.history.kept import Days, Kept, series
from tests import builders

TODAY = 20_000
"""2024-10-04"""


def days(closes: Iterable[float | None], last: int = TODAY - 1, traded: float | None = 5) -> Days:
    found = Days()
    listed = list(closes)
    for day, close in enumerate(listed, last - len(listed) + 1):
        if close is not None:
            found.put(day, close, traded)
    return found


def kept(closes: Iterable[float | None], last: int = TODAY - 1, **fields: object) -> Kept:
    made = Kept("BTC", "main", "BTC/USDT:USDT", bars=days(closes, last))
    return replace(made, **fields)  # type: ignore[arg-type]


def test_series_says_where_it_is_from_and_when_it_begins() -> None:
    found = series(kept([100.0, 101.0]), TODAY)
    assert (found.underlying, found.source) == ("BTC", "main|BTC/USDT:USDT")
    assert (found.first_day, found.closes, found.last_day) == (TODAY - 2, (100, 101), TODAY - 1)
    assert (found.turnover_usd, found.note) == (5, "")


def test_gap_is_named_and_never_filled() -> None:
    found = series(kept([100.0, None, None, 103.0, None, 105.0]), TODAY)
    assert found.closes == (100, None, None, 103, None, 105)
    assert found.note == "no bar on 2024-09-29 to 2024-09-30, 2024-10-02"


def test_many_gaps_are_counted() -> None:
    found = series(kept([1.0, None] * 5 + [1.0]), TODAY)
    assert found.note.endswith("2024-09-28, 2024-09-30, 2024-10-02 and 2 times before")


@pytest.mark.parametrize("print_", [100.0 * 100, 0.9])
def test_close_far_off_both_its_neighbors_is_a_gap_that_is_named(print_: float) -> None:
    found = series(kept([100.0, print_, 101.0 if print_ < 100 else 100.0]), TODAY)
    assert found.closes[1] is None
    assert found.note == "misprint left out: 2024-10-02"


def test_crash_that_stays_is_no_misprint() -> None:
    # As LUNA's in May 2022.
    found = series(kept([80.0, 1.0, 0.0002, 0.0001]), TODAY)
    assert found.closes == (80, 1, 0.0002, 0.0001)
    assert found.note == ""


def test_newest_close_has_one_neighbor_alone_and_is_told() -> None:
    assert series(kept([100.0, 100.0, 0.5]), TODAY).closes[-1] == 0.5


def test_series_that_ends_says_since_when_once_the_venue_was_asked() -> None:
    ended = kept([1.0, 2.0], last=TODAY - 10)
    assert series(ended, TODAY).note == ""
    assert series(replace(ended, checked_ms=TODAY * DAY_MS + 1), TODAY).note == (
        "no bar since 2024-09-24"
    )
    assert series(replace(ended, is_active=False), TODAY).note == (
        "delisted: the last bar is of 2024-09-24"
    )


def test_what_could_not_be_had_is_said_beside_what_could() -> None:
    assert series(kept([1.0]), TODAY, "no answer").note == "not brought up to date: no answer"
    nothing = series(Kept("NEW"), TODAY, "no answer")
    assert (nothing.closes, nothing.source, nothing.note) == ((), "", "no answer")
    assert nothing.last_day is None


def test_turnover_is_the_mean_of_the_last_thirty_days_that_are_known() -> None:
    made = kept([1.0] * 40)
    made.bars.put(TODAY - 40, 1.0, 1e9)
    made.bars.put(TODAY - 1, 1.0, 35)
    made.bars.put(TODAY - 2, 1.0, None)
    assert series(made, TODAY).turnover_usd == pytest.approx((28 * 5 + 35) / 29)
    assert series(kept([1.0], bars=days([1.0], traded=None)), TODAY).turnover_usd is None


def test_no_more_is_kept_than_is_told() -> None:
    found = days([float(n + 1) for n in range(HISTORY_DAYS + 5)])
    assert (len(found), found.last_day) == (HISTORY_DAYS, TODAY - 1)
    assert found.first_day == TODAY - HISTORY_DAYS
    found.put(TODAY - HISTORY_DAYS - 50, 1.0, None)
    assert len(found) == HISTORY_DAYS


def test_bars_may_come_in_any_order() -> None:
    found = Days()
    for day in (TODAY - 3, TODAY - 1, TODAY - 8):
        found.put(day, float(day), None)
    found.put(TODAY - 3, 7.0, 70)
    assert list(found.rows()) == [
        (TODAY - 8, TODAY - 8, None),
        (TODAY - 3, 7, 70),
        (TODAY - 1, TODAY - 1, None),
    ]
    other = found.copy()
    other.put(TODAY, 1.0, None)
    assert (found.last_day, other.last_day) == (TODAY - 1, TODAY)


# ---------------------------------------------------------------- names


def test_renamed_coin_has_both_names_at_its_ratio() -> None:
    assert names.others("POL", TODAY) == (("MATIC", 1.0),)
    assert names.others("MATIC", TODAY) == (("POL", 1.0),)
    assert names.others("SKY", TODAY) == (("MKR", 1 / 24_000),)
    assert names.others("MKR", TODAY) == (("SKY", 24_000.0),)
    assert names.others("BTC", TODAY) == ()


def test_renaming_that_is_still_to_come_is_not_known() -> None:
    assert names.others("A", TODAY) == ()
    assert names.begun("A", TODAY) == 0
    assert names.begun("A", TODAY + 365) == 20_222


def test_new_luna_is_not_the_old_one() -> None:
    assert names.begun("LUNA", TODAY) == 19_140
    assert names.begun("LUNA", 19_000) == 0
    assert not names.others("LUNA", TODAY)
    assert not names.others("LUNC", TODAY)


# ---------------------------------------------------------------- choice


def symbols(*listed: str, preferred: str = "", gone: str = "") -> list[str]:
    rows = [builders.instrument(symbol, is_active=symbol != gone) for symbol in listed]
    return [row.symbol for row in ranked(rows, preferred)]


def test_instrument_asked_for_comes_first_then_perpetual_then_spot() -> None:
    listed = ("BTC/USD:BTC", "BTC/USDC", "BTC/USDT", "BTC/USDC:USDC", "BTC/USDT:USDT")
    best = ["BTC/USDT:USDT", "BTC/USDC:USDC", "BTC/USDT", "BTC/USDC", "BTC/USD:BTC"]
    assert symbols(*listed) == best
    assert symbols(*listed, preferred="BTC/USDC")[:2] == ["BTC/USDC", "BTC/USDT:USDT"]


def test_what_expires_or_is_delisted_comes_last_even_when_asked_for() -> None:
    dated, perpetual = "BTC/USDT:USDT-261225", "BTC/USDT:USDT"
    assert symbols(dated, perpetual, preferred=dated) == [perpetual, dated]
    listed = ("BTC/USDT", dated, perpetual)
    assert symbols(*listed, preferred=perpetual, gone=perpetual) == ["BTC/USDT", dated, perpetual]


def test_quotes_that_are_no_dollars_and_options_say_nothing() -> None:
    assert symbols("ETH/BTC", "ETH/EUR", "ETH/USD:ETH-261225-3000-C") == []
