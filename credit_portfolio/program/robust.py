"""Targets that hold with a margin for what is not known: second-order cones, and their tangents.

p_ij is estimated from few periods. With standard errors s_i that are independent between customers,
the degree w·p has the standard error ‖s∘w‖, and "at most b with a confidence of 95 %" reads::

    w·p + z ‖s∘w‖ ≤ b        a bad interval      z = 1.645 at 95 %, one side, normal errors
    w·p − z ‖s∘w‖ ≥ b        a good one

Both are convex for z ≥ 0. The norm is homogeneous, so that its tangent at v passes through zero::

    ‖s∘w‖ ≥ g·w,  g = s²∘v / ‖s∘v‖,  equal at w = v

and a cone becomes a row without a constant: w·(p + z g) ≤ b holds wherever the cone does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError
from credit_portfolio.program.rewriting import per_customer, with_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True, init=False)
class RobustRow:
    """A row whose coefficients are known up to independent standard errors.

    Parameters
    ----------
    name : str
    mean : array_like, shape (n,)
        p: what is expected of a unit of share.
    spread : array_like, shape (n,)
        s ≥ 0: the standard error of p.
    factor : float
        z ≥ 0: how many standard errors of w·p are held back on the side of a bound.
    lower, upper : float
        w·p − z‖s∘w‖ ≥ lower and w·p + z‖s∘w‖ ≤ upper; one of them, or both.

    Raises
    ------
    ModelError
        For a negative factor or spread, no bound, bounds that cross, or shapes that do not fit.

    Examples
    --------
    >>> row = RobustRow("loss", [0.1, 0.2], [0.03, 0.04], factor=2.0, upper=0.2)
    >>> row.worst(np.array([1.0, 0.0])).round(3)     # (least, most)
    array([0.04, 0.16])
    """

    name: str
    mean: Vector
    spread: Vector
    factor: float
    lower: float
    upper: float

    def __init__(
        self,
        name: str,
        mean: ArrayLike,
        spread: ArrayLike,
        factor: float,
        lower: float = -math.inf,
        upper: float = math.inf,
    ) -> None:
        size = np.size(mean)
        numbers = {"factor": factor, "lower": lower, "upper": upper}
        for field, number in numbers.items():
            if math.isnan(number):
                raise ModelError(f"{field} of the robust row {name!r} is NaN; expected a number")
        if not 0 <= factor < math.inf:
            raise ModelError(
                f"the factor of the robust row {name!r} is {factor}; expected 0 or more standard "
                "errors: below 0 the row would not be convex"
            )
        if lower > upper or (lower == -math.inf and upper == math.inf):
            raise ModelError(
                f"the robust row {name!r} has the bounds {lower} and {upper}; expected one finite "
                "bound, or a lower one that is not above the upper one"
            )
        fields = {
            "name": str(name),
            "mean": per_customer(f"mean of {name!r}", np.atleast_1d(mean), size),
            "spread": per_customer(f"spread of {name!r}", spread, size, least=0.0),
            **{field: float(number) for field, number in numbers.items()},
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def worst(self, w: Vector) -> Vector:
        """Return (w·p − z‖s∘w‖, w·p + z‖s∘w‖)."""
        n = self.mean.size
        middle = float(self.mean @ w[:n])
        margin = self.factor * float(np.linalg.norm(self.spread * w[:n]))
        return np.array([middle - margin, middle + margin])


@dataclass(frozen=True, eq=False, slots=True)
class Cone:
    """One side of a robust row, as w·p + z‖s∘w‖ ≤ b with p and b signed.

    Attributes
    ----------
    name : str
    side : float
        1 for the upper side of its row, −1 for the lower one.
    row : RobustRow
    """

    name: str
    side: float
    row: RobustRow

    def norm(self, w: Vector) -> float:
        """Return ‖s∘w‖."""
        return float(np.linalg.norm(self.row.spread * w[: self.row.spread.size]))

    def slope(self, at: Vector) -> Vector:
        """Return g, the slope of ‖s∘w‖ at a point; zero, which is one, where the norm is zero."""
        size = self.norm(at)
        n = self.row.spread.size
        return self.row.spread**2 * at[:n] / size if size > 0 else np.zeros(n)

    def tangent(self, at: Vector) -> Vector:
        """Coefficients of the row that touches the cone at a point, in the row's own sign."""
        return self.row.mean + self.side * self.row.factor * self.slope(at)


def cones(rows: Sequence[RobustRow]) -> list[Cone]:
    """Take each finite side of each row; two sides of one row get a word each in their names."""
    found = []
    for row in rows:
        both = math.isfinite(row.lower) and math.isfinite(row.upper)
        if math.isfinite(row.upper):
            found.append(Cone(f"{row.name}, at most" if both else row.name, 1.0, row))
        if math.isfinite(row.lower):
            found.append(Cone(f"{row.name}, at least" if both else row.name, -1.0, row))
    return found


def with_tangents(program: CreditProgram, which: Sequence[Cone], at: Vector) -> CreditProgram:
    """Return a relaxation: each cone replaced by the row that touches it at a point.

    Parameters
    ----------
    program : CreditProgram
        Its first columns are the customers of the cones.
    which : sequence of Cone
    at : ndarray, shape (n,)

    Examples
    --------
    >>> from credit_portfolio.program.program import CreditProgram
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.02])
    >>> row = RobustRow("loss", [0.1, 0.2], [0.03, 0.04], factor=2.0, upper=0.2)
    >>> with_tangents(program, cones([row]), np.array([0.8, 0.6])).rows.round(4)
    array([[0.1424, 0.2566]])
    """
    if not which:
        return program
    return with_rows(
        program,
        np.array([_padded(cone.tangent(at), program.n_customers) for cone in which]),
        np.array([cone.row.lower if cone.side < 0 else -math.inf for cone in which]),
        np.array([cone.row.upper if cone.side > 0 else math.inf for cone in which]),
        [cone.name for cone in which],
    )


def _padded(row: Vector, n: int) -> Vector:
    return np.concatenate([row, np.zeros(n - row.size)]) if row.size < n else row
