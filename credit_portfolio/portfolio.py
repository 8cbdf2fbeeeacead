"""CreditPortfolio: from panel, limits and today's book to the allocation.

What is minimised under which conditions stands at the head of ``formulation.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from credit_portfolio.answer import answer
from credit_portfolio.book import Specification, read_book
from credit_portfolio.errors import DataError
from credit_portfolio.outcome import outcome
from credit_portfolio.risk.measures import portfolio_returns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from credit_portfolio.book import Labels
    from credit_portfolio.evaluation.intervals import ReturnIntervals
    from credit_portfolio.evaluation.targets import Targets
    from credit_portfolio.returns.panel import ReturnPanel
    from credit_portfolio.universe import Money

_Table = TypeVar("_Table", "Money", "Labels")


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
    shrinkage : float, optional
        Intensity of "ledoit_wolf", 0 to 1, in the place of the estimated one.
    operator : str, default "weighted_average"
        How shares and degrees make B: "weighted_average", "main_factor_decisive",
        "main_factor_prominent", "bounded_sum" or "balanced". Targets under the others are met
        exactly, by branching; the certificate is then that of the last piece, and a finding says
        what was proved.
    normalise : bool, default False
        Whether B is divided by its sum before it is held against the targets; the weighted
        average sums to 1 as it is.
    smoothing : float or "estimated", default 0
        α: how many periods the pooled row, or that of the class, counts for in each row of P; 0 is
        the plain frequency.
    classes : str or int, optional
        Towards what rows are drawn: a column of ``labels``, or a number of classes by fuzzy
        c-means on the rows of P. ``groups`` can name them as the column "class".
    newcomers : {"exclude", "borrow"}, default "exclude"
        What to do with customers of too few periods: leave them out, or judge them by the rows and
        returns of their class; needs smoothing.
    confidence : float, optional
        Ask that each target holds with this confidence, given how few periods P rests on; needs
        smoothing.
    budget : float, optional
        Total credit T in money; today's exposure by default.
    max_share : float, default 1
        Largest share of one customer.
    min_line : float, optional
        A customer gets nothing or at least so much money: by branching, for some hundred
        customers.
    min_return : float, optional
        Least expected return of the portfolio, as a fraction of cost.
    groups : mapping, optional
        Column of ``labels`` -> label -> cap, or (floor, cap), in fractions of the budget.
    max_turnover : float, optional
        Most of ½ Σ|w − today's w|, as a fraction of the budget; needs ``current``.
    turnover_cost : float, default 0
        Per unit of share moved, in units of the variance.
    objective : {"variance", "cvar"}, default "variance"
        "cvar": the mean loss of the worst periods of the panel.
    tail : float, default 0.9
        For "cvar": the confidence β; the mean is over the worst part 1 − β of the periods.
    variance_weight : float, default 0
        For "cvar": what one unit of the variance adds.
    floor : "smoothed", None or float, default "smoothed"
        Least variance of a customer: that of his interval distribution, drawn towards the pooled
        one by one period; None for none; a number for a variance.
    outside : {"error", "clip"}, default "error"
        What to do with a return outside the edges.
    unit : float, default 1
        Amounts are rounded to multiples of it.
    currency : str, default ""
        For the pages that people read; the panel's, which is the ledger's, when left empty.
    solver : str, default "auto"
    tolerance : float, default 1e-9
        Largest relative residual of an accepted answer.

    Attributes
    ----------
    allocation_ : Allocation
    program_ : CreditProgram
        The plain program of which the shares are the optimum.
    solution_ : Solution
    answer_ : Answer
        Both, with the certificate of what was asked and how it was solved.
    returns_ : ndarray, shape (n_periods, n_judged)
        What risk and means rest on; newcomers have their class's.
    classes_ : CustomerClasses or None
        Of the judged customers.
    risk_model_ : RiskModel
        Of the judged customers, ``judged_``.
    evaluation_matrix_ : EvaluationMatrix
    targets_ : Targets
    judged_, eligible_ : pandas.Index

    Examples
    --------
    >>> import pandas as pd
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
        shrinkage: float | None = None,
        operator: str = "weighted_average",
        normalise: bool = False,
        smoothing: float | Literal["estimated"] = 0.0,
        classes: int | str | None = None,
        newcomers: Literal["exclude", "borrow"] = "exclude",
        confidence: float | None = None,
        budget: float | None = None,
        max_share: float = 1.0,
        min_line: float | None = None,
        min_return: float | None = None,
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        max_turnover: float | None = None,
        turnover_cost: float = 0.0,
        objective: Literal["variance", "cvar"] = "variance",
        tail: float = 0.9,
        variance_weight: float = 0.0,
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
        self.shrinkage = shrinkage
        self.operator = operator
        self.normalise = normalise
        self.smoothing = smoothing
        self.classes = classes
        self.newcomers = newcomers
        self.confidence = confidence
        self.budget = budget
        self.max_share = max_share
        self.min_line = min_line
        self.min_return = min_return
        self.groups = groups
        self.max_turnover = max_turnover
        self.turnover_cost = turnover_cost
        self.objective = objective
        self.tail = tail
        self.variance_weight = variance_weight
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
        limits: Money | Callable[[], Money] | None = None,
        current: Money | Callable[[], Money] | None = None,
        floors: Money | Callable[[], Money] | None = None,
        labels: Labels | Callable[[], Labels] | None = None,
        weights: Mapping[Any, float | Literal["hold"]] | None = None,
    ) -> CreditPortfolio:
        """Find the shares; the answer is ``allocation_``.

        Of ``limits``, ``current``, ``floors`` and ``labels`` each may be a function that returns
        the table: scikit-learn's searches cut what has as many entries as the panel has periods.

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
        labels : DataFrame or mapping of column to Series, optional
            By customer id: what ``classes`` and ``groups`` name, such as industry or region.
        weights : mapping of interval or row to number or "hold", optional
            Where nothing meets all conditions: what a point of each target costs, by name or number
            of its interval, for the nearest targets that can be met. A target not named costs 1,
            ``"hold"`` keeps one where it is; a group's bound (``"region = north"``) and
            ``"expected return"`` move only where they have a weight.

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
        limits = _per_customer("limits", limits, X)
        current = _per_customer("current", current, X)
        floors = _per_customer("floors", floors, X)
        # Anything but a panel is refused by read_book, with the reason.
        label = getattr(X, "currency", "")
        given = self.get_params(deep=False)
        spec = Specification(**given | {"currency": self.currency or label}, weights=weights)
        table = _per_customer("labels", labels, X)
        book = read_book(spec, X, limits, current, floors, table)
        found = answer(spec, book)
        self.answer_ = found
        self.program_ = found.program
        self.solution_ = found.solution
        self.risk_model_ = book.risk
        self.returns_ = book.returns
        self.evaluation_matrix_ = book.matrix
        self.classes_ = book.classes
        self.targets_ = book.targets
        self.judged_ = book.universe.customers[book.universe.judged]
        self.eligible_ = book.universe.customers[book.universe.eligible]
        self.allocation_ = outcome(spec, X, book, found)
        return self

    def score(self, X: ReturnPanel, y: None = None) -> float:
        """Say how steadily the shares earn what fit expected in other periods; more is better.

        Minus the mean of (r_t − r̄)², where r_t is the return of the shares in period t of X and r̄
        the mean return that fit expected of them: the realised variance about the promise, which
        one period can show. A customer without a sale in a period takes no part in it, and a
        period in which none of those with a share bought does not count.

        Parameters
        ----------
        X : ReturnPanel
            Other periods than those of the fit.
        y : None
            Not used, present by scikit-learn's convention.

        Raises
        ------
        DataError
            When nobody with a share bought in any of the periods.

        Examples
        --------
        >>> import pandas as pd
        >>> import credit_portfolio as cp
        >>> history = {"A": [0.25, 0.2, 0.25, 0.2], "B": [0.1, 0.2, 0.2, 0.1]}
        >>> panel = cp.ReturnPanel.from_frame(pd.DataFrame(history))
        >>> model = cp.CreditPortfolio([-1, 0.15, 0.25], good_from=1, targets={}, budget=900)
        >>> round(model.fit(panel[:3]).score(panel[3:]), 6)
        -0.001846
        """
        check_is_fitted(self, "allocation_")
        shares = self.allocation_.shares.reindex(X.customers).fillna(0.0)
        earned = portfolio_returns(X.values, np.asarray(shares, dtype=np.float64))
        earned = earned[~np.isnan(earned)]
        if earned.size == 0:
            raise DataError(
                f"no customer with a share has a sale in the {len(X)} periods to score, so there "
                "is no return; give periods with sales"
            )
        expected = self.allocation_.summary["mean_return"]
        return -float(np.mean((earned - expected) ** 2))


def _per_customer(
    name: str, given: _Table | Callable[[], _Table] | None, panel: ReturnPanel
) -> _Table | None:
    """Return a table by customer, and refuse one that scikit-learn has cut by period."""
    if callable(given):
        return given()
    picked = getattr(panel, "picked", False)
    if picked and given is not None and len(given) == len(panel) < len(panel.customers):
        raise DataError(
            f"{name} has {len(panel)} entries for {len(panel.customers)} customers, as many as "
            "there are periods to fit: scikit-learn cuts tables that are as long as the panel; "
            f"pass {name}=lambda: table"
        )
    return given
