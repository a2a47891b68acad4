"""What riskbot itself keeps track of: holds, episodes, intents, alerts, plans awaiting a yes.

Plain data. Who changes it: `enforcement`, `alerts` and `commands`, by way of `actions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from riskbot.core.model import Level, PositionKey, Response, TradingState

OPERATOR = "operator"
"""The limit name of a hold that a person placed."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason why a scope may not take new risk.

    Attributes:
        limit: name of the limit, or `operator`.
        scope: `portfolio`, `account:<name>`, `strategy:<name>`.
        state: what it sets; ACTIVE for a measure hold (see `keys`).
        is_latched: only `resume` drops it.
        is_enforced: False in shadow: it is shown as what would be.
        keys: a measure hold's keys (underlyings, sectors, instruments, `+`/`-` for a direction);
            only orders that raise these keys' measure are denied. Empty = all entries.
        until_ms: calendar hold: drops at this day's start; None = by utilization or by resume.
        clear_since_ms: since when utilization has been at or below the clearing level.
        is_proven: False while no second source has shown the breach: dropped as soon as it is
            clear, for then it was none.
    """

    limit: str
    scope: str
    state: TradingState
    since_ms: int
    reason: str
    is_latched: bool = False
    is_enforced: bool = True
    keys: tuple[str, ...] = ()
    until_ms: int | None = None
    clear_since_ms: int | None = None
    is_proven: bool = True


class EpisodeStage(StrEnum):
    """Where one enforcement of one limit stands."""

    APPROACHING = "approaching"
    WAITING = "waiting"
    ASKING = "asking"
    UNCONFIRMED = "unconfirmed"
    DISAGREEING = "disagreeing"
    ACTING = "acting"
    CLEARING = "clearing"


@dataclass(frozen=True, slots=True)
class Episode:
    """One limit of one scope from its first warning back to calm.

    Attributes:
        level: of the worst verdict now.
        stage: WAITING for `start_after_s`; ASKING at first contact; UNCONFIRMED until two sources
            show the breach; DISAGREEING when sources differ by 1 % or more.
        keys: keys in breach (or nearest to it).
        response: what it runs now; `then` may have raised it above the limit's `on_breach`.
        breach_since_ms: None while not in breach.
        deadline_ms: end of the adjustment window, None = none.
        keys_ms: when a key last joined the breach.
    """

    scope: str
    limit: str
    level: Level
    stage: EpisodeStage
    since_ms: int
    measured: float | None
    allowed: float
    utilization: float | None
    worst: float | None
    response: Response
    keys: tuple[str, ...] = ()
    breach_since_ms: int | None = None
    deadline_ms: int | None = None
    keys_ms: int = 0
    disagree_since_ms: int | None = None
    is_overdue: bool = False
    note: str = ""


class IntentKind(StrEnum):
    """What an intent brings about on one account, strongest first."""

    FLATTEN = "flatten"
    REDUCE = "reduce"
    HEDGE = "hedge"
    BASELINE = "baseline"
    CANCEL = "cancel"


class IntentPhase(StrEnum):
    """Steps of an intent, in order; a step back to READ is normal."""

    CANCEL = "cancel"
    READ = "read"
    CLOSE = "close"
    VERIFY = "verify"
    DONE = "done"


class Rung(StrEnum):
    """Rungs of the closing ladder of one position key."""

    MARKET = "market"
    IOC = "ioc"
    CHASE = "chase"
    PAGE = "page"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one position key must end.

    Attributes:
        quantity: signed target, unit of `Position.quantity`; never across zero from the present.
        tries: orders sent and settled since one last filled, on this rung.
        refused_ms: when the venue last refused one, None = never.
        not_before_ms: wait until then (Retry-After, maintenance).
        note: why it is kept or stuck; shown to people.
        rounds: orders sent and settled so far in all.
        kept: True when it will not be closed (`hold`, locked, dust, leg of a kept pair).
    """

    key: PositionKey
    quantity: Decimal
    rung: Rung = Rung.MARKET
    tries: int = 0
    refused_ms: int | None = None
    not_before_ms: int = 0
    note: str = ""
    kept: bool = False
    rounds: int = 0


def cause(kind: IntentKind, limit: str) -> str:
    """Return what an intent calls its cause: `flatten:drawdown`."""
    return f"{kind.value}:{limit}"


def approach_cause(limit: str) -> str:
    """Return the cause of a reduce before the limit breaks: `reduce:approach:gross_exposure`."""
    return cause(IntentKind.REDUCE, f"{_APPROACH}{limit}")


def is_approach(label: str) -> bool:
    """Whether a cause is a limit that is neared, not broken."""
    return f":{_APPROACH}" in label


def cause_limit(label: str) -> str:
    """Return the limit behind a cause."""
    return label.rpartition(":")[2]


_APPROACH = "approach:"


@dataclass(frozen=True, slots=True)
class Intent:
    """One piece of enforcement on one account, journaled before its first order.

    Attributes:
        intent_id: counter, unique for the journal.
        causes: (scope, cause) of the breaches it serves; (`scope`, `operator`) for a command.
        actor: who asked; `riskbot` for its own.
        cancel_symbols: entries to cancel: None = all of the account, else these symbols.
        cancel_keys: only entries that raise one of these keys (underlying, sector, group,
            instrument, `+` for buys, `-` for sells); empty = any.
        has_canceled: something was cancelled: a read must show it gone.
        flat_reads: consecutive reads that showed all targets met.
        request_id: of the read it waits for, None = none.
        reply_to: request id of the command that waits for the end, None = none.
    """

    intent_id: int
    kind: IntentKind
    account: str
    causes: tuple[tuple[str, str], ...]
    actor: str
    phase: IntentPhase
    started_ms: int
    targets: tuple[Target, ...] = ()
    cancel_symbols: tuple[str, ...] | None = None
    cancel_keys: tuple[str, ...] = ()
    has_canceled: bool = False
    flat_reads: int = 0
    last_read_ms: int = 0
    request_id: int | None = None
    deadline_ms: int | None = None
    is_paged: bool = False
    reply_to: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """An order of riskbot's from the moment it is decided until the venue settled it.

    Attributes:
        quantity: > 0, unit of `Position.quantity`.
        is_unknown: the answer was lost; `queries` by client id so far returned nothing.
        mute: look-ups by client id in a row that got no answer.
        position_before: signed quantity of the key when it was decided (to judge by delta).
        is_hedge: it opens or trims a hedge, whatever becomes of its intent; is_market: no price.
    """

    account: str
    symbol: str
    client_order_id: str
    key: PositionKey
    sign: int
    quantity: Decimal
    sent_ms: int
    intent_id: int
    position_before: Decimal
    order_id: str | None = None
    filled: Decimal = Decimal(0)
    is_unknown: bool = False
    queries: int = 0
    next_query_ms: int = 0
    is_resting: bool = False
    is_hedge: bool = False
    mute: int = 0
    is_market: bool = False


class AlertStatus(StrEnum):
    """Life of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing people are told of, from firing to resolved.

    Attributes:
        alert_id: short and speakable: `A17`; empty while pending.
        revision: grows with each change that is told; as told, its message's.
        did: what riskbot did; todo: what the reader can do.
        level_ms: since when it has stood at this level or a worse one.
        group, repeats, escalation, loud_at_ms: as told: of its message, see `AlertThread`.
        yellow_ms, orange_ms: since when the condition has been at least so grave, None = is not.
        below_ms: since when the condition has been less grave than the alert, None = is not.
        acked_used: share of the limit that was used when it was taken.
        is_flapping: it was raised too often lately to be believed when it ends.
        is_urgent: riskbot has acted on it: people are told without waiting.
        is_notice: it is over as soon as it is told: nothing can be taken or silenced.
        thread: as told: id of the message it stands in, which is edited through its life.
        also: as told: one line for each other alert of the same message, the gravest first.
        timeline: (ms, what became of it), oldest first.
    """

    alert_id: str
    revision: int
    level: Level
    status: AlertStatus
    name: str
    scope: str
    title: str
    text: str
    since_ms: int
    updated_ms: int
    measured: float | None = None
    allowed: float | None = None
    worst: float | None = None
    worst_level: Level = Level.OK
    did: str = ""
    todo: str = ""
    group: str = ""
    acked_by: str | None = None
    acked_ms: int | None = None
    loud_at_ms: int = 0
    level_ms: int = 0
    repeats: int = 0
    escalation: int = 0
    resolved_ms: int | None = None
    yellow_ms: int | None = None
    orange_ms: int | None = None
    below_ms: int | None = None
    acked_used: float | None = None
    is_flapping: bool = False
    is_urgent: bool = False
    is_notice: bool = False
    thread: str = ""
    also: tuple[str, ...] = ()
    timeline: tuple[tuple[int, str], ...] = ()

    @property
    def message(self) -> str:
        """Id of the message it is told in: what channels replace, count and confirm."""
        return self.thread or self.alert_id


@dataclass(frozen=True, slots=True)
class AlertThread:
    """One message to people, edited through its life: the alerts of one cause.

    Attributes:
        thread_id: id of its first alert.
        group: scope and family of its alerts; one thread of a group is open at a time.
        revision: grows with each time it is told.
        told: fingerprint of what it said last.
        called: gravest level that was called out aloud and still stands; called_ms: since when.
        red: ids of the red alerts that were called out.
        loud_ms: when it last made a sound; loud_revision: at which revision.
        members: ids of all alerts that ever stood in it.
        delivered: newest revision each channel confirmed; held: channels that keep it till morning.
        is_over: every alert of it is resolved.
    """

    thread_id: str
    group: str
    revision: int = 0
    told: str = ""
    called: Level = Level.OK
    called_ms: int = 0
    red: tuple[str, ...] = ()
    loud_ms: int = 0
    loud_revision: int = 0
    repeats: int = 0
    escalation: int = 0
    members: tuple[str, ...] = ()
    worst_level: Level = Level.OK
    delivered: dict[str, int] = field(default_factory=dict)
    is_over: bool = False
    updated_ms: int = 0
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that make no sound for a while; their level and their end are shown all the same.

    Attributes:
        name, scope: of the alerts; `*` = every one.
        max_level: gravest level that is kept silent; what becomes worse calls out.
    """

    name: str
    scope: str
    until_ms: int
    actor: str
    max_level: Level
    since_ms: int


@dataclass(frozen=True, slots=True)
class PendingPlan:
    """A riskier command that waits for its second step.

    Attributes:
        plan: what it would do, shown to the person; bound to the facts then.
        fingerprint: of those facts; when they moved, the person is asked again.
    """

    plan_id: str
    command: str
    args: dict[str, Any]
    actor: str
    created_ms: int
    expires_ms: int
    plan: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """First contact of one limit with one scope, and the accounts in it, in enforce.

    Attributes:
        allowed: the limit's value then; tightened below the present measure = contact anew.
        is_armed: False while a breach that stood at first contact has not cleared yet.
        accounts: those it has met; empty = all that are configured.
        waiting: of them, those that came while a breach stood, and that has not cleared yet.
    """

    scope: str
    limit: str
    allowed: float
    is_armed: bool
    accounts: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
