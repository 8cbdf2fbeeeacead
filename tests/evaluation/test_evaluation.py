"""Intervals, the evaluation matrix, operators and targets against loops and counts."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.evaluation.matrix import (
    EvaluationMatrix,
    evaluation_matrix,
    interval_variance,
)
from credit_portfolio.evaluation.operators import OPERATORS, operator_named, weighted_average
from credit_portfolio.evaluation.sampling import smooth
from credit_portfolio.evaluation.targets import Targets
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve

EDGES = [-1, 0, 0.15, 0.2, 0.235, 0.25]
# A value this near to an edge lies on it, as the intervals document.
ON_THE_EDGE = 1e-9
# Sums of a few quotients of small integers.
ALGEBRA = 1e-12


def intervals(edges: Any = EDGES, good_from: int = 3) -> ReturnIntervals:
    return ReturnIntervals(edges, good_from)


def index_by_loop(edges: list[float], value: float) -> int:
    """The last interval whose lower edge the value reaches; the outer ones take what is outside."""
    if math.isnan(value):
        return -1
    found = 0
    for j in range(1, len(edges) - 1):
        if value >= edges[j] - ON_THE_EDGE:
            found = j
    return found


# -------------------------------------------------------------------------------------- intervals


def test_both_outer_edges_are_inside() -> None:
    v = intervals()
    assert v.index([-1.0, 0.25]).tolist() == [0, 4]  # domain.md trap 1
    assert not v.outside([-1.0, 0.25, np.nan]).any()


def test_an_inner_edge_belongs_to_the_interval_above_it() -> None:
    assert intervals().index([0.0, 0.15, 0.2, 0.235]).tolist() == [1, 2, 3, 4]
    below = np.array([0.0, 0.15, 0.2, 0.235]) - 1e-8
    assert intervals().index(below).tolist() == [0, 1, 2, 3]


def test_rounding_below_an_edge_does_not_lose_the_payment_in_full() -> None:
    cost = 100 / 1.2
    paid_in_full = (100 - cost) / cost
    assert paid_in_full != 0.2  # the floats really differ
    assert intervals([-1, 0.2, 0.3], 1).index([paid_in_full, 0.2 - 1e-12]).tolist() == [1, 1]
    assert not intervals([-1, 0, 0.2], 1).outside([0.2 + 1e-12, -1 - 1e-12]).any()


def test_values_beyond_the_rounding_are_outside() -> None:
    v = intervals()
    assert v.outside([0.25 + 1e-8, -1 - 1e-8, np.inf, -np.inf]).tolist() == [True] * 4
    assert v.index([0.3, -2.0]).tolist() == [4, 0]


@given(
    st.lists(st.integers(-100, 100), min_size=2, max_size=8, unique=True),
    st.lists(
        st.tuples(
            st.integers(-120, 120),
            st.sampled_from([0.0, 1e-12, -1e-12, 5e-10, -5e-10, 2e-9, -2e-9, 1e-6, -1e-6]),
        ),
        max_size=20,
    ),
)
def test_the_interval_of_a_value_is_what_a_loop_over_the_edges_finds(
    hundredths: list[int], values: list[tuple[int, float]]
) -> None:
    edges = [x / 100 for x in sorted(hundredths)]
    returns = [x / 100 + nudge for x, nudge in values] + [math.nan]
    v = ReturnIntervals(edges, 0)
    assert v.index(returns).tolist() == [index_by_loop(edges, r) for r in returns]
    inside = [edges[0] - ON_THE_EDGE <= r <= edges[-1] + ON_THE_EDGE for r in returns[:-1]]
    assert (~v.outside(returns[:-1])).tolist() == inside


def test_names_say_which_ends_are_closed() -> None:
    assert intervals().names == (
        "[-100 %, 0 %)",
        "[0 %, 15 %)",
        "[15 %, 20 %)",
        "[20 %, 23.5 %)",
        "[23.5 %, 25 %]",
    )
    assert ReturnIntervals([-1, 0.25], 0, ["all"]).names == ("all",)


def test_good_and_bad_intervals_meet_at_good_from() -> None:
    assert intervals().good.tolist() == [False, False, False, True, True]
    assert ReturnIntervals(EDGES, 0).good.all()
    assert not ReturnIntervals(EDGES, 5).good.any()
    assert intervals().n_intervals == 5


def test_edges_are_kept_from_the_caller_and_cannot_be_written_to() -> None:
    mine = np.array([-1.0, 0.0, 0.25])
    v = ReturnIntervals(mine, 1)
    mine[1] = 9.0
    assert v.edges.tolist() == [-1.0, 0.0, 0.25]
    with pytest.raises(ValueError, match="read-only"):
        v.edges[0] = 0.0


@pytest.mark.parametrize(
    ("edges", "good_from", "names", "message"),
    [
        ([0.1], 0, None, "at least two increasing numbers"),
        ([[0, 1], [2, 3]], 0, None, r"edges has shape \(2, 2\)"),
        ([0, 0, 1], 0, None, "edges must increase: edge 0 is 0.0 and edge 1 is 0.0"),
        ([0, 0.5, 0.4], 0, None, "edge 1 is 0.5 and edge 2 is 0.4; sort them"),
        ([0, 1e-12, 1], 0, None, "edges must increase"),
        ([0, np.nan, 1], 0, None, "must all be finite"),
        ([-np.inf, 0, 1], 0, None, "must all be finite"),
        (["low", "high"], 0, None, "must all be numbers"),
        ([0, 1, 2], 3, None, "good_from is 3; expected 0 to 2"),
        ([0, 1, 2], -1, None, "good_from is -1"),
        ([0, 1, 2], 1, ["one"], "2 intervals need 2 different names"),
        ([0, 1, 2], 1, ["same", "same"], "2 different names"),
    ],
)
def test_intervals_that_make_no_sense_are_refused(
    edges: Any, good_from: int, names: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        ReturnIntervals(edges, good_from, names)


def test_half_an_interval_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        ReturnIntervals(EDGES, 1.5)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------- matrix


@given(st.data())
def test_the_matrix_is_a_count_of_periods_and_its_rows_sum_to_one(data: st.DataObject) -> None:
    m, n = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 6))
    value = st.one_of(st.sampled_from([*EDGES, math.nan]), st.floats(-1, 0.25))
    cells = [[data.draw(value) for _ in range(n)] for _ in range(m)]
    for column in range(n):
        if all(math.isnan(row[column]) for row in cells):
            cells[0][column] = 0.25
    found = evaluation_matrix(np.array(cells), intervals())
    for i in range(n):
        own = [row[i] for row in cells if not math.isnan(row[i])]
        counts = [0] * 5
        for r in own:
            counts[index_by_loop(EDGES, r)] += 1
        assert found.counts[i].tolist() == counts
        assert found.values[i] == pytest.approx([c / len(own) for c in counts], abs=ALGEBRA)
    assert found.values.sum(axis=1) == pytest.approx(np.ones(n), abs=ALGEBRA)


def test_centres_are_the_mean_return_of_each_interval_or_its_middle() -> None:
    found = evaluation_matrix(np.array([[0.21, -0.5], [0.23, np.nan], [0.25, -1.0]]), intervals())
    assert found.centres == pytest.approx([-0.75, 0.075, 0.175, 0.22, 0.25])


def test_returns_outside_are_an_error_that_names_every_cell() -> None:
    returns = np.array([[0.2, 0.3], [-1.5, 0.1], [np.nan, 0.2]])
    with pytest.raises(DataError, match=r"2 returns lie outside the edges \[-1, 0.25\]") as caught:
        evaluation_matrix(returns, intervals(), periods=["Q1", "Q2", "Q3"], customers=["007", "8"])
    assert "period Q1, customer '8': 0.3" in str(caught.value)
    assert "outside='clip'" in str(caught.value)
    assert caught.value.failures is not None
    assert caught.value.failures.to_dict("list") == {
        "period": ["Q1", "Q2"],
        "customer_id": ["8", "007"],
        "return": [0.3, -1.5],
    }


def test_the_error_counts_positions_where_there_are_no_labels() -> None:
    with pytest.raises(DataError, match=r"period 0, customer 1: 0\.3"):
        evaluation_matrix(np.array([[0.2, 0.3]]), intervals())


def test_clipping_counts_them_in_the_outer_intervals() -> None:
    found = evaluation_matrix(np.array([[0.3], [-1.5], [0.1]]), intervals(), outside="clip")
    assert found.counts.tolist() == [[1, 1, 0, 0, 1]]
    assert found.values.sum() == pytest.approx(1.0)
    assert found.centres[[0, 4]] == pytest.approx([-1.0, 0.25])


@pytest.mark.parametrize("outside", ["error", "clip"])
@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_return_is_an_error_under_any_policy(outside: Any, infinite: float) -> None:
    with pytest.raises(DataError, match="period 1, customer 'a'") as caught:
        evaluation_matrix(
            np.array([[0.1], [infinite]]), intervals(), outside=outside, customers=["a"]
        )
    assert caught.value.failures is not None
    assert len(caught.value.failures) == 1


def test_customers_without_any_period_are_an_error_that_names_them() -> None:
    returns = np.array([[0.2, np.nan, 0.1], [0.2, np.nan, np.nan]])
    with pytest.raises(DataError, match="1 customers have no period with a sale: 'B'"):
        evaluation_matrix(returns, intervals(), customers=["A", "B", "C"])


def test_an_unknown_policy_for_returns_outside_is_refused() -> None:
    with pytest.raises(ModelError, match="outside is 'ignore'; expected 'error' or 'clip'"):
        evaluation_matrix(np.array([[0.2]]), intervals(), outside="ignore")  # type: ignore[arg-type]


def counted(counts: list[list[int]], centres: list[float]) -> EvaluationMatrix:
    n = np.array(counts)
    v = ReturnIntervals([0, 1, 2], 1)
    m = n.sum(axis=1)
    return EvaluationMatrix(n / m[:, None], n, v, np.array(centres), m, n)


def smoothed(matrix: EvaluationMatrix, strength: float) -> Any:
    return smooth(matrix.counts, matrix.periods, matrix.squares, strength=strength).values


def test_smoothing_draws_rows_towards_the_pooled_one_in_exact_fractions() -> None:
    counts = [[3, 1], [0, 2]]
    pooled = [Fraction(3, 6), Fraction(3, 6)]
    alpha = Fraction(5, 2)
    exact = [
        [float((row[j] + alpha * pooled[j]) / (sum(row) + alpha)) for j in range(2)]
        for row in counts
    ]
    drawn = smoothed(counted(counts, [0.5, 1.5]), 2.5)
    assert drawn == pytest.approx(np.array(exact), abs=ALGEBRA)
    assert drawn.sum(axis=1) == pytest.approx([1, 1], abs=ALGEBRA)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=6))
def test_no_smoothing_is_the_matrix_itself_and_much_of_it_the_pooled_row(
    counts: list[tuple[int, int]],
) -> None:
    matrix = counted([list(row) for row in counts], [0.5, 1.5])
    assert smoothed(matrix, 0.0).tolist() == matrix.values.tolist()
    pooled = matrix.counts.sum(axis=0) / matrix.counts.sum()
    # 10 periods against α = 1e9 leave a hundred millionth of the difference.
    assert np.abs(smoothed(matrix, 1e9) - pooled).max() < 1e-7


@pytest.mark.parametrize("strength", [-0.1, np.nan, np.inf])
def test_a_smoothing_strength_that_is_no_count_is_refused(strength: float) -> None:
    with pytest.raises(ModelError, match="strength of smoothing is"):
        smoothed(counted([[1, 1]], [0.5, 1.5]), strength)


def test_the_variance_of_an_interval_distribution_is_that_of_its_centres() -> None:
    found = interval_variance(np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]]), np.array([0, 0.2]))
    assert found == pytest.approx([0.01, 0.0, 0.0075], abs=ALGEBRA)


# -------------------------------------------------------------------------------------- operators


def test_the_weighted_average_gives_the_published_numbers() -> None:
    A = np.array([0.2, 0.2, 0.2, 0.4])
    R = np.array(
        [
            [0, 0.1, 0.2, 0.3, 0.4],
            [0.1, 0.1, 0.4, 0.2, 0.2],
            [0, 0.1, 0.2, 0.6, 0.1],
            [0, 0.2, 0.5, 0.3, 0],
        ]
    )
    # domain.md section 5, wenku365.com/d-44813560
    assert weighted_average(A, R) == pytest.approx([0.02, 0.14, 0.36, 0.34, 0.14], abs=ALGEBRA)
    # R package mathmodels, fuzzy_eval type 4; there grades are rows
    w = np.array([0.3, 0.3, 0.3, 0.1])
    grades = np.array([[0.8, 0.7, 0.6, 0.7], [0.1, 0.2, 0.2, 0.1], [0.1, 0.1, 0.2, 0.2]])
    B = weighted_average(w, grades.T)
    assert pytest.approx([0.70, 0.16, 0.14], abs=ALGEBRA) == B


@given(st.integers(0, 10_000))
def test_under_the_weighted_average_the_degrees_sum_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = (int(x) for x in rng.integers(1, 9, 2))
    w, P = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(k), n)
    B = weighted_average(w, P)
    assert B.sum() == pytest.approx(1.0, abs=ALGEBRA)
    by_loop = [sum(w[i] * P[i, j] for i in range(n)) for j in range(k)]
    assert pytest.approx(by_loop, abs=ALGEBRA) == B


def test_operators_are_found_by_name_and_a_near_miss_gets_a_suggestion() -> None:
    assert operator_named("weighted_average") is weighted_average
    assert operator_named("balanced") is OPERATORS["balanced"]
    with pytest.raises(ModelError, match=r"unknown operator 'weighted_averge'.*Did you mean"):
        operator_named("weighted_averge")


def test_the_degrees_are_not_the_distribution_of_the_portfolios_return() -> None:
    """Trap 6: two independent customers, each -100 % or +20 % with one half, half each."""
    v = ReturnIntervals([-1, -0.5, 0.1, 0.2], 2)
    independent = np.array(list(product([-1.0, 0.2], repeat=2)))  # each of four periods once
    w = np.array([0.5, 0.5])
    B = weighted_average(w, evaluation_matrix(independent, v).values)
    assert pytest.approx([0.5, 0.0, 0.5]) == B
    portfolio = evaluation_matrix((independent @ w)[:, None], v)
    assert portfolio.values[0] == pytest.approx([0.25, 0.5, 0.25])


# ---------------------------------------------------------------------------------------- targets


def test_targets_bound_bad_intervals_above_and_good_ones_below() -> None:
    targets = Targets.explicit({0: 0.01, "[20 %, 23.5 %)": 0.3, "4": 0.6}, intervals())
    assert targets.upper.tolist() == [0.01, np.inf, np.inf, np.inf, np.inf]
    assert targets.lower.tolist() == [-np.inf, -np.inf, -np.inf, 0.3, 0.6]
    assert targets.origin == "explicit"


def test_no_worse_bounds_every_interval_by_todays_degrees() -> None:
    B = np.array([0.02, 0.03, 0.05, 0.3, 0.6])
    targets = Targets.no_worse(B, intervals())
    assert targets.upper.tolist() == [0.02, 0.03, 0.05, np.inf, np.inf]
    assert targets.lower.tolist() == [-np.inf, -np.inf, -np.inf, 0.3, 0.6]
    assert targets.origin == "no worse than the current book"


def test_degrees_that_rounding_took_past_one_still_make_targets() -> None:
    targets = Targets.no_worse(np.array([-1e-17, 1.0 + 1e-15]), ReturnIntervals([0, 1, 2], 1))
    assert targets.bounds.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("bound", [0, 1])
def test_the_ends_of_zero_to_one_are_targets(bound: float) -> None:
    assert Targets.explicit({0: bound}, intervals()).upper[0] == bound


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({0: 1.2}, r"target of interval 0 \[-100 %, 0 %\) is 1.2; expected a part"),
        ({4: -0.1}, "target of interval 4 .* is -0.1"),
        ({0: np.inf}, "is inf; expected a part"),
        ({0: np.nan}, "is NaN; leave it out"),
        ({0: "much"}, "is 'much'; expected a number"),
        ({0: None}, "is None; expected a number"),
        ({5: 0.1}, "given for interval 5; expected 0 to 4"),
        ({-1: 0.1}, "given for interval -1"),
        ({"-1": 0.1}, "given for interval -1"),
        ({"--1": 0.1}, "no interval is named '--1'"),
        ({1.5: 0.1}, "given for interval 1.5"),
        ({"best": 0.1}, "no interval is named 'best'; there are"),
        ({0: 0.1, "0": 0.2}, r"interval 0 .* has two targets, 0.1 and 0.2"),
        ({4: 0.1, "[23.5 %, 25 %]": 0.2}, "interval 4 .* has two targets"),
    ],
)
def test_targets_that_make_no_sense_are_refused(bounds: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Targets.explicit(bounds, intervals())


def test_one_target_for_each_interval_is_needed() -> None:
    with pytest.raises(ModelError, match="3 targets for 5 intervals"):
        Targets(np.array([0.1, 0.2, 0.3]), intervals(), "by hand")


def test_targets_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Targets.explicit({0: 0.1}, intervals()).bounds[0] = 0.2


def test_targets_inside_the_range_of_each_column_can_be_impossible_together() -> None:
    """Trap 4: min p_ij <= b_j <= max p_ij is necessary, not sufficient."""
    P = np.array([[0.3, 0.2, 0.5], [0.1, 0.5, 0.4]])
    targets = Targets.explicit({0: 0.15, 2: 0.48}, ReturnIntervals([0, 1, 2, 3], 1))
    for j in (0, 2):
        assert P[:, j].min() <= targets.bounds[j] <= P[:, j].max()
    # By hand: the first needs w1 <= 1/4, the second w1 >= 4/5.
    first = (Fraction(15, 100) - Fraction(1, 10)) / (Fraction(3, 10) - Fraction(1, 10))
    second = (Fraction(48, 100) - Fraction(4, 10)) / (Fraction(5, 10) - Fraction(4, 10))
    assert (first, second) == (Fraction(1, 4), Fraction(4, 5))

    def verdict(which: list[int]) -> str:
        rows = np.vstack([np.ones(2), P.T[which]])
        low, high = (np.r_[1.0, side[which]] for side in (targets.lower, targets.upper))
        program = CreditProgram(
            idiosyncratic=[0.01, 0.02], rows=rows, row_lower=low, row_upper=high
        )
        return str(solve(program).status)

    assert [verdict([0]), verdict([2]), verdict([0, 2])] == ["optimal", "optimal", "infeasible"]
