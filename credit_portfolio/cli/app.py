"""What all commands share: the program itself, options, progress, settings."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from typer.core import TyperGroup

from credit_portfolio.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credit_portfolio.settings import Settings


class InterruptedCommandError(Exception):
    """Ctrl-C, in a form that Typer leaves to us: its own way with it depends on its version."""


class _Commands(TyperGroup):
    """The commands; an interrupt within any of them comes out as ours."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Exit:  # the end of --help, which is a RuntimeError and needs nothing of ours
            raise
        except (KeyboardInterrupt, RuntimeError) as error:
            from credit_portfolio.job import is_interrupt

            if is_interrupt(error):
                raise InterruptedCommandError from error
            raise


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Credit limits and receivables as a portfolio.",
    epilog="Exit codes: 0 done, 1 data, 2 infeasible, 3 solver, 64 usage, 130 interrupted.",
)

Statements = Annotated[Path, typer.Argument(help="Statements of the customers: CSV (.gz too).")]
File = Annotated[Path | None, typer.Option("--settings", help="TOML file; options win over it.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the results.")]
LimitsFrom = Annotated[
    Path | None,
    typer.Option("--statements", help="Statements of the customers (CSV); no limits without."),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="CSV of customer_id and columns for --classes and groups, before the ledger's."
    ),
]
Budget = Annotated[
    float | None, typer.Option(help="Total credit in money; today's exposure by default.")
]
Markup = Annotated[
    str | None, typer.Option(help="Markup on cost (0.25), or a column that holds it.")
]
FundingRate = Annotated[float | None, typer.Option(help="Cost of funds per year.")]
PeriodOf = Annotated[str | None, typer.Option(help="month, quarter or year.")]
Intervals = Annotated[
    str | None, typer.Option(help="Edges of the return intervals: -1,0,0.15,0.25")
]
GoodFrom = Annotated[int | None, typer.Option(help="First good interval, from 0.")]
TargetsOf = Annotated[
    str | None, typer.Option("--targets", help="no_worse, or bounds per interval: 0=0.01,4=0.6")
]
Outside = Annotated[str | None, typer.Option(help="Returns outside the edges: error or clip.")]
Smoothing = Annotated[
    str | None, typer.Option(help="Periods that pool or class count for; or: estimated.")
]
Classes = Annotated[
    str | None, typer.Option(help="Column with the classes, or a number of classes to find.")
]
MinReturn = Annotated[
    float | None, typer.Option(help="Least expected return, as a fraction of cost.")
]
Over = Annotated[
    str | None, typer.Option(help="expected_return, budget, or target:<interval>, name or number.")
]
Points = Annotated[int | None, typer.Option(min=2, help="How many; 50 by default.")]
Every = Annotated[str | None, typer.Option(help="A day each month, quarter or year.")]
Horizon = Annotated[
    int | None, typer.Option(min=1, help="Periods over which the shares of a day earn.")
]
LimitsOf = Annotated[
    str | None, typer.Option("--limits", help="then: as each day knew them; now: today's.")
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        from credit_portfolio.version import __version__

        typer.echo(__version__)
        raise typer.Exit


class Show(Protocol):
    """Say which stage begins, or how far one has come."""

    def __call__(self, stage: str, done: int = 0, of: int = 0) -> None:
        """Show it."""


@contextmanager
def progress() -> Iterator[Show]:
    """Show the stage at work on stderr: a spinner on a terminal, plain lines elsewhere."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    current: list[Any] = []
    if not console.is_terminal:
        started = time.perf_counter()

        def say(stage: str, done: int = 0, of: int = 0) -> None:
            if current != [stage]:  # the steps of a stage are for those who watch
                typer.echo(f"{time.perf_counter() - started:7.1f} s  {stage}", err=True)
            current[:] = [stage]

        yield say
        return
    text = TextColumn("{task.fields[stage]}{task.fields[steps]}", markup=False)
    with Progress(SpinnerColumn(), text, TimeElapsedColumn(), console=console) as bar:

        def finish() -> None:
            for _, task in current:
                bar.update(task, total=1, completed=1)

        def show(stage: str, done: int = 0, of: int = 0) -> None:
            steps = f" {done} of {of}" if of else ""
            if current and current[0][0] == stage:
                bar.update(current[0][1], steps=steps)
                return
            finish()
            current[:] = [(stage, bar.add_task("", total=None, stage=stage, steps=steps))]

        yield show
        finish()


def settings_of(file: Path | None, **options: dict[str, Any]) -> Settings:
    """Return the settings of a file, in which the options that were given win."""
    from credit_portfolio.settings import Settings

    base = Settings() if file is None else Settings.from_toml(file)
    return base.changed(options)


def numbers(option: str, text: str | None) -> list[float] | None:
    """Read numbers with commas between.

    Raises
    ------
    ModelError
        Naming the option, for anything else.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ModelError(
            f"{option} is {text!r}; expected numbers with commas between, as -1,0,0.15,0.25"
        ) from error


def number_or_text(text: str | None) -> float | str | None:
    """Read a number where there is one; a whole one stays whole."""
    if text is None:
        return None
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text


def bounds(text: str | None) -> str | dict[str, float] | None:
    """Read targets: a word, or bounds per interval."""
    if text is None or "=" not in text:
        return text
    found = {}
    for part in text.split(","):
        interval, _, bound = part.partition("=")
        value = numbers("--targets", bound)
        found[interval.strip()] = value[0] if value else 0.0
    return found


def say_where(folder: Path | None) -> None:
    """Say which files were written."""
    if folder is not None:
        files = sorted(path.name for path in folder.iterdir() if path.is_file())
        typer.echo(f"\nwritten to {folder}: {', '.join(files)}", err=True)
