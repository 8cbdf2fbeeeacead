"""Targets under each operator as a program with alternatives: the same set of books, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import sparse

from credit_portfolio.errors import ModelError
from credit_portfolio.evaluation.operators import OPERATORS, operator_named
from credit_portfolio.program.alternatives import (
    Alternatives,
    Kinks,
    completed,
    plain,
    violation,
    with_minimum_line,
)
from credit_portfolio.program.composition import NAMES, compose
from credit_portfolio.program.program import CreditProgram

# A book that meets a target by less than this is on its edge, where rounding decides.
EDGE = 1e-9


def budget(n: int, **changes: Any) -> CreditProgram:
    given = {"idiosyncratic": np.ones(n), "rows": np.ones((1, n)), "row_lower": 1, "row_upper": 1}
    return CreditProgram(**{**given, **changes})


def sides(k: int, **bounds: dict[int, float]) -> dict[str, np.ndarray]:
    upper, lower = np.full(k, np.inf), np.full(k, -np.inf)
    for j, bound in bounds.get("upper", {}).items():
        upper[j] = bound
    for j, bound in bounds.get("lower", {}).items():
        lower[j] = bound
    return {"upper": upper, "lower": lower}


P2 = np.array([[0.5, 0.5], [0.25, 0.75]])


def test_every_operator_can_be_asked_for() -> None:
    assert set(NAMES) == set(OPERATORS)


@given(st.integers(0, 20_000), st.sampled_from(NAMES), st.booleans(), st.booleans())
def test_a_book_meets_the_program_exactly_where_its_degrees_meet_the_targets(
    seed: int, name: str, normalised: bool, as_sparse: bool
) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 8)), int(rng.integers(1, 5))
    P = rng.dirichlet(np.full(k, 0.6), n)
    if rng.random() < 0.5:
        P = np.round(P * 6) / 6
    operator = operator_named(name, normalised=normalised)
    books = rng.dirichlet(np.full(n, 0.7), 8)
    if not all(OPERATORS[name](w, P).sum() > 0 for w in books):
        return
    B = operator(books[0], P)
    upper, lower = np.full(k, np.inf), np.full(k, -np.inf)
    pick = rng.random(k)
    upper[pick < 0.4] = np.clip(B * rng.uniform(0.9, 1.2, k), 0, 1)[pick < 0.4]
    lower[pick > 0.6] = np.clip(B * rng.uniform(0.8, 1.1, k), 0, 1)[pick > 0.6]
    rows: Any = sparse.csr_array(np.ones((1, n))) if as_sparse else np.ones((1, n))
    stated = compose(
        name, P, upper=upper, lower=lower, program=budget(n, rows=rows), normalised=normalised
    )
    assert sparse.issparse(stated.program.rows) == as_sparse
    for w in books:
        B = operator(w, P)
        room = min(np.min(upper - B), np.min(B - lower))
        missed = violation(stated, completed(stated, w))
        if room > EDGE:
            assert missed <= EDGE
        elif room < -EDGE:
            assert missed > 0


def test_upper_sides_of_the_main_factors_are_bounds_by_hand() -> None:
    held = compose("main_factor_decisive", P2, **sides(2, upper={0: 0.3}), program=budget(2))
    assert held.program.upper.tolist() == [0.3, np.inf]  # p_2 = 0.25 caps the second by itself
    assert held.convex
    held = compose("main_factor_prominent", P2, **sides(2, upper={0: 0.3}), program=budget(2))
    assert held.program.upper == pytest.approx([0.6, 1.2])
    assert held.convex


def test_lower_sides_of_the_main_factors_are_a_choice_of_those_who_can() -> None:
    chosen = compose("main_factor_decisive", P2, **sides(2, lower={0: 0.3}), program=budget(2))
    (peak,) = chosen.reached
    assert (peak.level, peak.at.tolist(), peak.weights.tolist()) == (0.3, [0.5, 0.25], [1, 1])
    assert not chosen.convex
    chosen = compose("main_factor_prominent", P2, **sides(2, lower={1: 0.3}), program=budget(2))
    (peak,) = chosen.reached
    assert peak.weights.tolist() == [0.5, 0.75]
    assert np.isinf(peak.at).all()


@pytest.mark.parametrize(
    ("name", "kinks"),
    [("bounded_sum", [0.5, 0.25]), ("balanced", [2 / 3, 1 / 3])],
)
def test_sums_are_rows_of_kinks_and_convex_from_below_only(name: str, kinks: list[float]) -> None:
    below = compose(name, P2, **sides(2, lower={0: 0.3}), program=budget(2))
    assert below.kinks.at == pytest.approx(kinks)
    assert below.kinks.weight.tolist() == [-1, -1]
    assert (below.program.row_upper[1], below.convex) == (-0.3, True)
    above = compose(name, P2, **sides(2, upper={0: 0.3}), program=budget(2))
    assert above.kinks.weight.tolist() == [1, 1]
    assert not above.convex
    # Nobody alone may be above the sum: who can be caps at the bound.
    assert above.program.upper.tolist() == [0.3, 0.3 if kinks[1] > 0.3 else np.inf]


def test_normalised_sums_weigh_all_intervals() -> None:
    asked = compose(
        "bounded_sum", P2, **sides(2, upper={0: 0.4}), program=budget(2), normalised=True
    )
    weight = {
        (int(i), float(at)): float(v)
        for i, at, v in zip(asked.kinks.column, asked.kinks.at, asked.kinks.weight, strict=True)
        if i == 1
    }
    assert weight == pytest.approx({(1, 0.25): 0.6, (1, 0.75): -0.4})


@pytest.mark.parametrize("normalised", [False, True])
def test_the_weighted_average_stays_a_plain_program(normalised: bool) -> None:
    bounds = sides(2, upper={0: 0.4}, lower={1: 0.5})
    held = compose("weighted_average", P2, **bounds, program=budget(2), normalised=normalised)
    assert held.convex
    assert held.program.n_customers == 2
    rows = np.asarray(held.program.rows)
    expected = P2.T - [[0.4], [0.5]] if normalised else P2.T
    assert rows[1:] == pytest.approx(expected)


def test_the_programs_own_rows_come_first_with_their_names() -> None:
    program = budget(2, row_names=["budget"])
    held = compose(
        "bounded_sum", P2, **sides(2, lower={1: 0.5}), program=program, names=["loss", "good"]
    )
    assert held.program.row_names == ("budget", "target good")


def test_normalised_main_factors_add_levels_without_risk() -> None:
    asked = compose(
        "main_factor_prominent", P2, **sides(2, upper={0: 0.4}), program=budget(2), normalised=True
    )
    assert (asked.n_shares, asked.program.n_customers) == (2, 4)
    assert asked.program.idiosyncratic.tolist() == [1, 1, 0, 0]
    # 0.6 B_0 − 0.4 B_1 ≤ 0: B_0 must be above its peak, B_1 is to be reached.
    assert [peak.variable for peak in asked.ceilings] == [2]
    assert [peak.variable for peak in asked.reached] == [3]
    assert np.asarray(asked.program.rows)[1] == pytest.approx([0, 0, 0.6, -0.4])


def test_a_floor_above_what_a_target_leaves_becomes_a_row_that_conflicts() -> None:
    floored = budget(2, lower=[0.5, 0.0])
    held = compose("main_factor_decisive", P2, **sides(2, upper={0: 0.3}), program=floored)
    assert held.program.row_names[-1] == "most of customer 0 under the targets"
    assert (held.program.lower[0], held.program.row_upper[-1]) == (0.5, 0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operator": "bounded"}, "unknown operator 'bounded'; expected one of main_factor"),
        ({"P": P2[:1]}, r"P has shape \(1, 2\); expected \(2, n_intervals\)"),
        ({"P": P2 * 3}, r"P\[0, 0\] is 1.5; expected a degree between 0 and 1"),
        ({"upper": np.ones(3)}, r"upper has shape \(3,\); expected \(2,\)"),
        ({"lower": np.array([np.nan, 0])}, "lower has NaN"),
        ({"lower": np.array([1.5, 0])}, r"lower\[0\] is 1.5; expected a degree"),
        ({"program": budget(2, lower=-1.0)}, "a share may be below 0"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    arguments = {"operator": "bounded_sum", "P": P2, **sides(2), "program": budget(2), **change}
    with pytest.raises(ModelError, match=message):
        compose(**arguments)


def test_the_balanced_operator_divides_by_the_sums_of_the_whole_book() -> None:
    totals = 2 * P2.sum(axis=0)
    bounds = sides(2, upper={0: 0.4})
    part = compose("balanced", P2, **bounds, program=budget(2), totals=totals)
    assert part.kinks.at == pytest.approx(P2[:, 0] / totals[0])
    with pytest.raises(ModelError, match="none below the column sums of P"):
        compose("balanced", P2, **bounds, program=budget(2), totals=totals / 4)


def test_normalised_bounded_sums_need_a_budget_that_sums_to_one() -> None:
    wide = budget(2, row_lower=1.5, row_upper=1.5)
    with pytest.raises(ModelError, match="no row says that the shares sum to at most 1"):
        compose("bounded_sum", P2, **sides(2, upper={0: 0.4}), program=wide, normalised=True)


def test_raw_bounded_sums_never_pass_their_own_bound_of_one() -> None:
    wide = budget(2, row_lower=1.5, row_upper=1.5)
    held = compose("bounded_sum", P2, **sides(2, upper={0: 1.0}), program=wide)
    assert held.kinks.row.size == 0


def test_a_minimum_line_is_zero_or_at_least_so_much() -> None:
    lined = with_minimum_line(budget(3), [0.3, 0.0, 0.3])
    assert not lined.convex
    assert violation(lined, np.array([0.0, 0.7, 0.3])) == 0
    assert violation(lined, np.array([0.2, 0.5, 0.3])) == pytest.approx(0.1 / 0.5)
    assert with_minimum_line(lined, 0.4).least.tolist() == [0.4, 0.4, 0.4]


@pytest.mark.parametrize("least", [-0.1, np.inf, np.nan])
def test_a_minimum_line_that_is_no_share_is_refused(least: float) -> None:
    with pytest.raises(ModelError, match="negative, NaN or infinite"):
        with_minimum_line(budget(2), least)


def test_a_minimum_line_of_another_length_is_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(3,\); expected one number, or one for each"):
        with_minimum_line(budget(2), [0.1, 0.1, 0.1])


def test_kinks_need_rows_with_upper_bounds_only() -> None:
    kinks = Kinks(np.array([0]), np.array([0]), np.array([0.5]), np.array([1.0]))
    with pytest.raises(ModelError, match="a row with kinks has a lower bound"):
        Alternatives(budget(2), 2, kinks, (), (), np.zeros(2))


def test_a_plain_program_is_convex() -> None:
    assert plain(budget(2)).convex
