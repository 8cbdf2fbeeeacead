"""One call for every solver: run it, recompute the proof, and say what was proved.

A solver is a function from a program to candidates, of which the first one that can be proved is
taken; adding one is a line in ``_BACK_ENDS``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.errors import ModelError, did_you_mean
from credit_portfolio.program.certificate import infeasibility_margin
from credit_portfolio.program.columns import Columns, workers
from credit_portfolio.solvers import cvxpy_, dask_, feasibility
from credit_portfolio.solvers.dual_newton import (
    refuse_options,
    solve_dual_newton,
    solve_interior_point,
)
from credit_portfolio.solvers.solution import Candidate, Duals, Solution, Status
from credit_portfolio.solvers.verdicts import break_tie, disprove, infeasible, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

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

# Beyond so many customers Clarabel takes minutes and many times the program's memory.
_SECOND_UP_TO = 100_000

__all__ = ["Duals", "Solution", "Status", "solve", "solve_each"]


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
    started = time.perf_counter()
    chosen, automatic = _chosen(solver, tolerance, options)
    multipliers = _multipliers(program, chosen, start)
    with workers(program.n_customers) as pool:
        columns = Columns(program, pool)
        solution = _solved(program, columns, chosen, automatic, tolerance, options, multipliers)
    return replace(solution, seconds=time.perf_counter() - started)


def solve_each(
    programs: Iterable[CreditProgram], *, tolerance: float = 1e-9, start: Solution | None = None
) -> Iterator[Solution]:
    """Solve programs one after the other, each from the last optimum before it.

    What depends on factors and rows alone is kept from one to the next where these are the very
    same arrays.

    Parameters
    ----------
    programs : iterable of CreditProgram
        With as many factors and rows each.
    tolerance : float, default 1e-9
    start : Solution, optional
        For the first.

    Yields
    ------
    Solution
        As ``solve`` gives it.

    Examples
    --------
    >>> import credit_portfolio as cp
    >>> programs = (
    ...     cp.CreditProgram(
    ...         idiosyncratic=[0.01, 0.02], rows=[[1, 1]], row_lower=1, row_upper=1, upper=upper
    ...     )
    ...     for upper in (1.0, 0.6)
    ... )
    >>> [solution.x.round(6).tolist() for solution in solve_each(programs)]
    [[0.666667, 0.333333], [0.6, 0.4]]
    """
    chosen, automatic = _chosen("auto", tolerance, {})
    kept: tuple[CreditProgram, Columns] | None = None
    for program in programs:
        started = time.perf_counter()
        multipliers = _multipliers(program, chosen, start)
        with workers(program.n_customers) as pool:
            if kept and kept[0].factors is program.factors and kept[0].rows is program.rows:
                columns = kept[1].lent(pool)
            else:
                columns = Columns(program, pool)
            solution = _solved(program, columns, chosen, automatic, tolerance, {}, multipliers)
        kept = program, columns
        if solution.status is Status.OPTIMAL:
            start = solution
        yield replace(solution, seconds=time.perf_counter() - started)


def _solved(
    program: CreditProgram,
    columns: Columns,
    chosen: str,
    automatic: bool,
    tolerance: float,
    options: Mapping[str, Any],
    multipliers: Vector | None,
) -> Solution:
    y = feasibility.bounds_conflict(program, columns)
    if infeasibility_margin(program, y) > tolerance:
        why = "the bounds of the shares alone rule it out"
        return infeasible(program, y, chosen, why, tolerance)
    solution = _attempt(program, columns, chosen, tolerance, options, multipliers)
    if automatic and solution.status is Status.FAILED:
        return _second_opinion(program, columns, solution, tolerance)
    return solution


def _chosen(solver: str, tolerance: float, options: Mapping[str, Any]) -> tuple[str, bool]:
    """Name of the solver, and whether that is for us to say; all that is wrong raises at once.

    Also where no solver is needed in the end: a misspelt name must not pass unnoticed.
    """
    if not isinstance(tolerance, (int, float)):
        raise TypeError(f"tolerance is {tolerance!r}; expected a number, as 1e-9")
    if not 0 < tolerance < 1:
        raise ModelError(f"tolerance is {tolerance}; expected a number between 0 and 1, as 1e-9")
    if not isinstance(solver, str):
        raise TypeError(f"solver is {solver!r}; expected a name, as 'auto' or 'clarabel'")
    name = solver.lower()
    automatic = name == "auto"
    if automatic:
        name = _OWN
    if name in _BACK_ENDS:
        _BACK_ENDS[name][0](options)
        return name, automatic
    ours = ["auto", *_BACK_ENDS]
    hint = did_you_mean(name, ours)
    if hint and not cvxpy_.knows(name):
        raise ModelError(f"unknown solver {solver!r}; ours are {', '.join(ours)}.{hint}")
    cvxpy_.check_request(name, options)
    return name, False


def _second_opinion(
    program: CreditProgram, columns: Columns, first: Solution, tolerance: float
) -> Solution:
    """Ask another solver where ours reached no proof, and the program is not too large for it."""
    if program.n_customers > _SECOND_UP_TO:
        said = f"{first.message}; {_SECOND_OPINION} is not asked above {_SECOND_UP_TO:,} customers"
        return replace(first, message=said)
    second = _attempt(program, columns, _SECOND_OPINION, tolerance, {})
    return replace(second, message=f"{first.message}; then {_SECOND_OPINION}: {second.message}")


def _multipliers(program: CreditProgram, name: str, start: Solution | None) -> Vector | None:
    """Multipliers of factors and rows of an earlier solution, shape (k + q,)."""
    if start is None:
        return None
    if not isinstance(start, Solution):
        raise TypeError(f"start is {start!r}; expected a Solution, as solve returns it")
    if name != _OWN:
        raise ModelError(
            f"{name} cannot start from a solution; use 'auto' or {_OWN!r}, or leave start out"
        )
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

    def again(other: CreditProgram, of_other: Columns) -> Iterator[Candidate]:
        return _candidates(other, of_other, name, tolerance, options)

    candidates = _candidates(program, columns, name, tolerance, options, multipliers)
    found = judge(program, columns, next(candidates), name, tolerance)
    while not found.certificate.holds:
        candidate = next(candidates, None)
        if candidate is None:
            return disprove(program, found, tolerance)
        found = judge(program, columns, candidate, name, tolerance)
    return break_tie(program, columns, found, tolerance, again)
