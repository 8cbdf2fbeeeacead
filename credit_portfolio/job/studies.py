"""Frontiers and backtests from files, and their folders of results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.backtesting import backtest as walk_forward
from credit_portfolio.errors import InfeasibleError, ModelError, SolverError
from credit_portfolio.export import whole_file, write_csv, write_excel
from credit_portfolio.frontiers import frontier as sweep
from credit_portfolio.job.allocating import with_source
from credit_portfolio.job.inputs import rate, read_inputs, rule_of
from credit_portfolio.job.record import Record, recorded, stage, write_rejected
from credit_portfolio.report import write_report
from credit_portfolio.settings import EdgeSettings, Settings

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from credit_portfolio.allocation import Allocation
    from credit_portfolio.backtesting import Backtest
    from credit_portfolio.frontiers import Frontier
    from credit_portfolio.job.inputs import Inputs
    from credit_portfolio.job.record import Path_, Progress

_MONEY = ("standard_deviation_money",)


def frontier(
    invoices: Path_,
    statements: Path_ | None = None,
    settings: Settings | None = None,
    out: Path_ | None = None,
    *,
    progress: Progress = lambda stage: None,
) -> Frontier:
    """Find the shares, and the least risk along a target, the expected return or the budget.

    Parameters
    ----------
    invoices, statements, settings, progress
        As :func:`credit_portfolio.job.allocate` takes them; ``settings.frontier`` says over what.
    out : path, optional
        Folder for frontier.csv, frontier.xlsx, frontier.json, report.html and run.json.

    Raises
    ------
    CreditPortfolioError
        As each part says; run.json is written in this case too.
    """
    settings = settings or Settings()
    record = Record(settings)
    with recorded(record, out) as folder:
        inputs = read_inputs(invoices, statements, settings, record, progress)
        with stage("finding the shares", record, progress):
            model = inputs.fit(settings)
        with stage("following the frontier", record, progress):
            s = settings.frontier
            found = sweep(model, s.over, points=s.points, tolerance=settings.model.tolerance)
        reached = int((found.points["status"] == "optimal").sum())
        record.status = "done"
        record.message = f"{reached} of {len(found.points)} points reached over {found.over}"
        record.results = {"notes": list(found.notes)}
        if folder is not None:
            with stage("writing the results", record, progress):
                _write_tables(
                    folder,
                    "frontier",
                    {"points": found.points, "references": found.references},
                    {"over": found.over, "notes": list(found.notes)},
                    first=found.to_frame(),
                )
                _write_page(inputs, model.allocation_, folder, frontier=found)
    return found


def backtest(
    invoices: Path_,
    statements: Path_ | None = None,
    settings: Settings | None = None,
    out: Path_ | None = None,
    *,
    progress: Progress = lambda stage: None,
) -> Backtest:
    """Hold the model against four simple ways to share out the credit, day after day.

    Parameters
    ----------
    invoices, statements, settings, progress
        As :func:`credit_portfolio.job.allocate` takes them; ``settings.backtest`` says on which
        days and how.
    out : path, optional
        Folder for backtest.csv, backtest.xlsx, backtest.json, report.html and run.json. The report
        is of today's allocation; where there is none, the other files are written without it.

    Raises
    ------
    CreditPortfolioError
        As each part says; run.json is written in this case too.
    """
    settings = settings or Settings()
    _refuse_foresight(settings)
    record = Record(settings)
    with recorded(record, out) as folder:
        inputs = read_inputs(invoices, statements, settings, record, progress)
        with stage("walking forward", record, progress):
            found = _walk(inputs, settings, progress)
        record.status, record.message = "done", found.winners()
        record.results = {"notes": list(found.notes)}
        if folder is not None:
            with stage("writing the results", record, progress):
                _write_tables(
                    folder,
                    "backtest",
                    {"summary": found.summary, "days": found.days.set_index("day")},
                    {"winners": found.winners(), "notes": list(found.notes)},
                    first=found.days.set_index("day"),
                )
            with stage("finding today's shares for the report", record, progress):
                _report_of_today(inputs, settings, found, folder, record, progress)
    return found


def _refuse_foresight(settings: Settings) -> None:
    """Refuse what would carry knowledge of today into the days of a backtest."""
    m = settings.model
    edges = m.edges.method if isinstance(m.edges, EdgeSettings) else m.edges
    if edges == "quantiles":
        raise ModelError(
            "edges at quantiles are those of today's panel, which no earlier day knew; give the "
            "intervals for a backtest"
        )


def _walk(inputs: Inputs, settings: Settings, progress: Progress) -> Backtest:
    s, r = settings.backtest, settings.returns

    def of_day(day: dt.date) -> pd.DataFrame | None:
        progress(f"walking forward: {day}")
        return None if inputs.sheets is None else rate(inputs.sheets, settings, as_of=day)

    # A table instead of a function says that all days know it, and a note tells so.
    limits: Any = of_day if inputs.sheets is None or s.limits == "then" else inputs.limits
    return walk_forward(
        inputs.ledger,
        inputs.model,
        rule_of(settings),
        every=s.every,
        period=r.period,
        horizon=s.horizon,
        maturity_days=r.maturity_days,
        min_periods=r.min_periods,
        limits=limits,
        labels=inputs.labels,
        infeasible=s.infeasible,
    )


def _report_of_today(
    inputs: Inputs,
    settings: Settings,
    found: Backtest,
    folder: Path,
    record: Record,
    progress: Progress,
) -> None:
    try:
        model = inputs.fit(settings)
    except (InfeasibleError, SolverError) as error:
        (folder / "report.html").unlink(missing_ok=True)
        record.results["report"] = f"none, since today has no allocation: {error}"
        progress("no report.html, since today has no allocation; run.json says why")
        return
    _write_page(inputs, model.allocation_, folder, backtest=found)


def _write_page(inputs: Inputs, allocation: Allocation, folder: Path, **studied: Any) -> None:
    ledger, sheets = inputs.ledger, inputs.sheets
    write_rejected(ledger.quality.rejected, folder / "rejected.csv")
    if sheets is not None:
        write_rejected(sheets.rejected, folder / "rejected_statements.csv")
    write_report(
        with_source(allocation, ledger, sheets, folder),
        folder / "report.html",
        quality=ledger.quality,
        ageing=ledger.ageing(),
        **studied,
    )


def _write_tables(
    folder: Path,
    name: str,
    sheets: Mapping[str, pd.DataFrame],
    said: Mapping[str, Any],
    first: pd.DataFrame,
) -> None:
    """Write the first table as CSV, and all of them as a workbook and as JSON."""
    index = first.index.name is not None
    write_csv(first, folder / f"{name}.csv", index=index, money=_MONEY)

    def style(sheet: str, column: str, row: Mapping[str, Any]) -> str | None:
        return "money" if column in _MONEY else None

    write_excel(sheets, folder / f"{name}.xlsx", style=style)
    content = {**said, **{sheet: _records(table) for sheet, table in sheets.items()}}
    with whole_file(folder / f"{name}.json") as draft:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        draft.write_text(text + "\n", encoding="utf-8")


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    flat = table.reset_index() if table.index.name is not None else table
    names = [str(name) for name in flat.columns]
    rows = flat.itertuples(index=False, name=None)
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    """Return a plain type; what is not finite is null, since JSON has no such number."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value
