"""The command line: one file per subcommand; each parses, calls and returns an exit code."""

from __future__ import annotations

import importlib
import sys

from riskbot.cli import exits

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("init", "riskbot.cli.init", "write a shadow configuration"),
    ("demo", "riskbot.cli.demo", "paper venue on real data, the whole daemon"),
    ("run", "riskbot.cli.run", "the daemon"),
    ("check", "riskbot.cli.check", "validate a configuration; --connect asks the venues"),
    ("ctl", "riskbot.cli.ctl", "ask and command the running daemon"),
    ("kill", "riskbot.cli.kill", "stop trading without the daemon"),
    ("stress", "riskbot.cli.risk", "what scenarios would cost; --demo shows it at once"),
    ("var", "riskbot.cli.risk", "what a bad day would cost, and where it comes from"),
    ("correlation", "riskbot.cli.risk", "how what is held moves together"),
    ("report", "riskbot.cli.offline", "HTML and CSV from the journal"),
    ("replay", "riskbot.cli.offline", "decide a recorded period anew"),
    ("drill", "riskbot.cli.offline", "a rehearsed breach that sends nothing"),
    ("audit", "riskbot.cli.audit", "verify the chain of decisions"),
)
"""Name, module and one line of help. Modules are imported when they are called."""

VERSION_WORDS = frozenset({"--version", "-V", "version"})
HELP_WORDS = frozenset({"--help", "-h", "help"})


def dispatch(argv: list[str]) -> int:
    """Run the subcommand that `argv` names; its module's `main(name, argv)` does the rest."""
    if not argv:
        print(_usage(), file=sys.stderr)
        return exits.USAGE
    name, rest = argv[0], argv[1:]
    if name in HELP_WORDS:
        print(_usage())
        return exits.OK
    if name in VERSION_WORDS:
        print(f"riskbot {exits.version()}")
        return exits.OK
    for known, module, _ in COMMANDS:
        if name == known:
            main = importlib.import_module(module).main
            return int(main(name, rest))
    print(f"riskbot: no subcommand {name!r}\n\n{_usage()}", file=sys.stderr)
    return exits.USAGE


def _usage() -> str:
    lines = [f"  {name:<12} {text}" for name, _, text in COMMANDS]
    return "\n".join(["usage: riskbot SUBCOMMAND [--help] ...", "", *lines])
