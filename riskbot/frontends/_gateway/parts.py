"""What of the configuration concerns the gateway, put together once for every door before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from riskbot.clock import Clock
from riskbot.core import actions, events
from riskbot.core.model import Role
from riskbot.frontends._gateway.asking import Asking
from riskbot.frontends._gateway.guard import Ask, Decisions, Feed, Guard, View
from riskbot.frontends._gateway.logins import Logins
from riskbot.frontends._gateway.tokens import Caller


class Gateway:
    """The guard as strategies reach it.

    Args:
        root: the configuration's sections.
        ask: asks the core.
        latest_view: returns the newest view.
        decisions: reads the audit.
        feeds: by account.
        before: prepares a command that needs something read first.
        emit: takes events that nobody waits for.
        clock: time.

    Attributes:
        guard: what is behind the doors.
        logins: who may come in.
        asking: asks for orders.
    """

    def __init__(
        self,
        root: Any,
        ask: Ask,
        latest_view: Callable[[], View],
        decisions: Decisions,
        feeds: Mapping[str, Feed],
        before: Callable[[events.CommandReceived], Awaitable[None]],
        emit: Callable[[events.Event], None],
        clock: Clock,
    ) -> None:
        # An account with an allow-list watches all of it, and trades nothing else.
        is_open = {name for name, account in root.accounts.items() if not account.instruments}
        watching = _Open(feeds, is_open)
        self.guard = Guard(ask, latest_view, decisions, watching, before, emit, clock)
        self._root = root
        self.logins = Logins(_callers(root, root), clock, emit)
        rates = {name: each.request_rate for name, each in root.gateway.strategies.items()}
        self.asking = Asking(self.guard, rates)
        self._listeners: list[Callable[[actions.NotifyOrder], None]] = []

    def reload(self, root: Any) -> None:
        """Know the tokens of these sections from now on, and none of those before.

        A strategy that is new needs a restart, and keeps out until then; one that is gone is out.
        """
        self.logins.replace(_callers(root, self._root))

    def subscribe(self, listener: Callable[[actions.NotifyOrder], None]) -> None:
        """Tell somebody of every order's life; it never waits or raises."""
        self._listeners.append(listener)

    def notify(self, action: actions.NotifyOrder) -> None:
        """Tell of an order. Never waits."""
        for listener in self._listeners:
            listener(action)


class _Open(Mapping[str, Feed]):
    """Feeds of the accounts that trade whatever the venue lists; `app` fills them in later."""

    def __init__(self, feeds: Mapping[str, Feed], is_open: set[str]) -> None:
        self._feeds, self._is_open = feeds, is_open

    def __getitem__(self, name: str) -> Feed:
        if name not in self._is_open:
            raise KeyError(name)
        return self._feeds[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._feeds if name in self._is_open)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _callers(root: Any, started: Any) -> Iterator[tuple[str, Caller]]:
    """Yield the tokens of a configuration; accounts are those riskbot was started with."""
    if root.http is not None:
        for role in Role:
            if (token := getattr(root.http, f"{role.value}_token")) is not None:
                yield token.get_secret_value(), Caller(f"http:{role.value}", role)
        if (token := root.http.investor_token) is not None:
            yield token.get_secret_value(), Caller("http:investor")
    for name, strategy in root.gateway.strategies.items():
        if strategy.token is not None and name in started.gateway.strategies:
            secret = strategy.hmac_secret
            known = Caller(
                f"strategy:{name}",
                strategy=name,
                accounts=tuple(started.gateway.strategies[name].accounts),
                signs_with=b"" if secret is None else secret.get_secret_value().encode(),
            )
            yield strategy.token.get_secret_value(), known
