"""A freqtrade strategy with the gateway before it: one line above its class.

`@gated` wraps the documented callbacks of the class in place, so that a strategy's own callbacks
go on as they were. In backtests it does nothing. Nothing of freqtrade is imported here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from riskbot.client.answers import Approval, GatewayError
from riskbot.client.guard import guard
from riskbot.client.http import URL, Client

SECTION = "riskbot"
"""Of the bot's configuration: `account`, `token`, `url`, `hmac_secret`; of secrets the `_file`."""

_SECRETS = ("token", "hmac_secret")
_KEYS = frozenset({"account", "url", *_SECRETS, *(f"{name}_file" for name in _SECRETS)})
_SIDES = {"long": "buy", "short": "sell"}
_GATE = "_riskbot_gate"

S = TypeVar("S", bound=type)
_log = logging.getLogger(__name__)


def gated(strategy: S) -> S:
    """Put the gateway before a strategy class, and return the same class.

    Live, every order of the bot is asked for where it leaves freqtrade (`guard` on the bot's ccxt
    object), whatever made it: entries, additions to a trade, replaced orders, exits. In a dry run,
    where nothing leaves, each new trade is asked for and the approval is given back at once. In
    both, the stake of a new trade shrinks to what may be traded now.
    """
    for name, wrap in _WRAPS.items():
        setattr(strategy, name, wrap(getattr(strategy, name)))
    return strategy


class Gate:
    """What a strategy asks the gateway.

    Args:
        config: of the bot.
        exchange: freqtrade's own, which knows how it rounds.

    Raises:
        ValueError: the section is missing or wrong; the bot must not start.
    """

    def __init__(self, config: dict[str, Any], exchange: Any) -> None:
        section = config.get(SECTION)
        if not isinstance(section, dict) or not section.get("account") or set(section) - _KEYS:
            message = f"`{SECTION}` in the bot's configuration takes {', '.join(sorted(_KEYS))}"
            raise ValueError(message)
        self.account, self.url = str(section["account"]), str(section.get("url", URL))
        folder = Path(config.get("user_data_dir") or ".")
        token, self.hmac_secret = (_secret(section, name, folder) for name in _SECRETS)
        if token is None:
            message = f"`{SECTION}` in the bot's configuration needs token or token_file"
            raise ValueError(message)
        self.token, self.is_live = token, _mode(config) == "live"
        self._exchange = exchange
        self._client = Client(self.token, self.url, hmac_secret=self.hmac_secret)
        self._stops: dict[tuple[str, str], float] = {}

    def install(self) -> None:
        """Guard the bot's ccxt object, where orders really leave."""
        if self.is_live:
            guard(
                self._exchange._api,  # noqa: SLF001 - the one way that every order takes
                token=self.token,
                account=self.account,
                url=self.url,
                hmac_secret=self.hmac_secret,
                stop_of=lambda symbol, side: self._stops.get((symbol, side)),
            )

    def note_stop(self, strategy: Any, pair: str, side: str, rate: float, leverage: float) -> None:
        """Note the stop that freqtrade will set at the exchange for an entry."""
        if not strategy.order_types.get("stoploss_on_exchange"):
            # One that freqtrade only watches itself goes when freqtrade goes.
            return
        away = abs(float(strategy.stoploss)) / leverage
        price = rate * (1 - away if side == "long" else 1 + away)
        self._stops[pair, _SIDES[side]] = float(self._exchange.price_to_precision(pair, price))

    def stake(self, pair: str, side: str, rate: float, leverage: float, wanted: float) -> float:
        """Return what of a stake may be traded now, 0 = nothing, or nobody knows."""
        stop = self._stops.get((pair, _SIDES[side]))
        try:
            document = self._client.size(pair, self.account, stop)
            row, is_enforced = document[_SIDES[side]], document["enforced"] is not False
            quantity = None if row["quantity"] is None else Decimal(row["quantity"])
            # An order above the mark is worth more than `size`, which knows the mark alone, counts.
            price = min(rate, float(document["price"] or rate))
        except (GatewayError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            _log.warning("riskbot does not say how much of %s may be traded: %s", pair, error)
            return 0.0
        if quantity is None or not is_enforced:
            return wanted
        # A hair more, for freqtrade divides by the rate again, and cuts off what is below a step.
        most = float(quantity) * price / leverage * (1 + 1e-12)
        if most >= wanted:
            return wanted
        bound = row.get("bound_by") or {}
        _log.info(
            "riskbot: a stake of %g of %g for %s now: %s",
            most,
            wanted,
            pair,
            bound.get("message") or bound.get("limit"),
        )
        return most

    def may_enter(self, pair: str, order_type: str, amount: float, rate: float, side: str) -> bool:
        """Return whether a new trade passes; for a dry run, which sends nothing."""
        try:
            approval: Approval = self._client.check(
                self.account,
                pair,
                _SIDES[side],
                self._exchange.amount_to_contract_precision(pair, amount),
                None if order_type == "market" else self._exchange.price_to_precision(pair, rate),
                stop_loss=self._stops.get((pair, _SIDES[side])),
            )
            if approval.client_order_id is not None and approval.reservation_id is not None:
                self._client.cancel(approval.client_order_id)
        except GatewayError as error:
            _log.warning("riskbot does not approve %s: %s", pair, error)
            return False
        if not approval.passes:
            _log.info("riskbot denies %s: %s", pair, "; ".join(approval.messages))
        return approval.passes


# ---------------------------------------------------------------- the callbacks


def _starting(own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def bot_start(self: Any, *args: Any, **fields: Any) -> Any:
        if _mode(self.config) in {"live", "dry_run"}:
            gate = Gate(self.config, self.dp._exchange)  # noqa: SLF001 - it has no other name
            gate.install()
            setattr(self, _GATE, gate)
            _log.info("riskbot is asked at %s for account %s", gate.url, gate.account)
        return own(self, *args, **fields)

    return bot_start


def _staking(own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def custom_stake_amount(self: Any, **fields: Any) -> Any:
        stake, gate = own(self, **fields), getattr(self, _GATE, None)
        if gate is None or not stake:
            return stake
        pair, side, rate = fields["pair"], fields["side"], fields["current_rate"]
        leverage, least = fields["leverage"] or 1.0, fields["min_stake"]
        gate.note_stop(self, pair, side, rate, leverage)
        most = gate.stake(pair, side, rate, leverage, stake)
        # freqtrade would raise it to its minimum again.
        return 0.0 if most < stake and least is not None and most < least else most

    return custom_stake_amount


def _confirming(own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def confirm_trade_entry(self: Any, **fields: Any) -> bool:
        gate = getattr(self, _GATE, None)
        if not own(self, **fields):
            return False
        if gate is None or gate.is_live:
            return True
        names = ("pair", "order_type", "amount", "rate", "side")
        return bool(gate.may_enter(*(fields[name] for name in names)))

    return confirm_trade_entry


_WRAPS = {
    "bot_start": _starting,
    "custom_stake_amount": _staking,
    "confirm_trade_entry": _confirming,
}
"""freqtrade's callbacks, all called with keywords, and what each becomes."""


def _mode(config: dict[str, Any]) -> str:
    mode = config.get("runmode")
    return str(getattr(mode, "value", mode))


def _secret(section: dict[str, Any], name: str, folder: Path) -> str | None:
    """Return a secret, from the section or from a file beside the bot's data; None = there is none.

    Raises:
        ValueError: the file cannot be read.
    """
    file = section.get(f"{name}_file")
    if section.get(name) or not file:
        return str(section[name]) if section.get(name) else None
    try:
        return (folder / file).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        message = f"{SECTION}.{name}_file cannot be read: {error.strerror}"
        raise ValueError(message) from error
