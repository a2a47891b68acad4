"""How the path's time maps to riskbot's clock, and what a configuration is told beforehand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from riskbot.config import load
from riskbot.errors import ConfigError
from riskbot.exchanges.paper.market import ROWS_AT_ONCE, Market, build
from riskbot.exchanges.paper.settings import PaperSettings
from tests.exchanges.paper.desk import BTC, BTC_SPOT, ETH

START = 1_642_690_800_000


def market(**fields: object) -> Market:
    made, _ = build("main", PaperSettings(prices="demo", start=START, **fields), ())
    made.begin(1_000)
    return made


def test_path_is_played_at_its_speed() -> None:
    made = market(speed=60, symbols=[BTC])
    assert not made.take(1_999)
    assert len(made.take(2_000)) == 1
    assert len(made.take(12_000)) == 10
    assert made.next_ms(12_000) == 13_001


def test_path_when_it_follows_the_clock_is_not_shifted() -> None:
    made, _ = build("main", PaperSettings(follow_clock=True, symbols=[BTC]), ())
    first = made.begin(START)
    assert first[BTC] == Decimal(43_032)
    assert len(made.take(START + 60_000)) == 1


def test_long_pause_skips_what_nobody_saw() -> None:
    made = market(speed=60, symbols=[BTC])
    rows = made.take(1_000 + 1_000 * (ROWS_AT_ONCE + 50))
    assert len(rows) == ROWS_AT_ONCE + 1


def test_path_when_over_stands_still() -> None:
    made = market(speed=1e6, symbols=[BTC])
    assert made.next_ms(10**9) is None
    assert made.take(10**9)
    assert not made.take(2 * 10**9)


def test_markets_say_what_is_listed() -> None:
    _, listings = build("main", PaperSettings(), ("linear",))
    assert all(row.symbol.endswith("/USDT:USDT") for row in listings)
    _, listings = build("main", PaperSettings(), ())
    assert {BTC, BTC_SPOT, "BTC/USD:BTC"} <= {row.symbol for row in listings}
    _, listings = build("main", PaperSettings(prices={ETH: Decimal(2_500)}), ())
    assert [row.symbol for row in listings] == [ETH]


def test_terms_follow_the_mapping() -> None:
    settings = PaperSettings(
        prices={BTC: Decimal(40_000)}, leverage=3, taker_fee=Decimal(0), depth_usd=Decimal(1)
    )
    _, (row,) = build("main", settings, ())
    assert (row.leverage, row.taker_fee, row.depth.level_usd) == (3, 0, 1)
    assert row.maker_fee > 0
    assert row.tick == Decimal("0.1")


@pytest.mark.parametrize(
    ("mapping", "fault"),
    [("{speed: 0}", "accounts.main.ccxt.speed"), ("{prices: nowhere.csv}", "nowhere.csv")],
)
def test_configuration_is_refused_before_the_start(
    tmp_path: Path, mapping: str, fault: str
) -> None:
    file = tmp_path / "riskbot.yaml"
    file.write_text(
        f"state_dir: state\naccounts: {{main: {{exchange: paper, ccxt: {mapping}}}}}\n"
        "portfolio: {preset: leveraged}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert fault in str(caught.value)
