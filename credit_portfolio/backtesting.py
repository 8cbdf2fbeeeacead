"""Walk forward over the ledger: what the shares of each day would have earned afterwards.

On each day only what was known then is used: the ledger as it stood, a panel of its mature periods,
that day's exposure, and limits of that day where a function gives them. The shares then earn the
returns of the later invoices as they are finally known::

    return of a day   r = Σ_i w_i r_i / Σ_i w_i      over those with a sale in the horizon
                      r_i = Σ profit / Σ cost        of customer i's invoices in the horizon

A customer without a sale takes no part: credit that he did not take up is neither earned on nor
lost, and the others count by their shares. How much of the credit did take part is told beside it.

What was known on a day is what ``Ledger.on`` says: a settlement, and the write-off that came with
it, counts from its date on. A write-off that the ledger does not date counts on all days.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from credit_portfolio.errors import (
    DataError,
    InfeasibleError,
    ModelError,
    SolverError,
    did_you_mean,
    listing,
)
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.universe import assemble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from credit_portfolio.book import Labels
    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.portfolio import CreditPortfolio
    from credit_portfolio.returns.rule import ReturnRule
    from credit_portfolio.universe import Money

    Vector = NDArray[np.float64]
    Period = Literal["month", "quarter", "year"]

MODEL, CURRENT, EQUAL, SALES, LIMIT = (
    "model",
    "current shares",
    "equal",
    "sales-proportional",
    "limit-proportional",
)
_FREQUENCIES = {"month": "M", "quarter": "Q", "year": "Y"}
# What each figure is called in a sentence, and whether more of it is better.
_FIGURES = {
    "mean_return": ("mean return", True),
    "standard_deviation": ("standard deviation", False),
    "worst_return": ("worst period", True),
    "bad_share": ("share of credit in bad intervals", False),
    "bad_debt": ("bad debt", False),
    "turnover": ("turnover", False),
}
# Figures that differ by less than this part of the larger are a draw: the model's shares are known
# to a relative 1e-9 or so.
_DRAW = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Backtest:
    """What each way to share out the credit would have earned.

    Attributes
    ----------
    days : pandas.DataFrame
        One row per day and portfolio: ``day``, ``portfolio``, ``first_period`` and
        ``last_period`` (the horizon), ``return``, ``bad_share`` (of the credit that took part, in
        bad intervals of the return), ``bad_debt`` (written off, as a part of the cost),
        ``turnover`` (½ Σ|w − w before|; NaN on the first day), ``traded`` (part of the credit of
        customers with a sale), ``over_limit`` (part of the credit above that day's limits; NaN
        without limits), ``n_with_credit``.
    summary : pandas.DataFrame
        One row per portfolio: ``days``, ``mean_return``, ``standard_deviation`` (over the days,
        ddof = 1), ``worst_return``, ``worst_day``, means of ``bad_share``, ``bad_debt``,
        ``turnover``, ``traded`` and ``over_limit``, and ``difference`` with
        ``difference_error``: the model's mean return less this portfolio's, and the standard
        error of that mean over days taken as independent.
    shares : mapping of str to pandas.DataFrame
        Day -> shares, one row per customer and one column per portfolio.
    notes : tuple of str
        Days left out and why, and what else a reader has to know.
    """

    days: pd.DataFrame
    summary: pd.DataFrame
    shares: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the table of days and portfolios, a copy."""
        return self.days.copy()

    def winners(self) -> str:
        """Name the best portfolio by each figure, whichever it is, in one sentence."""
        told = []
        for name, (words, more) in _FIGURES.items():
            column = self.summary[name].dropna()
            if column.empty:
                continue
            best = float(column.max() if more else column.min())
            near = _DRAW * max(abs(best), float(np.abs(column).max()))
            first = column.index[np.abs(column - best) <= near]
            text = f"{best:.4%}"
            who = "all alike" if len(first) == len(column) > 1 else " and ".join(first)
            told.append(f"{words}: {who} ({text})")
        return f"Best over {int(self.summary['days'].iloc[0])} days by " + "; ".join(told) + "."

    def __repr__(self) -> str:
        shown = self.summary.drop(columns=["days", "worst_day"]).map("{:.3%}".format)
        notes = "".join(f"\n- {note}" for note in self.notes)
        days = self.days["day"].unique()
        return (
            f"Backtest of {len(days)} days, {days[0]} to {days[-1]}\n{shown.T.to_string()}\n"
            f"{self.winners()}{notes}"
        )


def backtest(
    ledger: Ledger,
    model: CreditPortfolio,
    rule: ReturnRule,
    days: Sequence[str | dt.date | pd.Timestamp] | None = None,
    *,
    every: Period = "quarter",
    period: Period = "quarter",
    horizon: int = 1,
    maturity_days: int = 90,
    min_periods: int = 3,
    limits: Money | Callable[[dt.date], Money] | None = None,
    labels: Labels | None = None,
    infeasible: Literal["skip", "current"] = "skip",
) -> Backtest:
    """Hold the model's shares against four simple ways to share out the credit, day after day.

    The model and the baselines "equal", "sales-proportional" (cost of the sales in the day's panel)
    and "limit-proportional" share among the same customers: those whom the model may give credit
    on the day. "Current shares" are that day's exposure, of all who owe.

    Parameters
    ----------
    ledger : Ledger
        As known at the end; what was known on a day is worked out from it.
    model : CreditPortfolio
        Its parameters; it is not fitted itself.
    rule : ReturnRule
    days : sequence of dates, optional
        By default the last day of every quarter (``every``) that has enough mature periods
        before it and a mature horizon after it.
    every : {"month", "quarter", "year"}
    period : {"month", "quarter", "year"}
        Of the panel, and the unit of the horizon.
    horizon : int, default 1
        The whole periods after the day over which the shares earn; all must be mature at the end.
    maturity_days, min_periods : int
        As in ``ReturnPanel.from_ledger``.
    limits : table of money by customer id, or a function of the day that returns one, optional
        A table counts as known on all days. Without limits there is no limit-proportional
        portfolio.
    labels : DataFrame or mapping of column to Series, optional
        As ``CreditPortfolio.fit`` takes them; they count as known on all days.
    infeasible : {"skip", "current"}, default "skip"
        What becomes of a day whose fit fails: it is left out for all portfolios alike, or the model
        holds the current shares. Notes tell such days.

    Raises
    ------
    ModelError
        For parameters that are wrong, or no day to test.
    DataError
        When a day or its horizon is not covered by mature periods.

    Examples
    --------
    >>> from credit_portfolio import CreditPortfolio, ReturnRule, open_ledger, simulate_book
    >>> book = simulate_book(40, 3_000, seed=5)
    >>> ledger = open_ledger(book.invoices, as_of=book.as_of)
    >>> model = CreditPortfolio([-1.5, 0, 0.2, 0.25], good_from=2)
    >>> test = backtest(ledger, model, ReturnRule(0.25), ["2022-06-30", "2022-12-31"])
    >>> test.summary["days"].to_dict()
    {'model': 2, 'current shares': 2, 'equal': 2, 'sales-proportional': 2}
    """
    _check(every, period, horizon, infeasible)
    final = _Realised.of(ledger, rule, period, maturity_days)
    chosen = (
        _days_between(ledger, final, every, horizon, maturity_days, min_periods)
        if days is None
        else [pd.Timestamp(day).date() for day in days]
    )
    if not chosen or chosen != sorted(set(chosen)):
        raise ModelError(
            f"days are {listing(map(str, chosen))}; expected one or more, in order of time"
        )
    intervals = _intervals(model)
    rows: list[dict[str, Any]] = []
    shares: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    for day in chosen:
        known = ledger.on(day)
        panel = ReturnPanel.from_ledger(
            known, rule, period, maturity_days=maturity_days, min_periods=min_periods
        )
        of_day = limits(day) if callable(limits) else limits
        given = {"limits": of_day, "current": known.exposure(), "labels": labels}
        made, note = _portfolios(model, panel, given, infeasible, day)
        notes += [note] if note else []
        if made is None:
            continue
        shared, caps = made
        window = final.window(day, horizon)
        before = shares[next(reversed(shares))] if shares else None
        rows += list(_measured(day, shared, caps, window, intervals, before))
        shares[str(day)] = shared
    if not rows:
        raise ModelError(f"no day could be tested: {'; '.join(notes)}")
    table = pd.DataFrame(rows)
    return Backtest(table, _summary(table), shares, (*notes, *_remarks(limits, labels)))


def _check(every: str, period: str, horizon: int, infeasible: str) -> None:
    for name, value, known in (
        ("every", every, tuple(_FREQUENCIES)),
        ("period", period, tuple(_FREQUENCIES)),
        ("infeasible", infeasible, ("skip", "current")),
    ):
        if value not in known:
            raise ModelError(
                f"{name} is {value!r}; expected one of {listing(known)}."
                f"{did_you_mean(str(value), known)}"
            )
    if horizon < 1:
        raise ModelError(f"horizon is {horizon}; expected 1 or more periods")


def _intervals(model: CreditPortfolio) -> ReturnIntervals:
    if isinstance(model.intervals, ReturnIntervals):
        return model.intervals
    if model.good_from is None:
        raise ModelError("good_from is missing; say which interval is the first good one")
    return ReturnIntervals(model.intervals, model.good_from)


def _remarks(limits: object, labels: object) -> tuple[str, ...]:
    tables = ["limits"] if limits is not None and not callable(limits) else []
    tables += ["labels"] if labels is not None else []
    return tuple(f"the {name} are one table, taken as known on all days" for name in tables)


# ----------------------------------------------------------------------------------- one day


def _portfolios(
    model: CreditPortfolio,
    panel: ReturnPanel,
    given: Mapping[str, Any],
    infeasible: str,
    day: dt.date,
) -> tuple[tuple[pd.DataFrame, Vector | None] | None, str]:
    """Return each portfolio's shares on a day and the largest share of each customer; and a note.

    Nothing here sees more than the arguments, which are what was known.
    """
    limits, exposure = given["limits"], given["current"]
    universe = assemble(panel, limits, exposure, borrow=model.newcomers == "borrow")
    customers, eligible = universe.customers, universe.customers[universe.eligible]
    today = exposure / exposure.sum() if exposure.sum() > 0 else None
    columns, note = {}, ""
    try:
        fresh = type(model)(**model.get_params(deep=False))
        columns[MODEL] = fresh.fit(panel, **given).allocation_.shares
    except (InfeasibleError, SolverError) as error:
        note = f"{day}: no fit ({error})"
        if infeasible == "skip" or today is None or not len(eligible):
            return None, f"{note}; the day is left out for all portfolios"
        note += "; the model holds the current shares"
        columns[MODEL] = today
    except (DataError, ModelError) as error:
        error.add_note(f"in the fit of {day}")
        raise
    if today is not None:
        columns[CURRENT] = today
    columns[EQUAL] = pd.Series(1.0 / len(eligible), index=eligible)
    sales = pd.Series(panel.costs.sum(axis=0), index=panel.customers).reindex(eligible)
    columns[SALES] = sales / sales.sum()
    caps = None
    if limits is not None:
        limit = pd.Series(universe.limit, index=customers)
        columns[LIMIT] = limit[eligible] / limit[eligible].sum()
        budget = exposure.sum() if model.budget is None else model.budget
        caps = universe.limit / float(budget)
    return (pd.DataFrame(columns).reindex(customers).fillna(0.0), caps), note


def _measured(
    day: dt.date,
    table: pd.DataFrame,
    caps: Vector | None,
    window: _Window,
    intervals: ReturnIntervals,
    before: pd.DataFrame | None,
) -> Iterator[dict[str, Any]]:
    """Yield what each portfolio of a day came to."""
    places = window.customers.get_indexer(table.index)
    met = places >= 0
    returns, lost = np.full(len(table), np.nan), np.zeros(len(table))
    returns[met], lost[met] = window.returns[places[met]], window.lost[places[met]]
    seen = ~np.isnan(returns)
    # In part, where intervals are fuzzy.
    bad = intervals.degrees(returns) @ ~intervals.good
    for name in table.columns:
        w = np.asarray(table[name], dtype=np.float64)
        part = float(w[seen].sum())
        over = np.nan if caps is None else float(np.maximum(w - caps, 0.0).sum())
        yield {
            "day": str(day),
            "portfolio": name,
            "first_period": window.first,
            "last_period": window.last,
            "return": float(w[seen] @ returns[seen]) / part if part > 0 else np.nan,
            "bad_share": float(w @ bad) / part if part > 0 else np.nan,
            "bad_debt": float(w[seen] @ lost[seen]) / part if part > 0 else np.nan,
            "turnover": np.nan if before is None else _turnover(table[name], before),
            "traded": part,
            "over_limit": over,
            "n_with_credit": int(np.count_nonzero(w)),
        }


def _turnover(now: pd.Series[float], before: pd.DataFrame) -> float:
    if now.name not in before.columns:
        return np.nan
    then = before[now.name]
    every = now.index.union(then.index)
    moved = now.reindex(every).fillna(0.0) - then.reindex(every).fillna(0.0)
    return float(0.5 * np.abs(moved).sum())


# ------------------------------------------------------------------------- what came of it


@dataclass(frozen=True, eq=False, slots=True)
class _Window:
    """Each customer's return and loss, as parts of cost, over one horizon."""

    customers: pd.Index[Any]
    returns: Vector  # NaN: no sale
    lost: Vector
    first: str
    last: str


@dataclass(frozen=True, eq=False, slots=True)
class _Realised:
    """The panel as finally known, with what was written off in each cell."""

    panel: ReturnPanel
    lost: NDArray[np.float64]  # money, (n_periods, n_customers)

    @classmethod
    def of(cls, ledger: Ledger, rule: ReturnRule, period: Period, maturity_days: int) -> _Realised:
        panel = ReturnPanel.from_ledger(
            ledger, rule, period, maturity_days=maturity_days, min_periods=2
        )
        lost = np.zeros(panel.values.shape)
        t = ledger.invoices
        t = t.filter(t.written_off > 0)
        dated = t.mutate(year=t.invoice_date.year(), month=t.invoice_date.month())
        sums = frame_of(
            dated.group_by(["customer_id", "year", "month"]).aggregate(lost=dated.written_off.sum())
        )
        if len(sums):
            starts = pd.to_datetime(
                pd.DataFrame({"year": sums["year"], "month": sums["month"], "day": 1})
            )
            rows = panel.periods.get_indexer(pd.PeriodIndex(starts, freq=_FREQUENCIES[period]))
            columns = panel.customers.get_indexer(pd.Index(sums["customer_id"]))
            inside = (rows >= 0) & (columns >= 0)
            money = sums["lost"].astype("float64").to_numpy()
            np.add.at(lost, (rows[inside], columns[inside]), money[inside])
        return cls(panel, lost)

    def window(self, day: dt.date, horizon: int) -> _Window:
        """Add up the whole periods that follow a day."""
        starts = pd.DatetimeIndex([period.start_time for period in self.panel.periods])
        first = int(np.searchsorted(starts, np.datetime64(pd.Timestamp(day)), side="right"))
        if first + horizon > len(starts):
            raise DataError(
                f"after {day} only {len(starts) - first} mature periods are known, the last "
                f"{self.panel.periods[-1]}; a horizon of {horizon} needs earlier days"
            )
        at = slice(first, first + horizon)
        costs, values = self.panel.costs[at], self.panel.values[at]
        cost = costs.sum(axis=0)
        profit = (np.nan_to_num(values) * costs).sum(axis=0)
        nothing = np.full(cost.shape, np.nan)
        return _Window(
            customers=self.panel.customers,
            returns=np.divide(profit, cost, out=nothing, where=cost > 0),
            lost=np.divide(
                self.lost[at].sum(axis=0), cost, out=np.zeros(cost.shape), where=cost > 0
            ),
            first=str(self.panel.periods[first]),
            last=str(self.panel.periods[first + horizon - 1]),
        )


def _days_between(
    ledger: Ledger,
    final: _Realised,
    every: str,
    horizon: int,
    maturity_days: int,
    min_periods: int,
) -> list[dt.date]:
    """Find ends of months, quarters or years with enough behind and a horizon ahead."""
    periods = final.panel.periods
    ends = pd.DatetimeIndex([period.end_time.normalize() for period in periods])
    starts = pd.DatetimeIndex([period.start_time for period in periods])
    candidates = pd.period_range(starts[0], ends[-1], freq=_FREQUENCIES[every])
    found = []
    for candidate in candidates:
        day = candidate.end_time.normalize()
        mature = int((ends <= day - pd.Timedelta(days=maturity_days)).sum())
        ahead = int((starts > day).sum())
        if mature >= min_periods and ahead >= horizon:
            found.append(day.date())
    if not found:
        raise ModelError(
            f"no end of a {every} has {min_periods} mature periods before it and {horizon} after "
            f"it: the mature periods of the ledger are {periods[0]} to {periods[-1]}, as of "
            f"{ledger.as_of}; take shorter periods or a shorter horizon"
        )
    return found


def _summary(table: pd.DataFrame) -> pd.DataFrame:
    wide = table.pivot(index="day", columns="portfolio", values="return")
    rows = {}
    for name in table["portfolio"].unique():
        own = table[table["portfolio"] == name].set_index("day")
        earned = own["return"]
        apart = (wide[MODEL] - wide[name]).dropna()
        error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else np.nan
        rows[name] = {
            "days": len(own),
            "mean_return": earned.mean(),
            "standard_deviation": earned.std(ddof=1),
            "worst_return": earned.min(),
            "worst_day": earned.idxmin() if earned.notna().any() else "",
            **{
                figure: own[figure].mean()
                for figure in ("bad_share", "bad_debt", "turnover", "traded", "over_limit")
            },
            "difference": apart.mean(),
            "difference_error": error,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("portfolio")


# ------------------------------------------------------------------- scikit-learn's protocol


@dataclass(frozen=True, slots=True)
class WalkForward:
    """Split the periods of a panel: fit on all before, score on the next; for GridSearchCV.

    The returns of a panel are as known on its ``as_of``: a fit on its first periods sees what
    became of their invoices later. ``gap`` leaves out as many periods as it took to know; a test
    that sees nothing of the future at all is ``backtest``.

    Parameters
    ----------
    n_splits : int, optional
        The last so many; all that there are by default.
    min_periods : int, default 4
        Least periods to fit on.
    horizon : int, default 1
        Periods to score on.
    gap : int, default 0
        Periods left out between the two.

    Examples
    --------
    >>> for fit, score in WalkForward(min_periods=3).split(range(5)):
    ...     print(fit, score)
    [0 1 2] [3]
    [0 1 2 3] [4]
    """

    n_splits: int | None = None
    min_periods: int = 4
    horizon: int = 1
    gap: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_splits", 1), ("min_periods", 1), ("horizon", 1), ("gap", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ModelError(f"{name} is {value}; expected {least} or more")

    def split(
        self, X: Any, y: object = None, groups: object = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield positions of the periods to fit on and of those to score, in order of time.

        Raises
        ------
        ModelError
            When X has too few periods.
        """
        del y, groups
        m, count = len(X), self.get_n_splits(X)
        for test in range(m - count * self.horizon, m, self.horizon):
            yield np.arange(test - self.gap), np.arange(test, test + self.horizon)

    def get_n_splits(self, X: Any = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits; X is needed where ``n_splits`` was left out."""
        del y, groups
        if X is None:
            if self.n_splits is None:
                raise ModelError("the number of splits depends on the panel; give X or n_splits")
            return self.n_splits
        most = max(len(X) - self.min_periods - self.gap, 0) // self.horizon
        asked = self.n_splits or max(most, 1)
        if asked > most:
            raise ModelError(
                f"{len(X)} periods allow {most} splits of {self.horizon} after {self.min_periods} "
                f"to fit on and {self.gap} between; {asked} are asked for: take fewer, or more "
                "periods"
            )
        return asked
