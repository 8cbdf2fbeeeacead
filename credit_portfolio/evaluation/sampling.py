"""What few periods can say: each customer's frequencies drawn towards those of his class.

A customer's periods are taken as draws from his own distribution θ_i over the intervals, and the
distributions of the customers of one class as draws around the class's row π::

    θ_i ~ Dirichlet(α π),  counts_i | θ_i ~ Multinomial(m_i, θ_i)
    θ_i | counts_i ~ Dirichlet(n_i + α π),  mean p̂_i = (n_i + α π)/(m_i + α)

α = 0 is the paper's frequency. Degrees of fuzzy intervals take the same formula, with a Dirichlet
process in place of the Dirichlet distribution. How sure the rows are is in ``credible.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from credit_portfolio.errors import DataError, ModelError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Codes = NDArray[np.intp]

# Degrees of one period sum to 1 up to rounding; over some thousand periods that is below 1e-12.
ROW_SUM = 1e-9
# Bounds of the estimated strength, in periods. Below a tenth of a period the prior changes nothing
# that can be seen; above a thousand a customer of three years keeps 3 % of his own history.
# Data without any difference between customers put the estimate at infinity.
WEAKEST, STRONGEST = 0.1, 1000.0
# An interval's own strength counts when some customers had at least half a period in it: with two
# or three, whether they are the same ones again is luck.
_FEWEST, _TOUCHED = 5, 0.5


@dataclass(frozen=True, eq=False, slots=True)
class Smoothing:
    """P drawn towards class or pool, with all that its uncertainty needs.

    Attributes
    ----------
    values : ndarray, shape (n_customers, n_intervals)
        p̂_ij; each row sums to 1.
    seconds : ndarray, shape (n_customers, n_intervals)
        q̂_ij, the smoothed mean square of the degrees; ``values`` itself for crisp intervals.
    counts, squares : ndarray, shape (n_customers, n_intervals)
        Sums of the degrees and of their squares, as given.
    periods : ndarray, shape (n_customers,)
        m_i.
    strength : float
        α: how many periods the prior counts for.
    priors, prior_seconds : ndarray, shape (n_classes, n_intervals)
        π of each class and the mean square that goes with it; one row for the pool.
    prior_variance : ndarray, shape (n_classes,)
        h: the variance of π_j is h times that of a single degree, π_j (1 − π_j) if crisp.
    codes : ndarray of int, shape (n_customers,)
        The row of ``priors`` that each customer is drawn to.
    borrowed : ndarray of bool, shape (n_customers,)
        Customers without any period, who got their prior's row.
    pooled : bool
        Whether the prior is the pool's row; else the classes'.
    origin : str
        Where α comes from.
    crisp : bool
        Whether every degree is 0 or 1.
    """

    values: Matrix
    seconds: Matrix
    counts: Matrix
    squares: Matrix
    periods: Vector
    strength: float
    priors: Matrix
    prior_seconds: Matrix
    prior_variance: Vector
    codes: Codes
    borrowed: NDArray[np.bool_]
    pooled: bool
    origin: str
    crisp: bool

    def __post_init__(self) -> None:
        for name in self.__slots__:
            array = getattr(self, name)
            if isinstance(array, np.ndarray):
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    @property
    def drawn(self) -> Vector:
        """α/(m_i + α), the part of each row that is the prior's; 1 without history."""
        total = self.periods + self.strength
        return np.where(total > 0, self.strength / np.where(total > 0, total, 1.0), 1.0)


def smooth(
    counts: ArrayLike,
    periods: ArrayLike,
    squares: ArrayLike | None = None,
    *,
    strength: float | Literal["estimated"] = 0.0,
    classes: ArrayLike | None = None,
) -> Smoothing:
    """Draw each customer's frequencies towards his class or the pool: (n_ij + α π_j)/(m_i + α).

    Parameters
    ----------
    counts : array_like, shape (n_customers, n_intervals)
        n_ij: periods with a return in the interval, or sums of fuzzy degrees.
    periods : array_like, shape (n_customers,)
        m_i: periods with a sale; the row sums of ``counts``.
    squares : array_like, shape (n_customers, n_intervals), optional
        Sums of squared degrees; needed for fuzzy ones, equal to ``counts`` for crisp ones.
    strength : float or "estimated", default 0
        α ≥ 0; 0 is the plain frequency, "estimated" asks :func:`estimated_strength`.
    classes : array_like of int, shape (n_customers,), optional
        Class of each customer. π is then the row of his class, itself drawn towards the pool by
        the same α; without classes it is the pool's.

    Returns
    -------
    Smoothing
        A customer without any period has the row π, for any α, and is marked in ``borrowed``.

    Raises
    ------
    DataError
        For counts that are negative, do not sum to the periods, or are all zero.
    ModelError
        For a strength that is negative or not a number, or classes that do not fit.

    Examples
    --------
    >>> rows = smooth([[3, 1], [0, 0]], [4, 0], strength=4.0)
    >>> rows.values
    array([[0.75, 0.25],
           [0.75, 0.25]])
    >>> rows.borrowed
    array([False,  True])
    """
    n, m, s, crisp = _checked(counts, periods, squares)
    codes = _codes(classes, m.size)
    if isinstance(strength, str):
        if strength != "estimated":
            raise ModelError(
                f"the strength of smoothing is {strength!r}; expected a number of periods of 0 or "
                "more, or 'estimated'"
            )
        alpha, origin = _estimate(n, m, s, codes)
    else:
        alpha, origin = float(strength), "given"
        if not 0 <= alpha < np.inf:
            raise ModelError(
                f"the strength of smoothing is {strength}; expected a finite number of periods of "
                "0 or more"
            )
    pooled = classes is None
    priors = prior_rows(n, m, codes, alpha, pooled, n.sum(axis=0) / m.sum())
    prior_seconds = priors
    if not crisp:
        prior_seconds = prior_rows(s, m, codes, alpha, pooled, s.sum(axis=0) / m.sum())
    values = _drawn_rows(n, m, priors, codes, alpha)
    return Smoothing(
        values=values,
        seconds=values if crisp else _drawn_rows(s, m, prior_seconds, codes, alpha),
        counts=n,
        squares=s,
        periods=m,
        strength=alpha,
        priors=priors,
        prior_seconds=prior_seconds,
        prior_variance=_prior_variance(m, codes, alpha, pooled),
        codes=codes,
        borrowed=m == 0,
        pooled=pooled,
        origin=origin,
        crisp=crisp,
    )


def estimated_strength(
    counts: ArrayLike,
    periods: ArrayLike,
    squares: ArrayLike | None = None,
    *,
    classes: ArrayLike | None = None,
) -> float:
    """Estimate α by moments: variance within customers over variance between them, in an interval.

    Both are unbiased for customers with different numbers of periods. Under the
    Dirichlet-multinomial model their quotient is α in every interval, and crisp and fuzzy intervals
    share it. Where real customers differ more in their losses than in what they pay when they pay,
    the intervals ask for different strengths: then the least counts, so that no interval is drawn
    more than its own differences allow, and no band of B is too narrow. Intervals that fewer than
    five customers touched are left out; if there is no other, variances are added over all.

    Parameters
    ----------
    counts, periods, squares, classes
        As in :func:`smooth`. With classes the variance between customers is the one within classes.

    Returns
    -------
    float
        Held between 0.1 and 1000 periods.

    Raises
    ------
    ModelError
        When no customer has two periods, or no class has two customers with history.

    References
    ----------
    H. Bühlmann and E. Straub, "Glaubwürdigkeit für Schadensätze", Mitteilungen der Vereinigung
    schweizerischer Versicherungsmathematiker 70 (1970).

    Examples
    --------
    >>> round(estimated_strength([[8, 0], [4, 4], [0, 8]], [8, 8, 8]), 3)
    0.4
    """
    n, m, s, _ = _checked(counts, periods, squares)
    return _estimate(n, m, s, _codes(classes, m.size))[0]


# ------------------------------------------------------------------------------- input and priors


def _checked(
    counts: ArrayLike, periods: ArrayLike, squares: ArrayLike | None
) -> tuple[Matrix, Vector, Matrix, bool]:
    n = np.asarray(counts, dtype=np.float64)
    m = np.asarray(periods, dtype=np.float64)
    if n.ndim != 2 or m.shape != (n.shape[0],):
        raise DataError(
            f"counts has shape {n.shape} and periods {m.shape}; expected (n_customers, "
            "n_intervals) and (n_customers,)"
        )
    whole = bool(np.array_equal(n, np.floor(n)))
    if squares is None and not whole:
        raise DataError(
            "counts are not whole numbers, so that they are sums of fuzzy degrees; give squares, "
            "the sums of their squares, too"
        )
    s = n if squares is None else np.asarray(squares, dtype=np.float64)
    if s.shape != n.shape:
        raise DataError(f"squares has shape {s.shape}; expected that of counts, {n.shape}")
    # Written so that NaN fails too. A degree is at most 1, so that its square is not above it.
    sound = (n >= 0) & (s >= 0) & (s <= n + ROW_SUM * np.maximum(m, 1.0)[:, None])
    sums = np.abs(n.sum(axis=1) - m) <= ROW_SUM * np.maximum(m, 1.0)
    wrong = ~(sound.all(axis=1) & sums & np.isfinite(m))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise DataError(
            f"customer {i} has counts {n[i].tolist()}, squares {s[i].tolist()} and {m[i]:g} "
            f"periods ({int(wrong.sum()):,} such customers); expected numbers of 0 or more, "
            "squares not above counts, and counts that sum to the periods"
        )
    if not m.any():
        raise DataError("no customer has a period with a sale; there is nothing to draw rows from")
    return n, m, s, whole and (s is n or bool(np.array_equal(s, n)))


def _codes(classes: ArrayLike | None, n: int) -> Codes:
    if classes is None:
        return np.zeros(n, dtype=np.intp)
    given = np.asarray(classes)
    if given.shape != (n,) or given.dtype.kind not in "iu" or (n and given.min() < 0):
        raise ModelError(
            f"classes has shape {given.shape} and type {given.dtype}; expected whole numbers of 0 "
            f"or more, one for each of {n:,} customers"
        )
    return given.astype(np.intp)


def _class_sums(values: Matrix, codes: Codes, n_classes: int) -> Matrix:
    columns = [np.bincount(codes, column, minlength=n_classes) for column in values.T]
    sums: Matrix = np.stack(columns, axis=1)
    return sums


def prior_rows(
    sums: Matrix, m: Vector, codes: Codes, alpha: float, pooled: bool, pool: Vector
) -> Matrix:
    """Row of each class, (N_cj + α π_j)/(M_c + α), or the pool's where there are no classes."""
    if pooled:
        return pool[None, :]
    total = np.bincount(codes, m).astype(np.float64)
    to_pool = np.zeros(total.size, dtype=np.intp)
    return _drawn_rows(_class_sums(sums, codes, total.size), total, pool[None, :], to_pool, alpha)


def _drawn_rows(sums: Matrix, m: Vector, priors: Matrix, codes: Codes, alpha: float) -> Matrix:
    """(n_ij + α π_j)/(m_i + α), and π where m_i is 0."""
    weight = (m + alpha)[:, None]
    prior = priors[codes]
    drawn: Matrix = (sums + alpha * prior) / np.where(weight > 0, weight, 1.0)
    empty = m == 0
    drawn[empty] = prior[empty]
    return drawn


def _prior_variance(m: Vector, codes: Codes, alpha: float, pooled: bool) -> Vector:
    """Return h of each prior row: its variance is h times that of a single period.

    A mean of m_i periods of one customer has (m_i + α)/(m_i (α + 1)) of that variance, and the row
    weighs customers by m_i. A small class is drawn to the pool: it is held to be at least as well
    known as a customer without history, 1/(α + 1).
    """
    total = np.bincount(codes, m)
    scatter = np.bincount(codes, m * (m + alpha)) / (alpha + 1)
    h = np.where(total > 0, scatter / np.where(total > 0, total, 1.0) ** 2, 1.0)
    most = 1.0 if pooled else 1 / (alpha + 1)
    held: Vector = np.minimum(h, most)
    return held


def _estimate(n: Matrix, m: Vector, s: Matrix, codes: Codes) -> tuple[float, str]:
    seen = m > 0
    n, m, s, codes = n[seen], m[seen], s[seen], codes[seen]
    total, weight = np.bincount(codes, m), np.bincount(codes, m**2)
    present = total > 0
    free = m.size - int(present.sum())
    spare = float((m - 1).sum())
    if spare <= 0 or free <= 0:
        raise ModelError(
            f"the strength of smoothing cannot be estimated from {m.size:,} customers with "
            f"history in {int(present.sum()):,} classes and {m.sum():,.0f} periods: it needs "
            "customers with two periods or more and classes with two customers or more; give it as "
            "a number"
        )
    within = (s - n**2 / m[:, None]).sum(axis=0) / spare
    rows = _class_sums(n, codes, total.size)[present] / total[present, None]
    place = np.cumsum(present) - 1
    between = (m[:, None] * (n / m[:, None] - rows[place[codes]]) ** 2).sum(axis=0)
    scale = float((total[present] - weight[present] / total[present]).sum())
    difference = (between - free * within) / scale
    known = (n >= _TOUCHED).sum(axis=0) >= _FEWEST
    if known.any():
        alpha = float(_quotients(within[known], difference[known]).min())
    else:
        alpha = float(_quotients(within.sum(keepdims=True), difference.sum(keepdims=True))[0])
    if WEAKEST <= alpha <= STRONGEST:
        return alpha, "estimated"
    held = WEAKEST if alpha < WEAKEST else STRONGEST
    return held, f"estimated, held at {held:g}"


def _quotients(within: Vector, between: Vector) -> Vector:
    # Where customers do not differ at all, any strength gives the same rows.
    some = between > 0
    return np.where(some, within / np.where(some, between, 1.0), np.inf)
