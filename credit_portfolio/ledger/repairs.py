"""What a caller may have repaired, and how: every repair is asked for by name and listed after.

A repair works on the rows as they were read, before any is judged, in expressions of the engine
that holds them. Nothing is repaired that was not asked for; what cannot be repaired is rejected
under a rule, or refused with what to pass instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, TypeAlias

import ibis
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.ledger import currency
from credit_portfolio.ledger.positions import MONEY_TYPE
from credit_portfolio.ledger.profiles import Sides
from credit_portfolio.ledger.quality import MARK, MONEY_PLACES
from credit_portfolio.ledger.schema import plain

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one

FACTORS = ("net_factor", "currency_factor")
"""What all money of a row is multiplied by, in this order."""

MOST_MERGED = 1_000
"""Customers that one mapping may merge: it becomes part of every question to the engine."""

_MOST_DAYS = 3_650
_NET_TYPE = "decimal(20, 18)"
_NET_PLACES = Decimal("1e-18")
_MOST_MONEY = 1e14  # as for the amounts of a source: fourteen digits before the decimal mark


@dataclass(frozen=True, slots=True)
class Terms:
    """When an invoice is due.

    Parameters
    ----------
    days : int
        From the invoice's date on.
    end_of_month : {"", "before", "after"}
        ``"before"`` runs the days from the end of the invoice's month; ``"after"`` takes the end
        of the month in which the days end; empty for neither.

    Examples
    --------
    >>> Terms(30, end_of_month="after")
    Terms(days=30, end_of_month='after')
    """

    days: int
    end_of_month: str = ""

    def __post_init__(self) -> None:
        """Check the figures."""
        if isinstance(self.days, bool) or not isinstance(self.days, int):
            raise TypeError(f"days of payment are a whole number, not {self.days!r}")
        if not 0 <= self.days <= _MOST_DAYS:
            raise ModelError(f"terms of {self.days} days; expected 0 to {_MOST_DAYS}")
        if self.end_of_month not in ("", "before", "after"):
            raise ModelError(
                f"end_of_month is {self.end_of_month!r}; expected 'before' (days run from the end "
                "of the month), 'after' (due at the end of the month in which they end) or ''"
            )


@dataclass(frozen=True, eq=False, slots=True)
class Repairs:
    """What to mend in a ledger of one row an invoice; each line of it is listed as a finding.

    Columns are those of the source. Texts of cells are compared without case.

    Parameters
    ----------
    terms : Terms or int, optional
        Terms of payment for invoices whose due date is blank (or, with ``terms_column``, of those
        of them whose terms are blank too); a whole number is days.
    terms_column, terms_codes : str and mapping of str to Terms or int, optional
        Where the source has terms instead of due dates, and what its codes mean. A code that the
        mapping lacks leaves the due date blank, and the row is rejected.
    rates : pandas.DataFrame or table of Ibis, optional
        Columns currency, date, rate. Every row is turned into the ledger's ``currency=`` at the
        rate in force on its invoice date. See ``currency.py`` for databases.
    max_rate_age_days : int
        For how many days a rate of a frame may be used.
    same_customer : mapping of str to str
        Customer id -> the id that it counts for: another writing, or the parent company.
    vat_rate : number, optional
        All amounts hold this tax, such as ``0.19``, and are taken without it.
    vat_column, vat_codes : str and mapping of str to number, optional
        The column with tax codes, and the rate that each amount holds: 0 for one without tax.
    sides : Sides, optional
        For amounts without a sign: the rows of the credit side count as below 0, and are rejected.
    set_apart : mapping of str to sequence of str
        Column -> texts of rows that are no invoices: down payments, bills of exchange, guarantees.
        They are rejected under a rule of their own; an empty sequence says that there are none.
    netted : mapping of str to sequence of str
        Column -> texts of rows settled against payables: they count as collected, and are listed.
    hold_out_disputed : bool
        Leave disputed invoices out of everything; they are rejected under a rule of their own.

    Examples
    --------
    >>> Repairs(terms=30, same_customer={"200769623": "0200769623"}).terms
    Terms(days=30, end_of_month='')
    """

    terms: Terms | int | None = None
    terms_column: str | None = None
    terms_codes: Mapping[str, Terms | int] = field(default_factory=dict)
    rates: Any = None
    max_rate_age_days: int = 7
    same_customer: Mapping[str, str] = field(default_factory=dict)
    vat_rate: Decimal | float | str | None = None
    vat_column: str | None = None
    vat_codes: Mapping[str, Decimal | float | str] = field(default_factory=dict)
    sides: Sides | None = None
    set_apart: Mapping[str, Sequence[str]] = field(default_factory=dict)
    netted: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hold_out_disputed: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without the rows, and freeze the mappings."""
        object.__setattr__(self, "terms", None if self.terms is None else _terms(self.terms))
        codes = {plain(code): _terms(terms) for code, terms in self.terms_codes.items()}
        object.__setattr__(self, "terms_codes", MappingProxyType(codes))
        _refuse_half("terms_column", self.terms_column, "terms_codes", codes)
        _check_merges(self.same_customer)
        rates = {plain(code): _tax(rate) for code, rate in self.vat_codes.items()}
        object.__setattr__(self, "vat_codes", MappingProxyType(rates))
        _refuse_half("vat_column", self.vat_column, "vat_codes", rates)
        if self.vat_rate is not None:
            if self.vat_column is not None:
                raise ModelError("vat_rate and vat_column are both given; expected one of them")
            object.__setattr__(self, "vat_rate", _tax(self.vat_rate))
        for name in ("set_apart", "netted"):
            given = getattr(self, name)
            bare = [column for column, texts in given.items() if isinstance(texts, str)]
            if bare:
                raise TypeError(f"the texts of {bare[0]!r} in {name} come in a tuple or list")
            object.__setattr__(self, name, MappingProxyType(dict(given)))
        object.__setattr__(self, "same_customer", MappingProxyType(dict(self.same_customer)))

    @property
    def due_dates(self) -> bool:
        """Whether due dates may be worked out, so that the source need not have any."""
        return self.terms is not None or self.terms_column is not None


def _terms(terms: Terms | int) -> Terms:
    return terms if isinstance(terms, Terms) else Terms(terms)


def _tax(rate: object) -> Decimal:
    try:
        read = Decimal(str(rate))
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite() or not 0 <= read < 1:
        raise ModelError(f"a tax rate is {rate!r}; expected a fraction such as 0.19, below 1")
    return read


def _refuse_half(one: str, column: object, other: str, codes: Mapping[str, object]) -> None:
    if (column is None) != (not codes):
        raise ModelError(f"one of {one} and {other} is given without the other; expected both")


def _check_merges(same: Mapping[str, str]) -> None:
    if any(type(text) is not str for pair in same.items() for text in pair):
        raise TypeError("same_customer maps text to text, since customer ids are text")
    chained = [child for child, parent in same.items() if parent in same]
    if chained:
        raise ModelError(
            f"same_customer counts {chained[0]!r} for {same[chained[0]]!r}, which counts for "
            "another customer itself; expected one step: map each id to the last of its chain"
        )
    if len(same) > MOST_MERGED:
        raise ModelError(
            f"same_customer names {len(same):,} customers; expected at most {MOST_MERGED:,}, since "
            "it becomes part of every question: write the id of the parent into the source"
        )


# Columns whose name says that a row may not be what its amount says.
_ASKED = {
    "shkzg": "sides",
    "drcrk": "sides",
    "debit/credit": "sides",
    "debit_credit": "sides",
    "dr/cr": "sides",
    "dr_cr": "sides",
    "umskz": "set_apart",
}
_HOW = {
    "sides": "amounts may have no sign, so that what lowers a debt counts as an invoice; expected "
    "to be told: pass repairs=Repairs(sides=Sides({0!r}, debit=('S',), credit=('H',))) with the "
    "words of your system, open the file with open_entries, or rename the column",
    "set_apart": "down payments and bills of exchange may stand among the invoices; expected to be "
    "told: pass repairs=Repairs(set_apart={{{0!r}: ('A', 'W')}}), with () where there are none, "
    "or open the file with open_entries",
}


def ask_about(names: Sequence[str], repairs: Repairs | None, where: str) -> None:
    """Refuse a source that has flags of the bookkeeper which nobody has explained.

    Parameters
    ----------
    names : sequence of str
        Columns of the source that the profile does not use.
    repairs : Repairs, optional
    where : str
        The source, for messages.

    Raises
    ------
    DataError
        Naming the column and what to pass.
    """
    told = set()
    if repairs is not None:
        told = {plain(name) for name in repairs.set_apart}
        told |= {plain(repairs.sides.column)} if repairs.sides is not None else set()
    for name in names:
        topic = _ASKED.get(plain(name))
        if topic is not None and plain(name) not in told:
            raise DataError(f"{where} has a column {name!r}: {_HOW[topic].format(name)}")


def repaired(
    parsed: Table,
    repairs: Repairs,
    names: Sequence[str],
    where: str,
    to: str | None,
    engine: Any = None,
) -> Table:
    """Return rows with what was asked for put right.

    Parameters
    ----------
    parsed : table expression
        From ``parsing.parse``; the columns of the source are c0, c1, ….
    repairs : Repairs
    names : sequence of str
        What the columns of the source are called, in order.
    where : str
        The source, for messages.
    to : str, optional
        The currency that is asked for.
    engine : backend of Ibis, optional
        The embedded one that holds the rows; None for a database.

    Returns
    -------
    table expression
        With ``refused``, the rule under which a repair rejects a row, else empty; a column
        ``mark_…`` for each finding; and the ``FACTORS`` that :func:`scaled` multiplies with.

    Raises
    ------
    DataError
        When a column that is named is not there, or a table of rates cannot be used.
    ModelError
        For rates without a currency to turn into.
    """
    cells = _Cells(parsed, names, where)
    refused: Expression = ibis.literal("")
    changed: dict[str, Expression] = {}
    if repairs.hold_out_disputed:
        held = parsed.disputed.fill_null(False)
        refused = held.ifelse("held_out_disputed", refused)
    if repairs.vat_rate is not None or repairs.vat_column is not None:
        factor, refused = _net(parsed, repairs, cells, refused)
        changed["net_factor"] = factor
        changed[f"{MARK}taken_without_tax"] = (factor < 1).fill_null(False)
    if repairs.sides is not None:
        side = cells.text(repairs.sides.column)
        debit, credit = _among(side, repairs.sides.debit), _among(side, repairs.sides.credit)
        changed["amount"] = credit.ifelse(-parsed.amount, parsed.amount).cast(MONEY_TYPE)
        refused = (~(debit | credit)).ifelse("unreadable_side", refused)
    for column, texts in repairs.set_apart.items():
        refused = _among(cells.text(column), texts).ifelse("set_apart", refused)
    if repairs.netted:
        marks = [_among(cells.text(column), texts) for column, texts in repairs.netted.items()]
        settled = parsed.settled_date.notnull()
        changed[f"{MARK}netted_with_payables"] = _any(marks) & settled
    if repairs.same_customer:
        changed["customer_id"], touched = _merged(parsed, repairs.same_customer)
        changed[f"{MARK}merged_customers"] = touched
    if repairs.due_dates:
        due = _due(parsed, repairs, cells)
        blank = parsed.due_date_blank & parsed.due_date.isnull()
        changed["due_date"] = blank.ifelse(due, parsed.due_date)
        changed[f"{MARK}due_date_from_terms"] = blank & due.notnull()
    result = parsed.mutate(**changed, refused=refused)
    if repairs.rates is None:
        return result
    if to is None:
        raise ModelError(
            "rates are given and no currency to turn into; expected one: pass currency='EUR'"
        )
    age = repairs.max_rate_age_days
    rates = currency.rates_table(repairs.rates, to, age, parsed, engine)
    return currency.with_rates(result, rates, to)


def _net(
    parsed: Table, repairs: Repairs, cells: _Cells, refused: Expression
) -> tuple[Expression, Expression]:
    """Return what makes an amount one without tax, and the rule for codes that nobody explained."""
    if repairs.vat_column is None:
        return _without(_tax(repairs.vat_rate)), refused
    code = cells.text(repairs.vat_column)
    factor = ibis.cases(
        *((code == known, _without(_tax(rate))) for known, rate in repairs.vat_codes.items()),
        else_=_without(Decimal(0)),
    )
    return factor, code.isin(list(repairs.vat_codes)).ifelse(refused, "unknown_tax_code")


def _without(rate: Decimal) -> Expression:
    factor = (Decimal(1) / (1 + rate)).quantize(_NET_PLACES, ROUND_HALF_UP)
    return ibis.literal(factor, type=_NET_TYPE)


def _due(parsed: Table, repairs: Repairs, cells: _Cells) -> Expression:
    """Return the due date that terms give, NULL where they say nothing."""
    day = parsed.invoice_date
    given = repairs.terms
    default = ibis.null("date") if given is None else due_on(day, _terms(given))
    if repairs.terms_column is None:
        return default
    code = cells.text(repairs.terms_column)
    cases = [(code == known, due_on(day, _terms(t))) for known, t in repairs.terms_codes.items()]
    return ibis.cases(*cases, (code == "", default), else_=ibis.null("date"))


def due_on(day: Expression, terms: Terms) -> Expression:
    """Return the day on which an invoice of a day is due.

    Parameters
    ----------
    day : column of dates
    terms : Terms
    """
    if terms.end_of_month == "before":
        day = _month_end(day)
    due = _later(day, terms.days)
    return _month_end(due) if terms.end_of_month == "after" else due


def _later(day: Expression, days: int) -> Expression:
    # By way of a time, since DuckDB gives one where Ibis 12.0 expects a date.
    return (day + ibis.interval(days=days)).cast("timestamp").cast("date")


def _month_end(day: Expression) -> Expression:
    following = day.truncate("M") + ibis.interval(months=1)
    return (following - ibis.interval(days=1)).cast("timestamp").cast("date")


def scaled(judged: Table) -> Table:
    """Return judged rows with their money multiplied by the factors that repairs gave them.

    What was settled in full stays so, to the last digit, and parts never add up to more than the
    amount: it is rounded to four decimals, and then its parts are.

    Parameters
    ----------
    judged : table expression
        With amount, settled_amount and written_off_amount, the latter two filled.
    """
    for name in FACTORS:
        if name not in judged.columns:
            continue
        t = judged
        amount, settled = _times(t.amount, t[name]), _times(t.settled_amount, t[name])
        settled = ibis.least(settled, amount)
        rest = (amount - settled).cast(MONEY_TYPE)
        in_full = (t.settled_amount + t.written_off_amount == t.amount) & (t.written_off_amount > 0)
        written = ibis.least(_times(t.written_off_amount, t[name]), rest)
        judged = t.mutate(
            amount=amount,
            settled_amount=settled.cast(MONEY_TYPE),
            written_off_amount=in_full.ifelse(rest, written).cast(MONEY_TYPE),
        )
    return judged


def _times(money: Expression, factor: Expression) -> Expression:
    product = money.cast("float64") * factor.cast("float64")
    small = (product.abs() < _MOST_MONEY).fill_null(False)
    money = small.ifelse(money, ibis.null(MONEY_TYPE))
    return (money * factor).round(MONEY_PLACES).cast(MONEY_TYPE)


def refusal(judged: Table) -> Expression:
    """Return the rule under which a sound row cannot be turned, else empty.

    Parameters
    ----------
    judged : table expression
        With amount, and factors as :func:`repaired` gives them.
    """
    rule: Expression = ibis.literal("")
    for name in FACTORS:
        if name in judged.columns:
            product = judged.amount.cast("float64") * judged[name].cast("float64")
            rule = (product.abs() >= _MOST_MONEY).fill_null(False).ifelse("amount_too_large", rule)
            rule = judged[name].isnull().ifelse("no_rate", rule)
    return rule


# What a repair of invoices has to be in a ledger of entries.
_IN_ENTRIES = {
    "terms_column": "a profile with base_date and due_days",
    "rates": "one ledger for each currency, with currency=",
    "vat_rate": "amounts of one kind in the source",
    "vat_column": "amounts of one kind in the source",
    "sides": "a profile with sides",
    "set_apart": "a profile whose kinds leave such rows out: they are rejected as unmapped_row",
    "netted": "a KindRule that makes such rows payments",
}


def check_kind(repairs: object) -> None:
    """Refuse what is no Repairs.

    Raises
    ------
    TypeError
    """
    if repairs is not None and not isinstance(repairs, Repairs):
        raise TypeError(f"repairs is {repairs!r}; expected Repairs(...), such as Repairs(terms=30)")


def for_entries(repairs: Repairs | None) -> None:
    """Refuse repairs that mean something else in a ledger of entries.

    Raises
    ------
    ModelError
        Naming what to pass instead.
    """
    for name, instead in _IN_ENTRIES.items():
        given = getattr(repairs, name, None)
        if given is not None and (name == "rates" or given):
            raise ModelError(
                f"{name} is for a ledger of one row an invoice; expected in a ledger of entries: "
                f"{instead}"
            )


def mended_lines(lines: Table, repairs: Repairs) -> Table:
    """Return the lines of a ledger of entries with customers merged and due dates filled in.

    Parameters
    ----------
    lines : table expression
        From ``lines.lines_of``, with ``due_blank``: whether the source says no due date.
    repairs : Repairs

    Returns
    -------
    table expression
        The same lines without ``due_blank``, with a column ``mark_…`` for each finding.
    """
    changed: dict[str, Expression] = {}
    if repairs.same_customer:
        changed["customer_id"], touched = _merged(lines, repairs.same_customer)
        changed[f"{MARK}merged_customers"] = touched
    if repairs.terms is not None:
        blank = lines.due_blank & lines.due_date.isnull() & (lines.kind == "invoice")
        blank = blank.fill_null(False)
        due = due_on(lines.booking_date, _terms(repairs.terms))
        changed["due_date"] = blank.ifelse(due, lines.due_date)
        changed[f"{MARK}due_date_from_terms"] = blank & due.notnull()
    return lines.mutate(**changed).drop("due_blank")


def _merged(t: Table, same: Mapping[str, str]) -> tuple[Expression, Expression]:
    """Return the customer that each row counts for, and whether it is another than it names."""
    cases = [(t.customer_id == child, ibis.literal(parent)) for child, parent in same.items()]
    touched = t.customer_id.isin(list(same)).fill_null(False)
    return ibis.cases(*cases, else_=t.customer_id), touched


def refuse_without_rate(rejected: pd.DataFrame, where: str) -> None:
    """Refuse a source with rows that no rate turns into the ledger's currency.

    Raises
    ------
    DataError
        With every such row in ``failures``.
    """
    bad = rejected[rejected["rule"] == "no_rate"]
    if len(bad):
        reasons = list(dict.fromkeys(bad["reason"]))
        raise DataError(
            f"{len(bad):,} rows of {where} have no rate in force on their day: "
            f"{'; '.join(reasons[:3])}{' …' if len(reasons) > 3 else ''}; expected one for every "
            "currency and day: add rates, or let older ones count with max_rate_age_days",
            bad,
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Cells:
    """Finds columns of the source by name, and gives their cells as text."""

    parsed: Table
    names: Sequence[str]
    where: str

    def text(self, name: str) -> Expression:
        places = {plain(known): index for index, known in enumerate(self.names)}
        if plain(name) not in places:
            raise DataError(
                f"{self.where} has no column {name!r}, which the repairs name; found "
                f"{listing(self.names, 30)}: mend the repairs.{did_you_mean(name, self.names)}"
            )
        cell = self.parsed[f"c{places[plain(name)]}"]
        return cell.cast("string").strip().lower().fill_null("")


def _among(text: Expression, words: Sequence[str]) -> Expression:
    return text.isin([plain(word) for word in words]) if len(words) else ibis.literal(False)


def _any(conditions: Sequence[Expression]) -> Expression:
    result: Expression = ibis.literal(False)
    for condition in conditions:
        result = result | condition
    return result
