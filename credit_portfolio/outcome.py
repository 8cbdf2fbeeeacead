"""From a solved program to the tables of an ``Allocation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio import prices, reasons
from credit_portfolio.allocation import Allocation
from credit_portfolio.distribution import distribution_of
from credit_portfolio.evaluation.credible import degree_bands
from credit_portfolio.evaluation.operators import operator_named
from credit_portfolio.formulation import robust_targets
from credit_portfolio.risk.measures import portfolio_returns, risk_contributions
from credit_portfolio.rounding import round_to_unit
from credit_portfolio.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.answer import Answer
    from credit_portfolio.book import Book, Specification
    from credit_portfolio.distribution import ReturnDistribution
    from credit_portfolio.evaluation.intervals import ReturnIntervals
    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.returns.panel import ReturnPanel
    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Bounds that come from one number by two ways differ by some ulps.
_SAME = 1e-12
# A degree this near to its target has reached it: certificates leave a billionth of a share.
_REACHED = 1e-9


def outcome(spec: Specification, panel: ReturnPanel, book: Book, found: Answer) -> Allocation:
    """Lay out the proved answer as tables, prices, reasons and findings."""
    u, program, solution = book.universe, found.program, found.solution
    w = np.zeros(int(u.judged.sum()))
    w[u.eligible[u.judged]] = solution.x
    by_limit = _by_limit(book, program)
    priced = prices.price_table(
        program, solution, book.budget, spec.currency, found.kinds, ~by_limit
    )
    names = [str(name) for name in u.customers[u.eligible]]
    single = prices.limit_table(program, solution, book.budget, spec.currency, names, by_limit)
    # In money as it was given, not by way of a share.
    priced_ones = pd.Index(names).get_indexer(
        pd.Index([row.removeprefix("limit ") for row in single.index])
    )
    single["bound"] = u.limit[u.eligible][priced_ones]
    customers = _customers(spec, panel, book, program, solution, w)
    own = distribution_of(book.targets.intervals, book.matrix.values, book.returns, book.risk, w)
    periods = _periods(panel, book, w)
    return Allocation(
        customers=customers,
        evaluation=_evaluation(spec, book, w, periods, priced["binding"], own),
        shadow_prices=_without_prices(
            pd.concat([priced, single]), [rows for rows, _ in _unpriced(spec, book, program)]
        ),
        periods=periods,
        profiles=_profiles(book),
        summary=_summary(spec, panel, book, found, customers, w, own),
        certificate=found.certificate,
        findings=(*u.findings, *_findings(spec, book, found)),
        settings=_settings(spec, panel, book, solution),
    )


def _findings(spec: Specification, book: Book, found: Answer) -> list[str]:
    """Return what a reader has to know of the answer before using it."""
    told = list(found.notes)
    told += [why for rows, why in _unpriced(spec, book, found.program) if rows]
    if spec.turnover_cost:
        told.append("shadow prices are of the variance and the costs of moving together")
    if found.solution.unique is False:
        told.append(
            "other shares reach the same variance; of all of them the smallest norm is taken"
        )
    if found.solution.unique is None:
        told.append("whether other shares reach the same variance could not be settled")
    u = book.universe
    eligible = u.eligible[u.judged]
    raised = int(book.risk.floored[eligible].sum()) if book.risk.floored is not None else 0
    if raised:
        told.append(
            f"customers with less variance in the panel than the floor ({spec.floor}), raised "
            f"to it: {raised:,}"
        )
    new = int((~u.known & u.eligible).sum())
    if new:
        whose = "all customers" if book.classes is None else "their class"
        told.append(
            f"customers with too few periods who are judged by those of {whose}: {new:,}; they are "
            "marked in profiles"
        )
    if book.classes is not None:
        told += [f"classes: {note}" for note in book.classes.notes]
        told.append(
            f"classes by {book.classes.origin}: a class's row counts customers by their periods, "
            "not by their money, as the paper's customers of one size"
        )
    if book.smoothing.strength > 0:
        whose = "all customers" if book.smoothing.pooled else "their class"
        told.append(
            f"rows of P are drawn towards that of {whose} by {book.smoothing.strength:.3g} periods "
            f"({book.smoothing.origin})"
        )
    return told


def _unpriced(spec: Specification, book: Book, program: CreditProgram) -> list[tuple[str, str]]:
    """Return the conditions whose multiplier is no price, by how their names begin, and why."""
    found = []
    if spec.objective != "variance":
        found.append(("", "shadow prices are of the variance, which was not minimised"))
    if spec.max_turnover is not None or spec.turnover_cost:
        found.append(
            ("budget", "the budget has no price: today's shares are parts of it and move with it")
        )
    if not spec.is_mixture:
        least, _ = _own_bounds(spec, book)
        line = 0.0 if spec.min_line is None else spec.min_line / book.budget
        if (program.lower > np.maximum(least, line) * (1.0 + _SAME)).any():
            found.append(
                ("budget", "the budget has no price: degrees that shares are held at move with it")
            )
        if spec.normalise:
            found.append(
                ("target ", "normalised targets have no prices: they bind ratios of degrees")
            )
    return found


def _without_prices(table: pd.DataFrame, beginnings: list[str]) -> pd.DataFrame:
    """Blank the prices of conditions whose names begin so."""
    blank = table.copy()
    which = np.array([str(name).startswith(tuple(beginnings)) for name in blank.index], dtype=bool)
    for name in ("variance", "standard_deviation"):
        blank.loc[which, [name, f"{name}_less"]] = np.nan
    return blank


def _profiles(book: Book) -> pd.DataFrame:
    """Return P, the counts it rests on, and whose row is borrowed."""
    u, names = book.universe, book.targets.intervals.names
    customers = u.customers[u.judged]
    rows = pd.DataFrame(book.matrix.values, index=customers, columns=list(names))
    counts = pd.DataFrame(
        book.matrix.counts, index=customers, columns=[f"{name} (periods)" for name in names]
    )
    table = pd.concat([rows, counts], axis=1)
    table["periods"] = book.matrix.periods
    table["borrowed"] = ~u.known[u.judged]
    return table


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
    amount[u.eligible] = _amounts(spec, book, solution.x)
    held = np.zeros(n) if u.current is None else u.current
    total = held.sum()
    contributions = risk_contributions(book.risk, w)
    variance = contributions.sum()
    mean = np.nanmean(book.returns, axis=0) if book.returns.size else np.zeros(0)
    periods = pd.Series(panel.observed, index=panel.customers).reindex(u.customers).fillna(0)
    risk_share = contributions / variance if variance > 0 else contributions
    by_limit = _by_limit(book, program)
    price = np.full(solution.x.shape, np.nan)
    if spec.objective == "variance":
        _, price = prices.limit_prices(program, solution, book.budget)
        price = np.where(by_limit, price, 0.0)
    code, why = reasons.explain(
        program,
        solution,
        book.budget,
        spec.currency,
        by_limit,
        price,
        risk_share[u.eligible[u.judged]],
        _own_bounds(spec, book),
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
            "risk_share": _spread(u.judged, risk_share, 0.0),
            "mean_return": _spread(u.judged, mean, np.nan),
            "periods": periods.to_numpy(dtype=np.int64),
            "limit_price": _spread(u.eligible, price, 0.0),
            "reason": pd.array(reason, dtype="str"),
            "explanation": pd.array(detail, dtype="str"),
        },
        index=u.customers,
    )


def _by_limit(book: Book, program: CreditProgram) -> Mask:
    """Whose upper bound is his limit: neither the largest share, nor that of a branch."""
    u = book.universe
    by_limit: Mask = u.limit[u.eligible] / book.budget <= program.upper * (1.0 + _SAME)
    return by_limit


def _own_bounds(spec: Specification, book: Book) -> tuple[Vector, Vector]:
    """Shares that floors, limits and the largest share allow, before anything branches."""
    u = book.universe
    most = np.minimum(u.limit[u.eligible] / book.budget, spec.max_share)
    return u.floor[u.eligible] / book.budget, most


def _amounts(spec: Specification, book: Book, shares: Vector) -> Vector:
    """Round to money within the bounds, and to nothing or at least the minimum line."""
    u = book.universe
    lower = u.floor[u.eligible]
    upper = np.minimum(u.limit[u.eligible], spec.max_share * book.budget)
    if spec.min_line is not None:
        some = shares * book.budget > 0.5 * spec.min_line
        lower = np.where(some, np.maximum(lower, spec.min_line), lower)
        upper = np.where(some, np.maximum(upper, lower), 0.0)
    return round_to_unit(shares * book.budget, lower, upper, spec.unit)


def _evaluation(
    spec: Specification,
    book: Book,
    w: Vector,
    periods: pd.DataFrame,
    binding: pd.Series[bool],
    own: ReturnDistribution,
) -> pd.DataFrame:
    operator = operator_named(spec.operator, normalised=spec.normalise)
    intervals, b = book.targets.intervals, book.targets.bounds
    proposed = operator(w, book.matrix.values)
    now = book.current
    current = np.full_like(b, np.nan) if now is None else operator(now, book.matrix.values)
    pressed = binding.reindex([f"target {name}" for name in intervals.names], fill_value=False)
    margin = _margins(spec, book, w)
    slack = np.where(intervals.good, proposed - b, b - proposed) - margin
    if spec.operator.startswith("main_factor"):
        pressed = pressed | (slack <= _REACHED)  # they hold shares by bounds, not by a row
    low, high = np.full_like(b, np.nan), np.full_like(b, np.nan)
    if spec.is_mixture:
        bands = degree_bands(w, book.smoothing, method="beta")
        low, high = bands.lower, bands.upper
    return pd.DataFrame(
        {
            "kind": np.where(intervals.good, "good", "bad"),
            "target": b,
            "proposed": proposed,
            "current": current,
            "margin": margin,
            "slack": slack,
            "binding": pressed.to_numpy(dtype=bool),
            "proposed_periods": _frequencies(intervals, periods["proposed"]),
            "current_periods": _frequencies(intervals, periods["current"]),
            "simulated": own.table["simulated"].to_numpy(),
            "credible_low": low,
            "credible_high": high,
        },
        index=pd.Index(intervals.names, name="interval", dtype="str"),
    )


def _margins(spec: Specification, book: Book, w: Vector) -> Vector:
    """How far B keeps from each target so that it holds with the confidence; 0 without one."""
    names = list(book.targets.intervals.names)
    margins = np.zeros(len(names))
    among = book.universe.eligible[book.universe.judged]
    expected = w @ book.matrix.values
    for row in robust_targets(spec, book):
        j = names.index(row.name.removeprefix("target "))
        least, most = row.worst(w[among])
        margins[j] = expected[j] - least if book.targets.intervals.good[j] else most - expected[j]
    return margins


def _periods(panel: ReturnPanel, book: Book, w: Vector) -> pd.DataFrame:
    now = book.current
    current = (
        np.full(len(panel.periods), np.nan) if now is None else portfolio_returns(book.returns, now)
    )
    return pd.DataFrame(
        {"proposed": portfolio_returns(book.returns, w), "current": current},
        index=pd.Index([str(period) for period in panel.periods], name="period", dtype="str"),
    )


def _summary(
    spec: Specification,
    panel: ReturnPanel,
    book: Book,
    found: Answer,
    customers: pd.DataFrame,
    w: Vector,
    own: ReturnDistribution,
) -> dict[str, Any]:
    u, solution = book.universe, found.solution
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
        "mixture_and_portfolio": own.explain(),
        **{name: value for name, value in found.figures.items() if value is not None},
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
        "interval_names": list(intervals.names),
        "membership": intervals.membership,
        "width": intervals.width,
        "risk_model": spec.risk_model,
        "shrinkage": spec.shrinkage,
        "operator": spec.operator,
        "normalise": spec.normalise,
        "smoothing": spec.smoothing,
        "classes": spec.classes,
        "newcomers": spec.newcomers,
        "confidence": spec.confidence,
        "min_line": spec.min_line,
        "min_return": spec.min_return,
        "groups": None if spec.groups is None else {k: dict(v) for k, v in spec.groups.items()},
        "max_turnover": spec.max_turnover,
        "turnover_cost": spec.turnover_cost,
        "objective": spec.objective,
        "tail": spec.tail,
        "variance_weight": spec.variance_weight,
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
    seen = returns.dropna().to_numpy(dtype=np.float64)
    if seen.size == 0:
        return np.full(intervals.n_intervals, np.nan)
    counted: Vector = intervals.degrees(seen).sum(axis=0) / seen.size
    return counted
