"""The commands that look at a ledger: quality, ageing, indicators."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal as Exact
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from credit_portfolio.cli.app import (
    File,
    Show,
    app,
    numbers,
    progress,
    say_where,
    settings_of,
)
from credit_portfolio.cli.sources import Source, reads_ledger
from credit_portfolio.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

    from credit_portfolio.ledger.source import Ledger

_SUFFIXES = (".csv", ".xlsx", ".json")
_QUALITY_FORMS = {"amount": "money", "money": "money"}
# Columns of the sheets of shares that are none.
_NO_SHARES = {
    "opening": "money",
    **dict.fromkeys(("n", "hhi", "effective_number", "gini"), "number"),
}

OutFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Also write a .csv, .xlsx or .json.")
]
Rows = Annotated[int, typer.Option(min=1, help="Most rows on the terminal; the file has all.")]


@app.command()
@reads_ledger
def quality(
    source: Source,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for quality.csv, findings.csv and rejected.csv, or a .xlsx or .json.",
        ),
    ] = None,
    examine: Annotated[
        bool, typer.Option(help="Also compare rows: copies under other numbers, look-alike ids.")
    ] = True,
    names: Annotated[
        str | None, typer.Option(help="Column with the customers' names, to compare them.")
    ] = None,
    vat_rates: Annotated[
        str | None, typer.Option(help="Tax rates to look for among payments: 0.19,0.07")
    ] = None,
    settings: File = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Check every row of a ledger; say what was rejected, why, and how much money it is."""
    from credit_portfolio import job
    from credit_portfolio.cli.tables import show_quality
    from credit_portfolio.export import write_csv

    looked = _Look.of(examine, names, vat_rates)
    if out is not None and out.suffix.lower() in _SUFFIXES[1:]:
        with _file(out), progress() as show:
            ledger = looked(show, _open(show, source, settings, reading, names))
            q = ledger.quality
            sheets = {
                "rules": q.rules.set_index("rule"),
                "findings": q.findings.set_index("finding"),
                "totals": q.control_totals.rename_axis("total"),
                # Rows of a database have no number.
                "rejected": q.rejected.set_index("row" if "row" in q.rejected else "rule"),
            }
            _write(out, ledger, sheets, dict.fromkeys(sheets, _QUALITY_FORMS))
        show_quality(ledger)
        _say_file(out)
        return
    with job.results_folder(out) as folder:
        with progress() as show:
            ledger = looked(show, _open(show, source, settings, reading, names))
        if folder is not None:
            write_csv(ledger.quality.rules, folder / "quality.csv", index=False)
            write_csv(ledger.quality.findings, folder / "findings.csv", index=False)
            job.write_rejected(ledger.quality.rejected, folder / "rejected.csv")
    show_quality(ledger)
    say_where(folder)


@app.command()
@reads_ledger
def ageing(
    source: Source,
    by: Annotated[
        str, typer.Option(help="customer_id, disputed, or a further column of the ledger.")
    ] = "customer_id",
    basis: Annotated[
        str, typer.Option(help="due: days past due; invoice: days since the invoice.")
    ] = "due",
    edges: Annotated[str, typer.Option(help="Last day of each bucket but the last.")] = "30,60,90",
    rows: Rows = 20,
    out: OutFile = None,
    settings: File = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Show the open money by age, per customer or any other column."""
    from credit_portfolio.cli.tables import show_ageing

    days = _whole_numbers("--edges", edges)
    with _file(out), progress() as show:
        ledger = _open(show, source, settings, reading, by)
        aged = ledger.ageing(by=by, basis=basis, edges=days)
        forms = {"ageing": dict.fromkeys(map(str, aged.columns), "money")}
        _write(out, ledger, {"ageing": aged}, forms, basis=basis)
    show_ageing(ledger, aged, basis, rows)
    _say_file(out)


@app.command()
@reads_ledger
def indicators(
    source: Source,
    by: Annotated[
        str | None, typer.Option(help="customer_id, disputed, or a further column of the ledger.")
    ] = None,
    over: Annotated[
        int | None, typer.Option(min=1, metavar="MONTHS", help="Also the month ends before.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Days of sales and payments.")] = 90,
    rows: Rows = 20,
    out: OutFile = None,
    settings: File = None,
    *,
    reading: dict[str, Any],
) -> None:
    """Show DSO, days to pay, collection, bad debts and concentration, also over time."""
    from credit_portfolio.cli import tables
    from credit_portfolio.ledger import indicators as kpi

    with _file(out), progress() as show:
        ledger = _open(show, source, settings, reading, by)
        stage = "computing the indicators"
        show(stage)
        found = kpi.indicators(
            ledger, by, over, days=days, progress=lambda done, of: show(stage, done, of)
        )
        rates = kpi.roll_rates(ledger).iloc[0] if by is None and over is None else None
        sheets = {"indicators": found}
        forms = {"indicators": {i.name: i.unit for i in kpi.INDICATORS}}
        if out is not None:
            sheets |= {
                "transitions": kpi.transitions(ledger),
                "concentration": kpi.concentration(ledger),
            }
            for name in ("transitions", "concentration"):
                forms[name] = dict.fromkeys(sheets[name].columns, "share") | _NO_SHARES
        _write(out, ledger, sheets, forms)
    if rates is not None:
        tables.show_indicators(ledger, found.iloc[0], kpi.INDICATORS, rates)
    else:
        tables.show_series(ledger, found, kpi.INDICATORS, rows)
    _say_file(out)


@dataclass(frozen=True, slots=True)
class _Look:
    """Whether and how rows are compared with each other."""

    asked: bool
    names: str | None
    vat_rates: tuple[Exact, ...]

    @classmethod
    def of(cls, asked: bool, names: str | None, vat_rates: str | None) -> _Look:
        given = [o for o, v in (("--names", names), ("--vat-rates", vat_rates)) if v is not None]
        if given and not asked:
            raise ModelError(f"{given[0]} is for comparing rows, which --no-examine leaves out")
        rates = numbers("--vat-rates", vat_rates) or []
        # By way of text: the rate that was typed, not the binary number nearest to it.
        return cls(asked, names, tuple(Exact(str(rate)) for rate in rates))

    def __call__(self, show: Show, ledger: Ledger) -> Ledger:
        from credit_portfolio.ledger.examination import examine

        if not self.asked:
            return ledger
        show("comparing the rows")
        return examine(ledger, names=self.names, vat_rates=self.vat_rates)


def _open(
    show: Show, source: str, file: Path | None, reading: dict[str, Any], by: str | None
) -> Ledger:
    """Open the ledger; ``by`` names a column that the command will ask for."""
    from credit_portfolio import job

    chosen = settings_of(file, ledger=reading)
    show("reading the ledger")
    return job.read_ledger(source, chosen, () if by is None else (by,))


def _whole_numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ModelError(
            f"{option} is {text!r}; expected whole numbers with commas between, as 30,60,90"
        ) from error


@contextmanager
def _file(path: Path | None) -> Iterator[None]:
    """See that a file of this name can be written, before any long work."""
    from credit_portfolio import job

    if path is not None and path.suffix.lower() not in _SUFFIXES:
        raise ModelError(
            f"--out is {str(path)!r}; expected a file whose name ends in .csv, .xlsx or .json"
        )
    with job.results_folder(None if path is None else path.parent):
        yield


def _write(
    path: Path | None,
    ledger: Ledger,
    sheets: Mapping[str, pd.DataFrame],
    forms: Mapping[str, Mapping[str, str]],
    **asked: object,
) -> None:
    """Write the first table as CSV, or all of them as a workbook or as JSON.

    ``forms`` says of each sheet's columns which are "money" and which are a "share".
    """
    from credit_portfolio import export

    if path is None:
        return
    if path.suffix.lower() == ".csv":
        name, table = next(iter(sheets.items()))
        money = [column for column, form in forms[name].items() if form == "money"]
        export.write_csv(table, path, money=money)
        return
    if path.suffix.lower() == ".xlsx":

        def style(sheet: str, column: str, row: Mapping[str, Any]) -> str | None:
            form = forms[sheet].get(column)
            return form if form in ("money", "share") else None

        export.write_excel(sheets, path, style=style)
        return
    content = {
        "source": ledger.quality.file_name or ledger.quality.source,
        "as_of": ledger.as_of.isoformat(),
        "currency": ledger.currency,
        "rows_read": ledger.quality.rows_read,
        "rows_rejected": ledger.quality.rows_rejected,
        "source_rows": ledger.quality.source_rows,
        **asked,
        **{name: _records(frame) for name, frame in sheets.items()},
    }
    with export.whole_file(path) as draft:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        draft.write_text(text + "\n", encoding="utf-8")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain types: a missing number is null, an exact one is text."""
    flat = frame.reset_index()
    rows = flat.itertuples(index=False, name=None)
    return [dict(zip(map(str, flat.columns), map(_plain, row), strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, dt.datetime):
        return value.date().isoformat()
    return str(value) if isinstance(value, Exact | dt.date) else value


def _say_file(path: Path | None) -> None:
    if path is not None:
        typer.echo(f"\nwritten to {path}", err=True)
