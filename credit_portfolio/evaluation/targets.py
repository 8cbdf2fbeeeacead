"""Targets b_j: no more than b_j of the credit in a bad interval, no less in a good one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError, did_you_mean, listing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from credit_portfolio.evaluation.intervals import ReturnIntervals

    Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Targets:
    """Bounds on B: at most b_j before ``good_from``, at least b_j from there on.

    Attributes
    ----------
    bounds : ndarray, shape (n_intervals,)
        b_j in [0, 1]; NaN where the interval is left free.
    intervals : ReturnIntervals
    origin : str
        Where the bounds come from, as reports say it.

    Examples
    --------
    >>> from credit_portfolio.evaluation.intervals import ReturnIntervals
    >>> targets = Targets.explicit({0: 0.01, 2: 0.6}, ReturnIntervals([-1, 0, 0.2, 0.25], 2))
    >>> targets.upper, targets.lower
    (array([0.01,  inf,  inf]), array([-inf, -inf,  0.6]))
    """

    bounds: Vector
    intervals: ReturnIntervals
    origin: str

    def __post_init__(self) -> None:
        b = np.array(self.bounds, dtype=np.float64)
        if b.shape != (self.intervals.n_intervals,):
            raise ModelError(
                f"{b.size} targets for {self.intervals.n_intervals} intervals, "
                f"{_all_names(self.intervals)}; give one each, or a mapping from interval name or "
                "number to bound"
            )
        wrong = ~np.isnan(b) & ~((b >= 0) & (b <= 1))
        if wrong.any():
            j = int(np.argmax(wrong))
            raise ModelError(
                f"the target of interval {j} {self.intervals.names[j]} is {b[j]}; expected a part "
                "of the credit between 0 and 1"
            )
        b.flags.writeable = False
        object.__setattr__(self, "bounds", b)

    @classmethod
    def explicit(cls, bounds: Mapping[int | str, float], intervals: ReturnIntervals) -> Targets:
        """Take bounds from a mapping: interval number or name -> bound; others stay free.

        Raises
        ------
        ModelError
            For an interval that does not exist or is named twice, or a bound outside [0, 1].
        """
        b = np.full(intervals.n_intervals, np.nan)
        for key, bound in bounds.items():
            j = _position(key, intervals)
            if not np.isnan(b[j]):
                raise ModelError(
                    f"interval {j} {intervals.names[j]} has two targets, {b[j]} and {bound}; keep "
                    "one of them"
                )
            b[j] = _number(j, bound, intervals)
        return cls(b, intervals, "explicit")

    @classmethod
    def no_worse(cls, degrees: Vector, intervals: ReturnIntervals) -> Targets:
        """Take B of today's shares as the bounds: no more in bad intervals, no less in good ones.

        Parameters
        ----------
        degrees : ndarray, shape (n_intervals,)
            B of the current book.
        """
        return cls(np.clip(degrees, 0.0, 1.0), intervals, "no worse than the current book")

    @property
    def upper(self) -> Vector:
        """Upper bound of B_j: b_j in bad intervals, else +inf; shape (n_intervals,)."""
        kept = ~self.intervals.good & ~np.isnan(self.bounds)
        return np.where(kept, self.bounds, np.inf)

    @property
    def lower(self) -> Vector:
        """Lower bound of B_j: b_j in good intervals, else −inf; shape (n_intervals,)."""
        kept = self.intervals.good & ~np.isnan(self.bounds)
        return np.where(kept, self.bounds, -np.inf)


def _position(key: int | str, intervals: ReturnIntervals) -> int:
    if isinstance(key, str):
        if key in intervals.names:
            return intervals.names.index(key)
        if not key.removeprefix("-").isdecimal():
            raise ModelError(
                f"no interval is named {key!r}; there are {_all_names(intervals)}."
                f"{did_you_mean(key, intervals.names)}"
            )
        key = int(key)
    given: object = key  # at run time it may be anything that can be hashed
    whole = isinstance(given, (int, float, np.number)) and not isinstance(given, bool)
    if not whole or key != int(key) or not 0 <= key < intervals.n_intervals:
        raise ModelError(
            f"a target is given for interval {key!r}; expected 0 to {intervals.n_intervals - 1}, "
            f"or one of the names {_all_names(intervals)}"
        )
    return int(key)


def _number(j: int, bound: float, intervals: ReturnIntervals) -> float:
    where = f"the target of interval {j} {intervals.names[j]}"
    try:
        if isinstance(bound, bool):
            raise TypeError
        value = float(bound)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{where} is {bound!r}; expected a number") from error
    if np.isnan(value):
        raise ModelError(f"{where} is NaN; leave it out to leave it free")
    return value


def _all_names(intervals: ReturnIntervals) -> str:
    return listing(intervals.names, intervals.n_intervals)
