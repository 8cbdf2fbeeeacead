"""Explanations of infeasible programs, each statement held against linprog called directly.

A tenth of the 300 random programs runs by default, all where the environment sets
CREDIT_PORTFOLIO_PROGRAMS.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from credit_portfolio.errors import ModelError
from credit_portfolio.explain import Explanation, explain_infeasibility
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve

N_PROGRAMS = 300 if "CREDIT_PORTFOLIO_PROGRAMS" in os.environ else 30
# linprog here has a tolerance of 1e-10; "slightly less" is a thousand times the error of a bound
# that it leaves, and still a millionth: nothing an analyst could tell apart.
LESS, FEASIBLE = 1e-6, 1e-8
EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
KINDS = ["strict", "two targets", "budget", "floors", "group", "return", "share", "mixed"]


class Case:
    """A program with all that its explanation is asked with, rebuilt when something moves."""

    def __init__(self, rows, names, low, high, floors, limits, largest, money):
        self.rows, self.names, self.low, self.high = rows, names, low, high
        self.floors, self.limits, self.largest, self.money = floors, limits, largest, money

    def but(self, **changed):
        case = Case.__new__(Case)
        case.__dict__ = self.__dict__ | changed
        return case

    def program(self):
        return CreditProgram(
            idiosyncratic=1.0, rows=self.rows, row_lower=self.low, row_upper=self.high,
            lower=self.floors, upper=np.minimum(self.limits, self.largest), row_names=self.names,
        )  # fmt: skip

    def at_budget(self, factor):
        """The same book with its budget multiplied, in parts of the budget as it was."""
        scale = np.where(self.money, 1.0, factor)
        largest = self.largest * factor
        return self.but(low=self.low * scale, high=self.high * scale, largest=largest)

    def missed(self, extra=0.0, fall=0.0):
        """Least largest violation of any row, with total raises of limits and falls of floors."""
        n, q = len(self.limits), len(self.names)
        size = np.abs(self.rows).max(axis=1)
        size[size == 0] = 1.0
        A, up, down = self.rows / size[:, None], self.high / size, self.low / size
        # Columns: w, raises, falls, the violation.
        left, right = [], []
        for r in range(q):
            for sign, bound in ((1, up[r]), (-1, -down[r])):
                if np.isfinite(bound):
                    left.append(np.r_[sign * A[r], np.zeros(2 * n), -1.0])
                    right.append(bound)
        eye, zero = np.eye(n), np.zeros((n, n))
        limited = np.isfinite(self.limits)
        left += list(np.hstack([eye, -eye, zero, np.zeros((n, 1))])[limited])
        right += list(self.limits[limited])
        left += list(np.hstack([-eye, zero, -eye, np.zeros((n, 1))]))
        right += list(-self.floors)
        left += [np.r_[np.zeros(n), np.ones(n), np.zeros(n + 1)]]
        left += [np.r_[np.zeros(2 * n), np.ones(n), 0.0]]
        right += [extra, fall]
        bounds = [(0, None if np.isinf(self.largest) else self.largest)] * n
        bounds += [(0, None if extra else 0)] * n + [(0, f if fall else 0) for f in self.floors]
        found = linprog(
            np.r_[np.zeros(3 * n), 1.0], np.array(left), np.array(right),
            bounds=[*bounds, (0, None)], options=EXACT,
        )  # fmt: skip
        # Bounds that contradict each other are a violation too, of a size that nobody asks for.
        return float(found.fun) if found.status == 0 else math.inf

    def largest_budget(self):
        """Largest budget, as a factor, with which the program can be met; −1 for none at all."""
        n = len(self.limits)
        part = np.where(self.money, 0.0, 1.0)
        left, right = [], []
        for r in range(len(self.names)):
            for sign, bound in ((1, self.high[r]), (-1, -self.low[r])):
                if np.isfinite(bound):
                    left.append(np.r_[sign * self.rows[r], -bound * part[r]])
                    right.append(bound * (1 - part[r]))
        if np.isfinite(self.largest):
            left += list(np.hstack([np.eye(n), np.full((n, 1), -self.largest)]))
            right += [0.0] * n
        bounds = [
            (f, None if np.isinf(u) else u) for f, u in zip(self.floors, self.limits, strict=True)
        ]
        cost = np.r_[np.zeros(n), -1.0]
        found = linprog(cost, left, right, bounds=[*bounds, (0, 1e6)], options=EXACT)
        return -float(found.fun) if found.status == 0 else -1.0

    def feasible(self, **change):
        return self.missed(**change) <= FEASIBLE / 10


def drawn(seed: int) -> tuple[Case, str]:
    """An infeasible program of one kind, or None where the draw can be met."""
    kind = KINDS[seed % len(KINDS)]
    rng = np.random.default_rng([20261123, seed])
    for _ in range(100):
        case = attempt(rng, kind)
        if case is not None and case.missed() > 1e-4:
            return case, kind
    raise AssertionError(f"no infeasible program of kind {kind} in 100 draws")


def attempt(rng, kind):
    n, m = int(rng.integers(2, 26)), 4
    P = rng.dirichlet(np.full(m, 0.6), n)
    limits = rng.lognormal(0.6, 0.8, n) / n
    if rng.random() < 0.2 and kind != "budget":
        limits[rng.random(n) < 0.3] = np.inf
    if kind == "budget":
        limits *= rng.uniform(0.3, 0.99) / limits.sum()
    capped = np.minimum(limits, 2.0)
    floors = np.where(rng.random(n) < 0.2, 0.3 * np.minimum(capped, 1 / n), 0.0)
    if kind in ("floors", "mixed"):
        floors = np.minimum(capped, rng.uniform(0.3, 1.6, n) / n) * (rng.random(n) < 0.7)
    largest = float(rng.uniform(0.5, 2.5) / n) if kind == "share" else np.inf
    if rng.random() < 0.15 and kind != "share":
        largest = float(rng.uniform(0.3, 1.0))
    if (floors > largest).any():
        return None
    share = np.minimum(capped, largest)
    today = share / share.sum()
    B = today @ P
    rows, low, high, names, money = [np.ones(n)], [1.0], [1.0], ["budget"], [False]

    def add(name, row, least=-np.inf, most=np.inf, in_money=False):
        rows.append(row)
        names.append(name)
        low.append(least)
        high.append(most)
        money.append(in_money)

    hard = {"strict": 0.6, "two targets": 0.8, "mixed": 0.7}.get(kind, 1.05)
    for j in range(m):
        if rng.random() < 0.8:
            if j < 2:
                add(f"target {j}", P[:, j], most=B[j] * rng.uniform(0.7, 1.2) * hard)
            else:
                add(f"target {j}", P[:, j], least=min(B[j] * rng.uniform(0.7, 1.2) / hard, 0.99))
    if kind in ("group", "mixed") or rng.random() < 0.2:
        for g in range(2):
            member = (np.arange(n) % 2 == g) * 1.0
            most = rng.uniform(0.2, 0.7) if kind == "group" else rng.uniform(0.5, 0.9)
            add(f"group {g}", member, most=most, in_money=bool(rng.random() < 0.4))
    if kind in ("return", "mixed") or rng.random() < 0.1:
        mean = rng.normal(0.1, 0.05, n)
        strict = rng.uniform(0.8, 1.1) if kind == "return" else rng.uniform(0.3, 0.6)
        add("expected return", mean, least=strict * float(mean.max()))
    return Case(
        np.array(rows), names, np.array(low), np.array(high), floors, limits, largest,
        np.array(money),
    )  # fmt: skip


def explained(case: Case, weights=None, **options) -> Explanation:
    return explain_infeasibility(
        case.program(), weights, limits=case.limits, largest_share=case.largest,
        in_money=case.money, **options,
    )  # fmt: skip


def only(case: Case, conditions) -> Case:
    """The case with nothing but some conditions; shares stay zero or more."""
    kinds = {c.kind for c in conditions}
    low, high = np.full_like(case.low, -np.inf), np.full_like(case.high, np.inf)
    for c in conditions:
        if c.name in case.names:
            r = case.names.index(c.name)
            if c.side == "at most":
                high[r] = case.high[r]
            else:
                low[r] = case.low[r]
    return case.but(
        low=low,
        high=high,
        floors=case.floors if "floors" in kinds else np.zeros_like(case.floors),
        limits=case.limits if "limits" in kinds else np.full_like(case.limits, np.inf),
        largest=case.largest if "largest share" in kinds else np.inf,
    )


def moved(case: Case, c, by: float) -> Case | bool:
    """The whole program with one condition moved; of limits and floors: whether it is feasible."""
    if c.kind == "budget":
        return case.at_budget(1.0 + by)
    if c.kind == "largest share":
        return case.but(largest=case.largest + by)
    if c.kind == "limits":
        return case.feasible(extra=by)
    if c.kind == "floors":
        return case.feasible(fall=-by)
    r = case.names.index(c.name)
    side = "high" if c.side == "at most" else "low"
    bounds = getattr(case, side).copy()
    bounds[r] += by
    return case.but(**{side: bounds})


def holds(case: Case, c, by: float) -> bool:
    there = moved(case, c, by)
    return there if isinstance(there, bool) else there.feasible()


def suffices(case: Case, c) -> bool:
    """Whether any move of the condition makes the program feasible, by brute force."""
    if c.kind == "limits":
        return case.but(limits=np.full_like(case.limits, np.inf)).feasible()
    if c.kind == "floors":
        return case.but(floors=np.zeros_like(case.floors)).feasible()
    if c.kind == "largest share":
        return case.but(largest=np.inf).feasible()
    if c.kind == "budget":
        return case.largest_budget() > 1e-8
    r = case.names.index(c.name)
    side = "high" if c.side == "at most" else "low"
    bounds = getattr(case, side).copy()
    bounds[r] = np.inf if side == "high" else -np.inf
    return case.but(**{side: bounds}).feasible()


def wrong_statements(case: Case, told: Explanation, counted: Counter[str]) -> list[object]:
    wrong: list[object] = []
    if only(case, told.conflict).feasible():
        wrong.append(("the set can be met", told.names))
    for c in told.conflict:
        rest = [other for other in told.conflict if other is not c]
        if not only(case, rest).feasible():
            wrong.append(("not needed", c))
    every = list(told.conflict)
    if told.budget_move is not None and "budget" not in told.names:
        every.append(told.budget_move)
    for c in every:
        counted[f"{c.kind} told"] += 1
        if not math.isfinite(c.needed):
            counted["no move suffices"] += 1
            if suffices(case, c):
                wrong.append(("a move would do", c))
            continue
        counted[f"{c.kind} moves"] += 1
        # Up to what linprog leaves a move is exact; slightly less must fail.
        slack = math.copysign(1e-9, c.move)
        if not holds(case, c, c.move + slack):
            wrong.append(("the move does not do", c))
        less = c.move * (1 - LESS) - math.copysign(LESS, c.move)
        if less * c.move > 0 and holds(case, c, less) and moves_visibly(case, c, less):
            wrong.append(("less would do", c))
    return wrong + wrong_nearest(case, told, counted)


def moves_visibly(case: Case, c, less: float) -> bool:
    """Whether the program at slightly less is not within tolerance: LESS of a bound is seen."""
    there = moved(case, c, less)
    return isinstance(there, bool) or there.missed() <= 1e-12


def wrong_nearest(case: Case, told: Explanation, counted: Counter[str]) -> list[object]:
    targets = [r for r, name in enumerate(case.names) if name.startswith("target")]
    opened = case.but(low=case.low.copy(), high=case.high.copy())
    for r in targets:
        opened.low[r], opened.high[r] = -np.inf, np.inf
    if not opened.feasible():
        counted["infeasible without targets"] += 1
        wrong: list[object] = [] if not told.nearest else [("nearest though impossible", told)]
        if targets and (not told.without or only(opened, told.without).feasible()):
            wrong.append(("what conflicts without targets", told.without))
        return wrong
    counted["nearest"] += 1
    n, t = len(case.limits), len(targets)
    slack = {r: n + j for j, r in enumerate(targets)}
    left, right = [], []
    for r in range(len(case.names)):
        for sign, bound in ((1, case.high[r]), (-1, -case.low[r])):
            if np.isfinite(bound):
                row = np.r_[sign * case.rows[r], np.zeros(t)]
                if r in slack:
                    row[slack[r]] = -1.0
                left.append(row)
                right.append(bound)
    caps = np.minimum(case.limits, case.largest)
    bounds = [(f, None if np.isinf(u) else u) for f, u in zip(case.floors, caps, strict=True)]
    cost = np.r_[np.zeros(n), np.ones(t)]
    best = linprog(cost, left, right, bounds=bounds + [(0, None)] * t, options=EXACT)
    wrong = []
    if best.status != 0 or abs(best.fun - told.total) > 1e-8:
        wrong.append(("total", told.total, best.fun))
    relaxed = case.but(low=case.low.copy(), high=case.high.copy())
    for r in told.nearest:
        side = relaxed.high if r.side == "at most" else relaxed.low
        side[case.names.index(r.name)] = r.relaxed + (1e-9 if r.side == "at most" else -1e-9)
        near = case.rows[case.names.index(r.name)] @ told.shares
        if abs(near - r.reached) > 1e-12:
            wrong.append(("reached", r))
    if not relaxed.feasible():
        wrong.append(("the nearest cannot be met", told.nearest))
    return wrong


def test_every_statement_on_random_programs_is_so() -> None:
    wrong, counted = [], Counter[str]()
    for seed in range(N_PROGRAMS):
        case, kind = drawn(seed)
        counted[kind] += 1
        wrong += [(seed, kind, what) for what in wrong_statements(case, explained(case), counted)]
    print(counted)
    assert wrong == [], counted
    for kind in ("target", "budget", "limits", "group", "return"):
        assert counted[f"{kind} moves"] >= 1, counted
    assert counted["no move suffices"] >= N_PROGRAMS / 10, counted
    assert counted["nearest"] >= N_PROGRAMS / 4, counted
    assert counted["infeasible without targets"] >= N_PROGRAMS / 4, counted


# --- exact, by hand -------------------------------------------------------------------------------


def test_a_small_case_is_exact_by_vertex_enumeration_in_fractions() -> None:
    p = [Fraction(k, 16) for k in (9, 5, 3, 1)]
    caps = [Fraction(1, 2), Fraction(1, 2), Fraction(1, 4), Fraction(1, 8)]
    # A vertex of {Σw = 1, 0 ≤ w ≤ caps} has at most one share between its bounds.
    best = None
    for between in range(4):
        others = [i for i in range(4) if i != between]
        for full in itertools.product([0, 1], repeat=3):
            held = sum(caps[i] for i, at in zip(others, full, strict=True) if at)
            rest = 1 - held
            if 0 <= rest <= caps[between]:
                value = rest * p[between]
                value += sum(caps[i] * p[i] for i, at in zip(others, full, strict=True) if at)
                best = value if best is None else min(best, value)
    program = CreditProgram(
        rows=[[1] * 4, [float(x) for x in p]],
        row_lower=[1, -np.inf],
        row_upper=[1, 0.2],
        upper=[float(c) for c in caps],
        row_names=["budget", "target loss"],
    )
    told = explain_infeasibility(program)
    target = next(c for c in told.conflict if c.kind == "target")
    assert target.needed == pytest.approx(float(best), rel=1e-12)
    assert target.within == target.needed
    assert told.nearest[0].relaxed == pytest.approx(float(best), rel=1e-12)


def two_targets(**options) -> Explanation:
    program = CreditProgram(
        rows=[[1, 1, 1], [0.3, 0.1, 0.0], [0.6, 0.3, 0.1]],
        row_lower=[1, -np.inf, 0.5],
        row_upper=[1, 0.1, np.inf],
        row_names=["budget", "target loss", "target top"],
    )
    return explain_infeasibility(program, **options)


def test_weights_choose_which_target_gives_way() -> None:
    # B_top ≤ 0.1 + 2 B_loss up to B_loss = 0.1, then 1.5 per unit: either bound could give way.
    loss = two_targets(weights={"target loss": 1, "target top": 10})
    top = two_targets(weights={"target loss": 10, "target top": 1})
    held = two_targets(weights={"target loss": math.inf})
    assert [r.relaxed for r in loss.nearest] == pytest.approx([0.1 + 0.4 / 3, 0.5])
    assert [r.relaxed for r in top.nearest] == pytest.approx([0.1, 0.3])
    assert [r.name for r in held.nearest] == ["target top"]
    assert loss.total == pytest.approx(0.4 / 3)
    assert set(loss.names) == {"budget", "target loss", "target top"}


def test_other_rows_give_way_only_where_they_are_weighed() -> None:
    program = CreditProgram(
        rows=[[1, 1], [1, 0]], row_lower=[1, -np.inf], row_upper=[1, 0.2], upper=0.6,
        row_names=["budget", "group retail"],
    )  # fmt: skip
    told = explain_infeasibility(program)
    assert told.nearest == ()
    assert told.without == ()
    weighed = explain_infeasibility(program, {"group retail": 2.0})
    assert weighed.nearest[0].relaxed == pytest.approx(0.4)
    assert weighed.total == pytest.approx(0.4)


# --- words ----------------------------------------------------------------------------------------


def lone_target(bound=0.015, **options) -> Explanation:
    program = CreditProgram(
        rows=[[1, 1], [0.04, 0.01]], row_lower=[1, -np.inf], row_upper=[1, bound],
        upper=[1.0, 0.5], row_names=["budget", "target loss"],
    )  # fmt: skip
    return explain_infeasibility(program, **options)


def test_a_budget_above_the_limits_is_told_as_money_that_is_short() -> None:
    program = CreditProgram(
        rows=[[1, 1, 1]], row_lower=1, row_upper=1, upper=[0.5, 0.3, 0.16], row_names=["budget"]
    )
    told = explain_infeasibility(program, budget=1e6, currency="EUR")
    assert told.sentences()[0] == (
        "The budget of 1,000,000 EUR is above what the limits of 3 customers, together 960,000 "
        "EUR, allow: together 40,000 EUR short."
    )
    assert "the budget down by 40,000 EUR, to 960,000 EUR" in told.message()
    assert told.shortfall == pytest.approx(40_000)
    assert told.names == ("budget", "limits")


def test_figures_to_type_in_are_rounded_to_the_side_that_works() -> None:
    program = CreditProgram(
        rows=[[1, 1, 1], [0.07, 0.031, 0.011]], row_lower=[1, -np.inf], row_upper=[1, 0.02],
        upper=[1.0, 1 / 3, 1 / 7], row_names=["budget", "target loss"],
    )  # fmt: skip
    text = explain_infeasibility(program, budget=1e6, currency="EUR").message()
    bound = float(re.search(r"the target in 'loss' up by [\d.]+ points, to ([\d.]+) %", text)[1])
    budget = re.search(r"the budget down by [\d,]+ EUR, to ([\d,]+) EUR", text)[1]
    typed = replaced_rows(program, bound / 100)
    assert solve(typed).status == "optimal"
    scale = 1e6 / float(budget.replace(",", ""))
    smaller = CreditProgram(
        rows=program.rows, row_lower=program.row_lower, row_upper=program.row_upper,
        upper=program.upper * scale, idiosyncratic=1.0,
    )  # fmt: skip
    assert solve(smaller).status == "optimal"


def replaced_rows(program: CreditProgram, bound: float) -> CreditProgram:
    return CreditProgram(
        rows=program.rows, row_lower=program.row_lower, row_upper=[1, bound],
        upper=program.upper, idiosyncratic=1.0,
    )  # fmt: skip


def test_sentences_take_another_budget_and_none() -> None:
    told = lone_target()
    assert "% of the budget" in told.message()
    assert "the budget of 2,000,000 USD" in told.message(2e6, "USD")
    assert str(told).splitlines()[1:] == told.sentences()
    assert "&#x27;loss&#x27;" in told._repr_html_()


def test_the_frame_has_a_row_per_condition() -> None:
    frame = lone_target().to_frame()
    assert set(frame.index) == {"budget", "target loss", "limits"}
    assert frame["in_conflict"].all()
    assert frame.loc["target loss", "needed"] == pytest.approx(0.025)
    assert frame.loc["target loss", "relaxed"] == pytest.approx(0.025)
    assert frame.loc["budget", "move"] == pytest.approx(-0.4)


def test_an_explanation_does_not_change() -> None:
    told = lone_target()
    with pytest.raises(AttributeError):
        replace(told).money = 1.0
    assert not told.shares.flags.writeable


# --- refusals -------------------------------------------------------------------------------------


def test_a_program_that_can_be_met_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing to explain"):
        lone_target(bound=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"target los": 1}}, "Did you mean 'target loss'"),
        ({"weights": {"target loss": 0}}, "above 0"),
        ({"weights": {"budget": 1}}, "budget_move"),
        ({"kinds": ["budget"]}, "one per row"),
        ({"kinds": ["budget", "budget"]}, "one at most"),
        ({"largest_share": 0.5}, "without limits"),
        ({"limits": [0.4, 0.5]}, "smaller of limits"),
    ],
)
def test_what_does_not_fit_is_refused(options, message) -> None:
    with pytest.raises(ModelError, match=message):
        lone_target(**options)


# --- many customers -------------------------------------------------------------------------------


def test_many_customers_are_explained_as_few() -> None:
    n = 20_000
    rng = np.random.default_rng(n)
    P = rng.dirichlet(np.ones(3) * 0.5, n).T
    limits = rng.lognormal(0, 1, n) * 1.5 / n
    program = CreditProgram(
        rows=np.vstack([np.ones(n), P]), row_lower=[1, -np.inf, -np.inf, 0.3],
        row_upper=[1, 0.02, 0.6, np.inf], upper=limits,
        row_names=["budget", "target a", "target b", "target c"],
    )  # fmt: skip
    told = explain_infeasibility(program)
    target = next(c for c in told.conflict if c.kind == "target")
    # Among budget and limits alone the least share is what filling the best first gives.
    order = np.argsort(P[0], kind="stable")
    given = np.diff(np.minimum(np.cumsum(np.r_[0.0, limits[order]]), 1.0))
    assert target.name == "target a"
    assert target.within == pytest.approx(float(P[0][order] @ given), rel=1e-9)
    assert target.needed >= target.within * (1 - 1e-9)
    sizes = {c.kind: c.customers for c in told.conflict}
    assert 0 < sizes["limits"] < n
    assert replaced(program, told).status == "optimal"


def replaced(program: CreditProgram, told: Explanation):
    upper, lower = program.row_upper.copy(), program.row_lower.copy()
    for r in told.nearest:
        side, out = (upper, 1e-9) if r.side == "at most" else (lower, -1e-9)
        side[program.row_names.index(r.name)] = r.relaxed + out
    return solve(
        CreditProgram(
            rows=program.rows,
            row_lower=lower,
            row_upper=upper,
            upper=program.upper,
            idiosyncratic=1.0,
        )
    )
