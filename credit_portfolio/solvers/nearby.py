"""From one optimum to the next: Newton's steps over the customers who may change sides.

Where a bound has moved a little, most customers keep their sides: those at a bound stay, and those
between their bounds move in proportion to the multipliers. Of all these the dual's slope and
Hessian are known without looking at them again; only the few whose slope comes near the edge are
asked at each step. One pass at the end looks for others who changed sides.

Where nearly all are at a bound, the Hessian of the few between says little: ``Edge`` holds all
others where they are, and steps with a Hessian in which the nearest count as well, the less the
nearer the optimum is. It serves several programs in a row; that nobody far away has to move is
seen by the certificate, which looks at everybody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.program.certificate import absolute
from credit_portfolio.solvers.ascent import error_of, moved, newton, rising, turn_of
from credit_portfolio.solvers.response import (
    Doubt,
    Response,
    bound_slopes,
    distance_of,
    share_at,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.columns import Columns
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = NDArray[np.intp]

# A customer is near where this many times the first step would take his slope over the edge: the
# steps after the first are smaller, but kinks make some of them longer.
REACH = 3.0
# From this part of all on, looking at everybody costs as much.
MOST = 0.5
# And so many at the least: a step that changes nobody's side would leave none.
FEWEST = 64

# What was left behind is of the same multipliers up to the rounding of F w.
_SAME = 1e-9

# At the edge so many times as many as there are multipliers are asked, and in the Hessian so many
# times as many of them count: a vertex leaves about as many between their bounds as there are.
_ASKED, _COUNTED = 24, 5
# From this part of all on, everybody is asked: choosing costs as much.
_ALL = 0.25
# A row that those asked fill no more than others do gets so many times k + q of its own nearest.
_OF_ROW = 2
# The weight in the Hessian of those who do not lie between their bounds is so many times the
# relative error, one at the most: it slows the last steps by no more than they square the error.
_WEIGHT = 10.0
# Where nobody counted fills a row, it has no curvature at all. It gets this part of what it would
# have if all who are asked counted, as long as the others have a weight; and a hundred times as
# much where a turn without it does not rise.
_FLOOR, _FIRMER = 1e-4, 100.0
# Steps seen: 4 to 8, up to 30 at the end of what can be reached.
_STEPS = 30
# From here on the Hessian is the one at the multipliers alone, and every step is a whole one.
_NEARER = 1e-6
# Sums of thousands of rounded products: below this a further step only moves the rounding.
_FINE_ENOUGH = 3e-13
# A whole step is taken where the dual then falls no more steeply than this part of before.
_STEEP = 0.5
# Nine in ten slopes may move as far as those who are not asked are from changing sides, and no step
# goes twice as far; which of them do change, a look at everybody tells.
_MOST_OF, _ASTRAY, _LONGEST = 0.9, 1.0, 2.0


class Nearby:
    """A book in which some customers answer, and all others move along the first step's line.

    Attributes
    ----------
    frame : CreditProgram
    n : int
    nu : ndarray, shape (k + q,)
        Where the line starts.
    """

    def __init__(
        self,
        program: CreditProgram,
        columns: Columns,
        nu: Vector,
        slope: Vector,
        seen: Response,
        near: Index,
    ) -> None:
        self.frame, self.n, self.nu = program, program.n_customers, nu
        self.K = columns.taken(near)
        self.own = 2.0 * program.idiosyncratic[near]
        self.lower, self.upper = program.lower[near], program.upper[near]
        self.linear = program.linear[near]
        w, free = self._answer(slope[near])
        self.pushed = seen.pushed - self.K @ w
        self.gram = seen.gram - self._curve(free)

    def see(self, nu: Vector, doubt: Doubt | None, fraction: float) -> Response:
        """Say what all do at ν; only the near ones are asked."""
        del fraction
        slope = nu @ self.K + self.linear
        w, free = self._answer(slope)
        return Response(
            pushed=self.pushed - self.gram @ (nu - self.nu) + self.K @ w,
            gram=np.empty((0, 0)) if doubt is None else self.gram + self._curve(free),
            between=free.size,
            width=0.0,
            steepest=0.0,
        )

    def along(self, nu: Vector, turn: Vector, lengths: Vector) -> Vector:
        """Return turnᵀK w at ν + length · turn, for each length."""
        slope, pulled = nu @ self.K + self.linear, turn @ self.K
        first = float(turn @ (self.pushed - self.gram @ (nu - self.nu)))
        fall = float(turn @ self.gram @ turn)
        return np.array(
            [
                first - length * fall + pulled @ self._answer(slope + length * pulled)[0]
                for length in lengths
            ]
        )

    def _answer(self, slope: Vector) -> tuple[Vector, Index]:
        """Return shares at these slopes, and who lies between his bounds."""
        at_lower, at_upper = bound_slopes(slope, self.own, self.lower, self.upper)
        free = np.flatnonzero((at_lower < 0) & (at_upper > 0) & (self.own > 0))
        return share_at(slope, self.own, self.lower, self.upper), free

    def _curve(self, free: Index) -> Matrix:
        some = self.K[:, free]
        return np.asarray((some / self.own[free]) @ some.T)


def follow(
    program: CreditProgram,
    columns: Columns,
    nu: Vector,
    slope: Vector,
    seen: Response,
    tolerance: float,
    reach: float = REACH,
) -> tuple[Vector, Matrix, NDArray[np.bool_], int] | None:
    """Go from multipliers near the optimum to those where nobody near moves the dual any more.

    Parameters
    ----------
    program : CreditProgram
    columns : Columns
        Of the same program.
    nu : ndarray, shape (k + q,)
    slope : ndarray, shape (n,)
        c + Kᵀν.
    seen : Response
        At ν, without doubt.
    tolerance : float
    reach : float
        By how many first steps a customer may be away from changing sides.

    Returns
    -------
    nu : ndarray, shape (k + q,)
    gram : ndarray, shape (k + q, k + q)
        There, as long as those far away have kept their sides.
    far : ndarray of bool, shape (n,)
        Who was taken to keep his side.
    steps : int
        None where too many are near, or the steps do not end.
    """
    change = np.abs(columns.pull(turn_of(program, seen, nu)))
    own = 2.0 * program.idiosyncratic
    at_lower, at_upper = bound_slopes(slope, own, program.lower, program.upper)
    distance = np.minimum(np.abs(at_lower), np.abs(at_upper))
    near = distance <= reach * change
    count = int(np.count_nonzero(near))
    if count > MOST * program.n_customers:
        return None
    if count < FEWEST:
        near[np.argpartition(distance, FEWEST)[:FEWEST]] = True
    book = Nearby(program, columns, nu, slope, seen, np.flatnonzero(near))
    found = newton(book, nu, seen, tolerance)
    if found is None:
        return None
    return found[0], book.see(found[0], Doubt.none(columns.q), 0.0).gram, ~near, found[1]


def sides(program: CreditProgram, slope: Vector) -> NDArray[np.int8]:
    """Return −1 at the lower bound, 1 at the upper one, 0 between, shape (n,)."""
    own = 2.0 * program.idiosyncratic
    at_lower, at_upper = bound_slopes(slope, own, program.lower, program.upper)
    found: NDArray[np.int8] = np.zeros(slope.size, dtype=np.int8)
    found[at_lower >= 0] = -1
    found[at_upper <= 0] = 1
    return found


class Edge:
    """The customers nearest to changing sides; all others are held where they are.

    Attributes
    ----------
    program : CreditProgram
        The last one that was followed.
    nu : ndarray, shape (k + q,)
        Where it was followed to.
    everybody : bool
        Whether nobody is held.
    """

    def __init__(
        self,
        program: CreditProgram,
        columns: Columns,
        nu: Vector,
        slope: Vector,
        seen: Response,
        times: int = 1,
    ) -> None:
        self.program, self.nu = program, nu
        own, n = 2.0 * program.idiosyncratic, program.n_customers
        distance = distance_of(*bound_slopes(slope, own, program.lower, program.upper))
        size = times * _ASKED * nu.size
        self.everybody = size >= _ALL * n
        near = np.arange(n) if self.everybody else np.argpartition(distance, size)[:size]
        self._far = float(distance[near].max())
        K = columns.taken(near)
        more = _of_rare_rows(program, columns, distance, K[columns.k :])
        if more.size:
            near = np.union1d(near, more)
            K = columns.taken(near)
        # A customer's column in one piece: each step picks some of them.
        self._each = np.ascontiguousarray(K.T)
        self._near, self._own = near, own[near]
        self._lower, self._upper = program.lower[near], program.upper[near]
        self._first = self._slope = slope[near]
        self._shares = share_at(slope, own, program.lower, program.upper)
        self._others = seen.pushed - self._shares[near] @ self._each
        self._counted = min(_COUNTED * nu.size, near.size - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.minimum((self._upper - self._lower) / (2.0 * self._far), 1.0 / self._own)
        self._if_all = np.where(np.isfinite(each), each, 0.0) @ (self._each * self._each)

    def fits(self, program: CreditProgram, nu: Vector) -> bool:
        """Whether it is known of the customers of this program, at these multipliers."""
        return alike(self.program, program) and same(self.nu, nu)

    def follow(self, program: CreditProgram, tolerance: float) -> tuple[int, bool] | None:
        """Go to where nobody near moves the dual any more, or those far away might move it.

        Parameters
        ----------
        program : CreditProgram
            With the same customers.
        tolerance : float
            Relative, of e = F w and of the rows; rounding of the sums may end the progress before.

        Returns
        -------
        steps : int
        settled : bool
            Whether nobody near moves it any more.
            None where the steps do not end, and multipliers stay what they were.
        """
        least, nu, slope, self.program = np.inf, self.nu, self._slope, program
        for step in range(_STEPS):
            pushed = self._others + self._answer(slope) @ self._each
            error = error_of(program, pushed, nu)
            if error <= _FINE_ENOUGH or 0.5 * least < error <= tolerance:
                self.nu, self._slope = nu, slope
                return step, True
            least, length = min(least, error), 1.0
            weight = min(1.0, _WEIGHT * error) if error > _NEARER else 0.0
            turn, start = self._turn(program, pushed, nu, self._curve(slope, weight))
            pulled = self._each @ turn
            if weight > 0:
                if not start > 0:
                    return None
                length = self._length(slope, pulled, start, turn[: program.n_factors])
                ahead = self._strayed(slope + length * pulled)
                length *= _LONGEST / max(ahead, _LONGEST)
            nu, slope = moved(program, nu, turn, length), slope + length * pulled
            if weight > 0 and self._strayed(slope) > _ASTRAY:
                self.nu, self._slope = nu, slope
                return step + 1, False
        return None

    def all_shares(self) -> Vector:
        """Return the shares of all, shape (n,)."""
        w = self._shares.copy()
        w[self._near] = self._answer(self._slope)
        return w

    def _turn(
        self, program: CreditProgram, pushed: Vector, nu: Vector, gram: Matrix
    ) -> tuple[Vector, float]:
        """Turn of a Newton step, and how steeply the dual rises along it."""
        seen = Response(pushed, gram, 0, 0.0, 0.0)
        turn = turn_of(program, seen, nu)
        start = rising(program, nu, turn, 0.0, float(turn @ pushed))
        if not start > 0:
            gram = gram + np.diag(_FIRMER * _FLOOR * self._if_all)
            firmer = turn_of(program, replace(seen, gram=gram), nu)
            rise = rising(program, nu, firmer, 0.0, float(firmer @ pushed))
            if rise > 0:
                return firmer, rise
        return turn, start

    def _answer(self, slope: Vector) -> Vector:
        return share_at(slope, self._own, self._lower, self._upper)

    def _strayed(self, slope: Vector) -> float:
        """How far most slopes moved, in distances of those far away from changing sides."""
        if self.everybody:
            return 0.0
        # Where all slopes grow alike, as towards the end of a range, nobody changes sides.
        squares = float(self._first @ self._first)
        grown = max(1.0, float(slope @ self._first) / squares) if squares > 0 else 1.0
        change = np.abs(slope - grown * self._first)
        place = int(_MOST_OF * change.size)
        most = float(np.partition(change, place)[place])
        return most / (grown * self._far) if self._far > 0 else np.inf

    def _curve(self, slope: Vector, weight: float) -> Matrix:
        """Return the Hessian there, by a weight the one expected in a band around it."""
        at_lower, at_upper = bound_slopes(slope, self._own, self._lower, self._upper)
        free = (at_lower < 0) & (at_upper > 0) & (self._own > 0)
        curve = np.divide(1.0 - weight, self._own, out=np.zeros_like(slope), where=free)
        if weight > 0:
            distance = distance_of(at_lower, at_upper)
            band = float(np.partition(distance, self._counted)[self._counted])
            if band > 0:
                change = self._answer(slope - band) - self._answer(slope + band)
                curve += change * (weight / (2.0 * band))
        some = np.flatnonzero(curve)
        taken = self._each[some] * np.sqrt(curve[some])[:, None]
        gram = np.asarray(taken.T @ taken)
        gram[np.diag_indices_from(gram)] += _FLOOR * weight * self._if_all
        return gram

    def _length(self, slope: Vector, pulled: Vector, start: float, factors: Vector) -> float:
        """Length up to one at which the dual stops rising, from how steeply it rises at first.

        Between the lengths at which a customer leaves a bound or comes to one the rise falls
        evenly, so that the end of it is found exactly.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            to_upper = -(slope + self._own * self._upper) / pulled
            to_lower = -(slope + self._own * self._lower) / pulled
            steep = np.where(self._own > 0, pulled * pulled / self._own, 0.0)
        enter, leave = np.minimum(to_upper, to_lower), np.maximum(to_upper, to_lower)
        between = (enter <= 0) & (leave > 0)
        entering, leaving = (enter > 0) & (enter < 1), (leave > 0) & (leave < 1)
        fall = 0.5 * float(factors @ factors) + float(steep[between].sum())
        at = np.concatenate([[0.0], enter[entering], leave[leaving], [1.0]])
        change = np.concatenate([[fall], steep[entering], -steep[leaving], [0.0]])
        order = np.argsort(at, kind="stable")
        at, falls = at[order], np.cumsum(change[order])
        rise = start - np.concatenate([[0.0], np.cumsum(falls[:-1] * np.diff(at))])
        if not rise[-1] < -_STEEP * start:
            return 1.0
        place = int(np.argmax(rise < 0))
        before, after = rise[place - 1], rise[place]
        return float(at[place - 1] + (at[place] - at[place - 1]) * before / (before - after))


def _of_rare_rows(
    program: CreditProgram, columns: Columns, distance: Vector, of_near: Matrix
) -> Index:
    """Find the nearest customers of rows that those near the edge fill less than others do.

    Nobody near would tell when such a row's multiplier goes too far.
    """
    filled = np.einsum("qi,qi->q", of_near, of_near)
    part = of_near.shape[1] / program.n_customers
    found = [np.empty(0, dtype=np.intp)]
    for row in np.flatnonzero(filled < part * columns.row_norms() ** 2):
        entries = absolute(program.rows[[row]])
        entries = (entries if isinstance(entries, np.ndarray) else entries.toarray())[0]
        filling = np.flatnonzero(entries)
        size = min(_OF_ROW * (columns.k + columns.q), filling.size - 1)
        found.append(filling[np.argpartition(distance[filling] / entries[filling], size)[:size]])
    return np.concatenate(found)


def alike(program: CreditProgram, other: CreditProgram) -> bool:
    """Whether two programs with the same factors and rows have the same customers."""
    names = ("idiosyncratic", "linear", "lower", "upper")
    return all(getattr(program, name) is getattr(other, name) for name in names)


def same(nu: Vector, other: Vector) -> bool:
    """Whether multipliers are the same up to the rounding of F w."""
    off = float(np.abs(nu - other).max(initial=0.0))
    return off <= _SAME * float(np.abs(other).max(initial=0.0))
