"""`riskbot stress`, `var` and `correlation`: the risk of what is held, without the daemon.

The documents are those of the commands of the same name; this file asks for them and shows them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from riskbot.cli import exits
from riskbot.config import DEFAULT_PATH, load
from riskbot.core.scenarios import parse_shocks
from riskbot.errors import RiskbotError, UsageError

_WORDS = {
    "stress": "What scenarios would do to what is held, as last journaled. No daemon is needed.",
    "var": "What a bad day would cost, and which positions it comes from. No daemon is needed.",
    "correlation": "How what is held moved together lately. No daemon is needed.",
}


def main(name: str, argv: list[str]) -> int:
    """Ask, and print a table, a document or a picture."""
    options = _parser(name).parse_args(argv)
    args = _arguments(name, options)
    # Imported late: usage and faults are told in a moment.
    from riskbot.cli import standing
    from riskbot.clock import SystemClock

    if options.demo:
        found = asyncio.run(standing.demonstrated())
    else:
        config = load(options.config or DEFAULT_PATH)
        exits.tell_warnings(config.warnings)
        found = asyncio.run(standing.journaled(config, SystemClock()))
    reply = found.ask(name, **args)
    if not reply.ok:
        return _undone(options, reply.message)
    if options.plot is not None:
        _plot(options.plot, name, reply.document, found)
    if options.json:
        print(json.dumps(reply.document))
        return exits.OK
    _show(name, reply.document, found, options)
    return exits.OK


def _parser(name: str) -> argparse.ArgumentParser:
    parser = exits.parser(name, _WORDS[name])
    parser.set_defaults(config=None)
    if name == "stress":
        parser.add_argument(
            "scenario", nargs="?", metavar="SCENARIO", help="one of them, position by position"
        )
        parser.add_argument(
            "--simulate", metavar="SHOCKS", help="as in 'BTC -10%%, ETH -15%%, DEFAULT -20%%'"
        )
        parser.add_argument(
            "--suggest",
            nargs="?",
            const="",
            metavar="SCENARIO",
            help="the smallest trades that bring its loss inside the limit; advice only",
        )
        parser.add_argument(
            "--max", type=_share, metavar="SHARE", help="the loss allowed, as a share of E: 0.2"
        )
    parser.add_argument("--account", metavar="A", help="this account alone")
    parser.add_argument("--explain", action="store_true", help="where each number comes from")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="a picture of it too")
    parser.add_argument(
        "--demo", action="store_true", help="of the demo's portfolio: no configuration, no account"
    )
    return parser


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        message = f"a share above 0 and at most 1, as in 0.2, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return value


def _arguments(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the command's arguments.

    Raises:
        UsageError: options that do not go together, or shocks that are none.
    """
    fault = ""
    if options.demo and options.config is not None:
        fault = "--demo has a configuration of its own: leave --config out"
    elif options.json and options.explain:
        fault = "--explain is for people: leave --json out"
    elif options.plot is not None and options.plot.suffix.lower() != ".png":
        fault = f"--plot writes a PNG: {options.plot} must end in .png"
    if fault:
        raise UsageError(fault)
    args = {"account": options.account}
    return args | _stress_arguments(options) if name == "stress" else args


def _stress_arguments(options: argparse.Namespace) -> dict[str, Any]:
    wants, named = options.suggest is not None, options.suggest or None
    faults: list[str] = []
    if named and options.scenario and named != options.scenario:
        faults.append(f"two scenarios: {options.scenario} and {named}")
    scenario = options.scenario or named
    if options.simulate is not None:
        parse_shocks(options.simulate, faults)
        if scenario:
            faults.append("--simulate stands instead of a scenario: give one of them")
    if wants and not scenario and options.simulate is None:
        faults.append("--suggest needs a scenario, or --simulate")
    if options.max is not None and not wants:
        faults.append("--max goes with --suggest")
    if wants and options.plot is not None:
        faults.append("--suggest has no picture: leave --plot out")
    if faults:
        raise UsageError("; ".join(faults))
    return {
        "scenario": scenario,
        "simulate": options.simulate,
        "suggest": True if wants else None,
        "max": options.max,
    }


def _plot(path: Path, name: str, document: Any, found: Any) -> None:
    """Draw the picture.

    Raises:
        RiskbotError: there is nothing to draw, or the file cannot be written.
    """
    from riskbot.cli import plots

    try:
        plots.draw(path, name, document, found)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise RiskbotError(message) from error
    print(f"drawn: {path}", file=sys.stderr)


def _show(name: str, document: Any, found: Any, options: argparse.Namespace) -> None:
    from riskbot.cli import cells, explain, tables

    out = cells.console(None)
    out.print(found.words, markup=False)
    tables.show(name, document)
    if not options.explain:
        return
    out.print()
    if name == "stress":
        explain.stress(out, document, found, options.account)
    elif name == "var":
        explain.var(out, document, found)
    else:
        explain.correlation(out, document, found)


def _undone(options: argparse.Namespace, message: str) -> int:
    if options.json:
        print(json.dumps({"ok": False, "message": message}))
    else:
        print(f"riskbot: {message}", file=sys.stderr)
    return exits.NOT_DONE
