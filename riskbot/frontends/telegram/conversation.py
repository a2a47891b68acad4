"""What is answered to a message or a press of a listed user.

Who is listed was decided at the gate; what asks before it acts is in `dangers`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace

from aiogram import Bot, Router
from aiogram.exceptions import AiogramError
from aiogram.types import CallbackQuery, Message, User

from riskbot.clock import Clock
from riskbot.core.model import Role
from riskbot.frontends.telegram import helps
from riskbot.frontends.telegram.dangers import AWAY, Dangers, Spawn
from riskbot.frontends.telegram.keyboards import (
    ACK,
    ASK,
    MUTE,
    OPEN,
    SET,
    Keyboard,
    hint_keyboard,
)
from riskbot.frontends.telegram.late import Late
from riskbot.frontends.telegram.link import GuardAwayError
from riskbot.frontends.telegram.lookup import Lookup
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.panel import Panels
from riskbot.frontends.telegram.photos import Photos, understands
from riskbot.frontends.telegram.prompts import Button, PressRefusedError, Prompts, PromptState
from riskbot.frontends.telegram.reader import say
from riskbot.frontends.telegram.requests import (
    ASKING,
    CHARTS,
    HINTS,
    OTHERS,
    RAISING,
    READS,
    Age,
    Request,
    nearest,
    read,
)
from riskbot.frontends.telegram.sender import NotSentError, Sender

LOGGER = logging.getLogger(__name__)

_CODE = re.compile(r"\d{3} ?\d{3}")
READS_BURST = 50
READS_EVERY_MS = 6_000
"""Reading commands: ten a minute go on for ever, fifty at once after a pause."""


class Conversation:
    """Answers people.

    Args:
        bot: answers presses, which have a queue of nobody.
        offset_ms: how far this clock is ahead of Telegram's.
        is_locked: whether somebody else uses the bot's token; then only what lowers risk is asked.
        others: see the modules of their names.
    """

    def __init__(
        self,
        bot: Bot,
        lookup: Lookup,
        prompts: Prompts,
        dangers: Dangers,
        sender: Sender,
        photos: Photos,
        panels: Panels,
        now: Clock,
        spawn: Spawn,
        offset_ms: Callable[[], int],
        is_locked: Callable[[], bool],
    ) -> None:
        self._bot = bot
        self._lookup = lookup
        self._prompts = prompts
        self._dangers = dangers
        self._sender = sender
        self._photos = photos
        self._panels = panels
        self._clock = now
        self._spawn = spawn
        self._offset_ms = offset_ms
        self._is_locked = is_locked
        self._start_ms = now.now_ms()
        self._late = Late(self._send, spawn)
        self._allowed_at: dict[int, int] = {}
        self._slowed: set[int] = set()

    def router(self) -> Router:
        """Return the handlers for the dispatcher."""
        router = Router(name="riskbot")
        router.message.register(self.on_message)
        router.callback_query.register(self.on_press)
        return router

    # ------------------------------------------------------------ messages

    async def on_message(self, message: Message, role: Role) -> None:
        """Answer one message of a listed user."""
        offset_ms = self._offset_ms()
        me = self._bot.me if message.text and "@" in message.text else None
        username = (await me()).username if me is not None else None
        request = read(
            message, username, self._clock.now_ms() - offset_ms, self._start_ms - offset_ms
        )
        if request is None and _CODE.fullmatch(message.text or ""):
            await self._code(message)
            return
        if request is None:
            if message.text and not message.text.startswith("/"):
                self._say(message.chat.id, say("I take commands: /help lists them."))
            return
        await self._handle(request, role, _name(message.from_user))

    async def _code(self, message: Message) -> None:
        """Take a one-time code, and take it out of the chat, whatever becomes of it."""
        self._spawn(self._delete(message.chat.id, message.message_id))
        user = message.from_user.id if message.from_user is not None else 0
        code = (message.text or "").replace(" ", "")
        who = _name(message.from_user)
        if not await self._dangers.code(user, message.chat.id, code, who):
            words = say("No code is asked for now. I have removed what you sent.")
            self._say(message.chat.id, words)

    async def _delete(self, chat: int, message: int) -> None:
        try:
            await self._bot.delete_message(chat, message)
        except (AiogramError, OSError, TimeoutError) as error:
            LOGGER.info("a code could not be removed: %s", type(error).__name__)

    async def _handle(self, request: Request, role: Role, who: str) -> None:
        name, age = request.name, request.age()
        known = name in READS or name in ASKING or name in OTHERS
        if known and age is Age.TOO_OLD:
            self._late.note(request)
        elif name in ASKING:
            if await self._may(request, role):
                is_late = age is Age.ASK_AFRESH
                await self._dangers.ask(request, role, who, is_late=is_late)
        elif name in HINTS:
            await self._hint(request, role)
        elif name == "silence":
            if await self._may(request, role):
                await self._dangers.silence(request, role, who)
        elif not known:
            await self._unknown(request, role)
        elif self._is_slow_enough(request):
            await self._look(request, role)

    async def _may(self, request: Request, role: Role) -> bool:
        words = helps.refusal(request.name, role)
        if not words and request.name in RAISING and self._is_locked():
            words = say(
                "✖ {command} is locked: another program uses the bot's token, or did. Use riskbot "
                "ctl on the host; see the alert.",
                command=request.name,
            )
        if words:
            self._say(request.chat, escape(words))
        return not words

    def _is_slow_enough(self, request: Request) -> bool:
        """Whether a person may read more now; said once when not."""
        now_ms = self._clock.now_ms()
        start_ms = now_ms - READS_BURST * READS_EVERY_MS
        allowed_ms = max(self._allowed_at.get(request.user, 0), start_ms) + READS_EVERY_MS
        if allowed_ms <= now_ms:
            self._allowed_at[request.user] = allowed_ms
            self._slowed.discard(request.user)
            return True
        if request.user not in self._slowed:
            self._slowed.add(request.user)
            words = say("Slow down: ten a minute. Danger commands are not limited.")
            self._spawn(self._dangers.say(request.chat, words))
        return False

    async def _hint(self, request: Request, role: Role) -> None:
        names = HINTS[request.name]
        keyboard = hint_keyboard(role, *names)
        text = say(
            "{command} does nothing by itself here. Did you mean {meant}?",
            command=request.name,
            meant=" / ".join(names),
        )
        self._say(request.chat, escape(text), keyboard)

    async def _unknown(self, request: Request, role: Role) -> None:
        meant = nearest(request.name, [*helps.names(role), *OTHERS])
        parts = [say("I do not know that command.")]
        if meant:
            parts.append(say("Did you mean {command}?", command=f"<code>/{meant}</code>"))
        self._say(request.chat, " ".join([*parts, say("/help lists all.")]))

    # ------------------------------------------------------------ pages

    async def _look(self, request: Request, role: Role) -> None:
        if request.name in CHARTS:
            self._spawn(self._chart(request))
            return
        if request.name == "panel":
            if await self._may(request, role):
                self._spawn(self._panel(request))
            return
        try:
            text, keyboard = await self._lookup.page(request, role)
        except GuardAwayError:
            text, keyboard = say(AWAY), None
        self._say(request.chat, text, keyboard)

    async def _chart(self, request: Request, message: int | None = None) -> None:
        if message is None and not understands(request.name, request.argument):
            await self._send(request.chat, helps.help_command(request.name), None)
            return
        try:
            await self._photos.show(request, message)
        except GuardAwayError:
            await self._send(request.chat, say(AWAY), None)
        except NotSentError as error:
            LOGGER.info("a chart could not be sent: %s", error)

    async def _panel(self, request: Request) -> None:
        try:
            text = await self._panels.command(request)
        except NotSentError as error:
            text = escape(say("✖ The panel could not be shown: {error}", error=error))
        if text:
            await self._send(request.chat, text, None)

    # ------------------------------------------------------------ presses

    async def on_press(self, query: CallbackQuery, role: Role) -> None:
        """Answer one press of a listed user, at once, and then do what it asks."""
        button, message = Button.read(query.data), query.message
        if button is None or message is None:
            await self._answer(query, say("This button is not mine."))
            return
        request = Request(
            user=query.from_user.id,
            chat=message.chat.id,
            name=button.action,
            argument=button.subject,
        )
        if button.action in READS:
            self._answer_beside(query)
            await self._refresh(request, role, message.message_id)
        elif button.action == ACK:
            await self._press_ack(query, request, role)
        elif button.action == MUTE:
            await self._press_mute(query, request)
        elif button.action == SET:
            self._answer_beside(query)
            await self._press_setting(request, message.message_id)
        elif button.action == ASK and button.subject in ASKING:
            self._answer_beside(query)
            asked = Request(user=request.user, chat=request.chat, name=button.subject)
            if await self._may(asked, role):
                await self._dangers.ask(asked, role, _name(query.from_user))
        else:
            await self._press_prompt(query, button, message.message_id, role)

    async def _press_prompt(
        self, query: CallbackQuery, button: Button, message: int, role: Role
    ) -> None:
        user, chat = query.from_user.id, query.message.chat.id if query.message else 0
        try:
            prompt = await self._prompts.press(button, user, chat, message)
        except PressRefusedError as refusal:
            self._answer_beside(query, str(refusal), is_alert=True)
            if refusal.is_dead:
                await self._disarm(chat, message)
            return
        is_canceled = prompt.state is PromptState.CANCELED
        self._answer_beside(query, say("Canceled") if is_canceled else say("Yes"))
        asked = Request(user=user, chat=chat, name=prompt.action)
        if prompt.state is PromptState.CANCELED or await self._may(asked, role):
            await self._dangers.confirmed(prompt, message, _name(query.from_user))

    async def _press_ack(self, query: CallbackQuery, request: Request, role: Role) -> None:
        asked = Request(user=request.user, chat=request.chat, name="ack", argument=request.argument)
        try:
            text, _ = await self._lookup.page(asked, role)
        except GuardAwayError:
            text = say("The guard does not answer.")
        await self._answer(query, text[:190])

    async def _press_setting(self, request: Request, message: int) -> None:
        """Set something, and show it in place; from under another page it opens as a new one."""
        is_new = request.argument == OPEN
        text, keyboard = self._lookup.wish(request.user, "" if is_new else request.argument)
        await self._replace(request.chat, None if is_new else message, text, keyboard)

    async def _press_mute(self, query: CallbackQuery, request: Request) -> None:
        args = {"id": request.argument, "duration_s": 3_600}
        try:
            reply = await self._lookup.command(request, "silence", args)
        except GuardAwayError:
            await self._answer(query, say("The guard does not answer."))
            return
        hint = ""
        if reply.needs_factor:
            hint = " " + say("Send {command}", command=f"/silence {request.argument} 1h")
        await self._answer(query, f"{reply.message}{hint}"[:190], is_alert=not reply.ok)

    async def _refresh(self, request: Request, role: Role, message: int) -> None:
        """Bring a page up to date in place; from under an alert it opens as a new message."""
        is_new = request.argument == "new"
        if request.name in CHARTS:
            # Only under a chart do buttons say of what, or how far back.
            is_chart = request.argument not in {"", "new"}
            wanted = request if is_chart else replace(request, argument="")
            self._spawn(self._chart(wanted, message if is_chart else None))
            return
        asked = Request(user=request.user, chat=request.chat, name=request.name)
        try:
            text, keyboard = await self._lookup.page(asked, role)
        except GuardAwayError:
            text, keyboard = say(AWAY), None
        await self._replace(request.chat, None if is_new else message, text, keyboard)

    async def _replace(
        self, chat: int, message: int | None, text: str, keyboard: Keyboard | None
    ) -> None:
        """Show a page in place of what a message shows, or anew."""
        if message is None:
            self._say(chat, text, keyboard)
            return
        try:
            await self._sender.edit(chat, message, text, keyboard=keyboard)
        except NotSentError as error:
            if error.is_refused:
                self._say(chat, text, keyboard)

    def _answer_beside(
        self, query: CallbackQuery, text: str = "", *, is_alert: bool = False
    ) -> None:
        # Asked for first, not waited for: a slow Telegram must not delay a halt.
        self._spawn(self._answer(query, text, is_alert=is_alert))

    async def _answer(
        self, query: CallbackQuery, text: str = "", *, is_alert: bool = False
    ) -> None:
        try:
            await self._bot.answer_callback_query(query.id, text or None, show_alert=is_alert)
        except (AiogramError, OSError, TimeoutError) as error:
            LOGGER.info("a press could not be answered: %s", type(error).__name__)

    async def _disarm(self, chat: int, message: int) -> None:
        """Take the buttons from a prompt that is over."""
        try:
            await self._bot.edit_message_reply_markup(chat_id=chat, message_id=message)
        except (AiogramError, OSError, TimeoutError) as error:
            LOGGER.info("buttons could not be taken away: %s", type(error).__name__)

    # ------------------------------------------------------------ texts to chats

    def _say(self, chat: int, text: str, keyboard: Keyboard | None = None) -> None:
        self._spawn(self._send(chat, text, keyboard))

    async def _send(self, chat: int, text: str, keyboard: Keyboard | None = None) -> None:
        try:
            await self._sender.send(chat, text, keyboard=keyboard)
        except NotSentError as error:
            LOGGER.info("a reply could not be sent: %s", error)


def _name(user: User | None) -> str:
    if user is None:
        return "?"
    return f"@{user.username}" if user.username else f"{user.first_name} ({user.id})"
