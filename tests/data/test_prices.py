from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from riskbot.data import prices

ETH = "ETH/USDT:USDT"
DAY_MS = 86_400_000
DAY_20_MS = 1_642_636_800_000
"""2022-01-20 00:00 UTC."""


def at(symbol: str, at_ms: int) -> float:
    path = prices.january_2022()
    return path.row(path.index_at(at_ms))[symbol]


def test_btc_minutes_hold_the_fall_of_january() -> None:
    path = prices.btc_minutes()
    assert len(path.times_ms) == 45_031
    assert np.all(np.diff(path.times_ms) > 0)
    fall = path.prices[path.index_at(DAY_20_MS) : path.index_at(DAY_20_MS + 5 * DAY_MS), 0]
    assert 43_300 < fall.max() < 43_700
    assert 32_700 < fall.min() < 33_100


def test_minutes_of_others_end_each_day_on_their_real_close() -> None:
    closes = prices.daily_closes()
    path = prices.january_2022()
    for symbol in path.symbols:
        if symbol == prices.BTC:
            continue
        for day in range(3, 31):
            end_ms = DAY_20_MS + (day - 19) * DAY_MS
            real = closes[symbol][date(2022, 1, day)]
            assert at(symbol, end_ms) == pytest.approx(real, rel=1e-9), (symbol, day)


def test_minutes_of_others_move_with_btc_by_their_beta() -> None:
    path = prices.january_2022()
    rows = slice(path.index_at(DAY_20_MS), path.index_at(DAY_20_MS + DAY_MS))
    btc = np.diff(np.log(path.only([prices.BTC]).prices[rows, 0]))
    eth = np.diff(np.log(path.only([ETH]).prices[rows, 0]))
    beta = prices.betas(prices.JANUARY_2022)[ETH]
    drift = eth - beta * btc
    assert np.abs(drift).max() < 1e-4
    assert np.corrcoef(btc, eth)[0, 1] > 0.999


def test_beta_is_the_slope_of_the_regression_line() -> None:
    closes = prices.daily_closes()
    days = [day for day in sorted(closes[ETH]) if date(2021, 10, 2) <= day <= date(2021, 12, 31)]
    btc = np.diff(np.log([closes[prices.BTC][day] for day in days]))
    eth = np.diff(np.log([closes[ETH][day] for day in days]))
    found = prices.betas(prices.JANUARY_2022)
    assert found[ETH] == pytest.approx(np.polyfit(btc, eth, 1)[0], rel=1e-9)
    assert found[prices.BTC] == pytest.approx(1.0)
    assert "SUI/USDT:USDT" not in found


def test_path_before_its_beginning_is_its_first_row() -> None:
    path = prices.btc_minutes()
    assert path.index_at(0) == 0
    assert path.index_at(float(path.times_ms[-1]) + 1e9) == len(path.times_ms) - 1


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz"])
def test_path_of_ones_own_is_read(tmp_path: Path, name: str) -> None:
    text = (
        "timestamp,symbol,close\n2022-01-01 00:00:00,A/USDT:USDT,1\n"
        "2022-01-01 00:01:00,B/USDT:USDT,5\n1640995320000,A/USDT:USDT,2\n"
    )
    file = tmp_path / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    path = prices.read_path(file)
    assert path.symbols == ("A/USDT:USDT", "B/USDT:USDT")
    assert path.prices.tolist() == [[1, 5], [2, 5]]
    assert path.times_ms.tolist() == [1640995260000, 1640995320000]


@pytest.mark.parametrize(
    "text", ["timestamp,close\n", "time,close\n1,2\n", "timestamp,close\n1,-2\n"]
)
def test_path_of_ones_own_when_unusable_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "p.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"p\.csv"):
        prices.read_path(file)
