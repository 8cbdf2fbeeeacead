"""Find the proof that a program is infeasible or unbounded; the certificate room checks it.

Both searches are linear programs for HiGHS. They run only when no certified optimum was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.program.certificate import infeasibility_margin
from credit_portfolio.program.columns import Columns
from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

# HiGHS's finest: a book that misses a target by a millionth must not pass as feasible.
_HIGHS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
# A millionth of the largest weight is the simplex method's noise, not a part of a conflict.
WEIGHTY = 1e-6


# A conflict of more rows is told as it is found: each of them would take a linear program.
_MOST_ROWS = 50


def bounds_conflict(program: CreditProgram, columns: Columns) -> Vector:
    """Multipliers of the one row that its bounds alone miss by most; zeros where none does.

    The everyday case, a budget above the sum of the limits, is proved here without a solver.
    """
    y = np.zeros(program.n_rows)
    if program.n_rows == 0:
        return y
    least, most = _reach(program, columns)
    missing_above, missing_below = program.row_lower - most, least - program.row_upper
    if not (np.maximum(missing_above, missing_below) > 0).any():
        return y
    scale = _row_sizes(columns)
    missing_above, missing_below = missing_above / scale, missing_below / scale
    row = int(np.argmax(np.maximum(missing_above, missing_below)))
    y[row] = -1.0 if missing_above[row] >= missing_below[row] else 1.0
    return y


def rows_conflict(program: CreditProgram) -> Vector | None:
    """Multipliers of the rows at the point of least total violation, shape (q,).

    Solves min Σ (s + t) over lower ≤ w ≤ upper, row_lower ≤ A w + s − t ≤ row_upper, each row at
    norm one. Its row multipliers are the Farkas multipliers where the minimum is above zero.

    Returns
    -------
    ndarray or None
        None where HiGHS found no optimum.
    """
    n, q = program.n_customers, program.n_rows
    if q == 0:
        return None
    size = _row_sizes(Columns(program))
    A = sparse.diags_array(1.0 / size) @ sparse.csr_array(program.rows)
    slack = sparse.eye_array(q)
    both = sparse.hstack([A, slack, -slack], format="csr")
    cost = np.concatenate([np.zeros(n), np.ones(2 * q)])
    bounds = np.column_stack([program.lower, program.upper])
    bounds = np.vstack([bounds, np.tile([0.0, np.inf], (2 * q, 1))])
    above, below = np.isfinite(program.row_upper), np.isfinite(program.row_lower)
    limits = np.concatenate([program.row_upper[above], -program.row_lower[below]])
    limits = limits / np.concatenate([size[above], size[below]])
    system = sparse.vstack([both[above], -both[below]], format="csr")
    result = _highs(cost, A_ub=system, b_ub=limits, bounds=bounds)
    if result.status != 0:
        return None
    y = np.zeros(q)
    marginals = -np.asarray(result.ineqlin.marginals)
    y[above] += marginals[: above.sum()]
    y[below] -= marginals[above.sum() :]
    return y / size


def irreducible(program: CreditProgram, y: Vector, tolerance: float) -> Vector:
    """Drop rows from a conflict of up to 50 as long as the rest conflicts; bounds of shares stay.

    Parameters
    ----------
    program : CreditProgram
    y : ndarray, shape (q,)
        Multipliers that prove the conflict.
    tolerance : float
        The margin that a proof must have.

    Returns
    -------
    ndarray, shape (q,)
        Multipliers of a conflict from which no row can be left out.
    """
    kept = np.abs(y) > WEIGHTY * np.abs(y).max(initial=0.0)
    if kept.sum() > _MOST_ROWS:
        return y
    for row in np.flatnonzero(kept):
        without = kept.copy()
        without[row] = False
        found = rows_conflict(_only(program, without)) if without.any() else None
        if found is not None and infeasibility_margin(program, found) > tolerance:
            y = found
            kept = without & (np.abs(y) > WEIGHTY * np.abs(y).max())
    return y


def _only(program: CreditProgram, rows: NDArray[np.bool_]) -> CreditProgram:
    """Open the other rows on both sides."""
    return CreditProgram(
        rows=program.rows,
        row_lower=np.where(rows, program.row_lower, -np.inf),
        row_upper=np.where(rows, program.row_upper, np.inf),
        lower=program.lower,
        upper=program.upper,
    )


def falling_ray(program: CreditProgram) -> Vector | None:
    """Return a direction of steepest linear descent that leaves variance and rows alone.

    Solves min cᵀv over −1 ≤ v ≤ 1, F v = 0, D v = 0, with v in the cone that the bounds leave open.
    """
    floor = np.where(np.isfinite(program.lower), 0.0, -1.0)
    ceiling = np.where(np.isfinite(program.upper), 0.0, 1.0)
    still = program.idiosyncratic > 0
    floor[still] = ceiling[still] = 0.0
    if not program.linear.any() or not (floor < ceiling).any():
        return None
    A = sparse.csr_array(program.rows)
    above, below = np.isfinite(program.row_upper), np.isfinite(program.row_lower)
    system = sparse.vstack([A[above], -A[below]], format="csr")
    result = _highs(
        program.linear / np.abs(program.linear).max(),
        A_ub=system if system.shape[0] else None,
        b_ub=np.zeros(system.shape[0]) if system.shape[0] else None,
        A_eq=program.factors if program.n_factors else None,
        b_eq=np.zeros(program.n_factors) if program.n_factors else None,
        bounds=np.column_stack([floor, ceiling]),
    )
    return np.asarray(result.x, dtype=np.float64) if result.status == 0 else None


def _highs(cost: Vector, **problem: Any) -> Any:
    """Run HiGHS; its result is checked by the caller, so that its types do not matter here."""
    from scipy.optimize import linprog

    solve: Any = linprog
    return solve(cost, **problem, method="highs", options=_HIGHS)


def _reach(program: CreditProgram, columns: Columns) -> tuple[Vector, Vector]:
    """Smallest and largest activity of each row over the bounds of the shares."""
    never_below, never_above = np.isinf(program.lower), np.isinf(program.upper)
    bounded = not (never_below.any() or never_above.any())
    lower = program.lower if bounded else np.where(never_below, 0.0, program.lower)
    upper = program.upper if bounded else np.where(never_above, 0.0, program.upper)

    def block(at: slice) -> tuple[Vector, ...]:
        rising, falling = _parts(columns.rows(at))
        least, most = rising @ lower[at], rising @ upper[at]
        if falling is not None:
            least, most = least + falling @ upper[at], most + falling @ lower[at]
        if bounded:
            return least, most
        below, above = never_below[at].astype(np.float64), never_above[at].astype(np.float64)
        falls, rises = rising @ below, rising @ above
        if falling is not None:
            falls, rises = falls - falling @ above, rises - falling @ below
        return least, most, falls, rises

    sums = [np.asarray(sum(part)) for part in zip(*columns.each(block), strict=True)]
    if bounded:
        return sums[0], sums[1]
    least, most, falls, rises = sums
    return np.where(falls > 0, -np.inf, least), np.where(rises > 0, np.inf, most)


def _parts(A: Any) -> tuple[Any, Any]:
    """Split rows into what is above zero and what is below; None where nothing is below."""
    if not isinstance(A, np.ndarray):
        return A.maximum(0), A.minimum(0)
    if A.min() >= 0:
        return A, None
    return np.maximum(A, 0.0), np.minimum(A, 0.0)


def _row_sizes(columns: Columns) -> Vector:
    """Norm of each row, 1 for a row of zeros (an interval that nobody's returns reach)."""
    sizes = columns.row_norms()
    return np.where(sizes > 0, sizes, 1.0)
