"""What the `mqtt` section means: files that can be used, and what is warned of.

Connecting is the frontend's business; nothing here opens a socket.
"""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskbot.config.secret import is_open_to_others
from riskbot.core.commands import BY_NAME

if TYPE_CHECKING:
    from riskbot.config.models import MqttConfig
    from riskbot.config.secret import SecretReader

FILES = ("ca_file", "cert_file", "key_file")
SECRET_MIN = 32
"""Shortest secret that signs commands, characters."""


def locate(data: dict[Any, Any], reader: SecretReader) -> None:
    """Make the paths of certificates absolute, as for every `*_file`."""
    section = data.get("mqtt")
    if not isinstance(section, dict):
        return
    for name in FILES:
        if isinstance(section.get(name), str):
            section[name] = str(reader.locate(section[name]))


def check(config: MqttConfig | None, faults: list[str]) -> None:
    """Append what does not fit together, each a sentence that begins with the key."""
    if config is None:
        return
    if config.password is not None and config.username is None:
        faults.append("mqtt.username: is missing, a password needs one")
    _check_tls(config, faults)
    for name, sender in config.commands.items():
        path = f"mqtt.commands.{name}"
        if sender.secret is None:
            faults.append(f"{path}.secret: is missing (give secret, secret_file or secret_env)")
        elif len(sender.secret.get_secret_value()) < SECRET_MIN:
            faults.append(
                f"{path}.secret: is too short to sign with, needs {SECRET_MIN} characters or more"
            )
        faults += [
            f"{path}.allow: this version has no command {command!r}"
            for command in sender.allow
            if command not in BY_NAME
        ]


def _check_tls(config: MqttConfig, faults: list[str]) -> None:
    named = [name for name in FILES if getattr(config, name) is not None]
    if named and not config.tls:
        faults.append(f"mqtt.{named[0]}: is used with `tls: true` only")
    elif config.key_file is not None and config.cert_file is None:
        faults.append("mqtt.cert_file: is missing, key_file belongs to one")
    elif config.tls:
        _check_files(config, faults)


def _check_files(config: MqttConfig, faults: list[str]) -> None:
    key = "key_file" if config.key_file is not None else "cert_file"
    secret = getattr(config, key)
    for name in FILES:
        path = getattr(config, name)
        if path is not None and (why := _unreadable(Path(path))):
            faults.append(f"mqtt.{name}: cannot read {path}: {why}")
            return
    if secret is not None and is_open_to_others(Path(secret)):
        faults.append(f"mqtt.{key}: {secret} is open to others: chmod 600 {secret}")
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except (ssl.SSLError, ValueError):
        faults.append(f"mqtt.ca_file: {config.ca_file} holds no certificate (PEM)")
        return
    try:
        load_certificate(context, config.cert_file, config.key_file)
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        faults.append(f"mqtt.cert_file: {config.cert_file} cannot be used ({why})")


def load_certificate(context: ssl.SSLContext, cert_file: str | None, key_file: str | None) -> None:
    """Have a context show our certificate, if there is one.

    Raises:
        ssl.SSLError: it and its key do not fit, or are none.
        ValueError: the key is encrypted: nobody is there to be asked for its passphrase.
    """
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file, password=_refuse_passphrase)


def _refuse_passphrase() -> str:
    message = "the key is encrypted with a passphrase"
    raise ValueError(message)


def _unreadable(path: Path) -> str:
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def warnings(config: MqttConfig | None) -> list[str]:
    """Return what works and should not stay so."""
    if config is None:
        return []
    told = []
    if not config.tls and not _is_this_host(config.host):
        told.append(
            f"mqtt.tls: is off, and {config.host} is not this host: password and figures cross the "
            "network for everybody to read and change"
        )
    if config.username is None and config.cert_file is None:
        told.append(
            "mqtt.username: is missing: a broker that takes anonymous clients lets anybody read "
            "the figures, and publish false ones; see config/mosquitto.acl"
        )
    return told


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in {"localhost", "localhost.", "ip6-localhost"}
