"""The configuration: `load` reads the YAML of spec.md section 10, or names every fault at once.

The sections' keys and defaults live in `models`; what the core needs of them in `core.settings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from riskbot import redaction
from riskbot.config import broker, doors
from riskbot.config.check import check_credentials, check_limits, check_root
from riskbot.config.document import Document, read_document
from riskbot.config.faults import sentences, with_lines
from riskbot.config.models import AccountConfig, Root
from riskbot.config.salvage import whole_part
from riskbot.config.scenarios import load_scenarios
from riskbot.config.secret import Secret, SecretReader, is_open_to_others
from riskbot.config.settings import build_limits, config_hash, core_settings
from riskbot.config.shape import keys
from riskbot.core.limits._base import Limit
from riskbot.core.scenarios import Scenario
from riskbot.core.settings import CoreSettings
from riskbot.errors import ConfigError
from riskbot.exchanges._lazy import exchange_ids

DEFAULT_PATH = Path("/etc/riskbot/riskbot.yaml")
"""Where commands look without `--config`."""

STATE_VARIABLE = "STATE_DIRECTORY"

JOURNAL_NAME = "journal.sqlite"
SOCKET_NAME = "riskbot.sock"
GATEWAY_NAME = "gateway.sock"
HALT_NAME = "HALT"
MEMORY_NAME = "strategies.json"
"""Files of the state directory."""

# Credentials that people hand to ccxt directly; they count as inline secrets.
_CCXT_SECRETS = ("apiKey", "secret", "password", "walletAddress", "privateKey", "token")

# Inline values that are often no secret: a file that others can read is warned of, not refused.
_SOFT_SECRETS = ("url", "heartbeat_url")


@dataclass(frozen=True)
class Config:
    """A configuration without faults.

    Attributes:
        path: of the file.
        root: its sections.
        state_dir: absolute; journal, HALT file and socket live there.
        limits: (scope, limit) of every limit that is on.
        sectors: sector by underlying, shipped map with the user's own over it.
        scenarios: stress scenarios, those that ship with the user's own over them.
        warnings: sentences for the start: parts that are not built yet, loose file modes.
        hash: of everything but secrets; the same file gives the same hash.
        secrets: every secret read, for redaction of logs.
    """

    path: Path
    root: Root
    state_dir: Path
    limits: tuple[tuple[str, Limit], ...]
    sectors: Mapping[str, str]
    scenarios: tuple[Scenario, ...]
    warnings: tuple[str, ...]
    hash: str
    secrets: tuple[Secret, ...]

    @property
    def accounts(self) -> dict[str, AccountConfig]:
        """Accounts by name."""
        return self.root.accounts

    @property
    def totp_secret(self) -> str | None:
        """Secret of the one-time codes, None = none are asked for."""
        telegram = self.root.telegram
        secret = telegram.totp_secret if telegram is not None else None
        return secret.get_secret_value() if secret is not None else None

    @property
    def socket_path(self) -> Path:
        """Socket of the local door."""
        return self.state_dir / SOCKET_NAME

    @property
    def gateway_path(self) -> Path:
        """Socket of the HTTP door, for strategies on this machine."""
        return self.state_dir / GATEWAY_NAME

    @property
    def halt_path(self) -> Path:
        """File that `kill` writes."""
        return self.state_dir / HALT_NAME

    @property
    def memory_path(self) -> Path:
        """File that remembers which strategies riskbot stopped."""
        return self.state_dir / MEMORY_NAME

    @property
    def journal_path(self) -> Path:
        """Database of the journal."""
        return self.state_dir / JOURNAL_NAME

    def named(self, account: str) -> list[tuple[str, str]]:
        """Return (key, instrument) of every instrument the file names on an account."""
        portfolio = self.root.portfolio
        found = [(f"accounts.{account}.instruments", s) for s in self.accounts[account].instruments]
        found += [
            (f"portfolio.hedges.{underlying}.instrument", hedge.instrument)
            for underlying, hedge in portfolio.hedges.items()
            if hedge.account == account
        ]
        found += [
            (f"portfolio.pairs.{number}.legs", leg.instrument)
            for number, pair in enumerate(portfolio.pairs)
            for leg in pair.legs
            if leg.account == account
        ]
        return found

    def symbols_of(self, account: str) -> tuple[str, ...]:
        """Return the instruments to watch on an account whatever is held there."""
        return tuple(dict.fromkeys(symbol for _, symbol in self.named(account)))

    def core(self) -> CoreSettings:
        """Return what the core is configured by."""
        return core_settings(self.root, self.limits, self.sectors, self.scenarios)


def load(
    path: Path | str, env: Mapping[str, str] | None = None, *, for_run: bool = False
) -> Config:
    """Read and check a configuration; nothing is connected to.

    Args:
        path: of the YAML file.
        env: environment, for `*_env`, `$CREDENTIALS_DIRECTORY` and `$STATE_DIRECTORY`.
        for_run: also look at what only `run` needs: each exchange's own set of credentials, and a
            `state_dir` that `ctl` and `kill` in a login shell find too.

    Raises:
        ConfigError: every fault at once, each a sentence that begins with the key.
    """
    env = os.environ if env is None else env
    file = Path(path).expanduser().absolute()
    faults: list[str] = []
    document = read_document(file, faults)
    if document is None:
        raise ConfigError(faults)
    reader = SecretReader(file.parent, env)
    data = _take_secrets(document.data, Root, "", reader)
    broker.locate(data, reader)
    faults += [f"{key}: {sentence}" for key, sentence in reader.faults]
    warnings = _check_modes(file, document, reader, faults)
    _hide(reader)
    root = _validate(data, faults)
    limits = [] if root is None else _check(root, faults)
    scenarios: tuple[Scenario, ...] = ()
    if root is not None:
        scenarios = load_scenarios(root.scenarios_dir, file, _sectors(root), faults, warnings)
    if for_run and env.get(STATE_VARIABLE) and document.data.get("state_dir") is None:
        faults.append(
            f"state_dir: is missing: under systemd write `state_dir: {env[STATE_VARIABLE]}`, so "
            "that `riskbot ctl` and `riskbot kill` from a login shell find the same place"
        )
    if for_run and root is not None and not faults:
        check_credentials(root, faults)
    if root is None or faults:
        raise ConfigError(with_lines(faults, document))
    return Config(
        path=file,
        root=root,
        state_dir=_state_dir(root.state_dir, file, env),
        limits=tuple(limits),
        sectors=_sectors(root),
        scenarios=scenarios,
        warnings=(*warnings, *_warnings(root)),
        hash=config_hash(root, limits, scenarios, _CCXT_SECRETS),
        secrets=tuple(reader.found),
    )


def load_accounts(
    path: Path | str, env: Mapping[str, str] | None = None
) -> tuple[dict[str, AccountConfig], list[str]]:
    """Return the accounts that can be used, whatever else is wrong with a file, and the faults.

    For `kill`: a typo among the limits must not keep it from cancelling. An account with a fault
    of its own, or without a readable key, is left out.

    Raises:
        ConfigError: nothing of the file can be read.
    """
    env = os.environ if env is None else env
    file = Path(path).expanduser().absolute()
    faults: list[str] = []
    document = read_document(file, faults)
    if document is None:
        raise ConfigError(faults)
    reader = SecretReader(file.parent, env)
    data = _take_secrets(document.data, Root, "", reader)
    faults += [f"{key}: {sentence}" for key, sentence in reader.faults]
    _ccxt_secrets(document.data, reader)
    _hide(reader)
    root = _validate(data, faults)
    if root is None:
        raise ConfigError(with_lines(faults, document))
    _check(root, faults)
    told = [fault.partition(": ")[0] for fault in faults]
    usable = {
        name: account
        for name, account in root.accounts.items()
        if not any(_concerns_venue(key, name) for key in told)
    }
    # Faults elsewhere are the business of `check`.
    lost = [name for name in _names_of(document.data) if name not in usable]
    faults = [
        fault
        for fault, key in zip(faults, told, strict=True)
        if not usable or any(_concerns_venue(key, name) for name in lost)
    ]
    return usable, with_lines(faults, document)


def _names_of(data: Mapping[Any, Any]) -> list[str]:
    accounts = data.get("accounts")
    return [str(name) for name in accounts] if isinstance(accounts, Mapping) else []


def _concerns_venue(key: str, name: str) -> bool:
    """Whether a fault keeps an account from being used: its own, but not one of its limits."""
    path = f"accounts.{name}"
    if key in {"accounts", path}:
        return True
    return key.startswith(f"{path}.") and not key.startswith((f"{path}.limits", f"{path}.orders"))


def find_state_dir(path: Path | str, env: Mapping[str, str] | None = None) -> Path:
    """Return the state directory a file names, whatever else is wrong with it.

    `ctl` and `kill` must find a daemon that runs, also after its file was edited badly.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    env = os.environ if env is None else env
    file = Path(path).expanduser().absolute()
    faults: list[str] = []
    document = read_document(file, faults)
    if document is None:
        raise ConfigError(faults)
    named = document.data.get("state_dir")
    return _state_dir(named if isinstance(named, str) else None, file, env)


def _state_dir(named: str | None, file: Path, env: Mapping[str, str]) -> Path:
    if named is not None:
        return (file.parent / Path(named).expanduser()).resolve()
    # systemd joins several directories with colons; the first is ours.
    given = env.get(STATE_VARIABLE, "").partition(":")[0]
    return Path(given) if given else file.parent / "state"


def _take_secrets(data: Any, model: type[BaseModel], path: str, reader: SecretReader) -> Any:
    """Return the data with every secret replaced by a `Secret`, whatever else is wrong with it."""
    if not isinstance(data, Mapping):
        return data
    fields: dict[Any, Any] = dict(data)
    for key in keys(model):
        where = f"{path}{key.name}"
        if key.kind == "secret":
            secret = reader.take(fields, key.name, path)
            if secret is not None:
                fields[key.name] = secret
        elif key.name not in fields or key.section is None:
            continue
        elif key.kind == "section":
            fields[key.name] = _section(fields[key.name], key.section, where, reader)
        elif isinstance(fields[key.name], Mapping):
            fields[key.name] = {
                name: _take_secrets(item, key.section, f"{where}.{name}.", reader)
                for name, item in fields[key.name].items()
            }
        elif isinstance(fields[key.name], list):
            fields[key.name] = [
                _take_secrets(item, key.section, f"{where}.{index}.", reader)
                for index, item in enumerate(fields[key.name])
            ]
    return fields


def _section(value: Any, model: type[BaseModel], path: str, reader: SecretReader) -> Any:
    """A section that is written down but empty counts as absent: its defaults hold."""
    if value is None and not any(f.is_required() for f in model.model_fields.values()):
        return {}
    return _take_secrets(value, model, f"{path}.", reader)


def _check_modes(
    file: Path, document: Document, reader: SecretReader, faults: list[str]
) -> list[str]:
    """Refuse a file that others can read when a secret stands in it."""
    inline = list(reader.inline) + _ccxt_secrets(document.data, reader)
    if not inline or not is_open_to_others(file):
        return []
    soft = [key for key in inline if key.rpartition(".")[2] in _SOFT_SECRETS]
    hard = [key for key in inline if key not in soft]
    if hard:
        faults.append(
            f"{hard[0]}: a secret stands in a file that others can read: chmod 600 {file}, or use "
            f"{hard[0].rpartition('.')[2]}_file"
        )
    return [f"{key}: stands in a file that others can read: chmod 600 {file}" for key in soft]


def _hide(reader: SecretReader) -> None:
    """Have every text of this process that is shown or kept go without what was read here."""
    redaction.learn(secret.get_secret_value() for secret in reader.found)


def _ccxt_secrets(data: Mapping[Any, Any], reader: SecretReader) -> list[str]:
    found = []
    accounts = data.get("accounts")
    for name, account in accounts.items() if isinstance(accounts, Mapping) else ():
        options = account.get("ccxt") if isinstance(account, Mapping) else None
        for key, value in options.items() if isinstance(options, Mapping) else ():
            if key in _CCXT_SECRETS and isinstance(value, str) and value:
                found.append(f"accounts.{name}.ccxt.{key}")
                reader.found.append(Secret(value))
    return found


def _validate(data: dict[Any, Any], faults: list[str]) -> Root | None:
    """Return the sections; with faults, as much of them as can still be checked."""
    try:
        return Root.model_validate(data)
    except ValidationError as error:
        faults += sentences(Root, error)
        return whole_part(data, error)


def _check(root: Root, faults: list[str]) -> list[tuple[str, Limit]]:
    found: list[str] = []
    check_root(root, exchange_ids(), found)
    limits = build_limits(root, found)
    check_limits(root, limits, found)
    broker.check(root.mqtt, found)
    doors.check(root, found)
    # What was refused above is missing here: that is one fault, not two.
    told = tuple(fault.partition(": ")[0] for fault in faults)
    faults += [f for f in found if not any(t.startswith(f.partition(": ")[0]) for t in told)]
    return limits


def shipped_sectors() -> dict[str, str]:
    """Return the shipped sector of each underlying."""
    text = resources.files("riskbot.data").joinpath("sectors.yaml").read_text(encoding="utf-8")
    sectors: dict[str, list[str]] = yaml.safe_load(text)
    return {member: sector for sector, members in sectors.items() for member in members}


def _sectors(root: Root) -> dict[str, str]:
    own = {m: sector for sector, members in root.portfolio.sectors.items() for m in members}
    return shipped_sectors() | own


def _warnings(root: Root) -> list[str]:
    told: list[str] = []
    if root.telegram is not None and not root.telegram.users:
        # The guard runs all the same: nothing it protects depends on the bot.
        told.append("telegram.users: is empty: the bot does not start, nobody could command it")
    told += [*doors.warnings(root), *broker.warnings(root.mqtt)]
    if root.portfolio.preset == "market_neutral":
        told += [
            f"accounts.{name}.spot: is `hold` under market_neutral: a pair's spot leg, and with it "
            "the other leg, will be kept by a flatten"
            for name, account in root.accounts.items()
            if account.spot == "hold"
        ]
    return told
