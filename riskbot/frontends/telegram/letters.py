"""What is sent: texts and photos, cut to what Telegram takes, with markup or without."""

from __future__ import annotations

import re
from typing import Any

from aiogram.methods import EditMessageMedia, EditMessageText, SendMessage, SendPhoto

TEXT_MAX = 4096

Method = SendMessage | EditMessageText | SendPhoto | EditMessageMedia

Picture = bytes | str
"""A PNG, or the id of one that Telegram has."""


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


def fitting(text: str) -> str:
    """Return a text within Telegram's limit; cut at a line, with its tags closed."""
    if len(text) <= TEXT_MAX:
        return text
    kept = text[: TEXT_MAX - 100]
    kept = kept[: kept.rfind("\n")] if "\n" in kept else plain(kept)
    for tag in ("b", "code", "pre"):
        if kept.count(f"<{tag}>") > kept.count(f"</{tag}>"):
            kept += f"</{tag}>"
    return kept + "\n…"
