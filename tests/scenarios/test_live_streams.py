"""What the venues' streams leave out, repeat or invent: seen, told, and never acted on blindly."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.daemon import DRAWDOWN, Daemon, alert_of, guarded
from tests.scenarios.seats import (
    BINANCE,
    BINANCE_FIRST,
    BTC,
    BYBIT,
    BYBIT_FIRST,
    ETH,
    Seat,
    Venue,
    glide,
    nightly,
)

SLACK_MS = 1_500
"""Beyond what is promised: how often riskbot looks, and the last frame before the silence."""


async def positions(daemon: Daemon) -> dict[str, float]:
    """Return what riskbot believes is held."""
    answer = await daemon.ask("positions")
    return {row["instrument"]: row["quantity"] for row in answer["document"]}


async def knows(daemon: Daemon, **held: str) -> None:
    """Wait until riskbot believes what the venue's ledger says."""
    symbols = {"btc": BTC, "eth": ETH}
    wanted = {symbols[name]: float(text) for name, text in held.items()}
    for _ in range(400):
        found = await positions(daemon)
        if all(found.get(symbol, 0.0) == quantity for symbol, quantity in wanted.items()):
            return
        await daemon.calm(0.1)
    raise AssertionError(f"believes {found}, not {wanted}; {daemon.said()}")


@pytest.mark.parametrize(
    ("venue", "kind"),
    [
        (BINANCE, "frame_duplicated"),
        (BYBIT, "frame_reordered"),
        (BINANCE, "frame_dropped"),
        nightly(BYBIT, "frame_duplicated"),
        nightly(BINANCE, "frame_reordered"),
        nightly(BYBIT, "frame_dropped"),
        nightly(BINANCE, "frame_undecodable"),
        nightly(BYBIT, "frame_undecodable"),
        nightly(BINANCE, "frame_unknown"),
        nightly(BYBIT, "frame_unknown"),
    ],
    ids=str,
)
async def test_user_events_gone_wrong_change_neither_the_truth_nor_the_loss(
    venue: Venue, kind: str, tmp_path: Path
) -> None:
    # Given a private stream that repeats, swaps, loses or garbles what it tells.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN, monitor={"reconcile_s": 3}) as daemon:
        fault = seat.strike(kind, None, match={} if kind == "frame_undecodable" else _private())
        # When a strategy trades to and fro.
        for quantity in ("0.5", "-0.2", "0.1"):
            seat.trade(BTC, quantity)
            seat.trade(ETH, "-2")
        await knows(daemon, btc="3.4", eth="-6")
        # Then riskbot knows what is held, and has booked no loss beyond fees and spread.
        status = await daemon.until_status(lambda s: s["drawdown"] is not None, "prices of all")
        assert status["drawdown"] < 0.01
        assert abs(status["equity_usd"] - float(seat.equity())) < 60
        # And a real loss is acted on as ever, each position closed once.
        await glide(seat, BTC=34_900)
        await daemon.until(daemon.is_flat, "flat")
        await daemon.halted()
        assert [len(seat.sent(symbol)) for symbol in (BTC, ETH)] == [1, 1]
        assert fault.hits > 0


def _private() -> dict[str, Any]:
    return {"socket": "user"}


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_private_stream_dying_without_a_word_is_noticed_and_opened_anew(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a listen key that dies while its socket stays open (Bybit: a stream gone mute).
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN, monitor={"reconcile_s": 2}) as daemon:
        if venue is BINANCE:
            seat.server.expire_listen_key(seat.key, silently=True)
        mute = seat.strike("user_silent", None)
        before = private_sockets(seat)
        # When a strategy trades and no event says so.
        seat.trade(ETH, "-4")
        # Then a read shows it,
        await knows(daemon, btc="3", eth="-4")
        # and the stream is given up for another.
        await daemon.until(lambda: private_sockets(seat) - before, "another private socket")
        seat.server.faults.remove(mute)
        seat.trade(ETH, "-1")
        await knows(daemon, eth="-5")
        await daemon.until_status(
            lambda s: all(feed["ok"] for feed in s["feeds"]), "every feed well again"
        )
        # And the account is guarded all the while.
        await glide(seat, BTC=34_000)
        await daemon.until(daemon.is_flat, "flat")


def private_sockets(seat: Seat) -> set[int]:
    """Return the private sockets that are open."""
    return {id(c) for c in seat.server.connections if c.kind == "user"}


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_position_list_cut_short_is_neither_a_loss_nor_flat(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a venue whose position list loses entries.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    seat.hold(ETH, "-4")
    async with guarded(tmp_path, seat, limits=DRAWDOWN, monitor={"reconcile_s": 1}) as daemon:
        cut = seat.strike("positions_cut", None, keep=1)
        await daemon.until(lambda: cut.hits >= 3, "read")
        # Then nothing is closed and no loss is seen.
        status = await daemon.status()
        assert seat.sent() == []
        assert status["drawdown"] < 0.005
        # When the market falls while the list is short.
        await glide(seat, BTC=34_000)
        # Then both are closed, each once, on what the stream tells;
        await daemon.until(daemon.is_flat, "flat")
        await daemon.calm(2)
        assert [len(seat.sent(symbol)) for symbol in (BTC, ETH)] == [1, 1]
        # and that it is over is verified by lists that are whole.
        seat.heal()
        await daemon.halted()


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_position_list_that_is_empty_all_of_a_sudden_is_not_taken_for_flat(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a market that falls, a book that takes a part, and a list that then says "nothing".
    seat = Seat(venue)
    seat.hold(BTC, "3")
    seat.server.market.touch_quantity[seat.id_of(BTC)] = Decimal(1)
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("positions_cut", None, keep=0)
        await glide(seat, BTC=34_000)
        await daemon.until(lambda: seat.held(BTC) == 2, "a part closed")
        await daemon.calm(4)
        # Then it is not over: the work goes on until all is closed.
        assert (await daemon.status())["intents"]
        seat.heal()
        seat.server.market.touch_quantity.clear()
        seat.move(BTC=34_000)
        await daemon.until(daemon.is_flat, "flat")
        await daemon.halted()


@pytest.mark.parametrize(("up", "down"), [(BINANCE, BYBIT), nightly(BYBIT, BINANCE)], ids=str)
async def test_two_venues_one_down_flattens_what_it_sees_and_the_rest_later(
    up: Venue, down: Venue, tmp_path: Path
) -> None:
    # Given one account at each of two venues, and one venue that goes away.
    here, there = Seat(up, "here"), Seat(down, "there")
    here.hold(BTC, "4")
    there.hold(ETH, "10")
    monitor = {"reconcile_s": 1, "account_stale_s": 4, "price_stale_s": 3}
    async with guarded(tmp_path, here, there, limits=DRAWDOWN, monitor=monitor) as daemon:
        await there.close()
        status = await daemon.until_status(lambda s: s["accounts"]["there"]["blind"], "blind")
        # Then its account is BLIND, its last positions stay counted, and the other is sighted.
        assert not status["accounts"]["here"]["blind"]
        assert status["equity_usd"] == pytest.approx(200_000, rel=0.01)
        rows = {r["account"]: r for r in (await daemon.ask("positions"))["document"]}
        assert rows["there"]["estimated"]
        # When what is in sight loses more than the limit of all.
        await glide(here, BTC=31_000)
        await daemon.until(here.is_flat, "the sighted account flat")
        assert not there.is_flat()
        # Then the other follows when its venue is back.
        await there.open()
        await daemon.until(there.is_flat, "the other flat")
        await daemon.halted()


# ---------------------------------------------------------------- blind


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_price_feed_silenced_with_the_socket_open_is_flagged_and_comes_back(
    venue: Venue, tmp_path: Path
) -> None:
    # Given prices that stop, on sockets that stay open, and no answer over REST either.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("sockets_silent", None)
        seat.strike("no_reply", None)
        silent_ms = (await daemon.status())["as_of_ms"]
        # When the market falls meanwhile, unseen.
        seat.move(BTC=34_000)
        # Then the price is flagged within five seconds of silence,
        status = await daemon.until_status(lambda s: flags(s, "price"), "BLIND(price)")
        assert flags(status, "price")[0]["since_ms"] - silent_ms <= 5_000 + SLACK_MS
        # the account within fifteen,
        status = await daemon.until_status(lambda s: flags(s, "account"), "BLIND(account)")
        assert flags(status, "account")[0]["since_ms"] - silent_ms <= 15_000 + SLACK_MS
        # it is told, and nothing is closed.
        await daemon.until_status(lambda s: alert_of(s, "blind_account"), "an alert")
        assert seat.sent() == []
        assert not seat.is_flat()
        # And when data return, riskbot sees by itself, and acts on what it sees then.
        seat.heal()
        await daemon.until_status(lambda s: not s["blind"], "in sight")
        await daemon.until(daemon.is_flat, "flat")


@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_account_that_only_answers_pings_is_flagged_while_reads_fail(
    venue: Venue, tmp_path: Path
) -> None:
    # Given an account stream that tells nothing more, though its socket lives, and no reads.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        seat.strike("user_silent", None)
        seat.strike("no_reply", None)
        silent_ms = (await daemon.status())["as_of_ms"]
        # Then the account is flagged within fifteen seconds, and nothing is closed on it.
        status = await daemon.until_status(lambda s: flags(s, "account"), "BLIND(account)")
        assert flags(status, "account")[0]["since_ms"] - silent_ms <= 15_000 + SLACK_MS
        await glide(seat, BTC=34_000)
        await daemon.calm(2)
        assert seat.sent() == []
        # And when it can be read again, it is in sight and guarded.
        seat.heal()
        await daemon.until(daemon.is_flat, "flat")


@pytest.mark.parametrize(
    ("venue", "kind"),
    [
        (BYBIT, "market_silent"),
        (BINANCE, "timestamps_frozen"),
        (BYBIT, "frames_dripped"),
        nightly(BINANCE, "market_silent"),
        nightly(BYBIT, "timestamps_frozen"),
        nightly(BINANCE, "frames_dripped"),
    ],
    ids=str,
)
async def test_market_sockets_gone_bad_alone_are_replaced_and_no_move_is_missed(
    venue: Venue, kind: str, tmp_path: Path
) -> None:
    # Given market sockets that say nothing more, repeat an old time or drip byte by byte, and a
    # venue that still answers over REST.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        mute = seat.strike(kind, None)
        silent_ms = (await daemon.status())["as_of_ms"]
        # When the price moves on unseen.
        status = await daemon.status()
        while all(feed["ok"] for feed in status["feeds"]) and not flags(status, "price"):
            assert status["as_of_ms"] - silent_ms <= 5_000 + SLACK_MS, "flagged within 5 s"
            seat.move(BTC=seat.mark(BTC) - 25)
            await daemon.calm(0.25)
            status = await daemon.status()
        # Then the feed is told to be lost, and nothing is closed.
        assert seat.sent() == []
        seat.server.faults.remove(mute)
        await daemon.until_status(
            lambda s: all(f["ok"] for f in s["feeds"]) and not s["blind"], "well again"
        )
        # And the next fall is seen.
        await glide(seat, BTC=34_000)
        await daemon.until(daemon.is_flat, "flat")


def flags(status: dict[str, Any], what: str) -> list[dict[str, Any]]:
    """Return the BLIND flags of a kind."""
    return [row for row in status["blind"] if row["what"].startswith(f"{what}:")]


# ---------------------------------------------------------------- prices that lie


@pytest.mark.parametrize("venue", BYBIT_FIRST, ids=str)
async def test_outlier_of_one_source_denies_alarms_and_closes_nothing(
    venue: Venue, tmp_path: Path
) -> None:
    # Given a mark that is 20 % off what index, book and trades say.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN, portfolio={"clear_for_s": 2}) as daemon:
        name = seat.id_of(BTC)
        seat.server.market.set_price(
            name,
            Decimal(32_000),
            index=Decimal(40_000),
            bid=Decimal("39999.9"),
            ask=Decimal("40000.1"),
            last=Decimal(40_000),
        )
        # Then new risk is denied at once and a red alert says why; nothing is closed.
        status = await daemon.until_status(lambda s: s["trading_state"] != "ACTIVE", "denied")
        assert [h["limit"] for h in status["holds"]] == ["drawdown"]
        await daemon.calm(5)
        status = await daemon.status()
        assert any(a["level"] == "red" for a in status["alerts"])
        assert seat.sent() == []
        assert status["trading_state"] == "REDUCING"
        # And when the sources agree again, so is it.
        seat.move(BTC=40_000)
        await daemon.until_status(lambda s: s["trading_state"] == "ACTIVE", "active again")
        assert seat.sent() == []


@pytest.mark.parametrize("value", ["0", nightly("NaN"), nightly("-5"), nightly("")])
@pytest.mark.parametrize("venue", BINANCE_FIRST, ids=str)
async def test_prices_that_are_none_close_nothing(venue: Venue, value: str, tmp_path: Path) -> None:
    # Given price frames that say nothing sane.
    seat = Seat(venue)
    seat.hold(BTC, "3")
    async with guarded(tmp_path, seat, limits=DRAWDOWN) as daemon:
        garbage = seat.strike("price_garbage", None, value=value)
        for _ in range(10):
            seat.move(BTC=40_000)
            await daemon.calm(0.2)
        # Then nothing is closed, nothing halted, and no loss is seen.
        assert garbage.hits > 0
        status = await daemon.status()
        assert seat.sent() == []
        assert status["drawdown"] < 0.005
        seat.heal()
        await daemon.until_status(lambda s: s["trading_state"] == "ACTIVE", "active")
        # And a fall after that is a fall.
        await glide(seat, BTC=34_000)
        await daemon.until(daemon.is_flat, "flat")
