"""The demo's story: a levered portfolio meets the fall of 20-24 January 2022.

What is held, which orders somebody's bot rests and repeats, how fast time passes, and whether it
ended as it should. The daemon itself is the one of `run`; the command line puts both together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import yaml

from riskbot.clock import SystemClock
from riskbot.core.model import Side
from riskbot.data import prices
from riskbot.exchanges.paper.order import Request

EQUITY_USD = 100_000
START_MS = int(datetime(2022, 1, 20, 15, tzinfo=UTC).timestamp() * 1000)
"""The fall begins: BTC stands at 43,000."""

END_MS = int(datetime(2022, 1, 25, tzinfo=UTC).timestamp() * 1000)

HOLDINGS: dict[str, float] = {
    "BTC": 0.18,
    "ETH": 0.15,
    "SOL": 0.12,
    "AVAX": 0.09,
    "LINK": 0.15,
    "UNI": 0.12,
    "SAND": 0.10,
    "XRP": -0.17,
    "DOGE": -0.13,
}
"""Shares of equity, short < 0."""

DIPS: tuple[tuple[str, float, float], ...] = (
    ("LINK", 0.012, 0.04),
    ("UNI", 0.017, 0.07),
    ("SAND", 0.022, 0.08),
    ("AAVE", 0.027, 0.06),
    ("LTC", 0.032, 0.06),
)
"""Resting buys of a bot that averages down: how far below the start, for which share of equity."""

RETRIES: tuple[tuple[int, str, float], ...] = (
    (20, "LTC", 0.03),
    (26, "ETH", 0.03),
    (30, "SOL", 0.03),
)
"""The bot tries again: hours after the start, what, for which share of equity."""

SECTORS = {
    "store_of_value": ["BTC"],
    "platforms": ["ETH", "SOL", "AVAX"],
    "payments": ["XRP", "LTC"],
}

LIMITS: dict[str, Any] = {
    "value_at_risk": {"max": 0.07, "on_breach": "deny", "when_unknown": "pass"},
    "stress_loss": {"max": 0.48, "on_breach": "alert"},
}
"""What this book is held to beside the preset: a bad day, and a week as in March 2020."""

BARS_PER_SECOND = 70.0
"""Minutes of the market per second of real time, while nothing happens, at speed 1."""

FRAME_S = 0.03
FRAME_MIN_S = 0.002
QUIET_FRAMES = 1
LEAP_MAX_MS = 300_000
LINGER_FRAMES = 20
WATCH_S = 0.25
CALM_RATE = 1.0
BUSY_RATE = 1.5
"""Riskbot's clock against real time: while the market is skipped through, and while it acts."""

LINGER_S = 1.6
"""How long the market waits after something a newcomer should read, at speed 1."""


def symbol_of(base: str) -> str:
    """Return the perpetual of a base asset."""
    return f"{base}/USDT:USDT"


def configuration(state_dir: Path, port: int | None = None) -> str:
    """Return the demo's configuration file: the preset and `LIMITS`, on a paper account."""
    path = prices.january_2022()
    row = path.row(path.index_at(START_MS))
    bases = list(dict.fromkeys([*HOLDINGS, *(base for base, _, _ in DIPS)]))
    document: dict[str, Any] = {
        "instance": "demo",
        "mode": "enforce",
        "timezone": "UTC",
        "state_dir": str(state_dir),
        "accounts": {
            "paper": {
                "exchange": "paper",
                "markets": ["linear"],
                "ccxt": {
                    "balance": {"USDT": EQUITY_USD},
                    "prices": "demo",
                    "follow_clock": True,
                    "symbols": [symbol_of(base) for base in bases],
                    "positions": {
                        symbol_of(base): _quantity(row[symbol_of(base)], share)
                        for base, share in HOLDINGS.items()
                    },
                    "orders": [_dip(row, *dip) for dip in DIPS],
                },
            }
        },
        "portfolio": {
            "preset": "leveraged",
            "sectors": SECTORS,
            "assume_stop": 0.05,
            "limits": LIMITS,
        },
        # Time passes in leaps of minutes here: what is stale is judged in the same measure.
        "monitor": {"price_stale_s": 600, "account_stale_s": 600, "reconcile_s": 300},
    }
    if port is not None:
        document["http"] = {"listen": f"127.0.0.1:{port}"}
    return yaml.safe_dump(document, sort_keys=False)


def _quantity(price: float, share: float) -> str:
    """Return a share of equity in base units, three digits of it."""
    return f"{Decimal(f'{EQUITY_USD * share / price:.3g}'):f}"


def _dip(row: dict[str, float], base: str, below: float, share: float) -> dict[str, Any]:
    price = row[symbol_of(base)] * (1 - below)
    return {
        "symbol": symbol_of(base),
        "side": "buy",
        "quantity": _quantity(price, share),
        "price": f"{Decimal(f'{price:.4g}'):f}",
    }


# ---------------------------------------------------------------- time


class LapseClock:
    """Time-lapse: it runs at a rate, and leaps over what need not be watched.

    Fulfills `clock.Clock`; latencies are real.

    Attributes:
        real: the clock behind it.
    """

    def __init__(self, start_ms: int, rate: float = 1.0) -> None:
        self.real = SystemClock()
        self._rate = rate
        self._base_ms = float(start_ms)
        self._since_ns = self.real.monotonic_ns()
        self._turn = asyncio.Event()

    def now_ms(self) -> int:
        """Return UTC epoch in ms; never goes back."""
        return int(self._now())

    def _now(self) -> float:
        return self._base_ms + (self.real.monotonic_ns() - self._since_ns) / 1e6 * self._rate

    def monotonic_ns(self) -> int:
        """Return a monotonic stamp in real ns."""
        return self.real.monotonic_ns()

    async def sleep_until(self, deadline_ms: int) -> None:
        """Return once `now_ms()` >= deadline, by running or by a leap."""
        while (left := deadline_ms - self._now()) > 0:
            turn = self._turn
            with suppress(TimeoutError):
                async with asyncio.timeout(left / self._rate / 1000):
                    await turn.wait()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""
        await self.sleep_until(int(self._now() + seconds * 1000))

    def set_rate(self, rate: float) -> None:
        """Run at another rate from now on, > 0."""
        if rate != self._rate:
            self._rebase(0)
            self._rate = rate

    def leap(self, milliseconds: int) -> None:
        """Move on at once; whoever waits for a moment passed wakes."""
        self._rebase(milliseconds)

    def _rebase(self, milliseconds: int) -> None:
        self._base_ms = self._now() + milliseconds
        self._since_ns = self.real.monotonic_ns()
        self._turn.set()
        self._turn = asyncio.Event()


# ---------------------------------------------------------------- the story


class PaperAccount(Protocol):
    """What the story needs of the paper account: to trade on it as somebody else's bot would."""

    venue: Any

    def pump(self) -> None:
        """Tell over the streams what the venue has to tell."""
        ...


class Stage:
    """The paper account as the bot that trades on it sees it, past riskbot."""

    def __init__(self, account: PaperAccount, clock: LapseClock) -> None:
        self._account = account
        self._clock = clock

    def order(self, base: str, share: float) -> None:
        """Buy at the market for a share of the equity at the start; a refusal is the bot's."""
        symbol = symbol_of(base)
        mark = self._account.venue.mark(symbol)
        if mark is not None:
            quantity = Decimal(_quantity(float(mark), share))
            request = Request(symbol, Side.BUY, quantity)
            self._account.venue.submit(request, self._clock.now_ms())
            self._account.pump()


def is_busy(status: dict[str, Any]) -> bool:
    """Whether riskbot is at work: time must not leap."""
    if status["starting"] or status["intents"]:
        return True
    return any(
        row["stage"] in {"unconfirmed", "disagreeing", "waiting"} and row["level"] == "red"
        for row in status["limits"]
    )


def is_told(status: dict[str, Any]) -> set[tuple[str, str]]:
    """Return what a newcomer should have time to read when it is new."""
    limits = {
        (row["name"], row["level"])
        for row in status["limits"]
        if row["on_breach"] in {"reduce", "halt", "flatten"} and row["level"] != "ok"
    }
    return limits | {(hold["limit"], hold["state"]) for hold in status["holds"]}


def is_over(status: dict[str, Any]) -> bool:
    """Whether the drawdown was answered and nothing is left to do."""
    latched = any(h["limit"] == "drawdown" and h["latched"] for h in status["holds"])
    return latched and not status["intents"]


def ending(status: dict[str, Any], positions: list[dict[str, Any]]) -> list[str]:
    """Return what is not as it should be at the end: flat, halted, latched by the drawdown."""
    faults = []
    if status["trading_state"] != "HALTED":
        faults.append(f"trading state is {status['trading_state']}, not HALTED")
    if not any(h["limit"] == "drawdown" and h["latched"] for h in status["holds"]):
        faults.append("the drawdown did not latch")
    faults += [
        f"{row['instrument']}: {row['quantity']} is left" for row in positions if not row["dust"]
    ]
    return faults


class Director:
    """Lets the market play: in leaps while it is calm, slowly while riskbot works.

    Args:
        clock: the daemon's.
        view: returns a document by name.
        order: places an order of the bot's: (base, share of equity).
        show: takes status and positions of each frame.
        speed: of the calm; > 0.
    """

    def __init__(
        self,
        clock: LapseClock,
        view: Callable[[str], Any],
        order: Callable[[str, float], None],
        show: Callable[[dict[str, Any], list[dict[str, Any]]], None],
        speed: float,
    ) -> None:
        self._clock, self._view, self._order, self._show = clock, view, order, show
        self._speed = speed
        per_frame_ms = BARS_PER_SECOND * speed * FRAME_S * 60_000
        self._leap_ms = int(min(max(per_frame_ms, 60_000), LEAP_MAX_MS))
        self._frame_s = max(self._leap_ms / 60_000 / (BARS_PER_SECOND * speed), FRAME_MIN_S)
        self._told: set[tuple[str, str]] = set()
        self._retries = deque(RETRIES)
        self._quiet_frames = 0
        self._begun_usd: float | None = None
        self._last: dict[str, Any] = {}

    async def run(self) -> list[str]:
        """Play until the drawdown was answered, or the market ended; return the faults."""
        while self._clock.now_ms() < END_MS:
            await self._clock.real.sleep(self._frame_s)
            if not self._look():
                continue
            if is_over(self._last):
                break
            told = is_told(self._last)
            if told - self._told:
                await self._linger()
            self._told |= told
            self._bot()
            self._clock.leap(self._leap_ms)
            self._quiet_frames = 0
        self._clock.set_rate(CALM_RATE)
        self._last = self._view("status")
        positions = self._view("positions")
        self._show(self._last, positions)
        return ending(self._last, positions)

    def _look(self) -> bool:
        """Show the present; True when nothing is going on and time may leap."""
        status = self._last = self._view("status")
        if status["starting"] or status["equity_usd"] is None:
            return False
        if self._begun_usd is None:
            self._begun_usd = status["equity_usd"]
        self._show(status, self._view("positions"))
        if is_busy(status):
            self._quiet_frames = 0
            self._clock.set_rate(BUSY_RATE * max(self._speed, 1.0))
            return False
        self._clock.set_rate(CALM_RATE)
        # A leap is over once its prices have been taken in: two calm frames in a row.
        self._quiet_frames += 1
        return self._quiet_frames >= QUIET_FRAMES

    async def _linger(self) -> None:
        """Give people time to read, and the picture time to show it."""
        for _ in range(LINGER_FRAMES):
            await self._clock.real.sleep(LINGER_S / self._speed / LINGER_FRAMES)
            self._look()

    def _bot(self) -> None:
        while self._retries:
            hours, base, share = self._retries[0]
            if self._clock.now_ms() < START_MS + hours * 3_600_000:
                return
            self._retries.popleft()
            self._order(base, share)

    async def watch(self) -> None:
        """Go on showing what is new, until cancelled."""
        while True:
            await self._clock.real.sleep(WATCH_S)
            self._show(self._view("status"), self._view("positions"))

    def summary(self, faults: list[str]) -> list[str]:
        """Return what to remember of it."""
        equity, begun = self._last["equity_usd"] or 0.0, self._begun_usd or EQUITY_USD
        lines = ["", "What happened"]
        if faults:
            lines += [f"  it did not end as it should: {fault}" for fault in faults]
        else:
            lines += [
                f"  equity {begun:,.0f} -> {equity:,.0f} USD ({equity / begun - 1:+.1%}); "
                "every position closed, verified by two reads",
                "  HALTED: no new risk until a person resumes, also after a restart",
                f"  without riskbot the same book would have stood at {unguarded():+.1%} "
                "at the low of 24 January",
            ]
        return lines


def unguarded() -> float:
    """Return what the holdings alone would have lost at worst, share of equity, < 0."""
    path = prices.january_2022()
    first = path.row(path.index_at(START_MS))
    rows = (path.row(i) for i in range(path.index_at(START_MS), path.index_at(END_MS)))
    return min(
        sum(
            share * (row[symbol_of(base)] / first[symbol_of(base)] - 1)
            for base, share in HOLDINGS.items()
        )
        for row in rows
    )
