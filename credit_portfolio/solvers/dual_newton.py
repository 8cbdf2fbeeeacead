"""Programs with many more customers than factors and rows: n ≫ k + q.

Given multipliers ν of K w, K = [F; A], every customer's share follows by itself::

    w_i(ν) = clip(−(c_i + K_iᵀν) / 2 D_i, lower_i, upper_i)

so that only k + q unknowns are left, whatever n is. They are found in three moves:

sample
    A small random part of the customers, its bounds scaled up, is a program of its own with nearly
    the same multipliers. An interior point solves it.
sifting
    Most customers are far from changing sides: they stay on the bound that the multipliers press
    them to, and the interior point solves for the few near the edge. Then one pass over all
    customers looks for those on the wrong side. A round without any has found the optimum.
Newton
    Where a good part of the customers lies between the bounds there is nothing to sift; there the
    dual is smooth, and its semismooth Newton method ends in a few passes. Its Hessian is
    K_free diag(1/2D) K_freeᵀ + diag(I/2, 0).

Each hands over to the next, and at the end to the interior point on all customers, which needs
more passes but no luck. Programs small enough go there at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls

from credit_portfolio.errors import ModelError
from credit_portfolio.program.certificate import Certificate, admissible, certify
from credit_portfolio.program.columns import Columns, workers
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers.interior_point import interior_point
from credit_portfolio.solvers.polish import polish
from credit_portfolio.solvers.solution import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = NDArray[np.intp]

# Up to here the interior point on everything takes less time than a sample and two rounds.
SMALL = 20_000
# The sample: a fiftieth of the customers, at least so many that the multipliers mean something.
_SAMPLE, _LEAST_SAMPLE = 50, 8_000
_SAMPLE_TOLERANCE = 1e-5
# The sample is a random one, so that no order of the customers can mislead it; the seed is fixed,
# so that the same program gives the same answer, bit for bit.
_SEED = 20240607
# The first round works on the nearest thirty-second; after it the multipliers are known well. A
# vertex has at most k + q customers between their bounds: ten times as many leave room to move.
_NEAR, _LEAST_NEAR = 32, 10
_ROUNDS = 8
# For each row that presses, an eighth as many of those who carry it; of very many rows the dearest.
_PER_ROW, _MOST_ROWS = 8, 32
# From this part of customers between the bounds on, Newton's method is tried before sifting.
_SMOOTH = 0.1
_NEWTON_STEPS = 15
# A multiplier that a step takes to zero ends within rounding of the step, some 1e-16 of it, or
# 1e-10 where the line search stopped just short; one that presses is of the step's own size.
_IDLE = 1e-9
# A slope of the wrong sign by less than this part of the steepest is rounding: K_iᵀν is a sum of
# k + q products, and 43 of them leave about 1e-15.
_WRONG_SIDE = 1e-13
# A polished point that ends here needs no interior point; one that cycles stays far above.
_SHARP = 1e-11
# Curvature, of one, that a combination of rows has at the least in the step for the rows.
_PUSH = 1e-13


def solve_dual_newton(
    program: CreditProgram,
    tolerance: float,
    options: Mapping[str, Any],
    start: Vector | None = None,
) -> Candidate:
    """Solve a program of any size; it has no options.

    Parameters
    ----------
    program : CreditProgram
    tolerance : float
    options : mapping
        Empty.
    start : ndarray, shape (k + q,), optional
        Multipliers to start from, those of a program that is much the same.

    Raises
    ------
    ModelError
        For any option.
    """
    refuse_options(options)
    with workers(program.n_customers) as pool:
        why = "a sample of the customers told nothing"
        for nu in _starts(program, pool, start):
            why = "neither sifting nor Newton settled"
            for method in (_newton, _sift):
                found = method(program, pool, nu, tolerance)
                if found is not None and _proved(program, pool, found, tolerance):
                    return found
        if program.n_customers <= SMALL:
            why = f"n ≤ {SMALL:,}"
        return _everything(program, pool, tolerance, why)


def _proved(
    program: CreditProgram, pool: ThreadPoolExecutor | None, found: Candidate, tolerance: float
) -> bool:
    """Whether a sharp answer's certificate holds; otherwise the next method has a try."""
    if found.w is None or found.y is None:
        return False
    return certify(program, found.w, found.y, tolerance, Columns(program, pool))[0].holds


def solve_interior_point(
    program: CreditProgram, tolerance: float, options: Mapping[str, Any]
) -> Candidate:
    """Solve a program of any size by the interior point on all customers; it has no options."""
    refuse_options(options)
    with workers(program.n_customers) as pool:
        return _everything(program, pool, tolerance, "asked for")


def refuse_options(options: Mapping[str, Any]) -> None:
    """Raise a ModelError for any option: these solvers have none."""
    if options:
        raise ModelError(
            f"dual_newton and interior_point have no options; found "
            f"{', '.join(map(repr, options))}; leave them out, or name the solver they are for"
        )


def _everything(
    program: CreditProgram, pool: ThreadPoolExecutor | None, tolerance: float, why: str
) -> Candidate:
    w, y, said, steps = interior_point(program, Columns(program, pool), tolerance * 0.1)
    return Candidate(w, y, f"interior point ({why}) {said} after {steps} steps", steps)


def _starts(
    program: CreditProgram, pool: ThreadPoolExecutor | None, start: Vector | None
) -> Iterator[Vector]:
    """Yield multipliers to start from, the likeliest first."""
    if start is not None:
        yield start
    if program.n_customers > SMALL:
        nu = _from_sample(program, pool)
        if nu is not None:
            yield nu


def _from_sample(program: CreditProgram, pool: ThreadPoolExecutor | None) -> Vector | None:
    """Multipliers of a random part of the customers, who stand for all: shape (k + q,)."""
    n = program.n_customers
    size = min(n, max(_LEAST_SAMPLE, n // _SAMPLE))
    each = n / size
    at = np.sort(np.random.default_rng(_SEED).choice(n, size, replace=False))
    sample = CreditProgram(
        factors=program.factors[:, at],
        idiosyncratic=program.idiosyncratic[at] / each,
        linear=program.linear[at],
        rows=program.rows[:, at],
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        lower=program.lower[at] * each,
        upper=program.upper[at] * each,
    )
    w, y, said, _ = interior_point(sample, Columns(sample, pool), _SAMPLE_TOLERANCE)
    if said != "converged":
        return None
    return np.concatenate([2.0 * (sample.factors @ w), y])


# --- sifting ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Split:
    """Where multipliers press each customer: slopes of the objective at both of his bounds."""

    at_lower: Vector
    at_upper: Vector

    @classmethod
    def by(cls, program: CreditProgram, columns: Columns, nu: Vector) -> _Split:
        slope = columns.pull(nu)
        slope += program.linear
        own = 2.0 * program.idiosyncratic
        with np.errstate(invalid="ignore"):
            at_lower = np.where(np.isfinite(program.lower), slope + own * program.lower, -np.inf)
            at_upper = np.where(np.isfinite(program.upper), slope + own * program.upper, np.inf)
        return cls(at_lower, at_upper)

    def distance(self) -> Vector:
        """How far each slope is from changing sides; 0 between the bounds."""
        return np.maximum(np.maximum(self.at_lower, -self.at_upper), 0.0)

    def wrong(self, low: NDArray[np.bool_], high: NDArray[np.bool_]) -> Index:
        """Return who was held at a bound that the slope does not press him to."""
        finite = np.abs(self.at_lower[np.isfinite(self.at_lower)])
        rounding = _WRONG_SIDE * float(finite.max(initial=0.0))
        leaves = (low & (self.at_lower < -rounding)) | (high & (self.at_upper > rounding))
        return np.flatnonzero(leaves)


def _sift(
    program: CreditProgram, pool: ThreadPoolExecutor | None, nu: Vector, tolerance: float
) -> Candidate | None:
    """Solve for the customers near the edge, the others held at their bounds, until none moves."""
    columns = Columns(program, pool)
    n = columns.n
    least = _LEAST_NEAR * (columns.k + columns.q)
    near, added = max(least, n // _NEAR), np.empty(0, dtype=np.intp)
    split = _Split.by(program, columns, nu)
    sizes = []
    for _ in range(_ROUNDS):
        distance = split.distance()
        size = max(near, 2 * int((distance == 0).sum()), 2 * added.size)
        if size > n // 2:
            return None
        nearest = np.argpartition(distance, size)[:size]
        carriers = _carriers(program, distance, nu[columns.k :], size // _PER_ROW)
        inside = np.unique(np.concatenate([nearest, added, *carriers]))
        if inside.size > n // 2:
            return None
        low = split.at_lower >= 0
        high = ~low & (split.at_upper <= 0)
        low[inside] = high[inside] = False
        w = np.where(low, program.lower, np.where(high, program.upper, 0.0))
        solved = _inner(program, columns, pool, inside, w, nu, tolerance)
        if solved is None:
            near *= 4
            continue
        w, nu = solved
        sizes.append(inside.size)
        split = _Split.by(program, columns, nu)
        added = split.wrong(low, high)
        if added.size == 0:
            said = f"sifting settled on {' then '.join(f'{size:,}' for size in sizes)} customers"
            return Candidate(w, nu[columns.k :], said, len(sizes), sharp=True)
        near = max(least // 2, near // 2)
    return None


def _carriers(program: CreditProgram, distance: Vector, y: Vector, size: int) -> list[Index]:
    """Find, for each row that presses, those nearest to changing sides for what they weigh in it.

    The nearest of all may have nothing in a row (few customers have losses), and could then not
    move its level however many they are.
    """
    pressing = np.flatnonzero(y)
    pressing = pressing[np.argsort(-np.abs(y[pressing]))][:_MOST_ROWS]
    found = []
    for row in pressing:
        A: Any = program.rows[[row]]
        entries = np.abs(A[0] if isinstance(A, np.ndarray) else A.toarray()[0])
        weighty = np.flatnonzero(entries)
        if weighty.size <= size:
            found.append(weighty)
        elif entries.min() < entries.max():
            ratio = distance[weighty] / entries[weighty]
            found.append(weighty[np.argpartition(ratio, size)[:size]])
    return found


def _inner(
    program: CreditProgram,
    columns: Columns,
    pool: ThreadPoolExecutor | None,
    inside: Index,
    held: Vector,
    nu: Vector,
    tolerance: float,
) -> tuple[Vector, Vector] | None:
    """Best shares of the customers inside, given those of all others: (all shares, ν)."""
    pushed = columns.push(held)
    of_factors, of_rows = pushed[: columns.k], pushed[columns.k :]
    F = program.factors[:, inside]
    inner = CreditProgram(
        factors=F,
        idiosyncratic=program.idiosyncratic[inside],
        linear=program.linear[inside] + 2.0 * (F.T @ of_factors),
        rows=program.rows[:, inside],
        row_lower=program.row_lower - of_rows,
        row_upper=program.row_upper - of_rows,
        lower=program.lower[inside],
        upper=program.upper[inside],
    )
    w, y, certificate = _from_multipliers(inner, of_factors, nu, tolerance)
    if not certificate.worst <= _SHARP:
        w, y, _, _ = interior_point(inner, Columns(inner, pool), tolerance * 0.1)
        w, y = polish(inner, w, y, tolerance)
        certificate = certify(inner, w, y, tolerance)[0]
        if not certificate.primal <= tolerance:
            return None
    held[inside] = w
    return held, np.concatenate([2.0 * (of_factors + F @ w), y])


def _from_multipliers(
    inner: CreditProgram, of_factors: Vector, nu: Vector, tolerance: float
) -> tuple[Vector, Vector, Certificate]:
    """Polish the shares that the multipliers give: enough where these are nearly right."""
    k = inner.n_factors
    slope = nu[:k] @ inner.factors + (inner.rows.T @ nu[k:]) + inner.linear
    slope -= 2.0 * (of_factors @ inner.factors)
    own = np.where(inner.idiosyncratic > 0, 2.0 * inner.idiosyncratic, np.inf)
    middle = np.clip(-slope / own, inner.lower, inner.upper)
    w = np.where(np.isfinite(own), middle, np.where(slope > 0, inner.lower, inner.upper))
    if not np.isfinite(w).all():
        w = np.clip(middle, inner.lower, inner.upper)
    w, y = polish(inner, w, nu[k:], tolerance)
    return w, y, certify(inner, w, y, tolerance)[0]


# --- Newton -------------------------------------------------------------------------------------


def _newton(
    program: CreditProgram, pool: ThreadPoolExecutor | None, nu: Vector, tolerance: float
) -> Candidate | None:
    """Maximise the dual by a semismooth Newton method with an exact line search.

    None where too few customers lie between their bounds, where some have no variance of their
    own, or where it does not settle.
    """
    if not (program.idiosyncratic > 0).all():
        return None
    columns = Columns(program, pool)
    k = columns.k
    # A multiplier that presses on an open side, from the sample or from changed bounds, is none.
    nu = np.concatenate([nu[:k], admissible(nu[k:], program.row_lower, program.row_upper)])
    inverse = 0.5 / program.idiosyncratic
    slope = columns.pull(nu)
    slope += program.linear
    least = np.inf
    for step in range(_NEWTON_STEPS):
        w = -slope * inverse
        free = (w >= program.lower) & (w <= program.upper)
        if step == 0 and free.mean() < _SMOOTH:
            return None
        np.clip(w, program.lower, program.upper, out=w)
        pushed = columns.push(w)
        ascent = _ascent(program, pushed, nu)
        error = _newton_error(program, pushed, nu)
        # Rounding of the sums ends the progress; the certificate decides whether that is enough.
        if 0.5 * least < error <= 0.1 * tolerance:
            y = nu[k:]
            return Candidate(w, y, f"dual Newton settled after {step} steps", step, sharp=True)
        least = min(least, error)
        hessian = columns.gram(inverse * free)
        hessian[np.arange(k), np.arange(k)] += 0.5
        turn = _row_step(program, hessian, ascent, nu[k:])
        pulled = columns.pull(turn)
        length = _line_search(program, slope, inverse, pulled, nu, turn, k)
        nu = nu + length * turn
        nu[k:] = admissible(nu[k:], program.row_lower, program.row_upper)
        # A row that stops pressing ends at zero up to the rounding of its step.
        nu[k:][np.abs(nu[k:]) <= _IDLE * np.abs(turn[k:])] = 0.0
        slope += length * pulled
    return None


def _ascent(program: CreditProgram, pushed: Vector, nu: Vector) -> Vector:
    """Slope of the smooth part of the dual: K w − (ν_F/2, 0)."""
    ascent = pushed.copy()
    ascent[: program.n_factors] -= 0.5 * nu[: program.n_factors]
    return ascent


def _newton_error(program: CreditProgram, pushed: Vector, nu: Vector) -> float:
    """Relative distance from e = F w = ν_F/2 and from rows that hold and press, or do neither."""
    k = program.n_factors
    exposure, activity, y = pushed[:k], pushed[k:], nu[k:]
    off = np.abs(exposure - 0.5 * nu[:k])
    size = max(float(np.abs(exposure).max(initial=0.0)), float(np.abs(nu[:k]).max(initial=0.0)))
    factors = float(off.max(initial=0.0)) / size if size > 0 else 0.0
    bound = np.where(
        y > 0,
        program.row_upper,
        np.where(y < 0, program.row_lower, np.clip(activity, program.row_lower, program.row_upper)),
    )
    large = np.maximum(np.abs(activity), np.abs(bound))
    missed = np.abs(activity - bound) / np.where(large > 0, large, 1.0)
    return max(factors, float(missed.max(initial=0.0)))


def _row_step(program: CreditProgram, hessian: Matrix, ascent: Vector, y: Vector) -> Vector:
    """Maximise ascentᵀδ − δᵀHδ/2 − σ(y + δ_y), σ the support function of the rows' bounds.

    Factors and equality rows move freely and are eliminated. What is left has one variable of zero
    or more for each finite bound of a row, and is a non-negative least-squares problem.
    """
    k = program.n_factors
    equal = program.row_lower >= program.row_upper
    loose = np.concatenate([np.ones(k, dtype=bool), equal])
    open_side = ~loose
    first = ascent[loose].copy()
    first[k:] -= program.row_upper[equal]
    block, cross = hessian[np.ix_(loose, loose)], hessian[np.ix_(loose, open_side)]
    turn = np.zeros_like(ascent)
    if open_side.any():
        both = _solve_symmetric(block, np.column_stack([cross, first]))
        schur = hessian[np.ix_(open_side, open_side)] - cross.T @ both[:, :-1]
        before = y[~equal]
        slope = ascent[open_side] - cross.T @ both[:, -1] + schur @ before
        after = _press(schur, slope, program.row_lower[~equal], program.row_upper[~equal])
        turn[open_side] = after - before
    turn[loose] = _solve_symmetric(block, first - cross @ turn[open_side])
    return turn


def _press(schur: Matrix, slope: Vector, lower: Vector, upper: Vector) -> Vector:
    """Maximise slopeᵀy − yᵀSy/2 − Σ upper y⁺ + Σ lower y⁻ over multipliers y."""
    rows = np.arange(slope.size)
    over, under = rows[np.isfinite(upper)], rows[np.isfinite(lower)]
    side = np.concatenate([over, under])
    if side.size == 0:  # rows open on both sides; SciPy's nnls ends the process on nothing
        return np.zeros_like(slope)
    sign = np.concatenate([np.ones(over.size), -np.ones(under.size)])
    gain = sign * (slope[side] - np.concatenate([upper[over], lower[under]]))
    curve = schur[np.ix_(side, side)] * np.outer(sign, sign)
    curved = np.diagonal(curve)
    # A row without a free customer has none; its step is a long one, for the line search to cut.
    size = np.sqrt(np.maximum(curved, _PUSH**2 * float(curved.max(initial=0.0)) or 1.0))
    # Rows that say the same twice have no curvature between them; the push keeps both finite.
    scaled = curve / np.outer(size, size) + _PUSH * np.eye(side.size)
    values, vectors = np.linalg.eigh(scaled)
    root = np.sqrt(np.maximum(values, _PUSH))
    pressed, _ = nnls(root[:, None] * vectors.T, (vectors.T @ (gain / size)) / root)
    y = np.zeros_like(slope)
    np.add.at(y, side, sign * pressed / size)
    return y


def _solve_symmetric(matrix: Matrix, right: Matrix) -> Matrix:
    """Smallest solution of a symmetric system that may be singular, scaled to unit diagonal."""
    size = np.sqrt(np.maximum(np.diagonal(matrix), np.finfo(float).tiny))
    scaled = matrix / np.outer(size, size)
    across = size if right.ndim == 1 else size[:, None]
    return np.asarray(np.linalg.lstsq(scaled, right / across, rcond=1e-15)[0] / across)


def _line_search(
    program: CreditProgram,
    slope: Vector,
    inverse: Vector,
    pulled: Vector,
    nu: Vector,
    turn: Vector,
    k: int,
) -> float:
    """Length at which the dual stops rising: 1 where the full step is good, else by halving."""

    def rising(length: float) -> float:
        w = np.clip(-(slope + length * pulled) * inverse, program.lower, program.upper)
        y = nu[k:] + length * turn[k:]
        bound = np.where(y > 0, program.row_upper, np.where(y < 0, program.row_lower, 0.0))
        bound = np.where(np.isfinite(bound), bound, 0.0)
        of_factors = 0.5 * float((nu[:k] + length * turn[:k]) @ turn[:k])
        return float(pulled @ w) - of_factors - float(bound @ turn[k:])

    start = rising(0.0)
    if rising(1.0) >= -0.1 * abs(start):
        return 1.0
    short, long = 0.0, 1.0
    for _ in range(30):
        middle = 0.5 * (short + long)
        value = rising(middle)
        if abs(value) <= 0.1 * abs(start):
            return middle
        short, long = (middle, long) if value > 0 else (short, middle)
    return 0.5 * (short + long)
