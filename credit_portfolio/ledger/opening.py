"""Open a ledger of signed entries: bring the rows, say what each is, judge them, see the book."""

from __future__ import annotations

import datetime
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.operations as ops
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.figures import Marks
from credit_portfolio.ledger import engines, source as sources
from credit_portfolio.ledger.entries import (
    ENTRY_RULE,
    ENTRY_RULES,
    POSITION_COLUMNS,
    Store,
    at_once,
    invoices_from_entries,
    judge_entries,
    unapplied_on,
)
from credit_portfolio.ledger.findings import (
    Told,
    count,
    findings_of,
    marks_in,
    told_of,
    told_of_links,
)
from credit_portfolio.ledger.folders import agree, uses_of_entries
from credit_portfolio.ledger.lines import entries_of, lines_of, marks_of, read_text, text_of
from credit_portfolio.ledger.mixed_dates import MOST_TRIED, format_meant, texts_of
from credit_portfolio.ledger.parsing import (
    Faults,
    decimal_marks,
    plausible_days,
    read_date,
    read_money,
)
from credit_portfolio.ledger.positions import Ledger, frame_of
from credit_portfolio.ledger.profiles import (
    EntryProfile,
    KindRule,
    resolve_entry_profile,
)
from credit_portfolio.ledger.quality import LedgerQuality
from credit_portfolio.ledger.reading import Incoming, reading
from credit_portfolio.ledger.record import decimal_of, refuse_before
from credit_portfolio.ledger.repairs import Repairs, check_kind, for_entries, mended_lines
from credit_portfolio.ledger.schema import MONEY, REQUIRED, RESERVED, Profile, plain
from credit_portfolio.ledger.source import Expression, Table

_SHOWN = (
    "customer_id",
    "document",
    "line",
    "against_document",
    "kind",
    "booking_date",
    "due_date",
    "end_date",
    "amount",
)
_TOTALS = ("amount", "collected", "discount", "written_off", "open")


@dataclass(frozen=True, slots=True)
class Mended:
    """What repairs did to the rows, and whether disputed invoices are held out of every picture.

    Parameters
    ----------
    told : tuple
        Finding, rows and money of each repair that touched an accepted row of the source.
    hold_out_disputed : bool
        Whether invoices are left out while they are disputed.
    """

    told: Told = ()
    hold_out_disputed: bool = False


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class EntryLedger(Ledger):
    """A ledger made from entries; :func:`credit_portfolio.open_entries` makes one.

    It is a :class:`credit_portfolio.Ledger` whose ``invoices`` have two further columns,
    ``credited`` (what credit notes took off, no longer in ``amount``) and ``discount``: then
    collected + discount + written_off + open = amount. ``accepted`` holds the accepted entries;
    ``keep`` computes a picture once, where that can be done without writing to a database, and
    ``mended`` says what was repaired.
    """

    keep: Store = at_once
    mended: Mended = Mended()

    def unapplied(self) -> pd.DataFrame:
        """Return money and credit on account of each customer, as float64.

        Returns
        -------
        pandas.DataFrame
            Index ``customer_id``, sorted; columns ``unapplied_cash``, ``unapplied_credit``; a
            customer with neither has no row.
        """
        frame = frame_of(unapplied_on(self.accepted, self.as_of))
        ordered: pd.DataFrame = frame.set_index("customer_id").sort_index().astype("float64")
        return ordered

    def on(self, day: str | datetime.date | pd.Timestamp) -> EntryLedger:
        """Return the same ledger as it stood on another day; nothing is read or judged again.

        Parameters
        ----------
        day : str, date or Timestamp
            ``YYYY-MM-DD`` in text.

        Raises
        ------
        DataError
            When the day is before the first invoice.
        ModelError
            For text that is no day.
        """
        as_of = sources.read_day(day)
        if as_of is None:
            raise ModelError("the day is None; expected a day such as '2013-09-30'")
        found = _pictured(
            self.accepted,
            as_of,
            self.groups,
            self.currency,
            self.quality,
            self.keep,
            self.mended,
        )
        if not found.n_invoices:
            invoices = self.accepted.filter(self.accepted.kind == "invoice")
            first = frame_of(invoices.aggregate(first=invoices.booking_date.min()))
            refuse_before(as_of, first["first"].iloc[0], self.quality.source)
        return found


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
        due = chosen.columns.get("due_date")
        if isinstance(due, str):
            chosen = replace(chosen, may_be_absent=chosen.may_be_absent | {due})
    if (links is None) == (chosen.matching == "links"):
        need = "needs its second table" if links is None else "has no second table"
        raise ModelError(f"profile {chosen.name!r} {need}: {_LINK_HINT[links is None]}")
    for_entries(repairs)
    day = sources.read_day(as_of)
    asked = None if currency is None else sources.currency_label(currency)
    place = sources.Place(table, schema, separator, memory_limit, temp_directory)
    with place.kept_if_opened():
        second, engine = None, None
        named = isinstance(links, str) and (engines.is_url(source) or place.table is not None)
        if links is not None and not named:
            second, engine = _links(links, source, chosen, place)
        raw = _bring(source, chosen, place, engine, groups)
        if named:
            second = _read_links(_beside(raw, links, place), chosen)
        job = _Job(raw, chosen, tuple(groups), decimal, asked, sources.today(), repairs)
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
    place: sources.Place,
    engine: Any = None,
    kept: Sequence[str] = (),
) -> sources.Raw:
    """Bring the rows of a source into sight, as the ledger of invoices does.

    ``engine`` is an embedded one that is there already, with the second table in it; ``kept`` are
    the columns that are kept for grouping.
    """
    face = _face(profile)
    if engines.is_table(source) or engines.is_url(source) or sources.is_duckdb_file(source):
        return sources.bring(source, face, place)
    place.refuse("a frame or a file of rows", "table", "schema")
    with reading(source, face, place.separator) as incoming:
        engine = place.engine() if engine is None else engine
        if not incoming.paths:
            _match(profile, incoming)  # before the rows are read
            loaded = engines.load(engine, incoming.numbered())
            return sources.Raw(incoming, loaded, ("row",), engine, True)
        told = agree(incoming, uses_of_entries(profile), kept)
        found = sources.scanned(engine, incoming, binary_as_text=True)
        return sources.of_scan(engine, incoming, found, told)


def _match(profile: EntryProfile, incoming: Incoming) -> dict[str, int]:
    """Return where each source column of the profile stands.

    Raises
    ------
    DataError
        When one that may not be absent is not there.
    """
    position = {plain(name): index for index, name in enumerate(incoming.names)}
    names = profile.sources()
    found = {name: position[plain(name)] for name in names if plain(name) in position}
    missing = [name for name in names if name not in found and name not in profile.may_be_absent]
    if missing:
        hints = "".join(did_you_mean(name, incoming.names) for name in missing)
        raise DataError(
            f"{incoming.where} has no column {listing(missing, 20)}; found "
            f"{listing(incoming.names, 30)}: rename the columns, or pass another profile.{hints}"
        )
    return found


def _links(
    links: Any, source: Any, profile: EntryProfile, place: sources.Place
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
    if apart or engines.is_url(source) or sources.is_duckdb_file(source):
        raise ModelError(
            "the two tables are not in one place; expected two frames or files, two tables of Ibis "
            "of one connection, or the name of a table of the same database: pass links= as such"
        )
    raw = _bring(links, _face_of_links(profile), place)
    return _read_links(raw, profile), raw.engine


def _beside(raw: sources.Raw, name: Any, place: sources.Place) -> sources.Raw:
    """Return another table of the database that a table has been brought from."""
    engine = raw.table.get_backend() if raw.engine is None else raw.engine
    found = engines.table_named(engine, name, place.schema, "the database of the entries")
    return sources.of_database(found, f"table {name!r}", name, raw.engine)


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


def _read_links(raw: sources.Raw, profile: EntryProfile) -> Table:
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


class _Keeper:
    """Computes a step once, in what vanishes with the session: steps use each other several times.

    DuckDB and PostgreSQL hold temporary tables, Spark checkpoints. Where a session may not make a
    temporary table (a read replica, a missing right), steps stay questions within questions: the
    answers are the same, and take minutes to plan.
    """

    def __init__(self, raw: sources.Raw) -> None:
        self.own = raw.engine is not None
        self.engine = raw.engine if self.own else raw.table.get_backend()
        self.kind = self.engine.name
        self.keeps = self.kind in ("duckdb", "pyspark")
        self.names: list[str] = []
        if self.kind == "postgres":
            self.keeps = self._may_keep()

    def _may_keep(self) -> bool:
        """Whether PostgreSQL lets this session make temporary tables."""
        asked = (
            "SELECT has_database_privilege(current_database(), 'TEMP')"
            " AND NOT pg_is_in_recovery()"
            " AND current_setting('transaction_read_only') = 'off'"
        )
        with engines.computing():
            return bool(self.engine.con.execute(asked).fetchone()[0])

    def __call__(self, name: str, table: Table) -> Table:
        if not self.keeps:
            return table
        if not self.own:  # a connection of the caller's: no name of his may be taken
            name = f"{name}_{uuid.uuid4().hex}"
        self.names.append(name)
        if self.kind == "duckdb":
            return engines.store(self.engine, name, table)
        with engines.computing():
            question = self.engine.compile(table)
            if self.kind == "pyspark":
                frame = self.engine._session.sql(question).localCheckpoint()
                frame.createOrReplaceTempView(name)
                return self.engine.table(name)
            self.engine.con.execute(f"CREATE TEMP TABLE {name} AS {question}")
            self.engine.con.execute(f"ANALYZE {name}")
        return ops.DatabaseTable(name, schema=table.schema(), source=self.engine).to_expr()

    def empty(self, table: Table) -> bool:
        """Whether a table that was kept has no rows; others are not asked."""
        return self.keeps and not int(frame_of(table.aggregate(n=table.count()))["n"][0])

    def drop_all_but(self, kept: str) -> None:
        """Give back the room of the steps."""
        if self.own:
            self.names.append("raw")
        if self.keeps and self.kind != "pyspark":
            engines.drop(self.engine, *[n for n in self.names if not n.startswith(kept)])
        self.names = []


def _with_rows(raw: sources.Raw) -> Table:
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

    raw: sources.Raw
    profile: EntryProfile
    groups: tuple[str, ...]
    decimal: str | None
    asked: str | None
    today: datetime.date
    repairs: Repairs | None = None

    def lines(self) -> Table:
        raw, incoming = self.raw, self.raw.incoming
        found = _match(self.profile, incoming)
        kept = self._groups()
        t = _with_rows(raw)
        t = t.mutate(**{f"g{k}": t[f"c{index}"] for k, index in enumerate(kept)})
        columns = {name: t[f"c{index}"] for name, index in found.items()}
        self._refuse_ids(columns)
        money = [
            self.profile.columns.get(name) for name in ("amount", "discount", "settled_amount")
        ]
        written = {
            name: raw.table[f"c{found[source]}"]
            for name, source in zip(MONEY, money, strict=True)
            if isinstance(source, str) and source in found
        }
        marks = decimal_marks(raw.table, written, self.decimal, incoming)
        asked = self.asked if self._has_currency(columns) else None
        cells = _Cells(self.profile, marks, incoming.where, asked, self.today)
        if self.repairs is None:
            return lines_of(t, columns, self.profile, cells, self._inner())
        due = self.profile.columns.get("due_date")
        blank: Expression = ibis.literal(True)
        if isinstance(due, str) and due in columns:
            blank = text_of(columns[due], self.profile, due).isnull()
        t = t.mutate(due_blank=blank)
        lines = lines_of(t, columns, self.profile, cells, [*self._inner(), "due_blank"])
        return mended_lines(lines, self.repairs)

    def _has_currency(self, columns: Mapping[str, Expression]) -> bool:
        return self.profile.columns.get("currency") in columns

    def _inner(self) -> list[str]:
        return [f"g{k}" for k in range(len(self.groups))]

    def _groups(self) -> list[int]:
        """Return where the grouping columns stand."""
        names = self.raw.incoming.names
        missing = [name for name in self.groups if name not in names]
        if missing:
            raise DataError(
                f"{self.raw.incoming.where} has no column {listing(missing)} to group by; found "
                f"{listing(names, 30)}: mend `groups`.{did_you_mean(missing[0], names)}"
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
        for name in ("customer_id", "document", "against_document", "clearing", "line_id"):
            parts = self.profile.columns.get(name, ())
            for part in (parts,) if isinstance(parts, str) else parts:
                if part in columns and part not in self.profile.whole:
                    kind = columns[part].type()
                    if kind.is_floating():
                        raise DataError(
                            f"{name} (column {part!r} of {self.raw.incoming.where}) has type "
                            f"{kind}; expected text or whole numbers, since 123.0 may have been "
                            "'123' or '0123': read the source with that column as text, such as "
                            "dtype=str, or name it in the profile's `whole`"
                        )

    def ledger(self, day: datetime.date | None, links: Table | None) -> EntryLedger:
        inner, keep = self._inner(), _Keeper(self.raw)
        read = keep("entry_lines", self.lines())
        seen = _seen(read)
        label = self._currency(seen)
        lines = read.drop(*marks_in(read))
        entries = entries_of(lines, self.profile, inner, links, keep)
        judged = judge_entries(keep("entries_read", entries), inner, keep, keep.empty)
        quality = _quality(judged, self.raw.incoming, self.profile, label, int(seen["rows"].sum()))
        accepted = judged.filter(judged.rule == "")
        columns = [name for name in judged.columns if name not in (*inner, "rule")]
        named = {name: accepted[own] for name, own in zip(self.groups, inner, strict=True)}
        accepted = keep("entries_accepted", accepted.select(*columns, **named))
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
        return _pictured(accepted, as_of, self.groups, label, quality, keep, mended)

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
        source = self.profile.columns["booking_date"]
        if (
            not isinstance(source, str)
            or not (quality.rejected["rule"] == "unreadable_booking_date").any()
        ):
            return ""
        column = self.raw.table[f"c{_match(self.profile, self.raw.incoming)[source]}"]
        if not column.type().is_string():
            return ""
        cells = frame_of(self.raw.table.select(day=column).limit(MOST_TRIED))["day"]
        hint = format_meant(texts_of(cells), self.profile.date_formats)
        return f"{hint}; " if hint else ""


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


# --- the picture and the record -----------------------------------------------------------------


def _pictured(
    accepted: Table,
    as_of: datetime.date,
    groups: tuple[str, ...],
    currency: str,
    quality: LedgerQuality,
    keep: Store,
    mended: Mended,
) -> EntryLedger:
    """Return the ledger as known on a day."""
    every = invoices_from_entries(accepted, as_of, groups)
    every = keep(f"invoices_{as_of:%Y%m%d}", every)
    told = list(mended.told)
    if mended.hold_out_disputed:
        held = every.filter(every.disputed)
        row = frame_of(held.aggregate(rows=held.count(), money=held.open.sum())).iloc[0]
        told.append(("held_out_disputed", int(row["rows"]), decimal_of(row["money"])))
        every = every.filter(~every.disputed)
    invoices = every.filter(every.amount > 0)
    t = every
    sums: dict[str, Expression] = {
        "invoices": count(t.amount > 0),
        "customers": t.customer_id.nunique(where=t.amount > 0),
        "still_open": count(t.open > 0),
        "credited_in_full": count(t.amount == 0),
        "credited_in_full_money": t.credited.sum(where=t.amount == 0),
    }
    for name in (*_TOTALS, "credited"):
        sums[f"{name}_count"] = count(t[name] != 0)
        sums[f"{name}_money"] = t[name].sum()
    known = frame_of(t.aggregate(**sums)).iloc[0]
    totals = pd.DataFrame(
        {
            "invoices": [int(known[f"{name}_count"]) for name in _TOTALS],
            "money": [decimal_of(known[f"{name}_money"]) for name in _TOTALS],
        },
        index=pd.Index(_TOTALS),
    )
    later = accepted.filter(accepted.booking_date > as_of)
    after = frame_of(later.aggregate(rows=later.count(), money=later.amount.sum())).iloc[0]
    quality = replace(
        quality,
        rows_after_as_of=int(after["rows"]),
        amount_after_as_of=decimal_of(after["money"]),
        findings=findings_of(accepted, every, as_of, known, told),
        control_totals=totals,
        as_of=as_of,
    )
    return EntryLedger(
        invoices=invoices,
        as_of=as_of,
        currency=currency,
        quality=quality,
        groups=groups,
        n_invoices=int(known["invoices"]),
        n_open=int(known["still_open"]),
        n_customers=int(known["customers"]),
        accepted=accepted,
        keep=keep,
        mended=mended,
    )


def _quality(
    judged: Table, incoming: Incoming, profile: EntryProfile, label: str, lines: int
) -> LedgerQuality:
    """Return the record of all entries; what depends on a day is filled in with the picture.

    ``lines`` is how many rows of the source the engine has seen.
    """
    t = judged
    foreign = t.rule == "other_currency"
    counts = frame_of(
        t.group_by("rule").aggregate(
            rows=t.count(),
            amount=t.amount.sum(where=~foreign),
            blank=count(t.amount.isnull() | foreign),
        )
    )
    counted = {
        str(rule): (int(rows), decimal_of(amount), int(blank))
        for rule, rows, amount, blank in counts.itertuples(index=False)
    }
    bad = len(incoming.malformed)
    if bad:
        counted["malformed_row"] = (bad, Decimal(0), bad)
    rows, amount, _ = counted.pop("", (0, Decimal(0), 0))
    rejected_rows = sum(n for n, _, _ in counted.values())
    rejected_amount = sum((money for _, money, _ in counted.values()), Decimal(0))
    rules = pd.DataFrame(
        [
            (r.name, *counted.get(r.name, (0, Decimal(0), 0))[:2], r.meaning, r.what_to_do)
            for r in ENTRY_RULES
        ],
        columns=["rule", "rows", "amount", "meaning", "what_to_do"],
    )
    return LedgerQuality(
        source=incoming.where,
        profile=profile.name,
        currency=label,
        rows_read=rows + rejected_rows,
        rows_accepted=rows,
        rows_rejected=rejected_rows,
        source_rows=lines + bad,
        amount_read=amount + rejected_amount,
        amount_accepted=amount,
        amount_rejected=rejected_amount,
        rows_without_readable_amount=sum(blank for _, _, blank in counted.values()),
        rows_after_as_of=0,
        amount_after_as_of=Decimal(0),
        rules=rules,
        rejected=_rejected(judged, incoming),
        findings=pd.DataFrame(columns=["finding", "rows", "amount", "meaning"]),
        control_totals=pd.DataFrame(columns=["invoices", "money"]),
        notes=tuple(incoming.notes),
        file_name=incoming.file_name,
    )


def _rejected(judged: Table, incoming: Incoming) -> pd.DataFrame:
    """Return every rejected entry: row of the source, rule, reason, then the entry as read.

    The row of one file among several counts within its ``file``.
    """
    bad = judged.filter(judged.rule != "").order_by("row")
    shown = {name: bad[name].cast("string") for name in _SHOWN}
    frame = frame_of(bad.select("rule", row=bad.source_row, **shown))
    if incoming.malformed:
        frame["row"] = incoming.source_rows(frame["row"].to_numpy(dtype="int64"))
    texts = frame[list(_SHOWN)].astype(object)
    texts = texts.where(texts.notna(), None)
    reasons = [
        _reason(rule, cells)
        for rule, cells in zip(frame["rule"], texts.to_dict("records"), strict=True)
    ]
    result = pd.concat(
        [frame[["row", "rule"]], pd.Series(reasons, name="reason", dtype=object), texts], axis=1
    )
    if incoming.malformed:
        lines = pd.DataFrame(
            [(number, "malformed_row", text) for number, text in incoming.malformed],
            columns=["row", "rule", "reason"],
        )
        lines = lines.reindex(columns=result.columns)
        result = pd.concat([result, lines]) if len(result) else lines
        result = result.sort_values("row", ignore_index=True, kind="stable")
    if len(incoming.files) > 1:
        files, rows = incoming.places_in_files(result["row"].to_numpy(dtype="int64"))
        result["row"] = rows
        result.insert(0, "file", pd.Series(files, dtype=object))
    return result


def _reason(rule: str, cells: Mapping[Any, str | None]) -> str:
    words = {str(k): "(blank)" if not v else repr(v) for k, v in cells.items()}
    return ENTRY_RULE[rule].reason.format_map(words)
