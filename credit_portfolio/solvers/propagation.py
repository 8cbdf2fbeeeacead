"""What rows, peaks and minimum lines say of bounds before anything is solved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.program.alternatives import CONSTANT
from credit_portfolio.solvers.relaxation import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.alternatives import Alternatives, Peak

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]

# Bounds that cross by less are the rounding of their sums; by more they prove that nothing is left.
CROSSED = 1e-9
# What a share needs to reach a level is a quotient; a bound that misses it by less reaches it.
_REACHED = 1e-12
_ROUNDS = 2


class Sums:
    """Entries of the rows without kinks, for sums over the box."""

    def __init__(self, stated: Alternatives) -> None:
        program = stated.program
        entries: Any = sparse.coo_array(program.rows)
        free = np.ones(program.n_rows, dtype=bool)
        free[stated.kinks.row] = False
        kept = free[entries.coords[0]] & (entries.data != 0)
        self.row = entries.coords[0][kept]
        self.column = entries.coords[1][kept]
        self.value = entries.data[kept]
        self.lower, self.upper = program.row_lower, program.row_upper

    def narrow(self, lower: Vector, upper: Vector) -> None:
        """Move bounds in place to what each row leaves, given all others at their bounds."""
        q, row, value = self.lower.size, self.row, self.value
        rises = value > 0
        low, high = lower[self.column], upper[self.column]
        with np.errstate(invalid="ignore"):
            least, most = (
                np.where(rises, value * low, value * high),
                np.where(rises, value * high, value * low),
            )
            room = self.upper[row] - (_total(row, least, q)[row] - least)
            need = self.lower[row] - (_total(row, most, q)[row] - most)
            # Sums of n terms: their rounding must not cut off a point.
            size = _total(row, np.abs(least), q)[row] + np.abs(self.upper[row])
            spare = np.finfo(float).eps * 8.0 * np.where(np.isfinite(size), size, 0.0)
            above, below = (room + spare) / value, (need - spare) / value
        highest = np.where(rises, above, below)
        lowest = np.where(rises, below, above)
        highest = np.where(np.isnan(highest), np.inf, highest)
        lowest = np.where(np.isnan(lowest), -np.inf, lowest)
        np.minimum.at(upper, self.column, highest)
        np.maximum.at(lower, self.column, lowest)


def propagate(stated: Alternatives, sums: Sums, box: Box) -> Box | None:
    """Return the box without what its conditions rule out; None where they rule out all of it."""
    lower, upper, candidates = box.lower.copy(), box.upper.copy(), list(box.candidates)
    for _ in range(_ROUNDS):
        sums.narrow(lower, upper)
        _minimum_lines(stated.least, lower, upper)
        for peak in stated.ceilings:
            _under_ceiling(peak, lower, upper)
        for p, peak in enumerate(stated.reached):
            candidates[p] = _candidates(peak, candidates[p], lower, upper)
            if candidates[p].size == 0 and peak.level_at(lower) > 0:
                return None
            if candidates[p].size == 0 and peak.variable != CONSTANT:
                upper[peak.variable] = lower[peak.variable]
        if (lower > upper + CROSSED * np.maximum(np.abs(upper), 1e-3)).any():
            return None
        crossed = lower > upper
        upper[crossed] = lower[crossed]
    return Box(lower, upper, tuple(candidates), box.pool)


def _total(row: Index, values: Vector, q: int) -> Vector:
    return np.asarray(np.bincount(row, weights=values, minlength=q), dtype=np.float64)


def _minimum_lines(least: Vector, lower: Vector, upper: Vector) -> None:
    lined = least > 0
    short = lined & (upper < least * (1.0 - _REACHED))
    upper[short] = np.minimum(upper[short], 0.0)
    at_line = lined & ~short & (upper < least)
    upper[at_line] = least[at_line]
    some = lined & (lower > 0) & ~short
    lower[some] = np.maximum(lower[some], least[some])


def _under_ceiling(peak: Peak, lower: Vector, upper: Vector) -> None:
    """x_i ≤ β / weight, unless the kink is low enough to hold g_i below β by itself."""
    t = peak.variable
    lower[t] = max(lower[t], float(peak.terms(lower).max(initial=0.0)))
    reaches = peak.weights * peak.at > upper[t]
    columns = peak.columns[reaches]
    most = upper[t] / peak.weights[reaches]
    upper[columns] = np.minimum(upper[columns], np.maximum(most, lower[columns]))


def _candidates(peak: Peak, positions: Index, lower: Vector, upper: Vector) -> Index:
    """Who can still reach the level; the last one left must."""
    columns, weights = peak.columns[positions], peak.weights[positions]
    at = peak.at[positions]
    top = weights * np.minimum(upper[columns], at)
    if peak.variable == CONSTANT:
        left = top >= peak.level * (1.0 - _REACHED)
        positions, columns, weights = positions[left], columns[left], weights[left]
        if positions.size == 1:
            i = columns[0]
            lower[i] = max(lower[i], min(peak.level / weights[0], upper[i]))
        return positions
    t = peak.variable
    if positions.size == 0:
        return positions
    upper[t] = min(upper[t], max(float(top.max()), lower[t]))
    surely = float((weights * np.minimum(lower[columns], at)).max())
    left = top >= max(lower[t] * (1.0 - _REACHED), surely)
    positions, columns, weights = positions[left], columns[left], weights[left]
    if positions.size == 1 and lower[t] > 0:
        i = columns[0]
        lower[i] = max(lower[i], min(lower[t] / weights[0], upper[i]))
    return positions
