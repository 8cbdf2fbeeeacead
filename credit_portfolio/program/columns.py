"""The products of a program with vectors of its size, in blocks of customers.

K = [F; A] stacks the factors on the rows of the program, shape (k + q, n), and is never built: F
and A are read where they lie. A block of columns fits a core's cache, and each thread works on its
own blocks with BLAS held to one thread, since BLAS threads inside a pool fight for the cores.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

# 8,192 columns of 43 rows are 2.8 MB of scratch in each thread; 4,096 to 32,768 take equally long.
_BLOCK = 8192
# Below this many blocks, starting threads costs more than it saves.
_WORTH_THREADS = 3


class Columns:
    """K = [F; A] of a program, by blocks of customers.

    Attributes
    ----------
    k, q, n : int
        Numbers of factors, rows and customers.

    Examples
    --------
    >>> from credit_portfolio.program.program import CreditProgram
    >>> columns = Columns(CreditProgram(factors=[[1.0, 2.0]], rows=[[1.0, 1.0]]))
    >>> columns.push(np.array([3.0, 4.0]))
    array([11.,  7.])
    >>> columns.gram(np.ones(2))
    array([[5., 3.],
           [3., 2.]])
    """

    def __init__(self, program: CreditProgram, pool: ThreadPoolExecutor | None = None) -> None:
        self.F = program.factors
        self.k, self.n = self.F.shape
        self.q = program.n_rows
        self._pool = pool
        self._dense = program.rows if isinstance(program.rows, np.ndarray) else None
        self._sparse: Any = None if self._dense is not None else sparse.csc_array(program.rows)
        starts = range(0, self.n, _BLOCK)
        self._blocks = [slice(start, min(self.n, start + _BLOCK)) for start in starts]

    def pull(self, v: Vector) -> Vector:
        """Return Kᵀ v, shape (n,), for v of shape (k + q,)."""
        out = np.empty(self.n)
        of_factors, of_rows = v[: self.k], v[self.k :]

        def block(at: slice) -> None:
            np.dot(of_factors, self.F[:, at], out=out[at])
            if self.q:
                out[at] += self.rows(at).T @ of_rows

        self.each(block)
        return out

    def push(self, x: Vector) -> Vector:
        """Return K x, shape (k + q,), for x of shape (n,)."""

        def block(at: slice) -> Vector:
            return np.concatenate([self.F[:, at] @ x[at], self.rows(at) @ x[at]])

        return np.asarray(sum(self.each(block)))

    def gram(self, weights: Vector) -> Matrix:
        """Return K diag(weights) Kᵀ, shape (k + q, k + q), for weights of zero or more."""
        return np.asarray(sum(self.each(lambda at: self._gram_of(at, np.sqrt(weights[at])))))

    def _gram_of(self, at: slice, root: Vector) -> Matrix:
        k, size = self.k, self.k + self.q
        if self._dense is not None:
            scratch = np.empty((size, root.size))
            np.multiply(self.F[:, at], root, out=scratch[:k])
            np.multiply(self._dense[:, at], root, out=scratch[k:])
            return scratch @ scratch.T
        F, A = self.F[:, at] * root, self.rows(at).multiply(root)
        made = np.empty((size, size))
        made[:k, :k] = F @ F.T
        made[k:, :k] = A @ F.T
        made[:k, k:] = made[k:, :k].T
        made[k:, k:] = (A @ A.T).toarray()
        return made

    def row_norms(self) -> Vector:
        """Return the Euclidean norm of each row of A, shape (q,)."""

        def block(at: slice) -> Vector:
            A = self.rows(at)
            if self._dense is not None:
                return np.asarray(np.einsum("qi,qi->q", A, A))
            return np.asarray(A.multiply(A).sum(axis=1), dtype=np.float64).ravel()

        norms: Vector = np.sqrt(np.asarray(sum(self.each(block))))
        return norms

    def rows(self, at: slice) -> Any:
        """Return the block's columns of A, dense or sparse as A is."""
        if self._dense is not None:
            return self._dense[:, at]
        whole = self._sparse
        first, last = whole.indptr[at.start], whole.indptr[at.stop]
        pointers = whole.indptr[at.start : at.stop + 1] - first
        parts = (whole.data[first:last], whole.indices[first:last], pointers)
        return sparse.csc_array(parts, shape=(self.q, at.stop - at.start))

    def each(self, work: Callable[[slice], Any]) -> list[Any]:
        """Do some work on every block, and return what it gave, in order."""
        if self._pool is None or len(self._blocks) == 1:
            return [work(at) for at in self._blocks]
        return list(self._pool.map(work, self._blocks))


@contextmanager
def workers(n_customers: int) -> Iterator[ThreadPoolExecutor | None]:
    """Hold BLAS to one thread, and open a pool of a thread per core where that is worth it."""
    with _one_blas_thread():
        cores = _cores()
        if n_customers < _WORTH_THREADS * _BLOCK or cores < 2:
            yield None
            return
        with ThreadPoolExecutor(cores) as pool:
            yield pool


# BLAS has one number of threads for the whole process. Solves that overlap share the first one's
# hold on it: were each to restore what it found, the last would leave BLAS at one thread.
_hold_lock = Lock()
_holds: list[Any] = []


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    with _hold_lock:
        _holds.append(_blas().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _hold_lock:
            hold = _holds.pop()
            if not _holds:  # then this was the first, which knows the number from before
                hold.restore_original_limits()
            _let_others_set_blas()


def _let_others_set_blas() -> None:
    """Give up the control that newer threadpoolctl grants to the first thread that sets a limit."""
    from threadpoolctl import OpenBLASController

    if hasattr(OpenBLASController, "clear_controlling_thread"):
        OpenBLASController.clear_controlling_thread()


@cache
def _blas() -> Any:
    """Find the BLAS libraries once; looking through all loaded libraries takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _cores() -> int:
    """Count the cores that this process may use, not those that the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
