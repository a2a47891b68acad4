"""The pages people ask for: /status, /positions, /limits, /alerts, /help.

From the guard's documents to Telegram HTML; every value is escaped, every table has at most 34
columns, and no text holds a dangerous command that a tap would send.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from riskbot.core.model import Level
from riskbot.frontends.telegram.figures import (
    UNKNOWN,
    WIDTH,
    bar,
    clock,
    cut,
    duration,
    left,
    measure,
    money,
    percent,
    price,
    quantity,
    right,
    spread,
    wrap,
)

Document = dict[str, Any]

BADGES = {
    "ok": "🟢 OK",
    "yellow": "🟡 YELLOW",
    "orange": "🟠 ORANGE",
    "unknown": "⚪ UNKNOWN",
    "red": "🔴 RED",
    "resolved": "✅ RESOLVED",
}
NO_DATA = "⚫ NO DATA"
STALE_S = 30.0
ROWS_MAX = 60

# Limits that /status shows as a bar: what people ask first.
_BARS = (
    ("drawdown", "Drawdown"),
    ("daily_loss", "Daily"),
    ("gross_exposure", "Gross"),
    ("net_exposure", "Net"),
    ("maintenance_margin", "Margin"),
)


def escape(value: object) -> str:
    """Return a value that no parser takes for markup."""
    return html.escape(str(value), quote=False)


def table(lines: Iterable[str]) -> str:
    """Return lines in a monospaced block."""
    return "<pre>" + escape("\n".join(lines)) + "</pre>"


# ---------------------------------------------------------------- status


def status(document: Document, positions: Sequence[Document] | None, zone: ZoneInfo) -> str:
    """Return the page of /status: level, halt, equity, losses, exposure, age of the data."""
    age_s = data_age_s(document)
    is_stale = age_s is None or age_s > STALE_S
    lines = [escape(f"{level_line(document)} · {mode(document)} · {document.get('instance')}")]
    lines += [escape(line) for line in halts(document, zone)]
    if is_stale:
        seen = "no data yet" if age_s is None else f"the data is {duration(age_s)} old"
        lines.append(f"⚫ {seen}: figures are not shown as fresh")
    rows = _figures(document, positions) if not is_stale else [spread("Equity", UNKNOWN)]
    rows += _accounts(document)
    lines.append(table(rows))
    now = clock(document.get("as_of_ms") or 0, zone)
    aged = "no data" if age_s is None else f"data {duration(age_s)} old"
    lines.append(escape(f"Trading {document.get('trading_state')} · {aged} · {now}"))
    return "\n".join(lines)


def level_line(document: Document) -> str:
    """Return the level of a status as badge and count of open alerts."""
    alerts = document.get("alerts") or []
    worst = max((Level(a["level"]) for a in alerts), key=lambda lv: lv.rank, default=Level.OK)
    count = "no alert" if not alerts else "1 alert" if len(alerts) == 1 else f"{len(alerts)} alerts"
    age_s = data_age_s(document)
    badge = NO_DATA if age_s is None or age_s > STALE_S else BADGES[worst.value]
    return f"{badge} · {count}"


def data_age_s(document: Document) -> float | None:
    """Return the age of the oldest account's data, None = there is none."""
    feeds = document.get("feeds") or []
    newest: dict[str, float] = {}
    for feed in feeds:
        age = feed.get("age_s")
        if age is not None:
            account = str(feed.get("account"))
            newest[account] = min(age, newest.get(account, age))
    if not newest or set(document.get("accounts") or {}) - set(newest):
        return None
    return max(newest.values())


def mode(document: Document) -> str:
    """Return `live`, `SHADOW` or `PAPER`."""
    accounts = (document.get("accounts") or {}).values()
    if accounts and all(a.get("exchange") == "paper" for a in accounts):
        return "PAPER"
    return "live" if document.get("mode") == "enforce" else "SHADOW"


def halts(document: Document, zone: ZoneInfo) -> list[str]:
    """Return one line per hold: what, since when, who or what, and why."""
    lines = []
    for hold in document.get("holds") or []:
        state = hold.get("state", "HALTED")
        mark = "⛔" if state == "HALTED" else "✋"
        scope = "" if hold.get("scope") == "portfolio" else f" {hold.get('scope')}"
        would = "" if hold.get("enforced", True) else " (shadow: not enforced)"
        since = clock(hold.get("since_ms") or 0, zone)
        lines.append(f"{mark} {state}{scope} since {since}, {hold.get('limit')}{would}")
        if hold.get("reason"):
            lines.append(f"   {cut(str(hold['reason']), 120)}")
    if document.get("starting"):
        lines.append("⏳ starting: an account is not read yet")
    return lines


def _figures(document: Document, positions: Sequence[Document] | None) -> list[str]:
    equity, pnl = document.get("equity_usd"), document.get("daily_pnl_usd")
    before = None if equity is None or pnl is None else equity - pnl
    share = pnl / before if before and pnl is not None else None
    rows = [
        spread("Equity", f"{money(equity)} USD"),
        spread("Day PnL", f"{money(pnl, sign=True)} {right(percent(share, sign=True), 8)}"),
    ]
    limits = document.get("limits") or []
    for name, label in _BARS:
        row = worst(limits, name)
        if row is not None:
            shown = (
                f"{measure(row.get('measured'), row['unit'])}/{measure(row['limit'], row['unit'])}"
            )
            rows.append(left(label, 9) + bar(row.get("utilization")) + " " + right(shown, 14))
        elif document.get(name) is not None:
            rows.append(spread(label, measure(document[name], "ratio")))
    if positions is not None:
        longs = sum(p.get("side") == "long" for p in positions)
        count = f"long {longs} / short {len(positions) - longs}"
        rows.append(spread(f"Positions {len(positions)}", count))
    return rows


def worst(limits: Sequence[Document], name: str) -> Document | None:
    """Return the row of a limit: the portfolio's, else the fullest; None = it is not on."""
    rows = [row for row in limits if row.get("name") == name]
    whole = [row for row in rows if row.get("scope") == "portfolio"]
    return max(whole or rows, key=lambda row: row.get("utilization") or 0.0, default=None)


def _accounts(document: Document) -> list[str]:
    rows = []
    for name, account in (document.get("accounts") or {}).items():
        state = "BLIND" if account.get("blind") else account.get("trading_state", UNKNOWN)
        rows.append(spread(name, f"{money(account.get('equity_usd'), 0)} {right(state, 8)}"))
    return rows


# ---------------------------------------------------------------- positions


def positions(rows: Sequence[Document], document: Document, zone: ZoneInfo) -> str:
    """Return the page of /positions, largest first."""
    gross, net = document.get("gross_exposure"), document.get("net_exposure")
    head = (
        f"Positions ({len(rows)}) · gross {measure(gross, 'ratio')} · net {measure(net, 'ratio')}"
    )
    if not rows:
        return escape(f"No positions · {clock(document.get('as_of_ms') or 0, zone)}")
    lines = [left("Symbol", 9) + left("Side", 6) + right("USD", 10) + right("uPnL", 9)]
    for row in rows[:ROWS_MAX]:
        side = "L" if row.get("side") == "long" else "S"
        if row.get("leverage"):
            side += f" {row['leverage']:g}x"
        mark = "~" if row.get("estimated") else ""
        lines.append(
            left(str(row.get("underlying")), 8)
            + " "
            + left(side, 6)
            + right(mark + money(row.get("notional_usd"), 0), 10)
            + right(money(row.get("unrealized_pnl_usd"), 1, sign=True), 9)
        )
    if len(rows) > ROWS_MAX:
        lines.append(f"… and {len(rows) - ROWS_MAX} more")
    lines.append("-" * WIDTH)
    lines.append(
        left("Total", 15)
        + right(money(_sum(rows, "notional_usd"), 0), 10)
        + right(money(_sum(rows, "unrealized_pnl_usd"), 1, sign=True), 9)
    )
    tail = f"{clock(document.get('as_of_ms') or 0, zone)} · /positions BTC for one"
    return "\n".join([escape(head), table(lines), escape(tail)])


def position(row: Document, zone: ZoneInfo, now_ms: float) -> str:
    """Return the page of one position."""
    distance = row.get("liquidation_distance")
    rows = [
        spread("Quantity", quantity(row.get("quantity"))),
        spread("Notional", f"{money(row.get('notional_usd'), 0)} USD"),
        spread("Entry", price(row.get("entry"))),
        spread("Mark", price(row.get("mark"))),
        spread("uPnL", f"{money(row.get('unrealized_pnl_usd'), 2, sign=True)} USD"),
        spread("Liquidation", price(row.get("liquidation_price"))),
        spread("  distance", percent(distance)),
        spread("Stop", price(row.get("stop"))),
        spread("At risk", f"{money(row.get('risk_usd'), 0)} USD"),
        spread("Per 1 %", f"{money(row.get('usd_per_1pct'), 2)} USD"),
    ]
    if not row.get("closable", True):
        rows += wrap(f"not closable: {row.get('kept_reason') or ''}")
    head = f"{row.get('instrument')} · {row.get('side')} · {row.get('account')}"
    return "\n".join([f"<b>{escape(head)}</b>", table(rows), escape(clock(now_ms, zone))])


def _sum(rows: Sequence[Document], name: str) -> float | None:
    values = [row.get(name) for row in rows]
    # One unknown makes the sum unknown: it must not look smaller than it is.
    return None if None in values else sum(v for v in values if v is not None)


# ---------------------------------------------------------------- limits, alerts


def limits(rows: Sequence[Document], zone: ZoneInfo, now_ms: float) -> str:
    """Return the page of /limits: now, allowed, bar; the fullest first."""
    known = sorted(rows, key=lambda row: -(row.get("utilization") or 0.0))
    lines = []
    for row in known[:ROWS_MAX]:
        unit = str(row.get("unit") or "ratio")
        shown = f"{measure(row.get('measured'), unit)}/{measure(row.get('limit'), unit)}"
        scope = str(row.get("scope"))
        of = "" if scope == "portfolio" else " " + scope.removeprefix("account:")
        name = str(row.get("name")) + of
        subject = f" {row['subject']}" if row.get("subject") not in (None, "", "+", "-") else ""
        lines.append(cut(name + subject, WIDTH))
        word = str(row.get("level")).upper()
        lines.append(left(word, 8) + bar(row.get("utilization")) + " " + right(shown, 15))
    if len(known) > ROWS_MAX:
        lines.append(f"… and {len(known) - ROWS_MAX} more")
    head = f"Limits ({len(rows)}) · {clock(now_ms, zone)}"
    return escape(head) + "\n" + table(lines or ["no limit is on"])


def alerts(rows: Sequence[Document], zone: ZoneInfo, now_ms: float) -> str:
    """Return the page of /alerts: what fires, worst first."""
    if not rows:
        return escape(f"🟢 No alert fires · {clock(now_ms, zone)}")
    lines = [escape(f"Alerts ({len(rows)}) · {clock(now_ms, zone)}")]
    for row in rows[:20]:
        since = duration((now_ms - (row.get("since_ms") or now_ms)) / 1000)
        acked = f", acked by {row['acked_by']}" if row.get("acked_by") else ""
        badge = BADGES.get(str(row.get("level")), str(row.get("level")))
        lines.append(f"<b>{escape(badge)}</b> #{escape(row.get('id'))} {escape(row.get('title'))}")
        lines.append(escape(f"   {row.get('scope')}, for {since}{acked}"))
        if row.get("did"):
            lines.append(escape(f"   {cut(str(row['did']), 160)}"))
    if len(rows) > 20:
        lines.append(f"… and {len(rows) - 20} more")
    return "\n".join(lines)
