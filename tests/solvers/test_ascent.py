"""Steps on the dual, held against its value computed from every customer's own problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from credit_portfolio.program.columns import Columns
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import ascent, solve
from credit_portfolio.solvers.ascent import approach, error_of, moved, newton, rising, turn_of
from credit_portfolio.solvers.response import BAND, Doubt, Response, along, respond


class Customers:
    """A book that counts how often it is asked."""

    def __init__(self, program: CreditProgram) -> None:
        self.frame, self.n, self.asked = program, program.n_customers, 0
        self.columns = Columns(program)

    def see(self, nu: np.ndarray, doubt: Doubt | None, fraction: float) -> Response:
        self.asked += 1
        return respond(self.frame, self.columns, nu, doubt, fraction)

    def along(self, nu: np.ndarray, turn: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        self.asked += 1
        return along(self.frame, self.columns, nu, turn, lengths)


def made(n: int = 3_000, *, own: float = 1.0, seed: int = 4) -> CreditProgram:
    rng = np.random.default_rng(seed)
    A = np.vstack([np.ones(n), rng.uniform(size=n) ** 2, rng.uniform(size=n)])
    even = A.mean(axis=1)
    return CreditProgram(
        factors=rng.normal(0.3, 1.0, size=(4, n)),
        idiosyncratic=own * rng.uniform(0.5, 2.0, n) * n,
        rows=A,
        row_lower=[1.0, -np.inf, 1.02 * even[2]],
        row_upper=[1.0, 0.97 * even[1], np.inf],
        upper=3.0 / n,
    )


def dual(program: CreditProgram, nu: np.ndarray) -> float:
    """Value of the dual: each customer's least, the rows' bounds, and −‖ν_F‖²/4."""
    k, y = program.n_factors, nu[program.n_factors :]
    rows = program.rows if isinstance(program.rows, np.ndarray) else program.rows.toarray()
    K = np.vstack([program.factors, rows])
    slope = K.T @ nu + program.linear
    w = np.clip(-slope / (2 * program.idiosyncratic), program.lower, program.upper)
    own = float(((program.idiosyncratic * w + slope) * w).sum())
    bound = np.where(y > 0, program.row_upper, np.where(y < 0, program.row_lower, 0.0))
    return own - 0.25 * float(nu[:k] @ nu[:k]) - float(bound @ y)


def start_at(program: CreditProgram, seed: int = 0) -> np.ndarray:
    nu = np.random.default_rng(seed).normal(size=7)
    return moved(program, nu, np.zeros(7), 0.0)


def test_a_multiplier_never_presses_on_an_open_side() -> None:
    program = made()
    nu = moved(program, np.zeros(7), np.r_[np.zeros(4), 1.0, -1.0, 1.0], 1.0)
    assert nu[4:].tolist() == [1.0, 0.0, 0.0]


def test_the_slope_along_a_turn_is_that_of_the_value() -> None:
    program, book = made(), Customers(made())
    nu, turn = start_at(program), np.random.default_rng(1).normal(size=7) * 0.1
    for length in (0.2, 0.5, 0.9):
        here = moved(program, nu, turn, length)
        if np.abs(here - nu - length * turn).max() > 0:  # the turn leaves the closed sides
            continue
        pushed = float(turn @ book.see(here, None, 0.0).pushed)
        step = 1e-6
        ahead, behind = (dual(program, nu + at * turn) for at in (length + step, length - step))
        slope = rising(program, nu, turn, length, pushed)
        assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-4)


def test_the_turn_is_the_best_step_of_the_model() -> None:
    program = made()
    book, nu = Customers(program), start_at(program)
    seen = book.see(nu, Doubt.none(3), 0.1)
    turn = turn_of(program, seen, nu)
    hessian = seen.gram + np.diag(np.r_[np.full(4, 0.5), np.zeros(3)])
    ascent_now = seen.pushed - np.r_[0.5 * nu[:4], np.zeros(3)]

    def model(delta: np.ndarray) -> float:
        y = nu[4:] + delta[4:]
        bound = np.where(y > 0, program.row_upper, np.where(y < 0, program.row_lower, 0.0))
        return float(ascent_now @ delta - 0.5 * delta @ hessian @ delta - bound @ y)

    best = model(turn)
    rng = np.random.default_rng(2)
    for _ in range(300):
        other = moved(program, nu, turn + rng.normal(size=7) * 10.0 ** rng.uniform(-4, 0), 1.0) - nu
        assert model(other) <= best + 1e-9 * abs(best)


def test_newton_ends_where_all_conditions_hold() -> None:
    program = made()
    book, nu = Customers(program), np.zeros(7)
    seen = book.see(nu, Doubt.none(3), 0.1)
    found = newton(book, nu, seen, 1e-9)
    assert found is not None
    nu, steps = found
    assert 0 < steps < ascent.NEWTON_STEPS
    assert error_of(program, book.see(nu, None, 0.0).pushed, nu) <= 1e-9
    value, rng = dual(program, nu), np.random.default_rng(3)
    for _ in range(50):
        other = moved(program, nu, rng.normal(size=7) * 1e-3, 1.0)
        assert dual(program, other) <= value + 1e-12 * abs(value)


def test_newton_says_that_it_did_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    program = made()
    book = Customers(program)
    monkeypatch.setattr(ascent, "NEWTON_STEPS", 1)
    seen = book.see(np.zeros(7), Doubt.none(3), 0.1)
    assert newton(book, np.zeros(7), seen, 1e-9) is None


def test_a_step_that_goes_too_far_is_cut_where_the_dual_stops_rising() -> None:
    program = made()
    book, nu = Customers(program), np.zeros(7)
    turn = turn_of(program, book.see(nu, Doubt.none(3), 0.1), nu)
    far = 40.0 * turn
    start = rising(program, nu, far, 0.0, float(far @ book.see(nu, None, 0.0).pushed))
    assert start > 0
    length = ascent._length(book, nu, far, start)
    along_it = np.linspace(0.0, 1.0, 4001)
    values = [dual(program, nu + at * far) for at in along_it]
    best = float(np.max(values))
    gained = (dual(program, nu + length * far) - values[0]) / (best - values[0])
    assert 0 < length < 0.5
    assert gained > 0.95


def test_steps_in_doubt_raise_the_dual_and_leave_few_in_doubt(
    book: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ascent, "LEAST_NEAR", 1)
    program = CreditProgram(**book(5, n=30_000, k=6, common=0.3))
    found = solve(program, "interior_point")
    exact = np.concatenate([2.0 * found.exposure, found.duals.rows])
    # Off by about a hundredth, as the multipliers of a sample are.
    noise = 1 + 0.01 * np.random.default_rng(4).normal(size=exact.size)
    nu = moved(program, exact * noise, np.zeros(exact.size), 0.0)
    customers = Customers(program)
    slope = np.empty(customers.n)
    respond(program, customers.columns, nu, None, 0.0, slope)
    doubt = Doubt.at(program, slope, nu[6:])
    seen = customers.see(nu, doubt, BAND / ascent.NARROWER)
    after, narrower, fraction = approach(customers, nu, seen, doubt)
    assert dual(program, after) > dual(program, nu)
    assert np.abs(after - exact).max() < 0.3 * np.abs(nu - exact).max()
    assert narrower.base < doubt.base
    assert fraction < BAND
