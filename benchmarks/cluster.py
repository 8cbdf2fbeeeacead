"""What a solve over Dask workers costs: bytes and seconds of each round.

Writes a program of the registry as Parquet files, solves it over workers on this machine, prints
every round, and projects the sum onto a larger book and more workers, with the arithmetic shown.

    python -m benchmarks.cluster --customers 1000000 --family common
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.registry import COMMON, Spec, program
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.dask_ import ClusterSolution, Round, solve_parquet

# What goes to the client, a sample and the customers in doubt, is as much in a book of any size.
PIECE = 200_000
TO_THE_CLIENT = {"sample", "sift"}


def write_parts(book: CreditProgram, folder: Path) -> None:
    count = math.ceil(book.n_customers / PIECE)
    edges = np.linspace(0, book.n_customers, count + 1).astype(int)
    for number in range(count):
        at = slice(edges[number], edges[number + 1])
        columns = {f"f{i}": row[at] for i, row in enumerate(book.factors)}
        columns |= {f"a{i}": row[at] for i, row in enumerate(book.rows)}
        for name in ("idiosyncratic", "linear", "lower", "upper"):
            columns[name] = getattr(book, name)[at]
        pq.write_table(pa.table(columns), folder / f"part-{number:05d}.parquet", compression="none")


def seconds_per_task(workers: int) -> float:
    """How long Dask takes for a task without work: 2,000 of them, after as many to warm up."""
    import distributed

    cluster = distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    )
    with cluster, distributed.Client(cluster) as client:
        for _ in range(2):
            started = time.perf_counter()
            client.gather([client.submit(abs, number, pure=False) for number in range(2_000)])
            seconds = time.perf_counter() - started
    return seconds / 2_000


def loopback_bytes() -> int | None:
    """Bytes that passed this machine's loopback so far; None where the system does not tell."""
    try:
        lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    return None


@dataclass(frozen=True)
class Line:
    """All rounds of one name, and what they come to on the larger cluster."""

    name: str
    rounds: int
    sent: float
    received: float
    seconds: float
    busy: float


def lines(rounds: tuple[Round, ...]) -> list[Line]:
    names = list(dict.fromkeys(each.name for each in rounds))
    made = []
    for name in names:
        mine = [each for each in rounds if each.name == name]
        made.append(
            Line(
                name,
                len(mine),
                sum(each.sent for each in mine),
                sum(each.received for each in mine),
                sum(each.seconds for each in mine),
                sum(each.busy for each in mine),
            )
        )
    return made


def show(found: ClusterSolution, workers: int, wire: int | None) -> None:
    print(f"{found.status}: {found.message}; {found.certificate}")
    print(f"{'round':10s}{'times':>6s}{'sent':>14s}{'received':>14s}{'seconds':>9s}{'busy':>8s}")
    for line in lines(found.rounds):
        print(
            f"{line.name:10s}{line.rounds:6d}{line.sent:14,.0f}{line.received:14,.0f}"
            f"{line.seconds:9.2f}{line.busy:8.2f}"
        )
    inside = sum(each.seconds for each in found.rounds)
    payload = sum(each.sent + each.received for each in found.rounds)
    print(f"all rounds: {payload:,} bytes of numbers, {inside:.2f} s on {workers} workers")
    if wire is not None:
        print(f"loopback while solving, all of Dask's own talk included: {wire:,} bytes")


def project(
    found: ClusterSolution, client: float, book: CreditProgram, args: argparse.Namespace
) -> None:
    """Print what the same rounds cost with more customers and workers, term by term."""
    n, larger, workers = book.n_customers, args.to, args.to_workers
    times = larger / n
    load = next(each.seconds for each in found.rounds if each.name == "load")
    small = [each for each in found.rounds if each.name not in {"load", "shares", "write"}]
    work = sum(each.busy for each in small)
    to_client = sum(each.sent + each.received for each in small if each.name in TO_THE_CLIENT)
    messages = sum(each.sent + each.received for each in small if each.name not in TO_THE_CLIENT)
    tasks = math.ceil(larger / PIECE) * len(small)
    write = sum(each.busy for each in found.rounds if each.name == "write")
    width = book.n_factors + book.n_rows + 4
    link = args.gigabit * 1e9 / 8
    rows = [
        ("load (files read by workers)", load * args.workers * times / workers),
        ("work of the rounds", work * times / workers),
        ("numbers to and from the client", (to_client + messages * times) / link),
        ("Dask's scheduling", args.task * tasks),
        ("the client's own programs", client),
        ("shares written", write * times / workers),
    ]
    print(f"\nprojection, not a measurement: {larger:,} customers on {workers} workers")
    size = 8.0 * larger * width
    print(
        f"  data 8 × {larger:,} × {width} = {size / 1e9:.1f} GB, {size / workers / 1e9:.2f} GB each"
    )
    print(f"  customers × {times:g}; sample and customers in doubt stay as they are")
    print(f"  load   {load:.2f} s × {args.workers} workers × {times:g} / {workers}")
    print(f"  work   {work:.2f} s busy × {times:g} / {workers}, {len(small)} rounds")
    print(f"  wire   ({to_client:,} + {messages:,} × {times:g}) bytes over {args.gigabit:g} Gbit/s")
    print(f"  Dask   {1e3 * args.task:.2f} ms for an empty task × {tasks:,} tasks of {PIECE:,}")
    print(f"  client {client:.2f} s")
    print(f"  write  {write:.2f} s busy × {times:g} / {workers}")
    for name, seconds in rows:
        print(f"  {name:34s}{seconds:9.1f} s")
    print(f"  {'together':34s}{sum(seconds for _, seconds in rows):9.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--family", choices=sorted(COMMON), default="common")
    parser.add_argument("--to", type=int, default=100_000_000)
    parser.add_argument("--to-workers", type=int, default=16)
    parser.add_argument("--gigabit", type=float, default=10.0)
    parser.add_argument("--compare", action="store_true", help="solve on one machine as well")
    args = parser.parse_args()
    book = program(Spec("cluster", args.customers, common=COMMON[args.family]))
    print(f"{args.family}, {book}")
    from dask.system import CPU_COUNT

    args.workers = CPU_COUNT
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "book", Path(name) / "shares"
        folder.mkdir()
        write_parts(book, folder)
        before = loopback_bytes()
        found = solve_parquet(
            folder, row_lower=book.row_lower, row_upper=book.row_upper, out=out, progress=False
        )
        after = loopback_bytes()
        wire = None if before is None or after is None else after - before
        written = [pq.read_table(path).column("share") for path in sorted(out.iterdir())]
    show(found, args.workers, wire)
    client = found.searching - sum(each.seconds for each in found.rounds)
    print(f"whole call {found.seconds:.2f} s; client between rounds {client:.2f} s")
    if args.compare:
        started = time.perf_counter()
        local = solve(book)
        seconds = time.perf_counter() - started
        w = pa.chunked_array([chunk for part in written for chunk in part.chunks]).to_numpy()
        apart = float(np.abs(w - local.x).max() / np.abs(local.x).max())
        more = book.objective(w) / book.objective(local.x) - 1.0
        print(f"one machine {seconds:.2f} s ({local.message})")
        print(f"  objective {more:+.1e}, shares {apart:.1e} of the largest apart")
    args.task = seconds_per_task(args.workers)
    project(found, client, book, args)


if __name__ == "__main__":
    main()
