"""What people are told of cash flows, and the venue's ledger asked for when one is pending."""

from __future__ import annotations

from riskbot.core import actions, alerts
from riskbot.core.model import Level, account_scope
from riskbot.core.turn import Turn

ASK_EVERY_MS = 5_000


def tell(turn: Turn, action: actions.Action) -> None:
    """Write a booking into the audit; tell people of one that was guessed."""
    if isinstance(action, actions.BookFlow):
        scope = account_scope(action.account)
        reason = f"{action.flow_id} {action.source}"
        turn.audit("flow", "", scope, reason, amount_usd=action.amount_usd)
        if action.source == "timeout":
            alerts.once(
                turn,
                "flow_unexplained",
                scope,
                Level.ORANGE,
                f"{action.amount_usd:+,.2f} USD moved on {action.account} without a ledger row",
                text="booked as a deposit or withdrawal after 60 s",
                did=f"counted as a cash flow, {action.flow_id}",
                todo=f"if it was a loss: reclassify {action.flow_id} loss",
            )
    elif isinstance(action, actions.BookResidual):
        scope = account_scope(action.account)
        turn.audit("residual", "", scope, action.reason, amount_usd=action.amount_usd)


def ask(turn: Turn) -> None:
    """Ask the venue's ledger about every unexplained change of equity."""
    for account in sorted(turn.settings.accounts):
        scope = account_scope(account)
        if not turn.state.has_pending_flow(account):
            alerts.resolve(turn, "flow_pending", scope, "explained")
            continue
        alerts.tell(
            turn,
            "flow_pending",
            scope,
            Level.YELLOW,
            f"an unexplained change of equity on {account}",
            did="no entries there and no closing because of it until the ledger explains it",
        )
        if turn.now_ms - turn.state.last_request_ms(account) >= ASK_EVERY_MS:
            turn.emit(
                actions.RefreshAccount(
                    account=account,
                    request_id=turn.state.next_request_id(),
                    reason="pending flow",
                    with_ledger=True,
                )
            )
