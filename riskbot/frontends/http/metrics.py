"""What Prometheus scrapes: every metric, declared in one table.

Counted as things are decided; nothing is computed when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, generate_latest

from riskbot.addresses import is_loopback
from riskbot.core import actions
from riskbot.frontends._gateway.refusal import RefusalError
from riskbot.frontends.http.door import Door

TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""The exposition format that every Prometheus reads."""

_ANSWERS = frozenset({"approve", "deny", "resize"})


class Told(NamedTuple):
    """A metric as it is declared.

    Attributes:
        name: without the ending that the format adds (`_total`).
        labels: its dimensions, each of a closed list.
    """

    name: str
    help: str
    labels: tuple[str, ...]


GATEWAY_DECISIONS = Told(
    "riskbot_gateway_decisions",
    "Orders that strategies asked for, by answer and reason; one that fails several checks counts "
    "once for each",
    ("decision", "code"),
)


class Metrics:
    """The route `/metrics`: open on loopback, else a viewer's token is needed.

    Args:
        door: serves it.
        listen: host:port of the door, None = only its unix socket.
    """

    def __init__(self, door: Door, listen: str | None) -> None:
        self._door = door
        self._is_open = listen is None or is_loopback(listen.rpartition(":")[0])
        self._registry = CollectorRegistry()
        self._decisions = Counter(*GATEWAY_DECISIONS, registry=self._registry)
        door.add("GET", "/metrics", self._answer)

    def observe(self, decided: Iterable[actions.Action]) -> None:
        """Count what was decided. Never waits."""
        for action in decided:
            if not isinstance(action, actions.RecordDecision):
                continue
            answer = action.decision.removeprefix("would_")
            if answer in _ANSWERS and "codes" in action.inputs:
                for code in action.inputs["codes"] or [""]:
                    self._decisions.labels(answer, code).inc()

    async def _answer(self, request: web.Request) -> web.Response:
        if not self._is_open and (await self._door.caller(request)).role is None:
            raise RefusalError(HTTPStatus.FORBIDDEN, "a viewer's token is needed")
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": TEXT})
