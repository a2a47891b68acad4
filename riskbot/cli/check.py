"""`riskbot check`: is the configuration good, and, with `--connect`, do the venues agree."""

from __future__ import annotations

import asyncio
import sys

from riskbot import redaction
from riskbot.cli import exits, tables, venues
from riskbot.cli.look import Sight, look
from riskbot.clock import SystemClock
from riskbot.config import Config, load
from riskbot.config.rights import judge_listing, judge_rights
from riskbot.core import views
from riskbot.core.limits import LIMITS_BY_NAME
from riskbot.core.model import RejectReason
from riskbot.core.state import State
from riskbot.errors import VenueError

_OUR_KEY = frozenset({RejectReason.AUTHENTICATION})


def main(name: str, argv: list[str]) -> int:
    """Check; 0 = good, 78 = `run` would stop, 1 = a venue could not be reached."""
    parser = exits.parser(name, "Validate a configuration; nothing is changed anywhere.")
    parser.add_argument("--connect", action="store_true", help="log in and look")
    options = parser.parse_args(argv)
    config = load(options.config, for_run=True)
    warnings = list(config.warnings)
    print(f"{config.path}: good ({config.hash}), mode {config.root.mode}")
    print(f"state directory {config.state_dir}")
    if not options.connect:
        _tell_accounts(config, None)
        exits.tell_warnings(warnings)
        return exits.OK
    return _connect(config, warnings)


def _connect(config: Config, warnings: list[str]) -> int:
    state, sights = asyncio.run(_look(config))
    now_ms = SystemClock().now_ms()
    faults: list[str] = []
    unreachable: list[str] = []
    for name, sight in sights.items():
        if sight.error is not None:
            _sort_error(name, sight.error, faults, unreachable)
        if sight.rights is not None:
            allow = config.accounts[name].allow_withdraw_keys
            found, told = judge_rights(sight.rights, allow_withdraw_keys=allow, now_ms=now_ms)
            faults += found
            warnings += told
        if sight.snapshot is not None:
            faults += judge_listing(name, config.named(name), sight.instruments)
    warnings += _hedge_warnings(config, sights)
    warnings += _sector_warnings(config, sights)
    _tell_accounts(config, sights)
    _tell_book(state, now_ms)
    exits.tell_warnings(warnings)
    for line in unreachable:
        print(f"riskbot: {redaction.redact(line)}", file=sys.stderr)
    if faults:
        exits.tell_faults(faults)
        return exits.CONFIG
    return exits.NOT_DONE if unreachable else exits.OK


async def _look(config: Config) -> tuple[State, dict[str, Sight]]:
    clock = SystemClock()
    exchanges = {
        name: venues.build(name, account, clock)
        for name, account in config.accounts.items()
        if account.exchange != venues.PAPER
    }
    symbols = {name: config.symbols_of(name) for name in config.accounts}
    return await look(exchanges, config.core(), clock, symbols)


def _sort_error(name: str, error: VenueError, faults: list[str], unreachable: list[str]) -> None:
    if error.reason in _OUR_KEY:
        faults.append(f"accounts.{name}.api_key: the venue refuses it: {error}")
    else:
        unreachable.append(f"accounts.{name}: {error}")


def _hedge_warnings(config: Config, sights: dict[str, Sight]) -> list[str]:
    warnings = []
    for underlying, hedge in config.root.portfolio.hedges.items():
        path = f"portfolio.hedges.{underlying}.instrument"
        sight = sights.get(hedge.account)
        if sight is None or sight.snapshot is None:
            continue
        if not sight.snapshot.is_hedge_mode and _is_used(sight, hedge.instrument):
            warnings.append(
                f"{path}: {hedge.account} is in one-way mode and {hedge.instrument} is held or "
                "ordered there: a hedge would mix with that position; use one nobody trades"
            )
    return warnings


def _is_used(sight: Sight, symbol: str) -> bool:
    snapshot = sight.snapshot
    if snapshot is None:
        return False
    held = any(p.symbol == symbol and p.quantity for p in snapshot.positions)
    return held or any(o.symbol == symbol for o in snapshot.orders or ())


def _sector_warnings(config: Config, sights: dict[str, Sight]) -> list[str]:
    held = {
        underlying
        for sight in sights.values()
        for symbol, underlying in sight.instruments.items()
        if _is_used(sight, symbol)
    }
    unmapped = sorted(held - set(config.sectors))
    if not unmapped:
        return []
    names = ", ".join(unmapped)
    return [f"portfolio.sectors: {names}: in no sector, so each is one of its own"]


def _tell_accounts(config: Config, sights: dict[str, Sight] | None) -> None:
    for name, account in config.accounts.items():
        held_by = "gateway" if account.exclusive else "cancel only"
        print(f"\naccount {name}: {account.exchange}, held by {held_by}, spot: {account.spot}")
        sight = (sights or {}).get(name)
        if sight is not None:
            _tell_sight(sight)
    for name, strategy in config.root.gateway.strategies.items():
        exclusive = [a for a in strategy.accounts if config.accounts[a].exclusive]
        held_by = "gateway" if len(exclusive) == len(strategy.accounts) else "its own word"
        print(f"\nstrategy {name}: on {', '.join(strategy.accounts)}, held by {held_by}")


def _tell_sight(sight: Sight) -> None:
    if sight.rights is not None:
        words = {True: "yes", False: "no", None: "unknown"}
        rights = sight.rights
        print(
            f"  key: trade {words[rights.can_trade]}, withdraw {words[rights.can_withdraw]}, "
            f"transfer {words[rights.can_transfer]}, IP list {words[rights.has_ip_list]}"
        )
    if sight.capabilities is not None:
        print(f"  dead-man's switch: {sight.capabilities.dead_man}")
        for note in sight.capabilities.notes:
            print(f"  note: {note}")
    if sight.snapshot is not None:
        mode = {True: "hedge mode", False: "one-way", None: "position mode not stated"}
        orders = len(sight.snapshot.orders or ())
        print(f"  {mode[sight.snapshot.is_hedge_mode]}, {orders} working orders")
    if sight.error is not None:
        print(f"  NOT READ: {redaction.redact(str(sight.error))}")


def _tell_book(state: State, now_ms: int) -> None:
    print()
    tables.show("positions", views.positions(state, now_ms))
    # Losses need a history, and one look has none.
    rows = [r for r in views.limits(state, now_ms) if not LIMITS_BY_NAME[r["name"]].is_loss]
    tables.show("limits", rows)
