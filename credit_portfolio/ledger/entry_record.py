"""The record of all entries that were read: counts and money by rule, and the rejected ones."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pandas as pd

from credit_portfolio.ledger.entries import (
    ENTRY_RULE,
    ENTRY_RULES,
    SHOWN,
)
from credit_portfolio.ledger.findings import count
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.profiles import EntryProfile
from credit_portfolio.ledger.quality import LedgerQuality, fields_of
from credit_portfolio.ledger.reading import Incoming
from credit_portfolio.ledger.record import decimal_of
from credit_portfolio.ledger.source import Table


def quality_of(
    judged: Table,
    incoming: Incoming,
    profile: EntryProfile,
    label: str,
    lines: int,
    *,
    numbered: bool,
) -> LedgerQuality:
    """Return the record of all entries; what depends on a day is filled in with the picture.

    ``lines`` is how many rows of the source the engine has seen, and ``numbered`` whether rows of
    the source have a number.
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
        rejected=_rejected(judged, incoming, profile, numbered=numbered),
        findings=pd.DataFrame(columns=["finding", "rows", "amount", "meaning"]),
        control_totals=pd.DataFrame(columns=["invoices", "money"]),
        notes=tuple(incoming.notes),
        file_name=incoming.file_name,
    )


def _rejected(
    judged: Table, incoming: Incoming, profile: EntryProfile, *, numbered: bool
) -> pd.DataFrame:
    """Return every rejected entry: row of the source, rule, reason, then the entry as read.

    The row of one file among several counts within its ``file``; rows of a database have none.
    """
    bad = judged.filter(judged.rule != "").order_by("row")
    shown = {name: bad[name].cast("string") for name in SHOWN}
    frame = frame_of(bad.select("rule", row=bad.source_row, **shown))
    if incoming.malformed:
        frame["row"] = incoming.source_rows(frame["row"].to_numpy(dtype="int64"))
    texts = frame[list(SHOWN)].astype(object)
    texts = texts.where(texts.notna(), None)
    rules, cells = frame["rule"].tolist(), {name: texts[name].tolist() for name in SHOWN}
    asked = {rule: {"kind", *fields_of(ENTRY_RULE[rule].reason)} for rule in set(rules)}
    reasons = [
        _reason(rule, {name: cells[name][place] for name in asked[rule]}, profile)
        for place, rule in enumerate(rules)
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
    if not numbered:
        return result.drop(columns="row")
    if len(incoming.files) > 1:
        files, rows = incoming.places_in_files(result["row"].to_numpy(dtype="int64"))
        result["row"] = rows
        result.insert(0, "file", pd.Series(files, dtype=object))
    return result


def _reason(rule: str, cells: Mapping[str, str | None], profile: EntryProfile) -> str:
    if rule == "unreadable_booking_date" and profile.matching == "row":
        # Two days stand in such a row: the reason names the one that is meant.
        said = "booking_date" if cells["kind"] == "invoice" else "settled_date"
        what = "the invoice" if said == "booking_date" else "the settlement"
        column = profile.part_of(said)
        return f"{what} has no date: {column} is blank or no date in the profile's format"
    words = {name: "(blank)" if not text else repr(text) for name, text in cells.items()}
    return ENTRY_RULE[rule].reason.format_map(words)
