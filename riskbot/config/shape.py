"""What the models look like from outside: their keys, sections within, secrets.

Used to find secrets before the models see them, to suggest the nearest key, and for the docs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from riskbot.config.secret import Secret

Kind = Literal["plain", "section", "mapping", "list", "secret"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section.

    Attributes:
        kind: what stands below it: a value, a section, a mapping of or a list of sections, or a
            secret with its three forms.
        section: model of the section, or of the items.
    """

    name: str
    kind: Kind
    section: type[BaseModel] | None = None

    @property
    def forms(self) -> tuple[str, ...]:
        """Names under which it may stand in the YAML."""
        if self.kind != "secret":
            return (self.name,)
        return (self.name, f"{self.name}_file", f"{self.name}_env")


def keys(model: type[BaseModel]) -> Iterator[Key]:
    """Return the keys of a section, in the order of the model."""
    for name, field in model.model_fields.items():
        kind, section = _classify(field.annotation)
        yield Key(name, kind, section)


def names(model: type[BaseModel]) -> list[str]:
    """Return every name that may stand in a section."""
    return [form for key in keys(model) for form in key.forms]


def section_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Return the model of the section a location leads to, None when it leads to none.

    Args:
        model: of the section to start in.
        location: keys, names and list positions, as pydantic tells them.
    """
    found: type[BaseModel] | None = model
    steps = list(location)
    while steps and found is not None:
        key = next((k for k in keys(found) if k.name == steps[0]), None)
        if key is None or key.section is None:
            return None
        used = 1 if key.kind == "section" else 2
        if len(steps) < used:
            return None
        found, steps = key.section, steps[used:]
    return found


def _classify(annotation: Any) -> tuple[Kind, type[BaseModel] | None]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Secret:
        return "secret", None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section", annotation
    if origin in {Union, UnionType}:
        return _classify(next(a for a in arguments if a is not type(None)))
    if origin is Annotated:
        return _classify(arguments[0])
    if origin in {dict, list}:
        kind, section = _classify(arguments[-1])
        if section is not None and kind == "section":
            return ("mapping" if origin is dict else "list"), section
    return "plain", None
