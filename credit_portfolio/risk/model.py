"""The covariance of the customers' returns, kept as factors and a diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class RiskModel:
    """Σ = FᵀF + diag(D), for n customers and k factors.

    Attributes
    ----------
    factors : ndarray, shape (k, n)
        F.
    idiosyncratic : ndarray, shape (n,)
        D ≥ 0.
    name : str
        The estimator, as reports name it.
    shrinkage : float
        The part of Σ that comes from the target, 0 for the plain sample covariance.
    floored : ndarray of bool, shape (n,)
        The customers whose variance was raised to a floor.

    Examples
    --------
    >>> model = RiskModel(np.array([[0.1, -0.1]]), np.array([0.01, 0.02]), "by hand")
    >>> model.variances
    array([0.02, 0.03])
    """

    factors: Matrix
    idiosyncratic: Vector
    name: str
    shrinkage: float = 0.0
    floored: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        F, D = self.factors, self.idiosyncratic
        if F.ndim != 2 or D.shape != (F.shape[1],):
            raise ModelError(
                f"factors has shape {F.shape}, idiosyncratic {D.shape}; need (k, n), (n,)"
            )
        if not (np.isfinite(F).all() and np.isfinite(D).all()) or (D < 0).any():
            raise ModelError(
                "a risk model needs finite factors and finite variances of zero or more"
            )
        flags = np.zeros(D.size, dtype=bool) if self.floored is None else self.floored
        for name, array in (("factors", F), ("idiosyncratic", D), ("floored", flags)):
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def variances(self) -> Vector:
        """Each customer's variance, the diagonal of Σ, shape (n,)."""
        variances: Vector = np.einsum("ki,ki->i", self.factors, self.factors) + self.idiosyncratic
        return variances

    def __repr__(self) -> str:
        k, n = self.factors.shape
        size = f"{n:,} customers, {k:,} factors"
        return f"RiskModel({self.name}, {size}, shrinkage {self.shrinkage:.3f})"


def with_floor(model: RiskModel, floor: Vector) -> RiskModel:
    """Raise each customer's variance to at least the floor, through D.

    A customer who always paid on time has no sample variance and would take the whole budget.

    Parameters
    ----------
    model : RiskModel
    floor : ndarray, shape (n,)
        Least variance per customer.

    Returns
    -------
    RiskModel
        With the raised customers marked in ``floored``.
    """
    if (
        floor.shape != model.idiosyncratic.shape
        or not np.isfinite(floor).all()
        or (floor < 0).any()
    ):
        raise ModelError(
            f"the floor has shape {floor.shape}; expected one finite variance ≥ 0 for each of the "
            f"{model.idiosyncratic.size:,} customers"
        )
    missing = np.maximum(floor - model.variances, 0.0)
    return RiskModel(
        factors=model.factors,
        idiosyncratic=model.idiosyncratic + missing,
        name=model.name,
        shrinkage=model.shrinkage,
        floored=missing > 0,
    )
