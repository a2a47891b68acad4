"""`riskbot audit verify`: check the hash chain of every decision in the journal."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from riskbot.cli import exits
from riskbot.config import JOURNAL_NAME, find_state_dir
from riskbot.journal import AuditReport, Reader


def main(name: str, argv: list[str]) -> int:
    """Verify the chain; 0 = it holds, 1 = it is broken, or there is no journal."""
    parser = exits.parser(name, "Check the hash chain of every decision.")
    parser.add_argument("action", choices=["verify"])
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args(argv)
    path = find_state_dir(options.config) / JOURNAL_NAME
    if not path.exists():
        print(f"riskbot: no journal at {path}: riskbot has not run here yet", file=sys.stderr)
        return exits.NOT_DONE
    report = asyncio.run(_verify(path))
    holds = report.broken_seq is None
    if options.json:
        document = {"ok": holds, "rows": report.rows, "head": report.head}
        print(json.dumps({**document, "broken_seq": report.broken_seq}))
    elif holds:
        print(f"{report.rows} decisions, the chain holds; head {report.head}")
    else:
        print(f"the chain is BROKEN at decision {report.broken_seq}: {path} was changed by hand")
    return exits.OK if holds else exits.NOT_DONE


async def _verify(path: Path) -> AuditReport:
    reader = await Reader.open_reader(path)
    try:
        return await reader.verify()
    finally:
        await reader.close()
