"""The record of an opening: rejected rows with their reasons, money of each side, findings."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError
from credit_portfolio.ledger.positions import (
    DAY_FINDING,
    TOTALS,
    day_expressions,
    frame_of,
    with_parts,
)
from credit_portfolio.ledger.quality import (
    MARK,
    LedgerQuality,
    money_text,
    reason,
    reasons,
    rules_table,
)
from credit_portfolio.ledger.reading import Incoming

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Expression, Table

# What one finding means; the order is the order of the table.
FINDINGS = {
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
    "due_date_from_terms": "The due date was blank and is worked out from terms, as asked for.",
    "converted": "Turned into the ledger's currency at the rate of the invoice date; the money is "
    "that after it.",
    "merged_customers": "Counted for another customer id, as same_customer says.",
    "taken_without_tax": "Tax was taken off the amount and its parts; the money is that after it. "
    "Exposure is without tax too.",
    "netted_with_payables": "Settled against what the seller owed, not in cash; counted as "
    "collected.",
    "dates_in_doubt": "Another day with day and month exchanged, in a file of which some dates "
    "fit only that way: read as the profile says.",
    "years_apart": "Invoiced years apart from the others, with more empty years than others in "
    "the book: a mistyped year makes a return panel long.",
}


@dataclass(frozen=True, eq=False, slots=True)
class Sums:
    """What one pass over the judged rows has counted.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a rule (empty for accepted) and currency: rows, amount, blank, sums of findings,
        and the days of the accepted rows.
    day : mapping of str to number
        Sums as known on the day asked for; empty when none was.
    """

    table: pd.DataFrame
    day: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """All rows that the engine has seen."""
        return int(self.table["rows"].sum())

    @property
    def rejected(self) -> int:
        """Those that break a rule."""
        return self.rows - int(self.accepted["rows"].sum())

    @property
    def trimmed(self) -> int:
        """Rows with space around an id, rejected ones included."""
        return int(self.table["trimmed_ids_rows"].sum())

    @property
    def accepted(self) -> pd.DataFrame:
        """The rows of ``table`` on accepted rows: one a currency."""
        return self.table[self.table["rule"] == ""].reset_index(drop=True)

    @property
    def broken(self) -> frozenset[str]:
        """Names of the rules that some row breaks."""
        return frozenset(self.table["rule"]) - {""}


def summary(judged: Table, today: datetime.date, day: datetime.date | None) -> Sums:
    """Count rows, money and findings by rule and currency, in one pass over the source."""
    return _of_table(_asked(judged, ["rule", "currency"], today, day))


def with_rejected(accepted: Sums, rejected: Table, today: datetime.date) -> Sums:
    """Return sums of accepted rows together with the :func:`summary` of judged rejected ones."""
    tables = [accepted.table, summary(rejected, today, None).table]
    joined = pd.concat([table for table in tables if len(table)])
    return Sums(joined.sort_values(["rule", "currency"], ignore_index=True), accepted.day)


def _asked(
    judged: Table,
    keys: Sequence[str],
    today: datetime.date,
    day: datetime.date | None,
) -> pd.DataFrame:
    """Return sums by keys, and those of a day where one was asked for."""
    if day is None:
        return frame_of(judged.group_by(keys).aggregate(**_sums(judged, today)))
    t = with_parts(judged, day)
    known = {f"day_{name}": sum_ for name, sum_ in day_expressions(t, day).items()}
    return frame_of(t.group_by(keys).aggregate(**_sums(t, today), **known))


def _sums(t: Table, today: datetime.date) -> dict[str, Expression]:
    """Return rows, money, days and findings of judged rows, as aggregates."""
    sums: dict[str, Expression] = {
        "rows": t.count(),
        "amount": t.amount.sum(),
        "blank": _count(t.amount.isnull()),
        # Rows of implausible days are rejected, and Python's calendar may not reach there.
        "first": t.invoice_date.min(where=~t.implausible),
        "last": t.invoice_date.max(where=~t.implausible & (t.invoice_date <= today)),
        "settled": t.settled_date.max(where=~t.implausible & (t.settled_date <= today)),
    }
    for name, (condition, money) in _touched(t, today):
        sums[f"{name}_rows"] = _count(condition)
        sums[f"{name}_amount"] = money.sum(where=condition)
    return sums


def _touched(t: Table, today: datetime.date) -> list[tuple[str, tuple[Expression, Expression]]]:
    """Return each finding of a row: its condition, and the money that goes with it."""
    undated = t.settled_date.isnull() & (t.written_off_amount > 0).fill_null(False)
    ahead = (t.invoice_date > today).fill_null(False) | (t.settled_date > today).fill_null(False)
    marks = [name for name in t.columns if name.startswith(MARK)]
    return [
        ("settled_in_full_assumed", (t.in_full.fill_null(False), t.settled_amount)),
        ("undated_write_off", (undated, t.written_off_amount)),
        ("dated_after_today", (ahead, t.amount)),
        ("rounded_floats", (t.rounded, t.amount)),
        ("trimmed_ids", (t.trimmed, t.amount)),
        ("time_of_day_dropped", (t.timed, t.amount)),
        *((name.removeprefix(MARK), (t[name], t.amount)) for name in marks),
    ]


def _of_table(table: pd.DataFrame) -> Sums:
    table = table.sort_values(["rule", "currency"], ignore_index=True)
    known = [name for name in table.columns if name.startswith("day_")]
    accepted = table[table["rule"] == ""]
    counted: dict[str, Any] = {}
    if len(accepted) == 1 and known:
        counted = day_numbers({k.removeprefix("day_"): accepted[k].iloc[0] for k in known})
    return Sums(table, counted)


def _count(condition: Expression) -> Expression:
    return condition.fill_null(False).sum()


def day_sums(accepted: Table, day: datetime.date) -> dict[str, Any]:
    """Count and add up what was known of the accepted rows on a day."""
    t = with_parts(accepted, day)
    frame = frame_of(t.aggregate(**day_expressions(t, day)))
    return day_numbers({str(name): frame[name].iloc[0] for name in frame})


def day_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return counts as int and money as Decimal, with what follows from them.

    No part of an accepted amount is below zero, and the parts add up to it.
    """
    known: dict[str, Any] = {
        name: decimal_of(value) if name.endswith("_money") else int(value or 0)
        for name, value in row.items()
    }
    settled = known["collected_money"] + known["written_off_money"]
    return known | {
        "after": known["rows"] - known["invoices"],
        "after_money": known["rows_money"] - known["amount_money"],
        "amount_count": known["invoices"],
        "open_count": known["still_open"],
        "open_money": known["amount_money"] - settled,
    }


def rejected_rows(
    judged: Table,
    incoming: Incoming,
    mapped: Mapping[str, int],
    places: Sequence[str],
    count: int,
) -> pd.DataFrame:
    """Return every rejected row: where it stands, rule, reason, then the source's columns as text.

    ``count`` is how many there are, so that none need not be looked for.
    """
    bad = judged.filter(judged.rule != "")
    cells = [f"c{index}" for index in range(len(incoming.names))]
    if count:
        frame = frame_of(
            bad.select(*places, "rule", **{cell: bad[cell].cast("string") for cell in cells})
        )
    else:
        frame = pd.DataFrame(columns=[*places, "rule", *cells])
    if "row" in places:
        frame["row"] = incoming.source_rows(frame["row"].to_numpy(dtype=np.int64))
    texts = {name: _texts(frame[f"c{index}"]) for name, index in mapped.items()}
    frame.insert(len(places) + 1, "reason", reasons(frame["rule"].tolist(), texts))
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
    order = list(places) or ["rule", *cells]
    frame = frame.sort_values(order, ignore_index=True)
    taken = (*places, "rule", "reason")
    names = [f"{name} (source)" if name in taken else name for name in incoming.names]
    frame.columns = pd.Index([*taken, *names])
    return frame


def _texts(column: pd.Series[Any]) -> list[str | None]:
    """Return the cells of a column of text, None for blanks."""
    cells = column.astype(object)
    found: list[str | None] = cells.where(cells.notna(), None).tolist()
    return found


def one_currency(
    sums: Sums, rejected: pd.DataFrame, incoming: Incoming, label: str, hint: str = ""
) -> str:
    """Return the currency of the accepted rows.

    ``hint`` says what would read them, should there be none.

    Raises
    ------
    DataError
        When no row is accepted, or they are in several currencies.
    """
    table = sums.accepted[["currency", "rows", "amount"]]
    if table.empty:
        counts = ", ".join(
            f"{rule} {rows:,}" for rule, rows in rejected["rule"].value_counts().items()
        )
        place = f"row {rejected['row'][0]}: " if "row" in rejected else ""
        if "file" in rejected:
            place = f"file {rejected['file'][0]!r}, {place}"
        raise DataError(
            f"none of the {incoming.rows:,} rows of {incoming.where} is acceptable ({counts}); "
            f"expected at least one; {place}{rejected['reason'][0]}: "
            f"{f'{hint}; ' if hint else ''}the error's failures hold every row",
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
    sums: Sums, day: datetime.date | None, where: str, today: datetime.date
) -> datetime.date:
    """Return the day asked for, or else the latest day, not after today, of anything that happened.

    Today is only a cap: as long as no row is dated after it, the answer is the file's alone.

    Raises
    ------
    DataError
        When the day is before the first invoice, or no invoice is dated today or earlier.
    """
    days = sums.accepted[["first", "last", "settled"]].iloc[0]
    first: Any
    last: Any
    settled: Any
    first, last, settled = (None if pd.isna(found) else found for found in days)
    if day is None and first > today:
        raise DataError(
            f"every invoice of {where} is dated after today, {today}, the first on {first}; "
            "expected some of the past: mend the dates, or pass as_of="
        )
    if day is None:
        latest: datetime.date = last if settled is None else max(last, settled)
        return latest
    refuse_before(day, first, where)
    return day


def refuse_before(day: datetime.date, first: datetime.date, where: str) -> None:
    """Refuse a day on which the book did not exist yet."""
    if day < first:
        raise DataError(
            f"as_of is {day}, and the first invoice of {where} is dated {first}; expected a day "
            f"from {first} on: choose a later day"
        )


def quality_record(
    sums: Sums,
    known: Mapping[str, Any],
    rejected: pd.DataFrame,
    incoming: Incoming,
    profile: str,
    label: str,
    as_of: datetime.date,
) -> LedgerQuality:
    """Count rows and money of each side; read is always accepted plus rejected."""
    accepted = sums.accepted.iloc[0]
    counted = _by_rule(sums, str(accepted["currency"]))
    if incoming.malformed:
        bad = len(incoming.malformed)
        counted["malformed_row"] = (bad, Decimal(0), bad)
    accepted_rows, accepted_amount, _ = counted.pop("")
    rejected_amount = sum((amount for _, amount, _ in counted.values()), Decimal(0))
    return LedgerQuality(
        source=incoming.where,
        profile=profile,
        currency=label,
        rows_read=incoming.rows,
        rows_accepted=accepted_rows,
        rows_rejected=incoming.rows - accepted_rows,
        source_rows=incoming.rows,
        amount_read=accepted_amount + rejected_amount,
        amount_accepted=accepted_amount,
        amount_rejected=rejected_amount,
        rows_without_readable_amount=sum(blank for _, _, blank in counted.values()),
        rows_after_as_of=known["after"],
        amount_after_as_of=known["after_money"],
        rules=rules_table({rule: (rows, amount) for rule, (rows, amount, _) in counted.items()}),
        rejected=rejected,
        findings=_findings(accepted, known),
        control_totals=control_totals(known),
        notes=tuple(incoming.notes),
        as_of=as_of,
        file_name=incoming.file_name,
    )


def _by_rule(sums: Sums, own: str) -> dict[str, tuple[int, Decimal, int]]:
    """Return rows, money and rows without money of each rule.

    Only money of the ledger's own currency is added up, also among the rejected rows.
    """
    counted: dict[str, tuple[int, Decimal, int]] = {}
    columns = (sums.table[name] for name in ("rule", "currency", "rows", "amount", "blank"))
    for rule, currency, rows_, money, blank_ in zip(*columns, strict=True):
        rows, amount, blank = int(rows_), decimal_of(money), int(blank_)
        if currency != own:
            amount, blank = Decimal(0), rows
        before = counted.get(rule, (0, Decimal(0), 0))
        counted[rule] = (before[0] + rows, before[1] + amount, before[2] + blank)
    return counted


def decimal_of(value: Any) -> Decimal:
    """Return a sum of the engine as Decimal; the sum over no rows is 0."""
    return value if isinstance(value, Decimal) and value.is_finite() else Decimal(0)


def _findings(accepted: Any, known: Mapping[str, Any]) -> pd.DataFrame:
    """Return what was repaired or assumed in accepted rows, with rows and money."""
    lines = []
    for name, meaning in FINDINGS.items():
        if name == DAY_FINDING:
            rows, amount = known["settled_after"], known["settled_after_money"]
        elif f"{name}_rows" in accepted and not pd.isna(accepted[f"{name}_rows"]):
            rows, amount = int(accepted[f"{name}_rows"]), decimal_of(accepted[f"{name}_amount"])
        else:
            continue  # in no row, or of a repair that was not asked for
        if rows:
            lines.append((name, rows, amount, meaning))
    return pd.DataFrame(lines, columns=["finding", "rows", "amount", "meaning"])


def control_totals(known: Mapping[str, Any]) -> pd.DataFrame:
    """Return invoices that are not zero and money, of each part of the amount."""
    return pd.DataFrame(
        {
            "invoices": [known[f"{name}_count"] for name in TOTALS],
            "money": [known[f"{name}_money"] for name in TOTALS],
        },
        index=pd.Index(TOTALS),
    )


def findings_on(findings: pd.DataFrame, known: Mapping[str, Any]) -> pd.DataFrame:
    """Return findings with the one that depends on the day as it was known on another."""
    kept = {name: tuple(line) for name, *line in findings.itertuples(index=False)}
    kept[DAY_FINDING] = (
        known["settled_after"],
        known["settled_after_money"],
        FINDINGS[DAY_FINDING],
    )
    lines = [(name, *kept[name]) for name in FINDINGS if kept.get(name, (0,))[0]]
    return pd.DataFrame(lines, columns=["finding", "rows", "amount", "meaning"])
