"""Who may import whom."""

from __future__ import annotations

import ast

from tests.tidy.source import Source, imports, is_within, modules, python

ROOMS = ("exchanges", "channels", "strategies", "frontends")

CORE = "riskbot.core"

# Computes, never looks outside. zoneinfo reads the zone database, which is data like ours.
PURE = frozenset(
    "__future__ abc base64 bisect collections copy dataclasses datetime decimal difflib enum "
    "fractions functools hashlib heapq hmac itertools json math operator re statistics string "
    "struct textwrap types typing typing_extensions zoneinfo numpy pydantic".split()
)
IMPURE_CALLS = frozenset({"open", "print", "input", "eval", "exec", "compile", "__import__"})

# What the rooms at the edge may know of the core: its words, never what decides.
CORE_WORDS = frozenset(
    f"{CORE}.{name}"
    for name in "model events actions ordering duty views settings limits commands".split()
)

# Modules within a room that its members share.
SHARED = {
    "exchanges": frozenset({"unified"}),
    "channels": frozenset({"delivery"}),
    "strategies": frozenset(),
    "frontends": frozenset({"supervisor"}),
}

# What everybody outside the core may use: it does nothing by itself and knows nobody.
COMMON = frozenset(
    f"riskbot.{name}"
    for name in (
        *"addresses clock errors crashpoint factor processes redaction turns".split(),
        *"data data.prices".split(),
    )
)

# Files beside the rooms, with what each may import of riskbot beyond core, COMMON and the
# contracts (`_base`) of the rooms. A file not named here may import nothing more.
SHELL_EXTRA: dict[str, tuple[str, ...]] = {
    "riskbot.journal": ("riskbot.codec",),  # record <-> JSON is a vocabulary, not a part
    "riskbot.worker": ("riskbot.codec",),  # likewise, on its way to another process
    "riskbot.config": tuple(f"riskbot.{room}" for room in ROOMS),  # assembles the rooms' models
    "riskbot.demo": ("riskbot.exchanges.paper",),  # plays somebody else's bot on that venue
    "riskbot.app": ("riskbot",),  # the composition root knows everyone
    "riskbot.cli": ("riskbot",),
    "riskbot.__main__": ("riskbot.cli",),
}


def core_is_pure(sources: list[Source]) -> list[str]:
    """Hold the core to computation: no foreign import, nothing awaited, no file or console."""
    known = modules(sources)
    faults = []
    for source in python(sources, CORE):
        for line, module in imports(source, known):
            if not is_within(module, CORE) and module.partition(".")[0] not in PURE:
                faults.append(f"{source.path}:{line}: the core imports {module}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                faults.append(f"{source.path}:{node.lineno}: the core never waits")
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in IMPURE_CALLS
            ):
                faults.append(f"{source.path}:{node.lineno}: the core calls {node.func.id}()")
    return faults


def limits_see_only_the_book(sources: list[Source]) -> list[str]:
    """Keep each limit to the Book, what an order makes of it, the nouns and the room's contract."""
    room = f"{CORE}.limits"
    allowed = {f"{CORE}.exposure", f"{CORE}.outlooks", f"{CORE}.model", f"{room}._base"}
    known = modules(sources)
    return [
        f"{source.path}:{line}: a limit imports {module}"
        for source in python(sources, room)
        if not source.is_package and not source.path.endswith("/presets.py")
        for line, module in imports(source, known)
        if is_within(module, "riskbot") and module not in allowed
    ]


def commands_are_apart(sources: list[Source]) -> list[str]:
    """Keep command files from importing each other."""
    room = f"{CORE}.commands"
    known = modules(sources)
    return [
        f"{source.path}:{line}: a command imports {module}"
        for source in python(sources, room)
        if not source.is_package
        for line, module in imports(source, known)
        # Only /help reads the registry, which is no sibling.
        if module.startswith(room + ".") and not module.startswith(room + "._")
    ]


def _member(module: str, room: str) -> str:
    """Name of the part of a room that a module belongs to: `bybit` for `bybit_orders` too."""
    rest = module.removeprefix(f"riskbot.{room}").lstrip(".")
    return rest.partition(".")[0] if rest.startswith("_") else rest.partition(".")[0].split("_")[0]


def _room_fault(source: Source, room: str, module: str) -> str | None:
    """Say what is wrong with one import of a module of riskbot's from within a room."""
    if is_within(module, CORE):
        words = any(is_within(module, w) for w in CORE_WORDS)
        return None if words or module == CORE else "decides; a room knows the core's words only"
    if is_within(module, f"riskbot.{room}"):
        other, own = _member(module, room), _member(source.module, room)
        near = {"", own} | SHARED[room]
        return None if other in near or other.startswith("_") else "is a sibling in the room"
    if module in COMMON | {"riskbot"}:
        return None
    return "is another room or part; objects are handed over by app"


def rooms_are_apart(sources: list[Source]) -> list[str]:
    """Keep the rooms at the edge to the core's words, their own contract and what is common."""
    known = modules(sources)
    faults = []
    for room in ROOMS:
        for source in python(sources, f"riskbot.{room}"):
            if source.module == f"riskbot.{room}":
                continue  # the registry names every member
            for line, module in imports(source, known):
                if not is_within(module, "riskbot"):
                    continue
                if why := _room_fault(source, room, module):
                    faults.append(f"{source.path}:{line}: {module} {why}")
    return faults


def shell_meets_in_app(sources: list[Source]) -> list[str]:
    """Keep the parts beside the rooms from importing each other."""
    known = modules(sources)
    contracts = {f"riskbot.{room}._base" for room in ROOMS}
    apart = {f"riskbot.{room}" for room in (*ROOMS, "core")}
    faults = []
    for source in python(sources, "riskbot"):
        if any(source.within(package) for package in apart):
            continue
        part = ".".join(source.module.split(".")[:2])
        allowed = {CORE, part, *COMMON, *SHELL_EXTRA.get(part, ())}
        faults += [
            f"{source.path}:{line}: {part} imports {module}"
            for line, module in imports(source, known)
            if is_within(module, "riskbot")
            and module not in contracts | {"riskbot"}
            and not any(is_within(module, name) for name in allowed)
        ]
    return faults


def only_the_command_line_imports_app(sources: list[Source]) -> list[str]:
    """Keep the composition root at the top."""
    known = modules(sources)
    return [
        f"{source.path}:{line}: only the command line imports app"
        for source in python(sources, "riskbot")
        if not source.within("riskbot.cli") and source.module != "riskbot.app"
        for line, module in imports(source, known)
        if is_within(module, "riskbot.app")
    ]


def test_servers_are_independent(sources: list[Source]) -> list[str]:
    """Keep the venues' servers ignorant of riskbot: else both could share one mistake."""
    known = modules(sources)
    return [
        f"{source.path}:{line}: a protocol server imports {module}"
        for source in python(sources, "tests.servers")
        for line, module in imports(source, known)
        if is_within(module, "riskbot")
    ]


RULES = (
    core_is_pure,
    limits_see_only_the_book,
    commands_are_apart,
    rooms_are_apart,
    shell_meets_in_app,
    only_the_command_line_imports_app,
    test_servers_are_independent,
)
