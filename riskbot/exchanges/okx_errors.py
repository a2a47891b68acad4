"""OKX's error codes and what they mean for an order; taken from the venue's documents."""

from __future__ import annotations

import re

from riskbot.core.model import RejectReason
from riskbot.exchanges._errors import ErrorRules

_R = RejectReason

RULES = ErrorRules(
    # The code of one order stands above that of the request, which then only says 1 or 2.
    code_patterns=(
        re.compile(r'"sCode"\s*:\s*"?(\d+)'),
        re.compile(r'"code"\s*:\s*"?(\d+)'),
    ),
    success=frozenset({"0", "1", "2"}),
    # Counted for each endpoint, and new orders of an account together.
    endpoint_limits=frozenset({"50011", "50061"}),
    ambiguous=frozenset({"50004", "50026", "51054", "51149"}),
    wordings={"51000": (("posside", _R.POSITION_MODE), ("sz", _R.PRECISION))},
    refusals={
        "50000": _R.OTHER, "50001": _R.MAINTENANCE, "50002": _R.OTHER, "50005": _R.MAINTENANCE,
        "50006": _R.OTHER, "50007": _R.AUTHENTICATION, "50008": _R.AUTHENTICATION,
        "50009": _R.AUTHENTICATION, "50010": _R.AUTHENTICATION, "50011": _R.RATE_LIMITED,
        "50012": _R.AUTHENTICATION, "50013": _R.RATE_LIMITED, "50014": _R.OTHER,
        "50015": _R.OTHER, "50016": _R.OTHER, "50024": _R.OTHER, "50025": _R.OTHER,
        "50027": _R.AUTHENTICATION, "50028": _R.AUTHENTICATION, "50030": _R.AUTHENTICATION,
        "50037": _R.CLOCK, "50040": _R.RATE_LIMITED, "50061": _R.RATE_LIMITED,
        "50100": _R.AUTHENTICATION, "50101": _R.AUTHENTICATION, "50102": _R.CLOCK,
        "50103": _R.AUTHENTICATION, "50104": _R.AUTHENTICATION, "50105": _R.AUTHENTICATION,
        "50106": _R.AUTHENTICATION, "50107": _R.AUTHENTICATION, "50110": _R.AUTHENTICATION,
        "50111": _R.AUTHENTICATION, "50112": _R.CLOCK, "50113": _R.AUTHENTICATION,
        "50114": _R.AUTHENTICATION, "50115": _R.OTHER, "50120": _R.AUTHENTICATION,
        "51000": _R.OTHER, "51001": _R.UNKNOWN_INSTRUMENT, "51002": _R.UNKNOWN_INSTRUMENT,
        "51003": _R.OTHER, "51004": _R.INSUFFICIENT_MARGIN, "51005": _R.PRECISION,
        "51006": _R.PRICE_BAND, "51007": _R.MIN_NOTIONAL, "51008": _R.INSUFFICIENT_MARGIN,
        "51009": _R.AUTHENTICATION, "51010": _R.POSITION_MODE, "51011": _R.DUPLICATE_ID,
        "51012": _R.UNKNOWN_INSTRUMENT, "51014": _R.UNKNOWN_INSTRUMENT,
        "51015": _R.UNKNOWN_INSTRUMENT, "51016": _R.DUPLICATE_ID, "51020": _R.MIN_NOTIONAL,
        "51021": _R.UNKNOWN_INSTRUMENT, "51022": _R.MAINTENANCE, "51023": _R.REDUCE_ONLY,
        "51024": _R.AUTHENTICATION, "51025": _R.OTHER, "51026": _R.UNKNOWN_INSTRUMENT,
        "51027": _R.UNKNOWN_INSTRUMENT, "51028": _R.MAINTENANCE, "51029": _R.MAINTENANCE,
        "51030": _R.MAINTENANCE, "51031": _R.PRICE_BAND, "51046": _R.OTHER,
        "51065": _R.DUPLICATE_ID,
        "51108": _R.OTHER, "51109": _R.PRICE_BAND, "51111": _R.OTHER, "51112": _R.REDUCE_ONLY,
        "51113": _R.RATE_LIMITED, "51115": _R.REDUCE_ONLY, "51116": _R.PRICE_BAND,
        "51119": _R.INSUFFICIENT_MARGIN, "51120": _R.MIN_NOTIONAL, "51121": _R.PRECISION,
        "51122": _R.PRICE_BAND, "51124": _R.MAINTENANCE, "51127": _R.INSUFFICIENT_MARGIN,
        "51131": _R.INSUFFICIENT_MARGIN, "51136": _R.PRICE_BAND, "51137": _R.PRICE_BAND,
        "51138": _R.PRICE_BAND, "51139": _R.REDUCE_ONLY, "51147": _R.AUTHENTICATION,
        "51148": _R.REDUCE_ONLY, "51150": _R.PRECISION, "51155": _R.AUTHENTICATION,
        "51169": _R.REDUCE_ONLY, "51170": _R.REDUCE_ONLY, "51201": _R.PRECISION,
        "51202": _R.PRECISION, "51203": _R.PRECISION, "51204": _R.PRECISION,
        "51205": _R.ORDER_TYPE, "51250": _R.PRICE_BAND,
        "51400": _R.NOT_FOUND, "51401": _R.NOT_FOUND, "51402": _R.NOT_FOUND,
        "51405": _R.NOT_FOUND, "51407": _R.OTHER, "51410": _R.NOT_FOUND, "51416": _R.NOT_FOUND,
        "51503": _R.NOT_FOUND, "51509": _R.NOT_FOUND, "51603": _R.NOT_FOUND,
    },
)  # fmt: skip
