"""Tables to CSV and Excel, in which no text is ever a formula."""

from __future__ import annotations

import math
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A spreadsheet takes a cell that starts with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
# Characters that a workbook's XML cannot hold at all.
_NOT_IN_XML = dict.fromkeys([*range(9), 11, 12, *range(14, 32)], "\ufffd")


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


def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str], *, index: bool = True) -> None:
    """Write a table as UTF-8 CSV; text that a spreadsheet would run gets a leading apostrophe.

    Parameters
    ----------
    frame : pandas.DataFrame
    path : path
    index : bool, default True
        Whether the index is written as the first column.
    """
    with whole_file(path) as draft:
        # RFC 4180's line ends: text with a carriage return is only quoted where they hold one, and
        # unquoted it would start a new row.
        _defused(frame, index).to_csv(draft, index=False, encoding="utf-8", lineterminator="\r\n")


def write_excel(sheets: Mapping[str, pd.DataFrame], path: str | os.PathLike[str]) -> None:
    """Write one workbook with a sheet per table; text stays text, also where it starts with "=".

    Parameters
    ----------
    sheets : mapping of str to pandas.DataFrame
        Sheet name to table; indexes are written as first columns.
    path : path
    """
    # The place first: a workbook that is begun and never saved complains when it is thrown away.
    with whole_file(path) as draft:
        _workbook(sheets).save(draft)


def _workbook(sheets: Mapping[str, pd.DataFrame]) -> Any:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    for title, frame in sheets.items():
        sheet = book.create_sheet(title[:31])
        sheet.freeze_panes = "B2"
        flat = frame.reset_index()
        for position, name in enumerate(flat.columns, start=1):
            letter = _column_letter(position)
            sheet.column_dimensions[letter].width = min(max(len(str(name)) + 2, 12), 60)

        def cell(value: object, *, bold: bool = False, sheet: object = sheet) -> object:
            made = WriteOnlyCell(sheet)
            if isinstance(value, str):
                made.value = value.translate(_NOT_IN_XML)
                made.data_type = "s"
                made.quotePrefix = value.startswith(_FORMULA_STARTS)
            elif isinstance(value, float) and math.isinf(value):
                made.value = str(float(value))  # a workbook has no such number
            elif not _missing(value):
                made.value = value.item() if isinstance(value, np.generic) else value
            if bold:
                made.font = Font(bold=True)
            return made

        sheet.append([cell(str(name), bold=True) for name in flat.columns])
        for row in flat.itertuples(index=False, name=None):
            sheet.append([cell(value) for value in row])
    return book


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
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
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
