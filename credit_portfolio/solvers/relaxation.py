"""The convex side of a program with alternatives: its relaxation over a box, and what that proves.

Every condition is a sum over customers of a function of one share each, which over a box
l_i ≤ w_i ≤ u_i has a convex envelope with breaks at its kinks. Cutting w_i into the segments
between the breaks makes it linear::

    w_i = d_i1 + d_i2 + …        0 ≤ d_is ≤ length of segment s

Slopes of convex functions grow from segment to segment, so that filling the segments in order is
never worse, and own variance has a part on each: D (t + d)² = D t² + 2 D t d + D d² from t on. So a
relaxation is a ``CreditProgram`` with a few columns more and no row more. The minimum line is cut
alike: over {0} ∪ [m, u] the envelope of D w² is the chord D m w up to m.

The proof of a bound does not rest on the relaxation's own optimum. For any exposure e and row
multipliers y, and all shares that are allowed::

    f(w) ≥ −‖e‖² − Σ_r y_r b_r + Σ_i φ_i(w_i)
    φ_i(w) = D_i w² + (2 Fᵀe + c + Aᵀy)_i w + Σ y_r weight · min(w, κ)

with the true functions, kinks and minimum line included; each φ_i is smallest at one of a handful
of points. What is left between that and the best known objective says how far each w_i can be from
there, which narrows the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.program.alternatives import CONSTANT
from credit_portfolio.program.certificate import admissible
from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.alternatives import Alternatives, Peak

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = NDArray[np.intp]
    Mask = NDArray[np.bool_]
    Pool = tuple[tuple[int, int], ...]

# Kinks of a column that are this near to each other are one: two quotients of the same counts may
# differ by a rounding. Minimum lines stay where they are.
_ONE_KINK = 1e-11
# A point this little below a chord counts as on it: a thousand roundings of the values at its ends.
_COLLINEAR = 1e-13
# Bounds are sums of n rounded terms; so many roundings of their absolute sum are taken off.
_ROUNDINGS = 16 * float(np.finfo(float).eps)
# Bounds that are apart by less than this part of them are one number to an interior point. What is
# proved is proved over the box as it is.
_WIDTH = 1e-13
# Rows beyond so many go into the program as sparse ones.
_FEW_ROWS = 64


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """What does not change from box to box.

    Attributes
    ----------
    stated : Alternatives
    at : ndarray, shape (n, K)
        Distinct kinks of each column in order, its minimum line among them; +inf where there are
        fewer.
    weights : ndarray, shape (R, n, K)
        Weight of each kink in each row that has kinks.
    rows : ndarray of int, shape (R,)
        Those rows.
    bends : ndarray of bool, shape (n, K)
        Kinks that are not convex in some row.
    """

    stated: Alternatives
    at: Matrix
    weights: NDArray[np.float64]
    rows: Index
    bends: Mask

    @classmethod
    def of(cls, stated: Alternatives) -> Layout:
        """Lay out the kinks of a program."""
        kinks, n = stated.kinks, stated.program.n_customers
        lines = np.flatnonzero(stated.least > 0)
        column = np.concatenate([kinks.column, lines])
        value = np.concatenate([kinks.at, stated.least[lines]])
        rows, row = np.unique(kinks.row, return_inverse=True)
        order = np.lexsort((value, column))
        column_of, value_of = column[order], value[order]
        is_line = order >= kinks.column.size
        apart = np.where(is_line[1:] | is_line[:-1], 0.0, _ONE_KINK)
        new = np.ones(order.size, dtype=bool)
        new[1:] = (np.diff(column_of) > 0) | (np.diff(value_of) > apart)
        starts = np.searchsorted(column_of, np.arange(n))
        count = np.cumsum(new) - 1
        before = count[np.minimum(starts, max(order.size - 1, 0))] if order.size else starts
        place = count - (before[column_of] if order.size else 0)
        K = int(place.max(initial=-1)) + 1
        at = np.full((n, K), np.inf)
        at[column_of[new], place[new]] = value_of[new]
        places = np.empty(order.size, dtype=np.intp)
        places[order] = place
        weights = np.zeros((rows.size, n, K))
        np.add.at(weights, (row, kinks.column, places[: kinks.column.size]), kinks.weight)
        bends = np.asarray((weights > 0).any(axis=0))
        return cls(stated, at, weights, rows.astype(np.intp), bends)


@dataclass(frozen=True, eq=False, slots=True)
class Box:
    """A branch: bounds of the columns, and who may still reach each peak.

    Attributes
    ----------
    lower, upper : ndarray, shape (n,)
    candidates : tuple of ndarray of int
        For each peak to be reached, positions among its columns.
    pool : tuple of (int, int)
        Ceilings that its relaxation holds from the start: which peak, and which position among
        its columns.
    """

    lower: Vector
    upper: Vector
    candidates: tuple[Index, ...]
    pool: Pool = ()


@dataclass(frozen=True, eq=False, slots=True)
class Relaxation:
    """A convex program that every point of a box meets.

    Attributes
    ----------
    program : CreditProgram
        Over segments.
    source : ndarray of int, shape (n_segments,)
        The column that a segment is part of.
    rows : matrix, shape (q, n)
        Linear parts of the same rows over the columns themselves.
    row_lower, row_upper : ndarray, shape (q,)
        Their bounds where kinks are left as they are.
    """

    program: CreditProgram
    source: Index
    rows: Any
    row_lower: Vector
    row_upper: Vector


def knots(at: Matrix, least: Vector, lower: Vector, upper: Vector) -> tuple[Matrix, Mask]:
    """Kinks inside the bounds between both bounds, shape (n, K + 2), and who may skip to zero.

    Nothing lies between zero and the minimum line of those.
    """
    skips = (least > 0) & (lower <= 0) & (upper >= least)
    inside = np.clip(at, lower[:, None], upper[:, None])
    inside = np.where(skips[:, None] & (inside < least[:, None]), lower[:, None], inside)
    return np.concatenate([lower[:, None], inside, upper[:, None]], axis=1), skips


def relax(layout: Layout, box: Box) -> Relaxation:
    """Write the relaxation over a box."""
    program = layout.stated.program
    rows, row_lower, row_upper = _with_peaks(layout, box)
    T, skips = knots(layout.at, layout.stated.least, box.lower, box.upper)
    values = _row_values(layout, T)
    keep = _breaks(layout, T, values, skips)
    column, place = np.nonzero(keep)
    same = column[1:] == column[:-1]
    source = column[1:][same]
    points = T[keep]
    start, end = points[:-1][same], points[1:][same]
    first = place[:-1][same] == 0
    length = end - start
    of_points = values[:, keep]
    rise = of_points[:, 1:][:, same] - of_points[:, :-1][:, same]
    slopes = np.divide(rise, length, out=np.zeros_like(rise), where=length > 0)
    constant = of_points[:, :-1][:, same][:, first] - slopes[:, first] * start[first]
    shifted = row_upper.copy()
    shifted[layout.rows] -= constant.sum(axis=1)
    own, linear = program.idiosyncratic[source], program.linear[source]
    length = np.where(length <= _WIDTH * np.abs(end), 0.0, length)
    line = skips[source] & (end <= layout.stated.least[source])
    linear = linear + np.where(first, 0.0, 2.0 * own * start)
    linear = linear + np.where(line, own * layout.stated.least[source], 0.0)
    return Relaxation(
        program=CreditProgram(
            factors=program.factors[:, source],
            idiosyncratic=np.where(line, 0.0, own),
            linear=linear,
            rows=_over_segments(rows, source, layout.rows, slopes),
            row_lower=row_lower,
            row_upper=shifted,
            lower=np.where(first, start, 0.0),
            upper=np.where(first, start, 0.0) + length,
            row_names=(
                *program.row_names,
                *(f"choice {r}" for r in range(row_upper.size - program.n_rows)),
            ),
        ),
        source=source,
        rows=rows,
        row_lower=row_lower,
        row_upper=row_upper,
    )


def _row_values(layout: Layout, T: Matrix) -> NDArray[np.float64]:
    """Kinked part of each row at each knot, shape (R, n, K + 2)."""
    values = np.zeros((layout.rows.size, *T.shape))
    for j in range(layout.at.shape[1]):
        values += layout.weights[:, :, j, None] * np.minimum(T, layout.at[:, j, None])
    return values


def _breaks(layout: Layout, T: Matrix, values: NDArray[np.float64], skips: Mask) -> Mask:
    """Where the convex envelope of some row breaks, and both ends; shape (n, K + 2)."""
    keep = np.zeros(T.shape, dtype=bool)
    keep[:, 0] = keep[:, -1] = True
    inner = (T[:, 1:-1] > T[:, :1]) & (T[:, 1:-1] < T[:, -1:])
    some = np.flatnonzero(inner.any(axis=1))
    if some.size == 0:
        return keep
    t, v, last = T[some], values[:, some], T.shape[1] - 1
    for j in range(1, last):
        sharp = np.broadcast_to(inner[some, j - 1], v.shape[:2]).copy()
        for a in range(j):
            for b in range(j + 1, last + 1):
                between = (t[:, a] < t[:, j]) & (t[:, j] < t[:, b])
                part = np.divide(
                    t[:, j] - t[:, a], t[:, b] - t[:, a], out=np.zeros(some.size), where=between
                )
                chord = v[:, :, a] + (v[:, :, b] - v[:, :, a]) * part
                room = _COLLINEAR * (np.abs(v[:, :, a]) + np.abs(v[:, :, b]))
                sharp &= ~between | (v[:, :, j] < chord - room)
        line = skips[some] & inner[some, j - 1] & (t[:, j] == layout.stated.least[some])
        keep[some, j] = sharp.any(axis=0) | line
    # Two knots at one place are one break.
    keep[:, 1:-1] &= T[:, 1:-1] > T[:, :-2]
    return keep


def _over_segments(rows: Any, source: Index, at: Index, slopes: Matrix) -> Any:
    taken = rows[:, source]
    if at.size == 0:
        return taken
    if isinstance(taken, np.ndarray):
        taken[at] += slopes
        return taken
    wide = sparse.coo_array(slopes)
    shape = (rows.shape[0], source.size)
    added = sparse.coo_array((wide.data, (at[wide.coords[0]], wide.coords[1])), shape=shape)
    return sparse.csr_array(taken + added.tocsr())


# --- peaks ----------------------------------------------------------------------------------------


def _with_peaks(layout: Layout, box: Box) -> tuple[Any, Vector, Vector]:
    """Rows of the program, and linear ones that hold wherever a peak is reached or not passed."""
    program = layout.stated.program
    entries: list[tuple[Index, Vector]] = []
    low: list[float] = []
    high: list[float] = []
    for peak, candidates in zip(layout.stated.reached, box.candidates, strict=True):
        made = _reached_row(peak, candidates, box)
        if made is not None:
            entries.append(made[:2])
            low.append(made[2])
            high.append(made[3])
    for which, position in box.pool:
        made = _ceiling_row(layout.stated.ceilings[which], position, box)
        entries.append(made[:2])
        low.append(made[2])
        high.append(made[3])
    row_lower = np.concatenate([program.row_lower, low])
    row_upper = np.concatenate([program.row_upper, high])
    if not entries:
        return program.rows, row_lower, row_upper
    row = np.repeat(np.arange(len(entries)), [columns.size for columns, _ in entries])
    column = np.concatenate([columns for columns, _ in entries])
    value = np.concatenate([values for _, values in entries])
    added = sparse.csr_array((value, (row, column)), shape=(len(entries), program.n_customers))
    if isinstance(program.rows, np.ndarray) and row_upper.size <= _FEW_ROWS:
        return np.vstack([program.rows, added.toarray()]), row_lower, row_upper
    both = sparse.vstack([sparse.csr_array(program.rows), added], format="csr")
    return both, row_lower, row_upper


def _reached_row(
    peak: Peak, candidates: Index, box: Box
) -> tuple[Index, Vector, float, float] | None:
    """Return a linear row that holds wherever one of the candidates reaches the level."""
    if candidates.size == 0:
        return None  # the level is at its lower bound, or the box is empty
    columns, weights = peak.columns[candidates], peak.weights[candidates]
    lower, upper, at = box.lower[columns], box.upper[columns], peak.at[candidates]
    if peak.variable == CONSTANT:
        needed = peak.level / weights
        if candidates.size == 1 or (lower >= needed).any():
            return None  # the box says it
        part = 1.0 / (needed - lower)
        return columns, part, 1.0 + float(part @ lower), np.inf
    if candidates.size == 1:
        return (
            np.append(columns, peak.variable).astype(np.intp),
            np.append(-weights, 1.0),
            -np.inf,
            0.0,
        )
    # max_i g_i ≤ m + Σ (g_i − m)⁺, and each (g_i − m)⁺ is below a line from (l_i, 0) to its top
    surely = float((weights * np.minimum(lower, at)).max())
    top = np.maximum(weights * np.minimum(upper, at) - surely, 0.0)
    width = np.minimum(upper, at) - lower
    slope = np.divide(top, width, out=np.zeros_like(top), where=width > 0)
    return (
        np.append(columns, peak.variable).astype(np.intp),
        np.append(-slope, 1.0),
        -np.inf,
        surely - float(slope @ lower),
    )


def _ceiling_row(peak: Peak, position: int, box: Box) -> tuple[Index, Vector, float, float]:
    """Return a linear row that holds wherever g_i(x_i) is at most the level: its chord."""
    i, weight, at = int(peak.columns[position]), peak.weights[position], peak.at[position]
    low, high = box.lower[i], box.upper[i]
    slope, foot = weight, 0.0
    if at <= low:
        slope, foot = 0.0, weight * at
    elif at < high:
        slope = weight * (at - low) / (high - low)
        foot = (weight - slope) * low
    return np.array([i, peak.variable]), np.array([slope, -1.0]), -np.inf, -foot


# --- what multipliers prove -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Proved:
    """A lower bound over a box, and what it is made of.

    Attributes
    ----------
    bound : float
        No allowed point of the box has a lower objective.
    slope : ndarray, shape (n,)
        (2 Fᵀe + c + Aᵀy)_i.
    kinks : ndarray, shape (n, K)
        Σ_r y_r weight of each kink.
    least : ndarray, shape (n,)
        Smallest φ_i over the box.
    y : ndarray, shape (q,)
    """

    bound: float
    slope: Vector
    kinks: Matrix
    least: Vector
    y: Vector


def prove(layout: Layout, box: Box, relaxed: Relaxation, exposure: Vector, y: Vector) -> Proved:
    """Bound the objective over a box from below by multipliers; any finite ones will do.

    Parameters
    ----------
    layout : Layout
    box : Box
    relaxed : Relaxation
        Over the same box.
    exposure : ndarray, shape (k,)
    y : ndarray, shape (q,)
    """
    program = layout.stated.program
    y = admissible(y, relaxed.row_lower, relaxed.row_upper)
    # Rows with kinks have upper bounds only, so that y ≥ 0 there.
    of_kinks = np.asarray(np.einsum("r,rnk->nk", y[layout.rows], layout.weights))
    slope = 2.0 * (exposure @ program.factors) + program.linear + np.asarray(relaxed.rows.T @ y)
    side = np.where(y > 0, relaxed.row_upper, np.where(y < 0, relaxed.row_lower, 0.0))
    least = smallest(layout, slope, of_kinks, box.lower, box.upper)
    held = float(exposure @ exposure + y @ side)
    terms = float(np.abs(least).sum()) + float(exposure @ exposure) + float(np.abs(y * side).sum())
    bound = float(least.sum()) - held - _ROUNDINGS * terms
    return Proved(bound if np.isfinite(bound) else -np.inf, slope, of_kinks, least, y)


def smallest(
    layout: Layout,
    slope: Vector,
    kinks: Matrix,
    lower: Vector,
    upper: Vector,
    columns: Index | slice = slice(None),
) -> Vector:
    """Least φ_i between bounds, the minimum line respected, for some columns; +inf for none."""
    own = layout.stated.program.idiosyncratic[columns]
    start, end, rate, constant = _pieces(
        layout.at[columns], layout.stated.least[columns], slope, kinks, lower, upper
    )
    D = own[:, None]
    turn = np.divide(-rate, 2.0 * D, out=np.where(rate > 0, start, end), where=D > 0)
    x = np.clip(turn, start, end)
    value: Vector = (D * x * x + rate * x + constant).min(axis=1)
    return np.where(lower > upper, np.inf, value)


def _pieces(
    at: Matrix, least: Vector, slope: Vector, kinks: Matrix, lower: Vector, upper: Vector
) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Start, end, linear rate and constant of φ − D w² on each piece between knots."""
    T, skips = knots(at, least, lower, upper)
    start, end = T[:, :-1], T[:, 1:].copy()
    over = skips[:, None] & (start < least[:, None])
    end = np.where(over, start, end)  # of the way to the minimum line only zero itself is allowed
    rate = np.repeat(slope[:, None], start.shape[1], axis=1)
    constant = np.zeros_like(start)
    for j in range(at.shape[1]):
        where = at[:, j]
        passed = where[:, None] <= start
        full = kinks[:, j] * np.where(np.isfinite(where), where, 0.0)
        constant += np.where(passed, full[:, None], 0.0)
        rate += np.where(passed, 0.0, kinks[:, j, None])
    return start, end, rate, constant


def narrowed(layout: Layout, box: Box, proved: Proved, room: float) -> Box:
    """Return the part of a box where the bound leaves that much room below the best known.

    Parameters
    ----------
    layout : Layout
    box : Box
    proved : Proved
        Over the same box.
    room : float
        Best known objective less the bound.
    """
    start, end, rate, constant = _pieces(
        layout.at, layout.stated.least, proved.slope, proved.kinks, box.lower, box.upper
    )
    D = layout.stated.program.idiosyncratic[:, None]
    rounding = _ROUNDINGS * (np.abs(proved.least) + abs(room))
    most = (proved.least + max(room, 0.0) + rounding)[:, None]
    low, high = _below(D, rate, constant - most, start, end)
    some = low <= high
    inner = np.where(some, low, np.inf).min(axis=1)
    outer = np.where(some, high, -np.inf).max(axis=1)
    none = inner > outer
    # A thousandth of a millionth of the width on either side pays for the rounding of the roots.
    spare = 1e-9 * (box.upper - box.lower)
    lower = np.where(none, box.lower, np.maximum(box.lower, inner - spare))
    upper = np.where(none, box.upper, np.minimum(box.upper, outer + spare))
    lower = np.where(inner <= box.lower, box.lower, lower)
    upper = np.where(outer >= box.upper, box.upper, upper)
    return Box(lower, upper, box.candidates, box.pool)


def _below(
    D: Matrix, rate: Matrix, constant: Matrix, start: Matrix, end: Matrix
) -> tuple[Matrix, Matrix]:
    """Where D w² + rate w + constant ≤ 0 between start and end; crossed ends where nowhere."""
    curved = np.broadcast_to(D > 0, rate.shape)
    inside = rate * rate - 4.0 * D * constant
    root = np.sqrt(np.maximum(inside, 0.0))
    twice = np.where(curved, 2.0 * D, 1.0)
    low = np.where(curved, (-rate - root) / twice, -np.inf)
    high = np.where(curved, (-rate + root) / twice, np.inf)
    low = np.where(curved & (inside < 0), np.inf, low)
    zero = np.divide(-constant, rate, out=np.zeros_like(rate), where=rate != 0)
    low = np.where(~curved & (rate < 0), zero, low)
    high = np.where(~curved & (rate > 0), zero, high)
    low = np.where(~curved & (rate == 0) & (constant > 0), np.inf, low)
    # The ends themselves are tried by value: at a minimum the two roots meet and may be lost.
    at_start = D * start * start + rate * start + constant <= 0
    at_end = D * end * end + rate * end + constant <= 0
    low = np.where(at_start, start, np.maximum(low, start))
    high = np.where(at_end, end, np.minimum(high, end))
    low = np.where(at_end & (low > end), end, low)
    high = np.where(at_start & (high < start), start, high)
    return low, high
