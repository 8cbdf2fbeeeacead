"""Credible intervals and margins against SciPy, draws of the model, and simulated books."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from credit_portfolio.errors import ModelError
from credit_portfolio.evaluation.credible import degree_bands, robust_numbers, row_intervals
from credit_portfolio.evaluation.sampling import Smoothing, smooth

ALGEBRA = 1e-12
PRIOR = np.array([0.04, 0.08, 0.28, 0.6])
GOOD = np.array([False, False, True, True])


def counts_of(seed: int, n: int = 20, k: int = 4) -> Any:
    rng = np.random.default_rng(seed)
    return rng.multinomial(rng.integers(2, 25, n), rng.dirichlet(np.ones(k)))


def smoothed(counts: Any, **options: Any) -> Smoothing:
    return smooth(counts, np.sum(counts, axis=1), **options)


def exact_own(rows: Smoothing, w: Any, priors: Any) -> Any:
    """Σ w² Cov(p_i) given the priors' rows, by SciPy, customer for customer."""
    total = np.zeros((priors.shape[1],) * 2)
    for i, share in enumerate(w):
        shape = rows.counts[i] + rows.strength * priors[rows.codes[i]]
        total += share**2 * stats.dirichlet(shape).cov()
    return total


# ------------------------------------------------------------------------------------ rows


def test_row_intervals_without_strength_are_jeffreys() -> None:
    counts = np.array([[3, 5, 1], [1, 1, 1]])
    lower, upper = row_intervals(smoothed(counts), level=0.9)
    for i, m in enumerate((9, 3)):
        for j in range(3):
            beta = stats.beta(counts[i, j] + 0.5, m - counts[i, j] + 1.0)
            assert lower[i, j] == pytest.approx(beta.ppf(0.05), rel=1e-9)
            assert upper[i, j] == pytest.approx(beta.ppf(0.95), rel=1e-9)


def test_row_intervals_with_strength_are_marginals_of_the_dirichlet() -> None:
    counts, codes = np.array([[3, 5, 1], [1, 1, 1], [4, 4, 2]]), np.array([0, 1, 1])
    lower, upper = row_intervals(smoothed(counts, strength=6.0, classes=codes))
    pool = (counts.sum(axis=0) + 0.5) / (counts.sum() + 1.5)
    for i in range(3):
        mates = counts[codes == codes[i]].sum(axis=0)
        prior = (mates + 6 * pool) / (mates.sum() + 6)
        a = counts[i] + 6 * prior
        beta = stats.beta(a, counts[i].sum() + 6 - a)
        np.testing.assert_allclose(lower[i], beta.ppf(0.025), rtol=1e-9)
        np.testing.assert_allclose(upper[i], beta.ppf(0.975), rtol=1e-9)


@pytest.mark.parametrize("strength", [0.0, 6.0])
def test_what_was_never_seen_keeps_an_upper_end_and_starts_at_zero(strength: float) -> None:
    lower, upper = row_intervals(smoothed([[0, 12, 0], [0, 6, 6]], strength=strength))
    assert lower[0].tolist()[::2] == [0.0, 0.0]
    assert upper[0, 1] == 1.0
    assert (upper[:, 0] > 0).all()
    assert (lower <= upper).all()


def test_a_single_interval_is_certain() -> None:
    lower, upper = row_intervals(smoothed([[4], [2]], strength=1.0))
    assert lower.tolist() == upper.tolist() == [[1.0], [1.0]]


def test_fuzzy_row_intervals_have_the_posteriors_mean_and_variance() -> None:
    degrees = np.random.default_rng(1).dirichlet([1, 2, 0.5], 10)
    rows = smooth([degrees.sum(axis=0)], [10], [(degrees**2).sum(axis=0)])
    lower, upper = row_intervals(rows)
    weight = 11.5
    mean = (degrees.sum(axis=0) + 0.5) / weight
    variance = (((degrees**2).sum(axis=0) + 0.5) / weight - mean**2) / (weight + 1)
    for j in range(3):
        c = mean[j] * (1 - mean[j]) / variance[j] - 1
        beta = stats.beta(mean[j] * c, (1 - mean[j]) * c)
        assert beta.var() == pytest.approx(variance[j])
        assert lower[0, j] == pytest.approx(beta.ppf(0.025), rel=1e-8)
        assert upper[0, j] == pytest.approx(beta.ppf(0.975), rel=1e-8)
    # Degrees that lie between 0 and 1 say more of their mean than whole periods do.
    crisp = row_intervals(smooth([[3, 5, 2]], [10]))
    assert (upper - lower).sum() < (crisp[1] - crisp[0]).sum()


@pytest.mark.parametrize("strength", [0.0, "given"])
def test_row_intervals_cover_what_they_say(strength: Any) -> None:
    rng = np.random.default_rng(11)
    theta = rng.dirichlet(8 * np.array([0.2, 0.3, 0.5]), 20_000)
    counts = rng.multinomial(rng.integers(8, 30, 20_000), theta)
    lower, upper = row_intervals(smoothed(counts, strength=8.0 if strength else 0.0))
    assert ((lower <= theta) & (theta <= upper)).mean() == pytest.approx(0.95, abs=0.01)


# --------------------------------------------------------------------------------------- B


@pytest.mark.parametrize("classes", [None, np.arange(20) % 3])
def test_the_covariance_of_b_is_that_of_the_model_drawn_in_loops(classes: Any) -> None:
    counts, w = counts_of(3), np.random.default_rng(3).dirichlet(np.ones(20))
    rows = smoothed(counts, strength=7.0, classes=classes)
    bands = degree_bands(w, rows, method="beta")
    np.testing.assert_allclose(bands.mean, w @ rows.values, rtol=ALGEBRA)
    np.testing.assert_allclose(np.diagonal(bands.covariance), bands.own + bands.common)
    np.testing.assert_allclose(bands.covariance.sum(axis=0), 0, atol=1e-15)
    # Var(B) = E Var(B | π) + Var E(B | π): the first by SciPy for each drawn π, the second known.
    rng = np.random.default_rng(0)
    precision = 1 / rows.prior_variance - 1
    drawn = np.stack(
        [rng.dirichlet(c * p, 20_000) for c, p in zip(precision, rows.priors, strict=True)], axis=1
    )
    inner = np.mean([exact_own(rows, w, priors) for priors in drawn[:800]], axis=0)
    part = w * rows.strength / (rows.periods + rows.strength)
    outer = np.cov(np.einsum("i,dij->jd", part, drawn[:, rows.codes]))
    np.testing.assert_allclose(bands.own, np.diagonal(inner), rtol=0.01)
    np.testing.assert_allclose(bands.common, np.diagonal(outer), rtol=0.05)
    np.testing.assert_allclose(bands.covariance, inner + outer, atol=0.03 * bands.covariance.max())


def test_with_a_prior_known_for_certain_rows_are_independent_dirichlets() -> None:
    counts, w = 1 + counts_of(6), np.random.default_rng(6).dirichlet(np.ones(20))
    rows = smoothed(counts, strength=5.0)
    certain = Smoothing(
        **{name: getattr(rows, name) for name in rows.__slots__ if name != "prior_variance"},
        prior_variance=np.zeros(1),
    )
    bands = degree_bands(w, certain, method="beta")
    np.testing.assert_allclose(bands.covariance, exact_own(rows, w, rows.priors), rtol=1e-10)
    assert not bands.common.any()


def test_draws_and_matched_beta_agree() -> None:
    counts, w = counts_of(9, n=60), np.random.default_rng(9).dirichlet(np.ones(60))
    for classes in (None, np.arange(60) % 4):
        rows = smoothed(counts, strength=4.0, classes=classes)
        drawn = degree_bands(w, rows, draws=20_000, seed=1)
        matched = degree_bands(w, rows, method="beta")
        assert (drawn.method, drawn.draws, matched.method) == ("monte_carlo", 20_000, "beta")
        deviation = np.sqrt(np.diagonal(matched.covariance))
        # 20,000 draws know a quantile of 2.5 % to 0.02 standard deviations; the rest is shape: a
        # Beta that equals B in mean and variance has a little less skewness.
        assert (np.abs(drawn.lower - matched.lower) < 0.15 * deviation).all()
        assert (np.abs(drawn.upper - matched.upper) < 0.15 * deviation).all()
        np.testing.assert_allclose(drawn.covariance, matched.covariance)


def test_the_same_seed_draws_the_same_and_small_steps_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, w = smoothed(counts_of(2), strength=4.0), np.full(20, 0.05)
    first, again = (degree_bands(w, rows, seed=5) for _ in range(2))
    assert np.array_equal(first.lower, again.lower)
    monkeypatch.setattr("credit_portfolio.evaluation.credible._AT_ONCE", 1000)
    deviation = np.sqrt(np.diagonal(first.covariance))
    assert (np.abs(degree_bands(w, rows, seed=5).upper - first.upper) < 0.2 * deviation).all()


def test_tiny_prior_shapes_still_draw_rows_that_sum_to_one() -> None:
    rows = smoothed([[3, 0, 0], [3, 0, 1], [0, 0, 0]], strength=1e-4)
    bands = degree_bands([0.0, 0.0, 1.0], rows)
    assert bands.method == "monte_carlo"
    assert (bands.lower <= bands.mean).all()
    assert (bands.mean <= bands.upper).all()
    assert bands.upper[0] == pytest.approx(1.0)  # nothing is known of him: it may be any interval


def test_who_has_no_share_changes_nothing() -> None:
    counts = counts_of(7)
    w = np.zeros(20)
    w[:5] = 0.2
    rows = smoothed(counts, strength=4.0)
    few = Smoothing(
        **{
            name: getattr(rows, name)[:5]
            if name in ("values", "seconds", "counts", "squares", "periods", "codes", "borrowed")
            else getattr(rows, name)
            for name in rows.__slots__
        }
    )
    here, there = degree_bands(w, rows, seed=3), degree_bands(w[:5], few, seed=3)
    np.testing.assert_allclose(here.lower, there.lower, rtol=ALGEBRA)
    np.testing.assert_allclose(here.covariance, there.covariance, rtol=1e-10)


def test_many_customers_fuzzy_degrees_and_no_strength_take_the_matched_beta() -> None:
    rows = smoothed(counts_of(1, n=3000), strength=4.0)
    assert degree_bands(np.full(3000, 1 / 3000), rows).method == "beta"
    assert degree_bands(np.full(20, 0.05), smoothed(counts_of(1))).method == "beta"
    fuzzy = smooth([[1.5, 2.5]], [4], [[1.0, 2.0]], strength=2.0)
    assert degree_bands([1.0], fuzzy).method == "beta"
    for without in (fuzzy, smooth([[1, 3]], [4])):
        with pytest.raises(ModelError, match="no Dirichlet posterior"):
            degree_bands([1.0], without, method="monte_carlo")


def test_shares_that_do_not_sum_to_one_scale_the_bands() -> None:
    rows, w = smoothed(counts_of(5), strength=4.0), np.random.default_rng(5).random(20)
    methods: tuple[Literal["beta", "monte_carlo"], ...] = ("beta", "monte_carlo")
    for method in methods:
        here, twice = (degree_bands(c * w, rows, method=method, seed=2) for c in (1, 2))
        np.testing.assert_allclose(twice.upper, 2 * here.upper, rtol=1e-10)
        np.testing.assert_allclose(twice.covariance, 4 * here.covariance, rtol=1e-10)


def test_fuzzy_variances_are_those_of_a_dirichlet_process() -> None:
    """The posterior over the atoms seen: weight 1 on own ones, α/N on each of the pool's."""
    rng = np.random.default_rng(4)
    degrees = [rng.dirichlet([0.5, 1, 1], size) for size in (5, 9, 3, 12)]
    sums = np.array([d.sum(axis=0) for d in degrees])
    squares = np.array([(d**2).sum(axis=0) for d in degrees])
    rows = smooth(sums, [len(d) for d in degrees], squares, strength=4.0)
    pool = np.concatenate(degrees)
    known = np.zeros(1)
    certain = Smoothing(
        **{name: getattr(rows, name) for name in rows.__slots__ if name != "prior_variance"},
        prior_variance=known,
    )
    spread = robust_numbers(certain).spread
    for i, own in enumerate(degrees):
        atoms = np.concatenate([own, pool])
        weights = np.concatenate([np.ones(len(own)), np.full(len(pool), 4.0 / len(pool))])
        exact = atoms.T @ stats.dirichlet(weights).cov() @ atoms
        np.testing.assert_allclose(spread[i] ** 2, np.diagonal(exact), rtol=1e-10)
    covariance = degree_bands(np.full(4, 0.25), rows).covariance
    assert np.isnan(covariance[~np.eye(3, dtype=bool)]).all()
    assert np.isfinite(np.diagonal(covariance)).all()


def test_without_strength_the_variance_is_unbiased() -> None:
    rng = np.random.default_rng(12)
    theta, m = rng.dirichlet(np.ones(3), 15), rng.integers(2, 12, 15)
    w = rng.dirichlet(np.ones(15))
    truth = (w**2 / m) @ (theta * (1 - theta))
    seen = [
        degree_bands(w, smoothed(rng.multinomial(m, theta)), method="beta").own for _ in range(3000)
    ]
    np.testing.assert_allclose(np.mean(seen, axis=0), truth, rtol=0.03)


def test_one_period_without_strength_borrows_its_variance() -> None:
    rows = smoothed([[1, 0], [4, 4], [0, 0]])
    pool = 5 / 9 * 4 / 9
    spread = robust_numbers(rows).spread ** 2
    assert spread[0] == pytest.approx([pool, pool])
    assert spread[1] == pytest.approx([0.25 / 7] * 2)
    # The third has the row of the pool: its own luck, and in common what the pool does not know.
    common = rows.prior_variance[0] * pool
    assert spread[2] == pytest.approx([pool - common] * 2)
    assert robust_numbers(rows).deviation[0] == pytest.approx([np.sqrt(common)] * 2)


# ------------------------------------------------------------------------- simulated books


def book(rng: np.random.Generator, n: int, alpha: float, classes: int) -> tuple[Any, Any, Any]:
    codes = rng.integers(0, classes, n)
    priors = rng.dirichlet(30 * PRIOR, classes) if classes > 1 else PRIOR[None]
    theta = np.array([rng.dirichlet(alpha * priors[c]) for c in codes])
    return theta, rng.multinomial(rng.integers(6, 25, n), theta), codes if classes > 1 else None


@pytest.mark.parametrize(
    ("n", "alpha", "classes", "evenness"),
    [(200, 2.0, 1, 0.3), (200, 10.0, 1, 50.0), (100, 30.0, 1, 1.0), (200, 10.0, 3, 1.0)],
)
def test_bands_of_b_cover_the_truth(n: int, alpha: float, classes: int, evenness: float) -> None:
    rng = np.random.default_rng(int(n + alpha))
    hits = []
    for _ in range(400):
        theta, counts, codes = book(rng, n, alpha, classes)
        w = rng.dirichlet(np.full(n, evenness))
        bands = degree_bands(
            w, smoothed(counts, strength="estimated", classes=codes), method="beta"
        )
        hits.append((bands.lower <= w @ theta) & (w @ theta <= bands.upper))
    assert 0.93 <= np.mean(hits) <= 0.97


def test_bands_cover_losses_that_no_dirichlet_describes() -> None:
    """Customers who differ in their losses much more than in anything else."""
    rng = np.random.default_rng(51)
    hits = []
    for _ in range(400):
        loss = rng.beta(0.6, 8, 120)
        theta = np.column_stack([loss, 0.1 * (1 - loss), 0.3 * (1 - loss), 0.6 * (1 - loss)])
        counts = rng.multinomial(rng.integers(8, 20, 120), theta)
        w = rng.dirichlet(np.ones(120))
        bands = degree_bands(w, smoothed(counts, strength="estimated"), method="beta")
        hits.append((bands.lower <= w @ theta) & (w @ theta <= bands.upper))
    assert 0.93 <= np.mean(hits, axis=0)[0] <= 0.97
    # In the others the strength is lower than they would bear, which errs on the wide side.
    assert 0.93 <= np.mean(hits) <= 0.99


def test_drawn_bands_cover_the_truth_too() -> None:
    rng = np.random.default_rng(77)
    hits = []
    for _ in range(300):
        theta, counts, _ = book(rng, 30, 5.0, 1)
        w = rng.dirichlet(np.ones(30))
        bands = degree_bands(w, smoothed(counts, strength="estimated"), draws=500)
        hits.append((bands.lower <= w @ theta) & (w @ theta <= bands.upper))
    assert 0.93 <= np.mean(hits) <= 0.97


def test_without_strength_bands_cover_books_that_nobody_chose() -> None:
    rng = np.random.default_rng(15)
    hits = []
    for _ in range(400):
        theta, counts, _ = book(rng, 200, 10.0, 1)
        w = rng.dirichlet(np.ones(200))
        bands = degree_bands(w, smoothed(counts))
        hits.append((bands.lower <= w @ theta) & (w @ theta <= bands.upper))
    assert 0.93 <= np.mean(hits) <= 0.97


def kept(strength: Any, *, chosen: bool) -> float:
    """Books in which the loss degree stays below what the margin allows, at 95 % confidence."""
    rng = np.random.default_rng(21)
    below = 0
    for _ in range(400):
        theta, counts, _ = book(rng, 200, 10.0, 1)
        rows = smoothed(counts, strength=strength)
        w = rng.dirichlet(np.ones(200))
        if chosen:  # the tenth of the customers that look safest
            w = np.zeros(200)
            w[np.argsort(rows.values[:, 0], kind="stable")[:20]] = 1 / 20
        numbers = robust_numbers(rows)
        most = w @ numbers.cautious_mean(GOOD) + numbers.factor * np.sqrt(w**2 @ numbers.spread**2)
        below += float(w @ theta[:, 0]) <= most[0]
    return below / 400


def test_the_margin_holds_also_for_customers_that_were_chosen_on_the_same_periods() -> None:
    assert kept("estimated", chosen=False) >= 0.94
    assert kept("estimated", chosen=True) >= 0.92
    # Without a prior the safest-looking were merely lucky, and no margin tells.
    assert kept(0.0, chosen=True) < 0.2


# ------------------------------------------------------------------------------ robust numbers


def test_the_normal_margin_is_near_the_drawn_quantile_of_a_large_book() -> None:
    rng = np.random.default_rng(31)
    _, counts, _ = book(rng, 400, 10.0, 1)
    rows, w = smoothed(counts, strength="estimated"), rng.dirichlet(np.ones(400))
    numbers = robust_numbers(rows, 0.95)
    pull = np.bincount(numbers.codes, w * numbers.drawn)
    deviation = np.sqrt(w**2 @ numbers.spread**2 + pull**2 @ numbers.deviation**2)
    drawn = degree_bands(w, rows, level=0.9, draws=4000, method="monte_carlo")
    assert (
        np.abs(w @ numbers.mean + numbers.factor * deviation - drawn.upper) < 0.14 * deviation
    ).all()
    assert (
        np.abs(w @ numbers.mean - numbers.factor * deviation - drawn.lower) < 0.14 * deviation
    ).all()


@pytest.mark.parametrize("strength", [0.0, 5.0])
def test_spread_and_deviation_make_up_the_variance_of_b(strength: float) -> None:
    counts, codes = counts_of(8), np.arange(20) % 3
    counts[:2] = 0
    rows, w = smoothed(counts, strength=strength, classes=codes), np.full(20, 0.05)
    numbers, bands = robust_numbers(rows), degree_bands(w, rows, method="beta")
    pull = np.bincount(numbers.codes, w * numbers.drawn, minlength=3)
    np.testing.assert_allclose(w**2 @ numbers.spread**2, bands.own, rtol=1e-10)
    np.testing.assert_allclose(pull**2 @ numbers.deviation**2, bands.common, rtol=1e-10)
    cautious = w @ (numbers.cautious_mean(GOOD) - numbers.mean)
    expected = numbers.factor * pull @ numbers.deviation
    np.testing.assert_allclose(cautious, np.where(GOOD, -expected, expected), atol=1e-15)
    assert numbers.factor == pytest.approx(stats.norm.ppf(0.95), rel=1e-12)


def test_more_periods_leave_less_spread() -> None:
    once, often = (robust_numbers(smoothed(c * counts_of(4), strength=3.0)) for c in (1, 10))
    assert (often.spread < once.spread).all()
    assert (often.deviation <= once.deviation).all()


@pytest.mark.parametrize("confidence", [0.49, 1.0, np.nan])
def test_a_confidence_that_makes_no_cone_is_refused(confidence: float) -> None:
    with pytest.raises(ModelError, match="confidence is"):
        robust_numbers(smooth([[1, 2]], [3]), confidence)


def test_arguments_that_do_not_fit_are_refused() -> None:
    rows = smooth([[1, 2], [3, 0]], [3, 3], strength=1.0)
    for shares in ([1.0], [-0.5, 1.5], [np.nan, 1], [0, 0]):
        with pytest.raises(ModelError, match="shares has shape"):
            degree_bands(shares, rows)
    for level in (0.0, 1.0, np.nan):
        with pytest.raises(ModelError, match="level is"):
            degree_bands([0.5, 0.5], rows, level=level)
        with pytest.raises(ModelError, match="level is"):
            row_intervals(rows, level)
    with pytest.raises(ModelError, match="draws is 0"):
        degree_bands([0.5, 0.5], rows, draws=0)
    with pytest.raises(ModelError, match="method is"):
        degree_bands([0.5, 0.5], rows, method="bootstrap")
    with pytest.raises(ModelError, match="good has shape"):
        robust_numbers(rows).cautious_mean(np.array([True]))
