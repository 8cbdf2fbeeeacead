"""What a solver hands in, and what ``solve`` gives back once the proofs are checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from credit_portfolio.program.certificate import Certificate

    Vector = NDArray[np.float64]


class Status(StrEnum):
    """The verdict on a program; each but the last is proved by our own arithmetic."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    FAILED = "failed"


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """A solver's unchecked answer: shares, row multipliers, and what it says about them.

    ``w`` and ``y`` are None where the solver returned no point. ``sharp`` says that idle rows have
    multipliers of exactly zero and the rest is at machine precision: polishing would gain nothing.
    """

    w: Vector | None
    y: Vector | None
    said: str
    iterations: int | None = None
    sharp: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Duals:
    """Multipliers of the Lagrangian f(w) + rowsᵀ(A w) + boundsᵀ w.

    Attributes
    ----------
    rows : ndarray, shape (q,)
        Positive where a row presses against its upper bound, negative at its lower bound.
        The minimum changes by −rows[r] per unit of the bound that row r presses against.
    bounds : ndarray, shape (n,)
        The same for lower ≤ w ≤ upper.
    """

    rows: Vector
    bounds: Vector


@dataclass(frozen=True, eq=False, slots=True)
class Solution:
    """A checked answer of ``solve``.

    Attributes
    ----------
    status : Status
        Compares equal to its word: ``solution.status == "optimal"``.
    x : ndarray, shape (n,)
        Shares w. Where the status is not "optimal": the last point, or NaN where there is none.
    objective : float
        ‖F x‖² + xᵀDx + cᵀx at x.
    duals : Duals
    certificate : Certificate
        Residuals of x, recomputed from the program.
    solver : str
        Who found x.
    message : str
        The finding in a sentence: which method ended and why it was taken, what was proved, whether
        x is unique.
    exposure : ndarray, shape (k,)
        F x: what the shares add up to in each factor. With ``duals`` it is all that another solve
        can start from.
    unique : bool or None
        False where other shares reach the same objective (then x is the one of smallest norm);
        None where there is no optimum, or where that could not be settled.
    conflict : dict of str to float
        For an infeasible program: the rows that cannot hold together, with their weights in the
        proof.
    margin : float
        For an infeasible program: by how much the rows miss each other, relative to their terms.
    iterations : int or None
    seconds : float
        Wall time of the whole call, checks included.
    """

    status: Status
    x: Vector
    objective: float
    duals: Duals
    certificate: Certificate
    solver: str
    message: str
    exposure: Vector
    unique: bool | None = None
    conflict: dict[str, float] = field(default_factory=dict)
    margin: float = 0.0
    iterations: int | None = None
    seconds: float = 0.0

    def __repr__(self) -> str:
        proof = (
            f"margin={self.margin:.1e}"
            if self.status is Status.INFEASIBLE
            else f"certificate: {self.certificate}"
        )
        return (
            f"Solution({self.status}, objective={self.objective:.9g}, solver={self.solver!r}, "
            f"{proof})\n{self.message}"
        )
