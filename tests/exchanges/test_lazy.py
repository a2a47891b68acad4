"""Loading one venue alone works and is lean; where it cannot, the plain import does."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAN = """
import sys
from riskbot.exchanges import _lazy
for name in ("binanceusdm", "bybit", "okx"):
    made = _lazy.load_class(name)({"apiKey": "k", "secret": "s"})
    assert made.id == name, made.id
    assert callable(made.watch_orders)
heavy = [m for m in sys.modules if m.startswith("ccxt.async_support.") and m.endswith("kraken")]
assert not heavy, heavy
import ccxt.pro
import ccxt
assert ccxt.pro.bybit is _lazy.load_class("bybit")
assert issubclass(ccxt.OrderNotFound, _lazy.error_base())
assert ccxt.pro.gate({}).id == "gate"
print(len(sys.modules))
"""

BROKEN = """
import sys
from riskbot.exchanges import _lazy
def fail():
    raise AttributeError("another layout")
_lazy._install_stand_ins = fail
assert _lazy.load_class("bybit")({}).id == "bybit"
import ccxt.pro
assert type(ccxt.pro) is type(sys)
assert issubclass(ccxt.pro.OrderNotFound, _lazy.error_base())
"""


def run(code: str) -> str:
    done = subprocess.run(  # a fresh process: this one has ccxt in it already
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_three_venues_load_without_the_others() -> None:
    assert int(run(LEAN)) < 1000


def test_plain_import_takes_over_when_the_layout_changed() -> None:
    run(BROKEN)


def test_unknown_venue_is_refused() -> None:
    from riskbot.exchanges import _lazy

    with pytest.raises(ModuleNotFoundError):
        _lazy.load_class("nosuchvenue")
    assert {"binanceusdm", "bybit", "okx", "kraken"} <= set(_lazy.exchange_ids())
