"""Whatever strategies, the venue and the process do in any order: no limit is overshot.

The truth is the venue's: what is held, what rests there, and what was approved and may still come.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import RejectReason, Response, TradingState
from riskbot.core.ordering import Stage
from tests.core.market import PRICES, Market, market

BASES = st.sampled_from(sorted(PRICES))
SIDES = st.sampled_from(["buy", "sell"])
NAMES = st.sampled_from(["grid", "trend"])
SHARES = st.sampled_from([0.01, 0.13, 0.37, 0.5, 0.9, 1.3])
MAX_GROSS, MAX_ASSET = 1.0, 0.7
EQUITY = 100_000
EPSILON = 1e-6


def quantity_of(base: str, share: float) -> str:
    """Return a quantity worth a share of the equity, on the step."""
    return str(round(share * EQUITY / PRICES[base], 3))


class Gateway(RuleBasedStateMachine):
    """Strategies, a venue, and a process that may die at any time."""

    @initialize()
    def begin(self) -> None:
        self.made: Market = market(
            GrossExposure(max=MAX_GROSS, on_breach=Response.DENY),
            AssetExposure(max=MAX_ASSET, on_breach=Response.DENY),
        )
        self.halted_at: dict[str, Decimal] | None = None

    # ------------------------------------------------------------ strategies

    @rule(base=BASES, side=SIDES, share=SHARES, name=NAMES, wants_less=st.booleans())
    def check(self, base: str, side: str, share: float, name: str, wants_less: bool) -> None:
        self._ask(base, side, share, name, allow_resize=wants_less)

    @rule(base=BASES, side=SIDES, share=SHARES, name=NAMES, wants_less=st.booleans())
    def submit_at_market(
        self, base: str, side: str, share: float, name: str, wants_less: bool
    ) -> None:
        self._ask(base, side, share, name, allow_resize=wants_less, is_submit=True)

    @rule(base=BASES, side=SIDES, share=SHARES, name=NAMES, wants_less=st.booleans())
    def submit_to_rest(
        self, base: str, side: str, share: float, name: str, wants_less: bool
    ) -> None:
        price = PRICES[base] * (0.98 if side == "buy" else 1.02)
        self._ask(
            base, side, share, name, price=str(price), allow_resize=wants_less, is_submit=True
        )

    def _ask(self, base: str, side: str, share: float, name: str, **fields: Any) -> None:
        answer = self.made.decide(base, side, quantity_of(base, share), strategy=name, **fields)
        assert answer["decision"] != "deny" or answer["reasons"]
        if answer["decision"] == "resize":
            assert Decimal(answer["order"]["quantity"]) <= Decimal(quantity_of(base, share))

    def _live(self) -> list[Any]:
        return sorted(
            self.made.engine.state.reservations.live.values(), key=lambda r: r.reservation_id
        )

    @precondition(lambda self: self._live())
    @rule(data=st.data())
    def pull(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(self._live()))
        self.made.pull(known.client_order_id, known.strategy)

    @precondition(lambda self: self._live())
    @rule(data=st.data(), factor=st.sampled_from(["0.5", "2", "5"]))
    def amend(self, data: st.DataObject, factor: str) -> None:
        known = data.draw(st.sampled_from(self._live()))
        wanted = (known.quantity * Decimal(factor)).quantize(Decimal("0.001"))
        self.made.amend(known.client_order_id, known.strategy, quantity=str(wanted))

    # ------------------------------------------------------------ the venue

    def _resting(self) -> list[str]:
        return sorted(
            name for name in self.made.resting if not self.made.known[name].status.is_final
        )

    @precondition(lambda self: self._resting())
    @rule(data=st.data(), part=st.sampled_from(["0.3", "1"]), late=st.booleans())
    def fill(self, data: st.DataObject, part: str, late: bool) -> None:
        name = data.draw(st.sampled_from(self._resting()))
        left = self.made.known[name].remaining
        self.made.hold_back = late
        quantity = (left * Decimal(part)).quantize(Decimal("0.001"))
        if 0 < quantity <= left:
            self.made.fill(name, str(quantity))

    @rule()
    def positions_come(self) -> None:
        self.made.release()

    @rule(seconds=st.sampled_from([0.3, 1, 3, 12, 35]))
    def wait(self, seconds: float) -> None:
        self.made.release()
        self.made.wait(seconds)

    @rule()
    def lose_the_next_reply(self) -> None:
        self.made.lose = 1

    @rule()
    def refuse_the_next_order(self) -> None:
        self.made.refuse.append(RejectReason.INSUFFICIENT_MARGIN)

    @rule()
    def confirm_no_cancel(self) -> None:
        self.made.keep = 1

    # ------------------------------------------------------------ riskbot

    @rule()
    def die_and_come_back(self) -> None:
        self.made.release()
        self.made.restart()
        self.made.price()
        self.made.read()

    @rule()
    def halt(self) -> None:
        self.made.command("halt")
        self.made.release()
        self.made.wait(15)
        self.halted_at = self._held()

    @precondition(lambda self: self.halted_at is not None)
    @rule()
    def resume(self) -> None:
        self.made.wait(1)
        offer = self.made.command("resume")
        if offer.plan_id is not None:
            self.made.command("resume", plan_id=offer.plan_id)
        state = self.made.engine.state.enforcement.account_state("main")
        if state is TradingState.ACTIVE:
            self.halted_at = None

    # ------------------------------------------------------------ what must hold

    def _held(self) -> dict[str, Decimal]:
        return {base: self.made.quantity(base) for base in PRICES}

    def _worst(self, base: str) -> float:
        """Return the worst notional that what is held, rests and is approved can lead to."""
        symbol = f"{base}/USDT:USDT"
        sums = {"buy": Decimal(0), "sell": Decimal(0)}
        for name in self._resting():
            order = self.made.known[name]
            if order.symbol == symbol:
                sums[order.side.value] += order.remaining
        for known in self._live():
            if known.symbol == symbol and known.stage is Stage.RESERVED:
                sums[known.side.value] += known.quantity
        held = self.made.quantity(base)
        return float(max(abs(held + sums["buy"]), abs(held - sums["sell"]))) * PRICES[base]

    @invariant()
    def no_limit_is_overshot(self) -> None:
        if not hasattr(self, "made"):
            return
        worst = {base: self._worst(base) for base in PRICES}
        assert sum(worst.values()) <= MAX_GROSS * EQUITY * (1 + EPSILON), worst
        assert max(worst.values()) <= MAX_ASSET * EQUITY * (1 + EPSILON), worst

    @invariant()
    def nothing_grows_while_halted(self) -> None:
        if getattr(self, "halted_at", None) is None:
            return
        for base, before in self.halted_at.items():  # type: ignore[union-attr]
            now = self.made.quantity(base)
            assert abs(now) <= abs(before), (base, before, now)
            assert now * before >= 0, (base, before, now)
        self.halted_at = self._held()


Gateway.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestGateway = Gateway.TestCase
