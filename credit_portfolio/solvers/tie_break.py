"""Of all optimal shares, the ones of smallest norm.

Where some customers have no variance of their own (D_i = 0), different shares can have the same
objective. All optima agree in F w, in D w and in cᵀw, so the optimal set is cut out by rows, and
its point of smallest norm is again a program of the package, one with D = 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from credit_portfolio.program.certificate import absolute
from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# A share or slope this near to its bound or to zero counts as undecided: the square root of the
# default tolerance, since a gap of ε leaves shares uncertain by about √ε.
_NEAR = 3e-5
# A slope below this part of what it would be if all customers moved together has vanished.
_VANISHED = 1e-9
# Rows of norm one are taken for dependent below this: a hundred thousand times their rounding.
_RANK = 1e-11


def may_tie(program: CreditProgram) -> bool:
    """Whether the optimum can be non-unique: two or more free shares without own variance."""
    free = program.lower < program.upper
    return int((free & (program.idiosyncratic == 0)).sum()) > 1


def tied(program: CreditProgram, w: Vector, y: Vector, z: Vector) -> bool | None:
    """Whether other shares reach the minimum: True and False are sure, None is open.

    A move v keeps the minimum where D v = 0, F v = 0 and cᵀv = 0. If those conditions and the rows
    at their bounds leave a v over the shares strictly between their bounds, it can be made small
    enough to be allowed. If they leave none over all shares whose bound has no price, with the
    rows that press alone, then nothing else is optimal.

    Parameters
    ----------
    program : CreditProgram
    w : ndarray, shape (n,)
        Optimal shares.
    y : ndarray, shape (q,)
    z : ndarray, shape (n,)
        Their row and bound multipliers.
    """
    bare = (program.idiosyncratic == 0) & (program.lower < program.upper)
    margin = _NEAR * (float(np.abs(w).max()) or 1.0)
    inside = bare & (w - program.lower > margin) & (program.upper - w > margin)
    equal = program.row_lower == program.row_upper
    activity = program.activity(w)
    near = _NEAR * np.maximum(np.abs(activity), np.asarray(absolute(program.rows) @ np.abs(w)))
    held = (activity - program.row_lower <= near) | (program.row_upper - activity <= near)
    if _leaves_a_move(program, inside, held):
        return True
    # Where the variance vanishes so does every slope, and what is left of them is rounding.
    norms = np.sqrt(np.einsum("ki,ki->i", program.factors, program.factors))
    together = 2.0 * float(norms.max()) * float(norms @ np.abs(w))
    slope = max(float(np.abs(program.gradient(w)).max()), _VANISHED * together)
    unpriced = bare & (np.abs(z) <= _NEAR * slope)
    largest = absolute(program.rows).max(axis=1)
    pull = np.abs(y) * (largest if isinstance(largest, np.ndarray) else largest.toarray())
    if not _leaves_a_move(program, inside | unpriced, equal | (pull > _NEAR * slope)):
        return False
    return None


def _leaves_a_move(program: CreditProgram, which: Mask, rows: Mask) -> bool:
    """Whether F, c and the given rows, over the given customers, have a null space."""
    n = int(which.sum())
    A = program.rows[rows][:, which]
    dense = A if isinstance(A, np.ndarray) else A.toarray()
    if n > program.n_factors + dense.shape[0] + 1:
        return True
    K = np.vstack([program.factors[:, which], program.linear[None, which], dense])
    size = np.sqrt(np.einsum("ri,ri->r", K, K))
    rank = np.linalg.matrix_rank(K[size > 0] / size[size > 0, None], rtol=_RANK)
    return bool(n > rank)


def smallest_norm_program(program: CreditProgram, w: Vector) -> CreditProgram:
    """Return the program whose answer is the optimum of smallest norm, given one optimum w."""
    own = program.idiosyncratic > 0
    pinned = [program.factors]
    if program.linear.any():
        pinned.append(program.linear[None, :])
    fixed_rows = np.vstack(pinned)
    levels = fixed_rows @ w
    rows: NDArray[np.float64] | sparse.csr_array
    if sparse.issparse(program.rows):
        rows = sparse.vstack([program.rows, sparse.csr_array(fixed_rows)], format="csr")
    else:
        rows = np.vstack([program.rows, fixed_rows])
    return CreditProgram(
        idiosyncratic=np.ones(program.n_customers),
        rows=rows,
        row_lower=np.concatenate([program.row_lower, levels]),
        row_upper=np.concatenate([program.row_upper, levels]),
        lower=np.where(own, w, program.lower),
        upper=np.where(own, w, program.upper),
        row_names=(*program.row_names, *(f"level {i}" for i in range(levels.size))),
    )
