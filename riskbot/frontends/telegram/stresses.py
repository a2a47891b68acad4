"""What /stress shows: every scenario, one position by position, or the trades that would help.

From the guard's documents of `stress` to the JSON that `chart` draws and the text beside it.
Losses are shares of equity, > 0; PnL is signed. What is unknown is named, and drawn as no bar.
"""

from __future__ import annotations

from collections.abc import Sequence

from riskbot.frontends.telegram import pages
from riskbot.frontends.telegram.charts import Chart, Link, caption, fresh, looker
from riskbot.frontends.telegram.figures import (
    UNKNOWN,
    clock,
    cut,
    duration,
    left,
    money,
    percent,
    right,
    short_clock,
    spread,
    wrap,
)
from riskbot.frontends.telegram.pages import Document, escape, listed, more, table
from riskbot.frontends.telegram.reader import say

SUGGEST = "suggest"
"""The word that asks for trades, before a scenario or shocks."""

BARS_MAX = 22
WORST_MAX, POSITIONS_MAX, TRADES_MAX = 5, 7, 25
LINES_MAX = 3
"""Lines of a title, or of a reason."""

LINKS_MAX = 2
OLD_S = 10.0
"""Figures older than this say so."""

NEAR, CLOSE = 0.8, 0.9
"""Shares of the limit from which on a bar is yellow, or orange."""


def overview(status: Document, document: Document, scope: str, account: str) -> Chart:
    """Return the chart of every scenario, the worst first.

    Args:
        status: the guard's.
        document: of the command.
        scope: as people call it.
        account: that was named, empty = none.
    """
    now = fresh(status, document)
    scenarios = now.get("scenarios") or []
    known = [row for row in scenarios if row.get("loss") is not None]
    unknown = [row for row in scenarios if row.get("loss") is None]
    # What the limit counts comes first: the loss of everything at a venue tells little news.
    counted = sorted(known, key=lambda row: not row.get("counted", True))
    rows: list[str] = []
    if known:
        rows += [spread(say("Worst"), str(counted[0]["name"])), *_after(counted[0])]
    if now.get("limit") is not None:
        rows.append(spread(say("Limit"), percent(now["limit"])))
    rows += _list(known)
    if unknown:
        names = listed([row["name"] for row in unknown])
        rows += wrap(say("unknown: {names}", names=names))
        rows += _reasons(unknown[0].get("unknown") or [])
    if not scenarios:
        rows = [say("no scenario is on") if now else spread(say("Worst"), UNKNOWN)]
    rows += _age(now)
    links = [
        Link(str(row["name"]), "stress", f"{row['name']} {account}".strip())
        for row in counted[:LINKS_MAX]
    ]
    return Chart(
        caption(status, f"{say('Stress')} · {scope}", rows),
        _drawn_scenarios(now, known, unknown, scope),
        links=[*links, Link(say("📉 VaR"), "var", account or "all")],
    )


def detail(status: Document, document: Document, scope: str, argument: str, account: str) -> Chart:
    """Return the chart of one scenario, position by position; see `overview`."""
    now = fresh(status, document)
    rows = [*wrap(str(document.get("title")))[:LINES_MAX], *_after(now)]
    positions = now.get("positions") or []
    many = len({row["account"] for row in positions}) > 1
    if positions:
        rows += ["", left(say("Position"), 15) + right(say("shock"), 8) + right("USD", 11)]
        rows += [_position(row, many=many) for row in positions[:POSITIONS_MAX]]
    if len(positions) > POSITIONS_MAX:
        left_over = _total(positions[POSITIONS_MAX:])
        rows.append(spread(more(len(positions) - POSITIONS_MAX), money(left_over, 0, sign=True)))
    for row in [row for row in now.get("cash") or [] if row["pnl_usd"] != 0][:LINES_MAX]:
        name = " ".join(word for word in (row["asset"], row["account"]) if word)
        rows.append(_moved(name, row.get("shock"), row["pnl_usd"]))
    rows += _reasons(now.get("unknown") or [])
    links = [Link(say("🌪 All scenarios"), "stress", f"all {account}".strip())]
    if (now.get("loss") or 0.0) > 0:
        links.insert(0, Link(say("💡 Suggest"), "stress", f"{SUGGEST} {argument}"))
    return Chart(
        caption(status, f"{say('Stress')} · {document.get('name')} · {scope}", rows),
        _drawn_positions(now, positions, scope, many=many),
        links=links,
    )


def suggestion(status: Document, document: Document, scope: str, argument: str) -> Chart:
    """Return the page of the trades that bring a loss inside a limit: words, no picture."""
    now = fresh(status, document)
    rows = [
        spread(say("Loss now"), percent(now.get("before"))),
        spread(say("Allowed"), percent(now.get("allowed"))),
        spread(say("Loss after"), percent(now.get("after"))),
        spread(say("Turnover"), f"{money(now.get('turnover_usd'), 0)} USD"),
    ]
    trades = now.get("trades") or []
    if trades:
        rows.append("")
    for trade in trades[:TRADES_MAX]:
        rows.append(cut(f"{trade['side'].upper()} {trade['quantity']} {trade['instrument']}", 34))
        saves = say("saves {usd}", usd=money(trade["saves_usd"], 0))
        rows.append(spread(f"  {trade['account']} {money(trade['turnover_usd'], 0)}", saves))
    if len(trades) > TRADES_MAX:
        rows.append(more(len(trades) - TRADES_MAX))
    if now and not now.get("is_enough"):
        rows += wrap(say("not enough: {reason}", reason=now.get("note") or UNKNOWN))
    elif now and not trades:
        rows += wrap(say("within what is allowed: no trade is needed"))
    title = f"{say('Stress')} · {document.get('scenario')} · {scope}"
    moment = clock(document.get("as_of_ms") or 0)
    parts = [
        f"<b>{escape(say('Advice only: nothing is sent.'))}</b>",
        escape(f"{title} · {moment}"),
        table(rows),
    ]
    if not now:
        seen = pages.stale_words(pages.data_age_s(status))
        parts.insert(0, escape(say("⚫ {seen}: figures of now are left out", seen=seen)))
    links = [Link(say("📋 Positions"), "stress", argument)]
    return Chart("\n".join(parts), None, is_text=True, links=links)


# ---------------------------------------------------------------- the text


def _after(row: Document) -> list[str]:
    """Return what a scenario costs and leaves, what it would liquidate, and which limits break."""
    rows = [
        spread(say("PnL"), f"{money(row.get('pnl_usd'), 0, sign=True)} {_share(row.get('loss'))}"),
        spread(say("Equity after"), money(row.get("equity_after_usd"), 0)),
        spread(say("Margin after"), percent(row.get("margin_after"), 1)),
    ]
    if row.get("liquidated"):
        rows += wrap(say("liquidated: {names}", names=listed(row["liquidated"])))
    if row.get("broken"):
        names = listed([*dict.fromkeys(row["broken"])])
        rows += wrap(say("breaks: {names}", names=names))
    return rows


def _share(loss: float | None) -> str:
    """Return a loss as the change of equity that it is."""
    return right(percent(None if loss is None else -loss, sign=True), 9)


def _reasons(reasons: Sequence[str]) -> list[str]:
    """Return why a figure is unknown: the first reason, and how many there are besides."""
    if not reasons:
        return []
    rows = wrap(say("unknown: {reason}", reason=reasons[0]))[:LINES_MAX]
    return [*rows, more(len(reasons) - 1)] if len(reasons) > 1 else rows


def _list(known: Sequence[Document]) -> list[str]:
    """Return the worst scenarios, one a line; a star marks what the limit does not count."""
    if not known:
        return []
    shown = known[:WORST_MAX]
    rows = [""]
    for row in shown:
        star = "" if row.get("counted", True) else " *"
        rows.append(spread(f"{row['name']}{star}", _share(row["loss"])))
    if len(known) > WORST_MAX:
        rows.append(more(len(known) - WORST_MAX))
    if not all(row.get("counted", True) for row in shown):
        rows += wrap(say("* not counted by the limit"))
    return rows


def _age(now: Document) -> list[str]:
    """Return how old the oldest figures are, where a large book is worked out bit by bit."""
    times = [row.get("as_of_ms") for row in now.get("scenarios") or []]
    oldest_s = max(((now["as_of_ms"] - ms) / 1000 for ms in times if ms is not None), default=0.0)
    if oldest_s < OLD_S:
        return []
    return wrap(say("worked out in turn, up to {age} ago", age=duration(oldest_s)))


def _position(row: Document, *, many: bool) -> str:
    return _moved(_name(row, many=many), row.get("shock"), row.get("pnl_usd"))


def _moved(name: str, shock: float | None, usd: float | None) -> str:
    moved = percent(shock, 1, sign=True)
    return left(name, 15) + right(moved, 8) + right(money(usd, 0, sign=True), 11)


def _name(row: Document, *, many: bool) -> str:
    """Return a position in few characters: `BTC perp L`, with its account where there are more."""
    symbol, _, settled = str(row["instrument"]).partition(":")
    kind = (settled.partition("-")[2] or "perp") if settled else "spot"
    side = "L" if row["quantity"] > 0 else "S"
    name = f"{symbol.partition('/')[0]} {kind} {side}"
    return f"{name} {row['account']}" if many else name


def _total(rows: Sequence[Document]) -> float | None:
    values = [row.get("pnl_usd") for row in rows]
    # One unknown makes the sum unknown: it must not look smaller than it is.
    return None if None in values else sum(v for v in values if v is not None)


# ---------------------------------------------------------------- what is drawn


def _drawn_scenarios(
    now: Document, known: Sequence[Document], unknown: Sequence[Document], scope: str
) -> Document | None:
    if not known and not unknown:
        return None
    limit = now.get("limit")
    rows = [
        {
            "label": str(row["name"]),
            "value": row["loss"],
            "words": [percent(-row["loss"], 1, sign=True), money(row.get("pnl_usd"), 0, sign=True)],
            "level": _level(row, limit),
            "is_dim": not row.get("counted", True),
        }
        for row in known
    ]
    # Unknown ones first: they may be the worst.
    blank = [_unknown(str(row["name"])) for row in unknown]
    rows = [*blank[: BARS_MAX // 2], *rows, *blank[BARS_MAX // 2 :]]
    wanted = _bars(rows, say("Loss of each scenario, share of equity"), now, scope)
    wanted["heads"] = [say("of equity"), "USD"]
    if limit is not None:
        words = say("limit {share}", share=percent(limit, 0))
        wanted["line"] = {"value": limit, "label": words}
    return wanted


def _level(row: Document, limit: float | None) -> str:
    if limit is None or not row.get("counted", True):
        return ""
    edges = (("red", limit), ("orange", CLOSE * limit), ("yellow", NEAR * limit))
    # As the limit itself judges: at the limit is not beyond it.
    return next((level for level, edge in edges if row["loss"] > edge), "")


def _drawn_positions(
    now: Document, positions: Sequence[Document], scope: str, *, many: bool
) -> Document | None:
    if not positions:
        return None
    rows = []
    for row in positions:
        label, usd = _name(row, many=many), row.get("pnl_usd")
        if usd is None:
            rows.append(_unknown(label))
            continue
        words = [percent(row.get("shock"), 1, sign=True), money(usd, 0, sign=True)]
        rows.append({"label": label, "value": usd, "words": words, "level": ""})
    title = say("PnL of each position, USD")
    wanted = _bars(rows, title, now, f"{now.get('name')} · {scope}")
    return wanted | {"heads": [say("shock"), "USD"], "is_signed": True}


def _unknown(label: str) -> Document:
    return {"label": label, "value": None, "words": [say("unknown"), ""], "level": ""}


def _bars(rows: list[Document], above: str, now: Document, scope: str) -> Document:
    shown = rows[:BARS_MAX]
    return {
        "kind": "bars",
        "title": f"{say('Stress')} · {scope}",
        "note": short_clock(now.get("as_of_ms") or 0),
        "reader": looker(),
        "above": above,
        "rows": shown,
        "more": more(len(rows) - len(shown)) if len(rows) > len(shown) else "",
    }
