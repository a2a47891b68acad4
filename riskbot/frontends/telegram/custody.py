"""Whether the token is ours alone: a webhook of somebody else locks what raises risk.

Who can set a webhook has the token, and removing it takes the token from nobody. So the lock ends
only where he has no hand: on riskbot's host, by `riskbot ctl ack` of the red alert, or with another
token. It outlives restarts. A second program that polls is `polling`'s to notice.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from zoneinfo import ZoneInfo

from riskbot.clock import Clock
from riskbot.frontends.telegram.figures import clock
from riskbot.frontends.telegram.link import Guard, GuardAwayError
from riskbot.frontends.telegram.memory import Memory
from riskbot.frontends.telegram.notes import Lock
from riskbot.frontends.telegram.reader import Reader, reading, say
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

ALERT = "token_conflict"
HOST_DOOR = "ctl:"
"""How the actors of `riskbot ctl` are called; an ack in Telegram may be anybody's."""


class Custody:
    """Keeps the lock.

    Args:
        settings: the token, and who may look at the guard's documents.
        memory: keeps the lock over a restart.
        guard: knows who has acknowledged the alert.
        now: the clock.
        changed: called when the lock was set or has ended.
        look_s: between looks whether the operator has acknowledged it.
    """

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        guard: Guard,
        now: Clock,
        changed: Callable[[], None],
        look_s: float,
    ) -> None:
        self._memory = memory
        self._guard = guard
        self._clock = now
        self._changed = changed
        self._look_s = look_s
        self._zone = ZoneInfo(settings.timezone)
        self._user = next(iter(settings.users))
        self._token = hashlib.sha256(settings.token.encode()).hexdigest()[:16]
        lock = memory.lock
        if lock is not None and lock.token != self._token:
            LOGGER.warning("another token: what raises risk is taken again")
            memory.note_lock(None)

    @property
    def is_locked(self) -> bool:
        """Whether what raises risk is refused."""
        return self._memory.lock is not None

    @property
    def words(self) -> str:
        """What people are told while it is locked; empty when it is not."""
        lock = self._memory.lock
        if lock is None:
            return ""
        what = f"a webhook to {lock.host} was set for the bot's token"
        return f"{what}, {self._moment(lock)}; locked until riskbot ctl ack"

    def _moment(self, lock: Lock) -> str:
        """Return what of the words is this lock's own: an ack of an earlier one does not fit."""
        with reading(Reader(self._zone)):
            return f"found and removed {clock(lock.at_ms)}"

    def warning(self, lock: Lock) -> str:
        """Return what the reader, an admin, is told of a lock."""
        return say(
            "⚠ a webhook to {host} was set for the bot's token, found and removed {time}. What "
            "raises risk is refused here. If it was not you, revoke the token at BotFather. Then, "
            "on the host: riskbot ctl alerts names the alert token_conflict, riskbot ctl ack of "
            "it ends the lock.",
            host=lock.host,
            time=clock(lock.at_ms),
        )

    def webhook(self, host: str) -> None:
        """Lock: somebody else has set a webhook."""
        if self.is_locked:
            return
        self._memory.note_lock(Lock(host, self._token, self._clock.now_ms()))
        LOGGER.warning("%s", self.words)
        self._changed()

    async def run(self) -> None:
        """Look for the operator's acknowledgement until cancelled."""
        while True:
            lock = self._memory.lock
            if lock is not None and await self._is_acknowledged(lock):
                LOGGER.warning("acknowledged on the host: what raises risk is taken again")
                self._memory.note_lock(None)
                self._changed()
            await self._clock.sleep(self._look_s)

    async def _is_acknowledged(self, lock: Lock) -> bool:
        try:
            status = await self._guard.view(self._user, "status")
        except GuardAwayError:
            return False
        return any(
            alert.get("limit") == ALERT
            and self._moment(lock) in str(alert.get("text"))
            and str(alert.get("acked_by") or "").startswith(HOST_DOOR)
            for alert in status.get("alerts") or ()
        )
