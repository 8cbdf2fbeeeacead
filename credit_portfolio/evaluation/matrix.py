"""The evaluation matrix P: how often each customer's return fell in each interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from credit_portfolio.errors import DataError, ModelError, listing
from credit_portfolio.evaluation.intervals import ReturnIntervals, check_finite, check_inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class EvaluationMatrix:
    """P with the counts it rests on.

    Attributes
    ----------
    values : ndarray, shape (n_customers, n_intervals)
        p_ij; each row sums to 1.
    counts : ndarray of int, shape (n_customers, n_intervals)
        Periods of customer i with a return in interval j.
    intervals : ReturnIntervals
    centres : ndarray, shape (n_intervals,)
        Mean of the pooled returns in each interval, its midpoint where there is none.
    """

    values: Matrix
    counts: NDArray[np.int64]
    intervals: ReturnIntervals
    centres: Vector


def evaluation_matrix(
    returns: Matrix,
    intervals: ReturnIntervals,
    *,
    outside: Literal["error", "clip"] = "error",
    periods: Sequence[object] | None = None,
    customers: Sequence[object] | None = None,
) -> EvaluationMatrix:
    """Count each customer's periods per interval: p_ij = n_ij / m_i.

    Parameters
    ----------
    returns : ndarray, shape (n_periods, n_customers)
        NaN where a customer had no sale.
    intervals : ReturnIntervals
    outside : {"error", "clip"}
        A return outside the edges is an error that names the cells, or counts in the outer
        interval.
    periods, customers : sequence, optional
        Labels for messages.

    Raises
    ------
    DataError
        For returns outside the edges, infinite returns, or customers without any period.

    Examples
    --------
    >>> intervals = ReturnIntervals([-1, 0, 0.25], good_from=1)
    >>> evaluation_matrix(np.array([[0.25], [-1.0], [0.2], [0.25]]), intervals).values
    array([[0.25, 0.75]])
    """
    if outside not in ("error", "clip"):
        raise ModelError(f"outside is {outside!r}; expected 'error' or 'clip'")
    if outside == "error":
        check_inside(intervals, returns, periods, customers)
    check_finite(returns, periods, customers)
    n, k = returns.shape[1], intervals.n_intervals
    index = intervals.index(returns)
    seen = index >= 0
    column = np.broadcast_to(np.arange(n), index.shape)
    counts = np.bincount(column[seen] * k + index[seen], minlength=n * k).reshape(n, k)
    observed = counts.sum(axis=1)
    if (observed == 0).any():
        empty = np.flatnonzero(observed == 0)
        names = [customers[i] if customers is not None else i for i in empty.tolist()]
        raise DataError(f"{empty.size:,} customers have no period with a sale: {listing(names)}")
    values = counts / observed[:, None]
    for array in (values, counts):
        array.flags.writeable = False
    return EvaluationMatrix(values, counts, intervals, _centres(returns, index, intervals))


def smoothed(matrix: EvaluationMatrix, strength: float = 1.0) -> Matrix:
    """Draw each row towards the pooled one: (n_ij + α π_j)/(m_i + α), shape (n, k).

    Parameters
    ----------
    matrix : EvaluationMatrix
    strength : float, default 1
        α ≥ 0: how many periods the pooled distribution π counts for; 0 returns P itself.
    """
    if not 0 <= strength < np.inf:
        raise ModelError(
            f"the smoothing strength is {strength}; expected a finite number of zero or more"
        )
    pooled = matrix.counts.sum(axis=0) / matrix.counts.sum()
    observed = matrix.counts.sum(axis=1, keepdims=True)
    drawn: Matrix = (matrix.counts + strength * pooled) / (observed + strength)
    return drawn


def interval_variance(distribution: Matrix, centres: Vector) -> Vector:
    """Variance of a return that takes the interval centres with the given chances, shape (n,)."""
    mean = distribution @ centres
    spread: Vector = ((centres[None, :] - mean[:, None]) ** 2 * distribution).sum(axis=1)
    return spread


def _centres(returns: Matrix, index: NDArray[np.intp], intervals: ReturnIntervals) -> Vector:
    seen = index >= 0
    k = intervals.n_intervals
    inside = np.clip(returns[seen], intervals.edges[0], intervals.edges[-1])
    total = np.bincount(index[seen], weights=inside, minlength=k)
    count = np.bincount(index[seen], minlength=k)
    middle = (intervals.edges[:-1] + intervals.edges[1:]) / 2
    centres: Vector = np.where(count > 0, total / np.maximum(count, 1), middle)
    return centres
