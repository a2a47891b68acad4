"""Pages of the longer kind: orders, PnL, health, switches, sizes, the audit, the digest.

From the guard's documents to Telegram HTML, 34 columns as in `pages`; nothing here asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from riskbot.frontends.telegram.figures import (
    UNKNOWN,
    clock,
    cut,
    day_of,
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
from riskbot.frontends.telegram.pages import badge, escape, level_word, more, table
from riskbot.frontends.telegram.reader import phrase, say

Document = dict[str, Any]
ROWS_MAX = 40

PERIODS = {"day": phrase("day"), "week": phrase("week"), "month": phrase("month")}


def _page(head: str, lines: Sequence[str], tail: str = "") -> str:
    parts = [f"<b>{escape(head)}</b>", table(lines)]
    return "\n".join([*parts, escape(tail)] if tail else parts)


def _more(count: int) -> list[str]:
    return [more(count - ROWS_MAX)] if count > ROWS_MAX else []


def _ok(row: Document) -> str:
    return say("ok") if row.get("ok") else say("LOST")


def _ago(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration(seconds)


def orders(rows: Sequence[Document], now_ms: float) -> str:
    """Return the page of /orders, oldest first."""
    lines = []
    for row in rows[:ROWS_MAX]:
        name = str(row.get("instrument")).partition("/")[0]
        price = row.get("price") or row.get("trigger") or say("market")
        lines.append(
            left(name, 8)
            + " "
            + left(f"{row.get('kind')} {row.get('side')}", 12)
            + right(str(price), 13)
        )
        amount = f"{row.get('quantity')}"
        if row.get("filled") not in {None, "0"}:
            amount += say(" ({count} filled)", count=row["filled"])
        lines.append("  " + left(amount, 22) + right(_ago(row.get("age_s")), 10))
    tail = clock(now_ms)
    head = say("Working orders ({count})", count=len(rows))
    return _page(head, [*(lines or [say("none")]), *_more(len(rows))], tail)


def pnl(document: Document) -> str:
    """Return the page of /pnl: one row a day, totals, best and worst."""
    rows = document.get("rows") or []
    known = [abs(row["pnl_usd"]) for row in rows if row.get("pnl_usd") is not None]
    most = max(known, default=0.0)
    lines = []
    for row in rows[-31:]:
        day = day_of(date.fromisoformat(str(row["date"])[:10]))
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
        left(say("Total"), 7)
        + right(money(totals.get("pnl_usd"), 0, sign=True), 11)
        + right(percent(totals.get("share"), sign=True), 9),
        spread(say("Fees"), money(totals.get("fees_usd"), 2, sign=True)),
        spread(say("Funding"), money(totals.get("funding_usd"), 2, sign=True)),
        spread(say("In and out"), money(totals.get("flows_usd"), 0, sign=True)),
    ]
    tail = clock(document.get("as_of_ms") or 0)
    if document.get("best"):
        days = {name: str(document[name]) for name in ("best", "worst")}
        tail = f"{say('best {best}, worst {worst}', **days)} · {tail}"
    period = str(document.get("period"))
    period = say(PERIODS[period]) if period in PERIODS else period
    return _page(f"PnL · {period} · USD", lines, tail)


def feeds(rows: Sequence[Document], now_ms: float) -> str:
    """Return the page of /feeds."""
    lines = [
        spread(
            f"{row.get('account')} {row.get('feed')}",
            f"{_ago(row.get('age_s'))} {_ok(row)}",
        )
        for row in rows[:ROWS_MAX]
    ]
    return _page(say("Feeds"), lines or [say("none yet")], clock(now_ms))


def health(document: Document) -> str:
    """Return the page of /health: itself, what it hears, whom it reaches."""
    storage = document.get("storage") or {}
    lines = [
        spread(say("Version"), str(document.get("version") or UNKNOWN)),
        spread(say("Up"), _ago(document.get("uptime_s"))),
        spread(say("Journal"), say("ok") if storage.get("ok") else say("FAILING")),
    ]
    if not storage.get("ok"):
        lines += wrap(str(storage.get("error") or ""))
    for row in document.get("accounts") or []:
        state = "BLIND" if row.get("blind") else say("in sight")
        read = say("{state}, read {age}", state=state, age=_ago(row.get("read_age_s")))
        lines.append(spread(str(row.get("account")), read))
        if row.get("clock_offset_ms") is not None:
            lines.append(spread(say("  clock off"), f"{row['clock_offset_ms']:.0f} ms"))
        if row.get("failure"):
            lines += wrap(f"  {row['failure']}")
    for row in document.get("feeds") or []:
        name = f"  {row.get('account')} {row.get('feed')}"
        lines.append(spread(name, f"{_ago(row.get('age_s'))} {_ok(row)}"))
    for row in document.get("channels") or []:
        state = {True: say("ok"), False: say("DOWN"), None: say("not tried")}[row.get("ok")]
        lines.append(spread(say("channel {name}", name=row.get("channel")), state))
        if row.get("error"):
            lines += wrap(f"  {row['error']}")
    for row in document.get("frontends") or []:
        state = say("up") if row.get("is_up") else say("DOWN")
        lines.append(spread(say("door {name}", name=row.get("name")), state))
    tail = f"{document.get('mode')} · {clock(document.get('as_of_ms') or 0)}"
    return _page(f"{say('Health')} · {document.get('instance')}", lines, tail)


def deadman(rows: Sequence[Document]) -> str:
    """Return the page of /deadman: armed until when, or why not; what it would cancel."""
    lines: list[str] = []
    for row in rows:
        state = say("NOT ARMED")
        if row.get("armed"):
            until = row.get("until_ms")
            state = say("ARMED")
            if until is not None:
                state = say("ARMED to {time}", time=short_clock(until))
        lines.append(spread(f"{row.get('account')} {row.get('policy')}", state))
        if row.get("why_not"):
            lines += wrap(f"  {row['why_not']}")
        if row.get("detail"):
            lines += wrap(f"  {row['detail']}")
        reach = say(
            "{orders} orders, {stops} stops", orders=row.get("orders"), stops=row.get("stops")
        )
        lines.append(spread(say("  would cancel"), reach))
    return _page(say("Dead-man's switch"), lines or [say("no account")])


def size(document: Document) -> str:
    """Return the page of /size: how much each way, in quantity and USD, and what binds."""
    lines: list[str] = []
    for side, word in (("buy", say("BUY")), ("sell", say("SELL"))):
        row = document.get(side) or {}
        amount = row.get("quantity")
        lines.append(spread(word, say("no bound") if amount is None else str(amount)))
        lines.append(spread(say("  worth"), f"{money(row.get('notional_usd'), 0)} USD"))
        if row.get("closes") not in {None, "0"}:
            lines.append(spread(say("  of it closes"), str(row["closes"])))
        bound = row.get("bound_by")
        if bound:
            lines += wrap(say("bound by {what}", what=bound.get("message") or bound.get("limit")))
    scale = document.get("scale")
    if scale is not None and scale < 1:
        lines.append(spread(say("Scaled to"), percent(scale, 0)))
    head = f"{say('Size')} · {document.get('instrument')} · {document.get('account')}"
    stop = document.get("stop")
    away = percent(document.get("assumed_stop"), 0)
    at = say("stop assumed {share} away", share=away)
    if stop:
        at = say("stop {price}", price=f"{stop:g}")
    return _page(head, lines, f"{at} · {clock(document.get('as_of_ms') or 0)}")


def audit(rows: Sequence[Document]) -> str:
    """Return the page of /audit, newest first."""
    lines = []
    for row in rows[:ROWS_MAX]:
        result = "" if row.get("ok") is None else say("ok") if row["ok"] else say("REFUSED")
        at = short_clock(row.get("ts_ms") or 0)
        lines.append(cut(f"{at} {row.get('actor')} {result}".rstrip(), 34))
        words = " ".join(str(row.get(k) or "") for k in ("kind", "limit", "reason"))
        lines += [cut(f"  {words}", 34)]
    return _page(say("Last {count} actions", count=len(rows)), lines or [say("none")])


def users(rows: Sequence[Document]) -> str:
    """Return the page of /users."""
    lines = [spread(f"{row.get('door')} {row.get('name')}", str(row.get("role"))) for row in rows]
    return _page(say("Who may command"), lines or [say("nobody")])


def alert_story(row: Document) -> str:
    """Return the page of one alert: raised, escalated, taken, told where, over."""
    level = badge(row.get("level"))
    lines = [spread(clock(step[0]), level_word(step[1])) for step in row.get("timeline") or []]
    if row.get("acked_by"):
        lines += wrap(say("taken by {who}", who=row["acked_by"]))
    if row.get("silenced_by"):
        until = short_clock(row.get("silenced_until_ms") or 0)
        lines += wrap(say("silenced by {who} until {time}", who=row["silenced_by"], time=until))
    message = row.get("message") or {}
    for told in message.get("deliveries") or []:
        state = say("has the newest") if told.get("newest") else say("is behind")
        state = say("kept for the morning") if told.get("held") else state
        lines.append(spread(say("on {channel}", channel=told.get("channel")), state))
    allowed = row.get("allowed")
    if row.get("measured") is not None and allowed is not None:
        lines.append(spread(say("Measured"), measure(row["measured"], "ratio")))
        lines.append(spread(say("Worst"), measure(row.get("worst"), "ratio")))
        lines.append(spread(say("Limit"), measure(allowed, "ratio")))
    texts = [row.get("text"), row.get("did"), row.get("todo")]
    tail = "\n".join(str(text) for text in texts if text)
    return _page(f"{level} #{row.get('id')} {row.get('title')}", lines or [say("no steps")], tail)


def ended(rows: Sequence[Document]) -> str:
    """Return the page of /alerts 24h."""
    lines = []
    for row in rows[:ROWS_MAX]:
        over_ms = row.get("resolved_ms") or row.get("updated_ms") or 0
        lasted = duration((over_ms - (row.get("since_ms") or over_ms)) / 1000)
        worst = level_word(row.get("worst_level"))
        lines.append(spread(f"#{row.get('id')} {row.get('limit')}", worst))
        lines.append(spread(say("  until {time}", time=short_clock(over_ms)), lasted))
    return _page(say("Over in the last 24 h ({count})", count=len(rows)), lines or [say("none")])


def digest(document: Document) -> str:
    """Return the digest of a day."""
    minutes = document.get("level_minutes") or {}
    lines = [
        spread(say("Equity"), f"{money(document.get('equity_usd'))} USD"),
        spread(
            say("PnL"),
            f"{money(document.get('pnl_usd'), 0, sign=True)} "
            f"{percent(document.get('pnl_share'), sign=True)}",
        ),
        spread(say("Worst drawdown"), percent(document.get("worst_drawdown"))),
        *(
            spread(f"  {level_word(name)}", f"{value:.0f} min")
            for name, value in minutes.items()
            if name != "ok" and value >= 1
        ),
        spread(say("Alerts open"), str(document.get("open_alerts"))),
    ]
    for row in (document.get("alerts") or [])[:10]:
        label = f"  {row.get('rule')} {level_word(row.get('worst'))}"
        lines.append(spread(label, f"x{row.get('raised')} ack {row.get('acked')}"))
    for row in (document.get("outages") or [])[:6]:
        word = " " + say("OPEN") if row.get("open") else ""
        lines.append(spread(f"  {row.get('what')}", f"{row.get('minutes', 0):.0f} min{word}"))
    commands = document.get("commands") or {}
    if commands:
        counts = ", ".join(f"{n} x{c}" for n, c in commands.items())
        lines += wrap(say("commands: {list}", list=counts))
    if document.get("refused"):
        lines.append(spread(say("Refused"), str(document["refused"])))
    sent = f"{document.get('orders')}, {document.get('cancels')}"
    lines.append(spread(say("Orders, cancels"), sent))
    for row in (document.get("nearest") or [])[:4]:
        share = percent(row.get("utilization"), 0)
        lines.append(spread(f"  {row.get('limit')}", say("{share} of limit", share=share)))
    for row in document.get("noisy") or []:
        lines += wrap(
            say(
                "noisy: {rule} raised {count} times: hysteresis?",
                rule=row.get("rule"),
                count=row.get("raised"),
            )
        )
    since, until = document.get("since_ms") or 0, document.get("until_ms") or 0
    head = f"{say('Digest')} · {document.get('trading_state')}"
    tail = say("{since} to {until}", since=short_clock(since), until=short_clock(until))
    return _page(head, lines, tail)
