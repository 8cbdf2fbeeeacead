"""Open a ledger of signed entries: bring the rows, say what each is, judge them, see the book."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import ibis
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.figures import Marks
from credit_portfolio.ledger import bringing, engines, source as sources
from credit_portfolio.ledger.entries import (
    POSITION_COLUMNS,
    judge_entries,
)
from credit_portfolio.ledger.entry_ledger import EntryLedger, Mended, inner_names, pictured
from credit_portfolio.ledger.entry_record import quality_of
from credit_portfolio.ledger.findings import (
    Told,
    count,
    marks_in,
    told_of,
    told_of_links,
)
from credit_portfolio.ledger.folders import agree
from credit_portfolio.ledger.keeping import Keeper
from credit_portfolio.ledger.lines import (
    IDS,
    entries_of,
    lines_of,
    marks_of,
    read_text,
    text_of,
    uses_of_entries,
)
from credit_portfolio.ledger.mixed_dates import MOST_TRIED, format_meant, texts_of
from credit_portfolio.ledger.parsing import (
    Faults,
    decimal_marks,
    plausible_days,
    read_date,
    read_money,
)
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.profiles import (
    EntryProfile,
    KindRule,
    resolve_entry_profile,
)
from credit_portfolio.ledger.quality import LedgerQuality
from credit_portfolio.ledger.reading import Incoming, reading
from credit_portfolio.ledger.record import refuse_before
from credit_portfolio.ledger.repairs import Repairs, check_kind, for_entries, mended_lines
from credit_portfolio.ledger.schema import MONEY, REQUIRED, RESERVED, Profile, plain
from credit_portfolio.ledger.source import Expression, Table


def open_entries(
    source: pd.DataFrame | str | os.PathLike[str] | Table,
    profile: str | EntryProfile | Mapping[str, str] | None = None,
    as_of: str | datetime.date | pd.Timestamp | None = None,
    *,
    write_offs: str | Mapping[str, Sequence[str]] | None = None,
    links: pd.DataFrame | str | os.PathLike[str] | Table | None = None,
    groups: Sequence[str] = (),
    table: str | None = None,
    schema: str | None = None,
    currency: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    date_format: str | Sequence[str] | None = None,
    memory_limit: str | None = None,
    temp_directory: str | os.PathLike[str] | None = None,
    repairs: Repairs | None = None,
) -> EntryLedger:
    """Open a ledger of signed entries, judge every one, and see the invoices as of a day.

    Parameters
    ----------
    source : pandas.DataFrame, path, connection URL or table of Ibis
        As :func:`credit_portfolio.open_ledger` takes it.
    profile : str, EntryProfile or mapping, optional
        ``"entries"`` (the default: one row an entry), ``"sap"``, ``"sap_document_currency"``,
        ``"erpnext"``, ``"odoo"``, ``"highradius"``, ``"settlement_code"``, an
        :class:`EntryProfile`, or ``{canonical column: source column}``.
    as_of : str, date or Timestamp, optional
        The day of the picture. Default: the latest booking that is not after today.
    write_offs : mapping or ``"none"``, optional
        Where the profile cannot tell a write-off from a payment: source column -> texts that say
        so; or ``"none"``, which says that the source holds none.
    links : frame, path, table of Ibis or str, optional
        The second table of a profile with matching ``"links"``; of the same kind as the source.
        Beside a ``table`` of a database: the name of another one there.
    groups : sequence of str
        Columns of the source to keep with each invoice.
    table, schema, separator, decimal, memory_limit, temp_directory
        As :func:`credit_portfolio.open_ledger` takes them.
    currency : str, optional
        Take the rows of this currency and reject the others; the label of the money when the
        source has no currency column.
    date_format : str or sequence of str, optional
        Overrides the profile's formats of dates in text.
    repairs : Repairs, optional
        ``terms`` for invoices without a due date, ``same_customer`` and ``hold_out_disputed``
        (while they are disputed); what else there is to mend in entries, a profile says.

    Returns
    -------
    EntryLedger

    Raises
    ------
    DataError
        The source is missing, empty, not readable, lacks columns, mixes currencies, or holds no
        acceptable invoice.
    ModelError
        An unknown profile, one that cannot tell write-offs and is not told, or an option that does
        not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame(
    ...     [
    ...         ("C1", "I1", "", "invoice", "2024-01-02", "2024-02-01", "100.00"),
    ...         ("C1", "P1", "I1", "payment", "2024-01-20", "", "-60.00"),
    ...         ("C1", "W1", "I1", "write_off", "2024-06-20", "", "-40.00"),
    ...     ],
    ...     columns=["customer_id", "document", "against_document", "kind", "booking_date",
    ...              "due_date", "amount"])
    >>> ledger = open_entries(rows, as_of="2024-03-31")
    >>> ledger.exposure().to_dict(), ledger.on("2024-06-30").exposure().to_dict()
    ({'C1': 40.0}, {'C1': 0.0})
    """
    check_kind(repairs)
    chosen = resolve_entry_profile(profile, write_offs, date_format)
    if repairs is not None and repairs.terms is not None:
        due = chosen.parts_of("due_date")
        chosen = replace(chosen, may_be_absent=chosen.may_be_absent.union(due))
    if (links is None) == (chosen.matching == "links"):
        need = "needs its second table" if links is None else "has no second table"
        raise ModelError(f"profile {chosen.name!r} {need}: {_LINK_HINT[links is None]}")
    for_entries(repairs)
    day = sources.read_day(as_of)
    asked = None if currency is None else sources.currency_label(currency)
    place = bringing.Place(table, schema, separator, memory_limit, temp_directory)
    with place.kept_if_opened():
        second, engine = None, None
        named = isinstance(links, str) and (engines.is_url(source) or place.table is not None)
        if links is not None and not named:
            second, engine = _links(links, source, chosen, place)
        raw = _bring(source, chosen, place, engine, groups)
        if named:
            second = _read_links(_beside(raw, links, place), chosen)
        told = write_offs if isinstance(write_offs, Mapping) else {}
        kept = tuple(dict.fromkeys(groups))
        found = _match(chosen, raw.incoming, kept)
        job = _Job(raw, chosen, found, kept, decimal, asked, sources.today(), repairs, told)
        return job.ledger(day, second)


_LINK_HINT = {True: "pass links=", False: "leave links= out"}


def _face(profile: EntryProfile) -> Profile:
    """Return a profile of invoices that has the names which to look for in a header.

    It is all that the readers ask of a profile, to find the separator of a file.
    """
    names = [name for name in profile.sources() if name not in profile.may_be_absent]
    names += [f"(no column {k})" for k in range(len(names), len(REQUIRED))]
    return Profile(profile.name, dict(zip(REQUIRED, names, strict=False)))


def _bring(
    source: Any,
    profile: EntryProfile,
    place: bringing.Place,
    engine: Any = None,
    kept: Sequence[str] = (),
) -> bringing.Raw:
    """Bring the rows of a source into sight, as the ledger of invoices does.

    ``engine`` is an embedded one that is there already, with the second table in it; ``kept`` are
    the columns that are kept for grouping.
    """
    face = _face(profile)
    if engines.is_table(source) or engines.is_url(source) or bringing.is_duckdb_file(source):
        return bringing.bring(source, face, place)
    place.refuse("a frame or a file of rows", "table", "schema")
    with reading(source, face, place.separator) as incoming:
        engine = place.engine() if engine is None else engine
        if not incoming.paths:
            _match(profile, incoming, kept)  # before the rows are read
            loaded = engines.load(engine, incoming.numbered())
            return bringing.Raw(incoming, loaded, ("row",), engine, True)
        told = agree(incoming, uses_of_entries(profile), kept)
        found = bringing.scanned(engine, incoming, binary_as_text=True)
        return bringing.of_scan(engine, incoming, found, told)


# Above this likeness a column is taken for a misspelt optional one: "ZBDT1" for "ZBD1T" is 0.80,
# "entry_date" for "end_date" 0.78.
_MISSPELT = 0.8


def _match(profile: EntryProfile, incoming: Incoming, kept: Sequence[str] = ()) -> dict[str, int]:
    """Return where each source column of the profile stands.

    Raises
    ------
    DataError
        When one that may not be absent is not there, or another is probably misspelt.
    """
    position = {plain(name): index for index, name in enumerate(incoming.names)}
    names = profile.sources()
    found = {name: position[plain(name)] for name in names if plain(name) in position}
    missing = [name for name in names if name not in found and name not in profile.may_be_absent]
    if missing:
        hints = "".join(did_you_mean(name, incoming.names) for name in missing)
        losses = {name for rule in profile.kinds if rule.kind == "write_off" for name in rule.when}
        if profile.ask and (told := [name for name in missing if name in losses]):
            hints += f" {listing(told)} stands in write_offs=."
        raise DataError(
            f"{incoming.where} has no column {listing(missing, 20)}; found "
            f"{listing(incoming.names, 30)}: rename the columns, or pass another profile.{hints}"
        )
    _refuse_misspelt([name for name in names if name not in found], names, profile, incoming, kept)
    return found


def _refuse_misspelt(
    absent: Sequence[str],
    names: Sequence[str],
    profile: EntryProfile,
    incoming: Incoming,
    kept: Sequence[str],
) -> None:
    """Refuse a column that is nearly called like one that may be absent, and is."""
    known = {plain(name) for name in (*names, *kept, *profile.neighbours)}
    for wrong in (name for name in incoming.names if plain(name) not in known):
        right = [
            name
            for name in absent
            if get_close_matches(plain(name), [plain(wrong)], cutoff=_MISSPELT)
        ]
        if right:
            raise DataError(
                f"{incoming.where} has a column {wrong!r} and none called {listing(right)}; "
                f"probably a misspelling, and left alone {right[0]} would be blank in every row: "
                f"rename it; if it is something else, leave it out, or add a blank column "
                f"{right[0]!r}"
            )


def _note_on_absent(profile: EntryProfile, absent: Sequence[str]) -> str:
    """Return what it means that a source does not have some columns."""
    fields = profile.fields()
    called = [
        name if fields.get(name, name) == name else f"{name} ({fields[name]})" for name in absent
    ]
    note = f"no column for {', '.join(called)}: blank in every row"
    return note + "; no row says its currency" * (profile.part_of("currency") in absent)


def _links(
    links: Any, source: Any, profile: EntryProfile, place: bringing.Place
) -> tuple[Table, Any]:
    """Return the second table of frames, files or Ibis, and the embedded engine that it is in.

    Raises
    ------
    ModelError
        When the two tables are not in one place.
    DataError
        When a column is missing.
    """
    apart = engines.is_table(links) != engines.is_table(source)
    if apart or engines.is_url(source) or bringing.is_duckdb_file(source):
        raise ModelError(
            "the two tables are not in one place; expected two frames or files, two tables of Ibis "
            "of one connection, or the name of a table of the same database: pass links= as such"
        )
    raw = _bring(links, _face_of_links(profile), place)
    return _read_links(raw, profile), raw.engine


def _beside(raw: bringing.Raw, name: Any, place: bringing.Place) -> bringing.Raw:
    """Return another table of the database that a table has been brought from."""
    if Path(name).is_file():
        raise ModelError(
            f"links= is the file {name!r}, and the entries are in a database; expected the name of "
            "another table there: load the file into the database"
        )
    engine = raw.table.get_backend() if raw.engine is None else raw.engine
    found = engines.table_named(engine, name, place.schema, "the database of the entries")
    return bringing.of_database(found, f"table {name!r}", name, raw.engine)


def _face_of_links(profile: EntryProfile) -> EntryProfile:
    """Return a profile that has the columns of the second table for its own."""
    return EntryProfile(
        f"{profile.name}, second table",
        {
            "customer_id": profile.links["credit_id"],
            "document": profile.links["debit_id"],
            "booking_date": profile.links["link_date"],
            "amount": profile.links["link_amount"],
            "settled_date": profile.links["link_date"],
        },
        kinds=(KindRule("payment"),),
        matching="row",
        date_formats=profile.date_formats,
    )


def _read_links(raw: bringing.Raw, profile: EntryProfile) -> Table:
    """Return the second table, its days and money read."""
    found = _match(_face_of_links(profile), raw.incoming)
    t = _with_rows(raw)
    columns = {name: t[f"c{found[source]}"] for name, source in profile.links.items()}
    written = raw.table[f"c{found[profile.links['link_amount']]}"]
    marks = decimal_marks(raw.table, {"amount": written}, None, raw.incoming)
    cells = _Cells(profile, marks, raw.incoming.where, None, sources.today())
    fields: dict[str, Expression] = {}
    fields["link_date"], _, hours = cells.day(columns["link_date"], "link_date")
    fields["link_amount"], _, rounded = cells.money(columns["link_amount"], "link_amount")
    touched = {"time_of_day_dropped": [hours], "rounded_floats": [rounded]}
    for name in ("credit_id", "debit_id"):
        fields[name], hits = read_text(columns[name], profile, name)
        for finding, hit in hits.items():
            touched.setdefault(finding, []).append(hit)
    return raw.keep("links", t.select("row", **fields, **marks_of(touched)))


def _with_rows(raw: bringing.Raw) -> Table:
    """Return the rows with a number each; those of a database in the order of all they say."""
    t = raw.table
    if raw.places == ("row",):
        return t
    cells = [name for name in t.columns if name not in raw.places]
    order = [t[name] for name in raw.places] or [t[name].cast("string") for name in cells]
    number = ibis.row_number().over(order_by=order)
    # Spark counts in 32 bits where Ibis believes in 64, and leaves out a cast to what it believes.
    return t.select(*cells, row=number.cast("decimal(18, 0)").cast("int64") + 1)


@dataclass(frozen=True, eq=False, slots=True)
class _Cells:
    """Reads dates and money as the profile writes them."""

    profile: EntryProfile
    marks: Marks
    where: str
    asked: str | None
    today: datetime.date

    def day(self, column: Expression, name: str) -> tuple[Expression, Expression, Expression]:
        return read_date(column, self.profile.date_formats, name, self.where)

    def money(self, column: Expression, name: str) -> tuple[Expression, Faults, Expression]:
        return read_money(column, self.marks, name, self.where)

    def implausible(self, day: Expression) -> Expression:
        first, last = plausible_days(self.today)
        return (day < first) | (day > last)

    def other_currency(self, word: Expression) -> Expression:
        return ibis.literal(False) if self.asked is None else word != self.asked


@dataclass(frozen=True, eq=False, slots=True)
class _Job:
    """What is known of a source before its entries are judged."""

    raw: bringing.Raw
    profile: EntryProfile
    found: Mapping[str, int]  # where the profile's columns stand
    groups: tuple[str, ...]
    decimal: str | None
    asked: str | None
    today: datetime.date
    repairs: Repairs | None = None
    write_offs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def lines(self) -> Table:
        raw, incoming, found = self.raw, self.raw.incoming, self.found
        absent = [name for name in self.profile.sources() if name not in found]
        if absent:
            incoming.notes.append(_note_on_absent(self.profile, absent))
        kept = self._groups()
        t = _with_rows(raw)
        t = t.mutate(**{f"g{k}": t[f"c{index}"] for k, index in enumerate(kept)})
        columns = {name: t[f"c{index}"] for name, index in found.items()}
        self._refuse_ids(columns)
        money = ("amount", "discount", "settled_amount")
        written = {
            name: raw.table[f"c{found[source]}"]
            for name, field_ in zip(MONEY, money, strict=True)
            for source in self.profile.parts_of(field_)[:1]
            if source in found
        }
        marks = decimal_marks(raw.table, written, self.decimal, incoming)
        asked = self.asked if self._has_currency(columns) else None
        cells = _Cells(self.profile, marks, incoming.where, asked, self.today)
        if self.repairs is None:
            return lines_of(t, columns, self.profile, cells, self._inner())
        due = self.profile.part_of("due_date")
        blank: Expression = ibis.literal(True)
        if due in columns:
            blank = text_of(columns[due], self.profile, due).isnull()
        t = t.mutate(due_blank=blank)
        lines = lines_of(t, columns, self.profile, cells, [*self._inner(), "due_blank"])
        return mended_lines(lines, self.repairs)

    def _has_currency(self, columns: Mapping[str, Expression]) -> bool:
        return self.profile.part_of("currency") in columns

    def _inner(self) -> list[str]:
        return inner_names(self.groups)

    def _groups(self) -> list[int]:
        """Return where the grouping columns stand."""
        names = self.raw.incoming.names
        missing = [name for name in self.groups if name not in names]
        if missing:
            raise DataError(
                f"{self.raw.incoming.where} has no column {listing(missing)} to group by; found "
                f"{listing(names, 30)}: give one of those.{did_you_mean(missing[0], names)}"
            )
        taken = [name for name in self.groups if plain(name) in {*RESERVED, *POSITION_COLUMNS}]
        if taken:
            raise ModelError(
                f"groups names {listing(taken)}, which the ledger needs for itself: rename the "
                "column in the source"
            )
        return [names.index(name) for name in self.groups]

    def _refuse_ids(self, columns: Mapping[str, Expression]) -> None:
        """Refuse ids in binary floats, but where the profile says that they are whole numbers."""
        for name in IDS:
            for part in self.profile.parts_of(name):
                if part in columns and part not in self.profile.whole:
                    kind = columns[part].type()
                    if kind.is_floating() and self._holds_numbers(columns[part]):
                        raise DataError(
                            f"{name} (column {part!r} of {self.raw.incoming.where}) has type "
                            f"{kind}; expected text or whole numbers, since 123.0 may have been "
                            "'123' or '0123': read the source with that column as text, such as "
                            "dtype=str, or name it in the profile's `whole`"
                        )

    @staticmethod
    def _holds_numbers(column: Expression) -> bool:
        """Return whether a column of floats says anything; pandas makes them of blanks alone."""
        t = column.name("cell").as_table()
        return bool(len(frame_of(t.filter(t.cell.notnull()).limit(1))))

    def _note_write_offs(self) -> None:
        """Note the texts for write-offs that no row holds: a loss would count as paid."""
        found, lacking = self.found, []
        for name, given in self.write_offs.items():
            column = self.raw.table[f"c{found[name]}"] if name in found else None
            absent, held = _unheld(self.raw.table, column, self.profile, name, given)
            if absent:
                lacking.append((name, absent, held))
        notes = self.raw.incoming.notes
        if sum(len(absent) for _, absent, _ in lacking) < sum(map(len, self.write_offs.values())):
            notes += [
                f"write_offs: no row says {listing(absent)} in {name}; it says {held}"
                for name, absent, held in lacking
            ]
        elif lacking:
            parts = [f"{name} never says {listing(a)}; it says {held}" for name, a, held in lacking]
            notes.insert(0, f"no row is a write-off: {'; '.join(parts)}")

    def ledger(self, day: datetime.date | None, links: Table | None) -> EntryLedger:
        inner, keep = self._inner(), Keeper(self.raw)
        read = keep("entry_lines", self.lines())
        seen = _seen(read)
        label = self._currency(seen)
        self._note_write_offs()
        lines = read.drop(*marks_in(read))
        entries = entries_of(lines, self.profile, inner, links, keep)
        judged = judge_entries(keep("entries_read", entries), inner, keep, keep.empty)
        n_lines = int(seen["rows"].sum())
        raw, numbered = self.raw, bool(self.raw.places)  # rows of a database are not
        quality = quality_of(judged, raw.incoming, self.profile, label, n_lines, numbered=numbered)
        accepted = judged.filter(judged.rule == "")
        accepted = keep("entries_accepted", accepted.drop("rule"))
        days = _days_of(accepted, self.today)
        as_of = self._day(days, day, quality)
        told: Told = ()
        if days["latest"] > self.today or any(seen[name].sum() for name in marks_in(read)):
            told = told_of(read, accepted, self.today)
        if links is not None:
            told += told_of_links(links, judged)
        keep.drop_all_but("entries_accepted")
        held_out = self.repairs is not None and self.repairs.hold_out_disputed
        mended = Mended(told, held_out)
        return pictured(accepted, as_of, self.groups, label, quality, keep, mended)

    def _currency(self, seen: pd.DataFrame) -> str:
        """Return the one currency of the sound lines."""
        table = seen.loc[seen["sound"], ["currency", "rows"]].reset_index(drop=True)
        if len(table) > 1:
            parts = [f"{c or '(blank)'} {n:,} rows" for c, n in table.itertuples(index=False)]
            raise DataError(
                f"{self.raw.incoming.where} holds {len(table)} currencies ({'; '.join(parts)}); "
                "expected one, since money of two currencies is never added up: pass currency= "
                "and open a ledger for each",
                table,
            )
        said = str(table["currency"][0]) if len(table) else ""
        return said or self.asked or self.profile.currency

    def _day(
        self, days: pd.Series[Any], day: datetime.date | None, quality: LedgerQuality
    ) -> datetime.date:
        if pd.isna(days["first"]):
            counts = ", ".join(
                f"{rule} {rows:,}" for rule, rows in quality.rejected["rule"].value_counts().items()
            )
            raise DataError(
                f"none of the {quality.rows_read:,} entries of {quality.source} is an acceptable "
                f"invoice ({counts or 'no row is an invoice'}); expected at least one: "
                f"{self._format_hint(quality)}the error's failures hold every rejected one",
                quality.rejected,
            )
        if day is None and days["first"] > self.today:
            raise DataError(
                f"every invoice of {quality.source} is dated after today, {self.today}, the first "
                f"on {days['first']}; expected some of the past: mend the dates, or pass as_of="
            )
        found: datetime.date = days["last"] if day is None else day
        refuse_before(found, days["first"], quality.source)
        return found

    def _format_hint(self, quality: LedgerQuality) -> str:
        """Return which format would read booking dates that are unreadable, with a semicolon."""
        if not (quality.rejected["rule"] == "unreadable_booking_date").any():
            return ""
        source = self.profile.parts_of("booking_date")[0]
        column = self.raw.table[f"c{self.found[source]}"]
        if not column.type().is_string():
            return ""
        cells = frame_of(self.raw.table.select(day=column).limit(MOST_TRIED))["day"]
        hint = format_meant(texts_of(cells), self.profile.date_formats)
        return f"{hint}; " if hint else ""


_TEXTS_SHOWN = 10


def _unheld(
    table: Table, column: Expression | None, profile: EntryProfile, name: str, given: Sequence[str]
) -> tuple[list[str], str]:
    """Return which of the texts no cell of a column holds, and what its cells hold instead."""
    if column is None:
        return [text for text in given if text], "nothing, there is no such column"
    says = text_of(column, profile, name).fill_null("")
    t = table.select(says=says, word=says.lower())
    words = sorted({text.casefold() for text in given})
    held = set(frame_of(t.filter(t.word.isin(words)).select("word").distinct())["word"])
    absent = [text for text in given if text.casefold() not in held]
    if not absent:
        return [], ""
    each = t.group_by("says").aggregate(rows=t.count())
    each = each.order_by(each["rows"].desc(), "says").limit(_TEXTS_SHOWN + 1)
    seen = list(frame_of(each).itertuples(index=False))
    parts = [f"{text!r} ({rows:,})" for text, rows in seen[:_TEXTS_SHOWN]]
    return absent, ", ".join(parts) + (" and others" if len(seen) > _TEXTS_SHOWN else "")


def _seen(lines: Table) -> pd.DataFrame:
    """Count rows and what repairs touched, by currency and whether a line is sound so far."""
    t = lines.mutate(sound=lines.fault == "")
    marks = {name: count(t[name]) for name in marks_in(t)}
    sums = t.group_by("currency", "sound").aggregate(rows=t.count(), **marks)
    return frame_of(sums.order_by("currency", "sound"))


def _days_of(accepted: Table, today: datetime.date) -> pd.Series[Any]:
    """Return the day of the first invoice, of the last entry by today, and of the last of all."""
    t = accepted
    past = t.booking_date <= today
    days = t.aggregate(
        first=t.booking_date.min(where=t.kind == "invoice"),
        last=t.booking_date.max(where=past),
        latest=t.booking_date.max(),
    )
    return frame_of(days).iloc[0]
