"""The products of a program with vectors of its size, in blocks of customers.

K = [F; A] stacks the factors on the rows of the program, shape (k + q, n), and is never built: F
and A are read where they lie. A block of columns fits a core's cache, and each thread works on its
own blocks with BLAS held to one thread, since BLAS threads inside a pool fight for the cores.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from copy import copy
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = slice | NDArray[np.intp]

Part = TypeVar("Part")
ALL = slice(None)

# 8,192 columns of 43 rows are 2.8 MB of scratch in each thread; 4,096 to 32,768 take equally long.
_BLOCK = 8192
# A program of up to so many numbers (20 MB) is copied into blocks of its own, of a cache's size:
# an interior point reads it some hundred times.
_GATHER, _SMALL_BLOCK = 2_500_000, 8192
# Sparse rows are written out for that where they are few beside the factors.
_FEW_ROWS = 128
# Below this many blocks, starting threads costs more than it saves.
_WORTH_THREADS = 3


class Tile(Protocol):
    """A block of columns of K, and its products."""

    @property
    def at(self) -> slice:
        """Its customers."""

    def pull(self, v: Vector) -> Vector:
        """Return Kᵀ v for v of shape (k + q,)."""

    def push(self, x: Matrix) -> Matrix:
        """Return K x, for x of shape (size,) or (size, any)."""

    def gram(self, weights: Vector, which: Index = ALL) -> Matrix:
        """Return K diag(weights) Kᵀ over the columns ``which``, for weights of zero or more."""

    def weigh(self, v: Vector) -> Vector:
        """Return |A|ᵀ v for v of shape (q,)."""


@dataclass(frozen=True, eq=False, slots=True)
class _Gathered:
    """F and A one below the other, in memory of its own."""

    at: slice
    K: Matrix
    k: int

    def pull(self, v: Vector) -> Vector:
        return v @ self.K

    def push(self, x: Matrix) -> Matrix:
        return self.K @ x

    def gram(self, weights: Vector, which: Index = ALL) -> Matrix:
        scratch = self.K[:, which] * np.sqrt(weights)
        return np.asarray(scratch @ scratch.T)

    def weigh(self, v: Vector) -> Vector:
        return _weigh(self.K[self.k :], v)


@dataclass(frozen=True, eq=False, slots=True)
class _Dense:
    """Views into F and A."""

    at: slice
    F: Matrix
    A: Matrix

    def pull(self, v: Vector) -> Vector:
        k = len(self.F)
        out = v[:k] @ self.F
        if len(self.A):
            out += v[k:] @ self.A
        return out

    def push(self, x: Matrix) -> Matrix:
        return np.concatenate([self.F @ x, self.A @ x])

    def gram(self, weights: Vector, which: Index = ALL) -> Matrix:
        root, k = np.sqrt(weights), len(self.F)
        scratch = np.empty((k + len(self.A), root.size))
        np.multiply(self.F[:, which], root, out=scratch[:k])
        np.multiply(self.A[:, which], root, out=scratch[k:])
        return np.asarray(scratch @ scratch.T)

    def weigh(self, v: Vector) -> Vector:
        return _weigh(self.A, v)


@dataclass(frozen=True, eq=False, slots=True)
class _Sparse:
    """A view into F, and the columns of a sparse A."""

    at: slice
    F: Matrix
    A: Any

    def pull(self, v: Vector) -> Vector:
        k = len(self.F)
        return np.asarray(v[:k] @ self.F + self.A.T @ v[k:])

    def push(self, x: Matrix) -> Matrix:
        return np.concatenate([self.F @ x, self.A @ x])

    def gram(self, weights: Vector, which: Index = ALL) -> Matrix:
        root, k = np.sqrt(weights), len(self.F)
        F, A = self.F[:, which] * root, self.A[:, which].multiply(root)
        made = np.empty((k + A.shape[0], k + A.shape[0]))
        made[:k, :k] = F @ F.T
        made[k:, :k] = A @ F.T
        made[:k, k:] = made[k:, :k].T
        made[k:, k:] = (A @ A.T).toarray()
        return made

    def weigh(self, v: Vector) -> Vector:
        return np.asarray(abs(self.A).T @ v)


class Columns:
    """K = [F; A] of a program, by blocks of customers.

    Attributes
    ----------
    k, q, n : int
        Numbers of factors, rows and customers.
    left : object
        What a solver leaves for the next program with the same factors and rows.

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
        self._blocks = _slices(self.n, _BLOCK)
        self._tiles: list[Tile] = []
        self.left: object = None
        self._norms: dict[int, Vector] = {}

    def lent(self, pool: ThreadPoolExecutor | None) -> Columns:
        """Return the same columns for other threads, with what was cut and left before."""
        other = copy(self)
        other._pool = pool
        return other

    def like(self, program: CreditProgram) -> Columns:
        """Return the columns of another program, worked on by the same threads."""
        return Columns(program, self._pool)

    def tiles(self) -> list[Tile]:
        """Return the blocks of columns, for work that comes back to each of them many times.

        Those of a small program are copied together: what is read in each of dozens of steps then
        lies in one piece, and in the core's cache.
        """
        self._tiles = self._tiles or self._cut()
        return self._tiles

    def taken(self, which: NDArray[np.intp]) -> Matrix:
        """Return some columns of K, shape (k + q, len(which))."""
        tiles = self.tiles()
        if len(tiles) == 1 and isinstance(tiles[0], _Gathered):
            return tiles[0].K[:, which]
        A: Any = self._sparse[:, which].toarray() if self._dense is None else self._dense[:, which]
        return np.vstack([self.F[:, which], A])

    def _cut(self) -> list[Tile]:
        gather = (self.k + self.q) * self.n <= _GATHER
        gather &= self._dense is not None or self.k + self.q <= _FEW_ROWS
        if not gather:
            return [self._tile(at) for at in self._blocks]
        made: list[Tile] = []
        for at in _slices(self.n, _SMALL_BLOCK):
            A = self.rows(at)
            K = np.vstack([self.F[:, at], A if isinstance(A, np.ndarray) else A.toarray()])
            made.append(_Gathered(at, K, self.k))
        return made

    def _tile(self, at: slice) -> Tile:
        F = self.F[:, at]
        return (
            _Sparse(at, F, self.rows(at)) if self._dense is None else _Dense(at, F, self.rows(at))
        )

    def pull(self, v: Vector) -> Vector:
        """Return Kᵀ v, shape (n,), for v of shape (k + q,)."""
        out = np.empty(self.n)

        def block(at: slice) -> None:
            out[at] = self._tile(at).pull(v)

        self.each(block)
        return out

    def push(self, x: Vector) -> Vector:
        """Return K x, shape (k + q,), for x of shape (n,)."""
        return np.asarray(sum(self.each(lambda at: self._tile(at).push(x[at]))))

    def gram(self, weights: Vector) -> Matrix:
        """Return K diag(weights) Kᵀ, shape (k + q, k + q), for weights of zero or more."""
        return np.asarray(sum(self.each(lambda at: self._tile(at).gram(weights[at]))))

    def factor_norms(self, at: slice) -> Vector:
        """Return the Euclidean norm of each column of F in a block; worked out once."""
        if at.start not in self._norms:
            F = self.F[:, at]
            self._norms[at.start] = np.sqrt(np.einsum("ki,ki->i", F, F))
        return self._norms[at.start]

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
        return self.on(self._blocks, work)

    def on(self, parts: Sequence[Part], work: Callable[[Part], Any]) -> list[Any]:
        """Do some work on every part, spread over the threads, and return what it gave in order."""
        if self._pool is None or len(parts) == 1:
            return [work(part) for part in parts]
        # NumPy's errstate belongs to the context, which threads do not share.
        contexts = [copy_context() for _ in parts]
        return list(self._pool.map(lambda own, part: own.run(work, part), contexts, parts))


def _weigh(A: Matrix, v: Vector) -> Vector:
    some = np.flatnonzero(v)
    return v[some] @ np.abs(A[some])


def _slices(n: int, size: int) -> list[slice]:
    """Cut n customers into blocks; no customers are one empty block."""
    return [slice(start, min(n, start + size)) for start in range(0, max(n, 1), size)]


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
