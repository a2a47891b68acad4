"""Every record comes back as it went in, and what cannot be read says why."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from riskbot import codec
from riskbot.codec import Codec, Record
from riskbot.core import actions, duty, events, model
from riskbot.errors import CodecError

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
st.register_type_strategy(Decimal, st.decimals(allow_nan=False, allow_infinity=False))
st.register_type_strategy(float, st.floats(allow_nan=False))

OBJECTS = {"args", "inputs", "plan", "document"}
LIMIT_TABLE = st.lists(
    st.tuples(
        st.text(max_size=5), st.text(max_size=5), st.dictionaries(st.text(max_size=5), JSON_VALUES)
    ),
    max_size=2,
).map(tuple)


def strategy(cls: type[Record]) -> st.SearchStrategy[Record]:
    untyped: dict[str, st.SearchStrategy[Any]] = {
        field.name: st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3)
        for field in dataclasses.fields(cls)
        if field.name in OBJECTS and "Any" in str(field.type)
    }
    if cls in {actions.ApplyConfig, events.ConfigRead}:
        untyped["limits"] = LIMIT_TABLE
    return st.builds(cls, **untyped)


st.register_type_strategy(
    duty.PendingPlan,
    st.builds(
        duty.PendingPlan,
        args=st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3),
        plan=st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3),
    ),
)


@pytest.mark.parametrize("kind", sorted(codec.RECORDS))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_record_comes_back_as_it_went_in(kind: str, data: st.DataObject) -> None:
    record = data.draw(strategy(codec.RECORDS[kind]))
    written = codec.encode(record)
    json.loads(written.body)
    assert codec.decode(*written) == record


def test_records_of_both_unions_are_known_by_their_kind() -> None:
    for kind, cls in codec.RECORDS.items():
        assert {f.name: f.default for f in dataclasses.fields(cls)}["kind"] == kind
    assert {"OrderFilled", "PlaceOrder", "RecordDecision"} <= set(codec.RECORDS)


def price(**values: Any) -> events.PricesUpdated:
    return events.PricesUpdated(account="main", symbol="BTC/USDT:USDT", **values)


def test_infinity_is_not_mistaken_for_unknown() -> None:
    written = codec.encode(price(mark=float("inf"), index=None))
    assert codec.decode(*written) == price(mark=float("inf"), index=None)


def test_decimal_keeps_its_digits() -> None:
    order = actions.PlaceOrder(
        account="main",
        symbol="BTC/USDT:USDT",
        client_order_id="rb1",
        side=model.Side.SELL,
        quantity=Decimal("0.10000000000000000000000001"),
    )
    read = codec.decode(*codec.encode(order))
    assert isinstance(read, actions.PlaceOrder)
    assert str(read.quantity) == "0.10000000000000000000000001"


def test_decimal_that_is_no_number_is_refused_when_written() -> None:
    balance = events.BalancesUpdated(
        account="main", balances=(model.Balance("USDT", Decimal("NaN")),)
    )
    with pytest.raises(CodecError, match="BalancesUpdated"):
        codec.encode(balance)


def command(args: dict[str, Any]) -> events.CommandReceived:
    actor = model.Actor("ctl", model.Role.ADMIN, "ctl")
    return events.CommandReceived(request_id="1", name="halt", args=args, actor=actor)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ({1}, [1]),
        (object, str(object)),
        (float("nan"), "NaN"),
        (Decimal("1.50"), "1.50"),
        (10**30, 10**30),
    ],
)
def test_untyped_value_that_json_cannot_hold_is_kept_as_text(value: Any, kept: Any) -> None:
    read = codec.decode(*codec.encode(command({"x": value, "\udfff": "lone \ud800"})))
    assert isinstance(read, events.CommandReceived)
    assert read.args["x"] == kept


def test_unknown_kind_is_named() -> None:
    with pytest.raises(CodecError, match="unknown record kind 'MoonLanded'"):
        codec.decode("MoonLanded", 1, "{}")


def test_newer_version_is_named() -> None:
    with pytest.raises(CodecError, match="PricesUpdated has version 2, this riskbot reads up to 1"):
        codec.decode("PricesUpdated", 2, "{}")


@pytest.mark.parametrize(
    ("body", "match"),
    [("null", "null"), ("{", "cannot be read"), ('{"account":"a"}', "symbol"), ("[]", "cannot")],
)
def test_body_that_does_not_fit_is_named(body: str, match: str) -> None:
    with pytest.raises(CodecError, match=match):
        codec.decode("PricesUpdated", 1, body)


def test_field_added_later_takes_its_default_and_an_unknown_one_is_dropped() -> None:
    read = codec.decode("TimerFired", 1, '{"color":"blue"}')
    assert read == events.TimerFired()


def test_older_version_is_lifted_step_by_step() -> None:
    def rename(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "symbol": data["instrument"]}

    def default(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "mark": 7.0}

    later = Codec(
        {"PricesUpdated": 3}, {("PricesUpdated", 1): rename, ("PricesUpdated", 2): default}
    )
    body = '{"account":"main","instrument":"BTC/USDT:USDT"}'
    assert later.decode("PricesUpdated", 1, body) == price(mark=7.0)
    assert later.encode(price()).version == 3


def test_older_version_without_upcaster_is_named() -> None:
    later = Codec({"PricesUpdated": 2}, {})
    with pytest.raises(CodecError, match="version 1 cannot be lifted"):
        later.decode("PricesUpdated", 1, "{}")
