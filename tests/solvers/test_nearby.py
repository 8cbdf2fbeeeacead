"""One program after the other: the answers of cold solves, with fewer looks at the customers."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from credit_portfolio.program.columns import Columns
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve, solve_each
from credit_portfolio.solvers.nearby import Edge, Nearby, follow, sides
from credit_portfolio.solvers.response import Doubt, respond

Book = Callable[..., dict[str, Any]]
# Both are proved to 1e-9 of the objective, each from its own side.
AGREED = 2e-9
# Sweeps of the whole range; a tenth by default, as with the other sets of many programs.
SEEDS = max(1, int(os.environ.get("CREDIT_PORTFOLIO_PROGRAMS", "10")) // 10)

CASES: dict[str, dict[str, Any]] = {
    "smooth": {"n": 6_000, "k": 6, "common": 0.0005, "cap": 8.0},
    "pressed": {"n": 6_000, "k": 6, "common": 0.3},
    "groups": {"n": 6_000, "k": 4, "common": 0.3, "groups": 8},
    "few": {"n": 200, "k": 4},
}


def tightened(given: dict[str, Any], part: float) -> dict[str, Any]:
    upper = np.array(given["row_upper"], dtype=float)
    loose = np.isfinite(upper) & (upper != given["row_lower"])
    upper[loose] -= part * np.abs(upper[loose])
    return {**given, "row_upper": upper}


def sharing(given: dict[str, Any], others: list[dict[str, Any]]) -> Iterator[CreditProgram]:
    """Programs that share all arrays but those that differ."""
    first = CreditProgram(**given)
    yield first
    for other in others:
        program = copy.copy(first)
        stated = CreditProgram(**other)
        for name in ("row_lower", "row_upper", "lower", "upper", "idiosyncratic"):
            if not np.array_equal(getattr(stated, name), getattr(first, name)):
                object.__setattr__(program, name, getattr(stated, name))
        yield program


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_answer_is_that_of_a_cold_solve(case: str, seed: int, book: Book, prove: Any) -> None:
    given = book(seed + 3, **CASES[case])
    steps = [tightened(given, part) for part in (1e-4, 1e-3, 2e-3, 1e-2, 0.5, 1e-3)]
    wider = {**steps[1], "upper": given["upper"] * 1.07}
    riskier = {**steps[1], "idiosyncratic": given["idiosyncratic"] * 1.3}
    programs = list(sharing(given, [*steps, wider, riskier, steps[0]]))
    found = list(solve_each(iter(programs)))
    assert len(found) == len(programs)
    for program, warm in zip(programs, found, strict=True):
        cold = solve(program)
        assert warm.status == cold.status
        if cold.status == "optimal":
            assert warm.objective == pytest.approx(cold.objective, rel=AGREED)
            assert prove(program, warm.x, warm.duals.rows).worst <= 1e-9


def test_steps_where_many_lie_between_are_followed(book: Book) -> None:
    given = book(3, **CASES["smooth"])
    programs = sharing(given, [tightened(given, part) for part in (1e-4, 2e-4, 3e-4)])
    said = [solution.message for solution in solve_each(programs)]
    assert all(message.startswith("followed from the start") for message in said[1:])


def test_other_factors_begin_anew(book: Book) -> None:
    given = book(3, **CASES["few"])
    other = {**given, "factors": given["factors"] * 1.1}
    found = list(solve_each([CreditProgram(**given), CreditProgram(**other)]))
    alone = solve(CreditProgram(**other))
    assert found[1].objective == pytest.approx(alone.objective, rel=AGREED)


def at(program: CreditProgram) -> tuple[Columns, np.ndarray, np.ndarray, Any]:
    """Columns, multipliers of the optimum, slopes and response there."""
    solution = solve(program)
    nu = np.concatenate([2.0 * solution.exposure, solution.duals.rows])
    columns, slope = Columns(program), np.empty(program.n_customers)
    seen = respond(program, columns, nu, Doubt.none(program.n_rows), 0.0, slope)
    return columns, nu, slope, seen


def test_a_book_of_some_answers_as_all_do_while_the_others_keep_their_sides(book: Book) -> None:
    program = CreditProgram(**book(3, **CASES["smooth"]))
    columns, nu, slope, seen = at(program)
    own = 2.0 * program.idiosyncratic
    distance = np.minimum(np.abs(slope + own * program.lower), np.abs(slope + own * program.upper))
    turn = np.random.default_rng(4).standard_normal(nu.size) * np.abs(nu)
    change = np.abs(columns.pull(turn))
    length = 0.5 * float(np.sort(distance / change)[600])
    near = np.flatnonzero(distance <= length * change)
    assert 0 < near.size < 600
    part = Nearby(program, columns, nu, slope, seen, near)
    ahead = nu + length * turn
    whole = respond(program, columns, ahead, Doubt.none(program.n_rows), 0.0)
    some = part.see(ahead, Doubt.none(program.n_rows), 0.0)
    scale = np.abs(columns.push(np.abs(program.upper)))
    assert np.abs(some.pushed - whole.pushed).max() <= 1e-12 * scale.max()
    assert some.gram == pytest.approx(whole.gram, rel=1e-9, abs=1e-12 * np.abs(whole.gram).max())
    total = float(part.along(nu, turn, np.array([length]))[0])
    assert total == pytest.approx(float(turn @ whole.pushed), rel=1e-8)


def test_too_many_near_the_edge_are_not_followed(book: Book) -> None:
    program = CreditProgram(**book(3, **CASES["smooth"]))
    columns, nu, slope, seen = at(program)
    far = CreditProgram(**tightened(book(3, **CASES["smooth"]), 0.02))
    assert follow(far, columns, nu, slope, seen, 1e-10, reach=1e9) is None


def test_sides_are_told_by_the_slopes() -> None:
    program = CreditProgram(idiosyncratic=np.ones(3), lower=0.0, upper=1.0)
    assert sides(program, np.array([1.0, -1.0, -3.0])).tolist() == [-1, 0, 1]


def test_where_nearly_all_are_at_a_bound_the_edge_is_followed(book: Book) -> None:
    given = book(3, **CASES["pressed"])
    programs = sharing(given, [tightened(given, part) for part in (1e-3, 2e-3, 3e-3, 4e-3, 5e-3)])
    said = [solution.message for solution in solve_each(programs)]
    assert sum(message.startswith("followed along the edge") for message in said) >= 3


def test_a_step_along_the_edge_ends_where_the_dual_stops_rising(book: Book) -> None:
    program = CreditProgram(**book(3, **CASES["pressed"]))
    columns, nu, slope, seen = at(program)
    edge = Edge(program, columns, nu, slope, seen, times=1_000)
    assert edge.everybody
    turn = np.random.default_rng(4).standard_normal(nu.size) * np.abs(nu)
    pulled = columns.pull(turn)
    start = float(np.abs(pulled) @ (program.upper - program.lower)) * 0.3
    factors = turn[: program.n_factors]
    length = edge._length(slope, pulled, start, factors)

    def rise(at_length: float) -> float:
        w = np.clip(
            -(slope + at_length * pulled) / (2 * program.idiosyncratic),
            program.lower,
            program.upper,
        )
        first = np.clip(-slope / (2 * program.idiosyncratic), program.lower, program.upper)
        return start + pulled @ (w - first) - 0.5 * at_length * float(factors @ factors)

    assert 0 < length < 1
    assert abs(rise(length)) <= 1e-9 * start
    assert rise(0.9 * length) > 0 > rise(1.1 * length)


def test_the_edge_knows_nothing_of_other_customers(book: Book) -> None:
    given = book(3, **CASES["pressed"])
    program = CreditProgram(**given)
    columns, nu, slope, seen = at(program)
    edge = Edge(program, columns, nu, slope, seen)
    assert not edge.everybody
    assert edge.fits(program, nu)
    assert not edge.fits(program, 1.001 * nu)
    assert not edge.fits(CreditProgram(**{**given, "upper": given["upper"] * 1.1}), nu)
