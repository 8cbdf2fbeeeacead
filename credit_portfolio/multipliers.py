"""All multipliers that explain one optimum, and what they say of a step of any bound.

Where conditions that hold at once depend on each other (targets on all intervals add up to the
budget; a budget that is the sum of the limits), more than one set of multipliers explains the same
optimum. Moving the row bounds by d and the bounds of the shares by e changes the minimum by the
largest −yᵀd − zᵀe among all of them: to each side its own price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.program.certificate import absolute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# A share within this part of the largest share of its own bound is at it: solvers clip to bounds
# exactly, so only a multiplier-free tie needs the allowance.
_AT_BOUND = 1e-9
# Rows count as dependent where their smallest squared singular value, of norm one, is below this.
_DEPENDENT = 1e-13
# Room given to each inequality of the face: its right sides are slopes, known to some 1e-14 of the
# largest; without room, rounding could leave a face of one point empty.
_SLACK = 1e-12
# A combination of rows that vanishes inside vanishes elsewhere too where it is below this part of
# its terms: eigenvectors are good to some 1e-15 over their gap, which is rarely below 1e-3.
_VANISHED = 1e-11
# Most rounds of adding violated inequalities to a small program: each adds the worst ones, and a
# handful settles a face of a few dimensions.
_ROUNDS = 60
_AT_ONCE = 20
# Prices of single customers on a face of several dimensions take two small linear programs each,
# of some two milliseconds: beyond so many the solver's multipliers are taken, and told as such.
MOST_SINGLE = 200


def at_bounds(program: CreditProgram, solution: Solution) -> tuple[Mask, Mask]:
    """Who is at his lower and at his upper bound, the latter where both are one; shape (n,) each.

    The sign of a multiplier does not tell: between the bounds it is zero but for rounding.
    """
    w = solution.x
    near = _AT_BOUND * float(np.abs(w).max())
    high: Mask = w >= program.upper - near
    low: Mask = ~high & (w <= program.lower + near)
    return low, high


def rows_that_hold(program: CreditProgram, solution: Solution) -> tuple[Mask, Mask]:
    """Rows at their lower and at their upper bound, up to the certificate's tolerance."""
    activity = program.activity(solution.x)
    near = _AT_BOUND * np.maximum(np.abs(activity), 1.0)
    return activity <= program.row_lower + near, activity >= program.row_upper - near


class DualFace:
    """All multipliers that explain one optimum: y = y_0 + N t with G t ≤ h.

    Those of the bounds follow: z = −(∇f + Aᵀy) wherever a bound holds. Where the rows that hold
    are independent over the customers between their bounds, N is empty and all are unique.

    Attributes
    ----------
    slope : ndarray, shape (n,)
        ∇f at the optimum.
    low, high, fixed : ndarray of bool, shape (n,)
        Who is at his lower bound, at his upper bound, and whose bounds are one.
    at_lower, at_upper : ndarray of bool, shape (q,)
        Which rows are at their bounds.
    """

    def __init__(self, program: CreditProgram, solution: Solution) -> None:
        self.low, self.high = at_bounds(program, solution)
        self.fixed: Mask = program.lower >= program.upper
        self.y = solution.duals.rows
        self.slope = program.gradient(solution.x)
        self.at_lower, self.at_upper = rows_that_hold(program, solution)
        held = self.at_lower | self.at_upper
        self._rows = program.rows
        self._null = _left_null_space(program, held, ~self.low & ~self.high & ~self.fixed)
        self._left, self._right = self._inequalities(_SLACK * (self._size() or 1.0))
        self._tight = np.argsort(self._right, kind="stable")[:_AT_ONCE]

    @property
    def unique(self) -> bool:
        """Whether there is one set of multipliers only."""
        return int(self._null.shape[1]) == 0

    @property
    def simple(self) -> bool:
        """Whether the prices of any number of single customers can be told at once."""
        return int(self._null.shape[1]) <= 1

    def largest(self, weights: Vector) -> float:
        """Largest value of weightsᵀy among all multipliers; +inf where nothing bounds it."""
        return float(self._largest_of(weights[None, :])[0])

    def limit_slopes(self, who: NDArray[np.intp]) -> tuple[Vector, Vector]:
        """Change of the minimum per unit more, and per unit less, of upper bounds one by one.

        Parameters
        ----------
        who : ndarray of int, shape (s,)
            Customers at their upper bounds; on a face that is not ``simple`` this takes time.

        Returns
        -------
        more, less : ndarray, shape (s,) each
            +inf where such a step leaves nothing feasible.
        """
        columns = self._rows[:, who]
        weights = (columns if isinstance(columns, np.ndarray) else columns.toarray()).T
        # A step up is free to leave the bound idle, so that it never costs.
        more = np.minimum(self.slope[who] + self._largest_of(weights), 0.0)
        less = self._largest_of(-weights) - self.slope[who]
        # Below his floor there is no limit for him.
        return more, np.where(self.fixed[who], np.inf, np.maximum(less, 0.0))

    def _size(self) -> float:
        return float(np.abs(self.slope).max())

    def _inequalities(self, slack: float) -> tuple[Matrix, Vector]:
        """Signs that rows and bounds must keep: G and h; t = 0, the solver's own, always may."""
        if self.unique:
            return np.zeros((0, 0)), np.zeros(0)
        reduced = self.slope + np.asarray(self._rows.T @ self.y)
        directions = np.asarray(self._rows.T @ self._null)
        sizes = np.asarray(absolute(self._rows).T @ np.abs(self._null))
        directions[np.abs(directions) <= _VANISHED * sizes] = 0.0
        below, above = self.at_upper & ~self.at_lower, self.at_lower & ~self.at_upper
        low, high = self.low & ~self.fixed, self.high & ~self.fixed
        left = [-self._null[below], self._null[above], -directions[low], directions[high]]
        right = [self.y[below], -self.y[above], reduced[low], -reduced[high]]
        return np.vstack(left), np.maximum(np.concatenate(right), 0.0) + slack

    def _largest_of(self, weights: Matrix) -> Vector:
        """Largest value of each row of weights over the face, shape (s,)."""
        base = np.asarray(weights @ self.y)
        if self.unique:
            return base
        along = weights @ self._null
        sizes = np.abs(weights).max(axis=1, initial=0.0)
        # A functional that does not change along the face needs no search.
        still = np.abs(along).max(axis=1) <= _SLACK * np.where(sizes > 0, sizes, 1.0)
        along[still] = 0.0
        if self.simple:
            return np.asarray(base + self._along_a_line(along[:, 0]))
        found = [0.0 if s else self._most(g) for s, g in zip(still, along, strict=True)]
        return np.asarray(base + np.array(found))

    def _along_a_line(self, gain: Vector) -> Vector:
        """Largest gain·t where the face is the segment of one t, closed form."""
        left, right = self._left[:, 0], self._right
        steep = np.abs(left) > _SLACK * np.abs(left).max(initial=0.0)
        ends = right[steep] / left[steep]
        most = ends[left[steep] > 0].min(initial=np.inf)
        least = ends[left[steep] < 0].max(initial=-np.inf)
        found = np.zeros_like(gain)
        np.multiply(gain, most, out=found, where=gain > 0)
        np.multiply(gain, least, out=found, where=gain < 0)
        return found

    def _most(self, gain: Vector) -> float:
        """Largest gainᵀt under G t ≤ h, with the few inequalities that matter; +inf for no end.

        G has a row for each customer at a bound: most never matter. Those violated by the answer
        of a part join the part, which is kept for the next search.
        """
        scale = float(np.abs(self._right).max()) or 1.0
        right = self._right / scale
        for _ in range(_ROUNDS):
            t, ray = _corner(gain, self._left[self._tight], right[self._tight])
            # Along a ray an inequality is violated where it rises, at a corner where it is passed.
            excess = self._left @ t - (0.0 if ray else right)
            worst = np.argsort(-excess, kind="stable")[:_AT_ONCE]
            new = np.setdiff1d(worst[excess[worst] > _SLACK], self._tight)
            if new.size == 0:
                return np.inf if ray else float(gain @ t * scale)
            self._tight = np.concatenate([self._tight, new])
        t, ray = _corner(gain, self._left, right)
        return np.inf if ray else float(gain @ t * scale)


def _corner(gain: Vector, left: Matrix, right: Vector) -> tuple[Vector, bool]:
    """Solve max gainᵀt, left t ≤ right (t = 0 may): its corner, or a ray of endless gain."""
    from scipy.optimize import linprog

    search: Any = linprog
    result = search(-gain, A_ub=left, b_ub=right, bounds=(None, None), method="highs-ds")
    if result.status == 0:
        return np.asarray(result.x, dtype=np.float64), False
    # No end: the steepest direction in a box that leaves every inequality.
    zero = np.zeros_like(right)
    result = search(-gain, A_ub=left, b_ub=zero, bounds=(-1.0, 1.0), method="highs-ds")
    return np.asarray(result.x, dtype=np.float64), True


def _left_null_space(program: CreditProgram, held: Mask, inside: Mask) -> Matrix:
    """Find combinations of the rows that hold which vanish over those inside, shape (q, m)."""
    rows = program.rows[np.flatnonzero(held)]
    part = rows[:, inside]
    gram = part @ part.T
    gram = gram if isinstance(gram, np.ndarray) else gram.toarray()
    # A row with nobody inside (a group at its limits) is a combination of its own.
    norms = np.sqrt(np.diagonal(gram))
    size = np.where(norms > 0, norms, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(size, size))
    # Squares of singular values: rounding leaves 1e-16, and rows that differ by 1e-6 leave 1e-12.
    vanish = values <= _DEPENDENT
    basis = np.zeros((held.size, int(vanish.sum())))
    basis[held] = vectors[:, vanish] / size[:, None]
    largest = np.maximum(np.abs(basis).max(axis=0, initial=0.0), np.finfo(float).tiny)
    return np.asarray(basis / largest)
