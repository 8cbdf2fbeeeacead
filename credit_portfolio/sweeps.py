"""What changes along a frontier: the bound of one row, or the budget.

A sweep states its program once. From value to value only bounds are replaced, so that nothing of
the size of factors and rows is copied or checked again.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from credit_portfolio.errors import InfeasibleError, ModelError, SolverError
from credit_portfolio.program.expected_return import fill_best
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]

# At the very end of what can be reached no more than a vertex is left. A millionth of the range
# inside, a cold solve of 100,000 customers was seen to end without a proof; a ten-thousandth is
# not to be seen in a picture, and solves take less time.
INSIDE = 1e-4
# Up to so many customers HiGHS finds the end of a range in less time than our own solver.
_HIGHS_UP_TO = 50_000
# From five times as many customers on, it looks at so many of them at a time. One to three rounds
# were seen.
_SIFTED, _SIFT_FROM, _SIFT_ROUNDS = 800, 5, 6
# The same program gives the same answer, bit for bit.
_SEED = 20240607
# HiGHS's finest.
_HIGHS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
# A default sweep of the budget begins at this part of the largest: further down fewer and fewer
# limits hold anybody, and the frontier ends flat.
_SMALLEST_BUDGET = 0.1


class Sweep(Protocol):
    """One quantity that moves, and the program at each of its values."""

    @property
    def program(self) -> CreditProgram:
        """The program as stated, with the row that is swept."""

    def at(self, value: float) -> CreditProgram | None:
        """Return the program there; None where bounds cross, so that nothing can be feasible."""

    def loosest_first(self, values: Vector) -> Vector:
        """Return the values in the order in which they are best solved."""

    def reach(self) -> tuple[float, float]:
        """Return the least and the greatest value that any shares can reach."""

    def spread(self, points: int, tolerance: float, start: Solution) -> tuple[Vector, Solution]:
        """Return values from the best end to where nothing changes any more, and a start."""

    def scale(self, value: float) -> float:
        """Return the budget there, as a multiple of the program's."""


def replaced(program: CreditProgram, **bounds: Vector) -> CreditProgram:
    """Return the program with other bounds; all else is shared, and not checked again.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.02], rows=[[1, 1]], row_lower=1)
    >>> replaced(program, row_upper=np.ones(1)).row_upper
    array([1.])
    """
    other = copy.copy(program)
    for name, values in bounds.items():
        values.flags.writeable = False
        object.__setattr__(other, name, values)
    return other


def with_idle_row(solution: Solution) -> Solution:
    """Return the solution as a start for its program with one more row, which does not press."""
    duals = replace(solution.duals, rows=np.append(solution.duals.rows, 0.0))
    return replace(solution, duals=duals)


def row_of(program: CreditProgram, row: int) -> Vector:
    """Return one row of A, dense."""
    A: Any = program.rows
    taken = A[row] if isinstance(A, np.ndarray) else A[[row]].toarray()[0]
    return np.asarray(taken, dtype=np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class RowSweep:
    """The bound of one row moves; the other side of the row stays open.

    Attributes
    ----------
    program : CreditProgram
    row : int
    at_most : bool
        Whether the value is an upper bound of the row.
    """

    program: CreditProgram
    row: int
    at_most: bool

    def at(self, value: float) -> CreditProgram:
        """Return the program with this bound."""
        lower, upper = self.program.row_lower.copy(), self.program.row_upper.copy()
        lower[self.row] = -np.inf if self.at_most else value
        upper[self.row] = value if self.at_most else np.inf
        return replaced(self.program, row_lower=lower, row_upper=upper)

    def loosest_first(self, values: Vector) -> Vector:
        """Largest first for an upper bound."""
        ordered: Vector = np.sort(values)[::-1] if self.at_most else np.sort(values)
        return ordered

    def reach(self) -> tuple[float, float]:
        """Least and greatest value of the row, all other rows and bounds held."""
        row = row_of(self.program, self.row)
        return self._end(row), -self._end(-row)

    def spread(self, points: int, tolerance: float, start: Solution) -> tuple[Vector, Solution]:
        """From the best end to the level that the row has by itself."""
        row = row_of(self.program, self.row)
        free = self.at(math.inf if self.at_most else -math.inf)
        start = optimum(free, tolerance, start)
        level = float(row @ start.x)
        end = self._end(row) if self.at_most else -self._end(-row)
        return np.unique(np.linspace(end + INSIDE * (level - end), level, points)), start

    def scale(self, value: float) -> float:
        """Return 1: the budget stays."""
        del value
        return 1.0

    def _end(self, row: Vector) -> float:
        """Least value of row·w."""
        program = self.program
        others = np.arange(program.n_rows) != self.row
        A: Any = program.rows[np.flatnonzero(others)]
        lower, upper = program.row_lower[others], program.row_upper[others]
        if _budget_alone(A, lower, upper) and np.isfinite(np.minimum(program.upper, 1)).all():
            most = np.minimum(program.upper, 1.0)
            if program.lower.sum() <= 1.0 <= most.sum() and (program.lower >= 0).all():
                return -fill_best(-row, program.lower, most, 1.0)
        if program.n_customers > _HIGHS_UP_TO:
            return _end_by_our_own(program, row, A, lower, upper)
        found = _sifted(row, A, lower, upper, program.lower, program.upper)
        if found is not None:
            return found
        result = _linear(row, A, lower, upper, program.lower, program.upper)
        if result.status == 3:
            return -math.inf
        if result.status != 0:
            raise nothing_feasible(self.at(math.inf if self.at_most else -math.inf))
        return float(result.fun)


@dataclass(frozen=True, eq=False, slots=True)
class BudgetSweep:
    """The budget moves; limits and floors in money stay, as do shares and targets.

    Attributes
    ----------
    program : CreditProgram
    budget : float
        That the program's bounds were made with.
    largest_share : ndarray, shape (n,)
        Upper bounds that are parts of the budget.
    limits : ndarray, shape (n,)
        Upper bounds in money.
    """

    program: CreditProgram
    budget: float
    largest_share: Vector
    limits: Vector

    def at(self, value: float) -> CreditProgram | None:
        """Return the program of this budget."""
        if not 0 < value < math.inf:
            raise ModelError(f"a budget of {value} is asked for; expected money above 0")
        lower = self.program.lower * (self.budget / value)
        upper = np.minimum(self.limits / value, self.largest_share)
        if (lower > upper).any():
            return None
        return replaced(self.program, lower=lower, upper=upper)

    def loosest_first(self, values: Vector) -> Vector:
        """Smallest first."""
        ordered: Vector = np.sort(values)
        return ordered

    def reach(self) -> tuple[float, float]:
        """Least and greatest budget that limits, floors and rows allow."""
        return self._end(1.0), -self._end(-1.0)

    def spread(self, points: int, tolerance: float, start: Solution) -> tuple[Vector, Solution]:
        """From a tenth of the greatest budget, or the least, to the greatest."""
        del tolerance
        least, most = self.reach()
        if not math.isfinite(most):
            raise ModelError(
                "nothing holds the budget from above, since no customer has a limit in money; give "
                "values, or fit with limits"
            )
        low = max(_SMALLEST_BUDGET * most, least)
        return np.unique(np.linspace(low, most - INSIDE * (most - low), points)), start

    def scale(self, value: float) -> float:
        """Return the budget as a multiple of the program's."""
        return value / self.budget

    def _end(self, sign: float) -> float:
        """Least value of sign × budget: a linear program in amounts and the budget."""
        program, n = self.program, self.program.n_customers
        cost = np.append(np.zeros(n), sign)
        A = sparse.csr_array(program.rows)
        parts: list[Any] = []
        for bounds, side in ((program.row_upper, 1.0), (program.row_lower, -1.0)):
            kept = np.flatnonzero(np.isfinite(bounds))
            column = sparse.csr_array(-side * bounds[kept, None])
            parts.append(sparse.hstack([side * A[kept], column]))
        shared = np.flatnonzero(self.largest_share < 1.0)
        picked = sparse.csr_array(
            (np.ones(shared.size), (np.arange(shared.size), shared)), shape=(shared.size, n)
        )
        parts.append(sparse.hstack([picked, sparse.csr_array(-self.largest_share[shared, None])]))
        system = sparse.vstack(parts, format="csr")
        bounds = np.vstack(
            [np.column_stack([program.lower * self.budget, self.limits]), [0.0, np.inf]]
        )
        result = _highs(cost, A_ub=system, b_ub=np.zeros(system.shape[0]), bounds=bounds)
        if result.status == 3:
            return -math.inf
        if result.status != 0:
            raise nothing_feasible(program)
        return float(result.fun)


def optimum(program: CreditProgram, tolerance: float, start: Solution | None = None) -> Solution:
    """Solve, or raise what kept it from being solved."""
    solution = solve(program, tolerance=tolerance, start=start)
    if solution.status == "infeasible":
        raise InfeasibleError(
            f"no shares meet the conditions, whatever is swept: {', '.join(solution.conflict)} "
            "cannot hold together; loosen one of them",
            conflict=tuple(solution.conflict),
        )
    if solution.status != "optimal":
        raise SolverError(f"no certified answer: {solution.message}", solution.certificate)
    return solution


def nothing_feasible(program: CreditProgram | None) -> Exception:
    """Return the error for a linear program without an answer, with the rows that conflict."""
    if program is not None:
        try:
            optimum(program, 1e-9)
        except (InfeasibleError, SolverError) as error:
            return error
    return SolverError("the end of the range was not found by the linear program; give values")


def _budget_alone(A: Any, lower: Vector, upper: Vector) -> bool:
    """Whether Σw = 1 is the only row."""
    if A.shape[0] != 1 or lower[0] != 1.0 or upper[0] != 1.0:
        return False
    dense = A if isinstance(A, np.ndarray) else A.toarray()
    return bool((dense == 1.0).all())


def _end_by_our_own(
    program: CreditProgram, row: Vector, A: Any, lower: Vector, upper: Vector
) -> float:
    bounded = CreditProgram(
        linear=row,
        rows=A,
        row_lower=lower,
        row_upper=upper,
        lower=program.lower,
        upper=program.upper,
    )
    return optimum(bounded, 1e-9).objective


def _sifted(
    cost: Vector, A: Any, lower: Vector, upper: Vector, least: Vector, most: Vector
) -> float | None:
    """Least value of cost·w by linear programs of few customers; None where these do not settle.

    The prices of the rows tell who stays at which bound, and those of a sample are nearly right.
    A round in which nobody of the others would leave his bound has found the optimum of all.
    """
    n = cost.size
    if n < _SIFT_FROM * _SIFTED or not (np.isfinite(least).all() and np.isfinite(most).all()):
        return None
    some = np.sort(np.random.default_rng(_SEED).choice(n, _SIFTED, replace=False))
    each = n / _SIFTED
    result = _linear(cost[some], A[:, some], lower, upper, least[some] * each, most[some] * each)
    if result.status != 0:
        return None
    reduced, size = cost - A.T @ _prices(result, lower, upper), _SIFTED
    ends = np.where(reduced > 0, least, most)
    some, w = np.argpartition(np.abs(reduced), size)[:size], ends.copy()
    for _ in range(_SIFT_ROUNDS):
        w[some] = 0.0
        others = A @ w
        result = _linear(
            cost[some], A[:, some], lower - others, upper - others, least[some], most[some]
        )
        if result.status != 0:  # the others are held where nothing is feasible
            size = min(2 * size, n - 1)
            some, w = np.argpartition(np.abs(reduced), size)[:size], ends.copy()
            continue
        w[some] = result.x
        after = cost - A.T @ _prices(result, lower, upper)
        leaving = np.where(reduced > 0, after < 0, after > 0)
        leaving[some] = False
        if not leaving.any():
            return float(cost @ w)
        some = np.union1d(some, np.flatnonzero(leaving))
    return None


def _prices(result: Any, lower: Vector, upper: Vector) -> Vector:
    """Marginals of the rows, in the order that ``_linear`` gave them to HiGHS."""
    prices = np.zeros(lower.size)
    equal = lower == upper
    above, below = np.isfinite(upper) & ~equal, np.isfinite(lower) & ~equal
    if above.any() or below.any():
        first, second = np.split(np.asarray(result.ineqlin.marginals), [np.count_nonzero(above)])
        prices[above] += first
        prices[below] -= second
    if equal.any():
        prices[equal] = result.eqlin.marginals
    return prices


def _linear(cost: Vector, A: Any, lower: Vector, upper: Vector, least: Vector, most: Vector) -> Any:
    equal = np.flatnonzero(lower == upper)
    above = np.flatnonzero(np.isfinite(upper) & (lower != upper))
    below = np.flatnonzero(np.isfinite(lower) & (lower != upper))
    stack = np.vstack if isinstance(A, np.ndarray) else sparse.vstack
    sides: dict[str, Any] = {}
    if above.size or below.size:
        sides |= {"A_ub": stack([A[above], -A[below]])}
        sides |= {"b_ub": np.concatenate([upper[above], -lower[below]])}
    if equal.size:
        sides |= {"A_eq": A[equal], "b_eq": upper[equal]}
    return _highs(cost, bounds=np.column_stack([least, most]), **sides)


def _highs(cost: Vector, **sides: Any) -> Any:
    from scipy.optimize import linprog

    search: Any = linprog
    return search(cost, method="highs", options=_HIGHS, **sides)
