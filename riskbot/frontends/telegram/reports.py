"""Pages of the longer kind: orders, PnL, health, switches, sizes, the audit, the digest.

From the guard's documents to Telegram HTML, 34 columns as in `pages`; nothing here asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from riskbot.frontends.telegram.figures import (
    UNKNOWN,
    clock,
    cut,
    duration,
    left,
    measure,
    money,
    percent,
    right,
    short_clock,
    spread,
    wrap,
)
from riskbot.frontends.telegram.pages import BADGES, escape, table

Document = dict[str, Any]
ROWS_MAX = 40


def _page(head: str, lines: Sequence[str], tail: str = "") -> str:
    parts = [f"<b>{escape(head)}</b>", table(lines)]
    return "\n".join([*parts, escape(tail)] if tail else parts)


def _more(count: int) -> list[str]:
    return [f"… and {count - ROWS_MAX} more"] if count > ROWS_MAX else []


def _ago(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration(seconds)


def orders(rows: Sequence[Document], zone: ZoneInfo, now_ms: float) -> str:
    """Return the page of /orders, oldest first."""
    lines = []
    for row in rows[:ROWS_MAX]:
        name = str(row.get("instrument")).partition("/")[0]
        price = row.get("price") or row.get("trigger") or "market"
        lines.append(
            left(name, 8)
            + " "
            + left(f"{row.get('kind')} {row.get('side')}", 12)
            + right(str(price), 13)
        )
        amount = f"{row.get('quantity')}"
        if row.get("filled") not in {None, "0"}:
            amount += f" ({row['filled']} filled)"
        lines.append("  " + left(amount, 22) + right(_ago(row.get("age_s")), 10))
    tail = clock(now_ms, zone)
    return _page(f"Working orders ({len(rows)})", [*(lines or ["none"]), *_more(len(rows))], tail)


def pnl(document: Document, zone: ZoneInfo) -> str:
    """Return the page of /pnl: one row a day, totals, best and worst."""
    rows = document.get("rows") or []
    known = [abs(row["pnl_usd"]) for row in rows if row.get("pnl_usd") is not None]
    most = max(known, default=0.0)
    lines = []
    for row in rows[-31:]:
        day = datetime.fromisoformat(str(row["date"])).strftime("%a %d")
        value = row.get("pnl_usd")
        cells = round(3 * abs(value) / most) if value is not None and most else 0
        lines.append(
            left(day, 7)
            + right(money(value, 0, sign=True), 11)
            + right(percent(row.get("share"), sign=True), 9)
            + "  "
            + "▓" * cells
        )
    totals = document.get("totals") or {}
    lines += [
        "-" * 34,
        left("Total", 7)
        + right(money(totals.get("pnl_usd"), 0, sign=True), 11)
        + right(percent(totals.get("share"), sign=True), 9),
        spread("Fees", money(totals.get("fees_usd"), 2, sign=True)),
        spread("Funding", money(totals.get("funding_usd"), 2, sign=True)),
        spread("In and out", money(totals.get("flows_usd"), 0, sign=True)),
    ]
    tail = clock(document.get("as_of_ms") or 0, zone)
    if document.get("best"):
        tail = f"best {document['best']}, worst {document['worst']} · {tail}"
    return _page(f"PnL · {document.get('period')} · USD", lines, tail)


def feeds(rows: Sequence[Document], zone: ZoneInfo, now_ms: float) -> str:
    """Return the page of /feeds."""
    lines = [
        spread(
            f"{row.get('account')} {row.get('feed')}",
            f"{_ago(row.get('age_s'))} {'ok' if row.get('ok') else 'LOST'}",
        )
        for row in rows[:ROWS_MAX]
    ]
    return _page("Feeds", lines or ["none yet"], clock(now_ms, zone))


def health(document: Document, zone: ZoneInfo) -> str:
    """Return the page of /health: itself, what it hears, whom it reaches."""
    storage = document.get("storage") or {}
    lines = [
        spread("Version", str(document.get("version") or UNKNOWN)),
        spread("Up", _ago(document.get("uptime_s"))),
        spread("Journal", "ok" if storage.get("ok") else "FAILING"),
    ]
    if not storage.get("ok"):
        lines += wrap(str(storage.get("error") or ""))
    for row in document.get("accounts") or []:
        state = "BLIND" if row.get("blind") else "in sight"
        lines.append(
            spread(str(row.get("account")), f"{state}, read {_ago(row.get('read_age_s'))}")
        )
        if row.get("clock_offset_ms") is not None:
            lines.append(spread("  clock off", f"{row['clock_offset_ms']:.0f} ms"))
        if row.get("failure"):
            lines += wrap(f"  {row['failure']}")
    for row in document.get("feeds") or []:
        state = "ok" if row.get("ok") else "LOST"
        name = f"  {row.get('account')} {row.get('feed')}"
        lines.append(spread(name, f"{_ago(row.get('age_s'))} {state}"))
    for row in document.get("channels") or []:
        state = {True: "ok", False: "DOWN", None: "not tried"}[row.get("ok")]
        lines.append(spread(f"channel {row.get('channel')}", state))
        if row.get("error"):
            lines += wrap(f"  {row['error']}")
    for row in document.get("frontends") or []:
        state = "up" if row.get("is_up") else "DOWN"
        lines.append(spread(f"door {row.get('name')}", state))
    tail = f"{document.get('mode')} · {clock(document.get('as_of_ms') or 0, zone)}"
    return _page(f"Health · {document.get('instance')}", lines, tail)


def deadman(rows: Sequence[Document], zone: ZoneInfo) -> str:
    """Return the page of /deadman: armed until when, or why not; what it would cancel."""
    lines: list[str] = []
    for row in rows:
        state = "NOT ARMED"
        if row.get("armed"):
            until = row.get("until_ms")
            state = "ARMED" if until is None else f"ARMED to {short_clock(until, zone)}"
        lines.append(spread(f"{row.get('account')} {row.get('policy')}", state))
        if row.get("why_not"):
            lines += wrap(f"  {row['why_not']}")
        if row.get("detail"):
            lines += wrap(f"  {row['detail']}")
        reach = f"{row.get('orders')} orders, {row.get('stops')} stops"
        lines.append(spread("  would cancel", reach))
    return _page("Dead-man's switch", lines or ["no account"])


def size(document: Document, zone: ZoneInfo) -> str:
    """Return the page of /size: how much each way, in quantity and USD, and what binds."""
    lines: list[str] = []
    for side in ("buy", "sell"):
        row = document.get(side) or {}
        amount = row.get("quantity")
        lines.append(spread(side.upper(), "no bound" if amount is None else str(amount)))
        lines.append(spread("  worth", f"{money(row.get('notional_usd'), 0)} USD"))
        if row.get("closes") not in {None, "0"}:
            lines.append(spread("  of it closes", str(row["closes"])))
        bound = row.get("bound_by")
        if bound:
            lines += wrap(f"bound by {bound.get('message') or bound.get('limit')}")
    scale = document.get("scale")
    if scale is not None and scale < 1:
        lines.append(spread("Scaled to", percent(scale, 0)))
    head = f"Size · {document.get('instrument')} · {document.get('account')}"
    stop = document.get("stop")
    at = (
        f"stop {stop:g}"
        if stop
        else f"stop assumed {percent(document.get('assumed_stop'), 0)} away"
    )
    return _page(head, lines, f"{at} · {clock(document.get('as_of_ms') or 0, zone)}")


def audit(rows: Sequence[Document], zone: ZoneInfo) -> str:
    """Return the page of /audit, newest first."""
    lines = []
    for row in rows[:ROWS_MAX]:
        result = "" if row.get("ok") is None else " ok" if row["ok"] else " REFUSED"
        at = short_clock(row.get("ts_ms") or 0, zone)
        lines.append(cut(f"{at} {row.get('actor')}{result}", 34))
        words = " ".join(str(row.get(k) or "") for k in ("kind", "limit", "reason"))
        lines += [cut(f"  {words}", 34)]
    return _page(f"Last {len(rows)} actions", lines or ["none"])


def users(rows: Sequence[Document]) -> str:
    """Return the page of /users."""
    lines = [spread(f"{row.get('door')} {row.get('name')}", str(row.get("role"))) for row in rows]
    return _page("Who may command", lines or ["nobody"])


def alert_story(row: Document, zone: ZoneInfo) -> str:
    """Return the page of one alert: raised, escalated, taken, told where, over."""
    level = BADGES.get(str(row.get("level")), str(row.get("level")))
    lines = [
        spread(clock(step[0], zone), str(step[1]).upper()) for step in row.get("timeline") or []
    ]
    if row.get("acked_by"):
        lines += wrap(f"taken by {row['acked_by']}")
    if row.get("silenced_by"):
        until = short_clock(row.get("silenced_until_ms") or 0, zone)
        lines += wrap(f"silenced by {row['silenced_by']} until {until}")
    message = row.get("message") or {}
    for told in message.get("deliveries") or []:
        state = "has the newest" if told.get("newest") else "is behind"
        lines.append(spread(f"on {told.get('channel')}", state))
    allowed = row.get("allowed")
    if row.get("measured") is not None and allowed is not None:
        lines.append(spread("Measured", measure(row["measured"], "ratio")))
        lines.append(spread("Worst", measure(row.get("worst"), "ratio")))
        lines.append(spread("Limit", measure(allowed, "ratio")))
    texts = [row.get("text"), row.get("did"), row.get("todo")]
    tail = "\n".join(str(text) for text in texts if text)
    return _page(f"{level} #{row.get('id')} {row.get('title')}", lines or ["no steps"], tail)


def ended(rows: Sequence[Document], zone: ZoneInfo) -> str:
    """Return the page of /alerts 24h."""
    lines = []
    for row in rows[:ROWS_MAX]:
        over_ms = row.get("resolved_ms") or row.get("updated_ms") or 0
        lasted = duration((over_ms - (row.get("since_ms") or over_ms)) / 1000)
        worst = str(row.get("worst_level")).upper()
        lines.append(spread(f"#{row.get('id')} {row.get('limit')}", worst))
        lines.append(spread(f"  until {short_clock(over_ms, zone)}", lasted))
    return _page(f"Over in the last 24 h ({len(rows)})", lines or ["none"])


def digest(document: Document, zone: ZoneInfo) -> str:
    """Return the digest of a day."""
    minutes = document.get("level_minutes") or {}
    lines = [
        spread("Equity", f"{money(document.get('equity_usd'))} USD"),
        spread(
            "PnL",
            f"{money(document.get('pnl_usd'), 0, sign=True)} "
            f"{percent(document.get('pnl_share'), sign=True)}",
        ),
        spread("Worst drawdown", percent(document.get("worst_drawdown"))),
        *(
            spread(f"  {name}", f"{value:.0f} min")
            for name, value in minutes.items()
            if name != "ok" and value >= 1
        ),
        spread("Alerts open", str(document.get("open_alerts"))),
    ]
    for row in (document.get("alerts") or [])[:10]:
        label = f"  {row.get('rule')} {str(row.get('worst')).upper()}"
        lines.append(spread(label, f"x{row.get('raised')} ack {row.get('acked')}"))
    for row in (document.get("outages") or [])[:6]:
        word = " OPEN" if row.get("open") else ""
        lines.append(spread(f"  {row.get('what')}", f"{row.get('minutes', 0):.0f} min{word}"))
    commands = document.get("commands") or {}
    if commands:
        lines += wrap("commands: " + ", ".join(f"{n} x{c}" for n, c in commands.items()))
    if document.get("refused"):
        lines.append(spread("Refused", str(document["refused"])))
    lines.append(spread("Orders, cancels", f"{document.get('orders')}, {document.get('cancels')}"))
    for row in (document.get("nearest") or [])[:4]:
        share = percent(row.get("utilization"), 0)
        lines.append(spread(f"  {row.get('limit')}", f"{share} of limit"))
    for row in document.get("noisy") or []:
        lines += wrap(f"noisy: {row.get('rule')} raised {row.get('raised')} times: hysteresis?")
    since, until = document.get("since_ms") or 0, document.get("until_ms") or 0
    head = f"Digest · {document.get('trading_state')}"
    return _page(head, lines, f"{short_clock(since, zone)} to {short_clock(until, zone)}")
