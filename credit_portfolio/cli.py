"""The command line; it has no logic of its own.

Exit codes: 0 done, 1 data (also: a result that cannot be written), 2 infeasible, 3 solver,
64 usage (also: settings that are wrong), 130 interrupted.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from credit_portfolio.errors import (
    CreditPortfolioError,
    DataError,
    InfeasibleError,
    MissingDependencyError,
    ModelError,
    OutputError,
    SolverError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from credit_portfolio.settings import Settings

# What an error is called on the command line, and the exit code that goes with it.
_ENDINGS: dict[type[CreditPortfolioError], tuple[str, int]] = {
    DataError: ("data", 1),
    OutputError: ("output", 1),
    InfeasibleError: ("infeasible", 2),
    SolverError: ("solver", 3),
    MissingDependencyError: ("missing", 3),
    ModelError: ("usage", 64),
}
_USAGE = 64
_INTERRUPTED = 130
_SHOWN_FAILURES = 10


class _InterruptedError(Exception):
    """Ctrl-C, in a form that Typer leaves to us: its own way with it depends on its version."""


class _Commands(TyperGroup):
    """The commands; an interrupt within any of them comes out as ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, RuntimeError) as error:
            from credit_portfolio.job import is_interrupt

            if is_interrupt(error):
                raise _InterruptedError from error
            raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Credit limits and receivables as a portfolio.",
    epilog="Exit codes: 0 done, 1 data, 2 infeasible, 3 solver, 64 usage, 130 interrupted.",
)

Invoices = Annotated[Path, typer.Argument(help="Ledger of invoices: CSV (.gz too) or Parquet.")]
Statements = Annotated[Path, typer.Argument(help="Statements of the customers: CSV (.gz too).")]
File = Annotated[Path | None, typer.Option("--settings", help="TOML file; options win over it.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the results.")]
Profile = Annotated[str | None, typer.Option(help="Shape of the ledger: canonical, ibm.")]
AsOf = Annotated[str | None, typer.Option(help="Day of the picture, YYYY-MM-DD.")]
Currency = Annotated[str | None, typer.Option(help="Take only the invoices of this currency.")]
Separator = Annotated[str | None, typer.Option(help="Column separator of the CSV.")]
Decimal = Annotated[str | None, typer.Option(help="Decimal mark of the CSV: . or ,")]
DateFormat = Annotated[str | None, typer.Option(help="Format of dates, as %d.%m.%Y.")]


@app.command()
def allocate(
    invoices: Invoices,
    statements: Annotated[
        Path | None, typer.Option(help="Statements of the customers (CSV); no limits without.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Total credit in money; today's exposure by default.")
    ] = None,
    out: Out = None,
    settings: File = None,
    profile: Profile = None,
    as_of: AsOf = None,
    currency: Currency = None,
    separator: Separator = None,
    decimal: Decimal = None,
    date_format: DateFormat = None,
    statements_separator: Annotated[
        str | None, typer.Option(help="Column separator of the statements.")
    ] = None,
    statements_decimal: Annotated[
        str | None, typer.Option(help="Decimal mark of the statements: . or ,")
    ] = None,
    statements_date_format: Annotated[
        str | None, typer.Option(help="Format of dates in the statements.")
    ] = None,
    markup: Annotated[
        str | None, typer.Option(help="Markup on cost (0.25), or a column that holds it.")
    ] = None,
    funding_rate: Annotated[float | None, typer.Option(help="Cost of funds per year.")] = None,
    period: Annotated[str | None, typer.Option(help="month, quarter or year.")] = None,
    maturity_days: Annotated[
        int | None, typer.Option(help="Days after its end until a period counts.")
    ] = None,
    min_periods: Annotated[int | None, typer.Option(help="Fewest periods of a customer.")] = None,
    intervals: Annotated[
        str | None, typer.Option(help="Edges of the return intervals: -1,0,0.15,0.25")
    ] = None,
    good_from: Annotated[int | None, typer.Option(help="First good interval, from 0.")] = None,
    targets: Annotated[
        str | None, typer.Option(help="no_worse, or bounds per interval: 0=0.01,4=0.6")
    ] = None,
    outside: Annotated[
        str | None, typer.Option(help="Returns outside the edges: error or clip.")
    ] = None,
    risk_model: Annotated[str | None, typer.Option(help="ledoit_wolf or sample.")] = None,
    max_share: Annotated[float | None, typer.Option(help="Largest share of a customer.")] = None,
    unit: Annotated[float | None, typer.Option(help="Round amounts to multiples of it.")] = None,
    solver: Annotated[str | None, typer.Option(help="auto, clarabel, or any in cvxpy.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest relative residual.")] = None,
) -> None:
    """Share a budget of credit among the customers of a ledger."""
    from credit_portfolio import job

    chosen = _settings(
        settings,
        ledger=_ledger_options(profile, as_of, currency, separator, decimal, date_format),
        statements={
            "separator": statements_separator,
            "decimal": statements_decimal,
            "date_format": statements_date_format,
        },
        returns={
            "markup": _number_or_text(markup),
            "funding_rate": funding_rate,
            "period": period,
            "maturity_days": maturity_days,
            "min_periods": min_periods,
        },
        model={
            "intervals": _numbers("--intervals", intervals),
            "good_from": good_from,
            "targets": _targets(targets),
            "outside": outside,
            "risk_model": risk_model,
            "budget": budget,
            "max_share": max_share,
            "unit": unit,
            "solver": solver,
            "tolerance": tolerance,
        },
    )
    with _progress() as show:
        allocation = job.allocate(invoices, statements, chosen, out, progress=show)
    typer.echo(allocation)
    _say_where(out)


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
    with job.results_folder(out) as folder, _progress() as show:
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
    _say_where(out)


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
    chosen = _settings(settings, statements=options)
    day = as_of or chosen.ledger.as_of
    with job.results_folder(out) as folder:
        with _progress() as show:
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
    _say_where(folder)


@app.command()
def quality(
    invoices: Invoices,
    out: Out = None,
    settings: File = None,
    profile: Profile = None,
    as_of: AsOf = None,
    currency: Currency = None,
    separator: Separator = None,
    decimal: Decimal = None,
    date_format: DateFormat = None,
) -> None:
    """Check every row of a ledger; say what was rejected, why, and how much money it is."""
    from credit_portfolio import job
    from credit_portfolio.export import write_csv

    options = _ledger_options(profile, as_of, currency, separator, decimal, date_format)
    chosen = _settings(settings, ledger=options)
    with job.results_folder(out) as folder:
        with _progress() as show:
            show("reading the ledger")
            ledger = job.read_ledger(invoices, chosen)
        if folder is not None:
            write_csv(ledger.quality.rules, folder / "quality.csv", index=False)
            job.write_rejected(ledger.quality.rejected, folder / "rejected.csv")
    typer.echo(ledger.quality)
    _say_where(folder)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        from credit_portfolio.version import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line and turn errors into exit codes."""
    try:
        app()
    except CreditPortfolioError as error:
        word, code = _ending(error)
        typer.echo(f"{word}: {error}", err=True)
        _show_failures(error)
        sys.exit(code)
    except (_InterruptedError, KeyboardInterrupt):
        typer.echo("interrupted; no half-written file is left", err=True)
        sys.exit(_INTERRUPTED)
    except SystemExit as stop:
        # The only exit 2 that comes from within is Typer's own, for wrong usage.
        sys.exit(_USAGE if stop.code == 2 else stop.code)


def _ending(error: CreditPortfolioError) -> tuple[str, int]:
    """Return the word and the exit code of an error."""
    found = (ending for kind, ending in _ENDINGS.items() if isinstance(error, kind))
    return next(found, ("error", 1))


def _show_failures(error: CreditPortfolioError) -> None:
    failures = getattr(error, "failures", None)
    if failures is None or failures.empty:
        return
    typer.echo(failures.head(_SHOWN_FAILURES).to_string(index=False), err=True)
    if len(failures) > _SHOWN_FAILURES:
        typer.echo(f"… and {len(failures) - _SHOWN_FAILURES:,} more", err=True)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show the stage at work on stderr: a spinner on a terminal, plain lines elsewhere."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        started = time.perf_counter()
        yield lambda stage: typer.echo(f"{time.perf_counter() - started:7.1f} s  {stage}", err=True)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        current: list[Any] = []

        def show(stage: str) -> None:
            for task in current:
                bar.update(task, total=1, completed=1)
            current[:] = [bar.add_task(stage, total=None)]

        yield show
        for task in current:
            bar.update(task, total=1, completed=1)


def _settings(file: Path | None, **options: dict[str, Any]) -> Settings:
    from credit_portfolio.settings import Settings

    base = Settings() if file is None else Settings.from_toml(file)
    return base.changed(options)


def _ledger_options(
    profile: str | None,
    as_of: str | None,
    currency: str | None,
    separator: str | None,
    decimal: str | None,
    date_format: str | None,
) -> dict[str, Any]:
    return {
        "profile": profile,
        "as_of": as_of,
        "currency": currency,
        "separator": separator,
        "decimal": decimal,
        "date_format": date_format,
    }


def _number_or_text(text: str | None) -> float | str | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ModelError(
            f"{option} is {text!r}; expected numbers with commas between, as -1,0,0.15,0.25"
        ) from error


def _targets(text: str | None) -> str | dict[str, float] | None:
    if text is None or "=" not in text:
        return text
    bounds = {}
    for part in text.split(","):
        interval, _, bound = part.partition("=")
        value = _numbers("--targets", bound)
        bounds[interval.strip()] = value[0] if value else 0.0
    return bounds


def _say_where(folder: Path | None) -> None:
    if folder is not None:
        files = sorted(path.name for path in folder.iterdir() if path.is_file())
        typer.echo(f"\nwritten to {folder}: {', '.join(files)}", err=True)
