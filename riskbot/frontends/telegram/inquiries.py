"""Commands that ask for a report: how their words become the guard's arguments, and which page.

A new report is one entry here; the pages are in `reports`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from riskbot.frontends.telegram import pages, reports
from riskbot.frontends.telegram.reader import say
from riskbot.frontends.telegram.requests import number

Args = dict[str, Any]
Words = list[str]


class UsageError(Exception):
    """The words behind a command make no sense; the text says how they would."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One report.

    Attributes:
        read: turns the words behind the command into arguments; UsageError when it cannot.
        render: turns the guard's document into a page.
    """

    read: Callable[[Words], Args]
    render: Callable[[Any, float], str]


def _nothing(words: Words) -> Args:
    del words
    return {}


def _account(words: Words) -> Args:
    return {"account": words[0]} if words else {}


def _period(words: Words) -> Args:
    args: Args = {}
    for word in words[:2]:
        if word.lower() in {"day", "week", "month"}:
            args["period"] = word.lower()
        else:
            args["account"] = word
    return args


def _count(words: Words) -> Args:
    args: Args = {}
    for word in words[:2]:
        if word.lower() == "people":
            args["people"] = True
        elif word.isdecimal() and 1 <= int(word) <= 100:
            args["n"] = int(word)
        else:
            usage = say("/audit 20, or /audit people")
            raise UsageError(usage)
    return args


def _size(words: Words) -> Args:
    usage = say("/size BTC 61000 (instrument, then its stop; the stop may be left out)")
    if not words or len(words) > 3:
        raise UsageError(usage)
    args: Args = {"instrument": words[0]}
    for word in words[1:]:
        value = number(word)
        if value is None:
            args["account"] = word
        elif value > 0:
            args["stop"] = value
        else:
            raise UsageError(usage)
    return args


def _which(words: Words) -> Args:
    return {"which": words[0].lstrip("#")} if words else {}


def _alerts(document: Any, now_ms: float) -> str:
    if isinstance(document, dict):
        return reports.alert_story(document)
    if document and all(row.get("status") == "resolved" for row in document):
        return reports.ended(document)
    return pages.alerts(document, now_ms)


INQUIRIES: dict[str, Inquiry] = {
    "orders": Inquiry(_account, reports.orders),
    "pnl": Inquiry(_period, lambda doc, _: reports.pnl(doc)),
    "feeds": Inquiry(_nothing, reports.feeds),
    "health": Inquiry(_nothing, lambda doc, _: reports.health(doc)),
    "deadman": Inquiry(_nothing, lambda doc, _: reports.deadman(doc)),
    "size": Inquiry(_size, lambda doc, _: reports.size(doc)),
    "audit": Inquiry(_count, lambda doc, _: reports.audit(doc)),
    "users": Inquiry(_nothing, lambda doc, _: reports.users(doc)),
    "digest": Inquiry(_nothing, lambda doc, _: reports.digest(doc)),
    "alerts": Inquiry(_which, _alerts),
}
"""The registry of reports: by command."""
