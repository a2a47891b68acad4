"""Binance USD-M rate limits: request weight per IP, orders per account, 429 and then 418.

Counts only; which request weighs what stands in `binance_routes.py`.
"""

from __future__ import annotations

from collections import defaultdict

from tests.servers.base import Reply, Request
from tests.servers.binance_errors import MESSAGES
from tests.servers.binance_routes import Route

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000


class Weights:
    """The venue's counters.

    Attributes:
        limit: request weight per minute; orders_10s, orders_1m: new orders per key.
        ban_after: how many requests after a 429, in the same minute, bring a ban.
        ban_ms: how long the first ban lasts.
        used: weight used in the current minute.
        refused: how many requests were answered 429 or 418.
    """

    def __init__(self) -> None:
        self.limit = 2400
        self.orders_10s = 300
        self.orders_1m = 1200
        self.ban_after = 20
        self.ban_ms = 120_000
        self.used = 0
        self.refused = 0
        self._minute = 0
        self._over = 0
        self._banned_until_ms = 0
        self._orders: dict[tuple[str, int, int], int] = defaultdict(int)

    def count(
        self, request: Request, route: Route, now_ms: int
    ) -> tuple[dict[str, str], Reply | None]:
        """Count a request; return the headers of its reply, and a refusal when it is too many."""
        if now_ms < self._banned_until_ms:
            return {}, self._ban(now_ms)
        if now_ms // MINUTE_MS != self._minute:
            self._minute, self.used, self._over = now_ms // MINUTE_MS, 0, 0
        self.used += route.weigh(request.params)
        headers = {"X-MBX-USED-WEIGHT-1M": str(self.used)}
        if self.used > self.limit:
            self._over += 1
            if self._over > self.ban_after:
                self._banned_until_ms = now_ms + self.ban_ms
                return headers, self._ban(now_ms)
            wait = (MINUTE_MS - now_ms % MINUTE_MS) // 1000 + 1
            return headers, self._too_many(MESSAGES[-1003], -1003, wait)
        if request.is_order:
            return self._count_order(request, headers, now_ms)
        return headers, None

    def _count_order(
        self, request: Request, headers: dict[str, str], now_ms: int
    ) -> tuple[dict[str, str], Reply | None]:
        limits = (("10S", TEN_SECONDS_MS, self.orders_10s), ("1M", MINUTE_MS, self.orders_1m))
        refusal = None
        for name, span, limit in limits:
            key = (request.api_key, span, now_ms // span)
            self._orders[key] += 1
            headers[f"X-MBX-ORDER-COUNT-{name}"] = str(self._orders[key])
            if self._orders[key] > limit:
                refusal = self._too_many(MESSAGES[-1015], -1015, span // 1000)
        return headers, refusal

    def _too_many(self, words: str, code: int, wait_s: int) -> Reply:
        self.refused += 1
        return Reply({"code": code, "msg": words}, 429, {"Retry-After": str(wait_s)})

    def _ban(self, now_ms: int) -> Reply:
        self.refused += 1
        words = f"Way too many requests; IP banned until {self._banned_until_ms}."
        wait = (self._banned_until_ms - now_ms) // 1000 + 1
        return Reply({"code": -1003, "msg": words}, 418, {"Retry-After": str(wait)})
