"""A sweep of 50 targets, each solved from the one before: ``python -m benchmarks.sweep``.

The upper target of one interval moves from its level at the optimum down by three per cent. The
whole sweep is told in cold solves of the same program, and every tenth answer is held against its
own cold solve.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import credit_portfolio as cp
from benchmarks import measure
from benchmarks.registry import SPECS, program
from credit_portfolio.program.program import CreditProgram

SWEPT = [f"{family}-{n}" for n in ("1k", "10k", "100k") for family in ("common", "idiosyncratic")]
POINTS, ROW, TIGHTENED = 50, 3, 0.97
COLD_RUNS = 5
# Both solves are proved to 1e-9 of the objective, each from its own side.
AGREED = 2e-9


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep took, in seconds, and how far its answers are from cold ones."""

    spec: str
    cold: float
    sweep: float
    apart: float


def sweep(name: str, points: int = POINTS) -> Swept:
    """Measure a sweep over one program of the registry."""
    stated = program(SPECS[name])
    first = cp.solve(stated)
    cold = statistics.median(measure.seconds(lambda: cp.solve(stated), COLD_RUNS))
    level = float((stated.rows @ first.x)[ROW])
    targets = np.linspace(TIGHTENED * level, level, points)
    tightened = [with_target(stated, float(target)) for target in targets]
    solution, found = cp.solve(tightened[0]), []
    started = time.perf_counter()
    for each in tightened:
        solution = cp.solve(each, start=solution)
        found.append(solution)
    taken = time.perf_counter() - started
    apart = 0.0
    for each, warm in list(zip(tightened, found, strict=True))[::10]:
        if warm.status != "optimal":
            raise RuntimeError(f"{name}: {warm.message}")
        alone = cp.solve(each)
        apart = max(apart, abs(warm.objective / alone.objective - 1.0))
    return Swept(name, cold, taken, apart)


def with_target(stated: CreditProgram, target: float) -> CreditProgram:
    """Return the program with another upper target for one interval."""
    upper = stated.row_upper.copy()
    upper[ROW] = target
    return CreditProgram(
        factors=stated.factors,
        idiosyncratic=stated.idiosyncratic,
        linear=stated.linear,
        rows=stated.rows,
        row_lower=stated.row_lower,
        row_upper=upper,
        lower=stated.lower,
        upper=stated.upper,
        row_names=stated.row_names,
    )


def lines(names: list[str]) -> Iterator[str]:
    """Lay the sweeps out as a table in Markdown."""
    yield "| program | one cold solve | 50 targets | ÷ cold | objectives apart |"
    yield "| --- " + "| ---: " * 4 + "|"
    for name in names:
        found = sweep(name)
        if found.apart > AGREED:
            raise RuntimeError(f"{name}: warm and cold objectives are {found.apart:.1e} apart")
        yield (
            f"| {name} | {1000 * found.cold:.1f} ms | {found.sweep:.3f} s | "
            f"{found.sweep / found.cold:.1f} | {found.apart:.0e} |"
        )


if __name__ == "__main__":
    print("\n".join(measure.machine(["numpy", "scipy"])), "", sep="\n")
    for line in lines(SWEPT):
        print(line, flush=True)
