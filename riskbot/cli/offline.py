"""`report`, `replay`, `drill`: not built yet, and they say so."""

from __future__ import annotations

import sys

from riskbot.cli import exits


def main(name: str, argv: list[str]) -> int:
    """Say that this part is not there yet."""
    parser = exits.parser(name, "Not built yet in this version.")
    parser.parse_known_args(argv)
    print(f"riskbot {name}: not built yet in version {exits.version()}", file=sys.stderr)
    return exits.NOT_DONE
