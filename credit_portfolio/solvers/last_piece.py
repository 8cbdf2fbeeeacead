"""Convex pieces: the one around a point as a box, and as a program over the shares alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers.relaxation import Box, Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.alternatives import Alternatives, Peak

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]

# A share this near to a kink, in parts of it, is on it: relaxations end so far from their bounds.
_ON = 1e-9
# Bounds as near to each other as this part of them come from one number by two ways.
_WIDTH = 1e-12


def piece_around(layout: Layout, box: Box, x: Vector) -> Box:
    """Return the convex piece of a box around x: on one side of each kink, line and choice."""
    stated = layout.stated
    lower, upper = box.lower.copy(), box.upper.copy()
    bends = np.where(layout.bends, layout.at, np.nan)
    under = np.where(bends <= x[:, None], bends, -np.inf).max(axis=1, initial=-np.inf)
    over = np.where(bends > x[:, None], bends, np.inf).min(axis=1, initial=np.inf)
    lower, upper = np.maximum(lower, under), np.minimum(upper, over)
    lined = (stated.least > 0) & (box.lower <= 0)
    on = lined & (x >= 0.5 * stated.least) & (box.upper >= stated.least)
    lower = np.where(on, np.maximum(lower, stated.least), lower)
    upper = np.where(lined & ~on, 0.0, upper)
    upper = np.maximum(upper, lower)
    for peak in stated.ceilings:
        low = x[peak.columns] < peak.at
        high = ~low
        np.minimum.at(upper, peak.columns[low], peak.at[low])
        full = np.minimum(peak.at, upper[peak.columns])
        np.maximum.at(lower, peak.columns[high], full[high])
    candidates = tuple(
        _nearest(peak, positions, x)
        for peak, positions in zip(stated.reached, box.candidates, strict=True)
    )
    return Box(lower, np.maximum(upper, lower), candidates, box.pool)


def _nearest(peak: Peak, positions: Index, x: Vector) -> Index:
    """Return the candidate who is nearest to reaching a peak."""
    if positions.size < 2:
        return positions
    return positions[[int(np.argmax(peak.terms(x)[positions]))]]


def last_piece(stated: Alternatives, x: Vector) -> CreditProgram:
    """Return the program in which every kink, line and choice is decided as at x.

    Kinks are replaced by the side on which x lies, with the bound that keeps the share there;
    levels stay at their values, so that ceilings and choices become bounds. The rows are those of
    the stated program, in order.

    Parameters
    ----------
    stated : Alternatives
    x : ndarray, shape (n_columns,)
        A point that meets everything.
    """
    program, n = stated.program, stated.n_shares
    lower, upper = program.lower[:n].copy(), program.upper[:n].copy()
    kinks = stated.kinks
    on_line = stated.least[:n] > 0
    zero = on_line & (x[:n] < 0.5 * stated.least[:n])
    lower = np.where(on_line & ~zero, np.maximum(lower, stated.least[:n]), lower)
    upper = np.where(zero, 0.0, upper)
    full = x[kinks.column] >= kinks.at * (1.0 - _ON)
    np.maximum.at(lower, kinks.column[full], kinks.at[full])
    np.minimum.at(upper, kinks.column[~full], kinks.at[~full])
    for peak in stated.reached:
        level = peak.level_at(x)
        if level > 0 and peak.columns.size:
            best = int(np.argmax(peak.terms(x)))
            i = peak.columns[best]
            lower[i] = max(lower[i], level / peak.weights[best])
    for peak in stated.ceilings:
        level = float(x[peak.variable])
        under = peak.weights * peak.at > level
        np.minimum.at(upper, peak.columns[under], level / peak.weights[under])
    # A level is the height of its peak up to rounding, as are the bounds made of it.
    lower = np.minimum(lower, np.maximum(upper, x[:n]))
    upper = np.where(upper - lower <= _WIDTH * np.abs(lower), lower, upper)
    A, constant = _linear_rows(stated, x, full)
    rows = A[:, :n]
    low, high = program.row_lower - constant, program.row_upper - constant
    empty = _empty_rows(rows)
    low, high = np.where(empty, -np.inf, low), np.where(empty, np.inf, high)
    return CreditProgram(
        factors=program.factors[:, :n],
        idiosyncratic=program.idiosyncratic[:n],
        linear=program.linear[:n],
        rows=rows,
        row_lower=low,
        row_upper=high,
        lower=lower,
        upper=upper,
        row_names=program.row_names,
    )


def _linear_rows(stated: Alternatives, x: Vector, full: Any) -> tuple[Any, Vector]:
    """Rows with the slopes of their kinks, and what levels and full kinks add to each."""
    program, kinks, n = stated.program, stated.kinks, stated.n_shares
    levels = x.copy()
    levels[:n] = 0.0
    constant = program.activity(levels)
    constant = constant + np.bincount(
        kinks.row[full], weights=(kinks.weight * kinks.at)[full], minlength=constant.size
    )
    if kinks.row.size == 0:
        return program.rows, constant
    some = ~full
    added = sparse.coo_array(
        (kinks.weight[some], (kinks.row[some], kinks.column[some])), shape=program.rows.shape
    ).tocsr()
    if isinstance(program.rows, np.ndarray):
        return program.rows + added.toarray(), constant
    return sparse.csr_array(program.rows + added), constant


def _empty_rows(rows: Any) -> NDArray[np.bool_]:
    """Rows without an entry: they held at x and ask nothing of the shares."""
    if isinstance(rows, np.ndarray):
        return np.asarray(~rows.any(axis=1))
    return np.asarray(np.asarray(abs(rows).sum(axis=1)).ravel() == 0)
