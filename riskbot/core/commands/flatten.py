"""`flatten`: halt, cancel entries, close everything closable, verify by two reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from riskbot.core.commands._base import (
    Command,
    Plan,
    Reply,
    accounts_named,
    scope_of,
    unknown_account,
)
from riskbot.core.duty import OPERATOR, IntentKind, Target
from riskbot.core.holds import place_operator_hold
from riskbot.core.model import Level, Role
from riskbot.core.opening import open_intent

if TYPE_CHECKING:
    from riskbot.core.model import Actor
    from riskbot.core.turn import Turn


class Flatten(Command):
    """Close all positions of the portfolio, of one account, or of one instrument."""

    name: ClassVar[str] = "flatten"
    help: ClassVar[str] = "halt and close everything closable"
    role: ClassVar[Role] = Role.ADMIN
    is_risky: ClassVar[bool] = True

    account: str | None = None
    instrument: str | None = None
    reason: str = ""

    def needs_factor(self, turn: Turn) -> bool:
        """Return whether the configuration asks for a code now."""
        wanted = turn.settings.flatten_factor
        is_red = any(a.level is Level.RED for a in turn.state.alerts.firing.values())
        return wanted == "always" or (wanted == "unless_red" and not is_red)

    def _targets(self, turn: Turn) -> tuple[Target, ...]:
        names = accounts_named(turn, self.account)
        # A leg on an account out of sight cannot be closed now: its pair waits for it.
        sighted = [name for name in names if not turn.state.is_account_blind(name)]
        return tuple(
            target
            for name in names
            for target in turn.state.flatten_targets(turn.now_ms, (*sighted, name), self.instrument)
            if target.key.account == name
        )

    def plan(self, turn: Turn, actor: Actor) -> Plan:
        """Name what would be closed and what would be kept, and why."""
        del actor
        if fault := unknown_account(turn, self.account):
            return Plan("", refusal=fault)
        names = accounts_named(turn, self.account)
        if self.instrument and not any(turn.state.instrument(a, self.instrument) for a in names):
            return Plan("", refusal=f"no instrument {self.instrument!r} on {', '.join(names)}")
        closes: list[dict[str, Any]] = []
        kept: list[dict[str, Any]] = []
        for target in self._targets(turn):
            row = _row(turn, target)
            (kept if row["close"] in {None, "0"} else closes).append(row)
        notional = sum(abs(r["notional_usd"] or 0.0) for r in closes)
        entries = sum(
            self.instrument in {None, o.symbol} for a in names for o in turn.state.entries(a)
        )
        where = self.instrument or self.account or "everything"
        message = (
            f"Flatten {where}: close {len(closes)} positions, {notional:,.0f} USD, cancel "
            f"{entries} entries, then halted until resume ({turn.settings.mode.value} mode: "
            "an operator's flatten is carried out)"
        )
        details = {
            "close": closes,
            "kept": kept,
            "notional_usd": notional,
            "cancel_entries": entries,
            "mode": turn.settings.mode.value,
        }
        what = ",".join(sorted(f"{row['account']}|{row['instrument']}" for row in closes))
        fingerprint = f"{what}|{_bucket(notional)}"
        return Plan(message, details, fingerprint)

    def run(self, turn: Turn, actor: Actor, request_id: str) -> Reply:
        """Place the operator's hold and open the flatten on every account named."""
        if self.instrument is None:
            place_operator_hold(turn, scope_of(self.account), actor.name, self.reason or "flatten")
        targets = self._targets(turn)
        for account in accounts_named(turn, self.account):
            mine = tuple(t for t in targets if t.key.account == account)
            symbols = None
            if self.instrument is not None:
                symbols = tuple(sorted({t.key.symbol for t in mine} | {self.instrument}))
            open_intent(
                turn,
                account,
                IntentKind.FLATTEN,
                ((scope_of(self.account), OPERATOR),),
                mine,
                actor=actor.name,
                cancel_symbols=symbols,
                reply_to=request_id,
                by_operator=True,
            )
        return Reply(ok=True, message="flattening", is_final=False)


def _row(turn: Turn, target: Target) -> dict[str, Any]:
    quantity = turn.state.quantity(target.key)
    mark = turn.state.meter.leg_usd(target.key)
    closes = quantity - target.quantity
    return {
        "account": target.key.account,
        "instrument": target.key.symbol,
        "side": target.key.side.value,
        "quantity": str(quantity),
        "close": None if target.kept else str(abs(closes)),
        "notional_usd": mark,
        "reason": target.note,
    }


def _bucket(notional: float) -> int:
    """Return a figure that changes when the notional moved by about a fifth."""
    steps = 0
    while notional > 1:
        notional /= 1.2
        steps += 1
    return steps
