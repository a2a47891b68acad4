"""`riskbot init`: asks for venue, keys, Telegram and preset; writes a shadow configuration.

Secrets go into files of mode 0600 beside it, never into the configuration or the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import pwd
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from riskbot.cli import exits, venues
from riskbot.cli.fitting import propose
from riskbot.cli.look import look
from riskbot.clock import SystemClock
from riskbot.config import load
from riskbot.config.faults import nearest
from riskbot.config.rights import judge_rights
from riskbot.core.limits.presets import PRESETS
from riskbot.core.model import RejectReason
from riskbot.errors import ConfigError, RiskbotError, UsageError
from riskbot.exchanges._lazy import exchange_ids

SYSTEM_CONFIG, SYSTEM_STATE = Path("/etc"), Path("/var/lib/riskbot")
SERVICE_USER = "riskbot"

_KEYS = ("api_key", "api_secret", "api_password", "wallet_address", "private_key")


@dataclass
class Answers:
    """What is to be written.

    Attributes:
        secrets: file name by key of the account; the values are written already.
        telegram: numeric user id, None = no Telegram.
    """

    account: str
    exchange: str
    preset: str
    state_dir: Path
    secrets: dict[str, str]
    telegram: int | None = None
    telegram_token: str = ""


def main(name: str, argv: list[str]) -> int:
    """Ask, look at the venue, write; 1 = there is a configuration already, or a key is refused."""
    options = _parser(name).parse_args(argv)
    path: Path = options.config.expanduser().absolute()
    if path.exists() and not options.force:
        print(f"riskbot: {path} exists already: --force replaces it", file=sys.stderr)
        return exits.NOT_DONE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    answers = _ask(options, path)
    _write(path, answers)
    if answers.exchange != venues.PAPER and not options.offline:
        proposed, is_good = asyncio.run(look_at(path, answers))
        if not is_good:
            path.unlink()
            print("riskbot: nothing is written: start again with another key", file=sys.stderr)
            return exits.NOT_DONE
        answers.preset = options.preset or _choose_preset(proposed)
        _write(path, answers)
    print(f"\nwritten: {path} (mode shadow: riskbot watches and says what it would do)")
    command = exits.command()
    print(f"next:    {command} check --connect --config {path}")
    if service_user(path) is not None:
        print("         systemctl enable --now riskbot")
    else:
        print(f"         {command} run --config {path}")
    return exits.OK


def _parser(name: str) -> argparse.ArgumentParser:
    parser = exits.parser(name, "Write a shadow configuration. What no flag gives is asked for.")
    parser.add_argument("--exchange", metavar="ID", help="a ccxt.pro id, or paper")
    parser.add_argument("--account", default="main", metavar="NAME", help="default main")
    for key in _KEYS:
        flag = key.replace("_", "-")
        parser.add_argument(f"--{flag}-file", metavar="FILE", help=f"read the {key} from a file")
        parser.add_argument(f"--{flag}-env", metavar="VARIABLE", help=argparse.SUPPRESS)
    parser.add_argument("--telegram-user", type=int, metavar="ID", help="numeric id, made admin")
    parser.add_argument("--telegram-token-file", metavar="FILE", help="token of the bot")
    parser.add_argument("--telegram-token-env", metavar="VARIABLE", help=argparse.SUPPRESS)
    parser.add_argument("--preset", choices=PRESETS, help="default: the one the present book fits")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="journal, HALT, socket")
    parser.add_argument("--offline", action="store_true", help="do not ask the venue")
    parser.add_argument("--force", action="store_true", help="replace an existing configuration")
    return parser


# ---------------------------------------------------------------- asking


def _ask(options: argparse.Namespace, path: Path) -> Answers:
    prompt = "Exchange (a ccxt.pro id, or paper): "
    exchange = options.exchange or _line(prompt, fault_of=_exchange_fault)
    if fault := _exchange_fault(exchange):
        raise UsageError(fault)
    secrets: dict[str, str] = {}
    if exchange != venues.PAPER:
        secrets = _ask_keys(options, path)
    answers = Answers(
        account=options.account,
        exchange=exchange,
        preset=options.preset or "cautious",
        state_dir=_state_dir(options, path),
        secrets=secrets,
    )
    _ask_telegram(options, path, answers)
    return answers


def _state_dir(options: argparse.Namespace, path: Path) -> Path:
    if options.state_dir is not None:
        return Path(options.state_dir).expanduser().absolute()
    is_system = path.is_relative_to(SYSTEM_CONFIG)
    return SYSTEM_STATE if is_system else path.parent / "state"


def _ask_keys(options: argparse.Namespace, path: Path) -> dict[str, str]:
    given = {key: value for key in _KEYS if (value := _from_flags(options, key))}
    if not given:
        given["api_key"] = _secret("API key: ")
        given["api_secret"] = _secret("API secret: ")
        if password := _secret("Passphrase (empty where the venue has none): ", is_needed=False):
            given["api_password"] = password
    names = {"api_key": "key", "api_secret": "secret", "api_password": "password"}
    files = {}
    for key, value in given.items():
        files[key] = f"{options.account}.{names.get(key, key)}"
        write_secret(path.parent / files[key], value)
    return files


def _ask_telegram(options: argparse.Namespace, path: Path, answers: Answers) -> None:
    user, token = options.telegram_user, _from_flags(options, "telegram_token")
    if user is None and token is None and sys.stdin.isatty():
        prompt = "Telegram user id (numeric, empty = no Telegram): "
        text = _line(prompt, is_needed=False, fault_of=_user_fault)
        user = int(text) if text else None
    if user is None:
        if token is not None:
            message = "--telegram-token-file needs --telegram-user"
            raise UsageError(message)
        return
    answers.telegram = user
    answers.telegram_token = "telegram.token"  # noqa: S105 - the name of a file
    write_secret(path.parent / answers.telegram_token, token or _secret("Token of the bot: "))


def _from_flags(options: argparse.Namespace, key: str) -> str | None:
    """Return a secret given as a file or an environment variable.

    Raises:
        UsageError: it was given, but is not there.
    """
    file, variable = getattr(options, f"{key}_file"), getattr(options, f"{key}_env")
    if file is not None:
        try:
            value = Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"cannot read {file}: {error}"
            raise UsageError(message) from None
    elif variable is not None:
        value = os.environ.get(variable, "").strip()
    else:
        return None
    if not value:
        message = f"{file or variable}: is empty"
        raise UsageError(message)
    return value


def _exchange_fault(text: str) -> str:
    known = (venues.PAPER, *exchange_ids())
    if text in known:
        return ""
    return f"no such exchange: {text!r}{nearest(text, known)}"


def _user_fault(text: str) -> str:
    return "" if text.isdecimal() else f"a Telegram user id is a number, not {text!r}"


def _preset_fault(text: str) -> str:
    return "" if text in PRESETS else f"no such preset: {text!r}"


def _line(
    prompt: str, *, is_needed: bool = True, fault_of: Callable[[str], str] = lambda _: ""
) -> str:
    """Return a line; at a terminal a wrong one is asked for again.

    Raises:
        UsageError: it is missing, or wrong and nobody is there to correct it.
    """
    while True:
        text = _needed(lambda: input(prompt), prompt, is_needed=is_needed)
        fault = fault_of(text) if text else ""
        if not fault:
            return text
        if not sys.stdin.isatty():
            raise UsageError(fault)
        print(fault, file=sys.stderr)


def _secret(prompt: str, *, is_needed: bool = True) -> str:
    # Without a terminal nothing is echoed anyway.
    read = getpass.getpass if sys.stdin.isatty() else input
    return _needed(lambda: read(prompt), prompt, is_needed=is_needed)


def _needed(read: Callable[[], str], prompt: str, *, is_needed: bool) -> str:
    try:
        value = read().strip()
    except EOFError:
        value = ""
    if not value and is_needed:
        message = f"{prompt.rstrip(': ')}: is missing (see --help for the flags)"
        raise UsageError(message)
    return value


def _choose_preset(proposed: str) -> str:
    if not sys.stdin.isatty():
        return proposed
    prompt = f"Preset ({', '.join(PRESETS)}) [{proposed}]: "
    return _line(prompt, is_needed=False, fault_of=_preset_fault) or proposed


# ---------------------------------------------------------------- looking


async def look_at(path: Path, answers: Answers) -> tuple[str, bool]:
    """Return the preset that fits what is held, and whether the key will do."""
    config = load(path)
    clock = SystemClock()
    account = config.accounts[answers.account]
    exchange = venues.build(answers.account, account, clock)
    state, sights = await look({answers.account: exchange}, config.core(), clock, {})
    sight = sights[answers.account]
    if sight.rights is not None:
        faults, warnings = judge_rights(
            sight.rights, allow_withdraw_keys=False, now_ms=clock.now_ms()
        )
        exits.tell_warnings(warnings)
        if faults:
            exits.tell_faults(faults)
            return answers.preset, False
    if sight.error is not None:
        is_refused = sight.error.reason is RejectReason.AUTHENTICATION
        what = "refuses the key" if is_refused else "does not answer; the preset is a guess"
        print(f"riskbot: {answers.exchange} {what}: {sight.error}", file=sys.stderr)
        return answers.preset, not is_refused
    preset, broken = propose(state.scopes(clock.now_ms()), answers.account)
    print(f"the present book fits preset {preset}")
    for line in broken:
        print(f"  except {line}: reported at the start, not acted upon until it clears")
    return preset, True


# ---------------------------------------------------------------- writing


def service_user(path: Path) -> pwd.struct_passwd | None:
    """Return whom the systemd unit runs as, where root writes a file for it to read."""
    if os.geteuid() != 0 or not path.is_relative_to(SYSTEM_CONFIG):
        return None
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None


def write_secret(path: Path, value: str, owner: pwd.struct_passwd | None = None) -> None:
    """Write a secret file that only its owner may read.

    Args:
        path: of the file.
        value: goes into it.
        owner: whom to give it to; default: `service_user`, else whoever writes.

    Raises:
        RiskbotError: it cannot be written.
    """
    owner = owner or service_user(path)
    try:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if owner is not None:
            os.fchown(handle, owner.pw_uid, owner.pw_gid)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise RiskbotError(message) from error
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        opened.write(value + "\n")


def _write(path: Path, answers: Answers) -> None:
    """Write the configuration and make sure that it loads.

    Raises:
        RiskbotError: it cannot be written, or would not load.
    """
    write_secret(path, _text(answers).rstrip("\n"))
    try:
        load(path)
    except ConfigError as error:
        path.unlink()
        raise RiskbotError("; ".join(error.faults)) from error


def _text(answers: Answers) -> str:
    lines = [
        "# Written by `riskbot init`. Every key: config/riskbot.yaml and docs/limits.md.",
        "mode: shadow          # `enforce` once you like what it says it would have done",
        f"state_dir: {answers.state_dir}",
        "accounts:",
        f"  {answers.account}:",
        f"    exchange: {answers.exchange}",
        *(f"    {key}_file: {file}" for key, file in answers.secrets.items()),
        "portfolio:",
        f"  preset: {answers.preset}",
    ]
    if answers.telegram is not None:
        lines += [
            "telegram:",
            f"  token_file: {answers.telegram_token}",
            f"  users: {{{answers.telegram}: admin}}",
        ]
    return "\n".join(lines) + "\n"
