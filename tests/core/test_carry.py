"""What holding has brought: since when, and the funding that was really booked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from riskbot.core import carry, events
from riskbot.core.model import LedgerKind, PositionKey, PositionSide
from riskbot.core.rewind import rewound
from tests import builders
from tests.builders import BTC_PERP, ETH_PERP, T0, balance, position, snapshot
from tests.core.world import World, world

H_MS = 3_600_000
KEY = PositionKey("main", BTC_PERP, PositionSide.NET)


class Book:
    """A carry beside the accounts it follows."""

    def __init__(self) -> None:
        self.carry = carry.Carry()
        self.accounts = carry.Accounts()
        self.now_ms = T0

    def give(self, *records: Any) -> None:
        for record in records:
            self.now_ms += 1_000
            self.accounts.fold(record, self.now_ms)
            self.carry.apply(record, self.accounts, self.now_ms)

    def read(self, *positions: Any, **fields: Any) -> None:
        self.give(snapshot(*positions, as_of_ms=self.now_ms + 1_000, **fields))

    def held(self, key: PositionKey = KEY, *, is_coin: bool = False) -> carry.Held | None:
        return self.carry.of(key, is_coin=is_coin)


def funding(amount: float, hours: float, symbol: str | None = BTC_PERP, entry: str = "") -> Any:
    at_ms = T0 + int(hours * H_MS)
    return events.LedgerEntryBooked(
        account="main", entry_id=entry or f"f{hours}", entry_kind=LedgerKind.FUNDING, asset="USDT",
        amount=builders.dec(amount), venue_ms=at_ms, symbol=symbol,
    )  # fmt: skip


def test_rows_of_what_is_held_add_up_since_a_moment() -> None:
    made = Book()
    made.read(position())
    made.give(funding(-1, 1), funding(-2, 9), funding(4, 17))
    made.give(funding(4, 17), funding(-9, 2, ETH_PERP), funding(-9, 3, None), funding(-9, -1))
    held = made.held()
    assert held is not None
    assert held.booked(0) == ({"USDT": 1.0}, 0)
    assert held.booked(T0 + 9 * H_MS) == ({"USDT": 2.0}, T0 + 9 * H_MS)
    assert held.booked(T0 + 18 * H_MS) == ({}, T0 + 18 * H_MS)


def test_holding_that_ends_takes_its_rows_with_it() -> None:
    made = Book()
    gone = events.PositionsUpdated(account="main", positions=(position(quantity=0),))
    made.give(gone)
    assert made.held() is None
    made.read(position())
    made.give(funding(-1, 1))
    made.give(events.PositionsUpdated(account="main", positions=(position(quantity=0),)))
    assert made.held() is None
    made.give(events.PositionsUpdated(account="main", positions=(position(),)))
    again = made.held()
    assert again is not None
    assert (again.payments, again.began_ms) == ({}, made.now_ms)
    made.read()
    assert made.held() is None


def test_side_that_closes_leaves_the_other_side() -> None:
    made = Book()
    long, short = (
        position(quantity=q, side=PositionSide(s)) for q, s in ((1, "long"), (-2, "short"))
    )
    made.read(long, short)
    began_ms = made.now_ms
    made.read(short)
    held = made.held()
    assert held is not None
    assert held.since_ms == {"short": began_ms}


def test_coin_is_held_by_its_name_whatever_market_shows_it() -> None:
    made = Book()
    made.give(events.BalancesUpdated(account="main", balances=(balance("BTC", 1),)))
    key = KEY._replace(symbol="BTC/USDT")
    assert made.held(key, is_coin=True) is not None
    assert made.held(key._replace(symbol="BTC"), is_coin=True) is not None
    made.read()
    assert made.held(key, is_coin=True) is None


def test_many_rows_are_summed_up_and_none_counts_twice() -> None:
    made = Book()
    made.read(position())
    rows = [funding(-1, hour) for hour in range(1, 2 * carry.ROWS_MAX + 1)]
    made.give(*rows)
    made.give(*rows)
    held = made.held()
    assert held is not None
    assert len(held.payments) == carry.ROWS_MAX
    assert held.booked(T0 + H_MS) == ({"USDT": -2.0 * carry.ROWS_MAX}, T0 + H_MS)
    # Of a moment within what was summed up, only what came after that can be said.
    since_ms = T0 + carry.ROWS_MAX * H_MS + 1
    assert held.booked(T0 + 5 * H_MS) == ({"USDT": -1.0 * carry.ROWS_MAX}, since_ms)


def test_what_was_booked_outlives_a_restart_also_on_a_clock_set_back() -> None:
    made = Book()
    made.read(position())
    made.give(*(funding(-1, hour) for hour in range(1, carry.ROWS_MAX + 3)))
    assert carry.Carry.load(made.carry.dump()) == made.carry
    back = carry.Carry.load(rewound(made.carry.dump(), T0 - H_MS, made.now_ms))
    held = back.of(KEY)
    assert held is not None
    assert held.booked(0)[0] == {"USDT": -1.0 * (carry.ROWS_MAX + 2)}


# ---------------------------------------------------------------- of a pair


def pair(**fields: Any) -> World:
    return world(held={"BTC": (1, 50_000)}, elsewhere={"other": {"BTC": (-1, 50_000)}},
                 accounts=TWO, **fields)  # fmt: skip


TWO = {name: builders.settings(name).accounts[name] for name in ("main", "other")}


def hedge_of(made: World) -> dict[str, Any]:
    (row,) = made.command("exposure").document["hedges"]
    found: dict[str, Any] = row
    return found


def test_pair_brings_what_was_booked_since_both_sides_stood() -> None:
    made = pair()
    began_ms = made.now_ms
    assert hedge_of(made)["funding_booked_usd"] is None
    made.give(funding(-3, 8))
    assert hedge_of(made)["funding_booked_usd"] is None
    made.give(replace_account(funding(5, 8), "other"))
    row = hedge_of(made)
    assert (row["funding_booked_usd"], row["booked_since_ms"]) == (2.0, began_ms)


def replace_account(row: events.LedgerEntryBooked, account: str) -> events.LedgerEntryBooked:
    return replace(row, account=account)


def test_pair_of_which_a_side_was_never_seen_is_unknown() -> None:
    made = pair()
    for account in TWO:
        made.give(replace_account(funding(1, 8), account))
    assert hedge_of(made)["funding_booked_usd"] == 2.0
    made.engine.state.meter.carry.held.clear()
    row = hedge_of(made)
    assert (row["funding_booked_usd"], row["booked_since_ms"]) == (None, None)


def test_funding_paid_in_what_has_no_price_is_unknown() -> None:
    made = pair()
    for account in TWO:
        made.give(replace_account(funding(1, 8), account))
    made.give(replace(funding(1, 16), asset="XYZ"))
    assert hedge_of(made)["funding_booked_usd"] is None


def test_pair_shows_what_the_next_day_brings() -> None:
    made = pair()
    assert hedge_of(made)["funding_24h_usd"] is None
    for account, rate in (("main", 0.0001), ("other", 0.0003)):
        made.give(builders.prices(BTC_PERP, account=account, funding_rate=rate,
                                  funding_interval_h=8.0, is_rest=True))  # fmt: skip
    assert hedge_of(made)["funding_24h_usd"] == pytest.approx(50_000 * 0.0006)
