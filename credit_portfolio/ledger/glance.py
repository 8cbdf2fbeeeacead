"""Judge clean rows at a glance: their numbers stream by, and every rule is asked of all at once.

Most rows of most books break no rule. So the embedded engine hands over dates and money as it reads
them, a number made from each invoice id, and a flag for what only the source's own form can tell;
one look at each batch says whether any row breaks any rule, and what the book comes to. A rule that
is suspected is then asked of the rows one by one, in the engine.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError
from credit_portfolio.ledger import engines
from credit_portfolio.ledger.arrays import (
    NEVER,
    TOO_LARGE,
    Money,
    day_number,
    days,
    exact_sum,
    flags,
    given,
    in_money,
    money,
    parts_on,
)
from credit_portfolio.ledger.parsing import exact_money, maybe_loose, plausible_days
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.quality import RULE
from credit_portfolio.ledger.record import Sums, day_numbers
from credit_portfolio.ledger.schema import DATES, MONEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.ledger.source import Table

    Days = NDArray[np.int32]
    Units = NDArray[np.int64]

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


@dataclass(frozen=True, eq=False, slots=True)
class Glance:
    """What one look at all rows has found.

    Attributes
    ----------
    suspected : frozenset of str
        Rules that some row may break; no other is broken.
    loose : bool
        Whether an invoice id may be blank or have space around it.
    in_full : bool
        Whether some row has a settled date and no settled amount.
    sums : Sums
        As :func:`~credit_portfolio.ledger.record.summary` counts them; right where no rule is
        broken.
    keys : ndarray of int64, optional
        The number of each row's invoice id; None where there are too many rows.
    """

    suspected: frozenset[str]
    loose: bool
    in_full: bool
    sums: Sums
    keys: NDArray[np.int64] | None


@dataclass(eq=False, slots=True)
class _Seen:
    """What has been counted so far: rows, and money in units."""

    today: int
    day: int | None
    plausible: tuple[int, int]
    counted: Counter[str] = field(default_factory=lambda: Counter(rows=0, amount=0))
    suspected: set[str] = field(default_factory=set)
    first: int = NEVER
    last: int = -NEVER
    settled: int = -NEVER


def glance(
    parsed: Table,
    mapped: Mapping[str, int],
    currency: str,
    today: datetime.date,
    day: datetime.date | None,
) -> Glance:
    """Look at all rows of the embedded engine once.

    Parameters
    ----------
    parsed : table expression
        From ``parse``, ids taken as they are.
    mapped : mapping of str to int
        Position of each column in the source.
    currency : str
        Of all rows, or the one to keep.
    today : datetime.date
        What lies ahead, and which years are plausible.
    day : datetime.date, optional
        Of which the sums are wanted.

    Raises
    ------
    DataError
        When rows come or go while the source is read.
    """
    rows = int(frame_of(parsed.aggregate(n=parsed.count()))["n"].iloc[0])
    keys = np.empty(rows if rows <= engines.MOST_SORTED else 0, dtype=np.int64)
    span = plausible_days(today)
    seen = _Seen(
        today=day_number(today),
        day=None if day is None else day_number(day),
        plausible=(day_number(span[0]), day_number(span[1])),
    )
    loose = False
    for batch in engines.batches(_asked(parsed, mapped), hashed=("invoice_id",)):
        start, stop = seen.counted["rows"], seen.counted["rows"] + batch.num_rows
        _refuse_other(stop <= rows, rows)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        if len(keys):
            keys[start:stop] = columns["invoice_id"].to_numpy().view(np.int64)
        loose = loose or bool(flags(columns["loose"]).any())
        _look(seen, columns)
    _refuse_other(seen.counted["rows"] == rows, rows)
    return Glance(
        suspected=frozenset(seen.suspected),
        loose=loose,
        in_full=seen.counted["settled_in_full_assumed_rows"] > 0,
        sums=_sums(seen, currency),
        keys=keys if len(keys) == rows else None,
    )


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


def _asked(parsed: Table, mapped: Mapping[str, int]) -> Table:
    """Return what streams by: the number of the id, dates, money, and flags."""
    odd = parsed.settled_date.isnull() & ~parsed.settled_date_blank
    exact = exact_money(parsed, mapped)
    for name in ("settled_amount", "written_off_amount"):
        if name not in exact:
            for fault in ("unreadable", "too_fine", "too_large"):
                odd = odd | parsed[f"{name}_{fault}"]
    odd = odd | parsed.disputed.isnull() | ~parsed.currency_asked
    return parsed.select(
        "invoice_id",
        *DATES,
        "rounded",
        "timed",
        **{name: exact.get(name, parsed[name]) for name in MONEY},
        nameless=parsed.invoice_id.isnull(),
        loose=maybe_loose(parsed.invoice_id).fill_null(False),
        odd=odd,
    )


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

    invoiced: Days
    due: Days
    settled: Days
    never: NDArray[np.bool_]  # where there is no settled date
    amount: Units
    collected: Units
    lost: Units
    largest: int  # of the amounts

    def where(self, kept: NDArray[np.bool_]) -> _Rows:
        """Return some of the rows."""
        return _Rows(
            self.invoiced[kept],
            self.due[kept],
            self.settled[kept],
            self.never[kept],
            self.amount[kept],
            self.collected[kept],
            self.lost[kept],
            self.largest,
        )


def _look(seen: _Seen, columns: dict[str, Any]) -> None:
    """Look at a batch: rules, findings, and what is known of a day."""
    invoiced, due, settled = (days(columns[name]) for name in DATES)
    figures = [money(columns[name]) for name in MONEY]
    amount, collected, lost = (figure.units for figure in figures)
    never = settled == NEVER
    rows = _Rows(invoiced, due, settled, never, amount, collected, lost, figures[0].most)
    _suspect(seen, columns, rows, figures)
    _find(seen, columns, rows)
    if seen.day is not None:
        _add_day(seen.counted, seen.day, rows)


def _suspect(seen: _Seen, columns: dict[str, Any], rows: _Rows, figures: list[Money]) -> None:
    """Note the rules that some row of the batch may break."""
    first, last = seen.plausible
    amount, collected, lost = figures
    outside = min(rows.invoiced.min(), rows.due.min(), rows.settled.min()) < first
    outside = outside or max(rows.invoiced.max(), rows.due.max()) > last
    never = columns["settled_date"].null_count
    broken = {
        "missing_invoice_id": flags(columns["nameless"]).any(),
        "unreadable_invoice_date": columns["invoice_date"].null_count,
        "unreadable_due_date": columns["due_date"].null_count,
        "implausible_date": outside or np.count_nonzero(rows.settled > last) > never,
        "amount_not_positive": amount.least <= 0,
        "bad_settled_amount": collected.least < 0,
        "bad_written_off_amount": lost.least < 0,
        "settled_amount_without_date": never and (rows.collected[rows.never] > 0).any(),
        "settled_above_amount": (rows.collected + rows.lost > rows.amount).any(),
        "due_before_invoiced": (rows.due < rows.invoiced).any(),
        "settled_before_invoiced": (rows.settled < rows.invoiced).any(),
    }
    seen.suspected.update(name for name, found in broken.items() if found)
    large = any(max(-figure.least, figure.most) >= TOO_LARGE for figure in figures)
    if large or columns["amount"].null_count:
        seen.suspected.update(_BY_MONEY)
    if flags(columns["odd"]).any():
        seen.suspected.update(_BY_FORM)


def _find(seen: _Seen, columns: dict[str, Any], rows: _Rows) -> None:
    """Count rows, money and findings; money of rows settled in full is filled in."""
    counted = seen.counted
    counted["rows"] += len(rows.amount)
    counted["amount"] += exact_sum(rows.amount, rows.largest)
    seen.first = min(seen.first, int(rows.invoiced.min()))
    seen.last, ahead = _latest(rows.invoiced, seen.today, seen.last)
    seen.settled, later = _latest(rows.settled, seen.today, seen.settled)
    if columns["settled_amount"].null_count:
        in_full = ~given(columns["settled_amount"]) & ~rows.never
        np.copyto(rows.collected, rows.amount - rows.lost, where=in_full)
        _count(counted, "settled_in_full_assumed", in_full, rows.collected)
    if columns["settled_date"].null_count:
        _count(counted, "undated_write_off", rows.never & (rows.lost > 0), rows.lost)
    if ahead or later:
        booked = (rows.invoiced > seen.today) | ((rows.settled > seen.today) & ~rows.never)
        _count(counted, "dated_after_today", booked, rows.amount)
    _count(counted, "rounded_floats", flags(columns["rounded"]), rows.amount)
    _count(counted, "time_of_day_dropped", flags(columns["timed"]), rows.amount)


def _latest(dated: Days, today: int, before: int) -> tuple[int, bool]:
    """Return the latest day up to today, and whether there are later ones."""
    latest = int(dated.max())
    if latest <= today:
        return max(before, latest), False
    known = dated[dated <= today]
    return max(before, int(known.max())) if len(known) else before, True


def _count(counted: Counter[str], name: str, touched: NDArray[np.bool_], money: Units) -> None:
    """Count the rows of a finding and the money that goes with it."""
    if touched.any():
        some = money[touched]
        counted[f"{name}_rows"] += len(some)
        counted[f"{name}_amount"] += exact_sum(some, int(some.max()))


def _add_day(counted: Counter[str], day: int, rows: _Rows) -> None:
    """Add up what was known on a day, as ``with_parts`` and ``day_expressions`` say it."""
    here = rows.invoiced <= day
    if not here.any():
        return
    if not here.all():
        rows = rows.where(here)
    collected, lost = parts_on(day, rows.settled, rows.collected, rows.lost)
    later = (rows.settled > day) & ~rows.never
    counted["day_invoices"] += len(rows.amount)
    counted["day_amount_money"] += exact_sum(rows.amount, rows.largest)
    counted["day_settled_after"] += int(np.count_nonzero(later))
    counted["day_settled_after_money"] += exact_sum(rows.amount[later], rows.largest)
    counted["day_still_open"] += int(np.count_nonzero(rows.amount - collected - lost > 0))
    for name, part in (("collected", collected), ("written_off", lost)):
        counted[f"day_{name}_count"] += int(np.count_nonzero(part > 0))
        counted[f"day_{name}_money"] += exact_sum(part, rows.largest)


# --- what it comes to ---------------------------------------------------------------------------


def _sums(seen: _Seen, currency: str) -> Sums:
    """Return what was counted in the form of a summary by rule and currency."""
    counted = dict(seen.counted)
    known = {name: value for name, value in counted.items() if name.startswith("day_")}
    row: dict[str, Any] = {"rule": "", "currency": currency, "blank": 0}
    row |= {"trimmed_ids_rows": 0, "trimmed_ids_amount": Decimal(0)}
    row |= {"first": _date(seen.first), "last": _date(seen.last), "settled": _date(seen.settled)}
    for name, value in counted.items():
        if name not in known:
            row[name] = in_money(value) if name.endswith("amount") else value
    table = pd.DataFrame([row])
    if seen.day is None:
        return Sums(table, {})
    names = ["invoices", "amount_money", "settled_after", "settled_after_money", "still_open"]
    names += [
        f"{part}_{what}" for part in ("collected", "written_off") for what in ("count", "money")
    ]
    day = {name: known.get(f"day_{name}", 0) for name in names}
    day |= {"rows": counted["rows"], "rows_money": counted["amount"]}
    money = {name: in_money(day[name]) for name in day if name.endswith("_money")}
    return Sums(table, day_numbers(day | money))
