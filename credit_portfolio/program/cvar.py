"""The mean of the worst periods as the objective: conditional value at risk of the panel.

The loss of period t is −r_t·w. CVaR at confidence β is the mean over the worst part 1 − β of the m
periods, each of weight 1/m (the period on the border counts in part). It is the minimum over t of::

    t + 1/((1 − β) m) Σ_t s_t        s_t ≥ −r_t·w − t,  s_t ≥ 0

so that it becomes linear with m + 1 auxiliary columns. Where (1 − β) m ≤ 1 it is the worst period.

A missing cell counts as the customer's own mean: then a period's return is linear in w, the mean
over all periods stays the customer's, and a customer without a sale neither helps nor harms a
period. It is the convention of the risk estimators. Over the customers who bought alone, as
reports show it, the return of a period would be a quotient in w and CVaR not convex.

References
----------
R. T. Rockafellar and S. Uryasev, "Optimization of conditional value-at-risk", Journal of Risk 2
(2000).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import DataError, ModelError, listing
from credit_portfolio.program.expected_return import budget_of
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.rewriting import check_customers, stacked, widened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

# Bounds of the auxiliary columns are no conditions of the model; a little room keeps them from
# holding, so that they never carry a multiplier. Rounding of a period's return is 1e-15.
_ROOM = 1e-3


@dataclass(frozen=True, eq=False, init=False)
class Tail:
    """CVaR of the panel's periods, with or without a part of the variance.

    Parameters
    ----------
    returns : array_like, shape (m, n)
        The panel; NaN, where a customer had no sale, counts as the customer's mean.
    confidence : float, default 0.9
        β in [0, 1): the mean is taken over the worst part 1 − β of the periods.
    variance_weight : float, default 0
        What one unit of ‖F w‖² + wᵀDw adds to the objective. A little makes the answer unique; at
        0 there are often many, and the one of smallest norm is taken.
    periods : sequence, optional
        Names of the periods, for the rows.

    Raises
    ------
    ModelError
        For a confidence outside [0, 1), or a negative weight.
    DataError
        For infinite returns, or a customer without any.

    Examples
    --------
    >>> tail = Tail([[0.2, 0.1], [-0.5, 0.1], [0.2, np.nan]], confidence=0.5)
    >>> round(tail.of(np.array([1.0, 0.0])), 4)     # the mean loss of one period and a half
    0.2667
    """

    returns: Matrix
    confidence: float
    variance_weight: float
    periods: tuple[str, ...]

    def __init__(
        self,
        returns: ArrayLike,
        confidence: float = 0.9,
        variance_weight: float = 0.0,
        periods: Sequence[object] | None = None,
    ) -> None:
        filled = _filled(np.asarray(returns, dtype=np.float64))
        if not 0 <= confidence < 1:
            raise ModelError(
                f"the confidence is {confidence}; expected a part of the periods from 0 to below "
                "1, as 0.9 for the worst tenth"
            )
        if not 0 <= variance_weight < np.inf:
            raise ModelError(f"the variance weight is {variance_weight}; expected 0 or more")
        m = filled.shape[0]
        names = range(m) if periods is None else periods
        if len(names) != m:
            raise ModelError(f"{len(names)} names for {m} periods; give one each")
        object.__setattr__(self, "returns", filled)
        object.__setattr__(self, "confidence", float(confidence))
        object.__setattr__(self, "variance_weight", float(variance_weight))
        object.__setattr__(self, "periods", tuple(str(name) for name in names))

    @property
    def weight(self) -> float:
        """1/((1 − β) m), at most 1: the weight of a period that is wholly in the tail."""
        return float(min(1.0 / ((1.0 - self.confidence) * self.returns.shape[0]), 1.0))

    def of(self, w: Vector) -> float:
        """Return CVaR of shares: a loss, negative where even the worst periods earn."""
        return float(np.dot(self.worst_mix(w), self.losses(w)))

    def worst_mix(self, w: Vector) -> Vector:
        """Weights of the periods whose mean loss is the largest: the worst ones; shape (m,)."""
        order = np.argsort(-self.losses(w), kind="stable")
        left = np.clip(1.0 - self.weight * np.arange(order.size), 0.0, self.weight)
        mix = np.zeros(order.size)
        mix[order] = left
        return mix

    def mix(self, multipliers: Vector) -> Vector:
        """Weights of the periods nearest to given multipliers: 0 to ``weight``, summing to one."""
        mix = np.clip(multipliers, 0.0, self.weight)
        missing = 1.0 - float(mix.sum())
        room = self.weight - mix if missing > 0 else mix
        total = float(room.sum())
        return mix + missing * room / total if total > 0 else mix

    def losses(self, w: Vector) -> Vector:
        """Return each period's loss −r_t·w, shape (m,)."""
        return -(self.returns @ w[: self.returns.shape[1]])


def with_tail(program: CreditProgram, tail: Tail, customers: int | None = None) -> CreditProgram:
    """Put CVaR in the place of the variance, with auxiliary columns t, s_1 … s_m on the right.

    Parameters
    ----------
    program : CreditProgram
        Its linear cost stays as it is; its variance counts by ``tail.variance_weight``.
    tail : Tail
    customers : int, optional
        How many of the columns are customers, where some are auxiliary.

    Returns
    -------
    CreditProgram
        With a row "period t" for each period below the program's own.

    Notes
    -----
    t and s are bounded by what a period can earn under the budget and the customers' bounds, as far
    as these say something; such bounds never hold, and free columns would only slow a solver down.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.04], rows=[[1, 1]], row_lower=1,
    ...                         row_upper=1, row_names=["budget"])
    >>> with_tail(program, Tail([[0.2, 0.1], [-0.5, 0.1]])).row_names
    ('budget', 'period 0', 'period 1')
    """
    R = tail.returns
    m, n = R.shape
    N = program.n_customers
    check_customers("the panel", n, program, customers)
    weight = tail.variance_weight
    least, most = _loss_range(program, R)
    k = program.n_factors if weight > 0 else 0
    F = np.zeros((k, N + 1 + m))
    if k:
        np.multiply(np.sqrt(weight), program.factors, out=F[:, :N])
    periods = np.hstack([R, np.zeros((m, N - n)), np.ones((m, 1)), np.eye(m)])
    return CreditProgram(
        factors=F,
        idiosyncratic=np.concatenate([weight * program.idiosyncratic, np.zeros(1 + m)]),
        linear=np.concatenate([program.linear, [1.0], np.full(m, tail.weight)]),
        rows=stacked([widened(program.rows, N + 1 + m), periods]),
        row_lower=np.concatenate([program.row_lower, np.zeros(m)]),
        row_upper=np.concatenate([program.row_upper, np.full(m, np.inf)]),
        lower=np.concatenate([program.lower, [least], np.zeros(m)]),
        upper=np.concatenate([program.upper, [most], np.full(m, most - least)]),
        row_names=(*program.row_names, *(f"period {name}" for name in tail.periods)),
    )


def _filled(returns: Matrix) -> Matrix:
    """Put each customer's mean into the cells without a sale."""
    if returns.ndim != 2 or 0 in returns.shape:
        raise ModelError(f"returns has shape {returns.shape}; expected (periods, customers)")
    if np.isinf(returns).any():
        where = np.argwhere(np.isinf(returns))[:3].tolist()
        raise DataError(f"the panel has infinite returns at (period, customer) {where}")
    seen = ~np.isnan(returns)
    count = seen.sum(axis=0)
    if not count.all():
        without = np.flatnonzero(count == 0)
        raise DataError(
            f"{without.size:,} customers have no return in any period (columns "
            f"{listing(without.tolist())}); leave them out, or give them the returns of their class"
        )
    mean = np.where(seen, returns, 0.0).sum(axis=0) / count
    filled = np.where(seen, returns, mean)
    filled.flags.writeable = False
    return filled


def _loss_range(program: CreditProgram, R: Matrix) -> tuple[float, float]:
    """Bounds of every period's loss under the budget and the bounds; infinite where unknown."""
    n = R.shape[1]
    lower, upper = program.lower[:n], program.upper[:n]
    total = budget_of(program, n)
    if total is not None and np.isfinite(lower).all():
        base, rest = R @ lower, max(total - float(lower.sum()), 0.0)
        low, high = base + rest * R.min(axis=1), base + rest * R.max(axis=1)
    elif np.isfinite(lower).all() and np.isfinite(upper).all():
        up, down = np.maximum(R, 0.0), np.minimum(R, 0.0)
        low, high = up @ lower + down @ upper, up @ upper + down @ lower
    else:
        return -np.inf, np.inf
    least, most = -float(high.max()), -float(low.min())
    room = _ROOM * max(most - least, abs(most), abs(least), np.finfo(float).tiny)
    return least - room, most + room
