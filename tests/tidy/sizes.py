"""How long and how branched things may be."""

from __future__ import annotations

import ast
import re

from tests.tidy.source import Source, python

LINE_MAX = 100
FUNCTION_MAX = 60
FILE_MAX = 400
STORY_MAX = 700
"""A file of tests is a row of stories, read one at a time: splitting it by length helps nobody."""

COMPLEXITY_MAX = 10

# A file with a cap of its own, and why.
FILE_CAPS: dict[str, int] = {
    # Closed vocabularies, read as tables: all that can happen, all it could ever do, in one place.
    "riskbot/core/actions.py": 780,
    "riskbot/core/events.py": 720,
    # One line or two for each question the core asks of its state: a table of contents.
    "riskbot/core/state.py": 480,
    "riskbot/app.py": 150,  # it lists the parts; what it would do beyond that belongs in one
}

_PRAGMA = re.compile(r"\s+# (?:type: ignore|noqa)\b.*$")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines_are_short(sources: list[Source]) -> list[str]:
    """Find lines beyond the cap."""
    return [
        f"{source.path}:{number}: {len(line)} characters, at most {LINE_MAX}"
        for source in python(sources, "riskbot", "tests")
        for number, line in enumerate(source.text.splitlines(), 1)
        # A trailing word to the type checker does not count, as in ruff.
        if len(_PRAGMA.sub("", line)) > LINE_MAX
    ]


def files_are_short(sources: list[Source]) -> list[str]:
    """Find files beyond the cap."""
    faults = []
    for source in python(sources, "riskbot", "tests"):
        is_story = source.path.startswith("tests/") and "/test_" in source.path
        cap = FILE_CAPS.get(source.path, STORY_MAX if is_story else FILE_MAX)
        count = len(source.text.splitlines())
        if count > cap:
            faults.append(f"{source.path}: {count} lines, at most {cap}")
    return faults


def functions_are_short(sources: list[Source]) -> list[str]:
    """Find functions beyond the cap, docstring included, decorators not."""
    faults = []
    for source in python(sources, "riskbot", "tests"):
        for node in ast.walk(source.tree):
            if isinstance(node, Function):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > FUNCTION_MAX:
                    where = f"{source.path}:{node.lineno}"
                    faults.append(f"{where}: {node.name} has {count} lines, at most {FUNCTION_MAX}")
    return faults


def _branches(node: ast.AST) -> int:
    """Ways through one statement beyond the first, as McCabe counts them."""
    if isinstance(node, ast.If | ast.For | ast.AsyncFor | ast.While | ast.ExceptHandler):
        return 1
    if isinstance(node, ast.Try):
        return 1 if node.orelse else 0
    if isinstance(node, ast.Match):
        last = node.cases[-1]
        is_wildcard = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        return len(node.cases) - (1 if is_wildcard and last.guard is None else 0)
    return 0


def complexity(function: Function) -> int:
    """McCabe number: 1 + branches, those of nested functions included.

    A match at the top of a function is a table, read row by row: its cases do not count, what they
    do does. (ruff counts them: such a function carries a `noqa: C901`.)
    """
    tables = [node for node in function.body if isinstance(node, ast.Match)]
    return 1 + sum(_branches(node) for node in ast.walk(function) if node not in tables)


def functions_are_simple(sources: list[Source]) -> list[str]:
    """Find functions with too many ways through them."""
    return [
        f"{source.path}:{node.lineno}: {node.name} branches {number} ways, at most {COMPLEXITY_MAX}"
        for source in python(sources, "riskbot", "tests")
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and (number := complexity(node)) > COMPLEXITY_MAX
    ]


RULES = (lines_are_short, files_are_short, functions_are_short, functions_are_simple)
