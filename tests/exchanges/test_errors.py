"""What a venue's words mean: its own code first, HTTP second, ccxt's class last."""

from __future__ import annotations

from typing import Any

import aiohttp
import ccxt
import pytest

from riskbot.core.model import RejectReason
from riskbot.exchanges._errors import ErrorRules, classify
from riskbot.exchanges.binance_errors import RULES as BINANCE
from riskbot.exchanges.bybit_errors import RULES as BYBIT
from riskbot.exchanges.okx_errors import RULES as OKX

NOW = 1_700_000_000_000


def failed(
    kind: type[Exception],
    text: str,
    status: int | None = None,
    headers: dict[str, str] | None = None,
) -> Exception:
    error: Any = kind(text)
    if status is not None:
        error.http_status, error.http_headers, error.http_body = status, headers or {}, ""
    return error  # type: ignore[no-any-return]


def binance(code: int, message: str = "") -> str:
    return f'binanceusdm {{"code":{code},"msg":"{message}"}}'


def bybit(code: int, message: str = "") -> str:
    return f'bybit {{"retCode":{code},"retMsg":"{message}","result":{{}}}}'


def okx(code: str, message: str = "") -> str:
    row = f'{{"ordId":"","sCode":"{code}","sMsg":"{message}"}}'
    return f'okx {{"code":"1","data":[{row}],"msg":"All operations failed"}}'


@pytest.mark.parametrize("kind", [ccxt.RequestTimeout, ccxt.BadResponse, ccxt.ExchangeError,
                                  ccxt.InvalidOrder, ccxt.OperationFailed])  # fmt: skip
@pytest.mark.parametrize("code", [-1006, -1007, -1000, -1001])
def test_unknown_execution_is_ambiguous_whatever_class_ccxt_picks(
    kind: type[Exception], code: int
) -> None:
    found = classify(failed(kind, binance(code), 400), BINANCE, NOW)
    assert found.is_ambiguous


@pytest.mark.parametrize(
    ("rules", "text", "reason"),
    [
        (BINANCE, binance(-2022, "ReduceOnly Order is rejected."), RejectReason.REDUCE_ONLY),
        (BINANCE, binance(-4118), RejectReason.REDUCE_ONLY),
        (BINANCE, binance(-4164), RejectReason.MIN_NOTIONAL),
        (BINANCE, binance(-2019), RejectReason.INSUFFICIENT_MARGIN),
        (BINANCE, binance(-4131), RejectReason.PRICE_BAND),
        (BINANCE, binance(-1111), RejectReason.PRECISION),
        (BINANCE, binance(-4061), RejectReason.POSITION_MODE),
        (BINANCE, binance(-1021), RejectReason.CLOCK),
        (BINANCE, binance(-2015), RejectReason.AUTHENTICATION),
        (BINANCE, binance(-2013), RejectReason.NOT_FOUND),
        (BINANCE, binance(-4116), RejectReason.DUPLICATE_ID),
        (BINANCE, binance(-1121), RejectReason.UNKNOWN_INSTRUMENT),
        (BINANCE, binance(-1013, "Filter failure: NOTIONAL"), RejectReason.MIN_NOTIONAL),
        (BINANCE, binance(-1013, "Filter failure: LOT_SIZE"), RejectReason.PRECISION),
        (BINANCE, binance(-2010, "Account has insufficient balance for requested action."),
         RejectReason.INSUFFICIENT_MARGIN),
        (BYBIT, bybit(110017), RejectReason.REDUCE_ONLY),
        (BYBIT, bybit(110094), RejectReason.MIN_NOTIONAL),
        (BYBIT, bybit(110007), RejectReason.INSUFFICIENT_MARGIN),
        (BYBIT, bybit(110072), RejectReason.DUPLICATE_ID),
        (BYBIT, bybit(110001), RejectReason.NOT_FOUND),
        (BYBIT, bybit(10001, "position idx not match position mode"), RejectReason.POSITION_MODE),
        (BYBIT, bybit(10001, "Qty invalid"), RejectReason.PRECISION),
        (BYBIT, bybit(10002), RejectReason.CLOCK),
        (BYBIT, bybit(10006), RejectReason.RATE_LIMITED),
        (BYBIT, bybit(110066), RejectReason.MAINTENANCE),
        (OKX, okx("51169"), RejectReason.REDUCE_ONLY),
        (OKX, okx("51020"), RejectReason.MIN_NOTIONAL),
        (OKX, okx("51008"), RejectReason.INSUFFICIENT_MARGIN),
        (OKX, okx("51016"), RejectReason.DUPLICATE_ID),
        (OKX, okx("51400"), RejectReason.NOT_FOUND),
        (OKX, okx("51603"), RejectReason.NOT_FOUND),
        (OKX, 'okx {"code":"50011","data":[],"msg":"Too Many Requests"}',
         RejectReason.RATE_LIMITED),
        (OKX, 'okx {"code":"50102","data":[],"msg":"Timestamp request expired"}',
         RejectReason.CLOCK),
    ],
)  # fmt: skip
def test_refusal_is_read_from_the_code_and_certain(
    rules: ErrorRules, text: str, reason: RejectReason
) -> None:
    # The class is the one that says least, as ccxt picks it behind a foreign address.
    found = classify(failed(ccxt.ExchangeError, text, 200), rules, NOW)
    assert (found.reason, found.is_ambiguous) == (reason, False)


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (BYBIT, bybit(10000, "Server Timeout")),
        (BYBIT, bybit(170007)),
        (BYBIT, bybit(987654, "nobody knows")),
        (OKX, 'okx {"code":"50004","data":[],"msg":"Endpoint request timeout"}'),
        (OKX, okx("51149")),
        (OKX, okx("99999")),
        (ErrorRules(), "venue said something"),
    ],
)
def test_code_that_leaves_it_open_is_ambiguous(rules: ErrorRules, text: str) -> None:
    assert classify(failed(ccxt.ExchangeError, text, 200), rules, NOW).is_ambiguous


@pytest.mark.parametrize(
    ("status", "reason", "is_ambiguous"),
    [
        (429, RejectReason.RATE_LIMITED, False),
        (418, RejectReason.RATE_LIMITED, False),
        (401, RejectReason.AUTHENTICATION, False),
        (400, RejectReason.OTHER, False),
        (404, RejectReason.OTHER, False),
        (500, RejectReason.UNREACHABLE, True),
        (502, RejectReason.UNREACHABLE, True),
        (504, RejectReason.UNREACHABLE, True),
    ],
)
def test_status_decides_where_no_code_does(
    status: int, reason: RejectReason, is_ambiguous: bool
) -> None:
    found = classify(failed(ccxt.ExchangeError, "<html>", status), BINANCE, NOW)
    assert (found.reason, found.is_ambiguous, found.http_status) == (reason, is_ambiguous, status)


def test_forbidden_is_a_rate_limit_where_the_venue_says_so() -> None:
    error = failed(ccxt.PermissionDenied, "access too frequent", 403)
    assert classify(error, BYBIT, NOW).reason is RejectReason.RATE_LIMITED
    assert classify(error, BINANCE, NOW).reason is RejectReason.AUTHENTICATION


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (failed(ccxt.OrderNotFound, "gone"), RejectReason.NOT_FOUND),
        (failed(ccxt.InsufficientFunds, "no"), RejectReason.INSUFFICIENT_MARGIN),
        (failed(ccxt.DuplicateOrderId, "no"), RejectReason.DUPLICATE_ID),
        (failed(ccxt.OrderImmediatelyFillable, "no"), RejectReason.OTHER),
        (failed(ccxt.OnMaintenance, "no"), RejectReason.MAINTENANCE),
    ],
)
def test_class_decides_last(error: Exception, reason: RejectReason) -> None:
    found = classify(error, ErrorRules(), NOW)
    assert (found.reason, found.is_ambiguous) == (reason, False)


@pytest.mark.parametrize("kind", [ccxt.RequestTimeout, ccxt.NetworkError, ccxt.BadResponse,
                                  ccxt.ExchangeNotAvailable, ccxt.NullResponse,
                                  ConnectionResetError, TimeoutError, ValueError])  # fmt: skip
def test_silence_is_ambiguous(kind: type[Exception]) -> None:
    assert classify(kind("nothing came back"), BINANCE, NOW).is_ambiguous


def test_connection_that_never_opened_is_certain() -> None:
    error = ccxt.ExchangeNotAvailable("binanceusdm POST")
    error.__cause__ = ConnectionRefusedError(111, "refused")
    found = classify(error, BINANCE, NOW)
    assert (found.reason, found.is_ambiguous) == (RejectReason.UNREACHABLE, False)
    late = ccxt.ExchangeNotAvailable("binanceusdm POST")
    late.__cause__ = aiohttp.ServerDisconnectedError()
    assert classify(late, BINANCE, NOW).is_ambiguous


def test_stated_waits_are_read() -> None:
    headers = {"Retry-After": "7"}
    error = failed(ccxt.DDoSProtection, binance(-1003), 429, headers)
    assert classify(error, BINANCE, NOW).retry_after_ms == 7000
    until = failed(ccxt.DDoSProtection, f"IP banned until {NOW + 90_000}. Please", 418)
    assert classify(until, BINANCE, NOW).retry_after_ms == 90_000
    reset = {"X-Bapi-Limit-Reset-Timestamp": str(NOW + 800)}
    limited = failed(ccxt.RateLimitExceeded, bybit(10006), 200, reset)
    assert classify(limited, BYBIT, NOW).retry_after_ms == 800


def test_urls_lose_their_query() -> None:
    text = "binanceusdm GET https://x.com/fapi/v1/order?symbol=A&signature=abcdef 502 Bad Gateway"
    found = str(classify(failed(ccxt.ExchangeNotAvailable, text, 502), BINANCE, NOW))
    assert "signature" not in found
    assert "https://x.com/fapi/v1/order" in found
