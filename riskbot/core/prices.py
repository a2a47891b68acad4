"""Price views: one consistent answer to "what is it worth" for a whole measurement.

`View` takes each instrument's best price, `SecondView` a second independent one, to confirm a
breach. The prices themselves live in `marks`.
"""

from __future__ import annotations

from riskbot.core.assets import USD, is_cash
from riskbot.core.marks import Marks
from riskbot.core.model import Instrument, InstrumentKind, Position
from riskbot.core.quotes import AssetPrice, Price

STATED_FRESH_MS = 60_000
"""Age up to which a venue's own price of an asset goes before a market's."""

_PREFERRED_QUOTES = (USD, "USDT", "USDC", "FDUSD")


class View:
    """Best prices at one moment.

    Args:
        marks: the prices.
        now_ms: UTC ms; what is fresh depends on it.

    Cash is priced once while the venues state nothing new: a view is one consistent measurement.
    """

    def __init__(self, marks: Marks, now_ms: int) -> None:
        self.marks = marks
        self.now_ms = now_ms
        self._version = marks.version
        self._cash: dict[tuple[str, str], AssetPrice] = {}

    def price(self, account: str, symbol: str) -> Price | None:
        """Return the price of an instrument in quote units, None = never priced."""
        return self.marks.best(account, symbol, self.now_ms)

    def cash(self, account: str, asset: str) -> AssetPrice:
        """Return USD per unit of fiat or a stablecoin.

        The venue's own figure, else a spot market on any venue, else 1, marked assumed.
        """
        if self._version != self.marks.version:
            self._version = self.marks.version
            self._cash.clear()
        found = self._cash.get((account, asset))
        if found is None:
            found = self._cash[account, asset] = self._price_cash(account, asset)
        return found

    def _price_cash(self, account: str, asset: str) -> AssetPrice:
        if asset == USD:
            return AssetPrice(1.0)
        stated = self.marks.assets.get(account, {}).get(asset)
        if stated is not None and self.now_ms - stated.seen_ms <= STATED_FRESH_MS:
            return AssetPrice(stated.price_usd)
        market = self.market(account, asset)
        if market is not None:
            price = self.price(*market)
            quote = self.marks.instruments[market[0]][market[1]].quote
            if price is not None:
                in_usd = self.cash(account, quote) if quote == USD else self._stated(account, quote)
                return AssetPrice(price.value * in_usd.value, in_usd.is_assumed)
        return self._stated(account, asset)

    def _stated(self, account: str, asset: str) -> AssetPrice:
        # Any venue's figure, however old, before the assumption.
        names = [account, *sorted(self.marks.assets)]
        for name in names:
            stated = self.marks.assets.get(name, {}).get(asset)
            if stated is not None:
                return AssetPrice(stated.price_usd)
        return AssetPrice(1.0, is_assumed=True)

    def asset(self, account: str, asset: str) -> AssetPrice | None:
        """Return USD per unit of any asset, None = unknown."""
        if is_cash(asset):
            return self.cash(account, asset)
        market = self.market(account, asset)
        price = self.price(*market) if market is not None else None
        if market is not None and price is not None:
            quote = self.marks.instruments[market[0]][market[1]]
            in_usd = self.cash(account, quote.quote).value
            return AssetPrice(price.value * in_usd / float(quote.underlying_per_base))
        stated = self.marks.assets.get(account, {}).get(asset)
        return AssetPrice(stated.price_usd) if stated is not None else None

    def is_coin_blind(self, account: str, asset: str, now_ms: int) -> bool:
        """Whether what prices a coin is stale: its market, else the venue's own figure.

        A coin that nobody prices counts as nothing, and there is nothing to be blind to.
        """
        market = self.market(account, asset)
        if market is not None:
            return self.marks.is_blind(*market, now_ms)
        stated = self.marks.assets.get(account, {}).get(asset)
        return stated is not None and now_ms - stated.seen_ms > STATED_FRESH_MS

    def market(self, account: str, asset: str) -> tuple[str, str] | None:
        """Return (account, symbol) of the instrument that prices an asset, None = none listed.

        Own spot, own derivative (for coins), the venue's own figure (then None is returned and
        `asset` uses it), then other accounts' spot and derivatives. Quoted in cash only.
        """
        known = self.marks.markets
        if (account, asset) not in known:
            known[account, asset] = self._find_market(account, asset)
        return known[account, asset]

    def _find_market(self, account: str, asset: str) -> tuple[str, str] | None:
        own = self._market_of(account, asset)
        if own is not None:
            return own
        if asset in self.marks.assets.get(account, {}):
            return None
        for name in sorted(self.marks.instruments):
            found = self._market_of(name, asset) if name != account else None
            if found is not None:
                return found
        return None

    def _market_of(self, account: str, asset: str) -> tuple[str, str] | None:
        rows = [
            (_rank(listed), listed.symbol)
            for listed in self.marks.instruments.get(account, {}).values()
            if _prices(listed, asset)
        ]
        return (account, min(rows)[1]) if rows else None


class SecondView(View):
    """A second independent source of each instrument.

    Attributes:
        lone: (account, symbol) that have one source only, measured at that one.
    """

    def __init__(
        self,
        marks: Marks,
        now_ms: int,
        *,
        read_since_ms: int | None = None,
        lone: set[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(marks, now_ms)
        self.read_since_ms = read_since_ms
        self.lone: set[tuple[str, str]] = set() if lone is None else lone

    def price(self, account: str, symbol: str) -> Price | None:
        """Return the second source; the best price where there is none, noted in `lone`."""
        found = self.marks.second(account, symbol, self.now_ms, read_since_ms=self.read_since_ms)
        if found is not None:
            self.lone.discard((account, symbol))
            return found
        self.lone.add((account, symbol))
        alone = super().price(account, symbol)
        # Anybody's frame may be the second source.
        return alone._replace(until_ms=0) if alone is not None else None


def greeks_of(view: View, position: Position) -> tuple[float | None, float | None, float | None]:
    """Return delta, gamma and vega of one unit of an option, None = unknown.

    As its feed told them lately, else as the venue stated them with the position.
    """
    quote = view.marks.quote(position.account, position.symbol)
    if quote is not None and quote.has_greeks(view.now_ms):
        return quote.delta, quote.gamma, quote.vega
    return position.delta, position.gamma, position.vega


def _prices(instrument: Instrument, asset: str) -> bool:
    if not is_cash(instrument.quote) or instrument.quote == asset:
        return False
    if instrument.kind is InstrumentKind.SPOT:
        return instrument.symbol.partition("/")[0] == asset
    # A dated future is off the coin's price by its basis, an option is no price of it at all.
    is_perpetual = "-" not in instrument.symbol.partition(":")[2]
    return is_perpetual and instrument.underlying == asset and not is_cash(asset)


def _rank(instrument: Instrument) -> tuple[bool, bool, int, str]:
    quote = instrument.quote
    preference = (
        _PREFERRED_QUOTES.index(quote) if quote in _PREFERRED_QUOTES else len(_PREFERRED_QUOTES)
    )
    is_derivative = instrument.kind is not InstrumentKind.SPOT
    return (not instrument.is_active, is_derivative, preference, quote)
