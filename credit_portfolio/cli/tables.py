"""The shapes of a page, and what the ledger's commands print: tables that fit and add up."""

from __future__ import annotations

import math
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from credit_portfolio.ledger.quality import money_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from credit_portfolio.ledger.indicators import Indicator
    from credit_portfolio.ledger.source import Ledger

DASH = "–"
_LONGEST_NAME = 22
_EXAMPLES = 5
# Money is shown in the finest of these that fits: divisor, decimals, word before the currency.
_SCALES = (
    (1.0, 2, ""),
    (1.0, 0, ""),
    (1e3, 0, "thousand"),
    (1e6, 0, "million"),
    (1e9, 0, "billion"),
)
# Columns of a table of indicators: name, heading. Those on the right go first where there is no
# room; the file of --out has all.
_HEADINGS = {
    "open": "open",
    "days_sales_outstanding": "DSO",
    "average_days_delinquent": "ADD",
    "days_to_pay": "to pay",
    "days_beyond_terms": "late",
    "over_90_share": "> 90 d",
    "bad_debt_ratio": "bad",
    "collection_effectiveness": "CEI",
    "dispute_rate": "disp.",
    "countback_days": "countback",
    "share": "share",
    "sales": "sales",
}
_LEGEND = "days: DSO, ADD (its part that is late), to pay, late; part of sales: bad, disp."
_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Book", ("open", "not_due", "over_90_share")),
    (
        "Days",
        (
            "days_sales_outstanding",
            "best_possible_days",
            "average_days_delinquent",
            "countback_days",
            "days_to_pay",
            "days_beyond_terms",
        ),
    ),
    (
        "Window",
        (
            "sales",
            "collected",
            "written_off",
            "collection_effectiveness",
            "bad_debt_ratio",
            "dispute_rate",
        ),
    ),
    (
        "Largest customers",
        ("customers_owing", "largest_share", "top_10_share", "effective_customers"),
    ),
)


def clean(value: object) -> str:
    r"""Return text of a source without what would steer a terminal; a blank is shown as such.

    >>> clean("A\x1b[31mB"), clean(""), clean(float("nan"))
    ('A�[31mB', '(blank)', '(blank)')
    """
    text = "" if value is None or value != value else str(value)  # a gap among numbers is NaN
    kept = "".join("�" if unicodedata.category(c).startswith("C") else c for c in text)
    return kept or "(blank)"


def figure(value: float, unit: str) -> str:
    """Write a number in its unit; a dash where there is none.

    >>> figure(0.125, "share"), figure(36.0, "days"), figure(float("nan"), "days")
    ('12.5 %', '36.0', '–')
    """
    if math.isnan(value):
        return DASH
    if unit == "share":
        return f"{100 * value:,.1f} %"
    if unit == "money":
        return f"{value:,.2f}"
    return f"{value:,.0f}" if unit == "count" else f"{value:,.1f}"


class Page:
    """Standard output, or standard error, and the few shapes that it is made of."""

    def __init__(self, *, errors: bool = False) -> None:
        self.console = Console(highlight=False, stderr=errors)

    @property
    def width(self) -> int:
        """Columns of the terminal; a little less than all, so that no line wraps."""
        return max(self.console.width - 1, 40)

    def title(self, text: str, *facts: str) -> None:
        """Print what this is, and beneath it what it is about."""
        self.console.print(Text(text, style="bold"))
        self.note(" · ".join(fact for fact in facts if fact))
        self.console.print()

    def note(self, text: str, style: str = "dim") -> None:
        """Print a line under a table."""
        if text:
            self.console.print(Text(text, style=style))

    def line(self, text: str = "", style: str = "") -> None:
        """Print a sentence, wrapped at the width of the page; nothing for an empty line."""
        self.console.print(Text(clean(text) if text else "", style=style))

    def item(self, text: str) -> None:
        """Print a sentence of a list, set in."""
        self.console.print(Padding(Text(clean(text)), (0, 0, 0, 2), expand=False))

    def grid(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table of texts: the first column of names, the others of figures."""
        made = _table()
        for place, heading in enumerate(headings):
            made.add_column(
                heading,
                justify="right" if place else "left",
                no_wrap=place > 0,
                overflow="fold",
            )
        for row in rows:
            made.add_row(*[Text(clean(cell)) for cell in row])
        self.table(made)

    def table(self, made: Table) -> None:
        """Print a table."""
        self.console.print(made)
        self.console.print()


def facts_of(ledger: Ledger, scale: str = "") -> list[str]:
    """Return source, day and unit of the money."""
    unit = f"{scale} {ledger.currency}".strip()
    name = ledger.quality.file_name or ledger.quality.source
    return [clean(name), f"as of {ledger.as_of}", f"in {unit}" if unit else ""]


def say_rejected(page: Page, ledger: Ledger) -> None:
    """Say how much of the source is not in the figures."""
    q = ledger.quality
    if q.rows_rejected:
        page.note(
            f"{q.rows_rejected:,} of {q.rows_read:,} {q.counted} ({money_text(q.amount_rejected)} "
            f"{q.currency}".rstrip()
            + ") were rejected and are not in it: see credit-portfolio "
            "quality",
            "yellow",
        )


# --- ageing -------------------------------------------------------------------------------------


def show_ageing(ledger: Ledger, ageing: pd.DataFrame, basis: str, most: int) -> None:
    """Print open money by age: the largest rows, the others together, the total and its shares."""
    page = Page()
    owing = ageing[ageing["total"] != 0].sort_values("total", ascending=False, kind="stable")
    shown, others = owing.iloc[:most], owing.iloc[most:]
    total = ageing.sum()
    names = [clean(name) for name in shown.index]
    rest = f"{len(others):,} others"
    wide = min(max(map(len, [*names, rest, str(ageing.index.name)])), _LONGEST_NAME)
    scale = _scale(total, (page.width - wide) // len(total) - 2)
    since = "past due" if basis == "due" else "since the invoice"
    page.title(f"Open money by days {since}", *facts_of(ledger, scale[2]))
    table = _table()
    table.add_column(_heading(ageing.index.name), max_width=_LONGEST_NAME, no_wrap=True)
    for name in ageing.columns:
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    last = ageing.columns[-2]

    def row(label: Text, values: pd.Series, style: str = "") -> None:
        cells = [(name, _money(value, scale)) for name, value in values.items()]
        late = {DASH: style}
        table.add_row(
            label,
            *[Text(cell, late.get(cell, "red") if name == last else style) for name, cell in cells],
        )

    for name, (_, values) in zip(names, shown.iterrows(), strict=True):
        row(Text(name), values)
    if len(others):
        row(Text(rest, style="dim"), others.sum(), "dim")
    table.add_section()
    row(Text("total", style="bold"), total, "bold")
    if total["total"]:
        shares = [Text(figure(value / total["total"], "share"), style="dim") for value in total]
        table.add_row(Text("share", style="dim"), *shares)
    page.table(table)
    nothing = len(ageing) - len(owing)
    if nothing:
        page.note(f"{nothing:,} more {'owes' if nothing == 1 else 'owe'} nothing")
    say_rejected(page, ledger)


# --- indicators ---------------------------------------------------------------------------------


def show_indicators(
    ledger: Ledger,
    values: pd.Series,
    described: Iterable[Indicator],
    rates: pd.Series,
) -> None:
    """Print all indicators of the whole book, with their meaning."""
    page = Page()
    known = {indicator.name: indicator for indicator in described}
    window = f"window of {values['days']:,.0f} days"
    page.title("Receivables indicators", *facts_of(ledger), window)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for title, names in _PARTS:
        table.add_row(Text(title, style="bold cyan"))
        for name in names:
            indicator = known[name]
            unit = " d" if indicator.unit == "days" else "  "
            amount = figure(values[name], indicator.unit)
            table.add_row(
                Text(f"  {indicator.label}"),
                Text(amount + (unit if amount != DASH else "  ")),
                Text(indicator.formula),
            )
        table.add_row()
    table.add_row(Text("Roll rates", style="bold cyan"), None, Text("of money open 30 days before"))
    for bucket, rate in rates.items():
        name = str(bucket).replace("_", " ")
        what = "now past due" if name == "not due" else "now in a later bucket"
        what = "still open" if name.startswith("over") else what
        table.add_row(Text(f"  {name}"), Text(figure(rate, "share") + "  "), Text(what))
    page.table(table)
    _explain_dash(page, [*values, *rates])
    say_rejected(page, ledger)


def show_series(
    ledger: Ledger, table: pd.DataFrame, described: Iterable[Indicator], most: int
) -> None:
    """Print indicators by group, by day, or by both: the largest groups, as many as have room."""
    page = Page()
    units = {indicator.name: indicator.unit for indicator in described}
    keys = list(table.index.names)
    shown, left = _largest(table, most)
    labels = _labels(shown)
    wide = sum(min(max(len(row[i]) for row in labels), _LONGEST_NAME) for i in range(len(keys)))
    scale = _scale(table["open"], 11)
    page.title(
        "Receivables indicators by " + " and ".join(map(_heading, keys)),
        *facts_of(ledger, scale[2]),
        f"window of {table['days'].max():,.0f} days",
    )
    columns: dict[str, list[str]] = {}
    room = page.width - wide - 2 * len(keys)
    for name in _HEADINGS:
        unit = units[name]
        cells = [_money(v, scale) if unit == "money" else figure(v, unit) for v in shown[name]]
        room -= max(map(len, [*cells, _HEADINGS[name]])) + 2
        if room < 0:
            break
        columns[name] = cells
    made = _table()
    for key in keys:
        made.add_column(_heading(key), max_width=_LONGEST_NAME, no_wrap=True)
    for name in columns:
        made.add_column(_HEADINGS[name], justify="right", no_wrap=True)
    for place, label in enumerate(labels):
        if len(keys) > 1 and place and label[0]:
            made.add_section()
        made.add_row(*map(Text, label), *[Text(cells[place]) for cells in columns.values()])
    page.table(made)
    if left:
        page.note(f"{left:,} more with less open; --rows shows more, --out writes all")
    page.note(_LEGEND)
    _explain_dash(page, shown[list(columns)].to_numpy().ravel())
    say_rejected(page, ledger)


def _largest(table: pd.DataFrame, most: int) -> tuple[pd.DataFrame, int]:
    """Return the rows of the groups with most money open, and how many groups are left out."""
    if table.index.names == ["day"]:
        return table, 0
    if table.index.nlevels == 1:
        ordered = table.sort_values("open", ascending=False, kind="stable")
        return ordered.iloc[:most], max(len(table) - most, 0)
    day = table.index.get_level_values("day")
    latest = table.loc[day == day.max(), "open"].sort_values(ascending=False, kind="stable")
    groups = latest.index.get_level_values(0)
    some = max(most // day.nunique(), 1)
    # By place, since a gap among numbers cannot be looked up by name.
    place = groups.get_indexer(table.index.get_level_values(0))
    shown = np.argsort(place, kind="stable")
    return table.iloc[shown[place[shown] < some]], max(len(groups) - some, 0)


def _labels(table: pd.DataFrame) -> list[list[str]]:
    """Return the cells of the index; a group is named once, on its first row."""
    rows: list[list[str]] = []
    before = None
    for key in table.index:
        parts = list(key) if isinstance(key, tuple) else [key]
        cells = [
            f"{part:%Y-%m-%d}" if name == "day" else clean(part)
            for name, part in zip(table.index.names, parts, strict=True)
        ]
        named, before = cells[0] == before, cells[0]
        if len(parts) > 1 and named:
            cells[0] = ""
        rows.append(cells)
    return rows


def _explain_dash(page: Page, values: Iterable[float]) -> None:
    if any(math.isnan(value) for value in values):
        page.note(f"{DASH} not defined: nothing sold, open or paid to divide by")


# --- quality ------------------------------------------------------------------------------------


def show_quality(ledger: Ledger) -> None:
    """Print what was read, rejected and repaired, and what to do about it."""
    q = ledger.quality
    page = Page()
    page.title("Ledger quality", *facts_of(ledger), f"profile {clean(q.profile)}")
    table = _counts(q.counted, q.currency)
    if q.counted != "rows":
        table.add_row(*map(Text, ("rows of the source", f"{q.source_rows:,}", "")))
    for label, rows, amount in (
        ("read", q.rows_read, q.amount_read),
        ("accepted", q.rows_accepted, q.amount_accepted),
        ("rejected", q.rows_rejected, q.amount_rejected),
    ):
        style = "yellow" if label == "rejected" and rows else ""
        table.add_row(*[Text(t, style) for t in (label, f"{rows:,}", money_text(amount))])
    if q.rows_after_as_of:
        after = (f"accepted, dated after {ledger.as_of}", f"{q.rows_after_as_of:,}")
        table.add_row(*map(Text, (*after, money_text(q.amount_after_as_of))))
    page.table(table)
    if q.rows_without_readable_amount:
        page.note(
            f"{q.rows_without_readable_amount:,} rejected {q.counted} have no amount that could be "
            "added up\n"
        )
    broken = q.rules[q.rules["rows"] > 0]
    _show_counted(page, "Rejected, by rule", broken, "rule", "what_to_do")
    _show_examples(page, q.rejected)
    _show_counted(page, "Findings in accepted rows", q.findings, "finding", "meaning")
    page.console.print(Text(f"As known on {ledger.as_of}", style="bold"))
    totals = _counts("invoices", q.currency)
    for line in q.control_totals.itertuples():
        label = str(line.Index).replace("_", " ")
        totals.add_row(*map(Text, (label, f"{line.invoices:,}", money_text(_exact(line.money)))))
    page.table(totals)
    for note in q.notes:
        page.note(clean(note))


def _exact(value: Any) -> Decimal:
    """Return what is a Decimal, which the types of pandas cannot know."""
    return Decimal(value)


def _counts(what: str, currency: str) -> Table:
    table = _table()
    table.add_column("", min_width=34, no_wrap=True)
    table.add_column(what, justify="right", no_wrap=True, min_width=9)
    table.add_column(currency or "money", justify="right", no_wrap=True, min_width=18)
    return table


def _show_counted(page: Page, title: str, counted: pd.DataFrame, name: str, says: str) -> None:
    """Print lines of rule or finding, rows and money, each with its sentence beneath."""
    if counted.empty:
        return
    page.console.print(Text(title, style="bold"))
    page.console.print()
    for line in counted.itertuples(index=False):
        label, rows, money = getattr(line, name), f"{line.rows:,}", money_text(_exact(line.amount))
        page.console.print(Text(f" {label:<34}{rows:>11}{money:>21}"))
        page.console.print(
            Padding(Text(getattr(line, says), style="dim"), (0, 0, 0, 3), expand=False)
        )
    page.console.print()


def _show_examples(page: Page, rejected: pd.DataFrame) -> None:
    if rejected.empty:
        return
    for line in rejected.head(_EXAMPLES).to_dict("records"):
        # Those of a database have no number, and those of a second table 0.
        row = f"row {line['row']}: " if line.get("row") else ""
        file = f"{clean(line['file'])}, " if "file" in line and row else ""
        text = Text(f"{file}{row}{clean(line['reason'])}")
        page.console.print(Padding(text, (0, 0, 0, 1), expand=False))
    more = len(rejected) - _EXAMPLES
    page.note(
        f" … and {more:,} more; --out DIR writes them all to rejected.csv" if more > 0 else ""
    )
    page.console.print()


# --- shared -------------------------------------------------------------------------------------


def _table() -> Table:
    shape: Any = {"box": SIMPLE, "pad_edge": False, "show_edge": False, "padding": (0, 1, 0, 0)}
    return Table(header_style="bold", **shape)


def _heading(name: Any) -> str:
    return str(name).replace("_id", "").replace("_", " ") if name is not None else ""


def _scale(money: Sequence[float] | pd.Series, room: int) -> tuple[float, int, str]:
    """Return the finest scale in which all the money fits in so many characters."""
    largest = max((abs(value) for value in money), default=0.0)
    for divisor, decimals, word in _SCALES:
        if len(f"{largest / divisor:,.{decimals}f}") <= room:
            return divisor, decimals, word
    return _SCALES[-1]


def _money(value: float, scale: tuple[float, int, str]) -> str:
    divisor, decimals, _ = scale
    return f"{value / divisor:,.{decimals}f}" if value else DASH
