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
from credit_portfolio.ledger.arrays import day_number, days, exact_sum, in_money, parts_on, units
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.schema import DATES, MONEY
from credit_portfolio.returns.periods import ordinals_of
from credit_portfolio.returns.rows import figures, funding_of

if TYPE_CHECKING:
    import datetime
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

    if ledger.n_invoices == 0:
        return None
    customers, keys = _customers(embedded)
    places = places_of(keys)
    if places is None:
        return None
    first_day, as_of = day_number(embedded.first), day_number(ledger.as_of)
    ordinals = ordinals_of(first_day, min(as_of, day_number(_last(ledger, embedded))), period)
    m, n = int(ordinals[-1] - ordinals[0]) + 1, len(customers)
    cost, profit = np.zeros((2, m, n))
    added = Added(
        customers, int(ordinals[0]), cost, profit, np.zeros(m, np.int64), *np.zeros((2, m))
    )
    periods = ordinals - ordinals[0]
    for batch in batches(_asked(ledger, embedded, rule)):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        customer = places.of(columns["key"].to_numpy())
        fell = _periods_of(days(columns["invoice_date"]) - np.int32(first_day), periods)
        blank = _MARKUP in columns and columns[_MARKUP].null_count
        if customer is None or fell is None or blank:
            raise DataError(
                f"{ledger.quality.source} has changed since the ledger was opened: it has other "
                "customers, dates or markups; expected rows that stay: open the ledger again"
            )
        _add(added, columns, customer, fell, rule, as_of)
    return added


def _last(ledger: Ledger, embedded: Embedded) -> datetime.date:
    """Return a day after which there is no invoice up to the day of the ledger."""
    if embedded.last is not None:
        return embedded.last
    t = ledger.invoices
    found: datetime.date = frame_of(t.aggregate(last=t.invoice_date.max()))["last"].iloc[0]
    return found


def _periods_of(day: NDArray[np.int32], periods: Whole) -> Whole | int | None:
    """Return the period of each day, or that of all; None when a day lies outside.

    >>> _periods_of(np.array([0, 3]), np.array([0, 0, 1, 1])), _periods_of(
    ...     np.array([3, 2]), np.array([0, 0, 1, 1]))
    (array([0, 1]), 1)
    """
    first, last = int(day.min()), int(day.max())
    if first < 0 or last >= len(periods):
        return None
    if periods[first] == periods[last]:  # as in a file of one month
        return int(periods[first])
    return periods.take(day)


def _customers(embedded: Embedded) -> tuple[list[str], Keys]:
    """Return the customers in their order, and the number that the engine makes of each id."""
    from credit_portfolio.ledger.engines import batches, hash_of

    ordered = embedded.customers.order_by("code")
    parts = list(batches(ordered.select("customer_id", key=hash_of(ordered.customer_id))))
    names = [name for part in parts for name in part.column(0).to_pylist()]
    return names, np.concatenate([part.column(1).to_numpy() for part in parts])


def _asked(ledger: Ledger, embedded: Embedded, rule: ReturnRule) -> Any:
    """Return the columns of rows that a return is made of, up to the day."""
    from credit_portfolio.ledger.engines import hash_of

    t = embedded.rows.filter(embedded.rows.invoice_date <= ledger.as_of)
    asked = {"key": hash_of(t.customer_id)} | {name: t[name] for name in (*DATES, *MONEY)}
    if rule.provisions is None:
        del asked["due_date"]
    if isinstance(rule.markup, str):
        asked[_MARKUP] = figures(t[rule.markup])
    return t.select(**asked)


# --- customers to columns -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Places:
    """Where each key stands in a list; keys are well mixed, so their first bits nearly tell.

    Attributes
    ----------
    keys : ndarray of uint64, sorted
    place : ndarray of int32
        Of each sorted key in the list.
    start : ndarray of int32
        The first sorted key from each beginning of ``bits`` bits on.
    shift : uint64
        64 − bits.
    longest : int
        The most keys that begin alike.
    """

    keys: Keys
    place: NDArray[np.int32]
    start: NDArray[np.int32]
    shift: np.uint64
    longest: int

    def of(self, keys: Keys) -> NDArray[np.int32] | None:
        """Return the place of each key, or None when one is not in the list."""
        at = self.start.take((keys >> self.shift).view(np.int64))
        wrong = np.flatnonzero(self.keys.take(at, mode="clip") != keys)
        for _ in range(1, self.longest):
            following = at.take(wrong) + np.int32(1)
            at[wrong] = following
            wrong = wrong[self.keys.take(following, mode="clip") != keys.take(wrong)]
        return None if len(wrong) else self.place.take(at)


# With two beginnings a key, one key in five does not stand first of those that begin alike, and
# the list of them is still short enough for the cache of a core.
_SPARE_BITS = 1


def places_of(keys: Keys) -> Places | None:
    """Return where each key stands; None when two are the same.

    >>> places = places_of(np.array([2**63, 5, 2**62], dtype=np.uint64))
    >>> places.of(np.array([5, 2**62], dtype=np.uint64))
    array([1, 2], dtype=int32)
    """
    order = np.argsort(keys)
    sorted_ = keys[order]
    if (sorted_[1:] == sorted_[:-1]).any():
        return None
    bits = len(keys).bit_length() + _SPARE_BITS
    shift = np.uint64(64 - bits)
    held = np.bincount((sorted_ >> shift).view(np.int64), minlength=2**bits)
    start = (np.cumsum(held) - held).astype(np.int32)
    return Places(sorted_, order.astype(np.int32), start, shift, max(int(held.max()), 1))


# --- one batch ----------------------------------------------------------------------------------


def _add(
    added: Added,
    columns: dict[str, Any],
    customer: NDArray[np.int32],
    period: Whole | int,
    rule: ReturnRule,
    as_of: int,
) -> None:
    """Add the rows of a batch to their places."""
    settled = days(columns["settled_date"])
    amount, collected, lost = (units(columns[name]) for name in MONEY)
    collected, lost = parts_on(as_of, settled, collected, lost)
    still_open = amount - collected - lost
    _count(added, period, amount, still_open)
    markup: Any = columns[_MARKUP].to_numpy() if _MARKUP in columns else rule.markup
    cost = amount / (markup + 1.0)
    profit = _profit(columns, settled, (amount, collected, still_open), cost, markup, rule, as_of)
    cell = np.add(customer, np.multiply(period, added.cost.shape[1]), dtype=np.int64)
    np.add.at(added.cost.reshape(-1), cell, cost)
    np.add.at(added.profit.reshape(-1), cell, profit)


def _count(added: Added, period: Whole | int, amount: Whole, still_open: Whole) -> None:
    """Count the invoices and money of each period, and of all."""
    few = np.flatnonzero(still_open)
    open_, largest = still_open[few], int(amount.max())
    sums = exact_sum(amount, largest), exact_sum(open_, largest)
    added.exact["amount"] += sums[0]
    added.exact["open"] += sums[1]
    if isinstance(period, int):
        added.invoices[period] += len(amount)
        added.amount[period] += sums[0]
        added.open[period] += sums[1]
    else:
        m = len(added.invoices)
        added.invoices += np.bincount(period, minlength=m)
        added.amount += np.bincount(period, amount, minlength=m)
        added.open += np.bincount(period[few], open_, minlength=m)


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
