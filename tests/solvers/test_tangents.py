"""Robust rows: against Clarabel's second-order cones, by the conditions of the cones themselves.

Twenty random programs run by default, all hundred where the environment sets
CREDIT_PORTFOLIO_PROGRAMS=100 or more.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from credit_portfolio.errors import ModelError
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.rewriting import altered, with_rows
from credit_portfolio.program.robust import RobustRow, cones, with_tangents
from credit_portfolio.program.turnover import Turnover
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.proved import Cut
from credit_portfolio.solvers.tangents import solve_with_cuts

N_PROGRAMS = min(int(os.environ.get("CREDIT_PORTFOLIO_PROGRAMS", "20")), 100)
CERTIFIED = 1e-9
# Clarabel's cones end at 1e-8 of the objective in the worst of 200 programs.
SAME = 1e-7
# Residuals of the conditions, in parts of the steepest slope: the certificate's gap weighs them by
# distances to bounds, so that single slopes are known to about 1e-8.
SLOPES = 1e-7


def drawn(seed: int, n: int = 0) -> tuple[CreditProgram, list[RobustRow]]:
    """A book with limits, and up to four cones, some of which bind."""
    rng = np.random.default_rng([53, seed])
    n, k = n or int(rng.integers(5, 80)), int(rng.integers(0, 10))
    P, periods = rng.dirichlet(np.full(4, 0.7), n), rng.integers(4, 36, n)
    S = np.sqrt((P * (1 - P) + 0.02) / periods[:, None])
    upper = 3 * rng.lognormal(-0.3, 0.8, n) / n
    upper *= max(1, 1.5 / upper.sum())
    own = 10 ** rng.uniform(-4, -2, n) * 10 ** rng.choice([0.0, 0.0, -5.0])
    program = CreditProgram(
        factors=rng.normal(scale=0.05, size=(k, n)) + 0.05 * rng.normal(size=(k, 1)),
        idiosyncratic=own,
        rows=np.ones((1, n)),
        row_lower=1,
        row_upper=1,
        upper=upper,
        row_names=["budget"],
    )
    best, spread_out = solve(program).x, upper / upper.sum()
    rows = []
    for j in range(int(rng.integers(1, 5))):
        z = float(rng.choice([1.0, 1.645, 4.0]))
        bad = j < 2
        row = RobustRow(f"interval {j}", P[:, j], S[:, j], z, lower=-9, upper=9)
        here, there = row.worst(best)[int(bad)], row.worst(spread_out)[int(bad)]
        bound = there + rng.choice([0.0, 0.1, 0.5, 0.9, -0.3]) * (here - there)
        side = {"upper": bound} if bad else {"lower": bound}
        rows.append(RobustRow(f"interval {j}", P[:, j], S[:, j], z, **side))
    return program, rows


def by_clarabel(program: CreditProgram, rows: list[RobustRow]) -> tuple[str, float]:
    """Solve with real second-order cones, over plain arrays."""
    w = cp.Variable(program.n_customers)
    cost: Any = cp.sum(cp.multiply(program.idiosyncratic, cp.square(w)))
    if program.n_factors:
        cost = cost + cp.sum_squares(program.factors @ w)
    held = [w >= program.lower, w <= program.upper, cp.sum(w) == 1]
    for row in rows:
        margin = row.factor * cp.norm(cp.multiply(row.spread, w))
        if np.isfinite(row.upper):
            held.append(row.mean @ w + margin <= row.upper)
        if np.isfinite(row.lower):
            held.append(row.mean @ w - margin >= row.lower)
    size = float(np.mean(program.idiosyncratic)) / program.n_customers
    size += float((program.factors**2).sum()) / program.n_customers
    problem = cp.Problem(cp.Minimize(cost / size), held)
    fine = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver="CLARABEL", **fine)
        except cp.SolverError:
            return "failed", np.nan
    return problem.status, np.nan if problem.value is None else problem.value * size


def conditions(program: CreditProgram, rows: list[RobustRow], cut: Cut) -> float:
    """Worst residual of the conditions of the program with cones, none of them from the package.

    ∇f + Σ y A + Σ λ_j (p_j ± z_j s_j² w / ‖s_j w‖) vanishes between the bounds and presses against
    them; multipliers press, and only against what holds.
    """
    w, y = cut.solution.x, cut.solution.duals.rows
    slope = 2 * program.factors.T @ (program.factors @ w) + 2 * program.idiosyncratic * w
    size, worst = np.abs(slope).max(), 0.0
    slope = slope + y[0]
    for multiplier, row in zip(y[1:], rows, strict=True):
        side = 1.0 if np.isfinite(row.upper) else -1.0
        bend = side * row.factor * row.spread**2 * w / np.linalg.norm(row.spread * w)
        slope = slope + multiplier * (row.mean + bend)
        value = row.mean @ w + side * row.factor * np.linalg.norm(row.spread * w)
        room = side * ((row.upper if side > 0 else row.lower) - value)
        worst = max(worst, -room, -side * multiplier / size, abs(multiplier) * abs(room) / size)
    inside = (w > program.lower + 1e-9) & (w < program.upper - 1e-9)
    low, high = w <= program.lower + 1e-9, w >= program.upper - 1e-9
    wrong = np.where(inside, np.abs(slope), 0.0)
    wrong = np.where(low, np.maximum(-slope, 0), np.where(high, np.maximum(slope, 0), wrong))
    return max(worst, float(wrong.max()) / size, abs(w.sum() - 1))


def test_random_cones_are_solved_as_by_clarabel_and_meet_their_own_conditions() -> None:
    wrong: list[Any] = []
    told: Counter[str] = Counter()
    solves = []
    for seed in range(N_PROGRAMS):
        program, rows = drawn(seed)
        cut = solve_with_cuts(program, rows)
        verdict, theirs = by_clarabel(program, rows)
        told[f"{cut.solution.status}, {verdict}"] += 1
        if cut.solution.status == "infeasible" and verdict.startswith("infeasible"):
            continue
        if cut.solution.status != "optimal" or not cut.certificate.worst <= CERTIFIED:
            wrong.append((seed, cut, verdict))
            continue
        solves.append(cut.solves)
        left = conditions(program, rows, cut)
        if left > SLOPES:
            wrong.append((seed, f"conditions miss by {left:.1e}"))
        # Ours meets the conditions: where Clarabel's is higher, it stopped short of its optimum.
        told["same"] += bool(abs(cut.objective - theirs) <= SAME * abs(theirs))
        if cut.objective - theirs > SAME * abs(theirs):
            wrong.append((seed, f"{cut.objective} against {theirs} ({verdict})"))
        if not cut.lower_bound <= cut.objective:
            wrong.append((seed, "the lower bound is above"))
    assert wrong == [], told
    assert told["same"] >= 0.8 * len(solves), told
    assert max(solves) <= 20, Counter(solves)
    assert sum(count > 1 for count in solves) >= 0.5 * len(solves), Counter(solves)


def least(row: RobustRow, program: CreditProgram) -> float:
    """The least value of w·p + z‖s∘w‖, by cvxpy."""
    w = cp.Variable(program.n_customers)
    value = row.mean @ w + row.factor * cp.norm(cp.multiply(row.spread, w))
    held = [w >= program.lower, w <= program.upper, cp.sum(w) == 1]
    problem = cp.Problem(cp.Minimize(value), held)
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return float(problem.value)


@pytest.mark.parametrize("miss", [-1e-1, -1e-2, -1e-4, 1e-4, 1e-2])
def test_cones_without_a_common_point_are_proved_to_have_none(miss: float) -> None:
    wrong = []
    for seed in range(max(N_PROGRAMS // 5, 3)):
        program, rows = drawn(seed)
        row = rows[0]
        bound = least(row, program) * (1 + miss)
        asked = RobustRow("loss", row.mean, row.spread, row.factor, upper=bound)
        cut = solve_with_cuts(program, [asked])
        if cut.solution.status != ("optimal" if miss > 0 else "infeasible"):
            wrong.append((seed, cut))
        if miss < 0 and not (
            set(cut.solution.conflict) == {"budget", "loss"} and cut.solution.margin > 0
        ):
            wrong.append((seed, cut.solution.conflict))
        if miss < 0 and not (np.isnan(cut.solution.x).all() and cut.lower_bound == np.inf):
            wrong.append((seed, "an answer where there is none"))
    assert wrong == []


def test_a_limit_on_turnover_can_be_what_rules_the_cones_out() -> None:
    program, rows = drawn(3)
    row, today = rows[0], program.upper / program.upper.sum()
    bound = 0.5 * (least(row, program) + row.worst(today)[1])
    asked = [RobustRow("loss", row.mean, row.spread, row.factor, upper=bound)]
    cut = solve_with_cuts(program, asked, turnover=Turnover(today, limit=0.01))
    assert cut.solution.status == "infeasible"
    assert "turnover" in cut.solution.conflict
    assert "loss" in cut.solution.conflict


def test_the_multiplier_of_a_robust_row_is_the_price_of_its_bound() -> None:
    program, rows = drawn(1)
    row = RobustRow("loss", rows[0].mean, rows[0].spread, 2.0, upper=9.0)
    bound = 0.5 * (row.worst(solve(program).x)[1] + least(row, program))
    step = 1e-5
    found = [
        solve_with_cuts(program, [RobustRow("loss", row.mean, row.spread, 2.0, upper=bound + move)])
        for move in (-step, 0.0, step)
    ]
    slope = (found[2].objective - found[0].objective) / (2 * step)
    assert found[1].solution.duals.rows[1] > 0
    assert slope == pytest.approx(-found[1].solution.duals.rows[1], rel=1e-5)


def test_the_local_program_has_the_same_optimum_and_prices() -> None:
    for seed in range(8):
        cut = solve_with_cuts(*drawn(seed))
        if cut.solution.status != "optimal":
            continue
        again = solve(cut.program)
        np.testing.assert_allclose(again.x, cut.solution.x, atol=1e-7)
        assert cut.program.objective(cut.solution.x) == pytest.approx(again.objective, rel=1e-8)


def test_tangents_lie_outside_the_cone_and_touch_it() -> None:
    rng = np.random.default_rng(2)
    for row in (
        RobustRow("bad", rng.random(6), rng.random(6), 2.0, upper=1.0),
        RobustRow("good", rng.random(6), rng.random(6), 2.0, lower=1.0),
    ):
        (cone,) = cones([row])
        at = rng.random(6)
        tangent = cone.tangent(at)
        side = 1 if cone.side > 0 else 0
        assert tangent @ at == pytest.approx(row.worst(at)[side], rel=1e-12)
        for _ in range(50):
            w = rng.random(6)
            assert cone.side * (row.worst(w)[side] - tangent @ w) >= -1e-12


def test_without_a_margin_a_robust_row_is_a_plain_one() -> None:
    program, rows = drawn(4)
    row = rows[0]
    bound = float(row.mean @ solve(program).x) * 0.98
    cut = solve_with_cuts(program, [RobustRow("loss", row.mean, row.spread, 0.0, upper=bound)])
    plain = solve(with_rows(program, row.mean[None, :], -np.inf, bound, ["loss"]))
    assert cut.solves == 1
    np.testing.assert_allclose(cut.solution.x, plain.x, atol=1e-9)


def test_both_sides_of_a_row_can_be_held() -> None:
    program, rows = drawn(5)
    row, best = rows[0], solve(program).x
    low, high = row.worst(best)
    both = RobustRow("degree", row.mean, row.spread, row.factor, low + 0.005, high + 0.02)
    cut = solve_with_cuts(program, [both])
    assert cut.program.row_names == ("budget", "degree, at most", "degree, at least")
    reached = both.worst(cut.solution.x)
    assert reached[0] >= both.lower - 1e-9
    assert reached[1] <= both.upper + 1e-9


def test_units_and_order_change_no_share() -> None:
    program, rows = drawn(6)
    first = solve_with_cuts(program, rows).solution.x
    small = altered(
        program, factors=program.factors * 1e-3, idiosyncratic=program.idiosyncratic * 1e-6
    )
    np.testing.assert_allclose(solve_with_cuts(small, rows).solution.x, first, atol=1e-7)
    order = np.random.default_rng(0).permutation(program.n_customers)
    turned = altered(
        program,
        factors=program.factors[:, order],
        idiosyncratic=program.idiosyncratic[order],
        upper=program.upper[order],
    )
    moved = [
        RobustRow(r.name, r.mean[order], r.spread[order], r.factor, r.lower, r.upper) for r in rows
    ]
    np.testing.assert_allclose(solve_with_cuts(turned, moved).solution.x, first[order], atol=1e-7)


def test_an_earlier_contact_saves_programs() -> None:
    program, rows = drawn(1)
    first = solve_with_cuts(program, rows)
    again = solve_with_cuts(program, rows, start=first.contact)
    assert first.solves > 2
    assert again.solves <= 2
    np.testing.assert_allclose(again.solution.x, first.solution.x, atol=1e-7)


def test_a_large_book_is_settled_in_few_programs() -> None:
    program, rows = drawn(7, n=30_000)
    cut = solve_with_cuts(program, rows)
    assert cut.solution.status == "optimal"
    assert cut.certificate.worst <= CERTIFIED
    assert cut.solves <= 10
    assert conditions(program, rows, cut) <= SLOPES


def test_another_solver_can_be_named() -> None:
    program, rows = drawn(8)
    ours = solve_with_cuts(program, rows)
    theirs = solve_with_cuts(program, rows, "clarabel")
    assert theirs.solution.solver == "clarabel"
    assert theirs.objective == pytest.approx(ours.objective, rel=1e-8)


def test_uniqueness_is_not_claimed_from_the_curvature_that_was_added() -> None:
    program, rows = drawn(1)
    n = program.n_customers
    bare = altered(program, idiosyncratic=np.zeros(n), factors=np.ones((1, n)))
    row = RobustRow("loss", rows[0].mean, rows[0].spread, 2.0, upper=9.0)
    low, best = least(row, program), row.worst(solve(program).x)[1]
    asked = RobustRow("loss", row.mean, row.spread, 2.0, upper=low + 0.3 * (best - low))
    # The variance is that of the budget, whatever the shares: every point of the cone is optimal.
    assert solve_with_cuts(bare, [asked]).solution.unique is not True
    assert solve_with_cuts(program, [asked]).solution.unique is True


def test_customers_without_spread_leave_no_slope_at_zero() -> None:
    program = CreditProgram(
        idiosyncratic=[0.01, 0.02, 0.03], rows=[[1, 1, 1]], row_lower=1, row_upper=1, upper=0.9,
        row_names=["budget"],
    )  # fmt: skip
    row = RobustRow("loss", [0.3, 0.1, 0.0], [0.0, 0.0, 0.0], 2.0, upper=0.1)
    cut = solve_with_cuts(program, [row])
    plain = solve(with_rows(program, [[0.3, 0.1, 0.0]], -np.inf, 0.1, ["loss"]))
    np.testing.assert_allclose(cut.solution.x, plain.x, atol=1e-9)
    assert with_tangents(program, [], np.zeros(3)) is program


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"factor": -1.0}, "would not be convex"),
        ({"factor": np.nan}, "is NaN"),
        ({"spread": [0.1, -0.1]}, "0 or more"),
        ({"spread": [0.1]}, "expected \\(2,\\)"),
        ({"upper": np.inf}, "expected one finite bound"),
        ({"lower": 0.9}, "expected one finite bound"),
    ],
)
def test_wrong_robust_rows_are_refused(change: dict[str, Any], said: str) -> None:
    right = {"mean": [0.1, 0.2], "spread": [0.1, 0.1], "factor": 1.0, "upper": 0.5}
    with pytest.raises(ModelError, match=said):
        RobustRow("loss", **{**right, **change})


def test_rows_of_other_customers_or_names_are_refused() -> None:
    program = CreditProgram(idiosyncratic=[1.0, 1.0, 1.0], rows=[[1, 1, 1]], row_names=["loss"])
    with pytest.raises(ModelError, match="has 2 customers, the program 3"):
        solve_with_cuts(program, [RobustRow("x", [0.1, 0.2], [0.1, 0.1], 1.0, upper=0.5)])
    with pytest.raises(ModelError, match="each name may occur once"):
        solve_with_cuts(program, [RobustRow("loss", np.ones(3), np.ones(3), 1.0, upper=0.5)])
