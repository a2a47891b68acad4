"""A state machine around the engine: whatever happens in whatever order, the invariants hold.

Prices jump, sources disagree, venues refuse, lose replies, go deaf and mute, strangers trade,
money comes and goes, people command, the process dies at any effect and recovers from its journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from riskbot.core import actions, events
from riskbot.core.duty import Intent, IntentKind, cause_limit
from riskbot.core.engine import Engine
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.daily_loss import DailyLoss
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.model import (
    PORTFOLIO,
    BlindKind,
    LedgerKind,
    Level,
    PositionKey,
    RejectReason,
    Response,
    TradingState,
)
from riskbot.core.settings import AccountSettings, HedgeSettings
from riskbot.core.turn import RISKBOT
from tests import builders
from tests.core.world import World, world

LIMITS = (
    GrossExposure(max=2.0, on_breach=Response.REDUCE, within_s=20, then=Response.FLATTEN),
    NetExposure(max=0.9, on_breach=Response.HEDGE, start_after_s=2),
    AssetExposure(max=1.2, on_breach=Response.DENY),
    DailyLoss(max=0.08, on_breach=Response.HALT),
    Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True),
)
ACCOUNTS = {
    "main": AccountSettings(exchange="binanceusdm", deny_by_cancel=True),
    "other": AccountSettings(exchange="bybit"),
}
HEDGES = {"ETH": HedgeSettings("other", "ETH/USDT:USDT", 60_000)}
KEPT = ("enforcement", "alerts", "trades")
"""Parts of the state that observations which led to nothing do not touch."""

bases = st.sampled_from(["BTC", "ETH"])
accounts = st.sampled_from(sorted(ACCOUNTS))
_FEW = st.integers(min_value=1, max_value=3)


@dataclass
class Wild(World):
    """A world that checks every order the moment it is sent."""

    met: set[int] = field(default_factory=set)

    def _carry_out(self, action: actions.Action) -> Iterable[events.Event]:
        if isinstance(action, actions.PlaceOrder):
            self._check_order(action)
        elif isinstance(action, actions.SetIntent):
            self.check_intent(action.intent)
        return super()._carry_out(action)

    def _check_order(self, order: actions.PlaceOrder) -> None:
        enforcement = self.engine.state.enforcement
        assert order.client_order_id not in {o.client_order_id for o in self.sent}
        assert order.quantity > 0
        key = PositionKey(order.account, order.symbol, order.position_side)
        waiting = [p for p in enforcement.pending.values() if p.key == key]
        assert len(waiting) <= 1, "one order in flight per position"
        if not order.reduce_only:
            # Only a hedge may open, and never once the account is halted.
            (pending,) = waiting
            assert pending.is_hedge
            assert not order.is_protective
            assert not enforcement.is_blind(BlindKind.STORAGE), "a hedge opens unrecorded"
            assert enforcement.account_state(order.account) is not TradingState.HALTED
            return
        before = order.position_before
        assert before * order.side.sign < 0, "a close is opposite to the position"
        assert order.quantity <= abs(before), "a close never crosses zero"

    def check_intent(self, intent: Intent) -> None:
        """Riskbot's own closing work rests on a breach that is known at that moment."""
        if intent.intent_id in self.met or intent.actor != RISKBOT:
            return
        self.met.add(intent.intent_id)
        if intent.kind not in {IntentKind.FLATTEN, IntentKind.REDUCE}:
            return
        others = [i for i in self.engine.state.enforcement.intents.values() if i is not intent]
        joins = any(set(intent.causes) & set(i.causes) for i in others if i.kind is intent.kind)
        # The other leg of a pair that is being closed goes along, whatever its account waits for.
        assert joins or not self.engine.state.has_pending_flow(intent.account)
        scopes = self.engine.state.measure(self.now_ms)
        levels = set()
        for scope, label in intent.causes:
            limit = self.engine.state.limit(scope, cause_limit(label))
            if limit is not None and label.startswith(intent.kind.value):
                levels |= {v.level for v in limit.check(scopes[scope])}
        assert Level.RED in levels, "closing work without a known breach"


class Guarded(RuleBasedStateMachine):
    """Rules are what the world does; checks run after each."""

    made: Wild

    @initialize(
        btc=st.sampled_from([0.0, 1.0, -1.0, 2.0, 4.0]),
        eth=st.sampled_from([0.0, 10.0, -20.0]),
        other=st.sampled_from([0.0, -1.0, 1.5]),
        acts=st.booleans(),
    )
    def begin(self, *, btc: float, eth: float, other: float, acts: bool) -> None:
        held = {"BTC": (btc, 50_000.0), "ETH": (eth, 2_000.0)}
        elsewhere = {"BTC": (other, 50_000.0), "ETH": (0.0, 2_000.0)}
        made = world(
            *LIMITS,
            held=held,
            elsewhere={"other": elsewhere},
            accounts=ACCOUNTS,
            hedges=HEDGES,
            kind=Wild,
            startup_breach="act" if acts else "ask",
            usdt=60_000,
        )
        assert isinstance(made, Wild)
        self.made = made

    # ------------------------------------------------------------ the market

    @rule(base=bases, factor=st.sampled_from([0.7, 0.85, 0.95, 1.02, 1.1, 1.3]))
    def jump(self, base: str, factor: float) -> None:
        mark = round(self.made.marks[f"{base}/USDT:USDT"] * factor, 2)
        self.made.price(**{base: min(max(mark, 100.0), 500_000.0)})

    @rule(base=bases, account=accounts, factor=st.sampled_from([0.5, 0.98, 1.015, 2.0, 100.0]))
    def outlier(self, base: str, account: str, factor: float) -> None:
        """One source of one venue says something the others do not."""
        symbol = f"{base}/USDT:USDT"
        made, mark = self.made, self.made.marks[symbol] * factor
        made.give(builders.prices(symbol, mark, account=account, venue_ms=made.now_ms))

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.made.wait(seconds)

    @rule()
    def next_day(self) -> None:
        self.made.now_ms += 3 * 3_600_000
        self.made.price()
        self.made.read()

    @rule(hours=st.sampled_from([0.01, 1.0, 11.0]))
    def sleep(self, hours: float) -> None:
        """The machine is suspended: nothing is seen, and the time has passed."""
        self.made.now_ms += int(hours * 3_600_000)
        self.made.give(events.TimerFired())

    # ------------------------------------------------------------ others

    @rule(base=bases, account=accounts, size=st.sampled_from(["1", "-1", "0.25", "-3", "5"]))
    def trade(self, base: str, account: str, size: str) -> None:
        self.made.somebody_trades(base, size, account)

    @rule(base=bases, account=accounts, side=st.sampled_from(["buy", "sell"]))
    def rest(self, base: str, account: str, side: str) -> None:
        self.made.rest(base, side, "1", price=30_000, account=account)
        self.made.read()

    @rule(account=accounts, amount=st.sampled_from([-20_000, -50, 10_000]), told=st.booleans())
    def move_money(self, *, account: str, amount: int, told: bool) -> None:
        made = self.made
        made.wallet[account] += amount
        made.read()
        if told:
            made.give(
                events.LedgerEntryBooked(
                    account=account,
                    entry_id=f"e{len(made.journal)}",
                    entry_kind=LedgerKind.DEPOSIT if amount > 0 else LedgerKind.WITHDRAWAL,
                    asset="USDT",
                    amount=Decimal(amount),
                    venue_ms=made.now_ms,
                )
            )

    # ------------------------------------------------------------ the venue

    @rule(reason=st.sampled_from(list(RejectReason)), times=_FEW)
    def refuse(self, reason: RejectReason, times: int) -> None:
        self.made.refuse.extend([reason] * times)

    @rule(times=_FEW)
    def lose(self, times: int) -> None:
        self.made.lose = times

    @rule(times=_FEW)
    def keep(self, times: int) -> None:
        self.made.keep = times

    @rule(share=st.sampled_from(["0", "0.3", "0.999", "1"]))
    def fill(self, share: str) -> None:
        self.made.fill_share = Decimal(share)

    @rule(account=accounts)
    def deafen(self, account: str) -> None:
        self.made.deaf.add(account)

    @rule(account=accounts)
    def mute(self, account: str) -> None:
        self.made.muted.add(account)

    @rule(account=accounts, base=bases)
    def cut(self, account: str, base: str) -> None:
        """One read comes without a position."""
        held = self.made.held[account]
        kept = held.pop(f"{base}/USDT:USDT", None)
        self.made.now_ms += 1
        self.made.read(account)
        if kept is not None:
            held[f"{base}/USDT:USDT"] = kept
        self.made.now_ms += 1

    @rule(is_failing=st.booleans())
    def storage(self, *, is_failing: bool) -> None:
        """The disk takes nothing, or takes writes again."""
        told = events.StorageFailed(error="full") if is_failing else events.StorageRestored()
        self.made.give(told)

    @rule()
    def heal(self) -> None:
        self.made.deaf.clear()
        self.made.muted.clear()
        self.made.refuse.clear()
        self.made.lose = self.made.keep = 0
        self.made.fill_share = Decimal(1)

    # ------------------------------------------------------------ people

    @rule(name=st.sampled_from(["halt", "cancel"]), account=st.none() | accounts)
    def command(self, name: str, account: str | None) -> None:
        assert self.made.command(name, account=account).ok

    @rule(
        name=st.sampled_from(["flatten", "reduce", "resume"]),
        account=st.none() | accounts,
        base=st.none() | bases,
    )
    def risky(self, name: str, account: str | None, base: str | None) -> None:
        args: dict[str, Any] = {"account": account}
        if name == "flatten" and base is not None:
            args["instrument"] = f"{base}/USDT:USDT"
        offer = self.made.command(name, **args)
        if offer.plan_id is not None:
            self.made.command(name, plan_id=offer.plan_id, **args)

    # ------------------------------------------------------------ the process

    @rule(effects=st.integers(min_value=0, max_value=6), factor=st.sampled_from([0.8, 1.25]))
    def die(self, effects: int, factor: float) -> None:
        """End the process before one of the effects a jump sets off, and recover."""
        self.made.die_after = effects
        self.jump("BTC", factor)
        self.made.die_after = -1
        self.restart()

    @rule(back_ms=st.sampled_from([0, 0, 90_000, 5 * 3_600_000]))
    def restart(self, back_ms: int = 0) -> None:
        """Start anew; the clock may have been set back meanwhile."""
        made, live = self.made, self.made.engine
        holds = dict(live.state.enforcement.holds)
        assert folded(made, made.journal).dump() == live.dump(), "live state is the fold"
        lean = folded(made, list(without_quiet(made.journal))).dump()
        assert {k: lean[k] for k in KEPT} == {k: live.dump()[k] for k in KEPT}
        made.restart(back_ms=back_ms)
        after = made.engine.state.enforcement
        for name, hold in holds.items():
            kept = after.holds.get(name)
            if not hold.is_proven:
                continue
            assert kept is not None, "a restart drops no hold"
            assert kept.state.rank >= hold.state.rank
            assert (kept.is_latched, kept.until_ms) == (hold.is_latched, hold.until_ms)

    # ------------------------------------------------------------ always

    @precondition(lambda self: hasattr(self, "made"))
    @invariant()
    def holds_stand(self) -> None:
        """Latched holds end by `resume` alone, and what is kept agrees with what is told."""
        placed: dict[tuple[str, str], bool] = {}
        for action in self.made.actions:
            if isinstance(action, actions.PlaceHold):
                hold = action.hold
                was = placed.get((hold.scope, hold.limit), False)
                assert hold.is_latched or not was, "a latch is never lost"
                placed[hold.scope, hold.limit] = hold.is_latched
            elif isinstance(action, actions.DropHold):
                latched = placed.pop((action.scope, action.limit), False)
                assert not latched or action.reason.startswith("resume")

    @precondition(lambda self: hasattr(self, "made"))
    @invariant()
    def deadlines_are_ahead(self) -> None:
        assert self.made.engine.next_deadline_ms(self.made.now_ms) > self.made.now_ms

    def teardown(self) -> None:
        """Once everything works again, all work comes to its end."""
        if not hasattr(self, "made"):
            return
        self.heal()
        self.made.price()
        self.made.read()
        self.made.wait(60)
        enforcement = self.made.engine.state.enforcement
        assert not enforcement.pending
        own = [i for i in enforcement.intents.values() if self.made.now_ms - i.started_ms > 30_000]
        assert not own, "work ends"
        self.restart()
        if (PORTFOLIO, "drawdown") in enforcement.holds and not enforcement.intents:
            assert enforcement.state_of(PORTFOLIO) is TradingState.HALTED


def folded(made: World, journal: list[tuple[int, Any]]) -> Engine:
    engine = Engine(made.engine.settings, made.engine.state.order_prefix)
    for ts_ms, record in journal:
        engine.fold(record, ts_ms)
    return engine


_QUIET = (events.PricesUpdated, events.FeedAlive, events.TimerFired)


def without_quiet(journal: list[tuple[int, Any]]) -> Iterable[tuple[int, Any]]:
    """Yield what the runner keeps: a quiet event only with the actions it led to."""
    for place, (ts_ms, record) in enumerate(journal):
        follows = journal[place + 1][1] if place + 1 < len(journal) else None
        led_to_nothing = not isinstance(follows, actions.Action)
        if not (isinstance(record, _QUIET) and led_to_nothing):
            yield ts_ms, record


FAST = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(FAST, max_examples=400, stateful_step_count=50, derandomize=False)


def test_engine_when_anything_happens_keeps_its_invariants() -> None:
    run_state_machine_as_test(Guarded, settings=FAST)


@pytest.mark.nightly
@pytest.mark.timeout(0)
def test_engine_when_anything_happens_for_long_keeps_its_invariants() -> None:
    run_state_machine_as_test(Guarded, settings=LONG)
