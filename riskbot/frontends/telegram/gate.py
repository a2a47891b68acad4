"""Who may speak: one middleware before everything, for every kind of update.

A message counts when a listed user wrote it, himself and just now, in the private chat with the
bot; a press when a listed user made it there. All else reaches no handler.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import CallbackQuery, Message, TelegramObject, Update

from riskbot.clock import Clock
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

NEUTRAL = "Private bot."
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
STRANGERS_MAX = 1_000
"""Strangers remembered; beyond it none is answered."""

ANSWERS_MAX = 20
"""Neutral lines in an hour, to all strangers together."""

Say = Callable[[int, str], None]
"""Queues a plain text for a chat."""

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class Gate(BaseMiddleware):
    """Lets listed users through, and hands their role to the handlers as `role`.

    Args:
        settings: who is listed.
        clock: for the hour between answers.
        say: queues a text.
        tell_admins: queues a text for the admins.
    """

    def __init__(
        self, settings: Settings, clock: Clock, say: Say, tell_admins: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._say = say
        self._tell_admins = tell_admins
        self._answered: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self.refused = 0

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Pass an update on, or drop it."""
        if not isinstance(event, Update):
            return None
        user = _speaker(event)
        role = self._settings.role(user)
        if role is not None:
            data["role"] = role
            return await handler(event, data)
        self.refused += 1
        if user is not None and event.message is not None:
            self._stranger(event.message)
        return None

    def _stranger(self, message: Message) -> None:
        now_ms = self._clock.now_ms()
        self._answered = {u: ms for u, ms in self._answered.items() if now_ms - ms < HOUR_MS}
        self._told = {u: ms for u, ms in self._told.items() if now_ms - ms < DAY_MS}
        user = message.from_user
        if user is None:
            return
        if user.id not in self._answered and len(self._answered) < ANSWERS_MAX:
            self._answered[user.id] = now_ms
            self._say(user.id, NEUTRAL)
        if user.id in self._told or len(self._told) >= STRANGERS_MAX:
            return
        self._told[user.id] = now_ms
        LOGGER.warning("a stranger wrote to the bot: %d", user.id)
        if len(self._told) <= ANSWERS_MAX:
            text = (message.text or "something without text")[:60]
            self._tell_admins(f"A stranger wrote to the bot: {user.full_name} ({user.id}): {text}")
        elif len(self._told) == ANSWERS_MAX + 1:
            self._tell_admins(f"More than {ANSWERS_MAX} strangers wrote to the bot today.")


def _speaker(update: Update) -> int | None:
    """Return who speaks in private, in person and just now; None when nobody does."""
    if update.message is not None and update.event_type == "message":
        return _writer(update.message)
    if update.callback_query is not None and update.event_type == "callback_query":
        return _presser(update.callback_query)
    return None


def _writer(message: Message) -> int | None:
    user = message.from_user
    if user is None or user.is_bot:
        return None
    if message.chat.type != "private" or message.chat.id != user.id:
        return None
    is_another = (
        message.via_bot or message.sender_chat or message.sender_business_bot or message.edit_date
    )
    is_forward = message.forward_origin or message.is_automatic_forward or message.forward_date
    return None if is_another or is_forward else user.id


def _presser(query: CallbackQuery) -> int | None:
    message = query.message
    if message is None or query.from_user.is_bot:
        return None  # an inline message: in a chat the bot does not see
    is_private = message.chat.type == "private" and message.chat.id == query.from_user.id
    return query.from_user.id if is_private else None
