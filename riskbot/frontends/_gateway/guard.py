"""What the gateway needs of the rest of riskbot; `app` hands it over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import Side

Asked = (
    events.CommandReceived | events.OrderRequested | events.AmendRequested | events.CancelRequested
)


class View(Protocol):
    """The documents of one moment."""

    def get(self, name: str) -> Any:
        """Return a document, None when there is none of that name."""
        ...

    def order(self, strategy: str, client_order_id: str) -> dict[str, Any] | None:
        """Return a strategy's order as it stands now, None = it has none of that id."""
        ...

    def orders_of(self, strategy: str | None, most: int) -> list[dict[str, Any]]:
        """Return orders as they stand, the newest ones, in the order they were approved."""
        ...

    def is_cancelling(self, strategy: str, client_order_id: str) -> bool:
        """Whether a strategy's order is being cancelled already."""
        ...

    def closable(self, account: str, symbol: str, side: Side) -> Decimal:
        """Return what is held that an order of a side would close, base units, >= 0."""
        ...

    def is_priced(self, account: str, symbol: str) -> bool:
        """Whether an instrument of an account has a fresh price now."""
        ...


class Feed(Protocol):
    """What watches an account."""

    def wish(self, symbol: str) -> bool:
        """Watch an instrument that somebody wants to trade; True = its first price is to come."""
        ...


class Ask(Protocol):
    """Hands in what somebody asks, and yields the replies up to the final one."""

    def __call__(self, event: Asked, /) -> AsyncIterator[actions.SendReply]:
        """Ask."""
        ...


class Decisions(Protocol):
    """Reads the audit, newest first."""

    def __call__(
        self, *, before_seq: int | None = None, limit: int = 100
    ) -> Awaitable[list[dict[str, Any]]]:
        """Read."""
        ...


@dataclass(frozen=True)
class Guard:
    """The guard behind the doors.

    Attributes:
        ask: asks the core.
        latest_view: returns the newest view.
        decisions: reads the audit.
        feeds: by account.
        before: prepares a command that needs something read first.
        emit: takes events that nobody waits for.
        clock: time.
    """

    ask: Ask
    latest_view: Callable[[], View]
    decisions: Decisions
    feeds: Mapping[str, Feed]
    before: Callable[[events.CommandReceived], Awaitable[None]]
    emit: Callable[[events.Event], None]
    clock: Clock

    async def first_reply(self, event: Asked) -> actions.SendReply:
        """Ask, and return the first reply.

        Raises:
            RuntimeError: none came.
        """
        async with aclosing(self.ask(event)) as replies:  # type: ignore[type-var]
            async for reply in replies:
                return reply
        message = f"{event.kind} was not answered"
        raise RuntimeError(message)
