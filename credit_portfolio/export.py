"""Tables to CSV and Excel, in which no text is ever a formula.

In a workbook a number may be shown as money or as a percentage; the cell itself is not rounded.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    Style = Callable[[str, str, Mapping[str, Any]], str | None]

# A spreadsheet takes a cell that starts with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_FIGURE = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?", re.ASCII)  # which is none, whatever its sign
# Characters that a workbook's XML cannot hold at all.
_NOT_IN_XML = dict.fromkeys([*range(9), 11, 12, *range(14, 32)], "\ufffd")
_NUMBER_FORMATS = {"money": "#,##0.00", "share": "0.00%"}
_CENTS = 2
# Widths in characters: what is wider than the widest is wrapped.
_NARROWEST, _WIDEST = 10, 60
# Rows that a column's width is read from; a workbook of a million must not be read twice.
_ROWS_FOR_WIDTH = 1000


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write beside the goal and move into place at the end, so that no half file is left.

    Raises
    ------
    OutputError
        When the place cannot be written.
    """
    goal = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=goal.parent, prefix=f".{goal.name}.")
        os.close(handle)
    except OSError as error:
        raise OutputError(
            f"cannot write {goal}: {error.strerror or error}; choose a folder that exists and may "
            "be written"
        ) from error
    draft = Path(name)
    try:
        yield draft
        # mkstemp makes files that only their owner may read; a report is meant to be shared, unless
        # the file that it replaces was not.
        draft.chmod(goal.stat().st_mode & 0o777 if goal.exists() else 0o666 & ~_umask())
        draft.replace(goal)
    except OSError as error:
        raise OutputError(f"cannot write {goal}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def write_csv(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    index: bool = True,
    money: Collection[str] = (),
) -> None:
    """Write a table as UTF-8 CSV; text that a spreadsheet would run gets a leading apostrophe.

    Parameters
    ----------
    frame : pandas.DataFrame
    path : path
    index : bool, default True
        Whether the index is written as the first column.
    money : collection of str
        Columns that are written to the cent: binary floats of money end in digits that nobody
        meant. Other numbers keep every digit.
    """
    cents = {name: frame[name].round(_CENTS) for name in money if name in frame.columns}
    frame = frame.assign(**cents)
    with whole_file(path) as draft:
        # RFC 4180's line ends: text with a carriage return is only quoted where they hold one, and
        # unquoted it would start a new row.
        _defused(frame, index).to_csv(draft, index=False, encoding="utf-8", lineterminator="\r\n")


def write_excel(
    sheets: Mapping[str, pd.DataFrame],
    path: str | os.PathLike[str],
    *,
    style: Style = lambda sheet, column, row: None,
) -> None:
    """Write one workbook with a sheet per table; text stays text, also where it starts with "=".

    Parameters
    ----------
    sheets : mapping of str to pandas.DataFrame
        Sheet name to table; indexes are written as first columns.
    path : path
    style : callable, optional
        From sheet, column and row (column name to value, the index among them) to how a number is
        shown: "money" (with cents), "share" (as a percentage) or None (as it is).
    """
    # The place first: a workbook that is begun and never saved complains when it is thrown away.
    with whole_file(path) as draft:
        _workbook(sheets, style).save(draft)


def _workbook(sheets: Mapping[str, pd.DataFrame], style: Style) -> Any:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Font

    book = Workbook(write_only=True)
    for title, frame in sheets.items():
        sheet = book.create_sheet(title[:31])
        sheet.freeze_panes = "B2"
        flat = frame.reset_index()
        names = [str(name) for name in flat.columns]
        widths = [_width(flat, place) for place in range(len(names))]
        for position, width in enumerate(widths, start=1):
            sheet.column_dimensions[_column_letter(position)].width = min(width, _WIDEST)
        sheet.auto_filter.ref = f"A1:{_column_letter(len(widths))}{len(flat) + 1}"

        def cell(
            value: object,
            width: int,
            form: str | None = None,
            *,
            bold: bool = False,
            sheet: object = sheet,
        ) -> object:
            made = WriteOnlyCell(sheet)
            if isinstance(value, str):
                made.value = value.translate(_NOT_IN_XML)
                made.data_type = "s"
                made.quotePrefix = value.startswith(_FORMULA_STARTS)
                if width > _WIDEST and not bold:
                    made.alignment = Alignment(wrap_text=True, vertical="top")
            elif isinstance(value, float) and math.isinf(value):
                made.value = str(float(value))  # a workbook has no such number
            elif not _missing(value):
                made.value = value.item() if isinstance(value, np.generic) else value
                if form is not None and _is_number(value):
                    made.number_format = _NUMBER_FORMATS[form]
            if bold:
                made.font = Font(bold=True)
            return made

        head = [cell(name, width, bold=True) for name, width in zip(names, widths, strict=True)]
        sheet.append(head)
        for values in flat.itertuples(index=False, name=None):
            row = dict(zip(names, values, strict=True))
            forms = [style(title, name, row) for name in names]
            sheet.append([cell(*parts) for parts in zip(values, widths, forms, strict=True)])
    return book


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal, np.number)) and not isinstance(value, bool)


def _width(flat: pd.DataFrame, place: int) -> int:
    """Characters that a column needs, from its name and its first rows."""
    longest = len(str(flat.columns[place]))
    for value in flat.iloc[:_ROWS_FOR_WIDTH, place]:
        if _is_number(value):
            longest = max(longest, len(f"{value:,.2f}"))
        elif not _missing(value):
            longest = max(longest, len(str(value)))
    return max(longest + 2, _NARROWEST)


def _defused(frame: pd.DataFrame, index: bool) -> pd.DataFrame:
    flat = frame.reset_index() if index else frame.copy()
    flat.columns = [_defuse(str(name)) for name in flat.columns]
    for position in range(flat.shape[1]):  # two columns may have the same name
        column = flat.iloc[:, position]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
            continue
        # As objects: pandas would turn whole numbers beside a gap into floats.
        defused = pd.Series([_defuse(value) for value in column], flat.index, dtype=object)
        flat.isetitem(position, defused.to_numpy())
    return flat


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def _defuse(value: object) -> object:
    if not isinstance(value, str) or _FIGURE.fullmatch(value):
        return value
    if value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value


def _column_letter(position: int) -> str:
    letters = ""
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
