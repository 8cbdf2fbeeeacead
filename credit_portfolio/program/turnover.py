"""How far the shares may move from the current book, and what moving costs.

The limit ½ Σ|w − w⁰| ≤ τ and the costs Σ κ_i |w_i − w⁰_i| have a kink at w⁰. Each share is cut
there into what is kept of today's and what is added::

    w = p + q        l ≤ p ≤ w⁰        0 ≤ q ≤ u − w⁰
    |w − w⁰| = (w⁰ − p) + q            wherever p = w⁰ or q = 0: nobody sells and buys at once

With the u and v of w = w⁰ + u − v these are q = u and p = w⁰ − v, so that no constant shift of the
risk is left. Risk and rows are those of w. The own variance is written as::

    D w²  →  D p² + D q² + 2 D w⁰ q  =  D w² + 2 D q (w⁰ − p)

which is exact where nobody sells and buys at once, and more elsewhere. It stays diagonal, so that a
solver treats each part in closed form.

Proof that nothing is lost. Take any feasible (p, q) with δ = min(w⁰ − p, q) > 0, and put (p + δ,
q − δ) in its place. w, its risk in common and every row of w stay; the costs fall by 2 κ δ, the
turnover by δ, and the last term above falls, all by zero or more. So some optimum has δ = 0, where
program and translation agree; and as the translation is never below, its optimum is the program's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from credit_portfolio.errors import InfeasibleError, ModelError
from credit_portfolio.program.expected_return import budget_of
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.rewriting import (
    beside,
    check_customers,
    per_customer,
    stacked,
    widened,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]

TURNOVER_ROW = "turnover"

# A forced turnover is a sum of n differences of shares: what a limit lacks of it by less than this
# is their rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False, init=False)
class Turnover:
    """A limit and costs on moving away from the current book.

    Parameters
    ----------
    current : array_like, shape (n,)
        w⁰ ≥ 0, in fractions of the budget that is being shared; 0 for who is not in today's book.
        They need not sum to 1: where the budget grows or shrinks, the difference has to move, and
        counts.
    limit : float, optional
        τ: most of ½ Σ|w − w⁰|, in fractions of the budget. None: no limit.
    cost : array_like, shape (n,) or scalar, default 0
        κ ≥ 0 per unit of share moved either way, in units of the objective.
    gone : float, default 0
        What is held today by customers who are not in the program. It has to be sold: half of it
        counts in the turnover. Its cost is a constant and no part of the objective.

    Raises
    ------
    ModelError
        For negative or infinite data, or neither a limit nor a cost.

    Examples
    --------
    >>> today = Turnover([0.5, 0.5, 0.0], limit=0.1)
    >>> today.of(np.array([0.25, 0.5, 0.25]))
    0.25
    """

    current: Vector
    limit: float
    cost: Vector
    gone: float

    def __init__(
        self,
        current: ArrayLike,
        limit: float | None = None,
        cost: ArrayLike = 0.0,
        gone: float = 0.0,
    ) -> None:
        now = per_customer("current", np.atleast_1d(current), np.size(current), least=0.0)
        kappa = per_customer("cost", cost, now.size, least=0.0)
        if limit is not None and not 0 <= limit < np.inf:
            raise ModelError(f"the turnover limit is {limit}; expected a part of the budget, ≥ 0")
        if not 0 <= gone < np.inf:
            raise ModelError(f"gone is {gone}; expected a part of the budget, 0 or more")
        if limit is None and not kappa.any():
            raise ModelError("turnover has neither a limit nor a cost; give one, or leave it out")
        object.__setattr__(self, "current", now)
        object.__setattr__(self, "limit", np.inf if limit is None else float(limit))
        object.__setattr__(self, "cost", kappa)
        object.__setattr__(self, "gone", float(gone))

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return bool(np.isfinite(self.limit))

    def of(self, w: Vector) -> float:
        """Return ½ (Σ|w − w⁰| + gone)."""
        n = self.current.size
        return 0.5 * (float(np.abs(w[:n] - self.current).sum()) + self.gone)

    def paid(self, w: Vector) -> float:
        """Return Σ κ |w − w⁰|."""
        n = self.current.size
        return float(self.cost @ np.abs(w[:n] - self.current))

    def price(self, multiplier: float) -> Vector:
        """Return what a unit moved costs each customer at a multiplier of the limit, shape (n,)."""
        return self.cost + 0.5 * max(multiplier, 0.0)


@dataclass(frozen=True, eq=False)
class Split:
    """A program with a current book, cut into what is kept and what is added.

    The columns of the translation are those of the source, with p in the place of w where a share
    is cut, and one q behind them for each of ``cut``.

    Attributes
    ----------
    source : CreditProgram
        In shares; columns beyond those of the current book are auxiliary.
    turnover : Turnover
    cut : ndarray of int
        Customers with l < w⁰ < u whose moves cost something: the others move one way only, or for
        nothing.
    """

    source: CreditProgram
    turnover: Turnover
    cut: Index

    @property
    def kept(self) -> Vector:
        """w⁰ of those who are cut."""
        return self.turnover.current[self.cut]

    @cached_property
    def sign(self) -> Vector:
        """Direction in which a share in one piece moves: 1 up, −1 down; 0 of one that is cut."""
        now, n = self.turnover.current, self.turnover.current.size
        sign = np.where(now <= self.source.lower[:n], 1.0, -1.0)
        between = (now > self.source.lower[:n]) & (now < self.source.upper[:n])
        sign[between] = 0.0
        return sign

    def translated(self, like: CreditProgram | None = None) -> CreditProgram:
        """Return the program over p, the uncut shares, auxiliary columns, and q.

        Parameters
        ----------
        like : CreditProgram, optional
            A translation of another source with the same factors and bounds, to share them.
        """
        source, cut, kept = self.source, self.cut, self.kept
        upper = source.upper.copy()
        upper[cut] = kept
        own = source.idiosyncratic[cut]
        F = source.factors
        if like is not None:
            F = like.factors
        elif F.shape[0]:
            F = np.hstack([F, F[:, cut]])
        else:
            F = np.zeros((0, source.n_customers + cut.size))
        n = self.turnover.current.size
        slope = source.linear.copy()
        slope[:n] += self.turnover.cost * np.where(self.sign == 0, -1.0, self.sign)
        rows = beside([source.rows, source.rows[:, cut]])
        row_lower, row_upper, names = source.row_lower, source.row_upper, source.row_names
        if self.turnover.limited:
            rows = stacked([rows, self._row()])
            row_lower = np.append(row_lower, -np.inf)
            row_upper = np.append(row_upper, self.turnover.limit - self._settled())
            names = (*names, TURNOVER_ROW)
        added = source.linear[cut] + self.turnover.cost[cut] + 2.0 * own * kept
        return CreditProgram(
            factors=F,
            idiosyncratic=np.concatenate([source.idiosyncratic, own]),
            linear=np.concatenate([slope, added]),
            rows=rows,
            row_lower=row_lower,
            row_upper=row_upper,
            lower=np.concatenate([source.lower, np.zeros(cut.size)]),
            upper=np.concatenate([upper, source.upper[cut] - kept]),
            row_names=names,
        )

    def shares(self, x: Vector) -> Vector:
        """Return w, and the auxiliary columns, of a point of the translation."""
        w = x[: self.source.n_customers].copy()
        w[self.cut] += x[self.source.n_customers :]
        return w

    def point(self, w: Vector) -> Vector:
        """Return (p, q) of shares, where nobody sells and buys at once."""
        x = np.concatenate([w, np.maximum(w[self.cut] - self.kept, 0.0)])
        x[self.cut] = np.minimum(w[self.cut], self.kept)
        return x

    def norm_terms(self, customers: int) -> tuple[Vector, Vector]:
        """D and c of ‖w‖² over the translation's columns; auxiliary ones do not count."""
        own = np.zeros(self.source.n_customers + self.cut.size)
        own[:customers] = 1.0
        own[self.source.n_customers :] = 1.0
        linear = np.zeros_like(own)
        linear[self.source.n_customers :] = 2.0 * self.kept
        return own, linear

    def _row(self) -> sparse.csr_array | NDArray[np.float64]:
        n = self.turnover.current.size
        half = np.zeros(self.source.n_customers + self.cut.size)
        half[:n] = 0.5 * np.where(self.sign == 0, -1.0, self.sign)
        half[self.source.n_customers :] = 0.5
        row = widened(half[None, :], half.size)
        return sparse.csr_array(row) if sparse.issparse(self.source.rows) else row

    def _settled(self) -> float:
        """½ (Σ ∓w⁰ + gone): what the row of the limit has on its left without a variable."""
        sign = np.where(self.sign == 0, -1.0, self.sign)
        return 0.5 * (self.turnover.gone - float(sign @ self.turnover.current))


@dataclass(frozen=True, eq=False, slots=True)
class Slopes:
    """What moving costs at the margin, at given shares and multipliers.

    Attributes
    ----------
    linear : ndarray, shape (n,)
        A subgradient of Σ (κ + ½μ)|w − w⁰|, and what stands in for it in the program of shares.
    loss : float
        By how much the subgradient's line lies below the costs at w, with what the limit's
        multiplier leaves unused: 0 at an optimum, and never less.
    outside : float
        By how much the limit is exceeded, relative to the shares that make it up.
    multiplier : float
        μ ≥ 0 of the limit.
    """

    linear: Vector
    loss: float
    outside: float
    multiplier: float


def split_turnover(
    program: CreditProgram, turnover: Turnover, customers: int | None = None
) -> Split:
    """Translate a limit and costs on moving into a program without kinks.

    Parameters
    ----------
    program : CreditProgram
        Its first columns are the customers of the current book, in the same order.
    turnover : Turnover
    customers : int, optional
        How many of the columns are customers, where some are auxiliary.

    Returns
    -------
    Split
        ``translated()`` is for the solver, ``shares(x)`` takes its answer back.

    Raises
    ------
    ModelError
        For a current book of another number of customers than the program has.
    InfeasibleError
        Where bounds and budget force more turnover than the limit allows.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.04], rows=[[1, 1]], row_lower=1,
    ...                         row_upper=1, row_names=["budget"])
    >>> split = split_turnover(program, Turnover([0.5, 0.5], limit=0.1))
    >>> split.translated().n_customers, split.translated().row_names
    (4, ('budget', 'turnover'))
    """
    n = turnover.current.size
    check_customers("the current book", n, program, customers)
    now, lower, upper = turnover.current, program.lower[:n], program.upper[:n]
    _check_limit(program, turnover, lower, upper)
    dear = (turnover.cost > 0) | turnover.limited
    cut = np.flatnonzero((now > lower) & (now < upper) & dear)
    return Split(program, turnover, cut)


def moving_slopes(
    program: CreditProgram, turnover: Turnover, w: Vector, y: Vector, multiplier: float
) -> Slopes:
    """Find the subgradient of the costs with which shares are optimal in the program alone.

    A customer who can move one way only pays for that way. One who stays at w⁰ between his bounds
    gets whatever slope he needs, as far as the price of moving goes; one who moves has used it up.

    Parameters
    ----------
    program : CreditProgram
    turnover : Turnover
    w : ndarray, shape (n,)
    y : ndarray, shape (q,)
        Multipliers of the program's rows.
    multiplier : float
        Of the limit on turnover.
    """
    n = turnover.current.size
    mu = max(multiplier, 0.0) if turnover.limited else 0.0
    price = turnover.price(mu)
    now, lower, upper = turnover.current, program.lower[:n], program.upper[:n]
    slope = program.gradient(w) + np.asarray(program.rows.T @ y)
    linear = np.clip(-slope[:n], -price, price)
    linear = np.where(now <= lower, price, np.where(now >= upper, -price, linear))
    moved = w[:n] - now
    loss = float((price * np.abs(moved) - linear * moved).sum())
    used = turnover.of(w)
    outside = 0.0
    if turnover.limited:
        loss += mu * abs(turnover.limit - used)
        size = 0.5 * float(np.abs(w[:n]).sum() + now.sum() + turnover.gone)
        excess = max(used - turnover.limit, 0.0)
        outside = excess / max(size, turnover.limit) if excess > 0 else 0.0
    return Slopes(linear=linear, loss=loss, outside=outside, multiplier=mu)


def _check_limit(program: CreditProgram, turnover: Turnover, lower: Vector, upper: Vector) -> None:
    if not turnover.limited:
        return
    now = turnover.current
    bought = float(np.maximum(lower - now, 0.0).sum())
    sold = float(np.maximum(now - upper, 0.0).sum())
    total = budget_of(program, now.size)
    growth = bought - sold if total is None else total - float(now.sum())
    # Purchases less sales make up the growth of the book; what is forced of both is the least.
    moved = max(bought + (bought - growth), sold + (sold + growth))
    forced = 0.5 * (moved + turnover.gone)
    if forced > turnover.limit + _ROUNDING * max(forced, 1.0):
        raise InfeasibleError(
            f"bounds, budget and customers who left force a turnover of {forced:.4%} of the "
            f"budget, above the limit of {turnover.limit:.4%}: purchases of {bought:.4%} up to "
            f"floors, sales of {sold:.4%} down to limits, {turnover.gone:.4%} with customers who "
            f"left, and a budget that differs from today's book by {growth:.4%}; raise the limit",
            conflict=(TURNOVER_ROW, "limits"),
        )
