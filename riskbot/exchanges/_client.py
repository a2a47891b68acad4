"""One account's REST client: ccxt built safely, every request counted, every failure classified.

What a reply means is decided in `unified` and the venue files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from riskbot.clock import Clock, Pace
from riskbot.core.model import RejectReason
from riskbot.errors import ConfigError, VenueError
from riskbot.exchanges import _errors, _lazy
from riskbot.exchanges._base import Credentials, Load
from riskbot.exchanges._budget import Budget, Lane, shared_budget
from riskbot.exchanges._endpoints import Endpoints, Limits, lane_of
from riskbot.exchanges._retired import Retired
from riskbot.exchanges._tap import tapped

_log = logging.getLogger(__name__)

ABSENT_MS = 600_000
REBUILD_MS = (10_000, 300_000)
"""Least time between two rebuilds: first, and while they keep being needed."""

LONGEST_WAIT_MS = {Lane.SPARE: 0, Lane.ROUTINE: 5_000, Lane.READ: 2_500, Lane.ORDER: 1_500}
"""How long a request may wait for its turn; what cancels or closes is sent then all the same."""

_HTTP_NOT_FOUND = frozenset({404, 405, 410, 501})

_DEFAULTS: dict[str, Any] = {
    # Quick enough to be read as "unknown" while a price moves; pings find dead sockets in 10 s.
    "timeout": 5000,
    "streaming": {"keepAlive": 5000},
    "newUpdates": True,
    # Optional data behind endpoints not every server, key or sandbox has.
    "has": {"fetchCurrencies": False},
    "options": {
        "fetchCurrencies": False,
        "adjustForTimeDifference": False,
        "warnOnFetchOpenOrdersWithoutSymbol": False,
        "fetchOpenOrders": {"warnWithoutSymbol": False},
        "watchPositions": {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False},
        "watchBalance": {"fetchBalanceSnapshot": False, "awaitBalanceSnapshot": False},
    },
}
# The throttle would hold a protective order behind routine reads; verbose prints secrets.
_FORCED: dict[str, Any] = {"enableRateLimit": False, "verbose": False}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return both mappings joined to any depth; `over` wins."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        is_deep = isinstance(known, Mapping) and isinstance(value, Mapping)
        result[key] = merged(known, value) if is_deep else value  # type: ignore[arg-type]
    return result


class VenueClient:
    """ccxt.pro of one account, without its throttle and its retries.

    Attributes:
        account: as in the configuration.
        api: the ccxt.pro instance for REST.
        rules: the venue's error codes.
        budget: shared with all accounts behind the same host and way out.
        endpoints: limits the venue counts for each endpoint of this account.
        retired: objects that were replaced, until they are closed.
        built: how many ccxt objects were built so far, for REST and streams.
        faults: what a call into ccxt may raise.
    """

    def __init__(
        self,
        account: str,
        venue_id: str,
        credentials: Credentials,
        ccxt_config: Mapping[str, Any],
        defaults: Mapping[str, Any],
        rules: _errors.ErrorRules,
        clock: Clock,
        capacity: tuple[float, int],
        limits: Limits,
    ) -> None:
        try:
            self._class = tapped(_lazy.load_class(venue_id))
        except ModuleNotFoundError as error:
            raise ConfigError([f"accounts.{account}.exchange: {error}"]) from None
        logging.getLogger("ccxt").setLevel(logging.WARNING)
        self.account = account
        self.venue_id = venue_id
        self.rules = rules
        self.clock = clock
        self.faults: tuple[type[Exception], ...] = (
            VenueError,
            _lazy.error_base(),
            aiohttp.ClientError,
            OSError,
            asyncio.TimeoutError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
        )
        config = merged(merged(_DEFAULTS, defaults), ccxt_config)
        self._config = merged(merged(config, credentials.ccxt_config()), _FORCED)
        self._absent_until_ms: dict[str, int] = {}
        self.retired = Retired(account, clock, self.faults)
        self.built = 0
        self._rebuilds = Pace(*REBUILD_MS)
        self.api = self.new_api(None)
        self._check_options()
        self.budget = shared_budget(self._budget_key(), *capacity)
        self.endpoints = Endpoints(limits)

    def new_api(self, tap: Any) -> Any:
        """Return another ccxt.pro instance of this account that shares the loaded markets."""
        try:
            api = self._class(self._config)
        except (TypeError, ValueError, AttributeError, _lazy.error_base()) as error:
            raise ConfigError([f"accounts.{self.account}.ccxt: {error}"]) from error
        api.tap, api.ear = tap, self
        self.built += 1
        known = getattr(self, "api", None)
        if known is not None and known.markets:
            api.set_markets_from_exchange(known)
            for name in ("timeDifference", "fetchMarkets"):
                if name in known.options:
                    api.options[name] = known.options[name]
        return api

    def rebuild(self, reason: str) -> bool:
        """Put a new ccxt object in place of one that may be wedged; False when it is too soon.

        Markets and clock offset go along. Requests under way end on the old one.
        """
        if not self._rebuilds.take(self.clock.now_ms()):
            return False
        _log.warning("%s: a new ccxt object takes over: %s", self.account, reason)
        old, self.api = self.api, self.new_api(None)
        self.retired.retire(old)
        return True

    def _check_options(self) -> None:
        # A retry inside ccxt would send a second order for one intent.
        options = self.api.options
        retrying = [
            name
            for name, value in [("", options), *options.items()]
            if isinstance(value, Mapping) and value.get("maxRetriesOnFailure")
        ]
        if retrying or self.api.enableRateLimit:
            raise ConfigError(
                [
                    f"accounts.{self.account}.ccxt.options: maxRetriesOnFailure must be 0, "
                    "ccxt would send an order again whose reply was lost"
                ]
            )

    def _budget_key(self) -> str:
        api = self.api
        way_out = "|".join(
            str(getattr(api, name, None) or "")
            for name in ("httpProxy", "httpsProxy", "socksProxy", "proxyUrl", "aiohttp_proxy")
        )
        hosts = ",".join(sorted(_hosts(api.urls.get("api"), api)))
        return f"{type(api).__name__}|{hosts}|{way_out}"

    # ------------------------------------------------------------ calls

    async def call(
        self,
        method: str,
        *arguments: Any,
        cost: float = 1,
        is_urgent: bool = False,
        lane: Lane | None = None,
        **keywords: Any,
    ) -> Any:
        """Call a method of ccxt once.

        Args:
            method: unified or implicit, e.g. `fetch_balance`.
            arguments: positional ones for it.
            cost: weight in the budget.
            is_urgent: a read that serves a close, or what cancels or closes itself.
            lane: None = what follows from that.
            keywords: further ones for it.

        Raises:
            VenueError: refused or no answer; with RATE_LIMITED perhaps nothing was sent.
        """
        await self._take_turn(method, cost, lane or lane_of(method, is_urgent=is_urgent))
        api = self.api
        try:
            with self.retired.using(api):
                return await getattr(api, method)(*arguments, **keywords)
        except self.faults as error:
            failure = _errors.classify(error, self.rules, self.clock.now_ms())
            self._heed(failure, method)
            raise failure from error

    async def _take_turn(self, method: str, cost: float, lane: Lane) -> None:
        # Where windows last seconds, a request waits for its turn instead of failing.
        endpoint = self.endpoints.of(method)
        deadline_ms = self.clock.now_ms() + LONGEST_WAIT_MS[lane]
        while True:
            now_ms = self.clock.now_ms()
            endpoint.check_ban(now_ms)
            self.budget.check_ban(now_ms)
            wait_ms = endpoint.pace_ms(now_ms, lane)
            if not wait_ms or (lane is Lane.ORDER and now_ms + wait_ms > deadline_ms):
                try:
                    self.budget.spend(cost, now_ms, lane)
                    endpoint.spend(1, now_ms, Lane.ORDER)
                    return
                except VenueError as error:
                    wait_ms = error.retry_after_ms or 0
                    if now_ms + wait_ms > deadline_ms:
                        raise
            await self.clock.sleep(min(wait_ms, max(1, deadline_ms - now_ms)) / 1000)

    async def optional(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Call what a venue may not offer; None when it failed, whatever the reason.

        An endpoint that does not exist is not asked again for ten minutes.
        """
        now_ms = self.clock.now_ms()
        if now_ms < self._absent_until_ms.get(method, 0) or not hasattr(self.api, method):
            return None
        try:
            return await self.call(method, *arguments, **keywords)
        except VenueError as error:
            if is_absent(error) or error.reason is RejectReason.AUTHENTICATION:
                self._absent_until_ms[method] = now_ms + ABSENT_MS
            return None

    def _heed(self, failure: VenueError, method: str) -> None:
        # Some limits are of one endpoint: the others, cancels and closes among them, go on.
        if failure.reason is RejectReason.RATE_LIMITED:
            wait_ms = 1000 if failure.retry_after_ms is None else failure.retry_after_ms
            failure.retry_after_ms = wait_ms
            is_narrow = failure.code in self.rules.endpoint_limits
            budget = self.endpoints.of(method) if is_narrow else self.budget
            told = f"{failure.http_status or ''} {failure.code or ''}".strip()
            what = f"{method}: " if is_narrow else ""
            budget.ban(wait_ms, self.clock.now_ms(), f"{what}{told}")

    def load(self) -> Load:
        """Return how far the address's budget is used up, and what the venue asked to wait for."""
        now_ms = self.clock.now_ms()
        whole = self.budget.load(now_ms)
        waiting = self.endpoints.banned(now_ms)
        if whole.until_ms is not None or waiting is None:
            return whole
        narrow = waiting.load(now_ms)
        return Load(whole.used_ratio, narrow.until_ms, narrow.detail)

    def now_ms(self) -> int:
        """Return UTC ms, for signatures."""
        return self.clock.now_ms()

    def replied(self, status: int, headers: Mapping[str, str], url: str) -> None:
        """Keep the venue's own count of our requests."""
        del status
        now_ms = self.clock.now_ms()
        used = used_weight(headers)
        if used is not None:
            self.budget.observe_used(used, now_ms)
        limit, left = _stated(headers, "x-bapi-limit"), _stated(headers, "x-bapi-limit-status")
        if limit and left is not None:
            for budget in self.endpoints.at(urlsplit(url).path):
                _observe(budget, limit, left, now_ms)

    async def close(self) -> None:
        """Close sockets and sessions, those of replaced objects too."""
        await self.retired.close_now(self.api)
        await self.retired.wait()


def is_absent(error: VenueError) -> bool:
    """Whether a server says it has no such endpoint."""
    return error.http_status in _HTTP_NOT_FOUND


def is_refused(error: VenueError) -> bool:
    """Whether a server will not answer this question, whoever asks: some have a part of the API."""
    return error.reason is RejectReason.OTHER and not error.is_ambiguous


def used_weight(headers: Mapping[str, str]) -> float | None:
    """Return the weight used in the last minute where reply headers state it."""
    name = next((name for name in headers if "used-weight-1m" in name.lower()), "")
    return _stated(headers, name.lower()) if name else None


def _stated(headers: Mapping[str, str], wanted: str) -> float | None:
    # The number of a header by its name in lower case.
    value = next((value for name, value in headers.items() if name.lower() == wanted), None)
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _observe(budget: Budget, limit: float, left: float, now_ms: int) -> None:
    # An account may have been granted more, or others may use it up with us.
    budget.capacity = limit
    budget.observe_used(max(0.0, limit - left), now_ms)


async def together(*reads: Coroutine[Any, Any, Any]) -> list[Any]:
    """Await reads side by side; all end before the first failure is raised."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return list(results)


def _hosts(urls: Any, api: Any) -> set[str]:
    # All REST hosts in what may be nested tables of addresses.
    if isinstance(urls, str):
        return {urlsplit(api.implode_hostname(urls)).netloc} if urls.startswith("http") else set()
    if isinstance(urls, Mapping):
        return {host for part in urls.values() for host in _hosts(part, api)}
    return set()
