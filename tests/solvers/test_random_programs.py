"""500 random programs against PIQP, linprog and plain dense arithmetic, none of it the package's.

PIQP is called directly, on a problem that this file scales in its own way. Every verdict of
``solve`` is recomputed here from the original arrays with an n × n covariance.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import piqp
import pytest
from scipy import sparse
from scipy.optimize import linprog

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import Solution, solve

N_PROGRAMS = 500
# The bar of the project: the same objective as an independent solver to eight digits.
OBJECTIVE = 1e-8
# solve() asks its certificate for 1e-9; this file's own residuals are measured a little
# differently (per row against the larger of bound and terms), which costs less than a factor 2.
RESIDUAL = 2e-9
# A minimum of zero (more customers than periods, D = 0) has no relative error. It is measured
# against a millionth of the variance of the same shares if all customers moved together.
UNDIVERSIFIED = 1e-6
# linprog solves the phase-one program to 1e-10 in rows of norm one; an infeasible program must
# miss by clearly more, and the generator draws none that misses by less than 1e-6.
MISSED = 1e-8
# Shares count as tied when linprog moves them by more than this part of the largest: its own
# 1e-7 on rows of norm one moves them by up to some 1e-5 where the rows are nearly dependent.
TIED = 1e-3
# Two interior points on the same program of smallest norm.
SMALLEST = 1e-6


# ------------------------------------------------------------------------------ the generator


def drawn_program(seed: int) -> dict[str, Any]:
    """Arguments of a random program; about a quarter cannot be met."""
    rng = np.random.default_rng([20240229, seed])
    n = int(rng.choice([2, 3, 5, 8, 13, 20, 35]))
    k = int(rng.choice([0, 1, 3, 6, 12, 24]))
    F = rng.normal(size=(k, n)) * 10.0 ** rng.uniform(-3, 0) * rng.uniform(0.2, 3, n)
    F += rng.normal(size=(k, 1)) * (rng.random() < 0.5) * 0.1
    kind = rng.choice(["own", "tiny", "none", "some", "equal"])
    D = {
        "own": rng.uniform(0.001, 0.1, n),
        "tiny": np.full(n, 1e-6),
        "none": np.zeros(n),
        "some": np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0.001, 0.1, n)),
        "equal": np.full(n, 0.01),
    }[str(kind)]
    P = rng.dirichlet(np.full(4, 0.4), n).round(2)
    if rng.random() < 0.4:  # customers that no number tells apart
        twin = rng.integers(0, n, n)
        F, D, P = F[:, twin], D[twin], P[twin]
    lower, upper = drawn_bounds(rng, n)
    inside = np.clip(rng.dirichlet(np.ones(n)), lower, upper)
    inside = fitted(inside, lower, upper)
    rows, row_lower, row_upper = drawn_rows(rng, P, inside)
    linear = rng.normal(size=n) * 10.0 ** rng.uniform(-4, -1) if rng.random() < 0.3 else None
    dense_rows: Any = rows
    return {
        "factors": F,
        "idiosyncratic": D,
        "linear": linear,
        "rows": sparse.csr_array(rows) if rng.random() < 0.3 else dense_rows,
        "row_lower": row_lower,
        "row_upper": row_upper,
        "lower": lower,
        "upper": upper,
    }


def drawn_bounds(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = np.zeros(n), np.full(n, np.inf)
    if rng.random() < 0.7:  # limits, some of them zero
        upper = rng.choice([0.0, 0.5, 1.0, 2.0, 8.0], n, p=[0.15, 0.2, 0.3, 0.2, 0.15]) / n
    if rng.random() < 0.25:  # floors
        lower = np.minimum(upper, rng.choice([0.0, 0.2], n) / n)
    if rng.random() < 0.25:  # fixed shares
        fixed = rng.random(n) < 0.2
        level = np.where(np.isfinite(upper), upper, 1.0 / n) * 0.5
        lower, upper = np.where(fixed, level, lower), np.where(fixed, level, upper)
    if rng.random() < 0.15:  # shares that may be of either sign
        free = rng.random(n) < 0.4
        lower, upper = np.where(free, -np.inf, lower), np.where(free, np.inf, upper)
    return lower, upper


def fitted(w: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Spread what is missing of 1 over the room that is left (as far as there is any)."""
    missing = 1.0 - w.sum()
    room = np.minimum(upper - w, 1.0) if missing > 0 else np.minimum(w - lower, 1.0)
    if room.sum() > abs(missing):
        w = w + missing * room / room.sum()
    return w


def drawn_rows(
    rng: np.random.Generator, P: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = inside.size
    rows, low, high = [np.ones(n)], [1.0], [1.0]
    # From loose over exactly tight to asking for more than the point inside delivers.
    slack = rng.choice([0.05, 0.01, 0.0, -0.02, -0.2], p=[0.2, 0.2, 0.3, 0.2, 0.1])
    if rng.random() < 0.7:
        B = inside @ P
        for j in rng.permutation(4)[: rng.integers(1, 5)]:
            rows.append(P[:, j])
            bad = j < 2
            low.append(-np.inf if bad else B[j] - slack)
            high.append(B[j] + slack if bad else np.inf)
    if rng.random() < 0.4:  # a group between two bounds
        group = (rng.random(n) < 0.5).astype(float)
        rows.append(group)
        low.append(inside @ group - 0.03)
        high.append(inside @ group + 0.03)
    if rng.random() < 0.2:  # an equality beside the budget, and one that says the same twice
        row = rng.normal(size=n)
        rows += [row, 2.0 * row]
        low += [inside @ row, 2.0 * (inside @ row)]
        high += [inside @ row, 2.0 * (inside @ row)]
    return np.array(rows), np.array(low), np.array(high)


# ------------------------------------------------------------- the other ways to the same answer


class Dense:
    """The same program as plain arrays: S (n, n), c, A (q, n) and the bounds."""

    def __init__(self, given: dict[str, Any]) -> None:
        F, D = given["factors"], given["idiosyncratic"]
        self.S = F.T @ F + np.diag(D)
        self.F, self.D = F, D
        n = D.size
        self.c = np.zeros(n) if given["linear"] is None else given["linear"]
        rows = given["rows"]
        self.A = rows.toarray() if sparse.issparse(rows) else rows
        self.rl, self.ru = given["row_lower"], given["row_upper"]
        self.l, self.u = given["lower"], given["upper"]

    def f(self, w: np.ndarray) -> float:
        e = self.F @ w
        return float(e @ e + self.D @ w**2 + self.c @ w)

    def size_of(self, w: np.ndarray) -> float:
        """What eight digits of the objective are counted from."""
        sd = np.sqrt(np.diag(self.S))
        e = self.F @ w
        together = float(sd @ np.abs(w)) ** 2 + float(np.abs(self.c) @ np.abs(w))
        size = float(e @ e + self.D @ w**2) + abs(float(self.c @ w)) + UNDIVERSIFIED * together
        return size if size > 0 else 1.0

    def violation(self, w: np.ndarray) -> float:
        Aw = self.A @ w
        of_rows = np.maximum(np.maximum(self.rl - Aw, Aw - self.ru), 0)
        terms = np.maximum(np.abs(self.A) @ np.abs(w), 1e-300)
        of_bounds = np.maximum(np.maximum(self.l - w, w - self.u), 0)
        share = max(np.abs(w).max(), 1e-300)
        return float(max((of_rows / terms).max(), of_bounds.max() / share))

    def could_fall_by(self, w: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """How far any feasible point can be below f(w), and the slope on open sides.

        The gap is weak duality for the linearised objective, whoever supplied w and y. A slope
        towards an open side would count infinitely, also where it is rounding of 1e-18, so it is
        told apart and held against the largest term of the slope.
        """
        y = np.where(((y > 0) & np.isinf(self.ru)) | ((y < 0) & np.isinf(self.rl)), 0.0, y)
        risk, pull = 2.0 * self.S @ w, self.A.T @ y
        reduced = risk + self.c + pull
        far = np.where(reduced > 0, self.l, self.u)
        closed = np.isfinite(far)
        side = np.where(y > 0, self.ru, np.where(y < 0, self.rl, 0.0))
        press = y != 0
        gap = float(reduced[closed] @ (w - far)[closed]) + float(
            y[press] @ (side - self.A @ w)[press]
        )
        sd = np.sqrt(np.diag(self.S))
        floor = UNDIVERSIFIED * 2.0 * sd.max() * float(sd @ np.abs(w))
        terms = max(np.abs(risk).max(), np.abs(self.c).max(), np.abs(pull).max()) + floor
        slope = np.abs(reduced[~closed]).max(initial=0.0)
        return gap, float(slope / terms) if slope > 0 else 0.0


def by_piqp(p: Dense) -> tuple[np.ndarray, np.ndarray] | None:
    """PIQP on the program in its own scale: each share in 1/n, each row over its largest entry."""
    n = p.c.size
    unit = 1.0 / n
    row = np.abs(p.A).max(axis=1)
    row[row == 0] = 1.0
    size = max(float(np.trace(p.S)) * unit**2, float(np.abs(p.c).max()) * unit, 1e-300)
    found = _piqp(p, unit, row, size)
    for _ in range(2):  # an absolute tolerance asks for little while the objective is far below 1
        if found is None or not 0 < p.size_of(found[0]) < 0.1 * size:
            break
        size = p.size_of(found[0])
        found = _piqp(p, unit, row, size) or found
    return found


def _piqp(
    p: Dense, unit: float, row: np.ndarray, size: float
) -> tuple[np.ndarray, np.ndarray] | None:
    equal = p.rl == p.ru
    A = p.A * unit / row[:, None]
    rl, ru = p.rl / row, p.ru / row
    solver = piqp.DenseSolver()
    settings = solver.settings
    settings.eps_abs = settings.eps_duality_gap_abs = 1e-11
    settings.eps_rel = settings.eps_duality_gap_rel = 1e-12
    settings.eps_primal_inf = settings.eps_dual_inf = 1e-10
    settings.max_iter = 400
    settings.iterative_refinement_always_enabled = True
    solver.setup(
        np.asfortranarray(2 * p.S * unit**2 / size),
        p.c * unit / size,
        np.asfortranarray(A[equal]),
        rl[equal],
        np.asfortranarray(A[~equal]),
        rl[~equal],
        ru[~equal],
        p.l / unit,
        p.u / unit,
    )
    status = solver.solve()
    if status in (piqp.PIQP_PRIMAL_INFEASIBLE, piqp.PIQP_DUAL_INFEASIBLE):
        return None
    r = solver.result
    y = np.zeros(p.rl.size)
    y[equal] = r.y
    y[~equal] = np.asarray(r.z_u) - np.asarray(r.z_l)
    return np.clip(np.asarray(r.x) * unit, p.l, p.u), y * size / row


def least_total_miss(p: Dense) -> float:
    """Phase one on the original rows, brought to largest entry one: 0 for a feasible program."""
    n, q = p.c.size, p.rl.size
    row = np.abs(p.A).max(axis=1)
    row[row == 0] = 1.0
    A = np.hstack([p.A / row[:, None], np.eye(q), -np.eye(q)])
    up, low = np.isfinite(p.ru), np.isfinite(p.rl)
    result = linprog(
        np.r_[np.zeros(n), np.ones(2 * q)],
        A_ub=np.vstack([A[up], -A[low]]),
        b_ub=np.r_[(p.ru / row)[up], -(p.rl / row)[low]],
        bounds=[*zip(p.l, p.u, strict=True), *[(0, None)] * (2 * q)],
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert result.status == 0, result.message
    return float(result.fun)


def falls_forever(p: Dense) -> bool:
    """A direction within the cone of the constraints, of no variance and of negative cost."""
    n = p.c.size
    up, low = np.isfinite(p.ru), np.isfinite(p.rl)
    result = linprog(
        p.c,
        A_ub=np.vstack([p.A[up], -p.A[low]]),
        b_ub=np.zeros(up.sum() + low.sum()),
        A_eq=np.vstack([p.F, np.diag(p.D)]),
        b_eq=np.zeros(p.F.shape[0] + n),
        bounds=[
            (0 if np.isfinite(a) else -1, 0 if np.isfinite(b) else 1)
            for a, b in zip(p.l, p.u, strict=True)
        ],
    )
    return bool(result.status == 0 and result.fun < -1e-9 * np.abs(p.c).max())


# ----------------------------------------------------------------------------------- the verdicts


@cache
def answer(seed: int) -> tuple[Dense, Solution]:
    given = drawn_program(seed)
    return Dense(given), solve(CreditProgram(**given))


def answers(status: str) -> list[tuple[int, Dense, Solution]]:
    found = [(seed, *answer(seed)) for seed in range(N_PROGRAMS)]
    return [(seed, p, solution) for seed, p, solution in found if solution.status == status]


def test_the_generator_draws_what_makes_programs_hard() -> None:
    drawn: Counter[str] = Counter()
    for seed in range(N_PROGRAMS):
        given = drawn_program(seed)
        F, D, low, high = (given[x] for x in ("factors", "idiosyncratic", "lower", "upper"))
        columns = np.vstack([F, D]).T
        drawn["twins"] += len(np.unique(columns, axis=0)) < len(columns)
        drawn["zero limits"] += bool(((high == 0) & (low == 0)).any())
        drawn["fixed shares"] += bool(((high == low) & (high > 0)).any())
        drawn["more customers than factors, D = 0"] += F.shape[1] > F.shape[0] and not D.any()
        drawn["tiny D"] += bool((D == 1e-6).all())
        drawn["free variables"] += bool(np.isinf(low).any())
        drawn["linear cost"] += given["linear"] is not None
        drawn["sparse rows"] += sparse.issparse(given["rows"])
        rl, ru = given["row_lower"], given["row_upper"]
        drawn["two-sided rows"] += bool((np.isfinite(rl) & np.isfinite(ru) & (rl < ru)).any())
        drawn["second equality"] += int((rl == ru).sum()) > 1
    assert min(drawn.values()) >= 40, drawn


def test_every_program_gets_a_verdict_and_both_kinds_occur_often() -> None:
    verdicts = Counter(str(answer(seed)[1].status) for seed in range(N_PROGRAMS))
    assert verdicts["failed"] == 0, verdicts
    assert verdicts["optimal"] >= 300
    assert verdicts["infeasible"] >= 80


def test_no_optimum_is_false_by_residuals_recomputed_here() -> None:
    wrong = []
    for seed, p, solution in answers("optimal"):
        gap, slope = p.could_fall_by(solution.x, solution.duals.rows)
        worst = (p.violation(solution.x), gap / p.size_of(solution.x), slope)
        if max(worst) > RESIDUAL:
            wrong.append((seed, worst))
    assert wrong == []


def test_every_objective_equals_piqps_to_eight_digits() -> None:
    wrong, relative = [], 0
    for seed, p, solution in answers("optimal"):
        found = by_piqp(p)
        if found is None:
            wrong.append((seed, "PIQP calls it infeasible"))
            continue
        ours, theirs, size = p.f(solution.x), p.f(found[0]), p.size_of(solution.x)
        if abs(ours) > UNDIVERSIFIED * size:
            size = abs(ours)
            relative += 1
        if abs(ours - theirs) > OBJECTIVE * size or p.violation(found[0]) > OBJECTIVE:
            wrong.append((seed, f"{ours} here, {theirs} there, size {size}"))
    assert wrong == []
    assert relative >= 300  # the others compare zero with zero


def test_the_objective_is_reported_as_it_is() -> None:
    for _, p, solution in answers("optimal"):
        # Two orders of summation of at most 35 × 35 terms.
        assert solution.objective == pytest.approx(
            p.f(solution.x), rel=1e-12, abs=1e-14 * p.size_of(solution.x)
        )


def test_every_infeasible_is_confirmed_by_linprog() -> None:
    missed = {seed: least_total_miss(p) for seed, p, _ in answers("infeasible")}
    assert {seed: miss for seed, miss in missed.items() if miss < MISSED} == {}


def test_every_optimum_belongs_to_a_program_that_linprog_calls_feasible() -> None:
    missed = {seed: least_total_miss(p) for seed, p, _ in answers("optimal")}
    assert {seed: miss for seed, miss in missed.items() if miss > MISSED} == {}


def test_every_unbounded_is_confirmed_by_linprog() -> None:
    assert [seed for seed, p, _ in answers("unbounded") if not falls_forever(p)] == []


# ------------------------------------------------------------------------------------------- ties


def optimal_set(p: Dense, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows and bounds that cut out all optima, given one: equal F w, D w and cᵀw."""
    own = p.D > 0
    levels = np.vstack([p.F, p.c[None]])
    A = np.vstack([p.A, levels])
    size = np.abs(A).max(axis=1)
    size[size == 0] = 1.0
    A = A / size[:, None]
    rl, ru = (np.r_[bound, levels @ x] / size for bound in (p.rl, p.ru))
    box = np.column_stack([np.where(own, x, p.l), np.where(own, x, p.u)])
    return A, rl, ru, box


def reach(p: Dense, x: np.ndarray, seed: int) -> float:
    """How far other optima lie from x, along random directions, relative to the largest share."""
    A, rl, ru, box = optimal_set(p, x)
    up, low = np.isfinite(ru) & (rl < ru), np.isfinite(rl) & (rl < ru)
    equal = rl == ru
    far = 0.0
    for sign in (1.0, -1.0):
        g = sign * np.random.default_rng(seed).normal(size=x.size)
        result = linprog(
            g,
            A_ub=np.vstack([A[up], -A[low]]),
            b_ub=np.r_[ru[up], -rl[low]],
            A_eq=A[equal],
            b_eq=rl[equal],
            bounds=box,
        )
        if result.status == 3:  # without end
            return np.inf
        far = max(far, float(np.abs(result.x - x).max()) if result.status == 0 else 0.0)
    return far / float(np.abs(x).max())


@pytest.mark.parametrize("unique", [True, False])
def test_unique_means_that_no_other_shares_reach_the_minimum(unique: bool) -> None:
    wrong, looked_at = [], 0
    for seed, p, solution in answers("optimal"):
        if solution.unique is not unique or (p.D == 0).sum() < 2 or not solution.x.any():
            continue
        looked_at += 1
        far = reach(p, solution.x, seed)
        if (far > TIED) is unique:
            wrong.append((seed, far))
    assert wrong == []
    assert looked_at >= 30


def test_of_tied_shares_the_smallest_norm_is_taken_as_piqp_finds_it() -> None:
    wrong, looked_at = [], 0
    for seed, p, solution in answers("optimal"):
        if solution.unique is not False:
            continue
        A, rl, ru, box = optimal_set(p, solution.x)
        second = Dense.__new__(Dense)
        second.F, second.D, second.c = (
            np.zeros((0, p.c.size)),
            np.ones(p.c.size),
            np.zeros(p.c.size),
        )
        second.S, second.A, second.rl, second.ru = np.eye(p.c.size), A, rl, ru
        second.l, second.u = box.T
        found = by_piqp(second)
        if found is None or second.violation(found[0]) > MISSED:
            continue  # rows that repeat each other stop PIQP on some of these
        looked_at += 1
        apart = np.abs(found[0] - solution.x).max() / np.abs(solution.x).max(initial=1e-300)
        if apart > SMALLEST:
            wrong.append((seed, apart))
    assert wrong == []
    assert looked_at >= 30
