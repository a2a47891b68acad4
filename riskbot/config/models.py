"""The configuration's sections as models: types, defaults, units and why, one field per key.

What one key means for another is checked in `check`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from riskbot.config.secret import Secret
from riskbot.core.limits.presets import PresetName
from riskbot.core.settings import CapitalBasis, DeadManPolicy, SpotPolicy, StartupBreach
from riskbot.exchanges._base import Credentials


def _off_is_none(value: object) -> object:
    return None if value is False or value == "off" else value


def _off_is_text(value: object) -> object:
    return "off" if value is False else value


def _off_is_empty(value: object) -> object:
    return {} if value is False or value == "off" or value is None else value


Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
OffPositive = Annotated[float | None, Field(gt=0), BeforeValidator(_off_is_none)]
OffCount = Annotated[int | None, Field(ge=1, le=1_000), BeforeValidator(_off_is_none)]
OffShare = Annotated[float | None, Field(gt=0, le=1), BeforeValidator(_off_is_none)]
# One order of a levered account may be worth more than its equity, but 3 was meant in percent.
OffMultiple = Annotated[float | None, Field(gt=0, le=2.5), BeforeValidator(_off_is_none)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Symbol = Annotated[str, Field(pattern=r"^[^/\s|]+/[^/\s|]+$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
RoleName = Literal["viewer", "operator", "admin"]
LevelName = Literal["yellow", "orange", "red"]
Market = Literal["spot", "linear", "inverse", "option"]
RawLimits = Annotated[dict[str, Any], BeforeValidator(_off_is_empty)]


class Section(BaseModel):
    """Base of every section: a key it does not know is a fault."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


class DeadManConfig(Section):
    """The venue's own dead-man's switch, refreshed while riskbot is well."""

    policy: Annotated[DeadManPolicy, BeforeValidator(_off_is_text)] = Field(
        "off", description="entries_only arms it only while no protective order would be cancelled"
    )
    timeout_s: float = Field(60.0, ge=10, le=3600, description="after which the venue cancels")


class OrdersConfig(Section):
    """Checks of a single order at the gateway; `off` takes one out."""

    max_trade: OffMultiple = Field(0.10, description="quantity * price over E, of the order alone")
    max_trade_risk: OffShare = Field(0.02, description="abs(price - stop) * quantity over E")
    max_correlation: OffShare = Field(
        0.8, description="of an order's daily returns with the book's; unknown passes"
    )
    target_volatility: OffPositive = Field(
        None, description="annualised, as a share: new risk is scaled by target over EWMA"
    )
    price_collar: OffShare = Field(0.03, description="limit price away from the mark")
    max_order_value: OffPositive = Field(None, description="USD")
    max_order_quantity: dict[Symbol, Positive] = Field(
        default_factory=dict, description="by instrument, base units (inverse: face value)"
    )
    order_rate: OffPositive = Field(60.0, description="orders per minute")
    duplicate_window_s: float = Field(
        0.0, ge=0, description="like orders within it are denied; 0 = off (ids are always checked)"
    )
    require_stop: bool = Field(default=False, description="deny an entry without stop_loss")
    max_repeats: OffCount = Field(
        None,
        description="entries of one strategy, instrument and side within repeat_window_s; one more"
        " disables the strategy until `resume`",
    )
    repeat_window_s: float = Field(60.0, gt=0, le=86_400, description="of max_repeats")
    max_losing_trips: OffCount = Field(
        None, description="losing round trips in a row that disable a strategy until `resume`"
    )


class AccountConfig(Section):
    """One account: credentials at one exchange."""

    exchange: str = Field(description="a ccxt.pro id, or paper")
    api_key: Secret | None = Field(None, description="without withdrawal rights, bound to an IP")
    api_secret: Secret | None = Field(None, description="of the key")
    api_password: Secret | None = Field(None, description="where the venue has one (passphrase)")
    wallet_address: Secret | None = Field(None, description="venues of the chain")
    private_key: Secret | None = Field(None, description="venues of the chain")
    markets: list[Market] | None = Field(
        None,
        description="spot, linear, inverse, option; default: what the id implies. At a venue"
        " without a file of its own it also says which wallet is read",
    )
    ccxt: dict[str, Any] = Field(
        default_factory=dict,
        description="handed to the ccxt constructor as it is: urls, options, proxies, sandbox",
    )
    spot: SpotPolicy = Field("hold", description="hold: coins are measured, never sold; trade")
    instruments: list[Symbol] = Field(
        default_factory=list, description="allow-list; empty = all the venue lists"
    )
    exclusive: bool = Field(default=False, description="every order must come through riskbot")
    deny_by_cancel: bool = Field(
        default=False, description="cancel entries that appear while denied"
    )
    cancel_rogue: bool = Field(
        default=False, description="cancel orders that match no approval (needs exclusive)"
    )
    allow_withdraw_keys: bool = Field(
        default=False, description="accept a key that may withdraw or transfer"
    )
    dead_man: DeadManConfig = DeadManConfig()
    orders: OrdersConfig = OrdersConfig()
    limits: RawLimits = Field(default_factory=dict, description="of this account alone")

    def credentials(self) -> Credentials:
        """Return the credentials as the exchanges room takes them, still hidden."""
        return Credentials(
            api_key=self.api_key or "",
            api_secret=self.api_secret or "",
            password=self.api_password,
            wallet_address=self.wallet_address,
            private_key=self.private_key,
        )


class OffExchangeConfig(Section):
    """What is owned outside the venues, for `capital: aum` and the share held on exchanges."""

    usd: float = Field(0.0, ge=0, description="USD")
    assets: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="asset units, valued at the asset's price"
    )


class HedgeConfig(Section):
    """Where one underlying is hedged."""

    account: str = Field(description="account of the hedge")
    instrument: Symbol = Field(description="its own: a one-way instrument is not traded besides")
    max_usd: Positive = Field(description="largest abs(notional) of the hedge, USD")
    beta: bool = Field(
        default=False, description="may hedge other underlyings too, weighted by beta"
    )


class PairLegConfig(Section):
    """One leg of a hedged pair."""

    account: str = Field(description="account of the leg")
    instrument: Symbol = Field(description="its instrument")


class PairConfig(Section):
    """A hedged pair; unnamed ones are found by themselves."""

    name: Name = Field(description="of the pair")
    legs: list[PairLegConfig] = Field(min_length=2, description="two or more")


class PortfolioConfig(Section):
    """All accounts together."""

    preset: PresetName = Field(description="what the limits start from")
    capital: CapitalBasis = Field(
        "equity", description="denominator of exposure ratios: equity, aum (+ off_exchange), fixed"
    )
    capital_usd: Positive | None = Field(None, description="with capital: fixed, USD")
    off_exchange: OffExchangeConfig = OffExchangeConfig()
    limits: RawLimits = Field(default_factory=dict, description="over the preset's; see above")
    sectors: dict[str, list[str]] = Field(
        default_factory=dict, description="underlyings by sector, over the shipped map"
    )
    groups: dict[Name, list[str]] = Field(
        default_factory=dict, description="underlyings by group, for group_exposure"
    )
    hedges: dict[str, HedgeConfig] = Field(
        default_factory=dict, description="by underlying; a hedge response needs one"
    )
    assume_stop: Share = Field(
        0.10, description="how far an unprotected position is assumed to run, share of its mark"
    )
    orders: OrdersConfig = OrdersConfig()
    pairs: list[PairConfig] = Field(default_factory=list, description="hedged pairs by name")
    peak_usd: Positive | None = Field(None, description="high-water mark before installation, USD")
    initial_capital_usd: Positive | None = Field(None, description="capital at the very start, USD")
    clear_for_s: float = Field(
        300.0, ge=0, description="calm before an unlatched hold drops, seconds"
    )
    max_depth_share: Share = Field(
        0.25,
        description="of the depth read within 1 % of the touch that one closing slice may take",
    )


class MonitorConfig(Section):
    """How closely things are watched."""

    price_move: Share = Field(0.02, description="move of a held instrument that is recorded")
    price_stale_s: float = Field(5.0, gt=0, le=600, description="older is no price, seconds")
    account_stale_s: float = Field(15.0, gt=0, le=600, description="silence, then BLIND, seconds")
    reconcile_s: float = Field(10.0, ge=1, le=600, description="routine REST read, seconds")
    dust_usd: float = Field(5.0, ge=0, description="worth less is dust, USD")


class HttpConfig(Section):
    """The HTTP server: gateway, dashboard, metrics."""

    listen: str = Field(
        "127.0.0.1:8700", pattern=r"^\S+:\d{1,5}$", description="host:port; keep it on loopback"
    )
    viewer_token: Secret | None = Field(None, description="may look")
    operator_token: Secret | None = Field(None, description="may halt, cancel, ack, silence")
    admin_token: Secret | None = Field(None, description="may do everything")
    investor_token: Secret | None = Field(None, description="sees the investor view alone")


class StrategyConfig(Section):
    """One strategy at the gateway."""

    token: Secret | None = Field(None, description="it shows at the gateway")
    hmac_secret: Secret | None = Field(
        None, description="its requests must be signed with it too, 32 characters or more"
    )
    request_rate: int = Field(
        600, ge=1, description="requests a minute, beyond them 429; no cancel or exit counts"
    )
    accounts: list[str] = Field(min_length=1, description="where it may trade")
    capital_usd: Positive | None = Field(None, description="its E, for its ratio limits, USD")
    limits: RawLimits = Field(default_factory=dict, description="of this strategy alone")
    orders: OrdersConfig = OrdersConfig()
    probation: OrdersConfig | None = Field(
        None,
        description="a new strategy, or version: what is given here counts beside `orders`, the"
        " stricter of both, until it is taken out",
    )


class GatewayConfig(Section):
    """Strategies that ask before they trade."""

    strategies: dict[Name, StrategyConfig] = Field(
        default_factory=dict, description="by name, each with its token"
    )


class TelegramConfig(Section):
    """The Telegram frontend."""

    token: Secret | None = Field(None, description="of the bot")
    api_base_url: Url = Field("https://api.telegram.org", description="a local Bot API server's")
    users: dict[int, RoleName] = Field(
        default_factory=dict, description="role by numeric user id; nobody else is heard"
    )
    groups: list[int] = Field(default_factory=list, description="chats that alerts also go to")
    totp_secret: Secret | None = Field(None, description="base32; asked for the riskiest commands")
    flatten_totp: Literal["never", "unless_red", "always"] = Field(
        "never",
        description="when a flatten asks for a code, too: never, while nothing is red, always",
    )
    second_contacts: list[int] = Field(
        default_factory=list,
        description="users who hear of alerts only once nobody took them in time",
    )
    quiet_hours: str | None = Field(
        None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
        description="HH:MM-HH:MM: all but red is held until they end; each person may set others",
    )


class NotifyConfig(Section):
    """One more channel for alerts: any apprise URL."""

    url: Secret | None = Field(None, description="apprise URL")
    min_level: LevelName = Field("orange", description="lowest level that is sent")
    digest: bool = Field(default=False, description="the daily digest, too, at 08:00 in `timezone`")


class WebhookConfig(Section):
    """A URL that is told of alerts and trading states."""

    url: Url = Field(description="posted to")
    secret: Secret | None = Field(None, description="signs the body (HMAC)")


class FreqtradeConfig(Section):
    """A freqtrade bot that is told to stop buying."""

    url: Url = Field(description="of its REST API")
    username: str = Field(description="of its REST API")
    password: Secret | None = Field(None, description="of its REST API")
    scope: str = Field(
        "portfolio",
        pattern=r"^(portfolio|(account|strategy):[A-Za-z0-9][A-Za-z0-9_.-]{0,31})$",
        description="whose halts it obeys: portfolio, account:NAME or strategy:NAME",
    )


class ToldStrategyConfig(Section):
    """A strategy that is told of halts."""

    freqtrade: FreqtradeConfig | None = Field(None, description="a freqtrade bot's REST API")


class MqttSenderConfig(Section):
    """Somebody who may command over MQTT, by signed messages alone."""

    secret: Secret | None = Field(None, description="signs (HMAC-SHA256), 32 characters or more")
    allow: list[Literal["halt", "cancel", "ack", "silence"]] = Field(
        ["halt", "cancel", "ack"], min_length=1, description="of what lowers risk, nothing else"
    )


class MqttConfig(Section):
    """The MQTT broker."""

    host: str = Field("127.0.0.1", pattern=r"^[^\s/]+$", description="of the broker")
    port: int = Field(1883, ge=1, le=65535, description="of the broker; with TLS often 8883")
    username: str | None = Field(None, description="at the broker")
    password: Secret | None = Field(None, description="at the broker")
    tls: bool = Field(default=False, description="encrypt; needed beyond this host")
    ca_file: str | None = Field(None, description="who signed the broker; none: the system's")
    cert_file: str | None = Field(None, description="our certificate, if the broker asks for one")
    key_file: str | None = Field(None, description="its key, mode 0600; none: in cert_file too")
    topic_prefix: str = Field(
        "riskbot", pattern=r"^[^#+\s$/]+(/[^#+\s/]+)*$", description="before /<instance>"
    )
    commands: dict[Name, MqttSenderConfig] = Field(
        default_factory=dict, description="who may command, by name; none: nothing is listened to"
    )
    orders: bool = Field(
        default=True, description="gateway.strategies may ask over it, as over HTTP"
    )


class RetentionConfig(Section):
    """How long the journal keeps things."""

    observations: int = Field(30, ge=1, description="days: prices, reads")
    decisions: int = Field(3650, ge=1, description="days: decisions, alerts, states")


class Root(Section):
    """The whole file."""

    instance: Name = Field("riskbot", description="name of this riskbot, in texts and topics")
    mode: Literal["shadow", "enforce"] = Field(
        "shadow", description="shadow decides and reports, enforce acts"
    )
    timezone: str = Field("UTC", description="IANA zone; days and weeks start at its midnight")
    state_dir: str | None = Field(
        None, description="journal, HALT file, socket; relative: to this file"
    )
    startup_breach: StartupBreach = Field(
        "ask", description="a breach that stands at first contact: ask the operator, or act"
    )
    accounts: dict[Name, AccountConfig] = Field(min_length=1, description="by name")
    portfolio: PortfolioConfig
    monitor: MonitorConfig = MonitorConfig()
    http: HttpConfig | None = None
    gateway: GatewayConfig = GatewayConfig()
    telegram: TelegramConfig | None = None
    notify: list[NotifyConfig] = Field(default_factory=list, description="more channels")
    webhooks: list[WebhookConfig] = Field(default_factory=list, description="URLs to tell")
    strategies: list[ToldStrategyConfig] = Field(
        default_factory=list, description="strategies that are told of halts"
    )
    mqtt: MqttConfig | None = None
    heartbeat_url: Secret | None = Field(
        None, description="pinged while every critical task progresses"
    )
    retention_days: RetentionConfig = RetentionConfig()
    scenarios_dir: str | None = Field(
        None,
        description="directory of the user's own stress scenarios, a YAML file each "
        "(docs/scenarios.md); relative: to this file",
    )
