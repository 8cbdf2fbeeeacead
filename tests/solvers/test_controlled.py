"""All controls together, against cvxpy; and what prices and reasons are read from.

Twenty random programs run by default, all two hundred where the environment sets
CREDIT_PORTFOLIO_PROGRAMS=200 or more.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import linprog

from credit_portfolio.errors import InfeasibleError, ModelError
from credit_portfolio.program.controls import Controls
from credit_portfolio.program.cvar import Tail
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.robust import RobustRow
from credit_portfolio.program.turnover import Turnover
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.controlled import Controlled, solve_controlled

N_PROGRAMS = min(int(os.environ.get("CREDIT_PORTFOLIO_PROGRAMS", "20")), 200)
CERTIFIED = 1e-9
# Clarabel's cones and kinks end at 1e-8 of the objective in the worst of 1,000 programs.
SAME = 1e-7
# HiGHS leaves 1e-10 of a loss of one.
LINEAR = 1e-9


def drawn(seed: int) -> tuple[CreditProgram, Controls]:
    """A book and any of the controls; some have no common point, or none of their own."""
    rng = np.random.default_rng([67, seed])
    n, k = int(rng.integers(5, 60)), int(rng.integers(0, 8))
    upper = 3 * rng.lognormal(-0.3, 0.8, n) / n
    upper *= max(1, 1.5 / upper.sum())
    program = CreditProgram(
        factors=rng.normal(scale=0.05, size=(k, n)) + 0.05 * rng.normal(size=(k, 1)),
        idiosyncratic=10 ** rng.uniform(-4, -2, n),
        rows=np.ones((1, n)),
        row_lower=1,
        row_upper=1,
        upper=upper,
        row_names=["budget"],
    )
    inside = upper / upper.sum()
    # Mostly there is room around one point, sometimes the controls contradict each other there.
    room = rng.choice([1.0, 1.0, 1.0, -10.0])
    given: dict[str, Any] = {}
    if rng.random() < 0.6:
        industry = rng.choice(["steel", "food"], n)
        industry[:2] = ["steel", "food"]
        nested = [f"{a} / {b}" for a, b in zip(industry, rng.choice(["x", "y"], n), strict=True)]
        steel = float(inside[industry == "steel"].sum())
        first = float(inside[[name == nested[0] for name in nested]].sum())
        given["labels"] = {"industry": industry, "nested": nested}
        given["groups"] = {
            "industry": {"steel": (max(steel - 0.1, 0), min(steel + 0.05, 1.0))},
            "nested": {nested[0]: min(1.0, 1.1 * first)},
        }
    if rng.random() < 0.6:
        given["mean"] = rng.normal(0.1, 0.05, n)
        given["least_return"] = float(given["mean"] @ inside) - 0.002 * room
    if rng.random() < 0.6:
        now = np.where(rng.random(n) < 0.3, 0.0, rng.dirichlet(np.full(n, 0.5)))
        now = (0.5 * now + 0.5 * inside) * rng.choice([1.0, 0.9, 1.1])
        gone = float(rng.choice([0.0, 0.05]))
        cost = rng.choice([0.0, 1e-5, 1e-3]) * rng.random(n)
        moved = 0.5 * (np.abs(now - inside).sum() + gone)
        limited = rng.random() < 0.7 or not cost.any()
        limit = moved + 0.1 * rng.random() * room if limited else None
        given["turnover"] = Turnover(now, limit and max(limit, 0.0), cost, gone)
    if rng.random() < 0.4:
        R = rng.normal(0.1, 0.2, (int(rng.integers(3, 20)), n))
        R[rng.random(R.shape) < 0.1] = np.nan
        R[0] = 0.1
        confidence = float(rng.choice([0.0, 0.5, 0.8, 0.95]))
        given["tail"] = Tail(R, confidence, float(rng.choice([0.0, 0.1, 1.0])))
    rows = []
    for j in range(int(rng.integers(0, 4))):
        p, s = rng.dirichlet(np.ones(n)) * n / 4, rng.uniform(0.02, 0.2, n)
        row = RobustRow(f"interval {j}", p, s, 1.645, -9.0, 9.0)
        low, high = row.worst(inside)
        side = {"upper": high + 0.005 * room} if j % 2 else {"lower": low - 0.005 * room}
        rows.append(RobustRow(row.name, p, s, 1.645, **side))
    return program, Controls(**given, robust=rows)


def by_cvxpy(program: CreditProgram, controls: Controls) -> tuple[str, float]:
    """The same in cvxpy's own words: absolute values, norms and the tail as they are written."""
    w = cp.Variable(program.n_customers)
    cost: Any = cp.sum(cp.multiply(program.idiosyncratic, cp.square(w)))
    if program.n_factors:
        cost = cost + cp.sum_squares(program.factors @ w)
    held: list[Any] = [w >= program.lower, w <= program.upper, cp.sum(w) == 1]
    size, tail, turnover = float(program.idiosyncratic.max()), controls.tail, controls.turnover
    if tail is not None:
        part = (1 - tail.confidence) * tail.returns.shape[0]
        # The largest k losses, k a fraction: cvxpy's own atom. Below one period, the worst one.
        risk = cp.sum_largest(-tail.returns @ w, max(part, 1.0)) / max(part, 1.0)
        cost, size = tail.variance_weight * cost + risk, 0.1
    if turnover is not None:
        cost = cost + turnover.cost @ cp.abs(w - turnover.current)
        moved = 0.5 * (cp.norm1(w - turnover.current) + turnover.gone)
        if turnover.limited:
            held.append(moved <= turnover.limit)
    if controls.mean is not None:
        held.append(np.asarray(controls.mean) @ w >= controls.least_return)
    for column, bounds in (controls.groups or {}).items():
        for label, bound in bounds.items():
            of_label = np.asarray(controls.labels[column]) == label
            share = of_label.astype(float) @ w
            low, high = bound if isinstance(bound, tuple) else (0.0, bound)
            held += [share >= low, share <= high]
    for row in controls.robust:
        margin = row.factor * cp.norm(cp.multiply(row.spread, w))
        if np.isfinite(row.upper):
            held.append(row.mean @ w + margin <= row.upper)
        else:
            held.append(row.mean @ w - margin >= row.lower)
    problem = cp.Problem(cp.Minimize(cost / size), held)
    fine = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver="CLARABEL", **fine)
        except cp.SolverError:
            return "failed", np.nan
    return problem.status, np.nan if problem.value is None else problem.value * size


def violation(program: CreditProgram, controls: Controls, w: np.ndarray) -> float:
    """By how much shares miss what was asked, by plain NumPy."""
    missed = [abs(w.sum() - 1), (program.lower - w).max(), (w - program.upper).max()]
    if controls.turnover is not None:
        moved = np.abs(w - controls.turnover.current).sum() + controls.turnover.gone
        missed.append(0.5 * moved - controls.turnover.limit)
    if controls.mean is not None:
        missed.append(controls.least_return - np.asarray(controls.mean) @ w)
    for column, bounds in (controls.groups or {}).items():
        for label, bound in bounds.items():
            low, high = bound if isinstance(bound, tuple) else (0.0, bound)
            share = w[np.asarray(controls.labels[column]) == label].sum()
            missed += [low - share, share - high]
    for row in controls.robust:
        margin = row.factor * np.sqrt(((row.spread * w) ** 2).sum())
        missed += [row.mean @ w + margin - row.upper, row.lower - row.mean @ w + margin]
    return float(max(missed))


def objective(program: CreditProgram, controls: Controls, w: np.ndarray) -> float:
    value = ((program.factors @ w) ** 2).sum() + program.idiosyncratic @ w**2
    if controls.tail is not None:
        losses = np.sort(-controls.tail.returns @ w)[::-1]
        part = max((1 - controls.tail.confidence) * losses.size, 1.0)
        weights = np.clip(part - np.arange(losses.size), 0, 1) / part
        value = controls.tail.variance_weight * value + weights @ losses
    if controls.turnover is not None:
        value += controls.turnover.cost @ np.abs(w - controls.turnover.current)
    return float(value)


def test_all_controls_together_end_where_cvxpy_ends() -> None:
    wrong: list[Any] = []
    told: Counter[str] = Counter()
    for seed in range(N_PROGRAMS):
        program, controls = drawn(seed)
        verdict, theirs = by_cvxpy(program, controls)
        try:
            found = solve_controlled(program, controls)
        except InfeasibleError:
            told["told before solving"] += 1
            if not verdict.startswith("infeasible"):
                wrong.append((seed, "told infeasible", verdict))
            continue
        status = str(found.solution.status)
        told[status] += 1
        if status == "infeasible" and verdict.startswith("infeasible"):
            continue
        worst = max(found.certificate.worst, found.solution.certificate.worst)
        if status != "optimal" or worst > CERTIFIED:
            wrong.append((seed, verdict, found))
            continue
        told["of them with cones"] += bool(controls.robust)
        w = found.solution.x
        missed = violation(program, controls, w)
        if missed > CERTIFIED:
            wrong.append((seed, f"violated by {missed:.1e}"))
        if abs(objective(program, controls, w) - found.objective) > 1e-12 * (1 + abs(theirs)):
            wrong.append((seed, "the objective is another one"))
        # Ours was found to meet all that is asked: a higher one stopped short of its own optimum.
        told["same"] += bool(abs(found.objective - theirs) <= SAME * abs(theirs))
        if found.objective - theirs > SAME * abs(theirs):
            wrong.append((seed, f"{found.objective} against {theirs} ({verdict})"))
        if not found.objective - 1e-8 * abs(found.objective) <= found.lower_bound:
            wrong.append((seed, "the lower bound is far below"))
    assert wrong == [], told
    assert told["optimal"] >= 0.5 * N_PROGRAMS, told
    assert told["same"] >= 0.9 * told["optimal"], told
    assert told["infeasible"] + told["told before solving"] >= 0.05 * N_PROGRAMS, told
    assert told["of them with cones"] >= 0.2 * N_PROGRAMS, told


def test_the_local_program_has_the_same_optimum() -> None:
    compared = 0
    for seed in range(40):
        program, controls = drawn(seed)
        if controls.tail is not None and controls.tail.variance_weight == 0:
            continue  # a linear program: its optimum is a corner that the local one shares
        try:
            found = solve_controlled(program, controls)
        except InfeasibleError:
            continue
        if found.solution.status != "optimal":
            continue
        again = solve(found.program)
        assert again.status == "optimal"
        np.testing.assert_allclose(again.x, found.solution.x, atol=1e-6)
        compared += 1
    assert compared >= 10


def test_two_customers_and_a_limit_in_exact_fractions() -> None:
    program = CreditProgram(
        idiosyncratic=[0.01, 0.04], rows=[[1, 1]], row_lower=1, row_upper=1, row_names=["budget"]
    )
    # Free, the shares are 4/5 and 1/5; from a half each, only a tenth may move.
    found = solve_controlled(program, Controls(turnover=Turnover([0.5, 0.5], limit=0.1)))
    np.testing.assert_allclose(found.solution.x, [0.6, 0.4], atol=1e-9)
    slope = Fraction(2, 100) * Fraction(6, 10) - Fraction(8, 100) * Fraction(4, 10)
    assert found.moving_price == pytest.approx(float(-slope), rel=1e-9)
    # At a cost of κ each way the shares stop where f' = −2κ: 0.02 x − 0.08 (1 − x) = −2κ.
    cost = Fraction(5, 1000)
    exact = (Fraction(8, 100) - 2 * cost) / Fraction(10, 100)
    costly = solve_controlled(program, Controls(turnover=Turnover([0.5, 0.5], cost=float(cost))))
    assert costly.solution.x[0] == pytest.approx(float(exact), rel=1e-9)
    assert costly.moving_cost == pytest.approx(float(2 * cost * (exact - Fraction(1, 2))), rel=1e-9)


def test_nobody_moves_where_moving_costs_more_than_it_gains() -> None:
    program, _ = drawn(1)
    today = program.upper / program.upper.sum()
    found = solve_controlled(program, Controls(turnover=Turnover(today, cost=1.0)))
    np.testing.assert_allclose(found.solution.x, today, atol=1e-12)
    assert found.turnover == pytest.approx(0, abs=1e-12)


def test_the_price_of_moving_is_that_of_the_limit() -> None:
    program, _ = drawn(2)
    today = program.upper / program.upper.sum()
    step = 1e-5
    found = [
        solve_controlled(program, Controls(turnover=Turnover(today, 0.2 + move, 1e-5)))
        for move in (-step, 0.0, step)
    ]
    slope = (found[2].objective - found[0].objective) / (2 * step)
    assert found[1].moving_price > 0
    assert slope == pytest.approx(-found[1].moving_price, rel=1e-5)


def test_customers_who_left_use_up_half_of_what_they_held() -> None:
    program, _ = drawn(3)
    today = 0.9 * program.upper / program.upper.sum()
    gone = solve_controlled(program, Controls(turnover=Turnover(today, 0.2, gone=0.1)))
    rest = solve_controlled(program, Controls(turnover=Turnover(today, 0.15)))
    np.testing.assert_allclose(gone.solution.x, rest.solution.x, atol=1e-8)
    assert gone.turnover == pytest.approx(0.2, abs=1e-9)


# ------------------------------------------------------------------------------------------- CVaR


def panel(n: int, m: int = 24) -> tuple[CreditProgram, np.ndarray]:
    rng = np.random.default_rng([71, n])
    R = 0.1 + 0.05 * rng.standard_t(4, (m, 1)) + 0.2 * rng.normal(size=(m, n))
    R[rng.random(R.shape) < 0.1] = np.nan
    upper = np.minimum(1, 4 * rng.lognormal(-0.3, 0.8, n) / n)
    program = CreditProgram(
        factors=np.nan_to_num(R - np.nanmean(R, axis=0)) / np.sqrt(m),
        idiosyncratic=1e-3,
        rows=np.ones((1, n)),
        row_lower=1,
        row_upper=1,
        upper=upper * max(1, 1.5 / upper.sum()),
        row_names=["budget"],
    )
    return program, R


@pytest.mark.parametrize("n", [10, 1_000, 10_000])
@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_cvar_is_that_of_a_linear_program(n: int, confidence: float) -> None:
    program, R = panel(n)
    mean = np.nanmean(R, axis=0)
    filled, m = np.where(np.isnan(R), mean, R), R.shape[0]
    cost = np.concatenate([np.zeros(n), [1.0], np.full(m, 1 / ((1 - confidence) * m))])
    told = linprog(
        cost,
        A_ub=np.hstack([-filled, -np.ones((m, 1)), -np.eye(m)]),
        b_ub=np.zeros(m),
        A_eq=np.concatenate([np.ones(n), np.zeros(m + 1)])[None, :],
        b_eq=[1.0],
        bounds=[*zip(np.zeros(n), program.upper, strict=True), (None, None), *[(0, None)] * m],
        method="highs",
    )
    found = solve_controlled(program, Controls(tail=Tail(R, confidence)))
    assert found.solution.status == "optimal"
    assert found.certificate.worst <= CERTIFIED
    assert found.cvar == pytest.approx(told.fun, abs=LINEAR)
    assert found.period_weights.sum() == pytest.approx(1)
    weighted = solve_controlled(program, Controls(tail=Tail(R, confidence, 0.1)))
    assert weighted.solution.status == "optimal"
    assert weighted.solution.unique is True
    assert weighted.cvar >= found.cvar - LINEAR


def test_of_several_shares_with_the_same_worst_periods_the_smallest_norm_is_taken() -> None:
    # Two customers always earn the same, and one much less: any mix of the two has the same tail.
    R = [[0.1, 0.1, -0.5], [0.2, 0.2, -0.4]]
    program = CreditProgram(
        idiosyncratic=[1.0, 1.0, 1.0], rows=[[1, 1, 1]], row_lower=1, row_upper=1, upper=1.0,
        row_names=["budget"],
    )  # fmt: skip
    found = solve_controlled(program, Controls(tail=Tail(R, 0.5)))
    np.testing.assert_allclose(found.solution.x, [0.5, 0.5, 0], atol=1e-7)
    assert found.solution.unique is False
    assert "smallest norm" in found.how


def test_of_several_books_without_variance_the_smallest_norm_is_taken() -> None:
    rng = np.random.default_rng(9)
    F = rng.normal(size=(2, 8))
    program = CreditProgram(
        factors=F, rows=np.ones((1, 8)), row_lower=1, row_upper=1, upper=0.5, row_names=["budget"]
    )
    now = rng.dirichlet(np.ones(8))
    found = solve_controlled(program, Controls(turnover=Turnover(now, 0.15)))
    assert found.solution.status == "optimal"
    w = cp.Variable(8)
    held = [w >= 0, w <= 0.5, cp.sum(w) == 1, cp.norm1(w - now) <= 0.3]
    first = cp.Problem(cp.Minimize(cp.sum_squares(F @ w)), held)
    first.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    assert found.objective == pytest.approx(first.value, abs=1e-9)
    second = cp.Problem(cp.Minimize(cp.sum_squares(w)), [*held, F @ w == F @ found.solution.x])
    second.solve(solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    assert found.solution.x @ found.solution.x == pytest.approx(second.value, rel=1e-7)


# ------------------------------------------------------------------------------------- the frame


def test_auxiliary_columns_come_through_all_controls() -> None:
    everything = next(c for c in map(drawn, range(400)) if has_everything(c[1]))
    program, controls = everything
    n = program.n_customers
    # One more column, the largest share, with a price: w_i ≤ h.
    wide = CreditProgram(
        factors=np.hstack([program.factors, np.zeros((program.n_factors, 1))]),
        idiosyncratic=np.append(program.idiosyncratic, 0.0),
        linear=np.append(np.zeros(n), 1e-3),
        rows=np.vstack([np.append(np.ones(n), 0.0), np.hstack([np.eye(n), -np.ones((n, 1))])]),
        row_lower=np.append(1.0, np.full(n, -np.inf)),
        row_upper=np.append(1.0, np.zeros(n)),
        lower=np.append(program.lower, 0.0),
        upper=np.append(program.upper, 1.0),
    )
    found = solve_controlled(wide, replace(controls, customers=n))
    assert found.solution.status == "optimal"
    assert found.solution.x.size == n + 1
    assert found.solution.x[n] == pytest.approx(found.solution.x[:n].max(), abs=1e-9)
    assert violation(program, controls, found.solution.x[:n]) <= CERTIFIED
    with pytest.raises(ModelError, match=r"customers, the program"):
        solve_controlled(wide, controls)


def has_everything(controls: Controls) -> bool:
    parts = (controls.groups, controls.mean, controls.turnover, controls.tail)
    if any(part is None for part in parts) or not controls.robust:
        return False
    return 0.05 < controls.turnover.limit < 1


def test_without_controls_it_is_the_plain_program() -> None:
    program, _ = drawn(4)
    found, plain = solve_controlled(program, Controls()), solve(program)
    np.testing.assert_allclose(found.solution.x, plain.x, atol=1e-12)
    assert found.program is program
    assert found.objective == pytest.approx(plain.objective)
    assert found.solves == 1


def test_a_contradiction_names_the_controls() -> None:
    program, _ = drawn(5)
    n = program.n_customers
    mean = np.linspace(0, 0.1, n)
    today = np.zeros(n)
    today[0] = min(1.0, program.upper[0])
    rest = program.upper.copy()
    rest[0] = 0.0
    today += (1 - today.sum()) * rest / rest.sum()
    reach = float(mean @ today)
    controls = Controls(mean=mean, least_return=reach + 0.01, turnover=Turnover(today, limit=0.02))
    found = solve_controlled(program, controls)
    assert found.solution.status == "infeasible"
    assert {"expected return", "turnover"} <= set(found.solution.conflict)
    assert found.lower_bound == np.inf
    assert found.solution.duals.rows.size == 2


def test_the_message_tells_what_was_done() -> None:
    found = next(f for f in map(solved, range(60)) if f is not None)
    assert "cones settled by tangents" in found.how
    assert "cut at the current book" in found.how


def solved(seed: int) -> Controlled | None:
    program, controls = drawn(seed)
    if controls.turnover is None or not controls.robust:
        return None
    try:
        return solve_controlled(program, controls)
    except InfeasibleError:
        return None


@pytest.mark.parametrize(
    "given", [{"labels": {}}, {"groups": {}}, {"mean": [0.1]}, {"least_return": 0.1}]
)
def test_halves_of_a_control_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="belong together"):
        Controls(**given)
