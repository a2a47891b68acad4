"""`python -m riskbot.config`: pages and tables made from the models, written or printed.

`--docs [FILE]` is docs/limits.md; `--scenarios` the tables of docs/scenarios.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from riskbot.config.docs import render, render_scenarios


def main() -> int:
    """Write what is made from the models."""
    parser = argparse.ArgumentParser(prog="python -m riskbot.config", description=main.__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--docs", nargs="?", const="-", metavar="FILE")
    wanted.add_argument("--scenarios", action="store_true")
    arguments = parser.parse_args()
    target = arguments.docs
    if arguments.scenarios:
        sys.stdout.write(render_scenarios())
    elif target == "-":
        sys.stdout.write(render())
    else:
        Path(target).write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
