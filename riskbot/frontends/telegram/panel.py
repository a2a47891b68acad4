"""The live panel: one pinned message per chat that shows /status, and says how old it may be.

Edited only when something changed, at once when the level did, and each minute to show that it
lives. It outlives a restart of the process in the same message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramRetryAfter
from aiogram.methods import EditMessageText

from riskbot.clock import Clock
from riskbot.core.model import Role
from riskbot.frontends.telegram import pages
from riskbot.frontends.telegram.figures import short_clock
from riskbot.frontends.telegram.keyboards import Keyboard, panel_keyboard
from riskbot.frontends.telegram.link import Guard, GuardAwayError
from riskbot.frontends.telegram.memory import Memory, Panel
from riskbot.frontends.telegram.pages import Document, escape
from riskbot.frontends.telegram.people import People
from riskbot.frontends.telegram.reader import phrase, say
from riskbot.frontends.telegram.requests import Request
from riskbot.frontends.telegram.sender import NotSentError, Sender, Urgency
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

FOOT = phrase("updates every 15 s; older than 1 min = I am down")
AWAY = phrase("⚫ NO DATA · the guard does not answer")
USAGE = "<code>/panel</code>, <code>/panel off</code>"
PIN_TRIES = 3
STOP_S = 1.5
"""For saying that riskbot stops: what ends the process does not wait long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """How often a panel is looked after, seconds.

    Attributes:
        look: between two looks at the guard.
        every: between two edits while only figures change.
        private, group: between any two edits; one that the level asks for may come before.
        heartbeat: between two edits while nothing changes: below the minute the panel promises.
        again: between two new messages where the old one cannot be edited.
    """

    look: float = 5.0
    every: float = 15.0
    private: float = 5.0
    group: float = 15.0
    heartbeat: float = 50.0
    again: float = 600.0


@dataclass(frozen=True, slots=True)
class _Look:
    """What a panel shows now.

    Attributes:
        head: level, trading state and holds: their change is shown at once.
        body: all that counts as a change.
    """

    head: str
    body: str
    text: str
    alerts: int


@dataclass(slots=True)
class _Shown:
    look: _Look
    at: float
    is_sudden: bool


class Panels:
    """Keeps the panel of every chat that has one.

    Args:
        bot: pins, and says the last word, for which no queue is left.
        beat: how often.
        others: see the modules of their names.
    """

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        people: People,
        guard: Guard,
        sender: Sender,
        bot: Bot,
        clock: Clock,
        beat: Beat,
    ) -> None:
        self._settings = settings
        self._memory = memory
        self._people = people
        self._guard = guard
        self._sender = sender
        self._bot = bot
        self._clock = clock
        self._beat = beat
        self._shown: dict[int, _Shown] = {}
        self._busy: dict[int, asyncio.Task[Any]] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look now: something happened."""
        self._news.set()

    async def run(self) -> None:
        """Keep the panels until cancelled."""
        await self._retire()
        while True:
            panels = self._memory.panels()
            if panels:
                seen = await self._see(next(iter(panels.values())).user)
                for chat in panels:
                    with self._people.reading(chat):
                        self._beside(chat, self._keep(chat, self._look(seen)))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat.look):
                    await self._news.wait()
            self._news.clear()

    async def close(self) -> None:
        """Say on every panel that riskbot stops."""
        for task in self._busy.values():
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(
                    *(self._stopped(chat, p) for chat, p in self._memory.panels().items())
                )

    async def _stopped(self, chat: int, panel: Panel) -> None:
        with self._people.reading(chat):
            moment = short_clock(self._clock.now_ms())
            await self._last(chat, panel, say("🔌 riskbot stopped {time}", time=moment))

    # ------------------------------------------------------------ asked for

    async def command(self, request: Request) -> str:
        """Do `/panel [off] [group]`; return what to answer, empty = the panel is the answer."""
        words = request.argument.lower().split()
        is_off = "off" in words
        rest = [word for word in words if word not in {"on", "off"}]
        chat = request.chat
        if rest:
            known = {str(group): group for group in self._settings.groups}
            if len(rest) > 1 or rest[0] not in known:
                groups = ", ".join(known) or say("none is configured")
                of_groups = say("or with the id of a group: {list}", list=groups)
                return f"{USAGE}; {escape(of_groups)}"
            chat = known[rest[0]]
        async with self._locks.setdefault(chat, asyncio.Lock()):
            return await (self._off(chat) if is_off else self._on(chat, request))

    async def _on(self, chat: int, request: Request) -> str:
        with self._people.reading(chat):
            look = self._look(await self._see(request.user))
        panel = self._memory.panel(chat)
        words = say("The panel is pinned above.")
        if panel is None or not await self._edit(chat, panel, look):
            panel = await self._new(chat, request.user, look, Urgency.REPLY)
            words = "" if chat == request.chat else say("The panel is in {chat} now.", chat=chat)
        if await self._pin(chat, panel):
            return words
        return f"{words} {say('I may not pin it there.')}".strip()

    async def _off(self, chat: int) -> str:
        panel = self._memory.panel(chat)
        if panel is None:
            return f"{escape(say('There is no panel.'))} {USAGE}"
        self._memory.drop_panel(chat)
        shown = self._shown.pop(chat, None)
        with self._people.reading(chat):
            look = shown.look if shown else self._look(await self._see(panel.user))
            moment = short_clock(self._clock.now_ms())
            head = say("⏹ Frozen {time}: not updated any more", time=moment)
        frozen = f"{escape(head)}\n{look.text}"
        with suppress(NotSentError):
            await self._sender.edit(chat, panel.message, frozen)
        with suppress(AiogramError, OSError, TimeoutError):
            await self._bot.unpin_chat_message(self._memory.chat(chat), message_id=panel.message)
        return say("The panel is off: unpinned and frozen.")

    # ------------------------------------------------------------ kept

    def _beside(self, chat: int, work: Coroutine[Any, Any, None]) -> None:
        """Do something for a chat, unless it still waits for Telegram."""
        if chat in self._busy:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._busy[chat] = task
        task.add_done_callback(lambda done: self._ended(chat, done))

    def _ended(self, chat: int, task: asyncio.Task[Any]) -> None:
        del self._busy[chat]
        if not task.cancelled() and (error := task.exception()) is not None:
            LOGGER.error("the panel of a chat failed", exc_info=error)

    async def _keep(self, chat: int, look: _Look) -> None:
        async with self._locks.setdefault(chat, asyncio.Lock()):
            panel = self._memory.panel(chat)
            if panel is None or not self._is_due(chat, look):
                return
            with suppress(NotSentError):
                if await self._edit(chat, panel, look):
                    return
                if self._clock.now_ms() - panel.made_ms >= self._beat.again * 1000:
                    made = await self._new(chat, panel.user, look, Urgency.PANEL)
                    await self._pin(chat, made)

    def _is_due(self, chat: int, look: _Look) -> bool:
        shown = self._shown.get(chat)
        if shown is None:
            return True
        age_s = asyncio.get_running_loop().time() - shown.at
        least_s = self._beat.private if chat > 0 else self._beat.group
        if look.head != shown.look.head:
            return age_s >= least_s or not shown.is_sudden
        if look.body != shown.look.body:
            return age_s >= max(least_s, self._beat.every)
        return age_s >= self._beat.heartbeat

    async def _edit(self, chat: int, panel: Panel, look: _Look) -> bool:
        """Bring the message up to date; False when it cannot be edited any more.

        Raises:
            NotSentError: not now.
        """
        before = self._shown.get(chat)
        if before is not None and before.look.text == look.text:
            return True
        try:
            await self._sender.edit(
                chat,
                panel.message,
                look.text,
                urgency=Urgency.PANEL,
                keyboard=self._keyboard(chat, look),
            )
        except NotSentError as error:
            if error.is_refused:
                return False
            raise
        self._note(chat, look, is_sudden=before is not None and before.look.head != look.head)
        return True

    async def _new(self, chat: int, user: int, look: _Look, urgency: Urgency) -> Panel:
        before = self._memory.panel(chat)
        now_ms = self._clock.now_ms()
        if before is not None:
            # Also when it fails: a chat that takes nothing is not asked all the time.
            self._memory.note_panel(chat, Panel(before.message, before.user, now_ms))
        keyboard = self._keyboard(chat, look)
        number = await self._sender.send(
            chat, look.text, urgency=urgency, keyboard=keyboard, is_silent=True
        )
        panel = Panel(number, user, now_ms)
        self._memory.note_panel(chat, panel)
        self._note(chat, look, is_sudden=False)
        return panel

    def _note(self, chat: int, look: _Look, *, is_sudden: bool) -> None:
        self._shown[chat] = _Shown(look, asyncio.get_running_loop().time(), is_sudden)

    async def _pin(self, chat: int, panel: Panel) -> bool:
        """Pin without a sound; False when the bot may not."""
        for _ in range(PIN_TRIES):
            try:
                await self._bot.pin_chat_message(
                    self._memory.chat(chat), panel.message, disable_notification=True
                )
            except TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after)
            except TelegramBadRequest as error:
                # Pinned already is as good as pinned.
                return "not_modified" in error.message.lower()
            except (AiogramError, OSError, TimeoutError) as error:
                LOGGER.info("a panel could not be pinned: %s", type(error).__name__)
                return False
            else:
                return True
        return False

    async def _retire(self) -> None:
        """Let go of panels whose person or group is not listed any more."""
        for chat, panel in self._memory.panels().items():
            role = self._settings.role(panel.user)
            may = role is not None and role.rank >= Role.OPERATOR.rank
            if may and (chat in self._settings.groups or chat == panel.user):
                continue
            self._memory.drop_panel(chat)
            with self._people.reading(chat):
                await self._last(chat, panel, say("⏹ This panel has ended."))

    async def _last(self, chat: int, panel: Panel, text: str) -> None:
        method = EditMessageText(
            chat_id=self._memory.chat(chat), message_id=panel.message, text=text
        )
        with suppress(AiogramError, OSError, TimeoutError):
            await self._bot(method)

    # ------------------------------------------------------------ what it shows

    async def _see(self, user: int) -> tuple[Document, list[Document]] | None:
        """Return what the guard says, None when it does not."""
        try:
            status, positions = await asyncio.gather(
                self._guard.view(user, "status"), self._guard.view(user, "positions")
            )
        except GuardAwayError:
            return None
        return status, positions

    def _look(self, seen: tuple[Document, list[Document]] | None) -> _Look:
        """Return what the panel of the reader's chat shows."""
        if seen is None:
            moment = short_clock(self._clock.now_ms())
            away = say(AWAY)
            return _Look(away, away, f"{escape(away)} · {moment}\n{escape(say(FOOT))}", 0)
        status, positions = seen
        text = pages.status(status, positions)
        # The last line is the clock's: it alone is no change.
        body, _, _ = text.rpartition("\n")
        state = str(status.get("trading_state"))
        halts = "\n".join(pages.halts(status))
        head = f"{pages.level_line(status)}\n{state}\n{halts}"
        alerts = len(status.get("alerts") or [])
        return _Look(head, f"{state}\n{body}", f"{text}\n{escape(say(FOOT))}", alerts)

    def _keyboard(self, chat: int, look: _Look) -> Keyboard | None:
        # Groups command nothing.
        return panel_keyboard(look.alerts) if chat > 0 else None
