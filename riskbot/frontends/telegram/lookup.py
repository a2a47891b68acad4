"""The pages a person asks for, from the guard's documents of this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from riskbot.clock import Clock
from riskbot.core.model import Role
from riskbot.frontends.telegram import helps, pages
from riskbot.frontends.telegram.inquiries import INQUIRIES, UsageError
from riskbot.frontends.telegram.keyboards import (
    Keyboard,
    refresh_keyboard,
    settings_keyboard,
    status_keyboard,
)
from riskbot.frontends.telegram.languages import catalogues
from riskbot.frontends.telegram.link import Guard, GuardAwayError, Reply
from riskbot.frontends.telegram.pages import escape
from riskbot.frontends.telegram.preferences import Preferences, WishError
from riskbot.frontends.telegram.reader import reader, say
from riskbot.frontends.telegram.requests import Request, alert_or_limit

Page = tuple[str, Keyboard | None]


class Lookup:
    """Asks the guard and renders what it says."""

    def __init__(self, guard: Guard, preferences: Preferences, now: Clock) -> None:
        self._guard = guard
        self._preferences = preferences
        self._clock = now

    async def page(self, request: Request, role: Role) -> Page:
        """Return the answer to a command that only looks, or acknowledges.

        Raises:
            GuardAwayError: nothing can be looked at.
        """
        if request.name != "start" and (words := helps.refusal(request.name, role)):
            return escape(words), None
        builders: dict[str, Callable[[Request, Role], Awaitable[Page]]] = {
            "start": self._start,
            "help": self._help,
            "whoami": self._whoami,
            "settings": self._settings,
            "status": self._status,
            "positions": self._positions,
            "limits": self._limits,
            "ack": self._ack,
            "unsilence": self._unsilence,
            "test": self._test,
        }
        build = builders.get(request.name, self._inquire)
        return await build(request, role)

    async def _ask(self, request: Request, name: str, args: dict[str, Any] | None = None) -> Any:
        """Return the guard's document of a command.

        Raises:
            GuardAwayError: there is none.
        """
        reply = await self._guard.ask(request.user, name, args)
        if not reply.ok:
            raise GuardAwayError(reply.message)
        return reply.document

    async def command(self, request: Request, name: str, args: dict[str, Any]) -> Reply:
        """Give a command that is done at once.

        Raises:
            GuardAwayError: nobody knows whether it is.
        """
        return await self._guard.ask(request.user, name, args)

    async def _unsilence(self, request: Request, role: Role) -> Page:
        word = (request.argument or "all").split()[0]
        reply = await self._guard.ask(request.user, "unsilence", alert_or_limit(word))
        return escape(f"{'🔔' if reply.ok else '✖'} {reply.message}"), None

    async def _start(self, request: Request, role: Role) -> Page:
        status = await self._ask(request, "status")
        level = f"{pages.level_line(status)} · {pages.mode(status)} · {status.get('instance')}"
        lines = [
            say("<b>riskbot</b> guards your accounts. You are {role}.", role=role.value),
            escape(level),
            say(
                "Trading {state}. /help lists what you can do.",
                state=escape(status.get("trading_state")),
            ),
        ]
        text = "\n".join(lines)
        return text, status_keyboard(role, len(status.get("alerts") or []))

    async def _help(self, request: Request, role: Role) -> Page:
        word = request.argument.lstrip("/").lower()
        if word:
            known = word in helps.names(role)
            text = helps.help_command(word) if known else say("No such command for you: /help")
            return text, None
        top = "riskbot"
        with suppress(GuardAwayError):  # help must help also then
            top = pages.level_line(await self._ask(request, "status"))
        return helps.help_page(role, top), None

    async def _whoami(self, request: Request, role: Role) -> Page:
        who = reader()
        words = say(
            "You are {id}, {role}. Times are in {zone}, texts in {language}.",
            id=request.user,
            role=role.value,
            zone=who.zone,
            language=catalogues()[who.language].name,
        )
        return escape(words), settings_keyboard()

    async def _settings(self, request: Request, role: Role) -> Page:
        return self.wish(request.user, request.argument)

    def wish(self, user: int, wish: str) -> Page:
        """Set something for a person, and return the page that says what is set."""
        try:
            return self._preferences.take(user, wish)
        except WishError as error:
            return str(error), None

    async def _status(self, request: Request, role: Role) -> Page:
        status, positions = await asyncio.gather(
            self._ask(request, "status"), self._ask(request, "positions")
        )
        text = pages.status(status, positions)
        return text, status_keyboard(role, len(status.get("alerts") or []))

    async def _positions(self, request: Request, role: Role) -> Page:
        rows, exposure = await asyncio.gather(
            self._ask(request, "positions"), self._ask(request, "exposure")
        )
        word = request.argument
        if not word:
            return pages.positions(rows, exposure), refresh_keyboard("positions")
        found = [
            row
            for row in rows
            if word.upper() in {str(row.get(k)).upper() for k in ("underlying", "instrument")}
        ]
        now_ms = self._clock.now_ms()
        if not found:
            return escape(say("No position in {name}.", name=word)), None
        return "\n\n".join(pages.position(row, now_ms) for row in found[:5]), None

    async def _limits(self, request: Request, role: Role) -> Page:
        rows = await self._ask(request, "limits")
        return pages.limits(rows, self._clock.now_ms()), refresh_keyboard("limits")

    async def _inquire(self, request: Request, role: Role) -> Page:
        """Answer with a report; one whose words do not do says so."""
        inquiry = INQUIRIES[request.name]
        try:
            args = inquiry.read(request.argument.split())
        except UsageError as error:
            return escape(say("Usage: {usage}", usage=error)), None
        reply = await self._guard.ask(request.user, request.name, args)
        if not reply.ok:
            return escape(f"✖ {reply.message}"), None
        page = inquiry.render(reply.document, self._clock.now_ms())
        return page, None if args else refresh_keyboard(request.name)

    async def _test(self, request: Request, role: Role) -> Page:
        """Have a test alert sent; the answer is how each channel fared."""
        level = (request.argument or "orange").lower()
        message = ""
        async for reply in self._guard.follow(request.user, "test", {"level": level}):
            message = f"{'🧪' if reply.ok else '✖'} {reply.message}"
        return escape(message), None

    async def _ack(self, request: Request, role: Role) -> Page:
        if not request.argument:
            return helps.help_command("ack"), None
        alert_id = request.argument.split()[0].lstrip("#")
        reply = await self._guard.ask(request.user, "ack", {"id": alert_id})
        return escape(f"{'✅' if reply.ok else '✖'} {reply.message}"), None
