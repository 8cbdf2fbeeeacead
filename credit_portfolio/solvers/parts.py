"""Programs of some of a program's customers: for those near the edge, and for a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers.interior_point import interior_point
from credit_portfolio.solvers.polish import polish

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]

# A polished point that ends here needs no interior point; one that cycles stays far above.
_SHARP = 1e-11


def taken(program: CreditProgram, at: Index, each: float = 1.0) -> CreditProgram:
    """Return the program of some customers, each of whom stands for so many.

    Parameters
    ----------
    program : CreditProgram
    at : ndarray of int
        Their places.
    each : float
        One who stands for many may have as many shares, whose own variances average out.
    """
    return CreditProgram(
        factors=program.factors[:, at],
        idiosyncratic=program.idiosyncratic[at] / each,
        linear=program.linear[at],
        rows=program.rows[:, at],
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        lower=program.lower[at] * each,
        upper=program.upper[at] * each,
    )


def given_others(some: CreditProgram, pushed: Vector) -> CreditProgram:
    """Return the program of some customers when K w of all others is settled.

    Parameters
    ----------
    some : CreditProgram
        Made by ``taken``.
    pushed : ndarray, shape (k + q,)
        F w and A w of the others.
    """
    of_factors, of_rows = pushed[: some.n_factors], pushed[some.n_factors :]
    return CreditProgram(
        factors=some.factors,
        idiosyncratic=some.idiosyncratic,
        linear=some.linear + 2.0 * (some.factors.T @ of_factors),
        rows=some.rows,
        row_lower=some.row_lower - of_rows,
        row_upper=some.row_upper - of_rows,
        lower=some.lower,
        upper=some.upper,
    )


def settle(
    inner: CreditProgram, columns: Columns, w: Vector, y: Vector, tolerance: float
) -> tuple[Vector, Vector, Vector] | None:
    """Solve a program of few customers: (shares, F w, row multipliers), None without a proof.

    Parameters
    ----------
    inner : CreditProgram
    columns : Columns
        Of the same program.
    w, y : ndarray
        Shares and row multipliers that may be nearly right.
    tolerance : float
    """
    w, seen = polish(inner, w, y, tolerance, columns)
    if not seen.certificate.worst <= _SHARP:
        w, y, _, _ = interior_point(inner, columns, tolerance * 0.1)
        w, seen = polish(inner, w, y, tolerance, columns)
    return (w, seen.exposure, seen.y) if seen.certificate.holds else None
