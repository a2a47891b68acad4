"""The menu that Telegram shows: per person what the role may do, else start and help."""

from __future__ import annotations

import asyncio
import json
import logging

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
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

AGAIN_S = 60.0
_STRANGERS = [("start", "greeting"), ("help", "what you can do")]


def menu(role: Role) -> list[tuple[str, str]]:
    """Return the menu of a role, danger last."""
    return [(name, describe(name)) for name in names(role)]


async def keep_menus(bot: Bot, settings: Settings, memory: Memory) -> None:
    """Set every menu that changed since the last time, and take away those of former users."""
    wanted: dict[str, list[tuple[str, str]]] = {"default": _STRANGERS, "groups": _STRANGERS}
    wanted |= {f"chat:{user}": menu(role) for user, role in settings.users.items()}
    wanted |= {scope: [] for scope in memory.scopes() if scope not in wanted}
    todo = [s for s, lines in wanted.items() if memory.menu(s) != json.dumps(lines)]
    while todo:
        scope = todo[0]
        try:
            await _set(bot, scope, wanted[scope])
        except TelegramRetryAfter as error:
            await asyncio.sleep(error.retry_after)
        except TelegramBadRequest as error:
            # A user who never wrote to the bot has no chat yet: next start.
            LOGGER.info("no menu for %s: %s", scope, error.message)
            todo.pop(0)
        except (AiogramError, OSError, TimeoutError):
            await asyncio.sleep(AGAIN_S)
        else:
            memory.note_menu(scope, json.dumps(wanted[scope]))
            todo.pop(0)


async def _set(bot: Bot, scope: str, lines: list[tuple[str, str]]) -> None:
    target: BotCommandScopeUnion = BotCommandScopeDefault()
    if scope == "groups":
        target = BotCommandScopeAllGroupChats()
    elif scope.startswith("chat:"):
        target = BotCommandScopeChat(chat_id=int(scope.partition(":")[2]))
    if not lines:
        await bot.delete_my_commands(scope=target)
        return
    known = [(c.command, c.description) for c in await bot.get_my_commands(scope=target)]
    if known != lines:
        commands = [BotCommand(command=name, description=text) for name, text in lines]
        await bot.set_my_commands(commands, scope=target)
