"""Bring a panel up to a later day: only the cells that changed are added up again.

The engine is asked two things. One pass adds up small marks of each period, as it was on the
earlier day and as it is now: they tell where the past was rewritten, and what is not mature. Then
only the cells with an invoice that moved are added up, from all invoices of those cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import ModelError
from credit_portfolio.ledger.positions import Ledger, arrow_of, frame_of, total_of
from credit_portfolio.returns.cells import Cells, arrays_of, no_cells, sums_of
from credit_portfolio.returns.periods import (
    frame_of_periods,
    notes_on_gaps,
    notes_on_open,
    starts_of,
)
from credit_portfolio.returns.rows import markup_of, ordinal_of, rows_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.returns.panel import ReturnPanel
    from credit_portfolio.returns.rule import ReturnRule

_MARKS = 2**31  # a mark fits 31 bits, so that engines can add up four billion of them


@dataclass(frozen=True, eq=False, slots=True)
class PanelHistory:
    """What a panel remembers so that it can be updated.

    Attributes
    ----------
    rule, period, maturity_days
        As given to :meth:`ReturnPanel.from_ledger`.
    marks : pandas.DataFrame
        One row a period with invoices, by its number, also of periods not yet mature: invoices,
        amount, open (Decimal), and mark, a sum of numbers made from every invoice as it was known.
    cells, invoices : int
        How many cells the engine added up for this panel, and from how many invoices.
    rewritten : tuple of int
        Numbers of the periods whose past was no longer the one of the earlier panel.
    """

    rule: ReturnRule
    period: str
    maturity_days: int
    marks: pd.DataFrame
    cells: int
    invoices: int
    rewritten: tuple[int, ...] = ()


def marks_of(picture: Any, rule: ReturnRule, period: str) -> pd.DataFrame:
    """Return the marks of each period of the invoices as known on a day.

    Whatever a return is made of is in the mark: an invoice that was added, taken away or changed
    under an earlier date changes the mark of its period but for one chance in two thousand million.
    """
    used = ["customer_id", "invoice_id", "invoice_date", "due_date", "settled_date"]
    used += ["amount", "collected", "written_off", "open"]
    used += [rule.markup] if isinstance(rule.markup, str) else []
    text = picture[used[0]]
    for name in used[1:]:
        text = text + "|" + picture[name].cast("string").fill_null("")
    rows = picture.select(
        "amount",
        "open",
        period=ordinal_of(picture.invoice_date, period),
        mark=(text.hash() % _MARKS).cast("int64"),
    )
    sums = rows.group_by("period").aggregate(
        invoices=rows.count(), amount=rows.amount.sum(), open=rows.open.sum(), mark=rows.mark.sum()
    )
    marks = frame_of(sums)
    for name in ("period", "invoices", "mark"):
        marks[name] = marks[name].astype("int64")
    ordered: pd.DataFrame = marks.set_index("period").sort_index()
    return ordered


def updated(panel: ReturnPanel, ledger: Ledger) -> ReturnPanel:
    """Return the panel of a ledger from that of an earlier day; see ``ReturnPanel.updated``."""
    history = panel.history
    if history is None or panel.as_of is None:
        raise ModelError(
            "the panel does not remember what an update needs; make it by "
            "ReturnPanel.from_ledger(..., updatable=True)"
        )
    if ledger.as_of < panel.as_of:
        raise ModelError(
            f"the ledger is of {ledger.as_of} and the panel of {panel.as_of}; expected a ledger of "
            "that day or later: make the panel of an earlier day by from_ledger"
        )
    if ledger.currency != panel.currency:
        raise ModelError(
            f"the ledger is in {ledger.currency!r} and the panel in {panel.currency!r}; expected "
            "one currency: make a panel for each"
        )
    rule, period = history.rule, history.period
    markup_of(ledger, rule)  # refuses a markup that is missing or not above 0
    earlier = ledger.on(panel.as_of) if _reaches(ledger, panel) else None
    before = history.marks.iloc[:0]
    if earlier is not None:
        before = marks_of(earlier.invoices, rule, period)
    now = marks_of(ledger.invoices, rule, period)
    ledger.check(
        invoices=int(now["invoices"].sum()),
        amount=total_of(now["amount"]),
        open=total_of(now["open"]),
    )
    rewritten = _different(history.marks, before)
    frame = frame_of_periods(
        now.index.to_numpy(),
        now["invoices"].to_numpy(),
        now["amount"].to_numpy(dtype=np.float64),
        period,
        history.maturity_days,
        ledger.as_of,
    )
    ripe = now.index[frame.ripe]
    old = _ordinals(panel)
    whole = [int(n) for n in ripe if n not in old or n in rewritten]
    kept = [int(n) for n in ripe if n not in whole]
    cells = _changed(ledger, earlier, history, whole, kept)
    customers = _customers(panel, ledger, bool(rewritten) or type(ledger) is not Ledger)
    values, costs = _carried(panel, frame.periods, customers, old - rewritten)
    if earlier is not None and type(ledger) is not Ledger:
        _clear(values, costs, _gone(ledger, earlier, history), frame.periods, customers)
    if len(cells.customer):
        rows = frame.periods.get_indexer(starts_of(cells.ordinals, period))[cells.period]
        place = (rows, customers.get_indexer(pd.Index(cells.customers))[cells.customer])
        costs[place] = cells.cost
        values[place] = cells.profit / cells.cost
    still_open = total_of(now["open"][frame.ripe])
    return replace(
        panel,
        values=values,
        customers=customers,
        periods=frame.periods,
        costs=costs,
        dropped=frame.dropped,
        notes=(
            *notes_on_gaps(frame.periods, ripe.to_numpy(), now["invoices"].to_numpy()[frame.ripe]),
            *notes_on_open(float(still_open), rule, ledger),
        ),
        as_of=ledger.as_of,
        history=replace(
            history,
            marks=now,
            cells=len(cells.customer),
            invoices=int(cells.invoices.sum()),
            rewritten=tuple(sorted(rewritten)),
        ),
    )


def _reaches(ledger: Ledger, panel: ReturnPanel) -> bool:
    """Whether the ledger has invoices as old as the panel: a book may begin anew."""
    dates = ledger.invoices.invoice_date
    first = frame_of(ledger.invoices.aggregate(first=dates.min()))["first"].iloc[0]
    return bool(first <= panel.as_of)


def _different(one: pd.DataFrame, other: pd.DataFrame) -> frozenset[int]:
    """Return the periods whose marks differ, or that only one of the two has."""
    both = one.index.union(other.index)
    left, right = one.reindex(both), other.reindex(both)
    same = (left == right).all(axis=1)
    return frozenset(int(n) for n in both[~same])


def _ordinals(panel: ReturnPanel) -> frozenset[int]:
    """Return the numbers of the periods that the panel has."""
    return frozenset(int(period.ordinal) for period in panel.periods)


def _changed(
    ledger: Ledger,
    earlier: Ledger | None,
    history: PanelHistory,
    whole: list[int],
    kept: list[int],
) -> Cells:
    """Add up the cells of whole periods, and of the kept periods those with a moved invoice."""
    rows = rows_of(ledger, history.rule, history.period)
    parts = []
    if whole:
        parts.append(rows.filter(rows.period.isin(whole)))
    if kept and earlier is not None:
        inside = rows.filter(rows.period.isin(kept))
        moved = _moved(inside, earlier, history).select("customer_id", "period").distinct()
        parts.append(inside.semi_join(moved, ["customer_id", "period"]))
    if not parts:
        return no_cells()
    both = parts[0] if len(parts) == 1 else parts[0].union(parts[1])
    return arrays_of(arrow_of(sums_of(both)))


def _moved(rows: Any, earlier: Ledger, history: PanelHistory) -> Any:
    """Return invoices, or whole cells, whose contribution is not what it was on the earlier day."""
    day = earlier.as_of
    moved = (rows.invoice_date > day) | (rows.settled_date > day).fill_null(False)
    if history.rule.funding_rate or history.rule.provisions is not None:
        # Open money is charged by its age on as_of, and so is what was lost on no known day.
        moved = moved | rows.settled_date.isnull() | (rows.open > 0)
    changed = rows.filter(moved).select("customer_id", "period")
    if type(earlier) is Ledger:
        return changed
    # Of entries, several days make an invoice: a payment in part, a credit note, a discount.
    then = rows_of(earlier, history.rule, history.period)
    money = ("amount", "collected", "written_off", "open")
    facts = ["customer_id", "period", "invoice_id", *money]
    same = [rows[name] == then[name] for name in facts]
    fresh = rows.anti_join(then, same).select("customer_id", "period")
    lost = then.anti_join(rows, same).select("customer_id", "period")
    return changed.union(fresh).union(lost)


def _gone(ledger: Ledger, earlier: Ledger, history: PanelHistory) -> Any:
    """Return the cells of invoices that were there and are not: credit notes took all of them."""
    then = rows_of(earlier, history.rule, history.period)
    now = ledger.invoices
    gone = then.anti_join(now, ["customer_id", "invoice_id", "invoice_date"])
    return arrow_of(gone.select("customer_id", "period").distinct())


def _clear(
    values: NDArray[np.float64],
    costs: NDArray[np.float64],
    gone: Any,
    periods: pd.PeriodIndex,
    customers: pd.Index[Any],
) -> None:
    """Empty cells, to be filled again from the invoices that they still have."""
    ordinals = np.array([period.ordinal for period in periods])
    numbers = gone["period"].to_numpy().astype(np.int64)
    row = np.searchsorted(ordinals, numbers)
    column = customers.get_indexer(pd.Index(gone["customer_id"].to_pylist(), dtype="str"))
    inside = (column >= 0) & (row < len(ordinals))
    inside[inside] &= ordinals[row[inside]] == numbers[inside]
    values[row[inside], column[inside]] = np.nan
    costs[row[inside], column[inside]] = 0.0


def _customers(panel: ReturnPanel, ledger: Ledger, anew: bool) -> pd.Index[Any]:
    """Return all customers with an invoice; those of the panel need no asking."""
    t = ledger.invoices
    if not anew:
        t = t.filter(t.invoice_date > panel.as_of)
    names = arrow_of(t.select("customer_id").distinct())["customer_id"].to_pylist()
    known = set(names) if anew else set(names).union(panel.customers)
    if known == set(panel.customers):
        return panel.customers
    ordered: pd.Index[Any] = pd.Index(sorted(known), name="customer_id", dtype="str")
    return ordered


def _carried(
    panel: ReturnPanel,
    periods: pd.PeriodIndex,
    customers: pd.Index[Any],
    kept: frozenset[int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cells of the earlier panel in their new places, bit for bit; others empty."""
    values = np.full((len(periods), len(customers)), np.nan)
    costs = np.zeros_like(values)
    stays = [k for k, p in enumerate(panel.periods) if p.ordinal in kept and p in periods]
    there = panel.periods[stays]
    column = customers.get_indexer(panel.customers)
    known = np.flatnonzero(column >= 0)
    target = np.ix_(periods.get_indexer(there), column[known])
    source = np.ix_(np.array(stays, dtype=np.int64), known)
    values[target] = panel.values[source]
    costs[target] = panel.costs[source]
    return values, costs
