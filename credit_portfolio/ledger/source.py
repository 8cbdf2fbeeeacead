"""Open a ledger: read a source as it is, judge every row, and see the book as of a day.

The rows go into an embedded DuckDB of their own. From there on everything is an Ibis expression:
text from a file is only ever a value.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import ibis
import ibis.expr.operations as ops
import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.figures import UNSURE, Marks, date_pattern, grouped, sure_decimal
from credit_portfolio.ledger.positions import MONEY_TYPE, Ledger, frame_of, positions_on
from credit_portfolio.ledger.quality import (
    BLANK,
    READABLE,
    TOO_FINE,
    TOO_LARGE,
    UNREADABLE,
    first_broken,
)
from credit_portfolio.ledger.reading import Incoming, reading
from credit_portfolio.ledger.record import (
    day_or_latest,
    one_currency,
    quality_record,
    rejected_rows,
)
from credit_portfolio.ledger.schema import (
    DATES,
    MONEY,
    NAMES,
    Profile,
    match_columns,
    resolve_profile,
)

__all__ = ["Expression", "Ledger", "Profile", "Table", "open_ledger", "read_day"]

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one

# Years outside are slips of the pen: no open book is older, no due date further off.
_FIRST_DAY = datetime.date(1970, 1, 1)
_DAYS_AHEAD = 5 * 365 + 1


def open_ledger(
    source: pd.DataFrame | str | os.PathLike[str],
    profile: str | Profile | Mapping[str, str] | None = None,
    as_of: str | datetime.date | pd.Timestamp | None = None,
    *,
    currency: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    date_format: str | Sequence[str] | None = None,
) -> Ledger:
    """Open a ledger of invoices, check every row, and see it as of a day.

    Parameters
    ----------
    source : pandas.DataFrame or path
        A frame, a Parquet file, or a CSV file in UTF-8 (a byte order mark and gzip are fine).
    profile : str, Profile or mapping, optional
        ``"canonical"`` (the default), ``"ibm"``, a :class:`Profile`, or
        ``{canonical name: source column}`` for the columns that are called otherwise. Columns
        that the profile does not name become grouping columns.
    as_of : str, date or Timestamp, optional
        The day of the picture, ``YYYY-MM-DD`` in text. Default: the latest invoice or settled
        date among the accepted rows that is not after today.
    currency : str, optional
        Take the rows of this currency and reject the others; the label of the money when the
        source has no currency column.
    separator : str, optional
        Of a CSV file; found from the header when left out.
    decimal : str, optional
        ``"."`` or ``","`` in money written as text; found from the figures when left out. The
        other mark may then part thousands.
    date_format : str or sequence of str, optional
        Overrides the profile's formats of dates in text, such as ``"%d.%m.%Y"``.

    Returns
    -------
    Ledger

    Raises
    ------
    DataError
        The source is missing, empty, not readable, lacks or doubles columns, mixes currencies,
        leaves the decimal mark open, has no acceptable row, or starts after ``as_of``.
    ModelError
        An unknown profile, a wrong mapping, or an option that does not fit the source.

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
    chosen = resolve_profile(profile, date_format)
    day = read_day(as_of)
    asked = None if currency is None else _currency_label(currency)
    with reading(source, chosen, separator) as incoming:
        mapped, groups = match_columns(chosen, incoming.names, incoming.where)
        engine = _engine()
        raw = _load(engine, incoming)
    columns = {name: raw[f"c{index}"] for name, index in mapped.items()}
    incoming.note_absent(chosen, mapped)
    marks = _decimal_marks(raw, columns, decimal, incoming)
    if date_format is not None and not any(_is_text(columns[n]) for n in DATES if n in columns):
        raise ModelError(
            f"date_format is for dates written as text; those of {incoming.where} are dates "
            "already: leave it out"
        )
    today = _today()
    parsed = _parse(raw, columns, incoming, mapped, chosen, marks, asked, today)
    judged = _judge(engine, parsed, list(groups.values()))
    return _ledger(engine, judged, incoming, chosen, mapped, groups, day, asked, today)


def _today() -> datetime.date:
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


def _currency_label(currency: str) -> str:
    if not isinstance(currency, str):
        raise TypeError(f"currency is text such as 'EUR', not {type(currency).__name__}")
    if not currency.strip():
        raise ModelError("currency is blank; expected a code such as 'EUR', or None")
    return currency.strip().upper()


def _engine() -> Any:
    """Return an embedded engine of its own: nothing shared, nothing printed, no network."""
    engine = ibis.duckdb.connect()
    # In Jupyter without ipywidgets DuckDB has its bar off, and refuses even to be told so.
    if engine.con.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (True,):
        engine.raw_sql("SET enable_progress_bar = false")
    for setting in ("autoinstall_known_extensions = false", "autoload_known_extensions = false"):
        engine.raw_sql(f"SET {setting}")
    return engine


def _load(engine: Any, incoming: Incoming) -> Table:
    """Write the well-formed rows into the table ``raw``."""
    schema = None
    for batch in incoming.numbered():
        verb = "INSERT INTO raw" if schema else "CREATE OR REPLACE TEMP TABLE raw AS"
        engine.con.register("batch", batch)
        engine.con.execute(f"{verb} SELECT * FROM batch")
        engine.con.unregister("batch")
        schema = ibis.Schema.from_pyarrow(batch.schema)
    return ops.DatabaseTable("raw", schema=schema, source=engine).to_expr()


def _store(engine: Any, name: str, table: Table) -> Table:
    """Compute a table once, and return what refers to it.

    Written out rather than left to ``create_table`` of Ibis 12.0, which asks DuckDB for the types
    again through a call that DuckDB has since deprecated, with a warning each time.
    """
    engine.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {engine.compile(table)}")
    return ops.DatabaseTable(name, schema=table.schema(), source=engine).to_expr()


def _number(scalar: Expression) -> int:
    """Compute a count; over no rows it is 0."""
    value = scalar.to_pyarrow().as_py()
    return int(value or 0)


# --- money in text ------------------------------------------------------------------------------


def _decimal_marks(
    raw: Table, columns: Mapping[str, Expression], decimal: str | None, incoming: Incoming
) -> Marks:
    """Return how money is written in the text columns, from every figure in them.

    Raises
    ------
    DataError
        When the figures fit both readings, or as many speak for one mark as for the other.
    """
    if decimal is not None and decimal not in (".", ","):
        raise ModelError(f"decimal is {decimal!r}; expected '.' or ','")
    texts = [columns[name].strip() for name in MONEY if name in columns and _is_text(columns[name])]
    if decimal is not None:
        if not texts:
            raise ModelError(
                f"decimal is for money written as text; the money of {incoming.where} is numeric: "
                "leave it out"
            )
        incoming.notes.append(f"decimal mark given: {decimal!r}")
        return Marks(decimal, lone_group=True)
    if not texts:
        return Marks()
    patterns = (sure_decimal("."), sure_decimal(","), UNSURE, grouped("."), grouped(","))
    counts = {
        f"n{index}": sum(text.re_search(pattern).sum().fill_null(0) for text in texts)
        for index, pattern in enumerate(patterns)
    }
    seen_figures = frame_of(raw.aggregate(**counts)).iloc[0]
    dot, comma, unsure, dot_grouped, comma_grouped = (int(count) for count in seen_figures)
    if dot == comma and (dot or unsure):
        raise DataError(
            f"the decimal mark of {incoming.where} is not clear: {dot:,} figures can only be read "
            f"with '.', {comma:,} only with ',', and {unsure:,} (like '1.234') with either; "
            "expected one mark: pass decimal='.' or decimal=','"
        )
    mark = "." if dot >= comma else ","
    others = min(dot, comma)
    seen = f"found in {max(dot, comma):,} figures" if dot or comma else "none seen"
    incoming.notes.append(f"decimal mark {mark!r}, {seen}")
    if others:
        incoming.notes.append(
            f"{others:,} figures are written with the other decimal mark and are rejected, as are "
            f"the {unsure:,} that fit both; pass decimal= if {mark!r} is wrong"
        )
    lone_group = bool(dot_grouped if mark == "." else comma_grouped) and not others
    return Marks(mark, lone_group=lone_group, lone_decimal=not others)


def _is_text(column: Expression) -> bool:
    return bool(column.type().is_string())


# --- parsing ------------------------------------------------------------------------------------


@ibis.udf.scalar.builtin(name="try_strptime", signature=((str, str), datetime.datetime))
def _try_strptime(text, form):  # type: ignore[no-untyped-def]
    """Read a moment from text, NULL when it does not fit; the engine has the body."""


def _parse(
    raw: Table,
    columns: Mapping[str, Expression],
    incoming: Incoming,
    mapped: Mapping[str, int],
    profile: Profile,
    marks: Marks,
    asked: str | None,
    today: datetime.date,
) -> Table:
    """Return the rows with typed columns, states of money, and marks of what was repaired."""
    for name in ("customer_id", "invoice_id"):
        _refuse_id_type(columns[name], name, incoming, mapped[name])
    fields: dict[str, Expression] = {"row": raw.row}
    trimmed = ibis.literal(False)
    for name in ("customer_id", "invoice_id"):
        text = columns[name].cast("string")
        fields[name] = text.strip().nullif("")
        trimmed = trimmed | (text != text.strip()).fill_null(False)
    timed = ibis.literal(False)
    patterns = {form: date_pattern(form) for form in profile.date_formats}
    for name in DATES:
        day, blank, hours = _date(columns.get(name), patterns, name, incoming.where)
        fields[name] = day
        fields[f"{name}_blank"] = blank
        timed = timed | hours
    last_day = today + datetime.timedelta(days=_DAYS_AHEAD)
    implausible = ibis.literal(False)
    for name in DATES:
        outside = (fields[name] < _FIRST_DAY) | (fields[name] > last_day)
        implausible = implausible | outside.fill_null(False)
    rounded = ibis.literal(False)
    for name in MONEY:
        value, state, inexact = _money(columns.get(name), marks, name, incoming.where)
        fields[name] = value
        fields[f"{name}_state"] = state
        rounded = rounded | inexact
    fields["disputed"] = _flag(columns.get("disputed"), profile)
    fields["currency"] = _currency(raw, columns.get("currency"))
    fields["currency_asked"] = _currency_asked(raw, columns.get("currency"), asked)
    fields |= {"trimmed": trimmed, "timed": timed, "rounded": rounded, "implausible": implausible}
    rest = [raw[name] for name in raw.columns if name != "row"]
    return raw.select(*rest, **fields)


def _refuse_id_type(column: Expression, name: str, incoming: Incoming, index: int) -> None:
    kind = column.type()
    if index in incoming.floats:
        found = "floats among its cells"
    elif kind.is_string() or kind.is_integer():
        return
    else:
        found = f"type {kind}"
    raise DataError(
        f"{name} (column {incoming.names[index]!r} of {incoming.where}) has {found}; expected text "
        "or whole numbers, since 123.0 may have been '123' or '0123': read the source with that "
        "column as text, such as dtype=str"
    )


def _date(
    column: Expression | None, patterns: Mapping[str, str], name: str, where: str
) -> tuple[Expression, Expression, Expression]:
    """Return the day (NULL when blank or unreadable), blank or not, and whether hours went."""
    never = ibis.literal(False)
    if column is None:
        return ibis.null("date"), ibis.literal(True), never
    kind = column.type()
    if kind.is_date():
        return column, column.isnull(), never
    if kind.is_timestamp():
        if kind.timezone is not None:
            raise DataError(
                f"{name} of {where} has times with the zone {kind.timezone!r}; expected plain days,"
                " since the day depends on the zone: convert it, such as "
                ".dt.tz_convert(zone).dt.tz_localize(None)"
            )
        day = column.cast("date")
        return day, column.isnull(), (column != day.cast("timestamp")).fill_null(False)
    text = column.cast("string").strip()
    days = [
        text.re_search(pattern).ifelse(_try_strptime(text, form), None).cast("date")
        for form, pattern in patterns.items()
    ]
    first = days[0] if len(days) == 1 else ibis.coalesce(*days)
    for other in days[1:]:  # two formats that read two days out of one text: not for us to choose
        first = (other == first).fill_null(True).ifelse(first, None)
    return first, text.fill_null("") == "", never


def _money(
    column: Expression | None, marks: Marks, name: str, where: str
) -> tuple[Expression, Expression, Expression]:
    """Return the value (NULL unless readable), its state, and whether it was rounded."""
    never = ibis.literal(False)
    if column is None:
        return ibis.null(MONEY_TYPE), ibis.literal(BLANK), never
    kind = column.type()
    if kind.is_floating():
        return _float_money(column.cast("float64"))
    if not (kind.is_string() or kind.is_integer() or kind.is_decimal()):
        raise DataError(f"{name} of {where} has type {kind}; expected numbers, or text")
    text = column.cast("string").strip()
    if not kind.is_string():
        marks = Marks()
    m, g = re.escape(marks.decimal), re.escape(marks.group)
    readable = text.re_search(rf"^[+-]?(\d+({m}\d+)?|{m}\d+)$")
    readable |= text.re_search(grouped(marks.decimal))
    if marks.lone_group:
        readable |= text.re_search(rf"^[+-]?[1-9]\d{{0,2}}{g}\d{{3}}$")
    if not marks.lone_decimal:
        readable &= ~text.re_search(UNSURE)
    figures = text.replace(marks.group, "").replace(marks.decimal, ".")
    fine = figures.re_search(r"\.\d{4}\d*[1-9]")
    value = (readable & ~fine).ifelse(figures, None).try_cast(MONEY_TYPE)
    state = ibis.cases(
        (text.fill_null("") == "", BLANK),
        (~readable, UNREADABLE),
        (fine, TOO_FINE),
        (value.isnull(), TOO_LARGE),
        else_=READABLE,
    )
    return value, state, never


def _float_money(column: Expression) -> tuple[Expression, Expression, Expression]:
    """Round binary floats to four decimals; NaN is blank, infinity unreadable."""
    column = column.isnan().ifelse(None, column)
    value = column.isinf().ifelse(None, column).try_cast(MONEY_TYPE)
    state = ibis.cases(
        (column.isnull(), BLANK),
        (column.isinf(), UNREADABLE),
        (value.isnull(), TOO_LARGE),
        else_=READABLE,
    )
    return value, state, (value.cast("float64") != column).fill_null(False)


def _flag(column: Expression | None, profile: Profile) -> Expression:
    """Return yes or no, NULL for a word that the profile does not know; blank is no."""
    if column is None:
        return ibis.literal(False)
    kind = column.type()
    if kind.is_boolean():
        return column.fill_null(False)
    if kind.is_floating():  # yes and no with gaps, as pandas may hold them
        column = column.isnan().ifelse(None, column)
        column = column.cast("float64").cast("string").re_replace(r"\.0$", "")
    word = column.cast("string").strip().lower().fill_null("")
    return ibis.cases(
        (word == "", False),
        (word.isin([true.lower() for true in profile.true_words]), True),
        (word.isin([false.lower() for false in profile.false_words]), False),
    )


def _currency(raw: Table, column: Expression | None) -> Expression:
    if column is None:
        return ibis.literal("")
    return column.cast("string").strip().upper().fill_null("")


def _currency_asked(raw: Table, column: Expression | None, asked: str | None) -> Expression:
    """Return whether a row is in the currency asked for; a column without a word says nothing."""
    label = _currency(raw, column)
    if asked is None or column is None or not _number((label != "").sum()):
        return ibis.literal(True)
    return label == asked


# --- judging ------------------------------------------------------------------------------------


def _judge(engine: Any, parsed: Table, groups: Sequence[int]) -> Table:
    """Store the rows with the first rule that each breaks, empty when accepted."""
    parsed = _store(engine, "parsed", parsed)
    in_full = parsed.settled_amount_state.isin((BLANK,)) & parsed.settled_date.notnull()
    rest = parsed.amount - parsed.written_off_amount.fill_null(0)
    judged = parsed.mutate(
        rule=first_broken(parsed),
        in_full=in_full,
        settled_amount=in_full.ifelse(rest, parsed.settled_amount).fill_null(0).cast(MONEY_TYPE),
        written_off_amount=parsed.written_off_amount.fill_null(0).cast(MONEY_TYPE),
    )
    judged = _store(engine, "judged", judged)
    copies = _store(engine, "copies", _copies(judged, groups))
    if not _number(copies.count()):
        return judged
    joined = judged.left_join(copies, "row")
    return _store(
        engine,
        "judged_copies",
        joined.select(
            *[judged[name] for name in judged.columns if name != "rule"],
            rule=copies.copy_rule.fill_null(judged.rule),
        ),
    )


def _copies(judged: Table, groups: Sequence[int]) -> Table:
    """Return row and rule of the copies to reject, among rows that broke no other rule."""
    clean = judged.filter(judged.rule == "")
    ids = clean.group_by("invoice_id").aggregate(rows=clean.count())
    several = clean.semi_join(ids.filter(ids.rows > 1), "invoice_id")
    compared = [name for name in NAMES if name != "invoice_id"]
    compared += [f"c{index}" for index in groups]
    same = ibis.literal(True)
    for name in compared:
        cell = several[name]
        blanks = cell.isnull().sum()
        same &= (cell.nunique() <= 1) & ((blanks == 0) | (blanks == several.count()))
    verdict = several.group_by("invoice_id").aggregate(first=several.row.min(), same=same)
    joined = several.select("row", "invoice_id").join(verdict, "invoice_id")
    joined = joined.filter(~(joined.same & (joined.row == joined.first)))
    return joined.select(
        "row", copy_rule=joined.same.ifelse("identical_copy", "conflicting_copies")
    )


def _ledger(
    engine: Any,
    judged: Table,
    incoming: Incoming,
    profile: Profile,
    mapped: Mapping[str, int],
    groups: Mapping[str, int],
    day: datetime.date | None,
    asked: str | None,
    today: datetime.date,
) -> Ledger:
    rejected = rejected_rows(judged, incoming, mapped)
    accepted = judged.filter(judged.rule == "")
    label = one_currency(accepted, rejected, incoming, asked or profile.currency)
    as_of = day_or_latest(accepted, day, incoming.where, today)
    named = accepted.select(
        *[accepted[name] for name in NAMES if name != "currency"],
        *[accepted[f"c{index}"].name(name) for name, index in groups.items()],
    )
    invoices = _store(engine, "invoices", positions_on(named, as_of, list(groups)))
    t = invoices
    counts = t.aggregate(
        invoices=t.count(), customers=t.customer_id.nunique(), still_open=(t.open > 0).sum()
    )
    n_invoices, n_customers, n_open = (int(n) for n in frame_of(counts).iloc[0])
    quality = quality_record(judged, invoices, rejected, incoming, profile, label, as_of, today)
    for table in ("raw", "parsed", "judged", "copies", "judged_copies"):
        engine.con.execute(f"DROP TABLE IF EXISTS {table}")
    return Ledger(invoices, as_of, label, quality, tuple(groups), n_invoices, n_open, n_customers)
