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
from credit_portfolio.returns.cells import Sheet, sheet_of
from credit_portfolio.returns.periods import (
    UNITS,
    frame_of_periods,
    no_periods,
    notes_on_gaps,
    notes_on_open,
    starts_of,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.returns.increments import PanelHistory
    from credit_portfolio.returns.rule import ReturnRule

    Matrix = NDArray[np.float64]


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
        if self.costs.size and not 0 <= self.costs.min() <= self.costs.max() < np.inf:
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
            dropped=no_periods(),
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
        if period not in UNITS:
            raise ModelError(
                f"period is {period!r}; expected 'month', 'quarter' or 'year'."
                f"{did_you_mean(period, UNITS)}"
            )
        if maturity_days < 0:
            raise ModelError(f"maturity_days is {maturity_days}; expected 0 or more")
        sheet = sheet_of(ledger, rule, period)
        frame = frame_of_periods(
            sheet.ordinals,
            sheet.invoices,
            sheet.amount,
            period,
            maturity_days,
            ledger.as_of,
        )
        costs, values = sheet.cost, sheet.profit  # in their place: a large panel is not copied
        if not len(frame.ripe) == frame.ripe.sum() == len(frame.periods):
            rows = frame.periods.get_indexer(starts_of(sheet.ordinals[frame.ripe], period))
            costs, values = np.zeros((2, len(frame.periods), len(sheet.customers)))
            costs[rows], values[rows] = sheet.cost[frame.ripe], sheet.profit[frame.ripe]
        with np.errstate(divide="ignore", invalid="ignore"):  # where= would take twice as long
            np.divide(values, costs, out=values)
        np.copyto(values, np.nan, where=costs == 0)
        return cls(
            values=values,
            customers=pd.Index(sheet.customers, name="customer_id", dtype="str"),
            periods=frame.periods,
            costs=costs,
            min_periods=min_periods,
            convention=rule.describe(),
            dropped=frame.dropped,
            notes=(
                *notes_on_gaps(
                    frame.periods, sheet.ordinals[frame.ripe], sheet.invoices[frame.ripe]
                ),
                *notes_on_open(float(sheet.open[frame.ripe].sum()), rule, ledger),
            ),
            as_of=ledger.as_of,
            currency=ledger.currency,
            history=_history(ledger, rule, period, maturity_days, sheet) if updatable else None,
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


def _history(
    ledger: Ledger, rule: ReturnRule, period: str, maturity_days: int, sheet: Sheet
) -> PanelHistory:
    from credit_portfolio.returns.increments import PanelHistory, marks_of

    marks = marks_of(ledger.invoices, rule, period)
    cells, invoices = int(np.count_nonzero(sheet.cost)), int(sheet.invoices.sum())
    return PanelHistory(rule, period, maturity_days, marks, cells, invoices)
