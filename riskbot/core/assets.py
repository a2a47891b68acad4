"""What kind of thing an asset is: fiat, stablecoin or coin.

Only fiat and stablecoins are cash; what an asset is worth lives in `marks`.
"""

from __future__ import annotations

USD = "USD"

FIAT: frozenset[str] = frozenset(
    "USD EUR GBP JPY CHF AUD CAD NZD BRL TRY KRW SGD HKD MXN PLN CZK UAH RUB ZAR INR NGN ARS AED "
    "SEK NOK DKK IDR THB VND PHP KZT COP".split()
)

STABLECOINS: frozenset[str] = frozenset(
    "USDT USDC FDUSD TUSD BUSD DAI USDP USDD PYUSD USDE GUSD FRAX USD1 RLUSD USDS USDG BFUSD USDTB "
    "SUSD LUSD UST USTC EURC EURT EURS EURI".split()
)


def is_cash(asset: str) -> bool:
    """Whether a balance of it is cash rather than a position."""
    return asset in FIAT or asset in STABLECOINS
