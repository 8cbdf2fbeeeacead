"""One call for a program with any of the controls, and what prices and reasons are read from.

The answer comes with a *local plain program*: the program as it was given, with rows for groups,
return and robust targets, and with costs in the place of what has a kink (moving away from the
current book, the worst periods). The shares are its optimum, with the same multipliers of the same
rows, so that whatever is read off the optimality conditions of a plain program stays right.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.program.certificate import UNDIVERSIFIED, examine
from credit_portfolio.program.rewriting import altered
from credit_portfolio.program.robust import cones, with_tangents
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.proved import Contact, Cut, local_solution, whole_certificate
from credit_portfolio.solvers.solution import Duals, Solution
from credit_portfolio.solvers.tangents import Solver, solve_with_cuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.certificate import Certificate
    from credit_portfolio.program.controls import Controls
    from credit_portfolio.program.cvar import Tail
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Controlled:
    """A proved answer of ``solve_controlled``.

    Attributes
    ----------
    solution : Solution
        Shares, with the multipliers of ``program``'s rows and its certificate. Its objective is
        that of ``program``, whose linear term stands in for costs; see ``objective``.
    program : CreditProgram
        The local plain program: the given rows, then groups, expected return, robust rows.
    certificate : Certificate
        Of the shares in the program as it was asked.
    objective : float
        What was minimised: variance (or CVaR and its part of the variance), linear and moving
        costs.
    lower_bound : float
        No shares have an objective below it: proved; −inf where nothing is.
    variance : float
        ‖F w‖² + wᵀDw.
    cvar : float or None
        Mean loss of the worst periods, where it was the objective.
    turnover : float or None
        ½ Σ|w − w⁰|, where there is a current book.
    moving_cost : float
        Σ κ|w − w⁰|.
    moving_price : float
        Multiplier of the limit on turnover: the objective falls by so much per unit of it.
    period_weights : ndarray or None, shape (m,)
        The mix of periods that is the worst one, with which CVaR's price of a share is made.
    how : str
        What was solved, in a sentence.
    solves : int
        Plain programs that were solved.
    contact : Contact or None
        To start much the same program from.
    """

    solution: Solution
    program: CreditProgram
    certificate: Certificate
    objective: float
    lower_bound: float
    variance: float
    cvar: float | None
    turnover: float | None
    moving_cost: float
    moving_price: float
    period_weights: Vector | None
    how: str
    solves: int
    contact: Contact | None = field(repr=False)


def solve_controlled(
    program: CreditProgram,
    controls: Controls,
    solver: str = "auto",
    *,
    tolerance: float = 1e-9,
    start: Contact | None = None,
    solve_one: Solver = solve,
) -> Controlled:
    """Find the best shares under all controls together, and prove it.

    Parameters
    ----------
    program : CreditProgram
        Its first columns are the customers. Further ones are auxiliary variables with rows of their
        own; whoever branches on them solves each branch by this function, as a relaxation, and
        reads ``lower_bound`` and ``solution.x``.
    controls : Controls
    solver : str, default "auto"
    tolerance : float, default 1e-9
    start : Contact, optional
        The ``contact`` of an answer to much the same program.
    solve_one : callable, optional
        Takes the place of ``solve`` for the plain programs.

    Returns
    -------
    Controlled
        With a status of optimal, infeasible, unbounded (each proved) or failed in ``solution``.

    Raises
    ------
    ModelError, DataError
        For controls that contradict themselves or do not fit the program.
    InfeasibleError
        For a single control that limits, floors and budget alone rule out, with the numbers.

    Examples
    --------
    >>> from credit_portfolio.program.controls import Controls
    >>> from credit_portfolio.program.turnover import Turnover
    >>> from credit_portfolio.program.program import CreditProgram
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.04], rows=[[1, 1]], row_lower=1,
    ...                         row_upper=1, row_names=["budget"])
    >>> found = solve_controlled(program, Controls(turnover=Turnover([0.5, 0.5], limit=0.1)))
    >>> found.solution.x.round(9), round(found.turnover, 9)
    (array([0.6, 0.4]), 0.1)
    """
    base = controls.with_plain_rows(program)
    wide = controls.prepared(base)
    cut = solve_with_cuts(
        wide,
        controls.robust,
        solver,
        tolerance,
        turnover=controls.turnover,
        customers=controls.customers if wide is base else controls.customers or base.n_customers,
        start=start,
        solve_one=solve_one,
    )
    return _laid_out(base, wide, controls, cut)


def _laid_out(base: CreditProgram, wide: CreditProgram, controls: Controls, cut: Cut) -> Controlled:
    """Take an answer back to the columns of the given program."""
    if cut.contact is None:
        return _without_answer(base, wide, cut)
    n, tail, turnover = base.n_customers, controls.tail, controls.turnover
    w = cut.solution.x[:n]
    found = Controlled(
        solution=cut.solution,
        program=cut.program,
        certificate=cut.certificate,
        objective=cut.objective,
        lower_bound=cut.lower_bound,
        variance=altered(base, linear=np.zeros(n)).objective(w),
        cvar=None,
        turnover=None if turnover is None else turnover.of(w),
        moving_cost=0.0 if turnover is None else turnover.paid(w),
        moving_price=cut.moving,
        period_weights=None,
        how=cut.solution.message,
        solves=cut.solves,
        contact=cut.contact,
    )
    return found if tail is None else _without_tail(base, wide, controls, cut, tail, found)


def _without_tail(
    base: CreditProgram,
    wide: CreditProgram,
    controls: Controls,
    cut: Cut,
    tail: Tail,
    found: Controlled,
) -> Controlled:
    """Drop the auxiliary columns of CVaR: the worst mix of periods is a cost of its own."""
    n, q, m = base.n_customers, base.n_rows, tail.returns.shape[0]
    y, w = cut.solution.duals.rows, cut.solution.x[:n].copy()
    mix = tail.mix(-y[q : q + m])
    moving = cut.program.linear[:n] - wide.linear[:n]
    local = _local(base, controls, tail, w, moving, mix)
    seen = examine(local, w, np.concatenate([y[:q], y[q + m :]]), cut.certificate.tolerance)
    risk, losses = tail.of(w), tail.losses(w)
    part, cost = tail.variance_weight * found.variance, float(base.linear @ w)
    size = part + abs(risk) + abs(cost) + found.moving_cost
    # Where good and bad periods cancel, what they are made of counts a little, as it does for the
    # terms of a variance.
    size += UNDIVERSIFIED * float(np.abs(losses).max() + np.abs(base.linear) @ np.abs(w))
    # What the mix of periods misses of the worst one, and what was lost in moving already.
    loss = max(risk - float(mix @ losses), 0.0) + cut.loss
    whole = whole_certificate(seen, loss, cut.outside, size)
    objective = risk + part + cost + found.moving_cost
    solution = local_solution(cut.solution, w, seen, whole, cut.solution.message)
    proved = whole.dual <= whole.tolerance and np.isfinite(whole.gap)
    return replace(
        found,
        solution=solution,
        program=local,
        certificate=whole,
        objective=objective,
        lower_bound=objective - whole.gap * size if proved else -np.inf,
        cvar=risk,
        period_weights=mix,
        how=solution.message,
    )


def _local(
    base: CreditProgram, controls: Controls, tail: Tail, w: Vector, moving: Vector, mix: Vector
) -> CreditProgram:
    """Return the program in shares alone, at given costs of moving and a given mix of periods."""
    linear = base.linear + moving
    linear[: tail.returns.shape[1]] -= mix @ tail.returns
    weight = tail.variance_weight
    scaled = altered(
        base,
        factors=np.sqrt(weight) * base.factors if weight > 0 else np.zeros((0, w.size)),
        idiosyncratic=weight * base.idiosyncratic,
        linear=linear,
    )
    return with_tangents(scaled, cones(controls.robust), w)


def _without_answer(base: CreditProgram, wide: CreditProgram, cut: Cut) -> Controlled:
    """Say that nothing was found, with multipliers of the given rows only."""
    nothing = np.full(base.n_customers, np.nan)
    y = cut.solution.duals.rows
    rows = np.concatenate([y[: base.n_rows], y[wide.n_rows :]])
    solution = replace(
        cut.solution,
        x=nothing,
        duals=Duals(rows, nothing),
        exposure=np.full(base.n_factors, np.nan),
    )
    return Controlled(
        solution=solution,
        program=base,
        certificate=cut.certificate,
        objective=cut.solution.objective,
        lower_bound=cut.lower_bound,
        variance=np.nan,
        cvar=None,
        turnover=None,
        moving_cost=np.nan,
        moving_price=np.nan,
        period_weights=None,
        how=cut.solution.message,
        solves=cut.solves,
        contact=None,
    )
