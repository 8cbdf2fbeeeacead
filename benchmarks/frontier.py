"""Frontiers of 50 points, told in cold solves: ``python -m benchmarks.frontier [SIZE …]``.

Sizes as in the registry, "10k" by default. Processor time on one thread of BLAS, so that a busy
machine changes little. *Narrow* is a target that moves by three per cent from its level at the
optimum, as in ``benchmarks.sweep``; *whole* is the default of ``frontier``, from the best that any
shares can reach to where the bound costs nothing, its linear program and reference portfolios
included. Near that best end even a cold solve takes several times as long as in the middle: *at
the end* is what it takes there, *mean of its points* that of every tenth point solved cold.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from threadpoolctl import threadpool_limits

import credit_portfolio as cp
from benchmarks import measure
from benchmarks.registry import SPECS, program
from benchmarks.sweep import ROW, TIGHTENED
from credit_portfolio.frontiers import Frontier, frontier
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.sweeps import RowSweep

POINTS, RUNS = 50, 3
FAMILIES = ("common", "idiosyncratic")
# Both solves are proved to 1e-9 of the objective, each from its own side.
AGREED = 2e-9


def processor_seconds(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median processor time of the work, after one run that does not count."""
    work()
    taken = []
    for _ in range(runs):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def check(
    stated: CreditProgram, row: int, found: Frontier, *, at_most: bool
) -> tuple[float, float]:
    """Hold every tenth point against its own cold solve.

    Returns the largest relative distance, and the mean processor time of these cold solves.
    """
    apart, sweep, taken = 0.0, RowSweep(stated, row, at_most), []
    for value, variance in found.points[["value", "variance"]].to_numpy()[::10]:
        asked = sweep.at(float(value))
        started = time.process_time()
        alone = cp.solve(asked)
        taken.append(time.process_time() - started)
        if alone.status == "optimal":  # at the end of a range a cold solve may find no proof
            apart = max(apart, abs(variance / alone.objective - 1.0))
    return apart, statistics.mean(taken)


def lines(size: str) -> Iterator[str]:
    """Lay the frontiers of a size out as rows of a table in Markdown."""
    for family in FAMILIES:
        stated = program(SPECS[f"{family}-{size}"])
        first = cp.solve(stated)
        cold = processor_seconds(lambda p=stated: cp.solve(p))
        level = float((stated.rows @ first.x)[ROW])
        over = f"target:{stated.row_names[ROW]}"
        narrow = np.linspace(TIGHTENED * level, level, POINTS)
        mean = stated.rows[:6].T @ np.array([-0.3, 0.08, 0.175, 0.215, 0.235, 0.245])
        for words, kind, values in (
            ("narrow", over, narrow),
            ("whole", over, None),
            ("expected return, whole", "expected_return", None),
        ):
            found = frontier(stated, kind, values, points=POINTS, mean_return=mean)
            if not (found.points["status"] == "optimal").all():
                raise RuntimeError(f"{family}-{size}, {words}: {found.notes}")
            apart = own = np.nan
            end = found.points["value"].iloc[0]
            tight = RowSweep(stated, ROW, at_most=True).at(float(end))
            if kind == over:
                apart, own = check(stated, ROW, found, at_most=True)
            if apart > AGREED:
                raise RuntimeError(f"{family}-{size}, {words}: {apart:.1e} from cold solves")
            taken = processor_seconds(
                lambda k=kind, v=values, p=stated, m=mean: frontier(
                    p, k, v, points=POINTS, mean_return=m
                ),
                1,
            )
            ends = processor_seconds(lambda t=tight: cp.solve(t), 1) if kind == over else np.nan
            yield (
                (
                    f"| {family}-{size} | {words} | {1000 * cold:.0f} ms | {1000 * ends:.0f} ms | "
                    f"{1000 * own:.0f} ms | {taken:.3f} s | {taken / cold:.1f} | "
                    f"{taken / own:.1f} | {apart:.0e} |"
                )
                .replace("nan ms", "–")
                .replace("nan", "–")
            )


def main() -> None:
    print("\n".join(measure.machine(["numpy", "scipy"])), "", sep="\n")
    head = "| program | sweep | one cold solve | at the end | mean of its points | 50 points "
    print(f"{head}| ÷ cold | ÷ mean | apart |")
    print("| --- | --- " + "| ---: " * 7 + "|")
    with threadpool_limits(1, user_api="blas"):
        for size in sys.argv[1:] or ["10k"]:
            for line in lines(size):
                print(line, flush=True)


if __name__ == "__main__":
    main()
