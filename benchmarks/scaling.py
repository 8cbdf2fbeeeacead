"""How time and memory grow with the customers: ``python -m benchmarks.scaling [--ten-million]``.

Each size runs in a process of its own. Time is told in seconds and in pulls over K in the same
process (``measure.pull_seconds``), and covers everything from the program to the proved answer.
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
from benchmarks.registry import COMMON, SPECS, Spec, program

SIZES = {"100k": 5, "1m": 5}
TEN_MILLION = {"10m": 1}
# A run of more than so many seconds is not repeated.
LONG = 10.0
Row = dict[str, Any]


def one(spec: Spec, runs: int) -> Row:
    """Measure the package on one program in this process."""
    import credit_portfolio as cp

    started = time.perf_counter()
    stated = program(spec)
    made = time.perf_counter() - started
    cp.solve(program(SPECS["common-30k"]))  # imports, thread pools
    pull = measure.pull_seconds(stated)
    measure.forget_peak()
    before = measure.current_bytes()
    started = time.perf_counter()
    solution = cp.solve(stated)
    taken = [time.perf_counter() - started]
    size = measure.program_bytes(stated)
    extra = measure.peak_bytes() - before
    peak = measure.peak_bytes()
    if runs > 1 and taken[0] < LONG:
        taken = measure.seconds(lambda: cp.solve(stated), runs)
    return {
        "spec": spec.name,
        "n": spec.n_customers,
        "made": made,
        "pull": pull,
        "seconds": statistics.median(taken),
        "fastest": min(taken),
        "slowest": max(taken),
        "megabytes": size / 1e6,
        "memory": 1.0 + max(0, extra) / size,
        "peak": peak / 1e9,
        "certificate": solution.certificate.worst,
        "message": solution.message,
        "between": float(np.mean((solution.x > stated.lower) & (solution.x < stated.upper))),
    }


def rows(sizes: dict[str, int]) -> Iterator[Row]:
    """Measure each family at each size."""
    for family in COMMON:
        for size, runs in sizes.items():
            name = f"{family}-{size}"
            command = [sys.executable, "-m", "benchmarks.scaling", "--one", name, str(runs)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                yield {"spec": name, "failed": (done.stderr.strip().splitlines() or ["killed"])[-1]}
            else:
                yield json.loads(done.stdout.splitlines()[-1])


def lines(measured: list[Row]) -> Iterator[str]:
    """Lay the rows out as a table in Markdown."""
    yield (
        "| program | seconds | fastest to slowest | pull | ÷ pull | own arrays | peak ÷ arrays "
        "| process | between bounds | certificate |"
    )
    yield "| --- " + "| ---: " * 9 + "|"
    for row in measured:
        if "failed" in row:
            yield f"| {row['spec']} | {row['failed']} | | | | | | | | |"
            continue
        yield (
            f"| {row['spec']} | {row['seconds']:.3f} | {row['fastest']:.3f} to "
            f"{row['slowest']:.3f} | {1000 * row['pull']:.1f} ms | "
            f"{row['seconds'] / row['pull']:.1f} | {row['megabytes']:,.0f} MB | "
            f"{row['memory']:.2f} | {row['peak']:.1f} GB | {row['between']:.1%} | "
            f"{row['certificate']:.1e} |"
        )


def slopes(measured: list[Row]) -> Iterator[str]:
    """Slope of log time over log n, for each family."""
    for family in COMMON:
        of = [row for row in measured if row["spec"].startswith(family) and "seconds" in row]
        if len(of) > 1:
            n, taken = np.log([row["n"] for row in of]), np.log([row["seconds"] for row in of])
            ends = (taken[-1] - taken[0]) / (n[-1] - n[0])
            sizes = f"{of[0]['n']:,} to {of[-1]['n']:,}"
            yield f"{family}: time grows as n to the {ends:.2f}, from {sizes} customers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("SPEC", "RUNS"), help=argparse.SUPPRESS)
    parser.add_argument("--ten-million", action="store_true", help="also 10,000,000 customers")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(SPECS[asked.one[0]], int(asked.one[1]))))
        return
    print("\n".join(measure.machine(["numpy", "scipy"])), "\n", sep="\n")
    measured = list(rows(SIZES | TEN_MILLION if asked.ten_million else SIZES))
    print(*lines(measured), "", *slopes(measured), "", sep="\n")
    for row in measured:
        if "message" in row:
            print(f"{row['spec']}: {row['message']}")


if __name__ == "__main__":
    main()
