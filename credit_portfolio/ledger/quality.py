"""The rules that a row must keep, and the record of what a source contained.

A rule is data: a name, a condition on the parsed columns, and sentences of what it means, what was
found in the row and what to do. A row is counted under the first rule that it breaks.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from string import Formatter
from typing import Any

import pandas as pd

from credit_portfolio.figures import UNSURE

MONEY_PLACES = 4
"""Decimals that money keeps; more are rejected in text and rounded in binary floats."""

MONEY_DIGITS = 18
"""Digits of a single amount, decimals included: up to 99,999,999,999,999.9999."""


MARK = "mark_"
"""Columns of rows that a repair touched begin with it; the rest is the name of the finding."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a row can be wrong.

    Parameters
    ----------
    name : str
        What the rule is called.
    meaning, what_to_do : str
        A sentence each.
    reason : str
        Template of what was found in a row; fields are canonical names, given as source text.
    broken : callable, optional
        From the table of parsed rows to a condition (an expression of the engine). None where
        the reader itself or a comparison of rows decides.
    """

    name: str
    meaning: str
    what_to_do: str
    reason: str
    broken: Callable[[Any], Any] | None = None


RULES: tuple[Rule, ...] = (
    Rule(
        "malformed_row",
        "The line has another number of fields than the header.",
        "Quote fields that hold the separator or a line break, and close every quote.",
        "{line}",
    ),
    Rule(
        "missing_customer_id",
        "The row does not say who owes.",
        "Fill in the customer, or book the row outside the ledger.",
        "customer_id is blank",
        lambda t: t.customer_id.isnull(),
    ),
    Rule(
        "missing_invoice_id",
        "The row has no invoice number, so copies of it could not be told.",
        "Fill in the invoice number.",
        "invoice_id is blank",
        lambda t: t.invoice_id.isnull(),
    ),
    Rule(
        "unreadable_invoice_date",
        "The invoice date is missing or not in the profile's date format.",
        "Write the date in the profile's format, or pass date_format=.",
        "invoice_date {invoice_date} is no date in the profile's format",
        lambda t: t.invoice_date.isnull(),
    ),
    Rule(
        "unreadable_due_date",
        "The due date is missing or not in the profile's date format.",
        "Write the date in the profile's format, or pass date_format=; work terms out to a date.",
        "due_date {due_date} is no date in the profile's format",
        lambda t: t.due_date.isnull(),
    ),
    Rule(
        "unreadable_settled_date",
        "The settled date is neither blank nor in the profile's date format.",
        "Write the date in the profile's format, or leave it blank while the invoice is open.",
        "settled_date {settled_date} is no date in the profile's format",
        lambda t: t.settled_date.isnull() & ~t.settled_date_blank,
    ),
    Rule(
        "implausible_date",
        "A date is before 1970 or more than five years after today.",
        "Mend the year; leave the settled date blank while the invoice is open.",
        "a date is before 1970 or more than five years after today: invoice_date {invoice_date}, "
        "due_date {due_date}, settled_date {settled_date}",
        lambda t: t.implausible,
    ),
    Rule(
        "amount_not_a_number",
        "The amount is blank or not a finite number written with the file's decimal mark.",
        "Write plain figures; pass decimal='.' or decimal=',' where marks are mixed or unclear.",
        "amount {amount} is not a number",
        lambda t: t.amount_blank | t.amount_unreadable,
    ),
    Rule(
        "amount_not_positive",
        "The amount is zero or negative; credit notes and payments are not invoices.",
        "Net credit notes against their invoices, or leave them out.",
        "amount {amount} is not above zero",
        lambda t: t.amount <= 0,
    ),
    Rule(
        "bad_settled_amount",
        "The settled amount is not a number, or negative.",
        "Write plain figures from 0 up; blank with a settled date means in full.",
        "settled_amount {settled_amount} is not a number from 0 up",
        lambda t: t.settled_amount_unreadable | (t.settled_amount < 0),
    ),
    Rule(
        "bad_written_off_amount",
        "The written-off amount is not a number, or negative.",
        "Write plain figures from 0 up; blank means nothing was written off.",
        "written_off_amount {written_off_amount} is not a number from 0 up",
        lambda t: t.written_off_amount_unreadable | (t.written_off_amount < 0),
    ),
    Rule(
        "too_many_decimals",
        "Money is written with more than four decimals; it is not rounded in silence.",
        "Round to four decimals or fewer in the source.",
        "more than four decimals in {money}",
        lambda t: t.amount_too_fine | t.settled_amount_too_fine | t.written_off_amount_too_fine,
    ),
    Rule(
        "amount_too_large",
        "Money has more than fourteen digits before the decimal mark.",
        "Check the figure, or count in a larger unit.",
        "more than fourteen digits in {money}",
        lambda t: t.amount_too_large | t.settled_amount_too_large | t.written_off_amount_too_large,
    ),
    Rule(
        "settled_amount_without_date",
        "Money was collected, but not when; it cannot be placed before or after the date asked.",
        "Fill in the settled date.",
        "settled_amount {settled_amount} has no settled_date",
        lambda t: (t.settled_amount > 0) & t.settled_date.isnull(),
    ),
    Rule(
        "settled_above_amount",
        "Collected and written-off money together are more than the amount.",
        "Book overpayments outside the invoice, or mend the figures.",
        "settled_amount {settled_amount} and written_off_amount {written_off_amount} are together "
        "above amount {amount}",
        lambda t: t.settled_amount.fill_null(0) + t.written_off_amount.fill_null(0) > t.amount,
    ),
    Rule(
        "due_before_invoiced",
        "The invoice is due before its own date.",
        "Mend the date that is wrong.",
        "due_date {due_date} is before invoice_date {invoice_date}",
        lambda t: t.due_date < t.invoice_date,
    ),
    Rule(
        "settled_before_invoiced",
        "The invoice is settled before its own date.",
        "Mend the date that is wrong, or book the payment as one on account.",
        "settled_date {settled_date} is before invoice_date {invoice_date}",
        lambda t: t.settled_date < t.invoice_date,
    ),
    Rule(
        "unknown_disputed_word",
        "The disputed column holds a word that is neither a yes nor a no of the profile.",
        "Use the profile's words, or give it true_words and false_words.",
        "disputed {disputed} is neither a yes nor a no of the profile",
        lambda t: t.disputed.isnull(),
    ),
    Rule(
        "other_currency",
        "The row is in another currency than the one asked for; it is never added up with it.",
        "Open one ledger for each currency.",
        "currency {currency} is not the one asked for",
        lambda t: ~t.currency_asked,
    ),
    Rule(
        "identical_copy",
        "The row repeats an earlier row of the same invoice in every column; the first is kept.",
        "Nothing is lost; export each invoice once.",
        "invoice_id {invoice_id} stands on an earlier row, the same in every column",
    ),
    Rule(
        "conflicting_copies",
        "Rows of the same invoice differ; nobody can tell which is right, so all are rejected.",
        "Keep the right row; add up part deliveries or number them apart.",
        "invoice_id {invoice_id} stands on rows that differ",
    ),
)
REPAIR_RULES: tuple[Rule, ...] = (
    Rule(
        "unreadable_side",
        "The flag for debit or credit is none of the words given in Sides.",
        "Fill in the flag, or give Sides the word.",
        "the flag for debit or credit is none of the words given",
    ),
    Rule(
        "set_apart",
        "A down payment, a bill of exchange, a guarantee: no invoice, as set_apart says.",
        "Nothing: such money is shown here, and is in no figure of the ledger.",
        "set_apart says that the row is no invoice",
    ),
    Rule(
        "unknown_tax_code",
        "The tax code is none of vat_codes, so nobody knows whether the amount holds tax.",
        "Give vat_codes the code, with rate 0 where the amount holds no tax.",
        "the tax code is none of those given",
    ),
    Rule(
        "held_out_disputed",
        "The invoice is disputed, and disputed ones are held out.",
        "Nothing: such money is shown here; leave hold_out_disputed out to count it.",
        "disputed {disputed}: held out",
    ),
    Rule(
        "no_rate",
        "There is no rate of its currency for the day of the invoice.",
        "Add the rate; let older ones count with max_rate_age_days.",
        "no rate of {currency} for {invoice_date}",
    ),
)
"""Rules that only a repair can break; the record lists those that some row broke."""

RULE: Mapping[str, Rule] = {rule.name: rule for rule in (*RULES, *REPAIR_RULES)}


def first_broken(parsed: Any) -> Any:
    """Return the expression of the first rule that a parsed row breaks, empty when none.

    Parameters
    ----------
    parsed : table expression
        Columns as parsed by the source, see ``source.py``.
    """
    name: Any = ""
    for rule in reversed(RULES):
        if rule.broken is not None:
            name = rule.broken(parsed).ifelse(rule.name, name)
    return name


def reason(rule: str, found: Mapping[str, str | None]) -> str:
    """Say what was found in a row that breaks a rule.

    >>> reason("amount_not_positive", {"amount": "-5"})
    "amount '-5' is not above zero"
    """
    words = {name: "(blank)" if not text else repr(text) for name, text in found.items()}
    words["money"] = ", ".join(f"{name} {words[name]}" for name in _MONEY if found.get(name))
    words["line"] = found.get("line") or ""
    return _two_readings(rule, found) or RULE[rule].reason.format_map(words)


def reasons(rules: Sequence[str], cells: Mapping[str, Sequence[str | None]]) -> list[str]:
    """Say what was found in each row; ``cells`` are the columns that the source has.

    >>> reasons(["amount_not_positive"], {"amount": ["-5"], "customer_id": ["C1"]})
    ["amount '-5' is not above zero"]
    """
    blank: Sequence[str | None] = [None] * len(rules)
    asked = {
        rule: [(name, cells.get(name, blank)) for name in fields_of(RULE[rule].reason)]
        for rule in set(rules)
    }
    return [
        reason(rule, {name: column[place] for name, column in asked[rule]})
        for place, rule in enumerate(rules)
    ]


def fields_of(template: str) -> list[str]:
    """Return what the reason of a rule tells, mostly columns.

    >>> fields_of("{due_date} is before {invoice_date}")
    ['due_date', 'invoice_date']
    """
    names = {name for _, name, _, _ in Formatter().parse(template) if name}
    return sorted(names - {"money"} | (set(_MONEY) if "money" in names else set()))


_MONEY = ("amount", "settled_amount", "written_off_amount")
_MONEY_OF_RULE = {
    "amount_not_a_number": "amount",
    "bad_settled_amount": "settled_amount",
    "bad_written_off_amount": "written_off_amount",
}


def _two_readings(rule: str, found: Mapping[str, str | None]) -> str:
    """Say so where a figure is refused because its one mark may part thousands or decimals."""
    name = _MONEY_OF_RULE.get(rule)
    text = (found.get(name) or "").strip() if name else ""
    if text.startswith("-") or not re.search(UNSURE, text):
        return ""
    figures = text.removeprefix("+").replace(",", ".")
    whole = figures.replace(".", "")
    return f"{name} {text!r} could be {figures} or {whole}; pass decimal='.' or decimal=','"


def money_text(value: Decimal) -> str:
    """Write money with separators, to the cent, or to four decimals where it has them.

    >>> money_text(Decimal("1234.5000")), money_text(Decimal("0.0125"))
    ('1,234.50', '0.0125')
    """
    cents = value.quantize(Decimal("0.01"))
    return f"{cents:,}" if cents == value else f"{value:,}"


@dataclass(frozen=True, eq=False, slots=True)
class LedgerQuality:
    """What a source contained: rows read = accepted + rejected, and the money of each side.

    In a ledger of entries the rows counted are entries: a row of the source may become several, and
    ``source_rows`` is the number to hold against the file.

    Parameters
    ----------
    source : str
        File or kind of the source.
    profile : str
        Name of the profile.
    currency : str
        Currency of all money here; empty when unknown.
    rows_read, rows_accepted, rows_rejected : int
        Read is always accepted plus rejected.
    source_rows : int
        Rows of the source that were read; those of a ledger of invoices are ``rows_read``.
    amount_read, amount_accepted, amount_rejected : Decimal
        Sums of the amounts that could be read in the ledger's currency.
    rows_without_readable_amount : int
        Rejected rows that add nothing to ``amount_rejected``: unreadable, or another currency.
    rows_after_as_of, amount_after_as_of : int, Decimal
        Accepted rows invoiced after ``as_of``; they are not in ``Ledger.invoices``.
    rules : pandas.DataFrame
        Every rule in its order: rule, rows, amount, meaning, what_to_do.
    rejected : pandas.DataFrame
        Every rejected row: row (the first data row is 1), rule, reason, then the source's columns
        as text.
    findings : pandas.DataFrame
        Repairs and conventions that touched accepted rows: finding, rows, amount, meaning.
    control_totals : pandas.DataFrame
        Index amount, collected, written_off, open as known on ``as_of``; columns invoices (how
        many are not zero) and money (Decimal). The amount is the sum of the other three.
    notes : tuple of str
        What was detected: encoding, separator, decimal mark, names.
    as_of : datetime.date or None
        The day as of which the totals are known.
    file_name : str
        Name of the source's file without its folder; empty for a DataFrame.
    """

    source: str
    profile: str
    currency: str
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    source_rows: int
    amount_read: Decimal
    amount_accepted: Decimal
    amount_rejected: Decimal
    rows_without_readable_amount: int
    rows_after_as_of: int
    amount_after_as_of: Decimal
    rules: pd.DataFrame
    rejected: pd.DataFrame
    findings: pd.DataFrame
    control_totals: pd.DataFrame
    notes: tuple[str, ...] = ()
    as_of: datetime.date | None = None
    file_name: str = ""

    def _counts(self) -> list[tuple[str, str, str]]:
        """Return label, rows and money of the summary lines."""
        lines = [
            ("read", self.rows_read, self.amount_read),
            ("accepted", self.rows_accepted, self.amount_accepted),
            ("rejected", self.rows_rejected, self.amount_rejected),
            ("accepted, dated after as_of", self.rows_after_as_of, self.amount_after_as_of),
        ]
        counts = [(label, f"{rows:,}", money_text(money)) for label, rows, money in lines]
        if self.counted == "rows":
            return counts
        return [("rows of the source", f"{self.source_rows:,}", ""), *counts]

    @property
    def counted(self) -> str:
        """What the record counts: rows, or entries where the source has another number of rows."""
        return "rows" if self.source_rows == self.rows_read else "entries"

    def _tables(self) -> list[tuple[str, list[tuple[str, str, str]]]]:
        """Return the tables of the page: title, and rows of three texts."""
        unit = self.currency or "currency unknown"
        broken = self.rules[self.rules["rows"] > 0]
        tables = [
            (f"{self.counted} and {unit}", self._counts()),
            ("rejected, by rule", _lines(broken, "rule")),
            ("findings in accepted rows", _lines(self.findings, "finding")),
            (
                f"as known on {self.as_of or 'as_of'}",
                [
                    (str(name), f"{row['invoices']:,}", money_text(row["money"]))
                    for name, row in self.control_totals.iterrows()
                ],
            ),
        ]
        return [(title, lines) for title, lines in tables if lines]

    def _title(self) -> str:
        known = f", as known on {self.as_of}" if self.as_of else ""
        return f"Ledger quality: {self.source} (profile {self.profile}){known}"

    def __repr__(self) -> str:
        """Return one page of text."""
        parts = [self._title()]
        for title, lines in self._tables():
            parts.append(f"\n{title}")
            parts += [f"  {label:<34}{rows:>12}{money:>24}" for label, rows, money in lines]
        if self.rows_without_readable_amount:
            rejected = f"{self.rows_without_readable_amount:,} rejected {self.counted}"
            parts.append(f"\n{rejected} have no amount that could be added up")
        parts += [f"\n{note}" if not index else note for index, note in enumerate(self.notes)]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        """Return the same page as HTML; every text from the source is escaped."""
        parts = [f"<h4>{escape(self._title())}</h4>"]
        for title, lines in self._tables():
            body = "".join(
                f"<tr><td style='text-align:left'>{escape(label)}</td>"
                f"<td>{escape(rows)}</td><td>{escape(money)}</td></tr>"
                for label, rows, money in lines
            )
            head = (
                f"<tr><th style='text-align:left'>{escape(title)}</th><th>rows</th><th>money</th>"
            )
            parts.append(f"<table><thead>{head}</tr></thead><tbody>{body}</tbody></table>")
        parts += [f"<p>{escape(note)}</p>" for note in self.notes]
        return "<div>" + "".join(parts) + "</div>"


def _lines(table: pd.DataFrame, label: str) -> list[tuple[str, str, str]]:
    return [
        (name, f"{rows:,}", money_text(money))
        for name, rows, money in zip(table[label], table["rows"], table["amount"], strict=True)
    ]


def rules_table(counted: Mapping[str, tuple[int, Decimal]]) -> pd.DataFrame:
    """Return every rule with the rows and the money counted under it."""
    none = (0, Decimal(0))
    return pd.DataFrame(
        [
            (rule.name, *counted.get(rule.name, none), rule.meaning, rule.what_to_do)
            for rule in (*RULES, *(rule for rule in REPAIR_RULES if rule.name in counted))
        ],
        columns=["rule", "rows", "amount", "meaning", "what_to_do"],
    )
