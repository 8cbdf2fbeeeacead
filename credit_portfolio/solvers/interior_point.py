"""A primal-dual interior point whose linear system has k + q unknowns, whatever n is.

With x = [w; a], the shares and the levels of the rows, K = [F 0; A −I], and s, z the slacks and
multipliers of all bounds on x, a step solves::

    Θ Δx + Kᵀ [Δu; Δy] = r              Θ = 2 D + Σ z/s (the rows have D = 0)
    K Δx − ½ [Δu; 0]   = −(K x − ½ [u; 0])

where u is the multiplier of e = F w, which is 2 e at the end. Eliminating Δx leaves the matrix
K Θ⁻¹ Kᵀ + diag(I/2, 0). Mehrotra's predictor and corrector share its factor. D may be zero, and
what has equal bounds stays where it is.

A step reads the customers three times: once for the matrix with the first right side, once for the
predicted step with the second right side, once for the step. All of the work on vectors is done in
these passes too, block by block, while the block is in the core's cache.

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
from scipy.linalg.lapack import dpotrf, dpotrs

from credit_portfolio.program.certificate import UNDIVERSIFIED
from credit_portfolio.solvers.pieces import Piece, Sight, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

STEPS = 100
# How far towards the nearest bound a step goes; 1 would end on it, where the method has no slope.
_TO_THE_BOUND = 0.995
# Steps without a tenth of progress before giving up: nothing is feasible, or near the end, where a
# step gains digits or nothing, rounding has taken over.
_PATIENCE, _PATIENCE_AT_END, _NEARLY = 12, 2, 1e-6
# A step shorter than this is bent towards the centre, up to so often, aiming so much further
# (Gondzio 1996). A product within a decade of the centre stops no step. Books whose limits or
# targets leave a millionth of room take 30 to 60 steps so, without it up to 100; others no fewer.
_LONG_ENOUGH, _CORRECTIONS, _FURTHER = 0.6, 6, 0.3
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


@dataclass(frozen=True, slots=True)
class _Scales:
    """What residuals are held against where the point itself gives nothing."""

    largest_norm: float
    linear: float
    rows: Vector
    open_rows: NDArray[np.bool_]
    product: float
    slope: float


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
    k, n = columns.k, columns.n
    pieces, nu = _start(program, columns)
    scales = _Scales(
        largest_norm=max(float(piece.scales[0].max()) for piece in pieces),
        linear=float(np.abs(program.linear).max()),
        rows=columns.row_norms(),
        open_rows=np.isinf(program.row_lower) & np.isinf(program.row_upper),
        product=_HARDLY_ANY * sum(piece.product for piece in pieces),
        slope=_HARDLY_ANY * max(float(piece.z.max()) for piece in pieces),
    )
    bounds = max(sum(piece.bounds for piece in pieces), 1)
    best = (np.inf, [piece.x for piece in pieces], nu)
    idle, said, steps = 0, "ran out of steps", STEPS
    for step in range(STEPS):
        seen = _look(columns, pieces, nu)
        error = _error(program, scales, seen, nu, pieces[-1].levels)
        if error < 0.9 * best[0]:
            best, idle = (error, [piece.x for piece in pieces], nu), 0
        else:
            idle += 1
        if error <= tolerance:
            best, said, steps = (error, [piece.x for piece in pieces], nu), "converged", step
            break
        if idle > (_PATIENCE if best[0] > _NEARLY else _PATIENCE_AT_END) or not np.isfinite(error):
            said, steps = "stopped where no step helps", step
            break
        try:
            nu = nu + _advance(columns, pieces, seen, nu, bounds)
        except np.linalg.LinAlgError:
            said, steps = "stopped at a singular system", step
            break
    _, xs, nu = best
    w = xs[0][:n] if len(xs) == 1 else np.concatenate(xs)[:n]
    return w, nu[k:], said, steps


def _start(program: CreditProgram, columns: Columns) -> tuple[list[Piece], Vector]:
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
    nu = np.concatenate([2.0 * pushed[:k], np.zeros(q)])
    slope = columns.pull(nu)
    slope += 2.0 * program.idiosyncratic * w + program.linear
    force = _START * float(np.abs(slope).max()) or 1.0
    equal = program.row_lower >= program.row_upper
    under, over = np.isfinite(program.row_lower) & ~equal, np.isfinite(program.row_upper) & ~equal
    reach = columns.row_norms() * share
    room = np.where(under & over, program.row_upper - program.row_lower, np.inf)
    pad = np.minimum(0.1 * room, np.where(reach > 0, reach, share))
    a = np.where(equal, program.row_lower, pushed[k:])
    a[under] = np.maximum(a, program.row_lower + pad)[under]
    a[over] = np.minimum(a, program.row_upper - pad)[over]
    return cut(program, columns, w, a, force, force * share, _LEAST_CURVATURE), nu


def _look(columns: Columns, pieces: list[Piece], nu: Vector) -> Sight:
    return Sight.of_all(columns.on(pieces, lambda piece: piece.look(nu)))


def _error(
    program: CreditProgram, scales: _Scales, seen: Sight, nu: Vector, levels: Vector
) -> float:
    """Largest residual of the optimality conditions, each relative to its terms.

    The terms may cancel: at a minimum of zero, in a row that asks for zero, and in a slope that no
    bound carries.
    """
    k = program.n_factors
    tiny = float(np.finfo(float).tiny)
    e, missed_rows = seen.pushed[:k], np.abs(seen.pushed[k:])
    activity = seen.pushed[k:] + levels
    size_of_rows = np.abs(activity)
    # A row that is open on both sides asks for nothing, nor does one that no share can move and
    # that holds: its level need not follow the shares.
    missed_rows[scales.open_rows] = 0.0
    constant = seen.gram.diagonal()[k:] == 0.0
    if constant.any():
        room = _ROUNDING * size_of_rows
        held = (program.row_lower <= activity + room) & (program.row_upper >= activity - room)
        missed_rows[constant & held] = 0.0
    square = float(e @ e)
    together = seen.together
    size = square + 0.5 * seen.own + abs(seen.cost)
    size += UNDIVERSIFIED * (together * together + seen.cost_size)
    risk = float(np.sqrt(square)) + UNDIVERSIFIED * together
    steepest = max(seen.steepest, scales.linear, 2.0 * scales.largest_norm * risk)
    reach = scales.rows * float(np.sqrt(seen.shares))
    spread = np.maximum(np.maximum(np.abs(levels), size_of_rows), reach)
    missed = missed_rows / np.where(spread > 0, spread, 1.0)
    apart = float(np.abs(e - 0.5 * nu[:k]).max(initial=0.0))
    return max(
        seen.product / max(size, scales.product, tiny),
        seen.unexplained / max(steepest, scales.slope, tiny),
        apart / max(risk, tiny),
        float(missed.max(initial=0.0)),
    )


def _advance(columns: Columns, pieces: list[Piece], seen: Sight, nu: Vector, bounds: int) -> Vector:
    """Take one predictor-corrector step; returns the change of the multipliers."""
    k = columns.k
    system = _System(seen, pieces[-1], k)
    mean = seen.product / bounds
    right = seen.right + seen.pushed
    right[:k] -= 0.5 * nu[:k]
    solved = system.solve(right)
    guesses = columns.on(pieces, lambda piece: piece.predict(solved))
    length = _length(max(steepest for _, steepest, _ in guesses))
    crossed = sum(cross for _, _, cross in guesses)
    # Σ (s + l Δs)(z + l Δz), where s Δz + z Δs = −s z
    after = (1.0 - length) * seen.product + length * length * crossed
    centre = mean * (after / seen.product) ** 3 if seen.product else 0.0
    second = np.asarray(sum(pushed for pushed, _, _ in guesses))
    right += second[:, 0] + centre * second[:, 1]
    solved = system.solve(right)
    length = _length(max(columns.on(pieces, lambda piece: piece.correct(solved, centre))))
    for _ in range(_CORRECTIONS):
        if length >= _LONG_ENOUGH:
            break
        reach, aim = min(1.0, length + _FURTHER), max(centre, mean * 1e-3)
        right = right + _bend(columns, pieces, reach, aim)
        other = system.solve(right)
        longer = _turn(columns, pieces, other)
        if not longer > length:
            for piece in pieces:
                piece.unbend()
            break
        solved, length = other, longer
    if not (np.isfinite(solved).all() and np.isfinite(length)):
        raise np.linalg.LinAlgError("the step is not finite")
    for piece in pieces:
        piece.length = length
    return length * solved


def _bend(columns: Columns, pieces: list[Piece], reach: float, aim: float) -> Vector:
    return np.asarray(sum(columns.on(pieces, lambda piece: piece.bend(reach, aim))))


def _turn(columns: Columns, pieces: list[Piece], solved: Vector) -> float:
    return _length(max(columns.on(pieces, lambda piece: piece.turn(solved))))


def _length(steepest: float) -> float:
    """Longest step, up to 1, that keeps every slack and multiplier above zero."""
    if np.isnan(steepest):
        return steepest
    return min(1.0, _TO_THE_BOUND / steepest) if steepest > 0 else 1.0


class _System:
    """The factored matrix of one step."""

    def __init__(self, seen: Sight, last: Piece, k: int) -> None:
        matrix = seen.gram
        diagonal = matrix.reshape(-1)[:: matrix.shape[0] + 1]
        # A row that is open on both sides has no multiplier: its unknown is held at zero. So is
        # that of a row that no share can move, which nothing but rounding would settle.
        self.held = k + np.flatnonzero((diagonal[k:] == 0.0) | last.open_rows)
        diagonal[:k] += 0.5
        diagonal[k:] += last.give
        if self.held.size:
            matrix[self.held, :] = 0.0
            matrix[:, self.held] = 0.0
            matrix[self.held, self.held] = 1.0
        self.scale = 1.0 / np.sqrt(np.maximum(diagonal, 1e-300))
        matrix *= self.scale
        matrix *= self.scale[:, None]
        self.factor = _factor(matrix)

    def solve(self, right: Vector) -> Vector:
        if self.held.size:
            right = right.copy()
            right[self.held] = 0.0
        if not right.size:
            return right
        solved, _ = dpotrs(self.factor, right * self.scale, lower=1)
        return np.asarray(solved * self.scale)


def _factor(matrix: Matrix) -> Any:
    """Cholesky factor of a matrix with unit diagonal; rows that say the same twice need a push."""
    push = 1e-15
    while matrix.size:
        shifted = matrix.T.copy(order="F")
        shifted.reshape(-1, order="A")[:: matrix.shape[0] + 1] += push
        factor, info = dpotrf(shifted, lower=1, clean=0, overwrite_a=1)
        if info == 0:
            return factor
        push *= 100.0
        if push > 1e-6:
            raise np.linalg.LinAlgError("the matrix of a step is not positive definite")
    return matrix
