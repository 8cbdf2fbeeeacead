"""The record of an opening: rejected rows with their reasons, money of each side, findings."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError
from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.quality import LedgerQuality, money_text, reason, rules_table
from credit_portfolio.ledger.reading import Incoming
from credit_portfolio.ledger.schema import NAMES, Profile

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Expression, Table

# What one finding means; the order is the order of the table.
_FINDINGS = {
    "settled_in_full_assumed": "Settled date without a settled amount: all that was not written "
    "off counts as collected. If write-offs are cleared like payments in the source, losses hide "
    "here: map written_off_amount.",
    "undated_write_off": "Written-off money without a settled date counts as lost on any day.",
    "dated_after_today": "Invoiced or settled after today: booked ahead, or a mistyped date. "
    "Such dates never set the default as_of.",
    "settled_after_as_of": "Settled after as_of: open on that day, with the whole amount.",
    "rounded_floats": "Money in binary floats was rounded to four decimals.",
    "trimmed_ids": "Space around a customer_id or invoice_id was cut off.",
    "time_of_day_dropped": "A date column holds times of day; only the day counts.",
}


def rejected_rows(judged: Table, incoming: Incoming, mapped: Mapping[str, int]) -> pd.DataFrame:
    """Return every rejected row: row, rule, reason, then the source's columns as text."""
    bad = judged.filter(judged.rule != "")
    cells = [f"c{index}" for index in range(len(incoming.names))]
    frame = frame_of(
        bad.select("row", "rule", **{cell: bad[cell].cast("string") for cell in cells})
    )
    frame["row"] = incoming.source_rows(frame["row"].to_numpy(dtype=np.int64))
    texts = {
        name: [None if pd.isna(cell) else cell for cell in frame[f"c{index}"]]
        for name, index in mapped.items()
    }
    absent = dict.fromkeys(NAMES)
    frame.insert(
        2,
        "reason",
        [
            reason(rule, absent | {name: cells[place] for name, cells in texts.items()})
            for place, rule in enumerate(frame["rule"])
        ],
    )
    malformed = pd.DataFrame(
        [
            (number, "malformed_row", reason("malformed_row", {"line": text}))
            for number, text in incoming.malformed
        ],
        columns=["row", "rule", "reason"],
    )
    if len(malformed):
        frame = (
            pd.concat([frame, malformed])
            if len(frame)
            else malformed.reindex(columns=frame.columns)
        )
    frame = frame.sort_values("row", ignore_index=True)
    taken = ("row", "rule", "reason")
    names = [f"{name} (source)" if name in taken else name for name in incoming.names]
    frame.columns = pd.Index([*taken, *names])
    return frame


def one_currency(accepted: Table, rejected: pd.DataFrame, incoming: Incoming, label: str) -> str:
    """Return the currency of the accepted rows.

    Raises
    ------
    DataError
        When no row is accepted, or they are in several currencies.
    """
    table = frame_of(
        accepted.group_by("currency")
        .aggregate(rows=accepted.count(), amount=accepted.amount.sum())
        .order_by("currency")
    )
    if table.empty:
        counts = ", ".join(
            f"{rule} {rows:,}" for rule, rows in rejected["rule"].value_counts().items()
        )
        raise DataError(
            f"none of the {incoming.rows:,} rows of {incoming.where} is acceptable ({counts}); "
            f"expected at least one; row {rejected['row'][0]}: {rejected['reason'][0]}: see "
            "`failures` for every row",
            rejected,
        )
    if len(table) > 1:
        parts = [
            f"{currency or '(blank)'} {rows:,} rows {money_text(amount)}"
            for currency, rows, amount in zip(
                table["currency"], table["rows"], table["amount"], strict=True
            )
        ]
        raise DataError(
            f"{incoming.where} holds {len(table)} currencies ({'; '.join(parts)}); expected one, "
            "since money of two currencies is never added up: pass currency= and open a ledger "
            "for each",
            table,
        )
    return str(table["currency"][0]) or label


def day_or_latest(
    accepted: Table, day: datetime.date | None, where: str, today: datetime.date
) -> datetime.date:
    """Return the day asked for, or else the latest day, not after today, of anything that happened.

    Today is only a cap: as long as no row is dated after it, the answer is the file's alone.

    Raises
    ------
    DataError
        When the day is before the first invoice, or no invoice is dated today or earlier.
    """
    t = accepted
    dates = t.aggregate(
        first=t.invoice_date.min(),
        last=t.invoice_date.max(where=t.invoice_date <= today),
        settled=t.settled_date.max(where=t.settled_date <= today),
    )
    first, last, settled = frame_of(dates).iloc[0]
    if day is None and first > today:
        raise DataError(
            f"every invoice of {where} is dated after today, {today}, the first on {first}; "
            "expected some of the past: mend the dates, or pass as_of="
        )
    if day is None:
        latest: datetime.date = last if settled is None else max(last, settled)
        return latest
    if day < first:
        raise DataError(
            f"as_of is {day}, and the first invoice of {where} is dated {first}; expected a day "
            f"from {first} on: choose a later day"
        )
    return day


def quality_record(
    judged: Table,
    invoices: Table,
    rejected: pd.DataFrame,
    incoming: Incoming,
    profile: Profile,
    label: str,
    as_of: datetime.date,
    today: datetime.date,
) -> LedgerQuality:
    """Count rows and money of each side; read is always accepted plus rejected."""
    # Only money of the ledger's own currency is added up, also among the rejected rows.
    own = judged.filter(judged.rule == "").currency.max().as_scalar()
    money = (judged.currency == own).ifelse(judged.amount, None)
    by_rule = frame_of(
        judged.group_by("rule").aggregate(
            rows=judged.count(), amount=money.sum(), blank=money.isnull().sum()
        )
    )
    counted = {
        rule: (int(rows), _decimal(amount), int(blank))
        for rule, rows, amount, blank in by_rule.itertuples(index=False)
    }
    if incoming.malformed:
        bad = len(incoming.malformed)
        counted["malformed_row"] = (bad, Decimal(0), bad)
    accepted_rows, accepted_amount, _ = counted.pop("")
    rejected_amount = sum((amount for _, amount, _ in counted.values()), Decimal(0))
    t = judged.filter((judged.rule == "") & (judged.invoice_date > as_of))
    after = frame_of(t.aggregate(rows=t.count(), amount=t.amount.sum())).iloc[0]
    return LedgerQuality(
        source=incoming.where,
        profile=profile.name,
        currency=label,
        rows_read=incoming.rows,
        rows_accepted=accepted_rows,
        rows_rejected=incoming.rows - accepted_rows,
        amount_read=accepted_amount + rejected_amount,
        amount_accepted=accepted_amount,
        amount_rejected=rejected_amount,
        rows_without_readable_amount=sum(blank for _, _, blank in counted.values()),
        rows_after_as_of=int(after["rows"]),
        amount_after_as_of=_decimal(after["amount"]),
        rules=rules_table({rule: (rows, amount) for rule, (rows, amount, _) in counted.items()}),
        rejected=rejected,
        findings=_findings(judged, as_of, today),
        control_totals=_control_totals(invoices),
        notes=tuple(incoming.notes),
        as_of=as_of,
        file_name=incoming.file_name,
    )


def _decimal(value: Any) -> Decimal:
    """Return a sum of the engine as Decimal; the sum over no rows is 0."""
    return value if isinstance(value, Decimal) and value.is_finite() else Decimal(0)


def _findings(judged: Table, as_of: datetime.date, today: datetime.date) -> pd.DataFrame:
    """Return what was repaired or assumed in accepted rows, with rows and money."""
    t = judged.filter(judged.rule == "")
    undated = t.settled_date.isnull() & (t.written_off_amount > 0)
    seen = t.invoice_date <= as_of
    touched = {
        "settled_in_full_assumed": (t.in_full, t.settled_amount),
        "undated_write_off": (undated, t.written_off_amount),
        "dated_after_today": (
            (t.invoice_date > today) | (t.settled_date > today).fill_null(False),
            t.amount,
        ),
        "settled_after_as_of": (seen & (t.settled_date > as_of), t.amount),
        "rounded_floats": (t.rounded, t.amount),
        "trimmed_ids": (t.trimmed, t.amount),
        "time_of_day_dropped": (t.timed, t.amount),
    }
    sums: dict[str, Expression] = {}
    for name, (condition, money) in touched.items():
        condition = condition.fill_null(False)
        sums[f"{name}_rows"] = condition.sum()
        sums[f"{name}_amount"] = condition.ifelse(money, 0).sum()
    row = frame_of(t.aggregate(**sums)).iloc[0]
    lines = [
        (name, int(row[f"{name}_rows"]), _decimal(row[f"{name}_amount"]), meaning)
        for name, meaning in _FINDINGS.items()
        if row[f"{name}_rows"]
    ]
    return pd.DataFrame(lines, columns=["finding", "rows", "amount", "meaning"])


def _control_totals(invoices: Table) -> pd.DataFrame:
    names = ("amount", "collected", "written_off", "open")
    sums: dict[str, Expression] = {}
    for name in names:
        sums[f"{name}_rows"] = (invoices[name] != 0).sum()
        sums[f"{name}_money"] = invoices[name].sum()
    row = frame_of(invoices.aggregate(**sums)).iloc[0]
    return pd.DataFrame(
        {
            "invoices": [int(row[f"{name}_rows"]) for name in names],
            "money": [_decimal(row[f"{name}_money"]) for name in names],
        },
        index=pd.Index(names),
    )
