"""Judge rows: the first rule that each breaks, and which of several rows of an invoice counts.

Judged rows are an expression, not a table. What a first pass over the source has learnt (no id is
blank, no rule but two is broken, these ids come twice) makes the expression of the accepted rows
short enough to be computed anew with each question, where the data are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import ibis

from credit_portfolio.ledger.engines import hash_of
from credit_portfolio.ledger.positions import MONEY_TYPE, frame_of
from credit_portfolio.ledger.quality import RULE, first_broken
from credit_portfolio.ledger.repairs import refusal, scaled
from credit_portfolio.ledger.schema import NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Keep: TypeAlias = Callable[[str, Table], Table]

MOST_LISTED = 1_000
"""Ids that come more than once are listed in the question up to here, and looked up beyond."""

FEW_LISTED = 16
"""As many where they can be kept in a table: each one listed costs every later question."""


@dataclass(frozen=True, eq=False, slots=True)
class Doubled:
    """Ids on several sound rows, and those rows with the rule of a copy, empty for the one kept."""

    holds: Callable[[Table], Any]  # from a table to whether its invoice_id is one of these
    rows: Table


def judge(parsed: Table) -> Table:
    """Return the rows with the first rule that each breaks by itself, and money filled in."""
    in_full = parsed.settled_amount_blank & parsed.settled_date.notnull()
    rest = parsed.amount - parsed.written_off_amount.fill_null(0)
    mended = "refused" in parsed.columns
    rule = first_broken(parsed)
    if mended:
        rule = (parsed.refused != "").ifelse(parsed.refused, rule)
    judged = parsed.mutate(
        rule=rule,
        in_full=in_full,
        settled_amount=in_full.ifelse(rest, parsed.settled_amount).fill_null(0).cast(MONEY_TYPE),
        written_off_amount=parsed.written_off_amount.fill_null(0).cast(MONEY_TYPE),
    )
    if mended:
        late = (judged.rule == "").ifelse(refusal(judged), judged.rule)
        judged = scaled(judged.mutate(rule=late))
    return judged


def doubled(
    judged: Table,
    groups: Sequence[int],
    places: Sequence[str],
    keep: Keep,
    *,
    ids: Table,
    repeated: NDArray[np.uint64] | None,
    most: int,
) -> Doubled | None:
    """Return the invoices that stand on several sound rows; None, mostly.

    The check runs on a number made from the id, a quarter of the work and memory of the ids; what
    it suspects is then compared in full.

    Parameters
    ----------
    judged : table expression
        From :func:`judge`.
    groups : sequence of int
        Positions of the grouping columns.
    places : sequence of str
        Columns that say where a row stands in its source; empty for a table of a database.
    keep : callable
        Computes a small table once where that is allowed, and else gives it back.
    ids : table expression
        The column invoice_id of all rows, as they count: the fewer steps to it, the better.
    repeated : ndarray of uint64, optional
        The hashes of ids that come more than once, where they are known already.
    most : int
        How many ids are listed in later questions; more are kept in a table.
    """
    suspects = _suspects(ids, keep, repeated)
    if suspects is None:
        return None
    keyed = judged.mutate(key=hash_of(judged.invoice_id))
    likely = keep("likely_copies", keyed.filter(suspects(keyed)).drop("key"))
    likely = likely.filter(likely.rule == "")  # only now: to ask all rows for it takes long
    ids = _several(likely.select("invoice_id"), "invoice_id", keep, most)
    if ids is None:
        return None
    return Doubled(ids, keep("copies", _verdicts(likely.filter(ids(likely)), groups, places)))


def _suspects(
    ids: Table, keep: Keep, repeated: NDArray[np.uint64] | None
) -> Callable[[Table], Any] | None:
    """Return whether the number of a row's id, its ``key``, comes more than once."""
    if repeated is not None and len(repeated) <= MOST_LISTED:
        listed = repeated.tolist()
        return (lambda table: _among(table.key, listed)) if listed else None
    known = ids.filter(ids.invoice_id.notnull())
    return _several(known.select(key=hash_of(known.invoice_id)), "key", keep, MOST_LISTED)


def _several(column: Table, name: str, keep: Keep, most: int) -> Callable[[Table], Any] | None:
    """Return whether a row's value is among those that come more than once; None for none."""
    counted = column.group_by(name).aggregate(n=column.count())
    values = counted.filter(counted.n > 1).select(name)
    few = frame_of(values.limit(most + 1))[name].tolist()
    if not few:
        return None
    if len(few) <= most:
        return lambda table: _among(table[name], few)
    kept = keep(f"several_{name}", values)
    return lambda table: table[name].isin(kept[name])


def _among(column: Any, values: Sequence[Any]) -> Any:
    """Return whether cells are among some values, all of the column's own type."""
    return column.isin([ibis.literal(value, column.type()) for value in values])


def _verdicts(several: Table, groups: Sequence[int], places: Sequence[str]) -> Table:
    """Compare the rows of each invoice by what they say, however they are written."""
    compared = [name for name in NAMES if name != "invoice_id"]
    compared += [f"c{index}" for index in groups]
    same = ibis.literal(True)
    for name in compared:
        cell = several[name]
        blanks = cell.isnull().sum()
        same &= (cell.nunique() <= 1) & ((blanks == 0) | (blanks == several.count()))
    alike = several.group_by("invoice_id").aggregate(same=same)
    joined = several.join(alike, "invoice_id")
    # Rows of a database have no order: which of those that say the same is kept changes nothing.
    cells = [name for name in several.columns if name[0] == "c" and name[1:].isdigit()]
    order = [joined[name] for name in places] or [joined[c].cast("string") for c in cells]
    first = ibis.row_number().over(group_by=joined.invoice_id, order_by=order) == 0
    rule = ibis.cases((~joined.same, "conflicting_copies"), (~first, "identical_copy"), else_="")
    ranked = joined.mutate(copy_rule=rule)
    return ranked.select(
        *[ranked[name] for name in several.columns if name != "rule"], rule=ranked.copy_rule
    )


def with_copies(judged: Table, copies: Doubled | None) -> Table:
    """Return all judged rows, copies under their rule."""
    if copies is None:
        return judged
    alone = judged.filter((judged.rule != "") | ~copies.holds(judged).fill_null(False))
    columns = [name for name in judged.columns if name != "rule"]
    return alone.select(*columns, "rule").union(copies.rows.select(*columns, "rule"))


def accepted_rows(
    parsed: Table, broken: Collection[str], copies: Doubled | None, groups: Mapping[str, int]
) -> Table:
    """Return the accepted rows: canonical columns but the currency, then the grouping columns.

    Parameters
    ----------
    parsed : table expression
        From ``parse``.
    broken : collection of str
        The rules that are known to be broken by some row; the others need not be looked at.
    copies : Doubled, optional
    groups : mapping of str to int
        Name -> position of the grouping columns.
    """
    mended = "refused" in parsed.columns
    judged = judge(parsed if mended else sound_of(parsed, broken))
    if mended:
        judged = judged.filter(judged.rule == "")
    if copies is None:
        return _named(judged, groups)
    alone = judged.filter(~copies.holds(judged))
    kept = copies.rows.filter(copies.rows.rule == "")
    return _named(alone, groups).union(_named(kept, groups))


def accepted_of(judged: Table, groups: Mapping[str, int]) -> Table:
    """Return the accepted among judged rows, copies included, as :func:`accepted_rows` does."""
    return _named(judged.filter(judged.rule == ""), groups)


def sound_of(parsed: Table, broken: Collection[str]) -> Table:
    """Return the parsed rows that break none of some rules; the others are known to hold."""
    for condition in _conditions(broken):
        parsed = parsed.filter(~condition(parsed).fill_null(False))
    return parsed


def unsound_of(parsed: Table, broken: Collection[str]) -> Table:
    """Return the parsed rows that break one of some rules."""
    unsound = ibis.literal(False)
    for condition in _conditions(broken):
        unsound = unsound | condition(parsed).fill_null(False)
    return parsed.filter(unsound)


def _conditions(broken: Collection[str]) -> list[Callable[[Table], Any]]:
    conditions = [RULE[name].broken for name in broken]
    return [condition for condition in conditions if condition is not None]


def customer_codes(t: Table) -> Table:
    """Return the customers of rows with a number each, 0, 1, … in the order of their ids."""
    named = t.select("customer_id").distinct()
    return named.select("customer_id", code=ibis.row_number().over(order_by="customer_id"))


def _named(judged: Table, groups: Mapping[str, int]) -> Table:
    return judged.select(
        *[judged[name] for name in NAMES if name != "currency"],
        *[judged[f"c{index}"].name(name) for name, index in groups.items()],
    )
