"""The `mqtt` section: certificates that can be used, senders with secrets, what is warned of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riskbot.config import load
from tests.config_files import faults_of, loaded, secret, with_, write
from tests.servers.certificates import Authority

LONG = "0123456789abcdef0123456789abcdef"


def mqtt(**fields: Any) -> dict[str, Any]:
    return with_(mqtt={"username": "riskbot", **fields})


def test_plain_broker_on_this_host_needs_no_word(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert loaded(tmp_path, mqtt(host=host)).warnings == ()


@pytest.mark.parametrize("host", ["broker.example", "10.0.0.7", "2001:db8::1"])
def test_broker_elsewhere_without_tls_is_warned_of(tmp_path: Path, host: str) -> None:
    (warning,) = loaded(tmp_path, mqtt(host=host)).warnings
    assert warning.startswith("mqtt.tls: ")
    assert host in warning
    assert loaded(tmp_path, mqtt(host=host, tls=True)).warnings == ()


def test_anonymous_is_warned_of_unless_a_certificate_is_shown(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, with_(mqtt={})).warnings
    assert warning.startswith("mqtt.username: ")
    authority = Authority(tmp_path)
    certificate, key = authority.sign("riskbot")
    shown = {"tls": True, "cert_file": certificate.name, "key_file": key.name}
    assert loaded(tmp_path, with_(mqtt=shown)).warnings == ()


def test_files_are_found_beside_the_configuration_and_among_credentials(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    config = loaded(tmp_path, mqtt(tls=True, ca_file=authority.certificate.name))
    assert config.root.mqtt is not None
    assert config.root.mqtt.ca_file == str(authority.certificate)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    authority.certificate.rename(credentials / "ca.pem")
    found = loaded(
        tmp_path, mqtt(tls=True, ca_file="ca.pem"), CREDENTIALS_DIRECTORY=str(credentials)
    )
    assert found.root.mqtt is not None
    assert found.root.mqtt.ca_file == str(credentials / "ca.pem")


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("riskbot")
    other, _ = authority.sign("other")
    (tmp_path / "text.pem").write_text("no certificate")
    (tmp_path / "locked.key").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    (tmp_path / "locked.key").chmod(0o600)
    for fields, begins, says in (
        ({"ca_file": "gone.pem"}, "mqtt.ca_file: ", "gone.pem: No such file"),
        ({"ca_file": "text.pem"}, "mqtt.ca_file: ", "holds no certificate"),
        ({"key_file": key.name}, "mqtt.cert_file: ", "is missing"),
        ({"cert_file": other.name, "key_file": key.name}, "mqtt.cert_file: ", "MISMATCH"),
        ({"cert_file": certificate.name, "key_file": "locked.key"}, "mqtt.cert_file: ", "cannot"),
    ):
        faults = faults_of(tmp_path, mqtt(tls=True, **fields))
        assert len(faults) == 1, faults
        assert faults[0].startswith(begins), faults
        assert says in faults[0], faults
    key.chmod(0o644)
    (fault,) = faults_of(tmp_path, mqtt(tls=True, cert_file=certificate.name, key_file=key.name))
    assert fault.startswith("mqtt.key_file: ")
    assert "chmod 600" in fault


def test_certificate_without_tls_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, mqtt(ca_file="ca.pem"))
    assert fault.startswith("mqtt.ca_file: is used with `tls: true` only")


def test_password_without_a_name_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, with_(mqtt={"password": "x"}))
    assert fault.startswith("mqtt.username: is missing")


def test_senders_need_a_long_secret_and_commands_that_lower_risk(tmp_path: Path) -> None:
    def faults(**sender: Any) -> list[str]:
        return faults_of(tmp_path, mqtt(commands={"desk": sender}))

    assert faults(secret=LONG) == []
    assert faults(secret=LONG, allow=["halt"]) == []
    assert "is missing" in faults()[0]
    assert "too short" in faults(secret="short")[0]
    assert "short" not in faults(secret="sh0rt")[0].replace("too short", "")
    for command in ("resume", "flatten", "setlimit"):
        (fault,) = faults(secret=LONG, allow=[command])
        assert fault.startswith("mqtt.commands.desk.allow.0: must be one of 'halt', 'cancel'")
        assert command in fault
    assert faults(secret=LONG, allow=[])[0].startswith("mqtt.commands.desk.allow: ")
    name = {"a/b": {"secret": LONG}}
    assert "cannot be a name" in faults_of(tmp_path, mqtt(commands=name))[0]


def test_secret_of_a_sender_is_read_from_its_file_and_hidden(tmp_path: Path) -> None:
    secret(tmp_path, "desk.secret", LONG)
    file = write(tmp_path, mqtt(commands={"desk": {"secret_file": "desk.secret"}}), mode=0o644)
    config = load(file, {})
    assert config.root.mqtt is not None
    sender = config.root.mqtt.commands["desk"]
    assert sender.secret is not None
    assert sender.secret.get_secret_value() == LONG
    assert LONG not in repr(config)
    assert sender.allow == ["halt", "cancel", "ack"]
