"""The catalogues: English texts and what they are in other languages, one file per language.

A new language is a new file in `riskbot/data/languages`: its name there, and a text for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

import yaml

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One language.

    Attributes:
        name: in that language.
        texts: by the English one.
    """

    name: str
    texts: Mapping[str, str]


@cache
def catalogues() -> Mapping[str, Catalogue]:
    """Return every language by its code (ISO 639), English first."""
    found = {ENGLISH: Catalogue("English", {})}
    directory = resources.files("riskbot.data").joinpath("languages")
    for file in sorted(directory.iterdir(), key=lambda f: f.name):
        code, dot, kind = file.name.partition(".")
        if dot and kind == "yaml":
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            found[code] = Catalogue(document["name"], MappingProxyType(document["texts"]))
    return MappingProxyType(found)


def translation(language: str, text: str) -> str:
    """Return a text in a language, as it is where that has none."""
    catalogue = catalogues().get(language)
    return text if catalogue is None else catalogue.texts.get(text, text)


def nearest_language(code: str | None) -> str:
    """Return the language that Telegram's code (`pt-br`) means here, English for all others."""
    language = (code or "").partition("-")[0].lower()
    return language if language in catalogues() else ENGLISH
