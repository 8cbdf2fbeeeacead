"""What ``solve`` promises: exact answers, signs, units, ties, verdicts and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import lsq_linear

from credit_portfolio import solvers
from credit_portfolio.errors import MissingDependencyError, ModelError
from credit_portfolio.program.certificate import certify
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import Status, solve
from credit_portfolio.solvers.cvxpy_ import solve_with_cvxpy
from credit_portfolio.solvers.solution import Candidate

# The project's bar for the reference program, in exact fractions.
EXACT = 1e-9
# The project's bar for shares in other units or another order.
SAME_SHARES = 1e-7
# A central difference of a piecewise quadratic minimum with steps of 1e-4: the minimum is good to
# 1e-12 of itself (0.006), which the division by 2e-4 turns into 3e-11.
FINITE_DIFFERENCE = 1e-8

S = (Fraction(1, 100), Fraction(2, 100), Fraction(4, 100))
LOW = (Fraction(4, 10), Fraction(1, 10), Fraction(0))


def reference(**changes: Any) -> CreditProgram:
    """Three customers; at most 0.2 of the credit in the low interval."""
    arguments: dict[str, Any] = {
        "idiosyncratic": [0.01, 0.02, 0.04],
        "rows": [[1, 1, 1], [0.4, 0.1, 0]],
        "row_lower": [1, -np.inf],
        "row_upper": [1, 0.2],
        "row_names": ["budget", "low interval"],
    }
    return CreditProgram(**{**arguments, **changes})


def mixed(seed: int = 5, n: int = 30, k: int = 8) -> dict[str, Any]:
    """A book with factors, limits that bind, two targets and a unique answer."""
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(3), n)
    limits = rng.uniform(0.01, 0.12, n)
    limits *= 1.6 / limits.sum()
    current = limits / limits.sum()
    B = current @ P
    return {
        "factors": rng.normal(scale=0.05, size=(k, n)),
        "idiosyncratic": rng.uniform(1e-4, 1e-2, n),
        "rows": np.vstack([np.ones(n), P[:, 0], P[:, 2]]),
        "row_lower": np.array([1.0, -np.inf, B[2]]),
        "row_upper": np.array([1.0, B[0], np.inf]),
        "lower": np.zeros(n),
        "upper": limits,
    }


# ------------------------------------------------------------------------------ the exact program


def test_the_fractions_of_the_reference_answer_satisfy_its_optimality_conditions() -> None:
    w = [Fraction(28, 69), Fraction(26, 69), Fraction(15, 69)]
    budget, low = Fraction(-2, 115), Fraction(8, 345)
    assert sum(w) == 1
    assert sum(p * x for p, x in zip(LOW, w, strict=True)) == Fraction(2, 10)
    assert sum(s * x * x for s, x in zip(S, w, strict=True)) == Fraction(11, 1725)
    for s, p, x in zip(S, LOW, w, strict=True):
        assert 2 * s * x + budget + low * p == 0


def test_the_reference_program_is_solved_to_nine_digits() -> None:
    solution = solve(reference())
    assert solution.status is Status.OPTIMAL
    assert solution.status == "optimal"
    assert solution.x == pytest.approx(np.array([28, 26, 15]) / 69, abs=EXACT)
    assert solution.objective == pytest.approx(11 / 1725, abs=EXACT)
    assert solution.duals.rows == pytest.approx([-2 / 115, 8 / 345], abs=EXACT)
    assert solution.duals.bounds == pytest.approx([0, 0, 0], abs=EXACT)
    assert solution.unique is True
    assert solution.certificate.holds


def test_without_the_target_shares_are_inverse_to_the_variances() -> None:
    solution = solve(reference(rows=[[1, 1, 1]], row_lower=1, row_upper=1, row_names=None))
    assert solution.x == pytest.approx(np.array([4, 2, 1]) / 7, abs=EXACT)
    assert solution.objective == pytest.approx(1 / 175, abs=EXACT)
    assert solution.x @ [0.4, 0.1, 0] == pytest.approx(0.2571, abs=5e-5)  # as domain.md prints it


@pytest.mark.parametrize("solver", ["clarabel", "Clarabel", "osqp", "scs", "highs"])
def test_every_solver_gives_the_reference_answer(solver: str) -> None:
    solution = solve(reference(), solver)
    assert solution.status == "optimal"
    assert solution.solver == solver.lower()
    assert solution.x == pytest.approx(np.array([28, 26, 15]) / 69, abs=EXACT)
    assert solution.duals.rows == pytest.approx([-2 / 115, 8 / 345], abs=EXACT)


@pytest.mark.parametrize("solver", ["osqp", "scs", "highs"])
def test_every_solver_certifies_the_same_book_or_says_that_it_failed(solver: str) -> None:
    program = CreditProgram(**mixed())
    best = solve(program)
    assert best.status == "optimal"
    other = solve(program, solver)
    assert other.status in ("optimal", "failed")
    if other.status == "optimal":
        assert other.x == pytest.approx(best.x, abs=SAME_SHARES)


def test_a_solver_for_other_problems_fails_and_says_so() -> None:
    solution = solve(reference(), "scipy")  # linear programs only
    assert solution.status == "failed"
    assert "cannot solve" in solution.message
    assert np.isnan(solution.x).all()


# --------------------------------------------------------------------------------- signs of duals


def central_difference(program: dict[str, Any], which: str, at: int, step: float = 1e-4) -> float:
    values = []
    for sign in (1, -1):
        bound = np.array(program[which], dtype=float)
        bound[at] += sign * step
        changed = {**program, which: bound}
        if which == "row_lower" and program["row_lower"][at] == program["row_upper"][at]:
            changed["row_upper"] = np.array(program["row_upper"], dtype=float)
            changed["row_upper"][at] += sign * step
        values.append(solve(CreditProgram(**changed), tolerance=1e-12).objective)
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize(("which", "row"), [("row_lower", 0), ("row_upper", 1), ("row_lower", 2)])
def test_the_minimum_moves_by_minus_the_dual_per_unit_of_a_rows_bound(which: str, row: int) -> None:
    program = mixed()
    program["row_upper"] = program["row_upper"] - [0, 0.01, 0]
    program["row_lower"] = program["row_lower"] + [0, 0, 0.05]
    price = solve(CreditProgram(**program)).duals.rows[row]
    assert price != 0
    assert central_difference(program, which, row) == pytest.approx(-price, abs=FINITE_DIFFERENCE)


def test_the_minimum_moves_by_minus_the_dual_per_unit_of_a_limit_or_a_floor() -> None:
    program = mixed()
    program["lower"] = np.where(np.arange(30) < 3, 0.9 * program["upper"], 0.0)
    solution = solve(CreditProgram(**program))
    capped = int(np.argmax(solution.duals.bounds))
    floored = int(np.argmin(solution.duals.bounds[:3]))
    assert solution.duals.bounds[capped] > 0
    assert solution.duals.bounds[floored] < 0
    for which, i in (("upper", capped), ("lower", floored)):
        expected = pytest.approx(-solution.duals.bounds[i], abs=FINITE_DIFFERENCE)
        assert central_difference(program, which, i) == expected


def test_duals_press_only_on_bounds_that_are_reached() -> None:
    program = CreditProgram(**mixed())
    solution = solve(program)
    at_upper = solution.x >= program.upper - 1e-12  # a share is set to its bound exactly, or inside
    at_lower = solution.x <= program.lower + 1e-12
    assert (solution.duals.bounds[~at_upper] <= 1e-12).all()
    assert (solution.duals.bounds[~at_lower] >= -1e-12).all()
    slope = program.gradient(solution.x) + program.rows.T @ solution.duals.rows
    assert slope + solution.duals.bounds == pytest.approx(np.zeros(30), abs=1e-12)


# ------------------------------------------------------------------------------------------ units


def in_units(program: dict[str, Any], returns: float) -> dict[str, Any]:
    changed = dict(program)
    changed["factors"] = program["factors"] * returns
    changed["idiosyncratic"] = program["idiosyncratic"] * returns**2
    return changed


BOOKS = {
    "shrunk": mixed(),
    "one factor": mixed(6, 12, 1),
    "rank deficient": {**mixed(7, 40, 6), "idiosyncratic": np.zeros(40)},
    "tiny own variance": {**mixed(8, 25, 5), "idiosyncratic": np.full(25, 1e-6)},
}


@pytest.mark.parametrize("book", list(BOOKS))
@pytest.mark.parametrize("returns", [0.01, 1e-6, 1e6])
def test_shares_do_not_depend_on_the_unit_of_returns(book: str, returns: float) -> None:
    base = solve(CreditProgram(**BOOKS[book]))
    other = solve(CreditProgram(**in_units(BOOKS[book], returns)))
    assert base.status == other.status == "optimal"
    assert base.unique == other.unique
    assert other.x == pytest.approx(base.x, abs=SAME_SHARES)


@pytest.mark.parametrize("book", list(BOOKS))
def test_shares_do_not_depend_on_the_unit_of_rows(book: str) -> None:
    base = solve(CreditProgram(**BOOKS[book]))
    scaled = dict(BOOKS[book])
    for name in ("rows", "row_lower", "row_upper"):
        scaled[name] = scaled[name] * 1e6
    other = solve(CreditProgram(**scaled))
    assert other.x == pytest.approx(base.x, abs=SAME_SHARES)
    assert other.duals.rows * 1e6 == pytest.approx(base.duals.rows, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("book", list(BOOKS))
def test_shares_do_not_depend_on_the_order_of_customers(book: str) -> None:
    program = BOOKS[book]
    order = np.random.default_rng(1).permutation(program["lower"].size)
    shuffled = {**program, **{name: program[name][:, order] for name in ("factors", "rows")}}
    shuffled |= {name: program[name][order] for name in ("idiosyncratic", "lower", "upper")}
    assert solve(CreditProgram(**shuffled)).x == pytest.approx(
        solve(CreditProgram(**program)).x[order], abs=SAME_SHARES
    )


@pytest.mark.parametrize("capped", [True, False])
def test_shares_may_be_given_in_money(capped: bool) -> None:
    program = mixed()
    if not capped:
        program["upper"] = np.full(30, np.inf)
    money = dict(program)
    for name in ("row_lower", "row_upper", "lower", "upper"):
        money[name] = program[name] * 1e6
    assert solve(CreditProgram(**money)).x / 1e6 == pytest.approx(
        solve(CreditProgram(**program)).x, abs=SAME_SHARES
    )


def test_sparse_rows_give_the_answer_of_dense_ones() -> None:
    program = mixed()
    thin = {**program, "rows": sparse.csr_array(program["rows"])}
    assert solve(CreditProgram(**thin)).x == pytest.approx(
        solve(CreditProgram(**program)).x, abs=SAME_SHARES
    )


# ------------------------------------------------------------------------------------------- ties


def test_among_many_shares_of_no_variance_the_smallest_norm_is_taken() -> None:
    rng = np.random.default_rng(3)
    F = rng.normal(size=(3, 12))
    solution = solve(CreditProgram(factors=F, rows=np.ones((1, 12)), row_lower=1, row_upper=1))
    assert solution.status == "optimal"
    assert solution.unique is False
    assert "smallest norm" in solution.message
    # An independent way: bounded least squares, the conditions weighted against the norm. With
    # weight ω the conditions are missed by about 1/ω² and the shares off by as much.
    weight = 1e5
    system = np.vstack([weight * F, weight * np.ones((1, 12)), np.eye(12)])
    right = np.r_[np.zeros(3), weight, np.zeros(12)]
    smallest = lsq_linear(system, right, bounds=(0, np.inf), method="bvls", tol=1e-15).x
    assert np.linalg.norm(F @ smallest) < 1e-8
    assert solution.x == pytest.approx(smallest, abs=1e-7)


def test_identical_customers_without_own_variance_share_alike() -> None:
    F = np.array([[0.1, 0.1, 0.3], [0.2, 0.2, -0.1]])
    solution = solve(CreditProgram(factors=F, rows=np.ones((1, 3)), row_lower=1, row_upper=1))
    assert solution.unique is False
    assert solution.x[0] == pytest.approx(solution.x[1], abs=SAME_SHARES)


def test_ties_in_a_linear_cost_are_broken_too() -> None:
    solution = solve(
        CreditProgram(linear=[1.0, 1.0, 2.0], rows=[[1, 1, 1]], row_lower=1, row_upper=1)
    )
    assert solution.unique is False
    assert solution.x == pytest.approx([0.5, 0.5, 0], abs=SAME_SHARES)


def test_shares_with_own_variance_are_unique() -> None:
    assert solve(CreditProgram(**mixed())).unique is True


def test_few_customers_without_own_variance_can_be_unique() -> None:
    F = np.array([[0.1, 0.0, 0.0], [0.0, 0.2, 0.0], [0.0, 0.0, 0.3]])
    solution = solve(CreditProgram(factors=F, rows=np.ones((1, 3)), row_lower=1, row_upper=1))
    assert solution.unique is True
    assert "norm" not in solution.message
    assert solution.x == pytest.approx(np.array([36, 9, 4]) / 49, abs=EXACT)


# --------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize("solver", ["clarabel", "osqp"])
@pytest.mark.parametrize("thousands", [1, 1000])
def test_a_millionth_decides_between_infeasible_and_optimal(solver: str, thousands: int) -> None:
    P = np.array([[0.3, 0.1], [0.5, 0.4]]) * thousands
    # B1 <= .15 leaves w1 <= .25, where B3 = .425 at most.
    told = {1e-6: "infeasible", 1e-8: "infeasible", 0.0: "optimal", -1e-6: "optimal"}
    for miss, verdict in told.items():
        program = CreditProgram(
            idiosyncratic=[0.01, 0.02],
            rows=np.vstack([np.ones(2), P]),
            row_lower=[1, -np.inf, (0.425 + miss) * thousands],
            row_upper=[1, 0.15 * thousands, np.inf],
            row_names=["budget", "loss", "on time"],
        )
        solution = solve(program, solver)
        assert solution.status == verdict, (miss, solution)
        if verdict == "infeasible":
            assert set(solution.conflict) == {"budget", "loss", "on time"}
            # Proof by hand: .5 w1 + .4 w2 = .35 (w1 + w2) + .5 (.3 w1 + .1 w2) <= .35 + .075.
            assert solution.margin == pytest.approx(miss / 0.85, rel=1e-4)
            assert np.isnan(solution.x).all()


@pytest.mark.parametrize(("limit", "verdict"), [(0.25 - 1e-6, "infeasible"), (0.25, "optimal")])
def test_a_budget_above_the_limits_is_infeasible(limit: float, verdict: str) -> None:
    program = CreditProgram(
        idiosyncratic=np.ones(4),
        rows=np.ones((1, 4)),
        row_lower=1,
        row_upper=1,
        upper=limit,
        row_names=["budget"],
    )
    solution = solve(program)
    assert solution.status == verdict
    assert list(solution.conflict) == (["budget"] if verdict == "infeasible" else [])


def test_a_target_on_an_interval_that_nobody_reaches_is_infeasible() -> None:
    rows = np.array([[1.0, 1.0], [0.0, 0.0]])
    program = CreditProgram(
        idiosyncratic=[1, 1], rows=rows, row_lower=[1, 0.1], row_upper=[1, np.inf]
    )
    assert solve(program).status == "infeasible"
    relaxed = CreditProgram(idiosyncratic=[1, 1], rows=rows, row_lower=[1, 0], row_upper=[1, 0])
    assert solve(relaxed).status == "optimal"


@pytest.mark.parametrize(
    ("solver", "options"),
    [("osqp", {"max_iter": 5, "polishing": False}), ("scs", {"max_iters": 5})],
)
def test_a_solver_that_stopped_early_is_never_believed(solver: str, options: dict) -> None:
    verdicts = set()
    for seed in range(12):
        program = CreditProgram(**mixed(seed))
        raw = solve_with_cvxpy(program, solver, 1e-9, options)
        assert raw.w is not None
        assert raw.y is not None
        assert not certify(program, raw.w, raw.y, 1e-9)[0].holds
        solution = solve(program, solver, **options)
        verdicts.add(str(solution.status))
        if solution.status == "optimal":  # rescued by the polish, and then truly optimal
            assert solution.x == pytest.approx(solve(program).x, abs=SAME_SHARES)
        else:
            assert solution.status == "failed"
            assert "refused" in solution.message
    assert verdicts <= {"optimal", "failed"}


def test_a_solver_that_diverged_is_told_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverged(*_: object) -> Iterator[Candidate]:
        yield Candidate(
            np.array([1e200, 1e300, 1e-200]), np.array([1e250, -1e9]), "optimal, surely"
        )

    monkeypatch.setitem(solvers._BACK_ENDS, "by hand", (lambda _: None, diverged))
    solution = solve(reference(), "by hand")
    assert solution.status == "failed"
    assert "optimal, surely; refused" in solution.message


@pytest.mark.parametrize("nonsense", [np.nan, np.inf])
def test_a_solver_that_returns_no_numbers_is_told_as_failed(
    nonsense: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        solvers._BACK_ENDS,
        "by hand",
        (lambda _: None, lambda *_: iter([Candidate(np.full(3, nonsense), np.zeros(2), "ok")])),
    )
    assert solve(reference(), "by hand").status == "failed"


def test_an_iteration_limit_fails_on_a_feasible_program() -> None:
    solution = solve(reference(), "osqp", max_iter=1, polishing=False)
    assert solution.status == "failed"
    assert solution.unique is None
    assert not solution.certificate.holds


def test_an_iteration_limit_does_not_hide_that_a_program_is_infeasible() -> None:
    program = reference(row_lower=[1, 0.41], row_upper=[1, 0.5])
    for solver, options in (
        ("osqp", {"max_iter": 1, "polishing": False}),
        ("scs", {"max_iters": 1}),
    ):
        assert solve(program, solver, **options).status == "infeasible"
    assert solve(program, "clarabel", max_iter=1).status == "infeasible"


def test_a_linear_cost_without_end_is_unbounded() -> None:
    for program in (
        CreditProgram(linear=[1.0, -1.0]),
        CreditProgram(idiosyncratic=[1.0, 0.0], linear=[0.0, 1.0], lower=-np.inf),
        CreditProgram(
            factors=[[1.0, 1.0]],
            linear=[1.0, -1.0],
            rows=[[1.0, 1.0]],
            row_lower=1,
            row_upper=1,
            lower=-np.inf,
        ),
    ):
        solution = solve(program)
        assert solution.status == "unbounded"
        assert solution.objective == -np.inf


def test_a_linear_cost_with_an_end_is_solved() -> None:
    assert solve(
        CreditProgram(linear=[1.0, -1.0], rows=[[1, 1]], row_lower=1, row_upper=1)
    ).x == pytest.approx([0, 1], abs=EXACT)
    # A free variable settles where its own variance meets its cost: 2 w = 2.
    free = solve(CreditProgram(idiosyncratic=1.0, linear=[-2.0, -4.0], lower=-np.inf))
    assert free.x == pytest.approx([1, 2], abs=EXACT)
    assert free.certificate.dual < EXACT


def test_shares_that_are_all_fixed_are_checked_like_any_others() -> None:
    fixed = {"idiosyncratic": [1.0, 1.0], "rows": [[1, 1]], "row_lower": 1, "row_upper": 1}
    assert solve(CreditProgram(**fixed, lower=0.5, upper=0.5)).x == pytest.approx([0.5, 0.5])
    assert solve(CreditProgram(**fixed, lower=0.4, upper=0.4)).status == "infeasible"


def test_a_program_without_rows_takes_no_risk() -> None:
    solution = solve(CreditProgram(idiosyncratic=[1.0, 2.0]))
    assert solution.status == "optimal"
    assert solution.x == pytest.approx([0, 0], abs=EXACT)


def test_the_answer_cannot_be_written_to() -> None:
    solution = solve(reference())
    for array in (solution.x, solution.duals.rows, solution.duals.bounds):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    assert "optimal" in repr(solution)


# --------------------------------------------------------------------------------------- refusals


IMPOSSIBLE = CreditProgram(idiosyncratic=[1, 1], rows=[[1, 1]], row_lower=1, row_upper=1, upper=0.4)


@pytest.mark.parametrize("program", [reference(), IMPOSSIBLE], ids=["feasible", "infeasible"])
def test_an_unknown_solver_is_refused_with_a_suggestion(program: CreditProgram) -> None:
    with pytest.raises(ModelError, match=r"unknown solver 'claribel'.*installed: .*clarabel.*Did"):
        solve(program, "claribel")


@pytest.mark.parametrize("program", [reference(), IMPOSSIBLE], ids=["feasible", "infeasible"])
def test_a_solver_that_is_not_installed_is_named_with_its_command(program: CreditProgram) -> None:
    import cvxpy

    if "MOSEK" in cvxpy.installed_solvers():
        pytest.skip("MOSEK is installed here")
    with pytest.raises(MissingDependencyError, match="pip install Mosek"):
        solve(program, "mosek")


@pytest.mark.parametrize(
    ("solver", "option"),
    [("clarabel", "max_iters"), ("osqp", "max_iters"), ("scs", "max_iter"), ("highs", "tim_limit")],
)
def test_an_option_that_a_solver_does_not_have_is_refused(solver: str, option: str) -> None:
    with pytest.raises(ModelError, match=option):
        solve(reference(), solver, **{option: 5})


def test_a_misspelt_clarabel_option_gets_a_suggestion() -> None:
    with pytest.raises(ModelError, match="Did you mean 'max_iter'"):
        solve(reference(), "clarabel", max_itr=5)


@pytest.mark.parametrize("solver", ["auto", "dual_newton", "interior_point"])
def test_our_own_solvers_refuse_any_option(solver: str) -> None:
    with pytest.raises(ModelError, match="have no options; found 'max_iter'"):
        solve(reference(), solver, max_iter=5)


@pytest.mark.parametrize("solver", ["clarabel", "osqp", "scs"])
def test_an_option_of_the_wrong_type_is_refused(solver: str) -> None:
    name = "max_iters" if solver == "scs" else "max_iter"
    with pytest.raises(ModelError, match="refused its options"):
        solve(reference(), solver, **{name: "many"})


@pytest.mark.parametrize("tolerance", [0.0, 1.0, -1e-9, 2.0, np.nan, np.inf])
def test_a_tolerance_outside_zero_to_one_is_refused(tolerance: float) -> None:
    with pytest.raises(ModelError, match=r"tolerance is .*; expected a number between 0 and 1"):
        solve(reference(), tolerance=tolerance)


def test_a_solver_that_is_no_name_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="solver is None"):
        solve(reference(), None)  # type: ignore[arg-type]


def test_a_tighter_tolerance_is_held() -> None:
    solution = solve(CreditProgram(**mixed()), tolerance=1e-12)
    assert solution.certificate.tolerance == 1e-12
    assert solution.certificate.worst <= 1e-12


def test_our_own_names_are_known_in_any_case_and_offered_for_misspelt_ones() -> None:
    assert solve(reference(), "AUTO").status == "optimal"
    assert solve(reference(), "Interior_Point").solver == "interior_point"
    with pytest.raises(ModelError, match=r"unknown solver 'dual_newtn'; ours are .*dual_newton"):
        solve(reference(), "dual_newtn")
    with pytest.raises(TypeError, match="tolerance is '1e-9'; expected a number"):
        solve(reference(), tolerance="1e-9")  # type: ignore[arg-type]


def test_a_program_too_large_for_a_second_opinion_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(solvers, "_SECOND_UP_TO", 2)
    solution = solve(reference(), tolerance=1e-17)
    assert solution.status == "failed"
    assert solution.message.endswith("clarabel is not asked above 2 customers")


def test_no_warning_leaves_a_solve_that_diverges() -> None:
    rng = np.random.default_rng(5)
    n, groups = 2_000, 100
    member = sparse.csr_array((np.ones(n), (np.arange(n) % groups, np.arange(n))))
    program = CreditProgram(
        factors=rng.normal(size=(12, n)),
        idiosyncratic=rng.uniform(0.5, 2.0, n),
        rows=sparse.vstack([sparse.csr_array(np.ones((1, n))), member]),
        row_lower=np.r_[1.0, np.full(groups, -np.inf)],
        row_upper=np.r_[1.0, np.full(groups, 0.99 / groups)],
        upper=10.0 / n,
    )
    solution = solve(program)  # warnings are errors here
    assert solution.status == "infeasible"
    assert len(solution.conflict) == groups + 1
