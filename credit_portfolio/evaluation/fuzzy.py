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
from typing import TYPE_CHECKING

import numpy as np

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
    from skfuzzy.membership import trapmf  # type: ignore[import-untyped]

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
