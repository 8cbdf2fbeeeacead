"""Conditions that no convex program can state, as data over one that can.

A ``CreditProgram`` is widened by four things, all of them made of min(x_i, κ):

kinks
    A row may hold terms weight · min(x_i, κ). A negative weight is convex in a row with an upper
    bound only; a positive one is not.
reached
    A level (a number or a variable) is reached by one customer of several: level ≤ max_i g_i(x_i)
    with g_i(x) = weight_i · min(x, κ_i). That is a choice of i.
ceilings
    A variable is above all of several: g_i(x_i) ≤ x_t for each i.
least
    A share is zero or at least so much: the minimum line.

Nothing here solves anything: ``solvers/branching.py`` does, with a proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError
from credit_portfolio.program.program import CreditProgram

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]

CONSTANT = -1


@dataclass(frozen=True, eq=False, slots=True)
class Kinks:
    """Terms weight · min(x_column, at) that rows of the program hold beside their linear part.

    Attributes
    ----------
    row, column : ndarray of int, shape (n_terms,)
    at : ndarray, shape (n_terms,)
        κ > 0, where the term stops growing.
    weight : ndarray, shape (n_terms,)
    """

    row: Index
    column: Index
    at: Vector
    weight: Vector

    @classmethod
    def none(cls) -> Kinks:
        """No terms."""
        nothing, empty = np.zeros(0, dtype=np.intp), np.zeros(0)
        return cls(nothing, nothing, empty, empty)


@dataclass(frozen=True, eq=False, slots=True)
class Peak:
    """max_i weight_i · min(x_i, κ_i) over some columns, and a level to hold it against.

    Attributes
    ----------
    name : str
        For messages.
    columns : ndarray of int, shape (m,)
    weights : ndarray, shape (m,)
        Above zero.
    at : ndarray, shape (m,)
        κ_i; +inf for a term without a kink.
    variable : int
        The column that is the level, or ``CONSTANT``.
    level : float
        The level where it is a number.
    """

    name: str
    columns: Index
    weights: Vector
    at: Vector
    variable: int = CONSTANT
    level: float = 0.0

    def terms(self, x: Vector) -> Vector:
        """Return weight_i · min(x_i, κ_i), shape (m,)."""
        return self.weights * np.minimum(x[self.columns], self.at)

    def height(self, x: Vector) -> float:
        """Return the largest of the terms, 0 where there are none."""
        return float(self.terms(x).max(initial=0.0))

    def level_at(self, x: Vector) -> float:
        """Return the level that x asks for."""
        return self.level if self.variable == CONSTANT else float(x[self.variable])


@dataclass(frozen=True, eq=False, slots=True)
class Alternatives:
    """A program with conditions that branch.

    Attributes
    ----------
    program : CreditProgram
        Its first ``n_shares`` columns are shares, the rest levels without risk or cost.
    n_shares : int
    kinks : Kinks
        Terms in rows of the program, which have no lower bound.
    reached, ceilings : tuple of Peak
    least : ndarray, shape (n_columns,)
        A column is zero or at least this; 0 where any share will do.
    """

    program: CreditProgram
    n_shares: int
    kinks: Kinks
    reached: tuple[Peak, ...]
    ceilings: tuple[Peak, ...]
    least: Vector

    def __post_init__(self) -> None:
        n = self.program.n_customers
        if (self.program.lower < 0).any():
            first = int(np.argmax(self.program.lower < 0))
            raise ModelError(
                f"the lower bound of column {first} is {self.program.lower[first]}; expected 0 or "
                "more wherever conditions branch; shares of credit are not negative"
            )
        if self.least.shape != (n,):
            raise ModelError(
                f"the minimum line has shape {self.least.shape}; expected ({n},), one number a "
                "column, 0 for none"
            )
        if np.isfinite(self.program.row_lower[self.kinks.row]).any():
            raise ModelError("a row with kinks has a lower bound; write it as two rows")

    @property
    def convex(self) -> bool:
        """Whether nothing needs a branch: no choice, minimum line, or kink of positive weight."""
        single = all(peak.columns.size == 1 for peak in self.reached)
        level = all(np.isinf(peak.at).all() for peak in self.ceilings)
        return not (self.least.any() or (self.kinks.weight > 0).any()) and single and level


def plain(program: CreditProgram) -> Alternatives:
    """Return a program without any condition that branches, as one that could have some."""
    n = program.n_customers
    return Alternatives(program, n, Kinks.none(), (), (), np.zeros(n))


def with_minimum_line(stated: CreditProgram | Alternatives, least: ArrayLike) -> Alternatives:
    """Ask of each share that it is zero or at least so much.

    Parameters
    ----------
    stated : CreditProgram or Alternatives
    least : array_like, shape (n_shares,) or scalar
        x_i in fractions of the budget; 0 for a customer without a minimum line.

    Returns
    -------
    Alternatives

    Raises
    ------
    ModelError
        For a minimum line that is negative, not finite, or of another length.

    Examples
    --------
    >>> program = CreditProgram(idiosyncratic=[1, 1], rows=[[1, 1]], row_lower=1, row_upper=1)
    >>> with_minimum_line(program, 0.6).least
    array([0.6, 0.6])
    """
    stated = plain(stated) if isinstance(stated, CreditProgram) else stated
    given = np.asarray(least, dtype=np.float64)
    if given.ndim > 1 or (given.ndim == 1 and given.size != stated.n_shares):
        raise ModelError(
            f"the minimum line has shape {given.shape}; expected one number, or one for each of "
            f"the {stated.n_shares:,} shares"
        )
    if not ((given >= 0) & (given < np.inf)).all():
        raise ModelError("the minimum line has an entry that is negative, NaN or infinite")
    whole = np.zeros(stated.program.n_customers)
    whole[: stated.n_shares] = given
    return replace(stated, least=np.maximum(whole, stated.least))


def completed(stated: Alternatives, w: Vector) -> Vector:
    """Return the columns that go with some shares: the levels at the heights of their peaks."""
    x = np.zeros(stated.program.n_customers)
    x[: stated.n_shares] = w
    for peak in (*stated.reached, *stated.ceilings):
        if peak.variable != CONSTANT:
            x[peak.variable] = peak.height(x)
    return x


def activity(stated: Alternatives, x: Vector) -> Vector:
    """Return the rows' values at x, kinks included."""
    values = stated.program.activity(x)
    kinks = stated.kinks
    terms = kinks.weight * np.minimum(x[kinks.column], kinks.at)
    return values + np.bincount(kinks.row, weights=terms, minlength=values.size)


def violation(stated: Alternatives, x: Vector) -> float:
    """By how much x misses its conditions: the largest miss, relative to the size of its terms."""
    program, kinks = stated.program, stated.kinks
    share = float(np.abs(x[: stated.n_shares]).max(initial=0.0)) or 1.0
    worst = float(np.maximum(program.lower - x, x - program.upper).max()) / share
    values = activity(stated, x)
    sizes = np.asarray(abs(program.rows) @ np.abs(x))
    terms = np.abs(kinks.weight) * np.minimum(x[kinks.column], kinks.at)
    sizes = sizes + np.bincount(kinks.row, weights=terms, minlength=sizes.size)
    missed = np.maximum(program.row_lower - values, values - program.row_upper)
    if missed.size:
        largest = np.maximum(sizes, np.abs(np.where(missed > 0, values, 1.0)))
        worst = max(worst, float((missed / np.where(largest > 0, largest, 1.0)).max()))
    for peak in stated.reached:
        level = peak.level_at(x)
        worst = max(worst, (level - peak.height(x)) / (abs(level) or 1.0))
    for peak in stated.ceilings:
        height = peak.height(x)
        worst = max(worst, (height - peak.level_at(x)) / (height or 1.0))
    apart = np.minimum(x, stated.least - x)
    return max(worst, float(apart.max(initial=0.0)) / share, 0.0)
