"""The return panel, and the ledger's way to it.

The engine that holds the ledger adds up each customer's cost and profit per period; only those
sums leave it. A cell is Σ profit / Σ cost, the cost-weighted mean of its invoices' returns.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.ledger.positions import arrow_of, frame_of
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.ledger.source import Ledger

    Matrix = NDArray[np.float64]

_UNITS = {"month": ("M", 12), "quarter": ("Q", 4), "year": ("Y", 1)}  # of pandas; in a year
_EPOCH = 1970  # the year from which pandas counts periods
_DAYS_PER_YEAR = 365


@dataclass(frozen=True, eq=False, slots=True)
class ReturnPanel:
    """Each customer's return on credit sales per period.

    Attributes
    ----------
    values : ndarray, shape (n_periods, n_customers)
        Fractions of cost; NaN where a customer had no sale, never 0.
    customers : pandas.Index
        Customer ids, text.
    periods : pandas.Index
        In order of time.
    costs : ndarray, shape (n_periods, n_customers)
        Cost of the sales in each cell, in money; 0 where there were none.
    min_periods : int
        Customers with fewer observed periods are named in ``too_few`` and take no part in a fit.
    convention : str
        How the returns were computed.
    dropped : pandas.DataFrame
        Periods left out as not yet mature: period, reason, invoices, amount.
    notes : tuple of str
        What a reader of the figures has to know.
    as_of : datetime.date, optional
        The day on which the returns were known; None where nobody said.
    currency : str
        Of the costs; empty when unknown.

    Examples
    --------
    >>> frame = pd.DataFrame({"A": [0.25, 0.20, None], "B": [0.1, 0.25, 0.25]},
    ...                      index=["2024Q1", "2024Q2", "2024Q3"])
    >>> panel = ReturnPanel.from_frame(frame, min_periods=3)
    >>> panel
    ReturnPanel(3 periods 2024Q1 to 2024Q3, 2 customers, 17 % of cells empty, 1 with too few)
    >>> list(panel.too_few)
    ['A']
    """

    values: Matrix
    customers: pd.Index[Any]
    periods: pd.Index[Any]
    costs: Matrix
    min_periods: int
    convention: str
    dropped: pd.DataFrame
    notes: tuple[str, ...] = ()
    as_of: dt.date | None = None
    currency: str = ""

    def __post_init__(self) -> None:
        shape = (len(self.periods), len(self.customers))
        if self.values.shape != shape or self.costs.shape != shape:
            raise DataError(
                f"the panel has returns {self.values.shape} and costs {self.costs.shape} for "
                f"{shape[0]} periods and {shape[1]} customers"
            )
        for what, labels in (("customers", self.customers), ("periods", self.periods)):
            if not labels.is_unique:
                twice = labels[labels.duplicated()].unique()
                raise DataError(
                    f"{what} appear more than once in the panel: {listing(map(str, twice))}; add "
                    "them up first"
                )
        if not (np.isfinite(self.costs) & (self.costs >= 0)).all():
            raise DataError("costs of the panel must be finite money of 0 or more; mend them")
        if np.isinf(self.values).any():
            t, i = np.argwhere(np.isinf(self.values))[0]
            raise DataError(
                f"the return of customer {self.customers[i]!r} in period {self.periods[t]} is "
                "infinite; expected a finite fraction of cost, or NaN for no sale"
            )
        if self.min_periods < 2:
            raise ModelError(f"min_periods is {self.min_periods}; a variance needs at least 2")
        for name in ("values", "costs"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, *, costs: ArrayLike | None = None, min_periods: int = 3
    ) -> ReturnPanel:
        """Take returns that were computed elsewhere: one row per period, one column per customer.

        Parameters
        ----------
        frame : pandas.DataFrame
            Fractions of cost, NaN for no sale.
        costs : array_like of the same shape, optional
            Cost of the sales in each cell; 1 for each cell with a return by default.
        min_periods : int, default 3
        """
        doubled = frame.columns[frame.columns.duplicated()].unique()
        if len(doubled):
            raise DataError(f"customers appear more than once as columns: {listing(doubled)}")
        try:
            values = frame.to_numpy(dtype=np.float64, copy=True)
        except (TypeError, ValueError) as error:
            raise DataError(f"the panel holds something that is not a number: {error}") from error
        try:
            given = np.isfinite(values) if costs is None else np.array(costs)
            given = given.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"costs hold something that is not a number: {error}") from error
        return cls(
            values=values,
            customers=pd.Index(frame.columns.map(str), name="customer_id"),
            periods=pd.Index(frame.index, name="period"),
            costs=given,
            min_periods=min_periods,
            convention="returns as given",
            dropped=_no_periods(),
        )

    @classmethod
    def from_ledger(
        cls,
        ledger: Ledger,
        rule: ReturnRule,
        period: Literal["month", "quarter", "year"] = "quarter",
        *,
        maturity_days: int = 90,
        min_periods: int = 3,
    ) -> ReturnPanel:
        """Add up the ledger's invoices by customer and by the period of their invoice date.

        Parameters
        ----------
        ledger : Ledger
        rule : ReturnRule
        period : {"month", "quarter", "year"}
        maturity_days : int, default 90
            A period counts when it ended at least so many days before ``as_of``; before that, most
            of its invoices are simply not due. Later periods are dropped and listed.
        min_periods : int, default 3

        Raises
        ------
        DataError
            When no period is mature, or the markup column has a value that is not a number
            above 0.
        ModelError
            For an unknown period or markup column.
        """
        if period not in _UNITS:
            raise ModelError(
                f"period is {period!r}; expected 'month', 'quarter' or 'year'."
                f"{did_you_mean(period, _UNITS)}"
            )
        if maturity_days < 0:
            raise ModelError(f"maturity_days is {maturity_days}; expected 0 or more")
        cells = _cells(ledger, rule, period)
        unit = _UNITS[period][0]
        starts = pd.PeriodIndex([pd.Period(ordinal=int(n), freq=unit) for n in cells.ordinals])
        cutoff = pd.Timestamp(ledger.as_of) - pd.Timedelta(days=maturity_days)
        ripe = starts.end_time.normalize() <= cutoff
        dropped = _dropped(cells, starts, ripe, maturity_days, ledger.as_of)
        if not ripe.any():
            raise DataError(
                f"no {period} had ended {maturity_days} days before {ledger.as_of}; give a later "
                "as_of, a shorter period or fewer maturity_days",
                dropped,
            )
        mature = ripe[cells.period]
        first, last = starts[ripe].min(), starts[ripe].max()
        periods = pd.period_range(first, last, freq=_UNITS[period][0], name="period")
        row = periods.get_indexer(starts)[cells.period]
        place = (row[mature], cells.customer[mature])
        costs = np.zeros((len(periods), len(cells.customers)))
        profits = np.zeros_like(costs)
        costs[place] = cells.cost[mature]
        profits[place] = cells.profit[mature]
        customers = pd.Index(cells.customers, name="customer_id", dtype="str")
        values = np.divide(profits, costs, out=np.full(costs.shape, np.nan), where=costs > 0)
        return cls(
            values=values,
            customers=customers,
            periods=periods,
            costs=costs,
            min_periods=min_periods,
            convention=rule.describe(),
            dropped=dropped,
            notes=_notes(float(cells.open[mature].sum()), rule, ledger),
            as_of=ledger.as_of,
            currency=ledger.currency,
        )

    @property
    def observed(self) -> NDArray[np.int64]:
        """Number of periods with a sale per customer, shape (n_customers,)."""
        seen: NDArray[np.int64] = (~np.isnan(self.values)).sum(axis=0)
        return seen

    @property
    def too_few(self) -> pd.Index[Any]:
        """Customers with fewer than ``min_periods`` periods."""
        return self.customers[self.observed < self.min_periods]

    def select(self, customers: pd.Index[Any]) -> Matrix:
        """Return the columns of these customers, shape (n_periods, len(customers))."""
        columns: Matrix = self.values[:, self.customers.get_indexer(customers)]
        return columns

    def to_frame(self) -> pd.DataFrame:
        """Return the panel as a table: one row per period, one column per customer."""
        return pd.DataFrame(self.values, index=self.periods, columns=self.customers)

    def __repr__(self) -> str:
        m, n = self.values.shape
        empty = float(np.isnan(self.values).mean()) if self.values.size else 0.0
        span = f" {self.periods[0]} to {self.periods[-1]}" if m else ""
        text = f"ReturnPanel({m} periods{span}, {n:,} customers, {empty:.0%} of cells empty"
        text = text.replace("% of", " % of")
        if len(self.too_few):
            text += f", {len(self.too_few):,} with too few"
        return text + ")"


@dataclass(frozen=True, eq=False, slots=True)
class _Cells:
    """Sums of each customer and period, as arrays of one length; the first two are positions."""

    customer: NDArray[np.int64]  # in customers
    period: NDArray[np.int64]  # in ordinals
    cost: Matrix
    profit: Matrix
    invoices: NDArray[np.int64]
    amount: Matrix
    open: Matrix
    customers: list[str]  # sorted
    ordinals: NDArray[np.int64]  # sorted


def _cells(ledger: Ledger, rule: ReturnRule, period: str) -> _Cells:
    """Run the aggregation where the ledger lives: one row per customer and period."""
    t = ledger.invoices
    as_of = ledger.as_of
    markup = _markup(ledger, rule)
    amount, collected = t.amount.cast("float64"), t.collected.cast("float64")
    lost, still_open = t.written_off.cast("float64"), t.open.cast("float64")
    cost = amount / (markup + 1.0)
    closed = t.settled_date.fill_null(as_of)
    value = collected + still_open
    if rule.provisions is not None:
        value = value - still_open * _provision(rule.provisions, t, as_of)
        if rule.late_settlement == "provisioned":
            late = (t.settled_date > t.due_date).fill_null(False).ifelse(collected, 0.0)
            value = value - late * _provision(rule.provisions, t, closed)
    profit = value - cost
    if rule.funding_rate:
        days_closed = _days(t.invoice_date, closed)
        days_open = _days(t.invoice_date, as_of)
        days = ((collected + lost) * days_closed + still_open * days_open) / amount
        profit = profit - cost * (rule.funding_rate / _DAYS_PER_YEAR) * days
    rows = t.mutate(period=_ordinal(t.invoice_date, period), cost_=cost, profit_=profit)
    cells = rows.group_by(["customer_id", "period"]).aggregate(
        cost=rows.cost_.sum(),
        profit=rows.profit_.sum(),
        invoices=rows.count(),
        amount=rows.amount.sum(),
        open=rows.open.sum(),
    )
    return _arrays(cells, ledger)


def _ordinal(date: Any, period: str) -> Any:
    """Return the number of a date's period, as pandas counts them."""
    each = _UNITS[period][1]
    years = (date.year() - _EPOCH) * each
    if each == 1:
        return years
    return years + (date.month() - 1 if each == 12 else date.quarter() - 1)


def _arrays(cells: Any, ledger: Ledger) -> _Cells:
    """Fetch the sums, and hold them against the ledger's control totals."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    table = arrow_of(cells)
    ledger.check(
        invoices=pc.sum(table["invoices"]).as_py(),
        amount=pc.sum(table["amount"]).as_py(),
        open=pc.sum(table["open"]).as_py(),
    )
    # Each customer's name stands on many rows, and is sorted once.
    coded = table["customer_id"].combine_chunks().dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names)
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    period = table["period"].to_numpy().astype(np.int64)
    ordinals = np.arange(period.min(), period.max() + 1)
    seen = np.bincount(period - ordinals[0], minlength=len(ordinals)) > 0
    place = (np.cumsum(seen) - 1)[period - ordinals[0]]
    floats = {
        name: table[name].cast("float64").to_numpy()
        for name in ("cost", "profit", "amount", "open")
    }
    return _Cells(
        customer=rank[coded.indices.to_numpy()],
        period=place,
        invoices=table["invoices"].to_numpy(),
        customers=names[order].tolist(),
        ordinals=ordinals[seen],
        **floats,
    )


def _markup(ledger: Ledger, rule: ReturnRule) -> Any:
    if not isinstance(rule.markup, str):
        return float(rule.markup)
    if rule.markup not in ledger.groups:
        raise ModelError(
            f"markup names the column {rule.markup!r}, which the ledger does not have; its further "
            f"columns are {listing(ledger.groups)}.{did_you_mean(rule.markup, ledger.groups)}"
        )
    column = _figures(ledger.invoices[rule.markup])
    usable = (column > 0) & (column < float("inf"))
    wrong = ledger.invoices.filter(~usable.fill_null(False))
    bad = int(arrow_of(wrong.aggregate(n=wrong.count()))["n"][0].as_py())
    if bad:
        raise DataError(
            f"{bad:,} invoices have no markup above 0 in column {rule.markup!r}; fill it for every "
            "invoice, or give ReturnRule one number",
            frame_of(wrong),
        )
    return column


def _figures(column: Any) -> Any:
    """Return a column as floats, NULL for text that is no number: some engines stop at such."""
    if not column.type().is_string():
        return column.cast("float64")
    text = column.strip()
    number = text.re_search(r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2})?$")
    return number.fill_null(False).ifelse(text, None).cast("float64")


def _provision(matrix: ProvisionMatrix, t: Any, until: Any) -> Any:
    """Rate of the bucket in which each invoice's age falls."""
    start = t.due_date if matrix.basis == "due" else t.invoice_date
    age = _days(start, until)
    rate = age * 0.0 + matrix.rates[-1]
    for day, bucket_rate in reversed(list(zip(matrix.days, matrix.rates[:-1], strict=True))):
        rate = (age <= day).ifelse(bucket_rate, rate)
    return rate


def _days(start: Any, until: Any) -> Any:
    """Whole days from one date column to another, or to a fixed date."""
    if isinstance(until, dt.date):
        # A date column minus a date is an interval of days; its negative is what we want.
        return -start.delta(until, unit="day").cast("float64")
    return until.delta(start, unit="day").cast("float64")


def _dropped(
    cells: _Cells,
    starts: pd.PeriodIndex,
    ripe: NDArray[np.bool_],
    maturity_days: int,
    as_of: dt.date,
) -> pd.DataFrame:
    if ripe.all():
        return _no_periods()
    n = len(starts)
    frame = pd.DataFrame(
        {
            "period": starts,
            "reason": [
                f"ended {end.date()}, less than {maturity_days} days before {as_of}"
                for end in starts.end_time.normalize()
            ],
            "invoices": np.bincount(cells.period, cells.invoices, minlength=n).astype(np.int64),
            "amount": np.bincount(cells.period, cells.amount, minlength=n),
        }
    )
    return frame[~ripe].reset_index(drop=True)


def _no_periods() -> pd.DataFrame:
    return pd.DataFrame({"period": [], "reason": [], "invoices": [], "amount": []})


def _notes(still_open: float, rule: ReturnRule, ledger: Ledger) -> tuple[str, ...]:
    if rule.provisions is None and still_open > 0:
        return (
            f"{still_open:,.2f} {ledger.currency}".strip()
            + " of the mature periods is still open and counts in full, since the return rule has "
            "no provision matrix",
        )
    return ()
