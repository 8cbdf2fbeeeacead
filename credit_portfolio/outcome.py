"""From a solved program to the tables of an ``Allocation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio import prices, reasons
from credit_portfolio.allocation import Allocation
from credit_portfolio.evaluation.operators import operator_named
from credit_portfolio.risk.measures import portfolio_returns, risk_contributions
from credit_portfolio.rounding import round_to_unit
from credit_portfolio.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.book import Book, Specification
    from credit_portfolio.evaluation.intervals import ReturnIntervals
    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.returns.panel import ReturnPanel
    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def outcome(
    spec: Specification,
    panel: ReturnPanel,
    book: Book,
    program: CreditProgram,
    solution: Solution,
) -> Allocation:
    """Lay out the solved program as tables, prices, reasons and findings."""
    u = book.universe
    w = np.zeros(int(u.judged.sum()))
    w[u.eligible[u.judged]] = solution.x
    kinds = ["budget"] + ["target"] * (program.n_rows - 1)
    by_share = u.limit[u.eligible] / book.budget > spec.max_share
    priced = prices.price_table(program, solution, book.budget, spec.currency, kinds, by_share)
    customers = _customers(spec, panel, book, program, solution, w)
    periods = _periods(spec, panel, book, w)
    findings = [*u.findings]
    if solution.unique is False:
        findings.append(
            "other shares reach the same variance; of all of them the smallest norm is taken"
        )
    if solution.unique is None:
        findings.append("whether other shares reach the same variance could not be settled")
    raised = (
        int(book.risk.floored[u.eligible[u.judged]].sum()) if book.risk.floored is not None else 0
    )
    if raised:
        findings.append(
            f"customers with less variance in the panel than the floor ({spec.floor}), raised "
            f"to it: {raised:,}"
        )
    return Allocation(
        customers=customers,
        evaluation=_evaluation(spec, book, w, periods, priced["binding"]),
        shadow_prices=pd.concat([priced, _limit_rows(spec, book, program, solution)]),
        periods=periods,
        summary=_summary(spec, panel, book, solution, customers, w),
        certificate=solution.certificate,
        findings=tuple(findings),
        settings=_settings(spec, panel, book, solution),
    )


def _customers(
    spec: Specification,
    panel: ReturnPanel,
    book: Book,
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
        np.minimum(u.limit[u.eligible], spec.max_share * book.budget),
        spec.unit,
    )
    held = np.zeros(n) if u.current is None else u.current
    total = held.sum()
    contributions = risk_contributions(book.risk, w)
    variance = contributions.sum()
    mean = np.nanmean(book.returns, axis=0) if book.returns.size else np.zeros(0)
    periods = pd.Series(panel.observed, index=panel.customers).reindex(u.customers).fillna(0)
    _, price = prices.limit_prices(program, solution, book.budget)
    money_caps = u.limit[u.eligible] / book.budget <= spec.max_share
    code, why = reasons.explain(program, solution, book.budget, spec.currency, at_limit=money_caps)
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
    spec: Specification,
    book: Book,
    w: Vector,
    periods: pd.DataFrame,
    binding: pd.Series[bool],
) -> pd.DataFrame:
    operator = operator_named(spec.operator)
    intervals, b = book.targets.intervals, book.targets.bounds
    proposed = operator(w, book.matrix.values)
    now = book.current
    current = np.full_like(b, np.nan) if now is None else operator(now, book.matrix.values)
    pressed = binding.reindex([f"target {name}" for name in intervals.names], fill_value=False)
    return pd.DataFrame(
        {
            "kind": np.where(intervals.good, "good", "bad"),
            "target": b,
            "proposed": proposed,
            "current": current,
            "slack": np.where(intervals.good, proposed - b, b - proposed),
            "binding": pressed.to_numpy(dtype=bool),
            "proposed_periods": _frequencies(intervals, periods["proposed"]),
            "current_periods": _frequencies(intervals, periods["current"]),
        },
        index=pd.Index(intervals.names, name="interval", dtype="str"),
    )


def _periods(spec: Specification, panel: ReturnPanel, book: Book, w: Vector) -> pd.DataFrame:
    now = book.current
    current = (
        np.full(len(panel.periods), np.nan) if now is None else portfolio_returns(book.returns, now)
    )
    return pd.DataFrame(
        {"proposed": portfolio_returns(book.returns, w), "current": current},
        index=pd.Index([str(period) for period in panel.periods], name="period", dtype="str"),
    )


def _limit_rows(
    spec: Specification, book: Book, program: CreditProgram, solution: Solution
) -> pd.DataFrame:
    u = book.universe
    names = u.customers[u.eligible]
    limit = u.limit[u.eligible]
    variance, deviation = prices.limit_prices(program, solution, book.budget)
    at = (variance < 0) & (limit / book.budget <= spec.max_share)
    return pd.DataFrame(
        {
            "kind": "limit",
            "bound": limit[at],
            "reached": solution.x[at] * book.budget,
            "binding": True,
            "step": f"10,000 {spec.currency} more".replace("  ", " "),
            "variance": variance[at],
            "standard_deviation": deviation[at],
            "variance_less": -variance[at],
            "standard_deviation_less": -deviation[at],
        },
        index=pd.Index([f"limit {name}" for name in names[at]], name="condition", dtype="str"),
    )


def _summary(
    spec: Specification,
    panel: ReturnPanel,
    book: Book,
    solution: Solution,
    customers: pd.DataFrame,
    w: Vector,
) -> dict[str, Any]:
    u = book.universe
    sigma = float(np.sqrt(max(solution.objective, 0.0)))
    mean = np.nanmean(book.returns, axis=0)
    summary: dict[str, Any] = {
        "as_of": None if panel.as_of is None else panel.as_of.isoformat(),
        "budget": book.budget,
        "currency": spec.currency,
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


def _settings(
    spec: Specification, panel: ReturnPanel, book: Book, solution: Solution
) -> dict[str, Any]:
    intervals = book.targets.intervals
    return {
        "intervals": intervals.edges.tolist(),
        "good_from": intervals.good_from,
        "targets": [None if np.isnan(b) else float(b) for b in book.targets.bounds],
        "targets_origin": book.targets.origin,
        "risk_model": spec.risk_model,
        "operator": spec.operator,
        "budget": spec.budget,
        "max_share": spec.max_share,
        "floor": spec.floor,
        "outside": spec.outside,
        "unit": spec.unit,
        "currency": spec.currency,
        "solver": solution.solver,
        "tolerance": spec.tolerance,
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
