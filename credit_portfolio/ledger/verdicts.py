"""Judge the rows of a source: at a glance where the engine is our own, and else each by itself.

A pass over rows in our own engine costs little, and to tell each row's rule much. So the embedded
engine lets all rows stream by once, and only those that break a rule are judged by themselves; a
database is asked as seldom as possible instead, and repairs refuse rows on their way.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from credit_portfolio.figures import Marks
from credit_portfolio.ledger import engines, judging
from credit_portfolio.ledger.glance import Glance, broken_of, glance, sums_of, without
from credit_portfolio.ledger.judging import (
    Doubled,
    accepted_of,
    accepted_rows,
    customer_codes,
    doubled,
    judge,
    sound_of,
    unsound_of,
    with_copies,
)
from credit_portfolio.ledger.parsing import IDS, Known, parse, plain_money, surely_tidy
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.record import Sums, summary, with_rejected
from credit_portfolio.ledger.repairs import Repairs, repaired
from credit_portfolio.ledger.schema import DATES, MONEY, Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from credit_portfolio.ledger.bringing import Raw

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one


@dataclass(frozen=True, eq=False, slots=True)
class Case:
    """What is known of a source before its rows are judged.

    Attributes
    ----------
    raw : Raw
        The rows.
    columns, mapped : mapping
        Canonical name -> column of ``raw``, and its position in the source.
    groups : mapping of str to int
        Name -> position of the grouping columns.
    profile, marks
        How dates and words, and figures, are written.
    asked : str, optional
        The currency that was asked for.
    kept : str, optional
        The one to keep; None where the rows do not tell currencies, or all are turned.
    today : datetime.date
    repairs : Repairs, optional
    """

    raw: Raw
    columns: Mapping[str, Expression]
    mapped: Mapping[str, int]
    groups: Mapping[str, int]
    profile: Profile
    marks: Marks
    asked: str | None
    kept: str | None
    today: datetime.date
    repairs: Repairs | None = None

    def parsed(self, known: Known | None = None) -> Table:
        """Return the rows with typed columns, mended as asked."""
        parsed = parse(
            self.raw.table,
            self.columns,
            self.raw.incoming,
            self.mapped,
            self.profile,
            self.marks,
            self.kept,
            self.today,
            known,
        )
        if self.repairs is None:
            return parsed
        names, where = self.raw.incoming.names, self.raw.incoming.where
        return repaired(parsed, self.repairs, names, where, self.asked, self.raw.engine)


@dataclass(frozen=True, eq=False, slots=True)
class Verdict:
    """What judging has found.

    Attributes
    ----------
    sums : Sums
    judged : table expression
        At least all rejected rows, with their rules.
    accepted : table expression
    customers, rows : table expression, optional
        As of ``Embedded``, as far as they are known already.
    """

    sums: Sums
    judged: Table
    accepted: Table
    customers: Table | None = None
    rows: Table | None = None


def verdict(case: Case, day: datetime.date | None) -> Verdict:
    """Judge the rows; ``day`` is the one of which sums are wanted."""
    quick = case.raw.engine is not None and not case.raw.keeps and case.repairs is None
    found = at_a_glance(case, day) if quick else None
    return one_by_one(case, day) if found is None else found


# --- at a glance --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Look:
    """What one look at all rows, and one at their customers, has found."""

    tidy: bool
    seen: Glance
    customers: Table
    nameless: bool  # whether some row says no customer
    several: NDArray[np.uint64] | None  # hashes of ids that come more than once


def at_a_glance(case: Case, day: datetime.date | None) -> Verdict | None:
    """Judge all rows at once, and by themselves those that break a rule.

    None where that is not possible: money is too large, or rows are in several currencies.
    """
    currency = _one_currency(case)
    if currency is None:
        return None
    look = _look(case, day, tidy=True) or _look(case, day, tidy=False)
    assert look is not None  # with ids cut, there is nothing left to be loose
    seen, tidy = look.seen, look.tidy
    suspected = seen.suspected | ({"missing_customer_id"} if look.nameless else set())
    unsound, broken = _unsound(case, case.parsed(Known(tidy_ids=tidy)), suspected)
    if "amount_too_large" in broken:
        return None
    parsed = case.parsed(Known(tidy_ids=tidy, small_money=True, amounts_given=not seen.in_full))
    sound = sound_of(parsed, broken)
    copies = _copies(case, judge(sound), parsed.select("invoice_id"), look.several)
    accepted = accepted_rows(parsed, broken, copies, case.groups)
    rows = None if seen.in_full else _plain(case, sound, copies)
    judged, rejected = judge(unsound), [unsound] if broken else []
    if copies is not None:
        rejected.append(copies.rows.filter(copies.rows.rule != ""))
        judged = judged.union(rejected[-1].select(*judged.columns))
    if not rejected:
        return Verdict(sums_of(seen.tally, currency), judged, accepted, look.customers, rows)
    left = without(seen.tally, rejected, accepted, case.mapped, case.today, day, tidy=tidy)
    sums = with_rejected(sums_of(left, currency), judged, case.today)
    return Verdict(sums, judged, accepted, _remaining(case, look.customers, judged, parsed), rows)


def _look(case: Case, day: datetime.date | None, *, tidy: bool) -> _Look | None:
    """Look at all rows; None where ids are taken as they are, and one may have space around it."""
    parsed = case.parsed(Known(tidy_ids=tidy))
    seen = glance(parsed, case.mapped, case.today, day, tidy=tidy)
    if seen is None:
        return None
    with ThreadPoolExecutor(1) as beside:  # NumPy sorts while the engine looks for customers
        repeated = None if seen.keys is None else beside.submit(engines.repeated, seen.keys)
        customers = case.raw.keep("customers", customer_codes(parsed))
    nameless, loose = _blank_or_loose(customers)
    if tidy and loose:
        return None
    several = None if repeated is None else repeated.result()
    return _Look(tidy, seen, customers, nameless, several)


def _unsound(case: Case, parsed: Table, suspected: Set[str]) -> tuple[Table, set[str]]:
    """Return the rows that do break a rule, and which rules some do."""
    if not suspected:
        return parsed.limit(0), set()
    found = case.raw.keep("unsound", unsound_of(parsed, suspected))
    return found, broken_of(found, suspected)


def _remaining(case: Case, customers: Table, rejected: Table, parsed: Table) -> Table:
    """Return the customers without those of whom every row is rejected.

    Counting the rows of a few customers takes a part of the time of looking for all customers anew.
    """
    named = rejected.filter(rejected.customer_id.notnull())
    fewer = case.raw.keep("rejected_of", _rows_of_each(named, "rejected"))
    there = _rows_of_each(parsed.semi_join(fewer, "customer_id"), "there")
    both = there.join(fewer, "customer_id")
    gone = case.raw.keep("gone", both.filter(both.there == both.rejected).select("customer_id"))
    nameless = customers.filter(customers.customer_id.isnull())
    found = frame_of(gone.select("customer_id").union(nameless.select("customer_id")).limit(1))
    if not len(found):
        return customers
    known = customers.filter(customers.customer_id.notnull())
    left = case.raw.keep("remaining", customer_codes(known.anti_join(gone, "customer_id")))
    engines.drop(case.raw.engine, "customers")
    return left


def _rows_of_each(t: Table, name: str) -> Table:
    return t.group_by("customer_id").aggregate(**{name: t.count()})


def _plain(case: Case, sound: Table, copies: Doubled | None) -> Table:
    """Return the accepted rows with no more work for the engine than reading them.

    Where there is a settled date, there is a settled amount: nothing has to be filled in.
    """
    if copies is None:
        return _bare(case, sound)
    kept = copies.rows.filter(copies.rows.rule == "")
    return _bare(case, sound.filter(~copies.holds(sound))).union(_bare(case, kept))


def _bare(case: Case, t: Table) -> Table:
    groups = {name: t[f"c{index}"] for name, index in case.groups.items()}
    money = {name: t[name] for name in MONEY} | plain_money(t, case.mapped)
    return t.select("customer_id", *DATES, **money, **groups)


def _one_currency(case: Case) -> str | None:
    """Return the currency of the rows that count; None where they may be in several."""
    if case.kept is not None or "currency" not in case.columns:
        return case.kept or ""
    parsed = case.parsed(Known(tidy_ids=True))
    found = frame_of(parsed.select("currency").distinct().limit(2))["currency"].tolist()
    return str(found[0]) if len(found) == 1 else None


def _blank_or_loose(customers: Table) -> tuple[bool, bool]:
    """Whether some customer's id is blank, and whether one may have space around it."""
    name = customers.customer_id
    loose = ~surely_tidy(name)
    seen = frame_of(customers.aggregate(blank=name.isnull().any(), loose=loose.any()))
    return bool(seen["blank"].iloc[0]), bool(seen["loose"].iloc[0])


# --- one by one ---------------------------------------------------------------------------------


def one_by_one(case: Case, day: datetime.date | None) -> Verdict:
    """Tell of each row the first rule that it breaks, in the engine."""
    parsed = case.parsed()
    held = engines.hold(parsed)
    judged = _judged(case, held)
    sums = summary(judged, case.today, day)
    tidy = not sums.trimmed and not any(f"missing_{name}" in sums.broken for name in IDS)
    ids = _ids(case) if tidy and not case.raw.keeps else judged.select("invoice_id")
    copies = _copies(case, judged, ids, engines.twice(ids))
    if copies is not None:
        judged = with_copies(judged, copies)
        sums = summary(judged, case.today, day)
    if case.raw.keeps:
        accepted = case.raw.keep("accepted", accepted_of(judged, case.groups))
    elif held is not parsed:
        accepted = engines.fence(accepted_rows(held, sums.broken, copies, case.groups))
    else:  # no more work in each question than the rows need
        parsed = case.parsed(Known(tidy_ids=tidy))
        accepted = accepted_rows(parsed, sums.broken, copies, case.groups)
    return Verdict(sums, judged, accepted)


def _judged(case: Case, parsed: Table) -> Table:
    if not case.raw.keeps:
        return engines.fence(judge(parsed))
    return case.raw.keep("judged", judge(case.raw.keep("parsed", parsed)))


# --- of both ------------------------------------------------------------------------------------


def _ids(case: Case) -> Table:
    """Return the ids of invoices as the source has them."""
    return case.raw.table.select(invoice_id=case.columns["invoice_id"].cast("string"))


def _copies(
    case: Case, judged: Table, ids: Table, repeated: NDArray[np.uint64] | None
) -> Doubled | None:
    groups, places = list(case.groups.values()), case.raw.places
    most = judging.MOST_LISTED if case.raw.engine is None else judging.FEW_LISTED
    keep = case.raw.keep
    return doubled(judged, groups, places, keep, ids=ids, repeated=repeated, most=most)
