"""Judge clean rows at a glance: their numbers stream by, and every rule is asked of all at once.

Most rows of most books break no rule. So the embedded engine hands over dates and money as it reads
them, a number made from each invoice id, and a flag for what only the source's own form can tell;
one look at each batch says whether any row breaks any rule, and what the book comes to. A rule that
is suspected is then asked of the rows one by one, in the engine.
"""

from __future__ import annotations

import datetime
import functools
import operator
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError
from credit_portfolio.ledger import engines
from credit_portfolio.ledger.arrays import (
    NEVER,
    TOO_MANY_UNITS,
    Money,
    day_number,
    days,
    exact_sum,
    flags,
    in_money,
    money,
)
from credit_portfolio.ledger.parsing import is_day, plain_money, plausible_days, surely_tidy
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.quality import RULE
from credit_portfolio.ledger.record import Sums, day_numbers
from credit_portfolio.ledger.schema import DATES, MONEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.ledger.source import Table

    Days = NDArray[np.int32]
    Units = NDArray[np.int64]
    Keys = NDArray[np.uint64]

# What the typed values do not tell any more: a figure that could not be read looks blank.
_BY_FORM = (
    "unreadable_settled_date",
    "bad_settled_amount",
    "bad_written_off_amount",
    "too_many_decimals",
    "amount_too_large",
    "unknown_disputed_word",
    "other_currency",
)
_BY_MONEY = ("amount_not_a_number", "too_many_decimals", "amount_too_large")

_NO_ID, _LOOSE_ID = 0, 1  # in place of the number of an id that is blank, or may have space


@dataclass(eq=False, slots=True)
class Tally:
    """What rows come to, so far: numbers of rows by name, money in units, and days.

    ``counted`` has the names that :class:`~credit_portfolio.ledger.record.Sums` has.
    """

    today: int
    day: int | None
    counted: Counter[str] = field(default_factory=lambda: Counter(rows=0, amount=0))
    first: int = NEVER
    last: int = -NEVER
    settled: int = -NEVER

    @classmethod
    def on(cls, today: datetime.date, day: datetime.date | None) -> Tally:
        """Return a tally of no rows."""
        return cls(day_number(today), None if day is None else day_number(day))


@dataclass(frozen=True, eq=False, slots=True)
class Glance:
    """What one look at all rows has found.

    Attributes
    ----------
    suspected : frozenset of str
        Rules that some row may break; no other is broken.
    tally : Tally
        What all rows come to, of whatever they may break; without meaning where money is too large.
    keys : ndarray of uint64, optional
        The number of each invoice id; None where there are too many rows.
    """

    suspected: frozenset[str]
    tally: Tally
    keys: Keys | None

    @property
    def in_full(self) -> bool:
        """Whether some row has a settled date and no settled amount."""
        return self.tally.counted["settled_in_full_assumed_rows"] > 0


def glance(
    parsed: Table,
    mapped: Mapping[str, int],
    today: datetime.date,
    day: datetime.date | None,
    *,
    tidy: bool,
) -> Glance | None:
    """Look at all rows of the embedded engine once.

    None where ids were to be tidy and one may have space around it.

    Parameters
    ----------
    parsed : table expression
        From ``parse``.
    mapped : mapping of str to int
        Position of each column in the source.
    today : datetime.date
        What lies ahead, and which years are plausible.
    day : datetime.date, optional
        Of which the sums are wanted.
    tidy : bool
        Whether ids were taken as they are, without a look for space around them.

    Raises
    ------
    DataError
        When rows come or go while the source is read.
    """
    rows = int(frame_of(parsed.aggregate(n=parsed.count()))["n"].iloc[0])
    keys = np.empty(rows if rows <= engines.MOST_SORTED else 0, dtype=np.uint64)
    first, last = plausible_days(today)
    plausible = (day_number(first), day_number(last))
    tally, suspected = Tally.on(today, day), set[str]()
    for batch in engines.batches(_asked(parsed, mapped, tidy)):
        start, stop = tally.counted["rows"], tally.counted["rows"] + batch.num_rows
        _refuse_other(stop <= rows, rows)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        seen = _rows_of(columns)
        if tidy and (seen.keys == _LOOSE_ID).any():
            return None
        if len(keys):
            keys[start:stop] = seen.keys
        suspected |= _suspected(columns, seen, plausible)
        _add(tally, columns, seen)
    _refuse_other(tally.counted["rows"] == rows, rows)
    if "missing_invoice_id" in suspected:
        keys = keys[keys != _NO_ID]  # two rows without an id are no copies
    return Glance(frozenset(suspected), tally, keys if rows <= engines.MOST_SORTED else None)


def without(
    seen: Tally,
    rejected: Iterable[Table],
    accepted: Table,
    mapped: Mapping[str, int],
    today: datetime.date,
    day: datetime.date | None,
    *,
    tidy: bool,
) -> Tally:
    """Return what is left of a tally of all rows without those that are rejected.

    Each row comes to whole numbers of its own, so the difference is exact, and takes as long as
    the few rejected rows do. Only the first and last days have to be looked for again, and only
    where a rejected row may have set them.

    Parameters
    ----------
    seen : Tally
        Of all rows.
    rejected : iterable of table expressions
        Parsed or judged rows, each rejected one once.
    accepted : table expression
        All others.
    mapped, today, day, tidy
        As :func:`glance` takes them.
    """
    less = Tally.on(today, day)
    for table in rejected:
        for batch in engines.batches(_asked(_as_given(table), mapped, tidy)):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            _add(less, columns, _rows_of(columns))
    left = Counter(seen.counted)
    left.subtract(less.counted)
    kept = replace(seen, counted=left)
    outermost = less.first <= seen.first or less.last >= seen.last or less.settled >= seen.settled
    if outermost and left["rows"]:
        kept.first, kept.last, kept.settled = _outermost(accepted, today)
    return kept


def _as_given(table: Table) -> Table:
    """Return rows as they were parsed: judging fills in what a settlement in full comes to."""
    if "in_full" not in table.columns:
        return table
    return table.mutate(settled_amount=(~table.in_full).ifelse(table.settled_amount, None))


def _outermost(accepted: Table, today: datetime.date) -> tuple[int, int, int]:
    """Return the first and last day of invoices and the last settlement, up to today."""
    dated, settled = accepted.invoice_date, accepted.settled_date
    found = frame_of(
        accepted.aggregate(
            first=dated.min(),
            last=dated.max(where=dated <= today),
            settled=settled.max(where=settled <= today),
        )
    ).iloc[0]
    last, paid = (
        -NEVER if pd.isna(found[name]) else day_number(found[name]) for name in ("last", "settled")
    )
    return day_number(found["first"]), last, paid


def _refuse_other(same: bool, rows: int) -> None:
    if not same:
        raise DataError(
            f"the source had {rows:,} rows when it was opened, and another number while it was "
            "read; expected rows that stay: open it again when nobody is writing"
        )


def broken_of(parsed: Table, suspected: Iterable[str]) -> set[str]:
    """Ask the engine which of the rules some row does break."""
    asked = {name: RULE[name].broken for name in suspected}
    found = {name: broken(parsed).any() for name, broken in asked.items() if broken is not None}
    if not found:
        return set()
    answer = frame_of(parsed.aggregate(**found)).iloc[0]
    return {name for name in found if answer[name]}


def _asked(parsed: Table, mapped: Mapping[str, int], tidy: bool) -> Table:
    """Return what streams by: the number of the id, dates, money, and flags that may be raised."""
    plain = plain_money(parsed, mapped)
    number = parsed.invoice_id
    fit = surely_tidy(number) if tidy else number.notnull()
    key = fit.ifelse(engines.hash_of(number), number.notnull().cast("uint64"))
    dated = {name: parsed[f"c{mapped[name]}"] for name in DATES if name in mapped}
    odd = []
    if "disputed" in mapped:
        odd.append(parsed.disputed.isnull())
    if "currency" in mapped:
        odd.append(~parsed.currency_asked)
    if "settled_date" in dated and not is_day(dated["settled_date"]):
        odd.append(parsed.settled_date.isnull() & ~parsed.settled_date_blank)
    for name in ("settled_amount", "written_off_amount"):
        if name in mapped and name not in plain:
            odd += [parsed[f"{name}_{fault}"] for fault in ("unreadable", "too_fine", "too_large")]
    asked = {"key": key} | {name: parsed[name] for name in DATES}
    asked |= {name: plain.get(name, parsed[name]) for name in MONEY}
    if odd:
        asked["odd"] = functools.reduce(operator.or_, odd)
    if not all(column.type().is_date() for column in dated.values()):
        asked["timed"] = parsed.timed
    if not tidy:
        asked["trimmed"] = parsed.trimmed
    return parsed.select(**asked)


def _date(number: int) -> datetime.date | None:
    """Return a day; None for none, and for one that Python's calendar does not reach."""
    ordinal = number + datetime.date(1970, 1, 1).toordinal()
    if not 1 <= ordinal <= datetime.date.max.toordinal():
        return None
    return datetime.date.fromordinal(ordinal)


# --- one batch ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Rows:
    """The rows of a batch; days and money in units."""

    keys: Keys
    invoiced: Days
    due: Days
    settled: Days
    undated: NDArray[np.bool_]  # where there is no settled date
    amount: Units
    collected: Units
    lost: Units
    left: Units  # of the amount, after both
    given: tuple[Money, Money, Money]  # the three kinds of money of the whole batch

    @property
    def largest(self) -> int:
        """What no money of these rows is beyond, nor what is left of an amount, in units."""
        return 2 * max(max(figures.most, -figures.least) for figures in self.given)

    def where(self, kept: NDArray[np.bool_]) -> _Rows:
        """Return some of the rows."""
        names = [name for name in self.__slots__ if name != "given"]
        return replace(self, **{name: getattr(self, name)[kept] for name in names})

    def with_rest_paid(self, in_full: NDArray[np.bool_]) -> _Rows:
        """Return the rows with all that was not lost collected where a row is settled in full."""
        collected = np.where(in_full, self.amount - self.lost, self.collected)
        return replace(self, collected=collected, left=np.where(in_full, 0, self.left))


def _rows_of(columns: dict[str, Any]) -> _Rows:
    invoiced, due, settled = (days(columns[name]) for name in DATES)
    amount, collected, lost = (money(columns[name]) for name in MONEY)
    return _Rows(
        keys=columns["key"].to_numpy(),
        invoiced=invoiced,
        due=due,
        settled=settled,
        undated=settled == NEVER,
        amount=amount.units,
        collected=collected.units,
        lost=lost.units,
        left=amount.units - collected.units - lost.units,
        given=(amount, collected, lost),
    )


def _suspected(columns: dict[str, Any], rows: _Rows, plausible: tuple[int, int]) -> set[str]:
    """Return the rules that some row of the batch may break."""
    first, last = plausible
    outside = min(rows.invoiced.min(), rows.due.min(), rows.settled.min()) < first
    outside = outside or max(rows.invoiced.max(), rows.due.max()) > last
    undated = columns["settled_date"].null_count
    amount, collected, lost = rows.given
    broken = {
        "missing_invoice_id": (rows.keys == _NO_ID).any(),
        "unreadable_invoice_date": columns["invoice_date"].null_count,
        "unreadable_due_date": columns["due_date"].null_count,
        "implausible_date": outside or np.count_nonzero(rows.settled > last) > undated,
        "amount_not_positive": amount.least <= 0,
        "bad_settled_amount": collected.least < 0,
        "bad_written_off_amount": lost.least < 0,
        "settled_amount_without_date": undated and (rows.collected[rows.undated] > 0).any(),
        "settled_above_amount": rows.left.min() < 0,
        "due_before_invoiced": (rows.due < rows.invoiced).any(),
        "settled_before_invoiced": (rows.settled < rows.invoiced).any(),
    }
    found = {name for name, suspicious in broken.items() if suspicious}
    too_large = rows.largest >= 2 * TOO_MANY_UNITS
    if too_large or amount.blank is not None:
        found.update(_BY_MONEY)
    if too_large or ("odd" in columns and flags(columns["odd"]).any()):
        found.update(_BY_FORM)
    return found


def _add(tally: Tally, columns: dict[str, Any], rows: _Rows) -> None:
    """Count rows, money, findings, and what is known of the day."""
    counted = tally.counted
    counted["rows"] += len(rows.amount)
    counted["amount"] += exact_sum(rows.amount, rows.largest)
    tally.first = min(tally.first, int(rows.invoiced.min()))
    tally.last, ahead = _latest(rows.invoiced, tally.today, tally.last)
    tally.settled, later = _latest(rows.settled, tally.today, tally.settled)
    touched: dict[str, tuple[NDArray[np.bool_], Units]] = {}
    for flag, name in (("timed", "time_of_day_dropped"), ("trimmed", "trimmed_ids")):
        if flag in columns:
            touched[name] = flags(columns[flag]), rows.amount
    rounded = [figures.rounded for figures in rows.given if figures.rounded is not None]
    if rounded:
        touched["rounded_floats"] = np.logical_or.reduce(rounded), rows.amount
    blank = rows.given[1].blank
    if blank is not None and (in_full := blank & ~rows.undated).any():
        rows = rows.with_rest_paid(in_full)
        touched["settled_in_full_assumed"] = in_full, rows.collected
    if columns["settled_date"].null_count:
        touched["undated_write_off"] = rows.undated & (rows.lost > 0), rows.lost
    if ahead or later:
        booked = (rows.invoiced > tally.today) | ((rows.settled > tally.today) & ~rows.undated)
        touched["dated_after_today"] = booked, rows.amount
    for name, (marked, figures) in touched.items():
        if marked.any():
            counted[f"{name}_rows"] += int(np.count_nonzero(marked))
            counted[f"{name}_amount"] += exact_sum(figures[marked], rows.largest)
    if tally.day is not None:
        _add_day(counted, tally.day, rows)


def _latest(dated: Days, today: int, before: int) -> tuple[int, bool]:
    """Return the latest day up to today, and whether there are later ones."""
    latest = int(dated.max())
    if latest <= today:
        return max(before, latest), False
    known = dated[dated <= today]
    return max(before, int(known.max())) if len(known) else before, True


def _add_day(counted: Counter[str], day: int, rows: _Rows) -> None:
    """Add up what was known on a day: all that has come by now, without what came later."""
    here = rows.invoiced <= day
    if not here.any():
        return
    if not here.all():
        rows = rows.where(here)
    pending = np.flatnonzero(rows.settled > day)
    collected, left = rows.collected[pending], rows.left[pending]
    later = ~rows.undated[pending]
    lost = np.where(later, rows.lost[pending], 0)  # a loss without a date counts on any day
    still_open = np.count_nonzero(rows.left > 0) - np.count_nonzero(left > 0)
    still_open += np.count_nonzero(left + collected + lost > 0)
    counted["day_invoices"] += len(rows.amount)
    counted["day_amount_money"] += exact_sum(rows.amount, rows.largest)
    counted["day_settled_after"] += int(np.count_nonzero(later))
    counted["day_settled_after_money"] += exact_sum(rows.amount[pending[later]], rows.largest)
    counted["day_still_open"] += int(still_open)
    of_all = ("collected", rows.collected, collected), ("written_off", rows.lost, lost)
    for name, part, not_yet in of_all:
        counted[f"day_{name}_count"] += int(np.count_nonzero(part) - np.count_nonzero(not_yet))
        counted[f"day_{name}_money"] += exact_sum(part, rows.largest)
        counted[f"day_{name}_money"] -= exact_sum(not_yet, rows.largest)


# --- what it comes to ---------------------------------------------------------------------------


def sums_of(tally: Tally, currency: str) -> Sums:
    """Return a tally of accepted rows as a summary by rule and currency; none for no rows."""
    counted = dict(tally.counted)
    known = {name: value for name, value in counted.items() if name.startswith("day_")}
    row: dict[str, Any] = {"rule": "", "currency": currency, "blank": 0}
    row |= {"trimmed_ids_rows": 0, "trimmed_ids_amount": Decimal(0)}
    row |= {"first": _date(tally.first), "last": _date(tally.last), "settled": _date(tally.settled)}
    for name, value in counted.items():
        if name not in known:
            row[name] = in_money(value) if name.endswith("amount") else value
    table = pd.DataFrame([row] if counted["rows"] else [], columns=list(row))
    if tally.day is None:
        return Sums(table, {})
    names = ["invoices", "amount_money", "settled_after", "settled_after_money", "still_open"]
    names += [
        f"{part}_{what}" for part in ("collected", "written_off") for what in ("count", "money")
    ]
    day = {name: known.get(f"day_{name}", 0) for name in names}
    day |= {"rows": counted["rows"], "rows_money": counted["amount"]}
    money = {name: in_money(day[name]) for name in day if name.endswith("_money")}
    return Sums(table, day_numbers(day | money))
