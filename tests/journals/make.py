"""Write the golden journal of this version: `python -m tests.journals.make`.

Run once per release, before it; the file stays as it is for ever after. One day of a guard whose
venue misbehaves, so that every kind of record that a real run produces is in it. The day may be
played in more ways than it was when older journals were written; those are only folded.
"""

from __future__ import annotations

import gzip
import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from riskbot import codec
from riskbot.core import actions, events
from riskbot.core.engine import Engine
from riskbot.core.limits.drawdown import Drawdown
from riskbot.core.limits.gross_exposure import GrossExposure
from riskbot.core.limits.maintenance_margin import MaintenanceMargin
from riskbot.core.model import (
    Actor,
    LedgerKind,
    PositionSide,
    RejectReason,
    Response,
    Role,
    TradingState,
)
from riskbot.core.settings import AccountSettings, CoreSettings, DeadManSettings
from riskbot.exchanges.paper.faults import Fault, Mishap
from riskbot.journal import rows
from tests.scenarios.stage import ADMIN, Stage, stage

HERE = Path(__file__).parent
SETTINGS = CoreSettings(
    accounts={name: AccountSettings(exchange="paper") for name in ("main", "other")}
)

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
MARGIN = MaintenanceMargin(
    max=0.30,
    on_breach=Response.REDUCE,
    within_s=10,
    margin_actions=["add_margin", "reduce"],
    add_margin_max_usd=5_000,
)
SWITCHED = AccountSettings(exchange="paper", dead_man=DeadManSettings(policy="entries_only"))


def played() -> Stage:
    """Play the day."""
    made = stage(
        GrossExposure(max=1.8, on_breach=Response.REDUCE),
        Drawdown(max=0.15, on_breach=Response.FLATTEN, latch=True),
        ("account:other", MARGIN),
        has_factor=True,
        account_settings={"main": SWITCHED},
        accounts={"main": {"positions": {BTC: 3}}, "other": {"positions": {ETH: -2}}},
    )
    surroundings(made)
    people(made)
    precautions(made)
    money(made)
    margin(made)
    asleep(made)
    trouble(made)
    made.command("halt", reason="the day was long")
    made.command("silence", limit="gross_exposure", duration_s=3_600.0)
    # Ends in the middle: something is held, and its closing is not through.
    made.faults("other").refuse_orders = True
    made.trade(ETH, "0.5", account="other")
    made.wait(3)
    made.give(events.Stopping())
    return made


def surroundings(made: Stage) -> None:
    """Let everything around the accounts speak up once."""
    made.give(events.AssetPriced(account="main", asset="USDT", price_usd=0.999, source="x"))
    made.give(events.DeadManChanged(account="main", is_armed=False, detail="off"))
    made.give(events.ClockMeasured(account="main", offset_ms=12, round_trip_ms=40))
    made.give(
        events.KeyRightsChecked(
            account="main",
            can_trade=True,
            can_withdraw=False,
            can_transfer=False,
            has_ip_list=True,
        )
    )
    made.give(events.FeedAlive(account="main", feed="account"))
    made.give(events.FeedLost(account="main", feed="account", reason="socket closed"))
    made.give(events.FrontendChanged(name="telegram", is_up=False, detail="ended with 1"))
    made.give(events.FrontendChanged(name="telegram", is_up=True))
    told = {"name": "freqtrade", "via": "freqtrade", "scope": "portfolio"}
    wanted = TradingState.HALTED
    made.give(events.StrategyTold(**told, wanted=wanted, error="away", is_lost=True))
    made.give(events.StrategyTold(**told, wanted=wanted, confirmed=wanted, detail="paused"))
    made.give(events.StorageFailed(error="disk full"))
    made.wait(2)
    made.give(events.StorageRestored())
    made.give(events.EngineFaulted(event_kind="PricesUpdated", error="ValueError: x"))
    made.wait(15)
    told = made.alerts("engine_fault")[0].alert
    made.give(events.AlertDelivered(alert_id=told.alert_id, channel="log", revision=told.revision))
    made.give(
        events.AlertDeliveryFailed(
            alert_id=told.alert_id, channel="webhook", revision=1, error="HTTP 500"
        )
    )
    made.command("ack", id=told.alert_id)


def people(made: Stage) -> None:
    """Halt, resume, change one's mind."""
    entry = made.trade(BTC, 1, price=35_000)
    assert entry.order_id
    made.wait(5)
    made.command("halt", reason="lunch")
    made.wait(5)
    made.confirm("resume")
    made.command("flatten")  # a plan that nobody confirms
    made.wait(120)
    made.give(events.HaltFileSeen(reason="kill by uid 0"))
    made.wait(5)
    made.confirm("resume")
    made.wait(5)


def coded(made: Stage, name: str, step: int, **args: Any) -> None:
    """Give a command that takes a one-time code, and confirm it with one."""
    offer = made.command(name, **args)
    assert offer.needs_factor, offer.message
    made.give(
        events.CommandReceived(
            request_id=f"c{step}",
            name=name,
            args={**args, "plan_id": offer.plan_id},
            actor=ADMIN,
            factor_step=step,
        )
    )
    assert next(r for r in made.of(actions.SendReply) if r.request_id == f"c{step}").ok


def precautions(made: Stage) -> None:
    """Loosen a limit and take it back, keep an alert silent, try the channels, meet a forger."""
    coded(made, "setlimit", 1, limit="gross_exposure", value=2.5)
    made.wait(5)
    made.confirm("setlimit", limit="gross_exposure")
    made.confirm("setlimit", limit="drawdown", value=0.14)
    made.command("silence", limit="gross_exposure", duration_s=600.0)
    made.wait(5)
    made.command("unsilence", limit="gross_exposure")
    made.command("test")
    made.wait(15)
    forger = Actor("mallory", Role.VIEWER, "mqtt")
    made.give(events.CommandRefused(actor=forger, reason="MQTT: the signature is wrong"))
    made.give(
        events.RequestsLimited(
            account="main", used_ratio=1.0, until_ms=made.clock.ms + 2_000, detail="HTTP 429"
        )
    )
    made.wait(5)
    made.give(events.RequestsLimited(account="main", used_ratio=0.2))
    # Near the limit for less than an alert waits.
    made.trade(BTC, 5)
    made.wait(4)
    made.trade(BTC, -5)
    made.wait(10)


def margin(made: Stage) -> None:
    """Let an isolated position come near its liquidation."""
    holding = made.exchanges["other"].venue.pool.holdings[ETH, PositionSide.NET]
    holding.is_isolated, holding.isolated_margin = True, Decimal(100)
    made.read()
    made.wait(2)
    made.glide(ETH=2_520)
    made.wait(10)


def asleep(made: Stage) -> None:
    """Let the machine sleep until the next morning."""
    made.clock.ms += 63_000_000
    made.give(events.TimerFired())
    made.beat()
    made.read()
    made.wait(30)


def money(made: Stage) -> None:
    """Pay in, take something for a loss and then not, and lose sight of an account."""
    venue = made.exchanges["main"].venue
    venue.transfer("USDT", Decimal(20_000), made.clock.ms, kind=LedgerKind.DEPOSIT)
    made.wait(90)
    venue.transfer("USDT", Decimal(-500), made.clock.ms, kind=LedgerKind.WITHDRAWAL)
    made.wait(90)
    flow_id = made.of(actions.BookFlow)[-1].flow_id
    made.confirm("reclassify", id=flow_id, value="loss")
    made.confirm("reclassify", id=flow_id, value="flow")
    made.faults("other").is_down = True
    made.wait(40)
    made.faults("other").is_down = False
    made.wait(30)


def trouble(made: Stage) -> None:
    """Break a limit twice while the venue makes it hard."""
    made.trade(BTC, 4)
    made.wait(90)
    made.faults("other").refuse("place", RejectReason.ORDER_TYPE, times=1)
    made.faults().will("place", Fault(Mishap.LOST_BEFORE), Fault(Mishap.LOST_AFTER))
    made.faults().drop |= {"OrderFilled", "OrderUpdated"}
    made.glide(BTC=33_000)
    made.wait(120)
    made.faults().drop.clear()
    made.trade(BTC, 1)  # a strategy that does not stop
    made.wait(60)
    coded(made, "resume", 2)
    made.wait(10)


def lines(made: Stage) -> list[str]:
    """Return what a journal keeps: all that was decided, and events that led to something."""
    kept: list[str] = []
    waiting: tuple[int, Any] | None = None
    seen: set[tuple[str, int]] = set()
    for ts_ms, record in made.journal:
        is_first = (record.kind, minute := ts_ms // 60_000) not in seen
        seen.add((record.kind, minute))
        if type(record) in rows.PASSING or (type(record) in rows.CONFLATED and not is_first):
            waiting = (ts_ms, record)
            continue
        if waiting is not None and not isinstance(record, events.Event):
            kept.append(_line(*waiting))
        waiting = None
        kept.append(_line(ts_ms, record))
    return kept


def _line(ts_ms: int, record: Any) -> str:
    return json.dumps([ts_ms, *codec.encode(record)], separators=(",", ":"))


def folded(packed: Path) -> Engine:
    """Return an engine brought to where a golden journal ends."""
    engine = Engine(SETTINGS, "rbtest")
    for line in gzip.decompress(packed.read_bytes()).decode().splitlines():
        ts_ms, kind, number, body = json.loads(line)
        engine.fold(codec.decode(kind, number, body), ts_ms)
    return engine


def summary(engine: Engine) -> dict[str, Any]:
    """Return what must be the same for ever: what binds, what is held, what is told, counters.

    More may come in a later version; what an older one stated stays.
    """
    state = engine.state
    rules = state.enforcement
    return {
        "holds": [
            [h.limit, h.scope, h.state.value, h.since_ms, h.is_latched, h.reason]
            for h in rules.holds.values()
        ],
        "trading_state": rules.state_of("portfolio").value,
        "positions": {
            name: {p.symbol: str(p.quantity) for p in account.positions.values() if p.quantity}
            for name, account in state.accounts.by_name.items()
        },
        "balances": {
            name: {b.asset: str(b.total) for b in account.balances.values()}
            for name, account in state.accounts.by_name.items()
        },
        "alerts": sorted(
            f"{a.name} {a.scope} {a.level.value}" for a in state.alerts.firing.values()
        ),
        "open_work": [len(rules.intents), len(rules.pending), len(rules.plans)],
        "counters": {
            "orders": rules.order_counter,
            "intents": rules.intent_counter,
            "plans": rules.plan_counter,
            "requests": rules.request_counter,
            "alerts": state.alerts.counter,
        },
        "is_stopping": rules.is_stopping,
        "overrides": {
            f"{scope} {name}": o.value for (scope, name), o in state.overrides.values.items()
        },
        "silences": sorted(f"{name} {scope}" for name, scope in state.alerts.silences),
        "threads": {
            t.thread_id: [t.revision, t.worst_level.value, t.is_over]
            for t in state.alerts.threads.values()
        },
        "last_code": state.factors.used,
        "margin_moves": [state.moves.counter, len(state.moves.pending)],
    }


def version() -> str:
    """Return the version that the source says it is."""
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())
    return str(project["project"]["version"])


def main() -> None:
    """Write `<version>.jsonl.gz` and its summary; one that exists is left alone."""
    target = HERE / f"{version()}.jsonl.gz"
    with target.open("xb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write("\n".join(lines(played())).encode())
    text = json.dumps(summary(folded(target)), indent=1)
    target.with_name(f"{version()}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
