"""Commands that ask before they act: the prompt, the press, the work, and how it ended.

What they would do comes from the guard as a plan with an id; the press sends that id back, so a
prompt confirms the figures it showed and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from riskbot.clock import Clock
from riskbot.core.model import Role
from riskbot.frontends.telegram import pages, plans, requests
from riskbot.frontends.telegram.figures import clock, duration, wrap
from riskbot.frontends.telegram.keyboards import code_keyboard, prompt_keyboard
from riskbot.frontends.telegram.link import Guard, GuardAwayError, Reply
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.prompts import Prompt, Prompts, PromptState
from riskbot.frontends.telegram.reader import phrase, say
from riskbot.frontends.telegram.requests import RAISING, Request, number, seconds
from riskbot.frontends.telegram.sender import NotSentError, Sender, Urgency
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

PROGRESS_S = 2.0
AWAY = phrase(
    "⚠ The guard does not answer, so nothing was done from here. On its host: "
    "<code>riskbot ctl</code>, and <code>riskbot kill</code> in need."
)

Spawn = Callable[[Awaitable[Any]], Any]
"""Runs something beside; what it raises is logged."""


class Dangers:
    """Asks, and carries out what was confirmed.

    Args:
        settings: who is told of what others did.
        guard: plans and acts.
        prompts: what waits for a press.
        sender: brings texts to chats.
        now: the clock.
        spawn: runs something beside.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        prompts: Prompts,
        sender: Sender,
        now: Clock,
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._prompts = prompts
        self._sender = sender
        self._clock = now
        self._spawn = spawn

    # ------------------------------------------------------------ asking

    async def ask(self, request: Request, role: Role, who: str, *, is_late: bool = False) -> None:
        """Show the prompt of a command, or say why there is none."""
        lead = ""
        if is_late:
            ago = duration(request.age_s)
            lead = plans.late_lead(request.name, ago)
        try:
            if request.name in {"halt", "cancel"}:
                await self._ask_safer(request, who, lead)
            else:
                await self._ask_planned(request, who, lead)
        except GuardAwayError:
            await self.say(request.chat, say(AWAY))

    async def _ask_safer(self, request: Request, who: str, lead: str) -> None:
        """Ask for what the guard does at once: the figures are those of its status."""
        status = (await self._guard.ask(request.user, "status")).document or {}
        held = [h for h in status.get("holds") or [] if _is_operators(h)]
        if request.name == "halt" and held:
            since = clock(held[0].get("since_ms") or 0)
            words = say("⛔ Already halted since {since}", since=since)
            reason = f", {held[0]['reason']}" if held[0].get("reason") else ""
            await self.say(request.chat, escape(words + reason))
            return
        args: dict[str, Any] = {}
        if request.name == "halt":
            args = {"reason": request.argument} if request.argument else {}
        elif request.argument and not await self._instrument(request, args):
            return
        rows = await self._positions(request.user)
        lines = (
            plans.halt_lines(status, rows)
            if request.name == "halt"
            else plans.cancel_lines(status, args)
        )
        await self._open(request, who, lead, lines, args, None)

    async def _ask_planned(self, request: Request, who: str, lead: str) -> None:
        args: dict[str, Any] = {}
        needs_words = request.name == "setlimit"
        if (request.argument or needs_words) and not await self._argument(request, args):
            return
        reply = await self._guard.ask(request.user, request.name, args, request.age_ms)
        await self._show_plan(request, who, lead, args, reply)

    async def _show_plan(
        self, request: Request, who: str, lead: str, args: dict[str, Any], reply: Reply
    ) -> None:
        if not reply.ok or reply.plan_id is None:
            await self.say(request.chat, escape(f"✖ {reply.message}"))
            return
        lines = [*wrap(reply.message), *plans.plan_lines(reply.plan or {})]
        await self._open(request, who, lead, lines, args, reply)

    async def _argument(self, request: Request, args: dict[str, Any]) -> bool:
        """Turn what was written behind a command into the guard's argument."""
        if request.argument.lower() == "all":
            return True
        if request.name == "reduce":
            args["limit"] = request.argument
            return True
        if request.name == "setlimit":
            return await self._limit(request, args)
        if request.name == "resume":
            args["account"] = request.argument
            return True
        return await self._instrument(request, args)

    async def _limit(self, request: Request, args: dict[str, Any]) -> bool:
        """Read a limit, its new value, and an account; False when there is no value."""
        words = request.argument.split()
        value = number(words[1]) if len(words) > 1 else None
        if len(words) not in {2, 3} or (value is None and words[1] != "configured"):
            usage = say(
                "/setlimit drawdown 0.12 (or 12%; configured = as in the file). Nothing done."
            )
            await self.say(request.chat, escape(say("Usage: {usage}", usage=usage)))
            return False
        args |= {"limit": words[0].lower(), "value": value}
        if len(words) == 3:
            args["account"] = words[2]
        return True

    async def _instrument(self, request: Request, args: dict[str, Any]) -> bool:
        """Name one instrument, or one account; False when it is neither, which is then said."""
        word = request.argument
        status = (await self._guard.ask(request.user, "status")).document or {}
        if word in (status.get("accounts") or {}):
            args["account"] = word
            return True
        rows = await self._positions(request.user) or []
        found = sorted({str(r.get("instrument")) for r in rows if _is_meant(r, word)})
        if len(found) == 1:
            args["instrument"] = found[0]
            return True
        text = plans.not_one(word, found)
        await self.say(request.chat, escape(text))
        return False

    async def _positions(self, user: int) -> Sequence[dict[str, Any]] | None:
        document = (await self._guard.ask(user, "positions")).document
        return document if isinstance(document, list) else None

    async def _open(
        self,
        request: Request,
        who: str,
        lead: str,
        lines: list[str],
        args: dict[str, Any],
        reply: Reply | None,
        *,
        steps_left: int | None = None,
    ) -> None:
        needs_code = reply is not None and reply.needs_factor
        if steps_left is None:
            # Two steps where it gets riskier: a second press, or a code.
            steps_left = 1 if request.name in RAISING and not needs_code else 0
        prompt = self._prompts.open(
            request.name,
            request.user,
            request.chat,
            "",
            args=args,
            plan_id=reply.plan_id if reply else None,
            life_ms=reply.expires_in_ms if reply else None,
            steps_left=steps_left,
            needs_code=needs_code,
        )
        left_s = max(1, (prompt.expires_ms - self._clock.now_ms()) // 1000)
        head = f"{lead}<b>{say(plans.TITLES[request.name])}</b>  #{prompt.number}"
        tail = escape(say("By {who} · expires in {seconds} s", who=who, seconds=left_s))
        prompt.text = f"{head}\n{pages.table(lines)}\n{tail}"
        await self._present(prompt, prompt.text)

    async def _present(self, prompt: Prompt, text: str) -> None:
        """Send a prompt; from then on its message is known and its time runs."""
        try:
            message = await self._sender.send(
                prompt.chat, text, urgency=Urgency.RED, keyboard=prompt_keyboard(prompt)
            )
        except NotSentError as error:
            prompt.state = PromptState.EXPIRED
            LOGGER.warning("a prompt could not be shown: %s", error)
            return
        if not prompt.message.done():
            prompt.message.set_result(message)
        self._spawn(self._expire(prompt, message))

    async def _expire(self, prompt: Prompt, message: int) -> None:
        await self._clock.sleep_until(prompt.expires_ms)
        if self._prompts.expire(prompt):
            await self.show(
                prompt.chat, message, f"{prompt.text}\n{say('⌛ Expired, nothing was done.')}"
            )

    async def silence(self, request: Request, role: Role, who: str) -> None:
        """Silence alerts at once; of something red only with a code, where codes are used."""
        words = request.argument.split()
        wait_s = seconds(words[1]) if len(words) > 1 else 3_600.0
        if not words or wait_s is None or len(words) > 3:
            usage = say("/silence drawdown 1h [account], /silence A17 30m, /silence all 2h")
            await self.say(request.chat, escape(say("Usage: {usage}", usage=usage)))
            return
        subject = words[0].lstrip("#")
        args: dict[str, Any] = {**requests.alert_or_limit(subject), "duration_s": wait_s}
        if len(words) == 3:
            args["account"] = words[2]
        try:
            reply = await self._guard.ask(request.user, "silence", args)
        except GuardAwayError:
            await self.say(request.chat, say(AWAY))
            return
        if not reply.needs_factor or reply.ok:
            await self.say(request.chat, escape(f"{'🔕' if reply.ok else '✖'} {reply.message}"))
            return
        await self._open(request, who, "", wrap(f"{subject}: {reply.message}"), args, reply)

    # ------------------------------------------------------------ doing

    async def confirmed(self, prompt: Prompt, message: int, who: str) -> None:
        """Do what a press confirmed: the next step, or the work itself."""
        if prompt.state is PromptState.CANCELED:
            words = say("✖ Canceled, nothing was done.")
            await self.show(prompt.chat, message, f"{prompt.text}\n{words}")
        elif prompt.steps_left:
            await self._second_step(prompt, message)
        elif prompt.needs_code:
            await self._ask_code(prompt, message)
        else:
            await self._carry_out(prompt, message, who)

    async def _ask_code(self, prompt: Prompt, message: int, note: str = "") -> None:
        """Wait for the code of who was asked."""
        self._prompts.await_code(prompt)
        left_s = max(1, (prompt.expires_ms - self._clock.now_ms()) // 1000)
        lead = f"{escape(note)}\n" if note else ""
        text = f"{prompt.text}\n{lead}<b>{plans.code_wanted(left_s)}</b>"
        try:
            keyboard = code_keyboard(prompt)
            await self._sender.edit(
                prompt.chat, message, text, urgency=Urgency.RED, keyboard=keyboard
            )
        except NotSentError as error:
            LOGGER.warning("the code could not be asked for: %s", error)

    async def code(self, user: int, chat: int, code: str, who: str) -> bool:
        """Take a code that a person wrote; False when nobody waits for one."""
        prompt = self._prompts.awaits_code(user, chat)
        if prompt is None:
            return False
        self._prompts.take_code(user)
        message = await prompt.message
        await self._carry_out(prompt, message, who, code)
        return True

    async def _second_step(self, prompt: Prompt, message: int) -> None:
        following = self._prompts.open(
            prompt.action,
            prompt.user,
            prompt.chat,
            prompt.text,
            args=prompt.args,
            plan_id=prompt.plan_id,
            life_ms=prompt.expires_ms - self._clock.now_ms(),
            steps_left=prompt.steps_left - 1,
        )
        following.message.set_result(message)
        really = say("(2/2) Really {command}?", command=prompt.action)
        text = f"{prompt.text}\n<b>{really}</b>"
        try:
            await self._sender.edit(
                prompt.chat,
                message,
                text,
                urgency=Urgency.RED,
                keyboard=prompt_keyboard(following),
            )
        except NotSentError as error:
            LOGGER.warning("the second step could not be shown: %s", error)
        self._spawn(self._expire(following, message))

    async def _carry_out(self, prompt: Prompt, message: int, who: str, code: str = "") -> None:
        name, args = prompt.action, dict(prompt.args)
        if prompt.plan_id is not None:
            args["plan_id"] = prompt.plan_id
        if code:
            args["totp"] = code
        by = f"#{prompt.number} · {escape(say('by {who}', who=who))}"
        head = f"{say(plans.WORKING[name])}  {by}"
        progress = asyncio.ensure_future(self._progress(prompt, message, head))
        try:
            reply = await self._follow(prompt, args)
        except GuardAwayError:
            reply = None
        finally:
            progress.cancel()
            with suppress(asyncio.CancelledError):
                await progress
        if reply is None:
            words = say("⚠ The guard did not answer: it may or may not be done. Look at /status.")
            await self.show(prompt.chat, message, f"{prompt.text}\n{words}")
            return
        if reply.needs_factor and not reply.ok and self._clock.now_ms() < prompt.expires_ms:
            await self._ask_code(prompt, message, f"✖ {reply.message}")
            return
        if reply.plan_id is not None:
            words = say("↻ The facts have changed.")
            await self.show(prompt.chat, message, f"{prompt.text}\n{words}")
            request = Request(user=prompt.user, chat=prompt.chat, name=name)
            await self._show_plan(request, who, "", prompt.args, reply)
            return
        mark = "✅" if reply.ok else "⚠"
        at = clock(self._clock.now_ms())
        text = f"{mark} {escape(reply.message)}\n{by} · {escape(at)}"
        await self.show(prompt.chat, message, text)
        if reply.ok:
            text = f"👤 {escape(who)}: {escape(name)}. {escape(reply.message)}"
            self._tell_others(prompt, text)

    async def _follow(self, prompt: Prompt, args: dict[str, Any]) -> Reply | None:
        last = None
        async for reply in self._guard.follow(prompt.user, prompt.action, args):
            last = reply
        return last

    async def _progress(self, prompt: Prompt, message: int, head: str) -> None:
        """Show what has been done so far, for as long as it takes."""
        shown = ""
        working = say(plans.WORKING[prompt.action])
        await self.show(prompt.chat, message, f"{prompt.text}\n⏳ {working}…")
        while True:
            await asyncio.sleep(PROGRESS_S)
            with suppress(GuardAwayError):
                status = (await self._guard.ask(prompt.user, "status")).document or {}
                text = f"<b>{head}</b>\n{pages.table(plans.progress_lines(status))}"
                if text != shown:
                    shown = text
                    await self.show(prompt.chat, message, text)

    def _tell_others(self, prompt: Prompt, text: str) -> None:
        """Tell the other people who may command what one of them did."""
        for user, role in self._settings.users.items():
            if user != prompt.user and role is not Role.VIEWER:
                self._spawn(self.say(user, text, is_silent=prompt.action == "cancel"))

    # ------------------------------------------------------------ texts to chats

    async def say(self, chat: int, text: str, *, is_silent: bool = False) -> None:
        """Send a text that matters."""
        try:
            await self._sender.send(chat, text, urgency=Urgency.RED, is_silent=is_silent)
        except NotSentError as error:
            LOGGER.warning("a text could not be sent: %s", error)

    async def show(self, chat: int, message: int, text: str) -> None:
        """Change a prompt and take its buttons away; where it is gone, say it anew."""
        try:
            await self._sender.edit(chat, message, text, urgency=Urgency.RED)
        except NotSentError as error:
            if error.is_refused:
                await self.say(chat, text)


def _is_operators(hold: dict[str, Any]) -> bool:
    return hold.get("limit") == "operator" and hold.get("scope") == "portfolio"


def _is_meant(row: dict[str, Any], word: str) -> bool:
    names = {str(row.get("instrument")), str(row.get("underlying"))}
    return word.upper() in {name.upper() for name in names}
