"""How much may be traded now: against plain arithmetic, whatever is held; and what bars it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.core import events
from riskbot.core.limits._base import Limit
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.group_exposure import GroupExposure
from riskbot.core.limits.leverage import Leverage
from riskbot.core.limits.net_exposure import NetExposure
from riskbot.core.limits.open_positions import OpenPositions
from riskbot.core.limits.position_size import PositionSize
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.limits.stop_risk import StopRisk
from riskbot.core.limits.underlying_concentration import UnderlyingConcentration
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.model import LedgerKind, Mode, Response, Side
from riskbot.core.ordering import OrderRequest
from riskbot.core.settings import AccountSettings, OrderRules, StrategySettings
from tests import builders, oracle
from tests.core.world import World, world

FREE = OrderRules(max_trade=None, max_trade_risk=None, price_collar=None, order_rate=None)
"""No rule of a single order."""

DENY = Response.DENY
SECTORS = {"BTC": "majors", "ETH": "majors", "DOGE": "memes"}
PRICES = {"BTC": 50_000.0, "ETH": 2_000.0, "DOGE": 0.1}


def book(
    *limits: Limit, held: dict[str, tuple[float, float]] | None = None, **fields: Any
) -> World:
    fields = {"orders": FREE, "sectors": SECTORS, **fields}
    rules = fields["orders"]
    fields.setdefault("accounts", {"main": AccountSettings(exchange="binanceusdm", orders=rules)})
    made = world(*limits, held=held, **fields)
    made.marks |= {f"{base}/USDT:USDT": price for base, price in PRICES.items()}
    made.give(builders.loaded(*made.marks))
    made.price()
    return made


def size(made: World, base: str = "BTC", **args: Any) -> dict[str, Any]:
    reply = made.command("size", instrument=base, **args)
    assert reply.ok, reply.message
    json.dumps(reply.document)
    document: dict[str, Any] = reply.document
    return document


def quantity(made: World, side: str, base: str = "BTC", **args: Any) -> float:
    return float(size(made, base, **args)[side]["quantity"])


# ---------------------------------------------------------------- against the oracle

LIMITS = (
    GrossExposure(max=2.0, on_breach=DENY),
    NetExposure(max=0.8, on_breach=DENY),
    AssetExposure(max=0.5, on_breach=DENY),
    SectorExposure(max=0.7, on_breach=DENY),
)


def violations(held: dict[str, float], base: str, notional: float) -> set[str]:
    """What the plain checks say of a book whose position in a base has changed."""
    after = {**held, base: held.get(base, 0.0) + notional}
    rest = [(name, value) for name, value in after.items() if name != base]
    return oracle.new_position_violations(
        (base, after[base]),
        rest,
        100_000,
        SECTORS,
        max_gross=2.0,
        max_net=0.8,
        max_asset=0.5,
        max_sector=0.7,
    )


@settings(max_examples=40, deadline=None)
@given(
    shares=st.fixed_dictionaries({base: st.floats(-0.4, 0.4) for base in PRICES}),
    base=st.sampled_from(sorted(PRICES)),
    side=st.sampled_from(["buy", "sell"]),
)
def test_size_is_the_largest_that_plain_checks_let_pass(
    shares: dict[str, float], base: str, side: str
) -> None:
    held = {
        name: (round(share * 100_000 / PRICES[name], 3), PRICES[name])
        for name, share in shares.items()
        if abs(share) > 0.01
    }
    made = book(*LIMITS, held=held)
    notionals = {name: count * price for name, (count, price) in held.items()}
    found = size(made, base)[side]
    sign = 1 if side == "buy" else -1
    passed = float(found["quantity"]) * PRICES[base] * sign
    # What only closes passes anyway.
    closes = float(found["closes"])
    if violations(notionals, base, 0.0):
        return
    if float(found["quantity"]) > closes:
        assert not violations(notionals, base, passed * (1 - 1e-9))
    more = passed + sign * 0.002 * PRICES[base]
    assert violations(notionals, base, more), found


# ---------------------------------------------------------------- single limits


def test_what_binds_is_named_with_its_figures() -> None:
    made = book(
        GrossExposure(max=1.0, on_breach=DENY),
        PositionSize(max=0.3, on_breach=DENY),
        held={"BTC": (0.4, 50_000)},
    )
    found = size(made)["buy"]
    assert float(found["quantity"]) == 0.2
    bound = found["bound_by"]
    assert (bound["limit"], bound["scope"], bound["allowed"]) == ("position_size", "portfolio", 0.3)
    assert bound["measured"] == pytest.approx(0.2)
    assert [row["limit"] for row in found["bounds"]] == ["position_size", "gross_exposure"]
    assert found["notional_usd"] == pytest.approx(10_000)


def test_limit_that_only_alerts_binds_nothing() -> None:
    made = book(StopRisk(max=0.01), GrossExposure(max=0.5, on_breach=DENY))
    assert size(made)["buy"]["bound_by"]["limit"] == "gross_exposure"


def test_nothing_that_bounds_it_is_said_so() -> None:
    found = size(book())["sell"]
    assert (found["quantity"], found["notional_usd"], found["bound_by"]) == (None, None, None)


def test_close_and_beyond_goes_through_zero() -> None:
    made = book(NetExposure(max=0.2, on_breach=DENY), held={"BTC": (0.4, 50_000)})
    found = size(made)["sell"]
    assert (found["closes"], float(found["quantity"])) == ("0.4", pytest.approx(0.8))


def test_position_count_bars_a_new_one_and_not_a_larger_one() -> None:
    made = book(OpenPositions(max=1, on_breach=DENY), held={"BTC": (0.1, 50_000)})
    assert quantity(made, "buy", "ETH") == 0
    assert size(made, "BTC")["buy"]["quantity"] is None


def test_group_and_account_limits_bind_too() -> None:
    made = book(
        GroupExposure(max=0.25, on_breach=DENY),
        held={"ETH": (5, 2_000)},
        groups={"pair": ("BTC", "ETH")},
    )
    assert quantity(made, "buy") == pytest.approx(0.3)
    levered = book(Leverage(max=0.5, on_breach=DENY), scope="account:main")
    assert size(levered)["buy"]["bound_by"]["scope"] == "account:main"
    assert quantity(levered, "buy") == pytest.approx(1.0)


def test_share_that_is_no_straight_line_is_found_all_the_same() -> None:
    # BTC over the gross of the book: 0.6 = x / (x + 40,000) at x = 60,000.
    made = book(
        UnderlyingConcentration(max=0.6, gross_floor=0, on_breach=DENY),
        held={"ETH": (20, 2_000), "BTC": (0.4, 50_000)},
    )
    assert quantity(made, "buy") == pytest.approx(0.8, abs=0.002)


def test_working_entries_count_as_filled() -> None:
    made = book(GrossExposure(max=1.0, on_breach=DENY))
    made.rest("BTC", "buy", "0.5", price=49_000)
    made.rest("ETH", "sell", "10", price=2_100)
    made.read()
    assert quantity(made, "buy") == pytest.approx((100_000 - 25_000 - 20_000) / 50_000)
    # Per instrument the worse of both sides: a sell up to the buys' size adds nothing.
    assert quantity(made, "sell") == pytest.approx((100_000 - 20_000) / 50_000)


def test_working_entries_that_use_all_of_a_limit_leave_nothing() -> None:
    made = book(GrossExposure(max=1.0, on_breach=DENY))
    made.rest("ETH", "buy", "60", price=1_900)
    made.read()
    found = size(made)["buy"]
    assert (found["quantity"], found["bound_by"]["limit"]) == ("0", "gross_exposure")


def test_working_entry_without_a_price_denies() -> None:
    made = book(GrossExposure(max=1.0, on_breach=DENY))
    made.give(builders.loaded("XRP/USDT:USDT"))
    made.rest("XRP", "buy", "10", price=1)
    made.read()
    found = size(made)["buy"]
    assert (found["quantity"], found["bound_by"]["limit"]) == ("0", "blind_price")
    made.rest("ZZZ", "buy", "10", price=1)
    made.read()
    assert size(made)["buy"]["bound_by"]["limit"] == "blind_price"


def test_unknown_limit_denies_and_says_why() -> None:
    made = book(ValueAtRisk(max=0.1, on_breach=DENY), GrossExposure(max=1, on_breach=DENY))
    found = size(made)["buy"]
    assert (found["quantity"], found["bound_by"]["limit"]) == ("0", "value_at_risk")
    assert found["bound_by"]["message"].startswith("unknown: no price history")


def test_equity_that_nobody_knows_bars_entries() -> None:
    made = book(AssetExposure(max=0.5, on_breach=DENY))
    made.give(builders.loaded("XRP/USDT:USDT"))
    made.give(builders.snapshot(builders.position("XRP/USDT:USDT", 10, None), as_of_ms=made.now_ms))
    assert "blind_account" in bars(made)


def test_coin_elsewhere_without_a_price_is_no_reason_to_deny_this_one() -> None:
    accounts = {name: AccountSettings(exchange="x", orders=FREE) for name in ("main", "other")}
    made = book(
        AssetExposure(max=0.5, on_breach=DENY),
        accounts=accounts,
        capital="fixed",
        capital_usd=100_000,
    )
    made.give(builders.loaded("XRP/USDT:USDT", account="other"))
    unpriced = builders.position("XRP/USDT:USDT", 10, None, account="other")
    made.give(builders.snapshot(unpriced, account="other", as_of_ms=made.now_ms))
    found = size(made, account="main")["buy"]
    assert float(found["quantity"]) == pytest.approx(1.0)


def test_equity_that_is_gone_allows_nothing_new() -> None:
    made = book(GrossExposure(max=2, on_breach=DENY), held={"BTC": (1, 50_000)}, usdt=10_000)
    made.price(BTC=40_000)
    found = size(made)
    assert (found["buy"]["quantity"], found["sell"]["quantity"]) == ("0", "1")


def test_no_equity_at_all_allows_nothing() -> None:
    gross = GrossExposure(max=2, on_breach=DENY)
    assert size(book(gross, usdt=0))["buy"]["quantity"] == "0"
    ruled = size(book(gross, usdt=0, orders=OrderRules()))["buy"]
    assert (ruled["quantity"], ruled["bound_by"]["limit"]) == ("0", "max_trade")


# ---------------------------------------------------------------- rules of one order


def test_rules_of_one_order_bind_what_opens() -> None:
    rules = OrderRules(max_trade=0.1, max_trade_risk=0.02, max_order_value=8_000)
    made = book(orders=rules, held={"BTC": (-1, 50_000)})
    found = size(made)
    assert float(found["sell"]["quantity"]) == pytest.approx(0.16)
    assert found["sell"]["bound_by"]["limit"] == "max_order_value"
    # Closing the short is no trade of theirs.
    assert float(found["buy"]["quantity"]) == pytest.approx(1)


def test_near_stop_allows_what_a_far_one_does_not() -> None:
    rules = OrderRules(max_trade=None, max_trade_risk=0.02, order_rate=None)
    made = book(orders=rules)
    assert quantity(made, "buy") == pytest.approx(0.02 * 100_000 / 5_000)
    assert quantity(made, "buy", stop=49_000) == pytest.approx(0.02 * 100_000 / 1_000)
    wrong = size(made, stop=49_000)["sell"]
    assert (wrong["quantity"], wrong["bound_by"]["limit"]) == ("0", "stop_wrong_side")


def test_rules_of_an_account_are_over_its_own_equity() -> None:
    own = OrderRules(max_trade=0.1, max_order_quantity={"ETH/USDT:USDT": 3.0})
    accounts = {
        "main": AccountSettings(exchange="binanceusdm", orders=own),
        "other": AccountSettings(exchange="bybit", orders=FREE),
    }
    made = book(accounts=accounts)
    found = size(made, account="main")["buy"]
    assert (float(found["quantity"]), found["bound_by"]["scope"]) == (0.2, "account:main")
    assert float(size(made, "ETH", account="main")["buy"]["quantity"]) == 3


def test_stop_that_is_required_and_rate_that_is_used_up_bar_entries() -> None:
    rules = OrderRules(require_stop=True, order_rate=1.0)
    grid = {"grid": StrategySettings(accounts=("main",), orders=rules)}
    made = book(orders=rules, strategies=grid)
    assert size(made)["buy"]["bound_by"]["limit"] == "stop_required"
    assert size(made, stop=49_000)["buy"]["bound_by"]["limit"] == "max_trade"
    wish = OrderRequest(
        strategy="grid",
        account="main",
        symbol="BTC/USDT:USDT",
        side=Side.BUY,
        quantity=Decimal("0.001"),
        stop_loss=Decimal(49_000),
    )
    made.give(events.OrderRequested(request_id="q", order=wish))
    assert size(made, stop=49_000)["buy"]["bound_by"]["limit"] == "order_rate"


def test_less_than_the_venue_takes_is_nothing() -> None:
    made = book(GrossExposure(max=0.2, on_breach=DENY), held={"ETH": (9.9999, 2_000)})
    made.give(builders.loaded(builders.instrument("BTC/USDT:USDT", min_quantity="0.01")))
    assert quantity(made, "buy") == 0


def test_approach_shrinks_what_is_new() -> None:
    gross = GrossExposure(max=1.0, on_breach=DENY, on_approach=["scale"])
    made = book(gross, held={"BTC": (1.9, 50_000)})
    found = size(made)
    assert found["scale"] == pytest.approx(0.5)
    assert float(found["buy"]["quantity"]) == pytest.approx(0.05, abs=0.001)
    assert float(found["sell"]["quantity"]) == pytest.approx(1.9 + (2.0 * 0.5), abs=0.01)


# ---------------------------------------------------------------- what bars entries


def bars(made: World, **args: Any) -> set[str]:
    found = size(made, **args)["buy"]
    assert found["quantity"] == "0"
    return {row["limit"] for row in found["bounds"]}


def test_halt_bars_entries_and_lets_exits_pass() -> None:
    made = book(GrossExposure(max=2.0, on_breach=DENY), held={"BTC": (1, 50_000)})
    made.command("halt")
    assert bars(made) == {"operator"}
    found = size(made)
    assert (found["sell"]["quantity"], found["trading_state"]) == ("1", "HALTED")


def test_exit_that_works_already_is_not_there_twice() -> None:
    made = book(held={"BTC": (1, 50_000)})
    made.command("halt")
    made.rest("BTC", "sell", "0.4", price=60_000, reduce_only=True)
    made.rest("BTC", "sell", "0.6", stop_price=40_000, reduce_only=True)
    made.read()
    assert quantity(made, "sell") == pytest.approx(0.6)


def test_measure_hold_bars_what_raises_its_key_alone() -> None:
    made = book(
        AssetExposure(max=0.2, on_breach=DENY), held={"BTC": (0.5, 50_000)}, clear_for_s=300
    )
    made.wait(2)
    assert "asset_exposure" in bars(made)
    assert quantity(made, "buy", "ETH") > 0


def test_what_nobody_sees_bars_entries() -> None:
    made = book(held={"BTC": (1, 50_000)})
    made.give(events.StorageFailed(error="disk full"))
    assert "blind_storage" in bars(made)
    made = book()
    made.now_ms += 20_000
    assert "blind_price" in bars(made)
    made = book()
    made.restart()
    assert "blind_account" in bars(made)
    assert size(made)["sell"]["closes"] == "0"


def test_what_stops_or_was_not_explained_bars_entries() -> None:
    made = book(held={"BTC": (1, 50_000)})
    made.give(events.Stopping())
    assert "stopping" in bars(made)
    made = book()
    made.wallet["main"] += 5_000
    made.now_ms += 1_000
    made.read()
    made.wait(2)
    assert "pending_flow" in bars(made)
    made.give(
        events.LedgerEntryBooked(
            account="main",
            entry_id="d",
            entry_kind=LedgerKind.DEPOSIT,
            asset="USDT",
            amount=Decimal(5_000),
            venue_ms=made.now_ms,
        )
    )
    assert size(made)["buy"]["quantity"] is None


def test_instrument_that_is_not_traded_or_not_allowed_is_barred() -> None:
    accounts = {"main": AccountSettings(exchange="x", instruments=("ETH/USDT:USDT",), orders=FREE)}
    assert "instrument_not_allowed" in bars(book(accounts=accounts))
    made = book()
    made.give(builders.loaded(builders.instrument("BTC/USDT:USDT", is_active=False)))
    assert bars(made) == {"instrument_inactive"}


def test_shadow_says_that_its_word_does_not_bind() -> None:
    made = book(mode=Mode.SHADOW)
    assert not size(made)["enforced"]
    made.command("halt")
    assert size(made)["enforced"]


def test_price_that_nobody_knows_leaves_no_figures() -> None:
    made = book()
    made.give(builders.loaded("XRP/USDT:USDT"))
    found = size(made, "XRP")
    assert (found["price"], found["unit_usd"]) == (None, None)
    assert found["buy"]["notional_usd"] is None
    assert found["buy"]["bound_by"]["notional_usd"] is None


# ---------------------------------------------------------------- other kinds


def test_inverse_is_counted_in_its_face_value() -> None:
    made = book(GrossExposure(max=0.5, on_breach=DENY))
    made.give(builders.loaded(builders.instrument("BTC/USD:BTC", step=1, min_quantity=1)))
    made.give(builders.prices("BTC/USD:BTC", 50_000.0, index=50_000.0))
    assert quantity(made, "buy", "BTC/USD:BTC") == pytest.approx(50_000)


def test_coin_is_one_position_whichever_market_trades_it() -> None:
    made = book(
        PositionSize(max=0.5, on_breach=DENY),
        accounts={"main": AccountSettings(exchange="x", spot="trade", orders=FREE)},
    )
    made.give(builders.loaded("BTC/USDT", "BTC/USDC"))
    for symbol in ("BTC/USDT", "BTC/USDC"):
        made.give(builders.prices(symbol, last=50_000.0, bid=49_999.99, ask=50_000.01))
    made.airdrops = (builders.balance("BTC", "0.4"),)
    made.read()
    found = size(made, "BTC/USDC")
    equity = 120_000
    assert float(found["buy"]["quantity"]) == pytest.approx(equity * 0.5 / 50_000 - 0.4, abs=0.002)
    assert found["sell"]["closes"] == "0.4"


def test_hedge_mode_opens_each_side_by_itself() -> None:
    made = book(PositionSize(max=0.5, on_breach=DENY), held={"BTC": (0.4, 50_000)})
    made.engine.state.accounts.get("main").is_hedge_mode = True
    found = size(made)
    assert found["sell"]["closes"] == "0"
    assert float(found["sell"]["quantity"]) == pytest.approx(1.0)


# ---------------------------------------------------------------- names


def test_instrument_is_named_by_symbol_or_by_its_base() -> None:
    made = book(held={"BTC": (1, 50_000)})
    made.give(builders.loaded("BTC/USDC:USDC", "SOL/USDC:USDC", "SOL/USDT", "OLD/USDT:USDT"))
    made.give(builders.loaded(builders.instrument("OLD/USDT:USDT", is_active=False)))
    assert size(made, "btc/usdc:usdc")["instrument"] == "BTC/USDC:USDC"
    assert size(made, "btc")["instrument"] == "BTC/USDT:USDT"
    assert size(made, "ETH")["instrument"] == "ETH/USDT:USDT"
    both = made.command("size", instrument="SOL")
    assert not both.ok
    assert "SOL/USDC:USDC" in both.message
    assert size(made, "OLD")["buy"]["quantity"] == "0"
    assert "no instrument" in made.command("size", instrument="NOPE").message
    assert "nobody" in made.command("size", instrument="BTC", account="nobody").message
