"""Bring the rows of a source into sight: read, or left where they are.

A DataFrame or a CSV file goes into an embedded DuckDB of its own; Parquet files are scanned where
they lie, and a table of a database is asked where it is.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import ibis

from credit_portfolio.errors import ModelError
from credit_portfolio.ledger import engines
from credit_portfolio.ledger.folders import Agreement, agree, refuse_large, uses_of_invoices
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.reading import Incoming, reading
from credit_portfolio.ledger.schema import Profile, match_columns

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a source the rows are, and what the embedded engine may use."""

    table: str | None
    schema: str | None
    separator: str | None
    memory_limit: str | None
    temp_directory: str | os.PathLike[str] | None
    made: list[Any] = field(default_factory=list)  # engines, to be closed should opening fail

    def engine(self, database: Path | None = None) -> Any:
        """Start an embedded engine."""
        self.made.append(engines.embedded(self.memory_limit, self.temp_directory, database))
        return self.made[-1]

    @contextmanager
    def kept_if_opened(self) -> Iterator[None]:
        """Close the engines, and so remove what they spilt, where opening fails."""
        try:
            yield
        except BaseException:
            for engine in self.made:
                engines.close(engine)
            raise

    def refuse(self, where: str, *names: str) -> None:
        """Refuse options that mean nothing for a source."""
        for name in names:
            if getattr(self, name) is not None:
                raise ModelError(f"{name} means nothing for {where}: leave it out")

    def name(self, where: str) -> str:
        """Return the name of the table, which a database needs."""
        if self.table is None:
            raise ModelError(
                f"{where} holds tables; expected the name of one: pass table='receivables'"
            )
        return self.table


@dataclass(frozen=True, eq=False, slots=True)
class Raw:
    """The rows of a source: columns c0, c1, …, after those that say where a row stands."""

    incoming: Incoming
    table: Table
    places: tuple[str, ...]
    engine: Any = None  # our own, where tables may be kept; None for a database
    keeps: bool = False  # whether judged rows are kept: for text, which takes long to read

    def keep(self, name: str, table: Table) -> Table:
        """Compute a table once where that is allowed; a database is never written to."""
        return table if self.engine is None else engines.store(self.engine, name, table)


def bring(source: Any, profile: Profile, place: Place) -> Raw:
    """Bring the rows of a source into sight, read or left where they are."""
    if engines.is_table(source):
        where = "the Ibis table"
        place.refuse(where, "table", "schema", "separator", "memory_limit", "temp_directory")
        return of_database(source, where, "")
    if engines.is_url(source):
        where = "a connection URL"
        place.refuse(where, "separator", "memory_limit", "temp_directory")
        name = place.name(where)
        engine, label = engines.connect(source)
        found = engines.table_named(engine, name, place.schema, label)
        return of_database(found, f"table {name!r} of {label}", name)
    if is_duckdb_file(source):
        where = f"file {str(source)!r}"
        place.refuse(where, "separator")
        name = place.name(where)
        engine = place.engine(Path(source))
        found = engines.table_named(engine, name, place.schema, where)
        return of_database(found, f"table {name!r} of {where}", Path(source).name, engine)
    place.refuse("a frame or a file of rows", "table", "schema")
    with reading(source, profile, place.separator) as incoming:
        engine = place.engine()
        if incoming.paths:
            return _of_parquet(engine, incoming, profile)
        match_columns(profile, incoming.names, incoming.where)  # before the rows are read
        return Raw(incoming, engines.load(engine, incoming.numbered()), ("row",), engine, True)


def is_duckdb_file(source: Any) -> bool:
    """Whether a path is one of a DuckDB database, by the first bytes of the file."""
    if not isinstance(source, str | os.PathLike) or not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        return file.read(12)[8:] == b"DUCK"


def of_database(found: Table, where: str, name: str, engine: Any = None) -> Raw:
    """Return the rows of a table where they are; ``engine`` is our own, if it is one of those."""
    incoming = Incoming(where, list(found.columns), iter(()), ["table of a database"])
    incoming.file_name = name
    cells = {f"c{index}": as_written(found[column]) for index, column in enumerate(found.columns)}
    return Raw(incoming, found.select(**cells), (), engine)


def _of_parquet(engine: Any, incoming: Incoming, profile: Profile) -> Raw:
    told = agree(incoming, uses_of_invoices(profile))
    engines.watch(engine, incoming.paths)
    found = scanned(engine, incoming, binary_as_text=told.bytes_too)
    mapped, _ = match_columns(profile, incoming.names, incoming.where)
    if any(found[incoming.names[index]].type().is_binary() for index in mapped.values()):
        # Text that a writer did not mark as such.
        found = scanned(engine, incoming, binary_as_text=True)
    return of_scan(engine, incoming, found, told)


def scanned(engine: Any, incoming: Incoming, *, binary_as_text: bool) -> Table:
    """Return the rows of Parquet files, and say which columns are theirs and their folders'."""
    paths = [glob.escape(file.path) for file in incoming.filled]
    found = engines.scan_parquet(
        engine, paths, binary_as_text=binary_as_text, folders=incoming.folder
    )
    if incoming.folder:
        own = (engines.ROW_IN_FILE, engines.FILE)
        incoming.names = [name for name in found.columns if name not in own]
    return found


def of_scan(engine: Any, incoming: Incoming, found: Table, told: Agreement) -> Raw:
    """Return the rows of Parquet files as rows of a source, with notes on columns of two types."""
    for mixed in told.mixed:
        column = found[mixed.name]
        if mixed.exact_money:
            finite = ~(column.isnan() | column.isinf())
            largest = frame_of(found.aggregate(n=column.abs().max(where=finite)))["n"][0]
            refuse_large(mixed, largest)
        incoming.notes.append(f"{mixed.told}: read as {column.type()}")
    where = {"row": found[engines.ROW_IN_FILE] + 1}
    if len(incoming.paths) > 1:
        where = {"file": found[engines.FILE]} | where
    cells = {f"c{index}": as_written(found[name]) for index, name in enumerate(incoming.names)}
    return Raw(incoming, found.select(**where, **cells), tuple(where), engine)


def as_written(column: Expression) -> Expression:
    """Return a column of a type that the rules know; the rest becomes text.

    What is no number among floats is blank from here on: the statistics of a Parquet file do not
    count it, and DuckDB believes them where it plans a comparison or a filter.
    """
    kind = column.type()
    if kind.is_floating():
        return column.isnan().ifelse(ibis.null(kind), column)
    known = (
        kind.is_string()
        or kind.is_boolean()
        or kind.is_numeric()
        or kind.is_date()
        or kind.is_timestamp()
        or kind.is_uuid()
    )
    return column if known else column.cast("string")
