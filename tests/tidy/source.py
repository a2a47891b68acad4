"""What the rules read: a source file with its tree, and the imports in it."""

from __future__ import annotations

import ast
import os
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path, PurePosixPath

SKIPPED_DIRECTORIES = frozenset(
    {".git", ".venv", "__pycache__", "build", "dist", "htmlcov", "node_modules", "state"}
    | {".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


@dataclass(frozen=True)
class Source:
    """One text file, by its path from the root of the repository, with forward slashes."""

    path: str
    text: str

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def module(self) -> str:
        """Dotted name; a package has the name of its directory."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("/__init__.py")

    def comments(self) -> Iterator[tuple[int, str]]:
        """Line and text of each comment."""
        for token in tokenize.generate_tokens(StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string

    def within(self, package: str) -> bool:
        """Whether it is that module or below it."""
        return is_within(self.module, package)


def is_within(module: str, package: str) -> bool:
    """Whether a module is that package or below it."""
    return module == package or module.startswith(package + ".")


def python(sources: list[Source], *packages: str) -> list[Source]:
    """Pick the Python sources that lie in any of these packages."""
    return [s for s in sources if s.is_python and any(s.within(p) for p in packages)]


def imports(source: Source, known: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that a source imports, for types alone included.

    `known` are the modules that exist: they tell `from package import module` from
    `from module import name`.
    """
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                # The top package holds no names of its own, but perhaps a module yet to be written.
                is_module = full in known or (base == "riskbot" and alias.name.isalpha())
                yield node.lineno, full if is_module else base


def modules(sources: list[Source]) -> frozenset[str]:
    """Names of all modules among the sources."""
    return frozenset(s.module for s in sources if s.is_python)


def load(root: Path) -> list[Source]:
    """Read every text file of the repository, leaving out what tools made."""
    found = []
    for directory, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIPPED_DIRECTORIES)
        for name in sorted(files):
            path = Path(directory, name)
            try:
                text = path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError):
                continue  # price data and pictures are not text; an editor's file may vanish
            found.append(Source(path.relative_to(root).as_posix(), text))
    return found
