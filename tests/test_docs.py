"""The runbook and the code know the same alerts; links inside the documentation lead somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from riskbot.core.duty import IntentKind
from riskbot.core.feeds import ACCOUNT, PRICES
from riskbot.core.limits import LIMITS

ROOT = Path(__file__).parents[1]
CORE = ROOT / "riskbot" / "core"
RUNBOOK = ROOT / "docs" / "runbook.md"
TELLING = frozenset({"tell", "once"})

# Names that are put together when they are told, by the parts that stand in the code.
MADE: dict[str, set[str]] = {
    "cannot_*": {f"cannot_{kind.value}" for kind in IntentKind},
    "feed_*": {f"feed_{feed}" for feed in (PRICES, ACCOUNT)},
    "episode.limit": {limit.name for limit in LIMITS},
}


def _shape(node: ast.expr, scope: ast.AST) -> str:
    """Return a name as it stands in the code: itself, its fixed parts with stars, or its source."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in node.values)
    if isinstance(node, ast.Name):
        for target, value in _assignments(scope):
            if isinstance(target, ast.Name) and target.id == node.id:
                return _shape(value, scope)
    return ast.unparse(node)


def _assignments(scope: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in ast.walk(scope):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(target.elts, node.value.elts, strict=True)
            else:
                yield target, node.value


def told(source: str) -> set[str]:
    """Return the shapes of the alert names that a module tells."""
    found = set()
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in TELLING
                and ast.unparse(node.func.value) == "alerts"
            ):
                found.add(_shape(node.args[1], function))
    return found


def alert_names() -> set[str]:
    shapes = set().union(*(told(path.read_text()) for path in CORE.rglob("*.py")))
    return set().union(*(MADE.get(shape, {shape}) for shape in shapes))


def described() -> set[str]:
    """Return the names that have a section, or a row in the table of limits, below Alerts."""
    alerts = RUNBOOK.read_text().split("\n## Alerts\n")[1].split("\n## ")[0]
    return set(re.findall(r"^(?:### |\| )`([a-z_]+)`", alerts, re.MULTILINE))


def test_every_alert_has_a_place_in_the_runbook() -> None:
    assert not alert_names() - described()


def test_the_runbook_describes_no_alert_that_is_never_told() -> None:
    assert not described() - alert_names()


def test_every_section_says_what_it_means_what_was_done_and_what_to_do() -> None:
    alerts = RUNBOOK.read_text().split("\n## Alerts\n")[1].split("\n### Limits\n")[0]
    for section in alerts.split("\n### ")[1:]:
        title, _, text = section.partition("\n")
        for part in ("**Means.** ", "**riskbot did.** ", "**You.** "):
            assert part in text, f"{title} lacks {part}"


@pytest.mark.parametrize(
    ("source", "shapes"),
    [
        ('def f():\n    alerts.tell(turn, "storage", scope)', {"storage"}),
        ('def f():\n    alerts.once(turn, f"cannot_{kind}", scope)', {"cannot_*"}),
        ('def f():\n    name, scope = "a", "b"\n    alerts.tell(turn, name, scope)', {"a"}),
        ("def f(e):\n    alerts.tell(turn, e.limit, scope)", {"e.limit"}),
        ('def f():\n    alerts.resolve(turn, "storage", scope)', set()),
    ],
)
def test_names_are_found_when_they_are_told(source: str, shapes: set[str]) -> None:
    assert told(source) == shapes


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = path.parent / name if name else path
        assert found.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in {_anchor(h) for h in headings}, f"{path.name} links to {target}"
