"""What a venue says first of an account, against what the configuration says of it."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.config.rights import judge_listing, judge_rights
from riskbot.core.events import KeyRightsChecked

GOOD: dict[str, Any] = {
    "can_trade": True,
    "can_withdraw": False,
    "can_transfer": False,
    "has_ip_list": True,
}
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("fields", "allow", "faults", "warnings"),
    [
        ({}, False, [], []),
        ({"can_withdraw": True}, False, ["may withdraw: make one"], []),
        ({"can_transfer": True}, False, ["may transfer: make one"], []),
        ({"can_withdraw": True}, True, [], ["may withdraw (allow_withdraw_keys: true)"]),
        ({"can_withdraw": None}, False, [], ["does not say whether the key may withdraw"]),
        ({"can_trade": False}, False, [], ["may not trade: riskbot can watch, not act"]),
        ({"can_trade": None}, False, [], ["does not say whether the key may trade"]),
        ({"has_ip_list": False}, False, [], ["no IP list"]),
        ({"has_ip_list": None}, False, [], []),
        ({"expires_ms": 7 * DAY_MS}, False, [], ["expires in 7 days"]),
        ({"expires_ms": -5}, False, [], ["expires in 0 days"]),
        ({"expires_ms": 90 * DAY_MS}, False, [], []),
    ],
)
def test_rights_when_judged_refuse_and_warn(
    fields: dict[str, Any], allow: bool, faults: list[str], warnings: list[str]
) -> None:
    rights = KeyRightsChecked(account="main", **{**GOOD, **fields})
    found = judge_rights(rights, allow_withdraw_keys=allow, now_ms=0)
    for told, expected in zip(found, (faults, warnings), strict=True):
        assert len(told) == len(expected)
        for sentence, part in zip(told, expected, strict=True):
            assert sentence.startswith("accounts.main.api_key: ")
            assert part in sentence


def test_listing_when_judged_names_the_key_of_each_instrument_that_does_not_exist() -> None:
    named = [
        ("accounts.main.instruments", "BTC/USDT:USDT"),
        ("accounts.main.instruments", "NOPE/USDT:USDT"),
        ("portfolio.hedges.BTC.instrument", "NOPE/USDT:USDT"),
    ]
    assert judge_listing("main", named, {"BTC/USDT:USDT"}) == [
        "accounts.main.instruments: NOPE/USDT:USDT is not listed at main",
        "portfolio.hedges.BTC.instrument: NOPE/USDT:USDT is not listed at main",
    ]
