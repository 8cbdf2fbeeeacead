"""Proofs that are recomputed from the program: optimal, infeasible, unbounded.

A solver's word is never one of them. Signs follow one Lagrangian throughout::

    L(w, y) = f(w) + yᵀ(A w)      y_r > 0 presses row r against its upper bound, < 0 its lower

and every measure is relative, so that changing the unit of money, of the returns or of a row
changes no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.program.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram, Rows

    Vector = NDArray[np.float64]

# A minimum of exactly zero (fewer periods than customers, D = 0) has no relative gap. It counts as
# reached when the gap is 1e-6 × tolerance of the variance that the same shares would have if all
# customers moved together. Rounding of F w leaves about 1e-16 of that variance, the default
# tolerance asks for 1e-15, and a diversified book of a million customers still has 1e-6 of it, so
# that there the plain relative gap decides.
UNDIVERSIFIED = 1e-6

# A Farkas sum is a difference of sums of up to 1e6 rounded products; 1e-13 of their absolute size
# is some hundred times the rounding seen, and far below any tolerance a caller asks for.
_ROUNDING = 1e-13


@dataclass(frozen=True, slots=True)
class Certificate:
    """How far a point is from optimal, recomputed from the program.

    Attributes
    ----------
    primal : float
        Largest violation of a row or bound: of a row relative to the size of its terms, or of what
        the largest share could add to it where that is more; of a bound to the largest share.
    dual : float
        Largest slope that no multiplier explains, relative to the largest of the terms that make
        it up (risk, linear cost, rows). Only a variable with an open side can have one; all else
        is counted in the gap.
    gap : float
        No feasible point has an objective lower by more than this, relative to the objective.
    tolerance : float
        What each of the three was held against.
    """

    primal: float
    dual: float
    gap: float
    tolerance: float

    @property
    def worst(self) -> float:
        """Largest of the three residuals; NaN, which never holds, where one of them is."""
        return float(np.max([self.primal, self.dual, self.gap]))

    @property
    def holds(self) -> bool:
        """Whether all three residuals are within the tolerance."""
        return bool(self.worst <= self.tolerance)

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "does not hold"
        return (
            f"primal {self.primal:.1e}, dual {self.dual:.1e}, gap {self.gap:.1e}: "
            f"{verdict} at {self.tolerance:.0e}"
        )


@dataclass(frozen=True, eq=False, slots=True)
class Examination:
    """What was found of a point.

    Attributes
    ----------
    certificate : Certificate
        With infinite residuals where the point is not finite.
    y : ndarray, shape (q,)
        The multipliers that the certificate used.
    z : ndarray, shape (n,)
        Multipliers of the bounds: ∇f + Aᵀy + z = 0 wherever a bound can carry it.
    exposure : ndarray, shape (k,)
        F w.
    objective : float
        ‖F w‖² + wᵀDw + cᵀw.
    scale : float
        What the gap is relative to: the terms of the objective, and a little that counts where
        they vanish.
    """

    certificate: Certificate
    y: Vector
    z: Vector
    exposure: Vector
    objective: float
    scale: float


def certify(
    program: CreditProgram,
    w: Vector,
    y: Vector,
    tolerance: float,
    columns: Columns | None = None,
) -> tuple[Certificate, Vector, Vector]:
    """Measure how far shares w with row multipliers y are from optimal: see ``examine``.

    Returns
    -------
    certificate : Certificate
    y : ndarray, shape (q,)
    z : ndarray, shape (n,)
    """
    seen = examine(program, w, y, tolerance, columns)
    return seen.certificate, seen.y, seen.z


def examine(
    program: CreditProgram,
    w: Vector,
    y: Vector,
    tolerance: float,
    columns: Columns | None = None,
) -> Examination:
    """Measure how far shares w with row multipliers y are from optimal.

    For every feasible v, convexity gives f(v) ≥ f(w) + ∇f(w)ᵀ(v − w). Writing ∇f = d − Aᵀy, each
    term of the right side is smallest at a bound, which bounds f(w) − f(v) from above: the gap.

    Parameters
    ----------
    program : CreditProgram
    w : ndarray, shape (n,)
    y : ndarray, shape (q,)
        Multipliers in the Lagrangian's sign; a sign that presses on an open side is set to 0.
    tolerance : float
    columns : Columns, optional
        Of the same program, where there is one with a pool of threads.
    """
    if not (np.isfinite(w).all() and np.isfinite(y).all()):
        nothing = Certificate(np.inf, np.inf, np.inf, tolerance)
        exposure = np.full(program.n_factors, np.nan)
        return Examination(nothing, np.zeros_like(y), np.zeros_like(w), exposure, np.nan, np.nan)
    columns = Columns(program) if columns is None else columns
    y = admissible(y, program.row_lower, program.row_upper)
    # A diverged point overflows on its way to an infinite residual.
    with np.errstate(over="ignore", invalid="ignore"):
        levels = measure_levels(program, columns, w)
        slopes, z = measure_slopes(program, columns, w, levels.exposure, y)
        certificate = conclude(program, levels, slopes, y, tolerance)
        objective = float(levels.exposure @ levels.exposure) + levels.spread + levels.cost
        scale = _objective_scale(levels)
    return Examination(certificate, y, z, levels.exposure, objective, scale)


@dataclass(frozen=True, eq=False, slots=True)
class Levels:
    """What one pass over some customers adds up: F w, A w, and the sizes of their terms."""

    exposure: Vector
    activity: Vector
    row_terms: Vector
    row_entries: Vector
    together: float
    largest_norm: float
    largest_share: float
    spread: float
    cost: float
    cost_size: float

    @classmethod
    def of_all(cls, parts: Sequence[Levels]) -> Levels:
        """Put together what was found of each part of the customers."""

        def total(name: str) -> Any:
            return sum(getattr(part, name) for part in parts)

        return cls(
            exposure=np.asarray(total("exposure")),
            activity=np.asarray(total("activity")),
            row_terms=np.asarray(total("row_terms")),
            row_entries=np.maximum.reduce([part.row_entries for part in parts]),
            together=float(total("together")),
            largest_norm=max(part.largest_norm for part in parts),
            largest_share=max(part.largest_share for part in parts),
            spread=float(total("spread")),
            cost=float(total("cost")),
            cost_size=float(total("cost_size")),
        )


@dataclass(frozen=True, eq=False, slots=True)
class Slopes:
    """What the second pass finds: largest slopes, what no bound carries, the bounds' gap."""

    risk: float
    linear: float
    rows: float
    unexplained: float
    gap: float
    outside: float

    @classmethod
    def of_all(cls, parts: Sequence[Slopes]) -> Slopes:
        """Put together what was found of each part of the customers."""

        def largest(name: str) -> float:  # unlike max(), this passes NaN on
            return float(np.max([getattr(part, name) for part in parts]))

        return cls(
            risk=largest("risk"),
            linear=largest("linear"),
            rows=largest("rows"),
            unexplained=largest("unexplained"),
            gap=float(sum(part.gap for part in parts)),
            outside=largest("outside"),
        )


def measure_levels(program: CreditProgram, columns: Columns, w: Vector) -> Levels:
    """Make the certificate's first pass, over the customers of a program or of a part of one."""

    def block(at: slice) -> Levels:
        F, A, share = columns.F[:, at], columns.rows(at), w[at]
        size, entries = np.abs(share), absolute(A)
        norms = columns.factor_norms(at)
        linear = program.linear[at]
        return Levels(
            exposure=F @ share,
            activity=A @ share,
            row_terms=entries @ size,
            row_entries=_largest_entries(entries),
            together=float(norms @ size),
            largest_norm=float(norms.max()),
            largest_share=float(size.max()),
            spread=float((program.idiosyncratic[at] * share) @ share),
            cost=float(linear @ share),
            cost_size=float(np.abs(linear) @ size),
        )

    return Levels.of_all(columns.each(block))


def measure_slopes(
    program: CreditProgram, columns: Columns, w: Vector, exposure: Vector, y: Vector
) -> tuple[Slopes, Vector]:
    """Make the second pass, given F w over all customers: what it finds, and the bounds' z."""
    z = np.empty(columns.n)

    def block(at: slice) -> Slopes:
        share, linear = w[at], program.linear[at]
        risk = exposure @ columns.F[:, at]
        risk += program.idiosyncratic[at] * share
        risk *= 2.0
        pull = np.asarray(columns.rows(at).T @ y)
        residual = risk + pull
        residual += linear
        explained = np.negative(residual)
        to_lower, to_upper = share - program.lower[at], program.upper[at] - share
        gap, unexplained = _carry(explained, to_lower, to_upper)
        z[at] = explained
        return Slopes(
            risk=_size(risk),
            linear=_size(linear),
            rows=_size(pull),
            unexplained=unexplained,
            gap=gap,
            outside=max(-float(to_lower.min()), -float(to_upper.min()), 0.0),
        )

    return Slopes.of_all(columns.each(block)), z


def _carry(explained: Vector, to_lower: Vector, to_upper: Vector) -> tuple[float, float]:
    """Let bounds carry slopes: the gap that leaves, and the largest slope on an open side.

    What nothing carries is set to zero in ``explained``; a distance may be infinite.
    """
    unexplained = 0.0
    open_above, open_below = np.isinf(to_upper), np.isinf(to_lower)
    if open_above.any() or open_below.any():
        alone = (open_above & (explained > 0)) | (open_below & (explained < 0))
        unexplained = float(np.abs(explained[alone]).max(initial=0.0))
        explained[alone] = 0.0
        to_lower, to_upper = (
            np.where(open_below, 0.0, to_lower),
            np.where(open_above, 0.0, to_upper),
        )
    above = np.maximum(explained, 0.0)
    below = above - explained
    return float(above @ np.abs(to_upper) + below @ np.abs(to_lower)), unexplained


def _size(values: Vector) -> float:
    """Largest absolute value; NaN where there is one."""
    return float(np.maximum(values.max(), -values.min()))


def conclude(
    program: CreditProgram, levels: Levels, slopes: Slopes, y: Vector, tolerance: float
) -> Certificate:
    """Weigh what both passes found over all customers.

    Of the program only the bounds of its rows are read, so that one without customers' data will
    do. The multipliers y are those of the second pass, each pressing on a closed side.
    """
    gap = slopes.gap + _slack_cost(y, levels.activity, program.row_lower, program.row_upper)
    # A row that seems to hold exactly holds up to the rounding of its terms, which a multiplier of
    # 1e100 would hide behind a distance of zero.
    gap += float(np.finfo(float).eps * np.abs(y) @ levels.row_terms)
    return Certificate(
        primal=_primal(program, levels, slopes.outside),
        dual=_relative(slopes.unexplained, _slope_scale(levels, slopes)),
        gap=_relative(gap, _objective_scale(levels)),
        tolerance=tolerance,
    )


def _primal(program: CreditProgram, levels: Levels, outside: float) -> float:
    largest = levels.largest_share
    worst = outside / max(largest, outside) if outside > 0 else 0.0
    if program.n_rows == 0:
        return worst
    violation, bound = row_violation(program, levels.activity)
    size = np.maximum(levels.row_terms, np.abs(bound))
    # A row whose terms all vanish (no credit in an interval) is measured as a bound is.
    size = np.maximum(size, largest * levels.row_entries)
    relative = np.divide(violation, size, out=np.zeros_like(violation), where=violation > 0)
    return max(worst, float(relative.max()))


def absolute(A: Rows) -> Rows:
    """Return |A|, entry by entry; A itself where nothing is negative."""
    if isinstance(A, np.ndarray):
        return A if A.size == 0 or A.min() >= 0 else np.abs(A)
    return abs(A)


def _largest_entries(sizes: Rows) -> Vector:
    if isinstance(sizes, np.ndarray):
        return np.asarray(sizes.max(axis=1))
    return np.asarray(sizes.max(axis=1).todense(), dtype=np.float64).ravel()


def row_violation(program: CreditProgram, activity: Vector) -> tuple[Vector, Vector]:
    """How far each row is outside its bounds, and the nearer of its finite bounds (else 0)."""
    below = program.row_lower - activity
    above = activity - program.row_upper
    nearer = np.where(below > above, program.row_lower, program.row_upper)
    return np.maximum(np.maximum(below, above), 0.0), np.where(np.isfinite(nearer), nearer, 0.0)


def infeasibility_margin(program: CreditProgram, y: Vector) -> float:
    """By how much row multipliers y prove that no point meets all rows and bounds.

    For any w within its bounds, yᵀA w ≥ the smallest value over the box; the rows allow at most
    the largest value of yᵀa over row_lower ≤ a ≤ row_upper. If the first exceeds the second,
    nothing is feasible (Farkas).

    Returns
    -------
    float
        The excess relative to the size of its terms; positive proves infeasibility, and a value
        of 1e-6 says that the rows miss each other by about a millionth.
    """
    y = np.where(np.isfinite(y), y, 0.0)
    y = admissible(y, program.row_lower, program.row_upper)
    if not y.any():
        return 0.0
    pull = np.asarray(program.rows.T @ y)
    sizes = np.asarray(absolute(program.rows).T @ np.abs(y))
    pull = np.where(np.abs(pull) <= _ROUNDING * sizes, 0.0, pull)
    least, least_size = _extreme(pull, program.lower, program.upper)
    most, most_size = _extreme(-y, program.row_lower, program.row_upper)
    excess = least + most
    size = least_size + most_size
    if not np.isfinite(excess) or size == 0 or excess <= _ROUNDING * size:
        return 0.0
    return float(excess / size)


def descends_forever(program: CreditProgram, ray: Vector, tolerance: float) -> bool:
    """Whether a direction lowers the objective without end and without leaving the feasible set."""
    length = float(np.abs(ray).max())
    if not np.isfinite(length) or length == 0:
        return False
    v = ray / length
    gain = float(program.linear @ v)
    cost_size = float(np.abs(program.linear) @ np.abs(v))
    F, A = program.factors, program.rows
    flat = bool((np.abs(F @ v) <= tolerance * (np.abs(F) @ np.abs(v))).all())
    flat = flat and not (v[program.idiosyncratic > 0] != 0).any()
    moves = np.asarray(A @ v)
    slack = tolerance * np.asarray(absolute(A) @ np.abs(v))
    stays = _recedes(moves, slack, program.row_lower, program.row_upper)
    stays = stays and _recedes(v, np.zeros_like(v), program.lower, program.upper)
    return bool(flat and stays and gain < -np.sqrt(tolerance) * cost_size)


def _recedes(move: Vector, slack: Vector, lower: Vector, upper: Vector) -> bool:
    falls = (move < -slack) & np.isfinite(lower)
    rises = (move > slack) & np.isfinite(upper)
    return not bool((falls | rises).any())


def admissible(multiplier: Vector, lower: Vector, upper: Vector) -> Vector:
    """Set multipliers to zero that press against a side without a bound."""
    open_side = ((multiplier > 0) & ~np.isfinite(upper)) | ((multiplier < 0) & ~np.isfinite(lower))
    return np.where(open_side, 0.0, multiplier)


def _slack_cost(multiplier: Vector, value: Vector, lower: Vector, upper: Vector) -> float:
    """Σ |multiplier| × distance to the bound it presses against (complementary slackness)."""
    to_upper = np.subtract(upper, value, out=np.zeros_like(value), where=multiplier > 0)
    to_lower = np.subtract(value, lower, out=np.zeros_like(value), where=multiplier < 0)
    return float(np.abs(multiplier) @ np.abs(to_upper + to_lower))


def _relative(residual: float, scale: float) -> float:
    if residual == 0:
        return 0.0
    return residual / scale if 0 < scale < np.inf else np.inf


def _slope_scale(levels: Levels, slopes: Slopes) -> float:
    """Size of the terms of ∇f + Aᵀy; each can be large where their sum is zero."""
    terms = max(slopes.risk, slopes.linear, slopes.rows)
    return terms + UNDIVERSIFIED * 2.0 * levels.largest_norm * levels.together


def _objective_scale(levels: Levels) -> float:
    terms = float(levels.exposure @ levels.exposure) + levels.spread + abs(levels.cost)
    return terms + UNDIVERSIFIED * (levels.together * levels.together + levels.cost_size)


def _extreme(slope: Vector, lower: Vector, upper: Vector) -> tuple[float, float]:
    """Least value of slopeᵀv over lower ≤ v ≤ upper, and the absolute size of its terms."""
    at = np.where(slope > 0, lower, upper)
    terms = np.multiply(slope, at, out=np.zeros_like(slope), where=slope != 0)
    return float(terms.sum()), float(np.abs(terms).sum())
