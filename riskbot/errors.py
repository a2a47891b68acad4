"""The exception tree: what the operator got wrong, and what the world did.

RiskbotError
├── ConfigError        every fault at once; exit 78
├── UsageError         bad arguments of a command; exit 2
├── VenueError         a venue's refusal or silence, classified; never leaves the edge
├── ChannelError       a channel did not take an alert
├── StrategyError      a strategy was not told, or does not obey
├── StorageError       the journal could not be written; protective effects go on without it
├── CodecError         a journaled record cannot be read, or an event cannot be written
└── FatalError         riskbot cannot go on in this process; exit 70, the supervisor restarts it
"""

from __future__ import annotations

from riskbot.core.model import RejectReason


class RiskbotError(Exception):
    """Base of every error riskbot raises on purpose."""


class ConfigError(RiskbotError):
    """The configuration is wrong.

    Attributes:
        faults: one sentence each, naming field and value.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class UsageError(RiskbotError):
    """A command was called with arguments it does not take."""


class VenueError(RiskbotError):
    """A venue refused a request, or did not answer it.

    Attributes:
        reason: classified by the venue's own code.
        is_ambiguous: the request may have been carried out all the same.
        retry_after_ms: the venue's own wait, None = not stated.
        http_status: of the reply it came from, None = no reply, or not known.
        code: the venue's own, None = none was stated.
    """

    def __init__(
        self,
        reason: RejectReason,
        message: str,
        *,
        is_ambiguous: bool = False,
        retry_after_ms: int | None = None,
        http_status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.is_ambiguous = is_ambiguous
        self.retry_after_ms = retry_after_ms
        self.http_status = http_status
        self.code = code


class ChannelError(RiskbotError):
    """A channel did not take an alert.

    Attributes:
        is_permanent: trying again is useless (bad token, unknown chat).
        retry_after_ms: the channel's own wait, None = not stated.
    """

    def __init__(
        self, message: str, *, is_permanent: bool = False, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.retry_after_ms = retry_after_ms


class StrategyError(RiskbotError):
    """A strategy was not told, or does not obey.

    Attributes:
        is_permanent: trying again soon is useless (wrong password).
        is_ambiguous: what was asked may have been done all the same.
    """

    def __init__(
        self, message: str, *, is_permanent: bool = False, is_ambiguous: bool = False
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.is_ambiguous = is_ambiguous


class StorageError(RiskbotError):
    """The journal could not be written, or not in time."""


class CodecError(RiskbotError):
    """A record has an unknown kind, a newer version, or a value that would not come back."""


class FatalError(RiskbotError):
    """This process cannot go on; exit 70 (crash-only: restart and recover).

    Attributes:
        exit_code: of the process.
    """

    exit_code = 70
