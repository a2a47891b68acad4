"""What scenarios would do to a book, as people and scripts read it, each number with its inputs.

Copies for people and doors; what a scenario does is `stressing`, what could be done `suggesting`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from riskbot.core import funding as carry
from riskbot.core import stressing, suggesting
from riskbot.core.limits._base import position_subject
from riskbot.core.model import PORTFOLIO
from riskbot.core.quotes import spread_of
from riskbot.core.scenarios import Scenario
from riskbot.core.stressed import Inputs, PositionStress, StressResult

if TYPE_CHECKING:
    from riskbot.core.state import State


LEGS_AT_ONCE = 25
"""Up to so many positions all scenarios are worked out when they are asked for."""

LEGS_A_SECOND = 250
"""So many positions are put through a scenario in a second, else it takes longer turns."""


def inputs_of(state: State, scope: str, now_ms: int) -> Inputs:
    """Return what is known beside the Book: volatilities, funding, spreads, the accounts' Books."""
    panel = state.analysis.panel
    volatilities = {}
    if panel is not None:
        volatilities = {
            name: float(panel.volatility[place])
            for name, place in panel.columns.items()
            if panel.has(name)
        }
    scopes = state.scopes(now_ms)
    funding: dict[tuple[str, str], float] = {}
    spreads: dict[tuple[str, str], float] = {}
    for leg in scopes[scope].legs:
        at = (leg.key.account, leg.key.symbol)
        quote = state.quote(*at)
        spread = spread_of(quote.bid, quote.ask)
        if spread is not None:
            spreads[at] = spread
        share = carry.daily_share(carry.rate_of(state.meter.marks, leg), now_ms)
        if share is not None:
            funding[at] = share
    return Inputs(
        volatilities=volatilities,
        funding=funding,
        spreads=spreads,
        accounts={name: scopes[f"account:{name}"] for name in state.settings.accounts},
        has_fixed_capital=scope == PORTFOLIO and state.settings.capital == "fixed",
    )


def result_of(
    state: State, scenario: Scenario, scope: str, now_ms: int, inputs: Inputs | None = None
) -> StressResult:
    """Apply a scenario to the Book of a scope, and ask its limits after it.

    Args:
        state: the state.
        scenario: what happens.
        scope: whose book.
        now_ms: UTC ms.
        inputs: of the scope, where the caller has them already.
    """
    limits = [limit for name, limit in state.limits if name == scope]
    inputs = inputs if inputs is not None else inputs_of(state, scope, now_ms)
    return stressing.apply(scenario, state.scopes(now_ms)[scope], inputs, limits)


def rotate(state: State, now_ms: int) -> None:
    """Work one scenario out anew, in its turn: all at once would hold the guard up."""
    known, scenarios = state.analysis, state.settings.scenarios
    book = state.scopes(now_ms)[PORTFOLIO]
    pause_ms = 1_000 * max(1.0, len(book.legs) / LEGS_A_SECOND)
    if not scenarios or now_ms - known.stressed_ms < pause_ms:
        return
    known.stressed_ms = now_ms
    known.stress_turn = (known.stress_turn + 1) % len(scenarios)
    scenario = scenarios[known.stress_turn]
    result = result_of(state, scenario, PORTFOLIO, now_ms)
    known.stressed[scenario.name] = summary(result) | {"as_of_ms": now_ms}


def overview(
    state: State, now_ms: int, scope: str = PORTFOLIO, *, is_guarding: bool = True
) -> dict[str, Any]:
    """Return every scenario with what it would cost, the worst first, unknown ones before all.

    Args:
        state: the state.
        now_ms: UTC ms.
        scope: whose book.
        is_guarding: orders may wait for this: of a large portfolio what was worked out lately is
            shown, each scenario with its time, and nothing of a large account.
    """
    book = state.scopes(now_ms)[scope]
    limit = state.limit(scope, "stress_loss")
    scenarios = state.settings.scenarios
    if not is_guarding or len(book.legs) <= LEGS_AT_ONCE:
        inputs = inputs_of(state, scope, now_ms)
        results = (result_of(state, each, scope, now_ms, inputs) for each in scenarios)
        rows = [summary(result) | {"as_of_ms": now_ms} for result in results]
    else:
        kept = state.analysis.stressed if scope == PORTFOLIO else {}
        rows = [kept.get(each.name) or _later(each) for each in scenarios]
    rows.sort(key=lambda row: -math.inf if (share := row["loss"]) is None else -share)
    return {
        "scope": scope,
        "as_of_ms": now_ms,
        "equity_usd": book.equity_usd,
        "gross_usd": book.gross_usd,
        "net_usd": book.net_usd,
        "limit": limit.allowed if limit is not None else None,
        "scenarios": rows,
    }


def _named(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "kind": scenario.kind,
        "basis": scenario.basis,
        "counted": scenario.is_read,
    }


def _later(scenario: Scenario) -> dict[str, Any]:
    return _named(scenario) | {
        "pnl_usd": None,
        "loss": None,
        "equity_after_usd": None,
        "margin_after": None,
        "liquidated": [],
        "broken": [],
        "unknown": ["not worked out yet: so large a book takes its time; or ask offline"],
        "as_of_ms": None,
    }


def summary(result: StressResult) -> dict[str, Any]:
    """Return a scenario in one row."""
    margins = [pool.after for pool in result.moves.pools if pool.after is not None]
    return _named(result.scenario) | {
        "pnl_usd": _finite(result.pnl_usd),
        "loss": _finite(result.share),
        "equity_after_usd": _finite(result.equity_after_usd),
        "margin_after": _finite(max(margins, default=None)),
        "liquidated": [position_subject(each.key) for each in result.liquidated],
        "broken": [row.limit for row in result.broken if not row.was_broken],
        "unknown": list(result.unknown),
    }


def detail(state: State, scenario: Scenario, now_ms: int, scope: str = PORTFOLIO) -> dict[str, Any]:
    """Return one scenario position by position, with everything each number comes from."""
    result = result_of(state, scenario, scope, now_ms)
    positions = sorted(result.moves.positions, key=_worst_first)
    return summary(result) | {
        "scope": scope,
        "as_of_ms": now_ms,
        "description": scenario.description,
        "source": scenario.source,
        "equity_usd": result.equity_before_usd,
        "venue_lost": result.moves.venue,
        "positions": [_position(each) for each in positions],
        "cash": [
            {
                "account": each.account,
                "asset": each.name,
                "value_usd": each.value_usd,
                "shock": each.shock,
                "pnl_usd": _finite(each.pnl_usd),
                "words": each.words,
            }
            for each in result.moves.cash
        ],
        "margin": [
            {
                "subject": pool.subject,
                "before": _finite(pool.before),
                "after": _finite(pool.after),
                "equity_after_usd": _finite(pool.equity_after_usd),
                "reason": pool.reason,
            }
            for pool in result.moves.pools
        ],
        "liquidations": [
            {"position": position_subject(each.key), "reason": each.reason}
            for each in result.liquidated
        ],
        "limits": [
            {
                "limit": row.limit,
                "key": row.key,
                "before": _finite(row.before),
                "after": _finite(row.after),
                "allowed": row.allowed,
                "was_broken": row.was_broken,
            }
            for row in result.broken
        ],
        "unjudged": [
            {"limit": row.limit, "key": row.key, "reason": row.reason} for row in result.unjudged
        ],
    }


def _worst_first(position: PositionStress) -> tuple[float, str]:
    # Equal losses stand in the order of their names: the same page each time.
    pnl = position.pnl_usd
    return (-math.inf if pnl is None else pnl, position_subject(position.key))


def _position(each: PositionStress) -> dict[str, Any]:
    return {
        "account": each.key.account,
        "instrument": each.key.symbol,
        "underlying": each.underlying,
        "quantity": each.quantity,
        "mark_usd": each.mark_usd,
        "delta_usd": each.delta_usd,
        "shock": each.shock,
        "shock_from": each.origin,
        "quote_shock": each.quote_shock,
        "pnl_usd": _finite(each.pnl_usd),
        "parts": [
            {"cause": part.cause, "usd": _finite(part.usd), "words": part.words}
            for part in each.parts
        ],
        "notes": list(each.notes),
    }


def suggestion(
    state: State, scenario: Scenario, allowed: float, now_ms: int, scope: str = PORTFOLIO
) -> dict[str, Any]:
    """Return the smallest trades that bring a scenario's loss inside what is allowed: advice only.

    Args:
        state: the state.
        scenario: what happens.
        allowed: largest loss as a share of E, > 0.
        now_ms: UTC ms.
        scope: whose book.
    """
    book = state.scopes(now_ms)[scope]
    found = suggesting.suggest(scenario, book, allowed, inputs_of(state, scope, now_ms))
    return {
        "scenario": found.scenario,
        "scope": scope,
        "as_of_ms": now_ms,
        "allowed": found.allowed,
        "before": _finite(found.before),
        "after": _finite(found.after),
        "is_enough": found.is_enough,
        "note": found.note,
        "turnover_usd": found.turnover_usd,
        "trades": [
            {
                "account": trade.key.account,
                "instrument": trade.key.symbol,
                "side": trade.side.value,
                "quantity": format(trade.quantity, "f"),
                "turnover_usd": trade.turnover_usd,
                "saves_usd": trade.saves_usd,
            }
            for trade in found.trades
        ],
    }


def _finite(value: float | None) -> float | None:
    """Return what JSON can hold; a ratio over nothing is none."""
    return value if value is not None and math.isfinite(value) else None
