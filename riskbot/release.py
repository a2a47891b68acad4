"""Which riskbot this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def riskbot_version() -> str:
    """Return the installed version, `dev` in a bare checkout."""
    try:
        return version("riskbot")
    except PackageNotFoundError:
        return "dev"
