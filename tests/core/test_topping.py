"""Margin for an isolated position instead of a close: within its bounds, once, and verified."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from riskbot.core import actions, events
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.limits.presets import Fields
from riskbot.core.model import MarginReport, Mode, RejectReason, Response
from riskbot.core.moves import Moves
from tests import builders
from tests.core.world import World, world

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
SCOPE = "account:main"


@dataclass
class Margined(World):
    """A venue where BTC is isolated; maintenance margin is 2 % of what a position is worth.

    Attributes:
        wallets: margin of isolated positions, PnL left out.
        answers: what becomes of the next moves: `lost` and `silent` come without an answer,
            `gone` never comes, `refused` neither.
    """

    wallets: dict[str, Decimal] = field(default_factory=lambda: {BTC: Decimal(4_000)})
    answers: deque[str] = field(default_factory=deque)
    leverage: float = 16.0
    unstated: set[str] = field(default_factory=set)

    def _carry_out(self, action: actions.Action) -> Iterable[events.Event]:
        if not isinstance(action, actions.AddMargin):
            yield from super()._carry_out(action)
            return
        answer = self.answers.popleft() if self.answers else "taken"
        if answer in {"taken", "lost", "silent"}:
            self.wallets[action.symbol] += action.amount
        if answer != "silent":
            yield events.MarginMoved(
                account=action.account,
                symbol=action.symbol,
                move_id=action.move_id,
                done={"taken": True, "refused": False}.get(answer),
                message=answer,
            )

    def _snapshot(self, account: str, request_id: int | None) -> events.AccountSnapshotReceived:
        rows = []
        for symbol, (quantity, entry) in self.held[account].items():
            mark = Decimal(str(self.marks[symbol]))
            pnl = quantity * (mark - entry)
            isolated: dict[str, Any] = {}
            if symbol in self.wallets:
                isolated = {"is_isolated": True, "isolated_margin": self.wallets[symbol] + pnl}
            if quantity:
                rows.append(
                    builders.position(
                        symbol,
                        quantity,
                        entry,
                        account=account,
                        venue_mark=mark,
                        unrealized_pnl=pnl,
                        maintenance_margin=None
                        if symbol in self.unstated
                        else abs(quantity) * mark * Decimal("0.02"),
                        leverage=self.leverage,
                        **isolated,
                    )
                )
        return builders.snapshot(
            *rows,
            account=account,
            usdt=self.wallet[account],
            margin=self.margin,
            as_of_ms=self.now_ms,
            request_id=request_id,
        )


def limit(*margin_actions: str, usd: float = 2_000, **fields: Any) -> MaintenanceMargin:
    values: Fields = {"max": 0.30, "on_breach": Response.REDUCE, "within_s": 10, **fields}
    return MaintenanceMargin(
        margin_actions=list(margin_actions),  # type: ignore[arg-type]
        add_margin_max_usd=usd,
        **values,
    )


FIRST = limit("add_margin", "reduce")


def guarded(rule: MaintenanceMargin = FIRST, **fields: Any) -> Margined:
    """A ratio of 0.25: 4,000 USD behind 50,000 USD of BTC."""
    held = fields.pop("held", {"BTC": (1, 50_000)})
    made = world(rule, held=held, scope=SCOPE, kind=Margined, **fields)
    assert isinstance(made, Margined)
    made.wait(2)
    return made


def fall(made: Margined, seconds: float = 4, btc: float = 49_000) -> None:
    made.price(BTC=btc)
    made.wait(seconds)


def ratio(made: Margined) -> float:
    book = made.engine.state.scopes(made.now_ms)[SCOPE]
    found = dict(book.maintenance_margin)[f"main|{BTC}"]
    assert found is not None
    return found


def moves(made: Margined) -> list[actions.AddMargin]:
    found: list[actions.AddMargin] = made.of(actions.AddMargin)
    return found


def outcomes(made: Margined) -> list[tuple[str, bool]]:
    return [(a.outcome, a.is_added) for a in made.of(actions.SettleMargin)]


def did(made: Margined) -> set[str]:
    return {a.alert.did for a in made.told("maintenance_margin")}


# ---------------------------------------------------------------- added


def test_margin_is_added_up_to_the_target_and_nothing_is_closed() -> None:
    made = guarded()
    fall(made)
    (move,) = moves(made)
    assert (move.symbol, move.asset) == (BTC, "USDT")
    assert 620 < move.amount < 660
    assert 0.26 < ratio(made) <= 0.27
    assert made.sent == []
    assert outcomes(made) == [("added 636 USD of margin, verified (BTC/USDT:USDT)", True)]
    made.wait(6)
    assert any("added 636 USD of margin, verified" in words for words in did(made))
    assert made.engine.state.moves.pending == {}
    made.wait(60)
    assert len(moves(made)) == 1
    assert made.engine.state.moves.words
    made.price(BTC=60_000)
    made.wait(310)
    assert made.engine.state.moves.words == {}


def test_while_it_is_under_way_nothing_is_closed_and_the_alert_says_so() -> None:
    made = guarded()
    made.answers.append("silent")
    made.price(BTC=49_000)
    assert made.sent == []
    assert any("adding 636 USD of margin" in words for words in did(made))


def test_further_fall_is_answered_again_until_the_day_is_spent() -> None:
    made = guarded(limit("add_margin", "reduce", usd=1_500))
    fall(made)
    fall(made, btc=48_200)
    assert [round(move.amount_usd) for move in moves(made)] == [636, 742]
    assert made.sent == []
    fall(made, btc=47_400)
    assert len(moves(made)) == 2
    assert made.sent
    spent = made.engine.state.moves
    assert spent.spent_usd("main", made.now_ms - 60_000) == pytest.approx(1_378, abs=1)
    assert spent.spent_usd("main", made.now_ms + 1) == 0


def test_reduce_comes_first_where_it_is_named_first() -> None:
    made = guarded(limit("reduce", "add_margin"))
    fall(made)
    assert made.sent
    assert moves(made) == []


def test_margin_comes_after_a_reduce_that_missed_its_window() -> None:
    made = guarded(limit("reduce", "add_margin"))
    made.refuse.extend([RejectReason.MAINTENANCE] * 40)
    fall(made, seconds=9)
    assert moves(made) == []
    made.wait(5)
    assert len(moves(made)) == 1
    assert 0.26 < ratio(made) <= 0.27


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize("usd", [600, 640])
def test_no_more_than_may_be_moved(usd: float) -> None:
    made = guarded(limit("add_margin", "reduce", usd=usd))
    fall(made)
    assert bool(moves(made)) == (usd == 640)
    assert bool(made.sent) == (usd == 600)


@pytest.mark.parametrize(("equity", "is_moved"), [(6_000.0, False), (6_200.0, True)])
def test_cross_pool_is_never_lifted_above_its_orange(equity: float, is_moved: bool) -> None:
    made = guarded(held={"BTC": (1, 50_000), "ETH": (10, 2_000)})
    made.margin = MarginReport(equity_usd=equity, maintenance_usd=1_000)
    made.read()
    fall(made)
    assert bool(moves(made)) == is_moved
    assert bool(made.sent) == (not is_moved)


def test_no_more_than_is_available() -> None:
    made = guarded()
    made.margin = MarginReport(available_usd=500.0)
    made.read()
    fall(made)
    assert moves(made) == []
    assert made.sent


def test_cross_pool_that_is_not_known_gives_nothing() -> None:
    made = guarded(held={"BTC": (1, 50_000), "ETH": (10, 2_000)})
    made.unstated.add(ETH)
    made.read()
    fall(made)
    assert moves(made) == []
    assert {order.symbol for order in made.sent} == {BTC}


def test_cross_position_gets_none() -> None:
    made = guarded()
    made.wallets.clear()
    made.margin = MarginReport(equity_usd=3_000, maintenance_usd=980)
    made.read()
    fall(made)
    assert moves(made) == []
    assert made.sent


def test_position_whose_margin_is_gone_is_closed() -> None:
    made = guarded()
    fall(made, btc=45_000)
    assert moves(made) == []
    assert made.sent


def test_margin_alone_closes_nothing_when_it_cannot() -> None:
    made = guarded(limit("add_margin", usd=100))
    fall(made, seconds=15)
    assert (moves(made), made.sent) == ([], [])
    assert any("top-up" in a.alert.todo for a in made.told("maintenance_margin"))


def test_flatten_under_way_is_not_topped_up() -> None:
    made = guarded()
    made.deaf.add("main")
    made.refuse.extend([RejectReason.MAINTENANCE] * 40)
    made.confirm("flatten", account="main")
    made.deaf.clear()
    fall(made)
    assert moves(made) == []


def test_first_contact_waits() -> None:
    made = guarded(held={"BTC": (1, 70_000)})
    assert ratio(made) > 0.30
    made.wait(20)
    assert (moves(made), made.sent) == ([], [])


def test_shadow_says_once_what_it_would_have_moved() -> None:
    made = guarded(mode=Mode.SHADOW)
    fall(made, seconds=30)
    said = [r.decision for r in made.of(actions.RecordDecision)]
    assert said.count("would_add_margin") == 1
    assert "would_reduce" not in said
    assert (moves(made), made.sent) == ([], [])


@pytest.mark.parametrize(
    ("leverage", "words"), [(16.0, ", or leverage 14 instead of 16, would do"), (12.0, " would do")]
)
def test_alert_names_the_top_up_and_the_leverage_that_would_do(leverage: float, words: str) -> None:
    made = guarded(limit("reduce"))
    made.leverage = leverage
    made.read()
    made.price(BTC=49_000)
    todo = next(a.alert.todo for a in made.told("maintenance_margin") if "top-up" in a.alert.todo)
    assert todo.startswith(f"a top-up of 267 USD on main|BTC/USDT:USDT{words}")


# ---------------------------------------------------------------- answers that are lost


@pytest.mark.parametrize("answer", ["lost", "silent"])
def test_lost_answer_is_looked_up_in_the_position_and_not_sent_again(answer: str) -> None:
    made = guarded()
    made.answers.append(answer)
    fall(made, seconds=6)
    assert len(moves(made)) == 1
    assert made.sent == []
    words = "added 636 USD of margin, seen in the position (BTC/USDT:USDT)"
    assert outcomes(made) == [(words, True)]


def test_margin_that_never_shows_is_not_asked_for_again_and_positions_are_closed() -> None:
    made = guarded()
    made.answers.append("gone")
    fall(made, seconds=6)
    assert len(moves(made)) == 1
    assert made.sent
    ((words, is_added),) = outcomes(made)
    assert not is_added
    assert "do not show" in words
    # It may still have come: the day's budget counts it.
    assert made.engine.state.moves.spent_usd("main", 0) == pytest.approx(636, abs=1)


def test_refused_margin_is_not_tried_again_and_costs_no_budget() -> None:
    made = guarded()
    made.answers.append("refused")
    fall(made)
    assert len(moves(made)) == 1
    assert made.sent
    assert outcomes(made) == [("margin refused: refused (BTC/USDT:USDT)", False)]
    assert made.engine.state.moves.spent_usd("main", 0) == 0


@pytest.mark.parametrize(("answer", "is_closed"), [("silent", False), ("gone", True)])
def test_guard_that_died_meanwhile_looks_before_it_does_anything(
    answer: str,
    is_closed: bool,
) -> None:
    made = guarded()
    made.answers.append("silent" if answer == "silent" else "gone")
    made.deaf.add("main")
    made.price(BTC=49_000)
    assert len(moves(made)) == 1
    made.deaf.clear()
    made.restart()
    made.price()
    made.read()
    made.wait(6)
    assert len(moves(made)) == 1
    assert bool(made.sent) == is_closed


def test_position_that_is_gone_meanwhile_shows_nothing() -> None:
    made = guarded()
    made.answers.append("gone")
    made.deaf.add("main")
    made.price(BTC=49_000)
    made.held["main"].clear()
    made.deaf.clear()
    made.wait(5)
    assert [added for _, added in outcomes(made)] == [False]


def test_answer_to_something_else_changes_nothing() -> None:
    made = guarded()
    before = made.engine.state.moves.dump()
    made.give(events.MarginMoved(account="main", symbol=BTC, move_id="m9", done=True))
    made.engine.fold(
        actions.SettleMargin(account="main", move_id="m9", outcome="x", is_added=True), made.now_ms
    )
    assert made.engine.state.moves.dump() == before


def test_what_is_under_way_outlives_a_checkpoint_and_an_old_one_has_none() -> None:
    made = guarded()
    made.answers.append("silent")
    made.deaf.add("main")
    made.price(BTC=49_000)
    kept = made.engine.state.moves
    assert Moves.load(kept.dump()) == kept
    whole = made.engine.dump()
    del whole["moves"]
    made.engine.load(whole)
    assert made.engine.state.moves == Moves()


def test_other_limits_and_scopes_are_left_to_their_responses() -> None:
    gross = GrossExposure(max=1.0, on_breach=Response.REDUCE)
    made = world(gross, FIRST, held={"BTC": (1.9, 50_000)}, kind=Margined)
    made.wait(2)
    made.price(BTC=60_000)
    made.somebody_trades("BTC", "0.3")
    made.wait(3)
    assert made.sent
    assert made.of(actions.AddMargin) == []
