"""BLIND flags: what riskbot cannot see or do. They block new risk and tell people; never close."""

from __future__ import annotations

from riskbot.core import actions, alerts, events
from riskbot.core.feeds import ACCOUNT, PRICES
from riskbot.core.model import PORTFOLIO, BlindKind, Level, account_scope
from riskbot.core.turn import Turn

CLOCK_BLIND_MS = 1_000
CLOCK_WARN_MS = 250
GRACE_MS = 15_000
"""After a start, what was not seen yet is BLIND without an alarm for this long."""

RED_AFTER_MS = 60_000
CHANNELS_DEAD_MS = 300_000


def decide(turn: Turn) -> None:
    """Raise and lift every flag, and tell of them."""
    for account in sorted(turn.settings.accounts):
        _account(turn, account)
        _reads(turn, account)
        _prices(turn, account)
        _clock(turn, account)
        _feeds(turn, account)
    _channels(turn)


def _channels(turn: Turn) -> None:
    """Raise BLIND(alerts) when no channel has taken an alert for minutes: nobody would know."""
    known = turn.state.alerts.deliveries
    since = [
        told.since_ms
        for name in known
        if (told := turn.state.alerts.firing.get(("channel_down", f"channel:{name}"))) is not None
    ]
    dead = bool(known) and len(since) == len(known)
    is_long = dead and turn.now_ms - max(since) >= CHANNELS_DEAD_MS
    _flag(turn, BlindKind.ALERTS, "", "no channel takes alerts" if is_long else None)


def on_event(turn: Turn, event: events.Event) -> None:
    """Take flags that an event states by itself."""
    if isinstance(event, events.StorageFailed):
        _flag(turn, BlindKind.STORAGE, "", event.error)
        alerts.tell(
            turn,
            "storage",
            PORTFOLIO,
            Level.RED,
            "the journal cannot be written",
            text=event.error,
            did="entries denied; cancels and closes go on in memory",
            todo="free disk space or mend the disk",
        )
    elif isinstance(event, events.StorageRestored):
        _flag(turn, BlindKind.STORAGE, "", None)
        alerts.resolve(turn, "storage", PORTFOLIO, "the journal is written again")


def _flag(turn: Turn, what: BlindKind, subject: str, reason: str | None) -> bool:
    """Set or lift a flag; True when that changed something."""
    is_blind = reason is not None
    if turn.state.enforcement.is_blind(what, subject) == is_blind:
        return False
    equity = turn.state.meter.book.equity(subject) if what is BlindKind.ACCOUNT else None
    turn.emit(
        actions.SetBlind(
            what=what,
            subject=subject,
            is_blind=is_blind,
            reason=reason or "in sight",
            equity_usd=equity if is_blind else None,
        )
    )
    turn.remeasure()
    return True


def _since_ms(turn: Turn, what: BlindKind, subject: str) -> int:
    return turn.state.enforcement.blinds.get((what, subject), ("", turn.now_ms))[1]


def _account(turn: Turn, account: str) -> None:
    stale_ms = int(turn.settings.monitor.account_stale_s * 1000)
    known = turn.state.accounts.get(account)
    reason = known.blind_reason(turn.now_ms, stale_ms)
    _flag(turn, BlindKind.ACCOUNT, account, reason)
    scope = account_scope(account)
    if reason is None:
        alerts.resolve(turn, "blind_account", scope, "in sight again")
        return
    since = _since_ms(turn, BlindKind.ACCOUNT, account)
    if not known.is_synced and turn.now_ms - turn.state.feeds.started_ms < GRACE_MS:
        return
    red = turn.now_ms - since >= RED_AFTER_MS
    alerts.tell(
        turn,
        "blind_account",
        scope,
        Level.RED if red else Level.ORANGE,
        f"BLIND: account {account} is out of sight",
        text=known.failure or ("no word from its venue" if known.is_synced else reason),
        did="entries on it are denied, nothing is closed; its last positions stay counted",
        todo="check the venue and the key; halt by hand at the venue if in doubt",
    )


def _reads(turn: Turn, account: str) -> None:
    """Tell of an account that only its stream still shows: what that left out nobody knows."""
    known = turn.state.accounts.get(account)
    scope = account_scope(account)
    hidden = turn.state.enforcement.is_blind(BlindKind.ACCOUNT, account)
    if hidden or known.failed_ms is None:
        # A blind account says so itself.
        alerts.resolve(turn, "unread_account", scope, "it is read again")
        return
    failing_ms = turn.now_ms - known.failed_ms
    if failing_ms < turn.settings.monitor.account_stale_s * 1000:
        return
    alerts.tell(
        turn,
        "unread_account",
        scope,
        Level.RED if failing_ms >= RED_AFTER_MS else Level.ORANGE,
        f"account {account} cannot be read, only its stream goes on",
        text=known.failure,
        did="trying again; what the stream says counts meanwhile",
        todo="check the venue and the key; orders may not get through either",
    )


def _prices(turn: Turn, account: str) -> None:
    # What is held is shown first.
    turn.book(PORTFOLIO)
    blind = sorted(turn.state.blind_prices(account, turn.now_ms))
    flagged = {
        subject.partition("|")[2]
        for what, subject in turn.state.enforcement.blinds
        if what is BlindKind.PRICE and subject.partition("|")[0] == account
    }
    for symbol in sorted(flagged.symmetric_difference(blind)):
        reason = None if symbol in flagged else "no fresh price"
        _flag(turn, BlindKind.PRICE, f"{account}|{symbol}", reason)
    scope = account_scope(account)
    if not blind or turn.state.enforcement.is_blind(BlindKind.ACCOUNT, account):
        # A blind account says so itself: one alert, not one for each of its prices.
        alerts.resolve(turn, "blind_price", scope, "prices are fresh again")
        return
    if turn.now_ms - turn.state.feeds.started_ms < GRACE_MS:
        return
    since = min(_since_ms(turn, BlindKind.PRICE, f"{account}|{s}") for s in blind)
    red = turn.now_ms - since >= RED_AFTER_MS
    names = ", ".join(blind[:5]) + (f" and {len(blind) - 5} more" if len(blind) > 5 else "")
    alerts.tell(
        turn,
        "blind_price",
        scope,
        Level.RED if red else Level.ORANGE,
        f"no fresh price of {names} on {account}",
        did="entries in it are denied, nothing is closed on stale prices",
        todo="check the venue; riskbot reconnects by itself",
    )


def _clock(turn: Turn, account: str) -> None:
    offset = turn.state.feeds.clocks.get(account)
    if offset is None:
        return
    far = abs(offset) > CLOCK_BLIND_MS
    _flag(turn, BlindKind.CLOCK, account, f"clock off by {offset} ms" if far else None)
    scope = account_scope(account)
    if abs(offset) <= CLOCK_WARN_MS:
        alerts.resolve(turn, "blind_clock", scope, "the clock agrees again")
        return
    alerts.tell(
        turn,
        "blind_clock",
        scope,
        Level.RED if far else Level.YELLOW,
        f"clock {'far ' if far else ''}off against {account}",
        did="entries denied on it" if far else "",
        todo="check NTP (timedatectl)",
    )


def _feeds(turn: Turn, account: str) -> None:
    """Tell of a stream that is lost while REST still answers."""
    for feed in (PRICES, ACCOUNT):
        state = turn.state.feeds.feeds.get((account, feed))
        name, scope = f"feed_{feed}", account_scope(account)
        if state is None:
            continue
        if state.lost_ms is None:
            alerts.resolve(turn, name, scope, "the stream is back")
            continue
        hidden = turn.state.enforcement.is_blind(BlindKind.ACCOUNT, account)
        if hidden:
            continue
        alerts.tell(
            turn,
            name,
            scope,
            Level.ORANGE,
            f"the {feed} stream of {account} is silent or broken",
            text=state.reason,
            did="reconnecting; REST reads go on",
        )
