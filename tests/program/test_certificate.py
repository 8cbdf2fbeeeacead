"""The proofs: what they accept, what they refuse, and that their numbers mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st

from credit_portfolio.program.certificate import (
    Certificate,
    certify,
    descends_forever,
    infeasibility_margin,
)
from credit_portfolio.program.program import CreditProgram

# Rounding of sums of a few dozen products of numbers near one.
ROUNDING = 1e-12

REFERENCE = CreditProgram(
    idiosyncratic=[0.01, 0.02, 0.04],
    rows=[[1, 1, 1], [0.4, 0.1, 0]],
    row_lower=[1, -np.inf],
    row_upper=[1, 0.2],
)
W = np.array([28, 26, 15]) / 69
Y = np.array([-2 / 115, 8 / 345])


def drawn(seed: int) -> tuple[CreditProgram, np.ndarray, np.random.Generator]:
    """A random program with finite bounds, and a point of its feasible set."""
    rng = np.random.default_rng(seed)
    n, k, q = int(rng.integers(1, 12)), int(rng.integers(0, 6)), int(rng.integers(0, 5))
    lower = -rng.uniform(size=n) * (rng.random(n) < 0.3)
    upper = lower + rng.uniform(size=n) * (rng.random(n) < 0.9)
    inside = lower + rng.random(n) * (upper - lower)
    A = rng.normal(size=(q, n))
    a = A @ inside
    low = np.where(rng.random(q) < 0.6, a - rng.uniform(size=q) * (rng.random(q) < 0.7), -np.inf)
    high = np.where(rng.random(q) < 0.6, a + rng.uniform(size=q) * (rng.random(q) < 0.7), np.inf)
    program = CreditProgram(
        factors=rng.normal(size=(k, n)),
        idiosyncratic=rng.uniform(size=n) * (rng.random(n) < 0.7),
        linear=rng.normal(size=n) * (rng.random() < 0.5),
        rows=A,
        row_lower=low,
        row_upper=high,
        lower=lower,
        upper=upper,
    )
    return program, inside, rng


def objective_scale(program: CreditProgram, w: np.ndarray) -> float:
    """What the gap is relative to, as the certificate's documentation gives it."""
    sd = np.sqrt((program.factors**2).sum(axis=0))
    e = program.factors @ w
    own = e @ e + program.idiosyncratic @ w**2 + abs(program.linear @ w)
    together = (sd @ np.abs(w)) ** 2 + np.abs(program.linear) @ np.abs(w)
    return float(own + 1e-6 * together)


# ---------------------------------------------------------------------------------------- optimal


def test_the_exact_answer_is_certified_with_its_multipliers() -> None:
    certificate, y, z = certify(REFERENCE, W, Y, 1e-9)
    assert certificate.holds
    assert certificate.worst < ROUNDING
    assert y == pytest.approx(Y)
    assert z == pytest.approx(np.zeros(3), abs=1e-15)
    assert "holds at 1e-09" in str(certificate)


@pytest.mark.parametrize(
    ("w", "y", "residual"),
    [
        (W + np.array([1e-6, 0, 0]), Y, "primal"),  # the budget is missed by a millionth
        (W - np.array([1e-6, 0, 0]), Y, "primal"),
        (np.array([4, 2, 1]) / 7, [-2 / 175, 0], "primal"),  # the low interval is overdrawn
        (np.array([0.2, 0.4, 0.4]), Y, "gap"),  # feasible and not optimal
        (W, [-2 / 115, -8 / 345], "gap"),  # presses on the open side
        (W, [2 / 115, 8 / 345], "gap"),
        (W, [0.0, 0.0], "gap"),
    ],
)
def test_a_wrong_point_or_a_wrong_sign_is_refused(w: Any, y: Any, residual: str) -> None:
    certificate, _, _ = certify(REFERENCE, np.asarray(w), np.asarray(y), 1e-9)
    assert not certificate.holds
    assert max(getattr(certificate, residual), certificate.dual) > 1e-7


def test_a_negative_share_is_a_primal_residual() -> None:
    program = CreditProgram(idiosyncratic=[1.0, 1.0], rows=[[1, 1]], row_lower=1, row_upper=1)
    certificate, _, _ = certify(program, np.array([1.1, -0.1]), np.array([-1.0]), 1e-9)
    assert certificate.primal == pytest.approx(0.1 / 1.1)


def test_a_row_without_upper_bound_takes_no_positive_multiplier() -> None:
    program = CreditProgram(rows=[[1.0, 0.0]], row_lower=0, linear=[-1.0, 1.0], upper=1)
    certificate, y, _ = certify(program, np.array([0.5, 0.0]), np.array([1.0]), 1e-9)
    assert y.tolist() == [0.0]
    assert not certificate.holds


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["shares", "multipliers"])
def test_points_that_are_not_numbers_are_refused(bad: float, place: str) -> None:
    w, y = W.copy(), Y.copy()
    (w if place == "shares" else y)[0] = bad
    certificate, _, _ = certify(REFERENCE, w, y, 1e-9)
    assert not certificate.holds
    assert certificate.worst == np.inf


def test_a_point_that_diverged_is_refused_without_a_warning() -> None:
    program = CreditProgram(factors=np.ones((2, 3)), idiosyncratic=1.0, linear=[1.0, -1.0, 0.0])
    for w in ([1e200, -1e200, 1e-200], [1e200, 1e200, 0.0], [1e308, 1e308, 1e308]):
        assert not certify(program, np.array(w), np.zeros(0), 1e-9)[0].holds


def test_a_residual_that_is_nan_does_not_hold() -> None:
    for place in range(3):
        residuals = [0.0, 0.0, 0.0]
        residuals[place] = np.nan
        assert not Certificate(*residuals, tolerance=1e-9).holds


def test_a_diversified_book_is_measured_by_its_own_variance() -> None:
    # Two customers that cancel: together they would have variance 1, the book has 5e-7. A shift of
    # 2.5e-13 leaves a gap of 1e-12, which is 7e-7 of the book's variance and a millionth of 1.
    program = CreditProgram(
        factors=[[1.0, -1.0]], idiosyncratic=1e-6, rows=[[1, 1]], row_lower=1, row_upper=1, upper=1
    )
    exact, _, _ = certify(program, np.array([0.5, 0.5]), np.array([-1e-6]), 1e-9)
    assert exact.holds
    off, _, _ = certify(program, np.array([0.5 + 2.5e-13, 0.5 - 2.5e-13]), np.array([-1e-6]), 1e-9)
    assert off.gap == pytest.approx(1e-12 / 1.5e-6, rel=1e-2)  # the shift is good to 5e-4 of itself


def test_a_free_share_at_its_optimum_has_no_dual_residual() -> None:
    program = CreditProgram(idiosyncratic=1.0, linear=[-2.0, -4.0], lower=-np.inf)
    near, _, _ = certify(program, np.array([1.0, 2.0 + 1e-13]), np.zeros(0), 1e-9)
    assert near.holds
    off, _, _ = certify(program, np.array([1.0, 2.1]), np.zeros(0), 1e-9)
    assert off.dual == pytest.approx(0.2 / 4.2)


@given(st.integers(0, 100_000), st.floats(-3, 3))
def test_no_feasible_point_is_below_the_objective_by_more_than_the_gap(
    seed: int, size: float
) -> None:
    program, v, rng = drawn(seed)
    w = np.clip(program.lower + rng.random(v.size), program.lower, program.upper)
    y = rng.normal(size=program.n_rows) * 10.0**size
    certificate, used, _ = certify(program, w, y, 1e-9)
    scale = objective_scale(program, w)
    # Where all shares are held at zero there is nothing to be relative to: any gap is infinite.
    gap = certificate.gap * scale if scale > 0 else np.inf
    slack = ROUNDING * (1 + np.abs(used).sum() + abs(program.objective(w)) + gap)
    assert program.objective(v) >= program.objective(w) - gap - slack


@given(st.integers(0, 100_000))
def test_residuals_do_not_depend_on_units_of_returns_rows_or_shares(seed: int) -> None:
    program, _, rng = drawn(seed)
    w = np.clip(program.lower + rng.random(program.n_customers), program.lower, program.upper)
    y = rng.normal(size=program.n_rows)
    assume(np.abs(w).max() > 0)
    base, _, _ = certify(program, w, y, 1e-9)
    returns, row, share = 1e-3, 1e6, 1e4
    changed = CreditProgram(
        factors=program.factors * returns,
        idiosyncratic=program.idiosyncratic * returns**2,
        linear=program.linear * returns**2 * share,
        rows=program.rows * row,
        row_lower=program.row_lower * row * share,
        row_upper=program.row_upper * row * share,
        lower=program.lower * share,
        upper=program.upper * share,
    )
    other, _, _ = certify(changed, w * share, y * returns**2 * share / row, 1e-9)
    for name in ("primal", "dual", "gap"):
        assert getattr(other, name) == pytest.approx(getattr(base, name), rel=1e-6, abs=ROUNDING)


# ------------------------------------------------------------------------------------- infeasible


@given(st.integers(0, 100_000), st.floats(-3, 3))
def test_no_multipliers_prove_a_feasible_program_infeasible(seed: int, size: float) -> None:
    program, _, rng = drawn(seed)
    y = rng.normal(size=program.n_rows) * 10.0**size
    assert infeasibility_margin(program, y) <= ROUNDING


def test_the_margin_is_positive_for_multipliers_that_prove_a_conflict() -> None:
    # B1 <= .15 leaves w1 <= .25, where B3 = .425 < .48.
    rows = np.array([[1, 1], [0.3, 0.1], [0.5, 0.4]])
    program = CreditProgram(rows=rows, row_lower=[1, -np.inf, 0.48], row_upper=[1, 0.15, np.inf])
    # .5 w1 + .4 w2 = .35 (w1 + w2) + .5 (.3 w1 + .1 w2): 0.35 + 0.075 < 0.48 by 0.055.
    y = np.array([0.35, 0.5, -1.0])
    margin = infeasibility_margin(program, y)
    assert margin == pytest.approx(0.055 / (0.35 + 0.075 + 0.48))
    assert infeasibility_margin(program, 1e9 * y) == pytest.approx(margin)
    assert infeasibility_margin(program, -y) == 0.0
    assert infeasibility_margin(program, np.array([0.35, 0.5, np.nan])) == 0.0
    assert infeasibility_margin(program, np.zeros(3)) == 0.0


def test_a_row_that_its_limits_cannot_reach_is_a_proof_by_itself() -> None:
    short = CreditProgram(rows=np.ones((1, 4)), row_lower=1, row_upper=1, upper=0.2)
    assert infeasibility_margin(short, np.array([-1.0])) == pytest.approx(0.2 / 1.8)
    enough = CreditProgram(rows=np.ones((1, 4)), row_lower=1, row_upper=1, upper=0.25)
    assert infeasibility_margin(enough, np.array([-1.0])) == 0.0


# -------------------------------------------------------------------------------------- unbounded


def test_a_direction_of_no_variance_and_falling_cost_descends_forever() -> None:
    program = CreditProgram(factors=[[1.0, 1.0]], linear=[1.0, -1.0], lower=-np.inf)
    assert descends_forever(program, np.array([-1.0, 1.0]), 1e-9)
    assert not descends_forever(program, np.array([1.0, -1.0]), 1e-9)  # rises
    assert not descends_forever(program, np.array([0.0, 1.0]), 1e-9)  # has variance
    assert not descends_forever(program, np.zeros(2), 1e-9)
    assert not descends_forever(program, np.array([np.nan, 1.0]), 1e-9)


@pytest.mark.parametrize(
    "kept",
    [
        {"lower": 0.0},
        {"lower": -np.inf, "upper": [np.inf, 5.0]},
        {"lower": -np.inf, "rows": [[0.0, 1.0]], "row_upper": [9.0]},
        {"lower": -np.inf, "rows": [[1.0, 0.0]], "row_lower": [-9.0]},
        {"lower": -np.inf, "idiosyncratic": [0.0, 1e-12]},
    ],
)
def test_a_bound_a_row_or_a_variance_stops_the_descent(kept: dict[str, Any]) -> None:
    program = CreditProgram(factors=[[1.0, 1.0]], linear=[1.0, -1.0], **kept)
    assert not descends_forever(program, np.array([-1.0, 1.0]), 1e-9)
