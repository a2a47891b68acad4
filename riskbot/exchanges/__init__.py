"""Venues: which class serves which of ccxt.pro's names. Any other name gets the generic one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from riskbot.clock import Clock
from riskbot.exchanges._base import Credentials
from riskbot.exchanges._lazy import exchange_ids
from riskbot.exchanges.binance import Binance
from riskbot.exchanges.bybit import Bybit
from riskbot.exchanges.deribit import Deribit
from riskbot.exchanges.okx import Okx
from riskbot.exchanges.unified import UnifiedExchange

if TYPE_CHECKING:
    from riskbot.exchanges.paper.exchange import PaperExchange

CLASSES: Mapping[str, type[UnifiedExchange]] = {
    "binance": Binance,
    "binanceusdm": Binance,
    "binancecoinm": Binance,
    "bybit": Bybit,
    "deribit": Deribit,
    "okx": Okx,
}
"""Venues with differences of their own, by ccxt id; `paper` is imported when asked for."""

PAPER = "paper"


def exchange_class(venue_id: str) -> type[UnifiedExchange] | type[PaperExchange]:
    """Return the class of a ccxt id or of `paper`; `is_known` tells whether ccxt has an id."""
    if venue_id == PAPER:
        from riskbot.exchanges.paper.exchange import PaperExchange  # with numpy and its price data

        return PaperExchange
    return CLASSES.get(venue_id, UnifiedExchange)


class AccountSection(Protocol):
    """What the configuration says of an account, as far as its adapter is concerned."""

    @property
    def exchange(self) -> str:
        """A ccxt id, or `paper`."""
        ...

    @property
    def ccxt(self) -> Mapping[str, Any]:
        """Handed to the ccxt constructor as it is."""
        ...

    @property
    def markets(self) -> Sequence[str] | None:
        """Kinds of instruments, None = what the id implies."""
        ...

    def credentials(self) -> Credentials:
        """Keys, hidden."""
        ...


def build(
    name: str,
    account: AccountSection,
    clock: Clock,
    rng: random.Random,
    halt_check: Callable[[], bool],
) -> UnifiedExchange | PaperExchange:
    """Return the adapter of one account; nothing is connected yet."""
    return exchange_class(account.exchange)(
        name,
        account.exchange,
        account.credentials(),
        account.ccxt,
        tuple(account.markets or ()),
        clock,
        rng,
        halt_check,
    )


def is_known(venue_id: str) -> bool:
    """Whether ccxt.pro has a venue of this id; nothing is imported for the answer."""
    return venue_id in exchange_ids()
