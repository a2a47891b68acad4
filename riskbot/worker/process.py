"""The process that computes: records in on standard input, answers out, until its input ends."""

from __future__ import annotations

import sys

from riskbot import turns
from riskbot.core import actions, events
from riskbot.core.studies import Studies
from riskbot.worker import wire


def main() -> None:
    """Answer every question with what history was told before it."""
    turns.ordinary()
    studies = Studies()
    for text in sys.stdin.buffer:
        record = wire.record(text)
        if isinstance(record, events.PriceHistoryRead):
            studies.take(record)
        elif isinstance(record, actions.AnalyzeRisk):
            sys.stdout.buffer.write(wire.line(studies.answer(record)))
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
