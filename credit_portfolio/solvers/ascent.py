"""Ascent on the dual of a program, k + q multipliers ν, over any book that can be asked.

The dual is concave. Its slope is K w(ν) − (ν_F/2, 0) less the bounds that the rows press against,
its generalised Hessian −(K_free diag(1/2D) K_freeᵀ + diag(I/2, 0)). All here is of size k + q; what
takes a pass over the customers is asked of a ``Book``, on one machine or on many.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.optimize import nnls

from credit_portfolio.program.certificate import admissible
from credit_portfolio.solvers.response import BAND, Doubt, Response
from credit_portfolio.solvers.symmetric import solve_symmetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

# Each step leaves a fifth as many customers in doubt, until a vertex's k + q between their bounds
# have ten times as many to be chosen from.
NARROWER, LEAST_NEAR = 5.0, 10
NEWTON_STEPS = 20
# Sums of a million rounded products: below this a further step only moves the rounding.
_FINE_ENOUGH = 3e-13
# From here on a step squares the error, and the Hessian of the step before does as well; from there
# on no step is too long, and what a line search would see is rounding.
_NEARLY, _NEARER = 1e-3, 1e-6
# A whole step is taken as long as the dual then falls less steeply than it rose at first; one that
# is cut ends where it hardly rises or falls any more.
_STEEP, _FLAT = 0.5, 0.1
# One pass looks at so many lengths of a step, the next one at as many between two of them.
_LENGTHS, _LENGTH_ROUNDS = 15, 3
# Curvature, of one, that a combination of rows has at the least in the step for the rows.
_PUSH = 1e-13
# A multiplier that a step ends at zero is there up to the rounding of the step, some 1e-16 of it.
_ENDS = 1e-14


class Book(Protocol):
    """A program's customers, wherever they are.

    Attributes
    ----------
    frame : CreditProgram
        Its factors' number and its rows' bounds; of its customers nothing is read.
    n : int
        Number of customers.
    """

    frame: CreditProgram
    n: int

    def see(self, nu: Vector, doubt: Doubt | None, fraction: float) -> Response:
        """Say what they do at ν; the arguments are those of ``response.respond``."""

    def along(self, nu: Vector, turn: Vector, lengths: Vector) -> Vector:
        """Return turnᵀK w at ν + length · turn, for each length."""


def approach(book: Book, nu: Vector, seen: Response, doubt: Doubt) -> tuple[Vector, Doubt, float]:
    """Move multipliers that are nearly right to where few customers are left in doubt.

    A rare kind of customer is hardly in a sample, and a row that only these fill stays off by more
    than the customers near the edge can mend. The Hessian of the few between their bounds says
    nothing of it; but multipliers that are in doubt have an expected Hessian, in which everybody
    near the edge counts with his chance of being between. Newton steps with it, in ever narrower
    bands, leave a hundredth of the error or less.

    Parameters
    ----------
    book : Book
    nu : ndarray, shape (k + q,)
    seen : Response
        At ν, with this doubt and the width of ``BAND / NARROWER`` of the customers.
    doubt : Doubt

    Returns
    -------
    nu : ndarray, shape (k + q,)
    doubt : Doubt
    fraction : float
        How many are still in doubt.
    """
    enough, fraction, least = LEAST_NEAR * nu.size, BAND, np.inf
    best = nu, doubt, fraction
    while True:
        turn = turn_of(book.frame, seen, nu)
        gain = rising(book.frame, nu, turn, 0.0, float(turn @ seen.pushed))
        # A row that few customers fill can be off by as much as before while all multipliers
        # are nearer: what the next step would gain tells, and not the largest residual.
        if gain > 0.5 * least:
            return best
        best = nu, doubt, fraction
        if fraction * book.n < enough or not gain > 0:
            return best
        least = gain
        fraction /= NARROWER
        doubt = doubt.narrowed(seen.width)
        if not doubt.base > 0:
            return best
        nu, seen = _step(book, nu, turn, gain, doubt, fraction / NARROWER)


def in_doubt(fraction: float, n: int) -> float:
    """How many of n customers to solve for when a fraction is in doubt: more, to be sure."""
    return min(BAND, 2.0 * NARROWER * fraction) * n


def newton(book: Book, nu: Vector, seen: Response, tolerance: float) -> tuple[Vector, int] | None:
    """Maximise the dual by semismooth Newton steps; returns ν and their number, None without end.

    Parameters
    ----------
    book : Book
    nu : ndarray, shape (k + q,)
    seen : Response
        At ν.
    tolerance : float
        Relative, of e = F w and of the rows; rounding of the sums may end the progress before.
    """
    least, sure, gram = np.inf, Doubt.none(book.frame.n_rows), seen.gram
    for step in range(NEWTON_STEPS):
        error = error_of(book.frame, seen.pushed, nu)
        if error <= _FINE_ENOUGH or 0.5 * least < error <= tolerance:
            return nu, step
        least, gram = min(least, error), seen.gram if seen.gram.size else gram
        turn = turn_of(book.frame, replace(seen, gram=gram), nu)
        if error <= _NEARER:
            nu = moved(book.frame, nu, turn, 1.0)
            seen = book.see(nu, None, 0.0)
            continue
        start = rising(book.frame, nu, turn, 0.0, float(turn @ seen.pushed))
        nu, seen = _step(book, nu, turn, abs(start), sure if error > _NEARLY else None, 0.0)
    return None


def _step(
    book: Book, nu: Vector, turn: Vector, start: float, doubt: Doubt | None, fraction: float
) -> tuple[Vector, Response]:
    """Go along a turn on which the dual rises by ``start``, no further than it does."""
    ahead = moved(book.frame, nu, turn, 1.0)
    seen = book.see(ahead, doubt, fraction)
    if rising(book.frame, nu, turn, 1.0, float(turn @ seen.pushed)) < -_STEEP * start:
        ahead = moved(book.frame, nu, turn, _length(book, nu, turn, start))
        seen = book.see(ahead, doubt, fraction)
    return ahead, seen


def _length(book: Book, nu: Vector, turn: Vector, start: float) -> float:
    """Length at which the dual stops rising."""
    short, long = 0.0, 1.0
    for _ in range(_LENGTH_ROUNDS):
        lengths = np.linspace(short, long, _LENGTHS + 2)[1:-1]
        values = [
            rising(book.frame, nu, turn, float(length), float(total))
            for length, total in zip(lengths, book.along(nu, turn, lengths), strict=True)
        ]
        best = int(np.argmin(np.abs(values)))
        if abs(values[best]) <= _FLAT * start:
            return float(lengths[best])
        short = max([short, *(float(at) for at, v in zip(lengths, values, strict=True) if v > 0)])
        long = min([long, *(float(at) for at, v in zip(lengths, values, strict=True) if v <= 0)])
    return 0.5 * (short + long)


def _ascent(program: CreditProgram, pushed: Vector, nu: Vector) -> Vector:
    """Slope of the smooth part of the dual: K w − (ν_F/2, 0)."""
    ascent = pushed.copy()
    ascent[: program.n_factors] -= 0.5 * nu[: program.n_factors]
    return ascent


def error_of(program: CreditProgram, pushed: Vector, nu: Vector) -> float:
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


def turn_of(program: CreditProgram, response: Response, nu: Vector) -> Vector:
    """Maximise ascentᵀδ − δᵀHδ/2 − σ(y + δ_y), σ the support function of the rows' bounds.

    Factors and equality rows move freely and are eliminated. What is left has one variable of zero
    or more for each finite bound of a row, and is a non-negative least-squares problem.
    """
    k = program.n_factors
    y, ascent, hessian = nu[k:], _ascent(program, response.pushed, nu), response.gram.copy()
    hessian[np.arange(k), np.arange(k)] += 0.5
    # Mostly the rows that press go on pressing, and no others do: then one system tells the turn.
    same = _same_rows(program, hessian, ascent, y, y)
    if same is not None:
        return same
    equal = program.row_lower >= program.row_upper
    loose = np.concatenate([np.ones(k, dtype=bool), equal])
    open_side = ~loose
    first = ascent[loose].copy()
    first[k:] -= program.row_upper[equal]
    block, cross = hessian[np.ix_(loose, loose)], hessian[np.ix_(loose, open_side)]
    turn = np.zeros_like(ascent)
    if open_side.any():
        both = solve_symmetric(block, np.column_stack([cross, first]))
        schur = hessian[np.ix_(open_side, open_side)] - cross.T @ both[:, :-1]
        before = y[~equal]
        slope = ascent[open_side] - cross.T @ both[:, -1] + schur @ before
        after = _press(schur, slope, program.row_lower[~equal], program.row_upper[~equal])
        turn[open_side] = after - before
    turn[loose] = solve_symmetric(block, first - cross @ turn[open_side])
    after = y + turn[k:]
    after[np.abs(after) <= _ENDS * np.abs(turn[k:])] = 0.0
    # Multipliers are found to their own rounding, which rows that nearly depend on each other
    # magnify: near the optimum it is larger than what is left to turn. The turn itself is not.
    sharp = _same_rows(program, hessian, ascent, y, after)
    return turn if sharp is None else sharp


def _same_rows(
    program: CreditProgram, hessian: Matrix, ascent: Vector, y: Vector, pressing: Vector
) -> Vector | None:
    """Solve for the turn after which the rows that press have these signs; None if they cannot."""
    k = ascent.size - y.size
    equal = program.row_lower >= program.row_upper
    idle = ~equal & (pressing == 0)
    held = np.concatenate([np.ones(k, dtype=bool), ~idle])
    bound = np.where(equal | (pressing > 0), program.row_upper, program.row_lower)
    turn = np.zeros_like(ascent)
    turn[k:][idle] = -y[idle]
    left = ascent[held] - hessian[held] @ turn
    left[k:] -= bound[~idle]
    turn[held] = solve_symmetric(hessian[np.ix_(held, held)], left)
    if not np.isfinite(turn).all():
        return None
    level = (ascent - hessian @ turn)[k:]
    quiet = (level >= program.row_lower) & (level <= program.row_upper)
    kept = np.sign(y + turn[k:]) == np.sign(pressing)
    return turn if (equal | np.where(idle, quiet, kept)).all() else None


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


def moved(program: CreditProgram, nu: Vector, turn: Vector, length: float) -> Vector:
    """Return ν + length · turn, no multiplier pressing on an open side."""
    k = program.n_factors
    ahead: Vector = nu + length * turn
    ahead[k:] = admissible(ahead[k:], program.row_lower, program.row_upper)
    # A row that stops pressing ends at zero up to the rounding of its step.
    ahead[k:][np.abs(ahead[k:]) <= _ENDS * np.abs(turn[k:])] = 0.0
    return ahead


def rising(
    program: CreditProgram, nu: Vector, turn: Vector, length: float, of_customers: float
) -> float:
    """Slope of the dual along a turn.

    Parameters
    ----------
    program : CreditProgram
        Of its customers nothing is read.
    nu, turn : ndarray, shape (k + q,)
    length : float
    of_customers : float
        What they add up to: turnᵀK w at ν + length · turn.
    """
    k = program.n_factors
    before, change = nu[k:], turn[k:]
    y = before + length * change
    # A multiplier that the step ends at zero still presses where it came from: the slope has a jump
    # there, and rounding must not choose its side.
    ends = np.abs(y) <= _ENDS * (np.abs(before) + np.abs(change))
    y = np.where(ends, np.where(before == 0, change, before), y)
    bound = np.where(y > 0, program.row_upper, np.where(y < 0, program.row_lower, 0.0))
    bound = np.where(np.isfinite(bound), bound, 0.0)
    of_factors = 0.5 * float((nu[:k] + length * turn[:k]) @ turn[:k])
    return of_customers - of_factors - float(bound @ change)
