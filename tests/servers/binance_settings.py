"""Binance USD-M settings endpoints: leverage, margin and position mode, brackets, key rights.

Each handler takes a `Call` and returns the JSON document, or raises ApiError or VenueError.
"""

from __future__ import annotations

from tests.servers import binance_rows as rows
from tests.servers.binance_account import Call, assets_of, config_of
from tests.servers.binance_errors import ApiError, missing
from tests.servers.binance_rows import Row


def account_config(call: Call) -> Row:
    """Return /fapi/v1/accountConfig."""
    config = config_of(call) | {"dualSidePosition": call.ledger.hedge_mode}
    del config["feeBurn"]
    return config


def symbol_config(call: Call) -> list[Row]:
    """Return /fapi/v1/symbolConfig."""
    names = [call.symbol()] if call.params.get("symbol") else list(call.market.instruments)
    return [
        {
            "symbol": name,
            "marginType": call.account.margin_types.get(name, "CROSSED"),
            "isAutoAddMargin": False,
            "leverage": call.ledger.leverage_of(name),
            "maxNotionalValue": rows.max_notional(call.ledger, name),
        }
        for name in names
    ]


def leverage_brackets(call: Call) -> list[Row]:
    """Return /fapi/v1/leverageBracket."""
    names = [call.symbol()] if call.params.get("symbol") else list(call.market.instruments)
    return [{"symbol": n, "brackets": rows.brackets(call.ledger, n)} for n in names]


def set_leverage(call: Call) -> Row:
    """Answer POST /fapi/v1/leverage."""
    name, leverage = call.symbol(), call.integer("leverage")
    if leverage is None:
        raise missing("leverage")
    call.ledger.set_leverage(name, leverage)
    largest = rows.max_notional(call.ledger, name)
    return {"symbol": name, "leverage": leverage, "maxNotionalValue": largest}


def set_margin_type(call: Call) -> Row:
    """Answer POST /fapi/v1/marginType; isolated margin is kept as a label only."""
    name, wanted = call.symbol(), str(call.params.get("marginType", ""))
    if wanted not in ("ISOLATED", "CROSSED"):
        raise missing("marginType")
    if call.account.margin_types.get(name, "CROSSED") == wanted:
        raise ApiError(-4046)
    if call.ledger.open_orders(name):
        raise ApiError(-4047)
    if any(p.instrument == name for p in call.ledger.open_positions()):
        raise ApiError(-4048)
    call.account.margin_types[name] = wanted
    return {"code": 200, "msg": "success"}


def set_position_mode(call: Call) -> Row:
    """Answer POST /fapi/v1/positionSide/dual."""
    if "dualSidePosition" not in call.params:
        raise missing("dualSidePosition")
    call.ledger.set_hedge_mode(call.flag("dualSidePosition"))
    return {"code": 200, "msg": "success"}


def set_multi_assets(call: Call) -> Row:
    """Answer POST /fapi/v1/multiAssetsMargin."""
    wanted = call.flag("multiAssetsMargin")
    if wanted == call.ledger.multi_asset:
        raise ApiError(-4171)
    call.ledger.multi_asset = wanted
    return {"code": 200, "msg": "success"}


def commission_rate(call: Call) -> Row:
    """Return /fapi/v1/commissionRate."""
    return {
        "symbol": call.symbol(),
        "makerCommissionRate": str(call.ledger.maker_fee),
        "takerCommissionRate": str(call.ledger.taker_fee),
        "rpiCommissionRate": "0.00005",
    }


def trading_status(call: Call) -> Row:
    """Return /fapi/v1/apiTradingStatus: the quantitative rules that lock a symbol, if any."""
    return {"indicators": call.account.locked, "updateTime": call.market.now_ms()}


def adl_quantile(call: Call) -> list[Row]:
    """Return /fapi/v1/adlQuantile."""
    hedge = call.ledger.hedge_mode
    quantile: dict[str, int] = {"LONG": 1, "SHORT": 2, "HEDGE": 0} if hedge else {"BOTH": 1}
    names = {p.instrument for p in call.ledger.open_positions()}
    return [{"symbol": name, "adlQuantile": quantile} for name in sorted(names)]


def api_restrictions(call: Call) -> Row:
    """Return /sapi/v1/account/apiRestrictions."""
    return dict(call.account.rights)


def coins(call: Call) -> list[Row]:
    """Return /sapi/v1/capital/config/getall for the margin assets."""
    return [
        {
            "coin": asset,
            "depositAllEnable": True,
            "withdrawAllEnable": True,
            "name": asset,
            "free": "0",
            "locked": "0",
            "freeze": "0",
            "withdrawing": "0",
            "ipoing": "0",
            "ipoable": "0",
            "storage": "0",
            "isLegalMoney": False,
            "trading": True,
            "networkList": [],
        }
        for asset in assets_of(call.ledger)
    ]
