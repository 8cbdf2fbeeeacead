"""What an answer proves: optimal, infeasible, unbounded or nothing; which of several to take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.program.certificate import (
    Certificate,
    Examination,
    descends_forever,
    examine,
    infeasibility_margin,
)
from credit_portfolio.solvers import feasibility, tie_break
from credit_portfolio.solvers.polish import polish
from credit_portfolio.solvers.solution import Candidate, Duals, Solution, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Again = Callable[[CreditProgram, Columns], Iterator[Candidate]]

# Up to so many customers the search for a conflict takes seconds.
_LINEAR_PROGRAM = 50_000
# Optima are called different when shares differ by more than this part of the largest share: the
# square root of the default tolerance, since a gap of ε leaves shares uncertain by about √ε.
_SAME_SHARES = 3e-5


def judge(
    program: CreditProgram, columns: Columns, candidate: Candidate, name: str, tolerance: float
) -> Solution:
    """Examine a candidate: an optimum where its certificate holds, failed where not."""
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


def disprove(program: CreditProgram, failed: Solution, tolerance: float) -> Solution:
    """Tell a program without an answer from a solver without one."""
    # An interior point that finds nothing feasible leaves multipliers that say why. A vertex of
    # the linear program names fewer rows, but takes long for very many customers.
    told = failed.duals.rows
    y: Vector | None = told
    # A point that meets all rows and bounds leaves nothing to search for.
    feasible = failed.certificate.primal <= tolerance
    many = program.n_customers > _LINEAR_PROGRAM
    if not feasible and not (many and infeasibility_margin(program, told) > tolerance):
        y = feasibility.rows_conflict(program)
    if y is not None and infeasibility_margin(program, y) > tolerance:
        return infeasible(program, y, failed.solver, failed.message, tolerance)
    ray = feasibility.falling_ray(program)
    if ray is not None and descends_forever(program, ray, tolerance):
        message = f"{failed.message}; a direction lowers the objective without end"
        return replace(failed, status=Status.UNBOUNDED, message=message, objective=-np.inf)
    message = f"{failed.message}; refused: {failed.certificate}"
    return replace(failed, message=message)


def infeasible(
    program: CreditProgram, y: Vector, name: str, said: str, tolerance: float
) -> Solution:
    """Tell a conflict of rows, proved by their multipliers y, as few of them as will do."""
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
        certificate=Certificate(np.inf, np.inf, np.inf, tolerance),
        solver=name,
        exposure=_frozen(np.full(program.n_factors, np.nan)),
        message=f"{said}; proved infeasible: {', '.join(conflict)} cannot hold together",
        conflict=conflict,
        margin=margin,
    )


def break_tie(
    program: CreditProgram,
    columns: Columns,
    found: Solution,
    tolerance: float,
    again: Again,
) -> Solution:
    """Among several optima take the one of smallest norm, and say that there were several.

    Parameters
    ----------
    program : CreditProgram
    columns : Columns
    found : Solution
        One of them, proved.
    tolerance : float
    again : callable
        Solves another program as this one was solved.
    """
    if not tie_break.may_tie(program):
        return found
    tied = tie_break.tied(program, found.x, found.duals.rows, found.duals.bounds)
    if tied is False:
        return found
    unknown = f"{found.message}; whether other shares tie is not known"
    second = tie_break.smallest_norm_program(program, found.x)
    of_second = columns.like(second)
    for candidate in again(second, of_second):
        w, smallest = _examined(second, of_second, candidate, tolerance)
        if smallest.certificate.holds:
            break
    else:
        return replace(found, unique=None, message=unknown)
    seen = examine(program, w, found.duals.rows, tolerance, columns)
    if not seen.certificate.holds:
        return replace(found, unique=None, message=unknown)
    moved = float(np.abs(w - found.x).max()) / float(np.abs(found.x).max() or 1.0)
    if moved <= _SAME_SHARES and not tied:
        return replace(found, unique=None, message=unknown)
    return replace(
        found,
        x=_frozen(w),
        objective=seen.objective,
        duals=Duals(_frozen(seen.y), _frozen(seen.z)),
        certificate=seen.certificate,
        exposure=_frozen(seen.exposure),
        unique=False,
        message=f"{found.message}; other shares do as well, the smallest norm is taken",
    )


def _frozen(array: Vector) -> Vector:
    array = np.asarray(array, dtype=np.float64)
    array.flags.writeable = False
    return array
