"""Alerts in chats: one message per alert, edited through its life; a reply where one must look.

When an alert is due and how loud is the guard's; here is how it reads and where it stands.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

from riskbot.clock import Clock
from riskbot.core.duty import AlertStatus
from riskbot.core.model import Level, Role
from riskbot.frontends.telegram import bulletins
from riskbot.frontends.telegram.budget import Budget
from riskbot.frontends.telegram.charts import kind_of
from riskbot.frontends.telegram.figures import cut
from riskbot.frontends.telegram.keyboards import Keyboard, alert_keyboard
from riskbot.frontends.telegram.link import Notice, Taken
from riskbot.frontends.telegram.memory import Memory, Told
from riskbot.frontends.telegram.notes import Owed
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.people import People
from riskbot.frontends.telegram.reader import bound, later, say
from riskbot.frontends.telegram.sender import LIFE_S, NotSentError, Sender, Urgency
from riskbot.frontends.telegram.settings import Settings

GRACE_S = 3.0
"""For so long every chat is waited for; then the first that has it is enough."""

ANSWER_S = 15.0
"""After so long the guard is told that no chat has it yet; the work goes on."""

MORNING_S = 30.0
"""How often it is asked whether the quiet hours are over."""

MISSED_MAX = 10
MISSED_MS = 20_000
"""An alert told later than this was missed during an outage."""

SECOND = 1
"""Escalation from which on the second contacts are told."""

_URGENCY = {Level.RED: Urgency.RED, Level.ORANGE: Urgency.ORANGE}


class Board:
    """Brings alerts to every listed user and group."""

    def __init__(
        self, settings: Settings, memory: Memory, people: People, sender: Sender, now: Clock
    ) -> None:
        self._settings = settings
        self._memory = memory
        self._people = people
        self._sender = sender
        self._clock = now
        self._newest: dict[str, Notice] = {}
        self._is_closing = False
        self._budget = Budget(now, memory)
        self._folding: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unheard: set[tuple[str, int]] = set()
        self._locks: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: dict[tuple[str, int, int], asyncio.Task[None]] = {}

    def close(self) -> None:
        """Leave to the process after this one what some chats have not been told."""
        self._is_closing = True

    async def take(self, notice: Notice) -> Taken:
        """Tell an alert everywhere; return once every chat has it, or enough time passed."""
        notice = replace(notice, changed_ms=self._clock.now_ms() - notice.age_ms)
        known = self._newest.get(notice.alert_id)
        if known is None or _revision(known) <= _revision(notice):
            self._newest[notice.alert_id] = notice
        tasks = {self._bring(chat, notice): chat for chat in self._chats(notice)}
        # A chat that has to wait must not keep the next alert from the others.
        done, waiting = await asyncio.wait(tasks, timeout=GRACE_S)
        async with _at_most(ANSWER_S - GRACE_S):
            while waiting and not any(self._is_told(tasks, notice, task) for task in done):
                more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                done |= more
        if any(self._is_told(tasks, notice, task) for task in done):
            # From now on the guard counts it as told: what is owed yet must survive this process.
            if late := [tasks[task] for task in waiting if not task.done()]:
                owed = Owed(notice.alert, notice.is_loud, notice.changed_ms, late)
                self._memory.owe(notice.alert_id, owed)
            return Taken(ok=True)
        errors = [error for task in done if (error := task.exception()) is not None]
        refused = [e for e in errors if isinstance(e, NotSentError) and e.is_refused]
        is_held = len(errors) < len(done)
        # Who sleeps confirms nothing for who is awake; and where everyone whom Telegram lets the
        # bot reach sleeps, that is their wish, and no reason to ring elsewhere.
        if is_held and not waiting and len(errors) == len(refused):
            return Taken(ok=True, is_held=True)
        words = "; ".join(dict.fromkeys(str(e) for e in errors)) or "Telegram has not taken it yet"
        return Taken(ok=False, error=words, is_permanent=len(refused) == len(tasks))

    def _pay(self) -> None:
        """Go on with what a process before this one owed; what matters no more was missed."""
        listed = {*self._settings.users, *self._settings.groups}
        for alert_id, owed in self._memory.owed().items():
            notice = Notice(owed.alert, owed.is_loud, changed_ms=owed.changed_ms)
            life_s = LIFE_S[_urgency(notice)] - self._age_s(notice)
            notice = replace(notice, life_s=life_s)
            self._newest.setdefault(alert_id, notice)
            for chat in tuple(owed.chats):
                if chat in listed and life_s > 0:
                    self._bring(chat, notice)
                else:
                    self._memory.settle(alert_id, chat, _revision(notice))
                    self._memory.miss(alert_id, {})

    def _age_s(self, notice: Notice) -> float:
        return max(0.0, (self._clock.now_ms() - notice.changed_ms) / 1000)

    def _is_told(
        self, tasks: dict[asyncio.Task[None], int], notice: Notice, task: asyncio.Task[None]
    ) -> bool:
        """Whether a chat has an alert, and did not put it by for the morning."""
        chat = tasks[task]
        is_held = self._is_quiet(chat, notice) and self._is_held(chat, notice)
        return task.exception() is None and not is_held

    def _is_held(self, chat: int, notice: Notice) -> bool:
        return notice.alert_id in self._memory.held().get(chat, {})

    def _hold(self, chat: int, notice: Notice) -> None:
        """Keep a line about it for the morning."""
        self._memory.hold(chat, notice.alert_id, bulletins.short(notice))

    def _unhold(self, chat: int, notice: Notice) -> None:
        """Keep none: it has called out."""
        line = self._memory.held().get(chat, {}).get(notice.alert_id)
        if line is not None:
            self._memory.release(chat, {notice.alert_id: line})

    def _chats(self, notice: Notice) -> list[int]:
        """Return who is told: the second contacts once nobody took it, and from then on."""
        settings = self._settings
        second = set(settings.second_contacts)
        if second >= settings.users.keys() and not settings.groups:
            second = set()  # somebody must be the first
        if notice.alert.get("escalation", 0) >= SECOND:
            second = set()
        users = [
            user
            for user in settings.users
            if user not in second or self._memory.told(notice.alert_id, user) is not None
        ]
        return [*users, *settings.groups]

    def _bring(self, chat: int, notice: Notice) -> asyncio.Task[None]:
        """Return the work of bringing one revision to one chat; asked twice, it is done once."""
        key = (notice.alert_id, chat, _revision(notice))
        task = self._tasks.get(key)
        if task is None:
            if notice.is_loud:
                self._unheard.add(key[:2])
            with self._people.reading(chat):
                task = asyncio.get_running_loop().create_task(self._show(chat, notice))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return task

    def _finished(self, key: tuple[str, int, int], task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        # An error is told to the guard by `take`, if it still waits.
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and not self._is_closing:
            if isinstance(error, NotSentError) and not error.is_refused:
                self._memory.miss(key[0], {})
            self._memory.settle(*key)
        if not any(other[:2] == key[:2] for other in self._tasks):
            self._locks.pop(key[:2], None)

    async def _show(self, chat: int, wanted: Notice) -> None:
        key = (wanted.alert_id, chat)
        async with self._locks[key]:
            told = self._memory.told(wanted.alert_id, chat)
            if told is not None and told.revision >= _revision(wanted):
                return
            notice = self._newest.get(wanted.alert_id, wanted)
            if told is None:
                told = await self._first(chat, notice, is_loud=key in self._unheard)
            else:
                await self._change(chat, notice, told, is_loud=key in self._unheard)
            # What got worse while this was on its way calls out itself.
            if self._newest.get(wanted.alert_id, notice).level.rank <= notice.level.rank:
                self._unheard.discard(key)
            told.revision = _revision(notice)
            told.worst = max(told.worst, _worst(notice).rank)
            self._memory.note(notice.alert_id, chat, told)
            if self._clock.now_ms() - notice.changed_ms > MISSED_MS:
                self._memory.miss(notice.alert_id, bulletins.facts(notice))
            if notice.alert["status"] == AlertStatus.RESOLVED or notice.alert.get("is_notice"):
                self._newest.pop(notice.alert_id, None)

    async def _first(self, chat: int, notice: Notice, *, is_loud: bool) -> Told:
        if self._is_quiet(chat, notice):
            self._hold(chat, notice)
            return Told(message=0, is_folded=True)
        if _worst(notice) is not Level.RED and not self._budget.take(chat):
            await self._fold(chat, notice)
            return Told(message=0, is_folded=True)
        return Told(message=await self._send(chat, notice, is_loud=is_loud))

    async def _send(
        self, chat: int, notice: Notice, *, is_loud: bool, reply_to: int | None = None
    ) -> int:
        return await self._sender.send(
            chat,
            bound(lambda: bulletins.text(notice.alert, self._age_s(notice))),
            urgency=_urgency(notice),
            keyboard=self._keyboard(chat, notice),
            is_silent=not is_loud,
            reply_to=reply_to,
            life_s=notice.life_s,
        )

    async def tell(self, chat: int, text: str, *, is_grave: bool = False) -> None:
        """Send a notice that is no alert, without a sound: within the budget, or grave."""
        if is_grave:
            self._budget.count(chat)
        elif not self._budget.take(chat, is_notice=True):
            await self._more(chat, text, cut(text, 120), Urgency.ORANGE)
            return
        await self._sender.send(chat, escape(text), urgency=Urgency.ORANGE, is_silent=True)

    async def _fold(self, chat: int, notice: Notice) -> None:
        await self._more(chat, notice.alert_id, bulletins.short(notice), _urgency(notice))

    async def _more(self, chat: int, key: str, line: str, urgency: Urgency) -> None:
        """Say that there is more than the chat should be sent, in one message that is edited."""
        async with self._folding[chat]:
            message, words = self._budget.fold(chat, key, line)
            if message:
                with suppress(NotSentError):
                    await self._sender.edit(chat, message, escape(words), urgency=urgency)
                return
            message = await self._sender.send(chat, escape(words), urgency=urgency, is_silent=True)
            self._budget.note(chat, message)

    async def _unfold(self, chat: int, notice: Notice, told: Told, *, is_loud: bool) -> None:
        """Follow an alert without a message of its own: it gets one when it calls out again."""
        is_held = self._is_held(chat, notice)
        is_over = notice.alert["status"] == AlertStatus.RESOLVED
        if not is_over and (is_loud or notice.level is Level.RED):
            fresh = await self._first(chat, notice, is_loud=is_loud)
            told.message, told.is_folded = fresh.message, fresh.is_folded
            if not fresh.is_folded:
                self._unhold(chat, notice)
        elif is_held:
            self._hold(chat, notice)

    async def _change(self, chat: int, notice: Notice, told: Told, *, is_loud: bool) -> None:
        text = bulletins.text(notice.alert, self._age_s(notice))
        keyboard = self._keyboard(chat, notice)
        is_over = notice.alert["status"] == AlertStatus.RESOLVED
        if told.is_folded:
            await self._unfold(chat, notice, told, is_loud=is_loud)
            return
        calls = is_loud or (is_over and told.worst >= Level.ORANGE.rank)
        is_red = _worst(notice) is Level.RED
        if calls and self._is_quiet(chat, notice):
            self._hold(chat, notice)
        elif calls and (is_red or self._budget.take(chat)):
            # The sound first: the edit makes none.
            reply = await self._send(chat, notice, is_loud=is_loud, reply_to=told.message)
            told.replies = [*told.replies[-9:], reply]
            self._unhold(chat, notice)
        elif calls:
            await self._fold(chat, notice)
        try:
            await self._sender.edit(
                chat, told.message, text, urgency=_urgency(notice), keyboard=keyboard
            )
        except NotSentError as error:
            if not error.is_refused:
                raise
            # The message is gone: its successor is the newest one about it.
            told.message = told.replies.pop() if is_loud and told.replies else told.message
            if not is_loud and not is_over:
                told.message = (await self._first(chat, notice, is_loud=False)).message

    def _keyboard(self, chat: int, notice: Notice) -> Keyboard | None:
        role = self._settings.role(chat)
        is_over = notice.alert["status"] == AlertStatus.RESOLVED
        if role is None or role is Role.VIEWER or is_over:
            return None
        is_notice = bool(notice.alert.get("is_notice"))
        if is_notice and notice.level is not Level.RED:
            return None
        is_taken = is_notice or bool(notice.alert.get("acked_by"))
        # What is measured can be drawn; a notice that something is lost cannot.
        is_drawn = notice.level is Level.RED and notice.alert.get("measured") is not None
        chart = kind_of(str(notice.alert["name"])) if is_drawn and not is_notice else ""
        return alert_keyboard(role, notice.alert_id, is_acked=is_taken, chart=chart)

    def _is_quiet(self, chat: int, notice: Notice) -> bool:
        """Whether it is held for the morning: only red is told in these hours."""
        return _worst(notice) is not Level.RED and self._is_night(chat)

    def _is_night(self, chat: int) -> bool:
        return self._people.is_night(chat, self._clock.now_ms())

    async def run(self) -> None:
        """Tell what was owed, and in the morning what the quiet hours held, until cancelled."""
        self._pay()
        while True:
            for chat, lines in self._memory.held().items():
                if not self._is_night(chat):
                    with self._people.reading(chat):
                        await self._morning(chat, lines)
            await self._clock.sleep(MORNING_S)

    async def _morning(self, chat: int, lines: dict[str, str]) -> None:
        head = say("{count} held in the quiet hours, /alerts", count=len(lines))
        told = [head, *lines.values()]
        try:
            await self._sender.send(chat, escape("\n".join(told)), urgency=Urgency.ORANGE)
        except NotSentError as error:
            if not error.is_refused:
                return  # it is tried again
        self._memory.release(chat, lines)

    def note_waiting(self) -> None:
        """Count as missed what waits now: it is about to come late."""
        for alert_id in {key[0]: None for key in self._tasks if key[0] in self._newest}:
            self._memory.miss(alert_id, bulletins.facts(self._newest[alert_id]))

    def missed(self) -> list[Callable[[], str]]:
        """Return, for each alert that came late or not at all, what says it; red first."""
        late = sorted(self._memory.missed().items(), key=lambda item: not _is_red(item[1]))
        lines: list[Callable[[], str]] = [partial(bulletins.line, *item) for item in late]
        more = len(lines) - MISSED_MAX
        tail = [later("{count} more", count=more)] if more > 0 else []
        return lines[:MISSED_MAX] + tail


@asynccontextmanager
async def _at_most(seconds: float) -> AsyncIterator[None]:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            yield


def _revision(notice: Notice) -> int:
    return int(notice.alert["revision"])


def _worst(notice: Notice) -> Level:
    """Return how grave an alert is, or was when it is over."""
    is_over = notice.alert["status"] == AlertStatus.RESOLVED
    return Level(notice.alert["worst_level"]) if is_over else notice.level


def _urgency(notice: Notice) -> Urgency:
    return _URGENCY.get(_worst(notice), Urgency.YELLOW)


def _is_red(facts: Mapping[str, str]) -> bool:
    return facts.get("level") == Level.RED
