"""A guard that answers the door from canned documents, and plans and acts as told."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from typing import Any

from riskbot.core import actions, events

NOW_MS = round(time.time() * 1000)

LIMIT = {
    "name": "drawdown",
    "scope": "portfolio",
    "subject": "",
    "measured": 0.036,
    "limit": 0.05,
    "unit": "ratio",
    "utilization": 0.72,
    "level": "yellow",
    "on_breach": "flatten",
    "headroom": 0.014,
}

STATUS: dict[str, Any] = {
    "instance": "vps-1",
    "mode": "enforce",
    "trading_state": "ACTIVE",
    "starting": False,
    "holds": [],
    "blind": [],
    "equity_usd": 48_212.4,
    "gross_exposure": 1.93,
    "net_exposure": 0.42,
    "drawdown": 0.036,
    "daily_loss": 0.0224,
    "daily_pnl_usd": -1_105.2,
    "accounts": {
        "main": {
            "exchange": "venue",
            "trading_state": "ACTIVE",
            "equity_usd": 48_212.4,
            "blind": False,
            "working_orders": 12,
        }
    },
    "feeds": [{"account": "main", "feed": "prices", "age_s": 2.0, "ok": True}],
    "intents": [],
    "alerts": [],
    "limits": [LIMIT, {**LIMIT, "name": "gross_exposure", "measured": 1.93, "limit": 2.0}],
    "as_of_ms": NOW_MS,
}

POSITION = {
    "account": "main",
    "instrument": "BTC/USDT:USDT",
    "underlying": "BTC",
    "side": "long",
    "quantity": 0.668,
    "entry": 63_926.0,
    "mark": 63_011.5,
    "notional_usd": 42_100.0,
    "leverage": 3.0,
    "unrealized_pnl_usd": -612.4,
    "stop": None,
    "risk_usd": 4_210.0,
    "usd_per_1pct": 421.0,
    "liquidation_price": 41_000.0,
    "liquidation_distance": 0.349,
    "closable": True,
    "estimated": False,
}

PLAN = {
    "close": [{"instrument": "BTC/USDT:USDT", "quantity": "0.668", "close": "0.668"}],
    "kept": [{"instrument": "DOGE/USDT", "quantity": "10", "reason": "spot: hold"}],
    "notional_usd": 42_100.0,
    "cancel_entries": 12,
    "mode": "enforce",
}


class FakeDesk:
    """Takes commands as the runner does and hands replies back to the door.

    Attributes:
        commands: everything that arrived.
        on: by command name: what answers it instead.
        code: one-time code that what raises risk takes; empty = none is asked for.
    """

    def __init__(self) -> None:
        self.commands: list[events.CommandReceived] = []
        self.done: list[tuple[str, dict[str, Any], str]] = []
        self.documents: dict[str, Any] = {
            "status": copy.deepcopy(STATUS),
            "positions": [
                dict(POSITION),
                {**POSITION, "instrument": "ETH/USDT:USDT", "underlying": "ETH", "side": "short"},
            ],
            "exposure": {
                "equity_usd": 48_212.4,
                "gross_usd": 93_000.0,
                "net_usd": 20_000.0,
                "gross_exposure": 1.93,
                "net_exposure": 0.42,
                "breakdown": {
                    "assets": {"BTC": {"net_usd": 42_100.0, "gross_exposure": 0.87}},
                    "sectors": {
                        "layer-1": {"gross_usd": 61_000.0, "gross_exposure": 1.26},
                        "defi": {"gross_usd": 31_000.0, "gross_exposure": 0.64},
                        "meme": {"gross_usd": 1_000.0, "gross_exposure": 0.02},
                    },
                },
                "unpriced": [],
                "as_of_ms": NOW_MS,
            },
            "limits": [LIMIT],
            "alerts": [],
            "help": [],
        }
        self.on: dict[str, Callable[[events.CommandReceived], list[actions.SendReply]]] = {}
        self.deliver: Callable[[actions.SendReply], bool] = lambda _: False
        self.is_silent = False
        self.looks = 0
        self.history: dict[str, list[tuple[int, float | None]]] = {}
        self.code = ""
        self._plans: dict[str, tuple[str, str]] = {}

    def asked(self, name: str) -> list[events.CommandReceived]:
        """Return the commands of one name."""
        return [c for c in self.commands if c.name == name]

    def submit(self, command: events.CommandReceived) -> None:
        """Answer soon, as the runner does."""
        self.commands.append(command)
        if not self.is_silent:
            asyncio.get_running_loop().call_soon(self._answer, command)

    def _answer(self, command: events.CommandReceived) -> None:
        answer = self.on.get(command.name, self._usual)
        for reply in answer(command):
            self.deliver(reply)

    def reply(self, command: events.CommandReceived, **fields: Any) -> actions.SendReply:
        """Return a reply to a command."""
        return actions.SendReply(
            request_id=command.request_id, **{"ok": True, "message": "", **fields}
        )

    def view(self, name: str) -> Any:
        """Show a document, as the views do."""
        self.looks += 1
        return self.documents.get(name)

    def _history(self, command: events.CommandReceived) -> list[actions.SendReply]:
        points = self.history.get(command.args["measure"])
        return [self.reply(command, ok=points is not None, document=points)]

    def _usual(self, command: events.CommandReceived) -> list[actions.SendReply]:
        if command.name == "history":
            return self._history(command)
        if command.name in self.documents:
            document = self.documents[command.name]
            return [self.reply(command, document=document)]
        if command.name in {"flatten", "resume", "reduce", "setlimit"}:
            return self._planned(command)
        self.done.append((command.name, command.args, command.actor.name))
        return [self.reply(command, message=f"{command.name} done")]

    def _asks_code(self, command: events.CommandReceived) -> bool:
        return bool(self.code) and command.name in {"resume", "setlimit"}

    def _planned(self, command: events.CommandReceived) -> list[actions.SendReply]:
        plan_id = command.args.get("plan_id")
        if plan_id is None:
            plan_id = f"p{len(self._plans)}"
            self._plans[plan_id] = (command.name, command.actor.name)
            return [
                self.reply(
                    command,
                    message=f"{command.name} would do this",
                    plan_id=plan_id,
                    plan=PLAN if command.name == "flatten" else {},
                    expires_at_ms=round(time.time() * 1000) + 60_000,
                    needs_factor=self._asks_code(command),
                )
            ]
        if self._asks_code(command) and command.args.get("totp") != self.code:
            given = "the code is wrong; 4 tries left" if "totp" in command.args else "needs a code"
            return [self.reply(command, ok=False, message=given, needs_factor=True)]
        if self._plans.pop(str(plan_id), None) != (command.name, command.actor.name):
            return [self.reply(command, ok=False, message="no such plan")]
        self.done.append((command.name, command.args, command.actor.name))
        return [
            self.reply(command, message=f"{command.name} under way", is_final=False),
            self.reply(command, message=f"{command.name} complete, verified: flat"),
        ]
