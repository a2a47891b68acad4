"""A book like the demo's with real histories, and what the core's commands say of it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from riskbot.config.scenarios import shipped_scenarios
from riskbot.core import actions, events
from riskbot.core.histories import Study
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.stress_loss import StressLoss
from riskbot.core.model import PORTFOLIO
from riskbot.core.scenarios import expanded
from tests.core.market import Market, market
from tests.core.past import noise, read, real

HELD = {
    "BTC": (0.9, 50_000.0),
    "ETH": (-12.0, 2_000.0),
    "SOL": (200.0, 110.0),
    "BNB": (25.0, 400.0),
    "XRP": (20_000.0, 0.5),
    "DOGE": (-60_000.0, 0.11),
    "AVAX": (350.0, 30.0),
    "LINK": (-400.0, 16.0),
}

BACKTEST = {
    "backtest_days": 507.0,
    "backtest_exceeded": 27.0,
    "backtest_expected": 25.35,
    "backtest_kupiec_p": 0.73,
    "backtest_christoffersen_p": 0.4,
}


@cache
def _book() -> Market:
    made = market(StressLoss(max=0.2), GrossExposure(max=3.0), held=HELD, scenarios=_scenarios())
    made.give(read(*real(*list(HELD)[:-1]), noise("LINK", 5, 120)))
    made.wait(2)
    question = next(a for a in made.actions if isinstance(a, actions.AnalyzeRisk))
    made.give(
        events.RiskAnalyzed(
            request_id=question.request_id,
            as_of_ms=question.as_of_ms,
            studies=(Study(PORTFOLIO, BACKTEST),),
        )
    )
    return made


def _scenarios() -> tuple[Any, ...]:
    return expanded(shipped_scenarios())


@cache
def _said(name: str, words: tuple[tuple[str, Any], ...]) -> str:
    reply = _book().command(name, **dict(words))
    assert reply.ok, reply.message
    return json.dumps(reply.document, allow_nan=False)


def document(name: str, **args: Any) -> Any:
    """Return what a command says of the book, as the door hands it over."""
    return json.loads(_said(name, tuple(args.items())))
