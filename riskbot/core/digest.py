"""The daily digest: what the last 24 hours came to, and its going out once a day, silently."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from riskbot.core import actions, views
from riskbot.core.daybook import HOUR_MS, WINDOW, Hour, Rule
from riskbot.core.duty import Alert, AlertStatus
from riskbot.core.model import DIGEST, PORTFOLIO, Level

if TYPE_CHECKING:
    from riskbot.core.state import State
    from riskbot.core.turn import Turn

HOUR = 8
"""Of the day in the configured zone."""

NOISY = 6
"""A rule that is raised so often in a day says more about itself than about the book."""

NEAREST = 5
DAY_MS = 24 * HOUR_MS


def decide(turn: Turn) -> None:
    """Tell the digest when its hour has come, or came while riskbot was away."""
    daybook, now_ms = turn.state.past.daybook, turn.now_ms
    if not daybook.began_ms or not turn.state.is_settled(PORTFOLIO, now_ms):
        return
    periods = turn.state.meter.booking.periods
    due_ms = periods.at_ms(now_ms, HOUR)
    if due_ms > now_ms:
        due_ms = periods.at_ms(now_ms - DAY_MS, HOUR)
    # Nothing to tell of before the first hour is over.
    if max(daybook.told_ms, daybook.began_ms + HOUR_MS) >= due_ms:
        return
    document = digest(turn.state, now_ms)
    alert = Alert(
        alert_id=f"D{daybook.told + 1}",
        revision=1,
        level=Level.OK,
        status=AlertStatus.FIRING,
        name=DIGEST,
        scope=PORTFOLIO,
        title=title(document),
        text="\n".join(lines(document)),
        since_ms=now_ms,
        updated_ms=now_ms,
    )
    turn.emit(actions.EndDigest())
    turn.emit(actions.SendAlert(alert=alert, is_loud=False))


# ---------------------------------------------------------------- the document


def digest(state: State, now_ms: int) -> dict[str, Any]:
    """Return the digest of the last 24 hours, whole hours and the present one."""
    daybook = state.past.daybook
    since_ms = max(now_ms - now_ms % HOUR_MS - WINDOW * HOUR_MS, daybook.began_ms)
    hours = [hour for hour in daybook.hours if hour.hour_ms + HOUR_MS > since_ms]
    opened = next((hour.opened_nav for hour in hours if hour.opened_nav), None)
    rules = _rules(hours)
    book = state.scopes(now_ms).get(PORTFOLIO)
    return {
        "since_ms": since_ms,
        "until_ms": now_ms,
        "trading_state": views.public_state(state, PORTFOLIO).value,
        "equity_usd": book.equity_usd if book is not None else None,
        "pnl_usd": math.fsum(hour.pnl_usd for hour in hours),
        "pnl_share": daybook.nav / opened - 1 if opened else None,
        "worst_drawdown": max((hour.drawdown for hour in hours), default=0.0),
        "level_minutes": _levels(state, hours, since_ms, now_ms),
        "alerts": [
            {"rule": name, "raised": r.raised, "acked": r.acked, "worst": r.worst.value}
            for name, r in sorted(rules.items(), key=lambda item: (-item[1].raised, item[0]))
        ],
        "open_alerts": len(state.alerts.firing),
        "outages": _outages(state, hours, since_ms, now_ms),
        "commands": _summed([hour.commands for hour in hours]),
        "refused": sum(hour.refused for hour in hours),
        "orders": sum(hour.orders for hour in hours),
        "cancels": sum(hour.cancels for hour in hours),
        "nearest": _nearest(state, hours, now_ms),
        "noisy": [
            {"rule": name, "raised": rule.raised, "advice": "hysteresis?"}
            for name, rule in sorted(rules.items())
            if rule.raised >= NOISY
        ],
    }


def _rules(hours: list[Hour]) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for hour in hours:
        for name, rule in hour.rules.items():
            known = found.setdefault(name, Rule())
            known.raised += rule.raised
            known.acked += rule.acked
            known.worst = max(known.worst, rule.worst, key=lambda level: level.rank)
    return found


def _summed(tables: list[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in tables:
        for name, count in table.items():
            found[name] = found.get(name, 0) + count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _levels(state: State, hours: list[Hour], since_ms: int, now_ms: int) -> dict[str, float]:
    daybook = state.past.daybook
    found = _summed([hour.levels for hour in hours])
    running = max(0, now_ms - max(daybook.level_ms, since_ms))
    found[daybook.level.value] = found.get(daybook.level.value, 0) + running
    names = ("ok", "yellow", "orange", "unknown", "red")
    return {name: found.get(name, 0) / 60_000 for name in names}


def _outages(state: State, hours: list[Hour], since_ms: int, now_ms: int) -> list[dict[str, Any]]:
    found: dict[str, tuple[int, int]] = {}
    for hour in hours:
        for name, (times, ms) in hour.outages.items():
            known = found.get(name, (0, 0))
            found[name] = (known[0] + times, known[1] + ms)
    blind = state.past.daybook.blind
    for name, began_ms in blind.items():
        known = found.get(name, (0, 0))
        found[name] = (known[0] + 1, known[1] + now_ms - max(began_ms, since_ms))
    return [
        {"what": name, "times": times, "minutes": ms / 60_000, "open": name in blind}
        for name, (times, ms) in sorted(found.items(), key=lambda item: -item[1][1])
    ]


def _nearest(state: State, hours: list[Hour], now_ms: int) -> list[dict[str, Any]]:
    """Return the limits nearest to their breach now, with the nearest they were in the day."""
    rows = [row for row in views.limits(state, now_ms) if row["utilization"] is not None]
    rows.sort(key=lambda row: -float(row["utilization"]))
    found = []
    for row in rows[:NEAREST]:
        name = f"{row['scope']}|{row['name']}"
        worst = max((hour.used.get(name, 0.0) for hour in hours), default=0.0)
        found.append(
            {
                "limit": row["name"],
                "scope": row["scope"],
                "measured": row["measured"],
                "allowed": row["limit"],
                "unit": row["unit"],
                "utilization": row["utilization"],
                "worst_utilization": max(worst, float(row["utilization"])),
            }
        )
    return found


# ---------------------------------------------------------------- in words


def title(document: dict[str, Any]) -> str:
    """Return the digest in one line."""
    share = document["pnl_share"]
    said = "" if share is None else f" ({share * 100:+.2f}%)"
    worst = document["worst_drawdown"] * 100
    return f"day's digest: {document['pnl_usd']:+,.2f} USD{said}, worst drawdown {worst:.2f}%"


def lines(document: dict[str, Any]) -> list[str]:
    """Return the digest in lines of plain text."""
    minutes = document["level_minutes"]
    said = [
        "minutes " + ", ".join(f"{name} {ms:.0f}" for name, ms in minutes.items() if ms >= 0.5),
        "alerts "
        + (
            ", ".join(
                f"{row['rule']} {row['raised']} ({row['acked']} taken)"
                for row in document["alerts"]
            )
            or "none"
        ),
        "nearest "
        + (
            ", ".join(
                f"{row['limit']} {row['utilization'] * 100:.0f}%" for row in document["nearest"]
            )
            or "no limit"
        ),
    ]
    if document["outages"]:
        rows = (f"{row['what']} {row['minutes']:.0f} min" for row in document["outages"])
        said.append("out of sight " + ", ".join(rows))
    if document["commands"] or document["refused"]:
        rows = (f"{name} {count}" for name, count in document["commands"].items())
        said.append("commands " + ", ".join((*rows, f"refused {document['refused']}")))
    said += [f"{r['rule']} raised {r['raised']} times: {r['advice']}" for r in document["noisy"]]
    return said
