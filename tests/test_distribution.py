"""The portfolio's own return distribution, held against exact counts and closed forms."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

import credit_portfolio as cp
from credit_portfolio.distribution import return_distribution, simulated_returns
from credit_portfolio.risk.estimators import ledoit_wolf
from credit_portfolio.risk.measures import portfolio_variance
from credit_portfolio.risk.model import RiskModel

# Five standard errors: one seed in a million would miss it.
FAR = 5.0


def every_combination(outcomes: dict[str, list[float]]) -> cp.ReturnPanel:
    """A panel in which the customers are exactly independent: one period per combination."""
    rows = list(itertools.product(*outcomes.values()))
    return cp.ReturnPanel.from_frame(pd.DataFrame(rows, columns=list(outcomes)))


def fitted(panel: cp.ReturnPanel, edges: list[float], **kwargs: object) -> cp.CreditPortfolio:
    given = {"targets": {}, "budget": 1e6, "risk_model": "sample", "floor": None} | kwargs
    return cp.CreditPortfolio(edges, 1, **given).fit(panel)  # type: ignore[arg-type]


def test_half_the_credit_is_lost_but_all_of_it_only_a_quarter_of_the_time():
    panel = every_combination({"A": [-1.0, 0.2], "B": [-1.0, 0.2]})
    seen = return_distribution(fitted(panel, [-1, -0.9, 0.1, 0.2]))
    assert seen.table["mixture"].tolist() == [0.5, 0.0, 0.5]
    assert seen.table["periods"].tolist() == [0.25, 0.5, 0.25]
    off = np.abs(seen.table["simulated"] - [0.25, 0.5, 0.25])
    assert (off <= FAR * seen.table["simulated_error"]).all()


def test_the_two_sentences_carry_the_figures_of_the_book():
    panel = every_combination({"A": [-1.0, 0.2], "B": [-1.0, 0.2]})
    seen = return_distribution(fitted(panel, [-1, -0.9, 0.1, 0.2]))
    told = seen.explain()
    assert told.count(". ") == 1
    assert "50.00%" in told
    assert "1 of 4 periods" in told
    assert f"{seen.table['simulated'].iloc[0]:.3%}" in told
    assert told in repr(seen)


def test_a_book_without_bad_intervals_is_told_by_its_lowest():
    panel = every_combination({"A": [-1.0, 0.2], "B": [-1.0, 0.2]})
    model = cp.CreditPortfolio(
        [-1, -0.9, 0.1, 0.2], 0, targets={}, budget=1e6, risk_model="sample", floor=None
    ).fit(panel)
    assert "lands in the lowest interval [-100 %, -90 %)" in (return_distribution(model).explain())


def test_independent_customers_follow_the_convolution_of_their_rows():
    values = [Fraction(-1), Fraction(0), Fraction(1, 5)]
    panel = every_combination({name: [float(v) for v in values] for name in "ABC"})
    w = {"A": Fraction(1, 2), "B": Fraction(3, 10), "C": Fraction(1, 5)}
    outcomes = [
        sum((share * v for share, v in zip(w.values(), each, strict=True)), Fraction(0))
        for each in itertools.product(values, repeat=3)
    ]
    # Edges in the widest gaps: the sample covariance divides by one period less, and draws spread
    # by √(27/26) more than the periods do.
    atoms = sorted(set(outcomes))
    gaps = sorted(itertools.pairwise(atoms), key=lambda gap: gap[0] - gap[1])[:3]
    cuts = sorted((low + high) / 2 for low, high in gaps)
    exact = [0.0] * 4
    for r in outcomes:
        exact[sum(r >= cut for cut in cuts)] += 1 / 27
    edges = [-1.0, *(float(cut) for cut in cuts), 0.2]
    shares = {name: float(share) for name, share in w.items()}
    seen = return_distribution(fitted(panel, edges), shares)
    assert seen.table["periods"].to_numpy() == pytest.approx(exact, abs=1e-12)
    off = np.abs(seen.table["simulated"] - exact)
    assert (off <= FAR * seen.table["simulated_error"]).all()
    chances = [Fraction(sum(float(v) >= low for v in values), 3) for low in edges[:-1]]
    rows = [float(a - b) for a, b in zip(chances, [*chances[1:], Fraction(0)], strict=True)]
    assert seen.table["mixture"].tolist() == pytest.approx(rows)


def noisy_panel(m: int = 12, n: int = 30, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(m, 1))
    return np.clip(0.15 + 0.03 * common + 0.05 * rng.normal(size=(m, n)), -1.0, 0.25)


@pytest.mark.parametrize("scenarios", ["periods", "gaussian"])
def test_the_simulated_return_has_the_mean_and_variance_of_the_program(scenarios):
    returns = noisy_panel()
    risk = ledoit_wolf(returns)
    w = np.random.default_rng(1).dirichlet(np.ones(30))
    drawn = simulated_returns(
        returns.mean(axis=0), risk, w, 400_000, np.random.default_rng(2), scenarios=scenarios
    )
    variance = portfolio_variance(risk, w)
    assert drawn.mean() == pytest.approx(
        returns.mean(axis=0) @ w, abs=FAR * math.sqrt(variance / drawn.size)
    )
    fourth = np.mean((drawn - drawn.mean()) ** 4)
    assert drawn.var() == pytest.approx(
        variance, abs=FAR * math.sqrt((fourth - variance**2) / drawn.size)
    )


def test_gaussian_scenarios_follow_the_normal_distribution():
    panel = cp.ReturnPanel.from_frame(pd.DataFrame(noisy_panel()))
    edges = [-1.0, 0.12, 0.14, 0.16, 0.18, 0.6]
    model = fitted(panel, edges, risk_model="ledoit_wolf")
    seen = return_distribution(model, scenarios="gaussian", seed=3)
    w = model.allocation_.shares.reindex(model.judged_).to_numpy()
    normal = NormalDist(
        float(panel.values.mean(axis=0) @ w), math.sqrt(portfolio_variance(model.risk_model_, w))
    )
    below = np.array([0.0, *(normal.cdf(edge) for edge in edges[1:-1]), 1.0])
    off = np.abs(seen.table["simulated"] - np.diff(below))
    assert (off <= FAR * seen.table["simulated_error"]).all()
    exact = np.array([normal.inv_cdf(level) for level in seen.quantiles.index])
    assert (np.abs(seen.quantiles["value"] - exact) <= FAR * seen.quantiles["error"]).all()


@pytest.mark.parametrize("scenarios", ["periods", "gaussian"])
def test_a_bounded_customer_has_the_mean_of_the_cut_normal(scenarios):
    risk = RiskModel(np.zeros((2, 1)), np.array([0.04]), "by hand")
    drawn = simulated_returns(
        np.array([0.15]),
        risk,
        np.ones(1),
        400_000,
        np.random.default_rng(4),
        scenarios=scenarios,
        bounds=(-1.0, 0.25),
    )
    assert drawn.min() >= -1.0
    assert drawn.max() <= 0.25
    # E min(X, b) for X normal; the lower bound is 5.75 deviations away.
    normal, z = NormalDist(), (0.25 - 0.15) / 0.2
    mean = 0.15 * normal.cdf(z) - 0.2 * normal.pdf(z) + 0.25 * (1 - normal.cdf(z))
    assert drawn.mean() == pytest.approx(mean, abs=FAR * 0.2 / math.sqrt(drawn.size))


def test_wide_bounds_change_the_distribution_of_nobody():
    returns = noisy_panel()
    risk, w = ledoit_wolf(returns), np.full(30, 1 / 30)
    for scenarios in ("periods", "gaussian"):
        drawn = simulated_returns(
            returns.mean(axis=0),
            risk,
            w,
            50_000,
            np.random.default_rng(5),
            scenarios=scenarios,  # type: ignore[arg-type]
            bounds=(-1e9, 1e9),
        )
        assert drawn.std() == pytest.approx(math.sqrt(portfolio_variance(risk, w)), rel=0.03)


@given(st.integers(0, 2**31), st.booleans())
def test_the_same_seed_gives_the_same_draws(seed, bounded):
    risk = ledoit_wolf(noisy_panel())
    w = np.full(30, 1 / 30)
    bounds = (-1.0, 0.25) if bounded else None
    first, second = (
        simulated_returns(np.zeros(30), risk, w, 50, np.random.default_rng(seed), bounds=bounds)
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_standard_errors_stay_above_zero_where_nothing_was_seen():
    panel = every_combination({"A": [-1.0, 0.2], "B": [-1.0, 0.2]})
    seen = return_distribution(fitted(panel, [-1.5, -1.2, 0.1, 0.2]))
    assert seen.table["periods"].iloc[0] == 0.0
    # Beta(1/2, 9/2): mean 1/10, variance (1/10)(9/10)/6.
    assert seen.table["periods_error"].iloc[0] == pytest.approx(math.sqrt(0.09 / 6))


def test_today_s_book_can_be_seen_beside_the_proposal():
    panel = every_combination({"A": [-1.0, 0.2], "B": [-1.0, 0.2]})
    model = cp.CreditPortfolio(
        [-1, -0.9, 0.1, 0.2], 1, targets={}, risk_model="sample", floor=None
    ).fit(panel, current={"A": 3.0, "B": 1.0})
    seen = return_distribution(model, "current")
    # Of the credit 3/4 is with A: at −1 both, at −0.7 A alone, at −0.1 B alone.
    assert seen.table["periods"].tolist() == [0.25, 0.5, 0.25]
    assert np.unique(panel.values @ [0.75, 0.25]).round(9).tolist() == [-1.0, -0.7, -0.1, 0.2]


def test_periods_in_which_nobody_bought_do_not_count():
    frame = pd.DataFrame({"A": [0.1, np.nan, 0.2, 0.0], "B": [0.2, np.nan, 0.1, 0.1]})
    panel = cp.ReturnPanel.from_frame(frame)
    assert return_distribution(fitted(panel, [-1, 0, 0.25])).n_periods == 3


def test_what_cannot_be_drawn_is_refused_with_the_reason():
    panel = every_combination({"A": [-1.0, 0.2], "B": [-1.0, 0.2]})
    model = fitted(panel, [-1, -0.9, 0.1, 0.2])
    with pytest.raises(cp.ModelError, match="fit it first"):
        return_distribution(cp.CreditPortfolio([-1, 0.2], 0))
    with pytest.raises(cp.ModelError, match="Did you mean 'gaussian'"):
        return_distribution(model, scenarios="gausian")  # type: ignore[arg-type]
    with pytest.raises(cp.ModelError, match="'proposed', 'current'"):
        return_distribution(model, "today")  # type: ignore[arg-type]
    with pytest.raises(cp.ModelError, match="draws is 1"):
        return_distribution(model, draws=1)
    with pytest.raises(cp.DataError, match=r"sum to 0\.9"):
        return_distribution(model, {"A": 0.9})
    with pytest.raises(cp.DataError, match="'Z'"):
        return_distribution(model, {"A": 0.5, "Z": 0.5})
    with pytest.raises(cp.DataError, match="owes anything today"):
        return_distribution(model, "current")
    uncentred = RiskModel(np.array([[0.1, 0.2]]), np.zeros(2), "by hand")
    with pytest.raises(cp.ModelError, match="not deviations of periods"):
        simulated_returns(np.zeros(2), uncentred, np.ones(2), 5, np.random.default_rng(0))


def test_a_hundred_thousand_customers_need_no_square_array():
    rng = np.random.default_rng(6)
    n = 100_000
    returns = 0.2 + 0.05 * rng.standard_normal((8, n))
    drawn = simulated_returns(
        returns.mean(axis=0), ledoit_wolf(returns), np.full(n, 1 / n), 1000, rng
    )
    assert drawn.shape == (1000,)
    assert drawn.mean() == pytest.approx(0.2, abs=1e-3)
