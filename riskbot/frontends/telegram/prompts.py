"""Prompts that wait for a press: bound to person, chat, message and moment, good for one press.

They live in this process alone: a restart makes every prompt of before worthless, which is said
to whoever presses one. What a confirmed prompt does is not here.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from riskbot.clock import Clock
from riskbot.frontends.telegram.reader import phrase, say

LIFE_MS = 60_000
KEPT_MAX = 200
NONCE_BYTES = 12
"""96 random bits: 16 characters of the 64 bytes a button may carry."""

DROP = "drop"
"""The action of the Cancel button."""

MESSAGE_WAIT_S = 3.0
"""A press may overtake the answer to the message it is on."""


class Button(NamedTuple):
    """What a button carries: `v1:<action>:<id>:<nonce>`."""

    action: str
    subject: str = ""
    nonce: str = ""

    def data(self) -> str:
        """Return the callback data, at most 64 bytes."""
        return f"v1:{self.action}:{self.subject}:{self.nonce}"

    @classmethod
    def read(cls, data: str | None) -> Button | None:
        """Return what callback data says, None when it is not ours."""
        parts = (data or "").split(":")
        return cls(*parts[1:]) if len(parts) == 4 and parts[0] == "v1" else None


class PromptState(StrEnum):
    """Life of a prompt."""

    OPEN = "open"
    USED = "used"
    CANCELED = "canceled"
    EXPIRED = "expired"


_OVER = {
    PromptState.USED: phrase("{number} is used already. Send /{command} again."),
    PromptState.CANCELED: phrase("{number} is canceled. Send /{command} again."),
    PromptState.EXPIRED: phrase("{number} is expired. Send /{command} again."),
}


def _future() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class Prompt:
    """A question that was asked.

    Attributes:
        number: short name: `C9E1`.
        action: command that a press carries out.
        args: its arguments.
        plan_id: the guard's plan that is confirmed with it.
        text: HTML of the question.
        steps_left: presses that are still needed after the next one.
        needs_code: a one-time code is needed after the last press.
        message: id of its message, once Telegram has said it.
    """

    number: str
    nonce: str
    action: str
    user: int
    chat: int
    args: dict[str, Any]
    plan_id: str | None
    text: str
    expires_ms: int
    steps_left: int = 0
    needs_code: bool = False
    state: PromptState = PromptState.OPEN
    message: asyncio.Future[int] = field(default_factory=_future)

    def button(self, action: str | None = None) -> Button:
        """Return its confirming button, or another one of it."""
        return Button(action or self.action, self.number, self.nonce)


class PressRefusedError(Exception):
    """A press that does nothing; the words are for who pressed.

    Attributes:
        is_dead: the prompt is over: its keyboard goes.
    """

    def __init__(self, words: str, *, is_dead: bool) -> None:
        super().__init__(words)
        self.is_dead = is_dead


class Prompts:
    """Every prompt of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._prompts: dict[str, Prompt] = {}
        self._codes: dict[int, Prompt] = {}

    def open(
        self,
        action: str,
        user: int,
        chat: int,
        text: str,
        *,
        args: dict[str, Any],
        plan_id: str | None = None,
        life_ms: int | None = None,
        steps_left: int = 0,
        needs_code: bool = False,
    ) -> Prompt:
        """Make a prompt; its message is noted in `message` once it is sent."""
        life_ms = LIFE_MS if life_ms is None else min(life_ms, LIFE_MS)
        number = self._free_number()
        prompt = Prompt(
            number=number,
            nonce=secrets.token_urlsafe(NONCE_BYTES),
            action=action,
            user=user,
            chat=chat,
            args=args,
            plan_id=plan_id,
            text=text,
            expires_ms=self._clock.now_ms() + life_ms,
            steps_left=steps_left,
            needs_code=needs_code,
        )
        self._prompts[number] = prompt
        while len(self._prompts) > KEPT_MAX:
            del self._prompts[next(iter(self._prompts))]
        return prompt

    def _free_number(self) -> str:
        while True:
            number = "C" + secrets.token_hex(2).upper()
            if number not in self._prompts:
                return number

    async def press(self, button: Button, user: int, chat: int, message: int) -> Prompt:
        """Use a prompt up; from here on no other press can.

        Raises:
            PressRefusedError: it cannot be used by this press.
        """
        prompt = self._prompts.get(button.subject)
        if prompt is None or not secrets.compare_digest(
            prompt.nonce.encode(), button.nonce.encode()
        ):
            words = say(
                "This prompt is from before a restart, or not mine. Send the command again."
            )
            raise PressRefusedError(words, is_dead=True)
        if prompt.user != user or prompt.chat != chat:
            words = say("Only who asked can confirm this.")
            raise PressRefusedError(words, is_dead=False)
        if button.action not in {prompt.action, DROP}:
            words = say("This button does not belong to this prompt.")
            raise PressRefusedError(words, is_dead=True)
        await self._check_message(prompt, message)
        # From here on without a pause: of several presses at once exactly one gets through.
        self.expire(prompt)
        if prompt.state is not PromptState.OPEN:
            words = say(_OVER[prompt.state], number=prompt.number, command=prompt.action)
            raise PressRefusedError(words, is_dead=prompt.state is not PromptState.USED)
        is_drop = button.action == DROP
        prompt.state = PromptState.CANCELED if is_drop else PromptState.USED
        return prompt

    def await_code(self, prompt: Prompt) -> None:
        """Take the next code of its person for this prompt; an older one waits no more."""
        prompt.state = PromptState.OPEN
        self._codes[prompt.user] = prompt

    def awaits_code(self, user: int, chat: int) -> Prompt | None:
        """Return the prompt that waits for a code of this person here."""
        prompt = self._codes.get(user)
        if prompt is None or prompt.chat != chat:
            return None
        self.expire(prompt)
        return prompt if prompt.state is PromptState.OPEN else None

    def take_code(self, user: int) -> None:
        """Let a person's prompt wait no more: what came is being tried."""
        prompt = self._codes.pop(user, None)
        if prompt is not None:
            prompt.state = PromptState.USED

    async def _check_message(self, prompt: Prompt, message: int) -> None:
        try:
            async with asyncio.timeout(MESSAGE_WAIT_S):
                known = await asyncio.shield(prompt.message)
        except TimeoutError:
            known = 0
        if known != message:
            words = say("This is an old copy of the prompt. Use the newest one.")
            raise PressRefusedError(words, is_dead=True)

    def expire(self, prompt: Prompt) -> bool:
        """End a prompt whose time is over; return whether it was this that ended it."""
        if prompt.state is PromptState.OPEN and self._clock.now_ms() >= prompt.expires_ms:
            prompt.state = PromptState.EXPIRED
            return True
        return False
