"""The command line; it has no logic of its own.

Exit codes: 0 done, 1 data (also: a result that cannot be written), 2 infeasible, 3 solver,
64 usage (also: settings that are wrong), 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from credit_portfolio.cli import book, ledger, studies  # loaded, their commands are there
from credit_portfolio.cli.app import InterruptedCommandError, app
from credit_portfolio.cli.sources import options_of
from credit_portfolio.errors import (
    CreditPortfolioError,
    DataError,
    InfeasibleError,
    MissingDependencyError,
    ModelError,
    OutputError,
    SolverError,
)

__all__ = ["app", "book", "ledger", "main", "studies"]

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


def main() -> None:
    """Run the command line and turn errors into exit codes."""
    try:
        app()
    except CreditPortfolioError as error:
        word, code = _ending(error)
        if isinstance(error, InfeasibleError) and error.explanation is not None:
            from credit_portfolio.cli.answers import show_conflict

            show_conflict(error.explanation)
        else:
            typer.echo(f"{word}: {error}", err=True)
            command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
            if hint := options_of(str(error), command):
                typer.echo(hint, err=True)
            _show_failures(error)
        sys.exit(code)
    except (InterruptedCommandError, KeyboardInterrupt):
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
