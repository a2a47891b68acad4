"""What is kept of which record, and for how long. How it is written is `store`'s business."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from riskbot import codec
from riskbot.core import actions, events, model

if TYPE_CHECKING:
    import asyncio

DECISION, FACT, OBSERVATION = "decision", "fact", "observation"

PASSING = frozenset({events.TimerFired, events.FeedAlive})
"""Kept only with the actions they led to: they carry nothing a fold would miss."""

CONFLATED = frozenset(
    {events.PricesUpdated, events.DepthRead, events.AssetPriced, events.ClockMeasured}
)
"""Without actions, kept at most once per subject and interval."""

_OBSERVATIONS: frozenset[type] = (
    PASSING
    | CONFLATED
    | {events.AccountSnapshotReceived, events.FeedLost, actions.RecordExposure, actions.RecordNav}
    | {actions.ReadDepth, actions.ReadHistory, actions.AnalyzeRisk}
    | {events.PriceHistoryRead, events.RiskAnalyzed}
)
_EVENTS = frozenset(get_args(events.Event))

RecordRow = tuple[int, int, str, str, int, str, str]
"""seq, ts_ms, class, kind, version, subject, body."""

AuditRow = tuple[int, int, dict[str, Any]]
"""ts_ms, seq of the record, what is hashed."""

HistoryRow = tuple[str, str, int, float | None, str]
"""scope, measure, ts_ms, value, cause."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept.

    Attributes:
        observations_days: prices, reads of accounts, exposure rows at full density.
        decisions_days: decisions, facts, audit, hourly exposure rows.
    """

    observations_days: int = 30
    decisions_days: int = 3_650


@dataclass(slots=True)
class Batch:
    """What one call hands to the writer: all of it is written, or none.

    Attributes:
        done: resolved with `seq` once durable; None = nobody waits.
    """

    seq: int = 0
    records: list[RecordRow] = field(default_factory=list)
    audits: list[AuditRow] = field(default_factory=list)
    history: list[HistoryRow] = field(default_factory=list)
    checkpoint: tuple[int, int, dict[str, Any]] | None = None
    quarantine: tuple[int, str, str, str] | None = None
    done: asyncio.Future[int] | None = None

    @property
    def size(self) -> int:
        """How much room it takes in the bounded queue."""
        return len(self.records) + 1


def retention_class(record: codec.Record) -> str:
    """Return the class a record ages by."""
    kind: Any = type(record)
    return _kept_as(kind)[0]


def subject(record: codec.Record) -> str:
    """Return what a record is about: account, instrument or scope; empty for the whole."""
    kind: Any = type(record)
    _, named, part = _kept_as(kind)
    if not named:
        return ""
    name = getattr(record, named)
    detail = getattr(record, part) if part else None
    text = f"{name}|{detail}" if detail else name
    return text if text.isascii() else clean(text)


@functools.cache
def _kept_as(kind: Any) -> tuple[str, str, str]:
    """Return the class of a kind of record, and the fields that name what it is about."""
    names = {field.name for field in dataclasses.fields(kind)}
    named = next((name for name in ("account", "scope") if name in names), "")
    part = next((name for name in ("symbol", "asset") if name in names), "")
    if kind in _OBSERVATIONS:
        return OBSERVATION, named, part
    return FACT if kind in _EVENTS else DECISION, named, part


def clean(text: str) -> str:
    """Return text that the database takes: lone surrogates of hostile payloads become `?`."""
    return text.encode("utf-8", "replace").decode()


def batch(first_seq: int, ts_ms: int, records: list[codec.Record]) -> Batch:
    """Prepare records that belong together.

    Raises:
        CodecError: one of them cannot be written.
    """
    result = Batch(seq=first_seq + len(records) - 1)
    for seq, record in enumerate(records, first_seq):
        kind, version, body = codec.encode(record)
        row = (seq, ts_ms, retention_class(record), kind, version, subject(record), body)
        result.records.append(row)
        if isinstance(record, actions.RecordDecision):
            result.audits.append((ts_ms, seq, _audited(record)))
        elif isinstance(record, actions.RecordExposure | actions.RecordNav):
            result.history += _history(record, ts_ms)
    return result


def _audited(decision: actions.RecordDecision) -> dict[str, Any]:
    return {
        "kind": decision.decision,
        "limit": decision.limit,
        "scope": decision.scope,
        "reason": decision.reason,
        "actor": decision.actor,
        "inputs": decision.inputs,
    }


def _history(record: actions.RecordExposure | actions.RecordNav, ts_ms: int) -> list[HistoryRow]:
    if isinstance(record, actions.RecordNav):
        values = {"nav": record.nav, "equity_usd": record.equity_usd, "units": record.units}
        return [(record.scope, name, ts_ms, value, "nav") for name, value in values.items()]
    return [
        (model.PORTFOLIO, clean(name), ts_ms, None if value is None else float(value), record.cause)
        for name, value in record.row.items()
    ]
