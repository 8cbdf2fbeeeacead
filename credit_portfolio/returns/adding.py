"""Add the invoices of the embedded engine to their cells, as they stream by.

The engine works in this process, where a batch of rows is a view of its memory; and a panel has a
place for every customer and period anyway. So each row is added straight to its place, which takes
a third of the time of grouping millions of cells by hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.errors import DataError
from credit_portfolio.ledger.arrays import day_number, days, exact_sum, in_money, money, parts_on
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.schema import DATES, MONEY
from credit_portfolio.returns.periods import ordinals_of
from credit_portfolio.returns.rows import figures, funding_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.ledger.positions import Embedded
    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.returns.rule import ReturnRule

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Keys = NDArray[np.uint64]

_MARKUP = "markup"  # of the invoice, where a column holds it


@dataclass(eq=False, slots=True)
class Added:
    """What rows come to; money in its smallest units.

    Attributes
    ----------
    customers : list of str
        Of all columns, sorted.
    first : int
        Number of the first period.
    cost, profit : ndarray, shape (n_periods, n_customers)
    invoices, amount, open : ndarray, shape (n_periods,)
    exact : dict
        The sums of all periods, as whole numbers.
    """

    customers: list[str]
    first: int
    cost: Vector
    profit: Vector
    invoices: Whole
    amount: Vector
    open: Vector
    exact: dict[str, int] = field(default_factory=lambda: {"amount": 0, "open": 0})

    def totals(self) -> dict[str, Any]:
        """Return invoices, amount and open of all, exact."""
        money = {name: in_money(units) for name, units in self.exact.items()}
        return money | {"invoices": int(self.invoices.sum())}


def added_up(ledger: Ledger, embedded: Embedded, rule: ReturnRule, period: str) -> Added | None:
    """Add the invoices of a ledger to the cells of a panel.

    Parameters
    ----------
    ledger : Ledger
    embedded : Embedded
        What its engine hands over.
    rule : ReturnRule
        Its markup has been looked at before.
    period : {"month", "quarter", "year"}

    Returns
    -------
    Added, or None
        None where there is no invoice, or two customers have one hash, which happens to one book
        of a million customers in forty million.

    Raises
    ------
    DataError
        When the source has changed since the ledger was opened.
    """
    from credit_portfolio.ledger.engines import batches  # a panel made of a frame needs no engine

    t = ledger.invoices
    span = frame_of(t.aggregate(first=t.invoice_date.min(), last=t.invoice_date.max())).iloc[0]
    if ledger.n_invoices == 0 or span["first"] is None:
        return None
    customers, keys = _customers(embedded)
    places = places_of(keys)
    if places is None:
        return None
    first_day = day_number(span["first"])
    ordinals = ordinals_of(first_day, day_number(span["last"]), period)
    m, n = int(ordinals[-1] - ordinals[0]) + 1, len(customers)
    cost, profit = np.zeros((2, m, n))
    added = Added(
        customers, int(ordinals[0]), cost, profit, np.zeros(m, np.int64), *np.zeros((2, m))
    )
    periods = ordinals - ordinals[0]
    for batch in batches(_asked(ledger, embedded, rule), hashed=("customer_id",)):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        customer = places.of(columns["customer_id"].to_numpy())
        day = days(columns["invoice_date"]) - first_day
        blank = _MARKUP in columns and columns[_MARKUP].null_count
        if customer is None or blank or not _within(day, len(periods)):
            raise DataError(
                f"{ledger.quality.source} has changed since the ledger was opened: it has other "
                "customers, dates or markups; expected rows that stay: open the ledger again"
            )
        _add(added, columns, customer, periods.take(day), rule, day_number(ledger.as_of))
    return added


def _within(day: Any, n: int) -> bool:
    return bool(len(day) == 0 or (day.min() >= 0 and day.max() < n))


def _customers(embedded: Embedded) -> tuple[list[str], Keys]:
    """Return the customers in their order, and the number that the engine makes of each id."""
    from credit_portfolio.ledger.engines import batches

    customers = embedded.customers
    ordered = customers.order_by("code").select("customer_id", key=customers.customer_id)
    parts = list(batches(ordered, hashed=("key",)))
    names = [name for part in parts for name in part.column(0).to_pylist()]
    return names, np.concatenate([part.column(1).to_numpy() for part in parts])


def _asked(ledger: Ledger, embedded: Embedded, rule: ReturnRule) -> Any:
    """Return the columns of rows that a return is made of, up to the day."""
    t = embedded.rows.filter(embedded.rows.invoice_date <= ledger.as_of)
    names = ["customer_id", *DATES, *MONEY]
    if rule.provisions is None:
        names.remove("due_date")
    if isinstance(rule.markup, str):
        return t.select(*names, **{_MARKUP: figures(t[rule.markup])})
    return t.select(*names)


# --- customers to columns -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Places:
    """Where each key stands in a list; keys are well mixed, so their first bits nearly tell.

    Attributes
    ----------
    keys : ndarray of uint64, sorted
    place : ndarray of int
        Of each sorted key in the list.
    start : ndarray of int32
        The first sorted key from each beginning of ``bits`` bits on.
    shift : uint64
        64 − bits.
    longest : int
        The most keys that begin alike.
    """

    keys: Keys
    place: Whole
    start: NDArray[np.int32]
    shift: np.uint64
    longest: int

    def of(self, keys: Keys) -> Whole | None:
        """Return the place of each key, or None when one is not in the list."""
        at = self.start.take((keys >> self.shift).view(np.int64))
        wrong = np.flatnonzero(self.keys.take(at, mode="clip") != keys)
        for _ in range(1, self.longest):
            at[wrong] += 1
            wrong = wrong[self.keys.take(at[wrong], mode="clip") != keys[wrong]]
        return None if len(wrong) else self.place.take(at)


# With eight beginnings a key, one key in sixteen does not stand first of those that begin alike.
_SPARE_BITS = 3


def places_of(keys: Keys) -> Places | None:
    """Return where each key stands; None when two are the same.

    >>> places = places_of(np.array([2**63, 5, 2**62], dtype=np.uint64))
    >>> places.of(np.array([5, 2**62], dtype=np.uint64))
    array([1, 2])
    """
    order = np.argsort(keys)
    sorted_ = keys[order]
    if (sorted_[1:] == sorted_[:-1]).any():
        return None
    bits = len(keys).bit_length() + _SPARE_BITS
    shift = np.uint64(64 - bits)
    held = np.bincount((sorted_ >> shift).view(np.int64), minlength=2**bits)
    start = (np.cumsum(held) - held).astype(np.int32)
    return Places(sorted_, order, start, shift, max(int(held.max()), 1))


# --- one batch ----------------------------------------------------------------------------------


def _add(
    added: Added,
    columns: dict[str, Any],
    customer: Whole,
    period: Whole,
    rule: ReturnRule,
    as_of: int,
) -> None:
    """Add the rows of a batch to their places."""
    settled = days(columns["settled_date"])
    figures = [money(columns[name]) for name in MONEY]
    amount, collected, lost = (figure.units for figure in figures)
    collected, lost = parts_on(as_of, settled, collected, lost)
    still_open = amount - collected - lost
    largest = figures[0].most
    m, n = added.cost.shape
    added.invoices += np.bincount(period, minlength=m)
    added.amount += np.bincount(period, amount, minlength=m)
    few = np.flatnonzero(still_open)
    added.open += np.bincount(period[few], still_open[few], minlength=m)
    added.exact["amount"] += exact_sum(amount, largest)
    added.exact["open"] += exact_sum(still_open[few], largest)
    markup: Any = columns[_MARKUP].to_numpy() if _MARKUP in columns else rule.markup
    cost = amount / (markup + 1.0)
    profit = _profit(columns, settled, (amount, collected, still_open), cost, markup, rule, as_of)
    cell = period * n + customer
    np.add.at(added.cost.reshape(-1), cell, cost)
    np.add.at(added.profit.reshape(-1), cell, profit)


def _profit(
    columns: dict[str, Any],
    settled: NDArray[np.int32],
    money: Sequence[Whole],
    cost: Vector,
    markup: Any,
    rule: ReturnRule,
    as_of: int,
) -> Vector:
    """Return the profit of each row, from the same parts as ``rows_of`` takes in an engine."""
    amount, collected, still_open = (part.astype(np.float64) for part in money)
    invoiced = days(columns["invoice_date"])
    closed = np.minimum(settled, as_of)
    value = collected + still_open
    if rule.provisions is not None:
        due = days(columns["due_date"])
        start = due if rule.provisions.basis == "due" else invoiced
        value -= still_open * rule.provisions.rate(as_of - start)
        if rule.late_settlement == "provisioned":
            late = (settled > due) & (settled <= as_of)
            value -= np.where(late, collected, 0.0) * rule.provisions.rate(closed - start)
    charge = 0.0
    if rule.funding_rate:
        days_of_money = (amount - still_open) * (closed - invoiced)
        days_of_money += still_open * (as_of - invoiced)
        charge = days_of_money * funding_of(rule, markup)
    profit: Vector = value - cost - charge
    return profit
