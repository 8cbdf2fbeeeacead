"""From one optimum to the next: Newton's steps over the customers who may change sides.

Where a bound has moved a little, most customers keep their sides: those at a bound stay, and those
between their bounds move in proportion to the multipliers. Of all these the dual's slope and
Hessian are known without looking at them again; only the few whose slope comes near the edge are
asked at each step. One pass at the end looks for others who changed sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.solvers.ascent import newton, turn_of
from credit_portfolio.solvers.response import Doubt, Response, bound_slopes, share_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = NDArray[np.intp]

# A customer is near where this many times the first step would take his slope over the edge: the
# steps after the first are smaller, but kinks make some of them longer.
REACH = 3.0
# From this part of all on, looking at everybody costs as much.
MOST = 0.5
# And so many at the least: a step that changes nobody's side would leave none.
FEWEST = 64


class Nearby:
    """A book in which some customers answer, and all others move along the first step's line.

    Attributes
    ----------
    frame : CreditProgram
    n : int
    nu : ndarray, shape (k + q,)
        Where the line starts.
    """

    def __init__(
        self,
        program: CreditProgram,
        columns: Columns,
        nu: Vector,
        slope: Vector,
        seen: Response,
        near: Index,
    ) -> None:
        self.frame, self.n, self.nu = program, program.n_customers, nu
        self.K = columns.taken(near)
        self.own = 2.0 * program.idiosyncratic[near]
        self.lower, self.upper = program.lower[near], program.upper[near]
        self.linear = program.linear[near]
        w, free = self._answer(slope[near])
        self.pushed = seen.pushed - self.K @ w
        self.gram = seen.gram - self._curve(free)

    def see(self, nu: Vector, doubt: Doubt | None, fraction: float) -> Response:
        """Say what all do at ν; only the near ones are asked."""
        del fraction
        slope = nu @ self.K + self.linear
        w, free = self._answer(slope)
        return Response(
            pushed=self.pushed - self.gram @ (nu - self.nu) + self.K @ w,
            gram=np.empty((0, 0)) if doubt is None else self.gram + self._curve(free),
            between=free.size,
            width=0.0,
            steepest=0.0,
        )

    def along(self, nu: Vector, turn: Vector, lengths: Vector) -> Vector:
        """Return turnᵀK w at ν + length · turn, for each length."""
        slope, pulled = nu @ self.K + self.linear, turn @ self.K
        first = float(turn @ (self.pushed - self.gram @ (nu - self.nu)))
        fall = float(turn @ self.gram @ turn)
        return np.array(
            [
                first - length * fall + pulled @ self._answer(slope + length * pulled)[0]
                for length in lengths
            ]
        )

    def _answer(self, slope: Vector) -> tuple[Vector, Index]:
        """Return shares at these slopes, and who lies between his bounds."""
        at_lower, at_upper = bound_slopes(slope, self.own, self.lower, self.upper)
        free = np.flatnonzero((at_lower < 0) & (at_upper > 0) & (self.own > 0))
        return share_at(slope, self.own, self.lower, self.upper), free

    def _curve(self, free: Index) -> Matrix:
        some = self.K[:, free]
        return np.asarray((some / self.own[free]) @ some.T)


def follow(
    program: CreditProgram,
    columns: Columns,
    nu: Vector,
    slope: Vector,
    seen: Response,
    tolerance: float,
    reach: float = REACH,
) -> tuple[Vector, Matrix, NDArray[np.bool_], int] | None:
    """Go from multipliers near the optimum to those where nobody near moves the dual any more.

    Parameters
    ----------
    program : CreditProgram
    columns : Columns
        Of the same program.
    nu : ndarray, shape (k + q,)
    slope : ndarray, shape (n,)
        c + Kᵀν.
    seen : Response
        At ν, without doubt.
    tolerance : float
    reach : float
        By how many first steps a customer may be away from changing sides.

    Returns
    -------
    nu : ndarray, shape (k + q,)
    gram : ndarray, shape (k + q, k + q)
        There, as long as those far away have kept their sides.
    far : ndarray of bool, shape (n,)
        Who was taken to keep his side.
    steps : int
        None where too many are near, or the steps do not end.
    """
    change = np.abs(columns.pull(turn_of(program, seen, nu)))
    own = 2.0 * program.idiosyncratic
    at_lower, at_upper = bound_slopes(slope, own, program.lower, program.upper)
    distance = np.minimum(np.abs(at_lower), np.abs(at_upper))
    near = distance <= reach * change
    count = int(np.count_nonzero(near))
    if count > MOST * program.n_customers:
        return None
    if count < FEWEST:
        near[np.argpartition(distance, FEWEST)[:FEWEST]] = True
    book = Nearby(program, columns, nu, slope, seen, np.flatnonzero(near))
    found = newton(book, nu, seen, tolerance)
    if found is None:
        return None
    return found[0], book.see(found[0], Doubt.none(columns.q), 0.0).gram, ~near, found[1]


def sides(program: CreditProgram, slope: Vector) -> NDArray[np.int8]:
    """Return −1 at the lower bound, 1 at the upper one, 0 between, shape (n,)."""
    own = 2.0 * program.idiosyncratic
    at_lower, at_upper = bound_slopes(slope, own, program.lower, program.upper)
    found: NDArray[np.int8] = np.zeros(slope.size, dtype=np.int8)
    found[at_lower >= 0] = -1
    found[at_upper <= 0] = 1
    return found
