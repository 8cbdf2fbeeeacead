"""Programs with many more customers than factors and rows: n ≫ k + q.

Only the k + q multipliers ν of K w, K = [F; A], are unknown, whatever n is (see ``response``). They
are found in three moves, each of a few passes over the customers:

sample
    A small random part of the customers, its bounds scaled up, is a program of its own with nearly
    the same multipliers. An interior point solves it.
Newton
    Steps on the dual of all customers. As long as the multipliers are uncertain, so is who lies
    between his bounds: the Hessian is the one that is expected when everybody near the edge counts
    with his chance of being there. Where a good part lies between, its steps end in the optimum.
sifting
    Where nearly all are at a bound, those far from changing sides stay there, and the interior
    point solves for the few near the edge. Then one pass looks for those on the wrong side; a round
    without any has found the optimum.

Each hands over to the next, and at the end to the interior point on all customers, which needs
more passes but no luck. Programs small enough go there at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.errors import ModelError
from credit_portfolio.program.columns import Columns
from credit_portfolio.solvers.ascent import (
    LEAST_NEAR,
    NARROWER,
    approach,
    in_doubt,
    moved,
    newton,
)
from credit_portfolio.solvers.interior_point import interior_point
from credit_portfolio.solvers.nearby import REACH, Edge, alike, follow, same, sides
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
from credit_portfolio.solvers.solution import Candidate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Index = NDArray[np.intp]

# Up to here the interior point on everything takes less time than a sample and two rounds.
SMALL = 20_000
# The sample: so many customers that the multipliers mean something; more only take longer, since
# Newton's steps on all of them come next.
SAMPLE = 8_000
# A hundredth is what a sample of 8,000 is off by itself.
SAMPLE_TOLERANCE = 1e-3
# The sample is a random one, so that no order of the customers can mislead it; the seed is fixed,
# so that the same program gives the same answer, bit for bit.
SEED = 20240607
ROUNDS = 8
# From an earlier answer two rounds with the few nearest do, or steps on the dual come first.
_AT_ONCE = 2
# From an earlier answer this often, each time with twice the reach.
_FOLLOWED = 3
# Along the edge so many looks at everybody, each time at twice as many customers near the edge, and
# four times as many again where the steps did not end.
_LOOKS, _WIDER = 10, 4
# From this part of customers between the bounds on, Newton's method is tried before sifting.
SMOOTH = 0.1
# Sifting needs so many times as many customers as it looks at in the least.
ROOM = 4
# A slope of the wrong sign by less than this part of the steepest is rounding: K_iᵀν is a sum of
# k + q products, and 43 of them leave about 1e-15.
WRONG_SIDE = 1e-13


def solve_dual_newton(
    program: CreditProgram,
    columns: Columns,
    tolerance: float,
    options: Mapping[str, Any],
    start: Vector | None = None,
) -> Iterator[Candidate]:
    """Solve a program of any size; it has no options.

    Parameters
    ----------
    program : CreditProgram
    columns : Columns
        Of the same program.
    tolerance : float
    options : mapping
        Empty.
    start : ndarray, shape (k + q,), optional
        Multipliers to start from, those of a program that is much the same.

    Yields
    ------
    Candidate
        The quickest method's first; the next one where its certificate does not hold.

    Raises
    ------
    ModelError
        For any option.
    """
    refuse_options(options)
    why = f"n ≤ {SMALL:,}"
    start_at: tuple[Vector, Doubt | None] | None = None
    if not responds(program):
        why = "customers with neither variance nor bounds of their own"
    elif start is not None:
        start_at = start, None
    elif program.n_customers > SMALL:
        start_at = _from_sample(program, columns)
        why = "a sample of the customers told nothing"
    if start_at is not None:
        yield from _settle(program, columns, *start_at, tolerance)
        why = "neither sifting nor Newton settled"
    yield _everything(program, columns, tolerance, why)


def solve_interior_point(
    program: CreditProgram, columns: Columns, tolerance: float, options: Mapping[str, Any]
) -> Iterator[Candidate]:
    """Solve a program of any size by the interior point on all customers; it has no options."""
    refuse_options(options)
    yield _everything(program, columns, tolerance, "asked for")


def refuse_options(options: Mapping[str, Any]) -> None:
    """Raise a ModelError for any option: these solvers have none."""
    if options:
        raise ModelError(
            f"dual_newton and interior_point have no options; found "
            f"{', '.join(map(repr, options))}; leave them out, or name the solver they are for"
        )


def _everything(program: CreditProgram, columns: Columns, tolerance: float, why: str) -> Candidate:
    w, y, said, steps = interior_point(program, columns, tolerance * 0.1)
    return Candidate(w, y, f"interior point ({why}) {said} after {steps} steps", steps)


def _from_sample(program: CreditProgram, columns: Columns) -> tuple[Vector, Doubt] | None:
    """Multipliers of a random part of the customers, who stand for all, and their doubt."""
    n = program.n_customers
    size = min(n, SAMPLE)
    each = n / size
    at = np.sort(np.random.default_rng(SEED).choice(n, size, replace=False))
    sample = taken(program, at, each)
    of_sample = columns.like(sample)
    w, y, said, _ = interior_point(sample, of_sample, SAMPLE_TOLERANCE)
    if said != "converged":
        return None
    nu = np.concatenate([2.0 * (sample.factors @ w), y])
    return nu, Doubt.at(sample, of_sample.pull(nu) + sample.linear, y)


def _settle(
    program: CreditProgram,
    columns: Columns,
    nu: Vector,
    doubt: Doubt | None,
    tolerance: float,
) -> Iterator[Candidate]:
    """Go from multipliers that are nearly right to the optimum."""
    n, k = columns.n, columns.k
    given, nu = nu, moved(program, nu, np.zeros_like(nu), 0.0)
    book = _Book(program, columns)
    left = columns.left
    if doubt is None and isinstance(left, _Left) and left.fits(program, nu):
        book.slope = left.slope.copy()
        followed = _followed(book, left.nu, left.seen, tolerance)
        if followed is not None:
            yield followed
    if doubt is None and isinstance(left, Edge) and not left.everybody and left.fits(program, nu):
        yield from _along_the_edge(book, left, tolerance)
    seen = book.see(nu, doubt or Doubt.none(columns.q), BAND / NARROWER)
    few = ROOM * LEAST_NEAR * nu.size > n
    if doubt is None and few:  # sets of so few settle in a step or two on all of them
        yield Candidate(book.shares(), nu[k:], "polished from the start", 0)
    smooth = seen.between >= SMOOTH * n
    if smooth and doubt is None and not few:
        followed = _followed(book, nu, seen, tolerance)
        if followed is not None:
            yield followed
        seen = book.see(nu, Doubt.none(columns.q), 0.0)
    if smooth:
        found = newton(book, nu, seen, 0.1 * tolerance)
        if found is not None:
            nu, steps = found
            part = book.seen.between / n
            said = f"dual Newton settled after {steps} steps ({part:.0%} between their bounds)"
            yield Candidate(book.shares(), nu[k:], said, steps, sharp=True)
        seen = book.see(nu, None, 0.0)
    if 2 * seen.between > n // 2 or few:
        return
    if doubt is None:  # multipliers of much the same program: the few nearest may do
        # What an edge takes to make is spent once for many programs; and where a row that pressed
        # is open, the few nearest do not do.
        released = not np.array_equal(given, nu)
        if left is not None or released:
            yield from _along_the_edge(book, _edge_at(book, nu), tolerance)
        least = float(LEAST_NEAR * nu.size)
        sifted = _sift(book, nu, Doubt.none(columns.q), least, tolerance, _AT_ONCE)
        if sifted is not None:
            columns.left = sifted
            yield sifted
        elif left is None and not released:
            yield from _along_the_edge(book, _edge_at(book, nu), tolerance)
    if doubt is None or smooth:  # what was seen last was without doubt
        book.see(nu, None, 0.0)
        doubt = doubt or Doubt.at(program, book.slope, nu[k:])
        seen = book.see(nu, doubt, BAND / NARROWER)
    nu, doubt, fraction = approach(book, nu, seen, doubt)
    sifted = _sift(book, nu, doubt, in_doubt(fraction, n), tolerance)
    if sifted is not None:
        yield sifted


class _Book:
    """All customers in one process.

    ``slope`` is c + Kᵀν at the ν that was looked at last.
    """

    def __init__(self, program: CreditProgram, columns: Columns) -> None:
        self.frame, self.columns = program, columns
        self.own = 2.0 * program.idiosyncratic
        self.n = columns.n
        self.nu = np.full(columns.k + columns.q, np.nan)
        self.slope = np.empty(columns.n)
        self.seen: Response

    def see(self, nu: Vector, doubt: Doubt | None, fraction: float) -> Response:
        self.nu = nu
        self.seen = respond(self.frame, self.columns, nu, doubt, fraction, self.slope)
        return self.seen

    def along(self, nu: Vector, turn: Vector, lengths: Vector) -> Vector:
        return along(self.frame, self.columns, nu, turn, lengths)

    def shares(self) -> Vector:
        return share_at(self.slope, self.own, self.frame.lower, self.frame.upper)

    def sides(self) -> tuple[Vector, Vector]:
        return bound_slopes(self.slope, self.own, self.frame.lower, self.frame.upper)


@dataclass(frozen=True, eq=False, slots=True)
class _Left:
    """What is known of the customers at the multipliers of the last program."""

    program: CreditProgram
    nu: Vector
    slope: Vector
    seen: Response

    def fits(self, program: CreditProgram, nu: Vector) -> bool:
        """Whether it is known of the customers of this program, at these multipliers."""
        return alike(self.program, program) and same(self.nu, nu)


def _followed(book: _Book, nu: Vector, seen: Response, tolerance: float) -> Candidate | None:
    """Follow the optimum from multipliers of much the same program, as long as few change sides."""
    steps, reach, program = 0, REACH, book.frame
    for _ in range(_FOLLOWED):
        before = sides(program, book.slope)
        found = follow(program, book.columns, nu, book.slope, seen, 0.1 * tolerance, reach)
        if found is None:
            return None
        nu, gram, far, more = found
        steps += more
        seen = replace(book.see(nu, None, 0.0), gram=gram)
        if not (before != sides(program, book.slope))[far].any():
            book.columns.left = _Left(program, nu, book.slope, seen)
            said = f"followed from the start in {steps} steps"
            return Candidate(book.shares(), nu[book.columns.k :], said, steps, sharp=True)
        seen, reach = book.see(nu, Doubt.none(book.columns.q), 0.0), 2.0 * reach
    return None


def _edge_at(book: _Book, nu: Vector, times: int = 1) -> Edge:
    seen = book.seen if np.array_equal(book.nu, nu) else book.see(nu, None, 0.0)
    return Edge(book.frame, book.columns, nu, book.slope, seen, times)


def _along_the_edge(book: _Book, edge: Edge, tolerance: float) -> Iterator[Candidate]:
    """Follow the optimum from one program to the next where nearly all are at a bound."""
    columns, steps, times = book.columns, 0, 1
    for _ in range(_LOOKS):
        found = edge.follow(book.frame, 0.1 * tolerance)
        if found is None and edge.everybody:
            return
        steps += found[0] if found else 0
        if found and found[1]:
            columns.left = edge
            said = f"followed along the edge in {steps} steps"
            yield Candidate(edge.all_shares(), edge.nu[columns.k :], said, steps, sharp=True)
        elif found is None:
            times *= _WIDER
        edge = _edge_at(book, edge.nu, times)
        times *= 2


# --- sifting ------------------------------------------------------------------------------------


def _sift(
    book: _Book, nu: Vector, doubt: Doubt, near: float, tolerance: float, rounds: int = 0
) -> Candidate | None:
    """Solve for the customers near the edge, the others held at their bounds, until none moves."""
    least = LEAST_NEAR * nu.size
    size, added = max(int(near), least), np.empty(0, dtype=np.intp)
    if not np.array_equal(nu, book.nu):
        book.see(nu, None, 0.0)
    sizes = []
    for _ in range(rounds or ROUNDS):
        size = max(size, 2 * book.seen.between, 2 * added.size)
        if size > book.n // 2:
            return None
        at_lower, at_upper = book.sides()
        reach = doubt.over(book.columns)
        inside = np.union1d(nearest(distance_of(at_lower, at_upper), reach, size), added)
        low, high = at_lower >= 0, at_upper <= 0
        low[inside] = high[inside] = False
        w = book.shares()
        solved = _inner(book, inside, w, tolerance)
        if solved is None:
            size *= 4
            continue
        w, nu = solved
        sizes.append(inside.size)
        rounding = WRONG_SIDE * book.see(nu, None, 0.0).steepest
        at_lower, at_upper = book.sides()
        added = np.flatnonzero((low & (at_lower < -rounding)) | (high & (at_upper > rounding)))
        if added.size == 0:
            said = (
                f"sifting settled on {' then '.join(f'{size:,}' for size in sizes)} customers "
                f"({1 - book.seen.between / book.n:.1%} at a bound)"
            )
            return Candidate(w, nu[book.columns.k :], said, len(sizes), sharp=True)
        size = max(least, size // 2)
    return None


def _inner(book: _Book, inside: Index, w: Vector, tolerance: float) -> tuple[Vector, Vector] | None:
    """Best shares of the customers inside, given those of all others: (all shares, ν)."""
    k, some = book.columns.k, taken(book.frame, inside)
    of_some = np.concatenate([some.factors @ w[inside], some.rows @ w[inside]])
    others = book.seen.pushed - of_some
    inner = given_others(some, others)
    found = settle(inner, book.columns.like(inner), w[inside], book.nu[k:], tolerance)
    if found is None:
        return None
    w[inside], exposure, y = found
    return w, np.concatenate([2.0 * (others[:k] + exposure), y])
