"""The return panel, and the ledger's way to it.

The engine that holds the ledger adds up each customer's cost and profit per period; only those
sums leave it. A cell is Σ profit / Σ cost, the cost-weighted mean of its invoices' returns.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.ledger.positions import arrow_of, frame_of
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.returns.increments import PanelHistory

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
    history : PanelHistory, optional
        What :meth:`updated` needs, where it was asked for.
    picked : bool
        Whether the periods were picked from a longer panel by a list of positions, as scikit-learn
        does.

    Examples
    --------
    >>> frame = pd.DataFrame({"A": [0.25, 0.20, None], "B": [0.1, 0.25, 0.25]},
    ...                      index=["2024Q1", "2024Q2", "2024Q3"])
    >>> panel = ReturnPanel.from_frame(frame, min_periods=3)
    >>> panel
    ReturnPanel(3 periods 2024Q1 to 2024Q3, 2 customers, 17 % of cells empty, 1 with too few)
    >>> list(panel.too_few)
    ['A']
    >>> panel[1:], len(panel)
    (ReturnPanel(2 periods 2024Q2 to 2024Q3, 2 customers, 25 % of cells empty, 2 with too few), 3)
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
    history: PanelHistory | None = None
    picked: bool = False

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
        updatable: bool = False,
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
        updatable : bool, default False
            Keep what :meth:`updated` needs, which costs one more pass over the ledger.

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
        n = len(cells.ordinals)
        frame = _frame(
            cells.ordinals,
            np.bincount(cells.period, cells.invoices, minlength=n).astype(np.int64),
            np.bincount(cells.period, cells.amount, minlength=n).astype(np.float64),
            period,
            maturity_days,
            ledger.as_of,
        )
        mature = frame.ripe[cells.period]
        row = frame.periods.get_indexer(_starts(cells.ordinals, period))[cells.period]
        place = (row[mature], cells.customer[mature])
        costs = np.zeros((len(frame.periods), len(cells.customers)))
        profits = np.zeros_like(costs)
        costs[place] = cells.cost[mature]
        profits[place] = cells.profit[mature]
        customers = pd.Index(cells.customers, name="customer_id", dtype="str")
        values = np.divide(profits, costs, out=np.full(costs.shape, np.nan), where=costs > 0)
        return cls(
            values=values,
            customers=customers,
            periods=frame.periods,
            costs=costs,
            min_periods=min_periods,
            convention=rule.describe(),
            dropped=frame.dropped,
            notes=_notes(float(cells.open[mature].sum()), rule, ledger),
            as_of=ledger.as_of,
            currency=ledger.currency,
            history=_history(ledger, rule, period, maturity_days, cells) if updatable else None,
        )

    def updated(self, ledger: Ledger) -> ReturnPanel:
        """Return the panel of the same book on a later day; only what changed is added up again.

        Cells are added up anew where an invoice is new or was settled since, where the period has
        become mature, and, if the rule charges funding or provisions, where money is still open:
        its age has changed. The others keep their figures bit for bit. A period whose past is no
        longer the same (an invoice booked late, mended or taken away) is added up as a whole. The
        result is what :meth:`from_ledger` gives, up to the order in which an engine adds floats.

        Parameters
        ----------
        ledger : Ledger
            Of the same book and currency, with an ``as_of`` that is not earlier.

        Raises
        ------
        ModelError
            When the panel was not made with ``updatable=True``, or the ledger is of an earlier day
            or in another currency.
        DataError
            As :meth:`from_ledger`.

        Examples
        --------
        >>> from credit_portfolio import ReturnRule, open_ledger
        >>> rows = pd.DataFrame({
        ...     "customer_id": ["A", "B", "A"], "invoice_id": ["1", "2", "3"],
        ...     "invoice_date": ["2024-01-10", "2024-01-20", "2024-02-10"],
        ...     "due_date": ["2024-02-10", "2024-02-20", "2024-03-10"],
        ...     "amount": ["100", "50", "80"],
        ...     "settled_date": ["2024-02-01", "2024-02-15", "2024-03-01"]})
        >>> book = open_ledger(rows, as_of="2024-03-31", decimal=".")
        >>> january = ReturnPanel.from_ledger(
        ...     book.on("2024-02-29"), ReturnRule(0.25), "month", maturity_days=20, updatable=True)
        >>> both = january.updated(book)
        >>> list(map(str, both.periods)), both.history.cells
        (['2024-01', '2024-02'], 1)
        """
        from credit_portfolio.returns.increments import updated

        return updated(self, ledger)

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

    @property
    def shape(self) -> tuple[int, int]:
        """(n_periods, n_customers), by which scikit-learn counts samples: they are periods."""
        return len(self.periods), len(self.customers)

    def __len__(self) -> int:
        return len(self.periods)

    def __getitem__(self, which: Any) -> ReturnPanel:
        """Return the panel of some periods, with all customers, whether they bought then or not.

        The returns stay as they were known on ``as_of``, which may be long after those periods:
        for what was known earlier, take a panel of ``ledger.on(day)``.

        Parameters
        ----------
        which : slice, positions, or mask, shape (n_periods,)
            Periods by position, in order of time.

        Raises
        ------
        TypeError
            For a single position, or anything that is not of these.
        ModelError
            For positions that do not increase.
        """
        if isinstance(which, tuple) and len(which) == 2 and which[1] is Ellipsis:
            which = which[0]  # scikit-learn asks for whole samples this way
        rows = self._rows(which)
        return replace(
            self,
            values=self.values[rows],
            costs=self.costs[rows],
            periods=self.periods[rows],
            history=None,
            picked=self.picked or not isinstance(which, slice),
        )

    def _rows(self, which: Any) -> NDArray[np.intp]:
        every = np.arange(len(self))
        if isinstance(which, slice):
            rows = every[which]
        else:
            asked = np.asarray(which, dtype=np.intp if np.size(which) == 0 else None)
            if asked.ndim != 1 or asked.dtype.kind not in "biu":
                raise TypeError(
                    f"the periods of a panel are picked by {which!r}; expected a slice, positions "
                    "or a mask, as panel[:8]"
                )
            rows = every[asked]
        if (np.diff(rows) <= 0).any():
            raise ModelError(
                f"periods {rows[:5].tolist()}… of the panel are not in order of time; give "
                "positions that increase, without shuffling"
            )
        return rows

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
    table = arrow_of(_sums(_rows(ledger, rule, period)))
    ledger.check(
        invoices=_total(table["invoices"]),
        amount=_total(table["amount"]),
        open=_total(table["open"]),
    )
    return _arrays(table)


def _rows(ledger: Ledger, rule: ReturnRule, period: str) -> Any:
    """Return the invoices with the number of their period, their cost and their profit."""
    t = ledger.invoices
    as_of = ledger.as_of
    markup = _markup(ledger, rule)
    amount, collected = t.amount.cast("float64"), t.collected.cast("float64")
    still_open = t.open.cast("float64")
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
        # What is no longer open was paid, lost, or kept back as a discount.
        days = ((amount - still_open) * days_closed + still_open * days_open) / amount
        profit = profit - cost * (rule.funding_rate / _DAYS_PER_YEAR) * days
    return t.mutate(period=_ordinal(t.invoice_date, period), cost_=cost, profit_=profit)


def _sums(rows: Any) -> Any:
    """Return what each cell comes to: one row per customer and period."""
    return rows.group_by(["customer_id", "period"]).aggregate(
        cost=rows.cost_.sum(),
        profit=rows.profit_.sum(),
        invoices=rows.count(),
        amount=rows.amount.sum(),
        open=rows.open.sum(),
    )


def _ordinal(date: Any, period: str) -> Any:
    """Return the number of a date's period, as pandas counts them."""
    each = _UNITS[period][1]
    years = (date.year() - _EPOCH) * each
    if each == 1:
        return years
    return years + (date.month() - 1 if each == 12 else date.quarter() - 1)


def _total(column: Any) -> Any:
    """Return the sum of a column of Arrow, exact for decimals."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    return pc.sum(column).as_py()


def _arrays(table: Any) -> _Cells:
    """Return the fetched sums as arrays."""
    if not table.num_rows:
        return _no_cells()
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


@dataclass(frozen=True, eq=False, slots=True)
class _Frame:
    """The periods of a panel, and those that are left out of it."""

    periods: pd.PeriodIndex
    ripe: NDArray[np.bool_]  # per period with invoices
    dropped: pd.DataFrame


def _frame(
    ordinals: NDArray[np.int64],
    invoices: NDArray[np.int64],
    amount: Matrix,
    period: str,
    maturity_days: int,
    as_of: dt.date,
) -> _Frame:
    """Tell mature periods from those to drop; from the first to the last, also without a sale."""
    starts = _starts(ordinals, period)
    cutoff = pd.Timestamp(as_of) - pd.Timedelta(days=maturity_days)
    ends = starts.end_time.normalize()
    ripe = np.asarray(ends <= cutoff)
    dropped = _no_periods()
    if not ripe.all():
        reasons = [
            f"ended {end.date()}, less than {maturity_days} days before {as_of}" for end in ends
        ]
        columns = {"period": starts, "reason": reasons, "invoices": invoices, "amount": amount}
        dropped = pd.DataFrame(columns)[~ripe].reset_index(drop=True)
    if not ripe.any():
        raise DataError(
            f"no {period} had ended {maturity_days} days before {as_of}; give a later "
            "as_of, a shorter period or fewer maturity_days",
            dropped,
        )
    first, last = starts[ripe].min(), starts[ripe].max()
    periods = pd.period_range(first, last, freq=_UNITS[period][0], name="period")
    return _Frame(periods, ripe, dropped)


def _starts(ordinals: NDArray[np.int64], period: str) -> pd.PeriodIndex:
    unit = _UNITS[period][0]
    return pd.PeriodIndex([pd.Period(ordinal=int(n), freq=unit) for n in ordinals])


def _no_cells() -> _Cells:
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    return _Cells(none, none, nothing, nothing, none, nothing, nothing, [], none)


def _history(
    ledger: Ledger, rule: ReturnRule, period: str, maturity_days: int, cells: _Cells
) -> PanelHistory:
    from credit_portfolio.returns.increments import PanelHistory, marks_of

    marks = marks_of(ledger.invoices, rule, period)
    invoices = int(cells.invoices.sum())
    return PanelHistory(rule, period, maturity_days, marks, len(cells.customer), invoices)


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
