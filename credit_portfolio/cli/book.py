"""The commands that make limits and shares of credit: allocate, demo, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from credit_portfolio.cli.app import (
    Budget,
    Classes,
    File,
    FundingRate,
    GoodFrom,
    Intervals,
    Labels,
    LimitsFrom,
    Markup,
    MinReturn,
    Out,
    Outside,
    PeriodOf,
    Smoothing,
    Statements,
    TargetsOf,
    app,
    bounds,
    number_or_text,
    numbers,
    progress,
    say_where,
    settings_of,
)
from credit_portfolio.cli.sources import AsOf, DateFormat, Decimal, Separator, Source, reads_ledger


@app.command()
@reads_ledger
def allocate(
    source: Source,
    statements: LimitsFrom = None,
    budget: Budget = None,
    out: Out = None,
    settings: File = None,
    labels: Labels = None,
    *,
    reading: dict[str, Any],
    statements_separator: Annotated[
        str | None, typer.Option(help="Column separator of the statements.")
    ] = None,
    statements_decimal: Annotated[
        str | None, typer.Option(help="Decimal mark of the statements: . or ,")
    ] = None,
    statements_date_format: Annotated[
        str | None, typer.Option(help="Format of dates in the statements.")
    ] = None,
    markup: Markup = None,
    funding_rate: FundingRate = None,
    period: PeriodOf = None,
    maturity_days: Annotated[
        int | None, typer.Option(help="Days after its end until a period counts.")
    ] = None,
    min_periods: Annotated[int | None, typer.Option(help="Fewest periods of a customer.")] = None,
    intervals: Intervals = None,
    good_from: GoodFrom = None,
    targets: TargetsOf = None,
    outside: Outside = None,
    operator: Annotated[
        str | None,
        typer.Option(help="How shares and degrees make B: weighted_average, balanced, …"),
    ] = None,
    smoothing: Smoothing = None,
    classes: Classes = None,
    confidence: Annotated[
        float | None, typer.Option(help="Hold each target with this confidence, as 0.95.")
    ] = None,
    min_return: MinReturn = None,
    max_turnover: Annotated[
        float | None, typer.Option(help="Most credit to move, as a part of the budget.")
    ] = None,
    risk_model: Annotated[str | None, typer.Option(help="ledoit_wolf or sample.")] = None,
    max_share: Annotated[float | None, typer.Option(help="Largest share of a customer.")] = None,
    unit: Annotated[float | None, typer.Option(help="Round amounts to multiples of it.")] = None,
    solver: Annotated[str | None, typer.Option(help="auto, clarabel, or any in cvxpy.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest relative residual.")] = None,
) -> None:
    """Share a budget of credit among the customers of a ledger."""
    from credit_portfolio import job

    chosen = settings_of(
        settings,
        ledger=reading,
        statements={
            "separator": statements_separator,
            "decimal": statements_decimal,
            "date_format": statements_date_format,
        },
        labels={"file": None if labels is None else str(labels)},
        returns={
            "markup": number_or_text(markup),
            "funding_rate": funding_rate,
            "period": period,
            "maturity_days": maturity_days,
            "min_periods": min_periods,
        },
        model={
            "intervals": numbers("--intervals", intervals),
            "good_from": good_from,
            "targets": bounds(targets),
            "outside": outside,
            "operator": operator,
            "smoothing": number_or_text(smoothing),
            "classes": number_or_text(classes),
            "confidence": confidence,
            "min_return": min_return,
            "max_turnover": max_turnover,
            "risk_model": risk_model,
            "budget": budget,
            "max_share": max_share,
            "unit": unit,
            "solver": solver,
            "tolerance": tolerance,
        },
    )
    with progress() as show:
        allocation = job.allocate(source, statements, chosen, out, progress=show)
    typer.echo(allocation)
    say_where(out)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the data and the results.")] = Path("demo"),
    customers: Annotated[int, typer.Option(min=2, help="Number of customers.")] = 200,
    invoices: Annotated[int, typer.Option(min=1, help="Number of invoices.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 2024,
) -> None:
    """Simulate a book and allocate its credit: the whole way, without any download."""
    from credit_portfolio import job
    from credit_portfolio.settings import Settings
    from credit_portfolio.simulate import simulate_book

    notice = (
        "These data are simulated: customers, invoices and statements were drawn by a random "
        f"generator (seed {seed}) and belong to nobody."
    )
    with job.results_folder(out) as folder, progress() as show:
        show("simulating a book")
        book = simulate_book(customers, invoices, seed=seed)
        ledger_file, statement_file = book.write(out)
        chosen = Settings.from_mapping(
            {
                "ledger": {"as_of": f"{book.as_of:%Y-%m-%d}"},
                "returns": {
                    "markup": 0.25,
                    "funding_rate": 0.08,
                    "provisions": {
                        "days": [0, 30, 60, 90],
                        "rates": [0.01, 0.03, 0.08, 0.2, 0.5],
                    },
                },
                "model": {"outside": "clip"},
            }
        )
        allocation = job.allocate(
            ledger_file, statement_file, chosen, folder, progress=show, notes=[notice]
        )
    typer.echo(notice)
    typer.echo(allocation)
    say_where(out)


@app.command()
def limits(
    statements: Statements,
    as_of: AsOf = None,
    out: Out = None,
    settings: File = None,
    separator: Separator = None,
    decimal: Decimal = None,
    date_format: DateFormat = None,
) -> None:
    """Compute each customer's credit limit from his latest statement."""
    from credit_portfolio import job
    from credit_portfolio.export import write_csv, write_excel

    options = {"separator": separator, "decimal": decimal, "date_format": date_format}
    chosen = settings_of(settings, statements=options)
    day = as_of or chosen.ledger.as_of
    with job.results_folder(out) as folder:
        with progress() as show:
            show("rating the statements")
            sheets = job.read_sheets(statements, chosen)
            rated = job.rate(sheets, chosen, day)
        if folder is not None:
            write_csv(rated, folder / "limits.csv", money=job.LIMIT_MONEY)
            write_excel({"limits": rated}, folder / "limits.xlsx", style=job.limit_style)
            job.write_rejected(sheets.rejected, folder / "rejected_statements.csv")
    typer.echo(rated[["limit", "class", "evaluation_value", "reason"]].to_string())
    known = f" as of {day}" if day else ""
    typer.echo(f"\nsum of limits {rated['limit'].sum():,.2f} for {len(rated):,} customers{known}")
    if len(sheets.rejected):
        typer.echo(job.rejected_statements(sheets, folder))
    say_where(folder)
