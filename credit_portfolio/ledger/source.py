"""Open a ledger: find its rows where they are, judge every one, and see the book as of a day.

From there on everything is one set of Ibis expressions: text from a source is only ever a value,
and a name only ever a quoted name.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger import engines
from credit_portfolio.ledger.bringing import Place, Raw, bring
from credit_portfolio.ledger.judging import customer_codes
from credit_portfolio.ledger.mixed_dates import (
    dates_as_written,
    format_meant,
    mixed_dates,
    with_doubt,
)
from credit_portfolio.ledger.parsing import (
    currency_word,
    decimal_marks,
    is_text,
)
from credit_portfolio.ledger.positions import (
    Embedded,
    Ledger,
    count_customers,
    frame_of,
    positions_on,
)
from credit_portfolio.ledger.record import (
    day_or_latest,
    day_sums,
    one_currency,
    quality_record,
    rejected_rows,
)
from credit_portfolio.ledger.repairs import (
    Repairs,
    ask_about,
    check_kind,
    refuse_without_rate,
)
from credit_portfolio.ledger.schema import (
    DATES,
    Profile,
    match_columns,
    resolve_profile,
)
from credit_portfolio.ledger.verdicts import Case, verdict
from credit_portfolio.ledger.years import spans_decades, with_years_apart

__all__ = ["Expression", "Ledger", "Profile", "Table", "open_ledger", "read_day"]

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one


def open_ledger(
    source: pd.DataFrame | str | os.PathLike[str] | Table,
    profile: str | Profile | Mapping[str, str] | None = None,
    as_of: str | datetime.date | pd.Timestamp | None = None,
    *,
    table: str | None = None,
    schema: str | None = None,
    currency: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    date_format: str | Sequence[str] | None = None,
    memory_limit: str | None = None,
    temp_directory: str | os.PathLike[str] | None = None,
    repairs: Repairs | None = None,
) -> Ledger:
    """Open a ledger of invoices, check every row, and see it as of a day.

    Parameters
    ----------
    source : pandas.DataFrame, path, connection URL or table of Ibis
        A frame; a CSV file in UTF-8 (a byte order mark and gzip are fine); a Parquet file, a
        folder of them or a pattern such as ``"books/2024-*.parquet"``; a DuckDB file or a URL
        ``postgresql://user@host/database``, both with ``table``; or a table that an engine of Ibis
        holds. Of a database, only sums, counts and the rejected rows are fetched, and nothing is
        written to it.
    profile : str, Profile or mapping, optional
        ``"canonical"`` (the default), ``"ibm"``, a :class:`Profile`, or
        ``{canonical name: source column}`` for the columns that are called otherwise. Columns
        that the profile does not name become grouping columns.
    as_of : str, date or Timestamp, optional
        The day of the picture, ``YYYY-MM-DD`` in text. Default: the latest invoice or settled
        date among the accepted rows that is not after today.
    table, schema : str, optional
        Which table or view of the database, by its exact name; without a schema, where the
        database looks first.
    currency : str, optional
        Take the rows of this currency and reject the others; the label of the money when the
        source has no currency column. With ``Repairs(rates=...)`` all rows are turned into it.
    separator : str, optional
        Of a CSV file; found from the header when left out.
    decimal : str, optional
        ``"."`` or ``","`` in money written as text; found from the figures when left out. The
        other mark may then part thousands.
    date_format : str or sequence of str, optional
        Overrides the profile's formats of dates in text, such as ``"%d.%m.%Y"``.
    memory_limit, temp_directory : str and path, optional
        Of the embedded DuckDB, for frames and files: how much memory it may take, such as
        ``"4GB"`` (four fifths of the machine's by default), and where it spills what does not
        fit, into a folder that goes with the ledger.
    repairs : Repairs, optional
        What to mend: due dates from terms, several currencies, customers under two ids, tax, and
        what to set apart or hold out. Nothing is mended without it.

    Returns
    -------
    Ledger

    Raises
    ------
    DataError
        The source is missing, empty, not readable or not reachable, lacks or doubles columns,
        mixes currencies, leaves the decimal mark open, has no acceptable row, or starts after
        ``as_of``.
    ModelError
        An unknown profile, a wrong mapping, or an option that does not fit the source.
    OutputError
        Memory and the place for spilling are both full.
    MissingDependencyError
        The driver of the database is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({
    ...     "customer_id": ["007", "007"], "invoice_id": ["A1", "A2"],
    ...     "invoice_date": ["2024-01-02", "2024-02-01"],
    ...     "due_date": ["2024-02-01", "2024-03-02"],
    ...     "amount": ["100.00", "50.25"], "settled_date": ["2024-02-20", ""]})
    >>> open_ledger(rows, as_of="2024-02-15").exposure().to_dict()
    {'007': 150.25}
    """
    check_kind(repairs)
    chosen = resolve_profile(profile, date_format)
    if repairs is not None and repairs.due_dates:
        chosen = replace(chosen, may_be_absent=chosen.may_be_absent | {"due_date"})
    day = read_day(as_of)
    asked = None if currency is None else currency_label(currency)
    place = Place(table, schema, separator, memory_limit, temp_directory)
    with place.kept_if_opened():
        return _opened(source, chosen, place, day, asked, decimal, date_format, repairs)


def _opened(
    source: Any,
    chosen: Profile,
    place: Place,
    day: datetime.date | None,
    asked: str | None,
    decimal: str | None,
    date_format: str | Sequence[str] | None,
    repairs: Repairs | None,
) -> Ledger:
    raw = bring(source, chosen, place)
    incoming = raw.incoming
    mapped, groups = match_columns(chosen, incoming.names, incoming.where)
    columns = {name: raw.table[f"c{index}"] for name, index in mapped.items()}
    incoming.note_absent(chosen, mapped)
    marks = decimal_marks(raw.table, columns, decimal, incoming)
    if date_format is not None and not any(is_text(columns[n]) for n in DATES if n in columns):
        raise ModelError(
            f"date_format is for dates written as text; those of {incoming.where} are dates "
            "already: leave it out"
        )
    ask_about(list(groups), repairs, incoming.where)
    kept = _kept_currency(raw, columns, asked, repairs)
    case = Case(raw, columns, mapped, groups, chosen, marks, asked, kept, today(), repairs)
    return _ledger(case, day)


def today() -> datetime.date:
    """Return today by the machine's clock; nothing else in the ledger asks for it."""
    return datetime.date.today()


def read_day(as_of: str | datetime.date | pd.Timestamp | None) -> datetime.date | None:
    """Return the calendar day that an argument means.

    Raises
    ------
    ModelError
        For text that is no day in the form YYYY-MM-DD.

    Examples
    --------
    >>> read_day("2013-09-30")
    datetime.date(2013, 9, 30)
    """
    if isinstance(as_of, str):
        text = as_of.strip()
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
                return datetime.date.fromisoformat(text)
        except ValueError:
            pass
        raise ModelError(f"as_of is {as_of!r}; expected a day such as '2013-09-30'")
    if isinstance(as_of, type(pd.NaT)):
        raise ModelError("as_of is NaT, no day; expected a day, or None for the latest one")
    if isinstance(as_of, np.datetime64):
        return read_day(pd.Timestamp(as_of))
    if isinstance(as_of, datetime.datetime):
        return as_of.date()
    if as_of is None or isinstance(as_of, datetime.date):
        return as_of
    raise TypeError(f"as_of is text, a date or None, not {type(as_of).__name__}")


def day_of(day: str | datetime.date | pd.Timestamp) -> datetime.date:
    """Return the calendar day of a picture; there has to be one.

    Raises
    ------
    ModelError
        For None, and for text that is no day.
    """
    found = read_day(day)
    if found is None:
        raise ModelError("the day is None; expected a day such as '2013-09-30'")
    return found


def currency_label(currency: str) -> str:
    """Return a currency as it is compared: in capitals, without space around it."""
    if not isinstance(currency, str):
        raise TypeError(f"currency is text such as 'EUR', not {type(currency).__name__}")
    if not currency.strip():
        raise ModelError("currency is blank; expected a code such as 'EUR', or None")
    return currency.strip().upper()


# --- from rows to a ledger ----------------------------------------------------------------------


def _kept_currency(
    raw: Raw, columns: Mapping[str, Expression], asked: str | None, repairs: Repairs | None
) -> str | None:
    """Return the currency to keep; None where no row says a currency, or all are turned."""
    column = columns.get("currency")
    turned = repairs is not None and repairs.rates is not None
    if asked is None or column is None or turned:
        return None
    said = raw.table.aggregate(n=(currency_word(column) != "").sum().fill_null(0))
    return asked if int(frame_of(said)["n"][0]) else None


def _ledger(case: Case, day: datetime.date | None) -> Ledger:
    raw, incoming = case.raw, case.raw.incoming
    found = verdict(case, day)
    sums, accepted = found.sums, found.accepted
    if not incoming.paths and not raw.keeps:
        incoming.rows = sums.rows
        if not incoming.rows:
            raise DataError(
                f"{incoming.where} has columns and no rows; expected at least one invoice: "
                "check the name, or the rows that this user may see"
            )
    rejected = rejected_rows(found.judged, incoming, case.mapped, raw.places, sums.rejected)
    refuse_without_rate(rejected, incoming.where)
    headers, formats = _headers(case), case.profile.date_formats
    notes, doubtful = mixed_dates(rejected, headers, formats)
    incoming.notes += notes
    hint = ""
    if sums.accepted.empty:
        hint = format_meant(dates_as_written(rejected, headers), formats)
    label = one_currency(sums, rejected, incoming, case.asked or case.profile.currency, hint)
    as_of = day_or_latest(sums, day, incoming.where, case.today)
    known = sums.day if day else day_sums(accepted, as_of)
    quality = quality_record(sums, known, rejected, incoming, case.profile.name, label, as_of)
    if doubtful:
        quality = with_doubt(quality, accepted, doubtful)
    if spans_decades(sums):
        quality = with_years_apart(quality, accepted)
    if raw.engine is not None:  # rejected rows have been fetched
        engines.drop(raw.engine, "unsound", "likely_copies", "several_key", "rejected_of", "gone")
    if raw.keeps:
        engines.drop(raw.engine, "raw", "parsed", "judged", "copies")
    embedded = None
    if raw.engine is not None:
        customers, rows = found.customers, found.rows
        if customers is None:
            customers = raw.keep("customers", customer_codes(accepted))
        days = sums.accepted.iloc[0]
        last = None if days.get("dated_after_today_rows", 0) > 0 else days["last"]
        rows = accepted if rows is None else rows
        embedded = Embedded(customers, rows, days["first"], last)
    return Ledger(
        invoices=positions_on(accepted, as_of, list(case.groups)),
        as_of=as_of,
        currency=label,
        quality=quality,
        groups=tuple(case.groups),
        n_invoices=known["invoices"],
        n_open=known["still_open"],
        n_customers=_customers(accepted, embedded, as_of, known["after"]),
        accepted=accepted,
        embedded=embedded,
    )


def _headers(case: Case) -> dict[str, str]:
    """Return what the columns of dates in text are called among the rejected rows."""
    names = case.raw.incoming.names
    taken = (*case.raw.places, "rule", "reason")
    return {
        name: f"{names[place]} (source)" if names[place] in taken else names[place]
        for name, place in case.mapped.items()
        if name in DATES and is_text(case.columns[name])
    }


def _customers(accepted: Table, embedded: Embedded | None, as_of: datetime.date, after: int) -> int:
    """Count the customers with an invoice by the day, in the list of all where none is later."""
    if embedded is None or after:
        return count_customers(accepted, as_of)
    customers = embedded.customers
    return int(frame_of(customers.aggregate(n=customers.count()))["n"].iloc[0])
