"""Any installed cvxpy solver, by name.

The program is brought to a standard size first, so that no solver's absolute tolerance meets
somebody's unit of money: shares are measured in a typical bound σ, the objective in φ, and every
row has norm one. Customers with equal bounds are settled before the solver sees the rest.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.errors import MissingDependencyError, ModelError, did_you_mean
from credit_portfolio.program.certificate import absolute
from credit_portfolio.solvers.solution import Candidate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram, Rows

    Vector = NDArray[np.float64]

# Solver -> (options that ask for accuracy eps, the pip package). A solver that is not listed runs
# with its own defaults; the certificate refuses what they leave too coarse.
_ACCURACY = {
    "CLARABEL": ("tol_gap_abs", "tol_gap_rel", "tol_feas"),
    "OSQP": ("eps_abs", "eps_rel"),
    "SCS": ("eps_abs", "eps_rel"),
    "PIQP": ("eps_abs", "eps_rel"),
    "PROXQP": ("eps_abs",),
    "QPALM": ("eps_abs", "eps_rel"),
}
_EXTRA: dict[str, dict[str, Any]] = {
    "OSQP": {"max_iter": 200_000, "polishing": True},
    "SCS": {"max_iters": 200_000},
}
_PACKAGES = {"DAQP": "daqp", "PROXQP": "proxsuite", "GUROBI": "gurobipy", "MOSEK": "Mosek"}

# Interior points gain two digits on the last steps at no cost; asking for a hundredth of the
# tolerance keeps the recomputed residuals, which are measured differently, below it.
_HEADROOM = 1e-2
# Below this, rounding inside an interior-point step is larger than what is asked for.
_FINEST = 1e-12
# A scaled objective of one is the standard size; below a hundredth it is worth a second run.
_FAR_BELOW = 1e-2
# An optimum of zero has no size of its own; measuring in less would only magnify rounding.
_LEAST_SHRINK = 1e-8


@dataclass(frozen=True, eq=False, slots=True)
class _Scaled:
    """The program over its free customers, in standard size: w = fixed part + σ v."""

    free: NDArray[np.bool_]
    fixed: Vector
    F: NDArray[np.float64]
    D: Vector
    c: Vector
    A: NDArray[np.float64] | sparse.csr_array
    row_lower: Vector
    row_upper: Vector
    lower: Vector
    upper: Vector
    sigma: float
    phi: float
    row_size: Vector

    def restore(self, v: Vector, y: Vector) -> tuple[Vector, Vector]:
        """Return shares and row multipliers in the program's own units."""
        w = self.fixed.copy()
        w[self.free] = np.clip(v, self.lower, self.upper) * self.sigma
        return w, y * self.phi / self.row_size


def solve_with_cvxpy(
    program: CreditProgram, solver: str, tolerance: float, options: Mapping[str, Any]
) -> Candidate:
    """Hand the program to a cvxpy solver.

    Parameters
    ----------
    program : CreditProgram
    solver : str
        cvxpy's name of an installed solver, in any case.
    tolerance : float
        Relative accuracy to ask for.
    options : mapping
        Passed to the solver; they win over the accuracy options set here.

    Raises
    ------
    ModelError
        For an unknown solver or an option that the solver refuses.
    MissingDependencyError
        For a solver that cvxpy knows but that is not installed.
    """
    name = check_request(solver, options)
    free = program.lower < program.upper
    fixed = np.where(free, 0.0, program.lower)
    if not free.any():
        return Candidate(fixed, np.zeros(program.n_rows), "every share is fixed by its bounds")
    scaled = _scale(program, free, fixed)
    candidate = _run(scaled, name, tolerance, options)
    if candidate.w is None:
        return candidate
    reached = program.objective(candidate.w) / scaled.phi
    if reached >= _FAR_BELOW:
        return candidate
    # A diversified book's variance can be a millionth of its customers': measured in theirs, the
    # solver's absolute tolerance is met long before the answer is. Measure in what was reached.
    again = _scale(program, free, fixed, shrink=max(reached, _LEAST_SHRINK))
    second = _run(again, name, tolerance, options)
    return candidate if second.w is None else second


def _scale(
    program: CreditProgram, free: NDArray[np.bool_], fixed: Vector, shrink: float = 1.0
) -> _Scaled:
    everything = bool(free.all())
    F = program.factors if everything else program.factors[:, free]
    A = program.rows if everything else program.rows[:, free]
    D = program.idiosyncratic[free]
    c = program.linear[free] + 2.0 * (F.T @ (program.factors @ fixed))
    settled = program.activity(fixed)
    lower, upper = program.lower[free], program.upper[free]
    row_bounds = np.stack([program.row_lower - settled, program.row_upper - settled])
    sigma = _typical_share(lower, upper, A, row_bounds)
    column_variance = np.einsum("ki,ki->i", F, F) + D
    phi = max(sigma**2 * float(column_variance.mean()), sigma * float(np.abs(c).mean()))
    phi = phi * shrink if phi > 0 else 1.0
    squares = A.multiply(A).sum(axis=1) if sparse.issparse(A) else np.einsum("qi,qi->q", A, A)
    row_size = sigma * np.sqrt(np.asarray(squares, dtype=np.float64).ravel())
    row_size[row_size == 0] = 1.0
    per_row = sigma / row_size
    scaled_rows = (
        sparse.csr_array(sparse.diags_array(per_row) @ A)
        if sparse.issparse(A)
        else np.asarray(A) * per_row[:, None]
    )
    return _Scaled(
        free=free,
        fixed=fixed,
        F=F * (sigma / np.sqrt(phi)),
        D=D * (sigma**2 / phi),
        c=c * (sigma / phi),
        A=scaled_rows,
        row_lower=row_bounds[0] / row_size,
        row_upper=row_bounds[1] / row_size,
        lower=lower / sigma,
        upper=upper / sigma,
        sigma=sigma,
        phi=phi,
        row_size=row_size,
    )


def _typical_share(lower: Vector, upper: Vector, A: Rows, row_bounds: Vector) -> float:
    """Size of a share: the median bound, or the most that a row asks of equal shares if less."""
    bounds = np.abs(np.concatenate([lower, upper]))
    bounds = bounds[np.isfinite(bounds) & (bounds > 0)]
    weight = np.asarray(absolute(A).sum(axis=1), dtype=np.float64).ravel()
    asked = np.where(np.isfinite(row_bounds), np.abs(row_bounds), 0.0)
    equal = np.divide(asked, weight, out=np.zeros_like(asked), where=weight > 0)
    sizes = [float(np.median(bounds))] if bounds.size else []
    # The largest, not the median: a row that asks for zero may ask for 1e-17 after rounding.
    sizes += [float(equal.max())] if equal.any() else []
    return min(sizes, default=1.0 / lower.size)


def _run(scaled: _Scaled, name: str, tolerance: float, options: Mapping[str, Any]) -> Candidate:
    import cvxpy as cp

    n = scaled.lower.size
    v = cp.Variable(n)
    objective = cp.quad_form(v, sparse.diags_array(scaled.D, format="csc"), assume_PSD=True)
    if scaled.c.any():
        objective = objective + scaled.c @ v
    constraints = []
    if scaled.F.shape[0]:
        e = cp.Variable(scaled.F.shape[0])
        objective = objective + cp.sum_squares(e)
        constraints.append(e == scaled.F @ v)
    bounds = [(v >= scaled.lower, scaled.lower), (v <= scaled.upper, scaled.upper)]
    for side, (_, values) in zip((1, -1), bounds, strict=True):
        finite = np.isfinite(values)
        if finite.any():
            constraints.append(side * (v[finite] - values[finite]) >= 0)
    rows = _row_constraints(scaled, v)
    constraints += [constraint for constraint, _, _ in rows]
    problem = cp.Problem(cp.Minimize(objective), constraints)
    said, iterations = _call(problem, name, _options(name, tolerance, options))
    if v.value is None or any(constraint.dual_value is None for constraint, _, _ in rows):
        return Candidate(None, None, said, iterations)
    y = np.zeros(scaled.row_lower.size)
    for constraint, which, sign in rows:
        y[which] += sign * np.asarray(constraint.dual_value, dtype=np.float64).ravel()
    w, y = scaled.restore(np.asarray(v.value, dtype=np.float64), y)
    return Candidate(w, y, said, iterations)


def _row_constraints(scaled: _Scaled, v: Any) -> list[tuple[Any, NDArray[np.intp], float]]:
    """Return each constraint with the rows it holds and the sign of its dual in y."""
    equal = scaled.row_lower == scaled.row_upper
    above = np.isfinite(scaled.row_upper) & ~equal
    below = np.isfinite(scaled.row_lower) & ~equal
    found = []
    for which, sign in ((equal, 0.0), (above, 1.0), (below, -1.0)):
        index = np.flatnonzero(which)
        if index.size == 0:
            continue
        activity = scaled.A[index] @ v
        if sign == 0.0:
            found.append((activity == scaled.row_lower[index], index, 1.0))
        elif sign > 0:
            found.append((activity <= scaled.row_upper[index], index, 1.0))
        else:
            found.append((activity >= scaled.row_lower[index], index, -1.0))
    return found


def _call(problem: Any, name: str, options: dict[str, Any]) -> tuple[str, int | None]:
    """Solve, and return what the solver said; its status is reported, never believed."""
    import cvxpy as cp

    # cvxpy warns that a solution may be inaccurate, and squares a diverged point until it
    # overflows; the certificate measures by how much.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver=name, **options)
        except cp.SolverError as error:
            said = str(error).splitlines()[0]
            # OSQP's own complaints about its options arrive wrapped in cvxpy's error.
            if said.startswith("Unrecognized settings") or isinstance(error.__context__, TypeError):
                raise _refused(name, options, error) from error
            return f"{name} stopped: {said}", None
        except (TypeError, AttributeError, ValueError, KeyError) as error:
            raise _refused(name, options, error) from error
    iterations = problem.solver_stats.num_iters if problem.solver_stats else None
    return f"{name} said {problem.status}", iterations


def _refused(name: str, options: Mapping[str, Any], error: Exception) -> ModelError:
    return ModelError(
        f"{name} refused its options {dict(options)}: {error}; leave out the one it names"
    )


def _options(name: str, tolerance: float, options: Mapping[str, Any]) -> dict[str, Any]:
    asked = max(tolerance * _HEADROOM, _FINEST)
    return {**dict.fromkeys(_ACCURACY.get(name, ()), asked), **_EXTRA.get(name, {}), **options}


def check_request(solver: str, options: Mapping[str, Any]) -> str:
    """Return cvxpy's name of the solver; raise for an unknown or missing one, or its options."""
    name = _installed_name(solver)
    _check_options(name, options)
    return name


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that Clarabel does not have; the others check for themselves."""
    if name != "CLARABEL":
        return
    import clarabel

    known = [word for word in dir(clarabel.DefaultSettings()) if not word.startswith("_")]
    for option in options:
        if option not in known and option != "verbose":
            raise ModelError(
                f"unknown option {option!r} for Clarabel; it has {', '.join(known)}."
                f"{did_you_mean(option, known)}"
            )


def knows(solver: str) -> bool:
    """Whether cvxpy has an interface to a solver of this name, installed or not."""
    import cvxpy as cp

    return solver.upper() in cp.settings.SOLVERS


def _installed_name(solver: str) -> str:
    import cvxpy as cp

    name = solver.upper()
    installed = cp.installed_solvers()
    if name in installed:
        return name
    known = sorted(cp.settings.SOLVERS)
    available = sorted(s.lower() for s in installed)
    if name not in known:
        raise ModelError(
            f"unknown solver {solver!r}; installed: {', '.join(available)}."
            f"{did_you_mean(solver.lower(), [s.lower() for s in known])}"
        )
    package = _PACKAGES.get(name, name.lower())
    raise MissingDependencyError(
        f"solver {solver!r} is known but not installed; install it (for example: pip install "
        f"{package}) or use one of: {', '.join(available)}"
    )
