"""CreditPortfolio: from panel, limits and today's book to the allocation.

The model, in the words of its program::

    minimise    variance of the return on credit sales            wᵀ(FᵀF + diag D) w
    subject to  all credit is given                               Σ w = 1
                no more than b_j in each bad return interval      (wᵀP)_j ≤ b_j
                no less than b_j in each good one                 (wᵀP)_j ≥ b_j
                floors and limits                                 l_i/T ≤ w_i ≤ L_i/T
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from credit_portfolio import prices, reasons
from credit_portfolio.allocation import Allocation
from credit_portfolio.errors import InfeasibleError, ModelError, SolverError, listing
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
from credit_portfolio.risk.measures import portfolio_returns, risk_contributions
from credit_portfolio.risk.model import RiskModel, with_floor
from credit_portfolio.rounding import round_to_unit
from credit_portfolio.solvers import solve
from credit_portfolio.universe import Universe, assemble
from credit_portfolio.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.solvers.solution import Solution
    from credit_portfolio.universe import Money

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_BUDGET_ROW = "budget"


@dataclass(frozen=True, eq=False, slots=True)
class _Book:
    """What is known before the program: of all judged customers, in the universe's order."""

    universe: Universe
    returns: NDArray[np.float64]
    matrix: EvaluationMatrix
    risk: RiskModel
    current: Vector | None  # shares among the judged, summing to 1
    targets: Targets
    budget: float


class CreditPortfolio(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Minimum-variance shares of credit under interval targets and limits.

    Parameters
    ----------
    intervals : sequence of float or ReturnIntervals
        Edges of the return intervals, v_0 < … < v_k.
    good_from : int, optional
        First good interval; required with a sequence of edges.
    targets : "no_worse", mapping or Targets, default "no_worse"
        "no_worse": B of today's book (needs ``current``). A mapping gives bounds by interval
        number or name; intervals that it leaves out stay free.
    risk_model : {"ledoit_wolf", "sample"}, default "ledoit_wolf"
    operator : {"weighted_average"}, default "weighted_average"
    budget : float, optional
        Total credit T in money; today's exposure by default.
    max_share : float, default 1
        Largest share of one customer.
    floor : "smoothed", None or float, default "smoothed"
        Least variance of a customer: that of his interval distribution, drawn towards the pooled
        one by one period; None for none; a number for a variance.
    outside : {"error", "clip"}, default "error"
        What to do with a return outside the edges.
    unit : float, default 1
        Amounts are rounded to multiples of it.
    currency : str, default ""
        For the pages that people read.
    solver : str, default "auto"
    tolerance : float, default 1e-9
        Largest relative residual of an accepted answer.

    Attributes
    ----------
    allocation_ : Allocation
    program_ : CreditProgram
    solution_ : Solution
    risk_model_ : RiskModel
        Of the judged customers, ``judged_``.
    evaluation_matrix_ : EvaluationMatrix
    targets_ : Targets
    judged_, eligible_ : pandas.Index

    Examples
    --------
    >>> import credit_portfolio as cp
    >>> history = {"A": [0.25, 0.2, 0.25, 0], "B": [0.1, 0.25, 0.25, 0.2], "C": [0.2, 0.1, 0, 0]}
    >>> panel = cp.ReturnPanel.from_frame(pd.DataFrame(history))
    >>> model = cp.CreditPortfolio([-1, 0.15, 0.25], good_from=1, targets={0: 0.3}, budget=900)
    >>> model.fit(panel).allocation_.amounts.to_dict()
    {'A': 405.0, 'B': 405.0, 'C': 90.0}
    """

    def __init__(
        self,
        intervals: Sequence[float] | ReturnIntervals,
        good_from: int | None = None,
        *,
        targets: Literal["no_worse"] | Mapping[int | str, float] | Targets = "no_worse",
        risk_model: str = "ledoit_wolf",
        operator: str = "weighted_average",
        budget: float | None = None,
        max_share: float = 1.0,
        floor: Literal["smoothed"] | float | None = "smoothed",
        outside: Literal["error", "clip"] = "error",
        unit: float = 1.0,
        currency: str = "",
        solver: str = "auto",
        tolerance: float = 1e-9,
    ) -> None:
        self.intervals = intervals
        self.good_from = good_from
        self.targets = targets
        self.risk_model = risk_model
        self.operator = operator
        self.budget = budget
        self.max_share = max_share
        self.floor = floor
        self.outside = outside
        self.unit = unit
        self.currency = currency
        self.solver = solver
        self.tolerance = tolerance

    def fit(
        self,
        X: ReturnPanel,
        y: None = None,
        *,
        limits: Money | None = None,
        current: Money | None = None,
        floors: Money | None = None,
    ) -> CreditPortfolio:
        """Find the shares; the answer is ``allocation_``.

        Parameters
        ----------
        X : ReturnPanel
        y : None
            Not used, present by scikit-learn's convention.
        limits : DataFrame with a column ``limit``, Series or mapping, optional
            Most money per customer, by customer id. Customers without one are excluded; None sets
            no limits at all.
        current : Series or mapping, optional
            Today's exposure in money.
        floors : Series or mapping, optional
            Least money per customer.

        Returns
        -------
        CreditPortfolio
            Itself.

        Raises
        ------
        DataError, ModelError
            For data or parameters that are wrong; the message says which and what to do.
        InfeasibleError
            When budget, limits, floors and targets cannot be met together.
        SolverError
            When no certified answer was reached.
        """
        book = self._read(X, limits, current, floors)
        program = self._program(book)
        solution = solve(program, self.solver, tolerance=self.tolerance)
        if solution.status == "infeasible":
            raise _conflict(book, program, solution)
        if solution.status != "optimal":
            raise SolverError(
                f"no certified answer: {solution.message}; try another solver or a wider tolerance",
                solution.certificate,
            )
        self.program_ = program
        self.solution_ = solution
        self.risk_model_ = book.risk
        self.evaluation_matrix_ = book.matrix
        self.targets_ = book.targets
        self.judged_ = book.universe.customers[book.universe.judged]
        self.eligible_ = book.universe.customers[book.universe.eligible]
        self.allocation_ = self._allocation(X, book, program, solution)
        return self

    def _read(
        self,
        panel: ReturnPanel,
        limits: Money | None,
        current: Money | None,
        floors: Money | None,
    ) -> _Book:
        if not isinstance(panel, ReturnPanel):
            raise TypeError(
                f"fit takes a ReturnPanel, not {type(panel).__name__}; ReturnPanel.from_frame "
                "makes one of a table of returns"
            )
        operator = operator_named(self.operator)
        intervals = self._intervals()
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
            outside=self.outside,
            periods=panel.periods.tolist(),
            customers=judged.tolist(),
        )
        risk = self._floored(estimate(self.risk_model, returns), matrix)
        held = None
        if universe.current is not None:
            held = universe.current[universe.judged]
            held = held / held.sum() if held.sum() > 0 else None
        targets = self._targets(intervals, None if held is None else operator(held, matrix.values))
        budget = self._budget(universe)
        return _Book(universe, returns, matrix, risk, held, targets, budget)

    def _intervals(self) -> ReturnIntervals:
        if isinstance(self.intervals, ReturnIntervals):
            if self.good_from not in (None, self.intervals.good_from):
                raise ModelError(
                    f"good_from is {self.good_from}, but the intervals say "
                    f"{self.intervals.good_from}; leave one out"
                )
            return self.intervals
        if self.good_from is None:
            raise ModelError("good_from is missing: say which interval is the first good one")
        return ReturnIntervals(self.intervals, self.good_from)

    def _floored(self, risk: RiskModel, matrix: EvaluationMatrix) -> RiskModel:
        if self.floor is None:
            return risk
        if isinstance(self.floor, str):
            if self.floor != "smoothed":
                raise ModelError(
                    f"floor is {self.floor!r}; expected 'smoothed', None or a variance"
                )
            return with_floor(risk, interval_variance(smoothed(matrix), matrix.centres))
        if not 0 <= self.floor < math.inf:
            raise ModelError(f"floor is {self.floor}; expected 'smoothed', None or a variance ≥ 0")
        return with_floor(risk, np.full(risk.idiosyncratic.shape, float(self.floor)))

    def _targets(self, intervals: ReturnIntervals, today: Vector | None) -> Targets:
        if isinstance(self.targets, Targets):
            meant = self.targets.intervals
            if not _same_intervals(meant, intervals):
                raise ModelError(
                    f"the targets are for the intervals {listing(meant.names)}, the model has "
                    f"{listing(intervals.names)}; make both from one ReturnIntervals"
                )
            return self.targets
        if isinstance(self.targets, Mapping):
            return Targets.explicit(self.targets, intervals)
        asked: object = self.targets  # at run time it may be an array, which has no one truth
        if not (isinstance(asked, str) and asked == "no_worse"):
            raise ModelError(
                f"targets is {self.targets!r}; expected 'no_worse', a mapping from interval to "
                "bound, or Targets"
            )
        if today is None:
            raise ModelError(
                "targets='no_worse' compares with today's book, but fit got no current exposure of "
                "customers with enough history; pass current=ledger.exposure(), or a mapping"
            )
        return Targets.no_worse(today, intervals)

    def _budget(self, universe: Universe) -> float:
        if not 0 < self.max_share <= 1:
            raise ModelError(
                f"max_share is {self.max_share}; expected a part of the budget, 0 to 1"
            )
        budget = self.budget
        if budget is None:
            if universe.current is None or universe.current.sum() <= 0:
                raise ModelError(
                    "budget is missing and there is no current exposure to take it from; give the "
                    "total credit in money"
                )
            budget = float(universe.current.sum())
        if not 0 < budget < math.inf:
            raise ModelError(f"budget is {budget}; expected an amount of money above 0")
        _check_budget(universe, float(budget), self.max_share, self.currency)
        return float(budget)

    def _program(self, book: _Book) -> CreditProgram:
        u, eligible = book.universe, book.universe.eligible
        among_judged = eligible[u.judged]
        P = book.matrix.values[among_judged]
        upper, lower = book.targets.upper, book.targets.lower
        kept = np.isfinite(upper) | np.isfinite(lower)
        names = np.array(book.targets.intervals.names, dtype=object)[kept]
        return CreditProgram(
            factors=book.risk.factors[:, among_judged],
            idiosyncratic=book.risk.idiosyncratic[among_judged],
            rows=np.vstack([np.ones(P.shape[0]), P.T[kept]]),
            row_lower=np.concatenate([[1.0], lower[kept]]),
            row_upper=np.concatenate([[1.0], upper[kept]]),
            lower=u.floor[eligible] / book.budget,
            upper=np.minimum(u.limit[eligible] / book.budget, self.max_share),
            row_names=[_BUDGET_ROW, *(f"target {name}" for name in names)],
        )

    def _allocation(
        self, panel: ReturnPanel, book: _Book, program: CreditProgram, solution: Solution
    ) -> Allocation:
        u = book.universe
        w = np.zeros(int(u.judged.sum()))
        w[u.eligible[u.judged]] = solution.x
        kinds = ["budget"] + ["target"] * (program.n_rows - 1)
        by_share = u.limit[u.eligible] / book.budget > self.max_share
        priced = prices.price_table(program, solution, book.budget, self.currency, kinds, by_share)
        customers = self._customers(panel, book, program, solution, w)
        periods = self._periods(panel, book, w)
        findings = [*u.findings]
        if solution.unique is False:
            findings.append(
                "other shares reach the same variance; of all of them the smallest norm is taken"
            )
        if solution.unique is None:
            findings.append("whether other shares reach the same variance could not be settled")
        raised = (
            int(book.risk.floored[u.eligible[u.judged]].sum())
            if book.risk.floored is not None
            else 0
        )
        if raised:
            findings.append(
                f"{raised:,} customers have less variance in the panel than the floor "
                f"({self.floor}); theirs is raised to it"
            )
        return Allocation(
            customers=customers,
            evaluation=self._evaluation(book, solution, w, periods),
            shadow_prices=pd.concat([priced, self._limit_rows(book, program, solution)]),
            periods=periods,
            summary=self._summary(book, solution, customers, w, periods),
            certificate=solution.certificate,
            findings=tuple(findings),
            settings=self._settings(panel, book, solution),
        )

    def _customers(
        self,
        panel: ReturnPanel,
        book: _Book,
        program: CreditProgram,
        solution: Solution,
        w: Vector,
    ) -> pd.DataFrame:
        u = book.universe
        n = len(u.customers)
        limit = np.where(np.isinf(u.limit), np.nan, u.limit)
        share = _spread(u.eligible, solution.x, 0.0)
        amount = np.zeros(n)
        amount[u.eligible] = round_to_unit(
            solution.x * book.budget,
            u.floor[u.eligible],
            np.minimum(u.limit[u.eligible], self.max_share * book.budget),
            self.unit,
        )
        held = np.zeros(n) if u.current is None else u.current
        total = held.sum()
        contributions = risk_contributions(book.risk, w)
        variance = contributions.sum()
        mean = np.nanmean(book.returns, axis=0) if book.returns.size else np.zeros(0)
        periods = pd.Series(panel.observed, index=panel.customers).reindex(u.customers).fillna(0)
        _, price = prices.limit_prices(program, solution, book.budget)
        money_caps = u.limit[u.eligible] / book.budget <= self.max_share
        code, why = reasons.explain(
            program, solution, book.budget, self.currency, at_limit=money_caps
        )
        reason, detail = u.exclusion.copy(), u.detail.copy()
        reason[u.eligible], detail[u.eligible] = code, why
        return pd.DataFrame(
            {
                "share": share,
                "amount": amount,
                "limit": limit,
                "limit_use": np.divide(amount, limit, out=np.full(n, np.nan), where=limit > 0),
                "current_share": held / total if total > 0 else np.zeros(n),
                "current_amount": held,
                "change": amount - held,
                "risk_share": _spread(
                    u.judged, contributions / variance if variance > 0 else contributions, 0.0
                ),
                "mean_return": _spread(u.judged, mean, np.nan),
                "periods": periods.to_numpy(dtype=np.int64),
                "limit_price": _spread(u.eligible, np.where(money_caps, price, 0.0), 0.0),
                "reason": pd.array(reason, dtype="str"),
                "explanation": pd.array(detail, dtype="str"),
            },
            index=u.customers,
        )

    def _evaluation(
        self, book: _Book, solution: Solution, w: Vector, periods: pd.DataFrame
    ) -> pd.DataFrame:
        operator = operator_named(self.operator)
        intervals, b = book.targets.intervals, book.targets.bounds
        proposed = operator(w, book.matrix.values)
        now = book.current
        current = np.full_like(b, np.nan) if now is None else operator(now, book.matrix.values)
        kept = ~np.isnan(b)
        pressed = np.zeros(intervals.n_intervals, dtype=bool)
        pressed[kept] = solution.duals.rows[1:] != 0
        return pd.DataFrame(
            {
                "kind": np.where(intervals.good, "good", "bad"),
                "target": b,
                "proposed": proposed,
                "current": current,
                "slack": np.where(intervals.good, proposed - b, b - proposed),
                "binding": pressed,
                "proposed_periods": _frequencies(intervals, periods["proposed"]),
                "current_periods": _frequencies(intervals, periods["current"]),
            },
            index=pd.Index(intervals.names, name="interval", dtype="str"),
        )

    def _periods(self, panel: ReturnPanel, book: _Book, w: Vector) -> pd.DataFrame:
        now = book.current
        current = (
            np.full(len(panel.periods), np.nan)
            if now is None
            else portfolio_returns(book.returns, now)
        )
        return pd.DataFrame(
            {"proposed": portfolio_returns(book.returns, w), "current": current},
            index=pd.Index([str(period) for period in panel.periods], name="period", dtype="str"),
        )

    def _limit_rows(self, book: _Book, program: CreditProgram, solution: Solution) -> pd.DataFrame:
        u = book.universe
        names = u.customers[u.eligible]
        limit = u.limit[u.eligible]
        variance, deviation = prices.limit_prices(program, solution, book.budget)
        at = (variance < 0) & (limit / book.budget <= self.max_share)
        return pd.DataFrame(
            {
                "kind": "limit",
                "bound": limit[at],
                "reached": solution.x[at] * book.budget,
                "binding": True,
                "step": f"10,000 {self.currency} more".replace("  ", " "),
                "variance": variance[at],
                "standard_deviation": deviation[at],
            },
            index=pd.Index([f"limit {name}" for name in names[at]], name="condition", dtype="str"),
        )

    def _summary(
        self,
        book: _Book,
        solution: Solution,
        customers: pd.DataFrame,
        w: Vector,
        periods: pd.DataFrame,
    ) -> dict[str, Any]:
        u = book.universe
        sigma = float(np.sqrt(max(solution.objective, 0.0)))
        mean = np.nanmean(book.returns, axis=0)
        summary: dict[str, Any] = {
            "budget": book.budget,
            "currency": self.currency,
            "amount": float(customers["amount"].sum()),
            "standard_deviation": sigma,
            "standard_deviation_money": sigma * book.budget,
            "mean_return": float(mean @ w),
            "effective_customers": float(1.0 / (w @ w)),
            "largest_share": float(w.max()),
            "n_customers": len(u.customers),
            "n_with_share": int((customers["amount"] > 0).sum()),
            "n_without_share": int((u.eligible & (customers["amount"] == 0)).sum()),
            "n_excluded": int((~u.eligible).sum()),
            "n_periods": int(book.returns.shape[0]),
            "shrinkage": book.risk.shrinkage,
            "unique": solution.unique,
            "current_standard_deviation": None,
            "current_mean_return": None,
            "current_effective_customers": None,
        }
        if book.current is not None:
            variance = float(risk_contributions(book.risk, book.current).sum())
            summary["current_standard_deviation"] = float(np.sqrt(variance))
            summary["current_mean_return"] = float(mean @ book.current)
            summary["current_effective_customers"] = float(1.0 / (book.current @ book.current))
        return summary

    def _settings(self, panel: ReturnPanel, book: _Book, solution: Solution) -> dict[str, Any]:
        intervals = book.targets.intervals
        return {
            "intervals": intervals.edges.tolist(),
            "good_from": intervals.good_from,
            "targets": [None if np.isnan(b) else float(b) for b in book.targets.bounds],
            "targets_origin": book.targets.origin,
            "risk_model": self.risk_model,
            "operator": self.operator,
            "budget": self.budget,
            "max_share": self.max_share,
            "floor": self.floor,
            "outside": self.outside,
            "unit": self.unit,
            "currency": self.currency,
            "solver": solution.solver,
            "tolerance": self.tolerance,
            "returns": panel.convention,
            "periods": [str(period) for period in panel.periods],
            "min_periods": panel.min_periods,
            "version": __version__,
        }


def _spread(where: Mask, values: Vector, otherwise: float) -> Vector:
    """Values at their places among all customers, and a constant elsewhere."""
    full = np.full(where.shape, otherwise)
    full[where] = values
    return full


def _frequencies(intervals: ReturnIntervals, returns: pd.Series[float]) -> Vector:
    """Part of the periods in which the portfolio's return fell in each interval."""
    index = intervals.index(returns.to_numpy())
    seen = index[index >= 0]
    if seen.size == 0:
        return np.full(intervals.n_intervals, np.nan)
    counted: Vector = np.bincount(seen, minlength=intervals.n_intervals) / seen.size
    return counted


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
        raise InfeasibleError(
            f"the budget of {budget:,.2f}{money} is above what the {caps.size:,} eligible "
            f"customers may owe together, {most:,.2f}: {budget - most:,.2f} too much; lower the "
            "budget, raise limits, or bring in the excluded customers",
            conflict=(_BUDGET_ROW, "limits"),
            shortfall=budget - most,
        )
    if least > budget + slack:
        raise InfeasibleError(
            f"the floors add up to {least:,.2f}{money}, {least - budget:,.2f} above the budget "
            f"of {budget:,.2f}; lower floors or raise the budget",
            conflict=(_BUDGET_ROW, "floors"),
            shortfall=least - budget,
        )


def _conflict(book: _Book, program: CreditProgram, solution: Solution) -> InfeasibleError:
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
