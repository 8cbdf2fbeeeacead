"""Programs made from programs: other fields, further rows, further columns.

Columns beyond those of the customers are auxiliary variables. Whatever speaks of customers only
(labels, mean returns, a current book) leaves them alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.errors import ModelError
from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.program.program import Rows

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

_FIELDS = (
    "factors",
    "idiosyncratic",
    "linear",
    "rows",
    "row_lower",
    "row_upper",
    "lower",
    "upper",
    "row_names",
)


def altered(program: CreditProgram, **changes: Any) -> CreditProgram:
    """Return the program with other fields; what is not named is shared, not copied.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.02])
    >>> altered(program, upper=0.5).upper
    array([0.5, 0.5])
    """
    return CreditProgram(**{**{name: getattr(program, name) for name in _FIELDS}, **changes})


def with_rows(
    program: CreditProgram,
    rows: ArrayLike | sparse.csr_array,
    row_lower: ArrayLike,
    row_upper: ArrayLike,
    names: Sequence[str],
) -> CreditProgram:
    """Return the program with rows added below its own.

    Parameters
    ----------
    program : CreditProgram
    rows : array_like or sparse array, shape (r, n) or fewer columns
        Columns that are missing on the right are auxiliary, with entries of zero.
    row_lower, row_upper : array_like, shape (r,) or scalar
    names : sequence of str
        None of which the program has already.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.02], rows=[[1, 1]], row_names=["budget"])
    >>> with_rows(program, [[1, 0]], 0.0, 0.3, ["first"]).row_names
    ('budget', 'first')
    """
    taken = [name for name in names if name in program.row_names]
    if taken or len(set(names)) < len(names):
        raise ModelError(
            f"the rows {list(names)} are added to {list(program.row_names)}: each name may occur "
            "once; rename one of them"
        )
    below = stacked([program.rows, widened(rows, program.n_customers)])
    r = len(names)
    return altered(
        program,
        rows=below,
        row_lower=np.concatenate([program.row_lower, np.broadcast_to(row_lower, r)]),
        row_upper=np.concatenate([program.row_upper, np.broadcast_to(row_upper, r)]),
        row_names=(*program.row_names, *names),
    )


def widened(rows: ArrayLike | sparse.csr_array, columns: int) -> Rows:
    """Return rows with zeros on the right, up to so many columns."""
    thin = sparse.issparse(rows)
    A: Any = rows if thin else np.atleast_2d(np.asarray(rows, dtype=np.float64))
    missing = columns - A.shape[1]
    if missing < 0:
        raise ModelError(
            f"rows over {A.shape[1]:,} customers do not fit a program of {columns:,}; give one "
            "entry for each customer of the program"
        )
    if missing:
        A = beside([A, (sparse.csr_array if thin else np.zeros)((A.shape[0], missing))])
    wide: Rows = A
    return wide


def stacked(parts: Sequence[Any]) -> Rows:
    """Put rows below one another; sparse where one of them is sparse, else dense."""
    filled = [part for part in parts if part.shape[0]]
    if len(filled) <= 1:
        alone: Rows = filled[0] if filled else parts[0]
        return alone
    if not any(sparse.issparse(part) for part in filled):
        return np.vstack(filled)
    return sparse.vstack([sparse.csr_array(part) for part in filled], format="csr")


def beside(parts: Sequence[Any]) -> Rows:
    """Put columns beside one another; sparse where one of them is sparse, else dense."""
    if not any(sparse.issparse(part) for part in parts):
        return np.hstack(parts)
    return sparse.hstack([sparse.csr_array(part) for part in parts], format="csr")


def check_customers(what: str, found: int, program: CreditProgram, customers: int | None) -> None:
    """Refuse data of another number of customers than the program has.

    Parameters
    ----------
    what : str
    found : int
    program : CreditProgram
    customers : int or None
        How many of its columns are customers; the others, on the right, are auxiliary. None: all.
    """
    expected = program.n_customers if customers is None else customers
    if found != expected or expected > program.n_customers:
        auxiliary = program.n_customers - expected
        other = f" and {auxiliary:,} auxiliary columns" if auxiliary else ""
        raise ModelError(
            f"{what} has {found:,} customers, the program {expected:,}{other}; give one entry for "
            "each customer, and say by customers= how many there are where some columns are not"
        )


def per_customer(name: str, values: ArrayLike, n: int, *, least: float | None = None) -> Vector:
    """Return one finite number for each customer, read-only.

    Raises
    ------
    ModelError
        For another shape, NaN or infinite entries, or one below ``least``.
    """
    array = np.array(values, dtype=np.float64)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.shape != (n,):
        raise ModelError(
            f"{name} has shape {array.shape}; expected ({n},), one number for each customer"
        )
    wrong = ~np.isfinite(array)
    if least is not None:
        wrong |= array < least
    if wrong.any():
        i = int(np.argmax(wrong))
        asked = "a finite number" if least is None else f"a finite number of {least:g} or more"
        raise ModelError(
            f"{name}[{i}] is {array[i]} ({int(wrong.sum()):,} such); expected {asked}; mend it"
        )
    array.flags.writeable = False
    return array
