"""The tables of the report as plain rows: texts, and the numbers they sort by."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from credit_portfolio.report.price_words import bound_words, dearest_limits, price_sentence
from credit_portfolio.report.words import (
    DASH,
    has_bands,
    known,
    money,
    number,
    over_limit,
    percent,
    percent_figures,
    plain_label,
    plural,
    rows_of,
    side,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from credit_portfolio.allocation import Allocation

MOST_CUSTOMERS = 500
"""Rows of the customers' table; more make the page heavy, and the CSV has them all."""

MOST_LIMIT_PRICES = 20
_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, the number it sorts by (None: by its text), and whether it warns."""

    text: str
    value: float | None = None
    warns: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table for the page.

    Parameters
    ----------
    name : str
        For its id on the page.
    caption : str
    head : tuple of (str, str)
        Title and kind of each column: "text", "id", "condition", "long" or "number".
    rows : tuple of tuple of Cell
    """

    name: str
    caption: str
    head: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]


def evaluation_table(a: Allocation) -> Table:
    """Return B against its targets, interval by interval."""
    banded, simulated = has_bands(a), known(a.evaluation, "simulated")
    kept = known(a.evaluation, "margin") and bool((a.evaluation["margin"] > 0).any())
    held = ", after the margin that its confidence holds back" if kept else ""
    rows = []
    for row in rows_of(a.evaluation):
        free = pd.isna(row.target)
        cells = [
            Cell(_unbroken(row.Index)),
            Cell(str(row.kind)),
            Cell("free" if free else _unbroken(f"{side(row.kind)} {percent(row.target, 2)}")),
            _percent(row.proposed, 2),
        ]
        if banded:
            cells.append(_band(row))
        cells += [
            _percent(row.current, 2),
            Cell(DASH if free else _points(row.slack), _value(row.slack)),
            Cell("yes" if row.binding else "no"),
            _percent(row.proposed_periods, 1),
        ]
        if simulated:
            cells.append(_percent(row.simulated, 1))
        rows.append((*cells, _percent(row.current_periods, 1)))
    head = [
        ("Interval", "text"),
        ("Kind", "text"),
        ("Target b", "text"),
        ("B proposed", "number"),
        *([("95% band of B", "number")] if banded else []),
        ("B today", "number"),
        ("Room", "number"),
        ("Binding", "text"),
        ("Periods, proposed", "number"),
        *([("Simulated, proposed", "number")] if simulated else []),
        ("Periods, today", "number"),
    ]
    return Table(
        "evaluation-table",
        f"B is the part of the credit in each return interval; room is what is left to the target, "
        f"in percentage points{held}; the last columns count the periods in which the return of "
        "the whole portfolio fell there.",
        tuple(head),
        tuple(rows),
    )


def _band(row: Any) -> Cell:
    low, high = row.credible_low, row.credible_high
    if pd.isna(low) or pd.isna(high):
        return Cell(DASH)
    return Cell(f"{percent(low, 2)} to {percent(high, 2)}", float(low))


def _unbroken(text: object) -> str:
    """Keep an interval's name on one line, unless somebody gave it a long one."""
    name = str(text)
    return name.replace(" ", "\u00a0") if len(name) <= 28 else name


def _points(slack: float) -> str:
    return number(100.0 * slack, 2)


def prices_table(a: Allocation) -> Table:
    """Return what a step of each condition is worth, in words; of limits the dearest only."""
    prices = a.shadow_prices
    kind_of = {str(name): str(kind) for name, kind in a.evaluation["kind"].items()}
    general = prices[prices["kind"] != "limit"]
    limits = dearest_limits(a)
    dearest = limits.head(MOST_LIMIT_PRICES)
    rows = []
    for row in rows_of(pd.concat([general, dearest])):
        rows.append(
            (
                Cell(_condition(row.Index, row.kind)),
                Cell(bound_words(row.kind, row.bound, a), _value(row.bound)),
                Cell(bound_words(row.kind, row.reached, a), _value(row.reached)),
                Cell(price_sentence(row, kind_of, a)),
            )
        )
    more = len(limits) - len(dearest)
    tail = f" Of the limits, the {len(dearest)} worth most; {more:,} more bind." if more else ""
    return Table(
        "prices-table",
        "What a small step of each condition would do to the standard deviation of the return, in "
        "money on the budget. The worth of a step holds near the present bound; far from it, solve "
        f"again.{tail}",
        (
            ("Condition", "condition"),
            ("Bound", "number"),
            ("Reached", "number"),
            ("In words", "long"),
        ),
        tuple(rows),
    )


def _condition(name: object, kind: str) -> str:
    if kind != "target":
        return _upper(name)
    return f"Target {_unbroken(str(name).removeprefix('target '))}"


def _upper(text: object) -> str:
    word = str(text)
    return word[:1].upper() + word[1:]


def customers_table(a: Allocation, most: int = MOST_CUSTOMERS) -> Table:
    """Return the customers, the largest amounts first."""
    c = a.customers.sort_values(["amount", "current_amount"], ascending=False, kind="stable")
    over = over_limit(a)
    rows = []
    for row in rows_of(c.head(most)):
        breach = bool(over[row.Index])
        rows.append(
            (
                Cell(str(row.Index)),
                _money(row.amount, a),
                _percent(row.share, 2),
                _money(row.limit, a),
                _percent(row.limit_use, 0),
                Cell(
                    ("▲ " if breach else "") + money(row.current_amount, a, unit=False),
                    _value(row.current_amount),
                    breach,
                ),
                _money(row.change, a),
                _percent(row.risk_share, 2),
                Cell(percent_figures(row.mean_return), _value(row.mean_return)),
                Cell(f"{row.periods:,}", float(row.periods)),
                Cell(str(row.reason)),
                Cell(str(row.explanation)),
            )
        )
    currency = str(a.summary.get("currency") or "")
    shown = (
        f"The {len(rows):,} largest of {len(c):,} customers; allocation.to_csv writes them all."
        if len(c) > len(rows)
        else plural(len(c), "customer") + "."
    )
    if currency:
        shown += f" Money in {currency}."
    if over.any():
        shown += " ▲ marks a balance of today above the limit."
    return Table(
        "customers-table",
        shown,
        (
            ("Customer", "id"),
            ("Amount", "number"),
            ("Share", "number"),
            ("Limit", "number"),
            ("Limit use", "number"),
            ("Today", "number"),
            ("Change", "number"),
            ("Risk share", "number"),
            ("Mean return", "number"),
            ("Periods", "number"),
            ("Reason", "text"),
            ("In words", "long"),
        ),
        tuple(rows),
    )


def excluded_table(a: Allocation) -> Table:
    """Return the excluded customers, grouped by reason."""
    c = a.customers
    excluded = c[c["reason"].str.startswith("excluded")]
    rows = []
    for reason, group in excluded.groupby("reason", sort=False):
        ordered = group.sort_values("current_amount", ascending=False, kind="stable")
        names = ", ".join(plain_label(name) for name in ordered.index[:_EXAMPLES])
        more = len(group) - _EXAMPLES
        rows.append(
            (
                Cell(_upper(str(reason).removeprefix("excluded: "))),
                Cell(f"{len(group):,}", float(len(group))),
                _money(float(group["current_amount"].sum()), a),
                Cell(names + (f" and {more:,} more" if more > 0 else "")),
            )
        )
    return Table(
        "excluded-table",
        "Customers who could not get a share, those who owe most today first.",
        (("Reason", "text"), ("Customers", "number"), ("Open today", "number"), ("Who", "long")),
        tuple(rows),
    )


def settings_table(a: Allocation) -> Table:
    """Return the settings that the allocation was made with."""
    rows = [
        (Cell(_upper(str(name).replace("_", " "))), Cell(_setting(value)))
        for name, value in a.settings.items()
    ]
    return Table(
        "settings-table",
        "The parameters of the model, the convention of the returns, and the version.",
        (("Setting", "text"), ("Value", "long")),
        tuple(rows),
    )


def _setting(value: object) -> str:
    if value is None or value == "":
        return DASH
    if isinstance(value, float):
        return "free" if value != value else f"{value:,.10g}"
    if isinstance(value, (list, tuple)):
        if len(value) > _EXAMPLES and all(isinstance(part, str) for part in value):
            return f"{value[0]} to {value[-1]}, {len(value):,} in all"
        return ", ".join(_setting(part) for part in value)
    return str(value)


def certificate_table(a: Allocation) -> Table:
    """Return the residuals of the proof."""
    proof = a.certificate
    meaning = {
        "primal": "largest violation of a condition",
        "dual": "largest slope that no multiplier explains",
        "gap": "no allowed shares have a variance lower by more than this part",
    }
    rows = [
        (
            Cell(name),
            Cell(f"{getattr(proof, name):.1e}", float(getattr(proof, name))),
            Cell(f"{proof.tolerance:.0e}", proof.tolerance),
            Cell(words),
        )
        for name, words in meaning.items()
    ]
    return Table(
        "certificate-table",
        "Recomputed from the conditions, whatever the solver said: the proof "
        + ("holds." if proof.holds else "does not hold."),
        (
            ("Residual", "text"),
            ("Found", "number"),
            ("Allowed", "number"),
            ("What it is", "long"),
        ),
        tuple(rows),
    )


# ------------------------------------------------------------------------------ ledger quality

_SIDES = ("read", "accepted", "rejected")
_COUNTED = (("Count", "number"), ("Amount", "number"))


def quality_tables(quality: Any) -> list[Table]:
    """Return rows and money read, accepted and rejected; the broken rules; the findings.

    Parameters
    ----------
    quality : object
        What ``Ledger.quality`` holds: ``rows_read``, ``rows_accepted``, ``rows_rejected``, the
        same three of ``amount_``, ``rules`` and ``findings`` (tables with rows, amount, meaning),
        and ``source_rows``, where that is another number than ``rows_read``.

    Raises
    ------
    TypeError
        When it has no such counts.
    """
    missing = [
        f"{what}_{side}"
        for what in ("rows", "amount")
        for side in _SIDES
        if not hasattr(quality, f"{what}_{side}")
    ]
    if missing:
        raise TypeError(
            f"quality is a {type(quality).__name__} without {', '.join(missing)}; give "
            "ledger.quality"
        )
    rows = getattr(quality, "source_rows", quality.rows_read)
    caption = "Rows read are those accepted and those rejected; no row is lost."
    if rows != quality.rows_read:
        caption = (
            f"{rows:,} rows of the source became entries, which are counted here: those read are "
            "those accepted and those rejected; none is lost."
        )
    totals = Table(
        "quality-totals",
        caption,
        (("Rows" if rows == quality.rows_read else "Entries", "text"), *_COUNTED),
        tuple(
            (
                Cell(_upper(side)),
                _count(getattr(quality, f"rows_{side}")),
                _cents(getattr(quality, f"amount_{side}")),
            )
            for side in _SIDES
        ),
    )
    rules, findings = getattr(quality, "rules", None), getattr(quality, "findings", None)
    tables = [
        totals,
        _counted("quality-rules", "Rejected rows by the first rule that they break.", rules),
        _counted("quality-findings", "Repairs and conventions in accepted rows.", findings),
    ]
    return [table for table in tables if table.rows]


def _counted(name: str, caption: str, frame: object) -> Table:
    """Rows of a table whose count is not 0: its first column, rows, amount and meaning."""
    head = (("What", "text"), ("Rows", "number"), ("Amount", "number"), ("Meaning", "long"))
    if not isinstance(frame, pd.DataFrame) or "rows" not in frame.columns:
        return Table(name, caption, head, ())
    label = frame.columns[0]
    rows = [
        (
            Cell(_upper(str(record[label]).replace("_", " "))),
            _count(record["rows"]),
            _cents(record.get("amount")),
            Cell(str(record.get("meaning", ""))),
        )
        for record in frame[frame["rows"] > 0].to_dict("records")
    ]
    return Table(name, caption, head, tuple(rows))


def _count(value: Any) -> Cell:
    return Cell(f"{int(value):,}", float(value))


def _cents(value: Any) -> Cell:
    """Control totals are held against the books to the cent."""
    if value is None or value != value:
        return Cell(DASH)
    return Cell(number(value if isinstance(value, Decimal) else float(value), 2), float(value))


def ageing_table(ageing: pd.DataFrame, label: Callable[[object], str]) -> Table:
    """Return the sums of the ageing by bucket."""
    sums = ageing.sum()
    total = float(sums["total"])
    rows: Iterable[tuple[Cell, ...]] = (
        (
            Cell(_upper(label(name))),
            _cents(value),
            _percent(value / total if total else float("nan"), 1),
        )
        for name, value in sums.items()
    )
    return Table(
        "ageing-table",
        "What is open, by age.",
        (("Age", "text"), ("Open", "number"), ("Part", "number")),
        tuple(rows),
    )


def _money(value: float, a: Allocation) -> Cell:
    return Cell(money(value, a, unit=False), _value(value))


def _percent(value: float, places: int) -> Cell:
    return Cell(percent(value, places), _value(value))


def _value(value: float | None) -> float | None:
    """Return the number to sort by; none for NaN, which then sorts last."""
    return None if value is None or value != value else float(value)
