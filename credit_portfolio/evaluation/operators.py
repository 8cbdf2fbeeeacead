"""Composition operators B = W∘P: from shares and P to the portfolio's degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from credit_portfolio.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


def weighted_average(w: Vector, P: Matrix) -> Vector:
    """M(·,⊕), B_j = Σ_i w_i p_ij: all customers count, each by his share.

    The only operator under which B sums to 1 when the shares and the rows of P do, so that the
    bounded sum min(1, ·) never binds, and the only one that is linear in the shares.

    Parameters
    ----------
    w : ndarray, shape (n_customers,)
    P : ndarray, shape (n_customers, n_intervals)

    Returns
    -------
    ndarray, shape (n_intervals,)

    Examples
    --------
    >>> import numpy as np
    >>> weighted_average(np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    array([0.75, 0.25])
    """
    degrees: Vector = w @ P
    return degrees


OPERATORS: dict[str, Callable[[Vector, Matrix], Vector]] = {"weighted_average": weighted_average}


def operator_named(name: str) -> Callable[[Vector, Matrix], Vector]:
    """Return the operator, or raise a ModelError that lists those there are."""
    if name not in OPERATORS:
        raise ModelError(
            f"unknown operator {name!r}; expected one of {', '.join(OPERATORS)}."
            f"{did_you_mean(name, OPERATORS)}"
        )
    return OPERATORS[name]
