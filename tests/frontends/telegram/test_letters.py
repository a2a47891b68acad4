"""Texts that are too long: in parts that Telegram takes, as it counts them."""

from __future__ import annotations

import random

import pytest

from riskbot.frontends.telegram import letters
from tests.servers.telegram_chats import TEXT_MAX
from tests.servers.telegram_html import parse, utf16

HEAD = "Symbol   Side         USD     uPnL"


def table(rows: int) -> str:
    body = "\n".join(f"{n:04d} &lt;b   L 3x      42 100   -612.4" for n in range(rows))
    return f"<b>Positions</b>\n<pre>{HEAD}\n{body}</pre>\nat <code>12:44</code>"


def shown(part: str) -> str:
    """Return a part as Telegram shows it; it must take it."""
    text, _ = parse(part)
    assert 0 < utf16(text) <= TEXT_MAX
    return text


def test_short_text_stays_as_it_is() -> None:
    assert letters.parts("<b>a</b>\n\nb") == (["<b>a</b>\n\nb"], "")


def test_long_table_is_split_at_rows_under_its_head() -> None:
    parts, left = letters.parts(table(250))
    texts = [shown(part) for part in parts]
    assert left == ""
    assert len(texts) == 3
    assert [text.count(HEAD) for text in texts] == [1, 1, 1]
    rows = [line for text in texts for line in text.splitlines() if line[:4].isdigit()]
    assert [int(row[:4]) for row in rows] == list(range(250))
    assert all(row.endswith("-612.4") for row in rows)
    # Every part of the table is monospaced, and what follows it is not.
    assert all(part.count("<pre>") == part.count("</pre>") == 1 for part in parts)
    assert parts[-1].endswith("</pre>\nat <code>12:44</code>")


def test_first_row_of_a_table_without_a_head_is_not_repeated() -> None:
    rows = "\n".join(f"limit {name}\nRED ▓▓▓ 5.2%" for name in map(str, range(400)))
    texts = [shown(part) for part in letters.parts(f"<pre>drawdown\n{rows}</pre>")[0]]
    assert len(texts) > 1
    assert sum(text.count("drawdown") for text in texts) == 1


def test_what_three_messages_cannot_hold_is_left_without_markup() -> None:
    parts, left = letters.parts(table(1_000))
    assert len(parts) == letters.PARTS_MAX
    assert "<pre>" not in left
    assert "&lt;" not in left
    assert "<b " in left
    assert "0999" in left
    numbers = [line[:4] for line in "\n".join([*parts, left]).splitlines() if line[:4].isdigit()]
    assert numbers == [f"{n:04d}" for n in range(1_000)]


@pytest.mark.parametrize("unit", ["😀", "&lt;", "é", "<b>x</b>", "\U0001f9ef&amp;"])
def test_line_without_an_end_is_cut_between_its_characters(unit: str) -> None:
    whole = f"<b><code>{unit * 6_000}</code></b>" if unit[0] != "<" else unit * 6_000
    parts, left = letters.parts(whole)
    texts = [shown(part) for part in parts]
    joined = "".join([*texts, left]).replace("\n", "")
    assert joined == letters.plain(unit) * 6_000


def test_nested_tags_are_closed_and_opened_again_in_any_text() -> None:
    rng = random.Random(7)
    for _ in range(60):
        words: list[str] = []
        stack: list[str] = []
        for _ in range(1_500):
            kind = rng.random()
            if kind < 0.05 and len(stack) < 4:
                stack.append(rng.choice(["b", "i", "u", "code"]))
                words.append(f"<{stack[-1]}>")
            elif kind < 0.09 and stack:
                words.append(f"</{stack.pop()}>")
            else:
                words.append(rng.choice(["word ", "&amp; ", "\n", "😀", "x" * rng.randrange(90)]))
        whole = "".join(words) + "".join(f"</{tag}>" for tag in reversed(stack))
        pieces = letters.split(whole)
        assert len(pieces) > 1
        together = "".join("".join(shown(piece).split()) for piece in pieces)
        assert together == "".join(parse(whole)[0].split())


def test_edit_is_cut_with_a_note() -> None:
    cut = letters.fitting(table(1_000))
    text = shown(cut)
    assert text.splitlines()[-1].startswith("✂ ")
    assert "more lines" in text.splitlines()[-1]
    assert letters.fitting("short") == "short"


def test_blank_text_is_left_alone() -> None:
    assert letters.parts("\n" * 9_000) == (["\n" * 9_000], "")
