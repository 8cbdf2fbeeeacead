"""What each invoice brings: its period, its cost and its profit, as expressions for any engine."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.ledger.positions import arrow_of, frame_of
from credit_portfolio.returns.periods import UNITS
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Ledger

_EPOCH = 1970  # the year from which pandas counts periods
_DAYS_PER_YEAR = 365


def rows_of(ledger: Ledger, rule: ReturnRule, period: str) -> Any:
    """Return the invoices with the number of their period, their cost and their profit."""
    t = ledger.invoices
    as_of = ledger.as_of
    markup = markup_of(ledger, rule)
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
        days_of_money = (amount - still_open) * days_closed + still_open * days_open
        profit = profit - days_of_money * funding_of(rule, markup)
    return t.mutate(period=ordinal_of(t.invoice_date, period), cost_=cost, profit_=profit)


def funding_of(rule: ReturnRule, markup: Any) -> Any:
    """Return what a day costs for each unit of an amount: funds are bound by its cost alone.

    An amount a of which the part x was out for d days costs f/365 · c · (x d)/a, and c/a is
    1/(1 + R), whatever the amount: so days of money can be added up before.
    """
    return (rule.funding_rate / _DAYS_PER_YEAR) / (markup + 1.0)


def ordinal_of(date: Any, period: str) -> Any:
    """Return the number of a date's period, as pandas counts them."""
    each = UNITS[period][1]
    years = (date.year() - _EPOCH) * each
    if each == 1:
        return years
    return years + (date.month() - 1 if each == 12 else date.quarter() - 1)


def markup_of(ledger: Ledger, rule: ReturnRule) -> Any:
    """Return the markup, a number or a column of the ledger.

    Raises
    ------
    ModelError
        For a column that the ledger does not have.
    DataError
        For one with a value that is not a number above 0.
    """
    if not isinstance(rule.markup, str):
        return float(rule.markup)
    if rule.markup not in ledger.groups:
        raise ModelError(
            f"markup names the column {rule.markup!r}, which the ledger does not have; its further "
            f"columns are {listing(ledger.groups)}.{did_you_mean(rule.markup, ledger.groups)}"
        )
    column = figures(ledger.invoices[rule.markup])
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


def figures(column: Any) -> Any:
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
