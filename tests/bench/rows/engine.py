"""`Engine.handle` per event at 10 to 10,000 positions, against ccxt's parse of such a frame."""

from __future__ import annotations

import gc
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tests.bench.ccxt_parse import parse_costs
from tests.bench.table import NotYetError, Row, compared, figure, quantile

if TYPE_CHECKING:
    from riskbot.core.engine import Engine
    from riskbot.core.events import Event
    from riskbot.core.settings import CoreSettings

    Step = tuple[Sequence[Event], Event, Sequence[Event]]

SIZES = (10, 100, 1_000, 10_000)
START_MS = 1_700_000_000_000
EQUITY = 1_000_000.0
GROSS = 0.5
"""Of equity, half long and half short: inside every limit, as on an ordinary day."""

# Every limit of the preset stays on; only counts of this book are let pass.
LIMITS: dict[str, Any] = {
    "open_positions": "off",
    "trades_per_day": "off",
    "asset_exposure": {"max": 0.5},
    "position_size": {"max": 0.5},
    "stop_risk": {"max": 0.5},
}


class Bench:
    """An engine with N positions, fed one event after the other.

    Attributes:
        engine: of riskbot.
        now_ms: UTC ms, advanced by the events.
    """

    def __init__(self, count: int) -> None:
        from riskbot.core import events, model
        from riskbot.core.engine import Engine
        from tests import builders

        self.count = count
        self.builders, self.events, self.model = builders, events, model
        self.now_ms = START_MS
        self._numbers = itertools.count()
        self.rng = random.Random(7)
        self.symbols = [f"C{number}/USDT:USDT" for number in range(count)]
        self.prices = dict.fromkeys(self.symbols, 100.0)
        self.each = EQUITY * GROSS / count / 100
        self.engine: Engine = Engine(settings(), "rb0")
        self._feed(builders.loaded(*self.symbols))
        # Prices first: each first price of something held means a full evaluation.
        for symbol in self.symbols:
            self._feed(self.frame(symbol))
        self.held = [round(self.each * (-1) ** number, 6) for number in range(count)]
        positions = [
            builders.position(symbol, quantity, 100, leverage=2.0)
            for symbol, quantity in zip(self.symbols, self.held, strict=True)
        ]
        self._feed(builders.snapshot(*positions, usdt=EQUITY, as_of_ms=START_MS))
        self.tick_timer()

    def frame(self, symbol: str) -> Event:
        """Return a price frame one step of a random walk on."""
        price = self.prices[symbol] = self.prices[symbol] * (1 + self.rng.gauss(0, 5e-5))
        return self.events.PricesUpdated(
            account=self.builders.ACCOUNT,
            symbol=symbol,
            mark=price,
            index=price,
            bid=price,
            ask=price,
            venue_ms=self.now_ms,
        )

    def _feed(self, event: Event) -> int:
        return len(self.engine.handle(event, self.now_ms))

    def tick_timer(self) -> None:
        """Let the second's timer fire."""
        self.now_ms += 1
        self._feed(self.events.TimerFired())

    def run(self, made: Iterator[Step], rounds: int, step_ms: int = 1) -> list[float]:
        """Return us of each step's event; every second of the clock the timer fires, not counted.

        What belongs before and after an event is fed, and not counted either.
        """
        taken = []
        for before, event, after in itertools.islice(made, rounds):
            self.now_ms += step_ms
            for other in before:
                self._feed(other)
            started = time.perf_counter()
            self.engine.handle(event, self.now_ms)
            taken.append((time.perf_counter() - started) * 1e6)
            for other in after:
                self._feed(other)
            if self.now_ms % 1_000 == 0:
                self.tick_timer()
        return taken

    def price_frames(self) -> Iterator[Step]:
        """Yield price frames of all instruments in turn."""
        for symbol in itertools.cycle(self.symbols):
            yield (), self.frame(symbol), ()

    def fills(self) -> Iterator[Step]:
        """Yield fills of somebody's orders, their positions told just before."""
        for moved, fill in self._trades():
            yield (moved,), fill, ()

    def position_frames(self) -> Iterator[Step]:
        """Yield position frames with one changed quantity, their fills told just after."""
        for moved, fill in self._trades():
            yield (), moved, (fill,)

    def _trades(self) -> Iterator[tuple[Event, Event]]:
        """Yield trades of all instruments in turn, each as position frame and fill."""
        while True:
            number = next(self._numbers)
            index = number % self.count
            symbol = self.symbols[index]
            self.held[index] += 0.001
            moved = self.builders.position(symbol, round(self.held[index], 6), 100, leverage=2.0)
            yield (
                self.events.PositionsUpdated(
                    account=self.builders.ACCOUNT, positions=(moved,), venue_ms=self.now_ms
                ),
                self.builders.fill(
                    symbol, "buy", "0.001", self.prices[symbol], trade_id=f"t{number}"
                ),
            )

    def timers(self) -> Iterator[Step]:
        """Yield the second's timer, after every price of the book has moved."""
        while True:
            moved = [self.frame(symbol) for symbol in self.symbols]
            yield moved, self.events.TimerFired(), ()

    def dark_timers(self) -> Iterator[Step]:
        """Yield the second's timer while no frame comes: everything grows stale."""
        while True:
            yield (), self.events.TimerFired(), ()


def settings() -> CoreSettings:
    """Return the `leveraged` preset with the limits above, shadow."""
    from riskbot.core.limits import account_limits, parse_limits
    from tests import builders

    faults: list[str] = []
    made = [
        ("portfolio", limit)
        for limit in parse_limits(
            LIMITS, "portfolio", "leveraged", path="portfolio.limits", faults=faults
        )
    ]
    made += [
        (scope, limit)
        for scope in (f"account:{builders.ACCOUNT}",)
        for limit in account_limits({}, LIMITS, scope, "leveraged", path="a", faults=faults)
    ]
    assert not faults, faults
    return builders.settings(limits=tuple(made))


KINDS: tuple[tuple[str, str, float, Callable[[Bench], Iterator[Step]], int], ...] = (
    ("price tick", "price", 0.2, Bench.price_frames, 1),
    ("fill", "fill", 0.0, Bench.fills, 1),
    ("position frame", "fill", 0.0, Bench.position_frames, 1),
    ("the second's timer, all prices moved", "fill", 0.0, Bench.timers, 1_000),
    ("the second's timer, no prices", "fill", 0.0, Bench.dark_timers, 1_000),
)


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    costs: dict[str, dict[int, float]] = {}
    parsing = parse_costs(3 if is_quick else 7)
    for count in SIZES:
        try:
            bench = Bench(count)
        except NotImplementedError as error:
            raise NotYetError(f"the engine: {error}") from error
        gc.collect()
        gc.freeze()
        for name, _, _, frames, step_ms in KINDS:
            rounds = _rounds(name, count, is_quick=is_quick)
            bench.run(frames(bench), rounds // 10 + 1, step_ms)
            runs = [bench.run(frames(bench), rounds, step_ms) for _ in range(3)]
            costs.setdefault(name, {})[count] = min(statistics.fmean(run) for run in runs)
            if name == "price tick":
                tails = quantile(sorted(itertools.chain(*runs)), 0.999)
                costs.setdefault("tail", {})[count] = tails
        gc.unfreeze()
    return [*_rows(costs, parsing), *_growth(costs), *_throughput(costs)]


def _rounds(name: str, count: int, *, is_quick: bool) -> int:
    if name == "price tick":
        return 5_000 if is_quick else 20_000
    return max(3, min(1_000, 10_000 // count) // (4 if is_quick else 1))


def _rows(costs: dict[str, dict[int, float]], parsing: dict[str, float]) -> list[Row]:
    names = {"price": "ccxt's parse of a bookTicker", "fill": "ccxt's parse of a fill"}
    return [
        compared(
            f"engine: {name}, {count:,} positions",
            costs[name][count],
            parsing[reference],
            names[reference],
            goal or None,
        )
        for name, reference, goal, _, _ in KINDS
        for count in SIZES
    ]


def _growth(costs: dict[str, dict[int, float]]) -> list[Row]:
    ticks = costs["price tick"]
    return [compared("engine: price tick, 10,000 positions", ticks[10_000], ticks[10], "at 10", 2)]


def _throughput(costs: dict[str, dict[int, float]]) -> list[Row]:
    found = []
    decode = _decode_cost()
    for count in (100, 10_000):
        tick = costs["price tick"][count]
        found.append(
            Row(
                f"ticks/s one core sustains, {count:,} positions",
                f"{figure(1e6 / tick)} in the engine",
                f"{figure(1e6 / (tick + decode))} from the raw frame" if decode else "",
            )
        )
        found.append(
            Row(f"engine: slowest tick in 1,000, {count:,}", f"{figure(costs['tail'][count])} us")
        )
    return found


class _Names:
    account = "main"

    def symbol_of(self, market_id: Any, *_kinds: Any) -> str:
        return f"{market_id[:-4]}/USDT:USDT"


def _decode_cost() -> float:
    """Return us from a raw bookTicker to its event, 0 while there is no such decoder."""
    try:
        from riskbot.exchanges import binance_frames
    except ImportError:
        return 0.0
    import orjson

    from tests.bench.ccxt_parse import book_ticker

    frames = [json.dumps(book_ticker(number)) for number in range(2_000)]
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for frame in frames:
            binance_frames.decode(_Names(), orjson.loads(frame))
        best = min(best, (time.perf_counter() - started) / len(frames) * 1e6)
    return best
