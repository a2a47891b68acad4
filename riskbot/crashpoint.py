"""Labelled places where a test may kill the process; inert without `RISKBOT_CRASH_AT`.

`RISKBOT_CRASH_AT=<label>[:n]` sends SIGKILL at the n-th pass (default 1) of that label. Nothing
else lives here, and nothing here is read from the configuration: only a test sets the variable.
"""

from __future__ import annotations

import os
import signal

LABELS = (
    "event.taken",
    "decision.made",
    "journal.before_write",
    "journal.in_transaction",
    "journal.after_write",
    "state.changed",
    "dispatch.before",
    "dispatch.after",
    "order.before_send",
    "order.after_send",
    "order.acknowledged",
    "cancel.before_send",
    "cancel.after_send",
    "query.before_send",
    "query.after_send",
    "verify.before_read",
    "verify.after_read",
    "checkpoint.before_write",
    "checkpoint.after_write",
    "recovery.folded",
)
"""Every label that some part passes."""

_VARIABLE = "RISKBOT_CRASH_AT"


class _Trigger:
    """Counts passes down to the one that kills."""

    def __init__(self, setting: str) -> None:
        self.label, _, count = setting.partition(":")
        self.left = int(count) if count else 1
        if self.label not in LABELS:
            message = f"{_VARIABLE}: no crash point is called {self.label!r}"
            raise ValueError(message)

    def reach(self, label: str) -> None:
        """Kill this process when the label's turn has come."""
        if label != self.label:
            return
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _inert(label: str) -> None:
    """Do nothing."""


reach = _Trigger(os.environ[_VARIABLE]).reach if os.environ.get(_VARIABLE) else _inert
"""Pass a label."""
