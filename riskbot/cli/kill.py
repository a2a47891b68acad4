"""`riskbot kill`: stop trading from a process of its own; the daemon may hang, or be dead.

First the HALT file, then the venues: entries are cancelled, exits stay; `--flatten` closes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from riskbot import redaction
from riskbot.cli import exits, venues
from riskbot.cli.closing import Meeting
from riskbot.cli.killing import AccountKill, Options, Result
from riskbot.clock import Clock, SystemClock
from riskbot.config import HALT_NAME, find_state_dir, load_accounts
from riskbot.config.models import AccountConfig
from riskbot.errors import ConfigError

TIMEOUT_S = 60.0
TIMEOUT_FLATTEN_S = 180.0


def main(name: str, argv: list[str]) -> int:
    """Halt, cancel, close; 0 = everything asked for is verified, 1 = something is left."""
    options = _parser(name).parse_args(argv)
    is_halted = _write_halt(options.config)
    try:
        accounts, faults = load_accounts(options.config)
    except ConfigError as error:
        accounts, faults = {}, error.faults
    if faults:
        exits.tell_faults(faults)
    if not accounts:
        print("riskbot: no account can be reached: nothing was cancelled", file=sys.stderr)
        return exits.NOT_DONE
    wanted = Options(options.flatten, options.all_orders)
    timeout_s = options.timeout or (TIMEOUT_FLATTEN_S if options.flatten else TIMEOUT_S)
    results = asyncio.run(kill(accounts, wanted, timeout_s, SystemClock(), venues.build))
    for result in results:
        _tell(result, wanted)
    is_done = is_halted and not faults and all(result.is_done for result in results)
    print("done, verified" if is_done else "NOT all done: see above", file=sys.stderr)
    return exits.OK if is_done else exits.NOT_DONE


def _parser(name: str) -> argparse.ArgumentParser:
    parser = exits.parser(name, "Stop trading without the daemon: HALT file, then cancel entries.")
    parser.add_argument("--flatten", action="store_true", help="close all positions, reduce-only")
    parser.add_argument("--all-orders", action="store_true", help="cancel exits and stops too")
    parser.add_argument("--timeout", type=float, metavar="S", help="how long to try, seconds")
    return parser


def _write_halt(config: Path) -> bool:
    """Write the HALT file where the daemon looks; say so when it cannot be."""
    try:
        state_dir = find_state_dir(config)
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_halt(state_dir / HALT_NAME, f"kill by uid {os.getuid()}")
    except ConfigError as error:
        exits.tell_faults(error.faults)
        print("riskbot: no HALT file: the state directory is not known", file=sys.stderr)
        return False
    except OSError as error:
        where = error.filename or "the state directory"
        print(f"riskbot: no HALT file: {where}: {error.strerror}", file=sys.stderr)
        return False
    print(f"HALT written to {state_dir / HALT_NAME}", file=sys.stderr)
    return True


def write_halt(path: Path, reason: str) -> None:
    """Write the HALT file durably: one line saying who and when.

    Raises:
        OSError: it cannot be written.
    """
    now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    line = f"{reason} at {now:%Y-%m-%dT%H:%M:%SZ}\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


async def kill(
    accounts: Mapping[str, AccountConfig],
    options: Options,
    timeout_s: float,
    clock: Clock,
    build: venues.Build,
) -> list[Result]:
    """Deal with all accounts at once; a venue that is down holds up no other."""
    reachable = {n: a for n, a in accounts.items() if a.exchange != venues.PAPER}
    meeting = Meeting(len(reachable))
    deadline_ms = clock.now_ms() + round(timeout_s * 1000)
    kills = {
        name: AccountKill(
            build(name, account, clock),
            sells_coins=account.spot == "trade",
            options=options,
            meeting=meeting,
            clock=clock,
            say=_say,
        )
        for name, account in reachable.items()
    }
    outcomes = await asyncio.gather(
        *(one.run(deadline_ms) for one in kills.values()), return_exceptions=True
    )
    results = []
    for (_, one), outcome in zip(kills.items(), outcomes, strict=True):
        if isinstance(outcome, BaseException):
            # One account's surprise must not hide what became of the others.
            one.result.error = f"{type(outcome).__name__}: {outcome}"
        results.append(one.result)
    paper = [name for name in accounts if name not in reachable]
    return results + [Result(name, kept=["paper: lives in the daemon"]) for name in paper]


def _say(line: str) -> None:
    print(redaction.redact(line), file=sys.stderr, flush=True)


def _tell(result: Result, options: Options) -> None:
    parts = [f"{result.cancelled} orders cancelled"]
    if options.flatten:
        parts.append(f"{result.closed} closing orders")
    print(
        f"{result.account}: {', '.join(parts)}; " + ("verified" if result.is_done else "NOT DONE")
    )
    for line in result.left:
        print(f"  left: {line}")
    for line in result.kept:
        print(f"  kept: {line}")
    if result.error:
        print(f"  {redaction.redact(result.error)}")
