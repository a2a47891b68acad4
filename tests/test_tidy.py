"""The house rules hold for every file, and each rule catches what is planted against it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tidy import dependencies, habits, sizes
from tests.tidy.source import Source, load

Rule = Callable[[list[Source]], list[str]]

ROOT = Path(__file__).parent.parent
RULES: tuple[Rule, ...] = dependencies.RULES + sizes.RULES + habits.RULES


@pytest.fixture(scope="module")
def house() -> list[Source]:
    return load(ROOT)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_keeps_the_rule(rule: Rule, house: list[Source]) -> None:
    faults = rule(house)
    assert not faults, "\n".join(faults)


def test_house_is_read_at_all(house: list[Source]) -> None:
    paths = {source.path for source in house}
    assert {"riskbot/core/model.py", "tests/test_tidy.py", "requirements.lock", "Makefile"} <= paths


def registries(house: list[Source], path: str) -> list[Source]:
    """Return what a file is judged beside: the lists that files are registered in."""
    return [s for s in house if s.path.endswith("__init__.py") and s.path != path]


def lines(*text: str) -> str:
    return "\n".join(text) + "\n"


def body(count: int, statement: str = "    x = 1") -> str:
    return lines("def long():", *[statement] * count)


LIMIT = lines("class MaxPlanted(Limit):", '    """One."""')
COMMAND = lines("PLANTED = Command(name='planted')")
BRANCHES = lines("def f(x):", *(f"    if x == {n}: return {n}" for n in range(10)))
NOTE, DIRE = "TO" + "DO", "FIX" + "ME"

# rule, path, text of a file that breaks it
PLANTED = [
    (dependencies.core_is_pure, "riskbot/core/planted.py", "import asyncio"),
    (dependencies.core_is_pure, "riskbot/core/planted.py", "from random import Random"),
    (dependencies.core_is_pure, "riskbot/core/stats/planted.py", "import pandas as pd"),
    (dependencies.core_is_pure, "riskbot/core/planted.py", "def f():\n    import logging"),
    (dependencies.core_is_pure, "riskbot/core/planted.py", "from riskbot import clock"),
    (dependencies.core_is_pure, "riskbot/core/planted.py", "from riskbot.journal import Journal"),
    (dependencies.core_is_pure, "riskbot/core/planted.py", "async def f():\n    pass"),
    (dependencies.core_is_pure, "riskbot/core/planted.py", "open('/etc/passwd')"),
    (
        dependencies.limits_see_only_the_book,
        "riskbot/core/limits/planted.py",
        "from riskbot.core.state import State",
    ),
    (
        dependencies.limits_see_only_the_book,
        "riskbot/core/limits/planted.py",
        "from riskbot.core.limits import presets",
    ),
    (
        dependencies.commands_are_apart,
        "riskbot/core/commands/planted.py",
        "from riskbot.core.commands.halt import Halt",
    ),
    (
        dependencies.rooms_are_apart,
        "riskbot/exchanges/planted.py",
        "from riskbot.channels._base import Channel",
    ),
    (
        dependencies.rooms_are_apart,
        "riskbot/frontends/planted.py",
        "from riskbot.core.engine import Engine",
    ),
    (
        dependencies.rooms_are_apart,
        "riskbot/channels/planted.py",
        "from riskbot.channels.webhook import post",
    ),
    (dependencies.rooms_are_apart, "riskbot/strategies/planted.py", "import riskbot.runner"),
    (dependencies.shell_meets_in_app, "riskbot/runner.py", "from riskbot.feed import Feed"),
    (dependencies.shell_meets_in_app, "riskbot/planted.py", "from riskbot import executor"),
    (
        dependencies.shell_meets_in_app,
        "riskbot/feed.py",
        "from riskbot.exchanges.unified import Unified",
    ),
    (
        dependencies.shell_meets_in_app,
        "riskbot/history/planted.py",
        "from riskbot.exchanges.unified import UnifiedExchange",
    ),
    (dependencies.shell_meets_in_app, "riskbot/history/planted.py", "from riskbot import journal"),
    (
        dependencies.only_the_command_line_imports_app,
        "riskbot/runner.py",
        "from riskbot.app import App",
    ),
    (
        dependencies.test_servers_are_independent,
        "tests/servers/planted.py",
        "from riskbot.core.model import Side",
    ),
    (sizes.lines_are_short, "riskbot/planted.py", "x = '" + "a" * 95 + "'"),
    (sizes.files_are_short, "riskbot/planted.py", "x = 1\n" * 401),
    (sizes.files_are_short, "riskbot/app.py", "x = 1\n" * 151),
    (sizes.functions_are_short, "riskbot/planted.py", body(60)),
    (sizes.functions_are_simple, "riskbot/planted.py", BRANCHES),
    (
        habits.broad_excepts_are_counted,
        "riskbot/planted.py",
        lines("try:", "    f()", "except (ValueError, Exception):", "    pass"),
    ),
    (
        habits.broad_excepts_are_counted,
        "riskbot/core/planted.py",
        lines("try:", "    f()", "except:", "    pass"),
    ),
    (
        habits.broad_excepts_are_counted,
        "riskbot/planted.py",
        lines("with contextlib.suppress(Exception):", "    f()"),
    ),
    (habits.notes_name_an_issue, "riskbot/planted.py", f"x = 1  # {NOTE}: later"),
    (habits.notes_name_an_issue, "tests/planted.py", f"# {DIRE} #12"),
    (habits.venues_stay_in_their_file, "riskbot/feed.py", "if exchange.id == 'bybit':\n    pass"),
    (habits.venues_stay_in_their_file, "riskbot/exchanges/unified.py", "is_okx = True"),
    (habits.venues_stay_in_their_file, "riskbot/exchanges/bybit.py", "import ccxt.pro.binance"),
    (habits.venues_stay_in_their_file, "riskbot/exchanges/okx.py", "NAME = 'bybit'"),
    (habits.everything_is_registered, "riskbot/core/limits/planted.py", LIMIT),
    (habits.everything_is_registered, "riskbot/core/commands/planted.py", COMMAND),
    (habits.nothing_is_scanned_for, "riskbot/core/limits/__init__.py", "import pkgutil"),
    (
        habits.nothing_is_scanned_for,
        "riskbot/channels/__init__.py",
        "from importlib.metadata import entry_points",
    ),
    (habits.fakes_are_written_by_hand, "tests/planted.py", "from unittest.mock import patch"),
    (habits.fakes_are_written_by_hand, "tests/planted.py", "from unittest import mock"),
    (habits.fakes_are_written_by_hand, "tests/planted.py", "def test_x(mocker): ..."),
    (
        habits.fakes_are_written_by_hand,
        "tests/planted.py",
        "def test_x(monkeypatch):\n    monkeypatch.setattr(a, 'b', 1)",
    ),
    (habits.no_registry_is_named, "docs/planted.md", "fetch it from " + "pypi" + ".org"),
    (habits.core_is_documented, "riskbot/core/planted.py", '"""Doc."""\ndef f(): ...'),
    (
        habits.core_is_documented,
        "riskbot/core/planted.py",
        '"""Doc."""\nclass A:\n    """Doc."""\n    def f(self): ...',
    ),
]


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED)
def test_planted_fault_is_caught(rule: Rule, path: str, text: str, house: list[Source]) -> None:
    faults = rule([*registries(house, path), Source(path, text)])
    assert any(fault.startswith(path) for fault in faults), faults


ALLOWED = [
    (dependencies.core_is_pure, "riskbot/core/planted.py", "import numpy as np\nimport math"),
    (
        dependencies.limits_see_only_the_book,
        "riskbot/core/limits/planted.py",
        "from riskbot.core.exposure import Book\nfrom riskbot.core.limits._base import Limit",
    ),
    (
        dependencies.rooms_are_apart,
        "riskbot/exchanges/planted.py",
        "from riskbot.core import events\nfrom riskbot.exchanges.unified import Unified",
    ),
    (
        dependencies.shell_meets_in_app,
        "riskbot/history/planted.py",
        "from riskbot.exchanges._base import DailyBars\nfrom riskbot.core import histories",
    ),
    (
        dependencies.only_the_command_line_imports_app,
        "riskbot/cli/run.py",
        "from riskbot.app import App",
    ),
    (sizes.functions_are_short, "riskbot/planted.py", body(59)),
    (sizes.functions_are_simple, "riskbot/planted.py", body(40)),
    (
        habits.broad_excepts_are_counted,
        "riskbot/planted.py",
        lines("try:", "    f()", "except BaseException:", "    undo()", "    raise"),
    ),
    (habits.notes_name_an_issue, "riskbot/planted.py", f"x = 1  # {NOTE}(#12): later"),
    (habits.venues_stay_in_their_file, "riskbot/planted.py", '"""As Binance does."""'),
    (habits.venues_stay_in_their_file, "riskbot/exchanges/bybit_orders.py", "NAME = 'bybit'"),
]


@pytest.mark.parametrize(("rule", "path", "text"), ALLOWED)
def test_good_file_is_not_blamed(rule: Rule, path: str, text: str, house: list[Source]) -> None:
    faults = rule([*registries(house, path), Source(path, text)])
    assert not [fault for fault in faults if fault.startswith(path)]


def test_registered_limit_is_not_blamed() -> None:
    registry = lines(
        "from riskbot.core.limits.planted import MaxPlanted",
        "LIMITS: tuple[type[Limit], ...] = (MaxPlanted,)",
    )
    sources = [
        Source("riskbot/core/limits/__init__.py", registry),
        Source("riskbot/core/limits/planted.py", LIMIT),
    ]
    assert habits.everything_is_registered(sources) == []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)
