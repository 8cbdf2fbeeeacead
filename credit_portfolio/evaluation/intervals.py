"""Intervals of the return, from total loss to the full markup."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index as index_of
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import DataError, ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

# A return is a quotient of sums of money: paid in full at markup R gives R up to rounding of some
# 1e-16 per invoice. A value this close to an edge lies on the edge. One cent on a sale of ten
# million moves a return by 1e-9, so no real difference is hidden.
_ON_THE_EDGE = 1e-9


@dataclass(frozen=True, eq=False, slots=True)
class ReturnIntervals:
    """Intervals [v_0, v_1), [v_1, v_2), …, [v_{k−1}, v_k]: the last one is closed.

    Parameters
    ----------
    edges : sequence of float
        v_0 < … < v_k, as fractions of cost.
    good_from : int
        The first interval that counts as good, 0 ≤ good_from ≤ k.
    names : sequence of str, optional
        A name for each interval; "[-100 %, 0 %)" and so on by default.

    Raises
    ------
    ModelError
        For edges that do not increase, a good_from outside the intervals, or names that do not
        match their number.

    Examples
    --------
    >>> intervals = ReturnIntervals([-1, 0, 0.2, 0.25], good_from=2)
    >>> intervals.names
    ('[-100 %, 0 %)', '[0 %, 20 %)', '[20 %, 25 %]')
    >>> intervals.index([-1.0, 0.0, 0.25])
    array([0, 1, 2])
    """

    edges: Vector
    good_from: int
    names: tuple[str, ...]

    def __init__(
        self, edges: ArrayLike, good_from: int, names: Sequence[str] | None = None
    ) -> None:
        try:
            v = np.array(edges, dtype=np.float64)
        except ValueError as error:
            raise ModelError(f"edges {edges!r} must all be numbers: {error}") from error
        if v.ndim != 1 or v.size < 2:
            raise ModelError(f"edges has shape {v.shape}; expected at least two increasing numbers")
        if not np.isfinite(v).all():
            raise ModelError(f"edges {v.tolist()} must all be finite numbers")
        if (np.diff(v) <= 2 * _ON_THE_EDGE).any():
            first = int(np.argmax(np.diff(v) <= 2 * _ON_THE_EDGE))
            raise ModelError(
                f"edges must increase: edge {first} is {v[first]} and edge {first + 1} is "
                f"{v[first + 1]}; sort them and leave out repeats"
            )
        k = v.size - 1
        good_from = index_of(good_from)  # a TypeError for 1.5, which no interval has
        if not 0 <= good_from <= k:
            raise ModelError(
                f"good_from is {good_from}; expected 0 to {k}, as there are {k} intervals"
            )
        named = tuple(names) if names is not None else tuple(_default_names(v))
        if len(named) != k or len(set(named)) != k:
            raise ModelError(f"{k} intervals need {k} different names; found {list(named)}")
        v.flags.writeable = False
        object.__setattr__(self, "edges", v)
        object.__setattr__(self, "good_from", good_from)
        object.__setattr__(self, "names", named)

    @property
    def n_intervals(self) -> int:
        """Number of intervals, k."""
        return self.edges.size - 1

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which intervals are good, shape (k,)."""
        return np.arange(self.n_intervals) >= self.good_from

    def outside(self, returns: ArrayLike) -> NDArray[np.bool_]:
        """Which returns lie outside [v_0, v_k]; NaN does not."""
        r = np.asarray(returns, dtype=np.float64)
        below, above = r < self.edges[0] - _ON_THE_EDGE, r > self.edges[-1] + _ON_THE_EDGE
        either: NDArray[np.bool_] = np.logical_or(below, above)
        return either

    def index(self, returns: ArrayLike) -> NDArray[np.intp]:
        """Interval number of each return; −1 for NaN. A return outside takes the outer interval."""
        r = np.asarray(returns, dtype=np.float64)
        found = np.searchsorted(self.edges[1:-1], r + _ON_THE_EDGE, side="right")
        return np.where(np.isnan(r), -1, found)


def check_inside(
    intervals: ReturnIntervals,
    returns: Matrix,
    periods: Sequence[object] | None = None,
    customers: Sequence[object] | None = None,
) -> None:
    """Raise a DataError that names the cells whose return lies outside the edges.

    Parameters
    ----------
    intervals : ReturnIntervals
    returns : ndarray, shape (n_periods, n_customers)
    periods, customers : sequence, optional
        Labels for the message; positions by default.
    """
    failures = _named_cells(intervals.outside(returns), returns, periods, customers)
    if failures.empty:
        return
    raise DataError(
        f"{len(failures):,} returns lie outside the edges [{intervals.edges[0]:g}, "
        f"{intervals.edges[-1]:g}], the first at {_first(failures)}; widen the edges, mend the "
        "markup of the return rule, or count them in the outer intervals with outside='clip'",
        failures,
    )


def check_finite(
    returns: Matrix,
    periods: Sequence[object] | None = None,
    customers: Sequence[object] | None = None,
) -> None:
    """Raise a DataError that names the infinite cells, which no outer interval may take in."""
    failures = _named_cells(np.isinf(returns), returns, periods, customers)
    if failures.empty:
        return
    raise DataError(
        f"{len(failures):,} returns are infinite, the first at {_first(failures)}; a return is a "
        "finite part of the cost: mend the panel",
        failures,
    )


def _first(failures: pd.DataFrame) -> str:
    # Column by column: a row of a frame of numbers would turn the positions into floats.
    period, customer, value = (failures[name].tolist()[0] for name in failures)
    return f"period {period}, customer {customer!r}: {value:.6g}"


def _named_cells(
    which: NDArray[np.bool_],
    returns: Matrix,
    periods: Sequence[object] | None,
    customers: Sequence[object] | None,
) -> pd.DataFrame:
    import pandas as pd

    rows, columns = (place.tolist() for place in np.nonzero(which))
    return pd.DataFrame(
        {
            "period": rows if periods is None else [periods[row] for row in rows],
            "customer_id": columns if customers is None else [customers[i] for i in columns],
            "return": returns[rows, columns],
        }
    )


def _default_names(v: Vector) -> list[str]:
    low = [_percent(value) for value in v[:-1]]
    high = [_percent(value) for value in v[1:]]
    names = [f"[{a}, {b})" for a, b in zip(low, high, strict=True)]
    names[-1] = names[-1][:-1] + "]"
    return names


def _percent(value: float) -> str:
    return f"{100 * value:.10g} %"
