"""Which conditions of a program conflict, and how far they must move: linear programs, checked.

A condition is one side of a row (at most, at least), all limits together, the largest share, or all
floors together. What is kept of them is a vector of flags::

    [at most: rows 0 … q−1][at least: rows 0 … q−1][limits][largest share][floors]

Every linear program is small in rows and has the customers as columns; HiGHS solves it, and its
answer counts once our own arithmetic finds the point within the rows and the dual bound at its
value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.errors import SolverError
from credit_portfolio.program.certificate import infeasibility_margin, row_violation
from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Sparse = sparse.csr_array[np.float64, tuple[int, int]]

# HiGHS's finest; rows are scaled to a largest entry of one, so that it is a part of the budget.
_HIGHS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
# A point counts as meeting its rows, and a value as the least, up to ten times HiGHS's tolerance.
_CHECKED = 1e-9
# A millionth of the largest multiplier is the simplex method's noise, not a part of a conflict.
_WEIGHTY = 1e-6
# Rows that stay violated at a penalty of one per unit are asked again at more.
_PENALTIES = (1e3, 1e6, 1e9)
# Columns of the small programs into which a large one is cut; HiGHS takes 0.1 s for so many, and
# minutes for a hundred thousand in one piece.
_WORKING = 4_000
_STEPS, _JUMPS = 24, 16
# Where only feasibility is asked, columns get random costs up to these parts of the penalty: the
# first that leaves no violation, or a proof of one, will do.
_TILTS = (1e-4, 1e-7, 1e-10)
# The cut program ends at this part of its value, or of one: tighter than what is checked.
_SIFTED = 2e-10
# Newton's method on one bound ends at a conflict of this margin, a part of its terms.
_FEASIBLE = 1e-10
# A budget that would have to fall below a millionth of itself is no way out.
_SMALLEST = 1e-6
# Where that leaves a large program undecided, the bound moves on by these parts of itself: far less
# than the millionth that is told from feasible.
_NUDGES = np.array([1e-8, 1e-8, 1e-7, 1e-7])
# Reduced costs below this part of their terms are rounding: an open bound may not multiply them.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False, slots=True)
class Terms:
    """A program with its bounds on shares told apart by what they stem from.

    Attributes
    ----------
    program : CreditProgram
    limits : ndarray, shape (n,)
        Limits as parts of the budget, +inf for none; not cut by the largest share.
    largest : float
        The largest share of one customer, +inf for none.
    in_money : ndarray of bool, shape (q,)
        Rows whose bound is an amount of money and stays when the budget moves.
    budget : int or None
        The budget's row.
    """

    program: CreditProgram
    limits: Vector
    largest: float
    in_money: Mask
    budget: int | None

    @property
    def existing(self) -> Mask:
        """The conditions that there are, shape (2q + 3,)."""
        p = self.program
        return np.concatenate(
            [
                np.isfinite(p.row_upper),
                np.isfinite(p.row_lower),
                [
                    bool(np.isfinite(self.limits).any()),
                    bool(np.isfinite(self.largest)),
                    bool((p.lower > 0).any()),
                ],
            ]
        )

    def only(self, kept: Mask) -> CreditProgram:
        """Return the rows and bounds of the conditions that are kept; all others are open."""
        p, q = self.program, self.program.n_rows
        limits, largest, floors = kept[2 * q :]
        upper = np.minimum(self.limits if limits else np.inf, self.largest if largest else np.inf)
        return CreditProgram(
            rows=p.rows,
            row_lower=np.where(kept[q : 2 * q], p.row_lower, -np.inf),
            row_upper=np.where(kept[:q], p.row_upper, np.inf),
            lower=p.lower if floors else np.minimum(p.lower, 0.0),
            upper=np.broadcast_to(upper, p.lower.shape),
            row_names=p.row_names,
        )


@dataclass(frozen=True, eq=False, slots=True)
class Conflict:
    """Conditions that cannot hold together: flags, and the multipliers that prove it."""

    kept: Mask
    y: Vector


def conflict_of(terms: Terms, kept: Mask, tolerance: float) -> Conflict | None:
    """Find conditions among those kept that conflict; None where a point meets all of them.

    Raises
    ------
    SolverError
        Where neither could be proved.
    """
    part = terms.only(kept)
    w, y = _least_violation(part)
    if infeasibility_margin(part, y) > tolerance:
        proving = _used(terms, part, kept, y)
        # Multipliers below the noise are dropped; where the proof needs them, all stay.
        sharp = np.where(np.abs(y) > _WEIGHTY * np.abs(y).max(), y, 0.0)
        if infeasibility_margin(terms.only(proving), sharp) > tolerance:
            return Conflict(proving, sharp)
        return Conflict(kept, y)
    _check_met(part, w, max(tolerance, _CHECKED))
    return None


def irreducible(terms: Terms, first: Conflict, order: Sequence[int], tolerance: float) -> Conflict:
    """Leave out conditions as long as the rest conflicts: those early in ``order`` go first.

    Each that stays was left out once, and a point met all the others that were kept then.
    """
    found = first
    for c in order:
        if not found.kept[c]:
            continue
        without = found.kept.copy()
        without[c] = False
        smaller = conflict_of(terms, without, tolerance)
        found = found if smaller is None else smaller
    return found


def least_bound(terms: Terms, kept: Mask, condition: int) -> float | None:
    """Find the bound nearest to the present one that one row's side must have, the rest kept.

    Returns
    -------
    float or None
        None where the rest conflicts without it.
    """
    q = terms.program.n_rows
    without = kept.copy()
    without[condition] = False
    sign = 1.0 if condition < q else -1.0
    row = np.asarray(_dense(terms.program.rows[[condition % q]])).ravel()
    size = float(np.abs(row).max()) or 1.0
    part = terms.only(without)
    found = _minimum(sign * row / size, *_sides(part), part.lower, part.upper)
    return None if found is None else sign * found.value * size


def least_raise(terms: Terms, kept: Mask) -> tuple[float, int] | None:
    """Find the least total by which limits must rise, as a part of the budget, and how many do."""
    who = np.isfinite(terms.limits) & (terms.limits < terms.largest)
    room = np.full(int(who.sum()), terms.largest) - terms.limits[who]
    return _least_extra(terms, kept, who, room, +1.0)


def least_lowering(terms: Terms, kept: Mask) -> tuple[float, int] | None:
    """Find the least total by which floors must fall, as a part of the budget, and how many do."""
    who = terms.program.lower > 0
    return _least_extra(terms, kept, who, terms.program.lower[who], -1.0)


def least_largest_share(terms: Terms, kept: Mask) -> float | None:
    """Find the least share that one customer must be allowed, the rest kept; None for none."""
    whole = kept.copy()
    whole[2 * terms.program.n_rows + 1] = False
    part = terms.only(whole)

    def at(share: float) -> CreditProgram | None:
        return _with(part, 1.0, np.ones(part.n_rows, dtype=bool), np.minimum(part.upper, share))

    def slope(share: float, y: Vector, pull: Vector) -> float:
        del y
        return float(pull[(pull < 0) & (part.upper > share)].sum())

    return _first_feasible(at, slope, terms.largest)


def nearest_budget(terms: Terms) -> float | None:
    """Find the budget nearest to today's that makes the whole feasible, as a part of today's.

    In money, x = T w: the budget and all rows that are parts of it move with T, and so does the
    largest share; limits, floors and rows in money stay.

    Returns
    -------
    float or None
        None where no budget above zero does.
    """
    if terms.budget is None:
        return None
    if np.isfinite(terms.largest):
        return _nearest_budget_with_largest_share(terms)
    p = terms.program
    left, right = _sides(p)
    moving = np.where(_stacked(p, ~terms.in_money), right, 0.0)
    # T = 1 + more − less, and a part of T at most b: row − b T ≤ 0.
    both = sparse.csr_array(np.column_stack([-moving, moving]))
    n = p.n_customers
    found = _minimum(
        np.r_[np.zeros(n), 1.0, 1.0],
        sparse.hstack([left, both], format="csr"),
        right,
        np.r_[p.lower, 0.0, 0.0],
        np.r_[p.upper, np.inf, 1.0],
        extra=2,
    )
    if found is None:
        return None
    budget = 1.0 + float(found.x[-2] - found.x[-1])
    return budget if budget > _CHECKED else None


def _nearest_budget_with_largest_share(terms: Terms) -> float | None:
    p, parts = terms.program, ~terms.in_money
    least = float(p.lower.max()) / terms.largest

    def at(budget: float) -> CreditProgram | None:
        if budget <= max(least, _SMALLEST):  # floors above the largest share, or nothing to lend
            return None
        return _with(p, budget, parts, np.minimum(terms.limits / budget, terms.largest))

    def slope(budget: float, y: Vector, pull: Vector) -> float:
        by_share = (pull < 0) & (terms.largest * budget < terms.limits)
        pressed_on = np.where(y > 0, p.row_upper, p.row_lower)
        moving = parts & (y != 0)
        in_money = terms.largest * pull[by_share].sum() - y[moving] @ pressed_on[moving]
        return float(in_money / budget)  # as the excess is, in parts of this budget

    return _first_feasible(at, slope, 1.0)


def _check_met(part: CreditProgram, w: Vector, tolerance: float) -> None:
    """See that a point meets the rows for which no conflict was proved."""
    missed = _missed_part(part, w)
    if missed > 10 * tolerance:
        raise SolverError(
            "whether these conditions can hold together was neither proved nor disproved: a point "
            f"misses one of them by {missed:.1e} of its size; move the bounds apart, or widen the "
            "tolerance"
        )


def _missed_part(part: CreditProgram, w: Vector) -> float:
    """Largest violation of a row, relative to its largest entry or its bound."""
    violation, bound = row_violation(part, part.activity(w))
    size = np.maximum(_largest_entries(part.rows), np.abs(bound))
    return float((violation / size).max(initial=0.0))


def _with(program: CreditProgram, budget: float, parts: Mask, upper: Vector) -> CreditProgram:
    """Return the program in parts of another budget, with these caps."""
    scale = np.where(parts, 1.0, budget)
    return CreditProgram(
        rows=program.rows,
        row_lower=program.row_lower / scale,
        row_upper=program.row_upper / scale,
        lower=program.lower / budget,
        upper=upper,
    )


def _first_feasible(
    at: Callable[[float], CreditProgram | None],
    slope: Callable[[float, Vector, Vector], float],
    start: float,
) -> float | None:
    """Newton's method on one bound θ: move to where the proof of the conflict ends, and look again.

    With the multipliers of a proof fixed, the excess is convex in θ, so that its tangent's root
    never passes a feasible θ; and it is piecewise linear, so that the steps end.
    """
    here, way, nudges = start, 0.0, _NUDGES
    for _ in range(_STEPS):
        part = at(here)
        if part is None:
            return None
        w, y = _least_violation(part)
        if infeasibility_margin(part, y) <= _FEASIBLE:
            if _missed_part(part, w) <= 10 * _CHECKED:
                return here
            # On the border of what can be met a large program may find neither point nor proof.
            if nudges.size == 0:
                break
            here, nudges = here * (1.0 + np.sign(way) * nudges[0]), nudges[1:]
            continue
        pull = _pull(part, y)
        steep = slope(here, y, pull)
        excess = _excess(part, y, pull)
        if steep * way > 0 or abs(steep) <= _ROUNDING * float(np.abs(pull).sum()):
            return None
        way = -steep
        here -= excess / steep
    raise SolverError(
        f"the search for a bound that can be met ended at {here:.9g} without a point or a proof"
    )


def _excess(part: CreditProgram, y: Vector, pull: Vector) -> float:
    """By how much the least of yᵀA w over the bounds is above the most that the rows allow."""
    held = np.where(pull > 0, part.lower, part.upper)
    bounds = np.where(y > 0, part.row_upper, part.row_lower)
    used, pressed_on = pull != 0, y != 0
    return float(pull[used] @ held[used] - y[pressed_on] @ bounds[pressed_on])


def nearest_bounds(terms: Terms, weights: Vector) -> tuple[Vector, Vector] | None:
    """Relax weighed sides of rows at the least weighted total; shape (2q,) each, and w.

    Parameters
    ----------
    terms : Terms
    weights : ndarray, shape (2q,)
        Cost per unit that a side is relaxed, in the order of the flags; +inf keeps it.

    Returns
    -------
    moves : ndarray, shape (2q,)
        By how much each side is relaxed, zero or more.
    w : ndarray, shape (n,)
        Shares that meet the relaxed rows.
    """
    p = terms.program
    left, right = _sides(p)
    _, upper_side, lower_side = _which(p)
    at = np.concatenate([upper_side, p.n_rows + lower_side])
    free = np.flatnonzero(np.isfinite(weights[at]))
    slack = sparse.csr_array(
        (-np.ones(free.size), (free, np.arange(free.size))), shape=(at.size, free.size)
    )
    cost = weights[at[free]]
    unit = float(cost.min(initial=np.inf))
    unit = unit if np.isfinite(unit) else 1.0
    found = _minimum(
        np.concatenate([np.zeros(p.n_customers), cost / unit]),
        sparse.hstack([left, slack], format="csr"),
        right,
        np.concatenate([p.lower, np.zeros(free.size)]),
        np.concatenate([p.upper, np.full(free.size, np.inf)]),
        extra=free.size,
    )
    if found is None:
        return None
    moves = np.zeros(weights.size)
    moves[at[free]] = np.maximum(found.x[p.n_customers :], 0.0)
    return moves, found.x[: p.n_customers]


def pressed(terms: Terms, conflict: Conflict) -> tuple[Mask, Mask, Mask]:
    """Whose limit, whose largest share and whose floor a proof uses; shape (n,) each."""
    pull, part = _pull(terms.program, conflict.y), terms.only(conflict.kept)
    q = terms.program.n_rows
    above = (pull < 0) & np.isfinite(part.upper)
    by_limit = terms.limits <= part.upper
    return (
        above & by_limit & conflict.kept[2 * q],
        above & ~by_limit & conflict.kept[2 * q + 1],
        (pull > 0) & (part.lower > 0),
    )


# --- linear programs ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Found:
    x: Vector
    value: float


def _minimum(
    cost: Vector, left: Any, right: Vector, lower: Vector, upper: Vector, extra: int = 0
) -> _Found | None:
    """Solve min costᵀx, left x ≤ right, lower ≤ x ≤ upper; None where proved infeasible.

    The last ``extra`` columns belong to no customer.
    """
    lp = _Linear(*_scaled(sparse.csr_array(left), right), lower, upper, extra)
    # A large program that has no answer takes long at a penalty: it is asked that first.
    large = cost.size > 2 * _WORKING
    if large and lp.impossible():
        return None
    for penalty in _PENALTIES:
        x, y = lp.elastic(cost, penalty)
        value, missed = float(cost @ x), lp.missed(x)
        bound = _dual_bound(cost, lp, y)
        if missed <= _CHECKED and value - bound <= _CHECKED * max(1.0, abs(value)):
            return _Found(x, value)
        if not large and lp.impossible():
            return None
    raise SolverError(
        f"a linear program of the explanation ended {missed:.1e} outside its rows; expected "
        f"{_CHECKED:.0e}. Scale the rows alike"
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Linear:
    """Rows left x ≤ right, with a largest entry of one; the last columns are no customers'."""

    left: Any
    right: Vector
    lower: Vector
    upper: Vector
    extra: int = 0

    def sizes(self, y: Vector) -> Vector:
        """Bound |left|ᵀy from above, cheaply: no entry is larger than one."""
        return np.full(self.lower.size, float(y.sum()))

    def missed(self, x: Vector) -> float:
        """Largest violation of a row, relative to a bound above one."""
        excess = np.asarray(self.left @ x) - self.right
        return float((excess / np.maximum(np.abs(self.right), 1.0)).max(initial=0.0))

    def impossible(self) -> bool:
        """Whether the least violation of the rows is proved to be above zero."""
        _, y = self.least_violation()
        return _dual_bound(np.zeros_like(self.lower), self, y) > _CHECKED

    def least_violation(self) -> tuple[Vector, Vector]:
        """Find x that violates the rows least or not at all, and the multipliers that prove it."""
        nothing = np.zeros_like(self.lower)
        if nothing.size <= 2 * _WORKING or self.right.size == 0:
            return self.elastic(nothing, 1.0)
        # Where nothing has a price nothing has a place either: a little of one parts the columns.
        prices = np.random.default_rng(1).random(nothing.size)
        for tilt in _TILTS:
            x, y = self.elastic(tilt * prices, 1.0)
            if self.missed(x) <= _CHECKED or _dual_bound(nothing, self, y) > _CHECKED:
                break
        return x, y

    def elastic(self, cost: Vector, penalty: float) -> tuple[Vector, Vector]:
        """Solve min costᵀx + penalty · total violation: x, and the rows' multipliers y ≥ 0."""
        if self.right.size == 0:
            held = np.where(cost > 0, self.lower, np.where(cost < 0, self.upper, 0.0))
            return np.clip(held, self.lower, self.upper), np.zeros(0)
        if cost.size <= 2 * _WORKING:
            every = np.arange(cost.size)
            return self._part(every, cost, penalty, self.right, np.ones(cost.size))
        return self._sifted(cost, penalty)

    def _part(
        self, at: NDArray[np.intp], cost: Vector, penalty: float, right: Vector, times: Vector
    ) -> tuple[Vector, Vector]:
        """Solve over some columns, each standing for as many as ``times`` says."""
        m = right.size
        left = self.left[:, at]
        result = _highs(
            np.concatenate([cost[at], np.full(m, penalty)]),
            sparse.hstack([left, -sparse.eye_array(m)], format="csc"),
            right,
            np.concatenate([self.lower[at] * times, np.zeros(m)]),
            np.concatenate([self.upper[at] * times, np.full(m, np.inf)]),
        )
        if result.status != 0:
            raise SolverError(
                f"a linear program of the explanation did not end: HiGHS says {result.message}"
            )
        x = np.clip(np.asarray(result.x[: at.size]) / times, self.lower[at], self.upper[at])
        return x, np.maximum(-np.asarray(result.ineqlin.marginals), 0.0)

    def _sifted(self, cost: Vector, penalty: float) -> tuple[Vector, Vector]:
        """Solve over the few columns whose place the multipliers leave open, until none is wrong.

        A sample of the columns gives the first multipliers; then all columns lie where these put
        them, but for those nearest to indifference, which a small program places. A sample of the
        others stands in it for all of them, so that multipliers do not swing. Where that alone
        does not end, columns stay where they are and the worst of them join.
        """
        n, random = cost.size, np.random.default_rng(0)
        own, special = n - self.extra, np.arange(n - self.extra, n)
        sample = np.concatenate([random.choice(own, _WORKING, replace=False), special])
        times = np.concatenate([np.full(_WORKING, own / _WORKING), np.ones(special.size)])
        y = self._part(sample, cost, penalty, self.right, times)[1]
        x = np.clip(0.0, self.lower, self.upper)
        movable = self.lower < self.upper
        for step in range(_STEPS):
            jump = step < _JUMPS
            reduced = cost + np.asarray(self.left.T @ y)
            if jump:
                pushed = np.where(reduced > 0, self.lower, self.upper)
                x = np.where(np.isfinite(pushed), pushed, x)
            # What does not settle gets a wider view.
            width = _WORKING << min(step // 8, 3)
            at = _working(reduced, x, self, movable, width)
            others = np.setdiff1d(np.arange(n), at)
            some = random.choice(others, min(_WORKING // 2, others.size), replace=False)
            some = some if jump else some[:0]
            times = np.concatenate(
                [np.ones(at.size), np.full(some.size, others.size / max(some.size, 1))]
            )
            columns = np.concatenate([at, some])
            rest = self.right - np.asarray(self.left @ x)
            rest += np.asarray(self.left[:, columns] @ (x[columns] * times))
            placed, y = self._part(columns, cost, penalty, rest, times)
            x = x.copy()
            x[at] = placed[: at.size]
            # A penalty must not magnify the rounding of rows that hold.
            violation = np.maximum(np.asarray(self.left @ x) - self.right - _SIFTED, 0.0)
            value = float(cost @ x + penalty * violation.sum())
            # A multiplier above the penalty would be the simplex method's rounding.
            bound = _dual_bound(cost, self, np.minimum(y, penalty))
            if value - bound <= _SIFTED * max(1.0, abs(value)):
                return x, y
        return x, y  # not settled: whoever asked sees it by the point and the bound


def _working(
    reduced: Vector, x: Vector, lp: _Linear, movable: Mask, width: int
) -> NDArray[np.intp]:
    """Columns to place next: those between bounds, the worst placed, those nearest indifference."""
    between = (x > lp.lower) & (x < lp.upper)
    wrong = ((reduced < 0) & (x < lp.upper)) | ((reduced > 0) & (x > lp.lower))
    size = np.abs(reduced)
    chosen = between & movable
    chosen[x.size - lp.extra :] = True
    for order in (np.where(wrong & movable, -size, np.inf), np.where(movable, size, np.inf)):
        half = min(width, order.size) // 2
        first = np.argpartition(order, half)[:half]
        chosen[first[np.isfinite(order[first])]] = True
    return np.flatnonzero(chosen)


def _highs(cost: Vector, left: Any, right: Vector, lower: Vector, upper: Vector) -> Any:
    from scipy.optimize import linprog

    solve: Any = linprog
    return solve(
        cost,
        A_ub=left,
        b_ub=right,
        bounds=np.column_stack([lower, upper]),
        method="highs",
        options=_HIGHS,
    )


def _dual_bound(cost: Vector, lp: _Linear, y: Vector) -> float:
    """Lower bound on the minimum that multipliers y prove: exact but for rounding."""
    reduced = cost + np.asarray(lp.left.T @ y)
    sizes = np.abs(cost) + lp.sizes(y)
    # The simplex method leaves its dual tolerance on columns without a bound to carry it.
    open_side = np.where(reduced > 0, np.isinf(lp.lower), np.isinf(lp.upper))
    dust = np.where(open_side, _CHECKED, _ROUNDING) * np.maximum(sizes, 1.0)
    reduced = np.where(np.abs(reduced) <= dust, 0.0, reduced)
    held = np.where(reduced > 0, lp.lower, lp.upper)
    terms = np.multiply(reduced, held, out=np.zeros_like(reduced), where=reduced != 0)
    return float(terms.sum() - y @ lp.right)


def _least_violation(part: CreditProgram) -> tuple[Vector, Vector]:
    """Shares that miss the rows by the least total, and the multipliers that prove it; y by row."""
    left, right = _sides(part)
    if right.size == 0:
        return np.clip(0.0, part.lower, part.upper), np.zeros(part.n_rows)
    sizes = _largest_entries(left)
    w, marginals = _Linear(*_scaled(left, right), part.lower, part.upper).least_violation()
    marginals = marginals / sizes
    _, above, below = _which(part)
    y = np.zeros(part.n_rows)
    y[above] += marginals[: above.size]
    y[below] -= marginals[above.size :]
    return w, y


def _least_extra(
    terms: Terms, kept: Mask, who: Mask, room: Vector, sign: float
) -> tuple[float, int] | None:
    """Let some shares leave their bounds to one side, at the least total."""
    part = terms.only(kept)
    left, right = _sides(part)
    extra = sign * sparse.csc_array(left)[:, np.flatnonzero(who)]
    n = part.n_customers
    found = _minimum(
        np.r_[np.zeros(n), np.ones(room.size)],
        sparse.hstack([left, extra], format="csr"),
        right,
        np.r_[part.lower, np.zeros(room.size)],
        np.r_[part.upper, room],
    )
    if found is None:
        return None
    return found.value, int((found.x[n:] > _CHECKED * max(found.value, 0.0)).sum())


def _which(part: CreditProgram) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
    above = np.flatnonzero(np.isfinite(part.row_upper))
    below = np.flatnonzero(np.isfinite(part.row_lower))
    return above.size + below.size, above, below


def _sides(part: CreditProgram) -> tuple[Any, Vector]:
    """All finite sides of the rows as left w ≤ right: those at most, then those at least."""
    _, above, below = _which(part)
    A = sparse.csr_array(part.rows)
    left = sparse.vstack([A[above], -A[below]], format="csr")
    return left, np.concatenate([part.row_upper[above], -part.row_lower[below]])


def _stacked(part: CreditProgram, flags: Mask) -> Mask:
    """Per side, in the order of ``_sides``: the flag of its row."""
    _, above, below = _which(part)
    return np.asarray(flags[np.concatenate([above, below])])


def _scaled(left: Any, right: Vector) -> tuple[Any, Vector]:
    """Rows with a largest entry of one."""
    sizes = _largest_entries(left)
    return sparse.diags_array(1.0 / sizes, format="csr") @ left, right / sizes


def _largest_entries(A: Any) -> Vector:
    if isinstance(A, np.ndarray):
        largest = np.abs(A).max(axis=1, initial=0.0)
    else:
        largest = abs(A).max(axis=1).toarray().ravel() if A.shape[0] else np.zeros(0)
    return np.where(largest > 0, largest, 1.0)


def _dense(A: Any) -> Any:
    return A if isinstance(A, np.ndarray) else A.toarray()


def _pull(program: CreditProgram, y: Vector) -> Vector:
    """Aᵀy, without the rounding of terms that cancel."""
    pull = np.asarray(program.rows.T @ y)
    A = program.rows
    sizes = np.asarray((np.abs(A) if isinstance(A, np.ndarray) else abs(A)).T @ np.abs(y))
    return np.where(np.abs(pull) <= _ROUNDING * sizes, 0.0, pull)


def _used(terms: Terms, part: CreditProgram, kept: Mask, y: Vector) -> Mask:
    """Conditions that a proof uses, among those kept."""
    q = terms.program.n_rows
    weighty = np.abs(y) > _WEIGHTY * np.abs(y).max()
    used = np.zeros_like(kept)
    used[:q], used[q : 2 * q] = weighty & (y > 0), weighty & (y < 0)
    pull = _pull(terms.program, np.where(weighty, y, 0.0))
    above = (pull < 0) & np.isfinite(part.upper)
    used[2 * q] = bool((above & (terms.limits <= part.upper)).any())
    used[2 * q + 1] = bool((above & (terms.limits > part.upper)).any())
    used[2 * q + 2] = bool(((pull > 0) & (part.lower > 0)).any())
    return used & kept
