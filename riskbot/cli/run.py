"""`riskbot run`: the daemon as a process: logs, locks, journal, signals, exit code."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from riskbot.cli import exits
from riskbot.config import Config, load

if TYPE_CHECKING:
    from pathlib import Path

    from riskbot.clock import Clock

_log = logging.getLogger(__name__)


def main(name: str, argv: list[str]) -> int:
    """Load the configuration and run until told to stop."""
    parser = exits.parser(name, "The daemon: watches the accounts, enforces the limits.")
    options = parser.parse_args(argv)
    config = load(options.config, for_run=True)
    exits.tell_warnings(config.warnings)
    # Imported late: a configuration with faults is told in a moment.
    import uvloop

    from riskbot import log, turns
    from riskbot.clock import SystemClock

    log.configure(secret.get_secret_value() for secret in config.secrets)
    # Before there are threads: the journal's is started with it too.
    turns.soon()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(config, SystemClock()))


async def serve(config: Config, clock: Clock) -> int:
    """Run the daemon until SIGTERM or SIGINT and return the exit code.

    Raises:
        ConfigError: another riskbot runs on these accounts, or there is no place for the journal.
    """
    from riskbot import log
    from riskbot.app import App
    from riskbot.errors import FatalError
    from riskbot.journal import Journal, Retention
    from riskbot.lock import hold_locks

    loop = asyncio.get_running_loop()
    log.watch_loop(loop)
    make_state_dir(config.state_dir)
    days = config.root.retention_days
    retention = Retention(days.observations, days.decisions)
    code = 0
    with hold_locks(config.state_dir, fingerprints(config)):
        journal = await Journal.open(config.journal_path, clock.now_ms(), retention=retention)
        try:
            app = App(config, clock, journal)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, app.stop.set)
            await app.run()
        except* FatalError as errors:
            _log.critical("riskbot cannot go on", exc_info=errors)
            code = FatalError.exit_code
        finally:
            await journal.close()
    return code


def make_state_dir(path: Path) -> None:
    """Make the state directory.

    Raises:
        ConfigError: it cannot be made, or something else is in its place.
    """
    from riskbot.errors import ConfigError

    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"state_dir: cannot make {path}: {error.strerror}"
        raise ConfigError([message]) from error


def fingerprints(config: Config) -> dict[str, str]:
    """Return a fingerprint of each account's key, for the locks; accounts without one have none."""
    from riskbot.lock import fingerprint

    return {
        name: fingerprint(account.exchange, account.api_key.get_secret_value())
        for name, account in config.accounts.items()
        if account.api_key is not None
    }
