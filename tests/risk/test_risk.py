"""Risk in factor form against n × n formulas, NumPy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.covariance import LedoitWolf

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.risk.estimators import ESTIMATORS, estimate, ledoit_wolf, sample
from credit_portfolio.risk.measures import (
    portfolio_returns,
    portfolio_variance,
    risk_contributions,
    standard_deviation,
)
from credit_portfolio.risk.model import RiskModel, with_floor

# The project's bar for the shrinkage against scikit-learn.
AS_SKLEARN = 1e-10
# Two orders of summation of the same products.
ALGEBRA = 1e-12


def panel(seed: int, m: int, n: int, missing: float = 0.0) -> np.ndarray:
    """Returns between a loss and the markup, with a common factor; two or more periods each."""
    rng = np.random.default_rng(seed)
    returns = 0.2 + 0.03 * rng.normal(size=(m, 1)) + 0.05 * rng.normal(size=(m, n))
    returns *= rng.uniform(0.2, 3, n)
    hole = rng.random((m, n)) < missing
    hole[:2] = False
    returns[hole] = np.nan
    return returns


def dense(model: RiskModel) -> np.ndarray:
    return model.factors.T @ model.factors + np.diag(model.idiosyncratic)


# ------------------------------------------------------------------------------------- estimators


SHAPES = [(2, 1), (2, 5), (5, 2), (12, 12), (24, 100), (100, 7), (36, 150)]


@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_ledoit_wolf_is_scikit_learns_on_complete_panels(m: int, n: int) -> None:
    returns = panel(m * n, m, n)
    ours, theirs = ledoit_wolf(returns), LedoitWolf().fit(returns)
    assert dense(ours) == pytest.approx(theirs.covariance_, rel=AS_SKLEARN, abs=AS_SKLEARN)
    scale = np.abs(theirs.covariance_).max()
    assert np.abs(dense(ours) - theirs.covariance_).max() <= AS_SKLEARN * scale
    if n > 1:  # of one customer the covariance is its own target, whatever the part taken from it
        assert ours.shrinkage == pytest.approx(theirs.shrinkage_, abs=AS_SKLEARN)


@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_the_sample_covariance_is_numpys_with_ddof_one(m: int, n: int) -> None:
    returns = panel(m + n, m, n)
    model = sample(returns)
    assert dense(model) == pytest.approx(np.cov(returns.T, ddof=1).reshape(n, n), rel=ALGEBRA)
    assert not model.idiosyncratic.any()
    assert model.shrinkage == 0.0


def with_two_loops(returns: np.ndarray) -> np.ndarray:
    """X_ti = (r_ti - mean_i)/sqrt(m_i - 1), 0 where missing; covariance X'X, cell by cell."""
    m, n = returns.shape
    seen = [[t for t in range(m) if not math.isnan(returns[t, i])] for i in range(n)]
    mean = [math.fsum(returns[t, i] for t in seen[i]) / len(seen[i]) for i in range(n)]
    cov = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            both = [t for t in seen[i] if t in seen[j]]
            cov[i, j] = math.fsum(
                (returns[t, i] - mean[i]) * (returns[t, j] - mean[j]) for t in both
            ) / math.sqrt((len(seen[i]) - 1) * (len(seen[j]) - 1))
    return cov


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 7), st.floats(0, 0.8))
def test_missing_cells_count_as_the_mean_over_his_own_periods(
    seed: int, m: int, n: int, missing: float
) -> None:
    returns = panel(seed, m, n, missing)
    model = sample(returns)
    assert dense(model) == pytest.approx(with_two_loops(returns), rel=1e-9, abs=1e-15)
    own = [np.var(column[~np.isnan(column)], ddof=1) for column in returns.T]
    assert model.variances == pytest.approx(own, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("m", "n", "missing"), [(6, 4, 0.3), (24, 60, 0.4), (30, 5, 0.0)])
def test_shrinkage_with_gaps_is_the_published_formula_written_with_n_by_n_arrays(
    m: int, n: int, missing: float
) -> None:
    returns = panel(9, m, n, missing)
    seen = ~np.isnan(returns)
    Z = np.where(seen, returns - np.nanmean(returns, axis=0), 0.0) * np.sqrt(m / seen.sum(axis=0))
    S = Z.T @ Z / m
    target = np.trace(S) / n * np.eye(n)
    d2 = ((S - target) ** 2).sum() / n
    b2 = sum(((np.outer(z, z) - S) ** 2).sum() for z in Z) / m**2 / n
    delta = min(b2, d2) / d2
    model = ledoit_wolf(returns)
    assert model.shrinkage == pytest.approx(delta, rel=1e-9)
    assert dense(model) == pytest.approx((1 - delta) * S + delta * target, rel=1e-9, abs=1e-15)


def test_more_customers_than_periods_leave_the_sample_singular_and_the_shrunk_one_not() -> None:
    returns = panel(1, 6, 20)
    assert np.linalg.matrix_rank(dense(sample(returns))) == 5  # m - 1, domain.md trap 7
    assert np.linalg.eigvalsh(dense(ledoit_wolf(returns))).min() > 0


@pytest.mark.parametrize("name", ["sample", "ledoit_wolf"])
def test_no_estimate_has_an_array_of_customers_by_customers(name: str) -> None:
    model = estimate(name, panel(2, 6, 50))
    assert model.factors.shape == (6, 50)
    assert model.idiosyncratic.shape == (50,)
    assert model.name == name


def test_pure_noise_is_shrunk_all_the_way_and_not_beyond() -> None:
    # Each customer moves in one period only, all alike: the noise estimate exceeds the dispersion.
    returns = np.eye(4) * 0.1
    model, theirs = ledoit_wolf(returns), LedoitWolf().fit(returns)
    assert model.shrinkage == pytest.approx(theirs.shrinkage_, abs=AS_SKLEARN) == 1.0
    assert dense(model) == pytest.approx(theirs.covariance_, abs=AS_SKLEARN)


def test_a_customer_who_always_pays_on_time_has_no_sample_variance() -> None:
    returns = panel(3, 8, 3)
    returns[:, 1] = 0.25
    assert sample(returns).variances[1] == 0.0
    shrunk = ledoit_wolf(returns)
    assert shrunk.variances[1] == pytest.approx(shrunk.idiosyncratic[1])
    assert dense(shrunk) == pytest.approx(LedoitWolf().fit(returns).covariance_, abs=AS_SKLEARN)


@pytest.mark.parametrize("name", ["sample", "ledoit_wolf"])
def test_a_panel_that_never_moves_has_no_variance(name: str) -> None:
    model = estimate(name, np.full((4, 3), 0.25))
    assert model.variances.tolist() == [0.0, 0.0, 0.0]
    assert model.shrinkage == 0.0


@pytest.mark.parametrize("factor", [1e-2, 1e-6, 1e6])
def test_shrinkage_does_not_depend_on_the_unit_of_returns(factor: float) -> None:
    returns = panel(4, 12, 30, 0.2)
    base, other = ledoit_wolf(returns), ledoit_wolf(returns * factor)
    assert other.shrinkage == pytest.approx(base.shrinkage, rel=1e-9)
    assert other.variances == pytest.approx(base.variances * factor**2, rel=1e-9)


def test_an_unknown_estimator_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ModelError, match=r"unknown risk model 'ledoit_wold'.*Did you mean 'ledoit"):
        estimate("ledoit_wold", panel(0, 3, 2))
    assert set(ESTIMATORS) == {"ledoit_wolf", "sample"}


@pytest.mark.parametrize("name", ["sample", "ledoit_wolf"])
def test_an_infinite_return_is_refused_with_its_place(name: str) -> None:
    returns = panel(0, 3, 2)
    returns[1, 0] = np.inf
    with pytest.raises(DataError, match=r"infinite returns at \(period, customer\) \[\[1, 0\]\]"):
        estimate(name, returns)


@pytest.mark.parametrize("name", ["sample", "ledoit_wolf"])
def test_customers_with_fewer_than_two_periods_are_counted_and_named(name: str) -> None:
    returns = panel(0, 3, 3)
    returns[1:, 0] = np.nan
    returns[:, 2] = np.nan
    with pytest.raises(DataError, match=r"2 customers have fewer than two periods.*columns 0, 2"):
        estimate(name, returns)


# --------------------------------------------------------------------------------------- measures


@given(st.integers(0, 10_000))
def test_measures_are_the_plain_formulas_and_contributions_sum_to_the_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 10)), int(rng.integers(0, 6))
    model = RiskModel(rng.normal(size=(k, n)), rng.uniform(size=n), "drawn")
    w = rng.dirichlet(np.ones(n))
    sigma = dense(model)
    plain = sum(w[i] * w[j] * sigma[i, j] for i in range(n) for j in range(n))
    assert portfolio_variance(model, w) == pytest.approx(plain, rel=1e-9)
    assert standard_deviation(model, w) ** 2 == pytest.approx(plain, rel=1e-9)
    parts = risk_contributions(model, w)
    assert parts == pytest.approx(w * (sigma @ w), rel=1e-9, abs=ALGEBRA)
    assert parts.sum() == pytest.approx(plain, rel=1e-9)
    assert model.variances == pytest.approx(np.diag(sigma))


def test_the_sample_variance_of_a_portfolio_is_that_of_its_returns() -> None:
    returns = panel(5, 10, 4)
    w = np.array([0.1, 0.2, 0.3, 0.4])
    assert portfolio_variance(sample(returns), w) == pytest.approx(np.var(returns @ w, ddof=1))


def test_a_period_counts_only_the_customers_who_bought() -> None:
    nan = np.nan
    returns = np.array([[0.2, 0.1, 0.0], [nan, 0.1, -1.0], [nan, nan, 0.2], [nan, nan, nan]])
    found = portfolio_returns(returns, np.array([0.5, 0.3, 0.2]))
    assert found[:3] == pytest.approx([0.5 * 0.2 + 0.3 * 0.1, (0.03 - 0.2) / 0.5, 0.2])
    assert np.isnan(found[3])


def test_a_period_in_which_only_customers_without_share_bought_has_no_return() -> None:
    returns = np.array([[0.2, np.nan], [np.nan, 0.1]])
    found = portfolio_returns(returns, np.array([1.0, 0.0]))
    assert found[0] == pytest.approx(0.2)
    assert np.isnan(found[1])


# ------------------------------------------------------------------------------------------ model


def test_a_floor_raises_only_those_below_it_and_marks_them() -> None:
    model = RiskModel(np.array([[0.1, 0.2, 0.0]]), np.array([0.0, 0.01, 0.0]), "drawn", 0.3)
    raised = with_floor(model, np.array([0.02, 0.02, 0.02]))
    assert raised.variances == pytest.approx([0.02, 0.05, 0.02])
    assert raised.floored is not None
    assert raised.floored.tolist() == [True, False, True]
    assert (raised.name, raised.shrinkage) == ("drawn", 0.3)
    assert dense(raised)[0, 1] == dense(model)[0, 1]  # covariances stay
    assert model.variances == pytest.approx([0.01, 0.05, 0.0])


def test_a_floor_of_zero_changes_nothing() -> None:
    model = sample(panel(6, 5, 4))
    same = with_floor(model, np.zeros(4))
    assert same.variances.tolist() == model.variances.tolist()
    assert same.floored is not None
    assert not same.floored.any()


@pytest.mark.parametrize(
    "floor", [np.zeros(3), np.full(2, np.nan), np.array([0.1, -0.1]), np.array([0.1, np.inf])]
)
def test_a_floor_that_is_no_variance_for_each_customer_is_refused(floor: np.ndarray) -> None:
    model = RiskModel(np.zeros((1, 2)), np.zeros(2), "drawn")
    with pytest.raises(ModelError, match="expected one finite variance ≥ 0 for each of the 2"):
        with_floor(model, floor)


@pytest.mark.parametrize(
    ("F", "D", "message"),
    [
        (np.zeros((1, 2)), np.zeros(3), r"need \(k, n\), \(n,\)"),
        (np.zeros(2), np.zeros(2), r"need \(k, n\), \(n,\)"),
        (np.array([[np.nan, 0]]), np.zeros(2), "finite factors"),
        (np.zeros((1, 2)), np.array([0, np.inf]), "finite factors and finite variances"),
        (np.zeros((1, 2)), np.array([0, -1.0]), "variances of zero or more"),
    ],
)
def test_a_model_that_is_no_covariance_is_refused(
    F: np.ndarray, D: np.ndarray, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        RiskModel(F, D, "wrong")


def test_a_model_cannot_be_written_to() -> None:
    model = sample(panel(7, 4, 2))
    with pytest.raises(ValueError, match="read-only"):
        model.factors[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        model.idiosyncratic[0] = 1.0
    assert "2 customers, 4 factors" in repr(model)
