"""What is drawn, before it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from riskbot.frontends.telegram.chart import render
from riskbot.frontends.telegram.charts import Known, kind_of, make, slices_of
from riskbot.frontends.telegram.curves import runs, ticks
from riskbot.frontends.telegram.figures import WIDTH, width
from riskbot.frontends.telegram.ink import figure_of
from riskbot.frontends.telegram.reader import Reader, reading
from tests.frontends.telegram.desk import LIMIT, NOW_MS, STATUS

HOUR_MS = 3_600_000


def known(**fields: Any) -> Known:
    given: dict[str, Any] = {"status": STATUS, "exposure": {}, "alerts": [], "series": {}}
    return Known(**(given | fields))


def test_fifteen_sectors_are_seven_slices_and_the_rest() -> None:
    sums = {f"s{n:02}": {"gross_usd": 1_500.0 - 50 * n} for n in range(15)}
    slices = slices_of(sums)
    assert [s["label"] for s in slices] == [*(f"s{n:02}" for n in range(7)), "Other"]
    assert sum(s["usd"] for s in slices) == sum(s["gross_usd"] for s in sums.values())


def test_slices_below_three_percent_are_in_the_rest() -> None:
    sums = {"a": {"gross_usd": 94.1}, "b": {"gross_usd": 3.0}, "c": {"gross_usd": 2.9}}
    assert [s["label"] for s in slices_of(sums)] == ["a", "b", "Other"]


def test_one_sector_is_the_whole() -> None:
    assert slices_of({"a": {"gross_usd": 5.0}, "b": {"gross_usd": 0.0}}) == [
        {"label": "a", "usd": 5.0}
    ]
    assert slices_of({}) == []


def test_a_silence_and_an_unknown_value_end_a_line() -> None:
    minute = 60_000
    points = [(n * minute, 1.0) for n in range(10)]
    points += [(n * minute, 2.0) for n in range(30, 40)]
    with_hole: list[Any] = [*points, (40 * minute, None), (41 * minute, 3.0)]
    found = runs(with_hole)
    assert [(r.values[0], len(r.values)) for r in found] == [(1.0, 10), (2.0, 10), (3.0, 1)]
    assert runs([]) == []


def test_ticks_are_full_hours_of_the_zone_also_when_summer_ends() -> None:
    begin = datetime(2024, 10, 26, 12, tzinfo=UTC).timestamp() * 1000
    with reading(Reader(ZoneInfo("Europe/Berlin"))):
        _, words = ticks(begin, begin + 24 * HOUR_MS)
    assert words == ["16:00", "20:00", "00:00", "04:00", "08:00", "12:00"]
    with reading(Reader(ZoneInfo("Asia/Kathmandu"))):
        _, words = ticks(begin, begin + 24 * HOUR_MS)
    assert words == ["20:00", "00:00", "04:00", "08:00", "12:00", "16:00"]


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.5, ["12:00", "12:05", "12:10", "12:15", "12:20", "12:25", "12:30"]),
        (168, ["Sun 27", "Mon 28", "Tue 29", "Wed 30", "Thu 31", "Fri 1", "Sat 2"]),
    ],
)
def test_ticks_of_short_and_long_spans(hours: float, words: list[str]) -> None:
    begin = datetime(2024, 10, 26, 12, tzinfo=UTC).timestamp() * 1000
    assert ticks(begin, begin + hours * HOUR_MS)[1] == words


def test_ticks_of_a_month_are_few() -> None:
    begin = datetime(2024, 10, 1, tzinfo=UTC).timestamp() * 1000
    _, words = ticks(begin, begin + 30 * 24 * HOUR_MS)
    assert 4 <= len(words) <= 8


def test_short_history_fills_the_picture() -> None:
    points: list[list[float | None]] = [[NOW_MS - n * 60_000, 1.0 + n] for n in (30, 20, 10, 0)]
    chart = make("exposure", known(series={"gross_exposure": points}), 24)
    assert chart.wanted is not None
    assert chart.wanted["since_ms"] == NOW_MS - 30 * 60_000
    assert "30 min" in chart.wanted["note"]


def test_events_are_grave_alerts_and_halts() -> None:
    status = {
        **STATUS,
        "alerts": [
            {"id": "A1", "level": "red", "since_ms": NOW_MS - 5, "title": "x"},
            {"id": "A2", "level": "yellow", "since_ms": NOW_MS - 5, "title": "x"},
        ],
        "holds": [{"state": "HALTED", "since_ms": NOW_MS - 9, "limit": "x", "scope": "portfolio"}],
    }
    ended = [{"id": "A0", "level": "ok", "worst_level": "orange", "since_ms": NOW_MS - 50}]
    points: list[list[float | None]] = [[NOW_MS - 99, 0.0], [NOW_MS, 0.1]]
    said = known(status=status, alerts=ended, series={"drawdown": points})
    chart = make("drawdown", said, 24)
    assert chart.wanted is not None
    assert [e["label"] for e in chart.wanted["events"]] == ["A1", "A0", "halt"]


def test_bands_begin_where_the_guard_says_else_where_usual() -> None:
    points: list[list[float | None]] = [[NOW_MS - 99, 0.01], [NOW_MS, 0.02]]
    usual = make("drawdown", known(series={"drawdown": points}), 24).wanted
    assert usual is not None
    assert usual["bands"]["edges"] == {
        "yellow": 0.025,
        "orange": pytest.approx(0.0375),
        "red": 0.05,
    }
    status = {**STATUS, "limits": [{**LIMIT, "yellow": 0.2, "orange": 0.4}]}
    said = known(status=status, series={"drawdown": points})
    wanted = make("drawdown", said, 24).wanted
    assert wanted is not None
    assert wanted["bands"]["edges"] == {
        "yellow": pytest.approx(0.01),
        "orange": pytest.approx(0.02),
        "red": 0.05,
    }


def test_exposure_shows_the_basis_of_hedges_and_what_a_day_of_funding_brings() -> None:
    pairs = [
        {"name": name, "basis": 0.0021, "funding_24h_usd": -12.4} for name in ("BTC", "ETH", "SOL")
    ]
    pairs += [{"underlying": "XRP", "basis": None, "funding_24h_usd": None}]
    exposure = {"equity_usd": 1_000, "hedges": pairs[3:] + pairs[:3]}
    caption = make("exposure", known(exposure=exposure), 24).caption
    assert "XRP                   -          -" in caption
    assert "BTC              +0.21%        -12" in caption
    assert "ETH" in caption
    assert "SOL" not in caption


@pytest.mark.parametrize("kind", ["exposure", "sectors", "trend", "drawdown"])
def test_caption_fits_a_phone_and_telegram(kind: str) -> None:
    status = {
        **STATUS,
        "holds": [
            {
                "state": "HALTED",
                "since_ms": NOW_MS,
                "limit": "drawdown",
                "scope": "account:main",
                "reason": "x" * 500,
            }
        ]
        * 5,
    }
    names = [f"a-very-long-name-of-something-{n}" for n in range(40)]
    sums = {n: {"gross_usd": 1e12, "net_usd": -1e12, "gross_exposure": 123.4} for n in names}
    exposure = {
        "equity_usd": 1e12,
        "gross_usd": 4e13,
        "net_usd": -4e13,
        "gross_exposure": 40.0,
        "net_exposure": -40.0,
        "breakdown": {"assets": sums, "sectors": sums},
        "unpriced": names,
        "as_of_ms": NOW_MS,
    }
    points: list[list[float | None]] = [
        [NOW_MS - n * HOUR_MS, 1e12 + n] for n in range(160, -1, -1)
    ]
    measures = ("gross_exposure", "net_exposure", "equity_usd", "drawdown")
    said = known(status=status, exposure=exposure, series=dict.fromkeys(measures, points))
    caption = make(kind, said, 168).caption
    assert len(caption) <= 1024
    for line in caption.split("<pre>")[1].removesuffix("</pre>").splitlines():
        assert width(line) <= WIDTH, line


def test_flat_and_negative_lines_are_drawn() -> None:
    for value in (0.0, -3.0, 5e9):
        points: list[list[float | None]] = [[NOW_MS - n * 60_000, value] for n in range(60, -1, -1)]
        chart = make("trend", known(series={"equity_usd": points}), 1)
        assert chart.wanted is not None
        assert render(chart.wanted).startswith(b"\x89PNG")


def test_figures_of_a_chart() -> None:
    assert figure_of(1.934, "times") == "1.93x"
    assert figure_of(-0.0361, "percent") == "-3.6 %"
    assert figure_of(-0.0001, "percent") == "0.0 %"
    assert figure_of(48_212.4, "usd") == "48.21k"
    assert figure_of(1_250_000, "usd") == "1.25M"
    assert figure_of(2.5e9, "usd") == "2.50B"
    assert figure_of(950.4, "usd") == "950"


def test_chart_of_an_alert() -> None:
    assert kind_of("max_drawdown") == "drawdown"
    assert kind_of("daily_loss") == "trend"
    assert kind_of("sector_exposure") == "sectors"
    assert kind_of("leverage") == "exposure"
