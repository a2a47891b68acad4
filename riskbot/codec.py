"""Journal records to JSON and back, by kind and version.

Additive changes to a record (a field with a default) need nothing here. Any other change raises
the kind's number in `VERSIONS` and adds an upcaster from the number before. How records are stored
is `journal`'s business.

pydantic's per-class serializer is used rather than orjson on bare dataclasses: orjson takes 0.7x
the time (1.3 against 1.8 us a fill), but turns an infinite utilization into `null`, which means
unknown here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from riskbot.core import actions, events
from riskbot.errors import CodecError

Record = events.Event | actions.Action
"""What the journal keeps."""

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON object of one version into that of the next."""

RECORDS: Mapping[str, type[Record]] = {cls.__name__: cls for cls in get_args(Record)}
"""Every record class by its kind."""

VERSIONS: Mapping[str, int] = {}
"""Current version of each kind that ever changed; the others are at 1."""

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""By kind and the version they start from."""

_CONFIG = ConfigDict(ser_json_inf_nan="strings")
_SUSPECT = re.compile(r'"-?(?:s?NaN|Infinity)"')
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Encoded(NamedTuple):
    """A record as it is stored; `body` is compact JSON."""

    kind: str
    version: int
    body: str


@functools.cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    # A config is not taken for a bare dataclass, but for a union with one.
    hint: Any = RECORDS[kind] | None
    return TypeAdapter(hint, config=_CONFIG)


@functools.cache
def _writer(kind: str) -> Callable[[Record], bytes]:
    # The bare serializer: the adapter's own method costs as much again in defaults.
    return _adapter(kind).serializer.to_json


class Codec:
    """Writes and reads records by a table of versions; `encode` and `decode` use the real one.

    Attributes:
        versions: current version of each kind that ever changed.
        upcasters: by kind and the version they start from.
    """

    def __init__(
        self,
        versions: Mapping[str, int] = VERSIONS,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    ) -> None:
        self.versions = versions
        self.upcasters = upcasters

    def encode(self, record: Record) -> Encoded:
        """Write a record.

        Returns:
            Compact JSON with its kind and version. Decimals are strings. What JSON cannot hold in
            an untyped field becomes text; lone surrogates of hostile payloads become U+FFFD.

        Raises:
            CodecError: the record would not come back (a decimal that is not a number).
        """
        kind = record.kind
        try:
            body = _writer(kind)(record).decode()
        except PydanticSerializationError:
            body = json.dumps(_scrub(dataclasses.asdict(record)), separators=(",", ":"))
        encoded = Encoded(kind, self.versions.get(kind, 1), body)
        # Looked for as plain text first, at a twentieth of the price: almost no record has one.
        if ('NaN"' in body or 'Infinity"' in body) and _SUSPECT.search(body):
            self.decode(*encoded)
        return encoded

    def decode(self, kind: str, version: int, body: str) -> Record:
        """Read a record, lifting an older version to the present one.

        Raises:
            CodecError: unknown kind, newer version, or a body that does not fit.
        """
        if kind not in RECORDS:
            message = f"unknown record kind {kind!r}: written by a newer riskbot?"
            raise CodecError(message)
        current = self.versions.get(kind, 1)
        if version > current:
            message = f"{kind} has version {version}, this riskbot reads up to {current}"
            raise CodecError(message)
        adapter = _adapter(kind)
        try:
            if version == current:
                record = adapter.validate_json(body)
            else:
                record = adapter.validate_python(self._lift(kind, version, body))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            message = f"{kind} cannot be read: {place}: {first['msg']}"
            raise CodecError(message) from error
        if record is None:
            message = f"{kind} cannot be read: the body is null"
            raise CodecError(message)
        return cast("Record", record)

    def _lift(self, kind: str, version: int, body: str) -> dict[str, Any]:
        """Bring the JSON object of an older version up to the current one, step by step."""
        data: dict[str, Any] = json.loads(body)
        for step in range(version, self.versions.get(kind, 1)):
            if (upcast := self.upcasters.get((kind, step))) is None:
                message = f"{kind} version {step} cannot be lifted: no upcaster"
                raise CodecError(message)
            data = upcast(data)
        return data


_CODEC = Codec()
encode = _CODEC.encode
decode = _CODEC.decode


def _scrub(value: Any) -> Any:
    """Make any value fit for JSON, at the price of exactness where it has none."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _non_finite(value)
    if isinstance(value, dict):
        return {_LONE_SURROGATE.sub("\ufffd", str(k)): _scrub(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrub(item) for item in value]
    return _LONE_SURROGATE.sub("\ufffd", str(value))


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
