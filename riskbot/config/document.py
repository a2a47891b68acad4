"""The YAML file as a tree that knows its lines; duplicate keys are refused.

What the keys mean is the business of `models`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_MAX_BYTES = 1_000_000


@dataclass
class Document:
    """One parsed file.

    Attributes:
        data: the top mapping.
        lines: line number (from 1) by dotted path of the key.
    """

    data: dict[Any, Any]
    lines: dict[str, int] = field(default_factory=dict)

    def line_of(self, path: str) -> int | None:
        """Return the line of a key, or of the nearest mapping above it."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path.rpartition(".")[0]
        return None


def read_document(file: Path, faults: list[str]) -> Document | None:
    """Read a YAML file.

    Args:
        file: its path.
        faults: sentences are appended: unreadable, no YAML, duplicate keys with their lines.

    Returns:
        None when there is nothing that could be looked at further.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        faults.append(f"cannot read {file}: {error.strerror}")
        return None
    if len(content) > _MAX_BYTES:
        faults.append(f"{file} is larger than {_MAX_BYTES} bytes: no configuration")
        return None
    try:
        node = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
        lines: dict[str, int] = {}
        _walk(node, "", lines, faults)
        data = yaml.safe_load(content.decode())
    except UnicodeDecodeError:
        faults.append(f"{file} is no UTF-8 text")
        return None
    except yaml.YAMLError as error:
        faults.append(f"{file} is no YAML: {_explain(error)}")
        return None
    if not isinstance(data, dict):
        what = "empty" if data is None else "no mapping of keys"
        faults.append(f"{file} is {what}")
        return None
    return Document(data, lines)


def _explain(error: yaml.YAMLError) -> str:
    """Say where and what, without quoting the line: it may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it cannot be read"
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"


def _walk(node: yaml.Node | None, path: str, lines: dict[str, int], faults: list[str]) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note(item, f"{path}.{index}", lines, faults)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + 1
            where = f"{path}.{name}" if path else name
            if name in seen and name != "<<":
                faults.append(f"{where}: given twice (lines {seen[name]} and {line})")
            seen[name] = line
            lines[where] = line
            _walk(value, where, lines, faults)


def _note(node: yaml.Node, path: str, lines: dict[str, int], faults: list[str]) -> None:
    lines[path] = node.start_mark.line + 1
    _walk(node, path, lines, faults)
