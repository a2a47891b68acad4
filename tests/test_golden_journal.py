"""The journal of every release is read for ever: it decodes, folds, and ends where it ended."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from riskbot import codec
from riskbot.core.engine import Engine
from tests.journals.make import SETTINGS, folded, summary

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.jsonl.gz"))

NEWER = {"ConfigRead", "ApplyConfig"} | {
    "OrderRequested",
    "AmendRequested",
    "CancelRequested",
    "NotifyOrder",
    "SetReservation",
    "EndReservation",
    "KeepAnswer",
    "AllowOrder",
    "SetStray",
    "StrategyTold",
    "ReadHistory",
    "PriceHistoryRead",
    "AnalyzeRisk",
    "RiskAnalyzed",
}
"""Kinds that came after the newest golden journal; the next one has them."""


def rows(packed: Path) -> list[tuple[int, str, int, str]]:
    text = gzip.decompress(packed.read_bytes()).decode()
    return [tuple(json.loads(line)) for line in text.splitlines()]


def test_there_is_a_golden_journal() -> None:
    assert JOURNALS


@pytest.mark.parametrize("packed", JOURNALS, ids=lambda path: path.name)
def test_golden_journal_ends_as_it_always_did(packed: Path) -> None:
    stated = json.loads(packed.with_name(packed.name.replace(".jsonl.gz", ".json")).read_text())
    now = summary(folded(packed))
    assert {name: now[name] for name in stated} == stated
    assert stated["holds"]
    assert stated["trading_state"] == "HALTED"


@pytest.mark.parametrize("packed", JOURNALS, ids=lambda path: path.name)
def test_golden_journal_folds_on_from_any_checkpoint(packed: Path) -> None:
    whole = summary(folded(packed))
    lines = rows(packed)
    engine = Engine(SETTINGS, "rbtest")
    for number, (ts_ms, kind, version, body) in enumerate(lines):
        if number % 97 == 96:
            other = Engine(SETTINGS, "rbtest")
            other.load(json.loads(json.dumps(engine.dump())))
            engine = other
        engine.fold(codec.decode(kind, version, body), ts_ms)
    assert summary(engine) == whole


def test_golden_journals_hold_every_kind_of_record() -> None:
    kinds = {kind for packed in JOURNALS for _, kind, _, _ in rows(packed)}
    assert set(codec.RECORDS) - kinds <= NEWER
