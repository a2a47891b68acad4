"""What the routes take and answer, as models: they validate, and the OpenAPI document shows them.

What an order comes to is the core's business; here it is only made sure that it is one.
"""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from riskbot.core.model import OrderType, PositionSide, Side
from riskbot.core.ordering import Code, Decision, OrderRequest, Stage, plain
from riskbot.frontends._gateway.body import Unusable
from riskbot.frontends._gateway.refusal import malformed, shown

DIGITS_MAX = 28
LARGEST, SMALLEST = 15, -18
"""Powers of ten a quantity or a price lies between."""

TEXT_MAX, WORDS_MAX = 80, 500

CLIENT_ID = r"^(?!check$)[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$"
"""A strategy's name of an order; `/v1/orders/check` is a route."""

ID_TEXT = re.compile(CLIENT_ID)

_DECIMAL = (
    r"^(?=[0-9.]*[1-9])([0-9]{1,16}(\.[0-9]{1,18})?"
    r"|[1-9](\.[0-9]{1,18})?[eE](-(0?[1-9]|1[0-8])|\+?(0?[0-9]|1[0-5])))$"
)
"""Above 0, from 1e-18 to below 1e16: as written, or with one digit before the point and e."""

_DECIMAL_TEXT = re.compile(_DECIMAL)

# What nobody sees, or what turns a line around: it would not survive a log or a terminal.
_UNSEEN = (
    r"\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u1680\u180e\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u3000\ue000-\uf8ff\ufeff\ufff0-\uffff"
)
_WORD = rf"^[^ {_UNSEEN}]+$"
_WORDS = rf"^[^{_UNSEEN}]*$"
# Half a character is none, and no regular expression of a document can name it.
_WORDS_TEXT = re.compile(rf"[^\ud800-\udfff{_UNSEEN}]*")

MOST = 1e15
"""Largest number in a command, either way."""

_SORTED = json.JSONEncoder(sort_keys=True)

B = TypeVar("B", bound=BaseModel)


def _figure(value: Any) -> Decimal:
    """Take a decimal string, or a number as it was written; raises what pydantic expects."""
    if fault := _figure_fault(value):
        raise _no(fault)
    return Decimal(value)


def _figure_fault(value: Any) -> str:
    if isinstance(value, Unusable):
        return f"must be a finite number of ordinary size, is {value.text}"
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return "must be a decimal string or a number"
    if isinstance(value, str):
        return _text_fault(value)
    number = Decimal(value)
    if number <= 0:
        return "must be above 0"
    if len(number.as_tuple().digits) > DIGITS_MAX:
        return f"has more than {DIGITS_MAX} digits"
    if not SMALLEST <= number.adjusted() <= LARGEST:
        return f"is not between 1e{SMALLEST} and 1e{LARGEST + 1}"
    return ""


def _text_fault(value: str) -> str:
    if not _DECIMAL_TEXT.fullmatch(value):
        return (
            f'must be a decimal string like "0.25", above 0, from 1e{SMALLEST} to 1e{LARGEST + 1}'
        )
    # A point is no digit, and without one there are 16 at most.
    return f"has more than {DIGITS_MAX} digits" if len(value) > DIGITS_MAX + 1 else ""


def _no(words: str) -> PydanticCustomError:
    return PydanticCustomError("riskbot", "{words}", {"words": words})


def _seen(value: str) -> str:
    if not _WORDS_TEXT.fullmatch(value):
        fault = "must be printable text"
        raise _no(fault)
    return value


def _spaceless(value: str) -> str:
    if " " in value:
        fault = "must be text without spaces"
        raise _no(fault)
    return value


def _client_id(value: str) -> str:
    if not ID_TEXT.fullmatch(value):
        fault = f"must look like {CLIENT_ID}"
        raise _no(fault)
    return value


Figure = Annotated[
    Decimal,
    BeforeValidator(_figure),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _DECIMAL, "maxLength": DIGITS_MAX + 1},
                {"type": "number", "minimum": 1e-18, "exclusiveMaximum": 1e16},
            ],
            "description": "decimal string (preferred) or number, above 0",
            "examples": ["0.25"],
        }
    ),
]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-MOST, le=MOST)]
Words = Annotated[
    str,
    Field(max_length=WORDS_MAX, json_schema_extra={"pattern": _WORDS}),
    AfterValidator(_seen),
]
Word = Annotated[
    str,
    Field(min_length=1, max_length=TEXT_MAX, json_schema_extra={"pattern": _WORD}),
    AfterValidator(_seen),
    AfterValidator(_spaceless),
]
ClientId = Annotated[
    str, Field(json_schema_extra={"pattern": CLIENT_ID}), AfterValidator(_client_id)
]
Text = Annotated[str, Field(description="a decimal, as text")]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class OrderBody(_Body):
    """An order as a strategy wishes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"type": {"const": "limit"}}},
            "then": {"required": ["price"], "properties": {"price": {"not": {"type": "null"}}}},
            "else": {"properties": {"price": {"type": "null"}}},
        }
    )

    account: Word = Field(description="name of the account in riskbot's configuration")
    instrument: Word = Field(description="ccxt unified symbol", examples=["BTC/USDT:USDT"])
    side: Literal["buy", "sell"]
    quantity: Figure = Field(description="in base units, above 0")
    type: Literal["market", "limit"]
    price: Figure | None = Field(None, description="of a limit order, quote units")
    stop_loss: Figure | None = Field(None, description="trigger of the stop you will place")
    reduce_only: bool = Field(default=False, description="it may only close")
    position_side: Literal["net", "long", "short"] | None = Field(
        None, description="which position of a hedge-mode account; absent = as the side says"
    )
    client_order_id: ClientId | None = Field(
        None, description="your own name of it; the same again gets the same answer"
    )
    allow_resize: bool = Field(default=False, description="a smaller order will do")

    def fault(self) -> tuple[str, str] | None:
        """Return (field, words) of what does not fit together."""
        if self.type == "limit" and self.price is None:
            return "price", "is missing, a limit order needs one"
        if self.type == "market" and self.price is not None:
            return "price", "is given, but a market order has none"
        return None

    def request(self, strategy: str, *, is_submit: bool) -> OrderRequest:
        """Return it as the core takes it."""
        side = self.position_side
        return OrderRequest(
            strategy=strategy,
            account=self.account,
            symbol=self.instrument,
            side=Side(self.side),
            quantity=self.quantity,
            type=OrderType(self.type),
            price=self.price,
            stop_loss=self.stop_loss,
            reduce_only=self.reduce_only,
            position_side=None if side is None else PositionSide(side),
            client_order_id=self.client_order_id,
            allow_resize=self.allow_resize,
            is_submit=is_submit,
        )

    def fingerprint(self, *, is_submit: bool) -> str:
        """Return the same text for the same meaning, however it was written."""
        said = {
            name: plain(value) if isinstance(value, Decimal) else value
            for name, value in self.__dict__.items()
        }
        said["submit"] = is_submit
        return hashlib.sha256(_SORTED.encode(said).encode()).hexdigest()


class AmendBody(_Body):
    """What is to change of an order; what is absent stays."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("quantity", "price")
            ]
        }
    )

    quantity: Figure | None = Field(None, description="of the whole order, filled included")
    price: Figure | None = Field(None, description="of the limit order, quote units")

    def fault(self) -> tuple[str, str] | None:
        """Return (field, words) of what does not fit together."""
        if self.quantity is None and self.price is None:
            return "quantity", "is missing, and so is price: nothing would change"
        return None


class CommandBody(_Body):
    """Arguments of a command, as the command takes them; `plan_id` carries a plan out."""

    account: Words | None = None
    strategy: Words | None = None
    instrument: Words | None = None
    limit: Words | None = None
    id: Words | None = None
    duration_s: Finite | None = None
    value: Finite | Words | None = None
    reason: Words | None = None
    scenario: Words | None = Field(None, description="of `stress`")
    simulate: Words | None = Field(None, description="of `stress`: BTC -10%, ETH -15%")
    suggest: bool | None = Field(None, description="of `stress`: the trades that would help")
    max: Finite | None = Field(None, description="of `stress`: the loss allowed, share of E")
    plan_id: Words | None = None
    totp: Words | None = Field(
        None, description="code of the authenticator, where one is asked for"
    )


class Reason(BaseModel):
    """One reason why an order is not approved as it was asked for."""

    code: Code
    limit: str | None = Field(description="name of the limit, null = it is none's matter")
    scope: str
    measured: float | None
    allowed: float | None
    message: str


class Order(BaseModel):
    """An order that was approved, as it stands now."""

    client_order_id: str
    reservation_id: str
    strategy: str
    account: str
    instrument: str
    side: Side
    position_side: PositionSide
    quantity: Text
    filled: Text
    type: OrderType
    price: Text | None
    stop_loss: Text | None
    reduce_only: bool
    is_exit: bool
    submitted: bool = Field(description="riskbot placed it; else you do")
    status: Stage
    order_id: str | None = Field(description="the venue's id, null = not seen there yet")
    created_ms: int
    expires_at_ms: int | None = Field(description="when the approval lapses unless it is seen")
    note: str


class Answer(BaseModel):
    """What was decided."""

    decision: Decision
    enforced: bool = Field(description="false = shadow: this is what would have been answered")
    reasons: list[Reason]
    max_quantity: Text | None = Field(description="the largest that passes; null = unbounded")
    client_order_id: str | None = Field(description="the id to send the order with")
    reservation_id: str | None
    expires_at_ms: int | None
    order: Order | None
    order_hash: str | None = Field(
        None, description="of a denied order: what an admin's `override` names"
    )


class Fault(BaseModel):
    """Why there is no document."""

    error: str
    field: str | None = Field(None, description="of the body or the query that is at fault")
    order: Order | None = Field(None, description="the order it is about, as it stands")


class Done(BaseModel):
    """What came of a command."""

    ok: bool
    message: str
    document: Any = None
    final: bool = Field(default=True, description="false = it goes on; the stream tells the rest")
    needs_factor: bool = Field(default=False, description="it wants a `totp`")
    plan_id: str | None = Field(None, description="carry it out with this within the minute")
    plan: dict[str, Any] | None = None
    expires_at_ms: int | None = None


def taken(model: type[B], raw: dict[str, Any]) -> B:
    """Return a body as its model.

    Raises:
        RefusalError: it is none; the field is named.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults = [
            (_named(e["loc"]), e["msg"].removeprefix("Value error, ")) for e in error.errors()
        ]
        words = "; ".join(f"{field or 'the body'}: {message}" for field, message in faults[:10])
        raise malformed(words, faults[0][0] or None) from None


def whole(found: OrderBody | AmendBody) -> None:
    """Refuse a body whose fields do not fit together.

    Raises:
        RefusalError: they do not.
    """
    if fault := found.fault():
        raise malformed(": ".join(fault), fault[0])


def _named(place: tuple[int | str, ...]) -> str:
    # What follows the field's own name is which of its forms did not fit.
    return (shown(place[0]) or '""') if place else ""
