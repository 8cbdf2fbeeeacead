"""Fail when the solver loses its lead: ``python -m benchmarks.check_ratios``.

Machines differ and are busy, so that no absolute time is looked at: both solvers run in turn in
one process, and the ratio of their medians is held to a bar well below what is measured on an idle
machine. A ratio that misses its bar is measured once more.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import credit_portfolio as cp
from benchmarks.measure import pull_seconds
from benchmarks.peers import cvxpy_clarabel
from benchmarks.registry import SPECS, program
from credit_portfolio.program.program import CreditProgram


@dataclass(frozen=True, slots=True)
class Bar:
    """How many times faster than the other the solver has to be, on one program."""

    spec: str
    other: str
    least: float
    runs: int


# An everyday book, and one just above the size from which the structure is used to the full. A
# pull reads each number once: the last bar holds whatever other libraries do.
BARS = [
    Bar("common-1k", "cvxpy + clarabel", 1.2, 7),
    Bar("common-30k", "cvxpy + clarabel", 3.0, 3),
    Bar("idiosyncratic-30k", "cvxpy + clarabel", 4.0, 3),
    Bar("common-100k", "pulls", 1 / 300, 5),
]


def ratio(bar: Bar) -> float:
    """Return the other's time over ours, both the median of runs that alternate."""
    stated = program(SPECS[bar.spec])
    other = _other(bar.other, stated)
    solve_ours = lambda: _proved(stated)  # noqa: E731
    solve_ours()
    theirs, own = [other()], [solve_ours()]
    for _ in range(bar.runs - 1):
        own.append(solve_ours())
        theirs.append(other())
    return statistics.median(theirs) / statistics.median(own)


def _other(name: str, stated: CreditProgram) -> Callable[[], float]:
    if name == "pulls":
        return lambda: pull_seconds(stated)
    cvxpy_clarabel(program(SPECS["common-100"]))  # the import
    return lambda: _timed(lambda: cvxpy_clarabel(stated))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _proved(stated: CreditProgram) -> float:
    solution = cp.solve(stated)
    if not solution.certificate.holds:
        raise SystemExit(f"no proof: {solution.message}")
    return solution.seconds


def main() -> None:
    failed = []
    for bar in BARS:
        found = ratio(bar)
        if found < bar.least:
            found = max(found, ratio(bar))
        verdict = "ok" if found >= bar.least else "FAILED"
        print(
            f"{bar.spec:20} {found:8.3g} × {bar.other:18} at least {bar.least:.3g}  {verdict}",
            flush=True,
        )
        if found < bar.least:
            failed.append(bar.spec)
    if failed:
        raise SystemExit(f"slower than it has to be: {', '.join(failed)}")


if __name__ == "__main__":
    main()
