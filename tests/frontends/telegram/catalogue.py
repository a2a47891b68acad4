"""What the code says: every text that a catalogue must have, found in the sources."""

from __future__ import annotations

import ast
import string
from pathlib import Path

from riskbot.core.commands import COMMANDS
from riskbot.frontends.telegram import helps

ROOM = Path(helps.__file__).parent
SAYING = frozenset({"say", "later", "phrase"})


def said_in(source: str) -> tuple[set[str], list[int]]:
    """Return the texts that a source says, and the lines where it says what nobody can translate.

    A text that is asked for by a name must come from a table of phrases; one that is put together
    on the spot (an f-string, a sum) is in no catalogue.
    """
    texts, loose = set(), []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id not in SAYING or not node.args:
                continue
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                texts.add(text.value)
            elif isinstance(text, ast.JoinedStr | ast.BinOp | ast.IfExp):
                loose.append(node.lineno)
    return texts, loose


def all_said() -> set[str]:
    """Return every text that the frontend says, with the help of the commands it offers."""
    texts = {c.help for c in COMMANDS if c.name not in helps.HIDDEN}
    for path in sorted(ROOM.glob("*.py")):
        texts |= said_in(path.read_text(encoding="utf-8"))[0]
    return texts


def placeholders(text: str) -> list[str]:
    """Return the names in braces, sorted."""
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)
