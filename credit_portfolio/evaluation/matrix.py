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
    Counts = NDArray[np.int64] | NDArray[np.float64]


# Customers whose degrees are computed together: arrays of some 65,536 × k stay in the cache, and
# the passing arrays stay far below the matrix of a million customers.
_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False, slots=True)
class EvaluationMatrix:
    """P with the counts it rests on.

    Attributes
    ----------
    values : ndarray, shape (n_customers, n_intervals)
        p_ij; each row sums to 1.
    counts : ndarray of int or float, shape (n_customers, n_intervals)
        Periods of customer i with a return in interval j; of fuzzy intervals the sum of the
        degrees.
    intervals : ReturnIntervals
    centres : ndarray, shape (n_intervals,)
        Mean of the pooled returns in each interval, weighted by degree; its midpoint where there
        is none.
    periods : ndarray of int, shape (n_customers,)
        m_i, the periods in which customer i has a return.
    squares : ndarray of int or float, shape (n_customers, n_intervals)
        Sum of the squared degrees, the counts themselves when crisp. p_ij is a mean of m_i degrees
        d, so that its sampling variance is (Σ d² − m_i p_ij²)/(m_i (m_i − 1)).
    """

    values: Matrix
    counts: Counts
    intervals: ReturnIntervals
    centres: Vector
    periods: NDArray[np.int64]
    squares: Counts


def evaluation_matrix(
    returns: Matrix,
    intervals: ReturnIntervals,
    *,
    outside: Literal["error", "clip"] = "error",
    periods: Sequence[object] | None = None,
    customers: Sequence[object] | None = None,
) -> EvaluationMatrix:
    """Count each customer's periods per interval: p_ij = n_ij / m_i.

    With fuzzy intervals n_ij is the sum of the degrees of his returns in interval j.

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
    periods_seen = (~np.isnan(returns)).sum(axis=0)
    if (periods_seen == 0).any():
        empty = np.flatnonzero(periods_seen == 0)
        names = [customers[i] if customers is not None else i for i in empty.tolist()]
        raise DataError(f"{empty.size:,} customers have no period with a sale: {listing(names)}")
    add_up = _fuzzy_counts if intervals.is_fuzzy else _crisp_counts
    counts, squares, totals = add_up(returns, intervals)
    values = counts / periods_seen[:, None]
    for array in (values, counts, squares, periods_seen):
        array.flags.writeable = False
    centres = _centres(totals, counts.sum(axis=0), intervals)
    return EvaluationMatrix(values, counts, intervals, centres, periods_seen, squares)


def interval_variance(distribution: Matrix, centres: Vector) -> Vector:
    """Variance of a return that takes the interval centres with the given chances, shape (n,)."""
    mean = distribution @ centres
    spread: Vector = ((centres[None, :] - mean[:, None]) ** 2 * distribution).sum(axis=1)
    return spread


def _crisp_counts(returns: Matrix, intervals: ReturnIntervals) -> tuple[Counts, Counts, Vector]:
    """Return the counts, the same again as squares, and the sum of the returns in each interval."""
    n, k = returns.shape[1], intervals.n_intervals
    counts = np.zeros(n * k, dtype=np.int64)
    totals = np.zeros(k)
    for row in returns:  # a customer appears once in a period, so that += meets each place once
        index = intervals.index(row)
        seen = np.flatnonzero(index >= 0)
        counts[seen * k + index[seen]] += 1
        np.add.at(totals, index[seen], _inside(row[seen], intervals))
    table = counts.reshape(n, k)
    return table, table, totals


def _fuzzy_counts(returns: Matrix, intervals: ReturnIntervals) -> tuple[Counts, Counts, Vector]:
    """Return the sums of the degrees, of their squares, and of the returns weighted by degree."""
    n, k = returns.shape[1], intervals.n_intervals
    counts, squares, totals = np.zeros((n, k)), np.zeros((n, k)), np.zeros(k)
    for row in returns:
        for start in range(0, n, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            degrees = intervals.degrees(row[part])
            counts[part] += degrees
            squares[part] += degrees**2
            totals += np.nan_to_num(_inside(row[part], intervals)) @ degrees
    return counts, squares, totals


def _inside(returns: Vector, intervals: ReturnIntervals) -> Vector:
    return np.clip(returns, intervals.edges[0], intervals.edges[-1])


def _centres(totals: Vector, counts: Vector, intervals: ReturnIntervals) -> Vector:
    centres = (intervals.edges[:-1] + intervals.edges[1:]) / 2
    np.divide(totals, counts, out=centres, where=counts > 0)
    return centres
