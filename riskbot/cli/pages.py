"""Pages of `ctl` about what runs and what was: orders, health, results, history, people, digest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from riskbot.cli import cells, stresspages, varpages

Document = Mapping[str, Any]
Rows = Sequence[Document]

_HISTORY_LINES = 48
"""Points of a history that people are shown; `--json` has all."""


def seconds(value: Any) -> str:
    """Write an age: `4 s`, `12 min`, `3.5 h`, `2.0 d`; unknown is `-`."""
    if value is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600)):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value / 60:.0f} min" if value >= 120 else f"{value:.0f} s"


def _orders(out: Console, document: Rows) -> None:
    heads = ("account", "instrument", "kind", "side", ">quantity", ">filled", ">price", ">trigger",
             "only reduces", ">age", "client id")  # fmt: skip
    cells.table(
        out,
        "orders",
        heads,
        (
            [
                row["account"],
                row["instrument"],
                row["kind"],
                row["side"],
                row["quantity"],
                row["filled"],
                row["price"] or "-",
                row["trigger"] or "-",
                "yes" if row["reduce_only"] else "",
                seconds(row["age_s"]),
                row["client_order_id"] or "",
            ]
            for row in document
        ),
    )


def _feeds(out: Console, document: Rows) -> None:
    cells.table(
        out,
        "feeds",
        ("account", "feed", ">age", "", "why"),
        (
            [
                row["account"],
                row["feed"],
                seconds(row["age_s"]),
                "ok" if row["ok"] else "LOST",
                row["reason"],
            ]
            for row in document
        ),
    )


def _health(out: Console, document: Document) -> None:
    up = seconds(document["uptime_s"])
    out.print(
        f"{document['instance']}  {document['mode']}  riskbot {document['version']}  up {up}",
        markup=False,
    )
    storage = document["storage"]
    if not storage["ok"]:
        out.print(f"storage FAILS: {storage['error']}", markup=False)
    for blind in document["blind"]:
        out.print(f"BLIND {blind['what']}: {blind['reason']}", markup=False)
    cells.table(
        out,
        "accounts",
        ("account", "exchange", ">last read", ">heard", ">clock ms", "state", "fault"),
        (
            [
                row["account"],
                row["exchange"],
                seconds(row["read_age_s"]),
                seconds(row["heard_age_s"]),
                cells.plain(row["clock_offset_ms"]),
                "BLIND" if row["blind"] else "ok",
                row["failure"],
            ]
            for row in document["accounts"]
        ),
    )
    _feeds(out, document["feeds"])
    cells.table(
        out,
        "channels",
        ("channel", "", ">last", "error"),
        (
            [
                row["channel"],
                {True: "ok", False: "DOWN", None: "not used yet"}[row["ok"]],
                seconds(row["age_s"]),
                row["error"],
            ]
            for row in document["channels"]
        ),
    )
    cells.table(
        out,
        "doors",
        ("door", "", "detail"),
        (
            [row["name"], "up" if row["is_up"] else "DOWN", row["detail"]]
            for row in document["frontends"]
        ),
    )


def _dead_men(out: Console, document: Rows) -> None:
    cells.table(
        out,
        "dead-man's switches",
        ("account", "policy", "armed", "until", "why not", ">orders", ">stops"),
        (
            [
                row["account"],
                row["policy"],
                "ARMED" if row["armed"] else "no",
                cells.moment(row["until_ms"]) if row["armed"] else "-",
                row["why_not"],
                row["orders"],
                row["stops"],
            ]
            for row in document
        ),
    )


def _pnl(out: Console, document: Document) -> None:
    def line(name: str, row: Document) -> list[Any]:
        return [
            name,
            cells.usd(row["pnl_usd"]),
            cells.share(row["share"]),
            cells.usd(row["fees_usd"]),
            cells.usd(row["funding_usd"]),
            cells.usd(row["flows_usd"]),
        ]

    rows = [line(str(row["date"]), row) for row in document["rows"]]
    if rows:
        rows.append(line("in all", document["totals"]))
    heads = ("day", ">PnL", ">of NAV", ">fees", ">funding", ">flows")
    cells.table(out, f"PnL, {document['scope']}", heads, rows)
    if document["best"]:
        out.print(f"best {document['best']}, worst {document['worst']}", markup=False)


def _history(out: Console, document: Sequence[Sequence[Any]]) -> None:
    step = max(1, -(-len(document) // _HISTORY_LINES))
    shown = list(document[::-step])[::-1]
    cells.table(
        out,
        "history",
        ("time", ">value"),
        ([cells.moment(ts_ms), cells.plain(value)] for ts_ms, value in shown),
    )


def _audit(out: Console, document: Rows) -> None:
    cells.table(
        out,
        "last actions",
        ("time", "what", "limit", "scope", "reason", "by", "", "result"),
        (
            [
                cells.moment(row["ts_ms"]),
                row["kind"],
                row["limit"],
                row["scope"],
                row["reason"],
                row["actor"],
                {True: "ok", False: "NO", None: ""}[row["ok"]],
                row["result"],
            ]
            for row in document
        ),
    )


def _users(out: Console, document: Rows) -> None:
    cells.rows(out, "users", ["door", "name", "role"], list(document))


def _who_am_i(out: Console, document: Document) -> None:
    out.print(f"{document['name']}  {document['role']}, by {document['door']}", markup=False)
    out.print("may: " + " ".join(document["may"]), markup=False)


def _size(out: Console, document: Document) -> None:
    out.print(
        f"{document['instrument']} on {document['account']}  price "
        f"{cells.number(document['price'])}  {document['trading_state']}"
        + ("" if document["enforced"] else "  (shadow: does not bind)"),
        markup=False,
    )
    for side in ("buy", "sell"):
        found = document[side]
        bound = found["bound_by"]
        why = f"{bound['scope']} {bound['limit']}: {bound['message']}" if bound else "nothing binds"
        amount = "any" if found["quantity"] is None else found["quantity"]
        closes = f", of it {found['closes']} only closes" if float(found["closes"]) else ""
        worth = cells.usd(found["notional_usd"])
        out.print(f"{side:5} {amount}  ({worth} USD{closes})  {why}", markup=False)


def _digest(out: Console, document: Document) -> None:
    share = cells.share(document["pnl_share"])
    out.print(
        f"{cells.moment(document['since_ms'])} to {cells.moment(document['until_ms'])}  PnL "
        f"{cells.usd(document['pnl_usd'])} ({share})  worst drawdown "
        f"{cells.share(document['worst_drawdown'])}",
        markup=False,
    )
    minutes = document["level_minutes"].items()
    said = "  ".join(f"{name} {count:.0f} min" for name, count in minutes if count >= 0.5)
    out.print(f"levels  {said}", markup=False)
    cells.rows(out, "alerts", ["rule", "raised", "acked", "worst"], list(document["alerts"]))
    cells.table(
        out,
        "nearest to their limit",
        ("limit", "scope", "now", ">worst"),
        (
            [
                row["limit"],
                row["scope"],
                cells.bar(row["utilization"]),
                cells.share(row["worst_utilization"]),
            ]
            for row in document["nearest"]
        ),
    )
    if document["outages"]:
        cells.rows(out, "out of sight", ["what", "times", "minutes"], list(document["outages"]))
    commands = "  ".join(f"{name} {count}" for name, count in document["commands"].items())
    if commands or document["refused"]:
        out.print(f"commands  {commands}  refused {document['refused']}", markup=False)
    for row in document["noisy"]:
        out.print(f"{row['rule']} raised {row['raised']} times: {row['advice']}", markup=False)


def story(out: Console, document: Document) -> None:
    """Print one alert with what became of it, and which channels have it."""
    out.print(f"{document['id']}  {document['level']}  {document['title']}", markup=False)
    for name in ("text", "did", "todo"):
        if document[name]:
            out.print(f"{name}: {document[name]}", markup=False)
    steps = ([cells.moment(ms), words] for ms, words in document["timeline"])
    cells.table(out, "", ("time", "what"), steps)
    message = document["message"]
    rows = message["deliveries"] if message is not None else []
    cells.rows(out, "delivered", ["channel", "revision", "newest", "held"], list(rows))


RENDERERS: dict[str, Callable[[Console, Any], None]] = {
    "orders": _orders,
    "feeds": _feeds,
    "health": _health,
    "deadman": _dead_men,
    "pnl": _pnl,
    "history": _history,
    "audit": _audit,
    "users": _users,
    "whoami": _who_am_i,
    "size": _size,
    "digest": _digest,
    "stress": stresspages.stress,
    "var": varpages.var,
    "correlation": varpages.correlation,
}
"""By command."""
