"""The three products of K = [F; A], in blocks, against one dense product of NumPy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from credit_portfolio.program import columns as module
from credit_portfolio.program.columns import Columns, workers
from credit_portfolio.program.program import CreditProgram

# Two orders of summing at most a thousand products.
ROUNDING = 1e-13

# n, k, dense rows, sparse group rows
SHAPES = [
    (1, 3, 2, 0),
    (1, 0, 1, 0),
    (5, 0, 0, 0),
    (37, 4, 0, 0),
    (37, 0, 3, 0),
    (64, 5, 3, 0),
    (1000, 12, 7, 0),
    (1, 2, 1, 1),
    (200, 0, 1, 30),
    (900, 6, 4, 300),
]


@pytest.fixture(params=["one block", "blocks", "blocks and a pool"])
def pool(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ThreadPoolExecutor | None]:
    if request.param != "one block":
        monkeypatch.setattr(module, "_BLOCK", 16)
    if request.param != "blocks and a pool":
        yield None
        return
    with ThreadPoolExecutor(3) as threads:
        yield threads


def made(n: int, k: int, q: int, groups: int) -> tuple[CreditProgram, np.ndarray]:
    """A program, and its K as one dense array."""
    rng = np.random.default_rng([n, k, q, groups])
    F, A = rng.normal(size=(k, n)), rng.normal(size=(q, n))
    rows: Any = A
    if groups:
        member = rng.integers(0, groups, n)
        G = sparse.csr_array((rng.normal(size=n), (member, np.arange(n))), shape=(groups, n))
        rows = sparse.vstack([sparse.csr_array(A), G], format="csr")
        A = np.vstack([A, G.toarray()])
    return CreditProgram(factors=F, rows=rows), np.vstack([F, A])


def close(found: np.ndarray, wanted: np.ndarray, size: np.ndarray) -> bool:
    assert found.shape == wanted.shape
    return bool((np.abs(found - wanted) <= ROUNDING * size).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_products_are_those_of_the_dense_matrix(
    shape: tuple[int, int, int, int], pool: ThreadPoolExecutor | None
) -> None:
    program, K = made(*shape)
    columns = Columns(program, pool)
    assert (columns.k, columns.q, columns.n) == (shape[1], shape[2] + shape[3], shape[0])
    rng = np.random.default_rng(1)
    v, x = rng.normal(size=K.shape[0]), rng.normal(size=K.shape[1])
    weights = rng.uniform(0, 2, K.shape[1])
    weights[::3] = 0.0  # a customer at his bound
    absolute = np.abs(K)
    assert close(columns.pull(v), K.T @ v, absolute.T @ np.abs(v))
    assert close(columns.push(x), K @ x, absolute @ np.abs(x))
    wanted = K @ np.diag(weights) @ K.T
    assert close(columns.gram(weights), wanted, (absolute * weights) @ absolute.T)
    norms = np.sqrt((K[shape[1] :] ** 2).sum(axis=1))
    assert close(columns.row_norms(), norms, norms)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pool_changes_no_bit(
    shape: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 16)
    program, K = made(*shape)
    rng = np.random.default_rng(2)
    v, x = rng.normal(size=K.shape[0]), rng.uniform(size=K.shape[1])
    alone = Columns(program)
    with ThreadPoolExecutor(4) as threads:
        together = Columns(program, threads)
        for _ in range(3):
            assert np.array_equal(together.pull(v), alone.pull(v))
            assert np.array_equal(together.push(x), alone.push(x))
            assert np.array_equal(together.gram(x), alone.gram(x))


def test_the_gram_matrix_is_symmetric_to_the_last_bit() -> None:
    for shape in SHAPES:
        program, K = made(*shape)
        gram = Columns(program).gram(np.random.default_rng(3).uniform(size=K.shape[1]))
        assert np.array_equal(gram, gram.T)


def test_the_columns_leave_the_program_and_their_arguments_alone() -> None:
    program, K = made(900, 6, 4, 300)
    before = program.factors.copy(), program.rows.toarray()
    v, x = np.ones(K.shape[0]), np.ones(K.shape[1])
    columns = Columns(program)
    columns.pull(v), columns.push(x), columns.gram(x)
    assert np.array_equal(v, np.ones(v.size))
    assert np.array_equal(x, np.ones(x.size))
    assert np.array_equal(program.factors, before[0])
    assert np.array_equal(program.rows.toarray(), before[1])


def test_work_is_spread_over_the_threads_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 16)
    program, _ = made(64, 5, 3, 0)
    seen: set[str] = set()
    both = threading.Barrier(2, timeout=30)  # passes only when two threads are inside at once

    def work(at: slice) -> int:
        seen.add(threading.current_thread().name)
        both.wait()
        return at.start

    with ThreadPoolExecutor(2) as threads:
        assert Columns(program, threads).each(work) == [0, 16, 32, 48]
    assert len(seen) == 2


# ----------------------------------------------------------------------------------- the workers


def blas_threads() -> list[int]:
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


@pytest.fixture
def two_blas_threads() -> Iterator[list[int]]:
    """BLAS at two threads on any machine, set by a thread that is gone: nobody controls it."""

    def set_to(number: int | None) -> None:
        thread = threading.Thread(
            target=threadpool_limits, kwargs={"limits": number, "user_api": "blas"}
        )
        thread.start()
        thread.join()

    before = max(blas_threads())
    set_to(2)
    yield blas_threads()
    set_to(before)


@pytest.mark.parametrize("n", [10, 100_000])
def test_the_workers_hold_blas_to_one_thread_and_let_go_of_it(
    n: int, two_blas_threads: list[int]
) -> None:
    assert 2 in two_blas_threads  # a BLAS built without threads stays at one
    with workers(n):
        assert set(blas_threads()) == {1}
        with workers(n):
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == two_blas_threads


def test_the_workers_let_go_of_blas_after_an_error(two_blas_threads: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt), workers(100_000):
        raise KeyboardInterrupt
    assert blas_threads() == two_blas_threads


def test_the_workers_of_overlapping_solves_let_go_of_blas_when_the_last_one_ends(
    two_blas_threads: list[int],
) -> None:
    first_is_in, second_is_in, first_is_out, second_is_out = (threading.Event() for _ in range(4))
    inside: list[int] = []

    def first() -> None:
        with workers(10):
            first_is_in.set()
            assert second_is_in.wait(30)
        first_is_out.set()
        assert second_is_out.wait(30)  # a thread that lives on, as those of a service do

    def second() -> None:
        assert first_is_in.wait(30)
        with workers(10):
            second_is_in.set()
            assert first_is_out.wait(30)
            inside.extend(blas_threads())
        second_is_out.set()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(first), threads.submit(second)]:
            done.result()
    assert set(inside) == {1}
    assert blas_threads() == two_blas_threads
    with workers(10):
        assert set(blas_threads()) == {1}
    assert blas_threads() == two_blas_threads


def test_a_pool_is_opened_where_there_are_blocks_and_cores_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_cores", lambda: 4)
    with workers(3 * module._BLOCK - 1) as pool:
        assert pool is None
    with workers(3 * module._BLOCK) as pool:
        assert pool is not None
        assert pool._max_workers == 4
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(int)
    monkeypatch.setattr(module, "_cores", lambda: 1)
    with workers(1_000_000) as pool:
        assert pool is None
