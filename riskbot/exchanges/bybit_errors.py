"""Bybit's return codes and what they mean for an order; taken from the venue's documents."""

from __future__ import annotations

import re

from riskbot.core.model import RejectReason
from riskbot.exchanges._errors import ErrorRules

_R = RejectReason

RULES = ErrorRules(
    code_patterns=(re.compile(r'"ret_?[cC]ode"\s*:\s*"?(-?\d+)'),),
    success=frozenset({"0"}),
    bans=frozenset({403}),
    endpoint_limits=frozenset({"10006", "10018", "10429"}),
    reset_headers=frozenset({"x-bapi-limit-reset-timestamp"}),
    ambiguous=frozenset(
        {"10000", "10016", "10019", "110079", "170001", "170007", "170032", "170146", "170147"}
    ),
    wordings={
        "10001": (
            ("position idx", _R.POSITION_MODE),
            ("position mode", _R.POSITION_MODE),
            ("symbol", _R.UNKNOWN_INSTRUMENT),
            ("minimum limit", _R.MIN_NOTIONAL),
            ("maximum limit", _R.PRECISION),
            ("qty", _R.PRECISION),
            ("tick size", _R.PRECISION),
            ("reduce", _R.REDUCE_ONLY),
        ),
        "10016": (("maintenance", _R.MAINTENANCE),),
    },
    refusals={
        "429": _R.RATE_LIMITED, "10001": _R.OTHER, "10002": _R.CLOCK, "10003": _R.AUTHENTICATION,
        "10004": _R.AUTHENTICATION, "10005": _R.AUTHENTICATION, "10006": _R.RATE_LIMITED,
        "10007": _R.AUTHENTICATION, "10008": _R.AUTHENTICATION, "10009": _R.AUTHENTICATION,
        "10010": _R.AUTHENTICATION, "10014": _R.DUPLICATE_ID, "10017": _R.OTHER,
        "10018": _R.RATE_LIMITED, "10024": _R.AUTHENTICATION, "10027": _R.AUTHENTICATION,
        "10028": _R.AUTHENTICATION, "10029": _R.UNKNOWN_INSTRUMENT, "10429": _R.RATE_LIMITED,
        "33004": _R.AUTHENTICATION, "34040": _R.OTHER,
        "110001": _R.NOT_FOUND, "110003": _R.PRICE_BAND, "110004": _R.INSUFFICIENT_MARGIN,
        "110005": _R.OTHER, "110006": _R.INSUFFICIENT_MARGIN, "110007": _R.INSUFFICIENT_MARGIN,
        "110008": _R.NOT_FOUND, "110009": _R.OTHER, "110010": _R.NOT_FOUND, "110011": _R.OTHER,
        "110012": _R.INSUFFICIENT_MARGIN, "110013": _R.OTHER, "110014": _R.INSUFFICIENT_MARGIN,
        "110015": _R.OTHER, "110016": _R.OTHER, "110017": _R.REDUCE_ONLY, "110018": _R.OTHER,
        "110019": _R.NOT_FOUND, "110020": _R.OTHER, "110021": _R.OTHER, "110022": _R.OTHER,
        "110023": _R.OTHER, "110024": _R.POSITION_MODE, "110025": _R.POSITION_MODE,
        "110026": _R.OTHER, "110027": _R.OTHER, "110028": _R.POSITION_MODE,
        "110029": _R.POSITION_MODE, "110030": _R.DUPLICATE_ID, "110043": _R.OTHER,
        "110044": _R.INSUFFICIENT_MARGIN, "110045": _R.INSUFFICIENT_MARGIN,
        "110046": _R.OTHER, "110047": _R.OTHER, "110049": _R.PRECISION,
        "110051": _R.INSUFFICIENT_MARGIN, "110052": _R.INSUFFICIENT_MARGIN,
        "110053": _R.INSUFFICIENT_MARGIN, "110055": _R.OTHER, "110058": _R.OTHER,
        "110063": _R.MAINTENANCE, "110064": _R.OTHER, "110065": _R.POSITION_MODE,
        "110066": _R.MAINTENANCE, "110067": _R.OTHER, "110071": _R.MAINTENANCE,
        "110072": _R.DUPLICATE_ID, "110073": _R.OTHER, "110074": _R.UNKNOWN_INSTRUMENT,
        "110086": _R.OTHER, "110090": _R.OTHER, "110092": _R.OTHER, "110093": _R.OTHER,
        "110094": _R.MIN_NOTIONAL, "110103": _R.MAINTENANCE, "110118": _R.PRICE_BAND,
        "170005": _R.RATE_LIMITED, "170031": _R.MAINTENANCE, "170033": _R.INSUFFICIENT_MARGIN,
        "170115": _R.ORDER_TYPE, "170116": _R.ORDER_TYPE, "170117": _R.OTHER,
        "170121": _R.UNKNOWN_INSTRUMENT, "170124": _R.PRECISION, "170130": _R.OTHER,
        "170131": _R.INSUFFICIENT_MARGIN, "170132": _R.PRICE_BAND, "170133": _R.PRICE_BAND,
        "170134": _R.PRECISION, "170135": _R.PRECISION, "170136": _R.MIN_NOTIONAL,
        "170137": _R.PRECISION, "170139": _R.NOT_FOUND, "170140": _R.MIN_NOTIONAL,
        "170141": _R.DUPLICATE_ID, "170142": _R.NOT_FOUND, "170143": _R.NOT_FOUND,
        "170148": _R.ORDER_TYPE, "170149": _R.OTHER, "170151": _R.MAINTENANCE,
        "170190": _R.NOT_FOUND, "170193": _R.PRICE_BAND, "170194": _R.PRICE_BAND,
        "170201": _R.OTHER, "170210": _R.OTHER, "170213": _R.NOT_FOUND, "170217": _R.ORDER_TYPE,
        "170218": _R.OTHER, "170222": _R.RATE_LIMITED, "170229": _R.OTHER, "170241": _R.OTHER,
        "170381": _R.PRECISION, "131212": _R.INSUFFICIENT_MARGIN,
    },
)  # fmt: skip
