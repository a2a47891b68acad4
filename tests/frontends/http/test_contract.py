"""Whoever knows the OpenAPI document alone meets nothing that it does not name."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.frontends.http.stage import Stage

WHO = ("grid", "viewer", "operator", "admin", "investor", "nobody", None)
STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e300,
    "",
    "x",
    "NaN",
    "1e400",
    "\ud800",
    "\x00",
    "ü",
    "a" * 500,
    [],
    [[[]]],
    {},
    {"quantity": 1},
)
ROUNDS = 40


def schema_of(contract: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an operation's body, empty = it takes none."""
    taken = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema: dict[str, Any] = taken.get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = contract["components"]["schemas"].get(name, schema)
    return found


def value_of(schema: dict[str, Any], rng: random.Random) -> Any:
    """Return a value that a schema allows."""
    if "anyOf" in schema:
        return value_of(rng.choice(schema["anyOf"]), rng)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "examples" in schema:
        return rng.choice(schema["examples"])
    kinds = {
        "string": lambda: rng.choice(["main", "1", "0.05", "x1", "drawdown", "p0"]),
        "number": lambda: rng.choice([1, 0.05, 50_000]),
        "boolean": lambda: rng.random() < 0.5,
        "null": lambda: None,
    }
    return kinds[schema["type"]]()


def body_of(schema: dict[str, Any], rng: random.Random) -> Any:
    """Return a body that a schema allows, or one that is nearly so."""
    known: dict[str, Any] = schema["properties"]
    needed = schema.get("required", [])
    body = {
        name: value_of(field, rng)
        for name, field in known.items()
        if name in needed or rng.random() < 0.3
    }
    if rng.random() < 0.5:
        body[rng.choice([*known, "more"])] = rng.choice(STRANGE)
    if body and rng.random() < 0.1:
        del body[rng.choice(list(body))]
    return body if rng.random() < 0.95 else rng.choice(STRANGE)


def paths_of(
    path: str, item: dict[str, Any], operation: dict[str, Any], rng: random.Random
) -> Iterator[str]:
    """Yield addresses of an operation, some of them strange."""
    for _ in range(ROUNDS):
        made = path
        for parameter in item.get("parameters", []):
            wanted = parameter["schema"]
            value = rng.choice(wanted.get("enum", ["x1", "x2", "-", "a%20b", "%00", "a" * 65]))
            made = made.replace(f"{{{parameter['name']}}}", value)
        query = [
            f"{each['name']}={rng.choice(['BTC', '1', '50000', 'drawdown', '-1', '%F0', ''])}"
            for each in operation.get("parameters", [])
            if each["required"] or rng.random() < 0.5
        ]
        if rng.random() < 0.1:
            query.append("more=1")
        yield f"{made}?{'&'.join(query)}" if query else made


async def test_every_answer_is_one_that_the_contract_names(door: Stage) -> None:
    rng = random.Random(31)
    contract = (await door.ask("GET", "/v1/openapi.json")).document
    met: dict[int, int] = {}
    for path, item in contract["paths"].items():
        if path == "/v1/stream":
            continue  # it does not end
        for method, operation in item.items():
            if method == "parameters":
                continue
            schema = schema_of(contract, operation)
            for address in paths_of(path, item, operation, rng):
                body = json.dumps(body_of(schema, rng)).encode() if schema else None
                answer = await door.ask(method.upper(), address, body, rng.choice(WHO))
                met[answer.status] = met.get(answer.status, 0) + 1
                where = (method, address, body, answer)
                assert str(answer.status) in operation["responses"], where
                assert answer.status != 500, where
                if answer.status >= 400 and path != "/readyz":
                    assert answer.document["error"], where
                    assert set(answer.document) <= {"error", "field", "order"}, where
    assert {200, 400, 401, 403, 404, 429} <= set(met), met
    assert (await door.check()).status == 200
