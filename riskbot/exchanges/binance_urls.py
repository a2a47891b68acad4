"""Addresses of one Binance-like server, completed where a configuration names only some of them.

ccxt keeps an address per version of an endpoint. Whoever moves one version to another server has
moved the account: a request left at the default would take its key to a stranger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_FAMILIES = (
    ("fapiPublic", ("V2", "V3")),
    ("fapiPrivate", ("V2", "V3")),
    ("dapiPrivate", ("V2",)),
    ("sapi", ("V2", "V3", "V4")),
)
_VERSION = re.compile(r"/v\d+/?$")
_OLD_SOCKETS = {"future": "linear", "delivery": "inverse"}
"""What ccxt called its sockets before it named them by margin."""


def completed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a ccxt configuration whose `urls.api` names every version of what it names.

    Addresses that are given stay as they are; so does a configuration without any.
    """
    api = (config.get("urls") or {}).get("api")
    if not isinstance(api, Mapping):
        return config
    whole = dict(api)
    for name, versions in _FAMILIES:
        _complete(whole, name, versions)
    sockets = whole.get("ws")
    if isinstance(sockets, Mapping):
        whole["ws"] = _renamed(sockets)
    return {**config, "urls": {**config["urls"], "api": whole}}


def _complete(api: dict[str, Any], name: str, versions: tuple[str, ...]) -> None:
    members = (name, *(name + version for version in versions))
    given = [str(api[member]) for member in members if api.get(member)]
    base = next((url for url in given if _VERSION.search(url)), None)
    if base is None:
        return
    for number, member in enumerate(members, start=1):
        if not api.get(member):
            api[member] = _VERSION.sub(f"/v{number}", base)


def _renamed(sockets: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(sockets)
    for old, new in _OLD_SOCKETS.items():
        if old in found:
            found.setdefault(new, found[old])
    nested = found.get("ws-api")
    if isinstance(nested, Mapping):
        found["ws-api"] = _renamed(nested)
    return found
