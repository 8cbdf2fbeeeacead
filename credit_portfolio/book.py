"""What is known before the program, and the program itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from credit_portfolio import reasons
from credit_portfolio.errors import InfeasibleError, ModelError, listing
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.evaluation.matrix import (
    EvaluationMatrix,
    evaluation_matrix,
    interval_variance,
    smoothed,
)
from credit_portfolio.evaluation.operators import operator_named
from credit_portfolio.evaluation.targets import Targets
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.risk.estimators import estimate
from credit_portfolio.risk.model import RiskModel, with_floor
from credit_portfolio.universe import Universe, assemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.solvers.solution import Solution
    from credit_portfolio.universe import Money

    Vector = NDArray[np.float64]

BUDGET_ROW = "budget"


@dataclass(frozen=True, eq=False, slots=True)
class Specification:
    """The parameters of ``CreditPortfolio``, under the same names."""

    intervals: Sequence[float] | ReturnIntervals
    good_from: int | None
    targets: Literal["no_worse"] | Mapping[int | str, float] | Targets
    risk_model: str
    operator: str
    budget: float | None
    max_share: float
    floor: Literal["smoothed"] | float | None
    outside: Literal["error", "clip"]
    unit: float
    currency: str
    solver: str
    tolerance: float


@dataclass(frozen=True, eq=False, slots=True)
class Book:
    """The judged customers' history, risk and targets, in the universe's order.

    Attributes
    ----------
    universe : Universe
    returns : ndarray, shape (n_periods, n_judged)
    matrix : EvaluationMatrix
    risk : RiskModel
    current : ndarray or None, shape (n_judged,)
        Today's shares among the judged; they sum to 1.
    targets : Targets
    budget : float
        T, in money.
    """

    universe: Universe
    returns: NDArray[np.float64]
    matrix: EvaluationMatrix
    risk: RiskModel
    current: Vector | None
    targets: Targets
    budget: float


def read_book(
    spec: Specification,
    panel: ReturnPanel,
    limits: Money | None,
    current: Money | None,
    floors: Money | None,
) -> Book:
    """Match all inputs, and estimate what the program needs, for all customers with a history.

    Raises
    ------
    DataError, ModelError, InfeasibleError
        As ``CreditPortfolio.fit`` says.
    """
    if not isinstance(panel, ReturnPanel):
        raise TypeError(
            f"fit takes a ReturnPanel, not {type(panel).__name__}; ReturnPanel.from_frame "
            "makes one of a table of returns"
        )
    operator = operator_named(spec.operator)
    intervals = _intervals(spec)
    universe = assemble(panel, limits, current, floors)
    if not universe.eligible.any():
        counts = pd.Series(universe.exclusion).value_counts()
        raise InfeasibleError(
            "no customer can get a share: "
            + (
                ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
                or "there are none"
            )
        )
    judged = universe.customers[universe.judged]
    returns = panel.select(judged)
    matrix = evaluation_matrix(
        returns,
        intervals,
        outside=spec.outside,
        periods=panel.periods.tolist(),
        customers=judged.tolist(),
    )
    risk = _floored(spec, estimate(spec.risk_model, returns), matrix)
    held = None
    if universe.current is not None:
        held = universe.current[universe.judged]
        held = held / held.sum() if held.sum() > 0 else None
    targets = _targets(spec, intervals, None if held is None else operator(held, matrix.values))
    budget = _budget(spec, universe)
    return Book(universe, returns, matrix, risk, held, targets, budget)


def credit_program(spec: Specification, book: Book) -> CreditProgram:
    """Write the program of the head of ``portfolio.py`` over the eligible customers."""
    u, eligible = book.universe, book.universe.eligible
    among_judged = eligible[u.judged]
    P = book.matrix.values[among_judged]
    upper, lower = book.targets.upper, book.targets.lower
    # At most all of the credit and at least none of it say nothing: no row for them.
    kept = (upper < 1.0) | (lower > 0.0)
    names = np.array(book.targets.intervals.names, dtype=object)[kept]
    return CreditProgram(
        factors=book.risk.factors[:, among_judged],
        idiosyncratic=book.risk.idiosyncratic[among_judged],
        rows=np.vstack([np.ones(P.shape[0]), P.T[kept]]),
        row_lower=np.concatenate([[1.0], lower[kept]]),
        row_upper=np.concatenate([[1.0], upper[kept]]),
        lower=u.floor[eligible] / book.budget,
        upper=np.minimum(u.limit[eligible] / book.budget, spec.max_share),
        row_names=[BUDGET_ROW, *(f"target {name}" for name in names)],
    )


def conflict(program: CreditProgram, solution: Solution) -> InfeasibleError:
    """Say which targets cannot hold together, and how far each could go on its own."""
    lines = []
    for r, name in enumerate(program.row_names):
        if r == 0 or name not in solution.conflict:
            continue
        asked_most = np.isfinite(program.row_upper[r])
        bound = program.row_upper[r] if asked_most else program.row_lower[r]
        row = np.asarray(program.rows[r])
        best = reasons.best_reach(row, program.lower, program.upper, lowest=asked_most)
        side, verb = ("at most", "down to") if asked_most else ("at least", "up to")
        lines.append(f"{name} {side} {bound:.2%} (alone it can go {verb} {best:.2%})")
    text = "; ".join(lines) if lines else ", ".join(solution.conflict)
    return InfeasibleError(
        f"these conditions cannot be met together under the budget, limits and floors: {text}; "
        "move one of them, raise limits, or lower the budget",
        conflict=tuple(solution.conflict),
    )


def _intervals(spec: Specification) -> ReturnIntervals:
    if isinstance(spec.intervals, ReturnIntervals):
        if spec.good_from not in (None, spec.intervals.good_from):
            raise ModelError(
                f"good_from is {spec.good_from}, but the intervals say "
                f"{spec.intervals.good_from}; leave one out"
            )
        return spec.intervals
    if spec.good_from is None:
        raise ModelError("good_from is missing: say which interval is the first good one")
    return ReturnIntervals(spec.intervals, spec.good_from)


def _floored(spec: Specification, risk: RiskModel, matrix: EvaluationMatrix) -> RiskModel:
    if spec.floor is None:
        return risk
    if isinstance(spec.floor, str):
        if spec.floor != "smoothed":
            raise ModelError(f"floor is {spec.floor!r}; expected 'smoothed', None or a variance")
        return with_floor(risk, interval_variance(smoothed(matrix), matrix.centres))
    if not 0 <= spec.floor < math.inf:
        raise ModelError(f"floor is {spec.floor}; expected 'smoothed', None or a variance ≥ 0")
    return with_floor(risk, np.full(risk.idiosyncratic.shape, float(spec.floor)))


def _targets(spec: Specification, intervals: ReturnIntervals, today: Vector | None) -> Targets:
    if isinstance(spec.targets, Targets):
        meant = spec.targets.intervals
        if not _same_intervals(meant, intervals):
            raise ModelError(
                f"the targets are for the intervals {listing(meant.names)}, the model has "
                f"{listing(intervals.names)}; make both from one ReturnIntervals"
            )
        return spec.targets
    if isinstance(spec.targets, Mapping):
        return Targets.explicit(spec.targets, intervals)
    asked: object = spec.targets  # at run time it may be an array, which has no one truth
    if not (isinstance(asked, str) and asked == "no_worse"):
        raise ModelError(
            f"targets is {spec.targets!r}; expected 'no_worse', a mapping from interval to "
            "bound, or Targets"
        )
    if today is None:
        raise ModelError(
            "targets='no_worse' compares with today's book, but fit got no current exposure of "
            "customers with enough history; pass current=ledger.exposure(), or a mapping"
        )
    return Targets.no_worse(today, intervals)


def _budget(spec: Specification, universe: Universe) -> float:
    if not 0 < spec.max_share <= 1:
        raise ModelError(f"max_share is {spec.max_share}; expected a part of the budget, 0 to 1")
    budget = spec.budget
    if budget is None:
        if universe.current is None or universe.current.sum() <= 0:
            raise ModelError(
                "budget is missing and there is no current exposure to take it from; give the "
                "total credit in money"
            )
        budget = float(universe.current.sum())
    if not 0 < budget < math.inf:
        raise ModelError(f"budget is {budget}; expected an amount of money above 0")
    _check_budget(universe, float(budget), spec.max_share, spec.currency)
    return float(budget)


def _same_intervals(one: ReturnIntervals, other: ReturnIntervals) -> bool:
    return (
        np.array_equal(one.edges, other.edges)
        and one.good_from == other.good_from
        and one.names == other.names
    )


def _check_budget(universe: Universe, budget: float, max_share: float, currency: str) -> None:
    money = f" {currency}".rstrip()
    above = np.flatnonzero(universe.floor > max_share * budget)
    if above.size:
        raise InfeasibleError(
            f"the floor of customer {universe.customers[above[0]]!r} is "
            f"{universe.floor[above[0]]:,.2f}{money}, above the largest share of {max_share:.2%} "
            f"of the budget, {max_share * budget:,.2f} ({above.size:,} such); lower floors, or "
            "raise max_share or the budget",
            conflict=("floors", "max_share"),
        )
    caps = np.minimum(universe.limit[universe.eligible], max_share * budget)
    # The sum of n limits is known to n ulps; a budget equal to it is allowed.
    slack = caps.size * np.spacing(budget)
    most, least = float(caps.sum()), float(universe.floor.sum())
    if budget > most + slack:
        capped = int((universe.limit[universe.eligible] > max_share * budget).sum())
        reason = (
            f"{capped:,} of them are held by the largest share of {max_share:.2%}; raise max_share"
            if capped
            else "lower the budget, raise limits"
        )
        raise InfeasibleError(
            f"the budget of {budget:,.2f}{money} is above what the {caps.size:,} eligible "
            f"customers may owe together, {most:,.2f}: {budget - most:,.2f} too much; {reason}, or "
            "bring in the excluded customers",
            conflict=(BUDGET_ROW, "max_share" if capped else "limits"),
            shortfall=budget - most,
        )
    if least > budget + slack:
        raise InfeasibleError(
            f"the floors add up to {least:,.2f}{money}, {least - budget:,.2f} above the budget "
            f"of {budget:,.2f}; lower floors or raise the budget",
            conflict=(BUDGET_ROW, "floors"),
            shortfall=least - budget,
        )
