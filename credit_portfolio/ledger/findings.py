"""What one should know about the accepted entries of a ledger: repairs, and what a day shows.

Repairs are counted over rows of the source: a row that became several entries counts once, with the
money that it says, if one of them was accepted.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from credit_portfolio.ledger.entries import unapplied_on
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.quality import MARK
from credit_portfolio.ledger.record import FINDINGS, decimal_of

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Expression, Table

Told: TypeAlias = tuple[tuple[str, int, Decimal], ...]
"""Finding, rows and money, of what touched a row."""

_IN_LINKS = "_in_links"
_OF_LINKS = (
    "rounded_floats",
    "trimmed_ids",
    "restored_zeros",
    "whole_numbers",
    "time_of_day_dropped",
)

# In the order of the table. Where a finding of invoices is the same, so are its words.
_OF_ROWS = {
    "dated_after_today": "Booked after today: ahead of time, or a mistyped date. Such dates never "
    "set the default as_of.",
    "rounded_floats": FINDINGS["rounded_floats"],
    "trimmed_ids": "Space around a customer_id, a document or another id was cut off.",
    "restored_zeros": "Zeros that digits had lost on their left were put back, to the width that "
    "the profile gives.",
    "whole_numbers": "A whole number written like 123.0 was read as 123: a code, or as the profile "
    "says.",
    "time_of_day_dropped": FINDINGS["time_of_day_dropped"],
    "ignored_due_date": "The due date of an entry that is no invoice is no date; nothing is due "
    "with it.",
    "due_date_from_terms": FINDINGS["due_date_from_terms"],
    "merged_customers": FINDINGS["merged_customers"],
}
REPAIRS: Mapping[str, str] = _OF_ROWS | {
    f"{name}{_IN_LINKS}": f"In the second table, of rows that match: {_OF_ROWS[name]}"
    for name in _OF_LINKS
}
"""Repairs of rows and what each means; they are the same on every day."""

ON_A_DAY: Mapping[str, str] = {
    "held_out_disputed": "Disputed on as_of, with what is open of them: in no figure of the "
    "ledger.",
    "settled_in_source": "The source calls the invoice settled, but what was accepted does not "
    "cover it: the rest counts as open.",
    "credited": "Credit notes: they lower the amount of the invoices that they name.",
    "credited_in_full": "Invoices of which nothing is left: no longer sales, not in the invoices.",
    "unapplied_cash": "Money on account: received for no invoice; see unapplied().",
    "unapplied_credit": "Credit on account: credit notes for no invoice; see unapplied().",
    "paid_by_another_customer": "Booked by another customer than the invoice's: it counts for the "
    "invoice's.",
}
"""What is so on the day of the picture, and what it means."""


def marks_in(table: Table) -> list[str]:
    """Return the columns that say which rows a repair touched."""
    return [name for name in table.columns if name.startswith(MARK)]


def told_of(lines: Table, accepted: Table, today: datetime.date) -> Told:
    """Count the rows of the source that repairs touched, or that are booked after today.

    Parameters
    ----------
    lines : table expression
        From ``lines.lines_of``, with a column ``mark_…`` for each repair.
    accepted : table expression
        Entries that broke no rule, with ``source_row``.
    today : datetime.date
    """
    rows = accepted.group_by("source_row").aggregate(last=accepted.booking_date.max())
    t = lines.inner_join(rows, lines.row == rows.source_row)
    touched = {name.removeprefix(MARK): t[name] for name in marks_in(lines)}
    return _counted(t, {"dated_after_today": t["last"] > today} | touched, t.amount)


def told_of_links(links: Table, judged: Table) -> Told:
    """Count the rows of the second table that repairs touched, of those that match.

    Parameters
    ----------
    links : table expression
        Its rows, with a column ``mark_…`` for each repair.
    judged : table expression
        All entries; those of source row 0 say by their line which rows do not match.
    """
    if not marks_in(links):
        return ()
    stray = judged.filter(judged.source_row == 0).select(stray=judged.line)
    t = links.anti_join(stray, links.row.cast("string") == stray.stray)
    touched = {f"{name.removeprefix(MARK)}{_IN_LINKS}": t[name] for name in marks_in(links)}
    return _counted(t, touched, t.link_amount)


def _counted(t: Table, touched: Mapping[str, Expression], money: Expression) -> Told:
    sums: dict[str, Expression] = {}
    for name, hit in touched.items():
        sums[f"{name}_rows"] = count(hit)
        sums[f"{name}_money"] = money.sum(where=hit)
    row = frame_of(t.aggregate(**sums)).iloc[0]
    return tuple(
        (name, int(row[f"{name}_rows"]), decimal_of(row[f"{name}_money"]))
        for name in sorted(touched, key=list(REPAIRS).index)
        if row[f"{name}_rows"]
    )


def count(condition: Expression) -> Expression:
    """Return in how many rows a condition holds, 0 of none."""
    return condition.fill_null(False).ifelse(1, 0).sum().fill_null(0)


def findings_of(
    accepted: Table, every: Table, as_of: datetime.date, known: Any, told: Sequence[Any]
) -> pd.DataFrame:
    """Return finding, rows, amount and meaning: what was told before, then what a day shows.

    Parameters
    ----------
    accepted : table expression
        Entries that broke no rule.
    every : table expression
        The invoices of the day, those credited in full included.
    as_of : datetime.date
        The day.
    known : mapping
        Sums of ``every``: credited and credited_in_full, counts and money.
    told : sequence
        Finding, rows and money, which no later day changes.
    """
    meanings = {**REPAIRS, **ON_A_DAY}
    lines = [
        (name, int(rows), decimal_of(money), meanings[name])
        for name, rows, money in (*told, *_on_day(accepted, every, as_of, known))
        if rows
    ]
    return pd.DataFrame(lines, columns=["finding", "rows", "amount", "meaning"])


def _on_day(
    accepted: Table, every: Table, as_of: datetime.date, known: Any
) -> list[tuple[str, Any, Any]]:
    """Return finding, rows and money of what is so on a day."""
    waiting = unapplied_on(accepted, as_of)
    cash, credit = waiting.unapplied_cash, waiting.unapplied_credit
    pools = frame_of(
        waiting.aggregate(
            cash=count(cash != 0),
            cash_money=cash.sum(),
            credit=count(credit != 0),
            credit_money=credit.sum(),
        )
    ).iloc[0]
    t = accepted.filter((accepted.booking_date <= as_of) & (accepted.kind != "reversal"))
    owner = accepted.filter(accepted.kind == "invoice").select(
        owned="document", owner="customer_id"
    )
    others = t.inner_join(owner, t.against_document == owner.owned)
    others = others.filter(others.customer_id != others.owner)
    strange = frame_of(others.aggregate(rows=others.count(), money=others.amount.sum())).iloc[0]
    said = accepted.filter(
        (accepted.kind == "invoice") & (accepted.said_settled <= as_of).fill_null(False)
    )
    left = every.filter(every.open > 0).semi_join(
        said.select(invoice_id=said.document), "invoice_id"
    )
    short = frame_of(left.aggregate(rows=left.count(), money=left.open.sum())).iloc[0]
    return [
        ("settled_in_source", short["rows"], short["money"]),
        ("credited", known["credited_count"], known["credited_money"]),
        ("credited_in_full", known["credited_in_full"], known["credited_in_full_money"]),
        ("unapplied_cash", pools["cash"], pools["cash_money"]),
        ("unapplied_credit", pools["credit"], pools["credit_money"]),
        ("paid_by_another_customer", strange["rows"], strange["money"]),
    ]
