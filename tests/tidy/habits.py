"""What may stand in a file: excepts, notes, names, docstrings, registries."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from tests.tidy.source import Source, imports, modules, python

# Where everything may be caught, how often, and why nothing narrower would do.
BROAD_EXCEPTS: dict[str, tuple[int, str]] = {
    "riskbot/__main__.py": (1, "whatever it was, the exit code 70 is part of the contract"),
    "riskbot/channels/apprise.py": (1, "a plug-in may raise anything, and its words hold secrets"),
    "riskbot/channels/_lane.py": (1, "a bug in one channel must not silence the others"),
    "riskbot/frontends/http/door.py": (1, "one request's bug is its answer, not the door's end"),
    "riskbot/frontends/http/parts.py": (1, "nothing of HTTP may end the guard"),
    "riskbot/frontends/mqtt/orders.py": (1, "one request's bug is its answer, not the door's end"),
    "riskbot/frontends/mqtt/parts.py": (1, "nothing of MQTT may end the guard"),
    "riskbot/strategies/__init__.py": (1, "nothing of a strategy may end the guard"),
    "riskbot/frontends/telegram/polling.py": (
        2,
        "whatever an update or a poll holds, the next one must come",
    ),
    "riskbot/core/state.py": (1, "a limit whose check raises is UNKNOWN; the others must go on"),
    "riskbot/exchanges/_tap.py": (1, "a frame may hold anything, and must not end the loop"),
    "riskbot/executor.py": (1, "a bug in an adapter must not lose the outcome of an order"),
    "riskbot/feed/feed.py": (
        2,
        "an answer or a stream nobody can read makes an account BLIND, not all",
    ),
    "riskbot/history/service.py": (1, "a past nobody can read is unknown, and must not end it all"),
    "riskbot/log.py": (1, "a line that cannot be formatted must not end what it tells of"),
    "riskbot/runner/dispatch.py": (1, "an effect that cannot be handed over must not stop others"),
    "riskbot/runner/recovery.py": (2, "a fold that breaks is told by the record's number"),
    "riskbot/runner/runner.py": (1, "a bug in the core: quarantine, rebuild, go on"),
}

VENUES = re.compile(
    r"binance|bybit|okx|kraken|bitget|bitmex|bingx|kucoin|hyperliquid|deribit|gateio|coinbase|mexc",
    re.IGNORECASE,
)

REGISTRY_HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "proxy.golang" + ".org",
    "crates" + ".io",
    "docker" + ".io",
)

# Notes by a word that must be followed by an issue, and words that never stay.
LOOSE_TODO = re.compile(r"\bTODO\b(?!\s*\(?#\d+)", re.IGNORECASE)
FORBIDDEN_NOTE = re.compile(r"\b(FIXME|XXX|HACK)\b")


def _is_broad(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(part) for part in kind.elts)
    return isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}


def _swallows(node: ast.AST) -> bool:
    """Whether it catches everything and keeps it."""
    if isinstance(node, ast.ExceptHandler):
        # Clean up and raise again: nothing is swallowed.
        is_passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        return _is_broad(node.type) and not is_passed_on
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return any(_is_broad(argument) for argument in node.args)
    return False


def broad_excepts_are_counted(sources: list[Source]) -> list[str]:
    """Find places that catch everything, beyond those named in `BROAD_EXCEPTS`, and stale names."""
    found: Counter[str] = Counter()
    faults = []
    for source in python(sources, "riskbot"):
        for node in ast.walk(source.tree):
            if not _swallows(node):
                continue
            found[source.path] += 1
            if found[source.path] > BROAD_EXCEPTS.get(source.path, (0, ""))[0]:
                faults.append(f"{source.path}:{node.lineno}: catches everything")
    faults += [
        f"{path}: catches everything {found[path]} times, not {count}: lower the number"
        for path, (count, _) in BROAD_EXCEPTS.items()
        if found[path] < count
    ]
    return faults


def notes_name_an_issue(sources: list[Source]) -> list[str]:
    """Find notes to oneself that nobody will ever find again."""
    faults = []
    for source in python(sources, "riskbot", "tests"):
        for line, text in source.comments():
            if LOOSE_TODO.search(text):
                faults.append(f"{source.path}:{line}: a note without an issue, as in (#12)")
            if FORBIDDEN_NOTE.search(text):
                faults.append(f"{source.path}:{line}: open an issue instead")
    return faults


def _docstrings(tree: ast.Module) -> set[int]:
    """Identities of the string nodes that document something."""
    return {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }


def _words(node: ast.AST) -> Iterator[str]:
    """What a node names, and the text of a string."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.name for alias in node.names)
        yield getattr(node, "module", None) or ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _names(source: Source) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier and every string that is not documentation."""
    documentation = _docstrings(source.tree)
    for node in ast.walk(source.tree):
        if id(node) not in documentation:
            yield from ((getattr(node, "lineno", 0), word) for word in _words(node))


def venues_stay_in_their_file(sources: list[Source]) -> list[str]:
    """Find a venue's name outside `exchanges/<venue>*` and the registry. Documentation may cite."""
    faults = []
    for source in python(sources, "riskbot"):
        if source.path == "riskbot/exchanges/__init__.py":
            continue
        own = source.module.removeprefix("riskbot.exchanges.").lower()
        for line, name in _names(source):
            if (found := VENUES.search(name)) and not own.startswith(found[0].lower()):
                faults.append(f"{source.path}:{line}: names {found[0]} outside its file")
    return faults


def _listed(registry: Source) -> tuple[set[str], set[str]]:
    """Names, and modules of `module.name`, that stand in the tuples of a registry."""
    names, owners = set(), set()
    for statement in registry.tree.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        if not isinstance(statement.value, ast.Tuple):
            continue
        for node in ast.walk(statement.value):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
                owners.add(ast.unparse(node.value))
    return names, owners


def _unregistered(source: Source, registry: Source) -> Iterator[str]:
    names, owners = _listed(registry)
    stem = source.module.rpartition(".")[2]
    offered = {
        alias.asname or alias.name
        for node in registry.tree.body
        if isinstance(node, ast.ImportFrom) and node.module == source.module
        for alias in node.names
    }
    if stem not in owners and not offered & names:
        yield f"{source.path}: not in the tuple of {registry.path}"
    for node in source.tree.body:
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_") or node.name in names:
            continue
        if any(ast.unparse(base).endswith(("Limit", "Command")) for base in node.bases):
            yield f"{source.path}:{node.lineno}: {node.name} is not in {registry.path}"


def everything_is_registered(sources: list[Source]) -> list[str]:
    """Find a limit or a command that no tuple names: it would silently not exist."""
    faults = []
    for room in ("riskbot.core.limits", "riskbot.core.commands"):
        members = [
            source
            for source in python(sources, room)
            if not source.is_package
            and not source.module.rpartition(".")[2].startswith("_")
            and not source.module.endswith(".presets")
        ]
        registry = next((s for s in sources if s.is_python and s.module == room), None)
        for source in members:
            if registry is None:
                faults.append(f"{source.path}: {room} has no registry")
            else:
                faults += _unregistered(source, registry)
    return faults


def nothing_is_scanned_for(sources: list[Source]) -> list[str]:
    """Find discovery of plug-ins: what cannot load must stop the start, not vanish."""
    known = modules(sources)
    faults = [
        f"{source.path}:{line}: scans for modules; write a tuple"
        for source in python(sources, "riskbot")
        for line, module in imports(source, known)
        if module == "pkgutil"
    ]
    faults += [
        f"{source.path}:{line}: entry points; write a tuple"
        for source in python(sources, "riskbot")
        for line, name in _names(source)
        if name == "entry_points"
    ]
    return faults


def fakes_are_written_by_hand(sources: list[Source]) -> list[str]:
    """Find mocks and patches: they test their own wiring."""
    known = modules(sources) | {"unittest.mock"}
    faults = []
    for source in python(sources, "tests"):
        for line, module in imports(source, known):
            if module.split(".")[0] in {"mock", "pytest_mock"} or module == "unittest.mock":
                faults.append(f"{source.path}:{line}: imports {module}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.arg) and node.arg == "mocker":
                faults.append(f"{source.path}:{node.lineno}: takes mocker")
            elif isinstance(node, ast.Attribute) and ast.unparse(node) == "monkeypatch.setattr":
                faults.append(f"{source.path}:{node.lineno}: patches code")
    return faults


def no_registry_is_named(sources: list[Source]) -> list[str]:
    """Find the host of a package registry: which one is used is the machine's business."""
    return [
        f"{source.path}:{number}: names {host}"
        for source in sources
        for number, line in enumerate(source.text.splitlines(), 1)
        for host in REGISTRY_HOSTS
        if host in line
    ]


def _contract_methods(sources: list[Source]) -> set[str]:
    """Names of the methods that a `_base.py` of the core documents for all who fulfill them."""
    return {
        item.name
        for source in python(sources, "riskbot.core")
        if source.path.endswith("/_base.py")
        for node in source.tree.body
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.FunctionDef) and ast.get_docstring(item)
    }


def _undocumented(source: Source, fulfilled: set[str]) -> Iterator[str]:
    if not ast.get_docstring(source.tree) and source.text.strip():
        yield f"{source.path}:1: the module"
    for node in source.tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{source.path}:{node.lineno}: {node.name}"
        for item in node.body if isinstance(node, ast.ClassDef) else ():
            if not isinstance(item, ast.FunctionDef) or item.name.startswith("_"):
                continue
            if item.name not in fulfilled and not ast.get_docstring(item):
                yield f"{source.path}:{item.lineno}: {node.name}.{item.name}"


def core_is_documented(sources: list[Source]) -> list[str]:
    """Find public things of the core without a docstring: units and signs are said there."""
    fulfilled = _contract_methods(sources)
    return [
        f"{where} has no docstring"
        for source in python(sources, "riskbot.core")
        for where in _undocumented(source, fulfilled)
    ]


RULES = (
    broad_excepts_are_counted,
    notes_name_an_issue,
    venues_stay_in_their_file,
    everything_is_registered,
    nothing_is_scanned_for,
    fakes_are_written_by_hand,
    no_registry_is_named,
    core_is_documented,
)
