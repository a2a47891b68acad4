"""A week of real market in the paper venue: somebody's bot trades, the engine guards, time flies.

The core is the one of `run`, with the settings of a configuration file; the prices are those of
January 2022. Into it comes what venues and networks do in any week: streams that break, reads that
fail, a door that is away, a restart. Nothing is random twice.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from riskbot.config import load
from riskbot.core import actions, events
from riskbot.core.duty import AlertStatus
from riskbot.core.engine import Engine
from riskbot.core.model import DIGEST, Level, RejectReason
from riskbot.exchanges._base import Credentials
from riskbot.exchanges.paper.exchange import PaperExchange
from tests.scenarios.stage import Stage, StageClock

D = Decimal
DAY_MS = 86_400_000
STEP_S = 5
"""Time passes in steps of so many seconds: prices, timers and streams; reads every other one."""

EQUITY = 100_000
COINS = "BTC ETH SOL AVAX LINK UNI AAVE SAND ADA XRP LTC DOGE".split()
ACCOUNT = "main"

LOOK_EVERY_S = 600
POSITIONS_MAX = 10
GROSS_MAX, NET_MAX, SECTOR_MAX = 1.5, 0.65, 0.34
"""Of equity, where the bot stops to open: inside the limits, and not far inside."""

STOP = D("0.05")
"""Each entry gets a stop so far away, as a share of its price."""


def at_ms(day: int) -> int:
    """Return the begin of a day of January 2022, UTC ms."""
    return int(datetime(2022, 1, day, tzinfo=UTC).timestamp() * 1000)


def symbol_of(coin: str) -> str:
    """Return the perpetual of a coin."""
    return f"{coin}/USDT:USDT"


@dataclass
class Tally:
    """What people were sent.

    Attributes:
        loud: messages with a sound, by (day, name, level).
        fresh: messages that appear in a chat, silent ones too, by (day, name, level).
        edits: changes of a message that is there.
    """

    loud: Counter[tuple[int, str, Level]] = field(default_factory=Counter)
    fresh: Counter[tuple[int, str, Level]] = field(default_factory=Counter)
    edits: int = 0
    _known: set[str] = field(default_factory=set)

    def note(self, day: int, action: actions.SendAlert) -> None:
        """Count one alert as a chat shows it (telegram.md section 6)."""
        alert = action.alert
        if alert.name == DIGEST:
            return
        is_over = alert.status is AlertStatus.RESOLVED and alert.message in self._known
        level = alert.worst_level if is_over else alert.level
        key = (day, alert.name, level)
        is_fresh = alert.message not in self._known
        self._known.add(alert.message)
        self.loud[key] += action.is_loud
        if is_fresh or action.is_loud or (is_over and level.rank >= Level.ORANGE.rank):
            self.fresh[key] += 1
        else:
            self.edits += 1


class Week(Stage):
    """The engine, the paper account and the bot that trades on it."""

    def __init__(self, folder: Path, first_day: int, seed: int = 7) -> None:
        clock = StageClock()
        clock.ms = at_ms(first_day)
        core = load(_configuration(folder)).core()
        self.sectors = core.sectors
        paper = {
            "balance": {"USDT": EQUITY},
            "prices": "demo",
            "follow_clock": True,
            "symbols": [symbol_of(coin) for coin in COINS],
            "latency_ms": 0,
            "depth_usd": 1_000_000,
        }
        exchange = PaperExchange(
            *(ACCOUNT, "paper", Credentials(), paper, ("linear",), clock),
            random.Random(seed),
            lambda: False,
        )
        super().__init__(Engine(core, "rbweek"), clock, {ACCOUNT: exchange})
        self.venue = exchange.venue
        self.rng = random.Random(seed)
        self.tally = Tally()
        self.closes: dict[str, int] = {}
        self.trouble = sorted(_trouble(random.Random(seed), clock.ms))
        self.first_ms = clock.ms

    # ------------------------------------------------------------ time

    def pass_days(self, days: float) -> None:
        """Let days pass."""
        end_ms = self.first_ms + round(days * DAY_MS)
        while self.clock.ms < end_ms:
            self.clock.ms += STEP_S * 1_000
            second = (self.clock.ms - self.first_ms) // 1000
            while self.trouble and self.trouble[0][0] <= self.clock.ms:
                getattr(self, self.trouble.pop(0)[1])()
            self.give(events.TimerFired())
            self.beat()
            if second % 10 == 0:
                self.read()
            if second % LOOK_EVERY_S == 0:
                self._trade()
            self._count()

    def _count(self) -> None:
        """Count what was told, then forget it: a week of it is not needed."""
        for ms, action in self.decided:
            if isinstance(action, actions.SendAlert):
                self.tally.note((ms - self.first_ms) // DAY_MS, action)
        told = [a for _, a in self.decided if isinstance(a, actions.SendAlert)]
        self.decided.clear()
        self.journal.clear()
        for action in told:
            done = events.AlertDelivered(
                alert_id=action.alert.message, channel="telegram", revision=action.alert.revision
            )
            self.give(done)

    # ------------------------------------------------------------ the bot

    def held(self) -> dict[str, float]:
        """Return signed shares of equity, by coin."""
        equity = self.equity()
        rows = ((key[0], h.quantity) for key, h in self.venue.pool.holdings.items() if h.quantity)
        return {s.partition("/")[0]: float(q * self.venue.mark(s)) / equity for s, q in rows}

    def _trade(self) -> None:
        held = self.held()
        for coin in [c for c in self.closes if c not in held]:
            del self.closes[coin]  # its stop was hit
        for coin, due_ms in list(self.closes.items()):
            if due_ms <= self.clock.ms:
                self._close(coin)
                del held[coin]
        if len(held) < POSITIONS_MAX:
            self._open(self.rng.choice(COINS), held)

    def _close(self, coin: str) -> None:
        symbol = symbol_of(coin)
        quantity = self.quantity(symbol)
        self.trade(symbol, str(-quantity), reduce_only=True)
        for order_id, order in list(self.venue.orders.items()):
            if order.request.symbol == symbol:
                self.venue.cancel(order_id, self.clock.ms)
        del self.closes[coin]

    def _open(self, coin: str, held: dict[str, float]) -> None:
        share = self.rng.uniform(0.08, 0.16)
        net = sum(held.values())
        share *= 1 if self.rng.random() < (0.35 if net > 0.2 else 0.65) else -1
        sector = self.sectors.get(coin, coin)
        there = sum(abs(s) for c, s in held.items() if self.sectors.get(c, c) == sector)
        is_full = (
            coin in held
            or sum(map(abs, held.values())) + abs(share) > GROSS_MAX
            or abs(net + share) > NET_MAX
            or there + abs(share) > SECTOR_MAX
        )
        mark = self.venue.mark(symbol_of(coin))
        if is_full or mark is None:
            return
        quantity = D(f"{EQUITY * share / float(mark):.3g}")
        self.trade(symbol_of(coin), str(quantity))
        stop = mark * (1 - STOP if share > 0 else 1 + STOP)
        self.trade(symbol_of(coin), str(-quantity), stop_price=f"{stop:.4g}", reduce_only=True)
        hours = self.rng.uniform(2, 30)
        self.closes[coin] = self.clock.ms + round(hours * 3_600_000)

    # ------------------------------------------------------------ what happens in any week

    def silence(self) -> None:
        """Let both streams say nothing."""
        self.faults(ACCOUNT).silent |= {"account", "prices"}

    def sound(self) -> None:
        """Let them go on."""
        self.faults(ACCOUNT).silent.clear()

    def break_stream(self) -> None:
        """Cut the sockets; the next beat is of new ones."""
        for feed in ("account", "prices"):
            self.give(events.FeedLost(account=ACCOUNT, feed=feed, reason="connection reset"))

    def down(self) -> None:
        """Let every request fail, and the streams fall silent: maintenance."""
        self.faults(ACCOUNT).is_down = True
        self.silence()

    def up(self) -> None:
        """End it."""
        self.faults(ACCOUNT).is_down = False
        self.sound()

    def refuse_read(self) -> None:
        """Let a read fail, streams alive."""
        self.faults(ACCOUNT).refuse("snapshot", RejectReason.UNREACHABLE)

    def busy(self) -> None:
        """Let a large part of the request limit be used, by whatever shares the address."""
        self.give(events.RequestsLimited(account=ACCOUNT, used_ratio=0.7, detail="weight"))

    def free(self) -> None:
        """End it."""
        self.give(events.RequestsLimited(account=ACCOUNT, used_ratio=0.1, detail="weight"))

    def clock_off(self) -> None:
        """Let the clock drift, as clocks do before NTP steps in."""
        self.give(events.ClockMeasured(account=ACCOUNT, offset_ms=300, round_trip_ms=20))

    def clock_right(self) -> None:
        """End it."""
        self.give(events.ClockMeasured(account=ACCOUNT, offset_ms=20, round_trip_ms=20))

    def bot_away(self) -> None:
        """Let Telegram be unreachable."""
        words = "Telegram cannot be reached (ClientConnectorError)"
        self.give(events.FrontendChanged(name="telegram", is_up=False, detail=words))

    def bot_back(self) -> None:
        """End it."""
        self.give(events.FrontendChanged(name="telegram", is_up=True, detail=""))

    def hook_fails(self) -> None:
        """Let a webhook's receiver be restarted."""
        self.give(
            events.AlertDeliveryFailed(
                alert_id="A1", channel="webhook", revision=1, error="HTTP 502", is_permanent=False
            )
        )

    def hook_works(self) -> None:
        """End it."""
        self.give(events.AlertDelivered(alert_id="A1", channel="webhook", revision=1))

    def again(self) -> None:
        """Start the daemon anew, as for an update."""
        self.give(events.Stopping())
        self.give(events.Started(version="bench", config_hash="x"))


_WEEKLY: tuple[tuple[str, str, int, float], ...] = (
    ("break_stream", "", 28, 0),
    ("silence", "sound", 10, 12),
    ("silence", "sound", 3, 40),
    ("down", "up", 2, 45),
    ("refuse_read", "", 7, 0),
    ("busy", "free", 10, 60),
    ("clock_off", "clock_right", 4, 300),
    ("bot_away", "bot_back", 4, 45),
    ("bot_away", "bot_back", 1, 600),
    ("hook_fails", "hook_works", 3, 30),
    ("again", "", 1, 0),
)
"""(what, its end, times a week, seconds it lasts)."""


def _trouble(rng: random.Random, start_ms: int) -> Iterator[tuple[int, str]]:
    for begin, end, times, seconds in _WEEKLY:
        for _ in range(times):
            ms = start_ms + rng.randrange(3_600_000, 7 * DAY_MS - 3_600_000)
            yield ms, begin
            if end:
                yield ms + round(seconds * 1000), end


def _configuration(folder: Path) -> Path:
    """Write the configuration of a normal user: the preset as it is."""
    document: dict[str, Any] = {
        "instance": "bench",
        "mode": "enforce",
        "state_dir": str(folder / "state"),
        "accounts": {ACCOUNT: {"exchange": "paper", "markets": ["linear"]}},
        "portfolio": {"preset": "leveraged"},
        # Time passes in steps here: what is stale is judged in the same measure.
        "monitor": {"price_stale_s": 2 * STEP_S, "account_stale_s": 15},
    }
    file = folder / "riskbot.yaml"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(document))
    return file


def play(first_day: int, days: float, trouble: Sequence[tuple[float, str]] | None = None) -> Week:
    """Play days of January 2022 and return what came of them.

    Args:
        first_day: of the month.
        days: how many.
        trouble: (seconds after the begin, what happens) instead of an ordinary week's.
    """
    with tempfile.TemporaryDirectory() as folder:
        week = Week(Path(folder), first_day)
        if trouble is not None:
            week.trouble = sorted((week.first_ms + round(s * 1000), what) for s, what in trouble)
        week.start()
        week.pass_days(days)
        return week
