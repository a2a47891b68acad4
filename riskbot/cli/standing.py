"""The book that is asked about without a daemon: as the journal has it, or the demo's.

Read, folded and completed by price history as the daemon would; nothing is written, nothing sent.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskbot.core import actions, analyzing, events
from riskbot.core.commands import BY_NAME
from riskbot.core.commands._base import Reply
from riskbot.core.engine import Engine
from riskbot.core.histories import DAY_MS, HistoryWanted, last_ended_day
from riskbot.core.model import Actor, Role
from riskbot.core.studies import Studies
from riskbot.core.turn import Turn
from riskbot.errors import ConfigError, RiskbotError, StorageError, VenueError
from riskbot.history.cache import peek
from riskbot.history.finder import Finder
from riskbot.history.kept import Kept, series
from riskbot.history.service import NAME as HISTORY_NAME

if TYPE_CHECKING:
    from riskbot.clock import Clock
    from riskbot.config import Config
    from riskbot.core.settings import CoreSettings
    from riskbot.core.state import State
    from riskbot.exchanges.paper.exchange import PaperExchange

PREFIX = "rboffline"
ASKER = Actor("command line", Role.VIEWER, "offline")

AGELESS_S = 1e9
"""How old the whole picture is, is said once: within it nothing is stale, nor any account."""

OLD_PRICE_MS = 150_000
"""Prices are written down once a minute at least, while they come."""

_MINUTE_MS, _HOUR_MS = 60_000, 3_600_000


class StillClock:
    """A clock that stands: the moment a book is of. Fulfills `clock.Clock`."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_ns(self) -> int:
        return self._now_ms * 1_000_000

    async def sleep_until(self, deadline_ms: int) -> None:
        self._now_ms = max(self._now_ms, deadline_ms)

    async def sleep(self, seconds: float) -> None:
        await self.sleep_until(self._now_ms + int(seconds * 1000))


@dataclass
class Standing:
    """A book at one moment, to be asked as the daemon is.

    Attributes:
        now_ms: the moment, UTC ms.
        words: whose book it is, and how old.
    """

    engine: Engine
    now_ms: int
    words: str

    @property
    def state(self) -> State:
        """All that is known."""
        return self.engine.state

    def ask(self, name: str, **args: Any) -> Reply:
        """Return what the command answers to these arguments, those that are None left out."""
        given = {key: value for key, value in args.items() if value is not None}
        return BY_NAME[name](**given).run(self._turn(), ASKER, "offline")

    def _turn(self) -> Turn:
        return Turn(self.state, self.engine.settings, self.now_ms)

    async def complete(self, config: Config) -> None:
        """Take in the price history at hand, and the statistics that are made of it."""
        try:
            known = peek(config.state_dir / HISTORY_NAME, self.now_ms)
        except StorageError as error:
            known = {}
            self.words += f"\nprice history: {error}"
        self._tell(known.values())
        wanted = [
            each
            for asked in self._asked()
            if isinstance(asked, actions.ReadHistory)
            for each in asked.wanted
            if each.underlying not in self.state.analysis.series
        ]
        venues: dict[str, PaperExchange] = {}
        # What a simulated venue cannot be opened for is told by `check`; here it has no past.
        with suppress(ConfigError, VenueError):
            if wanted:
                venues = await _paper(config, StillClock(self.now_ms))
        self._tell([kept for each in wanted if (kept := await self._find(each, venues))])
        self.study()

    def _asked(self) -> list[actions.Action]:
        """Return what the core asks for now of history and statistics: all of it, anew."""
        self.state.analysis.asked_ms.clear()
        self.state.analysis.study_ms = 0
        turn = self._turn()
        analyzing.ask(turn, events.TimerFired())
        return turn.out

    async def _find(
        self, wanted: HistoryWanted, venues: Mapping[str, PaperExchange]
    ) -> Kept | None:
        """Return the past of something that is simulated; its cache is nowhere."""
        if wanted.account not in venues:
            return None
        today = last_ended_day(self.now_ms) + 1
        try:
            found = await Finder(venues).find(wanted, None, today)
        except VenueError:
            return None
        found.checked_ms = self.now_ms
        return found

    def _tell(self, known: Iterable[Kept]) -> None:
        today = last_ended_day(self.now_ms) + 1
        told = tuple(series(kept, today) for kept in known)
        if told:
            self.state.apply(events.PriceHistoryRead(series=told), self.now_ms)

    def study(self) -> None:
        """Make the slow statistics of the book, as the worker beside a daemon does."""
        studies = Studies()
        studies.take(events.PriceHistoryRead(series=tuple(self.state.analysis.series.values())))
        for asked in self._asked():
            if isinstance(asked, actions.AnalyzeRisk):
                self.state.apply(studies.answer(asked), self.now_ms)


# ---------------------------------------------------------------- as journaled


async def journaled(config: Config, clock: Clock) -> Standing:
    """Return the book as the journal has it.

    Raises:
        RiskbotError: there is no journal, or nothing in it.
        ConfigError: it cannot be read, or was written by a newer riskbot.
    """
    from riskbot.journal import Reader
    from riskbot.runner.recovery import refold

    path = config.journal_path
    if not path.exists():
        message = f"no journal at {path}: riskbot has not run here yet (--demo shows how it looks)"
        raise RiskbotError(message)
    settings = _ageless(config.core())
    reader = await Reader.open_reader(path)
    try:
        folded = await refold(reader, lambda: Engine(settings, PREFIX))
    finally:
        await reader.close()
    if not folded.seq:
        message = f"the journal at {path} is empty: no account was ever read"
        raise RiskbotError(message)
    at = moment(folded.ts_ms)
    age = clock.now_ms() - folded.ts_ms
    words = f"the book as of {at} UTC, the last record of the journal: {age_words(age)} old"
    found = Standing(folded.engine, folded.ts_ms, words)
    found.state.on_timer(found.now_ms)
    for said in (_unseen(found.state, config), _old_prices(found.state, found.now_ms)):
        found.words += f"\n{said}" if said else ""
    await found.complete(config)
    return found


def _unseen(state: State, config: Config) -> str:
    """Say which accounts were out of sight when the journal ended; empty = none was."""
    names = [
        name
        for name in config.accounts
        if not state.is_synced(name) or state.is_account_blind(name)
    ]
    return f"out of sight at that moment, shown as last seen: {', '.join(names)}" if names else ""


def _old_prices(state: State, now_ms: int) -> str:
    """Say which prices were old already when the journal ended; empty = none was."""
    oldest_ms, names = now_ms, []
    for leg in state.meter.legs():
        quote = state.meter.marks.quote(leg.key.account, leg.key.symbol)
        seen = [seen.seen_ms for _, seen in quote.sources()] if quote is not None else []
        if seen and now_ms - max(seen) > OLD_PRICE_MS:
            oldest_ms = min(oldest_ms, max(seen))
            names.append(leg.key.symbol)
    if not names:
        return ""
    return f"prices up to {age_words(now_ms - oldest_ms)} older: {', '.join(sorted(names))}"


def _ageless(settings: CoreSettings) -> CoreSettings:
    monitor = replace(settings.monitor, price_stale_s=AGELESS_S, account_stale_s=AGELESS_S)
    return replace(settings, monitor=monitor)


def moment(ms: int) -> str:
    """Write a time, UTC, to the minute."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def age_words(ms: int) -> str:
    """Write how old something is: `40 s`, `12 min`, `5.5 h`, `3.0 days`."""
    if ms < _MINUTE_MS:
        return f"{max(ms, 0) // 1000} s"
    if ms < _HOUR_MS:
        return f"{ms // _MINUTE_MS} min"
    return f"{ms / _HOUR_MS:.1f} h" if ms < DAY_MS else f"{ms / DAY_MS:.1f} days"


# ---------------------------------------------------------------- the demo's


async def demonstrated() -> Standing:
    """Return the demo's portfolio at its start: the day before the fall of January 2022."""
    from riskbot import demo
    from riskbot.config import load

    with tempfile.TemporaryDirectory(prefix="riskbot-demo-") as folder:
        file = Path(folder) / "demo.yaml"
        file.write_text(demo.configuration(Path(folder) / "state"), encoding="utf-8")
        file.chmod(0o600)
        config = load(file)
        clock = StillClock(demo.START_MS)
        engine = Engine(config.core(), PREFIX)
        words = f"the demo's portfolio at {moment(demo.START_MS)} UTC, before the fall: no account"
        found = Standing(engine, demo.START_MS, words)
        venues = await _paper(config, clock)
        for name, venue in venues.items():
            await _look(engine, venue, config.symbols_of(name), clock)
        found.now_ms = clock.now_ms()
        await found.complete(config)
    return found


async def _look(
    engine: Engine, venue: PaperExchange, symbols: tuple[str, ...], clock: StillClock
) -> None:
    """Read one simulated account as the daemon does at its start; what is decided stays here."""
    loaded = await venue.open(symbols)
    listed = tuple(each.symbol for each in loaded.instruments)
    read: list[events.Event] = [events.Started(version="", config_hash=""), loaded]
    read += await venue.prices(listed)
    read += [await venue.snapshot(), events.TimerFired()]
    for event in read:
        engine.handle(event, clock.now_ms())


async def _paper(config: Config, clock: StillClock) -> dict[str, PaperExchange]:
    """Return the simulated venues of a configuration, by account."""
    from riskbot import exchanges
    from riskbot.exchanges.paper.exchange import PaperExchange

    found = {}
    for name, account in config.accounts.items():
        if account.exchange == exchanges.PAPER:
            made = exchanges.build(name, account, clock, random.Random(0), lambda: False)
            assert isinstance(made, PaperExchange)  # noqa: S101 - for the type checker
            await made.open(config.symbols_of(name))
            found[name] = made
    return found
