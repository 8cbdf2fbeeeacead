"""How sure P and B are: credible intervals, and numbers for targets that hold with a margin.

The rows of ``sampling.py`` have the posterior Dirichlet(n_i + α π) with the covariance::

    (diag p̂_i − p̂_i p̂_iᵀ)/(m_i + α + 1)

π is itself known from the counts only; what is not known of it is common to all customers of the
class and does not average out, so that it is carried beside the customers' own variances.

Degrees of fuzzy intervals take a Dirichlet process in place of the Dirichlet distribution: the
variance is (q̂_ij − p̂_ij²)/(m_i + α + 1) with the smoothed mean square q̂_ij of the degrees, which is
p̂_ij for crisp intervals (T. S. Ferguson, "A Bayesian analysis of some nonparametric problems",
Annals of Statistics 1, 1973). Covariances between fuzzy intervals would need sums of products of
degrees and are left NaN.

With α = 0 there is no prior: variances are the unbiased sampling variances of a mean of m_i
periods, (q − p²)/(m_i − 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import betaincinv, ndtri

from credit_portfolio.errors import ModelError
from credit_portfolio.evaluation.sampling import ROW_SUM, Smoothing, prior_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Codes = NDArray[np.intp]

# Jeffreys' half an observation in each interval, where an interval needs a prior and has none.
_HALF = 0.5
# Draws of B by simulation take about 0.1 µs for each customer, interval and draw: 2e7 are seconds.
_MOST_NUMBERS = 20_000_000
_AT_ONCE = 2_000_000  # numbers drawn in one go: 16 MB an array
# All or nothing, a variance of mean (1 − mean), has a precision of zero, which a Dirichlet cannot
# have; this little is as good as none.
_LEAST_PRECISION = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class DegreeBands:
    """What is known of B_j = Σ_i w_i p_ij.

    Attributes
    ----------
    mean : ndarray, shape (n_intervals,)
    covariance : ndarray, shape (n_intervals, n_intervals)
        NaN off the diagonal for fuzzy intervals.
    own, common : ndarray, shape (n_intervals,)
        The two parts of the variance: of the customers' own rows, and of the priors' rows.
    lower, upper : ndarray, shape (n_intervals,)
        Ends of the equal-tailed interval.
    level : float
    method : str
        How the ends were found: "monte_carlo", or "beta", matched to mean and variance.
    draws : int
        Of the Monte Carlo, else 0.
    """

    mean: Vector
    covariance: Matrix
    own: Vector
    common: Vector
    lower: Vector
    upper: Vector
    level: float
    method: str
    draws: int


@dataclass(frozen=True, eq=False, slots=True)
class RobustNumbers:
    """What the constraint "B_j keeps to b_j with a given confidence" is made of.

    The variance of B_j has two parts. The customers' own rows give ‖s_j∘w‖². What is not known of
    the classes' rows is common to their customers and gives Σ_c (d_cj u_c)², with u_c = Σ_i g_i w_i
    over the customers of class c. Either take u as further shares, set by one equality row a class
    and with the spread d_cj, so that bad intervals read w·p̂_j + z ‖(s_j∘w, d_j∘u)‖ ≤ b_j; or keep
    the cone of the own rows and put ``cautious_mean`` for p̂_j: √(a² + b²) ≤ a + b.

    Attributes
    ----------
    mean : ndarray, shape (n_customers, n_intervals)
        p̂_ij.
    spread : ndarray, shape (n_customers, n_intervals)
        s_ij: standard deviation of the customer's own p_ij, independent between customers.
    drawn : ndarray, shape (n_customers,)
        g_i: how far the customer's row follows that of his class.
    deviation : ndarray, shape (n_classes, n_intervals)
        d_cj: standard deviation of π_cj.
    codes : ndarray of int, shape (n_customers,)
        Class of each customer; all 0 without classes.
    factor : float
        z = Φ⁻¹(confidence).
    """

    mean: Matrix
    spread: Matrix
    drawn: Vector
    deviation: Matrix
    codes: Codes
    factor: float

    def cautious_mean(self, good: NDArray[np.bool_]) -> Matrix:
        """Return p̂_ij + z g_i d_cj in bad intervals, p̂_ij − z g_i d_cj in good ones."""
        if good.shape != (self.mean.shape[1],):
            raise ModelError(
                f"good has shape {good.shape}; expected one truth for each of "
                f"{self.mean.shape[1]} intervals"
            )
        common = self.drawn[:, None] * self.deviation[self.codes]
        cautious: Matrix = self.mean + np.where(good, -self.factor, self.factor) * common
        return cautious


def row_intervals(smoothing: Smoothing, level: float = 0.95) -> tuple[Matrix, Matrix]:
    """Equal-tailed credible interval of every p_ij.

    Beta marginals of the Dirichlet posterior. Its prior is weak but never empty, for the intervals
    only: half a period in each interval where α = 0, and where α > 0 the pool with half a period
    added to each of its intervals, so that what nobody has seen yet keeps an upper end above zero.
    Fuzzy degrees take the Beta distribution with the posterior's mean and variance. An interval of
    returns that the customer never touched has the lower end 0, one that he never left the upper
    end 1.

    Parameters
    ----------
    smoothing : Smoothing
    level : float, default 0.95

    Returns
    -------
    lower, upper : ndarray, shape (n_customers, n_intervals)

    Examples
    --------
    >>> from credit_portfolio.evaluation.sampling import smooth
    >>> lower, upper = row_intervals(smooth([[12, 0]], [12]))
    >>> lower.round(3), upper.round(3)
    (array([[0.815, 0.   ]]), array([[1.   , 0.185]]))
    """
    tail = (1 - _share("level", level)) / 2
    a, second, total = _weak_posterior(smoothing)
    b = np.maximum(total[:, None] - a, 0.0)
    if smoothing.crisp:
        lower, upper = _ends(a, b, tail)
    else:
        mean = a / total[:, None]
        spread = second / total[:, None] - mean**2
        lower, upper = _matched_ends(mean, spread / (total[:, None] + 1), tail)
    seen = smoothing.counts
    lower[seen == 0] = 0.0
    # The degrees of a customer sum to his periods up to rounding.
    upper[(seen >= smoothing.periods[:, None] * (1 - ROW_SUM)) & (seen > 0)] = 1.0
    return lower, upper


def degree_bands(
    shares: ArrayLike,
    smoothing: Smoothing,
    *,
    level: float = 0.95,
    method: Literal["auto", "monte_carlo", "beta"] = "auto",
    draws: int = 4000,
    seed: int = 0,
) -> DegreeBands:
    """Mean, covariance and credible interval of B_j = Σ_i w_i p_ij.

    Mean and covariance are exact for the model at the head of this file: customers' rows are
    independent given their classes' π, Σ_i w_i² Var(p_ij), and what is not known of π is common to
    a class.

    Parameters
    ----------
    shares : array_like, shape (n_customers,)
        w ≥ 0.
    smoothing : Smoothing
    level : float, default 0.95
    method : {"auto", "monte_carlo", "beta"}
        For the ends of the interval: seeded draws of the Dirichlet posterior, or the Beta
        distribution with the same mean and variance. "auto" draws where there is a posterior to
        draw from (crisp, α > 0) and customers × intervals × draws is at most 20 million.
    draws : int, default 4000
    seed : int, default 0

    Raises
    ------
    ModelError
        For shares that are negative or all zero, or "monte_carlo" without a posterior.

    Examples
    --------
    >>> from credit_portfolio.evaluation.sampling import smooth
    >>> rows = smooth([[12, 0], [6, 6]], [12, 12], strength=4.0)
    >>> bands = degree_bands([0.5, 0.5], rows)
    >>> bands.mean, bands.method
    (array([0.75, 0.25]), 'monte_carlo')
    """
    w = _shares(shares, smoothing.periods.size)
    tail = (1 - _share("level", level)) / 2
    mean = w @ smoothing.values
    own, common, covariance = _covariances(w, smoothing)
    held = np.flatnonzero(w)
    if _choice(method, smoothing, held.size * mean.size, draws) == "monte_carlo":
        drawn = np.concatenate(list(_draws(w, held, smoothing, draws, seed)))
        ends = np.quantile(drawn, [tail, 1 - tail], axis=0)
        return DegreeBands(
            mean, covariance, own, common, ends[0], ends[1], level, "monte_carlo", draws
        )
    lower, upper = _matched_ends(mean / w.sum(), (own + common) / w.sum() ** 2, tail)
    ends = lower * w.sum(), upper * w.sum()
    return DegreeBands(mean, covariance, own, common, *ends, level, "beta", 0)


def robust_numbers(smoothing: Smoothing, confidence: float = 0.95) -> RobustNumbers:
    """Mean, spread and factor of the constraints "B_j keeps to b_j with this confidence".

    w·p̂_j + z ‖s_j∘w‖ ≤ b_j for a bad interval, w·p̂_j − z ‖s_j∘w‖ ≥ b_j for a good one: the
    normal quantile of the posterior of B_j.

    Parameters
    ----------
    smoothing : Smoothing
    confidence : float, default 0.95
        One-sided, at least ½: below it the constraint is no longer convex.

    Returns
    -------
    RobustNumbers

    Examples
    --------
    >>> from credit_portfolio.evaluation.sampling import smooth
    >>> numbers = robust_numbers(smooth([[12, 0], [6, 6]], [12, 12], strength=4.0))
    >>> round(numbers.factor, 3), numbers.spread[:, 0].round(3)
    (1.645, array([0.058, 0.12 ]))
    """
    if not 0.5 <= confidence < 1:
        raise ModelError(f"confidence is {confidence}; expected ½ or more and less than 1, as 0.95")
    return RobustNumbers(
        mean=smoothing.values,
        spread=np.sqrt(_own_variances(smoothing)),
        drawn=smoothing.drawn,
        deviation=np.sqrt(_prior_variances(smoothing)),
        codes=smoothing.codes,
        factor=float(ndtri(confidence)),
    )


# ------------------------------------------------------------------------------------- variances


def _crisp_variance(rows: Matrix) -> Matrix:
    # Rounding can put a row's largest entry above 1 by an ulp.
    variance: Matrix = np.maximum(rows * (1 - rows), 0.0)
    return variance


def _weak_posterior(smoothing: Smoothing) -> tuple[Matrix, Matrix, Vector]:
    """Add a prior that leaves no interval out: sums of degrees, sums of squares, total weight."""
    n, s, m = smoothing.counts, smoothing.squares, smoothing.periods
    k, alpha = n.shape[1], smoothing.strength
    if alpha == 0:
        # A period of the prior lies in one interval wholly: its degree 1 is its own square.
        return n + _HALF, s + _HALF, m + k * _HALF
    first, second = (
        prior_rows(
            sums, m, smoothing.codes, alpha, smoothing.pooled,
            (sums.sum(axis=0) + _HALF) / (m.sum() + k * _HALF),
        )[smoothing.codes]
        for sums in (n, s)
    )  # fmt: skip
    return n + alpha * first, s + alpha * second, m + alpha


def _rows_of_variance(smoothing: Smoothing) -> tuple[Matrix, Matrix, Vector, Vector]:
    """Mean and mean square whose variance, divided, is that of p_ij; divisor; drawn part."""
    m, drawn = smoothing.periods, smoothing.drawn
    if smoothing.strength > 0:
        return smoothing.values, smoothing.seconds, m + smoothing.strength + 1, drawn
    # Without a prior one period says nothing of the variance: such a customer takes his prior's.
    few = m <= 1
    means, seconds = np.array(smoothing.values), np.array(smoothing.seconds)
    means[few] = smoothing.priors[smoothing.codes[few]]
    seconds[few] = smoothing.prior_seconds[smoothing.codes[few]]
    return means, seconds, np.maximum(m - 1, 1.0), drawn


def _prior_variances(smoothing: Smoothing) -> Matrix:
    """Variance of each π_cj."""
    single = np.maximum(smoothing.prior_seconds - smoothing.priors**2, 0.0)
    variances: Matrix = smoothing.prior_variance[:, None] * single
    return variances


def _own_variances(smoothing: Smoothing) -> Matrix:
    """Variance of each p_ij given π, on average over what is not known of π."""
    means, seconds, divisor, drawn = _rows_of_variance(smoothing)
    shared = _prior_variances(smoothing)
    variance = seconds - means**2 - drawn[:, None] ** 2 * shared[smoothing.codes]
    own: Matrix = np.maximum(variance, 0.0) / divisor[:, None]
    return own


def _covariances(w: Vector, smoothing: Smoothing) -> tuple[Vector, Vector, Matrix]:
    """Return the variances of the own rows and of the priors' rows, and the covariance of B."""
    own = w**2 @ _own_variances(smoothing)
    n_classes = smoothing.priors.shape[0]
    pull = np.bincount(smoothing.codes, w * smoothing.drawn, minlength=n_classes)
    common = pull**2 @ _prior_variances(smoothing)
    if not smoothing.crisp:
        covariance = np.full((own.size, own.size), np.nan)
    else:
        means, _, divisor, drawn = _rows_of_variance(smoothing)
        u = w**2 / divisor
        lost = np.bincount(smoothing.codes, u * drawn**2, minlength=n_classes)
        weights = (pull**2 - lost) * smoothing.prior_variance
        covariance = -(means.T * u) @ means - (smoothing.priors.T * weights) @ smoothing.priors
    covariance[np.diag_indices(own.size)] = own + common
    return own, common, covariance


def _matched_ends(mean: Vector, variance: Matrix, tail: float) -> tuple[Vector, Vector]:
    """Quantiles of the Beta distribution with this mean and variance; the mean where that is 0."""
    known = variance <= 0
    precision = _crisp_variance(mean) / np.where(known, 1.0, variance) - 1
    # A variance of mean (1 − mean), all or nothing, is the limit of a precision of zero.
    precision = np.maximum(precision, _LEAST_PRECISION)
    lower, upper = _ends(mean * precision, (1 - mean) * precision, tail)
    return np.where(known, mean, lower), np.where(known, mean, upper)


def _ends(a: Matrix, b: Matrix, tail: float) -> tuple[Matrix, Matrix]:
    """Quantiles of Beta(a, b); with a = 0 or b = 0 it is the point 0 or 1."""
    point = (a <= 0) | (b <= 0)
    p, q = np.where(point, 1.0, a), np.where(point, 1.0, b)
    at = np.where(a > 0, 1.0, 0.0)
    lower, upper = betaincinv(p, q, tail), betaincinv(p, q, 1 - tail)
    return np.where(point, at, lower), np.where(point, at, upper)


# -------------------------------------------------------------------------------------- draws of B


def _choice(method: str, smoothing: Smoothing, size: int, draws: int) -> str:
    if method not in ("auto", "monte_carlo", "beta"):
        raise ModelError(f"method is {method!r}; expected 'auto', 'monte_carlo' or 'beta'")
    posterior = smoothing.crisp and smoothing.strength > 0
    if method == "monte_carlo" and not posterior:
        why = "the strength of smoothing is 0" if smoothing.crisp else "the intervals are fuzzy"
        raise ModelError(
            f"there is no Dirichlet posterior to draw from: {why}; use method='beta' or 'auto'"
        )
    if method != "beta" and draws < 1:
        raise ModelError(f"draws is {draws}; expected 1 or more, as 4000")
    if method != "auto":
        return method
    return "monte_carlo" if posterior and size * draws <= _MOST_NUMBERS else "beta"


def _draws(w: Vector, held: Codes, smoothing: Smoothing, draws: int, seed: int) -> Iterator[Matrix]:
    """Yield draws of B, shape (·, k), few enough at once to fit into memory."""
    rng = np.random.default_rng(seed)
    present, codes = np.unique(smoothing.codes[held], return_inverse=True)
    precision = np.maximum(1 / smoothing.prior_variance[present] - 1, _LEAST_PRECISION)
    around = precision[:, None] * smoothing.priors[present]
    n, size = smoothing.counts[held], held.size * smoothing.priors.shape[1]
    step = max(1, _AT_ONCE // size)
    for start in range(0, draws, step):
        count = min(step, draws - start)
        priors = _dirichlet(rng, np.broadcast_to(around, (count, *around.shape)))
        rows = _dirichlet(rng, n + smoothing.strength * priors[:, codes])
        yield np.einsum("i,dij->dj", w[held], rows)


def _dirichlet(rng: np.random.Generator, shapes: Matrix) -> Matrix:
    """Draw rows of the last axis, in logarithms: tiny shapes would all come out as 0 otherwise."""
    some = shapes > 0
    with np.errstate(divide="ignore"):
        logs = np.log(rng.standard_gamma(shapes + 1))
    logs -= rng.standard_exponential(shapes.shape) / np.where(some, shapes, 1.0)
    logs[~some] = -np.inf
    logs -= logs.max(axis=-1, keepdims=True)
    rows: Matrix = np.exp(logs)
    rows /= rows.sum(axis=-1, keepdims=True)
    return rows


def _share(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ModelError(f"{name} is {value}; expected a number between 0 and 1, as 0.95")
    return float(value)


def _shares(shares: ArrayLike, n: int) -> Vector:
    w = np.asarray(shares, dtype=np.float64)
    if w.shape != (n,) or not (np.isfinite(w) & (w >= 0)).all() or not w.any():
        raise ModelError(
            f"shares has shape {w.shape}; expected one finite number of 0 or more for each of "
            f"{n:,} customers, not all of them 0"
        )
    return w
