"""The HTML of the Bot API as its document describes it: supported tags, and what is refused."""

from __future__ import annotations

import re
from typing import Any

KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-spoiler": "spoiler",
    "a": "text_link",
    "span": "spoiler",
    "tg-emoji": "custom_emoji",
    "tg-time": "date_time",
}
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}

_TOKEN = re.compile(r"<(/?)([^<>]*)>|&(#?\w+);|<|[^<&]+|&", re.DOTALL)
_COMMAND = re.compile(r"(?<![\w/<])/[A-Za-z0-9_]{1,64}(@\w+)?")


class EntityError(Exception):
    """A text that cannot be parsed; the message is Telegram's description."""


def utf16(text: str) -> int:
    """Return the length of a text as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2


def parse(markup: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text and its entities.

    Raises:
        EntityError: as Telegram would refuse it.
    """
    text, entities = "", []
    open_tags: list[tuple[str, int]] = []
    for token in _TOKEN.finditer(markup):
        closing, tag, named = token[1], token[2], token[3]
        offset = len(markup[: token.start()].encode())
        if named is not None:
            text += _character(named, token[0])
        elif tag is None:
            if token[0] == "<":
                message = f"can't parse entities: Unclosed start tag at byte offset {offset}"
                raise EntityError(message)
            text += token[0]
        elif closing:
            entities += _close(tag, open_tags, text, offset)
        else:
            name = tag.split()[0].lower() if tag.split() else ""
            if name not in KINDS:
                message = (
                    f'can\'t parse entities: Unsupported start tag "{name}" at byte offset {offset}'
                )
                raise EntityError(message)
            open_tags.append((name, utf16(text)))
    if open_tags:
        name = open_tags[-1][0]
        message = f"can't parse entities: Can't find end tag corresponding to start tag \"{name}\""
        raise EntityError(message)
    return _stripped(text, entities)


def _character(named: str, raw: str) -> str:
    if named.startswith("#x"):
        return chr(int(named[2:], 16))
    if named.startswith("#"):
        return chr(int(named[1:]))
    return NAMED.get(named, raw)


def _close(
    tag: str, open_tags: list[tuple[str, int]], text: str, offset: int
) -> list[dict[str, Any]]:
    if not open_tags:
        message = f"can't parse entities: Unexpected end tag at byte offset {offset}"
        raise EntityError(message)
    name, start = open_tags.pop()
    if tag.strip().lower() not in {"", name}:
        message = (
            f"can't parse entities: Unmatched end tag at byte offset {offset}, "
            f'expected "</{name}>", found "</{tag}>"'
        )
        raise EntityError(message)
    length = utf16(text) - start
    return [{"type": KINDS[name], "offset": start, "length": length}] if length else []


def _stripped(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    bare = text.strip()
    return bare, sorted(entities + commands(bare, entities), key=lambda e: e["offset"])


def commands(text: str, entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the commands that Telegram makes tappable: outside of code."""
    fixed = [e for e in entities if e["type"] in {"code", "pre"}]
    found = []
    for match in _COMMAND.finditer(text):
        at = utf16(text[: match.start()])
        if not any(e["offset"] <= at < e["offset"] + e["length"] for e in fixed):
            found.append({"type": "bot_command", "offset": at, "length": utf16(match[0])})
    return found
