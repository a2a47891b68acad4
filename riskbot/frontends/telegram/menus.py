"""The menu that Telegram shows: per person what the role may do, else start and help."""

from __future__ import annotations

import asyncio
import json
import logging
from zoneinfo import ZoneInfo

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramRetryAfter
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllGroupChats,
    BotCommandScopeChat,
    BotCommandScopeDefault,
    BotCommandScopeUnion,
)

from riskbot.core.model import Role
from riskbot.frontends.telegram.helps import describe, names
from riskbot.frontends.telegram.languages import ENGLISH, catalogues
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.reader import Reader, reading, say
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

AGAIN_S = 60.0
UTC = ZoneInfo("UTC")

Menu = list[tuple[str, str]]
"""Commands, each with what it does."""


def menu(role: Role, language: str) -> Menu:
    """Return the menu of a role, danger last."""
    with reading(Reader(UTC, language)):
        return [(name, describe(name)) for name in names(role)]


def _strangers(language: str) -> Menu:
    with reading(Reader(UTC, language)):
        return [("start", say("greeting")), ("help", say("what you can do"))]


class Menus:
    """Keeps the menu of every scope, in every language.

    Telegram shows who uses it in a language the list of that language, else the one of none. Who
    has chosen a language here sees that one whatever Telegram thinks.

    Args:
        bot: sets them; nothing waits for that.
        settings: who is listed.
        memory: which menus are set already, and who has chosen a language.
    """

    def __init__(self, bot: Bot, settings: Settings, memory: Memory) -> None:
        self._bot = bot
        self._settings = settings
        self._memory = memory
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look again: somebody may have chosen a language."""
        self._news.set()

    async def run(self) -> None:
        """Keep the menus until cancelled."""
        while True:
            await self._keep()
            await self._news.wait()
            self._news.clear()

    def _wanted(self) -> dict[str, Menu]:
        """Return every menu by its scope and language: `chat:1001`, `chat:1001/de`."""
        wanted: dict[str, Menu] = {}
        for language in catalogues():
            end = "" if language == ENGLISH else f"/{language}"
            wanted[f"default{end}"] = wanted[f"groups{end}"] = _strangers(language)
            for user, role in self._settings.users.items():
                chosen = self._memory.person(user).language
                if not chosen:
                    wanted[f"chat:{user}{end}"] = menu(role, language)
                elif not end:
                    wanted[f"chat:{user}"] = menu(role, chosen)
        return wanted

    async def _keep(self) -> None:
        """Set every menu that changed since the last time, and take away what is not wanted."""
        wanted = self._wanted()
        wanted |= {scope: [] for scope in self._memory.scopes() if scope not in wanted}
        todo = [s for s, lines in wanted.items() if self._memory.menu(s) != json.dumps(lines)]
        while todo:
            scope = todo[0]
            try:
                await _set(self._bot, scope, wanted[scope])
            except TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after)
            except TelegramBadRequest as error:
                # A user who never wrote to the bot has no chat yet: next start.
                LOGGER.info("no menu for %s: %s", scope, error.message)
                todo.pop(0)
            except (AiogramError, OSError, TimeoutError):
                await asyncio.sleep(AGAIN_S)
            else:
                self._memory.note_menu(scope, json.dumps(wanted[scope]))
                todo.pop(0)


async def _set(bot: Bot, scope: str, lines: Menu) -> None:
    where, _, language = scope.partition("/")
    target: BotCommandScopeUnion = BotCommandScopeDefault()
    if where == "groups":
        target = BotCommandScopeAllGroupChats()
    elif where.startswith("chat:"):
        target = BotCommandScopeChat(chat_id=int(where.partition(":")[2]))
    if not lines:
        await bot.delete_my_commands(scope=target, language_code=language or None)
        return
    found = await bot.get_my_commands(scope=target, language_code=language or None)
    if [(c.command, c.description) for c in found] != lines:
        commands = [BotCommand(command=name, description=text) for name, text in lines]
        await bot.set_my_commands(commands, scope=target, language_code=language or None)
