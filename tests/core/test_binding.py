"""What the gateway records of an order is folded the short way, and says what the long one says."""

from __future__ import annotations

from typing import Any

from riskbot.core import actions, events
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.matters import UNMEASURED
from riskbot.core.model import Response
from riskbot.core.settings import OrderRules, StrategySettings
from riskbot.core.state import State
from tests.core.market import FREE, market

DENY = Response.DENY


def long_way(state: State, record: events.Event | actions.Action, now_ms: int) -> None:
    """Fold a record into every sub-state, as any other record is."""
    parts: tuple[Any, ...] = (
        state.accounts,
        state.analysis,
        state.enforcement,
        state.alerts,
        state.feeds,
        state.moves,
        state.history,
        state.trades,
        state.factors,
        state.past,
        state.reservations,
    )
    for part in parts:
        part.apply(record, now_ms)
    state.meter.apply(record, None, now_ms)


def test_matters_of_an_order_are_folded_where_they_count() -> None:
    limit = GrossExposure(max=1.0, on_breach=DENY)
    made = market(limit, held={"BTC": (1, 50_000)})
    short, long = (State(made.engine.settings, "rb0") for _ in range(2))
    start = made.engine.state.dump()
    short.load(start)
    long.load(start)
    seen: set[type[Any]] = set()
    told: list[tuple[events.Event | actions.Action, int]] = []
    handle = made.engine.handle

    def noted(event: events.Event, now_ms: int, received_ns: int = 0) -> list[actions.Action]:
        decided = handle(event, now_ms, received_ns)
        told.extend((record, now_ms) for record in (event, *decided))
        return decided

    made.engine.handle = noted  # type: ignore[method-assign]
    made.decide("BTC", "sell", "0.2", client_order_id="a", is_submit=False)
    made.decide("ETH", "buy", "1", client_order_id="b")
    made.decide("ETH", "buy", "1000")
    made.pull("b")
    for record, now_ms in told:
        seen.add(type(record))
        short.apply(record, now_ms)
        long_way(long, record, now_ms)
    assert seen >= UNMEASURED.keys() - {events.AmendRequested, actions.ReadHistory}
    assert short.dump() == long.dump() == made.engine.state.dump()


def test_rules_of_an_order_are_found_once() -> None:
    own = OrderRules(max_trade=0.05)
    probation = OrderRules(max_trade=0.01)
    made = market(
        strategies={
            "plain": StrategySettings(accounts=("main",), orders=FREE),
            "strict": StrategySettings(
                accounts=("main",), orders=own, capital_usd=1_000, probation=probation
            ),
        }
    )
    binding = made.engine.state.binding
    assert binding.rules("main", "plain") == ((FREE, "portfolio"),)
    assert binding.rules("main", "") == ((FREE, "portfolio"),)
    assert binding.rules("main", "strict") == (
        (FREE, "portfolio"),
        (own, "strategy:strict"),
        (probation, "strategy:strict"),
    )
    assert binding.rules("main", "strict") is binding.rules("main", "strict")
    assert binding.scopes("main", "") == ("portfolio", "account:main")
