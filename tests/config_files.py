"""Configuration files of tests: written with the modes that riskbot asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from riskbot.config import Config, load
from riskbot.core.limits._base import Limit
from riskbot.core.settings import CoreSettings
from riskbot.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "accounts": {"main": {"exchange": "paper"}},
    "portfolio": {"preset": "leveraged"},
}


def secret(directory: Path, name: str, value: str = "s3cret", mode: int = 0o600) -> Path:
    """Write a secret file."""
    file = directory / name
    file.write_text(value + "\n")
    file.chmod(mode)
    return file


def write(directory: Path, content: dict[str, Any] | str, mode: int = 0o600) -> Path:
    """Write riskbot.yaml."""
    file = directory / "riskbot.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    file.chmod(mode)
    return file


def loaded(directory: Path, content: dict[str, Any] | str, **env: str) -> Config:
    """Write and load."""
    return load(write(directory, content), env)


def faults_of(directory: Path, content: dict[str, Any] | str, **env: str) -> list[str]:
    """Write, load and return the faults; none = it loaded."""
    try:
        loaded(directory, content, **env)
    except ConfigError as error:
        return error.faults
    return []


def with_(**sections: Any) -> dict[str, Any]:
    """Return the minimal file with sections replaced."""
    return {**MINIMAL, **sections}


def account(**fields: Any) -> dict[str, Any]:
    """Return the minimal file with fields of its account added."""
    return with_(accounts={"main": {"exchange": "paper", **fields}})


def portfolio(**fields: Any) -> dict[str, Any]:
    """Return the minimal file with fields of its portfolio added."""
    return with_(portfolio={"preset": "leveraged", **fields})


def limits_of(core: CoreSettings, scope: str) -> dict[str, Limit]:
    """Return the limits of one scope by name."""
    return {limit.name: limit for where, limit in core.limits if where == scope}
