"""Threads: which alerts are told together, when, how loud, how often.

One message per cause, edited through its life; a new one only when somebody should look. What the
alerts are is `alerts`; how they reach people is not here. Figures: telegram.md section 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from riskbot.core import actions, events, inhibition
from riskbot.core.alerts import Alerts
from riskbot.core.duty import Alert, AlertStatus, AlertThread
from riskbot.core.model import Level
from riskbot.core.turn import Turn

GROUP_WAIT_MS = 10_000
"""Yellow and orange of limits wait for so long for others of their cause; red never waits."""

MERGE_MS = 60_000
"""Further reds of a thread make at most one sound in this time."""

REPEAT_MS = {Level.RED: (600_000, 600_000, 600_000, 1_800_000), Level.ORANGE: (3_600_000,)}
"""Waits between repeats of what nobody took; the last one goes on."""

UNHEARD_MS = 7_200_000
"""After so long without anybody's reaction each wait is twice the one before."""

LONGEST_WAIT_MS = 7_200_000
REMIND_MS = 3_600_000
"""A red that somebody took is called to mind again after so long."""

ESCALATE_MS = {Level.RED: (300_000, 900_000), Level.ORANGE: (900_000,)}
"""When nobody took it: the second contact, then everybody on every channel."""

EDIT_MS = 5_000
"""Words that change while the level stays are told no more often than this."""

ALSO_MAX = 5
OVER_MAX = 20
OVER_MS = 3_600_000
"""Threads that are over are kept for so long, for channels that have not confirmed the end."""

LIFE_MS = {Level.RED: 86_400_000, Level.ORANGE: 3_600_000}
SHORT_MS = 600_000
"""For so long what has changed, or is over, is worth telling to a channel that has missed it."""

MOOT = frozenset({"stopping", "started"})
"""Notices that a start makes old news."""

NOTICE = "notice"
"""Group of the threads of notices."""

LOG = "log"
"""The one channel that cannot fail: it proves nothing about people."""


def dispatch(turn: Turn, event: events.Event) -> None:
    """Tell what is to be told by now."""
    _expire(turn)
    if isinstance(event, events.Started):
        _tell_again(turn)
    _keep_notices(turn)
    state = turn.state.alerts
    hidden = inhibition.hidden(turn)
    groups: dict[str, list[Alert]] = {}
    for alert in state.firing.values():
        groups.setdefault(inhibition.group(alert), []).append(alert)
    known = {thread.group: thread for thread in state.threads.values() if not thread.is_over}
    for name in dict.fromkeys((*known, *groups)):
        _group(turn, name, known.get(name), groups.get(name, []), hidden)


def _expire(turn: Turn) -> None:
    state = turn.state.alerts
    for (name, scope), silence in list(state.silences.items()):
        if turn.now_ms >= silence.until_ms:
            turn.emit(actions.DropSilence(name=name, scope=scope))
    over = [thread for thread in state.threads.values() if thread.is_over]
    for number, thread in enumerate(reversed(over)):
        is_red_notice = thread.group == NOTICE and thread.worst_level is Level.RED
        life_ms = LIFE_MS[Level.RED] if is_red_notice else OVER_MS
        if number >= OVER_MAX or turn.now_ms - thread.updated_ms > life_ms:
            turn.emit(actions.DropThread(thread_id=thread.thread_id))


def _keep_notices(turn: Turn) -> None:
    """Keep a notice that calls out until every channel has it, as a message that is over."""
    told = [a.alert for a in turn.out if isinstance(a, actions.SendAlert) and a.is_loud]
    state = turn.state.alerts
    notices = {a.alert_id for a in state.resolved if a.is_notice} - state.threads.keys()
    for alert in told:
        if alert.alert_id in notices and alert.name not in MOOT:
            thread = AlertThread(
                thread_id=alert.alert_id,
                group=NOTICE,
                revision=alert.revision,
                loud_revision=alert.revision,
                loud_ms=turn.now_ms,
                members=(alert.alert_id,),
                worst_level=alert.worst_level,
                is_over=True,
                updated_ms=turn.now_ms,
            )
            turn.emit(actions.SetThread(thread=thread))


def _group(
    turn: Turn,
    name: str,
    thread: AlertThread | None,
    firing: list[Alert],
    hidden: set[tuple[str, str]],
) -> None:
    shown = [a for a in firing if (a.name, a.scope) not in hidden]
    if thread is None:
        if shown and _is_due(turn, shown):
            thread = AlertThread(min(shown, key=_number).alert_id, name)
            _update(turn, thread, shown, len(firing) - len(shown))
    elif not firing:
        _end(turn, thread)
    elif shown:
        _update(turn, thread, shown, len(firing) - len(shown))


def _number(alert: Alert) -> int:
    return int(alert.alert_id[1:])


def _gravity(alert: Alert) -> tuple[int, int]:
    return (-alert.level.rank, _number(alert))


def _is_due(turn: Turn, shown: Iterable[Alert]) -> bool:
    """Whether a first message may go: red and what is no limit at once, others after a wait."""
    return any(
        alert.level is Level.RED
        or alert.is_urgent
        or not inhibition.waits(turn, alert)
        or turn.now_ms - alert.level_ms >= GROUP_WAIT_MS
        for alert in shown
    )


# ---------------------------------------------------------------- a thread that is open


def _update(turn: Turn, thread: AlertThread, shown: list[Alert], hidden: int) -> None:
    """Tell a thread anew where it says something else, calls out, or is due again."""
    shown = sorted(shown, key=_gravity)
    state = turn.state.alerts
    calling = [a for a in shown if a.acked_by is None and state.silence_of(a) is None]
    top = calling[0].level if calling else Level.OK
    called = min(thread.called, shown[0].level, key=lambda lv: lv.rank)
    after = replace(thread, called=called)
    reds = tuple(a.alert_id for a in shown if a.level is Level.RED)
    fresh = [a for a in calling if a.level is Level.RED and a.alert_id not in thread.red]
    is_loud = False
    if top.rank > called.rank and top.rank >= Level.ORANGE.rank:
        is_loud = True
        after = replace(after, called=top, called_ms=turn.now_ms, repeats=0, escalation=0)
    elif fresh:
        is_loud = turn.now_ms - thread.loud_ms >= MERGE_MS
    elif called is top and top in REPEAT_MS:
        again = _again(turn, after)
        is_loud, after = again != after, again
    elif not calling and reds and thread.loud_ms:
        is_loud = turn.now_ms - max(thread.loud_ms, _taken_ms(shown)) >= REMIND_MS
    if is_loud:
        after = replace(after, loud_ms=turn.now_ms, red=reds)
    print_ = _fingerprint(shown, hidden)
    is_same = thread.told.partition(".")[0] == print_.partition(".")[0]
    is_paced = is_same and turn.now_ms - thread.updated_ms < EDIT_MS
    if not is_loud and (print_ == thread.told or is_paced):
        return
    is_lower = thread.called is Level.RED and called is not Level.RED
    members = tuple(dict.fromkeys((*thread.members, *(a.alert_id for a in shown))))
    worst = max((thread.worst_level, *(a.worst_level for a in shown)), key=lambda lv: lv.rank)
    after = replace(after, told=print_, members=members, worst_level=worst)
    _say(turn, after, shown[0], _lines(turn, shown[1:], hidden), is_loud=is_loud or is_lower)


def _taken_ms(shown: Iterable[Alert]) -> int:
    return max((alert.acked_ms or 0 for alert in shown), default=0)


def _again(turn: Turn, thread: AlertThread) -> AlertThread:
    """Return the thread escalated, or repeated, where either is due."""
    steps = ESCALATE_MS[thread.called]
    stood_ms = turn.now_ms - thread.called_ms
    if thread.escalation < len(steps) and stood_ms >= steps[thread.escalation]:
        return replace(thread, escalation=thread.escalation + 1)
    waits = REPEAT_MS[thread.called]
    wait_ms = waits[min(thread.repeats, len(waits) - 1)]
    if stood_ms > UNHEARD_MS:
        # Each one twice the last: what was waited for since the last sound has passed already.
        wait_ms = min(max(wait_ms, thread.loud_ms - thread.called_ms), LONGEST_WAIT_MS)
    if turn.now_ms - thread.loud_ms >= wait_ms:
        return replace(thread, repeats=thread.repeats + 1)
    return thread


def _say(
    turn: Turn, thread: AlertThread, alert: Alert, also: tuple[str, ...], *, is_loud: bool
) -> None:
    revision = thread.revision + 1
    after = replace(
        thread,
        revision=revision,
        updated_ms=turn.now_ms,
        loud_revision=revision if is_loud else thread.loud_revision,
    )
    turn.emit(actions.SetThread(thread=after))
    turn.emit(actions.SendAlert(alert=_told(turn, after, alert, also), is_loud=is_loud))


def _told(turn: Turn, thread: AlertThread, alert: Alert, also: tuple[str, ...]) -> Alert:
    """Return an alert as its message says it."""
    return replace(
        alert,
        thread=thread.thread_id,
        revision=thread.revision,
        repeats=thread.repeats,
        escalation=thread.escalation,
        group=thread.group,
        loud_at_ms=thread.loud_ms,
        worst_level=max(alert.worst_level, thread.worst_level, key=lambda lv: lv.rank),
        also=also,
        updated_ms=turn.now_ms,
    )


def _lines(turn: Turn, others: list[Alert], hidden: int) -> tuple[str, ...]:
    lines = [line(alert) for alert in others[:ALSO_MAX]]
    if len(others) > ALSO_MAX:
        lines.append(f"+{len(others) - ALSO_MAX} more")
    if hidden:
        lines.append(f"{hidden} hidden by a graver cause")
    return tuple(lines)


def line(alert: Alert) -> str:
    """Return one alert in one line, as it stands beside another one."""
    taken = f", ack {alert.acked_by}" if alert.acked_by else ""
    word = alert.level.value if alert.status is AlertStatus.FIRING else alert.status.value
    return f"{word.upper()} {alert.title} #{alert.alert_id}{taken}"


def _fingerprint(shown: Iterable[Alert], hidden: int) -> str:
    """Return two hashes: of who stands at which level, taken by whom; and of the words."""
    marks = "|".join(f"{a.alert_id} {a.level} {a.acked_by}" for a in shown)
    words = "|".join(f"{a.alert_id} {a.revision}" for a in shown)
    return f"{_hash(f'{marks} {hidden}')}.{_hash(words)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# ---------------------------------------------------------------- its end, and a restart


def _end(turn: Turn, thread: AlertThread) -> None:
    """Tell that all of a thread is over."""
    done = [a for a in turn.state.alerts.resolved if a.alert_id in thread.members]
    after = replace(thread, is_over=True, escalation=0, repeats=0)
    if not done:
        turn.emit(actions.SetThread(thread=after))
        return
    done.sort(key=lambda a: (-a.worst_level.rank, _number(a)))
    worst = replace(done[0], since_ms=min(a.since_ms for a in done))
    is_loud = thread.worst_level is Level.RED and thread.loud_ms > 0
    _say(turn, after, worst, _lines(turn, done[1:], 0), is_loud=is_loud)


def _tell_again(turn: Turn) -> None:
    """After a start, bring what was not confirmed to the channels that miss it, while it matters.

    What called out calls out again; a change that was silent, or an end, is silent again. Both say
    when they were told first, so that a reader sees how late they are.
    """
    state: Alerts = turn.state.alerts
    known = dict.fromkeys((*turn.settings.channels, *state.deliveries))
    by_id = {a.alert_id: a for a in (*state.resolved, *state.firing.values())}
    for thread in list(state.threads.values()):
        members = [by_id[m] for m in thread.members if m in by_id]
        firing = [a for a in members if a.status is AlertStatus.FIRING]
        shown = sorted(firing if not thread.is_over else members, key=_gravity)
        if not shown:
            continue
        told = _told(turn, thread, shown[0], _lines(turn, shown[1:], 0))
        told = replace(told, updated_ms=thread.updated_ms)
        if thread.group == NOTICE:
            told = replace(told, status=AlertStatus.FIRING)
        is_worth = turn.now_ms - thread.updated_ms <= LIFE_MS.get(thread.worst_level, SHORT_MS)
        for is_loud, missing in _missing(thread, known).items():
            # What calls out and still holds is never too old.
            if missing and (is_worth or (is_loud and not thread.is_over)):
                turn.emit(actions.SendAlert(alert=told, is_loud=is_loud, channels=missing))


def _missing(thread: AlertThread, known: Iterable[str]) -> dict[bool, tuple[str, ...]]:
    """Return the channels that miss what called out (True), and those that miss a change."""
    missing: dict[bool, tuple[str, ...]] = {True: (), False: ()}
    for name in known:
        has = thread.delivered.get(name, 0)
        if name != LOG and has < thread.revision:
            is_loud = has < thread.loud_revision
            missing[is_loud] = (*missing[is_loud], name)
    return missing
