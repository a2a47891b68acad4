"""The contract of the channels room: one method a channel must write."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from riskbot.core.duty import Alert


class Channel(Protocol):
    """A way to tell people."""

    name: str

    async def send(self, alert: Alert, *, is_loud: bool) -> bool | None:
        """Tell, or replace what was told in the same message (`Alert.message`).

        Returns:
            True where it is kept until the quiet hours of everyone there are over.

        Raises:
            ChannelError: not taken; `is_permanent` says whether to try again.
        """
        ...

    async def close(self) -> None:
        """Release sockets."""
        ...


@runtime_checkable
class Selective(Protocol):
    """A channel that does not take everything, such as one that cannot edit what it told."""

    def wants(self, alert: Alert, *, is_loud: bool) -> bool:
        """Return whether this is for the channel at all; what it does not want is no failure."""
        ...
