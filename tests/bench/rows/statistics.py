"""VaR, ES, components and covariance against the bare numpy lines of the same arrays.

And how late the guard's loop is while another process studies all of it.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

# Threads that wait for a busy core would be measured, not the statistics. Read at numpy's import.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from riskbot.clock import SystemClock
from riskbot.core import actions, events
from riskbot.core.histories import BookSketch, DailySeries
from riskbot.core.stats import correlation, var, volatility
from riskbot.worker import Worker
from tests.bench.ccxt_parse import parse_costs
from tests.bench.gaps import EVERY_S, GAP_MS
from tests.bench.table import Row, bounded, compared, figure, quantile

DAYS = 252
SIZES = (10, 200, 1_000, 2_000)
CONFIDENCE = 0.95
TAIL = 12
"""Days beyond the VaR of 252 at 95 %."""

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Case:
    """A book and its history, column by column in memory as the guard keeps them."""

    returns: np.ndarray
    held: np.ndarray
    pnl: np.ndarray


def measure(is_quick: bool) -> list[Row]:
    """Return the rows."""
    repeats = 5 if is_quick else 15
    cases = {count: _case(count) for count in SIZES}
    parsing = parse_costs(3 if is_quick else 7)["fill"]
    return [
        *_whole(cases, repeats),
        *_incremental(cases, repeats, parsing),
        *_matrices(cases, repeats),
        *(row for count in (200, 2_000) for row in asyncio.run(_lag(count))),
    ]


def _case(count: int) -> Case:
    rng = np.random.default_rng(count)
    factor = rng.standard_t(4, (DAYS, 1)) * 0.02
    returns = np.asfortranarray(factor + rng.standard_t(4, (DAYS, count)) * 0.02)
    held = rng.normal(1_000, 5_000, count)
    return Case(returns, held, returns @ held)


def _whole(cases: dict[int, Case], repeats: int) -> list[Row]:
    rows, costs = [], {}
    for count, case in cases.items():
        bare, tail, parts = _times(
            (
                lambda case=case: _bare(case.returns @ case.held),
                lambda case=case: var.historical(
                    var.exposure_pnl(case.returns, case.held), CONFIDENCE
                ),
                lambda case=case: var.attribute(case.returns, case.held, CONFIDENCE),
            ),
            repeats,
        )
        costs[count] = parts
        name = f"bare numpy, {count:,}"
        what = f"{count:,} assets x {DAYS} days"
        rows.append(compared(f"VaR + ES, {what}", tail, bare, name, 1.4 if count == 200 else None))
        rows.append(compared(f"VaR + ES + components, {what}", parts, bare, name))
    what = "VaR + ES + components, 2,000 assets"
    rows.append(compared(what, costs[2_000], costs[200], "200 assets"))
    return rows


def _incremental(cases: dict[int, Case], repeats: int, parsing: float) -> list[Row]:
    costs = {}
    for count, case in cases.items():
        column = case.returns[:, count // 2]
        costs[count] = _times(
            (
                lambda case=case, column=column: _bare(case.pnl + 1_000.0 * column),
                lambda case=case, column=column: var.what_if(case.pnl, column, 1_000.0, CONFIDENCE),
            ),
            repeats,
        )
    bare, ours = costs[200]
    what = "VaR + ES with one exposure more"
    return [
        compared(f"{what} (after a fill, at the gate), 200", ours, parsing, "ccxt's fill", 0.15),
        bounded(f"{what}, beyond bare numpy", ours - bare, 5, "us", f"bare: {figure(bare)} us"),
        compared(f"{what}, 1,000", costs[1_000][1], costs[10][1], "at 10", 1.2),
        compared(f"{what}, 2,000", costs[2_000][1], costs[10][1], "at 10"),
    ]


def _matrices(cases: dict[int, Case], repeats: int) -> list[Row]:
    rows = []
    for count in (200, 2_000):
        returns = np.ascontiguousarray(cases[count].returns)
        covariance = volatility.ewma_covariance(returns)
        matrix = correlation.correlations(returns[-90:]).matrix
        names = [f"C{number}" for number in range(count)]
        few = repeats if count == 200 else max(2, repeats // 5)
        product, full, update, corrcoef, shrunk, groups = _times(
            (
                lambda returns=returns: returns.T @ returns,
                lambda returns=returns: volatility.ewma_covariance(returns),
                lambda known=covariance, returns=returns: volatility.updated_covariance(
                    known, returns[-1], DAYS
                ),
                lambda returns=returns: np.corrcoef(returns[-90:].T),
                lambda returns=returns: correlation.correlations(returns[-90:]),
                lambda matrix=matrix, names=names: correlation.groups(matrix, names, 0.6),
            ),
            few,
        )
        what = f"{count:,} assets"
        rows += [
            compared(f"EWMA covariance, {what} x {DAYS} days", full, product, "bare product"),
            compared(f"EWMA covariance, one day more, {what}", update, full, "anew"),
            compared(f"correlation, shrunk, {what} x 90 days", shrunk, corrcoef, "np.corrcoef"),
            compared(f"groups of {what}", groups, corrcoef, "np.corrcoef"),
        ]
    return rows


async def _lag(count: int) -> list[Row]:
    """Sample a loop that has a year of everything studied by the worker, twice."""
    answers: asyncio.Queue[object] = asyncio.Queue()
    worker = Worker(answers.put_nowait, SystemClock(), random.Random(1))
    running = asyncio.create_task(worker.run())
    worker.take(_history(count))
    exposures = {f"C{number}": 1_000.0 for number in range(count)}
    late_ms: list[float] = []
    sampling = asyncio.create_task(_sample(late_ms))
    started = time.perf_counter()
    for number in (1, 2):
        books = (BookSketch("portfolio", 1e6, exposures),)
        worker.do(actions.AnalyzeRisk(request_id=number, as_of_ms=0, books=books))
        await answers.get()
    took_s = time.perf_counter() - started
    for task in (sampling, running):
        task.cancel()
    await asyncio.gather(sampling, running, return_exceptions=True)
    note = f"p50 {quantile(late_ms, 0.5):.1f} ms; start and two answers took {took_s:.1f} s"
    what = f"loop lag while {count:,} assets are studied"
    return [bounded(f"{what}, largest", max(late_ms), GAP_MS, "ms", note)]


async def _sample(late_ms: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_S
        await asyncio.sleep(EVERY_S)
        late_ms.append((loop.time() - due) * 1e3)


def _history(count: int) -> events.PriceHistoryRead:
    rng = np.random.default_rng(count)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.03, (2 * DAYS + 1, count)), axis=0))
    series = tuple(
        DailySeries(f"C{number}", "bench", 0, tuple(closes[:, number].tolist()), 1e9)
        for number in range(count)
    )
    return events.PriceHistoryRead(series=series)


def _bare(pnl: np.ndarray) -> tuple[float, float]:
    ordered = np.partition(pnl, TAIL)
    return -ordered[TAIL], -ordered[: TAIL + 1].sum() / (TAIL + 1)


def _times(works: tuple[Work, ...], repeats: int) -> list[float]:
    """Return us of CPU per call of each, the best of some rounds in which they take turns."""
    loops = [_loops(work) for work in works]
    best = [float("inf")] * len(works)
    for _ in range(repeats):
        for place, work in enumerate(works):
            started = time.thread_time()
            for _ in range(loops[place]):
                work()
            spent = (time.thread_time() - started) / loops[place] * 1e6
            best[place] = min(best[place], spent)
    return best


def _loops(work: Work) -> int:
    """Return how many calls make about 5 ms."""
    work()
    started = time.thread_time()
    work()
    return max(1, int(0.005 / (time.thread_time() - started)))
