from __future__ import annotations

import io

import pytest
from rich.console import Console

from riskbot.console.screen import Screen
from tests.console.test_narrator import hold, limit, position, status


def drawn(width: int, height: int) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    screen = Screen(console)
    levels = [limit(), limit("drawdown", "red", measured=0.16, limit=0.15, on_breach="flatten")]
    screen.show(status(limits=levels, holds=[hold()], trading_state="HALTED"), [position()])
    screen.show(status(limits=levels, equity_usd=90_000.0), [])
    with console.capture() as capture:
        console.print(screen.render(status(limits=levels), [position()]))
    return capture.get()


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("height", [24, 50])
def test_picture_fits_the_terminal_and_shows_the_essentials(width: int, height: int) -> None:
    text = drawn(width, height)
    assert len(text.rstrip("\n").split("\n")) < height
    for words in ("ACTIVE", "net exposure", "BTC", "what happens", "why"):
        assert words in text, words


def test_screen_when_over_tells_what_is_new_as_lines() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, height=50, force_terminal=True)
    with Screen(console) as screen:
        screen.show(status(), [position()])
        screen.end(["the end"])
        out.truncate(0)
        screen.show(status(trading_state="HALTED"), [position()])
    assert "trading state: HALTED" in out.getvalue()


def test_positions_when_there_are_none_say_flat() -> None:
    console = Console(file=io.StringIO(), width=100, height=50, force_terminal=True)
    with console.capture() as capture:
        console.print(Screen(console).render(status(), []))
    assert "none: flat" in capture.get()
