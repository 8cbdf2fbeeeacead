"""Solves that share a process: eight at once, and one that is interrupted."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import Solution, solve

Book = Callable[..., dict[str, Any]]


def blas_threads() -> list[int]:
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


@pytest.fixture
def two_blas_threads() -> Iterator[list[int]]:
    with threadpool_limits(2, user_api="blas"):
        yield blas_threads()


def programs(book: Book) -> list[CreditProgram]:
    """Programs that go different ways: small ones, Newton, sifting, groups."""
    asked: list[dict[str, Any]] = [
        {"n": 300},
        {"n": 30_000, "k": 6, "common": 0.3},
        {"n": 700, "groups": 12},
        {"n": 30_000, "k": 6, "common": 0.0005, "cap": 8.0},
        {"n": 5_000, "common": 0.1},
        {"n": 40_000, "k": 4, "common": 0.5},
        {"n": 50, "k": 2},
        {"n": 26_000, "k": 6, "common": 0.01, "cap": 8.0},
    ]
    return [CreditProgram(**book(seed, **more)) for seed, more in enumerate(asked)]


def test_eight_threads_get_the_answers_of_one(book: Book, two_blas_threads: list[int]) -> None:
    stated = programs(book)
    alone = [solve(program) for program in stated]
    assert {solution.message.split()[0] for solution in alone} == {"interior", "dual", "sifting"}
    ready = threading.Barrier(len(stated), timeout=60)

    def at_once(program: CreditProgram) -> Solution:
        ready.wait()
        return solve(program)

    with ThreadPoolExecutor(len(stated)) as threads:
        together = list(threads.map(at_once, stated))
    for one, other in zip(alone, together, strict=True):
        assert other.status == "optimal"
        assert np.array_equal(one.x, other.x)
        assert np.array_equal(one.duals.rows, other.duals.rows)
        assert one.message == other.message
    assert blas_threads() == two_blas_threads


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that signals")
def test_an_interrupt_ends_a_solve_and_leaves_nothing_behind(
    book: Book, two_blas_threads: list[int]
) -> None:
    program = CreditProgram(**book(7, n=400_000, k=12, common=0.3))
    before = threading.active_count()
    asked = []

    def interrupt(*_: object) -> None:
        asked.append(time.perf_counter())
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        # Well inside the solve: it takes longer, also where nothing else runs.
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            solve(program, "interior_point")
        late = time.perf_counter() - asked[0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, old)
    # A second is what is promised; a busy machine gets some more.
    assert late < 5.0
    assert blas_threads() == two_blas_threads
    assert threading.active_count() == before
    assert solve(CreditProgram(**book(1, n=300))).status == "optimal"
