"""How a box is cut: at a choice, a kink, a minimum line or a ceiling that its relaxation gets wrong.

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
# A kink of a row without price still has to be cut: it counts as this part of the largest price.
_FREE = 1e-6
# So does a share below its minimum line that has no variance of its own: a little more than nothing.
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
    """Return boxes that together hold all that is allowed in a box; none where nothing is missed."""
    return _choice(layout, seen) or _sides(layout, seen)


def _choice(layout: Layout, seen: Seen) -> list[Node]:
    """One branch for each customer who may reach the peak that is missed by most."""
    worst, chosen = MET, -1
    for p, peak in enumerate(layout.stated.reached):
        level = peak.level_at(seen.x)
        missed = (level - peak.height(seen.x)) / (abs(level) or 1.0)
        if seen.box.candidates[p].size > 1 and missed > worst:
            worst, chosen = missed, p
    if chosen < 0:
        return []
    positions = seen.box.candidates[chosen]
    bounds = _bounds_of(layout, seen, layout.stated.reached[chosen], positions)
    order = np.argsort(bounds, kind="stable")
    positions = positions[order]
    return [
        Node(float(bounds[o]), seen.box, chosen, int(positions[r]), positions[:r])
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
        slope = slope + min(float(seen.proved.slope[peak.variable]), 0.0) * weights
        rest = rest + float(seen.proved.least[peak.variable])
        if seen.proved.slope[peak.variable] >= 0.0:
            rest = rest - float(seen.proved.least[peak.variable])
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
    """The column whose chords are furthest from its true functions, priced by the multipliers."""
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
    score = np.maximum(apart, 0.0).sum(axis=1) + line
    i = int(np.argmax(score))
    if not score[i] > 0:
        return None
    cut = least[i] if between[i] else layout.at[i, int(np.argmax(apart[i]))]
    return float(score[i]), i, float(cut)


def _ceiling(layout: Layout, seen: Seen) -> Where | None:
    """The kink under a ceiling whose chord lets x pass by most."""
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
