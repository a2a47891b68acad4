"""Read models for people and doors: the documents of spec.md section 10, from the Book.

Nothing is computed here that is not a copy, a sum of rows, or a rename.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from riskbot.core import exits, hedgeviews, tellings
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import PORTFOLIO, Level, TradingState, account_scope

if TYPE_CHECKING:
    from riskbot.core.exposure import Aggregate, Leg, ScopeBook
    from riskbot.core.limits._base import Limit, Verdict
    from riskbot.core.state import State


def status(state: State, now_ms: int) -> dict[str, Any]:
    """Return the document of `/v1/status`."""
    book = state.scopes(now_ms).get(PORTFOLIO)
    losses = book.losses if book else None
    enforcement = state.enforcement
    return {
        "instance": state.settings.instance,
        "mode": state.settings.mode.value,
        "version": state.feeds.version,
        "trading_state": public_state(state, PORTFOLIO).value,
        "would_be_state": enforcement.state_of(PORTFOLIO, enforced_only=False).value,
        "starting": any(not state.is_synced(a) for a in state.settings.accounts),
        "holds": holds(state),
        "blind": blinds(state),
        "equity_usd": book.equity_usd if book else None,
        "gross_exposure": book.ratio(book.gross_usd) if book else None,
        "net_exposure": book.ratio(book.net_usd) if book else None,
        "drawdown": losses.drawdown if losses else None,
        "daily_loss": losses.daily_loss if losses else None,
        "daily_pnl_usd": losses.daily_pnl_usd if losses else None,
        "accounts": accounts(state, now_ms),
        "strategies": strategies(state),
        "told": tellings.rows(state),
        "feeds": feeds(state, now_ms),
        "intents": intents(state),
        "alerts": alerts(state, now_ms),
        "limits": limits(state, now_ms),
        "as_of_ms": now_ms,
    }


def blinds(state: State) -> list[dict[str, Any]]:
    """Return what riskbot cannot see or do now."""
    return [
        {
            "what": f"{what.value}:{subject}" if subject else what.value,
            "since_ms": since,
            "reason": reason,
        }
        for (what, subject), (reason, since) in state.enforcement.blinds.items()
    ]


def public_state(state: State, scope: str) -> TradingState:
    """Return the enforced trading state; starting and stopping show HALTED."""
    if state.enforcement.is_stopping or state.enforcement.halt_file:
        return TradingState.HALTED
    account = scope.partition(":")[2] if scope.startswith("account:") else ""
    names = [account] if account else list(state.settings.accounts)
    if names and not any(state.is_synced(name) for name in names):
        return TradingState.HALTED
    return state.enforcement.state_of(scope)


def holds(state: State) -> list[dict[str, Any]]:
    """Return every hold, enforced or not."""
    return [
        {
            "limit": hold.limit,
            "scope": hold.scope,
            "state": hold.state.value,
            "since_ms": hold.since_ms,
            "latched": hold.is_latched,
            "reason": hold.reason,
            "enforced": hold.is_enforced,
            "keys": list(hold.keys),
            "until_ms": hold.until_ms,
        }
        for hold in state.enforcement.holds.values()
    ]


def accounts(state: State, now_ms: int) -> dict[str, Any]:
    """Return one entry per account."""
    found = {}
    for name, settings in state.settings.accounts.items():
        scope = account_scope(name)
        book = state.scopes(now_ms).get(scope)
        known = state.accounts.get(name)
        held_by = "cancel only"
        if settings.exclusive:
            held_by = "gateway"
        found[name] = {
            "exchange": settings.exchange,
            "trading_state": public_state(state, scope).value,
            "would_be_state": state.enforcement.state_of(scope, enforced_only=False).value,
            "equity_usd": book.equity_usd if book else None,
            "gross_usd": book.gross_usd if book else None,
            "net_usd": book.net_usd if book else None,
            "margin_ratio": _worst_margin(book),
            "held_by": held_by,
            "blind": not known.is_synced or state.is_account_blind(name),
            "error": known.failure,
            "working_orders": len(known.orders),
            "hedge_mode": known.is_hedge_mode,
            "dead_man": dead_man(state, name, now_ms),
            "requests": state.feeds.requests.get(name),
            "key_rights": state.feeds.rights.get(name),
        }
    return found


def dead_man(state: State, account: str, now_ms: int) -> dict[str, Any] | None:
    """Return what people see of an account's switch; None where none is wanted."""
    policy = state.settings.accounts[account].dead_man.policy
    known = state.feeds.dead_men.get(account)
    if policy == "off":
        return known
    told = known or {"is_armed": False, "detail": "no order that it would cancel", "until_ms": None}
    until_ms = told["until_ms"]
    if told["is_armed"] and until_ms is not None and until_ms < now_ms:
        told = told | {"is_armed": False, "detail": "lapsed"}
    protects = bool(exits.protective(state.accounts.get(account)))
    if policy == "entries_only" and protects and not told["is_armed"]:
        told = told | {"detail": "not armed: would cancel stops"}
    return {"policy": policy} | told


def _worst_margin(book: ScopeBook | None) -> float | None:
    ratios = [r for _, r in book.maintenance_margin if r is not None] if book else []
    return max(ratios) if ratios else None


def strategies(state: State) -> dict[str, Any]:
    """Return one entry per strategy."""
    return {
        name: {
            "accounts": list(settings.accounts),
            "capital_usd": settings.capital_usd,
            "trading_state": state.enforcement.state_of(f"strategy:{name}").value,
        }
        for name, settings in state.settings.strategies.items()
    }


def feeds(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return every feed with its age."""
    rows = []
    for (account, name), feed in sorted(state.feeds.feeds.items()):
        age = (now_ms - feed.seen_ms) / 1000 if feed.seen_ms else None
        rows.append(
            {
                "account": account,
                "feed": name,
                "age_s": age,
                "ok": feed.lost_ms is None,
                "reason": feed.reason if feed.lost_ms is not None else "",
            }
        )
    return rows


def intents(state: State) -> list[dict[str, Any]]:
    """Return the work under way."""
    return [
        {
            "id": intent.intent_id,
            "kind": intent.kind.value,
            "account": intent.account,
            "phase": intent.phase.value,
            "since_ms": intent.started_ms,
            "causes": [list(cause) for cause in intent.causes],
            "targets": [
                {
                    "instrument": t.key.symbol,
                    "side": t.key.side.value,
                    "quantity": str(state.quantity(t.key)),
                    "target": str(t.quantity),
                    "rung": t.rung.value,
                    "kept": t.kept,
                    "note": t.note,
                }
                for t in intent.targets
            ],
        }
        for intent in state.enforcement.intents.values()
    ]


def positions(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return the document of `/v1/positions`, largest first."""
    book = state.scopes(now_ms).get(PORTFOLIO)
    legs = sorted(book.legs, key=lambda leg: -abs(leg.notional_usd or 0.0)) if book else []
    return [_position(leg, state.analysis.sigmas(leg)) for leg in legs]


def _position(leg: Leg, sigmas: float | None) -> dict[str, Any]:
    return {
        "account": leg.key.account,
        "instrument": leg.key.symbol,
        "underlying": leg.underlying,
        "side": "long" if leg.quantity >= 0 else "short",
        "quantity": leg.quantity,
        "entry": leg.entry,
        "mark": leg.mark_usd,
        "notional_usd": leg.notional_usd,
        "leverage": leg.leverage,
        "delta_usd": leg.delta_usd,
        "gamma": leg.gamma,
        "vega": leg.vega,
        "usd_per_1pct": None if leg.delta_usd is None else leg.delta_usd / 100,
        "unrealized_pnl_usd": leg.unrealized_pnl_usd,
        "stop": leg.stop,
        "risk_usd": leg.risk_usd,
        "liquidation_price": leg.liquidation_price,
        "liquidation_distance": leg.liquidation_distance,
        "liquidation_sigmas": sigmas,
        "closable": leg.is_closable,
        "kept_reason": leg.kept_reason,
        "estimated": leg.is_estimated,
        "dust": leg.is_dust,
        "sector": leg.sector,
    }


def exposure(state: State, now_ms: int) -> dict[str, Any]:
    """Return the document of `/v1/exposure`."""
    book = state.scopes(now_ms)[PORTFOLIO]
    keyed = {"assets": book.underlyings, "sectors": book.sectors, "groups": book.groups}
    top = sorted(book.underlyings.items(), key=lambda item: -item[1].gross)[:5]
    return {
        "equity_usd": book.equity_usd,
        "gross_usd": book.gross_usd,
        "net_usd": book.net_usd,
        "gross_exposure": book.ratio(book.gross_usd),
        "net_exposure": book.ratio(book.net_usd),
        **{name: _shares(book, sums) for name, sums in keyed.items()},
        "breakdown": {name: _sums(book, sums) for name, sums in keyed.items()},
        "top": [{"underlying": name, **_sum(book, sums)} for name, sums in top],
        "hedges": hedgeviews.hedges(state, now_ms),
        "unpriced": list(book.unpriced),
        "unlisted": list(book.unlisted),
        "as_of_ms": now_ms,
    }


def _shares(book: ScopeBook, sums: dict[str, Aggregate]) -> dict[str, float | None]:
    """Return gross over capital by key, largest first."""
    ordered = sorted(sums.items(), key=lambda item: -item[1].gross)
    return {name: book.ratio(aggregate.gross) for name, aggregate in ordered}


def _sums(book: ScopeBook, sums: dict[str, Aggregate]) -> dict[str, Any]:
    ordered = sorted(sums.items(), key=lambda item: -item[1].gross)
    return {name: _sum(book, aggregate) for name, aggregate in ordered}


def _sum(book: ScopeBook, aggregate: Aggregate) -> dict[str, Any]:
    return {
        "gross_usd": aggregate.gross,
        "net_usd": aggregate.net,
        "gross_exposure": book.ratio(aggregate.gross),
        "net_exposure": book.ratio(aggregate.net),
    }


def limits(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return the document of `/v1/limits`: the worst reading of each limit of each scope."""
    rows = []
    scopes = state.scopes(now_ms)
    for scope, limit in state.limits:
        book = scopes.get(scope)
        verdicts = state.check(limit, book) if book is not None else []
        rows.append(_limit_row(state, scope, limit, verdicts))
    return rows


def _limit_row(state: State, scope: str, limit: Limit, verdicts: list[Verdict]) -> dict[str, Any]:
    known = [v for v in verdicts if v.utilization is not None]
    worst = max(known or verdicts, key=lambda v: v.utilization or 0.0, default=None)
    episode = state.enforcement.episodes.get((scope, limit.name))
    level = worst.level if worst else Level.OK
    if episode is not None and level is not Level.UNKNOWN:
        level = max(level, episode.level, key=lambda lv: lv.rank)
    measured = worst.measured if worst else 0.0
    headroom = None
    if measured is not None:
        headroom = measured - limit.allowed if limit.is_min else limit.allowed - measured
    return {
        "name": limit.name,
        "scope": scope,
        "subject": worst.key if worst else "",
        "measured": measured,
        "limit": limit.allowed,
        "unit": limit.unit,
        "utilization": worst.utilization if worst else 0.0,
        "level": level.value,
        "yellow": limit.levels[0],
        "orange": limit.levels[1],
        "on_breach": limit.on_breach.value,
        "headroom": headroom,
        "reason": worst.reason if worst else "",
        "stage": episode.stage.value if episode else None,
    }


def alerts(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return the document of `/v1/alerts`: what fires, worst first."""
    del now_ms
    firing = sorted(state.alerts.firing.values(), key=lambda a: (-a.level.rank, a.since_ms))
    return [alert_now(state, a) for a in firing]


def ended_alerts(state: State, now_ms: int, within_ms: int) -> list[dict[str, Any]]:
    """Return the alerts that ended in the last `within_ms`, the newest first."""
    ended = [a for a in state.alerts.resolved if now_ms - (a.resolved_ms or 0) <= within_ms]
    return [alert_now(state, a) for a in reversed(ended)]


def alert_now(state: State, row: Alert) -> dict[str, Any]:
    """Return an alert with who keeps it silent and the message it stands in."""
    silence = state.alerts.silence_of(row) if row.status is AlertStatus.FIRING else None
    threads = state.alerts.threads.values()
    found = [t for t in threads if row.alert_id in t.members]
    return {
        **alert(row),
        "silenced_by": silence.actor if silence is not None else None,
        "silenced_until_ms": silence.until_ms if silence is not None else None,
        "thread": found[-1].thread_id if found else None,
        "delivered": found[-1].delivered if found else {},
    }


def alert(row: Alert) -> dict[str, Any]:
    """Return one alert as a document."""
    return {
        "id": row.alert_id,
        "level": row.level.value if row.status is AlertStatus.FIRING else "resolved",
        "limit": row.name,
        "scope": row.scope,
        "since_ms": row.since_ms,
        "measured": row.measured,
        "allowed": row.allowed,
        "worst": row.worst,
        "title": row.title,
        "text": row.text,
        "did": row.did,
        "todo": row.todo,
        "acked_by": row.acked_by,
        "acked_ms": row.acked_ms,
        "status": row.status.value,
        "worst_level": row.worst_level.value,
        "updated_ms": row.updated_ms,
        "resolved_ms": row.resolved_ms,
        "is_flapping": row.is_flapping,
        "timeline": [list(step) for step in row.timeline],
    }
