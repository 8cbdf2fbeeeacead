"""A primal-dual interior point whose linear system has k + q unknowns, whatever n is.

With a = A w for the rows, and s, z the slacks and multipliers of all bounds, a step solves::

    Θ Δw + 2 FᵀF Δw + Aᵀ Δy = r        Θ = 2 D + Σ z/s over the customers' bounds
                A Δw − Ω Δy = t        Ω = 1 / Σ z/s over the rows' bounds, 0 for an equality

Eliminating Δw leaves K Θ⁻¹ Kᵀ + diag(I/2, Ω) with K = [F; A]. Mehrotra's predictor and corrector
share its factor. D may be zero, and customers with equal bounds stay where they are.

References
----------
J. Gondzio, "Multiple centrality corrections in a primal-dual method for linear programming",
Computational Optimization and Applications 6 (1996).
S. Mehrotra, "On the implementation of a primal-dual interior point method", SIAM Journal on
Optimization 2 (1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from credit_portfolio.program.certificate import UNDIVERSIFIED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = slice | NDArray[np.intp]

STEPS = 100
# How far towards the nearest bound a step goes; 1 would end on it, where the method has no slope.
_TO_THE_BOUND = 0.995
# Steps without a tenth of progress before giving up: nothing is feasible, or near the end, where a
# step gains digits or nothing, rounding has taken over.
_PATIENCE, _PATIENCE_AT_END, _NEARLY = 12, 2, 1e-6
# A step shorter than this is bent towards the centre, up to so often, aiming so much further
# (Gondzio 1996). A product within a decade of the centre stops no step. Books whose limits or
# targets leave a millionth of room take 30 to 60 steps so, without it up to 100; others no fewer.
_LONG_ENOUGH, _CORRECTIONS, _FURTHER, _OFF_CENTRE = 0.6, 6, 0.3, 0.1
# Where there is no objective to measure by, or none yet: this part of the first products s z and
# of the first multipliers.
_HARDLY_ANY = 1e-12
# First multipliers of the bounds, in the steepest slope: far above the last ones. From below, a
# book with little room creeps along its bounds.
_START = 100.0
# A row of fixed shares alone holds within the rounding of its sum.
_ROUNDING = 1e-13
# Least curvature, as a part of the mean variance: a free customer without variance has none, and
# eliminating him by 1e-12 loses the digits of his rows. The step is then a proximal one, whose end
# is the same; six orders of variance stay untouched.
_LEAST_CURVATURE = 1e-8


@dataclass(slots=True)
class _Side:
    """The finite bounds on one side of a vector x: slack = sign · (x − bound) > 0."""

    at: Index
    sign: float
    slack: Vector
    z: Vector

    def curvature(self, total: Vector) -> None:
        total[self.at] += self.z / self.slack

    def press(self, total: Vector, amount: Vector) -> None:
        total[self.at] += self.sign * amount

    def answer(self, step: Vector, wanted: Vector) -> tuple[Vector, Vector]:
        """Return the steps of slack and multiplier, for a wanted change of their product."""
        moved = self.sign * step[self.at]
        return moved, (wanted - self.z * moved) / self.slack


@dataclass(slots=True)
class _State:
    """Shares w, row levels a, row multipliers y, and the four sides."""

    w: Vector
    a: Vector
    y: Vector
    of_shares: list[_Side]
    of_rows: list[_Side]

    @property
    def sides(self) -> list[_Side]:
        return [*self.of_shares, *self.of_rows]


@dataclass(frozen=True, eq=False, slots=True)
class _Sizes:
    """Norms of F's columns and of A's rows, the rows that no share can move, least scales."""

    factors: Vector
    largest: float
    rows: Vector
    constant: NDArray[np.bool_]
    least: float
    least_slope: float


@dataclass(slots=True)
class _Residuals:
    """What is left of the optimality conditions, and their relative size."""

    dual: Vector
    rows: Vector
    primal: Vector
    complementarity: float
    error: float


def interior_point(
    program: CreditProgram, columns: Columns, tolerance: float
) -> tuple[Vector, Vector, str, int]:
    """Solve a program, from a cold start.

    Parameters
    ----------
    program : CreditProgram
    columns : Columns
        Of the same program.
    tolerance : float
        Relative; it stops earlier where rounding leaves nothing to gain.

    Returns
    -------
    w : ndarray, shape (n,)
        Strictly inside the bounds, or on them for customers whose bounds are equal.
    y : ndarray, shape (q,)
    said : str
        "converged", or why it stopped.
    steps : int
    """
    # On its way to nowhere (nothing feasible, no minimum) a step may overflow; it is not taken.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return _iterate(program, columns, tolerance)


def _iterate(
    program: CreditProgram, columns: Columns, tolerance: float
) -> tuple[Vector, Vector, str, int]:
    state = _start(program, columns)
    squares = np.einsum("ki,ki->i", program.factors, program.factors)
    mean = float(squares.mean() + program.idiosyncratic.mean())
    norms = np.sqrt(squares)
    rows = columns.row_norms()
    loose = program.lower < program.upper
    moved = (
        rows if loose.all() else np.diagonal(columns.gram(loose.astype(np.float64)))[columns.k :]
    )
    first = _HARDLY_ANY * float(sum(side.slack @ side.z for side in state.sides))
    steepest = _HARDLY_ANY * max(float(side.z.max(initial=0.0)) for side in state.sides)
    sizes = _Sizes(norms, float(norms.max()), rows, moved == 0.0, first, steepest)
    least = 2.0 * _LEAST_CURVATURE * mean if mean > 0 else _LEAST_CURVATURE
    best, idle = (np.inf, state.w, state.y), 0
    for step in range(STEPS):
        residuals = _residuals(program, columns, state, sizes)
        if residuals.error < 0.9 * best[0]:
            best, idle = (residuals.error, state.w, state.y), 0
        else:
            idle += 1
        if residuals.error <= tolerance:
            return state.w, state.y, "converged", step
        patience = _PATIENCE if best[0] > _NEARLY else _PATIENCE_AT_END
        if idle > patience or not np.isfinite(residuals.error):
            return best[1], best[2], "stopped where no step helps", step
        try:
            _advance(program, columns, state, residuals, least)
        except np.linalg.LinAlgError:
            return best[1], best[2], "stopped at a singular system", step
    return best[1], best[2], f"stopped after {STEPS} steps", STEPS


def _start(program: CreditProgram, columns: Columns) -> _State:
    """Shares in the middle of their bounds, and one size for all products s z."""
    n, k, q = columns.n, columns.k, columns.q
    lower, upper = program.lower, program.upper
    loose = lower < upper
    below, above = np.isfinite(lower) & loose, np.isfinite(upper) & loose
    sizes = np.abs(np.concatenate([lower[below], upper[above]]))
    sizes = sizes[sizes > 0]
    share = float(np.median(sizes)) if sizes.size else 1.0 / n
    w = np.where(below, lower + share, np.where(above, upper - share, 0.0))
    both = below & above
    w[both] = 0.5 * (lower[both] + upper[both])
    w[~loose] = lower[~loose]
    pushed = columns.push(w)
    slope = columns.pull(np.concatenate([2.0 * pushed[:k], np.zeros(q)]))
    slope += 2.0 * program.idiosyncratic * w + program.linear
    force = _START * float(np.abs(slope).max()) or 1.0
    of_shares = [
        _side(below, 1.0, lower, w, force),
        _side(above, -1.0, upper, w, force),
    ]
    equal = program.row_lower >= program.row_upper
    under, over = np.isfinite(program.row_lower) & ~equal, np.isfinite(program.row_upper) & ~equal
    reach = columns.row_norms() * share
    room = np.where(under & over, program.row_upper - program.row_lower, np.inf)
    pad = np.minimum(0.1 * room, np.where(reach > 0, reach, share))
    a = np.where(equal, program.row_lower, pushed[k:])
    a[under] = np.maximum(a, program.row_lower + pad)[under]
    a[over] = np.minimum(a, program.row_upper - pad)[over]
    of_rows = [
        _side(under, 1.0, program.row_lower, a, 0.0),
        _side(over, -1.0, program.row_upper, a, 0.0),
    ]
    for side in of_rows:
        side.z = force * share / side.slack
    return _State(w, a, np.zeros(q), of_shares, of_rows)


def _side(mask: NDArray[np.bool_], sign: float, bound: Vector, x: Vector, z: float) -> _Side:
    at: Index = slice(None) if mask.all() else np.flatnonzero(mask)
    return _Side(at, sign, sign * (x[at] - bound[at]), np.full(int(mask.sum()), z))


def _residuals(
    program: CreditProgram, columns: Columns, state: _State, sizes: _Sizes
) -> _Residuals:
    k = columns.k
    pushed = columns.push(state.w)
    e, activity = pushed[:k], pushed[k:]
    own = 2.0 * program.idiosyncratic * state.w
    of_factors = columns.pull(np.concatenate([2.0 * e, state.y]))
    dual = -(of_factors + own + program.linear)
    steepest = max(float(np.abs(dual).max()), float(np.abs(own).max()))
    for side in state.of_shares:
        side.press(dual, side.z)
        steepest = max(steepest, float(side.z.max(initial=0.0)))
    dual[program.lower >= program.upper] = 0.0
    rows = state.y.copy()
    for side in state.of_rows:
        side.press(rows, side.z)
    rows[program.row_lower >= program.row_upper] = 0.0
    primal = state.a - activity
    # A row that is open on both sides asks for nothing, nor does one that no share can move and
    # that holds: its level need not follow the shares.
    rounding = _ROUNDING * np.abs(activity)
    held = (program.row_lower <= activity + rounding) & (program.row_upper >= activity - rounding)
    primal[np.isinf(program.row_lower) & np.isinf(program.row_upper)] = 0.0
    primal[sizes.constant & held] = 0.0
    complementarity = float(sum(side.slack @ side.z for side in state.sides))
    # Each residual against its terms, which may cancel: at a minimum of zero, in a row that asks
    # for zero, and in a slope that no bound carries.
    together = float(sizes.factors @ np.abs(state.w))
    cancelling = together * together + float(np.abs(program.linear) @ np.abs(state.w))
    size = float(e @ e + 0.5 * own @ state.w + abs(program.linear @ state.w))
    size += UNDIVERSIFIED * cancelling
    risk = float(np.sqrt(e @ e)) + UNDIVERSIFIED * together
    steepest = max(steepest, float(np.abs(program.linear).max()), 2.0 * sizes.largest * risk)
    reach = sizes.rows * float(np.sqrt(state.w @ state.w))
    spread = np.maximum(np.maximum(np.abs(state.a), np.abs(activity)), reach)
    missed = np.abs(primal) / np.where(spread > 0, spread, 1.0)
    error = max(
        complementarity / max(size, sizes.least, np.finfo(float).tiny),
        float(np.abs(dual).max()) / max(steepest, sizes.least_slope, np.finfo(float).tiny),
        float(missed.max(initial=0.0)),
    )
    return _Residuals(dual, rows, primal, complementarity, error)


def _advance(
    program: CreditProgram,
    columns: Columns,
    state: _State,
    residuals: _Residuals,
    least: float,
) -> None:
    """Take one predictor-corrector step, in place."""
    system = _System(program, columns, state, residuals, least)
    count = max(sum(side.z.size for side in state.sides), 1)
    mean = residuals.complementarity / count
    plain = [-side.slack * side.z for side in state.sides]
    _, changes = system.direction(plain)
    length = _longest(state.sides, changes)
    after = sum(
        float((side.slack + length * ds) @ (side.z + length * dz))
        for side, (ds, dz) in zip(state.sides, changes, strict=True)
    )
    centre = mean * (after / residuals.complementarity) ** 3 if residuals.complementarity else 0.0
    wanted = [p + centre - ds * dz for p, (ds, dz) in zip(plain, changes, strict=True)]
    (dw, da, dy), changes = system.direction(wanted)
    length = _longest(state.sides, changes)
    for _ in range(_CORRECTIONS):
        if length >= _LONG_ENOUGH:
            break
        wanted = _centred(state.sides, wanted, changes, length, max(centre, mean * 1e-3))
        other, moves = system.direction(wanted)
        longer = _longest(state.sides, moves)
        if not longer > length:
            break
        (dw, da, dy), changes, length = other, moves, longer
    if not (np.isfinite(dw).all() and np.isfinite(dy).all() and np.isfinite(length)):
        raise np.linalg.LinAlgError("the step is not finite")
    state.w = state.w + length * dw
    state.a = state.a + length * da
    state.y = state.y + length * dy
    # Slacks move with their steps: w − lower would lose a small slack to cancellation.
    for side, (ds, dz) in zip(state.sides, changes, strict=True):
        side.slack = side.slack + length * ds
        side.z = side.z + length * dz


def _centred(
    sides: list[_Side],
    wanted: list[Vector],
    changes: list[tuple[Vector, Vector]],
    length: float,
    centre: float,
) -> list[Vector]:
    """Ask for products s z that a longer step would leave within a decade of the centre."""
    reach = min(1.0, length + _FURTHER)
    asked = []
    for side, want, (ds, dz) in zip(sides, wanted, changes, strict=True):
        product = (side.slack + reach * ds) * (side.z + reach * dz)
        into = np.clip(product, _OFF_CENTRE * centre, centre / _OFF_CENTRE) - product
        asked.append(want + np.maximum(into, -centre / _OFF_CENTRE))
    return asked


class _System:
    """The factored matrix of one step, and the directions that it gives."""

    def __init__(
        self,
        program: CreditProgram,
        columns: Columns,
        state: _State,
        residuals: _Residuals,
        least: float,
    ) -> None:
        self.columns, self.state, self.residuals = columns, state, residuals
        k, q = columns.k, columns.q
        theta = 2.0 * program.idiosyncratic
        for side in state.of_shares:
            side.curvature(theta)
        theta = np.maximum(theta, least)
        self.inverse = np.where(program.lower < program.upper, 1.0 / theta, 0.0)
        stiff = np.zeros(q)
        for side in state.of_rows:
            side.curvature(stiff)
        equal = program.row_lower >= program.row_upper
        self.give = np.where(equal | (stiff == 0), 0.0, 1.0 / np.where(stiff > 0, stiff, 1.0))
        matrix = columns.gram(self.inverse)
        diagonal = np.arange(k + q)
        still = np.diagonal(matrix)[k:] == 0.0
        matrix[diagonal[:k], diagonal[:k]] += 0.5
        matrix[diagonal[k:], diagonal[k:]] += self.give
        # A row that is open on both sides has no multiplier: its unknown is held at zero.
        # So is that of a row that no share can move, which nothing but rounding would settle.
        self.held = k + np.flatnonzero(still | (~equal & (stiff == 0)))
        matrix[self.held, :] = 0.0
        matrix[:, self.held] = 0.0
        matrix[self.held, self.held] = 1.0
        self.scale = 1.0 / np.sqrt(np.maximum(np.diagonal(matrix), 1e-300))
        self.factor = _factor(matrix * np.outer(self.scale, self.scale))

    def direction(
        self, wanted: list[Vector]
    ) -> tuple[tuple[Vector, Vector, Vector], list[tuple[Vector, Vector]]]:
        """Return (Δw, Δa, Δy) and each side's (Δs, Δz), for wanted changes of the products s z."""
        state, k = self.state, self.columns.k
        r, t = self.residuals.dual.copy(), self.residuals.rows.copy()
        of_shares, of_rows = wanted[:2], wanted[2:]
        for side, change in zip(state.of_shares, of_shares, strict=True):
            side.press(r, change / side.slack)
        for side, change in zip(state.of_rows, of_rows, strict=True):
            side.press(t, change / side.slack)
        right = self.columns.push(r * self.inverse)
        right[k:] -= self.residuals.primal + self.give * t
        right[self.held] = 0.0
        solved = cho_solve(self.factor, right * self.scale, check_finite=False) * self.scale
        dw = (r - self.columns.pull(solved)) * self.inverse
        dy = solved[k:]
        da = self.give * (t + dy)
        changes = [
            side.answer(dw, change) for side, change in zip(state.of_shares, of_shares, strict=True)
        ]
        changes += [
            side.answer(da, change) for side, change in zip(state.of_rows, of_rows, strict=True)
        ]
        return (dw, da, dy), changes


def _factor(matrix: Matrix) -> Any:
    """Cholesky factor of a matrix with unit diagonal; rows that say the same twice need a push."""
    push = 1e-15
    while True:
        try:
            shifted = matrix + push * np.eye(matrix.shape[0])
            return cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            push *= 100.0
            if push > 1e-6:
                raise


def _longest(sides: list[_Side], changes: list[tuple[Vector, Vector]]) -> float:
    """Longest step, up to 1, that keeps every slack and multiplier above zero."""
    longest = 1.0
    for side, pair in zip(sides, changes, strict=True):
        for value, change in zip((side.slack, side.z), pair, strict=True):
            if value.size == 0:
                continue
            # The largest fall per unit of value; no masks, since this runs over n twelve times.
            steepest = float(np.max(-change / value))
            if steepest > 0:
                longest = min(longest, _TO_THE_BOUND / steepest)
    return longest
