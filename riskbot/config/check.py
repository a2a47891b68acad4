"""What one key means for another: accounts that exist, hedges, sectors, strategies, zones.

Every function appends sentences that begin with the key.
"""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from riskbot.config.broker import SECRET_MIN
from riskbot.config.faults import nearest
from riskbot.config.models import AccountConfig, Root, TelegramConfig
from riskbot.core.limits._base import Limit
from riskbot.core.model import Response
from riskbot.errors import ConfigError
from riskbot.exchanges._lazy import load_class

CLOSING = frozenset({Response.HEDGE, Response.REDUCE, Response.FLATTEN})


def check_root(root: Root, venues: Iterable[str], faults: list[str]) -> None:
    """Append what does not fit together.

    Args:
        root: the whole file.
        venues: exchange ids that exist.
        faults: sentences.
    """
    _check_zone(root, faults)
    _check_accounts(root, [*venues, "paper"], faults)
    _check_portfolio(root, faults)
    _check_hedges(root, faults)
    _check_pairs(root, faults)
    _check_gateway(root, faults)
    _check_doors(root, faults)


def _check_zone(root: Root, faults: list[str]) -> None:
    try:
        ZoneInfo(root.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.append(f"timezone: no such IANA zone, is {root.timezone!r} (as in Europe/Berlin)")


def _check_accounts(root: Root, venues: list[str], faults: list[str]) -> None:
    for name, account in root.accounts.items():
        path = f"accounts.{name}"
        if account.exchange not in venues:
            hint = nearest(account.exchange, venues)
            faults.append(f"{path}.exchange: no such exchange, is {account.exchange!r}{hint}")
        elif account.exchange != "paper":
            _check_keys(path, root, name, faults)
        else:
            _check_paper(name, account, faults)
        if account.cancel_rogue and not account.exclusive:
            faults.append(f"{path}.cancel_rogue: needs `exclusive: true`")


def _check_paper(name: str, account: AccountConfig, faults: list[str]) -> None:
    from riskbot.exchanges.paper.settings import read_settings  # only where it is configured

    try:
        read_settings(name, account.ccxt)
    except ConfigError as error:
        faults += error.faults


def _check_keys(path: str, root: Root, name: str, faults: list[str]) -> None:
    account = root.accounts[name]
    if account.wallet_address or account.private_key:
        return
    given = {
        "api_key": bool(account.api_key or account.ccxt.get("apiKey")),
        "api_secret": bool(account.api_secret or account.ccxt.get("secret")),
    }
    for field, is_given in given.items():
        if not is_given:
            faults.append(
                f"{path}.{field}: is missing (give {field}, {field}_file or {field}_env; venues of "
                "the chain take wallet_address and private_key)"
            )


def check_credentials(root: Root, faults: list[str]) -> None:
    """Append the credentials that an exchange needs and an account lacks.

    Apart from `check_root`, since it loads the exchange's class to ask it.
    """
    for name, account in root.accounts.items():
        if account.exchange == "paper":
            continue
        given = {**account.credentials().ccxt_config(), **account.ccxt}
        for field, is_needed in load_class(account.exchange)().requiredCredentials.items():
            if is_needed and field in _FIELDS and not given.get(field):
                key = _FIELDS[field]
                faults.append(
                    f"accounts.{name}.{key}: is missing, {account.exchange} needs it (give {key}, "
                    f"{key}_file or {key}_env)"
                )


# Our key by ccxt's name of a credential.
_FIELDS = {
    "apiKey": "api_key",
    "secret": "api_secret",
    "password": "api_password",
    "walletAddress": "wallet_address",
    "privateKey": "private_key",
}


def _check_portfolio(root: Root, faults: list[str]) -> None:
    portfolio = root.portfolio
    if portfolio.capital == "fixed" and portfolio.capital_usd is None:
        faults.append("portfolio.capital_usd: is missing, `capital: fixed` needs it")
    if portfolio.capital != "fixed" and portfolio.capital_usd is not None:
        faults.append("portfolio.capital_usd: is used with `capital: fixed` only")
    seen: dict[str, str] = {}
    for sector, members in portfolio.sectors.items():
        for member in members:
            if member in seen:
                faults.append(
                    f"portfolio.sectors.{sector}: {member} is in sector {seen[member]} already"
                )
            seen[member] = sector


def _check_account_name(path: str, name: str, root: Root, faults: list[str]) -> bool:
    if name in root.accounts:
        return True
    hint = nearest(name, root.accounts)
    known = ", ".join(root.accounts)
    faults.append(f"{path}: no such account, is {name!r}{hint} (configured: {known})")
    return False


def _check_hedges(root: Root, faults: list[str]) -> None:
    places: dict[tuple[str, str], str] = {}
    for underlying, hedge in root.portfolio.hedges.items():
        path = f"portfolio.hedges.{underlying}"
        if not _check_account_name(f"{path}.account", hedge.account, root, faults):
            continue
        allowed = root.accounts[hedge.account].instruments
        if allowed and hedge.instrument not in allowed:
            faults.append(
                f"{path}.instrument: {hedge.instrument} is not among "
                f"accounts.{hedge.account}.instruments"
            )
        if ":" not in hedge.instrument:
            faults.append(
                f"{path}.instrument: must be a perpetual or future (BTC/USDT:USDT), "
                f"is {hedge.instrument!r}: coins cannot be sold short"
            )
        place = (hedge.account, hedge.instrument)
        if place in places:
            faults.append(f"{path}.instrument: hedges {places[place]} already")
        places[place] = underlying


def _check_pairs(root: Root, faults: list[str]) -> None:
    names: set[str] = set()
    for index, pair in enumerate(root.portfolio.pairs):
        path = f"portfolio.pairs.{index}"
        if pair.name in names:
            faults.append(f"{path}.name: {pair.name!r} is given twice")
        names.add(pair.name)
        for number, leg in enumerate(pair.legs):
            _check_account_name(f"{path}.legs.{number}.account", leg.account, root, faults)


def _check_gateway(root: Root, faults: list[str]) -> None:
    for name, strategy in root.gateway.strategies.items():
        path = f"gateway.strategies.{name}"
        for account in strategy.accounts:
            _check_account_name(f"{path}.accounts", account, root, faults)
        if strategy.token is None:
            faults.append(f"{path}.token: is missing (give token, token_file or token_env)")
        secret = strategy.hmac_secret
        if secret is not None and len(secret.get_secret_value()) < SECRET_MIN:
            faults.append(
                f"{path}.hmac_secret: is too short to sign with, needs {SECRET_MIN} characters"
            )


def _check_doors(root: Root, faults: list[str]) -> None:
    if root.telegram is not None and root.telegram.token is None:
        faults.append("telegram.token: is missing (give token, token_file or token_env)")
    if root.telegram is not None:
        _check_telegram(root.telegram, faults)
    for index, channel in enumerate(root.notify):
        if channel.url is None:
            faults.append(f"notify.{index}.url: is missing")
    _check_told(root, faults)


def _check_told(root: Root, faults: list[str]) -> None:
    """Append what is wrong with the strategies that are told: no password, no such scope, twice."""
    urls: set[str] = set()
    for index, told in enumerate(root.strategies):
        bot, path = told.freqtrade, f"strategies.{index}"
        if bot is None:
            faults.append(f"{path}: is empty")
            continue
        path += ".freqtrade"
        if bot.password is None:
            faults.append(f"{path}.password: is missing (give password or password_file)")
        kind, _, name = bot.scope.partition(":")
        if kind == "account":
            _check_account_name(f"{path}.scope", name, root, faults)
        elif kind == "strategy" and name not in root.gateway.strategies:
            faults.append(f"{path}.scope: {name!r} is not in gateway.strategies")
        url = bot.url.rstrip("/")
        if url in urls:
            faults.append(f"{path}.url: {url} is given twice")
        urls.add(url)


def _check_telegram(telegram: TelegramConfig, faults: list[str]) -> None:
    secret = telegram.totp_secret
    if secret is None and telegram.flatten_totp != "never":
        when = telegram.flatten_totp
        faults.append(f"telegram.flatten_totp: is `{when}`, but no telegram.totp_secret is set")
    faults += [
        f"telegram.second_contacts: {user} is not in telegram.users"
        for user in telegram.second_contacts
        if user not in telegram.users
    ]


def check_limits(root: Root, limits: Iterable[tuple[str, Limit]], faults: list[str]) -> None:
    """Append what limits need and do not have: a hedge, a strategy's capital or its own account."""
    shared = _shared_accounts(root)
    for scope, limit in limits:
        kind, _, name = scope.partition(":")
        responses = {limit.on_breach, limit.then}
        path = f"{_PATHS[kind].format(name)}.{limit.name}"
        if Response.HEDGE in responses and not root.portfolio.hedges:
            faults.append(f"{path}.on_breach: `hedge` needs an entry in portfolio.hedges")
        if kind == "strategy":
            strategy = root.gateway.strategies[name]
            if limit.unit == "ratio" and strategy.capital_usd is None:
                faults.append(
                    f"{path}: is a ratio, so gateway.strategies.{name}.capital_usd is needed"
                )
            together = sorted(shared.intersection(strategy.accounts))
            if responses & CLOSING and together:
                faults.append(
                    f"{path}.on_breach: closes positions, but other strategies trade on "
                    f"{', '.join(together)} too"
                )


_PATHS = {
    "portfolio": "portfolio.limits",
    "account": "accounts.{}.limits",
    "strategy": "gateway.strategies.{}.limits",
}


def _shared_accounts(root: Root) -> set[str]:
    seen: set[str] = set()
    shared: set[str] = set()
    for strategy in root.gateway.strategies.values():
        mine = set(strategy.accounts)
        shared |= seen & mine
        seen |= mine
    return shared
