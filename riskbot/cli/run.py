"""`riskbot run`: the daemon."""

from __future__ import annotations

from riskbot.cli import exits
from riskbot.config import load


def main(name: str, argv: list[str]) -> int:
    """Load the configuration and run until told to stop."""
    parser = exits.parser(name, "The daemon: watches the accounts, enforces the limits.")
    options = parser.parse_args(argv)
    config = load(options.config, for_run=True)
    exits.tell_warnings(config.warnings)
    # Imported late: a configuration with faults is told in a moment.
    from riskbot import app

    return int(app.run(config))
