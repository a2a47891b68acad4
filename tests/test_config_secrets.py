"""Secrets: three forms, their files' modes, and that nothing shows them."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import pytest

from riskbot.config import load
from riskbot.config.secret import Secret
from riskbot.errors import ConfigError
from tests.config_files import MINIMAL, account, faults_of, loaded, secret, with_, write

CANARY = "k3y-canary-9f"


def key_of(directory: Path, fields: dict[str, object], **env: str) -> str:
    config = loaded(directory, account(**fields), **env)
    found = config.accounts["main"].api_key
    assert found is not None
    return found.get_secret_value()


def test_secret_when_given_in_any_form_is_read(tmp_path: Path) -> None:
    secret(tmp_path, "main.key", CANARY)
    assert key_of(tmp_path, {"api_key": CANARY}) == CANARY
    assert key_of(tmp_path, {"api_key_file": "main.key"}) == CANARY
    assert key_of(tmp_path, {"api_key_file": str(tmp_path / "main.key")}) == CANARY
    assert key_of(tmp_path, {"api_key_env": "KEY"}, KEY=CANARY) == CANARY
    assert key_of(tmp_path, {"api_key": CANARY, "api_key_file": None}) == CANARY


def test_secret_when_credentials_directory_holds_it_comes_from_there(tmp_path: Path) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    secret(tmp_path, "main.key", "beside")
    env = {"CREDENTIALS_DIRECTORY": str(given)}
    assert key_of(tmp_path, {"api_key_file": "main.key"}, **env) == "beside"
    # systemd sets the modes of its own directory, readable to the service's group as well
    secret(given, "main.key", CANARY, mode=0o440)
    assert key_of(tmp_path, {"api_key_file": "main.key"}, **env) == CANARY


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"api_key_file": "none.key"}, "api_key_file: cannot read {0}/none.key: No such file"),
        ({"api_key_file": "empty.key"}, "api_key_file: {0}/empty.key is empty"),
        ({"api_key_file": "open.key"}, "is open to others (mode 0644): chmod 600 {0}/open.key"),
        ({"api_key_file": "binary.key"}, "{0}/binary.key is no text"),
        ({"api_key_file": "large.key"}, "{0}/large.key is too large"),
        ({"api_key_file": "."}, "api_key_file: cannot read {0}: Is a directory"),
        ({"api_key_env": "NOPE"}, "api_key_env: environment variable NOPE is not set"),
        ({"api_key": 12345}, "api_key: must be text that is not empty"),
        ({"api_key": "a", "api_key_env": "B"}, "give one of api_key, api_key_env, not several"),
    ],
)
def test_secret_when_it_cannot_be_had_says_why(
    tmp_path: Path, fields: dict[str, object], part: str
) -> None:
    secret(tmp_path, "empty.key", "")
    secret(tmp_path, "open.key", CANARY, mode=0o644)
    secret(tmp_path, "large.key", CANARY * 10_000)
    secret(tmp_path, "binary.key").write_bytes(b"\xff\xfe")
    (fault,) = faults_of(tmp_path, account(**fields))
    assert fault.startswith("accounts.main.")
    assert part.format(tmp_path) in fault
    assert CANARY not in fault


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_secret_when_file_may_not_be_read_says_so(tmp_path: Path) -> None:
    secret(tmp_path, "main.key", CANARY, mode=0o000)
    (fault,) = faults_of(tmp_path, account(api_key_file="main.key"))
    assert "Permission denied" in fault


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660])
def test_inline_secret_when_file_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    file = write(tmp_path, account(api_key=CANARY), mode=mode)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert caught.value.faults == [
        f"accounts.main.api_key: a secret stands in a file that others can read: chmod 600 {file}, "
        "or use api_key_file (line 3)"
    ]


def test_inline_secret_when_handed_to_ccxt_counts_too(tmp_path: Path) -> None:
    content = account(exchange="bybit", ccxt={"apiKey": CANARY, "secret": "two", "options": {}})
    config = loaded(tmp_path, content)
    assert [s.get_secret_value() for s in config.secrets] == [CANARY, "two"]
    with pytest.raises(ConfigError, match=r"accounts\.main\.ccxt\.apiKey: a secret stands in"):
        load(write(tmp_path, content, mode=0o644), {})


def test_urls_when_file_is_open_to_others_are_warned_of(tmp_path: Path) -> None:
    content = with_(notify=[{"url": f"ntfy://{CANARY}"}], heartbeat_url=f"https://x/{CANARY}")
    warnings = load(write(tmp_path, content, mode=0o644), {}).warnings
    assert [w.partition(": ")[0] for w in warnings] == [
        "notify.0.url",
        "heartbeat_url",
    ]
    assert CANARY not in "".join(warnings)


def test_file_when_no_secret_stands_in_it_may_be_read_by_all(tmp_path: Path) -> None:
    assert load(write(tmp_path, MINIMAL, mode=0o644), {}).warnings == ()


def test_secret_when_shown_or_dumped_hides_itself(tmp_path: Path) -> None:
    config = loaded(tmp_path, account(api_key=CANARY, api_secret=CANARY))
    hidden = config.secrets[0]
    main = config.accounts["main"]
    texts = [repr(hidden), str(hidden), f"{hidden:>20}", repr(config), repr(config.root)]
    texts += [str(main), repr(main.credentials()), str(main.model_dump())]
    assert CANARY not in "".join(texts)
    assert hidden == Secret(CANARY)
    assert hidden != CANARY
    assert len({hidden, Secret(CANARY)}) == 1
    for dump in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            dump(hidden)


def test_credentials_when_handed_over_carry_the_values(tmp_path: Path) -> None:
    config = loaded(tmp_path, account(api_key="k", api_secret="s", api_password="p"))
    assert config.accounts["main"].credentials().ccxt_config() == {
        "apiKey": "k",
        "secret": "s",
        "password": "p",
    }


def test_faults_when_other_keys_are_wrong_never_show_a_secret(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path,
        {
            "accounts": {"main": CANARY, "two": {"exchange": "paper", "api_kee": CANARY}},
            "portfolio": [CANARY],
            "telegram": CANARY,
            "mqtt": {"password": [CANARY], "passwort": CANARY},
            "http": [CANARY],
        },
    )
    assert len(faults) >= 6
    assert CANARY not in "".join(faults)
