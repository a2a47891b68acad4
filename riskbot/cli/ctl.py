"""`riskbot ctl`: ask and command the running daemon over its local door."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from riskbot.cli import door, exits, tables
from riskbot.config import JOURNAL_NAME, SOCKET_NAME, find_state_dir
from riskbot.core.commands import COMMANDS
from riskbot.errors import RiskbotError, UsageError

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "alerts": ("[which]",),
    "pnl": ("[period]",),
    "history": ("[measure]", "[hours]"),
    "size": ("instrument", "[stop]"),
    "audit": ("[n]",),
    "stress": ("[scenario]",),
    "help": ("[command]",),
    "test": ("[level]",),
    "reduce": ("[limit]",),
    "ack": ("id",),
    "silence": ("limit", "duration"),
    "unsilence": ("[limit]",),
    "setlimit": ("limit", "[value]"),
    "reclassify": ("id", "value"),
    "override": ("id",),
}
"""What stands behind a command's name; brackets = may be left out. Others take nothing."""

READS = frozenset({c.name for c in COMMANDS if c.reads_only} | {"decisions"}) - {"help"}
"""Commands whose `--json` is the document of the HTTP route itself."""

_WORDS = [
    " ".join((c.name, *(word.upper() for word in ARGUMENTS.get(c.name, ())))) for c in COMMANDS
]

WAIT_S = 15.0
WAIT_TO_CLOSE_S = 180.0
_CLOSING = frozenset({"flatten", "reduce"})

# When the facts moved between plan and yes, the new plan is confirmed in turn, but not for ever.
_PLANS_MAX = 3

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_DECISIONS_SHOWN = 50


def main(name: str, argv: list[str]) -> int:
    """Ask, confirm where asked to, print, and say by the exit code whether it was done."""
    options = _parser(name).parse_intermixed_args(argv)
    state_dir = find_state_dir(options.config)
    wait_s = options.wait or (WAIT_TO_CLOSE_S if options.command in _CLOSING else WAIT_S)
    try:
        args = _arguments(options)
        if options.command == "decisions":
            reply = _decisions(state_dir)
        else:
            reply = _converse(state_dir / SOCKET_NAME, options, args, wait_s)
    except door.DoorError as error:
        return _undone(options, str(error))
    _print(options, reply)
    return exits.OK if reply["ok"] else exits.NOT_DONE


def _parser(name: str) -> argparse.ArgumentParser:
    parser = exits.parser(name, "Ask and command the running daemon.")
    parser.add_argument(
        "command",
        metavar="COMMAND",
        help=" ".join([*_WORDS, "decisions"]),
    )
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--account", metavar="A", help="this account alone")
    parser.add_argument("--strategy", metavar="N", help="this strategy alone (halt, resume)")
    parser.add_argument("--instrument", metavar="S", help="this instrument alone")
    parser.add_argument("--reason", metavar="T", help="written into the audit")
    parser.add_argument("--totp", metavar="CODE", help="where a command asks for it")
    parser.add_argument("--simulate", metavar="SHOCKS", help="of stress: 'BTC -10%%, ETH -15%%'")
    parser.add_argument("--suggest", action="store_true", help="of stress: what would help")
    parser.add_argument("--max", type=float, metavar="SHARE", help="of stress: loss allowed")
    parser.add_argument("--yes", action="store_true", help="confirm the plan without asking")
    parser.add_argument("--wait", type=_seconds, metavar="S", help="how long the end may take")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= door.WAIT_MAX_S:
        message = f"from above 0 to {door.WAIT_MAX_S:g} seconds"
        raise argparse.ArgumentTypeError(message)
    return value


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the command's arguments by name.

    Raises:
        UsageError: too many, too few, or a duration that is none.
    """
    wanted = ARGUMENTS.get(options.command, ())
    given = options.arguments
    needed = sum(not name.startswith("[") for name in wanted)
    if not needed <= len(given) <= len(wanted):
        words = " ".join(name.upper() for name in wanted) or "no arguments"
        message = f"ctl {options.command} takes {words}"
        raise UsageError(message)
    args: dict[str, Any] = {
        name.strip("[]"): value for name, value in zip(wanted, given, strict=False)
    }
    if "duration" in args:
        args["duration_s"] = duration_s(args.pop("duration"))
    if options.suggest:
        args["suggest"] = True
    for name in ("account", "strategy", "instrument", "reason", "totp", "simulate", "max"):
        if getattr(options, name) is not None:
            args[name] = getattr(options, name)
    return args


def duration_s(text: str) -> int:
    """Return the seconds of `90s`, `30m`, `2h` or `1d`.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        message = f"a duration reads 90s, 30m, 2h or 1d, not {text!r}"
        raise UsageError(message)
    return int(match[1]) * _UNITS_S[match[2]]


def _converse(
    path: Path, options: argparse.Namespace, args: dict[str, Any], wait_s: float
) -> dict[str, Any]:
    """Ask, show and confirm plans, and return the last reply."""
    reply = _ask(path, options, args, wait_s)
    for _ in range(_PLANS_MAX):
        if not (reply["ok"] and reply.get("plan_id")):
            break
        if not _is_confirmed(options, reply):
            told = reply["message"]
            return {**reply, "ok": False, "message": f"{told}\nnot done: confirm with --yes"}
        confirmed = {**args, "plan_id": reply["plan_id"]}
        reply = _ask(path, options, confirmed, wait_s)
    if reply["ok"] and reply.get("plan_id"):
        return {**reply, "ok": False, "message": "not done: the plan changes each time, look first"}
    return reply


def _is_asked(options: argparse.Namespace) -> bool:
    """Return whether somebody sits there to be asked."""
    return sys.stdin.isatty() and not options.json


def _ask(
    path: Path, options: argparse.Namespace, args: dict[str, Any], wait_s: float
) -> dict[str, Any]:
    """Ask, and once more with a one-time code where one is wanted and somebody can type it."""
    reply = _last(path, options, args, wait_s)
    if reply["ok"] or not reply.get("needs_factor") or not _is_asked(options):
        return reply
    print(f"{reply['message']}\nCode: ", end="", file=sys.stderr, flush=True)
    code = sys.stdin.readline().strip()
    return _last(path, options, {**args, "totp": code}, wait_s) if code else reply


def _last(
    path: Path, options: argparse.Namespace, args: dict[str, Any], wait_s: float
) -> dict[str, Any]:
    reply: dict[str, Any] = {}
    for reply in door.ask(path, options.command, args, wait_s=wait_s):
        if not reply.get("final"):
            print(reply["message"], file=sys.stderr)
    return reply


def _is_confirmed(options: argparse.Namespace, reply: dict[str, Any]) -> bool:
    if options.yes:
        return True
    is_asked = _is_asked(options)
    if is_asked:
        print(reply["message"], file=sys.stderr)
    if not options.json:
        tables.show_plan(reply.get("plan") or {}, file=sys.stderr)
    if not is_asked:
        return False
    print("Do it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _decisions(state_dir: Path) -> dict[str, Any]:
    """Return the newest decisions from the journal, which also tells them without a daemon."""
    from riskbot.journal import Reader

    async def read() -> list[dict[str, Any]]:
        reader = await Reader.open_reader(state_dir / JOURNAL_NAME)
        try:
            return await reader.decisions(limit=_DECISIONS_SHOWN)
        finally:
            await reader.close()

    if not (state_dir / JOURNAL_NAME).exists():
        message = f"no journal at {state_dir / JOURNAL_NAME}: riskbot has not run here yet"
        raise RiskbotError(message)
    return {"ok": True, "message": "", "document": asyncio.run(read())}


def _print(options: argparse.Namespace, reply: dict[str, Any]) -> None:
    if options.json:
        print(json.dumps(_document(options.command, reply)))
        return
    if reply["message"]:
        print(reply["message"], file=sys.stdout if reply["ok"] else sys.stderr)
    # What a command did stands in its message; its document is for programs.
    if reply.get("document") is not None and (options.command in READS or not reply["message"]):
        tables.show(options.command, reply["document"])


def _document(command: str, reply: dict[str, Any]) -> Any:
    if command in READS and reply["ok"]:
        return reply["document"]
    shown = {key: value for key, value in reply.items() if key != "final"}
    if shown.get("document") is None:
        shown.pop("document", None)
    return shown


def _undone(options: argparse.Namespace, message: str) -> int:
    if options.json:
        print(json.dumps({"ok": False, "message": message}))
    else:
        print(f"riskbot: {message}", file=sys.stderr)
    return exits.NOT_DONE
