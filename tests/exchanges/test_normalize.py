"""From strings to our types: decimals stay exact, signs agree, units fit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.core.model import Instrument, InstrumentKind
from riskbot.errors import VenueError
from riskbot.exchanges import _normalize as normal

D = Decimal
NAN_LIKE = ["NaN", "nan", "Infinity", "-inf", "", None, "abc", True, float("nan"), float("inf")]


def instrument(kind: InstrumentKind = InstrumentKind.LINEAR, value: str = "1") -> Instrument:
    return Instrument("main", "BTC/USDT:USDT", "BTC", "USDT", "USDT", kind, D(value), D("0.1"),
                      D("0.001"))  # fmt: skip


@pytest.mark.parametrize("value", NAN_LIKE)
def test_what_is_no_finite_number_is_none(value: Any) -> None:
    assert normal.number(value) is None
    with pytest.raises(VenueError):
        normal.need({"pos": value}, "x", "pos")


def test_floats_go_through_their_shortest_text() -> None:
    assert normal.number(0.1) == D("0.1")
    assert normal.number("123456789012.12345678") == D("123456789012.12345678")


@pytest.mark.parametrize("value", [None, [], "x", {"a": 1}])
def test_rows_must_be_a_list_of_objects(value: Any) -> None:
    if value == []:
        assert normal.rows(value, "x") == []
        return
    with pytest.raises(VenueError):
        normal.rows(value, "x")


def test_rows_refuse_a_null_among_them() -> None:
    with pytest.raises(VenueError):
        normal.rows([{}, None], "x")


@given(
    st.decimals(min_value=0, max_value=10**9, places=8),
    st.sampled_from(["0.001", "0.1", "1", "10", "0.00001", "0.05"]),
)
def test_floor_never_exceeds_and_is_a_multiple(quantity: Decimal, step: str) -> None:
    floored = normal.floor_to_step(quantity, D(step))
    assert 0 <= quantity - floored < D(step)
    assert floored % D(step) == 0
    assert normal.floor_to_step(-quantity, D(step)) == -floored


@given(st.decimals(min_value=0, max_value=10**12, places=12))
def test_plain_text_is_the_same_number_without_exponent(value: Decimal) -> None:
    text = normal.plain(value)
    assert D(text) == value
    assert "E" not in text.upper()


@pytest.mark.parametrize(
    ("quantity", "side", "is_two_sided", "expected"),
    [
        ("2", "long", True, "2"),
        ("2", "Sell", True, "-2"),
        ("-2", "short", True, "-2"),
        ("-2", "", False, "-2"),
        ("-2", "short", False, "-2"),
        ("0", "", True, "0"),
        ("0", "long", False, "0"),
    ],
)
def test_sign_comes_from_side_and_quantity(
    quantity: str, side: str, is_two_sided: bool, expected: str
) -> None:
    found = normal.signed("x", D(quantity), side, is_two_sided=is_two_sided)
    assert found == D(expected)


@pytest.mark.parametrize(
    ("quantity", "side", "is_two_sided"),
    [("-2", "long", True), ("2", "", True), ("2", "both", True), ("2", "short", False),
     ("-2", "long", False)],
)  # fmt: skip
def test_contradicting_sign_is_not_believed(quantity: str, side: str, is_two_sided: bool) -> None:
    with pytest.raises(VenueError):
        normal.signed("x", D(quantity), side, is_two_sided=is_two_sided)


@pytest.mark.parametrize("factor", ["0.1", "10", "100", "1.05"])
def test_wrong_contract_size_is_named(factor: str) -> None:
    with pytest.raises(VenueError) as caught:
        normal.check_notional(instrument(), D(2), D(2) * 40_000 * D(factor), D(40_000))
    assert "BTC/USDT:USDT" in str(caught.value)
    assert "contract size" in str(caught.value)


def test_notional_within_two_percent_or_unstated_is_fine() -> None:
    normal.check_notional(instrument(), D(-2), D(-80_900), D(40_000))
    normal.check_notional(instrument(), D(2), None, D(40_000))
    normal.check_notional(instrument(), D(2), D(5), None)
    # At entry rather than at mark, as some venues state it.
    normal.check_notional(instrument(), D(2), D(60_000), D(40_000), D(30_000))
    inverse = instrument(InstrumentKind.INVERSE, "100")
    normal.check_notional(inverse, D(40_000), D(1), D(40_000))
    with pytest.raises(VenueError):
        normal.check_notional(inverse, D(400), D(1), D(40_000))


@pytest.mark.parametrize(
    ("base", "asset", "count"),
    [
        ("BTC", "BTC", 1), ("1000PEPE", "PEPE", 1000), ("kPEPE", "PEPE", 1000),
        ("SHIB1000", "SHIB", 1000), ("10000SATS", "SATS", 10_000), ("1INCH", "1INCH", 1),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000), ("KAVA", "KAVA", 1), ("1000000MOG", "MOG", 10**6),
        ("C98", "C98", 1), ("100X", "100X", 1),
    ],
)  # fmt: skip
def test_multiplier_folds_into_the_underlying(base: str, asset: str, count: int) -> None:
    assert normal.underlying_of(base) == (asset, D(count))


def market(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "symbol": "BTC/USD:BTC", "base": "BTC", "quote": "USD", "settle": "BTC", "contract": True,
        "inverse": True, "contractSize": 100.0, "active": True,
        "precision": {"price": 0.1, "amount": 1.0},
        "limits": {"amount": {"min": 1.0, "max": 5000.0}, "cost": {}, "market": {}},
    }  # fmt: skip
    return found | changes


def test_inverse_steps_are_in_quote_units() -> None:
    found = normal.instrument_of("main", market(), 4)
    assert found.kind is InstrumentKind.INVERSE
    assert (found.contract_value, found.step, found.min_quantity) == (D(100), D(100), D(100))
    assert found.max_market_quantity == D(500_000)


def test_contract_without_size_is_refused() -> None:
    with pytest.raises(VenueError):
        normal.instrument_of("main", market(contractSize=None), 4)


def test_decimal_places_become_steps() -> None:
    found = normal.instrument_of(
        "main", market(contract=False, inverse=False, precision={"price": 2, "amount": 5}), 2
    )
    assert (found.tick, found.step) == (D("0.01"), D("0.00001"))
    assert found.kind is InstrumentKind.SPOT
