"""Files that are one book: whether their columns agree, by their footers, before a row is read.

DuckDB puts the columns of many Parquet files together by name. A column that a file lacks or
misspells is blank in all of its rows, and one of two types is turned into a third. Both are
settled here: refused with the file's name, or told in a note.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from credit_portfolio.errors import DataError, listing
from credit_portfolio.ledger.engines import ROW_IN_FILE
from credit_portfolio.ledger.reading import Footer, Incoming
from credit_portfolio.ledger.schema import COLUMNS, Profile, plain, refuse_doubled

_FILES_NAMED = 3  # in a note
_MOST_DIGITS = 38  # that a decimal may have

MOST_AS_FLOAT = 10**11
"""Below this, a binary float rounds to the four decimals that were meant, whatever they were."""

_ABSENT = {
    "settled_date": "count as open",
    "settled_amount": "count as settled in full where they have a settled date",
    "written_off_amount": "count as not written off",
    "disputed": "count as not disputed",
    "currency": "say no currency",
}


@dataclass(frozen=True, slots=True)
class Use:
    """What a source column is for.

    Parameters
    ----------
    name : str
        Canonical name.
    kind : str
        ``"id"``, ``"date"``, ``"money"``, or another, of which nothing is asked.
    required : bool
        Whether each file must have it.
    """

    name: str
    kind: str
    required: bool


@dataclass(frozen=True, slots=True)
class Mixed:
    """A column of two types that may stand beside each other."""

    name: str  # as the first file has it
    told: str  # which types, and where
    exact_money: bool  # whether exact money becomes binary floats


@dataclass(frozen=True, slots=True)
class Agreement:
    """What footers tell of files that are one book.

    Parameters
    ----------
    mixed : tuple of Mixed
        Columns of several types.
    bytes_too : bool
        Whether a column is text in one file, and in another bytes that nobody marked as text.
    """

    mixed: tuple[Mixed, ...] = ()
    bytes_too: bool = False


def uses_of_invoices(profile: Profile) -> dict[str, Use]:
    """Return what the source columns of a profile of invoices are for.

    >>> from credit_portfolio.ledger.schema import PROFILES
    >>> uses_of_invoices(PROFILES["ibm"])["SettledDate"]
    Use(name='settled_date', kind='date', required=True)
    """
    kinds = {column.name: column.kind for column in COLUMNS}
    kinds |= dict.fromkeys(("customer_id", "invoice_id"), "id")
    return {
        source: Use(name, kinds[name], name not in profile.may_be_absent)
        for name, source in profile.columns.items()
    }


def agree(
    incoming: Incoming, uses: Mapping[str, Use], kept: Sequence[str] | None = None
) -> Agreement:
    """Hold the columns of Parquet files against each other, and note where files lack some.

    Parameters
    ----------
    incoming : Incoming
        The files; takes the notes.
    uses : mapping of str to Use
        Source column -> what it is for.
    kept : sequence of str, optional
        The further columns that are kept; all of them by default.

    Raises
    ------
    DataError
        When a required column is missing in some file but not in all, an optional one is probably
        misspelt in one, two files spell a column in two ways that the engine keeps apart, a column
        has types that do not go together, the folders of two files name unlike columns, or a name
        is the engine's own.
    """
    files = incoming.filled
    if incoming.folder:
        _refuse_unlike_folders(files)
    book = _Book(files, folders=incoming.folder)
    book.refuse_names()
    incoming.notes += [
        f"column {name!r} stands in the files and in the names of their folders, which count"
        for name in sorted(book.hidden)
    ]
    if len(files) == 1:
        incoming.notes += [] if incoming.folder else _note_on_folders(files[0])
        return Agreement()
    wanted = {plain(source): (source, use) for source, use in uses.items()}
    lacking = [
        (key, places) for key, places in book.places.items() if len(places) < len(book.groups)
    ]
    for key, places in lacking:
        if key in wanted:
            source, use = wanted[key]
            book.refuse_lack(source, use, places, wanted.keys())
    keys = (
        wanted.keys() | {plain(name) for name in kept} if kept is not None else book.places.keys()
    )
    incoming.notes += book.notes_on_lack([part for part in lacking if part[0] in keys], wanted)
    mixed = [
        found
        for key in book.spelt
        if key in keys
        for found in [book.mixed(key, wanted[key][1] if key in wanted else None)]
        if found is not None
    ]
    return Agreement(tuple(mixed), book.bytes_too)


def refuse_large(mixed: Mixed, largest: float | None) -> None:
    """Refuse exact money that is too large for the binary floats that it becomes."""
    if largest is not None and largest >= MOST_AS_FLOAT:
        raise DataError(
            f"{mixed.told}; together they are binary floats, which do not hold the figure "
            f"{largest:,.0f} to four decimals: write the column as DECIMAL(18, 4) in every file"
        )


class _Book:
    """The columns of many files, those of like files together."""

    def __init__(self, files: Sequence[Footer], *, folders: bool) -> None:
        self.files = files
        # What the folders hold is in every file, whatever the files say.
        self.folders = {plain(key) for key in _folder_keys(files[0].path)} if folders else set()
        groups: dict[Any, list[Footer]] = {}
        for file in files:
            groups.setdefault((file.columns, file.blank), []).append(file)
        self.groups = list(groups.values())
        self.spelt: dict[str, dict[str, Footer]] = {}  # as compared -> as written -> first file
        self.places: dict[str, list[int]] = {}  # as compared -> groups that have it
        self.types: dict[str, list[tuple[pa.DataType, bool, Footer]]] = {}
        self.hidden: set[str] = set()  # columns in whose place the folders' are read
        for file in (group[0] for group in self.groups):
            for name, kind in file.columns:
                key = plain(name)
                if key in self.folders:
                    self.hidden.add(name)
                else:
                    self.spelt.setdefault(key, {}).setdefault(name, file)
                    blank = name in file.blank or pa.types.is_null(kind)
                    self.types.setdefault(key, []).append((kind, blank, file))
        for place, group in enumerate(self.groups):
            for name, _ in group[0].columns:
                if plain(name) not in self.folders:
                    self.places.setdefault(plain(name), []).append(place)
        self.bytes_too = any(
            {True, False} <= {_is_bytes(kind) for kind, _, _ in found if _family(kind) == "text"}
            for found in self.types.values()
        )

    # --- names

    def refuse_names(self) -> None:
        """Refuse names that two columns of a file, or a file and the engine, have in common."""
        for group in self.groups:
            names = [name for name, _ in group[0].columns]
            refuse_doubled(names, f"file {group[0].path!r}")
            if ROW_IN_FILE in map(str.lower, names):
                raise DataError(
                    f"file {group[0].path!r} has a column called {ROW_IN_FILE!r}, the name under "
                    "which DuckDB counts the rows of a file; expected another name: rename the "
                    "column, or drop it"
                )
        for spellings in self.spelt.values():
            apart = {_as_duckdb_compares(name): name for name in spellings}
            if len(apart) > 1:
                one, two = list(apart.values())[:2]
                raise DataError(
                    f"file {spellings[one].path!r} has a column {one!r} and file "
                    f"{spellings[two].path!r} one called {two!r}; expected one spelling, since "
                    "they are one column and would be read as two: rename it in one of the files"
                )

    # --- columns that some files lack

    def refuse_lack(
        self, source: str, use: Use, places: Sequence[int], wanted: Iterable[str]
    ) -> None:
        """Refuse files without a required column, or with an optional one that is misspelt."""
        wanted = set(wanted)
        beside = {plain(name) for place in places for name, _ in self.groups[place][0].columns}
        without = [group for place, group in enumerate(self.groups) if place not in places]
        many = [file for group in without for file in group]
        has = self.groups[places[0]][0].path
        called = repr(source) if source == use.name else f"{source!r} (for {use.name})"
        for group in without:
            own = {plain(name): name for name, _ in group[0].columns}
            further = {key: name for key, name in own.items() if key not in wanted}
            # A column that also stands beside the wanted one is no misspelling of it.
            if not use.required:
                further = {key: name for key, name in further.items() if key not in beside}
            close = get_close_matches(plain(source), further, n=1)
            if use.required:
                first, *others = [group[0], *(file for file in many if file is not group[0])]
                hint = f" Did you mean {further[close[0]]!r}?" if close else ""
                raise DataError(
                    f"{_named(first, others)} no column {called}; found "
                    f"{listing(further.values(), 10) or 'none'} besides those that are known; "
                    f"expected it in every file, as file {has!r} has it: rename or add the column, "
                    f"or take such files out of the folder.{hint}"
                )
            if close:
                raise DataError(
                    f"{_named(group[0], group[1:])} a column {further[close[0]]!r} and none called "
                    f"{called}, which file {has!r} has; probably a misspelling, and left alone "
                    f"{use.name} would be blank in {sum(f.rows for f in group):,} rows: rename it "
                    f"to {source!r}; if it is something else, add a blank column {source!r} to "
                    "such files"
                )

    def notes_on_lack(
        self,
        lacking: Sequence[tuple[str, Sequence[int]]],
        wanted: Mapping[str, tuple[str, Use]],
    ) -> list[str]:
        """Say in how many files a column is, and what that means for the rows of the others."""
        notes = []
        alike: dict[tuple[int, ...], list[str]] = {}  # columns kept for grouping, by their files
        for key, places in lacking:
            if key not in wanted:
                alike.setdefault(tuple(places), []).append(next(iter(self.spelt[key])))
                continue
            source, use = wanted[key]
            name = use.name if source == use.name else f"{use.name} ({source!r})"
            meaning = _ABSENT.get(use.name, f"have no {use.name}")
            notes.append(f"{name} is {self._where(places, meaning)}")
        for places, names in alike.items():
            said = f"columns {listing(names)} are"
            blank = "have them blank"
            if len(names) == 1:
                said, blank = f"column {names[0]!r} is", "have it blank"
            notes.append(f"{said} {self._where(places, blank)}")
        return notes

    def _where(self, places: Sequence[int], meaning: str) -> str:
        without = [
            file for place, group in enumerate(self.groups) if place not in places for file in group
        ]
        filled = sum(len(group) for group in self.groups)
        top = os.path.commonpath([os.path.dirname(file.path) for file in self.files])
        names = [os.path.relpath(file.path, top) for file in without]
        rows = sum(file.rows for file in without)
        return (
            f"in {filled - len(without):,} of {filled:,} files: the {rows:,} rows of the others "
            f"{meaning} ({listing(names, _FILES_NAMED)})"
        )

    # --- types

    def mixed(self, key: str, use: Use | None) -> Mixed | None:
        """Return how a column has several types, if it has; refuse those that do not go together.

        Parameters
        ----------
        key : str
            The column, as names are compared.
        use : Use or None
            None for a column that is only kept for grouping.
        """
        found = self.types[key]
        self._refuse_digits(key, found)
        families: dict[str, tuple[pa.DataType, Footer]] = {}
        for kind, blank, file in found:
            if not blank:
                families.setdefault(_family(kind), (kind, file))
        seen = set(families)
        # A column of floats makes all of them floats, even if it has not one figure.
        floats = [(kind, file) for kind, _, file in found if _family(kind) == "float"]
        if floats and seen & {"whole", "decimal"}:
            families.setdefault("float", floats[0])
        if len(families) < 2:
            return None
        money = use is not None and use.kind == "money"
        (kind, file), (other_kind, other) = list(families.values())[:2]
        spelt = next(iter(self.spelt[key]))
        told = (
            f"column {spelt!r} is {kind} in file {file.path!r} and {other_kind} in file "
            f"{other.path!r}"
        )
        together = {
            "id": {"whole", "decimal"},
            "date": {"date", "timestamp"},
            "money": _NUMBERS,
        }
        if use is not None and use.kind in together and not families.keys() <= together[use.kind]:
            raise DataError(f"{told}; {_WHY[use.kind]} in every file")
        self._refuse_unlike_values(told, families)
        self._refuse_short_floats(spelt, found, families)
        return Mixed(spelt, told, money and "float" in families)

    def _refuse_unlike_values(self, told: str, families: Collection[str]) -> None:
        """Refuse types of which the engine makes none that holds the values of all.

        It would fail not here, but at the first question that touches the column.
        """
        sorts = {_sort(family) for family in families}
        if len(sorts - {"text"}) > 1 or ("text" in sorts and sorts & _NESTED):
            raise DataError(
                f"{told}; expected values that can be of one type: write the column as text in "
                "every file, or leave it out"
            )

    def _refuse_short_floats(
        self,
        spelt: str,
        found: Sequence[tuple[pa.DataType, bool, Footer]],
        families: Mapping[str, tuple[pa.DataType, Footer]],
    ) -> None:
        """Refuse exact numbers that the engine would turn into floats of 32 bits.

        Beside a column of doubles, blank or not, all of them become doubles.
        """
        doubles = any(pa.types.is_float64(_unpacked(kind)) for kind, _, _ in found)
        if doubles or "float" not in families or not families.keys() <= _NUMBERS:
            return
        kind, file = next(part for family, part in families.items() if family != "float")
        short, other = families["float"]
        raise DataError(
            f"column {spelt!r} is {kind} in file {file.path!r} and {short} in file {other.path!r}; "
            "together they are floats of 32 bits, which hold seven digits and make 16,777,216.00 "
            "of 16,777,217.00: write the column as DECIMAL(18, 4) in every file, or as double "
            "where it is float"
        )

    def _refuse_digits(self, key: str, found: Sequence[tuple[pa.DataType, bool, Footer]]) -> None:
        """Refuse exact figures of which the engine would cut decimals off to make them fit."""
        exact = [(*_digits(kind), kind, file) for kind, _, file in found if any(_digits(kind))]
        if not any(pa.types.is_decimal(kind) for _, _, kind, _ in exact):
            return
        if any(_family(kind) == "float" for kind, _, _ in found):
            return
        whole, _, wide, file = max(exact, key=lambda part: part[0])
        _, places, fine, other = max(exact, key=lambda part: part[1])
        if whole + places > _MOST_DIGITS:
            raise DataError(
                f"column {next(iter(self.spelt[key]))!r} is {wide} in file {file.path!r} and "
                f"{fine} in file {other.path!r}; no decimal holds both, and decimals would be cut "
                "off: write the column in one type, such as DECIMAL(18, 4), in every file"
            )


_NUMBERS = {"whole", "decimal", "float"}
_NESTED = {"list", "struct", "map"}

_WHY = {
    "id": "expected one type, since 7 may have been '7' or '007', which are two ids: write it as "
    "text",
    "date": "expected one type, since a day that is turned into text need not be written as the "
    "profile says: write it as dates",
    "money": "expected numbers, since figures in text may have another decimal mark: write it as "
    "numbers",
}


def _named(first: Footer, others: Sequence[Footer]) -> str:
    """Return the words before "no column" or "a column"."""
    if not others:
        return f"file {first.path!r} has"
    return f"file {first.path!r} and {len(others):,} more have"


def _folder_keys(path: str) -> list[str]:
    """Return the columns that the names of a file's folders hold, as DuckDB finds them.

    >>> _folder_keys("books/currency=EUR/month=2024-01/a.parquet")
    ['currency', 'month']
    """
    parts = [part.split("=") for part in PurePath(path).parts[:-1] if not set("?\n") & set(part)]
    return [part[0] for part in parts if len(part) == 2 and part[0]]


def _refuse_unlike_folders(files: Sequence[Footer]) -> None:
    """Refuse files whose folders hold unlike columns: the engine would read none of them."""
    first, *others = files
    keys = _folder_keys(first.path)
    for other in others:
        own = _folder_keys(other.path)
        if set(own) != set(keys):
            told, told_too = (f"hold {listing(k)}" if k else "hold no column" for k in (keys, own))
            raise DataError(
                f"the folders of file {first.path!r} {told} and those of file {other.path!r} "
                f"{told_too}; expected the same for every file, in the same capitals, since each "
                "is a column: move the files into such folders, or open only those that agree"
            )


def _note_on_folders(file: Footer) -> list[str]:
    """Say that what the folders of a single file hold is not read."""
    keys = _folder_keys(file.path)
    if not keys:
        return []
    folder = os.path.dirname(file.path)
    return [
        f"a single file is read without what its folders hold ({listing(keys)}): open the folder "
        f"{folder!r} to have that too"
    ]


def _as_duckdb_compares(name: str) -> str:
    """Return a name without the case of the letters A to Z, and of no others."""
    return "".join(mark.lower() if mark.isascii() else mark for mark in name)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _unpacked(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values of a dictionary, or the type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _family(kind: pa.DataType) -> str:
    """Return a word for types that hold the same sort of thing."""
    is_ = pa.types
    kind = _unpacked(kind)
    if is_.is_string(kind) or is_.is_large_string(kind) or _is_bytes(kind):
        return "text"
    if is_.is_integer(kind):
        return "whole"
    if is_.is_floating(kind):
        return "float"
    if is_.is_decimal(kind):
        return "decimal"
    if is_.is_date(kind):
        return "date"
    if is_.is_timestamp(kind) and kind.tz is None:
        return "timestamp"
    return str(kind)


def _sort(family: str) -> str:
    """Return a word for families that the engine puts together.

    >>> _sort("decimal"), _sort("bool"), _sort("timestamp[us, tz=UTC]"), _sort("list<item: int64>")
    ('number', 'number', 'date', 'list')
    """
    word = re.split(r"\W|_list|_view", family.removeprefix("large_"), maxsplit=1)[0]
    word = {"fixed_size": "list", "time32": "time", "time64": "time"}.get(word, word)
    if family in _NUMBERS or word == "bool":
        return "number"
    return "date" if word == "timestamp" else word


def _digits(kind: pa.DataType) -> tuple[int, int]:
    """Return how many digits an exact number may have before and after its mark, else 0, 0."""
    if pa.types.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    if pa.types.is_integer(kind):
        return len(str(2 ** (kind.bit_width - pa.types.is_signed_integer(kind)))), 0
    return 0, 0
