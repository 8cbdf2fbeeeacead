"""Look for what no single row gives away: copies under other numbers, customers with two ids.

Opening a ledger judges each row; an examination compares rows, which takes longer, and adds what
it finds to the quality record as findings with their number and money. It changes no figure. What
it finds may be right: each finding says what to do where it is not.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import ibis
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, listing
from credit_portfolio.ledger.identities import bare_name, look_alikes, name_column
from credit_portfolio.ledger.positions import MONEY_TYPE, frame_of
from credit_portfolio.ledger.record import decimal_of

if TYPE_CHECKING:
    from credit_portfolio.ledger.positions import Ledger

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one
AnyLedger = TypeVar("AnyLedger", bound="Ledger")

EXAMINED: Mapping[str, str] = {
    "maybe_rekeyed": "Invoices of one customer, day, due date and amount under several numbers, "
    "beyond the first: keyed twice, or re-billed without the first one being reversed. Look at "
    "possible_copies(ledger); leave out what is a copy.",
    "similar_customer_ids": "Invoices of customer ids that differ by leading zeros, case or marks "
    "only: see look_alikes(ledger), and merge with Repairs(same_customer={...}).",
    "one_name_several_ids": "Invoices of customers whose names are the same but for case, marks "
    "and endings such as corp: see look_alikes(ledger, names), and merge with "
    "Repairs(same_customer={...}).",
    "several_names_one_id": "Invoices of customer ids that stand beside several names: one id is "
    "one customer here; give the ids apart where the names are not one customer.",
    "payment_over_several_invoices": "Entries of payments that cover more than one invoice.",
    "invoice_paid_in_parts": "Entries of payments on invoices that several payments name.",
    "undone_by_reversal": "Documents that a reversal undid: they count up to that day only.",
    "not_yet_due": "Open and not due: the first bucket of the ageing, so that it adds up to the "
    "outstanding.",
    "past_due": "Open and past due: the other buckets of the ageing.",
    "settled_in_full_long_after_due": "Settled in full more than 180 days after the due date: that "
    "is how a write-off looks that was posted as a clearing. Map written_off_amount, or open the "
    "source with open_entries and write_offs=.",
    "disputed": "Disputed and open; hold_out_disputed=True leaves disputed invoices out.",
    "open_at_as_of": "Open on as_of, so that it is not known how they end; the return panel drops "
    "periods that are not mature.",
    "before_first_complete_month": "Dated before the first month that begins after the first "
    "invoice and the first settlement of the source: where it holds only what was open or settled "
    "later, those months look worse or better than they were.",
    "settled_without_tax": "Settled at the amount less tax: amounts with tax and money without it "
    "may be mixed. Pass Repairs(vat_rate=...) or Repairs(vat_column=..., vat_codes=...).",
    "orders_beside_exposure": "Customers with orders that are not invoiced yet, and the money of "
    "the orders: part of exposures(ledger, orders), not of ledger.exposure().",
}
"""What an examination may find, in the order of the record."""

NO_ORDERS = (
    "orders and deliveries that are not invoiced yet are not in the exposure: give them to "
    "exposures(ledger, orders=...)"
)
_LONG_AFTER = 180  # days past due; twice the 90 after which most books provide in full


def examine(
    ledger: AnyLedger,
    *,
    names: str | None = None,
    vat_rates: Sequence[float | Decimal] = (),
    orders: pd.Series | None = None,
) -> AnyLedger:
    """Return the ledger with what a comparison of its rows finds in its quality record.

    Parameters
    ----------
    ledger : Ledger
    names : str, optional
        The grouping column with the customers' names, to compare them.
    vat_rates : sequence of numbers
        Tax rates to look for, such as ``(0.19, 0.07)``: invoices of which exactly the amount
        without tax was paid.
    orders : pandas.Series, optional
        Money of orders not invoiced yet; index customer_id.

    Returns
    -------
    Ledger
        The same figures; ``quality.findings`` has further lines as known on ``as_of``, which
        another day asked by ``on`` does not have: examine that anew.

    Raises
    ------
    ModelError
        For a column that is not there, or a tax rate that is none.
    DataError
        For orders that are no money.

    Examples
    --------
    >>> from credit_portfolio.ledger.source import open_ledger
    >>> rows = pd.DataFrame({
    ...     "customer_id": ["C1", "C1"], "invoice_id": ["1", "1-A"],
    ...     "invoice_date": ["2024-01-02"] * 2, "due_date": ["2024-02-01"] * 2,
    ...     "amount": ["100.00", "100.00"]})
    >>> found = examine(open_ledger(rows)).quality.findings.set_index("finding")
    >>> print(found.loc["maybe_rekeyed", "rows"], found.loc["maybe_rekeyed", "amount"])
    1 100.0000
    """
    found = _of_rows(ledger, vat_rates)
    found |= _of_copies(ledger)
    found |= _of_customers(ledger, names)
    if "against_document" in ledger.accepted.columns:
        found |= _of_entries(ledger)
    notes = ledger.quality.notes
    if orders is None:
        notes = (*(note for note in notes if note != NO_ORDERS), NO_ORDERS)
    else:
        money = order_money(orders)
        found["orders_beside_exposure"] = (int((money != 0).sum()), sum(money, Decimal(0)))
    lines = [
        (name, *found[name], meaning)
        for name, meaning in EXAMINED.items()
        if found.get(name, (0,))[0]
    ]
    before = ledger.quality.findings
    before = before[~before["finding"].isin(list(EXAMINED))]
    columns = ["finding", "rows", "amount", "meaning"]
    added = pd.DataFrame(lines, columns=columns)
    findings = pd.concat([part for part in (before, added) if len(part)] or [added])
    quality = replace(ledger.quality, findings=findings.reset_index(drop=True), notes=notes)
    return replace(ledger, quality=quality)


Found: TypeAlias = dict[str, tuple[int, Decimal]]


def _totals(t: Table, sums: Mapping[str, tuple[Expression, Expression]]) -> Found:
    """Return rows and money of each condition, in one question."""
    columns: dict[str, Expression] = {}
    for name, (condition, money) in sums.items():
        condition = condition.fill_null(False)
        columns[f"{name}_rows"] = condition.ifelse(1, 0).sum()
        columns[f"{name}_money"] = money.sum(where=condition)
    row = frame_of(t.aggregate(**columns)).iloc[0]
    return {name: (_whole(row[f"{name}_rows"]), decimal_of(row[f"{name}_money"])) for name in sums}


def _whole(number: Any) -> int:
    return 0 if pd.isna(number) else int(number)


def _of_rows(ledger: Ledger, vat_rates: Sequence[float | Decimal]) -> Found:
    """Return what each invoice says by itself."""
    t = ledger.invoices
    left = t.open > 0
    long_after = (t.due_date + ibis.interval(days=_LONG_AFTER)) < t.settled_date
    sums = {
        "not_yet_due": (left & (t.due_date >= ledger.as_of), t.open),
        "past_due": (left & (t.due_date < ledger.as_of), t.open),
        "settled_in_full_long_after_due": (long_after & (t.collected == t.amount), t.collected),
        "disputed": (t.disputed & left, t.open),
        "open_at_as_of": (left, t.open),
    }
    net: Expression = ibis.literal(False)
    for rate in vat_rates:
        net = net | _paid_without(t, rate)
    if len(vat_rates):
        sums["settled_without_tax"] = (net, (t.amount - t.collected).cast(MONEY_TYPE))
    found = _totals(t, sums)
    first = first_complete_month(ledger)
    if first is not None:
        early = t.invoice_date < first
        found |= _totals(t, {"before_first_complete_month": (early, t.amount)})
    return found


def _paid_without(t: Table, rate: float | Decimal) -> Expression:
    """Return whether the amount without tax, to the cent, is what was collected."""
    tax = Decimal(str(rate))
    if not tax.is_finite() or not 0 < tax < 1:
        raise ModelError(f"a tax rate is {rate!r}; expected a fraction such as 0.19, below 1")
    factor = (Decimal(1) / (1 + tax)).quantize(Decimal("1e-18"), ROUND_HALF_UP)
    without = (t.amount * ibis.literal(factor, type="decimal(20, 18)")).round(2).cast(MONEY_TYPE)
    return (t.collected == without) & (t.collected > 0) & (t.written_off == 0)


def first_complete_month(ledger: Ledger) -> datetime.date | None:
    """Return the first day of the first month of which the source seems to hold everything.

    It is the first that begins on or after both the first invoice and the first settlement; None
    where nothing is settled.
    """
    t = ledger.invoices
    row = frame_of(t.aggregate(first=t.invoice_date.min(), settled=t.settled_date.min())).iloc[0]
    if pd.isna(row["first"]) or pd.isna(row["settled"]):
        return None
    known: datetime.date = max(row["first"], row["settled"])
    if known.day == 1:
        return known
    year, month = divmod(known.year * 12 + known.month, 12)
    return datetime.date(year, month + 1, 1)


_SAME = ["customer_id", "invoice_date", "due_date", "amount"]


def _of_copies(ledger: Ledger) -> Found:
    """Return invoices beyond the first of each customer, day, due date and amount."""
    t = ledger.invoices
    groups = t.group_by(_SAME).aggregate(n=t.count())
    groups = groups.filter(groups.n > 1)
    more = groups.mutate(more=groups.n - 1)
    row = frame_of(more.aggregate(rows=more.more.sum(), money=(more.amount * more.more).sum()))
    return {"maybe_rekeyed": (_whole(row["rows"][0]), decimal_of(row["money"][0]))}


def possible_copies(ledger: Ledger) -> pd.DataFrame:
    """Return invoices of one customer, day, due date and amount that have several numbers.

    Returns
    -------
    pandas.DataFrame
        customer_id, invoice_date, due_date, amount, invoice_id, open; sorted in this order.
    """
    t = ledger.invoices
    groups = t.group_by(_SAME).aggregate(n=t.count())
    several = t.semi_join(groups.filter(groups.n > 1), _SAME)
    frame = frame_of(several.select(*_SAME, "invoice_id", "open"))
    ordered: pd.DataFrame = frame.sort_values([*_SAME, "invoice_id"], ignore_index=True)
    return ordered


def _of_customers(ledger: Ledger, names: str | None) -> Found:
    """Return invoices of customers who may be one, or several."""
    alike = look_alikes(ledger, names)
    found: Found = {}
    for why, finding in (("id", "similar_customer_ids"), ("name", "one_name_several_ids")):
        part = alike[alike["why"] == why]
        found[finding] = (int(part["invoices"].sum()), sum(part["amount"], Decimal(0)))
    if names is None:
        return found
    t = ledger.invoices.mutate(name_=bare_name(name_column(ledger, names)))
    each = t.group_by("customer_id").aggregate(
        names=t.name_.nunique(), rows=t.count(), money=t.amount.sum()
    )
    several = each.filter(each.names > 1)
    row = frame_of(several.aggregate(rows=several.rows.sum(), money=several.money.sum()))
    found["several_names_one_id"] = (_whole(row["rows"][0]), decimal_of(row["money"][0]))
    return found


def _of_entries(ledger: Ledger) -> Found:
    """Return what the entries of a ledger of entries say about each other, up to its day."""
    t = ledger.accepted
    t = t.filter(t.booking_date <= ledger.as_of)
    paid = t.filter((t.kind == "payment") & t.against_document.notnull())
    found: Found = {}
    for name, key, other in (
        ("payment_over_several_invoices", ["customer_id", "document"], "against_document"),
        ("invoice_paid_in_parts", ["against_document"], "document"),
    ):
        each = paid.group_by(key).aggregate(
            others=paid[other].nunique(), rows=paid.count(), money=(-paid.amount).sum()
        )
        several = each.filter(each.others > 1)
        row = frame_of(several.aggregate(rows=several.rows.sum(), money=several.money.sum()))
        found[name] = (_whole(row["rows"][0]), decimal_of(row["money"][0]))
    undoing = t.filter(t.kind == "reversal").select(undone="against_document").distinct()
    undone = t.filter(t.kind != "reversal").semi_join(undoing, [t.document == undoing.undone])
    row = frame_of(undone.aggregate(rows=undone.count(), money=undone.amount.abs().sum()))
    found["undone_by_reversal"] = (_whole(row["rows"][0]), decimal_of(row["money"][0]))
    return found


# --- exposure ------------------------------------------------------------------------------------


def order_money(orders: pd.Series) -> pd.Series:
    """Return orders as exact money, one line a customer.

    Raises
    ------
    DataError
        For a customer that comes twice or is no text, and money that is no number from 0 up.
    """
    if not isinstance(orders, pd.Series):
        raise TypeError(f"orders are a Series by customer_id, not {type(orders).__name__}")
    texts = [isinstance(name, str) and bool(name.strip()) for name in orders.index]
    if not all(texts):
        raise DataError(
            "orders name a customer that is no text; expected ids as text, since leading zeros "
            "count: make the index one of text"
        )
    twice = orders.index[orders.index.duplicated()].unique()
    if len(twice):
        raise DataError(f"orders name {listing(twice)} more than once; expected a sum a customer")
    money = [_money(cell) for cell in orders]
    wrong = [name for name, cell in zip(orders.index, money, strict=True) if cell is None]
    if wrong:
        raise DataError(
            f"orders of {listing(wrong)} are no money; expected numbers from 0 up",
            orders[orders.index.isin(wrong)].to_frame("orders"),
        )
    return pd.Series(money, index=orders.index, dtype=object)


def _money(cell: object) -> Decimal | None:
    """Return a number from 0 up as Decimal, None for anything else."""
    try:
        value = Decimal(str(cell))
    except InvalidOperation:
        return None
    return value if value.is_finite() and value >= 0 else None


def exposures(
    ledger: Ledger,
    orders: pd.Series | None = None,
    *,
    hold_out_disputed: bool = False,
) -> pd.DataFrame:
    """Return what each customer owes or will owe, line by line, as float64.

    Parameters
    ----------
    ledger : Ledger
    orders : pandas.Series, optional
        Money of orders and deliveries not invoiced yet; index customer_id.
    hold_out_disputed : bool
        Whether disputed receivables are left out of the exposure; they keep their column.

    Returns
    -------
    pandas.DataFrame
        Index customer_id, sorted: receivables (open and not disputed), disputed, orders, and
        exposure, their sum (without ``disputed`` where that is held out). A customer with orders
        and no invoice has a row too.

    Raises
    ------
    DataError
        For orders that are no money.

    Examples
    --------
    >>> from credit_portfolio.ledger.source import open_ledger
    >>> rows = pd.DataFrame({
    ...     "customer_id": ["C1", "C1"], "invoice_id": ["1", "2"], "disputed": ["", "yes"],
    ...     "invoice_date": ["2024-01-02"] * 2, "due_date": ["2024-02-01"] * 2,
    ...     "amount": ["100.00", "40.00"]})
    >>> table = exposures(open_ledger(rows), pd.Series({"C1": 25}), hold_out_disputed=True)
    >>> table.loc["C1"].tolist()
    [100.0, 40.0, 25.0, 125.0]
    """
    t = ledger.invoices
    sums = frame_of(
        t.group_by("customer_id").aggregate(
            receivables=t.open.sum(where=~t.disputed).fill_null(0),
            disputed=t.open.sum(where=t.disputed).fill_null(0),
        )
    ).set_index("customer_id")
    total = sum(sums["receivables"], Decimal(0)) + sum(sums["disputed"], Decimal(0))
    ledger.check(open=total)
    waiting = pd.Series(dtype=object) if orders is None else order_money(orders)
    customers = sums.index.union(waiting.index, sort=True).rename("customer_id")
    frame = sums.reindex(customers).astype("float64").fillna(0.0)
    frame["orders"] = waiting.reindex(customers).astype("float64").fillna(0.0)
    counted = ["receivables", "orders"] if hold_out_disputed else [*frame.columns]
    frame["exposure"] = frame[counted].sum(axis=1)
    return frame
