"""NAV per unit of one scope through time: peaks, period starts, rolling windows, and the losses.

What NAV is, and which flows move units, lives in `cashflows`. Everything here moves by recorded
samples only, so that a fold of the journal ends in the same place.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from riskbot.core import actions, events
from riskbot.core.exposure import Losses
from riskbot.core.model import BlindKind, account_scope

MINUTE_MS = 60_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS

STEP = 1e-4
"""Relative rise of the peak, or of the deepest drawdown, that is recorded at once."""

REGAIN_MS = 5_000
"""A read so long after the first one, and what it shows has been booked."""

_KEPT_MS = WEEK_MS + 3_600_000

DAYS_KEPT = 400


@dataclass(slots=True)
class Day:
    """What became of one day of a scope, once it is over.

    Attributes:
        day_ms: when it began; until_ms: its last sample, which the next day begins with.
        opened_usd, closed_usd: E at both ends; flows_usd: what came in between, > 0 = in.
        opened_nav, closed_nav: per unit.
        drawdown: worst of its samples, share of the true peak.
        fees, funding: units by asset; fees > 0 were paid, funding > 0 was received.
    """

    day_ms: int
    until_ms: int = 0
    opened_usd: float = 0.0
    closed_usd: float = 0.0
    flows_usd: float = 0.0
    opened_nav: float = 1.0
    closed_nav: float = 1.0
    drawdown: float = 0.0
    fees: dict[str, float] = field(default_factory=dict)
    funding: dict[str, float] = field(default_factory=dict)

    @property
    def pnl_usd(self) -> float:
        """What was won or lost, flows left out."""
        return self.closed_usd - self.opened_usd - self.flows_usd


@dataclass(slots=True)
class Basis:
    """What losses are measured from: NAV per unit, or a share; None = no sample yet.

    Attributes:
        max_drawdown: deepest (peak - low)/peak so far; drawdown_peak: the peak it goes on from.
        rolling_since_ms: samples before it do not count in the rolling windows.
    """

    peak: float | None = None
    drawdown_peak: float | None = None
    max_drawdown: float = 0.0
    week_peak: float | None = None
    day_nav: float | None = None
    week_nav: float | None = None
    rolling_since_ms: int = 0


@dataclass(slots=True)
class NavHistory:
    """Samples and bases of one scope.

    Attributes:
        units: of the scope, >= 0.
        nav: at the last sample; flows use it while nothing better is known.
        true: what happened; enforced: the same after re-bases by `resume`.
        samples: (UTC ms, nav), about one a minute, seven days back.
        day_equity_usd: E at the day's start; day_flows_usd: flows since.
        sighted_usd: E of an account when it went out of sight; None = in sight, or unknown.
        regained_ms: when it was first read again, 0 = not yet.
        equity_usd: E at the last sample.
        day_drawdown: worst since the day's start, share of the true peak.
        fees, funding: of the day, as in `Day`.
        days: those that are over, oldest first.
    """

    units: float = 0.0
    nav: float = 1.0
    true: Basis = field(default_factory=Basis)
    enforced: Basis = field(default_factory=Basis)
    samples: list[tuple[int, float]] = field(default_factory=list)
    recorded_ms: int = 0
    is_seeded: bool = False
    day_ms: int = 0
    week_ms: int = 0
    day_equity_usd: float = 0.0
    day_flows_usd: float = 0.0
    sighted_usd: float | None = None
    regained_ms: int = 0
    equity_usd: float = 0.0
    day_drawdown: float = 0.0
    fees: dict[str, float] = field(default_factory=dict)
    funding: dict[str, float] = field(default_factory=dict)
    days: list[Day] = field(default_factory=list)

    # ------------------------------------------------------------ recording

    def record(self, sample: actions.RecordNav, now_ms: int, seed_nav: float = 0.0) -> None:
        """Take a sample; the first whole one also takes the peak before installation.

        Args:
            sample: what to record.
            now_ms: when.
            seed_nav: highest NAV per unit of the history before, 0 = none.
        """
        is_seeding = sample.is_whole and not self.is_seeded
        self.is_seeded = self.is_seeded or sample.is_whole
        self.units, self.nav, self.equity_usd = sample.units, sample.nav, sample.equity_usd
        is_first = not self.recorded_ms
        self.recorded_ms = now_ms
        if is_first or sample.day_start_ms > self.day_ms:
            if not is_first:
                self.days = [*self.days[-DAYS_KEPT + 1 :], self.today(now_ms)]
            self.day_ms, self.day_drawdown = sample.day_start_ms, 0.0
            self.fees, self.funding = {}, {}
            self.day_equity_usd, self.day_flows_usd = sample.equity_usd, 0.0
            self.true.day_nav = self.enforced.day_nav = sample.nav
        if is_first or sample.week_start_ms > self.week_ms:
            self.week_ms = sample.week_start_ms
            for basis in (self.true, self.enforced):
                basis.week_nav = basis.week_peak = sample.nav
        for basis in (self.true, self.enforced):
            if seed_nav > 0 and is_seeding:
                basis.peak = _higher(basis.peak, seed_nav)
                basis.drawdown_peak = _higher(basis.drawdown_peak, seed_nav)
            _rise(basis, sample.nav)
        self.day_drawdown = max(self.day_drawdown, _fall(self.true.peak, sample.nav))
        if not self.samples or now_ms - self.samples[-1][0] >= MINUTE_MS:
            self.samples.append((now_ms, sample.nav))
            self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        old = bisect_right(self.samples, (now_ms - _KEPT_MS, float("inf")))
        # In bulk, once an hour has gathered: a list forgets its head in O(n).
        if old >= DAY_MS // 24 // MINUTE_MS:
            del self.samples[:old]

    def today(self, now_ms: int) -> Day:
        """Return the day so far, up to the last sample."""
        return Day(
            day_ms=self.day_ms,
            until_ms=now_ms,
            opened_usd=self.day_equity_usd,
            closed_usd=self.equity_usd,
            flows_usd=self.day_flows_usd,
            opened_nav=self.nav if self.true.day_nav is None else self.true.day_nav,
            closed_nav=self.nav,
            drawdown=self.day_drawdown,
            fees=dict(self.fees),
            funding=dict(self.funding),
        )

    def rebase(self, limit: str, nav: float, now_ms: int) -> None:
        """Measure one loss limit from now on against NAV now; the truth stays."""
        basis = self.enforced
        if limit == "drawdown":
            basis.peak = nav
        elif limit == "max_drawdown":
            basis.drawdown_peak, basis.max_drawdown = nav, 0.0
        elif limit == "weekly_drawdown":
            basis.week_peak = nav
        elif limit == "daily_loss":
            basis.day_nav = nav
        elif limit == "weekly_loss":
            basis.week_nav = nav
        elif limit == "rolling_loss":
            basis.rolling_since_ms = now_ms

    def lose_sight(self, equity_usd: float | None) -> None:
        """Keep what an account is worth as it goes out of sight; what is kept already stays."""
        if self.sighted_usd is None:
            self.sighted_usd = equity_usd
        self.regained_ms = 0

    def regain(self, now_ms: int) -> None:
        """Take a read of an account that was out of sight.

        The first one may show what nothing explains yet, and NAV leaves that out; until it is
        booked, what was seen last goes on to count.
        """
        if self.sighted_usd is None:
            return
        if not self.regained_ms:
            self.regained_ms = now_ms
        elif now_ms - self.regained_ms >= REGAIN_MS:
            self.sighted_usd = None

    def is_due(self, nav: float, now_ms: int, day_ms: int, week_ms: int) -> bool:
        """Whether a sample must be recorded now."""
        if not self.recorded_ms or now_ms - self.recorded_ms >= MINUTE_MS:
            return True
        if day_ms > self.day_ms or week_ms > self.week_ms:
            return True
        return any(
            _is_above(nav, basis.peak)
            or _is_above(nav, basis.week_peak)
            or _fall(basis.drawdown_peak, nav) > basis.max_drawdown + STEP
            for basis in (self.true, self.enforced)
        )

    # ------------------------------------------------------------ reading

    def losses(self, nav: float, equity_usd: float | None, now_ms: int) -> Losses:
        """Return all loss measures at a NAV per unit; gains are negative where it says loss."""
        basis = self.enforced
        return Losses(
            nav=nav,
            drawdown=_fall(_higher(basis.peak, nav), nav),
            max_drawdown=_deepest(basis, nav),
            weekly_drawdown=_fall(_higher(basis.week_peak, nav), nav),
            daily_loss=_fall(basis.day_nav, nav),
            weekly_loss=_fall(basis.week_nav, nav),
            rolling_loss_24h=self._rolling(nav, DAY_MS, now_ms),
            rolling_loss_7d=self._rolling(nav, WEEK_MS, now_ms),
            true_drawdown=_fall(_higher(self.true.peak, nav), nav),
            true_max_drawdown=_deepest(self.true, nav),
            daily_pnl_usd=(
                equity_usd - self.day_equity_usd - self.day_flows_usd
                if equity_usd is not None and self.recorded_ms
                else None
            ),
            peak_nav=_higher(self.true.peak, nav),
        )

    def _rolling(self, nav: float, window_ms: int, now_ms: int) -> float:
        """Return the loss against NAV one window ago, or at the first sample since."""
        since = max(now_ms - window_ms, self.enforced.rolling_since_ms)
        at = bisect_right(self.samples, (since, float("inf"))) - 1
        if at < 0 or self.samples[at][0] < self.enforced.rolling_since_ms:
            at += 1
        return _fall(self.samples[at][1], nav) if at < len(self.samples) else 0.0


def _rise(basis: Basis, nav: float) -> None:
    basis.max_drawdown = _deepest(basis, nav)
    basis.peak = _higher(basis.peak, nav)
    basis.drawdown_peak = _higher(basis.drawdown_peak, nav)
    basis.week_peak = _higher(basis.week_peak, nav)


def _deepest(basis: Basis, nav: float) -> float:
    return max(basis.max_drawdown, _fall(_higher(basis.drawdown_peak, nav), nav))


def _higher(peak: float | None, nav: float) -> float:
    return nav if peak is None else max(peak, nav)


def _is_above(nav: float, peak: float | None) -> bool:
    return peak is not None and nav > peak * (1 + STEP)


def _fall(start: float | None, nav: float) -> float:
    """Return (start - now)/start, 0 without a start to fall from."""
    return (start - nav) / start if start is not None and start > 0 else 0.0


def sight(
    histories: dict[str, NavHistory], record: events.Event | actions.Action, now_ms: int
) -> None:
    """Fold what an account's going out of sight, or coming back, does to its history."""
    match record:
        case actions.SetBlind(what=BlindKind.ACCOUNT, is_blind=True):
            history = histories.setdefault(account_scope(record.subject), NavHistory())
            history.lose_sight(record.equity_usd)
        case events.AccountSnapshotReceived():
            histories.get(account_scope(record.account), NavHistory()).regain(now_ms)
        case _:
            pass
