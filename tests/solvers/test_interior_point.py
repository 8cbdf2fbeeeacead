"""The interior point by itself: every kind of bound and row, and honest words about its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from credit_portfolio.program.columns import Columns
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import Solution, interior_point, solve
from credit_portfolio.solvers.interior_point import STEPS, interior_point as iterate

CERTIFIED = 1e-9
OBJECTIVE = 1e-8

Book = Callable[..., dict[str, Any]]


@pytest.fixture
def solved(prove: Any, by_clarabel: Any) -> Callable[[CreditProgram], Solution]:
    """Solve, recompute the proof, and compare the objective with Clarabel's."""

    def check(program: CreditProgram) -> Solution:
        w, y, said, steps = iterate(program, Columns(program), 1e-10)
        assert said == "converged"
        assert 0 < steps < STEPS
        assert np.isfinite(w).all()
        assert np.isfinite(y).all()
        solution = solve(program, "interior_point")
        assert solution.status == "optimal", solution
        proof = prove(program, solution.x, solution.duals.rows)
        assert proof.worst <= CERTIFIED
        reference = by_clarabel(program)
        assert reference is not None
        other = prove(program, *reference)
        assert other.primal <= OBJECTIVE
        apart = solution.objective - program.objective(reference[0])
        # Clarabel leaves a little of a minimum of zero.
        few = abs(solution.objective) < 1e-6 * proof.size
        assert (apart if few else abs(apart)) <= OBJECTIVE * max(proof.size, other.size)
        return solution

    return check


# what the rows are bounded by, in units of what equal shares give
ROWS = {
    "equality": (1.02, 1.02),
    "above": (-np.inf, 0.95),
    "below": (1.05, np.inf),
    "between": (1.02, 1.05),
    "open": (-np.inf, np.inf),
    "slack": (0.5, 2.0),
}


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("sparsely", [False, True])
@pytest.mark.parametrize("own", ["all", "some", "none"])
def test_every_kind_of_row_is_met(
    kind: str, sparsely: bool, own: str, solved: Callable[[CreditProgram], Solution]
) -> None:
    rng = np.random.default_rng(3)
    n = 80
    row = rng.uniform(0.5, 1.5, n)
    level = row.mean()
    low, high = ROWS[kind]
    A = np.vstack([np.ones(n), row])
    D = {
        "all": rng.uniform(0.01, 0.1, n),
        "some": np.where(np.arange(n) % 2, 0.02, 0.0),
        "none": np.zeros(n),
    }
    solution = solved(
        CreditProgram(
            factors=rng.normal(size=(5, n)) + 0.3,
            idiosyncratic=D[own],
            rows=sparse.csr_array(A) if sparsely else A,
            row_lower=[1.0, low * level],
            row_upper=[1.0, high * level],
            upper=5.0 / n,
        )
    )
    reached = row @ solution.x / level
    assert low - CERTIFIED <= reached <= high + CERTIFIED
    pressed = solution.duals.rows[1]
    if kind == "open":
        assert pressed == 0.0
    if pressed > CERTIFIED:  # at a minimum of zero rounding is left of it
        assert reached == pytest.approx(high, abs=1e-7)
    if pressed < -CERTIFIED:
        assert reached == pytest.approx(low, abs=1e-7)


def test_an_open_row_changes_nothing(book: Book) -> None:
    given = book(4, n=200)
    more = {
        "rows": np.vstack([given["rows"], np.random.default_rng(4).normal(size=200)]),
        "row_lower": np.r_[given["row_lower"], -np.inf],
        "row_upper": np.r_[given["row_upper"], np.inf],
    }
    plain = solve(CreditProgram(**given), "interior_point")
    program = CreditProgram(**{**given, **more})
    assert iterate(program, Columns(program), 1e-10)[2] == "converged"
    # Two answers of gap 1e-10: shares are good to the root of it.
    assert solve(program, "interior_point").x == pytest.approx(plain.x, abs=1e-7)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (-np.inf, 0), (0, np.inf), (-1, 2)])
def test_a_row_of_zeros_that_may_be_zero_asks_for_nothing(
    low: float, high: float, book: Book, solved: Callable[[CreditProgram], Solution]
) -> None:
    given = book(5, n=60)
    given["rows"] = np.vstack([given["rows"], np.zeros(60)])
    given["row_lower"] = np.r_[given["row_lower"], low]
    given["row_upper"] = np.r_[given["row_upper"], high]
    solved(CreditProgram(**given))


def test_a_row_whose_terms_cancel_is_measured_by_its_terms(
    book: Book, solved: Callable[[CreditProgram], Solution]
) -> None:
    given = book(6, n=60)
    against = np.where(np.arange(60) % 2, 1.0, -1.0)  # as much credit here as there
    given["rows"] = np.vstack([given["rows"], against])
    given["row_lower"] = np.r_[given["row_lower"], 0.0]
    given["row_upper"] = np.r_[given["row_upper"], 0.0]
    solution = solved(CreditProgram(**given))
    assert against @ solution.x == pytest.approx(0.0, abs=CERTIFIED)


def test_every_kind_of_customer_is_kept_within_his_bounds(
    solved: Callable[[CreditProgram], Solution],
) -> None:
    rng = np.random.default_rng(7)
    n = 100
    lower, upper = np.zeros(n), np.full(n, np.inf)
    upper[:40] = 0.012
    lower[40:50] = upper[40:50] = 0.01  # fixed
    lower[50:60], upper[50:60] = -np.inf, np.inf  # of any sign
    lower[60:70], upper[60:70] = -np.inf, 0.0  # owing nothing or less
    lower[70:80], upper[70:80] = -0.02, -0.01
    lower[80:90], upper[80:90] = 0.02, 0.03
    solution = solved(
        CreditProgram(
            factors=rng.normal(size=(4, n)) * 0.2,
            idiosyncratic=rng.uniform(0.01, 0.1, n),
            linear=rng.normal(size=n) * 1e-3,
            rows=np.ones((1, n)),
            row_lower=1,
            row_upper=1,
            lower=lower,
            upper=upper,
        )
    )
    assert (solution.x >= lower).all()
    assert (solution.x <= upper).all()
    assert np.array_equal(solution.x[40:50], np.full(10, 0.01))
    assert (np.abs(solution.x[50:60]) > 0).all()


def test_a_minimum_of_zero_is_reached(solved: Callable[[CreditProgram], Solution]) -> None:
    rng = np.random.default_rng(8)
    for n in (15, 200, 2000):
        program = CreditProgram(
            factors=rng.normal(size=(10, n)),
            rows=np.ones((1, n)),
            row_lower=1,
            row_upper=1,
            upper=20.0 / n if n > 15 else np.inf,
            lower=0.0 if n > 15 else -1.0,
        )
        solution = solved(program)
        undiversified = float(np.linalg.norm(program.factors, axis=0) @ np.abs(solution.x)) ** 2
        assert solution.objective <= 1e-15 * undiversified


def test_a_minimum_between_all_bounds_has_multipliers_of_zero(
    solved: Callable[[CreditProgram], Solution],
) -> None:
    rng = np.random.default_rng(9)
    F = rng.normal(size=(120, 5))
    solution = solved(
        CreditProgram(factors=F, rows=np.ones((1, 5)), row_lower=1, row_upper=1, lower=-5, upper=5)
    )
    # In closed form: shares proportional to the solution of FᵀF v = 1.
    v = np.linalg.solve(F.T @ F, np.ones(5))
    assert solution.x == pytest.approx(v / v.sum(), abs=CERTIFIED)
    assert solution.objective == pytest.approx(1 / v.sum(), rel=CERTIFIED)


def test_a_linear_program_is_one_too(solved: Callable[[CreditProgram], Solution]) -> None:
    rng = np.random.default_rng(10)
    c = rng.uniform(1, 2, 40)
    solution = solved(
        CreditProgram(linear=c, rows=np.ones((1, 40)), row_lower=1, row_upper=1, upper=0.1)
    )
    assert solution.objective == pytest.approx(np.sort(c)[:10].sum() * 0.1, rel=CERTIFIED)


def test_without_rows_each_share_minimises_its_own_parabola() -> None:
    D, c = np.array([1.0, 2.0, 4.0, 0.5]), np.array([-1.0, 1.0, -40.0, 0.0])
    solution = solve(
        CreditProgram(idiosyncratic=D, linear=c, lower=[-np.inf, 0, 0, 0.25], upper=2.0),
        "interior_point",
    )
    assert solution.x == pytest.approx([0.5, 0.0, 2.0, 0.25], abs=CERTIFIED)


def test_the_same_program_gets_the_same_bits(book: Book) -> None:
    for groups in (0, 40):
        answers = []
        for _ in range(2):
            program = CreditProgram(**book(11, n=700, groups=groups))
            answers.append(iterate(program, Columns(program), 1e-10))
        assert np.array_equal(answers[0][0], answers[1][0])
        assert np.array_equal(answers[0][1], answers[1][1])
        assert answers[0][2:] == answers[1][2:]


def test_little_room_takes_no_hundred_steps(book: Book) -> None:
    given = book(15, n=3_000)
    upper = given["upper"] / given["upper"].sum()
    for room in (1e-2, 1e-4, 1e-6):
        program = CreditProgram(
            **{
                **given,
                "upper": upper * (1 + room),
                "rows": np.ones((1, 3_000)),
                "row_lower": 1.0,
                "row_upper": 1.0,
            }
        )
        assert iterate(program, Columns(program), 1e-10)[2] == "converged"


def test_it_says_that_it_stopped_where_nothing_is_feasible(book: Book) -> None:
    given = book(12, n=100)
    given["row_upper"] = np.r_[1.0, -0.5, np.inf]
    program = CreditProgram(**given)
    w, y, said, _ = iterate(program, Columns(program), 1e-10)
    assert said != "converged"
    assert w.shape == (100,)
    assert y.shape == (3,)
    assert solve(program, "interior_point").status == "infeasible"


def test_it_says_that_it_stopped_where_there_is_no_minimum() -> None:
    program = CreditProgram(
        factors=[[1.0, 1.0]], linear=[1.0, -1.0], rows=[[1.0, 1.0]], row_lower=1, row_upper=1,
        lower=-np.inf,
    )  # fmt: skip
    assert iterate(program, Columns(program), 1e-10)[2] != "converged"
    assert solve(program, "interior_point").status == "unbounded"


def test_it_says_that_its_steps_ran_out(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    program = CreditProgram(**book(13, n=100))
    enough = iterate(program, Columns(program), 1e-10)[3]
    monkeypatch.setattr(interior_point, "STEPS", enough - 3)
    _, _, said, steps = iterate(program, Columns(program), 1e-10)
    assert said == "ran out of steps"
    assert steps == enough - 3


def test_it_leaves_the_program_alone(book: Book) -> None:
    given = book(14, n=100)
    before = {name: np.copy(value) for name, value in given.items()}
    iterate(CreditProgram(**given), Columns(CreditProgram(**given)), 1e-10)
    for name, value in before.items():
        assert np.array_equal(given[name], value)


def test_a_row_that_no_share_can_move_gets_no_runaway_multiplier(
    solved: Callable[[CreditProgram], Solution],
) -> None:
    lower, upper = np.array([0.25, 0.25, 0.0, 0.0]), np.array([0.25, 0.25, 1.0, 1.0])
    program = CreditProgram(
        idiosyncratic=[1.0, 2.0, 3.0, 4.0],
        rows=[[1, 1, 1, 1], [3, 5, 0, 0], [1, 1, 0, 0]],
        row_lower=[1, 2.0, 0.5],
        row_upper=[1, np.inf, 0.5],
        lower=lower,
        upper=upper,
    )
    solution = solved(program)
    # Half the budget is left for the last two, inversely to their variances.
    assert solution.x == pytest.approx([0.25, 0.25, 2 / 7, 1.5 / 7], abs=CERTIFIED)
    assert np.abs(solution.duals.rows).max() < 10
    impossible = CreditProgram(
        idiosyncratic=1.0, rows=[[1, 1, 0, 0]], row_lower=0.6, lower=lower, upper=upper
    )
    assert solve(impossible, "interior_point").status == "infeasible"


def test_programs_without_an_objective_are_settled_by_their_rows() -> None:
    rng = np.random.default_rng(16)
    for n in (5, 60):
        program = CreditProgram(
            rows=np.vstack([np.ones(n), rng.random(n)]),
            row_lower=[1, -np.inf],
            row_upper=[1, 0.5],
            upper=3.0 / n,
        )
        assert iterate(program, Columns(program), 1e-10)[2] == "converged"
        solution = solve(program, "interior_point")
        assert solution.status == "optimal"
        assert solution.objective == 0.0
        assert solution.unique is False
