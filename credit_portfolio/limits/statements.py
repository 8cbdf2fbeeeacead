"""Balance sheets of customers: how they are read, which rows cannot be, and which one counts.

One row is one statement of one customer. The canonical columns:

==========================  =====================================================================
``customer_id``             text, white space around it cut off; whole numbers become text, so
                            leading zeros survive only in text
``statement_date``          the balance-sheet date, or a year: 2014 is read as 2014-12-31
``current_assets``          money
``inventory``               money, a part of the current assets; blank is missing, not 0
``current_liabilities``     money
``total_liabilities``       money, current liabilities included
``net_worth``               money; where this column is absent: total assets − total liabilities
``total_assets``            money; needed only without ``net_worth``, else checked against it
``intangible_assets``       money; needed only for tangible net worth
``currency``                optional; one for all rows, since amounts are compared and added
==========================  =====================================================================

A blank amount is that customer's gap and stays blank. A row that cannot be read is set aside with
its rule and reason, and stops nobody else: see :class:`Statements`. What makes the *table*
unreadable (no rows, a missing or doubled column, two currencies, a decimal mark that could be
either) is a DataError.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from os import PathLike
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.limits.cells import (
    AmountReader,
    amount_reader,
    day_reader,
    decimal_marks,
    is_blank,
    read_amounts,
    read_days,
    read_id,
)
from credit_portfolio.limits.files import malformed, read_lines

DateLike = str | date | np.datetime64

REQUIRED_AMOUNTS = ("current_assets", "inventory", "current_liabilities", "total_liabilities")
OPTIONAL_AMOUNTS = ("net_worth", "total_assets", "intangible_assets")
AMOUNTS = (*REQUIRED_AMOUNTS, *OPTIONAL_AMOUNTS)
STATEMENT_COLUMNS = ("customer_id", "statement_date", *AMOUNTS, "currency")

#: What sets a row aside; where several apply, the one that stands first here is named.
REJECTION_RULES: Mapping[str, str] = {
    "malformed_row": "The line has another number of fields than the header.",
    "missing_customer_id": "The row does not say whose statement it is.",
    "unreadable_customer_id": "The id is neither text nor a whole number.",
    "unreadable_statement_date": "The date is missing, or no date.",
    "amount_not_a_number": "An amount is neither blank nor a finite number.",
    "missing_currency": "The row names no currency, and others do.",
    "identical_copy": "The same statement stands in an earlier row, which counts.",
    "conflicting_copies": "Another statement of this customer and date says something else.",
}
_REJECTED = ("row", "rule", "reason", "customer_id", "statement_date")


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Statements:
    """Statements that can be read, and the rows that cannot; no row is in neither or in both.

    Attributes
    ----------
    accepted : pandas.DataFrame
        The canonical columns that the source has: ``customer_id`` text, ``statement_date``
        datetime64[s], amounts float64 with NaN for blank. Of a file also its other columns, as
        text. Rows in their order, index 0, 1, ….
    rejected : pandas.DataFrame
        ``row`` (from 1, the header not counted), ``rule`` (a key of ``REJECTION_RULES``),
        ``reason`` (what was found), ``customer_id`` (``""`` when not known), ``statement_date``
        (NaT when not known), then the other columns of the source as text.
    notes : tuple of str
        What was taken for granted or mended in passing.
    """

    accepted: pd.DataFrame
    rejected: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def rows_read(self) -> int:
        """Number of rows in the source, accepted or rejected."""
        return len(self.accepted) + len(self.rejected)

    def __repr__(self) -> str:
        """Return the counts, by rule."""
        rules = "".join(
            f", {n:,} {rule}" for rule, n in self.rejected["rule"].value_counts().items()
        )
        return f"<Statements: {self.rows_read:,} read, {len(self.accepted):,} accepted{rules}>"


def read_statements(
    path: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    date_format: str | Sequence[str] | None = None,
) -> Statements:
    r"""Read customers' statements from a CSV file, plain or ``.gz``.

    A byte-order mark is skipped. Ids stay text, so leading zeros survive; white space around them
    is cut off. A row that cannot be read is kept in ``rejected`` with its reason.

    Parameters
    ----------
    path : path
        UTF-8 text with one header line.
    columns : mapping of str to str, optional
        Canonical column name -> name in the file, for names that differ.
    separator : str, optional
        Found from the header when left out.
    decimal : str, optional
        ``"."`` or ``","``; found from all figures of the file when left out. The other mark may
        then part thousands.
    date_format : str or sequence of str, optional
        Such as ``"%d/%m/%Y"``. Without it: 2023-12-31, 20231231, 31.12.2023, or a year.

    Returns
    -------
    Statements
        Pass it on to :func:`working_asset_limits`.

    Raises
    ------
    DataError
        When the file is missing, empty, no CSV text, lacks or doubles a column, holds two
        currencies, leaves the decimal mark open, or names no customer at all.
    ModelError
        For an option that is out of its range.

    Warns
    -----
    UserWarning
        When rows have no customer id: they count for nobody.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "statements.csv"
    >>> _ = file.write_text(
    ...     "customer_id;statement_date;current_assets;inventory;current_liabilities;"
    ...     "total_liabilities;net_worth\n"
    ...     "007;2023;2.400,50;800;1200;1800;1500\n008;2023;much;1;1;1;1\n"
    ... )
    >>> statements = read_statements(file)
    >>> print(statements.accepted[["customer_id", "current_assets"]])
      customer_id  current_assets
    0         007          2400.5
    >>> statements.rejected["reason"].item()
    "current_assets 'much' is not a number"
    >>> folder.cleanup()
    """
    _check_mapping(columns or {})
    expected = {*STATEMENT_COLUMNS, *(columns or {}).values()}
    lines = read_lines(path, separator, expected)
    names = _canonical(lines.names, columns or {}, lines.where)
    _check_columns(names, lines.where)
    if not lines.rows:
        raise DataError(
            f"{lines.where} has a header and no rows; expected at least one statement: check the "
            "export"
        )
    wrong = malformed(lines)
    width = len(names)
    whole = [[*fields, *[""] * width][:width] for fields in lines.rows]
    frame = pd.DataFrame(whole, columns=pd.Index(names), dtype=object)
    return _judged(frame, lines.where, decimal, date_format, wrong, keep_extra=True)


def check_statements(
    statements: pd.DataFrame,
    *,
    decimal: str | None = None,
    date_format: str | Sequence[str] | None = None,
) -> Statements:
    """Check statements in a DataFrame, row by row.

    Parameters
    ----------
    statements : pandas.DataFrame
        One row a statement, columns as in the module's table; others are left out.
    decimal : str, optional
        ``"."`` or ``","`` in money written as text; found from the figures when left out.
    date_format : str or sequence of str, optional
        Of dates written as text.

    Returns
    -------
    Statements

    Raises
    ------
    DataError
        No rows, a missing or doubled column, two currencies, a decimal mark that could be either,
        no customer at all.
    ModelError
        For an option that is out of its range or has nothing to apply to.

    Warns
    -----
    UserWarning
        When rows have no customer id: they count for nobody.

    Examples
    --------
    >>> frame = pd.DataFrame({"customer_id": [7], "statement_date": [2023], "current_assets": [9],
    ...     "inventory": [None], "current_liabilities": [3], "total_liabilities": [5],
    ...     "net_worth": ["6.5"]})
    >>> print(check_statements(frame).accepted.T)
                                           0
    customer_id                            7
    statement_date       2023-12-31 00:00:00
    current_assets                       9.0
    inventory                            NaN
    current_liabilities                  3.0
    total_liabilities                    5.0
    net_worth                            6.5
    """
    if not isinstance(statements, pd.DataFrame):
        raise TypeError(
            "statements must be a pandas DataFrame, or what read_statements returns, not "
            f"{type(statements).__name__}"
        )
    where = "the statements"
    _check_columns([str(name) for name in statements.columns], where)
    if statements.empty:
        raise DataError(f"no rows in {where} — expected at least one statement; add them")
    frame = statements.reset_index(drop=True)
    return _judged(frame, where, decimal, date_format, {}, keep_extra=False)


def latest_statements(statements: Statements, as_of: pd.Timestamp | None) -> pd.DataFrame:
    """Find the row that counts for each customer: the latest on or before ``as_of``.

    A rejected row takes part with its date, without figures: one that is older than a statement
    that can be read, or later than ``as_of``, harms nobody; one without a date could be the latest
    and so counts as it. A customer all of whose rows are later keeps the first of them, marked in
    the column ``later`` (bool), so that nobody is lost.

    Returns
    -------
    pandas.DataFrame
        Columns of ``accepted``, and ``rule`` and ``reason`` of the row ("" for accepted ones), and
        ``later``; sorted by customer.
    """
    good, bad = statements.accepted, statements.rejected
    bad = bad[(bad["customer_id"] != "") & (bad["rule"] != "identical_copy")]
    # A longer index rather than concat, which guesses at the types of columns without a value.
    frame = good.reindex(range(len(good) + len(bad)))
    for name in ("customer_id", "statement_date"):
        frame[name] = np.concatenate([good[name].to_numpy(), bad[name].to_numpy()])
    for name in ("rule", "reason"):
        frame[name] = [""] * len(good) + bad[name].tolist()
    if "currency" in frame:
        frame["currency"] = next(iter(good["currency"]), None)
    # Rejected rows come behind accepted ones, so that of one date they are the last.
    frame = frame.sort_values(["customer_id", "statement_date"], kind="stable")
    later = np.zeros(len(frame), dtype=bool)
    if as_of is not None:
        later = (frame["statement_date"] > as_of).to_numpy()
    frame = frame.assign(later=later)
    known = frame[~later].drop_duplicates("customer_id", keep="last")
    unknown = frame[later & ~frame["customer_id"].isin(known["customer_id"]).to_numpy()]
    both = pd.concat([known, unknown.drop_duplicates("customer_id", keep="first")])
    return both.sort_values("customer_id", kind="stable", ignore_index=True)


def to_day(value: DateLike, name: str) -> pd.Timestamp:
    """Read one date argument; the time of day is dropped."""
    try:
        day = pd.Timestamp(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{name}={value!r} is not a date — expected e.g. '2023-12-31'") from error
    if pd.isna(day):
        raise ModelError(f"{name}={value!r} is not a date — expected e.g. '2023-12-31'")
    return pd.Timestamp(day.date())


# ---------------------------------------------------------------------------------- columns


def _check_mapping(columns: Mapping[str, str]) -> None:
    for canonical in columns:
        if canonical not in STATEMENT_COLUMNS:
            hint = did_you_mean(canonical, [n for n in STATEMENT_COLUMNS if n not in columns])
            raise ModelError(f"columns names {canonical!r}, which is no statement column.{hint}")


def _canonical(names: list[str], columns: Mapping[str, str], where: str) -> list[str]:
    """Return the names of a file's columns after the mapping."""
    for canonical, name in columns.items():
        if name not in names:
            used = {*columns.values(), *STATEMENT_COLUMNS} - {canonical}
            hint = did_you_mean(name, [n for n in names if n not in used])
            raise DataError(
                f"no column {name!r} (for {canonical}) in {where} — found {listing(names, 30)}; "
                f"mend the mapping.{hint}"
            )
    mapped = {name: canonical for canonical, name in columns.items()}
    return [mapped.get(name, name) for name in names]


def _check_columns(names: Sequence[str], where: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise DataError(
            f"column {listing(doubled)} stands more than once in {where} — keep one of each",
            pd.DataFrame({"column": doubled, "problem": "doubled column"}),
        )
    missing = [
        name for name in ("customer_id", "statement_date", *REQUIRED_AMOUNTS) if name not in names
    ]
    if "net_worth" not in names and "total_assets" not in names:
        missing.append("net_worth")
    if missing:
        free = [name for name in names if name not in STATEMENT_COLUMNS]
        hints = "".join(did_you_mean(name, free) for name in missing)
        raise DataError(
            f"no column {listing(missing, 9)} in {where} — found {listing(names, 30)}; rename the "
            f"columns (total_assets can stand for net_worth).{hints}",
            pd.DataFrame({"column": missing, "problem": "missing column"}),
        )


# ---------------------------------------------------------------------------------- judging


@dataclass(frozen=True, eq=False, slots=True)
class _Verdicts:
    """What is wrong with each row, by place (from 0)."""

    where: str
    rules: dict[int, str] = field(default_factory=dict)  # the first that the row breaks
    reasons: dict[int, list[str]] = field(default_factory=dict)

    def add(self, place: int, rule: str, reason: str) -> None:
        self.rules.setdefault(place, rule)
        self.reasons.setdefault(place, []).append(reason)

    def add_column(self, name: str, rule: str, problems: Sequence[str], left_out: set[int]) -> None:
        for place, problem in enumerate(problems):
            if problem and place not in left_out:
                self.add(place, rule, f"{name} {problem}")


def _judged(
    frame: pd.DataFrame,
    where: str,
    decimal: str | None,
    date_format: str | Sequence[str] | None,
    wrong: Mapping[int, str],
    *,
    keep_extra: bool,
) -> Statements:
    """Type the cells of a table and part its rows; ``wrong`` are malformed rows, from 1."""
    verdicts = _Verdicts(where)
    for row, reason in wrong.items():
        verdicts.add(row - 1, "malformed_row", reason)
    cut = set(verdicts.rules)  # their fields may stand in the wrong column: only the id is read
    frame.columns = pd.Index([str(name) for name in frame.columns])
    notes: list[str] = []
    typed = _typed(
        frame, verdicts, cut, _money_reader(frame, cut, decimal, where, notes), date_format
    )
    padded = [
        c for c in frame["customer_id"] if isinstance(c, str) and c != c.strip() and c.strip()
    ]
    if padded:
        notes.append(
            f"white space around {len(padded):,} customer ids was cut off (such as {padded[0]!r})"
        )
    _copies(typed, verdicts)
    result = _parted(frame, typed, verdicts, notes, keep_extra=keep_extra)
    if not len(result.accepted) and (result.rejected["customer_id"] == "").all():
        raise DataError(
            f"none of the {_count(result.rows_read, 'row')} of {where} says whose statement it is "
            f"— row 1: {result.rejected['reason'].iloc[0]}; write the ids as text",
            result.rejected,
        )
    _warn_of_nameless(result.rejected, where)
    return result


def _money_reader(
    frame: pd.DataFrame, cut: set[int], decimal: str | None, where: str, notes: list[str]
) -> AmountReader:
    columns = [frame[name] for name in AMOUNTS if name in frame]
    texts = [
        value
        for column in columns
        if not pd.api.types.is_numeric_dtype(column)
        for place, value in enumerate(column.tolist())
        if isinstance(value, str) and place not in cut
    ]
    if decimal is not None and not texts:
        raise ModelError(
            f"decimal is for money written as text; the money of {where} is numeric: leave it out"
        )
    marks = decimal_marks(texts, decimal, where)
    if texts:
        notes.append(f"decimal mark {marks.decimal!r}, {'given' if decimal else 'found'}")
    return amount_reader(marks)


def _typed(
    frame: pd.DataFrame,
    verdicts: _Verdicts,
    cut: set[int],
    read: AmountReader,
    date_format: str | Sequence[str] | None,
) -> pd.DataFrame:
    """Return the canonical columns with their types; what cannot be read is blank and noted."""
    if date_format is not None and pd.api.types.is_datetime64_any_dtype(frame["statement_date"]):
        raise ModelError(
            f"date_format is for dates written as text; those of {verdicts.where} are dates "
            "already: leave it out"
        )
    ids = [read_id(value) for value in frame["customer_id"].tolist()]
    for place, (_, problem) in enumerate(ids):
        if problem and place not in cut:
            rule = "missing" if problem == "is blank" else "unreadable"
            verdicts.add(place, f"{rule}_customer_id", f"customer_id {problem}")
    typed: dict[str, pd.Series[Any]] = {"customer_id": pd.Series([text for text, _ in ids])}
    days, problems = read_days(frame["statement_date"], day_reader(date_format))
    if cut:
        days[sorted(cut)] = pd.NaT
    typed["statement_date"] = days
    verdicts.add_column("statement_date", "unreadable_statement_date", problems, cut)
    for name in AMOUNTS:
        if name in frame:
            typed[name], problems = read_amounts(frame[name], read)
            verdicts.add_column(name, "amount_not_a_number", problems, cut)
    if "currency" in frame:
        typed["currency"] = _currencies(frame, verdicts, cut)
    return pd.DataFrame(typed)


def _currencies(frame: pd.DataFrame, verdicts: _Verdicts, cut: set[int]) -> pd.Series[Any]:
    """One currency for all rows; a column without any entry is as good as no column."""
    cells = frame["currency"].tolist()
    codes = [
        None if is_blank(value) or place in cut else str(value).strip().upper()
        for place, value in enumerate(cells)
    ]
    present = [code for code in codes if code is not None]
    counts = {code: present.count(code) for code in sorted(set(present))}
    if len(counts) > 1:
        main = max(counts, key=lambda code: counts[code])
        others = [p for p, code in enumerate(codes) if code not in (None, main)]
        found = ", ".join(f"{code} in {_count(n, 'row')}" for code, n in counts.items())
        raise DataError(
            f"{verdicts.where} {'hold' if verdicts.where.endswith('s') else 'holds'} "
            f"{len(counts)} currencies ({found}) — expected one, since money of two currencies is "
            "never compared or added: rate each currency by itself",
            pd.DataFrame(
                [
                    (p + 1, frame["customer_id"][p], "currency", cells[p], f"not {main}")
                    for p in others
                ],
                columns=["row", "customer_id", "column", "value", "problem"],
            ),
        )
    if counts:
        blank = [f"is blank, others are in {present[0]}" if code is None else "" for code in codes]
        verdicts.add_column("currency", "missing_currency", blank, cut)
    return pd.Series(codes, dtype=object)


def _copies(typed: pd.DataFrame, verdicts: _Verdicts) -> None:
    """Judge the rows that are of one customer and date and broke no other rule."""
    keys = ["customer_id", "statement_date"]
    sound = typed.drop(index=list(verdicts.rules))
    several = sound[sound.duplicated(keys, keep=False)]
    statement = several.groupby(keys).ngroup()
    said = statement[~several.duplicated()].value_counts()  # different rows of each statement
    conflicting = statement.map(said) > 1
    first = several.index.to_series().groupby(statement).transform("min")
    for place, original in first[~conflicting].items():
        if place != original:
            verdicts.add(cast("int", place), "identical_copy", f"the same as row {original + 1:,}")
    names = [name for name in AMOUNTS if name in several]
    amounts = dict(zip(several.index, several[names].to_numpy(), strict=True))
    rows: dict[int, list[int]] = {}
    for place, number in statement[conflicting].items():
        rows.setdefault(number, []).append(cast("int", place))
    for places in rows.values():
        reason = _conflict(places, names, np.array([amounts[place] for place in places]))
        for place in places:
            verdicts.add(place, "conflicting_copies", reason)


def _conflict(places: Sequence[int], names: Sequence[str], amounts: NDArray[np.float64]) -> str:
    """Say in which amounts the rows (n_rows, n_names) differ, by the first two of each."""
    differing = []
    for name, column in zip(names, amounts.T, strict=True):
        values = list(dict.fromkeys("blank" if np.isnan(v) else f"{v:,}" for v in column.tolist()))
        if len(values) > 1:
            differing.append(f"{name} {' and '.join(values[:2])}")
    rows = " and ".join(f"{place + 1:,}" for place in places[:2])
    more = f" ({len(places):,} rows in all)" if len(places) > 2 else ""
    return f"rows {rows}{more} of one date differ: {', '.join(differing)}"


def _parted(
    frame: pd.DataFrame,
    typed: pd.DataFrame,
    verdicts: _Verdicts,
    notes: Sequence[str],
    *,
    keep_extra: bool,
) -> Statements:
    extra = [name for name in frame.columns if name not in typed.columns]
    places = sorted(verdicts.rules)
    accepted = typed.join(frame[extra]) if keep_extra and extra else typed
    rejected = pd.DataFrame(
        {
            "row": np.array(places, dtype=np.int64) + 1,
            "rule": pd.Series([verdicts.rules[p] for p in places], dtype=object),
            "reason": pd.Series(["; ".join(verdicts.reasons[p]) for p in places], dtype=object),
            "customer_id": typed["customer_id"].iloc[places].to_numpy(),
            "statement_date": typed["statement_date"].iloc[places].to_numpy(),
        }
    )
    for name, text in _source_text(frame, places):
        rejected[f"{name} (source)" if name in _REJECTED else name] = text
    return Statements(accepted.drop(index=places).reset_index(drop=True), rejected, tuple(notes))


def _source_text(frame: pd.DataFrame, places: list[int]) -> Iterator[tuple[str, pd.Series[Any]]]:
    for name in frame.columns:
        if name != "customer_id":
            cells = frame[name].iloc[places].tolist()
            texts = [None if is_blank(value) else str(value) for value in cells]
            yield name, pd.Series(texts, dtype=object)


def _warn_of_nameless(rejected: pd.DataFrame, where: str) -> None:
    nameless = rejected[rejected["customer_id"] == ""]
    if len(nameless):
        rows = listing((int(row) for row in nameless["row"]), 9)
        warnings.warn(
            f"{_count(len(nameless), 'row')} of {where} without a customer id that can be read "
            f"(row {rows}) — counted for nobody; fill in the ids",
            UserWarning,
            stacklevel=4,
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
