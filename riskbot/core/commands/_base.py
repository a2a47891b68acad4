"""The contract of a command: name, role, arguments, plan and run.

A command that makes things safer is done at once; a riskier one (`is_risky`) answers with a
plan first, bound to the facts of that moment, and is carried out when the same person sends its
`plan_id` within the minute. Doors only parse and render; roles are checked here.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from riskbot.core.model import PORTFOLIO, Actor, Role, account_scope, strategy_scope

if TYPE_CHECKING:
    from riskbot.core.turn import Turn

PLAN_LIFE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer of a command.

    Attributes:
        document: the JSON document of spec.md section 10, None = only words.
        is_final: False when a later reply ends the command.
    """

    ok: bool
    message: str
    document: Any = None
    is_final: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What a riskier command would do.

    Attributes:
        message: one sentence for the prompt.
        details: figures shown with it, JSON values.
        fingerprint: changes when the facts moved enough to ask again.
        refusal: why it cannot be done now; empty = it can.
    """

    message: str
    details: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    refusal: str = ""


class Command(BaseModel):
    """Base of every command; its fields are its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    help: ClassVar[str]
    role: ClassVar[Role] = Role.VIEWER
    is_risky: ClassVar[bool] = False
    reads_only: ClassVar[bool] = False

    def needed_role(self, turn: Turn) -> Role:
        """Return the role this call needs; most commands need the same always."""
        del turn
        return self.role

    def needs_factor(self, turn: Turn) -> bool:
        """Return whether this call takes a one-time code, where one is configured."""
        del turn
        return False

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Return what a riskier command would do now."""
        del turn, actor
        return Plan("", refusal=f"{self.name} needs no plan")

    @abstractmethod
    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Carry the command out, or answer it."""


def scope_of(account: str | None, strategy: str | None = None) -> str:
    """Return the scope that arguments name: the portfolio when both are absent."""
    if strategy:
        return strategy_scope(strategy)
    return account_scope(account) if account else PORTFOLIO


def scope_named(turn: Turn, account: str | None) -> tuple[str, str]:
    """Return the scope an `account` argument names, and a sentence when there is no such one."""
    return scope_of(account), unknown_account(turn, account)


def accounts_named(turn: Turn, account: str | None) -> list[str]:
    """Return the accounts a command touches: the one named, or all."""
    return [account] if account else sorted(turn.settings.accounts)


def unknown_scope(turn: Turn, account: str | None, strategy: str | None) -> str:
    """Return a sentence when there is no such account or strategy, or both are named."""
    if strategy is None:
        return unknown_account(turn, account)
    if account is not None:
        return "name an account or a strategy, not both"
    if strategy in turn.settings.strategies:
        return ""
    names = ", ".join(sorted(turn.settings.strategies)) or "none"
    return f"no strategy {strategy!r}; configured: {names}"


def unknown_account(turn: Turn, account: str | None) -> str:
    """Return a sentence when no such account is configured, else an empty string."""
    if account is None or account in turn.settings.accounts:
        return ""
    names = ", ".join(sorted(turn.settings.accounts)) or "none"
    return f"no account {account!r}; configured: {names}"
