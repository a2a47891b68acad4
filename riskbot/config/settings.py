"""From the file's sections to what the core is configured by, and the hash of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from riskbot.config.models import AccountConfig, OrdersConfig, Root
from riskbot.config.secret import Secret
from riskbot.core.limits import account_limits, check_shared, parse_limits
from riskbot.core.limits._base import Limit
from riskbot.core.model import PORTFOLIO, Mode, Role, account_scope, strategy_scope
from riskbot.core.scenarios import Scenario, expanded
from riskbot.core.settings import (
    AccountSettings,
    CoreSettings,
    DeadManSettings,
    HedgeSettings,
    MonitorSettings,
    OrderRules,
    PairLeg,
    PairSettings,
    StrategySettings,
    User,
)

Limits = list[tuple[str, Limit]]


def build_limits(root: Root, faults: list[str]) -> Limits:
    """Return every limit that is on, with its scope; faults are appended as sentences."""
    shared, preset = root.portfolio.limits, root.portfolio.preset
    limits: Limits = [
        (PORTFOLIO, limit)
        for limit in parse_limits(
            shared,
            PORTFOLIO,
            preset,
            path="portfolio.limits",
            faults=faults,
            has_hedges=bool(root.portfolio.hedges),
            venues=len({account.exchange for account in root.accounts.values()}),
        )
    ]
    check_shared(shared, preset, faults)
    for name, account in root.accounts.items():
        scope, path = account_scope(name), f"accounts.{name}.limits"
        found = account_limits(account.limits, shared, scope, preset, path=path, faults=faults)
        limits += [(scope, limit) for limit in found]
    for name, strategy in root.gateway.strategies.items():
        scope, path = strategy_scope(name), f"gateway.strategies.{name}.limits"
        found = parse_limits(strategy.limits, scope, path=path, faults=faults)
        limits += [(scope, limit) for limit in found]
    return limits


def core_settings(
    root: Root,
    limits: Iterable[tuple[str, Limit]],
    sectors: Mapping[str, str],
    scenarios: Iterable[Scenario] = (),
) -> CoreSettings:
    """Return the core's settings.

    Args:
        root: a file without faults.
        limits: (scope, limit) of those that are on.
        sectors: sector by underlying.
        scenarios: stress scenarios.
    """
    portfolio = root.portfolio
    rules = _rules(portfolio.orders)
    floors = [getattr(limit, "gross_floor", None) for scope, limit in limits if scope == PORTFOLIO]
    return CoreSettings(
        accounts={name: _account(a, portfolio.orders) for name, a in root.accounts.items()},
        instance=root.instance,
        mode=Mode(root.mode),
        timezone=root.timezone,
        startup_breach=root.startup_breach,
        capital=portfolio.capital,
        capital_usd=portfolio.capital_usd,
        off_exchange_usd=portfolio.off_exchange.usd,
        off_exchange_assets=dict(portfolio.off_exchange.assets),
        sectors=dict(sectors),
        groups={name: tuple(members) for name, members in portfolio.groups.items()},
        pairs=tuple(
            PairSettings(p.name, tuple(PairLeg(x.account, x.instrument) for x in p.legs))
            for p in portfolio.pairs
        ),
        hedges={
            name: HedgeSettings(h.account, h.instrument, h.max_usd, h.beta)
            for name, h in portfolio.hedges.items()
        },
        strategies={
            name: StrategySettings(
                tuple(s.accounts),
                s.capital_usd,
                _rules(portfolio.orders, s.orders),
                _probation(s.probation),
            )
            for name, s in root.gateway.strategies.items()
        },
        assume_stop=portfolio.assume_stop,
        gross_floor=next((floor for floor in floors if floor is not None), 1.0),
        peak_usd=portfolio.peak_usd,
        initial_capital_usd=portfolio.initial_capital_usd,
        orders=rules,
        monitor=MonitorSettings(**root.monitor.model_dump()),
        clear_for_s=portfolio.clear_for_s,
        max_depth_share=portfolio.max_depth_share,
        has_factor=root.telegram is not None and root.telegram.totp_secret is not None,
        flatten_factor=root.telegram.flatten_totp if root.telegram is not None else "never",
        limits=tuple(limits),
        scenarios=expanded(scenarios),
        users=users(root),
    )


def users(root: Root) -> tuple[User, ...]:
    """Return who may command at which door."""
    telegram, http = root.telegram, root.http
    found = [
        User("telegram", str(number), Role(role))
        for number, role in (telegram.users.items() if telegram is not None else ())
    ]
    senders = root.mqtt.commands if root.mqtt is not None else {}
    # What lowers risk, and no more, whatever a sender may be allowed of it.
    found += [User("mqtt", name, Role.OPERATOR) for name in senders]
    tokens = (
        ()
        if http is None
        else (
            ("viewer", http.viewer_token),
            ("operator", http.operator_token),
            ("admin", http.admin_token),
        )
    )
    found += [User("http", f"{r} token", Role(r)) for r, token in tokens if token is not None]
    return tuple(found)


def _account(account: AccountConfig, shared: OrdersConfig) -> AccountSettings:
    return AccountSettings(
        exchange=account.exchange,
        spot=account.spot,
        instruments=tuple(account.instruments),
        exclusive=account.exclusive,
        deny_by_cancel=account.deny_by_cancel,
        cancel_rogue=account.cancel_rogue,
        dead_man=DeadManSettings(account.dead_man.policy, account.dead_man.timeout_s),
        orders=_rules(shared, account.orders),
    )


def _rules(shared: OrdersConfig, own: OrdersConfig | None = None) -> OrderRules:
    """Checks given nearer win; those left out come from the portfolio's."""
    fields = shared.model_dump()
    if own is not None:
        fields |= own.model_dump(include=own.model_fields_set)
    return OrderRules(**fields)


def _probation(given: OrdersConfig | None) -> OrderRules | None:
    """What is given alone: the rest is `orders`' matter."""
    if given is None:
        return None
    off = OrderRules(max_trade=None, max_trade_risk=None, price_collar=None, order_rate=None)
    return replace(off, **given.model_dump(include=given.model_fields_set))


def config_hash(
    root: Root,
    limits: Iterable[tuple[str, Limit]],
    scenarios: Iterable[Scenario],
    hidden: Sequence[str],
) -> str:
    """Return a hash of the effective configuration without secrets, 16 hex digits.

    Args:
        root: a file without faults.
        limits: (scope, limit) of those that are on.
        scenarios: stress scenarios, whose files are part of the configuration.
        hidden: keys below `ccxt:` that hold secrets.
    """
    sections = root.model_dump(mode="python")
    for account in sections["accounts"].values():
        account["ccxt"] = {k: v for k, v in account["ccxt"].items() if k not in hidden}
    rules = [[scope, limit.name, limit.model_dump(mode="json")] for scope, limit in limits]
    stories = [scenario.model_dump(mode="json") for scenario in scenarios]
    text = json.dumps([sections, rules, stories], sort_keys=True, default=_hashable)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hashable(value: object) -> str:
    return "secret" if isinstance(value, Secret) else str(value)
