"""Smoothed rows against exact fractions, the strength against likelihood, loops and simulation."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.evaluation.matrix import evaluation_matrix
from credit_portfolio.evaluation.sampling import (
    STRONGEST,
    WEAKEST,
    Smoothing,
    estimated_strength,
    smooth,
)

# Quotients of a few sums of small integers.
ALGEBRA = 1e-13

tables = st.integers(1, 4).flatmap(
    lambda k: st.lists(
        st.lists(st.integers(0, 9), min_size=k, max_size=k), min_size=1, max_size=7
    ).filter(lambda rows: any(map(sum, rows)))
)


def in_fractions(
    counts: list[list[int]], alpha: Fraction, codes: list[int] | None
) -> list[list[Fraction]]:
    """The formula of the head of sampling.py, word by word."""
    k = len(counts[0])
    everything = sum(map(sum, counts))
    pool = [Fraction(sum(row[j] for row in counts), everything) for j in range(k)]

    def drawn(sums: list[int], prior: list[Fraction]) -> list[Fraction]:
        if not sum(sums):
            return prior
        return [(sums[j] + alpha * prior[j]) / (sum(sums) + alpha) for j in range(k)]

    rows = []
    for i, row in enumerate(counts):
        prior = pool
        if codes is not None:
            mates = [other for c, other in zip(codes, counts, strict=True) if c == codes[i]]
            prior = drawn([sum(other[j] for other in mates) for j in range(k)], pool)
        rows.append(drawn(row, prior))
    return rows


@given(tables, st.fractions(0, 50, max_denominator=8), st.data())
def test_rows_are_those_of_exact_fractions(
    counts: list[list[int]], alpha: Fraction, data: st.DataObject
) -> None:
    n = len(counts)
    codes = data.draw(st.none() | st.lists(st.integers(0, 2), min_size=n, max_size=n))
    rows = smooth(counts, [sum(row) for row in counts], strength=float(alpha), classes=codes)
    expected = np.array(in_fractions(counts, alpha, codes), dtype=float)
    np.testing.assert_allclose(rows.values, expected, rtol=ALGEBRA, atol=0)
    np.testing.assert_allclose(rows.values.sum(axis=1), 1, rtol=ALGEBRA)
    assert rows.borrowed.tolist() == [sum(row) == 0 for row in counts]
    assert rows.crisp
    assert rows.seconds is rows.values or np.array_equal(rows.seconds, rows.values)


def test_without_strength_rows_are_the_papers_frequencies() -> None:
    returns = np.array([[0.1, 0.2], [-0.5, 0.2], [0.2, np.nan]])
    P = evaluation_matrix(returns, ReturnIntervals([-1, 0, 0.15, 0.25], 1))
    rows = smooth(P.counts, P.counts.sum(axis=1))
    assert np.array_equal(rows.values, P.values)
    assert (rows.strength, rows.origin) == (0.0, "given")


def test_a_customer_without_history_takes_the_row_of_his_class_and_is_marked() -> None:
    counts = [[8, 0], [0, 8], [0, 0], [0, 0]]
    codes = [0, 1, 1, 2]
    for alpha in (0.0, 4.0):
        rows = smooth(counts, [8, 8, 0, 0], strength=alpha, classes=codes)
        assert np.array_equal(rows.values[2], rows.priors[1])
        assert rows.values[3].tolist() == [0.5, 0.5]  # nobody of his class bought: the pool's
        assert rows.borrowed.tolist() == [False, False, True, True]
        assert rows.drawn[2:].tolist() == [1.0, 1.0]


def test_how_well_the_prior_is_known_follows_from_its_customers() -> None:
    # One customer's mean of 8 periods varies (8 + 4)/(8 · 5) as much as a single period does.
    assert smooth([[8, 0]], [8], strength=4.0).prior_variance == pytest.approx([12 / 40])
    # Ten of them, a tenth of that; a class of one is held by the pool, a class of none is its like.
    rows = smooth([[8, 0]] * 10 + [[0, 1]], [8] * 10 + [1], strength=4.0, classes=[0] * 10 + [2])
    assert rows.prior_variance == pytest.approx([12 / 400, 1 / 5, 1 / 5])


def test_permuting_customers_permutes_rows() -> None:
    rng = np.random.default_rng(4)
    counts = rng.integers(0, 6, (30, 4))
    codes = rng.integers(0, 3, 30)
    order = rng.permutation(30)
    here = smooth(counts, counts.sum(axis=1), strength="estimated", classes=codes)
    there = smooth(
        counts[order], counts[order].sum(axis=1), strength="estimated", classes=codes[order]
    )
    np.testing.assert_allclose(there.values, here.values[order], rtol=1e-12)


def test_a_stronger_prior_draws_closer_to_it() -> None:
    counts = np.array([[9, 1, 2], [1, 1, 4], [0, 5, 0]])
    far = [
        np.abs(rows.values - rows.priors[rows.codes]).sum()
        for rows in (smooth(counts, counts.sum(axis=1), strength=a) for a in (0, 1, 5, 50, 1e6))
    ]
    assert far == sorted(far, reverse=True)
    assert far[-1] < 1e-4


# --------------------------------------------------------------------------------------- strength


def simulated(
    rng: np.random.Generator, n: int, alpha: float, prior: list[float]
) -> tuple[Any, Any]:
    theta = rng.dirichlet(alpha * np.array(prior), n)
    periods = rng.integers(6, 25, n)
    return rng.multinomial(periods, theta), periods


def most_likely(counts: Any, periods: Any) -> float:
    """Maximum likelihood of the Dirichlet-multinomial with the pooled mean, within the bounds."""
    pool = counts.sum(axis=0) / counts.sum()

    def loss(log_alpha: float) -> float:
        a = np.exp(log_alpha)
        parts = gammaln(counts + a * pool) - gammaln(a * pool)
        return float(-(gammaln(a) - gammaln(periods + a) + parts.sum(axis=1)).sum())

    bounds = (np.log(WEAKEST), np.log(STRONGEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


@pytest.mark.parametrize("alpha", [1.0, 5.0, 20.0])
def test_rows_of_the_estimated_strength_are_as_near_the_truth_as_those_of_likelihood(
    alpha: float,
) -> None:
    rng = np.random.default_rng(int(alpha))
    prior = np.array([0.03, 0.07, 0.1, 0.2, 0.6])
    found, misses = [], []
    for _ in range(30):
        theta = rng.dirichlet(alpha * prior, 200)
        periods = rng.integers(6, 25, 200)
        counts = rng.multinomial(periods, theta)
        found.append(estimated_strength(counts, periods))
        both = (
            smooth(counts, periods, strength=a) for a in (found[-1], most_likely(counts, periods))
        )
        misses.append([((rows.values - theta) ** 2).sum() for rows in both])
    # The least of five estimates lies below the truth, on the side of the customers' own history.
    assert 0.6 * alpha < np.median(found) < 1.05 * alpha
    here, there = np.sum(misses, axis=0)
    assert here < 1.03 * there


def test_customers_that_differ_in_losses_alone_are_not_drawn_together() -> None:
    """Losses are the customer's own, what he pays otherwise is luck: the least strength is kept."""
    rng = np.random.default_rng(6)
    loss = rng.beta(0.6, 8, 300)
    theta = np.column_stack([loss, (1 - loss) * 0.5, (1 - loss) * 0.5])
    counts = rng.multinomial(15, theta)
    periods = np.full(300, 15)
    assert 6 < estimated_strength(counts, periods) < 12  # 8.6: of a Beta distribution, its sum
    misses = [
        ((smooth(counts, periods, strength=a).values - theta)[:, 0] ** 2).sum()
        for a in ("estimated", most_likely(counts, periods), 0.0)
    ]
    assert misses[0] < 0.8 * min(misses[1:])


def test_an_interval_that_few_touched_does_not_decide() -> None:
    counts, periods = simulated(np.random.default_rng(2), 40, 20.0, [0.0, 0.5, 0.5])
    before = estimated_strength(counts, periods)
    counts[0] = [periods[0], 0, 0]  # one customer alone there, always: a quotient of next to 0
    assert estimated_strength(counts, periods) > 0.5 * before
    # In a book where all intervals are like that, variances are added over them.
    few = [[8, 0], [4, 4], [0, 8]]
    assert estimated_strength(few, [8, 8, 8]) == pytest.approx(0.4)


def test_the_strength_within_classes_is_that_of_the_customers_of_a_class() -> None:
    rng = np.random.default_rng(8)
    one, m_one = simulated(rng, 300, 15.0, [0.6, 0.3, 0.1])
    two, m_two = simulated(rng, 300, 15.0, [0.1, 0.1, 0.8])
    counts, periods = np.vstack([one, two]), np.concatenate([m_one, m_two])
    codes = np.repeat([0, 1], 300)
    assert 9 < estimated_strength(counts, periods, classes=codes) < 18
    # Without them, the difference of the classes counts as one of customers.
    assert estimated_strength(counts, periods) < 4


def degrees_of(rng: np.random.Generator, n: int) -> list[Any]:
    """Fuzzy degrees, a list of (m_i, k) arrays."""
    return [rng.dirichlet(rng.random(3) * 2 + 0.1, rng.integers(1, 9)) for _ in range(n)]


def sums_of(degrees: list[Any]) -> tuple[Any, Any, Any]:
    counts = np.array([d.sum(axis=0) for d in degrees])
    return counts, np.array([len(d) for d in degrees]), np.array([(d**2).sum(0) for d in degrees])


def test_the_strength_is_the_least_quotient_of_variances_taken_in_loops() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        degrees = degrees_of(rng, 16)
        codes = np.arange(16) % 2
        quotients = []
        for j in range(3):
            within = between = spare = free = scale = 0.0
            for c in (0, 1):
                mates = [d[:, j] for d, code in zip(degrees, codes, strict=True) if code == c]
                middle = np.concatenate(mates).mean()
                sizes = [len(d) for d in mates]
                within += sum(float(((d - d.mean()) ** 2).sum()) for d in mates)
                between += sum(len(d) * float((d.mean() - middle) ** 2) for d in mates)
                spare += sum(size - 1 for size in sizes)
                free += len(mates) - 1
                scale += sum(sizes) - sum(size**2 for size in sizes) / sum(sizes)
            if sum(d[:, j].sum() >= 0.5 for d in degrees) >= 5:
                difference = (between - free * within / spare) / scale
                quotients.append(within / spare / difference if difference > 0 else np.inf)
        assert quotients
        found = estimated_strength(*sums_of(degrees), classes=codes)
        assert found == pytest.approx(min(max(min(quotients), WEAKEST), STRONGEST), rel=1e-9)


def test_the_estimate_stays_within_its_bounds_and_says_so() -> None:
    alike = smooth([[4, 4]] * 9, [8] * 9, strength="estimated")
    apart = smooth([[8, 0], [0, 8]] * 5, [8] * 10, strength="estimated")
    assert (alike.strength, alike.origin) == (STRONGEST, "estimated, held at 1000")
    assert (apart.strength, apart.origin) == (WEAKEST, "estimated, held at 0.1")
    assert smooth([[9, 1], [4, 4]], [10, 8], strength="estimated").origin == "estimated"


def test_customers_without_history_do_not_move_the_estimate() -> None:
    counts, periods = simulated(np.random.default_rng(3), 40, 5.0, [0.2, 0.8])
    more = np.vstack([counts, np.zeros((5, 2), dtype=int)])
    none = np.concatenate([periods, np.zeros(5, dtype=int)])
    assert estimated_strength(more, none) == estimated_strength(counts, periods)


@pytest.mark.parametrize(
    ("counts", "periods", "classes"),
    [([[1, 0], [0, 1]], [1, 1], None), ([[4, 4]], [8], None), ([[4, 4], [8, 0]], [8, 8], [0, 1])],
)
def test_too_little_history_for_an_estimate_is_said(
    counts: Any, periods: Any, classes: Any
) -> None:
    with pytest.raises(ModelError, match="give it as a number"):
        smooth(counts, periods, strength="estimated", classes=classes)


# ------------------------------------------------------------------------------------ fuzzy, input


def test_fuzzy_sums_take_the_same_formula_for_degrees_and_for_squares() -> None:
    counts, periods, squares = sums_of(degrees_of(np.random.default_rng(2), 6))
    rows = smooth(counts, periods, squares, strength=3.0)
    assert not rows.crisp
    for sums, drawn in ((counts, rows.values), (squares, rows.seconds)):
        expected = (sums + 3.0 * sums.sum(axis=0) / periods.sum()) / (periods[:, None] + 3.0)
        np.testing.assert_allclose(drawn, expected, rtol=ALGEBRA)


def test_squares_equal_to_counts_are_crisp() -> None:
    counts = np.array([[3.0, 1.0], [0.0, 5.0]])
    given, left_out = (smooth(counts, [4, 5], s, strength=2.0) for s in (counts.copy(), None))
    assert given.crisp
    assert np.array_equal(given.values, left_out.values)


def test_arrays_are_read_only() -> None:
    rows: Smoothing = smooth([[3, 1]], [4])
    with pytest.raises(ValueError, match="read-only"):
        rows.values[0, 0] = 1.0


@pytest.mark.parametrize(
    ("counts", "periods", "squares", "words"),
    [
        ([[1, 2]], [4], None, "counts that sum to the periods"),
        ([[-1, 5]], [4], None, "numbers of 0 or more"),
        ([[np.nan, 4]], [4], [[0, 4]], "numbers of 0 or more"),
        ([[1.5, 2.5]], [4], None, "give squares"),
        ([[1.5, 2.5]], [4], [[2.0, 2.5]], "squares not above counts"),
        ([[1.5, 2.5]], [4], [[1.0]], "shape"),
        ([[0, 0]], [0], None, "no customer has a period"),
        ([1, 2], [3], None, "shape"),
        ([[np.inf, 0]], [np.inf], None, "numbers of 0 or more"),
    ],
)
def test_sums_that_cannot_be_are_refused(
    counts: Any, periods: Any, squares: Any, words: str
) -> None:
    with pytest.raises(DataError, match=words), np.errstate(invalid="ignore"):
        smooth(counts, periods, squares)


@pytest.mark.parametrize("strength", [-1, np.nan, np.inf, "estimate"])
def test_a_strength_that_is_none_is_refused(strength: Any) -> None:
    with pytest.raises(ModelError, match="strength of smoothing"):
        smooth([[1, 2]], [3], strength=strength)


@pytest.mark.parametrize("classes", [[0], [0, -1], [0.0, 1.0], [[0, 1]]])
def test_classes_that_do_not_fit_are_refused(classes: Any) -> None:
    with pytest.raises(ModelError, match="classes has shape"):
        smooth([[1, 2], [3, 0]], [3, 3], classes=classes)
