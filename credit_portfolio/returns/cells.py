"""The cells of a panel: what each customer's invoices of a period come to.

Mostly the engine that holds the ledger adds up cost and profit of each cell, and only those sums
leave it. The embedded engine works in this process, where a batch of rows is a view of its memory;
and a panel has a place for every customer and period anyway. So there the rows of a batch are added
straight to their places, which takes half of the time of grouping millions of cells by hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.ledger.positions import arrow_of, batches_of
from credit_portfolio.ledger.quality import MONEY_PLACES
from credit_portfolio.returns.rows import rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.returns.rule import ReturnRule

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Whole = NDArray[np.int64]

_UNITS = 10**MONEY_PLACES  # smallest units of money in one
# Money up to here is exact in units after a way through a float: 2⁻⁵³ of it, times the units, twice
# rounded, is below a quarter of one. No invoice of a real book comes near.
_EXACT = 1e11
# Sums of so many units fit into 64 bits in batches of a million rows.
_HALF = 2**20


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

    A database hands over one row a cell. Rows of the embedded engine are added up here, which is
    quicker, unless their money is too large for it.

    Raises
    ------
    DataError
        When the sums are not those of the opening: the source has changed.
    """
    rows = rows_of(ledger, rule, period)
    found = None
    if ledger.codes is not None:
        found = added_up(rows, ledger.codes)
    if found is None:
        table = arrow_of(sums_of(rows))
        totals = {name: _total(table[name]) for name in ("invoices", "amount", "open")}
        found = _spread(arrays_of(table)), totals
    ledger.check(**found[1])
    return found[0]


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


def _total(column: Any) -> Any:
    """Return the sum of a column of Arrow, exact for decimals."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    return pc.sum(column).as_py()


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


# --- adding up here ------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class _Sums:
    """What has been added up so far; the first two have a place for each period and customer."""

    cost: Vector
    profit: Vector
    invoices: Vector  # by period, as the next two
    amount: Vector
    open: Vector
    exact: dict[str, int] = field(default_factory=lambda: {"amount": 0, "open": 0})  # in units


def added_up(rows: Any, codes: Any) -> tuple[Sheet, dict[str, Any]] | None:
    """Return the sheet of rows, and their exact totals; None for money too large for this way.

    Parameters
    ----------
    rows : table expression
        As ``rows_of`` gives them.
    codes : table expression
        customer_id and code, 0, 1, … in the order of the ids, of all customers.

    Returns
    -------
    sheet : Sheet
    totals : dict
        invoices (int), amount and open (Decimal).
    """
    span = arrow_of(rows.aggregate(first=rows.period.min(), last=rows.period.max())).to_pylist()[0]
    if span["first"] is None:
        return _spread(no_cells()), {"invoices": 0, "amount": Decimal(0), "open": Decimal(0)}
    names = arrow_of(codes.order_by("code"))["customer_id"].to_pylist()
    first = int(span["first"])
    shape = (int(span["last"]) - first + 1, len(names))
    cost, profit = np.zeros((2, shape[0] * shape[1]))
    sums = _Sums(cost, profit, *np.zeros((3, shape[0])))
    told = rows.inner_join(codes, "customer_id")
    asked = told.select(
        cell=((told.period - first) * shape[1] + told.code).cast("int64"),
        period=(told.period - first).cast("int16"),
        cost=told.cost_,
        profit=told.profit_,
        amount=told.amount.cast("float64"),
        open=told.open.cast("float64"),
    )
    for batch in batches_of(asked):
        if not _add(sums, [column.to_numpy(zero_copy_only=False) for column in batch.columns]):
            return None
    totals = {name: Decimal(units) / _UNITS for name, units in sums.exact.items()}
    return _sheet(sums, shape, first, names), totals | {"invoices": int(sums.invoices.sum())}


def _add(sums: _Sums, columns: list[Any]) -> bool:
    """Add a batch; say no where its money is too large to be exact in units."""
    cell, period, cost, profit, amount, still_open = columns
    if not len(cell):
        return True
    if amount.max() > _EXACT:
        return False
    np.add.at(sums.cost, cell, cost)
    np.add.at(sums.profit, cell, profit)
    n = len(sums.invoices)
    sums.invoices += np.bincount(period, minlength=n)
    for name, money in (("amount", amount), ("open", still_open)):
        total: Vector = getattr(sums, name)
        total += np.bincount(period, money, minlength=n)
        sums.exact[name] += _units(money)
    return True


def _units(money: Vector) -> int:
    """Return the exact sum of money in its smallest units."""
    units = np.rint(money * _UNITS).astype(np.int64)
    high, low = units // _HALF, units % _HALF
    return int(high.sum()) * _HALF + int(low.sum())


def _sheet(sums: _Sums, shape: tuple[int, int], first: int, names: list[str]) -> Sheet:
    """Return the sheet of the customers and periods with a sale."""
    cost, profit = sums.cost.reshape(shape), sums.profit.reshape(shape)
    sold, bought = sums.invoices > 0, cost.any(axis=0)
    if not (sold.all() and bought.all()):
        cost, profit = cost[sold][:, bought], profit[sold][:, bought]
    return Sheet(
        cost,
        profit,
        invoices=sums.invoices[sold].astype(np.int64),
        amount=sums.amount[sold],
        open=sums.open[sold],
        customers=[names[k] for k in np.flatnonzero(bought).tolist()],
        ordinals=first + np.flatnonzero(sold),
    )
