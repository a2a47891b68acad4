"""Read models of what runs: orders, feeds, channels, the dead-man's switch, people.

As `views`: copies and renames. What riskbot holds and measures is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from riskbot.core import deadman, exits, views
from riskbot.core.model import Actor, BlindKind, Role, WorkingOrder
from riskbot.core.settings import User

if TYPE_CHECKING:
    from riskbot.core.state import State


def orders(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return the working orders, oldest first, each as entry, exit or stop."""
    rows = []
    for name in state.settings.accounts:
        account = state.accounts.get(name)
        entries = {order.order_id for order in exits.entries(account)}
        stops = {o.order_id for found in exits.protective(account).values() for o in found}
        for order in account.orders.values():
            kind = "stop" if order.order_id in stops else "exit"
            rows.append(_order(order, "entry" if order.order_id in entries else kind, now_ms))
    return sorted(rows, key=lambda row: (row["created_ms"], row["account"], row["order_id"]))


def _order(order: WorkingOrder, kind: str, now_ms: int) -> dict[str, Any]:
    return {
        "account": order.account,
        "instrument": order.symbol,
        "kind": kind,
        "side": order.side.value,
        "position_side": order.position_side.value,
        "type": order.type.value,
        "quantity": str(order.quantity),
        "filled": str(order.filled),
        "price": _text(order.price),
        "trigger": _text(order.stop_price),
        "reduce_only": order.reduce_only or order.close_position,
        "close_position": order.close_position,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "created_ms": order.created_ms,
        "age_s": (now_ms - order.created_ms) / 1000 if order.created_ms else None,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# ---------------------------------------------------------------- health


def health(state: State, now_ms: int) -> dict[str, Any]:
    """Return what there is to say about riskbot itself."""
    feeds = state.feeds
    storage = state.enforcement.blinds.get((BlindKind.STORAGE, ""))
    return {
        "instance": state.settings.instance,
        "mode": state.settings.mode.value,
        "version": feeds.version,
        "started_ms": feeds.started_ms or None,
        "uptime_s": (now_ms - feeds.started_ms) / 1000 if feeds.started_ms else None,
        "feeds": views.feeds(state, now_ms),
        "accounts": [_account(state, name, now_ms) for name in state.settings.accounts],
        "channels": channels(state, now_ms),
        "frontends": [{"name": name, **row} for name, row in sorted(feeds.frontends.items())],
        "storage": {
            "ok": storage is None,
            "error": storage[0] if storage is not None else "",
            "since_ms": storage[1] if storage is not None else None,
        },
        "blind": views.blinds(state),
        "halt_file": state.enforcement.halt_file,
        "stopping": state.enforcement.is_stopping,
        "rates": feeds.rates(now_ms),
        "drift": state.meter.drift,
        "as_of_ms": now_ms,
    }


def _account(state: State, name: str, now_ms: int) -> dict[str, Any]:
    known = state.accounts.get(name)
    heard_ms = known.age_ms(now_ms)
    return {
        "account": name,
        "exchange": state.settings.accounts[name].exchange,
        "synced": known.is_synced,
        "blind": not known.is_synced or state.is_account_blind(name),
        "last_read_ms": known.read_ms or None,
        "read_age_s": (now_ms - known.read_ms) / 1000 if known.read_ms else None,
        "heard_age_s": None if heard_ms is None else heard_ms / 1000,
        "failure": known.failure,
        "clock_offset_ms": state.feeds.clocks.get(name),
        "key_rights": state.feeds.rights.get(name),
        "requests": state.feeds.requests.get(name),
    }


def channels(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return how each channel of alerts fared last; one that never was used stands there too."""
    known = state.alerts.deliveries
    rows = []
    for name in dict.fromkeys((*state.settings.channels, *known)):
        said, at_ms = known.get(name, ("", None))
        down = state.alerts.firing.get(("channel_down", f"channel:{name}"))
        rows.append(
            {
                "channel": name,
                "ok": None if at_ms is None else down is None,
                "error": "" if said == "ok" else said,
                "last_ms": at_ms,
                "age_s": None if at_ms is None else (now_ms - at_ms) / 1000,
                "down_since_ms": down.since_ms if down is not None else None,
            }
        )
    return rows


# ---------------------------------------------------------------- dead-man's switch


def dead_men(state: State, now_ms: int) -> list[dict[str, Any]]:
    """Return for each account whether the venue's switch is armed, else why not."""
    rows = []
    for name, settings in state.settings.accounts.items():
        account = state.accounts.get(name)
        told = views.dead_man(state, name, now_ms)
        armed = bool(told and told["is_armed"])
        protective = sum(len(found) for found in exits.protective(account).values())
        rows.append(
            {
                "account": name,
                "policy": settings.dead_man.policy,
                "timeout_s": settings.dead_man.timeout_s,
                "armed": armed,
                "until_ms": told["until_ms"] if told is not None else None,
                "why_not": "" if armed else deadman.why_not(state, name, now_ms),
                "detail": told["detail"] if told is not None else "",
                "orders": len(account.orders),
                "stops": protective,
                "instruments": sorted({order.symbol for order in account.orders.values()}),
            }
        )
    return rows


# ---------------------------------------------------------------- people


def users(state: State) -> list[dict[str, Any]]:
    """Return who may command, by door, the mightiest first."""
    ctl = User("ctl", "who may open the socket", Role.ADMIN)
    known = state.settings.users
    if state.overrides.users is not None:
        known = tuple(User(door, name, Role(role)) for door, name, role in state.overrides.users)
    listed = sorted((*known, ctl), key=lambda user: (-user.role.rank, user.door, user.name))
    return [{"door": user.door, "name": user.name, "role": user.role.value} for user in listed]


def who_am_i(state: State, actor: Actor, may: list[str], now_ms: int) -> dict[str, Any]:
    """Return who asks, as the guard sees them, and what they may do."""
    locked_ms = state.factors.locked.get(actor.name, 0)
    return {
        "name": actor.name,
        "door": actor.door,
        "role": actor.role.value,
        "may": may,
        "has_factor": state.settings.has_factor,
        "locked_until_ms": locked_ms if locked_ms > now_ms else None,
        "timezone": state.settings.timezone,
    }


def audit(state: State, count: int, *, people_only: bool) -> list[dict[str, Any]]:
    """Return the newest decisions, newest first; `result` is what a command came to."""
    return [
        {
            "ts_ms": row.ts_ms,
            "kind": row.decision,
            "limit": row.limit,
            "scope": row.scope,
            "reason": row.reason,
            "actor": row.actor,
            "inputs": row.inputs,
            "ok": row.inputs.get("ok"),
            "result": row.inputs.get("result", ""),
        }
        for row in state.past.audits.last(count, people_only=people_only)
    ]


def alert_history(state: State, alert_id: str) -> dict[str, Any] | None:
    """Return one alert, firing or among the last that ended, with its message and who has it.

    Args:
        state: the state.
        alert_id: `A17`, of an alert or of the message it stands in.
    """
    known = [*state.alerts.resolved, *state.alerts.firing.values()]
    row = next((a for a in reversed(known) if a.alert_id == alert_id), None)
    if row is None:
        return None
    threads = [t for t in state.alerts.threads.values() if alert_id in t.members]
    thread = threads[-1] if threads else None
    message = None
    if thread is not None:
        message = {
            "id": thread.thread_id,
            "members": list(thread.members),
            "revision": thread.revision,
            "loud_ms": thread.loud_ms or None,
            "repeats": thread.repeats,
            "escalation": thread.escalation,
            "over": thread.is_over,
            "deliveries": [
                {
                    "channel": name,
                    "revision": revision,
                    "newest": revision >= thread.revision,
                    "held": name in thread.held,
                }
                for name, revision in sorted(thread.delivered.items())
            ],
        }
    return {**views.alert_now(state, row), "message": message}
