"""Too much exposure at the venues' protocols: gross, net, one coin, margin; hedges and pairs."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.scenarios.daemon import DRAWDOWN, guarded, limit_of
from tests.scenarios.seats import (
    BINANCE_FIRST,
    BTC,
    BTC_SPOT,
    BYBIT,
    BYBIT_FIRST,
    ETH,
    SOL,
    Seat,
    Venue,
    glide,
)

GROSS = {"gross_exposure": {"max": 2.0, "on_breach": "reduce", "within_s": 60}}


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_gross_when_a_strategy_adds_is_reduced_to_target_largest_first(
    venue: Venue, tmp_path: Path
) -> None:
    # Given an account at 1.6 of 2.0, and a strategy with more orders in the book.
    seat = Seat(venue)
    seat.hold(BTC, "2")
    seat.hold(ETH, "-20")
    seat.hold(SOL, "300")
    entry = seat.trade(SOL, "100", price=95)
    breakout = seat.trade(BTC, "0.2", stop_price=44_000)
    async with guarded(tmp_path, seat, limits=GROSS) as daemon:
        # When it buys beyond the limit.
        seat.trade(BTC, "1.2")
        # Then the largest position is cut to 0.9 of the limit, by one order, and no other.
        await daemon.until(lambda: seat.gross() < 1.805, "reduced")
        await daemon.until_status(lambda s: not s["intents"], "work ended")
        assert seat.gross() > 1.75
        assert len(seat.sent(BTC)) == len(seat.sent()) == 1
        assert seat.held(ETH) == -20
        # And what would add again is gone.
        assert not {entry.id, breakout.id} & seat.resting()
        assert (await daemon.status())["trading_state"] == "REDUCING"


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_net_is_hedged_and_the_hedge_goes_with_what_it_hedged(
    venue: Venue, tmp_path: Path
) -> None:
    # Given longs in ETH on one account, and a hedge configured on another.
    seat, other = Seat(venue), Seat(venue, "hedge")
    other.is_hedging = True
    seat.hold(ETH, "30")
    limits = {"net_exposure": {"max": 0.5, "on_breach": "hedge", "within_s": 60}}
    hedges = {"ETH": {"account": "hedge", "instrument": ETH, "max_usd": 500_000}}
    async with guarded(
        tmp_path, seat, other, limits=limits, portfolio={"hedges": hedges}
    ) as daemon:
        # When the strategy doubles them.
        seat.trade(ETH, "50")
        # Then a short on the other account takes the excess, and the strategy's position stays.
        await daemon.until(lambda: other.held(ETH) < 0, "hedged")
        status = await daemon.until_status(
            lambda s: abs(s["net_exposure"]) <= 0.5 and not s["intents"], "inside"
        )
        assert status["trading_state"] == "ACTIVE"
        assert seat.held(ETH) == 80
        assert seat.sent() == []
        # When the strategy closes, the hedge is unwound and not one order goes past zero.
        seat.trade(ETH, "-80")
        await daemon.until(lambda: other.held(ETH) == 0, "unwound")
        await daemon.calm(2)
        assert other.held(ETH) == 0
        assert {f.side for f in other.ledger.fills} == {"buy", "sell"}


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_net_without_a_hedge_is_reduced_on_the_long_side_only(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a book that is net long, and a resting short that would lower it.
    seat = Seat(venue)
    seat.hold(BTC, "2")
    seat.hold(ETH, "-12")
    helps = seat.trade(SOL, "-50", price=105)
    adds = seat.trade(SOL, "50", price=95)
    limits = {"net_exposure": {"max": 0.8, "on_breach": "reduce", "within_s": 60}}
    async with guarded(tmp_path, seat, limits=limits) as daemon:
        # When more is bought.
        seat.trade(BTC, "1")
        # Then the longs are cut to target, the short stays, and only what adds is cancelled.
        await daemon.until(seat.sent, "an order")
        await daemon.until_status(
            lambda s: abs(s["net_exposure"]) < 0.725 and not s["intents"], "inside"
        )
        assert seat.held(ETH) == -12
        assert Decimal("2.5") < seat.held(BTC) < 3
        assert helps.is_open
        assert not adds.is_open
        assert (await daemon.status())["trading_state"] == "ACTIVE"


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_concentration_denies_its_own_coin_and_closes_nothing(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a coin limit that cancels entries, and orders in two coins.
    seat = Seat(venue, deny_by_cancel=True)
    seat.hold(BTC, "1")
    more_btc = seat.trade(BTC, "0.3", price=39_000)
    more_eth = seat.trade(ETH, "2", price=2_000)
    limits = {
        "asset_exposure": {"max": 0.5, "on_breach": "cancel"},
        "underlying_concentration": {"max": 0.55, "on_breach": "deny"},
    }
    async with guarded(tmp_path, seat, limits=limits) as daemon:
        # When the one coin grows beyond both limits.
        seat.trade(BTC, "0.5")
        status = await daemon.until_status(lambda s: len(s["holds"]) == 2, "two holds")
        # Then only orders that add to it are gone; the state stays ACTIVE, nothing is closed.
        await daemon.until(lambda: not more_btc.is_open, "BTC entry cancelled")
        await daemon.calm(1)
        assert more_eth.is_open
        assert [h["keys"] for h in status["holds"]] == [["BTC"], ["BTC"]]
        assert status["trading_state"] == "ACTIVE"
        assert seat.sent() == []
        assert seat.held(BTC) == Decimal("1.5")
        # And an entry in it that appears later is cancelled too.
        later = seat.trade(BTC, "0.1", price=38_000)
        await daemon.until(lambda: not later.is_open, "later entry cancelled")
        assert more_eth.is_open


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_margin_running_short_is_relieved_by_reducing(venue: Venue, tmp_path: Path) -> None:
    # Given a book that uses some of its margin.
    seat = Seat(venue)
    seat.hold(BTC, "15")
    section = {"maintenance_margin": {"max": 0.045, "on_breach": "reduce", "within_s": 10}}
    seat.mapping["limits"] = section
    async with guarded(tmp_path, seat) as daemon:
        assert seat.sent() == []
        # When the market takes equity away.
        await glide(seat, BTC=36_400)
        # Then part of the position is closed, until margin is inside its limit again.
        await daemon.until(seat.sent, "an order")
        await daemon.until_status(
            lambda s: (
                limit_of(s, "maintenance_margin", "account:main")["measured"] < 0.045
                and not s["intents"]
            ),
            "inside",
        )
        assert 0 < seat.held(BTC) < 15


@pytest.mark.parametrize("spot", ["hold", "trade"])
async def test_spot_perpetual_pair_closes_both_legs_or_neither(spot: str, tmp_path: Path) -> None:
    # Given a coin in spot, sold as a perpetual, and a long in ETH that loses money.
    seat = Seat(
        BYBIT,
        usdt="60000",
        balance={"BTC": "1"},
        markets=["spot", "linear"],
        spot=spot,
    )
    seat.hold(BTC, "-1")
    seat.hold(ETH, "40")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        # When ETH falls so far that the drawdown limit breaks.
        await glide(seat, ETH=2_060)
        await daemon.until(lambda: seat.held(ETH) == 0, "ETH closed")
        await daemon.halted()
        # Then what is held keeps its hedge; what may be sold goes with it.
        if spot == "hold":
            assert seat.held(BTC) == -1
            assert seat.held(BTC_SPOT) == 1
        else:
            assert seat.held(BTC) == 0
            assert seat.held(BTC_SPOT) < Decimal("0.0001")


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_coins_as_collateral_are_counted_and_blind_nothing(
    venue: Venue, tmp_path: Path
) -> None:
    # Given coins in a wallet of perpetuals, one of which nobody there prices.
    seat = Seat(venue, balance={"BTC": "0.5", "BNB": "3"}, markets=["linear"])
    seat.hold(ETH, "4")
    async with guarded(tmp_path, seat, limits=GROSS) as daemon:
        # When more time passes than a price may be old.
        await daemon.calm(8)
        # Then the coin counts at the price of its perpetual, and nothing is out of sight.
        status = await daemon.status()
        assert status["blind"] == []
        assert status["trading_state"] == "ACTIVE"
        assert status["equity_usd"] == pytest.approx(120_000, rel=1e-3)
        assert status["gross_exposure"] == pytest.approx(30_000 / 120_000, rel=1e-2)
