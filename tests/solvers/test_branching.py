"""Branch and bound against the enumeration of all branches by another solver, and cases by hand.

Every enumeration works on the definitions of the operators: it cuts the shares at every min(w, ·),
names who is largest in each interval, and hands each convex piece to Clarabel. 30 random programs a
kind run by default; 300 where the environment sets CREDIT_PORTFOLIO_PROGRAMS to so many or more.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import clarabel
import numpy as np
import piqp
import pytest
from scipy import sparse
from scipy.optimize import linprog

from credit_portfolio.errors import ModelError
from credit_portfolio.evaluation.operators import OPERATORS, operator_named
from credit_portfolio.program.alternatives import plain, with_minimum_line
from credit_portfolio.program.composition import compose
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.branching import BranchStatus, branch

# There are ten kinds here, so that 300 of each are 3,000 programs.
N_PROGRAMS = min(int(os.environ.get("CREDIT_PORTFOLIO_PROGRAMS", "30")), 300)
# Clarabel's pieces are good to eight digits and a little.
OBJECTIVE = 1e-7
# A target or piece that is missed by less is on its edge, where Clarabel and we may differ.
EDGE = 1e-7
KINKED = ("main_factor_decisive", "bounded_sum", "balanced")
PEAKS = ("main_factor_decisive", "main_factor_prominent")


# ---------------------------------------------------------------------------- the enumeration


@dataclass(frozen=True)
class Asked:
    """A book of few customers, and targets under an operator."""

    operator: str
    normalised: bool
    P: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    F: np.ndarray
    D: np.ndarray
    floor: np.ndarray
    cap: np.ndarray
    least: np.ndarray

    @property
    def program(self) -> CreditProgram:
        return CreditProgram(
            factors=self.F,
            idiosyncratic=self.D,
            rows=np.ones((1, self.D.size)),
            row_lower=1.0,
            row_upper=1.0,
            lower=self.floor,
            upper=self.cap,
            row_names=["budget"],
        )

    def stated(self) -> Any:
        composed = compose(
            self.operator,
            self.P,
            upper=self.upper,
            lower=self.lower,
            program=self.program,
            normalised=self.normalised,
        )
        return with_minimum_line(composed, self.least)

    def missed(self, w: np.ndarray) -> float:
        """By how much shares miss anything that is asked, from the definitions alone."""
        misses = [abs(w.sum() - 1), (self.floor - w).max(), (w - self.cap).max()]
        misses.append(float(np.minimum(w, self.least - w).max()))
        if np.isfinite(np.r_[self.upper, self.lower]).any():
            B = operator_named(self.operator, normalised=self.normalised)(w, self.P)
            misses += [(B - self.upper).max(), (self.lower - B).max()]
        return float(max(misses))


def drawn(seed: int, operator: str, normalised: bool, n_most: int, k_most: int = 3) -> Asked:
    rng = np.random.default_rng([20261122, seed])
    n, k = int(rng.integers(2, n_most + 1)), int(rng.integers(2, k_most + 1))
    P = rng.dirichlet(np.full(k, 0.6), n)
    if rng.random() < 0.5:
        P = np.round(P * 6) / 6  # counts of few periods: ties, zeros
    cap = np.ones(n)
    if rng.random() < 0.5:
        cap = np.minimum(1.0, rng.uniform(0.6, 2.7, n) / n)
        cap = np.minimum(1.0, cap * max(1.0, 1.3 / cap.sum()))
    floor = np.where(rng.random(n) < 0.15, 0.1 * cap, 0.0)
    book = rng.dirichlet(np.full(n, 0.7))
    raw = OPERATORS[operator](book, P)
    B = raw / raw.sum() if normalised and raw.sum() > 0 else raw
    pick, asked = rng.random(k), np.clip(B * rng.uniform(0.8, 1.2, k), 0, 1)
    least = np.zeros(n)
    if rng.random() < 0.25:
        least = rng.uniform(0.1, 0.6, n) * (rng.random(n) < 0.7)
    return Asked(
        operator=operator,
        normalised=normalised,
        P=P,
        upper=np.where(pick < 0.35, asked, np.inf),
        lower=np.where((pick >= 0.35) & (pick < 0.7), asked, -np.inf),
        F=rng.normal(size=(2, n)) * 0.05,
        D=rng.uniform(0.001, 0.01, n),
        floor=floor,
        cap=np.maximum(cap, floor),
        least=least,
    )


def smallest_of_all_pieces(asked: Asked) -> float:
    """The least objective over every convex piece, +inf where none has a point."""
    n, k = asked.P.shape
    S = asked.F.T @ asked.F + np.diag(asked.D)
    total = asked.P.sum(axis=0)
    caps = asked.P / np.where(total > 0, total, 1) if asked.operator == "balanced" else asked.P
    targets = [j for j in range(k) if np.isfinite([asked.upper[j], asked.lower[j]]).any()]
    used = (list(range(k)) if asked.normalised else targets) if targets else []
    largest: Any = itertools.product(range(n), repeat=len(used) * (asked.operator in PEAKS))
    largest = list(largest)
    best = np.inf
    for piece in itertools.product(*(_pieces(asked, caps, used, i) for i in range(n))):
        low, high = np.array(piece).T
        if low.sum() > 1 + EDGE or high.sum() < 1 - EDGE:
            continue
        term = {(i, j): _term(asked, caps, high, i, j) for i in range(n) for j in used}
        for who in largest:
            degree, rows = _degrees(asked, term, used, who)
            rows += _targets(asked, degree, used)
            G = np.array([*np.eye(n), *-np.eye(n), *(row for row, _ in rows)])
            h = np.concatenate([high, -low, [bound for _, bound in rows]])
            best = min(best, _least_variance(S, G, h))
    return best


def _pieces(asked: Asked, caps: np.ndarray, used: list[int], i: int) -> list[tuple[float, float]]:
    """Where the share of a customer may lie so that each of his terms is linear."""
    cap, least = float(asked.cap[i]), float(asked.least[i])
    kinks = sorted({float(caps[i, j]) for j in used} if asked.operator in KINKED else set())
    cuts = [0.0, *(at for at in kinks if 0 < at < cap), cap]
    # Two kinks a rounding apart leave a piece without an inside, which its neighbours cover.
    pieces = [(a, b) for a, b in itertools.pairwise(cuts) if b - a > EDGE / 100 or cap == 0]
    if least > 0:
        pieces = [(0.0, 0.0)] + [(max(a, least), b) for a, b in pieces if b >= least]
    floor = float(asked.floor[i])
    return [(max(a, floor), b) for a, b in pieces if b >= floor]


def _term(
    asked: Asked, caps: np.ndarray, high: np.ndarray, i: int, j: int
) -> tuple[np.ndarray, float]:
    """w_i ⊗ p_ij on a piece, as row and constant."""
    row = np.zeros(high.size)
    if asked.operator not in KINKED:
        row[i] = asked.P[i, j]
        return row, 0.0
    if high[i] <= caps[i, j]:
        row[i] = 1.0
        return row, 0.0
    return row, float(caps[i, j])


def _degrees(
    asked: Asked, term: dict[Any, Any], used: list[int], who: tuple[int, ...]
) -> tuple[dict[int, Any], list[Any]]:
    """B_j as row and constant, and the rows that make the named customers the largest."""
    n = asked.D.size
    degree: dict[int, Any] = {}
    rows = []
    for place, j in enumerate(used):
        if asked.operator not in PEAKS:
            degree[j] = tuple(sum(term[i, j][part] for i in range(n)) for part in (0, 1))
            continue
        top = term[who[place], j]
        degree[j] = top
        rows += [(term[i, j][0] - top[0], top[1] - term[i, j][1]) for i in range(n)]
    return degree, rows


def _targets(asked: Asked, degree: dict[int, Any], used: list[int]) -> list[Any]:
    rows = []
    for j in used:
        row, constant = degree[j]
        for bound, sign in ((asked.upper[j], 1.0), (asked.lower[j], -1.0)):
            if not np.isfinite(bound):
                continue
            if asked.normalised:
                all_rows = sum(degree[m][0] for m in used)
                all_constant = sum(degree[m][1] for m in used)
                rows.append(
                    (sign * (row - bound * all_rows), sign * (bound * all_constant - constant))
                )
            else:
                rows.append((sign * row, sign * (bound - constant)))
    return rows


def _least_variance(S: np.ndarray, G: np.ndarray, h: np.ndarray) -> float:
    """Clarabel, called directly: min wᵀSw, Gw ≤ h, Σw = 1."""
    n, size = S.shape[0], float(np.trace(S)) / S.shape[0]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    A = sparse.csc_matrix(np.vstack([np.ones(n), G]))
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(h.size)]
    found = clarabel.DefaultSolver(
        sparse.csc_matrix(np.triu(2 * S / size)), np.zeros(n), A, np.r_[1.0, h], cones, settings
    ).solve()
    if "Solved" in str(found.status):
        return size * float(found.obj_val)
    if "Infeasible" in str(found.status):
        return np.inf
    return size * _second_opinion(S / size, G, h)


def _second_opinion(S: np.ndarray, G: np.ndarray, h: np.ndarray) -> float:
    """HiGHS on whether a piece has a point, PIQP on its least: for pieces with hardly an inside."""
    n = S.shape[0]
    phase_one = linprog(
        np.zeros(n), A_ub=G, b_ub=h, A_eq=np.ones((1, n)), b_eq=[1.0], bounds=(None, None)
    )
    if phase_one.status == 2:
        return np.inf
    solver = piqp.DenseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-10
    solver.setup(2 * S, np.zeros(n), np.ones((1, n)), np.ones(1), G, np.full(h.size, -1e30), h)
    status = solver.solve()
    assert status == piqp.PIQP_SOLVED, status
    return float(solver.result.info.primal_obj)


# ---------------------------------------------------------------------------- against it


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("operator", list(OPERATORS))
def test_the_optimum_is_the_best_of_all_pieces(operator: str, normalised: bool) -> None:
    # Of the decisive factor every kink meets every choice of the largest: 3 customers are 1,728
    # pieces. Raw, two intervals for four customers are no fewer.
    n_most, k_most = 4 if normalised else 5, 3
    if operator == "main_factor_decisive":
        n_most, k_most = (3, 3) if normalised else (4, 2)
    wrong: list[Any] = []
    told: Counter[str] = Counter()
    for seed in range(N_PROGRAMS):
        asked = drawn(seed, operator, normalised, n_most, k_most)
        best, found = smallest_of_all_pieces(asked), branch(asked.stated())
        told[str(found.status)] += 1
        told["branched"] += found.nodes > 1
        if np.isinf(best):
            if found.status != "infeasible":
                wrong.append((seed, best, found))
            continue
        apart = abs(found.objective - best) / best
        held = found.solution is not None and found.solution.status == "optimal"
        if found.status != "optimal" or apart > OBJECTIVE or not held:
            wrong.append((seed, best, found))
        elif asked.missed(np.asarray(found.shares)) > EDGE or found.bound > best * (1 + OBJECTIVE):
            wrong.append((seed, asked.missed(np.asarray(found.shares)), found))
    assert wrong == [], told
    assert told["optimal"] >= 0.4 * N_PROGRAMS, told
    assert told["infeasible"] >= 0.02 * N_PROGRAMS, told


@pytest.mark.parametrize("operator", ["bounded_sum", "main_factor_prominent"])
def test_six_customers_are_enumerated_too(operator: str) -> None:
    wrong = []
    for seed in range(max(N_PROGRAMS // 10, 3)):
        drawn_six = next(
            a
            for a in (drawn(s, operator, False, 6) for s in itertools.count(1000 * seed))
            if a.D.size == 6
            and np.isfinite(a.upper if operator == "bounded_sum" else a.lower).any()
        )
        best, found = smallest_of_all_pieces(drawn_six), branch(drawn_six.stated())
        same = (
            found.status == "infeasible"
            if np.isinf(best)
            else (found.status == "optimal" and abs(found.objective - best) <= OBJECTIVE * best)
        )
        if not same:
            wrong.append((seed, best, found))
    assert wrong == []


def test_the_minimum_line_is_the_best_of_all_subsets() -> None:
    wrong = []
    for seed in range(max(N_PROGRAMS // 10, 3)):
        rng = np.random.default_rng(seed)
        n = 8
        asked = replace(
            drawn(seed, "weighted_average", False, 2),
            P=rng.dirichlet(np.ones(2), n),
            upper=np.array([0.5, np.inf]),
            lower=np.full(2, -np.inf),
            F=rng.normal(size=(3, n)) * 0.05,
            D=10.0 ** rng.uniform(-4, -2, n),
            floor=np.zeros(n),
            cap=rng.uniform(0.2, 0.6, n),
            least=rng.uniform(0.05, 0.2, n),
        )
        best, found = smallest_of_all_pieces(asked), branch(asked.stated())
        if found.status != "optimal" or abs(found.objective - best) > OBJECTIVE * best:
            wrong.append((seed, best, found))
    assert wrong == []


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "weighted_average"])
def test_no_random_book_beats_a_proved_bound(operator: str, normalised: bool) -> None:
    rng = np.random.default_rng(7)
    met = 0
    for seed in range(4):
        n, k = 12, 3
        P = np.round(rng.dirichlet(np.full(k, 0.6), n) * 12) / 12
        today = rng.dirichlet(np.full(n, 0.7))
        B = operator_named(operator, normalised=normalised)(today, P)
        asked = replace(
            drawn(seed, operator, normalised, 2),
            P=P,
            upper=np.array([B[0], np.inf, np.inf]),
            lower=np.array([-np.inf, -np.inf, B[2]]),
            F=rng.normal(size=(3, n)) * 0.05,
            D=rng.uniform(0.001, 0.01, n),
            floor=np.zeros(n),
            cap=np.ones(n),
            least=np.zeros(n),
        )
        found = branch(asked.stated(), start=today, max_nodes=300)
        program = asked.program
        assert found.status in ("optimal", "bound only")
        assert found.objective <= program.objective(today) * (1 + 1e-9)
        near = np.asarray(found.shares)
        for _ in range(600):
            mixed = rng.dirichlet(np.full(n, 0.5))
            part = rng.choice([1e-3, 1e-2, 0.1, 1.0])
            w = (1 - part) * (near if rng.random() < 0.5 else today) + part * mixed
            if asked.missed(w) <= 0:
                met += 1
                assert program.objective(w) >= found.bound
    assert met > 100


# ---------------------------------------------------------------------------- by hand


def equal(n: int, **changes: Any) -> CreditProgram:
    """A budget over n customers of the same variance, who get equal shares."""
    given = {"idiosyncratic": np.ones(n), "rows": np.ones((1, n)), "row_lower": 1, "row_upper": 1}
    return CreditProgram(**{**given, **changes}, row_names=["budget"])


def one_sided(k: int, **given: tuple[int, float]) -> dict[str, np.ndarray]:
    upper, lower = np.full(k, np.inf), np.full(k, -np.inf)
    if "upper" in given:
        upper[given["upper"][0]] = given["upper"][1]
    if "lower" in given:
        lower[given["lower"][0]] = given["lower"][1]
    return {"upper": upper, "lower": lower}


P3 = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9]])


def test_one_who_can_is_raised_to_what_the_ruling_factor_asks() -> None:
    # max_i min(w_i, p_i1) >= 0.4: the third cannot, one of the other two gets 0.4, the rest share.
    stated = compose("main_factor_decisive", P3, **one_sided(2, lower=(0, 0.4)), program=equal(3))
    found = branch(stated)
    assert found.status is BranchStatus.OPTIMAL
    assert sorted(found.shares[:2]) == pytest.approx([0.3, 0.4])
    assert found.shares[2] == pytest.approx(0.3)
    assert found.objective == pytest.approx(0.34)


def test_the_prominent_factor_is_reached_where_it_costs_least() -> None:
    # max_i w_i p_i2 >= 0.45: w_3 >= 1/2 or w_1 >= 0.9; so 1/2 for the third, 1/4 for each other.
    stated = compose("main_factor_prominent", P3, **one_sided(2, lower=(1, 0.45)), program=equal(3))
    assert branch(stated).shares == pytest.approx([0.25, 0.25, 0.5])


def test_a_share_beyond_its_kink_adds_nothing_to_a_bounded_sum() -> None:
    # Σ min(w_i, p_i1) with p = (0.5, 0.5, 0.1): equal shares give 0.5 + ... = 1/3 + 1/3 + 0.1.
    # At most 0.5 needs 0.4 in the first two: 0.2 each, 0.6 beyond the kink of the third.
    stated = compose("bounded_sum", P3, **one_sided(2, upper=(0, 0.5)), program=equal(3))
    found = branch(stated)
    assert found.shares == pytest.approx([0.2, 0.2, 0.6])
    assert found.objective == pytest.approx(0.44)


def test_the_minimum_line_drops_those_below_it() -> None:
    program = equal(3, idiosyncratic=[1, 2, 4])  # without a line 4/7, 2/7, 1/7
    found = branch(with_minimum_line(program, 0.2))
    # Two customers at 2/3 and 1/3: 2/3; or the third at 0.2 and the others 8/15, 4/15: 0.5867.
    assert found.shares == pytest.approx([8 / 15, 4 / 15, 0.2])
    found = branch(with_minimum_line(program, 0.3))
    assert found.shares == pytest.approx([2 / 3, 1 / 3, 0.0])


def test_a_minimum_line_and_an_operator_hold_together() -> None:
    stated = compose("bounded_sum", P3, **one_sided(2, upper=(0, 0.5)), program=equal(3))
    found = branch(with_minimum_line(stated, 0.25))
    # 0.2 each is below the line: one of the first two gets 0.4 at most, the third the rest.
    assert sorted(found.shares) == pytest.approx([0.0, 0.4, 0.6])


def test_more_lines_than_the_budget_can_hold_leave_few_customers() -> None:
    found = branch(with_minimum_line(equal(6), 0.3))
    assert sorted(found.shares) == pytest.approx([0, 0, 0, 1 / 3, 1 / 3, 1 / 3])


def test_a_plain_program_is_solved_as_it_is() -> None:
    program = equal(3, idiosyncratic=[1, 2, 4])
    found = branch(program)
    assert found.shares == pytest.approx(solve(program).x)
    assert found.objective == pytest.approx(4 / 7)
    assert branch(plain(program)).nodes == found.nodes == 1


# ---------------------------------------------------------------------------- what is told


def book(n: int, seed: int = 3) -> tuple[CreditProgram, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    P = np.round(rng.dirichlet(np.full(4, 0.6), n) * 24 + 0.5) / 26
    program = equal(
        n, factors=rng.normal(size=(4, n)) * 0.03, idiosyncratic=rng.uniform(0.001, 0.01, n)
    )
    return program, P, rng.dirichlet(np.full(n, 0.5))


def hard(n: int = 40) -> Any:
    program, P, _ = book(n)
    B = operator_named("bounded_sum", normalised=True)(solve(program).x, P)
    bounds = one_sided(4, upper=(0, 0.75 * B[0]), lower=(3, min(1.25 * B[3], 1.0)))
    return compose("bounded_sum", P, **bounds, program=program, normalised=True)


def test_a_limit_of_boxes_leaves_a_bound_and_says_so() -> None:
    stated = hard()
    short, long = branch(stated, max_nodes=1), branch(stated, max_nodes=60)
    assert short.status == "bound only"
    assert short.open_nodes > 0
    assert "the limit of boxes ended the search" in short.message
    assert short.gap > short.tolerance
    assert short.bound <= long.bound * (1 + 1e-12)
    assert long.bound <= long.objective
    assert long.objective <= short.objective


def test_a_limit_of_seconds_is_kept_and_named() -> None:
    found = branch(hard(), max_seconds=1e-6)
    assert found.status == "bound only"
    assert "the limit of seconds" in found.message


def test_a_looser_tolerance_closes_earlier_and_its_bound_holds() -> None:
    stated = hard(14)
    tight, loose = branch(stated), branch(stated, tolerance=0.05)
    assert tight.status == loose.status == "optimal"
    assert loose.nodes <= tight.nodes
    assert loose.gap <= 0.05
    assert loose.bound <= tight.objective * (1 + 1e-9)


def test_the_solution_is_a_certified_optimum_of_its_piece() -> None:
    program, P, today = book(20)
    B = operator_named("main_factor_prominent")(today, P)
    bounds = one_sided(4, upper=(0, B[0]), lower=(3, B[3]))
    found = branch(compose("main_factor_prominent", P, **bounds, program=program), start=today)
    assert found.status == "optimal"
    assert found.program is not None
    assert found.solution is not None
    assert found.solution.certificate.holds
    assert found.solution.x.tolist() == found.shares.tolist()
    assert found.program.row_names[0] == "budget"
    assert found.program.n_customers == 20


def test_todays_book_is_an_answer_where_nothing_better_is_found() -> None:
    program, P, today = book(30)
    B = operator_named("main_factor_decisive", normalised=True)(today, P)
    upper, lower = np.full(4, np.inf), np.full(4, -np.inf)
    upper[:2], lower[2:] = B[:2], B[2:]
    stated = compose(
        "main_factor_decisive", P, upper=upper, lower=lower, program=program, normalised=True
    )
    found = branch(stated, start=today, max_nodes=1)
    assert found.objective <= program.objective(today) * (1 + 1e-9)
    assert found.bound <= found.objective


def test_shares_that_miss_a_condition_are_no_start() -> None:
    stated = with_minimum_line(equal(3), 0.3)
    with_it = branch(stated, start=np.array([0.8, 0.1, 0.1]))
    assert with_it.shares == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_rows_that_conflict_before_any_branch_are_named() -> None:
    held = equal(2, upper=0.3)
    found = branch(with_minimum_line(held, 0.1))
    assert found.status is BranchStatus.INFEASIBLE
    assert found.conflict == pytest.approx({"budget": -1.0})
    assert np.isnan(found.shares).all()
    assert found.solution is None


def test_what_only_all_branches_together_rule_out_is_proved_too() -> None:
    # Each share is 0 or at least 0.4, and at most 0.45: two make at most 0.9, three at least 1.2.
    found = branch(with_minimum_line(equal(5, upper=0.45), 0.4))
    assert found.status is BranchStatus.INFEASIBLE
    assert (found.bound, found.objective) == (np.inf, np.inf)
    assert "nothing is left" in found.message


def test_a_target_that_nobody_can_reach_is_infeasible() -> None:
    stated = compose("main_factor_decisive", P3, **one_sided(2, lower=(0, 0.6)), program=equal(3))
    assert branch(stated).status is BranchStatus.INFEASIBLE


def test_kinks_that_differ_by_a_rounding_are_one() -> None:
    # 0.1 + 0.2 and 0.3 differ in the last digit. Shares of 0.6, 0.2, 0.2 count 0.7 in both.
    P = np.array([[0.1 + 0.2, 0.3, 0.4], [0.9, 0.8, 0.6], [0.2, 0.2, 0.6]])
    bounds = {"upper": np.full(3, np.inf), "lower": np.array([0.75, 0.75, -np.inf])}
    program = equal(3, idiosyncratic=[1, 3, 3])
    found = branch(compose("bounded_sum", P, **bounds, program=program))
    assert found.status == "optimal"
    assert found.shares == pytest.approx([0.55, 0.25, 0.2])


def test_sparse_rows_give_the_same_answer() -> None:
    program, P, _ = book(25)
    bounds = one_sided(4, upper=(0, 0.2), lower=(3, 0.3))
    answers = []
    for rows in (np.ones((1, 25)), sparse.csr_array(np.ones((1, 25)))):
        same = equal(25, factors=program.factors, idiosyncratic=program.idiosyncratic, rows=rows)
        answers.append(branch(compose("balanced", P, **bounds, program=same)))
    assert answers[0].status == answers[1].status == "optimal"
    assert answers[0].objective == pytest.approx(answers[1].objective, rel=1e-8)


def test_customers_without_variance_of_their_own_are_proved_as_well() -> None:
    rng = np.random.default_rng(5)
    n = 6
    program = equal(n, factors=rng.normal(size=(8, n)), idiosyncratic=0.0)
    bound = with_minimum_line(program, 0.25)
    asked = Asked(
        operator="weighted_average",
        normalised=False,
        P=np.ones((n, 1)),
        upper=np.array([np.inf]),
        lower=np.array([-np.inf]),
        F=np.asarray(program.factors),
        D=np.zeros(n),
        floor=np.zeros(n),
        cap=np.ones(n),
        least=np.full(n, 0.25),
    )
    found = branch(bound)
    assert found.status == "optimal"
    assert found.objective == pytest.approx(smallest_of_all_pieces(asked), rel=OBJECTIVE)


def test_the_unit_of_returns_and_the_order_of_customers_change_nothing() -> None:
    program, P, _ = book(15)
    bounds = one_sided(4, upper=(0, 0.15))
    found = branch(compose("bounded_sum", P, **bounds, program=program))
    small = equal(15, factors=program.factors * 1e-3, idiosyncratic=program.idiosyncratic * 1e-6)
    scaled = branch(compose("bounded_sum", P, **bounds, program=small))
    order = np.random.default_rng(1).permutation(15)
    turned = equal(
        15, factors=program.factors[:, order], idiosyncratic=program.idiosyncratic[order]
    )
    permuted = branch(compose("bounded_sum", P[order], **bounds, program=turned))
    assert found.status == scaled.status == permuted.status == "optimal"
    assert scaled.objective * 1e6 == pytest.approx(found.objective, rel=1e-8)
    assert permuted.objective == pytest.approx(found.objective, rel=1e-8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tolerance": 0.0}, "tolerance is 0.0; expected a number between 0 and 1"),
        ({"max_nodes": 0}, "max_nodes is 0; expected 1 or more"),
        ({"max_seconds": 0.0}, "max_seconds is 0.0; expected a time above 0"),
        ({"start": np.ones(3)}, r"start has shape \(3,\); expected \(2,\)"),
        ({"start": np.array([np.nan, 1.0])}, "start has NaN"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        branch(with_minimum_line(equal(2), 0.1), **given)


def test_a_column_without_any_bound_is_refused() -> None:
    open_ended = CreditProgram(idiosyncratic=[1, 1], rows=[[1, -1]], row_lower=0, row_upper=0)
    with pytest.raises(ModelError, match="column 0 has no upper bound"):
        branch(with_minimum_line(open_ended, 0.1))
