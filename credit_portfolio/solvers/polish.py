"""Newton steps on the optimality conditions, from a solver's answer to machine precision.

A general solver stops at eight or nine digits of its own, scaled problem. From there the customers
at a bound and the rows that press are known but for a few, and with those sets S fixed the
conditions are linear::

    2 FᵀF Δw + 2 D Δw + Aᵀ Δy = −(∇f + Aᵀy)      customers between their bounds
                         A Δw = bound − A w       rows that press

Eliminating Δw leaves a system of k + q unknowns. The sets are read off anew after each step, which
makes the whole a semismooth Newton method; steps are kept only while the certificate improves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from credit_portfolio.program.certificate import Examination, examine
from credit_portfolio.program.columns import Columns
from credit_portfolio.solvers.symmetric import solve_symmetric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_STEPS = 30
# Residuals are sums of n rounded products: below this a further step only moves the rounding.
_FINE_ENOUGH = 1e-13
# A customer without own variance gets this part of the mean variance in the step's matrix only
# (a proximal step: it slows the iteration by that part and does not move its end).
_PROXIMAL = 1e-8
# Steps without a better certificate before giving up; sets may take a few steps to settle.
_PATIENCE = 5


@dataclass(frozen=True, eq=False, slots=True)
class _Sets:
    """Which customers lie between their bounds, and which rows press."""

    free: Mask
    rows: Mask


def polish(
    program: CreditProgram,
    w: Vector,
    y: Vector,
    tolerance: float,
    columns: Columns | None = None,
) -> tuple[Vector, Examination]:
    """Return shares whose certificate is at least as good, and what they and their y prove.

    Parameters
    ----------
    program : CreditProgram
    w : ndarray, shape (n,)
    y : ndarray, shape (q,)
    tolerance : float
        Passed to the certificate, which ranks the points.
    columns : Columns, optional
        Of the same program, where there is one with a pool of threads.

    Returns
    -------
    w : ndarray, shape (n,)
    seen : Examination
        Of w; its ``y`` are the row multipliers.
    """
    columns = Columns(program) if columns is None else columns

    def look(shares: Vector, multipliers: Vector) -> Examination:
        return examine(program, shares, multipliers, tolerance, columns)

    best = w, look(w, y)
    least = best[1].certificate.worst
    if not np.isfinite(best[1].objective):
        return best
    # Where the variance vanishes no row has a price, but a solver leaves noise in place of zero.
    if abs(best[1].objective) <= 0.5 * best[1].scale:
        unpriced = look(w, np.zeros_like(y))
        if unpriced.certificate.worst < least:
            best, least, y = (w, unpriced), unpriced.certificate.worst, unpriced.y
    own = _own_curvature(program)
    idle = 0
    for step in range(_STEPS):
        if (step and least <= _FINE_ENOUGH) or idle >= _PATIENCE:
            break
        with np.errstate(over="ignore", invalid="ignore"):  # a diverged step is not taken
            w, y = _step(program, w, y, own)
        inside = np.clip(w, program.lower, program.upper)
        seen = look(inside, y)
        worst = seen.certificate.worst
        idle += 1
        # At equal merit the step wins: it leaves idle rows at exactly zero, a solver near it.
        if worst <= max(least, _FINE_ENOUGH):
            best, least, idle = (inside, seen), worst, 0
        if not np.isfinite(worst):
            break
    if least > tolerance and np.isfinite(w).all():
        bare = _without_dust(program, w)
        seen = look(bare, np.zeros_like(y))
        if seen.certificate.worst < least:
            return bare, seen
    return best


def _without_dust(program: CreditProgram, w: Vector) -> Vector:
    """Shares inside their bounds, those below the rounding of the largest set to zero.

    Where the minimum is zero, a share of either sign with its own variance tends to 0 and never
    arrives, and what is left of it is infinitely much compared with a variance of nothing.
    """
    w = np.clip(w, program.lower, program.upper)
    dust = np.abs(w) <= np.finfo(float).eps * np.abs(w).max()
    return np.where(dust, np.clip(0.0, program.lower, program.upper), w)


def _own_curvature(program: CreditProgram) -> Vector:
    """2 D, and a small part of the mean curvature for customers without own variance.

    Only D counts, not FᵀF: with e = F w as its own variable the factors are rows like any other,
    and a customer's bound is decided by his own variance alone.
    """
    own = 2.0 * program.idiosyncratic
    squares = float(np.einsum("ki,ki->", program.factors, program.factors))
    mean = 2.0 * squares / program.n_customers + float(own.mean())
    return np.maximum(own, _PROXIMAL * mean if mean > 0 else 1.0)


def _step(program: CreditProgram, w: Vector, y: Vector, own: Vector) -> tuple[Vector, Vector]:
    w, y, sets = _settle(program, w, y, own)
    A = program.rows[sets.rows]
    activity = program.activity(w)[sets.rows]
    bound = np.where(y > 0, program.row_upper, program.row_lower)
    bound = np.where(program.row_lower == program.row_upper, program.row_lower, bound)[sets.rows]
    slope = -(program.gradient(w) + A.T @ y[sets.rows])[sets.free]
    move, turn = _solve(program.factors[:, sets.free], A, slope, bound - activity, own, sets.free)
    w, y = w.copy(), y.copy()
    w[sets.free] += move
    y[sets.rows] += turn
    return w, y


def _settle(
    program: CreditProgram, w: Vector, y: Vector, own: Vector
) -> tuple[Vector, Vector, _Sets]:
    """Put customers on the bound that their slope presses them to, and drop idle rows."""
    target = w - (program.gradient(w) + program.rows.T @ y) / own
    low, high = target <= program.lower, target >= program.upper
    fixed = np.where(low, program.lower, np.where(high, program.upper, w))
    squared = program.rows.multiply(program.rows) if sparse.issparse(program.rows) else None
    weight = (program.rows**2 if squared is None else squared) @ (1.0 / own)
    reach = program.activity(fixed) + y * np.asarray(weight)
    equal = program.row_lower == program.row_upper
    above, below = reach > program.row_upper, reach < program.row_lower
    y = np.where(equal | (above & (y >= 0)) | (below & (y <= 0)), y, 0.0)
    # A row that is only now violated presses from here on, with the sign of its violated side.
    y = np.where(above & ~equal & (y == 0), np.finfo(float).tiny, y)
    y = np.where(below & ~equal & (y == 0), -np.finfo(float).tiny, y)
    return fixed, y, _Sets(free=~(low | high), rows=equal | above | below)


def _solve(
    F: NDArray[np.float64],
    A: NDArray[np.float64] | sparse.csr_array,
    slope: Vector,
    missing: Vector,
    own: Vector,
    free: Mask,
) -> tuple[Vector, Vector]:
    """Solve the two block rows of the module's head by elimination of Δw."""
    k = F.shape[0]
    A_free = A[:, free]
    dense = A_free.toarray() if sparse.issparse(A_free) else np.asarray(A_free)
    K = np.vstack([F, dense])
    over = K / own[free]
    system = over @ K.T
    system[:k, :k] += 0.5 * np.eye(k)
    right = over @ slope - np.concatenate([np.zeros(k), missing])
    multipliers = solve_symmetric(system, right)
    return (slope - K.T @ multipliers) / own[free], multipliers[k:]
