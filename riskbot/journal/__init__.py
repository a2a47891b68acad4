"""The journal room: what happened and what was decided, kept before it takes effect.

`Journal` writes and `Reader` reads, both asynchronous; `schema` opens and judges the file, `rows`
says what is kept of which record, `store` and `pruning` run in the database's thread.
"""

from __future__ import annotations

from riskbot.journal.journal import Journal, base36
from riskbot.journal.reader import Checkpoint, Reader, Row
from riskbot.journal.rows import Retention
from riskbot.journal.store import AuditReport

__all__ = ["AuditReport", "Checkpoint", "Journal", "Reader", "Retention", "Row", "base36"]
