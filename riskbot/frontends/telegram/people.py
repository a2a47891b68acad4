"""What each person has set for themselves, over what the configuration says; groups have set none.

Which texts that makes is in `reader`; how people set it is in `preferences`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from aiogram import BaseMiddleware
from aiogram.types import TelegramObject, User

from riskbot.frontends.telegram.languages import nearest_language
from riskbot.frontends.telegram.memory import Memory, Person
from riskbot.frontends.telegram.reader import DARK, Reader, reading
from riskbot.frontends.telegram.settings import Settings


class People:
    """Everybody who is listed, as readers.

    Args:
        settings: the configuration's zone and quiet hours, for who has set none.
        memory: what people have set.
    """

    def __init__(self, settings: Settings, memory: Memory) -> None:
        self._settings = settings
        self._memory = memory
        self._zone = ZoneInfo(settings.timezone)

    def reader(self, chat: int) -> Reader:
        """Return how the person of a private chat reads, or a group."""
        person = self._memory.person(chat)
        language = nearest_language(person.language or person.spoken)
        return Reader(self._zone_of(person), language, person.theme or DARK)

    def _zone_of(self, person: Person) -> ZoneInfo:
        try:
            return ZoneInfo(person.zone) if person.zone else self._zone
        except (LookupError, ValueError, OSError):
            return self._zone  # of a database that had it

    def reading(self, chat: int) -> AbstractContextManager[None]:
        """Make what is made in this block for who reads a chat."""
        return reading(self.reader(chat))

    def met(self, user: int, language_code: str | None) -> None:
        """Note the language in which somebody uses Telegram."""
        person = self._memory.person(user)
        if language_code and person.spoken != language_code:
            self._memory.note_person(user, replace(person, spoken=language_code))

    def quiet_hours(self, chat: int) -> str | None:
        """Return the quiet hours of a chat, None = it has none."""
        own = self._memory.person(chat).quiet_hours
        return self._settings.quiet_hours if own is None else own or None

    def is_night(self, chat: int, now_ms: int) -> bool:
        """Whether a chat is to be told of red alone, by its own clock."""
        hours = self.quiet_hours(chat)
        if hours is None:
            return False
        begin, _, end = hours.partition("-")
        local = datetime.fromtimestamp(now_ms / 1000, self.reader(chat).zone)
        now = local.strftime("%H:%M")
        return begin <= now < end if begin <= end else now >= begin or now < end


class Introduction(BaseMiddleware):
    """Has every update that came through the gate handled for its person as the reader."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        """Pass an update on."""
        user = data.get("event_from_user")
        if not isinstance(user, User):
            return await handler(event, data)
        self._people.met(user.id, user.language_code)
        with self._people.reading(user.id):
            return await handler(event, data)
