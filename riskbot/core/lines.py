"""Lines: what one position or one holding adds to exposure and to equity, as price moves.

A line is linear in its mark: exposure `a * mark + b`, equity `c * mark + d`, in USD. Which sums a
line feeds, and when, lives in `book`; what people see of it is `exposure.Leg`.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import NamedTuple

from riskbot.core.assets import is_cash
from riskbot.core.exits import base_of
from riskbot.core.exposure import Leg
from riskbot.core.model import Instrument, InstrumentKind, Position, PositionKey, PositionSide
from riskbot.core.prices import View, greeks_of
from riskbot.core.settings import CoreSettings
from riskbot.core.sheets import Paid, Sheet, Sums

NO_SHEET = Sheet()
"""What a line belongs to before the Book took it in."""


class Line:
    """One position, or one asset of one account, with its present contribution.

    Attributes:
        leg: what is shown of it; None for cash.
        pricer: (account, symbol) whose price moves it; None = a stated price, or 1.
        factor: USD per unit for a price of 1.
        mark: USD per unit now, None = unknown: then it is in no sum.
        a, b, c, d: exposure and equity as above.
        x: exposure in USD as summed; value: equity in USD as summed.
        is_valued: its equity is known; without, it still counts in exposure.
        is_unlisted: a coin that no market and no venue prices: it counts as nothing and is named.
        sheet: the running sums of its account, set by the Book.
        sums: what its exposure is added to; shares: the same for a part (strategies).
        coin: the holding an inverse position's PnL is paid into.
        face, entry: of an inverse position, whose PnL is not linear in its mark.
        pnl_coin: that PnL, in coin units, as counted in the holding.
        paid: what else is paid in the asset that a position is paid in; None for holdings.
        cash: (account, asset) of the cash its factor is the price of; None = of no cash.
        until_ms: till when its price stands unless a frame of its pricer comes, UTC ms.
        low, high: marks in USD beyond which a limit of this position reaches its next level.
        is_plain: as shown last, nothing of its leg but prices follows from its price;
        is_held: the Book counts it; is_moved, is_changed: since it was last shown, its price or
            anything about it did.
    """

    __slots__ = (
        "a",
        "account",
        "asset",
        "b",
        "c",
        "cash",
        "coin",
        "d",
        "entry",
        "face",
        "factor",
        "high",
        "is_changed",
        "is_estimated",
        "is_held",
        "is_moved",
        "is_plain",
        "is_unlisted",
        "is_valued",
        "key",
        "leg",
        "low",
        "mark",
        "paid",
        "pnl_coin",
        "position",
        "pricer",
        "shares",
        "sheet",
        "sums",
        "until_ms",
        "value",
        "x",
    )

    def __init__(self, account: str, key: PositionKey, leg: Leg | None) -> None:
        self.account = account
        self.key = key
        self.leg = leg
        self.asset = ""
        self.position: Position | None = None
        self.pricer: tuple[str, str] | None = None
        self.factor = 1.0
        self.mark: float | None = None
        self.a = self.b = self.c = self.d = 0.0
        self.x = 0.0
        self.value = 0.0
        self.is_valued = True
        self.is_unlisted = False
        self.sheet = NO_SHEET
        self.sums: tuple[Sums, ...] = ()
        self.shares: tuple[tuple[Sums, float], ...] = ()
        self.coin: Line | None = None
        self.face = 0.0
        self.entry = 0.0
        self.pnl_coin = 0.0
        self.is_estimated = False
        self.paid: Paid | None = None
        self.cash: tuple[str, str] | None = None
        self.until_ms = 0
        self.low, self.high = 0.0, math.inf
        self.is_held = self.is_moved = self.is_changed = self.is_plain = False

    @property
    def is_known(self) -> bool:
        """Whether its part of equity is known; nothing, for an unlisted coin."""
        return self.is_unlisted or (self.mark is not None and self.is_valued)


def sector_of(settings: CoreSettings, underlying: str) -> str:
    """Return an underlying's sector; one that is not mapped is its own."""
    return settings.sectors.get(underlying, underlying)


def groups_of(settings: CoreSettings, underlying: str) -> tuple[str, ...]:
    """Return the groups an underlying is a member of."""
    return tuple(name for name, members in settings.groups.items() if underlying in members)


def unlisted(account: str, symbol: str) -> Instrument:
    """Return a stand-in for an instrument that has not been loaded, read off its symbol."""
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    settle, _, expiry = settle.partition("-")
    if not settle:
        kind = InstrumentKind.SPOT
    elif expiry[-2:] in {"-C", "-P"}:
        kind = InstrumentKind.OPTION
    else:
        kind = InstrumentKind.INVERSE if settle == base else InstrumentKind.LINEAR
    return Instrument(
        account=account,
        symbol=symbol,
        underlying=base,
        quote=quote or "USD",
        settle=settle or quote or "USD",
        kind=kind,
        contract_value=Decimal(1),
        tick=Decimal(0),
        step=Decimal(0),
        is_active=False,
    )


def coin_instrument(view: View, account: str, asset: str, allowed: tuple[str, ...]) -> Instrument:
    """Return the spot instrument a coin balance is a position in.

    Configured instruments first, then active ones, then by quote; a coin without a market of
    its own on the account is shown by its name and cannot be closed there.
    """
    listed = [
        i
        for i in view.marks.instruments.get(account, {}).values()
        if i.kind is InstrumentKind.SPOT and base_of(i.symbol) == asset
    ]
    return min(
        listed,
        key=lambda i: (
            i.symbol not in allowed,
            not i.is_active,
            _QUOTES.get(i.quote, len(_QUOTES)),
            i.symbol,
        ),
        default=unlisted(account, asset),
    )


_QUOTES = {"USDT": 0, "USDC": 1, "USD": 2, "FDUSD": 3}


def new_leg(settings: CoreSettings, account: str, key: PositionKey, instrument: Instrument) -> Leg:
    """Return the shown side of a line, without figures yet."""
    venue = settings.accounts[account].exchange if account in settings.accounts else account
    underlying = instrument.underlying
    return Leg(
        key=key,
        instrument=instrument,
        venue=venue,
        underlying=underlying,
        sector=sector_of(settings, underlying),
        groups=groups_of(settings, underlying),
        quantity=0.0,
        mark_usd=None,
        notional_usd=None,
        delta_usd=None,
        is_spot=instrument.kind is InstrumentKind.SPOT,
    )


def position_line(
    settings: CoreSettings, view: View, position: Position, quantity: float | None = None
) -> Line:
    """Build the line of a derivative position.

    Args:
        settings: sectors, groups, venues.
        view: prices.
        position: as the venue reports it.
        quantity: another signed quantity to expose, for what-if; equity stays as it is.
    """
    account, key = position.account, position.key
    listed = view.marks.instrument(account, position.symbol)
    instrument = listed if listed is not None else unlisted(account, position.symbol)
    line = Line(account, key, new_leg(settings, account, key, instrument))
    line.position = position
    line.pricer = (account, position.symbol)
    quote = view.asset(account, instrument.quote)
    line.factor = quote.value if quote is not None else 0.0
    held = float(position.quantity)
    exposed = held if quantity is None else quantity
    if instrument.kind is InstrumentKind.INVERSE:
        line.b = exposed * line.factor
        line.face, line.entry = held, float(position.entry_price or 0)
        line.is_valued = bool(position.entry_price)
    elif instrument.kind is InstrumentKind.OPTION:
        delta_usd = _option_delta_usd(view, instrument, position, exposed)
        settle = view.asset(account, instrument.settle)
        # The premium is paid out of the balance: an option is worth its mark, not its PnL.
        line.factor = settle.value if settle is not None and delta_usd is not None else 0.0
        line.b = delta_usd or 0.0
        line.c = held
    else:
        line.a = exposed
        known = _linear_base(view, instrument, position, line.factor)
        line.d = known if known is not None else 0.0
        line.is_valued = known is not None
        line.c = held if line.is_valued else 0.0
    # An option moves with its underlying and its delta as well.
    if is_cash(instrument.quote) and instrument.kind is not InstrumentKind.OPTION:
        line.cash = (account, instrument.quote)
    _take_present(view, line)
    if not line.factor:
        line.mark = None
    return line


def is_same_exposure(line: Line, position: Position, listed: Instrument | None) -> bool:
    """Whether a position's line needs no change for what a venue says of it now."""
    known = line.position
    if known is None or line.leg is None or line.mark is None or line.leg.instrument is not listed:
        return False
    # Without an entry price, and of an option, what the venue states at the mark counts.
    is_stated = position.entry_price is None or listed.kind is InstrumentKind.OPTION
    if is_stated or position.quantity != known.quantity:
        return False
    return position.entry_price == known.entry_price


class Present(NamedTuple):
    """A line by a view: see `Line`; `mark` None = unknown."""

    factor: float
    mark: float | None
    is_estimated: bool = False
    until_ms: int = 0


def present(view: View, line: Line) -> Present:
    """Return how a line stands by this view."""
    account = line.account
    price = view.price(*line.pricer) if line.pricer is not None else None
    if line.leg is None:
        return Present(1.0, view.cash(account, line.asset).value)
    instrument = line.leg.instrument
    if line.position is None:
        found = view.asset(account, line.asset)
        mark = found.value if found is not None else None
        if mark is None or price is None:
            return Present(1.0, mark)
        return Present(mark / price.value, mark, price.is_stale, price.until_ms)
    is_option = instrument.kind is InstrumentKind.OPTION
    unit = view.asset(account, instrument.settle if is_option else instrument.quote)
    factor = unit.value if unit is not None else 0.0
    if price is None or not factor:
        return Present(factor, None)
    is_estimated = price.is_stale or price.account != account
    # What no cash is the unit of moves with the price of its unit as well.
    until_ms = 0 if line.cash is None else price.until_ms
    return Present(factor, price.value * factor, is_estimated, until_ms)


def _take_present(view: View, line: Line) -> float:
    factor, line.mark, line.is_estimated, line.until_ms = present(view, line)
    return factor


def _linear_base(
    view: View, instrument: Instrument, position: Position, quote_usd: float
) -> float | None:
    """Return the constant part of a linear position's PnL in USD, None = unknown.

    From the entry price; else from the PnL the venue states at the mark it states.
    """
    quantity = float(position.quantity)
    if not quantity:
        return 0.0
    if position.entry_price is not None:
        return -quantity * float(position.entry_price) * quote_usd
    if position.unrealized_pnl is None or position.venue_mark is None:
        return None
    settle = view.asset(position.account, instrument.settle)
    if settle is None:
        return None
    return (
        float(position.unrealized_pnl) * settle.value
        - quantity * float(position.venue_mark) * quote_usd
    )


def _option_delta_usd(
    view: View, instrument: Instrument, position: Position, quantity: float
) -> float | None:
    delta, _, _ = greeks_of(view, position)
    underlying = view.asset(position.account, instrument.underlying)
    if delta is None or underlying is None:
        return None
    return quantity * delta * underlying.value * float(instrument.underlying_per_base)


def holding_line(
    settings: CoreSettings, view: View, account: str, asset: str, total: float
) -> Line:
    """Build the line of an asset an account holds: cash, or a coin that is a position.

    Args:
        settings: sectors, groups, spot policy.
        view: prices.
        account: who holds it.
        asset: what.
        total: wallet balance in asset units, without PnL of inverse positions.
    """
    if is_cash(asset):
        # Priced with every refresh rather than by ticks: all lines quoted in it move with it.
        line = Line(account, PositionKey(account, asset, PositionSide.NET), None)
        line.mark = view.cash(account, asset).value
    else:
        line = _coin_line(settings, view, account, asset)
    line.asset = asset
    line.a = line.c = total
    return line


def _coin_line(settings: CoreSettings, view: View, account: str, asset: str) -> Line:
    allowed = settings.accounts[account].instruments if account in settings.accounts else ()
    instrument = coin_instrument(view, account, asset, allowed)
    key = PositionKey(account, instrument.symbol, PositionSide.NET)
    line = Line(account, key, new_leg(settings, account, key, instrument))
    line.asset = asset
    line.pricer = view.market(account, asset)
    line.factor = _take_present(view, line)
    if line.pricer is not None:
        line.cash = (account, view.marks.instruments[line.pricer[0]][line.pricer[1]].quote)
    # An airdropped coin that nobody prices must not blind every limit: it counts as nothing.
    line.is_unlisted = line.mark is None and line.pricer is None
    return line


def unit_price(view: View, account: str, component: str) -> float | None:
    """Return what a unit of a component of equity is worth in USD, None = unknown.

    Args:
        view: prices.
        account: whose.
        component: an asset (`USDT`), or a symbol: one unit of its quantity without the cash that
            paid for it (`cashflows` reconciles in these).
    """
    if "/" not in component:
        found = view.asset(account, component)
        if found is not None:
            return found.value
        return None if view.market(account, component) is not None else 0.0
    listed = view.marks.instrument(account, component) or unlisted(account, component)
    price = view.price(account, component)
    is_paid_in_settle = listed.kind in {InstrumentKind.INVERSE, InstrumentKind.OPTION}
    unit = view.asset(account, listed.settle if is_paid_in_settle else listed.quote)
    if price is None or unit is None:
        return None
    # A unit of an inverse position is one of quote: it owes 1/price coins.
    is_inverse = listed.kind is InstrumentKind.INVERSE
    return -unit.value / price.value if is_inverse else price.value * unit.value
