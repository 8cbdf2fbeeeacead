"""Programs with alternatives, solved by branch and bound with a proof.

A box (bounds of the shares, and who may still reach each peak) is relaxed to a convex program,
whose multipliers prove a lower bound for everything in it. The box with the lowest bound is next;
it is cut at the kink, the minimum line or the choice that its relaxation gets most wrong. A cut
makes the relaxation exact there, so that the search ends; how soon is up to the bounds.

What is returned holds whether it ended or not: an objective that was reached, a bound below which
nothing is, and which of the two is missing to call it the optimum.

``relaxation`` has the convex side and the bounds, ``propagation`` what rows say of bounds, ``cuts``
the branches, ``search`` the order in which all that happens.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError
from credit_portfolio.program.alternatives import Alternatives, plain
from credit_portfolio.program.columns import workers
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.last_piece import last_piece
from credit_portfolio.solvers.search import Search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]

# The last piece is proved as any program is, also where the search was asked for less.
_CERTIFIED = 1e-9


class BranchStatus(StrEnum):
    """What was proved."""

    OPTIMAL = "optimal"
    BOUND = "bound only"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, eq=False, slots=True)
class Branched:
    """An answer of ``branch``, and how far it is proved.

    Attributes
    ----------
    status : BranchStatus
        "optimal": no allowed shares have an objective lower by more than the tolerance.
        "bound only": the limit of boxes or seconds was reached before that; what was proved is
        ``bound``. "infeasible": proved that no shares are allowed.
    shares : ndarray, shape (n_shares,)
        The best that were found, NaN where there are none.
    objective : float
        Theirs; +inf where there are none.
    bound : float
        No allowed shares have a lower objective; +inf for an infeasible program.
    gap : float
        (objective − bound) relative to the objective, 0 at the least; +inf without shares.
    nodes : int
        Boxes that were relaxed.
    open_nodes : int
        Boxes that are left.
    solution : Solution or None
        Of ``program``: the shares as the optimum of the last convex piece, with its certificate and
        prices. Those are prices within the piece.
    program : CreditProgram or None
        The last convex piece, over the shares alone; its first rows are those of the given program.
    conflict : dict of str to float
        For a program that is infeasible before any branch: the rows that cannot hold together.
    message : str
    tolerance, seconds : float
    """

    status: BranchStatus
    shares: Vector
    objective: float
    bound: float
    gap: float
    nodes: int
    open_nodes: int
    solution: Solution | None
    program: CreditProgram | None
    conflict: dict[str, float]
    message: str
    tolerance: float
    seconds: float

    def __repr__(self) -> str:
        return (
            f"Branched({self.status}, objective={self.objective:.9g}, bound={self.bound:.9g}, "
            f"gap={self.gap:.1e}, nodes={self.nodes:,})\n{self.message}"
        )


def branch(
    stated: Alternatives | CreditProgram,
    *,
    tolerance: float = 1e-9,
    max_nodes: int = 20_000,
    max_seconds: float = 60.0,
    start: Vector | None = None,
) -> Branched:
    """Find the shares of least variance where conditions branch, and prove how good they are.

    Parameters
    ----------
    stated : Alternatives or CreditProgram
    tolerance : float, default 1e-9
        The relative gap at which an answer counts as optimal.
    max_nodes : int, default 20,000
        Boxes to relax, about.
    max_seconds : float, default 60
        Wall time after which no further box is begun. An answer that was cut short may differ from
        run to run; its bound holds in each.
    start : ndarray, shape (n_shares,), optional
        Shares to begin from, as today's book. They are dropped where they miss a condition.

    Returns
    -------
    Branched

    Raises
    ------
    ModelError
        For a tolerance that is not between 0 and 1, limits below 1 node or 0 seconds, a column
        without an upper bound, or a start of another length.

    Examples
    --------
    >>> import credit_portfolio as cp
    >>> from credit_portfolio.program.alternatives import with_minimum_line
    >>> program = cp.CreditProgram(
    ...     idiosyncratic=[0.01, 0.02, 0.04], rows=[[1, 1, 1]], row_lower=1, row_upper=1
    ... )
    >>> found = branch(with_minimum_line(program, 0.3))
    >>> found.status, found.shares.round(6)
    (<BranchStatus.OPTIMAL: 'optimal'>, array([0.666667, 0.333333, 0.      ]))
    """
    began = time.perf_counter()
    stated = plain(stated) if isinstance(stated, CreditProgram) else stated
    given = None if start is None else np.asarray(start, dtype=np.float64)
    _check(stated, tolerance, max_nodes, max_seconds, given)
    with workers(stated.program.n_customers):
        search = Search(stated, tolerance, began + max_seconds, max_nodes)
        search.run(given)
        return _told(search, began)


def _check(
    stated: Alternatives, tolerance: float, nodes: int, seconds: float, start: Vector | None
) -> None:
    if not 0 < tolerance < 1:
        raise ModelError(f"tolerance is {tolerance}; expected a number between 0 and 1, as 1e-9")
    if not nodes >= 1:
        raise ModelError(f"max_nodes is {nodes}; expected 1 or more")
    if not seconds > 0:
        raise ModelError(f"max_seconds is {seconds}; expected a time above 0")
    if start is None:
        return
    if start.shape != (stated.n_shares,):
        raise ModelError(
            f"start has shape {start.shape}; expected ({stated.n_shares},), one share for each"
        )
    if not np.isfinite(start).all():
        raise ModelError("start has NaN or infinite shares; every share must be a number")


def _told(search: Search, began: float) -> Branched:
    """Put together what a search found."""
    bound, left = search.bound(), search.left()
    objective, gap = search.objective, np.inf
    shares = np.full(search.stated.n_shares, np.nan)
    solution, program, note = None, None, ""
    if search.best is not None:
        shares = search.best[: search.stated.n_shares].copy()
        program = last_piece(search.stated, search.best)
        solution = solve(program, tolerance=min(search.tolerance, _CERTIFIED))
        if solution.status == "optimal":
            shares, objective = solution.x.copy(), solution.objective
        else:
            note = f"; the last piece by itself was not certified: {solution.message}"
        gap = max(0.0, (objective - bound) / (search.size(search.best) or 1.0))
    if search.best is None and left == 0:
        status, message = BranchStatus.INFEASIBLE, _why_infeasible(search)
    elif gap <= search.tolerance:
        status = BranchStatus.OPTIMAL
        message = f"proved optimal within {gap:.1e} over {search.nodes:,} boxes"
    else:
        status, message = BranchStatus.BOUND, _why_open(search, left, bound)
    shares.flags.writeable = False
    return Branched(
        status=status,
        shares=shares,
        objective=objective,
        bound=bound,
        gap=gap,
        nodes=search.nodes,
        open_nodes=left,
        solution=solution,
        program=program,
        conflict=search.conflict,
        message=message + note,
        tolerance=search.tolerance,
        seconds=time.perf_counter() - began,
    )


def _why_infeasible(search: Search) -> str:
    if search.conflict:
        return f"proved infeasible: {', '.join(search.conflict)} cannot hold together"
    return f"proved infeasible: nothing is left of any of {max(search.nodes, 1):,} boxes"


def _why_open(search: Search, left: int, bound: float) -> str:
    what = "nothing allowed was found" if search.best is None else "not proved optimal"
    limit = "the limit of boxes" if search.nodes >= search.max_nodes else "the limit of seconds"
    if not search.queue:
        limit = "boxes that rounding leaves undecided"
    return (
        f"{what}: {limit} ended the search with {left:,} boxes open; no allowed shares have an "
        f"objective below {bound:.9g}"
    )
