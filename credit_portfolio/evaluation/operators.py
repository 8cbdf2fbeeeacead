"""Composition operators B = W∘P: from shares and P to the portfolio's degrees.

==========================  ======  ================================  ============================
name                        sign    B_j                               character
==========================  ======  ================================  ============================
``main_factor_decisive``    M(∧,∨)  max_i min(w_i, p_ij)              one customer rules
``main_factor_prominent``   M(·,∨)  max_i w_i p_ij                    one customer rules, finer
``bounded_sum``             M(∧,⊕)  min(1, Σ_i min(w_i, p_ij))        all count, each up to p_ij
``weighted_average``        M(·,⊕)  Σ_i w_i p_ij                      all count by their shares
``balanced``                        Σ_i min(w_i, p_ij / Σ_l p_lj)     all count, columns evened out
==========================  ======  ================================  ============================

Only under the weighted average do the degrees sum to one when the shares and the rows of P do.
Those of the others are compared after ``normalise``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Operator = Callable[[Vector, Matrix], Vector]


def main_factor_decisive(w: Vector, P: Matrix) -> Vector:
    """M(∧,∨), B_j = max_i min(w_i, p_ij): only the ruling customer counts, his share as a cap.

    Parameters
    ----------
    w : ndarray, shape (n_customers,)
    P : ndarray, shape (n_customers, n_intervals)

    Returns
    -------
    ndarray, shape (n_intervals,)

    Examples
    --------
    >>> main_factor_decisive(np.array([0.7, 0.3]), np.array([[0.6, 0.4], [0.1, 0.9]]))
    array([0.6, 0.4])
    """
    degrees: Vector = np.minimum(w[:, None], P).max(axis=0)
    return degrees


def main_factor_prominent(w: Vector, P: Matrix) -> Vector:
    """M(·,∨), B_j = max_i w_i p_ij: only the ruling customer counts, his share as a weight.

    Parameters
    ----------
    w : ndarray, shape (n_customers,)
    P : ndarray, shape (n_customers, n_intervals)

    Returns
    -------
    ndarray, shape (n_intervals,)

    Examples
    --------
    >>> main_factor_prominent(np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    array([0.5 , 0.25])
    """
    degrees: Vector = (w[:, None] * P).max(axis=0)
    return degrees


def bounded_sum(w: Vector, P: Matrix) -> Vector:
    """M(∧,⊕), B_j = min(1, Σ_i min(w_i, p_ij)): all customers count, each up to his degree.

    Where the shares sum to one the outer bound of 1 never binds.

    Parameters
    ----------
    w : ndarray, shape (n_customers,)
    P : ndarray, shape (n_customers, n_intervals)

    Returns
    -------
    ndarray, shape (n_intervals,)

    Examples
    --------
    >>> bounded_sum(np.array([0.75, 0.25]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    array([0.5 , 0.75])
    """
    degrees: Vector = np.minimum(1.0, np.minimum(w[:, None], P).sum(axis=0))
    return degrees


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
    >>> weighted_average(np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.5, 0.5]]))
    array([0.75, 0.25])
    """
    degrees: Vector = w @ P
    return degrees


def balanced(w: Vector, P: Matrix) -> Vector:
    """B_j = Σ_i min(w_i, p_ij / Σ_l p_lj): the bounded sum with the columns of P evened out.

    P is divided by its own column sums, over the customers it is given for; an interval that no
    customer ever reached has the degree 0.

    Parameters
    ----------
    w : ndarray, shape (n_customers,)
    P : ndarray, shape (n_customers, n_intervals)

    Returns
    -------
    ndarray, shape (n_intervals,)

    Examples
    --------
    >>> balanced(np.array([0.5, 0.5]), np.array([[0.75, 0.25], [0.25, 0.75]]))
    array([0.75, 0.75])
    """
    total = P.sum(axis=0)
    parts = np.divide(P, total, out=np.zeros_like(P, dtype=np.float64), where=total > 0)
    degrees: Vector = np.minimum(w[:, None], parts).sum(axis=0)
    return degrees


OPERATORS: dict[str, Operator] = {
    "main_factor_decisive": main_factor_decisive,
    "main_factor_prominent": main_factor_prominent,
    "bounded_sum": bounded_sum,
    "weighted_average": weighted_average,
    "balanced": balanced,
}


def normalise(degrees: Vector) -> Vector:
    """B / Σ_j B_j, so that the degrees of any operator sum to one.

    Parameters
    ----------
    degrees : ndarray, shape (n_intervals,)

    Returns
    -------
    ndarray, shape (n_intervals,)

    Raises
    ------
    ModelError
        Where all degrees are zero: there is nothing to compare. Give someone a share.

    Examples
    --------
    >>> normalise(np.array([0.25, 0.75, 1.0]))
    array([0.125, 0.375, 0.5  ])
    """
    total = float(degrees.sum())
    if not total > 0:
        raise ModelError(
            f"the degrees of all {degrees.size} intervals sum to {total}; expected a sum above 0 "
            "to normalise by; look for a book without any share, or a P of zeros"
        )
    return degrees / total


def operator_named(name: str, *, normalised: bool = False) -> Operator:
    """Return the operator, or raise a ModelError that lists those there are.

    Parameters
    ----------
    name : str
        One of ``OPERATORS``.
    normalised : bool, default False
        Whether its degrees shall be divided by their sum.
    """
    if name not in OPERATORS:
        raise ModelError(
            f"unknown operator {name!r}; expected one of {', '.join(OPERATORS)}."
            f"{did_you_mean(name, OPERATORS)}"
        )
    raw = OPERATORS[name]
    return (lambda w, P: normalise(raw(w, P))) if normalised else raw
