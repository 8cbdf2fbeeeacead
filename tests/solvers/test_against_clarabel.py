"""Thousands of random programs against Clarabel, called directly, and their verdicts by linprog.

The first 600 run by default, a part of them with sampling, sifting and Newton's method forced on a
few dozen customers. All 2,000 run where the environment sets CREDIT_PORTFOLIO_PROGRAMS=2000.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve

N_PROGRAMS = int(os.environ.get("CREDIT_PORTFOLIO_PROGRAMS", "600"))
N_FORCED = N_PROGRAMS // 2
N_VERDICTS = 620
CERTIFIED = 1e-9
# Of 3,000 programs two have a certificate that extended precision does not confirm: one misses by
# the rounding of terms that cancel, one has a multiplier of 1e119 on a row that holds exactly.
LOST = 0.002
# The project's bar: the objective of an independent solver to eight digits.
OBJECTIVE = 1e-8
# Of a minimum below a millionth of what it is measured by, Clarabel leaves a little.
NOTHING = 1e-6
# linprog's phase one is good to 1e-10 in rows of norm one; no case is drawn between the two.
MISSED = 1e-8


def drawn(seed: int) -> dict[str, Any]:
    """Arguments of a random program that can be met: its rows hold at a point inside the bounds."""
    rng = np.random.default_rng([20261121, seed])
    n = int(rng.integers(1, 61))
    k = int(rng.choice([0, 1, 2, 5, 12, 36, 80]))
    scale = 10.0 ** rng.uniform(-4, 1)
    F = scale * (rng.normal(size=(k, n)) * rng.uniform(0.1, 3, n) + rng.normal(size=(k, 1)))
    D = {
        "own": rng.uniform(0.01, 1, n),
        "decades": 10.0 ** rng.uniform(-6, 0, n),
        "some": np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0.01, 1, n)),
        "none": np.zeros(n),
    }[str(rng.choice(["own", "decades", "some", "none"], p=[0.4, 0.25, 0.2, 0.15]))] * scale**2
    if n > 3 and rng.random() < 0.2:  # twins, and customers without any risk in common
        twin = rng.integers(0, n, n)
        F, D = F[:, twin], D[twin]
    if rng.random() < 0.15:
        F[:, rng.random(n) < 0.2] = 0.0
    lower, upper = np.zeros(n), np.full(n, np.inf)
    if rng.random() < 0.8:
        upper = rng.lognormal(0.5, 1.0, n) / n
    if rng.random() < 0.2:
        lower = np.minimum(upper, rng.choice([0.0, 0.3], n) / n)
    if rng.random() < 0.2:
        fixed = rng.random(n) < 0.3
        lower = np.where(fixed, np.minimum(upper, 1 / n), lower)
        upper = np.where(fixed, lower, upper)
    if rng.random() < 0.15:
        free = rng.random(n) < 0.3
        lower, upper = np.where(free, -np.inf, lower), np.where(free, np.inf, upper)
    inside = np.clip(rng.dirichlet(np.ones(n)), lower, np.minimum(upper, 3.0 / n))
    rows, low, high = [np.ones(n)], [inside.sum()], [inside.sum()]
    for _ in range(int(rng.integers(0, 7))):
        row = {
            "degrees": rng.random(n) ** 3,
            "group": (rng.random(n) < 0.4).astype(float),
            "any": rng.normal(size=n),
        }[str(rng.choice(["degrees", "group", "any"]))] * 10.0 ** rng.uniform(-3, 3)
        at, room = row @ inside, np.abs(row) @ inside * rng.choice([0.0, 1e-3, 0.1])
        kind = rng.choice(5, p=[0.15, 0.3, 0.3, 0.2, 0.05])
        rows.append(row)
        low.append([at, -np.inf, at - room, at - room, -np.inf][kind])
        high.append([at, at + room, np.inf, at + room, np.inf][kind])
    cost = rng.random() < 0.3 and not (np.isinf(lower).any() and (D == 0).any())
    A = np.array(rows)
    return {
        "factors": F,
        "idiosyncratic": D,
        "linear": rng.normal(size=n) * scale**2 / n if cost and np.isfinite(upper).all() else None,
        "rows": sparse.csr_array(A) if rng.random() < 0.4 else A,
        "row_lower": np.array(low),
        "row_upper": np.array(high),
        "lower": lower,
        "upper": upper,
    }


def differences(
    seeds: range, prove: Any, by_clarabel: Any, by_piqp: Any
) -> tuple[list[Any], Counter[str]]:
    wrong: list[Any] = []
    counted: Counter[str] = Counter()
    for seed in seeds:
        program = CreditProgram(**drawn(seed))
        solution = solve(program)
        counted[str(solution.status)] += 1
        counted[solution.message.split()[0] + " by " + solution.solver] += 1
        if solution.status != "optimal":
            wrong.append((seed, solution))
            continue
        proof = prove(program, solution.x, solution.duals.rows)
        if solution.certificate.worst > CERTIFIED:
            wrong.append((seed, solution))
        counted["proof lost in extended precision"] += proof.worst > CERTIFIED
        other, best = None, np.inf
        for solver in (by_clarabel, by_piqp):  # PIQP where Clarabel is far from its own optimum
            found = solver(program)
            if found is not None and best > OBJECTIVE:
                theirs = prove(program, *found)
                if other is None or theirs.worst < best:
                    other, best, size = found, theirs.worst, max(theirs.size, proof.size)
        if other is None:
            wrong.append((seed, "no reference"))
            continue
        apart = solution.objective - program.objective(other[0])
        exact = abs(solution.objective) > NOTHING * size and best <= OBJECTIVE
        counted["compared to eight digits"] += exact
        if (abs(apart) if exact else apart) > OBJECTIVE * size:
            wrong.append((seed, f"{apart / size:.1e} apart, the reference is good to {best:.1e}"))
    return wrong, counted


def test_every_objective_equals_clarabels_to_eight_digits(
    prove: Any, by_clarabel: Any, by_piqp: Any
) -> None:
    wrong, counted = differences(range(N_PROGRAMS), prove, by_clarabel, by_piqp)
    assert wrong == [], counted
    assert counted["optimal"] == N_PROGRAMS
    assert counted["proof lost in extended precision"] <= LOST * N_PROGRAMS
    assert counted["compared to eight digits"] >= 0.75 * N_PROGRAMS, counted
    # The second opinion of "auto" is for the rare one, where the first ends at 2e-9.
    second = sum(n for said, n in counted.items() if said.endswith("clarabel"))
    assert second <= 0.01 * N_PROGRAMS, counted


def test_every_objective_is_the_same_where_the_customers_are_sampled(
    small_scale: Callable[..., None], prove: Any, by_clarabel: Any, by_piqp: Any
) -> None:
    small_scale(sample=12, near=1)
    seeds = range(10_000, 10_000 + N_FORCED)
    wrong, counted = differences(seeds, prove, by_clarabel, by_piqp)
    assert wrong == [], counted
    assert counted["proof lost in extended precision"] <= LOST * N_FORCED
    methods = [f"{said} by dual_newton" for said in ("dual", "sifting", "interior")]
    assert min(counted[method] for method in methods) >= 0.02 * N_FORCED, counted


@pytest.mark.parametrize("method", ["auto", "interior_point"])
def test_the_verdict_on_feasibility_is_linprogs(method: str, total_miss: Any) -> None:
    wrong = []
    told: Counter[str] = Counter()
    for seed in range(20_000, 20_000 + N_VERDICTS):
        given = drawn(seed)
        rng = np.random.default_rng(seed)
        # Ask the last row for more than its point delivers: too much for about half of them.
        row = np.asarray(CreditProgram(**given).rows[[-1]] @ np.ones(given["lower"].size))
        miss = rng.choice([1e-6, 1e-3, 0.1, 1.0]) * (abs(float(row[0])) or 1.0)
        if len(given["row_lower"]) == 1:
            given["upper"] = np.minimum(given["upper"], np.maximum(given["lower"], 1.0))
            miss *= 10
        bound = given["row_lower"][-1] if np.isfinite(given["row_lower"][-1]) else 0.0
        given["row_lower"] = np.r_[given["row_lower"][:-1], bound + miss]
        given["row_upper"] = np.r_[
            given["row_upper"][:-1], max(bound + miss, given["row_upper"][-1])
        ]
        program = CreditProgram(**given)
        missed = total_miss(program)
        solution = solve(program, method)
        told[str(solution.status)] += 1
        if MISSED / 100 < missed < MISSED:
            told["too near to tell"] += 1
            continue
        verdict = "infeasible" if missed >= MISSED else "optimal"
        # By itself the interior point may end without a proof, and says so; "auto" asks again.
        if method == "interior_point" and solution.status == "failed":
            continue
        if solution.status != verdict:
            wrong.append((seed, missed, solution))
    assert wrong == [], told
    assert told["failed"] <= 0.005 * N_VERDICTS, told
    assert told["infeasible"] >= 200, told
    assert told["optimal"] >= 50, told
    assert told["too near to tell"] <= 5, told
