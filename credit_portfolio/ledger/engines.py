"""The engines that hold a ledger: how each is reached, what may be kept in it, how it complains.

All that differs between DuckDB, PostgreSQL and Spark is here; the expressions are the same. Only
the embedded DuckDB is ever written to: a database is read, in read-only transactions.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb
import ibis
import ibis.common.exceptions
import ibis.expr.operations as ops
import numpy as np

from credit_portfolio.errors import (
    CreditPortfolioError,
    DataError,
    MissingDependencyError,
    ModelError,
    OutputError,
    did_you_mean,
    listing,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select

_CONNECT_SECONDS = 10  # a host that does not answer is told; libpq alone would wait for minutes

# Nothing is fetched from the network, and rows need no order of their own: where there is one, it
# is a column. Then a scan streams instead of waiting for the rows before it.
_SETTINGS: dict[str, object] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "preserve_insertion_order": False,
    "enable_external_file_cache": False,  # the system keeps what it read of a file already
}


_ATTACHED = "source_of_ledger"

# Tables that are kept beside those of a file must not be taken for one of them.
_MARK = f"ledger_{uuid.uuid4().hex}_"


def is_table(source: object) -> bool:
    """Whether a source is a table expression of Ibis."""
    return isinstance(source, ibis.Table)


# --- the embedded engine ------------------------------------------------------------------------


def embedded(
    memory_limit: str | None = None,
    temp_directory: str | os.PathLike[str] | None = None,
    database: Path | None = None,
) -> Any:
    """Return an embedded DuckDB of its own: nothing shared, nothing printed, no network.

    What does not fit into memory is spilled to a folder of its own, which goes with the engine.

    Parameters
    ----------
    memory_limit : str, optional
        Such as ``"4GB"``; four fifths of the machine's memory by default.
    temp_directory : path, optional
        Where the folder for spilling is made; the system's place for temporary files by default.
    database : Path, optional
        A DuckDB file to open, for reading only.

    Raises
    ------
    ModelError
        For a memory limit that DuckDB does not understand.
    OutputError
        When there is no place to spill to.
    """
    try:
        spill = tempfile.mkdtemp(prefix="credit_portfolio_", dir=temp_directory)
    except OSError as error:
        place = str(temp_directory or tempfile.gettempdir())
        raise OutputError(
            f"no folder for spilling can be made in {place!r} ({error.strerror}); expected one "
            "that may be written: give temp_directory="
        ) from error
    settings: dict[str, Any] = _SETTINGS | {"temp_directory": spill}
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    try:
        engine = _connect(settings, database)
    except BaseException:
        shutil.rmtree(spill, ignore_errors=True)
        raise
    weakref.finalize(engine, shutil.rmtree, spill, ignore_errors=True)
    return engine


def _connect(settings: dict[str, Any], database: Path | None) -> Any:
    limit = settings.get("memory_limit")
    try:
        con = duckdb.connect(config=settings)
    except duckdb.Error as error:
        if limit is not None and "memory" in str(error).lower():
            raise ModelError(f"memory_limit is {limit!r}; expected a size such as '4GB'") from error
        raise
    if database is not None:
        _attach(con, database)
    # In Jupyter without ipywidgets DuckDB has its bar off, and refuses even to be told so.
    if con.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (True,):
        con.execute("SET enable_progress_bar = false")
    return ibis.duckdb.from_connection(con)


def _attach(con: Any, database: Path) -> None:
    """Make a DuckDB file the place where names are looked for first, for reading only.

    A file that is opened as a database by itself could be opened once in a process, or else with
    the same place to spill to; attached, each ledger has an engine of its own.
    """
    path = str(database).replace("'", "''")
    try:
        con.execute(f"ATTACH '{path}' AS {_ATTACHED} (TYPE duckdb, READ_ONLY)")
        con.execute(f"USE {_ATTACHED}")
    except duckdb.Error as error:
        con.close()
        raise DataError(
            f"file {str(database)!r} cannot be opened ({first_line(error)}); expected a DuckDB "
            "database that nobody is writing: close the other program, or copy the file"
        ) from error


def close(engine: Any) -> None:
    """Close an embedded engine whose ledger did not come about, and clear its spilled rows away."""
    (spill,) = engine.con.execute("SELECT current_setting('temp_directory')").fetchone()
    engine.con.close()
    shutil.rmtree(spill, ignore_errors=True)


def load(engine: Any, batches: Iterator[Any]) -> Table:
    """Write Arrow tables of one schema into the table ``raw`` of the embedded engine."""
    schema, name = None, _MARK + "raw"
    for batch in batches:
        verb = f"INSERT INTO {name}" if schema else f"CREATE OR REPLACE TEMP TABLE {name} AS"
        with computing():
            engine.con.register("batch", batch)
            engine.con.execute(f"{verb} SELECT * FROM batch")
            engine.con.unregister("batch")
        schema = ibis.Schema.from_pyarrow(batch.schema)
    return ops.DatabaseTable(name, schema=schema, source=engine).to_expr()


def store(engine: Any, name: str, table: Table) -> Table:
    """Compute a table once in the embedded engine, and return what refers to it.

    Written out rather than left to ``create_table`` of Ibis 12.0, which asks DuckDB for the types
    again through a call that DuckDB has since deprecated, with a warning each time.
    """
    own = _MARK + name
    refuse_changed(engine)
    with computing():
        engine.con.execute(f"CREATE OR REPLACE TEMP TABLE {own} AS {engine.compile(table)}")
    return ops.DatabaseTable(own, schema=table.schema(), source=engine).to_expr()


_BATCH = 2**15  # rows handed over at once: they fit into the cache of a core

MOST_SORTED = 2**27
"""Rows of which numbers are sorted in memory, in one GiB; beyond, the engine groups and spills."""


def twice(column: Table, most: int = MOST_SORTED) -> Any:
    """Return the hashes of the texts in a column of DuckDB that come more than once.

    Sorting a number a row takes a third of the time of DuckDB's grouping, and less memory.

    Parameters
    ----------
    column : table expression
        One column of text; NULL does not count.
    most : int
        Up to how many rows.

    Returns
    -------
    ndarray of uint64, sorted, or None
        As :func:`hash_of` gives them; None where there are more rows, or in another engine.
    """
    if column._find_backend().name != "duckdb":
        return None
    (name,) = column.columns
    parts, rows = [], 0
    known = column.filter(column[name].notnull())
    for batch in batches(known.select(key=hash_of(known[name]))):
        rows += batch.num_rows
        if rows > most:
            return None
        parts.append(batch.column(0).to_numpy())
    return repeated(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.uint64)


def repeated(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the numbers that come more than once, sorted; ``keys`` are sorted in their place.

    >>> repeated(np.array([3, 1, 3, 2, 1, 3], dtype=np.uint64))
    array([1, 3], dtype=uint64)
    """
    keys.sort()
    return np.unique(keys[1:][keys[1:] == keys[:-1]])


def hash_of(text: Any) -> Any:
    """Return a whole number made of a text by the engine that holds it; DuckDB's is unsigned.

    The hash of Ibis 12.0 brings DuckDB's own into 63 bits by way of a text of noughts and ones.
    """
    return _HASH(text) if text._find_backend().name == "duckdb" else text.hash()


def last_character(text: Any) -> Any:
    """Return the last character of a text in DuckDB, empty for none.

    ``right`` takes longer, and ``reverse`` turns a mark and a blank behind it as one.
    """
    return _ELEMENT(text, -1)


def _hash(text: Any) -> Any:
    """Stand for the function of that name in DuckDB."""


def _element(text: Any, place: Any) -> Any:
    """Stand for the brackets behind a text in DuckDB."""


_HASH: Any = ibis.udf.scalar.builtin(_hash, name="hash", signature=(("string",), "uint64"))
_ELEMENT: Any = ibis.udf.scalar.builtin(
    _element, name="array_extract", signature=(("string", "int64"), "string")
)


def batches(table: Table) -> Iterator[Any]:
    """Yield the rows of a table of DuckDB, in batches of Arrow."""
    engine = table._find_backend()
    asked = engine.compile(table)
    refuse_changed(engine)
    con = engine.con
    with computing():
        # Decimals come in the 32 or 64 bits that they have in DuckDB, instead of in 128.
        con.execute("SET arrow_output_version = '1.5'")
        found = None
        try:
            found = con.sql(asked).to_arrow_reader(_BATCH)
            yield from (batch for batch in found if batch.num_rows)
        finally:
            if found is not None:
                found.close()
            con.execute("RESET arrow_output_version")  # what else asks knows 128 bits alone


def watch(engine: Any, paths: Sequence[str]) -> None:
    """Remember the files that an embedded engine reads anew with each question."""
    engine.files_of_ledger = {path: _state(path) for path in paths}


def refuse_changed(engine: Any) -> None:
    """Refuse files that are not those of the opening: nobody has judged their rows.

    Raises
    ------
    DataError
        When one was written again, or is gone.
    """
    for path, state in getattr(engine, "files_of_ledger", {}).items():
        if _state(path) != state:
            what = "has changed" if os.path.exists(path) else "is gone"
            raise DataError(
                f"file {path!r} {what} since the ledger was opened; expected files that stay as "
                "they were judged: open the ledger again"
            )


def _state(path: str) -> tuple[int, int] | None:
    """Return size and time of a file; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def drop(engine: Any, *names: str) -> None:
    """Drop tables that :func:`store` and :func:`load` made."""
    for name in names:
        engine.con.execute(f"DROP TABLE IF EXISTS {_MARK}{name}")


ROW_IN_FILE = "file_row_number"  # DuckDB calls it so, and by no other name
FILE = _MARK + "file"


def scan_parquet(
    engine: Any, paths: Sequence[str], *, binary_as_text: bool, folders: bool
) -> Table:
    """Return Parquet files as a table that is read anew, in part, by each question.

    Columns of the same name belong together; one that a file lacks is blank there. Where
    ``folders`` count, names such as ``month=2024-01`` become text columns. Two columns more
    are ``ROW_IN_FILE``, from 0 in each file, and ``FILE``.
    """
    with computing(), _old_calls():
        return engine.read_parquet(
            paths,
            file_row_number=True,
            filename=FILE,
            union_by_name=True,
            hive_partitioning=folders,
            hive_types_autocast=False,
            binary_as_string=binary_as_text,
        )


# --- databases ----------------------------------------------------------------------------------


def is_url(source: object) -> bool:
    """Whether a source is a connection URL rather than a path.

    >>> is_url("postgresql://server/books"), is_url("C:/books/invoices.csv")
    (True, False)
    """
    return isinstance(source, str) and "://" in source


def without_password(url: str) -> str:
    """Return what a connection URL may be called: server and database, no user, no password.

    >>> without_password("postgresql://anna:secret@server:5432/books?sslmode=require")
    'postgresql://server:5432/books'
    """
    scheme, _, rest = url.partition("://")
    server, slash, inside = rest.partition("?")[0].rpartition("@")[2].partition("/")
    return f"{scheme}://{server}{slash}{inside}"


def connect(url: str) -> tuple[Any, str]:
    """Return an engine for a connection URL, and what to call it; never with the password.

    Raises
    ------
    ModelError
        For a URL of another kind, or one that cannot be read.
    DataError
        When the server refuses, or does not answer.
    MissingDependencyError
        When the driver is not installed.
    """
    scheme = url.split("://", 1)[0].lower()
    if scheme not in ("postgresql", "postgres"):
        raise ModelError(
            f"the source is a URL of the kind {scheme!r}; expected postgresql://user@host/database;"
            " for another engine pass a table of Ibis, such as ibis.connect(url).table(name)"
        )
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise MissingDependencyError(
            "a ledger in PostgreSQL needs psycopg, which is not installed: "
            "pip install 'credit-portfolio[postgres]'"
        ) from error
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ModelError(
            "the URL of the source cannot be read; expected "
            "postgresql://user:password@host:port/database with special characters written as %XX"
        ) from None if "password" in str(error) or "@" in url else error
    host = parts.get("host") or "localhost"
    label = (
        f"PostgreSQL database {parts.get('dbname') or parts.get('user') or '(default)'!s} at {host}"
    )
    options: dict[str, Any] = {"autocommit": True}
    if "connect_timeout" not in parts:
        options["connect_timeout"] = _CONNECT_SECONDS
    if "application_name" not in parts:
        options["application_name"] = "credit_portfolio"
    try:
        con = psycopg.connect(url, **options)
    except psycopg.Error as error:
        words = _without(first_line(error), parts.get("password"))
        raise DataError(
            f"{label} cannot be reached ({words}); expected a server that lets this user in: check "
            "host, port, user and password, or the network"
        ) from None  # the driver's own error may carry the whole URL
    # The questions are long and the rows plain: compiling them takes longer than it saves.
    con.execute("SET jit = off")
    con.read_only = True
    engine = ibis.postgres.from_connection(con)
    weakref.finalize(engine, con.close)
    return engine, label


def _without(text: str, secret: Any) -> str:
    return text.replace(str(secret), "***") if secret else text


def table_named(engine: Any, name: str, schema: str | None, label: str) -> Table:
    """Return a table of a database by its exact name.

    Raises
    ------
    DataError
        When there is none; the message names a near one.
    """
    with computing(), _old_calls():
        place = None if schema is None else (engine.current_catalog, schema)
        try:
            return engine.table(name, database=place)
        except ibis.common.exceptions.TableNotFound:
            there = sorted(_tables_there(engine, schema, place))
    inside = f"schema {schema!r} of {label}" if schema is not None else label
    raise DataError(
        f"{inside} has no table {name!r}; found {listing(there, 20) or 'none'}: check the name, "
        f"its case and schema, and that this user may see it.{did_you_mean(name, there)}"
    )


_ALL_ROWS = 2**62  # a limit that no table reaches


def hold(table: Table) -> Table:
    """Return rows in a form that an engine does not work out again for each place that names them.

    Spark and PostgreSQL put an expression wherever its name stands: a date out of text, named in
    ten rules, is read ten times. Spark even plans for minutes, so it keeps the rows in its own
    cache, in memory and on the disks of its workers, as long as the ledger is there; for
    PostgreSQL see :func:`fence`. DuckDB sees by itself what is the same.
    """
    if table._find_backend().name != "pyspark":
        return fence(table)
    with computing():
        return table.cache()


def fence(table: Table) -> Table:
    """Return rows whose columns PostgreSQL works out once, as the rows stream by.

    It does not look through a limit, and this one leaves all rows.
    """
    return table.limit(_ALL_ROWS) if table._find_backend().name == "postgres" else table


def _tables_there(engine: Any, schema: str | None, place: Any) -> list[str]:
    if engine.name != "duckdb":
        return list(engine.list_tables(database=place))
    # Ibis 12.0 asks through a call that DuckDB no longer has.
    found = engine.con.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = ? "
        "AND table_catalog = current_database()",
        [schema or engine.current_database],
    )
    return [name for (name,) in found.fetchall()]


# --- what every engine has to say ---------------------------------------------------------------


@contextmanager
def _old_calls() -> Iterator[None]:
    """Let Ibis 12.0 ask DuckDB through calls that DuckDB has since deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


@contextmanager
def computing() -> Iterator[None]:
    """Turn what an engine complains of into an error of the package's tree.

    Raises
    ------
    OutputError
        When memory and the place for spilling are both full.
    DataError
        When the connection is lost, a right is missing, or the engine cannot read its data.
    """
    try:
        yield
    except CreditPortfolioError:
        raise
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        raise told from error


def _told(error: Exception) -> CreditPortfolioError | None:
    """Return our word for an engine's error; None for what is no engine's."""
    root = type(error).__module__.split(".")[0].lstrip("_")
    words = first_line(error)
    kind = type(error).__name__
    if root == "duckdb":
        if kind == "InterruptException":
            return None
        if kind == "OutOfMemoryException" or "No space left" in str(error):
            return OutputError(
                f"the ledger fits neither into memory nor into the place for spilling ({words}); "
                "expected room for the rows: free space, give temp_directory= on a larger disk, or "
                "a higher memory_limit="
            )
        return DataError(
            f"DuckDB cannot read the ledger ({words}); expected whole files that stay as they were "
            "when the ledger was opened: export or copy them again, and open the ledger again"
        )
    if root == "psycopg":
        if kind in ("InsufficientPrivilege",):
            return DataError(
                f"PostgreSQL refuses ({words}); expected the right to SELECT from the table: ask "
                "its owner to grant it"
            )
        lost = kind in ("OperationalError", "InterfaceError") or (
            getattr(error, "sqlstate", None) or ""
        ).startswith(("08", "57P"))
        if lost:
            return DataError(
                f"the connection to PostgreSQL was lost ({words}); expected it to last for the "
                "whole question; nothing was written: open the ledger again"
            )
        return DataError(
            f"PostgreSQL cannot answer ({words}); expected a table that can be read in full: look "
            "at the server's log"
        )
    if root in ("pyspark", "py4j"):
        return DataError(
            f"Spark cannot answer ({words}); expected a table that can be read in full: look at "
            "its log, and open the ledger again in a session that runs"
        )
    if isinstance(error, ibis.common.exceptions.IbisError):
        return DataError(
            f"the engine of the ledger cannot answer ({words or kind}); expected DuckDB, "
            "PostgreSQL or Spark: copy the table into Parquet files and open those"
        )
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
