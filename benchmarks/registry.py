"""The programs that the benchmarks solve: frozen descriptions, and data made from a seed.

Nothing is drawn to suit a solver. A panel of returns is made as a book would show it, and goes
through the package's own interval counts and covariance, so that the program is the one that
``CreditPortfolio`` would state. Two families differ in how much the customers move together:

common
    One factor moves most customers. The shrunk covariance keeps it, and almost every customer
    ends at a bound.
idiosyncratic
    Hardly any common movement. Shrinkage is strong, and most customers end between their bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.evaluation.matrix import evaluation_matrix
from credit_portfolio.evaluation.targets import Targets
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.risk.estimators import ledoit_wolf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

INTERVALS = ReturnIntervals([-1.0, 0.0, 0.15, 0.2, 0.23, 0.24, 0.25], good_from=4)
# Markup 25 %; what a payment on time leaves after funding.
MARKUP, ON_TIME = 0.25, 0.245
MISSING, TROUBLED = 0.1, 0.01
# Customers whose panel is made at a time; 36 periods of them are 29 MB.
BLOCK = 100_000
# No customer of today's book holds more than this many times the mean, so that today's shares lie
# within caps of 5/n and every target can be met.
LARGEST_TODAY = 4.0


@dataclass(frozen=True, slots=True)
class Spec:
    """One program, up to the last bit.

    Attributes
    ----------
    name : str
    n_customers, n_periods : int
    common : float
        Part of a customer's movement, 0 to 1, that the common factor has on the average.
    cap : float
        Upper bound of each share, in units of 1/n; lognormal ones have it as their median.
    caps : {"equal", "lognormal"}
    groups : int
        Group rows beside the six interval rows and the budget: each holds a random group to at
        most 1.1 times today's share.
    seed : int
    """

    name: str
    n_customers: int
    n_periods: int = 36
    common: float = 0.9
    cap: float = 5.0
    caps: str = "equal"
    groups: int = 0
    seed: int = 1

    @property
    def bytes(self) -> int:
        """Size of the program's own arrays: F, the rows, D, c and both bounds."""
        rows = INTERVALS.n_intervals + 1 + self.groups
        return 8 * self.n_customers * (self.n_periods + rows + 4)


SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
COMMON = {"common": 0.9, "idiosyncratic": 0.02}


def _short(n: int) -> str:
    return f"{n // 1_000_000}m" if n >= 1_000_000 else f"{n // 1000}k" if n >= 1000 else str(n)


SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in [
        *(
            Spec(f"{family}-{_short(n)}", n, common=common)
            for family, common in COMMON.items()
            for n in SIZES
        ),
        # Between the everyday book and the large one: what the check of ratios runs.
        *(Spec(f"{family}-30k", 30_000, common=common) for family, common in COMMON.items()),
        Spec("lognormal-100k", 100_000, common=0.5, cap=3.0, caps="lognormal"),
        Spec("groups-10k", 10_000, common=0.5, groups=30),
    ]
}


def program(spec: Spec) -> CreditProgram:
    """Make the program, block by block: beside its own arrays it needs some 200 MB.

    Parameters
    ----------
    spec : Spec
    """
    n, m, k = spec.n_customers, spec.n_periods, INTERVALS.n_intervals
    factors = np.empty((m, n))
    rows = np.empty((k + 1 + spec.groups, n))
    today, upper = np.empty(n), np.empty(n)
    movement = np.random.default_rng([spec.seed, 0]).standard_normal(m)
    blocks = [slice(first, min(n, first + BLOCK)) for first in range(0, n, BLOCK)]
    shrunk = []
    for number, at in enumerate(blocks):
        rng = np.random.default_rng([spec.seed, 1 + number])
        returns = panel(spec, movement, at.stop - at.start, rng)
        model = ledoit_wolf(returns)
        factors[:, at] = model.factors
        shrunk.append((model.shrinkage, float(model.idiosyncratic[0])))
        rows[:k, at] = evaluation_matrix(returns, INTERVALS).values.T
        size = rng.lognormal(0.0, 1.0, at.stop - at.start)
        today[at] = np.minimum(size, LARGEST_TODAY * np.exp(0.5))
        spread = rng.lognormal(0.0, 1.0, size.size) if spec.caps == "lognormal" else 1.0
        upper[at] = spec.cap / n * spread
        _groups(rows[k + 1 :, at], rng)
    rows[k] = 1.0
    idiosyncratic = _joined(factors, blocks, shrunk)
    today = np.minimum(today / today.sum(), 0.999 * upper)
    activity = rows @ today / today.sum()
    targets = Targets.no_worse(activity[:k], INTERVALS)
    free = np.full(spec.groups, -np.inf)
    return CreditProgram(
        factors=factors,
        idiosyncratic=np.full(n, idiosyncratic),
        rows=rows,
        row_lower=np.concatenate([targets.lower, [1.0], free]),
        row_upper=np.concatenate([targets.upper, [1.0], 1.1 * activity[k + 1 :]]),
        upper=upper,
        row_names=[*INTERVALS.names, "budget", *(f"group {g}" for g in range(spec.groups))],
    )


def panel(spec: Spec, movement: Vector, n: int, rng: np.random.Generator) -> Matrix:
    """Draw returns of n customers: mostly paid late by a little, now and then lost in part.

    Parameters
    ----------
    spec : Spec
    movement : ndarray, shape (n_periods,)
        The common factor.
    n : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n_periods, n)
        In [−1, 0.25], NaN where there was no sale.
    """
    m = movement.size
    part = np.clip(spec.common * rng.uniform(0.5, 1.5, n), 0.0, 1.0)
    own = rng.standard_normal((m, n))
    moved = part * movement[:, None] + np.sqrt(1.0 - part**2) * own
    # How late a customer is and how much that swings are his own: a slow clerk can be regular.
    late = rng.lognormal(np.log(0.02), 0.8, n)
    swing = rng.lognormal(np.log(0.02), 0.6, n)
    returns = ON_TIME - late - swing * moved
    # One customer in a hundred is in trouble: a fifth of his invoices lose a part of their cost.
    troubled = rng.random(n) < TROUBLED
    lost = troubled & (rng.random((m, n)) < 0.2)
    returns = np.where(lost, rng.uniform(-0.6, 0.1, (m, n)), returns)
    returns = np.clip(returns, -1.0, MARKUP)
    absent = rng.random((m, n)) < MISSING
    absent[rng.integers(m, size=n), np.arange(n)] = False
    absent[:2] = False  # two periods for everyone: a variance needs two
    return np.where(absent, np.nan, returns)


def _groups(rows: Matrix, rng: np.random.Generator) -> None:
    """Put each customer into one group: a one in one of the rows."""
    if len(rows):
        rows[:] = 0.0
        rows[rng.integers(len(rows), size=rows.shape[1]), np.arange(rows.shape[1])] = 1.0


def _joined(factors: Matrix, blocks: list[slice], shrunk: list[tuple[float, float]]) -> float:
    """Turn the blocks' own shrinkage into that of all customers; returns δμ, the entries of D.

    Ledoit and Wolf's intensity needs the m × m Gram matrix of all columns, which is the sum of the
    blocks'. It is the formula of ``credit_portfolio.risk.ledoit_wolf``, to which a test holds it;
    one block is left as that made it.
    """
    if len(blocks) == 1:
        return shrunk[0][1]
    m, n = factors.shape
    gram = np.zeros((m, m))
    for at, (delta, _) in zip(blocks, shrunk, strict=True):
        factors[:, at] /= np.sqrt((1.0 - delta) / m)
        gram += factors[:, at] @ factors[:, at].T
    squares = np.diagonal(gram)
    mu = float(squares.sum()) / (m * n)
    norm = float((gram**2).sum()) / m**2
    dispersion = (norm - n * mu**2) / n
    noise = min((float((squares**2).sum()) / m - norm) / (m * n), dispersion)
    delta = noise / dispersion
    for at in blocks:
        factors[:, at] *= np.sqrt((1.0 - delta) / m)
    return delta * mu
