"""The composition operators against published numbers, scikit-fuzzy, and their definitions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import skfuzzy
from hypothesis import given, strategies as st

from credit_portfolio.errors import ModelError
from credit_portfolio.evaluation.operators import (
    OPERATORS,
    balanced,
    bounded_sum,
    main_factor_decisive,
    main_factor_prominent,
    normalise,
    operator_named,
    weighted_average,
)

ALGEBRA = 1e-12
NAMES = list(OPERATORS)

# A published worked example of fuzzy comprehensive evaluation: four factors, five grades.
W = np.array([0.2, 0.2, 0.2, 0.4])
P = np.array(
    [
        [0, 0.1, 0.2, 0.3, 0.4],
        [0.1, 0.1, 0.4, 0.2, 0.2],
        [0, 0.1, 0.2, 0.6, 0.1],
        [0, 0.2, 0.5, 0.3, 0],
    ]
)
# The example of the R package mathmodels, whose matrix has a row for each grade.
W_R = np.array([0.3, 0.3, 0.3, 0.1])
P_R = np.array([[0.8, 0.7, 0.6, 0.7], [0.1, 0.2, 0.2, 0.1], [0.1, 0.1, 0.2, 0.2]]).T


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, k = (int(x) for x in rng.integers(1, 9, 2))
    P = rng.dirichlet(np.ones(k), n)
    if rng.random() < 0.5:
        P = np.round(P * 6) / 6
    return rng.dirichlet(np.ones(n)), P


@pytest.mark.parametrize(
    ("name", "degrees"),
    [
        ("main_factor_decisive", [0.1, 0.2, 0.4, 0.3, 0.2]),
        ("main_factor_prominent", [0.02, 0.08, 0.20, 0.12, 0.08]),
        ("bounded_sum", [0.1, 0.5, 1.0, 0.9, 0.5]),
        ("weighted_average", [0.02, 0.14, 0.36, 0.34, 0.14]),
    ],
)
def test_the_published_example_comes_out(name: str, degrees: list[float]) -> None:
    assert OPERATORS[name](W, P) == pytest.approx(degrees, abs=ALGEBRA)


def test_the_published_example_is_normalised_to_three_digits_as_printed() -> None:
    shares = operator_named("main_factor_decisive", normalised=True)(W, P)
    assert shares.round(3).tolist() == [0.083, 0.167, 0.333, 0.25, 0.167]


@pytest.mark.parametrize(
    ("name", "degrees"),
    [
        ("main_factor_decisive", [0.3, 0.2, 0.2]),
        ("main_factor_prominent", [0.24, 0.06, 0.06]),
        ("weighted_average", [0.70, 0.16, 0.14]),
        ("bounded_sum", [1.0, 0.6, 0.5]),
        ("balanced", [0.85, 0.2 + 2 / 3, 0.1 + 1 / 6 * 2 + 0.3]),
    ],
)
def test_the_example_of_the_r_package_comes_out(name: str, degrees: list[float]) -> None:
    assert OPERATORS[name](W_R, P_R) == pytest.approx(degrees, abs=ALGEBRA)


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("main_factor_decisive", [0.428571, 0.285714, 0.285714]),
        ("main_factor_prominent", [0.666667, 0.166667, 0.166667]),
        ("bounded_sum", [0.476190, 0.285714, 0.238095]),
        ("balanced", [0.346939, 0.353741, 0.299320]),
    ],
)
def test_the_r_packages_normalised_shares_come_out(name: str, shares: list[float]) -> None:
    found = operator_named(name, normalised=True)(W_R, P_R)
    assert found.round(6).tolist() == shares


def test_the_balanced_example_is_exact_in_fractions() -> None:
    tenths = [[8, 1, 1], [7, 2, 1], [6, 2, 2], [7, 1, 2]]
    w = [Fraction(3, 10)] * 3 + [Fraction(1, 10)]
    total = [sum(row[j] for row in tenths) for j in range(3)]
    exact = [sum(min(w[i], Fraction(tenths[i][j], total[j])) for i in range(4)) for j in range(3)]
    assert balanced(W_R, P_R) == pytest.approx([float(b) for b in exact], abs=ALGEBRA)
    assert [round(float(b), 4) for b in exact] == [0.85, 0.8667, 0.7333]


@given(st.integers(0, 10_000))
def test_the_main_factors_are_scikit_fuzzys_compositions(seed: int) -> None:
    w, P = drawn(seed)
    composed = skfuzzy.maxmin_composition(w[None, :], P)[0]
    assert main_factor_decisive(w, P).tolist() == composed.tolist()
    composed = skfuzzy.maxprod_composition(w[None, :], P)[0]
    assert main_factor_prominent(w, P).tolist() == composed.tolist()


@given(st.integers(0, 10_000))
def test_each_operator_is_its_definition_written_as_loops(seed: int) -> None:
    w, P = drawn(seed)
    n, k = P.shape
    columns = [[P[i, j] for i in range(n)] for j in range(k)]
    by_loops = {
        "main_factor_decisive": [max(min(w[i], c[i]) for i in range(n)) for c in columns],
        "main_factor_prominent": [max(w[i] * c[i] for i in range(n)) for c in columns],
        "bounded_sum": [min(1.0, sum(min(w[i], c[i]) for i in range(n))) for c in columns],
        "weighted_average": [sum(w[i] * c[i] for i in range(n)) for c in columns],
        "balanced": [
            sum(min(w[i], c[i] / sum(c)) for i in range(n)) if sum(c) > 0 else 0.0 for c in columns
        ],
    }
    for name, expected in by_loops.items():
        assert OPERATORS[name](w, P) == pytest.approx(expected, abs=ALGEBRA)


@given(st.integers(0, 10_000), st.sampled_from(NAMES))
def test_the_order_of_the_customers_does_not_matter(seed: int, name: str) -> None:
    w, P = drawn(seed)
    order = np.random.default_rng(seed).permutation(w.size)
    assert OPERATORS[name](w[order], P[order]) == pytest.approx(OPERATORS[name](w, P), abs=ALGEBRA)


@given(st.integers(0, 10_000), st.sampled_from(NAMES))
def test_normalised_degrees_sum_to_one_and_keep_their_ratios(seed: int, name: str) -> None:
    w, P = drawn(seed)
    raw = OPERATORS[name](w, P)
    if raw.sum() == 0:
        return
    shares = operator_named(name, normalised=True)(w, P)
    assert shares.sum() == pytest.approx(1.0, abs=ALGEBRA)
    assert shares * raw.sum() == pytest.approx(raw, abs=ALGEBRA)


def test_only_the_weighted_average_sums_to_one_by_itself() -> None:
    sums = {name: float(operator(W_R, P_R).sum()) for name, operator in OPERATORS.items()}
    assert sums["weighted_average"] == pytest.approx(1.0, abs=ALGEBRA)
    assert all(abs(total - 1) > 0.1 for name, total in sums.items() if name != "weighted_average")


def test_the_bound_of_one_acts_where_shares_sum_to_more() -> None:
    assert bounded_sum(np.array([0.9, 0.9]), np.ones((2, 1))).tolist() == [1.0]


def test_an_interval_that_nobody_reached_is_balanced_to_zero() -> None:
    assert balanced(np.array([0.5, 0.5]), np.array([[0.0, 1.0], [0.0, 1.0]])).tolist() == [0, 1]


def test_degrees_that_are_all_zero_cannot_be_normalised() -> None:
    with pytest.raises(ModelError, match=r"all 2 intervals sum to 0\.0; expected a sum above 0"):
        normalise(np.zeros(2))


def test_operators_are_found_by_name_and_a_near_miss_gets_a_suggestion() -> None:
    assert operator_named("weighted_average") is weighted_average
    with pytest.raises(ModelError, match=r"unknown operator 'bounded_sun'.*Did you mean 'bounded_"):
        operator_named("bounded_sun")
