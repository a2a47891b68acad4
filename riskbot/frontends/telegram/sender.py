"""Everything that is sent to chats: one queue per chat, paced as Telegram asks, red first.

What a message says is decided elsewhere. A press is answered without this queue.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from aiogram import Bot
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import (
    EditMessageText,
    SendMessage,
    TelegramMethod,
)
from aiogram.types import (
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)

from riskbot.clock import Clock
from riskbot.frontends.telegram.letters import (
    Method,
    Picture,
    fitting,
    made_plain,
    message,
    parts,
    photograph,
    rest,
)
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.pacing import GLOBAL_EVERY_S, Bucket, Echoes, bucket_of

LOGGER = logging.getLogger(__name__)

QUEUE_MAX = 100
"""Messages waiting for one chat; beyond it the least important is given up."""

AFTER_429_S = 0.5
LONGEST_WAIT_S = 30.0
UNAUTHORIZED_WAIT_S = 60.0


class Urgency(IntEnum):
    """What goes first in a chat."""

    RED = 0
    REPLY = 1
    ORANGE = 2
    YELLOW = 3
    PANEL = 4


LIFE_S = {
    Urgency.RED: 86_400.0,
    Urgency.REPLY: 30.0,
    Urgency.ORANGE: 3_600.0,
    Urgency.YELLOW: 600.0,
    Urgency.PANEL: 10.0,
}
"""For how long a message is worth sending."""


_NOT_TWICE = frozenset({Urgency.ORANGE, Urgency.YELLOW})


class NotSentError(Exception):
    """A message did not reach its chat.

    Attributes:
        is_refused: Telegram said no for good; False = it was not sent while it mattered.
    """

    def __init__(self, message: str, *, is_refused: bool) -> None:
        super().__init__(message)
        self.is_refused = is_refused


@dataclass(order=True, slots=True)
class _Job:
    urgency: Urgency
    number: int
    method: Method = field(compare=False)
    deadline: float = field(compare=False)
    result: asyncio.Future[Message | None] = field(compare=False)
    tries: int = field(default=0, compare=False)
    render: Callable[[], str] | None = field(default=None, compare=False)


class Sender:
    """Sends and edits messages.

    Args:
        bot: speaks to Telegram.
        memory: knows where chats have moved.
        rng: for jitter.
        clock: for the day between tries of a chat that has blocked the bot.
        unauthorized: told when Telegram refuses the token.
        unreachable: told of a chat that has blocked the bot, or thrown it out.
    """

    def __init__(
        self,
        bot: Bot,
        memory: Memory,
        rng: random.Random,
        clock: Clock,
        unauthorized: Callable[[], None],
        unreachable: Callable[[int], None],
    ) -> None:
        self._bot = bot
        self._memory = memory
        self._rng = rng
        self._clock = clock
        self._unauthorized = unauthorized
        self._unreachable = unreachable
        self._refused_until = 0.0
        self._trying = asyncio.Lock()
        self._numbers = itertools.count()
        self._queues: dict[int, list[_Job]] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._buckets: dict[int, Bucket] = {}
        self._news: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._all = Bucket(GLOBAL_EVERY_S, 20)
        self._echoes = Echoes()

    async def send(
        self,
        chat: int,
        text: str | Callable[[], str],
        *,
        urgency: Urgency = Urgency.REPLY,
        keyboard: InlineKeyboardMarkup | None = None,
        is_silent: bool = False,
        reply_to: int | None = None,
        life_s: float | None = None,
    ) -> int:
        """Send a message and return its id; a text that is a function is asked at each try.

        A long one takes several messages, the last of them with the keyboard and the id returned,
        and a file for what is left then. What a chat was sent within a minute it is not sent
        again, unless it is red or somebody has asked. Its life is its urgency's, unless given.

        Raises:
            NotSentError: see there.
        """
        words, left = parts(text if isinstance(text, str) else text())
        target = self._memory.chat(chat)
        messages = [message(target, part, is_silent=is_silent) for part in words]
        if reply_to is not None:
            messages[0].reply_parameters = ReplyParameters(
                message_id=reply_to, allow_sending_without_reply=True
            )
        messages[-1].reply_markup = keyboard
        methods: list[Method] = [*messages, rest(target, left)] if left else [*messages]
        render = text if callable(text) and len(methods) == 1 else None
        said = "\n".join(words)
        echo = self._echoes.find(chat, said) if urgency in _NOT_TWICE else None
        if echo is not None:
            sent = await asyncio.shield(echo)
        else:
            sending = asyncio.gather(
                *(self._queue(chat, m, urgency, render, life_s) for m in methods)
            )
            self._echoes.note(chat, said, sending)
            sent = await sending
        last = sent[len(messages) - 1]
        return last.message_id if last is not None else 0

    async def edit(
        self,
        chat: int,
        message: int,
        text: str,
        *,
        urgency: Urgency = Urgency.REPLY,
        keyboard: InlineKeyboardMarkup | None = None,
    ) -> None:
        """Change a message; without a keyboard it loses the one it has.

        Raises:
            NotSentError: see there; refused also when the message is gone.
        """
        method = EditMessageText(
            chat_id=self._memory.chat(chat),
            message_id=message,
            text=fitting(text),
            parse_mode="HTML",
            reply_markup=keyboard,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
        )
        await self._queue(chat, method, urgency)

    async def photo(
        self,
        chat: int,
        picture: Picture,
        caption: str,
        *,
        urgency: Urgency = Urgency.REPLY,
        keyboard: InlineKeyboardMarkup | None = None,
        instead_of: int | None = None,
    ) -> tuple[int, str]:
        """Send a photo, or put it into a message; return the message's id and the photo's.

        Args:
            chat: where.
            picture: what; once sent, its id is enough.
            caption: HTML.
            urgency: what goes first.
            keyboard: under it.
            instead_of: id of the bot's message that becomes this one.

        Raises:
            NotSentError: see there.
        """
        target = self._memory.chat(chat)
        method = photograph(target, picture, caption, keyboard, instead_of)
        sent = await self._queue(chat, method, urgency)
        if sent is None:
            return instead_of or 0, ""
        return sent.message_id, sent.photo[-1].file_id if sent.photo else ""

    async def close(self) -> None:
        """Stop; what waits is not sent."""
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    # ------------------------------------------------------------ the queues

    def _queue(
        self,
        chat: int,
        method: Method,
        urgency: Urgency,
        render: Callable[[], str] | None = None,
        life_s: float | None = None,
    ) -> asyncio.Future[Message | None]:
        """Queue a call; return what becomes of it.

        Raises:
            NotSentError: the chat is closed to the bot.
        """
        if self._memory.is_unreachable(chat, self._clock.now_ms()):
            words = "the bot was blocked there"
            raise NotSentError(words, is_refused=True)
        loop = asyncio.get_running_loop()
        job = _Job(
            urgency,
            next(self._numbers),
            method,
            loop.time() + (LIFE_S[urgency] if life_s is None else life_s),
            loop.create_future(),
            render=render,
        )
        queue = self._queues.setdefault(chat, [])
        heapq.heappush(queue, job)
        self._news[chat].set()
        if len(queue) > QUEUE_MAX:
            least = max(queue)
            queue.remove(least)
            heapq.heapify(queue)
            _fail(least, "too many messages wait", is_refused=False)
        if chat not in self._workers:
            self._workers[chat] = loop.create_task(self._work(chat, queue))
        return job.result

    async def _work(self, chat: int, queue: list[_Job]) -> None:
        """Send what waits for one chat; end when nothing does."""
        loop = asyncio.get_running_loop()
        try:
            while queue:
                await self._turn(chat, queue)
                await self._all.take()
                await self._until_token_is_tried()
                job = heapq.heappop(queue)
                if job.result.done():
                    continue
                if loop.time() >= job.deadline:
                    _fail(job, "not sent while it mattered", is_refused=False)
                    continue
                wait_s = await self._attempt(chat, job)
                if wait_s is not None:
                    heapq.heappush(queue, job)
                    await asyncio.sleep(wait_s)
        finally:
            del self._workers[chat]
            for job in queue:
                _fail(job, "the process stops", is_refused=False)

    async def _turn(self, chat: int, queue: list[_Job]) -> None:
        """Return when the chat may be sent what goes first: one place is kept free for red."""
        bucket = self._buckets.setdefault(chat, bucket_of(chat))
        news = self._news[chat]
        while left_s := bucket.left_s(0 if queue[0].urgency is Urgency.RED else 1):
            news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await news.wait()
        bucket.spend()

    async def _until_token_is_tried(self) -> None:
        """Wait while the token is refused; then one chat tries it, not all of them."""
        loop = asyncio.get_running_loop()
        async with self._trying:
            if not self._refused_until:
                return
            await asyncio.sleep(self._refused_until - loop.time())
            if self._refused_until:
                self._refused_until = loop.time() + UNAUTHORIZED_WAIT_S

    async def _attempt(self, chat: int, job: _Job) -> float | None:
        """Try once; return how long to wait before the next try, None = settled."""
        job.tries += 1
        texts = SendMessage | EditMessageText
        if job.render is not None and isinstance(job.method, texts) and job.method.parse_mode:
            job.method.text = fitting(job.render())
        try:
            method: TelegramMethod[Any] = job.method
            sent = await self._bot(method)
        except TelegramRetryAfter as error:
            return error.retry_after + AFTER_429_S
        except TelegramMigrateToChat as error:
            self._memory.note_moved(chat, error.migrate_to_chat_id)
            job.method.chat_id = error.migrate_to_chat_id
            return 0.0
        except (TelegramUnauthorizedError, TelegramNotFound) as error:
            self._unauthorized()
            LOGGER.warning("Telegram refuses the token: %s", error.message)
            self._refused_until = asyncio.get_running_loop().time() + UNAUTHORIZED_WAIT_S
            return 0.0
        except TelegramForbiddenError as error:
            self._memory.note_unreachable(chat, self._clock.now_ms())
            self._unreachable(chat)
            _fail(job, error.message, is_refused=True)
        except TelegramBadRequest as error:
            return _bad_request(job, error)
        except ClientDecodeError:
            # The answer makes no sense, yet the message may be there: not sent again.
            _settle(job, None)
        except (AiogramError, OSError, TimeoutError) as error:
            LOGGER.info("cannot send: %s", type(error).__name__)
            wait_s = min(2.0 ** min(job.tries - 1, 10), LONGEST_WAIT_S)
            return wait_s * self._rng.uniform(0.75, 1.25)
        else:
            self._refused_until = 0.0
            self._memory.note_reachable(chat)
            _settle(job, sent if isinstance(sent, Message) else None)
        return None


def _bad_request(job: _Job, error: TelegramBadRequest) -> float | None:
    words = error.message.lower()
    if "not modified" in words:
        _settle(job, None)
    elif "can't parse entities" in words and made_plain(job.method):
        # Better plain than not at all.
        LOGGER.warning("a text was not taken as HTML, sent plain: %s", error.message)
        return 0.0
    else:
        _fail(job, error.message, is_refused=True)
    return None


def _settle(job: _Job, message: Message | None) -> None:
    if not job.result.done():
        job.result.set_result(message)


def _fail(job: _Job, words: str, *, is_refused: bool) -> None:
    if not job.result.done():
        job.result.set_exception(NotSentError(words, is_refused=is_refused))
