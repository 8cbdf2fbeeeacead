"""What customers do at given multipliers, against the formula written out for each of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from credit_portfolio.program import columns as module
from credit_portfolio.program.columns import Columns
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers.response import (
    BAND,
    Doubt,
    Response,
    along,
    nearest,
    respond,
    responds,
    share_at,
)

# Sums of some hundred products of numbers near one.
ROUNDING = 1e-12


def made(
    n: int = 400, *, rows: str = "dense", seed: int = 3, bare: bool = False, own: float = 1.0
) -> tuple[CreditProgram, np.ndarray]:
    """Return a program with some customers at each bound, and multipliers."""
    rng = np.random.default_rng(seed)
    A = rng.uniform(size=(3, n))
    A[2] *= rng.uniform(size=n) < 0.05
    D = own * rng.uniform(0.5, 2.0, n)
    if bare:
        D[::3] = 0.0
    program = CreditProgram(
        factors=rng.normal(size=(4, n)),
        idiosyncratic=D,
        linear=rng.normal(size=n),
        rows=sparse.csr_array(A) if rows == "sparse" else A,
        lower=-rng.uniform(size=n),
        upper=rng.uniform(size=n),
    )
    return program, rng.normal(size=7)


def dense(program: CreditProgram) -> np.ndarray:
    A = program.rows if isinstance(program.rows, np.ndarray) else program.rows.toarray()
    return np.vstack([program.factors, A])


def shares(program: CreditProgram, nu: np.ndarray) -> np.ndarray:
    """Each customer's best share, found by trying both bounds and the point of no slope."""
    found = np.empty(program.n_customers)
    slope = dense(program).T @ nu + program.linear
    for i, s in enumerate(slope):
        D, low, high = program.idiosyncratic[i], program.lower[i], program.upper[i]
        tried = [low, high] + ([min(max(-s / (2 * D), low), high)] if D > 0 else [])
        found[i] = min(tried, key=lambda w, s=s, D=D: D * w * w + s * w)
    return found


@pytest.mark.parametrize("rows", ["dense", "sparse"])
@pytest.mark.parametrize("bare", [False, True])
def test_each_customer_takes_his_best_share(rows: str, bare: bool) -> None:
    program, nu = made(rows=rows, bare=bare)
    slope = np.empty(program.n_customers)
    seen = respond(program, Columns(program), nu, Doubt.none(3), 0.5, slope)
    w = shares(program, nu)
    np.testing.assert_allclose(seen.pushed, dense(program) @ w, atol=ROUNDING)
    np.testing.assert_allclose(slope, dense(program).T @ nu + program.linear, atol=ROUNDING)
    assert seen.between == ((w > program.lower) & (w < program.upper)).sum()
    assert seen.steepest == pytest.approx(np.abs(slope).max())


@pytest.mark.parametrize("rows", ["dense", "sparse"])
def test_the_hessian_is_the_change_of_what_they_do(rows: str) -> None:
    program, nu = made(rows=rows)
    gram = respond(program, Columns(program), nu, Doubt.none(3), 0.5).gram
    step = 1e-7  # small beside all distances from a bound, large beside rounding
    for at in range(nu.size):
        ahead, behind = nu.copy(), nu.copy()
        ahead[at] += step
        behind[at] -= step
        change = dense(program) @ (shares(program, behind) - shares(program, ahead)) / (2 * step)
        np.testing.assert_allclose(gram[:, at], change, rtol=1e-6, atol=1e-6 * np.abs(gram).max())


@pytest.mark.parametrize("bare", [False, True])
def test_in_doubt_it_is_the_mean_over_the_slopes_that_may_be(bare: bool) -> None:
    program, nu = made(bare=bare)
    doubt = Doubt(0.4, np.array([0.0, 0.0, 2.0]))
    gram = respond(program, Columns(program), nu, doubt, 0.5).gram
    K = dense(program)
    slope = K.T @ nu + program.linear
    reach = 0.4 + 2.0 * np.abs(K[6])
    own, low, high = 2 * program.idiosyncratic, program.lower, program.upper
    # The mean of −dw/ds over [s − h, s + h] is Δw / 2h, whatever the shape between.
    mean = (share_at(slope - reach, own, low, high) - share_at(slope + reach, own, low, high)) / (
        2 * reach
    )
    np.testing.assert_allclose(gram, (K * mean) @ K.T, atol=ROUNDING * np.abs(gram).max() * 100)
    assert (mean > 0).sum() > ((slope + own * low < 0) & (slope + own * high > 0)).sum()


def test_customers_that_only_a_rare_row_puts_in_doubt_count_there_and_exactly_elsewhere() -> None:
    program, nu = made()
    K = dense(program)
    sure = respond(program, Columns(program), nu, Doubt.none(3), 0.5).gram
    seen = respond(program, Columns(program), nu, Doubt(0.0, np.array([0, 0, 1.0])), 0.5).gram
    filled = K[6] != 0
    part, nothing = (
        CreditProgram(
            factors=program.factors[:, ~filled],
            idiosyncratic=program.idiosyncratic[~filled],
            linear=program.linear[~filled],
            rows=program.rows[:, ~filled],
            lower=program.lower[~filled],
            upper=program.upper[~filled],
        ),
        Doubt.none(3),
    )
    others = respond(part, Columns(part), nu, nothing, 0.5).gram
    assert np.abs(seen - sure).max() > 1e-3
    np.testing.assert_allclose(seen[6, 6] - others[6, 6], seen[6, 6])
    np.testing.assert_allclose(others[6], 0.0, atol=ROUNDING)


def test_a_hessian_that_is_not_asked_for_is_not_made() -> None:
    program, nu = made()
    assert respond(program, Columns(program), nu, None, 0.5).gram.size == 0


def test_parts_add_up_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    program, nu = made()
    doubt = Doubt(0.2, np.array([0.0, 0.0, 1.0]))
    whole = respond(program, Columns(program), nu, doubt, 0.1)
    monkeypatch.setattr(module, "_SMALL_BLOCK", 64)
    parts = respond(program, Columns(program), nu, doubt, 0.1)
    np.testing.assert_allclose(parts.pushed, whole.pushed, atol=ROUNDING)
    np.testing.assert_allclose(parts.gram, whole.gram, atol=ROUNDING * np.abs(whole.gram).max() * 9)
    assert (parts.between, parts.steepest) == (whole.between, whole.steepest)
    assert 0 < parts.width < 10 * whole.width


def test_widths_are_weighed_by_the_sizes_of_the_parts() -> None:
    def part(width: float) -> Response:
        return Response(np.ones(2), np.eye(2), 1, width, 2.0)

    both = Response.of_all([part(1.0), part(4.0)], [300, 100])
    assert both.width == pytest.approx(1.75)
    assert both.between == 2


def test_a_turn_is_seen_at_many_lengths_as_at_each() -> None:
    program, nu = made()
    turn = np.random.default_rng(5).normal(size=nu.size)
    lengths = np.array([0.0, 0.3, 1.0])
    found = along(program, Columns(program), nu, turn, lengths)
    wanted = [turn @ dense(program) @ shares(program, nu + length * turn) for length in lengths]
    np.testing.assert_allclose(found, wanted, atol=100 * ROUNDING)


def test_doubt_reaches_a_small_part_of_all_and_more_of_those_in_a_rare_row() -> None:
    program, nu = made(20_000, own=0.001)
    slope = dense(program).T @ nu + program.linear
    own = 2 * program.idiosyncratic
    distance = np.maximum(slope + own * program.lower, -(slope + own * program.upper))
    doubt = Doubt.at(program, slope, np.array([1.0, 0.0, 1.0]))
    assert (distance <= doubt.base).mean() == pytest.approx(BAND, abs=0.001)
    assert doubt.rows[:2].tolist() == [0.0, 0.0]  # filled by everybody, and pressing on nobody
    filled = program.rows[2] > 0
    reach = doubt.base + doubt.rows[2] * program.rows[2][filled]
    # One in twenty fills it: by the root of twenty more of them are in doubt.
    assert (distance[filled] <= reach).mean() > 3 * BAND
    assert (distance[filled] <= doubt.base).mean() < 2 * BAND


def test_a_customer_without_variance_and_bound_has_no_share() -> None:
    assert responds(CreditProgram(idiosyncratic=[0.0, 1.0], upper=[1.0, np.inf]))
    assert not responds(CreditProgram(idiosyncratic=[0.0, 1.0], upper=[np.inf, 1.0]))


def test_who_lies_between_is_near_however_sure_the_others_are() -> None:
    distance = np.array([0.3, 0.0, 5.0, 0.0, 0.2, 0.1])
    reach = np.array([0.0, 0.0, 100.0, 2.0, 0.0, 0.0])
    assert set(nearest(distance, reach, 3)) == {1, 2, 3}
    assert set(nearest(distance, None, 4)) == {1, 3, 4, 5}
