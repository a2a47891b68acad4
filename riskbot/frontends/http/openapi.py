"""The OpenAPI document, written from the models that validate and the routes that are served."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from riskbot.core.commands import BY_NAME
from riskbot.core.commands._base import Command
from riskbot.core.commands.history import History
from riskbot.frontends._gateway import models
from riskbot.frontends.http.reads import ALWAYS, PRICE

_REF = "#/components/schemas/{model}"
_BODIES = (models.OrderBody, models.AmendBody, models.CommandBody)
_ANSWERS = (models.Answer, models.Order, models.Reason, models.Fault, models.Done)

_FAULTS = {
    HTTPStatus.BAD_REQUEST: "malformed; the field is named",
    HTTPStatus.UNAUTHORIZED: "no token, or one that is not known",
    HTTPStatus.FORBIDDEN: "this token may not do that",
    HTTPStatus.REQUEST_TIMEOUT: "the body did not arrive in time",
    HTTPStatus.MISDIRECTED_REQUEST: "the Host is not riskbot's",
    HTTPStatus.TOO_MANY_REQUESTS: "too many failed logins",
    HTTPStatus.INTERNAL_SERVER_ERROR: "a bug of riskbot's: to a strategy, a denial",
    HTTPStatus.SERVICE_UNAVAILABLE: "not ready or overloaded: to a strategy, a denial",
}
_WITH_BODY = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is too long",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "the body is not application/json",
}
_WITH_ID = {
    HTTPStatus.NOT_FOUND: "you have no such order",
    HTTPStatus.CONFLICT: "the order's state, or another use of its id, does not allow it",
}
_TAKEN = {HTTPStatus.CONFLICT: "client_order_id was used with another body, or by another order"}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}

_ID = {
    "name": "client_order_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": models.CLIENT_ID},
}


def document(version: str) -> dict[str, Any]:
    """Return the document of this version's routes."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "riskbot",
            "version": version,
            "description": (
                "Every order asks first: `/v1/orders/check` answers and you send it, "
                "`/v1/orders` has riskbot send it. A decision is 200 whatever it says; anything "
                "else, and no answer at all, means: do not trade."
            ),
        },
        "security": [{"token": []}],
        "paths": _orders() | _reads(),
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _schemas() -> dict[str, Any]:
    taken = [(model, "validation") for model in _BODIES]
    told = [(model, "serialization") for model in _ANSWERS]
    _, found = models_json_schema([*taken, *told], ref_template=_REF)  # type: ignore[list-item]
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _orders() -> dict[str, Any]:
    answer, order = models.Answer, models.Order
    return {
        "/v1/orders/check": {
            "post": _route("May this order go? You send it.", answer, models.OrderBody, _TAKEN)
        },
        "/v1/orders": {
            "post": _route("Check this order and send it.", answer, models.OrderBody, _TAKEN)
        },
        "/v1/orders/{client_order_id}": {
            "parameters": [_ID],
            "get": _route(
                "How an order stands.",
                order,
                None,
                {HTTPStatus.NOT_FOUND: _WITH_ID[HTTPStatus.NOT_FOUND]},
                query={
                    "strategy": (
                        "whose, for an admin where several have one of that id",
                        {"type": "string", "minLength": 1},
                    )
                },
            ),
            "patch": _route("Amend an order; checked.", answer, models.AmendBody, _WITH_ID),
            "delete": _route("Cancel an order.", order, None, _WITH_ID),
        },
    }


def _reads() -> dict[str, Any]:
    plain = {
        "/v1/status": "How riskbot and the accounts stand.",
        "/v1/positions": "Every position.",
        "/v1/exposure": "Gross, net, assets, sectors, groups, hedges.",
        "/v1/risk": "VaR, expected shortfall, correlation, ways out, scenarios.",
        "/v1/limits": "Every limit with its measure and headroom.",
        "/v1/alerts": "What fires, worst first.",
        "/v1/openapi.json": "This document.",
    }
    paths: dict[str, Any] = {path: {"get": _route(words)} for path, words in plain.items()}
    paths["/v1/decisions"] = {
        "get": _route(
            "The audit, newest first.",
            query={
                "limit": ("rows, else 100", {"type": "integer", "minimum": 1, "maximum": 1_000}),
                "before": ("only seq below this", _COUNT),
            },
        )
    }
    paths["/v1/history"] = {
        "get": _route(
            "A measure through time, [[ts_ms, value]].",
            query={
                "measure": ("its name, else drawdown", {"type": "string", "enum": _measures()}),
                "since": ("UTC ms", _COUNT),
                "until": ("UTC ms", _COUNT),
            },
        )
    }
    paths["/v1/size"] = {
        "get": _route(
            "How much of an instrument may be traded now.",
            more={HTTPStatus.NOT_FOUND: "no such instrument, or more than one"},
            query={
                "instrument": (
                    "required: symbol, or base asset where that is enough",
                    {"type": "string", "minLength": 1},
                ),
                "stop": ("price of the stop", {"type": "string", "pattern": PRICE}),
                "account": (
                    "which; a strategy of one account need not say",
                    {"type": "string", "minLength": 1},
                ),
            },
        )
    }
    paths |= {f"/v1/commands/{name}": {"post": _command(kind)} for name, kind in BY_NAME.items()}
    paths["/v1/stream"] = {"get": _stream()}
    for path, words in {"/healthz": "riskbot lives.", "/readyz": "riskbot sees and acts."}.items():
        route = _route(words)
        kept = {"200", "503"} if path == "/readyz" else {"200"}
        route["responses"] = {k: v for k, v in route["responses"].items() if k in kept}
        paths[path] = {"get": {**route, "security": []}}
    paths["/metrics"] = {"get": _metrics()}
    return paths


def _metrics() -> dict[str, Any]:
    route = _route("What Prometheus scrapes. Open on loopback, else a viewer's token is needed.")
    refusals = {key: route["responses"][key] for key in ("401", "403") if key in route["responses"]}
    text = {"description": "metrics as text", "content": {"text/plain": {}}}
    return {**route, "responses": {"200": text, **refusals}, "security": [{}, {"token": []}]}


def _measures() -> list[str]:
    return list(get_args(History.model_fields["measure"].annotation))


def _command(kind: type[Command]) -> dict[str, Any]:
    """Return the route of a command; its body has what of the arguments it takes."""
    route = _route(
        f"{kind.help}: done at once, or answered by a plan whose plan_id carries it out.",
        models.Done,
        models.CommandBody,
        is_body_needed=False,
    )
    known = models.CommandBody.model_json_schema()["properties"]
    taken = {name: known[name] for name in known if name in {*kind.model_fields, *ALWAYS}}
    body = {"type": "object", "properties": taken, "additionalProperties": False}
    route["requestBody"]["content"]["application/json"]["schema"] = body
    return route


def _stream() -> dict[str, Any]:
    route = _route("Server-sent events: status, alert, decision, order; end before it ends.")
    route["responses"]["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    return route


def _route(
    summary: str,
    told: type[BaseModel] | None = None,
    taken: type[BaseModel] | None = None,
    more: dict[HTTPStatus, str] | None = None,
    *,
    query: dict[str, str | tuple[str, dict[str, Any]]] | None = None,
    is_body_needed: bool = True,
) -> dict[str, Any]:
    faults = _FAULTS | (more or {}) | (_WITH_BODY if taken is not None else {})
    responses = {"200": {"description": "OK", "content": _content(told)}}
    for status, words in sorted(faults.items()):
        responses[str(status.value)] = {"description": words, "content": _content(models.Fault)}
    route: dict[str, Any] = {"summary": summary, "responses": responses}
    if taken is not None:
        route["requestBody"] = {"required": is_body_needed, "content": _content(taken)}
    if query:
        route["parameters"] = [_parameter(name, said) for name, said in query.items()]
    return route


def _parameter(name: str, said: str | tuple[str, dict[str, Any]]) -> dict[str, Any]:
    words, schema = (said, {"type": "string"}) if isinstance(said, str) else said
    return {
        "name": name,
        "in": "query",
        "description": words,
        "required": words.startswith("required"),
        "schema": schema,
    }


def _content(model: type[BaseModel] | None) -> dict[str, Any]:
    schema = {} if model is None else {"$ref": _REF.format(model=model.__name__)}
    return {"application/json": {"schema": schema}}
