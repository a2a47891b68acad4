"""`python -m riskbot.frontends.telegram`: started by the guard, not by people."""

from __future__ import annotations

import asyncio
import sys

from riskbot.frontends.telegram.process import main

if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
