"""What to do: values the engine returns, imperative, journaled before any of them takes effect.

Two kinds in one union. *Effects* leave the core and are dispatched by the runner (`EFFECTS`);
*decisions* change riskbot's own state and are only folded. Both are folded on recovery, never
decided again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from riskbot.core.duty import (
    Alert,
    AlertThread,
    Contact,
    Episode,
    Hold,
    Intent,
    PendingPlan,
    Silence,
)
from riskbot.core.histories import BookSketch, HistoryWanted
from riskbot.core.model import (
    BlindKind,
    OrderType,
    PositionSide,
    Side,
    TimeInForce,
    TradingState,
)
from riskbot.core.ordering import Reservation, Stage

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceOrder:
    """Send one order, once. The client id is deterministic and never used again.

    Attributes:
        quantity: > 0, unit of `Position.quantity`, already rounded down to the step.
        price: limit price on the tick, None for market.
        intent_id: the intent it serves.
        position_before: signed quantity of the position key when decided.
        is_protective: it lowers what is held. What opens a hedge does not: it is dropped while
            nothing can be recorded, and under the HALT file.
        received_ns: monotonic stamp of the frame that caused it (for `riskbot_reaction_seconds`).
        strategy: who asked for it at the gateway, empty = riskbot decided it.
    """

    account: str
    symbol: str
    client_order_id: str
    side: Side
    quantity: Decimal
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    reduce_only: bool = True
    position_side: PositionSide = PositionSide.NET
    is_hedge_mode: bool = False
    intent_id: int = 0
    position_before: Decimal = Decimal(0)
    is_protective: bool = True
    received_ns: int = 0
    strategy: str = ""
    kind: Literal["PlaceOrder"] = "PlaceOrder"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Cancel one working order, plain or conditional. Idempotent, may be sent again."""

    account: str
    symbol: str
    order_id: str
    client_order_id: str | None = None
    is_conditional: bool = False
    intent_id: int = 0
    kind: Literal["CancelOrder"] = "CancelOrder"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOrder:
    """Look an order up by its client id: open, closed, then in trades."""

    account: str
    symbol: str
    client_order_id: str
    order_id: str | None = None
    kind: Literal["QueryOrder"] = "QueryOrder"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshAccount:
    """Read an account over REST now (positions, balances, plain and conditional orders).

    Attributes:
        symbols: also read prices of these over REST (confirmation by another connection).
        is_urgent: for enforcement: ahead of routine reads, from the reserved budget.
        with_ledger: also read the venue's ledger since the last row known.
    """

    account: str
    request_id: int
    reason: str
    symbols: tuple[str, ...] = ()
    is_urgent: bool = False
    with_ledger: bool = False
    kind: Literal["RefreshAccount"] = "RefreshAccount"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDepth:
    """Read the order books of these instruments; what fails stays as it was."""

    account: str
    symbols: tuple[str, ...]
    kind: Literal["ReadDepth"] = "ReadDepth"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHistory:
    """Find daily price history of these underlyings, up to the last day that has ended."""

    wanted: tuple[HistoryWanted, ...]
    kind: Literal["ReadHistory"] = "ReadHistory"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeRisk:
    """Compute slow statistics of these books; a newer question takes the place of one that waits.

    Attributes:
        as_of_ms: when the books were so, UTC ms.
    """

    request_id: int
    as_of_ms: int
    books: tuple[BookSketch, ...]
    kind: Literal["AnalyzeRisk"] = "AnalyzeRisk"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMargin:
    """Move margin from the account's cross pool to one isolated position, once.

    Attributes:
        move_id: `m3`; venues know no id of it, what they answer is matched by this one here.
        scope: of the limit it serves; subject: the position as that limit names it.
        amount: > 0, in units of `asset`, the settle asset.
        margin_before, pnl_before: of the position when decided, to see whether it came.
    """

    account: str
    symbol: str
    move_id: str
    scope: str
    subject: str
    breach_since_ms: int
    asset: str
    amount: Decimal
    amount_usd: float
    margin_before: Decimal
    pnl_before: Decimal
    position_side: PositionSide = PositionSide.NET
    kind: Literal["AddMargin"] = "AddMargin"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAlert:
    """Tell people: `alert` replaces what was told in its message (`Alert.message`) before.

    Attributes:
        is_loud: a new message with sound; else an edit, or a silent message.
        channels: only these; empty = every one.
    """

    alert: Alert
    is_loud: bool = True
    channels: tuple[str, ...] = ()
    kind: Literal["SendAlert"] = "SendAlert"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReply:
    """Answer a command.

    Attributes:
        is_final: False when the command goes on and a later reply ends it (`flatten --wait`).
        document: the JSON document of spec.md section 10 for this command.
        needs_factor: it is done only with a one-time code, or is asked for again with one.
    """

    request_id: str
    ok: bool
    message: str
    document: Any = None
    plan_id: str | None = None
    plan: dict[str, Any] | None = None
    expires_at_ms: int | None = None
    is_final: bool = True
    needs_factor: bool = False
    kind: Literal["SendReply"] = "SendReply"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyStrategies:
    """Tell strategies and the outside the enforced trading state of a scope."""

    scope: str
    trading_state: TradingState
    reason: str
    kind: Literal["NotifyStrategies"] = "NotifyStrategies"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyOrder:
    """Tell a strategy how an order of its own stands; `document` is what the HTTP routes show."""

    reservation_id: str
    strategy: str
    document: dict[str, Any]
    kind: Literal["NotifyOrder"] = "NotifyOrder"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveHaltFile:
    """Delete `<state_dir>/HALT` after `resume`."""

    kind: Literal["RemoveHaltFile"] = "RemoveHaltFile"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDeadMan:
    """Arm, refresh (`timeout_ms` > 0) or disarm (0) the venue's dead-man's switch."""

    account: str
    timeout_ms: int
    symbols: tuple[str, ...] = ()
    kind: Literal["SetDeadMan"] = "SetDeadMan"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyConfig:
    """Go by what was read of the configuration file, as far as that needs no restart.

    Attributes:
        config_hash: of what was read.
        limits, users: as in `events.ConfigRead`: those that hold from now on.
    """

    config_hash: str
    limits: tuple[tuple[str, str, dict[str, Any]], ...]
    users: tuple[tuple[str, str, str], ...]
    kind: Literal["ApplyConfig"] = "ApplyConfig"


# ---------------------------------------------------------------- decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold:
    """Add or replace the hold of (`hold.scope`, `hold.limit`)."""

    hold: Hold
    kind: Literal["PlaceHold"] = "PlaceHold"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropHold:
    """Remove a hold."""

    scope: str
    limit: str
    reason: str
    kind: Literal["DropHold"] = "DropHold"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEpisode:
    """Open or change the episode of (`episode.scope`, `episode.limit`)."""

    episode: Episode
    kind: Literal["SetEpisode"] = "SetEpisode"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndEpisode:
    """The limit is calm again."""

    scope: str
    limit: str
    kind: Literal["EndEpisode"] = "EndEpisode"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetIntent:
    """Open or change an intent."""

    intent: Intent
    kind: Literal["SetIntent"] = "SetIntent"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndIntent:
    """An intent is complete, or was abandoned for the reason given."""

    account: str
    intent_id: int
    outcome: str
    summary: str = ""
    kind: Literal["EndIntent"] = "EndIntent"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAnswered:
    """Shadow: these breaches were answered in words on an account; say it once."""

    account: str
    causes: tuple[tuple[str, str], ...]
    kind: Literal["MarkAnswered"] = "MarkAnswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleOrder:
    """An order of riskbot's needs no more watching: filled, gone, refused, or proven absent.

    Attributes:
        filled: what the position shows of it when the venue does not say, >= 0.
    """

    client_order_id: str
    outcome: str
    filled: Decimal = Decimal(0)
    kind: Literal["SettleOrder"] = "SettleOrder"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleMargin:
    """Margin that was asked for came, or did not; the outcome in words."""

    account: str
    move_id: str
    outcome: str
    is_added: bool
    kind: Literal["SettleMargin"] = "SettleMargin"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBaseline:
    """Positions a halt keeps: smallest abs quantity per key since the halt; None ends it.

    Keys read `account|symbol|side`.
    """

    account: str
    quantities: dict[str, Decimal] | None
    excess_closed_ms: tuple[int, ...] = ()
    is_fighting: bool = False
    kind: Literal["SetBaseline"] = "SetBaseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetContact:
    """Record a limit's first contact, or that it armed."""

    contact: Contact
    kind: Literal["SetContact"] = "SetContact"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookFlow:
    """Move units of an account by a cash flow (USD, > 0 = in); NAV per unit stays.

    Attributes:
        flow_id: `F12`, for `reclassify`.
        source: `ledger`, `settled` (of the ledger too, taken as PnL before), `timeout`,
            `account_added`, `account_removed`.
        navs: NAV per unit of each scope it moves units of, at that moment.
    """

    flow_id: str
    account: str
    amount_usd: float
    source: str
    navs: dict[str, float] = field(default_factory=dict)
    kind: Literal["BookFlow"] = "BookFlow"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookResidual:
    """Take an unexplained part of an account's equity as PnL (fees, liquidation, rounding).

    Attributes:
        flow_id: `F13`, for `reclassify`; from the same counter as flows.
        navs: as of `BookFlow`: where units would move were it a flow.
    """

    account: str
    amount_usd: float
    reason: str
    flow_id: str = ""
    navs: dict[str, float] = field(default_factory=dict)
    kind: Literal["BookResidual"] = "BookResidual"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclassifyFlow:
    """Turn a booked flow into a loss, or a loss into a flow."""

    flow_id: str
    as_loss: bool
    kind: Literal["ReclassifyFlow"] = "ReclassifyFlow"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNav:
    """NAV per unit of a scope at a moment: moves peaks, period starts and the rolling windows.

    Attributes:
        equity_usd: real equity then.
        nav: per unit.
        units: of the scope.
        is_whole: every configured account is part of it: the history before installation,
            which was about all of them, may be taken in.
    """

    scope: str
    equity_usd: float
    nav: float
    units: float
    day_start_ms: int
    week_start_ms: int
    is_whole: bool = False
    kind: Literal["RecordNav"] = "RecordNav"


@dataclass(frozen=True, slots=True, kw_only=True)
class RebaseLoss:
    """`resume`: the enforcement basis of a loss measure becomes NAV now."""

    scope: str
    limit: str
    nav: float
    kind: Literal["RebaseLoss"] = "RebaseLoss"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExposure:
    """A row of the exposure history with its cause.

    Attributes:
        cause: `fill`, `position`, `price`, `balance`, `timer`.
        row: measures by name; None = unknown.
        symbols: whose price moved, for cause `price`.
        prices: empty; once what the next price cause was measured against.
        held: which positions there were, as a digest.
    """

    cause: str
    row: dict[str, float | None]
    symbols: tuple[str, ...] = ()
    prices: dict[str, float] = field(default_factory=dict)
    held: str = ""
    kind: Literal["RecordExposure"] = "RecordExposure"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBlind:
    """Raise or lift a BLIND flag. `subject` is an account or `account|symbol` or empty.

    Attributes:
        equity_usd: of an account when it went out of sight; None = unknown, or in sight.
    """

    what: BlindKind
    subject: str
    is_blind: bool
    reason: str
    equity_usd: float | None = None
    kind: Literal["SetBlind"] = "SetBlind"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAlert:
    """Open or change an alert; whether it is told is `SendAlert`."""

    alert: Alert
    kind: Literal["SetAlert"] = "SetAlert"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropAlert:
    """Forget a condition that did not hold long enough to be told."""

    alert_id: str
    name: str = ""
    scope: str = ""
    kind: Literal["DropAlert"] = "DropAlert"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetThread:
    """Open or change the message that alerts are told in."""

    thread: AlertThread
    kind: Literal["SetThread"] = "SetThread"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropThread:
    """Forget a message that is over."""

    thread_id: str
    kind: Literal["DropThread"] = "DropThread"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSilence:
    """Keep alerts from making a sound."""

    silence: Silence
    kind: Literal["SetSilence"] = "SetSilence"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSilence:
    """Let alerts make a sound again."""

    name: str
    scope: str
    kind: Literal["DropSilence"] = "DropSilence"


@dataclass(frozen=True, slots=True, kw_only=True)
class UseFactor:
    """Take a one-time code: it counts once."""

    actor: str
    step: int
    kind: Literal["UseFactor"] = "UseFactor"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLimit:
    """Let a limit have another value than the configuration's.

    Attributes:
        value: the new `max` or `min`, None = the configuration's again.
        configured: what the configuration said then; when it says something else, that counts.
    """

    scope: str
    limit: str
    value: float | None
    configured: float
    actor: str
    kind: Literal["SetLimit"] = "SetLimit"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTest:
    """Somebody waits for how the channels take a test alert."""

    alert: Alert
    request_id: str
    kind: Literal["StartTest"] = "StartTest"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTest:
    """A test alert is over."""

    alert_id: str
    kind: Literal["EndTest"] = "EndTest"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDigest:
    """The day's digest was told: the next one is due tomorrow."""

    kind: Literal["EndDigest"] = "EndDigest"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPlan:
    """Keep a riskier command until it is confirmed or expires."""

    plan: PendingPlan
    kind: Literal["SetPlan"] = "SetPlan"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPlan:
    """A pending plan was used, refused or expired."""

    plan_id: str
    outcome: str
    kind: Literal["DropPlan"] = "DropPlan"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDecision:
    """One row of the audit: what was seen, against which limit, what was decided, by whom.

    Attributes:
        decision: `hold`, `release`, `flatten`, `reduce`, `hedge`, `cancel`, `deny`, `command`,
            `flow`, `first_contact`, `blind`, `would_<decision>` in shadow.
        inputs: figures it rests on; JSON values.
    """

    decision: str
    limit: str
    scope: str
    reason: str
    actor: str
    inputs: dict[str, Any] = field(default_factory=dict)
    kind: Literal["RecordDecision"] = "RecordDecision"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReservation:
    """Hold exposure for an approved order, or note how it goes on.

    Attributes:
        is_new: it was approved just now, and counts for the order rate.
        takes_id: its client id is the next of riskbot's own.
    """

    reservation: Reservation
    is_new: bool = False
    takes_id: bool = False
    kind: Literal["SetReservation"] = "SetReservation"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndReservation:
    """Let go of what an approval held: its order is over, or never came."""

    reservation_id: str
    stage: Stage
    note: str = ""
    kind: Literal["EndReservation"] = "EndReservation"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowOrder:
    """Let one denied order pass, once and until then; `order_hash` names exactly that order."""

    order_hash: str
    until_ms: int
    actor: str
    kind: Literal["AllowOrder"] = "AllowOrder"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepAnswer:
    """Remember what was answered to a strategy's client id.

    Attributes:
        reservation: id of what was approved, empty = it was denied.
    """

    strategy: str
    client_order_id: str
    fingerprint: str
    document: dict[str, Any]
    reservation: str = ""
    kind: Literal["KeepAnswer"] = "KeepAnswer"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStray:
    """Note an order, or a fill, on an exclusive account that no approval explains.

    Attributes:
        is_over: it was explained after all, or is gone.
        stop_quantity, is_gone: see `ordering.Stray`.
    """

    account: str
    symbol: str
    order_id: str
    client_order_id: str | None
    seen_ms: int
    is_fill: bool = False
    is_told: bool = False
    is_over: bool = False
    stop_quantity: Decimal = Decimal(0)
    is_gone: bool = False
    kind: Literal["SetStray"] = "SetStray"


Effect = (
    PlaceOrder
    | CancelOrder
    | QueryOrder
    | RefreshAccount
    | ReadDepth
    | ReadHistory
    | AnalyzeRisk
    | AddMargin
    | SendAlert
    | SendReply
    | NotifyStrategies
    | NotifyOrder
    | RemoveHaltFile
    | SetDeadMan
    | ApplyConfig
)
"""What the runner dispatches once it is journaled."""

Decision = (
    PlaceHold
    | DropHold
    | SetEpisode
    | EndEpisode
    | SetIntent
    | EndIntent
    | MarkAnswered
    | SettleOrder
    | SettleMargin
    | SetBaseline
    | SetContact
    | BookFlow
    | BookResidual
    | ReclassifyFlow
    | RecordNav
    | RebaseLoss
    | RecordExposure
    | SetBlind
    | SetAlert
    | DropAlert
    | SetThread
    | DropThread
    | SetSilence
    | DropSilence
    | UseFactor
    | SetLimit
    | StartTest
    | EndTest
    | EndDigest
    | SetPlan
    | DropPlan
    | SetReservation
    | EndReservation
    | AllowOrder
    | KeepAnswer
    | SetStray
    | RecordDecision
)
"""What only changes riskbot's own state."""

Action = Effect | Decision
"""Everything the engine may return."""
