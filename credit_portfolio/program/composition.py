"""Targets on B under any composition operator, written as a program and what branches over it.

========================  ====================================  ====================================
operator                  B_j ≤ b                               B_j ≥ b
========================  ====================================  ====================================
main_factor_decisive      w_i ≤ b where p_ij > b: bounds        some i with p_ij ≥ b has w_i ≥ b
main_factor_prominent     w_i ≤ b / p_ij: bounds                some i has w_i ≥ b / p_ij
bounded_sum, balanced     Σ_i min(w_i, κ_ij) ≤ b: not convex    Σ_i min(w_i, κ_ij) ≥ b: convex
weighted_average          linear                                linear
========================  ====================================  ====================================

κ_ij = p_ij for the bounded sum, p_ij / Σ_l p_lj for the balanced one. Normalised degrees make
B_j − b Σ_l B_l ≤ 0 (≥ 0): linear for the weighted average, a row with kinks of both signs for the
sums, and for the two main factors a row over levels β_l that stand for B_l, each with the choice of
the customer who reaches it, or as a ceiling on all of them, as its sign in the row asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from credit_portfolio.errors import ModelError, did_you_mean
from credit_portfolio.program.alternatives import CONSTANT, Alternatives, Kinks, Peak, plain
from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Rows = list[tuple[Vector, float, float, str]]

DECISIVE, PROMINENT = "main_factor_decisive", "main_factor_prominent"
BOUNDED, BALANCED, AVERAGE = "bounded_sum", "balanced", "weighted_average"
NAMES = (DECISIVE, PROMINENT, BOUNDED, AVERAGE, BALANCED)

# A budget row that says Σw ≤ 1, or a sum that is another one, up to the rounding of its parts.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False, slots=True)
class _Asked:
    """One target: B_j ≤ bound, or ≥ where ``above``."""

    interval: int
    bound: float
    above: bool
    name: str


def compose(
    operator: str,
    P: Matrix,
    *,
    upper: Vector,
    lower: Vector,
    program: CreditProgram,
    normalised: bool = False,
    names: Sequence[str] | None = None,
    totals: Vector | None = None,
) -> Alternatives:
    """Add targets on the degrees of an operator to a program.

    Parameters
    ----------
    operator : str
        One of ``NAMES``.
    P : ndarray, shape (n_customers, n_intervals)
        Degrees in [0, 1] of the program's customers, in its order.
    upper, lower : ndarray, shape (n_intervals,)
        Bounds on B; +inf and −inf leave a side open.
    program : CreditProgram
        Budget, limits and all else. Bounded sums are cut at 1 only where shares can sum to more,
        so that a row must hold Σ w ≤ 1 for normalised ones.
    normalised : bool, default False
        Whether the bounds are on B / Σ_l B_l. Where all degrees are zero every bound holds.
    names : sequence of str, optional
        Names of the intervals, for the rows' names.
    totals : ndarray, shape (n_intervals,), optional
        Σ_l p_lj, by which the balanced operator divides: of the whole book where the program has
        only a part of its customers, and none less than the column sums of P, the default.

    Returns
    -------
    Alternatives
        ``program`` itself where the side is linear or just bounds; the rows of the given program
        come first and in their order.

    Raises
    ------
    ModelError
        For an unknown operator, shapes that do not fit, degrees outside [0, 1], or a missing
        budget row.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[1, 1], rows=[[1, 1]], row_lower=1, row_upper=1)
    >>> P = np.array([[0.5, 0.5], [0.25, 0.75]])
    >>> few = compose("main_factor_prominent", P, upper=np.array([0.3, np.inf]),
    ...               lower=np.full(2, -np.inf), program=program)
    >>> few.program.upper, few.convex
    (array([0.6, 1.2]), True)
    """
    P = _checked(operator, P, upper, lower, program)
    called = [str(j) for j in range(P.shape[1])] if names is None else list(names)
    asked = [
        _Asked(j, float(side[j]), above, f"target {called[j]}")
        for j in range(P.shape[1])
        for side, above in ((upper, False), (lower, True))
        if np.isfinite(side[j])
    ]
    if operator == AVERAGE:
        return _average(P, asked, program, normalised)
    if operator in (BOUNDED, BALANCED):
        at = P if operator == BOUNDED else _evened(P, totals)
        return _sums(operator, at, asked, program, normalised)
    return (_shares_of_peaks if normalised else _peaks)(operator, P, asked, program)


def _average(
    P: Matrix, asked: list[_Asked], program: CreditProgram, normalised: bool
) -> Alternatives:
    rows: Rows = []
    for a in asked:
        row, bound = P[:, a.interval], a.bound
        if normalised:
            row, bound = row - bound * P.sum(axis=1), 0.0
        rows.append((row, bound, np.inf, a.name) if a.above else (row, -np.inf, bound, a.name))
    return plain(_with_rows(program, rows))


def _sums(
    operator: str, at: Matrix, asked: list[_Asked], program: CreditProgram, normalised: bool
) -> Alternatives:
    """Rows of kinks: Σ_i min(w_i, κ_ij) against a number, or a weighted sum of such sums."""
    if normalised and operator == BOUNDED and not _within_one(program):
        raise ModelError(
            "normalised bounded sums are asked for, but no row says that the shares sum to at most "
            "1; the bound of 1 on each sum would bind; add the budget row Σ w = 1"
        )
    n, k = at.shape
    rows: Rows = []
    parts: list[Kinks] = []
    highest = program.upper.copy()
    for a in asked:
        if not normalised and operator == BOUNDED and not a.above and a.bound >= 1:
            continue  # the outer bound of 1 holds it
        sign = -1.0 if a.above else 1.0
        weight = np.zeros(k)
        weight[a.interval] = sign
        if normalised:
            weight -= sign * a.bound
        elif not a.above:  # one alone must not be above what all together may reach
            alone = at[:, a.interval] > a.bound
            highest[alone] = np.minimum(highest[alone], a.bound)
        bound = 0.0 if normalised else sign * a.bound
        parts.append(_terms(program.n_rows + len(rows), at, weight))
        rows.append((np.zeros(n), -np.inf, bound, a.name))
    wide = _bounded(_with_rows(program, rows), program.lower, highest)
    kinks = Kinks(
        row=np.concatenate([p.row for p in parts]) if parts else np.zeros(0, dtype=np.intp),
        column=np.concatenate([p.column for p in parts]) if parts else np.zeros(0, dtype=np.intp),
        at=np.concatenate([p.at for p in parts]) if parts else np.zeros(0),
        weight=np.concatenate([p.weight for p in parts]) if parts else np.zeros(0),
    )
    return replace(plain(wide), kinks=kinks)


def _terms(row: int, at: Matrix, weight: Vector) -> Kinks:
    column, interval = np.nonzero((at > 0) & (weight != 0))
    return Kinks(
        row=np.full(column.size, row, dtype=np.intp),
        column=column.astype(np.intp),
        at=at[column, interval],
        weight=weight[interval],
    )


def _evened(P: Matrix, totals: Vector | None) -> Matrix:
    """Divide by the totals; a column that is its own total may miss it by rounding."""
    own = P.sum(axis=0)
    total = own if totals is None else np.asarray(totals, dtype=np.float64)
    if total.shape != own.shape or not (total >= own * (1 - _ROUNDING)).all():
        raise ModelError(
            f"totals are {total.tolist()}; expected one for each of {own.size} intervals, none "
            f"below the column sums of P, {own.tolist()}"
        )
    evened: Matrix = np.divide(P, total, out=np.zeros_like(P), where=total > 0)
    return evened


def _within_one(program: CreditProgram) -> bool:
    small = np.flatnonzero(program.row_upper <= 1.0 + _ROUNDING)
    for r in small:
        row = program.rows[[r]]
        dense = row if isinstance(row, np.ndarray) else row.toarray()
        if (dense >= 1.0 - _ROUNDING).all() and (program.lower >= 0).all():
            return True
    return False


def _peaks(operator: str, P: Matrix, asked: list[_Asked], program: CreditProgram) -> Alternatives:
    """Bounds for upper sides, a choice of the customer who reaches it for lower ones."""
    highest, reached = program.upper.copy(), []
    for a in asked:
        p = P[:, a.interval]
        if not a.above:
            over = p > a.bound if operator == DECISIVE else p > 0
            most = np.full(int(over.sum()), a.bound) if operator == DECISIVE else a.bound / p[over]
            highest[over] = np.minimum(highest[over], most)
        elif a.bound > 0:
            reached.append(_peak(operator, P, a.interval, a.name, level=a.bound))
    held = _bounded(program, program.lower, highest)
    return replace(plain(held), reached=tuple(reached))


def _peak(
    operator: str, P: Matrix, j: int, name: str, *, level: float = 0.0, variable: int = CONSTANT
) -> Peak:
    some = np.flatnonzero(P[:, j] > 0).astype(np.intp)
    p = P[some, j]
    if operator == DECISIVE:
        return Peak(name, some, np.ones(some.size), p, variable, level)
    return Peak(name, some, p, np.full(some.size, np.inf), variable, level)


def _shares_of_peaks(
    operator: str, P: Matrix, asked: list[_Asked], program: CreditProgram
) -> Alternatives:
    """Rows over levels β_l = B_l; which sides of β_l = max_i … are needed is the sign's to say."""
    n, k = P.shape
    rows: Rows = []
    above, below = np.zeros(k, dtype=bool), np.zeros(k, dtype=bool)
    for a in asked:
        sign = -1.0 if a.above else 1.0
        weight = np.full(k, -sign * a.bound)
        weight[a.interval] += sign
        above |= weight > 0  # a level that costs room must not be below its peak
        below |= weight < 0
        rows.append((np.concatenate([np.zeros(n), weight]), -np.inf, 0.0, a.name))
    wide = _with_rows(_with_levels(program, above | below), rows)
    name = [f"degree {j}" for j in range(k)]
    return Alternatives(
        program=wide,
        n_shares=n,
        kinks=Kinks.none(),
        reached=tuple(_peak(operator, P, j, name[j], variable=n + j) for j in range(k) if below[j]),
        ceilings=tuple(
            _peak(operator, P, j, name[j], variable=n + j) for j in range(k) if above[j]
        ),
        least=np.zeros(n + k),
    )


def _with_levels(program: CreditProgram, needed: NDArray[np.bool_]) -> CreditProgram:
    """Add columns without risk and cost, to no row: of 0 or more where needed, else 0."""
    rows, q, k = program.rows, program.n_rows, needed.size
    return CreditProgram(
        factors=np.hstack([program.factors, np.zeros((program.n_factors, k))]),
        idiosyncratic=np.concatenate([program.idiosyncratic, np.zeros(k)]),
        linear=np.concatenate([program.linear, np.zeros(k)]),
        rows=np.hstack([rows, np.zeros((q, k))])
        if isinstance(rows, np.ndarray)
        else sparse.hstack([rows, sparse.csr_array((q, k))], format="csr"),
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        lower=np.concatenate([program.lower, np.zeros(k)]),
        upper=np.concatenate([program.upper, np.where(needed, np.inf, 0.0)]),
        row_names=program.row_names,
    )


def _with_rows(program: CreditProgram, added: Rows) -> CreditProgram:
    if not added:
        return program
    new = np.array([row for row, _, _, _ in added])
    return CreditProgram(
        factors=program.factors,
        idiosyncratic=program.idiosyncratic,
        linear=program.linear,
        rows=np.vstack([program.rows, new])
        if isinstance(program.rows, np.ndarray)
        else sparse.vstack([program.rows, sparse.csr_array(new)], format="csr"),
        row_lower=np.concatenate([program.row_lower, [low for _, low, _, _ in added]]),
        row_upper=np.concatenate([program.row_upper, [high for _, _, high, _ in added]]),
        lower=program.lower,
        upper=program.upper,
        row_names=(*program.row_names, *(name for _, _, _, name in added)),
    )


def _bounded(program: CreditProgram, lower: Vector, upper: Vector) -> CreditProgram:
    """Return the program with other bounds; a bound that crosses the other becomes a row.

    A floor above what a target leaves makes the program infeasible, which is the solver's to prove
    and to tell by the names of rows; the program itself refuses crossed bounds.
    """
    crossed = np.flatnonzero(lower > upper)
    rows: Rows = []
    for i in crossed:
        unit = np.zeros(lower.size)
        unit[i] = 1.0
        rows.append((unit, -np.inf, float(upper[i]), f"most of customer {i} under the targets"))
    held = CreditProgram(
        factors=program.factors,
        idiosyncratic=program.idiosyncratic,
        linear=program.linear,
        rows=program.rows,
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        lower=lower,
        upper=np.maximum(upper, lower),
        row_names=program.row_names,
    )
    return _with_rows(held, rows[:1])  # one of them is proof enough


def _checked(
    operator: str, P: Matrix, upper: Vector, lower: Vector, program: CreditProgram
) -> Matrix:
    if operator not in NAMES:
        raise ModelError(
            f"unknown operator {operator!r}; expected one of {', '.join(NAMES)}."
            f"{did_you_mean(operator, NAMES)}"
        )
    P = np.asarray(P, dtype=np.float64)
    if P.ndim != 2 or P.shape[0] != program.n_customers:
        raise ModelError(
            f"P has shape {P.shape}; expected ({program.n_customers}, n_intervals), one row for "
            "each customer of the program"
        )
    for name, side in (("upper", upper), ("lower", lower)):
        if np.shape(side) != (P.shape[1],):
            raise ModelError(
                f"{name} has shape {np.shape(side)}; expected ({P.shape[1]},), one an interval"
            )
        if np.isnan(side).any():
            raise ModelError(f"{name} has NaN; use an infinite bound to leave an interval free")
        wrong = np.isfinite(side) & ((np.asarray(side) < 0) | (np.asarray(side) > 1))
        if wrong.any():
            j = int(np.argmax(wrong))
            raise ModelError(f"{name}[{j}] is {side[j]}; expected a degree between 0 and 1")
    if not ((P >= 0) & (P <= 1)).all():
        at = np.argwhere(~((P >= 0) & (P <= 1)))[0].tolist()
        raise ModelError(f"P[{at[0]}, {at[1]}] is {P[*at]}; expected a degree between 0 and 1")
    if (program.lower < 0).any():
        raise ModelError("a share may be below 0; the operators are for shares of 0 or more")
    return P
