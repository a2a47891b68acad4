"""A freqtrade strategy with the gateway before it, by the callbacks that freqtrade documents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt  # type: ignore[import-untyped]
import pytest

from riskbot.client import DeniedError, GatewayAwayError
from riskbot.client.freqtrade import gated
from tests.client.bot import Bot, IStrategy, RunMode, loaded
from tests.frontends.http.stage import Stage, free_port, stage, token
from tests.scenarios.freqtrade import strategy_of_the_howto
from tests.servers.binance_client import BTC, Desk, open_desk

GROSS = {"gross_exposure": {"max": 1.0, "on_breach": "deny"}}
MARK = 50_000.0
"""At the stage; there are 100,000 USD of equity, so 2 BTC may be held."""


@gated
class Plain(IStrategy):
    """Nothing of its own."""


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, limits=GROSS) as made:
        yield made


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as made:
        yield made


def section(door: Stage | None = None, **fields: Any) -> dict[str, Any]:
    url = door.url if door is not None else f"http://127.0.0.1:{free_port()}"
    return {"account": "main", "url": url, "token": token("grid"), **fields}


def dry(strategy: type[Any] = Plain, **riskbot: Any) -> Bot:
    return Bot(strategy, RunMode.DRY_RUN, None, riskbot=riskbot)


def live(desk: Desk, door: Stage | None, strategy: type[Any] = Plain) -> Bot:
    api = ccxt.binanceusdm({"apiKey": "key", "secret": "secret", "urls": desk.client.urls})
    return Bot(strategy, RunMode.LIVE, api, riskbot=section(door))


def answers(door: Stage) -> int:
    return len(door.runner.engine.state.reservations.answers)


async def test_trade_of_a_dry_run_is_asked_for_and_its_approval_given_back(door: Stage) -> None:
    bot = dry(**section(door))
    assert await asyncio.to_thread(bot.enter, BTC, 4_000, MARK)
    assert bot.opened == [(BTC, 0.08)]
    assert answers(door) == 1
    assert not door.runner.engine.state.reservations.live


@pytest.mark.parametrize(
    ("leverage", "rate", "amount"),
    [(1.0, MARK, 2.0), (3.0, MARK, 2.0), (1.0, MARK + 10, 1.999), (1.0, MARK - 10, 2.0)],
)
async def test_stake_shrinks_to_what_may_be_traded(
    door: Stage, leverage: float, rate: float, amount: float
) -> None:
    bot = dry(**section(door))
    assert await asyncio.to_thread(bot.enter, BTC, 500_000, rate, leverage=leverage)
    assert bot.opened == [(BTC, amount)]


async def test_stake_below_the_bots_least_is_no_trade(door: Stage) -> None:
    # freqtrade would raise it to its least, which is more than passes.
    bot = dry(**section(door))
    assert not await asyncio.to_thread(bot.enter, BTC, 120_000, MARK, min_stake=110_000.0)
    assert answers(door) == 0


async def test_denied_trade_says_every_reason_and_is_not_made(
    door: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    bot = dry(**section(door))
    gate = bot.strategy._riskbot_gate  # noqa: SLF001 - a price that moves between two questions
    with caplog.at_level(logging.INFO):
        passes = await asyncio.to_thread(gate.may_enter, BTC, "limit", 3.0, MARK, "short")
    assert not passes
    assert "LIMIT_EXCEEDED" in caplog.text


async def test_nothing_is_entered_while_the_gateway_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bot = dry(**section())
    assert not await asyncio.to_thread(bot.enter, BTC, 4_000, MARK)
    gate = bot.strategy._riskbot_gate  # noqa: SLF001 - as if the stake had been known
    assert not await asyncio.to_thread(gate.may_enter, BTC, "market", 0.1, MARK, "long")
    assert caplog.text.count("the gateway is away") == 2


async def test_halt_stops_entries_of_a_bot_that_was_not_told(door: Stage) -> None:
    bot = dry(**section(door))
    await door.command("halt")
    assert not await asyncio.to_thread(bot.enter, BTC, 4_000, MARK)


async def test_own_callbacks_come_first(door: Stage) -> None:
    @gated
    class Careful(IStrategy):
        def custom_stake_amount(self, **fields: Any) -> float:
            return float(fields["proposed_stake"]) / 2

        def confirm_trade_entry(self, **fields: Any) -> bool:
            return bool(fields["amount"] > 0.01)

    bot = dry(Careful, **section(door))
    assert await asyncio.to_thread(bot.enter, BTC, 8_000, MARK)
    assert bot.opened == [(BTC, 0.08)]
    assert not await asyncio.to_thread(bot.enter, BTC, 500, MARK)
    assert answers(door) == 1


async def test_backtest_asks_nobody() -> None:
    bot = Bot(Plain, RunMode.BACKTEST, None)
    assert bot.enter(BTC, 1e9, MARK)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "takes account, hmac_secret, hmac_secret_file, token, token_file, url"),
        ({"token": "x"}, "takes account"),
        ({"account": "main"}, "needs token or token_file"),
        ({"account": "main", "token": "x", "acount": "y"}, "takes account"),
        ({"account": "main", "token_file": "none"}, "No such file"),
    ],
)
def test_bot_does_not_start_with_a_wrong_section(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        dry(**wrong)


def test_token_is_read_from_a_file_beside_the_bots_data(tmp_path: Path) -> None:
    (tmp_path / "grid.token").write_text("secret\n")
    config = {"riskbot": {"account": "main", "token_file": "grid.token"}}
    bot = Bot(Plain, RunMode.DRY_RUN, None, user_data_dir=tmp_path, **config)
    assert bot.strategy._riskbot_gate.token == "secret"  # noqa: SLF001 - read, and shown nowhere


async def test_everything_a_live_bot_sends_is_asked_for(desk: Desk, door: Stage) -> None:
    bot = live(desk, door)
    assert await asyncio.to_thread(bot.enter, BTC, 4_000, 40_000.0)
    # An addition to the trade, which freqtrade asks no callback about.
    await asyncio.to_thread(bot.order, BTC, "buy", 0.1, 40_000.0)
    known = door.runner.engine.state.reservations
    orders = list(desk.ledger.orders.values())
    assert [known.find("grid", order.client_id) is not None for order in orders] == [True, True]
    with pytest.raises(ccxt.InvalidOrder, match="LIMIT_EXCEEDED") as caught:
        await asyncio.to_thread(bot.order, BTC, "buy", 5, 40_000.0)
    assert isinstance(caught.value, DeniedError)
    assert len(desk.ledger.orders) == 2


async def test_live_exits_go_out_while_the_gateway_is_away_and_entries_do_not(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    bot = live(desk, None)
    desk.ledger.set_position("BTCUSDT", Decimal("0.1"), Decimal(40_000))
    with pytest.raises(ccxt.ExchangeNotAvailable) as caught:
        await asyncio.to_thread(bot.order, BTC, "buy", 0.1, 40_000.0)
    assert isinstance(caught.value, GatewayAwayError)
    await asyncio.to_thread(bot.order, BTC, "sell", 0.1, None, "market", reduceOnly=True)
    assert desk.ledger.open_positions() == []
    assert "only closes" in caplog.text


async def test_stop_at_the_exchange_is_told_the_gateway_with_the_entry(
    desk: Desk, door: Stage
) -> None:
    bot = live(desk, door, loaded(strategy_of_the_howto(), "Grid"))
    assert await asyncio.to_thread(bot.enter, BTC, 4_000, 40_000.0, leverage=2.0)
    (known,) = door.runner.engine.state.reservations.live.values()
    # 5 % of the stake, at a leverage of two.
    assert known.stop_loss == Decimal(39_000)
