"""The cells of a panel: what each customer's invoices of a period come to.

Mostly the engine that holds the ledger adds up cost and profit of each cell, and only those sums
leave it. Rows of the embedded engine are added up in this process: see ``adding.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.ledger.arrays import UNITS_IN_ONE
from credit_portfolio.ledger.positions import arrow_of, exact_total
from credit_portfolio.returns.adding import Added, added_up
from credit_portfolio.returns.rows import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.returns.rule import ReturnRule

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class Cells:
    """Cost and profit of each cell with a sale, and what the periods come to.

    Attributes
    ----------
    customer, period : ndarray of int, shape (n_cells,)
        Positions in ``customers`` and ``ordinals``.
    cost, profit : ndarray, shape (n_cells,)
        Money.
    invoices, amount, open : ndarray, shape (n_periods,)
        Of all invoices of each period.
    customers : list of str
        Sorted.
    ordinals : ndarray of int, shape (n_periods,)
        Numbers of the periods with a sale, as pandas counts them, sorted.
    """

    customer: Whole
    period: Whole
    cost: Vector
    profit: Vector
    invoices: Whole
    amount: Vector
    open: Vector
    customers: list[str]
    ordinals: Whole


@dataclass(frozen=True, eq=False, slots=True)
class Sheet:
    """The same with a place for every period and customer.

    Attributes
    ----------
    cost, profit : ndarray, shape (n_periods, n_customers)
        Money; 0 where there was no sale.
    invoices, amount, open, customers, ordinals
        As of :class:`Cells`.
    """

    cost: Matrix
    profit: Matrix
    invoices: Whole
    amount: Vector
    open: Vector
    customers: list[str]
    ordinals: Whole


def sheet_of(ledger: Ledger, rule: ReturnRule, period: str) -> Sheet:
    """Add up the ledger's invoices by customer and period.

    A database hands over one row a cell; rows of the embedded engine are added up here.

    Raises
    ------
    DataError
        When the sums are not those of the opening: the source has changed.
    """
    rows = rows_of(ledger, rule, period)  # refuses a markup that is missing or not above 0
    inside = ledger.embedded
    added = None if inside is None else added_up(ledger, inside, rule, period)
    if added is not None:
        ledger.check(**added.totals())
        return _placed(added)
    table = arrow_of(sums_of(rows))
    ledger.check(**{name: exact_total(table[name]) for name in ("invoices", "amount", "open")})
    return _spread(arrays_of(table))


def _spread(cells: Cells) -> Sheet:
    """Return cells in their places."""
    shape = (len(cells.ordinals), len(cells.customers))
    cost, profit = np.zeros(shape), np.zeros(shape)
    cost[cells.period, cells.customer] = cells.cost
    profit[cells.period, cells.customer] = cells.profit
    rest = cells.invoices, cells.amount, cells.open, cells.customers, cells.ordinals
    return Sheet(cost, profit, *rest)


def sums_of(rows: Any) -> Any:
    """Return what each cell comes to: one row per customer and period."""
    return rows.group_by(["customer_id", "period"]).aggregate(
        cost=rows.cost_.sum(),
        profit=rows.profit_.sum(),
        invoices=rows.count(),
        amount=rows.amount.sum(),
        open=rows.open.sum(),
    )


def arrays_of(table: Any) -> Cells:
    """Return the fetched sums as arrays."""
    if not table.num_rows:
        return no_cells()
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
    n = int(seen.sum())
    by_period: dict[str, Vector] = {
        name: np.asarray(np.bincount(place, table[name].cast("float64"), n), dtype=np.float64)
        for name in ("invoices", "amount", "open")
    }
    return Cells(
        customer=rank[coded.indices.to_numpy()],
        period=place,
        cost=table["cost"].to_numpy(),
        profit=table["profit"].to_numpy(),
        invoices=by_period["invoices"].astype(np.int64),
        amount=by_period["amount"],
        open=by_period["open"],
        customers=names[order].tolist(),
        ordinals=ordinals[seen],
    )


def no_cells() -> Cells:
    """Return the cells of no invoices."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros(0)
    return Cells(none, none, nothing, nothing, none, nothing, nothing, [], none)


def _placed(added: Added) -> Sheet:
    """Return the cells of the customers and periods with a sale, in money."""
    periods = np.flatnonzero(added.invoices)
    cost, profit, sold = added.cost, added.profit, added.invoices > 0
    bought = cost.any(axis=0)
    if not (sold.all() and bought.all()):
        cost, profit = cost[sold][:, bought], profit[sold][:, bought]
    for money in (cost, profit):
        money /= UNITS_IN_ONE
    return Sheet(
        cost,
        profit,
        invoices=added.invoices[periods],
        amount=added.amount[periods] / UNITS_IN_ONE,
        open=added.open[periods] / UNITS_IN_ONE,
        customers=[added.customers[k] for k in np.flatnonzero(bought).tolist()],
        ordinals=added.first + periods,
    )
