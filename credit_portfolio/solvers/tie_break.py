"""Of all optimal shares, the ones of smallest norm.

Where some customers have no variance of their own (D_i = 0), different shares can have the same
objective. All optima agree in F w, in D w and in cᵀw, so the optimal set is cut out by rows, and
its point of smallest norm is again a program of the package, one with D = 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


def may_tie(program: CreditProgram) -> bool:
    """Whether the optimum can be non-unique: two or more free shares without own variance."""
    free = program.lower < program.upper
    return int((free & (program.idiosyncratic == 0)).sum()) > 1


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
