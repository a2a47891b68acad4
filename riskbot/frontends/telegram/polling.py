"""Fetching updates: one at a time through whatever comes, so that no update can stop the others.

An update that does not parse is skipped by its number (aiogram issue 1840: parsed as a list, one
bad update hides every command for a day). Who may speak and what it means is not decided here.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import DeleteWebhook, GetWebhookInfo, TelegramMethod
from aiogram.types import Update
from aiohttp import ClientError, ClientTimeout
from pydantic import ValidationError
from yarl import URL

from riskbot.clock import Clock
from riskbot.frontends.telegram.memory import Memory

LOGGER = logging.getLogger(__name__)

ALLOWED = ["message", "callback_query", "my_chat_member"]
REPLY_S = 10.0
"""On top of the long poll: silence beyond it is a dead connection."""

AFTER_429_S = 0.5
DOWN_AFTER = 3
"""Failures in a row after which the guard is told."""

ALL_MAX = 100
_NUMBER = re.compile(r'"update_id"\s*:\s*(\d{1,18})')

TakeUpdate = Callable[[Update], Awaitable[None]]
TellHealth = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """Waits of the polling, in seconds.

    Attributes:
        long_poll: how long one request may wait for news; whole seconds.
        first: after a first failure; doubled with each one more.
        longest: after many.
        conflict: while somebody else polls; four times as long without one ends it.
        unauthorized: while the token is refused.
        webhook: between looks for a webhook that somebody else has set.
        custody: between looks whether the operator has acknowledged one.
    """

    long_poll: int = 25
    first: float = 1.0
    longest: float = 10.0
    conflict: float = 15.0
    unauthorized: float = 60.0
    webhook: float = 300.0
    custody: float = 5.0


class GetRawUpdates(TelegramMethod[list[Any]]):
    """getUpdates whose updates are left as they came."""

    __returning__ = list[Any]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int | None = None
    timeout: int | None = None
    allowed_updates: list[str] | None = None


class Undecodable(Exception):  # noqa: N818 - a state of a body, not a fault of ours
    """An answer that is no JSON at all.

    Attributes:
        first: number of the first update it seems to hold, None = none seen.
    """

    def __init__(self, first: int | None) -> None:
        super().__init__("undecodable updates")
        self.first = first


class Poller:
    """Fetches updates for as long as it runs.

    Args:
        bot: its session must be aiohttp's.
        memory: keeps the number of the last update.
        take: acts on one update; what it raises is logged.
        tell_health: told `ok`, `down`, `conflict`, `unauthorized` with a sentence.
        clock: for times.
        rng: for jitter.
        pace: waits.
        tell_skipped: told the number of an update that cannot be read.
        tell_webhook: told where a webhook led that somebody else has set.
    """

    def __init__(
        self,
        bot: Bot,
        memory: Memory,
        take: TakeUpdate,
        tell_health: TellHealth,
        clock: Clock,
        rng: random.Random,
        pace: Pace,
        tell_skipped: Callable[[int], None],
        tell_webhook: Callable[[str], None],
    ) -> None:
        self._bot = bot
        self._memory = memory
        self._take = take
        self._tell_health = tell_health
        self._clock = clock
        self._rng = rng
        self._pace = pace
        self._tell_skipped = tell_skipped
        self._tell_webhook = tell_webhook
        self._webhook_due_ms = 0
        self._limit = ALL_MAX
        self._failures = 0
        self._is_introduced = False
        self._contested_until_ms = 0
        self.clock_offset_ms = 0

    async def run(self) -> None:
        """Fetch until cancelled."""
        while True:
            try:
                if not self._is_introduced:
                    await self._introduce()
                await self._once()
            except (TelegramUnauthorizedError, TelegramNotFound):
                self._tell_health("unauthorized", "Telegram refuses the bot's token")
                await self._wait(self._pace.unauthorized)
            except TelegramConflictError as error:
                await self._conflict(error)
            except TelegramRetryAfter as error:
                await asyncio.sleep(error.retry_after + AFTER_429_S)
            except Undecodable as error:
                await self._undecodable(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next poll must come
                await self._failed(error)
            else:
                self._failures = 0
                if not self._is_contested():
                    self._tell_health("ok", "")

    async def _introduce(self) -> None:
        """Learn whether the token is good, and take the updates from any webhook.

        This program sets none, so whatever is set, also at the very first start, is another's:
        it is told before it is removed.
        """
        await self._bot.me()
        # A Bot API server of one's own may not know webhooks; then there is none.
        with suppress(TelegramNotFound, TelegramBadRequest):
            if url := (await self._bot(GetWebhookInfo())).url:
                self._tell_webhook(_host(url))
        with suppress(TelegramNotFound, TelegramBadRequest):
            await self._bot(DeleteWebhook(drop_pending_updates=False))
        self._is_introduced = True
        self._webhook_due_ms = self._clock.now_ms() + round(self._pace.webhook * 1000)
        if not self._is_contested():
            self._tell_health("ok", "")

    def _is_contested(self) -> bool:
        """Whether somebody else polled lately: two pollers take turns in being refused."""
        return self._clock.now_ms() < self._contested_until_ms

    async def _look_for_webhook(self) -> None:
        """Find a webhook that takes the updates away, also one that a server tolerates.

        Raises:
            TelegramConflictError: there is one.
        """
        if self._clock.now_ms() < self._webhook_due_ms:
            return
        self._webhook_due_ms = self._clock.now_ms() + round(self._pace.webhook * 1000)
        method, url = GetWebhookInfo(), ""
        # Whatever is wrong with the answer: the updates come first.
        with suppress(AiogramError, OSError, TimeoutError):
            url = (await self._bot(method)).url
        if url:
            self._tell_webhook(_host(url))
            raise TelegramConflictError(method=method, message="a webhook is set")

    async def _once(self) -> None:
        await self._look_for_webhook()
        last = self._memory.last_update(self._clock.now_ms())
        updates = await self._fetch(last + 1 if last else None)
        self._limit = ALL_MAX
        newest = 0
        for raw in updates:
            number = raw.get("update_id") if isinstance(raw, dict) else None
            if not isinstance(number, int) or isinstance(number, bool):
                LOGGER.warning("an update without a number is skipped")
                continue
            newest = max(newest, number)
            if number > last:
                await self._one(number, raw)
        if updates and newest <= last:
            # Telegram does not move on: do not ask it in a circle.
            await self._wait(self._pace.first)

    async def _one(self, number: int, raw: dict[str, Any]) -> None:
        self._memory.took(number, self._clock.now_ms())
        try:
            update = Update.model_validate(raw, context={"bot": self._bot})
            await self._take(update)
        except (ValidationError, RecursionError):
            LOGGER.warning("update %d does not parse and is skipped", number)
            self._tell_skipped(number)
        except Exception:  # a command that fails must not take the next ones along
            LOGGER.exception("update %d failed", number)

    async def _fetch(self, offset: int | None) -> list[Any]:
        """Return the raw updates.

        Raises:
            Undecodable: the body is no JSON.
            AiogramError: Telegram refused, in aiogram's classes.
            ClientError, TimeoutError, OSError: no answer.
        """
        # After trouble a short one: that it is over shows only once a poll has ended.
        is_calm = self._failures == 0 and not self._is_contested()
        wait_s = self._pace.long_poll if is_calm else min(1, self._pace.long_poll)
        method = GetRawUpdates(
            offset=offset, limit=self._limit, timeout=wait_s, allowed_updates=ALLOWED
        )
        session = self._bot.session
        if not isinstance(session, AiohttpSession):
            message = "the bot does not speak over aiohttp"
            raise TypeError(message)
        client = await session.create_session()
        url = session.api.api_url(token=self._bot.token, method=method.__api_method__)
        form = session.build_form_data(bot=self._bot, method=method)
        timeout = ClientTimeout(total=wait_s + REPLY_S, sock_connect=REPLY_S)
        async with client.post(url, data=form, timeout=timeout) as response:
            body = await response.read()
            self._note_clock(response.headers.get("Date"))
        # Replaced, not refused: a broken character in one text must not hide the others.
        text = body.decode("utf-8", "replace")
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            found = _NUMBER.search(text)
            if response.status < 300 or found:
                raise Undecodable(int(found[1]) if found else None) from None
        checked = session.check_response(self._bot, method, response.status, text)
        return checked.result or []

    def _note_clock(self, date: str | None) -> None:
        """Learn how far the clock here is from Telegram's, in whole seconds."""
        try:
            theirs = email.utils.parsedate_to_datetime(date or "").timestamp()
        except (ValueError, TypeError):
            return
        offset_ms = self._clock.now_ms() - round(theirs * 1000)
        # A header has whole seconds; below that there is nothing to correct.
        self.clock_offset_ms = offset_ms if abs(offset_ms) > 2_000 else 0

    async def _undecodable(self, error: Undecodable) -> None:
        """Narrow a body that cannot be read down to one update, and skip that one."""
        self._failures += 1
        if self._limit > 1:
            LOGGER.warning("the updates cannot be read: fetching them one by one")
            self._limit = 1
        elif error.first is not None:
            LOGGER.warning("update %d cannot be read and is skipped", error.first)
            self._memory.took(error.first, self._clock.now_ms())
            self._tell_skipped(error.first)
        else:
            await self._failed(error)

    async def _conflict(self, error: TelegramConflictError) -> None:
        self._failures += 1
        is_webhook = "webhook" in error.message.lower()
        self._is_introduced = self._is_introduced and not is_webhook
        if self._failures > 1 or is_webhook or self._is_contested():
            # A single other poll may be our own of before a restart.
            words = "another program polls with this bot's token, or has set a webhook"
            self._tell_health("conflict", words)
            LOGGER.log(
                logging.WARNING if self._failures % 40 == 2 else logging.INFO, "conflict: %s", words
            )
        lasts_ms = round(4_000 * self._pace.conflict)
        self._contested_until_ms = self._clock.now_ms() + lasts_ms
        await self._wait(self._pace.first if self._failures == 1 else self._pace.conflict)

    async def _failed(self, error: Exception) -> None:
        self._failures += 1
        known = isinstance(error, AiogramError | ClientError | TimeoutError | OSError | Undecodable)
        level = logging.WARNING if self._failures == 1 else logging.INFO
        LOGGER.log(
            level, "cannot poll: %s", type(error).__name__, exc_info=None if known else error
        )
        if self._failures >= DOWN_AFTER:
            self._tell_health("down", f"Telegram cannot be reached ({type(error).__name__})")
        await self._wait(
            min(self._pace.first * 2 ** min(self._failures - 1, 10), self._pace.longest)
        )

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._rng.uniform(0.9, 1.1))


def _host(url: str) -> str:
    """Return where a webhook leads, without what its path may hold."""
    try:
        host = URL(url).host
    except ValueError:
        host = None
    return (host or "an unreadable address")[:100]
