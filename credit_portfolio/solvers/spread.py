"""The method of ``dual_newton`` over pieces of a program that are held elsewhere.

Each question is asked of all pieces at once, and is answered by messages of the size of K Kᵀ or of
the few customers near the edge; what comes together is of size k + q. Who carries question and
answers, and holds the pieces, is not known here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import sparse

from credit_portfolio.program.certificate import (
    Certificate,
    Levels,
    Slopes,
    admissible,
    conclude,
    measure_levels,
    measure_slopes,
)
from credit_portfolio.program.columns import Columns, workers
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers.ascent import (
    LEAST_NEAR,
    NARROWER,
    approach,
    in_doubt,
    moved,
    newton,
)
from credit_portfolio.solvers.dual_newton import (
    ROUNDS,
    SAMPLE,
    SAMPLE_TOLERANCE,
    SEED,
    SMALL,
    SMOOTH,
    WRONG_SIDE,
)
from credit_portfolio.solvers.interior_point import interior_point
from credit_portfolio.solvers.parts import given_others, settle, taken
from credit_portfolio.solvers.response import (
    BAND,
    Doubt,
    Response,
    along,
    bound_slopes,
    distance_of,
    nearest,
    respond,
    responds,
    share_at,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]
    Recipe = tuple[Vector, Index | None, Vector | None]


class Ask(Protocol):
    """Asks all pieces the same question; ``sizes`` are their numbers of customers."""

    @property
    def sizes(self) -> list[int]:
        """Numbers of customers of the pieces."""

    def __call__(
        self,
        name: str,
        work: Callable[..., Any],
        *common: Any,
        each: Sequence[tuple[Any, ...]] | None = None,
    ) -> list[Any]:
        """Return ``work(piece, *common, *each[number])`` for each piece, in order."""


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """Shares without the shares: how every piece can work out its own.

    Customers ``inside`` a piece have the shares given; all others, or all without ``inside``, the
    shares that follow from ``nu``.
    """

    nu: Vector
    y: Vector
    inside: list[Index] | None = None
    given: list[Vector] | None = None

    def recipes(self, count: int) -> list[Recipe]:
        """Return what ``shares`` needs in each of the pieces."""
        if self.inside is None or self.given is None:
            return [(self.nu, None, None)] * count
        return [(self.nu, at, w) for at, w in zip(self.inside, self.given, strict=True)]


# --- where the answers come together ------------------------------------------------------------


def find(ask: Ask, frame: CreditProgram, tolerance: float) -> tuple[Found | None, str]:
    """Solve a program: what was found, if anything, and a sentence about it.

    Parameters
    ----------
    ask : Ask
    frame : CreditProgram
        Of which only the bounds of the rows and the number of factors are read.
    tolerance : float
    """
    n, k, q = sum(ask.sizes), frame.n_factors, frame.n_rows
    if n <= SMALL:
        found = _sift(ask, frame, np.zeros(k + q), Doubt.none(q), float(n), tolerance)
        return found or (None, f"the interior point on all {n:,} customers found no feasible point")
    if not all(ask("survey", responds)):
        return None, (
            "customers with neither variance nor bounds of their own have no share at given "
            "multipliers; bound their shares, or take 'interior_point' on one machine"
        )
    start = _from_sample(ask, frame)
    if start is None:
        return None, "the sample of the customers has no solution; nothing may be feasible"
    nu, doubt = start
    book = _Book(ask, frame)
    nu = moved(frame, nu, np.zeros_like(nu), 0.0)
    seen = book.see(nu, doubt, BAND / NARROWER)
    if seen.between >= SMOOTH * n:
        settled = newton(book, nu, seen, 0.1 * tolerance)
        if settled is not None:
            nu, steps = settled
            part = f"{seen.between / n:.0%} between their bounds"
            return Found(nu, nu[k:]), f"dual Newton settled after {steps} steps ({part})"
    if 2 * seen.between <= n // 2:
        nu, doubt, fraction = approach(book, nu, seen, doubt)
        found = _sift(ask, frame, nu, doubt, in_doubt(fraction, n), tolerance)
        if found is not None:
            return found
    return None, (
        f"neither sifting nor Newton settled, with {seen.between:,} of {n:,} customers between "
        "their bounds; 'interior_point' on one machine needs no luck"
    )


class _Book:
    """The customers of all pieces, to be asked as ``ascent`` asks."""

    def __init__(self, ask: Ask, frame: CreditProgram) -> None:
        self.ask, self.frame, self.n = ask, frame, sum(ask.sizes)

    def see(self, nu: Vector, doubt: Doubt | None, fraction: float) -> Response:
        parts = self.ask("look", _respond, nu, doubt, fraction)
        return Response.of_all(parts, self.ask.sizes)

    def along(self, nu: Vector, turn: Vector, lengths: Vector) -> Vector:
        return np.asarray(sum(self.ask("lengths", _along, nu, turn, lengths)))


def _from_sample(ask: Ask, frame: CreditProgram) -> tuple[Vector, Doubt] | None:
    n = sum(ask.sizes)
    counts = [min(m, math.ceil(SAMPLE * m / n)) for m in ask.sizes]
    parts = ask("sample", _sample, each=list(zip(counts, range(len(counts)), strict=True)))
    sample = _joined(parts, frame)
    with workers(sample.n_customers) as pool:
        columns = Columns(sample, pool)
        w, y, said, _ = interior_point(sample, columns, SAMPLE_TOLERANCE)
        if said != "converged":
            return None
        nu = np.concatenate([2.0 * (sample.factors @ w), y])
        return nu, Doubt.at(sample, columns.pull(nu) + sample.linear, y)


def _joined(parts: list[CreditProgram], frame: CreditProgram) -> CreditProgram:
    def row(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts], axis=-1)

    dense = all(isinstance(part.rows, np.ndarray) for part in parts)
    blocks: Any = [part.rows for part in parts]
    stacked: Any = row("rows") if dense else sparse.hstack(blocks, "csr")
    return CreditProgram(
        factors=row("factors"),
        idiosyncratic=row("idiosyncratic"),
        linear=row("linear"),
        rows=stacked,
        row_lower=frame.row_lower,
        row_upper=frame.row_upper,
        lower=row("lower"),
        upper=row("upper"),
    )


def _sift(
    ask: Ask, frame: CreditProgram, nu: Vector, doubt: Doubt, near: float, tolerance: float
) -> tuple[Found, str] | None:
    """Solve for the customers near the edge, the others held at their bounds, until none moves."""
    n, k = sum(ask.sizes), frame.n_factors
    least = LEAST_NEAR * nu.size + 1
    near = max(float(least), near)
    before: Found | None = None
    rounding = 0.0
    said: list[str] = []
    for _ in range(ROUNDS + 1):
        counts = [min(m, math.ceil(near * m / n)) for m in ask.sizes]
        earlier: list[tuple[Any, Any]] = [(None, None)] * len(counts)
        if before is not None and before.inside is not None:
            earlier = [(before.nu, at) for at in before.inside]
        each = [(count, *held) for count, held in zip(counts, earlier, strict=True)]
        looks: list[_Look] = ask("sift", _look, nu, doubt, rounding, each=each)
        if before is not None and sum(look.wrong for look in looks) == 0:
            return before, f"sifting settled on {' then '.join(said)} customers"
        rounding = WRONG_SIDE * max(look.steepest for look in looks)
        size = sum(look.inside.size for look in looks)
        if size > n // 2 and n > SMALL:
            return None
        solved = _inner(looks, frame, nu, tolerance)
        if solved is None:
            if size == n:
                return None
            near *= 4.0
            continue
        w, after = solved
        edges = np.cumsum([look.inside.size for look in looks])[:-1]
        given = list(np.split(w, edges))
        before = Found(nu, after[k:], [look.inside for look in looks], given)
        nu = after
        said.append(f"{size:,}")
        if size == n:  # nobody is held, so nobody can be on the wrong side
            return before, f"the interior point settled on all {n:,} customers"
        near = max(float(least), near / 2)
    return None


def _inner(
    looks: list[_Look], frame: CreditProgram, nu: Vector, tolerance: float
) -> tuple[Vector, Vector] | None:
    """Best shares of the customers inside, given those of all others: (their shares, ν)."""
    k, others = frame.n_factors, np.asarray(sum(look.pushed for look in looks))
    inner = given_others(_joined([look.columns for look in looks], frame), others)
    guess = np.concatenate([look.given for look in looks])
    with workers(inner.n_customers) as pool:
        found = settle(inner, Columns(inner, pool), guess, nu[k:], tolerance)
    if found is None:
        return None
    w, exposure, y = found
    return w, np.concatenate([2.0 * (others[:k] + exposure), y])


def certify_spread(
    ask: Ask, frame: CreditProgram, found: Found, tolerance: float
) -> tuple[Certificate, Levels, Vector]:
    """Prove what was found, as ``certificate.examine`` does, in two questions."""
    recipes = found.recipes(len(ask.sizes))
    y = admissible(found.y, frame.row_lower, frame.row_upper)
    with np.errstate(over="ignore", invalid="ignore"):
        levels = Levels.of_all(ask("certify", _levels, each=recipes))
        slopes = Slopes.of_all(ask("certify", _slopes, levels.exposure, y, each=recipes))
        return conclude(frame, levels, slopes, y, tolerance), levels, y


# --- what is done where a piece is: pure functions ----------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Look:
    """A piece's answer in sifting.

    Who is near (places in the piece), their columns and shares, K w of all others, how many were
    held on the wrong side, and the steepest slope, against which rounding is measured.
    """

    inside: Index
    columns: CreditProgram
    given: Vector
    pushed: Vector
    wrong: int
    steepest: float


def _sample(piece: CreditProgram, size: int, number: int) -> CreditProgram:
    n = piece.n_customers
    chosen = np.random.default_rng((SEED, number)).choice(n, size, replace=False)
    return taken(piece, np.sort(chosen), n / size)


def _respond(piece: CreditProgram, nu: Vector, doubt: Doubt | None, fraction: float) -> Response:
    return respond(piece, Columns(piece), nu, doubt, fraction)


def _along(piece: CreditProgram, nu: Vector, turn: Vector, lengths: Vector) -> Vector:
    return along(piece, Columns(piece), nu, turn, lengths)


class _Sides:
    """Where multipliers press each customer of a piece."""

    def __init__(self, piece: CreditProgram, columns: Columns, nu: Vector) -> None:
        self.slope = columns.pull(nu)
        self.slope += piece.linear
        self.own = 2.0 * piece.idiosyncratic
        self.at_lower, self.at_upper = bound_slopes(self.slope, self.own, piece.lower, piece.upper)
        self.shares = share_at(self.slope, self.own, piece.lower, piece.upper)

    def wrong(self, low: Any, high: Any, rounding: float) -> Index:
        leaves = (low & (self.at_lower < -rounding)) | (high & (self.at_upper > rounding))
        return np.flatnonzero(leaves)


def _look(
    piece: CreditProgram,
    nu: Vector,
    doubt: Doubt,
    rounding: float,
    near: int,
    held_by: Vector | None,
    held_inside: Index | None,
) -> _Look:
    columns = Columns(piece)
    sides = _Sides(piece, columns, nu)
    wrong = np.empty(0, dtype=np.intp)
    if held_by is not None and held_inside is not None:
        before = _Sides(piece, columns, held_by)
        low, high = before.at_lower >= 0, before.at_upper <= 0
        low[held_inside] = high[held_inside] = False
        wrong = sides.wrong(low, high, rounding)
    distance = distance_of(sides.at_lower, sides.at_upper)
    size = max(near, 2 * int((distance == 0).sum()), 2 * wrong.size)
    inside: Index = np.arange(columns.n)
    if size < columns.n:
        inside = np.union1d(nearest(distance, doubt.over(columns), size), wrong)
    w = sides.shares
    given = w[inside]
    w[inside] = 0.0
    return _Look(
        inside=inside,
        columns=taken(piece, inside),
        given=given,
        pushed=columns.push(w),
        wrong=int(wrong.size),
        steepest=float(np.abs(sides.slope).max()),
    )


def shares(piece: CreditProgram, nu: Vector, inside: Index | None, given: Vector | None) -> Vector:
    """Return a piece's shares, from its part of ``Found.recipes``."""
    w = _Sides(piece, Columns(piece), nu).shares
    if inside is not None and given is not None:
        w[inside] = given
    return w


def _levels(piece: CreditProgram, nu: Vector, inside: Index | None, given: Vector | None) -> Levels:
    return measure_levels(piece, Columns(piece), shares(piece, nu, inside, given))


def _slopes(
    piece: CreditProgram,
    exposure: Vector,
    y: Vector,
    nu: Vector,
    inside: Index | None,
    given: Vector | None,
) -> Slopes:
    w = shares(piece, nu, inside, given)
    return measure_slopes(piece, Columns(piece), w, exposure, y)[0]
