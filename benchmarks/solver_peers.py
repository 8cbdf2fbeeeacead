"""The solver beside others, on the same programs: ``python -m benchmarks.solver_peers``.

Each solver meets each program in a process of its own: the library is imported and has solved a
small program before anything is measured. Needs ``pip install -e '.[benchmark]'``; a library that
is not installed is left out and named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.peers import ACCURACY, PEERS, SECONDS, Peer
from benchmarks.registry import SPECS, Spec, program
from credit_portfolio.program.certificate import certify
from credit_portfolio.program.program import CreditProgram

SHOWN = [
    *(f"{family}-{n}" for n in ("100", "1k", "10k") for family in ("common", "idiosyncratic")),
    *("common-100k", "idiosyncratic-100k", "lognormal-100k"),
    *("common-1m", "idiosyncratic-1m"),
]
LIBRARIES = [
    *("numpy", "scipy", "cvxpy", "clarabel", "osqp", "piqp", "qpsolvers"),
    *("cvxcla", "PyPortfolioOpt", "skfolio"),
]
# A run of more than so many seconds is its own warm-up and is not repeated.
LONG, RUNS = 10.0, 5
# Making the program, solving the small one, and a solver that does not look at its clock.
PATIENCE = SECONDS + 90.0
Row = dict[str, Any]


def rows(names: list[str]) -> Iterator[Row]:
    """Measure every solver on every program, the package first."""
    for name in names:
        spec = SPECS[name]
        best = np.nan
        for peer in PEERS.values():
            row: Row = {"spec": name, "n": spec.n_customers, "solver": peer.name}
            row |= _measured(peer, spec)
            if peer.name == "credit_portfolio" and "objective" in row:
                best = row["objective"]
            if "objective" in row:
                row["excess"] = row["objective"] / best - 1.0
            yield row


def _measured(peer: Peer, spec: Spec) -> Row:
    if not peer.installed:
        return {"not_run": "not installed"}
    if spec.n_customers > peer.largest:
        return {"not_run": peer.why}
    command = [sys.executable, "-m", "benchmarks.solver_peers", "--one", peer.name, spec.name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return {"not_run": f"stopped after {PATIENCE:.0f} s"}
    if done.returncode:
        return {"not_run": (done.stderr.strip().splitlines() or ["it crashed"])[-1]}
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def one(peer: Peer, spec: Spec) -> Row:
    """Measure one solver on one program in this process."""
    stated = program(spec)
    peer.load()
    peer.solve(program(SPECS["common-100"]))
    pull = measure.pull_seconds(stated)
    measure.forget_peak()
    before = measure.current_bytes()
    started = time.perf_counter()
    try:
        w, y = peer.solve(stated)
    except RuntimeError as refused:  # the solver's own word that it found nothing
        return {"not_run": f"gave up after {time.perf_counter() - started:.1f} s: {refused}"}
    taken = [time.perf_counter() - started]
    extra = measure.peak_bytes() - before
    if taken[0] < LONG:
        taken = measure.seconds(lambda: peer.solve(stated), RUNS if taken[0] < 1.0 else 3)
    size = measure.program_bytes(stated)
    return {
        "seconds": statistics.median(taken),
        "runs": len(taken),
        "pulls": statistics.median(taken) / pull,
        "memory": 1.0 + max(0, extra) / size,
        **score(stated, w, y),
    }


def score(stated: CreditProgram, w: Any, y: Any) -> Row:
    """Judge an answer by the package's certificate, its shares put inside their bounds first."""
    w = np.clip(np.asarray(w, dtype=np.float64), stated.lower, stated.upper)
    told = y is not None
    found, _, _ = certify(stated, w, y if told else np.zeros(stated.n_rows), ACCURACY)
    # Without multipliers there is no gap; how far rows are missed can still be told.
    kept: Row = {"certificate": found.worst} if told else {"primal": found.primal}
    return {"objective": stated.objective(w), **kept}


def lines(measured: list[Row]) -> Iterator[str]:
    """Lay the rows out as a table in Markdown."""
    head = ("program", "solver", "seconds", "runs", "÷ pull", "memory", "objective", "certificate")
    yield f"| {' | '.join(head)} |"
    yield "| --- | --- " + "| ---: " * 6 + "|"
    for row in measured:
        yield line(row)


def line(row: Row) -> str:
    """One row of the table."""
    start = f"| {row['spec']} | {row['solver']} |"
    if "not_run" in row:
        return f"{start} | | | | | {row['not_run']} |"
    if "certificate" in row:
        proof = f"{row['certificate']:.1e}" + ("" if row["certificate"] <= ACCURACY else " ✗")
    else:
        proof = f"rows {row['primal']:.0e}, no multipliers"
    return (
        f"{start} {row['seconds']:.3g} | {row['runs']} | {row['pulls']:,.0f} | "
        f"{row['memory']:.2f} | {row['excess']:+.0e} | {proof} |"
    )


def ratios(measured: list[Row]) -> Iterator[str]:
    """Say for each program how many times faster the package is than each of the others."""
    for name in dict.fromkeys(row["spec"] for row in measured):
        of = {
            row["solver"]: row["seconds"]
            for row in measured
            if row["spec"] == name and "seconds" in row
        }
        own = of.pop("credit_portfolio", None)
        if own and of:
            told = ", ".join(f"{taken / own:.3g} × {solver}" for solver, taken in of.items())
            yield f"{name}: {told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("SOLVER", "SPEC"), help=argparse.SUPPRESS)
    parser.add_argument("--specs", nargs="+", choices=SPECS, default=SHOWN)
    asked = parser.parse_args()
    if asked.one:
        solver, spec = asked.one
        print(json.dumps(one(PEERS[solver], SPECS[spec])))
        return
    print("\n".join(measure.machine(LIBRARIES)), "\n", sep="\n")
    measured: list[Row] = []
    for row in rows(asked.specs):
        measured.append(row)
        if len(measured) == 1:
            print("\n".join(list(lines([]))))
        print(line(row), flush=True)
    print("", *ratios(measured), sep="\n")


if __name__ == "__main__":
    main()
