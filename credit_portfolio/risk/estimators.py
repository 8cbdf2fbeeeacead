"""Estimate Σ = FᵀF + diag(D) from a panel of returns, in O(n m²) and without an n × n array.

Missing cells count as the customer's mean and each customer is divided by the number of his own
periods, so that variances are his own and a covariance shrinks with the overlap that it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.risk.model import RiskModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


def sample(returns: Matrix) -> RiskModel:
    """Sample covariance with ddof = 1: F = X, D = 0.

    X_ti = (r_ti − r̄_i)/√(m_i − 1), 0 where missing. Its rank is at most m − 1, so with more
    customers than periods the minimum-variance shares are not unique.

    Parameters
    ----------
    returns : ndarray, shape (n_periods, n_customers)
        NaN where a customer had no sale.

    Examples
    --------
    >>> model = sample(np.array([[0.2, 0.1], [0.0, np.nan], [0.1, 0.3]]))
    >>> model.variances.round(4)
    array([0.01, 0.02])
    """
    centred, periods = _centred(returns)
    F = centred / np.sqrt(periods - 1)
    return RiskModel(F, np.zeros(F.shape[1]), "sample")


def ledoit_wolf(returns: Matrix, shrinkage: float | None = None) -> RiskModel:
    """Shrink the sample covariance towards μI by the intensity of Ledoit and Wolf (2004).

    Σ = (1 − δ) S + δ μ I with μ = tr S / n; S has ddof = 0, as in their paper. On a panel without
    gaps it equals ``sklearn.covariance.LedoitWolf``. All that δ needs is the m × m Gram matrix.

    Parameters
    ----------
    returns : ndarray, shape (n_periods, n_customers)
        NaN where a customer had no sale.
    shrinkage : float, optional
        δ, 0 to 1, in the place of the estimated one.

    References
    ----------
    O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices", Journal of Multivariate Analysis 88 (2004).

    Examples
    --------
    >>> model = ledoit_wolf(np.array([[0.2, 0.1], [0.0, 0.2], [0.1, 0.3]]))
    >>> round(model.shrinkage, 4)
    1.0
    """
    centred, periods = _centred(returns)
    m, n = centred.shape
    Z = centred * np.sqrt(m / periods)
    gram = Z @ Z.T
    squares = np.diagonal(gram)
    mu = float(squares.sum()) / (m * n)
    norm = float((gram**2).sum()) / m**2
    dispersion = (norm - n * mu**2) / n
    noise = (float((squares**2).sum()) / m - norm) / (m * n)
    noise = min(noise, dispersion)
    # No dispersion at all means that S is the target already; sklearn takes 0 there too.
    delta = 0.0 if noise <= 0 or dispersion <= 0 else noise / dispersion
    if shrinkage is not None:
        delta = float(shrinkage)
    F = Z * np.sqrt((1.0 - delta) / m)
    return RiskModel(F, np.full(n, delta * mu), "ledoit_wolf", shrinkage=delta)


ESTIMATORS: dict[str, Callable[[Matrix], RiskModel]] = {
    "ledoit_wolf": ledoit_wolf,
    "sample": sample,
}


def estimate(name: str, returns: Matrix, shrinkage: float | None = None) -> RiskModel:
    """Run the estimator of that name.

    Parameters
    ----------
    name : str
        One of ``ESTIMATORS``.
    returns : ndarray, shape (n_periods, n_customers)
    shrinkage : float, optional
        For "ledoit_wolf": the intensity, 0 to 1, in the place of the estimated one.

    Raises
    ------
    ModelError
        For a name that is not in ``ESTIMATORS``, or a shrinkage that is no part or not for it.
    DataError
        For an infinite return, or a customer with fewer than two periods.
    """
    if name not in ESTIMATORS:
        raise ModelError(
            f"unknown risk model {name!r}; expected one of {listing(ESTIMATORS)}."
            f"{did_you_mean(name, ESTIMATORS)}"
        )
    if shrinkage is None:
        return ESTIMATORS[name](returns)
    if name != "ledoit_wolf":
        raise ModelError(
            f"shrinkage is {shrinkage}, and the risk model {name!r} does not shrink; leave it out, "
            "or take risk_model='ledoit_wolf'"
        )
    if not 0 <= shrinkage <= 1:
        raise ModelError(f"shrinkage is {shrinkage}; expected a part, 0 to 1, or None")
    return ledoit_wolf(returns, shrinkage)


def _centred(returns: Matrix) -> tuple[Matrix, Vector]:
    """Deviations from each customer's own mean, 0 where missing, and his number of periods."""
    if np.isinf(returns).any():
        where = np.argwhere(np.isinf(returns))[:3].tolist()
        raise DataError(f"the panel has infinite returns at (period, customer) {where}")
    seen = ~np.isnan(returns)
    periods = seen.sum(axis=0).astype(np.float64)
    if (periods < 2).any():
        few = np.flatnonzero(periods < 2)
        raise DataError(
            f"{few.size:,} customers have fewer than two periods with a sale (columns "
            f"{listing(few.tolist())}); a variance needs two: leave them out"
        )
    filled = np.where(seen, returns, 0.0)
    centred = np.where(seen, filled - filled.sum(axis=0) / periods, 0.0)
    return centred, periods
