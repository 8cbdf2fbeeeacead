"""What customers do at given multipliers of the factors and rows.

Given multipliers ν of K w, K = [F; A], each customer's share follows by itself::

    w_i(ν) = clip(−(c_i + K_iᵀν) / 2 D_i, lower_i, upper_i)

Everything here takes a program or a part of one, and what it returns adds up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.program.certificate import absolute
from credit_portfolio.program.columns import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns, Tile
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = NDArray[np.intp] | slice

# Multipliers of a random part of the customers, or of last month's book, leave about this part of
# all in doubt about their side.
BAND = 1 / 32
# A row that few customers fill is in more doubt, by the root of how few; up to this part of them.
_RARE, _MOST = 0.25, 0.25
# Quantiles of distances are estimated from every sixteenth customer: they only choose how many to
# look at more closely.
_EVERY, _ENOUGH = 16, 8
# Slopes are never more certain than this part of the most doubtful one, whatever the sample said.
_CERTAIN = 1e-6
# From this part of a block on, all of it takes less time than picking.
_MANY = 0.7


@dataclass(frozen=True, eq=False, slots=True)
class Doubt:
    """How uncertain slopes are: that of customer i by base + Σ_r rows_r |A_ri|."""

    base: float
    rows: Vector

    @classmethod
    def none(cls, q: int) -> Doubt:
        """Multipliers taken as they are."""
        return cls(0.0, np.zeros(q))

    @classmethod
    def at(cls, program: CreditProgram, slope: Vector, y: Vector) -> Doubt:
        """Guess it where a small part of the customers should be in doubt.

        Parameters
        ----------
        program : CreditProgram
            The one that the multipliers come from.
        slope : ndarray, shape (n,)
            c + Kᵀν.
        y : ndarray, shape (q,)
            Multipliers of its rows.
        """
        n = program.n_customers
        own = 2.0 * program.idiosyncratic
        distance = distance_of(*bound_slopes(slope, own, program.lower, program.upper))
        rows = np.zeros(program.n_rows)
        for row in np.flatnonzero(y):
            entries = absolute(program.rows[[row]])
            entries = (entries if isinstance(entries, np.ndarray) else entries.toarray())[0]
            filled = np.flatnonzero(entries)
            if 0 < filled.size <= _RARE * n:
                part = min(BAND * (n / filled.size) ** 0.5, _MOST)
                rows[row] = _quantile(distance[filled] / entries[filled], part)
        return cls(_quantile(distance, BAND), rows)

    def narrowed(self, base: float) -> Doubt:
        """Return a smaller one, that of the rows as much smaller."""
        return Doubt(base, self.rows * min(base / self.base, 1.0) if self.base else self.rows)

    def of(self, tile: Tile) -> float | Vector:
        """By how much the slopes of a block are uncertain."""
        return self.base + tile.weigh(self.rows) if self.rows.any() else self.base

    def over(self, columns: Columns) -> Vector | None:
        """By how much each customer's slope is uncertain; None where all are alike."""
        if not self.rows.any():
            return None
        return np.concatenate([np.asarray(part) for part in columns.on(columns.tiles(), self.of)])


@dataclass(frozen=True, eq=False, slots=True)
class Response:
    """What the customers do at given multipliers.

    Attributes
    ----------
    pushed : ndarray, shape (k + q,)
        K w.
    gram : ndarray, shape (k + q, k + q)
        −∂(K w)/∂ν; where slopes are uncertain, what is expected of it. Empty where not asked for.
    between : int
        How many lie between their bounds.
    width : float
        A fraction of all customers is no further than this from changing sides.
    steepest : float
        Largest slope, against which rounding is measured.
    """

    pushed: Vector
    gram: Matrix
    between: int
    width: float
    steepest: float

    @classmethod
    def of_all(cls, parts: Sequence[Response], sizes: Sequence[int]) -> Response:
        """Add up the responses of parts, the widths weighted by their sizes."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            pushed=np.asarray(sum(part.pushed for part in parts)),
            gram=np.asarray(sum(part.gram for part in parts)),
            between=sum(part.between for part in parts),
            width=float(np.average([part.width for part in parts], weights=sizes)),
            steepest=max(part.steepest for part in parts),
        )


def responds(program: CreditProgram) -> bool:
    """Whether every multiplier gives every customer a finite share."""
    bounded = np.isfinite(program.lower) & np.isfinite(program.upper)
    return bool((bounded | (program.idiosyncratic > 0)).all())


def share_at(slope: Vector, own: Vector, lower: Vector, upper: Vector) -> Vector:
    """Return clip(−slope / own, lower, upper), own = 2 D; without own variance it is a bound."""
    w = np.negative(slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        w /= own
    if not own.all():
        w[np.isnan(w)] = 0.0  # 0 / 0: any share will do
    return np.clip(w, lower, upper, out=w)


def bound_slopes(slope: Vector, own: Vector, lower: Vector, upper: Vector) -> tuple[Vector, Vector]:
    """Return the slopes of the objective at both bounds.

    A customer is held at the lower bound where the first is not negative, at the upper one where
    the second is not positive, and else lies between.
    """
    with np.errstate(invalid="ignore"):
        at_lower, at_upper = slope + own * lower, slope + own * upper
    if not own.all():  # 0 × ∞
        at_lower[np.isneginf(lower)] = -np.inf
        at_upper[np.isposinf(upper)] = np.inf
    return at_lower, at_upper


def distance_of(at_lower: Vector, at_upper: Vector) -> Vector:
    """How far slopes are from changing sides; 0 between the bounds."""
    distance = np.maximum(at_lower, -at_upper)
    return np.maximum(distance, 0.0, out=distance)


def nearest(distance: Vector, reach: Vector | None, size: int) -> NDArray[np.intp]:
    """Find those nearest to changing sides, compared with the doubt about their slopes.

    Parameters
    ----------
    distance : ndarray, shape (n,)
    reach : ndarray, shape (n,), optional
        From ``Doubt.over``.
    size : int
        How many, below n.
    """
    if reach is not None:  # those between their bounds stay at 0, however sure their slopes are
        distance = distance / np.maximum(reach, _CERTAIN * float(reach.max()))
    return np.argpartition(distance, size)[:size]


def respond(
    program: CreditProgram,
    columns: Columns,
    nu: Vector,
    doubt: Doubt | None,
    fraction: float,
    slope: Vector | None = None,
) -> Response:
    """See what the customers of a program, or of a part of one, do at given multipliers.

    Parameters
    ----------
    program : CreditProgram
        Of which ``responds`` is true.
    columns : Columns
        Of the same program.
    nu : ndarray, shape (k + q,)
    doubt : Doubt or None
        For the expected Hessian; at zero doubt it is the Hessian itself. None: it is not needed.
    fraction : float
        Of the customers, whose distance from changing sides is asked for.
    slope : ndarray, shape (n,), optional
        Receives c + Kᵀν.
    """

    def block(tile: Tile) -> Response:
        at = tile.at
        lower, upper, own = program.lower[at], program.upper[at], 2.0 * program.idiosyncratic[at]
        here = tile.pull(nu)
        here += program.linear[at]
        if slope is not None:
            slope[at] = here
        at_lower, at_upper = bound_slopes(here, own, lower, upper)
        gram = np.empty((0, 0))
        if doubt is not None:
            reach = doubt.of(tile)
            near, weights = _in_doubt(here, reach, own, lower, upper, at_lower, at_upper)
            gram = tile.gram(weights, near)
        distance = distance_of(at_lower[::_EVERY], at_upper[::_EVERY])
        between = (at_lower < 0) & (at_upper > 0)
        return Response(
            pushed=tile.push(share_at(here, own, lower, upper)),
            gram=gram,
            between=int(np.count_nonzero(between)),
            width=_quantile(distance, fraction),
            steepest=max(float(here.max()), -float(here.min())),
        )

    tiles = columns.tiles()
    return Response.of_all(columns.on(tiles, block), [t.at.stop - t.at.start for t in tiles])


def _in_doubt(
    slope: Vector,
    reach: float | Vector,
    own: Vector,
    lower: Vector,
    upper: Vector,
    at_lower: Vector,
    at_upper: Vector,
) -> tuple[Index, Vector]:
    """Find who may lie between his bounds, and −dw/ds for each, on average over ± reach."""
    inside = (at_lower <= reach) & (at_upper >= -reach)
    many = np.count_nonzero(inside) > _MANY * inside.size
    near: Index = ALL if many else np.flatnonzero(inside)
    s, own, lower, upper = slope[near], own[near], lower[near], upper[near]
    sure = np.broadcast_to(reach == 0, inside.shape)[near]
    free = inside[near] & sure & (own > 0)
    weights = np.divide(1.0, own, out=np.zeros_like(s), where=free)
    if sure.all():
        return near, weights
    reach = np.where(sure, 1.0, np.broadcast_to(reach, inside.shape)[near])
    change = share_at(s - reach, own, lower, upper) - share_at(s + reach, own, lower, upper)
    return near, np.where(sure, weights, change / (2.0 * reach))


def along(
    program: CreditProgram, columns: Columns, nu: Vector, turn: Vector, lengths: Vector
) -> Vector:
    """Return turnᵀK w at ν + length · turn, for many lengths in one pass."""

    def block(tile: Tile) -> Vector:
        at = tile.at
        lower, upper, own = program.lower[at], program.upper[at], 2.0 * program.idiosyncratic[at]
        slope, pulled = tile.pull(nu), tile.pull(turn)
        slope += program.linear[at]
        shares = (share_at(slope + length * pulled, own, lower, upper) for length in lengths)
        return np.array([pulled @ w for w in shares])

    return np.asarray(sum(columns.on(columns.tiles(), block)))


def _quantile(distance: Vector, fraction: float) -> float:
    """Distance that a fraction is not beyond; of very few, by proportion from a few more."""
    wanted = fraction * distance.size
    place = min(max(int(wanted), _ENOUGH), distance.size - 1)
    found = float(np.partition(distance, place)[place])
    return found * min(wanted / _ENOUGH, 1.0)
