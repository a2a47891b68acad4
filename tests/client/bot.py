"""freqtrade as its documentation describes it: which callback it calls when, and with what.

Entries: `custom_stake_amount`, then `confirm_trade_entry`, then an order of stake / rate times
leverage, cut to the venue's step. A callback that raises counts as if it were not there. In a dry
run nothing reaches the venue; live, all of it goes through one ccxt object.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

STEP = 0.001


class RunMode(Enum):
    LIVE = "live"
    DRY_RUN = "dry_run"
    BACKTEST = "backtest"


class IStrategy:
    """The documented defaults."""

    stoploss = -0.1
    order_types: ClassVar[dict[str, Any]] = {"stoploss_on_exchange": False}

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.dp: Any = None

    def bot_start(self, **kwargs: Any) -> None:
        del kwargs

    def custom_stake_amount(self, pair: str, proposed_stake: float, **kwargs: Any) -> float:
        del pair, kwargs
        return proposed_stake

    def confirm_trade_entry(self, pair: str, order_type: str, amount: float, **kwargs: Any) -> bool:
        del pair, order_type, amount, kwargs
        return True


class Exchange:
    """freqtrade's own exchange object: rounds, and sends through ccxt."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def amount_to_contract_precision(self, pair: str, amount: float) -> float:
        del pair
        return round(int(amount / STEP) * STEP, 3)

    def price_to_precision(self, pair: str, price: float) -> float:
        del pair
        return round(price, 1)


class DataProvider:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange


class Bot:
    """One bot.

    Attributes:
        opened: (pair, amount) of what it opened.
    """

    def __init__(self, strategy: type[Any], mode: RunMode, api: Any, **config: Any) -> None:
        self.config = {"runmode": mode, **config}
        self.exchange = Exchange(api)
        self.strategy = strategy(self.config)
        self.strategy.dp = DataProvider(self.exchange)
        self.opened: list[tuple[str, float]] = []
        # Alone among the callbacks: without it the bot does not start.
        self.strategy.bot_start()

    def enter(self, pair: str, stake: float, rate: float, **fields: Any) -> bool:
        """Enter, if the strategy lets it; return whether an order went out."""
        side, leverage = fields.get("side", "long"), fields.get("leverage", 1.0)
        kind = fields.get("order_type", "limit")
        asked = {"pair": pair, "current_time": None, "entry_tag": None, "side": side}
        least = fields.get("min_stake", 5.0)
        stake = self._safely(
            "custom_stake_amount",
            stake,
            current_rate=rate,
            proposed_stake=stake,
            min_stake=least,
            max_stake=1e9,
            leverage=leverage,
            **asked,
        )
        if not stake:
            return False
        # It raises a stake that is a little too small.
        stake = max(stake, least) if stake * 1.3 >= least else 0.0
        amount = stake / rate * leverage
        if not stake or not self._safely(
            "confirm_trade_entry",
            True,
            order_type=kind,
            amount=amount,
            rate=rate,
            time_in_force="GTC",
            **asked,
        ):
            return False
        if self.config["runmode"] is RunMode.LIVE:
            self.order(pair, "buy" if side == "long" else "sell", amount, rate, kind)
        self.opened.append((pair, self.exchange.amount_to_contract_precision(pair, amount)))
        return True

    def order(
        self, pair: str, side: str, amount: float, rate: float | None, kind: str = "limit", **p: Any
    ) -> Any:
        """Send an order, as additions, replacements, exits and stops are sent."""
        exact = self.exchange.amount_to_contract_precision(pair, amount)
        return self.exchange._api.create_order(  # noqa: SLF001 - its own
            pair, kind, side, exact, rate if kind == "limit" else None, p
        )

    def _safely(self, name: str, default: Any, **fields: Any) -> Any:
        try:
            return getattr(self.strategy, name)(**fields)
        except Exception:  # noqa: BLE001 - that is what it does
            return default


@contextmanager
def importable() -> Iterator[None]:
    """Have `from freqtrade.strategy import IStrategy` work, where no freqtrade is."""
    package, module = ModuleType("freqtrade"), ModuleType("freqtrade.strategy")
    module.IStrategy = IStrategy  # type: ignore[attr-defined]
    made = {"freqtrade": package, "freqtrade.strategy": module}
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, known in before.items():
            if known is None:
                del sys.modules[name]
            else:
                sys.modules[name] = known


def loaded(source: str, name: str) -> type[Any]:
    """Return a class of a strategy file."""
    space: dict[str, Any] = {"__name__": Path(name).stem}
    with importable():
        exec(compile(source, name, "exec"), space)  # the file a user would write
    found: type[Any] = space[name]
    return found
