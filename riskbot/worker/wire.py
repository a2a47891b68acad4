"""Records on a line of their own, between the guard and the process that computes."""

from __future__ import annotations

import json

from riskbot.codec import Record, decode, encode


def line(record: Record) -> bytes:
    """Write a record as one line."""
    made = encode(record)
    return json.dumps([made.kind, made.version, made.body]).encode() + b"\n"


def record(text: bytes) -> Record:
    """Read a line.

    Raises:
        ValueError: it is no JSON, or no three parts.
        CodecError: it is no record.
    """
    kind, version, body = json.loads(text)
    return decode(kind, version, body)
