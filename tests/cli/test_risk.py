"""`stress`, `var`, `correlation` without a daemon: a journal folded, a cache read, the demo's."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from riskbot.__main__ import main
from riskbot.cli import arrange, standing, tables
from riskbot.config import load
from riskbot.core import events
from riskbot.core.commands import BY_NAME
from riskbot.core.engine import Engine
from riskbot.core.histories import DAY_MS
from riskbot.core.turn import Turn
from riskbot.history.cache import Cache
from riskbot.history.kept import Kept, series
from riskbot.history.service import NAME
from riskbot.journal import Journal
from tests.config_files import with_, write
from tests.core.past import noise
from tests.core.world import ADMIN, World, world

HELD = {"BTC": (1.0, 50_000.0), "ETH": (-10.0, 2_000.0)}

LIMITED = {"preset": "leveraged", "limits": {"stress_loss": {"max": 0.2, "on_breach": "alert"}}}


def kept(underlying: str, seed: int, days: int = 400) -> Kept:
    """Return what the cache holds of a coin: noise that ends yesterday."""
    made = noise(underlying, seed, days)
    found = Kept(underlying, "main", f"{underlying}/USDT:USDT", checked_ms=10**12)
    for day, close in enumerate(made.closes, made.first_day):
        assert close is not None
        found.bars.put(day, close, 1e9)
    return found


PASTS = [kept("BTC", 1), kept("ETH", 2)]


async def journaled(directory: Path, made: World, pasts: list[Kept]) -> None:
    """Write what happened as the runner does, with a checkpoint on the way, and the cache."""
    state = directory / "state"
    state.mkdir(mode=0o700)
    journal = await Journal.open(state / "journal.sqlite", made.journal[0][0])
    half = len(made.journal) // 2
    early = Engine(made.engine.settings, "rbtest")
    for number, (ts_ms, record) in enumerate(made.journal):
        early.fold(record, ts_ms)
        # An action alone is no transaction of the runner's; the fold does not mind.
        await journal.enqueue(record, [], ts_ms)
        if number == half:
            await journal.save_checkpoint(early.dump(), journal.last_seq, ts_ms)
    await journal.close()
    cache = Cache(state / NAME)
    for each in pasts:
        await cache.store(each)


@pytest.fixture(scope="module")
def made() -> World:
    found = world(held=HELD)
    found.wait(3)
    return found


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, made: World) -> Path:
    directory = tmp_path_factory.mktemp("risk")
    asyncio.run(journaled(directory, made, PASTS))
    return write(directory, with_(state_dir="state", portfolio=LIMITED))


def asked(config: Path, made: World, name: str, **args: Any) -> Any:
    """Return what the daemon's own engine answers, with the same history, at the same moment."""
    engine = Engine(load(config).core(), "rbtest")
    for ts_ms, record in made.journal:
        engine.fold(record, ts_ms)
    today = made.now_ms // DAY_MS
    history = events.PriceHistoryRead(series=tuple(series(each, today) for each in PASTS))
    engine.fold(history, made.now_ms)
    engine.state.on_timer(made.now_ms)
    standing.Standing(engine, made.now_ms, "").study()
    turn = Turn(engine.state, engine.settings, made.now_ms)
    reply = BY_NAME[name](**args).run(turn, ADMIN, "r")
    assert reply.ok, reply.message
    return json.loads(json.dumps(reply.document))


def in_order(document: Any) -> Any:
    """Return a document with reasons in order: legs come as a set of them has it."""
    if isinstance(document, dict):
        return {
            key: sorted(value) if key == "unknown" and value else in_order(value)
            for key, value in document.items()
        }
    return [in_order(each) for each in document] if isinstance(document, list) else document


QUESTIONS = [
    ("stress", [], {}),
    ("stress", ["march_2020"], {"scenario": "march_2020"}),
    ("stress", ["--simulate", "BTC -10%, ETH -15%"], {"simulate": "BTC -10%, ETH -15%"}),
    ("stress", ["--suggest", "down_50"], {"scenario": "down_50", "suggest": True}),
    (
        "stress",
        ["down_50", "--suggest", "--max", "0.1", "--account", "main"],
        {"scenario": "down_50", "suggest": True, "max": 0.1, "account": "main"},
    ),
    ("var", [], {}),
    ("correlation", [], {}),
]


@pytest.mark.parametrize(("name", "argv", "args"), QUESTIONS)
def test_json_is_the_document_of_the_command(
    config: Path,
    made: World,
    name: str,
    argv: list[str],
    args: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([name, *argv, "--json", "--config", str(config)]) == 0
    shown = json.loads(capsys.readouterr().out)
    expected = asked(config, made, name, **args)
    assert in_order(shown) == in_order(expected)
    assert shown["as_of_ms"] == made.journal[-1][0]


def test_figures_are_those_of_what_is_held(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The account holds 50,000 USD of BTC and is 20,000 USD short of ETH, on 100,000."""
    assert main(["stress", "--simulate", "BTC -10%", "--json", "--config", str(config)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["pnl_usd"] == pytest.approx(-5_000)
    assert document["loss"] == pytest.approx(0.05)
    assert main(["var", "--json", "--config", str(config)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unknown"] is None
    parts = [row["var_usd"] for row in document["components"]]
    assert sum(parts) == pytest.approx(document["value_at_risk_usd"]["95"])
    assert document["slow"]["backtest_days"] > 100


TABLES = [
    (
        ["stress"],
        ["equity 100,000.00", "march_2020", "18,000", "18.0 %", "at most 20.0 % of E", "old",
         "venue_lost *"],
    ),
    (
        ["stress", "march_2020", "--explain"],
        ["BTC/USDT:USDT", "1 x 50,000", "-60.00 % (BTC)", "-30,000", "(DEFAULT)", "12,000",
         "= 50,000.00 USD * -0.6", "loss 18,000 / equity 100,000 = 18.0 %", "published figure"],
    ),
    (["stress", "depeg_usdt"], ["USDT", "-10.0 %", "in all"]),
    (["stress", "venue_lost"], ["the venue that is lost: paper", "-100,000"]),
    (["stress", "--explain"], ["march_2020: The fall of Thursday", "funding_x10:", "unknown:"]),
    (
        ["stress", "--suggest", "down_50", "--max", "0.1", "--explain"],
        ["advice only", "sell", "that is enough", "How it is found"],
    ),
    (
        ["var", "--explain"],
        ["VaR 95 %, one day", "expected shortfall 99 %", "backtest: the loss exceeded",
         "100.0 %", "<- VaR 95 %", "<- VaR 99 %", "main|BTC/USDT:USDT", "252"],
    ),
    (
        ["correlation", "--explain"],
        ["BTC", "+1.00", "average", "BTC 90, ETH 90", "main|ETH/USDT:USDT"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "parts"), TABLES)
def test_tables_show_figures_and_what_they_come_from(
    config: Path, argv: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert [part for part in parts if part not in shown] == [], shown
    assert "-0.0 %" not in shown


@pytest.mark.parametrize(
    ("argv", "least"),
    [
        (["stress"], (1_000, 600)),
        (["stress", "depeg_usdt"], (1_000, 400)),
        (["var"], (1_000, 400)),
        (["correlation"], (500, 400)),
    ],
)
def test_plot_is_a_picture_of_sensible_size(
    config: Path, tmp_path: Path, argv: list[str], least: tuple[int, int]
) -> None:
    file = tmp_path / "risk.png"
    assert main([*argv, "--plot", str(file), "--json", "--config", str(config)]) == 0
    data = file.read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) >= least
    assert height >= least[1]
    assert width * height < 4_000_000
    assert len(data) > 8_000
    assert [each.name for each in tmp_path.iterdir()] == ["risk.png"]


FAULTS = [
    (["stress", "--max", "2"], "at most 1"),
    (["stress", "--max", "much"], "at most 1"),
    (["stress", "--max", "0.2"], "--max goes with --suggest"),
    (["stress", "--suggest"], "needs a scenario"),
    (["stress", "ftx", "--suggest", "may_2021"], "two scenarios"),
    (["stress", "ftx", "--simulate", "BTC -10%"], "instead of a scenario"),
    (["stress", "--simulate", "BTC -10"], "write a percentage"),
    (["stress", "--suggest", "ftx", "--plot", "a.png"], "has no picture"),
    (["var", "--plot", "a.pdf"], "must end in .png"),
    (["var", "--explain", "--json"], "leave --json out"),
    (["var", "--demo", "--config", "x.yaml"], "leave --config out"),
    (["var", "march_2020"], "unrecognized arguments"),
]


@pytest.mark.parametrize(("argv", "part"), FAULTS)
def test_what_does_not_go_together_is_usage(
    argv: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["stress", "marsh_2020"], "no scenario 'marsh_2020'; there are: "),
        (["var", "--account", "other"], "no account 'other'; configured: main"),
        (["var", "--plot", "/nowhere/at/all.png"], "cannot write /nowhere/at/all.png"),
    ],
)
def test_what_is_not_there_is_refused(
    config: Path, argv: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--config", str(config)]) == 1
    assert part in capsys.readouterr().err
    if "--plot" not in argv:
        assert main([*argv, "--json", "--config", str(config)]) == 1
        assert part in json.loads(capsys.readouterr().out)["message"]


def test_without_a_journal_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, with_(state_dir="state"))
    assert main(["var", "--config", str(file)]) == 1
    assert "riskbot has not run here yet" in capsys.readouterr().err
    (tmp_path / "state").mkdir()

    async def begin() -> None:
        await (await Journal.open(tmp_path / "state" / "journal.sqlite", 1)).close()

    asyncio.run(begin())
    assert main(["var", "--config", str(file)]) == 1
    assert "is empty" in capsys.readouterr().err


def test_bad_configuration_exits_with_78(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, with_(mode="brave"))
    assert main(["stress", "--config", str(file)]) == 78
    assert "mode: must be one of" in capsys.readouterr().err


def test_without_history_what_rests_on_it_is_unknown_with_its_reason(
    tmp_path: Path, made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(journaled(tmp_path, made, []))
    keys = {"api_key": "k", "api_secret": "s"}
    accounts = {"main": {"exchange": "binanceusdm", **keys}}
    file = write(tmp_path, with_(state_dir="state", accounts=accounts))
    picture = str(tmp_path / "a.png")
    for damaged in (False, True):
        if damaged:
            (tmp_path / "state" / NAME).write_bytes(b"no database at all, whatever it is" * 40)
        assert main(["var", "--config", str(file)]) == 0
        shown = capsys.readouterr().out
        assert "value at risk: unknown: no price history is known yet" in shown
        assert ("cannot be read" in shown) is damaged
        assert main(["stress", "--config", str(file)]) == 0
        shown = capsys.readouterr().out
        assert "unknown: correlations_09: " in shown
        assert "18,000" in shown
        assert main(["var", "--plot", picture, "--config", str(file)]) == 1
        assert "nothing to draw: no price history" in capsys.readouterr().err
        assert main(["correlation", "--plot", picture, "--config", str(file)]) == 1
        assert "nothing to draw" in capsys.readouterr().err


def test_what_was_out_of_sight_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = world(held=HELD)
    found.wait(2)
    found.muted.add("main")
    found.wait(200)
    asyncio.run(journaled(tmp_path, found, []))
    file = write(tmp_path, with_(state_dir="state"))
    assert main(["stress", "--config", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "prices up to 3 min older: BTC/USDT:USDT, ETH/USDT:USDT" in shown
    assert "march_2020" in shown


def test_reading_leaves_no_trace(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = config.parent / "state"
    before = {each.name: each.read_bytes() for each in state.iterdir()}
    assert main(["stress", "--config", str(config)]) == 0
    assert {each.name: each.read_bytes() for each in state.iterdir()} == before
    capsys.readouterr()


def test_demo_needs_nothing_and_reads_like_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stress", "--demo", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["scenarios"]}
    assert document["equity_usd"] == pytest.approx(100_000, rel=1e-3)
    # Net 61 % of E, and every coin takes the published fall of BTC.
    assert rows["march_2020"]["loss"] == pytest.approx(0.6 * document["net_usd"] / 100_000)
    assert "drawdown" in rows["march_2020"]["broken"]
    assert [name for name, row in rows.items() if row["unknown"]] == []


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (-5, "0 s"),
        (40_000, "40 s"),
        (750_000, "12 min"),
        (9_000_000, "2.5 h"),
        (3 * DAY_MS, "3.0 "),
    ],
)
def test_age_is_told_in_words(ms: int, words: str) -> None:
    assert standing.age_words(ms).startswith(words)


def test_what_moves_together_stands_together() -> None:
    """Two pairs, one of them opposed to the other, whatever order they come in."""
    apart, near = -0.3, 0.9
    matrix = [[1.0, apart, near, apart], [apart, 1.0, apart, near],
              [near, apart, 1.0, None], [apart, near, None, 1.0]]  # fmt: skip
    order = arrange.clustered(matrix)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1
    assert arrange.clustered([]) == []


def test_wide_matrix_shows_its_strongest_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"C{number}" for number in range(30)]
    matrix = [[1.0 if a == b else 0.1 for b in range(30)] for a in range(30)]
    matrix[4][3] = matrix[3][4] = -0.95
    matrix[7][6] = matrix[6][7] = None  # type: ignore[call-overload]
    document = {
        "scope": "portfolio", "as_of_ms": 0, "days": 90, "underlyings": names, "matrix": matrix,
        "average": 0.1, "groups": [], "unknown": ["NEW"],
    }  # fmt: skip
    tables.show("correlation", document)
    shown = capsys.readouterr().out
    assert "strongest of 434 pairs" in shown
    assert shown.index("-0.95") < shown.index("+0.10")
    assert "unknown: NEW" in shown


def test_ctl_shows_the_daemons_documents_with_the_same_tables(
    config: Path, made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["var", "--config", str(config)]) == 0
    offline = capsys.readouterr().out
    tables.show("var", asked(config, made, "var"))
    assert offline.endswith(capsys.readouterr().out)
