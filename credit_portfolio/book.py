"""What is known before the program: history, risk, classes, targets and budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, InfeasibleError, ModelError, did_you_mean, listing
from credit_portfolio.evaluation.classes import (
    CustomerClasses,
    class_panel,
    classes_by_label,
    classes_by_profile,
)
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.evaluation.matrix import (
    EvaluationMatrix,
    evaluation_matrix,
    interval_variance,
)
from credit_portfolio.evaluation.operators import operator_named
from credit_portfolio.evaluation.sampling import Smoothing, smooth
from credit_portfolio.evaluation.targets import Targets
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.risk.estimators import estimate
from credit_portfolio.risk.model import RiskModel, with_floor
from credit_portfolio.universe import Universe, assemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.universe import Money

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Labels = pd.DataFrame | Mapping[str, pd.Series[Any]]

CLASS = "class"
"""The column of labels in which the model's own classes stand."""

BUDGET_ROW = "budget"
# Parameters that are numbers, each with an example for the message.
_NUMBERS = {
    "shrinkage": 0.2, "smoothing": 4.0, "confidence": 0.95, "budget": 5_000_000, "max_share": 0.1,
    "min_line": 1000, "min_return": 0.12, "max_turnover": 0.2, "turnover_cost": 1e-5, "tail": 0.9,
    "variance_weight": 0.5, "unit": 1.0,
}  # fmt: skip
_MAY_BE_NONE = {"shrinkage", "confidence", "budget", "min_line", "min_return", "max_turnover"}
_PER_CUSTOMER = ("values", "counts", "periods", "squares")  # of the evaluation matrix


@dataclass(frozen=True, eq=False, slots=True)
class Specification:
    """The parameters of ``CreditPortfolio``, under the same names; ``weights`` is one of fit."""

    intervals: Sequence[float] | ReturnIntervals
    good_from: int | None
    targets: Literal["no_worse"] | Mapping[int | str, float] | Targets
    risk_model: str
    shrinkage: float | None
    operator: str
    normalise: bool
    smoothing: float | Literal["estimated"]
    classes: int | str | None
    newcomers: Literal["exclude", "borrow"]
    confidence: float | None
    budget: float | None
    max_share: float
    min_line: float | None
    min_return: float | None
    groups: Mapping[str, Mapping[str, Any]] | None
    max_turnover: float | None
    turnover_cost: float
    objective: Literal["variance", "cvar"]
    tail: float
    variance_weight: float
    floor: Literal["smoothed"] | float | None
    outside: Literal["error", "clip"]
    unit: float
    currency: str
    solver: str
    tolerance: float
    weights: Mapping[int | str, float | str] | None = None

    @property
    def is_mixture(self) -> bool:
        """Whether B is the weighted average, which sums to 1 as it is: normalised or not."""
        return self.operator == "weighted_average"

    @property
    def is_branching(self) -> bool:
        """Whether something that is asked is a choice rather than a row."""
        return not self.is_mixture or self.min_line is not None


@dataclass(frozen=True, eq=False, slots=True)
class Book:
    """The judged customers' history, risk and targets, in the universe's order.

    Attributes
    ----------
    universe : Universe
    returns : ndarray, shape (n_periods, n_judged)
        Those who borrow have the returns of their class where they have none of their own.
    matrix : EvaluationMatrix
        Its values are smoothed.
    smoothing : Smoothing
        What they are drawn towards, and how sure they are.
    classes : CustomerClasses or None
    labels : pandas.DataFrame or None
        Of the judged customers; a column "class" where there are classes.
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
    smoothing: Smoothing
    classes: CustomerClasses | None
    labels: pd.DataFrame | None
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
    labels: Labels | None = None,
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
    _check_types(spec)
    operator = operator_named(spec.operator, normalised=spec.normalise)
    intervals = _intervals(spec)
    borrow = _borrows(spec)
    universe = assemble(panel, limits, current, floors, borrow=borrow)
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
    table = _labels(labels, judged)
    returns, costs = _history(panel, judged)
    counted = _counted(spec, intervals, returns, panel.periods.tolist(), judged)
    classes = _classes(spec, table, judged, counted)
    smoothing = _smoothed(counted, spec.smoothing, classes)
    matrix = replace(counted, values=smoothing.values)
    new = ~universe.known[universe.judged]
    returns = _borrowed(returns, costs, classes, new)
    least = _smoothed(counted, 1.0, classes).values
    risk = _floored(spec, estimate(spec.risk_model, returns, spec.shrinkage), matrix, least)
    held = None
    if universe.current is not None:
        held = universe.current[universe.judged]
        held = held / held.sum() if held.sum() > 0 else None
    targets = _targets(spec, intervals, None if held is None else operator(held, matrix.values))
    budget = _budget(spec, universe)
    if classes is not None:
        names = np.array(classes.names, dtype=object)[classes.codes]
        table = pd.DataFrame(index=judged) if table is None else table
        table = table.assign(**{CLASS: names})
    return Book(universe, returns, matrix, smoothing, classes, table, risk, held, targets, budget)


def _check_types(spec: Specification) -> None:
    """Refuse what is not a number where one is expected; ranges are for those who use it."""
    for name in _NUMBERS:
        given: object = getattr(spec, name)
        left_out = given is None and name in _MAY_BE_NONE
        named = isinstance(given, str) and name == "smoothing"
        number = isinstance(given, Real) and not isinstance(given, (bool, np.bool_))
        if not (left_out or named or number):
            raise TypeError(f"{name} is {given!r}; expected a number, as {_NUMBERS[name]}")
    groups: object = spec.groups  # whatever was given, at run time
    if groups is not None and not (
        isinstance(groups, Mapping)
        and all(isinstance(bounds, (Mapping, pd.Series)) for bounds in groups.values())
    ):
        raise TypeError(
            f"groups is {groups!r}; expected a mapping from column to label to cap, as "
            "{'industry': {'steel': 0.3}}"
        )
    if not 0 <= spec.tail < 1:
        raise ModelError(f"tail is {spec.tail}; expected a confidence from 0 to below 1, as 0.9")
    if spec.objective == "variance" and spec.variance_weight:
        raise ModelError(
            f"variance_weight is {spec.variance_weight}, and the objective is the variance alone; "
            "leave it out, or take objective='cvar'"
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


def _borrows(spec: Specification) -> bool:
    if spec.newcomers not in ("exclude", "borrow"):
        raise ModelError(f"newcomers is {spec.newcomers!r}; expected 'exclude' or 'borrow'")
    if spec.newcomers == "borrow" and spec.smoothing == 0:
        raise ModelError(
            "newcomers='borrow' needs smoothing above 0, or 'estimated': a customer of one or two "
            "periods would be judged by those alone"
        )
    return spec.newcomers == "borrow"


def _labels(labels: Labels | None, judged: pd.Index[Any]) -> pd.DataFrame | None:
    """Return a table of labels in the order of the judged customers."""
    if labels is None:
        return None
    if not isinstance(labels, (pd.DataFrame, Mapping)):
        raise TypeError(
            f"labels is a {type(labels).__name__}; expected a DataFrame indexed by customer_id, or "
            "a mapping from column to a Series indexed so"
        )
    if isinstance(labels, Mapping):
        columns = {name: _column(name, column) for name, column in labels.items()}
        table = pd.DataFrame(columns)
    else:
        table = pd.DataFrame(labels)
    table.index = _ids("labels", table.index)
    if CLASS in table.columns:
        raise ModelError(
            f"labels has a column {CLASS!r}, which is kept for the model's own classes; rename it"
        )
    if table.shape[1] and not table.index.isin(judged).any():
        raise DataError(
            f"no customer has both labels and a history: labels name {listing(table.index, 3)}, "
            f"the history {listing(judged, 3)}; index labels by customer_id (text, leading zeros)"
        )
    return table.reindex(judged)


def _column(name: str, column: object) -> pd.Series[Any]:
    if not isinstance(column, (pd.Series, Mapping)):
        raise TypeError(
            f"the column {name!r} of labels is a {type(column).__name__}; expected a Series or a "
            "mapping with a customer_id for each label"
        )
    series: pd.Series[Any] = pd.Series(column, dtype=object)
    return series.set_axis(_ids(f"the column {name!r} of labels", series.index))


def _ids(where: str, index: pd.Index[Any]) -> pd.Index[Any]:
    """Return ids as text, each once."""
    ids = pd.Index([str(name) for name in index], dtype="str")
    doubled = ids[ids.duplicated()].unique()
    if len(doubled):
        raise DataError(f"{where} has customers more than once: {listing(doubled)}; keep one row")
    return ids


def _history(panel: ReturnPanel, judged: pd.Index[Any]) -> tuple[Matrix, Matrix]:
    """Return returns and costs of the judged; NaN and 0 for who is not in the panel."""
    place = panel.customers.get_indexer(judged)
    returns, costs = panel.values[:, place], panel.costs[:, place]
    absent = place < 0
    if absent.any():
        returns[:, absent], costs[:, absent] = np.nan, 0.0
    return returns, costs


def _counted(
    spec: Specification,
    intervals: ReturnIntervals,
    returns: Matrix,
    periods: list[Any],
    judged: pd.Index[Any],
) -> EvaluationMatrix:
    """Return the evaluation matrix as counted; rows of zeros for who has no period."""
    seen: NDArray[np.bool_] = np.logical_not(np.isnan(returns).all(axis=0))
    if not seen.any():
        raise DataError("no judged customer has a period with a sale; give a longer panel")
    found = evaluation_matrix(
        returns[:, seen],
        intervals,
        outside=spec.outside,
        periods=periods,
        customers=judged[seen].tolist(),
    )
    if seen.all():
        return found

    def spread(rows: NDArray[Any]) -> NDArray[Any]:
        full = np.zeros((seen.size, *rows.shape[1:]), dtype=rows.dtype)
        full[seen] = rows
        return full

    arrays: dict[str, Any] = {name: spread(getattr(found, name)) for name in _PER_CUSTOMER}
    return replace(found, **arrays)


def _classes(
    spec: Specification,
    labels: pd.DataFrame | None,
    judged: pd.Index[Any],
    counted: EvaluationMatrix,
) -> CustomerClasses | None:
    wanted = spec.classes
    if wanted is None:
        return None
    if isinstance(wanted, str):
        if labels is None or wanted not in labels.columns:
            known = [] if labels is None else list(labels.columns)
            raise ModelError(
                f"classes names the column {wanted!r}; fit got "
                + (f"labels with {listing(known)}" if known else "no labels")
                + f"; pass labels= with that column.{did_you_mean(wanted, known)}"
            )
        return classes_by_label(labels[wanted], judged, origin=wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, Integral):
        raise ModelError(
            f"classes is {wanted!r}; expected a column of labels, a number of profiles, or None"
        )
    # Profiles of few periods are luck: at least one period of the pool goes into each.
    strength = spec.smoothing if isinstance(spec.smoothing, str) else max(spec.smoothing, 1.0)
    rows = _smoothed(counted, strength, None).values
    return classes_by_profile(rows, int(wanted), counted.centres)


def _smoothed(
    counted: EvaluationMatrix,
    strength: float | Literal["estimated"],
    classes: CustomerClasses | None,
) -> Smoothing:
    codes = None if classes is None else classes.codes
    return smooth(
        counted.counts, counted.periods, counted.squares, strength=strength, classes=codes
    )


def _borrowed(
    returns: Matrix, costs: Matrix, classes: CustomerClasses | None, new: NDArray[np.bool_]
) -> Matrix:
    """Give newcomers the returns of their class, or of all, in periods without their own."""
    if not new.any():
        return returns
    everybody = CustomerClasses(("all",), np.zeros(new.size, dtype=np.intp), None, "all customers")
    pool = class_panel(returns, costs, everybody).values[:, 0]
    own = classes or everybody
    lent = class_panel(returns, costs, own).values
    lent = np.where(np.isnan(lent), pool[:, None], lent)[:, own.codes[new]]
    filled = returns.copy()
    filled[:, new] = np.where(np.isnan(returns[:, new]), lent, returns[:, new])
    return filled


def _floored(
    spec: Specification, risk: RiskModel, matrix: EvaluationMatrix, least: Matrix
) -> RiskModel:
    """Raise variances to the floor; ``least`` are rows drawn towards pool or class by a period."""
    if spec.floor is None:
        return risk
    if isinstance(spec.floor, str):
        if spec.floor != "smoothed":
            raise ModelError(f"floor is {spec.floor!r}; expected 'smoothed', None or a variance")
        return with_floor(risk, interval_variance(least, matrix.centres))
    if not 0 <= spec.floor < math.inf:
        raise ModelError(f"floor is {spec.floor}; expected 'smoothed', None or a variance ≥ 0")
    return with_floor(risk, np.full(risk.idiosyncratic.shape, float(spec.floor)))


def _targets(spec: Specification, intervals: ReturnIntervals, today: Vector | None) -> Targets:
    if isinstance(spec.targets, Targets):
        meant = spec.targets.intervals
        if not meant.same_as(intervals):
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
