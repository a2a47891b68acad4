"""What is shown of a leg: what may be closed, dust, stops."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot.core.settings import (
    AccountSettings,
)
from tests import builders
from tests.builders import (
    ACCOUNT,
    BTC_PERP,
    BTC_SPOT,
    balance,
    instrument,
    loaded,
    order,
    position,
    prices,
)
from tests.core.rig import Rig, rig, spot_settings

# ---------------------------------------------------------------- spot


def test_coin_balance_is_a_position_and_cash_is_not() -> None:
    made = rig(
        balances=(balance("BTC", 2, free=1), balance("USDC", 50), balance("EUR", 20)),
        settings=spot_settings("hold"),
    )
    book = made.portfolio
    (leg,) = book.legs
    assert (leg.key.symbol, leg.quantity, leg.notional_usd) == (BTC_SPOT, 2, 100_000)
    assert (leg.is_closable, leg.kept_reason) == (False, "spot: hold")
    assert book.equity_usd == pytest.approx(100_000 + 100_000 + 70)


@pytest.mark.parametrize(
    ("coins", "orders", "closable", "reason"),
    [
        (balance("BTC", 2, free=2), (), 2, ""),
        (balance("BTC", 2), (), 2, ""),
        (balance("BTC", 2, free="0.5"), (), 0.5, ""),
        (balance("BTC", 2, free=0), (), 0, "locked"),
        (balance("BTC", 2, free=0), (order(BTC_SPOT, "sell", 1, filled="0.25"),), 0.75, ""),
        (balance("BTC", 2, free=0), (order(BTC_SPOT, "buy", 1),), 0, "locked"),
    ],
)
def test_spot_trade_closes_what_is_free_or_locked_by_sell_orders(
    coins: Any, orders: Any, closable: float, reason: str
) -> None:
    made = rig(balances=(coins,), orders=orders, settings=spot_settings())
    (leg,) = made.portfolio.legs
    assert leg.closable_quantity == closable
    assert (leg.kept_reason, leg.is_closable) == (reason, not reason)


def test_borrowed_coin_is_a_short_position_that_can_be_bought_back() -> None:
    made = rig(balances=(balance("BTC", -1, free=0),), settings=spot_settings())
    (leg,) = made.portfolio.legs
    assert (leg.notional_usd, leg.closable_quantity) == (-50_000, 1)


def test_coin_without_a_market_on_its_account_cannot_be_closed_there() -> None:
    made = Rig(spot_settings())
    made.give(loaded(BTC_PERP), prices(BTC_PERP, 50_000.0))
    made.read(balances=(balance("BTC", 1, free=1),))
    (leg,) = made.portfolio.legs
    assert (leg.key.symbol, leg.notional_usd) == ("BTC", 50_000)
    assert leg.kept_reason == "has no active market on this account"


def test_coin_is_shown_as_the_configured_instrument_first() -> None:
    account = AccountSettings(exchange="binance", spot="trade", instruments=("BTC/EUR",))
    made = Rig(builders.settings(accounts={ACCOUNT: account}))
    made.give(loaded(BTC_SPOT, "BTC/EUR", "BTC/USDC"), prices(BTC_SPOT, last=50_000.0))
    made.read(balances=(balance("BTC", 1),))
    assert made.portfolio.legs[0].key.symbol == "BTC/EUR"


def test_multiplier_contract_prices_its_coin_per_unit() -> None:
    made = Rig(spot_settings())
    listed = instrument("1000PEPE/USDT:USDT", underlying="PEPE", underlying_per_base=1000)
    made.give(loaded(listed), prices(listed.symbol, 0.012))
    made.read(position(listed.symbol, -100, "0.012"), balances=(balance("PEPE", 100_000),))
    book = made.portfolio
    assert book.underlyings["PEPE"].net == pytest.approx(0, abs=1e-9)
    assert book.underlyings["PEPE"].gross == pytest.approx(2.4)


# ---------------------------------------------------------------- dust


@pytest.mark.parametrize(
    ("quantity", "is_dust"), [("0.0009", True), ("0.001", False), ("-0.0005", True)]
)
def test_derivative_below_its_smallest_order_is_dust(quantity: str, is_dust: bool) -> None:
    assert rig(position(quantity=quantity)).portfolio.legs[0].is_dust is is_dust


@pytest.mark.parametrize(
    ("coins", "minimum", "is_dust"),
    [("0.001", 60, True), ("0.001", 40, False), ("0.001", 0, False)],
)
def test_coin_below_the_smallest_order_value_is_dust(
    coins: str, minimum: int, is_dust: bool
) -> None:
    made = Rig(spot_settings())
    listed = instrument(BTC_SPOT, min_notional=minimum)
    made.give(loaded(listed), prices(BTC_SPOT, last=50_000.0))
    made.read(balances=(balance("BTC", coins),))
    assert made.portfolio.legs[0].is_dust is is_dust


def test_unpriced_coin_is_no_dust() -> None:
    made = Rig(spot_settings())
    made.give(loaded(BTC_SPOT))
    made.read(balances=(balance("BTC", 1),))
    assert made.portfolio.legs[0].is_dust is False


# ---------------------------------------------------------------- stops


def stop(trigger: float, quantity: float | str = 1, side: str = "sell", **fields: Any) -> Any:
    values = {"reduce_only": True, "is_conditional": True, "stop_price": trigger, **fields}
    return order(BTC_PERP, side, quantity, order_id=f"stop-{trigger}", **values)


@pytest.mark.parametrize(
    ("quantity", "orders", "shown", "risk"),
    [
        (1, (), None, 5_000),
        (1, (stop(48_000),), 48_000, 2_000),
        (1, (stop(55_000),), None, 5_000),
        (1, (stop(49_000, "0.5"),), None, 500 + 2_500),
        (1, (stop(49_000, "0.5"), stop(45_000, "0.5")), 45_000, 500 + 2_500),
        (1, (stop(45_000), stop(49_000)), 49_000, 1_000),
        (1, (stop(47_000, 0, reduce_only=False, close_position=True),), 47_000, 3_000),
        (-1, (stop(51_000, 1, "buy"),), 51_000, 1_000),
        (-1, (stop(49_000, 1, "buy"),), None, 5_000),
        (1, (stop(48_000, 1, "buy"),), None, 5_000),
    ],
)
def test_stop_risk_reads_resting_reduce_only_stops(
    quantity: int, orders: Any, shown: float | None, risk: float
) -> None:
    book = rig(position(quantity=quantity), orders=orders).portfolio
    assert book.legs[0].stop == shown
    assert book.legs[0].risk_usd == pytest.approx(risk)
    assert book.stop_risk_usd == pytest.approx(risk)
    assert book.unprotected == ([] if shown else [BTC_PERP])


def test_stop_of_an_unpriced_position_has_no_risk_figure() -> None:
    leg = rig(position("SOL/USDT:USDT", 1, 20)).portfolio.legs[0]
    assert (leg.stop, leg.risk_usd) == (None, None)


def test_coin_that_only_an_inverse_position_pays_into_cannot_be_sold() -> None:
    made = rig(position(builders.BTC_INVERSE, -10_000), settings=spot_settings())
    made.give(
        prices(builders.BTC_INVERSE, 40_000.0), prices(BTC_SPOT, bid=39_999.99, ask=40_000.01)
    )
    coin = next(leg for leg in made.portfolio.legs if leg.is_spot)
    assert coin.quantity == pytest.approx(10_000 / 40_000 - 10_000 / 50_000)
    assert (coin.is_closable, coin.kept_reason) == (False, "locked")
