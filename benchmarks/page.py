"""Write the results page of the documentation: ``python -m benchmarks.page``.

Takes a quarter of an hour, also with ``--ten-million``, which needs 8 GB of memory. ``--sweeps``
measures the sweeps again and leaves the rest of the page as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import measure, scaling, solver_peers, sweep

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

TEXT = """\
# Benchmarks

This page is written by `python -m benchmarks.page`; the programs are described in
`benchmarks/registry.py` and the calls of the other libraries in `benchmarks/peers.py`.

{machine}

## The programs

36 periods, six interval rows and the budget, Ledoit–Wolf, caps of 5/n, targets no worse than a book
of today. Panels are drawn from a seed and go through the package's own interval counts and
covariance. In *common* programs one factor moves most customers, and almost all of them end at a
bound; in *idiosyncratic* ones hardly any does, and almost all end between their bounds; *lognormal*
has caps of very different sizes.

## Beside other solvers

Every solver meets every program in a fresh process, after solving a small one. Seconds are medians
and cover everything from the program's arrays to the answer, for `cvxpy` its modelling too. The
unit of *÷ pull* is one product Kᵀv by two threads in the same process. *Memory* is the peak
while solving, with the program's own arrays as one. *Objective* is relative to ours. *Certificate*
is [ours](program.md#the-certificate) for every answer; ✗ marks those above 10⁻⁹. PyPortfolioOpt and
skfolio tell no multipliers, so that only their rows can be judged. cvxcla traces the whole
efficient frontier, of which the answer here is the last point. OSQP is given half a minute.

{peers}

How many times as long the others take:

{ratios}

## Growing

Medians, in a fresh process for each size.

{scaling}

{slopes}

{sweeps}"""
SWEEPS = """\
## A sweep of targets

The target of one interval moves in 50 steps, each solved from the one before (`start=`).

{sweep}
"""


def swept() -> str:
    """Measure the sweeps and lay their section out."""
    found = []
    for line in sweep.lines(sweep.SWEPT):
        found.append(line)
        print(line, flush=True)
    return SWEEPS.format(sweep="\n".join(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ten-million", action="store_true", help="also 10,000,000 customers")
    parser.add_argument("--sweeps", action="store_true", help="only the sweeps, on the page there")
    asked = parser.parse_args()
    if asked.sweeps:
        page, _, _ = PAGE.read_text(encoding="utf-8").partition(SWEEPS.splitlines()[0])
        PAGE.write_text(page + swept(), encoding="utf-8")
        return
    machine = measure.machine(solver_peers.LIBRARIES)  # before the load is our own
    sizes = scaling.SIZES | scaling.TEN_MILLION if asked.ten_million else scaling.SIZES
    grown = []
    for row in scaling.rows(sizes):
        grown.append(row)
        print(list(scaling.lines([row]))[-1], row.get("message", ""), flush=True)
    sweeps = swept()
    met = []
    for row in solver_peers.rows(solver_peers.SHOWN):
        met.append(row)
        print(solver_peers.line(row), flush=True)
    page = TEXT.format(
        machine="\n".join(f"- {line}" for line in machine),
        peers="\n".join(solver_peers.lines(met)),
        ratios="\n".join(f"- {line}" for line in solver_peers.ratios(met)),
        scaling="\n".join(scaling.lines(grown)),
        slopes="\n".join(f"- {line}" for line in scaling.slopes(grown)),
        sweeps=sweeps,
    )
    PAGE.write_text(page, encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
