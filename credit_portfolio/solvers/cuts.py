"""How a box is cut: at a choice, kink, minimum line or ceiling that its relaxation gets wrong.

A branch is bounded by the multipliers of the box that it is cut from, before anything is solved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.program.alternatives import CONSTANT
from credit_portfolio.solvers.relaxation import Box, smallest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.alternatives import Alternatives, Peak
    from credit_portfolio.solvers.relaxation import Layout, Pool, Proved, Relaxation

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]
    Where = tuple[float, int, float]  # how much is missed, the column, and the place to cut

# A point counts when it misses its conditions by no more than a certificate allows.
MET = 1e-9
# Of so many columns that are missed most both sides are looked at before one is cut.
_LOOKED_AT = 30
# A kink of a row without price still has to be cut: it counts as this part of the largest price.
_FREE = 1e-6
# So does a share below its minimum line that has no variance of its own: as hardly anything.
_HARDLY = 1e-12


@dataclass(frozen=True, eq=False, slots=True)
class Seen:
    """What was found of a box.

    Attributes
    ----------
    box : Box
    bound : float
        The best bound on it, its parent's included.
    x : ndarray, shape (n,)
        Where the relaxation is smallest.
    proved : Proved
        By the multipliers of the relaxation.
    relaxed : Relaxation
    pool : tuple of (int, int)
        The ceilings that the relaxation holds, as its last rows.
    """

    box: Box
    bound: float
    x: Vector
    proved: Proved
    relaxed: Relaxation
    pool: Pool


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """A box in the queue, and the choice that makes it differ from its parent's.

    Attributes
    ----------
    bound : float
    box : Box
    peak, position : int
        Who is to reach which peak; −1 where the box says it all.
    before : ndarray of int or None
        Those who are given the choice in other branches: they need not reach it here.
    """

    bound: float
    box: Box
    peak: int = -1
    position: int = -1
    before: Index | None = None

    def opened(self, stated: Alternatives) -> Box:
        """Return the box with the choice made."""
        if self.peak < 0:
            return self.box
        peak = stated.reached[self.peak]
        lower, upper = self.box.lower.copy(), self.box.upper.copy()
        candidates = list(self.box.candidates)
        candidates[self.peak] = np.array([self.position], dtype=np.intp)
        if peak.variable == CONSTANT:
            i = peak.columns[self.position]
            lower[i] = max(lower[i], min(peak.level / peak.weights[self.position], upper[i]))
            if self.before is not None:
                others = peak.columns[self.before]
                short = peak.level / peak.weights[self.before]
                upper[others] = np.minimum(upper[others], np.maximum(short, lower[others]))
        return Box(lower, upper, tuple(candidates), self.box.pool)


def branches(layout: Layout, seen: Seen) -> list[Node]:
    """Return boxes that together hold all that a box allows; none where nothing is missed."""
    return _choice(layout, seen) or _sides(layout, seen)


def _choice(layout: Layout, seen: Seen) -> list[Node]:
    """One branch for each customer who may reach a peak: of those missed, the one that tells most.

    That is the one whose lowest branch has the highest bound; the fewest branches where they tie.
    """
    best: tuple[float, int] = (-np.inf, 0)
    chosen, of_chosen = -1, np.empty(0)
    for p, peak in enumerate(layout.stated.reached):
        positions, level = seen.box.candidates[p], peak.level_at(seen.x)
        if positions.size < 2 or level - peak.height(seen.x) <= MET * (abs(level) or 1.0):
            continue
        bounds = _bounds_of(layout, seen, peak, positions)
        told = (float(bounds.min()), -positions.size)
        if chosen < 0 or told > best:
            best, chosen, of_chosen = told, p, bounds
    if chosen < 0:
        return []
    order = np.argsort(of_chosen, kind="stable")
    positions = seen.box.candidates[chosen][order]
    return [
        Node(float(of_chosen[o]), seen.box, chosen, int(positions[r]), positions[:r])
        for r, o in enumerate(order)
    ]


def _bounds_of(layout: Layout, seen: Seen, peak: Peak, positions: Index) -> Vector:
    """Bound of each branch of a choice."""
    columns, weights = peak.columns[positions], peak.weights[positions]
    lower, upper = seen.box.lower[columns], seen.box.upper[columns]
    slope, kinks = seen.proved.slope[columns], seen.proved.kinks[columns]
    rest = seen.proved.least[columns]
    if peak.variable == CONSTANT:
        lower = np.maximum(lower, np.minimum(peak.level / weights, upper))
    else:
        # A level that wants to rise can only follow x_i: β ≤ weight x_i, priced by its slope.
        push = float(seen.proved.slope[peak.variable])
        if push < 0:
            slope = slope + push * weights
            rest = rest + float(seen.proved.least[peak.variable])
    alone = smallest(layout, slope, kinks, lower, upper, columns)
    bounds: Vector = np.maximum(seen.bound, seen.proved.bound + alone - rest)
    return bounds


def _sides(layout: Layout, seen: Seen) -> list[Node]:
    """Two branches, on either side of the kink or minimum line that is missed by most."""
    found = max(
        (w for w in (_kink(layout, seen), _ceiling(layout, seen)) if w is not None),
        key=lambda where: where[0],
        default=None,
    )
    if found is None:
        return []
    _, i, at = found
    below, above = seen.box.upper.copy(), seen.box.lower.copy()
    below[i], above[i] = at, at
    if at == layout.stated.least[i] and seen.box.lower[i] <= 0:
        below[i] = 0.0
    nodes = []
    column = np.array([i], dtype=np.intp)
    for box in (replace(seen.box, upper=below), replace(seen.box, lower=above)):
        alone = smallest(
            layout,
            seen.proved.slope[column],
            seen.proved.kinks[column],
            box.lower[column],
            box.upper[column],
            column,
        )
        bound = seen.proved.bound + float(alone[0] - seen.proved.least[i])
        nodes.append(Node(max(seen.bound, bound), box))
    return nodes


def _kink(layout: Layout, seen: Seen) -> Where | None:
    """Find the column to cut: of those that chords miss most, the one whose sides tell most."""
    score, cut = _missed(layout, seen)
    some = np.argsort(-score, kind="stable")[:_LOOKED_AT]
    some = some[score[some] > 0]
    if some.size == 0:
        return None
    under, over = _bounds_of_sides(layout, seen, some, cut[some])
    least = seen.proved.least[some]
    gain = np.maximum(under - least, _HARDLY * score[some]) * np.maximum(
        over - least, _HARDLY * score[some]
    )
    best = int(np.argmax(gain))
    return float(score[some[best]]), int(some[best]), float(cut[some[best]])


def _bounds_of_sides(layout: Layout, seen: Seen, some: Index, at: Vector) -> tuple[Vector, Vector]:
    """Smallest φ of each column below and above its cut; zero alone is below a minimum line."""
    low, high = seen.box.lower[some], seen.box.upper[some]
    below = np.where((at == layout.stated.least[some]) & (low <= 0), 0.0, at)
    slope, kinks = seen.proved.slope[some], seen.proved.kinks[some]
    under = smallest(layout, slope, kinks, low, below, some)
    return under, smallest(layout, slope, kinks, at, high, some)


def _missed(layout: Layout, seen: Seen) -> tuple[Vector, Vector]:
    """By how much chords miss each column's functions, in the objective, and where to cut it."""
    x, y, lower, upper = seen.x, seen.proved.y, seen.box.lower, seen.box.upper
    price = y[layout.rows] + _FREE * (float(np.abs(y).max(initial=0.0)) or 1.0)
    weight = np.einsum("r,rnk->nk", price, np.maximum(layout.weights, 0.0))
    inside = (layout.at > lower[:, None]) & (layout.at < upper[:, None]) & layout.bends
    at = np.where(inside, layout.at, 0.0)
    part = (x - lower) / np.where(upper > lower, upper - lower, 1.0)
    chord = lower[:, None] + (at - lower[:, None]) * part[:, None]
    apart = np.where(inside, weight * (np.minimum(x[:, None], at) - chord), 0.0)
    least = layout.stated.least
    between = (least > 0) & (lower <= 0) & (x > 0) & (x < least) & (upper >= least)
    own = layout.stated.program.idiosyncratic * x * (least - x)
    line = np.where(between, np.maximum(own, _HARDLY * (x + _HARDLY)), 0.0)
    score: Vector = np.maximum(apart, 0.0).sum(axis=1) + line
    if apart.shape[1] == 0:
        return score, least
    furthest = np.argmax(apart, axis=1)[:, None]
    cut: Vector = np.take_along_axis(at, furthest, axis=1)[:, 0]
    return score, np.where(between, least, cut)


def decided(layout: Layout, seen: Seen, part: float, *, as_it_lies: bool) -> Box | None:
    """Decide the worst part of the columns that kinks and lines miss.

    Each for the side on which its share lies, or for the one that the multipliers hold for cheaper.
    That is a guess, made to find a point; None where nothing is missed.
    """
    score, cut = _missed(layout, seen)
    missed = np.flatnonzero(score > 0)
    if missed.size == 0:
        return None
    some = missed[np.argsort(-score[missed], kind="stable")[: max(1, int(part * missed.size))]]
    at = cut[some]
    under, over = _bounds_of_sides(layout, seen, some, at)
    to_zero = (at == layout.stated.least[some]) & (seen.box.lower[some] <= 0)
    lower, upper = seen.box.lower.copy(), seen.box.upper.copy()
    down = seen.x[some] < at if as_it_lies else under <= over
    upper[some[down]] = np.where(to_zero, 0.0, at)[down]
    lower[some[~down]] = at[~down]
    return replace(seen.box, lower=lower, upper=upper)


def _ceiling(layout: Layout, seen: Seen) -> Where | None:
    """Find the kink under a ceiling whose chord lets x pass by most."""
    first = seen.relaxed.row_upper.size - len(seen.pool)
    prices = dict(zip(seen.pool, seen.proved.y[first:].tolist(), strict=True))
    free = _FREE * (float(np.abs(seen.proved.y).max(initial=0.0)) or 1.0)
    found: Where | None = None
    for which, peak in enumerate(layout.stated.ceilings):
        low, high = seen.box.lower[peak.columns], seen.box.upper[peak.columns]
        inside = np.flatnonzero((low < peak.at) & (peak.at < high))
        if inside.size == 0:
            continue
        x, at = seen.x[peak.columns[inside]], peak.at[inside]
        low, high = low[inside], high[inside]
        chord = low + (at - low) * (x - low) / (high - low)
        apart = peak.weights[inside] * (np.minimum(x, at) - chord)
        price = np.array([prices.get((which, int(m)), 0.0) for m in inside]) + free
        score = np.maximum(apart, 0.0) * price
        best = int(np.argmax(score))
        if score[best] > (0.0 if found is None else found[0]):
            found = (float(score[best]), int(peak.columns[inside[best]]), float(at[best]))
    return found
