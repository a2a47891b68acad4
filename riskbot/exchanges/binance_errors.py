"""Binance's error codes and what they mean for an order; taken from the venue's documents."""

from __future__ import annotations

import re

from riskbot.core.model import RejectReason
from riskbot.exchanges._errors import ErrorRules

_R = RejectReason

RULES = ErrorRules(
    code_patterns=(re.compile(r'"code"\s*:\s*"?(-?\d+)'),),
    success=frozenset({"0", "200"}),
    # Too many new orders: cancels and reads are counted elsewhere.
    endpoint_limits=frozenset({"-1015"}),
    ambiguous=frozenset({"-1000", "-1001", "-1006", "-1007"}),
    wordings={
        "1": (("maintenance", _R.MAINTENANCE),),
        "-1013": (
            ("MIN_NOTIONAL", _R.MIN_NOTIONAL),
            ("NOTIONAL", _R.MIN_NOTIONAL),
            ("PERCENT_PRICE", _R.PRICE_BAND),
        ),
        "-2010": (
            ("insufficient balance", _R.INSUFFICIENT_MARGIN),
            ("duplicate", _R.DUPLICATE_ID),
        ),
    },
    refusals={
        "-1002": _R.AUTHENTICATION, "-1003": _R.RATE_LIMITED, "-1008": _R.RATE_LIMITED,
        "-1013": _R.PRECISION, "-1014": _R.ORDER_TYPE, "-1015": _R.RATE_LIMITED,
        "-1016": _R.MAINTENANCE, "-1020": _R.OTHER, "-1021": _R.CLOCK,
        "-1022": _R.AUTHENTICATION, "-1023": _R.OTHER, "-1099": _R.AUTHENTICATION,
        "-1100": _R.OTHER, "-1101": _R.OTHER, "-1102": _R.OTHER, "-1103": _R.OTHER,
        "-1104": _R.OTHER, "-1105": _R.OTHER, "-1106": _R.POSITION_MODE, "-1108": _R.OTHER,
        "-1109": _R.AUTHENTICATION, "-1111": _R.PRECISION, "-1112": _R.OTHER,
        "-1114": _R.ORDER_TYPE, "-1115": _R.ORDER_TYPE, "-1116": _R.ORDER_TYPE,
        "-1117": _R.OTHER, "-1118": _R.OTHER, "-1119": _R.OTHER,
        "-1121": _R.UNKNOWN_INSTRUMENT, "-1125": _R.OTHER, "-1127": _R.OTHER,
        "-1128": _R.OTHER, "-1130": _R.OTHER, "-1136": _R.OTHER,
        "-2010": _R.OTHER, "-2011": _R.NOT_FOUND, "-2013": _R.NOT_FOUND,
        "-2014": _R.AUTHENTICATION, "-2015": _R.AUTHENTICATION, "-2016": _R.MAINTENANCE,
        "-2017": _R.AUTHENTICATION, "-2018": _R.INSUFFICIENT_MARGIN,
        "-2019": _R.INSUFFICIENT_MARGIN, "-2020": _R.OTHER, "-2021": _R.OTHER,
        "-2022": _R.REDUCE_ONLY, "-2023": _R.OTHER, "-2024": _R.REDUCE_ONLY,
        "-2025": _R.OTHER, "-2026": _R.ORDER_TYPE, "-2027": _R.INSUFFICIENT_MARGIN,
        "-2028": _R.INSUFFICIENT_MARGIN,
        "-4001": _R.PRECISION, "-4002": _R.PRICE_BAND, "-4003": _R.PRECISION,
        "-4004": _R.MIN_NOTIONAL, "-4005": _R.PRECISION, "-4013": _R.PRICE_BAND,
        "-4014": _R.PRECISION, "-4015": _R.OTHER, "-4016": _R.PRICE_BAND,
        "-4023": _R.PRECISION, "-4024": _R.PRICE_BAND, "-4028": _R.OTHER,
        "-4045": _R.OTHER, "-4046": _R.OTHER, "-4060": _R.POSITION_MODE,
        "-4061": _R.POSITION_MODE, "-4062": _R.POSITION_MODE, "-4067": _R.POSITION_MODE,
        "-4068": _R.POSITION_MODE, "-4087": _R.OTHER, "-4088": _R.AUTHENTICATION,
        "-4108": _R.UNKNOWN_INSTRUMENT, "-4109": _R.AUTHENTICATION, "-4111": _R.DUPLICATE_ID,
        "-4115": _R.DUPLICATE_ID, "-4116": _R.DUPLICATE_ID, "-4118": _R.REDUCE_ONLY,
        "-4120": _R.ORDER_TYPE,
        "-4130": _R.OTHER, "-5024": _R.MAINTENANCE,
        "-5025": _R.ORDER_TYPE, "-4047": _R.OTHER, "-4048": _R.OTHER, "-4059": _R.OTHER,
        "-4131": _R.PRICE_BAND, "-4137": _R.ORDER_TYPE, "-4138": _R.REDUCE_ONLY,
        "-4139": _R.ORDER_TYPE, "-4140": _R.MAINTENANCE, "-4141": _R.MAINTENANCE,
        "-4144": _R.OTHER, "-4164": _R.MIN_NOTIONAL, "-4183": _R.PRICE_BAND,
        "-4184": _R.PRICE_BAND, "-4192": _R.OTHER, "-4400": _R.OTHER, "-4401": _R.OTHER,
        "-4403": _R.OTHER, "-5021": _R.OTHER, "-5022": _R.OTHER, "-5028": _R.CLOCK,
    },
)  # fmt: skip
