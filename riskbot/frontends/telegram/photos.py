"""Charts in chats: asked for, drawn beside the loop, sent as photos, brought up to date in place.

What they show is `charts`', how they are drawn `chart`'s. Where a picture cannot be had the same
figures go out as text.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import sys
from asyncio.subprocess import PIPE
from collections import OrderedDict, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiogram import Bot
from aiogram.exceptions import AiogramError

from riskbot.frontends.telegram import charts, risks
from riskbot.frontends.telegram.charts import HISTORY, Chart, Known
from riskbot.frontends.telegram.keyboards import Keyboard, chart_keyboard, linked_keyboard
from riskbot.frontends.telegram.letters import Picture
from riskbot.frontends.telegram.link import Guard, GuardAwayError
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.reader import Reader, reader, say
from riskbot.frontends.telegram.requests import Request, seconds
from riskbot.frontends.telegram.sender import NotSentError, Sender

LOGGER = logging.getLogger(__name__)

MODULE = "riskbot.frontends.telegram.chart"
DRAW_S = 15.0
FRESH_S = 30.0
"""For so long a chart is shown again as it is."""

ACTION_EVERY_S = 4.0
"""Telegram shows `sending a photo` for five seconds."""

HOURS, HOURS_MIN, HOURS_MAX = 24.0, 1.0, 30 * 24.0
KEPT_MAX = 16
SHOWN_MAX = 200

SILENT = "the guard does not say"
NO_CHART = "no chart"
"""How what a message shows begins when it is no picture."""

_Key = tuple[str, str, Reader]
"""Kind, argument, and who looks."""


class Drawer:
    """Draws pictures, one at a time, each in a process of its own.

    Args:
        directory: where the drawing library may keep its list of fonts.
        limit_s: how long a picture may take.
    """

    def __init__(self, directory: Path, *, limit_s: float = DRAW_S) -> None:
        self._directory = directory
        self._limit_s = limit_s
        self._turn = asyncio.Semaphore(1)

    async def draw(self, wanted: dict[str, Any]) -> bytes | None:
        """Return the PNG, None when there is none to be had."""
        try:
            async with asyncio.timeout(self._limit_s), self._turn:
                return await self._draw(json.dumps(wanted).encode())
        except (TimeoutError, OSError, ValueError) as error:
            LOGGER.warning("a chart could not be drawn: %s", type(error).__name__)
            return None

    async def _draw(self, wanted: bytes) -> bytes | None:
        root, given = str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")
        path = os.pathsep.join([root, given] if given else [root])
        environment = {**os.environ, "PYTHONPATH": path, "MPLCONFIGDIR": str(self._directory)}
        # -P: what lies in the working directory is not imported.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", MODULE),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
        )
        try:
            picture, words = await process.communicate(wanted)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            LOGGER.warning("a chart could not be drawn: %s", words.decode(errors="replace")[-200:])
            return None
        return picture


@dataclass(slots=True)
class _Made:
    """A chart as it was made.

    Attributes:
        made_at: by the loop's clock.
        digest: of what was drawn.
        picture: None = there is none.
        file_id: of the picture at Telegram, empty = not sent yet.
    """

    made_at: float
    chart: Chart
    digest: str
    picture: bytes | None
    file_id: str = ""


@dataclass(slots=True)
class _Shelf:
    """Charts of before, by kind and argument."""

    made: OrderedDict[_Key, _Made] = field(default_factory=OrderedDict)
    locks: defaultdict[_Key, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    def keep(self, key: _Key, made: _Made) -> None:
        self.made[key] = made
        self.made.move_to_end(key)
        while len(self.made) > KEPT_MAX:
            gone, _ = self.made.popitem(last=False)
            if not self.locks[gone].locked():
                del self.locks[gone]


class Photos:
    """Answers commands with charts.

    Args:
        bot: says that a photo is under way, which has a queue of nobody.
        drawer: draws.
        others: see the modules of their names.
    """

    def __init__(self, guard: Guard, sender: Sender, bot: Bot, drawer: Drawer) -> None:
        self._guard = guard
        self._sender = sender
        self._bot = bot
        self._drawer = drawer
        self._shelf = _Shelf()
        self._shown: OrderedDict[tuple[int, int], str] = OrderedDict()

    async def show(self, request: Request, message: int | None = None) -> None:
        """Send a chart, or bring one up to date.

        Args:
            request: its name is the kind, its argument of what, or how far back.
            message: id of the bot's message that becomes the new one.

        Raises:
            GuardAwayError: nothing can be looked at.
            NotSentError: see there.
        """
        key = (request.name, _said(request), reader())
        async with self._shelf.locks[key]:
            made = await self._made(key, request)
        if made.picture is None:
            await self._say(request.chat, message, key, made)
        else:
            await self._send(request.chat, message, key, made)

    # ------------------------------------------------------------ what is shown

    async def _made(self, key: _Key, request: Request) -> _Made:
        loop, before = asyncio.get_running_loop(), self._shelf.made.get(key)
        if before is not None and loop.time() - before.made_at < FRESH_S:
            return before
        acting = loop.create_task(self._act(request.chat))
        try:
            chart = await self._chart(key, request)
            digest = hashlib.sha256(json.dumps(chart.wanted).encode()).hexdigest()
            made = _Made(loop.time(), chart, digest, None)
            if before is not None and before.digest == digest and before.picture is not None:
                made.picture, made.file_id = before.picture, before.file_id
            elif chart.wanted is not None:
                made.picture = await self._drawer.draw(chart.wanted)
        finally:
            acting.cancel()
        self._shelf.keep(key, made)
        return made

    async def _act(self, chat: int) -> None:
        while True:
            with suppress(AiogramError, OSError, TimeoutError):
                await self._bot.send_chat_action(chat, "upload_photo")
            await asyncio.sleep(ACTION_EVERY_S)

    async def _chart(self, key: _Key, request: Request) -> Chart:
        kind, argument, _ = key
        if kind not in risks.KINDS:
            hours = hours_of(argument)
            return charts.make(kind, await self._known(request, kind, hours), hours)
        status = await self._document(request, "status")
        if not isinstance(status, dict):
            raise GuardAwayError(SILENT)
        question = risks.Question(kind, argument, tuple(status.get("accounts") or {}))
        reply = await self._guard.ask(request.user, kind, question.args)
        if not reply.ok or not isinstance(reply.document, dict):
            # Such as a scenario that does not exist: the guard names those that do.
            return Chart(escape(f"✖ {reply.message}"), None, is_text=True)
        return risks.answer(question, status, reply.document)

    async def _known(self, request: Request, kind: str, hours: float) -> Known:
        measures = HISTORY[kind]
        status, exposure, ended, *found = await asyncio.gather(
            self._document(request, "status"),
            self._document(request, "exposure"),
            self._document(request, "alerts", {"which": "24h"}),
            *(self._document(request, "history", {"measure": m, "hours": hours}) for m in measures),
        )
        if not isinstance(status, dict) or not isinstance(exposure, dict):
            raise GuardAwayError(SILENT)
        series = {m: s for m, s in zip(measures, found, strict=True) if isinstance(s, list)}
        return Known(status, exposure, ended if isinstance(ended, list) else [], series)

    async def _document(
        self, request: Request, name: str, args: dict[str, Any] | None = None
    ) -> Any:
        """Return a document, None when the guard has none of that name."""
        reply = await self._guard.ask(request.user, name, args)
        return reply.document if reply.ok else None

    # ------------------------------------------------------------ how it reaches the chat

    async def _say(self, chat: int, message: int | None, key: _Key, made: _Made) -> None:
        text = made.chart.caption
        if not made.chart.is_text:
            text += f"\n{escape(say('chart not available'))}"
        keyboard = _keyboard(key, made.chart)
        before = self._shown.get((chat, message or 0))
        if message is not None and before is not None and before.startswith(NO_CHART):
            if before != f"{NO_CHART} {text}":
                await self._sender.edit(chat, message, text, keyboard=keyboard)
                self._note(chat, message, f"{NO_CHART} {text}")
            return
        # A photo does not become a text, and an old picture beside new figures misleads.
        number = await self._sender.send(chat, text, keyboard=keyboard)
        self._note(chat, number, f"{NO_CHART} {text}")

    async def _send(self, chat: int, message: int | None, key: _Key, made: _Made) -> None:
        look = f"{made.digest} {made.chart.caption}"
        if message is not None and self._shown.get((chat, message)) == look:
            return  # it shows this already
        if made.file_id:
            try:
                await self._put(chat, message, key, made, made.file_id)
            except NotSentError as error:
                if not error.is_refused:
                    raise
                made.file_id = ""  # forgotten by Telegram, or the message is gone
            else:
                return
        try:
            await self._put(chat, message, key, made, made.picture or b"")
        except NotSentError as error:
            if message is None or not error.is_refused:
                raise
            await self._put(chat, None, key, made, made.picture or b"")

    async def _put(
        self,
        chat: int,
        message: int | None,
        key: _Key,
        made: _Made,
        picture: Picture,
    ) -> None:
        keyboard = _keyboard(key, made.chart)
        caption = made.chart.caption
        number, file_id = await self._sender.photo(
            chat, picture, caption, keyboard=keyboard, instead_of=message
        )
        made.file_id = file_id or made.file_id
        self._note(chat, number, f"{made.digest} {caption}")

    def _note(self, chat: int, message: int, look: str) -> None:
        """Note what a message shows, so that it is not asked to show the same again."""
        self._shown[chat, message] = look
        self._shown.move_to_end((chat, message))
        while len(self._shown) > SHOWN_MAX:
            self._shown.popitem(last=False)


def _said(request: Request) -> str:
    """Return an argument as it is kept: two ways to say the same are one chart."""
    if request.name in risks.KINDS:
        return risks.said(request.argument)
    return f"{hours_of(request.argument):.9g}h"


def _keyboard(key: _Key, chart: Chart) -> Keyboard:
    kind, argument, _ = key
    if kind in risks.KINDS:
        return linked_keyboard(kind, argument, chart.links)
    return chart_keyboard(kind, charts.span(hours_of(argument)))


def hours_of(argument: str) -> float:
    """Return how many hours a chart looks back: `24h`, `7d`; else a day."""
    found = seconds(argument.replace(" ", "")) if argument else None
    return HOURS if found is None else min(max(found / 3_600, HOURS_MIN), HOURS_MAX)


def understands(kind: str, argument: str) -> bool:
    """Whether an argument says of what, or how far back."""
    if kind in risks.KINDS:
        return True  # the guard says what is wrong with it
    return not argument or seconds(argument.replace(" ", "")) is not None
