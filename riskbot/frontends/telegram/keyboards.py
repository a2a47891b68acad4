"""Buttons: what they say and what they carry. A `…` on a button means that it will ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from riskbot.core.model import Role
from riskbot.frontends.telegram.prompts import DROP, Button, Prompt
from riskbot.frontends.telegram.reader import phrase, say

Keyboard = InlineKeyboardMarkup

DATA_MAX = 64
"""Bytes that a button can carry."""

ASK = "ask"
"""Action of a button that opens a prompt; the subject is the command."""

ACK = "ack"
MUTE = "mute"
OPEN = "open"
SET = "set"
"""Action of a button that sets something for who presses it; the subject says what."""

_CONFIRM = {
    "halt": phrase("⏸ Yes, halt"),
    "resume": phrase("▶ Yes, resume"),
    "flatten": phrase("🧯 Yes, flatten"),
    "reduce": phrase("✂ Yes, reduce"),
    "cancel": phrase("🗑 Yes, cancel orders"),
    "setlimit": phrase("📏 Yes, set it"),
    "silence": phrase("🔕 Yes, silence"),
}
_FIRST_OF_TWO = {"resume": phrase("▶ Resume… (1/2)")}


def _button(text: str, button: Button) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=button.data())


def _rows(*rows: list[InlineKeyboardButton]) -> Keyboard:
    return InlineKeyboardMarkup(inline_keyboard=[row for row in rows if row])


def _refresh(page: str, argument: str = "") -> InlineKeyboardButton:
    return _button(say("🔄 Refresh"), Button(page, argument))


def status_keyboard(role: Role, alerts: int) -> Keyboard:
    """Return the buttons under /status."""
    second = [_button(say("🔔 Alerts ({count})", count=alerts), Button("alerts"))]
    if role.rank >= Role.OPERATOR.rank:
        second.append(_button(say("⏸ Halt…"), Button(ASK, "halt")))
    return _rows(
        [_refresh("status"), _button(say("📊 Exposure"), Button("exposure"))],
        second,
    )


def refresh_keyboard(page: str, argument: str = "") -> Keyboard:
    """Return a Refresh button for a page."""
    return _rows([_refresh(page, argument)])


def chart_keyboard(kind: str, span: str) -> Keyboard:
    """Return the buttons under a chart: Refresh, and how far back."""
    if kind == "sectors":
        return _rows([_refresh(kind, span.replace(" ", ""))])
    spans = [_button(f"{word}", Button(kind, word.replace(" ", ""))) for word in ("24 h", "7 d")]
    return _rows([_refresh(kind, span.replace(" ", "")), *spans])


def linked_keyboard(kind: str, argument: str, links: Sequence[tuple[str, str, str]]) -> Keyboard:
    """Return the buttons under a chart that is no chart of hours: Refresh, and others beside it.

    Args:
        kind: of the chart.
        argument: of its command; one that no button can carry gets no Refresh.
        links: label, kind and argument of each button.
    """
    wanted = [(say("🔄 Refresh"), kind, argument), *links]
    made = [_button(label, Button(name, word)) for label, name, word in wanted if _fits(name, word)]
    return _rows(*(made[at : at + 2] for at in range(0, len(made), 2)))


def _fits(name: str, argument: str) -> bool:
    size = len(Button(name, argument).data().encode())
    return ":" not in argument and size <= DATA_MAX


def panel_keyboard(alerts: int) -> Keyboard:
    """Return the buttons under a live panel: it refreshes itself."""
    return _rows(
        [
            _button(say("📊 Exposure"), Button("exposure")),
            _button(say("🔔 Alerts ({count})", count=alerts), Button("alerts", "new")),
        ],
        [
            _button(say("📉 VaR"), Button("var")),
            _button(say("🌪 Stress"), Button("stress")),
        ],
        [_button(say("⏸ Halt…"), Button(ASK, "halt"))],
    )


def prompt_keyboard(prompt: Prompt) -> Keyboard:
    """Return Yes and Cancel, each on a row of its own."""
    label = _CONFIRM[prompt.action]
    if prompt.steps_left:
        label = _FIRST_OF_TWO.get(prompt.action, label)
    return _rows([_button(say(label), prompt.button())], [_cancel(prompt)])


def code_keyboard(prompt: Prompt) -> Keyboard:
    """Return Cancel alone, while a code is waited for."""
    return _rows([_cancel(prompt)])


def _cancel(prompt: Prompt) -> InlineKeyboardButton:
    return _button(say("✖ Cancel"), prompt.button(DROP))


def alert_keyboard(role: Role, alert_id: str, *, is_acked: bool, chart: str = "") -> Keyboard:
    """Return the buttons under an alert that fires, with the chart that shows it."""
    # Notices of delivery itself have no number in the guard, so nothing to acknowledge.
    can_ack = not is_acked and alert_id[1:].isdigit()
    first = [_button(say("✅ Ack"), Button(ACK, alert_id))] if can_ack else []
    if can_ack:
        first.append(_button(say("🔕 Mute 1 h"), Button(MUTE, alert_id)))
    first.append(_button(say("📋 Status"), Button("status", "new")))
    second = [_button(say("📈 Chart"), Button(chart, "new"))] if chart else []
    second.append(_button(say("⏸ Halt…"), Button(ASK, "halt")))
    if role is Role.ADMIN:
        second.append(_button(say("🧯 Flatten…"), Button(ASK, "flatten")))
    return _rows(first, second)


def hint_keyboard(role: Role, *names: str) -> Keyboard | None:
    """Return buttons that open the prompts of what was probably meant."""
    needed = {"flatten": Role.ADMIN}
    mine = [n for n in names if role.rank >= needed.get(n, Role.OPERATOR).rank]
    if not mine:
        return None
    return _rows([_button(f"{name.capitalize()}…", Button(ASK, name)) for name in mine])


class Choice(NamedTuple):
    """One thing that can be set: what its button says, and the words that would do the same."""

    label: str
    wish: str
    is_set: bool = False


def choice_keyboard(rows: Sequence[Sequence[Choice]]) -> Keyboard:
    """Return the buttons of /settings."""
    return _rows(*([_choice(choice) for choice in row] for row in rows))


def _choice(choice: Choice) -> InlineKeyboardButton:
    return _button(f"• {choice.label}" if choice.is_set else choice.label, Button(SET, choice.wish))


def settings_keyboard() -> Keyboard:
    """Return a button that opens /settings."""
    return _rows([_button(say("⚙ Settings"), Button(SET, OPEN))])
