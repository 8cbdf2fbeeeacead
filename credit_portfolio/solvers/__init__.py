"""One call for every solver: run it, recompute the proof, and say what was proved.

A solver is a function from a program to candidates, of which the first one that can be proved is
taken; adding one is a line in ``_BACK_ENDS``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.errors import ModelError
from credit_portfolio.program.certificate import (
    Certificate,
    Examination,
    descends_forever,
    examine,
    infeasibility_margin,
)
from credit_portfolio.program.columns import Columns, workers
from credit_portfolio.solvers import cvxpy_, dask_, feasibility, tie_break
from credit_portfolio.solvers.dual_newton import (
    refuse_options,
    solve_dual_newton,
    solve_interior_point,
)
from credit_portfolio.solvers.polish import polish
from credit_portfolio.solvers.solution import Candidate, Duals, Solution, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Check = Callable[[Mapping[str, Any]], None]
    BackEnd = Callable[[CreditProgram, Columns, float, Mapping[str, Any]], Iterator[Candidate]]


def _with_dask(
    program: CreditProgram, columns: Columns, tolerance: float, options: Mapping[str, Any]
) -> Iterator[Candidate]:
    del columns  # the workers have their own
    yield dask_.solve_with_dask(program, tolerance, options)


# Our own solvers by name: what checks their options, and what runs them. Every other name is looked
# up among cvxpy's installed solvers.
_BACK_ENDS: dict[str, tuple[Check, BackEnd]] = {
    "dask": (dask_.check_options, _with_dask),
    "dual_newton": (refuse_options, solve_dual_newton),
    "interior_point": (refuse_options, solve_interior_point),
}

# What "auto" takes, and what it asks where no proof was reached.
_OWN, _SECOND_OPINION = "dual_newton", "clarabel"

# Up to so many customers the search for a conflict takes less than seconds.
_LINEAR_PROGRAM = 50_000

# Optima are called different when shares differ by more than this part of the largest share: the
# square root of the default tolerance, since a gap of ε leaves shares uncertain by about √ε.
_SAME_SHARES = 3e-5

__all__ = ["Duals", "Solution", "Status", "solve"]


def solve(
    program: CreditProgram,
    solver: str = "auto",
    *,
    tolerance: float = 1e-9,
    start: Solution | None = None,
    **options: Any,
) -> Solution:
    """Find the shares of least variance, and prove it.

    Parameters
    ----------
    program : CreditProgram
    solver : str, default "auto"
        "auto" takes our own "dual_newton", and Clarabel where that reaches no proof. Otherwise
        "dual_newton", "interior_point", "dask" (the method of dual_newton over the workers of a
        Dask cluster), or any installed cvxpy solver by its name, in any case.
    tolerance : float, default 1e-9
        The largest relative residual with which an answer counts as optimal.
    start : Solution, optional
        Of a program with the same factors and rows; bounds, targets, variances and customers may
        have changed. Only "auto" and "dual_newton" can use it.
    **options
        Passed on to the solver, under its own names.

    Returns
    -------
    Solution
        With a status of optimal, infeasible, unbounded (each proved) or failed. Nothing is raised
        for these four: ``CreditPortfolio`` turns the last three into errors.

    Raises
    ------
    ModelError
        For an unknown solver or option, or a tolerance that is not between 0 and 1.
    MissingDependencyError
        For a solver that is known but not installed.

    Examples
    --------
    >>> import credit_portfolio as cp
    >>> program = cp.CreditProgram(
    ...     idiosyncratic=[0.01, 0.02, 0.04], rows=[[1, 1, 1], [0.4, 0.1, 0]],
    ...     row_lower=[1, -np.inf], row_upper=[1, 0.2], row_names=["budget", "loss"],
    ... )
    >>> solution = cp.solve(program)
    >>> solution.status
    <Status.OPTIMAL: 'optimal'>
    >>> (solution.x * 69).round(6)
    array([28., 26., 15.])
    """
    if not 0 < tolerance < 1:
        raise ModelError(f"tolerance is {tolerance}; expected a number between 0 and 1, as 1e-9")
    started = time.perf_counter()
    if not isinstance(solver, str):
        raise TypeError(f"solver is {solver!r}; expected a name, as 'auto' or 'clarabel'")
    chosen = _OWN if solver == "auto" else solver.lower()
    # Also where no solver is needed in the end: a misspelt name must not pass unnoticed.
    if chosen in _BACK_ENDS:
        _BACK_ENDS[chosen][0](options)
    else:
        cvxpy_.check_request(chosen, options)
    multipliers = _multipliers(program, chosen, start)
    with workers(program.n_customers) as pool:
        columns = Columns(program, pool)
        y = feasibility.bounds_conflict(program, columns)
        if infeasibility_margin(program, y) > tolerance:
            solution = _infeasible(
                program, y, chosen, "the bounds of the shares alone rule it out", tolerance
            )
        else:
            solution = _attempt(program, columns, chosen, tolerance, options, multipliers)
            if solver == "auto" and solution.status is Status.FAILED:
                second = _attempt(program, columns, _SECOND_OPINION, tolerance, {})
                said = f"{solution.message}; then {_SECOND_OPINION}: {second.message}"
                solution = _replace(second, message=said)
    return _replace(solution, seconds=time.perf_counter() - started)


def _multipliers(program: CreditProgram, name: str, start: Solution | None) -> Vector | None:
    """Multipliers of factors and rows of an earlier solution, shape (k + q,)."""
    if start is None:
        return None
    if name != _OWN:
        raise ModelError(f"{name} cannot start from a solution; use {_OWN!r}, or leave start out")
    found = (start.exposure.size, start.duals.rows.size)
    if found != (program.n_factors, program.n_rows):
        raise ModelError(
            f"start belongs to a program with {found[0]} factors and {found[1]} rows, this one has "
            f"{program.n_factors} and {program.n_rows}; bounds, targets and customers may differ, "
            "factors and rows may not"
        )
    multipliers = np.concatenate([2.0 * start.exposure, start.duals.rows])
    return multipliers if np.isfinite(multipliers).all() else None


def _candidates(
    program: CreditProgram,
    columns: Columns,
    name: str,
    tolerance: float,
    options: Mapping[str, Any],
    multipliers: Vector | None = None,
) -> Iterator[Candidate]:
    if multipliers is not None:
        yield from solve_dual_newton(program, columns, tolerance, options, multipliers)
    elif name in _BACK_ENDS:
        yield from _BACK_ENDS[name][1](program, columns, tolerance, options)
    else:
        yield cvxpy_.solve_with_cvxpy(program, name, tolerance, options)


def _attempt(
    program: CreditProgram,
    columns: Columns,
    name: str,
    tolerance: float,
    options: Mapping[str, Any],
    multipliers: Vector | None = None,
) -> Solution:
    """Take the first candidate that can be proved; where none can, say what is wrong."""
    candidates = _candidates(program, columns, name, tolerance, options, multipliers)
    found = _judge(program, columns, next(candidates), name, tolerance)
    while not found.certificate.holds:
        candidate = next(candidates, None)
        if candidate is None:
            return _disprove(program, found, tolerance)
        found = _judge(program, columns, candidate, name, tolerance)
    return _break_tie(program, columns, found, tolerance, options)


def _judge(
    program: CreditProgram, columns: Columns, candidate: Candidate, name: str, tolerance: float
) -> Solution:
    w, seen = _examined(program, columns, candidate, tolerance)
    holds = seen.certificate.holds
    return Solution(
        status=Status.OPTIMAL if holds else Status.FAILED,
        x=_frozen(w),
        objective=seen.objective,
        duals=Duals(_frozen(seen.y), _frozen(seen.z)),
        certificate=seen.certificate,
        solver=name,
        message=candidate.said,
        exposure=_frozen(seen.exposure),
        unique=True if holds else None,
        iterations=candidate.iterations,
    )


def _examined(
    program: CreditProgram, columns: Columns, candidate: Candidate, tolerance: float
) -> tuple[Vector, Examination]:
    """Shares of a candidate, polished where that can help, and what they prove."""
    w, y = candidate.w, candidate.y
    if w is None or y is None:
        w, y = np.full(program.n_customers, np.nan), np.full(program.n_rows, np.nan)
    if candidate.sharp:
        return w, examine(program, w, y, tolerance, columns)
    return polish(program, w, y, tolerance, columns)


def _disprove(program: CreditProgram, failed: Solution, tolerance: float) -> Solution:
    """Tell a program without an answer from a solver without one."""
    # An interior point that finds nothing feasible leaves multipliers that say why. A vertex of
    # the linear program names fewer rows, but takes long for very many customers.
    told = failed.duals.rows
    y: Vector | None = told
    if program.n_customers <= _LINEAR_PROGRAM or infeasibility_margin(program, told) <= tolerance:
        y = feasibility.rows_conflict(program)
    if y is not None and infeasibility_margin(program, y) > tolerance:
        return _infeasible(program, y, failed.solver, failed.message, tolerance)
    ray = feasibility.falling_ray(program)
    if ray is not None and descends_forever(program, ray, tolerance):
        message = f"{failed.message}; a direction lowers the objective without end"
        return _replace(failed, status=Status.UNBOUNDED, message=message, objective=-np.inf)
    message = f"{failed.message}; refused: {failed.certificate}"
    return _replace(failed, message=message)


def _infeasible(
    program: CreditProgram, y: Vector, name: str, said: str, tolerance: float
) -> Solution:
    if program.n_customers <= _LINEAR_PROGRAM:
        y = feasibility.irreducible(program, y, tolerance)
    margin = infeasibility_margin(program, y)
    weighty = np.flatnonzero(np.abs(y) > feasibility.WEIGHTY * np.abs(y).max())
    conflict = {program.row_names[r]: float(y[r]) for r in weighty}
    nothing = np.full(program.n_customers, np.nan)
    return Solution(
        status=Status.INFEASIBLE,
        x=_frozen(nothing),
        objective=np.inf,
        duals=Duals(_frozen(y), _frozen(nothing.copy())),
        certificate=Certificate(np.inf, np.inf, np.inf, tolerance=0.0),
        solver=name,
        exposure=_frozen(np.full(program.n_factors, np.nan)),
        message=f"{said}; proved infeasible: {', '.join(conflict)} cannot hold together",
        conflict=conflict,
        margin=margin,
    )


def _break_tie(
    program: CreditProgram,
    columns: Columns,
    found: Solution,
    tolerance: float,
    options: Mapping[str, Any],
) -> Solution:
    """Among several optima take the one of smallest norm, and say that there were several."""
    if not tie_break.may_tie(program):
        return found
    tied = tie_break.tied(program, found.x, found.duals.rows, found.duals.bounds)
    if tied is False:
        return found
    unknown = f"{found.message}; whether other shares tie is not known"
    second = tie_break.smallest_norm_program(program, found.x)
    of_second = columns.like(second)
    for candidate in _candidates(second, of_second, found.solver, tolerance, options):
        w, smallest = _examined(second, of_second, candidate, tolerance)
        if smallest.certificate.holds:
            break
    else:
        return _replace(found, unique=None, message=unknown)
    seen = examine(program, w, found.duals.rows, tolerance, columns)
    if not seen.certificate.holds:
        return _replace(found, unique=None, message=unknown)
    moved = float(np.abs(w - found.x).max()) / float(np.abs(found.x).max() or 1.0)
    if moved <= _SAME_SHARES and not tied:
        return _replace(found, unique=None, message=unknown)
    return _replace(
        found,
        x=_frozen(w),
        objective=seen.objective,
        duals=Duals(_frozen(seen.y), _frozen(seen.z)),
        certificate=seen.certificate,
        exposure=_frozen(seen.exposure),
        unique=False,
        message=f"{found.message}; other shares do as well, the smallest norm is taken",
    )


def _replace(solution: Solution, **changes: Any) -> Solution:
    from dataclasses import replace

    return replace(solution, **changes)


def _frozen(array: Vector) -> Vector:
    array = np.asarray(array, dtype=np.float64)
    array.flags.writeable = False
    return array
