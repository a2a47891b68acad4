"""Exchange adapters for subcommands that speak to venues without the daemon."""

from __future__ import annotations

import random
from collections.abc import Callable

from riskbot import exchanges
from riskbot.clock import Clock
from riskbot.config.models import AccountConfig
from riskbot.exchanges._base import Exchange

PAPER = "paper"
"""Lives inside the daemon: nothing outside can reach it."""

Build = Callable[[str, AccountConfig, Clock], Exchange]
"""Makes the adapter of one account; tests hand in one that makes fakes."""


def build(name: str, account: AccountConfig, clock: Clock) -> Exchange:
    """Return the adapter of one account; nothing is connected yet."""
    # What these subcommands send only closes: the HALT file must not stop it.
    return exchanges.build(name, account, clock, random.Random(), lambda: False)
