"""What an answer proves of a program with cones and a current book, through one without.

The program that proves it has a tangent at the answer in the place of each cone and a subgradient
in the place of the costs of moving. What these lie below at the answer is counted in the gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.program.certificate import UNDIVERSIFIED, Certificate, Examination
from credit_portfolio.solvers.solution import Duals, Solution, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Contact:
    """What a program with cones can be started from.

    Attributes
    ----------
    at : ndarray, shape (n,)
        Where the tangents touch.
    weights : ndarray, shape (number of cones,)
        Multipliers of the cones, 0 or more.
    solution : Solution
        Of the last plain program.
    """

    at: Vector
    weights: Vector
    solution: Solution


@dataclass(frozen=True, eq=False, slots=True)
class Cut:
    """A proved answer of ``solve_with_cuts``.

    Attributes
    ----------
    solution : Solution
        Of ``program``: shares, multipliers of its rows (a robust row's is that of its tangent), and
        a certificate of its own. An infeasible one names the rows that conflict.
    program : CreditProgram
        The program without cones and current book of which the same shares are the optimum with the
        same multipliers: tangents at the optimum for the cones, and a subgradient of the costs of
        moving in the linear term.
    certificate : Certificate
        Of the shares in the program as it was asked, all cones, costs and limits counted.
    objective : float
        ‖F w‖² + wᵀDw + cᵀw + Σ κ|w − w⁰|.
    scale : float
        What the certificate's gap is relative to.
    loss : float
        The part of the gap that comes from moving, before it is made relative.
    outside : float
        By how much the limit on turnover is exceeded, relative to the shares that make it up.
    moving : float
        Multiplier of the limit on turnover: the objective falls by so much per unit of it.
    solves : int
        Plain programs that were solved.
    contact : Contact
        To start the next program of this kind from.
    """

    solution: Solution
    program: CreditProgram
    certificate: Certificate
    objective: float
    scale: float
    loss: float
    outside: float
    moving: float
    solves: int
    contact: Contact | None = field(repr=False)

    @property
    def lower_bound(self) -> float:
        """A proved lower bound of the objective, −inf where nothing was proved."""
        if self.solution.status is Status.INFEASIBLE:
            return np.inf
        seen = self.certificate
        # A slope that only an open side could carry is below the tolerance, and counts as none.
        proved = seen.dual <= seen.tolerance and np.isfinite(seen.gap)
        return float(self.objective - seen.gap * self.scale) if proved else -np.inf


def size_of_terms(program: CreditProgram, seen: Examination, w: Vector, paid: float) -> float:
    """Size of the terms of the objective as it was asked: those of the shares, and what is paid.

    The subgradient's line has terms of its own, which cancel and say nothing about the objective.
    """
    spread = float((program.idiosyncratic * w) @ w)
    norms = np.sqrt(np.einsum("ki,ki->i", program.factors, program.factors))
    together = float(norms @ np.abs(w)) ** 2
    terms = float(seen.exposure @ seen.exposure) + spread + abs(float(program.linear @ w)) + paid
    return terms + UNDIVERSIFIED * (together + float(np.abs(program.linear) @ np.abs(w)))


def whole_certificate(seen: Examination, loss: float, outside: float, scale: float) -> Certificate:
    """Put what the linear terms leave out into the gap, and a missed limit into the residual."""
    local = seen.certificate
    gap = local.gap * seen.scale + loss
    return replace(
        local,
        primal=max(local.primal, outside),
        gap=gap / scale if scale > 0 else (0.0 if gap == 0 else np.inf),
    )


def local_solution(
    found: Solution, w: Vector, seen: Examination, whole: Certificate, how: str
) -> Solution:
    """Return the solution of the local program."""
    holds = seen.certificate.holds and whole.holds
    for array in (w, seen.y, seen.z, seen.exposure):
        array.flags.writeable = False
    return Solution(
        status=Status.OPTIMAL if holds else Status.FAILED,
        x=w,
        objective=seen.objective,
        duals=Duals(seen.y, seen.z),
        certificate=seen.certificate,
        solver=found.solver,
        message=how if holds else f"{how}; refused: {whole}",
        exposure=seen.exposure,
        unique=found.unique if holds else None,
        iterations=found.iterations,
        seconds=found.seconds,
    )
