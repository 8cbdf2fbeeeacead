"""Programs with robust rows and a current book, solved by plain programs and proved by one.

A cone is the intersection of its tangents, so that any program with tangents in its place is a
relaxation: infeasible, it proves that the cones are; and where an optimum of it meets the cones, it
is theirs. The tangents that do are those at the optimum itself, so a point w with multipliers is
proved optimal by examining the program with the tangents at w. How w was found does not matter.

It is found by sequential quadratic programming. Tangents alone (Kelley's method) crawl, since
between them the solution jumps along the faces. So the curvature that the cones add to the
Lagrangian, λ z/2 times the Hessian of ‖s∘w‖, goes into the objective of the next program. That
Hessian is (diag(s²) − g gᵀ)/N with N = ‖s∘v‖ and g = s²∘v/N; the first part is a diagonal and keeps
the program's form. What is left out has one direction for each cone, and the last few steps tell
enough about so few directions to make up for it (Anderson's extrapolation of the point of contact).

Where this does not settle, the cones may have no common point. The least total violation of them
is a program of the same kind that always has one, and its multipliers prove it.

References
----------
J. E. Kelley, "The cutting-plane method for solving convex programs", Journal of SIAM 8 (1960).
D. G. Anderson, "Iterative procedures for nonlinear integral equations", Journal of the ACM 12
(1965).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from credit_portfolio.program.certificate import examine, infeasibility_margin
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.rewriting import altered, beside, check_customers
from credit_portfolio.program.robust import Cone, RobustRow, cones, with_tangents
from credit_portfolio.program.turnover import Split, Turnover, moving_slopes, split_turnover
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.feasibility import WEIGHTY
from credit_portfolio.solvers.proved import (
    Contact,
    Cut,
    local_solution,
    size_of_terms,
    whole_certificate,
)
from credit_portfolio.solvers.solution import Duals, Solution, Status
from credit_portfolio.solvers.tie_break import smallest_norm_program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

# Random programs of all sizes take 1 to 15 steps. Where so many do not settle it, the cones have no
# common point or hardly any, which is found out first; with hardly any it takes up to 50.
_STEPS, _MORE = 20, 60
# So many points of contact are extrapolated: with more, a change of who is at a bound, which they
# remember, misleads longer than it helps.
_REMEMBERED = 3
# Differences of steps that depend on each other to this part say nothing new.
_DEPENDENT = 1e-10
# A norm of less than this part of what the largest share could make has no curvature to speak of:
# it is a kink, and the program would become one of 1e9 times the others' curvature.
_KINK = 1e-9
# Optima are called different when shares differ by more than this part of the largest share: the
# square root of the default tolerance, since a gap of ε leaves shares uncertain by about √ε.
SAME_SHARES = 3e-5
# A fixed seed: the same program gives the same answer, bit for bit.
SEED = 20241111
# Own variance in the search for the least violation: enough for one answer, and too little to
# matter beside a violation of a millionth.
_LITTLE = 1e-9


class Solver(Protocol):
    """Whatever solves a plain program and proves its answer, as ``solve`` does."""

    def __call__(
        self, program: CreditProgram, solver: str, *, tolerance: float, start: Solution | None
    ) -> Solution:
        """Return a checked answer."""


def solve_with_cuts(
    program: CreditProgram,
    robust_rows: Sequence[RobustRow] = (),
    solver: str = "auto",
    tolerance: float = 1e-9,
    *,
    turnover: Turnover | None = None,
    customers: int | None = None,
    start: Contact | None = None,
    solve_one: Solver = solve,
) -> Cut:
    """Solve a program with robust rows, and with a current book where there is one.

    Parameters
    ----------
    program : CreditProgram
        Its first columns are the customers; further ones are auxiliary.
    robust_rows : sequence of RobustRow
    solver : str, default "auto"
    tolerance : float, default 1e-9
        Of the certificate; the cones' violation, relative to their terms, is a part of it.
    turnover : Turnover, optional
    customers : int, optional
        How many of the columns are customers, where some are auxiliary. Those have no part in the
        norm that decides between several optima.
    start : Contact, optional
        From the answer of much the same program.
    solve_one : callable, optional
        Takes the place of ``solve``.

    Returns
    -------
    Cut
        Its status is optimal, infeasible, unbounded (each proved) or failed; nothing is raised.

    Raises
    ------
    ModelError
        For robust rows of another number of customers or with a name twice.
    InfeasibleError
        For a limit on turnover that bounds and budget alone rule out.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.04], rows=[[1, 1]], row_lower=1,
    ...                         row_upper=1, row_names=["budget"])
    >>> row = RobustRow("loss", [0.2, 0.1], [0.05, 0.01], factor=2.0, upper=0.21)
    >>> cut = solve_with_cuts(program, [row])
    >>> cut.solution.status, cut.solution.x.round(4), row.worst(cut.solution.x)[1].round(6)
    (<Status.OPTIMAL: 'optimal'>, array([0.5463, 0.4537]), np.float64(0.21))
    """
    which = cones(robust_rows)
    for cone in which:
        check_customers(f"the robust row {cone.name!r}", cone.row.mean.size, program, customers)
    split = None if turnover is None else split_turnover(program, turnover, customers)
    search = _Search(program, which, split, solver, tolerance, solve_one)
    found = search.run(start, _STEPS)
    if which and found.solution.status is Status.FAILED:
        found = _settled(search, found)
    if found.solution.unique is False and (split is not None or customers is not None):
        return search.least_norm(found, customers or program.n_customers)
    return found


class _Search:
    """One program with its cones and its current book, and what was solved of it so far."""

    def __init__(
        self,
        program: CreditProgram,
        which: list[Cone],
        split: Split | None,
        solver: str,
        tolerance: float,
        solve_one: Solver,
    ) -> None:
        self.program, self.cones, self.split = program, which, split
        self.solver, self.tolerance, self.solve_one = solver, tolerance, solve_one
        self.solves = 0
        self._like: CreditProgram | None = None
        self._last: Solution | None = None

    def run(self, start: Contact | None, steps: int) -> Cut:
        """Step until the point is proved, or a relaxation proves that there is none."""
        at = np.zeros(self.program.n_customers) if start is None else start.at
        weights = np.zeros(len(self.cones)) if start is None else start.weights
        self._last = None if start is None else start.solution
        past: list[tuple[Vector, Vector]] = []
        best: Cut | None = None
        for _ in range(steps if self.cones else 1):
            solution, w, y, mu = self._step(at, weights)
            if solution.status in (Status.INFEASIBLE, Status.UNBOUNDED):
                return self._without_answer(solution)
            if not np.isfinite(w).all():
                return best or self._without_answer(solution)
            if self.cones and self._may_tie() and (weights.any() or not solution.unique):
                # The curvature that was added makes one answer of several; and where the program
                # with tangents has several, the cones may leave one.
                solution = replace(solution, unique=None)
            weights = np.abs(y[self.program.n_rows :])
            cut = self._examined(solution, w, y, mu, weights)
            if best is None or not cut.certificate.worst > best.certificate.worst:
                best = cut
            if cut.certificate.holds:
                return cut
            at = self._next(past, at, w)
        return best or self._without_answer(solution)

    def _step(self, at: Vector, weights: Vector) -> tuple[Solution, Vector, Vector, float]:
        """Solve the program with tangents at a point, and the curvature of its cones there."""
        source = with_tangents(_bent(self.program, self.cones, at, weights), self.cones, at)
        solved = source
        if self.split is not None:
            solved = replace(self.split, source=source).translated(self._like)
            self._like = solved
        start = self._last if self.solver in ("auto", "dual_newton") else None
        if start is not None and not _fits(start, solved):
            start = None
        solution = self.solve_one(solved, self.solver, tolerance=self.tolerance, start=start)
        self.solves += 1
        self._last = solution if np.isfinite(solution.x).all() else None
        w = solution.x if self.split is None else self.split.shares(solution.x)
        y = solution.duals.rows
        limited = self.split is not None and self.split.turnover.limited
        mu = float(max(y[-1], 0.0)) if limited else 0.0
        return solution, np.asarray(w), y[: source.n_rows], mu

    def _examined(
        self, solution: Solution, w: Vector, y: Vector, mu: float, weights: Vector
    ) -> Cut:
        """Recompute from the program, with tangents at w, what a point proves."""
        local = with_tangents(self.program, self.cones, w)
        loss = outside = paid = 0.0
        if self.split is not None:
            turnover = self.split.turnover
            slopes = moving_slopes(local, turnover, w, y, mu)
            loss, outside, paid = slopes.loss, slopes.outside, turnover.paid(w)
            linear = local.linear.copy()
            linear[: slopes.linear.size] += slopes.linear
            local = altered(local, linear=linear)
        seen = examine(local, w, y, self.tolerance)
        asked = self.program.objective(w) + paid
        scale = seen.scale if self.split is None else size_of_terms(self.program, seen, w, paid)
        whole = whole_certificate(seen, loss, outside, scale)
        return Cut(
            solution=local_solution(solution, w, seen, whole, self._how(solution)),
            program=local,
            certificate=whole,
            objective=asked,
            scale=scale,
            loss=loss,
            outside=outside,
            moving=mu,
            solves=self.solves,
            contact=Contact(w, weights, solution),
        )

    def least_norm(self, found: Cut, customers: int) -> Cut:
        """Of several optima take the shares of smallest norm, whatever auxiliary columns are."""
        unknown = replace(
            found,
            solution=replace(
                found.solution,
                unique=None,
                message=f"{found.solution.message}; whether other shares tie is not known",
            ),
        )
        if self.cones or found.contact is None:
            return unknown
        w = found.contact.at
        if self.split is None:
            solved, x = self.program, w
            own = (np.arange(w.size) < customers).astype(np.float64)
            linear = np.zeros_like(own)
        else:
            solved, x = self.split.translated(self._like), self.split.point(w)
            own, linear = self.split.norm_terms(customers)
        second = altered(smallest_norm_program(solved, x), idiosyncratic=own, linear=linear)
        least = self._another(second, found)
        if least is None:
            return unknown
        if self._moved(least, w, customers):
            return _named(least, False, self._how(found.contact.solution))
        # The least norm was found at once. Other optima can only be told by looking for them: at
        # two ends of the optimal set, in a direction that is hardly square to a set of many points.
        aside = np.random.default_rng(SEED).normal(size=own.size) * (own > 0)
        if self.split is not None:
            aside[self.program.n_customers :] = aside[self.split.cut]
        for end in (aside, -aside):
            other = self._another(altered(second, linear=linear + end), found)
            if other is not None and self._moved(other, w, customers):
                return _named(least, False, self._how(found.contact.solution))
        return _named(least, None, self._how(found.contact.solution))

    def _may_tie(self) -> bool:
        n = min(cone.row.mean.size for cone in self.cones)
        free = self.program.lower[:n] < self.program.upper[:n]
        return int((free & (self.program.idiosyncratic[:n] == 0)).sum()) > 1

    def _another(self, program: CreditProgram, found: Cut) -> Cut | None:
        """Solve a program over the optimal set; what it gives must be an optimum as well."""
        solution = self.solve_one(program, self.solver, tolerance=self.tolerance, start=None)
        self.solves += 1
        if solution.status is not Status.OPTIMAL or found.contact is None:
            return None
        v = solution.x.copy() if self.split is None else self.split.shares(solution.x)
        first = found.contact.solution
        y = first.duals.rows[: self.program.n_rows]
        cut = self._examined(first, v, y, found.moving, found.contact.weights)
        return cut if cut.solution.status is Status.OPTIMAL else None

    def _moved(self, cut: Cut, w: Vector, customers: int) -> bool:
        apart = np.abs(cut.solution.x - w)[:customers].max()
        return bool(apart > SAME_SHARES * (np.abs(w[:customers]).max() or 1.0))

    def _how(self, solution: Solution) -> str:
        parts = [solution.message]
        if self.cones:
            parts.append(f"{len(self.cones)} cones settled by tangents in {self.solves} programs")
        if self.split is not None:
            parts.append(f"{self.split.cut.size:,} shares cut at the current book")
        return "; ".join(parts)

    def _without_answer(self, solution: Solution) -> Cut:
        n, q = self.program.n_customers, self.program.n_rows + len(self.cones)
        y = np.zeros(q)
        y[:] = solution.duals.rows[:q]
        nothing = np.full(n, np.nan)
        # A relaxation without end says nothing about the cones it leaves out.
        unbounded = solution.status is Status.UNBOUNDED and self.cones
        told = replace(
            solution,
            status=Status.FAILED if unbounded else solution.status,
            x=nothing,
            duals=Duals(y, nothing),
            message=self._how(solution),
        )
        return Cut(
            solution=told,
            program=self.program,
            certificate=solution.certificate,
            objective=solution.objective,
            scale=np.nan,
            loss=np.nan,
            outside=np.nan,
            moving=0.0,
            solves=self.solves,
            contact=None,
        )

    def _next(self, past: list[tuple[Vector, Vector]], at: Vector, w: Vector) -> Vector:
        """Where to touch next: the last answer, less what the steps before it say is left."""
        past.append((at, w))
        del past[:-_REMEMBERED]
        # The first step starts from nothing and tells nothing about the later ones.
        if len(past) < 2 or not past[0][0].any():
            return w
        step = np.array([answer - point for point, answer in past])
        answers = np.array([answer for _, answer in past])
        change = np.diff(step, axis=0)
        gram = change @ change.T
        size = np.sqrt(np.maximum(np.diagonal(gram), np.finfo(float).tiny))
        part = np.linalg.lstsq(
            gram / np.outer(size, size), change @ step[-1] / size, rcond=_DEPENDENT
        )[0]
        ahead = w - (part / size) @ np.diff(answers, axis=0)
        inside: Vector = np.clip(ahead, self.program.lower, self.program.upper)
        return inside


def _named(cut: Cut, unique: bool | None, how: str) -> Cut:
    said = "whether other shares tie is not known"
    if unique is False:
        said = "other shares do as well, the smallest norm is taken"
    told = replace(cut.solution, unique=unique, message=f"{how}; {said}")
    return replace(cut, solution=told)


def _fits(start: Solution, program: CreditProgram) -> bool:
    found = start.exposure.size, start.duals.rows.size
    return found == (program.n_factors, program.n_rows)


def _bent(
    program: CreditProgram, which: Sequence[Cone], at: Vector, weights: Vector
) -> CreditProgram:
    """Add λ z/2N (w − v)ᵀdiag(s²)(w − v), the cones' curvature at v, to the objective."""
    if not weights.any():
        return program
    own, linear = program.idiosyncratic.copy(), program.linear.copy()
    for cone, weight in zip(which, weights, strict=True):
        spread = cone.row.spread
        n = spread.size
        least = _KINK * float(spread.max()) * float(np.abs(at).max())
        size = max(cone.norm(at), least)
        if weight > 0 and size > 0:
            bend = (0.5 * weight * cone.row.factor / size) * spread**2
            own[:n] += bend
            linear[:n] -= 2.0 * bend * at[:n]
    return altered(program, idiosyncratic=own, linear=linear)


# --- nothing that meets all cones ----------------------------------------------------------------


def _settled(search: _Search, failed: Cut) -> Cut:
    """Prove that the cones have no common point, or go on from a point that they have.

    The least that all cones can be missed by, each relative to its own size, is found by the same
    method. At its end the tangents and their multipliers are those of Farkas.
    """
    program, which = search.program, search.cones
    elastic, loose = _elastic(program, which)
    split = None
    if search.split is not None and search.split.turnover.limited:
        book = search.split.turnover
        free = Turnover(book.current, book.limit, gone=book.gone)
        split = Split(elastic, free, search.split.cut)
    again = _Search(elastic, loose, split, search.solver, search.tolerance, search.solve_one)
    found = again.run(None, _MORE)
    search.solves += again.solves
    if found.contact is None:
        return replace(failed, solves=search.solves)
    n = program.n_customers
    relaxed = with_tangents(program, which, found.contact.at[:n])
    if split is not None:
        relaxed = Split(relaxed, split.turnover, split.cut).translated()
    y = found.contact.solution.duals.rows
    margin = infeasibility_margin(relaxed, y)
    if not margin > search.tolerance:
        weights = np.zeros(len(which)) if failed.contact is None else failed.contact.weights
        start = Contact(found.contact.at[:n], weights, found.contact.solution)
        return search.run(start, _MORE)
    weighty = np.flatnonzero(np.abs(y) > WEIGHTY * np.abs(y).max())
    conflict = {relaxed.row_names[r]: float(y[r]) for r in weighty}
    nothing = np.full(n, np.nan)
    told = replace(
        failed.solution,
        status=Status.INFEASIBLE,
        x=nothing,
        objective=np.inf,
        duals=Duals(y[: program.n_rows + len(which)], nothing),
        unique=None,
        conflict=conflict,
        margin=margin,
        message=(
            f"the least violation of {len(which)} cones is above zero ({search.solves} programs); "
            f"proved infeasible by tangents there: {', '.join(conflict)} cannot hold together"
        ),
    )
    return replace(failed, solution=told, objective=np.inf, solves=search.solves, contact=None)


def _elastic(program: CreditProgram, which: Sequence[Cone]) -> tuple[CreditProgram, list[Cone]]:
    """Return the program of least violation, and its cones: all loosened by one column.

    The column counts in the size of each cone's row, so that no unit decides which cone gives way,
    and may be negative: then the cones have room to spare. Where they have hardly any, a column
    that ended at zero would leave it open which of them press.
    """
    n = program.n_customers
    rows = []
    for cone in which:
        mean, spread = np.zeros(n + 1), np.zeros(n + 1)
        mean[: cone.row.mean.size] = cone.row.mean
        spread[: cone.row.spread.size] = cone.row.spread
        mean[n] = -cone.side * max(float(np.abs(cone.row.mean).max()), np.finfo(float).tiny)
        bound = {"upper": cone.row.upper} if cone.side > 0 else {"lower": cone.row.lower}
        rows.append(RobustRow(cone.name, mean, spread, cone.row.factor, **bound))
    elastic = CreditProgram(
        idiosyncratic=np.full(n + 1, _LITTLE),
        linear=np.concatenate([np.zeros(n), [1.0]]),
        rows=beside([program.rows, np.zeros((program.n_rows, 1))]),
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        lower=np.append(program.lower, -np.inf),
        upper=np.append(program.upper, np.inf),
        row_names=program.row_names,
    )
    return elastic, cones(rows)
