"""Slices: no larger than the share of a book that is known, and never waited for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from riskbot.core import actions, events
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.model import Mode, Response
from tests.core.world import World, world

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
DRAWDOWN = Drawdown(max=0.10, on_breach=Response.FLATTEN, latch=True)


def tell(made: World, bid: str, ask: str = "100", symbol: str = BTC) -> None:
    made.give(
        events.DepthRead(
            account="main", symbol=symbol, bid_quantity=Decimal(bid), ask_quantity=Decimal(ask)
        )
    )


def guarded(btc: float = 2, **fields: object) -> World:
    made = world(DRAWDOWN, held={"BTC": (btc, 50_000)}, **fields)  # type: ignore[arg-type]
    made.wait(2)
    return made


def sizes(made: World) -> list[Decimal]:
    return [order.quantity for order in made.sent]


def fall(made: World, btc: float = 44_000) -> None:
    made.price(BTC=btc)
    made.wait(8)
    assert made.quantity("BTC") == 0


def test_close_when_the_book_is_known_takes_a_quarter_of_it_at_a_time() -> None:
    made = guarded()
    tell(made, bid="2.4")
    fall(made)
    assert sizes(made) == [Decimal("0.6")] * 3 + [Decimal("0.2")]
    assert len({order.client_order_id for order in made.sent}) == 4


def test_share_is_as_configured() -> None:
    made = guarded(max_depth_share=0.5)
    tell(made, bid="2.4")
    fall(made)
    assert sizes(made) == [Decimal("1.2"), Decimal("0.8")]


def test_buys_look_at_what_is_offered() -> None:
    made = guarded(btc=-2)
    tell(made, bid="0.1", ask="4")
    fall(made, btc=56_000)
    assert sizes(made) == [Decimal(1), Decimal(1)]


def test_close_when_no_book_is_known_goes_at_once_in_full() -> None:
    made = guarded()
    fall(made)
    assert sizes(made) == [Decimal(2)]


def test_book_read_long_ago_says_nothing() -> None:
    made = guarded()
    tell(made, bid="2.4")
    made.wait(601)
    fall(made)
    assert sizes(made) == [Decimal(2)]


def test_empty_book_is_closed_into_in_a_few_slices_and_the_close_ends() -> None:
    made = guarded()
    tell(made, bid="0")
    made.price(BTC=44_000)
    assert sizes(made)[0] == Decimal("0.4")
    made.wait(60)
    assert made.quantity("BTC") == 0
    assert len(sizes(made)) == 9
    assert sum(sizes(made)) == 2


def test_rung_is_kept_while_slices_fill() -> None:
    made = guarded()
    tell(made, bid="1")
    fall(made)
    assert {order.type.value for order in made.sent} == {"market"}


def test_slices_go_on_after_a_restart() -> None:
    made = guarded()
    tell(made, bid="2.4")
    made.die_after = 2
    made.price(BTC=44_000)
    made.die_after = -1
    held = made.quantity("BTC")
    assert 0 < held < 2
    made.restart()
    made.price()
    made.read()
    made.wait(15)
    assert made.quantity("BTC") == 0
    assert sum(sizes(made)) == 2


# ---------------------------------------------------------------- asking


def asked(made: World) -> list[actions.ReadDepth]:
    found: list[actions.ReadDepth] = made.of(actions.ReadDepth)
    return found


def test_books_of_what_is_held_are_asked_for_a_few_at_a_time() -> None:
    held = {f"C{n}": (1.0, 100.0) for n in range(7)}
    made = world(held=held)
    made.wait(5)
    assert [len(a.symbols) for a in asked(made)] == [5, 2]
    assert len({s for a in asked(made) for s in a.symbols}) == 7
    made.wait(290)
    assert len(asked(made)) == 2
    made.wait(10)
    assert len(asked(made)) == 4


def test_books_are_asked_for_more_often_near_a_limit_and_in_shadow_too() -> None:
    limit = GrossExposure(max=1.0, on_breach=Response.REDUCE)
    made = world(limit, held={"BTC": (1.9, 50_000)}, mode=Mode.SHADOW)
    made.wait(60)
    assert 5 <= len(asked(made)) <= 7


def test_nothing_is_asked_of_an_account_out_of_sight() -> None:
    made = guarded()
    made.deaf.add("main")
    made.muted.add("main")
    made.wait(20)
    before = len(asked(made))
    made.wait(400)
    assert len(asked(made)) == before


@pytest.mark.parametrize("held", [{}, {"BTC": (0.00001, 50_000)}])
def test_nothing_is_asked_where_nothing_is_to_be_closed(
    held: dict[str, tuple[float, float]],
) -> None:
    made = world(held=held)
    made.wait(10)
    assert asked(made) == []
