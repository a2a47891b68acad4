"""What is to be read or computed of price history now: asked for ahead of need, never waited for.

What is done with it is `analysis`.
"""

from __future__ import annotations

from collections.abc import Iterator

from riskbot.core import actions, events
from riskbot.core.exposure import ScopeBook
from riskbot.core.histories import BookSketch, HistoryWanted
from riskbot.core.model import PORTFOLIO
from riskbot.core.panel import BENCHMARK
from riskbot.core.turn import Turn

WANTED_MAX = 100
"""Underlyings asked for at once."""


def ask(turn: Turn, event: events.Event) -> None:
    """Ask for the history of what is held or allowed to be traded, and for slow statistics."""
    if isinstance(event, events.TimerFired):
        _ask_history(turn)
        _ask_study(turn)


def _ask_history(turn: Turn) -> None:
    found: dict[str, HistoryWanted] = {}
    for wanted in _needed(turn):
        known = found.get(wanted.underlying)
        if known is None and turn.state.analysis.is_wanted(wanted.underlying, turn.now_ms):
            found[wanted.underlying] = wanted
            if len(found) == WANTED_MAX:
                break
    if found:
        turn.emit(actions.ReadHistory(wanted=tuple(found.values())))


def _ask_study(turn: Turn) -> None:
    analysis, whole = turn.state.analysis, turn.book(PORTFOLIO)
    if analysis.panel is None or whole is None:
        return
    held = exposures(whole)
    if not analysis.is_study_due(sum(map(abs, held.values())), turn.now_ms):
        return
    scopes = turn.scopes or {}
    turn.emit(
        actions.AnalyzeRisk(
            request_id=analysis.study_id + 1,
            as_of_ms=turn.now_ms,
            books=tuple(
                BookSketch(name, book.equity_usd, exposures(book))
                for name, book in scopes.items()
                if not book.unpriced
            ),
        )
    )


def exposures(book: ScopeBook) -> dict[str, float]:
    """Return the signed exposure of what is held, by underlying, USD."""
    return {name: sums.net for name, sums in book.underlyings.items() if sums.gross}


def ask_for(turn: Turn, account: str, symbol: str) -> None:
    """Ask for the history of one instrument, where it is listed and wanted."""
    instrument = turn.state.instrument(account, symbol)
    if instrument is None:
        return
    if turn.state.analysis.is_wanted(instrument.underlying, turn.now_ms):
        wanted = HistoryWanted(instrument.underlying, account, symbol)
        turn.emit(actions.ReadHistory(wanted=(wanted,)))


def _needed(turn: Turn) -> Iterator[HistoryWanted]:
    """Yield what is needed, the most urgent first; an underlying may come twice."""
    state = turn.state
    synced = [name for name in turn.settings.accounts if state.is_synced(name)]
    if not synced:
        return
    book = turn.book(PORTFOLIO)
    for leg in book.legs if book is not None else ():
        if leg.notional_usd and not leg.is_unlisted:
            yield HistoryWanted(leg.underlying, leg.key.account, leg.key.symbol)
    yield HistoryWanted(BENCHMARK, synced[0])
    for name in synced:
        for symbol in turn.settings.accounts[name].instruments:
            listed = state.instrument(name, symbol)
            if listed is not None:
                yield HistoryWanted(listed.underlying, name, symbol)
