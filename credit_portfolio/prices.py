"""Shadow prices in the analyst's units: per percentage point of a target, per 10,000 of money.

With T the budget, σ² the minimum variance and y, z the multipliers of the program in shares, the
standard deviation in money is σT, and::

    one unit of target j       T · (−y_j) / 2σ
    one unit of limit i        −z_i / 2σ
    one unit of budget         −(y_budget + Σ_j y_j b_j + s Σ_i z_i) / 2σ

The last follows from writing the program in money, x = T w: T moves the right side of the budget
row and of every target at once, and the caps of those i who are held by the largest share s, a
part of the budget; limits and floors in money stay what they are.

Where conditions that hold at once depend on each other (targets on all intervals add up to the
budget), more than one set of multipliers explains the same optimum, and a step up and a step down
have prices of their own. Moving the bounds by d changes the minimum by the largest −yᵀd among all
those sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MONEY_STEP = 10_000.0
POINT = 0.01

# A share within this part of the largest share of its own bound is at it: solvers clip to bounds
# exactly, so only a multiplier-free tie needs the allowance.
_AT_BOUND = 1e-9
# Rows count as dependent where their smallest squared singular value, of norm one, is below this.
_DEPENDENT = 1e-13
# Room given to each inequality of the face: its right sides are slopes, known to some 1e-14 of the
# largest; without room, rounding could leave a face of one point empty.
_SLACK = 1e-12
# A slope below this part of the steepest is rounding and not a price.
_PRICED = 1e-9


def at_bounds(program: CreditProgram, solution: Solution) -> tuple[Mask, Mask]:
    """Who is at his lower and at his upper bound, the latter where both are one; shape (n,) each.

    The sign of a multiplier does not tell: between the bounds it is zero but for rounding.
    """
    w = solution.x
    near = _AT_BOUND * float(np.abs(w).max())
    high: Mask = w >= program.upper - near
    low: Mask = ~high & (w <= program.lower + near)
    return low, high


class DualFace:
    """All multipliers that explain one optimum: y = y_0 + N t with G t ≤ h.

    Where the rows that hold are independent over the customers between their bounds, N is empty
    and the multipliers are unique.
    """

    def __init__(self, program: CreditProgram, solution: Solution) -> None:
        low, high = at_bounds(program, solution)
        fixed = program.lower >= program.upper
        inside = ~low & ~high & ~fixed
        self.y = solution.duals.rows
        slope = program.gradient(solution.x)
        size = float(np.abs(slope).max()) or 1.0
        at_lower, at_upper = _rows_that_hold(program, solution)
        held = at_lower | at_upper
        self._null = _left_null_space(program, held, inside)
        pull = np.asarray(program.rows.T @ self.y)
        rows_below, rows_above = at_upper & ~at_lower, at_lower & ~at_upper
        low, high = low & ~fixed, high & ~fixed
        directions = np.asarray(program.rows.T @ self._null)
        slack = _SLACK * size
        self._left = np.vstack(
            [-self._null[rows_below], self._null[rows_above], -directions[low], directions[high]]
        )
        self._right = np.concatenate(
            [
                self.y[rows_below] + slack,
                -self.y[rows_above] + slack,
                (slope + pull)[low] + slack,
                -(slope + pull)[high] + slack,
            ]
        )

    @property
    def unique(self) -> bool:
        """Whether there is one set of multipliers only."""
        return int(self._null.shape[1]) == 0

    def largest(self, weights: Vector) -> float:
        """Largest value of weightsᵀy among all multipliers; +inf where nothing bounds it."""
        base = float(weights @ self.y)
        along = weights @ self._null
        # A functional that does not change along the face needs no search.
        if self.unique or np.abs(along).max() <= _SLACK * float(np.abs(weights).max() or 1.0):
            return base
        gain = _most(along, self._left, self._right)
        return base + gain


def _rows_that_hold(program: CreditProgram, solution: Solution) -> tuple[Mask, Mask]:
    """Rows at their lower and at their upper bound, up to the certificate's tolerance."""
    activity = program.activity(solution.x)
    near = _AT_BOUND * np.maximum(np.abs(activity), 1.0)
    return activity <= program.row_lower + near, activity >= program.row_upper - near


def _left_null_space(program: CreditProgram, held: Mask, inside: Mask) -> Matrix:
    """Find combinations of the rows that hold which vanish over those inside, shape (q, m)."""
    rows = program.rows[np.flatnonzero(held)]
    dense = rows[:, inside]
    dense = dense if isinstance(dense, np.ndarray) else dense.toarray()
    gram = dense @ dense.T
    size = np.sqrt(np.maximum(np.diagonal(gram), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(gram / np.outer(size, size))
    # Squares of singular values: rounding leaves 1e-16, and rows that differ by 1e-6 leave 1e-12.
    vanish = (values <= _DEPENDENT) | (np.diagonal(gram).max(initial=0.0) == 0)
    basis = np.zeros((held.size, int(vanish.sum())))
    basis[held] = vectors[:, vanish] / size[:, None]
    largest = np.maximum(np.abs(basis).max(axis=0, initial=0.0), np.finfo(float).tiny)
    return np.asarray(basis / largest)


def _most(gain: Vector, left: Matrix, right: Vector) -> float:
    """Largest gainᵀt under left t ≤ right."""
    from scipy.optimize import linprog

    search: Any = linprog
    scale = float(np.abs(right).max()) or 1.0
    result = search(-gain, A_ub=left, b_ub=right / scale, bounds=(None, None), method="highs")
    if result.status == 3:
        return np.inf
    return float(-result.fun * scale) if result.status == 0 else 0.0


def limit_prices(
    program: CreditProgram, solution: Solution, budget: float
) -> tuple[Vector, Vector]:
    """Change per 10,000 more of each limit: (of the variance of the return, of money deviation).

    Only multipliers against upper bounds count; each is 0 or less. Shape (n,) each. Where several
    sets of multipliers explain the optimum these belong to the solver's.
    """
    z = _cap_multipliers(program, solution)
    variance = -z * MONEY_STEP / budget + 0.0
    return variance, variance * budget * _per_variance(solution)


def price_table(
    program: CreditProgram,
    solution: Solution,
    budget: float,
    currency: str,
    kinds: list[str],
    by_share: Mask,
) -> pd.DataFrame:
    """Prices of budget and targets, one row per row of the program.

    Parameters
    ----------
    program : CreditProgram
    solution : Solution
    budget : float
        T, in money.
    currency : str
    kinds : list of str
        "budget" or "target" per row.
    by_share : ndarray of bool, shape (n,)
        Whose upper bound is a part of the budget rather than a limit in money.

    Returns
    -------
    pandas.DataFrame
        ``variance`` and ``standard_deviation`` are the changes for one step more,
        ``variance_less`` and ``standard_deviation_less`` those for one step less; NaN where such a
        step leaves nothing feasible. ``binding``: loosening the condition lowers the variance.
    """
    face = DualFace(program, solution)
    reached = program.activity(solution.x)
    finite = np.where(np.isfinite(program.row_upper), program.row_upper, program.row_lower)
    pressing = np.where(solution.duals.rows < 0, program.row_lower, program.row_upper)
    bound = np.where(np.isfinite(pressing), pressing, finite)
    target = np.array([kind == "target" for kind in kinds])
    more, less = _slopes(program, solution, face, bound, target, by_share)
    # The variance of the return is that of money over T²: its slope in T has both parts.
    spread = np.where(target, 0.0, 2.0 * program.objective(solution.x))
    step = np.where(target, POINT, MONEY_STEP / budget)
    floor = _PRICED * float(np.abs(program.gradient(solution.x)).max())
    more, less = (np.where(np.abs(slope) <= floor, 0.0, slope) for slope in (more, less))
    loosened = np.where(np.isfinite(program.row_upper), more, less)
    binding = (loosened < -floor) | ~target
    money = budget * _per_variance(solution)
    words = f"10,000 {currency} more".replace("  ", " ")
    return pd.DataFrame(
        {
            "kind": kinds,
            "bound": np.where(target, bound, budget),
            "reached": np.where(target, reached, budget * reached),
            "binding": binding,
            "step": np.where(target, "1 percentage point more", words),
            # Adding 0.0 turns the −0.0 of a row without a price into a plain zero.
            "variance": (more - spread) * step + 0.0,
            "standard_deviation": more * step * money + 0.0,
            "variance_less": (less + spread) * step + 0.0,
            "standard_deviation_less": less * step * money + 0.0,
        },
        index=pd.Index(program.row_names, name="condition", dtype="str"),
    )


def _slopes(
    program: CreditProgram,
    solution: Solution,
    face: DualFace,
    bound: Vector,
    target: Mask,
    by_share: Mask,
) -> tuple[Vector, Vector]:
    """Change of the minimum variance per unit more, and per unit less, of each row's bound."""
    more, less = np.empty(target.size), np.empty(target.size)
    for r in range(target.size):
        weights = np.zeros(target.size)
        weights[r] = 1.0
        constant = 0.0
        if not target[r]:
            # The budget moves all targets, and the caps of those held by the largest share.
            capped = at_bounds(program, solution)[1] & by_share
            caps = np.where(capped, program.upper, 0.0)
            weights = bound - np.asarray(program.rows @ caps)
            constant = -float(program.gradient(solution.x) @ caps)
        more[r] = face.largest(-weights) - constant
        less[r] = face.largest(weights) + constant
    unpriced = np.array([np.nan])
    return np.where(np.isinf(more), unpriced, more), np.where(np.isinf(less), unpriced, less)


def _cap_multipliers(program: CreditProgram, solution: Solution) -> Vector:
    high = at_bounds(program, solution)[1]
    return np.where(high, np.maximum(solution.duals.bounds, 0.0), 0.0)


def _per_variance(solution: Solution) -> float:
    """Return d σ / d σ² = 1/2σ; 0 where there is no variance left to price."""
    return 0.5 / np.sqrt(solution.objective) if solution.objective > 0 else 0.0
