"""Margin for isolated positions instead of a close: whether, how much, and what became of it.

The venue gives such a request no id. So it is sent once for a breach: if its answer is lost the
position says whether it came, and if that does not show it, positions are closed instead.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

from riskbot.core import actions
from riskbot.core.duty import Episode, IntentKind
from riskbot.core.limits._base import Limit, position_subject
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.model import Level, Position, scope_account
from riskbot.core.moves import Move
from riskbot.core.turn import Turn

PATIENCE_MS = 2_000
"""Without an answer by then the position is looked at: liquidation does not wait for the venue."""

SHOWN_AFTER_MS = 1_000
"""A read that began so long after the request would show the margin, had it come."""

READ_EVERY_MS = 500
ALLOWANCE = 1.01
"""How much more than needed is moved: prices go on while it is under way."""

CHEAP_USD = 10
"""Stablecoins are moved in ten-thousandths, coins in hundred-millionths."""

_FINE = Decimal("0.0001")
_FINER = Decimal("0.00000001")


# ---------------------------------------------------------------- what became of it


def settle(turn: Turn) -> None:
    """Settle what the venue, or the position, has answered."""
    for move in list(turn.state.moves.pending.values()):
        if move.refusal:
            _settle(turn, move, f"margin refused: {move.refusal}", is_added=False)
        elif move.answered_ms:
            if turn.state.read_since(move.account, move.answered_ms + 1):
                _settle(turn, move, f"added {_usd(move)} of margin, verified", is_added=True)
            else:
                _read(turn, move)
        elif move.is_unknown or turn.now_ms - move.sent_ms >= PATIENCE_MS:
            _settle_by_position(turn, move)


def _settle_by_position(turn: Turn, move: Move) -> None:
    if _is_shown(turn, move):
        _settle(turn, move, f"added {_usd(move)} of margin, seen in the position", is_added=True)
    elif turn.state.read_since(move.account, move.sent_ms + SHOWN_AFTER_MS):
        words = f"{_usd(move)} of margin were asked for and do not show: not asked for again"
        _settle(turn, move, words, is_added=False)
    else:
        _read(turn, move)


def _is_shown(turn: Turn, move: Move) -> bool:
    """Whether the position has more margin than the change of its PnL explains."""
    if not turn.state.read_since(move.account, move.sent_ms + 1):
        return False
    position = turn.state.accounts.get(move.account).positions.get(move.key)
    if position is None or position.isolated_margin is None:
        return False
    grown = position.isolated_margin - move.margin_before
    earned = (position.unrealized_pnl or Decimal(0)) - move.pnl_before
    return grown - earned >= move.amount / 2


def _read(turn: Turn, move: Move) -> None:
    if turn.now_ms - turn.state.last_request_ms(move.account) >= READ_EVERY_MS:
        turn.emit(
            actions.RefreshAccount(
                account=move.account,
                request_id=turn.state.next_request_id(),
                reason="margin",
                is_urgent=True,
            )
        )


def _settle(turn: Turn, move: Move, outcome: str, *, is_added: bool) -> None:
    words = f"{outcome} ({move.symbol})"
    turn.emit(
        actions.SettleMargin(
            account=move.account, move_id=move.move_id, outcome=words, is_added=is_added
        )
    )
    decision = "margin_added" if is_added else "margin_not_added"
    turn.audit(decision, MaintenanceMargin.name, move.scope, words, usd=move.amount_usd)
    turn.remeasure()


def _usd(move: Move) -> str:
    return f"{move.amount_usd:,.0f} USD"


# ---------------------------------------------------------------- whether and how much


def takes_over(turn: Turn, episode: Episode, limit: Limit) -> bool:
    """Whether no position is closed for a breach now: margin is on its way, or nothing else may."""
    account = scope_account(episode.scope)
    if not isinstance(limit, MaintenanceMargin) or account is None:
        return False
    if "add_margin" not in limit.margin_actions:
        return False
    may_reduce = "reduce" in limit.margin_actions
    if limit.margin_actions[0] == "reduce" and not episode.is_overdue:
        return False
    if account in turn.state.moves.pending:
        return True
    wanted = _wanted(turn, episode, limit, account)
    if wanted is not None:
        _begin(turn, wanted)
    return wanted is not None or not may_reduce


def _begin(turn: Turn, wanted: actions.AddMargin) -> None:
    label = f"add_margin:{MaintenanceMargin.name}"
    answered = turn.state.enforcement.answered.get((wanted.scope, label, wanted.account))
    if not turn.is_enforcing and answered and answered[0] == wanted.breach_since_ms:
        return
    turn.emit(actions.MarkAnswered(account=wanted.account, causes=((wanted.scope, label),)))
    turn.audit(
        "add_margin" if turn.is_enforcing else "would_add_margin",
        MaintenanceMargin.name,
        wanted.scope,
        f"{wanted.amount_usd:,.0f} USD of margin to {wanted.subject}",
        usd=wanted.amount_usd,
        amount=str(wanted.amount),
    )
    if turn.is_enforcing:
        turn.emit(wanted)


def _wanted(
    turn: Turn, episode: Episode, limit: MaintenanceMargin, account: str
) -> actions.AddMargin | None:
    """Return what brings the worst isolated position in breach to its target; None = cannot."""
    book = turn.book(episode.scope)
    intent = turn.state.enforcement.intents.get(account)
    # A reduce that missed its window may be stuck: margin does not wait for it.
    beside = {IntentKind.CANCEL, IntentKind.REDUCE} if episode.is_overdue else {IntentKind.CANCEL}
    if book is None or (intent is not None and intent.kind not in beside):
        return None
    red = {
        v.key: v.measured
        for v in turn.state.check(limit, book)
        if v.level is Level.RED and v.measured is not None
    }
    since = episode.breach_since_ms or 0
    for position in turn.state.accounts.get(account).positions.values():
        subject = position_subject(position.key)
        tried = turn.state.moves.given_up_ms.get((episode.scope, subject)) == since
        equity = book.margin_equity.get(subject, 0.0)
        measured = red.get(subject, math.inf)
        if tried or not position.is_isolated or equity <= 0 or not math.isfinite(measured):
            continue
        missing_usd = equity * (measured / (limit.allowed * limit.target) - 1) * ALLOWANCE
        unit_usd = _unit_usd(turn, position)
        if unit_usd > 0 and 0 < missing_usd <= _room_usd(turn, limit, episode.scope, account):
            return _action(turn, position, episode.scope, since, missing_usd, unit_usd)
    return None


def _room_usd(turn: Turn, limit: MaintenanceMargin, scope: str, account: str) -> float:
    """Return what may be moved: the day's budget, and what keeps the cross pool below orange."""
    book = turn.book(scope)
    ratios = dict(book.maintenance_margin) if book is not None else {}
    ratio, equity = ratios.get(account), book.margin_equity.get(account) if book else None
    if ratio is None or equity is None or not math.isfinite(ratio):
        return 0.0
    orange = limit.levels[1] * limit.allowed
    room = [equity - ratio * equity / orange]
    available = turn.state.accounts.get(account).margin.available_usd
    if available is not None:
        room.append(available)
    since_ms = turn.state.meter.booking.periods.day_start_ms(turn.now_ms)
    spent = turn.state.moves.spent_usd(account, since_ms)
    room.append((limit.add_margin_max_usd or 0.0) - spent)
    return min(room)


def _unit_usd(turn: Turn, position: Position) -> float:
    """Return USD per unit of what margin of a position is paid in, 0 = unknown."""
    settle = turn.state.listed(position.key).settle
    price = turn.state.meter.book.view.asset(position.account, settle)
    return price.value if price is not None else 0.0


def _action(
    turn: Turn, position: Position, scope: str, since_ms: int, amount_usd: float, unit_usd: float
) -> actions.AddMargin:
    fine = _FINE if unit_usd < CHEAP_USD else _FINER
    amount = Decimal(repr(amount_usd / unit_usd)).quantize(fine, ROUND_CEILING)
    return actions.AddMargin(
        account=position.account,
        symbol=position.symbol,
        position_side=position.side,
        move_id=f"m{turn.state.moves.counter + 1}",
        scope=scope,
        subject=position_subject(position.key),
        breach_since_ms=since_ms,
        asset=turn.state.listed(position.key).settle,
        amount=amount,
        amount_usd=amount_usd,
        margin_before=position.isolated_margin or Decimal(0),
        pnl_before=position.unrealized_pnl or Decimal(0),
    )
