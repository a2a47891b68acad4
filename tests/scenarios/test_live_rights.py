"""Keys that may do too much: the start is refused, unless the operator said that it is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.daemon import DRAWDOWN, guarded
from tests.scenarios.seats import TWO, Seat, Venue


def let_withdraw(seat: Seat) -> None:
    """Give the seat's key the right to withdraw, in the venue's own words."""
    account: Any = next(iter(seat.server.accounts.values()))
    if isinstance(account.rights, dict):
        account.rights["enableWithdrawals"] = True
    else:
        account.rights.permissions["Wallet"] = ["AccountTransfer", "Withdraw"]


@pytest.mark.parametrize("venue", TWO, ids=str)
async def test_start_when_the_key_may_withdraw_is_refused_with_78(
    venue: Venue, tmp_path: Path
) -> None:
    seat = Seat(venue)
    let_withdraw(seat)
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        await daemon.start()
        assert await daemon.ended() == 78
        assert "accounts.main.api_key: the key may withdraw" in daemon.said()


async def test_start_when_withdrawals_are_allowed_on_purpose_guards(tmp_path: Path) -> None:
    seat = Seat(TWO[0])
    let_withdraw(seat)
    async with guarded(tmp_path, seat, limits=DRAWDOWN, starts=False) as daemon:
        daemon.config["accounts"][seat.name]["allow_withdraw_keys"] = True
        daemon.write()
        await daemon.start()
        status = await daemon.ready()
        assert status["accounts"][seat.name]["key_rights"]["can_withdraw"] is True
