"""Split a CSV file of statements into lines of text; which of them fit, and which do not."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from credit_portfolio.errors import DataError, ModelError, did_you_mean
from credit_portfolio.limits.cells import shown

SEPARATORS = (",", ";", "\t", "|")
_MOST_SHOWN = 9  # fields of a line that fits no header


@dataclass(frozen=True, eq=False, slots=True)
class Lines:
    """The header of a file and the lines below it, blank ones left out."""

    where: str
    names: list[str]
    rows: list[list[str]]


def read_lines(
    path: str | PathLike[str], separator: str | None, expected: Collection[str]
) -> Lines:
    """Read a UTF-8 CSV file, plain or gzipped.

    Parameters
    ----------
    path : path
    separator : str, optional
        Found from the header when left out: the one under which most expected names appear.
    expected : collection of str
        Column names that the file may have.

    Raises
    ------
    DataError
        When there is no such file, it is empty, or no CSV text.
    ModelError
        For a separator that is not one character.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ModelError(f"separator is {separator!r}; expected one character such as ',' or ';'")
    where = f"file {str(path)!r}"
    text = _text(Path(path), where)
    if separator is None:
        separator = _separator(text, expected)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        lines = [fields for fields in reader if any(field.strip() for field in fields)]
    except csv.Error as error:
        raise DataError(
            f"{where} is no CSV text from line {reader.line_num:,} on or before ({error}); "
            "expected every quote to be closed: look for a stray one"
        ) from error
    if not lines:
        raise DataError(
            f"{where} is empty; expected a header and statements below it: check the export"
        )
    return Lines(where, [name.strip() for name in lines[0]], lines[1:])


def _text(file: Path, where: str) -> str:
    if not file.is_file():
        near = []
        if file.parent.is_dir():
            near = [path.name for path in file.parent.iterdir() if path.is_file()]
        kind = "is a folder" if file.is_dir() else "does not exist"
        raise DataError(f"{where} {kind}; expected a CSV file.{did_you_mean(file.name, near)}")
    try:
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{where} is not UTF-8 text, first seen on line {line:,}; expected UTF-8: save it as "
            "'CSV UTF-8', or convert it from its encoding (often cp1252, UTF-16 or GB18030)"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{where} cannot be read ({error}); expected a whole CSV file that you may read: "
            "export or copy it again"
        ) from error


def _separator(text: str, expected: Collection[str]) -> str:
    header = next((line for line in text.splitlines() if line.strip()), "")

    def fit(mark: str) -> tuple[int, int]:
        names = [name.strip().strip('"') for name in header.split(mark)]
        return sum(name in expected for name in names), len(names)

    return max(SEPARATORS, key=fit)


def malformed(lines: Lines) -> dict[int, str]:
    """Return what is wrong with each line that has another number of fields than the header.

    Keys are rows, counted from 1 below the header.
    """
    return {
        row: f"the line has {len(fields):,} fields, the header {len(lines.names):,}: "
        f"{', '.join(shown(field) for field in fields[:_MOST_SHOWN])}"
        for row, fields in enumerate(lines.rows, start=1)
        if len(fields) != len(lines.names)
    }
