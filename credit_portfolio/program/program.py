"""The one optimisation problem of the package; everything else is translated into it.

::

    minimise    ‖F w‖² + wᵀ diag(D) w + cᵀ w
    subject to  row_lower ≤ A w ≤ row_upper
                    lower ≤  w  ≤ upper

The covariance FᵀF + diag(D) is never formed: a pass over the program costs O(n (k + q)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Rows = Matrix | sparse.csr_array[np.float64, tuple[int, int]]


@dataclass(frozen=True, eq=False, slots=True, init=False)
class CreditProgram:
    """Shares of credit with the least variance under named rows and bounds.

    Parameters
    ----------
    factors : array_like, shape (k, n), optional
        F: one row per risk factor, usually a period. None means no factors.
    idiosyncratic : array_like, shape (n,) or scalar, default 0
        D ≥ 0: each customer's own variance, which no factor explains.
    linear : array_like, shape (n,), optional
        c: cost per unit of share; None means none.
    rows : array_like or sparse array, shape (q, n), optional
        A: budget, interval targets, groups. Sparse input stays sparse (CSR).
    row_lower, row_upper : array_like, shape (q,) or scalar
        Bounds of A w; −inf and +inf leave a side open, equal bounds make an equality.
    lower, upper : array_like, shape (n,) or scalar, default 0 and +inf
        Bounds of w, in fractions of the budget.
    row_names : sequence of str, optional
        Names for messages and prices; "row 0", "row 1", … by default.

    Raises
    ------
    ModelError
        On shapes that do not fit, NaN, infinite data, a negative D, or a lower bound above its
        upper bound.

    Notes
    -----
    Contiguous float64 input is not copied (F alone can be gigabytes); the program's own views are
    read-only, and the caller must not write to the originals while it is in use.

    Examples
    --------
    >>> program = CreditProgram(
    ...     idiosyncratic=[0.01, 0.02], rows=[[1, 1]], row_lower=1, row_upper=1, upper=0.8
    ... )
    >>> program
    CreditProgram(n=2 customers, k=0 factors, q=1 rows)
    >>> program.objective(np.array([0.5, 0.5]))
    0.0075
    """

    factors: Matrix
    idiosyncratic: Vector
    linear: Vector
    rows: Rows
    row_lower: Vector
    row_upper: Vector
    lower: Vector
    upper: Vector
    row_names: tuple[str, ...]

    def __init__(
        self,
        *,
        factors: ArrayLike | None = None,
        idiosyncratic: ArrayLike = 0.0,
        linear: ArrayLike | None = None,
        rows: ArrayLike | sparse.sparray | sparse.spmatrix | None = None,
        row_lower: ArrayLike = -np.inf,
        row_upper: ArrayLike = np.inf,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = np.inf,
        row_names: Sequence[str] | None = None,
    ) -> None:
        F = None if factors is None else _matrix("factors", factors)
        A = None if rows is None else _rows(rows)
        vectors = {
            "idiosyncratic": idiosyncratic,
            "linear": 0.0 if linear is None else linear,
            "lower": lower,
            "upper": upper,
        }
        arrays = {name: _numbers(name, value) for name, value in vectors.items()}
        n = _n_customers(F, A, arrays)
        if F is None:
            F = np.zeros((0, n))
        if A is None:
            A = np.zeros((0, n))
        q = A.shape[0]
        fields = {name: _broadcast(name, array, n, "customers") for name, array in arrays.items()}
        for name, value in (("row_lower", row_lower), ("row_upper", row_upper)):
            fields[name] = _broadcast(name, _numbers(name, value), q, "rows")
        names = tuple(row_names) if row_names is not None else tuple(f"row {r}" for r in range(q))
        _check(F, A, fields, names)
        for name, value in fields.items():
            object.__setattr__(self, name, _read_only(value))
        object.__setattr__(self, "factors", _read_only(F))
        object.__setattr__(self, "rows", _read_only(A) if isinstance(A, np.ndarray) else A)
        object.__setattr__(self, "row_names", names)

    @property
    def n_customers(self) -> int:
        """Number of shares, n."""
        return int(self.factors.shape[1])

    @property
    def n_factors(self) -> int:
        """Number of risk factors, k."""
        return int(self.factors.shape[0])

    @property
    def n_rows(self) -> int:
        """Number of rows, q."""
        return int(self.rows.shape[0])

    def objective(self, w: Vector) -> float:
        """Return ‖F w‖² + wᵀ diag(D) w + cᵀ w."""
        exposure = self.factors @ w
        return float(exposure @ exposure + (self.idiosyncratic * w) @ w + self.linear @ w)

    def gradient(self, w: Vector) -> Vector:
        """Return 2 Fᵀ(F w) + 2 D w + c, shape (n,)."""
        slope = 2.0 * (self.factors.T @ (self.factors @ w)) + 2.0 * (self.idiosyncratic * w)
        slope += self.linear
        return slope

    def activity(self, w: Vector) -> Vector:
        """Return A w, shape (q,)."""
        return np.asarray(self.rows @ w, dtype=np.float64)

    def __repr__(self) -> str:
        return (
            f"CreditProgram(n={self.n_customers:,} customers, k={self.n_factors:,} factors, "
            f"q={self.n_rows:,} rows)"
        )


def _numbers(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return float64 without a copy where the input allows it; NaN is never data."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} holds something that is not a number: {error}") from error
    if np.isnan(array).any():
        where = np.argwhere(np.isnan(array))[:3].tolist()
        raise ModelError(f"{name} has NaN at {where}; every entry must be a number")
    return array


def _matrix(name: str, value: ArrayLike) -> Matrix:
    array = np.ascontiguousarray(_numbers(name, value))
    if array.ndim != 2:
        raise ModelError(
            f"{name} has shape {array.shape}; expected two dimensions, one column per customer"
        )
    return array


def _rows(value: ArrayLike | sparse.sparray | sparse.spmatrix) -> Rows:
    if not isinstance(value, (sparse.sparray, sparse.spmatrix)):
        return _matrix("rows", value)
    given: Any = value
    A: sparse.csr_array[np.float64, tuple[int, int]] = sparse.csr_array(given, dtype=np.float64)
    if np.isnan(A.data).any():
        raise ModelError("rows has NaN among its stored entries; every entry must be a number")
    if not A.has_canonical_format:
        A = A.copy()
        A.sum_duplicates()
    return A


def _n_customers(F: Matrix | None, A: Rows | None, arrays: dict[str, NDArray[np.float64]]) -> int:
    if F is not None:
        return int(F.shape[1])
    if A is not None:
        return int(A.shape[1])
    lengths = [array.size for array in arrays.values() if array.ndim == 1]
    if not lengths:
        raise ModelError(
            "cannot tell the number of customers: factors and rows are left out and all else is "
            "scalar; give at least one array with an entry per customer"
        )
    return max(lengths)


def _broadcast(name: str, array: NDArray[np.float64], size: int, what: str) -> Vector:
    if array.ndim == 0:
        return np.full(size, float(array))
    if array.shape != (size,):
        raise ModelError(
            f"{name} has shape {array.shape}; expected ({size},), one entry for each of the "
            f"{size:,} {what}, or a single number"
        )
    return np.ascontiguousarray(array)


def _check(
    F: Matrix,
    A: Rows,
    fields: dict[str, Vector],
    names: tuple[str, ...],
) -> None:
    n, q = F.shape[1], A.shape[0]
    if n == 0:
        raise ModelError("the program has no customers; at least one is needed")
    if A.shape[1] != n:
        raise ModelError(f"rows has {A.shape[1]:,} columns, but factors has {n:,} customers")
    if len(names) != q:
        raise ModelError(f"row_names has {len(names):,} names for {q:,} rows")
    stored = A if isinstance(A, np.ndarray) else A.data
    finite = {"factors": F, "rows": stored}
    finite |= {name: fields[name] for name in ("idiosyncratic", "linear")}
    for name, array in finite.items():
        if not np.isfinite(array).all():
            raise ModelError(f"{name} has an infinite entry; only bounds may be infinite")
    if (fields["idiosyncratic"] < 0).any():
        first = int(np.argmax(fields["idiosyncratic"] < 0))
        found = fields["idiosyncratic"][first]
        raise ModelError(f"idiosyncratic[{first}] is {found}; a variance cannot be negative")
    for low, high in (("lower", "upper"), ("row_lower", "row_upper")):
        _check_bounds(low, high, fields[low], fields[high])


def _check_bounds(low: str, high: str, lower: Vector, upper: Vector) -> None:
    crossed = (lower > upper) | (lower == np.inf) | (upper == -np.inf)
    if crossed.any():
        first = int(np.argmax(crossed))
        raise ModelError(
            f"{low}[{first}] is {lower[first]} and {high}[{first}] is {upper[first]}: no number "
            f"lies between them ({int(crossed.sum()):,} such); mend the bounds"
        )


def _read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    view = array.view()
    view.flags.writeable = False
    return view
