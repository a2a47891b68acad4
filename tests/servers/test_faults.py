"""Planted faults strike what they match, as often as they say."""

from __future__ import annotations

import pytest

from tests.servers.faults import Faults


def test_fault_is_used_up_after_its_times() -> None:
    faults = Faults()
    fault = faults.add("reply_lost", times=2)
    assert [faults.take("reply_lost") is fault for _ in range(3)] == [True, True, False]
    assert (fault.hits, faults.struck["reply_lost"]) == (2, 2)


def test_fault_without_times_stays_until_removed() -> None:
    faults = Faults()
    fault = faults.add("user_silent", times=None)
    assert all(faults.take("user_silent") for _ in range(5))
    faults.remove(fault)
    faults.remove(fault)
    assert faults.take("user_silent") is None


@pytest.mark.parametrize(
    ("match", "strikes"),
    [
        ({}, True),
        ({"method": "POST"}, True),
        ({"method": "GET"}, False),
        ({"path": "/order"}, True),
        ({"path": "/algoOrder"}, False),
        ({"method": "POST", "symbol": "ETHUSDT"}, False),
        ({"nothing_of_the_kind": 1}, False),
    ],
)
def test_all_matched_fields_must_agree(match: dict[str, object], strikes: bool) -> None:
    faults = Faults()
    faults.add("reply_lost", match=match)
    traffic = {"method": "POST", "path": "/fapi/v1/order", "symbol": "BTCUSDT"}
    assert (faults.peek("reply_lost", **traffic) is not None) == strikes
    assert (faults.take("reply_lost", **traffic) is not None) == strikes


def test_clear_takes_back_one_kind_or_all() -> None:
    faults = Faults()
    for kind in ("banned", "maintenance", "banned"):
        faults.add(kind)
    faults.clear("banned")
    assert [fault.kind for fault in faults.active] == ["maintenance"]
    faults.clear()
    assert faults.active == []


def test_unknown_kind_is_a_mistake_in_the_test() -> None:
    with pytest.raises(ValueError, match="reply_lsot"):
        Faults().add("reply_lsot")
