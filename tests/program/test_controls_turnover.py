"""The current book: the cut of a share loses nothing, and maps back to prices that are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import sparse

from credit_portfolio.errors import InfeasibleError, ModelError
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.turnover import (
    Turnover,
    moving_slopes,
    split_turnover,
)

# Sums of products of a few dozen numbers of size one.
EXACT = 1e-12


def drawn(seed: int) -> tuple[CreditProgram, Turnover, np.random.Generator]:
    """A random book: some at w⁰ outside their bounds, some new, auxiliary columns, sparse rows."""
    rng = np.random.default_rng([41, seed])
    n, extra, k, q = (int(rng.integers(*span)) for span in ((1, 9), (0, 3), (0, 4), (0, 3)))
    N = n + extra
    lower = rng.choice([0.0, 0.1], N)
    rows: Any = rng.normal(size=(q, N))
    program = CreditProgram(
        factors=rng.normal(size=(k, N)),
        idiosyncratic=rng.choice([0.0, 0.5, 2.0], N),
        linear=rng.normal(size=N),
        rows=sparse.csr_array(rows) if rng.random() < 0.5 else rows,
        lower=lower,
        upper=lower + rng.choice([0.0, 0.5, 1.0], N),
    )
    now = rng.choice([0.0, 0.05, 0.3, 0.6, 2.0], n)
    cost = rng.choice([0.0, 0.1, 1.0], n)
    limit = 3.0 * n if rng.random() < 0.6 or not cost.any() else None
    return program, Turnover(now, limit, cost, gone=float(rng.choice([0.0, 0.2]))), rng


def constant(turnover: Turnover, program: CreditProgram) -> float:
    """What the costs have without a variable, by hand: +κw⁰ for who can sell, −κw⁰ else."""
    n = turnover.current.size
    only_up = turnover.current <= program.lower[:n]
    return float((turnover.cost * turnover.current * np.where(only_up, -1, 1)).sum())


@given(st.integers(0, 100_000))
def test_the_translation_is_exact_where_nobody_sells_and_buys_at_once(seed: int) -> None:
    program, turnover, rng = drawn(seed)
    split = split_turnover(program, turnover, turnover.current.size)
    translated = split.translated()
    w = rng.uniform(program.lower, program.upper)
    x = split.point(w)
    assert (x >= translated.lower - EXACT).all()
    assert (x <= translated.upper + EXACT).all()
    np.testing.assert_allclose(split.shares(x), w, rtol=EXACT, atol=EXACT)
    asked = program.objective(w) + turnover.paid(w)
    got = translated.objective(x) + constant(turnover, program)
    assert got == pytest.approx(asked, rel=EXACT, abs=EXACT)
    q = program.n_rows
    np.testing.assert_allclose(
        translated.activity(x)[:q], program.activity(w), rtol=EXACT, atol=EXACT
    )
    if turnover.limited:
        used = translated.activity(x)[q] - translated.row_upper[q] + turnover.limit
        assert used == pytest.approx(turnover.of(w), abs=EXACT)


@given(st.integers(0, 100_000))
def test_elsewhere_the_translation_is_above(seed: int) -> None:
    program, turnover, rng = drawn(seed)
    split = split_turnover(program, turnover, turnover.current.size)
    translated = split.translated()
    x = rng.uniform(translated.lower, translated.upper)
    w = split.shares(x)
    asked = program.objective(w) + turnover.paid(w) - constant(turnover, program)
    size = 1 + abs(asked)
    assert translated.objective(x) >= asked - EXACT * size
    if turnover.limited:
        used = translated.activity(x)[-1] - translated.row_upper[-1] + turnover.limit
        assert used >= turnover.of(w) - EXACT * size


@given(st.integers(0, 100_000))
def test_the_line_of_the_costs_is_below_them_everywhere(seed: int) -> None:
    program, turnover, rng = drawn(seed)
    w = rng.uniform(program.lower, program.upper)
    y, mu = rng.normal(size=program.n_rows), abs(rng.normal())
    slopes = moving_slopes(program, turnover, w, y, mu)
    n = turnover.current.size
    price = turnover.price(mu if turnover.limited else 0.0)
    assert slopes.loss >= -EXACT
    for _ in range(5):
        v = rng.uniform(program.lower, program.upper)
        line = slopes.linear @ (v[:n] - turnover.current)
        true = price @ np.abs(v[:n] - turnover.current)
        assert line <= true + EXACT * (1 + true)


def test_only_who_can_move_both_ways_at_a_price_is_cut() -> None:
    program = CreditProgram(idiosyncratic=np.ones(5), lower=[0, 0, 0.3, 0, 0], upper=0.5)
    now = [0.0, 0.2, 0.1, 0.7, 0.4]
    limited = split_turnover(program, Turnover(now, limit=3.0))
    np.testing.assert_array_equal(limited.cut, [1, 4])
    some = split_turnover(program, Turnover(now, cost=[1, 1, 1, 1, 0]))
    np.testing.assert_array_equal(some.cut, [1])
    assert some.translated().row_names == ()


def test_sparse_rows_stay_sparse_and_factors_are_shared_on_request() -> None:
    program = CreditProgram(
        factors=np.ones((1, 3)), idiosyncratic=1.0, rows=sparse.csr_array(np.eye(3)), upper=1.0
    )
    split = split_turnover(program, Turnover([0.2, 0.0, 0.5], limit=1.0))
    first = split.translated()
    assert sparse.issparse(first.rows)
    assert np.shares_memory(split.translated(first).factors, first.factors)


def test_a_limit_below_what_has_to_move_is_refused_with_numbers() -> None:
    program = CreditProgram(
        idiosyncratic=[1, 1, 1], rows=[[1, 1, 1]], row_lower=1, row_upper=1,
        lower=[0.2, 0, 0], upper=[1, 1, 0.3], row_names=["budget"],
    )  # fmt: skip
    # 0.2 is bought up to a floor and 0.1 sold down to a limit; customers with 0.1 left.
    turnover = {"current": [0.0, 0.5, 0.4], "gone": 0.1}
    forced = 0.5 * (0.2 + 0.1 + 0.1)
    with pytest.raises(InfeasibleError, match=r"force a turnover of 20\.0000%"):
        split_turnover(program, Turnover(limit=forced - 1e-6, **turnover))
    split_turnover(program, Turnover(limit=forced, **turnover))


def test_a_smaller_budget_counts_as_sales() -> None:
    program = CreditProgram(idiosyncratic=[1, 1], rows=[[1, 1]], row_lower=1, row_upper=1)
    with pytest.raises(InfeasibleError, match=r"differs from today's book by -20\.0000%"):
        split_turnover(program, Turnover([0.6, 0.6], limit=0.09))
    split_turnover(program, Turnover([0.6, 0.6], limit=0.1))


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"current": [0.5, -0.1], "limit": 0.1}, "0 or more"),
        ({"current": [0.5, np.nan], "limit": 0.1}, "finite number"),
        ({"current": [0.5, 0.5]}, "neither a limit nor a cost"),
        ({"current": [0.5, 0.5], "cost": -1.0}, "0 or more"),
        ({"current": [0.5, 0.5], "limit": -0.1}, "≥ 0"),
        ({"current": [0.5, 0.5], "limit": 0.1, "gone": np.inf}, "gone is inf"),
        ({"current": [0.5, 0.5, 0.1], "limit": 0.1}, "has 3 customers, the program 2"),
    ],
)
def test_wrong_books_are_refused(given_: dict[str, Any], said: str) -> None:
    program = CreditProgram(idiosyncratic=[1.0, 1.0])
    with pytest.raises(ModelError, match=said):
        split_turnover(program, Turnover(**given_))
