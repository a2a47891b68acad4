"""`size`: how much may be traded now, and which limit binds."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from riskbot.core import allowance
from riskbot.core.commands._base import Command, Reply, accounts_named, unknown_account

if TYPE_CHECKING:
    from riskbot.core.model import Actor, Instrument
    from riskbot.core.turn import Turn

NAMED_MAX = 8


class Size(Command):
    """Show how much of an instrument may be bought and sold now, and what binds.

    An instrument is named by its symbol, or by its base asset where that is enough.
    """

    name: ClassVar[str] = "size"
    help: ClassVar[str] = "how much may be traded now, what binds"
    reads_only: ClassVar[bool] = True

    instrument: str
    stop: float | None = Field(default=None, gt=0)
    account: str | None = None

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Answer for both directions."""
        del actor, request_id
        if fault := unknown_account(turn, self.account):
            return Reply(ok=False, message=fault)
        found = self._matching(turn)
        if len(found) != 1:
            names = ", ".join(f"{i.account} {i.symbol}" for i in found[:NAMED_MAX])
            words = f"{self.instrument!r} may be {names}: name one" if found else ""
            return Reply(ok=False, message=words or f"no instrument {self.instrument!r} is listed")
        document = allowance.size(turn.state, found[0], self.stop, turn.now_ms)
        return Reply(ok=True, message="", document=document)

    def _matching(self, turn: Turn) -> list[Instrument]:
        word = self.instrument.strip().upper()
        listed = [
            instrument
            for name in accounts_named(turn, self.account)
            for instrument in turn.state.accounts.get(name).instruments.values()
            if instrument.symbol.upper() == word or instrument.underlying.upper() == word
        ]
        exact = [i for i in listed if i.symbol.upper() == word]
        if exact:
            return exact
        # A base asset means what is held of it, else its usual perpetual, else it must be named.
        active = [i for i in listed if i.is_active]
        held = {(leg.key.account, leg.key.symbol) for leg in turn.state.meter.legs()}
        tiers = (
            [i for i in active if (i.account, i.symbol) in held],
            [i for i in active if i.symbol.upper() == f"{word}/USDT:USDT"],
            active,
        )
        return next((tier for tier in tiers if tier), listed)
