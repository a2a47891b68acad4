"""What a channel's receipt changes in the message it is for. Who is told what is in `threads`."""

from __future__ import annotations

from dataclasses import replace

from riskbot.core import events
from riskbot.core.duty import AlertThread


def with_receipt(thread: AlertThread, receipt: events.AlertDelivered) -> AlertThread:
    """Return a message as it is once a channel has taken a newer revision of it.

    Args:
        thread: the message.
        receipt: of a revision that is newer than the last one the channel took.
    """
    name = receipt.channel
    held = tuple(other for other in thread.held if other != name)
    return replace(
        thread,
        delivered={**thread.delivered, name: receipt.revision},
        held=(*held, name) if receipt.is_held else held,
    )
