"""Addresses of one Bybit-like server, completed where a configuration names only some of them.

Whoever moves one socket to another server has moved them all: a login left at the default would
take the key to a stranger, and prices of the two would be mixed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_PUBLIC = ("spot", "linear", "inverse", "option")
_PRIVATE = ("contract", "usdc")


def completed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a ccxt configuration whose `urls.api` names every socket of the server it names.

    Addresses that are given stay as they are; so does a configuration without any.
    """
    api = (config.get("urls") or {}).get("api")
    if not isinstance(api, Mapping):
        return config
    whole = dict(api)
    if whole.get("private"):
        whole.setdefault("public", whole["private"])
    sockets = whole.get("ws", {})
    if isinstance(sockets, Mapping):
        whole["ws"] = _sockets(sockets, _own_server(str(whole.get("private") or "")))
    return {**config, "urls": {**config["urls"], "api": whole}}


def _sockets(given: Mapping[str, Any], own: str | None) -> dict[str, Any]:
    public, private = given.get("public") or {}, given.get("private") or {}
    if not isinstance(public, Mapping) or not isinstance(private, Mapping):
        return dict(given)
    open_base, login_base = _base(public), _base(private)
    open_to, login_to = open_base or login_base or own, login_base or open_base or own
    if open_to is None or login_to is None:
        return dict(given)
    named = {name: f"{open_to}/v5/public/{name}" for name in _PUBLIC}
    login: dict[str, Any] = dict.fromkeys(_PRIVATE, f"{login_to}/v5/private")
    return {**given, "public": {**named, **public}, "private": {**login, **private}}


def _base(urls: Mapping[str, Any]) -> str | None:
    # What stands before the venue's own path.
    known = [url for url in urls.values() if isinstance(url, str) and url]
    return known[0].partition("/v5/")[0].rstrip("/") if known else None


def _own_server(rest: str) -> str | None:
    # An address without a name is a server of one's own, sockets included; behind a name there
    # may be a proxy of requests alone.
    parts = urlsplit(rest)
    host = parts.hostname or ""
    try:
        is_own = host == "localhost" or bool(ipaddress.ip_address(host))
    except ValueError:
        return None
    scheme = "wss" if parts.scheme == "https" else "ws"
    return f"{scheme}://{parts.netloc}" if is_own else None


def categories(api: Any) -> dict[str, str]:
    """Return which category each public socket of a ccxt client speaks of.

    An address that serves several says nothing.
    """
    sockets = api.urls["api"]["ws"]["public"]
    found: dict[str, str] = {}
    for name in _PUBLIC:
        url = api.implode_hostname(str(sockets.get(name) or ""))
        found[url] = "" if url in found else name
    return found
