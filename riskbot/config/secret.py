"""Secrets: a value that no log, traceback or dump shows, and the three ways to name one.

`name: value` inline, `name_file: path` or `name_env: VARIABLE`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Where systemd shows a service its credentials; it sets the modes itself."""

_MAX_BYTES = 65_536
_OTHERS = 0o077


class Secret:
    """A secret string: only `get_secret_value` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.get_secret_value() == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        message = "a secret is never serialized"
        raise TypeError(message)


@dataclass
class SecretReader:
    """Reads secrets for one configuration file and remembers what went wrong.

    Attributes:
        directory: of the configuration file; relative paths start there.
        env: environment; `$CREDENTIALS_DIRECTORY` is looked at before `directory`.
        faults: (path of the key, sentence without the value).
        inline: paths of the keys whose secret stands in the YAML itself.
        found: every secret read, for redaction of logs.
    """

    directory: Path
    env: Mapping[str, str]
    faults: list[tuple[str, str]] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    found: list[Secret] = field(default_factory=list)

    def take(self, fields: dict[str, object], name: str, path: str) -> Secret | None:
        """Remove `name`, `name_file` and `name_env` from a mapping and return the secret.

        Args:
            fields: the YAML mapping; a form given as null counts as absent.
            name: of the secret.
            path: of the mapping, dotted, ending in a dot or empty.

        Returns:
            None when no form is given or a fault was noted.
        """
        forms = (name, f"{name}_file", f"{name}_env")
        given = {form: fields.pop(form) for form in forms if form in fields}
        given = {form: value for form, value in given.items() if value is not None}
        if not given:
            return None
        if len(given) > 1:
            self._fault(path + next(iter(given)), f"give one of {', '.join(given)}, not several")
            return None
        ((form, value),) = given.items()
        if not isinstance(value, str) or not value.strip():
            self._fault(path + form, "must be text that is not empty (in quotes if it is a number)")
            return None
        secret = self._read(form.removeprefix(name), value, path + form)
        if secret is not None:
            self.found.append(secret)
        return secret

    def _read(self, form: str, value: str, path: str) -> Secret | None:
        if form == "_file":
            return self._from_file(value, path)
        if form == "_env":
            return self._from_env(value, path)
        self.inline.append(path)
        return Secret(value.strip())

    def _from_env(self, variable: str, path: str) -> Secret | None:
        value = self.env.get(variable, "").strip()
        if not value:
            self._fault(path, f"environment variable {variable} is not set or empty")
            return None
        return Secret(value)

    def _from_file(self, name: str, path: str) -> Secret | None:
        file = self.locate(name)
        try:
            with file.open("rb") as opened:
                state = os.fstat(opened.fileno())
                content = opened.read(_MAX_BYTES + 1)
            text = content.decode().strip()
        except UnicodeDecodeError:
            self._fault(path, f"{file} is no text")
            return None
        except OSError as error:
            self._fault(path, f"cannot read {file}: {error.strerror}")
            return None
        if not text or len(content) > _MAX_BYTES:
            self._fault(path, f"{file} is {'too large' if text else 'empty'}")
            return None
        if not self._is_credential(file) and not _is_private(state):
            mode = stat.S_IMODE(state.st_mode)
            self._fault(path, f"{file} is open to others (mode {mode:04o}): chmod 600 {file}")
            return None
        return Secret(text)

    def locate(self, name: str) -> Path:
        """Return where a `*_file` is: a credential of the unit, else beside the configuration."""
        given = Path(name).expanduser()
        if not given.is_absolute() and self.env.get(CREDENTIALS_VARIABLE):
            credential = Path(self.env[CREDENTIALS_VARIABLE]) / given
            if credential.exists():
                return credential
        return self.directory / given

    def _is_credential(self, file: Path) -> bool:
        directory = self.env.get(CREDENTIALS_VARIABLE)
        return bool(directory) and file.is_relative_to(str(directory))

    def _fault(self, path: str, sentence: str) -> None:
        self.faults.append((path, sentence))


def _is_private(state: os.stat_result) -> bool:
    """Whether only the owner can read it, or root's group of the service (root:riskbot 0640)."""
    if not state.st_mode & _OTHERS:
        return True
    is_root_given = state.st_uid == 0 and os.geteuid() != 0
    return is_root_given and not state.st_mode & (stat.S_IRWXO | stat.S_IWGRP)


def is_open_to_others(file: Path) -> bool:
    """Tell whether somebody besides the owner may read or write a file that holds a secret."""
    return not _is_private(file.stat())
