"""What a ccxt call asks for, as the gateway is asked: the whole of what may reach the venue.

ccxt hands `params` on to the venue as they are: what would change there what was asked for here is
refused. Nothing is sent in this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from riskbot.client.calls import new_id

StopOf = Callable[[str, str], Any]

_TRIGGERS = ("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice")
_TRAILING = ("trailingPercent", "trailingAmount")
"""Parameters that make ccxt place a conditional order."""

_MARGIN = (
    *("margin", "marginMode", "sideEffectType", "isIsolated", "isLeverage"),
    *("autoBorrow", "auto_borrow"),
)
"""Parameters of a spot order that may borrow."""

_MARGIN_OPTIONS = ("defaultMarginMode", "marginMode", "defaultMargin")
"""Options of an exchange object under which spot orders borrow."""

_NAMES = ("clientOrderId", "newClientOrderId", "clOrdId", "orderLinkId", "clientAlgoId")
"""What a client id is called, by ccxt and by venues."""

_ANOTHER_ORDER = frozenset(
    {
        *("quantity", "qty", "origQty", "sz", "size", "vol", "volume", "amount", "contracts"),
        *("quoteOrderQty", "quoteQty", "quoteAmount", "quoteSize", "funds", "cost", "notional"),
        *("price", "px", "side", "symbol", "instId", "pair", "market", "contract"),
    }
)
"""Parameters under which a venue would be sent another order than the one asked about."""

_BY_QUANTITY = {"tgtCcy": "base_ccy", "marketUnit": "baseCoin"}
"""Parameters that say what a quantity is of, and the one value that is the quantity asked about."""

_LEGS = {"1": "long", "2": "short"}


def is_conditional(params: Mapping[str, Any]) -> bool:
    """Whether an order waits for a price."""
    return any(params.get(name) is not None for name in (*_TRIGGERS, *_TRAILING))


def leg_of(params: Mapping[str, Any]) -> str | None:
    """Return the position of a hedge-mode account that an order names, None = none."""
    for name in ("positionSide", "posSide"):
        named = params.get(name)
        if isinstance(named, str) and named.lower() in {"long", "short"}:
            return named.lower()
    return _LEGS.get(str(params.get("positionIdx", "")))


def _says_closing(params: Mapping[str, Any]) -> bool:
    # Some write it as a text, and to a venue "false" is false.
    said = (params.get(name) for name in ("reduceOnly", "closePosition"))
    return any(value and str(value).lower() not in {"false", "0"} for value in said)


def only_closes(
    market: Mapping[str, Any],
    side: str,
    params: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
) -> bool:
    """Whether the venue itself sees to it that an order can only close.

    Args:
        market: as ccxt lists it.
        side: of the order.
        params: that go with it.
        options: of the exchange object.
    """
    if market.get("contract"):
        # In hedge mode some venues go by the leg, and by nothing else.
        opens = {"long": "buy", "short": "sell"}.get(leg_of(params) or "") == side
        return _says_closing(params) and not opens
    # What is lent can be sold short.
    known = options or {}
    lends = any(params.get(name) for name in _MARGIN) or any(
        known.get(name) for name in _MARGIN_OPTIONS
    )
    lends = lends or params.get("tdMode", "cash") != "cash" or known.get("defaultType") == "margin"
    return bool(market.get("spot")) and side == "sell" and not lends


def fault_of(
    market: Mapping[str, Any],
    kind: str,
    side: str,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
) -> str:
    """Return why an order cannot be asked about, empty = it can."""
    name, free = "createMarketBuyOrderRequiresPrice", "an order by cost is not guarded"
    is_spot_buy = bool(market.get("spot")) and side == "buy" and "market" in kind.lower()
    if "cost" in params or params.get(name) is False:
        return f"{free}: give a quantity"
    own = options.get("createOrder")
    by_cost = options.get(name) is False or options.get("tgtCcy") == "quote_ccy"
    by_cost = by_cost or (isinstance(own, dict) and own.get(name) is False)
    if is_spot_buy and by_cost:
        return f"{free}: the object's options make every quantity one; give quantities"
    for each, wanted in _BY_QUANTITY.items():
        if params.get(each, wanted) != wanted:
            return f"{free}: {each} must be {wanted}"
    changing = sorted(_ANOTHER_ORDER & params.keys())
    if changing:
        return f"params must not name {', '.join(changing)}: it would be another order"
    return ""


def body_of(
    account: str,
    market: Mapping[str, Any],
    kind: str,
    side: str,
    quantity: Decimal,
    price: Any,
    params: Mapping[str, Any],
    stop_of: StopOf,
) -> dict[str, Any]:
    """Return what the gateway is asked.

    Args:
        account: riskbot's name of it.
        market: as ccxt lists it.
        kind: type of the order, as ccxt names it.
        side: of it.
        quantity: base units; of inverse contracts their face value.
        price: quote units, None = none.
        params: that go with it.
        stop_of: returns the trigger of the stop that will be set, None = none.
    """
    trigger = next((params[n] for n in _TRIGGERS if params.get(n) is not None), None)
    attached, symbol = params.get("stopLoss"), market["symbol"]
    # Some venues are told the cost of a market buy, which its price makes: there it binds.
    makes_cost = bool(market.get("spot")) and side == "buy" and price is not None
    is_at_trigger = "market" in kind.lower() and not makes_cost
    return {
        "account": account,
        "instrument": symbol,
        "side": side,
        "quantity": quantity,
        "price": trigger if is_at_trigger else price,
        "stop_loss": (
            attached.get("triggerPrice") if isinstance(attached, dict) else stop_of(symbol, side)
        ),
        "reduce_only": _says_closing(params),
        "position_side": leg_of(params),
        "client_order_id": name_of(params) or new_id(),
    }


def name_of(params: Mapping[str, Any]) -> str | None:
    """Return the client id that an order was given, None = none."""
    return next((str(params[name]) for name in _NAMES if params.get(name)), None)


def nameless(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without a client id, whatever the venue calls it."""
    return {name: value for name, value in params.items() if name not in _NAMES}
