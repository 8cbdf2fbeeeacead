"""Everything the package raises on purpose, and what the caller can do about it.

::

    CreditPortfolioError
    ├── DataError                the input is wrong: mend the file; ``failures`` lists every row
    ├── ModelError               the specification is wrong: mend the arguments
    ├── InfeasibleError          no answer exists: relax a target, cap, floor or the budget
    ├── SolverError              an answer may exist but was not reached: other solver or options
    ├── OutputError              the result could not be written: another place, or free space
    └── MissingDependencyError   an optional part is not installed: run the command it names

A message says what was found, what was expected, where, and what to do. A wrong argument *type*
stays the built-in ``TypeError``. Repeating a call unchanged never helps, except for OutputError.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from credit_portfolio.explain import Explanation
    from credit_portfolio.program.certificate import Certificate


class CreditPortfolioError(Exception):
    """Root of every error that this package raises on purpose."""


class DataError(CreditPortfolioError):
    """The input data are wrong; mend them and call again.

    Parameters
    ----------
    message : str
        What was found, what was expected, where, what to do.
    failures : pandas.DataFrame, optional
        Every offending row or cell, not only the ones that the message names.
    """

    def __init__(self, message: str, failures: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.failures = failures


class ModelError(CreditPortfolioError):
    """The specification is wrong or contradicts itself; mend the arguments."""


class InfeasibleError(CreditPortfolioError):
    """No allocation meets all the conditions together; relax one that the message names.

    Parameters
    ----------
    message : str
        The conditions that conflict, with the numbers.
    conflict : tuple of str
        Names of the rows and bounds that cannot hold together.
    shortfall : float, optional
        How much is missing, in money, when the budget is above the sum of the limits.
    explanation : Explanation, optional
        What conflicts, how far each condition would have to move alone, and the nearest bounds
        that can be met; see ``explain_infeasibility``.
    """

    def __init__(
        self,
        message: str,
        conflict: tuple[str, ...] = (),
        shortfall: float | None = None,
        explanation: Explanation | None = None,
    ) -> None:
        super().__init__(message)
        self.conflict = conflict
        self.shortfall = shortfall
        self.explanation = explanation


class SolverError(CreditPortfolioError):
    """The solver stopped short of a certified answer; try another solver or other options.

    Parameters
    ----------
    message : str
        Which solver, what it said, and the residuals that were seen.
    certificate : Certificate, optional
        The residuals of the point that was refused.
    """

    def __init__(self, message: str, certificate: Certificate | None = None) -> None:
        super().__init__(message)
        self.certificate = certificate


class OutputError(CreditPortfolioError):
    """A result could not be written; choose another place or free space, then repeat."""


class MissingDependencyError(CreditPortfolioError, ImportError):
    """An optional package is not installed; the message has the command that installs it."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for a near miss, else an empty string.

    >>> did_you_mean("quater", ["month", "quarter", "year"])
    " Did you mean 'quarter'?"
    """
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def listing(names: Iterable[object], most: int = 5) -> str:
    """Name the first few of many, and count the rest.

    >>> listing(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    shown = [repr(name) for name in names]
    if len(shown) <= most:
        return ", ".join(shown)
    return f"{', '.join(shown[:most])} and {len(shown) - most:,} more"
