"""Risk measures in plain NumPy: small enough to read, and the oracle for every solver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.risk.model import RiskModel

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


def portfolio_variance(model: RiskModel, w: Vector) -> float:
    """Return wᵀΣw = ‖F w‖² + wᵀDw.

    Examples
    --------
    >>> from credit_portfolio.risk.model import RiskModel
    >>> model = RiskModel(np.array([[0.1, -0.1]]), np.array([0.01, 0.02]), "by hand")
    >>> round(portfolio_variance(model, np.array([0.5, 0.5])), 6)
    0.0075
    """
    exposure = model.factors @ w
    return float(exposure @ exposure + (model.idiosyncratic * w) @ w)


def standard_deviation(model: RiskModel, w: Vector) -> float:
    """Return √(wᵀΣw), in units of return."""
    return float(np.sqrt(portfolio_variance(model, w)))


def risk_contributions(model: RiskModel, w: Vector) -> Vector:
    """Split the variance among customers: w_i (Σw)_i, which sums to wᵀΣw (Euler), shape (n,)."""
    marginal = model.factors.T @ (model.factors @ w) + model.idiosyncratic * w
    parts: Vector = w * marginal
    return parts


def portfolio_returns(returns: Matrix, w: Vector) -> Vector:
    """Return of the portfolio in each period of the panel, shape (n_periods,).

    A customer without a sale in a period takes no part in it: the period's return is the weighted
    mean over the customers who bought. A period in which none of them bought is NaN.
    """
    seen = ~np.isnan(returns)
    weight = seen @ w
    earned = np.where(seen, returns, 0.0) @ w
    mean: Vector = np.divide(earned, weight, out=np.full(weight.shape, np.nan), where=weight > 0)
    return mean
