"""Codes of an authenticator, read before anything else sees them."""

from __future__ import annotations

import pyotp
import pytest

from riskbot import factor
from riskbot.core import events
from riskbot.core.model import Actor, Role

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DP"
NOW_S = 1_700_000_010
STEP = NOW_S // 30


class Clock:
    """Stands still."""

    def now_ms(self) -> int:
        return NOW_S * 1_000


def read(code: object, secret: str | None = SECRET) -> events.CommandReceived:
    event = events.CommandReceived(
        request_id="r",
        name="resume",
        args={"account": "main", "totp": code},
        actor=Actor("a", Role.ADMIN, "t"),
    )
    found = factor.SecondFactor(secret, Clock()).read(event)
    assert isinstance(found, events.CommandReceived)
    assert found.args == {"account": "main"}
    return found


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_code_of_now_or_a_step_away_is_taken_and_its_step_told(off: int) -> None:
    code = pyotp.TOTP(SECRET).at((STEP + off) * 30)
    found = read(f"{code[:3]} {code[3:]}")
    assert (found.factor_step, found.is_factor_wrong) == (STEP + off, False)


@pytest.mark.parametrize("off", [-2, 2])
def test_code_of_two_steps_away_is_wrong(off: int) -> None:
    found = read(pyotp.TOTP(SECRET).at((STEP + off) * 30))
    assert (found.factor_step, found.is_factor_wrong) == (None, True)


@pytest.mark.parametrize("code", ["000000x", "12345", "abcdef", 123])
def test_code_that_is_none_is_wrong(code: object) -> None:
    assert read(code).is_factor_wrong


@pytest.mark.parametrize(("code", "secret"), [("", SECRET), (None, SECRET), ("123456", None)])
def test_no_code_or_no_secret_proves_nothing_and_is_not_wrong(
    code: object, secret: str | None
) -> None:
    found = read(code, secret)
    assert (found.factor_step, found.is_factor_wrong) == (None, False)


def test_code_is_wrong_when_the_secret_is_none() -> None:
    assert read("123456", "no base32!").is_factor_wrong


def test_other_events_pass() -> None:
    event = events.TimerFired()
    assert factor.SecondFactor(SECRET, Clock()).read(event) is event


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (SECRET, ""),
        ("JBSW Y3DP EHPK 3PXP", ""),
        ("no base32!", "base32"),
        ("JBSWY3DP", "16 characters"),
    ],
)
def test_secret_is_checked_without_showing_it(secret: str, words: str) -> None:
    found = factor.fault(secret)
    assert words in found if words else not found
    assert secret not in found
