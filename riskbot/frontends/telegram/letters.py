"""What is sent: texts, photos and files, cut to what Telegram takes, with markup or without."""

from __future__ import annotations

import re
from typing import Any

from aiogram.methods import (
    EditMessageMedia,
    EditMessageText,
    SendDocument,
    SendMessage,
    SendPhoto,
)
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    LinkPreviewOptions,
)

from riskbot.frontends.telegram.reader import say

TEXT_MAX = 4_000
"""UTF-16 units of one message without its markup; Telegram takes 96 more."""

CAPTION_MAX = 1_000
PARTS_MAX = 3
"""Messages of one text; what is left then is a file."""

Method = SendMessage | EditMessageText | SendPhoto | EditMessageMedia | SendDocument

Picture = bytes | str
"""A PNG, or the id of one that Telegram has."""

_TAG = re.compile(r"<(/?)([a-z][a-z0-9-]*)([^<>]*)>")
_TOKEN = re.compile(r"</?[a-z][^<>]*>|&#?\w{1,8};|.", re.DOTALL)
_HEAD = re.compile(r"[^\d\s]+(?: [^\d\s]+)*(?: {2,}[^\d\s]+(?: [^\d\s]+)*)+ *")


def message(chat: int, text: str, *, is_silent: bool) -> SendMessage:
    """Return a message of HTML."""
    return SendMessage(
        chat_id=chat,
        text=text,
        parse_mode="HTML",
        disable_notification=is_silent or None,
        link_preview_options=LinkPreviewOptions(is_disabled=True),
    )


def rest(chat: int, text: str) -> SendDocument:
    """Return what was too long for messages as a file."""
    return SendDocument(
        chat_id=chat,
        document=BufferedInputFile(text.encode("utf-8", "replace"), "rest.txt"),
        caption=say("The rest: {count} lines", count=text.count("\n") + 1),
        disable_notification=True,
    )


def photograph(
    chat: int,
    picture: Picture,
    caption: str,
    keyboard: InlineKeyboardMarkup | None,
    instead_of: int | None,
) -> SendPhoto | EditMessageMedia:
    """Return a photo, new or in place of what a message holds."""
    file = picture if isinstance(picture, str) else BufferedInputFile(picture, "chart.png")
    caption = fitting(caption, CAPTION_MAX)
    if instead_of is None:
        return SendPhoto(
            chat_id=chat, photo=file, caption=caption, parse_mode="HTML", reply_markup=keyboard
        )
    media = InputMediaPhoto(media=file, caption=caption, parse_mode="HTML")
    return EditMessageMedia(chat_id=chat, message_id=instead_of, media=media, reply_markup=keyboard)


def made_plain(method: Method) -> bool:
    """Take the markup out of a text; False when there is none to take out."""
    holder: Any = method.media if isinstance(method, EditMessageMedia) else method
    if holder.parse_mode is None:
        return False
    name = "text" if hasattr(holder, "text") else "caption"
    bare = {"parse_mode": None, name: plain(getattr(holder, name))}
    if isinstance(method, EditMessageMedia):
        method.media = holder.model_copy(update=bare)
    else:
        for key, value in bare.items():
            setattr(method, key, value)
    return True


def plain(text: Any) -> str:
    """Return a text without its markup."""
    bare = re.sub(r"</?[a-z][^<>]*>", "", str(text))
    return bare.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def length(text: str) -> int:
    """Return the length of HTML as Telegram counts it: UTF-16 units, without the markup."""
    return len(plain(text).encode("utf-16-le", "surrogatepass")) // 2


def fitting(text: str, most: int = TEXT_MAX) -> str:
    """Return HTML within a limit; cut at a line, with its tags closed and a note."""
    if length(text) <= most:
        return text
    first, *rest = split(text, most - 60)
    lines = sum(part.count("\n") + 1 for part in rest)
    return f"{first}\n{say('✂ {count} more lines: ask anew for all of it', count=lines)}"


def parts(text: str) -> tuple[list[str], str]:
    """Return the messages of a text, and what is left for a file, without markup."""
    messages = split(text) if length(text) > TEXT_MAX else [text]
    return messages[:PARTS_MAX], "\n".join(plain(part) for part in messages[PARTS_MAX:])


def split(text: str, most: int = TEXT_MAX) -> list[str]:
    """Return HTML in pieces within a limit: split at lines, each with its tags closed.

    Where a table goes on in the next piece, its head stands there again.
    """
    pieces: list[str] = []
    piece: list[str] = []
    units, tags, head = 0, _Tags(), ""
    for line in _lines(text, most // 2):
        size = length(line) + 1
        if piece and units + size > most:
            pieces.append("\n".join(piece) + tags.closing())
            piece = [head] if head and "pre" in tags.names() else []
            units = sum(length(part) + 1 for part in piece)
            piece.append(line)
            piece[0] = tags.opening() + piece[0]
        else:
            piece.append(line)
        units += size
        if "<pre>" in line:
            first = line.partition("<pre>")[2]
            head = first if _HEAD.fullmatch(first) else ""
        tags.read(line)
    pieces.append("\n".join(piece))
    return [part for part in pieces if plain(part).strip()] or [text]


class _Tags:
    """The tags that are open, outermost first."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []

    def read(self, line: str) -> None:
        for found in _TAG.finditer(line):
            if not found[1]:
                self._open.append((found[2], found[0]))
            elif self._open:
                self._open.pop()

    def names(self) -> list[str]:
        return [name for name, _ in self._open]

    def opening(self) -> str:
        return "".join(tag for _, tag in self._open)

    def closing(self) -> str:
        return "".join(f"</{name}>" for name in reversed(self.names()))


def _lines(text: str, most: int) -> list[str]:
    """Return the lines of HTML; one that is too long in pieces, no tag or entity torn."""
    lines: list[str] = []
    for line in text.split("\n"):
        if length(line) <= most:
            lines.append(line)
            continue
        piece, units = "", 0
        for token in _TOKEN.findall(line):
            size = length(token)
            if units + size > most:
                lines.append(piece)
                piece, units = "", 0
            piece += token
            units += size
        lines.append(piece)
    return lines
