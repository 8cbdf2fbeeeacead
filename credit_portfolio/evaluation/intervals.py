"""Intervals of the return, from total loss to the full markup: crisp or fuzzy."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index as index_of
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from credit_portfolio.errors import DataError, ModelError, did_you_mean
from credit_portfolio.evaluation.fuzzy import partition

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
# Transitions take up half of the narrower neighbour, so that every interval keeps a half in which
# a return is wholly (Gaussian and bell: nearly) its own.
_WIDTH = 0.5

Membership = Literal["crisp", "triangular", "trapezoidal", "gaussian", "bell"]


@dataclass(frozen=True, eq=False, slots=True)
class ReturnIntervals:
    """Intervals [v_0, v_1), [v_1, v_2), …, [v_{k−1}, v_k]: the last one is closed.

    Fuzzy intervals have the same edges; near an inner edge a return belongs to both neighbours in
    part, half and half on the edge itself. ``docs/evaluation.md`` has the formulas.

    Parameters
    ----------
    edges : sequence of float
        v_0 < … < v_k, as fractions of cost.
    good_from : int
        The first interval that counts as good, 0 ≤ good_from ≤ k.
    names : sequence of str, optional
        A name for each interval; "[-100 %, 0 %)" and so on by default.
    membership : {"crisp", "triangular", "trapezoidal", "gaussian", "bell"}
        Shape of the transitions; a crisp interval has none.
    width : float, optional
        How much of the narrower neighbour a transition takes up, 0 < width ≤ 1; 0.5 by default. As
        it goes to 0 the degrees become the crisp ones, off the edges. Crisp intervals have 0.

    Raises
    ------
    ModelError
        For edges that do not increase, a good_from outside the intervals, names that do not match
        their number, an unknown membership, or a width that it cannot have.

    Examples
    --------
    >>> intervals = ReturnIntervals([-1, 0, 0.2, 0.25], good_from=2)
    >>> intervals.names
    ('[-100 %, 0 %)', '[0 %, 20 %)', '[20 %, 25 %]')
    >>> intervals.index([-1.0, 0.0, 0.25])
    array([0, 1, 2])
    >>> intervals.fuzzy("trapezoidal").degrees([0.0, 0.025, 0.25])
    array([[0.5 , 0.5 , 0.  ],
           [0.25, 0.75, 0.  ],
           [0.  , 0.  , 1.  ]])
    """

    edges: Vector
    good_from: int
    names: tuple[str, ...]
    membership: Membership
    width: float

    def __init__(
        self,
        edges: ArrayLike,
        good_from: int,
        names: Sequence[str] | None = None,
        *,
        membership: Membership = "crisp",
        width: float | None = None,
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
        named = tuple(names) if names is not None else default_names(v)
        if len(named) != k or len(set(named)) != k:
            raise ModelError(f"{k} intervals need {k} different names; found {list(named)}")
        transition = _checked_width(membership, width)
        v.flags.writeable = False
        object.__setattr__(self, "edges", v)
        object.__setattr__(self, "good_from", good_from)
        object.__setattr__(self, "names", named)
        object.__setattr__(self, "membership", membership)
        object.__setattr__(self, "width", transition)

    @property
    def n_intervals(self) -> int:
        """Number of intervals, k."""
        return self.edges.size - 1

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which intervals are good, shape (k,)."""
        return np.arange(self.n_intervals) >= self.good_from

    @property
    def is_fuzzy(self) -> bool:
        """Whether a return can belong to two intervals in part."""
        return self.membership != "crisp"

    def fuzzy(self, membership: Membership, width: float | None = None) -> ReturnIntervals:
        """Return the same edges and names with another membership, which may be "crisp" again."""
        return ReturnIntervals(
            self.edges, self.good_from, self.names, membership=membership, width=width
        )

    def same_as(self, other: ReturnIntervals) -> bool:
        """Whether both give every return the same degrees, under the same names."""
        return (
            np.array_equal(self.edges, other.edges)
            and self.good_from == other.good_from
            and self.names == other.names
            and self.membership == other.membership
            and self.width == other.width
        )

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

    def degrees(self, returns: ArrayLike) -> NDArray[np.float64]:
        """Degree of each return in each interval, between 0 and 1; they sum to 1.

        Parameters
        ----------
        returns : array_like of any shape
            One on or beyond an outer edge belongs wholly to the outer interval.

        Returns
        -------
        ndarray, shape (…, k)
            All 0 for NaN.
        """
        r = np.asarray(returns, dtype=np.float64)
        found = np.zeros((*r.shape, self.n_intervals))
        if not self.is_fuzzy or self.n_intervals == 1:
            index = self.index(r)
            seen = index >= 0
            found[seen, index[seen]] = 1.0
            return found
        low, high = r <= self.edges[0] + _ON_THE_EDGE, r >= self.edges[-1] - _ON_THE_EDGE
        between = ~(low | high | np.isnan(r))
        found[low, 0] = 1.0
        found[high, -1] = 1.0
        found[between] = partition(r[between], self.edges, self.membership, self.width)
        return found


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
        "markup of the return rule, or count them in the outer intervals, "
        f"{intervals.names[0]!r} and {intervals.names[-1]!r}, with outside='clip'",
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


def default_names(v: Vector) -> tuple[str, ...]:
    """Names that say where each interval lies: "[-100 %, 0 %)" and so on."""
    low = [_percent(value) for value in v[:-1]]
    high = [_percent(value) for value in v[1:]]
    names = [f"[{a}, {b})" for a, b in zip(low, high, strict=True)]
    names[-1] = names[-1][:-1] + "]"
    return tuple(names)


def _checked_width(membership: str, width: float | None) -> float:
    known = get_args(Membership)
    if membership not in known:
        raise ModelError(
            f"unknown membership {membership!r}; expected one of {', '.join(known)}."
            f"{did_you_mean(str(membership), known)}"
        )
    if membership == "crisp":
        if width not in (None, 0):
            raise ModelError(
                f"crisp intervals have no transition, but width is {width!r}; leave it out, or "
                "choose a fuzzy membership such as 'trapezoidal'"
            )
        return 0.0
    if width is None:
        return _WIDTH
    if isinstance(width, (bool, str)) or not 0 < width <= 1:
        raise ModelError(
            f"width is {width!r}; a {membership} transition takes up a part of the narrower "
            "neighbour, above 0 and at most 1; membership='crisp' has none"
        )
    return float(width)


def _percent(value: float) -> str:
    return f"{100 * value:.10g} %"
