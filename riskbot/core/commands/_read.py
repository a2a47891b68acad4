"""Commands that only read: each answers with a document of `views`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from riskbot.core.commands._base import Command, Reply, scope_named

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class ReadCommand(Command):
    """A command whose answer is a view."""

    account: str | None = None

    @abstractmethod
    def document(self, turn: Turn) -> Any:
        """Return the JSON document."""

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with the view; `account` narrows lists of rows."""
        del actor, request_id
        document = self.document(turn)
        if self.account and isinstance(document, list):
            wanted = {self.account, f"account:{self.account}"}
            document = [row for row in document if wanted & {row.get("account"), row.get("scope")}]
        return Reply(ok=True, message="", document=document)


class ScopeCommand(Command):
    """A command whose answer is a view of one scope: the portfolio, or the account named."""

    account: str | None = None

    @abstractmethod
    def document(self, turn: Turn, scope: str) -> Any:
        """Return the JSON document."""

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer with the view."""
        del actor, request_id
        scope, fault = scope_named(turn, self.account)
        if fault:
            return Reply(ok=False, message=fault)
        return Reply(ok=True, message="", document=self.document(turn, scope))
