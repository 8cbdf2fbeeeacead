"""How far targets under each operator are proved: ``python -m benchmarks.operators [operator …]``.

A seeded book of n customers: today's shares, limits, a risk of twelve factors, P counted from 24
months; or P smoothed and no limits, so that shares pass many kinks. Targets bound the two worst
intervals from above and the best one from below: by today's degrees ("no worse"), or a tenth beyond
those of the shares of least variance ("binding"). Then the minimum line, alone and with operators.

A cell says what was proved, the boxes that it took, and the seconds of that one run, 30 at most.
"proved" is the optimum, "none exist" that no book meets the targets; "gap" is what is left between
the best book and the bound, "no point" that none was found that meets them, so only the bound is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

import credit_portfolio as cp
from benchmarks import measure
from credit_portfolio.evaluation.operators import OPERATORS, operator_named
from credit_portfolio.program.alternatives import Alternatives, with_minimum_line
from credit_portfolio.program.composition import compose
from credit_portfolio.solvers.branching import Branched, branch

SIZES = (10, 100, 1000)
SEED, MONTHS, FACTORS = 20261122, 24, 12
MAX_SECONDS = 30.0
# Chances of five return intervals from loss to full markup, for the riskiest and the best customer.
_WORST, _BEST = np.array([3.0, 3.0, 5.0, 8.0, 6.0]), np.array([0.05, 0.2, 1.0, 5.0, 25.0])
_BETTER = 0.1
# Minimum lines, in mean shares, and what they are combined with.
_LINES = (0.5, 2.0)
_WITH = (None, "weighted_average", "bounded_sum")


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """A book, its P, and today's shares."""

    program: cp.CreditProgram
    P: np.ndarray
    today: np.ndarray


def case(n: int, *, capped: bool = True, smoothed: bool = False) -> Case:
    """Draw a book: limits of four mean shares on average, or none."""
    rng = np.random.default_rng([SEED, n])
    quality = rng.beta(1.5, 1.5, n)
    chances = [rng.dirichlet(q * _BEST + (1 - q) * _WORST) for q in quality]
    counts = np.array([rng.multinomial(MONTHS, chance) for chance in chances])
    P = counts / MONTHS
    if smoothed:
        P = (counts + counts.mean(axis=0) / MONTHS) / (MONTHS + 1)
    size = rng.lognormal(0.0, 0.8, n)
    today = size / size.sum()
    risk = 0.02 + 0.10 * (1 - quality)
    F = risk * rng.normal(0.4, 0.3, (FACTORS, n)) / np.sqrt(FACTORS)
    upper = np.maximum(today * rng.uniform(1.2, 3.0, n), 1.0 / n) if capped else np.ones(n)
    program = cp.CreditProgram(
        factors=F,
        idiosyncratic=risk**2 * rng.uniform(0.5, 1.5, n),
        rows=np.ones((1, n)),
        row_lower=1.0,
        row_upper=1.0,
        upper=np.minimum(upper, 1.0),
        row_names=["budget"],
    )
    return Case(program, P, today)


def targets(drawn: Case, operator: str, *, normalised: bool, binding: bool) -> Alternatives:
    """Bound the two worst intervals from above and the best one from below.

    By today's degrees; or, where binding, by degrees a tenth better than those of the shares of
    least variance, so that the targets cost something.
    """
    measured = operator_named(operator, normalised=normalised)
    B = measured(cp.solve(drawn.program).x if binding else drawn.today, drawn.P)
    better = _BETTER if binding else 0.0
    upper, lower = np.full(B.size, np.inf), np.full(B.size, -np.inf)
    upper[:2] = B[:2] * (1 - better)
    lower[-1] = min(B[-1] * (1 + better), 1.0)
    return compose(
        operator, drawn.P, upper=upper, lower=lower, program=drawn.program, normalised=normalised
    )


def solved(stated: Alternatives, drawn: Case, seconds: float = MAX_SECONDS) -> Branched:
    """Solve from today's shares, which meet "no worse than now"."""
    return branch(stated, start=drawn.today, max_seconds=seconds)


def lines(sizes: tuple[int, ...], operators: tuple[str, ...]) -> Iterator[str]:
    """Lay the results out as a table in Markdown, a column for each size."""
    yield "| operator | B | P | targets |" + _heads(sizes)
    yield "| --- | --- | --- | --- |" + " ---: |" * len(sizes)
    every = product(operators, (False, True), (False, True), (False, True))
    for operator, normalised, smoothed, binding in every:
        cells = []
        for n in sizes:
            drawn = case(n, capped=not smoothed, smoothed=smoothed)
            stated = targets(drawn, operator, normalised=normalised, binding=binding)
            cells.append(_told(solved(stated, drawn)))
        kind = "normalised" if normalised else "raw"
        degrees = "smoothed, no limits" if smoothed else "counted, limits"
        wanted = "binding" if binding else "no worse"
        yield f"| {operator} | {kind} | {degrees} | {wanted} | {' | '.join(cells)} |"


def lines_of_minimum(sizes: tuple[int, ...]) -> Iterator[str]:
    """Lay out the minimum line alone, and with targets under two operators."""
    yield "| minimum line | with | limits |" + _heads(sizes)
    yield "| --- | --- | --- |" + " ---: |" * len(sizes)
    for line, operator, capped in product(_LINES, _WITH, (True, False)):
        cells = []
        for n in sizes:
            drawn = case(n, capped=capped)
            stated: Alternatives | cp.CreditProgram = drawn.program
            if operator is not None:
                stated = targets(drawn, operator, normalised=False, binding=False)
            least = np.minimum(line / n, drawn.program.upper)
            cells.append(_told(solved(with_minimum_line(stated, least), drawn)))
        limits = "yes" if capped else "none"
        yield f"| {line} / n | {operator or 'alone'} | {limits} | {' | '.join(cells)} |"


def _heads(sizes: tuple[int, ...]) -> str:
    return "".join(f" n = {n:,} |" for n in sizes)


def _told(found: Branched) -> str:
    """Say what was proved, over how many boxes, in how many seconds."""
    verdict = {"optimal": "proved", "infeasible": "none exist"}.get(
        found.status, f"gap {found.gap:.0e}" if np.isfinite(found.gap) else "no point"
    )
    return f"{verdict}, {found.nodes:,}, {found.seconds:.2f} s"


if __name__ == "__main__":
    print("\n".join(measure.machine(["numpy", "scipy"])), "", sep="\n")
    asked = tuple(sys.argv[1:]) or tuple(OPERATORS)
    for line in lines(SIZES, asked):
        print(line, flush=True)
    print()
    for line in lines_of_minimum(SIZES):
        print(line, flush=True)
