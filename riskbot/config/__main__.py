"""`python -m riskbot.config --docs [FILE]`: write docs/limits.md, or print it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from riskbot.config.docs import render


def main() -> int:
    """Write the page made from the models."""
    parser = argparse.ArgumentParser(prog="python -m riskbot.config", description=main.__doc__)
    parser.add_argument("--docs", nargs="?", const="-", required=True, metavar="FILE")
    target = parser.parse_args().docs
    if target == "-":
        sys.stdout.write(render())
    else:
        Path(target).write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
