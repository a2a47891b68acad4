"""Who gets an effect, and which effects go on when the journal takes no writes."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from http import HTTPStatus
from typing import Any, get_args

from riskbot.core import actions, events
from riskbot.core.model import RejectReason, TradingState
from riskbot.core.ordering import Decision
from riskbot.runner.contract import Asked

_log = logging.getLogger(__name__)

Deliver = Callable[[Any], None]
"""Takes one effect; returns at once."""


class Dispatcher:
    """Hands effects over.

    Args:
        submit: takes events, for effects that could not be handed over.

    Attributes:
        routes: who takes which effect.
    """

    def __init__(self, submit: Callable[[events.Event], None]) -> None:
        self.routes: dict[type, Deliver] = {}
        self._submit = submit
        self._waiting: dict[str, asyncio.Queue[actions.SendReply]] = {}

    def missing_routes(self) -> list[str]:
        """Return the effects that nobody takes."""
        known = {*self.routes, actions.SendReply}
        return [kind.__name__ for kind in get_args(actions.Effect) if kind not in known]

    def deliver(self, effect: actions.Effect) -> None:
        """Hand one effect over; a taker that breaks never ends the loop."""
        if isinstance(effect, actions.SendReply):
            if (replies := self._waiting.get(effect.request_id)) is not None:
                replies.put_nowait(effect)
            return
        try:
            self.routes[type(effect)](effect)
        except Exception as error:  # noqa: BLE001 - the other effects still have to go
            _log.critical("%s could not be handed over", effect.kind, exc_info=error)
            if isinstance(effect, actions.PlaceOrder):
                self._submit(
                    events.OrderOutcomeUnknown(
                        account=effect.account,
                        symbol=effect.symbol,
                        client_order_id=effect.client_order_id,
                        message=f"not handed over: {error!r}",
                    )
                )

    async def replies(
        self, event: Asked, submit: Callable[[events.Event], None]
    ) -> AsyncIterator[actions.SendReply]:
        """Submit what somebody asks and yield the replies up to the final one."""
        if event.request_id in self._waiting:
            yield _no(event, "a command with this request id is under way")
            return
        waiting: asyncio.Queue[actions.SendReply] = asyncio.Queue()
        self._waiting[event.request_id] = waiting
        try:
            submit(event)
            while True:
                reply = await waiting.get()
                yield reply
                if reply.is_final:
                    return
        finally:
            del self._waiting[event.request_id]

    def refuse(self, event: events.Event, reason: str, *, is_bug: bool = False) -> None:
        """Answer what somebody asked and what will not be handled."""
        if isinstance(event, Asked):
            self.deliver(_no(event, reason, is_bug=is_bug))

    def without_storage(self, effects: Iterable[actions.Effect]) -> list[actions.Effect]:
        """Pick what goes on although it could not be journaled: what lowers risk, and words."""
        kept: list[actions.Effect] = []
        for effect in effects:
            match effect:
                case actions.PlaceOrder(is_protective=False):
                    self._submit(_refused(effect))
                case actions.AddMargin():
                    # Unrecorded, it could be moved a second time after a restart.
                    self._submit(_unmoved(effect, "not sent: the journal takes no writes"))
                case actions.SendReply(document={"decision": _}) if _holds(effect.document):
                    # What is held for it would be forgotten by a restart: nobody may count on it.
                    words = "the journal takes no writes: the approval was not recorded"
                    kept.append(_unready(effect.request_id, words))
                case actions.SendReply():
                    note = f"{effect.message} (not recorded: the journal takes no writes)"
                    kept.append(dataclasses.replace(effect, message=note))
                case (
                    actions.NotifyStrategies(trading_state=TradingState.ACTIVE)
                    | actions.SetDeadMan(timeout_ms=0)
                    | actions.RemoveHaltFile()
                ):
                    _log.error("%s dropped: the journal takes no writes", effect.kind)
                case _:
                    _log.error("%s goes on unjournaled", effect.kind)
                    kept.append(effect)
        return kept


def _no(event: Asked, message: str, *, is_bug: bool = False) -> actions.SendReply:
    if isinstance(event, events.CommandReceived):
        return actions.SendReply(request_id=event.request_id, ok=False, message=message)
    return _unready(event.request_id, message, is_bug=is_bug)


def _unready(request_id: str, message: str, *, is_bug: bool = False) -> actions.SendReply:
    """Answer a strategy that there is no decision: to it that is a denial."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR if is_bug else HTTPStatus.SERVICE_UNAVAILABLE
    document = {"status": status.value}
    return actions.SendReply(request_id=request_id, ok=False, message=message, document=document)


def _holds(document: Any) -> bool:
    """Whether an answer approves new risk; exits go on unrecorded, as all that closes does."""
    order = document.get("order")
    is_approved = document["decision"] != Decision.DENY.value or not document["enforced"]
    return is_approved and order is not None and not order["is_exit"]


def _unmoved(move: actions.AddMargin, message: str) -> events.MarginMoved:
    return events.MarginMoved(
        account=move.account,
        symbol=move.symbol,
        move_id=move.move_id,
        done=False,
        message=message,
    )


def _refused(order: actions.PlaceOrder) -> events.OrderRejected:
    return events.OrderRejected(
        account=order.account,
        symbol=order.symbol,
        client_order_id=order.client_order_id,
        reason=RejectReason.OTHER,
        message="not sent: the journal takes no writes",
    )
