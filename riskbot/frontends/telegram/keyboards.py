"""Buttons: what they say and what they carry. A `…` on a button means that it will ask."""

from __future__ import annotations

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from riskbot.core.model import Role
from riskbot.frontends.telegram.prompts import DROP, Button, Prompt

Keyboard = InlineKeyboardMarkup

ASK = "ask"
"""Action of a button that opens a prompt; the subject is the command."""

ACK = "ack"
MUTE = "mute"

_CONFIRM = {
    "halt": "⏸ Yes, halt",
    "resume": "▶ Yes, resume",
    "flatten": "🧯 Yes, flatten",
    "reduce": "✂ Yes, reduce",
    "cancel": "🗑 Yes, cancel orders",
    "setlimit": "📏 Yes, set it",
    "silence": "🔕 Yes, silence",
}
_FIRST_OF_TWO = {"resume": "▶ Resume… (1/2)"}


def _button(text: str, button: Button) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=button.data())


def _rows(*rows: list[InlineKeyboardButton]) -> Keyboard:
    return InlineKeyboardMarkup(inline_keyboard=[row for row in rows if row])


def status_keyboard(role: Role, alerts: int) -> Keyboard:
    """Return the buttons under /status."""
    second = [_button(f"🔔 Alerts ({alerts})", Button("alerts"))]
    if role.rank >= Role.OPERATOR.rank:
        second.append(_button("⏸ Halt…", Button(ASK, "halt")))
    return _rows(
        [_button("🔄 Refresh", Button("status")), _button("📊 Exposure", Button("exposure"))],
        second,
    )


def refresh_keyboard(page: str, argument: str = "") -> Keyboard:
    """Return a Refresh button for a page."""
    return _rows([_button("🔄 Refresh", Button(page, argument))])


def chart_keyboard(kind: str, span: str) -> Keyboard:
    """Return the buttons under a chart: Refresh, and how far back."""
    if kind == "sectors":
        return _rows([_button("🔄 Refresh", Button(kind, span.replace(" ", "")))])
    spans = [_button(f"{word}", Button(kind, word.replace(" ", ""))) for word in ("24 h", "7 d")]
    return _rows([_button("🔄 Refresh", Button(kind, span.replace(" ", ""))), *spans])


def panel_keyboard(alerts: int) -> Keyboard:
    """Return the buttons under a live panel: it refreshes itself."""
    return _rows(
        [
            _button("📊 Exposure", Button("exposure")),
            _button(f"🔔 Alerts ({alerts})", Button("alerts", "new")),
        ],
        [_button("⏸ Halt…", Button(ASK, "halt"))],
    )


def prompt_keyboard(prompt: Prompt) -> Keyboard:
    """Return Yes and Cancel, each on a row of its own."""
    label = _CONFIRM[prompt.action]
    if prompt.steps_left:
        label = _FIRST_OF_TWO.get(prompt.action, label)
    return _rows([_button(label, prompt.button())], [_button("✖ Cancel", prompt.button(DROP))])


def code_keyboard(prompt: Prompt) -> Keyboard:
    """Return Cancel alone, while a code is waited for."""
    return _rows([_button("✖ Cancel", prompt.button(DROP))])


def alert_keyboard(role: Role, alert_id: str, *, is_acked: bool, chart: str = "") -> Keyboard:
    """Return the buttons under an alert that fires, with the chart that shows it."""
    # Notices of delivery itself have no number in the guard, so nothing to acknowledge.
    can_ack = not is_acked and alert_id[1:].isdigit()
    first = [_button("✅ Ack", Button(ACK, alert_id))] if can_ack else []
    if can_ack:
        first.append(_button("🔕 Mute 1 h", Button(MUTE, alert_id)))
    first.append(_button("📋 Status", Button("status", "new")))
    second = [_button("📈 Chart", Button(chart, "new"))] if chart else []
    second.append(_button("⏸ Halt…", Button(ASK, "halt")))
    if role is Role.ADMIN:
        second.append(_button("🧯 Flatten…", Button(ASK, "flatten")))
    return _rows(first, second)


def hint_keyboard(role: Role, *names: str) -> Keyboard | None:
    """Return buttons that open the prompts of what was probably meant."""
    needed = {"flatten": Role.ADMIN}
    mine = [n for n in names if role.rank >= needed.get(n, Role.OPERATOR).rank]
    if not mine:
        return None
    return _rows([_button(f"{name.capitalize()}…", Button(ASK, name)) for name in mine])
