"""One block of a program in an interior point: its shares, slacks and multipliers, and its passes.

The last piece also carries the levels of the rows, as further variables without own variance.
All that a pass finds is added up over the pieces by the caller; pieces share nothing, so that
threads can work on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns, Tile
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Slack = sign · (x − bound), for the lower bounds and for the upper ones.
_SIGNS = np.array([[1.0], [-1.0]])
# A product s z within a decade of the centre stops no step (Gondzio 1996).
_OFF_CENTRE = 0.1
_NOTHING = np.empty(0)


@dataclass(frozen=True, eq=False, slots=True)
class Sight:
    """What a first pass finds.

    Attributes
    ----------
    pushed : ndarray, shape (k + q,)
        K x.
    right : ndarray, shape (k + q,)
        K Θ⁻¹ times what is left of the slopes without the bounds' multipliers.
    gram : ndarray, shape (k + q, k + q)
        K Θ⁻¹ Kᵀ over the customers alone.
    product, unexplained, steepest : float
        Σ s z; the largest slope that is left; the largest of the terms that make slopes up.
    together, own, cost, cost_size, shares : float
        Σ ‖F_i‖ |w_i|, wᵀ 2D w, cᵀw, |c|ᵀ|w|, wᵀw.
    """

    pushed: Vector
    right: Vector
    gram: Matrix
    product: float
    unexplained: float
    steepest: float
    together: float
    own: float
    cost: float
    cost_size: float
    shares: float

    @classmethod
    def of_all(cls, parts: Sequence[Sight]) -> Sight:
        """Add up what was found in each piece."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            pushed=np.asarray(sum(part.pushed for part in parts)),
            right=np.asarray(sum(part.right for part in parts)),
            gram=np.asarray(sum(part.gram for part in parts)),
            product=sum(part.product for part in parts),
            unexplained=float(np.max([part.unexplained for part in parts])),
            steepest=float(np.max([part.steepest for part in parts])),
            together=sum(part.together for part in parts),
            own=sum(part.own for part in parts),
            cost=sum(part.cost for part in parts),
            cost_size=sum(part.cost_size for part in parts),
            shares=sum(part.shares for part in parts),
        )


@dataclass(eq=False, slots=True)
class Piece:
    """Some customers, and in the last piece the rows, with x of shape (size,).

    ``slack`` and ``z`` have shape (2, size), lower bounds first. Where a bound is absent ``has`` is
    0, ``absent`` 1, the slack 1 and the multiplier 0; both are None where all bounds are there.

    Attributes
    ----------
    tile, k, m
        The block of columns, the number of factors, the number of customers (rows come after).
    own, linear, least : ndarray, shape (size,)
        2 D, c, and the least curvature: infinite for what may not move.
    scales : ndarray, shape (2, m)
        ‖F_i‖ and |c_i|, by which shares weigh in what residuals are held against.
    moves : ndarray, shape (m,), or None
        0 for customers with equal bounds; None where there are none.
    length : float
        How far the step goes; taken by the next ``look``.
    base, inverse : ndarray, shape (size,)
        Set by ``look``: what is left of the slopes but for the bounds' multipliers, and Θ⁻¹.
    cross : ndarray, shape (2, size)
        Set by ``predict``: Δs Δz.
    wanted : ndarray, shape (2, size)
        Set by ``correct`` and changed by ``bend``: the wanted changes of s z.
    step, d_slack, d_z : ndarray
        Set by ``turn``; ``straight`` keeps them from before ``bend``.
    """

    tile: Tile
    k: int
    m: int
    own: Vector
    linear: Vector
    least: Vector
    scales: Matrix
    has: Matrix | None
    absent: Matrix | None
    moves: Vector | None
    open_rows: Mask
    x: Vector
    slack: Matrix
    z: Matrix
    length: float = 0.0
    base: Vector = field(default_factory=lambda: _NOTHING)
    inverse: Vector = field(default_factory=lambda: _NOTHING)
    wanted: Matrix = field(default_factory=lambda: _NOTHING)
    cross: Matrix = field(default_factory=lambda: _NOTHING)
    step: Vector = field(default_factory=lambda: _NOTHING)
    d_slack: Matrix = field(default_factory=lambda: _NOTHING)
    d_z: Matrix = field(default_factory=lambda: _NOTHING)
    straight: tuple[Vector, Matrix, Matrix] = (_NOTHING, _NOTHING, _NOTHING)

    @property
    def bounds(self) -> int:
        """Number of finite bounds."""
        return 2 * self.x.size if self.has is None else int(self.has.sum())

    @property
    def product(self) -> float:
        """Σ s z."""
        return float(np.vdot(self.slack, self.z))

    @property
    def levels(self) -> Vector:
        """Levels of the rows; empty but in the last piece."""
        return self.x[self.m :]

    @property
    def give(self) -> Vector:
        """Θ⁻¹ of the rows; empty but in the last piece."""
        return self.inverse[self.m :]

    def look(self, nu: Vector) -> Sight:
        """Take the step that was found, and see what is left of all conditions there."""
        if self.length:
            self.x = self.x + self.length * self.step
            # Slacks move with their steps: w − lower would lose a small slack to cancellation.
            self.slack = self.slack + self.length * self.d_slack
            self.z = self.z + self.length * self.d_z
        m, x, z = self.m, self.x, self.z
        weighted = self.own * x
        base = self._pull(nu)
        base += weighted
        base += self.linear
        self.base = np.negative(base, out=base)
        curvature = z / self.slack
        theta = curvature[0] + curvature[1]
        theta += self.own
        # What may not move has an infinite least curvature.
        self.inverse = 1.0 / np.maximum(theta, self.least, out=theta)
        left = base[:m] + z[0, :m] - z[1, :m]
        if self.moves is not None:
            left *= self.moves
        both = np.empty((x.size, 2))
        np.multiply(self.inverse, base, out=both[:, 0])
        both[:, 1] = x
        pushed = self._push(both)
        w = x[:m]
        size = np.abs(w)
        together, cost_size = (self.scales @ size).tolist()
        return Sight(
            pushed=pushed[:, 1],
            right=pushed[:, 0],
            gram=self.tile.gram(self.inverse[:m]),
            product=self.product,
            unexplained=float(np.abs(left).max()),
            steepest=max(
                float(np.abs(base[:m]).max()), float(np.abs(weighted).max()), float(z[:, :m].max())
            ),
            together=together,
            own=float(weighted @ x),
            cost=float(self.linear @ x),
            cost_size=cost_size,
            shares=float(w @ w),
        )

    def predict(self, solved: Vector) -> tuple[Matrix, float, float]:
        """Find the step towards s z = 0, and what it leaves for the next right side.

        Returns
        -------
        pushed : ndarray, shape (k + q, 2)
            What the products of the steps add to the right side, and what aiming at a centre of
            one for all s z would.
        steepest : float
            Largest fall of a slack or multiplier in its own size.
        crossed : float
            Σ Δs Δz.
        """
        step = self.base - self._pull(solved)
        step *= self.inverse
        moved = self._signed(step)
        inverse_slack = 1.0 / self.slack
        ratio = moved * inverse_slack
        absent = 0.0 if self.absent is None else self.absent
        steepest = max(-float(ratio.min()), 1.0 + float((ratio - absent).max()))
        ratio += 1.0
        ratio *= self.z
        moved *= ratio
        self.cross = np.negative(moved, out=moved)
        if self.has is not None:
            inverse_slack *= self.has
        forces = moved * inverse_slack
        both = np.empty((step.size, 2))
        np.subtract(forces[1], forces[0], out=both[:, 0])
        np.subtract(inverse_slack[0], inverse_slack[1], out=both[:, 1])
        both *= self.inverse[:, None]
        return self._push(both), steepest, float(moved.sum())

    def correct(self, solved: Vector, centre: float) -> float:
        """Find the step towards the centre, with the predicted products; returns its steepness."""
        wanted = self.slack * self.z
        wanted += self.cross
        wanted -= centre if self.has is None else centre * self.has
        self.wanted = np.negative(wanted, out=wanted)
        return self.turn(solved)

    def turn(self, solved: Vector) -> float:
        """Find the step for the wanted changes of s z; returns its steepness."""
        slack, z = self.slack, self.z
        forces = self.wanted / slack
        forces += z
        step = self.base - self._pull(solved)
        step += forces[0]
        step -= forces[1]
        step *= self.inverse
        moved = self._signed(step)
        d_z = z * moved
        np.subtract(self.wanted, d_z, out=d_z)
        d_z /= slack
        self.step, self.d_slack, self.d_z = step, moved, d_z
        fall = -float((moved / slack).min())
        of_z = d_z / (z if self.absent is None else z + self.absent)
        return max(fall, -float(of_z.min()))

    def bend(self, reach: float, centre: float) -> Vector:
        """Ask for products s z that a longer step would leave within a decade of the centre.

        Returns
        -------
        ndarray, shape (k + q,)
            What that adds to the right side.
        """
        self.straight = self.step, self.d_slack, self.d_z
        product = (self.slack + reach * self.d_slack) * (self.z + reach * self.d_z)
        into = np.clip(product, _OFF_CENTRE * centre, centre / _OFF_CENTRE) - product
        change = np.maximum(into, -centre / _OFF_CENTRE)
        if self.has is not None:
            change *= self.has
        self.wanted = self.wanted + change
        forces = change / self.slack
        return self._push(self.inverse * (forces[0] - forces[1]))

    def unbend(self) -> None:
        """Go back to the step before the last change of the wanted products."""
        self.step, self.d_slack, self.d_z = self.straight

    def _signed(self, step: Vector) -> Matrix:
        moved: Matrix = _SIGNS * step
        if self.has is not None:
            moved *= self.has
        return moved

    def _pull(self, v: Vector) -> Vector:
        """Kᵀ v, the rows' part −v included."""
        pulled = self.tile.pull(v)
        return pulled if self.m == self.x.size else np.concatenate([pulled, -v[self.k :]])

    def _push(self, x: Matrix) -> Matrix:
        """K x, the rows' part −x included."""
        pushed = self.tile.push(x[: self.m])
        if self.m < len(x):
            pushed[self.k :] -= x[self.m :]
        return pushed


def cut(
    program: CreditProgram,
    columns: Columns,
    w: Vector,
    a: Vector,
    force: float,
    product: float,
    least: float,
) -> list[Piece]:
    """Cut a program into pieces.

    Parameters
    ----------
    program : CreditProgram
    columns : Columns
        Of the same program.
    w, a : ndarray, shapes (n,) and (q,)
        Shares and levels of rows, strictly within those bounds that are not equal.
    force : float
        First multiplier of each bound of a share.
    product : float
        First product of slack and multiplier for each bound of a row.
    least : float
        Least curvature, as a part of the mean variance.
    """
    tiles = columns.tiles()
    norms = [np.sqrt(np.einsum("ki,ki->i", F, F)) for F in (columns.F[:, t.at] for t in tiles)]
    mean = sum(float(part @ part) for part in norms) / columns.n
    mean += float(program.idiosyncratic.mean())
    floor = 2.0 * least * mean if mean > 0 else least
    rows = (program.row_lower, program.row_upper)
    last = len(tiles) - 1
    return [
        _piece(
            program,
            columns.k,
            tile,
            norm,
            w,
            a,
            rows if place == last else None,
            (force, product, floor),
        )
        for place, (tile, norm) in enumerate(zip(tiles, norms, strict=True))
    ]


def _piece(
    program: CreditProgram,
    k: int,
    tile: Tile,
    norms: Vector,
    w: Vector,
    a: Vector,
    rows: tuple[Vector, Vector] | None,
    sizes: tuple[float, float, float],
) -> Piece:
    at, (force, product, floor) = tile.at, sizes
    x, own, linear = w[at], 2.0 * program.idiosyncratic[at], program.linear[at]
    m = x.size
    bounds = np.stack([program.lower[at], program.upper[at]])
    open_rows = np.zeros(0, dtype=bool)
    if rows is not None:
        x, nothing = np.concatenate([x, a]), np.zeros(a.size)
        own, linear = np.concatenate([own, nothing]), np.concatenate([linear, nothing])
        bounds = np.concatenate([bounds, np.stack(rows)], axis=1)
        open_rows = np.isinf(rows[0]) & np.isinf(rows[1])
    fixed = bounds[0] >= bounds[1]
    has = np.isfinite(bounds) & ~fixed
    slack = np.ones(bounds.shape)
    np.subtract(x, bounds[0], out=slack[0], where=has[0])
    np.subtract(bounds[1], x, out=slack[1], where=has[1])
    z = np.where(has, force, 0.0)
    z[:, m:] = np.where(has[:, m:], product / slack[:, m:], 0.0)
    still = fixed.copy()
    still[m:] |= open_rows
    least = np.where(still, np.inf, floor)
    least[m:] = np.where(still[m:], np.inf, 0.0)
    return Piece(
        tile=tile,
        k=k,
        m=m,
        own=own,
        linear=linear,
        least=least,
        scales=np.stack([norms, np.abs(linear[:m])]),
        has=None if has.all() else has.astype(np.float64),
        absent=None if has.all() else (~has).astype(np.float64),
        moves=None if not fixed[:m].any() else (~fixed[:m]).astype(np.float64),
        open_rows=open_rows,
        x=x,
        slack=slack,
        z=z,
    )
