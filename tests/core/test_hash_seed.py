"""What is decided does not hang on the order in which a set happens to lie."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

from riskbot.core import events
from riskbot.core.limits.asset_exposure import AssetExposure
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.net_delta import NetDelta
from riskbot.core.limits.sector_exposure import SectorExposure
from riskbot.core.limits.stress_loss import StressLoss
from riskbot.core.limits.value_at_risk import ValueAtRisk
from riskbot.core.model import Response
from riskbot.core.scenarios import Scenario
from riskbot.core.settings import AccountSettings
from riskbot.core.stressviews import result_of
from tests import builders
from tests.core.market import FREE, codes, market
from tests.core.past import noise, read

COINS = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "AVAX", "LINK")
OTHERS = ("LTC", "DOT", "UNI", "AAVE")


def told() -> list[str]:
    """Return all that is decided in a story of many coins, some of which lose their price."""
    deny = Response.DENY
    made = market(
        GrossExposure(max=1.0, on_breach=Response.REDUCE),
        NetDelta(max=1_000, on_breach=deny),
        AssetExposure(max=0.05, on_breach=deny),
        SectorExposure(max=0.05, on_breach=deny),
        ValueAtRisk(max=0.01, on_breach=deny),
        StressLoss(max=0.01),
        held={coin: (100.0 + n, 100.0 + n) for n, coin in enumerate(COINS)},
        accounts={
            name: AccountSettings(exchange="binanceusdm", orders=FREE) for name in ("main", "two")
        },
        elsewhere={"two": dict.fromkeys(COINS, (-3.0, 100.0))},
        scenarios=(
            Scenario(name="all", title="t", description="d", source="s", shocks={"DEFAULT": -0.3}),
        ),
    )
    made.give(read(*(noise(coin, n) for n, coin in enumerate((*COINS, *OTHERS)))))
    made.wait(12)
    # What nobody prices is named by what is denied because of it.
    made.give(builders.loaded(*(f"{coin}/USDT:USDT" for coin in OTHERS), account="two"))
    unpriced = [builders.position(f"{coin}/USDT:USDT", 3, 100, account="two") for coin in OTHERS]
    made.now_ms += 1
    made.give(events.PositionsUpdated(account="two", positions=tuple(unpriced)))
    denied = made.decide("BTC", "buy", "1")
    assert "LIMIT_UNKNOWN" in codes(denied)
    state = made.engine.state
    scopes = state.scopes(made.now_ms)
    scenario = result_of(state, state.settings.scenarios[0], "portfolio", made.now_ms)
    found = [f"{name} {book.legs} {book.stats} {book.pairs}" for name, book in scopes.items()]
    made.price(**dict.fromkeys(COINS, 140.0))
    made.wait(3)
    return [*map(repr, made.actions), *found, repr(scenario.unknown)]


def test_decisions_are_the_same_under_every_hash_seed() -> None:
    digests = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(  # the seed is read once, at the start of a process
            [sys.executable, "-m", __name__], env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.add(done.stdout)
    assert len(digests) == 1


if __name__ == "__main__":
    lines = told()
    if len(sys.argv) > 1:
        sys.stdout.write("\n".join(lines))
    else:
        sys.stdout.write(hashlib.sha256("\n".join(lines).encode()).hexdigest())
