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
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.ledger.source import Ledger

    Matrix = NDArray[np.float64]

_UNITS = {"month": ("M", "M"), "quarter": ("Q", "Q"), "year": ("Y", "Y")}
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
        cells = _cells(ledger, rule, _UNITS[period][0])
        starts = pd.PeriodIndex(pd.to_datetime(cells["period"]), freq=_UNITS[period][1])
        cutoff = pd.Timestamp(ledger.as_of) - pd.Timedelta(days=maturity_days)
        mature = starts.end_time.normalize() <= cutoff
        dropped = _dropped(cells[~mature], starts[~mature], maturity_days, ledger.as_of)
        if not mature.any():
            raise DataError(
                f"no {period} had ended {maturity_days} days before {ledger.as_of}; give a later "
                "as_of, a shorter period or fewer maturity_days",
                dropped,
            )
        customers = pd.Index(sorted(cells["customer_id"].unique()), name="customer_id", dtype="str")
        kept, at = cells[mature], starts[mature]
        periods = pd.period_range(at.min(), at.max(), freq=_UNITS[period][1], name="period")
        place = (periods.get_indexer(at), customers.get_indexer(kept["customer_id"]))
        costs = np.zeros((len(periods), len(customers)))
        profits = np.zeros_like(costs)
        costs[place] = kept["cost"].to_numpy(dtype=np.float64)
        profits[place] = kept["profit"].to_numpy(dtype=np.float64)
        values = np.divide(profits, costs, out=np.full(costs.shape, np.nan), where=costs > 0)
        return cls(
            values=values,
            customers=customers,
            periods=periods,
            costs=costs,
            min_periods=min_periods,
            convention=rule.describe(),
            dropped=dropped,
            notes=_notes(kept, rule, ledger),
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


def _cells(ledger: Ledger, rule: ReturnRule, unit: str) -> pd.DataFrame:
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
    rows = t.mutate(period=t.invoice_date.truncate(unit), cost_=cost, profit_=profit)
    cells = rows.group_by(["customer_id", "period"]).aggregate(
        cost=rows.cost_.sum(),
        profit=rows.profit_.sum(),
        invoices=rows.count(),
        amount=rows.amount.sum().cast("float64"),
        open=rows.open.sum().cast("float64"),
    )
    frame: pd.DataFrame = cells.to_pyarrow().to_pandas()
    return frame


def _markup(ledger: Ledger, rule: ReturnRule) -> Any:
    if not isinstance(rule.markup, str):
        return float(rule.markup)
    if rule.markup not in ledger.groups:
        raise ModelError(
            f"markup names the column {rule.markup!r}, which the ledger does not have; its further "
            f"columns are {listing(ledger.groups)}.{did_you_mean(rule.markup, ledger.groups)}"
        )
    column = ledger.invoices[rule.markup].try_cast("float64")
    usable = (column > 0) & (column < float("inf"))
    wrong = ledger.invoices.filter(~usable.fill_null(False))
    bad = int(wrong.count().to_pyarrow().as_py())
    if bad:
        raise DataError(
            f"{bad:,} invoices have no markup above 0 in column {rule.markup!r}; fill it for every "
            "invoice, or give ReturnRule one number",
            wrong.to_pyarrow().to_pandas(),
        )
    return column


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
    cells: pd.DataFrame, periods: pd.PeriodIndex, maturity_days: int, as_of: dt.date
) -> pd.DataFrame:
    if cells.empty:
        return _no_periods()
    by_period = cells.groupby(periods)[["invoices", "amount"]].sum()
    ends = pd.PeriodIndex(by_period.index).end_time.normalize()
    reason = [f"ended {end.date()}, less than {maturity_days} days before {as_of}" for end in ends]
    frame = by_period.rename_axis("period").reset_index()
    frame.insert(1, "reason", reason)
    return frame


def _no_periods() -> pd.DataFrame:
    return pd.DataFrame({"period": [], "reason": [], "invoices": [], "amount": []})


def _notes(kept: pd.DataFrame, rule: ReturnRule, ledger: Ledger) -> tuple[str, ...]:
    still_open = float(kept["open"].sum())
    if rule.provisions is None and still_open > 0:
        return (
            f"{still_open:,.2f} {ledger.currency}".strip()
            + " of the mature periods is still open and counts in full, since the return rule has "
            "no provision matrix",
        )
    return ()
