"""`riskbot run` with a freqtrade bot and a webhook: halt, resume, a bot that is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.config_files import secret
from tests.scenarios.daemon import DRAWDOWN, alert_of, guarded
from tests.scenarios.seats import BINANCE, BTC, Seat
from tests.servers.freqtrade_api import PASSWORD, USER, Bot


def row(status: dict[str, Any], name: str = "freqtrade") -> dict[str, Any]:
    return next((r for r in status["told"] if r["name"] == name), {"confirmed": "nothing yet"})


async def test_bot_is_stopped_by_a_halt_started_by_resume_and_told_once_it_is_back(
    tmp_path: Path,
) -> None:
    bot = Bot()
    await bot.start()
    secret(tmp_path, "freqtrade.password", PASSWORD)
    login = {"url": bot.url, "username": USER, "password_file": "freqtrade.password"}
    seat = Seat(BINANCE)
    seat.hold(BTC, "1")
    sections = {"strategies": [{"freqtrade": login}]}
    async with guarded(tmp_path, seat, limits=DRAWDOWN, **sections) as daemon:
        # Given a bot that trades.
        await daemon.until_status(lambda s: row(s)["confirmed"] == "ACTIVE", "in sight")
        assert bot.asked == []
        # When somebody halts, the bot takes no entries any more, and the status says so.
        assert (await daemon.ctl("halt", "--reason", "lunch")).code == 0
        await daemon.until_status(lambda s: row(s)["confirmed"] == "HALTED", "confirmed")
        assert bot.asked == ["stopentry"]
        # When riskbot dies and comes back, it knows that it was itself.
        await daemon.restart()
        await daemon.until_status(lambda s: row(s)["confirmed"] == "HALTED", "confirmed again")
        assert (await daemon.ctl("resume", "--yes")).code == 0
        status = await daemon.until_status(lambda s: row(s)["confirmed"] == "ACTIVE", "given back")
        assert bot.asked == ["stopentry", "start"]
        assert alert_of(status, "strategy_untold") is None
        # When the bot is away during a halt, people hear of it; once it is back, it is told.
        await bot.stop()
        bot.restarted()
        assert (await daemon.ctl("halt")).code == 0
        status = await daemon.until_status(lambda s: alert_of(s, "strategy_untold"), "an alert")
        assert row(status)["error"]
        assert row(status)["confirmed"] is None
        await bot.start()
        status = await daemon.until_status(
            lambda s: row(s)["confirmed"] == "HALTED" and not alert_of(s, "strategy_untold"), "told"
        )
        assert (bot.asked[2:], bot.takes_entries) == (["stopentry"], False)
    await bot.stop()
    assert PASSWORD not in daemon.said(10**6)
