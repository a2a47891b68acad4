"""One look at accounts over REST: read, measured as the daemon would, compared with limits.

For `check --connect` and `init`; nothing is sent, nothing is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from riskbot.clock import Clock
from riskbot.core import events
from riskbot.core.model import RejectReason
from riskbot.core.settings import CoreSettings
from riskbot.core.state import State
from riskbot.errors import VenueError
from riskbot.exchanges._base import Capabilities, Exchange

TIMEOUT_S = 30.0


@dataclass
class Sight:
    """What one account showed.

    Attributes:
        error: why it could not be read.
        capabilities: None where it was not reached.
        instruments: underlying by symbol.
    """

    account: str
    error: VenueError | None = None
    rights: events.KeyRightsChecked | None = None
    capabilities: Capabilities | None = None
    snapshot: events.AccountSnapshotReceived | None = None
    instruments: dict[str, str] = field(default_factory=dict)


async def look(
    exchanges: Mapping[str, Exchange],
    settings: CoreSettings,
    clock: Clock,
    symbols: Mapping[str, tuple[str, ...]],
) -> tuple[State, dict[str, Sight]]:
    """Read every account at once and measure what they hold together.

    Args:
        exchanges: by account.
        settings: what to measure by.
        clock: stamps what is read.
        symbols: by account, instruments to ask for besides those held.

    Returns:
        The state with everything that was read, and what each account showed.
    """
    state = State(settings, "rblook")
    sights = {name: Sight(name) for name in exchanges}
    await asyncio.gather(
        *(
            _look(exchange, sights[name], state, clock, symbols.get(name, ()))
            for name, exchange in exchanges.items()
        )
    )
    return state, sights


async def _look(
    exchange: Exchange, sight: Sight, state: State, clock: Clock, symbols: tuple[str, ...]
) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await _read(exchange, sight, state, clock, symbols)
    except VenueError as error:
        sight.error = error
    except TimeoutError:
        sight.error = VenueError(RejectReason.UNREACHABLE, f"no answer within {TIMEOUT_S:g} s")
    finally:
        await exchange.close()


async def _read(
    exchange: Exchange, sight: Sight, state: State, clock: Clock, symbols: tuple[str, ...]
) -> None:
    loaded = await exchange.open(symbols)
    sight.instruments = {i.symbol: i.underlying for i in loaded.instruments}
    sight.capabilities = exchange.capabilities
    state.apply(loaded, clock.now_ms())
    sight.rights = await exchange.key_rights()
    state.apply(sight.rights, clock.now_ms())
    sight.snapshot = await exchange.snapshot()
    state.apply(sight.snapshot, clock.now_ms())
    for price in await exchange.prices(tuple(sight.instruments)):
        state.apply(price, clock.now_ms())
