"""Read a source as it is: a DataFrame or a CSV file in numbered batches, Parquet by its footers.

PyArrow splits the lines of a CSV file: it numbers and keeps those with a wrong number of fields, so
that no row is lost. Columns are called c0, c1, … from here on, so that no name from a file is ever
part of a query. The rows of Parquet files are not read here: the engine takes what it needs.
"""

from __future__ import annotations

import csv
import datetime
import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.csv  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.ledger.schema import Profile, required_found

SEPARATORS = (",", ";", "\t", "|")
PARQUET_ENDINGS = (".parquet", ".parq", ".pq")
_BLOCK_BYTES = 1 << 23  # text parsed at a time: large enough to be quick, small in memory


@dataclass(frozen=True, eq=False, slots=True)
class Footer:
    """What the end of a Parquet file tells.

    Parameters
    ----------
    path : str
    rows : int
    columns : tuple of (str, pyarrow.DataType)
        Name and type of each column; one object for all files that have the same.
    blank : frozenset of str
        Columns of floats without a single figure: pandas writes any column so that has no value.
    """

    path: str
    rows: int
    columns: tuple[tuple[str, pa.DataType], ...]
    blank: frozenset[str]


@dataclass(eq=False, slots=True)
class Incoming:
    """A source on its way into the engine."""

    where: str
    names: list[str]
    batches: Iterator[pa.RecordBatch]  # none where the engine reads the source itself
    notes: list[str]
    malformed: list[tuple[int, str]] = field(default_factory=list)  # data row, what was found
    short: list[int] = field(default_factory=list)  # those of them with too few fields
    floats: frozenset[int] = frozenset()  # columns of mixed cells with binary floats among them
    file_name: str = ""  # without its folder; empty for a DataFrame
    rows: int = 0
    files: tuple[Footer, ...] = ()  # Parquet, which the engine reads itself
    folder: bool = False  # whether they are those of a folder or a pattern, be it only one
    cut_off: bool = False  # whether a text file ends without a line break

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the Parquet files."""
        return tuple(file.path for file in self.files)

    @property
    def filled(self) -> tuple[Footer, ...]:
        """The Parquet files with rows; of the others not even the types count."""
        return tuple(file for file in self.files if file.rows)

    def numbered(self) -> Iterator[pa.Table]:
        """Yield the well-formed rows: ``row`` from 1, then the source's columns as c0, c1, …."""
        good = 0
        for batch in self.batches:
            arrays = [_plain_array(column) for column in batch.columns]
            row = pa.array(np.arange(good + 1, good + 1 + batch.num_rows, dtype=np.int64))
            names = ["row", *(f"c{index}" for index in range(len(arrays)))]
            good += batch.num_rows
            yield pa.table([row, *arrays], names=names)
        self.rows = good + len(self.malformed)
        self._refuse_cut_off()
        if not good and self.malformed:
            raise DataError(
                f"all {self.rows:,} rows of {self.where} are malformed; the first: "
                f"{self.malformed[0][1]}: check separator and quotes",
                pd.DataFrame(self.malformed, columns=["row", "reason"]),
            )
        if not good:
            raise DataError(
                f"{self.where} has columns and no rows; expected at least one invoice: check the "
                "export"
            )

    def _refuse_cut_off(self) -> None:
        """Refuse a file whose last row is short and has no line end: the rest of it is missing."""
        if self.cut_off and self.rows in self.short:
            raise DataError(
                f"{self.where} ends in the middle of row {self.rows:,} ({self.malformed[-1][1]}); "
                "expected a whole row and a line break at the end, so rows after it may be missing "
                "too: copy or export the file again",
                pd.DataFrame(self.malformed, columns=["row", "reason"]),
            )

    def source_rows(self, row: np.ndarray) -> np.ndarray:
        """Turn numbers of well-formed rows into row numbers of the source."""
        bad = np.array([number for number, _ in self.malformed], dtype=np.int64)
        return row + np.searchsorted(bad - np.arange(len(bad)), row, side="right")

    def places_in_files(self, number: np.ndarray) -> tuple[list[str | None], np.ndarray]:
        """Turn numbers of the rows of all files, from 1 and by path, into file and row in it.

        Number 0, a row of none of them, has no file.
        """
        files = sorted(self.files, key=lambda file: os.fsencode(file.path))
        ends = np.cumsum([file.rows for file in files])
        which = np.searchsorted(ends, number)
        before = ends - np.array([file.rows for file in files])
        named = [files[k].path if n else None for k, n in zip(which, number, strict=True)]
        return named, np.where(number > 0, number - before[which], number)

    def note_absent(self, profile: Profile, mapped: Mapping[str, int]) -> None:
        """Say what it means that an optional column is not there."""
        meanings = {
            "settled_date": "every invoice counts as open",
            "written_off_amount": "nothing counts as written off",
        }
        for name, meaning in meanings.items():
            if name not in mapped:
                named = profile.columns.get(name)
                which = f" ({named!r} is not in the source)" if named else ""
                self.notes.append(f"no column for {name}{which}: {meaning}")


@contextmanager
def reading(
    source: pd.DataFrame | str | os.PathLike[str], profile: Profile, separator: str | None
) -> Iterator[Incoming]:
    """Open a source of any kind; errors of the readers become DataError."""
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise ModelError(f"separator is {separator!r}; expected one character such as ',' or ';'")
    if isinstance(source, pd.DataFrame):
        if separator is not None:
            raise ModelError("separator is for CSV files; the source is a DataFrame: leave it out")
        yield _from_frame(source)
        return
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "source is a DataFrame, a path, a connection URL or a table of Ibis, not "
            f"{type(source).__name__}"
        )
    path = Path(source)
    where = f"file {str(path)!r}"
    many = _parquet_files(path)
    if many is not None:
        if separator is not None:
            raise ModelError(f"separator is for CSV files; {where} is Parquet: leave it out")
        with _telling(path, where):
            incoming = _from_parquet(many, f"folder {str(path)!r}")
        incoming.folder = True
        incoming.file_name = path.name
        yield incoming
        return
    if not path.is_file():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        near = [other.name for other in beside if other.is_file()]
        kind = "is a folder without Parquet files" if path.is_dir() else "does not exist"
        raise DataError(
            f"{where} {kind}; expected a CSV or Parquet file, or a folder of Parquet files."
            f"{did_you_mean(path.name, near)}"
        )
    with _telling(path, where), path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if not magic:
            raise DataError(f"{where} is empty; expected a header and rows: check the export")
        if magic == b"PAR1":
            if separator is not None:
                raise ModelError(f"separator is for CSV files; {where} is Parquet: leave it out")
            incoming = _from_parquet([path], where)
        elif magic.startswith(b"\x1f\x8b"):
            with gzip.open(file) as text:
                incoming = _from_csv(text, where, profile, separator)
                incoming.file_name = path.name
                yield incoming
            return
        else:
            file.seek(-1, io.SEEK_END)
            cut_off = file.read(1) not in b"\r\n"
            incoming = _from_csv(file, where, profile, separator)
            incoming.cut_off = cut_off
            if cut_off:
                incoming.notes.append(
                    "the file does not end with a line break: if it was cut off, its last row is "
                    "not whole"
                )
        incoming.file_name = path.name
        yield incoming


def _parquet_files(path: Path) -> list[Path] | None:
    """Return the Parquet files that a folder or a pattern means; None for a single file.

    Names that begin with a dot or an underscore are notes of the programs that write such folders,
    or what a run that was stopped left behind. Folders so named count where the path says them.
    """
    if path.is_file():
        return None
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.suffix.lower() in PARQUET_ENDINGS]
    elif glob.has_magic(str(path)):
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
    else:
        return None
    files = [
        file
        for file in sorted(found)
        if file.is_file() and file.name[0] not in "._" and not _left_behind(file, path)
    ]
    return files or None


def _left_behind(file: Path, path: Path) -> bool:
    """Whether a file is in a hidden folder that the path, or pattern, does not ask for."""
    asked = [part for part in path.parts if part[0] in "._"]
    return any(
        (part[0] == "." or (part[0] == "_" and "=" not in part))  # _day=1 is a hive folder
        and not any(fnmatchcase(part, name) for name in asked)
        for part in (file.parent.relative_to(path) if path.is_dir() else file.parent).parts
    )


@contextmanager
def _telling(path: Path, where: str) -> Iterator[None]:
    """Turn the errors of the readers into DataError."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise _not_utf8(path, where) from error
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise _not_utf8(path, where) from error
        raise DataError(
            f"{where} cannot be read ({_first_line(error)}); expected CSV or Parquet: look for a "
            "quote that is never closed, or export it again"
        ) from error
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise DataError(
            f"{where} cannot be read ({_first_line(error)}); expected a whole CSV or Parquet file "
            "that you may read: export or copy it again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _not_utf8(path: Path, where: str) -> DataError:
    """Name the first line that is not UTF-8."""
    opener = gzip.open if path.read_bytes()[:2] == b"\x1f\x8b" else open
    line = 0
    with opener(path, "rb") as file:
        for line, content in enumerate(file, start=1):  # noqa: B007
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                break
    return DataError(
        f"{where} is not UTF-8 text, first seen on line {line}; expected UTF-8: save it as "
        "'CSV UTF-8', or convert it from its encoding (often cp1252, UTF-16 or GB18030)"
    )


def _from_csv(
    file: BinaryIO | gzip.GzipFile, where: str, profile: Profile, separator: str | None
) -> Incoming:
    separator, names, note = _header(file, where, profile, separator)
    file.seek(0)
    columns = [f"c{index}" for index in range(len(names))]
    malformed: list[tuple[int, str]] = []
    short: list[int] = []

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        if row.number == 1:
            return "error"  # the header itself is not well formed
        found = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        if row.actual_columns < row.expected_columns:
            short.append(row.number - 1)
        malformed.append((row.number - 1, f"{found}: {row.text!r}"))  # the header is row 1
        return "skip"

    reader = pyarrow.csv.open_csv(
        file,
        # One thread: only then are rows numbered.
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False,
            block_size=_BLOCK_BYTES,
            column_names=columns,
            skip_rows_after_names=1,
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=separator, newlines_in_values=True, invalid_row_handler=keep
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False
        ),
    )
    split = f"{where} (split at {separator!r})"
    notes = [f"CSV, {note} {separator!r}"]
    return Incoming(split, names, iter(reader), notes, malformed, short=short)


def _header(
    file: BinaryIO | gzip.GzipFile, where: str, profile: Profile, separator: str | None
) -> tuple[str, list[str], str]:
    """Return the separator, the column names, and how the separator was found."""
    candidates = SEPARATORS if separator is None else (separator,)
    headers = {mark: _first_row(file, mark) for mark in candidates}
    for mark, rows in headers.items():
        if not rows or len(rows[0]) == 0:
            raise DataError(f"{where} has no header; expected column names in its first line")
        if len(rows) < 2:
            raise DataError(
                f"{where} has no rows below its first line {mark.join(rows[0])[:80]!r}; expected "
                "a header and at least one invoice: check the export"
            )
    if separator is not None:
        return separator, headers[separator][0], "separator given:"
    found = {mark: required_found(profile, rows[0]) for mark, rows in headers.items()}
    most = max(found.values())
    best = [mark for mark in SEPARATORS if found[mark] == most]
    if most and len(best) > 1:
        raise DataError(
            f"the header of {where} can be split at {listing(best)}; expected one separator: pass "
            "separator="
        )
    # None has a required column: the one that splits most is the likeliest to be told about.
    mark = best[0] if most else max(SEPARATORS, key=lambda mark: len(headers[mark][0]))
    return mark, headers[mark][0], "separator found in the header:"


def _first_row(file: BinaryIO | gzip.GzipFile, separator: str) -> list[list[str]]:
    """Return the header and the first row that are not blank, as far as they exist."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        rows = (row for row in csv.reader(text, delimiter=separator) if row)
        return [row for row, _ in zip(rows, range(2), strict=False)]
    finally:
        text.detach()


def _from_parquet(paths: Sequence[Path], where: str) -> Incoming:
    """Read the footers: every file must be whole, and at least one must have rows."""
    files: list[Footer] = []
    known: dict[Any, Any] = {}
    for path in paths:
        try:
            footer = pyarrow.parquet.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(
                f"file {str(path)!r} cannot be read ({_first_line(error)}); expected a whole "
                "Parquet file: it may have been cut off, so export or copy it again"
            ) from error
        with footer:
            columns = tuple((str(field.name), field.type) for field in footer.schema_arrow)
            columns = known.setdefault(columns, columns)
            blank = _without_figures(footer.metadata, columns)
            files.append(Footer(str(path), footer.metadata.num_rows, columns, blank))
    rows = sum(file.rows for file in files)
    if not rows:
        raise DataError(
            f"{where} has columns and no rows; expected at least one invoice: check the export"
        )
    note = "Parquet" if len(paths) == 1 else f"Parquet, {len(paths):,} files"
    names = [name for name, _ in files[0].columns]
    return Incoming(where, names, iter(()), [note], rows=rows, files=tuple(files))


def _without_figures(metadata: Any, columns: tuple[tuple[str, pa.DataType], ...]) -> frozenset[str]:
    """Return the columns of floats of which the footer says that every cell is blank."""
    floats = {name for name, kind in columns if pa.types.is_floating(kind)}
    if not floats:
        return frozenset()
    leaves = range(metadata.num_columns)
    place = {path: j for j in leaves if (path := metadata.schema.column(j).path) in floats}
    return frozenset(name for name, j in place.items() if _all_blank(metadata, j))


def _all_blank(metadata: Any, column: int) -> bool:
    for part in range(metadata.num_row_groups):
        found = metadata.row_group(part).column(column)
        told = found.statistics
        if told is None or not told.has_null_count or told.null_count < found.num_values:
            return False
    return True


def _from_frame(frame: pd.DataFrame) -> Incoming:
    where = "the DataFrame"
    if frame.columns.nlevels > 1:
        raise DataError(f"{where} has columns of {frame.columns.nlevels} levels; expected one")
    names = [str(name) for name in frame.columns]
    if frame.empty:
        raise DataError(
            f"{where} has {len(frame)} rows and {len(names)} columns; expected at least one invoice"
        )
    arrays = [_series_array(frame.iloc[:, index]) for index in range(len(names))]
    batch = pa.RecordBatch.from_arrays(arrays, names=[f"c{i}" for i in range(len(names))])
    floats = frozenset(
        index
        for index, array in enumerate(arrays)
        if pa.types.is_string(array.type)
        and frame.iloc[:, index].dtype == object
        and any(isinstance(cell, float) and cell == cell for cell in frame.iloc[:, index])
    )
    return Incoming(where, names, iter([batch]), ["DataFrame"], floats=floats)


def _series_array(series: pd.Series) -> pa.Array:
    """Return a column of a frame as Arrow; cells of several types become text."""
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        cells = [None if _is_missing(cell) else _cell_text(cell) for cell in series]
        array = pa.array(cells, type=pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array


def _is_missing(cell: Any) -> bool:
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def _cell_text(cell: object) -> str:
    """Write a cell of a mixed column as text, floats with all their digits."""
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == datetime.time() else cell.isoformat(" ")
    if isinstance(cell, Decimal) and cell.is_finite():
        return format(cell, "f")
    if isinstance(cell, bool | np.bool_):
        return "true" if cell else "false"
    if isinstance(cell, float | np.floating):
        return np.format_float_positional(float(cell), trim="0")
    return str(cell)


def _plain_array(array: pa.Array) -> pa.Array:
    """Return an array of a type that the engine and the rules know; the rest becomes text."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    kind = array.type
    known = (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal128(kind)
        or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind)
    )
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    if known:
        return array
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return array.cast(pa.string())  # text that a writer did not mark as such
        except pa.ArrowInvalid:
            pass
    cells = [None if cell is None else _cell_text(cell) for cell in array.to_pylist()]
    return pa.array(cells, type=pa.string())
