"""Balance sheets of customers: how they are read, which rows cannot be, and which one counts.

One row is one statement of one customer. The canonical columns:

==========================  =====================================================================
``customer_id``             text; whole numbers become text, so leading zeros survive only in text
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

A blank amount is that customer's gap and stays blank. What makes the *table* unreadable (a missing
column, text where a number belongs, two statements of one customer and date, …) raises a DataError
that lists every row.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing

DateLike = str | date | np.datetime64

REQUIRED_AMOUNTS = ("current_assets", "inventory", "current_liabilities", "total_liabilities")
OPTIONAL_AMOUNTS = ("net_worth", "total_assets", "intangible_assets")
STATEMENT_COLUMNS = (
    "customer_id",
    "statement_date",
    *REQUIRED_AMOUNTS,
    *OPTIONAL_AMOUNTS,
    "currency",
)

# What exports write for "nothing here". An amount of 0 is written 0.
_BLANKS = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>", "nat"})
_YEAR = re.compile(r"\d{4}")
_ISO_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ].*)?")
_DOTTED_DATE = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# A year outside this range is a date in another guise (20140331) or an amount in the wrong column.
_FIRST_YEAR, _LAST_YEAR = 1900, 2199
# Above any balance sheet in any currency; sums and ratios below it cannot overflow.
LARGEST_AMOUNT = 1e30
_TOO_LARGE = "not finite, or no amount of money (above 1e30)"
_FAILURE_COLUMNS = ["row", "customer_id", "column", "value", "problem"]


def read_statements(
    path: str | PathLike[str], *, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    r"""Read customers' statements from a CSV file, plain or ``.gz``.

    The separator (comma, semicolon or tab) is taken from the header; in a file that is not
    separated by commas, ``1234,56`` is a number with a decimal comma. A byte-order mark is
    skipped. Ids stay text, so leading zeros survive. Thousands separators are refused, not guessed.

    Parameters
    ----------
    path : path
        UTF-8 text with one header line.
    columns : mapping of str to str, optional
        Canonical column name -> name in the file, for names that differ.

    Returns
    -------
    pandas.DataFrame
        The canonical columns that the file has, checked and typed, and every other column as text.

    Raises
    ------
    DataError
        When the file cannot be read or a row cannot be used; ``failures`` lists every row.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name) / "statements.csv"
    >>> _ = file.write_text(
    ...     "customer_id;statement_date;current_assets;inventory;current_liabilities;"
    ...     "total_liabilities;net_worth\n007;2023;2400,50;800;1200;1800;1500\n"
    ... )
    >>> print(read_statements(file)[["customer_id", "current_assets"]])
      customer_id  current_assets
    0         007          2400.5
    >>> folder.cleanup()
    """
    file = Path(path)
    lines, separator = _lines(file)
    frame = _text_frame(lines, file.name)
    if columns:
        frame = _renamed(frame, columns, file.name)
    if separator != ",":
        frame = _decimal_points(frame)
    checked = check_statements(frame, where=file.name)
    extra = [name for name in frame.columns if name not in checked.columns]
    return pd.concat([checked, frame[extra]], axis=1)


def check_statements(statements: pd.DataFrame, *, where: str = "the statements") -> pd.DataFrame:
    """Return the canonical columns of ``statements`` with their types, or say what is wrong.

    Parameters
    ----------
    statements : pandas.DataFrame
        One row a statement, columns as in the module's table; others are left out.
    where : str
        How messages name the table.

    Returns
    -------
    pandas.DataFrame
        ``customer_id`` text, ``statement_date`` datetime64[s], amounts float64 with NaN for blank;
        rows in their order, index 0, 1, ….

    Raises
    ------
    DataError
        A missing or doubled column, no rows, an id, date or amount that cannot be read, a number
        that is not finite, two currencies, two statements of one customer and date.

    Examples
    --------
    >>> frame = pd.DataFrame({"customer_id": [7], "statement_date": [2023], "current_assets": [9],
    ...     "inventory": [None], "current_liabilities": [3], "total_liabilities": [5],
    ...     "net_worth": ["6.5"]})
    >>> print(check_statements(frame).T)
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
        raise TypeError(f"statements must be a pandas DataFrame, not {type(statements).__name__}")
    _check_columns(list(statements.columns), where)
    if statements.empty:
        raise DataError(f"no rows in {where} — expected at least one statement; add them")
    raw = statements.reset_index(drop=True)
    ids, failures = _ids(raw["customer_id"])
    checked: dict[str, pd.Series[Any]] = {"customer_id": ids}
    checked["statement_date"], wrong = _dates(raw["statement_date"])
    failures += wrong
    for name in (*REQUIRED_AMOUNTS, *OPTIONAL_AMOUNTS):
        if name in raw.columns:
            checked[name], wrong = _amounts(raw[name])
            failures += wrong
    if "currency" in raw.columns:
        checked["currency"], wrong = _currencies(raw["currency"])
        failures += wrong
    frame = pd.DataFrame(checked)
    failures += _doubled(frame)
    if failures:
        raise _data_error(failures, frame["customer_id"], where)
    return frame


def latest_statements(checked: pd.DataFrame, as_of: pd.Timestamp | None) -> pd.DataFrame:
    """Keep each customer's latest statement dated on or before ``as_of``, sorted by id.

    A customer all of whose statements are later keeps the first of them, marked in the column
    ``later`` (bool), so that nobody is lost.
    """
    frame = checked.sort_values(["customer_id", "statement_date"], kind="stable")
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


# ---------------------------------------------------------------------------------- files


def _lines(file: Path) -> tuple[list[list[str]], str]:
    """All lines of a CSV file as lists of fields, and the separator."""
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise DataError(f"{file} cannot be read ({error}) — expected a CSV file or .gz") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text ({error}) — save it as CSV UTF-8") from error
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return [fields for fields in reader if any(field.strip() for field in fields)], separator
    except csv.Error as error:
        raise DataError(f"{file} is not a CSV file: {error} (line {reader.line_num})") from error


def _text_frame(lines: list[list[str]], where: str) -> pd.DataFrame:
    """Fields as text under stripped column names; a line of another length is an error."""
    if not lines:
        raise DataError(f"{where} is empty — expected a header line and statements below it")
    names = [name.strip() for name in lines[0]]
    rows = lines[1:]
    failures = [
        (row, fields[0], None, len(fields), f"{len(fields)} fields, the header has {len(names)}")
        for row, fields in enumerate(rows, start=1)
        if len(fields) != len(names)
    ]
    if failures:
        raise DataError(
            f"{where}: {len(failures):,} lines do not have the header's {len(names)} fields, first "
            f"row {failures[0][0]:,} — mend them; ``failures`` lists all",
            pd.DataFrame(failures, columns=_FAILURE_COLUMNS),
        )
    if len(set(names)) < len(names):
        _check_columns(names, where)
    return pd.DataFrame(rows, columns=names, dtype=object)


def _renamed(frame: pd.DataFrame, columns: Mapping[str, str], where: str) -> pd.DataFrame:
    for canonical, name in columns.items():
        if canonical not in STATEMENT_COLUMNS:
            hint = did_you_mean(canonical, STATEMENT_COLUMNS)
            raise ModelError(f"columns names {canonical!r}, which is no statement column.{hint}")
        if name not in frame.columns:
            hint = did_you_mean(name, frame.columns)
            raise DataError(
                f"no column {name!r} (for {canonical}) in {where} — found "
                f"{listing(frame.columns, 30)}.{hint}"
            )
    return frame.rename(columns={name: canonical for canonical, name in columns.items()})


def _decimal_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn 1234,56 into 1234.56 in the amount columns; anything else stays as written."""
    amounts = [c for c in (*REQUIRED_AMOUNTS, *OPTIONAL_AMOUNTS) if list(frame.columns).count(c)]
    frame = frame.copy()
    for name in amounts:
        frame[name] = [
            text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text.strip()) else text
            for text in frame[name]
        ]
    return frame


# ---------------------------------------------------------------------------------- checks

_Failures = list[tuple[int, str, str, object]]  # row from 1, column, problem, value


def _check_columns(names: Sequence[object], where: str) -> None:
    known = [str(name) for name in names]
    doubled = sorted({name for name in known if known.count(name) > 1})
    if doubled:
        raise DataError(
            f"column {listing(doubled)} stands more than once in {where} — keep one of each",
            pd.DataFrame({"column": doubled, "problem": "doubled column"}),
        )
    missing = [
        name for name in ("customer_id", "statement_date", *REQUIRED_AMOUNTS) if name not in known
    ]
    if "net_worth" not in known and "total_assets" not in known:
        missing.append("net_worth")
    if missing:
        hints = "".join(did_you_mean(name, known) for name in missing)
        raise DataError(
            f"no column {listing(missing, 9)} in {where} — found {listing(known, 30)}; rename the "
            f"columns (total_assets can stand for net_worth).{hints}",
            pd.DataFrame({"column": missing, "problem": "missing column"}),
        )


def _is_blank(value: object) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str):
        return value.strip().lower() in _BLANKS
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _ids(column: pd.Series[Any]) -> tuple[pd.Series[Any], _Failures]:
    failures: _Failures = []
    ids: list[str] = []
    for row, value in enumerate(column.tolist(), start=1):
        whole = isinstance(value, int) and not isinstance(value, bool)
        blank = value.strip() == "" if isinstance(value, str) else _is_blank(value)
        if blank:
            failures.append((row, "customer_id", "no customer_id", value))
        elif not whole and not isinstance(value, str):
            # 123.0 was an id that some reader turned into a number: which zeros it had is lost.
            failures.append((row, "customer_id", "id is neither text nor a whole number", value))
        ids.append("" if blank else str(value))
    return pd.Series(ids), failures


def _dates(column: pd.Series[Any]) -> tuple[pd.Series[Any], _Failures]:
    if pd.api.types.is_datetime64_any_dtype(column):
        days = column.dt.tz_localize(None).dt.normalize()
        texts = column.astype(object)
    else:
        texts = column.astype(object)
        iso = {value: _iso_day(value) for value in set(texts.tolist())}
        days = pd.to_datetime(texts.map(iso), errors="coerce", format="%Y-%m-%d")
    failures: _Failures = [
        (int(row) + 1, "statement_date", "not a date (YYYY-MM-DD or a year)", texts[row])
        for row in np.flatnonzero(days.isna())
    ]
    return days.astype("datetime64[s]"), failures


def _iso_day(value: object) -> str | None:
    """Write one date as YYYY-MM-DD; a year alone is its last day; None when it is neither."""
    if isinstance(value, bool | np.bool_):
        return None
    text = str(value).strip()
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))  # a year in a column with a blank somewhere
    if _YEAR.fullmatch(text):
        return f"{text}-12-31" if _FIRST_YEAR <= int(text) <= _LAST_YEAR else None
    if match := _ISO_DATE.fullmatch(text):
        return "-".join(match.groups())
    if match := _DOTTED_DATE.fullmatch(text):
        return "-".join(reversed(match.groups()))
    return None


def _amounts(column: pd.Series[Any]) -> tuple[pd.Series[Any], _Failures]:
    if pd.api.types.is_bool_dtype(column):
        return pd.Series(np.nan, index=column.index), [
            (row, str(column.name), "not a number", value)
            for row, value in enumerate(column.tolist(), start=1)
        ]
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(dtype=float, na_value=np.nan)
        unreadable = np.zeros(len(column), dtype=bool)
    else:
        texts = column.astype(object)
        numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        blank = np.fromiter((_is_blank(value) for value in texts), dtype=bool, count=len(texts))
        unreadable = np.isnan(numbers) & ~blank
    problems = [(unreadable, "not a number"), (np.abs(numbers) > LARGEST_AMOUNT, _TOO_LARGE)]
    failures: _Failures = [
        (int(row) + 1, str(column.name), problem, column.iloc[int(row)])
        for bad, problem in problems
        for row in np.flatnonzero(bad)
    ]
    return pd.Series(numbers), failures


def _currencies(column: pd.Series[Any]) -> tuple[pd.Series[Any], _Failures]:
    """One currency for all rows; a column without any entry is as good as no column."""
    codes = [None if _is_blank(value) else str(value).strip() for value in column.tolist()]
    present = [code for code in codes if code is not None]
    failures: _Failures = []
    if present:
        main = max(sorted(set(present)), key=present.count)
        for row, code in enumerate(codes, start=1):
            if code is None:
                failures.append((row, "currency", f"no currency, the others are {main}", None))
            elif code != main:
                failures.append((row, "currency", f"two currencies: {code} beside {main}", code))
    return pd.Series(codes, dtype=object), failures


def _doubled(frame: pd.DataFrame) -> _Failures:
    keys = ["customer_id", "statement_date"]
    readable = (frame["customer_id"] != "") & frame["statement_date"].notna()
    doubled = frame.duplicated(keys, keep=False) & readable
    return [
        (int(row) + 1, "statement_date", "more than one statement of this customer and date",
         frame["statement_date"][row].strftime("%Y-%m-%d"))
        for row in np.flatnonzero(doubled)
    ]  # fmt: skip


def _data_error(failures: _Failures, ids: pd.Series[Any], where: str) -> DataError:
    table = pd.DataFrame(
        [(row, ids[row - 1], column, value, problem) for row, column, problem, value in failures],
        columns=_FAILURE_COLUMNS,
    ).sort_values("row", kind="stable", ignore_index=True)
    kinds = [
        f"{len(part):,} × {name} in {part['column'].iloc[0]} "
        f"(first row {part['row'].iloc[0]:,}, customer {part['customer_id'].iloc[0]!r}, "
        f"found {part['value'].iloc[0]!r})"
        for name, part in table.groupby("problem", sort=False)
    ]
    return DataError(
        f"{len(table):,} faults in {where}: {'; '.join(kinds)} — mend or remove these rows; "
        "``failures`` lists every one",
        table,
    )
