"""How an alert reads: as a message, at its end, and in one line. Where it stands is `board`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from riskbot.core.duty import AlertStatus
from riskbot.core.model import Level
from riskbot.frontends.telegram.figures import clock, cut, duration, short_clock
from riskbot.frontends.telegram.link import Notice
from riskbot.frontends.telegram.pages import badge, escape, level_word
from riskbot.frontends.telegram.reader import say

LATE_S = 60.0
"""An alert told later than this says so."""

_FACTS = ("status", "level", "worst_level", "name", "scope")


def text(alert: dict[str, Any], age_s: float = 0.0) -> str:
    """Return an alert as HTML; its first 40 characters say level, what, figure and limit."""
    late = []
    if age_s > LATE_S:
        at = short_clock(alert["updated_ms"])
        late = [escape(f"⏱ {say('{time}, {age} late', time=at, age=duration(age_s))}")]
    if alert["status"] == AlertStatus.RESOLVED:
        return _ending(alert, late)
    still = say("STILL ") if alert.get("repeats") else ""
    is_plain = bool(alert.get("is_notice")) and alert["level"] == Level.YELLOW
    level = say("ℹ NOTICE") if is_plain else badge(alert["level"])
    head = f"{level} · {still}{alert['title']}"
    lines = [f"<b>{escape(head)}</b>  #{escape(alert['alert_id'])}", *late]
    if alert["scope"] != "portfolio" or alert["text"]:
        scope = "" if alert["scope"] == "portfolio" else f"{alert['scope']}: "
        lines.append(escape(cut(scope + (alert["text"] or say("the whole account")), 500)))
    lines += _doing(alert)
    lines += _others(alert)
    if alert.get("acked_by"):
        at = clock(alert["acked_ms"]) if alert.get("acked_ms") else ""
        lines.append(escape(f"✋ {say('ack by {who}', who=alert['acked_by'])} {at}".rstrip()))
    lines.append(escape(_when(alert)))
    return "\n".join(lines)


def _when(alert: dict[str, Any]) -> str:
    since_ms, now_ms = alert["since_ms"], alert["updated_ms"]
    parts = [clock(now_ms)]
    if now_ms > since_ms:
        parts.append(say("for {time}", time=duration((now_ms - since_ms) / 1000)))
    if alert["level"] == Level.RED and not alert.get("acked_by"):
        parts.append(say("repeats until Ack"))
    return " · ".join(parts)


def _ending(alert: dict[str, Any], late: list[str]) -> str:
    ended_ms = alert.get("resolved_ms") or alert["updated_ms"]
    lasted = duration((ended_ms - alert["since_ms"]) / 1000)
    was = say("was {level}", level=level_word(alert["worst_level"]))
    head = f"{badge('resolved')} · {was} {lasted} · {alert['title']}"
    lines = [f"<b>{escape(head)}</b>  #{escape(alert['alert_id'])}", *late]
    if alert["scope"] != "portfolio":
        lines.append(escape(alert["scope"]))
    lines += _doing(alert)
    lines += _others(alert)
    acked = f" · {say('ack by {who}', who=alert['acked_by'])}" if alert.get("acked_by") else ""
    lines.append(escape(clock(ended_ms) + acked))
    return "\n".join(lines)


def _doing(alert: dict[str, Any]) -> list[str]:
    lines = []
    if alert["did"]:
        lines.append(escape(say("Done by riskbot: {did}", did=cut(alert["did"], 500))))
    if alert["todo"]:
        lines.append(escape(say("You: {todo}", todo=cut(alert["todo"], 300))))
    return lines


def _others(alert: dict[str, Any]) -> list[str]:
    """Return the other alerts of the same message."""
    flapping = []
    if alert.get("is_flapping"):
        flapping.append(escape(say("flapping: it stays up for 30 min")))
    return [*flapping, *(escape(f"+ {cut(line, 120)}") for line in alert.get("also") or ())]


def short(notice: Notice) -> str:
    """Return an alert in a few words, without figures."""
    return line(notice.alert_id, facts(notice))


def facts(notice: Notice) -> dict[str, str]:
    """Return what the few words are made from."""
    return {name: str(notice.alert[name]) for name in _FACTS}


def line(alert_id: str, known: Mapping[str, str]) -> str:
    """Return an alert in a few words; without any facts it is told no longer."""
    if not known:
        return say("#{id}, no longer told", id=alert_id)
    level = badge(known["level"])
    if known["status"] == AlertStatus.RESOLVED:
        level = f"✅ {say('was {level}', level=level_word(known['worst_level']))}"
    scope = "" if known["scope"] == "portfolio" else f" {known['scope']}"
    return f"{level} · {known['name']}{scope} #{alert_id}"
