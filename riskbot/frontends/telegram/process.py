"""The Telegram process: its parts, put together, for as long as the guard holds its input open."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ChatMemberStatus
from aiogram.types import ChatMemberUpdated, Update
from aiogram.utils.token import TokenValidationError

from riskbot import turns
from riskbot.clock import SystemClock
from riskbot.core.model import Role
from riskbot.errors import ConfigError
from riskbot.frontends.telegram import logs
from riskbot.frontends.telegram.board import Board
from riskbot.frontends.telegram.conversation import Conversation
from riskbot.frontends.telegram.custody import Custody
from riskbot.frontends.telegram.dangers import Dangers
from riskbot.frontends.telegram.figures import duration, short_clock
from riskbot.frontends.telegram.gate import DAY_MS, Gate
from riskbot.frontends.telegram.link import ANSWER_S, Guard, Notice, Taken
from riskbot.frontends.telegram.lookup import Lookup
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.menus import Menus
from riskbot.frontends.telegram.notes import Begun
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.panel import Beat, Panels
from riskbot.frontends.telegram.people import Introduction, People
from riskbot.frontends.telegram.photos import DRAW_S, Drawer, Photos
from riskbot.frontends.telegram.polling import Pace, Poller
from riskbot.frontends.telegram.preferences import Preferences
from riskbot.frontends.telegram.prompts import Button, Prompts
from riskbot.frontends.telegram.reader import Text, later, made, say
from riskbot.frontends.telegram.requests import ALIASES, ASKING
from riskbot.frontends.telegram.sender import NotSentError, Sender
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

EXIT_CONFIG = 78
SESSION_S = 15.0
SUM_UP_S = 3.0
"""After an outage, before it is summed up."""

UPDATES_MAX = 50
"""Updates handled at the same time; the next ones wait at Telegram."""


class Process:
    """Everything between Telegram and the guard.

    Args:
        settings: what the guard said at the start.
        pace: waits of the polling.
        answer_s: how long the guard may take to answer.
        beat: of the live panels.
        draw_s: how long a chart may take; then its figures go out as text.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pace: Pace | None = None,
        answer_s: float = ANSWER_S,
        beat: Beat | None = None,
        draw_s: float = DRAW_S,
    ) -> None:
        self._bot = bot = _bot_of(settings)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._settings = settings
        self._health, self._detail = "", ""
        rng, pace = random.Random(), pace or Pace()
        self._memory = Memory(Path(settings.memory), settings.token.partition(":")[0])
        self._clock = clock = SystemClock()
        self._skipped_ms: int | None = None
        self._sender = Sender(bot, self._memory, rng, clock, self._unauthorized, self._unreachable)
        self._people = people = People(settings, self._memory)
        self._menus = Menus(bot, settings, self._memory)
        preferences = Preferences(settings, self._memory, people, clock, self._menus.wake)
        self._board = Board(settings, self._memory, people, self._sender, clock)
        self._guard = guard = Guard(Path(settings.socket), self._alert, answer_s=answer_s)
        drawer = Drawer(Path(settings.memory).with_suffix(".fonts"), limit_s=draw_s)
        self._panels = Panels(
            settings, self._memory, people, guard, self._sender, bot, clock, beat or Beat()
        )
        self._custody = Custody(settings, self._memory, guard, clock, self._locked, pace.custody)
        prompts = Prompts(clock)
        self._dangers = dangers = Dangers(
            settings, guard, prompts, self._sender, clock, self._spawn
        )
        self._poller = self._polling(rng, pace)
        talk = Conversation(
            bot,
            Lookup(guard, preferences, clock),
            prompts,
            dangers,
            self._sender,
            Photos(guard, self._sender, bot, drawer),
            self._panels,
            clock,
            self._spawn,
            lambda: self._poller.clock_offset_ms,
            lambda: self._custody.is_locked or self._health == "conflict",
        )
        self._dispatcher = Dispatcher()
        gate = Gate(settings, clock, self._memory, self._say, self._tell_admins)
        self._dispatcher.update.outer_middleware(gate)
        self._dispatcher.update.outer_middleware(Introduction(people))
        self._dispatcher.include_router(talk.router())
        self._slots = asyncio.Semaphore(UPDATES_MAX)

    def _polling(self, rng: random.Random, pace: Pace) -> Poller:
        return Poller(
            self._bot,
            self._memory,
            self._take,
            self._tell_health,
            self._clock,
            rng,
            pace,
            self._skipped,
            self._custody.webhook,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            self._tell_interrupted()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._guard.run(), name="guard")
                group.create_task(self._poller.run(), name="polling")
                group.create_task(self._board.run(), name="board")
                group.create_task(self._panels.run(), name="panels")
                group.create_task(self._custody.run(), name="custody")
                group.create_task(self._menus.run(), name="menus")
        finally:
            self._board.close()
            for task in list(self._tasks):
                task.cancel()
            await self._sender.close()
            await self._panels.close()
            await self._bot.session.close()

    async def _alert(self, notice: Notice) -> Taken:
        """Tell an alert; the panels show at once what it says."""
        self._panels.wake()
        return await self._board.take(notice)

    async def _take(self, update: Update) -> None:
        """Handle an update beside the next ones: one that waits must not hold up a halt."""
        if update.message is not None:
            self._memory.note_reachable(update.message.chat.id)
        if update.my_chat_member is not None:
            self._membership(update.my_chat_member)
        await self._slots.acquire()
        begun = _danger(update, self._settings, self._clock.now_ms())
        if begun is not None:
            self._memory.begin(update.update_id, begun)
        task = self._spawn(self._dispatcher.feed_update(self._bot, update))
        task.add_done_callback(lambda done: self._taken(update.update_id, done))

    def _taken(self, update_id: int, task: asyncio.Task[Any]) -> None:
        self._slots.release()
        # One that is cancelled because the process ends was not answered.
        if not task.cancelled():
            self._memory.end(update_id)

    def _membership(self, change: ChatMemberUpdated) -> None:
        """Note at once who has blocked the bot, or thrown it out, and who has it again."""
        chat, status = change.chat.id, change.new_chat_member.status
        if chat not in self._settings.users and chat not in self._settings.groups:
            return
        now_ms = self._clock.now_ms()
        if status not in {ChatMemberStatus.KICKED, ChatMemberStatus.LEFT}:
            self._memory.note_reachable(chat)
        elif not self._memory.is_unreachable(chat, now_ms):
            self._memory.note_unreachable(chat, now_ms)
            self._unreachable(chat)

    def _tell_interrupted(self) -> None:
        """Say what was asked for when the process before this one ended amid it."""
        for begun in self._memory.interrupted():
            if self._settings.role(begun.chat) is not None:
                with self._people.reading(begun.chat):
                    text = say(
                        "I was interrupted at {command} ({time}): it may be done or not. Look at "
                        "the status, and send it again if it is not.",
                        command=begun.name,
                        time=short_clock(begun.at_ms),
                    )
                    self._spawn(self._dangers.say(begun.chat, escape(text)))

    def _spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        coroutine = cast("Coroutine[Any, Any, Any]", work)
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOGGER.error("an update or a text failed", exc_info=error)

    # ------------------------------------------------------------ what people and guard are told

    def _tell_health(self, state: str, detail: str) -> None:
        if state == self._health:
            return
        before, self._health, self._detail = self._health, state, detail
        self._note_outage(state)
        self._tell_guard()
        if self._custody.is_locked:
            return  # what else is said of the token comes once it is ours again
        if state == "conflict":
            self._tell_admins(
                later(
                    "⚠ another program polls with this bot's token, or has set a webhook. If it "
                    "is not you, revoke the token."
                )
            )
        elif before == "conflict" and state == "ok":
            self._tell_admins(later("Nobody else polls with the bot's token any more."))

    def _tell_guard(self) -> None:
        """Say how Telegram is; one that works, but is locked, is contested."""
        if self._custody.is_locked and self._health in {"", "ok", "conflict"}:
            self._guard.tell_health("conflict", self._custody.words)
        else:
            self._guard.tell_health(self._health, self._detail)

    def _locked(self) -> None:
        """Say that a webhook of somebody else locks control, or does so no more."""
        if self._health or self._custody.is_locked:
            self._tell_guard()
        lock = self._memory.lock
        words = later("Acknowledged on the host: what raises risk is taken here again.")
        if lock is not None:
            words = partial(self._custody.warning, lock)
        self._tell_admins(words, is_grave=True)

    def _note_outage(self, state: str) -> None:
        """Once Telegram is back, say in one message what came late or not at all."""
        now_ms, since_ms = self._clock.now_ms(), self._memory.away_ms
        if state == "down" and not since_ms:
            self._memory.note_away(now_ms)
            self._board.missed()  # what was late before is another story
        elif state in {"ok", "conflict"} and since_ms:
            self._memory.note_away(0)
            self._board.note_waiting()
            self._spawn(self._sum_up(duration((now_ms - since_ms) / 1000)))

    async def _sum_up(self, away: str) -> None:
        # What waits in the guard arrives meanwhile.
        await asyncio.sleep(SUM_UP_S)
        missed = self._board.missed()
        if missed:
            head = later("Telegram was away {time}; missed:", time=away)
            for user in self._settings.users:
                self._say(user, partial(_lines, [head, *missed]), is_grave=True)

    def _unreachable(self, chat: int) -> None:
        words = later(
            "⚠ {chat} has blocked the bot or thrown it out: it hears of no alert.", chat=chat
        )
        self._tell_admins(words, but=chat)

    def _skipped(self, number: int) -> None:
        now_ms = self._clock.now_ms()
        if self._skipped_ms is None or now_ms - self._skipped_ms >= DAY_MS:
            self._skipped_ms = now_ms
            self._tell_admins(
                later("Update {number} cannot be read and is skipped; see the log.", number=number)
            )

    def _unauthorized(self) -> None:
        self._tell_health("unauthorized", "Telegram refuses the bot's token")

    def _say(self, chat: int, text: Text, *, is_grave: bool = False) -> None:
        with self._people.reading(chat):
            self._spawn(self._send(chat, made(text), is_grave=is_grave))

    def _tell_admins(self, text: Text, but: int | None = None, *, is_grave: bool = False) -> None:
        for user, role in self._settings.users.items():
            if role is Role.ADMIN and user != but:
                self._say(user, text, is_grave=is_grave)

    async def _send(self, chat: int, text: str, *, is_grave: bool) -> None:
        try:
            if chat in self._settings.users:
                await self._board.tell(chat, text, is_grave=is_grave)
            else:
                await self._sender.send(chat, escape(text), is_silent=True)
        except NotSentError as error:
            LOGGER.info("a notice could not be sent: %s", error)


def _danger(update: Update, settings: Settings, now_ms: int) -> Begun | None:
    """Return what an update of a listed user asks for, when it is more than a look."""
    message, query = update.message, update.callback_query
    if message is not None:
        chat, word = message.chat.id, (message.text or "").partition(" ")[0]
        name = word.removeprefix("/").partition("@")[0].lower() if word[:1] == "/" else ""
    elif query is not None and query.message is not None:
        button = Button.read(query.data)
        chat, name = query.message.chat.id, button.action if button is not None else ""
    else:
        return None
    name = ALIASES.get(name, name)
    is_meant = name in ASKING and settings.role(chat) is not None
    return Begun(chat, name, now_ms) if is_meant else None


def _lines(texts: Sequence[Callable[[], str]]) -> str:
    return "\n".join(text() for text in texts)


def _bot_of(settings: Settings) -> Bot:
    server = TelegramAPIServer.from_base(settings.api_base_url)
    return Bot(settings.token, session=AiohttpSession(api=server, timeout=SESSION_S))


async def main() -> int:
    """Read the settings from standard input, and work until it ends."""
    turns.ordinary()
    reader = asyncio.StreamReader(limit=2**20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        settings = Settings.from_line(await reader.readline())
        logs.set_up(settings.token, settings.log_level)
        process = Process(settings)
    except (ConfigError, TokenValidationError) as error:
        LOGGER.error("telegram does not start: %s", error)  # noqa: TRY400 - the sentence says all
        return EXIT_CONFIG
    os.umask(0o077)
    working = loop.create_task(process.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, working.cancel)
    # The end of the input is the end of the guard: a process without one must not go on polling.
    guarding = loop.create_task(_until_end(reader))
    await asyncio.wait((working, guarding), return_when=asyncio.FIRST_COMPLETED)
    failed = working.done() and not working.cancelled() and working.exception() is not None
    working.cancel()
    guarding.cancel()
    results = await asyncio.gather(working, guarding, return_exceptions=True)
    if failed:
        LOGGER.error("the Telegram process ends", exc_info=cast("BaseException", results[0]))
    return 1 if failed else 0


async def _until_end(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass
