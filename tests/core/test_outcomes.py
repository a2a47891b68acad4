"""Orders in flight: lost, late, resting, refused for what rests against them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from riskbot.core import actions, events
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.model import OrderStatus, RejectReason, Response
from tests import builders
from tests.core.world import World, world

DRAWDOWN = Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True)


class Silent(World):
    """A venue that takes orders and says nothing more of them by itself.

    Attributes:
        rests: orders rest instead of being filled.
        hides: queries find nothing.
    """

    rests = False
    hides = False

    def _place(self, order: actions.PlaceOrder) -> list[events.Event]:  # type: ignore[override]
        if not self.rests:
            self.sent.append(order)
            list(self.trade(order.account, order, order.quantity))
            if self.hides:
                self.known.pop(order.client_order_id)
            return []
        self.sent.append(order)
        self.known[order.client_order_id] = builders.order(
            order.symbol,
            order.side,
            order.quantity,
            order_id=f"r{len(self.sent)}",
            client_order_id=order.client_order_id,
        )
        return [
            events.OrderAccepted(
                account=order.account,
                symbol=order.symbol,
                client_order_id=order.client_order_id,
                order_id=f"r{len(self.sent)}",
            )
        ]

    def _cancel(self, action: actions.CancelOrder) -> events.CancelFinished:
        for order_id, order in self.known.items():
            if order.order_id == action.order_id:
                self.known[order_id] = builders.order(
                    order.symbol,
                    order.side,
                    order.quantity,
                    order_id=order.order_id,
                    client_order_id=order_id,
                    status=OrderStatus.CANCELED,
                )
        return super()._cancel(action)


def falling(kind: type[World] = Silent, **fields: object) -> World:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)}, kind=kind)
    for name, value in fields.items():
        setattr(made, name, value)
    made.price(BTC=42_000)
    return made


def settled(made: World) -> list[str]:
    return [a.outcome for a in made.of(actions.SettleOrder)]


def test_order_when_nothing_is_heard_is_looked_up() -> None:
    made = falling()
    made.wait(10)
    assert len(made.sent) == 1
    assert settled(made) == ["filled"]
    assert not made.engine.state.enforcement.intents


def test_order_when_no_look_up_finds_it_but_the_position_moved_is_settled_by_that() -> None:
    made = falling(hides=True)
    made.wait(20)
    assert len(made.sent) == 1
    assert settled(made) == ["seen in the position"]
    assert not made.engine.state.enforcement.intents


def test_order_when_it_rests_is_cancelled_once_and_priced_anew() -> None:
    made = falling(rests=True)
    # A busy venue is given time for a market order: another would stand behind it.
    made.wait(10)
    assert not made.of(actions.CancelOrder)
    made.wait(4)
    (cancel,) = made.of(actions.CancelOrder)
    assert cancel.order_id == "r1"
    made.wait(3)
    assert len(made.sent) >= 2
    made.rests = False  # type: ignore[attr-defined]
    made.wait(30)
    assert made.quantity("BTC") == 0
    assert len({o.client_order_id for o in made.sent}) == len(made.sent)


def test_order_update_moves_what_is_filled_and_settles_it() -> None:
    made = falling(rests=True)
    (order,) = made.sent
    update = builders.order(
        order.symbol,
        order.side,
        order.quantity,
        order_id="r1",
        client_order_id=order.client_order_id,
        filled=1,
    )
    made.give(events.OrderUpdated(account="main", order=update))
    assert made.engine.state.enforcement.pending[order.client_order_id].filled == 1
    done = builders.order(
        order.symbol,
        order.side,
        order.quantity,
        order_id="r1",
        client_order_id=order.client_order_id,
        filled=1,
        status=OrderStatus.CANCELED,
    )
    made.give(events.OrderUpdated(account="main", order=done))
    assert settled(made) == ["filled"]


def test_reply_when_its_order_is_settled_already_changes_nothing() -> None:
    made = falling(World)
    for event in (
        events.OrderRejected(
            account="main", symbol="X", client_order_id="gone", reason=RejectReason.OTHER
        ),
        events.OrderOutcomeUnknown(account="main", symbol="X", client_order_id="gone"),
        events.OrderQueried(account="main", symbol="X", client_order_id="gone", found=None),
        events.CancelFinished(account="main", symbol="X", order_id="gone", done=False),
    ):
        made.give(event)
    made.engine.fold(actions.SettleOrder(client_order_id="gone", outcome="x"), made.now_ms)
    made.engine.fold(
        actions.QueryOrder(account="main", symbol="X", client_order_id="gone"), made.now_ms
    )
    made.engine.fold(actions.EndIntent(account="main", intent_id=999, outcome="late"), made.now_ms)
    assert not made.engine.state.enforcement.pending


def test_order_when_its_id_is_known_to_the_venue_is_looked_up_not_sent_again() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)}, kind=Silent)
    made.rests = True  # type: ignore[attr-defined]
    made.price(BTC=42_000)
    (order,) = made.sent
    made.give(
        events.OrderRejected(
            account="main",
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            reason=RejectReason.DUPLICATE_ID,
        )
    )
    assert made.of(actions.QueryOrder)
    assert len(made.sent) == 1


def test_order_when_exits_rest_against_it_cancels_them_first() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    leave = made.rest("BTC", "sell", "2", price=60_000, reduce_only=True)
    made.read()
    made.refuse.append(RejectReason.REDUCE_ONLY)
    made.price(BTC=42_000)
    made.wait(5)
    assert leave.order_id not in made.orders["main"]
    assert made.quantity("BTC") == 0


def test_refusal_when_the_flatten_was_absorbed_leaves_the_new_one_alone() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)}, kind=Silent)
    made.rests = True  # type: ignore[attr-defined]
    made.price(BTC=42_000)
    (order,) = made.sent
    made.confirm("flatten")
    made.give(
        events.OrderRejected(
            account="main",
            symbol=order.symbol,
            client_order_id=order.client_order_id,
            reason=RejectReason.OTHER,
        )
    )
    intent = made.engine.state.enforcement.intents["main"]
    assert all(target.tries == 0 for target in intent.targets)


def test_cancel_when_the_venue_does_not_confirm_is_tried_again_until_gone() -> None:
    made = world(DRAWDOWN, held={"BTC": (1, 50_000)})
    made.rest("BTC", "buy", "1", price=40_000)
    made.read()
    made.keep = 3
    made.command("halt")
    made.wait(15)
    assert len(made.of(actions.CancelOrder)) == 4
    assert not made.orders["main"]
    assert not made.engine.state.enforcement.intents


def test_order_that_is_lost_before_it_was_sent_is_sent_again_under_another_id() -> None:
    made = falling(hides=True)
    assert made.sent[0].client_order_id == "rbtest1"
    again = world(DRAWDOWN, held={"BTC": (2, 50_000)})
    again.die_after = 0
    again.price(BTC=42_000)
    again.die_after = -1
    again.restart()
    again.price()
    again.read()
    again.wait(20)
    assert again.quantity("BTC") == Decimal(0)
    assert [o.client_order_id for o in again.sent] == ["rbtest2"]


class Mute(Silent):
    """A venue that answers no question about an order.

    Attributes:
        drops: orders that never arrive, their answer lost all the same.
    """

    drops = 0

    def _carry_out(self, action: actions.Action) -> Iterable[events.Event]:
        if isinstance(action, actions.QueryOrder):
            yield events.OrderQueried(
                account=action.account,
                symbol=action.symbol,
                client_order_id=action.client_order_id,
                found=None,
            )
        else:
            yield from super()._carry_out(action)

    def _place(self, order: actions.PlaceOrder) -> list[events.Event]:  # type: ignore[override]
        if not self.drops:
            return super()._place(order)
        self.sent.append(order)
        self.drops -= 1
        return [
            events.OrderOutcomeUnknown(
                account=order.account, symbol=order.symbol, client_order_id=order.client_order_id
            )
        ]


def test_order_when_no_question_about_it_is_answered_is_settled_by_its_position() -> None:
    made = falling(Mute)
    made.wait(29)
    assert not settled(made)
    made.wait(5)
    assert len(made.sent) == 1
    assert settled(made) == ["seen in the position"]
    assert not made.engine.state.enforcement.intents


def test_order_when_it_never_arrived_and_nobody_says_so_is_sent_anew_by_another_id() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)}, kind=Mute)
    made.drops = 1  # type: ignore[attr-defined]
    made.price(BTC=42_000)
    made.wait(29)
    assert len(made.sent) == 1
    made.wait(40)
    assert len({order.client_order_id for order in made.sent}) == len(made.sent) == 2
    assert settled(made)[0] == "absent"
    assert made.quantity("BTC") == 0


def test_order_when_it_is_among_the_working_ones_is_not_given_up() -> None:
    made = world(DRAWDOWN, held={"BTC": (2, 50_000)}, kind=Mute)
    made.rests = True  # type: ignore[attr-defined]
    made.keep = 1_000
    made.price(BTC=42_000)
    (order,) = made.sent
    made.orders["main"] = {"r1": made.known[order.client_order_id]}
    made.wait(60)
    assert made.sent == [order]
    assert not settled(made)
