"""The gateway's client: ask before you trade, from Python.

`Client` waits, `AsyncClient` is awaited; both fail closed: no answer is a `GatewayAwayError`, never
an approval. `guard(exchange)` puts the gateway before a ccxt exchange object. Nothing here knows
the daemon's insides: it speaks the HTTP contract, and another language can do the same.
"""

from riskbot.client.answers import (
    Approval,
    DeniedError,
    GatewayAwayError,
    GatewayError,
    GatewayRefusedError,
)
from riskbot.client.guard import guard
from riskbot.client.http import AsyncClient, Client

__all__ = [
    "Approval",
    "AsyncClient",
    "Client",
    "DeniedError",
    "GatewayAwayError",
    "GatewayError",
    "GatewayRefusedError",
    "guard",
]
