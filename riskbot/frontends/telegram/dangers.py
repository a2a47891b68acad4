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
from zoneinfo import ZoneInfo

from riskbot.clock import Clock
from riskbot.core.model import Role
from riskbot.frontends.telegram import pages
from riskbot.frontends.telegram.figures import clock, duration, left, money, spread, wrap
from riskbot.frontends.telegram.keyboards import prompt_keyboard
from riskbot.frontends.telegram.link import Guard, GuardAwayError, Reply
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.prompts import Prompt, Prompts, PromptState
from riskbot.frontends.telegram.requests import Request
from riskbot.frontends.telegram.sender import NotSentError, Sender, Urgency
from riskbot.frontends.telegram.settings import Settings

LOGGER = logging.getLogger(__name__)

TITLES = {
    "halt": "⏸ Halt trading?",
    "resume": "▶ Resume trading?",
    "flatten": "🧯 Flatten?",
    "reduce": "✂ Reduce?",
    "cancel": "🗑 Cancel entries?",
}
WORKING = {
    "halt": "⏸ Halting",
    "resume": "▶ Resuming",
    "flatten": "🧯 Flattening",
    "reduce": "✂ Reducing",
    "cancel": "🗑 Canceling",
}
PROGRESS_S = 2.0
AWAY = (
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
        self._zone = ZoneInfo(settings.timezone)

    # ------------------------------------------------------------ asking

    async def ask(self, request: Request, role: Role, who: str, *, is_late: bool = False) -> None:
        """Show the prompt of a command, or say why there is none."""
        lead = ""
        if is_late:
            ago = duration(request.age_s)
            lead = f"You wanted to {request.name} {ago} ago. Nothing was done. Now?\n"
        try:
            if request.name in {"halt", "cancel"}:
                await self._ask_safer(request, who, lead)
            else:
                await self._ask_planned(request, who, lead)
        except GuardAwayError:
            await self.say(request.chat, AWAY)

    async def _ask_safer(self, request: Request, who: str, lead: str) -> None:
        """Ask for what the guard does at once: the figures are those of its status."""
        status = (await self._guard.ask(request.user, "status")).document or {}
        held = [h for h in status.get("holds") or [] if _is_operators(h)]
        if request.name == "halt" and held:
            since = clock(held[0].get("since_ms") or 0, self._zone)
            await self.say(
                request.chat,
                escape(f"⛔ Already halted since {since}, {held[0].get('reason') or ''}".rstrip()),
            )
            return
        args: dict[str, Any] = {}
        if request.name == "halt":
            args = {"reason": request.argument} if request.argument else {}
        elif request.argument and not await self._instrument(request, args):
            return
        rows = await self._positions(request.user)
        lines = _halt_lines(status, rows) if request.name == "halt" else _cancel_lines(status, args)
        await self._open(request, who, lead, lines, args, None)

    async def _ask_planned(self, request: Request, who: str, lead: str) -> None:
        args: dict[str, Any] = {}
        if request.argument and not await self._argument(request, args):
            return
        reply = await self._guard.ask(request.user, request.name, args, request.age_ms)
        await self._show_plan(request, who, lead, args, reply)

    async def _show_plan(
        self, request: Request, who: str, lead: str, args: dict[str, Any], reply: Reply
    ) -> None:
        if not reply.ok or reply.plan_id is None:
            await self.say(request.chat, escape(f"✖ {reply.message}"))
            return
        lines = [*wrap(reply.message), *plan_lines(reply.plan or {})]
        await self._open(request, who, lead, lines, args, reply)

    async def _argument(self, request: Request, args: dict[str, Any]) -> bool:
        """Turn what was written behind a command into the guard's argument."""
        if request.argument.lower() == "all":
            return True
        if request.name == "reduce":
            args["limit"] = request.argument
            return True
        if request.name == "resume":
            args["account"] = request.argument
            return True
        return await self._instrument(request, args)

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
        if found:
            text = f"{word} is several: {', '.join(found)}. Name one, nothing was done."
        else:
            text = f"No position, no account is called {word}. Nothing was done."
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
        if steps_left is None:
            steps_left = 1 if request.name == "resume" else 0
        prompt = self._prompts.open(
            request.name,
            request.user,
            request.chat,
            "",
            args=args,
            plan_id=reply.plan_id if reply else None,
            life_ms=reply.expires_in_ms if reply else None,
            steps_left=steps_left,
        )
        left_s = max(1, (prompt.expires_ms - self._clock.now_ms()) // 1000)
        head = f"{lead}<b>{TITLES[request.name]}</b>  #{prompt.number}"
        tail = escape(f"By {who} · expires in {left_s} s")
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
            await self.show(prompt.chat, message, f"{prompt.text}\n⌛ Expired, nothing was done.")

    # ------------------------------------------------------------ doing

    async def confirmed(self, prompt: Prompt, message: int, who: str) -> None:
        """Do what a press confirmed: the next step, or the work itself."""
        if prompt.state is PromptState.CANCELED:
            await self.show(prompt.chat, message, f"{prompt.text}\n✖ Canceled, nothing was done.")
        elif prompt.steps_left:
            await self._second_step(prompt, message)
        else:
            await self._carry_out(prompt, message, who)

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
        text = f"{prompt.text}\n<b>(2/2) Really {prompt.action}?</b>"
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

    async def _carry_out(self, prompt: Prompt, message: int, who: str) -> None:
        name, args = prompt.action, dict(prompt.args)
        if prompt.plan_id is not None:
            args["plan_id"] = prompt.plan_id
        head = f"{WORKING[name]}  #{prompt.number} · by {escape(who)}"
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
            words = "⚠ The guard did not answer: it may or may not be done. Look at /status."
            await self.show(prompt.chat, message, f"{prompt.text}\n{words}")
            return
        if reply.plan_id is not None:
            await self.show(prompt.chat, message, f"{prompt.text}\n↻ The facts have changed.")
            request = Request(user=prompt.user, chat=prompt.chat, name=name)
            await self._show_plan(request, who, "", prompt.args, reply)
            return
        mark = "✅" if reply.ok else "⚠"
        at = clock(self._clock.now_ms(), self._zone)
        text = f"{mark} {escape(reply.message)}\n#{prompt.number} · by {escape(who)} · {escape(at)}"
        await self.show(prompt.chat, message, text)
        if reply.ok:
            self._tell_others(prompt, f"{escape(who)}: {escape(name)}. {escape(reply.message)}")

    async def _follow(self, prompt: Prompt, args: dict[str, Any]) -> Reply | None:
        last = None
        async for reply in self._guard.follow(prompt.user, prompt.action, args):
            last = reply
        return last

    async def _progress(self, prompt: Prompt, message: int, head: str) -> None:
        """Show what has been done so far, for as long as it takes."""
        shown = ""
        await self.show(prompt.chat, message, f"{prompt.text}\n⏳ {WORKING[prompt.action]}…")
        while True:
            await asyncio.sleep(PROGRESS_S)
            with suppress(GuardAwayError):
                status = (await self._guard.ask(prompt.user, "status")).document or {}
                text = f"<b>{head}</b>\n{pages.table(progress_lines(status))}"
                if text != shown:
                    shown = text
                    await self.show(prompt.chat, message, text)

    def _tell_others(self, prompt: Prompt, text: str) -> None:
        """Tell the other people who may command what one of them did."""
        for user, role in self._settings.users.items():
            if user != prompt.user and role is not Role.VIEWER:
                self._spawn(self.say(user, f"👤 {text}", is_silent=prompt.action == "cancel"))

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


def _halt_lines(status: dict[str, Any], positions: Sequence[dict[str, Any]] | None) -> list[str]:
    notional = "?"
    if positions is not None:
        known = [abs(p.get("notional_usd") or 0.0) for p in positions]
        notional = f"{len(known)}, {money(sum(known), 0)} USD"
    return [
        spread("Blocks", "new orders, all accounts"),
        spread("Cancels", "working entries"),
        spread("Working orders", str(_working(status))),
        spread("Positions stay", notional),
        spread("Ends", "only by resume"),
        spread("Mode", pages.mode(status)),
    ]


def _cancel_lines(status: dict[str, Any], args: dict[str, Any]) -> list[str]:
    return [
        spread("Cancels", "working entries"),
        spread("Of", str(args.get("instrument") or args.get("account") or "all accounts")),
        spread("Working orders", str(_working(status))),
        spread("Stay", "exits and stops"),
    ]


def _working(status: dict[str, Any]) -> int:
    accounts = (status.get("accounts") or {}).values()
    return sum(int(account.get("working_orders") or 0) for account in accounts)


def plan_lines(plan: dict[str, Any]) -> list[str]:
    """Return the rows of a plan: what closes, what stays and why, what ends, what is re-based."""
    lines = [""] if plan else []
    for row in (plan.get("close") or [])[:20]:
        quantity = row.get("close") or f"{row.get('from')} > {row.get('to')}"
        lines.append(spread(str(row.get("instrument")), str(quantity)))
    for row in (plan.get("kept") or [])[:10]:
        lines += wrap(f"kept: {row.get('instrument')} {row.get('reason') or ''}")
    if plan.get("notional_usd") is not None:
        lines.append(spread("Notional", f"{money(plan['notional_usd'], 0)} USD"))
    if plan.get("cancel_entries") is not None:
        lines.append(spread("Cancels entries", str(plan["cancel_entries"])))
    for hold in plan.get("holds") or []:
        lines += wrap(f"ends: {hold.get('scope')} {hold.get('limit')}: {hold.get('reason')}")
    for row in plan.get("rebased") or []:
        lines += wrap(f"re-based: {row.get('scope')} {row.get('limit')}")
    if plan.get("mode"):
        lines.append(spread("Mode", str(plan["mode"])))
    return lines if len(lines) > 1 else []


def progress_lines(status: dict[str, Any]) -> list[str]:
    """Return what the guard is at: one line per target of each intent."""
    lines = []
    for intent in status.get("intents") or []:
        lines.append(spread(f"{intent.get('kind')} {intent.get('account')}", str(intent["phase"])))
        for target in (intent.get("targets") or [])[:15]:
            is_there = target.get("quantity") == target.get("target")
            state = "done" if is_there else target.get("note") or target.get("rung")
            lines.append("  " + left(str(target.get("instrument")), 14) + " " + str(state)[:17])
    return lines or ["working"]
