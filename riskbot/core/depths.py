"""How deep books are, and how large a closing slice may be; depth is asked for ahead of need.

An order never waits for it: where none is known, all of it goes out at once.
"""

from __future__ import annotations

from decimal import Decimal

from riskbot.core import actions, sizing
from riskbot.core.duty import Target
from riskbot.core.model import Level, Side
from riskbot.core.turn import Turn

CALM_MS = 300_000
"""Books of what is held are read this often."""

NEAR_MS = 10_000
"""The same while a limit is in orange or worse, or closing work is under way."""

FRESH_MS = 2 * CALM_MS
"""A book read longer ago says nothing."""

ASKED_MAX = 5
"""Books asked for at once on one account, those read longest ago first."""

PAUSE_MS = 1_000

SLICES_MAX = 8
"""Orders of one close that are sized by the book; the next one takes all that is left."""


def ask(turn: Turn) -> None:
    """Ask for the books of what is held, a few at a time."""
    enforcement = turn.state.enforcement
    is_near = any(e.level.rank >= Level.ORANGE.rank for e in enforcement.episodes.values())
    for account in turn.settings.accounts:
        if turn.state.is_account_blind(account) or not turn.state.is_synced(account):
            continue
        known = turn.state.feeds.depths
        asked = {key[1]: depth.asked_ms for key, depth in known.items() if key[0] == account}
        if turn.now_ms - max(asked.values(), default=0) < PAUSE_MS:
            continue
        every_ms = NEAR_MS if is_near or account in enforcement.intents else CALM_MS
        due = sorted(
            (asked.get(symbol, 0), symbol)
            for symbol in turn.tradable_symbols(account)
            if turn.now_ms - asked.get(symbol, 0) >= every_ms
        )
        if due:
            symbols = tuple(symbol for _, symbol in due[:ASKED_MAX])
            turn.emit(actions.ReadDepth(account=account, symbols=symbols))


def slice_of(turn: Turn, target: Target, change: Decimal) -> Decimal | None:
    """Return the largest next order towards a change, > 0; None = all of it.

    Args:
        turn: the turn.
        target: what is traded, and how many orders it has had.
        change: signed quantity still to trade.
    """
    key = target.key
    if target.rounds >= SLICES_MAX:
        # The book does not fill up as it was hoped: what is left goes out.
        return None
    depth = turn.state.feeds.depths.get((key.account, key.symbol))
    if depth is None or not depth.seen_ms or turn.now_ms - depth.seen_ms > FRESH_MS:
        return None
    side = Side.BUY if change > 0 else Side.SELL
    return sizing.slice_cap(
        abs(change),
        depth.ask if side is Side.BUY else depth.bid,
        Decimal(repr(turn.settings.max_depth_share)),
        turn.state.listed(key),
        turn.state.quote(key.account, key.symbol).mark,
    )
