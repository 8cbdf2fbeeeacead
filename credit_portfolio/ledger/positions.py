"""The ledger as it stood on one day: what was collected, what was lost, what is still open.

Nothing dated after that day is used. All sums run in the engine, on exact decimals.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.ledger.quality import MONEY_DIGITS, MONEY_PLACES, LedgerQuality, money_text
from credit_portfolio.ledger.schema import INVOICE_COLUMNS

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Table

MONEY_TYPE = f"decimal({MONEY_DIGITS}, {MONEY_PLACES})"
TOTALS = ("amount", "collected", "written_off", "open")
DAY_FINDING = "settled_after_as_of"
BASES = {"due": "due_date", "invoice": "invoice_date"}


def positions_on(accepted: Table, as_of: datetime.date, groups: Sequence[str]) -> Table:
    """Return the invoices of accepted rows as they were known on a day.

    A settlement after the day is not known yet, nor is the write-off that came with it. A
    write-off without a settled date is taken as known: losses are not put off.

    Parameters
    ----------
    accepted : table expression
        Columns customer_id, invoice_id, invoice_date, due_date, amount, settled_date,
        settled_amount (filled), written_off_amount (filled), disputed, and the groups.
    as_of : datetime.date
        The day; invoices dated after it are left out.
    groups : sequence of str
        Grouping columns to keep.
    """
    from credit_portfolio.ledger.engines import fence

    t = with_parts(accepted.filter(accepted.invoice_date <= as_of), as_of)
    known = (t.settled_date <= as_of).fill_null(False)
    t = t.mutate(settled_date=known.ifelse(t.settled_date, None))
    return fence(t.select(*INVOICE_COLUMNS, *groups))


def with_parts(t: Table, as_of: datetime.date) -> Table:
    """Return rows with what of each amount was collected, written off and open on a day."""
    from credit_portfolio.ledger.engines import fence

    known = (t.settled_date <= as_of).fill_null(False)
    collected = known.ifelse(t.settled_amount, 0).cast(MONEY_TYPE)
    lost = (known | t.settled_date.isnull()).ifelse(t.written_off_amount, 0).cast(MONEY_TYPE)
    left = (t.amount - collected - lost).cast(MONEY_TYPE)
    return fence(t.mutate(collected=collected, written_off=lost, open=left))


def day_expressions(t: Table, as_of: datetime.date) -> dict[str, Any]:
    """Return the counts and sums of rows :func:`with_parts` of a day, as aggregates.

    What follows from them is worked out by ``day_numbers`` of ``record.py``: an engine takes as
    long for each as for reading a column.
    """
    seen = t.invoice_date <= as_of
    later = seen & (t.settled_date > as_of).fill_null(False)
    sums: dict[str, Any] = {
        "rows": t.count(),
        "rows_money": t.amount.sum(),
        "invoices": seen.sum(),
        "settled_after": later.sum(),
        "settled_after_money": t.amount.sum(where=later),
        "still_open": (seen & (t.open > 0)).sum(),
        "amount_money": t.amount.sum(where=seen),
    }
    for name in ("collected", "written_off"):
        sums[f"{name}_count"] = (seen & (t[name] > 0)).sum()
        sums[f"{name}_money"] = t[name].sum(where=seen)
    return sums


def count_customers(t: Table, as_of: datetime.date) -> int:
    """Count the customers with an invoice on or before a day."""
    # Engines count what is distinct in a table faster than in an aggregate.
    distinct = t.filter(t.invoice_date <= as_of).select("customer_id").distinct()
    return int(frame_of(distinct.aggregate(n=distinct.count()))["n"].iloc[0])


def frame_of(table: Table) -> pd.DataFrame:
    """Return a computed table: money as Decimal, dates as objects, text as text.

    By way of Arrow, since the direct way of Ibis 12.0 asks pandas for an option that pandas 3 has
    deprecated, with a warning each time.
    """
    frame: pd.DataFrame = arrow_of(table).to_pandas()
    return frame


def total_of(money: pd.Series) -> Decimal:
    """Return the exact sum of a column of Decimals; the sum over no rows is 0."""
    return sum(money, Decimal(0))


def exact_total(column: Any) -> Any:
    """Return the sum of a column of Arrow, exact for decimals; the sum over no rows is 0."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    total = pc.sum(column).as_py()
    return Decimal(0) if total is None else total


def arrow_of(table: Table) -> Any:
    """Return a computed table of PyArrow; an engine's complaints become errors of our own."""
    from credit_portfolio.ledger.engines import computing, refuse_changed

    refuse_changed(table._find_backend())
    with computing(), warnings.catch_warnings():
        # Spark 4.0 hands over in a way that pandas has since deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return table.to_pyarrow()


@dataclass(frozen=True, eq=False, slots=True)
class Embedded:
    """What the embedded engine hands over quickest, row by row.

    Attributes
    ----------
    customers : table expression of Ibis
        customer_id and code, 0, 1, … in the order of the ids, of all accepted rows.
    rows : table expression of Ibis
        The accepted rows of all days: customer_id, invoice_date, due_date, settled_date, amount,
        settled_amount, written_off_amount and the grouping columns. Money may be blank, which is
        nothing, and is in exact decimals of at most 18 digits, or in binary floats that are to be
        rounded: ``arrays.money`` reads it.
    first, last : datetime.date
        Of all accepted rows, the first and the last invoice date; the last is None where rows are
        dated ahead, since the record tells no day after today.
    """

    customers: Table
    rows: Table
    first: datetime.date
    last: datetime.date | None


@dataclass(frozen=True, eq=False, slots=True)
class Ledger:
    """Invoices as known on one day; :func:`credit_portfolio.open_ledger` makes one.

    Parameters
    ----------
    invoices : table expression of Ibis
        One row an invoice dated on or before ``as_of``: customer_id, invoice_id, invoice_date,
        due_date, amount, collected, written_off, open (amount less the two), settled_date (NULL
        while unknown on ``as_of``), disputed, then the grouping columns.
    as_of : datetime.date
        The day of the picture.
    currency : str
        Of all money here; empty when the source does not say.
    quality : LedgerQuality
        What was read, rejected and repaired.
    groups : tuple of str
        Names of the grouping columns.
    n_invoices, n_open, n_customers : int
        Invoices, those with money open, and customers with an invoice.
    accepted : table expression of Ibis
        The accepted rows of all days, from which any day's picture is made: see :meth:`on`.
    embedded : Embedded, optional
        Where the embedded engine holds the rows: what it hands over quickest.
    """

    invoices: Table
    as_of: datetime.date
    currency: str
    quality: LedgerQuality
    groups: tuple[str, ...]
    n_invoices: int
    n_open: int
    n_customers: int
    accepted: Table
    embedded: Embedded | None = None

    def on(self, day: str | datetime.date | pd.Timestamp) -> Ledger:
        """Return the same ledger as it stood on another day.

        The source is neither read nor judged again: what was known on a day is worked out from the
        accepted rows. The result is what :func:`credit_portfolio.open_ledger` gives with that
        ``as_of``.

        Parameters
        ----------
        day : str, date or Timestamp
            ``YYYY-MM-DD`` in text.

        Raises
        ------
        DataError
            When the day is before the first invoice.
        ModelError
            For text that is no day.
        """
        from credit_portfolio.ledger.record import (
            control_totals,
            day_sums,
            findings_on,
            refuse_before,
        )
        from credit_portfolio.ledger.source import day_of

        as_of = day_of(day)
        known = day_sums(self.accepted, as_of)
        if not known["invoices"]:
            first = frame_of(self.accepted.aggregate(first=self.accepted.invoice_date.min()))
            refuse_before(as_of, first["first"].iloc[0], self.quality.source)
        quality = replace(
            self.quality,
            rows_after_as_of=known["after"],
            amount_after_as_of=known["after_money"],
            findings=findings_on(self.quality.findings, known),
            control_totals=control_totals(known),
            as_of=as_of,
        )
        return replace(
            self,
            invoices=positions_on(self.accepted, as_of, self.groups),
            as_of=as_of,
            quality=quality,
            n_invoices=known["invoices"],
            n_open=known["still_open"],
            n_customers=count_customers(self.accepted, as_of),
        )

    def check(self, *, invoices: int | None = None, **money: Decimal) -> None:
        """Hold figures that an engine gave against the control totals of the opening.

        Where rows stay in a database or in files, somebody may change them between two questions.
        Figures that no longer add up to what was accepted are refused, not mixed.

        Parameters
        ----------
        invoices : int, optional
            How many invoices the figures are about.
        **money : Decimal
            Sums of amount, collected, written_off or open.

        Raises
        ------
        DataError
            When one of them differs.
        """
        if self.quality.as_of != self.as_of:
            return  # a picture of another day than the totals are of
        totals = self.quality.control_totals["money"]
        found: dict[str, Any] = {name: (sum_, totals[name]) for name, sum_ in money.items()}
        if invoices is not None:
            found["invoices"] = (invoices, self.n_invoices)
        for name, (now, then) in found.items():
            if now != then:
                raise DataError(
                    f"{self.quality.source} has changed since the ledger was opened: {name} now "
                    f"{now:,}, then {then:,}; expected rows that stay: open the ledger again"
                )

    def exposure(self) -> pd.Series:
        """Return the open money of each customer, as float64.

        Returns
        -------
        pandas.Series
            Index ``customer_id``, sorted; 0 for customers who owe nothing on ``as_of``.
        """
        t = self.invoices
        sums = arrow_of(t.group_by("customer_id").aggregate(exposure=t.open.sum()))
        self.check(open=exact_total(sums["exposure"]))
        # By way of Python's decimals: Arrow's own floats may be off in the last digit.
        exposure = sums["exposure"].to_pandas().astype("float64").to_numpy()
        names = pd.Index(sums["customer_id"].to_pandas(), dtype="str", name="customer_id")
        ordered: pd.Series = pd.Series(exposure, names, name="exposure").sort_index()
        return ordered

    def ageing(
        self,
        by: str | None = "customer_id",
        basis: str = "due",
        edges: Sequence[int] = (30, 60, 90),
        *,
        exact: bool = False,
    ) -> pd.DataFrame:
        """Return the open money by age; the buckets add up to the outstanding.

        Parameters
        ----------
        by : str, optional
            ``customer_id``, ``disputed`` or a grouping column; None for one row of totals. A
            blank in a text column is a row of its own, under the empty name.
        basis : str
            ``due`` counts days past due, with what is not yet due in ``not_due``; ``invoice``
            counts days since the invoice.
        edges : sequence of int
            Last day of each bucket but the open one at the end.
        exact : bool
            Decimals instead of float64: then the sums agree to the last digit.

        Returns
        -------
        pandas.DataFrame
            Columns ``not_due`` (for ``basis="due"``), ``1-30`` (``0-30`` for ``"invoice"``),
            …, ``over 90`` and ``total``; one row a value of ``by``, sorted.

        Raises
        ------
        ModelError
            For an unknown column or basis, or edges that do not increase from 1.
        """
        self._check_ageing(by, basis, edges)
        t = self.invoices
        columns = {
            name: t.open.sum(where=condition).fill_null(0)
            for name, condition in self._buckets(basis, edges).items()
        }
        columns["total"] = t.open.sum()
        # Positions, not names: a customer's column may be called as a bucket is.
        sums = {f"b{index}": column for index, column in enumerate(columns.values())}
        if by is None:
            frame = frame_of(t.aggregate(**sums))
            frame.index = pd.Index(["total"])
        else:
            key = t[by].fill_null("") if t[by].type().is_string() else t[by]
            frame = frame_of(t.group_by(key=key).aggregate(**sums))
            frame = frame.set_index("key").sort_index().rename_axis(by)
        frame.columns = pd.Index(list(columns))
        self.check(open=total_of(frame["total"]))
        result: pd.DataFrame = frame if exact else frame.astype("float64")
        return result

    def _check_ageing(self, by: str | None, basis: str, edges: Sequence[int]) -> None:
        allowed = ("customer_id", "disputed", *self.groups)
        if by is not None and by not in allowed:
            raise ModelError(
                f"ageing by {by!r}; expected None or one of {listing(allowed, 20)}."
                f"{did_you_mean(str(by), allowed)}"
            )
        if basis not in BASES:
            raise ModelError(
                f"ageing from basis {basis!r}; expected 'due' (days past due) or 'invoice' (days "
                f"since the invoice).{did_you_mean(str(basis), BASES)}"
            )
        days: list[Any] = list(edges)
        whole = all(isinstance(day, int) and not isinstance(day, bool) for day in days)
        rising = all(a < b for a, b in zip([0, *days], days, strict=False))
        if not (days and whole and rising):
            raise ModelError(
                f"ageing edges {days}; expected whole days that increase from 1 on, such as "
                "(30, 60, 90)"
            )

    def _buckets(self, basis: str, edges: Sequence[int]) -> dict[str, Any]:
        """Return the condition of each bucket; every invoice is in exactly one."""
        date = self.invoices[BASES[basis]]
        first = 1 if basis == "due" else 0
        buckets: dict[str, Any] = {}
        # Days from 'date' to as_of are at most k exactly when date >= as_of - k days.
        upper: datetime.date | None = None
        if basis == "due":
            buckets["not_due"] = date >= self.as_of
            upper = self.as_of
        for edge in edges:
            lower = _days_before(self.as_of, edge)
            inside = date >= lower
            buckets[f"{first}-{edge}"] = inside if upper is None else inside & (date < upper)
            first, upper = edge + 1, lower
        buckets[f"over {edges[-1]}"] = date < upper
        return buckets

    def to_frame(self) -> pd.DataFrame:
        """Return the invoices as pandas, sorted by customer, date and invoice.

        Dates are ``datetime64``, money stays Decimal. For small books: a row takes about a
        kilobyte.
        """
        ordered = self.invoices.order_by("customer_id", "invoice_date", "invoice_id")
        frame = frame_of(ordered)
        for name in ("invoice_date", "due_date", "settled_date"):
            frame[name] = pd.to_datetime(frame[name])
        return frame

    def __repr__(self) -> str:
        """Return three lines: what, when, how much."""
        totals = self.quality.control_totals["money"]
        unit = f" {self.currency}" if self.currency else ""
        return (
            f"Ledger as of {self.as_of}: {self.n_invoices:,} invoices of {self.n_customers:,} "
            f"customers, {self.n_open:,} open\n"
            f"amount {money_text(totals['amount'])}{unit}, collected "
            f"{money_text(totals['collected'])}, written off {money_text(totals['written_off'])}, "
            f"open {money_text(totals['open'])}\n"
            f"{self.quality.rows_rejected:,} of {self.quality.rows_read:,} {self.quality.counted} "
            "rejected: see .quality"
        )


def _days_before(day: datetime.date, days: int) -> datetime.date:
    """Return an earlier day, no earlier than the calendar begins."""
    return datetime.date.fromordinal(max(day.toordinal() - days, 1))
