"""For whom a text is made: the zone, language and theme of who reads it, and texts in them.

Who reads is said once, where a message is handled or a chat is told something (`reading`); what
makes texts asks for them by their English words (`say`). Who reads what is in `people`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from zoneinfo import ZoneInfo

from riskbot.frontends.telegram.languages import ENGLISH, translation

DARK, LIGHT = "dark", "light"


@dataclass(frozen=True, slots=True)
class Reader:
    """How somebody reads.

    Attributes:
        zone: of every time that is shown.
        language: of every text that is riskbot's own.
        theme: of pictures, `dark` or `light`.
    """

    zone: ZoneInfo
    language: str = ENGLISH
    theme: str = DARK


_PLAIN = Reader(ZoneInfo("UTC"))
_READER: ContextVar[Reader] = ContextVar("reader", default=_PLAIN)

Text = str | Callable[[], str]
"""A text, or what makes it for whoever reads it then."""


def reader() -> Reader:
    """Return who reads what is made now."""
    return _READER.get()


@contextmanager
def reading(who: Reader) -> Iterator[None]:
    """Make what is made in this block, and in the tasks that it starts, for this reader."""
    token = _READER.set(who)
    try:
        yield
    finally:
        _READER.reset(token)


def phrase(text: str) -> str:
    """Return a text as it is: one that `say` is asked for later, by a table it stands in."""
    return text


def say(text: str, /, **values: object) -> str:
    """Return a text in the reader's language, its `{placeholders}` filled.

    Args:
        text: in English, as the catalogues have it.
        values: by placeholder; figures and times are as `figures` writes them.
    """
    found = translation(_READER.get().language, text)
    if not values:
        return found
    try:
        return found.format(**values)
    except (LookupError, ValueError):
        # A slip in one catalogue must not take an alert along.
        return text.format(**values)


def later(text: str, /, **values: object) -> Callable[[], str]:
    """Return what says a text to each who comes to read it."""
    return partial(say, text, **values)


def bound(make: Callable[[], str]) -> Callable[[], str]:
    """Return what makes a text for the reader of now, whoever's task comes to ask for it."""
    return partial(copy_context().run, make)


def made(text: Text) -> str:
    """Return a text for the reader."""
    return text if isinstance(text, str) else text()
