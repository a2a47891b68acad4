"""Who may speak: one middleware before everything, for every kind of update.

A message counts when a listed user wrote it, himself and just now, in the private chat with the
bot; a press when a listed user made it there. All else reaches no handler.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import CallbackQuery, Message, TelegramObject, Update, User

from riskbot.clock import Clock
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.reader import Text, later
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

NEUTRAL = "Private bot."
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
STRANGERS_MAX = 20
"""Strangers of an hour who are answered and named; what is more is one line for the admins."""

Say = Callable[[int, str], None]
"""Queues a plain text for a chat."""

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class Gate(BaseMiddleware):
    """Lets listed users through, and hands their role to the handlers as `role`.

    Args:
        settings: who is listed.
        clock: for the hour between answers.
        memory: keeps who was answered, and of whom the admins know.
        say: queues a text.
        tell_admins: queues a text for the admins.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        memory: Memory,
        say: Say,
        tell_admins: Callable[[Text], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._memory = memory
        self._say = say
        self._tell_admins = tell_admins
        self._answers: list[int] = []
        self._notices: list[int] = []
        self._summed_ms = -HOUR_MS
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
        user = message.from_user
        if user is None:
            return
        now_ms = self._clock.now_ms()
        self._answers = [ms for ms in self._answers if now_ms - ms < HOUR_MS]
        self._notices = [ms for ms in self._notices if now_ms - ms < HOUR_MS]
        answered_ms, told_ms = self._memory.stranger(user.id)
        is_silent = now_ms - answered_ms < HOUR_MS or len(self._answers) >= STRANGERS_MAX
        is_known = now_ms - told_ms < DAY_MS
        if is_silent and is_known:
            return
        if not is_silent:
            answered_ms = now_ms
            self._answers.append(now_ms)
            self._say(user.id, NEUTRAL)
        if not is_known:
            told_ms = now_ms
            self._tell(user, message, now_ms)
        self._memory.note_stranger(user.id, answered_ms, told_ms)

    def _tell(self, user: User, message: Message, now_ms: int) -> None:
        """Tell the admins of a stranger, or once in an hour that there are many."""
        LOGGER.warning("a stranger wrote to the bot: %d", user.id)
        if len(self._notices) < STRANGERS_MAX:
            self._notices.append(now_ms)
            wrote = {"name": user.full_name, "id": user.id, "text": (message.text or "")[:60]}
            self._tell_admins(
                later("A stranger wrote to the bot: {name} ({id}): {text}", **wrote)
                if message.text
                else later("A stranger wrote to the bot: {name} ({id}), without text", **wrote)
            )
        elif now_ms - self._summed_ms >= HOUR_MS:
            self._summed_ms = now_ms
            self._tell_admins(
                later(
                    "More than {count} strangers wrote to the bot within an hour. The log names "
                    "the others; none was told anything.",
                    count=STRANGERS_MAX,
                )
            )


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
