"""What is to be read or computed of price history now: asked for ahead of need, never waited for.

What is done with it is `analysis`.
"""

from __future__ import annotations

from collections.abc import Iterator

from riskbot.core import actions, events, stressviews
from riskbot.core.analysis import STUDY_SOON_MS
from riskbot.core.exposure import ScopeBook
from riskbot.core.histories import BookSketch, HistoryWanted
from riskbot.core.model import PORTFOLIO
from riskbot.core.panel import BENCHMARK
from riskbot.core.turn import Turn

WANTED_MAX = 100
"""Underlyings asked for at once."""


def ask(turn: Turn, event: events.Event) -> None:
    """Ask for the history of what is held, ordered or allowed, and for slow statistics."""
    if isinstance(event, events.TimerFired):
        _ask_history(turn)
        _ask_study(turn)
        stressviews.rotate(turn.state, turn.now_ms)


def _ask_history(turn: Turn) -> None:
    found: dict[str, HistoryWanted] = {}
    for underlying, account, symbol in _needed(turn):
        if underlying not in found and turn.state.analysis.is_wanted(underlying, turn.now_ms):
            found[underlying] = HistoryWanted(underlying, account, symbol)
            if len(found) == WANTED_MAX:
                break
    if found:
        turn.emit(actions.ReadHistory(wanted=tuple(found.values())))


def _ask_study(turn: Turn) -> None:
    analysis, whole = turn.state.analysis, turn.book(PORTFOLIO)
    if analysis.panel is None or whole is None:
        return
    if turn.now_ms - analysis.study_ms < STUDY_SOON_MS:
        return
    books = tuple(
        BookSketch(name, book.equity_usd, exposures(book), book.gross_usd)
        for name, book in (turn.scopes or {}).items()
        if not book.unpriced
    )
    if analysis.is_study_due(books, turn.now_ms):
        number = analysis.study_id + 1
        turn.emit(actions.AnalyzeRisk(request_id=number, as_of_ms=turn.now_ms, books=books))


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


def _needed(turn: Turn) -> Iterator[tuple[str, str, str]]:
    """Yield underlyings, each with an account and an instrument of it, the most urgent first."""
    state = turn.state
    synced = [name for name in turn.settings.accounts if state.is_synced(name)]
    book = turn.book(PORTFOLIO)
    if not synced or book is None:
        return
    for leg in book.legs:
        if not leg.is_unlisted:
            yield leg.underlying, leg.key.account, leg.key.symbol
    yield BENCHMARK, synced[0], ""
    for name in synced:
        working = {order.symbol: None for order in state.orders(name)}
        for symbol in (*working, *turn.settings.accounts[name].instruments):
            listed = state.instrument(name, symbol)
            if listed is not None:
                yield listed.underlying, name, symbol
