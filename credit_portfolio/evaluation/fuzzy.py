"""What scikit-fuzzy does for the evaluation: the one file that imports it.

A fuzzy interval is a membership function over the same edges as the crisp one. Around an inner
edge v between intervals of widths L and R lies a transition: the degree of the left interval falls
and that of the right one rises, and the two are equal on the edge itself.

::

    trapezoidal  straight from 1 to 0 between v − h and v + h,  h = width · min(L, R)/2
    gaussian     1 up to v − h, then exp(−ln 2 · (d/h)²) at distance d from there: ½ on the edge
    bell         1 up to v − h, then 1/(1 + (d/h)⁴):                               ½ on the edge
    triangular   straight from 1 in the interval's middle to 0 beyond its edge: the left one at
                 v + t L, the right one at v − t R,  t = width/2 · min(L/R, R/L)

The width, above 0 and at most 1, is the part of the narrower neighbour that a transition takes up;
at 1 transitions meet in the middle of the narrower interval. The outer intervals are open towards
the outside. The interval that holds a return always has a positive degree, so that dividing by
their sum makes the degrees a partition of unity, whatever underflows elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

MEMBERSHIPS = ("triangular", "trapezoidal", "gaussian", "bell")

# Half-way down at distance h: exp(−h²/(2σ²)) = 1/2.
_SIGMA_PER_REACH = 1 / math.sqrt(2 * math.log(2))
# The bell's exponent is twice this. With 1 it is the Cauchy curve, whose tails leave a third of
# the degree to intervals far away; with 2 they fall with the fourth power of the distance.
_BELL_SLOPE = 2.0

# c-means takes some 100 steps of 5 ms for 20,000 rows; a hundred thousand would take half a minute.
_MOST_FITTED = 20_000
_MOST_STEPS = 3000  # slow cases, more classes than the data have, were seen to take some hundreds
# Root mean square change of a membership in a step. Starts are told apart long before they settle.
_ROUGHLY, _SETTLED = 1e-4, 1e-9
_SAME = 1e-9  # frequencies of at most thousands of periods differ by more, or only by rounding


def partition(returns: Vector, edges: Vector, membership: str, width: float) -> Matrix:
    """Degrees of returns in the fuzzy intervals over the edges; each row sums to 1.

    Parameters
    ----------
    returns : ndarray, shape (n_returns,)
        Finite, within the outer edges.
    edges : ndarray, shape (n_intervals + 1,)
        Increasing.
    membership : {"triangular", "trapezoidal", "gaussian", "bell"}
    width : float
        0 < width ≤ 1.

    Returns
    -------
    ndarray, shape (n_returns, n_intervals)

    Examples
    --------
    >>> edges = np.array([-1.0, 0.0, 0.2, 0.25])
    >>> partition(np.array([-0.5, 0.0, 0.05, 0.2]), edges, "trapezoidal", 1.0)
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.25, 0.75, 0.  ],
           [0.  , 0.5 , 0.5 ]])
    """
    # Edges of the order of one: squares and fourth powers stay far from overflow.
    scale = np.abs(edges).max()
    x, v = returns / scale, edges / scale
    if membership == "triangular":
        raw = _trapezoids(x, *_triangle_corners(v, width))
    else:
        reach = _reach(v, width)
        low, high = _cores(v, reach)
        if membership == "trapezoidal":
            raw = _trapezoids(
                x,
                _shoulders(v[1:-1] - reach, low=True),
                low,
                high,
                _shoulders(v[1:-1] + reach, low=False),
            )
        elif membership == "gaussian":
            raw = _gaussians(x, reach, low, high)
        else:
            raw = _bells(x, reach, low, high)
    degrees: Matrix = raw / raw.sum(axis=1, keepdims=True)
    return degrees


def _reach(v: Vector, width: float) -> Vector:
    """Half the transition at each inner edge, shape (n_intervals − 1,)."""
    widths = np.diff(v)
    return _apart(width / 2 * np.minimum(widths[:-1], widths[1:]))


def _cores(v: Vector, reach: Vector) -> tuple[Vector, Vector]:
    """Where each interval's degree before normalisation is 1: from low to high."""
    low = _shoulders(v[1:-1] + reach, low=True)
    # Transitions that meet in a middle may cross there by a rounding.
    return low, np.maximum(low, _shoulders(v[1:-1] - reach, low=False))


def _triangle_corners(v: Vector, width: float) -> tuple[Vector, Vector, Vector, Vector]:
    # Feet in proportion to the triangle's own half base make both equal on the edge.
    widths = np.diff(v)
    ratio = np.minimum(widths[:-1] / widths[1:], widths[1:] / widths[:-1])
    left_foot = v[1:-1] - _apart(width / 2 * ratio * widths[1:])
    right_foot = v[1:-1] + _apart(width / 2 * ratio * widths[:-1])
    peak = (v[:-1] + v[1:]) / 2
    return (
        _shoulders(left_foot, low=True),
        np.concatenate([[-np.inf], peak[1:]]),
        np.concatenate([peak[:-1], [np.inf]]),
        _shoulders(right_foot, low=False),
    )


def _apart(distance: Vector) -> Vector:
    """At least one unit in the last place of 1, so that adding it to an edge moves the edge."""
    return np.maximum(distance, np.finfo(np.float64).eps)


def _shoulders(inner: Vector, *, low: bool) -> Vector:
    """One corner per interval from those at the inner edges: the outer interval's is infinite."""
    return np.concatenate([[-np.inf], inner] if low else [inner, [np.inf]])


def _trapezoids(x: Vector, a: Vector, b: Vector, c: Vector, d: Vector) -> Matrix:
    """Straight lines through (a, 0), (b, 1), (c, 1), (d, 0); a triangle where b = c."""
    from skfuzzy.membership import trapmf

    return np.column_stack([trapmf(x, corners) for corners in zip(a, b, c, d, strict=True)])


def _gaussians(x: Vector, reach: Vector, low: Vector, high: Vector) -> Matrix:
    from skfuzzy.membership import gauss2mf

    # The open side of an outer interval has no flank; any spread will do there.
    sigma = np.concatenate([[1.0], reach * _SIGMA_PER_REACH, [1.0]])
    corners = zip(low, sigma[:-1], high, sigma[1:], strict=True)
    return np.column_stack([gauss2mf(x, *corner) for corner in corners])


def _bells(x: Vector, reach: Vector, low: Vector, high: Vector) -> Matrix:
    from skfuzzy.membership import gbellmf

    raw = np.ones((x.size, low.size))
    for j in range(low.size):
        below, above = x < low[j], x > high[j]
        if below.any():
            raw[below, j] = gbellmf(x[below], reach[j - 1], _BELL_SLOPE, low[j])
        if above.any():
            raw[above, j] = gbellmf(x[above], reach[j], _BELL_SLOPE, high[j])
    return raw


@dataclass(frozen=True, eq=False, slots=True)
class Clusters:
    """What fuzzy c-means found.

    Attributes
    ----------
    centres : ndarray, shape (n_classes, n_columns)
    degrees : ndarray, shape (n_rows, n_classes)
        Membership of every row; each row sums to 1.
    objective : float
        Σ u_ic^fuzziness ‖x_i − c_c‖² over the rows that were fitted.
    fitted : int
        How many rows the centres were fitted on.
    settled : bool
        Whether the memberships stopped moving; False when the steps ran out first.
    """

    centres: Matrix
    degrees: Matrix
    objective: float
    fitted: int
    settled: bool


def c_means(
    rows: Matrix, n_classes: int, *, fuzziness: float = 2.0, seed: int = 0, starts: int = 6
) -> Clusters:
    """Group rows by fuzzy c-means: the best of several seeded starts.

    The order of the rows decides nothing: they are sorted first. Of more than 20,000 rows the
    centres are fitted on a seeded sample, and all rows get their degrees from those centres.

    Parameters
    ----------
    rows : ndarray, shape (n_rows, n_columns)
    n_classes : int
        At least 2.
    fuzziness : float, default 2
        Above 1; towards 1 classes become crisp.
    seed, starts : int

    Raises
    ------
    ModelError
        For fewer different rows than classes, a fuzziness of 1 or less, or no start.

    References
    ----------
    J. C. Bezdek, "Pattern Recognition with Fuzzy Objective Function Algorithms" (1981).

    Examples
    --------
    >>> c_means(np.array([[0.0], [0.1], [0.9], [1.0]]), 2).degrees.argmax(axis=1)
    array([1, 1, 0, 0])
    """
    if not 1 < fuzziness < math.inf:
        raise ModelError(f"fuzziness is {fuzziness}; expected a number above 1, as 2")
    if n_classes < 2:
        raise ModelError(
            f"{n_classes} classes are asked for; expected at least 2: without classes, the pool is "
            "the one class"
        )
    if starts < 1:
        raise ModelError(f"starts is {starts}; expected at least 1")
    rng = np.random.default_rng(seed)
    fitted = _fitted_rows(rows, n_classes, rng)
    begun = []
    for _ in range(starts):
        guess = _memberships(fitted, _spread_rows(fitted, n_classes, rng), fuzziness)
        begun.append(_steps(fitted, guess, fuzziness, _ROUGHLY))
    best = min(begun, key=lambda found: float(found[4][-1]))
    centres, _, _, _, objective, used, _ = _steps(fitted, best[1], fuzziness, _SETTLED)
    return Clusters(
        centres=centres,
        degrees=np.ascontiguousarray(_memberships(rows, centres, fuzziness).T),
        objective=float(objective[-1]),
        fitted=fitted.shape[0],
        settled=bool(used < _MOST_STEPS),
    )


def _fitted_rows(rows: Matrix, n_classes: int, rng: np.random.Generator) -> Matrix:
    """Sort the rows, and take a sample of many."""
    # Rows that differ by a rounding must lie beside each other.
    keys = np.round(rows / _SAME)
    order = np.lexsort(keys.T)
    ordered, keys = rows[order], keys[order]
    different = _different(keys)
    if different < n_classes:
        raise ModelError(
            f"there are only {different:,} different rows for {n_classes} classes; ask for at most "
            f"{different:,} classes"
        )
    if len(ordered) <= _MOST_FITTED:
        return ordered
    sample = np.sort(rng.choice(len(ordered), _MOST_FITTED, replace=False))
    # Rows so alike that a sample misses the rest are worth the wait.
    return ordered[sample] if _different(keys[sample]) >= n_classes else ordered


def _different(ordered: Matrix) -> int:
    changes = (ordered[1:] != ordered[:-1]).any(axis=1)
    return int(changes.sum()) + min(1, len(ordered))


def _spread_rows(rows: Matrix, n_classes: int, rng: np.random.Generator) -> Matrix:
    """Draw rows to start from, each by its squared distance from those before (k-means++)."""
    chosen = [rows[rng.integers(len(rows))]]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < n_classes:
        nearest = np.minimum(nearest, ((rows - chosen[-1]) ** 2).sum(axis=1))
        chosen.append(rows[rng.choice(len(rows), p=nearest / nearest.sum())])
    return np.array(chosen)


def _memberships(rows: Matrix, centres: Matrix, fuzziness: float) -> Matrix:
    """Degrees of rows in classes with these centres, shape (n_classes, n_rows)."""
    from skfuzzy.cluster import cmeans_predict

    even = np.ones((len(centres), len(rows)))
    degrees: Matrix = cmeans_predict(rows.T, centres, fuzziness, 0.0, 1, init=even)[0]
    return degrees


def _steps(rows: Matrix, degrees: Matrix, fuzziness: float, still: float) -> tuple[Any, ...]:
    from skfuzzy.cluster import cmeans

    # scikit-fuzzy compares the norm over all memberships.
    error = still * math.sqrt(degrees.size)
    found: tuple[Any, ...] = cmeans(
        rows.T, len(degrees), fuzziness, error, _MOST_STEPS, init=degrees
    )
    return found
