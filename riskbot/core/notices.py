"""What people are told that is no limit: starts, stops, keys, doors, channels, faults, HALT."""

from __future__ import annotations

from dataclasses import replace

from riskbot.core import actions, alerts, events, tellings
from riskbot.core.duty import OPERATOR
from riskbot.core.holds import place_operator_hold
from riskbot.core.model import PORTFOLIO, Level, account_scope
from riskbot.core.turn import Turn

SET_BACK_S = 60
"""A clock set back by this much is told aloud: one of the two was wrong."""
DAY_MS = 86_400_000
_EXPIRY = ((1, Level.RED), (7, Level.ORANGE), (14, Level.YELLOW))
BUSY_SHARE = 0.6
"""From here on routine reads wait for their turn."""


def on_event(turn: Turn, event: events.Event) -> None:
    """Tell what an event says by itself, and place the hold of a HALT file."""
    match event:
        case events.Started():
            _started(turn, event)
        case events.Stopping():
            alerts.once(
                turn,
                "stopping",
                PORTFOLIO,
                Level.ORANGE,
                "riskbot is stopping: protection ends",
                did="entries are denied; work under way is finished or journaled",
            )
        case events.HaltFileSeen():
            _halt(turn, event.reason)
        case events.KeyRightsChecked():
            _rights(turn, event)
            _expiry(turn, event)
        case events.RequestsLimited():
            _requests(turn, event)
        case events.EngineFaulted():
            alerts.once(
                turn,
                "engine_fault",
                PORTFOLIO,
                Level.RED,
                f"a {event.event_kind} broke the engine",
                text=event.error,
                did="the event was set aside and the engine rebuilt from the journal",
                todo="send the log to the maintainers",
            )
        case events.FrontendChanged():
            _frontend(turn, event)
            _pace(turn, event)
        case events.CommandRefused():
            turn.audit("refused", "", PORTFOLIO, event.reason, event.actor.name)
        case events.AlertDelivered() | events.AlertDeliveryFailed():
            _channel(turn, event)
        case _:
            tellings.on_event(turn, event)


def _started(turn: Turn, event: events.Started) -> None:
    if event.halt_file:
        _halt(turn, "the HALT file was there at the start")
    firing = len(turn.state.alerts.firing)
    work = len(turn.state.enforcement.intents)
    text = f"{firing} alerts open" + (f", {work} accounts with unfinished work" if work else "")
    back_s = turn.state.set_back_ms // 1000
    if back_s:
        text += f"; the clock was set back by {back_s} s since the last record"
    alerts.once(
        turn,
        "started",
        PORTFOLIO,
        Level.ORANGE if back_s >= SET_BACK_S else Level.YELLOW,
        f"riskbot {event.version} started, {turn.settings.mode.value} mode",
        text=text,
        did="reading the accounts; nothing new is allowed until they are read",
    )


def _halt(turn: Turn, reason: str) -> None:
    if (PORTFOLIO, OPERATOR) not in turn.state.enforcement.holds:
        place_operator_hold(turn, PORTFOLIO, "kill", reason or "HALT file")


def _rights(turn: Turn, event: events.KeyRightsChecked) -> None:
    scope = account_scope(event.account)
    if event.can_withdraw or event.can_transfer:
        what = "withdraw" if event.can_withdraw else "transfer"
        alerts.tell(
            turn,
            "key_rights",
            scope,
            Level.ORANGE,
            f"the key of {event.account} may {what} funds",
            todo="replace it by one that may only read and trade",
        )
    elif event.has_ip_list is False:
        alerts.tell(
            turn,
            "key_rights",
            scope,
            Level.YELLOW,
            f"the key of {event.account} is not bound to an address list",
            todo="bind it to this host's address at the venue",
        )
    else:
        alerts.resolve(turn, "key_rights", scope)


def _expiry(turn: Turn, event: events.KeyRightsChecked) -> None:
    scope = account_scope(event.account)
    left_ms = None if event.expires_ms is None else event.expires_ms - turn.now_ms
    near = [level for days, level in _EXPIRY if left_ms is not None and left_ms <= days * DAY_MS]
    if left_ms is None or not near:
        alerts.resolve(turn, "key_expiry", scope, "the key lasts")
        return
    days = max(0, left_ms // DAY_MS)
    alerts.tell(
        turn,
        "key_expiry",
        scope,
        near[0],
        f"the key of {event.account} expires in {days} days",
        text="without it riskbot neither sees nor closes anything there",
        todo="renew or replace it at the venue, then restart",
    )


def _requests(turn: Turn, event: events.RequestsLimited) -> None:
    scope = account_scope(event.account)
    if event.until_ms is not None:
        wait_s = max(0, event.until_ms - turn.now_ms) / 1000
        alerts.tell(
            turn,
            "rate_limited",
            scope,
            Level.ORANGE,
            f"the venue of {event.account} asked to wait {wait_s:.0f} s",
            text=event.detail,
            did="nothing is sent to what it named before that",
            todo="find what else sends requests from this address or account",
        )
    elif event.used_ratio >= BUSY_SHARE:
        alerts.tell(
            turn,
            "rate_limited",
            scope,
            Level.YELLOW,
            f"{event.used_ratio:.0%} of the request limit of {event.account} is used",
            did="routine reads wait; the rest is kept for cancels and closes",
            todo="find what else sends requests from this address or account",
        )
    else:
        alerts.resolve(turn, "rate_limited", scope, "requests go through again")


def _frontend(turn: Turn, event: events.FrontendChanged) -> None:
    name = "frontend_down"
    scope = f"frontend:{event.name}"
    if event.is_contested:
        _contested(turn, event, scope)
        return
    if event.is_up:
        alerts.resolve(turn, name, scope, "back")
        alerts.resolve(turn, "token_conflict", scope, "nobody else uses it any more")
        return
    alerts.tell(
        turn,
        name,
        scope,
        Level.ORANGE,
        f"{event.name} is down",
        text=event.detail,
        did="the guard goes on; it is tried again with growing pauses",
        todo="use riskbot ctl meanwhile",
    )


def _contested(turn: Turn, event: events.FrontendChanged, scope: str) -> None:
    alerts.resolve(turn, "frontend_down", scope, "back, but contested")
    before = turn.state.alerts.firing.get(("token_conflict", scope))
    if before is not None and before.acked_by and before.text != event.detail:
        # Who took what was there before has not seen this.
        untaken = replace(before, acked_by=None, acked_ms=None, acked_used=None)
        turn.emit(actions.SetAlert(alert=untaken))
    alerts.tell(
        turn,
        "token_conflict",
        scope,
        Level.RED,
        f"somebody else uses the token of {event.name}",
        text=event.detail,
        did=f"{event.name} takes only what lowers risk meanwhile; alerts go on",
        todo="end the other program; if it is not yours, revoke the token",
    )


def _pace(turn: Turn, event: events.FrontendChanged) -> None:
    name, scope = "frontend_slow", f"frontend:{event.name}"
    if not event.is_slow:
        # One that went away says nothing about its pace.
        if event.is_up:
            alerts.resolve(turn, name, scope, "fast again")
        return
    alerts.tell(
        turn,
        name,
        scope,
        Level.YELLOW,
        f"{event.name} answers slowly",
        text=event.detail,
        did="nothing: what the guard does waits for no answer of it",
        todo="broker: set_tcp_nodelay true, or one that is nearer",
    )


def _channel(turn: Turn, event: events.AlertDelivered | events.AlertDeliveryFailed) -> None:
    scope = f"channel:{event.channel}"
    if isinstance(event, events.AlertDelivered):
        if not event.is_held:
            alerts.resolve(turn, "channel_down", scope, "alerts go through again")
        return
    alerts.tell(
        turn,
        "channel_down",
        scope,
        Level.ORANGE,
        f"alerts do not get through {event.channel}",
        text=event.error,
        did="the other channels are used",
        todo="check the channel",
    )
