"""Small symmetric systems, quickly where they are regular and safely where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

# Pivots of a matrix with unit diagonal: below this, rows say nearly the same twice, and a solution
# by elimination may be anything.
_REGULAR = 1e-6
_CUT = 1e-15


def solve_symmetric(matrix: Matrix, right: Matrix) -> Matrix:
    """Return the smallest solution of a positive semidefinite system, after scaling.

    Parameters
    ----------
    matrix : ndarray, shape (size, size)
        Scaled to unit diagonal first; rows that say the same twice make it singular.
    right : ndarray, shape (size,) or (size, any)

    Examples
    --------
    >>> solve_symmetric(np.array([[2.0, 0.0], [0.0, 4.0]]), np.array([2.0, 2.0]))
    array([1. , 0.5])
    >>> solve_symmetric(np.ones((2, 2)), np.ones(2)).round(9)
    array([0.5, 0.5])
    """
    if not matrix.size:
        return np.zeros_like(right)
    size = np.sqrt(np.maximum(matrix.diagonal(), np.finfo(float).tiny))
    scaled = matrix / (size[:, None] * size)
    across = size if right.ndim == 1 else size[:, None]
    factor, info = dpotrf(scaled.T, lower=1, clean=0)
    if info == 0 and factor.diagonal().min() > _REGULAR:
        solved, _ = dpotrs(factor, right / across, lower=1)
        return np.asarray(solved / across)
    return np.asarray(np.linalg.lstsq(scaled, right / across, rcond=_CUT)[0] / across)
