"""/var, /stress and /correlation: what their words ask the guard for, and which chart answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from riskbot.frontends.telegram import kinships, stresses, tails
from riskbot.frontends.telegram.charts import Chart
from riskbot.frontends.telegram.pages import Document
from riskbot.frontends.telegram.reader import say
from riskbot.frontends.telegram.stresses import SUGGEST

KINDS = ("var", "stress", "correlation")
ALL = "all"
"""What stands for no argument: buttons need one."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        kind: one of `KINDS`.
        argument: the words behind the command, `ALL` = there were none.
        accounts: names of those that are configured.
    """

    kind: str
    argument: str
    accounts: Collection[str]

    @property
    def args(self) -> dict[str, Any]:
        """Arguments of the guard's command."""
        words = self.argument.split()
        if words[:1] == [ALL]:
            words = words[1:]
        if self.kind != "stress":
            return {"account": " ".join(words)} if words else {}
        return self._stress(words)

    def _stress(self, words: list[str]) -> dict[str, Any]:
        args: dict[str, Any] = {}
        if words and words[0].lower() == SUGGEST:
            args["suggest"], words = True, words[1:]
        # Shocks end with a percentage, and scenarios have one word: a name behind is an account's.
        if words and words[-1] in self.accounts:
            args["account"], words = words[-1], words[:-1]
        if not words:
            return args
        shocks = " ".join(words)
        if "%" in shocks or "," in shocks or len(words) > 1:
            return args | {"simulate": shocks}
        return args | {"scenario": shocks.lower()}

    @property
    def scope(self) -> str:
        """Whose book, as people call it."""
        return str(self.args.get("account") or say("all accounts"))


def said(argument: str) -> str:
    """Return an argument as it is kept and stands on buttons."""
    return " ".join(argument.split()) or ALL


def answer(question: Question, status: Document, document: Document) -> Chart:
    """Return the chart that answers a question.

    Args:
        question: what was asked.
        status: the guard's.
        document: what the guard answered.
    """
    args: Mapping[str, Any] = question.args
    account = str(args.get("account") or "")
    if question.kind == "var":
        return tails.tail(status, document, question.scope, account or ALL)
    if question.kind == "correlation":
        return kinships.kinship(status, document, question.scope, account or ALL)
    if args.get("suggest"):
        words = question.argument.partition(" ")[2]
        return stresses.suggestion(status, document, question.scope, words)
    if "scenario" in args or "simulate" in args:
        return stresses.detail(status, document, question.scope, question.argument, account)
    return stresses.overview(status, document, question.scope, account)
