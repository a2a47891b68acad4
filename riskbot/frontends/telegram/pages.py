"""The pages people ask for: /status, /positions, /limits, /alerts, /help.

From the guard's documents to Telegram HTML; every value is escaped, every table has at most 34
columns, and no text holds a dangerous command that a tap would send. Zone and language are those
of the `reader`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

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
from riskbot.frontends.telegram.reader import phrase, say

Document = dict[str, Any]

BADGES = {
    "ok": phrase("🟢 OK"),
    "yellow": phrase("🟡 YELLOW"),
    "orange": phrase("🟠 ORANGE"),
    "unknown": phrase("⚪ UNKNOWN"),
    "red": phrase("🔴 RED"),
    "resolved": phrase("✅ RESOLVED"),
}
STALE_S = 30.0
ROWS_MAX = 60

# Limits that /status shows as a bar: what people ask first.
_BARS = (
    ("drawdown", phrase("Drawdown")),
    ("daily_loss", phrase("Daily")),
    ("gross_exposure", phrase("Gross")),
    ("net_exposure", phrase("Net")),
    ("maintenance_margin", phrase("Margin")),
)


def escape(value: object) -> str:
    """Return a value that no parser takes for markup."""
    return html.escape(str(value), quote=False)


def table(lines: Iterable[str]) -> str:
    """Return lines in a monospaced block."""
    return "<pre>" + escape("\n".join(lines)) + "</pre>"


def badge(level: object) -> str:
    """Return a level as its color and word: `🔴 RED`."""
    return say(BADGES[str(level)]) if str(level) in BADGES else str(level)


def level_word(level: object) -> str:
    """Return the word of a level alone, for tables: `RED`."""
    return badge(level).partition(" ")[2] if str(level) in BADGES else str(level).upper()


def stale_words(age_s: float | None) -> str:
    """Return that there is no data, or how old it is."""
    if age_s is None:
        return say("no data yet")
    return say("the data is {age} old", age=duration(age_s))


# ---------------------------------------------------------------- status


def status(document: Document, positions: Sequence[Document] | None) -> str:
    """Return the page of /status: level, halt, equity, losses, exposure, age of the data."""
    age_s = data_age_s(document)
    is_stale = age_s is None or age_s > STALE_S
    lines = [escape(f"{level_line(document)} · {mode(document)} · {document.get('instance')}")]
    lines += [escape(line) for line in halts(document)]
    if is_stale:
        seen = stale_words(age_s)
        lines.append(escape(say("⚫ {seen}: figures are not shown as fresh", seen=seen)))
    rows = _figures(document, positions) if not is_stale else [spread(say("Equity"), UNKNOWN)]
    rows += _accounts(document)
    lines.append(table(rows))
    now = clock(document.get("as_of_ms") or 0)
    aged = say("no data") if age_s is None else say("data {age} old", age=duration(age_s))
    trading = say("Trading {state}", state=document.get("trading_state"))
    lines.append(escape(f"{trading} · {aged} · {now}"))
    return "\n".join(lines)


def level_line(document: Document) -> str:
    """Return the level of a status as badge and count of open alerts."""
    alerts = document.get("alerts") or []
    worst = max((Level(a["level"]) for a in alerts), key=lambda lv: lv.rank, default=Level.OK)
    count = say("{count} alerts", count=len(alerts))
    if len(alerts) < 2:
        count = say("1 alert") if alerts else say("no alert")
    age_s = data_age_s(document)
    is_stale = age_s is None or age_s > STALE_S
    return f"{say('⚫ NO DATA') if is_stale else badge(worst)} · {count}"


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


def halts(document: Document) -> list[str]:
    """Return one line per hold: what, since when, who or what, and why."""
    lines = []
    for hold in document.get("holds") or []:
        state = hold.get("state", "HALTED")
        mark = "⛔" if state == "HALTED" else "✋"
        scope = "" if hold.get("scope") == "portfolio" else f" {hold.get('scope')}"
        would = "" if hold.get("enforced", True) else say(" (shadow: not enforced)")
        held = say(
            "{what} since {since}, {limit}",
            what=f"{mark} {state}{scope}",
            since=clock(hold.get("since_ms") or 0),
            limit=hold.get("limit"),
        )
        lines.append(held + would)
        if hold.get("reason"):
            lines.append(f"   {cut(str(hold['reason']), 120)}")
    if document.get("starting"):
        lines.append(say("⏳ starting: an account is not read yet"))
    return lines


def _figures(document: Document, positions: Sequence[Document] | None) -> list[str]:
    equity, pnl = document.get("equity_usd"), document.get("daily_pnl_usd")
    before = None if equity is None or pnl is None else equity - pnl
    share = pnl / before if before and pnl is not None else None
    rows = [
        spread(say("Equity"), f"{money(equity)} USD"),
        spread(say("Day PnL"), f"{money(pnl, sign=True)} {right(percent(share, sign=True), 8)}"),
    ]
    limits = document.get("limits") or []
    for name, label in _BARS:
        row = worst(limits, name)
        if row is not None:
            shown = (
                f"{measure(row.get('measured'), row['unit'])}/{measure(row['limit'], row['unit'])}"
            )
            rows.append(left(say(label), 9) + bar(row.get("utilization")) + " " + right(shown, 14))
        elif document.get(name) is not None:
            rows.append(spread(say(label), measure(document[name], "ratio")))
    if positions is not None:
        longs = sum(p.get("side") == "long" for p in positions)
        count = f"long {longs} / short {len(positions) - longs}"
        rows.append(spread(say("Positions {count}", count=len(positions)), count))
    return rows


def worst(limits: Sequence[Document], name: str) -> Document | None:
    """Return the row of a limit: the portfolio's, else the fullest; None = it is not on."""
    rows = [row for row in limits if row.get("name") == name]
    whole = [row for row in rows if row.get("scope") == "portfolio"]
    return max(whole or rows, key=lambda row: row.get("utilization") or 0.0, default=None)


def more(count: int) -> str:
    """Return that a list goes on."""
    return say("… and {count} more", count=count)


def listed(names: Sequence[object], most: int = 5) -> str:
    """Return some names, and how many there are besides."""
    shown = ", ".join(str(name) for name in names[:most])
    return f"{shown} {more(len(names) - most)}" if len(names) > most else shown


def _accounts(document: Document) -> list[str]:
    rows = []
    for name, account in (document.get("accounts") or {}).items():
        state = "BLIND" if account.get("blind") else account.get("trading_state", UNKNOWN)
        rows.append(spread(name, f"{money(account.get('equity_usd'), 0)} {right(state, 8)}"))
    return rows


# ---------------------------------------------------------------- positions


def positions(rows: Sequence[Document], document: Document) -> str:
    """Return the page of /positions, largest first."""
    gross, net = document.get("gross_exposure"), document.get("net_exposure")
    if not rows:
        return escape(f"{say('No positions')} · {clock(document.get('as_of_ms') or 0)}")
    head = say(
        "Positions ({count}) · gross {gross} · net {net}",
        count=len(rows),
        gross=measure(gross, "ratio"),
        net=measure(net, "ratio"),
    )
    lines = [left(say("Symbol"), 9) + left(say("Side"), 6) + right("USD", 10) + right("uPnL", 9)]
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
        lines.append(more(len(rows) - ROWS_MAX))
    lines.append("-" * WIDTH)
    lines.append(
        left(say("Total"), 15)
        + right(money(_sum(rows, "notional_usd"), 0), 10)
        + right(money(_sum(rows, "unrealized_pnl_usd"), 1, sign=True), 9)
    )
    one = say("/positions BTC for one")
    tail = f"{clock(document.get('as_of_ms') or 0)} · {one}"
    return "\n".join([escape(head), table(lines), escape(tail)])


def position(row: Document, now_ms: float) -> str:
    """Return the page of one position."""
    distance = row.get("liquidation_distance")
    rows = [
        spread(say("Quantity"), quantity(row.get("quantity"))),
        spread(say("Notional"), f"{money(row.get('notional_usd'), 0)} USD"),
        spread(say("Entry"), price(row.get("entry"))),
        spread(say("Mark"), price(row.get("mark"))),
        spread(say("uPnL"), f"{money(row.get('unrealized_pnl_usd'), 2, sign=True)} USD"),
        spread(say("Liquidation"), price(row.get("liquidation_price"))),
        spread(say("  distance"), percent(distance)),
        spread(say("Stop"), price(row.get("stop"))),
        spread(say("At risk"), f"{money(row.get('risk_usd'), 0)} USD"),
        spread(say("Per 1 %"), f"{money(row.get('usd_per_1pct'), 2)} USD"),
    ]
    if not row.get("closable", True):
        rows += wrap(say("not closable: {reason}", reason=row.get("kept_reason") or ""))
    head = f"{row.get('instrument')} · {row.get('side')} · {row.get('account')}"
    return "\n".join([f"<b>{escape(head)}</b>", table(rows), escape(clock(now_ms))])


def _sum(rows: Sequence[Document], name: str) -> float | None:
    values = [row.get(name) for row in rows]
    # One unknown makes the sum unknown: it must not look smaller than it is.
    return None if None in values else sum(v for v in values if v is not None)


# ---------------------------------------------------------------- limits, alerts


def limits(rows: Sequence[Document], now_ms: float) -> str:
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
        word = level_word(row.get("level"))
        lines.append(left(word, 9) + bar(row.get("utilization")) + " " + right(shown, 14))
    if len(known) > ROWS_MAX:
        lines.append(more(len(known) - ROWS_MAX))
    head = f"{say('Limits ({count})', count=len(rows))} · {clock(now_ms)}"
    return escape(head) + "\n" + table(lines or [say("no limit is on")])


def alerts(rows: Sequence[Document], now_ms: float) -> str:
    """Return the page of /alerts: what fires, worst first."""
    if not rows:
        return escape(f"{say('🟢 No alert fires')} · {clock(now_ms)}")
    lines = [escape(f"{say('Alerts ({count})', count=len(rows))} · {clock(now_ms)}")]
    for row in rows[:20]:
        since = duration((now_ms - (row.get("since_ms") or now_ms)) / 1000)
        acked = say(", acked by {who}", who=row["acked_by"]) if row.get("acked_by") else ""
        level = escape(badge(row.get("level")))
        lines.append(f"<b>{level}</b> #{escape(row.get('id'))} {escape(row.get('title'))}")
        lasted = say("{scope}, for {since}", scope=row.get("scope"), since=since)
        lines.append(escape(f"   {lasted}{acked}"))
        if row.get("did"):
            lines.append(escape(f"   {cut(str(row['did']), 160)}"))
    if len(rows) > 20:
        lines.append(more(len(rows) - 20))
    return "\n".join(lines)
