"""A least expected return: one row, mean·w ≥ r."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from credit_portfolio.errors import InfeasibleError, ModelError
from credit_portfolio.program.rewriting import check_customers, per_customer, with_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]

RETURN_ROW = "expected return"

# A best return known to the rounding of its n products counts as reached.
_ROUNDING = 1e-13


def with_expected_return(
    program: CreditProgram, mean: ArrayLike, least: float, customers: int | None = None
) -> CreditProgram:
    """Ask for an expected return of at least so much.

    Parameters
    ----------
    program : CreditProgram
        Its first columns are the customers; further ones are left alone.
    mean : array_like, shape (n,)
        Expected return of each customer's credit, a fraction of cost.
    least : float
        r, in the same unit.
    customers : int, optional
        How many of the columns are customers, where some are auxiliary.

    Raises
    ------
    ModelError
        Where ``least`` or a mean is not a number, or there is not one mean for each customer.
    InfeasibleError
        Where budget, limits and floors alone rule it out; what the other rows rule out is left to
        the solver.

    Examples
    --------
    >>> from credit_portfolio.program.program import CreditProgram
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.02], rows=[[1, 1]], row_lower=1,
    ...                         row_upper=1, upper=0.6, row_names=["budget"])
    >>> with_expected_return(program, [0.10, 0.20], 0.15).row_names
    ('budget', 'expected return')
    """
    check_customers("mean", np.size(mean), program, customers)
    row = per_customer("mean", mean, np.size(mean))
    if not np.isfinite(least):
        raise ModelError(f"the least expected return is {least}; expected a number, as 0.12")
    best = best_return(program, row)
    if least > best + _ROUNDING * abs(best):
        raise InfeasibleError(
            f"an expected return of {least:.4%} is asked for, but {best:.4%} is the best that "
            f"budget, limits and floors allow, {least - best:.4%} less; ask for no more, or raise "
            "limits of customers with higher returns",
            conflict=(RETURN_ROW, "limits"),
        )
    return with_rows(program, row[None, :], float(least), np.inf, [RETURN_ROW])


def best_return(program: CreditProgram, row: Vector) -> float:
    """Largest row·w under the budget and the customers' bounds: fill the best first.

    Parameters
    ----------
    program : CreditProgram
    row : ndarray, shape (n,)
        Of the customers, the first columns.

    Returns
    -------
    float
        inf where the budget alone bounds nothing.
    """
    n = row.size
    lower, upper = program.lower[:n], program.upper[:n]
    total = budget_of(program, n)
    at = np.where(row > 0, upper, lower)
    if total is None or not np.isfinite(lower).all():
        # The entry of a customer without a return of his own is 0, however much he may get.
        return float(np.multiply(row, at, out=np.zeros(n), where=row != 0).sum())
    return fill_best(row, lower, upper, total)


def fill_best(row: Vector, lower: Vector, upper: Vector, total: float) -> float:
    """Largest row·w under Σ w = total and the bounds: fill the best first.

    Examples
    --------
    >>> fill_best(np.array([0.4, 0.1]), np.zeros(2), np.array([0.5, 1.0]), 1.0)
    0.25
    """
    order = np.argsort(-row, kind="stable")
    rest = max(total - float(lower.sum()), 0.0)
    room = np.minimum(upper - lower, rest)[order]
    before = np.concatenate([[0.0], np.cumsum(room)[:-1]])
    given = np.clip(rest - before, 0.0, room)
    return float(row @ lower + row[order] @ given)


def budget_of(program: CreditProgram, n: int) -> float | None:
    """Find what the shares add up to: the first equality whose entries are all alike, else None."""
    equal = program.row_lower == program.row_upper
    for r in np.flatnonzero(equal):
        entries = program.rows[[int(r)]]
        full = (entries.toarray() if sparse.issparse(entries) else np.asarray(entries))[0]
        if full[0] != 0 and (full[:n] == full[0]).all() and not full[n:].any():
            return float(program.row_upper[r] / full[0])
    return None
