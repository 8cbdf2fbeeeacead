"""The efficient frontier: how the least risk changes with a target, the return or the budget.

The program is stated once. From point to point only bounds change, and each solve starts from the
answer before, from the loosest value to the tightest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import ModelError, SolverError, did_you_mean, listing
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.rewriting import with_rows
from credit_portfolio.risk.measures import portfolio_variance
from credit_portfolio.risk.model import RiskModel
from credit_portfolio.solvers import solve_each
from credit_portfolio.sweeps import BudgetSweep, RowSweep, optimum, with_idle_row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.portfolio import CreditPortfolio
    from credit_portfolio.solvers.solution import Solution
    from credit_portfolio.sweeps import Sweep

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

EXPECTED_RETURN, BUDGET, TARGET = "expected_return", "budget", "target:"
_RETURN_ROW = "expected return"

# A share below this part of the largest is no credit: solvers clip to bounds exactly, so that only
# the rounding of a last step is left out.
_NO_CREDIT = 1e-9
# Targets and limits count as met up to this part of the credit: certificates allow 1e-9 of a row.
_MET = 1e-8


@dataclass(frozen=True, eq=False, slots=True)
class Frontier:
    """Least-variance portfolios along one quantity, and the usual portfolios beside them.

    Attributes
    ----------
    over : str
        What was swept.
    points : pandas.DataFrame
        One row per value, in increasing order: ``value``, ``status`` (optimal, infeasible),
        ``variance`` and ``standard_deviation`` of the return, ``standard_deviation_money`` (NaN
        without a budget), ``mean_return`` (NaN where not known), ``n_with_credit`` (customers with
        an amount above 0), ``effective_customers`` (1/Σw²), ``certificate`` (worst relative
        residual), then one column for each degree: B of each interval, or the program's rows.
    references : pandas.DataFrame
        Index ``portfolio``: current book, equal shares, limit-proportional shares, optimum; the
        same figures, and ``meets_targets``, ``meets_limits``, ``target_excess`` (largest distance
        outside a target), ``over_limit`` (part of the credit above limits).
    notes : tuple of str
        What a reader has to know: values out of reach, portfolios that could not be made.
    """

    over: str
    points: pd.DataFrame
    references: pd.DataFrame
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return points and references in one table; ``portfolio`` is "frontier" for the points."""
        points = self.points.assign(portfolio="frontier")
        return pd.concat([points, self.references.reset_index()], ignore_index=True)

    def __repr__(self) -> str:
        solved = self.points["status"] == "optimal"
        head = f"Frontier over {self.over}: {int(solved.sum())} of {len(solved)} points reached"
        shown = ["value", "standard_deviation", "mean_return", "n_with_credit"]
        few = self.points.iloc[np.unique(np.linspace(0, len(solved) - 1, 7).astype(int))][shown]
        columns = ["standard_deviation", "mean_return", "meets_targets", "meets_limits"]
        parts = [head, few.to_string(index=False), self.references[columns].to_string()]
        return "\n\n".join([*parts, *(f"- {note}" for note in self.notes)])


def frontier(
    model: CreditPortfolio | CreditProgram,
    over: str = EXPECTED_RETURN,
    values: ArrayLike | None = None,
    *,
    points: int = 50,
    mean_return: ArrayLike | None = None,
    current: ArrayLike | None = None,
    tolerance: float = 1e-9,
) -> Frontier:
    """Solve the program for each of many values of one bound.

    Parameters
    ----------
    model : CreditPortfolio or CreditProgram
        A fitted model, or a program with a row named "budget" or none.
    over : str, default "expected_return"
        "expected_return": the mean return is at least the value. "target:<interval>", by name or
        number: at most the value in a bad interval, at least in a good one; for a program the name
        of a row, with or without "target " before it. "budget": the total credit, in money; for a
        program, as a multiple of its own, with all bounds of the shares held in money.
    values : array_like, optional
        By default evenly spaced values: from the best that any shares can reach (a linear program)
        to where the bound costs nothing any more.
    points : int, default 50
        How many, where ``values`` is not given.
    mean_return : array_like, shape (n,), optional
        Mean return of each customer; only for a program.
    current : array_like, shape (n,), optional
        Today's shares; only for a program.
    tolerance : float, default 1e-9
        Largest relative residual of an accepted answer.

    Returns
    -------
    Frontier
        Values that no shares can reach stay in its table as infeasible.

    Raises
    ------
    ModelError
        For a model that is not fitted, an unknown interval or row, or no values.
    InfeasibleError
        When the other conditions alone cannot be met.
    SolverError
        When a point was neither solved nor proved infeasible.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[0.01, 0.02, 0.04], rows=[[1, 1, 1]], row_lower=1,
    ...                         row_upper=1, row_names=["budget"])
    >>> found = frontier(program, values=[0.1, 0.2, 0.3, 0.4], mean_return=[0.1, 0.2, 0.3])
    >>> found.points[["value", "status", "variance", "n_with_credit"]].round(6)
       value      status  variance  n_with_credit
    0    0.1     optimal  0.005714              3
    1    0.2     optimal  0.007692              3
    2    0.3     optimal  0.040000              1
    3    0.4  infeasible       NaN              0
    >>> found.references["standard_deviation"].round(4).to_dict()
    {'equal shares': 0.0882, 'optimum': 0.0756}
    """
    if isinstance(model, CreditProgram):
        book = _of_program(model, mean_return, current)
    else:
        if mean_return is not None or current is not None:
            raise ModelError(
                "mean_return and current belong to the fitted model already; give them for a "
                "CreditProgram only"
            )
        book = _of_model(model)
    sweep = _sweep(book, over)
    asked = None if values is None else _asked(values)
    if points < 2:
        raise ModelError(f"points is {points}; a frontier has at least 2")
    best = book.solution or optimum(book.program, tolerance)
    start = best if sweep.program.n_rows == book.program.n_rows else with_idle_row(best)
    if asked is None:
        asked, start = sweep.spread(points, tolerance, start)
    # Of a million customers fifty solutions would take gigabytes: only their figures are kept.
    found, missed = {}, {}
    for value, solution in _along(sweep, asked, start, tolerance):
        found[value] = _point(book, value, solution, sweep.scale(value))
        if found[value]["status"] != "optimal":
            missed[value] = () if solution is None else tuple(solution.conflict)
    table = pd.DataFrame([found[value] for value in asked.tolist()])
    notes = (*book.notes, *_out_of_reach(sweep, asked.size, missed))
    return Frontier(over, table, _references(book, best), notes)


@dataclass(frozen=True, eq=False, slots=True)
class _Book:
    """What portfolios are made and measured of: customers who take part, and those judged.

    ``part`` picks the customers of the program among all. Where only a program is known, all are
    in it.
    """

    program: CreditProgram
    solution: Solution | None
    part: NDArray[np.intp]
    risk: RiskModel | None  # None: the program's own
    mean: Vector | None
    degrees: Matrix  # (n, number of degrees)
    names: tuple[str, ...]
    least: Vector  # bounds of the degrees
    most: Vector
    caps: Vector  # largest shares
    current: Vector | None
    money: float | None
    unit: float
    model: CreditPortfolio | None
    limits: Vector  # in money, of those in the program
    notes: tuple[str, ...] = ()

    def variance(self, w: Vector) -> float:
        """Variance of the return of shares of all."""
        if self.risk is not None:
            return portfolio_variance(self.risk, w)
        return self.program.objective(w) - float(self.program.linear @ w)


def _of_program(
    program: CreditProgram, mean_return: ArrayLike | None, current: ArrayLike | None
) -> _Book:
    n = program.n_customers
    kept = [r for r, name in enumerate(program.row_names) if name != BUDGET]
    rows: Any = program.rows[kept]
    dense = rows if isinstance(rows, np.ndarray) else rows.toarray()
    return _Book(
        program=program,
        solution=None,
        part=np.arange(n),
        risk=None,
        mean=_vector("mean_return", mean_return, n),
        degrees=dense.T,
        names=tuple(f"row {program.row_names[r]}" for r in kept),
        least=program.row_lower[kept],
        most=program.row_upper[kept],
        caps=program.upper,
        current=_vector("current", current, n),
        money=None,
        unit=0.0,
        model=None,
        limits=program.upper,
    )


def _of_model(model: CreditPortfolio) -> _Book:
    if not hasattr(model, "allocation_"):
        raise ModelError(
            f"{model!r} has no allocation; give a CreditPortfolio that was fitted, or a "
            "CreditProgram"
        )
    judged, eligible, customers = model.judged_, model.eligible_, model.allocation_.customers
    if not model.answer_.whole:
        raise ModelError(
            "the model's program stands for its optimum alone: moving costs, targets with a "
            "confidence, worst periods and other operators bend where a frontier moves; fit "
            "without turnover, confidence, objective='cvar', operator and min_line"
        )
    money = float(model.allocation_.summary["budget"])
    of_judged = customers.reindex(judged)
    limit = np.asarray(of_judged["limit"].fillna(np.inf), dtype=np.float64)
    part = judged.get_indexer(eligible)
    caps = np.zeros(len(judged))
    caps[part] = np.minimum(limit[part] / money, model.max_share)
    held = np.asarray(of_judged["current_share"], dtype=np.float64)
    notes = []
    if 0 < held.sum() < 1 - _MET:
        notes.append(
            f"{1 - held.sum():.1%} of today's exposure is with customers who have too little "
            "history to be judged; the current book stands here without them"
        )
    names = model.targets_.intervals.names
    return _Book(
        program=model.program_,
        solution=model.solution_,
        part=part,
        risk=model.risk_model_,
        mean=np.asarray(of_judged["mean_return"], dtype=np.float64),
        degrees=model.evaluation_matrix_.values,
        names=tuple(f"B {name}" for name in names),
        least=model.targets_.lower,
        most=model.targets_.upper,
        caps=caps,
        current=held / held.sum() if held.sum() > 0 else None,
        money=money,
        unit=model.unit,
        model=model,
        limits=limit[part],
        notes=tuple(notes),
    )


def _vector(name: str, given: ArrayLike | None, n: int) -> Vector | None:
    if given is None:
        return None
    array = np.asarray(given, dtype=np.float64)
    if array.shape != (n,) or not np.isfinite(array).all():
        raise ModelError(
            f"{name} has shape {array.shape}; expected ({n},), a finite number for each customer "
            "of the program"
        )
    return array


def _asked(values: ArrayLike) -> Vector:
    asked = np.unique(np.asarray(values, dtype=np.float64))
    if asked.size == 0 or not np.isfinite(asked).all():
        raise ModelError(f"values are {values!r}; expected finite numbers, one or more")
    return asked


# ------------------------------------------------------------------------------- what is swept


def _sweep(book: _Book, over: str) -> Sweep:
    program = book.program
    if over == BUDGET:
        largest = np.inf if book.model is None else book.model.max_share
        return BudgetSweep(
            program,
            1.0 if book.money is None else book.money,
            np.full(program.n_customers, largest),
            book.limits,
        )
    if over == EXPECTED_RETURN:
        if _RETURN_ROW in program.row_names:
            return RowSweep(program, program.row_names.index(_RETURN_ROW), at_most=False)
        if book.mean is None:
            raise ModelError("over='expected_return' needs the mean_return of each customer")
        return _with(program, book.mean[book.part], _RETURN_ROW, at_most=False)
    if not str(over).startswith(TARGET):
        known = (EXPECTED_RETURN, BUDGET, f"{TARGET}<interval>")
        raise ModelError(
            f"over is {over!r}; expected one of {listing(known)}.{did_you_mean(str(over), known)}"
        )
    asked = over.removeprefix(TARGET)
    if book.model is None:
        return _row_sweep(program, asked)
    intervals = book.model.targets_.intervals
    j = _interval(asked, intervals.names)
    name, bad = f"target {intervals.names[j]}", not intervals.good[j]
    if name in program.row_names:
        return RowSweep(program, program.row_names.index(name), at_most=bad)
    return _with(program, book.degrees[book.part, j], name, at_most=bad)


def _with(program: CreditProgram, row: Vector, name: str, *, at_most: bool) -> RowSweep:
    open_row = with_rows(program, row[None, :], -np.inf, np.inf, [name])
    return RowSweep(open_row, program.n_rows, at_most)


def _interval(asked: str, names: Sequence[str]) -> int:
    if asked in names:
        return list(names).index(asked)
    if asked.isdecimal() and int(asked) < len(names):
        return int(asked)
    raise ModelError(
        f"over names the interval {asked!r}; expected 0 to {len(names) - 1}, or one of "
        f"{listing(names, 20)}.{did_you_mean(asked, names)}"
    )


def _row_sweep(program: CreditProgram, asked: str) -> RowSweep:
    names = [name for name in (asked, f"target {asked}") if name in program.row_names]
    if not names:
        raise ModelError(
            f"the program has no row {asked!r}; its rows are {listing(program.row_names, 20)}."
            f"{did_you_mean(asked, program.row_names)}"
        )
    r = program.row_names.index(names[0])
    below, above = np.isfinite(program.row_lower[r]), np.isfinite(program.row_upper[r])
    if below and above:
        raise ModelError(
            f"row {names[0]!r} is bounded on both sides ({program.row_lower[r]}, "
            f"{program.row_upper[r]}); leave the side open that is not to be swept"
        )
    return RowSweep(program, r, at_most=not below)


def _along(
    sweep: Sweep, asked: Vector, start: Solution, tolerance: float
) -> Iterator[tuple[float, Solution | None]]:
    """Solve at each value, from the answer before; None where bounds cross."""
    reached: list[float] = []
    crossed: list[float] = []

    def stated() -> Iterator[CreditProgram]:
        for value in sweep.loosest_first(asked).tolist():
            program = sweep.at(value)
            (crossed if program is None else reached).append(value)
            if program is not None:
                yield program

    for solution in solve_each(stated(), tolerance=tolerance, start=start):
        if solution.status not in ("optimal", "infeasible"):
            raise SolverError(
                f"no certified answer at {reached[-1]:.6g}: {solution.message}; leave the value "
                "out, or give a wider tolerance",
                solution.certificate,
            )
        yield reached[-1], solution
    yield from ((value, None) for value in crossed)


# ---------------------------------------------------------------------------------- the tables


def _figures(book: _Book, w: Vector, scale: float = 1.0) -> dict[str, Any]:
    """Tell what is told of any portfolio; scale is the budget, as a multiple of today's."""
    variance = max(book.variance(w), 0.0)
    money = np.nan if book.money is None else book.money * scale
    least = max(0.5 * book.unit / money if money > 0 else 0.0, _NO_CREDIT * float(w.max()))
    return {
        "variance": variance,
        "standard_deviation": np.sqrt(variance),
        "standard_deviation_money": np.sqrt(variance) * money,
        "mean_return": np.nan if book.mean is None else float(book.mean @ w),
        "n_with_credit": int(np.count_nonzero(w > least)),
        "effective_customers": float(w.sum() ** 2 / (w @ w)),
    }


def _point(book: _Book, value: float, solution: Solution | None, scale: float) -> dict[str, Any]:
    optimal = solution is not None and solution.status == "optimal"
    row: dict[str, Any] = {"value": value, "status": "optimal" if optimal else "infeasible"}
    if solution is None or not optimal:
        nothing = dict.fromkeys(_figures(book, np.ones(book.caps.size)), np.nan)
        degrees = np.full(len(book.names), np.nan)
        row |= nothing | {"n_with_credit": 0, "certificate": np.nan}
        return row | dict(zip(book.names, degrees, strict=True))
    w = _spread(book, solution.x)
    row |= _figures(book, w, scale)
    row["certificate"] = solution.certificate.worst
    return row | dict(zip(book.names, w @ book.degrees, strict=True))


def _spread(book: _Book, x: Vector) -> Vector:
    w = np.zeros(book.caps.size)
    w[book.part] = x
    return w


def _references(book: _Book, best: Solution) -> pd.DataFrame:
    made = dict(_portfolios(book, best))
    rows = []
    for w in made.values():
        degrees = w @ book.degrees
        outside = np.maximum(book.least - degrees, degrees - book.most)
        excess = float(np.maximum(outside, 0.0).max(initial=0.0))
        over = float(np.maximum(w - book.caps, 0.0).sum())
        rows.append(
            _figures(book, w)
            | {
                "meets_targets": excess <= _MET,
                "meets_limits": over <= _MET,
                "target_excess": excess,
                "over_limit": over,
            }
            | dict(zip(book.names, degrees, strict=True))
        )
    return pd.DataFrame(rows, index=pd.Index(made, name="portfolio", dtype="str"))


def _portfolios(book: _Book, best: Solution) -> Iterator[tuple[str, Vector]]:
    if book.current is not None:
        yield "current book", book.current
    n = book.part.size
    yield "equal shares", _spread(book, np.full(n, 1.0 / n))
    if np.isfinite(book.limits).all() and book.limits.sum() > 0:
        yield "limit-proportional shares", _spread(book, book.limits / book.limits.sum())
    yield "optimum", _spread(book, best.x)


def _out_of_reach(sweep: Sweep, asked: int, missed: dict[float, tuple[str, ...]]) -> Iterator[str]:
    """Tell the values that no shares can reach, what keeps them from it, and what can be had."""
    if not missed:
        return
    least, most = sweep.reach()
    rows = sorted({name for conflict in missed.values() for name in conflict})
    why = f" ({', '.join(rows)} cannot hold together there)" if rows else ""
    yield (
        f"{len(missed)} of {asked} values are out of reach, {min(missed):.6g} to "
        f"{max(missed):.6g}{why}; values from {least:.6g} to {most:.6g} can be had"
    )
